"""What a Mac should do about its memory and its server now: asked every minute by a program on the Mac, without Ansible.

Swap that is in use says little by itself: pages come back only when somebody touches them, so it stays high for hours after the
cause has gone (macOS 14 to 26). So a level calls for one act, and a further one is due only while swap rises or macOS reports
pressure. And it grows by gigabytes within seconds, so its growth under pressure counts before any level is reached.

Residents stay: they are the reason why the Mac is there. The server is started anew only when nothing answers at all, since a
restart loses every model in memory. No model is probed with a question: a queue makes a healthy server silent for minutes, and
a model made for embeddings cannot chat. An HTTP status of any number is an answer.

Time is the healer's own clock. It adds up what surely has passed while the Mac was awake, so a calendar that jumps in either
direction changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from . import unloading
from .alerts import Condition, Level
from .models import Installed, Loaded
from .names import normalise
from .residents import PRESSURE_WARN
from .units import MIB, gb_text
from .vocabulary import Unknown

PRESSURE_CRITICAL = 4
"""kern.memorystatus_vm_pressure_level: 1 normal, 2 warning, 4 critical (xnu, bsd/sys/event_private.h)."""

CLEAR = (4, 5)
"""What was over a limit is over until it falls below 80 % of it."""

RISE = 128 * MIB
"""Less than this is no movement of swap."""

SILENT = 3
"""Looks in a row that nobody answered before the server counts as down."""

HOUR, DAY = 3600, 86400
PAUSES = (0, 900, HOUR)
"""Seconds between restarts: the first at once, the second a quarter of an hour later, each further one after an hour."""

DOWN = HOUR
"""Seconds that a job may be missing from launchd before somebody is told: who took it down knows."""

Answer = Literal["ok", "refused", "silent", "odd"]
"""How the server answered. `odd` is an HTTP status or something that is not Ollama's: somebody is there."""

Kind = Literal["unload", "load", "restart"]
KINDS: tuple[Kind, ...] = ("unload", "load", "restart")
Word = Literal["strict", "warn", "off"]
WORDS: tuple[Word, ...] = ("strict", "warn", "off")


@dataclass(frozen=True)
class Policy:
    """How the rules apply to one model: `strict` as they stand, `warn` tells somebody instead of acting, `off` not at all."""

    word: Word
    reason: str


@dataclass(frozen=True)
class Limits:
    """The limits of a Mac in bytes, None where there is none."""

    swap_warn: int | None = None
    swap_critical: int | None = None
    largest_model: int | None = None


@dataclass(frozen=True)
class Rules:
    """How the healer behaves: times in seconds, `growth` in bytes of swap a minute."""

    dry_run: bool = False
    acts_per_hour: int = 6
    cool_down: int = 180
    growth: int = 512 * MIB
    stay: int = 900
    unload_residents: bool = False
    resident_grace: int = 300
    restart: bool = True
    restarts_per_day: int = 4
    start_grace: int = 120
    summary: int = HOUR


@dataclass(frozen=True)
class Settings:
    """What decides: limits, the models that stay, how the rules apply to single models, and the rules."""

    limits: Limits = Limits()
    residents: tuple[str, ...] = ()
    policies: Mapping[str, Policy] = field(default_factory=lambda: MappingProxyType({}))
    rules: Rules = Rules()


@dataclass(frozen=True)
class Job:
    """The server's job: whether launchd holds it, and the process that runs."""

    held: bool
    pid: int | None = None


@dataclass(frozen=True)
class Sample:
    """One look. `uptime` are seconds since the Mac started, as its monotonic clock counts them."""

    uptime: float
    swap: int | Unknown
    pressure: int | Unknown
    answer: Answer
    said: str = ""
    loaded: Sequence[Loaded] | Unknown = ()
    installed: Sequence[Installed] | Unknown = ()
    job: Job | Unknown = Unknown("not asked")  # noqa: RUF009  frozen


@dataclass(frozen=True)
class Act:
    """One act: `item` is a model, or the server; `cause` is what its cool-down belongs to; `why` completes "because ...".

    `resident` marks the unload of a model that should stay, which happens only where somebody has said so.
    """

    kind: Kind
    item: str
    cause: str
    why: str
    size: int = 0
    resident: bool = False

    def sentence(self) -> str:
        """Return what it does, for a line that begins with it."""
        words = {"unload": f"unload {self.item}", "load": f"have {self.item} loaded", "restart": "start the server anew"}
        size = f" ({gb_text(self.size)})" if self.size else ""
        return f"{words[self.kind]}{size}, because {self.why}"


@dataclass(frozen=True)
class Done:
    """An act of the past."""

    clock: float
    kind: Kind
    item: str
    cause: str


@dataclass(frozen=True)
class Line:
    """A line for the log. One with a `key` is said when it becomes true and not again while it stays so."""

    level: Level
    said: str
    key: str = ""


@dataclass(frozen=True)
class History:
    """What a run leaves to the next one; all times but `uptime` are of the healer's clock.

    `low` is the least swap seen since the last act against it, None where there was none yet; `seen` says since when each digest
    is in memory, `missing` since when a resident is not; `hold` that residents were unloaded and must not come back yet.
    """

    clock: float = 0
    uptime: float | None = None
    swap: int | None = None
    over: tuple[str, ...] = ()
    low: int | None = None
    hold: bool = False
    seen: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    missing: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    silent: int = 0
    silent_since: float = 0
    pid: int | None = None
    pid_since: float | None = None
    acts: tuple[Done, ...] = ()
    summary: float = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What to do now (one act at most), what somebody should be told, what the log says, and what the next run must know."""

    acts: tuple[Act, ...]
    alerts: tuple[Condition, ...]
    lines: tuple[Line, ...]
    history: History


def decide(sample: Sample, settings: Settings, history: History) -> Decision:
    """Judge one look at a Mac."""
    return _Look(sample, settings, history).decide()


def passed(sample: Sample, history: History) -> float:
    """Return the seconds that have surely passed since the last look, never more.

    A monotonic clock that stands lower than before means that the Mac was started anew.
    """
    if history.uptime is None:
        return 0
    gone = sample.uptime - history.uptime
    return gone if gone >= 0 else max(0.0, sample.uptime)


class _Look:
    """One look: what it finds, step by step."""

    def __init__(self, sample: Sample, settings: Settings, history: History) -> None:
        self.sample = sample
        self.limits = settings.limits
        self.rules = settings.rules
        self.residents = tuple(normalise(name) for name in settings.residents)
        self.policies = {normalise(name).lower(): policy for name, policy in settings.policies.items()}
        elapsed = passed(sample, history)
        self.elapsed = elapsed
        self.booted = history.uptime is not None and sample.uptime < history.uptime
        self.clock = history.clock + elapsed
        # What lies ahead of our own clock comes from a damaged state and counts as now: it can delay, never hurry.
        acts = (replace(act, clock=min(act.clock, self.clock)) for act in history.acts)
        self.past = replace(
            history,
            acts=tuple(act for act in acts if act.clock > self.clock - DAY),
            summary=min(history.summary, self.clock),
        )
        self.alerts: list[Condition] = []
        self.lines: list[Line] = []

    # The figures. -------------------------------------------------------------------------------------------------------

    def swap(self) -> int | None:
        """Return the swap in use, None where it is not known."""
        return None if isinstance(self.sample.swap, Unknown) else self.sample.swap

    def pressure(self) -> int | None:
        """Return the pressure level, None where it is not known."""
        return None if isinstance(self.sample.pressure, Unknown) else self.sample.pressure

    def over(self, name: str, limit: int | None) -> bool:
        """Tell whether swap is over a limit, or was and has not fallen far enough; unknown swap changes nothing."""
        if limit is None:
            return False
        swap, was = self.swap(), name in self.past.over
        if swap is None:
            return was
        return swap >= limit or (was and swap * CLEAR[1] >= limit * CLEAR[0])

    def growth(self) -> int | None:
        """Return by how much swap has grown, in bytes a minute; None where that cannot be told."""
        swap = self.swap()
        if swap is None or self.past.swap is None or self.booted or self.elapsed <= 0:
            return None
        return round((swap - self.past.swap) * 60 / max(self.elapsed, 60))

    def figures(self) -> str:
        """Return swap and pressure for a sentence."""
        swap, pressure = self.swap(), self.pressure()
        words = {1: "normal", 2: "warning", PRESSURE_CRITICAL: "critical"}
        level = "unknown" if pressure is None else words.get(pressure, str(pressure))
        return f"swap {'unknown' if swap is None else gb_text(swap)}, memory pressure {level}"

    # The judgement. -----------------------------------------------------------------------------------------------------

    def decide(self) -> Decision:
        """Judge the figures, then the server, then what is in memory."""
        for name, value in (("swap", self.sample.swap), ("memory pressure", self.sample.pressure)):
            if isinstance(value, Unknown):
                self.note(f"unknown {name}", "warning", f"the {name} could not be read: {value.reason}")
        over = tuple(
            name
            for name, limit in (("swap", self.limits.swap_warn), ("critical", self.limits.swap_critical))
            if self.over(name, limit)
        )
        hold = self.past.hold and bool(over)
        self.past = replace(self.past, over=over, hold=hold)
        if "critical" in over:
            self.alert("swap-critical", "critical", f"swap is over {gb_text(self.limits.swap_critical or 0)}: {self.figures()}")
        server = self.server()
        loaded, installed = self.sample.loaded, self.sample.installed
        act: Act | None
        if self.sample.answer == "ok" and not isinstance(loaded, Unknown):
            self.remember(loaded)
            choice = self.memory(loaded, installed)
            act = choice or self.heavy(loaded, installed) or self.missing(loaded, installed)
        else:
            if self.sample.answer in ("ok", "odd"):
                why = loaded.reason if isinstance(loaded, Unknown) else self.sample.said
                self.note("unread", "warning", f"what is loaded could not be read: {why or 'no reason given'}")
            self.past = replace(self.past, low=self.lowest())
            act = server
        acts = self.allowed(act)
        self.summarise()
        return Decision(acts, tuple(self.alerts), self.said(), self.finished())

    def server(self) -> Act | None:
        """Judge whether the server is down, and whether to start it anew."""
        if self.sample.answer in ("ok", "odd"):
            self.past = replace(self.past, silent=0, silent_since=self.clock, pid=None, pid_since=None)
            return None
        silent = self.past.silent + 1
        since = self.clock if silent == 1 else min(self.past.silent_since, self.clock)
        self.past = replace(self.past, silent=silent, silent_since=since)
        job = self.sample.job
        minutes = f"{(self.clock - since) / 60:.0f} min"
        if isinstance(job, Unknown):
            self.note("job", "warning", f"the server does not answer, and launchd could not be asked: {job.reason}")
            if silent >= SILENT:
                self.alert("server", "critical", f"the server has not answered for {minutes}")
            return None
        if not job.held:
            # Somebody took it down, and who did that has a reason.
            self.past = replace(self.past, pid=None, pid_since=None)
            self.note("down", "note", "the server is not loaded in launchd; it is left as it is")
            if self.clock - since >= DOWN:
                self.alert("server-down", "warning", f"the server has not been loaded in launchd for {minutes}")
            return None
        known = self.past.pid_since is not None and self.past.pid == job.pid
        pid_since = min(self.past.pid_since or 0, self.clock) if known else self.clock
        self.past = replace(self.past, pid=job.pid, pid_since=pid_since)
        if silent < SILENT:
            self.note("silent", "note", f"the server does not answer: {self.sample.said}")
            return None
        self.alert("server", "critical", f"the server has not answered for {minutes} ({self.sample.said})")
        if self.clock - pid_since < self.rules.start_grace:
            self.note("starts", "note", "the server does not answer, and may still be starting")
            return None
        return self.restart()

    def restart(self) -> Act | None:
        """Return the restart, where it is allowed and due."""
        before = [act.clock for act in self.past.acts if act.kind == "restart"]
        if not self.rules.restart:
            self.note("no restart", "warning", "the server does not answer; restarts are switched off")
            return None
        if len(before) >= self.rules.restarts_per_day:
            self.note("restarts", "critical", f"the server does not answer after {len(before)} restarts within a day")
            return None
        pause = PAUSES[min(len(before), len(PAUSES) - 1)]
        if before and self.clock - max(before) < pause:
            self.note("pause", "warning", f"the server does not answer; restarts lie {pause // 60} min apart")
            return None
        return Act("restart", "the server", "server", f"it did not answer {self.past.silent} times in a row ({self.sample.said})")

    def remember(self, loaded: Sequence[Loaded]) -> None:
        """Keep since when each model is in memory."""
        seen = {one.digest: min(self.past.seen.get(one.digest, self.clock), self.clock) for one in loaded}
        # A start of the Mac empties the memory.
        self.past = replace(self.past, seen=MappingProxyType(dict.fromkeys(seen, self.clock) if self.booted else seen))

    def candidates(
        self, loaded: Sequence[Loaded], installed: Sequence[Installed] | Unknown, *, residents: bool = False
    ) -> tuple[list[tuple[str, str, int]], list[str]]:
        """Return what may be unloaded, heaviest first, as name, digest and size, and a clause for each that a policy spares."""
        if isinstance(installed, Unknown):
            return [], []
        wanted = unloading.Wanted(self.residents, residents_too=residents)
        digests = {model.name.lower(): model.digest for model in installed}
        may, spared = [], []
        for step in unloading.plan(installed, loaded, wanted).steps:
            digest = digests.get(step.item.lower(), "")
            policy = next(
                (
                    self.policies[name]
                    for name in (step.item.lower(), *sorted(key for key, value in digests.items() if value == digest))
                    if name in self.policies
                ),
                None,
            )
            if policy is None or policy.word == "strict":
                may.append((step.item, digest, max(step.found["size"], step.found["size_vram"])))
            elif policy.word == "warn":
                spared.append(f"{step.item} is left alone by its policy ({policy.reason})")
        return may, spared

    def memory(self, loaded: Sequence[Loaded], installed: Sequence[Installed] | Unknown) -> Act | None:
        """Return the unload that memory calls for."""
        why, swap, pressure, low = self.trouble(), self.swap(), self.pressure(), self.lowest()
        if not why:
            self.past = replace(self.past, low=None)
            return None
        self.past = replace(self.past, low=low)
        self.note("memory", "warning", f"memory is short: {why}")
        pressed = pressure is not None and pressure >= PRESSURE_WARN
        rising = swap is not None and low is not None and swap > low + RISE
        falling = swap is not None and self.past.swap is not None and swap < self.past.swap - RISE
        due = low is None or ((rising or pressed) and not falling)
        may, spared = self.candidates(loaded, installed)
        act = None
        if may:
            act = Act("unload", may[0][0], "memory", why, may[0][2])
        elif self.last_resort():
            also, _ = self.candidates(loaded, installed, residents=True)
            act = Act("unload", also[0][0], "memory", f"{why}, and residents may go, too", also[0][2], True) if also else None
        if isinstance(installed, Unknown):
            self.note("unread", "warning", f"what is installed could not be read: {installed.reason}")
        elif act is None:
            # From here on only a rise is news: swap stays where it is when its cause has gone.
            self.past = replace(self.past, low=swap if low is None else low)
            if due or "stuck" in self.past.notes:
                self.note("stuck", "warning", "nothing is loaded that may go")
                self.alert("memory", "warning", "; ".join([f"{why}, and nothing is loaded that may go", *spared]))
        return act if due and self.cooled("memory") else None

    def last_resort(self) -> bool:
        """Tell whether residents may go: only when somebody has said so, and only while swap is over the critical limit."""
        swap, critical = self.swap(), self.limits.swap_critical
        return self.rules.unload_residents and swap is not None and critical is not None and swap >= critical

    def trouble(self) -> str:
        """Return why memory is short now, as a clause; "" when it is not, or cannot be told."""
        swap, pressure, growth = self.swap(), self.pressure(), self.growth()
        if pressure is not None and pressure >= PRESSURE_CRITICAL:
            return "macOS reports critical memory pressure"
        if swap is not None and self.past.over:
            name = "swap" if "swap" in self.past.over else "critical"
            limit = self.limits.swap_warn if name == "swap" else self.limits.swap_critical
            return f"swap is {gb_text(swap)}, the limit {gb_text(limit or 0)}"
        if growth is not None and growth >= self.rules.growth and pressure is not None and pressure >= PRESSURE_WARN:
            return f"swap grows by {gb_text(growth)} a minute under memory pressure"
        return ""

    def lowest(self) -> int | None:
        """Return the least swap since the last act against it."""
        swap, low = self.swap(), self.past.low
        return low if low is None or swap is None else min(low, swap)

    def heavy(self, loaded: Sequence[Loaded], installed: Sequence[Installed] | Unknown) -> Act | None:
        """Return the unload of a model that is larger than this Mac wants and has been there too long."""
        limit = self.limits.largest_model
        if limit is None:
            return None
        sizes = {one.digest: max(one.size, one.size_vram) for one in loaded}
        late = {
            digest for digest, size in sizes.items() if size > limit and self.clock - self.past.seen[digest] >= self.rules.stay
        }
        may, spared = self.candidates([one for one in loaded if one.digest in late], installed)
        if spared:
            self.alert("heavy", "note", "; ".join([f"loaded for more than {self.rules.stay // 60} min", *spared]))
        for name, digest, size in may:
            if self.cooled(f"heavy {digest}"):
                minutes = (self.clock - self.past.seen[digest]) / 60
                why = f"it is larger than {gb_text(limit)} and has been loaded for {minutes:.0f} min"
                return Act("unload", name, f"heavy {digest}", why, size)
        return None

    def missing(self, loaded: Sequence[Loaded], installed: Sequence[Installed] | Unknown) -> Act | None:
        """Return the load of residents that are gone for longer than their own job needs to bring them back."""
        if isinstance(installed, Unknown):
            return None
        names = {one.name.lower() for one in loaded}
        digests = {one.digest for one in loaded}
        have = {model.name.lower(): model.digest for model in installed}
        gone = [
            name
            for name in self.residents
            if name.lower() not in names
            and have.get(name.lower(), "") not in digests
            and self.policies.get(name.lower(), Policy("strict", "")).word == "strict"
        ]
        since = {name: min(self.past.missing.get(name, self.clock), self.clock) for name in gone}
        if self.past.hold or self.booted:
            # Told to stay away, or not yet back after a start: no time counts for them.
            since = dict.fromkeys(gone, self.clock)
        self.past = replace(self.past, missing=MappingProxyType(since))
        late = [name for name in gone if self.clock - since[name] >= self.rules.resident_grace]
        if not late:
            return None
        absent = [name for name in late if name.lower() not in have]
        if any(self.clock - since[name] >= 2 * self.rules.resident_grace for name in late):
            what = f"{', '.join(late)} should stay in memory and {'is' if len(late) == 1 else 'are'} not there"
            self.alert("residents", "warning", what + (f"; not installed: {', '.join(absent)}" if absent else ""))
        swap, pressure = self.swap(), self.pressure()
        if pressure is None or pressure >= PRESSURE_WARN or swap is None or self.past.over:
            self.note("no load", "note", f"{', '.join(late)} must wait: {self.figures()}")
            return None
        there = [name for name in late if name not in absent]
        if not there or not self.cooled("residents"):
            return None
        minutes = max(self.clock - since[name] for name in there) / 60
        return Act("load", ", ".join(there), "residents", f"it has been missing from memory for {minutes:.0f} min")

    # What comes of it. --------------------------------------------------------------------------------------------------

    def cooled(self, cause: str) -> bool:
        """Tell whether the last act for a cause lies far enough back."""
        pause = max(self.rules.cool_down, self.rules.resident_grace) if cause == "residents" else self.rules.cool_down
        return all(self.clock - act.clock >= pause for act in self.past.acts if act.cause == cause)

    def allowed(self, act: Act | None) -> tuple[Act, ...]:
        """Return the act if the hour has room for it, and remember it as done; in a dry run remember it and return nothing."""
        if act is None:
            return ()
        lately = [one for one in self.past.acts if one.clock > self.clock - HOUR]
        if len(lately) >= self.rules.acts_per_hour:
            self.note("acts", "warning", f"{len(lately)} acts within an hour are as many as are allowed; would {act.sentence()}")
            self.alert("acts", "warning", f"{len(lately)} acts within an hour did not help: {self.figures()}")
            return ()
        past = replace(self.past, acts=(*self.past.acts, Done(self.clock, act.kind, act.item, act.cause)))
        if act.cause == "memory":
            past = replace(past, low=self.swap(), hold=past.hold or (act.resident and not self.rules.dry_run))
        if act.kind == "restart":
            past = replace(past, silent=0, pid=None, pid_since=None)
        self.past = past
        if self.rules.dry_run:
            self.lines.append(Line("warning", f"dry run: would {act.sentence()}"))
            return ()
        self.alerts.append(Condition(f"{act.kind} {act.item}", "warning", act.sentence(), event=True))
        return (act,)

    def summarise(self) -> None:
        """Say how things are, now and then, so that a silent log is not mistaken for a dead program."""
        if self.past.uptime is not None and self.clock - self.past.summary < self.rules.summary:
            return
        loaded = self.sample.loaded
        names = [] if isinstance(loaded, Unknown) else [f"{one.name} ({gb_text(max(one.size, one.size_vram))})" for one in loaded]
        words = {"ok": "answers", "odd": "answers with an error"}
        acts = sum(one.clock > self.clock - HOUR for one in self.past.acts)
        self.lines.append(
            Line(
                "note",
                f"{self.figures()}; the server {words.get(self.sample.answer, 'does not answer')}, in memory:"
                f" {', '.join(names) or 'nothing'}; {acts} {'act' if acts == 1 else 'acts'} within the last hour",
            )
        )
        self.past = replace(self.past, summary=self.clock)

    def note(self, key: str, level: Level, said: str) -> None:
        """Have something said when it becomes true."""
        self.lines.append(Line(level, said, key))

    def alert(self, cause: str, level: Level, text: str) -> None:
        """Have somebody told while it is so."""
        self.alerts.append(Condition(cause, level, text))

    def said(self) -> tuple[Line, ...]:
        """Return the lines without those that the last look already had."""
        return tuple(line for line in self.lines if not line.key or line.key not in self.past.notes)

    def finished(self) -> History:
        """Return what the next look must know."""
        swap = self.swap()
        return replace(
            self.past,
            clock=self.clock,
            uptime=self.sample.uptime,
            swap=swap,
            notes=tuple(sorted({line.key for line in self.lines if line.key})),
        )


# What is kept between two runs. -----------------------------------------------------------------------------------------


def to_json(history: History) -> dict[str, Any]:
    """Return the history as plain data."""
    return {
        **vars(history),
        "over": list(history.over),
        "seen": dict(history.seen),
        "missing": dict(history.missing),
        "acts": [dict(vars(act)) for act in history.acts],
        "notes": list(history.notes),
    }


def from_json(data: Any) -> History:
    """Read the history back; whatever is not understood is forgotten."""
    found = data if isinstance(data, Mapping) else {}
    acts = []
    entries = found.get("acts")
    for one in entries if isinstance(entries, list) else ():
        if not isinstance(one, Mapping) or not _number(one.get("clock")) or one.get("kind") not in KINDS:
            continue
        if isinstance(one.get("item"), str) and isinstance(one.get("cause"), str):
            acts.append(Done(one["clock"], one["kind"], one["item"], one["cause"]))
    uptime, low, swap, pid = (found.get(key) for key in ("uptime", "low", "swap", "pid"))
    return History(
        clock=found["clock"] if _number(found.get("clock")) else 0,
        uptime=uptime if _number(uptime) else None,
        swap=swap if _whole(swap) else None,
        over=tuple(name for name in _texts(found.get("over")) if name in ("swap", "critical")),
        low=low if _whole(low) else None,
        hold=found.get("hold") is True,
        seen=MappingProxyType(_times(found.get("seen"))),
        missing=MappingProxyType(_times(found.get("missing"))),
        silent=found["silent"] if _whole(found.get("silent")) else 0,
        silent_since=found["silent_since"] if _number(found.get("silent_since")) else 0,
        pid=pid if _whole(pid) else None,
        pid_since=found["pid_since"] if _number(found.get("pid_since")) else None,
        acts=tuple(sorted(acts, key=lambda act: act.clock)[-500:]),
        summary=found["summary"] if _number(found.get("summary")) else 0,
        notes=_texts(found.get("notes")),
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 1e12


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 60


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _times(value: Any) -> dict[str, float]:
    return {str(key): one for key, one in value.items() if _number(one)} if isinstance(value, Mapping) else {}
