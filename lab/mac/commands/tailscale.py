"""tailscale: the command of the open source daemon (tailscale.com/cmd/tailscale, 1.9x)."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import sys
from typing import Any, NamedTuple

from mac.commands import tailnet
from mac.machine import Machine, machine, read_state, write_state

VERSION = "1.96.2"
NOT_RUNNING = "failed to connect to local Tailscale service; is Tailscale running?"
SUFFIX = "tail5c0de.ts.net"


class Peer(NamedTuple):
    """Another machine of the tailnet."""

    name: str
    addresses: tuple[str, ...]
    system: str


# The fleet's tailnet, as its owner's document names it.
FLEET = (
    Peer("felipes-mac-mini", ("100.115.10.14", "fd7a:115c:a1e0::e"), "macOS"),
    Peer("felipes-macbook-pro-2", ("100.125.165.107", "fd7a:115c:a1e0::6b"), "macOS"),
    Peer("windows-msi", ("100.101.102.103", "fd7a:115c:a1e0::67"), "windows"),
)


def _peers(me: Machine) -> list[Peer]:
    return [peer for peer in FLEET if me.tailscale_ipv4 not in peer.addresses]


def _node(name: str, addresses: tuple[str, ...], system: str, me: bool) -> dict[str, Any]:
    return {
        "ID": f"n{sum(map(ord, name)) * 7919}CNTRL",
        "PublicKey": "nodekey:" + name.encode().hex().ljust(64, "0")[:64],
        "HostName": name,
        "DNSName": f"{name}.{SUFFIX}.",
        "OS": system,
        "UserID": 1,
        "TailscaleIPs": list(addresses),
        "AllowedIPs": [address + ("/32" if "." in address else "/128") for address in addresses],
        "CurAddr": "",
        "Relay": "fra",
        "LastSeen": "0001-01-01T00:00:00Z",
        "Online": True,
        "Active": False,
        "ExitNode": False,
        "InMagicSock": True,
        "InEngine": not me,
    }


def status(me: Machine, state: tailnet.Tailnet, others: list[Peer]) -> dict[str, Any]:
    """Give `status --json` (ipn/ipnstate): TUN false means userspace mode."""
    addresses = () if state.stopped else (me.tailscale_ipv4, me.tailscale_ipv6)
    nodes = [_node(peer.name, peer.addresses, peer.system, False) for peer in others]
    return {
        "Version": VERSION,
        "TUN": not state.userspace,
        "BackendState": "Stopped" if state.stopped else "Running",
        "HaveNodeKey": True,
        "AuthURL": "",
        "TailscaleIPs": list(addresses) or None,
        "Self": _node(me.local_host_name, addresses, "macOS", True),
        "Health": ["Tailscale is stopped."] if state.stopped else [],
        "MagicDNSSuffix": SUFFIX,
        "CurrentTailnet": {"Name": "felipe@example.com", "MagicDNSSuffix": SUFFIX, "MagicDNSEnabled": True},
        "CertDomains": None,
        "Peer": {node["PublicKey"]: node for node in nodes},
        "User": {"1": {"ID": 1, "LoginName": "felipe@example.com", "DisplayName": "felipe"}},
    }


class Call(NamedTuple):
    """The words after the global options."""

    socket: str | None
    words: list[str]


def parse(argv: list[str]) -> Call:
    """Split off `--socket`; the flags of Go's package take one dash or two."""
    words = list(argv)
    socket: str | None = None
    while words and re.match(r"--?socket\b", words[0]):
        word = words.pop(0)
        socket = word.partition("=")[2] if "=" in word else (words.pop(0) if words else "")
    return Call(socket, words)


def _flag(words: list[str], name: str) -> bool:
    return any(word in ("-" + name, "--" + name, f"--{name}=true") for word in words)


def _ip(me: Machine, state: tailnet.Tailnet, words: list[str]) -> int:
    if state.stopped:
        print("no current Tailscale IPs; state: Stopped", file=sys.stderr)
        return 1
    own = [me.tailscale_ipv4, me.tailscale_ipv6]
    wanted = next((word.partition("=")[2] for word in words if re.match(r"--?assert=", word)), None)
    if wanted is not None:
        if wanted in own:
            return 0
        print(f"assertion failed: IP {wanted} not found among {own}", file=sys.stderr)
        return 1
    names = [word for word in words if not word.startswith("-")]
    if names:
        known = {peer.name: list(peer.addresses) for peer in _peers(me)}
        if names[0] not in known:
            print(f"no peer found with IP {names[0]}", file=sys.stderr)
            return 1
        own = known[names[0]]
    versions = [version for version in ("4", "6") if _flag(words, version)] or ["4", "6"]
    chosen = [address for address in own if str(ipaddress.ip_address(address).version) in versions]
    print("\n".join(chosen[:1] if _flag(words, "1") else chosen))
    return 0


def _status(me: Machine, state: tailnet.Tailnet, words: list[str]) -> int:
    others = _peers(me)
    if _flag(words, "json"):
        # 0 also when stopped: the state is in the answer.
        print(json.dumps(status(me, state, others), indent=2))
        return 0
    if state.stopped:
        print("Tailscale is stopped.")
        return 1
    rows = [Peer(me.local_host_name, (me.tailscale_ipv4,), "macOS"), *others]
    for row in rows:
        print(f"{row.addresses[0]:<15} {row.name:<20} {'felipe@':<12} {row.system:<7} -")
    return 0


def _serve_status(words: list[str]) -> int:
    configuration: dict[str, Any] = read_state(tailnet.SERVE, {})
    if _flag(words, "json"):
        print(json.dumps(configuration, indent=2))
    elif not configuration.get("TCP"):
        print("No serve config")
    else:
        for port, entry in sorted(configuration["TCP"].items(), key=lambda item: int(item[0])):
            print("|-- tcp://{}:{} (tailnet only)\n|--> tcp://{}\n".format(SUFFIX, port, entry["TCPForward"]))
    return 0


def _may_serve(state: tailnet.Tailnet) -> bool:
    """Root may change the daemon's settings, and in userspace mode the user whose daemon it is."""
    return os.geteuid() == 0 or state.userspace


def forward(text: str) -> str | None:
    """Read the target of `serve --tcp`: `tcp://HOST:PORT`, `HOST:PORT` or a port of this Mac."""
    bare = text[len("tcp://") :] if text.startswith("tcp://") else text
    host, _, port = bare.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        return None
    return "{}:{}".format(host.replace("localhost", "127.0.0.1") or "127.0.0.1", port)


def _serve(state: tailnet.Tailnet, words: list[str]) -> int:
    if words[:1] == ["status"]:
        return _serve_status(words[1:])
    if not _may_serve(state):
        print("sending serve config: Access denied: serve config denied\n", file=sys.stderr)
        print("Use 'sudo tailscale serve {}'.".format(" ".join(words)), file=sys.stderr)
        return 1
    if words[:1] == ["reset"]:
        write_state(tailnet.SERVE, {})
        return 0
    port = target = None
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if re.match(r"--?tcp=", word):
            port = word.partition("=")[2]
        elif word in ("--tcp", "-tcp") and rest:
            port = rest.pop(0)
        elif not word.startswith("-"):
            target = word
    configuration: dict[str, Any] = read_state(tailnet.SERVE, {})
    if port is None or not port.isdigit() or target is None:
        print("error: invalid argument format", file=sys.stderr)
        return 1
    if target == "off":
        if port not in configuration.get("TCP", {}):
            print("error: failed to remove TCP serve: handler does not exist", file=sys.stderr)
            return 1
        del configuration["TCP"][port]
        write_state(tailnet.SERVE, configuration if configuration["TCP"] else {})
        return 0
    upstream = forward(target)
    if upstream is None:
        print(f"error: invalid TCP target {target!r}", file=sys.stderr)
        return 1
    if not _flag(words, "bg"):
        # In the foreground the configuration would end with the command, which a script never waits for.
        print("error: serve in the foreground is not supported by the lab: use --bg", file=sys.stderr)
        return 1
    configuration.setdefault("TCP", {})[port] = {"TCPForward": upstream}
    write_state(tailnet.SERVE, configuration)
    print("Available within your tailnet:\n")
    print(f"|-- tcp://{machine().local_host_name}.{SUFFIX}:{port}\n|--> tcp://{upstream}\n")
    print(f"Serve started and running in the background.\nTo disable the proxy, run: tailscale serve --tcp={port} off")
    return 0


def main(argv: list[str]) -> int:
    """Run tailscale."""
    me, state, call = machine(), tailnet.observe(), parse(argv)
    words = call.words
    if words[:1] == ["version"]:
        print(VERSION)
        return 0
    if not words or words[0] not in ("status", "ip", "serve", "up", "down"):
        print(
            "The easiest, most secure way to use WireGuard.\n\nUSAGE\n  tailscale [flags] <subcommand> [command flags]",
            file=sys.stderr,
        )
        return 0 if words in (["--help"], ["-h"]) else 1
    if state.down or (call.socket or tailnet.SOCKET) != tailnet.socket_path(me, state):
        print(NOT_RUNNING, file=sys.stderr)
        return 1
    if words[0] == "status":
        return _status(me, state, words[1:])
    if words[0] == "ip":
        return _ip(me, state, words[1:])
    if words[0] == "serve":
        return _serve(state, words[1:])
    # Which tailnet a Mac belongs to is not for a playbook to change: the faults do it.
    return 0
