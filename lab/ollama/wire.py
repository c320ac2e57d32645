"""HTTP/1.1 as Go's net/http serves it: header order, chunking of long bodies, no Server header."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Mapping
from typing import Any, BinaryIO, Optional

from ollama import golang

JSON = "application/json; charset=utf-8"
PLAIN_JSON = "application/json"
NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"

REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DRAIN = 256 << 10
_CHUNK_ABOVE = 2048  # net/http counts the length of a body itself only up to its write buffer


class Gone(ConnectionError):
    """The client has closed its end."""


class BadRequest(ValueError):
    """What came is not HTTP."""


def http_date() -> str:
    """Give the time as the Date header has it, whatever the locale."""
    now = time.gmtime()
    day = f"{_DAYS[now.tm_wday]}, {now.tm_mday:02d} {_MONTHS[now.tm_mon - 1]} {now.tm_year}"
    return f"{day} {now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d} GMT"


class Request:
    """One request; the body is read by whoever needs it."""

    def __init__(self, method: str, target: str, version: str, headers: dict[str, str], stream: BinaryIO) -> None:
        self.method = method
        path, _, self.query = target.partition("?")
        if "://" in path:
            path = "/" + path.split("://", 1)[1].partition("/")[2]
        self.path = path
        self.headers = headers
        self.stream = stream
        self.left = int(headers.get("content-length") or 0)
        self.chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        connection = headers.get("connection", "").lower()
        self.keep_alive = "close" not in connection if version == "HTTP/1.1" else "keep-alive" in connection

    def read(self, size: int) -> bytes:
        """Read some of the body; empty at its end."""
        if self.chunked:
            if self.left == 0:
                line = self.stream.readline(1024).strip()
                self.left = int(line.split(b";")[0] or b"0", 16)
                if self.left == 0:
                    self.chunked = False
                    while self.stream.readline(8192).strip():
                        continue
                    return b""
            data = self.stream.read(min(size, self.left))
            self.left -= len(data)
            if self.left == 0:
                self.stream.readline(8)
            return data
        data = self.stream.read(min(size, self.left))
        self.left -= len(data)
        if not data:
            self.left = 0
        return data

    def body(self) -> bytes:
        """Read the whole body."""
        parts: list[bytes] = []
        while True:
            part = self.read(1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)


def read_request(stream: BinaryIO) -> Optional[Request]:
    """Read the head of the next request; None when the client is done."""
    first = stream.readline(65536)
    if not first:
        return None
    words = first.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(first)
    headers: dict[str, str] = {}
    while True:
        line = stream.readline(65536).decode("latin-1")
        if line in ("\r\n", "\n"):
            return Request(words[0], words[1], words[2], headers, stream)
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(line)
        headers[name.strip().lower()] = value.strip()


class Reply:
    """Answers one request on one connection."""

    def __init__(self, connection: socket.socket, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.status = 0
        self.extra: dict[str, str] = {}
        self.close = not request.keep_alive
        self._chunked = False

    def _send(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError as error:
            self.close = True
            raise Gone(str(error)) from error

    def _head(self, status: int, headers: Mapping[str, str], length: Optional[int]) -> bytes:
        self.status = status
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
        merged = {**headers, **self.extra}
        lines += [f"{name}: {merged[name]}" for name in sorted(merged)]
        lines.append("Date: " + http_date())
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif length >= 0:
            lines.append(f"Content-Length: {length}")
        if self.close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def body(self, status: int, content_type: str, data: bytes, headers: Mapping[str, str] = {}) -> None:
        """Send a whole answer; a long one is chunked, as net/http does when it is not told the length."""
        self._settle()
        long = len(data) > _CHUNK_ABOVE
        head = self._head(status, {"Content-Type": content_type, **headers}, None if long else len(data))
        if self.request.method == "HEAD":
            self._send(head)
        elif long:
            self._send(head + b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n")
        else:
            self._send(head + data)

    def _settle(self) -> None:
        """Read what is left of a short request body; a long one ends the connection, as in net/http."""
        if self.request.chunked or self.request.left > _DRAIN:
            self.close = True
        else:
            self.request.body()

    def json(self, status: int, value: Any, content_type: str = JSON) -> None:
        """Send JSON."""
        self.body(status, content_type, golang.dumps(value).encode("utf-8"))

    def error(self, status: int, text: str) -> None:
        """Send an error in the API's form."""
        self.json(status, {"error": text})

    def empty(self, status: int, *, length: bool = True) -> None:
        """Send no body: 200 with Content-Length 0 and no type."""
        self._settle()
        self._send(self._head(status, {}, 0 if length else -1))

    def start(self, content_type: str, status: int = 200) -> None:
        """Begin a streamed answer."""
        self._chunked = True
        self._send(self._head(status, {"Content-Type": content_type}, None))

    def line(self, value: Any) -> None:
        """Send one object of a stream."""
        self.chunk(golang.dumps(value) + "\n")

    def chunk(self, text: str) -> None:
        """Send one piece of a stream."""
        data = text.encode("utf-8")
        self._send(b"%x\r\n" % len(data) + data + b"\r\n")

    def end(self) -> None:
        """End a streamed answer."""
        if self._chunked:
            self._chunked = False
            self._send(b"0\r\n\r\n")

    def gone(self) -> bool:
        """Tell whether the client has hung up, which cancels a pull or a load."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True
