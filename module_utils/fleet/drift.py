"""Drift: what a run would do, as a report. The steps are those of the plan that the roles act on; nothing is described twice.

Asked and found equal is one thing, not asked another: a concern that could not be read, a host that is away and a part of which
the inventory wants nothing are told apart from what is in sync.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .drift_history import History, Key, advance
from .drift_ignores import Ignore, ignored
from .plan import CONCERNS
from .vocabulary import plain

SCHEMA = "ollama-fleet/drift"
SCHEMA_VERSION = 1

CLIENTS = "clients"
"""The concern of the files of client programs, which are on machines without a server too."""

ALL_CONCERNS = (*CONCERNS, CLIENTS)

Outcome = Literal["asked", "away", "not_asked", "error"]
"""`away`: it answers nowhere and may; `not_asked`: it does not answer or runs no module; `error`: a fault of this side."""

ConcernStatus = Literal["in_sync", "drift", "ignored", "not_checked", "not_ours"]
HostStatus = Literal["in_sync", "drift", "not_checked", "away", "error"]
"""`away` is a host that is away and accepted so; it says nothing of what is on it."""


@dataclass(frozen=True)
class Drift:
    """One thing that is not as it should be: a step that a run would take, or what no step mends (`action` is then "").

    `since` is when a report first named it, `in_sync_before` when one last found its concern in sync, "" for never; it began in
    between. `ignored` is the reason why it does not count, "" where it does.
    """

    concern: str
    action: str
    item: str
    found: Any
    wanted: Any
    why: str
    remedy: str = ""
    since: str = ""
    in_sync_before: str = ""
    ignored: str = ""

    def key(self, host: str) -> Key:
        """Return what it is remembered by."""
        return Key(host, self.concern, self.action, self.item)


@dataclass(frozen=True)
class Concern:
    """One concern of one host. `why` completes `not_checked`; `open` are single questions of it that nobody answered."""

    concern: str
    status: ConcernStatus
    why: str = ""
    in_sync_at: str = ""
    open: tuple[str, ...] = ()


@dataclass(frozen=True)
class Host:
    """One host of the report. `findings` are what a person should read and is no drift."""

    host: str
    outcome: Outcome
    status: HostStatus
    why: str = ""
    concerns: tuple[Concern, ...] = ()
    drifts: tuple[Drift, ...] = ()
    findings: tuple[Mapping[str, Any], ...] = ()

    def counted(self) -> tuple[Drift, ...]:
        """Return the drifts that nobody has asked to ignore."""
        return tuple(drift for drift in self.drifts if not drift.ignored)


@dataclass(frozen=True)
class Rules:
    """How hosts are counted: `accept_away` lets those be away that may, `strict` takes an open question for not checked."""

    accept_away: bool = False
    strict: bool = False


def host_of(host: str, look: Mapping[str, Any], ignores: Sequence[Ignore], today: str, rules: Rules = Rules()) -> Host:
    """Judge one look (`fleet_plan_look`, and its `clients` where the files of client programs were compared)."""
    outcome: Outcome = look["outcome"]
    if outcome == "error":
        return Host(host, outcome, "error", look["why"])
    if outcome != "asked":
        accepted = outcome == "away" and rules.accept_away
        return Host(host, outcome, "away" if accepted else "not_checked", look["why"])
    judgement = look.get("judgement") or {}
    drifts = [*_steps(judgement), *_unmended(judgement), *_client_drifts(look.get("clients") or {})]
    drifts = [replace(drift, ignored=ignored(ignores, drift.key(host), today)) for drift in drifts]
    concerns = tuple(_concern(name, judgement, look.get("clients"), drifts) for name in _concerns_asked(look))
    findings = tuple(one for one in judgement.get("findings") or () if one["severity"] != "error")
    return Host(host, outcome, _status(concerns, rules), "", concerns, tuple(drifts), findings)


def _steps(judgement: Mapping[str, Any]) -> list[Drift]:
    return [
        Drift(concern, step["action"], step["item"], step["found"], step["wanted"], step["why"])
        for concern in CONCERNS
        for step in (judgement.get("steps") or {}).get(concern, ())
    ]


def _unmended(judgement: Mapping[str, Any]) -> list[Drift]:
    """Return what keeps a run from succeeding: it is not as wanted, and no step makes it so."""
    return [
        Drift(one["concern"], "", one["item"], one["found"], one["wanted"], one["why"], one["remedy"])
        for one in judgement.get("findings") or ()
        if one["severity"] == "error"
    ]


def _client_drifts(clients: Mapping[str, Any]) -> list[Drift]:
    drifts = [
        Drift(CLIENTS, step["action"], step["item"], step["found"], step["wanted"], step["why"])
        for step in clients.get("steps") or ()
    ]
    if clients.get("refused"):
        drifts.append(Drift(CLIENTS, "", "own server", "there", "absent", clients["refused"]))
    return drifts


def _concerns_asked(look: Mapping[str, Any]) -> list[str]:
    return [*(CONCERNS if look.get("judgement") else ()), *([CLIENTS] if look.get("clients") is not None else [])]


def _concern(name: str, judgement: Mapping[str, Any], clients: Mapping[str, Any] | None, drifts: Iterable[Drift]) -> Concern:
    own = [drift for drift in drifts if drift.concern == name]
    unknown = (judgement.get("unknown") or {}).get(name, "") if name != CLIENTS else (clients or {}).get("unknown", "")
    not_ours = name in (judgement.get("not_ours") or ()) if name != CLIENTS else bool((clients or {}).get("not_ours"))
    open_questions = tuple(
        f"{one['item']}: {one['why']}"
        for one in judgement.get("findings") or ()
        if one["concern"] == name and one["found"] == "unknown" and one["severity"] != "error"
    )
    status: ConcernStatus = "in_sync"
    if any(not drift.ignored for drift in own):
        status = "drift"
    elif unknown:
        status = "not_checked"
    elif own:
        status = "ignored"
    elif not_ours:
        status = "not_ours"
    return Concern(name, status, unknown, open=open_questions)


def _status(concerns: Sequence[Concern], rules: Rules) -> HostStatus:
    found = {concern.status for concern in concerns}
    if "drift" in found:
        return "drift"
    if "not_checked" in found or (rules.strict and any(concern.open for concern in concerns)):
        return "not_checked"
    return "in_sync"


def judge(
    looks: Mapping[str, Mapping[str, Any]],
    ignores: Sequence[Ignore],
    history: History,
    now: str,
    rules: Rules = Rules(),
) -> tuple[tuple[Host, ...], History, tuple[Mapping[str, str], ...]]:
    """Return the hosts with since when each drift is known, the history after this report, and what has ended since the last one.

    `now` is ISO 8601 in UTC. What was not asked stays in the history as it was.
    """
    hosts = [host_of(host, look, ignores, now[:10], rules) for host, look in sorted(looks.items())]
    for host in hosts:
        seen = {concern.concern: concern.status for concern in host.concerns}
        history = advance(history, host.host, seen, [drift.key(host.host) for drift in host.drifts], now)
    dated = tuple(_dated(host, history) for host in hosts)
    ended = tuple(one for one in history.ended if one["ended"] == now)
    return dated, history, ended


def _dated(host: Host, history: History) -> Host:
    equal = history.in_sync.get(host.host, {})
    return replace(
        host,
        concerns=tuple(replace(one, in_sync_at=equal.get(one.concern, "")) for one in host.concerns),
        drifts=tuple(
            replace(one, since=history.open[one.key(host.host)], in_sync_before=equal.get(one.concern, "")) for one in host.drifts
        ),
    )


def counts(hosts: Sequence[Host]) -> dict[str, int]:
    """Return how many hosts there are of each status, and how many drifts count and do not."""
    return {
        "hosts": len(hosts),
        **{name: sum(host.status == name for host in hosts) for name in ("in_sync", "drift", "not_checked", "away", "error")},
        "drifts": sum(len(host.counted()) for host in hosts),
        "ignored": sum(len(host.drifts) - len(host.counted()) for host in hosts),
    }


def status_of(hosts: Sequence[Host]) -> str:
    """Return the word for the whole: an error is never drift, drift never silence, and nobody asked is not in sync."""
    found = {host.status for host in hosts}
    return next((word for word in ("error", "drift", "not_checked", "in_sync") if word in found), "not_checked")


def content(hosts: Sequence[Host], ended: Sequence[Mapping[str, str]], notes: Sequence[str], made_at: str) -> dict[str, Any]:
    """Return the report as it is written to drift.json; described in docs/reports.md. Where nothing is to be said it has null."""

    def row(value: Any) -> dict[str, Any]:
        return {key: None if one == "" and key not in ("found", "wanted") else one for key, one in plain(value).items()}

    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "status": status_of(hosts),
        "complete": all(host.outcome == "asked" for host in hosts)
        and not any(concern.status == "not_checked" or concern.open for host in hosts for concern in host.concerns),
        "counts": counts(hosts),
        "hosts": [
            {
                "host": host.host,
                "outcome": host.outcome,
                "status": host.status,
                "why": host.why or None,
                "concerns": [row(concern) for concern in host.concerns],
                "drifts": [row(drift) for drift in host.drifts],
                "findings": plain(host.findings),
            }
            for host in hosts
        ],
        "ended": plain(ended),
        "notes": list(notes),
    }


def unfinished(made_at: str, why: str) -> dict[str, Any]:
    """Return what stands in drift.json while a run is under way, so that one that breaks leaves no older answer behind."""
    return {**content((), (), (why,), made_at), "status": "error", "complete": False}
