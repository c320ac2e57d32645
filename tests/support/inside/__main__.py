"""Run the module `launchd_service` inside a Mac, and let the power fail right before a chosen effect."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
from typing import Any

import launchd_service
from ansible.module_utils import basic
from ansible.module_utils.macos import change_record, launchd_change, service_gate


def counted(name: str, real: Any, cut: int | None) -> Any:
    """Wrap one effect: note it, or end this very process as a power cut would, with nothing cleaned up."""

    def effect(*words: Any, **options: Any) -> Any:
        if name == "launchctl" and words[0].startswith("print"):
            return real(*words, **options)
        if cut is not None and len(basic.EFFECTS) == cut:
            os.kill(os.getpid(), signal.SIGKILL)
        basic.EFFECTS.append(" ".join([name, *(word for word in words if isinstance(word, str))]))
        return real(*words, **options)

    return effect


def main() -> None:
    """Read a request from stdin: `arguments`, `check`, `cut`."""
    basic.REQUEST.update(json.load(sys.stdin))
    cut = basic.REQUEST.get("cut")
    for place, name in (
        (launchd_change, "launchctl"),
        (launchd_change, "replace_file"),
        (change_record, "replace_file"),
        (service_gate.ServerGate, "load"),
        (pathlib.Path, "unlink"),
    ):
        setattr(place, name, counted(name, getattr(place, name), cut))
    launchd_service.main()


main()
