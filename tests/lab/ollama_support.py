"""Starts the stand-in Ollama and the registry on loopback for the tests of this folder.

With OLLAMA_UNDER_TEST=http://HOST:PORT the recorded transcripts are replayed against that server instead: a real
Ollama with an empty store, started with the environment that the test's docstring names.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ollama.keg import write_keg

LAB = Path(__file__).resolve().parents[2] / "lab"
UNDER_TEST = os.environ.get("OLLAMA_UNDER_TEST", "")


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait for a condition; gives its value, fails after the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        threading.Event().wait(0.01)
    raise AssertionError(f"not true within {seconds} s: {condition}")


def free_port() -> int:
    """Give a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The body as a stream of JSON objects."""
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]


def ask(port: int, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}, host: str = "127.0.0.1") -> Answer:
    """Make a request."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        connection.request(method, path, data, dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


class Registry(NamedTuple):
    """A running registry."""

    secure: int
    plain: int
    ca: Path
    faults: Path

    def fault(self, **values: Any) -> None:
        """Set exactly these faults; the file is replaced in one step."""
        draft = self.faults.with_suffix(".new")
        draft.write_text(json.dumps({name.replace("_", "-"): value for name, value in values.items()}))
        draft.rename(self.faults)

    def name(self, short: str) -> str:
        """Give a model's name at the plain-http address."""
        return f"127.0.0.1:{self.plain}/library/{short}"


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """Run a registry on two free ports."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "registry.server", "--listen", "127.0.0.1:0", "--listen-plain", "127.0.0.1:0"]
    command += ["--ca", str(folder / "ca"), "--state", str(folder)]
    process = subprocess.Popen(command, cwd=LAB, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        registry = Registry(int(words[2]), int(words[3]), folder / "ca/ca.pem", folder / "faults.json")
        registry.fault(rate=40_000_000_000)
        yield registry
    finally:
        process.terminate()
        assert process.wait(10) == 0
        if process.stdout:
            process.stdout.close()


class Mac:
    """A folder that stands for a Mac: its root, its Cellar, its user's home."""

    def __init__(self, folder: Path, version: str = "0.32.15", **identity: Any) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.state = self.root / "var/db/virtual-mac"
        (self.state / "usage").mkdir(parents=True, exist_ok=True)
        (self.state / "machine.json").write_text(json.dumps(identity))
        self.interpreter = folder / "python"
        self.interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S -B "$@"\n')
        self.interpreter.chmod(0o755)
        self.port = free_port()
        self.program = self.install(version)

    def install(self, version: str) -> Path:
        """Pour a version; gives its program."""
        cellar = self.folder / "Cellar"
        write_keg(cellar, version, interpreter=str(self.interpreter), library=str(LAB))
        return cellar / "ollama" / version / "bin/ollama"

    @property
    def models(self) -> Path:
        """The models folder."""
        return self.home / ".ollama/models"

    def fault(self, **values: Any) -> None:
        """Set exactly these faults."""
        draft = self.state / "faults.new"
        draft.write_text(json.dumps({name.replace("_", "-"): value for name, value in values.items()}))
        draft.rename(self.state / "faults.json")

    def environment(self, **more: str) -> dict[str, str]:
        """Give an environment as launchd would: nothing of the tester's own."""
        own = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "OLLAMA_HOST": f"127.0.0.1:{self.port}", "TZ": "UTC"}
        return {**own, "VIRTUAL_MAC_ROOT": str(self.root), **more}

    def run(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        environment = self.environment() if env is None else dict(env)
        return subprocess.run(
            [str(self.program), *words], env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=60
        )


class Server:
    """A running `ollama serve`."""

    def __init__(self, mac: Mac, process: subprocess.Popen[bytes], log: Path) -> None:
        self.mac = mac
        self.process = process
        self.log_file = log

    @property
    def log(self) -> str:
        """What the server logged so far."""
        return self.log_file.read_text()

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}) -> Answer:
        """Make a request."""
        return ask(self.mac.port, method, path, body, headers)

    def pull(self, name: str, **more: Any) -> Answer:
        """Pull over plain http."""
        return self.ask("POST", "/api/pull", {"model": name, "insecure": True, **more})

    def install(self, registry: Registry, short: str, name: str | None = None) -> None:
        """Pull a model and give it a name."""
        answer = self.pull(registry.name(short), stream=False)
        assert answer.json == {"status": "success"}
        body = {"source": registry.name(short), "destination": name or short}
        assert self.ask("POST", "/api/copy", body).status == 200
        assert self.ask("DELETE", "/api/delete", {"model": registry.name(short)}).status == 200

    def load(self, name: str, **more: Any) -> Answer:
        """Load a model."""
        return self.ask("POST", "/api/generate", {"model": name, **more})

    def ps(self) -> list[dict[str, Any]]:
        """List what is loaded."""
        models: list[dict[str, Any]] = self.ask("GET", "/api/ps").json["models"]
        return models

    def runners(self) -> list[int]:
        """List the process ids of this server's runners, as they note their memory."""
        return sorted(int(file.stem) for file in (self.mac.state / "usage").glob("*.json"))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the server; gives its exit status."""
        self.process.send_signal(number)
        return self.process.wait(10)


def answers(port: int) -> bool:
    """Tell whether a server answers."""
    try:
        return ask(port, "GET", "/api/version").status == 200
    except OSError:
        return False


@contextlib.contextmanager
def launched(mac: Mac, **environment: str) -> Iterator[Server]:
    """Run `ollama serve` in a Mac's environment, without waiting for it."""
    log = mac.folder / f"serve-{time.time_ns()}.log"
    with log.open("wb") as out:
        command = [str(mac.program), "serve"]
        process = subprocess.Popen(command, env=mac.environment(**environment), stdout=subprocess.DEVNULL, stderr=out)
    try:
        yield Server(mac, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(10)


@contextlib.contextmanager
def serving(mac: Mac, **environment: str) -> Iterator[Server]:
    """Run `ollama serve` and wait until it answers."""
    with launched(mac, **environment) as server:
        until(lambda: answers(mac.port) or server.process.poll() is not None)
        yield server


@contextlib.contextmanager
def proxy(port: int, status: str = "") -> Iterator[int]:
    """Run a CONNECT proxy that leads everywhere to one port, or answers with a status."""
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while b"\r\n\r\n" not in connection.recv(65536):
                continue
            if status:
                connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                return
            with socket.create_connection(("127.0.0.1", port)) as onward:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=copy, args=(onward, connection), daemon=True)
                back.start()
                copy(connection, onward)
                back.join(10)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
