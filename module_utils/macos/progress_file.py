"""Where a long module leaves how far it is, for the action on the controller that shows it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITE_SECONDS = 0.5
"""At most twice a second: a disk is not a screen."""


@dataclass
class ProgressFile:
    """One JSON object in `path` with `line` and `pid`, replaced as a whole; nothing is written without a path.

    It is there from the beginning, so that who follows a module can tell a long silence from an end without a word.
    """

    path: str = ""
    _written: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        """Say who is at work; the first line may come as soon as it likes."""
        self.say("")
        self._written = float("-inf")

    def say(self, line: str, *, at_once: bool = False, **more: Any) -> None:
        """Leave a line; one that comes too soon after the last is passed over, unless it must be seen."""
        now = time.monotonic()
        if not self.path or (now - self._written < WRITE_SECONDS and not at_once):
            return
        self._written = now
        target = Path(self.path)
        temporary = target.with_suffix(".new")
        temporary.write_text(json.dumps({"line": line, "pid": os.getpid(), **more}) + "\n")
        temporary.replace(target)

    def at_once(self, line: str) -> None:
        """Leave a line that must be seen: the beginning of something that may take minutes."""
        self.say(line, at_once=True)
