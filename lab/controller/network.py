"""The lab's cables: a router with three bridges, and per host one virtual Ethernet pair per network.

Everything is one text for `ip -batch` per namespace: some forty commands then cost one process start.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from controller.hosts import (
    REGISTRY4,
    ROUTER_LAN4,
    ROUTER_LAN6,
    ROUTER_OUTSIDE4,
    ROUTER_OUTSIDE6,
    Host,
    mac_address,
)

# Network -> bridge in the router, interface inside the host. lo0 is not here: it stays Linux' `lo`.
BRIDGES = {"lan": "br-lan", "tailnet": "br-tailnet", "outside": "br-outside"}
INTERFACES = {"lan": "en0", "tailnet": "utun4", "outside": "en0"}
# Faults that pull one of a host's cables.
FAULTS = {"lan-down": "lan", "tailnet-down": "tailnet"}
_PORT_PREFIX = {"lan": "lan-", "tailnet": "ts-", "outside": "out-"}


def networks(host: Host) -> tuple[str, ...]:
    """List the networks a host has a cable in."""
    found = (("lan", host.lan4), ("tailnet", host.tailnet4), ("outside", host.outside4))
    return tuple(network for network, address in found if address)


def port(host: str, network: str) -> str:
    """Name the router's end of a cable; 15 characters is the kernel's limit (IFNAMSIZ)."""
    name = _PORT_PREFIX[network] + host
    if len(name) > 15:
        raise ValueError(f"{name}: longer than an interface name may be.")
    return name


def router_batch() -> list[str]:
    """Build the router: it joins LAN and outside, and has no foot in the tailnet, so nothing crosses there."""
    lines = ["link set lo up", f"address add {REGISTRY4}/32 dev lo"]
    for bridge in BRIDGES.values():
        # Without snooping: it would hold back IPv6 neighbour discovery until a querier shows up.
        lines += [f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0", f"link set {bridge} up"]
    return [
        *lines,
        f"address add {ROUTER_LAN4}/24 dev br-lan",
        f"address add {ROUTER_LAN6}/64 dev br-lan nodad",
        f"address add {ROUTER_OUTSIDE4}/24 dev br-outside",
        f"address add {ROUTER_OUTSIDE6}/64 dev br-outside nodad",
    ]


def cable_batch(host: Host, pid: int) -> list[str]:
    """Plug a host in: the near ends into the bridges, the far ends into the namespace of a process."""
    lines = []
    for network in networks(host):
        near, far = port(host.name, network), INTERFACES[network]
        address = mac_address(host.name, network)
        lines += [
            f"link add {near} type veth peer name {far} address {address} netns {pid}",
            f"link set {near} master {BRIDGES[network]} up",
        ]
    return lines


def link_batch(host: Host, *, up: bool, only: str = "") -> list[str]:
    """Raise or drop the router's ends of a host's cables, or of the one in a network, as pulling the plug would."""
    state = "up" if up else "down"
    return [f"link set {port(host.name, network)} {state}" for network in networks(host) if only in ("", network)]


def unplug_batch(host: Host) -> list[str]:
    """Take a host's cables out of the router."""
    return [f"link delete {port(host.name, network)}" for network in networks(host)]


def host_batch(host: Host) -> list[str]:
    """Give a host its addresses, inside its own namespace. nodad: an address is usable at once."""
    lines = ["link set lo up"]
    if host.lan4:
        lines += [
            "link set en0 up",
            f"address add {host.lan4}/24 brd + dev en0",
            f"address add {host.lan6}/64 dev en0 nodad",
        ]
    if host.outside4:
        lines += [
            "link set en0 up",
            f"address add {host.outside4}/24 brd + dev en0",
            f"address add {host.outside6}/64 dev en0 nodad",
        ]
    if host.tailnet4:
        lines += [
            "link set utun4 up",
            f"address add {host.tailnet4}/10 dev utun4",
            f"address add {host.tailnet6}/48 dev utun4 nodad",
        ]
    return lines + online_batch(host)


def online_batch(host: Host) -> list[str]:
    """Give a host its way through the router: to the registry, and between LAN and outside."""
    return [f"route replace default via {gateway} dev en0" for gateway in _gateways(host)]


def offline_batch(host: Host) -> list[str]:
    """Take that way from a host; its neighbours on LAN and tailnet stay."""
    return [f"route delete default via {gateway} dev en0" for gateway in _gateways(host)]


def _gateways(host: Host) -> tuple[str, str]:
    return (ROUTER_LAN4, ROUTER_LAN6) if host.lan4 else (ROUTER_OUTSIDE4, ROUTER_OUTSIDE6)


def run_ip(lines: list[str]) -> None:
    """Run an `ip` batch in this network namespace."""
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip: {done.stderr.strip()}")


def settle_new_namespace() -> None:
    """Switch off duplicate address detection, which keeps even link-local addresses waiting for a second."""
    for name in ("all", "default"):
        ipv6 = Path("/proc/sys/net/ipv6/conf") / name
        (ipv6 / "disable_ipv6").write_text("0")
        (ipv6 / "accept_dad").write_text("0")


def heed_pulled_cable() -> None:
    """Let the LAN of a host whose cable is out be none, as where macOS has taken the addresses from such an interface.

    That it does is an assumption, read off no real Mac. A tunnel has no cable: what is lost of a tailnet is met with silence.
    """
    for version in ("ipv4", "ipv6"):
        Path("/proc/sys/net", version, "conf/en0/ignore_routes_with_linkdown").write_text("1")


def give_children_small_tables() -> None:
    """Let namespaces made from this one have a socket table of their own (Linux 6.1 and later).

    With the machine's table shared, a look at /proc/net/tcp walks hundreds of thousands of buckets: milliseconds
    each, and a Mac's firewall stand-in looks ten times a second.
    """
    entries = Path("/proc/sys/net/ipv4/tcp_child_ehash_entries")
    if entries.exists():
        entries.write_text("4096")


def forward_packets() -> None:
    """Let this namespace route."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
