"""Take the service down for a while, and bring it back whatever becomes of whoever asked for it.

A keeper does both: a process of the Mac's own, in a session of its own, that ends with no connection. It is a fork and no program
that is started, since nothing that it could be started from lies on the Mac; so everything it needs must be imported before.
Should even the keeper be killed, the next `state: up` starts the service, and so do a boot and a login, for its property list
never moves.

Two locks. The one on the folder of the pauses is the keeper's while it lives, so a record without it is one that was left behind.
The one on the home folder, which every change of the Mac's services holds, is taken for the two moments in which something
changes and not in between: nobody waits minutes for it. A run that starts the service during a pause is right to do so; the
keeper sees that and ends the pause.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import replace_file
from .launchctl import read_job
from .launchd_change import Change, ChangeFailed
from .one_at_a_time import one_at_a_time
from .service_gate import Gate, NotUp

if TYPE_CHECKING:
    from fleet.pause import Pause, pause_from_json
    from fleet.vocabulary import plain
else:
    from ansible.module_utils.fleet.pause import Pause, pause_from_json
    from ansible.module_utils.fleet.vocabulary import plain

SCHEMA = 1
POLL_SECONDS = 0.1
LOOK_SECONDS = 2.0
"""How often launchd is asked whether somebody else has started the service meanwhile."""

PORT_SECONDS = 10
"""What the port may stay taken once the label is gone."""

LOCK_SECONDS = 120
"""What the keeper waits for another change before it brings the service back all the same."""

START_PAUSES = (0, 1, 2, 5, 10, 30, 60)
"""Pauses before each try to bring the service back, each of which retries bootstrap on its own."""


@dataclass(frozen=True)
class Place:
    """Where the pause of one account is written down: root's below /Library, since root will believe what it says."""

    folder: Path

    @property
    def record(self) -> Path:
        """Return the keeper's record."""
        return self.folder / "pause.json"

    @property
    def release(self) -> Path:
        """Return the file that ends the pause; it holds its token."""
        return self.folder / "release"

    def read(self) -> Pause | None:
        """Read the record; None when there is none, or it is not ours to believe."""
        try:
            with self.record.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                    return None
                data = json.load(file)
            return pause_from_json(data["pause"]) if data["schema"] == SCHEMA else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, pause: Pause) -> None:
        """Replace the record."""
        text = json.dumps({"schema": SCHEMA, "pause": plain(pause)}, indent=1, sort_keys=True)
        replace_file(self.record, text.encode(), 0o600)

    def is_released(self, token: str) -> bool:
        """Tell whether the pause of this token should end."""
        try:
            return self.release.read_text(encoding="utf-8") == token
        except (OSError, ValueError):
            return False

    def forget(self) -> None:
        """Remove both files, and the folders where nothing else is in them."""
        self.release.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()
            self.folder.parent.rmdir()


def place_of(account: pwd.struct_passwd) -> Place:
    """Return where the pause of this account's service is written down."""
    root = Path("/Library") if os.geteuid() == 0 else Path(account.pw_dir, "Library")
    return Place(root / "Application Support" / "ollama-fleet" / "pause")


@contextlib.contextmanager
def only_keeper(place: Place) -> Iterator[int | None]:
    """Hold the lock of the pause for a block and yield its descriptor; None when a keeper holds it. The folder must be there.

    A child that inherits the descriptor holds the lock as well, until it ends.
    """
    handle = os.open(place.folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield handle
    finally:
        os.close(handle)


def is_kept(place: Place) -> bool:
    """Tell whether a keeper lives."""
    if not place.folder.is_dir():
        return False
    with only_keeper(place) as lock:
        return lock is None


@dataclass
class Keeper:
    """What takes the service down, holds it down, and brings it back."""

    place: Place
    pause: Pause
    change: Change
    home: Path
    port: int
    told: bool = False

    def run(self) -> None:
        """Do all of it. Whatever goes wrong on the way, the service is brought back."""
        down_since: float | None = None
        try:
            self.change.stop()
            down_since = time.monotonic()
            self._wait_for_port(self.change.gate)
            self._note(replace(self.pause, phase="down"))
            ended, error = self._hold(), ""
        except Exception as problem:  # Whatever it is, it must not keep the service from coming back.
            ended, error = "failed", str(problem) or type(problem).__name__
        self._note(replace(self.pause, phase="coming_up", ended=ended, error=error))
        self._note(bring_back(self.change, self.pause, self.home, down_since))

    def _note(self, pause: Pause) -> None:
        self.pause = pause
        # A full disk, or a teardown that took the folder, is no reason to leave the service down.
        with contextlib.suppress(OSError):
            self.place.write(pause)

    def _wait_for_port(self, gate: Gate) -> None:
        deadline = time.monotonic() + PORT_SECONDS
        while gate.is_bound():
            if time.monotonic() > deadline:
                message = f"port {self.port} is held by {gate.holder(()) or 'somebody else'} although the service is gone"
                raise NotUp(message)
            time.sleep(POLL_SECONDS)

    def _hold(self) -> str:
        """Wait for the end of the pause and return what ended it.

        By both clocks: while a Mac sleeps its monotonic one stands still, and the other one may be set back.
        """
        now = time.monotonic()
        ends, ends_at, look_at = now + self.pause.limit_seconds, time.time() + self.pause.limit_seconds, now + LOOK_SECONDS
        while True:
            if self.place.is_released(self.pause.token):
                return "released"
            if self.told:
                return "told"
            now = time.monotonic()
            if now > ends or time.time() > ends_at:
                return "limit"
            if now > look_at:
                look_at = now + LOOK_SECONDS
                # What cannot be read is no sign of a start.
                with contextlib.suppress(OSError):
                    if read_job(self.change.domain, self.change.wanted.label) is not None:
                        return "started"
            time.sleep(POLL_SECONDS)


def bring_back(change: Change, pause: Pause, home: Path, down_since: float | None) -> Pause:
    """Start the service, load its residents, and return the pause as it ended."""
    error, answered = pause.error, False
    for seconds in START_PAUSES:
        time.sleep(seconds)
        if not change.path.exists():
            error = f"{change.path} is gone, so nothing was left to start"
            break
        try:
            _start(change, home)
        except (OSError, NotUp, ChangeFailed) as problem:
            error = str(problem)
            continue
        error, answered = pause.error, True
        break
    if not answered:
        return replace(pause, phase="failed", error=error)
    absent = None if down_since is None else round(time.monotonic() - down_since, 3)
    for name in pause.residents:
        try:
            change.gate.load(name)
        except NotUp as problem:
            error = str(problem)
    ready = None if down_since is None else round(time.monotonic() - down_since, 3)
    return replace(pause, phase="up", error=error, absent_seconds=absent, ready_seconds=ready)


def _start(change: Change, home: Path) -> None:
    """Start it while no other change goes on; one that holds the lock for long is stuck, and no reason to leave it down."""
    with ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(one_at_a_time(home, LOCK_SECONDS))
        change.start()


def detach(run: Callable[[], None], kept: int) -> None:
    """Run in a process of its own that ends with no connection and no session; `kept` is the one descriptor it keeps.

    Everything else is closed, or ssh would wait for it.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            nothing = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(nothing, standard)
            os.closerange(3, kept)
            os.closerange(kept + 1, max(1024, kept + 2))
            run()
    finally:
        # Never back into the module that asked: its result has been, or will be, given by the parent.
        os._exit(0)


def keep(keeper: Keeper, lock: int) -> None:
    """Start the keeper; its record is written before, so that there is no moment in which a pause is on and unknown."""
    keeper.place.release.unlink(missing_ok=True)
    keeper.place.write(keeper.pause)

    def run() -> None:
        def remember(*_: Any) -> None:
            keeper.told = True

        signal.signal(signal.SIGTERM, remember)
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        keeper.run()

    detach(run, lock)


def wait_until_down(place: Place, token: str, timeout: float) -> Pause:
    """Wait until the keeper has taken the service down, or has given up; OSError when it says neither in time."""
    deadline = time.monotonic() + timeout
    while True:
        pause = place.read()
        if pause is not None and pause.token == token and (pause.phase == "down" or pause.is_over):
            return pause
        if time.monotonic() > deadline:
            message = f"the keeper of the pause did not take the service down within {timeout:g} s; it brings it back by itself"
            raise OSError(message)
        time.sleep(POLL_SECONDS)


def wait_until_up(place: Place, pause: Pause, timeout: float) -> Pause:
    """Tell the keeper to end the pause, and wait until it has; OSError when it takes too long.

    A record whose keeper is gone is returned as it is.
    """
    deadline = time.monotonic() + timeout
    while True:
        with only_keeper(place) as lock:
            if lock is not None:
                return place.read() or pause
        if not place.is_released(pause.token):
            replace_file(place.release, pause.token.encode(), 0o600)
        if time.monotonic() > deadline:
            message = f"the service did not come back within {timeout:g} s; its keeper goes on trying"
            raise OSError(message)
        time.sleep(POLL_SECONDS)


def start_orphan(change: Change, pause: Pause, home: Path) -> Pause:
    """End a pause whose keeper was killed, or went with the Mac."""
    return bring_back(change, replace(pause, ended="orphaned"), home, None)


def resident_names(pinned: Sequence[str], wanted: Sequence[str], installed: Sequence[str]) -> tuple[str, ...]:
    """Return what must be in memory again: what was there for good, and what the inventory calls resident and is installed."""
    have = {name.lower() for name in installed}
    return tuple(dict.fromkeys([*pinned, *(name for name in wanted if name.lower() in have)]))
