"""What the last measurements proved of each model's calls of tools, read from `reports/bench.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .shown import harmless

LEVELS = ("off", "warn", "require")


@dataclass(frozen=True)
class Proof:
    """The last result of one model on one Mac. `why` says why it was never asked, such as that it has no tools."""

    passed: int
    of: int
    digest: str = ""
    made_at: str = ""
    failures: tuple[str, ...] = ()
    why: str = ""

    @property
    def holds(self) -> bool:
        """Tell whether every try passed."""
        return not self.why and 0 < self.of == self.passed


@dataclass(frozen=True)
class Proofs:
    """All proofs by host and model; `problem` says why the report could not be read, "" when it could or is not there."""

    known: Mapping[tuple[str, str], Proof]
    problem: str = ""


NONE = Proofs({})


def proofs_from_text(text: str) -> Proofs:
    """Read the report; one that is not there ("") proves nothing, one that nobody can read neither."""
    if not text.strip():
        return NONE
    try:
        data = json.loads(text)
        if data["schema"] != "ollama-fleet/bench" or data["schema_version"] != 1:
            return Proofs({}, "it is no report of playbooks/bench.yml of this version")
        known = {}
        for entry in data["history"]:
            found = next((proof for result in reversed(entry["results"]) if (proof := _proof(result))), None)
            if found is not None:
                known[(str(entry["host"]), str(entry["model"]))] = found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        return Proofs({}, f"it cannot be read ({type(problem).__name__})")
    return Proofs(known)


def _proof(result: Mapping[str, Any]) -> Optional[Proof]:
    """Return what one result proved, None where nobody asked."""
    tools = result.get("tools")
    if not tools:
        return None
    return Proof(
        int(tools["passed"]),
        int(tools["of"]),
        harmless(result.get("digest") or ""),
        harmless(result.get("made_at") or ""),
        tuple(sorted(harmless(kind) for kind in tools.get("failures") or ())),
        harmless(tools.get("why") or ""),
    )
