"""Bring a message to the webhook, and nothing of its address to anybody else.

The address is a secret: whoever has it may write to somebody's phone. It stands in a file of mode 0600, and in no log, no state
and no error.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from fleet.alerts import Request

LARGEST = 4096
"""Bytes of the file; no address is longer."""

_URL = re.compile(r"https?://[\x21-\x7e]{3,2000}")
T = TypeVar("T")


class Undelivered(Exception):
    """Why a message did not arrive, in words without the address."""


def read_address(path: Path) -> str | None:
    """Return the address, None where there is no such file; Undelivered for one that others may read, or that is no address."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as problem:
        message = f"{path} cannot be opened: {problem.strerror or problem}"
        raise Undelivered(message) from problem
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            message = f"{path} is no regular file"
            raise Undelivered(message)
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            message = (
                f"{path} may be read by others (owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}); chmod 0600 it"
            )
            raise Undelivered(message)
        text = file.read(LARGEST).decode(errors="replace").strip()
    if not _URL.fullmatch(text):
        message = f"{path} holds no address that begins with https:// or http://"
        raise Undelivered(message)
    return text


def _opener() -> urllib.request.OpenerDirector:
    """Return what can send and nothing else: no proxy of the environment, and no redirection.

    A redirected POST becomes a GET, so the message would not go along, but the Mac's question perhaps somewhere else.
    """
    opener = urllib.request.OpenerDirector()
    names = ("HTTPHandler", "HTTPSHandler", "HTTPErrorProcessor", "HTTPDefaultErrorHandler")
    for name in names:
        # A Python without ssl has no HTTPSHandler, and says so when https is asked for.
        if hasattr(urllib.request, name):
            opener.add_handler(getattr(urllib.request, name)())
    return opener


def post(address: str, request: Request, seconds: float) -> None:
    """Send one message; Undelivered for anything but an answer of 2xx within the time."""

    def send() -> None:
        asked = urllib.request.Request(  # noqa: S310  the opener knows http and https only, and no redirection
            address, data=request.body, headers=dict(request.headers), method="POST"
        )
        answer = _opener().open(asked, timeout=seconds)
        if answer is None:
            message = "this Python has no TLS"
            raise OSError(message)
        with answer:
            answer.read(1)

    try:
        within(seconds, send)
    except urllib.error.HTTPError as problem:
        with problem:
            message = f"the webhook answered {problem.code}"
        raise Undelivered(message) from None
    except Exception as problem:  # whatever a stranger's server does, the healer goes on
        message = f"the webhook could not be reached: {_reason(problem, address)}"
        raise Undelivered(message) from None


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns, or raise what it raises; TimeoutError when it takes longer.

    A timeout of a socket is one for each read, so an answer that drips never ends by it, and none at all for a name server. What
    takes too long is left behind and ends with the program.
    """
    values: list[T] = []
    problems: list[BaseException] = []

    def work() -> None:
        try:
            values.append(call())
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if thread.is_alive():
        message = f"no answer within {seconds:.0f} s"
        raise TimeoutError(message)
    if problems:
        raise problems[0]
    return values[0]


def _reason(problem: BaseException, address: str) -> str:
    """Return why, without the address or a part of it that could be the secret."""
    inner = getattr(problem, "reason", problem)
    text = str(inner) or type(inner).__name__
    rest = address.partition("://")[2].partition("/")[2]
    if address in text or (rest and any(part in text for part in re.split(r"[/?&=#]", rest) if len(part) > 3)):
        return type(inner).__name__
    return text[:200]
