"""Put judgement, history, table and files of a drift report together: what the filter calls. Plain data in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import drift, drift_history, drift_ignores, drift_shown
from .shown import as_json

HISTORY = "drift-history.json"
STATES = {"in_sync": "ok", "away": "ok", "drift": "wrong", "not_checked": "not_asked", "error": "error"}
"""What `fleet_outcome` makes of the status of a host."""


def report(seen: Mapping[str, Mapping[str, Any]], known: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return status, table, files and the outcome of each host; ValueError with a sentence for a wrong `drift_ignore`.

    `seen` has for each host its `look` and its `clients` (None where it has none), `known` are the hosts of the inventory.
    """
    now = str(asked["now"])
    ignores = drift_ignores.ignores_from_inventory(asked["ignore"], drift.ALL_CONCERNS)
    files, notes = {}, []
    try:
        history = drift_history.read(asked["history"])
    except ValueError as problem:
        history = drift_history.History()
        files["drift-history.broken.json"] = asked["history"]
        notes.append(
            f"{HISTORY}: {problem}, so since when is counted from now on. What was in it is kept as drift-history.broken.json."
        )
    history = drift_history.without_strangers(history, known, now)
    rules = drift.Rules(bool(asked["accept_away"]), bool(asked["strict"]))
    hosts, history, ended = drift.judge({host: _look(one) for host, one in seen.items()}, ignores, history, now, rules)
    whole = bool(asked["whole"]) and all(host.outcome == "asked" for host in hosts)
    keys = {one.key(host.host) for host in hosts for one in host.drifts}
    notes += drift_ignores.notes(ignores, keys, now[:10], whole=whole)
    content = drift.content(hosts, ended, notes, now)
    files["drift.json"] = as_json(content)
    files["drift.xml"] = drift_shown.junit(hosts, now)
    files[HISTORY] = as_json(drift_history.as_plain(history))
    return {
        "status": content["status"],
        "table": drift_shown.table(hosts, ended, notes, now),
        "files": files,
        "hosts": {host.host: {"state": STATES[host.status], "said": drift_shown.sentence(host)} for host in hosts},
    }


def _look(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return one look of both: a machine may be a server, a client or both, and the worse of two outcomes counts."""
    look, clients = seen.get("look"), seen.get("clients")
    if look is None and clients is None:
        return {"outcome": "error", "why": "nothing was asked of it; it is neither server nor client"}
    outcomes = [one for one in (look, clients) if one is not None]
    worst = max(outcomes, key=lambda one: ("asked", "away", "not_asked", "error").index(one["outcome"]))
    if worst["outcome"] != "asked":
        return {"outcome": worst["outcome"], "why": worst["why"]}
    return {
        "outcome": "asked",
        "why": "",
        "judgement": None if look is None else look["judgement"],
        "clients": clients,
    }


def unfinished(now: str) -> dict[str, str]:
    """Return the files that stand while a run is under way."""
    return {"drift.json": as_json(drift.unfinished(now, "the run that began at this moment has not come to its end"))}
