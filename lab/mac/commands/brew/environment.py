"""The surroundings of one call of brew: prefix, who calls, and the variables that steer it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from mac.commands.brew.plan import Settings
from mac.machine import fault, machine, path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What Ruby takes to start, against the verbs that brew.sh answers itself (0.02 to 0.06 s).
RUBY_SECONDS = 0.3
BASH_SHARE = 1 / 15


class Context(NamedTuple):
    """One call's surroundings."""

    prefix: Path  # where the files are
    shown: str  # the prefix as it is printed
    uid: int
    variables: Mapping[str, str]

    def on(self, name: str) -> bool:
        """Say whether a switch of the environment is set; any text but the empty one counts."""
        return bool(self.variables.get(name))

    @property
    def settings(self) -> Settings:
        """Give the variables that decisions depend on."""
        cleanup = not self.on("HOMEBREW_NO_INSTALL_CLEANUP")
        return Settings(cleanup, not self.on("HOMEBREW_NO_INSTALL_UPGRADE"))

    @property
    def hints(self) -> bool:
        """Say whether hints about variables are wanted."""
        return not self.on("HOMEBREW_NO_ENV_HINTS")


def context() -> Context:
    """Read the surroundings of this call."""
    shown = machine().prefix
    return Context(path(shown), shown, os.geteuid(), dict(os.environ))


def wait(ruby: bool) -> None:
    """Take the time that brew takes."""
    seconds = float(fault("brew-delay", RUBY_SECONDS))
    time.sleep(seconds if ruby else seconds * BASH_SHARE)
