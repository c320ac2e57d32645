"""Whom to tell what, and how often: once for each cause, again while it lasts, once more when it is over.

Times are seconds of the healer's own clock, which the Mac's calendar does not turn. Nothing here sends anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

Level = Literal["note", "warning", "critical"]
State = Literal["raised", "repeated", "recovered", "told"]
Form = Literal["json", "ntfy", "slack", "telegram"]

LEVELS: tuple[Level, ...] = ("note", "warning", "critical")
STATES: tuple[State, ...] = ("raised", "repeated", "recovered", "told")
FORMS: tuple[Form, ...] = ("json", "ntfy", "slack", "telegram")

MOST_ATTEMPTS = 6
FIRST_PAUSE = 60
"""Seconds until a delivery that failed is tried again; doubled each time, so the last try comes about half an hour later."""

QUEUE = 20
"""Messages that may wait. Of more than that the oldest is dropped: the newest says how things are."""

LONGEST = 2000
"""Characters of a text; Telegram takes 4096."""


@dataclass(frozen=True)
class Condition:
    """Something that is so now, by its cause. An `event` has happened and is over at once, such as an unload."""

    cause: str
    level: Level
    text: str
    event: bool = False


@dataclass(frozen=True)
class Standing:
    """What is known of a cause that was told: since when it lasts, and when it was last said."""

    since: float
    sent: float
    level: Level
    text: str
    event: bool = False


@dataclass(frozen=True)
class Message:
    """One message on its way. `at` is the Mac's own time in UTC, for people; `due` is when the next try may be made."""

    cause: str
    level: Level
    state: State
    text: str
    at: str = ""
    attempts: int = 0
    due: float = 0


@dataclass(frozen=True)
class Desk:
    """What outlives a run: causes that stand, and messages that wait for delivery."""

    standing: Mapping[str, Standing] = field(default_factory=lambda: MappingProxyType({}))
    queue: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Request:
    """What a form makes of a message: the headers and the body of one POST."""

    headers: Mapping[str, str]
    body: bytes


def judge(
    conditions: Iterable[Condition], desk: Desk, clock: float, repeat: float, at: str = ""
) -> tuple[Desk, tuple[Message, ...]]:
    """Return the desk after this look and the messages that are new in it; `repeat` is in seconds."""
    now = {one.cause: one for one in conditions}
    standing: dict[str, Standing] = {}
    fresh: list[Message] = []
    for cause, one in now.items():
        before = desk.standing.get(cause)
        # A time that lies ahead comes from a damaged state; it must not silence a cause for ever.
        lasts = before is not None and before.sent <= clock
        if before is None or (one.event and not (lasts and clock - before.sent < repeat)):
            state: State = "told" if one.event else "raised"
            fresh.append(Message(cause, one.level, state, one.text, at, 0, clock))
            standing[cause] = Standing(clock, clock, one.level, one.text, one.event)
        elif not one.event and not (lasts and clock - before.sent < repeat):
            fresh.append(Message(cause, one.level, "repeated", one.text, at, 0, clock))
            standing[cause] = replace(before, sent=clock, level=one.level, text=one.text)
        else:
            standing[cause] = replace(before, text=one.text)
    for cause, before in desk.standing.items():
        if cause in now:
            continue
        if not before.event:
            fresh.append(Message(cause, "note", "recovered", f"over: {before.text}", at, 0, clock))
        elif 0 <= clock - before.sent < repeat:
            standing[cause] = before
    return Desk(MappingProxyType(standing), (*desk.queue, *fresh)[-QUEUE:]), tuple(fresh)


def due(desk: Desk, clock: float) -> tuple[Message, ...]:
    """Return the messages that may be tried now, oldest first."""
    return tuple(one for one in desk.queue if one.due <= clock or one.due > clock + FIRST_PAUSE * 2**MOST_ATTEMPTS)


def delivered(desk: Desk, message: Message) -> Desk:
    """Return the desk without a message that has arrived."""
    return replace(desk, queue=tuple(one for one in desk.queue if one is not message))


def failed(desk: Desk, message: Message, clock: float) -> tuple[Desk, bool]:
    """Return the desk after a failed try, and whether the message was given up."""
    attempts = message.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        return delivered(desk, message), True
    later = replace(message, attempts=attempts, due=clock + FIRST_PAUSE * 2 ** (attempts - 1))
    return replace(desk, queue=tuple(later if one is message else one for one in desk.queue)), False


# What is sent. ----------------------------------------------------------------------------------------------------------

_PRIORITY = {"note": "3", "warning": "4", "critical": "5"}
"""Of ntfy: 3 is its default, 5 rings through a phone's quiet."""


def headline(message: Message, host: str) -> str:
    """Return the message as one line for a person."""
    word = {"raised": message.level, "repeated": f"still {message.level}", "recovered": "recovered", "told": message.level}
    return _line(f"{host}: {word[message.state]}: {message.text}")


def request(form: Form, message: Message, host: str, chat: str = "") -> Request:
    """Return the POST that brings a message to a service; `chat` is Telegram's alone."""
    text = headline(message, host)
    if form == "ntfy":
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Priority": _PRIORITY["note" if message.state == "recovered" else message.level],
            # A header holds no other characters; the text itself is in the body.
            "Title": _line(f"{host}: {message.cause}").encode("ascii", "replace").decode(),
        }
        return Request(headers, text.encode())
    if form == "slack":
        # Slack reads these three as markup (its page "Formatting text for app surfaces").
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return _json({"text": text})
    if form == "telegram":
        return _json({"chat_id": chat, "disable_web_page_preview": True, "text": text})
    return _json(
        {
            "at": message.at,
            "cause": message.cause,
            "host": host,
            "level": message.level,
            "state": message.state,
            "text": _line(message.text),
        }
    )


def _json(data: Mapping[str, Any]) -> Request:
    return Request({"Content-Type": "application/json; charset=utf-8"}, json.dumps(data, sort_keys=True).encode())


def _line(text: str) -> str:
    """Put a text on one line without characters that steer a terminal or a header."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:LONGEST]


# What is kept between two runs. -----------------------------------------------------------------------------------------


def to_json(desk: Desk) -> dict[str, Any]:
    """Return the desk as plain data."""
    return {
        "standing": {cause: dict(vars(one)) for cause, one in desk.standing.items()},
        "queue": [dict(vars(one)) for one in desk.queue],
    }


def from_json(data: Any) -> Desk:
    """Read the desk back; whatever is not understood is forgotten."""
    found = data if isinstance(data, Mapping) else {}
    standing = {}
    entries = found.get("standing")
    for cause, one in entries.items() if isinstance(entries, Mapping) else ():
        if _is(one, since=(int, float), sent=(int, float), level=str, text=str, event=bool) and one["level"] in LEVELS:
            standing[str(cause)] = Standing(one["since"], one["sent"], one["level"], one["text"], one["event"])
    queue = []
    waiting = found.get("queue")
    for one in waiting if isinstance(waiting, Sequence) else ():
        words = _is(one, cause=str, level=str, state=str, text=str, at=str, attempts=int, due=(int, float))
        if words and one["level"] in LEVELS and one["state"] in STATES:
            queue.append(Message(**{key: one[key] for key in Message.__dataclass_fields__}))
    return Desk(MappingProxyType(standing), tuple(queue[-QUEUE:]))


def _is(value: Any, **kinds: Any) -> bool:
    """Tell whether a mapping has these keys with values of these types; True is no number."""
    if not isinstance(value, Mapping):
        return False
    return all(
        isinstance(value.get(key), kind) and (kind is bool or not isinstance(value.get(key), bool)) for key, kind in kinds.items()
    )
