"""Which loaded models may leave memory: those that nobody wants to stay, or those that were named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .models import Installed, Loaded
from .names import normalise
from .units import GB
from .vocabulary import Step


@dataclass(frozen=True)
class Wanted:
    """What should leave. Without `named` it is every model that is no resident; `residents_too` lets residents go as well."""

    residents: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    residents_too: bool = False


@dataclass(frozen=True)
class Plan:
    """The steps, what they free in bytes, and what no step can do: `refused` and `stuck` name models, `absent` was not loaded."""

    steps: tuple[Step, ...] = ()
    freed_bytes: int = 0
    refused: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def wanted_from_json(residents: Sequence[str], named: Sequence[str], *, residents_too: bool) -> Wanted:
    """Build what is asked; ValueError with a sentence for a name that Ollama would refuse."""
    return Wanted(tuple(map(normalise, residents)), tuple(map(normalise, named)), residents_too)


def plan(installed: Sequence[Installed], loaded: Sequence[Loaded], wanted: Wanted) -> Plan:
    """List one step for each loaded model that should leave, the largest first.

    A runner belongs to a digest and `/api/ps` shows the name that was loaded first, so names are compared by what they mean
    (Ollama 0.32.15, observed). A runner whose digest no name has any more cannot be told to go; only a restart frees it.
    """
    digests = {model.name.lower(): model.digest for model in installed}
    names = {model.digest: model.name for model in reversed(installed)}
    residents = {digests.get(name.lower(), name.lower()) for name in wanted.residents}
    asked = {digests.get(name.lower(), name.lower()): name for name in wanted.named}
    steps, refused, stuck, freed = [], [], [], 0
    seen = set()
    for model in sorted(loaded, key=lambda one: (-one.size, one.name)):
        known = {model.digest, model.name.lower()}
        seen |= known
        if wanted.named and not known & set(asked):
            continue
        if known & residents and not wanted.residents_too:
            if wanted.named:
                refused.append(model.name)
            continue
        if model.digest not in names:
            stuck.append(model.name)
            continue
        # The name it is listed under, while that still means the same; any other name of the digest does as well.
        name = model.name if digests.get(model.name.lower()) == model.digest else names[model.digest]
        why = "it is a resident, and that was asked for" if known & residents else "" if wanted.named else "it is no resident"
        steps.append(Step("unload", name, {"size": model.size, "size_vram": model.size_vram}, "not loaded", why))
        freed += model.size
    absent = [name for digest, name in asked.items() if digest not in seen]
    return Plan(tuple(steps), freed, tuple(refused), tuple(stuck), tuple(sorted(absent)))


def sentence(planned: Plan) -> str:
    """Say in one line what leaves memory and what that frees."""
    passed = f"; not loaded: {', '.join(planned.absent)}" if planned.absent else ""
    if not planned.steps:
        return f"nothing to unload{passed}"
    names = ", ".join(f"{step.item} ({step.found['size'] / GB:.1f} GB)" for step in planned.steps)
    return f"frees {planned.freed_bytes / GB:.1f} GB ({planned.freed_bytes} bytes): {names}{passed}"
