"""What a person at a Mac's terminal gets, and that a start file of any kind is as it was before once it is not wanted."""

from __future__ import annotations

import json

import pytest

from tests.support.drifts import HOME

ONE = ("--limit", "mac-mini", "--tags", "shell_env")
FILE = f"{HOME}/.zshrc"
DOTFILES = f"{HOME}/dotfiles/zshrc"
THEIRS = b"# mine \xe9\r\nexport OLLAMA_HOST=0.0.0.0\nalias ll='ls -l'"
TAILSCALE = "/usr/local/bin/tailscale"
SOCKET = f"{HOME}/.tailscale/tailscaled.sock"


def put(mac, path, data):
    mac.run("/usr/bin/python3", "-c", f"open({path!r}, 'wb').write({data!r})")


def get(mac, path):
    return mac.run("/usr/bin/python3", "-c", f"print(open({path!r}, 'rb').read().hex())").strip()


def told(mac, words):
    """Ask an interactive shell, as Terminal starts it."""
    return mac.run("/bin/zsh", "-ic", words).strip()


@pytest.fixture
def dotfiles(fleet, mini):
    """Give a start file that is a link into a folder of dotfiles, private, with bytes of every kind."""
    mini.run("rm", "-f", FILE)
    mini.run("mkdir", "-p", f"{HOME}/dotfiles")
    put(mini, DOTFILES, THEIRS)
    mini.run("chmod", "0600", DOTFILES)
    mini.run("ln", "-s", "dotfiles/zshrc", FILE)
    yield mini
    mini.run("rm", "-rf", FILE, f"{HOME}/dotfiles")
    assert fleet.screen("playbooks/servers.yml", *ONE).rc == 0


def test_a_shell_has_an_address_to_connect_to_and_the_file_comes_back(fleet, dotfiles):
    mac = dotfiles
    look = fleet.play("playbooks/servers.yml", "--check", *ONE)
    assert get(mac, DOTFILES) == THEIRS.hex()
    run = fleet.play("playbooks/servers.yml", *ONE)
    assert run.rc == 0, run.screen
    assert look.steps("mac-mini") == run.steps("mac-mini") == [("write", FILE)]
    assert told(mac, "echo $OLLAMA_HOST; whence -w ll") == "127.0.0.1:11434\nll: alias"
    assert told(mac, "/opt/homebrew/bin/ollama list").startswith("NAME")
    assert bytes.fromhex(get(mac, DOTFILES)).startswith(THEIRS)
    assert mac.run("stat", "-f", "%OLp %Su %Sg", DOTFILES).strip() == "600 felipe staff"
    assert mac.run("readlink", FILE).strip() == "dotfiles/zshrc"
    assert fleet.play("playbooks/servers.yml", *ONE).changed("mac-mini") == 0
    off = fleet.play("playbooks/servers.yml", *ONE, "-e", "{shell_env_managed: false}")
    assert off.steps("mac-mini") == [("remove", f"the block in {FILE}")]
    assert get(mac, DOTFILES) == THEIRS.hex()
    none = fleet.play("playbooks/servers.yml", *ONE, "-e", "{shell_env_managed: null}")
    assert none.changed("mac-mini") == 0


def test_a_file_that_was_made_goes_again(fleet, mini):
    mini.run("rm", "-f", FILE)
    assert fleet.screen("playbooks/servers.yml", *ONE).rc == 0
    assert mini.run("stat", "-f", "%OLp %Su", FILE).strip() == "644 felipe"
    off = fleet.play("playbooks/servers.yml", *ONE, "-e", "{shell_env_managed: false}")
    assert off.steps("mac-mini") == [("remove", FILE)]
    assert "No such file" in mini.run_all("ls", FILE)
    assert fleet.screen("playbooks/servers.yml", *ONE).rc == 0


def test_a_block_that_lost_its_end_is_refused_with_the_line_and_left_alone(fleet, dotfiles):
    broken = THEIRS + b"\n# BEGIN ollama-fleet\nexport A=1\n"
    put(dotfiles, DOTFILES, broken)
    run = fleet.play("playbooks/servers.yml", *ONE)
    assert run.rc == 2
    said = run.messages("mac-mini")
    assert "mac-mini" in said
    assert f"{FILE} was left alone: line 4 begins a block of ours that no line below ends" in said
    assert get(dotfiles, DOTFILES) == broken.hex()


def test_the_alias_of_a_userspace_tailscale_works(fleet, dotfiles):
    wish = json.dumps({"shell_env_aliases": {"tailscale": [TAILSCALE, f"--socket={SOCKET}"]}})
    with fleet.trouble("mac-mini", "tailscale-userspace"):
        assert "failed to connect" in dotfiles.run_all(TAILSCALE, "status")
        assert fleet.screen("playbooks/servers.yml", *ONE, "-e", wish).rc == 0
        assert "100.115.10.14" in told(dotfiles, "tailscale status")


def test_a_client_that_is_no_mac_can_have_it_too(fleet, tmp_path):
    play = tmp_path / "client.yml"
    play.write_text(
        "- name: Point a shell at its server\n  hosts: windows-msi\n  gather_facts: false\n  roles: [shell_env]\n"
        "  vars:\n    shell_env_managed: true\n    shell_env_file: ~/.bashrc\n"
        "    shell_env_variables: {OLLAMA_HOST: '100.115.10.14:11434'}\n"
    )
    assert fleet.play(str(play)).changed("windows-msi") == 1
    assert fleet.play(str(play)).changed("windows-msi") == 0
    assert "export OLLAMA_HOST='100.115.10.14:11434'" in fleet.on("windows-msi", "sh", "-c", "cat ~/.bashrc")
