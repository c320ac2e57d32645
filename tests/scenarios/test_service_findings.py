"""What threatens a service and no step mends is told in a sentence; what is in its way and may go, goes."""

from __future__ import annotations

import pytest

from tests.support.drifts import AGENTS, HOME, UID

ONE = ("playbooks/servers.yml", "--limit", "mac-mini")
APP_LABEL = "com.ollama.ollama"


def told(run, *words):
    """Assert that a run succeeded and one of its notes says all of these words."""
    assert run.rc == 0, run.screen
    notes = [" ".join(part.split()) for part in run.screen.split("note: ")[1:]]
    assert [note for note in notes if all(word in note for word in words)], run.screen


def test_an_agent_on_a_mac_that_is_always_on_is_warned_of(fleet, mini):
    with fleet.trouble("mac-mini", "filevault"):
        run = fleet.screen("site.yml", "--limit", "mac-mini")
    told(run, "ollama_service_domain", "starts at a login, not at boot", "set ollama_service_domain to system".capitalize())
    told(run, "FileVault is on, so nobody is logged in automatically")
    told(run, "after a power cut nothing starts before somebody unlocks the disk")


def test_logs_where_everybody_may_write_are_warned_of(fleet):
    told(fleet.screen("playbooks/preflight.yml"), "/tmp/ollama.err.log lies where everybody may write")  # noqa: S108


def test_a_variable_that_setenv_left_in_the_session_is_named(fleet, mini):
    mini.run("/bin/launchctl", "asuser", str(UID), "/bin/launchctl", "setenv", "OLLAMA_MODELS", "/nowhere", user="root")
    run = fleet.screen(*ONE)
    told(run, "launchctl setenv", "OLLAMA_MODELS=/nowhere", "changes the server behind the inventory's back", "unsetenv")
    mini.run("/bin/launchctl", "asuser", str(UID), "/bin/launchctl", "unsetenv", "OLLAMA_MODELS", user="root")
    assert "OLLAMA_MODELS" not in fleet.screen(*ONE).screen


def test_the_environment_that_brew_services_would_use_is_named(fleet, mini):
    folder = f"{HOME}/.homebrew/services"
    mini.run("sh", "-c", f"mkdir -p {folder} && echo OLLAMA_HOST=127.0.0.1 > {folder}/ollama.env")
    told(fleet.screen(*ONE), "ollama.env", "it sets OLLAMA_HOST")
    mini.run("rm", "-r", f"{HOME}/.homebrew")


@pytest.fixture
def app(fleet, mini):
    """Install Ollama.app beside the formula, with the login item it registers."""
    path = f"{HOME}/{APP_LABEL}.plist"
    with fleet.trouble("mac-mini", "ollama-app"):
        mini.write(path, {"Label": APP_LABEL, "ProgramArguments": ["/bin/sleep", "600"], "RunAtLoad": True})
        mini.run("/bin/launchctl", "bootstrap", f"gui/{UID}", path)
        yield path
    mini.run("/bin/launchctl", "bootout", f"gui/{UID}/{APP_LABEL}", check=False)
    mini.run("rm", path)


def test_an_application_that_would_take_the_port_is_told_and_moved_aside_only_where_that_is_wanted(fleet, mini, app):
    run = fleet.screen(*ONE)
    told(run, "Ollama.app is installed", "takes the port", "disable_login_item")
    assert f"gui/{UID}/{APP_LABEL}" in mini.run_all("/bin/launchctl", "print", f"gui/{UID}/{APP_LABEL}")
    pid = mini.pid()
    muted = (*ONE, "-e", "ollama_service_app=disable_login_item")
    expected = [("bootout", f"gui/{UID}/{APP_LABEL}"), ("disable", f"gui/{UID}/{APP_LABEL}")]
    assert fleet.play(*muted, "--check").steps("mac-mini") == expected
    assert fleet.play(*muted).steps("mac-mini") == expected
    assert fleet.play(*muted).changed("mac-mini") == 0
    assert mini.pid() == pid
    assert mini.run("ls", app).strip() == app


def test_a_job_of_an_older_label_that_was_loaded_the_old_way_goes_with_its_file(fleet, mini):
    """`launchctl load` over ssh puts it into user/UID, where nobody looks."""
    path = f"{AGENTS}/{mini.other_label}.plist"
    mini.write(path, {**mini.definition(), "Label": mini.other_label, "LimitLoadToSessionType": "Background"})
    mini.run("/bin/launchctl", "load", path)
    run = fleet.play(*ONE)
    assert ("bootout", f"user/{UID}/{mini.other_label}") in run.steps("mac-mini"), run.screen
    assert ("remove", path) in run.steps("mac-mini")
    assert fleet.play(*ONE).changed("mac-mini") == 0
