"""Ask Tailscale on a Mac, whichever of its builds it is. Nothing is installed, and nobody is logged in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .commands import Answer, run

if TYPE_CHECKING:
    from fleet.tailnet import Tailnet, parse_serve, parse_status
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet.tailnet import Tailnet, parse_serve, parse_status
    from ansible.module_utils.fleet.vocabulary import Unknown

APP = "/Applications/Tailscale.app"
APP_PROGRAM = f"{APP}/Contents/MacOS/Tailscale"
PROGRAMS = ("/usr/local/bin/tailscale", "/opt/homebrew/bin/tailscale", APP_PROGRAM)
"""Where `install-system-daemon` and an Intel Homebrew, an Apple silicon Homebrew, and both apps have the command."""

DAEMON_SOCKET = "/var/run/tailscaled.socket"
USER_SOCKET = ".tailscale/tailscaled.sock"
"""Below the home folder: the usual place for a daemon in userspace mode that a user runs himself."""


def command(program: str, socket: str, *words: str) -> list[str]:
    """Return a command line; an empty socket is the build's own."""
    return [program, *([f"--socket={socket}"] if socket else []), *words]


def ways(home: str, socket: str) -> Iterator[tuple[str, str]]:
    """Yield (program, socket) in the order to try: with a socket given, that one alone."""
    programs = [program for program in PROGRAMS if os.access(program, os.X_OK)]
    sockets = [socket] if socket else ["", f"{home}/{USER_SOCKET}"]
    for one in sockets:
        for program in programs:
            # The apps have no socket to choose (safesocket_darwin.go).
            if not (one and program == APP_PROGRAM):
                yield program, one


def variant(program: str) -> str:
    """Tell the builds apart; the open source command too talks to an app where no daemon listens, so it proves nothing."""
    app = Path(APP)
    if not program:
        return ""
    if program != APP_PROGRAM and (not app.is_dir() or Path(DAEMON_SOCKET).exists()):
        return "daemon"
    # Only what came from the App Store has a receipt.
    return "app_store" if (app / "Contents" / "_MASReceipt" / "receipt").exists() else "standalone"


def observe(home: str, socket: str = "") -> Tailnet:
    """Read state, mode, addresses and what is served; OSError when Tailscale is there and does not answer."""
    words = ""
    for program, one in ways(home, socket):
        answer = run(command(program, one, "status", "--json"))
        status = _object(answer)
        if status is None:
            words = words or answer.said
            continue
        read = parse_status(status)
        return Tailnet(
            variant="daemon" if one else variant(program), program=program, socket=one, served=_served(program, one), **read
        )
    if not any(os.access(program, os.X_OK) for program in PROGRAMS):
        return Tailnet()
    raise OSError(words or "no command of Tailscale could be run")


def _served(program: str, socket: str) -> Any:
    answer = run(command(program, socket, "serve", "status", "--json"))
    config = _object(answer)
    return Unknown(f"tailscale serve status: {answer.said}") if config is None else parse_serve(config)


def _object(answer: Answer) -> dict[str, Any] | None:
    """Return the JSON object that a command printed; None when it failed or printed something else."""
    try:
        value = json.loads(answer.out or "{}") if answer.rc == 0 else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
