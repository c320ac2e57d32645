"""The record of what is ours in the files of client programs, on the machine itself: `docs/clients-files.md` describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Optional

from .merging import ABSENT, Keys, Ours, Written

SCHEMA = 1
HINT = "What is ours in the files of client programs. ansible-playbook keeps it; without it, nothing of ours can be taken back."


@dataclass(frozen=True)
class Entry:
    """One file. `sha256` are the contents that we wrote last: one, or two while a change goes on.

    `original` is the name, beside the file, of what was there before us; `mode` is (before, ours) where we changed it; `parts`
    are the files in which parts of it lie, relative to its folder.
    """

    format: Literal["json", "text"] = "json"
    program: str = ""
    created: bool = False
    original: str = ""
    sha256: tuple[str, ...] = ()
    mode: Optional[tuple[int, int]] = None
    ours: Ours = field(default_factory=Ours)
    parts: Mapping[Keys, tuple[str, ...]] = field(default_factory=dict)

    def with_older(self, older: Entry) -> Entry:
        """Return what holds while a change goes on, whichever of the two the file shows."""
        parts = {at: (*names, *older.parts.get(at, ())) for at, names in self.parts.items()}
        return replace(
            self,
            sha256=tuple(dict.fromkeys((*self.sha256, *older.sha256))),
            ours=self.ours.with_older(older.ours),
            parts={**older.parts, **{at: tuple(dict.fromkeys(names)) for at, names in parts.items()}},
        )


NOTHING = Entry()


@dataclass(frozen=True)
class Record:
    """All files by their whole path, and the folders that we made; `cut` tells that a change began and did not end."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    cut: bool = False


def record_to_text(record: Record) -> str:
    """Return a record as the text of its file. It may hold what a person had in a file, so nobody else may read it."""
    files = {path: _entry_to_json(entry) for path, entry in record.entries.items()}
    data = {"about": HINT, "schema": SCHEMA, "cut": record.cut, "folders": list(record.folders), "files": files}
    # With escapes: half a surrogate pair of a person's text is no UTF-8.
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    return {
        "format": entry.format,
        "program": entry.program,
        "created": entry.created,
        "original": entry.original,
        "sha256": list(entry.sha256),
        "mode": [f"{mode:04o}" for mode in entry.mode] if entry.mode else None,
        "values": [
            {
                "path": list(path),
                "wrote": one.wrote,
                **({} if one.before is ABSENT else {"before": one.before}),
                **({"also": list(one.also)} if one.also else {}),
            }
            for path, one in sorted(entry.ours.values.items())
        ],
        "mappings": [
            {"path": list(path), **({} if before is ABSENT else {"before": before})}
            for path, before in sorted(entry.ours.mappings.items())
        ],
        "parts": [{"path": list(path), "files": list(names)} for path, names in sorted(entry.parts.items())],
    }


def record_from_text(text: str) -> Record:
    """Read a record back; ValueError with the reason where it is none."""
    data = json.loads(text)
    try:
        if data["schema"] != SCHEMA:
            message = f"it has schema {data['schema']!r}, and this version knows {SCHEMA}"
            raise ValueError(message)
        files = {str(path): _entry_from_json(entry) for path, entry in data["files"].items()}
        return Record(files, tuple(map(str, data["folders"])), bool(data["cut"]))
    except (KeyError, TypeError, AttributeError) as problem:
        message = f"it lacks something ({type(problem).__name__}: {problem})"
        raise ValueError(message) from problem


def _entry_from_json(data: Mapping[str, Any]) -> Entry:
    values = {
        tuple(map(str, one["path"])): Written(one["wrote"], one.get("before", ABSENT), tuple(one.get("also", ())))
        for one in data["values"]
    }
    mappings = {tuple(map(str, one["path"])): one.get("before", ABSENT) for one in data["mappings"]}
    mode = data["mode"]
    return Entry(
        "text" if data["format"] == "text" else "json",
        str(data["program"]),
        bool(data["created"]),
        str(data["original"]),
        tuple(map(str, data["sha256"])),
        (int(mode[0], 8), int(mode[1], 8)) if mode else None,
        Ours(values, mappings),
        {tuple(map(str, one["path"])): tuple(map(str, one["files"])) for one in data["parts"]},
    )


def recorded_paths(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (files, names beside them) that a record speaks of: whatever is judged must have been looked at.

    The names are those of parts and of originals, each with its file's folder. Nothing where the text is no record.
    """
    try:
        record = record_from_text(text)
    except ValueError:
        return (), ()
    beside = []
    for path, entry in record.entries.items():
        folder = path.rpartition("/")[0]
        names = [entry.original] if entry.original else []
        names += [name for known in entry.parts.values() for name in known]
        beside += [f"{folder}/{name}" for name in names]
    return tuple(record.entries), tuple(beside)
