"""Carry out the steps of a service plan so that the Mac never ends up without the service it had."""

from __future__ import annotations

import contextlib
import os
import plistlib
import pwd
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .commands import run
from .launchctl import (
    ALREADY,
    DOMAIN_GONE,
    IN_PROGRESS,
    IO_ERROR,
    NO_SERVICE,
    NO_SUCH_PROCESS,
    launchctl,
    read_job,
)
from .ollama_api import Api, ApiError
from .system import read_listener

if TYPE_CHECKING:
    from fleet.launchctl_output import Job
    from fleet.service import MODE, Found, Wanted, restarts
    from fleet.vocabulary import Step
else:
    from ansible.module_utils.fleet.launchctl_output import Job
    from ansible.module_utils.fleet.service import MODE, Found, Wanted, restarts
    from ansible.module_utils.fleet.vocabulary import Step


POLL_SECONDS = 0.1
BOOTSTRAP_PAUSES = (0, 0.2, 0.5, 1, 2, 4, 4)
"""Pauses before each try: bootstrap answers 5 for a while after a bootout, and now and then without any reason."""


class ChangeFailed(Exception):
    """The change did not succeed; `restored` tells whether the old service answers again."""

    def __init__(self, message: str, *, restored: bool = False) -> None:
        super().__init__(message)
        self.restored = restored


@dataclass(frozen=True)
class Saved:
    """What was there before: the bytes of files that will change, and the jobs that ran, in their domains."""

    files: tuple[tuple[Path, bytes, os.stat_result], ...]
    jobs: tuple[Job, ...]


class Change:
    """One change of a service, from the first look to the answer of the new process."""

    def __init__(self, found: Found, wanted: Wanted, account: pwd.struct_passwd, url: str, port: int, timeout: int) -> None:
        self.found = found
        self.wanted = wanted
        self.account = account
        self.url = url
        self.api = Api(url)
        self.port = port
        self.timeout = timeout
        self.domain = wanted.target_domain(found.uid)
        self.path = Path(wanted.path(found.home))
        self._down_since: float | None = None
        self._interfered = False

    def carry_out(self, steps: Sequence[Step]) -> float | None:
        """Do the steps; return the seconds during which nothing answered, None when nothing was interrupted.

        Raises ChangeFailed with cause, last exit status and the end of the log.
        """
        interrupts = restarts(steps) or any(step.action == "bootout" for step in steps)
        if interrupts and self.url:
            self._check_before()
        saved = self._save(steps)
        try:
            for step in steps:
                self._do(step)
            if not interrupts:
                return None
            if self.url:
                return self._wait_until_up()
            self._wait_until_held()
            return None
        except (OSError, ChangeFailed) as problem:
            if not self._interfered:
                self._put_files_back(saved)
                message = f"{problem}. The service {self.domain}/{self.wanted.label} was left alone."
                raise ChangeFailed(message) from problem
            # The end of the log must be read before the old service writes into the same file.
            evidence = self._evidence()
            restored = self._restore(saved)
            message = (
                f"The service {self.domain}/{self.wanted.label} did not come up: {problem}. {evidence}"
                f"{self._outcome(saved, restored=restored)}"
            )
            raise ChangeFailed(message, restored=restored) from problem

    def _check_before(self) -> None:
        """Refuse what would fail after the old service is already down; ChangeFailed with one sentence."""
        listener = read_listener(self.port)
        ours = {job.pid for job in self.found.jobs}
        strangers = [
            f"{command} (process {pid})" for pid, command in zip(listener["pids"], listener["commands"]) if pid not in ours
        ]
        if listener["open"] and not listener["pids"] and not any(job.pid for job in self.found.jobs):
            strangers = ["a process of another user"]
        if strangers:
            message = (
                f"Port {self.port} is held by {', '.join(strangers)}, which is none of the services"
                f" {', '.join(sorted({self.wanted.label, *self.wanted.retired}))}. Stop it through whatever started it"
                " (killing it makes its supervisor start it again), or list its launchd label in"
                " ollama_service_retired_labels. Nothing was changed."
            )
            raise ChangeFailed(message)
        program = self.wanted.definition["ProgramArguments"][0]
        if not os.access(program, os.X_OK):
            message = f"The program {program} does not exist or cannot be run; the old service was left alone."
            raise ChangeFailed(message)
        # Pointed at a port where nobody answers: the version of the program is asked, not of whatever serves now.
        surroundings = {"HOME": self.account.pw_dir, "OLLAMA_HOST": "127.0.0.1:9"}
        try:
            tried = run([program, "--version"], timeout=20, environment=surroundings)
            said = tried.said if tried.rc != 0 else ""
        except OSError as problem:
            said = str(problem)
        if said:
            message = f"{program} --version failed ({said}); the old service was left alone."
            raise ChangeFailed(message)
        for key in ("StandardOutPath", "StandardErrorPath"):
            path = self.wanted.definition.get(key)
            if path:
                self._check_log(key, Path(path))

    def _check_log(self, key: str, path: Path) -> None:
        """Refuse a log that xpcproxy could not open: the job would end with 78 (EX_CONFIG) for ever."""
        place = path if path.exists() else path.parent
        uid = self.account.pw_uid
        if path.exists() and path.stat().st_uid not in (uid, os.getuid()) and not os.access(path, os.W_OK):
            message = f"{key} {path} belongs to another user and cannot be written; the old service was left alone."
            raise ChangeFailed(message)
        if place.exists() and os.getuid() == uid and not os.access(place, os.W_OK):
            message = f"{key} {path} cannot be written by {self.account.pw_name}; the old service was left alone."
            raise ChangeFailed(message)

    def _save(self, steps: Sequence[Step]) -> Saved:
        touched = {Path(step.item) for step in steps if step.action in ("write", "remove", "protect")}
        files = [(path, path.read_bytes(), path.stat()) for path in sorted(touched) if path.is_file()]
        return Saved(tuple(files), tuple(job for job in self.found.jobs if job.path and Path(job.path).is_file()))

    def _do(self, step: Step) -> None:
        acts: dict[str, Callable[[], None]] = {
            "bootout": lambda: self._boot_out(step.item),
            "remove": lambda: Path(step.item).unlink(missing_ok=True),
            "enable": lambda: self._expect(launchctl("enable", step.item), "enable"),
            "write": lambda: self._write(plistlib.dumps(dict(self.wanted.definition), sort_keys=True)),
            "protect": lambda: self._protect(self.path, MODE),
            "bootstrap": lambda: self._bootstrap(self.domain, self.path),
            "reload": self._reload,
            "kickstart": lambda: self._kickstart(step.item),
        }
        acts[step.action]()

    def _expect(self, answer: object, verb: str) -> None:
        rc = getattr(answer, "rc", 1)
        if rc != 0:
            message = f"launchctl {verb} answered {rc}: {getattr(answer, 'said', '')}"
            raise ChangeFailed(message)

    def _reload(self) -> None:
        self._boot_out(f"{self.domain}/{self.wanted.label}")
        self._bootstrap(self.domain, self.path)

    def _boot_out(self, target: str) -> None:
        """Boot out and wait until the label is gone: the exit status 0 comes while the process is still alive."""
        self._interfered = True
        if self._down_since is None:
            self._down_since = time.monotonic()
        answer = launchctl("bootout", target)
        if answer.rc not in (0, NO_SUCH_PROCESS, NO_SERVICE, IN_PROGRESS, *DOMAIN_GONE):
            self._expect(answer, f"bootout {target}")
        domain, _, label = target.rpartition("/")
        job = self.found.job(domain, label)
        deadline = time.monotonic() + (job.exit_timeout if job and job.exit_timeout else 5) + 15
        while read_job(domain, label) is not None:
            if time.monotonic() > deadline:
                message = f"{target} was booted out and is still registered; its process does not end"
                raise ChangeFailed(message)
            time.sleep(POLL_SECONDS)

    def _bootstrap(self, domain: str, path: Path) -> None:
        """Load the property list; retry while launchd answers 5 or 37, for the label may still be draining."""
        self._interfered = True
        label = path.stem
        for pause in BOOTSTRAP_PAUSES:
            time.sleep(pause)
            answer = launchctl("bootstrap", domain, str(path))
            if answer.rc == 0:
                break
            if answer.rc not in (IO_ERROR, ALREADY):
                break
            job = read_job(domain, label)
            if job is not None and job.path == str(path) and job.state in ("running", "spawn scheduled"):
                return
        self._expect(answer, f"bootstrap {domain} {path}")

    def _kickstart(self, target: str) -> None:
        self._interfered = True
        answer = launchctl("kickstart", target)
        if answer.rc not in (0, ALREADY):
            self._expect(answer, f"kickstart {target}")

    def _write(self, content: bytes) -> None:
        """Replace the property list in one rename; the name in between must not end in .plist or launchd would load it."""
        self._make_folder(self.path.parent)
        handle, temporary = tempfile.mkstemp(prefix=f".{self.path.stem}.", suffix=".new", dir=self.path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._protect(Path(temporary), MODE)
            Path(temporary).replace(self.path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(mode=0o755, parents=True)
        if os.getuid() == 0 and self.wanted.domain != "system":
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)

    def _protect(self, path: Path, mode: int) -> None:
        path.chmod(mode)
        owner = self.wanted.owner(self.found.uid)
        if path.stat().st_uid != owner:
            os.chown(path, owner, 0 if owner == 0 else self.account.pw_gid)

    def _wait_until_held(self) -> None:
        """Take launchd's own word for a job that answers nowhere: it is held, and could be started if it was."""
        deadline = time.monotonic() + self.timeout
        while True:
            job = read_job(self.domain, self.wanted.label)
            if job is not None and (job.runs or not self.wanted.definition.get("RunAtLoad")):
                break
            if time.monotonic() > deadline:
                message = f"launchd did not start it within {self.timeout} s"
                raise ChangeFailed(message)
            time.sleep(POLL_SECONDS)
        if job.pid is None and "78" in job.last_exit:
            message = f"launchd cannot start it ({job.last_exit})"
            raise ChangeFailed(message)

    def _wait_until_up(self) -> float | None:
        """Wait until the process of the job answers on the port it holds itself; return how long nothing answered."""
        began = time.monotonic()
        deadline = began + self.timeout
        kicked = False
        problem = "nothing answered"
        first: Job | None = None
        while time.monotonic() < deadline:
            job = read_job(self.domain, self.wanted.label)
            if job is None:
                message = "launchd took the job and dropped it again; look at System Settings > General > Login Items"
                raise ChangeFailed(message)
            first = first or job
            if job.runs > first.runs + 1:
                message = f"it ends right after each start ({job.last_exit})"
                raise ChangeFailed(message)
            if job.pid is None and job.state == "not running" and not kicked:
                # bootstrap was seen to answer 0 and start nothing (macOS 26.5.1); one plain kickstart cured it.
                self._kickstart(job.target)
                kicked = True
            elif job.pid is None and job.state == "spawn scheduled" and job.last_exit and "never" not in job.last_exit:
                message = f"it ended at once ({job.last_exit})"
                raise ChangeFailed(message)
            elif job.pid is not None:
                try:
                    self.api.version(timeout=2)
                except ApiError as unanswered:
                    problem = str(unanswered)
                else:
                    pids = read_listener(self.port)["pids"]
                    if job.pid in pids or not pids:
                        down = self._down_since
                        return None if down is None else round(time.monotonic() - down, 3)
                    problem = f"process {pids[0]} answers on port {self.port}, not the service (process {job.pid})"
            time.sleep(POLL_SECONDS)
        message = f"no answer within {self.timeout} s ({problem})"
        raise ChangeFailed(message)

    def _restore(self, saved: Saved) -> bool:
        """Put files and jobs back as they were; True when a service that ran before runs again."""
        with contextlib.suppress(OSError, ChangeFailed):
            self._boot_out(f"{self.domain}/{self.wanted.label}")
        self._put_files_back(saved)
        for job in saved.jobs:
            with contextlib.suppress(OSError, ChangeFailed):
                if read_job(job.domain, job.label) is None:
                    self._bootstrap(job.domain, Path(job.path))
        deadline = time.monotonic() + self.timeout
        while any(job.pid for job in saved.jobs) and time.monotonic() < deadline:
            with contextlib.suppress(ApiError):
                self.api.version(timeout=2)
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _put_files_back(self, saved: Saved) -> None:
        kept = {path for path, _, _ in saved.files}
        if self.path not in kept and not any(file.path == str(self.path) for file in self.found.files):
            self.path.unlink(missing_ok=True)
        for path, content, status in saved.files:
            with contextlib.suppress(OSError):
                path.write_bytes(content)
                path.chmod(status.st_mode & 0o7777)
                if (path.stat().st_uid, path.stat().st_gid) != (status.st_uid, status.st_gid):
                    os.chown(path, status.st_uid, status.st_gid)

    def _evidence(self) -> str:
        path = self.wanted.definition.get("StandardErrorPath") or self.wanted.definition.get("StandardOutPath")
        if not path:
            return ""
        try:
            lines = Path(path).read_bytes()[-4000:].decode(errors="replace").splitlines()
        except OSError as problem:
            return f"Its log {path} cannot be read ({problem}). "
        tail = " | ".join(line.strip() for line in lines[-3:] if line.strip())
        return f"End of {path}: {tail or 'empty'}. "

    def _outcome(self, saved: Saved, *, restored: bool) -> str:
        if restored:
            return "The service as it was before runs again."
        if any(job.pid for job in saved.jobs):
            return "The service as it was before was put back and does not answer either."
        return "Nothing ran before, and nothing was left behind."
