"""The status of the fleet: from the looks of all Macs to the report's file, its page and its table. Plain data in and out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from . import page

if TYPE_CHECKING:
    from fleet.models import parse_time
    from fleet.shown import as_json, clean, columns, without_controls
    from fleet.status import WORDS, Look, ago, count, counted, fleet_status, row, verdict
    from fleet.units import GB
    from preflight.judgement import judge_host
else:
    from ansible.module_utils.fleet.models import parse_time
    from ansible.module_utils.fleet.shown import as_json, clean, columns, without_controls
    from ansible.module_utils.fleet.status import WORDS, Look, ago, count, counted, fleet_status, row, verdict
    from ansible.module_utils.fleet.units import GB
    from ansible.module_utils.preflight.judgement import judge_host

SCHEMA = "ollama-fleet/status"
SCHEMA_VERSION = 1

WIDTH = 110
NAME_WIDTH, MODELS_WIDTH = 18, 22


def status_report(
    variables: Mapping[str, Mapping[str, Any]],
    asked: Sequence[str],
    servers: Sequence[str],
    figures: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Any],
    made_at: str,
    *,
    strict: bool = False,
) -> dict[str, Any]:
    """Return `json`, `html` and `table` of the report, and for each host how the run ends (`outcomes`).

    `variables` are those of each host, with its `fleet_plan_look`; `asked` are the hosts of this run, `servers` all there are.
    `figures` say what models are made of, `files` hold the texts of the last `drift` and `status` report where there are such.
    """
    drift, before = read_report(files.get("drift"), "drift"), read_report(files.get("status"), "status")
    seen = {**_seen(before, "not_looked_at"), **_seen(before, "hosts")}
    looks = [_look(host, variables, figures, drift, seen) for host in sorted(asked)]
    rows = [clean(row(look)) for look in looks]
    budgets = {look.host: look.budget for look in looks if look.budget is not None}
    content = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "status": fleet_status(rows),
        "last_drift": None if drift is None else clean({name: _text(drift.get(name)) for name in ("made_at", "status")}),
        "hosts": rows,
        "not_looked_at": clean([{"host": host, "seen_at": seen.get(host)} for host in sorted(set(servers) - set(asked))]),
        "findings": clean([finding for look in looks for finding in look.judgement.get("findings") or ()]),
    }
    return {
        "json": as_json(content),
        "html": page.page(content, budgets),
        "table": table(content),
        "outcomes": {one["host"]: verdict(one, rows, strict=strict) for one in rows},
    }


def _look(
    host: str,
    variables: Mapping[str, Mapping[str, Any]],
    figures: Mapping[str, Mapping[str, Any]],
    drift: Optional[Mapping[str, Any]],
    seen: Mapping[str, str],
) -> Look:
    own = variables[host]
    look = own.get("fleet_plan_look") or {"outcome": "error", "why": "it left the run before anything was seen of it"}
    given = {name: look[name] for name in ("observation", "desired", "judgement") if look.get(name)}
    return Look(
        host=host,
        outcome=str(look["outcome"]),
        why=str(look.get("why") or ""),
        budget=_budget(host, own, figures) if look["outcome"] == "asked" else None,
        drift=_last_of(host, drift),
        seen_at=seen.get(host),
        **given,
    )


def _budget(host: str, own: Mapping[str, Any], figures: Mapping[str, Mapping[str, Any]]) -> Optional[Mapping[str, Any]]:
    try:
        found: Optional[Mapping[str, Any]] = judge_host(own, host, figures)["row"]
    except Exception:  # a variable of one Mac that cannot be read is preflight's to tell; it takes no picture from the others
        return None
    return found


# The files of before. ---------------------------------------------------------------------------------------------------


def read_report(text: Any, name: str) -> Optional[Mapping[str, Any]]:
    """Read a report of before; None for no text, for what is no JSON and for what is another report."""
    try:
        content = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("schema") != f"ollama-fleet/{name}":
        return None
    return content if isinstance(content.get("hosts"), list) else None


def _last_of(host: str, drift: Optional[Mapping[str, Any]]) -> Optional[Mapping[str, Any]]:
    for one in (drift or {}).get("hosts") or ():
        if isinstance(one, Mapping) and one.get("host") == host:
            return {**one, "made_at": (drift or {}).get("made_at")}
    return None


def _seen(before: Optional[Mapping[str, Any]], name: str) -> dict[str, str]:
    """Return when each Mac was seen last."""
    found = {}
    entries = (before or {}).get(name)
    for one in entries if isinstance(entries, list) else ():
        if isinstance(one, Mapping) and isinstance(one.get("seen_at"), str) and _is_time(one["seen_at"]):
            found[str(one.get("host"))] = one["seen_at"]
    return found


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def _text(value: Any) -> Optional[str]:
    return None if value is None else str(value)


# The terminal. ----------------------------------------------------------------------------------------------------------

TITLES = ("mac", "health", "ollama", "loaded", "GB", "budget", "swap", "pressure", "disk free", "drift")
FIGURES = (4, 5, 6, 8)
"""The columns that are aligned to the right. Sizes are GB of 10**9 bytes."""


def table(report: Mapping[str, Any]) -> list[str]:
    """Return the report for a terminal of 80 to 120 columns: a line for each Mac, one of totals, then the reasons."""
    hosts = report["hosts"]
    if not hosts:
        return [page.NOBODY]
    lines = columns([TITLES, *(_cells(host) for host in hosts)], FIGURES)
    lines += ["", totals(report)]
    for host in hosts:
        # Macs of which there is nothing more to say stand close.
        close = host is not hosts[0] and not host["reasons"] and not host["notes"]
        lines += [*([] if close else [""]), *_wrapped(f"{host['host']}: {WORDS[host['health']]}{_since(host)}", "")]
        lines += [line for reason in host["reasons"] for line in _wrapped(reason["sentence"], "- ")]
        lines += [line for note in host["notes"] for line in _wrapped(note, "note: ")]
    return [without_controls(line) for line in lines]


def _cells(host: Mapping[str, Any]) -> list[str]:
    first = [_cut(host["host"], NAME_WIDTH), WORDS[host["health"]]]
    if host["ollama"] is None:
        return first
    memory, ollama = host["memory"], host["ollama"]
    return [
        *first,
        _cut(ollama["running_version"] or "-", 11) + ("*" if ollama["stale"] else ""),
        _loaded(host["models"]["loaded"]),
        gb(memory["loaded_bytes"]),
        gb(memory["ram_budget_bytes"]),
        gb(memory["swap_used_bytes"]),
        memory["pressure"] or "?",
        gb(host["disk"]["free_bytes"]),
        count(host["drift"]["steps"], "step"),
    ]


def gb(size: Optional[int]) -> str:
    """Return bytes in GB with one decimal, a question mark for what is unknown."""
    return "?" if size is None else f"{size / GB:.1f}"


def _loaded(loaded: Optional[Sequence[Mapping[str, Any]]]) -> str:
    if loaded is None:
        return "?"
    if not loaded:
        return "nothing"
    more = f" +{len(loaded) - 1}" if len(loaded) > 1 else ""
    return _cut(loaded[0]["name"], MODELS_WIDTH - len(more)) + more


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def totals(report: Mapping[str, Any]) -> str:
    """Say in one line how many Macs are how, what is loaded, and when the last drift run was."""
    hosts = report["hosts"]
    parts = [counted(hosts)]
    loaded = [size for host in hosts if host["memory"] for size in [host["memory"]["loaded_bytes"]] if size is not None]
    if loaded:
        parts.append(f"{sum(loaded) / GB:.1f} GB of models loaded")
    last = report["last_drift"]
    parts.append(
        "no drift run yet"
        if last is None
        else f"last drift run {last['made_at'] or '?'} ({(last['status'] or '?').replace('_', ' ')})"
    )
    return "; ".join(parts)


def _since(host: Mapping[str, Any]) -> str:
    if host["ollama"] is None:
        return f", last seen {host['seen_at']}" if host["seen_at"] else ", never seen in a report before"
    return f", up {ago(host['uptime_seconds'])}, Ollama since {ago(host['ollama']['uptime_seconds'])}"


def _wrapped(text: str, mark: str) -> list[str]:
    first, later = (f"  {mark}", " " * (2 + len(mark))) if mark else ("", "  ")
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
