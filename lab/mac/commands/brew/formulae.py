"""The formulae that the tap offers here, and which of their versions the caller's copy of the tap knows."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from mac.machine import fault, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


class Formula(NamedTuple):
    """What `brew info` says about a program, apart from what is installed."""

    name: str
    description: str
    homepage: str
    license: str
    versions: tuple[str, ...]  # newest first; the first is stable
    has_service: bool = False


OLLAMA = Formula(
    "ollama",
    "Create, run, and share large language models (LLMs)",
    "https://ollama.com/",
    "MIT",
    # 0.30.2's bottle lacks llama-server: it installs, answers, and cannot load a model.
    ("0.32.15", "0.32.3", "0.30.2", "0.24.0", "0.17.0"),
    True,
)
JQ = Formula(
    "jq", "Lightweight and flexible command-line JSON processor", "https://jqlang.github.io/jq/", "MIT", ("1.8.1", "1.7.1")
)
FORMULAE: dict[str, Formula] = {formula.name: formula for formula in (JQ, OLLAMA)}


def offered(formula: Formula) -> str:
    """Give the version that the tap, out on the internet, has as stable now."""
    return str(fault("brew-stable", formula.versions[0])) if formula is OLLAMA else formula.versions[0]


class Tap:
    """The copy of the tap on this Mac: as old as the last update."""

    def __init__(self, prefix: Path) -> None:
        self._file = prefix / "var/homebrew/api.json"

    def _known(self) -> dict[str, str]:
        try:
            known: dict[str, str] = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return known

    def stable(self, formula: Formula) -> str:
        """Give the version this Mac believes to be stable; the first question ever asks the internet."""
        known = self._known()
        if formula.name not in known and not fault("brew-offline"):
            self.update()
            known = self._known()
        return known.get(formula.name, formula.versions[0])

    def age(self) -> float:
        """Give the seconds since the copy was fetched; a copy that is not there is as old as can be."""
        try:
            return max(0.0, time.time() - self._file.stat().st_mtime)
        except FileNotFoundError:
            return float("inf")

    def update(self) -> tuple[str, ...]:
        """Fetch the tap; give the names of the formulae whose version changed."""
        before = self._known()
        after = {name: offered(formula) for name, formula in FORMULAE.items()}
        if after == before:
            self._file.touch()
        else:
            write_atomically(self._file, json.dumps(after, indent=1).encode("utf-8"))
        return tuple(name for name in after if name in before and before[name] != after[name])


def find(name: str) -> Formula | None:
    """Find a formula by its name, short or full."""
    return FORMULAE.get(name.lower().replace("homebrew/core/", ""))
