"""Let one change of a machine go on at a time, whoever makes it."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.2


@contextmanager
def one_at_a_time(home: Path, timeout: float, what: str = "the services of this Mac") -> Iterator[None]:
    """Hold the home folder's lock; OSError when another run holds it longer than `timeout` seconds.

    The lock is on the folder itself, so it leaves no file, root and the user meet at it, and it is gone with its process,
    however that ends. What is observed before the lock is held may be old when it is.
    """
    folder = os.open(home, os.O_RDONLY)
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"another run has been changing {what} for more than {timeout:g} s"
                    raise OSError(message) from None
                time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(folder)


@contextmanager
def to_the_end() -> Iterator[None]:
    """Go on when the connection that began it goes away: half a change is worse than one nobody waits for."""
    signals = (signal.SIGHUP, signal.SIGINT)
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, action in zip(signals, before):
            signal.signal(number, action)
