"""HTTP that cannot hold a run up: bounded in time and bytes, and silent towards a host that did not answer once.

Every failure is one sentence. Proxies and certificates are those of the environment (HTTPS_PROXY, SSL_CERT_FILE).
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

REDIRECTS = (301, 302, 303, 307, 308)
_PIECE = 1 << 16


@dataclass(frozen=True)
class Limits:
    """How long and how much. `total_seconds` is for everything that is asked in one run."""

    connect_seconds: float = 3
    request_seconds: float = 10
    total_seconds: float = 60
    redirects: int = 5


class Refusal(Exception):
    """Why something could not be had, as a sentence without its full stop. `status` is None when no HTTP answer came."""

    def __init__(self, sentence: str, status: Optional[int] = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `trouble` says why the body is shorter than promised, empty when it is not."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    trouble: str = ""

    @property
    def media_type(self) -> str:
        """Return the media type without parameters, `no type` when the server named none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()[:80] or "no type"


class _Watch:
    """Ends a request at its deadline, also one whose server sends a byte now and then."""

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._socket: Optional[socket.socket] = None
        self._timer = threading.Timer(max(seconds, 0.01), self._end)
        self._timer.daemon = True
        self._timer.start()

    def take(self, connection: socket.socket) -> None:
        self._socket = connection
        if self.expired:
            self._end()

    def _end(self) -> None:
        self.expired = True
        if self._socket is not None:
            with contextlib.suppress(
                OSError
            ):  # the plain method: that of a TLS socket would pull the layer from under the reader
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def stop(self) -> None:
        self._timer.cancel()


class _AsIs(urllib.request.HTTPErrorProcessor):
    """Hands every status to the caller, redirects too: following them is judged there."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:  # noqa: ARG002  the base class names it
        return response

    https_response = http_response


def _connecting(kind: type[Any], watch: _Watch, limits: Limits, **more: Any) -> Any:
    """Return what urllib calls to make a connection that the watch can end."""

    class Watched(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(limits.request_seconds)
            watch.take(self.sock)

    def make(host: str, **given: Any) -> Any:
        return Watched(host, **{**given, "timeout": limits.connect_seconds, **more})

    return make


def _opener(watch: _Watch, limits: Limits, context: ssl.SSLContext) -> urllib.request.OpenerDirector:
    class Plain(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(_connecting(http.client.HTTPConnection, watch, limits), request)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(_connecting(http.client.HTTPSConnection, watch, limits, context=context), request)

    return urllib.request.build_opener(Plain, Secure, _AsIs)


@dataclass
class _Host:
    lock: threading.Lock = field(default_factory=threading.Lock)
    alive: bool = False
    dead: str = ""


class Web:
    """All requests of one run."""

    def __init__(self, limits: Optional[Limits] = None, ca_file: Optional[str] = None) -> None:
        self.limits = limits or Limits()
        self.deadline = time.monotonic() + self.limits.total_seconds
        self.read_bytes = 0
        self.requests = 0
        self._context = ssl.create_default_context(cafile=ca_file)
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def seconds_left(self) -> float:
        """Return how long the run may still ask."""
        return self.deadline - time.monotonic()

    def get(self, url: str, headers: Mapping[str, str], max_bytes: int) -> Answer:
        """Return the answer with at most `max_bytes` of its body, redirects not followed; Refusal when none came."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            message = f"it leads to {url[:120]!r}, which is no http address"
            raise Refusal(message)
        host = self._host(parts.netloc)
        watch = _Watch(min(self.limits.request_seconds, max(self.seconds_left(), 0)))
        try:
            with self._turn(host, parts.netloc):
                response = self._open(url, headers, host, parts.netloc, watch)
            with response:
                return self._answer(url, response, max_bytes, watch)
        finally:
            watch.stop()

    def _host(self, netloc: str) -> _Host:
        with self._lock:
            return self._hosts.setdefault(netloc.rpartition("@")[2].lower(), _Host())

    @contextlib.contextmanager
    def _turn(self, host: _Host, netloc: str) -> Iterator[None]:
        """Let the first request to a host go alone: when nobody answers, the others need not find out for themselves."""
        if self.seconds_left() <= 0:
            message = f"{netloc} was not asked, the {self.limits.total_seconds:g} s for asking registries are used up"
            raise Refusal(message)
        alone = not host.alive and host.lock.acquire(timeout=max(self.seconds_left(), 0))
        try:
            if host.dead:
                raise Refusal(host.dead)
            yield
        finally:
            if alone:
                host.lock.release()

    def _open(self, url: str, headers: Mapping[str, str], host: _Host, netloc: str, watch: _Watch) -> http.client.HTTPResponse:
        request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})  # noqa: S310  checked in get
        with self._lock:
            self.requests += 1
        try:
            response: http.client.HTTPResponse = _opener(watch, self.limits, self._context).open(request)
            if watch.expired:  # headers that were still coming: the end of the socket looks like the end of the headers
                response.close()
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as problem:
            silent = watch.expired or isinstance(_inner(problem), TimeoutError)
            sentence = f"{netloc} does not answer" if silent else f"{netloc} cannot be reached: {_reason(problem)}"
            if silent or not host.alive:
                host.dead = sentence
            raise Refusal(sentence) from problem
        host.alive = True
        return response

    def _answer(self, url: str, response: http.client.HTTPResponse, max_bytes: int, watch: _Watch) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        pieces: list[bytes] = []
        got, trouble = 0, ""
        try:
            while got < max_bytes:
                piece = response.read1(min(_PIECE, max_bytes - got))
                if not piece:
                    break
                pieces.append(piece)
                got += len(piece)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            trouble = f"the answer broke off after {got} bytes ({_reason(problem)})"
        if watch.expired:
            trouble = f"the answer was not complete after {self.limits.request_seconds:g} s ({got} bytes)"
        elif not trouble and got < max_bytes and response.length:
            trouble = f"the answer broke off after {got} bytes"
        with self._lock:
            self.read_bytes += got
        return Answer(url, response.status, headers, b"".join(pieces), trouble)

    def follow(self, url: str, headers: Mapping[str, str], max_bytes: int) -> Answer:
        """Return the answer after redirects; what authorises at one host is not told to another."""
        sent = dict(headers)
        for _ in range(self.limits.redirects + 1):
            answer = self.get(url, sent, max_bytes)
            if answer.status not in REDIRECTS:
                return answer
            url, sent = next_address(answer, sent)
        message = f"{urllib.parse.urlsplit(url).netloc} redirects more than {self.limits.redirects} times"
        raise Refusal(message)


def next_address(answer: Answer, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return where an answer's Location leads, with the headers that may go there; Refusal for a worse place."""
    here = urllib.parse.urlsplit(answer.url)
    where = answer.headers.get("location", "")
    if not where:
        message = f"{here.netloc} redirects ({answer.status}) without saying where"
        raise Refusal(message, answer.status)
    try:
        url = urllib.parse.urljoin(answer.url, where)
        there = urllib.parse.urlsplit(url)
    except ValueError as problem:
        message = f"{here.netloc} redirects to {where[:120]!r}, which is no address"
        raise Refusal(message, answer.status) from problem
    if here.scheme == "https" and there.scheme != "https":
        message = f"{here.netloc} redirects from https to {where[:120]!r}, which is refused"
        raise Refusal(message, answer.status)
    same = there.netloc == here.netloc
    return url, {name: value for name, value in headers.items() if same or name.lower() != "authorization"}


def _inner(problem: BaseException) -> BaseException:
    reason = getattr(problem, "reason", None)
    return reason if isinstance(reason, BaseException) else problem


def _reason(problem: BaseException) -> str:
    inner = _inner(problem)
    return (getattr(inner, "strerror", None) or str(inner) or type(inner).__name__)[:200]
