"""What is asked of the files of client programs: which files, what of them is ours, and how a client checks one itself."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

from .merging import Keys, look_up, matches, path_text

MARKER = "ollama-fleet"
"""What the first line of a text of ours says, so that it is known as ours without the record too."""

DEEPEST = 100
OPTIONS = frozenset({"path", "program", "format", "managed", "mode", "folder_mode", "include", "validate"})

_MODE = re.compile(r"0?[0-7]{3}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class RefusedError(ValueError):
    """Sentences that say why nothing was touched: what was found, what is allowed, what to do."""


@dataclass(frozen=True)
class Validation:
    """The client's own check of a candidate file; `path_variable` tells it where that lies, `timeout` is seconds."""

    command: tuple[str, ...]
    path_variable: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 60


@dataclass(frozen=True)
class WantedFile:
    """One file, and what of it is ours. `parts` are paths of `managed` that lie in files of their own, relative to its folder.

    `mode` None leaves modes alone. `managed` is a mapping for JSON, and the whole text for `text`.
    """

    path: str
    format: Literal["json", "text"]
    managed: Any
    program: str = ""
    mode: Optional[int] = 0o600
    folder_mode: int = 0o700
    parts: Mapping[Keys, str] = field(default_factory=dict)
    validate: Optional[Validation] = None

    def part_paths(self) -> tuple[str, ...]:
        """Return where the files of its parts lie, as the file itself is given."""
        return tuple(posixpath.join(posixpath.dirname(self.path), name) for name in self.parts.values())


def wanted_from_json(files: Any) -> tuple[WantedFile, ...]:
    """Read the option `files`; `RefusedError` with a sentence for each value that would not do what its author meant."""
    if not isinstance(files, (list, tuple)):
        message = f"files: found {type(files).__name__}, allowed is a list of files. Correct the task."
        raise RefusedError(message)
    made, problems = [], []
    for number, file in enumerate(files):
        try:
            made.append(_wanted_file(file, f"files[{number}]"))
        except RefusedError as problem:
            problems.append(str(problem))
    if problems:
        raise RefusedError(" ".join(problems))
    return tuple(made)


def need(good: Any, where: str, found: Any, allowed: str) -> None:
    """Refuse with what was found, what is allowed and where to correct it, unless it is good."""
    if not good:
        message = f"{where}: found {found!r}, allowed is {allowed}. Correct it in the inventory or in the template."
        raise RefusedError(message)


def _wanted_file(file: Any, where: str) -> WantedFile:
    need(isinstance(file, Mapping), where, file, "a mapping with path, format and managed")
    unknown = sorted(map(str, set(file) - OPTIONS))
    need(not unknown, where, ", ".join(unknown), f"{', '.join(sorted(OPTIONS))}")
    path, kind, managed = file.get("path"), file.get("format", "json"), file.get("managed")
    need(isinstance(path, str) and re.match(r"/|~/", path), f"{where}.path", path, "a path that is absolute or begins with ~/")
    need(
        posixpath.normpath(path) == path and "\0" not in path, f"{where}.path", path, "a path without . or .. or doubled slashes"
    )
    where = path
    need(kind in ("json", "text"), f"{where}: format", kind, "json or text")
    if kind == "text":
        need(isinstance(managed, str) and managed.strip(), f"{where}: managed", type(managed).__name__, "the text of the file")
        managed = managed if managed.endswith("\n") else managed + "\n"
        first = managed.partition("\n")[0]
        need(
            MARKER in first,
            f"{where}: the first line",
            first,
            f"a line that contains {MARKER}, which tells that the file is ours",
        )
    else:
        need(isinstance(managed, Mapping), f"{where}: managed", type(managed).__name__, "a mapping")
        managed = _as_json(managed, where, ())
    return WantedFile(
        path,
        "text" if kind == "text" else "json",
        managed,
        str(file.get("program") or ""),
        _mode(file.get("mode", "0600"), f"{where}: mode"),
        _mode(file.get("folder_mode") or "0700", f"{where}: folder_mode") or 0o700,
        _parts(file.get("include") or (), managed, where) if kind == "json" else {},
        _validation(file["validate"], f"{where}: validate") if file.get("validate") else None,
    )


def _mode(value: Any, where: str) -> Optional[int]:
    if value in ("", None):
        return None
    need(isinstance(value, str) and _MODE.fullmatch(value), where, value, 'an octal mode in quotes such as "0600", or ""')
    mode = int(value, 8)
    need(not mode & 0o022, where, value, "a mode that lets nobody but the owner write")
    return mode


def _as_json(value: Any, where: str, path: Keys) -> Any:
    """Return a value as JSON holds it; YAML and templates know more kinds than JSON does."""
    at = f"{where}: {path_text(path)}"
    need(len(path) <= DEEPEST, at, len(path), f"at most {DEEPEST} levels")
    if isinstance(value, Mapping):
        for key in value:
            need(isinstance(key, str), at, key, "a key that is text, in quotes")
        return {str(key): _as_json(inner, where, (*path, str(key))) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(inner, where, (*path, str(number))) for number, inner in enumerate(value)]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        need(math.isfinite(value), at, value, "a finite number")
        return int(value) if isinstance(value, int) else float(value)
    need(
        isinstance(value, str),
        at,
        type(value).__name__,
        "text, also for dates, a number, true, false, null, a list or a mapping",
    )
    return str(value)


def _parts(include: Any, managed: Any, where: str) -> dict[Keys, str]:
    parts: dict[Keys, str] = {}
    need(isinstance(include, (list, tuple)), f"{where}: include", include, "a list of {at, file}")
    for rule in include:
        at, name = (rule.get("at"), rule.get("file")) if isinstance(rule, Mapping) else (None, None)
        good = isinstance(at, (list, tuple)) and at and all(isinstance(key, str) for key in at) and isinstance(name, str)
        need(good, f"{where}: include", rule, "at, a list of keys, and file, a name")
        for path, stars in matches(managed, tuple(map(str, at or ()))):
            said = f"{where}: include at {path_text(path)}"
            file = _part_name(str(name), stars)
            words = file.split("/")
            need(words and all(_FILE_NAME.fullmatch(word) for word in words), said, file,
                  "a relative name of letters, digits, dots, dashes and underscores")  # fmt: skip
            need(isinstance(look_up(managed, path), Mapping), said, "no mapping", "a mapping of ours")
            need(file not in parts.values(), said, file, "a file of its own for each part")
            for other in parts:
                inside = path[: len(other)] == other or other[: len(path)] == path
                need(not inside, said, f"a part within {path_text(other)}", "parts that lie beside each other")
            parts[path] = file
    return parts


def _part_name(name: str, stars: Sequence[str]) -> str:
    for number, key in enumerate(stars):
        name = name.replace("{" + str(number) + "}", key if _FILE_NAME.fullmatch(key) else f"?{key}?")
    return name


def _validation(asked: Any, where: str) -> Validation:
    need(isinstance(asked, Mapping), where, asked, "a mapping with command")
    command, environment = asked.get("command"), asked.get("environment") or {}
    good = isinstance(command, (list, tuple)) and command and all(isinstance(word, str) and word for word in command)
    need(good, f"{where}.command", command, "the words of a command as a list")
    need(isinstance(environment, Mapping), f"{where}.environment", environment, "a mapping of texts")
    return Validation(
        tuple(str(word) for word in command),
        str(asked.get("path_variable") or ""),
        {str(name): str(value) for name, value in environment.items()},
        int(asked.get("timeout") or 60),
    )
