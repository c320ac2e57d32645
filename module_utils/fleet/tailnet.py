"""The tailnet as one Mac has it: which Tailscale, in which mode, under which addresses, and what it publishes there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .case import NOT_OURS, Case, Judged
from .environment import parse_host
from .vocabulary import Finding, Step, Unknown, unknown_in

CONCERN = "tailscale_serve"

NETWORKS = tuple(ipaddress.ip_network(text) for text in ("100.64.0.0/10", "fd7a:115c:a1e0::/48"))
"""Tailscale's own ranges (net/tsaddr/tsaddr.go)."""

VARIANTS = {
    "": "no Tailscale",
    "app_store": "the app of the App Store",
    "standalone": "the standalone app",
    "daemon": "the open source daemon",
}


@dataclass(frozen=True)
class Tailnet:
    """What Tailscale on a Mac says of itself. `variant` is empty where none is installed.

    `tunnel` is False in userspace mode. `served` maps a port to `HOST:PORT` of a plain TCP forward, or to other words for
    handlers that are not ours (`web`, `tls HOST:PORT`).
    """

    variant: str = ""
    program: str = ""
    socket: str = ""
    version: str = ""
    state: str = ""
    tunnel: bool = True
    addresses: tuple[str, ...] = ()
    served: Mapping[int, str] | Unknown = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Tell whether this Mac is on the tailnet now."""
        return self.state == "Running"

    @property
    def userspace(self) -> bool:
        """Tell a daemon without a tunnel device (`TUN: false`, ipn/ipnstate/ipnstate.go)."""
        return self.running and not self.tunnel


@dataclass(frozen=True)
class Forward:
    """A port of the tailnet and where it leads on this Mac."""

    port: int
    target: str

    @property
    def item(self) -> str:
        """Name it in steps."""
        return f"tcp/{self.port}"


def in_tailnet(address: str) -> bool:
    """Tell an address of the tailnet from any other text."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed.version == network.version and parsed in network for network in NETWORKS)


def tailnet_from_json(part: Mapping[str, Any]) -> Tailnet:
    """Read the part `tailscale` of an observation back."""
    served = part.get("served") or {}
    unread = unknown_in(served)
    return Tailnet(
        variant=part.get("variant", ""),
        program=part.get("program", ""),
        socket=part.get("socket", ""),
        version=part.get("version", ""),
        state=part.get("state", ""),
        tunnel=bool(part.get("tunnel", True)),
        addresses=tuple(part.get("addresses") or ()),
        served={int(port): str(target) for port, target in served.items()} if unread is None else unread,
    )


def parse_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """Read `tailscale status --json`: version, state, whether there is a tunnel device, own addresses (1.9x).

    It ends with 0 also while stopped or logged out, where the addresses are null. The format may change, says Tailscale.
    """
    return {
        "version": str(status.get("Version", "")).partition("-")[0],
        "state": str(status["BackendState"]),
        "tunnel": bool(status.get("TUN", True)),
        "addresses": tuple(map(str, status.get("TailscaleIPs") or ())),
    }


def parse_serve(config: Mapping[str, Any] | None) -> dict[int, str]:
    """Read `tailscale serve status --json` (ipn/serve.go, ServeConfig): port -> where it leads."""
    served = {}
    for port, handler in ((config or {}).get("TCP") or {}).items():
        target = str(handler.get("TCPForward") or "")
        if not target:
            served[int(port)] = "web"
        else:
            served[int(port)] = f"tls {target}" if handler.get("TerminateTLS") else target
    return served


def normal_target(text: str) -> str:
    """Return a target as the daemon keeps it, `127.0.0.1:11434` for `tcp://localhost:11434` and `11434`; ValueError if none."""
    bare = str(text)[len("tcp://") :] if str(text).startswith("tcp://") else str(text)
    host, _, port = bare.rpartition(":")
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        message = f"{text!r} is no target; write HOST:PORT, such as 127.0.0.1:11434"
        raise ValueError(message)
    return f"{'127.0.0.1' if host in ('', 'localhost') else host}:{int(port)}"


def wanted_forwards(tcp: Iterable[Mapping[str, Any]]) -> tuple[Forward, ...]:
    """Read the role's list; ValueError for a target that is none."""
    return tuple(Forward(int(one["port"]), normal_target(one["target"])) for one in tcp)


def plan(served: Mapping[int, str], wanted: Sequence[Forward], removed: Iterable[int]) -> tuple[Step, ...]:
    """List the steps: what is to go first, then what is published. Ports in neither list are not ours."""
    kept = {forward.port for forward in wanted}
    steps = [
        Step("unserve", f"tcp/{port}", served[port], "not served", "the inventory lists it as removed")
        for port in sorted(set(map(int, removed)) - kept)
        if port in served
    ]
    steps += [
        Step("serve", forward.item, served.get(forward.port, "not served"), forward.target)
        for forward in sorted(wanted, key=lambda forward: forward.port)
        if served.get(forward.port) != forward.target
    ]
    return tuple(steps)


def judge(case: Case) -> Judged:
    """Judge one Mac: is it on the tailnet as declared, and does it publish what it should.

    Where neither an address is declared nor a port is to be served or removed, Tailscale is not ours.
    """
    desired = case.desired.get(CONCERN) or {}
    address, tcp, removed = desired.get("address") or "", desired.get("tcp") or (), desired.get("removed") or ()
    if not (address or tcp or removed):
        return NOT_OURS
    part = case.part("tailscale")
    ours = bool(tcp or removed)
    if isinstance(part, Unknown):
        return Judged((), (_silent(case.host, part),), part if ours else None)
    found = tailnet_from_json(part)
    findings = list(_membership(case.host, found, address))
    if not ours:
        return Judged((), tuple(findings))
    if isinstance(found.served, Unknown):
        return Judged((), tuple(findings), found.served)
    if not found.variant:
        findings.append(
            Finding(case.host, CONCERN, "tailscale", "absent", "installed", "error",
                    "tailscale_serve_tcp or tailscale_serve_removed is set, and no Tailscale is installed",
                    f"install it on {case.host} and log in there, or empty the two variables")
        )  # fmt: skip
        return Judged((), tuple(findings))
    try:
        wanted = wanted_forwards(tcp)
    except ValueError as problem:
        findings.append(
            Finding(case.host, CONCERN, "tailscale_serve_tcp", tcp, "HOST:PORT", "error", str(problem),
                    f"correct tailscale_serve_tcp in host_vars/{case.host} or group_vars")
        )  # fmt: skip
        return Judged((), tuple(findings))
    findings += _taken(case.host, found.served, wanted)
    findings += _host_check(case.host, found, wanted, str(desired.get("host_setting") or ""))
    return Judged(plan(found.served, wanted, removed), tuple(findings))


def _silent(host: str, reason: Unknown) -> Finding:
    return Finding(
        host, CONCERN, "tailscale", "unknown", "Running", "warning",
        f"Tailscale cannot be asked: {reason.reason}",
        "look whether it runs; an app needs somebody to be logged in at the screen, and a daemon with a socket of its own needs"
        " tailscale_serve_socket",
    )  # fmt: skip


def _membership(host: str, found: Tailnet, address: str) -> Iterable[Finding]:
    if not address:
        return
    if not found.variant:
        yield Finding(
            host, CONCERN, "fleet_tailnet_ip", "no Tailscale", address, "warning",
            f"the inventory gives it the tailnet address {address}, and no Tailscale is installed",
            "install it there, or take fleet_tailnet_ip out of its host_vars",
        )  # fmt: skip
    elif not found.running:
        yield Finding(
            host, CONCERN, "tailscale", found.state, "Running", "warning",
            f"{VARIANTS[found.variant]} is in the state {found.state}, so nobody reaches it at {address}",
            "log in or start it there; an app starts only when somebody logs in at the screen",
        )  # fmt: skip
    elif address not in found.addresses:
        yield Finding(
            host, CONCERN, "fleet_tailnet_ip", ", ".join(found.addresses), address, "warning",
            f"the inventory says {address}, the Mac has {', '.join(found.addresses) or 'none'}",
            f"correct fleet_tailnet_ip in host_vars/{host}",
        )  # fmt: skip
    if found.userspace:
        yield Finding(
            host, CONCERN, "tailscale", "userspace", "tunnel", "note",
            "Tailscale runs in userspace mode: connections from the tailnet arrive at this Mac from 127.0.0.1, so neither the"
            " packet filter nor a bind to loopback keeps them out, and this Mac itself cannot dial tailnet addresses",
            "others are asked by their .local names from here; run tailscaled with a tunnel device, as root, to change that",
        )  # fmt: skip


def _taken(host: str, served: Mapping[int, str], wanted: Sequence[Forward]) -> Iterable[Finding]:
    for forward in wanted:
        there = served.get(forward.port, "")
        if there == "web" or there.startswith("tls "):
            yield Finding(
                host, CONCERN, forward.item, there, forward.target, "error",
                f"port {forward.port} of the tailnet already serves something else ({there})",
                f"take it away on {host} with `tailscale serve --https={forward.port} off`, or choose another port in"
                " tailscale_serve_tcp",
            )  # fmt: skip


def _host_check(host: str, found: Tailnet, wanted: Sequence[Forward], setting: str) -> Iterable[Finding]:
    """Say whom Ollama turns away although the port is published.

    Bound to loopback it compares the Host header: a *.ts.net name gets 403, and so does 100.x where that address is on no
    interface of the Mac, as in userspace mode (server/routes.go, allowedHostsMiddleware, 0.32).
    """
    bind = parse_host(setting)
    if not bind.is_loopback or not any(forward.target == f"127.0.0.1:{bind.port}" for forward in wanted):
        return
    who = "by its tailnet address and by its MagicDNS name" if found.userspace else "by its MagicDNS name"
    yield Finding(
        host, CONCERN, f"tcp/{bind.port}", setting or "127.0.0.1", "an address that clients may name",
        "warning" if found.userspace else "note",
        f"Ollama is bound to loopback and compares the Host header, so clients that call it {who} get 403",
        "set OLLAMA_HOST to 0.0.0.0 to switch that check off" if found.userspace else "let clients use the tailnet address",
    )  # fmt: skip
