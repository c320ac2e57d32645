"""Who asks whom: every address of every other server, and a completion of its own."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.reach import Server, entry, targets, url, usable

from .examples import observed

QWEN = {"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"}
OSS = {"name": "gpt-oss:20b", "size_gb": 13.8, "residency": "on_demand"}
TINY = {"name": "tiny:1b", "size_gb": 1}

MINI = Server("mac-mini", [["local", "felipes-mac-mini.local"], ["tailnet", "100.115.10.14"]], "0.0.0.0", [OSS, QWEN, TINY])
MACBOOK = Server("macbook-pro", [["local", "felipes-macbook-pro-2.local"], ["tailnet", "100.125.165.107"]], "0.0.0.0:8080", [OSS])
FLEET = [MINI, MACBOOK]


def asked(host, servers=FLEET, networks=("local", "tailnet", "lan")):
    return [(target["what"], target["url"]) for target in targets(host, servers, networks)]


def foreign(url):
    return [("foreign_host", url), ("foreign_origin", url)]


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
        *foreign("http://127.0.0.1:11434"),
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
    question, *_ = targets("mac-mini", [Server("mac-mini", [], "0.0.0.0", models)])
    assert (question["model"], question.get("keep_alive")) == (chosen, keep_alive)


def test_a_server_without_models_completes_nothing():
    assert asked("mac-mini", [Server("mac-mini", [], "0.0.0.0", [])]) == foreign("http://127.0.0.1:11434")


@pytest.mark.parametrize("setting", ["", "127.0.0.1", "[::1]:11434", "localhost"])
def test_a_server_on_loopback_is_asked_too_since_no_is_an_answer(setting):
    servers = [Server("mac-mini", MINI.addresses, setting, [QWEN])]
    assert [target["network"] for target in targets("windows-msi", servers)] == ["local", "tailnet"]
    assert [target["what"] for target in targets("mac-mini", servers)] == ["completion", "foreign_host", "foreign_origin"]


@pytest.mark.parametrize(
    ("networks", "urls"),
    [
        (["tailnet"], ["http://100.115.10.14:11434"]),
        (["local"], ["http://felipes-mac-mini.local:11434"]),
        (["lan"], []),
        ([], []),
    ],
)
def test_a_machine_asks_by_the_networks_it_uses(networks, urls):
    assert [url for _, url in asked("windows-msi", [MINI], networks)] == urls


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
    assert asked("mac-mini", [Server("mac-mini", [], setting, [QWEN])]) == [("completion", own), *foreign(own)]


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
    "ollama_service_environment": {"OLLAMA_HOST": "0.0.0.0", "OLLAMA_ORIGINS": "http://a.example"},
    "ollama_models_installed": [QWEN],
    "fleet_plan_desired": {"exposure": {"managed": True, "scope": "lan", "networks": ["192.168.1.0/24"]}},
    "fleet_plan_observation": observed(tailscale={**observed()["tailscale"], "served": {"11434": "127.0.0.1:11434"}}),
}


def test_a_server_is_described_by_its_variables_and_what_was_seen():
    described = entry(VARIABLES)
    assert described == {
        "name": "mac-mini",
        "addresses": [["local", "felipes-mac-mini.local"], ["tailnet", "100.115.10.14"], ["lan", "192.168.1.20"]],
        "host_setting": "0.0.0.0",
        "models": [QWEN],
        "scope": "lan",
        "networks": ["192.168.1.0/24"],
        "served": [11434],
        "userspace": False,
        "origins": "http://a.example",
    }
    assert Server(**described).port == 11434


@pytest.mark.parametrize("part", [None, {"unknown": "it did not answer"}, {"variant": "", "served": {"unknown": "denied"}}])
def test_what_is_not_set_or_not_known_is_left_out(part):
    seen = {} if part is None else {"fleet_plan_observation": {"tailscale": part, "addresses": {"unknown": "no way"}}}
    assert Server(**entry({"inventory_hostname": "x", "fleet_tailnet_ip": "", **seen})) == Server(
        "x", [], "", [], "open", [], [], False, ""
    )


@pytest.mark.parametrize(
    ("part", "networks"),
    [
        ({"tunnel": True}, ["local", "tailnet", "lan"]),
        ({"tunnel": False}, ["local", "lan"]),
        ({"tunnel": False, "state": "Stopped"}, ["local", "tailnet", "lan"]),
    ],
)
def test_in_userspace_mode_nobody_is_asked_over_the_tailnet(part, networks):
    seen = observed(tailscale={**observed()["tailscale"], **part})
    assert usable(["local", "tailnet", "lan"], seen) == networks


@pytest.mark.parametrize("seen", [{}, {"tailscale": {"unknown": "no"}}])
def test_where_nothing_is_known_every_network_is_tried(seen):
    assert usable(["local", "tailnet"], seen) == ["local", "tailnet"]
