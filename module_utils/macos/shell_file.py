"""Read and replace a shell's start file without touching what is not ours: owner, mode, links."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet.shell_block import MODE, Found, look
else:
    from ansible.module_utils.fleet.shell_block import MODE, Found, look


def expanded(path: str) -> str:
    """Return the path with `~` as the home of the connecting user; ValueError unless it is absolute then."""
    full = str(Path(path).expanduser())
    if not full.startswith("/"):
        message = f"{path!r} is neither absolute nor begins with ~"
        raise ValueError(message)
    return full


def read(path: str) -> bytes | None:
    """Return the content, through symbolic links; None when there is nothing, also behind a link. OSError for anything else."""
    place = Path(path)
    if place.exists() and not place.is_file():
        message = f"{path} is no file"
        raise OSError(message)
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None


def observe(path: str) -> Found:
    """Return what the file at this path holds of us."""
    full = expanded(path)
    return look(full, read(full))


def replace(path: str, content: bytes | None) -> None:
    """Write the whole file, or delete it for None; OSError when owner, group or mode could not be kept, with nothing changed.

    A link stays and its target is written. The new content lies complete on the disk before the old one is given up.
    """
    target = Path(os.path.realpath(path))
    if content is None:
        target.unlink()
        return
    status = target.stat() if target.exists() else None
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if status is None:
            temporary.chmod(MODE)
        elif status.st_nlink > 1:
            # A new file would part it from its other names.
            _overwrite(target, content)
            return
        else:
            made = temporary.stat()
            if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
                os.chown(temporary, status.st_uid, status.st_gid)
            temporary.chmod(status.st_mode & 0o7777)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _overwrite(target: Path, content: bytes) -> None:
    with target.open("r+b") as file:
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
