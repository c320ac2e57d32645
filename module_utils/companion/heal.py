"""The verb `heal`: look at memory and server, judge, do one thing at most, tell somebody.

All of it ends within `SECONDS`, whatever hangs. One line of JSON for each thing that happened goes to stderr, which launchd
appends to the log. A disk that is full keeps nobody from acting: only a restart needs a written record, since without one the
next could follow it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import state, webhook

if TYPE_CHECKING:
    from fleet import alerts, desired_state, healing
    from fleet.launchctl_output import parse_job
    from fleet.models import Installed, Loaded
    from fleet.names import normalise
    from fleet.residents import parse_memory
    from fleet.units import gb_text
    from fleet.vocabulary import Unknown
    from macos.commands import run as run_command
    from macos.ollama_api import Api, ApiError, is_refused
else:
    from ansible.module_utils.fleet import alerts, desired_state, healing
    from ansible.module_utils.fleet.launchctl_output import parse_job
    from ansible.module_utils.fleet.names import normalise
    from ansible.module_utils.fleet.residents import parse_memory
    from ansible.module_utils.fleet.units import gb_text
    from ansible.module_utils.fleet.vocabulary import Unknown
    from ansible.module_utils.macos.commands import run as run_command
    from ansible.module_utils.macos.ollama_api import Api, ApiError, is_refused

VERB = "heal"
SECONDS = 26
"""All of a run. launchd starts the next one no sooner than a minute after the last began, by default."""

FOR_TELLING = 9
"""Of these what is kept for telling somebody."""

ANSWER_SECONDS, COMMAND_SECONDS, POST_SECONDS, LEAVE_SECONDS = 5, 4, 5, 3
LOCK_SECONDS = 28
"""How long `heal now` waits for a run of launchd's to end."""

POLL_SECONDS = 0.1
MESSAGES = 3
"""Banners and deliveries of one run; more wait for the next."""

FIGURES = ("kern.memorystatus_vm_pressure_level", "vm.swapusage", "hw.memsize")
NO_DOMAIN, NO_SERVICE, NO_ACTION = 112, 113, 125
ALREADY = 37

BANNER = ("-e", "on run argv", "-e", "display notification (item 1 of argv) with title (item 2 of argv)", "-e", "end run")
"""The text is an argument of the script and never a part of it."""


@dataclass
class Result:
    """What a run came to, for whoever asked for it by hand."""

    host: str = ""
    acts: list[str] = field(default_factory=list)
    dry: list[str] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    figures: str = ""


def run(settings: Path, place: Path, words: Sequence[str] = ()) -> None:
    """Do one run. `words` is empty for launchd, `now` prints what was done, `look` what would be done, and does nothing."""
    if list(words) == ["look"]:
        one = Run(settings, place, look=True)
        one.go()
        print(json.dumps(vars(one.result)), flush=True)
        return
    asked = list(words) == ["now"]
    with _alone(place, LOCK_SECONDS if asked else 0) as mine:
        if not mine:
            if asked:
                message = f"another run of {VERB} has not ended within {LOCK_SECONDS} s"
                raise OSError(errno.EBUSY, message)
            return
        one = Run(settings, place)
        one.go()
    if asked:
        print(json.dumps(vars(one.result)), flush=True)


@contextlib.contextmanager
def _alone(place: Path, seconds: float) -> Iterator[bool]:
    """Hold the lock; without one where the disk has no room for it."""
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        while True:
            try:
                mine = stack.enter_context(state.alone(place, VERB))
            except OSError as problem:
                if problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                    raise
                say("warning", f"the lock could not be made ({problem.strerror}); going on without it")
                mine = True
            if mine or time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        yield mine


def say(level: str, sentence: str, **more: Any) -> dict[str, Any]:
    """Write one line to the log: time, level and sentence first. A log that cannot be written keeps nobody from acting."""
    line = {"time": state.now(), "level": level, "said": sentence, **more}
    with contextlib.suppress(OSError):
        os.write(2, (json.dumps(line, ensure_ascii=False) + "\n").encode())
    return line


class Run:
    """One run: what it was told, what it knows of the past, and what comes of it."""

    def __init__(self, settings: Path, place: Path, *, look: bool = False) -> None:
        self.settings = settings
        self.place = place
        self.look = look
        self.end = time.monotonic() + SECONDS
        self.conditions: list[alerts.Condition] = []
        self.result = Result()

    def left(self, most: float, kept: float = FOR_TELLING) -> float:
        """Return the seconds that a part of the run may take."""
        return max(0.2, min(most, self.end - kept - time.monotonic()))

    def say(self, level: str, sentence: str, **more: Any) -> None:
        """Write a line, and keep it for whoever asked."""
        line = {"time": state.now(), "level": level, "said": sentence, **more} if self.look else say(level, sentence, **more)
        self.result.said.append(line)

    def go(self) -> None:
        """Look, judge, act, tell."""
        with _alarm():
            desired = self.desired()
            before = self.before()
            history, desk = healing.from_json(before.get("history")), alerts.from_json(before.get("alerts"))
            sample = self.observe(desired)
            settings = desired.settings
            if self.look:
                # It does nothing anyway, and says so in its own words.
                settings = replace(settings, rules=replace(settings.rules, dry_run=False))
            decision = healing.decide(sample, settings, history)
            self.result.host = desired.host
            self.result.figures = _figures(sample)
            for line in decision.lines:
                self.say(line.level, line.said, **({"about": line.key} if line.key else {}))
                if line.said.startswith("dry run: "):
                    self.result.dry.append(line.said)
            if self.look:
                self.result.acts = [act.sentence() for act in decision.acts]
                self.result.alerts = [one.text for one in (*self.conditions, *decision.alerts) if not one.event]
                return
            # An act is written down before it is done: what is cut off in between counts as done.
            recorded = not decision.acts or self.record(desired, decision.history, desk)
            for act in decision.acts:
                self.carry_out(act, desired, sample, recorded=recorded)
            conditions = [*self.conditions, *decision.alerts]
            self.result.alerts = [one.text for one in conditions if not one.event]
            desk, fresh = alerts.judge(conditions, desk, decision.history.clock, desired.telling.repeat, state.now())
            desk = self.tell(desired, desk, fresh, decision.history.clock)
            self.record(desired, decision.history, desk)

    # What it was told, and what it knows. ---------------------------------------------------------------------------------

    def desired(self) -> desired_state.Desired:
        """Read the settings; the last good ones where the file is broken, and an alert then. ValueError without any."""
        copy = self.place / desired_state.NAME
        try:
            text = self.settings.read_text(encoding="utf-8")
            desired = desired_state.read(text)
        except (OSError, ValueError) as problem:
            why = f"{self.settings.name} {'' if isinstance(problem, desired_state.Malformed) else 'cannot be read: '}{problem}"
            try:
                desired = desired_state.read(copy.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                raise ValueError(why) from problem
            sentence = f"{why}; the last good copy of it is in force"
            self.conditions.append(alerts.Condition("settings", "warning", sentence))
            return desired
        if not self.look:
            with contextlib.suppress(OSError, ValueError):
                if copy.read_text(encoding="utf-8") == text:
                    return desired
            try:
                state.replace(copy, text)
            except OSError as problem:
                self.say("warning", f"the copy of {self.settings.name} could not be written: {problem.strerror or problem}")
        return desired

    def before(self) -> dict[str, Any]:
        """Read what the last run left; a file that cannot be understood is set aside, so that somebody can look at it."""
        path = self.place / f"{VERB}.json"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as problem:
            text, why = "", str(problem)
        else:
            why = "it is not what this program writes"
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict) and data.get("schema") == state.SCHEMA:
            return data
        if not self.look:
            with contextlib.suppress(OSError):
                path.replace(path.with_name(f"{VERB}.json.corrupt"))
            self.say("warning", f"the state {path} was not sound ({why}); it is set aside as {path.name}.corrupt")
        return {}

    def record(self, desired: desired_state.Desired, history: healing.History, desk: alerts.Desk) -> bool:
        """Write the state and tell whether that worked. Its `at` is the heartbeat."""
        data = {
            "alerts": alerts.to_json(desk),
            "dry_run": desired.settings.rules.dry_run,
            "history": healing.to_json(history),
            # Read by the verb `residents`; it ends by itself should no run renew it.
            "hold": {"uptime": history.uptime} if history.hold else None,
        }
        try:
            state.write(self.place, VERB, data)
        except OSError as problem:
            self.say("warning", f"the state could not be written: {problem.strerror or problem}")
            return False
        return True

    # The look. -----------------------------------------------------------------------------------------------------------

    def observe(self, desired: desired_state.Desired) -> healing.Sample:
        """Read the figures, ask the server, and ask launchd where the server does not answer."""
        try:
            answer = run_command(["/usr/sbin/sysctl", "-n", *FIGURES], timeout=self.left(COMMAND_SECONDS))
            memory = parse_memory(answer.out)
            swap, pressure = memory.swap_used, memory.pressure
        except OSError as problem:
            swap = pressure = Unknown(str(problem))
        sample = healing.Sample(state.uptime(), swap, pressure, "ok")
        api = Api(desired.url)
        try:
            loaded = self.ask(lambda: api.loaded(ANSWER_SECONDS))
        except (ApiError, TimeoutError) as problem:
            kind = _kind(problem)
            sample = replace(
                sample, answer=kind, said=str(problem), loaded=Unknown(str(problem)), installed=Unknown(str(problem))
            )
            return sample if kind == "odd" else replace(sample, job=self.job(desired.target))
        installed: Sequence[Installed] | Unknown = ()
        if _must_ask(loaded, desired.settings):
            try:
                installed = self.ask(lambda: api.installed(ANSWER_SECONDS))
            except (ApiError, TimeoutError) as problem:
                installed = Unknown(str(problem))
        return replace(sample, loaded=loaded, installed=installed)

    def ask(self, call: Any) -> Any:
        """Ask the server within bounds that no dripping answer stretches."""
        return webhook.within(self.left(ANSWER_SECONDS), call)

    def job(self, target: str) -> healing.Job | Unknown:
        """Ask launchd about the server's job."""
        try:
            answer = run_command(["/bin/launchctl", "print", target], timeout=self.left(COMMAND_SECONDS))
            if answer.rc == 0:
                return healing.Job(held=True, pid=parse_job(answer.out).pid)
        except (OSError, ValueError) as problem:
            return Unknown(str(problem))
        if answer.rc in (NO_DOMAIN, NO_SERVICE, NO_ACTION):
            return healing.Job(held=False)
        return Unknown(answer.said)

    # The act. ------------------------------------------------------------------------------------------------------------

    def carry_out(self, act: healing.Act, desired: desired_state.Desired, sample: healing.Sample, *, recorded: bool) -> None:
        """Do one thing; what goes wrong with it is a line and an alert."""
        more = {"act": act.kind, "item": act.item, "cause": act.cause}
        try:
            if act.kind == "unload":
                self.unload(Api(desired.url), act.item)
            elif act.kind == "load":
                self.kickstart(desired.residents_target, "the job that loads residents is not ours on this Mac")
            elif not recorded:
                message = "nothing can be written down, and a restart that nobody remembers could follow the next"
                raise OSError(message)
            else:
                self.restart(desired.target, sample.job)
        except (OSError, ApiError) as problem:
            self.say("critical", f"could not {act.sentence()}: {problem}", **more)
            self.conditions.append(
                alerts.Condition(f"failed {act.cause}", "critical", f"could not {act.sentence()}: {problem}", event=True)
            )
            return
        self.result.acts.append(act.sentence())
        self.say("warning", f"did {act.sentence()}", **more)

    def unload(self, api: Api, name: str) -> None:
        """Tell a model to go, and see whether it does: the answer comes while it is still in memory (Ollama 0.30 to 0.33)."""
        body = {"model": name, "keep_alive": 0}
        self.ask(lambda: api.call("POST", "/api/generate", body, timeout=ANSWER_SECONDS))
        deadline = time.monotonic() + self.left(LEAVE_SECONDS)
        while time.monotonic() < deadline:
            with contextlib.suppress(ApiError, TimeoutError):
                if all(normalise(one.name) != normalise(name) for one in self.ask(lambda: api.loaded(ANSWER_SECONDS))):
                    return
            time.sleep(POLL_SECONDS)
        self.say("note", f"{name} was told to leave and is still there; a request that it answers holds it")

    def kickstart(self, target: str, without: str, *words: str) -> None:
        """Have launchd start a job."""
        if not target:
            raise OSError(without)
        if target.startswith("system/") and os.getuid() != 0:
            message = "only root may have launchd start a job of the system domain"
            raise OSError(message)
        answer = run_command(["/bin/launchctl", "kickstart", *words, target], timeout=self.left(2 * COMMAND_SECONDS))
        if answer.rc not in (0, ALREADY):
            raise OSError(answer.said)

    def restart(self, target: str, job: healing.Job | Unknown) -> None:
        """Start the server anew: by launchd, or in the system domain by ending its process, which launchd starts again."""
        if not target.startswith("system/") or os.getuid() == 0:
            self.kickstart(target, "", "-k")
            return
        pid = None if isinstance(job, Unknown) else job.pid
        if pid is None:
            message = "it has no process, and only root may have launchd start a job of the system domain"
            raise OSError(message)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self.left(LEAVE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.kill(pid, 0)
                time.sleep(POLL_SECONDS)
            os.kill(pid, signal.SIGKILL)

    # Telling somebody. ---------------------------------------------------------------------------------------------------

    def tell(
        self, desired: desired_state.Desired, desk: alerts.Desk, fresh: Sequence[alerts.Message], clock: float
    ) -> alerts.Desk:
        """Show a banner for what is new, and bring what waits to the webhook."""
        for message in fresh:
            line = alerts.headline(message, desired.host)
            self.say(message.level, f"told: {line}", cause=message.cause, state=message.state)
            if desired.telling.notify:
                self.banner(desired.target, line, message.cause)
        try:
            address = webhook.read_address(self.settings.with_name(desired_state.WEBHOOK))
        except webhook.Undelivered as problem:
            self.say("warning", f"nothing can be delivered: {problem}")
            return desk
        if address is None:
            return replace(desk, queue=())
        for message in alerts.due(desk, clock)[:MESSAGES]:
            try:
                made = alerts.request(desired.telling.form, message, desired.host, desired.telling.chat)
                webhook.post(address, made, self.left(POST_SECONDS, kept=1))
            except webhook.Undelivered as problem:
                desk, lost = alerts.failed(desk, message, clock)
                fate = "given up" if lost else "tried again later"
                self.say("warning", f"not delivered, {fate}: {problem}", cause=message.cause, attempt=message.attempts + 1)
                break
            desk = alerts.delivered(desk, message)
        return desk

    def banner(self, target: str, text: str, cause: str) -> None:
        """Show a banner at the screen; nobody may be there, and macOS tells nobody whether it was seen."""
        words = ["/usr/bin/osascript", *BANNER, text, f"Ollama: {cause}"]
        if target.startswith("system/"):
            words = ["/bin/launchctl", "asuser", str(os.getuid()), *words]
        with contextlib.suppress(OSError):
            answer = run_command(words, timeout=self.left(1.5, kept=POST_SECONDS + 1))
            if answer.rc != 0:
                self.say("note", f"no banner could be shown: {answer.said}")


def _kind(problem: BaseException) -> healing.Answer:
    """Tell nobody from somebody: only a refused connection and silence mean that the server is not there."""
    if isinstance(problem, TimeoutError):
        return "silent"
    if isinstance(problem, ApiError) and problem.status is None:
        if is_refused(problem):
            return "refused"
        if "timed out" in str(problem):
            return "silent"
    return "odd"


def _must_ask(loaded: Sequence[Loaded], settings: healing.Settings) -> bool:
    """Tell whether names alone do not settle it: two names may mean one model, and to ask is a line more in the server's log."""
    names = {one.name.lower() for one in loaded}
    return settings.rules.unload_residents or names != {normalise(name).lower() for name in settings.residents}


def _figures(sample: healing.Sample) -> str:
    swap, pressure = sample.swap, sample.pressure
    words = [
        "swap unknown" if isinstance(swap, Unknown) else f"swap {gb_text(swap)}",
        "pressure unknown" if isinstance(pressure, Unknown) else f"pressure {pressure}",
    ]
    if sample.answer != "ok" or isinstance(sample.loaded, Unknown):
        return ", ".join([*words, f"server: {sample.said or sample.answer}"])
    return ", ".join([*words, f"in memory: {', '.join(one.name for one in sample.loaded) or 'nothing'}"])


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """End the program should a run hang after all: the next one is the cure, and launchd starts none beside it."""

    def overdue(_number: int, _frame: Any) -> None:
        say("critical", f"a run took longer than {SECONDS + 2} s and is ended")
        os._exit(0)

    try:
        before = signal.signal(signal.SIGALRM, overdue)
    except ValueError:  # not in the main thread, as in a test
        yield
        return
    signal.alarm(SECONDS + 2)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
