"""Processes of a Mac as `ps` lists them: who runs, for whom, since when, and who started it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Optional

COLUMNS = "pid=,ppid=,rss=,user=,lstart=,command="
"""What `ps -axo` is asked for. The start comes without a zone, so ps must run with TZ=UTC; rss is in KiB (macOS 14 to 26)."""

COMMAND_LENGTH = 300
"""A command line may be a megabyte long; its beginning says what it is."""

_LINE = re.compile(r"\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+\S+ +(\S+ +\d+ +\d+:\d+:\d+ +\d+)\s+(.*)")


@dataclass(frozen=True)
class Process:
    """One process. `started` is ISO 8601 in UTC, "" where ps said something else."""

    pid: int
    parent: int
    user: str
    resident_bytes: int
    started: str
    command: str


def processes_from_json(data: Iterable[Mapping[str, Any]]) -> tuple[Process, ...]:
    """Read the `processes` part of an observation back."""
    return tuple(Process(**one) for one in data)


def parse(text: str) -> tuple[Process, ...]:
    """Read what `ps -axo` printed for `COLUMNS`; a line of another shape is left out."""
    found = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        pid, parent, kibibytes, user, started, command = match.groups()
        found.append(Process(int(pid), int(parent), user, int(kibibytes) * 1024, _moment(started), command[:COMMAND_LENGTH]))
    return tuple(found)


def _moment(words: str) -> str:
    try:
        moment = datetime.strptime(" ".join(words.split()), "%b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc)
    except ValueError:
        return ""
    return moment.isoformat().replace("+00:00", "Z")


def relevant(processes: Iterable[Process], pids: Collection[int], word: str = "ollama") -> tuple[Process, ...]:
    """Return those whose command names the word, those with these pids, and whoever started one of them, up to launchd."""
    by_pid = {process.pid: process for process in processes}
    wanted = {process.pid for process in by_pid.values() if process.pid in pids or word in process.command.lower()}
    for pid in list(wanted):
        parent: Optional[Process] = by_pid.get(by_pid[pid].parent)
        while parent is not None and parent.pid not in wanted:
            wanted.add(parent.pid)
            parent = by_pid.get(parent.parent)
    return tuple(by_pid[pid] for pid in sorted(wanted))
