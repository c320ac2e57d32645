"""What the inventory says about one host, judged before any Mac is asked: names, values, contradictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from . import environment, inventory_values, packet_filter, service
from .definition import definition_problems
from .names import normalise, parse_name
from .service_findings import inventory_findings
from .units import bytes_of_gb, bytes_of_gib, gb_text
from .vocabulary import Finding

ADDRESS_VARIABLES = ("fleet_local_name", "fleet_tailnet_ip")
"""The variables by which others reach a host; no two hosts may share a value."""

CONNECTION_VARIABLES = tuple(inventory_values.CONNECTION)
"""These, and those by which Ansible does."""


def _error(host: str, item: str, found: Any, wanted: str, remedy: str = "") -> Finding:
    return Finding(host, "inventory", item, found, wanted, "error", f"found {found!r}, allowed is {wanted}", remedy)


def unknown_variables(host: str, names: Iterable[str], known: Mapping[str, Iterable[str]]) -> tuple[Finding, ...]:
    """Return variables that look like a role's but that no role reads; `known` maps role -> its options.

    Ansible itself accepts a misspelt variable without a word.
    """
    findings = []
    options = {option for role in known.values() for option in role}
    for name in sorted(names):
        ours = any(name.startswith(f"{role}_") for role in known)
        near = get_close_matches(name, options, n=1, cutoff=0.6 if ours else 0.9)
        if name in options or not (ours or near):
            continue
        findings.append(
            _error(host, name, "a variable that no role reads", "a name from meta/argument_specs.yml",
                   f"write {near[0]}" if near else "take it out")
        )  # fmt: skip
    return tuple(findings)


def value_findings(
    host: str, options: Mapping[str, Mapping[str, Mapping[str, Any]]], values: Mapping[str, Any]
) -> tuple[Finding, ...]:
    """Judge every text of the inventory by what its variable may hold; `options` maps role -> option -> specification."""
    flat = {name: option for role in options.values() for name, option in role.items()}
    # A secret is not repeated, wrong as it may be.
    secret = {name for name, option in flat.items() if option.get("no_log")}
    return tuple(
        _error(host, one.where, "a secret that is not shown" if re.split(r"[.\[]", one.where)[0] in secret else one.found,
               one.allowed, f"correct it in host_vars/{host} or group_vars")
        for one in inventory_values.refusals(flat, values)
    )  # fmt: skip


def contradictions(host: str, values: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return settings of the firewall that cannot all be meant."""
    if values.get("firewall_managed") is False or values.get("firewall_block_all") is not True:
        return ()
    if values.get("firewall_state") == "disabled":
        return (
            _error(host, "firewall_block_all", True, "false or left out, for firewall_state is disabled",
                   "choose one of the two"),
        )  # fmt: skip
    if values.get("firewall_programs"):
        return (
            _error(host, "firewall_block_all", True, "false or left out, for it shuts off the programs of firewall_programs, too",
                   "choose one of the two"),
        )  # fmt: skip
    return ()


def service_findings(
    host: str,
    label: str,
    domain: str,
    definition: Mapping[str, Any] | None,
    retired: Iterable[str],
    *,
    background_accepted: bool = False,
    always_on: bool = False,
) -> tuple[Finding, ...]:
    """Judge the service: label, domain, definition and every variable of its environment."""
    if definition is None:
        return (_error(host, "ollama_service", "a template that is no property list", "valid XML"),)
    findings = [
        Finding(host, "inventory", "ollama_service", label, "a definition launchd takes", "error", problem,
                f"correct the ollama_service_* variables of {host}")
        for problem in definition_problems(label, domain, definition, background_accepted=background_accepted)
    ]  # fmt: skip
    if label in (*retired, service.HOMEBREW_LABEL):
        findings.append(
            _error(host, "ollama_service_label", label, "a label that is not also retired or Homebrew's own",
                   "take it out of ollama_service_retired_labels or choose another label")
        )  # fmt: skip
    if not findings and domain in ("gui", "user", "system"):
        # The condition above is what makes `domain` one of the three; a type checker does not follow `in`.
        wanted = service.Wanted(label, domain, definition)  # type: ignore[arg-type]
        findings.extend(inventory_findings(host, wanted, always_on=always_on))
    return tuple(findings)


def environment_findings(host: str, values: Any) -> tuple[Finding, ...]:
    """Judge `ollama_service_environment` as the inventory holds it, before any template turned it into text."""
    if not isinstance(values, Mapping):
        return (_error(host, "ollama_service_environment", values, "a map of names to texts"),)
    findings = [
        _error(host, f"ollama_service_environment.{problem.name}", problem.found, problem.allowed,
               f"correct it in host_vars/{host} or group_vars")
        for problem in environment.check(values)
    ]  # fmt: skip
    return tuple(findings)


_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|CREDENTIAL", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/@\s]*:[^/@\s]+@")


def secret_findings(host: str, values: Any) -> tuple[Finding, ...]:
    """Warn of what looks like a secret in the server's environment, and do not repeat it."""
    if not isinstance(values, Mapping):
        return ()
    return tuple(
        Finding(host, "inventory", f"ollama_service_environment.{name}", "what looks like a secret", "none", "warning",
                "it looks like a secret, and would stand in a property list that everybody on that Mac may read, in the output of"
                " launchctl print and in --diff",
                "leave it out; docs/sudo.md says more")
        for name, value in sorted(values.items(), key=str)
        if _SECRET_NAME.search(str(name)) or (isinstance(value, str) and _SECRET_VALUE.search(value))
    )  # fmt: skip


def keep_alive_findings(host: str, values: Any, installed: Any, memory_gib: Any = None) -> tuple[Finding, ...]:
    """Hold OLLAMA_KEEP_ALIVE, how long a model stays that was loaded without a time of its own, against the set of the Mac.

    It does not concern residents that are loaded for good: a request without keep_alive keeps the time that a model was loaded
    with (Ollama 0.32.15, observed). It does concern every model that a client loads.
    """
    text = values.get("OLLAMA_KEEP_ALIVE") if isinstance(values, Mapping) else None
    if not isinstance(text, str) or not environment.DURATION.accepts(text) or not isinstance(installed, (list, tuple)):
        return ()
    models = [model for model in installed if isinstance(model, Mapping) and model.get("name")]
    residents = [model for model in models if model.get("residency") == "resident"]
    others = [model for model in models if model.get("residency") != "resident"]
    name = "ollama_service_environment.OLLAMA_KEEP_ALIVE"
    nothing = all(float(number) == 0 for number in re.findall(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+", text))
    if nothing and residents:
        names = ", ".join(str(model["name"]) for model in residents)
        return (
            Finding(host, "inventory", name, text, "a time above 0", "error",
                    f"found {text!r}, with which a model leaves right after the request that loaded it, and {names} shall stay",
                    "leave it out; residents are loaded for good without it"),
        )  # fmt: skip
    if text.startswith("-") and not nothing and others:
        sizes = ", ".join(f"{model['name']} {gb_text(_bytes(model))}" for model in others)
        memory = _or_nothing(bytes_of_gib, memory_gib)
        return (
            Finding(host, "inventory", name, text, "left out, or a time", "warning",
                    f"found {text!r}, with which every model that anybody loads stays for ever: {sizes} beside residents of"
                    f" {gb_text(sum(_bytes(model) for model in residents))}, the files alone"
                    + (f", on a Mac with {gb_text(memory)}" if memory else ""),
                    "leave it out; residents are loaded for good without it"),
        )  # fmt: skip
    return ()


def _bytes(model: Mapping[str, Any]) -> int:
    return _or_nothing(bytes_of_gb, model.get("size_gb"))


def _or_nothing(read: Callable[[Any, str], int], value: Any) -> int:
    """Read a figure for a sentence; what is no figure is refused elsewhere."""
    try:
        return read(value, "")
    except ValueError:
        return 0


def exposure_findings(host: str, exposure: Mapping[str, Any], variables: Any) -> tuple[Finding, ...]:
    """Judge who may reach the port, before any of it could come near a rule of the packet filter.

    `variables` are the server's own: a port that it does not listen on would be guarded in vain.
    """
    remedy = f"correct it in host_vars/{host} or group_vars"
    port = exposure["port"]
    wrong = packet_filter.problems(exposure["scope"], exposure["networks"], port)
    if wrong or not exposure["managed"]:
        return tuple(_error(host, variable, found, allowed, remedy) for variable, found, allowed in wrong)
    try:
        listens = environment.parse_host(str(variables.get("OLLAMA_HOST", "")))
    except (ValueError, AttributeError):
        return ()  # told by environment_findings
    if listens.is_loopback or listens.port == int(port):
        return ()
    return (_error(host, "exposure_port", port, f"{listens.port}, the port of OLLAMA_HOST, which would stay open", remedy),)


def model_findings(host: str, installed: Any, removed: Any) -> tuple[Finding, ...]:
    """Judge the names of the model set: readable, unique, not also removed, not a cloud stub."""
    findings: list[Finding] = []
    seen: dict[str, str] = {}
    for variable, entries in (("ollama_models_installed", installed), ("ollama_models_removed", removed)):
        if not isinstance(entries, (list, tuple)):
            findings.append(_error(host, variable, entries, "a list"))
            continue
        for position, entry in enumerate(entries):
            text = entry.get("name") if isinstance(entry, Mapping) else entry
            where = f"{variable}[{position}]" + (".name" if isinstance(entry, Mapping) else "")
            try:
                name = parse_name(text)
            except ValueError as problem:
                findings.append(
                    Finding(host, "inventory", where, text, "model:tag", "error", str(problem),
                            f"write it as `ollama list` prints it, in host_vars/{host}/ollama_models.yml")
                )  # fmt: skip
                continue
            if name.is_cloud:
                findings.append(_error(host, where, text, "a model that runs on this Mac, not a cloud stub"))
            key = normalise(text).lower()
            if key in seen:
                findings.append(_error(host, where, text, f"each model once, it is also {seen[key]}", "keep one of the two"))
            seen.setdefault(key, where)
    return tuple(findings)


def address_findings(addresses: Mapping[str, Mapping[str, str]]) -> tuple[Finding, ...]:
    """Return addresses that are none, and those that two hosts claim; `addresses` maps host -> {variable: address}."""
    owner: dict[str, tuple[str, str]] = {}
    findings = []
    for host in sorted(addresses):
        findings += [
            _error(host, one.where, one.found, one.allowed, f"correct it in host_vars/{host}")
            for one in inventory_values.connection_refusals(addresses[host])
        ]
        for variable, address in sorted(addresses[host].items()):
            if variable not in ADDRESS_VARIABLES:
                continue
            if address in owner and owner[address][0] != host:
                other, other_variable = owner[address]
                findings.append(
                    _error(host, variable, address, f"an address of its own, {other} has it as {other_variable}",
                           "correct one of the two in host_vars")
                )  # fmt: skip
            owner.setdefault(address, (host, variable))
    return tuple(findings)
