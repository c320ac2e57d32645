"""The versions of a fleet before and after, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .vocabulary import unknown_in

HEADING = ("host", "installed", "running", "Homebrew has", "now", "")


@dataclass(frozen=True)
class Row:
    """What is said of one host; `note` stands behind the versions."""

    host: str
    installed: str = "?"
    running: str = "?"
    available: str = "?"
    now: str = "?"
    note: str = ""

    @classmethod
    def of(cls, host: str, observed: Mapping[str, Any] | None, change: Mapping[str, Any] | None) -> Row:
        """Make a row of what was observed before the change and what the change returned, if there was one."""
        if observed is None:
            return cls(host, note="not looked at")
        keg, server = observed.get("homebrew", {}), observed.get("server", {})
        installed = _text(keg, "linked")
        row = cls(host, installed, _text(server, "version"), _available(observed.get("available")), installed)
        if not change or "versions" not in change:
            return row
        gap = change.get("gap_seconds")
        notes = [f"nobody held the port for {gap:.1f} s"] if gap is not None else []
        notes += [f"{change['proved_by']} completed a sentence"] if change.get("proved_by") else []
        return cls(host, installed, row.running, row.available, change["versions"]["now"] or "none", "; ".join(notes))


def _text(part: Any, key: str) -> str:
    if unknown_in(part) is not None or not isinstance(part, Mapping):
        return "?"
    return str(part.get(key) or "none")


def _available(answer: Any) -> str:
    """Return a version, or why there is none to show."""
    unknown = unknown_in(answer)
    if unknown is not None:
        return "not asked" if unknown.reason == "not asked" else "no answer"
    return str(answer or "?")


def lines(rows: Iterable[Row]) -> list[str]:
    """Return a heading and one line for each host, in columns."""
    table = [HEADING, *((row.host, row.installed, row.running, row.available, row.now, row.note) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(HEADING))]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in table]
