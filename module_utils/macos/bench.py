"""Measure the models of one server, one at a time, and leave memory as it was found."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .commands import run as run_command
from .ollama_api import Api, ApiError

if TYPE_CHECKING:
    from fleet import tool_probe
    from fleet.bench import Course, Run, is_late, moved, prompt, restoring, run_from_answer, why_stop
    from fleet.models import Found, Installed, Loaded
    from fleet.residents import Memory, parse_memory
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet import tool_probe
    from ansible.module_utils.fleet.bench import Course, is_late, moved, prompt, restoring, run_from_answer, why_stop
    from ansible.module_utils.fleet.models import Found
    from ansible.module_utils.fleet.residents import Memory, parse_memory
    from ansible.module_utils.fleet.vocabulary import Unknown


POLL_SECONDS = 0.1
LOOK_SECONDS = 1
"""How often memory is looked at while a model answers."""

STAYS_SECONDS = 600
"""How long a measured model stays by itself if nobody could clear up: it then leaves without anybody."""

BACK_SECONDS = 60
"""How long a server that went away is waited for before what was loaded is given back; launchd starts it again at once."""

PASSES = 3
"""A load that came out with another context is asked for once more, with the context it had."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

FIGURES = ("kern.memorystatus_vm_pressure_level", "vm.swapusage", "hw.memsize")


class Interrupted(BaseException):
    """Somebody wants it to end now; not an Exception, so that nothing on the way takes it for a failed measurement."""


class Stopped(Exception):
    """Memory is short: this model is not measured further."""


@dataclass(frozen=True)
class Wish:
    """A model to measure; `refused` says why it must not be loaded here, `context` is 0 where the server's own is meant."""

    name: str
    context: int = 0
    refused: str = ""


@dataclass(frozen=True)
class Settings:
    """How to measure; times in seconds, `swap_growth` in bytes."""

    runs: int
    warmups: int
    num_predict: int
    prompt_words: int
    seed: int
    cold_load: bool
    quiet_seconds: float
    swap_growth: int
    load_timeout: float
    answer_timeout: float
    tools: bool
    tool_tries: int
    tool_num_predict: int


def read_memory() -> Memory:
    """Read pressure and swap in one command."""
    try:
        return parse_memory(run_command(["/usr/sbin/sysctl", "-n", *FIGURES], timeout=5).out)
    except OSError as problem:
        return Memory(Unknown(str(problem)), Unknown(str(problem)), Unknown(str(problem)))


class Bench:
    """One measurement of one server. `say` takes a line for people, `watch` raises Interrupted when it has to end."""

    def __init__(self, api: Api, settings: Settings, say: Callable[[str], None], watch: Callable[[], None]) -> None:
        self.api = api
        self.settings = settings
        self.say = say
        self.watch = watch
        self.touched: set[str] = set()
        self.busy: set[str] = set()
        self.before: tuple[Loaded, ...] = ()
        self.results: list[dict[str, Any]] = []
        self._looked = 0.0
        self._course = Course(0)

    def go(self, wishes: Sequence[Wish]) -> None:
        """Measure every model into `results`; `give_back` is to be called whatever comes of it."""
        self.before = self.api.loaded()
        self.busy = self.used_now()
        each = self.settings.warmups + self.settings.runs + (self.settings.tool_tries if self.settings.tools else 0)
        self._course = Course(each * sum(not wish.refused for wish in wishes))
        for wish in wishes:
            result: dict[str, Any] = {"name": wish.name, "outcome": "measured", "why": ""}
            self.results.append(result)
            try:
                self.measure(wish, result)
            except Stopped as reason:
                result.update(outcome="stopped", why=str(reason))
            except (ApiError, ValueError) as problem:
                result.update(outcome="failed", why=str(problem))
            except Interrupted:
                result.update(outcome="failed", why="it was interrupted")
                raise
            finally:
                self.leave(result.get("digest", ""))

    def used_now(self) -> set[str]:
        """Return the digests that somebody uses: those whose expiry moves while they are watched, and those that are late."""
        deadline = time.monotonic() + self.settings.quiet_seconds
        latest = self.before
        names: set[str] = set()
        while time.monotonic() < deadline:
            self.watch()
            time.sleep(POLL_SECONDS)
            found = self.api.loaded()
            names.update(moved(latest, found))
            latest = found
        now = datetime.now(timezone.utc)
        return {one.digest for one in latest if one.name in names or is_late(one, now)}

    def measure(self, wish: Wish, result: dict[str, Any]) -> None:
        """Measure one model into `result`, figure by figure, so that what was measured before a failure is kept."""
        model = next((one for one in self.api.installed() if one.name.lower() == wish.name.lower()), None)
        if model is None:
            result.update(outcome="absent", why="it is not installed on this Mac")
            return
        result.update(name=model.name, digest=model.digest)
        capabilities = self.capabilities(model.name)
        if wish.refused:
            result.update(outcome="refused", why=wish.refused)
            return
        if capabilities is not None and "completion" not in capabilities:
            result.update(outcome="refused", why="it completes nothing, it is for embeddings")
            return
        memory = read_memory()
        result["memory"] = {"before": figures_of(memory)}
        cold, why = self.make_cold(model)
        result["load"] = {"cold": cold, "why": why}
        self.touched.add(model.digest)
        try:
            self.speed(wish, model, memory, result)
            result["tools"] = self.tools(wish, model, capabilities, memory)
        finally:
            result["memory"]["after"] = figures_of(read_memory())

    def capabilities(self, name: str) -> list[str] | None:
        """Return what a model can do, None for a server that does not say (before 0.6.4)."""
        answer = self.api.call("POST", "/api/show", {"model": name}, timeout=30)
        said = answer.get("capabilities") if isinstance(answer, dict) else None
        return [str(one) for one in said] if isinstance(said, list) else None

    def make_cold(self, model: Installed) -> tuple[bool, str]:
        """Make sure that the next request loads the model; say why not where somebody else would notice."""
        if not self.settings.cold_load:
            return False, "not asked for"
        if model.digest in self.busy:
            return False, "somebody uses it"
        if any(one.digest == model.digest for one in self.api.loaded()):
            self.touched.add(model.digest)
            self.unload(model.name, model.digest)
        return True, ""

    def unload(self, name: str, digest: str) -> None:
        """Tell a model to go and wait until it is gone; by digest, since a runner is listed under the name loaded first."""
        self.api.call("POST", "/api/generate", {"model": name, "keep_alive": 0}, timeout=60)
        deadline = time.monotonic() + 60
        while any(one.digest == digest for one in self.api.loaded()):
            if time.monotonic() > deadline:
                message = f"{name} was told to leave memory and is still there after 60 s"
                raise ApiError(message)
            time.sleep(POLL_SECONDS)

    def speed(self, wish: Wish, model: Installed, memory: Memory, result: dict[str, Any]) -> None:
        """Run the warm-ups, the first of which loads the model, and the runs that count."""
        settings = self.settings
        result["runs"] = []
        seen: tuple[Loaded, ...] = ()
        for number in range(settings.warmups + settings.runs):
            warm = number < settings.warmups
            what = "warming up" if warm else f"run {number - settings.warmups + 1} of {settings.runs}"
            self.say(self._course.line(model.name, what))
            here = self.api.loaded()
            used = moved(seen, here) if seen else ()
            began = time.monotonic()
            run = self.request(wish, model, memory, here, used)
            self._course = self._course.after(time.monotonic() - began)
            seen = self.api.loaded()
            if number == 0:
                result["load"]["seconds"] = run.load_ns / 10**9 if result["load"]["cold"] else None
                result.update(loaded_figures(seen, model.digest))
            if not warm:
                result["runs"].append(asdict(run))
                self.say(self._course.line(model.name, what, run.generation))

    def request(self, wish: Wish, model: Installed, memory: Memory, here: Sequence[Loaded], used: Sequence[str]) -> Run:
        """Let the model answer once; the time to the first token is that of the first piece with anything in it."""
        body = {
            "model": model.name,
            "prompt": prompt(secrets.token_hex(8), self.settings.prompt_words),
            "keep_alive": self.keep_alive(model.digest),
            "options": self.options(wish, self.settings.num_predict, self.settings.seed),
        }
        last: Mapping[str, Any] = {}
        first: float | None = None
        self.look(memory, at_once=True)
        began = time.monotonic()
        for line in self.api.stream("/api/generate", body, max(self.settings.load_timeout, self.settings.answer_timeout)):
            if first is None and (line.get("response") or line.get("thinking")):
                first = time.monotonic() - began
            last = line
            self.look(memory)
        self.look(memory, at_once=True)
        others = {*used, *moved(here, self.api.loaded(), (model.digest,))}
        return run_from_answer(last, first, sorted(others))

    def keep_alive(self, digest: str) -> int:
        """Return for how long a model stays after a request: a pinned one for good, so that it is pinned whatever happens."""
        return -1 if any(one.digest == digest and one.pinned for one in self.before) else STAYS_SECONDS

    def options(self, wish: Wish, num_predict: int, seed: int) -> dict[str, Any]:
        """Return what is the same in every request. The context is left out where it is the server's: naming it reloads."""
        context = {"num_ctx": wish.context} if wish.context else {}
        return {"num_predict": num_predict, "seed": seed, "temperature": 0, **context}

    def look(self, memory: Memory, *, at_once: bool = False) -> None:
        """Look at memory and at whoever asked for this, once a second at most; Stopped or Interrupted where it has to end."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS and not at_once:
            return
        self._looked = now
        self.watch()
        reason = why_stop(memory, read_memory(), self.settings.swap_growth)
        if reason:
            raise Stopped(reason)

    def tools(self, wish: Wish, model: Installed, capabilities: list[str] | None, memory: Memory) -> dict[str, Any] | None:
        """Ask for calls of tools, try after try; None where nobody wants to know."""
        if not self.settings.tools:
            return None
        if capabilities is not None and "tools" not in capabilities:
            self._course = self._course.after(0, self.settings.tool_tries)
            return {"passed": 0, "of": 0, "failures": {}, "why": "no tools"}
        outcomes = []
        for number in range(self.settings.tool_tries):
            self.say(self._course.line(model.name, f"calling tools, try {number + 1} of {self.settings.tool_tries}"))
            began = time.monotonic()
            outcomes.append(self.try_tools(wish, model, "thinking" in (capabilities or ()), number, memory))
            self._course = self._course.after(time.monotonic() - began)
        return {**tool_probe.summary(outcomes), "why": ""}

    def try_tools(self, wish: Wish, model: Installed, thinks: bool, number: int, memory: Memory) -> tool_probe.Outcome:
        """Carry one conversation through; what the server refuses is an outcome too."""
        state: Any = tool_probe.begin(secrets.token_hex(4), secrets.token_hex(4))
        body: dict[str, Any] = {
            "model": model.name,
            "tools": list(tool_probe.TOOLS),
            "stream": False,
            "keep_alive": self.keep_alive(model.digest),
            "options": self.options(wish, self.settings.tool_num_predict, self.settings.seed + number),
            # A thought would take the tokens that the call needs; a model that always thinks does so all the same (gpt-oss).
            **({"think": False} if thinks else {}),
        }
        while not isinstance(state, tool_probe.Outcome):
            self.look(memory, at_once=True)
            try:
                answer = self.api.call(
                    "POST", "/api/chat", {**body, "messages": list(state.messages)}, timeout=self.settings.answer_timeout
                )
            except ApiError as problem:
                return tool_probe.Outcome("broken", tool_probe.short(str(problem)))
            state = tool_probe.after(state, answer)
        return state

    def keep_answering(self, wish: Wish, going: Callable[[], bool]) -> bool:
        """Let a model answer again and again while something else is measured; False when it is not there."""
        model = next((one for one in self.api.installed() if one.name.lower() == wish.name.lower()), None)
        if model is None:
            return False
        memory = read_memory()
        self.touched.add(model.digest)
        try:
            while going():
                self.request(wish, model, memory, (), ())
        finally:
            self.leave(model.digest)
        return True

    def leave(self, digest: str) -> None:
        """Let a model that was not there before leave at once, so that the next one has the Mac for itself."""
        if digest not in self.touched or any(one.digest == digest for one in self.before):
            return
        try:
            name = next((one.name for one in self.api.installed() if one.digest == digest), "")
            if name and any(one.digest == digest for one in self.api.loaded()):
                self.unload(name, digest)
        except ApiError:
            # `give_back` tries again and says so where it cannot.
            return

    def give_back(self) -> list[str]:
        """Bring memory back to what it held; return a sentence for each model for which that failed."""
        problems: dict[str, str] = {}
        if not self.touched:
            return []
        deadline = time.monotonic() + BACK_SECONDS
        for _ in range(PASSES):
            found = self.found(deadline)
            if found is None:
                return [f"the server does not answer, so {', '.join(one.name for one in self.before) or 'nothing'} is not loaded"]
            # Passes after the first see models of others, too, whose place was never touched: those are left alone.
            steps = restoring(self.before, found, self.touched, datetime.now(timezone.utc))
            if not steps:
                return []
            problems = {}
            for step in steps:
                body: dict[str, Any] = {"model": step.name, "keep_alive": step.keep_alive}
                if step.context:
                    body["options"] = {"num_ctx": step.context}
                try:
                    if step.keep_alive:
                        self.api.call("POST", "/api/generate", body, timeout=self.settings.load_timeout)
                    else:
                        self.unload(step.name, step.digest)
                except ApiError as problem:
                    problems[step.name] = f"{step.name} is not as it was before: {problem}"
        return list(problems.values())

    def found(self, deadline: float) -> Found | None:
        """Look at what is there, waiting for a server that starts anew; None when it does not come back."""
        while True:
            try:
                return Found(self.api.installed(), self.api.loaded(), {})
            except ApiError:
                if time.monotonic() > deadline:
                    return None
            time.sleep(POLL_SECONDS)


def figures_of(memory: Memory) -> dict[str, int | None]:
    """Return swap and pressure as plain figures, None for what could not be read."""
    swap, pressure = memory.swap_used, memory.pressure
    return {
        "swap_used_bytes": None if isinstance(swap, Unknown) else swap,
        "pressure": None if isinstance(pressure, Unknown) else pressure,
    }


def loaded_figures(loaded: Sequence[Loaded], digest: str) -> dict[str, Any]:
    """Return what `/api/ps` says of a model."""
    for one in loaded:
        if one.digest == digest:
            return {"size": one.size, "size_vram": one.size_vram, "context_length": one.context_length}
    return {}


def interrupt(number: int, _frame: Any) -> None:
    """End at the first signal and take no notice of further ones: memory is given back first."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    message = f"signal {signal.Signals(number).name}"
    raise Interrupted(message)


def carry_out(bench: Bench, work: Callable[[], None]) -> tuple[str, list[str]]:
    """Do the work, and whatever ends it, give memory back.

    Returns why it ended early, "" when it did not, and a sentence for each model that is not as it was before.
    """
    ended = ""
    for one in SIGNALS:
        signal.signal(one, interrupt)
    try:
        work()
    except Interrupted as reason:
        ended = f"It was ended ({reason})"
    except ApiError as problem:
        ended = f"The server went away: {problem}"
    finally:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        left = bench.give_back()
    return ended, left
