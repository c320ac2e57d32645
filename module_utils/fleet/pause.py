"""A pause of the service: whether it may be taken down for a while, the steps of it, and what its record says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .service import Domain, Found, Wanted, live_differences
from .vocabulary import Step

Phase = Literal["going_down", "down", "coming_up", "up", "failed"]

FINAL: tuple[Phase, ...] = ("up", "failed")
"""Phases after which nobody works on the service any more."""

SHORTEST_SECONDS, LONGEST_SECONDS = 5, 600
"""A pause has an end that does not depend on who began it. Ten minutes are enough to walk every chain of a fleet."""

ENDED = {
    "released": "the run ended it",
    "limit": "the Mac ended it by itself, since its time was over",
    "started": "somebody else started the service again",
    "told": "the Mac was told to end it, as when it shuts down",
    "failed": "it could not be taken down",
    "orphaned": "its keeper was gone, so it was ended without",
}
"""What may end a pause."""


@dataclass(frozen=True)
class Pause:
    """What is known of a pause, as its keeper writes it down.

    `absent_seconds` counts from the free port to the first answer, `ready_seconds` to the last resident in memory; None until
    then. `error` is a clause about what went wrong on the way, "" where nothing did.
    """

    token: str
    target: str
    limit_seconds: int
    phase: Phase = "going_down"
    ended: str = ""
    error: str = ""
    residents: tuple[str, ...] = ()
    absent_seconds: float | None = None
    ready_seconds: float | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether its keeper has done what it can."""
        return self.phase in FINAL


def pause_from_json(data: Mapping[str, Any]) -> Pause:
    """Read a record back; the inverse of `vocabulary.plain`. TypeError or KeyError when it is none."""
    fields = dict(data)
    fields["residents"] = tuple(fields["residents"])
    return Pause(**fields)


def limit_problem(seconds: int) -> str:
    """Return what is wrong with the length of a pause, "" when nothing is."""
    if SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        return ""
    return f"found {seconds} s, allowed are {SHORTEST_SECONDS} to {LONGEST_SECONDS} s"


def wanted_of(found: Found, label: str, domain: Domain) -> Wanted | None:
    """Return the service as its own property list says; None when there is none to read, so nothing could bring it back."""
    empty = Wanted(label, domain, {})
    path = empty.path(found.home)
    own = next((file for file in found.files if file.path == path), None)
    if own is None or own.definition is None or own.symlink:
        return None
    return Wanted(label, domain, own.definition)


def why_not(found: Found, label: str, domain: Domain, problem: str) -> str:
    """Return why the service is not taken down, as a clause; "" when it may be.

    `problem` says why the job that launchd holds does not serve, "" when it does. What is down already or ill proves nothing
    about a chain. Where a start would bring another definition or version than the one that runs, the pause would change the
    Mac: site.yml and playbooks/restart.yml do that.
    """
    empty = Wanted(label, domain, {})
    where, path = empty.target_domain(found.uid), empty.path(found.home)
    target = f"{where}/{label}"
    job, wanted = found.job(where, label), wanted_of(found, label, domain)
    if job is None:
        return f"{target} is not loaded, so it is not healthy before"
    if problem or job.pid is None:
        return f"{target} is not healthy before: {problem or f'it has no process ({job.state}, {job.last_exit})'}"
    if wanted is None:
        return f"{path} is no property list that could bring it back"
    if found.is_disabled(where, label):
        return f"{target} is disabled, so launchd would not start it again"
    if label in found.unfinished:
        return f"the last change of {target} was cut short"
    stale = live_differences(job, wanted.definition, path)
    if stale:
        return f"{path} differs from what runs in {', '.join(sorted(stale))}, and a start would bring that into effect"
    if found.is_outdated:
        return f"Ollama {found.running_version} runs, and a start would bring {found.program_version} into effect"
    return ""


def steps_down(target: str, limit_seconds: int) -> tuple[Step, ...]:
    """List the one step that takes it down."""
    down = f"down for at most {limit_seconds} s"
    return (Step("pause", target, "running", down, "the Mac itself brings it back, whatever happens"),)


def steps_up(pause: Pause, residents: Sequence[str]) -> tuple[Step, ...]:
    """List what ends a pause that is on; nothing for one that is over."""
    if pause.is_over:
        return ()
    loads = (Step("load", name, "not loaded", "loaded for good") for name in residents)
    return (Step("resume", pause.target, "down", "running", "its pause ends"), *loads)
