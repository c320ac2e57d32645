"""The server's settings, read from its process environment and nowhere else (envconfig/config.go)."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ollama import golang

_ORIGIN_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")
_ORIGIN_SCHEMES = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
_CORS_SCHEMES = (
    "http://",
    "https://",
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)


class Panic(Exception):
    """Go's panic: the program ends with status 2 and a trace."""


class Complaint(NamedTuple):
    """A warning about a value that was not understood."""

    source: str
    message: str
    fields: dict[str, Any]


class Address(NamedTuple):
    """OLLAMA_HOST, taken apart."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def hostport(self) -> str:
        """Host and port as Go joins them: IPv6 in brackets."""
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % (self.host, self.port)

    @property
    def url(self) -> str:
        """The whole as a URL."""
        return "{}://{}{}".format(self.scheme, self.hostport, "/" + self.path if self.path else "")


def variable(environ: Mapping[str, str], name: str) -> str:
    """Give a variable without surrounding blanks and quotes, as envconfig.Var does."""
    return environ.get(name, "").strip().strip("\"'")


def _split_hostport(text: str) -> Optional[tuple[str, str]]:
    """Split as net.SplitHostPort does; None where that is an error."""
    if text.startswith("["):
        found = re.match(r"\[([^\[\]]*)\]:([^:\[\]]*)\Z", text)
    else:
        found = re.match(r"([^:\[\]]*):([^:\[\]]*)\Z", text)
    return (found.group(1), found.group(2)) if found else None


def _number(text: str) -> Optional[int]:
    return int(text) if re.match(r"[+-]?\d+\Z", text) else None


def parse_host(text: str) -> tuple[Address, list[Complaint]]:
    """Read OLLAMA_HOST; `http://x` means port 80, a port beyond 65535 falls back with a warning."""
    default = 11434
    scheme, found, hostport = text.strip().partition("://")
    if not found:
        scheme, hostport = "http", scheme
        if hostport == "ollama.com":
            scheme, hostport = "https", "ollama.com:443"
    elif scheme == "http":
        default = 80
    elif scheme == "https":
        default = 443
    hostport, _, path = hostport.partition("/")
    parts = _split_hostport(hostport)
    if parts:
        host, port_text = parts
    else:
        host, port_text = hostport or "127.0.0.1", str(default)
        with contextlib.suppress(ValueError):
            host = str(ipaddress.ip_address(hostport.strip("[]")))
    port = _number(port_text)
    if port is None or not 0 <= port <= 65535:
        fields = {"port": port_text, "default": str(default)}
        return Address(scheme, host, default, path), [Complaint("config.go:51", "invalid port, using default", fields)]
    return Address(scheme, host, port, path), []


def connectable(address: Address) -> Address:
    """Replace an unspecified address by the loopback one, for a client."""
    if address.host in ("0.0.0.0", ""):
        return address._replace(host="127.0.0.1")
    return address._replace(host="::1") if address.host == "::" else address


def parse_bool(text: str) -> Optional[bool]:
    """Read as strconv.ParseBool does; None for anything it does not know."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    return False if text in ("0", "f", "F", "FALSE", "false", "False") else None


def parse_keep_alive(text: str) -> int:
    """Read OLLAMA_KEEP_ALIVE: a duration, or seconds; what it does not understand is silently 5 minutes."""
    value = 5 * golang.MINUTE
    if text:
        try:
            value = golang.parse_duration(text)
        except ValueError:
            number = _number(text)
            if number is not None:
                value = number * golang.SECOND
    return golang.MAX_DURATION if value < 0 else value


def _origins(text: str) -> list[str]:
    origins = text.split(",") if text else []
    for host in _ORIGIN_HOSTS:
        origins += ["http://" + host, "https://" + host, f"http://{host}:*", f"https://{host}:*"]
    return origins + list(_ORIGIN_SCHEMES)


def check_origins(origins: list[str]) -> None:
    """Panic on an entry without a scheme and without `*`, as gin's cors package does (ollama #1686)."""
    for origin in origins:
        if origin.count("*") > 1:
            raise Panic("only one * is allowed")
        if "*" not in origin and not origin.startswith(_CORS_SCHEMES):
            raise Panic("bad origin: origins must contain '*' or include " + ",".join(_CORS_SCHEMES))


def origin_allowed(origin: str, origins: list[str]) -> bool:
    """Match an Origin header against the list; one `*` stands for anything."""
    for allowed in origins:
        before, star, after = allowed.partition("*")
        if origin == allowed:
            return True
        long_enough = len(origin) >= len(before) + len(after)
        if star and long_enough and origin.startswith(before) and origin.endswith(after):
            return True
    return False


class Settings:
    """All settings as parsed, with the warnings that parsing gave, in the order Ollama gives them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)
        self.warnings: list[Complaint] = []
        self.host, warnings = parse_host(self.text("OLLAMA_HOST"))
        self.warnings += warnings
        self.keep_alive = parse_keep_alive(self.text("OLLAMA_KEEP_ALIVE"))
        timeout = self.text("OLLAMA_LOAD_TIMEOUT")
        self.load_timeout = parse_keep_alive(timeout) or golang.MAX_DURATION
        self.gpu_overhead = self.number("OLLAMA_GPU_OVERHEAD", 0)
        self.max_loaded_models = self.number("OLLAMA_MAX_LOADED_MODELS", 0)
        self.max_transfer_streams = self.number("OLLAMA_MAX_TRANSFER_STREAMS", 4)
        self.max_queue = self.number("OLLAMA_MAX_QUEUE", 512)
        self.num_parallel = self.number("OLLAMA_NUM_PARALLEL", 1)
        self.context_length = self.number("OLLAMA_CONTEXT_LENGTH", 0)
        self.flash_attention = self.tristate("OLLAMA_FLASH_ATTENTION")
        self.kv_cache_type = self.text("OLLAMA_KV_CACHE_TYPE")
        self.no_prune = bool(self.tristate("OLLAMA_NOPRUNE"))
        self.no_cloud = bool(self.tristate("OLLAMA_NO_CLOUD"))
        self.debug = self._debug(self.text("OLLAMA_DEBUG"))
        self.origins = _origins(self.text("OLLAMA_ORIGINS"))
        self.home = environ.get("HOME", "")
        self.models = self.text("OLLAMA_MODELS")
        if not self.models:
            if not self.home:
                raise Panic("$HOME is not defined")
            self.models = self.home + "/.ollama/models"

    def text(self, name: str) -> str:
        """Give a variable as text."""
        return variable(self.environ, name)

    def number(self, name: str, default: int) -> int:
        """Give a variable as an unsigned number; else the default and a warning."""
        text = self.text(name)
        if not text:
            return default
        if re.match(r"\d+\Z", text) and int(text) < 1 << 64:
            return int(text)
        fields = {"key": name, "value": text, "default": default}
        self.warnings.append(Complaint("config.go:263", "invalid environment variable, using default", fields))
        return default

    def tristate(self, name: str) -> Optional[bool]:
        """Give a boolean, None when unset; whatever Go cannot parse (yes, but also no) counts as true."""
        text = self.text(name)
        if not text:
            return None
        parsed = parse_bool(text)
        return True if parsed is None else parsed

    @staticmethod
    def _debug(text: str) -> str:
        if parse_bool(text):
            return "DEBUG"
        number = _number(text) or 0
        if number == 0:
            return "INFO"
        return "DEBUG" if number == 1 else f"DEBUG{4 - 4 * number}"

    def log_line(self) -> str:
        """Write every setting as the `server config` line shows it on a Mac."""

        def flag(name: str, default: bool = False) -> str:
            value = self.tristate(name)
            return str(default if value is None else value).lower()

        shown = {name: self.text(name) for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")}
        shown.update({name: self.text(name) for name in ("http_proxy", "https_proxy", "no_proxy")})
        shown.update({name: self.text(name) for name in ("LLAMA_ARG_FIT", "LLAMA_ARG_FIT_TARGET", "OLLAMA_EDITOR")})
        shown.update({name: self.text(name) for name in ("OLLAMA_IGPU_ENABLE", "OLLAMA_LLM_LIBRARY")})
        shown.update(
            {
                "OLLAMA_CONTEXT_LENGTH": str(self.context_length),
                "OLLAMA_DEBUG": self.debug,
                "OLLAMA_DEBUG_LOG_REQUESTS": flag("OLLAMA_DEBUG_LOG_REQUESTS"),
                "OLLAMA_FLASH_ATTENTION": flag("OLLAMA_FLASH_ATTENTION"),
                "OLLAMA_GO_TEMPLATE": flag("OLLAMA_GO_TEMPLATE", default=True),
                "OLLAMA_GPU_OVERHEAD": str(self.gpu_overhead),
                "OLLAMA_HOST": self.host.url,
                "OLLAMA_KEEP_ALIVE": golang.format_duration(self.keep_alive),
                "OLLAMA_KV_CACHE_TYPE": self.kv_cache_type,
                "OLLAMA_LOAD_TIMEOUT": golang.format_duration(self.load_timeout),
                "OLLAMA_MAX_LOADED_MODELS": str(self.max_loaded_models),
                "OLLAMA_MAX_QUEUE": str(self.max_queue),
                "OLLAMA_MAX_TRANSFER_STREAMS": str(self.max_transfer_streams),
                "OLLAMA_MODELS": self.models,
                "OLLAMA_NOHISTORY": flag("OLLAMA_NOHISTORY"),
                "OLLAMA_NOPRUNE": flag("OLLAMA_NOPRUNE"),
                "OLLAMA_NO_CLOUD": flag("OLLAMA_NO_CLOUD"),
                "OLLAMA_NUM_PARALLEL": str(self.num_parallel),
                "OLLAMA_ORIGINS": "[{}]".format(" ".join(self.origins)),
                "OLLAMA_REMOTES": "[{}]".format(" ".join((self.text("OLLAMA_REMOTES") or "ollama.com").split(","))),
                "OLLAMA_SCHED_SPREAD": flag("OLLAMA_SCHED_SPREAD"),
            }
        )
        return "map[{}]".format(" ".join(f"{name}:{shown[name]}" for name in sorted(shown)))
