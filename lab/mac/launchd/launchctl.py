"""launchctl: hands its arguments to launchd and shows what comes back."""

from __future__ import annotations

import os
import sys

from mac.launchd import wire

HELP = """Usage: launchctl <subcommand> ... | help [subcommand]
Many subcommands take a target specifier that refers to a domain or service
within that domain. The available specifier forms are:

system/[service-name]
user/<uid>/[service-name]
gui/<uid>/[service-name]

Targets the system domain, the user domain or the GUI session of a user, or a
service within it.
"""


def main(argv: list[str]) -> int:
    """Run one launchctl command."""
    if not argv or argv[0] == "help":
        sys.stdout.write(HELP)
        return 0
    request = {
        "argv": argv,
        "cwd": _cwd(),
        "session": os.environ.get("VIRTUAL_MAC_SESSION", ""),
        "terminal": sys.stdout.isatty(),
    }
    try:
        reply = wire.ask(request)
    except (OSError, ValueError) as error:
        print(f"Could not connect to launchd: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(reply["out"])
    sys.stdout.flush()
    sys.stderr.write(reply["err"])
    if reply["program"]:
        return _become(reply["program"])
    code: int = reply["code"]
    return code


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  pathlib costs launchctl a tenth of its time
    except OSError:
        return "/"


def _become(program: list[str]) -> int:
    """Run what `asuser` was given in this very process, which launchd has moved."""
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr)
        return 127
