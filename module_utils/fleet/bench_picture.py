"""The picture of a measurement: a bar for each model on each Mac with its spread, in one file that asks for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from .shown import harmless

WIDTH = 860
LEFT = 330
RIGHT = 90
ROW = 34
TOP = 64
NICE = (1, 2, 5)
MOST_TICKS = 6

STYLE = """
.ground { fill: #ffffff; } .ink { fill: #1b1f24; } .soft { fill: #57606a; } .bar { fill: #1f5fae; }
.tick { stroke: #d5dae0; stroke-width: 1; } .spread { stroke: #1b1f24; stroke-width: 2; }
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; } .title { font-size: 17px; font-weight: 600; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #171b22; } .ink { fill: #e8ecf1; } .soft { fill: #a3adb8; } .bar { fill: #6ea8f0; }
  .tick { stroke: #303842; } .spread { stroke: #f2f5f8; }
}
"""


def picture(made: Mapping[str, Any]) -> str:
    """Return the SVG; without figures it says that there are none."""
    rows = [
        (host["host"], model)
        for host in made["hosts"]
        for model in host["models"]
        if model["outcome"] == "measured" and model["generation_tokens_per_second"]
    ]
    largest = max((model["generation_tokens_per_second"]["maximum"] for _, model in rows), default=0.0)
    height = TOP + ROW * max(1, len(rows)) + 40
    said = "; ".join(f"{text(model['model'])} on {text(host)} {_middle(model):.1f}" for host, model in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title description">',
        '<title id="title">Generated tokens per second</title>',
        f'<desc id="description">Median of the runs, {said or "nothing was measured"}. The line at each bar is from the slowest'
        " to the fastest run.</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="ink title" x="16" y="28">Generated tokens per second, {text(made["made_at"])}</text>',
    ]
    if not rows:
        parts.append(f'<text class="soft" x="16" y="{TOP + 16}">Nothing was measured.</text>')
    step = _step(largest)
    scale = (WIDTH - LEFT - RIGHT) / (largest or 1)
    bottom = TOP + ROW * len(rows)
    for count in range(int(largest // step) + 1 if rows else 0):
        at = LEFT + count * step * scale
        parts.append(f'<line class="tick" x1="{at:.1f}" y1="{TOP - 8}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="soft" x="{at:.1f}" y="{bottom + 20}" text-anchor="middle">{count * step:g}</text>')
    for place, (host, model) in enumerate(rows):
        parts += _bar(TOP + ROW * place, host, model, scale)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _middle(model: Mapping[str, Any]) -> float:
    return float(model["generation_tokens_per_second"]["median"])


def _bar(top: int, host: str, model: Mapping[str, Any], scale: float) -> list[str]:
    one = model["generation_tokens_per_second"]
    middle, low, high = (LEFT + one[key] * scale for key in ("median", "minimum", "maximum"))
    line = top + 11
    label = f"{host}  {model['model']}"
    return [
        f'<text class="ink" x="{LEFT - 10}" y="{line + 5}" text-anchor="end">{text(label, 44)}</text>',
        f'<rect class="bar" x="{LEFT}" y="{top}" width="{middle - LEFT:.1f}" height="22"/>',
        f'<line class="spread" x1="{low:.1f}" y1="{line}" x2="{high:.1f}" y2="{line}"/>',
        f'<text class="ink" x="{max(high, middle) + 8:.1f}" y="{line + 5}">{one["median"]:.1f}</text>',
    ]


def _step(largest: float) -> float:
    """Return a round distance of ticks, so that there are at most six."""
    size = 0.01
    while True:
        for factor in NICE:
            if largest / (size * factor) < MOST_TICKS:
                return size * factor
        size *= 10


def text(value: object, longest: int = 200) -> str:
    """Return what a Mac said for XML: harmless, short, and without the characters that no XML may hold."""
    plain = harmless(value, longest)
    return escape("".join("\N{REPLACEMENT CHARACTER}" if ord(one) & 0xFFFE == 0xFFFE else one for one in plain), {'"': "&quot;"})
