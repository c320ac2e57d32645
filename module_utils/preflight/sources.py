"""Figures of models from the best source there is: a Mac that has them, the registry, the catalogue, a declared size.

A result is plain data: `name` (normalised), `source` (mac, registry, catalogue, declared, unknown: where the architecture is
from), `exists` (False when the registry says there is no such name, None when it could not be asked), `digest` (of
`/api/tags`, None when unknown), `sizes` (`total_bytes`, `weights_bytes`, `projector_bytes`), `declared_bytes`, `architecture`
(`Architecture.to_plain`, None when unknown) and `problems`, sentences for people. Nothing here raises because of what a
server, a file of the cache or an inventory holds.
"""

from __future__ import annotations

import datetime
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Optional

from .cache import Cache
from .registry import Blob, Layer, Manifest, Registry, read_manifest
from .web import Refusal

if TYPE_CHECKING:
    from fleet.architecture import Architecture, from_catalogue, from_declared, from_gguf, from_plain, from_show
    from fleet.gguf import Header, NeedMore, read_header
    from fleet.names import ModelName, parse_name, same_name
    from fleet.units import gb_text
else:
    from ansible.module_utils.fleet.architecture import (
        Architecture,
        from_catalogue,
        from_declared,
        from_gguf,
        from_plain,
        from_show,
    )
    from ansible.module_utils.fleet.gguf import Header, NeedMore, read_header
    from ansible.module_utils.fleet.names import ModelName, parse_name, same_name
    from ansible.module_utils.fleet.units import gb_text

FIRST_BYTES = 1 << 17
HEADER_BYTES = 1 << 24
"""No more of a file is read. Vocabularies make headers long: some 6 MB for qwen3, 13 for gpt-oss, 15 for gemma3."""

WORKERS = 6
MISMATCH_SHARE = 0.03
MISMATCH_BYTES = 100_000_000
"""Sizes are declared in GB with one decimal: what differs by no more than this is meant to be the same."""


@dataclass(frozen=True)
class OnMac:
    """What Macs say about a model: the entry of `/api/tags` and, if asked, the answer of `/api/show`."""

    host: str
    tag: Mapping[str, Any]
    show: Optional[Mapping[str, Any]] = None


@dataclass
class Figures:
    """A result in the making."""

    name: str
    source: str = "unknown"
    exists: Optional[bool] = None
    digest: Optional[str] = None
    total_bytes: Optional[int] = None
    weights_bytes: Optional[int] = None
    projector_bytes: Optional[int] = None
    declared_bytes: Optional[int] = None
    architecture: Optional[Architecture] = None
    problems: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "name": self.name,
            "source": self.source,
            "exists": self.exists,
            "digest": self.digest,
            "sizes": {
                "total_bytes": self.total_bytes,
                "weights_bytes": self.weights_bytes,
                "projector_bytes": self.projector_bytes,
            },
            "declared_bytes": self.declared_bytes,
            "architecture": None if self.architecture is None else self.architecture.to_plain(),
            "problems": list(dict.fromkeys(self.problems)),
        }


@dataclass(frozen=True)
class Sources:
    """Where to look. `registry` None asks none (offline by wish); `catalogue` is the content of catalogue/models.yml."""

    registry: Optional[Registry] = None
    cache: Cache = field(default_factory=lambda: Cache(None))
    catalogue: Mapping[str, Any] = field(default_factory=dict)
    macs: Sequence[OnMac] = ()
    header_bytes: int = HEADER_BYTES


def on_macs(observed: Mapping[str, Mapping[str, Any]]) -> tuple[OnMac, ...]:
    """Read `{host: {"tags": answer of /api/tags or its list, "show": {name: answer of /api/show}}}`; skips what is no model."""
    found = []
    for host, said in observed.items():
        tags = said.get("tags")
        entries = tags.get("models") if isinstance(tags, Mapping) else tags
        shows = said.get("show")
        for entry in entries if isinstance(entries, (list, tuple)) else ():
            if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
                answer = shows.get(entry["name"]) if isinstance(shows, Mapping) else None
                found.append(OnMac(host, entry, answer if isinstance(answer, Mapping) else None))
    return tuple(found)


def collect(wanted: Mapping[str, Optional[int]], sources: Sources, workers: int = WORKERS) -> dict[str, dict[str, Any]]:
    """Return the figures of every model in `wanted` (name -> declared bytes or None), by the name as given.

    Models are asked for in parallel. When the time of the registry's `web` is used up, what has not come is taken from the
    other sources: this function returns then, whatever a server does.
    """
    results: dict[str, dict[str, Any]] = {}
    work: queue.SimpleQueue[tuple[str, Optional[int]]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
    for item in wanted.items():
        work.put(item)
    if sources.registry is not None:
        for _ in range(min(workers, len(wanted))):
            # Daemons: one that hangs in the resolver must not keep the process from ending.
            threading.Thread(target=_work, args=(work, done, sources), daemon=True).start()
        while len(results) < len(wanted):
            try:
                name, found = done.get(timeout=max(sources.registry.web.seconds_left() + 0.5, 0.01))
            except queue.Empty:
                break
            results[name] = found
    for name, declared in wanted.items():
        if name not in results:
            late = "" if sources.registry is None else "the registry was too slow, its figures were not waited for"
            results[name] = figures_of(name, declared, replace(sources, registry=None), late)
    return {name: results[name] for name in wanted}


def _work(work: Any, done: Any, sources: Sources) -> None:
    while True:
        try:
            name, declared = work.get_nowait()
        except queue.Empty:
            return
        try:
            done.put((name, figures_of(name, declared, sources)))
        except Exception as problem:  # one model must not cost the others their answer
            late = f"asking for it failed ({type(problem).__name__}: {problem}), please report this"
            done.put((name, figures_of(name, declared, replace(sources, registry=None), late)))


def figures_of(name: str, declared: Optional[int], sources: Sources, problem: str = "") -> dict[str, Any]:
    """Return the figures of one model."""
    made = Figures(name, declared_bytes=declared if declared and declared > 0 else None)
    if problem:
        made.problems.append(_sentence(name, problem))
    try:
        parsed = parse_name(name)
    except ValueError as refused:
        made.problems.append(f"{refused}.")
        _from_declared(made)
        return made.plain()
    made.name = str(parsed)
    _from_mac(made, sources)
    if sources.registry is not None and not (made.architecture is not None and made.architecture.exact):
        _from_registry(made, parsed, sources, sources.registry)
    _from_catalogue(made, sources)
    _from_declared(made)
    _compare(made)
    return made.plain()


def _sentence(name: str, clause: str) -> str:
    return f"{name}: {clause}."


# A Mac. -------------------------------------------------------------------------------------------------------------------


def _from_mac(made: Figures, sources: Sources) -> None:
    """Take what a Mac says; of several that have the model the first that shows it."""
    found = [mac for mac in sources.macs if _same(str(mac.tag["name"]), made.name)]
    for mac in sorted(found, key=lambda one: one.show is None):
        size, digest = mac.tag.get("size"), mac.tag.get("digest")
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
            made.problems.append(_sentence(made.name, f"{mac.host} has it with the size {str(size)[:40]}, which cannot be"))
            continue
        made.exists = True
        made.total_bytes = size
        made.digest = digest.replace("sha256:", "") if isinstance(digest, str) else None
        if mac.show is not None:
            try:
                made.architecture = from_show(made.name, mac.show, size)
                made.source = "mac"
            except ValueError as problem:
                made.problems.append(_sentence(made.name, f"what {mac.host} shows of it cannot be used, {problem}"))
        if made.architecture is None:
            _known_file(made, sources)
        if made.architecture is not None:
            made.weights_bytes = made.architecture.weights_bytes
        return


def _known_file(made: Figures, sources: Sources) -> None:
    """Use the architecture of an earlier run for a model on a Mac whose manifest that run saw."""
    body, _ = sources.cache.manifest(made.name)
    try:
        manifest = read_manifest(body) if body else None
    except ValueError:
        return
    weights = manifest.first("model") if manifest and manifest.digest == made.digest else None
    known = _cached(made.name, weights, sources.cache) if weights else None
    if manifest and known:
        made.architecture = replace(known, projector_bytes=manifest.bytes_of("projector"))
        made.source = "mac"


def _same(one: str, other: str) -> bool:
    try:
        return same_name(one, other)
    except ValueError:
        return False


# The registry. ------------------------------------------------------------------------------------------------------------


def _from_registry(made: Figures, name: ModelName, sources: Sources, registry: Registry) -> None:
    manifest = _manifest(made, name, sources.cache, registry)
    if manifest is None:
        return
    if made.source == "mac" and manifest.digest != made.digest:
        return  # the Mac has another version, and what is there is what counts
    made.digest = manifest.digest
    made.total_bytes = manifest.total_bytes
    made.projector_bytes = manifest.bytes_of("projector")
    weights = manifest.first("model")
    if weights is None:
        made.weights_bytes = manifest.bytes_of("tensor") or None
        kind = "a model that runs elsewhere" if name.is_cloud or not made.weights_bytes else "no GGUF file but single tensors"
        made.problems.append(_sentence(made.name, f"the registry has {kind}, so its memory is only bounded by its size"))
        return
    made.weights_bytes = weights.size
    try:
        architecture = _cached(made.name, weights, sources.cache) or _architecture(name, weights, sources, registry)
    except Refusal as problem:
        made.problems.append(_sentence(made.name, problem.sentence))
        return
    if made.source != "mac":
        made.source = "registry"
    made.architecture = replace(
        architecture, projector_bytes=made.projector_bytes, vision=architecture.vision or bool(made.projector_bytes)
    )


def _manifest(made: Figures, name: ModelName, cache: Cache, registry: Registry) -> Optional[Manifest]:
    """Return what the registry has, or had when it was last asked in case it cannot be asked now."""
    try:
        manifest, body = registry.manifest(name)
    except Refusal as problem:
        made.problems.append(_sentence(made.name, problem.sentence))
        if problem.status == 404:
            if made.exists is None:
                made.exists = False
            cache.forget_manifest(made.name)
            return None
    else:
        made.exists = True
        cache.keep_manifest(made.name, body, datetime.datetime.now(datetime.timezone.utc).date().isoformat())
        return manifest
    body, day = cache.manifest(made.name)
    try:
        manifest = read_manifest(body)
    except ValueError:
        return None
    made.problems.append(_sentence(made.name, f"the figures are those of {day}, when its registry was last reached"))
    return manifest


def _cached(name: str, weights: Layer, cache: Cache) -> Optional[Architecture]:
    kept = cache.architecture(weights.digest)
    try:
        return None if kept is None else from_plain({**kept, "name": name, "weights_bytes": weights.size})
    except (ValueError, TypeError):
        return None


def _architecture(name: ModelName, weights: Layer, sources: Sources, registry: Registry) -> Architecture:
    """Read the beginning of the file until its header is complete; Refusal when that cannot be."""
    cache = sources.cache
    blob = Blob(name, weights, cache.beginning(weights.digest)[: weights.size])
    try:
        header = _header(blob, sources.header_bytes, registry)
    except Refusal:
        cache.keep_beginning(weights.digest, blob.data)
        raise
    except ValueError as problem:
        cache.forget_beginning(weights.digest)
        message = f"the file that {name.host} has for it cannot be used, {problem}"
        raise Refusal(message) from problem
    try:
        architecture = from_gguf(str(name), header, weights.size)
    except ValueError as problem:
        cache.forget_beginning(weights.digest)
        message = f"the header of its file cannot be used, {problem}"
        raise Refusal(message) from problem
    cache.keep_architecture(weights.digest, architecture.to_plain())
    return architecture


def _header(blob: Blob, most: int, registry: Registry) -> Header:
    wanted = max(FIRST_BYTES, len(blob.data))
    while True:
        refusal = None
        try:
            registry.extend(blob, min(wanted, most))
        except Refusal as problem:
            refusal = problem  # what came may be enough all the same
        try:
            return read_header(blob.data, complete=len(blob.data) >= blob.layer.size)
        except NeedMore as more:
            if refusal is not None:
                raise refusal from more
            # A need beyond the limit that is not just twice of what is there is a claim of a header nobody has.
            claimed = more.bytes_needed_estimate > most and more.bytes_needed_estimate > 2 * len(blob.data)
            if claimed or len(blob.data) >= most:
                message = f"the header of its file goes on beyond {most // 2**20} MiB, which are not read"
                raise ValueError(message) from more
            wanted = more.bytes_needed_estimate


# What is known without asking. --------------------------------------------------------------------------------------------


def _from_catalogue(made: Figures, sources: Sources) -> None:
    """Use the catalogue when nothing better said what the model is made of, unless it means a file of another size."""
    if made.architecture is not None:
        return
    models = sources.catalogue.get("models") if isinstance(sources.catalogue, Mapping) else None
    entry = next((models[name] for name in models if _same(str(name), made.name)), None) if isinstance(models, Mapping) else None
    if entry is None:
        return
    try:
        figures = entry["architecture"]
        architecture = from_catalogue(made.name, figures)
    except (ValueError, KeyError, TypeError) as problem:
        made.problems.append(_sentence(made.name, f"its entry in the catalogue cannot be used, {problem}"))
        return
    size = made.weights_bytes or made.total_bytes
    if size and abs(size - architecture.weights_bytes) > 0.01 * size:
        made.problems.append(
            _sentence(
                made.name, f"the catalogue means a file of {gb_text(architecture.weights_bytes)}, this one has {gb_text(size)}"
            )
        )
        return
    made.source = "catalogue"
    made.architecture = replace(architecture, weights_bytes=size) if size else architecture
    made.weights_bytes = made.architecture.weights_bytes
    if made.total_bytes is None:
        made.total_bytes = made.architecture.file_bytes
    if made.projector_bytes is None:
        made.projector_bytes = made.architecture.projector_bytes


def _from_declared(made: Figures) -> None:
    """Fall back to a size alone: the true one where a Mac or the registry gave it, else the declared one."""
    if made.architecture is not None:
        return
    true = made.total_bytes if made.weights_bytes or made.digest else None
    size = true or made.declared_bytes
    if not size:
        made.problems.append(_sentence(made.name, "no source has its figures; declare size_gb for it"))
        return
    made.architecture = from_declared(made.name, size)
    made.source = ("mac" if made.weights_bytes is None and made.exists else "registry") if true else "declared"
    if made.weights_bytes is None:
        made.weights_bytes = size
    if made.total_bytes is None:
        made.total_bytes = size


def _compare(made: Figures) -> None:
    """Report a declared size that is not the true one."""
    declared, true = made.declared_bytes, made.total_bytes
    if declared is None or true is None or made.source == "declared":
        return
    if abs(declared - true) > max(MISMATCH_BYTES, MISMATCH_SHARE * true):
        made.problems.append(
            _sentence(made.name, f"size_gb declares {gb_text(declared)}, it has {gb_text(true)} ({made.source}); correct size_gb")
        )
