"""What if: the answers for the models that were thought about, and for any other."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.fleet.architecture import from_declared
from ansible.module_utils.fleet.memory_model import KV_TYPES
from ansible.module_utils.fleet.units import GB, shown
from ansible.module_utils.fleet.whatif import Place, what_if

from tests.unit.budget.examples import MACBOOK, MINI, MODELS, OSS, QWEN8, QWEN14, resident, settings

CAPPED = settings(LLAMA_ARG_CACHE_RAM="512")
PLACES = [Place(MINI, CAPPED, (resident(QWEN8),)), Place(MACBOOK, CAPPED, (resident(QWEN8),))]


def test_qwen3_14b_fits_the_mini_alone_and_the_macbook_beside_what_it_has():
    mini, book = what_if(QWEN14, PLACES)
    assert (mini["host"], mini["fits_resident"], mini["fits_on_demand"], mini["fits_alone"]) == ("mac-mini", False, False, True)
    assert mini["largest_context"]["f16"] == {"resident": 0, "on_demand": 0, "alone": 4096}
    assert mini["largest_context"]["q8_0"]["alone"] == 8192
    assert mini["over_limit"]
    assert (book["fits_resident"], book["fits_on_demand"], book["fits_alone"]) == (True, True, True)
    assert "fits alone, not beside qwen3:8b" in mini["verdict"]


def test_gpt_oss_never_fits_the_mini():
    (mini, book) = what_if(OSS, PLACES)
    assert not mini["fits_alone"]
    assert all(sizes == {"resident": 0, "on_demand": 0, "alone": 0} for sizes in mini["largest_context"].values())
    assert mini["verdict"].startswith("does not fit")
    assert book["fits_resident"]


def test_the_vision_model_fits_the_macbook_only():
    mini, book = what_if(MODELS["qwen2.5vl:32b"], PLACES, context=8192)
    assert not mini["fits_alone"]
    assert book["fits_alone"]
    assert book["vision_bytes"] > 0


def test_context_and_cache_type_of_the_question_win():
    (mini,) = what_if(QWEN8, PLACES[:1], context="8192", kind="f16")
    assert (mini["context"], mini["kv_type"], mini["batch"]) == (8192, "f16", 1024)
    assert mini["kv_bytes"] == 1152 * 2**20
    # The model itself is no neighbour of itself.
    assert mini["residents"] == []


def test_the_answer_is_json_with_the_names_of_the_reports():
    for answer in what_if(QWEN14, PLACES):
        again = json.loads(json.dumps(answer))
        assert again == answer
        for key in (
            "name",
            "context",
            "kv_type",
            "weights_bytes",
            "kv_bytes",
            "compute_bytes",
            "expected_ps_bytes",
            "budget_bytes",
        ):
            assert key in answer
        assert answer["source"] == "catalogue"
        assert set(answer["largest_context"]) == set(KV_TYPES)


def test_a_model_of_which_only_the_size_is_known_says_so():
    (mini,) = what_if(from_declared("new:1", 3 * GB), [replace(PLACES[0], plans=())])
    assert mini["source"] == "declared"
    assert not mini["exact"]
    assert mini["notes"]


@pytest.mark.parametrize("value", ["much", 0, -1, float("nan"), 10**30, [1], {}, True, 1.5], ids=shown)
def test_a_context_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"^ctx is "):
        what_if(QWEN8, PLACES, context=value)


@pytest.mark.parametrize("value", ["q8", 8, ["f16"]], ids=shown)
def test_a_cache_type_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"^kv is "):
        what_if(QWEN8, PLACES, kind=value)
