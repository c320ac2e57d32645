"""What a run changed, why, and how long it took: said at its end, and kept as run.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .progress import duration
from .shown import harmless

SCHEMA = "ollama-fleet/run"
SCHEMA_VERSION = 1

SHOWN = 4
"""So many steps of a task are said at the end of a run; the file has all."""


@dataclass(frozen=True)
class Change:
    """A task that changed something, or would in check mode: its role, its name, its steps, and its seconds."""

    concern: str
    task: str
    seconds: float
    steps: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class HostRun:
    """What a run did on one host. `status` is ok, failed, unreachable or away, `why` a sentence for the latter three."""

    host: str
    status: str
    why: str
    seconds: float
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run of a playbook; moments are ISO 8601 in UTC."""

    playbook: str
    check_mode: bool
    began_at: str
    ended_at: str
    seconds: float
    hosts: tuple[HostRun, ...] = ()

    @property
    def status(self) -> str:
        """Return the worst of the hosts: failed, unreachable, changed or ok."""
        found = {host.status for host in self.hosts}
        for word in ("failed", "unreachable"):
            if word in found:
                return word
        return "changed" if any(host.changes for host in self.hosts) else "ok"


def content(run: Run) -> dict[str, Any]:
    """Return the report as it is written to run.json; described in docs/reports.md."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_at": run.ended_at,
        "began_at": run.began_at,
        "seconds": round(run.seconds, 1),
        "playbook": run.playbook,
        "check_mode": run.check_mode,
        "status": run.status,
        "hosts": [
            {
                "host": host.host,
                "status": host.status,
                "why": host.why or None,
                "seconds": round(host.seconds, 1),
                "changes": [
                    {
                        "concern": change.concern,
                        "task": change.task,
                        "seconds": round(change.seconds, 1),
                        "steps": [
                            {name: step.get(name) for name in ("action", "item", "found", "wanted", "why")}
                            for step in change.steps
                        ],
                    }
                    for change in host.changes
                ],
            }
            for host in run.hosts
        ],
    }


def lines(run: Run) -> list[str]:
    """Return what is said at the end of a run: one line where nothing changed, else what, why and how long."""
    would = "would change" if run.check_mode else "changed"
    changed = [host for host in run.hosts if host.changes]
    number = sum(_size(host) for host in changed)
    took = duration(run.seconds)
    what = (
        f"{number} thing{'s' if number > 1 else ''} on {len(changed)} of {len(run.hosts)}"
        if changed
        else f"nothing on {len(run.hosts)}"
    )
    head = f"{run.playbook} {would} {what} hosts in {took}"
    said = [head]
    for host in run.hosts:
        if host.status in ("failed", "unreachable"):
            said.append(f"{harmless(host.host)} {host.status}: {harmless(host.why)}")
        if host.changes:
            said += _host(host)
    return said


def _size(host: HostRun) -> int:
    return sum(len(change.steps) or 1 for change in host.changes)


def _host(host: HostRun) -> list[str]:
    said = [f"{harmless(host.host)}"]
    for change in host.changes:
        said.append(f"  {harmless(change.concern)} ({duration(change.seconds)})")
        steps = [_step(step) for step in change.steps] or [f"    {harmless(change.task)}"]
        # One line is no shorter than the line that says that it is left out.
        shown = len(steps) if len(steps) <= SHOWN + 1 else SHOWN
        said += steps[:shown]
        if shown < len(steps):
            said.append(f"    and {len(steps) - shown} more")
    return said


def _step(step: Mapping[str, Any]) -> str:
    why = f", because {harmless(step['why'])}" if step.get("why") else ""
    found, wanted = (_value(step.get(name)) for name in ("found", "wanted"))
    return f"    {harmless(step['action'])} {harmless(step['item'])}: {found} -> {wanted}{why}"


def _value(value: Any) -> str:
    return harmless(value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str), 100)


def ordered(hosts: Sequence[HostRun]) -> tuple[HostRun, ...]:
    """Return the hosts by name."""
    return tuple(sorted(hosts, key=lambda host: host.host))
