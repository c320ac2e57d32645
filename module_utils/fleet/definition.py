"""What a property list may hold (launchd.plist(5)), and what launchd would refuse, drop in silence or make slow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

LONGEST_EXIT = 300
"""Seconds; ExitTimeOut bounds every wait for a job that ends, and 0 means for ever."""

_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|[\ud800-\udfff]")
"""What XML 1.0 cannot hold; a property list with it is no property list."""


@dataclass(frozen=True)
class Kind:
    """What a key accepts: a test, and the words for what is allowed."""

    accepts: Callable[[Any], bool]
    allowed: str


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_absolute(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/") and "\n" not in value and ".." not in value.split("/")


def _is_seconds(lowest: int, highest: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)


def _is_environment(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())


def _is_keep_alive(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    if not isinstance(value, Mapping) or not value:
        return False
    maps = ("OtherJobEnabled", "PathState")
    return all(
        isinstance(inner, Mapping) and all(isinstance(flag, bool) for flag in inner.values())
        if key in maps
        else key in ("SuccessfulExit", "Crashed") and isinstance(inner, bool)
        for key, inner in value.items()
    )


LIMITS = (
    "Core", "CPU", "Data", "FileSize", "MemoryLock", "NumberOfFiles", "NumberOfProcesses", "ResidentSetSize", "Stack",
)  # fmt: skip


def _is_limits(value: Any) -> bool:
    return isinstance(value, Mapping) and all(key in LIMITS and _is_seconds(0, 2**63 - 1)(size) for key, size in value.items())


def _is_calendar(value: Any) -> bool:
    entries = value if isinstance(value, list) else [value]
    names = ("Minute", "Hour", "Day", "Weekday", "Month")
    return bool(entries) and all(
        isinstance(entry, Mapping) and all(key in names and _is_seconds(0, 59)(number) for key, number in entry.items())
        for entry in entries
    )


_BOOLEAN = Kind(lambda value: isinstance(value, bool), "true or false")
_PATH = Kind(_is_absolute, "an absolute path, launchd expands neither ~ nor $HOME")
_TEXT = Kind(_is_text, "text")

SESSIONS = ("Aqua", "Background", "LoginWindow", "StandardIO", "System")
PROCESS_TYPES = ("Standard", "Adaptive", "Interactive", "Background")

KEYS: Mapping[str, Kind] = {
    "AbandonProcessGroup": _BOOLEAN,
    "AssociatedBundleIdentifiers": Kind(lambda value: _is_text(value) or _is_texts(value), "a text or a list of texts"),
    "EnvironmentVariables": Kind(_is_environment, "text for every value, launchd drops others in silence"),
    "ExitTimeOut": Kind(_is_seconds(1, LONGEST_EXIT), f"1 to {LONGEST_EXIT} seconds (0 would wait for ever)"),
    "GroupName": _TEXT,
    "HardResourceLimits": Kind(_is_limits, "numbers for " + ", ".join(LIMITS)),
    "InitGroups": _BOOLEAN,
    "KeepAlive": Kind(_is_keep_alive, "true, false, or SuccessfulExit, Crashed, PathState, OtherJobEnabled"),
    "Label": _TEXT,
    "LaunchOnlyOnce": _BOOLEAN,
    "LimitLoadToSessionType": Kind(
        lambda value: bool(value) and all(one in SESSIONS for one in (value if isinstance(value, list) else [value])),
        "one or more of " + ", ".join(SESSIONS),
    ),
    "LowPriorityBackgroundIO": _BOOLEAN,
    "LowPriorityIO": _BOOLEAN,
    "Nice": Kind(_is_seconds(-20, 20), "-20 to 20"),
    "ProcessType": Kind(lambda value: isinstance(value, str) and value in PROCESS_TYPES, "one of " + ", ".join(PROCESS_TYPES)),
    "Program": _PATH,
    "ProgramArguments": Kind(_is_texts, "a list of texts"),
    "RunAtLoad": _BOOLEAN,
    "SessionCreate": _BOOLEAN,
    "SoftResourceLimits": Kind(_is_limits, "numbers for " + ", ".join(LIMITS)),
    "StandardErrorPath": _PATH,
    "StandardInPath": _PATH,
    "StandardOutPath": _PATH,
    "StartCalendarInterval": Kind(_is_calendar, "numbers for Minute, Hour, Day, Weekday, Month"),
    "StartInterval": Kind(_is_seconds(1, 31 * 86400), "seconds"),
    "ThrottleInterval": Kind(_is_seconds(1, 86400), "1 or more seconds (launchd ignores 0)"),
    "Umask": Kind(_is_seconds(0, 0o777), "a number up to 511 (0777)"),
    "UserName": _TEXT,
    "WatchPaths": Kind(lambda value: _is_texts(value) and all(map(_is_absolute, value)), "a list of absolute paths"),
    "WorkingDirectory": _PATH,
}
"""Every key that a server or a timed job has a use for. launchd ignores a key it does not know without a word."""


def definition_problems(
    label: str, domain: str, definition: Mapping[str, Any], *, background_accepted: bool = False
) -> tuple[str, ...]:
    """Return what launchd would refuse, drop in silence or make slow, one clause each; nothing when the definition is sound."""
    problems = []
    if not LABEL.fullmatch(label):
        problems.append(f"the label {label!r} may hold letters, digits, dots, underscores and dashes only")
    if definition.get("Label") != label:
        problems.append(f"the Label inside is {definition.get('Label')!r}, not {label!r}")
    for key in sorted(definition, key=str):
        value = definition[key]
        kind = KEYS.get(key)
        if kind is None:
            near = get_close_matches(str(key), KEYS, n=1)
            hint = f"; did you mean {near[0]}" if near else ""
            problems.append(f"{key} is no key of a property list that this fleet knows, launchd would ignore a wrong one{hint}")
        elif not kind.accepts(value):
            problems.append(f"{key} is {value!r}, allowed is {kind.allowed}")
    problems += [f"{where} holds a character that XML cannot hold" for where in _unwritable(definition)]
    problems += _program_problems(definition)
    problems += _domain_problems(domain, definition)
    if definition.get("ProcessType") == "Background" and not background_accepted:
        # 11 against 87 tokens a second on an M4 Max (dryvist/nix-ai#916).
        problems.append(
            "ProcessType Background makes Metal about eight times slower; leave it out or take Interactive, or set"
            " ollama_service_background_accepted"
        )
    return tuple(problems)


def _unwritable(value: Any, where: str = "") -> list[str]:
    if isinstance(value, str):
        return [where] if _UNWRITABLE.search(value) else []
    if isinstance(value, Mapping):
        found = [place for key, inner in value.items() for place in _unwritable(inner, f"{where}.{key}" if where else str(key))]
        return found + [where or "the property list" for key in value if _unwritable(str(key), "key")]
    if isinstance(value, (list, tuple)):
        return [place for inner in value for place in _unwritable(inner, where)]
    return []


def _program_problems(definition: Mapping[str, Any]) -> list[str]:
    arguments = definition.get("ProgramArguments")
    if arguments is None:
        return ["ProgramArguments is missing"]
    if not _is_texts(arguments):
        return []
    if not arguments[0].startswith("/"):
        return [f"the program {arguments[0]!r} must be an absolute path"]
    if "/Cellar/" in arguments[0]:
        return [f"the program {arguments[0]!r} lies in the Cellar and vanishes with the next brew upgrade"]
    return []


def _domain_problems(domain: str, definition: Mapping[str, Any]) -> list[str]:
    """Return what keeps a definition out of its domain (launchd.plist(5); 134 inside, seen as 5 on macOS 15.7.5)."""
    sessions = definition.get("LimitLoadToSessionType")
    named = sessions if isinstance(sessions, list) else [sessions] if sessions else []
    if domain not in ("gui", "user", "system"):
        return [f"the domain {domain!r} is none of gui, user, system"]
    if domain == "system":
        problems = []
        if named and "System" not in named:
            problems.append("LimitLoadToSessionType keeps it out of the system domain, leave it out there")
        if not definition.get("UserName"):
            problems.append("UserName is missing, a daemon without it serves as root")
        environment = definition.get("EnvironmentVariables")
        if not (isinstance(environment, Mapping) and environment.get("HOME")):
            # A daemon gets none from launchd; Ollama then ends with `$HOME is not defined` (ollama#8756).
            problems.append("EnvironmentVariables.HOME is missing, Ollama does not start without it")
        return problems
    problems = [
        f"{key} counts in the system domain only, launchd ignores it in {domain}"
        for key in ("UserName", "GroupName")
        if key in definition
    ]
    needed = "Aqua" if domain == "gui" else "Background"
    if (named or domain == "user") and needed not in named:
        problems.append(f"LimitLoadToSessionType must name {needed} for the {domain} domain")
    return problems
