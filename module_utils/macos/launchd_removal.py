"""Carry out the steps that take jobs and their property lists away."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from .launchctl import DOMAIN_GONE, IN_PROGRESS, NO_SERVICE, NO_SUCH_PROCESS, launchctl, read_job

if TYPE_CHECKING:
    from fleet.service import Found
    from fleet.vocabulary import Step
else:
    from ansible.module_utils.fleet.service import Found
    from ansible.module_utils.fleet.vocabulary import Step


POLL_SECONDS = 0.1
PATIENCE_SECONDS = 15
"""Beyond the job's own ExitTimeOut, after which launchd kills it."""


def carry_out(step: Step, found: Found) -> None:
    """Do one step; OSError with a sentence when it did not come about."""
    if step.action == "remove":
        Path(step.item).unlink(missing_ok=True)
        return
    answer = launchctl("bootout", step.item)
    if answer.rc not in (0, NO_SUCH_PROCESS, NO_SERVICE, IN_PROGRESS, *DOMAIN_GONE):
        message = f"launchctl bootout {step.item} answered {answer.rc}: {answer.said}"
        raise OSError(message)
    domain, _, label = step.item.rpartition("/")
    job = found.job(domain, label)
    # The exit status 0 comes while the process is still alive.
    deadline = time.monotonic() + (job.exit_timeout if job and job.exit_timeout else 5) + PATIENCE_SECONDS
    while read_job(domain, label) is not None:
        if time.monotonic() > deadline:
            message = f"{step.item} was booted out and is still registered; its process does not end"
            raise OSError(message)
        time.sleep(POLL_SECONDS)
