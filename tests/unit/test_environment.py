"""Every variable of the server is accepted or refused as Ollama itself would mean it."""

from __future__ import annotations

import contextlib

import pytest
from ansible.module_utils.fleet.environment import (
    KV_CACHE_TYPES,
    QUANTISED_KV_CACHE_TYPES,
    VARIABLES,
    Bind,
    check,
    parse_host,
)
from hypothesis import given
from hypothesis import strategies as st

BOOLEANS = (
    "OLLAMA_FLASH_ATTENTION",
    "OLLAMA_DEBUG_LOG_REQUESTS",
    "OLLAMA_NOPRUNE",
    "OLLAMA_NO_CLOUD",
    "OLLAMA_SCHED_SPREAD",
    "OLLAMA_GO_TEMPLATE",
    "OLLAMA_NOHISTORY",
    "OLLAMA_AUTH",
)
COUNTS = (
    "OLLAMA_CONTEXT_LENGTH",
    "OLLAMA_NUM_PARALLEL",
    "OLLAMA_MAX_LOADED_MODELS",
    "OLLAMA_MAX_QUEUE",
    "OLLAMA_GPU_OVERHEAD",
    "OLLAMA_MAX_TRANSFER_STREAMS",
    "LLAMA_ARG_FIT_TARGET",
)
DURATIONS = ("OLLAMA_KEEP_ALIVE", "OLLAMA_LOAD_TIMEOUT")

ACCEPTED = {
    **dict.fromkeys(BOOLEANS, ("0", "1")),
    **dict.fromkeys(COUNTS, ("0", "1", "8192", "1073741824")),
    **dict.fromkeys(DURATIONS, ("300", "0", "-1", "5m", "24h", "1h30m", "1.5h", "-1m", "500ms", "1h0m10s")),
    "OLLAMA_HOST": ("0.0.0.0", "127.0.0.1:11434", ":1234", "[::1]:1234", "http://10.0.0.5", "100.115.10.14"),
    "OLLAMA_ORIGINS": ("*", "http://localhost", "https://a.example,http://b.example:8080", "chrome-extension://*", "app://*"),
    "OLLAMA_MODELS": ("/Volumes/Models", "/Users/felipe/.ollama/models"),
    "OLLAMA_KV_CACHE_TYPE": ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1", "Q8_0"),
    "OLLAMA_DEBUG": ("0", "1", "2"),
    "OLLAMA_REMOTES": ("ollama.com", "ollama.com,models.example"),
    "OLLAMA_LLM_LIBRARY": ("cpu",),
    "OLLAMA_EDITOR": ("vim",),
    "LLAMA_ARG_FIT": ("on", "off"),
    "LLAMA_ARG_CACHE_RAM": ("-1", "0", "2048"),
    "LLAMA_ARG_THREADS": ("4",),
    "HTTPS_PROXY": ("http://proxy.example:3128",),
    "NO_PROXY": ("localhost,127.0.0.1",),
    "HOME": ("/Users/felipe",),
}
REFUSED = {
    **dict.fromkeys(BOOLEANS, ("no", "yes", "true", "off", "", "2", " 1")),
    **dict.fromkeys(COUNTS, ("-1", "1.5", "8k", "8192 ", "", "0x10", "\u0663", "1e3")),
    **dict.fromkeys(DURATIONS, ("1d", "forever", "5 m", "m", "5min", "--5m", "10\u0660m")),
    "OLLAMA_HOST": ("0.0.0.0:99999", "0.0.0.0:abc", "ftp://host", "my host", "tcp://0.0.0.0:11434"),
    "OLLAMA_ORIGINS": ("localhost", "http://a.example,b.example", "tauri://localhost", "http://*:*"),
    "OLLAMA_MODELS": ("~/models", "models", "$HOME/models", "/a\nb"),
    "OLLAMA_KV_CACHE_TYPE": ("q8", "q8_1", "int8", "", "fp16", "q8-0"),
    "OLLAMA_DEBUG": ("3", "yes", "-1"),
    "OLLAMA_EDITOR": ("a\nb",),
    "LLAMA_ARG_FIT": ("1", "true"),
    "LLAMA_ARG_CACHE_RAM": ("-2", "2GB"),
    "HOME": ("~",),
}


def cases(table):
    return [pytest.param(name, value, id=f"{name}={value!r}") for name, values in table.items() for value in values]


def test_the_table_covers_every_variable_of_the_server():
    assert set(VARIABLES) <= set(ACCEPTED)


@pytest.mark.parametrize(("name", "value"), cases(ACCEPTED))
def test_accepted(name, value):
    assert check({name: value}) == ()


@pytest.mark.parametrize(("name", "value"), cases(REFUSED))
def test_refused_with_what_is_allowed(name, value):
    (problem,) = check({name: value})
    assert (problem.name, problem.found) == (name, value)
    assert problem.allowed


@pytest.mark.parametrize("value", [False, True, 1, 0, 1.5, None, ["1"], {"a": 1}], ids=repr)
@pytest.mark.parametrize("name", ["OLLAMA_FLASH_ATTENTION", "OLLAMA_HOST", "OLLAMA_EDITOR", "HOME", "MY_OWN"])
def test_what_is_not_text_is_refused_since_launchd_drops_it(name, value):
    (problem,) = check({name: value})
    assert problem.name == name
    assert "quotes" in problem.allowed


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OLLAMA_FLASH_ATTENTON", "OLLAMA_FLASH_ATTENTION"),
        ("OLLAMA_CONTEXT_LENGHT", "OLLAMA_CONTEXT_LENGTH"),
        ("OLLAMA_KV_CACHE_TYP", "OLLAMA_KV_CACHE_TYPE"),
        ("OLLAMA_KEEPALIVE", "OLLAMA_KEEP_ALIVE"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_right_one(name, hint):
    (problem,) = check({name: "1"})
    assert f"did you mean {hint}" in problem.allowed


@pytest.mark.parametrize("name", ["OLLAMA_NUM_CTX", "OLLAMA_PORT", "OLLAMA_API_KEY", "OLLAMA_REGISTRIES", "OLLAMA_TIMEOUT"])
def test_names_that_people_write_and_ollama_never_reads_are_refused(name):
    (problem,) = check({name: "1"})
    assert "ignore" in problem.allowed


@pytest.mark.parametrize("name", ["1ST", "A B", "A=B", "", "A-B"], ids=repr)
def test_a_name_that_is_none_is_refused(name):
    (problem,) = check({name: "x"})
    assert "letters, digits and underscores" in problem.allowed


def test_unknown_names_of_other_programs_are_nobodys_business():
    assert check({"GODEBUG": "netdns=go", "LLAMA_ARG_MLOCK": "1"}) == ()


@pytest.mark.parametrize("kind", KV_CACHE_TYPES)
def test_a_quantised_cache_needs_flash_attention(kind):
    problems = check({"OLLAMA_KV_CACHE_TYPE": kind, "OLLAMA_FLASH_ATTENTION": "0"})
    assert [problem.name for problem in problems] == ["OLLAMA_FLASH_ATTENTION"] * (kind in QUANTISED_KV_CACHE_TYPES)
    assert check({"OLLAMA_KV_CACHE_TYPE": kind}) == ()
    assert check({"OLLAMA_KV_CACHE_TYPE": kind, "OLLAMA_FLASH_ATTENTION": "1"}) == ()


def test_problems_come_in_the_order_of_the_names():
    problems = check({"OLLAMA_PORT": "1", "OLLAMA_DEBUG": "x", "A B": "c", "OLLAMA_HOST": "0.0.0.0"})
    assert [problem.name for problem in problems] == ["A B", "OLLAMA_DEBUG", "OLLAMA_PORT"]


@given(
    st.dictionaries(st.text(max_size=12), st.one_of(st.text(max_size=12), st.integers(), st.none(), st.booleans()), max_size=5)
)
def test_any_map_is_judged_without_a_traceback(environment):
    assert all(problem.allowed for problem in check(environment))


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        pytest.param("", Bind("127.0.0.1", 11434), id="empty"),
        pytest.param("  ", Bind("127.0.0.1", 11434), id="blank"),
        pytest.param('""', Bind("127.0.0.1", 11434), id="empty in quotes"),
        pytest.param("0.0.0.0", Bind("*", 11434), id="every interface"),
        pytest.param("::", Bind("*", 11434), id="every interface in IPv6"),
        pytest.param("[::]:80", Bind("*", 80), id="every interface in IPv6 with port"),
        pytest.param(":1234", Bind("*", 1234), id="port alone"),
        pytest.param("10.0.0.5:1234", Bind("10.0.0.5", 1234), id="address and port"),
        pytest.param("[::1]:1234", Bind("::1", 1234), id="IPv6 with port"),
        pytest.param("[::1]", Bind("::1", 11434), id="IPv6 in brackets"),
        pytest.param("::1", Bind("::1", 11434), id="IPv6 alone"),
        pytest.param("http://10.0.0.5", Bind("10.0.0.5", 80), id="http moves the port"),
        pytest.param("https://x", Bind("x", 443), id="https moves the port"),
        pytest.param("http://10.0.0.5:11434/", Bind("10.0.0.5", 11434), id="scheme, port and path"),
        pytest.param("http://[::1]:1234/x", Bind("::1", 1234), id="scheme, IPv6 and path"),
        pytest.param("http://", Bind("127.0.0.1", 80), id="scheme alone"),
        pytest.param("100.115.10.14", Bind("100.115.10.14", 11434), id="tailnet"),
        pytest.param(" '127.0.0.1:1' ", Bind("127.0.0.1", 1), id="quotes and blanks"),
        pytest.param("localhost", Bind("localhost", 11434), id="name"),
    ],
)
def test_the_bind_address_is_read_as_the_server_reads_it(text, bind):
    assert parse_host(text) == bind


@pytest.mark.parametrize(
    "text",
    [
        "host:99999",
        "host:abc",
        "host:0",
        "host:-1",
        "host:1e3",
        "host:\u00b2",
        "host:\u0663",
        "ftp://host",
        "a b",
        "-host",
        "[::1]x",
    ],
)
def test_what_would_fall_back_to_a_default_in_silence_is_refused_by_name(text):
    with pytest.raises(ValueError, match=r"port|scheme|address") as caught:
        parse_host(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("", True), ("127.0.0.1:1", True), ("127.1.2.3", True), ("[::1]:1", True), ("localhost", True), ("0.0.0.0", False),
     ("10.0.0.5", False), (":11434", False), ("[::]", False)],
)  # fmt: skip
def test_loopback_is_what_only_the_mac_itself_reaches(text, loopback):
    assert parse_host(text).is_loopback is loopback


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_address_with_a_port_comes_back(address, port):
    text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert parse_host(text) == Bind("*" if address.is_unspecified else str(address), port)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        bind = parse_host(text)
        assert 0 < bind.port < 65536
        assert bind.address
