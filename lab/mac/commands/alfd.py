"""The application firewall's agent: keeps the packet filter in step with rules and listening programs.

A system job of launchd. Ten times a second it looks at the set of listening sockets and at the rules' file,
and loads a new filter only when one of them changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

from mac.commands import alf, sockets
from mac.machine import path

TICK = 0.1  # seconds
# Apple's own python3: signed by Apple, so whatever it runs counts as the interpreter, as on a real Mac.
_APPLE_PYTHON = "/opt/virtual-mac/apple-python/"
_INTERPRETERS = ("python", "sh", "bash", "dash", "zsh", "ruby", "perl", "node")
# Options of an interpreter that take the next word, and those after which there is no script.
_TAKES_WORD = {"-X", "-W"}
_NO_SCRIPT = {"-c", "-m"}


def program_of(executable: str, arguments: list[str]) -> str:
    """Name the program a process runs: a script counts as itself, not as its interpreter."""
    if executable.startswith(_APPLE_PYTHON):
        return "/usr/bin/python3"
    base = executable.rsplit("/", 1)[-1]
    if not base.rstrip("0123456789.").startswith(_INTERPRETERS):
        return executable
    words = iter(arguments[1:])
    for word in words:
        if word in _NO_SCRIPT:
            return executable
        if word in _TAKES_WORD:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return executable


def _read_program(pid: int) -> str | None:
    try:
        # os.readlink: the program may be deleted already, and pathlib would say no more.
        executable = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115  the link as it stands
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        folder = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115  the link as it stands
    except OSError:
        return None
    arguments = [word.decode("utf-8", "replace") for word in raw.rstrip(b"\0").split(b"\0")]
    name = program_of(executable, arguments)
    return os.path.realpath(os.path.join(folder, name))  # noqa: PTH118  a path of another process


class Watcher:
    """What is listening, and by which program.

    A program is named when its socket is first seen: later its links may lead to the next version, while
    macOS goes on judging the file that was started.
    """

    def __init__(self, name_program: Callable[[int], str | None] = _read_program) -> None:
        self._name_program = name_program
        self._programs: dict[int, set[str]] = {}

    def listeners(self, listening: list[tuple[int, int]], holders: dict[int, list[sockets.Holder]]) -> list[tuple[int, str]]:
        """Give (port, program) for the listening sockets given as (port, inode)."""
        alive = {inode for _, inode in listening}
        self._programs = {inode: programs for inode, programs in self._programs.items() if inode in alive}
        for _, inode in listening:
            if not self._programs.get(inode):
                names = {self._name_program(holder.pid) for holder in holders.get(inode, [])}
                self._programs[inode] = {name for name in names if name}
        # A socket whose process cannot be seen is judged as an unknown program.
        return [(port, name) for port, inode in listening for name in sorted(self._programs[inode]) or ["?"]]


def load(script: str) -> bool:
    """Hand a script to nft, which applies all of it or nothing."""
    done = subprocess.run(["/usr/sbin/nft", "-f", "-"], input=script.encode(), check=False, stderr=subprocess.PIPE)
    if done.returncode != 0:
        print("alfd: {}".format(done.stderr.decode("utf-8", "replace").strip()), file=sys.stderr, flush=True)
    return done.returncode == 0


def _rules_stamp() -> tuple[int, int]:
    try:
        stat = path(alf.RULES_FILE).stat()
    except FileNotFoundError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_ino)


class Agent:
    """One agent's memory between two looks."""

    def __init__(self) -> None:
        self._watcher = Watcher()
        self._seen: object = None
        self._loaded = ""
        self._visible_at = 0.0

    def look(self) -> None:
        """Load a new filter if anything changed since the last look."""
        stamp, listening = _rules_stamp(), sockets.listening()
        now = time.time()
        if (stamp, listening) == self._seen and not self._due(now):
            return
        kept = alf.load()
        self._visible_at = kept.visible_at
        script = alf.ruleset(kept.visible(now), self._watcher.listeners(listening, sockets.holders()))
        if script == self._loaded or load(script):
            self._loaded, self._seen = script, (stamp, listening)
            if now >= self._visible_at:
                self._visible_at = 0.0

    def _due(self, now: float) -> bool:
        return 0.0 < self._visible_at <= now


def main(argv: list[str]) -> int:
    """Keep the filter until launchd ends the job; the rules in the kernel outlive an agent that is restarted."""
    if argv:
        print("usage: alfd", file=sys.stderr)
        return 64
    alf.prepare()
    agent = Agent()
    while True:
        agent.look()
        time.sleep(TICK)
