"""The plan: what one observation of a Mac lacks from what the inventory wants, concern by concern."""

from __future__ import annotations

import plistlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from xml.parsers.expat import ExpatError

from . import (
    application_firewall,
    companion,
    homebrew,
    models,
    packet_filter,
    permissions,
    power,
    service,
    service_findings,
    shell_block,
    tailnet,
    versions,
)
from .case import NOT_OURS, Case, Judged
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
    """Judge by Homebrew's own links whether the formula is there at all."""
    keg = case.part("homebrew")
    if isinstance(keg, Unknown):
        return Judged(unknown=keg)
    steps = homebrew.plan(homebrew.keg_from_json(keg), homebrew.wanted_from_json(case.desired["homebrew"]), available(case))
    return Judged(tuple(step for step in steps if step.action in homebrew.INSTALLS))


def available(case: Case) -> str | Unknown:
    """Return the version that Homebrew would install; it is asked only where the answer decides something."""
    answer = case.part("available")
    return answer if isinstance(answer, Unknown) else str(answer)


def judge_version(case: Case) -> Judged:
    """Judge which version is linked, pinned and running, and whether it may; its restart is part of it."""
    keg, launchd, server = case.part("homebrew"), case.part("launchd"), case.part("server")
    if isinstance(keg, Unknown) or isinstance(launchd, Unknown):
        return Judged(unknown=keg if isinstance(keg, Unknown) else launchd)
    found, wanted = homebrew.keg_from_json(keg), homebrew.wanted_from_json(case.desired["homebrew"])
    knowledge = versions.knowledge_from_json(case.desired["homebrew"]["versions"])
    running = "" if isinstance(server, Unknown) else server["version"] or ""
    own, services = wanted_service(case.desired["ollama_service"]), service.found_from_json(launchd)
    steps = version_steps(found, wanted, available(case), services, own, _models(case), running)
    return Judged(steps.all, homebrew.findings(case.host, found, wanted, available(case), knowledge))


@dataclass(frozen=True)
class VersionSteps:
    """The steps to a version: what leads to it, the restart by which it proves itself, and what waits for the proof."""

    before: tuple[Step, ...] = ()
    restart: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()

    @property
    def all(self) -> tuple[Step, ...]:
        """Return them in order."""
        return (*self.before, *self.restart, *self.after)


def version_steps(
    found: homebrew.Keg,
    wanted: homebrew.Wanted,
    offered: str | Unknown,
    services: service.Found,
    own: service.Wanted,
    sets: tuple[models.Found, models.Wanted] | None,
    running: str,
) -> VersionSteps:
    """Return the steps to the wanted version of what is installed; `offered` is what Homebrew has.

    The service is brought to its definition by the same restart, so nothing is left for its own concern. A version is never
    accepted for its answer alone, whatever is enough for other changes of the service.
    """
    steps = [step for step in homebrew.plan(found, wanted, offered) if step.action not in homebrew.INSTALLS]
    reason = homebrew.why_restart(found, steps, running)
    place = next((index + 1 for index, step in enumerate(steps) if step.action in homebrew.SWITCHES), 0)
    restart = service_steps(services, own, sets, "load", reason) if reason else ()
    return VersionSteps(tuple(steps[:place]), restart, tuple(steps[place:]))


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
    if service.restarts(case.steps("ollama_version")):
        return Judged(findings=notes)
    return Judged(service_steps(found, wanted, _models(case), asked["gate"]), notes)


def service_steps(
    found: service.Found, wanted: service.Wanted, sets: tuple[models.Found, models.Wanted] | None, gate: str, reason: str = ""
) -> tuple[Step, ...]:
    """Return the steps of a server: those of its job, and the residents that a restart drops from memory.

    `sets` is what is installed and what should be, None where it is not known. `gate` is `load` where a change has only succeeded
    when the residents are back. A `reason` asks for a restart that nothing else calls for.
    """
    steps = service.restart(found, wanted, reason) if reason else service.plan(found, wanted)
    # A change that was cut short may have been cut right before its residents came back.
    finishes = any(step.action == "finish" for step in steps)
    if sets is None or gate != "load" or not (finishes or service.restarts(steps)):
        return steps
    return (*steps, *models.reloads(*sets))


def _models(case: Case) -> tuple[models.Found, models.Wanted] | None:
    """Return the models found and wanted, None when the store could not be read."""
    store, asked = case.part("models"), case.desired["ollama_models"]
    if isinstance(store, Unknown):
        return None
    wanted = models.wanted_from_json(asked["installed"], asked["removed"], asked["unlisted"], asked["policy"])
    return models.found_from_json(store), wanted


def later_paths(case: Case) -> dict[str, str]:
    """Return where programs of the formula will lead once another version of it is linked; nothing when none will be."""
    keg = case.part("homebrew")
    switch = next((step for step in case.steps("ollama_version") if step.action in homebrew.SWITCHES), None)
    if switch is None or isinstance(keg, Unknown) or not keg["linked"]:
        return {}
    rack = f"/Cellar/{case.desired['homebrew']['formula']}/"
    here, there = f"{rack}{keg['linked']}/", f"{rack}{switch.wanted}/"
    resolved = {case.desired["ollama_service"]["program"]: keg["program"], **(case.observed.get("programs") or {})}
    return {program: path.replace(here, there) for program, path in resolved.items() if here in path}


def judge_firewall(case: Case) -> Judged:
    """Judge the application firewall's rules by the paths behind all links."""
    if not case.desired["firewall"]["managed"]:
        return NOT_OURS
    keg, firewall = case.part("homebrew"), case.part("firewall")
    if isinstance(firewall, Unknown):
        return Judged(unknown=firewall)
    if isinstance(keg, Unknown):
        return Judged(unknown=Unknown("the program's path is known only when the formula is installed"))
    program = homebrew.keg_from_json(keg).program
    resolved = {**(case.observed.get("programs") or {}), **later_paths(case)}
    programs = [
        resolved.get(path) or (program if path == case.desired["ollama_service"]["program"] else "") or path
        for path in case.desired["firewall"]["programs"]
    ]
    found = application_firewall.firewall_from_json(firewall)
    wanted = application_firewall.settings_from_json(case.desired["firewall"])
    late = Unknown("the program's path is known only when the formula is installed") if case.steps("homebrew") else None
    notes = application_firewall.findings(case.host, found, programs, wanted)
    return Judged(application_firewall.plan(found, programs, wanted), notes, late)


def judge_exposure(case: Case) -> Judged:
    """Judge who may reach the port: the packet filter's files, its job, and what the job last found in force."""
    desired = case.desired["exposure"]
    if not desired["managed"]:
        return NOT_OURS
    seen = case.part("packet_filter")
    if isinstance(seen, Unknown):
        return Judged(unknown=seen)
    wanted, found = packet_filter.wanted_from_json(desired), packet_filter.found_from_json(seen)
    return Judged(packet_filter.plan(found, wanted), packet_filter.findings(case.host, found, wanted, roaming=desired["roaming"]))


def judge_models(case: Case) -> Judged:
    """Judge what is installed and loaded; a server that starts anew in the same run remembers nothing."""
    sets = _models(case)
    if sets is None:
        return Judged(unknown=case.part("models"))
    found, wanted = sets
    starts = (*case.steps("ollama_version"), *case.steps("ollama_service"))
    if service.restarts(starts):
        found = models.after_restart(found)
    found = models.with_loaded(found, reloaded(starts))
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
    for part in (places, launchd):
        if isinstance(part, Unknown):
            why = f"who may write there could not be read: {part.reason}"
            return Judged(findings=(Finding(case.host, "permissions", "folders", "unknown", "readable", "note", why),))
    return Judged(findings=permissions.findings(case.host, permissions.places_from_json(places), launchd["uid"]))


def reloaded(steps: Iterable[Step]) -> list[str]:
    """Return the models that the steps of a service load again."""
    return [step.item for step in steps if step.action == "load"]


JUDGES: Mapping[str, Callable[[Case], Judged]] = {
    "homebrew": judge_homebrew,
    "exposure": judge_exposure,
    "ollama_version": judge_version,
    "ollama_service": judge_service,
    "firewall": judge_firewall,
    "tailscale_serve": tailnet.judge,
    "ollama_models": judge_models,
    "companion": companion.judge_program,
    "ollama_residents": companion.judge_residents,
    "log_rotation": companion.judge_logs,
    "healer": companion.judge_healer,
    "shell_env": shell_block.judge,
    "power": power.judge,
    "permissions": judge_permissions,
}
"""One judge per concern, in the order in which each can trust the one before it. A concern is named after its role."""

CONCERNS = tuple(JUDGES)

IN_LAUNCHDS_PLACES = ("ollama_version", "ollama_service", "companion", "ollama_residents", "log_rotation", "healer")
"""Concerns whose steps name a launchd domain or a file below /Library, so that the name says whether they need root."""


def judge(host: str, desired: Mapping[str, Any], observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan as plain data.

    `steps` maps each concern that has some to its steps, `unknown` each concern that could not be read to the reason, `not_ours`
    names those of which the inventory wants nothing. `concerns`
    are those whose roles must run: they have steps, could not be read, or an earlier step changes what was observed. `paths` is
    where programs will lead after a change of version. `restarts` tells that the server will start anew and so lose what is
    loaded, `reloaded` what those steps load again. `needs_root` tells that a step in launchd's places needs it.
    """
    judged: dict[str, Judged] = {}
    for concern, judge_concern in JUDGES.items():
        judged[concern] = judge_concern(Case(host, desired, observed, judged))
    acting = [concern for concern in CONCERNS if judged[concern].steps]
    whole = Case(host, desired, observed, judged)
    starts = (*judged["ollama_version"].steps, *judged["ollama_service"].steps)
    unknown = {concern: one.unknown.reason for concern, one in judged.items() if one.unknown is not None}
    return {
        "steps": {concern: plain(judged[concern].steps) for concern in acting},
        "findings": plain([finding for one in judged.values() for finding in one.findings]),
        "unknown": unknown,
        "not_ours": [concern for concern in CONCERNS if not judged[concern].ours],
        "concerns": [concern for concern in CONCERNS if concern in acting or concern in unknown],
        "all": list(CONCERNS),
        "paths": later_paths(whole),
        "restarts": service.restarts(starts),
        "reloaded": reloaded(starts),
        "needs_root": any(service.needs_root(judged[concern].steps) for concern in IN_LAUNCHDS_PLACES),
    }
