"""Versions of Ollama as it and Homebrew write them, and which of them a server must not or should not run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, Literal

from .vocabulary import Finding

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:-(?:rc\.?)?(\d+)|-([A-Za-z][\w.]*))?(?:_(\d+))?")

UNTOLD = (0,)
"""The numbers of 0.0.0, which a build from source reports (version/version.go): a version that says nothing."""


@total_ordering
@dataclass(frozen=True)
class Version:
    """A version: 0.32.15, 0.33.0-rc2, and Homebrew's revision of its own as in 0.32.15_1.

    `numbers` are without zeros at the end, so that 0.33 and 0.33.0 are one. `candidate` is None for a release.
    """

    numbers: tuple[int, ...]
    candidate: int | None = None
    revision: int = 0

    def _key(self) -> tuple[tuple[int, ...], bool, int, int]:
        return self.numbers, self.candidate is None, self.candidate or 0, self.revision

    def __lt__(self, other: Version) -> bool:
        """Order by numbers; a candidate comes before its release, a revision after the version it revises."""
        return self._key() < other._key()

    @property
    def base(self) -> Version:
        """Return the version without Homebrew's revision: what the server itself reports."""
        return Version(self.numbers, self.candidate)

    @property
    def told(self) -> bool:
        """Tell whether it says anything; a build from source reports 0.0.0."""
        return self.numbers != UNTOLD

    def __str__(self) -> str:
        """Return it in Homebrew's form, with three numbers at least."""
        numbers = (*self.numbers, *(0,) * (3 - len(self.numbers)))
        candidate = "" if self.candidate is None else f"-rc{self.candidate}"
        revision = f"_{self.revision}" if self.revision else ""
        return ".".join(str(number) for number in numbers) + candidate + revision


def parse(text: str) -> Version | None:
    """Read a version with or without `v`; None when it is none, as the `HEAD-0123abc` of a keg built from the branch."""
    found = _VERSION.fullmatch(text.strip())
    if not found or found[3]:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return Version(tuple(numbers), None if found[2] is None else int(found[2]), int(found[4] or 0))


def order(text: str) -> tuple[bool, tuple[tuple[int, ...], bool, int, int], str]:
    """Return a key by which texts sort from the oldest to the newest; what is no version comes first."""
    version = parse(text)
    return version is not None, (version or Version(UNTOLD))._key(), text


def newest(texts: Iterable[str]) -> str:
    """Return the newest of some versions, "" of none."""
    return max(texts, key=order, default="")


def is_older(one: str, other: str) -> bool:
    """Tell whether one version surely comes before another; never of what is no version."""
    first, second = parse(one), parse(other)
    return first is not None and second is not None and first < second


def same_release(one: str, other: str) -> bool:
    """Tell whether two texts mean one release of Ollama, whatever Homebrew's revisions; texts that are no version must agree."""
    first, second = parse(one), parse(other)
    if first is None or second is None:
        return one == other
    return first.base == second.base


@dataclass(frozen=True)
class Bad:
    """A range of versions, both ends in it, and what is wrong with it. `first` None means from the beginning."""

    first: Version | None
    last: Version
    severity: Literal["error", "warning"]
    why: str
    source: str

    def holds(self, version: Version) -> bool:
        """Tell whether a version lies in the range; Homebrew's revision changes nothing about Ollama itself."""
        base = version.base
        return (self.first is None or self.first <= base) and base <= self.last


def knowledge_from_json(data: Mapping[str, Any]) -> tuple[Bad, ...]:
    """Read `catalogue/ollama_versions.yml`; ValueError with a sentence for a row that nobody can mean."""
    rows = []
    for row in data["bad"]:
        first, last = (parse(str(row[key])) if key in row else None for key in ("from", "to"))
        if last is None or ("from" in row and first is None) or (first is not None and last < first):
            message = f"ollama_versions: {row.get('from', '')} to {row.get('to', '')} is no range of versions"
            raise ValueError(message)
        if row["severity"] not in ("error", "warning") or not row["why"] or not row["source"]:
            message = f"ollama_versions: the row up to {last} needs a severity of error or warning, a why and a source"
            raise ValueError(message)
        rows.append(Bad(first, last, row["severity"], str(row["why"]).strip(), str(row["source"]).strip()))
    return tuple(rows)


def floor(knowledge: Iterable[Bad]) -> Version | None:
    """Return the newest version that is refused wherever it would run; everything a server may run is newer."""
    return max((row.last for row in knowledge if row.severity == "error"), default=None)


def findings(host: str, text: str, knowledge: Iterable[Bad], *, installed: str = "") -> tuple[Finding, ...]:
    """Judge the version that a Mac runs or will run after this run; `installed` is the one it has today.

    A range with the severity `warning` is an error for a version that would be brought there anew.
    """
    version = parse(text)
    if version is None or not version.told:
        return ()
    new = not same_release(text, installed)
    remedy = (
        "name another version in ollama_version, or wait until Homebrew has the next one"
        if new
        else "bring it up to date with playbooks/upgrade.yml"
    )
    return tuple(
        Finding(
            host, "ollama_version", f"Ollama {text}", text, "another version",
            "error" if new or row.severity == "error" else "warning",
            f"{row.why} (source: {row.source})", remedy,
        )
        for row in knowledge
        if row.holds(version)
    )  # fmt: skip
