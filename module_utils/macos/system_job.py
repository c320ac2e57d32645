"""A job of ours in launchd's system domain: look at it as any user, change it as root. OSError where launchd does not do it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import launchctl
from .commands import Answer

if TYPE_CHECKING:
    from fleet import service
    from fleet.launchctl_output import parse_disabled
else:
    from ansible.module_utils.fleet import service
    from ansible.module_utils.fleet.launchctl_output import parse_disabled


NO_HOME = "/var/empty"
"""Such a job is nobody's agent: only the folders below /Library are looked into, whoever looks."""
LONGEST_RUN_SECONDS = 60
POLL_SECONDS = 0.1
BOOTSTRAP_PAUSES = (0, 0.2, 0.5, 1, 2, 4)
"""Pauses before each try: bootstrap answers 5 for a while after a bootout."""


def observe(label: str) -> service.Found:
    """Read the job in the system domain, where alone it belongs; OSError when launchd cannot tell."""
    answer = launchctl.launchctl("print-disabled", "system")
    if answer.rc != 0:
        message = f"launchctl print-disabled system: {answer.said}"
        raise OSError(message)
    job = launchctl.read_job("system", label)
    return service.Found(
        uid=0,
        home=NO_HOME,
        files=launchctl.read_files(NO_HOME, frozenset({label})),
        jobs=(job,) if job else (),
        disabled=(("system", parse_disabled(answer.out) & {label}),),
    )


def _expect(answer: Answer, verb: str) -> None:
    if answer.rc != 0:
        message = f"launchctl {verb} answered {answer.rc}: {answer.said}"
        raise OSError(message)


def enable(target: str) -> None:
    """Take the persistent override away."""
    _expect(launchctl.launchctl("enable", target), f"enable {target}")


def boot_out(target: str) -> None:
    """Boot the job out and wait until launchd has forgotten it: exit 0 comes before that."""
    answer = launchctl.launchctl("bootout", target)
    if answer.rc not in (0, launchctl.NO_SUCH_PROCESS, launchctl.NO_SERVICE, launchctl.IN_PROGRESS):
        _expect(answer, f"bootout {target}")
    domain, _, label = target.rpartition("/")
    deadline = time.monotonic() + LONGEST_RUN_SECONDS
    while launchctl.read_job(domain, label) is not None:
        if time.monotonic() > deadline:
            message = f"{target} was booted out and is still registered"
            raise OSError(message)
        time.sleep(POLL_SECONDS)


def bootstrap(path: str) -> None:
    """Load the job; retry while launchd answers 5 or 37, for the label may still be draining."""
    answer = Answer(1, "", "")
    for pause in BOOTSTRAP_PAUSES:
        time.sleep(pause)
        answer = launchctl.launchctl("bootstrap", "system", path)
        if answer.rc not in (launchctl.IO_ERROR, launchctl.ALREADY):
            break
    _expect(answer, f"bootstrap system {path}")


def start_anew(target: str, path: str) -> None:
    """Let launchd read the job's file again."""
    boot_out(target)
    bootstrap(path)


def wait_for_its_end(target: str) -> None:
    """Wait until a job that runs once has ended well; OSError with how it ended otherwise."""
    domain, _, label = target.rpartition("/")
    deadline = time.monotonic() + LONGEST_RUN_SECONDS
    while True:
        job = launchctl.read_job(domain, label)
        if job is not None and job.pid is None and job.last_exit == "last exit code = 0":
            return
        failed = job is not None and job.pid is None and job.last_exit.startswith("last") and "never" not in job.last_exit
        if failed or time.monotonic() > deadline:
            message = f"{target} was loaded and did not do its work ({job.last_exit if job else 'launchd dropped it'})"
            raise OSError(message)
        time.sleep(POLL_SECONDS)
