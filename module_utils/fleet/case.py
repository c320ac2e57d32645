"""What is put before a judge of the plan, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .vocabulary import Finding, Step, Unknown, unknown_in


@dataclass(frozen=True)
class Judged:
    """What one concern lacks: its steps, what no step mends, and why it could not be judged if it could not.

    `ours` is False where the inventory wants nothing of it, so that nothing was compared.
    """

    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    unknown: Unknown | None = None
    ours: bool = True


NOT_OURS = Judged(ours=False)
"""The answer about what the inventory leaves alone."""


@dataclass(frozen=True)
class Case:
    """One Mac before the judges: what is wanted, what was seen, and what the concerns before this one lack."""

    host: str
    desired: Mapping[str, Any]
    observed: Mapping[str, Any]
    before: Mapping[str, Judged] = field(default_factory=dict)

    def part(self, name: str) -> Any:
        """Return a part of the observation, or `Unknown` with the reason."""
        reason = unknown_in(self.observed.get(name))
        if reason is not None:
            return reason
        return self.observed[name] if name in self.observed else Unknown("not observed")

    def steps(self, concern: str) -> tuple[Step, ...]:
        """Return the steps of a concern that was judged before this one."""
        return self.before[concern].steps if concern in self.before else ()
