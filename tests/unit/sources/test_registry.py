"""The lab's registry, over TLS and plain: the figures that come out are those that went in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.fleet.architecture import from_catalogue, from_plain
from ansible.module_utils.preflight.cache import Cache, cache_folder
from ansible.module_utils.preflight.registry import Registry
from ansible.module_utils.preflight.sources import OnMac, Sources, collect, on_macs
from ansible.module_utils.preflight.web import Limits, Web
from registry import catalogue as lab

from tests.lab.ollama_support import Registry as Lab
from tests.lab.ollama_support import running_registry

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = yaml.safe_load((ROOT / "catalogue/models.yml").read_text(encoding="utf-8"))
MODELS = CATALOGUE["models"]
LIMITS = Limits(connect_seconds=2, request_seconds=5, total_seconds=30)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def lab_registry(started: Lab) -> Iterator[Lab]:
    started.fault()
    yield started
    started.fault()


def asking(found: Lab, *, secure: bool = False, limits: Limits = LIMITS, **more: Any) -> Sources:
    """Return sources that take the lab's registry for every host."""
    url = f"https://127.0.0.1:{found.secure}" if secure else f"http://127.0.0.1:{found.plain}"
    web = Web(limits, str(found.ca) if secure else None)
    return Sources(Registry(web, {"registry.ollama.ai": url, "hf.co": url}), **more)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_every_model_of_the_fleet_is_read_from_its_header(lab_registry: Lab, secure: bool) -> None:
    asked = asking(lab_registry, secure=secure)
    found = collect(dict.fromkeys(MODELS), asked)
    assert asked.registry
    assert asked.registry.web.read_bytes < len(MODELS) * 200_000
    for name, one in found.items():
        assert (one["source"], one["exists"], one["problems"]) == ("registry", True, []), name
        assert one["digest"] == lab.load().entries[lab.full_name(name)].digest.removeprefix("sha256:")
        assert one["architecture"]["exact"], name
        declared = MODELS[name]["architecture"]
        for figure in ("block_count", "key_length", "value_length", "cpu_bytes", "embedding_length", "train_context"):
            assert one["architecture"][figure] == declared[figure], (name, figure)
        assert one["architecture"]["kv_heads"] == [declared["kv_heads"]] * declared["block_count"]
        assert one["sizes"]["total_bytes"] == declared["weights_bytes"]
        assert from_plain(one["architecture"]).to_plain() == one["architecture"]


def test_an_unknown_certificate_is_a_sentence(lab_registry: Lab) -> None:
    url = f"https://127.0.0.1:{lab_registry.secure}"
    found = collect({"qwen3:8b": None}, Sources(Registry(Web(LIMITS), {"registry.ollama.ai": url})))["qwen3:8b"]
    assert "certificate" in found["problems"][0].lower()


@pytest.mark.parametrize(
    "faults", [{"down": True}, {"status": 503}, {"status": 429}, {"token": True}, {"cut": 1000}, {"slow": 2000}]
)
def test_a_fault_of_the_registry_leads_to_the_catalogue(lab_registry: Lab, faults: dict[str, Any]) -> None:
    lab_registry.fault(**faults)
    asked = asking(lab_registry, catalogue=CATALOGUE, limits=Limits(1, 1, 4))
    found = collect({"gpt-oss:20b": 13_800_000_000}, asked)["gpt-oss:20b"]
    assert found["architecture"]["sliding_window"] == 128
    assert found["source"] == ("catalogue" if found["problems"] else "registry")
    assert found["exists"] in (None, True)


def test_a_name_the_registry_does_not_have_is_said_and_still_judged_by_the_catalogue(lab_registry: Lab) -> None:
    lab_registry.fault(not_found="qwen3:14b")
    found = collect({"qwen3:14b": None, "qwen3:14b-q3_K_M": 7_300_000_000}, asking(lab_registry, catalogue=CATALOGUE))
    assert [(one["exists"], one["source"]) for one in found.values()] == [(False, "catalogue"), (False, "declared")]
    assert "knows no qwen3:14b-q3_K_M" in found["qwen3:14b-q3_K_M"]["problems"][0]


def test_a_declared_size_that_is_not_the_true_one_is_reported(lab_registry: Lab) -> None:
    sizes = {"qwen3:8b": 5_200_000_000, "gpt-oss:20b": 13_000_000_000, "qwen3:14b": 92_000_000_000, "qwen2.5vl:32b": None}
    found = collect(sizes, asking(lab_registry))
    told = {name: [one for one in found[name]["problems"] if "size_gb" in one] for name in sizes}
    assert told == {
        "qwen3:8b": [],
        "gpt-oss:20b": ["gpt-oss:20b: size_gb declares 13.0 GB, it has 13.8 GB (registry); correct size_gb."],
        "qwen3:14b": ["qwen3:14b: size_gb declares 92.0 GB, it has 9.3 GB (registry); correct size_gb."],
        "qwen2.5vl:32b": [],
    }


SHOW = {
    "details": {"family": "qwen3", "quantization_level": "Q4_K_M"},
    "model_info": {
        "general.architecture": "qwen3",
        "general.parameter_count": 8_190_735_360,
        "qwen3.block_count": 36,
        "qwen3.attention.head_count": 32,
        "qwen3.attention.head_count_kv": 8,
        "qwen3.attention.key_length": 128,
        "qwen3.attention.value_length": 128,
        "qwen3.context_length": 40960,
        "qwen3.embedding_length": 4096,
        "qwen3.feed_forward_length": 12288,
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [],
    },
}
TAG = {"name": "qwen3:8b", "digest": "a" * 64, "size": 5_225_388_164}


def test_a_mac_comes_first_and_nobody_else_is_asked(lab_registry: Lab) -> None:
    asked = asking(lab_registry, macs=on_macs({"mini": {"tags": {"models": [TAG]}, "show": {"qwen3:8b": SHOW}}}))
    found = collect({"QWEN3:8b": 5_200_000_000}, asked)["QWEN3:8b"]
    assert (found["source"], found["exists"], found["digest"]) == ("mac", True, "a" * 64)
    assert found["architecture"]["block_count"] == 36
    assert asked.registry
    assert asked.registry.web.requests == 0


def test_a_mac_that_only_lists_it_leaves_the_header_to_the_registry_if_it_is_the_same(lab_registry: Lab) -> None:
    digest = lab.load().entries["library/qwen3:8b"].digest.removeprefix("sha256:")
    same = OnMac("mini", {**TAG, "digest": digest})
    found = collect({"qwen3:8b": None}, asking(lab_registry, macs=[same]))["qwen3:8b"]
    assert (found["source"], found["digest"], found["architecture"]["block_count"]) == ("registry", digest, 36)


@pytest.mark.parametrize("show", [{}, {"model_info": None}, {"model_info": {"general.architecture": 7}}, {"model_info": []}])
@pytest.mark.parametrize("tag", [{}, {"size": "much"}, {"size": -1}, {"digest": None}])
def test_nonsense_of_a_mac_is_a_sentence(show: dict[str, Any], tag: dict[str, Any]) -> None:
    macs = on_macs({"mini": {"tags": [{**TAG, **tag}, None, {"name": 5}], "show": {"qwen3:8b": show}}, "other": {"tags": "x"}})
    found = collect({"qwen3:8b": None}, Sources(macs=macs, catalogue=CATALOGUE))["qwen3:8b"]
    assert found["source"] == "catalogue"
    assert all(one.startswith("qwen3:8b: ") for one in found["problems"])
    assert found["problems"]


@pytest.mark.parametrize("name", ["", "a b", "a/b/c/d", "../x", "x" * 200, "a:\n"])
def test_a_name_that_is_none_is_a_sentence(name: str) -> None:
    found = collect({name: 10**9}, Sources(catalogue=CATALOGUE))[name]
    assert (found["source"], found["exists"]) == ("declared", None)
    assert "not a model name" in found["problems"][0]


@pytest.mark.parametrize(
    "content", [{}, {"models": None}, {"models": {"qwen3:8b": 3}}, {"models": {5: {}, "qwen3:8b": {}}}, [], "x"]
)
def test_a_broken_catalogue_is_a_sentence(content: Any) -> None:
    found = collect({"qwen3:8b": None}, Sources(catalogue=content))["qwen3:8b"]
    assert (found["source"], found["architecture"]) == ("unknown", None)
    assert "declare size_gb" in found["problems"][-1]


# The catalogue. -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_figure_of_the_catalogue_has_a_source(name: str) -> None:
    entry = MODELS[name]
    figures = {*entry["architecture"], *(key for key in entry if key not in ("architecture", "sources"))}
    assert figures - {"exact", "notes"} <= {key for key, text in entry["sources"].items() if text}
    assert from_catalogue(name, entry["architecture"]).block_count


def test_the_catalogue_has_the_models_of_the_fleet() -> None:
    wanted = set()
    for path in (ROOT / "host_vars").glob("*/ollama_models.yml"):
        variables = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key in ("ollama_models_installed", "ollama_models_candidates"):
            wanted |= {model["name"] for model in variables.get(key) or ()}
    assert wanted <= set(MODELS)


# The cache's place. -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/ollama-fleet"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/ollama-fleet"),
        ({"HOME": "/h"}, "/h/.cache/ollama-fleet"),
        ({}, "None"),
    ],
)
def test_the_cache_is_where_the_user_keeps_caches(environment: dict[str, str], folder: str) -> None:
    assert str(cache_folder(environment)) == folder


def test_a_cache_without_a_folder_keeps_nothing() -> None:
    cache = Cache(None)
    cache.keep_beginning("sha256:" + "0" * 64, b"x")
    assert cache.beginning("sha256:" + "0" * 64) == b""
