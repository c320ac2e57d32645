"""Model names as Ollama reads them (types/model/name.go at v0.33.0-rc2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True)
class ModelName:
    """A name in its four parts, defaults filled in."""

    host: str
    namespace: str
    model: str
    tag: str

    def __str__(self) -> str:
        """Return the shortest form, as `ollama list` and `/api/tags` print it: the tag is never dropped."""
        if self.host != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"
        if self.namespace != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def manifest(self) -> str:
        """Return the path below `manifests/` in the store."""
        return f"{self.host}/{self.namespace}/{self.model}/{self.tag}"

    @property
    def is_cloud(self) -> bool:
        """Tell a stub that runs on somebody else's computer: tags `cloud` and `...-cloud`."""
        return self.tag == "cloud" or self.tag.endswith("-cloud")


def parse_name(text: object) -> ModelName:
    """Read `[host/][namespace/]model[:tag]`.

    Raises ValueError with one sentence for everything that Ollama answers with `invalid model name`.
    """
    if not isinstance(text, str):
        message = f"a model name is text such as qwen3:8b, not {text!r}"
        raise ValueError(message)
    rest = re.sub(r"^https?://", "", text)
    parts = rest.split("/")
    if len(parts) > 3:
        message = f"{text!r} is not a model name: it has more than host/namespace/model"
        raise ValueError(message)
    last, _, tag = parts[-1].partition(":")
    has_tag = ":" in parts[-1]
    host = parts[0] if len(parts) == 3 else DEFAULT_HOST
    namespace = parts[-2] if len(parts) >= 2 else DEFAULT_NAMESPACE
    name = ModelName(host, namespace, last, tag if has_tag else DEFAULT_TAG)
    for what, part, pattern in (
        ("host", name.host, _HOST),
        ("namespace", name.namespace, _NAMESPACE),
        ("model", name.model, _PART),
        ("tag", name.tag, _PART),
    ):
        if not pattern.fullmatch(part):
            message = f"{text!r} is not a model name: its {what} {part!r} is empty or has a character that Ollama refuses"
            raise ValueError(message)
    return name


def normalise(text: object) -> str:
    """Return the shortest full form: `qwen3` becomes `qwen3:latest`."""
    return str(parse_name(text))


def same_name(one: str, other: str) -> bool:
    """Compare as Ollama does with what is installed: after normalising, without regard to case."""
    return normalise(one).lower() == normalise(other).lower()
