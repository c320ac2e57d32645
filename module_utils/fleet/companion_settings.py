"""What the program on the Mac is told, one JSON file per verb: written by Ansible, read by the program, the same code both ways.

Whoever reads trusts nothing: a file that somebody edited ends in one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .names import parse_name
from .residents import Resident

SCHEMA = 1
"""Raised whenever a key changes its meaning; a program of another number refuses the file."""

DAY = 24 * 3600
MOST_BYTES = 1 << 40


@dataclass(frozen=True)
class Residents:
    """Settings of the verb `residents`: times in seconds, swap in bytes."""

    url: str
    residents: tuple[Resident, ...]
    load_timeout: int = 600
    patience: int = 45
    swap_growth: int = 512 << 20


@dataclass(frozen=True)
class Logs:
    """Settings of the verb `logs`: files that grow beyond `size` bytes are rotated, `keep` old ones stay."""

    files: tuple[str, ...]
    size: int = 10 << 20
    keep: int = 5
    compress: bool = True


def to_text(settings: Residents | Logs) -> str:
    """Return the file: sorted keys, so that the same settings give the same bytes."""
    if isinstance(settings, Residents):
        residents = [{"context_length": one.context_length, "name": one.name} for one in settings.residents]
        data = {**vars(settings), "residents": residents}
    else:
        data = {**vars(settings), "files": list(settings.files)}
    return json.dumps({"schema": SCHEMA, **data}, indent=2, sort_keys=True) + "\n"


def residents_from_text(text: str) -> Residents:
    """Read the settings of `residents`; ValueError with one sentence."""
    data = _object(text)
    url = _text(data, "url")
    if not url.startswith("http://"):
        message = f"url is {url!r}, allowed is http://ADDRESS:PORT"
        raise ValueError(message)
    entries = data.get("residents")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        message = f"residents is {entries!r:.80}, allowed is a list of objects"
        raise ValueError(message)
    return Residents(
        url=url.rstrip("/"),
        residents=tuple(
            Resident(str(parse_name(entry.get("name"))), _number(entry, "context_length", 0, 1 << 24)) for entry in entries
        ),
        load_timeout=_number(data, "load_timeout", 1, DAY),
        patience=_number(data, "patience", 0, DAY),
        swap_growth=_number(data, "swap_growth", 0, MOST_BYTES),
    )


def logs_from_text(text: str) -> Logs:
    """Read the settings of `logs`; ValueError with one sentence."""
    data = _object(text)
    files = data.get("files")
    if not isinstance(files, list) or not all(_is_path(path) for path in files):
        message = f"files is {files!r:.80}, allowed is a list of absolute paths"
        raise ValueError(message)
    compress = data.get("compress")
    if not isinstance(compress, bool):
        message = f"compress is {compress!r:.80}, allowed is true or false"
        raise ValueError(message)
    return Logs(tuple(files), _number(data, "size", 1, MOST_BYTES), _number(data, "keep", 1, 1000), compress)


def _object(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        message = f"it is not JSON ({str(problem)[:80]})"
        raise ValueError(message) from problem
    if not isinstance(data, dict):
        message = "it is not a JSON object"
        raise ValueError(message)
    schema = data.get("schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        message = f"schema is {schema!r:.80}, this program reads {SCHEMA}"
        raise ValueError(message)
    return data


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        message = f"{key} is {value!r:.80}, allowed is a text"
        raise ValueError(message)
    return value


def _number(data: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        message = f"{key} is {value!r:.80}, allowed is a whole number from {least} to {most}"
        raise ValueError(message)
    return value


def _is_path(path: object) -> bool:
    return isinstance(path, str) and path.startswith("/") and "\0" not in path and not path.endswith("/")
