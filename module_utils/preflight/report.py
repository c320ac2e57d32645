"""The reports of preflight and what-if: one plain mapping that the JSON file, the table and the picture are made of.

The input is what the judgements yield, as plain data (`vocabulary.plain`), documented in docs/reports.md. All figures are bytes.
What is unknown is None, in the report too: it is never drawn and never counted as nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from fleet.shown import without_controls
else:
    from ansible.module_utils.fleet.shown import without_controls

SCHEMA_VERSION = 1
GB = 10**9
GIB = 2**30

PARTS = ("weights_bytes", "kv_bytes", "compute_bytes", "vision_bytes", "process_bytes", "prompt_cache_bytes")
"""What a loaded model takes of a Mac's memory; the sum is `budget_bytes`."""

MODEL_FIGURES = (*PARTS, "expected_ps_bytes", "budget_bytes")
HOST_FIGURES = (
    "memory_bytes",
    "reserve_bytes",
    "ram_budget_bytes",
    "working_set_bytes",
    "gpu_budget_bytes",
    "resident_bytes",
    "worst_case_bytes",
)
ROLES = ("resident", "on_demand", "candidate")
SOURCES = ("mac", "registry", "catalogue", "declared", "unknown")
SEVERITIES = ("error", "warning", "note")


def preflight_report(
    hosts: Sequence[Mapping[str, Any]], findings: Sequence[Mapping[str, Any]], made_at: Optional[str] = None
) -> dict[str, Any]:
    """Build the content of reports/preflight.json."""
    return {
        "schema": "ollama-fleet/preflight",
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "result": _result(findings),
        "hosts": [_host(host) for host in hosts],
        "findings": [_finding(finding) for finding in findings],
    }


def whatif_report(
    question: Mapping[str, Any],
    hosts: Sequence[Mapping[str, Any]],
    findings: Sequence[Mapping[str, Any]],
    made_at: Optional[str] = None,
) -> dict[str, Any]:
    """Build the content of reports/whatif.json: the same hosts, and beside each its answers to the question.

    An answer has `model` (the fields of a model), `fits` (true, false, or None where it cannot be said), `why` and
    `would_fit`: settings with which it would, each with a sentence.
    """
    made = []
    for host in hosts:
        answers = [
            {
                "model": _model(answer["model"]),
                "fits": answer.get("fits"),
                "why": str(answer.get("why") or ""),
                "would_fit": [
                    {
                        "context": _count(way.get("context")),
                        "kv_type": _word(way.get("kv_type")),
                        "sentence": str(way.get("sentence") or ""),
                    }
                    for way in answer.get("would_fit") or ()
                ],
            }
            for answer in host.get("answers") or ()
        ]
        made.append({**_host(host), "answers": answers})
    return {
        "schema": "ollama-fleet/whatif",
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "question": {
            "models": [str(name) for name in question.get("models") or ()],
            "context": _count(question.get("context")),
            "kv_type": _word(question.get("kv_type")),
            "host": _word(question.get("host")),
        },
        "result": _result(findings),
        "hosts": made,
        "findings": [_finding(finding) for finding in findings],
    }


_FIGURE_SOURCES = {"show": "mac", "gguf": "registry", "catalogue": "catalogue", "declared": "declared"}


def host_of_budget(
    budget: Mapping[str, Any],
    figures: Optional[Mapping[str, Mapping[str, Any]]] = None,
    candidates: Sequence[Mapping[str, Any]] = (),
    macos_major: Optional[int] = None,
) -> dict[str, Any]:
    """Return a host of the input from `Budget.to_plain` of memory_model.

    `figures` are the results of `sources.collect` by name: they know the source better, and their problems become notes.
    `candidates` are `Forecast.to_plain` of models that are thought about.
    """
    worst = budget["worst_on_demand"]
    models = [{**model, "role": "resident" if model["resident"] else "on_demand"} for model in budget["models"]]
    models += [{**model, "role": "candidate"} for model in candidates]
    for model in models:
        known = (figures or {}).get(model["name"]) or {}
        model["source"] = known.get("source") or model.get("source")
        model["digest"] = known.get("digest") or model.get("digest")
        model["notes"] = list(dict.fromkeys([*(model.get("notes") or ()), *(known.get("problems") or ())]))
    return {
        "host": budget["mac"],
        "macos_major": macos_major,
        **{name: budget[name] for name in ("memory_bytes", "reserve_bytes", "ram_budget_bytes", "working_set_bytes")},
        "gpu_budget_bytes": budget["gpu_budget_bytes"],
        "resident_bytes": budget["residents_ram_bytes"],
        "worst_case_bytes": budget["residents_ram_bytes"] + budget["worst_on_demand_bytes"],
        "worst_case_models": [worst] if worst else [],
        "load_order": budget["order"],
        "models": models,
    }


def _result(findings: Iterable[Mapping[str, Any]]) -> str:
    found = [finding.get("severity") for finding in findings]
    return "errors" if "error" in found else "warnings" if "warning" in found else "ok"


def _count(value: Any) -> Optional[int]:
    """Return a whole number from zero on; everything else is unknown."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or not 0 <= value < 1e30:
        return None
    return int(value)


def _word(value: Any) -> Optional[str]:
    return None if value is None else str(value)


def _host(host: Mapping[str, Any]) -> dict[str, Any]:
    budget, resident = _count(host.get("ram_budget_bytes")), _count(host.get("resident_bytes"))
    worst = host.get("worst_case_models") or ()
    return {
        "host": str(host["host"]),
        "macos_major": _count(host.get("macos_major")),
        **{name: _count(host.get(name)) for name in HOST_FIGURES},
        "headroom_bytes": None if budget is None or resident is None else budget - resident,
        "worst_case_models": [str(name) for name in worst],
        "load_order": [str(name) for name in host.get("load_order") or ()],
        "models": [_model(model) for model in host.get("models") or ()],
    }


def _model(model: Mapping[str, Any]) -> dict[str, Any]:
    role, source = model.get("role"), model.get("source")
    return {
        "name": str(model["name"]),
        "role": role if role in ROLES else "on_demand",
        "context": _count(model.get("context")),
        "kv_type": _word(model.get("kv_type")),
        **{name: _count(model.get(name)) for name in MODEL_FIGURES},
        "source": source if source in SOURCES else _FIGURE_SOURCES.get(str(source), "unknown"),
        "digest": _word(model.get("digest")),
        "notes": [str(note) for note in model.get("notes") or ()],
    }


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    severity = finding.get("severity")
    return {
        **{name: str(finding.get(name) or "") for name in ("host", "concern", "item", "why", "remedy")},
        "found": _figure(finding.get("found")),
        "wanted": _figure(finding.get("wanted")),
        "severity": severity if severity in SEVERITIES else "note",
    }


def _figure(value: Any) -> Any:
    """Return a figure as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _figure(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_figure(item) for item in value]
    return value if isinstance(value, float) and abs(value) < 1e300 else str(value)


# Words for people. -------------------------------------------------------------------------------------------------------

ROLE_WORDS = {"resident": "resident", "on_demand": "on demand", "candidate": "candidate"}
SOURCE_WORDS = {
    "mac": "the Mac itself",
    "registry": "registry",
    "catalogue": "catalogue",
    "declared": "declared size",
    "unknown": "unknown",
}


def gb(value: Optional[int]) -> str:
    """Return a figure in GB (10**9 bytes) with one decimal, a question mark for what is unknown."""
    return "?" if value is None else f"{value / GB:.1f}"


def memory_words(host: Mapping[str, Any]) -> str:
    """Return the memory of a Mac as it is sold and as models are counted."""
    memory = host["memory_bytes"]
    return "memory unknown" if memory is None else f"{memory / GIB:g} GiB = {gb(memory)} GB"


_COLUMNS = (
    ("model", "<"),
    ("role", "<"),
    ("context", ">"),
    ("type", "<"),
    ("weights", ">"),
    ("kv", ">"),
    ("compute", ">"),
    ("vision", ">"),
    ("process", ">"),
    ("cache", ">"),
    ("budget", ">"),
    ("ps", ">"),
    ("source", "<"),
)
_NAME_WIDTH = 44


def table(report: Mapping[str, Any]) -> str:
    """Return the report for a terminal: a table per Mac in GB, then what was found."""
    blocks = [_host_table(host, answers=host.get("answers") or ()) for host in report["hosts"]]
    lines = [line for finding in report["findings"] for line in _finding_lines(finding)]
    if lines:
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _host_table(host: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> str:
    rows = [[title for title, _ in _COLUMNS], *(_row(model) for model in host["models"])]
    rows += [_row(answer["model"]) for answer in answers]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    lines = [_head(host)]
    lines += [
        "  " + "  ".join(f"{cell:{side}{width}}" for cell, (_, side), width in zip(row, _COLUMNS, widths)).rstrip()
        for row in rows
    ]
    lines += ["  " + without_controls(line) for answer in answers for line in answer_lines(answer)]
    return "\n".join(lines)


def _head(host: Mapping[str, Any]) -> str:
    words = [
        f"{without_controls(host['host'])}: {memory_words(host)}",
        f"{gb(host['reserve_bytes'])} for macOS",
        f"budget {gb(host['ram_budget_bytes'])}",
        f"GPU limit {gb(host['gpu_budget_bytes'])}",
        f"residents {gb(host['resident_bytes'])}",
    ]
    if host["worst_case_models"]:
        words.append(f"worst case {gb(host['worst_case_bytes'])}")
    return ", ".join(words) + " (GB)"


def _row(model: Mapping[str, Any]) -> list[str]:
    name = without_controls(model["name"])
    return [
        name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}",
        ROLE_WORDS[model["role"]],
        "?" if model["context"] is None else str(model["context"]),
        without_controls(model["kv_type"] or "?"),
        *(gb(model[part]) for part in PARTS),
        gb(model["budget_bytes"]),
        gb(model["expected_ps_bytes"]),
        SOURCE_WORDS[model["source"]],
    ]


def answer_lines(answer: Mapping[str, Any]) -> list[str]:
    """Return what is said about one model on one Mac: fits or not, why, and with what setting it would."""
    verdict = {True: "fits", False: "does not fit"}.get(answer["fits"], "cannot be judged")
    said = answer["why"] if answer["why"].startswith(verdict) else f"{verdict}: {answer['why']}" if answer["why"] else verdict
    return [f"{answer['model']['name']} {said}", *(f"  {way['sentence']}" for way in answer["would_fit"])]


def _finding_lines(finding: Mapping[str, Any]) -> list[str]:
    first = f"{finding['severity'].upper():7}  {finding['host']}: {finding['item']}: {finding['why']}"
    lines = [without_controls(first)]
    if finding["remedy"]:
        lines.append(without_controls(f"{'':9}{finding['remedy']}"))
    return lines
