"""What a walk along a chain means: for the fleet, and for the program that would have walked it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ansible.module_utils.fleet.client_programs import FAILURES, PROGRAMS
from ansible.module_utils.fleet.failover import (
    Attempt,
    Chain,
    Hop,
    Walk,
    chains_of,
    chosen,
    findings,
    outcome,
    plan_lines,
    proof_of,
    questions,
    reaction,
    report,
    servers_of,
    table,
    trials,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.support.routes import DEVSTRAL, OPUS, OTHER_QWEN, QWEN, SONNET, fleet, route

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "failover.schema.json").read_text())
SERVERS = ["mac-mini", "macbook-pro"]
CHAINS = chains_of(fleet())
RESIDENT = {"mac-mini": [{"name": "qwen3:8b", "residency": "resident"}, {"name": "gpt-oss:20b", "residency": "on_demand"}]}

# What is walked. ----------------------------------------------------------------------------------------------------------


def test_each_chain_is_walked_without_the_server_that_it_begins_at():
    assert servers_of(CHAINS) == ("mac-mini", "macbook-pro")
    assert [(chain.client, chain.purpose) for chain in trials(CHAINS, "macbook-pro")] == [
        ("macbook-pro", "main"),
        ("macbook-pro", "subagents"),
    ]


@given(st.lists(st.sampled_from([*CHAINS, *chains_of([route("mac-mini", "litellm", main=[SONNET])])]), max_size=8))
def test_every_chain_with_a_hop_in_the_fleet_is_walked_for_one_server(chains):
    walked = [chain for server in servers_of(chains) for chain in trials(chains, server)]
    assert sorted(map(repr, walked)) == sorted(repr(chain) for chain in chains if chain.server)


@pytest.mark.parametrize(
    ("take_down", "down", "problem"),
    [
        ("", (), ""),
        ([], (), ""),
        ("all", ("mac-mini", "macbook-pro"), ""),
        ("macbook-pro", ("macbook-pro",), ""),
        (" macbook-pro , mac-mini,", ("macbook-pro", "mac-mini"), ""),
        (["mac-mini", "mac-mini"], ("mac-mini",), ""),
        ("windows-msi", (), "found windows-msi, allowed are all and the servers at which a chain begins, mac-mini, macbook-pro"),
        ("mac-mini,macmini", (), "found macmini, allowed"),
    ],
)
def test_who_goes_down_is_named_by_a_person(take_down, down, problem):
    named, said = chosen(take_down, CHAINS, SERVERS)
    assert named == down
    assert problem in said
    assert bool(problem) == bool(said)


def test_a_chain_that_begins_outside_the_servers_is_refused():
    assert "begins at macbook-pro, which is no server" in chosen("all", CHAINS, ["mac-mini"])[1]


def test_the_plan_names_the_chains_of_each_server():
    first, second = plan_lines(CHAINS, SERVERS, 60)
    assert "mac-mini goes down for at most 60 s" in first
    assert "windows-msi openclaw (main, subagents, heartbeat)" in first
    assert "macbook-pro openclaw (heartbeat)" in first
    assert second.endswith("for the chains of macbook-pro openclaw (main, subagents)")


def test_a_client_asks_its_own_chains_and_residents_stay():
    asked = questions(CHAINS, "macbook-pro", "mac-mini", RESIDENT)
    assert [chain["id"] for chain in asked] == ["openclaw/heartbeat"]
    assert asked[0]["hops"] == [
        {"ref": "ollama/qwen3:8b", "external": False, "host": "mac-mini", "model": "qwen3:8b", "network": "tailnet",
         "url": "http://100.115.10.14:11434", "keep_alive": "-1"}
    ]  # fmt: skip
    everything = questions(CHAINS, "mac-mini", "", RESIDENT)
    assert [chain["id"] for chain in everything] == ["openclaw/main", "openclaw/subagents", "openclaw/heartbeat"]
    assert [hop.get("keep_alive") for hop in everything[0]["hops"]] == ["-1", None, None, None, None, None]
    assert [hop["external"] for hop in everything[0]["hops"]] == [False] * 4 + [True] * 2


# What the program does. ---------------------------------------------------------------------------------------------------

TWO = (
    Hop("ollama/qwen3:8b", False, "mac-mini", "qwen3:8b", "http://a:1", "tailnet", 180.0),
    Hop("ollama-macbook/qwen3:8b", False, "macbook-pro", "qwen3:8b", "http://b:1", "tailnet", 180.0),
)


def attempt(hop, found, seconds=0.01, **more):
    return Attempt(hop.ref, found, hop.host, hop.model, hop.url, hop.network, hop.external, seconds=seconds, **more)


def walk_of(program, first, second=None, *, hops=TWO, down="mac-mini", purpose="main"):
    """Return a walk whose first hop went so and whose second one answered, unless said otherwise."""
    tried = [first if isinstance(first, Attempt) else attempt(hops[0], first)]
    if tried[0].found != "answered":
        tried.append(second or attempt(hops[1], "answered", 0.4))
    answered = next((number for number, one in enumerate(tried) if one.found == "answered"), None)
    seconds = round(sum(one.seconds for one in tried), 3)
    return Walk(Chain("mac-mini", program, purpose, hops), down, tuple(tried), answered, seconds)


def http(status, error):
    return attempt(TWO[0], "http", status=status, error=error)


@pytest.mark.parametrize(
    ("program", "first", "verdict", "seconds", "words"),
    [
        # The table of facts: clawdbot ends its turn on these ...
        ("clawdbot", "refused", "ends", None, "Connection error."),
        ("clawdbot", "unresolved", "ends", None, "Connection error."),
        ("clawdbot", "no_route", "ends", None, "Connection error."),
        ("clawdbot", "reset", "ends", None, "Connection error."),
        ("clawdbot", http(500, "llama runner process has terminated"), "ends", None, '500 "llama runner process has terminated"'),
        ("clawdbot", http(404, "model 'qwen3:8b' not found"), "ends", None, "HTTP 404: \"model 'qwen3:8b' not found\""),
        ("clawdbot", http(503, "server busy"), "ends", None, '503 "server busy"'),
        # ... and goes on after these.
        ("clawdbot", http(401, "unauthorized"), "answers", 0.41, ""),
        ("clawdbot", http(402, "pay"), "answers", 0.41, ""),
        ("clawdbot", http(403, "forbidden"), "answers", 0.41, ""),
        ("clawdbot", http(408, "late"), "answers", 0.41, ""),
        ("clawdbot", http(429, "too many"), "answers", 0.41, ""),
        ("clawdbot", http(500, "load timed out"), "answers", 0.41, ""),
        ("clawdbot", "timed_out", "answers", 30.4, ""),
        ("clawdbot", "silent", "answers", None, ""),
        # openclaw goes on after all of them, after a silence when its time is over.
        ("openclaw", "refused", "answers", 0.41, ""),
        ("openclaw", "unresolved", "answers", 0.41, ""),
        ("openclaw", http(500, "x"), "answers", 0.41, ""),
        ("openclaw", http(404, "x"), "answers", 0.41, ""),
        ("openclaw", "timed_out", "answers", 180.4, ""),
        ("openclaw", "silent", "answers", 180.4, ""),
        ("litellm", "refused", "answers", 0.41, ""),
        ("litellm", "silent", "answers", 180.4, ""),
        # These know one server.
        ("opencode", "refused", "no_chain", None, "Cannot connect to API"),
        ("opencode", http(500, "no runner"), "no_chain", None, "no runner"),
        ("openai_env", "refused", "no_chain", None, ""),
        # What nobody saw is not known.
        ("openclaw", "broken", "unknown", None, "no sound answer: not seen with openclaw"),
        ("another", "refused", "unknown", None, "refused: not seen with another"),
    ],
)
def test_what_a_program_does_with_a_failure(program, first, verdict, seconds, words):
    did = outcome(walk_of(program, first))
    assert (did.verdict, did.seconds, did.words) == (verdict, seconds, words)
    assert did.ref == (TWO[1].ref if verdict == "answers" else TWO[0].ref)


@pytest.mark.parametrize("program", ["clawdbot", "openclaw", "litellm", "opencode", "openai_env", "another"])
def test_every_program_takes_its_first_choice(program):
    did = outcome(walk_of(program, "answered"))
    assert (did.verdict, did.ref, did.seconds) == ("answers", TWO[0].ref, 0.01)


@pytest.mark.parametrize(("program", "verdict"), [("openclaw", "slow"), ("litellm", "slow"), ("clawdbot", "answers")])
def test_an_answer_after_the_programs_own_time_is_none(program, verdict):
    late = attempt(TWO[1], "answered", 181.0)
    assert outcome(walk_of(program, http(429, "x"), late)).verdict == verdict


@given(
    program=st.sampled_from(["clawdbot", "openclaw", "litellm", "opencode", "openai_env", "another"]),
    found=st.sampled_from(["http", "silent", "refused", "timed_out", "reset", "no_route", "unresolved", "broken"]),
    status=st.integers(400, 599),
    error=st.text(),
)
def test_a_program_comes_to_an_answer_or_it_is_said_why_not(program, found, status, error):
    first = attempt(TWO[0], found, status=status if found == "http" else None, error=error)
    walk = walk_of(program, first)
    did, said = outcome(walk), findings(proof([walk], program))
    assert (did.verdict == "answers") == (not [one for one in said if one.host == "mac-mini" and one.item != "server"])
    if program == "openclaw" and found != "broken":
        assert did.verdict == "answers"


# What is found. -----------------------------------------------------------------------------------------------------------

DOWN = {
    "failover_down": {"changed": True, "down": True, "residents": ["qwen3:8b"]},
    "failover_up": {"changed": True, "ended": "released", "absent_seconds": 5.5, "ready_seconds": 5.75},
    "__failover_seen": {"answers": [{"status": 200, "error": "", "seconds": 0.01}]},
}


def told(walk):
    """Return a walk as the module gives it."""
    return {
        "id": walk.chain.id,
        "answered": walk.answered,
        "seconds": walk.seconds,
        "attempts": [vars(one) for one in walk.attempts],
    }


def proof(walks, program="openclaw", take_down=("mac-mini",), variables=None, **chains):
    """Return what one client found on these walks, with one server down."""
    routes = [route("mac-mini", program, **(chains or {"main": [QWEN, OTHER_QWEN]}))]
    rounds = [{"down": walk.down, "walks": [told(walk)], "lost": ""} for walk in walks]
    hosts = {"mac-mini": {**DOWN, "failover_rounds": rounds}, "macbook-pro": dict(DOWN), **(variables or {})}
    return proof_of(routes, hosts, take_down)


def said(found, severity=None):
    return [one.sentence() for one in found if severity in (None, one.severity)]


def test_a_chain_that_holds_is_nothing_to_speak_of():
    good = proof([walk_of("openclaw", "answered", down=""), walk_of("openclaw", "refused")])
    assert findings(good) == ()
    assert report(good)["result"] == "ok"
    assert table(good)[2].split("  ")[-1] == "goes on, about 0.41 s"
    assert table(good)[-1] == "mac-mini was down for 5.5 s, its residents 5.8 s"


def test_a_program_that_ends_its_turn_is_told_beside_the_answer():
    (one,) = findings(proof([walk_of("clawdbot", "refused")], "clawdbot"))
    assert one.severity == "warning"
    assert "with mac-mini down ollama-macbook/qwen3:8b on macbook-pro answers" in one.why
    assert "clawdbot says 'Connection error.' and ends the turn" in one.why


HEARTBEAT = (TWO[0],)
EXTERNALS = (Hop(OPUS, external=True), Hop(SONNET, external=True))


@pytest.mark.parametrize(
    ("places", "hops", "founds", "purpose", "severity", "words"),
    [
        pytest.param([QWEN, OTHER_QWEN], TWO, ["refused", "timed_out"], "main", "error",
                     "nobody answered: ollama/qwen3:8b refused; ollama-macbook/qwen3:8b no connection in time", id="all silent"),
        pytest.param([QWEN, ("mac-mini", "b")], (TWO[0], TWO[0]), ["refused", "refused"], "main", "error",
                     "End the chain at another server", id="one server only"),
        pytest.param([QWEN], HEARTBEAT, ["refused"], "heartbeat", "note", "openclaw takes one model for this", id="heartbeat"),
        pytest.param([QWEN], HEARTBEAT, ["refused"], "coding", "error", "nobody answered", id="one hop"),
        pytest.param([QWEN, OPUS], (TWO[0], EXTERNALS[0]), ["refused", "not_asked"], "main", "note",
                     f"only {OPUS} is left, which is outside the fleet and was not asked", id="external left"),
        pytest.param([QWEN, OTHER_QWEN, OPUS], (*TWO, EXTERNALS[0]), ["refused", "silent", "not_asked"], "main", "error",
                     f"{OPUS} is outside the fleet", id="another server and external"),
    ],
)  # fmt: skip
def test_nobody_left(places, hops, founds, purpose, severity, words):
    tried = tuple(attempt(hop, found) for hop, found in zip(hops, founds, strict=True))
    walk = Walk(Chain("mac-mini", "openclaw", purpose, hops), "mac-mini", tried, None, 0.1)
    made = proof([walk], **{purpose: places})
    assert [one.severity for one in findings(made)] == [severity]
    assert words in said(findings(made))[0]
    jsonschema.validate(report(made), SCHEMA)


def test_chains_of_one_program_with_the_same_words_are_one_finding():
    walks = [walk_of("clawdbot", "refused", purpose=purpose) for purpose in ("main", "subagents")]
    made = proof(walks, "clawdbot", main=[QWEN, OTHER_QWEN], subagents=[QWEN, OTHER_QWEN])
    assert [one.item for one in findings(made)] == ["clawdbot main, subagents"]


def test_a_server_that_answers_although_it_is_down_proves_nothing():
    (one,) = findings(proof([walk_of("openclaw", "answered")]))
    assert (one.severity, "mac-mini answered, so nothing is proved" in one.why) == ("error", True)


def test_as_it_is_a_first_choice_that_is_silent_is_told():
    (one,) = findings(proof([walk_of("openclaw", "timed_out", down="")], take_down=()))
    assert one.severity == "warning"
    assert "the first choice does not answer (ollama/qwen3:8b no connection in time)" in one.why


def test_external_hops_before_the_first_of_the_fleet_are_no_failure():
    hops = (*EXTERNALS, TWO[1])
    tried = (attempt(hops[0], "not_asked"), attempt(hops[1], "not_asked"), attempt(hops[2], "answered"))
    walk = Walk(Chain("mac-mini", "openclaw", "main", hops), "", tried, 2, 0.1)
    made = proof([walk], take_down=(), main=[OPUS, SONNET, OTHER_QWEN])
    assert findings(made) == ()
    assert "if 2 external hops before it fail" in table(made)[1]


def test_a_chain_outside_the_fleet_is_told_and_not_asked():
    walk = Walk(Chain("mac-mini", "openclaw", "main", EXTERNALS[:1]), "", (attempt(EXTERNALS[0], "not_asked"),), None, 0.0)
    made = proof([walk], take_down=(), main=[OPUS])
    assert [one.severity for one in findings(made)] == ["note"]
    assert "outside the fleet, not asked" in table(made)[1]


@pytest.mark.parametrize(
    ("variables", "severity", "words"),
    [
        pytest.param({"failover_down": {"failed": True, "msg": "com.user.ollama was not taken down: ill."}}, "error",
                     "nothing is proved about its chains: com.user.ollama was not taken down: ill.", id="refused"),
        pytest.param({"fleet_address_away": "mac-mini does not answer.", "fleet_plan_optional": True}, "warning",
                     "nothing is proved", id="asleep"),
        pytest.param({"fleet_address_away": "mac-mini does not answer."}, "error", "does not answer", id="away"),
        pytest.param({}, "error", "the run left it out", id="left out"),
        pytest.param({"failover_down": {"skipped": True}}, "error", "another server was not back", id="skipped"),
        pytest.param({"failover_down": {"unreachable": True, "msg": "ssh"}}, "error", "ssh", id="ssh"),
        pytest.param({"failover_down": {"changed": True, "down": False}}, None, "", id="check mode"),
        pytest.param({**DOWN, "__failover_seen": {"answers": [{"status": None, "error": "refused"}]}}, "error",
                     "it was taken down and is not back: refused", id="not back"),
        pytest.param({**DOWN, "__failover_seen": {"unreachable": True, "msg": "ssh is gone"}}, "error", "ssh is gone", id="gone"),
        pytest.param({**DOWN, "failover_up": {"failed": True, "msg": "cannot load qwen3:8b."}}, "error",
                     "its pause did not end as it should: cannot load qwen3:8b", id="no residents"),
        pytest.param({**DOWN, "failover_up": {**DOWN["failover_up"], "ended": "limit"}}, "warning",
                     "Raise failover_pause_seconds", id="the limit"),
        pytest.param({**DOWN, "failover_up": {**DOWN["failover_up"], "ended": "started"}}, "warning", "(started)", id="somebody"),
        pytest.param(DOWN, None, "", id="down and up"),
    ],
)  # fmt: skip
def test_what_became_of_the_server(variables, severity, words):
    made = proof([], variables={"mac-mini": {**variables, "failover_rounds": [{"down": "", "walks": [], "lost": ""}]}})
    found = [one for one in findings(made) if one.item == "server"]
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(words in one.sentence() for one in found)
    jsonschema.validate(report(made), SCHEMA)


@pytest.mark.parametrize(
    ("hosts", "severity", "words"),
    [
        pytest.param({}, "note", "no host of this inventory", id="no host"),
        pytest.param({"mac-mini": {}}, "note", "the run left it out", id="left out"),
        pytest.param({"mac-mini": {"fleet_address_away": "mac-mini is asleep."}}, "note", "mac-mini is asleep", id="asleep"),
        pytest.param({"mac-mini": {"failover_rounds": [{"down": "mac-mini", "walks": [], "lost": "ssh broke"}]}}, "error",
                     "it could not be asked while mac-mini was down: ssh broke", id="lost"),
    ],
)  # fmt: skip
def test_what_became_of_the_client(hosts, severity, words):
    made = proof_of([route("mac-mini", main=[QWEN, OTHER_QWEN])], hosts, [])
    assert [(one.severity, words in one.why) for one in findings(made)] == [(severity, True)]
    assert ("away, not walked" in "\n".join(table(made))) == (severity == "note")


def test_the_report_is_as_its_schema_says():
    devstral = (Hop(OPUS, external=True), Hop("ollama-macbook/devstral-small-2:24b", False, *DEVSTRAL, "http://b:1"))
    tried = (attempt(devstral[0], "not_asked"), attempt(devstral[1], "answered"))
    outside = Walk(Chain("mac-mini", "openclaw", "coding", devstral), "", tried, 1, 2.0)
    walks = [walk_of("openclaw", "answered", down=""), outside, walk_of("openclaw", http(500, "x"))]
    content = report(proof(walks, main=[QWEN, OTHER_QWEN], coding=[OPUS, DEVSTRAL]), "2026-01-01T00:00:00Z")
    jsonschema.validate(content, SCHEMA)
    assert content["servers"][0]["back"] is True
    assert [walk["down"] for walk in content["walks"]] == [None, None, "mac-mini"]
    assert content["walks"][2]["answered_by"] == {"hop": 1, "host": "macbook-pro", "ref": "ollama-macbook/qwen3:8b"}


def test_the_schema_refuses_what_it_does_not_name():
    content = report(proof([walk_of("openclaw", "refused")]))
    content["walks"][0]["attempts"][0]["found"] = "odd"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


STATUS = {"http_401": 401, "http_404": 404, "http_429": 429, "http_500": 500}
WORDS = {"hung": "silent"}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
@pytest.mark.parametrize("failure", [failure for failure in FAILURES if failure != "broken"])
def test_what_preflight_says_of_a_program_is_what_the_proof_says(name, failure):
    attempt = Attempt("a/b", "http" if failure in STATUS else WORDS.get(failure, failure), status=STATUS.get(failure), error="x")
    assert reaction(name, attempt, 180.0).goes_on is (failure not in PROGRAMS[name].gives_up_on)
