"""A teardown takes back what was made and nothing else, and is told first."""

from __future__ import annotations

import json
import plistlib

import pytest

from tests.support.drifts import AGENTS, HOME, SOCKETFILTERFW
from tests.support.traces import tree

ONE = ("--limit", "macbook-pro")
YES = ("-e", "teardown_confirm=macbook-pro")
TEARDOWN = "playbooks/teardown.yml"
THEIRS = b"# mine \xe9\r\nexport EDITOR=vi"


@pytest.fixture
def pro(fleet):
    """Give a converged Mac that was bare before, with a start file of its owner, and what it was like bare."""
    fleet.lab("reset", "macbook-pro")
    mac = fleet.mac("macbook-pro")
    mac.run("/usr/bin/python3", "-c", f"open('{HOME}/.zshrc', 'wb').write({THEIRS!r})")
    before = tree(mac)
    assert fleet.screen("playbooks/servers.yml", *ONE).rc == 0
    assert tree(mac) != before
    yield mac, before
    assert fleet.screen("playbooks/servers.yml", *ONE).rc == 0


def items(steps):
    return [item for _, item in steps]


def test_nothing_of_ours_is_left(fleet, pro):
    mac, before = pro
    look = fleet.play(TEARDOWN, "--check", *ONE)
    assert look.rc == 0, look.screen
    assert mac.answers()
    run = fleet.play(TEARDOWN, *ONE, *YES)
    assert run.rc == 0, run.screen
    assert look.steps("macbook-pro") == run.steps("macbook-pro")
    companions = [
        item for one in ("residents", "logs", "heal") for item in (f"{mac.target}.{one}", f"{AGENTS}/{mac.label}.{one}.plist")
    ]
    assert items(run.steps("macbook-pro"))[:8] == [*companions, mac.target, mac.plist]
    assert look.changed("macbook-pro") == run.changed("macbook-pro")
    # Logs stay where nobody asked for theirs to go.
    assert {line for line in tree(mac) ^ before if f"{HOME}/Library/Logs/Ollama" not in line} == set()
    assert "ollama" not in mac.run("/bin/launchctl", "list").replace("com.ollama.app", "")
    assert "ollama" not in mac.run(SOCKETFILTERFW, "--listapps")
    assert mac.run("/opt/homebrew/bin/brew", "list", "--versions", "ollama").startswith("ollama ")
    assert mac.run("ls", f"{HOME}/.ollama/models/manifests/registry.ollama.ai/library").split()
    again = fleet.play(TEARDOWN, *ONE, *YES)
    assert (again.rc, again.changed("macbook-pro"), again.steps("macbook-pro")) == (0, 0, [])
    assert "nothing of ours is there" in fleet.screen(TEARDOWN, *ONE).screen


def test_models_formula_and_logs_go_where_they_are_asked_for(fleet, pro):
    mac, before = pro
    mac.api("POST", "/api/pull", {"model": "tiny", "stream": False})
    more = ("-e", json.dumps({"teardown_models": True, "teardown_formula": True, "teardown_logs": True}))
    look = fleet.play(TEARDOWN, "--check", *ONE, *more)
    assert look.rc == 0, look.screen
    run = fleet.play(TEARDOWN, *ONE, *YES, *more)
    assert run.rc == 0, run.screen
    assert look.steps("macbook-pro") == run.steps("macbook-pro")
    library = f"{HOME}/.ollama/models/manifests/registry.ollama.ai/library"
    assert mac.run("find", library, "-type", "f").split() == [f"{library}/tiny/latest"]
    assert not mac.run_all("ls", "/opt/homebrew/Cellar").count("ollama")
    assert "No such file" in mac.run_all("ls", "/tmp/ollama.err.log")  # noqa: S108
    assert tree(mac) ^ before == set()
    again = fleet.play(TEARDOWN, *ONE, *YES, *more)
    assert (again.rc, again.changed("macbook-pro")) == (0, 0), again.screen


def test_without_a_name_nothing_goes_and_the_list_is_told(fleet):
    mac = fleet.mac("macbook-pro")
    before = mac.state()
    run = fleet.play(TEARDOWN, *ONE)
    assert run.rc == 2
    for words in (f"bootout {mac.target}", f"remove {mac.plist}", ".zshrc", "teardown_confirm=macbook-pro"):
        assert words in run.messages("macbook-pro")
    wrong = fleet.play(TEARDOWN, *ONE, "-e", "teardown_confirm=macbook")
    assert "found macbook, allowed are mac-mini, macbook-pro and all" in wrong.messages("macbook-pro")
    other = fleet.play(TEARDOWN, *ONE, "-e", "teardown_confirm=mac-mini")
    assert (other.rc, other.changed("macbook-pro")) == (0, 0)
    assert "macbook-pro is not named in teardown_confirm" in other.screen
    assert mac.state() == before


def test_models_need_a_server_and_that_is_said_before_anything_goes(fleet):
    mac = fleet.mac("macbook-pro")
    mac.boot_out()
    run = fleet.play(TEARDOWN, *ONE, *YES, "-e", "teardown_models=true")
    assert run.rc == 2
    assert "only while the server answers" in run.messages("macbook-pro")
    assert plistlib.loads(mac.run("cat", mac.plist).encode())["Label"] == mac.label
    assert fleet.screen("playbooks/servers.yml", *ONE).rc == 0


def test_a_mac_that_is_away_is_a_line(fleet):
    with fleet.trouble("macbook-pro", "unreachable"):
        run = fleet.screen(TEARDOWN, "--check", *ONE)
    assert run.rc == 0, run.screen
    assert "macbook-pro does not answer at felipes-macbook-pro-2.local" in run.screen
