"""A model enters an agent's chain with a proof, where that is asked for, and what proves nothing is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.fleet.bench_report import SCHEMA, SCHEMA_VERSION
from ansible.module_utils.fleet.routing import client_from_variables, serving_from_variables
from ansible.module_utils.fleet.routing_findings import judge
from ansible.module_utils.fleet.tool_proof import NONE, Proof, Proofs, proofs_from_text

from .test_routing import CLIENT, QWEN, SERVERS

OLD, NEW = "a" * 64, "b" * 64


def tools(passed=3, of=3, why="", **failures):
    return {"passed": passed, "of": of, "why": why, "failures": {kind: {"count": 1, "detail": ""} for kind in failures}}


def text(*results, host="mac-mini", model=QWEN, **changes):
    entry = {"host": host, "model": model, "results": [{"digest": OLD, "made_at": "2026-11-26", "tools": one} for one in results]}
    return json.dumps({"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "history": [entry], **changes})


def test_the_last_result_that_asked_counts():
    found = proofs_from_text(text(tools(1), tools(3), None))
    assert found.known["mac-mini", QWEN] == Proof(3, 3, OLD, "2026-11-26")
    assert found.known["mac-mini", QWEN].holds


@pytest.mark.parametrize("one", [tools(2), tools(0, 0), tools(0, 0, "no tools")])
def test_what_did_not_pass_every_time_does_not_hold(one):
    assert not proofs_from_text(text(one)).known["mac-mini", QWEN].holds


def test_no_report_is_no_proof_and_no_problem():
    assert proofs_from_text("") == NONE
    assert proofs_from_text(text(None)) == NONE


@pytest.mark.parametrize(
    "broken",
    ["{", "7", "[]", "null", "{}", text(schema="x"), text(schema_version=2), text(history=7), text(history=[{}]), text([1]),
     text({"passed": "x", "of": 1}), "[" * 100_000],
    ids=range(12),
)  # fmt: skip
def test_a_report_that_nobody_can_read_says_so(broken):
    found = proofs_from_text(broken)
    assert found.known == {}
    assert found.problem


PROVED = {(host, QWEN): Proof(3, 3, OLD, "2026-11-26") for host in SERVERS}


def found(level, known, problem="", digest=""):
    servers = {
        name: replace(server, models={key: replace(model, digest=digest) for key, model in server.models.items()})
        for name, server in SERVERS.items()
    }
    return [
        (one.item, one.severity, one.sentence())
        for one in judge(replace(CLIENT, tool_proof=level, proofs=Proofs(known, problem)), servers)
    ]


@pytest.mark.parametrize(("level", "severity"), [("warn", "warning"), ("require", "error")])
def test_a_model_without_a_proof_is_named_with_how_to_prove_it(level, severity):
    (one,) = found(level, {key: proof for key, proof in PROVED.items() if key[0] != "macbook-pro"})
    assert one[:2] == ("tools-unproved", severity)
    for word in ("windows-msi", "clients_chains.main asks qwen3:8b on macbook-pro", "bench_tools=true --limit macbook-pro"):
        assert word in one[2]


@pytest.mark.parametrize(("level", "severity"), [("warn", "warning"), ("require", "error")])
def test_a_model_that_failed_is_named_with_how_often(level, severity):
    known = {**PROVED, ("mac-mini", QWEN): Proof(1, 3, OLD, "2026-11-26", ("text_instead",))}
    (one,) = found(level, known)
    assert one[:2] == ("tools-failed", severity)
    assert "1 of 3 tries (text_instead), 2026-11-26" in one[2]
    known = {**PROVED, ("mac-mini", QWEN): Proof(0, 0, OLD, "2026-11-26", (), "no tools")}
    assert "it has no tools" in found(level, known)[0][2]


def test_nobody_looks_unless_asked():
    assert found("off", {}, "broken") == []
    assert found("require", PROVED) == []


def test_a_heartbeat_needs_no_tools():
    client = replace(CLIENT, tool_proof="require", proofs=NONE, chains={"heartbeat": CLIENT.chains["main"]})
    assert [one.item for one in judge(client, SERVERS) if one.item.startswith("tools")] == []


@pytest.mark.parametrize("level", ["warn", "require"])
def test_a_proof_of_another_version_is_told_as_old_and_stops_nobody(level):
    assert {one[:2] for one in found(level, PROVED, digest=NEW)} == {("tools-proof-old", "warning")}
    assert found(level, PROVED, digest=OLD[:12]) == []


def test_a_report_that_cannot_be_read_proves_nothing_and_says_so_once():
    assert [one[:2] for one in found("require", {}, "it cannot be read")] == [("tools-unreadable", "error")]


def test_the_digest_is_the_pinned_one_or_the_registrys():
    entry = {"name": QWEN, "size_gb": 5.2}
    variables = {"ram_budget_memory_gib": 16, "ollama_models_policy": "latest", "ram_budget_figures": {QWEN: {"digest": NEW}}}

    def digest(**changes):
        listed = [{**entry, **changes}]
        return serving_from_variables("mac-mini", {**variables, "ollama_models_installed": listed}, {}).models[QWEN].digest

    assert digest() == NEW
    assert digest(digest="sha256:aaa") == "aaa"
    assert digest(policy="present") == ""


def test_a_client_reads_level_and_proofs():
    client = client_from_variables("windows-msi", {"clients_tool_proof": "warn", "tool_proofs": text(tools())})
    assert (client.tool_proof, list(client.proofs.known)) == ("warn", [("mac-mini", QWEN)])
    assert client_from_variables("windows-msi", {}).tool_proof == "off"
