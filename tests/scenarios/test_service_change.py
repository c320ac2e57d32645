"""A change of the service, effect by effect on a virtual Mac: whatever happens in between, it serves, and a rerun ends the same.

Each row of the tables below is a case that runs with real processes under the lab's launchd. The power cuts are enumerated: a
change is first done whole, which tells its effects, then once for each effect with the power failing right before it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.scenarios.conftest import Story
from tests.support.effects import HOME, Changer, Service, read_plist

AGENT = Service()
DAEMON = Service(domain="system")
BACKGROUND = Service(domain="user")
OTHER_LABEL = Service(label="com.ollama.serve")
OTHER_SETTING = Service(environment=(("OLLAMA_HOST", "0.0.0.0"), ("OLLAMA_CONTEXT_LENGTH", "8192")))
EXITS = Service(environment=(("OLLAMA_HOST", "10.99.0.2"),))
"""An address that this Mac does not have: it passes every check that can be made before, and ends the server at once."""

SERVICE_ALONE = ("playbooks/servers.yml", "--limit", "mac-mini", "--tags", "homebrew,ollama_service,ollama_models")
"""Without the jobs beside the service: who loads a model here should be the change itself."""

CASES: list[str] = []


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """Bring one Mac up and converge it; say at the end how many cases ran."""
    story = Story(f"changes-{os.getpid()}")
    story.lab("up", "--only", "mac-mini")
    try:
        run = story.screen(*SERVICE_ALONE)
        assert run.rc == 0, run.screen
        yield story
    finally:
        story.lab("down")
        print(f"\n{len(CASES)} cases of a changing service ran")


@pytest.fixture(scope="module")
def changer(story) -> Changer:
    """Return the module inside that Mac."""
    changer = Changer(story.mac("mac-mini"))
    changer.install()
    return changer


@pytest.fixture(autouse=True)
def _counted(request):
    """Count the case."""
    CASES.append(request.node.name)


def settle(changer: Changer, service: Service) -> None:
    """Bring the Mac to a service and make sure of it."""
    if changer.plists() != [service.path] or changer.jobs() != [service.target]:
        result = changer.change(service, root=True)
        assert "failed" not in result, result
    else:
        result = changer.change(service, root=service.domain == "system")
        assert "failed" not in result, result
    changer.is_exactly(service)


def loaded(changer: Changer) -> list[str]:
    """Return what stays in memory."""
    return [model["name"] for model in changer.mac.api("GET", "/api/ps")["models"] if model["expires_at"] > "2200"]


# From one place to another. -----------------------------------------------------------------------------------------------

PLACES = {"agent": AGENT, "daemon": DAEMON, "background": BACKGROUND, "other label": OTHER_LABEL}


MOVES = [
    # Each place to and from the agent always; between the others in the long run.
    pytest.param(before, after, marks=() if "agent" in (before, after) else pytest.mark.long)
    for before in PLACES
    for after in PLACES
]


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_every_move_leaves_one_job_one_file_and_the_models(changer, before, after):
    if before == after:
        settle(changer, PLACES[before])
        assert changer.change(PLACES[after])["changed"] is False
        return
    settle(changer, PLACES[before])
    store = changer.mac.run("ls", "-lid", f"{HOME}/.ollama/models/blobs")
    result = changer.change(PLACES[after], root=True)
    assert result.get("failed") is None, result
    changer.is_exactly(PLACES[after])
    assert loaded(changer) == ["qwen3:8b"]
    assert changer.mac.run("ls", "-lid", f"{HOME}/.ollama/models/blobs") == store
    assert result["gap_seconds"] > 0
    assert changer.change(PLACES[after])["changed"] is False


@pytest.mark.parametrize("place", PLACES)
def test_a_reboot_brings_it_back_without_anybody(story, changer, place):
    service = PLACES[place]
    settle(changer, service)
    story.lab("reboot", "mac-mini")
    if service.domain == "system":
        changer.mac.wait(changer.mac.answers)
    elif service.domain == "gui":
        assert not changer.mac.answers(), "an agent must not run before the login"
    story.lab("login", "mac-mini")
    changer.mac.wait(changer.mac.answers)
    changer.is_exactly(service)
    assert changer.mac.run("ls", f"{HOME}/Library/LaunchAgents").split() == (
        [] if service.domain == "system" else [f"{service.label}.plist"]
    )


# Trouble of launchd's own. ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 2, 8, 20])
def test_a_drain_is_waited_for_and_the_port_is_free_no_longer_than_it_must(story, changer, seconds):
    """The best of three tries, since other work on this machine only ever makes the gap longer."""
    results = []
    while len(results) < 3 and not any(one["gap_seconds"] <= one["drain_seconds"] + 1 for one in results):
        settle(changer, AGENT)
        with story.trouble("mac-mini", "drain-seconds", str(seconds)):
            results.append(changer.change(OTHER_SETTING))
        assert results[-1].get("failed") is None, results
        assert results[-1]["drain_seconds"] >= seconds
        changer.is_exactly(OTHER_SETTING)
    best = min(results, key=lambda one: one["gap_seconds"] - one["drain_seconds"])
    print(f"drain {seconds} s: old process {best['drain_seconds']} s, port free for {best['gap_seconds']} s")
    assert best["gap_seconds"] <= best["drain_seconds"] + 1


@pytest.mark.parametrize(
    ("fault", "value"),
    [("bootstrap-fails", "1"), ("bootstrap-fails", "2"), ("bootstrap-fails", "5"), ("bootstrap-stays-idle", "on")],
)
def test_a_launchd_that_hesitates_is_told_again(story, changer, fault, value):
    settle(changer, AGENT)
    with story.trouble("mac-mini", fault, value):
        result = changer.change(OTHER_SETTING)
    assert result.get("failed") is None, result
    changer.is_exactly(OTHER_SETTING)


def refused(changer: Changer, result: dict, *words: str) -> None:
    """Assert that a change failed with these words and that the service of before runs, with its own definition and models."""
    assert result.get("failed"), result
    assert [word for word in words if word not in result["msg"]] == [], result["msg"]
    assert "Traceback" not in result["msg"]
    changer.is_exactly(AGENT)
    assert read_plist(changer.mac, AGENT.path) == AGENT.definition()


def test_a_launchd_that_drops_the_job_again_is_named(story, changer):
    settle(changer, AGENT)
    with story.trouble("mac-mini", "bootstrap-vanishes", '"com.example.ollama"'):
        result = changer.change(replace(AGENT, label="com.example.ollama"))
    refused(changer, result, "Login Items")


def test_a_launchd_that_refuses_for_good_is_given_up(story, changer):
    settle(changer, AGENT)
    with story.trouble("mac-mini", "bootstrap-fails", "9"):
        result = changer.change(OTHER_SETTING)
    refused(changer, result, "bootstrap", "runs again")


# Servers that do not serve. -----------------------------------------------------------------------------------------------


def test_a_setting_that_ends_the_server_is_taken_back(changer):
    settle(changer, AGENT)
    refused(changer, changer.change(EXITS), "it ended at once", "assign requested address", "runs again")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("ollama-load-fails", "cannot load qwen3:8b"), ("ollama-hang", "not up within"), ("ollama-exits", "ended at once")],
)
def test_a_server_that_cannot_work_is_taken_back(story, changer, fault, words):
    """The old one has the same fault until it is gone; then it serves by itself, for it was put back."""
    settle(changer, AGENT)
    with story.trouble("mac-mini", fault):
        result = changer.change(OTHER_SETTING, timeout=5)
    assert words in result["msg"]
    assert read_plist(changer.mac, AGENT.path) == AGENT.definition()
    changer.mac.run("/bin/launchctl", "kickstart", "-k", AGENT.target, check=False)
    changer.mac.wait(changer.mac.answers, 60)
    settle(changer, AGENT)
    assert changer.running(AGENT)["OLLAMA_HOST"] == "0.0.0.0"


def test_a_port_that_was_held_before_is_said_and_nothing_is_touched(changer):
    settle(changer, AGENT)
    pid = changer.running(AGENT)
    other = replace(AGENT, environment=(("OLLAMA_HOST", "0.0.0.0:11500"),))
    hold(changer, 11500)
    result = changer.change(other, url="http://127.0.0.1:11500", port=11500)
    refused(changer, result, "Port 11500 is held by", "Nothing was changed")
    assert changer.running(AGENT) == pid
    changer.mac.run("pkill", "-f", "11500")


def test_a_port_that_somebody_takes_in_between_is_said_and_the_old_service_waits_for_it(story, changer):
    settle(changer, AGENT)
    with story.trouble("mac-mini", "drain-seconds", "3"):
        change = changer.start(OTHER_SETTING)
        hold(changer, 11434)
        result = changer.end(change)
    assert result.get("failed"), result
    assert "11434" in result["msg"]
    assert "python" in result["msg"], result["msg"]
    changer.mac.run("pkill", "-f", "the-stranger")
    changer.mac.wait(changer.mac.answers, 60)
    assert read_plist(changer.mac, AGENT.path) == AGENT.definition()
    settle(changer, AGENT)


def hold(changer: Changer, port: int) -> None:
    """Let a stranger take a port as soon as it is free, and wait until it has it."""
    text = (
        "import socket,time\n"
        "s=socket.socket();s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n"
        "while True:\n"
        " try: s.bind(('0.0.0.0',PORT));break\n"
        " except OSError: time.sleep(0.01)\n"
        "s.listen();time.sleep(120)\n"
    ).replace("PORT", str(port))
    script = 'nohup /usr/bin/python3 -c "$1" the-stranger "$2" >/dev/null 2>&1 </dev/null &'
    changer.mac.run("sh", "-c", script, "sh", text, str(port))
    listeners = ("/usr/sbin/lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN")
    changer.mac.wait(lambda: "python" in changer.mac.run_all(*listeners).lower())


# Two at once, and one that is cut off. -------------------------------------------------------------------------------------


def test_two_runs_on_one_mac_wait_for_each_other(story, changer):
    settle(changer, AGENT)
    with story.trouble("mac-mini", "drain-seconds", "2"):
        first, second = changer.start(OTHER_SETTING), changer.start(OTHER_SETTING)
        results = [changer.end(first), changer.end(second)]
    assert sorted(result["changed"] for result in results) == [False, True], results
    changer.is_exactly(OTHER_SETTING)


def test_two_runs_that_want_different_things_leave_one_of_them(story, changer):
    settle(changer, AGENT)
    other = replace(AGENT, environment=(("OLLAMA_HOST", "0.0.0.0"), ("OLLAMA_NUM_PARALLEL", "2")))
    with story.trouble("mac-mini", "drain-seconds", "1"):
        first, second = changer.start(OTHER_SETTING), changer.start(other)
        results = [changer.end(first), changer.end(second)]
    assert [result.get("failed") for result in results] == [None, None], results
    running = changer.running(AGENT)
    winner = other if "OLLAMA_NUM_PARALLEL" in running else OTHER_SETTING
    changer.is_exactly(winner)


def test_ssh_cut_in_the_middle_leaves_the_change_going_on(story, changer):
    """The module goes on without its connection, the next run finds the work done."""
    settle(changer, AGENT)
    story.screen(*SERVICE_ALONE)
    words = [*SERVICE_ALONE, "-e", '{"ollama_service_environment": {"OLLAMA_HOST": "0.0.0.0"}}']
    with story.trouble("mac-mini", "drain-seconds", "6"):
        run = story.begin(*words)
        changer.mac.wait(lambda: changer.records() != [], 90)
        story.lab("fault", "mac-mini", "ssh-cut", "on")
        run.communicate(timeout=120)
    changer.mac.wait(lambda: changer.records() == [], 60)
    again = story.screen(*words)
    assert again.rc == 0, again.screen
    changer.mac.wait(lambda: changer.running(AGENT).get("OLLAMA_HOST") == "0.0.0.0")
    assert "OLLAMA_KV_CACHE_TYPE" not in changer.running(AGENT)
    third = story.play(*words)
    assert third.changed("mac-mini") == 0


# Power cuts. ---------------------------------------------------------------------------------------------------------------


def brew(changer: Changer) -> None:
    """Leave the service to brew services alone."""
    settle(changer, AGENT)
    changer.mac.boot_out(AGENT.target)
    changer.mac.run("rm", AGENT.path)
    changer.mac.run("/opt/homebrew/bin/brew", "services", "start", "ollama", check=False)
    changer.mac.wait(changer.mac.answers, 60)


def nothing(changer: Changer) -> None:
    """Leave no service at all."""
    settle(changer, AGENT)
    changer.mac.boot_out(AGENT.target)
    changer.mac.run("rm", AGENT.path)


CUTS = {
    "another setting": (lambda changer: settle(changer, AGENT), OTHER_SETTING),
    "agent to daemon": (lambda changer: settle(changer, AGENT), DAEMON),
    "daemon to agent": (lambda changer: settle(changer, DAEMON), AGENT),
    "another label": (lambda changer: settle(changer, AGENT), OTHER_LABEL),
    "brew services to agent": (brew, AGENT),
    "nothing to agent": (nothing, AGENT),
}


ALWAYS_CUT = ("another setting", "brew services to agent")
"""A restart for each effect takes minutes; tests/unit/test_macos_change.py cuts all of them over values."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in ALWAYS_CUT else pytest.mark.long) for name in CUTS])
def test_a_power_cut_before_any_effect_loses_nothing(story, changer, name):
    prepare, wanted = CUTS[name]
    prepare(changer)
    effects = changer.change(wanted, root=True)["effects"]
    assert len(effects) >= 3
    for cut in range(len(effects)):
        prepare(changer)
        assert changer.change(wanted, root=True, cut=cut) == {}
        story.lab("reboot", "mac-mini", "--login")
        if name != "nothing to agent":
            # Nobody has mended anything yet, and the Mac serves.
            changer.mac.wait(changer.mac.answers, 60)
        again = changer.change(wanted, root=True)
        assert again.get("failed") is None, f"cut before {effects[cut]}: {again}"
        changer.is_exactly(wanted)
        CASES.append(f"{name}: cut before {effects[cut]}")
    print(f"{name}: power cut before each of {len(effects)} effects")


@pytest.mark.long
def test_a_power_cut_in_a_change_that_cannot_succeed_ends_with_the_service_of_before(story, changer):
    settle(changer, AGENT)
    effects = changer.change(EXITS)["effects"]
    forward = next(index for index, effect in enumerate(effects) if effect.startswith("launchctl bootstrap"))
    for cut in range(1, len(effects)):
        settle(changer, AGENT)
        assert changer.change(EXITS, cut=cut) == {}, effects[:cut]
        story.lab("reboot", "mac-mini", "--login")
        refused_or_done = changer.change(EXITS)
        assert refused_or_done.get("failed"), f"cut before {effects[cut]}: {refused_or_done}"
        changer.is_exactly(AGENT)
        assert read_plist(changer.mac, AGENT.path) == AGENT.definition()
        CASES.append(f"a bad setting: cut before {effects[cut]}")
    assert 0 < forward < len(effects)
    print(f"a bad setting: power cut before each of {len(effects) - 1} effects, on the way there and back")


def test_a_run_that_is_killed_alone_is_ended_by_the_next(changer):
    """Without a reboot: what launchd holds in memory is as the killed run left it."""
    settle(changer, AGENT)
    effects = changer.change(OTHER_SETTING)["effects"]
    for cut in range(len(effects)):
        settle(changer, AGENT)
        assert changer.change(OTHER_SETTING, cut=cut) == {}
        again = changer.change(OTHER_SETTING)
        assert again.get("failed") is None, f"killed before {effects[cut]}: {again}"
        changer.is_exactly(OTHER_SETTING)
        assert loaded(changer) == ["qwen3:8b"]
        CASES.append(f"killed before {effects[cut]}")


def test_a_no_op_interrupts_nothing(changer):
    settle(changer, AGENT)
    began = time.monotonic()
    result = changer.change(AGENT)
    assert (result["changed"], result["gap_seconds"], result["effects"]) == (False, None, []), time.monotonic() - began


# The forms of three releases. -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("major", [14, 26])
def test_each_release_of_macos_is_changed_alike(major):
    story = Story(f"changes-{major}-{os.getpid()}")
    story.lab("up", "--only", "mac-mini", "--macos", str(major))
    try:
        changer = Changer(story.mac("mac-mini"))
        run = story.screen("playbooks/servers.yml", "--limit", "mac-mini", "--tags", "homebrew,ollama_service")
        assert run.rc == 0, run.screen
        changer.install()
        for service in (OTHER_SETTING, DAEMON, OTHER_LABEL, AGENT):
            result = changer.change(service, root=True)
            assert result.get("failed") is None, result
            changer.is_exactly(service)
        refused(changer, changer.change(EXITS), "it ended at once", "runs again")
    finally:
        story.lab("down")
