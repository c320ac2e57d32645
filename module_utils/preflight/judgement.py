"""Put figures, judgement and report together: what the filters of the RAM budget call. Plain data in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from . import page, report

if TYPE_CHECKING:
    from fleet.architecture import Architecture, from_declared, from_plain
    from fleet.budget_rules import judge_disk, judge_inventory, plans_from_inventory
    from fleet.memory_model import Plan, budget, fits_together, forecast_on, mac_from_figures, settings_from_environment
    from fleet.models import Loaded
    from fleet.names import normalise
    from fleet.shown import as_json
    from fleet.units import bytes_of_gb
    from fleet.vocabulary import Finding, Unknown, plain, unknown_in
    from fleet.whatif import Place, what_if
else:
    from ansible.module_utils.fleet.architecture import Architecture, from_declared, from_plain
    from ansible.module_utils.fleet.budget_rules import judge_disk, judge_inventory, plans_from_inventory
    from ansible.module_utils.fleet.memory_model import (
        Plan,
        budget,
        fits_together,
        forecast_on,
        mac_from_figures,
        settings_from_environment,
    )
    from ansible.module_utils.fleet.models import Loaded
    from ansible.module_utils.fleet.names import normalise
    from ansible.module_utils.fleet.shown import as_json
    from ansible.module_utils.fleet.units import bytes_of_gb
    from ansible.module_utils.fleet.vocabulary import Finding, Unknown, plain, unknown_in
    from ansible.module_utils.fleet.whatif import Place, what_if

TOLERANCE_PERCENT = 10
"""How far what is in memory may be from what was predicted before somebody should look."""


def wanted_models(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return every model that the hosts name, with the first declared size: what the figures are collected for."""
    wanted: dict[str, Any] = {}
    for variables in hosts.values():
        for variable in ("ollama_models_installed", "ollama_models_candidates"):
            for entry in variables.get(variable) or ():
                name = entry.get("name") if isinstance(entry, Mapping) else None
                try:
                    key = normalise(name)
                except ValueError:
                    continue
                if wanted.get(key) is None:
                    wanted[key] = entry.get("size_gb")
    return wanted


def models_on_macs(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what each observed Mac says of its models, in the shape that the sources read."""
    said = {}
    for host, variables in hosts.items():
        seen = _observation(variables).get("models") or {}
        if "installed" in seen:
            said[host] = {"tags": seen["installed"], "show": seen.get("shown") or {}}
    return said


def _observation(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was seen of a Mac, by a run that goes on with it or by a look for a report."""
    look = variables.get("fleet_plan_look") or {}
    seen: Mapping[str, Any] = variables.get("fleet_plan_observation") or look.get("observation") or {}
    return seen


def architectures(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Architecture]:
    """Read the architectures out of collected figures."""
    return {normalise(name): from_plain(known["architecture"]) for name, known in figures.items() if known.get("architecture")}


def states(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what the registry said of each name: its digest, and whether it exists."""
    return {
        normalise(name): {"digest": known.get("digest"), "in_registry": known.get("exists")} for name, known in figures.items()
    }


def judge_host(variables: Mapping[str, Any], host: str, figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return `findings`, and `row`: the host as the report draws it, None when a figure it rests on cannot be read."""
    known = architectures(figures)
    findings, found = judge_inventory(host, variables, known, states(figures))
    row = None
    if found is not None:
        major = variables.get("ram_budget_macos_major")
        row = report.host_of_budget(found.to_plain(), figures, _candidates(variables, host, known), major)
    return {"findings": plain(findings), "row": row}


def _candidates(variables: Mapping[str, Any], host: str, known: Mapping[str, Architecture]) -> list[dict[str, Any]]:
    place = _place(host, variables, known)
    listed = plans_from_inventory(variables.get("ollama_models_candidates"), known, "ollama_models_candidates")
    return [forecast_on(place.mac, place.settings, candidate).to_plain() for candidate in listed]


def _place(host: str, variables: Mapping[str, Any], known: Mapping[str, Architecture]) -> Place:
    keys = ("macos_major", "reserve_gb", "max_loaded_model_gb", "wired_limit_mib", "working_set_bytes")
    given = {key: variables[f"ram_budget_{key}"] for key in keys if variables.get(f"ram_budget_{key}") is not None}
    return Place(
        mac_from_figures(host, variables.get("ram_budget_memory_gib"), **given),
        settings_from_environment(variables.get("ollama_service_environment")),
        plans_from_inventory(variables.get("ollama_models_installed"), known),
    )


def preflight(judged: Sequence[Mapping[str, Any]], made_at: Optional[str] = None) -> dict[str, str]:
    """Return the texts of the report: `json`, `table` and `html`."""
    rows = [one["row"] for one in judged if one.get("row")]
    findings = [finding for one in judged for finding in one["findings"]]
    return _texts(report.preflight_report(rows, findings, made_at))


def file_names(texts: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the files of a report by their names."""
    return {f"{name}.json": texts["json"], f"{'budget' if name == 'preflight' else name}.html": texts["html"]}


def _texts(content: Mapping[str, Any]) -> dict[str, str]:
    return {"json": as_json(content), "table": report.table(content), "html": page.page(content)}


def ask_what_if(
    hosts: Mapping[str, Mapping[str, Any]], figures: Mapping[str, Mapping[str, Any]], question: Mapping[str, Any]
) -> dict[str, str]:
    """Answer for every model of the question on every Mac of `hosts`; ValueError names what cannot be read.

    Returns the texts of the report, and `errors`: a line for each model that no source knows.
    """
    known = architectures(figures)
    rows, findings = [], []
    places = {host: _place(host, variables, known) for host, variables in hosts.items()}
    for host, place in places.items():
        found = budget(place.mac, place.settings, place.plans)
        row = report.host_of_budget(found.to_plain(), figures, (), hosts[host].get("ram_budget_macos_major"))
        answers = []
        for name in question["models"]:
            model = known.get(normalise(name))
            if model is None:
                findings.append(_nothing_known(host, name, figures.get(normalise(name), {})))
                continue
            answers.append(_answer(model, place, figures, question))
        rows.append({**row, "answers": answers})
    texts = _texts(report.whatif_report(question, rows, plain(findings)))
    return {**texts, "errors": "\n".join(dict.fromkeys(finding.sentence() for finding in findings))}


def _nothing_known(host: str, name: str, known: Mapping[str, Any]) -> Finding:
    said = " ".join(known.get("problems") or ()) or "no source knows it"
    return Finding(
        host, "ram_budget", "unknown-model", name, "a model of a registry or the catalogue", "error",
        f"{name}: {said.rstrip('.')}", "correct the name, or give its size with -e size_gb=...",
    )  # fmt: skip


def _answer(
    model: Architecture, place: Place, figures: Mapping[str, Mapping[str, Any]], question: Mapping[str, Any]
) -> dict[str, Any]:
    (answer,) = what_if(model, [place], question.get("context"), question.get("kv_type"))
    known = figures.get(model.name) or {}
    shown = {**answer, "role": "candidate", "source": known.get("source") or "declared", "digest": known.get("digest")}
    fits = answer["fits_resident"] or answer["fits_on_demand"]
    return {"model": shown, "fits": fits, "why": answer["verdict"], "would_fit": [] if fits else _ways(answer)}


WAYS = (("resident", "can stay loaded"), ("on_demand", "fits when loaded last"), ("alone", "fits alone, without the residents"))


def _ways(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings with which the model would fit: of each way the one that changes least, f16 before smaller caches."""
    ways = []
    for way, words in WAYS:
        for kind in ("f16", "q8_0", "q4_0"):
            context = answer["largest_context"].get(kind, {}).get(way, 0)
            if context:
                ways.append(
                    {"context": context, "kv_type": kind, "sentence": f"with {kind} up to a context of {context} it {words}"}
                )
                break
    return ways


def judge_loaded(host: str, row: Mapping[str, Any], loaded: Any) -> list[dict[str, Any]]:
    """Compare what `/api/ps` shows with what was predicted: a note for each model, a warning beyond the tolerance."""
    unread = unknown_in(loaded)
    if unread is not None:
        return []
    predicted = {model["name"]: model for model in row.get("models") or ()}
    findings = []
    for one in (Loaded(**entry) for entry in loaded):
        forecast = predicted.get(one.name)
        if forecast is None or not forecast.get("expected_ps_bytes"):
            continue
        expected = forecast["expected_ps_bytes"]
        off = round(100 * (one.size - expected) / expected, 1) + 0.0
        context = forecast.get("context")
        other = f", its context is {one.context_length} and not {context}" if one.context_length != context else ""
        sentence = f"{one.name} takes {one.size / 10**9:.2f} GB, predicted were {expected / 10**9:.2f} GB ({off:+.1f} %){other}"
        far = abs(off) > TOLERANCE_PERCENT or bool(other)
        findings.append(
            Finding(
                host, "ram_budget", f"prediction of {one.name}", one.size, expected, "warning" if far else "note", sentence,
                "look whether a client asks for another context, and tell the maintainers the figures" if far else "",
            )
        )  # fmt: skip
    return [plain(finding) for finding in findings]


def judge_free_disk(
    host: str, pulls: Sequence[str], free: Any, figures: Mapping[str, Mapping[str, Any]], models: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Judge whether the models that will be pulled fit on the disk; `free` is bytes or `{"unknown": reason}`."""
    declared = {normalise(model["name"]): bytes_of_gb(model["size_gb"], "size_gb") for model in models}
    missing = {}
    for name in pulls:
        sizes = (figures.get(name) or {}).get("sizes") or {}
        missing[name] = int(sizes.get("total_bytes") or declared.get(name) or 0)
    unread = unknown_in(free)
    return [plain(one) for one in judge_disk(host, missing, unread if isinstance(unread, Unknown) else int(free), "its disk")]


def refusals(
    variables: Mapping[str, Any],
    host: str,
    figures: Mapping[str, Mapping[str, Any]],
    sizes: Mapping[str, int],
    names: Sequence[str],
) -> dict[str, str]:
    """Return why each model must not be loaded on this Mac, not even alone; names that may are left out.

    `sizes` are the bytes of what is installed there: of a model that no source knows, they bound it.
    """
    known = architectures(figures)
    try:
        place = _place(host, variables, known)
        contexts = _contexts(variables)
    except ValueError as problem:
        return dict.fromkeys(names, f"preflight cannot judge this Mac: {problem}")
    found = {}
    for name in names:
        key = normalise(name)
        model = known.get(key) or (from_declared(key, sizes[key]) if sizes.get(key) else None)
        if model is None:
            found[name] = "nothing is known of its size"
        elif not fits_together(place.mac, place.settings, (Plan(model, resident=True, context_length=contexts.get(key, 0)),)):
            (answer,) = what_if(model, [place], contexts.get(key) or None)
            found[name] = str(answer["verdict"])
    return found


def _contexts(variables: Mapping[str, Any]) -> dict[str, int]:
    listed = variables.get("ollama_models_installed") or ()
    return {normalise(one["name"]): int(one.get("context_length") or 0) for one in listed}


def bench_wishes(
    asked: Sequence[str],
    host: str,
    variables: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, Any]],
    observation: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return what `ollama_bench` is told: the models `asked` for, else those of the Mac's list, each with why it is refused."""
    listed = [str(one["name"]) for one in variables.get("ollama_models_installed") or ()]
    names = list(dict.fromkeys(normalise(name) for name in (asked or listed)))
    installed = (observation.get("models") or {}).get("installed")
    # What is installed is a list, or a map that says why it is not known.
    seen = installed if isinstance(installed, (list, tuple)) else ()
    sizes = {str(one["name"]): int(one["size"]) for one in seen}
    refused = refusals(variables, host, figures, sizes, [name for name in names if name in sizes or not seen])
    contexts = _contexts(variables)
    return [{"name": name, "context": contexts.get(name, 0), "refused": refused.get(name, "")} for name in names]
