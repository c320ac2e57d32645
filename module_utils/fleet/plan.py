"""The plan: what one observation of a Mac lacks from what the inventory wants, concern by concern."""

from __future__ import annotations

import plistlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from xml.parsers.expat import ExpatError

from . import application_firewall, homebrew, models, permissions, service, service_findings
from .case import Case, Judged
from .vocabulary import Finding, Step, Unknown, plain


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
    return service.Wanted(
        desired["label"],
        desired["domain"],
        definition,
        tuple(desired["retired_labels"]),
        tuple(desired.get("muted_labels", ())),
    )


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
    asked = case.desired["ollama_service"]
    keg, server, around = (case.part(name) for name in ("homebrew", "server", "surroundings"))
    found = replace(
        service.found_from_json(launchd),
        running_version="" if isinstance(server, Unknown) else server["version"] or "",
        program_version="" if isinstance(keg, Unknown) else homebrew.cellar_version(keg["program"]),
    )
    wanted = wanted_service(asked)
    known = None if isinstance(around, Unknown) else service_findings.surroundings_from_json(around)
    notes = service_findings.findings(case.host, found, wanted, known, always_on=asked["always_on"])
    return Judged(service_steps(found, wanted, _models(case), asked["gate"]), notes)


def service_steps(
    found: service.Found, wanted: service.Wanted, sets: tuple[models.Found, models.Wanted] | None, gate: str, reason: str = ""
) -> tuple[Step, ...]:
    """Return the steps of a server: those of its job, and the residents that a restart drops from memory.

    `sets` is what is installed and what should be, None where it is not known. `gate` is `load` where a change has only succeeded
    when the residents are back. A `reason` asks for a restart that nothing else calls for.
    """
    steps = service.restart(found, wanted, reason) if reason else service.plan(found, wanted)
    if sets is None or gate != "load" or not service.restarts(steps):
        return steps
    return (*steps, *models.reloads(*sets))


def _models(case: Case) -> tuple[models.Found, models.Wanted] | None:
    """Return the models found and wanted, None when the store could not be read."""
    store, asked = case.part("models"), case.desired["ollama_models"]
    if isinstance(store, Unknown):
        return None
    wanted = models.wanted_from_json(asked["installed"], asked["removed"], asked["unlisted"], asked["policy"])
    return models.found_from_json(store), wanted


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
    wanted = application_firewall.settings_from_json(case.desired["firewall"])
    late = Unknown("the program's path is known only when the formula is installed") if case.steps("homebrew") else None
    notes = application_firewall.findings(case.host, found, programs, wanted)
    return Judged(application_firewall.plan(found, programs, wanted), notes, late)


def judge_models(case: Case) -> Judged:
    """Judge what is installed and loaded; a server that starts anew in the same run remembers nothing."""
    sets = _models(case)
    if sets is None:
        return Judged(unknown=case.part("models"))
    found, wanted = sets
    if service.restarts(case.steps("ollama_service")):
        found = models.after_restart(found, reloaded(case.steps("ollama_service")))
    return Judged(
        models.plan(found, wanted),
        tuple(
            Finding(case.host, "ollama_models", name, "unknown", "asked", "note",
                    f"whether it is up to date could not be asked: {answer.reason}")
            for name, answer in sorted(found.registry.items())
            if isinstance(answer, Unknown)
        ),
    )  # fmt: skip


def judge_permissions(case: Case) -> Judged:
    """Judge who else may write where this fleet keeps its things; told, and mended by a person alone."""
    places, launchd = case.part("permissions"), case.part("launchd")
    if isinstance(places, Unknown):
        why = f"who may write there could not be read: {places.reason}"
        return Judged(findings=(Finding(case.host, "permissions", "folders", "unknown", "readable", "note", why),))
    if isinstance(launchd, Unknown):
        return Judged()
    return Judged(findings=permissions.findings(case.host, permissions.places_from_json(places), launchd["uid"]))


def reloaded(steps: Iterable[Step]) -> list[str]:
    """Return the models that the steps of a service load again."""
    return [step.item for step in steps if step.action == "load"]


JUDGES: Mapping[str, Callable[[Case], Judged]] = {
    "homebrew": judge_homebrew,
    "ollama_service": judge_service,
    "firewall": judge_firewall,
    "ollama_models": judge_models,
    "permissions": judge_permissions,
}
"""One judge per concern, in the order in which each can trust the one before it. A concern is named after its role."""

CONCERNS = tuple(JUDGES)


def judge(host: str, desired: Mapping[str, Any], observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan as plain data.

    `steps` maps each concern that has some to its steps, `unknown` each concern that could not be read to the reason. `concerns`
    are those whose roles must run: they have steps, could not be read, or an earlier step changes what was observed. `restarts`
    tells that the server will start anew and so lose what is loaded, `reloaded` what its own steps load again. `needs_root` tells
    that a service step needs it.
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
        "reloaded": reloaded(judged["ollama_service"].steps),
        "needs_root": service.needs_root(judged["ollama_service"].steps),
    }
