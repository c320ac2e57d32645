"""plutil: property lists checked, converted and read, as plutil(1) does it."""

from __future__ import annotations

import base64
import datetime
import json
import plistlib
import sys
from typing import Any, NamedTuple
from xml.parsers.expat import ExpatError

from mac.machine import path

USAGE = "plutil: [command_option] [other_options] file..."
_FORMATS = ("xml1", "binary1", "json", "raw")


class _Failure(Exception):
    """Why a file could not be handled; the text follows the file's name."""


class _Call(NamedTuple):
    verb: str
    key: str
    format: str
    output: str | None
    silent: bool
    readable: bool
    files: list[str]


def _parse(argv: list[str]) -> _Call | None:
    verb, key, form, output, silent, readable = "-lint", "", "", None, False, False
    files: list[str] = []
    words = list(argv)
    try:
        while words:
            word = words.pop(0)
            if word in ("-lint", "-p"):
                verb = word
            elif word == "-convert":
                verb, form = word, words.pop(0)
            elif word == "-extract":
                verb, key, form = word, words.pop(0), words.pop(0)
            elif word == "-o":
                output = words.pop(0)
            elif word == "-s":
                silent = True
            elif word == "-r":
                readable = True
            elif word in ("-n", "--"):
                continue
            elif word.startswith("-") and word != "-":
                return None
            else:
                files.append(word)
    except IndexError:
        return None
    if not files or (form and form not in _FORMATS):
        return None
    return _Call(verb, key, form, output, silent, readable, files)


def _load(name: str) -> Any:
    try:
        data = sys.stdin.buffer.read() if name == "-" else path(name).read_bytes()
    except OSError as error:
        text = "file does not exist or is not readable or is not a regular file"
        raise _Failure(f"{text} (Error Domain=NSCocoaErrorDomain Code=260)") from error
    try:
        return plistlib.loads(data)
    except (plistlib.InvalidFileException, ExpatError, ValueError, AttributeError, TypeError, IndexError) as error:
        xml = str(error) if isinstance(error, ExpatError) else "Unexpected character at line 1"
        try:
            return json.loads(data)
        except ValueError:
            raise _Failure(f"Property List error: {xml} / JSON error: JSON text did not start") from error


def _plain(value: Any) -> Any:
    """Make a value fit for JSON, which knows neither dates nor data."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, (bytes, datetime.datetime)):
        raise _Failure("invalid object in plist for destination format")
    return value


def _raw(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "\n".join(sorted(value))
    if isinstance(value, list):
        return str(len(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _encode(value: Any, form: str, readable: bool) -> bytes:
    if form == "raw":
        return (_raw(value) + "\n").encode("utf-8")
    if form == "json":
        plain = _plain(value)
        if not isinstance(plain, (dict, list)):
            raise _Failure("invalid object in plist for destination format")
        text = json.dumps(
            plain,
            ensure_ascii=False,
            sort_keys=readable,
            indent=2 if readable else None,
            separators=None if readable else (",", ":"),
        )
        return text.replace("/", "\\/").encode("utf-8")
    return plistlib.dumps(value, fmt=plistlib.FMT_XML if form == "xml1" else plistlib.FMT_BINARY, sort_keys=True)


def _extract(value: Any, key: str) -> Any:
    for part in key.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            reason = "No value at that key path or invalid key path: " + key
            raise _Failure("Could not extract value, error: " + reason) from None
    return value


def _print(value: Any, indent: int = 0) -> str:
    """Write a value as `plutil -p` does, for people's eyes."""
    pad = "  " * (indent + 1)
    if isinstance(value, dict):
        rows = [f'{pad}"{key}" => {_print(value[key], indent + 1)}' for key in sorted(value)]
        return "{{\n{}{}}}".format("".join(row + "\n" for row in rows), "  " * indent)
    if isinstance(value, list):
        rows = [f"{pad}{index} => {_print(item, indent + 1)}" for index, item in enumerate(value)]
        return "[\n{}{}]".format("".join(row + "\n" for row in rows), "  " * indent)
    if isinstance(value, str):
        return f'"{value}"'
    return _raw(value)


def _handle(call: _Call, name: str) -> None:
    value = _load(name)
    if call.verb == "-lint":
        if not call.silent:
            print(f"{name}: OK")
        return
    if call.verb == "-p":
        print(_print(value))
        return
    if call.verb == "-extract":
        value = _extract(value, call.key)
    data = _encode(value, call.format, call.readable)
    # `-extract raw` goes to stdout; everything else replaces the file unless -o says where to.
    target = call.output or ("-" if call.format == "raw" or name == "-" else name)
    if target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    else:
        path(target).write_bytes(data)


def main(argv: list[str]) -> int:
    """Run plutil: 0 when every file was fine, else 1."""
    call = _parse(argv)
    if call is None:
        print(USAGE, file=sys.stderr)
        return 1
    code = 0
    for name in call.files:
        try:
            _handle(call, name)
        except _Failure as reason:
            # plutil reports a broken file on stdout when it lints, as part of its answer.
            print(f"{name}: {reason}", file=sys.stdout if call.verb == "-lint" else sys.stderr)
            code = 1
    return code
