"""Two network namespaces joined by a cable, to send real packets through the filters."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

_PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.0).close()
    print("open")
except TimeoutError:
    print("dropped")
except OSError:
    print("refused")
"""
_SERVER = """
import socket, sys
servers = [socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True) for port in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.read()
"""


class Cable:
    """A Mac's network (10.9.0.1, fd09::1) and a neighbour's (10.9.0.2, fd09::2)."""

    def __init__(self, mac: int, neighbour: int) -> None:
        self._mac = mac
        self._neighbour = neighbour

    def on_mac(self, *argv: str) -> list[str]:
        """Give the command that runs in the Mac's network."""
        return ["/usr/bin/nsenter", "-t", str(self._mac), "-n", *argv]

    def load(self, script: str) -> None:
        """Load an nft script on the Mac."""
        subprocess.run(self.on_mac("nft", "-f", "-"), input=script, text=True, check=True)

    def probe(self, port: int, address: str = "10.9.0.1", *, from_mac: bool = False) -> str:
        """Dial a port: open, refused or dropped."""
        place = self._mac if from_mac else self._neighbour
        command = ["/usr/bin/nsenter", "-t", str(place), "-n", sys.executable, "-c", _PROBE, address, str(port)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @contextlib.contextmanager
    def listening(self, *ports: int) -> Iterator[None]:
        """Listen on ports of the Mac for the length of a block."""
        command = self.on_mac(sys.executable, "-c", _SERVER, *map(str, ports))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                assert server.stdin is not None
                server.stdin.close()


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    """Lay a cable between two fresh namespaces; both end with the block, or with this process."""
    command = ["/usr/bin/unshare", "--net", "--kill-child", "sh", "-c", "echo ready; exec cat"]
    with contextlib.ExitStack() as stack:
        pids = []
        for _ in range(2):
            holder = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            assert holder.stdout is not None
            assert holder.stdin is not None
            assert holder.stdout.readline() == "ready\n"
            stack.callback(holder.stdin.close)
            children = subprocess.run(["/usr/bin/pgrep", "-P", str(holder.pid)], capture_output=True, text=True, check=False)
            pids.append(int(children.stdout.split()[0]) if children.stdout else holder.pid)
        made = Cable(*pids)
        subprocess.run(
            made.on_mac("ip", "link", "add", "en0", "type", "veth", "peer", "name", "en0", "netns", str(pids[1])), check=True
        )
        for pid, last in zip(pids, (1, 2), strict=True):
            for words in (
                f"address add 10.9.0.{last}/24 dev en0",
                f"address add fd09::{last}/64 dev en0 nodad",
                "link set en0 up",
                "link set lo up",
            ):
                subprocess.run(["/usr/bin/nsenter", "-t", str(pid), "-n", "ip", *words.split()], check=True)
        yield made
