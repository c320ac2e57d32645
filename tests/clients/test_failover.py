"""The chains of the rendered files, walked by the real clients while the first server is in trouble.

Each turn runs in a network of its own, with the fleet's addresses and the lab's stand-in Ollama at them; `turns.py` tells how.
What came of it makes docs/clients-failover.md: `pytest tests/clients --record` writes it, a run without compares.
"""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.clients import programs
from tests.clients.page import PAGE, comparable, page
from tests.clients.servers import STATES
from tests.clients.turns import PATIENCE, Case, Turn

CHAINED = ("openclaw", "clawdbot", "litellm")
FALLS = {
    "openclaw": {"refused", "asleep", "failing", "missing", "silent"},
    "litellm": {"refused", "asleep", "failing", "missing", "silent"},
    # Only what it takes for a timeout: the rest ends the turn (2026.1.24-3).
    "clawdbot": {"asleep", "silent"},
}
ENDS = {"refused": "Connection error.", "failing": "llama-server process has terminated", "missing": "'qwen3:8b' not found"}
"""What a person reads of Clawdbot when the turn ends there."""
# Clawdbot gives up on an address that stays silent after some 30 s of its own, whatever the file says.
SILENCE = {**PATIENCE, "clawdbot": 25}

everybody = [Case(program, state) for program in CHAINED for state in STATES]
own_server_dead = Case("openclaw", "refused", "mac-mini")
through_the_proxy = Case("litellm-proxy", "refused")
opencode_well, opencode_refused = Case("opencode", "well"), Case("opencode", "refused")


@pytest.mark.parametrize("case", [case for case in everybody if case.state == "well"], ids=str)
def test_the_first_server_answers_while_it_can(case: Case, turn: Turn) -> None:
    assert (turn.answered, turn.fallback in (False, None)) == ("mac-mini", True), turn
    assert turn.status == 0
    assert "virtual Mac" in turn.text


@pytest.mark.parametrize("case", [case for case in everybody if case.state in FALLS[case.program]], ids=str)
def test_the_chain_falls_through(case: Case, turn: Turn) -> None:
    assert (turn.answered, turn.fallback in (True, None)) == ("macbook-pro", True), turn
    assert turn.status == 0
    assert "virtual Mac" in turn.text


@pytest.mark.parametrize(
    "case",
    [case for case in everybody if case.state in FALLS[case.program] and case.state in ("asleep", "silent")],
    ids=str,
)
def test_silence_costs_the_timeout(case: Case, turn: Turn) -> None:
    """The first server was really asked: nothing fell through before its time was over."""
    wait = SILENCE[case.program] if case.state == "asleep" else PATIENCE[case.program]
    assert turn.seconds >= wait, turn


@pytest.mark.parametrize("case", [Case("openclaw", "failing"), Case("openclaw", "missing")], ids=str)
def test_openclaw_asks_a_failing_server_once(case: Case, turn: Turn) -> None:
    """`maxRetries: 0` of settings.json: by default it would be asked seven times, for two minutes."""
    assert turn.asked == 1, turn


@pytest.mark.parametrize("case", [Case("clawdbot", state) for state in ENDS], ids=str)
def test_clawdbot_ends_the_turn_with_the_error_as_its_text(case: Case, turn: Turn) -> None:
    assert turn.answered == "", turn
    assert ENDS[case.state] in turn.text
    assert turn.status == 0, "it ends well all the same"


@pytest.mark.parametrize("case", [own_server_dead], ids=str)
def test_a_mac_falls_from_its_own_server_to_the_other(case: Case, turn: Turn) -> None:
    assert (turn.answered, turn.fallback) == ("macbook-pro", True), turn


@pytest.mark.parametrize("case", [through_the_proxy], ids=str)
def test_the_proxy_falls_through_for_a_client_without_a_chain(case: Case, turn: Turn) -> None:
    assert (turn.answered, turn.fallback) == ("macbook-pro", True), turn
    assert turn.text.endswith("Say pong.")


@pytest.mark.parametrize("case", [opencode_well], ids=str)
def test_opencode_asks_its_server(case: Case, turn: Turn) -> None:
    assert (turn.answered, turn.status) == ("mac-mini", 0), turn


@pytest.mark.parametrize("case", [opencode_refused], ids=str)
def test_opencode_has_no_chain(case: Case, turn: Turn) -> None:
    assert turn.answered == "", turn
    assert turn.status != 0


def test_the_page_says_what_was_measured(request: pytest.FixtureRequest, started: dict[Case, Future[Turn]]) -> None:
    """Only a run of all turns can write or compare it."""
    assert set(everybody) <= set(started), "run the whole of tests/clients/test_failover.py"
    measured = {case: turn.result() for case, turn in started.items()}
    text = page(measured, programs.versions(), CHAINED)
    print(f"\n{text}")
    if request.config.getoption("--record"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.exists(), f"{PAGE} is missing: run with --record"
    assert comparable(PAGE.read_text(encoding="utf-8")) == comparable(text), (
        "run `pytest tests/clients --record` if that is right"
    )
