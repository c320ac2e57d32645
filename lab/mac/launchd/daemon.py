"""launchd itself, PID 1 of a virtual Mac: one thread that waits for requests, dead children and deadlines."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

_LIB = str(Path(__file__).resolve().parents[2])
if _LIB not in sys.path:
    sys.path[:0] = [_LIB]

from mac import machine  # noqa: E402  found only now
from mac.launchd import spawn, wire  # noqa: E402
from mac.launchd.control import Caller, Control, Reply, caller_domain, session_name  # noqa: E402
from mac.launchd.supervisor import Service, Supervisor  # noqa: E402

LOG = "/var/log/launchd.log"
# epoll counts milliseconds in 32 bits; a job's next start may be further away than that.
LONGEST_SLEEP = 86400.0
# What would end a process that did not ask for it; PID 1 of a Mac does not die of a stray signal.
IGNORED = (signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


class World:
    """The supervisor's Host: real processes, the real clock, the real log."""

    def __init__(self) -> None:
        self.supervisor = Supervisor(self)
        path = machine.path(LOG)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def now(self) -> float:
        """Give monotonic seconds."""
        return time.monotonic()

    def today(self) -> datetime.datetime:
        """Give local wall-clock time."""
        return datetime.datetime.now()

    def spawn(self, service: Service) -> int:
        """Start the job's process with what its session holds at this moment."""
        environment = self.supervisor.places[service.domain].environment
        return spawn.start(spawn.plan(service.definition, service.domain, environment))

    def signal(self, pid: int, number: int) -> None:
        """Signal a process; one that is gone is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def signal_group(self, pid: int, number: int) -> None:
        """Signal what is left of a job's process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)

    def log(self, about: str, message: str) -> None:
        """Write a line; a full disk must not stop launchd."""
        stamp = self.today().strftime("%Y-%m-%d %H:%M:%S.%f")
        with contextlib.suppress(OSError):
            os.write(self._log, (f"{stamp} ({about}) {message}\n").encode("utf-8", "replace"))


class Connection:
    """One caller: reads a line, answers once, possibly much later."""

    def __init__(self, daemon: Daemon, line: socket.socket) -> None:
        self.daemon = daemon
        self.line = line
        self.read = b""
        self.unsent = b""
        self.asked = False
        self.answered = False
        line.setblocking(False)
        credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        self.pid, self.uid, _ = struct.unpack("3i", credentials)
        daemon.selector.register(line, selectors.EVENT_READ, self.ready)

    def ready(self, events: int) -> None:
        """Go on where the socket lets us."""
        try:
            if events & selectors.EVENT_READ:
                self._receive()
            if events & selectors.EVENT_WRITE:
                self._send()
        except OSError:
            self.close()

    def _receive(self) -> None:
        part = self.line.recv(65536)
        if not part:
            self.close()
            return
        if self.asked:
            return
        self.read += part
        if len(self.read) > wire.LONGEST:
            self.close()
        elif b"\n" in self.read:
            self.asked = True
            self.daemon.handle(self.read.partition(b"\n")[0], self)

    def answer(self, reply: Reply) -> None:
        """Send the answer; a caller that is gone no longer wants it."""
        if self.answered or self.line.fileno() < 0:
            return
        self.answered = True
        self.unsent = json.dumps(asdict(reply)).encode("utf-8")
        try:
            self._send()
        except OSError:
            self.close()

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[self.line.send(self.unsent) :]
        if self.unsent:
            self.daemon.selector.modify(self.line, selectors.EVENT_WRITE, self.ready)
        elif self.answered:
            self.close()

    def close(self) -> None:
        """Forget the caller."""
        if self.line.fileno() >= 0:
            self.daemon.selector.unregister(self.line)
            self.line.close()


class Daemon:
    """The event loop."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.world = World()
        self.supervisor = self.world.supervisor
        self.control = Control(self.supervisor)
        self.asked_to_end = False
        self.ending = False
        self.ended = False

    def run(self) -> None:
        """Boot, serve until the end, and leave no job behind."""
        self._prepare_signals()
        self.world.log("system", "boot")
        self.control.boot()
        listener = self._listen()
        self.selector.register(listener, selectors.EVENT_READ, lambda _: self._accept(listener))
        while True:
            if self.asked_to_end:
                self._end()
            self._reap()
            self.supervisor.tick()
            if self.ended:
                break
            deadline = self.supervisor.next_deadline()
            timeout = None if deadline is None else min(max(0.0, deadline - self.world.now()), LONGEST_SLEEP)
            for key, events in self.selector.select(timeout):
                key.data(events)
        machine.path(wire.SOCKET).unlink()
        self.world.log("system", "shutdown complete")

    def _prepare_signals(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

        def end_soon(*_: object) -> None:
            """Only note it: a handler runs between any two steps of the loop."""
            self.asked_to_end = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end_soon)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)

        def woken(_: int) -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 4096)

        self.selector.register(reader, selectors.EVENT_READ, woken)

    def _listen(self) -> socket.socket:
        path = machine.path(wire.SOCKET)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".draft")
        draft.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(draft))
        draft.chmod(0o666)
        listener.listen(128)
        listener.setblocking(False)
        # Under its own name only now: whoever sees the socket may connect.
        draft.replace(path)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            Connection(self, listener.accept()[0])

    def _reap(self) -> None:
        """Reap whatever died, orphans of other people's sessions too: that is PID 1's duty."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.supervisor.exited(pid, status)

    def _end(self) -> None:
        if self.ending:
            return
        self.ending = True
        self.world.log("system", "shutdown")

        def ended() -> None:
            self.ended = True

        self.control.shut_down(ended)

    def handle(self, line: bytes, connection: Connection) -> None:
        """Answer a request; whatever it contains, launchd lives on."""
        try:
            request = json.loads(line)
            self._answer(request, connection)
        except Exception:
            self.world.log("system", f"request failed: {traceback.format_exc()}")
            connection.answer(Reply(5, "", "launchd could not read the request\n"))

    def _answer(self, request: dict[str, Any], connection: Connection) -> None:
        if "control" in request:
            self._control(str(request["control"]), str(request.get("user", "")), connection)
            return
        argv = [str(word) for word in request["argv"]]
        session = str(request.get("session") or "")
        domain = self.control.session_of(connection.pid)
        if domain is not None:
            session = session_name(domain)
        else:
            domain = caller_domain(connection.uid, session)
            session = session or session_name(domain)
        caller = Caller(
            uid=connection.uid,
            session=session,
            domain=domain,
            cwd=str(request.get("cwd") or "/"),
            terminal=bool(request.get("terminal")),
            pid=connection.pid,
        )
        self.control.answer(argv, caller, connection.answer)

    def _control(self, verb: str, name: str, connection: Connection) -> None:
        if connection.uid != 0:
            connection.answer(Reply(1, "", "only root speaks for the login window\n"))
            return

        def finished(problem: str) -> None:
            connection.answer(Reply(1, "", problem + "\n") if problem else Reply())

        if verb == "logout":
            self.control.logout(name, finished)
        elif verb in ("login", "touch"):
            finished(self.control.login(name) if verb == "login" else self.control.touch(name))
        else:
            finished(f"no such request: {verb}")


def keep_descriptors_to_ourselves() -> None:
    """See to it that no descriptor we were started with reaches a job."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  descriptors are no paths
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def main() -> int:
    """Be launchd."""
    os.umask(0o022)
    keep_descriptors_to_ourselves()
    Daemon().run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
