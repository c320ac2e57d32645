"""How each Mac is, from one look at it: the figures as one row, and a word for its health with the reasons.

A row is plain data, documented in docs/reports.md. What is unknown is None and never counted as nothing; `unknown` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Optional

from . import packet_filter, power
from .models import parse_time
from .names import normalise
from .service import found_from_json
from .tailnet import tailnet_from_json
from .units import GB, bytes_of_gb, gb_text
from .verify import judge_server
from .vocabulary import Finding, Unknown, unknown_in

OK, ATTENTION, DOWN, AWAY, NOT_ASKED = "ok", "attention", "down", "away", "not_asked"
WORST_FIRST = (DOWN, NOT_ASKED, ATTENTION, AWAY, OK)
WORDS = {OK: "ok", ATTENTION: "attention", DOWN: "down", AWAY: "away", NOT_ASKED: "not asked"}

LOW_DISK_BYTES = 10 * GB
"""Less than this free is told: swap files are made on the same disk, up to 1 GiB each (macOS 14 to 26)."""

LARGEST = 10**18

PRESSURE = {1: "normal", 2: "warning", 4: "critical"}
"""kern.memorystatus_vm_pressure_level (xnu, bsd/kern/kern_memorystatus_notify.c)."""

FIREWALL = {0: "off", 1: "on", 2: "block_all"}

JOBS = (("residents", "ollama_residents"), ("heal", "healer"), ("logs", "log_rotation"))
"""The verb that leaves a heartbeat, and the concern that says how often it should."""

URGENT = (("tailscale_serve", "tailscale"),)
"""Warnings of the plan (concern, item) that somebody should look at now; the others are about how the fleet is set up."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Look:
    """One Mac as `fleet_plan_look` has it: `observation`, `desired` and `judgement` are there where it was asked.

    `budget` is the Mac as the report of the RAM budget draws it, `drift` what the last drift run said of it, `seen_at` when an
    earlier report saw it; None where there is none.
    """

    host: str
    outcome: str
    why: str = ""
    observation: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    desired: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    judgement: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    budget: Optional[Mapping[str, Any]] = None
    drift: Optional[Mapping[str, Any]] = None
    seen_at: Optional[str] = None

    def part(self, name: str) -> Any:
        """Return a part of the observation, None where it could not be read."""
        value = self.observation.get(name)
        return None if unknown_in(value) is not None else value

    def figure(self, name: str, key: str) -> Any:
        """Return one value of a part, None where the part or the value could not be read."""
        value = (self.part(name) or {}).get(key)
        return None if unknown_in(value) is not None else value


# The row. ---------------------------------------------------------------------------------------------------------------


def row(look: Look) -> Row:
    """Return one Mac as the report shows it, its health included. An observation of a strange shape is an error of the look."""
    try:
        return _row(look)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        why = f"what was observed could not be judged: {type(problem).__name__}: {problem}"
        return _row(Look(look.host, "error", why, drift=look.drift, seen_at=look.seen_at))


def _row(look: Look) -> Row:
    asked = look.outcome == "asked"
    made: Row = {
        "host": look.host,
        "outcome": look.outcome,
        "why": look.why,
        "observed_at": look.figure("machine", "observed_at") if asked else None,
        "seen_at": look.seen_at,
        "name": look.figure("machine", "name"),
        "macos_version": look.figure("machine", "macos_version") or None,
        "booted_at": look.figure("machine", "booted_at"),
        "last_drift": _last_drift(look.drift),
        **{name: read(look) if asked else None for name, read in SECTIONS.items()},
        "unknown": unread(look.observation) if asked else [],
    }
    made["seen_at"] = made["observed_at"] or look.seen_at
    made["uptime_seconds"] = seconds_between(made["booted_at"], made["observed_at"])
    reasons = [
        {"rule": rule.name, "health": rule.health, "sentence": sentence}
        for rule in RULES
        if asked == rule.asked
        for sentence in rule.says(Seen(look, made))
    ]
    made["health"] = reasons[0]["health"] if reasons else OK
    made["reasons"] = reasons
    made["notes"] = list(_notes(Seen(look, made))) if asked else []
    return made


def _ollama(look: Look) -> Row:
    installed, running = look.figure("homebrew", "linked") or None, look.figure("server", "version") or None
    pids = look.figure("listener", "pids") or []
    started = {one["pid"]: one["started"] for one in look.part("processes") or ()}
    start = next((started[pid] for pid in pids if started.get(pid)), None)
    addresses = look.figure("listener", "addresses")
    return {
        "installed_version": installed,
        "running_version": running,
        "stale": None if installed is None or running is None else _release(installed) != running,
        "answers": bool(running) if look.part("server") is not None else None,
        "bound": None if addresses is None else sorted({_bound(address) for address in addresses}),
        "started_at": start,
        "uptime_seconds": seconds_between(start, look.figure("machine", "observed_at")),
    }


def _release(keg: str) -> str:
    """Return the version of a keg: a revision of the formula (`0.32.15_1`) is the same Ollama."""
    return keg.partition("_")[0]


def _bound(address: str) -> str:
    return "*" if address in ("*", "0.0.0.0", "::", "[::]") else address.strip("[]")  # noqa: S104  compared, not bound


def _memory(look: Look) -> Row:
    loaded = _loaded(look)
    budget = look.budget or {}
    limits = ((look.desired.get("healer") or {}).get("settings") or {}).get("limits") or {}
    return {
        "memory_bytes": look.figure("machine", "memory_bytes") or None,
        "reserve_bytes": budget.get("reserve_bytes"),
        "ram_budget_bytes": budget.get("ram_budget_bytes"),
        "gpu_budget_bytes": budget.get("gpu_budget_bytes"),
        "resident_bytes": budget.get("resident_bytes"),
        "loaded_bytes": None if loaded is None else sum(model["size_bytes"] for model in loaded),
        "swap_used_bytes": look.figure("machine", "swap_used_bytes"),
        "swap_warn_bytes": _limit(limits.get("swap_warn_gb")),
        "swap_critical_bytes": _limit(limits.get("swap_critical_gb")),
        "pressure": PRESSURE.get(look.figure("machine", "pressure_level") or 0),
    }


def _limit(gigabytes: Any) -> Optional[int]:
    return None if gigabytes is None else bytes_of_gb(gigabytes, "limit", zero=True)


def _models(look: Look) -> Row:
    installed = look.figure("models", "installed")
    wanted = {normalise(model["name"]).lower() for model in look.desired["ollama_models"]["installed"]}
    return {
        "installed": None
        if installed is None
        else [
            {
                "name": model["name"],
                "digest": model["digest"][:12],
                "size_bytes": _size(model["size"]),
                "listed": model["name"].lower() in wanted,
            }
            for model in sorted(installed, key=lambda model: str(model["name"]))
        ],
        "loaded": _loaded(look),
    }


def _loaded(look: Look) -> Optional[list[Row]]:
    """Return what is in memory (`/api/ps`). `vram_percent` below 100 means that the rest is on the CPU, and swaps."""
    loaded = look.figure("models", "loaded")
    if loaded is None:
        return None
    residents = {normalise(name).lower() for name in _residents(look)}
    made = [_in_memory(model, residents) for model in loaded]
    return sorted(made, key=lambda model: (-model["size_bytes"], model["name"]))


def _in_memory(model: Mapping[str, Any], residents: Iterable[str]) -> Row:
    size, vram = _size(model["size"]), _size(model["size_vram"])
    return {
        "name": model["name"],
        "digest": model["digest"][:12],
        "size_bytes": size,
        "vram_bytes": vram,
        "vram_percent": 100 * min(vram, size) // size if size else None,
        "context": _size(model["context_length"]) or None,
        "stays": bool(model["pinned"]),
        "resident": model["name"].lower() in residents,
        "expires_at": None if model["pinned"] else model.get("expires_at") or None,
    }


def _size(value: int) -> int:
    """Return a size as one that can be drawn: what answers on the port may say anything."""
    return max(0, min(value, LARGEST))


def _residents(look: Look) -> list[str]:
    return [model["name"] for model in look.desired["ollama_models"]["installed"] if model.get("residency") == "resident"]


def _disk(look: Look) -> Row:
    return {"free_bytes": look.figure("machine", "disk_free_bytes"), "total_bytes": look.figure("machine", "disk_total_bytes")}


def _power(look: Look) -> Row:
    part = look.part("power")
    found = power.Found() if part is None else power.found_from_json(part)
    settings: Mapping[str, Any] = {} if isinstance(found.settings, Unknown) else found.settings
    system = settings.get(power.SYSTEM, {})
    disabled = system.get(power.DISABLE_SLEEP)
    return {
        "sources": None
        if isinstance(found.settings, Unknown)
        else [
            {
                "source": source,
                "sleep_minutes": settings[source].get("sleep"),
                "disksleep_minutes": settings[source].get("disksleep"),
                "autorestart": _switch(settings[source].get("autorestart")),
                "womp": _switch(settings[source].get("womp")),
            }
            for source in (power.AC, power.BATTERY, power.UPS)
            if source in settings
        ],
        "sleep_disabled": _switch(disabled),
        "gpu_wired_limit_mib": found.limit if isinstance(found.limit, int) else None,
    }


def _switch(value: Any) -> Optional[bool]:
    return None if value is None else bool(value)


def _firewall(look: Look) -> Row:
    rules = look.figure("firewall", "rules")
    keg = look.figure("homebrew", "program") or ""
    resolved = look.part("programs") or {}
    verdicts = [
        (rules or {}).get(resolved.get(program) or keg or program) for program in (look.desired.get("firewall") or {})["programs"]
    ]
    verdict = "block" if "block" in verdicts else "none" if None in verdicts or not verdicts else "allow"
    return {
        "managed": bool((look.desired.get("firewall") or {}).get("managed")),
        "state": FIREWALL.get(look.figure("firewall", "state")),
        "rule": None if rules is None else verdict,
    }


def _exposure(look: Look) -> Row:
    """Say who may reach the port, and whether pf had that in force when the fleet's job last asked it."""
    desired, part = look.desired.get("exposure") or {}, look.part("packet_filter")
    if not desired.get("managed"):
        return {"managed": False, "scope": None, "networks": [], "in_force": None}
    wanted = packet_filter.wanted_from_json(desired)
    state: Any = Unknown("not read") if part is None else packet_filter.found_from_json(part).state
    in_force = None
    if not isinstance(state, Unknown):
        in_force = state is not None and state.asked and not packet_filter.lacks(state, wanted)
    return {
        "managed": True,
        "scope": wanted.scope,
        "networks": [str(network) for network in wanted.networks] if wanted.scope == "lan" else [],
        "in_force": in_force,
    }


def _tailscale(look: Look) -> Row:
    part = look.part("tailscale")
    address = (look.desired.get("tailscale_serve") or {}).get("address") or None
    if part is None:
        return {"declared": address, "installed": None, "up": None, "state": None, "userspace": None, "addresses": None}
    found = tailnet_from_json(part)
    return {
        "declared": address,
        "installed": bool(found.variant),
        "up": found.running,
        "state": found.state or None,
        "userspace": found.userspace if found.running else None,
        "addresses": list(found.addresses),
    }


def _heartbeats(look: Look) -> list[Row]:
    """Return for each job whether it lives: `late` is older than twice its interval, and than twice as long since the start."""
    beats = look.part("heartbeats")
    now = look.figure("machine", "observed_at")
    up = seconds_between(look.figure("machine", "booted_at"), now)
    made = []
    for verb, concern in JOBS:
        desired = look.desired.get(concern) or {}
        wanted = _is_wanted(look, concern, desired)
        at = (beats or {}).get(verb)
        unreadable = beats is None or unknown_in(at) is not None
        at = None if unreadable else at
        age = seconds_between(at, now)
        interval = desired.get("interval")
        state = "on_time"
        if not wanted:
            state = "not_wanted"
        elif unreadable or (at is not None and age is None):
            state = "unknown"
        elif at is None:
            state = "never"
        elif age is not None and interval and min(age, up if up is not None else age) > 2 * interval:
            state = "late"
        made.append({"job": verb, "at": at, "age_seconds": age, "interval_seconds": interval, "state": state})
    return made


def _is_wanted(look: Look, concern: str, desired: Mapping[str, Any]) -> bool:
    if not desired.get("managed"):
        return False
    if concern == "ollama_residents":
        return bool(_residents(look))
    return bool(desired["settings"].get("enabled", True))


def _drift(look: Look) -> Row:
    steps = look.judgement.get("steps") or {}
    return {
        "steps": sum(len(of) for of in steps.values()),
        "concerns": [
            {"concern": concern, "steps": [f"{step['action']} {step['item']}" for step in of]} for concern, of in steps.items()
        ],
        "unknown": [
            {"part": concern, "reason": str(reason)} for concern, reason in (look.judgement.get("unknown") or {}).items()
        ],
    }


SECTIONS: Mapping[str, Callable[[Look], Any]] = {
    "ollama": _ollama,
    "memory": _memory,
    "models": _models,
    "disk": _disk,
    "power": _power,
    "firewall": _firewall,
    "exposure": _exposure,
    "tailscale": _tailscale,
    "heartbeats": _heartbeats,
    "drift": _drift,
}
"""What a row holds of a Mac that was asked, and None of one that was not."""

SHOWN_PARTS = (
    "homebrew", "server", "listener", "models", "machine", "power", "firewall", "packet_filter", "tailscale", "launchd",
    "processes", "heartbeats",
)  # fmt: skip


def unread(observation: Mapping[str, Any]) -> list[Row]:
    """Return what of the shown could not be read, as `part` and `reason`; one level deep, as observations have it."""
    found = []
    for name in SHOWN_PARTS:
        part = observation.get(name, {"unknown": "not observed"})
        reasons = {name: unknown_in(part)}
        if reasons[name] is None and isinstance(part, Mapping):
            reasons = {f"{name}.{key}": unknown_in(value) for key, value in part.items()}
        found += [{"part": key, "reason": reason.reason} for key, reason in reasons.items() if reason is not None]
    return found


def _last_drift(last: Optional[Mapping[str, Any]]) -> Optional[Row]:
    """Return what the last drift run said of this Mac, without what is ignored; None where it said nothing that can be read."""
    if not isinstance(last, Mapping):
        return None
    listed = last.get("drifts")
    drifts = [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, Mapping) and not one.get("ignored")]
    since = sorted(str(one["since"]) for one in drifts if one.get("since"))
    return {
        "made_at": _word(last.get("made_at")),
        "status": _word(last.get("status")),
        "drifts": len(drifts),
        "since": since[0] if since else None,
    }


def _word(value: Any) -> Optional[str]:
    return None if value is None else str(value)


# Its health. ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A Mac before the rules: the look, and the row that was made of it."""

    look: Look
    row: Row


@dataclass(frozen=True)
class Rule:
    """A rule of the table: what it `says` are sentences, and each is a reason for its word. `asked` is False for other Macs."""

    health: str
    name: str
    says: Callable[[Seen], Iterable[str]]
    asked: bool = True


def _not_asked(seen: Seen) -> Iterable[str]:
    if seen.look.outcome != "away":
        fault = "a fault on this side: " if seen.look.outcome == "error" else ""
        yield f"{fault}{seen.look.why or 'it could not be asked'}"


def _away(seen: Seen) -> Iterable[str]:
    if seen.look.outcome == "away":
        yield seen.look.why or "it does not answer and may be away"


def _silent(seen: Seen) -> Iterable[str]:
    if seen.row["ollama"]["answers"] is False:
        yield f"nobody answers on its port; {_job_words(seen.look)}"
    elif seen.row["ollama"]["answers"] is None:
        reason = unknown_in(seen.look.observation.get("server"))
        yield f"Ollama could not be asked: {'not observed' if reason is None else reason.reason}; {_job_words(seen.look)}"


def _job_words(look: Look) -> str:
    """Say how launchd sees the service."""
    part, desired = look.part("launchd"), look.desired["ollama_service"]
    if part is None:
        return "launchd could not be asked"
    job = next((one for one in found_from_json(part).jobs if one.label == desired["label"]), None)
    if job is None:
        return f"launchd has no job {desired['label']}"
    if job.pid is not None:
        return f"launchd runs {desired['label']} as process {job.pid}"
    return f"{desired['label']} is {job.state or 'not running'}, {job.last_exit or 'and launchd does not say why'}"


def _stale(seen: Seen) -> Iterable[str]:
    ollama = seen.row["ollama"]
    if ollama["stale"]:
        yield f"Ollama {ollama['running_version']} runs, {ollama['installed_version']} is installed: it was not restarted"


def _serves_otherwise(seen: Seen) -> Iterable[str]:
    """Hold the Mac against what it should serve: bound, running settings, models; not said of a server that is down."""
    if seen.row["ollama"]["answers"]:
        for finding in judge_server(seen.look.host, seen.look.desired, seen.look.observation):
            if finding.severity == "error" and finding.found != "unknown":
                yield f"{finding.item}: {finding.why}"


def _spilled(seen: Seen) -> Iterable[str]:
    for model in seen.row["models"]["loaded"] or ():
        if model["vram_percent"] is not None and model["vram_bytes"] < model["size_bytes"]:
            rest = gb_text(model["size_bytes"] - model["vram_bytes"])
            yield f"{model['name']}: {rest} of {gb_text(model['size_bytes'])} are not on the GPU and will swap"


def _pressed(seen: Seen) -> Iterable[str]:
    if seen.row["memory"]["pressure"] in ("warning", "critical"):
        yield f"memory pressure is {seen.row['memory']['pressure']}"


def _swaps(seen: Seen) -> Iterable[str]:
    """Swap above the critical limit; above the lower one it counts with pressure only, since used swap stays long after.

    Pages come back only when they are touched (xnu, osfmk/vm/vm_compressor_backing_store.c).
    """
    memory = seen.row["memory"]
    used, warn, critical = (memory[f"swap_{name}_bytes"] for name in ("used", "warn", "critical"))
    if used is None:
        return
    if critical is not None and used > critical:
        yield f"swap is {gb_text(used)}, the limit is {gb_text(critical)}"
    elif warn is not None and used > warn and memory["pressure"] != "normal":
        yield f"swap is {gb_text(used)}, more than {gb_text(warn)}, and memory is under pressure"


def _full(seen: Seen) -> Iterable[str]:
    free = seen.row["disk"]["free_bytes"]
    if free is not None and free < LOW_DISK_BYTES:
        yield f"{gb_text(free)} are free on the disk of the models, and swap files need room there too"


def _unguarded(seen: Seen) -> Iterable[str]:
    if seen.row["exposure"]["in_force"] is False:
        yield f"the packet filter does not keep the scope {seen.row['exposure']['scope']}: others may reach the port"


def _urgent(finding: Mapping[str, Any]) -> bool:
    return finding["severity"] == "error" or (
        finding["severity"] == "warning" and (finding["concern"], finding["item"]) in URGENT
    )


def _told(seen: Seen) -> Iterable[str]:
    for finding in seen.look.judgement.get("findings") or ():
        if _urgent(finding):
            yield _sentence(finding)


def _sentence(finding: Mapping[str, Any]) -> str:
    return Finding(**{**finding, "host": ""}).sentence()[2:].rstrip(".")


def _drifted(seen: Seen) -> Iterable[str]:
    drift = seen.row["drift"]
    if drift["steps"]:
        parts = [f"{one['concern']} ({', '.join(_few(one['steps']))})" for one in drift["concerns"]]
        yield f"{count(drift['steps'], 'step')} away from the inventory: {', '.join(parts)}"
    for one in drift["unknown"]:
        yield f"whether {one['part']} drifted could not be read: {one['reason']}"


def _few(names: Sequence[str], most: int = 3) -> list[str]:
    return [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]


def _heart(seen: Seen) -> Iterable[str]:
    for beat in seen.row["heartbeats"]:
        if beat["state"] == "late":
            every = ago(beat["interval_seconds"])
            yield f"the job {beat['job']} is late: it last ran {ago(beat['age_seconds'])} ago, and should every {every}"
        elif beat["state"] == "never":
            yield f"the job {beat['job']} has never run"


RULES = (
    Rule(NOT_ASKED, "not-asked", _not_asked, asked=False),
    Rule(AWAY, "away", _away, asked=False),
    Rule(DOWN, "silent", _silent),
    Rule(ATTENTION, "pressure", _pressed),
    Rule(ATTENTION, "swap", _swaps),
    Rule(ATTENTION, "not-on-gpu", _spilled),
    Rule(ATTENTION, "exposure", _unguarded),
    Rule(ATTENTION, "serves", _serves_otherwise),
    Rule(ATTENTION, "stale", _stale),
    Rule(ATTENTION, "finding", _told),
    Rule(ATTENTION, "disk", _full),
    Rule(ATTENTION, "heartbeat", _heart),
    Rule(ATTENTION, "drift", _drifted),
)
"""The table: worst first, so the word of a Mac is that of its first reason."""


def _notes(seen: Seen) -> Iterable[str]:
    """Say what does not change the word: how the fleet is set up, swap of an hour ago, parts that could not be read."""
    memory = seen.row["memory"]
    used, warn = memory["swap_used_bytes"], memory["swap_warn_bytes"]
    if used is not None and warn is not None and used > warn and not any(one["rule"] == "swap" for one in seen.row["reasons"]):
        yield f"swap is {gb_text(used)}, more than {gb_text(warn)}, without pressure: it stays until its pages are touched"
    for finding in seen.look.judgement.get("findings") or ():
        if finding["severity"] == "warning" and not _urgent(finding):
            yield _sentence(finding)
    for one in seen.row["unknown"]:
        yield f"{one['part']} could not be read: {one['reason']}"


# The fleet. -------------------------------------------------------------------------------------------------------------


def fleet_status(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the worst word of all Macs, `empty` where there is none."""
    words = {one["health"] for one in rows}
    return next((word for word in WORST_FIRST if word in words), "empty")


def counted(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how many Macs are how."""
    healths = [one["health"] for one in rows]
    words = [f"{healths.count(word)} {WORDS[word]}" for word in (OK, *WORST_FIRST[:-1]) if word in healths]
    return f"{count(len(healths), 'Mac')}{': ' if words else ''}{', '.join(words)}"


def verdict(made: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, strict: bool) -> dict[str, str]:
    """Return how the run ends for one Mac: `state` is ok, wrong, not_asked or error, `said` the sentence of it.

    A status is an answer whatever it says, so only strict ones end otherwise, and one that asked nobody.
    """
    nobody = not any(one["outcome"] == "asked" for one in rows)
    said = "; ".join(reason["sentence"] for reason in made["reasons"])
    if made["outcome"] == "error" and (strict or nobody):
        return {"state": "error", "said": said}
    if nobody or (strict and made["health"] == NOT_ASKED):
        return {"state": "not_asked", "said": said}
    if strict and made["health"] in (DOWN, ATTENTION):
        return {"state": "wrong", "said": said}
    return {"state": "ok", "said": ""}


# Words. -----------------------------------------------------------------------------------------------------------------


def seconds_between(start: Any, end: Any) -> Optional[int]:
    """Return the whole seconds between two times in ISO 8601, None where one is unknown; never below zero."""
    try:
        return max(0, int((_moment(end) - _moment(start)).total_seconds()))
    except (ValueError, TypeError, AttributeError):
        return None


def _moment(text: Any) -> datetime:
    return parse_time(text)


def ago(seconds: Optional[int]) -> str:
    """Return a length of time in its two largest units."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def count(number: int, word: str) -> str:
    """Return a number and its word, with an s where there are none or many."""
    return f"{number} {word}{'' if number == 1 else 's'}"
