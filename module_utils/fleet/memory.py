"""How much memory a Mac gives to models, and whether a set of models fits.

Bytes inside. GB is 10**9 bytes, as model sizes are printed; GiB is 2**30, as memory is sold and as Metal counts.

The size of a loaded model is a stated upper estimate from its file size: weights plus a tenth for cache and compute buffers at
Ollama's default context of a small Mac (4096), plus the runner process. Measured sizes of Ollama 0.32.15 lie below it:
qwen3:8b 5.3 to 5.6 GB for a 5.2 GB file, devstral-small-2:24b 15.4 to 15.7 for 15.2, gpt-oss:20b 12.8 for 13.8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .names import normalise
from .vocabulary import Finding

GB = 10**9
GIB = 2**30

RUNNER_BYTES = 300_000_000
"""A llama-server process beside its weights."""

FIT_TARGET_BYTES = GIB
"""What llama-server keeps free of the device (`LLAMA_ARG_FIT_TARGET`, default 1024 MiB)."""


@dataclass(frozen=True)
class Model:
    """A model with the figures that matter here. `loaded_bytes` is None unless somebody declared a measured figure."""

    name: str
    file_bytes: int
    resident: bool
    automatic_fallback: bool
    loaded_bytes: int | None = None

    @property
    def need_bytes(self) -> int:
        """Return the memory to plan for while it is loaded."""
        return self.loaded_bytes or self.file_bytes + self.file_bytes // 10 + RUNNER_BYTES


@dataclass(frozen=True)
class Mac:
    """A Mac as the budget sees it. `max_loaded_bytes` limits a resident model, None for no limit."""

    name: str
    memory_bytes: int
    macos_major: int
    reserve_bytes: int
    max_loaded_bytes: int | None = None

    @property
    def budget_bytes(self) -> int:
        """Return what models may take together: the smaller of GPU share and memory less the reserve for macOS."""
        return min(
            gpu_working_set_bytes(self.memory_bytes, self.macos_major) - FIT_TARGET_BYTES,
            self.memory_bytes - self.reserve_bytes,
        )


_SHARES_26 = ((24, 0.74), (48, 0.78), (96, 0.81))
"""macOS 26: share of memory by size in GiB, from start-up logs of llama.cpp (16 GB 0.74, 32 to 48 GB 0.78, 64 GB 0.81)."""


def gpu_working_set_bytes(memory_bytes: int, macos_major: int) -> int:
    """Return Metal's recommendedMaxWorkingSetSize: 2/3 of memory up to 32 GiB and 3/4 above, more since macOS 26."""
    gib = memory_bytes / GIB
    if macos_major < 26:
        return memory_bytes * 2 // 3 if gib <= 32 else memory_bytes * 3 // 4
    share = next((share for size, share in _SHARES_26 if gib <= size), 0.84)
    return int(memory_bytes * share)


def judge(mac: Mac, models: Sequence[Model]) -> tuple[Finding, ...]:
    """Return what would not fit, with the sum that shows it, worst first and then by name."""
    residents = [model for model in models if model.resident]
    resident_bytes = sum(model.need_bytes for model in residents)
    findings = []
    if resident_bytes > mac.budget_bytes:
        names = ", ".join(f"{model.name} {_gb(model.need_bytes)}" for model in sorted(residents, key=lambda m: m.name))
        findings.append(
            Finding(
                mac.name, "ram_budget", "resident-set-over-budget", _gb(resident_bytes), _gb(mac.budget_bytes), "error",
                f"the models that stay loaded need {_gb(resident_bytes)} together ({names}), {mac.name} can give"
                f" {_gb(mac.budget_bytes)} of its {mac.memory_bytes / GIB:.0f} GiB",
                "set residency of one of them to on_demand in ollama_models_installed",
            )
        )  # fmt: skip
    for model in sorted(models, key=lambda m: m.name):
        findings.extend(_judge_model(mac, model, resident_bytes))
    return tuple(findings)


def _judge_model(mac: Mac, model: Model, resident_bytes: int) -> list[Finding]:
    findings = []
    if model.resident and mac.max_loaded_bytes is not None and model.file_bytes > mac.max_loaded_bytes:
        findings.append(
            Finding(
                mac.name, "ram_budget", "resident-over-limit", _gb(model.file_bytes), _gb(mac.max_loaded_bytes), "error",
                f"{model.name} has {_gb(model.file_bytes)} and stays loaded, ram_budget_max_loaded_model_gb allows"
                f" {_gb(mac.max_loaded_bytes)}",
                "set its residency to on_demand, or raise the limit",
            )
        )  # fmt: skip
    if model.resident:
        return findings
    left = mac.budget_bytes - resident_bytes
    if model.need_bytes <= left:
        return findings
    cause = (
        f"{model.name} needs about {_gb(model.need_bytes)}, beside the residents {_gb(max(left, 0))} of"
        f" {_gb(mac.budget_bytes)} are left on {mac.name}"
    )
    if model.automatic_fallback:
        findings.append(
            Finding(
                mac.name, "ram_budget", "fallback-would-drown", _gb(model.need_bytes), _gb(max(left, 0)), "error",
                f"{cause}, and an automatic fallback chain may load it: the Mac would swap until it stands still",
                "set automatic_fallback to false for it on this Mac",
            )
        )  # fmt: skip
    else:
        findings.append(
            Finding(
                mac.name, "ram_budget", "on-demand-would-swap", _gb(model.need_bytes), _gb(max(left, 0)), "warning",
                f"{cause}: whoever loads it by hand pushes the residents out or the Mac into swap",
            )
        )  # fmt: skip
    return findings


def _gb(count: int) -> str:
    return f"{count / GB:.1f} GB"


def bytes_of_gb(value: Any, name: str, *, zero: bool = False) -> int:
    """Read a figure in GB (10**9 bytes); ValueError names the variable and what it holds."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < 0 or (number == 0 and not zero) or number > 10**6:
        message = f"{name} is {value!r}, it must be a number of GB{' (0 or more)' if zero else ' above 0'}"
        raise ValueError(message)
    return round(number * GB)


def models_from_inventory(models: Sequence[Mapping[str, Any]]) -> tuple[Model, ...]:
    """Read `ollama_models_installed`; ValueError with a sentence naming the entry that cannot be read."""
    read = []
    for position, model in enumerate(models):
        where = f"ollama_models_installed[{position}]"
        if not isinstance(model, Mapping):
            message = f"{where} is {model!r}, it must be a map with name and size_gb"
            raise ValueError(message)
        loaded = model.get("loaded_gb")
        read.append(
            Model(
                name=normalise(model.get("name")),
                file_bytes=bytes_of_gb(model.get("size_gb"), f"{where}.size_gb"),
                resident=model.get("residency") == "resident",
                automatic_fallback=bool(model.get("automatic_fallback")),
                loaded_bytes=None if loaded is None else bytes_of_gb(loaded, f"{where}.loaded_gb"),
            )
        )
    return tuple(read)
