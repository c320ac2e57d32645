"""`ollama serve`: bind, then prepare, then answer; ends on SIGTERM and SIGINT with status 0."""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Callable

from mac import machine

from ollama import envconfig, golang, logs, openai, wire
from ollama.api import Api, Refusal
from ollama.envconfig import Settings
from ollama.process import set_name
from ollama.versions import Release
from ollama.wire import Gone, Reply, Request

Handler = Callable[[Api, Reply], None]


def _root(_: Api, reply: Reply) -> None:
    reply.body(200, "text/plain; charset=utf-8", b"Ollama is running")


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"HEAD": _root, "GET": _root},
    "/api/version": {"HEAD": Api.version, "GET": Api.version},
    "/api/status": {"GET": Api.status},
    "/api/tags": {"HEAD": Api.tags, "GET": Api.tags},
    "/api/ps": {"GET": Api.ps},
    "/api/show": {"POST": Api.show},
    "/api/pull": {"POST": Api.pull},
    "/api/push": {"POST": Api.push},
    "/api/create": {"POST": Api.create},
    "/api/copy": {"POST": Api.copy},
    "/api/delete": {"DELETE": Api.delete},
    "/api/generate": {"POST": Api.generate},
    "/api/chat": {"POST": Api.chat},
    "/api/embed": {"POST": Api.embed},
    "/api/embeddings": {"POST": Api.embeddings},
    "/v1/models": {"GET": openai.models},
    "/v1/chat/completions": {"POST": openai.chat},
    "/v1/completions": {"POST": openai.completions},
    "/v1/embeddings": {"POST": openai.embeddings},
}
_BLOBS = "/api/blobs/"
_MODELS = "/v1/models/"


def route(path: str) -> dict[str, Handler]:
    """Give the handlers of a path by method; empty for an unknown path."""
    if path.startswith(_BLOBS) and "/" not in path[len(_BLOBS) :]:
        digest = path[len(_BLOBS) :]
        return {
            "HEAD": lambda api, reply: api.blob_head(reply, digest),
            "POST": lambda api, reply: api.blob_post(reply, digest),
        }
    if path.startswith(_MODELS) and "/" not in path[len(_MODELS) :]:
        return {"GET": lambda api, reply: openai.model(api, reply, path[len(_MODELS) :])}
    return ROUTES.get(path, {})


def host_allowed(host: str) -> bool:
    """Check a Host header, which Ollama does only when bound to a loopback address (`allowedHost`)."""
    name = host.lower()
    bare = name.rpartition("]")[0].lstrip("[") if name.startswith("[") else name.partition(":")[0]
    if name.count(":") > 1 and not name.startswith("["):
        bare = name
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return bare in ("", "localhost", socket.gethostname().lower()) or bare.endswith((".localhost", ".local", ".internal"))
    private = address.is_loopback or address.is_unspecified or _go_private(address)
    return private or _own_address(address)


def _go_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell what Go's IsPrivate does: RFC 1918 and fc00::/7 only, not the 100.64/10 that Tailscale uses."""
    nets = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16") if address.version == 4 else ("fc00::/7",)
    return any(address in ipaddress.ip_network(net) for net in nets)


def _own_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


class ListenError(Exception):
    """The port could not be had; the text is Go's."""


# Go's words on macOS where they differ from Linux's.
_DARWIN = {errno.EADDRNOTAVAIL: "can't assign requested address"}


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """Bind as net.Listen does: an unspecified address means both families; gives the address for the log."""
    shown = ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)
    if host in ("", "0.0.0.0", "::"):
        choices: list[tuple[int, str]] = [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]
        if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
            choices = choices[1:]
    else:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ListenError(f"listen tcp: lookup {host}: no such host") from error
        first = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        choices = [(int(first[0]), str(first[4][0]))]
    family, bound = choices[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if bound == "::" else 1)
        listener.bind((bound, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        code = error.errno or 0
        text = _DARWIN.get(code, os.strerror(code).lower())
        raise ListenError(f"listen tcp {shown}: bind: {text}") from error
    where, actual = listener.getsockname()[:2]
    return listener, ("[%s]:%d" if ":" in where else "%s:%d") % (where, actual)


def make_key(home: str) -> None:
    """Make the server's identity at its first start, and say so on stdout."""
    if not home:
        raise ListenError("$HOME is not defined")
    key = Path(home) / ".ollama/id_ed25519"
    if key.exists():
        return
    print(f"Couldn't find '{key}'. Generating new private key.")
    try:
        key.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        text = os.strerror(error.errno or 0).lower()
        raise ListenError(f"could not create directory mkdir {key.parent}: {text}") from error
    subprocess.run(
        ["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    public = key.with_suffix(".pub")
    public.write_text(public.read_text(encoding="ascii").strip() + "\n", encoding="ascii")
    public.chmod(0o644)
    print("Your new public key is: \n\n{}".format(public.read_text(encoding="ascii")), flush=True)


class Server:
    """Accepts connections and answers each in its own thread."""

    def __init__(self, api: Api, listener: socket.socket) -> None:
        self.api = api
        self.listener = listener
        address = str(listener.getsockname()[0])
        self.check_host = ipaddress.ip_address(address).is_loopback
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def run(self, stop: socket.socket) -> None:
        """Serve until something arrives on the stop socket; then drop everything at once, as Ollama does."""
        while True:
            readable, _, _ = select.select([self.listener, stop], [], [])
            if stop in readable:
                break
            try:
                connection, client = self.listener.accept()
            except OSError:
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            who = str(client[0]).replace("::ffff:", "")
            threading.Thread(target=self._serve, args=(connection, who), daemon=True).start()
        self.listener.close()
        with self._lock:
            for connection in self._connections:
                _shut(connection)
        self.api.puller.stop()
        self.api.scheduler.stop()

    def _serve(self, connection: socket.socket, client: str) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while True:
                    request = wire.read_request(stream)
                    if request is None:
                        return
                    while machine.fault("ollama-hang"):
                        time.sleep(0.05)
                    if "100-continue" in request.headers.get("expect", "").lower():
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    reply = Reply(connection, request)
                    self._answer(request, reply, client)
                    if reply.close:
                        return
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _answer(self, request: Request, reply: Reply, client: str) -> None:
        begun = time.monotonic_ns()
        try:
            self._dispatch(request, reply)
        except Gone:
            reply.close = True
        except Refusal as refusal:
            if request.path.startswith("/v1/"):
                openai.send_error(reply, refusal.status, str(refusal))
            else:
                reply.json(refusal.status, {"error": str(refusal)}, refusal.content_type)
        except Exception:  # gin's recovery: the trace goes to the log, the client gets an empty 500
            logs.write(traceback.format_exc())
            reply.close = True
            if not reply.status:
                reply.empty(500)
        logs.access(reply.status or 499, time.monotonic_ns() - begun, client, request.method, request.path)

    def _dispatch(self, request: Request, reply: Reply) -> None:
        origin = request.headers.get("origin", "")
        host = request.headers.get("host", "")
        if origin and origin not in ("http://" + host, "https://" + host):
            if not envconfig.origin_allowed(origin, self.api.settings.origins):
                reply.empty(403)
                return
            reply.extra = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
            if request.method == "OPTIONS":
                methods = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
                reply.extra["Access-Control-Allow-Methods"] = methods
                reply.empty(204)
                return
        if self.check_host and not host_allowed(host):
            reply.empty(403)
            return
        handlers = route(request.path)
        if not handlers:
            reply.body(404, "text/plain", b"404 page not found")
        elif request.method not in handlers:
            allow = {"Allow": ", ".join(handlers)}
            reply.body(405, "text/plain", b"405 method not allowed", allow)
        else:
            handlers[request.method](self.api, reply)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _log_start(settings: Settings) -> None:
    for source, message, fields in settings.warnings:
        logs.warn(source, message, **fields)
    logs.info("routes.go:1951", "server config", env=settings.log_line())
    logs.info("routes.go:1953", f"Ollama cloud disabled: {str(settings.no_cloud).lower()}")


def _log_gpu(api: Api) -> None:
    gpu = api.scheduler.gpu
    total = golang.human_bytes2(gpu.total)
    logs.info("runner.go:60", "discovering available GPUs...")
    logs.info(
        "types.go:42",
        "inference compute",
        id=0,
        library="Metal",
        compute="0.0",
        name="Metal",
        description=gpu.name,
        libdirs="ollama",
        driver="0.0",
        pci_id="",
        type="discrete",
        total=total,
        available=total,
    )
    message = "vram-based default context"
    context = api.scheduler.default_context
    logs.info("routes.go:2058", message, total_vram=total, default_num_ctx=context)


def serve(settings: Settings, version: str, program: Path) -> int:
    """Run the server; gives the exit status."""
    set_name("ollama")
    logs.DEBUG = settings.debug != "INFO"
    if machine.fault("ollama-exits"):
        print("Error: fault ollama-exits is set", file=sys.stderr)
        return 1
    wake, stop = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        make_key(settings.home)
        listener, shown = listen(settings.host.host, settings.host.port)
        _log_start(settings)
        release = Release(version)
        api = Api(settings, release, program)
        api.store.create()
        api.store.rename_old_blobs()
        if not settings.no_prune:
            api.store.prune(release.prune_grace)
    except (ListenError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    envconfig.check_origins(settings.origins)
    logs.info("routes.go:2008", f"Listening on {shown} (version {release.version})")
    api.scheduler.start()
    delay = float(machine.fault("ollama-start-delay", 0))
    if delay and select.select([stop], [], [], delay)[0]:
        return 0
    _log_gpu(api)
    Server(api, listener).run(stop)
    sys.stderr.flush()
    return 0
