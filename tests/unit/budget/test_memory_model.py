"""The model of memory: against every measured figure, against its own laws, and against figures that are none."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations

import pytest
from ansible.module_utils.fleet.architecture import from_catalogue, from_declared
from ansible.module_utils.fleet.memory_model import (
    CONTEXTS,
    KV_TYPES,
    QUANTISED_KV_TYPES,
    Mac,
    Plan,
    Settings,
    admissions,
    batch_size,
    budget,
    cells,
    compute_bytes,
    default_context,
    effective_context,
    effective_parallel,
    fits_together,
    forecast,
    forecast_on,
    gpu_budget_bytes,
    kv_bytes,
    kv_type,
    largest_context,
    load_order,
    mac_from_figures,
    predicted_bytes,
    settings_from_environment,
    sliding_cells,
    with_kv_type,
    working_set,
)
from ansible.module_utils.fleet.units import GB, GIB, MIB, shown
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.budget.examples import (
    DEVSTRAL,
    DEVSTRAL_TEXT,
    MACBOOK,
    MEASURED,
    MINI,
    MODELS,
    OSS,
    QWEN8,
    QWEN14,
    resident,
    settings,
)


@pytest.mark.parametrize(("name", "context", "kind", "cache", "compute", "size", "whole"), MEASURED)
def test_measured(name, context, kind, cache, compute, size, whole):
    one = forecast(MODELS[name], Settings(context_length=context, kv_type=kind, cache_ram_mib=0))
    assert one.batch == (512 if context == 4096 else 1024)
    assert one.kv_bytes / MIB == pytest.approx(cache, abs=0.5)
    assert one.compute_bytes / MIB == pytest.approx(compute, abs=0.6)
    assert one.expected_ps_bytes / GB == pytest.approx(size, rel=0.003)
    assert one.budget_bytes / GB == pytest.approx(whole, rel=0.01)


@pytest.mark.parametrize(
    ("model", "figures"), [(QWEN8, (308, 572, 2156)), (OSS, (558, 1078, 4198))], ids=["qwen3:8b", "gpt-oss:20b"]
)
def test_measured_without_flash_attention(model, figures):
    for context, figure in zip((4096, 8192, 32768), figures, strict=True):
        assert compute_bytes(model, context, 512, flash=False) / MIB == pytest.approx(figure, abs=2)


def shape(architecture, layers, width, heads, kv_heads, inner, key=128, **more):
    """Return a model by its dimensions, with a size that does not matter."""
    entry = {
        "architecture": architecture, "weights_bytes": GB, "block_count": layers, "embedding_length": width, "head_count": heads,
        "kv_heads": kv_heads, "feed_forward_length": inner, "key_length": key, "value_length": key, **more,
    }  # fmt: skip
    return from_catalogue("m:1", entry)


QWEN3_4B = shape("qwen3", 36, 2560, 32, 8, 9728)
QWEN3_32B = shape("qwen3", 64, 5120, 64, 8, 25600)
QWEN3_A3B = shape("qwen3moe", 48, 2048, 32, 4, 6144, experts_used=8, expert_feed_forward_length=768)
LLAMA_3B = shape("llama", 28, 3072, 24, 8, 8192)
LLAMA_8B = shape("llama", 32, 4096, 32, 8, 14336)
LLAMA_70B = shape("llama", 80, 8192, 64, 8, 28672)
GEMMA_4B = shape("gemma3", 34, 2560, 8, 4, 10240, 256, sliding_window=1024)
GEMMA_12B = shape("gemma3", 48, 3840, 16, 8, 15360, 256, sliding_window=1024)
GEMMA_27B = shape("gemma3", 62, 5376, 32, 16, 21504, sliding_window=1024)


@pytest.mark.parametrize(
    ("model", "context", "batch", "kind", "parallel", "cache", "compute"),
    [
        (QWEN3_4B, 8192, 1024, "f16", 1, 1152, 176.02), (QWEN3_4B, 8192, 1024, "q8_0", 1, 612, 176.10),
        (QWEN14, 4096, 512, "f16", 1, 640, 146.01), (QWEN14, 8192, 1024, "q8_0", 1, 680, 280.10),
        (QWEN3_32B, 131_072, 2048, "f16", 1, 32768, 1296.05), (QWEN3_32B, 32768, 1024, "q8_0", 1, 4352, 456.10),
        (QWEN3_A3B, 4096, 512, "f16", 1, 384, 92.01), (QWEN3_A3B, 131_072, 2048, "f16", 1, 12288, 864.05),
        (QWEN3_A3B, 32768, 1024, "q8_0", 1, 1632, 240.10), (LLAMA_3B, 8192, 1024, "q8_0", 1, 476, 148.10),
        (LLAMA_8B, 4096, 512, "f16", 1, 512, 120.01), (LLAMA_8B, 4096, 512, "q8_0", 1, 272, 112.09),
        (LLAMA_70B, 8192, 1024, "f16", 1, 2560, 480.02), (LLAMA_70B, 32768, 1024, "q8_0", 1, 5440, 496.10),
        (MODELS["qwen2.5vl:32b"], 8192, 1024, "f16", 1, 2048, 420.02), (QWEN8, 8192, 1024, "f16", 4, 4608, 224.02),
        (GEMMA_4B, 4096, 512, "f16", 1, 254, 84.52), (GEMMA_4B, 8192, 1024, "q8_0", 1, 208.2, 186.57),
        (GEMMA_4B, 8192, 1024, "f16", 2, 784, 178.04), (GEMMA_12B, 32768, 1024, "q8_0", 1, 1428, 309.57),
        (GEMMA_12B, 8192, 1024, "f16", 4, 4608, 261.04), (GEMMA_27B, 131_072, 2048, "f16", 1, 11488, 1186.08),
        (GEMMA_27B, 4096, 512, "q8_0", 1, 501.5, 179.18), (OSS, 131_072, 2048, "f16", 1, 3126, 890.58),
        (OSS, 8192, 1024, "f16", 4, 888, 203.29),
    ],
)  # fmt: skip
def test_measured_with_llama_cpp_on_more_models(model, context, batch, kind, parallel, cache, compute):
    chosen = Settings(context_length=context, kv_type=kind, parallel=parallel)
    one = forecast(replace(model, train_context=0), chosen, batch=batch)
    assert one.kv_bytes / MIB == pytest.approx(cache, abs=0.1)
    assert one.compute_bytes / MIB == pytest.approx(compute, abs=0.8)


@pytest.mark.parametrize(
    ("model", "context", "batch", "compute"),
    [
        (QWEN3_4B, 32768, 512, 2147.01), (QWEN3_32B, 8192, 1024, 2212.02), (QWEN3_A3B, 4096, 512, 294.01),
        (QWEN14, 4096, 512, 382.01), (LLAMA_3B, 4096, 512, 234.01), (LLAMA_70B, 32768, 512, 4244.01),
        (DEVSTRAL_TEXT, 4096, 512, 314.01),
    ],
)  # fmt: skip
def test_measured_without_flash_attention_on_more_models(model, context, batch, compute):
    assert compute_bytes(model, context, batch, flash=False) / MIB == pytest.approx(compute, abs=0.1)


@pytest.mark.parametrize(("model", "compute"), [(GEMMA_4B, 106.01), (GEMMA_12B, 193.51), (GEMMA_27B, 330.51), (OSS, 558.39)])
def test_measured_without_flash_attention_where_layers_slide(model, compute):
    assert compute_bytes(model, 4096, 512, flash=False) / MIB == pytest.approx(compute, rel=0.05)


def test_logged_where_a_whole_batch_of_logits_was_kept():
    assert compute_bytes(QWEN8, 4096, 512, flash=True, outputs=512) == 312.75 * MIB


@pytest.mark.parametrize(
    ("model", "per_token"),
    [(QWEN8, 147_456), (QWEN14, 163_840), (DEVSTRAL, 163_840), (MODELS["qwen2.5vl:32b"], 262_144), (OSS, 24_576)],
    ids=lambda value: getattr(value, "name", None),
)
def test_cache_of_one_more_token(model, per_token):
    grown = kv_bytes(model, 20480, 1, "f16", 512) - kv_bytes(model, 16384, 1, "f16", 512)
    assert grown == 4096 * per_token


@pytest.mark.parametrize(
    ("kind", "ratio"),
    [("f32", 0.5), ("f16", 1), ("bf16", 1), ("q8_0", 64 / 34), ("q5_1", 64 / 24), ("q5_0", 64 / 22), ("q4_1", 64 / 20),
     ("q4_0", 64 / 18), ("iq4_nl", 64 / 18)],
)  # fmt: skip
def test_each_cache_type_is_exact(kind, ratio):
    assert kv_bytes(QWEN8, 4096, 1, "f16", 512) / kv_bytes(QWEN8, 4096, 1, kind, 512) == pytest.approx(ratio, rel=1e-9)


def test_the_accepted_types_are_those_the_service_accepts():
    from ansible.module_utils.fleet import environment

    assert set(KV_TYPES) == set(environment.KV_CACHE_TYPES)
    assert set(QUANTISED_KV_TYPES) == set(environment.QUANTISED_KV_CACHE_TYPES)


def test_cells_are_whole_blocks_of_256():
    assert (cells(5000), cells(4096), cells(1), cells(5000, 2)) == (5120, 4096, 256, 10_240)
    assert (sliding_cells(8192, 1, 512, 128), sliding_cells(8192, 1, 1024, 128), sliding_cells(512, 1, 512, 128)) == (
        768,
        1280,
        512,
    )


@pytest.mark.parametrize(
    ("set_bytes", "overhead", "context"),
    [
        (11453.25e6, 0, 4096), (38654.71e6, 0, 32768), (48 * GIB, 0, 262_144), (23 * GIB, 0, 32768), (23 * GIB - 1, 0, 4096),
        (47 * GIB, 0, 262_144), (47 * GIB - 1, 0, 32768), (36 * GIB, 20 * GIB, 4096), (36 * GIB, 40 * GIB, 262_144),
    ],
)  # fmt: skip
def test_the_default_context_follows_the_tier(set_bytes, overhead, context):
    assert default_context(int(set_bytes), overhead) == context


def test_the_context_is_the_models_own_then_the_servers_then_the_default_and_never_above_training():
    assert effective_context(QWEN8, Settings(context_length=8192), 32768, 2048) == 2048
    assert effective_context(QWEN8, Settings(context_length=8192), 32768) == 8192
    assert effective_context(QWEN8, Settings(), 32768) == 32768
    assert effective_context(QWEN8, Settings(), 262_144) == 40_960
    assert effective_context(from_declared("m:1", GB), Settings(), 262_144) == 262_144


def test_some_families_are_served_one_at_a_time():
    assert effective_parallel(QWEN8, Settings(parallel=4)) == 4
    assert effective_parallel(replace(QWEN8, architecture="qwen3vl"), Settings(parallel=4)) == 1


@pytest.mark.parametrize(
    ("context", "predicted", "available", "batch"),
    [
        (4096, 1, None, 512), (4097, 1, None, 1024), (32768, 1, None, 1024), (32769, 1, None, 2048), (131_072, 1, None, 2048),
        (8192, 75, 100, 512), (8192, 7500 * MIB, 10_000 * MIB, 512), (8192, 7200 * MIB, 10_000 * MIB, 1024),
        (65536, 6000 * MIB, 11_000 * MIB, 2048), (65536, 6700 * MIB, 11_000 * MIB, 1024), (65536, 8300 * MIB, 11_000 * MIB, 512),
    ],
)  # fmt: skip
def test_the_batch_grows_with_the_context_where_there_is_room(context, predicted, available, batch):
    assert batch_size(context, 1, predicted, available) == batch


def test_parallel_conversations_count_as_a_longer_context_for_the_batch():
    assert (batch_size(4096, 1, 1, None), batch_size(4096, 2, 1, None)) == (512, 1024)


def test_ollamas_prediction_has_ollamas_wrong_head_sizes():
    assert predicted_bytes(QWEN8, 8192, 1) == 5_225_388_164 + 2 * 36 * 8 * 128 * 8192 * 2
    assert predicted_bytes(DEVSTRAL, 32768, 1) == 15_177_374_099 + 2 * 40 * 8 * 160 * 32768 * 2
    assert predicted_bytes(OSS, 8192, 1) == 13_793_441_244 + 2 * 24 * 8 * 45 * 8192 * 2


@pytest.mark.parametrize(
    ("gib", "macos", "mib"),
    [
        (8, 15, 5461), (16, 15, 10922), (24, 15, 16384), (32, 15, 21845), (36, 15, 27648), (48, 15, 36864), (64, 15, 49152),
        (96, 15, 73728), (128, 15, 98304), (16, 14, 10922), (16, 26, 12124), (18, 26, 13640), (24, 26, 18186), (32, 26, 25559),
        (36, 26, 28754), (48, 26, 38338), (64, 26, 53084), (128, 26, 110_100), (16, 27, 12124),
    ],
)  # fmt: skip
def test_the_working_set_is_as_logged_on_real_macs(gib, macos, mib):
    assert working_set(gib * GIB, macos).size_bytes // MIB == mib


def test_a_size_between_two_logged_ones_is_interpolated_and_says_so():
    found = working_set(96 * GIB, 26)
    assert 0.81 < found.size_bytes / (96 * GIB) < 0.84
    assert "between those logged for 64 and 128 GiB" in found.source


def test_a_set_limit_and_a_measured_figure_win():
    assert working_set(16 * GIB, 15, 12000) == replace(working_set(16 * GIB, 26, 12000))
    assert working_set(16 * GIB, 15, 12000).size_bytes == 12000 * MIB
    assert replace(MINI, working_set_bytes=11_453_250_000).gpu.source == "measured on this Mac"


@given(st.integers(4, 512), st.integers(11, 30), st.integers(1, 64))
def test_the_working_set_grows_with_memory_and_stays_below_it(gib, macos, more):
    smaller, larger = working_set(gib * GIB, macos).size_bytes, working_set((gib + more) * GIB, macos).size_bytes
    assert 0 < smaller <= larger
    assert smaller < gib * GIB


MACS = st.builds(
    Mac,
    st.just("m"),
    st.sampled_from([8, 16, 18, 24, 32, 36, 48, 64, 96, 128, 512]).map(lambda gib: gib * GIB),
    st.integers(14, 27),
    st.integers(0, 20 * GB),
)
SETTINGS = st.builds(
    Settings,
    context_length=st.integers(0, 262_144),
    parallel=st.integers(1, 8),
    kv_type=st.sampled_from(sorted(KV_TYPES)),
    flash_attention=st.sampled_from([None, True, False]),
    cache_ram_mib=st.none() | st.integers(-1, 16_384),
    max_loaded_models=st.integers(0, 6),
)
KNOWN = st.sampled_from([*MODELS.values(), DEVSTRAL, from_declared("bound:1", 7 * GB)])


@given(KNOWN, SETTINGS, MACS)
def test_the_parts_add_up_and_none_is_negative(model, chosen, mac):
    one = forecast_on(mac, chosen, Plan(model))
    parts = (one.weights_bytes, one.kv_bytes, one.compute_bytes, one.vision_bytes, one.process_bytes, one.prompt_cache_bytes)
    assert min(*parts, one.cpu_bytes, one.batch_reserve_bytes) >= 0
    assert one.budget_bytes == sum(parts)
    assert one.expected_ps_bytes == one.weights_bytes - one.cpu_bytes + one.kv_bytes + one.compute_bytes
    assert one.gpu_bytes == one.expected_ps_bytes + one.vision_bytes + one.batch_reserve_bytes
    plain = one.to_plain()
    assert plain["budget_bytes"] == sum(
        plain[f"{part}_bytes"] for part in ("weights", "kv", "compute", "vision", "process", "prompt_cache")
    )


@given(KNOWN, SETTINGS, MACS, st.integers(1, 131_072))
def test_more_context_never_takes_less(model, chosen, mac, more):
    chosen = replace(chosen, context_length=max(1, chosen.context_length))
    longer = replace(chosen, context_length=chosen.context_length + more)
    before, after = (forecast_on(mac, each, Plan(model)) for each in (chosen, longer))
    assert before.gpu_bytes <= after.gpu_bytes
    assert before.kv_bytes <= kv_bytes(model, after.context, after.parallel, after.kv_type, max(before.batch, after.batch))
    assert before.predicted_bytes <= after.predicted_bytes


@given(KNOWN, SETTINGS, MACS, st.integers(1, 8))
def test_more_conversations_never_take_less(model, chosen, mac, more):
    before, after = (forecast_on(mac, each, Plan(model)) for each in (chosen, replace(chosen, parallel=chosen.parallel + more)))
    assert before.gpu_bytes <= after.gpu_bytes
    assert before.predicted_bytes <= after.predicted_bytes


@given(KNOWN, SETTINGS, st.permutations(sorted(KV_TYPES)))
def test_wider_values_never_take_less(model, chosen, kinds):
    sizes = {kind: forecast(model, replace(chosen, kv_type=kind)).kv_bytes for kind in kinds}
    for one, other in pairwise(kinds):
        if KV_TYPES[one][0] / KV_TYPES[one][1] <= KV_TYPES[other][0] / KV_TYPES[other][1]:
            assert sizes[one] <= sizes[other]


@given(KNOWN, SETTINGS, st.integers(0, 16_384), st.integers(0, 16_384))
def test_a_larger_prompt_cache_is_in_the_budget_and_in_no_size(model, chosen, cap, more):
    before, after = (forecast(model, replace(chosen, cache_ram_mib=size)) for size in (cap, cap + more))
    assert after.budget_bytes - before.budget_bytes == more * MIB
    assert after.expected_ps_bytes == before.expected_ps_bytes


def test_the_prompt_cache_is_8_gib_where_nobody_capped_it():
    assert Settings().prompt_cache_bytes == Settings(cache_ram_mib=-1).prompt_cache_bytes == 8 * GIB
    assert Settings(cache_ram_mib=0).prompt_cache_bytes == 0
    assert not Settings(cache_ram_mib=-1).cache_capped


@given(KNOWN, SETTINGS)
def test_flash_attention_never_takes_more(model, chosen):
    # A quantised cache does not load without it.
    chosen = replace(chosen, kv_type="f16")
    on, off = (forecast(model, replace(chosen, flash_attention=each)) for each in (True, False))
    assert on.compute_bytes <= off.compute_bytes
    assert on.kv_bytes == off.kv_bytes


SETS = st.lists(st.builds(Plan, KNOWN, st.booleans(), st.booleans()), max_size=6, unique_by=lambda plan: plan.name)


@given(MACS, SETTINGS, SETS, st.randoms())
def test_the_order_of_the_models_changes_no_sum(mac, chosen, plans, random):
    shuffled = list(plans)
    random.shuffle(shuffled)
    assert budget(mac, chosen, shuffled) == budget(mac, chosen, plans)
    assert fits_together(mac, chosen, shuffled) == fits_together(mac, chosen, plans)
    made = budget(mac, chosen, plans)
    assert made.gpu_headroom_bytes == made.gpu_budget_bytes - made.residents_gpu_bytes
    assert made.ram_headroom_bytes == made.ram_budget_bytes - made.residents_ram_bytes
    assert made.residents_ram_bytes == sum(one.budget_bytes for one in made.models if one.name in made.resident_names)
    assert made.to_plain()["models"] == [{**one.to_plain(), "resident": one.name in made.resident_names} for one in made.models]


@given(MACS, SETTINGS, SETS.filter(bool), st.integers(1, 64))
def test_what_fits_fits_in_more_memory_and_with_less_context(mac, chosen, plans, more):
    if fits_together(mac, chosen, plans):
        assert fits_together(replace(mac, memory_bytes=mac.memory_bytes + more * GIB), chosen, plans, context=4096) or (
            chosen.context_length and chosen.context_length < 4096
        )
    sizes = [context for context in CONTEXTS if fits_together(mac, chosen, plans, context=context)]
    assert sizes == list(CONTEXTS[: len(sizes)])
    assert largest_context(mac, chosen, plans) <= (sizes[-1] if sizes else 0)


@given(MACS, SETTINGS, SETS.filter(lambda plans: len(plans) <= 4))
def test_when_no_order_is_found_there_is_none(mac, chosen, plans):
    order, works = load_order(mac, chosen, plans)
    assert sorted(plan.name for plan in order) == sorted(plan.name for plan in plans)
    any_works = any(all(step.admitted for step in admissions(mac, chosen, each)) for each in permutations(plans))
    if works:
        assert all(step.admitted for step in admissions(mac, chosen, order))
    else:
        assert not any_works


BOOK_SET = [resident(QWEN8), resident(DEVSTRAL_TEXT), resident(OSS)]


def names(steps):
    return [(step.name, step.admitted) for step in steps]


def test_three_models_stay_on_the_macbook_at_8192_when_the_largest_comes_first():
    chosen = settings(OLLAMA_CONTEXT_LENGTH="8192", LLAMA_ARG_CACHE_RAM="2048")
    order, works = load_order(MACBOOK, chosen, BOOK_SET)
    assert works
    assert [plan.name for plan in order] == ["devstral-small-2:24b", "gpt-oss:20b", "qwen3:8b"]
    oss_first = [BOOK_SET[2], BOOK_SET[1], BOOK_SET[0]]
    last = admissions(MACBOOK, chosen, oss_first)[-1]
    assert last.admitted
    assert last.allowed_bytes / GB == pytest.approx(7.72, abs=0.03)
    smallest_first = admissions(MACBOOK, chosen, BOOK_SET)
    assert names(smallest_first) == [("qwen3:8b", True), ("devstral-small-2:24b", True), ("gpt-oss:20b", False)]
    assert smallest_first[-1].predicted_bytes / GB == pytest.approx(14.1, abs=0.05)
    assert smallest_first[-1].allowed_bytes / GB == pytest.approx(13.5, abs=0.05)


def test_the_default_context_of_the_macbook_evicts_even_two():
    steps = admissions(MACBOOK, settings(), [resident(OSS), resident(DEVSTRAL_TEXT)])
    assert names(steps) == [("gpt-oss:20b", True), ("devstral-small-2:24b", False)]
    assert steps[-1].predicted_bytes / GB == pytest.approx(21.9, abs=0.05)
    assert steps[-1].allowed_bytes / GB == pytest.approx(20.2, abs=0.1)


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
@pytest.mark.parametrize("model", [DEVSTRAL, DEVSTRAL_TEXT], ids=["with eyes", "text"])
def test_the_macbook_holds_three_up_to_8192_and_no_further(kind, model):
    chosen = settings(OLLAMA_KV_CACHE_TYPE=kind, LLAMA_ARG_CACHE_RAM="2048")
    assert largest_context(MACBOOK, chosen, [resident(QWEN8), resident(model), resident(OSS)]) == 8192


@pytest.mark.parametrize(
    ("model", "kind", "context"),
    [
        (QWEN8, "f16", 32768),
        (QWEN8, "q8_0", 32768),
        (QWEN14, "f16", 4096),
        (QWEN14, "q8_0", 8192),
        (OSS, "f16", 0),
        (OSS, "q4_0", 0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_the_mini_can_hold_alone(model, kind, context):
    assert largest_context(MINI, with_kv_type(settings(LLAMA_ARG_CACHE_RAM="0"), kind), [resident(model)]) == context


def test_usable_gpu_memory_is_the_working_set_less_what_the_fit_keeps_free():
    assert gpu_budget_bytes(MINI, Settings()) / GB == pytest.approx(10.38, abs=0.01)
    assert gpu_budget_bytes(replace(MINI, macos_major=26), Settings()) / GB == pytest.approx(11.64, abs=0.01)
    assert gpu_budget_bytes(MACBOOK, Settings()) / GB == pytest.approx(37.6, abs=0.05)
    assert gpu_budget_bytes(MINI, Settings(fit_target_mib=10**6)) == 0


def test_the_environment_becomes_settings():
    read = settings_from_environment(
        {
            "OLLAMA_CONTEXT_LENGTH": "8192", "OLLAMA_NUM_PARALLEL": "2", "OLLAMA_KV_CACHE_TYPE": "Q8_0",
            "OLLAMA_FLASH_ATTENTION": "0",
            "LLAMA_ARG_CACHE_RAM": "-1", "OLLAMA_MAX_LOADED_MODELS": "2", "LLAMA_ARG_FIT_TARGET": "512",
            "OLLAMA_GPU_OVERHEAD": "1073741824", "OLLAMA_HOST": "0.0.0.0",
        }
    )  # fmt: skip
    assert read == Settings(8192, 2, "q8_0", False, -1, 2, 512, GIB)
    assert settings_from_environment({}) == settings_from_environment(None) == Settings()
    assert settings_from_environment({"OLLAMA_NUM_PARALLEL": "0"}).parallel == 1


VARIABLES = [
    "OLLAMA_CONTEXT_LENGTH", "OLLAMA_NUM_PARALLEL", "OLLAMA_KV_CACHE_TYPE", "OLLAMA_FLASH_ATTENTION", "LLAMA_ARG_CACHE_RAM",
    "OLLAMA_MAX_LOADED_MODELS", "LLAMA_ARG_FIT_TARGET", "OLLAMA_GPU_OVERHEAD",
]  # fmt: skip
HOSTILE = ["q8", "much", "-2", -2, float("nan"), 10**30, ["8192"], {"a": 1}, 1.5]


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("value", HOSTILE, ids=shown)
def test_a_variable_that_cannot_be_read_is_named(name, value):
    with pytest.raises(ValueError, match=rf"ollama_service_environment\.{name} is "):
        settings_from_environment({name: value})


@pytest.mark.parametrize("value", ["text", 5, ["a"]], ids=shown)
def test_an_environment_is_a_map(value):
    with pytest.raises(ValueError, match=r"ollama_service_environment is .* a map"):
        settings_from_environment(value)


def test_a_mac_is_read_from_its_variables():
    assert mac_from_figures("mac-mini", 16, 15, 4, 6) == MINI
    assert mac_from_figures("m", "16", "15.7").macos_major == 15
    assert mac_from_figures("m", 16, wired_limit_mib=12000).gpu.size_bytes == 12000 * MIB


@pytest.mark.parametrize("value", ["much", -1, float("nan"), 10**30, [16], {}, True], ids=shown)
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("memory_gib", "ram_budget_memory_gib"), ("macos_major", "ram_budget_macos_major"),
        ("reserve_gb", "ram_budget_reserve_gb"),
        ("max_loaded_model_gb", "ram_budget_max_loaded_model_gb"), ("wired_limit_mib", "ram_budget_wired_limit_mib"),
        ("working_set_bytes", "ram_budget_working_set_bytes"),
    ],
)  # fmt: skip
def test_a_figure_of_a_mac_that_cannot_be_read_is_named(place, name, value):
    with pytest.raises(ValueError, match=f"^{name} is "):
        mac_from_figures("m", **{"memory_gib": 16, place: value})


def test_more_for_the_gpu_than_there_is_memory_is_refused():
    with pytest.raises(ValueError, match="ram_budget_wired_limit_mib is 20000"):
        mac_from_figures("m", 16, wired_limit_mib=20_000)


def test_a_cache_type_is_read_as_ollama_reads_it():
    assert (kv_type(None), kv_type(""), kv_type("Q4_0")) == ("f16", "f16", "q4_0")
    with pytest.raises(ValueError, match="q8_1"):
        kv_type("q8_1")
    assert with_kv_type(Settings(flash_attention=False), "q8_0").flash
