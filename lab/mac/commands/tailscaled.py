"""tailscaled: relays what `tailscale serve` publishes, and in userspace mode every connection from the tailnet.

The tunnel itself is the lab's network. This job only does what changes the picture for other programs: it
accepts in the host's stead and dials the local port anew, so that the server sees 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import threading
import time

from mac.commands import tailnet
from mac.commands.alfd import load

TICK = 0.2  # seconds
_SO_ORIGINAL_DST = 80  # Linux: the address before the redirection


def _asked_port(connection: socket.socket) -> int:
    """Give the port that the peer dialled."""
    if ":" in connection.getsockname()[0] and not connection.getsockname()[0].startswith("::ffff:"):
        raw = connection.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
    else:
        raw = connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    return int(struct.unpack("!2xH", raw[:4])[0])


def _reset(connection: socket.socket) -> None:
    """Close so that the peer sees a refusal."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until both sides have ended."""
    peers = {one: other, other: one}
    reading = [one, other]
    while reading:
        for source in select.select(reading, [], [])[0]:
            data = source.recv(65536)
            if data:
                peers[source].sendall(data)
            else:
                reading.remove(source)
                with contextlib.suppress(OSError):
                    peers[source].shutdown(socket.SHUT_WR)


def relay(connection: socket.socket, state: tailnet.Tailnet) -> None:
    """Dial the local port for one connection and carry its bytes."""
    try:
        host, _, port = tailnet.target(state, _asked_port(connection)).rpartition(":")
        upstream = socket.create_connection((host, int(port)), timeout=10)
    except OSError:
        _reset(connection)
        return
    upstream.settimeout(None)
    with connection, upstream, contextlib.suppress(OSError):
        _pump(connection, upstream)


def _accept(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=relay, args=(connection, tailnet.observe()), daemon=True).start()


def _listen() -> socket.socket:
    server = socket.create_server(("::", tailnet.RELAY_PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    threading.Thread(target=_accept, args=(server,), daemon=True).start()
    return server


class Daemon:
    """The daemon's memory between two looks."""

    def __init__(self) -> None:
        self._server: socket.socket | None = None
        self._seen: tuple[str, bool] | None = None

    def look(self) -> None:
        """Follow faults and serve configuration; a Mac that serves nothing has no relay listening."""
        state = tailnet.observe()
        script = tailnet.ruleset(state)
        if (script, state.takes) == self._seen:
            return
        if state.takes and self._server is None:
            self._server = _listen()
        if load(script):
            self._seen = (script, state.takes)
        if not state.takes and self._server is not None:
            # shutdown() wakes the thread that waits in accept().
            with contextlib.suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            self._server = None


def main(argv: list[str]) -> int:
    """Run until launchd ends the job."""
    if argv:
        print("usage: tailscaled", file=sys.stderr)
        return 64
    daemon = Daemon()
    while True:
        daemon.look()
        time.sleep(TICK)
