"""The words every judgement speaks: Unknown, Step and Finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Unknown:
    """Something that could not be read, and why. Never equal to an empty value."""

    reason: str

    def __bool__(self) -> bool:
        """Refuse to be taken for "nothing there"."""
        message = f"unknown is neither true nor false: {self.reason}"
        raise TypeError(message)


@dataclass(frozen=True)
class Step:
    """One act that brings one item from what was found to what is wanted.

    `action` is a verb of the concern that carries it out (`pull`, `bootstrap`, ...), `item` names the thing, `found` and
    `wanted` are plain values for people and reports, `why` is a clause that completes "because ...".
    """

    action: str
    item: str
    found: Any
    wanted: Any
    why: str = ""


@dataclass(frozen=True)
class Finding:
    """A sentence about a host that somebody should read, with the figures it rests on."""

    host: str
    concern: str
    item: str
    found: Any
    wanted: Any
    severity: Severity
    why: str
    remedy: str = ""

    def sentence(self) -> str:
        """Return `host: item is found; why. remedy.` as one line for a terminal."""
        tail = f" {self.remedy[0].upper()}{self.remedy[1:]}." if self.remedy else ""
        return f"{self.host}: {self.item}: {self.why}.{tail}"


def plain(value: Any) -> Any:
    """Turn dataclasses, tuples and sets into what JSON and YAML hold; `Unknown` becomes `{"unknown": reason}`."""
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def unknown_in(value: Any) -> Unknown | None:
    """Read back `{"unknown": reason}` from JSON; None when the value was read."""
    if isinstance(value, Mapping) and set(value) == {"unknown"}:
        return Unknown(str(value["unknown"]))
    return None


def differences(steps: Iterable[Step]) -> dict[str, Any]:
    """Return the `diff` of an Ansible result: what each step found, beside what it wants.

    The same steps are printed in check mode and in a real run, so the two cannot disagree.
    """
    before, after = {}, {}
    for step in steps:
        key = f"{step.action} {step.item}"
        before[key] = plain(step.found)
        after[key] = {"wanted": plain(step.wanted), "why": step.why} if step.why else plain(step.wanted)
    return {"before": before, "after": after}
