"""Run the commands of macOS: as lists, in the C locale, bounded in time."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""The PATH of launchd and of a non-interactive ssh session on macOS; commands are found nowhere else."""


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    rc: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Return the words to show a person: the first line of stderr, else of stdout."""
        words = (self.err.strip() or self.out.strip()).splitlines()
        return words[0] if words else f"exit status {self.rc}"


def run(
    argv: Sequence[str],
    timeout: float = 10,
    environment: Mapping[str, str] | None = None,
    account: pwd.struct_passwd | None = None,
) -> Answer:
    """Run and return, whatever the exit status; OSError when there is no such command or it takes too long.

    With an `account` the command runs as that user, at home and with the user's groups, also when this process is root's.
    """
    surroundings = {**os.environ, "PATH": SYSTEM_PATH, "LC_ALL": "C"}
    options: dict[str, Any] = {}
    if account is not None:
        surroundings.update({"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name})
        # The folder this process stands in may be one that the user cannot enter, such as root's home.
        options["cwd"] = "/"
        if os.getuid() == 0 and account.pw_uid != 0:
            groups = os.getgrouplist(account.pw_name, account.pw_gid)
            options.update(user=account.pw_uid, group=account.pw_gid, extra_groups=groups)
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            timeout=timeout,
            env={**surroundings, **(environment or {})},
            stdin=subprocess.DEVNULL,
            check=False,
            **options,
        )
    except subprocess.TimeoutExpired as problem:
        message = f"{argv[0]} did not answer within {timeout:g} s"
        raise OSError(message) from problem
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
