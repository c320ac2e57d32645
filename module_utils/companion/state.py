"""What a verb leaves behind for its next run and for others: one small file, replaced as a whole, and a lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

SCHEMA = 1


def folder() -> Path:
    """Return where this account keeps state. From the account, since a daemon's environment may have no HOME."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir, "Library", "Application Support", "ollama-fleet", "state")


def read(place: Path, verb: str) -> dict[str, Any]:
    """Return what the last run left, nothing when there is none to read."""
    try:
        data = json.loads((place / f"{verb}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) and data.get("schema") == SCHEMA else {}


def write(place: Path, verb: str, data: Mapping[str, Any]) -> None:
    """Replace the state. Its `at` is the heartbeat: no older than twice the interval while the job lives."""
    text = json.dumps({"schema": SCHEMA, "verb": verb, "at": now(), **data}, sort_keys=True) + "\n"
    replace(place / f"{verb}.json", text)


def replace(path: Path, text: str) -> None:
    """Put a new file in the place of an old one, as a whole."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def uptime() -> float:
    """Return the seconds that the Mac has been awake since its start, which no calendar moves.

    Not time.monotonic(): under Python 3.9 of macOS each process counts from its own start.
    """
    return time.clock_gettime(getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC))


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def alone(place: Path, verb: str) -> Iterator[bool]:
    """Hold the verb's lock for a block; False when another run holds it. It goes with the process, however that ends."""
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (place / f"{verb}.lock").open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
