"""What can be wrong with runner, models, memory and disk."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from . import doctor_logs
from .companion import log_path
from .doctor_patient import Diagnosis, Patient, is_unknown
from .models import parse_time
from .names import normalise
from .residents import PRESSURE_WARN
from .units import GB, gb_text
from .vocabulary import Severity, Unknown

PRESSURE_CRITICAL = 4
FULL = GB
"""With less than this nothing can be written that matters: a pull, a log, a swap file of macOS."""

MISSED = 3
"""So many of its intervals may a job miss."""

NO_ROUTE = ("No route to host", "Errno 65")
"""What a launchd agent gets at once from macOS 15 on where local network privacy refuses it (TN3179)."""

LOADS = ("runner.missing", "runner.killed", "runner.crashed", "model.does_not_fit", "model.corrupt", "server.busy")
"""What the words of a load that failed may mean."""

ALONE = {
    "server.address_missing": "set OLLAMA_HOST in ollama_service_environment to an address of this Mac, or to 0.0.0.0",
    "server.store_unwritable": "look who owns the folder of the models, OLLAMA_MODELS or ~/.ollama/models",
    "server.no_home": "run site.yml again: the property list of a daemon sets HOME and UserName",
    "server.setting_ignored": "correct it in ollama_service_environment and run site.yml",
    "server.busy": "let fewer clients ask at once, or raise OLLAMA_MAX_QUEUE in ollama_service_environment",
    "runner.missing": "run playbooks/upgrade.yml for another version, or `brew reinstall ollama` on the Mac and site.yml",
    "runner.killed": "use a smaller model, a shorter context or fewer residents; playbooks/whatif.yml says what fits",
    "runner.crashed": "read the server's log around that time; another version or a fresh pull of the model may help",
    "model.corrupt": "run `ollama rm` for it on the Mac, and site.yml, which pulls it again",
    "model.does_not_fit": "use a smaller model or a shorter context; playbooks/whatif.yml says what fits",
    "disk.full": "make room: `ollama rm` what is not needed, empty the Trash, look at local snapshots of Time Machine",
}
"""What a person does about that which a line of a log tells alone."""


def rules(one: Patient) -> Iterator[Diagnosis]:
    """Yield what is wrong, each on its own."""
    yield from _runner(one)
    yield from _models(one)
    yield from _damage(one)
    yield from _closed(one)
    yield from _memory(one)
    yield from _disk(one)
    yield from _completion(one)
    yield from _said(one)
    yield from _registry(one)
    yield from _jobs(one)


def _runner(one: Patient) -> Iterator[Diagnosis]:
    if isinstance(one.keg, Unknown) or one.keg.runner is not False:
        return
    folder = one.keg.program.rpartition("/")[0]
    yield one.finds(
        "runner.missing",
        [f"{folder}/lib/ollama/llama-server is not there, nor in the other places where Ollama {one.keg.linked} looks"],
        ALONE["runner.missing"],
    )


def _models(one: Patient) -> Iterator[Diagnosis]:
    """Take what verify says of the models, and what the plan says of a resident that would leave."""
    names = {normalise(model["name"]) for model in one.desired["ollama_models"]["installed"]}
    for finding in one.invariants:
        if finding.item not in names:
            continue
        if finding.found == "absent":
            unread = [answer.reason for answer in _registry_problems(one).values()][:1]
            yield one.finds(
                "model.not_installed", [f"{finding.item} is in no manifest of the store", *unread],
                f"run `ansible-playbook site.yml --limit {one.host}`, which pulls it", finding.item,
            )  # fmt: skip
        elif finding.found == "not loaded":
            yield one.finds(
                "model.not_loaded", [f"{finding.item} is a resident, and GET /api/ps does not name it"],
                "wait a minute: the job of the residents loads it; else read its log,"
                f" {_job_log(one, 'residents')}", finding.item,
            )  # fmt: skip
        elif finding.severity == "warning":
            yield one.finds("memory.model_spills", [f"{finding.item}: {finding.why}"], finding.remedy, finding.item)
    for step in one.steps("ollama_models"):
        if step["action"] == "load" and step["found"] == "loaded for a while":
            yield one.finds(
                "model.not_pinned", [f"{step['item']} is in memory for a while, some client sent a keep_alive of its own"],
                "wait a minute: the job of the residents pins it again", step["item"], certainty="likely",
            )  # fmt: skip


def _job_log(one: Patient, verb: str) -> str:
    return log_path("~" if isinstance(one.launchd, Unknown) else one.launchd.home, verb)


def _damage(one: Patient) -> Iterator[Diagnosis]:
    damage = one.part("damage")
    if isinstance(damage, Unknown):
        return
    by_model: dict[str, list[str]] = {}
    closed = one.part("closed")
    for file in damage:
        found = file["found"]
        if is_unknown(found) and not isinstance(closed, Unknown) and closed["paths"]:
            # What may not be read is no damage, and to pull it again would not help.
            continue
        state = (
            "is absent"
            if found is None
            else f"cannot be read ({found['unknown']})"
            if is_unknown(found)
            else f"has {found} bytes"
        )
        by_model.setdefault(str(file["model"]), []).append(f"{str(file['digest'])[:19]} {state} of {file['wanted']}")
    for name, files in by_model.items():
        yield one.finds(
            "model.corrupt", [f"{name}: {text}" for text in files[:3]],
            f"run `ollama rm {name}` on {one.host}, and site.yml, which pulls it again", name,
        )  # fmt: skip


def _closed(one: Patient) -> Iterator[Diagnosis]:
    closed = one.part("closed")
    if isinstance(closed, Unknown) or not closed["paths"]:
        return
    store, user, paths = str(closed["store"]), str(closed["user"]), closed["paths"]
    evidence = [f"{path['path']} belongs to {path['owner']} and has the mode {path['mode']}" for path in paths[:3]]
    if len(paths) > len(evidence):
        evidence.append("and others")
    foreign = any(path["owner"] != user for path in paths)
    # The folder above the store may be what is closed.
    folder = store if all(path["path"].startswith(store) for path in paths) else store.rpartition("/")[0]
    quoted = shlex.quote(folder)
    mends = f"chmod -R u+rwX {quoted}"
    if foreign:
        mends = f"sudo chown -R {shlex.quote(user)} {quoted} && {mends}"
    cause = "; a pull or a server that somebody ran as root leaves such files" if foreign else ""
    yield one.finds("model.store_closed", [f"the server runs as {user}", *evidence], f"`{mends}` on {one.host}{cause}")


def _limits(one: Patient) -> Mapping[str, Any]:
    settings = (one.desired.get("healer") or {}).get("settings") or {}
    return settings.get("limits") or {}


def _memory(one: Patient) -> Iterator[Diagnosis]:
    machine = one.part("machine")
    if isinstance(machine, Unknown):
        return
    swap, pressure, limits = machine.get("swap_used_bytes"), machine.get("pressure_level"), _limits(one)
    warn, critical = limits.get("swap_warn_gb"), limits.get("swap_critical_gb")
    pressed = isinstance(pressure, int) and pressure >= PRESSURE_WARN
    swaps = isinstance(swap, int) and warn is not None and swap > float(warn) * GB
    if pressed:
        word = "critical" if pressure >= PRESSURE_CRITICAL else "a warning"
        severity: Severity = "error" if pressure >= PRESSURE_CRITICAL else "warning"
        yield one.finds(
            "memory.pressure", [f"kern.memorystatus_vm_pressure_level is {pressure}, {word}", *_inside(one)],
            f"run `ansible-playbook playbooks/unload.yml --limit {one.host}`, which frees what is no resident, or quit programs",
            severity=severity,
        )  # fmt: skip
    if swaps:
        over = critical is not None and swap > float(critical) * GB
        limit = f"the limit to be told at is {critical if over else warn} GB"
        calm = [] if pressed else ["macOS reports no pressure: swap stays high long after its cause has gone"]
        yield one.finds(
            "memory.swap", [f"{gb_text(swap)} of swap are in use, {limit}", *calm, *_inside(one)],
            f"run `ansible-playbook playbooks/unload.yml --limit {one.host}`; see docs/healer.md for what the Mac does itself",
            severity="error" if over and pressed else "warning",
        )  # fmt: skip
    largest = limits.get("max_loaded_model_gb")
    if largest is None or not (pressed or swaps) or isinstance(one.models, Unknown) or isinstance(one.models.loaded, Unknown):
        return
    residents = {normalise(model["name"]).lower() for model in _residents(one)}
    for model in one.models.loaded:
        size = max(model.size, model.size_vram)
        if size > float(largest) * GB and model.name.lower() not in residents:
            yield one.finds(
                "model.does_not_fit",
                [f"{model.name} takes {gb_text(size)}, ram_budget_max_loaded_model_gb is {largest}", *_figures(swap, pressure)],
                f"`ollama stop {model.name}` on {one.host} frees it; {ALONE['model.does_not_fit']}", model.name,
            )  # fmt: skip


def _figures(swap: Any, pressure: Any) -> list[str]:
    return [
        *([f"{gb_text(swap)} of swap are in use"] if isinstance(swap, int) else []),
        *([f"the memory pressure level is {pressure}"] if isinstance(pressure, int) else []),
    ]


def _inside(one: Patient) -> list[str]:
    if isinstance(one.models, Unknown) or isinstance(one.models.loaded, Unknown) or not one.models.loaded:
        return []
    loaded = ", ".join(f"{model.name} ({gb_text(max(model.size, model.size_vram))})" for model in one.models.loaded)
    return [f"in memory: {loaded}"]


def _residents(one: Patient) -> list[Mapping[str, Any]]:
    return [model for model in one.desired["ollama_models"]["installed"] if model.get("residency") == "resident"]


def _disk(one: Patient) -> Iterator[Diagnosis]:
    machine = one.part("machine")
    free = None if isinstance(machine, Unknown) else machine.get("disk_free_bytes")
    if isinstance(free, int) and free < FULL:
        yield one.finds("disk.full", [f"{gb_text(free)} are free where the models are"], ALONE["disk.full"])


def failed_completion(one: Patient) -> Mapping[str, Any] | None:
    """Return the answer of the Mac to itself where it completed nothing."""
    said = next((answer for answer in one.reach.own if answer["kind"] == "completion"), None)
    return said if said is not None and said["status"] != 200 else None


def completed_model(answer: Mapping[str, Any]) -> str:
    """Return the model that was asked for a completion."""
    return str(answer["what"]).rpartition(" by ")[2]


def _completion(one: Patient) -> Iterator[Diagnosis]:
    failed = failed_completion(one)
    if failed is None:
        return
    words = str(failed["error"])
    means = next((found.supports for found in doctor_logs.supported(words) if found.supports in LOADS), "")
    if means:
        name = completed_model(failed)
        # The runner is everybody's, a model that crashed it is not.
        item = name if means.startswith("model.") or means == "runner.crashed" else ""
        yield one.finds(means, [f"asked for a sentence, {name} answered: {words}"], ALONE[means], item)


def _said(one: Patient) -> Iterator[Diagnosis]:
    """Make the diagnoses that a line of the log is enough for."""
    for name in dict.fromkeys(found.supports for line in one.lines for found in doctor_logs.supported(line) if found.alone):
        yield one.finds(name, [], ALONE[name], certainty="likely")


def _registry_problems(one: Patient) -> dict[str, Unknown]:
    if isinstance(one.models, Unknown):
        return {}
    return {name: answer for name, answer in one.models.registry.items() if isinstance(answer, Unknown)}


def _registry(one: Patient) -> Iterator[Diagnosis]:
    problems = _registry_problems(one)
    if problems:
        yield one.finds(
            "registry.unreachable", list(dict.fromkeys(answer.reason for answer in problems.values()))[:3],
            "what is installed is served all the same; look at the Mac's way to the internet before the next pull",
        )  # fmt: skip


def _jobs(one: Patient) -> Iterator[Diagnosis]:
    beats, machine = one.part("heartbeats"), one.part("machine")
    if isinstance(beats, Unknown) or isinstance(machine, Unknown) or one.now is None:
        return
    for verb, concern in (("residents", "ollama_residents"), ("logs", "log_rotation"), ("heal", "healer")):
        wanted = one.desired.get(concern) or {}
        needless = concern == "ollama_residents" and not _residents(one)
        switched_off = concern == "healer" and not wanted.get("settings", {}).get("enabled")
        last = beats.get(verb)
        if not wanted.get("managed") or needless or switched_off or is_unknown(last):
            continue
        if one.steps(concern):
            gone = [step["item"] for step in one.steps(concern) if step["action"] == "bootstrap"]
            if gone:
                remedy = f"run `ansible-playbook site.yml --limit {one.host}`, which loads it"
                yield one.finds("jobs.silent", [f"launchd does not hold {gone[0]}"], remedy, concern)
            continue
        allowed = timedelta(seconds=max(MISSED * int(wanted["interval"]), 300))
        if one.now - _moment(machine.get("booted_at"), one) < allowed:
            continue
        if last is None or one.now - _moment(last, one) > allowed:
            since = f"last ran at {last}" if last else "never ran"
            yield one.finds(
                "jobs.silent", [f"{one.target}.{verb} {since}, due is every {wanted['interval']} s"],
                f"read {_job_log(one, verb)}", concern,
            )  # fmt: skip
    yield from _privacy(one, machine)


def _moment(text: Any, one: Patient) -> Any:
    try:
        return parse_time(str(text))
    except (ValueError, OverflowError):
        return one.now


def _privacy(one: Patient, machine: Mapping[str, Any]) -> Iterator[Diagnosis]:
    """Tell an agent that macOS keeps out of the local network: over ssh the same question is answered (macOS 15 and later)."""
    logs, major = one.part("job_logs"), str(machine.get("macos_version")).partition(".")[0]
    if isinstance(logs, Unknown) or one.wanted.domain == "system" or not major.isdigit() or int(major) < 15:
        return
    lines = [
        line
        for log in logs.values()
        if isinstance(log, Mapping) and not is_unknown(log)
        for line in log["tail"]
        if any(words in line for words in NO_ROUTE) and _is_fresh(line, one)
    ]
    if lines:
        yield one.finds(
            "reach.local_network_privacy",
            [*(f"log: {line}" for line in doctor_logs.last(lines)), "agents of launchd are refused at once, ssh is not"],
            "allow it in System Settings > Privacy & Security > Local Network, use an address of the tailnet, or set"
            " ollama_service_domain to system", certainty="likely",
        )  # fmt: skip


def _is_fresh(line: str, one: Patient) -> bool:
    """Tell a line of the last hour; the jobs write one JSON object a line, with its `time` first."""
    stamp = line.partition('"time": "')[2].partition('"')[0]
    return one.now is not None and bool(stamp) and one.now - _moment(stamp, one) < timedelta(hours=1)
