"""The registry protocol as Ollama speaks it, as far as sizes, digests and the beginning of a file need it.

Seen in ollama/ollama server/images.go and server/download.go at v0.33.0-rc2: a manifest by name, a blob by digest; the blob's
own address answers with a redirect or with 200 and a Location, and ranges are asked of where that leads.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from .web import REDIRECTS, Answer, Refusal, Web, next_address

if TYPE_CHECKING:
    from fleet.names import ModelName
else:
    from ansible.module_utils.fleet.names import ModelName

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_BYTES = 1 << 20
USER_AGENT = "ollama-fleet (metadata only)"
TRIES = 4
"""How often in a row a range may break off with next to nothing; each time only what is missing is asked for."""

PROGRESS_BYTES = 1 << 16

_IMAGE = "application/vnd.ollama.image."
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_LARGEST = 10**15


@dataclass(frozen=True)
class Layer:
    """A blob of a model."""

    kind: str
    digest: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a name stands for today. `digest` is that of `/api/tags`: sha256 of the manifest as sent, without `sha256:`."""

    digest: str
    config: Layer
    layers: tuple[Layer, ...]

    @property
    def total_bytes(self) -> int:
        """Return what a pull of everything downloads, as `/api/tags` gives `size`."""
        return self.config.size + sum(layer.size for layer in self.layers)

    def first(self, kind: str) -> Optional[Layer]:
        """Return the first layer of a kind."""
        return next((layer for layer in self.layers if layer.kind == kind), None)

    def bytes_of(self, *kinds: str) -> int:
        """Return the size of all layers of these kinds."""
        return sum(layer.size for layer in self.layers if layer.kind in kinds)


def read_manifest(body: bytes) -> Manifest:
    """Read a manifest; ValueError with a clause that says what is wrong with it."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as problem:
        message = f"what it sent for the manifest is not JSON: {body[:60]!r}"
        raise ValueError(message) from problem
    if not isinstance(data, Mapping) or not isinstance(data.get("layers"), list):
        message = "what it sent for the manifest has no layers"
        raise ValueError(message)
    layers = tuple(_layer(entry) for entry in data["layers"])
    return Manifest(hashlib.sha256(body).hexdigest(), _layer(data.get("config")), layers)


def _layer(entry: Any) -> Layer:
    if not isinstance(entry, Mapping):
        message = "a layer of the manifest is no map"
        raise ValueError(message)
    digest, size, media = entry.get("digest"), entry.get("size"), str(entry.get("mediaType", ""))
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        message = f"a layer of the manifest has the digest {str(digest)[:80]!r}"
        raise ValueError(message)
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _LARGEST:
        message = f"a layer of the manifest has the size {str(size)[:40]!r}"
        raise ValueError(message)
    return Layer(media[len(_IMAGE) :] if media.startswith(_IMAGE) else media, digest, size)


@dataclass
class Blob:
    """The beginning of a file that is read on demand. `place` is where its ranges are, once that is known."""

    name: ModelName
    layer: Layer
    data: bytes = b""
    place: str = ""
    whole: bool = True
    """Whether ranges are served; False makes every further read start anew."""


class Registry:
    """All registries, each by the host in a model's name. `mirrors` gives another base address for a host."""

    def __init__(self, web: Web, mirrors: Optional[Mapping[str, str]] = None) -> None:
        self.web = web
        self._mirrors = dict(mirrors or {})
        self._tokens: dict[str, str] = {}

    def manifest(self, name: ModelName) -> tuple[Manifest, bytes]:
        """Return the manifest and its bytes; Refusal with status 404 when the registry has no such name."""
        url = f"{self._base(name)}/manifests/{urllib.parse.quote(name.tag)}"
        answer = self._asked(name, url, {"Accept": MANIFEST_TYPE}, MANIFEST_BYTES + 1)
        if answer.status == 404:
            message = f"{name.host} knows no {name}"
            raise Refusal(message, 404)
        if answer.status != 200:
            message = f"{name.host} answered {answer.status} for {name}{_said(answer)}"
            raise Refusal(message, answer.status)
        if answer.trouble:
            message = f"{name.host}, manifest of {name}: {answer.trouble}"
            raise Refusal(message)
        if len(answer.body) > MANIFEST_BYTES:
            message = f"{name.host}: the manifest of {name} has more than {MANIFEST_BYTES} bytes"
            raise Refusal(message)
        try:
            return read_manifest(answer.body), answer.body
        except ValueError as problem:
            message = f"{name.host}, {name}: {problem} ({answer.media_type})"
            raise Refusal(message, 200) from problem

    def small(self, name: ModelName, layer: Layer, max_bytes: int) -> bytes:
        """Return a whole small blob, checked against its digest."""
        if layer.size > max_bytes:
            message = f"{name.host}: a layer of {name} that should be small has {layer.size} bytes"
            raise Refusal(message)
        blob = Blob(name, layer)
        self.extend(blob, layer.size)
        if "sha256:" + hashlib.sha256(blob.data).hexdigest() != layer.digest:
            message = f"{name.host}: a layer of {name} is not what its digest says"
            raise Refusal(message)
        return blob.data

    def extend(self, blob: Blob, wanted: int) -> None:
        """Read on until the blob's first `wanted` bytes are there; Refusal keeps what came."""
        wanted = min(wanted, blob.layer.size)
        trouble, tries = "", 0
        while tries < TRIES:
            if len(blob.data) >= wanted:
                return
            if not blob.place:
                blob.place = self._place(blob)
            before, whole = len(blob.data), blob.whole
            trouble = self._range(blob, wanted)
            if len(blob.data) == before and blob.whole == whole:
                break
            tries = 0 if len(blob.data) - before >= PROGRESS_BYTES else tries + 1
        if len(blob.data) >= wanted:
            return
        host = urllib.parse.urlsplit(blob.place).netloc
        message = f"{host}, file of {blob.name}: {trouble or 'no more bytes came'}"
        raise Refusal(message)

    def _place(self, blob: Blob) -> str:
        """Ask the blob's own address where its bytes are; nothing of a body is read."""
        name = blob.name
        url = f"{self._base(name)}/blobs/{blob.layer.digest}"
        answer = self._asked(name, url, {}, 0, follow=False)
        if answer.status in REDIRECTS or (answer.status == 200 and answer.headers.get("location")):
            return next_address(answer, {})[0]
        if answer.status == 200:
            return url
        message = f"{name.host} answered {answer.status} for the file of {name}{_said(answer)}"
        raise Refusal(message, answer.status)

    def _range(self, blob: Blob, wanted: int) -> str:
        """Read one range into the blob; returns why it is not complete, if anybody said so."""
        start = len(blob.data) if blob.whole else 0
        headers = {"Range": f"bytes={start}-{wanted - 1}", "User-Agent": USER_AGENT}
        if blob.place.startswith(self._base(blob.name)):
            headers.update(self._authorization(blob.name))
        answer = self.web.follow(blob.place, headers, wanted - start)
        if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            return f"it sends ranges packed as {answer.headers['content-encoding'][:40]!r}, which was not asked for"
        if answer.status == 206:
            found = re.match(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*\Z", answer.headers.get("content-range", ""))
            if not found or int(found[1]) != start:
                return f"it was asked for bytes from {start} and sent {answer.headers.get('content-range', 'others')[:60]!r}"
            if found[3] not in ("*", str(blob.layer.size)):
                return f"the file has {found[3]} bytes there, the manifest says {blob.layer.size}"
            blob.data += answer.body
            return answer.trouble
        if answer.status == 200:
            if start:  # the server begins at the beginning, whatever it is asked; then so do we, once
                blob.whole = False
                return "it does not serve ranges"
            blob.whole = False
            if len(answer.body) >= len(blob.data):
                blob.data = answer.body
            return answer.trouble or ("" if blob.data else f"it sent nothing ({answer.media_type})")
        return f"it answered {answer.status} for a range{_said(answer)}"

    def _base(self, name: ModelName) -> str:
        base = self._mirrors.get(name.host, f"https://{name.host}").rstrip("/")
        return f"{base}/v2/{urllib.parse.quote(name.namespace)}/{urllib.parse.quote(name.model)}"

    def _authorization(self, name: ModelName) -> dict[str, str]:
        token = self._tokens.get(self._base(name))
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _asked(self, name: ModelName, url: str, headers: dict[str, str], max_bytes: int, *, follow: bool = True) -> Answer:
        """Ask once, and once more with a token where one is demanded."""
        get = self.web.follow if follow else self.web.get
        headers = {**headers, "User-Agent": USER_AGENT}
        answer = get(url, {**headers, **self._authorization(name)}, max_bytes)
        if answer.status != 401:
            return answer
        self._tokens[self._base(name)] = self._token(name, answer)
        again = get(url, {**headers, **self._authorization(name)}, max_bytes)
        if again.status == 401:
            message = f"{name.host} refuses {name} to somebody who is not signed in (401)"
            raise Refusal(message, 401)
        return again

    def _token(self, name: ModelName, answer: Answer) -> str:
        """Ask for a token as somebody without a key; public names need no more than that."""
        refusal = Refusal(f"{name.host} shows {name} only to who is signed in (401)", 401)
        challenge = answer.headers.get("www-authenticate", "")
        values = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not challenge.lower().startswith("bearer ") or not values.get("realm"):
            raise refusal
        realm = urllib.parse.urlsplit(values["realm"])
        own = urllib.parse.urlsplit(self._base(name))
        if (realm.scheme, realm.netloc) != (own.scheme, own.netloc):  # since 0.14.3 Ollama refuses this too (CVE-2025-51471)
            message = f"{name.host} sends whoever asks for {name} to {values['realm'][:80]!r} for a token, which is refused"
            raise Refusal(message, 401)
        query = {"service": values.get("service", ""), "ts": str(int(time.time())), "nonce": secrets.token_urlsafe(16)}
        pairs = [*query.items(), *(("scope", scope) for scope in values.get("scope", "").split())]
        url = urllib.parse.urlunsplit(realm._replace(query=urllib.parse.urlencode(pairs)))
        given = self.web.follow(url, {"User-Agent": USER_AGENT}, 1 << 16)
        try:
            token = json.loads(given.body)["token"] if given.status == 200 else ""
        except (ValueError, KeyError, TypeError, RecursionError):
            token = ""
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,8192}", token):
            raise refusal
        return token


def _said(answer: Answer) -> str:
    """Return what a server said beside its status, where that is one short line of text."""
    try:
        data = json.loads(answer.body)
        text = data["errors"][0]["message"] if "errors" in data else data["error"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        text = ""
    line = " ".join(str(text).split())[:120]
    return f": {line}" if line.isprintable() and line else ""
