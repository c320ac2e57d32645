"""The drift report for people and for tools that read JUnit XML."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Optional

from .drift import Drift, Host, counts
from .shown import harmless

WORDS = {"in_sync": "in sync", "drift": "drift", "not_checked": "not checked", "away": "away", "error": "error"}


def table(hosts: Sequence[Host], ended: Sequence[Mapping[str, str]], notes: Iterable[str], now: str) -> list[str]:
    """Return the lines for a terminal; `now` is the moment that ages are counted from."""
    if not hosts:
        return ["no host was asked: the group ollama_servers is empty, or --limit leaves none of it"]
    width = max(len(harmless(host.host)) for host in hosts)
    lines = []
    for host in hosts:
        lines.append(f"{harmless(host.host):<{width}}  {_verdict(host)}")
        for concern in host.concerns:
            own = [drift for drift in host.drifts if drift.concern == concern.concern]
            if own:
                lines.append(f"  {concern.concern}")
            for drift in own:
                lines += _drift(drift, now)
            if concern.status == "not_checked":
                lines.append(f"  {concern.concern}: not checked: {harmless(concern.why)}")
            lines += [f"  {concern.concern}: not checked: {harmless(question)}" for question in concern.open]
    lines += [
        f"{harmless(one['host'])}: {_name(one)} is as it should be again, since {_moment(one['since'])} it was not"
        for one in ended
    ]
    lines += [harmless(note) for note in notes]
    return [*lines, _total(hosts)]


def _name(one: Mapping[str, str]) -> str:
    return harmless(" ".join(word for word in (one["concern"], one["action"], one["item"]) if word))


def _verdict(host: Host) -> str:
    if host.outcome != "asked":
        return f"{WORDS[host.status]}: {harmless(host.why, 1000)}"
    found = [concern.status for concern in host.concerns]
    asked = sum(status in ("in_sync", "drift", "ignored") for status in found)
    parts = [
        f"{found.count('drift')} of {asked} concerns"
        if host.status == "drift"
        else f"{found.count('in_sync')} of {asked} concerns equal"
    ]
    parts += [
        f"{number} {words}"
        for number, words in (
            (found.count("ignored"), "ignored"),
            (found.count("not_checked"), "not checked"),
            (found.count("not_ours"), "not ours"),
        )
        if number
    ]
    return f"{WORDS[host.status]}: {', '.join(parts)}"


def _drift(drift: Drift, now: str) -> list[str]:
    head = f"    {drift.action or 'no step mends it:'} {harmless(drift.item)}"
    lines = [head + (f"   (ignored: {harmless(drift.ignored)})" if drift.ignored else "")]
    lines.append(
        f"      is {_value(drift.found)}, should be {_value(drift.wanted)}"
        + (f", because {harmless(drift.why)}" if drift.why else "")
    )
    if drift.remedy:
        lines.append(f"      {harmless(drift.remedy)}")
    before = f", in sync before at {_moment(drift.in_sync_before)}" if drift.in_sync_before else ""
    lines.append(f"      since {_moment(drift.since)}{_age(drift.since, now)}{before}")
    return lines


def _value(value: Any) -> str:
    if value in ("", None, [], {}):
        return "nothing"
    return harmless(value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False), 200)


def _moment(text: str) -> str:
    return harmless(text.replace("T", " ").replace("Z", " UTC"))


def _parsed(text: str) -> Optional[datetime]:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def _age(since: str, now: str) -> str:
    first, last = _parsed(since), _parsed(now)
    if first is None or last is None or (first.tzinfo is None) != (last.tzinfo is None):
        return ""
    seconds = (last - first).total_seconds()
    if seconds <= 0:
        return ""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            number = int(seconds // size)
            return f", for {number} {unit}{'s' if number > 1 else ''}"
    return ", for less than a minute"


def _total(hosts: Sequence[Host]) -> str:
    figures = counts(hosts)
    told = [f"{figures[name]} {words}" for name, words in WORDS.items() if figures[name]]
    drifts = f"; {figures['drifts']} to mend" if figures["drifts"] else ""
    left = f"; {figures['ignored']} ignored" if figures["ignored"] else ""
    return f"{figures['hosts']} host{'s' if len(hosts) > 1 else ''}: {', '.join(told)}{drifts}{left}"


def sentence(host: Host) -> str:
    """Return one line about a host, for the end of a run."""
    own = host.counted()
    if host.status == "drift":
        more = f" and {len(own) - 3} more" if len(own) > 3 else ""
        named = "; ".join(
            harmless(" ".join((drift.concern, drift.action or "cannot mend", drift.item)), 120) for drift in own[:3]
        )
        return f"{harmless(host.host)} is not as the inventory says: {named}{more}."
    return f"{harmless(host.host)}: {_verdict(host)}"


def junit(hosts: Sequence[Host], made_at: str) -> str:
    """Return JUnit XML: a suite for each host and a case for each concern.

    Drift is a failure, what could not be asked an error, what is ignored or not ours skipped. A host that was not asked has one
    case of that name.
    """
    root = ET.Element("testsuites", name="drift")
    for host in hosts:
        cases = [_case(host, concern.concern, concern.status, concern.why) for concern in host.concerns]
        if host.outcome != "asked":
            cases.append(_case(host, "host", "ignored" if host.status == "away" else "not_checked", host.why))
        suite = ET.SubElement(root, "testsuite", {
            "name": harmless(host.host),
            "timestamp": made_at.replace("Z", ""),
            "tests": str(len(cases)),
            **{word: str(sum(case.find(tag) is not None for case in cases))
               for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))},
        })  # fmt: skip
        suite.extend(cases)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(host: Host, concern: str, status: str, why: str) -> ET.Element:
    case = ET.Element("testcase", {"classname": harmless(host.host), "name": concern})
    own = [drift for drift in host.drifts if drift.concern == concern]
    text = "\n".join(
        harmless(f"{drift.action} {drift.item}: is {_value(drift.found)}, should be {_value(drift.wanted)}", 1000)
        for drift in own
    )
    if status == "drift":
        failure = ET.SubElement(case, "failure", {"type": "drift", "message": f"{len(own)} to mend"})
        failure.text = text
    elif status == "not_checked":
        ET.SubElement(case, "error", {"type": "not_checked", "message": harmless(why)})
    elif status in ("ignored", "not_ours"):
        reason = "; ".join(sorted({drift.ignored for drift in own})) if own else why if why else "not ours"
        ET.SubElement(case, "skipped", {"message": harmless(reason)})
    return case
