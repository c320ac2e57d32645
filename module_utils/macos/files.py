"""Write files so that no reader meets half of one, and a power cut neither."""

from __future__ import annotations

import contextlib
import os
import pwd
import tempfile
from pathlib import Path


def make_folder(folder: Path, owner: pwd.struct_passwd | None = None) -> None:
    """Make a folder and what is missing above it, 0755, each new one the owner's where root makes it for somebody."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(mode=0o755)
        made.chmod(0o755)
        if owner is not None and os.geteuid() == 0:
            os.chown(made, owner.pw_uid, owner.pw_gid)


def replace_file(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Put a new file in the place of an old one in one rename; `owner` is (uid, gid), left out for whoever writes.

    The name in between ends in .new: launchd would load anything that ends in .plist.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if owner is not None:
                status = os.fstat(file.fileno())
                if (status.st_uid, status.st_gid) != owner:
                    os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last; not every file system takes it, and none needs it to be right."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
