"""What a service was before a change, kept on disk until the change is proved, so that a power cut loses nothing."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import make_folder, replace_file

if TYPE_CHECKING:
    from fleet.launchctl_output import Job
    from fleet.service import Found, job_from_json
    from fleet.vocabulary import Step, plain
else:
    from ansible.module_utils.fleet.launchctl_output import Job
    from ansible.module_utils.fleet.service import Found, job_from_json
    from ansible.module_utils.fleet.vocabulary import Step, plain


SCHEMA = 1


@dataclass(frozen=True)
class SavedFile:
    """A file as it was; `content` is None when there was none, `link` is where a symbolic link led."""

    path: Path
    content: bytes | None
    link: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Record:
    """The files that a change touches, and the jobs that launchd held, with the definitions they really ran with."""

    files: tuple[SavedFile, ...] = ()
    jobs: tuple[Job, ...] = ()

    @property
    def ran(self) -> bool:
        """Tell whether something served before."""
        return any(job.pid for job in self.jobs)

    def after(self, older: Record | None) -> Record:
        """Return this record on top of one that a cut change left: what was there first is what must come back."""
        if older is None:
            return self
        known = {file.path for file in older.files}
        return Record((*older.files, *(file for file in self.files if file.path not in known)), older.jobs)


def record_path(account: pwd.struct_passwd, label: str) -> Path:
    """Return where the record of a label lies: root's below /Library, since root will believe what it says."""
    root = Path("/Library") if os.geteuid() == 0 else Path(account.pw_dir, "Library")
    return root / "Application Support" / "ollama-fleet" / "changes" / f"{label}.json"


def find_record(account: pwd.struct_passwd, label: str) -> str:
    """Return the path of the record that a cut change of this label left, "" when there is none."""
    places = [Path("/Library"), Path(account.pw_dir, "Library")]
    paths = [place / "Application Support" / "ollama-fleet" / "changes" / f"{label}.json" for place in places]
    return next((str(path) for path in paths if path.exists()), "")


def take(found: Found, steps: Iterable[Step], path: Path) -> Record:
    """Record what these steps will touch; `path` is the service's own file, which a failed change must not leave behind."""
    touched = {Path(step.item) for step in steps if step.action in ("write", "remove", "protect")} | {path}
    # A job without a file of its own, such as a login item of an application, is not ours to bring back.
    return Record(tuple(_read(one) for one in sorted(touched)), tuple(job for job in found.jobs if job.path.startswith("/")))


def _read(path: Path) -> SavedFile:
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return SavedFile(path, b"", str(path.readlink()))
        return SavedFile(path, path.read_bytes(), "", stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    except FileNotFoundError:
        return SavedFile(path, None)


def load(path: Path) -> Record | None:
    """Read a record; None when there is none or it is not ours to believe."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return None
            data = json.load(file)
        return _from_json(data)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _from_json(data: Mapping[str, Any]) -> Record | None:
    if data["schema"] != SCHEMA:
        return None
    files = tuple(
        SavedFile(
            Path(file["path"]),
            None if file["content"] is None else base64.b64decode(file["content"]),
            file["link"],
            file["mode"],
            file["uid"],
            file["gid"],
        )
        for file in data["files"]
    )
    return Record(files, tuple(job_from_json(job) for job in data["jobs"]))


def save(record: Record, path: Path, account: pwd.struct_passwd) -> None:
    """Write a record so that it is there after a power cut."""
    files = [
        {
            "path": str(file.path),
            "content": None if file.content is None else base64.b64encode(file.content).decode(),
            "link": file.link,
            "mode": file.mode,
            "uid": file.uid,
            "gid": file.gid,
        }
        for file in record.files
    ]
    text = json.dumps({"schema": SCHEMA, "files": files, "jobs": plain(record.jobs)}, indent=1, sort_keys=True)
    owner = None if os.geteuid() == 0 else account
    make_folder(path.parent, owner)
    replace_file(path, text.encode(), 0o600)


def forget(path: Path) -> None:
    """Remove a record, and its folders where nothing else is in them."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
        path.parent.parent.rmdir()


def put_back(record: Record) -> None:
    """Put every file back as it was, to the byte, with its mode and owner.

    What was there comes before what was not goes, so that a power cut in between leaves a file that starts a server.
    """
    for file in sorted(record.files, key=lambda one: one.content is None):
        with contextlib.suppress(OSError):
            if _read(file.path) == file:
                continue
            if file.content is None or file.link:
                file.path.unlink(missing_ok=True)
            if file.link:
                file.path.symlink_to(file.link)
            elif file.content is not None:
                replace_file(file.path, file.content, file.mode, (file.uid, file.gid))
