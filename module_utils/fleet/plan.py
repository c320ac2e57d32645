"""The plan: what one observation of a Mac lacks from what the inventory wants, concern by concern."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from typing import Any
from xml.parsers.expat import ExpatError

from . import application_firewall, homebrew, models, service
from .vocabulary import Finding, Step, Unknown, plain, unknown_in

CONCERNS = ("homebrew", "ollama_service", "firewall", "ollama_models")
"""In the order in which each can trust the one before it."""


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


def judge(host: str, desired: Mapping[str, Any], observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan as plain data.

    `steps` maps each concern that has some to its steps, `unknown` each concern that could not be read to the reason. `concerns`
    are those whose roles must run: they have steps, could not be read, or an earlier step changes what was observed. `restarts`
    tells that the server will start anew and so lose what is loaded. `needs_root` tells that a service step needs it.
    """
    steps: dict[str, tuple[Step, ...]] = {}
    findings: list[Finding] = []
    unknown: dict[str, Unknown] = {}

    def part(name: str) -> Any:
        reason = unknown_in(observed.get(name))
        if reason is not None:
            return reason
        return observed[name] if name in observed else Unknown("not observed")

    keg = part("homebrew")
    program = ""
    if isinstance(keg, Unknown):
        unknown["homebrew"] = keg
    else:
        found_keg = homebrew.keg_from_json(keg)
        program = found_keg.program
        steps["homebrew"] = homebrew.plan(found_keg, desired["homebrew"]["formula"])

    launchd = part("launchd")
    if isinstance(launchd, Unknown):
        unknown["ollama_service"] = launchd
    else:
        found = service.found_from_json(launchd)
        wanted = wanted_service(desired["ollama_service"])
        steps["ollama_service"] = service.plan(found, wanted)
        findings.extend(service.findings(host, found, wanted))

    firewall = part("firewall")
    managed = desired["firewall"]["managed"]
    if managed and (isinstance(keg, Unknown) or steps["homebrew"]):
        unknown["firewall"] = Unknown("the program's path is known only when the formula is installed")
    if managed and isinstance(firewall, Unknown):
        unknown["firewall"] = firewall
    elif managed and not isinstance(keg, Unknown):
        found_firewall = application_firewall.firewall_from_json(firewall)
        resolved = observed.get("programs") or {}
        programs = [
            resolved.get(path) or (program if path == desired["ollama_service"]["program"] else "") or path
            for path in desired["firewall"]["programs"]
        ]
        steps["firewall"] = application_firewall.plan(found_firewall, programs)
        findings.extend(application_firewall.findings(host, found_firewall))

    restarts = service.restarts(steps.get("ollama_service", ()))
    store = part("models")
    if isinstance(store, Unknown):
        unknown["ollama_models"] = store
    else:
        set_of = desired["ollama_models"]
        wanted_set = models.wanted_from_json(set_of["installed"], set_of["removed"], set_of["unlisted"], set_of["policy"])
        found_set = models.found_from_json(store)
        if restarts:
            found_set = models.after_restart(found_set)
        steps["ollama_models"] = models.plan(found_set, wanted_set)
        findings.extend(
            Finding(host, "ollama_models", name, "unknown", "asked", "note",
                    f"whether it is up to date could not be asked: {answer.reason}")
            for name, answer in sorted(found_set.registry.items())
            if isinstance(answer, Unknown)
        )  # fmt: skip
    acting = [concern for concern in CONCERNS if steps.get(concern)]
    return {
        "steps": {concern: plain(steps[concern]) for concern in acting},
        "findings": plain(findings),
        "unknown": {concern: reason.reason for concern, reason in unknown.items()},
        "concerns": [concern for concern in CONCERNS if concern in acting or concern in unknown],
        "all": list(CONCERNS),
        "restarts": restarts,
        "needs_root": service.needs_root(steps.get("ollama_service", ())),
    }
