"""What each Mac has is told as it is, and by hand nothing is done that the inventory would undo in silence."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import jsonschema
import pytest
from ansible.module_utils.fleet.model_list import (
    ACTIONS,
    FRESHNESS,
    STATES,
    Decision,
    decide,
    freshness,
    host_from_variables,
    outcomes,
    report,
    table,
)
from ansible.module_utils.fleet.shown import as_json
from hypothesis import given
from hypothesis import strategies as st

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "models.schema.json").read_text())
MADE = "2026-11-26T09:00:00Z"
OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64


def installed(name="qwen3:8b", digest=OLD, size=5_200_000_000, modified_at="2026-08-01T10:11:12.123456789-03:00"):
    return {"name": name, "digest": digest, "size": size, "modified_at": modified_at}


def loaded(name="qwen3:8b", digest=OLD, pinned=True):
    return {
        "name": name, "digest": digest, "size": 7, "size_vram": 7, "context_length": 4096, "pinned": pinned, "expires_at": "",
    }  # fmt: skip


def mac(found=(), listed=(), registry=(), in_memory=(), unlisted="remove", outcome="asked", why="", **parts):
    look = {"outcome": outcome, "why": why}
    if outcome == "asked":
        models = {
            "installed": list(found),
            "loaded": in_memory if isinstance(in_memory, dict) else list(in_memory),
            "registry": dict(registry),
            "shown": {},
        }
        look["observation"] = {"models": models, "machine": {"disk_free_bytes": 10**11, "disk_total_bytes": 5 * 10**11}, **parts}
        look["desired"] = {"ollama_models": {"installed": list(listed), "unlisted": unlisted}}
    return {"fleet_plan_look": look}


def host(**words):
    return host_from_variables("mac-mini", mac(**words))


QWEN = {"name": "qwen3:8b", "residency": "resident", "policy": "latest"}


def pinned(digest):
    return {**QWEN, "digest": digest}


# What is there. ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digest", "registry", "pin", "word"),
    [
        (OLD, OLD, None, "current"),
        (OLD, NEW, None, "outdated"),
        (OLD, None, None, "unknown"),
        (OLD, OLD, "aaaa", "pinned"),
        (OLD, None, "aaaa", "pinned"),
        (OLD, NEW, "aaaa", "pinned_moved"),
        (OLD, NEW, "bbbb", "pin_differs"),
        (OLD, None, "bbbb", "pin_differs"),
    ],
)
def test_a_model_stands_to_pin_and_registry(digest, registry, pin, word):
    assert freshness(digest, registry, pin) == word
    assert word in FRESHNESS


def seen(**words):
    return {one.name: one for one in host(**words).entries}


def test_every_model_is_installed_missing_or_in_no_list():
    found = seen(
        found=[installed(), installed("tiny:latest", NEW)],
        listed=[QWEN, {"name": "gpt-oss:20b"}],
        registry={"qwen3:8b": OLD, "gpt-oss:20b": OTHER, "tiny:latest": {"unknown": "registry.ollama.ai: no such host"}},
        in_memory=[loaded()],
    )
    assert {name: one.state for name, one in found.items()} == {
        "qwen3:8b": "installed", "gpt-oss:20b": "missing", "tiny:latest": "unlisted",
    }  # fmt: skip
    assert set(STATES) == {one.state for one in found.values()}
    assert (found["qwen3:8b"].loaded, found["qwen3:8b"].pinned_in_memory, found["qwen3:8b"].resident) == (True, True, True)
    assert (found["gpt-oss:20b"].registry_digest, found["gpt-oss:20b"].freshness) == (OTHER, "none")
    assert (found["tiny:latest"].freshness, found["tiny:latest"].why) == ("unknown", "registry.ollama.ai: no such host")


def test_names_are_one_name_whatever_their_case_and_a_missing_tag():
    found = seen(found=[installed("Qwen3:latest")], listed=[{"name": "qwen3"}])
    assert [one.state for one in found.values()] == ["installed"]


def test_memory_that_could_not_be_read_is_unknown():
    found = seen(found=[installed()], in_memory={"unknown": "timed out"})
    assert found["qwen3:8b"].loaded is None


def made(variables, strict=False):
    content = report([host_from_variables(name, own) for name, own in variables.items()], MADE, strict=strict)
    jsonschema.validate(content, SCHEMA)
    return content


def items(content):
    return sorted({finding["item"] for finding in content["findings"]})


@pytest.mark.parametrize(
    ("words", "found", "strictly"),
    [
        ({"found": [installed()], "listed": [QWEN], "registry": {"qwen3:8b": OLD}}, [], "ok"),
        ({"found": [installed()], "listed": [QWEN], "registry": {"qwen3:8b": NEW}}, ["outdated"], "wrong"),
        ({"listed": [QWEN], "registry": {"qwen3:8b": OLD}}, ["missing"], "wrong"),
        ({"found": [installed()], "registry": {"qwen3:8b": OLD}}, ["unlisted"], "ok"),
        ({"found": [installed()], "listed": [QWEN], "registry": {"qwen3:8b": {"unknown": "no route"}}}, ["registry"], "ok"),
        ({"found": [installed()], "listed": [{**QWEN, "digest": "aaa"}], "registry": {"qwen3:8b": NEW}}, ["pinned_moved"], "ok"),
        (
            {"found": [installed()], "listed": [{**QWEN, "digest": "bbb"}], "registry": {"qwen3:8b": NEW}},
            ["pin_differs"],
            "wrong",
        ),
    ],
)
def test_what_somebody_should_know_is_a_finding(words, found, strictly):
    variables = {"mac-mini": mac(**words)}
    assert items(made(variables)) == found
    assert outcomes(made(variables))["mac-mini"]["state"] == "ok"
    strict = made(variables, strict=True)
    assert outcomes(strict, strict=True)["mac-mini"]["state"] == strictly


def test_a_fleet_of_which_half_is_away_is_listed():
    content = made(
        {
            "mac-mini": mac(found=[installed()], listed=[QWEN], registry={"qwen3:8b": OLD}, in_memory=[loaded()]),
            "macbook-pro": mac(outcome="away", why="it is asleep"),
            "third": mac(outcome="not_asked", why="no route"),
            "fourth": {"fleet_plan_look": {"outcome": "error", "why": "a fault"}},
            "fifth": {},
            "sixth": mac(models={"unknown": "OSError: boom"}),
        }
    )
    lines = table(content)
    assert "qwen3:8b" in lines[1]
    assert "loaded for good" in lines[1]
    assert "mac-mini: 1 model, 5.2 GB; 100.0 GB of 500.0 GB of the disk are free" in lines
    assert "macbook-pro: away: it is asleep" in lines
    assert "sixth: error: its models could not be read: OSError: boom" in lines
    states = {name: one["state"] for name, one in outcomes(content).items()}
    assert states == {
        "mac-mini": "ok", "macbook-pro": "ok", "third": "not_asked", "fourth": "error", "fifth": "error", "sixth": "error",
    }  # fmt: skip


def test_nobody_is_a_report_too():
    assert made({})["status"] == made({"macbook-pro": mac(outcome="away", why="it is asleep")})["status"] == "not_asked"
    assert table(made({})) == ["model  host  state  size  digest  memory  registry  modified"]


# By hand. ---------------------------------------------------------------------------------------------------------------

FULL = {
    "found": [installed(), installed("tiny:latest", NEW), installed("old:1", OLD), installed("held:1", OLD)],
    "listed": [QWEN, {"name": "old:1"}, {"name": "held:1", "digest": "aaaa"}, {"name": "gpt-oss:20b", "size_gb": 13.8}],
    "registry": {"qwen3:8b": OLD, "tiny:latest": NEW, "old:1": NEW, "held:1": NEW, "gpt-oss:20b": OTHER},
}


@pytest.mark.parametrize(
    ("action", "names", "expected", "words"),
    [
        ("list", ["tiny"], Decision(), []),
        ("pull", ["new"], ("new:latest",), ["the next site.yml removes it again", "host_vars/mac-mini"]),
        ("pull", ["gpt-oss:20b"], ("gpt-oss:20b",), ["site.yml would install it too"]),
        ("pull", ["qwen3:8b"], (), ["installed already"]),
        ("pull", ["huge:1"], (), ["huge:1 is not pulled: does not fit"]),
        ("pull", [], (), ["models_names is empty"]),
        ("pull", ["bad name"], (), ["bad name"]),
        ("update", [], ("old:1",), ["held:1 is pinned to aaaa and stays so"]),
        ("update", ["old:1"], ("old:1",), []),
        ("update", ["qwen3:8b"], (), ["up to date (aaaaaaaaaaaa)"]),
        ("update", ["held:1"], (), ["to follow, change digest in host_vars/mac-mini"]),
        ("update", ["gpt-oss:20b", "nowhere"], (), ["gpt-oss:20b is not installed", "nowhere:latest is not installed"]),
        ("remove", ["tiny"], ("tiny:latest",), []),
        ("remove", ["qwen3:8b"], (), ["site.yml would pull it again; take it out of host_vars/mac-mini first"]),
        ("remove", ["nowhere"], (), ["nowhere:latest is not installed"]),
        ("remove", [], (), ["models_names is empty"]),
        ("pin", [], (), [f"    digest: {OLD}", "  - name: qwen3:8b"]),
        ("pin", ["tiny", "gpt-oss:20b"], (), ["# tiny:latest is not installed, or not in the list", "# gpt-oss:20b is not"]),
    ],
)
def test_an_action_does_what_lasts_and_says_what_does_not(action, names, expected, words):
    assert action in ACTIONS
    found = decide(host(**FULL), action, names, {"huge:1": "does not fit"})
    if action == "list":
        assert found == expected
        return
    told = found.removed if action == "remove" else tuple(one["name"] for one in found.installed)
    assert told == expected
    said = "\n".join([*found.refused, *found.said])
    assert [word for word in words if word not in said] == []


def test_an_update_keeps_what_the_inventory_says_of_a_model():
    found = decide(host(**{**FULL, "registry": {"qwen3:8b": NEW}}), "update", [])
    assert found.installed == ({"name": "qwen3:8b", "residency": "resident", "policy": "latest"},)


def test_where_all_is_up_to_date_that_is_said():
    words = {"found": [installed()], "listed": [QWEN], "registry": {"qwen3:8b": OLD}}
    assert decide(host(**words), "update", []) == Decision(said=("mac-mini: nothing is behind its registry",))


def test_a_fleet_that_keeps_what_is_in_no_list_says_so():
    said = decide(host(unlisted="keep"), "pull", ["new"]).said[0]
    assert "leaves it as it is" in said


def test_a_registry_that_was_not_asked_updates_nothing_and_says_why():
    words = {"found": [installed()], "listed": [QWEN], "registry": {"qwen3:8b": {"unknown": "no such host"}}}
    found = decide(host(**words), "update", [])
    assert found.installed == ()
    assert "what its registry has is not known: no such host" in found.said[0]


NAMES = st.sampled_from(["qwen3:8b", "tiny", "old:1", "held:1", "gpt-oss:20b", "nowhere", "Tiny:latest", "bad name"])


@given(st.sampled_from(ACTIONS), st.lists(NAMES, max_size=4))
def test_nothing_wanted_is_removed_nothing_pinned_is_updated_and_nothing_here_is_pulled(action, names):
    found = decide(host(**FULL), action, names)
    listed = {"qwen3:8b", "old:1", "held:1", "gpt-oss:20b"}
    assert not set(found.removed) & listed
    asked = {one["name"] for one in found.installed}
    assert "held:1" not in asked
    if action == "pull":
        assert not asked & {"qwen3:8b", "tiny:latest", "old:1"}
    if action in ("list", "pin"):
        assert (found.installed, found.removed) == ((), ())


@pytest.mark.parametrize("outcome", ["away", "not_asked", "error"])
def test_a_mac_that_was_not_asked_is_not_acted_on(outcome):
    assert decide(host(outcome=outcome), "remove", ["tiny"]) == Decision()


# Hostile words, and many Macs. ------------------------------------------------------------------------------------------

HOSTILE = ["<script>alert(1)</script>", "\x1b[2J\x1b]0;x\x07", "\u202egpj", "\ud800\udfff", "x" * 1_000_000, "a\r\nb", "{{ 1 }}"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_words_are_harmless(text):
    words = {"found": [installed(text, text, 1, text)], "registry": {text: {"unknown": text}}}
    content = made({"mac-mini": mac(**words)})
    again = as_json(content)
    again.encode("utf-8")
    assert len(again) < 10_000
    for line in [*table(content), *(finding["why"] for finding in content["findings"])]:
        assert not {unicodedata.category(one) for one in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert len(line) < 3000
    decide(host(**words), "update", [])


def test_two_hundred_macs_take_no_time():
    found = [installed(f"m{number}:1") for number in range(10)]
    variables = {f"mac-{number:03}": mac(found=found, listed=[QWEN], registry={}) for number in range(200)}
    began = time.perf_counter()
    content = report([host_from_variables(name, own) for name, own in variables.items()], MADE)
    assert len(table(content)) > 2000
    as_json(content)
    assert time.perf_counter() - began < 20
