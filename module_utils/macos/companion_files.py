"""Read and write the places of the fleet's program on a Mac."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .launchctl import launchctl, read_job

if TYPE_CHECKING:
    from fleet.companion import FOLDER_MODE, LOGS, PROGRAM, Entry, Found, Kind, folder
    from fleet.desired_state import WEBHOOK
else:
    from ansible.module_utils.fleet.companion import FOLDER_MODE, LOGS, PROGRAM, Entry, Found, Kind, folder
    from ansible.module_utils.fleet.desired_state import WEBHOOK

POLL_SECONDS = 0.1
LARGEST = 16 << 20
"""Nothing of ours is larger; what is larger is not read."""


def observe(uid: int, home: str) -> Found:
    """Read both places and the folder of the logs; OSError when one of them cannot be read."""
    entries: dict[str, Entry] = {}
    for place in (folder("gui", home), folder("system", home)):
        entry = read(place)
        if entry is None:
            continue
        entries[place] = entry
        if entry.kind == "folder":
            for name in sorted(one.name for one in Path(place).iterdir()):
                if name in (PROGRAM, WEBHOOK) or name.endswith(".json"):
                    one = read(f"{place}/{name}")
                    if one is not None:
                        entries[f"{place}/{name}"] = one
    logs = read(f"{home}/{LOGS}")
    if logs is not None:
        entries[f"{home}/{LOGS}"] = logs
    return Found(uid, home, entries)


def read(path: str) -> Entry | None:
    """Read one thing without following a link; None when it is not there."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    kind: Kind = "other"
    if stat.S_ISDIR(status.st_mode):
        kind = "folder"
    elif stat.S_ISLNK(status.st_mode):
        kind = "link"
    elif stat.S_ISREG(status.st_mode):
        kind = "file"
    sha256, text = "", ""
    if kind == "file" and status.st_size <= LARGEST:
        try:
            content = Path(path).read_bytes()
        except PermissionError:
            # Somebody else's secret: it is there, and that is all that can be said.
            return Entry(kind, stat.S_IMODE(status.st_mode), status.st_uid)
        sha256 = hashlib.sha256(content).hexdigest()
        text = content.decode(errors="replace") if path.endswith(".json") else ""
    return Entry(kind, stat.S_IMODE(status.st_mode), status.st_uid, sha256, text)


def with_plist(home: str, labels: Iterable[str]) -> list[str]:
    """Return those of the labels that have a property list in one of launchd's folders: three looks, no launchctl."""
    folders = (f"{home}/Library/LaunchAgents", "/Library/LaunchAgents", "/Library/LaunchDaemons")
    return [label for label in labels if any(Path(place, f"{label}.plist").exists() for place in folders)]


def protect_folder(path: str, uid: int, gid: int) -> None:
    """Take a folder back from others; OSError for what is no folder."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        message = f"{path} is no folder; move it away and run again"
        raise OSError(message)
    status = os.lstat(path)
    if status.st_uid != uid:
        os.chown(path, uid, gid, follow_symlinks=False)
    Path(path).chmod(FOLDER_MODE)


def boot_out(target: str, timeout: float) -> None:
    """Have launchd forget a job and wait until it has; OSError when it does not."""
    answer = launchctl("bootout", target)
    domain, _, label = target.rpartition("/")
    deadline = time.monotonic() + timeout
    while read_job(domain, label) is not None:
        if time.monotonic() > deadline:
            message = f"launchctl bootout {target} answered {answer.rc} ({answer.said}) and launchd still holds the job"
            raise OSError(message)
        time.sleep(POLL_SECONDS)
