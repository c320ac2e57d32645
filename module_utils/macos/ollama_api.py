"""Talk to `ollama serve` (HTTP API as of 0.30 to 0.33) and read its store on disk."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fleet.models import Installed, Loaded, is_pinned
    from fleet.names import ModelName, parse_name
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet.models import Installed, Loaded, is_pinned
    from ansible.module_utils.fleet.names import ModelName, parse_name
    from ansible.module_utils.fleet.vocabulary import Unknown


MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


class ApiError(Exception):
    """What the server or the way to it said. `status` is None when no HTTP answer came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Api:
    """A server at `url`, such as http://127.0.0.1:11434. Proxies of the environment are not used: it is this machine."""

    url: str

    def call(self, method: str, path: str, body: Any = None, timeout: float = 10) -> Any:
        """Return the decoded answer, None for an empty one; ApiError for anything but 200."""
        with self._open(method, path, body, timeout) as answer:
            try:
                text = answer.read()
            except (OSError, http.client.HTTPException) as problem:
                message = f"{path}: the connection to the server broke off: {_reason(problem)}"
                raise ApiError(message) from problem
        try:
            return json.loads(text) if text.strip() else None
        except ValueError as problem:
            message = f"{path} answered something that is not JSON: {text[:80]!r}"
            raise ApiError(message) from problem

    def stream(self, path: str, body: Any, idle_timeout: float) -> Iterator[dict[str, Any]]:
        """Yield the lines of a streamed answer; ApiError when one of them is an error, whatever the HTTP status was."""
        with self._open("POST", path, body, idle_timeout) as answer:
            try:
                for line in answer:
                    if not line.strip():
                        continue
                    data = json.loads(line)
                    if not isinstance(data, dict):
                        message = f"not an object: {line[:80]!r}"
                        raise ValueError(message)
                    if "error" in data:
                        raise ApiError(str(data["error"]), answer.status)
                    yield data
            except (OSError, ValueError, http.client.HTTPException) as problem:
                message = f"the connection to the server broke off: {problem}"
                raise ApiError(message) from problem

    def _open(self, method: str, path: str, body: Any, timeout: float) -> Any:
        request = urllib.request.Request(  # noqa: S310  http only, the address comes from the inventory
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            return opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as problem:
            with problem:
                text = problem.read().decode(errors="replace")
            try:
                said = json.loads(text)["error"]
            except (ValueError, KeyError, TypeError):
                said = text.strip() or f"HTTP {problem.code}"
            raise ApiError(str(said), problem.code) from problem
        except (OSError, ValueError, http.client.HTTPException) as problem:
            raise ApiError(_reason(problem)) from problem

    def version(self, timeout: float = 3) -> str:
        """Return the version of the running server."""
        with _ollamas_answer("/api/version"):
            return str(self.call("GET", "/api/version", timeout=timeout)["version"])

    def installed(self, timeout: float = 10) -> tuple[Installed, ...]:
        """Return `/api/tags`."""
        with _ollamas_answer("/api/tags"):
            models = self.call("GET", "/api/tags", timeout=timeout)["models"] or []
            return tuple(
                Installed(model["name"], model["digest"], int(model["size"]), str(model.get("modified_at") or ""))
                for model in models
            )

    def loaded(self, timeout: float = 10) -> tuple[Loaded, ...]:
        """Return `/api/ps`."""
        now = datetime.now(timezone.utc)
        with _ollamas_answer("/api/ps"):
            models = self.call("GET", "/api/ps", timeout=timeout)["models"] or []
            return tuple(
                Loaded(
                    name=model["name"],
                    digest=model["digest"],
                    size=int(model.get("size", 0)),
                    size_vram=int(model.get("size_vram", 0)),
                    context_length=int(model.get("context_length", 0)),
                    pinned=is_pinned(model.get("expires_at", ""), now),
                    expires_at=str(model.get("expires_at", "")),
                )
                for model in models
            )


def complete(api: Api, model: str, keep_alive: str | None, timeout: float) -> str:
    """Let a model say a few tokens; return what is wrong with the answer, "" when it is sound. ApiError when none came."""
    body: dict[str, Any] = {"model": model, "prompt": "Say ready.", "stream": False, "options": {"num_predict": 8}}
    if keep_alive:
        # As a number: a text without a unit is refused (Ollama 0.32.15, observed).
        body["keep_alive"] = int(keep_alive)
    answer = api.call("POST", "/api/generate", body, timeout=timeout)
    sound = answer.get("done") and (answer.get("eval_count") or answer.get("response"))
    return "" if sound else f"{model} completed nothing"


@contextlib.contextmanager
def _ollamas_answer(path: str) -> Iterator[None]:
    """Turn an answer of another shape, such as a stranger's, into an ApiError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        message = f"{path} answered something that is not Ollama's ({type(problem).__name__}: {problem})"
        raise ApiError(message) from problem


def _reason(problem: BaseException) -> str:
    inner = getattr(problem, "reason", problem)
    return str(inner) or type(inner).__name__


def is_refused(problem: ApiError) -> bool:
    """Tell a server that is surely not there from one that does not answer."""
    return problem.status is None and "refused" in str(problem)


def read_store(folder: Path) -> tuple[Installed, ...]:
    """Read the manifests below `folder` as the server would list them, for a Mac whose server is not up.

    A file that is not JSON is left out, as `/api/tags` does.
    """
    return tuple(
        Installed(name, hashlib.sha256(text).hexdigest(), sum(size for _, size in layers))
        for name, text, layers in _manifests(folder)
    )


def read_layers(folder: Path) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return digest and bytes of every layer of each model in the store, the config included."""
    return [(name, layers) for name, _, layers in _manifests(folder)]


def _manifests(folder: Path) -> Iterator[tuple[str, bytes, list[tuple[str, int]]]]:
    root = folder / "manifests"
    for path in sorted(root.glob("*/*/*/*")):
        if not path.is_file():
            continue
        text = path.read_bytes()
        try:
            manifest = json.loads(text)
            layers = [(str(layer["digest"]), int(layer["size"])) for layer in [manifest["config"], *manifest["layers"]]]
        except (ValueError, KeyError, TypeError):
            continue
        yield str(ModelName(*path.relative_to(root).parts)), text, layers


def registry_digest(name: str, timeout: float = 5) -> str | Unknown:
    """Ask the registry for the digest of a name: sha256 of the manifest, one request of under 1 kB, nothing is downloaded."""
    model = parse_name(name)
    url = f"https://{model.host}/v2/{model.namespace}/{model.model}/manifests/{model.tag}"
    request = urllib.request.Request(url, headers={"Accept": MANIFEST_TYPE})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return hashlib.sha256(answer.read()).hexdigest()
    except urllib.error.HTTPError as problem:
        with problem:
            return Unknown(f"{model.host} answered {problem.code} for {name}")
    except (OSError, ValueError, http.client.HTTPException) as problem:
        return Unknown(f"{model.host}: {_reason(problem)}")
