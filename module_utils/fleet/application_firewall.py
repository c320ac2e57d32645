"""The application firewall: rules by program path and the switches of the whole, from `socketfilterfw` text (macOS 14 to 27)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .vocabulary import Finding, Step, Unknown

CONCERN = "firewall"

Verdict = Literal["allow", "block"]
State = Literal["enabled", "disabled"]

_ROW = re.compile(r"^\s*\d+\s*:\s*(\S.*?)\s*$")
_VERDICT = re.compile(r"^\s+\(\s*(Allow|Block) incoming connections\s*\)")
_STATE = re.compile(r"\(State = ([012])\)")
_IDENTIFIER = re.compile(r"^Identifier=(\S+)\s*$", re.MULTILINE)
_MANAGED = "cannot be modified from command line on managed Mac"
_ON = ("on", "enabled")

OFF, ON, BLOCK_ALL = 0, 1, 2


@dataclass(frozen=True)
class Switch:
    """A switch of the whole firewall: what asks for it, what sets it, and how its answer reads in every form known."""

    getter: str
    setter: str
    pattern: re.Pattern[str]


def _answers(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# Texts of macOS 14 and older first, then those of 15 to 27.
SWITCHES: Mapping[str, Switch] = {
    "stealth": Switch("--getstealthmode", "--setstealthmode", _answers(r"stealth mode (?:is )?(on|off|enabled|disabled)")),
    "allow_signed": Switch(
        "--getallowsigned",
        "--setallowsigned",
        _answers(r"allow (?:signed built-in|built-in signed) software (enabled|disabled)"),
    ),
    "allow_signed_downloads": Switch(
        "--getallowsigned", "--setallowsignedapp", _answers(r"allow downloaded signed software (enabled|disabled)")
    ),
    # Last, after the firewall itself is on: while it is off there is nothing that could block.
    "block_all": Switch("--getblockall", "--setblockall", _answers(r"block all (?:state set to )?(enabled|disabled)")),
}
"""Each is a variable `firewall_NAME`, and stays as it is where the inventory says nothing."""

GETTERS = ("--getglobalstate", *dict.fromkeys(switch.getter for switch in SWITCHES.values()), "--listapps")
"""Every question, for one call: the tool takes several (captured on macOS 27)."""


@dataclass(frozen=True)
class Firewall:
    """What the tool says. `state` is 0 off, 1 on, 2 block all; `managed` tells that a profile decides and no run can."""

    state: int | Unknown
    rules: Mapping[str, Verdict] = field(default_factory=dict)
    switches: Mapping[str, bool | Unknown] = field(default_factory=dict)
    managed: bool = False


@dataclass(frozen=True)
class Settings:
    """What the inventory asks of the whole firewall; what it leaves out is not ours."""

    state: State | None = None
    switches: Mapping[str, bool] = field(default_factory=dict)


def settings_from_json(data: Mapping[str, Any]) -> Settings:
    """Read the settings out of a map that also holds other things; None and absent are not ours."""
    asked = {name: bool(data[name]) for name in SWITCHES if data.get(name) is not None}
    return Settings(data.get("state"), asked)


def parse_state(text: str) -> int | Unknown:
    """Read `--getglobalstate`; the wording before the bracket differs by version, the number does not."""
    found = _STATE.search(text)
    return int(found[1]) if found else Unknown(f"socketfilterfw said {text.strip()[:120]!r}")


def parse_switches(text: str) -> dict[str, bool | Unknown]:
    """Read the switches out of what the getters said, one after the other or all together."""
    switches: dict[str, bool | Unknown] = {}
    for name, switch in SWITCHES.items():
        found = switch.pattern.search(text)
        switches[name] = found[1].lower() in _ON if found else Unknown(f"socketfilterfw {switch.getter} said nothing known")
    return switches


def parse_identifier(text: str) -> str:
    """Read the code identifier out of `codesign -dv`; "" where there is none."""
    found = _IDENTIFIER.search(text)
    return found[1] if found else ""


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


def plan(found: Firewall, programs: Sequence[str], wanted: Settings | None = None) -> tuple[Step, ...]:
    """List the steps that let these programs (resolved paths) accept connections, and those to the settings asked for.

    While the firewall is off and stays off nothing else is done: rules and switches mean nothing then. Where it is to come on,
    the rules are there before it is. On a Mac whose firewall a profile manages no step could succeed.
    """
    asked = wanted or Settings()
    if found.managed or isinstance(found.state, Unknown):
        return ()
    is_on = found.state != OFF
    stays_on = is_on if asked.state is None else asked.state == "enabled"
    turn = [Step("set", "state", _state(is_on), _state(stays_on), "the inventory asks for it")] if is_on != stays_on else []
    if not stays_on:
        return tuple(turn)
    switches = _switch_steps(found, asked)
    last = [step for step in switches if step.item == "block_all"]
    return (*_rule_steps(found, programs), *(step for step in switches if step not in last), *turn, *last)


def _rule_steps(found: Firewall, programs: Sequence[str]) -> list[Step]:
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
    return steps


def removal(found: Firewall, programs: Sequence[str], cellar: str) -> tuple[Step, ...]:
    """List the steps after which no rule names one of these programs (resolved paths) or anything below `cellar`.

    Rules are there, and are removed, whether the firewall is on or not. A keg that is gone leaves its rule behind.
    """
    return tuple(
        Step("remove", rule, verdict, "absent")
        for rule, verdict in sorted(found.rules.items())
        if rule in programs or (cellar and rule.startswith(cellar)) or any(stale(rule, program) for program in programs)
    )


def _switch_steps(found: Firewall, asked: Settings) -> list[Step]:
    steps = []
    for name in SWITCHES:
        now = found.switches.get(name)
        if isinstance(now, bool) and name in asked.switches and now != asked.switches[name]:
            steps.append(Step("set", name, _word(now), _word(asked.switches[name]), "the inventory asks for it"))
    return steps


def _state(on: bool) -> State:
    return "enabled" if on else "disabled"


def _word(on: bool) -> str:
    return "on" if on else "off"


def command(step: Step) -> list[list[str]]:
    """Return the arguments of the tool for a step, one list a call.

    `--add` leaves an entry that blocks as it is, `--unblockapp` does nothing for an unlisted one: always both, in this order.
    """
    if step.action == "remove":
        return [["--remove", step.item]]
    if step.action == "allow":
        return [["--add", step.item], ["--unblockapp", step.item]]
    if step.item == "state":
        return [["--setglobalstate", "on" if step.wanted == "enabled" else "off"]]
    return [[SWITCHES[step.item].setter, str(step.wanted)]]


def dropped(step: Step, identifiers: Mapping[str, str]) -> str:
    """Say why a step did not show in the end, and the way out; `identifiers` maps programs to their code identifiers.

    Go's linker signs every program as `a.out`, and macOS 15.3.1 was seen to accept and never list a rule for a program whose
    identifier has one.
    """
    if (step.action, step.found) != ("allow", "no rule"):
        return (
            f"The application firewall did not take the change: {step.item} is still {step.found!r}, wanted is {step.wanted!r}."
            " Look at socketfilterfw --listapps and at System Settings > Network > Firewall > Options."
        )
    own = identifiers.get(step.item, "")
    rivals = [rule for rule, identifier in sorted(identifiers.items()) if own and identifier == own and rule != step.item]
    if not rivals:
        return (
            f"The application firewall accepted a rule for {step.item} and does not list it. Allow the program in System Settings"
            " > Network > Firewall > Options, or find with `codesign -dv` the listed program that has its code identifier"
            f"{f' {own!r}' if own else ''}, and remove that rule."
        )
    return (
        f"The application firewall accepted a rule for {step.item} and does not list it: the rule for {', '.join(rivals)} has the"
        f" same code identifier {own!r} (macOS 15.3). Remove it with `sudo socketfilterfw --remove {rivals[0]}`, run again, and"
        " add it back afterwards if it is still needed."
    )


def findings(host: str, found: Firewall, programs: Iterable[str] = (), wanted: Settings | None = None) -> tuple[Finding, ...]:
    """Return what no step mends: firewall off, block-all, managed by a profile, unreadable."""
    asked = wanted or Settings()
    if found.managed:
        return (_managed(host, found, tuple(programs), asked),)
    if isinstance(found.state, Unknown):
        return (
            Finding(host, CONCERN, "application firewall", "unknown", "readable", "warning", found.state.reason,
                    "look at System Settings > Network > Firewall"),
        )  # fmt: skip
    notes = []
    if found.state == OFF and asked.state != "enabled":
        notes.append(
            Finding(host, CONCERN, "application firewall", "off", "on", "note",
                    "it is off, so every program on this Mac accepts connections and no rule is needed")
        )  # fmt: skip
    if found.state == BLOCK_ALL and asked.state != "disabled" and "block_all" not in asked.switches:
        notes.append(
            Finding(host, CONCERN, "application firewall", "block all", "on", "warning",
                    "it blocks all incoming connections, no rule for Ollama can help",
                    "turn off 'Block all incoming connections' if this Mac is to serve others, or set firewall_block_all: false")
        )  # fmt: skip
    if found.state != OFF:
        notes += [
            Finding(host, CONCERN, f"firewall_{name}", "unknown", _word(asked.switches[name]), "warning",
                    f"it was left as it is, since it could not be read: {now.reason}",
                    "look at System Settings > Network > Firewall > Options")
            for name, now in sorted(found.switches.items())
            if isinstance(now, Unknown) and name in asked.switches
        ]  # fmt: skip
    return tuple(notes)


def _managed(host: str, found: Firewall, programs: Sequence[str], asked: Settings) -> Finding:
    """Say what a profile's firewall does for these programs: neither in order nor a failure, for no run can change it."""
    wish = f"ask who manages it to allow {', '.join(programs)}" if programs else "ask who manages it"
    why = "it is managed by a profile, so nothing was changed: "
    lacking = []
    if isinstance(found.state, Unknown):
        lacking.append("it does not even tell its rules")
    elif found.state == BLOCK_ALL:
        lacking.append("it blocks all incoming connections")
    steps = plan(replace(found, managed=False), programs, asked)
    lacking += [f"{step.item} is {step.found}, not {step.wanted}" for step in steps]
    if not lacking:
        why = "it is managed by a profile, which lets through what should be"
        return Finding(host, CONCERN, "application firewall", "managed", "ours", "note", why)
    return Finding(host, CONCERN, "application firewall", "managed", "ours", "warning", why + "; ".join(lacking), wish)


def firewall_from_json(data: Mapping[str, Any]) -> Firewall:
    """Read an observation back."""
    state = data["state"]
    switches = {
        name: value if isinstance(value, bool) else Unknown(value["unknown"]) for name, value in data.get("switches", {}).items()
    }
    return Firewall(
        state if isinstance(state, int) else Unknown(state["unknown"]), data["rules"], switches, bool(data.get("managed"))
    )
