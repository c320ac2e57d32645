"""What is wrong with the fleet, and why: causes instead of consequences, each with its evidence and its remedy.

Rules look for what is known to go wrong; invariants say what a healthy Mac is. Both are candidates. A table of causes takes out
what follows from something else (`doctor_kinds.KINDS`), so a broken invariant that no rule explains is left as `unexplained.*`:
nothing that is visibly wrong goes unsaid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from . import doctor_models, doctor_reach, doctor_service
from .doctor_kinds import CHECKS, KINDS, Check
from .doctor_patient import Diagnosis, Patient, Reach, patient
from .matrix import remedy as reach_remedy
from .reach import Server
from .shown import as_json, harmless
from .vocabulary import Unknown, plain, unknown_in

SCHEMA, SCHEMA_VERSION = "ollama-fleet/doctor", 1

SEVERITIES = ("error", "warning", "note")
ORDER = {name: place for place, name in enumerate(KINDS)}

NOBODY = "no server is part of this run, so there is nothing to examine"

LINES = 8
"""So many lines of evidence are kept for a diagnosis."""

NOT_READ = ("available", "server", "tailscale", "supervisors")
"""Parts whose being unknown is no fault in reading: brew is not asked without need, two are judged for themselves, and the last
one only lends names."""

TOO_LATE = " did not answer within "
"""How a part says that a command of macOS took too long (module_utils/macos/commands.py)."""

GRINDS = 2
"""So many commands that have nothing to do with each other are no accident."""

NO_TOOLS = re.compile(r"xcode-select|developer tools|python3?\S*: (command )?not found|No such file or directory.*python", re.I)
"""How a Mac says that its /usr/bin/python3 is only the door to tools that are not installed (macOS 12.3 and later)."""

NO_LOOK: Mapping[str, Any] = {"outcome": "error", "why": "the run ended for it before anybody looked"}
"""In the place of a look that there is none of."""

RULES = (doctor_service.rules, doctor_models.rules, doctor_reach.rules)


def diagnose(
    host: str, desired: Mapping[str, Any], observed: Mapping[str, Any], judgement: Mapping[str, Any], reach: Reach
) -> tuple[Diagnosis, ...]:
    """Return what is wrong with one Mac that was asked, causes only, the worst first.

    `observed` is what `mac_facts` returned with details, `judgement` what `plan.judge` made of it. A diagnosis is at
    least as severe as the worst of its consequences.
    """
    one = patient(host, desired, observed, judgement, reach)
    return causes(_merged([*_unread(one), *(found for rules in RULES for found in rules(one)), *_invariants(one), *_drift(one)]))


def _merged(found: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Put together what is said twice; a line of a log adds nothing to the same diagnosis about a known thing."""
    kept: dict[tuple[str, str], Diagnosis] = {}
    for one in found:
        before = kept.get((one.id, one.item))
        if before is None:
            kept[one.id, one.item] = one
            continue
        evidence = tuple(dict.fromkeys((*before.evidence, *one.evidence)))
        sure = "sure" in (before.certainty, one.certainty)
        kept[one.id, one.item] = replace(before, evidence=evidence, certainty="sure" if sure else "likely")
    named = {name for name, item in kept if item}
    return [one for (name, item), one in kept.items() if item or name not in named]


def explains(cause: Diagnosis, other: Diagnosis) -> bool:
    """Tell by the table whether one follows from the other; open steps of a concern are told by whatever is said of it."""
    if other.id == "drift.pending" and cause.id != other.id and cause.concern == other.item:
        return True
    for pattern in KINDS[cause.id].explains:
        name, slash, item = pattern.partition("/")
        same = fnmatchcase(other.item, item) if slash else not cause.item or not other.item or cause.item == other.item
        if cause.id != other.id and fnmatchcase(other.id, name) and same:
            return True
    return False


def causes(found: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Return what follows from nothing else that is there, each with what follows from it; the worst first."""
    left = []
    for one in found:
        if any(explains(other, one) for other in found):
            continue
        behind = _behind(one, found)
        worst = min((one, *behind), key=lambda other: SEVERITIES.index(other.severity)).severity
        names = tuple(sorted({other.id for other in behind if not other.id.startswith("unexplained.")}, key=ORDER.__getitem__))
        left.append(replace(_harmless(one), severity=worst, consequences=names))
    return tuple(sorted(left, key=lambda one: (SEVERITIES.index(one.severity), ORDER[one.id], one.item)))


def _harmless(one: Diagnosis) -> Diagnosis:
    """Return it with no text in which a Mac could have put something for a terminal or a page."""
    evidence = tuple(map(harmless, one.evidence[:LINES]))
    return replace(one, evidence=evidence, item=harmless(one.item), remedy=harmless(one.remedy))


def _behind(cause: Diagnosis, found: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Return all that follows from a cause, also by way of something else."""
    reached: list[Diagnosis] = [cause]
    for one in reached:
        reached += [other for other in found if other not in reached and explains(one, other)]
    return reached[1:]


def _unread(one: Patient) -> Iterator[Diagnosis]:
    unread = {name: reason for name, part in sorted(one.case.observed.items()) if (reason := unknown_in(part)) is not None}
    late = {
        name: reason.reason.split(TOO_LATE)[0].rpartition(" ")[2] for name, reason in unread.items() if TOO_LATE in reason.reason
    }
    grinds = len(set(late.values())) >= GRINDS
    if grinds:
        yield one.finds(
            "host.slow", [f"{name}: {unread[name].reason}" for name in late],
            f"look what keeps it busy, `top -o cpu` and `memory_pressure` on {one.host}, and look again",
        )  # fmt: skip
    for name, reason in unread.items():
        if name not in NOT_READ and not (grinds and name in late):
            yield one.finds(
                "host.unread", [f"{name}: {reason.reason}"], "connect as the user who owns the service, and look again", name,
                severity="error" if name in ("launchd", "listener", "models") else "warning",
            )  # fmt: skip


def _invariants(one: Patient) -> Iterator[Diagnosis]:
    """Say what a healthy Mac is, by what is not so here."""
    names = {str(model["name"]) for model in one.desired["ollama_models"]["installed"]}
    read = "read the server's log on that Mac, and run verify.yml"
    for finding in one.invariants:
        if finding.item in ("launchd", "listener", "models"):
            name, item = "unexplained.unread", finding.item
        elif finding.item.startswith("port "):
            name, item = "unexplained.listener", ""
        elif finding.item == "/api/ps":
            name, item = "unexplained.server", ""
        elif finding.item == one.target or finding.item.startswith(f"{one.target} "):
            name, item = "unexplained.service", ""
        else:
            name, item = "unexplained.model", finding.item if finding.item in names or ":" in finding.item else ""
        yield one.finds(name, [finding.why], finding.remedy or read, item, finding.severity)
    if isinstance(one.version, Unknown):
        yield one.finds("unexplained.server", [f"GET /api/version: {one.version.reason}", *one.complaints()], read)
    elif one.version is None:
        yield one.finds("unexplained.server", ["GET /api/version: nobody takes the connection", *one.complaints()], read)
    for header in one.reach.headers:
        yield one.finds("unexplained.headers", [header.why], header.remedy)
    failed = doctor_models.failed_completion(one)
    if failed is not None:
        name = doctor_models.completed_model(failed)
        evidence = [f"asked for a sentence, {name} answered: {failed['error']}", *one.complaints()]
        yield one.finds("unexplained.completion", evidence, read, name)
    yield from _unreached(one)


def _unreached(one: Patient) -> Iterator[Diagnosis]:
    usable, failing = doctor_reach.usable_cells(one), doctor_reach.unserved(one)
    for name in ("lan", "tailnet"):
        lost = [cell for cell in failing if doctor_reach.network_class(cell.network) == name]
        if not lost or any(cell.status == 200 and doctor_reach.network_class(cell.network) == name for cell in usable):
            # Where some get in, it is those that do not who are looked at.
            continue
        evidence = [*map(doctor_reach.told, lost[:3])]
        hint = "`sudo pfctl -a '*' -sr` there shows what else filters packets"
        yield one.finds("unexplained.reach", evidence, f"{reach_remedy(lost[0].found, lost[0].status)}; {hint}", name)


def _drift(one: Patient) -> Iterator[Diagnosis]:
    """Say of every concern with open steps that it has some; those that a diagnosis is about are told by it."""
    for concern, steps in sorted(one.judgement["steps"].items()):
        evidence = [f"{step['action']} {step['item']}" for step in steps[:3]]
        more = [f"and {len(steps) - 3} more"] if len(steps) > 3 else []
        yield one.finds(
            "drift.pending", [*evidence, *more],
            f"run `ansible-playbook site.yml --limit {one.host} --check --diff` to see it, without --check to mend it", concern,
        )  # fmt: skip


def absent(host: str, look: Mapping[str, Any]) -> tuple[Diagnosis, ...]:
    """Return why a Mac could not be examined, from a look that was none."""
    outcome, why = look["outcome"], str(look["why"] or "it did not say why")
    if outcome == "away":
        name, remedy = "reach.asleep", "wake it, or leave it; it is in a group that may be away"
    elif outcome == "error":
        name, remedy = "host.fault", "correct what the sentence names on this side, and look again"
    elif NO_TOOLS.search(why):
        name, remedy = "host.no_tools", "run `xcode-select --install` at the Mac's screen"
    else:
        name, remedy = "host.unreachable", "look whether it has power and network, and whether Remote Login is on"
    kind = KINDS[name]
    return (Diagnosis(host, name, kind.title, (harmless(why),), remedy, kind.severity, "sure", kind.concern),)


# The report. --------------------------------------------------------------------------------------------------------------


def examine(looks: Mapping[str, Mapping[str, Any]], reached: Mapping[str, Reach]) -> list[dict[str, Any]]:
    """Return one entry for each Mac, by name: its outcome, its diagnoses, and what was checked."""
    hosts = []
    for host in sorted(looks):
        look, reach = looks[host], reached.get(host, Reach())
        if look["outcome"] == "asked":
            found = diagnose(host, look["desired"], look["observation"], look["judgement"], reach)
        else:
            found = absent(host, look)
        hosts.append(
            {
                "host": host,
                "outcome": look["outcome"],
                "why": harmless(look["why"]) if look["why"] else None,
                "verdict": _verdict(str(look["outcome"]), found),
                "diagnoses": plain(found),
                "checks": [_check(check, look, found, reach) for check in CHECKS],
            }
        )
    return hosts


def _verdict(outcome: str, found: Sequence[Diagnosis]) -> str:
    if outcome != "asked":
        return outcome
    return "wrong" if any(one.severity in ("error", "warning") for one in found) else "healthy"


def _check(check: Check, look: Mapping[str, Any], found: Sequence[Diagnosis], reach: Reach) -> dict[str, Any]:
    """Say of one check how it came out: ok, note, wrong, or not_checked and why."""
    own = [one for one in found if any(fnmatchcase(one.id, pattern) for pattern in check.ids)]
    behind = [one for one in found for name in one.consequences if any(fnmatchcase(name, pattern) for pattern in check.ids)]
    if [one for one in own if one.severity != "note"] or behind:
        named = [one.id for one in own] or [f"follows from {one.id}" for one in behind]
        return {"name": check.name, "state": "wrong", "why": ", ".join(dict.fromkeys(named))}
    why = _not_checked(check, look, reach)
    if why:
        return {"name": check.name, "state": "not_checked", "why": harmless(why)}
    if own:
        return {"name": check.name, "state": "note", "why": ", ".join(dict.fromkeys(one.id for one in own))}
    partly = [f"not asked: {', '.join(sorted(reach.not_asked))}"] if check.name == "reached by others" and reach.not_asked else []
    return {"name": check.name, "state": "ok", "why": partly[0] if partly else None}


def _not_checked(check: Check, look: Mapping[str, Any], reach: Reach) -> str:
    if look["outcome"] != "asked":
        return "" if check.name == "the Mac answers" else "the Mac was not asked"
    for part in check.parts:
        reason = unknown_in(look["observation"].get(part, {"unknown": "not observed"}))
        if reason is not None:
            return f"{part}: {reason.reason}"
    if check.name == "completion" and not any(answer["kind"] == "completion" for answer in reach.own):
        return doctor_reach.why_no_completion(look) or "it was not asked"
    if check.name == "reached by others" and not reach.cells:
        return "; ".join(reach.not_asked.values()) or "no other machine is part of this run"
    return ""


def result(hosts: Sequence[Mapping[str, Any]]) -> str:
    """Return the worst of all: `error`, `not_asked`, `wrong` or `ok`; a Mac that may be away is no fault, nobody is no health."""
    verdicts = {host["verdict"] for host in hosts} or {"not_asked"}
    return next((word for word in ("error", "not_asked", "wrong") if word in verdicts), "ok")


def report(
    looks: Mapping[str, Mapping[str, Any]],
    machines: Sequence[Mapping[str, Any]],
    servers: Sequence[Mapping[str, Any]],
    made_at: str,
) -> dict[str, Any]:
    """Return the report as plain data, as schemas/doctor.schema.json describes it.

    `machines` are the variables of everybody who asked, `servers` what `doctor_reach.servers_of` made of the servers.
    """
    askers, known = doctor_reach.askers_of(machines), [Server(**server) for server in servers]
    hosts = examine(looks, doctor_reach.reaches(askers, known, looks))
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "status": result(hosts),
        "askers": [
            {
                "host": one.name,
                "answers": sum(answer["network"] != "own" for answer in one.answers),
                "why_not": harmless(one.away) if one.away else None,
            }
            for one in sorted(askers, key=lambda asker: asker.name)
        ],
        "hosts": hosts,
        "findings": [_finding(one) for host in hosts for one in host["diagnoses"]],
    }


def _finding(one: Mapping[str, Any]) -> dict[str, Any]:
    """Say a diagnosis in the words of all other reports."""
    return {
        "host": one["host"],
        "concern": one["concern"],
        "item": f"{one['id']} {one['item']}".strip(),
        "found": one["evidence"][0] if one["evidence"] else None,
        "wanted": None,
        "severity": one["severity"],
        "why": one["title"],
        "remedy": one["remedy"],
    }


def table(content: Mapping[str, Any]) -> list[str]:
    """Return the lines for a terminal: each Mac with its diagnoses, and what of it was checked."""
    lines = []
    for host in content["hosts"]:
        lines.append(f"{host['host']}: {_headline(host)}")
        for one in host["diagnoses"]:
            likely = "" if one["certainty"] == "sure" else " (likely)"
            item = f" {one['item']}" if one["item"] else ""
            lines.append(f"  {one['severity']:<7}  {one['id']}{item}: {one['title']}{likely}")
            lines += [f"           - {text}" for text in one["evidence"]]
            lines.append(f"           => {one['remedy']}")
            if one["consequences"]:
                lines.append(f"           explains {', '.join(one['consequences'])}")
        lines += _checked(host)
    away = [f"{one['host']} asked nobody: {one['why_not']}" for one in content["askers"] if one["why_not"]]
    return [*lines, *away] if lines else [NOBODY]


def _headline(host: Mapping[str, Any]) -> str:
    words = {"healthy": "healthy", "away": "away, not examined", "not_asked": "not examined", "error": "not examined"}
    if host["verdict"] in words:
        return words[host["verdict"]]
    count = sum(one["severity"] != "note" for one in host["diagnoses"])
    return f"{count} {'fault' if count == 1 else 'faults'}"


def _checked(host: Mapping[str, Any]) -> list[str]:
    if host["outcome"] != "asked":
        return []
    by_state: dict[str, list[str]] = {}
    for check in host["checks"]:
        by_state.setdefault(check["state"], []).append(check["name"])
    lines = [f"  {word}: {', '.join(by_state[word])}" for word in ("ok", "wrong", "note") if word in by_state]
    missing = [f"  not checked: {one['name']} ({one['why']})" for one in host["checks"] if one["state"] == "not_checked"]
    return [*lines, *missing]


def outcomes(content: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return for each Mac how the run should end for it: `ok`, `wrong`, `not_asked` or `error`, and one sentence."""
    ends = {}
    for host in content["hosts"]:
        worst = [one for one in host["diagnoses"] if one["severity"] in ("error", "warning")]
        said = "; ".join(f"{one['id']}: {one['title']}" for one in worst)
        state = {"healthy": "ok", "away": "ok"}.get(host["verdict"], host["verdict"])
        ends[host["host"]] = {
            "state": state,
            "said": f"{host['host']}: {said}" if worst else f"{host['host']}: {_headline(host)}",
        }
    return ends


def texts(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report in all its forms; `asker` is how a run ends for a machine that only asks."""
    return {
        "table": table(content),
        "json": as_json(content),
        "outcomes": outcomes(content),
        "asker": {"state": "ok"} if content["hosts"] else {"state": "not_asked", "said": NOBODY},
        "status": content["status"],
    }
