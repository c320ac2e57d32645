"""Model names are read as Ollama reads them."""

from __future__ import annotations

import contextlib

import pytest
from ansible.module_utils.fleet.names import ModelName, normalise, parse_name, same_name
from hypothesis import given
from hypothesis import strategies as st

PART = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
NAMESPACE = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,20}", fullmatch=True)
HOST = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}(:[0-9]{1,5})?", fullmatch=True)
NAMES = st.builds(ModelName, HOST, NAMESPACE, PART, PART)


@pytest.mark.parametrize(
    ("text", "parts", "shortest"),
    [
        pytest.param("qwen3:8b", ("registry.ollama.ai", "library", "qwen3", "8b"), "qwen3:8b", id="model and tag"),
        pytest.param("qwen3", ("registry.ollama.ai", "library", "qwen3", "latest"), "qwen3:latest", id="tag left out"),
        pytest.param("me/mine:v1", ("registry.ollama.ai", "me", "mine", "v1"), "me/mine:v1", id="namespace"),
        pytest.param("library/qwen3:8b", ("registry.ollama.ai", "library", "qwen3", "8b"), "qwen3:8b", id="default namespace"),
        pytest.param(
            "registry.ollama.ai/library/qwen3:8b", ("registry.ollama.ai", "library", "qwen3", "8b"), "qwen3:8b", id="default host"
        ),
        pytest.param("hf.co/bartowski/x:Q4_K_M", ("hf.co", "bartowski", "x", "Q4_K_M"), "hf.co/bartowski/x:Q4_K_M", id="host"),
        pytest.param(
            "localhost:5000/library/x:1",
            ("localhost:5000", "library", "x", "1"),
            "localhost:5000/library/x:1",
            id="port",
        ),
        pytest.param("https://hf.co/a/b:c", ("hf.co", "a", "b", "c"), "hf.co/a/b:c", id="with a scheme"),
        pytest.param("qwen2.5vl:32b", ("registry.ollama.ai", "library", "qwen2.5vl", "32b"), "qwen2.5vl:32b", id="dots"),
        pytest.param("a" * 80, ("registry.ollama.ai", "library", "a" * 80, "latest"), "a" * 80 + ":latest", id="80 characters"),
    ],
)
def test_a_name_is_read_in_its_four_parts(text, parts, shortest):
    name = parse_name(text)
    assert (name.host, name.namespace, name.model, name.tag) == parts
    assert str(name) == shortest
    assert name.manifest == "/".join(parts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "model ''", id="empty"),
        pytest.param("qwen3:", "tag ''", id="empty tag"),
        pytest.param(":8b", "model ''", id="empty model"),
        pytest.param("/qwen3:8b", "namespace ''", id="empty namespace"),
        pytest.param("//qwen3:8b", "host ''", id="empty host"),
        pytest.param("a/b/c/d:e", "more than host/namespace/model", id="four parts"),
        pytest.param("qwen3 :8b", "model 'qwen3 '", id="blank"),
        pytest.param("qwen3:8b:9b", "tag '8b:9b'", id="two tags"),
        pytest.param("qwen3:8b\n", "tag '8b\\\\n'", id="line break"),
        pytest.param("-qwen3:8b", "model '-qwen3'", id="leading dash"),
        pytest.param("../../etc/passwd", "more than host", id="way out of the store"),
        pytest.param("../x:1", "namespace '..'", id="way out by the namespace"),
        pytest.param("my.name/x:1", "namespace 'my.name'", id="dot in a namespace"),
        pytest.param("qwén3:8b", "model 'qwén3'", id="letter outside ASCII"),
        pytest.param("a" * 81, "model", id="81 characters"),
        pytest.param(8, "not 8", id="number"),
        pytest.param(None, "not None", id="nothing"),
        pytest.param(["qwen3:8b"], "not \\['qwen3:8b'\\]", id="list"),
    ],
)
def test_what_ollama_calls_invalid_is_refused_in_one_sentence(text, says):
    with pytest.raises(ValueError, match=says):
        parse_name(text)


@given(NAMES)
def test_normalising_is_idempotent_and_loses_nothing(name):
    shortest = normalise(str(name))
    assert normalise(shortest) == shortest
    assert parse_name(shortest) == name


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        name = parse_name(text)
        assert parse_name(str(name)) == name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("QWEN3:8B", "qwen3:8b", True),
        ("qwen3", "registry.ollama.ai/library/qwen3:latest", True),
        ("qwen3:8b", "qwen3-fast:8b", False),
        ("me/qwen3:8b", "qwen3:8b", False),
    ],
)
def test_names_are_compared_without_case(one, other, same):
    assert same_name(one, other) is same


def test_case_is_kept_for_the_registry():
    assert normalise("hf.co/A/B:Q4_K_M") == "hf.co/A/B:Q4_K_M"


@pytest.mark.parametrize(
    ("text", "cloud"),
    [("gpt-oss:120b-cloud", True), ("glm-4.6:cloud", True), ("cloud:8b", False), ("qwen3:cloudy", False)],
)
def test_a_cloud_stub_is_known_by_its_tag(text, cloud):
    assert parse_name(text).is_cloud is cloud
