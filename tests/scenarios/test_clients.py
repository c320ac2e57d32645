"""The programs' files on the three machines: only our keys, exact in check mode, mended when they drift, given back."""

from __future__ import annotations

import json

import pytest

from tests.support.fleet import ROOT

GOLDEN = ROOT / "tests/golden/clients"
HOSTS = ("mac-mini", "macbook-pro", "windows-msi")
HOMES = {"mac-mini": "/Users/felipe", "macbook-pro": "/Users/felipe", "windows-msi": "/home/felipe"}
CONFIG = ".openclaw/openclaw.json"
SETTINGS = ".openclaw/agents/main/agent/settings.json"
WINDOWS = ("--limit", "windows-msi")
THEIRS = """{
  // mine
  gateway: {auth: {token: "tk-secret"}, port: 18789,},
  models: {providers: {groq: {baseUrl: "https://api.groq.example/v1", apiKey: "${GROQ_KEY}", models: []}}},
  agents: {defaults: {model: {primary: "groq/x", fallbacks: []}, workspace: '~/clawd'}},
}
"""


def read(fleet, host, path):
    return fleet.on(host, "cat", f"{HOMES[host]}/{path}")


def write(fleet, host, path, text, mode="0600"):
    words = "import os, sys; p = sys.argv[1]; os.makedirs(os.path.dirname(p), exist_ok=True); open(p, 'w').write(sys.argv[2])"
    fleet.on(host, "/usr/bin/python3", "-c", f"{words}; os.chmod(p, int(sys.argv[3], 8))", f"{HOMES[host]}/{path}", text, mode)


def mode(fleet, host, path):
    words = "import os, sys; print(f'{os.stat(sys.argv[1]).st_mode & 0o7777:o}')"
    return fleet.on(host, "/usr/bin/python3", "-c", words, f"{HOMES[host]}/{path}").strip()


def files(fleet, host):
    return fleet.on(host, "sh", "-c", "cd; find . -path ./.ssh -prune -o -type f -print | sort").split()


def clients(fleet, *words):
    return fleet.play("playbooks/clients.yml", *words)


@pytest.fixture(scope="module", autouse=True)
def written(fleet):
    """Begin with the files of the inventory, whatever the stories before this one left."""
    run = fleet.screen("playbooks/clients.yml")
    assert run.rc == 0, run.screen


@pytest.fixture
def windows(fleet):
    """Give the machine without a server of its own as nobody's files, and make it whole afterwards."""
    run = clients(fleet, *WINDOWS, "-e", "clients_managed=false")
    assert run.rc == 0, run.screen
    assert files(fleet, "windows-msi") == []
    yield "windows-msi"
    fleet.on("windows-msi", "sh", "-c", "rm -rf ~/.openclaw ~/.clawdbot ~/.config")
    assert clients(fleet, *WINDOWS).rc == 0


@pytest.mark.parametrize("host", HOSTS)
def test_the_whole_fleet_has_them_and_a_second_look_is_one_question(fleet, host):
    for path in (CONFIG, SETTINGS):
        assert json.loads(read(fleet, host, path)) == json.loads((GOLDEN / host / path).read_text())
        assert mode(fleet, host, path) == "600"
    run = clients(fleet, "--limit", host)
    assert run.rc == 0, run.screen
    assert run.changed(host) == 0
    assert run.module_runs(host).count("client_files") == 1
    assert clients(fleet, "--check", "--limit", host).changed(host) == 0


def test_a_persons_file_keeps_what_is_not_ours_and_comes_back_to_the_byte(fleet, windows):
    write(fleet, windows, CONFIG, THEIRS, "0644")
    look = clients(fleet, *WINDOWS, "--check", "--diff")
    assert read(fleet, windows, CONFIG) == THEIRS
    run = clients(fleet, *WINDOWS, "--diff", "-vvv")
    assert run.rc == 0, run.screen
    assert look.steps(windows) == run.steps(windows)
    assert "tk-secret" not in look.screen + run.screen
    assert "before-ollama-fleet" in run.screen
    document = json.loads(read(fleet, windows, CONFIG))
    assert document["gateway"] == {"auth": {"token": "tk-secret"}, "port": 18789}
    assert document["models"]["providers"]["groq"]["apiKey"] == "${GROQ_KEY}"
    assert document["agents"]["defaults"]["workspace"] == "~/clawd"
    assert document["agents"]["defaults"]["model"]["primary"] == "ollama-macmini/qwen3:8b"
    assert mode(fleet, windows, CONFIG) == "600"
    assert clients(fleet, *WINDOWS).changed(windows) == 0
    off = clients(fleet, *WINDOWS, "-e", "clients_managed=false")
    assert off.rc == 0, off.screen
    assert read(fleet, windows, CONFIG) == THEIRS
    assert files(fleet, windows) == [f"./{CONFIG}"]


def test_drift_of_our_keys_is_named_and_mended_and_nothing_else_is_drift(fleet, windows):
    assert clients(fleet, *WINDOWS).rc == 0
    document = json.loads(read(fleet, windows, CONFIG))
    document["agents"]["defaults"]["model"]["fallbacks"].insert(0, "ollama-macmini/gpt-oss:20b")
    document["models"]["providers"]["ollama-macmini"]["baseUrl"] = "http://100.115.10.15:11434"
    document["ui"] = {"theme": "dark"}
    write(fleet, windows, CONFIG, json.dumps(document))
    path = f"{HOMES[windows]}/{CONFIG}"
    expected = {
        ("set", f"{path}: agents.defaults.model.fallbacks"),
        ("set", f"{path}: models.providers.ollama-macmini.baseUrl"),
    }
    assert set(clients(fleet, *WINDOWS, "--check").steps(windows)) == expected
    assert set(clients(fleet, *WINDOWS).steps(windows)) == expected
    mended = json.loads(read(fleet, windows, CONFIG))
    assert mended == {**json.loads((GOLDEN / windows / CONFIG).read_text()), "ui": {"theme": "dark"}}
    assert clients(fleet, *WINDOWS).changed(windows) == 0


def test_a_server_that_leaves_the_inventory_leaves_the_files(fleet, windows):
    assert clients(fleet, *WINDOWS).rc == 0
    alone = {
        "clients_providers": [{"id": "ollama-macmini", "host": "mac-mini"}],
        "clients_chains": {"main": [{"host": "mac-mini", "model": "qwen3:8b"}, {"external": "claude-sonnet"}]},
    }
    run = clients(fleet, *WINDOWS, "-e", json.dumps(alone))
    assert run.rc == 0, run.screen
    document = json.loads(read(fleet, windows, CONFIG))
    assert list(document["models"]["providers"]) == ["ollama-macmini"]
    assert "heartbeat" not in document["agents"]["defaults"]
    assert "macbook" not in read(fleet, windows, CONFIG)


def test_a_malformed_file_is_left_alone_with_its_line(fleet, windows):
    broken = '{\n  "gateway": {},\n  "models": {,}\n}\n'
    write(fleet, windows, CONFIG, broken)
    run = clients(fleet, *WINDOWS)
    assert run.rc == 2
    said = run.messages(windows)
    assert f"{HOMES[windows]}/{CONFIG}" in said
    assert "line 3" in said
    assert read(fleet, windows, CONFIG) == broken
    assert files(fleet, windows) == [f"./{CONFIG}"]


def test_parts_may_lie_in_files_of_their_own(fleet, windows):
    run = clients(fleet, *WINDOWS, "-e", "clients_files=include")
    assert run.rc == 0, run.screen
    golden = json.loads((GOLDEN / windows / CONFIG).read_text())
    document = json.loads(read(fleet, windows, CONFIG))
    assert document["models"]["providers"]["ollama-macmini"] == {"$include": "./fleet/ollama-macmini.json"}
    leaf = json.loads(read(fleet, windows, ".openclaw/fleet/ollama-macmini.json"))
    assert leaf == golden["models"]["providers"]["ollama-macmini"]
    assert clients(fleet, *WINDOWS, "-e", "clients_files=include").changed(windows) == 0
    assert clients(fleet, *WINDOWS).rc == 0
    assert json.loads(read(fleet, windows, CONFIG)) == golden
    left = ["./.config/ollama-fleet/clients.json", f"./{SETTINGS}", f"./{CONFIG}", f"./{CONFIG}.ollama-fleet.bak"]
    assert files(fleet, windows) == left


def test_the_other_generation_has_its_own_file_and_the_first_one_is_given_back(fleet, windows):
    assert clients(fleet, *WINDOWS).rc == 0
    run = clients(fleet, *WINDOWS, "-e", '{"clients_programs": ["clawdbot", "litellm", "openai_env"]}')
    assert run.rc == 0, run.screen
    assert "does not go on to the next hop" in run.screen
    for path in (".config/ollama-fleet/litellm.yaml", ".config/ollama-fleet/openai.env"):
        assert read(fleet, windows, path) == (GOLDEN / windows / path).read_text()
    other = ".clawdbot/clawdbot.json"
    assert json.loads(read(fleet, windows, other)) == json.loads((GOLDEN / windows / other).read_text())
    assert f"./{CONFIG}" not in files(fleet, windows)


def test_a_client_program_that_refuses_the_candidate_stops_the_run(fleet, windows):
    judge = '#!/bin/sh\necho \'{"valid":false,"issues":[{"path":"models","message":"Unrecognized key"}]}\'\nexit 1\n'
    write(fleet, windows, ".local/bin/openclaw", judge, "0755")
    try:
        run = clients(fleet, *WINDOWS)
        assert run.rc == 2
        assert "Unrecognized key" in run.messages(windows)
        assert files(fleet, windows) == ["./.local/bin/openclaw"]
    finally:
        fleet.on(windows, "sh", "-c", "rm -rf ~/.local")


def test_a_server_on_the_machine_without_one_is_refused_unless_accepted(fleet, windows):
    fleet.on(windows, "sh", "-c", "echo '#!/bin/sh' > /usr/local/bin/ollama", user="root")
    try:
        run = clients(fleet, *WINDOWS)
        assert run.rc == 2
        assert "windows-msi is no server, and there is /usr/local/bin/ollama" in run.messages(windows)
        assert clients(fleet, *WINDOWS, "-e", "clients_own_server=accepted").rc == 0
    finally:
        fleet.on(windows, "rm", "/usr/local/bin/ollama", user="root")


def test_files_are_rendered_for_a_machine_that_is_not_reached(fleet, tmp_path):
    with fleet.trouble("windows-msi", "unreachable"):
        run = clients(fleet, *WINDOWS, "-e", f"clients_render_only={tmp_path}")
    assert run.rc == 0, run.screen
    assert run.module_runs("windows-msi") == []
    assert (tmp_path / "windows-msi" / CONFIG).read_text() == (GOLDEN / "windows-msi" / CONFIG).read_text()


def test_a_machine_that_is_away_stops_nobody(fleet):
    with fleet.trouble("windows-msi", "unreachable"):
        run = clients(fleet)
    assert run.rc == 0, run.screen
    assert run.changed("mac-mini") == 0
    assert "windows-msi does not answer" in run.screen


def test_a_teardown_asks_for_the_name_and_gives_the_files_back(fleet):
    with_a_name = ("-e", "teardown_confirm=windows-msi", *WINDOWS)
    refused = fleet.play("playbooks/teardown.yml", *WINDOWS)
    assert refused.rc == 2
    assert "teardown_confirm=windows-msi" in refused.messages("windows-msi")
    assert read(fleet, "windows-msi", CONFIG)
    assert fleet.play("playbooks/teardown.yml", *with_a_name).rc == 0
    assert files(fleet, "windows-msi") == []
    assert clients(fleet, *WINDOWS).rc == 0
