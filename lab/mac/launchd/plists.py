"""Looking at plists on disk: whether launchd would take them, and which of a folder it loads by itself."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from mac.launchd import accounts, job
from mac.launchd.decisions import File
from mac.launchd.domains import SYSTEM_KIND, Domain

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


def trusted(status: os.stat_result, domain: Domain) -> bool:
    """Say whether owner and mode let a plist be loaded: the loading user or root, writable by nobody else.

    umask 002 already makes files launchd refuses (0664); 0600 is fine (macOS 26.5.1).
    """
    owners = {0} if domain.kind == SYSTEM_KIND else {0, domain.uid}
    return status.st_uid in owners and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _accounts_exist(definition: job.Definition) -> File:
    if definition.user_name and accounts.by_name(definition.user_name) is None:
        return File.NO_USER
    if definition.group_name and accounts.group(definition.group_name) is None:
        return File.NO_GROUP
    return File.GOOD


def examine(path: str, domain: Domain) -> tuple[File, job.Definition | None]:
    """Judge a plist for a domain; the definition is given whenever it could be read."""
    try:
        status = Path(path).stat()
        data = Path(path).read_bytes() if stat.S_ISREG(status.st_mode) else b""
    except (OSError, ValueError):
        return File.MISSING, None
    try:
        definition = job.parse(data)
    except job.RejectedError as error:
        return (File(error.number) if trusted(status, domain) else File.BAD_OWNERSHIP), None
    if not trusted(status, domain):
        return File.BAD_OWNERSHIP, definition
    if domain.kind == SYSTEM_KIND:
        known = _accounts_exist(definition)
        if known is not File.GOOD:
            return known, definition
    return (File.GOOD if definition.loads_in(domain) else File.WRONG_SESSION), definition


def in_folder(folder: Path, follow_links: bool) -> Iterator[str]:
    """Give the plists of a folder in order of name.

    Symbolic links are ignored at login since macOS 14 (reported; home-manager copies its files for that
    reason).
    """
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return
    for name in names:
        path = folder / name
        if name.endswith(".plist") and not name.startswith(".") and (follow_links or not path.is_symlink()):
            yield str(path)


def expand(paths: tuple[str, ...], cwd: str) -> list[str]:
    """Give the files a command line means: relative to the caller's folder, a folder for its plists."""
    found: list[str] = []
    for given in paths:
        path = given if given.startswith("/") else cwd.rstrip("/") + "/" + given
        found += in_folder(Path(path), follow_links=True) if Path(path).is_dir() else [path]
    return found
