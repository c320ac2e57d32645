"""The TCP sockets of this Mac and the processes that hold them, out of the kernel's tables."""

from __future__ import annotations

import ipaddress
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LISTEN = 0x0A
STATES = {
    0x01: "ESTABLISHED",
    0x02: "SYN_SENT",
    0x03: "SYN_RECEIVED",
    0x04: "FIN_WAIT_1",
    0x05: "FIN_WAIT_2",
    0x06: "TIME_WAIT",
    0x07: "CLOSED",
    0x08: "CLOSE_WAIT",
    0x09: "LAST_ACK",
    0x0A: "LISTEN",
    0x0B: "CLOSING",
}


class Socket(NamedTuple):
    """One TCP socket."""

    family: int  # 4 or 6
    local: str
    port: int
    peer: str
    peer_port: int
    state: int
    uid: int
    inode: int


class Holder(NamedTuple):
    """A descriptor of a process that refers to a socket."""

    pid: int
    descriptor: int


def _address(text: str) -> str:
    """Decode an address of /proc/net/tcp: 32-bit words in the machine's own byte order."""
    words = [int(text[index : index + 8], 16) for index in range(0, len(text), 8)]
    raw = b"".join(struct.pack("=I", word) for word in words)
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def parse(lines: Iterable[str], family: int) -> Iterator[Socket]:
    """Read the lines of /proc/net/tcp or /proc/net/tcp6 after the header."""
    for line in lines:
        fields = line.split()
        local, port = fields[1].split(":")
        peer, peer_port = fields[2].split(":")
        yield Socket(
            family,
            _address(local),
            int(port, 16),
            _address(peer),
            int(peer_port, 16),
            int(fields[3], 16),
            int(fields[7]),
            int(fields[9]),
        )


def table() -> list[Socket]:
    """Read every TCP socket of this network namespace."""
    found: list[Socket] = []
    for name, family in (("tcp", 4), ("tcp6", 6)):
        try:
            lines = Path("/proc/self/net", name).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue
        found += parse(lines, family)
    return found


def holders() -> dict[int, list[Holder]]:
    """Map socket inodes to the descriptors that refer to them, as far as the caller may look."""
    found: dict[int, list[Holder]] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        folder = f"/proc/{entry.name}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208  names are wanted, not paths
        except OSError:
            continue
        for name in names:
            try:
                target = os.readlink(folder + "/" + name)  # noqa: PTH115  the link as it stands
            except OSError:
                continue
            if target.startswith("socket:["):
                found.setdefault(int(target[8:-1]), []).append(Holder(int(entry.name), int(name)))
    return found


def listening() -> list[tuple[int, int]]:
    """Give (port, inode) of every listening socket that is not bound to loopback alone."""
    return sorted(
        (socket.port, socket.inode)
        for socket in table()
        if socket.state == LISTEN and not ipaddress.ip_address(socket.local).is_loopback
    )
