"""What each variable in the environment of `ollama serve` accepts (envconfig/config.go, v0.30 to v0.33.0-rc2).

Ollama itself forgives: a boolean it cannot parse counts as true, a duration it cannot parse becomes five minutes, an unknown
name is ignored, and a cache type it does not know lets the server start and every model load fail. So the check is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

KV_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
QUANTISED_KV_CACHE_TYPES = tuple(kind for kind in KV_CACHE_TYPES if kind not in ("f32", "f16", "bf16"))

_DURATION = re.compile(r"-?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_ORIGIN = re.compile(r"[^\s*]*\*[^\s*]*|(?:https?|(?:chrome|safari|moz|ms-browser)-extension)://[^\s*]+")


@dataclass(frozen=True)
class Kind:
    """A type of value: a test for the text, and the words for what is allowed."""

    accepts: Callable[[str], bool]
    allowed: str


def _is_host(text: str) -> bool:
    if text == "":
        return True
    try:
        parse_host(text)
    except ValueError:
        return False
    return True


BOOLEAN = Kind(lambda text: text in ("0", "1"), "0 or 1 (Ollama takes every other word, also 'no', for true)")
COUNT = Kind(lambda text: text.isascii() and text.isdigit() and len(text) < 19, "a whole number, 0 or more")
DURATION = Kind(
    lambda text: bool(_DURATION.fullmatch(text) or re.fullmatch(r"-?[0-9]{1,18}", text)),
    "seconds, or a duration such as 10m or 24h, or -1 for ever ('1d' silently means five minutes)",
)
PATH = Kind(lambda text: text.startswith("/") and "\0" not in text and "\n" not in text, "an absolute path")
TEXT = Kind(lambda text: "\n" not in text and "\0" not in text, "one line of text")
HOST = Kind(_is_host, "an address with or without port, such as 0.0.0.0 or 127.0.0.1:11434")
CACHE_TYPE = Kind(lambda text: text.lower() in KV_CACHE_TYPES, "one of " + ", ".join(KV_CACHE_TYPES))
ORIGINS = Kind(
    lambda text: all(_ORIGIN.fullmatch(item.strip()) for item in text.split(",")),
    "a comma list of origins, each with a scheme or a * (others crash the server at start)",
)

VARIABLES: Mapping[str, Kind] = {
    "OLLAMA_HOST": HOST,
    "OLLAMA_ORIGINS": ORIGINS,
    "OLLAMA_MODELS": PATH,
    "OLLAMA_KEEP_ALIVE": DURATION,
    "OLLAMA_LOAD_TIMEOUT": DURATION,
    "OLLAMA_CONTEXT_LENGTH": COUNT,
    "OLLAMA_NUM_PARALLEL": COUNT,
    "OLLAMA_MAX_LOADED_MODELS": COUNT,
    "OLLAMA_MAX_QUEUE": COUNT,
    "OLLAMA_FLASH_ATTENTION": BOOLEAN,
    "OLLAMA_KV_CACHE_TYPE": CACHE_TYPE,
    "OLLAMA_GPU_OVERHEAD": COUNT,
    "OLLAMA_DEBUG": Kind(lambda text: text in ("0", "1", "2"), "0, 1 or 2"),
    "OLLAMA_DEBUG_LOG_REQUESTS": BOOLEAN,
    "OLLAMA_NOPRUNE": BOOLEAN,
    "OLLAMA_NO_CLOUD": BOOLEAN,
    "OLLAMA_REMOTES": TEXT,
    "OLLAMA_MAX_TRANSFER_STREAMS": COUNT,
    "OLLAMA_SCHED_SPREAD": BOOLEAN,
    "OLLAMA_LLM_LIBRARY": TEXT,
    "OLLAMA_GO_TEMPLATE": BOOLEAN,
    "OLLAMA_NOHISTORY": BOOLEAN,
    "OLLAMA_EDITOR": TEXT,
    "OLLAMA_AUTH": BOOLEAN,
}
"""Every `OLLAMA_*` name that a server on macOS reads, or that its own CLI does."""

INHERITED = {
    "HOME": PATH,
    "PATH": TEXT,
    "TMPDIR": PATH,
    "HTTP_PROXY": TEXT,
    "HTTPS_PROXY": TEXT,
    "NO_PROXY": TEXT,
    "SSL_CERT_FILE": PATH,
    "LLAMA_ARG_FIT": Kind(lambda text: text in ("on", "off"), "on or off"),
    "LLAMA_ARG_FIT_TARGET": COUNT,
    "LLAMA_ARG_CACHE_RAM": Kind(lambda text: bool(re.fullmatch(r"-1|[0-9]{1,9}", text)), "MiB, 0 for none, -1 for no limit"),
}
"""Other names with a known type. `LLAMA_ARG_*` reaches llama-server because the child inherits the environment."""


@dataclass(frozen=True)
class Problem:
    """A variable that would not do what its author meant: its name, what was found, what is allowed."""

    name: str
    found: Any
    allowed: str


def check(environment: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return every entry that Ollama would misread, in the order of the names."""
    problems = []
    for name in sorted(environment, key=str):
        value = environment[name]
        kind = VARIABLES.get(name) or INHERITED.get(name)
        if kind is None:
            if str(name).startswith("OLLAMA_"):
                near = get_close_matches(str(name), VARIABLES, n=1)
                hint = f"; did you mean {near[0]}" if near else ""
                problems.append(Problem(str(name), value, f"a name that Ollama reads; it would ignore this one{hint}"))
            elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
                problems.append(Problem(str(name), value, "a name of letters, digits and underscores"))
            elif not isinstance(value, str) or not TEXT.accepts(value):
                problems.append(Problem(str(name), value, "text in quotes: launchd drops every value that is not a string"))
        elif not isinstance(value, str):
            # YAML turns a bare no, 1 or 0.0.0.0 into other types, and launchd silently drops what is not a string
            # (launchd.plist(5)).
            problems.append(Problem(str(name), value, f"text in quotes: {kind.allowed}"))
        elif not kind.accepts(value):
            problems.append(Problem(str(name), value, kind.allowed))
    quantised = str(environment.get("OLLAMA_KV_CACHE_TYPE", "")).lower() in QUANTISED_KV_CACHE_TYPES
    if quantised and environment.get("OLLAMA_FLASH_ATTENTION") == "0":
        problems.append(
            Problem(
                "OLLAMA_FLASH_ATTENTION",
                "0",
                "1 or left out: a quantised KV cache needs flash attention, every load fails",
            )
        )
    return tuple(problems)


@dataclass(frozen=True)
class Bind:
    """Where the server listens: an address (`*` for every interface) and a port."""

    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Tell an address that only the Mac itself can reach."""
        return self.address == "localhost" or self.address.startswith("127.") or self.address == "::1"


def parse_host(text: str) -> Bind:
    """Read OLLAMA_HOST as `ollama serve` does; ValueError where it would fall back to a default in silence.

    `0.0.0.0` and an address left out mean every interface, IPv4 and IPv6. A scheme moves the port to 80 or 443.
    """
    rest = text.strip().strip("\"'").strip()
    scheme, separator, tail = rest.partition("://")
    port = 11434
    if separator:
        if scheme not in ("http", "https"):
            message = f"{text!r} has the scheme {scheme!r}, only http and https are known"
            raise ValueError(message)
        rest, port = tail, 80 if scheme == "http" else 443
    rest = rest.partition("/")[0]
    if not rest:
        return Bind("127.0.0.1", port)
    if rest.startswith("["):
        address, _, after = rest[1:].partition("]")
        if after and not after.startswith(":"):
            message = f"{text!r} is not an address"
            raise ValueError(message)
        port_text = after[1:]
    elif rest.count(":") > 1:
        address, port_text = rest, ""
    else:
        address, _, port_text = rest.partition(":")
    if port_text:
        if not (port_text.isascii() and port_text.isdigit()) or not 0 < int(port_text) < 65536:
            message = f"{text!r} has no valid port: Ollama would use 11434 in silence"
            raise ValueError(message)
        port = int(port_text)
    if address and ":" not in address and not _HOST_NAME.fullmatch(address):
        message = f"{text!r} is not an address"
        raise ValueError(message)
    return Bind("*" if address in ("", "0.0.0.0", "::") else address, port)  # noqa: S104  read, not bound
