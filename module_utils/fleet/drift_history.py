"""Since when: which drifts earlier reports have named, and when each concern of a host was last found in sync."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SCHEMA = "ollama-fleet/drift-history"
SCHEMA_VERSION = 1

REMEMBERED = 1000
"""So many drifts that are over are kept."""


class Key(NamedTuple):
    """What a drift is remembered by. `action` is "" for what no step mends."""

    host: str
    concern: str
    action: str
    item: str


@dataclass(frozen=True)
class History:
    """`open` maps drifts to when each was first named, `in_sync` hosts to concerns to when they were last found equal.

    `ended` are drifts that are over: the fields of their key, `since` and `ended`. All moments are ISO 8601 in UTC.
    """

    open: Mapping[Key, str] = field(default_factory=dict)
    in_sync: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ended: tuple[Mapping[str, str], ...] = ()


def advance(history: History, host: str, seen: Mapping[str, str], keys: Collection[Key], now: str) -> History:
    """Return the history after one host. `seen` maps each concern that was judged to its status.

    What could not be checked stays as it was: a drift does not end because nobody looked.
    """
    checked = {concern for concern, status in seen.items() if status != "not_checked"}
    still = {key: since for key, since in history.open.items() if key.host != host or key.concern not in checked or key in keys}
    over = [key for key in history.open if key not in still]
    opened = {**still, **{key: now for key in keys if key not in still}}
    equal = {**history.in_sync.get(host, {}), **{concern: now for concern, status in seen.items() if status == "in_sync"}}
    ended = [*history.ended, *({**key._asdict(), "since": history.open[key], "ended": now} for key in over)]
    return History(opened, {**history.in_sync, host: equal} if equal else history.in_sync, tuple(ended[-REMEMBERED:]))


def without_strangers(history: History, known: Collection[str], now: str) -> History:
    """End what belongs to hosts that have left the inventory."""
    for host in sorted({key.host for key in history.open} - set(known)):
        concerns = {key.concern: "not_ours" for key in history.open if key.host == host}
        history = advance(history, host, concerns, (), now)
    return History(history.open, {host: one for host, one in history.in_sync.items() if host in known}, history.ended)


def as_plain(history: History) -> dict[str, Any]:
    """Return it as it is written to drift-history.json."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "open": [{**key._asdict(), "since": since} for key, since in sorted(history.open.items())],
        "in_sync": {host: dict(one) for host, one in history.in_sync.items()},
        "ended": [dict(one) for one in history.ended],
    }


def read(text: str) -> History:
    """Read drift-history.json, nothing for an empty text; ValueError with a clause for anything else that is not it."""
    if not text.strip():
        return History()
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        message = f"it is no JSON ({problem})"
        raise ValueError(message) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("schema_version") != SCHEMA_VERSION:
        message = f"it is no {SCHEMA} of version {SCHEMA_VERSION}"
        raise ValueError(message)
    try:
        return History(
            {Key(*_texts(one, Key._fields)): _texts(one, ("since",))[0] for one in data["open"]},
            {str(host): {str(concern): str(at) for concern, at in one.items()} for host, one in data["in_sync"].items()},
            tuple(
                dict(zip((*Key._fields, "since", "ended"), _texts(one, (*Key._fields, "since", "ended"))))
                for one in data["ended"]
            ),
        )
    except (KeyError, TypeError, AttributeError) as problem:
        message = f"it lacks what its schema asks for ({type(problem).__name__}: {problem})"
        raise ValueError(message) from None


def _texts(data: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [str(data[name]) for name in names]
