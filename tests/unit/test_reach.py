"""Who asks whom: every address of every other server, and a completion of its own."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.reach import Server, entry, targets, url

QWEN = {"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"}
OSS = {"name": "gpt-oss:20b", "size_gb": 13.8, "residency": "on_demand"}
TINY = {"name": "tiny:1b", "size_gb": 1}

MINI = Server("mac-mini", ["felipes-mac-mini.local", "100.115.10.14"], "0.0.0.0", [OSS, QWEN, TINY])
MACBOOK = Server("macbook-pro", ["felipes-macbook-pro-2.local", "100.125.165.107"], "0.0.0.0:8080", [OSS])
FLEET = [MINI, MACBOOK]


def asked(host, servers=FLEET):
    return [(target["what"], target["url"]) for target in targets(host, servers)]


def test_a_client_asks_every_address_of_every_server():
    assert asked("windows-msi") == [
        ("version", "http://felipes-mac-mini.local:11434"),
        ("version", "http://100.115.10.14:11434"),
        ("version", "http://felipes-macbook-pro-2.local:8080"),
        ("version", "http://100.125.165.107:8080"),
    ]


def test_a_server_asks_the_others_and_completes_by_itself():
    assert asked("mac-mini") == [
        ("completion", "http://127.0.0.1:11434"),
        ("version", "http://felipes-macbook-pro-2.local:8080"),
        ("version", "http://100.125.165.107:8080"),
    ]


@pytest.mark.parametrize(
    ("models", "chosen", "keep_alive"),
    [
        ([OSS, QWEN, TINY], "qwen3:8b", "-1"),
        ([OSS, TINY], "tiny:1b", None),
        ([{**OSS, "residency": "resident"}, QWEN], "qwen3:8b", "-1"),
        ([OSS, {**OSS, "name": "a:1"}], "a:1", None),
    ],
    ids=["the resident", "the smallest", "the smallest resident", "by name where equal"],
)
def test_which_model_completes(models, chosen, keep_alive):
    (question,) = targets("mac-mini", [Server("mac-mini", [], "0.0.0.0", models)])
    assert (question["model"], question.get("keep_alive")) == (chosen, keep_alive)


def test_a_server_without_models_completes_nothing():
    assert targets("mac-mini", [Server("mac-mini", [], "0.0.0.0", [])]) == []


@pytest.mark.parametrize("setting", ["", "127.0.0.1", "[::1]:11434", "localhost"])
def test_a_server_on_loopback_is_asked_by_itself_alone(setting):
    servers = [Server("mac-mini", MINI.addresses, setting, [QWEN])]
    assert targets("windows-msi", servers) == []
    assert [target["what"] for target in targets("mac-mini", servers)] == ["completion"]


@pytest.mark.parametrize(
    ("setting", "own"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("100.115.10.14", "http://100.115.10.14:11434"),
        ("[::1]:1234", "http://[::1]:1234"),
        (":1234", "http://127.0.0.1:1234"),
        ("http://10.0.0.5", "http://10.0.0.5:80"),
    ],
)
def test_a_server_asks_itself_where_it_listens(setting, own):
    assert asked("mac-mini", [Server("mac-mini", [], setting, [QWEN])]) == [("completion", own)]


@pytest.mark.parametrize(
    ("address", "port", "text"),
    [("a.local", 1, "http://a.local:1"), ("10.0.0.5", 80, "http://10.0.0.5:80"), ("::1", 2, "http://[::1]:2")],
)
def test_an_address_as_url(address, port, text):
    assert url(address, port) == text


VARIABLES = {
    "inventory_hostname": "mac-mini",
    "fleet_local_name": "felipes-mac-mini.local",
    "fleet_tailnet_ip": "100.115.10.14",
    "ollama_service_environment": {"OLLAMA_HOST": "0.0.0.0"},
    "ollama_models_installed": [QWEN],
}


@pytest.mark.parametrize(
    ("networks", "addresses"),
    [
        (["local", "tailnet"], ["felipes-mac-mini.local", "100.115.10.14"]),
        (["tailnet"], ["100.115.10.14"]),
        ([], []),
    ],
)
def test_a_server_is_described_by_the_networks_of_the_asker(networks, addresses):
    described = entry(VARIABLES, networks)
    assert described == {"name": "mac-mini", "addresses": addresses, "host_setting": "0.0.0.0", "models": [QWEN]}
    assert Server(**described).port == 11434


def test_an_address_that_is_not_set_is_left_out():
    assert entry({"inventory_hostname": "x", "fleet_tailnet_ip": ""}, ["local", "tailnet"]) == {
        "name": "x",
        "addresses": [],
        "host_setting": "",
        "models": [],
    }
