"""Memory is freed without a restart, residents stay, and check mode says the same as a run."""

from __future__ import annotations

import json

import pytest

ONE = ("--limit", "mac-mini")


def loaded(mac):
    return sorted(model["name"] for model in mac.api("GET", "/api/ps")["models"])


@pytest.fixture
def busy(mini):
    """Give the Mac with its resident and one more model in memory."""
    mini.api("POST", "/api/pull", {"model": "tiny", "stream": False})
    mini.api("POST", "/api/generate", {"model": "tiny", "keep_alive": -1})
    assert loaded(mini) == ["qwen3:8b", "tiny:latest"]
    yield mini
    mini.api("POST", "/api/generate", {"model": "tiny", "keep_alive": 0})
    mini.api("DELETE", "/api/delete", {"model": "tiny"})
    mini.api("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": -1})


def test_what_is_no_resident_leaves_and_nothing_restarts(fleet, busy):
    pid = busy.pid()
    size = next(model["size"] for model in busy.api("GET", "/api/ps")["models"] if model["name"] == "tiny:latest")
    look = fleet.play("playbooks/unload.yml", "--check", *ONE)
    assert loaded(busy) == ["qwen3:8b", "tiny:latest"]
    run = fleet.play("playbooks/unload.yml", *ONE)
    assert (look.rc, run.rc) == (0, 0), run.screen
    assert look.steps("mac-mini") == run.steps("mac-mini") == [("unload", "tiny:latest")]
    said = [result["msg"] for result in run.results["mac-mini"] if "frees" in str(result.get("msg"))]
    assert said == [result["msg"] for result in look.results["mac-mini"] if "frees" in str(result.get("msg"))]
    assert f"({size} bytes)" in said[0]
    assert loaded(busy) == ["qwen3:8b"]
    assert busy.pid() == pid
    again = fleet.play("playbooks/unload.yml", *ONE)
    assert again.changed("mac-mini") == 0
    assert again.module_runs("mac-mini") == ["ollama_unload"]


def test_a_resident_is_refused_unless_that_was_asked_for(fleet, busy):
    named = json.dumps({"unload_models": ["qwen3:8b"]})
    run = fleet.play("playbooks/unload.yml", *ONE, "-e", named)
    assert run.rc == 2
    assert "qwen3:8b should stay loaded on this Mac" in run.messages("mac-mini")
    assert "unload_residents=true" in run.messages("mac-mini")
    assert loaded(busy) == ["qwen3:8b", "tiny:latest"]
    assert fleet.play("playbooks/unload.yml", *ONE, "-e", named, "-e", "unload_residents=true").rc == 0
    assert loaded(busy) == ["tiny:latest"]


def test_a_mac_that_is_away_is_a_line_and_one_that_is_not_loaded_there_too(fleet, mini):
    with fleet.trouble("macbook-pro", "unreachable"):
        run = fleet.screen("playbooks/unload.yml", "-e", json.dumps({"unload_models": ["devstral-small-2:24b"]}))
    assert run.rc == 0, run.screen
    assert "macbook-pro does not answer" in run.screen
    assert "nothing to unload; not loaded: devstral-small-2:24b" in run.screen


def test_a_name_that_is_none_is_said(fleet, mini):
    run = fleet.play("playbooks/unload.yml", *ONE, "-e", json.dumps({"unload_models": ["bad name"]}))
    assert run.rc == 2
    assert "bad name" in run.messages("mac-mini")
    assert "Traceback" not in run.screen
