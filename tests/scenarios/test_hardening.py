"""A bare Mac is provisioned with the narrow grant of docs/sudo.md alone; what sudo ran and what was made is looked at."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

import pytest

from tests.support.drifts import AGENTS, HOME, UID
from tests.support.sudo import example, logged

MAC = "macbook-pro"
GRANT = "/private/etc/sudoers.d/ollama-fleet"
LOG = "/private/var/log/sudo.log"
WHERE = ("/Users", "/Library", "/opt/homebrew", "/private/etc", "/private/var", "/private/tmp", "/Applications", "/usr/local")
ADMINISTRATORS = (0, 80)
PASSWORD = "felipe"


@dataclass(frozen=True)
class Entry:
    """A file or folder: mode, owner, group, kind as `find` prints it."""

    mode: int
    uid: int
    gid: int
    kind: str


def everything(mac) -> dict[str, Entry]:
    """Return all that lies on the disk, without the lab's own."""
    leave = ("-path", "/private/var/db/virtual-mac", "-prune", "-o", "-printf", r"%m %U %G %y %p\n")
    found = {}
    for line in mac.run("find", *WHERE, *leave, user="root").splitlines():
        mode, uid, gid, kind, path = line.split(" ", 4)
        found[path] = Entry(int(mode, 8), int(uid), int(gid), kind)
    return found


@pytest.fixture(scope="module")
def provisioned(fleet):
    """Provision a bare Mac as an agent and then as a daemon; return what was there before, and both runs."""
    fleet.lab("reset", MAC)
    mac = fleet.mac(MAC)
    before = everything(mac)
    mac.run("sed", "-i", "/^%admin/d", "/private/etc/sudoers", user="root")
    text = f"{example()}\nDefaults logfile={LOG}, loglinelen=0\n"
    fleet.lab("exec", MAC, "--user", "root", "--", "tee", GRANT, text=text)
    mac.run("chmod", "0440", GRANT, user="root")
    mac.run("/usr/sbin/visudo", "-cf", GRANT, user="root")
    # Everything: the whole site, its proof from outside included.
    agent = fleet.play("site.yml", "--limit", MAC)
    daemon = fleet.play("playbooks/servers.yml", "--limit", MAC, "-e", "ollama_service_domain=system")
    yield mac, before, agent, daemon
    fleet.lab("reset", MAC)
    assert fleet.screen("playbooks/servers.yml", "--limit", MAC).rc == 0


def sudo(fleet, *argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run sudo as the person, with the right password."""
    words = ("exec", MAC, "--user", "felipe", "--", "sudo", "-S", "-k", "-p", "", *argv)
    return fleet.lab(*words, check=False, text=f"{PASSWORD}\n{text}")


def test_the_narrow_grant_suffices(provisioned):
    _, _, agent, daemon = provisioned
    assert agent.rc == 0, agent.screen
    assert daemon.rc == 0, daemon.screen
    assert "allow" in dict(agent.steps(MAC))
    assert any(item.startswith("system/") for _, item in daemon.steps(MAC))


def test_sudo_ran_what_the_page_lists_and_nothing_else(provisioned):
    mac = provisioned[0]
    commands = re.findall(r"; COMMAND=(.*)$", mac.run("cat", LOG, user="root"), re.MULTILINE)
    assert commands
    for command in commands:
        assert [pattern for pattern in logged() if re.fullmatch(pattern, command)], command
    for pattern in logged():
        assert [command for command in commands if re.fullmatch(pattern, command)], pattern


@pytest.mark.usefixtures("provisioned")
@pytest.mark.parametrize(
    "argv", [("/bin/ls", "/var/root"), ("/bin/sh", "-c", "id"), ("/usr/bin/python3", "-c", "0"), ("-s",)], ids=" ".join
)
def test_every_other_command_is_refused(fleet, argv):
    refused = sudo(fleet, *argv)
    assert refused.returncode != 0
    assert "not allowed to execute" in refused.stderr


@pytest.mark.usefixtures("provisioned")
def test_what_the_page_says_it_does_not_protect_from(fleet):
    """Whoever has the account and its password is root: a reader must not take the grant for more than it is."""
    command = f"echo BECOME-SUCCESS-{'a' * 32} ; /usr/bin/python3"
    done = sudo(fleet, "/bin/sh", "-c", command, text="import os; print(os.getuid(), os.listdir('/private/var/root'))\n")
    assert "\n0 [" in done.stdout, done.stderr


def test_nothing_that_was_made_may_be_changed_by_others(provisioned):
    mac, before, _, _ = provisioned
    made = {path: entry for path, entry in everything(mac).items() if path not in before and path != GRANT}
    assert f"{HOME}/.ollama/models/manifests" in made
    assert "/Library/LaunchDaemons/com.ollama.serve.plist" in made
    for path, entry in made.items():
        if entry.kind == "l":
            continue
        assert not entry.mode & 0o002 or entry.mode & 0o1000, f"{path}: everybody may write ({entry.mode:o})"
        # Homebrew lets administrators write into its folders.
        assert not entry.mode & 0o020 or entry.gid in ADMINISTRATORS, f"{path}: group {entry.gid} may write ({entry.mode:o})"
        own = UID if path.startswith((f"{HOME}/", "/opt/homebrew/")) else entry.uid
        assert entry.uid in (0, UID), f"{path} belongs to {entry.uid}"
        assert entry.uid == own, f"{path} belongs to {entry.uid}"
        if path.startswith("/Library/"):
            assert entry.uid == 0, f"{path} belongs to {entry.uid}"


def test_a_folder_that_everybody_may_write_is_told_with_its_mending(fleet, mini):
    mini.run("chmod", "0777", AGENTS)
    run = fleet.screen("playbooks/servers.yml", "--limit", "mac-mini")
    assert run.rc == 0, run.screen
    said = " ".join(run.screen.split())
    assert f"{AGENTS}: everybody may write there" in said
    mended = re.search(r"On mac-mini: (chmod go-w \S+)\.", said)
    assert mended, said
    assert mini.run("stat", "-f", "%OLp", AGENTS).strip() == "777"
    mini.run(*mended[1].split())
    assert "may write there" not in fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").screen
