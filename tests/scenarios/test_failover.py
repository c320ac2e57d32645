"""A server goes away: what each client's chain does, and that the server comes back, whatever happens to the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest

from tests.scenarios.test_trouble import told
from tests.support.fleet import BIN, ROOT
from tests.support.routes import GPT, OTHER_QWEN, QWEN, fleet, route

PLAY = "playbooks/failover.yml"
SCHEMA = json.loads((ROOT / "schemas" / "failover.schema.json").read_text())
PAUSES = "/Users/felipe/Library/Application Support/ollama-fleet/pause"
ROUTES = [*fleet(), route("windows-msi", "clawdbot", main=[QWEN, OTHER_QWEN])]


def said(run):
    return " ".join(run.screen.split())


def loaded(mac):
    return [model["name"] for model in mac.api("GET", "/api/ps")["models"]]


def pinned(mac):
    """Return what is in memory for good: Ollama writes such an end as a date in the year 2319 or so."""
    return [model["name"] for model in mac.api("GET", "/api/ps")["models"] if model["expires_at"] > "2100"]


@pytest.fixture
def given(tmp_path):
    """Return a function that writes the variables of a run, and gives the words that hand them over."""

    def words(routes=ROUTES, **variables):
        path = tmp_path / "variables.json"
        path.write_text(json.dumps({"failover_routes": routes, "failover_reports_path": str(tmp_path), **variables}))
        return ["-e", f"@{path}"]

    return words


@pytest.fixture
def failover(fleet, given, tmp_path):
    """Return a function that walks the chains, and gives the run and its report."""

    def walked(*words, routes=ROUTES, **variables):
        run = fleet.screen(PLAY, *given(routes, **variables), *words)
        path = tmp_path / "failover.json"
        content = json.loads(path.read_text()) if path.exists() else None
        if content is not None:
            jsonschema.validate(content, SCHEMA)
        return run, content

    return walked


def answered(content, down, client, purpose="main", program="openclaw"):
    """Return who answered a walk, and what the program does."""
    (walk,) = [
        walk
        for walk in content["walks"]
        if (walk["down"], walk["client"], walk["purpose"], walk["program"]) == (down, client, purpose, program)
    ]
    by = walk["answered_by"]
    return (by and by["ref"], walk["program_does"]["verdict"])


def without_times(value):
    """Return a report without what differs from run to run."""
    if isinstance(value, dict):
        return {
            key: without_times(item) for key, item in value.items() if key not in ("made_at", "seconds") and "_seconds" not in key
        }
    return [without_times(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def macs(fleet):
    return {name: fleet.mac(name) for name in ("mac-mini", "macbook-pro")}


@pytest.fixture(autouse=True)
def everything_is_back(fleet, macs):
    """Whatever a test did: at its end both servers answer with their residents, and no pause is on."""
    yield
    for mac in macs.values():
        mac.wait(mac.answers, 60)
        mac.wait(lambda mac=mac: loaded(mac).count("qwen3:8b") == 1, 60)


# Nothing goes down unasked. -----------------------------------------------------------------------------------------------


def test_a_look_takes_nothing_down_and_says_how_it_is_done(failover, macs):
    before = {name: mac.pid() for name, mac in macs.items()}
    run, content = failover()
    assert run.rc == 0, run.screen
    assert {name: mac.pid() for name, mac in macs.items()} == before
    assert "Nothing was taken down. `-e failover_take_down=all`" in said(run)
    assert answered(content, None, "mac-mini") == ("ollama/qwen3:8b", "answers")
    assert answered(content, None, "macbook-pro") == ("ollama-macbook/devstral-small-2:24b", "answers")
    assert (content["servers"], content["result"]) == ([], "ok")
    assert "if 2 external hops before it fail" in said(run)


def test_check_mode_prints_the_plan_and_a_run_does_it(failover, macs):
    before = {name: mac.pid() for name, mac in macs.items()}
    run, content = failover("--check", failover_take_down="all")
    assert run.rc == 0, run.screen
    assert {name: mac.pid() for name, mac in macs.items()} == before
    assert "mac-mini goes down for at most 120 s, for the chains of mac-mini openclaw (main, subagents, heartbeat)" in said(run)
    assert "pause gui/501/com.user.ollama: running -> down for at most 120 s" in said(run)
    assert [(server["name"], server["planned"], server["taken_down"]) for server in content["servers"]] == [
        ("mac-mini", True, False),
        ("macbook-pro", True, False),
    ]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"failover_take_down": "mac-mini,windows-msi"},
            ["found windows-msi, allowed are all and the servers", "Nothing was changed"],
        ),
        ({"failover_take_down": "all", "routes": []}, ["found no chain", "clients_chains"]),
        ({"failover_take_down": "mac-mini", "failover_pause_seconds": 601}, ["limit: found 601 s, allowed are 5 to 600 s"]),
    ],
    ids=["no server", "no chain", "too long"],
)
def test_what_cannot_be_meant_is_refused(failover, macs, variables, words):
    before = {name: mac.pid() for name, mac in macs.items()}
    run, _ = failover(**variables)
    assert run.rc != 0
    assert "Traceback" not in run.screen
    assert [word for word in words if word not in said(run)] == []
    assert {name: mac.pid() for name, mac in macs.items()} == before


# One after the other. -----------------------------------------------------------------------------------------------------


def test_each_server_goes_down_once_and_its_clients_go_on(failover, macs):
    before = {name: (mac.pid(), mac.run("cat", mac.plist)) for name, mac in macs.items()}
    run, content = failover(failover_take_down="all")
    assert run.rc == 0, run.screen
    # The mini is down: its own client and Windows go on at the MacBook, and clawdbot would not have.
    assert answered(content, "mac-mini", "mac-mini") == ("ollama-macbook/qwen3:8b", "answers")
    assert answered(content, "mac-mini", "windows-msi", "subagents") == ("ollama-macbook/qwen3:8b", "answers")
    assert answered(content, "mac-mini", "windows-msi", program="clawdbot") == ("ollama-macbook/qwen3:8b", "ends")
    assert answered(content, "mac-mini", "macbook-pro", "heartbeat") == (None, "exhausted")
    # The MacBook is down.
    assert answered(content, "macbook-pro", "macbook-pro", "subagents") == ("ollama/qwen3:8b", "answers")
    assert answered(content, "macbook-pro", "macbook-pro") == (None, "exhausted")
    assert "only 2 external hops left, not asked" in said(run)
    assert "clawdbot says 'Connection error.' and ends the turn" in said(run)
    for server in content["servers"]:
        mac = macs[server["name"]]
        assert (server["taken_down"], server["back"], server["ended"]) == (True, True, "released")
        assert 0 < server["absent_seconds"] <= server["ready_seconds"] < 120
        assert mac.pid() not in (None, before[server["name"]][0])
        assert mac.run("cat", mac.plist) == before[server["name"]][1]
        assert pinned(mac) == ["qwen3:8b"]
        assert "No such file" in mac.run_all("ls", PAUSES)
    for walk in content["walks"]:
        if walk["down"] and walk["answered_by"]:
            assert walk["attempts"][0]["found"] == "refused"
            assert walk["seconds"] < 30
    again, second = failover(failover_take_down="all")
    assert again.rc == 0, again.screen
    assert without_times(second) == without_times(content)


def test_the_fleet_is_as_the_inventory_wants_it_afterwards(fleet, failover):
    run, _ = failover(failover_take_down="mac-mini")
    assert run.rc == 0, run.screen
    assert fleet.play("playbooks/servers.yml", "--check", "--limit", "mac-mini").changed("mac-mini") == 0


@pytest.fixture
def in_the_system_domain(fleet, mini):
    """Let the mini's service start at boot, and give it back to the login."""
    words = ["playbooks/servers.yml", "--limit", "mac-mini"]
    assert fleet.screen(*words, "-e", "ollama_service_domain=system").rc == 0
    yield mini
    assert fleet.screen(*words).rc == 0


def test_a_service_of_the_system_domain_goes_down_and_comes_back(fleet, failover, in_the_system_domain):
    # The domain is the mini's alone; nothing is done with the other one's.
    run, content = failover("--limit", "mac-mini,windows-msi", failover_take_down="mac-mini", ollama_service_domain="system")
    assert run.rc == 0, run.screen
    assert "resume system/com.user.ollama: down -> running" in said(run)
    assert answered(content, "mac-mini", "windows-msi") == ("ollama-macbook/qwen3:8b", "answers")
    assert content["servers"][0]["back"] is True
    places = fleet.on("mac-mini", "sh", "-c", "ls -d '/Library/Application Support/ollama-fleet/pause' 2>&1 || true", user="root")
    assert "No such file" in places
    assert "macbook-pro was not asked" in json.dumps(content["clients"])


# What is not healthy is left alone. ---------------------------------------------------------------------------------------


def test_a_service_that_is_down_already_is_not_taken_down(failover, mini):
    mini.boot_out()
    try:
        run, content = failover("--limit", "mac-mini", failover_take_down="mac-mini")
        told(run, "it was not taken down, so nothing is proved", "is not loaded, so it is not healthy before")
        assert content["servers"][0]["taken_down"] is False
        assert not mini.answers()
    finally:
        mini.run("/bin/launchctl", "bootstrap", "gui/501", mini.plist)


def test_a_changed_property_list_does_not_come_into_effect_by_this(failover, mini):
    pid, before = mini.pid(), mini.definition()["EnvironmentVariables"]
    mini.edit(EnvironmentVariables=mini.environment_with(OLLAMA_KEEP_ALIVE="1h"))
    try:
        run, _ = failover("--limit", "mac-mini", failover_take_down="mac-mini")
        told(run, "differs from what runs in EnvironmentVariables.OLLAMA_KEEP_ALIVE")
    finally:
        mini.edit(EnvironmentVariables=before)
    assert mini.pid() == pid


# Failures of other kinds, as they are. ------------------------------------------------------------------------------------


def test_a_hop_that_answers_with_an_error_is_told_with_what_each_program_does(fleet, failover, mini):
    with mini.residents_held(), fleet.trouble("mac-mini", "ollama-load-fails"):
        mini.api("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": 0})
        mini.wait(lambda: loaded(mini) == [])
        run, content = failover()
    mini.api("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": -1})
    assert run.rc == 2, "the heartbeats have one hop, and nobody answers it"
    assert answered(content, None, "windows-msi") == ("ollama-macbook/qwen3:8b", "answers")
    assert answered(content, None, "windows-msi", program="clawdbot") == ("ollama-macbook/qwen3:8b", "ends")
    assert "the first choice does not answer (ollama/qwen3:8b HTTP 500)" in said(run)


CODING = [route("windows-msi", program, main=[OTHER_QWEN, QWEN]) for program in ("openclaw", "clawdbot")]


def test_a_hop_that_sleeps_costs_each_program_its_own_time(fleet, failover):
    fleet.lab("sleep", "macbook-pro")
    try:
        run, content = failover("--limit", "mac-mini,macbook-pro,windows-msi", routes=[*CODING, *fleet_routes_of("macbook-pro")])
        asked, not_down = failover(routes=CODING, failover_take_down="macbook-pro")
    finally:
        fleet.lab("wake", "macbook-pro")
    assert run.rc == 0, run.screen
    walks = {walk["program"]: walk for walk in content["walks"]}
    assert walks["openclaw"]["attempts"][0]["found"] == "timed_out"
    assert walks["openclaw"]["program_does"]["seconds"] >= 180
    assert 30 <= walks["clawdbot"]["program_does"]["seconds"] < 40
    assert "macbook-pro - - away, not walked" in said(run)
    assert asked.rc == 0, asked.screen
    assert not_down["servers"][0]["taken_down"] is False
    assert "it was not taken down, so nothing is proved about its chains: macbook-pro does not answer" in said(asked)


def fleet_routes_of(client):
    return [one for one in ROUTES if one["client"] == client]


def test_with_the_other_mac_asleep_nobody_is_left_and_the_server_comes_back(fleet, failover, mini):
    fleet.lab("sleep", "macbook-pro")
    try:
        run, content = failover(routes=[route("mac-mini", main=[QWEN, OTHER_QWEN, GPT])], failover_take_down="mac-mini")
    finally:
        fleet.lab("wake", "macbook-pro")
    told(run, "with mac-mini down nobody answered", "ollama-macbook/qwen3:8b no connection in time")
    assert content["servers"][0]["back"] is True
    assert pinned(mini) == ["qwen3:8b"]


# The run breaks off. ------------------------------------------------------------------------------------------------------


def test_the_controller_is_killed_and_the_mac_brings_its_service_back(fleet, failover, given, mini):
    limit = 12
    chains = [route("mac-mini", main=[QWEN, OTHER_QWEN])]
    # As it is the first hop answers; without it the walk hangs at the MacBook, longer than the pause.
    with fleet.trouble("macbook-pro", "ollama-hang"):
        run = fleet.begin(PLAY, *given(chains, failover_take_down="mac-mini", failover_pause_seconds=limit))
        try:
            mini.wait(lambda: not mini.answers(), 240)
            began = time.monotonic()
        finally:
            os.kill(run.pid, signal.SIGKILL)
            run.wait(30)
        mini.wait(mini.answers, limit + 60)
        assert time.monotonic() - began < limit + 60
    mini.wait(lambda: pinned(mini) == ["qwen3:8b"], 60)
    assert json.loads(mini.run("cat", f"{PAUSES}/pause.json"))["pause"]["ended"] == "limit"
    again, content = failover(failover_take_down="mac-mini")
    assert again.rc == 0, again.screen
    assert content["servers"][0]["back"] is True


def test_the_connection_is_cut_and_the_run_goes_on(fleet, given, mini, tmp_path):
    chains = [route("mac-mini", main=[QWEN, OTHER_QWEN])]
    run = fleet.begin(PLAY, *given(chains, failover_take_down="mac-mini", failover_pause_seconds=60))
    try:
        mini.wait(lambda: not mini.answers(), 240)
        fleet.lab("fault", "mac-mini", "ssh-cut", "on")
        screen, _ = run.communicate(timeout=300)
    finally:
        run.kill()
    assert "Traceback" not in screen
    content = json.loads((tmp_path / "failover.json").read_text())
    assert content["servers"][0]["back"] is True, screen
    assert mini.answers()


# The module by hand. ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pause(fleet):
    """Return a function that runs the module on the mini."""

    def run(**options):
        words = json.dumps({"label": "com.user.ollama", "residents": ["qwen3:8b"], **options})
        done = subprocess.run(
            [str(BIN / "ansible"), "-i", "inventory", "-i", "lab/inventory", "mac-mini", "-m", "service_pause", "-a", words],
            capture_output=True, text=True, cwd=ROOT, check=False, timeout=300,
            env={**fleet.environment, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"},
        )  # fmt: skip
        data, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{\n") :])
        (play,) = data["plays"]
        return play["tasks"][0]["hosts"]["mac-mini"]

    yield run
    run(state="up")


def test_a_second_pause_is_refused_and_one_without_a_first_changes_nothing(pause, failover, mini):
    pid = mini.pid()
    assert pause(state="up")["changed"] is False
    assert mini.pid() == pid
    first = pause(state="down", limit=300)
    assert (first["down"], first["residents"]) == (True, ["qwen3:8b"])
    assert not mini.answers()
    second = pause(state="down", limit=300)
    assert "a pause of this Mac's service is on already" in second["msg"]
    run, _ = failover(failover_take_down="mac-mini", routes=[route("mac-mini", main=[QWEN, OTHER_QWEN])])
    told(run, "it was not taken down", "a pause of this Mac's service is on already")
    assert not mini.answers(), "the pause of somebody else is left alone"
    up = pause(state="up", token=first["token"])
    assert (up["changed"], up["ended"]) == (True, "released")
    assert pinned(mini) == ["qwen3:8b"]
    assert pause(state="up")["changed"] is False


def test_a_keeper_that_was_killed_is_made_good(pause, mini):
    pause(state="down", limit=300)
    mini.run("pkill", "-KILL", "-u", "felipe", "-x", "python3")
    up = pause(state="up")
    assert (up["changed"], up["ended"]) == (True, "orphaned")
    assert pinned(mini) == ["qwen3:8b"]


def test_a_boot_ends_a_pause(fleet, pause, mini):
    pause(state="down", limit=300)
    fleet.lab("reboot", "mac-mini", "--login")
    mini.wait(mini.answers, 60)
    pid = mini.pid()
    up = pause(state="up")
    assert up["ended"] == "orphaned"
    assert mini.pid() == pid


def test_a_run_that_starts_the_service_meanwhile_is_right(fleet, pause, mini):
    pause(state="down", limit=300)
    run = fleet.play("playbooks/servers.yml", "--limit", "mac-mini")
    assert run.rc == 0, run.screen
    assert ("bootstrap", mini.target) in run.steps("mac-mini")
    pid = mini.pid()
    up = pause(state="up")
    assert (up["ended"], mini.pid()) == ("started", pid)


def test_a_drain_is_waited_for(fleet, pause, mini):
    with fleet.trouble("mac-mini", "drain-seconds", "4"):
        assert pause(state="down", limit=60)["down"] is True
        assert pause(state="up")["ended"] == "released"
    assert Path(mini.plist).name == "com.user.ollama.plist"
