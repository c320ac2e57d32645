"""Who else may write where this fleet keeps what launchd starts, root reads or Ollama serves: told, never changed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .vocabulary import Finding

CONCERN = "permissions"

ROOT = 0
TRUSTED_GROUPS = (0, 80)
"""wheel and admin: whoever is in them may become root anyway (macOS 14 to 26). 20 is staff, and every person is in it."""

GROUP_WRITES, OTHERS_WRITE, STICKY = 0o020, 0o002, 0o1000

SYSTEM = ("/Library/", "/System/", "/private/", "/etc/", "/var/", "/usr/", "/opt/")


@dataclass(frozen=True)
class Place:
    """A folder or file as it lies on disk, links followed; `mode` holds the permission bits alone."""

    mode: int
    uid: int
    gid: int


def places_from_json(data: Mapping[str, Any]) -> dict[str, Place]:
    """Read the `permissions` part of an observation back; what does not exist is not in it."""
    return {path: Place(**place) for path, place in data.items()}


def findings(host: str, places: Mapping[str, Place], uid: int) -> tuple[Finding, ...]:
    """Return one finding for each place that somebody else than root and user `uid` may change, and the command that mends it.

    Access control lists are not seen: macOS keeps them beside the mode, `ls -le` shows them.
    """
    notes = []
    for path, place in sorted(places.items()):
        if place.uid not in (ROOT, uid):
            notes.append(_foreign(host, path, place, uid))
        writers = _writers(place)
        if writers:
            notes.append(
                Finding(host, CONCERN, path, f"mode {place.mode:04o}", f"mode {place.mode & ~_bits(place):04o}", "warning",
                        f"{writers} may write there (mode {place.mode:04o}) and so decide what this Mac runs or serves",
                        f"on {host}: {_sudo(place, uid)}chmod {_letters(place)}-w {shlex.quote(path)}")
            )  # fmt: skip
    return tuple(notes)


def _foreign(host: str, path: str, place: Place, uid: int) -> Finding:
    owner = ROOT if path.startswith(SYSTEM) else uid
    return Finding(host, CONCERN, path, f"owner {place.uid}", f"owner {owner}", "warning",
                   f"it belongs to user {place.uid}, who may put something else there",
                   f"on {host}: sudo chown {owner} {shlex.quote(path)}")  # fmt: skip


def _bits(place: Place) -> int:
    """Return the bits that let others write. In a sticky folder such as /tmp nobody can replace what is another's."""
    bits = place.mode & (GROUP_WRITES | OTHERS_WRITE)
    if place.mode & STICKY:
        return 0
    return bits & ~GROUP_WRITES if place.gid in TRUSTED_GROUPS else bits


def _writers(place: Place) -> str:
    bits = _bits(place)
    if bits & OTHERS_WRITE:
        return "everybody"
    return f"everybody in group {place.gid}" if bits else ""


def _letters(place: Place) -> str:
    bits = _bits(place)
    return ("g" if bits & GROUP_WRITES else "") + ("o" if bits & OTHERS_WRITE else "")


def _sudo(place: Place, uid: int) -> str:
    return "" if place.uid == uid else "sudo "
