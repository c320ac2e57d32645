"""Whether models fit: the stories of the owner's document, measured working sets, laws, and figures that are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.fleet.memory import (
    GB,
    GIB,
    Mac,
    Model,
    bytes_of_gb,
    gpu_working_set_bytes,
    judge,
    models_from_inventory,
)
from hypothesis import given
from hypothesis import strategies as st

from filter_plugins.ram_budget import ram_budget

MINI = Mac("mac-mini", 16 * GIB, 15, 4 * GB, 6 * GB)
MACBOOK = Mac("macbook-pro", 48 * GIB, 15, 4 * GB)


def model(name, size_gb, *, resident=False, fallback=False, loaded_gb=None):
    return Model(name, round(size_gb * GB), resident, fallback, None if loaded_gb is None else round(loaded_gb * GB))


QWEN = model("qwen3:8b", 5.2, resident=True, fallback=True)
OSS = model("gpt-oss:20b", 13.8)
DEV = model("devstral-small-2:24b", 15.2, fallback=True)


def said(findings):
    return [(finding.item, finding.severity) for finding in findings]


@pytest.mark.parametrize(
    ("mac", "models", "findings"),
    [
        pytest.param(MINI, [], [], id="no models"),
        pytest.param(MINI, [QWEN], [], id="mini: qwen3:8b stays loaded"),
        pytest.param(MINI, [QWEN, OSS], [("on-demand-would-swap", "warning")], id="mini: gpt-oss:20b by hand only"),
        pytest.param(
            MINI,
            [QWEN, replace(OSS, automatic_fallback=True)],
            [("fallback-would-drown", "error")],
            id="mini: gpt-oss:20b in an automatic fallback",
        ),
        pytest.param(
            MINI,
            [QWEN, replace(OSS, resident=True)],
            [("resident-set-over-budget", "error"), ("resident-over-limit", "error")],
            id="mini: gpt-oss:20b kept loaded, the story of 15.6 GB of swap",
        ),
        pytest.param(
            replace(MINI, max_loaded_bytes=None),
            [replace(OSS, resident=True)],
            [("resident-set-over-budget", "error")],
            id="mini: gpt-oss:20b alone is too much without any limit",
        ),
        pytest.param(
            MINI, [model("m:1", 7, resident=True)], [("resident-over-limit", "error")], id="mini: one resident over the limit"
        ),
        pytest.param(MACBOOK, [QWEN, DEV, replace(OSS, automatic_fallback=True)], [], id="MacBook: the whole set"),
        pytest.param(
            MACBOOK, [QWEN, replace(DEV, resident=True)], [], id="MacBook: two residents fit"
        ),
        pytest.param(
            MACBOOK,
            [QWEN, replace(DEV, resident=True), replace(OSS, automatic_fallback=True)],
            [("fallback-would-drown", "error")],
            id="MacBook: a third one beside two residents",
        ),
        pytest.param(
            MACBOOK,
            [replace(one, resident=True) for one in (QWEN, DEV, OSS)] + [model("qwen2.5vl:32b", 21.2, resident=True)],
            [("resident-set-over-budget", "error")],
            id="MacBook: everything at once",
        ),
        pytest.param(MINI, [replace(QWEN, loaded_bytes=20 * GB)], [("resident-set-over-budget", "error")], id="measured: more"),
        pytest.param(MINI, [QWEN, replace(OSS, automatic_fallback=True, loaded_bytes=GB)], [], id="measured: less"),
    ],
)  # fmt: skip
def test_stories(mac, models, findings):
    assert said(judge(mac, models)) == findings


def test_a_refusal_names_host_model_and_the_sum_that_does_not_fit():
    finding = judge(MINI, [QWEN, replace(OSS, resident=True)])[0]
    sentence = finding.sentence()
    for word in ("mac-mini", "gpt-oss:20b", "qwen3:8b", "16 GiB", "on_demand"):
        assert word in sentence
    assert finding.found in sentence
    assert finding.wanted in sentence


@pytest.mark.parametrize(
    ("gib", "macos", "mib"),
    [
        (8, 15, 5461), (16, 15, 10922), (24, 15, 16384), (32, 15, 21845), (36, 15, 27648), (48, 15, 36864), (64, 15, 49152),
        (96, 15, 73728), (128, 15, 98304), (16, 14, 10922), (16, 26, 12124), (18, 26, 13640), (24, 26, 18186), (32, 26, 25559),
        (36, 26, 28754), (48, 26, 38338), (64, 26, 53084), (128, 26, 110100), (16, 27, 12124),
    ],
)  # fmt: skip
def test_the_share_of_the_gpu_is_as_logged_on_real_macs(gib, macos, mib):
    assert gpu_working_set_bytes(gib * GIB, macos) / 2**20 == pytest.approx(mib, rel=0.02)


SETS = st.lists(
    st.builds(
        Model,
        st.sampled_from(["a:1", "b:1", "c:1"]),
        st.integers(1, 60 * GB),
        st.booleans(),
        st.booleans(),
        st.none() | st.integers(1, 60 * GB),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)
MACS = st.builds(
    Mac,
    st.just("m"),
    st.sampled_from([8, 16, 18, 24, 32, 36, 48, 64, 96, 128]).map(lambda gib: gib * GIB),
    st.integers(14, 27),
    st.integers(0, 8 * GB),
    st.none() | st.integers(1, 60 * GB),
)


def errors(mac, models):
    return [finding for finding in judge(mac, models) if finding.severity == "error"]


@given(MACS, SETS, st.integers(0, 64))
def test_more_memory_never_brings_an_error(mac, models, more):
    bigger = replace(mac, memory_bytes=mac.memory_bytes + more * GIB)
    assert len(errors(bigger, models)) <= len(errors(mac, models))


@given(MACS, SETS, st.integers(0, 4 * GB))
def test_a_smaller_reserve_never_brings_an_error(mac, models, less):
    smaller = replace(mac, reserve_bytes=max(0, mac.reserve_bytes - less))
    assert len(errors(smaller, models)) <= len(errors(mac, models))


@given(MACS, SETS.filter(bool), st.integers(1, 10 * GB))
def test_a_larger_model_never_takes_an_error_away(mac, models, more):
    first = models[0]
    grown = replace(first, file_bytes=first.file_bytes + more, loaded_bytes=first.loaded_bytes and first.loaded_bytes + more)
    before = {(finding.item, finding.wanted) for finding in errors(mac, models) if finding.item == "resident-set-over-budget"}
    after = {(finding.item, finding.wanted) for finding in errors(mac, [grown, *models[1:]])}
    assert before <= after
    assert bool(errors(mac, models)) <= bool(errors(mac, [grown, *models[1:]]))


@given(MACS, SETS, st.randoms())
def test_the_order_of_the_models_does_not_matter(mac, models, random):
    shuffled = list(models)
    random.shuffle(shuffled)
    assert judge(mac, shuffled) == judge(mac, models)


@given(MACS, SETS)
def test_no_error_means_that_the_residents_fit_together(mac, models):
    need = sum(one.need_bytes for one in models if one.resident)
    assert (need > mac.budget_bytes) == any(f.item == "resident-set-over-budget" for f in judge(mac, models))


HOSTILE = [
    "five",
    "",
    "5,2",
    "nan",
    True,
    False,
    float("nan"),
    float("inf"),
    float("-inf"),
    -1,
    -0.1,
    1e30,
    10**400,
    [5],
    {},
    None,
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_a_figure_that_is_none_is_refused_by_the_name_of_its_variable(value):
    with pytest.raises(ValueError, match=r"ram_budget_memory_gib is .*must be a number"):
        bytes_of_gb(value, "ram_budget_memory_gib")


@pytest.mark.parametrize(
    ("value", "count"), [(5.2, 5_200_000_000), (16, 16 * GB), ("5.2", 5_200_000_000), (0.000000001, 1), (10**6, 10**15)]
)
def test_figures(value, count):
    assert bytes_of_gb(value, "x") == count


def test_zero_is_a_figure_only_where_it_has_a_meaning():
    assert bytes_of_gb(0, "x", zero=True) == 0
    with pytest.raises(ValueError, match="above 0"):
        bytes_of_gb(0, "x")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        pytest.param("qwen3:8b", r"ollama_models_installed\[1\] is 'qwen3:8b'", id="text"),
        pytest.param(None, r"ollama_models_installed\[1\] is None", id="nothing"),
        pytest.param({"name": "a:1"}, r"ollama_models_installed\[1\].size_gb is None", id="no size"),
        pytest.param({"name": "a:1", "size_gb": "big"}, r"ollama_models_installed\[1\].size_gb is 'big'", id="size as text"),
        pytest.param(
            {"name": "a:1", "size_gb": 5, "loaded_gb": -1}, r"ollama_models_installed\[1\].loaded_gb is -1", id="negative figure"
        ),
        pytest.param({"size_gb": 5}, "ollama_models_installed|model name", id="no name"),
        pytest.param({"name": "a b", "size_gb": 5}, "'a b' is not a model name", id="bad name"),
    ],
)
def test_an_entry_that_cannot_be_read_is_named(entry, says):
    with pytest.raises(ValueError, match=says):
        models_from_inventory([{"name": "qwen3:8b", "size_gb": 5.2}, entry])


def test_the_inventory_becomes_models():
    read = models_from_inventory(
        [{"name": "qwen3", "size_gb": 5.2, "residency": "resident", "automatic_fallback": True}, {"name": "b:1", "size_gb": 1}]
    )
    assert read == (Model("qwen3:latest", 5_200_000_000, True, True), Model("b:1", GB, False, False))


ENTRY = {"name": "gpt-oss:20b", "size_gb": 13.8, "residency": "resident"}


def test_the_filter_judges_as_the_core_does():
    (over, limit) = ram_budget([ENTRY], "mac-mini", 16, 15, 4, 6)
    assert (over["host"], over["item"], over["severity"]) == ("mac-mini", "resident-set-over-budget", "error")
    assert limit["item"] == "resident-over-limit"
    assert ram_budget([ENTRY], "macbook-pro", 48) == []


@pytest.mark.parametrize(
    ("figures", "variable"),
    [
        ({"memory_gib": "much"}, "ram_budget_memory_gib"),
        ({"memory_gib": None}, "ram_budget_memory_gib"),
        ({"memory_gib": 0}, "ram_budget_memory_gib"),
        ({"reserve_gb": -1}, "ram_budget_reserve_gb"),
        ({"reserve_gb": True}, "ram_budget_reserve_gb"),
        ({"max_loaded_model_gb": "six"}, "ram_budget_max_loaded_model_gb"),
        ({"max_loaded_model_gb": float("nan")}, "ram_budget_max_loaded_model_gb"),
        ({"macos_major": "sequoia"}, "ram_budget_macos_major"),
        ({"macos_major": float("inf")}, "ram_budget_macos_major"),
        ({"macos_major": [15]}, "ram_budget_macos_major"),
    ],
    ids=str,
)
def test_the_filter_names_the_variable_in_every_complaint(figures, variable):
    with pytest.raises(ValueError, match=variable):
        ram_budget([ENTRY], "mac-mini", **{"memory_gib": 16, **figures})
