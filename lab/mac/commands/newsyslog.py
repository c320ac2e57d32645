"""newsyslog: log files moved aside by name, as newsyslog(8) does it every hour at minute 30."""

from __future__ import annotations

import bz2
import fnmatch
import glob
import grp
import gzip
import os
import pwd
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

from mac.machine import path

CONFIGURATION = "/etc/newsyslog.conf"


class Entry(NamedTuple):
    """One line of newsyslog.conf(5)."""

    log: str
    owner: str | None
    mode: int
    keep: int
    size_kb: int | None
    when: str
    flags: str
    pid_file: str | None
    signal: int


class BadLine(Exception):
    """A line that newsyslog cannot read."""


def parse_line(line: str) -> Entry | None:
    """Read one line; nothing for a comment, an empty line or an include."""
    words = line.split("#", 1)[0].split()
    if not words or words[0].startswith("<include>"):
        return None
    log, words = words[0], words[1:]
    owner = words.pop(0) if words and ":" in words[0] else None
    if len(words) < 4:
        raise BadLine("newsyslog: malformed line (missing fields):\n" + line)
    mode, count, size, when = words[:4]
    rest = words[4:]
    if not all(digit in "01234567" for digit in mode) or not count.isdigit():
        raise BadLine("newsyslog: error in config file; bad permissions or count:\n" + line)
    flags = rest.pop(0) if rest and not rest[0].startswith("/") else ""
    if flags.strip("-") and not set(flags.upper()) <= set("BCDGJNPRSUZX-"):
        raise BadLine("newsyslog: illegal flag in config file -- " + flags)
    pid_file = rest.pop(0) if rest and rest[0].startswith("/") else None
    number = int(rest[0]) if rest and rest[0].isdigit() else int(signal.SIGHUP)
    size_kb = None if size == "*" else int(size)
    return Entry(log, owner, int(mode, 8), int(count), size_kb, when, flags.upper(), pid_file, number)


def is_due(entry: Entry, size_bytes: int, age_hours: float | None, hour: int) -> bool:
    """Decide whether a log is turned over: by size in KiB, by hours since the last time, or at an hour."""
    if entry.size_kb is not None and size_bytes >= entry.size_kb * 1024:
        return True
    if entry.when.isdigit():
        return age_hours is not None and age_hours >= int(entry.when)
    if entry.when[:2] in ("@T", "$D") and entry.when[2:].isdigit():
        return int(entry.when[2:]) == hour and (age_hours is None or age_hours >= 1)
    return False


def _suffix(entry: Entry) -> str:
    return ".bz2" if "J" in entry.flags else ".gz" if "Z" in entry.flags else ""


def _entries(file: str | None) -> list[Entry]:
    """Read the configuration; newsyslog.d belongs to it unless another file was named."""
    files = [path(file or CONFIGURATION)]
    if file is None:
        files += sorted(path("/etc/newsyslog.d").glob("*.conf"))
    found: list[Entry] = []
    for source in files:
        for line in source.read_text(encoding="utf-8").splitlines():
            entry = parse_line(line)
            if entry is None:
                continue
            if "G" in entry.flags:
                found += [entry._replace(log=name) for name in sorted(glob.glob(entry.log))]  # noqa: PTH207  the pattern is absolute
            else:
                found.append(entry)
    return found


def rotate(entry: Entry, dry: bool) -> list[str]:
    """Move the log to NAME.0 and the older ones along; give what was, or would be, done.

    The process that writes the log keeps its descriptor: it goes on writing to the renamed file until it is
    told or restarted. There is no copy-and-truncate.
    """
    log, suffix = path(entry.log), _suffix(entry)
    done: list[str] = []

    def act(words: str, change: object) -> None:
        done.append(words)
        if not dry and callable(change):
            change()

    oldest = Path(f"{log}.{entry.keep}{suffix}")
    if oldest.exists():
        act(f"rm -f {oldest}", oldest.unlink)
    for number in range(entry.keep - 1, -1, -1):
        older, newer = Path(f"{log}.{number}{suffix}"), Path(f"{log}.{number + 1}{suffix}")
        if older.exists():
            act(f"mv {older} {newer}", lambda a=older, b=newer: a.rename(b))
    first = Path(f"{log}.0")
    act(f"mv {log} to {first}", lambda: log.rename(first))
    act("Start new log...", lambda: _create(entry, log))
    if "N" not in entry.flags:
        act("Signal daemon", lambda: _signal(entry))
    if suffix:
        act(f"Compress {first}", lambda: _compress(first, suffix))
    return done


def _create(entry: Entry, log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode)
    os.fchmod(descriptor, entry.mode)
    uid = gid = 0
    if entry.owner:
        user, _, group = entry.owner.partition(":")
        uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid if user else 0
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid if group else 0
    os.fchown(descriptor, uid, gid)
    if "B" not in entry.flags:
        stamp = time.strftime("%b %e %H:%M:%S")
        os.write(descriptor, (f"{stamp} {os.uname().nodename} newsyslog[{os.getpid()}]: logfile turned over\n").encode())
    os.close(descriptor)


def _compress(file: Path, suffix: str) -> None:
    data = file.read_bytes()
    target = Path(str(file) + suffix)
    target.write_bytes(bz2.compress(data) if suffix == ".bz2" else gzip.compress(data))
    target.chmod(file.stat().st_mode & 0o7777)
    file.unlink()


def _signal(entry: Entry) -> None:
    """Signal the process of the pid file; without one it would be syslogd, which keeps no log here."""
    if entry.pid_file is None:
        return
    try:
        os.kill(int(path(entry.pid_file).read_text(encoding="utf-8").split()[0]), entry.signal)
    except (OSError, ValueError, IndexError) as error:
        print(f"newsyslog: can't notify daemon, pid file {entry.pid_file}: {error}", file=sys.stderr)


def _age_hours(entry: Entry) -> float | None:
    last = path(f"{entry.log}.0{_suffix(entry)}")
    return (time.time() - last.stat().st_mtime) / 3600 if last.exists() else None


def main(argv: list[str]) -> int:
    """Look at every log and turn over those that are due; -n says only what would be done."""
    letters, file, logs = "", None, []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "-f" and words:
            file = words.pop(0)
        elif word.startswith("-") and set(word[1:]) <= set("CFNnrsv"):
            letters += word[1:]
        elif word.startswith("-"):
            print("usage: newsyslog [-CFNnrsv] [-R tagname] [-a directory] [-f config_file] [file ...]", file=sys.stderr)
            return 1
        else:
            logs.append(word)
    if os.getuid() != 0 and "r" not in letters:
        print("newsyslog: must have root privs", file=sys.stderr)
        return 1
    try:
        entries = _entries(file)
    except (BadLine, OSError) as error:
        print(error if isinstance(error, BadLine) else f"newsyslog: {error}", file=sys.stderr)
        return 1
    for entry in entries:
        if not logs or any(fnmatch.fnmatch(entry.log, log) for log in logs):
            _handle(entry, letters)
    return 0


def _handle(entry: Entry, letters: str) -> None:
    head = f"{entry.log} <{entry.keep}{entry.flags.replace('-', '')}>: "
    log, verbose = path(entry.log), "v" in letters
    if not log.is_file():
        if verbose:
            print(head + "does not exist, skipped.")
        return
    size = log.stat().st_size
    # newsyslog leaves an empty log alone unless it is forced.
    due = "F" in letters or (size > 0 and is_due(entry, size, _age_hours(entry), time.localtime().tm_hour))
    if verbose:
        limit = "" if entry.size_kb is None else f"size (Kb): {-(-size // 1024)} [{entry.size_kb}] "
        print(head + limit + ("--> trimming log...." if due else "--> skipping"))
    if due:
        for line in rotate(entry, "n" in letters):
            if "n" in letters:
                print("\t" + line)
