"""Ollama as Homebrew installs it on a Mac, virtual or real: the program, the server, its answers, its end.

A server of our own runs on a scratch port with a scratch home, so that a real Mac's Ollama and its models stay as
they are. Pulling and loading is done on a virtual Mac only: a real one would fetch gigabytes.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PORT = 18434
PROGRAM = "/opt/homebrew/opt/ollama/bin/ollama"


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait for a condition; gives its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.1)


class Answer(NamedTuple):
    """What curl got: the status, the body."""

    status: int
    body: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Served:
    """A server of our own on a Mac."""

    def __init__(self, mac: Any, folder: str) -> None:
        self.mac = mac
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """The server's whole environment."""
        return {"HOME": self.folder, "OLLAMA_HOST": f"127.0.0.1:{PORT}", "OLLAMA_NO_CLOUD": "1"}

    def start(self, **more: str) -> None:
        """Start the server and wait until it answers."""
        words = [f"{name}={value}" for name, value in {**self.environment, **more}.items()]
        script = 'dir=$1; shift; nohup /usr/bin/env "$@" >"$dir/out" 2>"$dir/err" </dev/null & echo $! >"$dir/pid"'
        self.mac.succeed(["/bin/sh", "-c", script, "sh", self.folder, *words, PROGRAM, "serve"])
        until(lambda: self.ask("GET", "/api/version").status == 200)

    def ask(self, method: str, path: str, body: Any = None, timeout: int = 60) -> Answer:
        """Make a request from the Mac itself."""
        command = ["/usr/bin/curl", "-s", "-X", method, "-w", "\n%{http_code}", "-m", str(timeout)]
        command += ["-d", json.dumps(body)] if body is not None else []
        done = self.mac.run([*command, f"http://127.0.0.1:{PORT}{path}"], timeout=timeout + 10)
        text, _, status = done.stdout.rpartition("\n")
        return Answer(int(status or 0), text)

    def stop(self) -> None:
        """End the server."""
        script = 'test -f "$1/pid" && kill "$(cat "$1/pid")" 2>/dev/null; rm -f "$1/pid"'
        self.mac.run(["/bin/sh", "-c", script, "sh", self.folder])
        until(lambda: self.ask("GET", "/api/version", timeout=2).status == 0)

    def run(self, *words: str) -> Any:
        """Run the command against our server."""
        return self.mac.run([PROGRAM, *words], env=self.environment)


@pytest.fixture(scope="module")
def installed(mac: Any) -> Any:
    """Make sure that Homebrew's Ollama is there."""
    if mac.run(["/bin/test", "-x", PROGRAM]).rc != 0:
        if not mac.virtual:
            pytest.skip("Homebrew's ollama is not installed on this Mac")
        mac.succeed(["/opt/homebrew/bin/brew", "install", "ollama"], timeout=120)
    return mac


@pytest.fixture
def served(installed: Any) -> Iterator[Served]:
    """Run a server on a scratch port with a scratch home."""
    folder = installed.succeed(["/usr/bin/mktemp", "-d", "/tmp/ollama-conformance.XXXXXX"]).strip()  # noqa: S108  mktemp makes it private
    server = Served(installed, folder)
    server.start()
    yield server
    server.stop()
    installed.succeed(["/bin/rm", "-rf", folder])


def test_the_program_is_a_link_into_libexec(installed: Any) -> None:
    assert installed.succeed(["/usr/bin/readlink", PROGRAM]).strip() == "../libexec/ollama"


def test_without_a_server_the_version_is_a_warning_and_status_0(installed: Any) -> None:
    done = installed.run([PROGRAM, "-v"], env={"OLLAMA_HOST": "127.0.0.1:9", "HOME": installed.home})
    assert (done.rc, done.stdout.splitlines()[0]) == (0, "Warning: could not connect to a running Ollama instance")


def test_without_a_server_a_command_says_how_to_start_one(installed: Any) -> None:
    done = installed.run([PROGRAM, "list"], env={"OLLAMA_HOST": "127.0.0.1:9", "HOME": installed.home})
    assert (done.rc, done.stderr) == (1, "Error: could not connect to ollama server, run 'ollama serve' to start it\n")


def test_program_and_server_have_one_version(served: Served) -> None:
    version = served.ask("GET", "/api/version").json["version"]
    assert served.run("-v").stdout == f"ollama version is {version}\n"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "answer"),
    [
        ("GET", "/", None, 200, "Ollama is running"),
        ("GET", "/api/tags", None, 200, '{"models":[]}'),
        ("GET", "/api/ps", None, 200, '{"models":[]}'),
        ("GET", "/api/nope", None, 404, "404 page not found"),
        ("GET", "/api/pull", None, 405, "405 method not allowed"),
        ("POST", "/api/show", {"model": "nosuch"}, 404, '{"error":"model \'nosuch:latest\' not found"}'),
        ("DELETE", "/api/delete", {"model": "nosuch"}, 404, '{"error":"model \'nosuch\' not found"}'),
        ("POST", "/api/generate", {"model": "nosuch", "keep_alive": 0}, 404, '{"error":"model \'nosuch\' not found"}'),
        ("POST", "/api/pull", {"model": "bad name"}, 400, '{"error":"invalid model name"}'),
    ],
)
def test_an_empty_server_answers(served: Served, method: str, path: str, body: Any, status: int, answer: str) -> None:
    assert served.ask(method, path, body) == Answer(status, answer)


def test_a_second_server_on_the_port_ends_with_status_1(served: Served) -> None:
    done = served.run("serve")
    text = f"Error: listen tcp 127.0.0.1:{PORT}: bind: address already in use"
    assert (done.rc, done.stderr.splitlines()[-1]) == (1, text)


def test_the_log_names_the_settings_and_the_address(served: Served) -> None:
    log = served.mac.read(f"{served.folder}/err")
    assert f'msg="Listening on 127.0.0.1:{PORT} (version ' in log
    assert f"OLLAMA_HOST:http://127.0.0.1:{PORT} " in log
    assert "library=Metal" in log


def test_the_gpu_limit_follows_memory_and_release(served: Served) -> None:
    memory = int(served.mac.succeed(["/usr/sbin/sysctl", "-n", "hw.memsize"]))
    if memory != 16 << 30:
        pytest.skip("the figures known are those of 16 GB")
    wanted = 'total="11.8 GiB"' if served.mac.os_major >= 26 else 'total="10.7 GiB"'
    assert wanted in served.mac.read(f"{served.folder}/err")


@pytest.mark.virtual
def test_a_model_is_pulled_pinned_listed_and_unloaded(served: Served) -> None:
    lines = served.ask("POST", "/api/pull", {"model": "qwen3:8b"}).body.splitlines()
    assert (json.loads(lines[0]), json.loads(lines[-1])) == ({"status": "pulling manifest"}, {"status": "success"})
    assert served.ask("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": -1}).json["done_reason"] == "load"
    (model,) = served.ask("GET", "/api/ps").json["models"]
    assert model["size"] == model["size_vram"]
    assert model["expires_at"].startswith(("2318", "2319"))
    assert "100% GPU" in served.run("ps").stdout
    assert served.run("stop", "qwen3:8b").rc == 0
    until(lambda: served.ask("GET", "/api/ps").json == {"models": []})


@pytest.mark.virtual
def test_a_fault_makes_every_load_fail_while_the_server_is_healthy(served: Served) -> None:
    assert served.ask("POST", "/api/pull", {"model": "tiny", "stream": False}).json == {"status": "success"}
    with served.mac.fault("ollama-load-fails"):
        answer = served.ask("POST", "/api/generate", {"model": "tiny"})
        assert (answer.status, "llama-server binary not found" in answer.body) == (500, True)
        assert served.ask("GET", "/api/tags").status == 200
    assert served.ask("POST", "/api/generate", {"model": "tiny"}).status == 200
