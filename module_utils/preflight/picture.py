"""Where the bars and lines of the budget picture are: arithmetic alone, in percent of the picture's width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .report import GB, PARTS

NICE = (1, 2, 4, 5, 8, 10)
MOST_TICKS = 6
_ROOM = 1.02
"""What is drawn ends a little before the right edge, so that a line at the end is a whole line."""


@dataclass(frozen=True)
class Segment:
    """A piece of a bar. `number` is the model's row in the table, 0 for what is in none; `first` begins a model.

    `name` is given where the number may not lead to it, as for a model that is loaded and in no plan.
    """

    part: str
    number: int
    bytes: int
    x: float
    width: float
    on_demand: bool = False
    first: bool = False
    name: str = ""


@dataclass(frozen=True)
class Line:
    """A limit."""

    kind: str
    bytes: int
    x: float


@dataclass(frozen=True)
class InMemory:
    """A model that a Mac holds now: what of it is on the GPU, what is not. `number` is 0 for one that is in no plan."""

    name: str
    number: int
    on_gpu: int
    elsewhere: int


@dataclass(frozen=True)
class Lane:
    """One bar: `memory` holds all that a model takes, `gpu` what of it is on the GPU, `loaded` what is there now.

    Percent from the left.
    """

    kind: str
    segments: tuple[Segment, ...]
    lines: tuple[Line, ...]

    @property
    def end(self) -> float:
        """Return where the last segment ends."""
        return max((segment.x + segment.width for segment in self.segments), default=0.0)


@dataclass(frozen=True)
class Picture:
    """All bars of a Mac on one scale. `memory_x` is where its memory ends."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[int, float], ...]
    memory_x: float


def numbered(host: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the models in the order in which they are drawn and listed: residents, then on demand, then candidates."""
    worst = set(host["worst_case_models"])
    order = {"resident": 0, "on_demand": 1, "candidate": 2}
    models = sorted(host["models"], key=lambda model: (order[model["role"]], model["name"] not in worst))
    return list(enumerate(models, 1))


def picture(host: Mapping[str, Any], loaded: Optional[Sequence[InMemory]] = None) -> Optional[Picture]:
    """Return the picture of a Mac, None when its memory is unknown. With `loaded` it has a bar of what is in memory now."""
    memory, reserve = host["memory_bytes"], host["reserve_bytes"] or 0
    if not memory:
        return None
    worst = set(host["worst_case_models"])
    drawn = [(number, model) for number, model in numbered(host) if model["role"] == "resident" or model["name"] in worst]
    pieces = {
        "memory": [("reserve", 0, reserve, False), *(piece for number, model in drawn for piece in _memory(number, model))],
        "gpu": [piece for number, model in drawn for piece in _gpu(number, model)],
    }
    if loaded is not None:
        pieces["loaded"] = [
            piece
            for model in loaded
            for piece in (("loaded", model.number, model.on_gpu, False), ("spilled", model.number, model.elsewhere, False))
        ]
    names = {"loaded": [model.name for model in loaded or () for _ in range(2)]}
    limits: dict[str, list[tuple[str, Optional[int]]]] = {
        "memory": [("budget", None if host["ram_budget_bytes"] is None else reserve + host["ram_budget_bytes"])],
        "gpu": [("gpu", host["gpu_budget_bytes"])],
        "loaded": [],
    }
    ends = [memory, *(sum(piece[2] for piece in lane) for lane in pieces.values())]
    ends += [size for lane in limits.values() for _, size in lane if size is not None]
    scale = max(ends) * _ROOM
    lanes = []
    for kind, lane in pieces.items():
        at, before, segments = 0, (-1, ""), []
        for place, (part, number, size, on_demand) in enumerate(lane):
            if size:
                name = names[kind][place] if kind in names else ""
                first = (number, name) != before
                segments.append(Segment(part, number, size, 100 * at / scale, 100 * size / scale, on_demand, first, name))
                before = (number, name)
                at += size
        lines = tuple(Line(name, size, 100 * size / scale) for name, size in limits[kind] if size is not None)
        lanes.append(Lane(kind, tuple(segments), lines))
    return Picture(tuple(lanes), ticks(scale), 100 * memory / scale)


def _memory(number: int, model: Mapping[str, Any]) -> list[tuple[str, int, int, bool]]:
    """Return a model's parts in the order of `PARTS`; what they leave of `budget_bytes` is drawn with the process."""
    sizes = {part: model[part] or 0 for part in PARTS}
    sizes["process_bytes"] += max((model["budget_bytes"] or 0) - sum(sizes.values()), 0)
    return [(part[: -len("_bytes")], number, size, model["role"] != "resident") for part, size in sizes.items()]


def _gpu(number: int, model: Mapping[str, Any]) -> list[tuple[str, int, int, bool]]:
    """Return what `ollama ps` will show (what is neither cache nor buffer is weights), and the vision part beside it."""
    total = model["expected_ps_bytes"] or 0
    kv = min(model["kv_bytes"] or 0, total)
    compute = min(model["compute_bytes"] or 0, total - kv)
    sizes = {"weights": total - kv - compute, "kv": kv, "compute": compute, "vision": model["vision_bytes"] or 0}
    return [(part, number, size, model["role"] != "resident") for part, size in sizes.items()]


def ticks(scale: float) -> tuple[tuple[int, float], ...]:
    """Return at most six round figures in bytes, each with its place."""
    step = GB
    while True:
        for factor in NICE:
            if scale / (step * factor) < MOST_TICKS:
                size = step * factor
                return tuple((count * size, 100 * count * size / scale) for count in range(int(scale // size) + 1))
        step *= 10
