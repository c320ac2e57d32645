"""How a connection can fail, on real sockets of this machine."""

from __future__ import annotations

import errno
import importlib.util
import socket
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible.module_utils.macos import reach
from ansible.module_utils.macos.reach import Dialled, ask_with_header, dial, outcome


def module():
    path = Path(__file__).resolve().parents[2] / "library" / "fleet_reach.py"
    spec = importlib.util.spec_from_file_location("library_fleet_reach_dial", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@contextmanager
def serving(act):
    """Run one act for each connection to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    act(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def reset(connection):
    """Read the question, if there is one, and give the connection up."""
    if connection.recv(4096):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says(text):
    """Return an act that answers every question with these bytes."""

    def act(connection):
        if connection.recv(4096):
            connection.sendall(text)

    return act


OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{"version": "0.32.1"}'
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        (ConnectionRefusedError(), "refused"),
        (ConnectionResetError(), "reset"),
        (ConnectionAbortedError(), "reset"),
        (BrokenPipeError(), "reset"),
        (TimeoutError(), "timed_out"),
        (socket.timeout(), "timed_out"),  # noqa: UP041  another class in Python 3.9
        (OSError(errno.ETIMEDOUT, "x"), "timed_out"),
        (OSError(errno.EHOSTUNREACH, "x"), "no_route"),
        (OSError(errno.ENETUNREACH, "x"), "no_route"),
        (OSError(errno.EHOSTDOWN, "x"), "no_route"),
        (socket.gaierror(8, "nodename nor servname provided, or not known"), "unresolved"),
        (OSError(errno.EPERM, "x"), "broken"),
        (OSError("the answer is not HTTP"), "broken"),
    ],
    ids=str,
)
def test_a_failure_has_a_name(problem, name):
    assert outcome(problem) == name


def test_a_connection_tells_both_addresses():
    with serving(lambda connection: connection.recv(1)) as port:
        assert dial("127.0.0.1", port, 5) == Dialled("reached", "127.0.0.1", "127.0.0.1")


def test_a_refusal_tells_the_source_too():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    refused = dial("127.0.0.1", port, 5)
    assert (refused.found, refused.source, refused.peer) == ("refused", "127.0.0.1", "127.0.0.1")


def test_a_name_that_nobody_has_does_not_resolve():
    assert dial("nobody.invalid", 1, 5).found == "unresolved"


@pytest.mark.parametrize(
    ("outcomes", "found", "peer"),
    [
        ([None], "reached", "1"),
        ([TimeoutError(), None], "reached", "2"),
        ([TimeoutError(), ConnectionRefusedError()], "refused", "2"),
        ([OSError(errno.EHOSTUNREACH, "x"), TimeoutError()], "timed_out", "2"),
    ],
)
def test_behind_a_name_every_number_is_dialled_until_one_answers(monkeypatch, outcomes, found, peer):
    class Client:
        def __init__(self, *_words):
            self.peer = ""

        def __enter__(self):
            return self

        def __exit__(self, *_problem):
            return False

        def settimeout(self, seconds):
            assert seconds == 2

        def connect(self, peer):
            self.peer = peer[0]
            problem = outcomes[int(peer[0]) - 1]
            if problem:
                raise problem

        def getsockname(self):
            return ("9",)

    numbers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (str(number + 1), 80)) for number in range(len(outcomes))]
    monkeypatch.setattr(reach.socket, "getaddrinfo", lambda *_words, **_options: numbers)
    monkeypatch.setattr(reach.socket, "socket", Client)
    monkeypatch.setattr(reach, "source_towards", lambda *_words: "9")
    assert (dial("x", 80, 2).found, dial("x", 80, 2).peer) == (found, peer)


@pytest.mark.parametrize(
    ("act", "kind", "found", "status"),
    [
        (says(OK), "version", "reached", 200),
        (says(FORBIDDEN), "version", "reached", 403),
        (says(FORBIDDEN), "foreign_host", "reached", 403),
        (says(OK), "foreign_origin", "reached", 200),
        (reset, "version", "reset", None),
        (reset, "foreign_host", "reset", None),
        (says(b"SSH-2.0-OpenSSH_9.9\r\n"), "version", "broken", None),
        (says(b"SSH-2.0-OpenSSH_9.9\r\n"), "foreign_host", "broken", None),
        (says(OK.replace(b"version", b"vers-on")), "version", "broken", None),
    ],
    ids=[
        "served",
        "403",
        "403 for a stranger",
        "200 for a stranger",
        "reset",
        "reset for a stranger",
        "ssh",
        "ssh too",
        "not Ollama",
    ],
)
def test_a_question_is_reached_only_when_an_answer_came(act, kind, found, status):
    with serving(act) as port:
        said = module().ask({"server": "x", "url": f"http://127.0.0.1:{port}", "what": kind, "network": "lan"}, 5, 5)
    assert (said["found"], said["status"], said["network"], said["source"]) == (found, status, "lan", "127.0.0.1")
    assert bool(said["error"]) == ((status != 200 and kind == "version") or found != "reached")


@pytest.mark.parametrize(
    ("kind", "line"),
    [("foreign_host", b"Host: rebinding.example\r\n"), ("foreign_origin", b"Origin: http://rebinding.example\r\n")],
)
def test_a_stranger_is_named_once_in_the_question(kind, line):
    asked = []

    def act(connection):
        asked.append(connection.recv(4096))
        connection.sendall(FORBIDDEN)

    with serving(lambda connection: act(connection)) as port:
        assert ask_with_header(f"http://127.0.0.1:{port}", *module().HEADERS[kind], 5) == 403
    assert line in asked[0]
    assert asked[0].count(b"Host: ") == 1
