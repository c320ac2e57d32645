"""When is a service up? Launchd's own word for a job of ours, and for a server an answer, its port and its models."""

from __future__ import annotations

import os
import pwd
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .commands import run
from .files import make_folder
from .ollama_api import Api, ApiError
from .system import read_listener

if TYPE_CHECKING:
    from fleet.launchctl_output import Job
    from fleet.service import Wanted
else:
    from ansible.module_utils.fleet.launchctl_output import Job
    from ansible.module_utils.fleet.service import Wanted


class NotUp(Exception):
    """Why a change cannot begin, or why its service is not up; a clause without a full stop."""


class Gate:
    """What every job must pass: a program that can be run, logs that can be written, a job that launchd keeps."""

    def check_before(self, wanted: Wanted, account: pwd.struct_passwd, _pids: Iterable[int | None]) -> None:
        """Refuse what would fail after the old service is already down; NotUp."""
        program = wanted.definition["ProgramArguments"][0]
        if not os.access(program, os.X_OK):
            message = f"the program {program} does not exist or cannot be run"
            raise NotUp(message)
        for key in ("StandardOutPath", "StandardErrorPath"):
            if wanted.definition.get(key):
                check_log(key, Path(wanted.definition[key]), account)

    def is_bound(self) -> bool:
        """Tell whether the port is held by somebody; never, where there is none."""
        return False

    def problem(self, _job: Job) -> str:
        """Return why a job that has a process is not up yet, "" when it is."""
        return ""

    def holder(self, _pids: Iterable[int | None]) -> str:
        """Name who else holds the port, "" when nobody does; the processes given are ours."""
        return ""

    def load(self, name: str) -> None:
        """Load a model for good; NotUp when the server cannot."""
        message = f"{name} cannot be loaded, this job is no server"
        raise NotUp(message)


@dataclass
class ServerGate(Gate):
    """What an Ollama server must pass as well: its own process answers on its own port, and loads its residents."""

    url: str
    port: int
    load_timeout: float = 600
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.url)

    def check_before(self, wanted: Wanted, account: pwd.struct_passwd, pids: Iterable[int | None]) -> None:
        """Refuse a port that somebody else holds and a program that does not start, too; NotUp."""
        stranger = self.holder(pids)
        if stranger:
            message = (
                f"port {self.port} is held by {stranger}, which is none of the services"
                f" {', '.join(sorted({wanted.label, *wanted.retired}))}; stop it through whatever started it (killing it makes"
                " its supervisor start it again), or list its launchd label in ollama_service_retired_labels"
            )
            raise NotUp(message)
        super().check_before(wanted, account, pids)
        program = wanted.definition["ProgramArguments"][0]
        # Pointed at a port where nobody answers: the version of the program is asked, not of whatever serves now.
        surroundings = {"HOME": account.pw_dir, "OLLAMA_HOST": "127.0.0.1:9"}
        try:
            tried = run([program, "--version"], timeout=20, environment=surroundings)
            said = tried.said if tried.rc != 0 else ""
        except OSError as problem:
            said = str(problem)
        if said:
            message = f"{program} --version failed ({said})"
            raise NotUp(message)

    def is_bound(self) -> bool:
        """Tell whether somebody listens: a server binds its port before it can answer (cmd/cmd.go, 0.33.0-rc2)."""
        host = urlsplit(self.url).hostname or "127.0.0.1"
        try:
            with socket.create_connection((host, self.port), timeout=0.5):
                return True
        except OSError:
            return False

    def problem(self, job: Job) -> str:
        """Return why the server is not up: no answer, or the answer of somebody else."""
        try:
            self.api.version(timeout=2)
        except ApiError as unanswered:
            return f"no answer: {unanswered}"
        pids = read_listener(self.port)["pids"]
        if job.pid in pids or not pids:
            return ""
        return f"process {pids[0]} answers on port {self.port}, not the service (process {job.pid})"

    def holder(self, pids: Iterable[int | None]) -> str:
        """Name who else holds the port; a plain user's lsof shows own processes only."""
        ours = set(pids)
        listener = read_listener(self.port)
        strangers = [
            f"{command} (process {pid})" for pid, command in zip(listener["pids"], listener["commands"]) if pid not in ours
        ]
        if listener["open"] and not listener["pids"] and not any(ours):
            return "a process of another user"
        return ", ".join(strangers)

    def load(self, name: str) -> None:
        """Load a model for good. A server without its runner passes every cheaper check (Homebrew's 0.30.0 to 0.30.4)."""
        try:
            self.api.call("POST", "/api/generate", {"model": name, "keep_alive": -1}, timeout=self.load_timeout)
        except ApiError as problem:
            message = f"it answers and cannot load {name}: {problem}"
            raise NotUp(message) from problem


def check_log(key: str, path: Path, account: pwd.struct_passwd) -> None:
    """Refuse a log that xpcproxy could not open: the job would end with 78 (EX_CONFIG) for ever; NotUp.

    A folder that is missing is made here: xpcproxy would make it root's for a job with UserName.
    """
    if not path.parent.is_dir():
        try:
            make_folder(path.parent, account)
        except OSError as problem:
            message = f"the folder of {key} {path} cannot be made: {problem}"
            raise NotUp(message) from problem
    place = path if path.exists() else path.parent
    if not may_write(place, account):
        whose = "belongs to another user and " if path.exists() and path.stat().st_uid != account.pw_uid else ""
        message = f"{key} {path} {whose}cannot be written by {account.pw_name}"
        raise NotUp(message)


def may_write(path: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether an account may write; from the mode where this process is not that account."""
    if os.geteuid() == account.pw_uid:
        return os.access(path, os.W_OK)
    status: Any = path.stat()
    if status.st_uid == account.pw_uid:
        return bool(status.st_mode & stat.S_IWUSR)
    if status.st_gid in os.getgrouplist(account.pw_name, account.pw_gid):
        return bool(status.st_mode & stat.S_IWGRP)
    return bool(status.st_mode & stat.S_IWOTH)
