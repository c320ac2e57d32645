"""Resolve and judge the providers and chains of one machine; documented in client_routing.yml."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fleet.client_programs import PROGRAMS
    from fleet.routing import client_from_variables, routes, serving_from_variables
    from fleet.routing_findings import judge
    from fleet.vocabulary import plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.client_programs import PROGRAMS
    from ansible.module_utils.fleet.routing import client_from_variables, routes, serving_from_variables
    from ansible.module_utils.fleet.routing_findings import judge
    from ansible.module_utils.fleet.vocabulary import plain

READ = (
    "exposure_managed",
    "exposure_networks",
    "exposure_scope",
    "fleet_local_name",
    "fleet_plan_optional",
    "fleet_tailnet_ip",
    "ollama_models_installed",
    "ollama_models_policy",
    "ollama_service_environment",
    "ram_budget_figures",
    "ram_budget_macos_major",
    "ram_budget_max_loaded_model_gb",
    "ram_budget_memory_gib",
    "ram_budget_reserve_gb",
    "ram_budget_wired_limit_mib",
    "ram_budget_working_set_bytes",
    "tailscale_serve_tcp",
)
"""The variables of a server that decide how clients reach it."""


def client_routing(
    values: Mapping[str, Any],
    host: str,
    servers: Iterable[str],
    hostvars: Mapping[str, Mapping[str, Any]],
    defaults: Mapping[str, Any],
    catalogue: Mapping[str, Any],
) -> dict[str, Any]:
    """Pass a client's own variables, the servers' and their roles' defaults in; findings, routes and files out."""
    windows = {
        name: int(entry["architecture"].get("train_context") or 0) for name, entry in (catalogue.get("models") or {}).items()
    }
    serving = {}
    for name in servers:
        given = {key: hostvars[name][key] for key in READ if key in hostvars[name]}
        serving[name] = serving_from_variables(name, {**defaults, **given}, windows)
    client = client_from_variables(host, values)
    findings = judge(client, serving)
    wrong = any(finding.severity == "error" for finding in findings)
    found: dict[str, Any] = {
        "findings": plain(findings),
        "routes": [] if wrong else routes(client, serving),
        "files": []
        if wrong
        else [{"program": name, **asdict(file)} for name in client.programs for file in PROGRAMS[name].files],
    }
    return found


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"client_routing": client_routing}
