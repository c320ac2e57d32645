"""What tailscaled keeps and how it takes packets: shared by the daemon's stand-in and the command."""

from __future__ import annotations

from typing import NamedTuple

from mac.commands.alf import TAILSCALE_MARK
from mac.machine import Machine, fault, read_state

SERVE = "tailscale/serve"
INTERFACE = "utun4"
# Where the daemon receives connections that it took over; any free port does, nothing else may use it.
RELAY_PORT = 41112
SOCKET = "/var/run/tailscaled.socket"
USER_SOCKET = "/.tailscale/tailscaled.sock"  # below the home of the user who runs the daemon


class Tailnet(NamedTuple):
    """The daemon's mood: its faults and what it serves."""

    down: bool
    stopped: bool
    userspace: bool
    served: dict[int, str]  # port -> host:port

    @property
    def takes(self) -> bool:
        """Say whether any connection has to be relayed."""
        return not self.down and not self.stopped and (self.userspace or bool(self.served))


def observe() -> Tailnet:
    """Read faults and the serve configuration."""
    served: dict[str, dict[str, str]] = read_state(SERVE, {}).get("TCP", {})
    return Tailnet(
        bool(fault("tailscale-down")),
        bool(fault("tailscale-stopped")),
        bool(fault("tailscale-userspace")),
        {int(port): entry["TCPForward"] for port, entry in served.items()},
    )


def socket_path(me: Machine, tailnet: Tailnet) -> str:
    """Give the daemon's socket: in userspace mode the user runs it himself, in his home."""
    return me.home + USER_SOCKET if tailnet.userspace else SOCKET


def target(tailnet: Tailnet, port: int) -> str:
    """Give where a connection to a tailnet port is dialled; userspace mode goes to loopback (netstack.go)."""
    return tailnet.served.get(port, f"127.0.0.1:{port}")


def ruleset(tailnet: Tailnet) -> str:
    """Write the rules that take connections off the tunnel before pf and the application firewall see them."""
    clear = "table inet tailscale\ndelete table inet tailscale\n"
    chains: list[str] = []
    if tailnet.takes:
        ports = "" if tailnet.userspace else " tcp dport {{ {} }}".format(", ".join(map(str, sorted(tailnet.served))))
        rule = 'iifname "%s" meta l4proto tcp%s meta mark set meta mark or 0x%x redirect to :%d'
        chains += [
            "chain prerouting {",
            " type nat hook prerouting priority -100; policy accept;",
            " " + rule % (INTERFACE, ports, TAILSCALE_MARK, RELAY_PORT),
            "}",
        ]
    if tailnet.userspace or tailnet.down or tailnet.stopped:
        # Without a tunnel device the host has no route into the tailnet.
        verdict = "reject with icmpx no-route"
        # New connections alone: what the relay took over has its answers to send.
        chains += [
            "chain output {",
            " type filter hook output priority -20; policy accept;",
            f' oifname "{INTERFACE}" ct state new {verdict}',
            "}",
        ]
    if tailnet.down or tailnet.stopped:
        chains += [
            "chain input {",
            " type filter hook input priority -20; policy accept;",
            f' iifname "{INTERFACE}" drop',
            "}",
        ]
    if not chains:
        return clear
    return clear + "table inet tailscale {{\n{}\n}}\n".format("\n".join(chains))
