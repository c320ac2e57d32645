"""Which program on which machine asks which server for what: providers and chains.

Everything is resolved from the inventory: an address stands in the host_vars of the server and nowhere else, a context in the
settings of the server whose memory was judged with it. What cannot be resolved is a finding (routing_findings.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .client_programs import PROGRAMS, Program
from .environment import Bind, parse_host
from .memory_model import default_context, mac_from_figures, settings_from_environment
from .names import normalise
from .reach import url
from .tool_proof import NONE, Proofs, proofs_from_text
from .units import bytes_of_gb

PLATFORMS = ("macos", "linux", "wsl", "windows")

SLOW_SECONDS = 180
"""What a sleeping server may cost a turn before somebody should know: OpenClaw's timeoutSeconds covers connect, headers and body
together, so less would cut long answers (OpenClaw 2026.9.6, docs/providers/ollama/recipes.md)."""


@dataclass(frozen=True)
class ServedModel:
    """A model as clients may use it. `context` is what its memory was judged with, `window` what it was trained for.

    `digest` is the one it is to have, as far as inventory or registry say one; a beginning counts.
    """

    name: str
    context: int
    window: int
    automatic: bool = False
    size_bytes: int = 0
    digest: str = ""


@dataclass(frozen=True)
class Serving:
    """A server as clients see it. `addresses` maps a network to an address."""

    name: str
    addresses: Mapping[str, str]
    bind: Bind
    models: Mapping[str, ServedModel]
    scope: str = "open"
    networks: tuple[str, ...] = ()
    served_ports: tuple[int, ...] = ()
    on_demand: bool = False
    limit_bytes: int = 0

    @property
    def own_url(self) -> str:
        """Return its address for programs on the machine itself."""
        return url("localhost" if self.bind.address == "*" or self.bind.is_loopback else self.bind.address, self.bind.port)


@dataclass(frozen=True)
class Provider:
    """A name that a client has for a server; `network` is by which it asks, empty for the first of the client's that fits."""

    id: str
    host: str
    network: str = ""


@dataclass(frozen=True)
class Hop:
    """One place in a chain: a model on a server, or an external model."""

    host: str = ""
    model: str = ""
    external: str = ""

    @property
    def words(self) -> str:
        """Return it as a person would say it."""
        return self.external or f"{self.model} on {self.host}"


@dataclass(frozen=True)
class External:
    """A model of somebody else. `ids` maps a program to what it calls it there; the key is named, never written."""

    name: str
    provider: str
    ids: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    alias: str = ""
    credentials_variable: str = ""


@dataclass(frozen=True)
class Client:
    """A machine whose programs ask."""

    name: str
    programs: tuple[str, ...]
    providers: tuple[Provider, ...]
    chains: Mapping[str, tuple[Hop, ...]]
    platform: str = "macos"
    networks: tuple[str, ...] = ("tailnet", "local")
    tailnet_address: str = ""
    externals: Mapping[str, External] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    api_key: str = "ollama"
    timeout_seconds: int = SLOW_SECONDS
    retries: int = 0
    tool_proof: str = "off"
    proofs: Proofs = NONE


def client_from_variables(name: str, variables: Mapping[str, Any]) -> Client:
    """Read `clients_*` and the addresses of a machine; shapes are what meta/argument_specs.yml says, which is checked before.

    `tool_proofs` is the text of the last report of measurements, "" without one.
    """
    return Client(
        name,
        programs=tuple(variables.get("clients_programs") or ()),
        providers=tuple(
            Provider(str(one["id"]), str(one["host"]), str(one.get("network") or ""))
            for one in variables.get("clients_providers") or ()
        ),
        chains={
            str(purpose): tuple(map(_hop, hops))
            for purpose, hops in (variables.get("clients_chains") or {}).items()
            if hops is not None
        },
        platform=str(variables.get("clients_platform") or "macos"),
        networks=tuple(variables.get("clients_networks") or ("tailnet", "local")),
        tailnet_address=str(variables.get("fleet_tailnet_ip") or ""),
        externals={
            str(one["name"]): External(
                str(one["name"]), str(one["provider"]), dict(one.get("ids") or {}), str(one.get("title") or one["name"]),
                str(one.get("alias") or ""), str(one.get("credentials_variable") or ""),
            )
            for one in variables.get("clients_external_models") or ()
        },
        models={normalise(one["name"]): one for one in variables.get("clients_models") or ()},
        api_key=str(variables.get("clients_api_key") or "ollama"),
        timeout_seconds=int(variables.get("clients_timeout_seconds") or SLOW_SECONDS),
        retries=int(variables.get("clients_retries") or 0),
        tool_proof=str(variables.get("clients_tool_proof") or "off"),
        proofs=proofs_from_text(str(variables.get("tool_proofs") or "")),
    )  # fmt: skip


def _hop(entry: Mapping[str, Any]) -> Hop:
    model = str(entry.get("model") or "")
    return Hop(str(entry.get("host") or ""), normalise(model) if model else "", str(entry.get("external") or ""))


def serving_from_variables(name: str, variables: Mapping[str, Any], windows: Mapping[str, int]) -> Serving:
    """Read a server by its variables, role defaults included; ValueError names what cannot be read.

    `windows` maps a model to the context that it was trained for, as far as that is known.
    """
    environment = variables.get("ollama_service_environment") or {}
    settings = settings_from_environment(environment)
    given = {
        key: variables[f"ram_budget_{key}"]
        for key in ("macos_major", "reserve_gb", "max_loaded_model_gb", "wired_limit_mib", "working_set_bytes")
        if variables.get(f"ram_budget_{key}") is not None
    }
    mac = mac_from_figures(name, variables.get("ram_budget_memory_gib"), **given)
    default = settings.context_length or default_context(mac.gpu.size_bytes, settings.gpu_overhead_bytes)
    models = {}
    for entry in variables.get("ollama_models_installed") or ():
        model = normalise(entry["name"])
        context = int(entry.get("context_length") or default)
        window = windows.get(model, 0)
        models[model] = ServedModel(
            model, min(context, window) if window else context, window or context, bool(entry.get("automatic_fallback")),
            bytes_of_gb(entry["size_gb"], "size_gb") if entry.get("size_gb") else 0,
            _digest(entry, model, variables),
        )  # fmt: skip
    addresses = {"local": variables.get("fleet_local_name"), "tailnet": variables.get("fleet_tailnet_ip")}
    return Serving(
        name,
        addresses={network: str(address) for network, address in addresses.items() if address},
        bind=parse_host(str(environment.get("OLLAMA_HOST") or "")),
        models=models,
        scope=str(variables.get("exposure_scope") or "") if variables.get("exposure_managed", True) else "open",
        networks=tuple(str(network) for network in variables.get("exposure_networks") or ()),
        served_ports=tuple(int(port) for port in variables.get("tailscale_serve_tcp") or ()),
        on_demand=bool(variables.get("fleet_plan_optional")),
        limit_bytes=mac.max_loaded_model_bytes,
    )


def _digest(entry: Mapping[str, Any], model: str, variables: Mapping[str, Any]) -> str:
    """Return the digest that the next run brings: the pinned one, else the registry's where the model follows it."""
    if entry.get("digest"):
        return str(entry["digest"]).replace("sha256:", "")
    if (entry.get("policy") or variables.get("ollama_models_policy")) != "latest":
        return ""
    known = (variables.get("ram_budget_figures") or {}).get(model) or {}
    return str(known.get("digest") or "").replace("sha256:", "")


# What a program is told. ------------------------------------------------------------------------------------------------------


def network_of(client: Client, provider: Provider, server: Serving) -> str:
    """Return by which network a client asks a server: `own`, the provider's, or the first of the client's that it has; or ""."""
    if server.name == client.name:
        return "own"
    candidates = (provider.network,) if provider.network else client.networks
    return next((network for network in candidates if network in server.addresses), "")


def routes(client: Client, servers: Mapping[str, Serving]) -> list[dict[str, Any]]:
    """Return what each program of a client is told, as plain values; only for a client of which `judge` says no error."""
    return [_route(client, name, PROGRAMS[name], servers) for name in client.programs]


def _route(client: Client, name: str, program: Program, servers: Mapping[str, Serving]) -> dict[str, Any]:
    purposes = [purpose for purpose in client.chains if purpose in program.purposes]
    providers = [_provider(client, provider, servers[provider.host]) for provider in client.providers]
    by_host = {provider["host"]: provider for provider in reversed(providers)}
    chains = {
        purpose: [_told(client, name, hop, by_host) for hop in client.chains[purpose] if program.externals or not hop.external]
        for purpose in purposes
    }
    return {
        "client": client.name,
        "program": name,
        "api_key": client.api_key,
        "retries": client.retries,
        "timeout_seconds": client.timeout_seconds,
        "providers": providers,
        "chains": chains,
        # Every reference once, in the order of the chains: what a program must know by name.
        "references": list({hop["ref"]: hop for hops in chains.values() for hop in hops}.values()),
    }


def _provider(client: Client, provider: Provider, server: Serving) -> dict[str, Any]:
    network = network_of(client, provider, server)
    asked = {hop.model for hops in client.chains.values() for hop in hops if hop.host == server.name}
    return {
        "id": provider.id,
        "host": server.name,
        "network": network,
        "url": server.own_url if network == "own" else url(server.addresses[network], server.bind.port),
        "timeout_seconds": client.timeout_seconds,
        # Only what may be used without anybody looking: a model for use by hand cannot be chosen by a program.
        "models": [_described(client, model) for model in server.models.values() if model.automatic or model.name in asked],
    }


def _described(client: Client, model: ServedModel) -> dict[str, Any]:
    said = client.models.get(model.name, {})
    return {
        "id": model.name,
        "name": str(said.get("title") or model.name),
        "reasoning": bool(said.get("reasoning", False)),
        "input": list(said.get("input") or ["text"]),
        "tools": bool(said.get("tools", True)),
        "context": context_of(said, model),
        "window": model.window,
        "max_tokens": min(int(said.get("max_tokens") or 8192), context_of(said, model)),
    }


def context_of(said: Mapping[str, Any], model: ServedModel) -> int:
    """Return the context that a client is told: its own word about the model, else what the server was judged with."""
    return int(said.get("context") or model.context)


def _told(client: Client, program: str, hop: Hop, by_host: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if hop.external:
        model = client.externals[hop.external]
        name = model.ids[program]
        return {
            "ref": f"{model.provider}/{name}",
            "provider": model.provider,
            "model": name,
            "external": True,
            "alias": model.alias,
            "credentials_variable": model.credentials_variable,
        }
    provider = by_host[hop.host]
    return {
        "ref": f"{provider['id']}/{hop.model}",
        "provider": provider["id"],
        "host": hop.host,
        "model": hop.model,
        "url": provider["url"],
        "network": provider["network"],
        "timeout_seconds": provider["timeout_seconds"],
        "context": next(model["context"] for model in provider["models"] if model["id"] == hop.model),
        "external": False,
        "alias": "",
    }
