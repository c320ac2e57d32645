"""Carry out the steps of a service plan so that the Mac never ends up without the service it had."""

from __future__ import annotations

import contextlib
import plistlib
import pwd
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import change_record
from .commands import Answer, run
from .files import make_folder, replace_file
from .launchctl import (
    ALREADY,
    DOMAIN_GONE,
    IN_PROGRESS,
    IO_ERROR,
    NO_SERVICE,
    NO_SUCH_PROCESS,
    launchctl,
    read_definition,
    read_job,
)
from .service_gate import Gate, NotUp

if TYPE_CHECKING:
    from fleet.launchctl_output import Job
    from fleet.service import MODE, Found, Wanted, definition_of, live_differences
    from fleet.vocabulary import Step
else:
    from ansible.module_utils.fleet.launchctl_output import Job
    from ansible.module_utils.fleet.service import MODE, Found, Wanted, definition_of, live_differences
    from ansible.module_utils.fleet.vocabulary import Step


POLL_SECONDS = 0.05
BOOTSTRAP_PAUSES = (0, 0.2, 0.5, 1, 2, 4, 4)
"""Pauses before each try: bootstrap answers 5 for a while after a bootout, and now and then without any reason."""

LAST_PAUSES = (*BOOTSTRAP_PAUSES, *(4,) * 15)
"""The same for the service that was there before: without it the Mac would be left with none."""

DRAIN_SECONDS = 10
"""What a job may take beyond its ExitTimeOut until its label is free; some seconds were seen (d-inference#1102)."""

LAST_DRAIN_SECONDS = 60
"""What it may take once it was killed."""

FRESH = ("write", "protect", "remove", "enable", "disable", "bootout")
"""Actions that do not start the service."""


class ChangeFailed(Exception):
    """The change did not succeed; `restored` tells whether the old service answers again."""

    def __init__(self, message: str, *, restored: bool = False) -> None:
        super().__init__(message)
        self.restored = restored


@dataclass(frozen=True)
class Outcome:
    """What clients noticed: seconds in which nobody held the port, and how many of them the old process took to end."""

    gap_seconds: float | None = None
    drain_seconds: float | None = None


class Change:
    """One change of a service, from the first look to the answer of the new process.

    `gate` says when the service is up. `undo`, if given, is called before the old service is brought back: for what was changed
    outside launchd before this, such as the version that a link leads to.
    """

    def __init__(
        self,
        found: Found,
        wanted: Wanted,
        account: pwd.struct_passwd,
        gate: Gate,
        timeout: float,
        undo: Callable[[], None] | None = None,
    ) -> None:
        self.found = found
        self.wanted = wanted
        self.account = account
        self.gate = gate
        self.timeout = timeout
        self.undo = undo
        self.domain = wanted.target_domain(found.uid)
        self.target = f"{self.domain}/{wanted.label}"
        self.path = Path(wanted.path(found.home))
        self.record_path = change_record.record_path(account, wanted.label)
        self._down_since: float | None = None
        self._bound_at: float | None = None
        self._drained: float | None = None
        self._interfered = False

    # The procedure, in the order of its promises.

    def carry_out(self, steps: Sequence[Step]) -> Outcome:
        """Do the steps; raise ChangeFailed with cause, last exit status and the end of the log when the service is not up."""
        interrupts = any(step.action not in FRESH for step in steps) or any(step.action == "bootout" for step in steps)
        record = change_record.take(self.found, steps, self.path).after(change_record.load(self.record_path))
        try:
            if interrupts:
                self.gate.check_before(self.wanted, self.account, [job.pid for job in self.found.jobs])
                change_record.save(record, self.record_path, self.account)
            for step in steps:
                if step.action not in ("load", "finish"):
                    self._do(step)
            if interrupts:
                self._wait_until_up()
            for step in steps:
                if step.action == "load":
                    self.gate.load(step.item)
        except (OSError, NotUp, ChangeFailed) as problem:
            raise self._failed(problem, record, steps) from problem
        for label in (self.wanted.label, *self.wanted.retired):
            change_record.forget(change_record.record_path(self.account, label))
        return self._outcome()

    def stop(self) -> None:
        """Take the job from launchd and wait until its label is free. Its file stays, so a boot or a login starts it."""
        self._boot_out(self.target)

    def start(self) -> None:
        """Load the job from the file as it lies there, and wait until it is up; ChangeFailed, NotUp or OSError when it is not.

        A job that does not come up stays loaded: launchd goes on trying, and there is no other one to go back to.
        """
        if read_job(self.domain, self.wanted.label) is None:
            self._bootstrap(self.domain, self.path, LAST_PAUSES)
        self._wait_until_up()

    def _failed(self, problem: Exception, record: change_record.Record, steps: Sequence[Step]) -> ChangeFailed:
        """Bring back what was there and say what became of it."""
        if not self._interfered:
            change_record.put_back(record)
            undone = self._undo()
            if self.wanted.label not in self.found.unfinished:
                change_record.forget(self.record_path)
            alone = ", the old service was left alone" if record.jobs else ""
            return ChangeFailed(f"{_sentence(problem)} {undone}Nothing was changed{alone}.")
        # The end of the log must be read before the old service writes into the same file.
        evidence = self._evidence()
        undone = self._undo()
        restored = self._restore(record)
        if restored:
            self._load_again([step.item for step in steps if step.action == "load"])
        if restored or not record.ran:
            change_record.forget(self.record_path)
            after = "The service as it was before runs again." if restored else "Nothing ran before, and nothing was left behind."
        else:
            after = "The service as it was before was put back and does not answer either; the next run tries again."
        return ChangeFailed(
            f"The service {self.target} did not come up: {_sentence(problem, capital=False)} {evidence}{undone}{after}",
            restored=restored,
        )

    def _undo(self) -> str:
        """Take back what was changed outside launchd; return a sentence when that fails, too."""
        try:
            if self.undo:
                self.undo()
        except OSError as problem:
            return f"{_sentence(problem)} "
        return ""

    def _outcome(self) -> Outcome:
        if self._drained is None:
            return Outcome()
        gap = 0.0 if self._down_since is None or self._bound_at is None else self._bound_at - self._down_since
        return Outcome(round(gap, 3), round(self._drained, 3))

    def _watch_port(self) -> None:
        """Note when nobody holds the port any more after a bootout, and when somebody does again."""
        if self._drained is None or self._bound_at is not None:
            return
        bound = self.gate.is_bound()
        if not bound and self._down_since is None:
            self._down_since = time.monotonic()
        elif bound and self._down_since is not None:
            self._bound_at = time.monotonic()

    # The steps.

    def _do(self, step: Step) -> None:
        acts: dict[str, Callable[[], None]] = {
            "bootout": lambda: self._boot_out(step.item),
            "remove": lambda: Path(step.item).unlink(missing_ok=True),
            "enable": lambda: self._tell("enable", step.item),
            "disable": lambda: self._tell("disable", step.item),
            "write": lambda: self._write(self.path, plistlib.dumps(dict(self.wanted.definition), sort_keys=True)),
            "protect": lambda: self.path.chmod(MODE),
            "bootstrap": lambda: self._bootstrap(self.domain, self.path, BOOTSTRAP_PAUSES),
            "reload": self._reload,
            "kickstart": lambda: self._kickstart(step.item),
        }
        acts[step.action]()

    def _reload(self) -> None:
        self._boot_out(self.target)
        self._bootstrap(self.domain, self.path, BOOTSTRAP_PAUSES)

    def _tell(self, verb: str, target: str) -> None:
        _expect(launchctl(verb, target), f"{verb} {target}")

    def _boot_out(self, target: str) -> None:
        """Boot out and wait until the label is gone: the exit status 0 comes while the process is still alive."""
        self._interfered = True
        began = time.monotonic()
        self._drained = self._drained or 0.0
        answer = launchctl("bootout", target)
        if answer.rc not in (0, NO_SUCH_PROCESS, NO_SERVICE, IN_PROGRESS, *DOMAIN_GONE):
            _expect(answer, f"bootout {target}")
        domain, _, label = target.rpartition("/")
        job = self.found.job(domain, label)
        if not self._gone(domain, label, ((job and job.exit_timeout) or 5) + DRAIN_SECONDS):
            # SIGKILL is what launchd itself sends after ExitTimeOut; with 0, "infinite", it never does.
            launchctl("kill", "SIGKILL", target)
            if not self._gone(domain, label, LAST_DRAIN_SECONDS):
                message = f"{target} was booted out and is still registered; its process does not end"
                raise ChangeFailed(message)
        self._drained += time.monotonic() - began
        self._watch_port()

    def _gone(self, domain: str, label: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while read_job(domain, label) is not None:
            self._watch_port()
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _bootstrap(self, domain: str, path: Path, pauses: Sequence[float]) -> None:
        """Load the property list; retry while launchd answers 5 or 37, for the label may still be draining."""
        self._interfered = True
        label = path.stem
        answer = Answer(1, "", "was not asked")
        for pause in pauses:
            time.sleep(pause)
            answer = launchctl("bootstrap", domain, str(path))
            if answer.rc not in (IO_ERROR, ALREADY):
                break
            job = read_job(domain, label)
            if job is not None and job.path == str(path) and job.state in ("running", "spawn scheduled"):
                return
        _expect(answer, f"bootstrap {domain} {path}")

    def _kickstart(self, target: str) -> None:
        """Start a job that is loaded; never with -k, which would end the process that RunAtLoad has just started."""
        self._interfered = True
        answer = launchctl("kickstart", target)
        if answer.rc not in (0, ALREADY):
            _expect(answer, f"kickstart {target}")

    def _write(self, path: Path, content: bytes) -> None:
        """Replace the property list in one rename, with the owner and mode that launchd asks for."""
        make_folder(path.parent, None if self.wanted.domain == "system" else self.account)
        owner = (0, 0) if self.wanted.domain == "system" else (self.account.pw_uid, self.account.pw_gid)
        replace_file(path, content, MODE, owner)
        linted = run(["/usr/bin/plutil", "-lint", "-s", str(path)])
        _expect(linted, f"plutil -lint {path}", "plutil")

    # Waiting.

    def _wait_until_up(self) -> None:
        """Wait until the job is what it should be: its process passes the gate, or it waits for its time."""
        deadline = time.monotonic() + self.timeout
        kicked = False
        problem = "launchd has not started it"
        first: Job | None = None
        while True:
            self._watch_port()
            job = read_job(self.domain, self.wanted.label)
            if job is None:
                message = "launchd took the job and dropped it again; look at System Settings > General > Login Items"
                raise ChangeFailed(message)
            first = first or job
            self._refuse_loop(first, job)
            if job.pid is not None:
                problem = self.gate.problem(job)
            elif self.wanted.periodic:
                problem = ""
            elif job.state == "not running" and not kicked:
                # bootstrap was seen to answer 0 and start nothing (macOS 26.5.1); one plain kickstart cured it.
                self._kickstart(job.target)
                kicked = True
            if not problem:
                self._watch_port()
                return
            if time.monotonic() > deadline:
                message = f"it was not up within {self.timeout:g} s ({problem})"
                raise ChangeFailed(message)
            time.sleep(POLL_SECONDS)

    def _refuse_loop(self, first: Job, job: Job) -> None:
        """Give up on a job that ends right after each start: launchd would go on trying for ever."""
        ended = job.pid is None and job.state == "spawn scheduled" and job.last_exit and "never" not in job.last_exit
        failed = job.last_exit.endswith(("= 78", "EX_CONFIG")) and self.wanted.periodic
        if not (ended or failed or job.runs > first.runs + 1):
            return
        holder = self.gate.holder([job.pid])
        held = f"; port is held by {holder}" if holder else ""
        message = f"it ended at once ({job.last_exit}{held})"
        raise ChangeFailed(message)

    # Back.

    def _restore(self, record: change_record.Record) -> bool:
        """Put files and jobs back as they were; True when a service that ran before runs again."""
        with contextlib.suppress(OSError, ChangeFailed):
            self._boot_out(self.target)
        change_record.put_back(record)
        for job in record.jobs:
            with contextlib.suppress(OSError, ChangeFailed):
                if read_job(job.domain, job.label) is None:
                    self._bring_back(job)
        deadline = time.monotonic() + self.timeout
        while record.ran and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if all(self._runs(job) for job in record.jobs if job.pid):
                    return True
            time.sleep(POLL_SECONDS)
        return False

    def _load_again(self, names: Sequence[str]) -> None:
        """Give the old service its residents back as well as it goes; what it cannot load now is loaded by the next run."""
        for name in names:
            with contextlib.suppress(NotUp):
                self.gate.load(name)

    def _runs(self, was: Job) -> bool:
        job = read_job(was.domain, was.label)
        return job is not None and job.pid is not None and not self.gate.problem(job)

    def _bring_back(self, job: Job) -> None:
        """Load what launchd held, which is not always what its file says: the file may be newer, or gone."""
        path = Path(job.path)
        definition = read_definition(path)
        # A copy that the old `load` put into user/UID over ssh may say nothing of Background, which bootstrap asks for there.
        fits = not job.domain.startswith("user/") or "Background" in str((definition or {}).get("LimitLoadToSessionType"))
        if definition is not None and fits and not live_differences(job, definition, job.path):
            self._bootstrap(job.domain, path, LAST_PAUSES)
            return
        before = path.read_bytes() if path.exists() else None
        replace_file(path, plistlib.dumps(definition_of(job), sort_keys=True), MODE, self._owner_in(job.domain))
        try:
            self._bootstrap(job.domain, path, LAST_PAUSES)
        finally:
            if before is None:
                path.unlink(missing_ok=True)
            else:
                replace_file(path, before, MODE, self._owner_in(job.domain))

    def _owner_in(self, domain: str) -> tuple[int, int]:
        return (0, 0) if domain == "system" else (self.account.pw_uid, self.account.pw_gid)

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


def _expect(answer: Answer, what: str, program: str = "launchctl") -> None:
    if answer.rc != 0:
        message = f"{program} {what} answered {answer.rc}: {answer.said}" if program == "launchctl" else f"{what}: {answer.said}"
        raise ChangeFailed(message)


def _sentence(problem: Exception, *, capital: bool = True) -> str:
    text = str(problem).rstrip(".")
    return f"{text[:1].upper() + text[1:] if capital else text}."
