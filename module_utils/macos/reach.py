"""Dial a server as a client would, and tell the ways in which that can fail apart."""

from __future__ import annotations

import errno
import http.client
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL}

RANK = ("refused", "reset", "timed_out", "no_route", "broken")
"""Of several numbers behind one name, the answer that says most is kept."""


@dataclass(frozen=True)
class Dialled:
    """How a connection went. `source` is this machine's address towards the server, `peer` the number that was dialled."""

    found: str
    source: str = ""
    peer: str = ""
    error: str = ""


def outcome(problem: OSError) -> str:
    """Name a failure."""
    if isinstance(problem, socket.gaierror):
        return "unresolved"
    if isinstance(problem, ConnectionRefusedError):
        return "refused"
    if isinstance(problem, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return "reset"
    # Python 3.9 has two kinds of time-out, and the kernel's own is a third.
    if isinstance(problem, (socket.timeout, TimeoutError)) or problem.errno == errno.ETIMEDOUT:
        return "timed_out"
    return "no_route" if problem.errno in _NO_ROUTE else "broken"


def source_towards(family: int, peer: Any) -> str:
    """Return the address that this machine would send from; a datagram socket is told where to, and sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(peer)
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def dial(host: str, port: int, timeout: float) -> Dialled:
    """Connect to the numbers behind a name, one after the other, until one takes the connection."""
    try:
        numbers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as problem:
        return Dialled("unresolved", error=f"{host}: {problem.strerror or problem}")
    failures = []
    for family, kind, protocol, _, peer in numbers:
        try:
            with socket.socket(family, kind, protocol) as client:
                client.settimeout(timeout)
                client.connect(peer)
                return Dialled("reached", str(client.getsockname()[0]), str(peer[0]))
        except OSError as problem:
            said = "timed out" if outcome(problem) == "timed_out" else str(problem)
            failures.append(Dialled(outcome(problem), source_towards(family, peer), str(peer[0]), said))
    return min(failures, key=lambda one: RANK.index(one.found))


def ask_with_header(url: str, name: str, value: str, timeout: float) -> int:
    """Ask for the version with one header as somebody else would send it; the HTTP status. OSError when none came."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=timeout)
    try:
        connection.request("GET", "/api/version", headers={name: value})
        return connection.getresponse().status
    except http.client.HTTPException as problem:
        message = f"the answer is not HTTP ({type(problem).__name__})"
        raise OSError(message) from problem
    finally:
        connection.close()
