"""How reports put what Macs said before people and programs: harmless on a terminal, the same text for the same fleet."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 400
"""A cell or sentence from a Mac is cut here; a log line may be a megabyte."""


def without_controls(text: str) -> str:
    """Return text with everything that could steer a terminal or turn lines around replaced."""
    if text.isprintable():
        return text
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character
        for character in text
    )


def harmless(value: object, longest: int = LONGEST) -> str:
    """Return what a Mac said as one line of bounded length for a terminal or a page."""
    # Cut before it is looked through: one character gives one character.
    text = without_controls(str(value)[: longest + 1])
    return text if len(text) <= longest else text[: longest - 3] + "..."


def as_json(report: Mapping[str, Any]) -> str:
    """Return the file's text: sorted keys, so that two runs differ only where the fleet does."""
    return json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return rows of cells as lines with aligned columns; those numbered in `right` are aligned to the right."""
    width = [
        max((len(row[place]) for row in rows if place < len(row)), default=0) for place in range(max(map(len, rows), default=0))
    ]
    return [
        "  ".join(f"{cell:{'>' if place in right else '<'}{width[place]}}" for place, cell in enumerate(row)).rstrip()
        for row in rows
    ]


def clean(value: Any) -> Any:
    """Return plain data with every text in it harmless, and no figure that JSON cannot hold; unknown becomes None."""
    if isinstance(value, Mapping):
        return {harmless(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float)) else harmless(value)
