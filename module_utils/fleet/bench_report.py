"""What measurements say: the report, its table, its rows for a spreadsheet, and what somebody should know of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Optional

from .bench import FIGURES, Run, compare, figures
from .shown import columns, harmless
from .tool_probe import words
from .units import gb_text
from .vocabulary import Finding, Severity, plain

SCHEMA = "ollama-fleet/bench"
SCHEMA_VERSION = 1
KEPT = 20
"""Results that are kept of each model on each Mac."""

CONCERN = "bench"

SERVER_SETTINGS = ("LLAMA_ARG_CACHE_RAM", "OLLAMA_FLASH_ATTENTION", "OLLAMA_KV_CACHE_TYPE", "OLLAMA_NUM_PARALLEL")
"""What of the server's environment makes a model faster or slower; nothing else of it is written down."""

CSV_COLUMNS = (
    "made_at", "host", "model", "digest", "ollama_version", "context_length", "run", "generation_tokens_per_second",
    "prompt_tokens_per_second", "first_token_seconds", "load_seconds", "prompt_tokens", "tokens", "disturbed",
)  # fmt: skip

TITLES = {
    "generation_tokens_per_second": "generation",
    "prompt_tokens_per_second": "prompt",
    "first_token_seconds": "first token",
    "load_seconds": "load",
}


def rows_from_variables(variables: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> list[dict[str, Any]]:
    """Read what the role P(bench#role) left in the variables of each host."""
    rows = []
    for host in sorted(hosts):
        own = variables[host]
        look = own.get("fleet_plan_look") or {}
        measured = own.get("bench_measured") or {}
        power = own.get("bench_power") or {}
        outcome, why = str(look.get("outcome") or "error"), str(look.get("why") or "")
        if measured.get("unreachable"):
            outcome, why = "not_asked", str(measured.get("msg") or "it went away while it was measured")
        elif outcome == "asked" and not measured:
            outcome, why = "error", "it was looked at and not measured"
        rows.append(
            {
                "host": host,
                "outcome": outcome,
                "why": harmless(why),
                "failed": harmless(measured.get("msg") or "") if measured.get("failed") else "",
                "bench": measured.get("bench") or {},
                "power": power.get("power") or {},
                "power_why": harmless(power.get("msg") or "") if power.get("failed") or power.get("unreachable") else "",
                "settings": {
                    **{key: (own.get("bench_settings") or {}).get(key) for key in ("num_predict", "prompt_words", "seed")},
                    "server": {
                        key: str(value)
                        for key, value in sorted((own.get("ollama_service_environment") or {}).items())
                        if key in SERVER_SETTINGS
                    },
                },
            }
        )
    return rows


def history_from_text(text: str, known: Collection[str]) -> tuple[dict[tuple[str, str], list[dict[str, Any]]], str]:
    """Read the history of the last report, and say what is wrong with it, "" for nothing; others than `known` hosts go."""
    if not text.strip():
        return {}, ""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA or data["schema_version"] != SCHEMA_VERSION:
            return {}, f"it is {harmless(data['schema'])} {harmless(data['schema_version'])}, not {SCHEMA} {SCHEMA_VERSION}"
        found = {
            (str(one["host"]), str(one["model"])): [result for result in one["results"] if _is_result(result)]
            for one in data["history"]
            if one["host"] in known
        }
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        return {}, f"it cannot be read ({type(problem).__name__})"
    return found, ""


def _is_result(value: Any) -> bool:
    """Tell a result that was written here from what somebody made of the file."""
    if not isinstance(value, dict) or not isinstance(value.get("settings"), dict):
        return False
    tools = value.get("tools")
    return (tools is None or isinstance(tools, dict)) and all(
        one is None
        or (isinstance(one, dict) and all(type(one.get(key)) in (int, float) for key in ("median", "minimum", "maximum")))
        for one in (value.get(name) for name in FIGURES)
    )


def report(
    rows: Sequence[Mapping[str, Any]], last: str, known: Collection[str], made_at: str, *, strict: bool = False
) -> dict[str, Any]:
    """Return the report as plain data, as schemas/bench.schema.json describes it.

    `last` is the text of the report before, "" without one. With `strict` warnings are as bad as errors.
    """
    history, unread = history_from_text(last, known)
    found: list[Finding] = []
    if unread:
        found.append(Finding(
            "localhost", CONCERN, "last-report", unread, "the last report", "warning",
            f"the last report is not compared with and its history is lost: {unread}", "keep a copy of it if that matters",
        ))  # fmt: skip
    hosts = [_host(row, history, found, made_at) for row in rows]
    severities = {finding.severity for finding in found}
    wrong = "error" in severities or (strict and "warning" in severities)
    asked = any(row["outcome"] == "asked" for row in rows)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "status": "errors" if wrong else "not_asked" if not asked else "warnings" if "warning" in severities else "ok",
        "hosts": hosts,
        "findings": plain(found),
        "history": [
            {"host": host, "model": model, "results": results[-KEPT:]} for (host, model), results in sorted(history.items())
        ],
    }


def _host(
    row: Mapping[str, Any], history: dict[tuple[str, str], list[dict[str, Any]]], found: list[Finding], made_at: str
) -> dict[str, Any]:
    host, bench = row["host"], row["bench"]
    models = []
    for one in bench.get("models") or ():
        model = _model(row, one, made_at)
        name = model["model"]
        if model["outcome"] == "measured" and model["generation_tokens_per_second"]:
            past = history.setdefault((host, name), [])
            model["comparison"] = compare(model, past[-1] if past else None)
            past.append({key: model[key] for key in KEPT_KEYS})
        models.append(model)
        found.extend(_findings(host, model))
    found.extend(
        _finding(
            host, "not-restored", "error", "changed", "as before", harmless(sentence), "run site.yml, which loads the residents"
        )
        for sentence in bench.get("not_restored") or ()
    )
    if row["failed"]:
        found.append(_finding(host, "failed", "error", "no end", "a measurement", row["failed"], "run it again"))
    if row["power_why"]:
        found.append(_finding(host, "gpu-power", "note", "not measured", "watts",
                              f"the GPU's power was not measured: {row['power_why']}",
                              "leave bench_gpu_power out, or give the sudo password with --ask-become-pass"))  # fmt: skip
    if row["outcome"] in ("not_asked", "error"):
        found.append(_finding(host, "not-asked", "warning", row["outcome"], "asked", row["why"] or "it was not asked"))
    return {
        "host": host,
        "outcome": row["outcome"],
        "why": row["why"],
        "ollama_version": _text(bench.get("ollama_version")),
        "load_average": bench.get("load_average"),
        "busy": sorted(harmless(name) for name in bench.get("busy") or ()),
        "models": models,
    }


KEPT_KEYS = ("made_at", "digest", "ollama_version", "context_length", "settings", "tools", *FIGURES)
"""What the history keeps of a result."""


def _text(value: Any) -> Optional[str]:
    return None if value is None else harmless(value)


def _model(row: Mapping[str, Any], one: Mapping[str, Any], made_at: str) -> dict[str, Any]:
    """Return one model of one Mac as the report has it; what was not measured is null."""
    runs = [Run(**run) for run in one.get("runs") or ()]
    load, memory = one.get("load") or {}, one.get("memory") or {}
    before, after = memory.get("before") or {}, memory.get("after") or {}
    return {
        "model": harmless(one["name"]),
        "digest": _text(one.get("digest")),
        "made_at": made_at,
        "outcome": one["outcome"],
        "why": harmless(one.get("why") or ""),
        "ollama_version": _text(row["bench"].get("ollama_version")),
        "settings": row["settings"],
        "context_length": one.get("context_length"),
        "size_bytes": one.get("size"),
        "size_vram_bytes": one.get("size_vram"),
        "swap_before_bytes": before.get("swap_used_bytes"),
        "swap_after_bytes": after.get("swap_used_bytes"),
        "pressure_before": before.get("pressure"),
        "pressure_after": after.get("pressure"),
        "load_why": harmless(load.get("why") or ""),
        "runs": [
            {
                "generation_tokens_per_second": _rounded(run.generation),
                "prompt_tokens_per_second": _rounded(run.prompt),
                "first_token_seconds": _rounded(run.first_token_seconds),
                "prompt_tokens": run.prompt_tokens,
                "tokens": run.tokens,
                "disturbed": harmless(run.disturbed),
            }
            for run in runs
        ],
        **figures(runs, load.get("seconds")),
        "tools": _tools(one.get("tools")),
        "gpu_watts": row["power"].get(one["name"]),
        "comparison": None,
    }


def _rounded(value: Optional[float]) -> Optional[float]:
    return None if value is None else round(value, 4)


def _tools(tools: Optional[Mapping[str, Any]]) -> Optional[dict[str, Any]]:
    if not tools:
        return None
    return {
        "passed": tools["passed"],
        "of": tools["of"],
        "why": harmless(tools.get("why") or ""),
        "failures": {
            harmless(verdict): {"count": one["count"], "detail": harmless(one["detail"])}
            for verdict, one in tools["failures"].items()
        },
    }


# What somebody should know. ---------------------------------------------------------------------------------------------


def _finding(
    host: str, item: str, severity: Severity, found: Any, wanted: Any, why: str, remedy: str = ""
) -> Finding:  # fmt: skip
    return Finding(host, CONCERN, item, found, wanted, severity, why, remedy)


def _findings(host: str, model: Mapping[str, Any]) -> Iterable[Finding]:
    name, outcome, why = model["model"], model["outcome"], model["why"]
    if outcome in ("failed", "stopped"):
        yield _finding(host, outcome, "error", outcome, "measured", f"{name} was not measured to its end: {why}",
                       "see playbooks/whatif.yml for what this Mac can hold" if outcome == "stopped" else
                       "look into the server's log")  # fmt: skip
    elif outcome in ("refused", "absent"):
        yield _finding(host, outcome, "note", outcome, "measured", f"{name} was not measured: {why}")
    if model["size_bytes"] and model["size_vram_bytes"] is not None and model["size_vram_bytes"] < model["size_bytes"]:
        beside = gb_text(model["size_bytes"] - model["size_vram_bytes"])
        yield _finding(host, "partly-on-cpu", "warning", model["size_vram_bytes"], model["size_bytes"],
                       f"{beside} of {name} are not on the GPU, which makes it slow",
                       "give it a smaller context, or another Mac")  # fmt: skip
    if model["runs"] and all(run["disturbed"] for run in model["runs"]):
        yield _finding(host, "disturbed", "warning", model["runs"][0]["disturbed"], "nobody else",
                       f"every run of {name} was disturbed, so its figures are worth little: {model['runs'][0]['disturbed']}",
                       "measure when nobody uses the Mac")  # fmt: skip
    tools = model["tools"]
    if tools and not tools["why"] and tools["passed"] < tools["of"]:
        kinds = ", ".join(
            f"{kind} ({one['detail']})" if one["detail"] else kind for kind, one in sorted(tools["failures"].items())
        )
        yield _finding(host, "tools", "warning", tools["passed"], tools["of"],
                       f"{name} called tools as asked in {tools['passed']} of {tools['of']} tries: {kinds}",
                       f"keep {name} out of the chains of agents")  # fmt: skip
    comparison = model["comparison"]
    if comparison and comparison["not_comparable"]:
        reasons = ", ".join(comparison["not_comparable"])
        yield _finding(host, "not-comparable", "note", comparison["not_comparable"], "the same as before",
                       f"{name} is not compared with {comparison['made_at']}: {reasons}")  # fmt: skip
    for figure in comparison["worse"] if comparison else ():
        yield _finding(host, "slower", "warning", model[figure]["median"], comparison["ratios"][figure],
                       f"{name}: {TITLES[figure]} is at {comparison['ratios'][figure]:.0%} of {comparison['made_at']}",
                       "look what else runs on the Mac, and whether it is hot or on battery")  # fmt: skip


# For people and machines. -----------------------------------------------------------------------------------------------


def table(made: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table: one for each model of each Mac, and one for each Mac that was not measured."""
    watts = any(model["gpu_watts"] for host in made["hosts"] for model in host["models"])
    head = ("host", "model", "tokens/s", "spread", "prompt/s", "first token", "load", "in memory", "tools", "since last time")
    shown: list[tuple[str, ...]] = [(*head, "GPU") if watts else head]
    for host in made["hosts"]:
        if not host["models"]:
            shown.append((host["host"], "-", host["outcome"].replace("_", " ")))
        shown.extend((*_line(host["host"], model), *((_watts(model),) if watts else ())) for model in host["models"])
    return columns(shown, right=(2, 4, 5, 6, 7) if any(len(row) > 3 for row in shown[1:]) else ())


def _line(host: str, model: Mapping[str, Any]) -> tuple[str, ...]:
    if model["outcome"] != "measured":
        return host, model["model"], model["outcome"]
    size = gb_text(model["size_bytes"]) if model["size_bytes"] else "-"
    return host, model["model"], *_speeds(model), size, words(model["tools"]), _since(model)


def _watts(model: Mapping[str, Any]) -> str:
    power = model["gpu_watts"]
    return f"{power['median']:.1f} W" if power and model["outcome"] == "measured" else ""


def _speeds(model: Mapping[str, Any]) -> tuple[str, ...]:
    generation = model["generation_tokens_per_second"]
    spread = f"{generation['minimum']:.1f}..{generation['maximum']:.1f}" if generation else "-"

    def said(name: str, form: str) -> str:
        return "-" if not model[name] else form.format(model[name]["median"])

    return (
        said("generation_tokens_per_second", "{:.1f}"), spread, said("prompt_tokens_per_second", "{:.0f}"),
        said("first_token_seconds", "{:.2f} s"), said("load_seconds", "{:.1f} s"),
    )  # fmt: skip


def _since(model: Mapping[str, Any]) -> str:
    comparison = model["comparison"]
    if not comparison:
        return "first time"
    if comparison["not_comparable"]:
        return "not comparable"
    ratio = comparison["ratios"]["generation_tokens_per_second"]
    text = "-" if ratio is None else f"{ratio:.0%}"
    return f"{text}, slower: {', '.join(TITLES[name] for name in comparison['worse'])}" if comparison["worse"] else text


def csv_text(made: Mapping[str, Any]) -> str:
    """Return one row for each run (RFC 4180). A cell that a spreadsheet would take for a formula begins with a quote."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for host in made["hosts"]:
        for model in host["models"]:
            load = model["load_seconds"]["median"] if model["load_seconds"] else None
            for number, run in enumerate(model["runs"], 1):
                row = {**model, **run, "host": host["host"], "run": number, "load_seconds": load}
                writer.writerow([cell(row[name]) for name in CSV_COLUMNS])
    return buffer.getvalue()


def cell(value: Any) -> str:
    """Return a value for a spreadsheet: numbers as they are, texts harmless."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    text = harmless(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def outcomes(made: Mapping[str, Any], *, strict: bool = False) -> dict[str, dict[str, str]]:
    """Return for each host how its part ended: `ok`, `wrong`, `not_asked` or `error`, and a sentence."""
    bad = ("error", "warning") if strict else ("error",)
    told: dict[str, list[str]] = {}
    for finding in made["findings"]:
        if finding["severity"] in bad and finding["item"] != "not-asked":
            told.setdefault(finding["host"], []).append(finding["why"])
    found = {}
    for host in made["hosts"]:
        name, outcome = host["host"], host["outcome"]
        state = {"asked": "ok", "away": "ok"}.get(outcome, outcome)
        said = host["why"]
        if name in told and state == "ok":
            state, said = "wrong", "; ".join(told[name])
        found[name] = {"state": state, "said": f"{name}: {said}" if said else ""}
    return found


def is_plan(made: Mapping[str, Any]) -> bool:
    """Tell a report of check mode, in which nothing was measured and so nothing is written."""
    states = {model["outcome"] for host in made["hosts"] for model in host["models"]}
    return "planned" in states
