"""One Mac before the doctor: what was seen of it, read once, and the form of what is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from . import doctor_logs, homebrew, service, verify
from .case import Case
from .doctor_kinds import KINDS
from .launchctl_output import Job
from .matrix import Cell
from .models import Found as Models
from .models import found_from_json as models_from_json
from .models import parse_time
from .plan import wanted_service
from .processes import Process, processes_from_json
from .vocabulary import Finding, Severity, Unknown, unknown_in

Certainty = Literal["sure", "likely"]

LOG_HOURS = 1
"""Lines of a log count for an hour, or since the server was started where that is less."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a Mac, with the evidence for it and what a person does about it.

    `id` is one of `doctor_kinds.KINDS` and stays the same for ever; `item` tells two of one id apart, such as the model.
    `consequences` are the ids of what it explains.
    """

    host: str
    id: str
    title: str
    evidence: tuple[str, ...]
    remedy: str
    severity: Severity
    certainty: Certainty
    concern: str
    item: str = ""
    consequences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reach:
    """What other machines found when they asked a server, what it answered itself, and who did not ask and why.

    `offline` are askers that are off a network themselves, as pairs of machine and network: they prove nothing about others.
    `headers` are what it would do for a web page of somebody else.
    """

    cells: Sequence[Cell] = ()
    own: Sequence[Mapping[str, Any]] = ()
    not_asked: Mapping[str, str] = field(default_factory=dict)
    offline: frozenset[tuple[str, str]] = frozenset()
    headers: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Patient:
    """What the rules look at. A part that could not be read is `Unknown`; `lines` are the fresh lines of the server's log."""

    host: str
    case: Case
    judgement: Mapping[str, Any]
    reach: Reach
    wanted: service.Wanted
    launchd: service.Found | Unknown
    keg: homebrew.Keg | Unknown
    listener: Mapping[str, Any] | Unknown
    version: str | Unknown | None
    models: Models | Unknown
    processes: Mapping[int, Process]
    supervisors: Mapping[str, str]
    invariants: tuple[Finding, ...]
    now: datetime | None
    lines: tuple[str, ...] = ()

    @property
    def desired(self) -> Mapping[str, Any]:
        """Return what the inventory wants."""
        return self.case.desired

    @property
    def target(self) -> str:
        """Return the service target, as far as the user is known."""
        uid = self.launchd.uid if not isinstance(self.launchd, Unknown) else 501
        return f"{self.wanted.target_domain(uid)}/{self.wanted.label}"

    @property
    def job(self) -> Job | None:
        """Return the job of the service, None where launchd does not hold it or could not be asked."""
        if isinstance(self.launchd, Unknown):
            return None
        return self.launchd.job(self.wanted.target_domain(self.launchd.uid), self.wanted.label)

    @property
    def pid(self) -> int | None:
        """Return the process of the service."""
        return self.job.pid if self.job else None

    @property
    def strangers(self) -> tuple[int, ...]:
        """Return the processes that hold the port and are not the service; nobody, where the service is not known."""
        if isinstance(self.listener, Unknown) or isinstance(self.launchd, Unknown):
            return ()
        return tuple(dict.fromkeys(int(pid) for pid in self.listener["pids"] if pid != self.pid))

    @property
    def unseen_holder(self) -> bool:
        """Tell that somebody holds the port whom a plain user's lsof does not show: a process of another user."""
        if isinstance(self.listener, Unknown) or isinstance(self.launchd, Unknown):
            return False
        return bool(self.listener["open"]) and not self.listener["pids"] and self.pid is None

    @property
    def holds_port(self) -> bool:
        """Tell whether the service itself holds the port, and nobody beside it."""
        if isinstance(self.listener, Unknown) or self.pid is None:
            return False
        return not self.strangers and (self.pid in self.listener["pids"] or bool(self.listener["open"]))

    @property
    def serves(self) -> bool:
        """Tell whether the service holds its port and answers there."""
        return self.holds_port and isinstance(self.version, str)

    def age(self, pid: int | None) -> float | None:
        """Return how many seconds a process has run, None where that is not known."""
        process = self.processes.get(pid or -1)
        began = _moment(process.started) if process else None
        return (self.now - began).total_seconds() if self.now and began else None

    def steps(self, concern: str) -> Sequence[Mapping[str, Any]]:
        """Return the plan's steps for a concern."""
        return self.judgement["steps"].get(concern) or ()

    def findings(self, concern: str, item: str = "") -> list[Mapping[str, Any]]:
        """Return the plan's findings of a concern, about one item where it is given."""
        found = self.judgement["findings"]
        return [one for one in found if one["concern"] == concern and item in ("", one["item"])]

    def part(self, name: str) -> Any:
        """Return a part of the observation, or `Unknown` with the reason."""
        return self.case.part(name)

    def evidence_of(self, name: str) -> list[str]:
        """Return the fresh lines of the log that support a diagnosis."""
        return [line for line in self.lines if any(one.supports == name for one in doctor_logs.supported(line))]

    def complaints(self) -> list[str]:
        """Return the last fresh lines in which the server says that something is wrong, whether or not a pattern knows them."""
        return [f"log: {line}" for line in doctor_logs.last(line for line in self.lines if doctor_logs.COMPLAINT.search(line))]

    def finds(
        self,
        name: str,
        evidence: Iterable[str],
        remedy: str,
        item: str = "",
        severity: Severity | None = None,
        certainty: Certainty = "sure",
    ) -> Diagnosis:
        """Make a diagnosis, with the lines of the log that support it beneath its evidence."""
        kind = KINDS[name]
        said = [*evidence, *(f"log: {line}" for line in doctor_logs.last(self.evidence_of(name)))]
        return Diagnosis(
            self.host, name, kind.title, tuple(said), remedy, severity or kind.severity, certainty, kind.concern, item
        )


def patient(
    host: str, desired: Mapping[str, Any], observed: Mapping[str, Any], judgement: Mapping[str, Any], reach: Reach
) -> Patient:
    """Read one observation."""
    case = Case(host, desired, observed)
    launchd, keg, server, models = (case.part(name) for name in ("launchd", "homebrew", "server", "models"))
    machine, processes, supervisors = (case.part(name) for name in ("machine", "processes", "supervisors"))
    version = server if isinstance(server, Unknown) else server["version"]
    found = launchd if isinstance(launchd, Unknown) else service.found_from_json(launchd)
    if not isinstance(found, Unknown):
        found = replace(
            found,
            running_version=version if isinstance(version, str) else "",
            program_version="" if isinstance(keg, Unknown) else homebrew.cellar_version(keg["program"]),
        )
    known = () if isinstance(processes, Unknown) else processes_from_json(processes)
    made = Patient(
        host=host,
        case=case,
        judgement=judgement,
        reach=reach,
        wanted=wanted_service(desired["ollama_service"]),
        launchd=found,
        keg=keg if isinstance(keg, Unknown) else homebrew.keg_from_json(keg),
        listener=case.part("listener"),
        version=version,
        models=models if isinstance(models, Unknown) else models_from_json(models),
        processes={process.pid: process for process in known},
        supervisors={} if isinstance(supervisors, Unknown) else supervisors,
        invariants=verify.judge_server(host, desired, observed),
        now=None if isinstance(machine, Unknown) else _moment(str(machine.get("observed_at"))),
    )
    return replace(made, lines=tuple(_fresh_lines(made)))


def _fresh_lines(one: Patient) -> list[str]:
    logs = one.part("logs")
    if isinstance(logs, Unknown) or one.now is None:
        return []
    age = one.age(one.pid)
    # The start of a process is known to the second.
    span = min(LOG_HOURS * 3600, age + 1) if age is not None else LOG_HOURS * 3600
    return doctor_logs.fresh_lines(logs, one.now - timedelta(seconds=span))


def _moment(text: str) -> datetime | None:
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        return None


def is_unknown(value: Any) -> bool:
    """Tell a value that could not be read, in either form."""
    return isinstance(value, Unknown) or unknown_in(value) is not None
