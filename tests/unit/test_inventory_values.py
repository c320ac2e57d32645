"""Every text variable of every role against hostile values: refused by name, or declared free with the reason why it is inert."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.module_utils.fleet.environment import check
from ansible.module_utils.fleet.inventory import contradictions, model_findings, value_findings
from ansible.module_utils.fleet.inventory_values import CONNECTION, FREE, KINDS, connection_refusals, kind_of, refusals
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
SPECS = {
    path.parents[1].name: yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml"))
}
OPTIONS = {name: option for role in SPECS.values() for name, option in role.items()}
TEXTS = ("str", "path", "raw")

HOSTILE = (
    "a'b", 'a"b', "a\nb", "a\r\nb", "$(touch /tmp/pwned)", "${IFS}", "`id`", "a;id", "a|id", "a&id", "a>b", "a<b", "a\0b",
    "../../etc/passwd", "/Users/felipe/../root", "-oProxyCommand=id", "\x1b[2J", "a\u2028b", "/opt/'$(id)'",
    "/opt/a;id", "/opt/a\nb",
)  # fmt: skip


def leaves(name, option):
    """Yield (name, option, a function that puts a text in its place) for every text that a variable may hold."""
    kind, elements, nested = option.get("type"), option.get("elements"), option.get("options")
    if nested:
        for key, inner in nested.items():
            for where, leaf, put in leaves(f"{name}.{key}", inner):
                yield where, leaf, lambda text, put=put, key=key: wrapped(kind, {key: put(text)})
    elif kind in TEXTS:
        yield name, option, lambda text: text
    elif kind == "list" and elements in TEXTS:
        yield name, option, lambda text: [text]
    elif kind == "dict":
        yield name, option, lambda text: {"a": text}


def wrapped(kind, value):
    return [value] if kind == "list" else value


LEAVES = [(where, leaf, put) for name, option in OPTIONS.items() for where, leaf, put in leaves(name, option)]


def test_the_table_covers_every_role():
    assert len(LEAVES) > 25
    assert {name.split(".")[0] for name, _, _ in LEAVES} <= set(OPTIONS)


@pytest.mark.parametrize(("name", "option", "put"), LEAVES, ids=[name for name, _, _ in LEAVES])
def test_every_variable_refuses_what_is_hostile_or_says_why_it_need_not(name, option, put):
    if name in FREE:
        assert len(FREE[name]) > 10
        return
    variable = name.partition(".")[0]
    for text in HOSTILE:
        # One of a few words: the specification itself refuses all others, before this.
        if option.get("choices"):
            assert text not in option["choices"]
            continue
        (refused,) = refusals(OPTIONS, {variable: put(text)})
        assert refused.where.startswith(variable)
        assert refused.found == text


def test_a_secret_that_is_refused_is_not_repeated():
    options = {"healer": {"healer_webhook_url": OPTIONS["healer_webhook_url"]}}
    (finding,) = value_findings("mac-mini", options, {"healer_webhook_url": "https://x/T0KEN; id"})
    assert finding.item == "healer_webhook_url"
    assert "T0KEN" not in finding.sentence() + str(finding.found)


def test_names_of_a_map_are_judged_like_its_texts():
    options = {"some_map": {"type": "dict"}}
    (refused,) = refusals(options, {"some_map": {"$(id)": "fine"}})
    assert (refused.where, refused.found) == ("a name in some_map", "$(id)")


def test_no_row_of_the_tables_is_left_over():
    names = {name for name, _, _ in LEAVES}
    assert set(KINDS) <= names
    assert set(FREE) <= names
    assert not set(KINDS) & set(FREE)


@pytest.mark.parametrize("text", HOSTILE)
def test_model_names_are_refused_where_they_are_judged(text):
    installed = model_findings("mac-mini", [{"name": text}], [])
    removed = model_findings("mac-mini", [], [text])
    assert [finding.item for finding in (*installed, *removed)] == ["ollama_models_installed[0].name", "ollama_models_removed[0]"]


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\n" in text or "\0" in text])
def test_what_would_end_a_line_is_refused_in_the_environment(text):
    assert [problem.name for problem in check({"OLLAMA_EDITOR": text, "MY_OWN": text})] == ["MY_OWN", "OLLAMA_EDITOR"]


GOOD = {
    "homebrew_prefix": ["/opt/homebrew", "/usr/local"],
    "homebrew_formula": ["ollama", "ollama@0.30", "some/tap/ollama"],
    "ollama_service_label": ["com.user.ollama", "homebrew.mxcl.x"],
    "ollama_service_user": ["felipe", "_ollama", "jane.doe"],
    "ollama_service_url": ["http://127.0.0.1:11434", "http://[::1]:11434", "https://mini.local"],
    "ollama_service_stdout_path": ["/Users/felipe/Library/Logs/My Logs/a (1).log", "/Users/felipe/ollama.log"],
    "ollama_models_installed": [[{"name": "hf.co/unsloth/Qwen3-14B-GGUF:Q3_K_M", "size_gb": 1, "purpose": 'it\'s "mine"; $5'}]],
    "ollama_models_candidates": [[{"name": "qwen3:14b", "purpose": "a & b"}]],
    "firewall_programs": [["/opt/homebrew/opt/ollama/bin/ollama"], []],
    "ollama_service_retired_labels": [["com.ollama.serve"]],
    "ollama_service_working_directory": [None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_what_people_write_passes(name, value):
    assert refusals(OPTIONS, {name: value}) == []


@pytest.mark.parametrize("name", CONNECTION)
def test_by_which_a_host_is_reached_is_judged_too(name):
    for text in HOSTILE:
        assert [one.where for one in connection_refusals({name: text})] == [name]


@pytest.mark.parametrize(
    "variables",
    [
        {"ansible_host": "felipes-mac-mini.local", "ansible_user": "felipe", "fleet_tailnet_ip": "100.115.10.14"},
        {"ansible_host": "fe80::1%en0", "ansible_python_interpreter": "auto_silent", "fleet_tailnet_ip": "fd7a:115c:a1e0::e"},
        {"ansible_host": "192.0.2.1", "ansible_python_interpreter": "/usr/bin/python3", "other": "$(id)"},
        {},
    ],
)
def test_a_host_that_can_be_reached_passes(variables):
    assert connection_refusals(variables) == []


def test_a_refusal_names_host_variable_and_what_is_allowed():
    (finding,) = value_findings("mac-mini", SPECS, {"ollama_service_label": "com user"})
    said = finding.sentence()
    assert said.startswith("mac-mini: ollama_service_label: found 'com user', allowed is letters, digits")
    assert "host_vars/mac-mini" in said


@given(st.text(max_size=20))
def test_no_refusal_carries_a_raw_control_character_to_the_screen(text):
    for finding in value_findings("mac-mini", SPECS, {"ollama_service_label": text, "homebrew_prefix": text}):
        assert finding.sentence().isprintable()


@given(st.text(max_size=20))
def test_a_path_that_passes_is_one_word_in_single_quotes_and_stays_below_its_folder(text):
    if refusals(OPTIONS, {"homebrew_prefix": text}) == []:
        assert text.startswith("/")
        assert "'" not in text
        assert ".." not in text.split("/")


@pytest.mark.parametrize(
    ("values", "item"),
    [
        ({"firewall_block_all": True, "firewall_programs": ["/a"]}, "firewall_block_all"),
        ({"firewall_block_all": True, "firewall_state": "disabled"}, "firewall_block_all"),
        ({"firewall_block_all": True, "firewall_programs": ["/a"], "firewall_managed": False}, None),
        ({"firewall_block_all": False, "firewall_programs": ["/a"]}, None),
        ({"firewall_programs": ["/a"]}, None),
    ],
)
def test_settings_that_cannot_all_be_meant(values, item):
    assert [finding.item for finding in contradictions("mac-mini", values)] == ([item] if item else [])


def test_choices_are_left_to_the_specification():
    assert kind_of("ollama_service_domain", OPTIONS["ollama_service_domain"]) is None
