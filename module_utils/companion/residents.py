"""The verb `residents`: look, judge, load what is missing, one model at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import state

if TYPE_CHECKING:
    from fleet.companion_settings import Residents, residents_from_text
    from fleet.models import Found
    from fleet.names import normalise
    from fleet.residents import Memory, Past, judge, learn, parse_memory
    from fleet.vocabulary import Unknown
    from macos.commands import run as run_command
    from macos.ollama_api import Api, ApiError
else:
    from ansible.module_utils.fleet.companion_settings import residents_from_text
    from ansible.module_utils.fleet.models import Found
    from ansible.module_utils.fleet.names import normalise
    from ansible.module_utils.fleet.residents import Memory, Past, judge, learn, parse_memory
    from ansible.module_utils.fleet.vocabulary import Unknown
    from ansible.module_utils.macos.commands import run as run_command
    from ansible.module_utils.macos.ollama_api import Api, ApiError

VERB = "residents"
PAUSE_SECONDS = 1
ANSWER_SECONDS = 5
HOLD_SECONDS = 600
"""How long a word of the healer counts that it does not repeat."""

FIGURES = ("kern.memorystatus_vm_pressure_level", "vm.swapusage", "hw.memsize")


def run(text: str, place: Path) -> None:
    """Do one run. Without anything to do it says nothing; a sentence that the last run already said is not said again."""
    settings = residents_from_text(text)
    with state.alone(place, VERB) as mine:
        if not mine:
            return
        began = time.monotonic()
        before = state.read(place, VERB)
        said_before = before.get("waits")
        outcome = Run(settings, past_from_state(before))
        if held_back(state.read(place, "heal"), state.uptime()):
            outcome.waits = ["residents wait: the healer has unloaded them, and memory is still short"]
        else:
            outcome.go()
        for sentence in outcome.loaded:
            say(sentence)
        for sentence in outcome.waits:
            if not isinstance(said_before, list) or sentence not in said_before:
                say(sentence)
        state.write(
            place,
            VERB,
            {
                "contexts": [[*key, value] for key, value in sorted(outcome.past.contexts.items())],
                "loaded": outcome.loaded,
                "seconds": round(time.monotonic() - began, 2),
                "swap_used": outcome.past.swap_used,
                "waits": outcome.waits,
            },
        )


def say(sentence: str) -> None:
    """Write one line to the log."""
    print(f"{state.now()} {VERB}: {sentence}.", file=sys.stderr, flush=True)


def past_from_state(data: Mapping[str, Any]) -> Past:
    """Read back what the last run left; whatever is not understood is forgotten."""
    swap = data.get("swap_used")
    contexts = {}
    entries = data.get("contexts")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, list) and len(entry) == 3 and [type(part) for part in entry] == [str, int, int]:
            contexts[(entry[0], entry[1])] = entry[2]
    return Past(swap if type(swap) is int else None, contexts)


def held_back(healer: Mapping[str, Any], uptime: float) -> bool:
    """Tell whether the healer keeps residents out of memory now; it says so anew in each of its runs, or it is over."""
    hold = healer.get("hold")
    since = hold.get("uptime") if isinstance(hold, dict) else None
    return isinstance(since, (int, float)) and not isinstance(since, bool) and 0 <= uptime - since < HOLD_SECONDS


class Run:
    """One run: what it knows of the past, what it loaded, and what must wait and why."""

    def __init__(self, settings: Residents, past: Past) -> None:
        self.settings = settings
        self.past = past
        self.api = Api(settings.url)
        self.loaded: list[str] = []
        self.waits: list[str] = []

    def go(self) -> None:
        """Load one due model after the other and look again after each, since each changes what fits."""
        tried: set[str] = set()
        failures: list[str] = []
        found = self.wait_for_server()
        memory = self.memory()
        while found is not None:
            verdict = judge(found, self.settings.residents, memory, self.past, self.settings.swap_growth)
            self.waits = [*failures, *verdict.waits]
            step = next((step for step in verdict.loads if step.item not in tried), None)
            if step is None:
                self.past = replace(self.past, contexts=learn(found, self.settings.residents, self.past, {}))
                break
            tried.add(step.item)
            began = time.monotonic()
            try:
                self.load(step.item)
                found = self.look()
            except ApiError as problem:
                failures.append(f"{step.item} could not be loaded: {problem}")
                self.waits = [*failures]
                found = self.look_again()
            else:
                self.loaded.append(f"{step.item} is loaded for good after {time.monotonic() - began:.1f} s, it was {step.found}")
                self.remember(found, step.item)
            memory = self.memory()
        self.past = replace(self.past, swap_used=None if isinstance(memory.swap_used, Unknown) else memory.swap_used)

    def wait_for_server(self) -> Found | None:
        """Look once the server answers: it accepts connections seconds before the first answer (0.30 to 0.33, cmd/cmd.go)."""
        deadline = time.monotonic() + self.settings.patience
        while True:
            try:
                return self.look()
            except ApiError as problem:
                if time.monotonic() + PAUSE_SECONDS > deadline:
                    self.waits = [f"the server at {self.settings.url} does not answer ({problem})"]
                    return None
            time.sleep(PAUSE_SECONDS)

    def look_again(self) -> Found | None:
        """Look after a failure; None when the server has gone."""
        try:
            return self.look()
        except ApiError:
            return None

    def look(self) -> Found:
        """Ask what is installed and loaded: two requests, two lines in the server's access log."""
        return Found(self.api.installed(ANSWER_SECONDS), self.api.loaded(ANSWER_SECONDS), {})

    def memory(self) -> Memory:
        """Read the memory's figures in one command."""
        try:
            answer = run_command(["/usr/sbin/sysctl", "-n", *FIGURES], timeout=5)
        except OSError as problem:
            return Memory(Unknown(str(problem)), Unknown(str(problem)), Unknown(str(problem)))
        return parse_memory(answer.out)

    def context_of(self, name: str) -> int:
        """Return the context that the inventory gives a model, 0 for the server's own."""
        return next((one.context_length for one in self.settings.residents if normalise(one.name) == name), 0)

    def load(self, name: str) -> None:
        """Load and pin; an empty prompt answers once the model is in memory."""
        body: dict[str, Any] = {"model": name, "keep_alive": -1}
        if self.context_of(name):
            body["options"] = {"num_ctx": self.context_of(name)}
        self.api.call("POST", "/api/generate", body, timeout=self.settings.load_timeout)

    def remember(self, found: Found, name: str) -> None:
        """Keep the context that a load gave, which need not be the one asked for."""
        digests: Sequence[str] = [model.digest for model in found.installed if model.name.lower() == name.lower()]
        asked = {digest: self.context_of(name) for digest in digests}
        self.past = replace(self.past, contexts=learn(found, self.settings.residents, self.past, asked))
