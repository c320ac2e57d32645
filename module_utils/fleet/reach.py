"""Who asks whom at which address: the questions of a fleet whose machines serve each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .environment import parse_host
from .tailnet import tailnet_from_json
from .vocabulary import unknown_in

NETWORKS = ("local", "tailnet", "lan")
"""Ways to a server: its .local name, its tailnet address, and the numbers that it has in its LAN, as it was seen to have them."""

STRANGER = "rebinding.example"
"""The name in the questions that a browser would send for a web page of somebody else; RFC 6761 keeps it from ever being one."""


@dataclass(frozen=True)
class Server:
    """A server of the fleet as others know it.

    `addresses` has pairs of network and address, names and numbers without port. `scope` and `networks` are what the role
    `exposure` was told, `open` where nothing is managed. `served` are the ports that Tailscale takes in for it, `userspace` tells
    that it takes in every port.
    """

    name: str
    addresses: Sequence[Sequence[str]]
    host_setting: str
    models: Sequence[dict[str, Any]] = field(default_factory=list)
    scope: str = "open"
    networks: Sequence[str] = ()
    served: Sequence[int] = ()
    userspace: bool = False
    origins: str = ""

    @property
    def port(self) -> int:
        """Return the port that OLLAMA_HOST names."""
        return parse_host(self.host_setting).port


def url(address: str, port: int) -> str:
    """Return the address as a URL, IPv6 in brackets."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def usable(networks: Sequence[str], observed: Mapping[str, Any]) -> list[str]:
    """Return the networks by which a machine can ask others.

    Tailscale in userspace mode gives its Mac no route to tailnet addresses (cmd/tailscaled/proxy.go).
    """
    part = observed.get("tailscale") or {}
    if unknown_in(part) is None and tailnet_from_json(part).userspace:
        return [network for network in networks if network != "tailnet"]
    return list(networks)


def targets(host: str, servers: Sequence[Server], networks: Sequence[str] = NETWORKS) -> list[dict[str, Any]]:
    """List the questions of `host`, by the networks that it uses.

    Every address of every other server, because a Mac's firewall exempts its own traffic and proves nothing about others'; also
    where the answer should be no. Of itself a server is asked one completion, by the resident model, or by the smallest one where
    none is resident, and whether it would serve a web page that calls it by another name.
    """
    asked: list[dict[str, Any]] = []
    for server in servers:
        if server.name == host:
            asked.extend(_of_itself(server))
            continue
        asked.extend(
            {"server": server.name, "url": url(address, server.port), "what": "version", "network": network}
            for network, address in server.addresses
            if network in networks
        )
    return asked


def _of_itself(server: Server) -> list[dict[str, Any]]:
    bind = parse_host(server.host_setting)
    own = url("127.0.0.1" if bind.address == "*" else bind.address, bind.port)
    asked = [{"server": server.name, "url": own, "what": what, "network": "own"} for what in ("foreign_host", "foreign_origin")]
    if not server.models:
        return asked
    chosen = min(
        server.models,
        key=lambda model: (model.get("residency") != "resident", float(model["size_gb"]), model["name"]),
    )
    question = {"server": server.name, "url": own, "what": "completion", "network": "own", "model": chosen["name"]}
    return [{**question, "keep_alive": "-1"} if chosen.get("residency") == "resident" else question, *asked]


def entry(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a server, as the fields of `Server`, by its variables and what was observed of it in this run."""
    environment = variables.get("ollama_service_environment") or {}
    observed = variables.get("fleet_plan_observation") or {}
    tailscale = observed.get("tailscale") or {}
    seen = tailnet_from_json(tailscale if unknown_in(tailscale) is None else {})
    addresses = [("local", variables.get("fleet_local_name")), ("tailnet", variables.get("fleet_tailnet_ip"))]
    addresses += [("lan", address) for address in (observed.get("addresses") or {}).get("lan") or ()]
    served = seen.served if isinstance(seen.served, Mapping) else {}
    # What was planned with: a role's defaults are no variables of the host.
    exposure = (variables.get("fleet_plan_desired") or {}).get("exposure") or {"managed": False}
    return {
        "name": str(variables["inventory_hostname"]),
        "addresses": [[network, str(address)] for network, address in addresses if address],
        "host_setting": str(environment.get("OLLAMA_HOST", "")),
        "models": list(variables.get("ollama_models_installed") or []),
        "scope": str(exposure["scope"]) if exposure["managed"] else "open",
        "networks": [str(network) for network in exposure.get("networks") or ()],
        "served": sorted(served),
        "userspace": seen.userspace,
        "origins": str(environment.get("OLLAMA_ORIGINS", "")),
    }
