"""Each kind of bad input gives exactly one finding that names host, variable, what was found and what is allowed."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.inventory import (
    address_findings,
    environment_findings,
    exposure_findings,
    keep_alive_findings,
    model_findings,
    secret_findings,
    service_findings,
    unknown_variables,
)
from hypothesis import given
from hypothesis import strategies as st

from filter_plugins.host_addresses import host_addresses
from filter_plugins.inventory_findings import inventory_findings
from filter_plugins.sentences import sentences

from .examples import EXPOSURE, LABEL, definition, desired

KNOWN = {
    "ollama_service": ["ollama_service_label", "ollama_service_environment"],
    "ollama_models": ["ollama_models_installed", "ollama_models_removed"],
    "ram_budget": ["ram_budget_memory_gib"],
}


def the_one(findings, item):
    (finding,) = findings
    assert finding.host == "mac-mini"
    assert finding.severity == "error"
    assert finding.item.startswith(item)
    assert item in finding.sentence()
    return finding


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ollama_service_lable", "ollama_service_label"),
        ("ollama_models_instaled", "ollama_models_installed"),
        ("ram_budget_memory_gb", "ram_budget_memory_gib"),
        ("ollama_models_zzzzzzzzzzzzzzzzzzzzzz", "take it out"),
    ],
)
def test_a_variable_that_no_role_reads(name, remedy):
    assert remedy in the_one(unknown_variables("mac-mini", [name, "ollama_service_label"], KNOWN), name).remedy


def test_variables_that_are_read_or_nobodys_are_left_alone():
    names = ["ollama_service_label", "ollama_models_removed", "fleet_local_name", "ansible_host", "my_own_thing"]
    assert unknown_variables("mac-mini", names, KNOWN) == ()


@pytest.mark.parametrize(
    ("values", "variable", "words"),
    [
        ({"OLLAMA_FLASH_ATTENTION": False}, "OLLAMA_FLASH_ATTENTION", ["False", "quotes"]),
        ({"OLLAMA_FLASH_ATTENTION": "no"}, "OLLAMA_FLASH_ATTENTION", ["'no'", "0 or 1"]),
        ({"OLLAMA_KV_CACHE_TYPE": "q8"}, "OLLAMA_KV_CACHE_TYPE", ["'q8'", "q8_0"]),
        ({"OLLAMA_KEEP_ALIVE": "1d"}, "OLLAMA_KEEP_ALIVE", ["'1d'", "24h"]),
        ({"OLLAMA_FLASH_ATTENTON": "1"}, "OLLAMA_FLASH_ATTENTON", ["OLLAMA_FLASH_ATTENTION"]),
        ({"OLLAMA_HOST": "0.0.0.0:99999"}, "OLLAMA_HOST", ["'0.0.0.0:99999'", "address"]),
    ],
)
def test_a_variable_of_the_server_that_would_be_misread(values, variable, words):
    finding = the_one(environment_findings("mac-mini", values), f"ollama_service_environment.{variable}")
    assert all(word in finding.why for word in words)
    assert "host_vars/mac-mini" in finding.remedy


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"HTTPS_PROXY": "http://felipe:hunter2@proxy.local:3128"}, ["HTTPS_PROXY"]),
        ({"HF_TOKEN": "hunter2", "MY_API_KEY": "hunter2", "db_password": "hunter2"}, ["HF_TOKEN", "MY_API_KEY", "db_password"]),
        ({"HTTPS_PROXY": "http://proxy.local:3128", "OLLAMA_ORIGINS": "http://a:1,http://b@c"}, []),
        ("text", []),
    ],
)
def test_what_looks_like_a_secret_is_warned_of_and_not_repeated(values, names):
    found = secret_findings("mac-mini", values)
    assert [finding.item.rpartition(".")[2] for finding in found] == names
    assert all(finding.severity == "warning" and "hunter2" not in repr(finding) for finding in found)


@pytest.mark.parametrize("values", ["OLLAMA_HOST=0.0.0.0", ["OLLAMA_HOST"], None, 1], ids=repr)
def test_an_environment_that_is_no_map(values):
    assert repr(values) in the_one(environment_findings("mac-mini", values), "ollama_service_environment").why


@pytest.mark.parametrize(
    ("installed", "removed", "item", "words"),
    [
        pytest.param([{"name": "bad name"}], [], "ollama_models_installed[0].name", ["'bad name'"], id="bad name"),
        pytest.param([{"name": "a:1"}, {"size_gb": 5}], [], "ollama_models_installed[1].name", ["None"], id="no name"),
        pytest.param([{"name": 8}], [], "ollama_models_installed[0].name", ["8"], id="number"),
        pytest.param(["a b"], [], "ollama_models_installed[0]", ["'a b'"], id="text with a blank"),
        pytest.param([{"name": "a:1"}, {"name": "A:1"}], [], "ollama_models_installed[1].name", ["[0].name", "once"], id="twice"),
        pytest.param(
            [{"name": "qwen3"}, {"name": "qwen3:latest"}], [], "ollama_models_installed[1]", ["once"], id="twice by its tag"
        ),
        pytest.param([{"name": "a:1"}], ["a:1"], "ollama_models_removed[0]", ["ollama_models_installed[0]"], id="also removed"),
        pytest.param([], ["a:1", "a:1"], "ollama_models_removed[1]", ["once"], id="removed twice"),
        pytest.param([], [":8b"], "ollama_models_removed[0]", ["':8b'"], id="bad name to remove"),
        pytest.param([{"name": "gpt-oss:120b-cloud"}], [], "ollama_models_installed[0].name", ["cloud"], id="cloud stub"),
        pytest.param({"name": "a:1"}, [], "ollama_models_installed", ["a list"], id="map instead of a list"),
        pytest.param([], "a:1", "ollama_models_removed", ["a list"], id="text instead of a list"),
        pytest.param(None, [], "ollama_models_installed", ["a list"], id="nothing instead of a list"),
    ],
)
def test_a_model_set_that_nobody_can_mean(installed, removed, item, words):
    finding = the_one(model_findings("mac-mini", installed, removed), item)
    assert all(word in finding.why for word in words)


@pytest.mark.parametrize(
    ("label", "domain", "content", "retired", "item", "words"),
    [
        pytest.param("com user", "gui", definition(Label="com user"), [], "ollama_service", ["'com user'"], id="label"),
        pytest.param(LABEL, "aqua", definition(), [], "ollama_service", ["'aqua'"], id="domain"),
        pytest.param(LABEL, "gui", None, [], "ollama_service", ["property list"], id="no property list"),
        pytest.param(LABEL, "gui", definition(ProgramArguments=["ollama"]), [], "ollama_service", ["absolute"], id="program"),
        pytest.param(LABEL, "gui", definition(), [LABEL], "ollama_service_label", ["retired"], id="label is also retired"),
        pytest.param(
            "homebrew.mxcl.ollama",
            "gui",
            definition(Label="homebrew.mxcl.ollama"),
            [],
            "ollama_service_label",
            ["Homebrew"],
            id="label of Homebrew",
        ),
    ],
)
def test_a_service_that_launchd_would_not_take(label, domain, content, retired, item, words):
    finding = the_one(service_findings("mac-mini", label, domain, content, retired), item)
    assert all(word in finding.why for word in words)


def test_a_sound_service_has_no_findings():
    sound = definition(StandardErrorPath="/Users/felipe/x.log", StandardOutPath=None)
    assert service_findings("mac-mini", LABEL, "gui", sound, ["com.ollama.serve"]) == ()
    assert {one.severity for one in service_findings("mac-mini", LABEL, "gui", definition(), [])} == {"warning"}


@pytest.mark.parametrize(
    ("changes", "variables", "words"),
    [
        ({"scope": "world"}, {}, ["'world'", "loopback, tailnet, lan"]),
        ({"scope": "world", "managed": False}, {}, ["'world'"]),
        ({"networks": ["en0"]}, {}, ["'en0'", "a network such as"]),
        ({"port": 0}, {}, ["0", "1 to 65535"]),
        ({}, {"OLLAMA_HOST": "0.0.0.0:8080"}, ["11434", "8080, the port of OLLAMA_HOST"]),
        ({"port": 8080}, {"OLLAMA_HOST": "0.0.0.0"}, ["8080", "11434, the port of OLLAMA_HOST"]),
    ],
)
def test_an_exposure_that_would_guard_nothing(changes, variables, words):
    finding = the_one(exposure_findings("mac-mini", {**EXPOSURE, **changes}, variables), "exposure_")
    assert all(word in finding.why for word in words)


@pytest.mark.parametrize(
    ("changes", "variables"),
    [
        ({}, {}),
        ({}, {"OLLAMA_HOST": "0.0.0.0"}),
        ({"port": "8080"}, {"OLLAMA_HOST": "0.0.0.0:8080"}),
        ({}, {"OLLAMA_HOST": "127.0.0.1:8080"}),
        ({}, {"OLLAMA_HOST": "host:abc"}),
        ({}, "OLLAMA_HOST"),
        ({"managed": False}, {"OLLAMA_HOST": "0.0.0.0:8080"}),
    ],
)
def test_an_exposure_that_guards_the_servers_port_or_is_not_ours(changes, variables):
    assert exposure_findings("mac-mini", {**EXPOSURE, **changes}, variables) == ()


def test_two_hosts_with_one_address():
    addresses = {
        "mac-mini": {"fleet_tailnet_ip": "100.1.1.1", "fleet_local_name": "a.local", "ansible_user": "felipe"},
        "macbook-pro": {"fleet_tailnet_ip": "100.1.1.1", "fleet_local_name": "b.local", "ansible_user": "felipe"},
        "windows-msi": {},
    }
    (finding,) = address_findings(addresses)
    assert (finding.host, finding.item, finding.found) == ("macbook-pro", "fleet_tailnet_ip", "100.1.1.1")
    assert "mac-mini" in finding.why
    assert "host_vars" in finding.remedy


ADDRESSES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.dictionaries(
        st.sampled_from(["fleet_local_name", "fleet_tailnet_ip"]), st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    ),
)


@given(ADDRESSES)
def test_a_clash_is_found_exactly_where_there_is_one(addresses):
    claims = {(host, address) for host, own in addresses.items() for address in own.values()}
    clash = len({address for _, address in claims}) < len(claims)
    assert bool(address_findings(addresses)) is clash


def test_addresses_are_picked_where_they_are_set():
    variables = {"fleet_local_name": "a.local", "fleet_tailnet_ip": "", "ansible_host": "x", "ansible_become_password": "y"}
    assert host_addresses(variables) == {"fleet_local_name": "a.local", "ansible_host": "x"}


def declared(**changes):
    service = {**desired()["ollama_service"], "background_accepted": False}
    return {
        "variables": [],
        "known_variables": KNOWN,
        "environment": {"OLLAMA_HOST": "0.0.0.0"},
        "ollama_service": service,
        "exposure": dict(EXPOSURE),
        "models": [{"name": "qwen3:8b"}],
        "removed": [],
        "shell_env": desired()["shell_env"],
        "power": {"managed": True, "settings": {"sleep": 0}, "gpu_wired_limit_mib": None, "always_on": True, "budget": {}},
        **changes,
    }


def test_a_sound_inventory_has_no_findings():
    assert sentences(inventory_findings(declared(), "mac-mini"), "error") == []


def test_one_run_names_every_mistake_once():
    found = inventory_findings(
        declared(
            variables=["ollama_service_lable"],
            environment={"OLLAMA_FLASH_ATTENTION": False, "OLLAMA_DEBUG": "1"},
            exposure={**EXPOSURE, "networks": ["192.168.1.20/24"]},
            models=[{"name": "bad name"}],
            shell_env={"variables": {"OLLAMA_HOST": "0.0.0.0"}, "aliases": {}},
        ),
        "mac-mini",
    )
    assert [finding["item"] for finding in found] == [
        "ollama_service_lable",
        "ollama_service_environment.OLLAMA_FLASH_ATTENTION",
        "exposure_networks[0]",
        "ollama_models_installed[0].name",
        "shell_env_variables.OLLAMA_HOST",
    ]
    lines = sentences(found, "error")
    assert len(lines) == 5
    assert all(line.startswith("mac-mini: ") and "\n" not in line for line in lines)
    assert sentences(found, "warning") == []
    assert sentences(found) == lines


RESIDENT = {"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"}
ON_DEMAND = {"name": "gpt-oss:20b", "size_gb": 13.8, "residency": "on_demand"}


@pytest.mark.parametrize(
    ("value", "models", "severity", "words"),
    [
        (None, [RESIDENT, ON_DEMAND], None, []),
        ("5m", [RESIDENT, ON_DEMAND], None, []),
        ("-1", [RESIDENT], None, []),
        ("-1", [RESIDENT, ON_DEMAND], "warning", ["gpt-oss:20b 13.8 GB", "residents of 5.2 GB", "17.2 GB", "Leave it out"]),
        ("-1h", [{"name": "gpt-oss:20b", "size_gb": 13.8}], "warning", ["gpt-oss:20b 13.8 GB"]),
        ("0", [ON_DEMAND], None, []),
        ("0", [RESIDENT, ON_DEMAND], "error", ["'0'", "qwen3:8b", "Leave it out"]),
        ("0s", [RESIDENT], "error", ["'0s'"]),
        ("-0", [RESIDENT], "error", ["'-0'"]),
        ("0h0.5s", [RESIDENT], None, []),
    ],
)
def test_how_long_a_model_stays_fits_the_set(value, models, severity, words):
    values = {} if value is None else {"OLLAMA_KEEP_ALIVE": value}
    findings = keep_alive_findings("mac-mini", values, models, 16)
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    for word in words:
        assert word in findings[0].sentence()
        assert "ollama_service_environment.OLLAMA_KEEP_ALIVE" in findings[0].sentence()


@pytest.mark.parametrize(
    ("values", "models", "memory"),
    [
        (5, [RESIDENT], 16),
        ({"OLLAMA_KEEP_ALIVE": -1}, [RESIDENT], 16),
        ({"OLLAMA_KEEP_ALIVE": "1d"}, [RESIDENT], 16),
        ({"OLLAMA_KEEP_ALIVE": "0"}, "qwen3:8b", 16),
        ({"OLLAMA_KEEP_ALIVE": "0"}, ["qwen3:8b", None, {}], 16),
    ],
)
def test_what_is_refused_elsewhere_is_no_second_finding(values, models, memory):
    assert keep_alive_findings("mac-mini", values, models, memory) == ()


@pytest.mark.parametrize("hostile", [None, "much", float("nan"), float("inf"), [], -1])
def test_a_figure_that_is_none_is_left_out_of_the_sentence(hostile):
    (finding,) = keep_alive_findings("mac-mini", {"OLLAMA_KEEP_ALIVE": "-1"}, [{"name": "a", "size_gb": hostile}], hostile)
    assert "\n" not in finding.sentence()
    assert "nan" not in finding.sentence()
