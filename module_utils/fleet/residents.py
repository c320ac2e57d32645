"""Which resident a Mac should load now, and why not: asked again and again by a program on the Mac, without Ansible.

A server that starts anew remembers nothing (Ollama 0.32.15, observed), and a client that sends its own keep_alive takes the pin
away.
Nothing here unloads anything or restarts anything, and nothing is loaded that would push something else out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from . import models
from .names import normalise
from .units import MIB
from .vocabulary import Step, Unknown

PRESSURE_WARN = 2
"""kern.memorystatus_vm_pressure_level: 1 normal, 2 warning, 4 critical (xnu, bsd/sys/event_private.h)."""

GPU_SHARE = (2, 3)
"""Of the memory, what the GPU may hold at least: two thirds up to macOS 15 on small Macs, more everywhere else."""

ADMISSION = (4, 5)
"""A further model is admitted into 80 % of what is free, else one is pushed out (Ollama 0.30 to 0.33, server/sched.go)."""

OVERHEAD = (11, 10)
"""Cache and buffers beside the file; the smallest seen for an 8B model at 4096 is 7 %."""


@dataclass(frozen=True)
class Resident:
    """A model that stays loaded. `context_length` is 0 where the server's own context is meant."""

    name: str
    context_length: int = 0


@dataclass(frozen=True)
class Memory:
    """How the Mac's memory is doing, all in bytes but the pressure level."""

    pressure: int | Unknown
    swap_used: int | Unknown
    total: int | Unknown


@dataclass(frozen=True)
class Past:
    """What earlier runs left: swap then, and the context each digest was seen with when pinned, per context asked for."""

    swap_used: int | None = None
    contexts: Mapping[tuple[str, int], int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Verdict:
    """What to load next, largest first, and a clause for each resident that must wait."""

    loads: tuple[Step, ...] = ()
    waits: tuple[str, ...] = ()


def judge(found: models.Found, residents: Sequence[Resident], memory: Memory, past: Past, swap_growth: int) -> Verdict:
    """Return the loads that are due and possible now.

    `swap_growth` is how many bytes the swap may have grown since the last run. The steps are those of `models.plan`, largest
    first, two names of one digest being one model; further ones are due where the context is not the one asked for.
    """
    due, waits = _due(found, residents, past)
    if not due:
        return Verdict((), tuple(waits))
    reason = _memory_reason(memory, past, swap_growth)
    if reason:
        return Verdict((), (*waits, *(f"{step.item} is not loaded: {reason}" for step in due)))
    loads = []
    for step in due:
        rival = _rival(found, residents, step.item, memory)
        if rival:
            waits.append(rival)
        else:
            loads.append(step)
    return Verdict(tuple(loads), tuple(waits))


def _due(found: models.Found, residents: Sequence[Resident], past: Past) -> tuple[list[Step], list[str]]:
    wanted = models.Wanted(tuple(models.Model(one.name, resident=True) for one in residents))
    contexts = {normalise(one.name): one.context_length for one in residents}
    digests = {model.name.lower(): model.digest for model in found.installed}
    if isinstance(found.loaded, Unknown):
        return [], [f"what is loaded could not be read: {found.loaded.reason}"]
    loaded = {one.digest: one for one in found.loaded}
    due: list[Step] = []
    waits: list[str] = []
    planned = models.plan(found, wanted)
    missing = {step.item for step in planned if step.action == "pull"}
    waits += [f"{name} is not installed" for name in sorted(missing)]
    loads = {step.item: step for step in planned if step.action == "load"}
    order = sorted(contexts, key=lambda name: (-_size(found, name), name))
    served: set[str] = set()
    for name in order:
        digest = digests.get(name.lower(), "")
        one = loaded.get(digest)
        step = loads.get(name)
        asked = contexts[name]
        if name in missing or digest in served:
            continue
        if one is not None and asked and one.context_length != asked:
            # Ollama caps a context at the model's own and steps down when memory runs out; asking again would load it for ever.
            if past.contexts.get((digest, asked)) != one.context_length:
                step = Step("load", name, f"context {one.context_length}", f"context {asked}", "another context is in force")
        elif one is not None and step is not None and not asked and _is_foreign(one, past):
            # To pin it would load it anew under the client's hands, and the client's next request would do the same.
            waits.append(f"{name} is in use with a context of {one.context_length} that a client asked for; it stays as it is")
            step = None
        if step is not None:
            due.append(step)
            served.add(digest)
    return due, waits


def _is_foreign(one: models.Loaded, past: Past) -> bool:
    known = past.contexts.get((one.digest, 0))
    return known is not None and known != one.context_length


def _size(found: models.Found, name: str) -> int:
    return next((model.size for model in found.installed if model.name.lower() == name.lower()), 0)


def _memory_reason(memory: Memory, past: Past, swap_growth: int) -> str:
    if isinstance(memory.pressure, Unknown):
        return f"the memory pressure could not be read ({memory.pressure.reason})"
    if memory.pressure >= PRESSURE_WARN:
        return "macOS reports memory pressure"
    if isinstance(memory.swap_used, Unknown) or past.swap_used is None:
        return ""
    if memory.swap_used - past.swap_used > swap_growth:
        return "swap is growing"
    return ""


def _rival(found: models.Found, residents: Sequence[Resident], name: str, memory: Memory) -> str:
    """Say which model of somebody else would be pushed out; "" when there is none or both fit."""
    if isinstance(found.loaded, Unknown):
        return ""
    own = {normalise(one.name).lower() for one in residents}
    digests = {model.digest for model in found.installed if model.name.lower() in own}
    digest = next((model.digest for model in found.installed if model.name.lower() == name.lower()), "")
    others = [one for one in found.loaded if one.digest not in digests and one.name.lower() not in own]
    if not others or any(one.digest == digest for one in found.loaded):
        return ""
    need = _size(found, name) * OVERHEAD[0] // OVERHEAD[1]
    total = 0 if isinstance(memory.total, Unknown) else memory.total
    free = total * GPU_SHARE[0] // GPU_SHARE[1] - sum(max(one.size, one.size_vram) for one in found.loaded)
    if need <= free * ADMISSION[0] // ADMISSION[1]:
        return ""
    names = ", ".join(sorted(one.name for one in others))
    return f"{name} waits until {names} has left, which it would push out"


def learn(
    found: models.Found, residents: Sequence[Resident], past: Past, asked: Mapping[str, int]
) -> Mapping[tuple[str, int], int]:
    """Return the contexts to remember: of residents that are pinned now, and of those this run loaded.

    `asked` holds the digests that this run loaded with the context it asked for, 0 for none.
    """
    if isinstance(found.loaded, Unknown):
        return past.contexts
    wanted = {normalise(one.name).lower(): one.context_length for one in residents}
    digests = {model.digest: wanted[model.name.lower()] for model in found.installed if model.name.lower() in wanted}
    known = {key: value for key, value in past.contexts.items() if key[0] in digests}
    for one in found.loaded:
        if one.digest in asked:
            known[(one.digest, asked[one.digest])] = one.context_length
        elif one.pinned and digests.get(one.digest) == 0:
            known[(one.digest, 0)] = one.context_length
    return known


def parse_memory(text: str) -> Memory:
    """Read `sysctl -n kern.memorystatus_vm_pressure_level vm.swapusage hw.memsize`, one value a line."""
    numbers = re.findall(r"^([0-9]{1,19})$", text, re.MULTILINE)
    swap = re.search(r"used = ([0-9]{1,12}(?:\.[0-9]+)?)M", text)
    complete = len(numbers) == 2
    return Memory(
        pressure=int(numbers[0]) if complete else Unknown(f"sysctl says {text.strip()[:80]!r}"),
        swap_used=round(float(swap[1]) * MIB) if swap else Unknown("no vm.swapusage"),
        total=int(numbers[1]) if complete else Unknown("no hw.memsize"),
    )


def residents_of(installed: Sequence[Mapping[str, Any]]) -> tuple[Resident, ...]:
    """Return the residents of `ollama_models_installed`, in its order."""
    return tuple(
        Resident(normalise(model["name"]), int(model.get("context_length") or 0))
        for model in installed
        if model.get("residency") == "resident"
    )
