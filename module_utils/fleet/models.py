"""Model sets: what should be installed and loaded on a Mac, what is, and the steps between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from .names import normalise
from .vocabulary import Step, Unknown

Policy = Literal["present", "latest"]
Unlisted = Literal["keep", "remove"]

FOREVER = timedelta(days=20 * 365)
"""Ollama stores a negative keep_alive as 292 years; beyond twenty its own CLI prints `Forever` (cmd/cmd.go)."""


@dataclass(frozen=True)
class Model:
    """A model that a Mac should have. `digest`, if given, is the beginning of the only manifest digest allowed."""

    name: str
    resident: bool = False
    policy: Policy = "present"
    digest: str = ""


@dataclass(frozen=True)
class Wanted:
    """The whole set of a Mac."""

    models: tuple[Model, ...]
    removed: tuple[str, ...] = ()
    unlisted: Unlisted = "keep"


@dataclass(frozen=True)
class Installed:
    """A model in the store: `digest` is the sha256 of its manifest, `size` the bytes of all its layers.

    `modified_at` moves with each pull, also of what is up to date (Ollama 0.32.15, observed), so it tells no two apart.
    """

    name: str
    digest: str
    size: int
    modified_at: str = field(default="", compare=False)


@dataclass(frozen=True)
class Loaded:
    """A model in memory (`/api/ps`). `pinned` is True when it stays until it is told to go; `expires_at` is the server's word."""

    name: str
    digest: str
    size: int
    size_vram: int
    context_length: int
    pinned: bool
    expires_at: str = ""


@dataclass(frozen=True)
class Found:
    """What the Mac has. `registry` holds the digest that each wanted name has in its registry today, where asked."""

    installed: tuple[Installed, ...]
    loaded: tuple[Loaded, ...] | Unknown = ()
    registry: Mapping[str, str | Unknown] = ()  # type: ignore[assignment]


def plan(found: Found, wanted: Wanted) -> tuple[Step, ...]:
    """List the steps from found to wanted: pull, delete, load; residents largest first.

    Deleting comes before loading, since the API cannot unload a model whose manifest is gone (Ollama 0.32.15, observed). The
    largest resident goes first, because Ollama admits a further one only below 80 % of what is free (server/sched.go).
    """
    installed = {model.name.lower(): model for model in found.installed}
    registry = dict(found.registry or {})
    steps: list[Step] = []
    renewed: set[str] = set()
    for model in wanted.models:
        name = normalise(model.name)
        have = installed.get(name.lower())
        current = registry.get(name)
        if have is None:
            steps.append(Step("pull", name, "absent", "present"))
        elif model.digest and not have.digest.startswith(model.digest):
            steps.append(Step("pull", name, have.digest[:12], model.digest[:12], "another digest is pinned for it"))
            renewed.add(name)
        elif not model.digest and model.policy == "latest" and isinstance(current, str) and current != have.digest:
            steps.append(Step("pull", name, have.digest[:12], current[:12], "the registry has moved on"))
            renewed.add(name)
    listed = {normalise(model.name).lower() for model in wanted.models}
    unwanted = {normalise(name).lower() for name in wanted.removed} - listed
    for key, have in sorted(installed.items()):
        if key in unwanted:
            steps.append(Step("delete", have.name, "present", "absent", "it is listed as removed"))
        elif key not in listed and wanted.unlisted == "remove":
            steps.append(Step("delete", have.name, "present", "absent", "it is not in the set of this Mac"))
    deleted = {step.item for step in steps if step.action == "delete"}
    gone = {model.digest for model in found.installed if model.name in deleted}
    return (*steps, *_loads(found, wanted, renewed, gone))


def _loads(found: Found, wanted: Wanted, renewed: set[str], gone: set[str]) -> list[Step]:
    sizes = {model.name.lower(): model.size for model in found.installed}
    residents = sorted(
        (normalise(model.name) for model in wanted.models if model.resident),
        key=lambda name: (-sizes.get(name.lower(), 0), name),
    )
    if isinstance(found.loaded, Unknown):
        return [Step("load", name, f"unknown ({found.loaded.reason})", "loaded for good") for name in residents]
    digests = {model.name.lower(): model.digest for model in found.installed}
    steps = []
    for name in residents:
        # Two names of one digest share a runner, and /api/ps shows the name that was loaded first.
        own = digests.get(name.lower())
        loaded = next(
            (one for one in found.loaded if (one.digest == own if own else one.name.lower() == name.lower())),
            None,
        )
        if loaded is None or name in renewed:
            steps.append(Step("load", name, "not loaded", "loaded for good"))
        elif loaded.digest in gone:
            steps.append(
                Step("load", name, "loaded, shared with what goes", "loaded for good", "unloading one name unloads both")
            )
        elif not loaded.pinned:
            steps.append(Step("load", name, "loaded for a while", "loaded for good", "it would leave when idle"))
    return steps


def reloads(found: Found, wanted: Wanted) -> tuple[Step, ...]:
    """List the residents that a server which starts anew must load again, largest first: it remembers none (Ollama 0.32.15)."""
    have = {model.name.lower() for model in found.installed}
    there = replace(wanted, models=tuple(model for model in wanted.models if normalise(model.name).lower() in have))
    return tuple(_loads(replace(found, loaded=()), there, set(), set()))


def after_restart(found: Found) -> Found:
    """Return what will be found once the server has started anew: it remembers no loaded model (Ollama 0.32.15, observed)."""
    return replace(found, loaded=())


def with_loaded(found: Found, names: Sequence[str]) -> Found:
    """Return what will be found once somebody has loaded these models for good."""
    wanted = {name.lower() for name in names}
    if not wanted:
        return found
    more = [model for model in found.installed if model.name.lower() in wanted]
    digests = {model.digest for model in more}
    before = () if isinstance(found.loaded, Unknown) else (one for one in found.loaded if one.digest not in digests)
    loaded = (Loaded(model.name, model.digest, model.size, model.size, 0, pinned=True) for model in more)
    return replace(found, loaded=(*before, *loaded))


def is_pinned(expires_at: str, now: datetime) -> bool:
    """Tell from `expires_at` whether a model stays loaded until told otherwise; years up to 2319 occur."""
    try:
        moment = parse_time(expires_at)
    except ValueError:
        return False
    return moment - now > FOREVER


def parse_time(text: str) -> datetime:
    """Read Go's RFC 3339 with up to nine digits after the second, which Python 3.9 cannot; ValueError otherwise."""
    head, dot, tail = text.partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        zone = tail[len(digits) :]
        text = f"{head}.{digits[:6].ljust(6, '0')}{zone}"
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def wanted_from_json(models: Sequence[Mapping[str, Any]], removed: Sequence[str], unlisted: str, policy: str) -> Wanted:
    """Build the wanted set from inventory variables; ValueError with a sentence for a name Ollama would refuse."""
    return Wanted(
        models=tuple(
            Model(
                name=normalise(model["name"]),
                resident=model.get("residency") == "resident",
                policy=model.get("policy") or policy,  # type: ignore[arg-type]
                digest=str(model.get("digest") or "").replace("sha256:", ""),
            )
            for model in models
        ),
        removed=tuple(normalise(name) for name in removed),
        unlisted=unlisted,  # type: ignore[arg-type]
    )


def found_from_json(data: Mapping[str, Any]) -> Found:
    """Read the `models` part of an observation back."""
    loaded = data["loaded"]
    return Found(
        installed=tuple(Installed(**model) for model in data["installed"]),
        loaded=Unknown(loaded["unknown"]) if isinstance(loaded, Mapping) else tuple(Loaded(**one) for one in loaded),
        registry={
            name: value if isinstance(value, str) else Unknown(value["unknown"]) for name, value in data["registry"].items()
        },
    )


def registry_names(models: Sequence[Mapping[str, Any]], policy: str) -> list[str]:
    """Return the names that follow their registry: policy `latest` and no digest of their own."""
    return [
        normalise(model["name"]) for model in models if (model.get("policy") or policy) == "latest" and not model.get("digest")
    ]
