"""The store behind enable and disable: it outlives reboots, and the plists it speaks of.

No verb deletes an entry, and a label without one is as its plist's Disabled key says (launchd.plist(5)).
"""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING

from mac import machine

if TYPE_CHECKING:
    from mac.launchd.domains import Domain


def read(domain: Domain) -> dict[str, bool]:
    """Give label -> disabled; a damaged store counts as empty, as a missing one does."""
    try:
        known = plistlib.loads(machine.path(domain.store).read_bytes())
    except (OSError, ValueError, plistlib.InvalidFileException):
        return {}
    if not isinstance(known, dict):
        return {}
    return {label: value for label, value in known.items() if isinstance(value, bool)}


def note(domain: Domain, label: str, disabled: bool) -> None:
    """Note a label as disabled or enabled."""
    known = read(domain)
    known[label] = disabled
    machine.write_atomically(machine.path(domain.store), plistlib.dumps(known))
