"""What each machine reaches of each server, held against what is declared; for the screen and as a report.

The answers come from another machine than the server: the application firewall exempts a Mac's traffic to itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from . import packet_filter
from .environment import parse_host
from .reach import STRANGER, Server
from .vocabulary import Finding, Severity, plain

SCHEMA, SCHEMA_VERSION = "ollama-fleet/reach", 1

FOUND = {
    "reached": "reached",
    "refused": "refused",
    "timed_out": "timed out",
    "reset": "reset",
    "no_route": "no route",
    "unresolved": "no such name",
    "broken": "no sound answer",
}
"""What may become of a question. Refused: nobody listens, or a firewall says so. Timed out: a firewall drops. Reset: somebody
took the connection and gave it up."""

WIDE = 6
"""With more servers than this, a machine gets a line instead of a row of the table."""


@dataclass(frozen=True)
class Asker:
    """A machine that asked. `away` says why it did not; `own` holds what a server answered itself."""

    name: str
    stranger: bool = False
    away: str = ""
    answers: Sequence[Mapping[str, Any]] = ()
    tailnet_address: str = ""


@dataclass(frozen=True)
class Cell:
    """One question and its answer, as declared or not."""

    asker: str
    server: str
    network: str
    url: str
    found: str
    declared: bool
    status: int | None
    source: str
    seconds: float
    error: str
    stranger: bool = False
    scope: str = "open"

    @property
    def as_declared(self) -> bool:
        """Tell whether it came as declared: served, or kept out in whatever way."""
        return self.status == 200 if self.declared else self.found not in ("reached", "broken")


def may_reach(scope: str, networks: Sequence[str], source_address: str) -> bool:
    """Tell whether the declared exposure lets this address in.

    `open`, or nothing, is not managed and lets everybody in; every other scope means what the packet filter makes of it, and the
    Mac itself. An address that is none is let in by `open` alone.
    """
    if scope in ("", "open"):
        return True
    try:
        address = ipaddress.ip_address(source_address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if address.is_loopback:
        return True
    if scope not in packet_filter.SCOPES:
        return False
    wanted = packet_filter.wanted_from_json({"scope": scope, "networks": networks, "port": 11434})
    return any(address.version == network.version and address in network for network in wanted.sources)


def declared(server: Server, asker: Asker, answer: Mapping[str, Any]) -> bool:
    """Tell whether this answer should have been yes.

    A stranger should never get one. Tailscale hands on what it serves, and in userspace mode everything, as a connection from
    127.0.0.1, which neither a bind to loopback nor a packet filter can tell from the Mac's own.
    """
    if asker.stranger:
        return False
    bind = parse_host(server.host_setting)
    source = answer.get("source") or (asker.tailnet_address if answer["network"] == "tailnet" else "")
    if answer["network"] == "tailnet" and bind.port in server.served:
        return True
    if answer["network"] == "tailnet" and server.userspace:
        return bind.address in ("*", "127.0.0.1", "localhost") and may_reach(server.scope, server.networks, source)
    if bind.is_loopback:
        return False
    if bind.address != "*" and bind.address not in (answer.get("peer"), _host_of(answer["url"])):
        return False
    return may_reach(server.scope, server.networks, source)


def _host_of(url: str) -> str:
    return url.partition("://")[2].rpartition(":")[0].strip("[]")


def cells(askers: Sequence[Asker], servers: Sequence[Server]) -> list[Cell]:
    """Judge every answer to a question of one machine about another."""
    by_name = {server.name: server for server in servers}
    return [
        Cell(
            asker.name, answer["server"], answer["network"], answer["url"], answer["found"],
            declared(by_name[answer["server"]], asker, answer), answer["status"], answer.get("source") or "",
            answer["seconds"], answer["error"], asker.stranger, by_name[answer["server"]].scope,
        )
        for asker in askers
        for answer in asker.answers
        if answer["network"] != "own" and answer["server"] in by_name
    ]  # fmt: skip


def findings(askers: Sequence[Asker], servers: Sequence[Server]) -> tuple[Finding, ...]:
    """Return what is not as declared, and what a server would do for a web page of somebody else."""
    by_name = {server.name: server for server in servers}
    wrong = [cell for cell in cells(askers, servers) if not cell.as_declared]
    found = [_unserved(cell) for cell in wrong if cell.declared]
    let_in: dict[tuple[str, str], list[Cell]] = {}
    for cell in wrong:
        if not cell.declared:
            let_in.setdefault((cell.asker, cell.server), []).append(cell)
    found += [_let_in(group) for group in let_in.values()]
    for asker in askers:
        for answer in asker.answers:
            if answer["network"] == "own":
                found += _own(by_name[answer["server"]], answer)
    return tuple(found)


def _unserved(cell: Cell) -> Finding:
    cause = cell.error or f"HTTP {cell.status}"
    return Finding(
        cell.asker, "verify", cell.url, cause, 200, "error",
        f"{cell.asker} asked {cell.server} for its version: {cause}", remedy(cell.found, cell.status),
    )  # fmt: skip


def _let_in(group: Sequence[Cell]) -> Finding:
    """Say once for a machine and a server what should have been kept out, whatever the number of addresses."""
    cell, urls = group[0], ", ".join(cell.url for cell in group)
    severity: Severity = "warning" if cell.scope in ("", "open") else "error"
    who = f"{cell.asker}, a stranger," if cell.stranger else cell.asker
    sources = ", ".join(dict.fromkeys(cell.source or "an unknown address" for cell in group))
    why = f"{who} reached {cell.server} from {sources}"
    if severity == "warning":
        return Finding(
            cell.asker, "verify", urls, "reached", "kept out", severity,
            f"{why}; the exposure of {cell.server} is not managed, and Ollama asks nobody for a password",
            f"bind it to fewer addresses by OLLAMA_HOST, or set exposure_scope for {cell.server}",
        )  # fmt: skip
    return Finding(
        cell.asker, "verify", urls, "reached", "kept out", severity,
        f"{why}, and exposure_scope is {cell.scope}",
        f"look at the packet filter and the bind address of {cell.server}",
    )  # fmt: skip


def remedy(found: str, status: int | None = None) -> str:
    """Say where to look."""
    if status == 403:
        return "bound to loopback, Ollama compares the Host header; call it by an address of its own, or set OLLAMA_HOST"
    return {
        "refused": "look whether the service runs and is bound to more than loopback",
        "timed_out": "look at the firewall of that Mac, and whether it is awake",
        "no_route": "look at the firewall of that Mac, and whether it is awake",
        "reset": "something took the connection and gave it up; look whether the service runs behind it",
        "unresolved": "look whether that name resolves on this machine",
    }.get(found, "read the server's log on that Mac")


def _own(server: Server, answer: Mapping[str, Any]) -> list[Finding]:
    """Judge what a server said to itself."""
    host, what = server.name, answer["kind"]
    if what == "completion":
        if answer["status"] == 200:
            return []
        cause = answer["error"] or f"HTTP {answer['status']}"
        return [
            Finding(host, "verify", answer["url"], cause, 200, "error",
                    f"{host} asked {host} for {answer['what']}: {cause}", remedy(answer["found"], answer["status"]))
        ]  # fmt: skip
    if answer["status"] is None or answer["status"] == 403:
        return []
    if what == "foreign_origin":
        return _origin(server, answer)
    if parse_host(server.host_setting).is_loopback:
        return [
            Finding(host, "verify", "Host header", answer["status"], 403, "error",
                    f"it is bound to loopback and answers a question for {STRANGER} with {answer['status']}, so a web page can"
                    " use it through a browser on this Mac (DNS rebinding)",
                    "Ollama refuses this since 0.1.29; look what answers on that port")
        ]  # fmt: skip
    return [
        Finding(host, "verify", "Host header", answer["status"], 403, "note",
                "it is bound to more than loopback, so it compares no Host header, and a web page can use it through the browser"
                " of anybody who reaches it (DNS rebinding)",
                "bind it to loopback and publish it by tailscale_serve_tcp to have the check back")
    ]  # fmt: skip


def _origin(server: Server, answer: Mapping[str, Any]) -> list[Finding]:
    origin = f"http://{STRANGER}"
    allowed = any(fnmatchcase(origin, pattern.strip()) for pattern in server.origins.split(",") if pattern.strip())
    if allowed:
        return [
            Finding(server.name, "verify", "Origin header", answer["status"], 403, "note",
                    f"OLLAMA_ORIGINS is {server.origins}, so any web page may use it", "name the pages that should")
        ]  # fmt: skip
    return [
        Finding(server.name, "verify", "Origin header", answer["status"], 403, "error",
                f"it answers a question of a page from {origin} with {answer['status']}, and OLLAMA_ORIGINS allows no such page",
                "look what answers on that port")
    ]  # fmt: skip


def _words(group: Sequence[Cell]) -> str:
    """Say in one table cell by which networks a server was reached, and what became of the others; `!` is not as declared."""

    def marked(text: str, cell: Cell) -> str:
        return text if cell.as_declared else f"{text}!"

    words = dict.fromkeys(
        marked(cell.network if cell.status == 200 else f"{cell.network} {cell.status or FOUND[cell.found]}", cell)
        for cell in sorted(group, key=lambda cell: (cell.found != "reached", group.index(cell)))
    )
    return ", ".join(words)


def _itself(asker: Asker) -> str:
    completion = next((answer for answer in asker.answers if answer["network"] == "own" and answer["kind"] == "completion"), None)
    if completion is None:
        return "-"
    return f"itself in {completion['seconds']:.1f} s" if completion["status"] == 200 else "itself: no sentence!"


def table(askers: Sequence[Asker], servers: Sequence[Server]) -> list[str]:
    """Return the lines of the table: who asks at the left, who is asked on top."""
    judged = cells(askers, servers)
    names = [server.name for server in servers]
    rows = [["from", *names]]
    for asker in askers:
        if asker.away:
            rows.append([asker.name, "away, asked nobody"])
            continue
        own = [cell for cell in judged if cell.asker == asker.name]
        if len(names) > WIDE:
            good = sum(cell.status == 200 for cell in own)
            wrong = [f"{cell.server}: {_words([cell])}" for cell in own if not cell.as_declared]
            rows.append([asker.name, f"reached {good} of {len(own)} addresses" + "".join(f"; {words}" for words in wrong)])
            continue
        rows.append(
            [
                asker.name,
                *(
                    _itself(asker) if name == asker.name else _words([cell for cell in own if cell.server == name]) or "not asked"
                    for name in names
                ),
            ]
        )
    if len(names) > WIDE:
        rows[0] = ["from", f"{len(names)} servers"]
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    lines = ["  ".join(text.ljust(widths[column]) for column, text in enumerate(row)).rstrip() for row in rows]
    return [*lines, "! is not as declared"] if any(not cell.as_declared for cell in judged) else lines


def report(askers: Sequence[Asker], servers: Sequence[Server], made_at: str | None = None) -> dict[str, Any]:
    """Return the report as plain data, as schemas/reach.schema.json describes it."""
    found = findings(askers, servers)
    severities = {finding.severity for finding in found}
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "result": "errors" if "error" in severities else "warnings" if "warning" in severities else "ok",
        "machines": [
            {"name": asker.name, "stranger": asker.stranger, "away": asker.away or None} for asker in askers
        ],
        "servers": [
            {
                "name": server.name,
                "port": server.port,
                "bind": parse_host(server.host_setting).address,
                "scope": server.scope,
                "networks": list(server.networks),
                "published_ports": list(server.served),
                "userspace": server.userspace,
            }
            for server in servers
        ],
        "questions": [
            {
                "from": cell.asker,
                "to": cell.server,
                "network": cell.network,
                "url": cell.url,
                "source": cell.source or None,
                "declared": "reachable" if cell.declared else "kept_out",
                "found": cell.found,
                "http_status": cell.status,
                "as_declared": cell.as_declared,
                "seconds": cell.seconds,
                "error": cell.error or None,
            }
            for cell in cells(askers, servers)
        ],
        "own": [
            {
                "server": answer["server"],
                "kind": answer["kind"],
                "http_status": answer["status"],
                "seconds": answer["seconds"],
                "error": answer["error"] or None,
            }
            for asker in askers
            for answer in asker.answers
            if answer["network"] == "own"
        ],
        "findings": plain(found),
    }  # fmt: skip


def asker(variables: Mapping[str, Any], strangers: Iterable[str] = ()) -> Asker:
    """Describe a machine by its variables: what it found out in this run, or why it did not."""
    name = str(variables["inventory_hostname"])
    reached = variables.get("__fleet_verify_reach") or {}
    away = str(variables.get("fleet_address_away") or "")
    if not away and reached.get("unreachable"):
        away = f"{name} does not answer any more: {reached.get('msg', '')}"
    if not away and not reached:
        away = f"{name} was not asked, since the run ended for it before"
    return Asker(
        name,
        stranger=name in set(strangers),
        away=away,
        answers=tuple(reached.get("answers") or ()),
        tailnet_address=str(variables.get("fleet_tailnet_ip") or ""),
    )
