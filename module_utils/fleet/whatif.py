"""What if this Mac ran that model: fits or not, resident or by hand, and with which settings it would.

Pure: the model's figures come in, plain data ready for JSON goes out, under the names the reports use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .architecture import Architecture
from .memory_model import (
    CONTEXTS,
    KV_TYPES,
    Forecast,
    Mac,
    Plan,
    Settings,
    available_bytes,
    fits_together,
    forecast_on,
    gpu_budget_bytes,
    kv_type,
    need_bytes,
    with_kv_type,
)
from .names import same_name
from .units import gb_text, whole_number


@dataclass(frozen=True)
class Place:
    """A Mac with its server's settings and the models it already has."""

    mac: Mac
    settings: Settings
    plans: tuple[Plan, ...] = ()


def what_if(
    model: Architecture, places: Sequence[Place], context: Any = None, kind: Any = None
) -> list[dict[str, Any]]:  # fmt: skip
    """Answer for every Mac. `context` and `kind` override the server's own settings; ValueError names what cannot be read."""
    own = 0 if context is None else whole_number(context, "ctx", 1, 10**7)
    chosen = None if kind is None else kv_type(kind, "kv")
    return [_answer(model, place, own, chosen) for place in places]


def _answer(model: Architecture, place: Place, own: int, kind: str | None) -> dict[str, Any]:
    mac = place.mac
    settings = with_kv_type(place.settings, kind) if kind else place.settings
    plan = Plan(model, resident=True, context_length=own)
    residents = tuple(one for one in place.plans if one.resident and not same_name(one.name, model.name))
    figures = forecast_on(mac, settings, plan)
    resident = fits_together(mac, settings, (*residents, plan))
    alone = fits_together(mac, settings, (plan,))
    on_demand = alone and _on_demand(mac, settings, residents, plan)
    return {
        **figures.to_plain(),
        "host": mac.name,
        "fits_resident": resident,
        "fits_on_demand": on_demand,
        "fits_alone": alone,
        "gpu_budget_bytes": gpu_budget_bytes(mac, settings),
        "ram_budget_bytes": mac.ram_budget_bytes,
        "residents": sorted(one.name for one in residents),
        "over_limit": bool(mac.max_loaded_model_bytes) and figures.weights_bytes > mac.max_loaded_model_bytes,
        "largest_context": {
            kind: {
                "resident": _largest(model, lambda one, kind=kind: fits_together(mac, _as(settings, kind), (*residents, one))),
                "on_demand": _largest(model, lambda one, kind=kind: _on_demand(mac, _as(settings, kind), residents, one)),
                "alone": _largest(model, lambda one, kind=kind: fits_together(mac, _as(settings, kind), (one,))),
            }
            for kind in KV_TYPES
        },
        "verdict": _verdict(mac, settings, figures, residents, resident=resident, on_demand=on_demand, alone=alone),
    }


def _as(settings: Settings, kind: str) -> Settings:
    return with_kv_type(settings, kind)


def _largest(model: Architecture, fits: Any) -> int:
    """Return the largest context that fits, 0 for none; what a model was trained for is the end."""
    trained = model.train_context or CONTEXTS[-1]
    for context in reversed(CONTEXTS):
        if context <= max(trained, CONTEXTS[0]) and fits(Plan(model, resident=True, context_length=context)):
            return context
    return 0


def _on_demand(mac: Mac, settings: Settings, residents: Sequence[Plan], plan: Plan) -> bool:
    """Tell whether it can be loaded beside the residents without one of them going."""
    held = [forecast_on(mac, settings, one) for one in residents]
    one = forecast_on(mac, settings, replace(plan, resident=False))
    if sum(other.gpu_bytes for other in held) + one.gpu_bytes > gpu_budget_bytes(mac, settings):
        return False
    if sum(need_bytes(other, settings) for other in held) + need_bytes(one, settings) > mac.ram_budget_bytes:
        return False
    if not held:
        return True
    room = len(held) < settings.most_loaded
    predicted = forecast_on(mac, settings, plan, loaded=held).predicted_bytes
    return room and predicted <= available_bytes(mac, held) * 80 // 100


def _verdict(
    mac: Mac,
    settings: Settings,
    figures: Forecast,
    residents: Sequence[Plan],
    *,
    resident: bool,
    on_demand: bool,
    alone: bool,
) -> str:
    need = f"{gb_text(figures.gpu_bytes)} of GPU memory and {gb_text(need_bytes(figures, settings))} in all"
    has = f"{mac.name} has {gb_text(gpu_budget_bytes(mac, settings))} and {gb_text(mac.ram_budget_bytes)}"
    beside = f" beside {', '.join(sorted(one.name for one in residents))}" if residents else ""
    size = f"{figures.name} at a context of {figures.context} with {figures.kv_type} needs {need}; {has}"
    if resident:
        return f"fits{beside} and can stay loaded: {size}"
    if on_demand:
        return f"fits{beside} when it is loaded last, not as one that stays: {size}"
    if alone:
        return f"fits alone, not{beside}: {size}"
    return f"does not fit: {size}"
