"""The application firewall of a virtual Mac as people and profiles leave it: what is mended, and what can only be told."""

from __future__ import annotations

import json

import pytest

from tests.support.drifts import SOCKETFILTERFW

ONE = ("playbooks/servers.yml", "--limit", "mac-mini")
RIVAL = "/opt/homebrew/bin/brew"
"""Another of Homebrew's programs: its code identifier is Ollama's in the lab, as of every Go program on a Mac."""


def asking(**variables):
    return ("-e", json.dumps({f"firewall_{name}": value for name, value in variables.items()}))


def firewall(mini, *words):
    return mini.run(SOCKETFILTERFW, *words, user="root")


@pytest.fixture(autouse=True)
def _as_it_was(fleet, mini):
    """Leave the firewall on, without block-all and stealth, and with the rule in it."""
    yield
    for words in (("--setglobalstate", "on"), ("--setblockall", "off"), ("--setstealthmode", "off"), ("--remove", RIVAL)):
        firewall(mini, *words)
    firewall(mini, "--add", mini.program(), "--unblockapp", mini.program())


def test_a_rule_that_shows_late_is_waited_for(fleet, mini):
    firewall(mini, "--remove", mini.program())
    with fleet.trouble("mac-mini", "alf-delay", "3"):
        run = fleet.play(*ONE)
        assert run.rc == 0, run.screen
        assert run.steps("mac-mini") == [("allow", mini.program())]
        assert fleet.play(*ONE).changed("mac-mini") == 0


def test_a_rule_that_was_dropped_is_told_with_the_program_that_stands_in_its_way(fleet, mini):
    firewall(mini, "--remove", mini.program())
    firewall(mini, "--add", RIVAL)
    with fleet.trouble("mac-mini", "alf-identifier-clash"):
        run = fleet.play(*ONE)
        assert run.rc != 0
        said = run.messages("mac-mini")
        assert f"accepted a rule for {mini.program()} and does not list it" in said
        assert f"socketfilterfw --remove {RIVAL}" in said
        firewall(mini, "--remove", RIVAL)
        assert fleet.play(*ONE).rc == 0
    assert fleet.play(*ONE).changed("mac-mini") == 0


@pytest.mark.parametrize("kind", ["true", '"mute"', '"unseen"'])
def test_a_managed_mac_is_told_of_and_is_no_failure(fleet, mini, kind):
    firewall(mini, "--remove", mini.program())
    rules = firewall(mini, "--listapps")
    with fleet.trouble("mac-mini", "mdm-managed", kind):
        run = fleet.screen(*ONE)
        assert run.rc == 0, run.screen
        said = " ".join(run.screen.split())
        assert "managed by a profile" in said or "under device management" in said, run.screen
        assert f"to allow {mini.program()}" in said
        again = fleet.play(*ONE)
        assert (again.rc, again.changed("mac-mini")) == (0, 0)
    assert firewall(mini, "--listapps") == rules


def test_only_what_is_asked_of_the_whole_is_changed_and_exactly_foretold(fleet, mini):
    firewall(mini, "--blockapp", mini.program())
    firewall(mini, "--setglobalstate", "off")
    wanted = (*ONE, *asking(state="enabled", stealth=True))
    expected = [("allow", mini.program()), ("set", "stealth"), ("set", "state")]
    before = mini.state()
    assert fleet.play(*wanted, "--check", "--diff").steps("mac-mini") == expected
    assert mini.state() == before
    assert fleet.play(*wanted).steps("mac-mini") == expected
    assert fleet.play(*wanted).changed("mac-mini") == 0
    assert "State = 1" in firewall(mini, "--getglobalstate")
    # Left out again, it stays as it is.
    assert fleet.play(*ONE).changed("mac-mini") == 0
    assert "stealth mode is on" in firewall(mini, "--getstealthmode")


def test_off_and_block_all_are_told_and_left(fleet, mini):
    firewall(mini, "--setblockall", "on")
    run = fleet.screen(*ONE)
    assert run.rc == 0, run.screen
    assert "blocks all incoming connections, no rule for Ollama can help" in " ".join(run.screen.split())
    firewall(mini, "--setglobalstate", "off", "--remove", mini.program())
    rules = firewall(mini, "--listapps")
    assert fleet.play(*ONE).changed("mac-mini") == 0
    assert firewall(mini, "--listapps") == rules
