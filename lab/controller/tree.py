"""Writing a layer of an overlay file system: files with their owners, and marks that hide what lies below."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

ROOT_ID = (0, 0)


@dataclass(frozen=True)
class Tree:
    """A folder that becomes (a layer of) a host's root; paths are given as the host sees them."""

    root: Path

    def at(self, path: str) -> Path:
        """Give where a path of the host lies here."""
        return self.root / path.lstrip("/")

    def folder(self, path: str, mode: int = 0o755, owner: tuple[int, int] = ROOT_ID, *, alone: bool = False) -> None:
        """Make a folder; `alone` hides the content of the same folder in lower layers (overlayfs: opaque)."""
        place = self.at(path)
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(mode)
        os.chown(place, *owner)
        if alone:
            os.setxattr(place, "trusted.overlay.opaque", b"y")

    def file(self, path: str, text: str, mode: int = 0o644, owner: tuple[int, int] = ROOT_ID) -> None:
        """Write a file, and the folders above it as root's."""
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # a mark left by hide() is a device: writing would not replace it
        place.write_text(text, encoding="utf-8")
        place.chmod(mode)
        os.chown(place, *owner)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def hide(self, path: str) -> None:
        """Hide a file or folder of the lower layers: a character device 0/0 is overlayfs' whiteout."""
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(place, stat.S_IFCHR | 0o000, os.makedev(0, 0))

    def copy(self, source: Path, path: str) -> None:
        """Copy a file or folder from the running system, links as links; one that is missing is passed over."""
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, place, symlinks=True)
        elif source.is_symlink() or source.exists():
            shutil.copy2(source, place, follow_symlinks=False)
