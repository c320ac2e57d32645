"""Models are measured, nobody loses what was loaded, and what was found is kept to be compared with."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jsonschema
import pytest

PLAY = "playbooks/bench.yml"
MACS = ("mac-mini", "macbook-pro")
SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "bench.schema.json").read_text())


def pinned(mac):
    """Return what is loaded, and whether it is for good."""
    return {model["name"]: model["expires_at"] > "2300" for model in mac.api("GET", "/api/ps")["models"]}


@pytest.fixture
def bench(fleet, tmp_path):
    """Give a function that measures and returns the run and the report."""

    def measured(*words):
        run = fleet.screen(PLAY, "-e", f"bench_reports_path={tmp_path}", *words)
        file = tmp_path / "bench.json"
        content = json.loads(file.read_text()) if file.exists() else None
        if content is not None:
            jsonschema.validate(content, SCHEMA)
        return run, content

    return measured


@pytest.fixture(autouse=True)
def everything_is_as_it_was(fleet):
    """Whatever a test did: at its end each Mac has its resident for good, and nothing else."""
    yield
    for name in MACS:
        mac = fleet.mac(name)
        mac.wait(lambda mac=mac: mac.answers() and pinned(mac) == {"qwen3:8b": True}, 60)


def models(content):
    return {(host["host"], model["model"]): model for host in content["hosts"] for model in host["models"]}


def test_every_model_is_measured_and_the_next_time_is_compared(fleet, bench, tmp_path):
    look, nothing = bench("--check")
    assert (look.rc, nothing) == (0, None), look.screen
    assert "planned" in look.screen
    first, content = bench("-e", "bench_gpu_power=true", "-e", "bench_gpu_power_seconds=3")
    assert first.rc == 0, first.screen
    assert [pinned(fleet.mac(name)) for name in MACS] == [{"qwen3:8b": True}] * 2
    found = models(content)
    refused = found["mac-mini", "gpt-oss:20b"]
    assert (refused["outcome"], refused["runs"]) == ("refused", [])
    assert "mac-mini has 10.4 GB" in refused["why"]
    for key in (("mac-mini", "qwen3:8b"), ("macbook-pro", "devstral-small-2:24b"), ("macbook-pro", "gpt-oss:20b")):
        assert found[key]["generation_tokens_per_second"]["median"] == 50
        assert found[key]["prompt_tokens_per_second"]["median"] == 500
        assert found[key]["load_seconds"]["median"] > 0
        assert found[key]["tools"]["passed"] == found[key]["tools"]["of"] == 3
        assert found[key]["gpu_watts"]["median"] == 12
    rows = list(csv.reader((tmp_path / "bench.csv").read_text().splitlines()))
    assert len(rows) == 1 + 4 * 3
    assert (tmp_path / "bench.svg").read_text().startswith("<svg")
    with (
        fleet.trouble("mac-mini", "ollama-token-milliseconds", "40"),
        fleet.trouble("macbook-pro", "ollama-tools-as-text", '"gpt-oss:20b"'),
    ):
        second, content = bench()
    assert second.rc == 0, second.screen
    assert "qwen3:8b: generation is at 50% of" in second.screen
    assert "gpt-oss:20b called tools as asked in 0 of 3 tries: text_instead" in second.screen
    assert models(content)["macbook-pro", "devstral-small-2:24b"]["comparison"]["worse"] == []
    assert {len(one["results"]) for one in content["history"]} == {2}


def test_half_of_the_fleet_is_away_and_the_other_half_is_measured(fleet, bench):
    with fleet.trouble("macbook-pro", "unreachable"):
        run, content = bench("-e", '{"bench_models": ["qwen3:8b"]}')
    assert run.rc == 0, run.screen
    assert {host["host"]: host["outcome"] for host in content["hosts"]} == {"mac-mini": "asked", "macbook-pro": "away"}
    assert list(models(content)) == [("mac-mini", "qwen3:8b")]


def test_nobody_answers_and_that_is_a_report(fleet, bench):
    with fleet.trouble("macbook-pro", "unreachable"), fleet.trouble("mac-mini", "unreachable"):
        run, content = bench()
    assert run.rc == 4, run.screen
    assert {host["host"]: host["outcome"] for host in content["hosts"]} == {"mac-mini": "not_asked", "macbook-pro": "away"}
    assert "Traceback" not in run.screen


def test_one_that_is_ended_leaves_the_residents_loaded(fleet, bench, mini, tmp_path):
    with fleet.trouble("mac-mini", "ollama-load-delay", "5"):
        process = fleet.begin(PLAY, "-e", f"bench_reports_path={tmp_path}", "--limit", "mac-mini")
        mini.wait(lambda: not pinned(mini), 60)
        found = mini.run("sh", "-c", "cat ~/.ansible/tmp/*/progress.json")
        mini.run("kill", "-TERM", str(json.loads(found)["pid"]))
        screen, _ = process.communicate(timeout=120)
    assert process.returncode == 2, screen
    assert "It was ended (signal SIGTERM); what was loaded before is loaded again" in screen
    assert pinned(mini) == {"qwen3:8b": True}
    content = json.loads((tmp_path / "bench.json").read_text())
    assert models(content)["mac-mini", "qwen3:8b"]["outcome"] == "failed"


def test_a_mac_that_begins_to_swap_is_spared(fleet, bench, mini):
    with fleet.trouble("mac-mini", "memory-pressure", "4"):
        run, content = bench("--limit", "mac-mini")
    assert run.rc == 2, run.screen
    assert models(content)["mac-mini", "qwen3:8b"]["outcome"] == "stopped"
    assert "critical memory pressure" in run.screen
