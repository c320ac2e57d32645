"""What is on which Mac is told, and by hand only what lasts or says that it does not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.support.fleet import BIN, ROOT, Fleet

PLAY = "playbooks/models.yml"
SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "models.schema.json").read_text())


@pytest.fixture
def listed(fleet, tmp_path):
    """Give a function that runs the playbook and returns the run and the report by host and model."""

    def models(*words, screen=False):
        play = fleet.screen if screen else fleet.play
        run = play(PLAY, "-e", f"models_reports_path={tmp_path}", *words)
        content = json.loads((tmp_path / "models.json").read_text())
        jsonschema.validate(content, SCHEMA)
        return run, {(host["host"], one["name"]): one for host in content["hosts"] for one in host["models"]}

    return models


def asked(action, *names):
    return ("-e", f"models_action={action}", "-e", json.dumps({"models_names": list(names)}), "--limit", "mac-mini")


def test_the_models_of_both_macs_are_listed_with_what_is_loaded_and_what_the_registry_has(fleet, listed):
    run, models = listed(screen=True)
    assert run.rc == 0, run.screen
    assert len(models) == 5
    assert {one["freshness"] for one in models.values()} == {"current"}
    assert {key for key, one in models.items() if one["pinned_in_memory"]} == {
        ("mac-mini", "qwen3:8b"), ("macbook-pro", "qwen3:8b"),
    }  # fmt: skip
    assert "mac-mini: 2 models, 19.0 GB" in run.screen


def test_by_hand_a_model_comes_and_goes_and_check_mode_says_the_same(fleet, listed, mini):
    look, models = listed(*asked("pull", "tiny"), "--check")
    assert (look.rc, ("mac-mini", "tiny:latest") in models) == (0, False), look.screen
    run, models = listed(*asked("pull", "tiny"))
    assert run.rc == 0, run.screen
    assert look.steps("mac-mini") == run.steps("mac-mini") == [("pull", "tiny:latest")]
    assert models["mac-mini", "tiny:latest"]["state"] == "unlisted"
    assert "the next site.yml removes it again" in run.screen
    refused, _ = listed(*asked("remove", "qwen3:8b"))
    assert refused.rc == 2
    assert "take it out of host_vars/mac-mini first" in refused.messages("mac-mini")
    gone, models = listed(*asked("remove", "tiny"))
    assert gone.rc == 0, gone.screen
    assert ("mac-mini", "tiny:latest") not in models
    large, _ = listed(*asked("pull", "qwen2.5vl:32b"))
    assert large.rc == 2
    assert "qwen2.5vl:32b is not pulled: does not fit" in large.messages("mac-mini")
    assert [model["name"] for model in mini.api("GET", "/api/ps")["models"]] == ["qwen3:8b"]


def test_half_of_the_fleet_is_away_and_a_registry_that_is_down_is_said(fleet, listed):
    with fleet.trouble("macbook-pro", "unreachable"), fleet.trouble("registry", "down"):
        run, models = listed(screen=True)
    assert run.rc == 0, run.screen
    assert {key[0] for key in models} == {"mac-mini"}
    assert {one["freshness"] for one in models.values()} == {"unknown"}
    assert "macbook-pro: away" in run.screen
    assert "up to date is not known" in run.screen


def test_a_tag_that_has_moved_is_told_and_pulled_where_it_is_not_pinned(fleet, listed, mini):
    with fleet.trouble("registry", "tag-moved", '["qwen3:8b", "gpt-oss:20b"]'):
        run, models = listed("-e", "models_strict=true", "--limit", "mac-mini")
        assert run.rc == 2
        assert "gpt-oss:20b is" in run.messages("mac-mini")
        assert {one["freshness"] for one in models.values()} == {"outdated"}
        pinned = next(one["digest"] for one in models.values() if one["name"] == "qwen3:8b")
        held = json.dumps({"ollama_models_installed": [{"name": "qwen3:8b", "digest": pinned[:12], "residency": "resident"}]})
        kept, models = listed(*asked("update", "qwen3:8b"), "-e", held, "--check")
        assert kept.rc == 0, kept.screen
        assert kept.steps("mac-mini") == []
        assert "is pinned to" in kept.screen
        look, _ = listed(*asked("update"), "--check")
        assert sorted(look.steps("mac-mini"))[-2:] == [("pull", "gpt-oss:20b"), ("pull", "qwen3:8b")]


def test_a_fleet_without_servers_is_a_report(tmp_path):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"children": {"ollama_servers": {"hosts": {}}}}}))
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), "-i", str(inventory), PLAY, "-e", f"models_reports_path={tmp_path}"],
        capture_output=True, text=True, cwd=ROOT, env=Fleet("nobody").environment, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr
    assert "there are no models" in " ".join((done.stdout + done.stderr).split())
    content = json.loads((tmp_path / "models.json").read_text())
    jsonschema.validate(content, SCHEMA)
    assert (content["status"], content["hosts"]) == ("not_asked", [])
