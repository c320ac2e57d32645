"""How a walk along a chain goes, on real sockets of this machine."""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


def library():
    path = Path(__file__).resolve().parents[2] / "library" / "fleet_chain.py"
    spec = importlib.util.spec_from_file_location("library_fleet_chain", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


class Ollama(BaseHTTPRequestHandler):
    """A server that says what its port's owner wants."""

    def do_POST(self):
        """Answer a completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        status, text = self.server.says
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Say nothing."""


READY = (200, b'{"done": true, "eval_count": 8, "response": "ready"}')


@pytest.fixture
def server():
    """Return a function that starts a server which says the same to everybody."""
    started = []

    def start(status, text):
        made = ThreadingHTTPServer(("127.0.0.1", 0), Ollama)
        made.asked, made.says = [], (status, text)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        started.append(made)
        return made

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


def hop(port, **more):
    made = {
        "ref": f"ollama/{port}",
        "external": False,
        "host": "mac-mini",
        "model": "qwen3:8b",
        "network": "own",
        "keep_alive": None,
    }
    return {**made, "url": f"http://127.0.0.1:{port}", **more}


def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def test_the_first_answer_ends_the_walk(server):
    first, second = server(*READY), server(*READY)
    walked = library().walk([hop(closed_port()), hop(first.server_port), hop(second.server_port)], 3, 5)
    assert [one["found"] for one in walked["attempts"]] == ["refused", "answered"]
    assert (walked["answered"], second.asked) == (1, [])
    assert walked["seconds"] >= sum(one["seconds"] for one in walked["attempts"]) - 0.01


def test_external_hops_are_never_called(server):
    made = server(*READY)
    walked = library().walk([hop(made.server_port, external=True)], 3, 5)
    assert walked["attempts"][0]["found"] == "not_asked"
    assert (walked["answered"], made.asked) == (None, [])


@pytest.mark.parametrize(
    ("status", "text", "found", "error"),
    [
        (500, b'{"error": "llama runner process has terminated"}', "http", "llama runner process has terminated"),
        (404, b'{"error": "model \'qwen3:8b\' not found"}', "http", "model 'qwen3:8b' not found"),
        (200, b'{"done": false}', "broken", "completed nothing"),
        (200, b"[]", "broken", "not Ollama's"),
        (200, b"hello", "broken", "not JSON"),
        (*READY, "answered", ""),
    ],
)
def test_each_kind_of_failure_has_its_word(server, status, text, found, error):
    one = library().attempt(hop(server(status, text).server_port), 3, 5)
    assert one["found"] == found
    assert error in one["error"]
    assert bool(error) == bool(one["error"])
    assert one["status"] == (status if found in ("http", "answered") or text == b'{"done": false}' else None)


def test_who_takes_the_connection_and_says_nothing_is_silent_and_not_asleep():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        one = library().attempt(hop(mute.getsockname()[1]), 3, 1)
    assert (one["found"], one["status"]) == ("silent", None)
    assert one["seconds"] >= 1


def test_a_name_that_is_none_is_unresolved():
    assert library().attempt(hop(1, url="http://nobody.invalid:1"), 3, 1)["found"] == "unresolved"


@pytest.mark.parametrize(("given", "sent"), [("-1", {"keep_alive": -1}), (None, {})])
def test_a_resident_stays_resident(server, given, sent):
    made = server(*READY)
    library().attempt(hop(made.server_port, keep_alive=given), 3, 5)
    assert {key: value for key, value in made.asked[0].items() if key == "keep_alive"} == sent


class Done(Exception):
    """What a module returned."""


def test_chains_with_equal_hops_are_walked_once(server, monkeypatch):
    made, module = server(*READY), library()
    same = [hop(made.server_port)]
    chains = [{"id": name, "hops": same} for name in ("openclaw/main", "clawdbot/main")]
    chains.append({"id": "openclaw/coding", "hops": [hop(made.server_port, model="devstral-small-2:24b")]})

    class Module:
        """What stands in for Ansible's."""

        def __init__(self, **_):
            self.params = {"chains": chains, "down": ["macbook-pro"], "connect_timeout": 3, "completion_timeout": 5}

        def exit_json(self, **result):
            """End."""
            raise Done(result)

    monkeypatch.setattr(module, "AnsibleModule", Module)
    with pytest.raises(Done) as ended:
        module.main()
    result = ended.value.args[0]
    assert [walk["id"] for walk in result["walks"]] == ["openclaw/main", "clawdbot/main", "openclaw/coding"]
    assert [body["model"] for body in made.asked] == ["qwen3:8b", "devstral-small-2:24b"]
    assert (result["down"], result["changed"]) == (["macbook-pro"], False)
