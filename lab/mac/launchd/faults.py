"""The faults this launchd can be given, and how a fault chooses the jobs it strikes.

Each is something launchd was seen to do on a real Mac and that an automation tool has to survive.
"""

from __future__ import annotations

import json
from typing import Any

from mac import machine

FAULTS: dict[str, str] = {
    "drain-seconds": "a booted-out label stays registered for at least this many seconds, even when its"
    " process died at once (bootstrap answers 5 meanwhile)",
    "bootstrap-fails": "the next N bootstraps of a label that is not loaded answer 5; counts itself down",
    "bootstrap-stays-idle": "bootstrap answers 0, but the job is not started until someone kickstarts it;"
    " true, a label, or a list of labels",
    "bootstrap-vanishes": "bootstrap answers 0, then the label is gone, as when Background Task Management"
    " denies it; true, a label, or a list of labels",
    "print-denied": "print answers 1 Operation not permitted to everyone but root",
}


def strikes(value: Any, label: str) -> bool:
    """Say whether a fault set to this value concerns this label: true, one label, or a list of them."""
    if isinstance(value, str):
        return value == label
    if isinstance(value, list):
        return label in value
    return bool(value)


def seconds(value: Any) -> float:
    """Read a duration; anything that is not a positive number is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(value)
    return 0.0


def remaining(value: Any) -> int:
    """Read a count-down; a plain "on" is once."""
    return max(0, int(value)) if isinstance(value, (bool, int)) else 0


def count_down(name: str) -> bool:
    """Use up one occurrence of a counted fault; the rest stays in the file and so outlives a reboot."""
    left = remaining(machine.fault(name, 0))
    if left == 0:
        return False
    known = machine.read_json(machine.FAULTS, {})
    known.pop(name, None)
    if left > 1:
        known[name] = left - 1
    text = json.dumps(known, indent=1, sort_keys=True) + "\n"
    machine.write_atomically(machine.path(machine.FAULTS), text.encode("utf-8"))
    return True
