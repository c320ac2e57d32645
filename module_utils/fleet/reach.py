"""Who asks whom at which address: the matrix of a fleet whose machines serve each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .environment import parse_host


@dataclass(frozen=True)
class Server:
    """A server of the fleet as others know it. `addresses` are names and numbers without port."""

    name: str
    addresses: Sequence[str]
    host_setting: str
    models: Sequence[dict[str, Any]] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Return the port that OLLAMA_HOST names."""
        return parse_host(self.host_setting).port


def url(address: str, port: int) -> str:
    """Return the address as a URL, IPv6 in brackets."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def targets(host: str, servers: Sequence[Server]) -> list[dict[str, Any]]:
    """List the questions of `host`.

    Every address of every other server, because a Mac's firewall exempts its own traffic and proves nothing about others'. Of
    itself a server is asked one completion, by the resident model, or by the smallest one where none is resident.
    """
    asked: list[dict[str, Any]] = []
    for server in servers:
        if server.name == host:
            asked.extend(_completion(server))
        elif not parse_host(server.host_setting).is_loopback:
            asked.extend(
                {"server": server.name, "url": url(address, server.port), "what": "version"} for address in server.addresses
            )
    return asked


def _completion(server: Server) -> list[dict[str, Any]]:
    if not server.models:
        return []
    chosen = min(
        server.models,
        key=lambda model: (model.get("residency") != "resident", float(model["size_gb"]), model["name"]),
    )
    bind = parse_host(server.host_setting)
    address = "127.0.0.1" if bind.address == "*" else bind.address
    question = {
        "server": server.name,
        "url": url(address, bind.port),
        "what": "completion",
        "model": chosen["name"],
    }
    return [{**question, "keep_alive": "-1"} if chosen.get("residency") == "resident" else question]


def entry(variables: Mapping[str, Any], networks: Sequence[str]) -> dict[str, Any]:
    """Describe a server, as the fields of `Server`, by the addresses it has on the networks the asking machine uses."""
    named = {"local": "fleet_local_name", "tailnet": "fleet_tailnet_ip"}
    environment = variables.get("ollama_service_environment") or {}
    return {
        "name": str(variables["inventory_hostname"]),
        "addresses": [str(variables[named[network]]) for network in networks if variables.get(named[network])],
        "host_setting": str(environment.get("OLLAMA_HOST", "")),
        "models": list(variables.get("ollama_models_installed") or []),
    }
