"""The plan of a teardown: what of ours one observation of a Mac still shows, concern by concern, when nothing of it is wanted.

A concern adds itself with one entry in `REMOVALS`, a function from a case to what is left of it, and with `tasks/absent.yml` in
its role, which takes that away. `desired["teardown"]` holds what the person asked for beyond that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import application_firewall, homebrew, models, packet_filter, power, service, shell_block
from .case import Case, Judged
from .names import normalise
from .vocabulary import Finding, Step, Unknown, plain

CONCERN = "teardown"


def jobs_plan(found: service.Found, labels: Sequence[str]) -> tuple[Step, ...]:
    """List the steps after which launchd holds none of these labels and no file would bring one back, label by label.

    A job goes before its file: launchd would keep it to the next login without one. Persistent overrides stay: a `disabled` that
    was left behind would make a later start fail with error 5 (macOS 14 to 26).
    """
    steps = []
    for label in labels:
        steps += [Step("bootout", job.target, "loaded", "absent") for job in found.jobs if job.label == label]
        steps += [Step("remove", file.path, "present", "absent") for file in found.files if file.label == label]
    return tuple(steps)


def remove_models(case: Case) -> Judged:
    """Judge which models that the inventory names are still installed; only where the person asked for it."""
    if not case.desired[CONCERN]["models"]:
        return Judged()
    store = case.part("models")
    if isinstance(store, Unknown):
        return Judged(unknown=store)
    named = [normalise(model["name"]) for model in case.desired["ollama_models"]["installed"]]
    wanted = models.Wanted((), tuple(named))
    steps = models.plan(models.found_from_json(store), wanted)
    server = case.part("server")
    if steps and (isinstance(server, Unknown) or not server["version"]):
        return Judged(
            findings=(
                Finding(case.host, "ollama_models", ", ".join(step.item for step in steps), "installed", "absent", "error",
                        "models can be deleted only while the server answers, which knows what layers others still need",
                        "start it with site.yml first, or leave teardown_models out"),
            )
        )  # fmt: skip
    return Judged(steps)


def remove_service(case: Case) -> Judged:
    """Judge the jobs and property lists of the service, of its companions and of the labels it took over from."""
    launchd = case.part("launchd")
    if isinstance(launchd, Unknown):
        return Judged(unknown=launchd)
    return Judged(jobs_plan(service.found_from_json(launchd), case.desired[CONCERN]["labels"]))


def remove_firewall(case: Case) -> Judged:
    """Judge the rules for our programs, also for versions that are no longer there."""
    if not case.desired["firewall"]["managed"]:
        return Judged()
    firewall = case.part("firewall")
    if isinstance(firewall, Unknown):
        return Judged(unknown=firewall)
    resolved = case.observed.get("programs") or {}
    cellar = f"{case.desired[CONCERN]['prefix']}/Cellar/{case.desired['homebrew']['formula']}/"
    programs = [resolved.get(path) or path for path in case.desired["firewall"]["programs"]]
    return Judged(application_firewall.removal(application_firewall.firewall_from_json(firewall), programs, cellar))


def remove_exposure(case: Case) -> Judged:
    """Judge the rules of the packet filter, and the job that keeps them."""
    if not case.desired["exposure"]["managed"]:
        return Judged()
    part = case.part("packet_filter")
    if isinstance(part, Unknown):
        return Judged(unknown=part)
    return Judged(packet_filter.removal(packet_filter.found_from_json(part)))


def remove_power(case: Case) -> Judged:
    """Judge what was changed of the power settings, and the limit of the GPU; a Mac where nothing was has no record of it."""
    wanted, part = power.wanted_from_json(case.desired["power"]), case.part("power")
    if isinstance(part, Unknown):
        return Judged(unknown=part) if wanted.asked else Judged()
    found = power.found_from_json(part)
    return Judged(power.plan(found, power.GIVEN_BACK), unknown=power.lacking(found, power.GIVEN_BACK))


def remove_shell_block(case: Case) -> Judged:
    """Judge the block in the shell's start file."""
    if case.desired["shell_env"]["managed"] is None:
        return Judged()
    part = case.part("shell_block")
    if isinstance(part, Unknown):
        return Judged(unknown=part)
    found = shell_block.found_from_json(part)
    return Judged(shell_block.plan(found, None), shell_block.findings(case.host, found, wanted=False))


def remove_formula(case: Case) -> Judged:
    """Judge the formula; only where the person asked for it, since others may use it too."""
    if not case.desired[CONCERN]["formula"]:
        return Judged()
    keg = case.part("homebrew")
    if isinstance(keg, Unknown):
        return Judged(unknown=keg)
    found = homebrew.keg_from_json(keg)
    formula = case.desired["homebrew"]["formula"]
    return Judged((Step("uninstall", formula, ", ".join(found.installed), "absent"),) if found.installed else ())


def remove_files(case: Case) -> Judged:
    """Judge our own folders, and our logs where the person asked for it.

    A log is deleted only where it is a plain file: a property list may also name a device such as /dev/null.
    """
    part = case.part("own_files")
    if isinstance(part, Unknown):
        return Judged(unknown=part)
    logs = set(case.desired[CONCERN]["logs"])
    return Judged(
        tuple(
            Step("delete", path, f"a {kind}", "absent")
            for path, kind in sorted(part.items())
            if kind in ("file", "folder") and (path not in logs or kind == "file")
        )
    )


REMOVALS: Mapping[str, Callable[[Case], Judged]] = {
    "ollama_models": remove_models,
    "ollama_service": remove_service,
    "firewall": remove_firewall,
    "exposure": remove_exposure,
    "power": remove_power,
    "shell_env": remove_shell_block,
    "homebrew": remove_formula,
    CONCERN: remove_files,
}
"""One function per concern, named after its role, in the order in which they go: the server deletes models before it goes itself,
and our folders go last, since the programs of jobs lie there."""


def needs_root(concern: str, steps: Sequence[Step]) -> bool:
    """Tell whether a step needs root: either firewall, power settings, the system domain, folders outside the home."""
    root = ("system/", "/Library/", "/etc/", "/var/")
    return any(concern in ("firewall", "exposure", "power") or step.item.startswith(root) for step in steps)


def judge(host: str, desired: Mapping[str, Any], observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan as plain data.

    `steps` maps each concern that has some to its steps, `concerns` names them in order, `root` those of them that need root,
    `unknown` maps what could not be read to the reason, `listing` has one line for each step.
    """
    judged: dict[str, Judged] = {}
    for concern, judge_concern in REMOVALS.items():
        judged[concern] = judge_concern(Case(host, desired, observed, judged))
    steps = {concern: one.steps for concern, one in judged.items() if one.steps}
    return {
        "steps": plain(steps),
        "concerns": list(steps),
        "root": [concern for concern in steps if needs_root(concern, steps[concern])],
        "unknown": {concern: one.unknown.reason for concern, one in judged.items() if one.unknown is not None},
        "findings": plain([finding for one in judged.values() for finding in one.findings]),
        "listing": [f"{concern}: {step.action} {step.item}" for concern in steps for step in steps[concern]],
    }
