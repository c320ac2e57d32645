"""Homebrew: a real Cellar with kegs, links and pins, and a `brew` that works on it (Homebrew 6.0.18)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "6.0.18"
_FOLDERS = (
    "bin",
    "Caskroom",
    "Cellar",
    "etc",
    "Frameworks",
    "include",
    "lib",
    "opt",
    "sbin",
    "share",
    "var/homebrew/linked",
    "var/homebrew/locks",
    "var/homebrew/pinned",
    "var/log",
)
_SHIM = '#!/bin/sh\nexec /opt/virtual-mac/python /opt/virtual-mac/lib/mac/entry.py brew "$@"\n'


def layout(prefix: Path, uid: int | None = None, gid: int | None = None) -> None:
    """Write an empty but valid Homebrew: its folders and `bin/brew`, owned as asked for."""
    made = [prefix]
    prefix.mkdir(parents=True, exist_ok=True)
    for name in _FOLDERS:
        folder = prefix / name
        folder.mkdir(parents=True, exist_ok=True)
        made += [folder, *(parent for parent in folder.parents if prefix in parent.parents)]
    shim = prefix / "bin" / "brew"
    shim.write_text(_SHIM, encoding="utf-8")
    shim.chmod(0o755)
    if uid is not None:
        for file in [*made, shim]:
            os.chown(file, uid, 80 if gid is None else gid)
