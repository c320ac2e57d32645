"""The plan: what one observation of a Mac lacks from what the inventory wants, concern by concern."""

from __future__ import annotations

import plistlib
from collections.abc import Callable, Mapping
from typing import Any
from xml.parsers.expat import ExpatError

from . import application_firewall, homebrew, models, service, tailnet
from .case import Case, Judged
from .vocabulary import Finding, Unknown, plain


def parse_definition(text: str) -> Mapping[str, Any] | None:
    """Read the XML of a property list; None when it is none."""
    try:
        definition = plistlib.loads(text.encode())
    except (ValueError, ExpatError, plistlib.InvalidFileException):
        return None
    return definition if isinstance(definition, dict) else None


def wanted_service(desired: Mapping[str, Any]) -> service.Wanted:
    """Build the wanted service; ValueError when the rendered property list cannot be read."""
    definition = parse_definition(desired["plist"])
    if definition is None:
        message = f"the rendered property list of {desired['label']} is not valid"
        raise ValueError(message)
    return service.Wanted(desired["label"], desired["domain"], definition, tuple(desired["retired_labels"]))


def judge_homebrew(case: Case) -> Judged:
    """Judge the formula by Homebrew's own links."""
    keg = case.part("homebrew")
    if isinstance(keg, Unknown):
        return Judged(unknown=keg)
    return Judged(homebrew.plan(homebrew.keg_from_json(keg), case.desired["homebrew"]["formula"]))


def judge_service(case: Case) -> Judged:
    """Judge the job that runs and its file."""
    launchd = case.part("launchd")
    if isinstance(launchd, Unknown):
        return Judged(unknown=launchd)
    found = service.found_from_json(launchd)
    wanted = wanted_service(case.desired["ollama_service"])
    return Judged(service.plan(found, wanted), service.findings(case.host, found, wanted))


def judge_firewall(case: Case) -> Judged:
    """Judge the application firewall's rules by the paths behind all links."""
    if not case.desired["firewall"]["managed"]:
        return Judged()
    keg, firewall = case.part("homebrew"), case.part("firewall")
    if isinstance(firewall, Unknown):
        return Judged(unknown=firewall)
    if isinstance(keg, Unknown):
        return Judged(unknown=Unknown("the program's path is known only when the formula is installed"))
    program = homebrew.keg_from_json(keg).program
    resolved = case.observed.get("programs") or {}
    programs = [
        resolved.get(path) or (program if path == case.desired["ollama_service"]["program"] else "") or path
        for path in case.desired["firewall"]["programs"]
    ]
    found = application_firewall.firewall_from_json(firewall)
    late = Unknown("the program's path is known only when the formula is installed") if case.steps("homebrew") else None
    return Judged(application_firewall.plan(found, programs), application_firewall.findings(case.host, found), late)


def judge_models(case: Case) -> Judged:
    """Judge what is installed and loaded; a server that starts anew in the same run remembers nothing."""
    store = case.part("models")
    if isinstance(store, Unknown):
        return Judged(unknown=store)
    wanted = case.desired["ollama_models"]
    found = models.found_from_json(store)
    if service.restarts(case.steps("ollama_service")):
        found = models.after_restart(found)
    steps = models.plan(
        found, models.wanted_from_json(wanted["installed"], wanted["removed"], wanted["unlisted"], wanted["policy"])
    )
    return Judged(
        steps,
        tuple(
            Finding(case.host, "ollama_models", name, "unknown", "asked", "note",
                    f"whether it is up to date could not be asked: {answer.reason}")
            for name, answer in sorted(found.registry.items())
            if isinstance(answer, Unknown)
        ),
    )  # fmt: skip


JUDGES: Mapping[str, Callable[[Case], Judged]] = {
    "homebrew": judge_homebrew,
    "ollama_service": judge_service,
    "firewall": judge_firewall,
    "tailscale_serve": tailnet.judge,
    "ollama_models": judge_models,
}
"""One judge per concern, in the order in which each can trust the one before it. A concern is named after its role."""

CONCERNS = tuple(JUDGES)


def judge(host: str, desired: Mapping[str, Any], observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan as plain data.

    `steps` maps each concern that has some to its steps, `unknown` each concern that could not be read to the reason. `concerns`
    are those whose roles must run: they have steps, could not be read, or an earlier step changes what was observed. `restarts`
    tells that the server will start anew and so lose what is loaded. `needs_root` tells that a service step needs it.
    """
    judged: dict[str, Judged] = {}
    for concern, judge_concern in JUDGES.items():
        judged[concern] = judge_concern(Case(host, desired, observed, judged))
    acting = [concern for concern in CONCERNS if judged[concern].steps]
    unknown = {concern: one.unknown.reason for concern, one in judged.items() if one.unknown is not None}
    return {
        "steps": {concern: plain(judged[concern].steps) for concern in acting},
        "findings": plain([finding for one in judged.values() for finding in one.findings]),
        "unknown": unknown,
        "concerns": [concern for concern in CONCERNS if concern in acting or concern in unknown],
        "all": list(CONCERNS),
        "restarts": service.restarts(judged["ollama_service"].steps),
        "needs_root": service.needs_root(judged["ollama_service"].steps),
    }
