"""What is wrong with a client's providers and chains, before any machine is asked: one rule, one name, one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Optional

from .client_programs import AGENT_PURPOSES, PROGRAMS, Program
from .matrix import may_reach
from .routing import SLOW_SECONDS, Client, Hop, Provider, ServedModel, Serving, context_of, network_of
from .units import gb_text
from .vocabulary import Finding, Severity

CONCERN = "clients"

RULES = (
    "program-unknown",
    "provider-unknown-host",
    "provider-twice",
    "provider-name-taken",
    "provider-unused",
    "provider-missing",
    "provider-without-address",
    "provider-shut-out",
    "local-name-on-windows",
    "local-name-for-agent",
    "hop-unreadable",
    "hop-twice",
    "model-not-installed",
    "model-not-automatic",
    "model-over-limit",
    "chain-empty",
    "chain-one-machine",
    "chain-unused",
    "chain-without-server",
    "chain-cut",
    "chain-not-followed",
    "external-unknown",
    "external-without-credentials",
    "external-without-id",
    "key-is-marker",
    "context-too-small",
    "context-over-budget",
    "silence-costs-minutes",
    "tools-unreadable",
    "tools-unproved",
    "tools-failed",
    "tools-proof-old",
)
"""Every name that `Finding.item` can begin with here."""

_WINDOWS = ("wsl", "windows")


def judge(client: Client, servers: Mapping[str, Serving]) -> tuple[Finding, ...]:
    """Return every finding about a client's providers and chains, errors first, then in the order of `RULES`."""
    found = [
        *_programs(client),
        *_providers(client, servers),
        *_chains(client, servers),
        *_externals(client),
        *_contexts(client, servers),
        *_followed(client),
        *_silence(client, servers),
        *_tools(client, servers),
    ]
    severities = ("error", "warning", "note")
    unique = list(dict.fromkeys((one.severity, one.item, one.why) for one in found))
    first = {(one.severity, one.item, one.why): one for one in reversed(found)}
    order = sorted(unique, key=lambda key: (severities.index(key[0]), RULES.index(key[1])))
    return tuple(first[key] for key in order)


def _finding(client: Client, rule: str, severity: Severity, found: Any, wanted: Any, why: str, remedy: str = "") -> Finding:
    return Finding(
        client.name, CONCERN, rule, found, wanted, severity, why, remedy or f"correct it in host_vars/{client.name} or group_vars"
    )


def _programs(client: Client) -> Iterator[Finding]:
    for name in client.programs:
        if name not in PROGRAMS:
            yield _finding(
                client,
                "program-unknown",
                "error",
                name,
                sorted(PROGRAMS),
                f"clients_programs has {name!r}, there are {', '.join(sorted(PROGRAMS))}",
            )


def _providers(client: Client, servers: Mapping[str, Serving]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    external = {model.provider for model in client.externals.values()}
    in_chains = {hop.host for hops in client.chains.values() for hop in hops if hop.host}
    for provider in client.providers:
        if provider.id in seen:
            yield _finding(
                client,
                "provider-twice",
                "error",
                provider.id,
                "each name once",
                f"clients_providers has the name {provider.id!r} for {seen[provider.id]} and for {provider.host}",
            )
        elif provider.host in seen.values():
            yield _finding(
                client,
                "provider-twice",
                "error",
                provider.id,
                "each server once",
                f"clients_providers names {provider.host} twice, and a chain could not tell which is meant",
            )
        if provider.id in external:
            yield _finding(
                client,
                "provider-name-taken",
                "error",
                provider.id,
                "another name",
                f"clients_providers calls {provider.host} {provider.id!r}, which is the provider of an external model",
            )
        seen.setdefault(provider.id, provider.host)
        server = servers.get(provider.host)
        if server is None:
            yield _finding(
                client,
                "provider-unknown-host",
                "error",
                provider.host,
                sorted(servers),
                f"provider {provider.id!r} names {provider.host!r}, which is no server; there are {', '.join(sorted(servers))}",
            )
            continue
        if provider.host not in in_chains:
            yield _finding(
                client,
                "provider-unused",
                "warning",
                provider.id,
                "a chain that uses it",
                f"no chain of {client.name} uses {provider.host}, which is provider {provider.id!r}",
            )
        yield from _way(client, provider, server)
    for host in sorted(in_chains & set(servers) - set(seen.values())):
        yield _finding(
            client,
            "provider-missing",
            "error",
            host,
            "a row in clients_providers",
            f"a chain names {host}, and clients_providers has no name for it",
        )


def _way(client: Client, provider: Provider, server: Serving) -> Iterator[Finding]:
    network = network_of(client, provider, server)
    if network == "own":
        return
    if not network:
        tried = (provider.network,) if provider.network else client.networks
        variables = {"local": "fleet_local_name", "tailnet": "fleet_tailnet_ip"}
        yield _finding(
            client,
            "provider-without-address",
            "error",
            "none",
            list(tried),
            f"{server.name} has no address for {client.name}: it is asked by {' or '.join(tried)}, and"
            f" {' and '.join(variables.get(one, one) for one in tried)} of {server.name} are not set",
            f"set one of them in host_vars/{server.name}, or change clients_networks",
        )
        return
    address = server.addresses[network]
    if address.endswith(".local"):
        if client.platform in _WINDOWS:
            yield _finding(
                client,
                "local-name-on-windows",
                "error",
                address,
                "a tailnet address",
                f"{client.name} is to ask {server.name} as {address}, and Windows resolves no .local names dependably",
                "set clients_networks to [tailnet]",
            )
        elif client.platform == "macos":
            yield _finding(
                client,
                "local-name-for-agent",
                "warning",
                address,
                "a tailnet address",
                f"{client.name} is to ask {server.name} as {address}: macOS 15 and later keep programs that launchd started as"
                " agents from the local network ('No route to host' at once), and ask nobody; over ssh it works all the same",
                "put tailnet first in clients_networks",
            )
    shut = _shut_out(client, server, network)
    if shut:
        yield _finding(
            client,
            "provider-shut-out",
            "error",
            network,
            f"a way that {server.name} leaves open",
            f"{client.name} is to ask {server.name} by {network}, and {shut}",
        )


def _shut_out(client: Client, server: Serving, network: str) -> str:
    if network == "tailnet" and server.bind.port in server.served_ports:
        return ""
    if server.bind.is_loopback:
        return f"its OLLAMA_HOST listens on {server.bind.address} only"
    if server.scope == "loopback":
        return "its exposure_scope is loopback"
    if network == "local" and server.scope == "tailnet":
        return "its exposure_scope is tailnet, which shuts the local network out"
    if network == "local" and server.scope == "lan" and not server.networks:
        return "its exposure_networks are empty"
    if (
        network == "tailnet"
        and _is_number(client.tailnet_address)
        and not may_reach(server.scope, server.networks, client.tailnet_address)
    ):
        return f"it lets {client.tailnet_address} not in (exposure_scope {server.scope})"
    return ""


def _is_number(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _chains(client: Client, servers: Mapping[str, Serving]) -> Iterator[Finding]:
    told = {purpose for name in client.programs if name in PROGRAMS for purpose in PROGRAMS[name].purposes}
    for purpose, hops in client.chains.items():
        where = f"clients_chains.{purpose}"
        if purpose not in told:
            titles = ", ".join(PROGRAMS[name].title for name in client.programs if name in PROGRAMS) or "none"
            yield _finding(
                client,
                "chain-unused",
                "warning",
                purpose,
                "a program that takes it",
                f"{where} is used by none of its programs ({titles})",
                "take it out, or add a program to clients_programs",
            )
        if not hops:
            yield _finding(
                client, "chain-empty", "error", [], "one hop at least", f"{where} is empty", "take it out, or name a hop"
            )
        seen: dict[Hop, int] = {}
        for at, hop in enumerate(hops):
            yield from _judged_hop(client, servers, f"{where}[{at}]", hop)
            if hop in seen:
                yield _finding(
                    client,
                    "hop-twice",
                    "error",
                    hop.words,
                    "each hop once",
                    f"{where} has {hop.words} twice, at {seen[hop]} and {at}: the second could only fail again",
                    "take one of the two out",
                )
            seen.setdefault(hop, at)
        yield from _span(client, servers, purpose, hops)


def _span(client: Client, servers: Mapping[str, Serving], purpose: str, hops: tuple[Hop, ...]) -> Iterator[Finding]:
    """Judge whether somebody is left when a machine is away, for programs that follow the chain."""
    where = f"clients_chains.{purpose}"
    programs = [PROGRAMS[name] for name in client.programs if name in PROGRAMS and purpose in PROGRAMS[name].purposes]
    machines = {hop.host or "outside" for hop in hops}
    if len(machines) == 1 and any(purpose in program.chained for program in programs):
        # A heartbeat that is missed costs little, and a fleet of one server has no second one to name.
        tolerated = purpose == "heartbeat" or len(servers) == 1
        yield _finding(
            client,
            "chain-one-machine",
            "warning" if tolerated else "error",
            sorted(machines),
            "two machines",
            f"every hop of {where} is on {hops[0].host or 'somebody else'}, so nobody is left when it is away",
            "add a hop on another machine",
        )
    if hops and machines == {"outside"} and "openai_env" in client.programs and purpose == "main":
        yield _finding(
            client,
            "chain-without-server",
            "error",
            [hop.words for hop in hops],
            "a hop on a server of the fleet",
            f"{where} has no hop on a server of the fleet, and the environment file names one",
            "add one, or take openai_env out of clients_programs",
        )


def _judged_hop(client: Client, servers: Mapping[str, Serving], where: str, hop: Hop) -> Iterator[Finding]:
    if bool(hop.external) == bool(hop.host or hop.model) or (not hop.external and not (hop.host and hop.model)):
        yield _finding(
            client,
            "hop-unreadable",
            "error",
            hop.words,
            "host and model, or external",
            f"{where} must have host and model, or external alone",
        )
        return
    if hop.external:
        if hop.external not in client.externals:
            yield _finding(
                client,
                "external-unknown",
                "error",
                hop.external,
                sorted(client.externals),
                f"{where} names {hop.external!r}, which is not in clients_external_models",
            )
        return
    server = servers.get(hop.host)
    if server is None:
        yield _finding(
            client,
            "provider-unknown-host",
            "error",
            hop.host,
            sorted(servers),
            f"{where} names {hop.host!r}, which is no server; there are {', '.join(sorted(servers))}",
        )
        return
    model = server.models.get(hop.model)
    if model is None:
        yield _finding(
            client,
            "model-not-installed",
            "error",
            hop.model,
            sorted(server.models),
            f"{where} asks {hop.host} for {hop.model}, and ollama_models_installed of {hop.host} has"
            f" {', '.join(sorted(server.models)) or 'nothing'}",
            f"add it in host_vars/{hop.host}, or take the hop out",
        )
        return
    if not model.automatic:
        yield _finding(
            client,
            "model-not-automatic",
            "error",
            hop.words,
            "a model with automatic_fallback",
            f"{where} would load {hop.words} without anybody looking, and its automatic_fallback there is false",
            "name another model or another host; set automatic_fallback only for what that Mac can hold beside its residents",
        )
    if server.limit_bytes and model.size_bytes > server.limit_bytes:
        yield _finding(
            client,
            "model-over-limit",
            "error",
            gb_text(model.size_bytes),
            gb_text(server.limit_bytes),
            f"{where} would load {hop.words}, {gb_text(model.size_bytes)}; ram_budget_max_loaded_model_gb of {hop.host} allows"
            f" {gb_text(server.limit_bytes)}",
            "name another model or another host",
        )


def _externals(client: Client) -> Iterator[Finding]:
    for purpose, hops in client.chains.items():
        for hop in hops:
            model = client.externals.get(hop.external)
            if model is None:
                continue
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", model.credentials_variable):
                yield _finding(
                    client,
                    "external-without-credentials",
                    "error",
                    model.credentials_variable or "none",
                    "the name of a variable",
                    f"{model.name} needs a key, and its credentials_variable names none",
                    "name the environment variable that holds the key for the program, such as ANTHROPIC_API_KEY; the key itself"
                    " never stands in the inventory",
                )
            for name in client.programs:
                if name in PROGRAMS and _must_know(PROGRAMS[name], purpose) and not model.ids.get(name):
                    yield _finding(
                        client,
                        "external-without-id",
                        "error",
                        "none",
                        f"ids.{name}",
                        f"clients_chains.{purpose} names {model.name}, and clients_external_models does not say what"
                        f" {PROGRAMS[name].title} calls it",
                        f"add ids.{name} to it",
                    )


def _must_know(program: Program, purpose: str) -> bool:
    return program.externals and purpose in program.purposes


def _contexts(client: Client, servers: Mapping[str, Serving]) -> Iterator[Finding]:
    for name in client.programs:
        program = PROGRAMS.get(name)
        if program is None:
            continue
        ways = {
            server.name: network_of(client, provider, server)
            for provider in client.providers
            if (server := servers.get(provider.host))
        }
        afar = sorted(host for host, network in ways.items() if network == "tailnet")
        if client.api_key in program.markers and afar:
            yield _finding(
                client,
                "key-is-marker",
                "error",
                client.api_key,
                "any other word, such as ollama",
                f"clients_api_key is {client.api_key!r}, which {program.title} takes for a sign and no key where the server has"
                f" a tailnet address ({', '.join(afar)}): it would send no request at all",
                "leave clients_api_key out; Ollama reads no key",
            )
        for host, model in _asked(client, program, servers):
            context = context_of(client.models.get(model.name, {}), model)
            if context < program.least_context:
                yield _finding(
                    client,
                    "context-too-small",
                    "error",
                    context,
                    program.least_context,
                    f"{program.title} needs a context of {program.least_context}, and {model.name} has {context} on {host}",
                    f"set OLLAMA_CONTEXT_LENGTH or its context_length in host_vars/{host}; preflight judges the memory for it",
                )
            elif context > model.context:
                what = (
                    "would be sent as num_ctx, and its memory" if program.sends_context else "is promised to it, and its memory"
                )
                yield _finding(
                    client,
                    "context-over-budget",
                    "error",
                    context,
                    model.context,
                    f"clients_models gives {model.name} a context of {context}, which {what} on {host} was judged with"
                    f" {model.context}",
                    f"set context_length of {model.name} in host_vars/{host} instead, and leave context out",
                )


def _asked(client: Client, program: Program, servers: Mapping[str, Serving]) -> Iterable[tuple[str, ServedModel]]:
    hops = [hop for purpose, chain in client.chains.items() if purpose in program.purposes for hop in chain]
    pairs = {(hop.host, hop.model) for hop in hops if hop.host in servers and hop.model in servers[hop.host].models}
    return [(host, servers[host].models[model]) for host, model in sorted(pairs)]


def _followed(client: Client) -> Iterator[Finding]:
    """Say of which chains a program takes the first hop only, and after what a program does not go on."""
    for name in client.programs:
        program: Optional[Program] = PROGRAMS.get(name)
        if program is None:
            continue
        long = [purpose for purpose in client.chains if purpose in program.purposes and len(client.chains[purpose]) > 1]
        cut = [purpose for purpose in long if purpose not in program.chained]
        if cut:
            yield _finding(
                client,
                "chain-cut",
                "warning",
                cut,
                "one hop",
                f"{program.title} takes only the first hop of {', '.join(cut)}"
                + ("; what follows is the main chain" if name == "clawdbot" and "subagents" in cut else ""),
                program.instead or "name one hop, or let a LiteLLM proxy follow the chain",
            )
        if program.gives_up_on and any(purpose in program.chained for purpose in long):
            yield _finding(
                client,
                "chain-not-followed",
                "warning",
                sorted(program.gives_up_on),
                "nothing",
                f"{program.title} does not go on to the next hop when a server refuses the connection, has no address, lacks the"
                " model or answers with an error; only silence, 401 and 429 take it there",
                program.instead,
            )


def _silence(client: Client, servers: Mapping[str, Serving]) -> Iterator[Finding]:
    if not any(PROGRAMS[name].has_timeout for name in client.programs if name in PROGRAMS):
        return
    cost = client.timeout_seconds * (client.retries + 1)
    asleep = sorted(
        {
            hop.host
            for hops in client.chains.values()
            for hop, _ in zip(hops, hops[1:])
            if hop.host in servers and hop.host != client.name and servers[hop.host].on_demand
        }
    )
    if asleep and cost > SLOW_SECONDS:
        yield _finding(
            client,
            "silence-costs-minutes",
            "warning",
            cost,
            SLOW_SECONDS,
            f"{', '.join(asleep)} may be asleep, and a turn would then wait {cost} s before the next hop is asked"
            f" (clients_timeout_seconds {client.timeout_seconds}, {client.retries} retries)",
            f"set clients_timeout_seconds to {SLOW_SECONDS} at most and clients_retries to 0",
        )


def _tools(client: Client, servers: Mapping[str, Serving]) -> Iterator[Finding]:
    """Say which models an agent would ask of which nobody has proved that they call tools, where that is asked for."""
    if client.tool_proof == "off":
        return
    severity: Severity = "error" if client.tool_proof == "require" else "warning"
    if client.proofs.problem:
        yield _finding(
            client,
            "tools-unreadable",
            severity,
            client.proofs.problem,
            "a report",
            f"the proofs of calls of tools cannot be used: {client.proofs.problem}",
            "run playbooks/bench.yml, or correct clients_tool_proof_report",
        )
        return
    for (host, model), purposes in _agents(client, servers).items():
        proof = client.proofs.known.get((host, model))
        asked = f"clients_chains.{' and '.join(purposes)} {'ask' if len(purposes) > 1 else 'asks'} {model} on {host} for an agent"
        again = f"run playbooks/bench.yml -e bench_tools=true --limit {host}"
        allowed = servers[host].models[model].digest
        if proof is None:
            yield _finding(
                client, "tools-unproved", severity, "no proof", "every try passed",
                f"{asked}, and nobody has proved that it calls tools", again,
            )  # fmt: skip
        elif not proof.holds:
            did = f"it has {proof.why}" if proof.why else f"it did so in {proof.passed} of {proof.of} tries"
            kinds = f" ({', '.join(proof.failures)})" if proof.failures else ""
            yield _finding(
                client, "tools-failed", severity, f"{proof.passed} of {proof.of}", "every try passed",
                f"{asked}, which must call tools: {did}{kinds}, {proof.made_at}",
                f"take it out of the chain, or {again} after a change",
            )  # fmt: skip
        elif allowed and not proof.digest.startswith(allowed) and not allowed.startswith(proof.digest):
            # Never an error: the run that it would stop is the one that brings the new version, which can be proved only then.
            yield _finding(
                client, "tools-proof-old", "warning", proof.digest[:12], allowed[:12],
                f"{asked}, and what was proved, {proof.made_at}, is another version ({proof.digest[:12]}, now {allowed[:12]})",
                again,
            )  # fmt: skip


def _agents(client: Client, servers: Mapping[str, Serving]) -> dict[tuple[str, str], list[str]]:
    """Return the models that programs let call tools, with the purposes for which they do."""
    taken = {purpose for name in client.programs if name in PROGRAMS for purpose in PROGRAMS[name].purposes}
    found: dict[tuple[str, str], list[str]] = {}
    for purpose, hops in client.chains.items():
        if purpose in AGENT_PURPOSES and purpose in taken:
            for hop in hops:
                if hop.host in servers and hop.model in servers[hop.host].models:
                    purposes = found.setdefault((hop.host, hop.model), [])
                    if purpose not in purposes:
                        purposes.append(purpose)
    return found
