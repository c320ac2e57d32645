"""The registry's HTTP(S) side, as far as Ollama speaks it: manifests, blobs in ranges, a token endpoint.

A first GET of a blob without Range answers 200 with a Location and no body, which is the form that Ollama's own
tests use; the parts are then fetched from there. Clients that accept `x-lab-sparse` get runs of zeros as a
length (see `ollama.sparse`), others plain bytes. All transfers together keep to a rate, so that a pull takes a
believable time and can be cut half-way.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from ollama import sparse

from registry import authority, catalogue
from registry.catalogue import Blob, Catalogue, Entry

RATE = 4_000_000_000
SLOW = 1_000_000
CUT = 1_000_000
SLICE = 0.02  # seconds' worth of bytes that are sent at once
WATCH = 0.05  # how soon a changed faults.json is noticed
WHOLE = 1 << 20  # blobs up to this size are sent even without a Range, as a plain registry does
_PIECE = 1 << 18
_PATH = re.compile(r"/v2/([^/]+)/([^/]+)/(manifests|blobs)/([^/]+)\Z")
_HUB = ("hf.co", "huggingface.co")


class Faults:
    """What is wrong at the moment, read from a file whenever it changes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stamp = (0, 0)
        self._values: dict[str, Any] = {}
        self._lock = threading.Lock()

    def get(self, name: str, default: Any = None) -> Any:
        """Give a fault's value, or the default while it is off."""
        with self._lock:
            try:
                stat = self.file.stat()
                stamp = (stat.st_mtime_ns, stat.st_ino)
                if stamp != self._stamp:
                    self._values = json.loads(self.file.read_text(encoding="utf-8"))
                    self._stamp = stamp
            except FileNotFoundError:
                self._values, self._stamp = {}, (0, 0)
            except ValueError:  # caught in the middle of a write: keep what was there
                self._stamp = (0, 0)
            value = self._values.get(name)
        return default if value is None or value is False else value

    def number(self, name: str, when_true: float) -> float | None:
        """Give a fault that is a number, or just true."""
        value = self.get(name)
        return None if value is None else float(when_true if value is True else value)

    def names(self, name: str, entry: str) -> bool:
        """Tell whether a fault is true for all, or names this one."""
        value = self.get(name)
        if value is None or value is True:
            return value is True
        wanted = [value] if isinstance(value, str) else value
        return entry in [catalogue.full_name(item) if ":" in item else item for item in wanted] or entry in wanted


class Pacer:
    """Makes all transfers together keep to the rate, which may change under way."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._free = 0.0
        self._lock = threading.Lock()

    def rate(self) -> float:
        """Give the bytes a second now."""
        return self._faults.number("slow", SLOW) or self._faults.number("rate", RATE) or RATE

    def take(self, wanted: int) -> int:
        """Wait for one's turn; gives how many bytes may be sent, at least one."""
        rate = self.rate()
        length = max(1, min(wanted, int(rate * SLICE)))
        with self._lock:
            now = time.monotonic()
            self._free = max(self._free, now) + length / rate
            pause = self._free - now
        time.sleep(pause)
        return length


def stretches(blob: Blob, start: int, end: int, *, corrupt: bool) -> Iterator[tuple[bytes | None, int]]:
    """Give a range of a blob as pieces: bytes, or None for zeros, with the length."""
    lead = blob.lead
    if corrupt and lead:
        lead = bytes([lead[0] ^ 0xFF]) + lead[1:]
    stop = min(end, len(lead))
    for at in range(start, stop, _PIECE):
        piece = lead[at : min(at + _PIECE, stop)]
        yield piece, len(piece)
    zeros = end - max(start, len(lead))
    if zeros > 0:
        yield None, zeros


class Registry:
    """What is served, and what is wrong with it."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.pacer = Pacer(faults)
        self.models: Catalogue = catalogue.load()
        self.moved: Catalogue = catalogue.load(moved=True)

    def entry(self, name: str, host: str) -> Entry | None:
        """Find a model by `namespace/model:tag`; one of Hugging Face is not found at registry.ollama.ai."""
        moved = self.faults.names("tag-moved", name)
        found = (self.moved if moved else self.models).entries.get(name)
        if found is None or self.faults.names("not-found", name):
            return None
        of_hub = found.name.startswith(_HUB)
        bare = host.partition(":")[0]
        if (of_hub and bare == "registry.ollama.ai") or (not of_hub and bare in _HUB):
            return None
        return found

    def blob(self, digest: str) -> Blob | None:
        """Find a blob."""
        return self.models.blobs.get(digest) or self.moved.blobs.get(digest)

    def corrupt(self, digest: str) -> bool:
        """Tell whether this blob is to lie."""
        weights = [name for name, entry in self.models.entries.items() if entry.weights == digest]
        if self.faults.get("corrupt") is True:
            return bool(weights)
        return self.faults.names("corrupt", digest) or any(self.faults.names("corrupt", name) for name in weights)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    registry: ClassVar[Registry]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Write no access log: the keeper has no use for it."""

    def do_HEAD(self) -> None:
        """Answer HEAD."""
        self._answer()

    def do_GET(self) -> None:
        """Answer GET."""
        self._answer()

    def do_PUT(self) -> None:
        """Refuse uploads: the catalogue is fixed."""
        self._error(405, "UNSUPPORTED", "the operation is unsupported")

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode("utf-8")
        self.close_connection = True
        self._send(status, {"Content-Type": "application/json", "Connection": "close"}, body)

    def _answer(self) -> None:
        faults = self.registry.faults
        path = self.path.partition("?")[0]
        status = faults.number("status", 503)
        if status:
            self._error(int(status), "UNAVAILABLE", "the registry is told to fail")
        elif path == "/token":
            allowed = bool(self.headers.get("Authorization"))
            body = json.dumps({"token": "lab"} if allowed else {"error": "unauthorized"}).encode("ascii")
            self._send(200 if allowed else 401, {"Content-Type": "application/json"}, body)
        elif path.rstrip("/") == "/v2":
            self._send(200, {"Content-Type": "application/json"}, b"{}")
        elif faults.get("token") and self.headers.get("Authorization") != "Bearer lab" and "?" not in self.path:
            secure = isinstance(self.connection, ssl.SSLSocket)
            realm = "{}://{}/token".format("https" if secure else "http", self.headers.get("Host"))
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:pull"'
            self._send(401, {"WWW-Authenticate": challenge})
        else:
            self._content(path)

    def _content(self, path: str) -> None:
        found = _PATH.match(path)
        if not found:
            self._error(404, "NOT_FOUND", "not found")
            return
        namespace, model, kind, reference = found.groups()
        if kind == "manifests":
            name = f"{namespace}/{model}:{reference}"
            entry = self.registry.entry(name, self.headers.get("Host", ""))
            if entry is None:
                self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
                return
            media = "application/vnd.docker.distribution.manifest.v2+json"
            self._send(200, {"Content-Type": media, "Docker-Content-Digest": entry.digest}, entry.manifest)
            return
        blob = self.registry.blob(reference)
        if blob is None:
            self._error(404, "BLOB_UNKNOWN", "blob unknown to registry")
            return
        self._blob(reference, blob)

    def _blob(self, digest: str, blob: Blob) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "Accept-Ranges": "bytes",
            "Location": "?direct=1",
            sparse.FINGERPRINT: blob.fingerprint(),
        }
        asked = re.match(r"bytes=(\d+)-(\d*)\Z", self.headers.get("Range", ""))
        direct = "?" in self.path
        if self.command == "HEAD":
            self._send(200, {**headers, "Content-Length": str(blob.size)})
        elif not asked and not direct and blob.size > WHOLE:
            self._send(200, headers)
        else:
            start = int(asked.group(1)) if asked else 0
            end = min(int(asked.group(2)) + 1 if asked and asked.group(2) else blob.size, blob.size)
            if start > end:
                self._error(416, "RANGE_INVALID", "invalid content range")
                return
            headers |= {"Content-Range": f"bytes {start}-{end - 1}/{blob.size}"} if asked else {}
            self._range(206 if asked else 200, headers, digest, blob, start, end)

    def _range(self, status: int, headers: dict[str, str], digest: str, blob: Blob, start: int, end: int) -> None:
        framed = sparse.ENCODING in self.headers.get("Accept-Encoding", "")
        self.close_connection = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if framed:
            self.send_header("Content-Encoding", sparse.ENCODING)
        else:
            self.send_header("Content-Length", str(end - start))
        self.send_header("Connection", "close")
        self.end_headers()
        cut = self.registry.faults.number("cut", CUT)
        left = end - start if cut is None else min(int(cut), end - start)
        zeros = bytes(_PIECE)
        for piece, length in stretches(blob, start, end, corrupt=self.registry.corrupt(digest)):
            done = 0
            while done < length and left:
                step = self.registry.pacer.take(min(length - done, left))
                if framed and piece is None:
                    self.wfile.write(sparse.FRAME.pack(b"H", step))
                elif piece is None:
                    step = min(step, len(zeros))
                    self.wfile.write(zeros[:step])
                else:
                    head = sparse.FRAME.pack(b"D", step) if framed else b""
                    self.wfile.write(head + piece[done : done + step])
                done += step
                left -= step


class Listener(ThreadingHTTPServer):
    """One address the registry listens on; it can be dropped and taken up again."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], registry: Registry, context: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.context = context
        self.open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, type("Bound", (Handler,), {"registry": registry}))

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; the TLS handshake is left to the connection's own thread."""
        connection, client = super().get_request()
        with self._guard:
            self.open.add(connection)
        return connection, client

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands where TLS is spoken, then answer."""
        try:
            if self.context:
                request.settimeout(30)
                first = request.recv(1, socket.MSG_PEEK)
                if first and first != b"\x16":  # Go's server says this in plain HTTP to a plain client
                    text = b"Client sent an HTTP request to an HTTPS server.\n"
                    request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" + text)
                    return
                with self._guard:
                    self.open.discard(request)
                request = self.context.wrap_socket(request, server_side=True)
                with self._guard:
                    self.open.add(request)
                request.settimeout(None)
            super().finish_request(request, client_address)
        except OSError:
            return
        finally:
            with self._guard:
                self.open.discard(request)
            request.close()

    def reset(self) -> None:
        """Stop listening and break every connection off."""
        self.shutdown()
        self.server_close()
        with self._guard:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


class Service:
    """All addresses of one registry, and the fault that takes them down."""

    def __init__(self, state: Path, ca: Path, secure: list[str], plain: list[str]) -> None:
        self.faults = Faults(state / "faults.json")
        self.registry = Registry(self.faults)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(str(authority.chain(ca)))
        self._wanted: list[tuple[tuple[str, int], bool]] = [
            (parse_address(text), tls) for texts, tls in ((secure, True), (plain, False)) for text in texts
        ]
        self.listeners: list[Listener] = []
        self._end = threading.Event()

    def up(self) -> None:
        """Listen on all addresses; one given as port 0 keeps the port it got."""
        for index, (address, tls) in enumerate(self._wanted):
            listener = Listener(address, self.registry, self.context if tls else None)
            self._wanted[index] = (listener.server_address[:2], tls)  # type: ignore[assignment]
            self.listeners.append(listener)
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections."""
        for listener in self.listeners:
            listener.reset()
        self.listeners.clear()

    def ports(self) -> list[int]:
        """Give the ports in the order the addresses were named."""
        return [address[1] for address, _ in self._wanted]

    def watch(self, ready: Callable[[], None]) -> None:
        """Serve until ended, minding the fault `down`."""
        self.up()
        ready()
        while not self._end.wait(WATCH):
            if self.faults.get("down") and self.listeners:
                self.down()
            elif not self.faults.get("down") and not self.listeners:
                self.up()
        self.down()

    def end(self) -> None:
        """End `watch`."""
        self._end.set()


def parse_address(text: str) -> tuple[str, int]:
    """Read HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def main(argv: list[str] | None = None) -> int:
    """Run the registry."""
    parser = argparse.ArgumentParser(prog="registry.server", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--listen", action="append", default=[], metavar="HOST:PORT", help="address for TLS")
    parser.add_argument("--listen-plain", action="append", default=[], metavar="HOST:PORT", help="address for HTTP")
    parser.add_argument("--ca", type=Path, required=True, help="folder of the certificate authority")
    parser.add_argument("--state", type=Path, required=True, help="folder with faults.json")
    given = parser.parse_args(argv)
    service = Service(given.state, given.ca, given.listen, given.listen_plain)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.end())
    service.watch(lambda: print("listening on", *service.ports(), flush=True))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
