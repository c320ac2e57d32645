"""osascript, defaults, fdesetup and log: what scripts ask of the person's session and settings."""

from __future__ import annotations

import os
import plistlib
import re
import sys
import time
from typing import TYPE_CHECKING

from mac.machine import fault, journal, path

if TYPE_CHECKING:
    from pathlib import Path

_NOTIFICATION = re.compile(r'display notification "((?:[^"\\]|\\.)*)"(?: with title "((?:[^"\\]|\\.)*)")?')


_ARGUMENT = re.compile(r"\(item ([0-9]+) of argv\)")


def _scripts(argv: list[str]) -> tuple[list[str], list[str]] | None:
    """Give the script's lines and its arguments, or nothing for words that osascript does not understand."""
    lines: list[str] = []
    words = list(argv)
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word in ("-e", "-l", "-s"):
            if not words:
                return None
            value = words.pop(0)
            lines += [value] if word == "-e" else []
        elif word != "-i":
            return None
    if lines:
        return lines, words
    if words and words[0] != "-":
        return [path(words[0]).read_text(encoding="utf-8")], words[1:]
    return [sys.stdin.read()], words[1:]


def _with_arguments(script: str, arguments: list[str]) -> str:
    """Put the arguments of `on run argv` where the script names them (osascript(1)), as literals that nothing breaks out of."""
    if "on run argv" not in script:
        return script

    def literal(found: re.Match[str]) -> str:
        number = int(found[1])
        text = arguments[number - 1] if 1 <= number <= len(arguments) else ""
        return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))

    return _ARGUMENT.sub(literal, script)


def osascript(argv: list[str]) -> int:
    """Note notifications instead of showing them.

    The exit code is 0 even where Focus or a missing permission hides the banner, as on a real Mac: a
    notification is never proof that somebody saw it.
    """
    understood = _scripts(argv)
    if understood is None:
        print("usage: osascript [-l language] [-i] [-s flags] [-e statement | programfile] [argument ...]", file=sys.stderr)
        return 1
    script = _with_arguments("\n".join(understood[0]), understood[1])
    for text, title in _NOTIFICATION.findall(script):
        journal("notifications", text=_plain(text), title=_plain(title))
    if "objectIsForcedForKey" in script:
        # The test for a managed firewall in mSCP's scripts (JXA).
        print("true" if fault("mdm-managed") and fault("mdm-managed") != "unseen" else "false")
    return 0


def _plain(literal: str) -> str:
    """Give what an AppleScript literal means."""
    return re.sub(r"\\(.)", r"\1", literal)


def _preferences(domain: str) -> list[Path]:
    if domain.startswith(("/", "~")):
        name = os.path.expanduser(domain)  # noqa: PTH111  HOME decides, as for the real one
        return [path(name if name.endswith(".plist") else name + ".plist")]
    home = os.environ.get("HOME", "/var/empty")
    name = domain + ".plist"
    return [path(home + "/Library/Preferences/" + name), path("/Library/Preferences/" + name)]


def _text(value: object, indent: int = 0) -> str:
    """Write a value in the old property list style that defaults prints."""
    pad = " " * 4 * (indent + 1)
    end = " " * 4 * indent
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dict):
        rows = [f"{pad}{_quoted(key)} = {_inner(value[key], indent)};" for key in sorted(value)]
        return "{{\n{}\n{}}}".format("\n".join(rows), end) if rows else f"{{\n{end}}}"
    if isinstance(value, list):
        rows = [pad + _inner(item, indent) for item in value]
        return "(\n{}\n{})".format(",\n".join(rows), end) if rows else f"(\n{end})"
    return str(value)


def _inner(value: object, indent: int) -> str:
    return _quoted(value) if isinstance(value, str) else _text(value, indent + 1)


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_]+", text) else '"{}"'.format(text.replace('"', '\\"'))


def defaults(argv: list[str]) -> int:
    """Read a preference: `defaults read DOMAIN [KEY]`. Writing is not part of what a playbook may do here."""
    if len(argv) not in (2, 3) or argv[0] != "read":
        print("Command line interface to a user's defaults.\nSyntax:\n\n'defaults' read <domain> [<key>]", file=sys.stderr)
        return 255
    domain = argv[1]
    found: dict[str, object] | None = None
    for file in _preferences(domain):
        if file.is_file():
            found = plistlib.loads(file.read_bytes())
            break
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S')}.000 defaults[{os.getpid()}:1] "
    if len(argv) == 2:
        if found is None:
            print(f"{stamp}\nDomain {domain} does not exist", file=sys.stderr)
            return 1
        print(_text(found))
        return 0
    if found is None or argv[2] not in found:
        message = f"The domain/default pair of ({domain}, {argv[2]}) does not exist"
        print(f"{stamp}\n{message}", file=sys.stderr)
        return 1
    print(_text(found[argv[2]]))
    return 0


def fdesetup(argv: list[str]) -> int:
    """Say whether FileVault is on; with it a Mac before macOS 26 never comes back from a reboot by itself."""
    if argv[:1] == ["isactive"]:
        print("true" if fault("filevault") else "false")
        return 0 if fault("filevault") else 1
    if argv[:1] != ["status"]:
        print("usage: fdesetup verb [options]", file=sys.stderr)
        return 64
    print(f"FileVault is {'On' if fault('filevault') else 'Off'}.")
    return 0


def log(argv: list[str]) -> int:
    """Search the unified log, which is empty here: services write files, and nothing else logs."""
    if argv[:1] not in (["show"], ["stream"], ["stats"], ["config"]):
        print("usage:\n    log <command>", file=sys.stderr)
        return 64
    return 0
