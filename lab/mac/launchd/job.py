"""A job's definition: what launchd reads from a plist, once, while it loads the job.

Nothing here looks at the file again. That is launchd's way too: `kickstart -k` and even a second bootstrap
keep the definition of the first, and only bootout and bootstrap bring a changed file in.

Read: Label, Program, ProgramArguments, EnvironmentVariables, RunAtLoad, KeepAlive (true, SuccessfulExit,
Crashed), StartInterval, StartCalendarInterval, ThrottleInterval, ExitTimeOut, UserName, GroupName,
WorkingDirectory, StandardInPath, StandardOutPath, StandardErrorPath, LimitLoadToSessionType, ProcessType,
Soft/HardResourceLimits (NumberOfFiles), Nice, Umask, AbandonProcessGroup, Disabled. Other keys are passed
over: WatchPaths, QueueDirectories, PathState, OtherJobEnabled, Sockets and MachServices start nothing here.
"""

from __future__ import annotations

import datetime
import os
import plistlib
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mac.launchd import domains, errors

if TYPE_CHECKING:
    from collections.abc import Mapping

# launchd.plist(5): "ThrottleInterval ... 10 seconds by default"; 0 is ignored (launchd of macOS 26.5.1).
DEFAULT_THROTTLE = 10
# "System-defined" in launchd.plist(5); 5 s observed on macOS 26.5.1.
DEFAULT_EXIT_TIMEOUT = 5
# Agents without LimitLoadToSessionType belong to the screen (launchd-dev 2007; seen on macOS 15.7.5).
DEFAULT_SESSIONS = ("Aqua",)

# XML plists hold integers of any size; launchd's are C's.
_GREATEST = 2**31 - 1

_CRASHES = frozenset(
    (
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGFPE,
        signal.SIGBUS,
        signal.SIGSEGV,
        signal.SIGSYS,
    )
)


class RejectedError(Exception):
    """A plist launchd will not load, with the number root gets to hear."""

    def __init__(self, number: int) -> None:
        super().__init__(errors.numbered(number))
        self.number = number


@dataclass(frozen=True)
class KeepAlive:
    """When a job that ended is started again; the keys of the dictionary form are ORed."""

    always: bool = False
    successful_exit: bool | None = None
    crashed: bool | None = None

    def wants(self, status: int) -> bool:
        """Judge a wait(2) status."""
        succeeded = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        return (
            self.always
            or (self.successful_exit is not None and self.successful_exit == succeeded)
            or (self.crashed is not None and self.crashed == is_crash(status))
        )

    @property
    def implies_run_at_load(self) -> bool:
        """Tell if loading starts the job: `true` and SuccessfulExit want a run first (launchd.plist(5))."""
        return self.always or self.successful_exit is not None

    @property
    def configured(self) -> bool:
        """Say whether the key asks for anything at all."""
        return self.always or self.successful_exit is not None or self.crashed is not None


@dataclass(frozen=True)
class Definition:
    """One job, as its plist stood at bootstrap."""

    label: str
    program: str
    arguments: tuple[str, ...]
    inferred_program: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    run_at_load: bool = False
    keep_alive: KeepAlive = field(default_factory=KeepAlive)
    start_interval: int = 0
    start_calendar: tuple[Mapping[str, int], ...] = ()
    throttle_interval: int = DEFAULT_THROTTLE
    exit_timeout: int = DEFAULT_EXIT_TIMEOUT
    user_name: str = ""
    group_name: str = ""
    working_directory: str = ""
    stdin_path: str = ""
    stdout_path: str = ""
    stderr_path: str = ""
    sessions: tuple[str, ...] = ()
    process_type: str = ""
    soft_files: int | None = None
    hard_files: int | None = None
    nice: int = 0
    umask: int | None = None
    abandon_process_group: bool = False
    disabled: bool = False

    @property
    def starts_at_load(self) -> bool:
        """Say whether loading the job starts it."""
        return self.run_at_load or self.keep_alive.implies_run_at_load

    def loads_in(self, domain: domains.Domain) -> bool:
        """Say whether LimitLoadToSessionType lets the job into a domain.

        An Aqua agent does not go into user/UID (macOS 15.7.5), one that names only other types does not go
        into gui/UID (134 inside, daemonkit), an Aqua-only plist does not go into system.
        """
        if domain.kind == domains.SYSTEM_KIND:
            return not self.sessions or "System" in self.sessions
        wanted = "Aqua" if domain.kind == domains.GUI_KIND else "Background"
        return wanted in (self.sessions or DEFAULT_SESSIONS)


def is_crash(status: int) -> bool:
    """Say whether a wait(2) status tells of a signal that a bug raises, not a person."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in _CRASHES


def _text(plist: Mapping[str, Any], key: str) -> str:
    value = plist.get(key, "")
    return value if isinstance(value, str) else ""


def _number(plist: Mapping[str, Any], key: str, default: int = 0) -> int:
    value = plist.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        return default
    return max(-_GREATEST, min(value, _GREATEST))


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _keep_alive(value: Any) -> KeepAlive:
    if isinstance(value, dict):

        def flag(key: str) -> bool | None:
            return value[key] if isinstance(value.get(key), bool) else None

        return KeepAlive(successful_exit=flag("SuccessfulExit"), crashed=flag("Crashed"))
    return KeepAlive(always=value is True)


def _sessions(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else _strings(value)


def _calendar(value: Any) -> tuple[Mapping[str, int], ...]:
    entries = value if isinstance(value, list) else [value]
    return tuple(
        {key: number for key, number in entry.items() if isinstance(number, int)} for entry in entries if isinstance(entry, dict)
    )


def _umask(value: Any) -> int | None:
    """Read Umask: an integer, or a string as strtoul(3) with base 0 reads it (launchd.plist(5))."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    if isinstance(value, int):
        return value & 0o777
    try:
        return int(value, 8 if value.startswith("0") and value[1:].isdigit() else 0) & 0o777
    except ValueError:
        return None


def _files(plist: Mapping[str, Any], key: str) -> int | None:
    limits = plist.get(key)
    value = limits.get("NumberOfFiles") if isinstance(limits, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return min(value, _GREATEST)


def define(plist: Any) -> Definition:
    """Read a definition from a parsed plist, or say with which number launchd rejects it."""
    if not isinstance(plist, dict):
        raise RejectedError(errors.BAD_PLIST)
    label = _text(plist, "Label")
    if not label:
        # The table of errors has 110 for this; reports of a plist without a Label speak of 109.
        raise RejectedError(errors.BAD_PLIST)
    program, arguments = _text(plist, "Program"), _strings(plist.get("ProgramArguments"))
    if not program and not arguments:
        raise RejectedError(errors.NO_PROGRAM)
    environment = plist.get("EnvironmentVariables")
    throttle = _number(plist, "ThrottleInterval")
    exit_timeout = _number(plist, "ExitTimeOut", DEFAULT_EXIT_TIMEOUT)
    return Definition(
        label=label,
        program=program or arguments[0],
        arguments=arguments or (program,),
        inferred_program=not program,
        # launchd.plist(5): values that are no strings are dropped without a word.
        environment={
            key: value for key, value in (environment.items() if isinstance(environment, dict) else ()) if isinstance(value, str)
        },
        run_at_load=plist.get("RunAtLoad") is True,
        keep_alive=_keep_alive(plist.get("KeepAlive")),
        start_interval=max(0, _number(plist, "StartInterval")),
        start_calendar=_calendar(plist.get("StartCalendarInterval")),
        throttle_interval=throttle if throttle > 0 else DEFAULT_THROTTLE,
        exit_timeout=exit_timeout if exit_timeout >= 0 else DEFAULT_EXIT_TIMEOUT,
        user_name=_text(plist, "UserName"),
        group_name=_text(plist, "GroupName"),
        working_directory=_text(plist, "WorkingDirectory"),
        stdin_path=_text(plist, "StandardInPath"),
        stdout_path=_text(plist, "StandardOutPath"),
        stderr_path=_text(plist, "StandardErrorPath"),
        sessions=_sessions(plist.get("LimitLoadToSessionType")),
        process_type=_text(plist, "ProcessType"),
        soft_files=_files(plist, "SoftResourceLimits"),
        hard_files=_files(plist, "HardResourceLimits"),
        nice=_number(plist, "Nice"),
        umask=_umask(plist.get("Umask")),
        abandon_process_group=plist.get("AbandonProcessGroup") is True,
        disabled=plist.get("Disabled") is True,
    )


def parse(data: bytes) -> Definition:
    """Read a definition from a file's bytes, XML or binary."""
    try:
        plist = plistlib.loads(data)
    except Exception as error:  # plistlib lets expat's, struct's and its own errors through
        raise RejectedError(errors.BAD_PLIST) from error
    return define(plist)


def _day_matches(entry: Mapping[str, int], day: datetime.date) -> bool:
    if "Month" in entry and entry["Month"] != day.month:
        return False
    checks = []
    if "Day" in entry:
        checks.append(entry["Day"] == day.day)
    if "Weekday" in entry:  # 0 and 7 are Sunday
        checks.append(entry["Weekday"] % 7 == day.isoweekday() % 7)
    # As in crontab(5), a day that either key names is a match.
    return any(checks) if checks else True


def _next_match(entry: Mapping[str, int], after: datetime.datetime) -> datetime.datetime | None:
    earliest = after.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
    for ahead in range(8 * 366):  # 29 February comes once in eight years around 2100
        day = earliest.date() + datetime.timedelta(days=ahead)
        if not _day_matches(entry, day):
            continue
        for hour in [entry["Hour"]] if "Hour" in entry else range(24):
            for minute in [entry["Minute"]] if "Minute" in entry else range(60):
                if not (0 <= hour < 24 and 0 <= minute < 60):
                    return None
                moment = datetime.datetime.combine(day, datetime.time(hour, minute))
                if moment >= earliest:
                    return moment
    return None


def next_calendar_start(entries: tuple[Mapping[str, int], ...], after: datetime.datetime) -> datetime.datetime | None:
    """Find the next moment StartCalendarInterval asks for: a missing key is a wildcard, entries are ORed."""
    moments = [moment for entry in entries for moment in [_next_match(entry, after)] if moment is not None]
    return min(moments, default=None)
