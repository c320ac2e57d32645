"""Pull a model and say how far it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .ollama_api import Api, ApiError
from .progress_file import ProgressFile

if TYPE_CHECKING:
    from fleet.progress import Progress
else:
    from ansible.module_utils.fleet.progress import Progress


RETRY_PAUSES = (1, 5, 15)

FINAL = (
    "file does not exist",
    "invalid model name",
    "no space left on device",
    "unauthorized",
    "requires a newer version",
)
"""Answers that another try would only repeat."""


class PullFailed(Exception):
    """The pull ended without `success`."""


@dataclass
class Puller:
    """Pulls through one server; the latest progress lies in `progress_path` as one JSON object, if a path is given."""

    api: Api
    attempts: int
    idle_timeout: float
    progress_path: str = ""
    _file: ProgressFile = field(init=False)

    def __post_init__(self) -> None:
        """Open the place for progress."""
        self._file = ProgressFile(self.progress_path)

    def pull(self, name: str) -> None:
        """Pull until the last line says success; a broken pull resumes. Raises PullFailed with what was said last."""
        said = ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(RETRY_PAUSES[min(attempt - 1, len(RETRY_PAUSES) - 1)])
            try:
                self._once(name)
            except ApiError as problem:
                said = str(problem)
                if any(word in said for word in FINAL):
                    break
            else:
                return
        raise PullFailed(said + _remedy(said))

    def _once(self, name: str) -> None:
        progress = Progress(name)
        last = ""
        for line in self.api.stream("/api/pull", {"model": name, "stream": True}, self.idle_timeout):
            last = str(line.get("status", ""))
            now = time.monotonic()
            progress = progress.after(line, now)
            self._file.say(progress.line(now), at_once=last == "success", model=progress.model)
        if last != "success":
            message = f"the stream ended after {last!r}, without success"
            raise ApiError(message)


def _remedy(said: str) -> str:
    if "file does not exist" in said:
        return " (the registry has no such model or tag; correct its name in ollama_models_installed)"
    if "no space left" in said:
        return " (the disk is full; free space on the volume of the model store)"
    if "lookup" in said or "refused" in said or "Bad Gateway" in said or "timed out" in said or "timeout" in said:
        return " (the registry cannot be reached from this Mac; nothing that was installed is lost)"
    return ""
