"""`desired-state.json` on a Mac: what the healer is told, in the shape of the owner's own file.

It is written by Ansible and read by the program, with the same code both ways.

Keys that are not ours belong to a person and stay, at the top and in `resource_limits`. Whoever reads trusts nothing: a file that
somebody edited ends in one sentence with the line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .alerts import FORMS, Form
from .healing import WORDS, Limits, Policy, Rules, Settings
from .names import parse_name
from .residents import residents_of
from .units import GB, MIB

NAME = "desired-state.json"
WEBHOOK = "heal.webhook"
"""Beside it: the address of the webhook, which is a secret. Mode 0600, one line."""

SCHEMA = "ollama-fleet/desired-state"
SCHEMA_VERSION = 1

OURS = ("alerts", "healer", "host", "models", "residents", "schema", "schema_version", "service")
"""Keys at the top that are ours alone; of `resource_limits` only those that `limit_names` returns."""

MOST_GB = 10_000
MOST_SECONDS = 30 * 86400

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TARGET = re.compile(r"(system|(gui|user)/[0-9]{1,10})/[A-Za-z0-9._-]{1,200}")
_URL = re.compile(r"http://[A-Za-z0-9.:\[\]%_-]{1,255}/?")


class Malformed(ValueError):
    """What is wrong with the file, and in which line; 0 where no line can be named."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)
        self.line = line


@dataclass(frozen=True)
class Telling:
    """How somebody is told: the webhook's form, Telegram's chat, banners on the screen, and seconds until a repetition."""

    form: Form = "json"
    chat: str = ""
    notify: bool = True
    repeat: int = 6 * 3600


@dataclass(frozen=True)
class Desired:
    """What the healer is told. `target` and `residents_target` are of launchd, the second "" where that job is not ours."""

    host: str
    url: str
    target: str
    residents_target: str
    settings: Settings
    telling: Telling = Telling()


def limit_names(host: str) -> tuple[str, str, str]:
    """Return the names of the three limits, as the owner writes them: the host without its dashes in front of two."""
    prefix = host.replace("-", "")
    return f"{prefix}_swap_warn_gb", f"{prefix}_swap_critical_gb", "max_loaded_model_gb"


# Written. ---------------------------------------------------------------------------------------------------------------


def data_from_inventory(desired: Mapping[str, Any], domain: str, label: str, uid: int) -> dict[str, Any]:
    """Return what the inventory says as the file holds it; ValueError with one sentence.

    `desired` holds `host`, `url`, `installed`, `limits`, `models`, `residents_managed`, `healer` and `alerts`.
    """
    where = "system" if domain == "system" else f"{domain}/{uid}"
    warn, critical, largest = limit_names(desired["host"])
    limits = {warn: desired["limits"]["swap_warn_gb"], critical: desired["limits"]["swap_critical_gb"]}
    limits[largest] = desired["limits"]["max_loaded_model_gb"]
    data = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "host": desired["host"],
        "resource_limits": {name: _plain_number(value, name) for name, value in limits.items() if value is not None},
        "residents": [one.name for one in residents_of(desired["installed"])],
        "models": {str(parse_name(one["name"])): {"policy": one["policy"], "reason": one["reason"]} for one in desired["models"]},
        "service": {
            "url": desired["url"],
            "target": f"{where}/{label}",
            "residents_target": f"{where}/{label}.residents" if desired["residents_managed"] else "",
        },
        "healer": dict(desired["healer"]),
        "alerts": dict(desired["alerts"]),
    }
    read(json.dumps(data))
    return data


def _plain_number(value: Any, name: str) -> float:
    """Return a figure as people write it: 8 and not 8.0, though Ansible makes a float of it."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        message = f"{name} is {value!r:.60}, allowed is a number of GB"
        raise ValueError(message)
    return int(number) if number == int(number) else number


def text_for(found: str, ours: Mapping[str, Any]) -> str:
    """Return what the file should hold: the text as it is where nothing of ours differs, else ours beside a person's keys."""
    try:
        before = json.loads(found) if found else {}
    except (ValueError, RecursionError):
        before = {}
    if not isinstance(before, dict):
        before = {}
    limits = before.get("resource_limits")
    theirs = limits if isinstance(limits, dict) else {}
    own = set(limit_names(ours["host"]))
    merged = {**{key: value for key, value in before.items() if key not in OURS}, **ours}
    merged["resource_limits"] = {**{key: value for key, value in theirs.items() if key not in own}, **ours["resource_limits"]}
    if found and _same(before, merged):
        return found
    return json.dumps(merged, indent=2, sort_keys=True, allow_nan=False) + "\n"


def is_only_ours(text: str) -> bool:
    """Tell whether nothing of a person's is in a file, so that it may go with the healer."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(data, dict) or set(data) - {*OURS, "resource_limits"}:
        return False
    limits, host = data.get("resource_limits"), data.get("host")
    return isinstance(limits, dict) and isinstance(host, str) and set(limits) <= set(limit_names(host))


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1, and 8 is 8.0."""
    try:
        return json.dumps(_numbers(one), sort_keys=True) == json.dumps(_numbers(other), sort_keys=True)
    except (TypeError, RecursionError):
        return False


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    return int(value) if whole else value


# Read. ------------------------------------------------------------------------------------------------------------------


def read(text: str) -> Desired:
    """Read the file; Malformed with one sentence and the line."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as problem:
        message = f"it is not JSON ({problem.msg})"
        raise Malformed(message, problem.lineno) from problem
    except (ValueError, RecursionError) as problem:
        message = f"it is not JSON ({str(problem)[:80]})"
        raise Malformed(message) from problem
    return _Reader(text).desired(data)


class _Reader:
    """Reads one file and knows where in it a key stands."""

    def __init__(self, text: str) -> None:
        self.text = text

    def refuse(self, key: str, value: Any, allowed: str) -> Malformed:
        quoted = json.dumps(key)
        at = self.text.find(quoted)
        return Malformed(f"{key} is {value!r:.60}, allowed is {allowed}", self.text.count("\n", 0, at) + 1 if at >= 0 else 0)

    def desired(self, data: Any) -> Desired:
        if not isinstance(data, dict):
            message = "it is not a JSON object"
            raise Malformed(message, 1)
        if data.get("schema") != SCHEMA:
            raise self.refuse("schema", data.get("schema"), SCHEMA)
        version = data.get("schema_version")
        if isinstance(version, bool) or version != SCHEMA_VERSION:
            raise self.refuse("schema_version", version, str(SCHEMA_VERSION))
        host = self.words(data, "host", _HOST, "a name of the inventory")
        service, healer = self.mapping(data, "service"), self.mapping(data, "healer")
        return Desired(
            host=host,
            url=self.words(service, "url", _URL, "http://ADDRESS:PORT").rstrip("/"),
            target=self.words(service, "target", _TARGET, "a service target such as gui/501/LABEL"),
            residents_target=(
                "" if service.get("residents_target") == ""
                else self.words(service, "residents_target", _TARGET, "a service target, or an empty text")
            ),
            settings=Settings(
                self.limits(self.mapping(data, "resource_limits"), host),
                self.residents(data),
                self.policies(self.mapping(data, "models")),
                self.rules(healer),
            ),
            telling=self.telling(self.mapping(data, "alerts")),
        )  # fmt: skip

    def mapping(self, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = data.get(key)
        if not isinstance(value, dict):
            raise self.refuse(key, value, "an object")
        return value

    def words(self, data: Mapping[str, Any], key: str, pattern: re.Pattern[str], allowed: str) -> str:
        value = data.get(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.refuse(key, value, allowed)
        return value

    def flag(self, data: Mapping[str, Any], key: str) -> bool:
        value = data.get(key)
        if not isinstance(value, bool):
            raise self.refuse(key, value, "true or false")
        return value

    def number(self, data: Mapping[str, Any], key: str, least: int, most: int) -> int:
        value = data.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.refuse(key, value, f"a whole number from {least} to {most}")
        return value

    def limits(self, data: Mapping[str, Any], host: str) -> Limits:
        figures: list[int | None] = []
        for key in limit_names(host):
            value = data.get(key)
            if value is None and key not in data:
                figures.append(None)
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MOST_GB:
                raise self.refuse(key, value, f"a number of GB above 0, at most {MOST_GB}")
            figures.append(round(value * GB))
        warn, critical, largest = figures
        if warn is not None and critical is not None and critical < warn:
            raise self.refuse(limit_names(host)[1], critical / GB, f"no less than {limit_names(host)[0]}")
        return Limits(warn, critical, largest)

    def residents(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        value = data.get("residents")
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self.refuse("residents", value, "a list of model names")
        return tuple(self.name("residents", one) for one in value)

    def name(self, key: str, value: Any) -> str:
        try:
            return str(parse_name(value))
        except ValueError as problem:
            raise self.refuse(key, value, "names of models, as `ollama list` prints them") from problem

    def policies(self, data: Mapping[str, Any]) -> Mapping[str, Policy]:
        policies = {}
        for name, one in data.items():
            word = one.get("policy") if isinstance(one, dict) else None
            reason = one.get("reason") if isinstance(one, dict) else None
            if word not in WORDS or not isinstance(reason, str) or not reason.strip():
                raise self.refuse(name, one, f"a policy ({', '.join(WORDS)}) with a reason")
            policies[self.name(name, name)] = Policy(word, reason)
        return MappingProxyType(policies)

    def rules(self, data: Mapping[str, Any]) -> Rules:
        return Rules(
            dry_run=self.flag(data, "dry_run"),
            acts_per_hour=self.number(data, "acts_per_hour", 0, 60),
            cool_down=self.number(data, "cool_down", 30, MOST_SECONDS),
            growth=self.number(data, "swap_growth_mib", 1, 1 << 20) * MIB,
            stay=self.number(data, "large_model_seconds", 0, MOST_SECONDS),
            unload_residents=self.flag(data, "unload_residents"),
            resident_grace=self.number(data, "resident_grace", 30, MOST_SECONDS),
            restart=self.flag(data, "restart"),
            restarts_per_day=self.number(data, "restarts_per_day", 0, 24),
            start_grace=self.number(data, "start_grace", 0, MOST_SECONDS),
            summary=self.number(data, "summary_interval", 60, MOST_SECONDS),
        )

    def telling(self, data: Mapping[str, Any]) -> Telling:
        form = data.get("form")
        if form not in FORMS:
            raise self.refuse("form", form, f"one of {', '.join(FORMS)}")
        chat = data.get("telegram_chat")
        if not isinstance(chat, str) or len(chat) > 100 or (form == "telegram" and not chat):
            raise self.refuse("telegram_chat", chat, "the id of a chat, needed for the form telegram")
        return Telling(form, chat, self.flag(data, "notify"), self.number(data, "repeat_seconds", 60, MOST_SECONDS))
