"""Read what a person asks about and no step depends on: processes, the ends of logs, heartbeats of jobs, files of models."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import system
from .commands import run
from .launchctl import launchctl
from .ollama_api import read_layers

if TYPE_CHECKING:
    from fleet.companion import log_path
    from fleet.launchctl_output import parse_services
    from fleet.processes import COLUMNS, Process, parse, relevant
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet.companion import log_path
    from ansible.module_utils.fleet.launchctl_output import parse_services
    from ansible.module_utils.fleet.processes import COLUMNS, Process, parse, relevant
    from ansible.module_utils.fleet.vocabulary import Unknown


TAIL_BYTES = 64 << 10
TAIL_LINES = 200
LINE_LENGTH = 500
"""What is read of a log, whatever it holds: a line may be a megabyte, and the log a program's binary output."""

DAMAGES = 50
"""How many damaged files are told of, and how many closed ones; the first tells enough."""

STATES = ("residents", "logs", "heal")
"""The verbs of the fleet's program that leave a state behind."""


def read_processes(port: int) -> tuple[Process, ...]:
    """Return the processes that bear on a server at this port, of every user."""
    answer = run(["/bin/ps", "-axo", COLUMNS], environment={"TZ": "UTC"})
    if answer.rc != 0:
        message = f"ps: {answer.said}"
        raise OSError(message)
    return relevant(parse(answer.out), system.read_listener(port)["pids"])


def read_supervisors(uid: int) -> dict[str, str]:
    """Return process -> service target of what launchd runs in the domains that concern a user; needs no root.

    A process is a text here, since it is a key. A domain that is not there has no services.
    """
    found = {}
    for domain in (f"gui/{uid}", f"user/{uid}", "system"):
        answer = launchctl("print", domain)
        found.update({str(pid): f"{domain}/{label}" for pid, label in parse_services(answer.out).items()})
    return found


def read_job_logs(home: str) -> dict[str, Any]:
    """Return the ends of what the fleet's own jobs wrote, as `read_logs` does."""
    return read_logs(log_path(home, verb) for verb in STATES)


def read_logs(paths: Iterable[str]) -> dict[str, Any]:
    """Return `size_bytes`, `modified_at`, `writable` and the last lines (`tail`) of each log; None for one that is not there."""
    return {path: _read_log(Path(path).expanduser()) for path in paths}


def _read_log(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(0, status.st_size - TAIL_BYTES))
            end = file.read(TAIL_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        return Unknown(str(problem))
    lines = end.decode(errors="replace").splitlines()
    if status.st_size > TAIL_BYTES and len(lines) > 1:
        # The first of them began before what was read.
        lines = lines[1:]
    modified = datetime.fromtimestamp(status.st_mtime, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "size_bytes": status.st_size,
        "modified_at": modified,
        "writable": os.access(path, os.W_OK),
        "tail": [line[:LINE_LENGTH] for line in lines[-TAIL_LINES:]],
    }


def read_damage(store: Path) -> list[dict[str, Any]]:
    """Return the files of models that are not what the manifests say, by size: nothing is hashed, which would take minutes.

    An entry has `model`, `digest`, `wanted` (bytes) and `found`: bytes, None for a file that is absent, or why it is unknown.
    """
    damage = []
    for name, layers in read_layers(store):
        for digest, wanted in layers:
            found = _blob(store / "blobs" / digest.replace(":", "-"))
            if found != wanted:
                damage.append({"model": name, "digest": digest, "found": found, "wanted": wanted})
    return damage[:DAMAGES]


def _blob(path: Path) -> Any:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as problem:
        return Unknown(str(problem))
    return size if os.access(path, os.R_OK) else Unknown(f"{path} may not be read")


def read_closed(store: Path) -> dict[str, Any]:
    """Return what the connecting user, who runs the server too, may not read or replace in the store of models.

    `store` is its folder, `user` the user's name; each of `paths` has `path`, `owner` (a name) and `mode` (octal digits). A
    server that somebody once ran as root leaves such files: no model of them is loaded, and into such a folder none is pulled.
    """
    closed: list[dict[str, str]] = []
    for path, needed in _needs(store):
        # What is not there is no matter of rights: behind a closed folder, or a link to a volume that is not mounted.
        if os.access(path, os.F_OK) and not os.access(path, needed):
            closed.append({"path": str(path), **_rights(path)})
            if len(closed) == DAMAGES:
                break
    return {"store": str(store), "user": _name(os.geteuid()), "paths": closed}


def _needs(store: Path) -> Iterator[tuple[Path, int]]:
    """Yield each path of a store, folders before what they hold, with what has to be allowed there."""
    yield store.parent, os.X_OK
    yield store, os.R_OK | os.W_OK | os.X_OK
    # Folders that may not be read are passed over: they were told of by the one above.
    for folder, folders, files in os.walk(store):
        for name in sorted(folders):
            yield Path(folder, name), os.R_OK | os.W_OK | os.X_OK
        for name in sorted(files):
            yield Path(folder, name), os.R_OK


def _rights(path: Path) -> dict[str, str]:
    status = path.lstat()
    return {"owner": _name(status.st_uid), "mode": f"{status.st_mode & 0o7777:04o}"}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def read_heartbeats(home: str) -> dict[str, Any]:
    """Return for each verb when it last ran (`at`, ISO 8601), None where it never did, unknown where its state is unreadable."""
    folder = Path(home, "Library", "Application Support", "ollama-fleet", "state")
    return {verb: _heartbeat(folder / f"{verb}.json") for verb in STATES}


def _heartbeat(path: Path) -> Any:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return str(data["at"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        return Unknown(f"{path}: {type(problem).__name__}: {problem}")
