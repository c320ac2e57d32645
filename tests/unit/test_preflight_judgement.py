"""Figures, judgement and report put together, on the fleet of the inventory and on small ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.preflight.judgement import (
    ask_what_if,
    bench_wishes,
    file_names,
    judge_free_disk,
    judge_host,
    judge_loaded,
    models_on_macs,
    preflight,
    refusals,
    wanted_models,
)
from ansible.module_utils.preflight.sources import Sources, collect

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"OLLAMA_HOST": "0.0.0.0", "OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"}
QWEN = {"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident", "automatic_fallback": True}
GPT_OSS = {"name": "gpt-oss:20b", "size_gb": 13.8, "residency": "on_demand", "automatic_fallback": False, "swap_risk": "accepted"}
DEVSTRAL = {"name": "devstral-small-2:24b", "size_gb": 15.2, "residency": "resident"}


def host(gib, *models, **more):
    return {
        "ram_budget_memory_gib": gib,
        "ram_budget_max_loaded_model_gb": 6 if gib == 16 else None,
        "ollama_service_environment": ENVIRONMENT,
        "ollama_models_installed": list(models),
        **more,
    }


def figures(*hosts):
    catalogue = yaml.safe_load((ROOT / "catalogue" / "models.yml").read_text())
    names = wanted_models({str(at): one for at, one in enumerate(hosts)})
    wanted = {name: None if size is None else round(size * 10**9) for name, size in names.items()}
    return collect(wanted, Sources(catalogue=catalogue))


def rules(variables, severity="error"):
    judged = judge_host(variables, "mac", figures(variables))
    return {finding["item"] for finding in judged["findings"] if finding["severity"] == severity}


@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        pytest.param(host(16, QWEN), set(), id="the small model on 16 GB"),
        pytest.param(host(16, QWEN, GPT_OSS), set(), id="the large one on demand, accepted"),
        pytest.param(host(16, QWEN, {**GPT_OSS, "swap_risk": "refused"}), {"never-fits-gpu"}, id="on demand, not accepted"),
        pytest.param(
            host(16, {**GPT_OSS, "residency": "resident"}), {"resident-set-over-budget", "resident-over-limit"}, id="resident"
        ),
        pytest.param(host(16, QWEN, {**GPT_OSS, "automatic_fallback": True}), {"fallback-would-drown"}, id="in a chain"),
        pytest.param(host(48, QWEN, DEVSTRAL, GPT_OSS), set(), id="the set of the MacBook"),
    ],
)
def test_the_stories_of_this_fleet(variables, refused):
    found = rules(variables)
    assert refused <= found
    assert bool(found) == bool(refused)


def test_a_set_that_cannot_be_read_is_a_finding_and_no_row():
    judged = judge_host(host("a lot", QWEN), "mac", {})
    assert judged["row"] is None
    assert ["ram_budget_memory_gib" in finding["why"] for finding in judged["findings"]] == [True]


def test_the_report_names_its_files_and_its_schema():
    variables = host(16, QWEN)
    texts = preflight([judge_host(variables, "mac", figures(variables))])
    files = file_names(texts, "preflight")
    assert sorted(files) == ["budget.html", "preflight.json"]
    assert json.loads(files["preflight.json"])["schema"] == "ollama-fleet/preflight"
    assert "qwen3:8b" in texts["table"]


def test_a_model_is_asked_for_once_under_its_full_name():
    hosts = {
        "a": host(16, {"name": "Qwen3", "size_gb": 1}),
        "b": host(16, {"name": "Qwen3:latest"}, ollama_models_candidates=[{"name": "x"}]),
    }
    assert wanted_models(hosts) == {"Qwen3:latest": 1, "x:latest": None}


@pytest.mark.parametrize(
    ("question", "fits"),
    [({"models": ["qwen3:14b"]}, False), ({"models": ["qwen3:8b"]}, True)],
    ids=["beside the resident", "is the resident"],
)
def test_what_if_on_the_small_mac(question, fits):
    variables = host(16, QWEN, ollama_models_candidates=[{"name": "qwen3:14b", "size_gb": 9.3}])
    texts = ask_what_if({"mac": variables}, figures(variables), question)
    answer = json.loads(texts["json"])["hosts"][0]["answers"][0]
    assert answer["fits"] is fits
    assert fits or answer["would_fit"]


def test_what_if_about_a_model_that_nobody_knows_is_a_finding():
    texts = ask_what_if({"mac": host(16, QWEN)}, figures(host(16, QWEN)), {"models": ["nosuch:1b"]})
    assert [finding["severity"] for finding in json.loads(texts["json"])["findings"]] == ["error"]


def loaded(size, context=4096):
    return [{"name": "qwen3:8b", "digest": "d", "size": size, "size_vram": size, "context_length": context, "pinned": True}]


@pytest.mark.parametrize(
    ("size", "context", "severity"),
    [
        (5_310_000_000, 4096, "note"),
        (6_500_000_000, 4096, "warning"),
        (4_000_000_000, 4096, "warning"),
        (5_310_000_000, 8192, "warning"),
    ],
    ids=["as predicted", "larger", "smaller", "another context"],
)
def test_what_is_in_memory_is_held_against_the_prediction(size, context, severity):
    variables = host(16, QWEN)
    row = judge_host(variables, "mac", figures(variables))["row"]
    assert [finding["severity"] for finding in judge_loaded("mac", row, loaded(size, context))] == [severity]


def test_memory_that_could_not_be_read_is_not_judged():
    assert judge_loaded("mac", {"models": []}, {"unknown": "timed out"}) == []


@pytest.mark.parametrize(
    ("pulls", "free", "severities"),
    [
        (["gpt-oss:20b"], 16 * 10**9, []),
        (["gpt-oss:20b"], 15 * 10**9, ["error"]),
        ([], 0, []),
        (["gpt-oss:20b"], {"unknown": "no volume"}, ["warning"]),
    ],
    ids=["fits with a tenth to spare", "does not", "nothing to pull", "unknown"],
)
def test_the_disk_is_judged_before_pulling(pulls, free, severities):
    known = figures(host(16, GPT_OSS))
    assert [finding["severity"] for finding in judge_free_disk("mac", pulls, free, known, [GPT_OSS])] == severities


def test_only_macs_that_were_seen_say_something_of_their_models():
    seen = {"fleet_plan_observation": {"models": {"installed": [{"name": "a"}], "shown": {"a": {}}}}}
    assert models_on_macs({"a": seen, "b": {}, "c": {"fleet_plan_observation": {"models": {"unknown": "x"}}}}) == {
        "a": {"tags": [{"name": "a"}], "show": {"a": {}}}
    }


# What may be loaded at all. ---------------------------------------------------------------------------------------------


def wishes(variables, asked=(), installed=None):
    observation = {"models": {"installed": [{"name": n, "size": s} for n, s in installed.items()]}} if installed else {}
    return {one["name"]: one["refused"] for one in bench_wishes(list(asked), "mac", variables, figures(variables), observation)}


def test_a_model_that_fits_alone_may_be_measured_and_one_that_does_not_is_refused_with_the_sum():
    found = wishes(host(16, QWEN, GPT_OSS))
    assert found["qwen3:8b"] == ""
    assert re.search(r"does not fit: gpt-oss:20b .* needs 1[0-9.]+ GB of GPU memory", found["gpt-oss:20b"])
    assert set(wishes(host(48, QWEN, GPT_OSS, DEVSTRAL)).values()) == {""}


def test_names_that_were_asked_for_are_measured_and_no_others():
    assert list(wishes(host(16, QWEN, GPT_OSS), ["qwen3", "qwen3:8b"], {"qwen3:8b": 5})) == ["qwen3:latest", "qwen3:8b"]


def test_a_model_that_no_source_knows_is_bounded_by_what_is_installed():
    small, large = wishes(host(16, QWEN), ["a:1", "b:1"], {"a:1": 10**9, "b:1": 15 * 10**9}).values()
    assert small == ""
    assert "does not fit" in large
    assert wishes(host(16, QWEN), ["a:1"])["a:1"] == "nothing is known of its size"


def test_a_mac_that_cannot_be_judged_measures_nothing():
    found = refusals({**host(16, QWEN), "ram_budget_memory_gib": "many"}, "mac", {}, {}, ["qwen3:8b"])
    assert "preflight cannot judge this Mac" in found["qwen3:8b"]


def test_the_context_of_the_inventory_is_the_one_that_is_asked_for():
    (one,) = bench_wishes([], "mac", host(16, {**QWEN, "context_length": 8192}), {}, {})
    assert one["context"] == 8192
