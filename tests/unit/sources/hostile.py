"""A server whose every answer is a function, so that each test says what its server does wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from ansible.module_utils.preflight.cache import Cache
from ansible.module_utils.preflight.registry import Registry
from ansible.module_utils.preflight.sources import Sources
from ansible.module_utils.preflight.web import Limits, Web
from registry.gguf_writer import TensorInfo, header

HOST = "registry.ollama.ai"
QUICK = Limits(connect_seconds=1, request_seconds=1, total_seconds=4)
Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request; `send` for what is well formed, `wfile` for what is not."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Write no access log."""

    def do_GET(self) -> None:
        """Answer by the first rule whose text is in the path."""
        self.server.asked.append((self.path, dict(self.headers.items())))
        self.close_connection = True
        with contextlib.suppress(OSError):
            next(reply for text, reply in self.server.rules.items() if text in self.path)(self)

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send an answer with a length; `content_length` overrides it."""
        self.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.server.sent += len(body)
        self.wfile.write(body)

    def span(self, size: int) -> tuple[int, int]:
        """Return the range asked for, its end excluded."""
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        return int(first), min(int(last) + 1 if last else size, size)


class Server(ThreadingHTTPServer):
    """Rules are tried in their order."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, rules: Mapping[str, Reply]) -> None:
        self.rules = rules
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hung up."""

    def server_bind(self) -> None:
        """Bind without asking the resolver for the own name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def served(rules: Mapping[str, Reply]) -> Iterator[Server]:
    """Run a server."""
    server = Server(rules)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class File(NamedTuple):
    """A model's file as far as it is ever read, and its size."""

    lead: bytes
    size: int

    @property
    def digest(self) -> str:
        """Return a digest; of the lead alone, nobody reads the rest."""
        return "sha256:" + hashlib.sha256(self.lead).hexdigest()

    def manifest(self, **layer: Any) -> bytes:
        """Return a manifest of this file."""
        small = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:" + "0" * 64, "size": 400}
        weights = {"mediaType": "application/vnd.ollama.image.model", "digest": self.digest, "size": self.size, **layer}
        return json.dumps({"schemaVersion": 2, "config": small, "layers": [weights]}).encode()

    def range(self, handler: Handler) -> None:
        """Serve ranges as a store does."""
        start, end = handler.span(self.size)
        body = self.lead[start:end].ljust(end - start, b"\0")
        handler.send(206, body, content_range=f"bytes {start}-{end - 1}/{self.size}")


def gguf(words: int = 6) -> File:
    """Return a llama of four layers with a vocabulary of so many words: some 13 bytes of header for each."""
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 4,
        "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": 2,
        "llama.embedding_length": 512,
        "llama.feed_forward_length": 1024,
        "llama.context_length": 8192,
        "tokenizer.ggml.tokens": [f"w{number:04d}" for number in range(words)],
    }
    tensors = [TensorInfo("token_embd.weight", (512, words), "F16"), TensorInfo("output.weight", (512, words), "F16")]
    lead, size = header(metadata, tensors)
    return File(lead, size + 10_000_000)


def normal(file: File) -> dict[str, Reply]:
    """Return the rules of a registry without fault: manifest, 200 with a Location, ranges there."""
    return {
        "/manifests/": lambda handler: handler.send(200, file.manifest()),
        "?direct": file.range,
        "/blobs/": lambda handler: handler.send(200, location="?direct=1"),
    }


def sources(url: str, limits: Limits = QUICK, cache: Cache | None = None, **more: Any) -> Sources:
    """Return sources whose registry is at `url`."""
    return Sources(Registry(Web(limits), {HOST: url, "hf.co": url}), cache or Cache(None), **more)
