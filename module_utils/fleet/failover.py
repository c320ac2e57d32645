"""What becomes of the clients' fallback chains while a server is down: which walks show it, what they found, what it means.

A walk asks one hop after the other and goes on whatever went wrong. The programs do not all do that, so each walk is held against
what its program does with such a failure, as it was run: clawdbot 2026.1.24-3, openclaw 2026.9.6, litellm 1.106.2 and opencode
1.18.33.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .names import normalise
from .vocabulary import Finding, Severity, plain

SCHEMA, SCHEMA_VERSION = "ollama-fleet/failover", 1
CONCERN = "failover"

Verdict = Literal["answers", "ends", "slow", "no_chain", "exhausted", "unknown"]
"""What the program itself does: it comes to the answer, it ends the turn before, it gives up on the hop that answered, it has no
chain, nobody is left, or it was never seen with such a failure."""

FOUND = {
    "answered": "answered",
    "not_asked": "not asked",
    "http": "HTTP status",
    "silent": "took the connection and said nothing",
    "refused": "refused",
    "timed_out": "no connection in time",
    "reset": "reset",
    "no_route": "no route",
    "unresolved": "no such name",
    "broken": "no sound answer",
}
"""What may become of a hop, as the module fleet_chain says it."""

GOES_ON_STATUS = (401, 402, 403, 408, 429)
"""What clawdbot takes for a reason to fall back (agents/failover-error.js, 2026.1.24-3); every other status ends its turn."""

CLAWDBOT_CONNECT_SECONDS = 30.0
"""What clawdbot waits for a Mac that sleeps; 30 to 36 s were measured."""

WITHOUT_CHAIN = {"opencode": "Cannot connect to API", "openai_env": ""}
"""Programs that know one server, and what they say where that is known. opencode took 71 s to say it."""

SINGLE_HOP = "heartbeat"
"""The purpose for which no program takes more than one model."""


@dataclass(frozen=True)
class Hop:
    """One hop of a chain, as its client calls and reaches it. An external one is no server of this fleet."""

    ref: str
    external: bool = False
    host: str = ""
    model: str = ""
    url: str = ""
    network: str = ""
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class Chain:
    """The hops of one client's program for one purpose, first choice first."""

    client: str
    program: str
    purpose: str
    hops: tuple[Hop, ...]

    @property
    def id(self) -> str:
        """Return what tells it from the other chains of its client."""
        return f"{self.program}/{self.purpose}"

    @property
    def server(self) -> str:
        """Return the server that its first hop inside the fleet asks, "" where all are external."""
        return next((hop.host for hop in self.hops if not hop.external), "")

    def others(self, server: str) -> tuple[Hop, ...]:
        """Return the hops inside the fleet that another server answers."""
        return tuple(hop for hop in self.hops if not hop.external and hop.host != server)


@dataclass(frozen=True)
class Attempt:
    """One hop that was asked, or passed over as external."""

    ref: str
    found: str
    host: str = ""
    model: str = ""
    url: str = ""
    network: str = ""
    external: bool = False
    status: int | None = None
    error: str = ""
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """Say what became of it."""
        if self.found == "http":
            return f"HTTP {self.status}"
        return FOUND.get(self.found, self.found)


@dataclass(frozen=True)
class Walk:
    """A chain that was walked, with `down` taken down, or as it was where that is "". `answered` counts the attempts from 0."""

    chain: Chain
    down: str
    attempts: tuple[Attempt, ...]
    answered: int | None
    seconds: float

    @property
    def answer(self) -> Attempt | None:
        """Return the attempt that was answered."""
        return None if self.answered is None else self.attempts[self.answered]


@dataclass(frozen=True)
class Reaction:
    """What a program does with a failed hop: whether it goes on (None where nobody saw), after how long, and what it says."""

    goes_on: bool | None
    seconds: float | None = 0.0
    words: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the program itself would have done. `seconds` leaves out its own start and is None where that is not known."""

    verdict: Verdict
    ref: str = ""
    seconds: float | None = None
    words: str = ""


@dataclass(frozen=True)
class Client:
    """A machine whose chains are walked; `away` says why they were not."""

    name: str
    away: str = ""
    rounds: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Server:
    """A server that was to be taken down, and what became of it. `why_not` says why it was not, `why_absent` why it is not back.

    `planned` tells that it would have been, in check mode. `ended` is what ended its pause, `fault` what went wrong at its end.
    """

    name: str
    down: bool = False
    planned: bool = False
    why_not: str = ""
    optional: bool = False
    ended: str = ""
    absent_seconds: float | None = None
    ready_seconds: float | None = None
    residents: tuple[str, ...] = ()
    back: bool = False
    why_absent: str = ""
    fault: str = ""


# What is to be walked. ----------------------------------------------------------------------------------------------------


def chains_of(routes: Iterable[Mapping[str, Any]]) -> tuple[Chain, ...]:
    """Read the chains of the routes, in their order; empty ones are none. KeyError where a route lacks something."""
    chains = []
    for route in routes:
        limits = {provider["id"]: provider.get("timeout_seconds") for provider in route.get("providers") or ()}
        for purpose, hops in route["chains"].items():
            made = tuple(_hop(hop, limits) for hop in hops)
            if made:
                chains.append(Chain(str(route["client"]), str(route["program"]), str(purpose), made))
    return tuple(chains)


def _hop(hop: Mapping[str, Any], limits: Mapping[str, Any]) -> Hop:
    if hop.get("external"):
        return Hop(str(hop["ref"]), external=True, model=str(hop.get("model") or ""))
    limit = limits.get(str(hop.get("provider") or ""))
    return Hop(
        str(hop["ref"]), False, str(hop["host"]), str(hop["model"]), str(hop["url"]), str(hop.get("network") or ""),
        None if limit is None else float(limit),
    )  # fmt: skip


def servers_of(chains: Iterable[Chain]) -> tuple[str, ...]:
    """Return the servers at which chains begin, each once, in the order in which they appear."""
    return tuple(dict.fromkeys(chain.server for chain in chains if chain.server))


def trials(chains: Iterable[Chain], server: str) -> tuple[Chain, ...]:
    """Return the chains whose first hop inside the fleet goes away with this server."""
    return tuple(chain for chain in chains if chain.server == server)


def chosen(take_down: str | Sequence[str], chains: Sequence[Chain], servers: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return the servers that a person names to be taken down, and what is wrong with the names, "" when nothing is.

    `all` is every server at which a chain begins.
    """
    names = take_down.split(",") if isinstance(take_down, str) else list(take_down)
    named = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    begin = servers_of(chains)
    foreign = [server for server in begin if server not in servers]
    if foreign:
        return (), f"a chain begins at {', '.join(foreign)}, which is no server of this fleet ({', '.join(servers) or 'none'})"
    if "all" in named:
        return begin, ""
    unknown = [name for name in named if name not in begin]
    if unknown:
        return (), (
            f"failover_take_down: found {', '.join(unknown)}, allowed are all and the servers at which a chain begins,"
            f" {', '.join(begin) or 'none'}"
        )
    return named, ""


def questions(
    chains: Iterable[Chain], client: str, server: str, models: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Return what the module fleet_chain should walk on one client while `server` is down; all of its chains where that is "".

    `models` has the declared models of each server: a resident one is told to stay for good, or the request that loads it anew
    would give it five minutes (Ollama 0.32.15, observed).
    """
    residents = {
        (host, normalise(model["name"]))
        for host, declared in models.items()
        for model in declared
        if model.get("residency") == "resident"
    }
    asked = []
    for chain in chains:
        if chain.client != client or server not in ("", chain.server):
            continue
        hops = []
        for hop in chain.hops:
            shown = {"ref": hop.ref, "external": hop.external, "host": hop.host, "model": hop.model, "url": hop.url}
            made = {**shown, "network": hop.network}
            if not hop.external and (hop.host, normalise(hop.model)) in residents:
                made["keep_alive"] = "-1"
            hops.append(made)
        asked.append({"id": chain.id, "hops": hops})
    return asked


def plan_lines(chains: Sequence[Chain], down: Iterable[str], limit_seconds: int) -> list[str]:
    """Say which servers will be taken down, one after the other, and which chains that is about."""
    lines = []
    for server in down:
        purposes: dict[str, list[str]] = {}
        for chain in trials(chains, server):
            purposes.setdefault(f"{chain.client} {chain.program}", []).append(chain.purpose)
        walked = ", ".join(f"{who} ({', '.join(names)})" for who, names in purposes.items())
        lines.append(f"{server} goes down for at most {limit_seconds} s, for the chains of {walked}")
    return lines


# What a program makes of a failure. ---------------------------------------------------------------------------------------


def reaction(program: str, attempt: Attempt, limit: float | None) -> Reaction:
    """Return what a program does when this hop fails; `limit` is its own time for one attempt, None where it is not known."""
    if program in WITHOUT_CHAIN:
        return Reaction(False, None, WITHOUT_CHAIN[program] if attempt.found != "http" else attempt.error)
    if attempt.found == "broken":
        return Reaction(None, None)
    if program == "clawdbot":
        return _clawdbot(attempt)
    if program in ("openclaw", "litellm"):
        # openclaw with maxRetries 0, as its settings are written; it retries the same hop for up to 134 s otherwise.
        return Reaction(True, limit if attempt.found in ("timed_out", "silent") else attempt.seconds)
    return Reaction(None, None)


def _clawdbot(attempt: Attempt) -> Reaction:
    if attempt.found == "timed_out":
        return Reaction(True, CLAWDBOT_CONNECT_SECONDS)
    if attempt.found == "silent":
        # Nothing but agents.defaults.timeoutSeconds ends its wait.
        return Reaction(True, None)
    if attempt.found != "http":
        return Reaction(False, attempt.seconds, "Connection error.")
    said = attempt.error.lower()
    if attempt.status in GOES_ON_STATUS or "timeout" in said or "timed out" in said:
        return Reaction(True, attempt.seconds)
    prefix = "HTTP 404: " if attempt.status == 404 else f"{attempt.status} "
    return Reaction(False, attempt.seconds, f'{prefix}"{attempt.error}"')


def outcome(walk: Walk) -> Outcome:
    """Return what the program would have done on this walk, hop by hop. External hops are taken to fail, since nobody asked."""
    limits = {hop.ref: hop.timeout_seconds for hop in walk.chain.hops}
    program, spent = walk.chain.program, 0.0
    known = True
    for attempt in walk.attempts:
        limit = limits.get(attempt.ref)
        if attempt.found == "not_asked":
            continue
        if attempt.found == "answered":
            if limit is not None and program in ("openclaw", "litellm") and attempt.seconds > limit:
                return Outcome("slow", attempt.ref, None, f"it waits {limit:g} s and the answer took {attempt.seconds:.1f} s")
            return Outcome("answers", attempt.ref, round(spent + attempt.seconds, 3) if known else None)
        then = reaction(program, attempt, limit)
        if then.goes_on is None:
            return Outcome("unknown", attempt.ref, None, f"{attempt.words}: not seen with {program}")
        if not then.goes_on:
            return Outcome("no_chain" if program in WITHOUT_CHAIN else "ends", attempt.ref, None, then.words)
        known = known and then.seconds is not None
        spent += then.seconds or 0.0
    return Outcome("exhausted")


# What was found. ----------------------------------------------------------------------------------------------------------


def client_of(name: str, variables: Mapping[str, Any] | None) -> Client:
    """Describe a client by its variables: what it walked in this run, or why it did not."""
    if variables is None:
        return Client(name, f"{name} is no host of this inventory")
    rounds = tuple(variables.get("failover_rounds") or ())
    away = str(variables.get("fleet_address_away") or "")
    if not away and not rounds:
        away = f"{name} was not asked, since the run left it out or ended for it before"
    return Client(name, away, rounds)


def server_of(name: str, variables: Mapping[str, Any] | None) -> Server:
    """Describe a server that was to be taken down by its variables."""
    if variables is None:
        return Server(name, why_not=f"{name} is no host of this inventory")
    optional = bool(variables.get("fleet_plan_optional"))
    away = str(variables.get("fleet_address_away") or "")
    if away:
        return Server(name, why_not=away, optional=optional)
    asked = variables.get("failover_down")
    if not asked or asked.get("skipped"):
        why = f"{name} was not asked, since the run left it out, ended for it before, or another server was not back"
        return Server(name, why_not=why)
    if not asked.get("down"):
        why = str(asked.get("msg") or "").rstrip(".")
        return Server(
            name, planned=bool(asked.get("changed")), why_not="" if asked.get("changed") else why or "it did not say why"
        )
    ended, seen = variables.get("failover_up") or {}, variables.get("__failover_seen") or {}
    answers = seen.get("answers") or ()
    back = bool(answers) and all(answer.get("status") == 200 for answer in answers)
    silence = next((str(answer["error"]) for answer in answers if answer.get("error")), str(seen.get("msg") or "nobody saw it"))
    return Server(
        name,
        down=True,
        optional=optional,
        ended=str(ended.get("ended") or ""),
        absent_seconds=ended.get("absent_seconds"),
        ready_seconds=ended.get("ready_seconds"),
        residents=tuple(asked.get("residents") or ()),
        back=back,
        why_absent="" if back else silence.rstrip("."),
        fault=str(ended.get("msg") or "").rstrip(".") if ended.get("failed") or ended.get("unreachable") else "",
    )


def walks_of(client: Client, chains: Iterable[Chain]) -> list[Walk]:
    """Read what a client walked."""
    own = {chain.id: chain for chain in chains if chain.client == client.name}
    return [
        Walk(
            own[one["id"]],
            str(done["down"]),
            tuple(Attempt(**attempt) for attempt in one["attempts"]),
            one["answered"],
            float(one["seconds"]),
        )
        for done in client.rounds
        for one in done.get("walks") or ()
        if one["id"] in own
    ]


@dataclass(frozen=True)
class Proof:
    """All that was found: the chains, who walked them, and which servers went down for it."""

    chains: tuple[Chain, ...]
    clients: tuple[Client, ...]
    servers: tuple[Server, ...] = ()
    walks: tuple[Walk, ...] = ()

    @property
    def down(self) -> frozenset[str]:
        """Return the servers that really went down."""
        return frozenset(server.name for server in self.servers if server.down)


def proof_of(routes: Iterable[Mapping[str, Any]], variables: Mapping[str, Mapping[str, Any]], take_down: Sequence[str]) -> Proof:
    """Read all of it from the routes and the variables of the hosts."""
    chains = chains_of(routes)
    # Not get(): hostvars answers for a host that it does not know with something that is neither.
    known = {name: variables[name] for name in (*(chain.client for chain in chains), *take_down) if name in variables}
    clients = tuple(client_of(name, known.get(name)) for name in dict.fromkeys(chain.client for chain in chains))
    servers = tuple(server_of(name, known.get(name)) for name in take_down)
    return Proof(chains, clients, servers, tuple(walk for client in clients for walk in walks_of(client, chains)))


def findings(proof: Proof) -> tuple[Finding, ...]:
    """Return what somebody should read. Chains of one program with the same words are one finding."""
    found = [_away(client) for client in proof.clients if client.away]
    found += [one for client in proof.clients for one in _lost(client)]
    found += [one for server in proof.servers for one in _server(server)]
    for walk in proof.walks:
        if walk.down in ("", *proof.down):
            said = _walked(walk)
            found += [said] if said else []
    merged: dict[tuple[str, ...], Finding] = {}
    for one in found:
        program, _, purpose = one.item.partition("/")
        key = (one.host, program, one.severity, one.why, one.remedy)
        before = merged.get(key)
        merged[key] = one if before is None or not purpose else replace(before, item=f"{before.item}, {purpose}")
    return tuple(replace(one, item=one.item.replace("/", " ", 1)) for one in merged.values())


def _away(client: Client) -> Finding:
    return Finding(
        client.name, CONCERN, "client", "away", "asked", "note", f"its chains were not walked: {client.away.rstrip('.')}",
    )  # fmt: skip


def _lost(client: Client) -> list[Finding]:
    return [
        Finding(client.name, CONCERN, "client", "lost", "asked", "error",
                f"it could not be asked while {done['down'] or 'nobody'} was down: {str(done['lost']).rstrip('.')}",
                "look at the way to it and run this again")
        for done in client.rounds
        if done.get("lost")
    ]  # fmt: skip


def _server(server: Server) -> list[Finding]:
    if server.planned:
        return []
    if not server.down:
        severity: Severity = "warning" if server.optional else "error"
        why = f"it was not taken down, so nothing is proved about its chains: {server.why_not}"
        return [Finding(server.name, CONCERN, "server", "up", "taken down", severity, why)]
    found = []
    if not server.back:
        why = f"it was taken down and is not back: {server.why_absent}"
        remedy = "the Mac goes on trying by itself; look at launchctl print and at its log, then run site.yml"
        found.append(Finding(server.name, CONCERN, "server", "down", "up", "error", why, remedy))
    if server.fault:
        why = f"its pause did not end as it should: {server.fault}"
        found.append(Finding(server.name, CONCERN, "server", "a fault", "none", "error", why, "look at it, then run site.yml"))
    if server.ended not in ("", "released"):
        why = f"its pause ended otherwise than by the run ({server.ended}), so the last walks may have met it again"
        remedy = "raise failover_pause_seconds" if server.ended == "limit" else ""
        found.append(Finding(server.name, CONCERN, "server", server.ended, "released", "warning", why, remedy))
    return found


def _about(walk: Walk, found: str, wanted: str, severity: Severity, why: str, remedy: str = "") -> Finding:
    """Say something about a walk."""
    when = f"with {walk.down} down" if walk.down else "with every server as it is"
    return Finding(walk.chain.client, CONCERN, walk.chain.id, found, wanted, severity, f"{when} {why}", remedy)


def _walked(walk: Walk) -> Finding | None:
    """Say what is to be said about a walk: first whether anybody answered, then whether its program would have come to it."""
    answer = walk.answer
    if answer is None:
        return _unanswered(walk)
    if walk.down and answer.host == walk.down:
        return _about(
            walk, "answered", "down", "error", f"{walk.down} answered, so nothing is proved",
            "raise failover_pause_seconds, or look what else answers at that address",
        )  # fmt: skip
    if walk.down:
        return _program(walk, answer)
    said = _said(walk)
    why = f"the first choice does not answer ({said}); {answer.ref} does"
    return _about(walk, answer.ref, walk.attempts[0].ref, "warning", why) if said else None


def _said(walk: Walk) -> str:
    return "; ".join(f"{one.ref} {one.words}" for one in walk.attempts if one.found not in ("not_asked", "answered"))


def _unanswered(walk: Walk) -> Finding:
    chain, said = walk.chain, _said(walk)
    external = ", ".join(hop.ref for hop in chain.hops if hop.external)
    alone = not chain.others(walk.down)
    if external and alone:
        why = f"only {external} is left, which is outside the fleet and was not asked"
        return _about(walk, "external only", "an answer of the fleet", "note", why)
    if walk.down and chain.purpose == SINGLE_HOP and len(chain.hops) == 1:
        why = f"nobody is left: {chain.program} takes one model for this"
        return _about(walk, "nobody", "a second hop", "note", why)
    tail = f"; {external} is outside the fleet and was not asked" if external else ""
    remedy = "end the chain at another server" if walk.down and alone else "look at these servers"
    return _about(walk, "nobody", "an answer", "error", f"nobody answered: {said or 'nobody was asked'}{tail}", remedy)


def _program(walk: Walk, answer: Attempt) -> Finding | None:
    """Say where the program itself would not have come to the answer that the walk came to."""
    did, program = outcome(walk), walk.chain.program
    asked = f"{answer.ref} on {answer.host} answers"
    if did.verdict == "ends":
        return _about(
            walk, "ends the turn", "goes on", "warning", f"{asked}, and {program} says '{did.words}' and ends the turn before it",
            f"let {program} ask a LiteLLM proxy, or use openclaw, which goes on",
        )  # fmt: skip
    if did.verdict == "slow":
        return _about(
            walk, f"{answer.seconds:.1f} s", "in time", "warning", f"{asked}, and too late for {program}: {did.words}",
            "raise the provider's timeout_seconds, or keep that model resident",
        )  # fmt: skip
    if did.verdict == "no_chain":
        tail = f" and says '{did.words}'" if did.words else ""
        return _about(
            walk, "no chain", "a chain", "note", f"{asked}, and {program}, which has no chain, asks {did.ref} alone{tail}",
            f"let {program} ask a LiteLLM proxy, which has one",
        )  # fmt: skip
    if did.verdict == "unknown":
        return _about(walk, "unknown", "goes on", "note", f"{asked}; what {program} does is not known ({did.words})")
    return None


# For people and machines. -------------------------------------------------------------------------------------------------


def _walk_words(walk: Walk) -> str:
    answer = walk.answer
    if answer is not None:
        return f"{answer.ref} on {answer.host} in {walk.seconds:.2f} s"
    if all(one.found == "not_asked" for one in walk.attempts):
        return "outside the fleet, not asked"
    if walk.down and not walk.chain.others(walk.down):
        left = _external(walk.chain.hops)
        return f"only {left} left, not asked" if left else "nobody left!"
    return "nobody answered!"


def _external(hops: Iterable[Hop | Attempt]) -> str:
    """Count the external ones."""
    number = sum(hop.external for hop in hops)
    return f"{number} external hop{'s' if number > 1 else ''}" if number else ""


def _program_words(walk: Walk) -> str:
    did = outcome(walk)
    if did.verdict == "answers":
        if walk.attempts and walk.attempts[0].ref == did.ref:
            return "its first choice"
        if all(one.found in ("not_asked", "answered") for one in walk.attempts):
            return f"if {_external(walk.attempts)} before it fail"
        return "goes on" if did.seconds is None else f"goes on, about {did.seconds:.2f} s"
    return {
        "ends": f"ends the turn: {did.words}",
        "slow": f"gives up: {did.words}",
        "no_chain": f"has no chain{f': {did.words}' if did.words else ''}",
        "exhausted": "-",
        "unknown": "not known",
    }[did.verdict]


def table(proof: Proof) -> list[str]:
    """Return the lines of the table: what was down, who walked which chain, who answered, and what the program does itself."""
    order = ["", *(server.name for server in proof.servers)]
    rows: dict[tuple[str, ...], list[str]] = {}
    for walk in sorted(proof.walks, key=lambda one: order.index(one.down)):
        key = (walk.down or "-", walk.chain.client, walk.chain.program, _walk_words(walk), _program_words(walk))
        rows.setdefault(key, []).append(walk.chain.purpose)
    shown: list[tuple[str, ...]] = [("down", "client", "program", "chains", "walk", "the program itself")]
    shown += [(*who, ", ".join(purposes), words, own) for (*who, words, own), purposes in rows.items()]
    shown += [("-", client.name, "-", "-", "away, not walked", "-") for client in proof.clients if client.away]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in shown]
    return [*lines, *(_absence(server) for server in proof.servers if server.back and server.absent_seconds is not None)]


def _absence(server: Server) -> str:
    words = f"{server.name} was down for {server.absent_seconds:.1f} s"
    return (
        words if server.ready_seconds is None or not server.residents else f"{words}, its residents {server.ready_seconds:.1f} s"
    )


def report(proof: Proof, made_at: str | None = None) -> dict[str, Any]:
    """Return the report as plain data, as schemas/failover.schema.json describes it."""
    found = findings(proof)
    severities = {finding.severity for finding in found}
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "result": "errors" if "error" in severities else "warnings" if "warning" in severities else "ok",
        "clients": [{"name": client.name, "away": client.away or None} for client in proof.clients],
        "servers": [
            {
                "name": server.name,
                "taken_down": server.down,
                "why_not": server.why_not or None,
                "planned": server.planned,
                "ended": server.ended or None,
                "absent_seconds": server.absent_seconds,
                "ready_seconds": server.ready_seconds,
                "residents": list(server.residents),
                "back": server.back if server.down else None,
                "why_absent": server.why_absent or None,
                "fault": server.fault or None,
            }
            for server in proof.servers
        ],
        "walks": [_walk_report(walk) for walk in proof.walks],
        "findings": plain(found),
    }


def _walk_report(walk: Walk) -> dict[str, Any]:
    did, answer = outcome(walk), walk.answer
    return {
        "client": walk.chain.client,
        "program": walk.chain.program,
        "purpose": walk.chain.purpose,
        "down": walk.down or None,
        "answered_by": None if answer is None else {"ref": answer.ref, "host": answer.host, "hop": walk.answered},
        "seconds": walk.seconds,
        "attempts": [
            {
                "ref": one.ref,
                "host": one.host or None,
                "model": one.model or None,
                "url": one.url or None,
                "network": one.network or None,
                "external": one.external,
                "found": one.found,
                "http_status": one.status,
                "error": one.error or None,
                "seconds": one.seconds,
            }
            for one in walk.attempts
        ],
        "program_does": {
            "verdict": did.verdict,
            "ref": did.ref or None,
            "seconds": did.seconds,
            "words": did.words or None,
        },
    }
