"""Starting a job's process: what xpcproxy does between launchd's fork and the program's first instruction.

Whatever cannot be set up ends the young process with 78, EX_CONFIG, which is what `print` then shows: an
unwritable log path, a missing program, a working directory that is not there.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mac import machine
from mac.launchd import accounts, domains, printing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mac.launchd.job import Definition

EX_CONFIG = 78
# launchd's own soft limit, which jobs inherit (`launchctl limit maxfiles`: 256 unlimited).
DEFAULT_FILES = 256
DEFAULT_UMASK = 0o022


@dataclass(frozen=True)
class Identity:
    """Whom a job runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Everything the child needs, worked out before the fork."""

    definition: Definition
    environment: Mapping[str, str]
    identity: Identity | None
    folders_as_root: bool


def temporary_folder(account: accounts.Account) -> str:
    """Name the user's TMPDIR; macOS derives the middle from the user's UUID, here it is the number."""
    return f"{machine.path(f'/var/folders/zz/{account.uid:028d}/T')}/"


def environment(
    definition: Definition,
    domain: domains.Domain,
    account: accounts.Account | None,
    inherited: Mapping[str, str],
) -> dict[str, str]:
    """Give the environment of a job's process: no shell start file has a part in it.

    A user's domains hand their jobs the login's own variables. Whether a daemon with UserName gets HOME is
    unsettled, and advice is to set it in the plist; so none is given here, and a plist that relies on it
    fails in the lab first.
    """
    values = {"PATH": printing.DEFAULT_PATH}
    if domain.kind != domains.SYSTEM_KIND and account is not None:
        values.update(
            HOME=account.home,
            LOGNAME=account.name,
            SHELL=account.shell,
            TMPDIR=temporary_folder(account),
            USER=account.name,
        )
    values.update(inherited)
    values.update(printing.own_environment(definition))
    return values


def plan(definition: Definition, domain: domains.Domain, inherited: Mapping[str, str]) -> Plan | None:
    """Work out how to start a job; None if there is no such user any more."""
    if domain.kind == domains.SYSTEM_KIND:
        # UserName and GroupName count in the system domain only (launchd.plist(5)).
        account = accounts.by_name(definition.user_name) if definition.user_name else None
        if definition.user_name and account is None:
            return None
    else:
        account = accounts.by_uid(domain.uid)
        if account is None:
            return None
    identity = None
    if account is not None and account.uid != os.geteuid():
        identity = Identity(account.uid, account.gid, tuple(accounts.groups(account)))
    if domain.kind == domains.SYSTEM_KIND and definition.group_name:
        gid = accounts.group(definition.group_name)
        if gid is None:
            return None
        uid, others = (identity.uid, identity.groups) if identity else (os.geteuid(), ())
        identity = Identity(uid, gid, (gid, *(number for number in others if number != gid)))
    values = environment(definition, domain, account, inherited)
    return Plan(definition, values, identity, domain.kind == domains.SYSTEM_KIND)


def _make_log_folders(definition: Definition) -> None:
    for name in (definition.stdout_path, definition.stderr_path):
        if name:
            with contextlib.suppress(OSError):
                Path(name).parent.mkdir(parents=True, exist_ok=True)


def _become(identity: Identity) -> None:
    os.setgroups(identity.groups)
    os.setgid(identity.gid)
    os.setuid(identity.uid)


def _attach(descriptor: int, path: str, flags: int) -> None:
    opened = os.open(path or os.devnull, flags, 0o666)
    os.dup2(opened, descriptor)
    if opened > 2:
        os.close(opened)


def _limit(kind: int, soft: int | None, hard: int | None) -> None:
    _, ceiling = resource.getrlimit(kind)
    if hard is not None and (ceiling == resource.RLIM_INFINITY or hard <= ceiling):
        ceiling = hard
    wanted = DEFAULT_FILES if soft is None else soft
    resource.setrlimit(kind, (wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling), ceiling))


def _become_the_job(wanted: Plan) -> None:
    """Turn the forked child into the job; does not return."""
    definition = wanted.definition
    os.setsid()
    for number in range(1, signal.NSIG):
        with contextlib.suppress(OSError, ValueError):  # SIGKILL, SIGSTOP and those the C library keeps
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(DEFAULT_UMASK)
    # xpcproxy makes the log's folder before it drops privileges: a UserName job may find it root's and
    # unusable.
    if wanted.folders_as_root:
        _make_log_folders(definition)
    _limit(resource.RLIMIT_NOFILE, definition.soft_files, definition.hard_files)
    if definition.nice:
        os.setpriority(os.PRIO_PROCESS, 0, definition.nice)
    if wanted.identity is not None:
        _become(wanted.identity)
    if not wanted.folders_as_root:
        _make_log_folders(definition)
    # O_APPEND and never O_TRUNC: an old log is continued, and truncating it in place is safe (xpcproxy,
    # 26.5.1).
    log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    _attach(0, definition.stdin_path, os.O_RDONLY)
    _attach(1, definition.stdout_path, log)
    _attach(2, definition.stderr_path, log)
    os.chdir(definition.working_directory or "/")
    if definition.umask is not None:
        os.umask(definition.umask)
    os.execvpe(definition.program, list(definition.arguments), dict(wanted.environment))


def _child(wanted: Plan | None) -> NoReturn:
    try:
        if wanted is not None:
            _become_the_job(wanted)
    except BaseException:  # noqa: S110  launchd's own stack must not run on in the child, whatever happened
        pass
    finally:
        os._exit(EX_CONFIG)


def start(wanted: Plan | None) -> int:
    """Start a process; a job that cannot be set up still has one, which ends with 78 at once."""
    # A signal that reaches the child early has to wait for the default actions: launchd's handlers, which
    # the child has at first, would swallow it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    try:
        pid = os.fork()
        if pid == 0:
            _child(wanted)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
