"""The verb `logs`: move what a log holds to `LOG.1` and empty the log in place.

launchd opens the log of a job once, with O_APPEND, and keeps the descriptor: a renamed log would go on growing under its new name
(macOS 13 to 26), so the log itself must stay. It is copied until its end is reached, and only then cut to nothing.

What can be lost: lines written between the last look at its size and the cut, two system calls in a row. While a writer is
faster than the copy, the copy ends after `SURPLUS_BYTES` more than there was at the start, and what it had not reached goes with
the cut; the line in our own log says how much. Nothing is cut before its copy is written, so a full disk loses nothing.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import state

if TYPE_CHECKING:
    from fleet.companion_settings import Logs, logs_from_text
    from fleet.rotation import PACKED, shift
else:
    from ansible.module_utils.fleet.companion_settings import logs_from_text
    from ansible.module_utils.fleet.rotation import PACKED, shift

VERB = "logs"
CHUNK = 1 << 20
SURPLUS_BYTES = 64 << 20
SPARE_BYTES = 64 << 20
"""Room on the disk that a rotation leaves to others."""


class Refused(Exception):
    """Why a file is not touched."""


@dataclass(frozen=True)
class Rotated:
    """What a rotation moved, and how many bytes a fast writer lost."""

    moved: int
    lost: int


def run(text: str, place: Path) -> None:
    """Look at each file once. Without anything to do it says nothing; a complaint is said once."""
    settings = logs_from_text(text)
    with state.alone(place, VERB) as mine:
        if not mine:
            return
        before = state.read(place, VERB).get("complaints")
        complaints, rotated = [], []
        for name in settings.files:
            try:
                done = rotate(Path(name), settings)
            except Refused as refusal:
                complaints.append(f"{name} is left alone: {refusal}")
            except OSError as problem:
                complaints.append(f"{name} could not be rotated: {problem.strerror or problem}; nothing of it is lost")
            else:
                if done:
                    loss = f"; {done.lost} bytes came too fast and are lost" if done.lost else ""
                    rotated.append(f"{name} is rotated, {done.moved} bytes{loss}")
        for sentence in rotated:
            say(sentence)
        for sentence in complaints:
            if not isinstance(before, list) or sentence not in before:
                say(sentence)
        state.write(place, VERB, {"complaints": complaints, "rotated": rotated})


def say(sentence: str) -> None:
    """Write one line to the log."""
    print(f"{state.now()} {VERB}: {sentence}.", file=sys.stderr, flush=True)


def rotate(path: Path, settings: Logs) -> Rotated | None:
    """Rotate one log that is larger than it may be; None when it is not, or not there. Refused and OSError leave it whole."""
    try:
        # Without O_NONBLOCK a pipe put in the log's place would hold us for ever.
        log = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as problem:
        if path.is_symlink():
            message = "it is a symbolic link"
            raise Refused(message) from problem
        raise
    try:
        status = os.fstat(log)
        _check(status)
        if status.st_size <= settings.size:
            return None
        free = shutil.disk_usage(path.parent).free
        if free < status.st_size + SPARE_BYTES:
            message = f"the disk has {free} bytes left, the copy takes {status.st_size}"
            raise Refused(message)
        return _rotate(path, log, status, settings)
    finally:
        os.close(log)


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        message = "it is no regular file"
    elif status.st_uid != os.getuid():
        message = f"it belongs to user {status.st_uid}, this job runs as {os.getuid()}"
    elif status.st_nlink != 1:
        # In a folder that everybody may write, a second name may be somebody's trick to have another file emptied.
        message = f"it has {status.st_nlink} names"
    else:
        return
    raise Refused(message)


def _rotate(path: Path, log: int, status: os.stat_result, settings: Logs) -> Rotated:
    temporary = path.with_name(f".{path.name}.rotating")
    first = path.with_name(f"{path.name}.1")
    temporary.unlink(missing_ok=True)
    copy = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.fchmod(copy, stat.S_IMODE(status.st_mode))
            copied = _copy(log, copy, 0, status.st_size)
            os.fsync(copy)
            _make_room(path, settings.keep)
            temporary.replace(first)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        # What came meanwhile. From here on a failure leaves lines twice, never nowhere.
        limit = copied + SURPLUS_BYTES
        while True:
            reached = _copy(log, copy, copied, limit)
            if reached > copied:
                os.fsync(copy)
                copied = reached
            elif (size := os.fstat(log).st_size) <= copied or copied >= limit:
                break
        os.ftruncate(log, 0)
    finally:
        os.close(copy)
    if settings.compress:
        _pack(first)
    return Rotated(copied, max(0, size - copied))


def _copy(log: int, copy: int, offset: int, limit: int) -> int:
    """Copy from `offset` up to the end or to `limit` bytes; return where it got to."""
    while offset < limit:
        part = os.pread(log, min(CHUNK, limit - offset), offset)
        if not part:
            break
        view = memoryview(part)
        while view:
            view = view[os.write(copy, view) :]
        offset += len(part)
    return offset


def _make_room(path: Path, keep: int) -> None:
    plan = shift(path.name, (other.name for other in path.parent.iterdir()), keep)
    for name in plan.removals:
        path.with_name(name).unlink()
    for old, new in plan.renames:
        path.with_name(old).replace(path.with_name(new))


def _pack(path: Path) -> None:
    """Compress an old log; when that fails it stays as it is."""
    packed = path.with_name(path.name + PACKED)
    temporary = path.with_name(f".{packed.name}.packing")
    temporary.unlink(missing_ok=True)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with path.open("rb") as source, os.fdopen(handle, "wb") as target:
            with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as compressed:
                shutil.copyfileobj(source, compressed, CHUNK)
            os.fchmod(target.fileno(), stat.S_IMODE(path.stat().st_mode))
            os.fsync(target.fileno())
        temporary.replace(packed)
        path.unlink()
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
