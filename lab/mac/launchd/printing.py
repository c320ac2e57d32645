"""The texts launchctl prints. Indentation is one TAB a level.

`print` is declared "not API" by launchctl(1), yet everyone reads it; the layout follows a captured running
agent and the field order of launchd's own routine. Fields that only a kernel could fill (coalitions,
jetsam) carry fixed values.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mac.launchd import domains, errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mac.launchd.job import Definition

DEFAULT_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
# What launchd adds to a job's own environment and `print` shows in the same block (captured on macOS 15 and
# 26).
LOG_RATE_LIMIT = ("OSLogRateLimit", "64")

# "daemon (3)", "interactive (4)" and "adaptive (6)" were captured; Background's value was not: a guess.
_SPAWN_TYPES = {"Interactive": "interactive (4)", "Background": "background (5)", "Adaptive": "adaptive (6)"}

# strsignal(3) of macOS, whose numbers for these equal Linux's.
_SIGNALS: dict[int, str] = {
    signal.SIGHUP: "Hangup",
    signal.SIGINT: "Interrupt",
    signal.SIGQUIT: "Quit",
    signal.SIGILL: "Illegal instruction",
    signal.SIGTRAP: "Trace/BPT trap",
    signal.SIGABRT: "Abort trap",
    signal.SIGFPE: "Floating point exception",
    signal.SIGKILL: "Killed",
    signal.SIGSEGV: "Segmentation fault",
    signal.SIGPIPE: "Broken pipe",
    signal.SIGALRM: "Alarm clock",
    signal.SIGTERM: "Terminated",
}
# Darwin numbers some signals differently from Linux, where the processes really run.
_DARWIN_NUMBERS: dict[int, tuple[int, str]] = {
    signal.SIGBUS: (10, "Bus error"),
    signal.SIGUSR1: (30, "User defined signal 1"),
    signal.SIGUSR2: (31, "User defined signal 2"),
    signal.SIGSYS: (12, "Bad system call"),
}


@dataclass(frozen=True)
class Snapshot:
    """A service as `print` and `list` show it."""

    domain: domains.Domain
    path: str
    definition: Definition
    state: str = "not running"
    pid: int | None = None
    runs: int = 0
    last_status: int | None = None
    successive_crashes: int = 0
    reason: str = ""
    session_id: int = 0
    inherited: Mapping[str, str] = field(default_factory=dict)


def signal_number(number: int) -> int:
    """Give Darwin's number for a signal of Linux."""
    return _DARWIN_NUMBERS[number][0] if number in _DARWIN_NUMBERS else number


def signal_words(number: int) -> str:
    """Word a signal as strsignal(3) does on macOS: `Terminated: 15`."""
    if number in _DARWIN_NUMBERS:
        darwin, words = _DARWIN_NUMBERS[number]
        return f"{words}: {darwin}"
    return f"{_SIGNALS.get(number, 'Unknown signal')}: {number}"


def last_exit(status: int | None) -> str:
    """Give the line about the previous run."""
    if status is None:
        return "last exit code = (never exited)"
    if os.WIFSIGNALED(status):
        return "last terminating signal = " + signal_words(os.WTERMSIG(status))
    code = os.WEXITSTATUS(status)
    return f"last exit code = {code}" + (": " + errors.SYSEXITS[code] if code in errors.SYSEXITS else "")


def _block(name: str, lines: Iterable[str], depth: int = 1) -> list[str]:
    tabs = "\t" * depth
    return [tabs + name + " = {", *(tabs + "\t" + line for line in lines), tabs + "}", ""]


def _mapping(values: Mapping[str, str]) -> list[str]:
    return ["{} => {}".format(*item) for item in values.items()]


def own_environment(definition: Definition) -> dict[str, str]:
    """Give the block `environment`: the plist's variables and what launchd adds, in order of name."""
    values = dict([LOG_RATE_LIMIT])
    values.update(definition.environment)
    values["XPC_SERVICE_NAME"] = definition.label
    return dict(sorted(values.items()))


def properties(definition: Definition) -> str:
    """Give the last line: never the word "disabled", which only print-disabled knows."""
    flags = (
        ("keepalive", definition.keep_alive.configured),
        ("runatload", definition.run_at_load),
        ("inferred program", definition.inferred_program),
    )
    return "properties = " + " | ".join(name for name, on in flags if on)


def _coalition(kind: str, job: Snapshot) -> list[str]:
    identity = 1000 + (job.pid or 0) * 2 + (kind == "jetsam")
    return _block(
        kind + " coalition",
        [
            f"ID = {identity}",
            "type = " + kind,
            "state = active",
            "active count = 1",
            "name = " + job.definition.label,
        ],
    )


def _semaphores(definition: Definition) -> list[str]:
    keep = definition.keep_alive
    lines = []
    if keep.successful_exit is not None:
        lines.append(f"successful exit => {keep.successful_exit}")
    if keep.crashed is not None:
        lines.append(f"after crash => {keep.crashed}")
    return _block("semaphores", lines) if lines else []


def service(job: Snapshot) -> str:
    """Give `launchctl print DOMAIN/LABEL`."""
    definition = job.definition
    lines = [
        f"\tactive count = {1 if job.pid else 0}",
        "\tpath = " + job.path,
        "\ttype = " + job.domain.job_type,
        "\tstate = " + job.state,
        "",
        "\tprogram = " + definition.program,
        *_block("arguments", definition.arguments),
    ]
    if definition.working_directory:
        lines += ["\tworking directory = " + definition.working_directory, ""]
    for name, value in (
        ("stdin", definition.stdin_path),
        ("stdout", definition.stdout_path),
        ("stderr", definition.stderr_path),
    ):
        if value:
            lines.append(f"\t{name} path = {value}")
    if job.domain.kind != domains.SYSTEM_KIND or job.inherited:
        lines += _block("inherited environment", _mapping(job.inherited))
    lines += _block("default environment", ["PATH => " + DEFAULT_PATH])
    lines += _block("environment", _mapping(own_environment(definition)))
    if job.domain.kind == domains.SYSTEM_KIND:
        lines.append("\tdomain = system")
        if definition.user_name:
            lines.append("\tusername = " + definition.user_name)
        if definition.group_name:
            lines.append("\tgroup = " + definition.group_name)
    else:
        lines += [f"\tdomain = {job.domain} [{job.session_id}]", f"\tasid = {job.session_id}"]
    lines += [
        f"\tminimum runtime = {definition.throttle_interval}",
        f"\texit timeout = {definition.exit_timeout}",
    ]
    if definition.nice:
        lines.append(f"\tnice = {definition.nice}")
    if definition.start_interval:
        lines.append(f"\trun interval = {definition.start_interval} seconds")
    lines.append(f"\truns = {job.runs}")
    if job.successive_crashes:
        lines.append(f"\tsuccessive crashes = {job.successive_crashes}")
    if job.pid:
        lines += [f"\tpid = {job.pid}", "\timmediate reason = " + job.reason, "\tforks = 0", "\texecs = 1"]
        lines += ["\tinitialized = 1", "\ttrampolined = 1", "\tstarted suspended = 0"]
        lines.append("\tproxy started suspended = 0")
    lines += ["\t" + last_exit(job.last_status), "", *_semaphores(definition)]
    if job.pid:
        lines += [*_coalition("resource", job), *_coalition("jetsam", job)]
    lines += [
        "\tspawn type = " + _SPAWN_TYPES.get(definition.process_type, "daemon (3)"),
        "\tjetsam priority = 40",
        "\tjetsam memory limit (active) = (unlimited)",
        "\tjetsam memory limit (inactive) = (unlimited)",
        "\tjetsamproperties category = daemon",
        "\tjetsam thread limit = 32",
        "\tcpumon = default",
    ]
    limits = [("soft", definition.soft_files), ("hard", definition.hard_files)]
    shown = [f"nofile ({name}) => {value}" for name, value in limits if value is not None]
    if shown:
        lines += _block("resource limits", shown)[:-1]
    if job.pid:
        lines.append("\tjob state = running")
    lines += ["", "\t" + properties(definition)]
    return "{}/{} = {{\n{}\n}}\n".format(job.domain, definition.label, "\n".join(lines))


def status_column(status: int | None) -> str:
    """Give the middle column of `list`: the last exit code, or minus the signal."""
    if status is None:
        return "0"
    if os.WIFSIGNALED(status):
        return str(-signal_number(os.WTERMSIG(status)))
    return str(os.WEXITSTATUS(status))


def domain(
    which: domains.Domain,
    session_id: int,
    environment: Mapping[str, str],
    jobs: Iterable[Snapshot],
    overrides: Mapping[str, bool],
    os_major: int,
) -> str:
    """Give `launchctl print DOMAIN`; `type = login` is the proof of somebody at the screen (gui only)."""
    services = list(jobs)
    active = sum(1 for job in services if job.pid)
    kind = {domains.SYSTEM_KIND: "system", domains.USER_KIND: "user", domains.GUI_KIND: "login"}[which.kind]
    lines = [
        "\ttype = " + kind,
        f"\thandle = {session_id if which.kind == domains.GUI_KIND else which.uid}",
        f"\tactive count = {active + 1}",
        f"\tservice count = {len(services)}",
        f"\tactive service count = {active}",
    ]
    if which.kind != domains.SYSTEM_KIND:
        lines.append("\tcreator = " + ("loginwindow[1]" if which.kind == domains.GUI_KIND else "launchd[1]"))
        lines += _block("security context", [f"uid = {which.uid}", f"asid = {session_id}"])
    lines += _block("environment", _mapping(environment))
    rows = [
        f"{job.pid or 0:8d} {'-' if job.last_status is None else status_column(job.last_status):>6} \t" + job.definition.label
        for job in sorted(services, key=lambda job: job.definition.label)
    ]
    lines += _block("services", rows)
    lines += ["\t" + line for line in _override_lines(overrides, os_major)]
    return "{} = {{\n{}\n}}\n".format(which, "\n".join(lines))


def _override_lines(overrides: Mapping[str, bool], os_major: int) -> list[str]:
    # mSCP's checks read `=> true/false` up to macOS 12 and `=> disabled/enabled` from 13 on.
    words = {True: "disabled", False: "enabled"} if os_major >= 13 else {True: "true", False: "false"}
    rows = [f'\t"{label}" => {words[off]}' for label, off in sorted(overrides.items())]
    return ["disabled services = {", *rows, "}"]


def disabled(overrides: Mapping[str, bool], os_major: int) -> str:
    """Give `launchctl print-disabled DOMAIN`; a label that is not in it is enabled."""
    lines = _override_lines(overrides, os_major)
    if os_major >= 13:
        lines += ["", "login item associations = {", "}"]
    return "".join(f"\t{line}\n" if line else "\n" for line in lines)


def table(jobs: Iterable[Snapshot]) -> str:
    """Give `launchctl list`."""
    rows = [
        "{}\t{}\t{}\n".format(job.pid or "-", status_column(job.last_status), job.definition.label)
        for job in sorted(jobs, key=lambda job: job.definition.label)
    ]
    return "PID\tStatus\tLabel\n" + "".join(rows)


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def entry(job: Snapshot) -> str:
    """Give `launchctl list LABEL`; LastExitStatus is the raw wait(2) word there: exit 75 reads 19200."""
    definition = job.definition
    session = {domains.GUI_KIND: "Aqua", domains.USER_KIND: "Background", domains.SYSTEM_KIND: "System"}
    lines = []
    for key, value in (
        ("StandardOutPath", definition.stdout_path),
        ("LimitLoadToSessionType", session[job.domain.kind]),
        ("StandardErrorPath", definition.stderr_path),
        ("Label", definition.label),
    ):
        if value:
            lines.append(f'\t"{key}" = {_quoted(value)};')
    on_demand = not (definition.keep_alive.always or definition.run_at_load)
    lines.append(f'\t"OnDemand" = {str(on_demand).lower()};')
    lines.append(f'\t"LastExitStatus" = {job.last_status or 0};')
    if job.pid:
        lines.append(f'\t"PID" = {job.pid};')
    lines += [f'\t"Program" = {_quoted(definition.program)};', '\t"ProgramArguments" = (']
    lines += [f"\t\t{_quoted(argument)};" for argument in definition.arguments]
    lines += ["\t);", "};", ""]
    return "{\n" + "\n".join(lines)
