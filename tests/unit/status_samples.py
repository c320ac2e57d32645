"""Fleets as a run of the status sees them: the Mac of the examples with changes, away, unreachable, hostile."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.fleet.plan import judge
from ansible.module_utils.status.report import status_report

from tests.unit.examples import DIGEST, desired, observed

MADE_AT = "2026-11-26T04:24:09Z"
GB = 10**9

HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\u202egnp.exe\u2066\u200b",
    '" onload="x" \'&amp;',
    "half a character \udc80\udcff",
    "line\nbreak\r\ttab\u2028end",
    "x" * 1_000_000,
]
"""What a Mac or a server on it could call itself or its models."""


def seen(**parts: Any) -> dict[str, Any]:
    """Return the observation of a healthy Mac with all that a report asks for, with these parts instead."""
    made = observed(
        machine={
            "name": "felipes-mac-mini.local", "macos_version": "15.6.1", "memory_bytes": 16 * 2**30, "swap_used_bytes": 0,
            "pressure_level": 1, "booted_at": "2026-11-20T04:00:00Z", "observed_at": "2026-11-26T04:24:00Z",
            "disk_free_bytes": 210 * GB, "disk_total_bytes": 494 * GB,
        },
        processes=[
            {"pid": 3438, "parent": 1, "user": "felipe", "resident_bytes": 27 * 10**6, "started": "2026-11-25T20:00:00Z",
             "command": "/opt/homebrew/opt/ollama/bin/ollama serve"}
        ],
        heartbeats={"residents": "2026-11-26T04:23:21Z", "logs": "2026-11-26T04:02:25Z", "heal": "2026-11-26T04:23:29Z"},
        logs={},
    )  # fmt: skip
    return {**made, **parts}


def machine(**changes: Any) -> dict[str, Any]:
    """Return the `machine` part with these values instead."""
    return {**seen()["machine"], **changes}


def model(name: str, digest: str = DIGEST, **changes: Any) -> dict[str, Any]:
    """Return a model in memory as an observation has it."""
    return {
        "name": name, "digest": digest, "size": 7 * GB, "size_vram": 7 * GB, "context_length": 32768, "pinned": True,
        "expires_at": "2319-03-08T04:10:46.377016472Z", **changes,
    }  # fmt: skip


def models(*loaded: Mapping[str, Any], installed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the `models` part with what is loaded, and further models on the disk."""
    part = copy.deepcopy(seen()["models"])
    part["loaded"] = list(loaded) or part["loaded"]
    part["installed"] += [{"name": name, "digest": "a" * 64, "size": 13 * GB} for name in installed]
    return part


def look(host: str = "mac-mini", *, wanted: Mapping[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """Return `fleet_plan_look` of a Mac that was asked."""
    asked, observation = dict(wanted or desired()), seen(**parts)
    return {
        "outcome": "asked", "why": "", "observation": observation, "desired": asked, "judgement": judge(host, asked, observation),
    }  # fmt: skip


def not_seen(outcome: str, why: str) -> dict[str, Any]:
    """Return the look at a Mac that was not asked."""
    return {"outcome": outcome, "why": why}


VARIABLES = {
    "ram_budget_memory_gib": 16,
    "ram_budget_macos_major": 15,
    "ram_budget_reserve_gb": 4,
    "ollama_models_installed": [
        {"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"},
        {"name": "gpt-oss:20b", "size_gb": 13.8, "residency": "on_demand"},
    ],
    "ollama_service_environment": {"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_CONTEXT_LENGTH": "32768"},
}
"""What the inventory says of the memory of each Mac."""


def report(
    looks: Mapping[str, Mapping[str, Any]], *, servers: Any = None, files: Any = None, strict: bool = False
) -> dict[str, Any]:
    """Return what the filter makes of these looks."""
    variables = {host: {**VARIABLES, "fleet_plan_look": one} for host, one in looks.items()}
    return status_report(variables, list(looks), servers or list(looks), {}, files or {}, MADE_AT, strict=strict)


def content(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report that was written."""
    read: dict[str, Any] = json.loads(made["json"])
    return read


DRIFT = {
    "schema": "ollama-fleet/drift", "schema_version": 1, "made_at": "2026-11-26T03:00:00Z", "status": "drift",
    "hosts": [
        {"host": "mac-mini", "status": "drift",
         "drifts": [
             {"concern": "ollama_models", "action": "load", "item": "qwen3:8b", "since": "2026-11-25T09:00:00Z", "ignored": None},
             {"concern": "power", "action": "set", "item": "sleep", "since": "2026-11-01T09:00:00Z", "ignored": "on purpose"},
         ]},
        {"host": "macbook-pro", "status": "in_sync", "drifts": []},
    ],
}  # fmt: skip
EARLIER = {
    "schema": "ollama-fleet/status",
    "schema_version": 1,
    "hosts": [{"host": "macbook-pro", "seen_at": "2026-11-24T18:30:00Z"}],
}
AWAY = "macbook-pro does not answer at felipes-macbook-pro-2.local (no answer in time); it may be asleep or away"


def drifted() -> dict[str, Any]:
    """Return a Mac in trouble: pressure, swap, a model beside the GPU, an old process, late jobs, steps in the plan."""
    return look(
        machine=machine(swap_used_bytes=15_600_000_000, pressure_level=4, disk_free_bytes=6 * GB),
        models=models(
            model("gpt-oss:20b", "b" * 64, size=14 * GB, size_vram=9 * GB, pinned=False, expires_at="2026-11-26T04:27:00Z"),
            installed=("gpt-oss:20b", "qwen3-fast:8b"),
        ),
        server={"version": "0.31.2"},
        heartbeats={"residents": "2026-11-26T01:00:00Z", "logs": None, "heal": {"unknown": "heal.json: KeyError: 'at'"}},
        firewall={"state": 1, "rules": {}},
    )


def hostile() -> dict[str, dict[str, Any]]:
    """Return two Macs of which everything that they say of themselves is meant to harm."""
    looks = {}
    for number, loaded in enumerate((HOSTILE[:4], HOSTILE[4:])):
        told = [{**model(name, f"{place}" * 64)} for place, name in enumerate(loaded)]
        part = models(*told, installed=tuple(loaded))
        looks[f"mac-{number}"] = look(
            f"mac-{number}",
            models=part,
            machine=machine(name=loaded[0], macos_version=loaded[1]),
            tailscale={**seen()["tailscale"], "state": loaded[2], "addresses": list(loaded)},
            server={"version": loaded[1][:40]},
            heartbeats={"residents": loaded[0], "logs": loaded[1], "heal": {"unknown": loaded[2]}},
        )
    looks["mac-9"] = not_seen("error", HOSTILE[0] + HOSTILE[1])
    return looks


FLEETS: dict[str, Callable[[], dict[str, Any]]] = {
    "healthy": lambda: report({"mac-mini": look(), "macbook-pro": look("macbook-pro")}),
    "drifted": lambda: report({"mac-mini": drifted(), "macbook-pro": look("macbook-pro")}, files={"drift": json.dumps(DRIFT)}),
    "half": lambda: report(
        {"mac-mini": look(), "macbook-pro": not_seen("away", AWAY), "mac-03": not_seen("not_asked", "no module runs there")},
        servers=["mac-mini", "macbook-pro", "mac-03", "mac-04"],
        files={"status": json.dumps(EARLIER)},
    ),
    "dead": lambda: report({"mac-mini": not_seen("not_asked", "no answer in time"), "macbook-pro": not_seen("away", AWAY)}),
    "empty": lambda: report({}),
    "hostile": lambda: report(hostile()),
    "twenty": lambda: report({f"mac-{number:02}": drifted() if number % 7 == 3 else look() for number in range(1, 21)}),
}
