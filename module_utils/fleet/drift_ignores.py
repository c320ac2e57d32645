"""Drift that somebody knows of and leaves as it is, for a reason and until a day."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from .drift_history import Key

FIELDS = ("host", "concern", "action", "item", "reason", "until")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Ignore:
    """What is not counted: shell patterns for host, concern, action and item. `until` is the last day, "" for always."""

    reason: str
    host: str = "*"
    concern: str = "*"
    action: str = "*"
    item: str = "*"
    until: str = ""

    def matches(self, key: Key) -> bool:
        """Tell whether a drift is meant."""
        return all(fnmatchcase(getattr(key, name), getattr(self, name)) for name in ("host", "concern", "action", "item"))

    def sentence(self) -> str:
        """Return it as a person would say it."""
        what = ", ".join(
            f"{name} {getattr(self, name)}" for name in ("host", "concern", "action", "item") if getattr(self, name) != "*"
        )
        return f"{what} ({self.reason}{', until ' + self.until if self.until else ''})"


def ignores_from_inventory(entries: Any, concerns: Collection[str]) -> tuple[Ignore, ...]:
    """Read `drift_ignore`; ValueError with one sentence that names the entry, what was found and what is allowed.

    `-e drift_ignore=[...]` makes a text of it, which is read as JSON, and which Ansible cuts at the first space.
    """
    if isinstance(entries, str):
        try:
            entries = json.loads(entries)
        except (ValueError, RecursionError):
            message = (
                f"drift_ignore: found {entries[:80]!r}, which is no JSON."
                """ On the command line write -e '{"drift_ignore": [{"concern": "firewall", "reason": "WHY"}]}'."""
            )
            raise ValueError(message) from None
    if not isinstance(entries, (list, tuple)):
        message = f"drift_ignore: found {entries!r}, allowed is a list of mappings such as {{concern: firewall, reason: WHY}}."
        raise ValueError(message)
    return tuple(_read(entry, place, concerns) for place, entry in enumerate(entries, start=1))


def _read(entry: Any, place: int, concerns: Collection[str]) -> Ignore:
    where = f"drift_ignore, entry {place}"
    if not isinstance(entry, Mapping):
        message = f"{where}: found {entry!r}, allowed is a mapping such as {{concern: firewall, reason: WHY}}."
        raise ValueError(message)
    unknown = sorted(set(entry) - set(FIELDS))
    if unknown:
        message = f"{where}: found {', '.join(map(str, unknown))}, allowed are {', '.join(FIELDS)}."
        raise ValueError(message)
    values = {name: str(value).strip() for name, value in entry.items() if value is not None}
    if not values.get("reason"):
        message = f"{where}: it has no reason, and what is ignored without one is forgotten. Add reason: WHY."
        raise ValueError(message)
    if not values.keys() & {"concern", "item", "action"}:
        message = f"{where}: it names neither concern, action nor item, so it would ignore everything. Say what is meant."
        raise ValueError(message)
    concern = values.get("concern", "*")
    if not any(fnmatchcase(name, concern) for name in concerns):
        message = f"{where}: no concern is called {concern!r}; there are {', '.join(concerns)}."
        raise ValueError(message)
    if values.get("until") and not _DAY.fullmatch(values["until"]):
        message = f"{where}: until is {values['until']!r}, allowed is a day such as 2026-12-31."
        raise ValueError(message)
    return Ignore(**values)


def ignored(ignores: Iterable[Ignore], key: Key, today: str) -> str:
    """Return why a drift is not counted, "" where it is."""
    return next((one.reason for one in ignores if one.matches(key) and not over(one, today)), "")


def over(ignore: Ignore, today: str) -> bool:
    """Tell whether its last day is past. Days compare as texts."""
    return bool(ignore.until) and ignore.until < today


def notes(ignores: Sequence[Ignore], keys: Collection[Key], today: str, *, whole: bool) -> tuple[str, ...]:
    """Say which are over and which match nothing; the latter only of a `whole` fleet, since what was not asked may match."""
    said = []
    for one in ignores:
        if over(one, today):
            said.append(f"drift_ignore: {one.sentence()} is over, so it counts again. Take the entry out or give it another day.")
        elif whole and not any(one.matches(key) for key in keys):
            said.append(f"drift_ignore: {one.sentence()} matches nothing. Take the entry out if that is gone for good.")
    return tuple(said)
