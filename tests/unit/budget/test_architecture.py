"""What a model is made of: from headers, from the API, from a catalogue, from a mere size; and what was assumed is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.fleet.architecture import Architecture, from_catalogue, from_declared, from_gguf, from_plain, from_show
from ansible.module_utils.fleet.gguf import Header, read_header
from ansible.module_utils.fleet.memory_model import Settings, forecast
from ansible.module_utils.fleet.units import GB, shown
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.budget.examples import DEVSTRAL, MODELS, OSS, QWEN8
from tests.unit.budget.headers import HEADERS, make, plain_keys, tables


def built(name, size=0, **more):
    return from_gguf(f"{name}:1", read_header(HEADERS[name]()), size, **more)


def test_a_header_says_what_the_catalogue_says():
    same = {"source": "gguf", "name": "x", "notes": ()}
    assert replace(built("qwen3", QWEN8.weights_bytes), **same) == replace(QWEN8, **same)
    assert replace(built("gptoss", OSS.weights_bytes), **same) == replace(OSS, **same)
    assert replace(built("mistral3", DEVSTRAL.weights_bytes), **same) == replace(DEVSTRAL, **same)


def test_layers_of_gptoss_and_gemma3_slide_as_llama_cpp_has_it():
    assert built("gptoss").sliding_layers == (True, False) * 12
    assert built("gemma3").sliding_layers == ((True,) * 5 + (False,)) * 5 + (True,) * 4
    assert not any(built("llama").sliding_layers)


@pytest.mark.parametrize(
    ("architecture", "pattern", "layers"),
    [
        ("llama", None, (False,) * 6),
        ("gpt-oss", None, (True, False) * 3),
        ("llama", 3, (True, True, False) * 2),
        ("llama", 0, (True,) * 6),
        ("llama", 1, (False,) * 6),
        ("gemma3", [True, False, True, True, True, False], (True, False, True, True, True, False)),
    ],
)
def test_the_metadata_has_the_last_word_on_which_layers_slide(architecture, pattern, layers):
    keys = plain_keys(6, 512, 8, 8, 1024, 4096, **{"attention.sliding_window": 128})
    if pattern is not None:
        keys["attention.sliding_window_pattern"] = pattern
    assert from_gguf("m:1", read_header(make(architecture, keys))).sliding_layers == layers


def test_lengths_of_keys_and_values_follow_from_width_and_heads_where_they_are_left_out():
    made = built("qwen25vl")
    assert (made.key_length, made.value_length, made.vision, made.exact) == (128, 128, True, True)


def test_an_embedding_table_that_is_also_the_output_layer_is_on_the_gpu():
    assert built("gemma3").cpu_bytes == 0
    assert built("llama").cpu_bytes == 128_256 * 4096 // 256 * 144


def test_a_hybrid_keeps_a_cache_in_some_layers_and_a_state_in_the_others():
    made = built("hybrid")
    assert made.hybrid
    assert sum(1 for heads in made.kv_heads if heads) == 12
    assert made.recurrent_bytes == 4 * 36 * (3 * (4096 + 2 * 16 * 128) + 4096 * 128)
    assert not built("qwen3").hybrid


def test_a_period_of_full_attention_makes_a_hybrid_too():
    keys = plain_keys(8, 2048, 16, 2, 512, 4096, full_attention_interval=4)
    assert from_gguf("m:1", read_header(make("qwen35", keys))).kv_heads == (0, 0, 0, 2, 0, 0, 0, 2)


def test_layers_that_share_the_cache_of_others_have_none():
    keys = plain_keys(6, 512, 8, 2, 1024, 4096, **{"attention.shared_kv_layers": 2})
    assert from_gguf("m:1", read_header(make("gemma3n", keys))).kv_heads == (2, 2, 2, 2, 0, 0)


def test_an_unknown_architecture_says_so_and_is_an_upper_bound():
    made = built("unknown")
    assert not made.exact
    assert "zebra9 is not known" in made.notes[0]
    assert made.kv_heads == (4,) * 20
    bare = built("nothing", 5 * GB)
    assert not bare.exact
    assert bare.bound_kv_values_per_token > 0
    assert any("upper bound from the size" in note for note in bare.notes)


def test_a_projector_is_no_model():
    with pytest.raises(ValueError, match="projector"):
        from_gguf("m:1", read_header(make("clip", {"block_count": 1})))


def test_heads_that_do_not_match_the_layers_are_refused():
    with pytest.raises(ValueError, match=r"qwen3next.attention.head_count_kv of m:1 has 3 numbers, the model has 4 layers"):
        from_gguf("m:1", read_header(make("qwen3next", plain_keys(4, 512, 8, [0, 0, 2], 1024, 4096))))


SHOW_QWEN8 = {
    "details": {"family": "qwen3", "quantization_level": "Q4_K_M", "parameter_size": "8.2B"},
    "capabilities": ["completion", "tools", "thinking"],
    "model_info": {
        "general.architecture": "qwen3", "general.parameter_count": 8_190_735_360, "qwen3.block_count": 36,
        "qwen3.attention.head_count": 32, "qwen3.attention.head_count_kv": 8, "qwen3.attention.key_length": 128,
        "qwen3.attention.value_length": 128, "qwen3.context_length": 40960, "qwen3.embedding_length": 4096,
        "qwen3.feed_forward_length": 12288, "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": [],
    },
}  # fmt: skip


def test_the_api_gives_the_same_but_for_an_estimated_table_that_is_named():
    made = from_show("qwen3:8b", SHOW_QWEN8, QWEN8.weights_bytes)
    assert "estimated: 151936 words x 4096 at 4.5 bits" in made.notes[0]
    assert replace(made, notes=(), source="catalogue") == QWEN8


def test_the_verbose_api_names_the_tensors_and_nothing_is_estimated():
    verbose = {
        **SHOW_QWEN8,
        "tensors": [
            {"name": "token_embd.weight", "type": "Q4_K", "shape": [4096, 151_936]},
            {"name": "output.weight", "type": "Q6_K", "shape": [4096, 151_936]},
            "nonsense",
        ],
    }
    assert replace(from_show("qwen3:8b", verbose, QWEN8.weights_bytes), source="catalogue") == QWEN8


def test_the_number_of_parameters_tells_a_table_used_twice():
    info = {
        "general.architecture": "qwen3", "general.parameter_count": 4_022_468_096, "qwen3.block_count": 36,
        "qwen3.attention.head_count": 32, "qwen3.attention.head_count_kv": 8, "qwen3.attention.key_length": 128,
        "qwen3.attention.value_length": 128, "qwen3.context_length": 262_144, "qwen3.embedding_length": 2560,
        "qwen3.feed_forward_length": 9728, "tokenizer.ggml.pre": "qwen2",
    }  # fmt: skip
    made = from_show("qwen3:4b", {"model_info": info, "details": {"quantization_level": "Q4_K_M"}}, 2_497_293_931)
    assert made.cpu_bytes == 0
    assert "also the output layer" in made.notes[0]


def test_an_emptied_list_of_heads_is_counted_in_full_and_said():
    info = {**SHOW_QWEN8["model_info"], "qwen3.attention.head_count_kv": []}
    made = from_show("qwen3:8b", {**SHOW_QWEN8, "model_info": info}, QWEN8.weights_bytes)
    assert made.kv_heads == (32,) * 36
    assert not made.exact


def test_a_model_that_sees_is_told_by_its_capabilities():
    made = from_show("m:1", {**SHOW_QWEN8, "capabilities": ["completion", "vision"]}, GB)
    assert made.vision


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_an_architecture_survives_json(name):
    made = built(name, projector_bytes=1000)
    assert from_plain(json.loads(json.dumps(made.to_plain()))) == made


@pytest.mark.parametrize("made", [*MODELS.values(), from_declared("m:1", 5 * GB)], ids=lambda made: made.name)
def test_other_sources_survive_json_too(made):
    assert from_plain(json.loads(json.dumps(made.to_plain()))) == made


@given(st.integers(10**8, 500 * 10**9), st.sampled_from(["f16", "q8_0"]))
def test_a_mere_size_gives_more_than_a_model_of_that_size_needs(size, kind):
    bound = forecast(from_declared("m:1", size), Settings(kv_type=kind))
    assert not bound.exact
    assert bound.source == "declared"
    assert bound.notes
    assert bound.expected_ps_bytes > size


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
@pytest.mark.parametrize("context", [4096, 32768])
def test_the_bound_lies_above_every_model_that_is_known(model, context):
    chosen = Settings(context_length=context)
    bound, exact = forecast(from_declared(model.name, model.file_bytes), chosen), forecast(model, chosen)
    assert bound.kv_bytes > exact.kv_bytes
    assert bound.compute_bytes > exact.compute_bytes
    assert bound.predicted_bytes > exact.predicted_bytes


@pytest.mark.parametrize(
    ("size_gb", "values", "floats"),
    [
        (2.2, 32 * 2 * 32 * 96, 3 * (8192 + 3072) + 3072), (3.8, 32 * 2 * 32 * 128, 3 * (11008 + 4096) + 4096),
        (7.4, 40 * 2 * 40 * 128, 3 * (13824 + 5120) + 5120), (41, 80 * 2 * 64 * 128, 3 * (24576 + 8192) + 8192),
        (5.0, 28 * 2 * 16 * 256, 3 * (24576 + 3072) + 4096), (15.2, 40 * 2 * 8 * 128, 3 * (32768 + 5120) + 4096),
        (243, 126 * 2 * 8 * 128, 3 * (53248 + 16384) + 16384),
    ],
)  # fmt: skip
def test_the_bound_lies_above_models_without_grouped_heads(size_gb, values, floats):
    bound = from_declared("m:1", round(size_gb * GB))
    assert bound.bound_kv_values_per_token >= values
    assert bound.bound_compute_values_per_token >= floats


HOSTILE = ["text", -1, float("nan"), float("inf"), 10**30, 1.5, True, {"a": 1}, [[1]]]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: shown(value)[:20])
@pytest.mark.parametrize(
    "key",
    [
        "weights_bytes",
        "block_count",
        "kv_heads",
        "key_length",
        "embedding_length",
        "train_context",
        "sliding_window",
        "vocabulary",
    ],
)
def test_a_catalogue_with_nonsense_is_refused_by_the_name_of_the_field(key, value):
    entry = {**QWEN8.to_plain(), key: value}
    with pytest.raises(ValueError, match=rf"catalogue\.m:1\.{key}"):
        from_catalogue("m:1", entry)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ([], "must be a map"),
        (None, "must be a map"),
        ({}, "architecture is None"),
        ({"architecture": "llama"}, "weights_bytes is None"),
        ({"architecture": 5, "weights_bytes": 1}, "architecture is 5"),
        ({"architecture": "llama", "weights_bytes": 1, "colour": "red"}, "colour is not a figure"),
        ({"architecture": "llama", "weights_bytes": 1, "vision": "yes"}, "vision is 'yes'"),
        ({"architecture": "llama", "weights_bytes": 1, "notes": "a"}, "notes is 'a'"),
        ({"architecture": "llama", "weights_bytes": 1, "block_count": 2, "kv_heads": [1]}, "has 1 numbers"),
        ({"architecture": "llama", "weights_bytes": 1, "block_count": 2, "kv_heads": 1, "sliding_layers": [True]}, "2 layers"),
    ],
    ids=shown,
)
def test_an_entry_that_cannot_be_read_is_named(entry, says):
    with pytest.raises(ValueError, match=says):
        from_catalogue("m:1", entry)


def test_an_entry_with_a_size_only_is_a_bound():
    made = from_catalogue("m:1", {"architecture": "llama", "weights_bytes": 5 * GB})
    assert not made.exact
    assert made.bound_kv_values_per_token


KEYS = st.sampled_from(
    [
        "block_count", "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.sliding_window",
        "attention.sliding_window_pattern", "embedding_length", "context_length", "feed_forward_length", "expert_used_count",
        "ssm.state_size", "ssm.inner_size", "full_attention_interval", "attention.shared_kv_layers", "vocab_size",
    ]
)  # fmt: skip
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**31), 10**31)
    | st.integers(0, 64)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(-1, 9) | st.text(max_size=2), max_size=9)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)


@given(st.dictionaries(KEYS, VALUES, max_size=8), VALUES, st.sampled_from(["llama", "qwen3next", "gemma3", "zebra", "bert"]))
def test_metadata_of_any_kind_bring_a_model_or_a_sentence(keys, size, architecture):
    info = {"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in keys.items()}}
    for make_one in (lambda: from_show("m:1", {"model_info": info}, size), lambda: from_gguf("m:1", Header(info, (), 100), size)):
        sentence = ""
        try:
            made = make_one()
        except ValueError as refused:
            made, sentence = None, str(refused)
        if made is None:
            assert 0 < len(sentence) < 300
            continue
        assert isinstance(made, Architecture)
        one = forecast(made, Settings())
        assert min(one.kv_bytes, one.compute_bytes, one.expected_ps_bytes) >= 0


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"model_info": None}, {"model_info": []}, {"model_info": {}}], ids=shown)
def test_an_answer_that_is_none_is_refused(answer):
    with pytest.raises(ValueError, match="m:1"):
        from_show("m:1", answer, GB)


def test_a_table_of_words_alone_gives_a_vocabulary():
    assert from_gguf("m:1", read_header(make("llama", plain_keys(2, 512, 8, 8, 1024, 4096), tokens=777))).vocabulary == 777
    assert from_gguf("m:1", read_header(make("llama", plain_keys(2, 512, 8, 8, 1024, 4096), tables(512, 512)))).vocabulary == 512
