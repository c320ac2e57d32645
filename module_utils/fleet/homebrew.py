"""The formula on disk: read from Homebrew's own links, so that a no-op never starts `brew` (0.5 to 1.5 s a call)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .vocabulary import Step


@dataclass(frozen=True)
class Keg:
    """The formula as its links tell it.

    `installed` are the versions in the Cellar, `linked` is the one that `opt/FORMULA` points to, `program` is the resolved path
    of the executable ("" when the links lead nowhere).
    """

    brew: bool
    installed: tuple[str, ...] = ()
    linked: str = ""
    program: str = ""
    pinned: bool = False


_CELLAR = re.compile(r"/Cellar/[^/]+/(?P<version>[0-9]+(?:\.[0-9]+)+)(?:_[0-9]+)?/")


def cellar_version(program: str) -> str:
    """Return the version of the keg that a resolved program lies in, without Homebrew's revision; "" when it lies in none."""
    found = _CELLAR.search(program)
    return found["version"] if found else ""


def plan(found: Keg, formula: str) -> tuple[Step, ...]:
    """List the one step that is missing: install what is absent, link what is there but not reachable."""
    if not found.installed:
        return (Step("install", formula, "absent", "present"),)
    if not found.linked or not found.program:
        newest = found.installed[-1]
        return (Step("link", formula, f"{newest} in the Cellar, not linked", f"{newest} linked"),)
    return ()


def keg_from_json(data: Mapping[str, Any]) -> Keg:
    """Read an observation back."""
    return Keg(**{**data, "installed": tuple(data["installed"])})
