"""What of a person's files may be shown, printed or logged: our own values, and of theirs what is surely no secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .merging import ABSENT, Keys

_SECRET_NAME = re.compile(r"key|token(?!s)|secret|passw|auth|credential|cookie|bearer|private|header|webhook|session|dsn", re.I)
_SECRET_TEXT = re.compile(r"^(sk|pk|rk|gh[a-z]|xox[a-z]|AKIA|eyJ|glpat)[-_A-Za-z0-9]|://[^/\s]*@|[?&][^=\s]*=|^[\w+/=.-]{24,}$")
_TEXT_SETTING = re.compile(r"(\s*(?:export\s+)?[\"']?([A-Za-z_][\w.-]*)[\"']?\s*[=:]\s*)(\S.*)")

HIDDEN = "not shown"


def shown(path: Keys, value: Any, *, ours: bool) -> Any:
    """Return a value for people, without what may be a secret.

    A text below a name such as apiKey or token is never shown. Of what is not ours, only scalars and lists of scalars are, and
    no text that looks like a token or holds one.
    """
    if value is ABSENT:
        return "absent"
    if isinstance(value, str):
        return HIDDEN if any(map(_SECRET_NAME.search, path)) or (not ours and _SECRET_TEXT.search(value)) else value
    if isinstance(value, Mapping):
        if not ours:
            return "a mapping" if value else {}
        return {key: shown((*path, key), inner, ours=True) for key, inner in value.items()}
    if isinstance(value, list):
        if not ours and any(isinstance(item, (list, Mapping)) for item in value):
            return f"a list of {len(value)}"
        return [shown(path, item, ours=ours) for item in value]
    return value


def shown_line(line: str) -> str:
    """Return a line of a text of ours, without the value of a setting whose name says that it is a secret."""
    match = _TEXT_SETTING.fullmatch(line)
    return f"{match[1]}{HIDDEN}" if match and _SECRET_NAME.search(match[2]) else line


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def their_texts(document: Mapping[str, Any], managed: Any) -> tuple[str, ...]:
    """Return the texts in a document that are not ours, the longest first."""
    ours = set(_texts(managed))
    return tuple(sorted({text for text in _texts(document) if text not in ours and len(text) > 3}, key=len, reverse=True))


def told(words: str, secrets: Sequence[str], longest: int = 600) -> str:
    """Return what a client said of a file, shortened, and without these texts of it."""
    for text in secrets:
        for spelled in {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}:
            words = words.replace(spelled, "***")
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", words).splitlines()]
    text = " / ".join(line for line in lines if line)
    return text if len(text) <= longest else f"{text[:longest]} ..."
