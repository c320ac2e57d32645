"""How fast a model is on a Mac: what counts as a run, its figures, their comparison with the last time, and how all is left.

Speeds come from the durations of the API alone. The time of `ollama run` holds loading and starting as well (cmd/cmd.go,
Ollama 0.32). Seconds are floats, durations of the API nanoseconds.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Optional

from .models import Found, Installed, Loaded, parse_time
from .progress import duration
from .residents import Memory
from .units import gb_text
from .vocabulary import Unknown

SECOND = 10**9

PRESSURE_CRITICAL = 4
"""kern.memorystatus_vm_pressure_level: 1 normal, 2 warning, 4 critical (xnu, bsd/sys/event_private.h)."""

LEAST_PROMPT_TOKENS = 32
"""Below it a prompt's speed says more of the call than of the model, or the prompt was cached."""

WAITED_SECONDS = 0.5
"""What a request may spend beside loading, prompt and answer before it counts as having waited for somebody else's."""

WORSE_PERCENT = 10

FLOORS: Mapping[str, float] = {"first_token_seconds": 0.05, "load_seconds": 0.5}
"""Differences of times below these are nobody's business, however many percent they are."""

FIGURES: Mapping[str, bool] = {
    "generation_tokens_per_second": True,
    "prompt_tokens_per_second": True,
    "first_token_seconds": False,
    "load_seconds": False,
}
"""The figures, and whether more is better."""

COMPARED_SETTINGS = ("num_predict", "prompt_words", "seed", "server")
"""What must be the same for two figures to be comparable; how often it was measured need not be."""


@dataclass(frozen=True)
class Run:
    """One request. `disturbed` says why its figures may be worth nothing, "" when nothing was seen."""

    prompt_tokens: int
    prompt_ns: int
    tokens: int
    tokens_ns: int
    load_ns: int
    total_ns: int
    first_token_seconds: Optional[float]
    disturbed: str = ""

    @property
    def generation(self) -> Optional[float]:
        """Return generated tokens per second, None where too little was said."""
        return self.tokens * SECOND / self.tokens_ns if self.tokens > 1 and self.tokens_ns > 0 else None

    @property
    def prompt(self) -> Optional[float]:
        """Return prompt tokens per second, None where the prompt was too short or not evaluated."""
        long = self.prompt_tokens >= LEAST_PROMPT_TOKENS and self.prompt_ns > 0
        return self.prompt_tokens * SECOND / self.prompt_ns if long else None

    @property
    def waited_seconds(self) -> float:
        """Return what the request spent beside its own work."""
        return max(0, self.total_ns - self.load_ns - self.prompt_ns - self.tokens_ns) / SECOND


def run_from_answer(last: Mapping[str, Any], first_token_seconds: Optional[float], others: Sequence[str] = ()) -> Run:
    """Read the last line of a streamed answer; ValueError when it is not one with figures.

    `others` are models that somebody used meanwhile. `prompt_eval_count` is left out by older servers for a cached prompt.
    """

    def number(key: str) -> int:
        value = last.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            message = f"the answer has {key} {str(value)[:40]!r}, it must be a whole number"
            raise ValueError(message)
        return value

    if last.get("done") is not True:
        message = "the answer broke off before its last line"
        raise ValueError(message)
    run = Run(
        number("prompt_eval_count"), number("prompt_eval_duration"), number("eval_count"), number("eval_duration"),
        number("load_duration"), number("total_duration"), first_token_seconds,
    )  # fmt: skip
    return Run(**{**asdict(run), "disturbed": _disturbed(run, others)})


def _disturbed(run: Run, others: Sequence[str]) -> str:
    if others:
        return f"somebody used {', '.join(sorted(others))} meanwhile"
    if run.waited_seconds > WAITED_SECONDS:
        return f"it waited {run.waited_seconds:.1f} s for another request"
    return ""


def moved(before: Iterable[Loaded], after: Iterable[Loaded], own: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of models that were used between two looks at `/api/ps`, those of the digests in `own` left out.

    Every request that ends moves `expires_at` of its model, also of one that is pinned (Ollama 0.32.15, observed). A model whose
    time is over and that is still there answers somebody just now.
    """
    known = {one.digest: one for one in before}
    return tuple(
        sorted(
            one.name
            for one in after
            if one.digest not in own and (one.digest not in known or known[one.digest].expires_at != one.expires_at)
        )
    )


def is_late(one: Loaded, now: datetime) -> bool:
    """Tell a loaded model whose time is over: it is answering somebody, or on its way out."""
    try:
        return parse_time(one.expires_at) < now
    except ValueError:
        return False


# What it must not do to the Mac. ----------------------------------------------------------------------------------------


def why_stop(before: Memory, now: Memory, swap_growth: int) -> str:
    """Say why measuring must end, "" when it need not: swap has grown by more than `swap_growth` bytes, or memory is critical."""
    if isinstance(now.pressure, int) and now.pressure >= PRESSURE_CRITICAL:
        return "macOS reports critical memory pressure"
    if isinstance(before.swap_used, Unknown) or isinstance(now.swap_used, Unknown):
        return ""
    grown = now.swap_used - before.swap_used
    return f"swap has grown by {gb_text(grown)}, allowed are {gb_text(swap_growth)}" if grown > swap_growth else ""


@dataclass(frozen=True)
class Back:
    """One request that gives a model back the state it had. `keep_alive` is in seconds, -1 for good, 0 to leave."""

    name: str
    digest: str
    keep_alive: int
    context: int = 0


def restoring(before: Sequence[Loaded], found: Found, touched: Collection[str], now: datetime) -> tuple[Back, ...]:
    """Return what must be asked so that memory holds again what it held, leaving first, then loads, the largest first.

    `touched` are the digests that were measured. What others loaded meanwhile stays. A model whose time is over by now is not
    loaded again. A context is asked for only where a load gave another one, since a request that names one reloads the model
    (server/sched.go `needsReload`).
    """
    if isinstance(found.loaded, Unknown):
        return ()
    here = {one.digest: one for one in found.loaded}
    seconds = {one.digest: -1 if one.pinned else _left(one, now) for one in before}
    leave = [
        Back(name, digest, 0)
        for digest, one in sorted(here.items())
        if digest in touched and not seconds.get(digest) and (name := _name(found.installed, one))
    ]
    loads = []
    for one in sorted(before, key=lambda one: (-one.size, one.name)):
        name, have, wanted = _name(found.installed, one), here.get(one.digest), seconds[one.digest]
        if not name or not wanted:
            continue
        other = have is not None and one.context_length not in (0, have.context_length)
        if have is None or other or (one.digest in touched and (have.pinned != one.pinned or not _same_time(have, one))):
            loads.append(Back(name, one.digest, wanted, one.context_length if other else 0))
    return (*leave, *loads)


def _left(one: Loaded, now: datetime) -> int:
    try:
        return max(0, round((parse_time(one.expires_at) - now).total_seconds()))
    except ValueError:
        # Of a time that cannot be read nothing is known but that it was loaded; five minutes are Ollama's own default.
        return 300


def _same_time(have: Loaded, before: Loaded) -> bool:
    """Tell whether a model that leaves by itself would leave when it would have left; to five seconds."""
    if have.pinned or before.pinned:
        return have.pinned == before.pinned
    try:
        return abs((parse_time(have.expires_at) - parse_time(before.expires_at)).total_seconds()) <= 5
    except ValueError:
        return True


def _name(installed: Iterable[Installed], one: Loaded) -> str:
    """Return a name by which the model can be asked for: its own, while that still means the same, else another one."""
    names = sorted(model.name for model in installed if model.digest == one.digest)
    return one.name if one.name in names else names[0] if names else ""


# Figures. ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """The middle of some values and how far they spread; `mad` is the median of the distances from the median."""

    median: float
    minimum: float
    maximum: float
    mad: float
    runs: int


def figure(values: Iterable[Optional[float]]) -> Optional[Figure]:
    """Return the figure of the values that are there, None when there is none."""
    given = [value for value in values if value is not None]
    if not given:
        return None
    middle = statistics.median(given)
    spread = statistics.median(abs(value - middle) for value in given)
    return Figure(_short(middle), _short(min(given)), _short(max(given)), _short(spread), len(given))


def _short(value: float) -> float:
    """Cut what nobody measured: four digits behind the point."""
    return round(value, 4)


def figures(runs: Sequence[Run], load_seconds: Optional[float]) -> dict[str, Any]:
    """Return the figures of one model; runs that were disturbed count only where there is no other."""
    sound = [run for run in runs if not run.disturbed] or list(runs)
    load = None if load_seconds is None else figure([load_seconds])
    found = {
        "generation_tokens_per_second": figure(run.generation for run in sound),
        "prompt_tokens_per_second": figure(run.prompt for run in sound),
        "first_token_seconds": figure(run.first_token_seconds for run in sound),
        "load_seconds": load,
    }
    return {name: None if one is None else asdict(one) for name, one in found.items()}


def why_not_comparable(now: Mapping[str, Any], last: Mapping[str, Any]) -> list[str]:
    """Say what is not the same as last time, so that a difference of figures says nothing of the Mac."""
    reasons = []
    if now.get("digest") != last.get("digest"):
        reasons.append(f"the model is another ({str(last.get('digest'))[:12]} before)")
    if now.get("ollama_version") != last.get("ollama_version"):
        reasons.append(f"Ollama is another ({last.get('ollama_version')} before)")
    if now.get("context_length") != last.get("context_length"):
        reasons.append(f"the context is another ({last.get('context_length')} before)")
    settings, before = now.get("settings") or {}, last.get("settings") or {}
    reasons += [f"{key} is another" for key in COMPARED_SETTINGS if settings.get(key) != before.get(key)]
    return reasons


def compare(now: Mapping[str, Any], last: Optional[Mapping[str, Any]]) -> Optional[dict[str, Any]]:
    """Hold a result against the one before it, None without one: `ratios` (above 1 is better) and the figures that are `worse`.

    Worse is a figure by more than ten percent whose median lies outside what was seen last time, and the other way round.
    """
    if not last:
        return None
    reasons = why_not_comparable(now, last)
    ratios: dict[str, Optional[float]] = {}
    worse = []
    for name, more_is_better in FIGURES.items():
        mine, other = now.get(name), last.get(name)
        ratio = None
        if not reasons and mine and other and mine["median"] > 0 and other["median"] > 0:
            quotient = mine["median"] / other["median"] if more_is_better else other["median"] / mine["median"]
            ratio = _short(quotient)
            if _is_worse(name, mine, other, quotient):
                worse.append(name)
        ratios[name] = ratio
    return {"made_at": last.get("made_at"), "not_comparable": reasons, "ratios": ratios, "worse": worse}


def _is_worse(name: str, mine: Mapping[str, float], other: Mapping[str, float], quotient: float) -> bool:
    apart = not (other["minimum"] <= mine["median"] <= other["maximum"] or mine["minimum"] <= other["median"] <= mine["maximum"])
    far = abs(mine["median"] - other["median"]) >= FLOORS.get(name, 0)
    return apart and far and quotient < 1 - WORSE_PERCENT / 100


# While it runs. ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """How far the whole is: `units` requests are planned, `done` are over, `seconds` they took."""

    units: int
    done: int = 0
    seconds: float = 0.0

    def after(self, seconds: float, units: int = 1) -> Course:
        """Return the course once that is over."""
        return Course(self.units, min(self.units, self.done + units), self.seconds + seconds)

    def line(self, model: str, what: str, speed: Optional[float] = None) -> str:
        """Return one line for a terminal."""
        text = f"{model}: {what}"
        if speed is not None:
            text += f", {speed:.1f} tokens/s"
        if not self.done:
            return text
        return f"{text}, {duration((self.units - self.done) * self.seconds / self.done)} left"


TEXT = (
    "the harbour wakes before dawn when nets are mended and boats are counted while a keeper writes weather wind and tide into"
    " his book so that nobody who sails past the rocks must guess how deep the water is or whether the fog will lift"
)


def prompt(salt: str, words: int) -> str:
    """Return a prompt of so many words that begins like no other.

    A server keeps what it has evaluated and evaluates a prompt only from where it differs, so one that begins like one before it
    would be measured as far too fast. Its count would not show that: Ollama 0.32.15 counts the whole (observed).
    """
    text = TEXT.split()
    body = [text[place % len(text)] for place in range(max(0, words - 24))]
    return (
        f"Note {salt}. {' '.join(body)} Now write a long story about a lighthouse and the people who keep it, in many paragraphs."
    )
