"""docs/clients-failover.md: what the real clients did, as a run of the tests measured it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.clients.programs import ROOT
from tests.clients.servers import STATES
from tests.clients.turns import PATIENCE, Case, Turn

PAGE = ROOT / "docs/clients-failover.md"
TITLES = {"openclaw": "OpenClaw", "clawdbot": "Clawdbot", "litellm": "LiteLLM", "opencode": "opencode"}
_SECONDS = "## Seconds"
TEXT = """\
# What the clients do when a server fails

Written by `pytest tests/clients --record`, compared by every `make test-clients`. The programs are real, at the versions
below; the servers are the lab's stand-in of Ollama 0.32.15. It ran on Linux, in a network of its own for each turn, with
the fleet's addresses on the loopback interface. The files are those of `windows-msi` as rendered: the chain `main`, first
`qwen3:8b` on the Mac mini, then `qwen3:8b` on the MacBook. Who answered is read from the servers' logs. Not shown: macOS
and Windows themselves, the heartbeat of a gateway, the turn of a sub-agent.

{outcomes}

- OpenClaw asks a server that fails once and goes on, because `settings.json` says `maxRetries: 0`. Every turn begins at
  the first server again and pays for its silence again.
- Clawdbot takes a timeout for a reason to go on, and none of the other troubles; the error is then the answer's text, and
  the exit status 0.
- OpenClaw on the Mac mini, whose own server is not running: {own} answers.
- The proxy of LiteLLM, asked for `fleet-main` while nobody listens at the first server: {proxy} answers. The proxy
  starts only with a `LITELLM_MASTER_KEY` in its environment.
- {opencode} has no chain: while nobody listens at its server it ends with exit status {status}.

## Seconds

The whole command, its start included, on the machine that wrote this page; OpenClaw and Clawdbot take some 20 s of two idle
cores. Where the first server is silent, shorter timeouts stand in the place of the rendered minutes: {openclaw_timeout} s
(OpenClaw), {clawdbot_timeout} s (Clawdbot, where the connection is accepted) and {litellm_timeout} s (LiteLLM). The 30 s that
Clawdbot waits for an address that stays silent are its own.

{seconds}
"""


def _outcome(turn: Turn, state: str) -> str:
    """Say who answered."""
    if not turn.answered:
        return f"nobody; the person reads `{_short(turn.text)}`"
    if turn.answered == "mac-mini":
        return "the first"
    return "the second, after its timeout" if state in ("asleep", "silent") else "the second"


def _short(text: str) -> str:
    """Keep what names the trouble."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "..."


def _table(cells: Mapping[str, list[str]], heads: list[str]) -> str:
    rows = [f"| the first server | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    rows += [f"| {STATES[state]} | {' | '.join(row)} |" for state, row in cells.items()]
    return "\n".join(rows)


def page(measured: Mapping[Case, Turn], versions: Mapping[str, str], programs: tuple[str, ...]) -> str:
    """Write the page; it has everything but the seconds in common with every other run."""
    turns = {state: {program: measured[Case(program, state)] for program in programs} for state in STATES}
    outcomes = {state: [_outcome(turn, state) for turn in row.values()] for state, row in turns.items()}
    seconds = {state: [f"{turn.seconds:.0f}" for turn in row.values()] for state, row in turns.items()}
    return TEXT.format(
        outcomes=_table(outcomes, [f"{TITLES[program]} {versions[program]}" for program in programs]),
        seconds=_table(seconds, [TITLES[program] for program in programs]),
        own=_outcome(measured[Case("openclaw", "refused", "mac-mini")], "refused"),
        proxy=_outcome(measured[Case("litellm-proxy", "refused")], "refused"),
        opencode=f"opencode {versions['opencode']}",
        status=measured[Case("opencode", "refused")].status,
        **{f"{program}_timeout": PATIENCE[program] for program in PATIENCE},
    )


def comparable(text: str) -> str:
    """Leave out what no two runs have in common."""
    return text.partition(_SECONDS)[0]
