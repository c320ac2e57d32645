"""When has a version proved itself? When its server answers as that version and a model has completed a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .ollama_api import ApiError
from .service_gate import NotUp, ServerGate

if TYPE_CHECKING:
    from fleet import versions
    from fleet.launchctl_output import Job
else:
    from ansible.module_utils.fleet import versions
    from ansible.module_utils.fleet.launchctl_output import Job


CAUSE_CHARACTERS = 300

ANY_MODEL = ""
"""In the place of a model's name: one that speaks, whichever it is."""


@dataclass
class VersionGate(ServerGate):
    """What a server must pass after a change of version: `expected` is the version, "" for any. `tell` is told what begins."""

    expected: str = ""
    tell: Callable[[str], None] = lambda _line: None
    speaker: str = field(default="", init=False)

    def problem(self, job: Job) -> str:
        """Return why the server is not up as the version it should be."""
        problem = super().problem(job)
        if problem or not self.expected:
            return problem
        try:
            running = self.api.version(timeout=2)
        except ApiError as unanswered:
            return f"no answer: {unanswered}"
        return "" if versions.same_release(running, self.expected) else f"{running} answers, not {self.expected}"

    def load(self, name: str) -> None:
        """Load a model for good and let it complete a sentence, or with ANY_MODEL let some model speak; NotUp when it cannot."""
        try:
            if name == ANY_MODEL:
                self._let_any_speak()
            else:
                self.tell(f"{name} is loaded and completes a sentence")
                super().load(name)
                self._speak(name, -1)
        except (NotUp, ApiError) as problem:
            raise NotUp(short(str(problem))) from problem

    def _let_any_speak(self) -> None:
        """Let the smallest model speak and go again, where no resident has spoken; nothing can be proved without a model."""
        for model in sorted(self.api.installed(), key=lambda one: one.size):
            if self.speaker:
                return
            with contextlib.suppress(Mute):
                self._speak(model.name, 0)

    def _speak(self, name: str, keep_alive: int) -> None:
        # The lifetime is said again: a request without one gives a model the default of five minutes.
        body = {"model": name, "prompt": "Say ready.", "stream": False, "keep_alive": keep_alive, "options": {"num_predict": 8}}
        try:
            answer = self.api.call("POST", "/api/generate", body, timeout=self.load_timeout)
        except ApiError as problem:
            if "does not support generate" in str(problem):
                raise Mute(name) from problem
            message = f"it answers and {name} completes nothing: {problem}"
            raise NotUp(message) from problem
        if not isinstance(answer, dict) or not answer.get("done") or not (answer.get("eval_count") or answer.get("response")):
            message = f"it answers and {name} completes nothing"
            raise NotUp(message)
        self.speaker = name


class Mute(NotUp):
    """A model that embeds and does not speak."""


def short(cause: str) -> str:
    """Return a cause as one line; Ollama names every place where it looked for its runner."""
    line = " ".join(cause.split()).rstrip(".")
    return line if len(line) <= CAUSE_CHARACTERS else f"{line[:CAUSE_CHARACTERS]} ..."
