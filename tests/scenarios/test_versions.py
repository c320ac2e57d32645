"""Versions of Ollama on the whole fleet: up, back, pinned, refused, cut short; the Macs one after the other."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.scenarios.test_trouble import told
from tests.support.drifts import API, CELLAR, SOCKETFILTERFW
from tests.support.fleet import BIN, ROOT

OLD, NEW, NEXT = "0.32.3", "0.32.15", "0.33.1"
BREW = "/opt/homebrew/bin/brew"
JOURNAL = "/var/db/virtual-mac/journal/brew.log"
UPGRADE = "playbooks/upgrade.yml"
MACS = ("mac-mini", "macbook-pro")


def version(mac):
    """Return the version that answers."""
    return mac.api("GET", "/api/version")["version"]


def linked(mac):
    """Return the version that opt/ leads to."""
    return mac.run("readlink", "/opt/homebrew/opt/ollama").strip().rpartition("/")[2]


def kegs(mac):
    """Return the versions in the Cellar."""
    return sorted(mac.run("ls", CELLAR).split())


def pin(mac):
    """Return the version that Homebrew holds, "" when none is."""
    return mac.run_all("readlink", "/opt/homebrew/var/homebrew/pinned/ollama").strip().rpartition("/")[2]


def residents(mac):
    """Return what is in memory for good."""
    return [model["name"] for model in mac.api("GET", "/api/ps")["models"] if model["expires_at"] > "2100"]


def rules(mac):
    """Return the firewall's rules for programs of the Cellar."""
    return [line.split()[2] for line in mac.run(SOCKETFILTERFW, "--listapps").splitlines() if CELLAR in line]


def calls_of_brew(mac):
    """Return how often brew was started on a Mac."""
    return len(mac.run_all("cat", JOURNAL).splitlines())


def bring(fleet, mac, wanted):
    """Put a Mac on one version and no other, as its owner's `brew install` on the day of that version would have."""
    if linked(mac) == wanted and kegs(mac) == [wanted] and version(mac) == wanted and not pin(mac):
        return
    with fleet.trouble(mac.name, "brew-stable", json.dumps(wanted)):
        for words in (["update"], ["unpin", "ollama"], ["uninstall", "--force", "ollama"], ["install", "ollama"]):
            mac.run(BREW, *words, check=words[0] != "unpin")
    run = fleet.screen("playbooks/servers.yml", "--limit", mac.name)
    assert run.rc == 0, run.screen
    assert (version(mac), residents(mac)) == (wanted, ["qwen3:8b"])


@pytest.fixture
def pro(fleet):
    """Return the Mac that comes second."""
    return fleet.mac("macbook-pro")


def test_an_upgrade_goes_from_mac_to_mac_and_ends_with_the_residents_in_memory(fleet, mini, pro):
    bring(fleet, mini, OLD)
    bring(fleet, pro, OLD)
    pids = mini.pid(), pro.pid()
    check = fleet.play(UPGRADE, "--check")
    assert (check.rc, version(mini), version(pro), mini.pid(), pro.pid()) == (0, OLD, OLD, *pids), check.screen
    run = fleet.play(UPGRADE)
    assert run.rc == 0, run.screen
    for mac in (mini, pro):
        assert run.steps(mac.name) == check.steps(mac.name)
        assert [action for action, _ in run.steps(mac.name)] == ["upgrade", "reload", "load", "remove", "allow"]
        assert (version(mac), linked(mac), residents(mac)) == (NEW, NEW, ["qwen3:8b"])
        assert kegs(mac) == [NEW, OLD]
        assert rules(mac) == [f"{CELLAR}/{NEW}/libexec/ollama"]
        assert mac.pid() not in pids
    table = [result["msg"] for result in run.results["mac-mini"] if result["task"].startswith("Say which version")][-1]
    for line in table[1:]:
        assert line.split()[1:5] == [OLD, OLD, NEW, NEW]
        assert "nobody held the port for" in line
        assert "qwen3:8b completed a sentence" in line
    again = fleet.play(UPGRADE)
    assert (again.rc, again.changed("mac-mini"), again.changed("macbook-pro")) == (0, 0, 0), again.screen
    assert len(again.module_runs("mac-mini")) == 1


def test_a_version_that_cannot_load_a_model_is_taken_back_and_the_next_mac_is_not_touched(fleet, mini, pro):
    bring(fleet, mini, OLD)
    pid, before = pro.pid(), version(pro)
    for name in MACS:
        fleet.lab("fault", name, "brew-stable", json.dumps(NEXT))
        fleet.lab("fault", name, "brew-broken-bottle", "on")
    try:
        run = fleet.screen(UPGRADE)
        told(
            run,
            f"ollama {NEXT} did not prove itself",
            "cannot load qwen3:8b",
            "runs again",
            f"It is {OLD}, with qwen3:8b in memory",
        )
        assert (version(mini), linked(mini), residents(mini), kegs(mini)) == (OLD, OLD, ["qwen3:8b"], [OLD, NEXT])
        assert rules(mini) == [f"{CELLAR}/{OLD}/libexec/ollama"]
        assert (pro.pid(), version(pro), NEXT in kegs(pro)) == (pid, before, False)
        # The same failure is not tried again for nothing: the service is left alone, and the run says why.
        pid = mini.pid()
        again = fleet.screen(UPGRADE, "--limit", "mac-mini")
        assert again.rc == 0, again.screen
        assert f"ollama {NEXT}: it is newer than {OLD} and was taken back on this Mac" in again.screen
        assert (mini.pid(), version(mini)) == (pid, OLD)
        # Named, it is.
        named = fleet.screen(UPGRADE, "--limit", "mac-mini", "-e", f"ollama_version={NEXT}")
        told(named, f"ollama {NEXT} did not prove itself", f"It is {OLD}")
        assert (version(mini), residents(mini), pin(mini)) == (OLD, ["qwen3:8b"], "")
    finally:
        for name in MACS:
            fleet.lab("fault", name, "brew-stable", "off")
            fleet.lab("fault", name, "brew-broken-bottle", "off")


def test_a_version_is_pinned_forth_and_back_without_asking_brew(fleet, mini):
    bring(fleet, mini, OLD)
    limit = ["--limit", "mac-mini"]
    unknown = fleet.screen(UPGRADE, *limit, "-e", "ollama_version=0.31.0")
    told(unknown, f"0.31.0 is not in the Cellar (there: {OLD})", f"Homebrew has {NEW}", "Nothing was changed")
    assert fleet.screen(UPGRADE, *limit, "-e", f"ollama_version={NEW}").rc == 0
    assert (version(mini), linked(mini), pin(mini), residents(mini)) == (NEW, NEW, NEW, ["qwen3:8b"])
    calls = calls_of_brew(mini)
    back = fleet.play(UPGRADE, *limit, "-e", f"ollama_version={OLD}")
    assert back.rc == 0, back.screen
    assert [action for action, _ in back.steps("mac-mini")][:1] == ["relink"]
    assert (version(mini), linked(mini), pin(mini), residents(mini)) == (OLD, OLD, OLD, ["qwen3:8b"])
    assert rules(mini) == [f"{CELLAR}/{OLD}/libexec/ollama"]
    again = fleet.play("playbooks/servers.yml", *limit, "-e", f"ollama_version={OLD}")
    assert (again.rc, again.changed("mac-mini"), again.module_runs("mac-mini")) == (0, 0, ["mac_facts"]), again.screen
    assert calls_of_brew(mini) == calls
    # The owner's own upgrade does not move it.
    assert "ollama" in mini.run_all(BREW, "upgrade", "ollama")
    assert linked(mini) == OLD


@pytest.mark.parametrize("stable", ["0.17.0", "0.30.2"])
def test_a_version_that_must_not_run_is_not_brought(fleet, mini, stable):
    """Below the floor, and known for a broken bottle; the folder of a keg is enough to be asked for it."""
    before = mini.pid(), linked(mini), kegs(mini)
    mini.run("mkdir", f"{CELLAR}/{stable}")
    try:
        run = fleet.screen(UPGRADE, "--limit", "mac-mini", "-e", f"ollama_version={stable}")
    finally:
        mini.run("rmdir", f"{CELLAR}/{stable}")
    told(run, f"Ollama {stable}", "source: ", "Nothing was changed")
    assert (mini.pid(), linked(mini), kegs(mini)) == before


def test_without_a_way_to_homebrew_nothing_is_done_and_it_is_said(fleet, mini):
    pid = mini.pid()
    with fleet.trouble("mac-mini", "brew-offline"):
        run = fleet.screen(UPGRADE, "--limit", "mac-mini")
    assert run.rc == 0, run.screen
    assert "no answer" in run.screen
    assert mini.pid() == pid


def test_a_server_that_still_runs_the_version_before_is_brought_to_the_installed_one(fleet, mini):
    """What a `brew upgrade` by hand leaves behind."""
    bring(fleet, mini, OLD)
    mini.run("env", "HOMEBREW_NO_INSTALL_CLEANUP=1", BREW, "upgrade", "ollama")
    assert (version(mini), linked(mini)) == (OLD, NEW)
    run = fleet.play("playbooks/servers.yml", "--limit", "mac-mini")
    assert run.rc == 0, run.screen
    assert [action for action, _ in run.steps("mac-mini")][:2] == ["reload", "load"]
    assert (version(mini), residents(mini), rules(mini)) == (NEW, ["qwen3:8b"], [f"{CELLAR}/{NEW}/libexec/ollama"])


@pytest.mark.parametrize("whole", [True, False], ids=["a good version", "a bad one"])
def test_an_upgrade_that_is_killed_is_taken_up_by_the_next_run(fleet, mini, whole):
    bring(fleet, mini, OLD)
    fleet.lab("fault", "mac-mini", "ollama-load-delay", "60")
    fleet.lab("fault", "mac-mini", "brew-stable", json.dumps(NEXT))
    fleet.lab("fault", "mac-mini", "brew-broken-bottle", "off" if whole else "on")
    words = ["-i", "inventory", "-i", "lab/inventory", UPGRADE, "--limit", "mac-mini"]
    try:
        if whole:
            run = subprocess.Popen(
                [str(BIN / "ansible-playbook"), *words], cwd=ROOT, env=fleet.environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            # Between the two versions nobody answers.
            mini.wait(lambda: f'"{NEXT}"' in mini.run_all("curl", "-sS", "--max-time", "2", f"{API}/api/version"), 120)
            # A module comes over the wire and has no name of its own.
            mini.run("pkill", "-9", "-f", "CommandLineTools/usr/bin/python3")
            run.wait(timeout=120)
            assert run.returncode != 0
        else:
            # A bottle that cannot load says so at once, so it is cut before the restart: as brew leaves it.
            mini.run("env", "HOMEBREW_NO_INSTALL_CLEANUP=1", BREW, "update")
            mini.run("env", "HOMEBREW_NO_INSTALL_CLEANUP=1", BREW, "upgrade", "ollama")
        assert (linked(mini), kegs(mini)) == (NEXT, [OLD, NEXT])
        fleet.lab("fault", "mac-mini", "ollama-load-delay", "off")
        again = fleet.screen("playbooks/servers.yml", "--limit", "mac-mini")
        if whole:
            assert again.rc == 0, again.screen
            assert "has not proved itself yet" in again.screen
            assert (version(mini), residents(mini)) == (NEXT, ["qwen3:8b"])
        else:
            told(again, f"ollama {NEXT} did not prove itself", f"It is {OLD}, with qwen3:8b in memory")
            assert (version(mini), linked(mini), residents(mini)) == (OLD, OLD, ["qwen3:8b"])
        quiet = fleet.play("playbooks/servers.yml", "--limit", "mac-mini")
        assert (quiet.rc, quiet.changed("mac-mini")) == (0, 0), quiet.screen
    finally:
        for name in ("ollama-load-delay", "brew-stable", "brew-broken-bottle"):
            fleet.lab("fault", "mac-mini", name, "off")
