"""Merge what is ours into a document that somebody else owns, and take it out again.

A document is what JSON holds. Mappings recurse; everything else is a leaf, which is ours as a whole or not at all, lists too. An
empty mapping among ours means that a mapping must be there, whatever else it holds. Keys contain dots, slashes and colons
(`ollama/qwen3:8b`), so a path is a tuple of keys and never a text.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

Keys = tuple[str, ...]


class Absent:
    """The value of a path at which nothing stands; there is one, `ABSENT`, and JSON has no word for it."""

    def __repr__(self) -> str:
        return "absent"

    def __copy__(self) -> Absent:
        return self

    def __deepcopy__(self, memo: object) -> Absent:
        return self


ABSENT = Absent()


class Written(NamedTuple):
    """One leaf that we wrote. `before` is what stood there, `also` what a change that was cut short may have left instead."""

    wrote: Any
    before: Any = ABSENT
    also: tuple[Any, ...] = ()

    def is_at(self, current: Any) -> bool:
        """Tell whether our value is still there, so that it is ours to take away."""
        return any(same(current, value) for value in (self.wrote, *self.also))


@dataclass(frozen=True)
class Ours:
    """What of a document is ours: leaves, and the mappings that we made, with what stood there before."""

    values: Mapping[Keys, Written] = field(default_factory=dict)
    mappings: Mapping[Keys, Any] = field(default_factory=dict)

    def with_older(self, older: Ours) -> Ours:
        """Return what is ours while a change goes on: what was before it, what will be after it, whichever a file holds."""
        values = {**self.values}
        for path, entry in older.values.items():
            new = values.get(path)
            values[path] = entry if new is None else Written(new.wrote, entry.before, (*entry.also, entry.wrote))
        return Ours(values, {**self.mappings, **older.mappings})


class Change(NamedTuple):
    """One value that differs: `set` it, or `drop` it where nothing is to stand. `reason` says what is not obvious."""

    action: str
    path: Keys
    found: Any
    wanted: Any
    reason: str = ""


class Merged(NamedTuple):
    """The document with ours in it, what is ours of it now, and the changes that lead there."""

    document: dict[str, Any]
    ours: Ours
    changes: tuple[Change, ...]


class InTheWayError(ValueError):
    """A list stands where ours needs a mapping."""

    def __init__(self, path: Keys, found: Any) -> None:
        super().__init__(f"{path_text(path)} is a list, and ours goes into a mapping there")
        self.path = path
        self.found = found


def path_text(path: Keys) -> str:
    """Return a path as people write it; keys with a dot or a space are quoted."""
    return ".".join(f'"{key}"' if not key or set(key) & set('. "') else key for key in path)


def is_number(value: Any) -> bool:
    """Tell numbers from true and false, which are numbers in Python only."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """Tell whether JSON holds the same in both; 1 and 1.0 are, 1 and true are not, the order of keys does not count."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other))
    if isinstance(one, str) and isinstance(other, str):
        # ansible-core 2.19 gives texts a class of its own.
        return bool(one == other)
    if is_number(one) and is_number(other):
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)


def is_empty_mapping(value: Any) -> bool:
    """Tell an empty mapping from everything else that is empty."""
    return isinstance(value, Mapping) and not value


def leaves(managed: Mapping[str, Any], at: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield the path and the value of every leaf, of an empty mapping below the top as well."""
    for key, value in managed.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*at, key))
        else:
            yield (*at, key), value


def look_up(document: Any, path: Keys) -> Any:
    """Return what stands at a path, `ABSENT` where nothing does."""
    for key in path:
        if not isinstance(document, Mapping) or key not in document:
            return ABSENT
        document = document[key]
    return document


def put(document: dict[str, Any], path: Keys, value: Any) -> None:
    """Set or, for `ABSENT`, take away what stands at a path whose mappings are there. A key keeps its place."""
    *above, last = path
    for key in above:
        document = document[key]
    if value is ABSENT:
        document.pop(last, None)
    else:
        document[last] = copy.deepcopy(value)


def merge(document: Mapping[str, Any], managed: Mapping[str, Any], ours: Ours) -> Merged:
    """Return the document with `managed` in it and with nothing else of what was ours; `InTheWayError` where a list is.

    What is ours no longer goes back to what stood there before, unless somebody has changed it since. So the order in which
    managed documents come does not count, and an empty one takes out everything.
    """
    wanted = dict(leaves(managed))
    needed = {path[:length] for path in wanted for length in range(1, len(path))}
    needed |= {path for path, value in wanted.items() if is_empty_mapping(value)}
    made = copy.deepcopy(dict(document))
    values, mappings = _released(made, wanted, needed, ours)
    for path, value in wanted.items():
        for length in range(1, len(path)):
            _make_mapping(made, path[:length], mappings)
        if is_empty_mapping(value):
            _make_mapping(made, path, mappings)
            continue
        current = look_up(made, path)
        if path in values or not same(current, value):
            before = values[path].before if path in values else current
            values[path] = Written(copy.deepcopy(value), before)
        if not same(current, value):
            put(made, path, value)
    values = {path: entry for path, entry in values.items() if not same(entry.before, entry.wrote)}
    return Merged(made, Ours(values, mappings), tuple(_changes(document, made, wanted, needed, ours)))


def _released(
    made: dict[str, Any], wanted: Mapping[Keys, Any], needed: set[Keys], ours: Ours
) -> tuple[dict[Keys, Written], dict[Keys, Any]]:
    """Give back what is not wanted any more, the innermost first; return what of ours stays."""
    values: dict[Keys, Written] = {}
    for path in sorted(ours.values, key=len, reverse=True):
        entry = ours.values[path]
        if path in wanted and path not in needed:
            values[path] = entry
        elif entry.is_at(look_up(made, path)):
            put(made, path, entry.before)
    mappings: dict[Keys, Any] = {}
    for path in sorted(ours.mappings, key=len, reverse=True):
        if path in needed:
            mappings[path] = ours.mappings[path]
        elif is_empty_mapping(look_up(made, path)):
            put(made, path, ours.mappings[path])
    return values, mappings


def _make_mapping(made: dict[str, Any], path: Keys, mappings: dict[Keys, Any]) -> None:
    """Have a mapping at a path. A scalar gives way and is remembered, as any leaf that we replace; a list may hold much more.

    OpenClaw 2026.9 reads `agents.defaults.model` as a text and as a mapping, so a person's text there is no mistake.
    """
    current = look_up(made, path)
    if isinstance(current, Mapping):
        return
    if isinstance(current, list):
        raise InTheWayError(path, current)
    mappings.setdefault(path, current)
    put(made, path, {})


def _changes(
    old: Mapping[str, Any], new: Mapping[str, Any], wanted: Mapping[Keys, Any], needed: set[Keys], ours: Ours
) -> Iterator[Change]:
    """List what differs at the paths that are or were ours; each value is named once, by the outermost path that says it all."""
    for path in (*ours.values, *ours.mappings):
        if path in needed or any(path[: len(known)] == known for known in wanted.keys() - needed):
            continue
        found, left = look_up(old, path), look_up(new, path)
        within = path in ours.mappings and path not in ours.values
        if same(found, left) or (within and (isinstance(left, Mapping) or (found and left is ABSENT))):
            continue
        yield Change("drop" if left is ABSENT else "set", path, found, left, "no longer ours")
    for path in sorted(needed - set(wanted)):
        found = look_up(old, path)
        if found is not ABSENT and not isinstance(found, Mapping):
            yield Change("set", path, found, {}, "values of ours go below it; it comes back when they go")
    for path, value in wanted.items():
        found = look_up(old, path)
        if not (isinstance(found, Mapping) if is_empty_mapping(value) else same(found, value)):
            yield Change("set", path, found, value)


# Parts of a document in files of their own. ------------------------------------------------------------------------------

INCLUDE = "$include"
"""The key by which Clawdbot 2026.1 and OpenClaw 2026.9 take in another file; keys beside it win over those of the file."""


def overlaid(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return both as one, `top` winning at every leaf."""
    made = copy.deepcopy(dict(base))
    for key, value in top.items():
        inner = made.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            made[key] = overlaid(inner, value)
        else:
            made[key] = copy.deepcopy(value)
    return made


def without(document: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without the leaves of a part of it, and without the mappings that are empty then."""
    made: dict[str, Any] = {}
    for key, value in document.items():
        if key not in part:
            made[key] = copy.deepcopy(value)
        elif isinstance(value, Mapping) and isinstance(part[key], Mapping):
            rest = without(value, part[key])
            if rest:
                made[key] = rest
    return made


def matches(managed: Mapping[str, Any], at: Keys) -> Iterator[tuple[Keys, tuple[str, ...]]]:
    """Yield the paths of a document that a pattern means, each with the keys for which its `*` stand."""

    def walk(value: Any, rest: Keys, path: Keys, stars: Keys) -> Iterator[tuple[Keys, Keys]]:
        if not rest:
            yield path, stars
        elif isinstance(value, Mapping):
            for key in value if rest[0] == "*" else [key for key in (rest[0],) if key in value]:
                yield from walk(value[key], rest[1:], (*path, key), (*stars, key) if rest[0] == "*" else stars)

    return walk(managed, at, (), ())


def included(document: Mapping[str, Any], path: Keys) -> Optional[str]:
    """Return the one file that is taken in at a path, relative to the document's folder; None where none is."""
    place = look_up(document, path)
    name = place.get(INCLUDE) if isinstance(place, Mapping) else None
    return name[2:] if isinstance(name, str) and name.startswith("./") else None


def expanded(document: Mapping[str, Any], parts: Mapping[Keys, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the document with these parts in the place of what takes them in."""
    made = copy.deepcopy(dict(document))
    for path, part in parts.items():
        beside = {key: value for key, value in look_up(made, path).items() if key != INCLUDE}
        put(made, path, overlaid(part, beside))
    return made


def split(document: Mapping[str, Any], parts: Mapping[Keys, tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the document with a reference to a file in the place of each part; what else stands there stays beside it."""
    made = copy.deepcopy(dict(document))
    for path, (name, part) in parts.items():
        put(made, path, {INCLUDE: f"./{name}", **without(look_up(made, path), part)})
    return made
