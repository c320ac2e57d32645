"""What goes wrong ends with one sentence that names the host and what to do, and with the service that was there before."""

from __future__ import annotations

import pytest

from tests.support.drifts import SOCKETFILTERFW


def told(run, *words):
    """Assert that the run failed and that one message says all of these words."""
    assert run.rc != 0, run.screen
    assert "Traceback" not in run.screen, run.screen
    messages = [part for part in run.screen.split("fatal: ")[1:] if all(word in " ".join(part.split()) for word in words)]
    assert messages, f"no message says {words}:\n{run.screen}"


def test_a_mac_that_is_always_on_and_silent_is_an_error(fleet):
    with fleet.trouble("mac-mini", "unreachable"):
        run = fleet.screen("site.yml")
    told(run, "mac-mini does not answer at felipes-mac-mini.local", "Remote Login", "felipe@felipes-mac-mini.local` works")


def test_a_mac_that_may_be_away_does_not_spoil_the_run_for_the_others(fleet, mini):
    with mini.residents_held(), fleet.trouble("macbook-pro", "unreachable"):
        mini.api("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": 0})
        run = fleet.screen("site.yml")
    assert run.rc == 0, run.screen
    assert "macbook-pro does not answer at felipes-macbook-pro-2.local (" in run.screen
    assert "and may be asleep or away" in " ".join(run.screen.split())
    assert "load qwen3:8b" in run.screen


def test_a_wrong_sudo_password_is_said_before_anything_is_touched(fleet, mini):
    program = mini.program()
    mini.run(SOCKETFILTERFW, "--remove", program, user="root")
    mini.edit(RunAtLoad=False)
    before = mini.state()
    run = fleet.screen("playbooks/servers.yml", "-e", "ansible_become_password=wrong")
    told(run, "felipe cannot become root on mac-mini", "--ask-become-pass", "Nothing was changed")
    assert mini.state() == before
    assert fleet.screen("playbooks/servers.yml").rc == 0


def test_a_registry_that_is_down_loses_nothing(fleet, mini):
    mini.api("DELETE", "/api/delete", {"model": "gpt-oss:20b"})
    pid = mini.pid()
    with fleet.trouble("registry", "down"):
        run = fleet.screen("playbooks/servers.yml", "--limit", "mac-mini")
    told(run, "Could not pull gpt-oss:20b", "registry cannot be reached", "next run takes up")
    assert mini.pid() == pid
    assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0
    assert "gpt-oss:20b" in [model["name"] for model in mini.api("GET", "/api/tags")["models"]]


def test_a_pull_that_was_cut_goes_on_where_it_stopped(fleet, mini):
    mini.api("DELETE", "/api/delete", {"model": "gpt-oss:20b"})
    with fleet.trouble("registry", "cut", "3000000000"):
        run = fleet.screen("playbooks/servers.yml", "--limit", "mac-mini")
    assert "gpt-oss:20b" in run.screen
    assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0
    assert "gpt-oss:20b" in [model["name"] for model in mini.api("GET", "/api/tags")["models"]]


def test_a_new_definition_that_does_not_come_up_is_taken_back(fleet, mini):
    """An address that this Mac does not have passes every check that can be made before, and ends the server at once."""
    before = mini.run("cat", mini.plist)
    run = fleet.screen(
        "playbooks/servers.yml", "--limit", "mac-mini", "-e",
        '{"ollama_service_environment": {"OLLAMA_HOST": "10.99.0.2", "OLLAMA_FLASH_ATTENTION": "1"}}',
    )  # fmt: skip
    told(run, "gui/501/com.user.ollama did not come up", "assign requested address", "The service as it was before runs again")
    assert mini.run("cat", mini.plist) == before
    assert mini.answers()
    assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0


def test_a_program_that_is_not_there_leaves_the_old_service_alone(fleet, mini):
    pid = mini.pid()
    run = fleet.screen("playbooks/servers.yml", "--limit", "mac-mini", "-e", "ollama_service_program=/opt/homebrew/bin/olama")
    told(run, "/opt/homebrew/bin/olama does not exist", "the old service was left alone")
    assert mini.pid() == pid
    assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0


def of_service(label):
    """Return the property lists of a service and of the jobs beside it."""
    return [f"{label}.heal.plist", f"{label}.logs.plist", f"{label}.plist", f"{label}.residents.plist"]


def test_a_label_moves_and_leaves_nothing_behind(fleet, mini):
    label = ["-e", "ollama_service_label=com.example.ollama", "--limit", "mac-mini"]
    assert fleet.screen("playbooks/servers.yml", *label).rc == 0
    assert mini.run("ls", "/Users/felipe/Library/LaunchAgents").split() == of_service("com.example.ollama")
    back = fleet.screen(
        "playbooks/servers.yml", "--limit", "mac-mini", "-e", '{"ollama_service_retired_labels": ["com.example.ollama"]}'
    )
    assert back.rc == 0, back.screen
    assert mini.run("ls", "/Users/felipe/Library/LaunchAgents").split() == of_service("com.user.ollama")
    assert mini.answers()


@pytest.fixture
def bare(fleet):
    """Give a Mac as it comes, and converge it again afterwards."""
    fleet.lab("reset", "macbook-pro")
    yield fleet.mac("macbook-pro")
    assert fleet.screen("playbooks/servers.yml", "--limit", "macbook-pro").rc == 0


def test_a_mac_without_homebrew_is_told_how_to_get_it(fleet, bare):
    with fleet.trouble("macbook-pro", "no-homebrew"):
        run = fleet.screen("playbooks/servers.yml", "--limit", "macbook-pro")
    told(run, "macbook-pro has no Homebrew at /opt/homebrew/bin/brew", "https://brew.sh", "Nothing was changed")
    assert bare.run_all("ls", "/Users/felipe/Library/LaunchAgents").count("plist") == 0


def test_a_mac_without_command_line_tools_is_told_how_to_get_them(fleet, bare):
    with fleet.trouble("macbook-pro", "no-clt"):
        run = fleet.screen("playbooks/servers.yml", "--limit", "macbook-pro")
    told(run, "macbook-pro has no Command Line Tools", "xcode-select --install")


def test_a_port_that_another_program_holds_is_named_and_nobody_is_killed(fleet, bare):
    bare.run("sh", "-c", "nohup /usr/bin/python3 -m http.server 11434 >/dev/null 2>&1 </dev/null &")
    bare.wait(lambda: "11434" in bare.run_all("/usr/sbin/lsof", "-nP", "-iTCP:11434", "-sTCP:LISTEN"))
    run = fleet.screen("playbooks/servers.yml", "--limit", "macbook-pro")
    told(run, "Port 11434 is held by", "Nothing was changed")
    assert bare.run_all("ls", "/Users/felipe/Library/LaunchAgents").count("plist") == 0
    holder = bare.run("/usr/sbin/lsof", "-nP", "-iTCP:11434", "-sTCP:LISTEN", "-t").split()
    bare.run("kill", *holder)
    bare.wait(lambda: not bare.run_all("/usr/sbin/lsof", "-nP", "-iTCP:11434", "-sTCP:LISTEN").strip())


def test_nobody_at_the_screen_is_said_and_not_half_done(fleet, bare):
    fleet.lab("logout", "macbook-pro")
    run = fleet.screen("playbooks/servers.yml", "--limit", "macbook-pro")
    told(run, "cannot start before somebody logs in at the screen", "ollama_service_domain", "Nothing was changed")
    assert bare.run_all("ls", "/Users/felipe/Library/LaunchAgents").count("plist") == 0
    fleet.lab("login", "macbook-pro")
