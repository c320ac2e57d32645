"""What the lines of the server's log say: each pattern with the diagnosis that it supports.

Ollama logs to stderr: lines of Go's slog (`time=... level=...`), of GIN, bare lines of what failed at the start, and what
llama-server printed (0.30 to 0.33). Only fresh lines count: an error of yesterday explains nothing of today.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .models import parse_time

EVIDENCE = 3
"""So many lines are shown."""

COMPLAINT = re.compile(r"^(Error:|panic:|fatal error:)|level=(WARN|ERROR)|\| +5[0-9]{2} \|")
"""What a server that is in trouble writes, in whatever words: of what failed at the start, of slog, of GIN for a status 5xx."""

_STAMP = re.compile(r"time=(\S{10,40})")


@dataclass(frozen=True)
class Pattern:
    """A line that means something. One that is `alone` enough makes the diagnosis; else it is evidence for one that is there."""

    expression: re.Pattern[str]
    supports: str
    alone: bool = False


def _pattern(expression: str, supports: str, *, alone: bool = False) -> Pattern:
    return Pattern(re.compile(expression), supports, alone)


PATTERNS = (
    # The first thing that `ollama serve` does is to bind its port; whoever cannot ends with 1 (cmd/cmd.go, seen with 0.32.15).
    _pattern(r"bind: address already in use", "port.held_by_other"),
    _pattern(r"bind: address already in use", "port.held_by_app"),
    _pattern(r"bind: address already in use", "service.crash_loop"),
    _pattern(r"bind: cannot assign requested address", "server.address_missing", alone=True),
    _pattern(r"ensure path elements are traversable", "server.store_unwritable", alone=True),
    # A daemon without HOME (ollama #8756).
    _pattern(r"\$HOME is not defined", "server.no_home", alone=True),
    _pattern(r"invalid environment variable, using default", "server.setting_ignored", alone=True),
    _pattern(r"invalid port, using default", "server.setting_ignored", alone=True),
    _pattern(r"unsupported OLLAMA_KV_CACHE_TYPE", "server.setting_ignored", alone=True),
    _pattern(r"quantized kv cache requested but flash attention disabled", "server.setting_ignored", alone=True),
    # Homebrew 0.30.0 to 0.30.4 shipped without it; a server of an upgraded keg looks at its old path (ollama #16430).
    _pattern(r"llama-server binary not found", "runner.missing", alone=True),
    # The kernel ends what takes too much (ollama #10532, #8571).
    _pattern(r"process has terminated: signal: killed", "runner.killed", alone=True),
    _pattern(r"process has terminated", "runner.crashed", alone=True),
    _pattern(r"unable to load model", "model.corrupt", alone=True),
    # The words of versions before 0.30 (ollama #8192).
    _pattern(r"model requires more system memory", "model.does_not_fit", alone=True),
    _pattern(r"no space left on device", "disk.full", alone=True),
    _pattern(r"server busy, please try again", "server.busy", alone=True),
    # A registry that wants a newer client than the one that runs (ollama #11694).
    _pattern(r"pull model manifest: 412", "server.stale_binary"),
    _pattern(r"digest mismatch, file must be downloaded again", "model.not_installed"),
    _pattern(r"pull model manifest: ", "model.not_installed"),
)
"""The first pattern that is alone enough decides what a line means."""


def supported(line: str) -> list[Pattern]:
    """Return the patterns of a line: every one that lends evidence, and of those that stand alone the first."""
    found = [pattern for pattern in PATTERNS if pattern.expression.search(line)]
    alone = [pattern for pattern in found if pattern.alone]
    return [pattern for pattern in found if not pattern.alone] + alone[:1]


def fresh(lines: Sequence[str], modified: str, since: datetime) -> list[str]:
    """Return the lines that are not older than a moment.

    A line without a time of its own has that of the line before it; at the end of the file it may be as young as the file.
    """
    moments = [_moment(line) for line in lines]
    last = max((index for index, moment in enumerate(moments) if moment is not None), default=-1)
    written = _parse(modified)
    before: datetime | None = None
    kept = []
    for index, (line, moment) in enumerate(zip(lines, moments)):
        before = moment or before
        known = written if moment is None and index > last else before
        # A line before the first time in what was read is as old as the file may be.
        if known is not None and known >= since:
            kept.append(line)
    return kept


def _moment(line: str) -> datetime | None:
    found = _STAMP.match(line)
    return _parse(found[1]) if found else None


def _parse(text: str) -> datetime | None:
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        return None


def fresh_lines(logs: Mapping[str, Any], since: datetime | None) -> list[str]:
    """Return the fresh lines of every log that could be read, in the order of their paths."""
    if since is None:
        return []
    found: list[str] = []
    for _, log in sorted(logs.items()):
        if isinstance(log, Mapping) and isinstance(log.get("tail"), Sequence):
            found += fresh([str(line) for line in log["tail"]], str(log.get("modified_at")), since)
    return found


def last(lines: Iterable[str], count: int = EVIDENCE) -> list[str]:
    """Return the last different lines: a loop writes one line for ever."""
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))[-count:]
