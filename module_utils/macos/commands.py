"""Run the commands of macOS: as lists, in the C locale, bounded in time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""The PATH of launchd and of a non-interactive ssh session on macOS; commands are found nowhere else."""


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    rc: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Return the words to show a person: the first line of stderr, else of stdout."""
        words = (self.err.strip() or self.out.strip()).splitlines()
        return words[0] if words else f"exit status {self.rc}"


def run(argv: Sequence[str], timeout: float = 10, environment: Mapping[str, str] | None = None) -> Answer:
    """Run and return, whatever the exit status; OSError when there is no such command or it takes too long."""
    surroundings = {**os.environ, "PATH": SYSTEM_PATH, "LC_ALL": "C", **(environment or {})}
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            timeout=timeout,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        message = f"{argv[0]} did not answer within {timeout:g} s"
        raise OSError(message) from problem
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
