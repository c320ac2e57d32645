"""brew: what a playbook asks it, and on a virtual Mac what it changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Mac, Result

QUIET = {"HOMEBREW_NO_AUTO_UPDATE": "1", "HOMEBREW_NO_ENV_HINTS": "1"}


@pytest.fixture(scope="session")
def program(mac: Mac) -> str:
    """Find brew: the prefix differs between Apple silicon and Intel."""
    for path in ("/opt/homebrew/bin/brew", "/usr/local/bin/brew"):
        if mac.run(["/bin/test", "-x", path]).rc == 0:
            return path
    pytest.skip("no Homebrew on this Mac")


def brew(mac: Mac, program: str, *argv: str) -> Result:
    """Run brew as its owner."""
    return mac.run([program, *argv], env=QUIET, timeout=120)


def test_the_prefix_of_a_formula_is_told_whether_installed_or_not(mac: Mac, program: str) -> None:
    prefix = program.removesuffix("/bin/brew")
    assert brew(mac, program, "--prefix").stdout == prefix + "\n"
    assert brew(mac, program, "--prefix", "jq").stdout == prefix + "/opt/jq\n"


def test_a_name_that_is_not_installed_has_no_versions(mac: Mac, program: str) -> None:
    answer = brew(mac, program, "list", "--versions", "no-such-formula-here")
    assert (answer.rc, answer.stdout) == (1, "")


@pytest.mark.parametrize("verb", ["info", "outdated"])
def test_json_has_formulae_and_casks(mac: Mac, program: str, verb: str) -> None:
    names = ["jq"] if verb == "info" else []
    assert set(json.loads(brew(mac, program, verb, "--json=v2", *names).stdout)) == {"formulae", "casks"}


def test_info_has_the_keys_that_modules_read(mac: Mac, program: str) -> None:
    (described,) = json.loads(brew(mac, program, "info", "--json=v2", "jq").stdout)["formulae"]
    assert {"name", "versions", "installed", "linked_keg", "pinned", "outdated", "aliases", "full_name"} <= set(described)


def test_an_unknown_formula_is_an_error(mac: Mac, program: str) -> None:
    answer = brew(mac, program, "info", "--json=v2", "no-such-formula-here")
    assert answer.rc == 1
    assert "No available formula" in answer.stderr


def test_an_unknown_verb_is_an_error(mac: Mac, program: str) -> None:
    answer = brew(mac, program, "no-such-verb")
    assert answer.rc == 1
    assert "Unknown command" in answer.stderr


def test_root_is_refused(mac: Mac, program: str) -> None:
    answer = mac.run([program, "list", "--versions"], user="root")
    assert answer.rc == 1
    assert "Running Homebrew as root is extremely dangerous and no longer supported." in answer.stderr


@pytest.fixture
def ollama(mac: Mac, program: str) -> Iterator[str]:
    """Install ollama for the length of a test."""
    assert brew(mac, program, "install", "ollama").rc == 0
    yield program
    brew(mac, program, "services", "stop", "ollama")
    brew(mac, program, "uninstall", "--force", "ollama")


@pytest.mark.virtual
def test_the_program_is_reached_through_three_links(mac: Mac, ollama: str) -> None:
    prefix = ollama.removesuffix("/bin/brew")
    version = brew(mac, ollama, "list", "--versions", "ollama").stdout.split()[1]
    assert mac.succeed(["/bin/readlink", f"{prefix}/opt/ollama"]) == f"../Cellar/ollama/{version}\n"
    real = mac.succeed(["/usr/bin/readlink", "-f", f"{prefix}/bin/ollama"]).strip()
    assert real == f"{prefix}/Cellar/ollama/{version}/libexec/ollama"


@pytest.mark.virtual
def test_a_service_of_brew_listens_on_loopback_alone(mac: Mac, ollama: str) -> None:
    assert "Successfully started" in brew(mac, ollama, "services", "start", "ollama").stdout
    (found,) = json.loads(brew(mac, ollama, "services", "info", "ollama", "--json").stdout)
    assert (found["running"], found["status"], found["service_name"]) == (True, "started", "homebrew.mxcl.ollama")
    assert brew(mac, ollama, "services", "start", "ollama").stdout.startswith("Service `ollama` already started")
    wait = "for i in $(seq 100); do /usr/sbin/lsof -nP -iTCP:11434 -sTCP:LISTEN -Fn && break; sleep 0.1; done"
    assert "n127.0.0.1:11434" in mac.succeed(["/bin/sh", "-c", wait])
    brew(mac, ollama, "services", "stop", "ollama")
    (found,) = json.loads(brew(mac, ollama, "services", "info", "ollama", "--json").stdout)
    assert (found["loaded"], found["registered"], found["status"]) == (False, False, "none")


@pytest.mark.virtual
def test_without_a_gui_session_start_fails_and_names_the_call(mac: Mac, ollama: str) -> None:
    mac.logout()
    try:
        answer = brew(mac, ollama, "services", "start", "ollama")
        assert answer.rc == 1
        assert "Error: Failure while executing; `/bin/launchctl enable gui/501/" in answer.stderr
        assert "exited with 125." in answer.stderr
    finally:
        mac.login()


@pytest.mark.virtual
def test_an_upgrade_leaves_one_keg_and_moves_the_links(mac: Mac, program: str) -> None:
    with mac.fault("brew-stable", "0.24.0"):
        brew(mac, program, "update")
        assert brew(mac, program, "install", "ollama").rc == 0
    try:
        assert brew(mac, program, "outdated", "--json=v2", "ollama").rc == 0
        brew(mac, program, "update")
        assert brew(mac, program, "outdated", "--json=v2", "ollama").rc == 1
        assert brew(mac, program, "upgrade", "ollama").rc == 0
        assert brew(mac, program, "list", "--versions", "ollama").stdout == "ollama 0.32.15\n"
    finally:
        brew(mac, program, "uninstall", "--force", "ollama")


@pytest.mark.virtual
def test_every_call_of_brew_is_noted(mac: Mac, program: str) -> None:
    brew(mac, program, "list", "--versions", "noted-once")
    noted = [json.loads(line) for line in mac.read("/var/db/virtual-mac/journal/brew.log").splitlines()]
    assert [note["rc"] for note in noted if note["argv"] == ["list", "--versions", "noted-once"]] == [1]
