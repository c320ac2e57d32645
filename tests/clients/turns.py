"""One question to a client whose first server is in trouble: who answered, what it said, how long it took."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.clients import programs, servers
from tests.clients.world import Result, Server, World, run

HERE = Path(__file__).parent
QUESTION = "Say pong."
KEY = "sk-loopback"
LIMIT = 420
"""Seconds for a turn. An idle machine needs some 20, of which the client's start is the most; one with two cores and other work
several times that."""
PATIENCE = {"openclaw": 15, "clawdbot": 20, "litellm": 6}
"""Seconds of timeout that stand in the place of the rendered ones where the server never answers: the rendered are minutes."""


@dataclass(frozen=True)
class Case:
    """A client program on a machine, and the state of the server it asks first."""

    program: str
    state: str
    client: str = "windows-msi"

    def __str__(self) -> str:
        return f"{self.program}-{self.state}" + ("" if self.client == "windows-msi" else f"-{self.client}")


@dataclass(frozen=True)
class Turn:
    """What came of it."""

    answered: str
    """The machine whose server gave the answer, as its log says; empty when none did."""
    text: str
    """What the person reads."""
    fallback: bool | None
    """Whether the client says that it fell back; None where it cannot tell."""
    provider: str
    """The provider that the client names."""
    asked: int
    """Requests that the first server noted."""
    status: int | None
    seconds: float
    stderr: str


def _impatient(program: str, text: str) -> str:
    """Shorten the timeouts of a file."""
    content, seconds = programs.document(text), PATIENCE[program]
    if program == "openclaw":
        for provider in content["models"]["providers"].values():
            provider["timeoutSeconds"] = seconds
    elif program == "clawdbot":
        content["agents"]["defaults"]["timeoutSeconds"] = seconds
    else:
        content["router_settings"]["timeout"] = seconds
    return json.dumps(content)


def places(case: Case) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Give the machines of the main chain in its order with the address each is asked at; and provider -> machine."""
    program = case.program if case.program == "clawdbot" else "openclaw"  # all are given the same chain
    known = programs.agents(next(iter(programs.rendered(case.client, program).values())))
    owners = {provider: servers.machine(case.client, where) for provider, where in known.providers.items()}
    order = dict.fromkeys(ref.partition("/")[0] for ref in known.chains["main"] if ref in known.ours)
    return [(owners[provider], servers.address(known.providers[provider])) for provider in order], owners


def world(case: Case, store: servers.Store, folder: Path) -> World:
    """Lay out the world of a case."""
    files = programs.rendered(case.client, "litellm" if case.program == "litellm-proxy" else case.program)
    if case.state == "silent" or (case.state == "asleep" and case.program != "clawdbot"):
        first = next(iter(files))
        files[first] = _impatient(case.program, files[first])
    home = folder / "home"
    machines, _ = places(case)
    running: list[Server] = []
    put: dict[str, str] = {f"home/{path}": text for path, text in files.items()}
    for host, place in machines:
        state = case.state if host == machines[0][0] else "well"
        if state not in ("refused", "asleep"):
            server, more = store.server(host, place, state, folder)
            running.append(server)
            put |= more
    command = _command(case, home)
    environment = programs.environment("python" if case.program.startswith("litellm") else case.program, home)
    if case.program == "litellm-proxy":
        # Without a key it does not start at all (1.106.2); the rendered file has none, since secrets are not the fleet's.
        proxy = programs.environment("litellm", home) | {"LITELLM_MASTER_KEY": KEY}
        config = str(home / programs.FILES["litellm"][0])
        words = ("--config", config, "--host", "127.0.0.1", "--port", "4000")
        running.append(Server("proxy", programs.command("litellm", *words), proxy, "http://127.0.0.1:4000/health/liveliness"))
        environment |= {"OPENAI_BASE_URL": "http://127.0.0.1:4000/v1", "OPENAI_API_KEY": KEY}
    asleep = [place for _, place in machines[:1] if case.state == "asleep"]
    awake = [place for _, place in machines if place not in asleep and place != "127.0.0.1"]
    return World(
        folder=str(folder), command=command, environment=environment, limit=LIMIT, files=put,
        addresses=awake, asleep=asleep, names=servers.names(), servers=running,
    )  # fmt: skip


def _command(case: Case, home: Path) -> list[str]:
    if case.program in ("openclaw", "clawdbot"):
        return programs.command(case.program, "agent", "--local", "--agent", "main", "-m", QUESTION, "--json")
    if case.program == "opencode":
        return programs.command("opencode", "run", QUESTION)
    if case.program == "litellm-proxy":
        return programs.command("python", str(HERE / "proxy_turn.py"), "fleet-main", QUESTION)
    config = str(home / programs.FILES["litellm"][0])
    return programs.command("python", str(HERE / "litellm_turn.py"), config, "fleet-main", QUESTION)


def take(case: Case, store: servers.Store, folder: Path) -> Turn:
    """Ask the question and read what came."""
    done = run(world(case, store, folder))
    machines, owners = places(case)
    gave = {host: servers.answers(done.logs.get(host, "")) for host, _ in machines}
    answered = [host for host, statuses in gave.items() if 200 in statuses]
    text, fallback, provider = _read(case, done)
    claimed = owners.get(provider, "")
    if claimed and answered and claimed != answered[-1]:
        raise AssertionError(f"{case}: the client names {claimed}, the servers' logs {answered}")
    first = len(gave[machines[0][0]])
    last = answered[-1] if answered else ""
    return Turn(last, text, fallback, provider, first, done.status, done.seconds, done.stderr)


def _read(case: Case, done: Result) -> tuple[str, bool | None, str]:
    """Read a client's own account: text, whether it fell back, the provider it names."""
    if case.program == "opencode":
        return (done.stdout or done.stderr).strip(), None, ""
    try:
        said = json.loads(done.stdout[done.stdout.index("{") :])
    except ValueError as error:
        raise AssertionError(f"{case}: status {done.status}, no JSON: {done.stdout[-500:]} {done.stderr[-1500:]}") from error
    if case.program.startswith("litellm"):
        return said.get("text") or said.get("error", ""), said.get("fallbacks", 0) > 0, ""
    text = " ".join(payload.get("text") or "" for payload in said.get("payloads", ()))
    trace = said["meta"].get("executionTrace")
    provider = trace["winnerProvider"] if trace else said["meta"]["agentMeta"]["provider"]
    return text, trace["fallbackUsed"] if trace else None, provider
