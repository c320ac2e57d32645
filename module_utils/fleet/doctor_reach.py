"""Why others do not reach a server that serves: its firewalls, its networks, or the machine that asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import packet_filter
from .doctor_patient import Diagnosis, Patient, Reach
from .environment import parse_host
from .matrix import FOUND, Asker, Cell, asker, cells, findings
from .names import normalise
from .reach import Server, entry, targets
from .residents import PRESSURE_WARN
from .tailnet import tailnet_from_json
from .units import GB
from .vocabulary import Unknown, unknown_in

ENABLED = 1
"""State of the application firewall: 0 off, 1 on, 2 blocks all."""

NO_WAY = re.compile(r"[Nn]o route to host|[Nn]etwork is (unreachable|down)|name resolution|nodename nor servname|not known")
"""What a Mac says of a registry when it has no way off its own wire: what it fails to reach then says nothing of others."""

# What is asked. -----------------------------------------------------------------------------------------------------------


def servers_of(machines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Describe the servers by their variables and by what a look saw of them, as `reach.entry` does after a plan."""
    entries = []
    for variables in machines:
        look = variables.get("fleet_plan_look") or {}
        seen = {"fleet_plan_observation": look.get("observation") or {}, "fleet_plan_desired": look.get("desired") or {}}
        entries.append(entry({**variables, **seen}))
    return entries


def questions(
    host: str, servers: Sequence[Server], networks: Sequence[str], look: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """List what a machine asks: every server by every address, and itself what changes nothing.

    Itself it asks only when its server answers; for a sentence only a model that should be in memory or is, so that looking loads
    nothing which the Mac would not load by itself, and none while memory is short.
    """
    observed = (look or {}).get("observation") or {}
    answers = isinstance((observed.get("server") or {}).get("version"), str)
    speaks = why_no_completion(look) == ""
    return [
        question
        for question in targets(host, servers, networks)
        if question["server"] != host or (answers and (question["what"] != "completion" or (speaks and _is_in(question, look))))
    ]


def why_no_completion(look: Mapping[str, Any] | None) -> str:
    """Say why no model is asked for a sentence, "" when one may be."""
    observed = (look or {}).get("observation") or {}
    if not isinstance((observed.get("server") or {}).get("version"), str):
        return "the server does not answer"
    machine = observed.get("machine") or {}
    pressure, swap = machine.get("pressure_level"), machine.get("swap_used_bytes")
    if isinstance(pressure, int) and pressure >= PRESSURE_WARN:
        return "macOS reports memory pressure"
    healer = ((look or {}).get("desired") or {}).get("healer") or {}
    critical = ((healer.get("settings") or {}).get("limits") or {}).get("swap_critical_gb")
    if critical is not None and isinstance(swap, int) and swap > float(critical) * GB:
        # The healer may hold residents out of memory then.
        return "swap is over its critical limit"
    return "" if _speakers(look) else "no model is in memory, and none is to stay there"


def _speakers(look: Mapping[str, Any] | None) -> set[str]:
    """Return the declared models that should be in memory or are."""
    observed, desired = (look or {}).get("observation") or {}, (look or {}).get("desired") or {}
    models = (desired.get("ollama_models") or {}).get("installed") or []
    residents = {normalise(model["name"]) for model in models if model.get("residency") == "resident"}
    loaded = (observed.get("models") or {}).get("loaded")
    present = {str(model["name"]) for model in loaded} if isinstance(loaded, list) else set()
    return residents | (present & {normalise(model["name"]) for model in models})


def _is_in(question: Mapping[str, Any], look: Mapping[str, Any] | None) -> bool:
    return normalise(str(question.get("model"))) in _speakers(look)


# What was answered. -------------------------------------------------------------------------------------------------------


def askers_of(machines: Iterable[Mapping[str, Any]]) -> list[Asker]:
    """Describe every machine of the run by what it found out."""
    return [asker({**variables, "__fleet_verify_reach": variables.get("doctor_reach")}) for variables in machines]


def reaches(askers: Sequence[Asker], servers: Sequence[Server], looks: Mapping[str, Mapping[str, Any]]) -> dict[str, Reach]:
    """Return for each server what the others found; one pass over all answers."""
    offline = frozenset(pair for host, look in looks.items() for pair in _offline(host, look))
    by_server: dict[str, list[Cell]] = {server.name: [] for server in servers}
    for cell in cells(askers, servers):
        by_server[cell.server].append(cell)
    own = {one.name: [answer for answer in one.answers if answer["network"] == "own"] for one in askers}
    headers: dict[str, list[Any]] = {}
    alone = [Asker(one.name, answers=own[one.name]) for one in askers if one.name in by_server]
    for finding in findings(alone, servers):
        if finding.item in ("Host header", "Origin header") and finding.severity == "error":
            headers.setdefault(finding.host, []).append(finding)
    away = {one.name: one.away for one in askers if one.away}
    return {
        name: Reach(
            tuple(by_server[name]), tuple(own.get(name, ())), {one: why for one, why in away.items() if one != name}, offline,
            tuple(headers.get(name, ())),
        )
        for name in by_server
    }  # fmt: skip


def _offline(host: str, look: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    observed = look.get("observation")
    if not observed:
        return
    part = observed.get("tailscale") or {}
    if unknown_in(part) is not None or not tailnet_from_json(part).running:
        yield host, "tailnet"
    addresses, registry = observed.get("addresses") or {}, (observed.get("models") or {}).get("registry") or {}
    stuck = [answer for answer in map(unknown_in, registry.values()) if answer is not None and NO_WAY.search(answer.reason)]
    if addresses.get("lan") == [] or stuck:
        yield host, "local"
        yield host, "lan"


# What it means. -----------------------------------------------------------------------------------------------------------


def network_class(network: str) -> str:
    """Return `tailnet` or `lan`: a .local name and a number of the LAN lead the same way."""
    return "tailnet" if network == "tailnet" else "lan"


def usable_cells(one: Patient) -> list[Cell]:
    """Return the answers that say something about this server, and not about the machine that asked."""
    return [cell for cell in one.reach.cells if cell.status == 200 or (cell.asker, cell.network) not in one.reach.offline]


def unserved(one: Patient) -> list[Cell]:
    """Return the answers that should have been yes and were not."""
    return [cell for cell in usable_cells(one) if cell.declared and not cell.as_declared]


def told(cell: Cell) -> str:
    """Say what one machine found."""
    became = f"HTTP {cell.status}" if cell.status else FOUND[cell.found]
    return f"{cell.asker} asked {cell.url}: {became}"


def rules(one: Patient) -> Iterator[Diagnosis]:
    """Yield why a server that serves is not reached, or is reached by whom it should not be."""
    failing = unserved(one) if one.serves else []
    yield from _exposure(one, failing)
    yield from _tailnet(one, failing)
    if one.serves:
        yield from _firewall(one, failing)
        yield from _lan(one, failing)
        yield from _single(one, failing)
        yield from _kept_out(one)


def _firewall(one: Patient, failing: Sequence[Cell]) -> Iterator[Diagnosis]:
    """Judge by its rules where others do not get in, or where nobody else was asked: its own traffic a Mac never blocks."""
    declared = [cell for cell in usable_cells(one) if cell.declared]
    bind = parse_host(one.wanted.definition.get("EnvironmentVariables", {}).get("OLLAMA_HOST", ""))
    if bind.is_loopback or (declared and not failing):
        return
    seen = one.part("firewall")
    on = not isinstance(seen, Unknown) and seen["state"] == ENABLED
    rules_missing = [f"{step['item']}: {step['found']}" for step in one.steps("firewall") if step["action"] == "allow" and on]
    blocks = [finding for finding in one.findings("firewall", "application firewall") if finding["severity"] == "warning"]
    blocks = [finding for finding in blocks if finding["found"] in ("block all", "managed")]
    evidence = [*rules_missing, *(str(finding["why"]) for finding in blocks), *map(told, failing[:3])]
    if not rules_missing and not blocks:
        return
    remedy = str(blocks[0]["remedy"]) if blocks else f"run `ansible-playbook site.yml --limit {one.host}`, which sets the rule"
    yield one.finds("reach.firewall_blocks", evidence, remedy, certainty="sure" if failing else "likely")


def _exposure(one: Patient, failing: Sequence[Cell]) -> Iterator[Diagnosis]:
    """Tell a packet filter that keeps out too much from one that keeps out too little."""
    if not one.desired["exposure"]["managed"]:
        return
    seen, steps = one.part("packet_filter"), one.steps("exposure")
    state = None if isinstance(seen, Unknown) else packet_filter.found_from_json(seen).state
    errors = [str(finding["why"]) for finding in one.findings("exposure") if finding["severity"] == "error"]
    run = f"run `ansible-playbook site.yml --limit {one.host}`"
    loads = [step for step in steps if step["action"] == "load"]
    in_force = isinstance(state, packet_filter.State) and state.enabled and state.asked and bool(state.labels)
    open_to = [told(cell) for cell in usable_cells(one) if not cell.declared and cell.found == "reached"]
    if loads and failing and in_force:
        lacks = [f"in force is {step['found']}, wanted is {step['wanted']}" for step in loads]
        yield one.finds("reach.packet_filter_blocks", [*lacks, *map(told, failing[:3])], run)
    elif steps or errors or open_to:
        evidence = [*errors, *(f"{step['action']} {step['item']}: {step['found']}" for step in steps[:3]), *open_to[:3]]
        remedy = str(one.findings("exposure")[0]["remedy"]) if errors else run
        yield one.finds("exposure.not_enforced", evidence, remedy, severity="error" if loads or errors or open_to else "warning")
    outside = one.findings("exposure", "exposure_networks")
    refused = [cell for cell in usable_cells(one) if not cell.declared and network_class(cell.network) == "lan"]
    if outside and refused:
        evidence = [str(outside[0]["why"]), *map(told, refused[:3])]
        yield one.finds("reach.packet_filter_blocks", evidence, str(outside[0]["remedy"]), severity="warning")


def _tailnet(one: Patient, failing: Sequence[Cell]) -> Iterator[Diagnosis]:
    """Take what is known of Tailscale, and else whether all of it is silent while the LAN answers."""
    said = [finding for finding in one.findings("tailscale_serve") if finding["severity"] in ("warning", "error")]
    down = [finding for finding in said if finding["item"] == "tailscale" or finding["found"] == "no Tailscale"]
    moved = [finding for finding in said if finding["item"] == "fleet_tailnet_ip" and finding not in down]
    lost = [cell for cell in failing if cell.network == "tailnet"]
    unread = one.part("tailscale")
    if down and "tailnet" in _reached(one) and isinstance(unread, Unknown):
        # Others came in by it, whatever Tailscale says of itself.
        yield one.finds("host.unread", [f"tailscale: {unread.reason}"], str(down[0]["remedy"]), "tailscale")
    elif down:
        yield one.finds("reach.tailnet_down", [str(down[0]["why"]), *map(told, lost[:3])], str(down[0]["remedy"]), "tailnet")
    elif moved:
        yield one.finds("reach.tailnet_address", [str(moved[0]["why"]), *map(told, lost[:3])], str(moved[0]["remedy"]), "tailnet")
    elif lost and all(cell.found in ("timed_out", "no_route") for cell in lost) and _only(one, "tailnet"):
        yield one.finds(
            "reach.tailnet_down", [*map(told, lost[:3]), "over the LAN it is reached, and its Tailscale says that it runs"],
            f"look at `tailscale status` and `tailscale netcheck` on {one.host}, and at what else filters packets there",
            "tailnet", certainty="likely",
        )  # fmt: skip


def _only(one: Patient, name: str) -> bool:
    """Tell that nobody reaches it in this class of networks, and somebody does in the other."""
    reached = _reached(one)
    return bool(reached) and name not in reached


def _reached(one: Patient) -> set[str]:
    """Return the classes of networks by which somebody gets in."""
    return {network_class(cell.network) for cell in usable_cells(one) if cell.status == 200}


def _lan(one: Patient, failing: Sequence[Cell]) -> Iterator[Diagnosis]:
    lost = [cell for cell in failing if network_class(cell.network) == "lan"]
    addresses = one.part("addresses")
    # A network of its own that has no router, and that exposure_networks does not name, shows in that somebody gets in.
    gone = "lan" not in _reached(one) and not isinstance(addresses, Unknown) and addresses.get("lan") == []
    silent = bool(lost) and all(cell.found in ("unresolved", "timed_out", "no_route") for cell in lost) and _only(one, "lan")
    if gone or silent:
        why = (
            "it has no address in a network of exposure_networks, and none towards the internet"
            if gone
            else "over the tailnet it is reached"
        )
        yield one.finds(
            "reach.lan_down", [why, *map(told, lost[:3])],
            "look at its cable or Wi-Fi, whether fleet_local_name is the name in System Settings > General > Sharing, and at what"
            " else filters packets there",
            "lan", certainty="sure" if gone else "likely",
        )  # fmt: skip


def _single(one: Patient, failing: Sequence[Cell]) -> Iterator[Diagnosis]:
    """Tell a machine that alone is not served from a server that serves nobody."""
    for name in ("lan", "tailnet"):
        lost: dict[str, list[Cell]] = {}
        for cell in failing:
            if network_class(cell.network) == name:
                lost.setdefault(cell.asker, []).append(cell)
        served = {cell.asker for cell in usable_cells(one) if cell.status == 200 and network_class(cell.network) == name}
        for machine in sorted(set(lost) - served) if served else ():
            yield one.finds(
                "reach.one_machine", [*map(told, lost[machine][:3]), f"{', '.join(sorted(served))} reached it the same way"],
                f"look at the network of {machine}" + (", `tailscale status` there" if name == "tailnet" else ""),
                machine, certainty="likely",
            )  # fmt: skip


def _kept_out(one: Patient) -> Iterator[Diagnosis]:
    """Say who was kept out as declared: to whoever stands there it looks like a fault."""
    refused = [cell for cell in usable_cells(one) if not cell.declared and cell.found != "reached"]
    if refused:
        sources = ", ".join(dict.fromkeys(f"{cell.asker} from {cell.source or 'an unknown address'}" for cell in refused))
        yield one.finds(
            "reach.not_exposed", [f"exposure_scope is {refused[0].scope}: {sources}", *map(told, refused[:3])],
            "nothing is wrong; OLLAMA_HOST, exposure_scope and exposure_networks decide who gets in",
        )  # fmt: skip
