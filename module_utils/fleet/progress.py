"""How far a pull is, from the lines of `/api/pull`: model, percent, bytes, speed, time left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

GB = 10**9


@dataclass(frozen=True)
class Progress:
    """The sum over the layers seen so far. `began` is None until the first byte is known of."""

    model: str
    status: str = ""
    layers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    began: float | None = None
    before: int = 0

    def after(self, line: Mapping[str, Any], now: float) -> Progress:
        """Return the progress after one line; `completed` is left out by the server while it is 0."""
        digest = line.get("digest")
        layers = dict(self.layers)
        if digest:
            layers[str(digest)] = (int(line.get("completed", 0)), int(line.get("total", 0)))
        changed = replace(self, status=str(line.get("status", "")), layers=layers)
        if self.began is None and digest:
            # What a resumed pull already has says nothing about its speed.
            return replace(changed, began=now, before=changed.completed)
        return changed

    @property
    def completed(self) -> int:
        """Return the bytes that are there."""
        return sum(done for done, _ in self.layers.values())

    @property
    def total(self) -> int:
        """Return the bytes of the layers announced so far."""
        return sum(total for _, total in self.layers.values())

    def line(self, now: float) -> str:
        """Return one line for a terminal."""
        if not self.total:
            return f"{self.model}: {self.status or 'waiting for the registry'}"
        percent = min(100, 100 * self.completed // self.total)
        text = f"{self.model}: {percent} %, {self.completed / GB:.2f} of {self.total / GB:.2f} GB"
        seconds = now - self.began if self.began is not None else 0.0
        speed = (self.completed - self.before) / seconds if seconds > 0 else 0.0
        if speed <= 0:
            return f"{text}, {self.status}"
        left = max(0, self.total - self.completed) / speed
        return f"{text}, {speed / 10**6:.1f} MB/s, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time as a person says it: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
