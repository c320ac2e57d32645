"""The application firewall: rules by program path, read from `socketfilterfw` text (macOS 14 to 27)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .vocabulary import Finding, Step, Unknown

Verdict = Literal["allow", "block"]

_ROW = re.compile(r"^\s*\d+\s*:\s*(\S.*?)\s*$")
_VERDICT = re.compile(r"^\s+\(\s*(Allow|Block) incoming connections\s*\)")
_STATE = re.compile(r"\(State = ([012])\)")
_MANAGED = "cannot be modified from command line on managed Mac"

OFF, ON, BLOCK_ALL = 0, 1, 2


@dataclass(frozen=True)
class Firewall:
    """What `--getglobalstate` and `--listapps` say. `state` is 0 off, 1 on, 2 block all."""

    state: int | Unknown
    rules: Mapping[str, Verdict] = field(default_factory=dict)


def parse_state(text: str) -> int | Unknown:
    """Read `--getglobalstate`; the wording before the bracket differs by version, the number does not."""
    found = _STATE.search(text)
    return int(found[1]) if found else Unknown(f"socketfilterfw said {text.strip()[:120]!r}")


def parse_rules(text: str) -> dict[str, Verdict]:
    """Read `--listapps`, the form of macOS 15 and later as well as the older one with padding and blank lines."""
    rules: dict[str, Verdict] = {}
    path = None
    for line in text.splitlines():
        verdict = _VERDICT.match(line)
        if verdict and path is not None:
            rules[path] = "allow" if verdict[1] == "Allow" else "block"
            path = None
            continue
        row = _ROW.match(line)
        if row:
            path = row[1]
    return rules


def is_managed_refusal(text: str) -> bool:
    """Tell the sentence by which a Mac under device management refuses a change, whatever the exit status."""
    return _MANAGED in text


def stale(rule: str, program: str) -> bool:
    """Tell a rule for another version of the same keg.

    Homebrew gives every version its own folder, and macOS 15.3.1 was seen to drop in silence a new rule for a program whose
    code identifier already has one, so what is stale must go before the new rule comes.
    """
    keg = re.match(r"(/.+/Cellar/[^/]+/)", program)
    return bool(keg) and rule != program and rule.startswith(keg[1])  # type: ignore[index]


def plan(found: Firewall, programs: Sequence[str]) -> tuple[Step, ...]:
    """List the steps that let these programs (resolved paths) accept connections.

    Nothing is done while the firewall is off: rules mean nothing then, and opening what is open would be a change for nothing.
    """
    if isinstance(found.state, Unknown) or found.state == OFF:
        return ()
    steps = [
        Step("remove", rule, verdict, "absent", "it names a version that Homebrew has replaced")
        for rule, verdict in sorted(found.rules.items())
        if rule not in programs and any(stale(rule, program) for program in programs)
    ]
    steps += [
        Step(
            "allow",
            program,
            found.rules.get(program, "no rule"),
            "allow",
            "a program without a rule is shut off in silence",
        )
        for program in programs
        if found.rules.get(program) != "allow"
    ]
    return tuple(steps)


def removal(found: Firewall, programs: Sequence[str], cellar: str) -> tuple[Step, ...]:
    """List the steps after which no rule names one of these programs (resolved paths) or anything below `cellar`.

    Rules are there, and are removed, whether the firewall is on or not. A keg that is gone leaves its rule behind.
    """
    return tuple(
        Step("remove", rule, verdict, "absent")
        for rule, verdict in sorted(found.rules.items())
        if rule in programs or (cellar and rule.startswith(cellar)) or any(stale(rule, program) for program in programs)
    )


def findings(host: str, found: Firewall) -> tuple[Finding, ...]:
    """Return what the rules cannot mend: firewall off, block-all, unreadable."""
    if isinstance(found.state, Unknown):
        return (
            Finding(host, "firewall", "application firewall", "unknown", "readable", "warning", found.state.reason,
                    "look at System Settings > Network > Firewall"),
        )  # fmt: skip
    if found.state == OFF:
        return (
            Finding(host, "firewall", "application firewall", "off", "on", "note",
                    "it is off, so every program on this Mac accepts connections and no rule is needed"),
        )  # fmt: skip
    if found.state == BLOCK_ALL:
        return (
            Finding(host, "firewall", "application firewall", "block all", "on", "warning",
                    "it blocks all incoming connections, no rule for Ollama can help",
                    "turn off 'Block all incoming connections' if this Mac is to serve others"),
        )  # fmt: skip
    return ()


def firewall_from_json(data: Mapping[str, Any]) -> Firewall:
    """Read an observation back."""
    state = data["state"]
    return Firewall(state if isinstance(state, int) else Unknown(state["unknown"]), data["rules"])
