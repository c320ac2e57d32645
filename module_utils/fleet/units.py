"""Figures of memory and disk: bytes inside, GB and GiB by name at the edge, never one taken for the other.

GB is 10**9 bytes, as Ollama, registries and disks print sizes. GiB is 2**30 and MiB 2**20 bytes, as memory is sold, as Metal
counts and as llama.cpp logs. Every public name says which of them it means; a name without a unit is in bytes.
"""

from __future__ import annotations

import math
from typing import Any

GB = 10**9
GIB = 2**30
MIB = 2**20

LARGEST_GB = 10**6
"""A petabyte: above it a figure is a slip of the pen, not a Mac or a model."""


def finite_number(value: Any, name: str, allowed: str, low: float, high: float) -> float:
    """Read a number between `low` and `high`; ValueError names the variable, what it holds and what is `allowed`.

    A numeric text is taken, because `-e name=16` on a command line gives text. True, lists, maps, nan and inf are not numbers.
    """
    number = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number) or not low <= number <= high:
        message = f"{name} is {shown(value)}, it must be {allowed}"
        raise ValueError(message)
    return number


def shown(value: Any) -> str:
    """Return what a variable holds for a sentence, cut short: hostile values are long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4300 digits, a list that holds itself
        text = f"a {type(value).__name__} too large to print"
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole_number(value: Any, name: str, low: int = 0, high: int = 10**15, what: str = "a whole number") -> int:
    """Read an integer between `low` and `high` without passing through float, so that every byte is kept."""
    allowed = f"{what} from {low} to {high}"
    number = finite_number(value, name, allowed, low, high)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    if number != int(number):
        message = f"{name} is {shown(value)}, it must be {allowed}"
        raise ValueError(message)
    return value if isinstance(value, int) else int(number)


def bytes_of_gb(value: Any, name: str, *, zero: bool = False) -> int:
    """Read a figure in GB (10**9 bytes) and return bytes."""
    return _bytes(value, name, "GB", GB, zero=zero)


def bytes_of_gib(value: Any, name: str, *, zero: bool = False) -> int:
    """Read a figure in GiB (2**30 bytes) and return bytes."""
    return _bytes(value, name, "GiB", GIB, zero=zero)


def bytes_of_mib(value: Any, name: str, *, zero: bool = False) -> int:
    """Read a figure in MiB (2**20 bytes) and return bytes."""
    return _bytes(value, name, "MiB", MIB, zero=zero)


def _bytes(value: Any, name: str, unit: str, size: int, *, zero: bool) -> int:
    allowed = f"a number of {unit}, {'0 or more' if zero else 'above 0'}"
    number = finite_number(value, name, allowed, 0, LARGEST_GB * GB / size)
    count = round(number * size)
    if count == 0 and not zero:
        message = f"{name} is {shown(value)}, it must be {allowed}"
        raise ValueError(message)
    return count


def gb_text(count: float) -> str:
    """Return bytes as GB with one decimal, as people compare model sizes."""
    return f"{count / GB:.1f} GB"


def gib_text(count: float) -> str:
    """Return bytes as GiB; whole sizes of memory without a decimal."""
    size = count / GIB
    return f"{size:.0f} GiB" if size == int(size) else f"{size:.1f} GiB"


def mib_text(count: float) -> str:
    """Return bytes as whole MiB, as llama.cpp logs its buffers."""
    return f"{count / MIB:.0f} MiB"


__all__ = [
    "GB",
    "GIB",
    "LARGEST_GB",
    "MIB",
    "bytes_of_gb",
    "bytes_of_gib",
    "bytes_of_mib",
    "finite_number",
    "gb_text",
    "gib_text",
    "mib_text",
    "shown",
    "whole_number",
]
