"""The models on disk: `manifests/HOST/NAMESPACE/MODEL/TAG` and `blobs/sha256-HEX`, read anew on every call."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ollama import gguf, golang, logs, names
from ollama.names import Name

MEDIA = "application/vnd.ollama.image."
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}\Z")


class BadDigest(ValueError):
    """A digest of the wrong form."""

    def __init__(self) -> None:
        super().__init__("invalid digest format")


class Layer(NamedTuple):
    """One entry of a manifest."""

    media_type: str
    digest: str
    size: int

    @property
    def kind(self) -> str:
        """The last word of the media type: model, template, params..."""
        return self.media_type.rpartition(".")[2]


class Manifest(NamedTuple):
    """A manifest file as it lies on disk."""

    name: Name
    digest: str
    modified: int
    layers: tuple[Layer, ...]
    config: Layer

    @property
    def everything(self) -> tuple[Layer, ...]:
        """The layers in order, the config last, as pulls and sums take them."""
        return self.layers + ((self.config,) if self.config.digest else ())

    @property
    def size(self) -> int:
        """`size` in /api/tags: shared blobs count for each model."""
        return sum(layer.size for layer in self.everything)


class Model(NamedTuple):
    """A model ready to be shown or loaded."""

    manifest: Manifest
    config: dict[str, Any]
    model_path: Optional[Path]
    header: Optional[gguf.Header]
    template: str
    system: str
    licenses: tuple[str, ...]
    params: dict[str, Any]
    messages: list[Any]

    @property
    def short(self) -> str:
        """The name as the API shows it."""
        return self.manifest.name.short

    def details(self, *, extended: bool = False) -> dict[str, Any]:
        """Give `details`; /api/tags of 0.30 and later adds two lengths."""
        shown: dict[str, Any] = {
            "parent_model": self.config.get("parent_model", ""),
            "format": self.config.get("model_format", ""),
            "family": self.config.get("model_family", ""),
            "families": self.config.get("model_families"),
            "parameter_size": self.config.get("model_type", ""),
            "quantization_level": self.config.get("file_type", ""),
        }
        if extended and self.header:
            shown["context_length"] = self.header.number("context_length")
            shown["embedding_length"] = self.header.number("embedding_length")
        return shown

    def capabilities(self) -> list[str]:
        """Tell what the model can do, from its file and its template."""
        if not self.header:
            return []
        metadata, arch = self.header.metadata, self.header.architecture
        found = ["embedding" if arch + ".pooling_type" in metadata else "completion"]
        if arch + ".vision.block_count" in metadata:
            found.append("vision")
        if ".Tools" in self.template:
            found.append("tools")
        if ".Suffix" in self.template:
            found.append("insert")
        if arch in ("gptoss", "gpt-oss") or ("<think>" in self.template and "</think>" in self.template):
            found.append("thinking")
        return found


def parse_manifest(name: Name, data: bytes, modified: int) -> Manifest:
    """Read manifest bytes; a ValueError carries the words of Go's decoder."""
    content = golang.loads(data.decode("utf-8", "replace"))
    if not isinstance(content, dict):
        raise ValueError(f"json: cannot unmarshal {golang.kind(content)} into Go value of type manifest.Manifest")

    def layer(entry: Any) -> Layer:
        return Layer(str(entry.get("mediaType", "")), str(entry.get("digest", "")), int(entry.get("size", 0)))

    return Manifest(
        name,
        hashlib.sha256(data).hexdigest(),
        modified,
        tuple(layer(entry) for entry in content.get("layers") or ()),
        layer(content.get("config") or {}),
    )


class Store:
    """One models folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs"
        self.manifests = folder / "manifests"

    def create(self) -> None:
        """Make the folders; the error text is Ollama's."""
        try:
            for place in (self.blobs, self.manifests):
                place.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            where = error.filename or self.folder
            text = os.strerror(error.errno or 0).lower()
            raise OSError(f"mkdir {where}: {text}: ensure path elements are traversable") from error

    def blob(self, digest: str) -> Path:
        """Give a blob's place; both `sha256:` and `sha256-` are accepted."""
        if not _DIGEST.match(digest):
            raise BadDigest
        return self.blobs / digest.replace(":", "-")

    def manifest_path(self, name: Name) -> Path:
        """Give a manifest's place."""
        return self.manifests / name.path

    def walk(self) -> Iterator[tuple[Path, Optional[Name]]]:
        """Go through the files exactly four levels down; a name that is not valid comes as None."""
        for file in sorted(self.manifests.glob("*/*/*/*")):
            if not file.is_dir():
                name = Name(*file.relative_to(self.manifests).parts)
                yield file, name if name.valid else None

    def names(self) -> list[Name]:
        """Give the names of all manifest files, readable or not."""
        return [name for _, name in self.walk() if name]

    def resolve(self, name: Name) -> Name:
        """Give the installed spelling of a name."""
        return names.existing(name, self.names())

    def read_manifest(self, name: Name) -> Manifest:
        """Read one manifest: FileNotFoundError when there is none, ValueError when it is broken."""
        file = self.manifest_path(name)
        data = file.read_bytes()
        return parse_manifest(name, data, file.stat().st_mtime_ns)

    def all_manifests(self, *, skip_bad: bool) -> list[Manifest]:
        """Read every manifest; a broken or stray file is passed over, or an error."""
        found = []
        for file, name in self.walk():
            try:
                if name is None:
                    raise ValueError("invalid manifest name " + str(file))
                found.append(self.read_manifest(name))
            except (ValueError, OSError):
                if not skip_bad:
                    raise
        return found

    def read_json(self, layer: Layer) -> Any:
        """Read a small JSON blob."""
        return json.loads(self.blob(layer.digest).read_text(encoding="utf-8"))

    def model(self, manifest: Manifest) -> Model:
        """Read all of a model but its weights; FileNotFoundError when a small blob is missing."""
        config = self.read_json(manifest.config) if manifest.config.digest else {}
        texts: dict[str, list[str]] = {"template": [], "system": [], "license": []}
        model_path: Optional[Path] = None
        params: dict[str, Any] = {}
        messages: list[Any] = []
        for layer in manifest.layers:
            if layer.kind == "model":
                model_path = self.blob(layer.digest)
            elif layer.kind in ("template", "prompt", "system", "license"):
                text = self.blob(layer.digest).read_text(encoding="utf-8")
                texts["template" if layer.kind == "prompt" else layer.kind].append(text)
            elif layer.kind == "params":
                params = self.read_json(layer)
            elif layer.kind == "messages":
                messages = self.read_json(layer)
        header = None
        if model_path is not None:
            try:
                header = gguf.cached(model_path)
            except (OSError, gguf.BadFile):
                header = None
        return Model(
            manifest,
            config,
            model_path,
            header,
            (texts["template"] or [""])[-1],
            (texts["system"] or [""])[-1],
            tuple(texts["license"]),
            params,
            messages,
        )

    def models(self) -> list[Model]:
        """Give all models, the newest first; one whose small blobs are missing is left out with a warning."""
        found = []
        for manifest in self.all_manifests(skip_bad=True):
            try:
                found.append(self.model(manifest))
            except (OSError, ValueError) as error:
                logs.warn("model_list_cache.go:248", "bad manifest", name=manifest.name.short, error=error)
        return sorted(found, key=lambda model: -model.manifest.modified)

    def write_manifest(self, name: Name, data: bytes) -> None:
        """Write a manifest's exact bytes; the file is always rewritten, so its time moves."""
        file = self.manifest_path(name)
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        file.write_bytes(data)

    def write_blob(self, data: bytes) -> tuple[str, bool]:
        """Store content under its digest; tells the digest and whether it is new."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        place = self.blob(digest)
        if place.exists():
            return digest, False
        place.write_bytes(data)
        return digest, True

    def remove(self, manifest: Manifest) -> None:
        """Delete a model: its manifest, the folders left empty, and the blobs no other model uses."""
        file = self.manifest_path(manifest.name)
        file.unlink()
        for folder in list(file.parents)[:3]:
            try:
                folder.rmdir()
            except OSError:
                break
        self.delete_unused({layer.digest for layer in manifest.everything})

    def delete_unused(self, digests: set[str]) -> int:
        """Delete those of the blobs that no readable manifest refers to."""
        used = {layer.digest for manifest in self.all_manifests(skip_bad=True) for layer in manifest.everything}
        gone = 0
        for digest in sorted(digests - used):
            try:
                self.blob(digest).unlink()
                gone += 1
            except (OSError, BadDigest) as error:
                logs.info("images.go:874", f"couldn't remove file '{digest}': {error}")
        return gone

    def rename_old_blobs(self) -> None:
        """Rename blobs of the old form `sha256:HEX` (`fixBlobs`)."""
        for file in list(self.blobs.glob("sha256:*")):
            file.rename(file.with_name(file.name.replace(":", "-")))

    def prune(self, grace: float) -> None:
        """Remove unreferenced blobs and partial files older than the grace period, at start.

        Nothing is pruned while any file under `manifests/` cannot be read (ollama #9033).
        """
        try:
            self.all_manifests(skip_bad=False)
        except (ValueError, OSError) as error:
            message = "corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear"
            logs.warn("routes.go:1965", message, error=error)
            return
        old: set[str] = set()
        for file in sorted(self.blobs.iterdir()):
            if file.is_dir() or time.time() - file.stat().st_mtime < grace:
                continue
            if _DIGEST.match(file.name):
                old.add(file.name.replace("-", ":"))
            else:
                file.unlink()
        logs.info("images.go:919", f"total blobs: {len(old)}")
        logs.info("images.go:926", f"total unused blobs removed: {self.delete_unused(old)}")
