"""The rules: the stories of the owner's document, each rule by itself, its laws, and hostile inventories."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.fleet.architecture import from_declared
from ansible.module_utils.fleet.budget_rules import (
    RULES,
    judge,
    judge_disk,
    judge_inventory,
    judge_load_order,
    plans_from_inventory,
)
from ansible.module_utils.fleet.memory_model import Mac, Plan, Settings
from ansible.module_utils.fleet.units import GB, GIB, shown
from ansible.module_utils.fleet.vocabulary import Unknown
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.budget.examples import (
    DEVSTRAL,
    MACBOOK,
    MINI,
    MODELS,
    OSS,
    OWNERS,
    QWEN8,
    QWEN14,
    resident,
    said,
    settings,
)

CAPPED = settings(LLAMA_ARG_CACHE_RAM="512")
ROOMY = settings(LLAMA_ARG_CACHE_RAM="2048", OLLAMA_CONTEXT_LENGTH="8192")
THREE = [resident(QWEN8), resident(DEVSTRAL), resident(OSS)]

NEVER, SWAP = ("never-fits-gpu", "error"), ("on-demand-would-swap", "error")
NEVER_W, SWAP_W = ("never-fits-gpu", "warning"), ("on-demand-would-swap", "warning")


@pytest.mark.parametrize(
    ("mac", "chosen", "plans", "findings"),
    [
        pytest.param(MINI, CAPPED, [], [], id="no models"),
        pytest.param(MINI, CAPPED, [resident(QWEN8, automatic_fallback=True)], [], id="mini: qwen3:8b stays loaded"),
        pytest.param(
            MINI, settings(), [resident(QWEN8)], [("prompt-cache-uncapped", "warning")], id="mini: as the owner's document has it"
        ),
        pytest.param(
            MINI,
            settings(LLAMA_ARG_CACHE_RAM="512", OLLAMA_KV_CACHE_TYPE="f16"),
            [resident(QWEN8)],
            [],
            id="mini: with an f16 cache",
        ),
        pytest.param(MINI, CAPPED, [resident(QWEN8), Plan(OSS)], [NEVER, SWAP], id="mini: gpt-oss:20b on demand, nobody said so"),
        pytest.param(
            MINI, CAPPED, [resident(QWEN8), Plan(OSS, swap_risk_accepted=True)], [NEVER_W, SWAP_W], id="mini: gpt-oss:20b by hand"
        ),
        pytest.param(
            MINI,
            CAPPED,
            [resident(QWEN8), Plan(OSS, swap_risk_accepted=True, automatic_fallback=True)],
            [("fallback-would-drown", "error"), NEVER_W],
            id="mini: gpt-oss:20b in a chain, accepted or not",
        ),
        pytest.param(
            MINI,
            CAPPED,
            [resident(OSS, swap_risk_accepted=True)],
            [("resident-set-over-budget", "error"), ("resident-over-limit", "error"), NEVER],
            id="mini: gpt-oss:20b kept loaded, the story of 15.6 GB of swap",
        ),
        pytest.param(
            replace(MINI, macos_major=26, max_loaded_model_bytes=0),
            CAPPED,
            [resident(OSS)],
            [("resident-set-over-budget", "error"), NEVER],
            id="mini: not on macOS 26 either",
        ),
        pytest.param(MACBOOK, ROOMY, THREE, [], id="MacBook: three at 8192"),
        pytest.param(
            MACBOOK,
            settings(LLAMA_ARG_CACHE_RAM="2048"),
            THREE,
            [("resident-set-over-budget", "error"), ("residents-not-admitted", "error"), ("context-default-breaks-set", "error")],
            id="MacBook: three at its default of 32768",
        ),
        pytest.param(
            MACBOOK,
            settings(LLAMA_ARG_CACHE_RAM="2048", OLLAMA_CONTEXT_LENGTH="16384"),
            THREE,
            [("residents-not-admitted", "error")],
            id="MacBook: three at 16384 fit and are not admitted",
        ),
        pytest.param(
            MACBOOK,
            settings(LLAMA_ARG_CACHE_RAM="2048"),
            [resident(QWEN8), Plan(DEVSTRAL, automatic_fallback=True), Plan(OSS, automatic_fallback=True)],
            [("context-default-breaks-set", "warning")],
            id="MacBook: one resident, two fallbacks, default context",
        ),
        pytest.param(
            MACBOOK,
            ROOMY,
            [resident(QWEN8), Plan(DEVSTRAL, automatic_fallback=True), Plan(OSS, automatic_fallback=True)],
            [],
            id="MacBook: one resident, two fallbacks, 8192",
        ),
    ],
)
def test_stories(mac, chosen, plans, findings):
    assert said(judge(mac, chosen, plans)) == findings


def only(findings, rule):
    (one,) = [finding for finding in findings if finding.item == rule]
    return one


def test_a_chain_that_names_a_model_counts_like_its_own_flag():
    found = judge(MINI, CAPPED, [resident(QWEN8), Plan(OSS, swap_risk_accepted=True)], fallbacks=["GPT-OSS:20b"])
    assert said(found) == [("fallback-would-drown", "error"), NEVER_W]


def test_never_fits_explains_swap_death_in_one_line():
    one = only(judge(MINI, CAPPED, [Plan(OSS)]), "never-fits-gpu")
    assert "memory mapping" in one.why
    assert "swap" in one.why
    assert "\n" not in one.sentence()


def test_a_model_that_fits_with_other_settings_names_them():
    one = only(judge(MINI, settings(OLLAMA_CONTEXT_LENGTH="32768", LLAMA_ARG_CACHE_RAM="0"), [Plan(QWEN14)]), "never-fits-gpu")
    assert "a context of 8192 with OLLAMA_KV_CACHE_TYPE q8_0" in one.remedy


def test_the_default_context_that_breaks_a_set_names_the_one_that_does_not():
    one = only(judge(MACBOOK, settings(), THREE), "context-default-breaks-set")
    assert (one.found, one.wanted) == ("32768", "8192")
    assert "set OLLAMA_CONTEXT_LENGTH to 8192" in one.remedy


def test_residents_not_admitted_names_context_and_order():
    one = only(judge(MACBOOK, settings(LLAMA_ARG_CACHE_RAM="0"), THREE), "residents-not-admitted")
    assert (
        one.remedy == "set OLLAMA_CONTEXT_LENGTH to 8192 and load them in the order devstral-small-2:24b, gpt-oss:20b, qwen3:8b"
    )


def test_a_given_order_is_judged_and_the_right_one_named():
    (one,) = judge_load_order(MACBOOK, ROOMY, THREE)
    assert one.remedy == "load them in the order devstral-small-2:24b, gpt-oss:20b, qwen3:8b"
    assert judge_load_order(MACBOOK, ROOMY, [THREE[1], THREE[2], THREE[0]]) == ()


def test_qwen3_8b_stays_allowed_under_6_and_a_longer_f16_context_is_told():
    assert judge(MINI, settings(LLAMA_ARG_CACHE_RAM="0", OLLAMA_KV_CACHE_TYPE="f16"), [resident(QWEN8)]) == ()
    longer = settings(LLAMA_ARG_CACHE_RAM="0", OLLAMA_KV_CACHE_TYPE="f16", OLLAMA_CONTEXT_LENGTH="8192")
    one = only(judge(MINI, longer, [resident(QWEN8)]), "resident-over-limit")
    assert (one.severity, one.found, one.wanted) == ("warning", "6.3 GB", "6.0 GB")


def test_a_prompt_cache_somebody_set_too_large_is_the_cause_and_the_remedy():
    one = only(judge(MINI, settings(LLAMA_ARG_CACHE_RAM="8192"), [resident(QWEN8)]), "resident-set-over-budget")
    assert "LLAMA_ARG_CACHE_RAM to 2048" in one.remedy


@pytest.mark.parametrize(
    ("mac", "cap", "findings"),
    [
        (MINI, None, ["prompt-cache-uncapped"]), (MINI, "-1", ["prompt-cache-uncapped"]), (MINI, "0", []), (MINI, "2048", []),
        (MACBOOK, None, []), (MACBOOK, "-1", ["prompt-cache-uncapped"]),
    ],
)  # fmt: skip
def test_the_prompt_cache_is_capped_where_memory_is_small(mac, cap, findings):
    chosen = settings(OLLAMA_CONTEXT_LENGTH="4096", **({} if cap is None else {"LLAMA_ARG_CACHE_RAM": cap}))
    assert [one.item for one in judge(mac, chosen, [resident(QWEN8)])] == findings


def test_a_cap_that_is_proposed_would_fit():
    one = only(judge(MACBOOK, settings(OLLAMA_CONTEXT_LENGTH="8192"), THREE), "prompt-cache-uncapped")
    cap = one.wanted.split()[0]
    assert judge(MACBOOK, settings(OLLAMA_CONTEXT_LENGTH="8192", LLAMA_ARG_CACHE_RAM=cap), THREE) == ()


def test_a_quantised_cache_needs_flash_attention():
    one = only(judge(MINI, replace(CAPPED, flash_attention=False), [resident(QWEN8)]), "quantised-kv-without-flash-attention")
    assert one.severity == "error"
    assert judge(MINI, replace(CAPPED, flash_attention=False, kv_type="f16"), [resident(QWEN8)]) == ()


def test_more_residents_than_ollama_keeps():
    four = [resident(replace(QWEN8, name=f"qwen3:{number}")) for number in range(4)]
    one = only(judge(MACBOOK, ROOMY, four), "residents-over-max-loaded")
    assert (one.found, one.wanted) == ("4 models", "3 models")


def test_an_on_demand_model_that_only_pushes_out_a_resident_needs_acceptance_too():
    crowded = [resident(DEVSTRAL), Plan(replace(MODELS["qwen2.5vl:32b"], vision=False))]
    assert SWAP in said(judge(MACBOOK, ROOMY, crowded))
    assert SWAP_W in said(judge(MACBOOK, ROOMY, [crowded[0], replace(crowded[1], swap_risk_accepted=True)]))


def test_one_model_under_two_names():
    plans = [resident(QWEN8, digest="sha256:500a1f06"), Plan(replace(QWEN8, name="qwen3-fast:8b"), digest="500A1F06")]
    one = only(judge(MACBOOK, ROOMY, plans), "duplicate-digest")
    assert one.found == "qwen3-fast:8b, qwen3:8b"
    assert "500a1f06" in one.why


def test_a_name_the_registry_does_not_know():
    one = only(judge(MACBOOK, ROOMY, [Plan(QWEN8, in_registry=False)]), "unknown-in-registry")
    assert one.severity == "error"
    assert judge(MACBOOK, ROOMY, [Plan(QWEN8, in_registry=True), Plan(OSS, in_registry=None)]) == ()


@pytest.mark.parametrize(("declared", "reported"), [(5.2, False), (5.3, False), (5, True), (6, True), (0, False)])
def test_a_declared_size_is_held_against_the_true_one(declared, reported):
    found = judge(MACBOOK, ROOMY, [Plan(QWEN8, declared_bytes=round(declared * GB))])
    assert [one.item for one in found] == (["size-mismatch"] if reported else [])


def test_a_mere_estimate_says_that_it_is_one():
    one = only(judge(MACBOOK, ROOMY, [Plan(from_declared("m:1", 5 * GB))]), "estimate-only")
    assert one.severity == "note"


@pytest.mark.parametrize(
    ("missing", "free", "findings"),
    [
        ({}, 0, []),
        ({"qwen3:8b": 5 * GB}, 6 * GB, []),
        ({"qwen3:8b": 5 * GB}, 5_500_000_000, []),
        ({"qwen3:8b": 5 * GB}, 5_499_999_999, [("disk", "error")]),
        ({"qwen3:8b": 5 * GB, "b:1": GB}, 6 * GB, [("disk", "error")]),
        ({"qwen3:8b": 5 * GB}, Unknown("the Mac did not answer"), [("disk", "warning")]),
    ],
    ids=str,
)
def test_disk(missing, free, findings):
    found = judge_disk("mac-mini", missing, free, "/")
    assert said(found) == findings
    if isinstance(free, int):
        assert all("qwen3:8b 5.0 GB" in one.why and "mac-mini" in one.remedy for one in found)


MODEL = st.sampled_from([*MODELS.values(), DEVSTRAL, from_declared("bound:1", 7 * GB)])
PLANS = st.lists(
    st.builds(Plan, MODEL, st.booleans(), st.booleans(), st.booleans(), st.sampled_from([0, 4096, 16384])),
    max_size=5,
    unique_by=lambda plan: plan.name,
)
MACS = st.builds(
    Mac,
    st.just("some-mac"),
    st.sampled_from([8, 16, 24, 36, 48, 64, 128]).map(lambda gib: gib * GIB),
    st.integers(14, 27),
    st.integers(0, 20 * GB),
    max_loaded_model_bytes=st.sampled_from([0, 6 * GB]),
)
CHOSEN = st.builds(
    Settings,
    context_length=st.sampled_from([0, 4096, 8192, 32768, 131_072]),
    parallel=st.integers(1, 4),
    kv_type=st.sampled_from(["f16", "q8_0", "q4_0"]),
    flash_attention=st.sampled_from([None, True, False]),
    cache_ram_mib=st.sampled_from([None, -1, 0, 512, 8192]),
)


@given(MACS, CHOSEN, PLANS, st.randoms())
def test_the_order_of_the_models_changes_nothing(mac, chosen, plans, random):
    shuffled = list(plans)
    random.shuffle(shuffled)
    assert judge(mac, chosen, shuffled) == judge(mac, chosen, plans)


@given(MACS, CHOSEN, PLANS)
def test_every_finding_has_host_rule_figures_and_what_to_change(mac, chosen, plans):
    for one in judge(mac, chosen, plans):
        assert one.host == "some-mac"
        assert one.item in RULES
        assert one.found
        assert one.wanted
        assert one.why
        accepted = one.item == "on-demand-would-swap" and one.severity == "warning"
        assert bool(one.remedy) or accepted
        assert "\n" not in one.sentence()


@given(MACS, CHOSEN, PLANS)
def test_accepting_a_risk_takes_errors_away_and_no_finding(mac, chosen, plans):
    refused = judge(mac, chosen, [replace(plan, swap_risk_accepted=False) for plan in plans])
    accepted = judge(mac, chosen, [replace(plan, swap_risk_accepted=True) for plan in plans])
    assert sorted(one.item for one in refused) == sorted(one.item for one in accepted)
    assert sum(one.severity == "error" for one in accepted) <= sum(one.severity == "error" for one in refused)


KNOWN = {name: model for name, model in MODELS.items() if name != "qwen3:14b"}
MINI_VARIABLES = {
    "ram_budget_memory_gib": 16,
    "ram_budget_macos_major": 15,
    "ram_budget_max_loaded_model_gb": 6,
    "ollama_service_environment": {**OWNERS, "LLAMA_ARG_CACHE_RAM": "512"},
    "ollama_models_installed": [
        {"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident", "automatic_fallback": True},
        {"name": "gpt-oss:20b", "size_gb": 13.8, "residency": "on_demand", "automatic_fallback": False, "swap_risk": "accepted"},
    ],
}


def test_an_inventory_is_judged_as_its_objects_are():
    findings, made = judge_inventory("mac-mini", MINI_VARIABLES, KNOWN)
    assert said(findings) == [NEVER_W, SWAP_W]
    assert made.mac == "mac-mini"
    assert made.resident_names == ("qwen3:8b",)
    assert made.worst_on_demand == "gpt-oss:20b"
    chained, _ = judge_inventory("mac-mini", MINI_VARIABLES, KNOWN, fallbacks=["gpt-oss:20b"])
    assert ("fallback-would-drown", "error") in said(chained)


def test_what_the_registry_said_reaches_the_rules():
    states = {
        "qwen3:8b": {"digest": "sha256:aa", "in_registry": True},
        "gpt-oss:20b": {"digest": "sha256:aa", "in_registry": False},
    }
    findings, _ = judge_inventory("mac-mini", MINI_VARIABLES, KNOWN, states)
    assert {"duplicate-digest", "unknown-in-registry"} <= {one.item for one in findings}


HOSTILE = ["text", -1, float("nan"), float("inf"), 10**30, ["a"], {"a": 1}, True, None, [None], [{"name": 5}], [{"name": "a b"}]]


@pytest.mark.parametrize("value", HOSTILE, ids=shown)
@pytest.mark.parametrize("name", [*MINI_VARIABLES, "ram_budget_reserve_gb", "ram_budget_wired_limit_mib"])
def test_hostile_variables_are_findings(name, value):
    findings, made = judge_inventory("mac-mini", {**MINI_VARIABLES, name: value}, KNOWN)
    if made is None:
        (one,) = findings
        assert (one.item, one.severity) == ("unreadable", "error")
        assert name in one.why
        assert len(one.why) < 300


@pytest.mark.parametrize("value", [value for value in HOSTILE if value is not None], ids=shown)
@pytest.mark.parametrize("key", ["name", "size_gb", "residency", "swap_risk", "automatic_fallback", "context_length"])
def test_hostile_entries_are_findings_that_name_the_entry(key, value):
    entries = [MINI_VARIABLES["ollama_models_installed"][0], {"name": "new:1", "size_gb": 5, key: value}]
    findings, made = judge_inventory("mac-mini", {**MINI_VARIABLES, "ollama_models_installed": entries}, KNOWN)
    if made is None:
        (one,) = findings
        assert f"ollama_models_installed[1].{key}" in one.why
    else:
        # The text is a name, true is a flag: nothing else passes.
        assert (key, value) in (("name", "text"), ("automatic_fallback", True))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ENTRY = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("name", "size_gb", "residency", "swap_risk", "automatic_fallback", "context_length"), ANY)
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "ram_budget_memory_gib": ANY | st.just(16),
            "ram_budget_macos_major": ANY,
            "ram_budget_reserve_gb": ANY,
            "ollama_service_environment": ANY
            | st.dictionaries(st.sampled_from(["OLLAMA_CONTEXT_LENGTH", "OLLAMA_NUM_PARALLEL"]), ANY),
            "ollama_models_installed": ANY | st.lists(ANY | ENTRY, max_size=3),
        },
    )
    | ANY
)
def test_no_inventory_brings_a_traceback(variables):
    findings, made = judge_inventory("mac-mini", variables, KNOWN)
    assert made is not None or findings
    assert all(one.sentence() for one in findings)


def test_one_model_twice_is_a_finding():
    twice = [{"name": "qwen3", "size_gb": 5}, {"name": "QWEN3:latest", "size_gb": 5}]
    findings, made = judge_inventory("mac-mini", {**MINI_VARIABLES, "ollama_models_installed": twice}, {})
    assert made is None
    assert "twice" in findings[0].why


def test_a_model_nobody_knows_needs_a_size():
    with pytest.raises(ValueError, match=r"ollama_models_installed\[0\].size_gb is None"):
        plans_from_inventory([{"name": "new:1"}], {})
    assert plans_from_inventory([{"name": "qwen3:8b"}], MODELS)[0].model == QWEN8
