"""Read what a person asks about and no step depends on: processes, the ends of logs, the heartbeats of the jobs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import system
from .commands import run

if TYPE_CHECKING:
    from fleet.processes import COLUMNS, Process, parse, relevant
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet.processes import COLUMNS, Process, parse, relevant
    from ansible.module_utils.fleet.vocabulary import Unknown


TAIL_BYTES = 64 << 10
TAIL_LINES = 200
LINE_LENGTH = 500
"""What is read of a log, whatever it holds: a line may be a megabyte, and the log a program's binary output."""

STATES = ("residents", "logs", "heal")
"""The verbs of the fleet's program that leave a state behind."""


def read_processes(port: int) -> tuple[Process, ...]:
    """Return the processes that bear on a server at this port, of every user."""
    answer = run(["/bin/ps", "-axo", COLUMNS], environment={"TZ": "UTC"})
    if answer.rc != 0:
        message = f"ps: {answer.said}"
        raise OSError(message)
    return relevant(parse(answer.out), system.read_listener(port)["pids"])


def read_logs(paths: Iterable[str]) -> dict[str, Any]:
    """Return `size_bytes`, `modified_at` and the last lines (`tail`) of each log; None for one that is not there."""
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
        "tail": [line[:LINE_LENGTH] for line in lines[-TAIL_LINES:]],
    }


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
