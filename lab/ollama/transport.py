"""The HTTP client of pulls: proxies, trust and error texts as Go's net/http has them."""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from typing import NamedTuple, Optional
from urllib.parse import urljoin, urlsplit

from ollama import golang

# Where Debian keeps the trusted roots; Go's Linux search finds it, and honours SSL_CERT_FILE before it. On
# macOS Go asks the keychain instead (inference); the virtual Mac's keychain is this file.
TRUST = "/etc/ssl/certs/ca-certificates.crt"


class Failure(Exception):
    """A request failed; the text is Go's."""


class Cut(Exception):
    """The connection broke inside a body: worth another try."""


class Response:
    """An answer; `stream` gives the body."""

    def __init__(self, raw: http.client.HTTPResponse, connection: http.client.HTTPConnection, url: str) -> None:
        self.status = raw.status
        self.reason = raw.reason
        self.headers = raw.headers
        self.raw = raw
        self.url = url
        self._connection = connection

    def body(self) -> bytes:
        """Read the whole body."""
        try:
            return self.raw.read()
        finally:
            self.close()

    def location(self) -> str:
        """Give the Location, resolved; Go's error when there is none."""
        target = self.headers.get("Location")
        if not target:
            raise Failure("http: no Location header in response")
        return urljoin(self.url, target)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Target(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str


def _target(url: str) -> _Target:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    return _Target(parts.scheme, parts.hostname or "", port, path)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> Optional[str]:
    """Choose the proxy as net/http's ProxyFromEnvironment does: never for loopback, not for NO_PROXY."""
    name = "HTTPS_PROXY" if scheme == "https" else "HTTP_PROXY"
    proxy = environ.get(name) or environ.get(name.lower())
    if not proxy or _loopback(host):
        return None
    for entry in (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(","):
        entry = entry.strip().lower()
        if entry == "*" or (entry and (host == entry.lstrip(".") or host.endswith("." + entry.lstrip(".")))):
            return None
    return proxy if "://" in proxy else "http://" + proxy


class Client:
    """Makes requests with one environment's proxy and trust settings."""

    def __init__(self, environ: Mapping[str, str], user_agent: str) -> None:
        self.environ = environ
        self.user_agent = user_agent
        self._context: Optional[ssl.SSLContext] = None
        self._trusted: Optional[tuple[str, float]] = None

    def _ssl(self) -> ssl.SSLContext:
        file = self.environ.get("SSL_CERT_FILE") or TRUST
        changed = os.stat(file).st_mtime if os.path.exists(file) else 0.0  # noqa: PTH110, PTH116
        if self._context is None or self._trusted != (file, changed):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if changed:
                context.load_verify_locations(cafile=file)
            self._context, self._trusted = context, (file, changed)
        return self._context

    def _connect(self, target: _Target, timeout: float) -> tuple[http.client.HTTPConnection, str]:
        """Connect, through a proxy where one is set; gives also the request target to ask for."""
        proxy = proxy_for(target.scheme, target.host, self.environ)
        if target.scheme == "http":
            if proxy:
                via = _target(proxy)
                asked = f"http://{target.host}:{target.port}{target.path}"
                return http.client.HTTPConnection(via.host, via.port, timeout=timeout), asked
            return http.client.HTTPConnection(target.host, target.port, timeout=timeout), target.path
        if proxy:
            via = _target(proxy)
            secure = http.client.HTTPSConnection(via.host, via.port, timeout=timeout, context=self._ssl())
            secure.set_tunnel(target.host, target.port)
            return secure, target.path
        return (
            http.client.HTTPSConnection(target.host, target.port, timeout=timeout, context=self._ssl()),
            target.path,
        )

    def request(self, method: str, url: str, headers: Optional[Mapping[str, str]] = None, timeout: float = 30) -> Response:
        """Make a request; a Failure reads `Get "URL": dial tcp ...`."""
        target = _target(url)
        try:
            connection, asked = self._connect(target, timeout)
        except OSError as error:
            raise Failure(self._text(method, url, target, error)) from error
        default = 443 if target.scheme == "https" else 80
        host = target.host if target.port == default else f"{target.host}:{target.port}"
        try:
            sent = {"Host": host, "User-Agent": self.user_agent, "Accept-Encoding": "identity"}
            connection.request(method, asked, headers={**sent, **(headers or {})})
            return Response(connection.getresponse(), connection, url)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Failure(self._text(method, url, target, error)) from error

    def _text(self, method: str, url: str, target: _Target, error: Exception) -> str:
        return f"{method.capitalize()} {golang.quote(url)}: {failure_text(target, error)}"


def failure_text(target: _Target, error: Exception) -> str:
    """Say what went wrong in Go's words."""
    where = f"{_dialled(target.host)}:{target.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls: failed to verify certificate: x509: " + _certificate_text(target, error)
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"):
            return "http: server gave HTTP response to HTTPS client"
        if error.reason == "RECORD_LAYER_FAILURE":
            return "http: server gave HTTP response to HTTPS client"
        return "remote error: tls: " + (error.reason or "handshake failure").lower().replace("_", " ")
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {target.host}: no such host"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {where}: connect: connection refused"
    if isinstance(error, http.client.RemoteDisconnected):
        return "EOF"
    if isinstance(error, ConnectionResetError):
        return f"read tcp {where}: read: connection reset by peer"
    if isinstance(error, TimeoutError) or str(error) == "timed out":
        return f"dial tcp {where}: i/o timeout"
    text = str(error)
    if text.startswith("Tunnel connection failed: "):
        return text.split(" ", 4)[4].strip()  # a proxy's refusal is its status text alone: Bad Gateway
    if isinstance(error, OSError) and error.errno:
        return f"dial tcp {where}: connect: {os.strerror(error.errno).lower()}"
    return text or type(error).__name__


def _dialled(host: str) -> str:
    """Give the address that was dialled: Go names it in its errors, not the host."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return host


def _certificate_text(target: _Target, error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message.lower()
    if "mismatch" in message or "not valid for" in message:
        return "certificate is not valid for any names, but wanted to match " + target.host
    if "expired" in message:
        return "certificate has expired or is not yet valid"
    return "certificate signed by unknown authority"
