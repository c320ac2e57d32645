"""What was seen of the files of client programs, and what is to be done with them: the words between machine and judgement."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from .client_asked import RefusedError, Validation
from .client_record import Entry
from .vocabulary import Step

LARGEST_BYTES = 5 * 1024 * 1024
BACKUP = ".ollama-fleet.bak"
"""Ends the name of a file as it was before the last write of ours."""

NEW = ".ollama-fleet.new"
"""Ends the name of a file that lies complete on the disk and has not got its name yet."""


@dataclass(frozen=True)
class Document:
    """A JSON file as it was read; `strict` tells that it needs nothing of JSON5, so that writing it loses nothing."""

    value: dict[str, Any]
    strict: bool = True


Reader = Callable[[bytes], Document]
"""Reads JSON5; ValueError with line and column where it is none, and nothing of the content in its words."""


@dataclass(frozen=True)
class SeenFile:
    """One path on the machine. `kind` is absent, file, link, large, unreadable or other.

    `problem` is why it cannot be read, or where the link leads. `missing` are the folders above it that are not there, top
    first. `beside` are files of ours next to it, copies and what a cut left, with their sha256.
    """

    path: str
    kind: str = "absent"
    content: bytes = b""
    sha256: str = ""
    mode: int = 0
    problem: str = ""
    writable: bool = True
    missing: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Tell whether there is a file to read."""
        return self.kind == "file"


@dataclass(frozen=True)
class Seen:
    """What the machine said: each file by its whole path, and the whole path of each that was asked for."""

    files: Mapping[str, SeenFile]
    paths: Mapping[str, str]
    record: str

    def file(self, path: str) -> SeenFile:
        """Return one file; one that nobody looked at is a mistake here."""
        return self.files[path]


@dataclass(frozen=True)
class Write:
    """New content of a file; `mode` None keeps the one it has, or 0600 for a new file."""

    path: str
    content: bytes
    mode: Optional[int]


@dataclass(frozen=True)
class Candidate:
    """A file that the client's own command is to find good before anything changes; `secrets` are texts of it not to be told."""

    path: str
    program: str
    content: bytes
    how: Validation
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What one file needs. `entry` is what the record says of it afterwards, None where nothing of it is ours any more.

    `keeps` are copied before it is written (from, to), `removes` are files that go, `cleared` copies of ours that go unsaid.
    """

    path: str
    steps: tuple[Step, ...] = ()
    entry: Optional[Entry] = None
    warnings: tuple[str, ...] = ()
    writes: tuple[Write, ...] = ()
    modes: tuple[tuple[str, int], ...] = ()
    removes: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    keeps: tuple[tuple[str, str], ...] = ()
    candidate: Optional[Candidate] = None
    folder_mode: int = 0o700


@dataclass(frozen=True)
class Plan:
    """Everything at once: all files change, or none does.

    `expect` is the sha256 of each file that was judged, "" where there was none. `between` is the record while the change goes
    on, `record` the one afterwards, None for none. `folders` are made, with their modes; `emptied` go where nothing is in them.
    """

    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()
    expect: Mapping[str, str] = field(default_factory=dict)
    writes: tuple[Write, ...] = ()
    modes: tuple[tuple[str, int], ...] = ()
    removes: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    keeps: tuple[tuple[str, str], ...] = ()
    candidates: tuple[Candidate, ...] = ()
    folders: tuple[tuple[str, int], ...] = ()
    emptied: tuple[str, ...] = ()
    between: bytes = b""
    record: Optional[bytes] = None


def usable(look: SeenFile, role: str) -> None:
    """Refuse what is there and is no file to be read and replaced."""
    reasons = {
        "link": f"is a symbolic link to {look.problem}, allowed is a regular file, since a program that writes it anew parts"
        f" the two. Name {look.problem} as the path, or replace the link by the file",
        "large": f"is larger than {LARGEST_BYTES // 2**20} MiB, allowed is less. Make it smaller or take it out of the list",
        "unreadable": f"cannot be read: {look.problem}. Give its owner the right to read it",
        "other": "is no regular file. Move it away",
    }
    if look.kind in reasons:
        message = f"{look.path}, {role}, {reasons[look.kind]}."
        raise RefusedError(message)


def read_json(look: SeenFile, role: str, read: Reader) -> Document:
    """Read a file that may be absent, which is an empty document; `RefusedError` where it is none."""
    usable(look, role)
    if not look.exists:
        return Document({})
    try:
        return read(look.content)
    except ValueError as problem:
        message = f"{look.path}, {role}: {problem}. Correct the file by hand, nothing was touched."
        raise RefusedError(message) from problem


def what(program: str) -> str:
    """Return what a file is, for sentences."""
    return f"a file of {program}" if program else "a file of a client"


def to_text(path: str, document: Mapping[str, Any]) -> bytes:
    """Return a document as strict JSON with keys in their order; `RefusedError` for numbers that JSON has no word for."""
    try:
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as problem:
        message = f"{path} holds Infinity or NaN, which strict JSON cannot say. Write a number or a text there by hand."
        raise RefusedError(message) from problem
    # Half a surrogate pair is allowed in JSON, as an escape, and not in UTF-8.
    return (re.sub(r"[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text) + "\n").encode()


def digest(content: bytes) -> str:
    """Return the sha256 of a content."""
    return hashlib.sha256(content).hexdigest()


# As JSON between machine and controller. --------------------------------------------------------------------------------


def sealed(data: Any) -> str:
    """Return data as one text that nobody reads by accident, in a log or on a screen; it is packed, not encrypted."""
    return base64.b64encode(zlib.compress(json.dumps(data).encode())).decode()


def opened(text: str) -> Any:
    """Return what `sealed` was given."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


def seen_from_json(data: Mapping[str, Any]) -> Seen:
    """Read what the machine said of its files."""
    files = {
        path: SeenFile(**{**look, "content": base64.b64decode(look["content"]), "missing": tuple(look["missing"])})
        for path, look in data["files"].items()
    }
    return Seen(files, data["paths"], data["record"])


def work_to_json(plan: Plan, record_path: str) -> dict[str, Any]:
    """Return what the machine needs of a plan; contents are base64."""
    return {
        "record_path": record_path,
        "expect": dict(plan.expect),
        "folders": [list(folder) for folder in plan.folders],
        "candidates": [
            {
                "path": one.path,
                "content": base64.b64encode(one.content).decode(),
                "command": list(one.how.command),
                "path_variable": one.how.path_variable,
                "environment": dict(one.how.environment),
                "timeout": one.how.timeout,
            }
            for one in plan.candidates
        ],
        "keeps": [list(keep) for keep in plan.keeps],
        "between": base64.b64encode(plan.between).decode(),
        "writes": [
            {"path": one.path, "content": base64.b64encode(one.content).decode(), "mode": one.mode} for one in plan.writes
        ],
        "modes": [list(act) for act in plan.modes],
        "removes": [*plan.removes, *plan.cleared],
        "record": None if plan.record is None else base64.b64encode(plan.record).decode(),
        "emptied": list(plan.emptied),
    }
