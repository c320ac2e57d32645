"""Model names: `[scheme://][host/][namespace/]model[:tag]` (types/model/name.go)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
_MISSING = "!MISSING!"  # what Ollama puts where a separator promised a part; never valid

_PARTS = (
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z"),
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z"),
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z"),
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z"),
)


class Name(NamedTuple):
    """A model's full name; all parts are set, though not necessarily valid."""

    host: str
    namespace: str
    model: str
    tag: str
    scheme: str = "https"

    @property
    def valid(self) -> bool:
        """Tell whether every part is well formed."""
        return all(rule.match(part) for rule, part in zip(_PARTS, self[:4]))

    @property
    def short(self) -> str:
        """The name as the API shows it: default host and namespace hidden, the tag never."""
        shown = f"{self.model}:{self.tag}"
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{shown}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{shown}"
        return shown

    @property
    def path(self) -> str:
        """The manifest's place below `manifests/`."""
        return "/".join(self[:4])


def _cut(text: str, separator: str) -> tuple[str, str, bool]:
    before, found, after = text.rpartition(separator)
    if not found:
        return text, "", False
    return before or _MISSING, after or _MISSING, True


def parse(text: str) -> Name:
    """Read a name and fill in the defaults; ask `.valid` before using it."""
    tag = host = namespace = scheme = ""
    rest = text
    if rest.rfind(":") > rest.rfind("/"):
        rest, tag, _ = _cut(rest, ":")
    rest, model, promised = _cut(rest, "/")
    if not promised:
        model = rest
    else:
        rest, namespace, promised = _cut(rest, "/")
        if not promised:
            namespace = rest
        else:
            scheme, found, host = rest.partition("://")
            if not found:
                scheme, host = "", scheme
    return Name(host or DEFAULT_HOST, namespace or DEFAULT_NAMESPACE, model, tag or DEFAULT_TAG, scheme or "https")


def existing(name: Name, installed: Iterable[Name]) -> Name:
    """Replace each part by the installed spelling of it: Qwen3:8B finds qwen3:8b (`getExistingName`)."""
    parts = list(name[:4])
    for other in installed:
        for index, part in enumerate(other[:4]):
            if parts[index].lower() == part.lower():
                parts[index] = part
    return Name(parts[0], parts[1], parts[2], parts[3], name.scheme)
