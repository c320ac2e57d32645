"""Which old logs move where when a log is rotated: `x.log` to `x.log.1`, that to `x.log.2`, and so on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

PACKED = ".gz"


@dataclass(frozen=True)
class Shift:
    """What to do with the old ones of a log, by file name: renames in their order, then what goes."""

    renames: tuple[tuple[str, str], ...]
    removals: tuple[str, ...]


def shift(name: str, beside: Iterable[str], keep: int) -> Shift:
    """Make room for `NAME.1`; `beside` are the names in the log's folder.

    The highest numbers go first, so that nothing is overwritten. Where a number is there twice, packed and not, a packing was cut
    off before the original went: the original is complete and stays.
    """
    found: dict[int, list[str]] = {}
    for other in sorted(beside):
        match = re.fullmatch(re.escape(name) + r"\.([1-9][0-9]{0,5})(" + re.escape(PACKED) + r")?", other)
        if match:
            found.setdefault(int(match[1]), []).append(other)
    removals = []
    renames = []
    # Only an unbroken row moves: a gap is room.
    room = next(number for number in range(1, len(found) + 2) if number not in found)
    for number in sorted(found, reverse=True):
        plain, *packed = sorted(found[number])
        removals += packed
        if number >= keep:
            removals.append(plain)
        elif number < room:
            tail = PACKED if plain.endswith(PACKED) else ""
            renames.append((plain, f"{name}.{number + 1}{tail}"))
    return Shift(tuple(renames), tuple(removals))
