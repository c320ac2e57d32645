"""What a text of the inventory may hold, variable by variable: safe by default, free only where nothing can come of it.

No value reaches a shell here. The kinds are narrower than that all the same: values also become file names, URLs, arguments of
`ssh` and `brew`, and commands that a message asks a person to type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from .definition import LABEL as LABEL_PATTERN
from .names import parse_name

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPECIAL = re.compile("[\"'`$;&|<>\\\\*?!]")


@dataclass(frozen=True)
class Kind:
    """A kind of text: a test, and the words for what is allowed."""

    accepts: Callable[[str], bool]
    allowed: str


@dataclass(frozen=True)
class Refusal:
    """A value that was refused: where it stands, what it is, what is allowed there."""

    where: str
    found: Any
    allowed: str


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: bool(compiled.fullmatch(text))


def _is_plain(text: str) -> bool:
    return not _CONTROL.search(text) and not _SPECIAL.search(text)


def _is_path(text: str) -> bool:
    return _is_plain(text) and text.startswith("/") and ".." not in text.split("/")


def _is_host(text: str) -> bool:
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", text):
        return True
    return _is_address(text.partition("%")[0]) and bool(re.fullmatch(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?", text))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_model(text: str) -> bool:
    try:
        parse_name(text)
    except ValueError:
        return False
    return True


def _is_url(text: str) -> bool:
    found = re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[^/:@?#]+)(:[0-9]{1,5})?/?", text)
    return found is not None and _is_host(found[1].strip("[]"))


PATH = Kind(_is_path, "an absolute path without .. and without quotes, $, `, ; and other characters of a shell")
LABEL = Kind(lambda text: bool(LABEL_PATTERN.fullmatch(text)), "letters, digits, dots, underscores and dashes")
USER = Kind(_matches(r"[A-Za-z_][A-Za-z0-9._-]*"), "a short user name: letters, digits, dots, underscores and dashes")
FORMULA = Kind(_matches(r"([a-z0-9][a-z0-9._-]*/){0,2}[a-z0-9][a-z0-9@+._-]*"), "the name of a formula, as `brew list` prints it")
HOST = Kind(_is_host, "a host name or an IP address")
ADDRESS = Kind(_is_address, "an IP address")
URL = Kind(_is_url, "http://HOST:PORT")
MODEL = Kind(_is_model, "model:tag, as `ollama list` prints it")
DIGEST = Kind(_matches(r"(sha256:)?[0-9a-f]{4,64}"), "the beginning of a sha256 digest in lower case")
INTERPRETER = Kind(lambda text: _is_path(text) or bool(re.fullmatch(r"auto(_[a-z]+)*", text)), "an absolute path, or auto")
PLAIN = Kind(
    lambda text: _is_plain(text) and ".." not in text.split("/") and not text.startswith("-"),
    "one line of text without .., quotes, $, `, ; and other characters of a shell, and not beginning with a dash",
)

PROVIDER = Kind(_matches(r"[a-z0-9][a-z0-9._-]{0,63}"), "small letters, digits, dots, underscores and dashes")
VARIABLE = Kind(_matches(r"[A-Z][A-Z0-9_]{0,127}"), "the name of an environment variable, in capitals")

WEBHOOK = Kind(
    _matches(r"(https?://[A-Za-z0-9._~:/?#\[\]@!()*+,=%&-]{3,2000})?"), "an address that begins with https:// or http://"
)
CHAT = Kind(_matches(r"(-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64})?"), "the id of a chat: a number, or @NAME")

KINDS: Mapping[str, Kind] = {
    "clients_external_models.alias": PROVIDER,
    "clients_external_models.credentials_variable": VARIABLE,
    "clients_external_models.provider": PROVIDER,
    "clients_models.name": MODEL,
    "clients_providers.id": PROVIDER,
    "healer_models.name": MODEL,
    "healer_telegram_chat": CHAT,
    "healer_webhook_url": WEBHOOK,
    "homebrew_formula": FORMULA,
    "ollama_models_candidates.name": MODEL,
    "ollama_models_installed.digest": DIGEST,
    "ollama_service_label": LABEL,
    "ollama_service_retired_labels": LABEL,
    "ollama_service_url": URL,
    "ollama_service_user": USER,
}
"""What is narrower than its type says. Others of type `path` are paths, and all else is plain."""

CONNECTION: Mapping[str, Kind] = {
    "ansible_host": HOST,
    "ansible_python_interpreter": INTERPRETER,
    "ansible_user": USER,
    "fleet_local_name": HOST,
    "fleet_tailnet_ip": ADDRESS,
}
"""By which a host is reached. `ssh` would take an address that begins with a dash for an option."""

FREE: Mapping[str, str] = {
    "healer_models.reason": "for people; text of a JSON file, of log lines in JSON, and of alerts, which escape it",
    "ollama_models_candidates.purpose": "for people; the report escapes it",
    "ollama_models_installed.name": "judged with the whole model set",
    "ollama_models_installed.purpose": "for people; the report escapes it",
    "ollama_models_removed": "judged with the whole model set",
    "ollama_service_environment": "judged name by name; text of the property list, escaped",
    "ollama_service_options": "judged key by key as launchd.plist(5); text of the property list, escaped",
    "ram_budget_reports_path": "a folder of the controller, opened as it stands",
}
"""What is judged elsewhere or may hold any text, and why nothing can come of it."""


def refusals(options: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> list[Refusal]:
    """Return every text that its variable may not hold; `options` are those of the roles, as in meta/argument_specs.yml.

    Types and choices are judged before, by the specification itself.
    """
    return [one for name in sorted(values) if name in options for one in _walk(name, name, options[name], values[name])]


def connection_refusals(variables: Mapping[str, Any]) -> list[Refusal]:
    """Return what is wrong with the variables by which a host is reached."""
    return [
        Refusal(name, variables[name], kind.allowed)
        for name, kind in CONNECTION.items()
        if variables.get(name) is not None and not kind.accepts(str(variables[name]))
    ]


def kind_of(name: str, option: Mapping[str, Any]) -> Kind | None:
    """Return what a text of this variable must be; None where it is free or one of a few words."""
    if name in FREE or option.get("choices"):
        return None
    is_path = "path" in (option.get("type"), option.get("elements"))
    return KINDS.get(name) or (PATH if is_path else PLAIN)


def _walk(name: str, where: str, option: Mapping[str, Any], value: Any) -> Iterator[Refusal]:
    kind = kind_of(name, option)
    if kind is None:
        return
    if isinstance(value, str):
        if not kind.accepts(value):
            yield Refusal(where, value, kind.allowed)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            nested = option.get("options", {}).get(key, {})
            yield from () if nested else _walk(name, f"a name in {where}", {}, key)
            yield from _walk(f"{name}.{key}" if nested else name, f"{where}.{key}", nested, inner)
    elif isinstance(value, (list, tuple)):
        for position, inner in enumerate(value):
            yield from _walk(name, f"{where}[{position}]", option, inner)
