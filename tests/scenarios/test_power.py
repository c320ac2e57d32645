"""An always-on Mac stays awake and comes back, its GPU's limit holds over a restart, and all of it can be taken back."""

from __future__ import annotations

import json
import plistlib
import re

import pytest

PLAYBOOK = "playbooks/servers.yml"
ONLY = ("--limit", "mac-mini")
FOLDER = "/Library/Application Support/ollama-fleet"
RECORD = f"{FOLDER}/power.json"
LABEL = "ollama-fleet.gpu-limit"
JOB, JOB_FILE = f"system/{LABEL}", f"/Library/LaunchDaemons/{LABEL}.plist"
LIMIT = "iogpu.wired_limit_mb"
PMSET, SYSCTL = "/usr/bin/pmset", "/usr/sbin/sysctl"
UPDATES = "/Library/Preferences/com.apple.SoftwareUpdate.plist"
NUMBER = 12000
LIMITED = ("-e", f"power_gpu_wired_limit_mib={NUMBER}")
BEFORE = {"autorestart": {"AC Power": 0}, "disksleep": {"AC Power": 10}, "sleep": {"AC Power": 1}}
AWAKE = {"autorestart": 1, "disksleep": 0, "sleep": 0, "womp": 1}
REMEMBER, FORGET = ("remember", RECORD), ("forget", RECORD)
SET_LIMIT, WRITE, BOOTSTRAP = ("set", LIMIT), ("write", JOB_FILE), ("bootstrap", JOB)


def settings(mac, source="AC Power"):
    """Return what a Mac's settings are on a source."""
    found, section = {}, ""
    for line in mac.run(PMSET, "-g", "custom").splitlines():
        if line.endswith(":"):
            section = line[:-1]
        elif section == source:
            name, value = line.split()[:2]
            found[name] = int(value)
    return found


def awake(mac):
    return {name: value for name, value in settings(mac).items() if name in AWAKE}


def limit(mac):
    return int(mac.run(SYSCTL, "-n", LIMIT))


def record(mac):
    return json.loads(mac.run("cat", RECORD))["before"]


def everything(mac):
    """Return all that a look must not change."""
    return settings(mac), limit(mac), mac.run_all("cat", RECORD, JOB_FILE), mac.run_all("/bin/launchctl", "print", JOB)


def servers(fleet, *words, only=ONLY):
    run = fleet.play(PLAYBOOK, *only, *words)
    assert run.rc == 0, run.screen
    return run


def looked_at_and_done(fleet, mini, steps, *words):
    """Assert that a look names these steps and touches nothing, that a run takes them, and that nothing is left afterwards."""
    before = everything(mini)
    look = servers(fleet, "--check", "--diff", *words)
    assert look.steps("mac-mini") == steps
    assert everything(mini) == before, "check mode touched something"
    run = servers(fleet, *words)
    assert run.steps("mac-mini") == steps
    again = servers(fleet, *words)
    assert again.changed("mac-mini") == 0
    assert len(again.module_runs("mac-mini")) <= 3
    return look, run


def told(run, *words):
    said = " ".join(run.screen.split())
    assert [word for word in words if word not in said] == [], run.screen


@pytest.fixture(autouse=True)
def _as_asked_again(request, fleet):
    """Leave the Mac as the inventory asks, so that one failure does not spoil the tests after it."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        fleet.play(PLAYBOOK, *ONLY)


def test_the_converged_mini_stays_awake_and_knows_how_it_was(mini):
    assert awake(mini) == AWAKE
    assert record(mini) == BEFORE
    assert mini.run("stat", "-f", "%Su %OLp", RECORD) == "root 644\n"


def test_the_laptop_is_as_its_owner_has_it(fleet):
    pro = fleet.mac("macbook-pro")
    assert "No such file" in pro.run_all("ls", RECORD)
    assert "No such file" in pro.run_all("ls", "/var/db/virtual-mac/journal/pmset.log"), "it was asked although it is not ours"
    assert (settings(pro)["sleep"], settings(pro, "Battery Power")["sleep"]) == (1, 1)


def test_drift_is_named_and_mended_and_what_was_before_stays_known(fleet, mini):
    mini.run(PMSET, "-a", "sleep", "15", "womp", "0", user="root")
    # What it was before the first change is still 1, not 15; womp is changed for the first time.
    steps = [REMEMBER, ("set", "sleep"), ("set", "womp")]
    assert servers(fleet, "--check", "--diff", "-e", "fleet_fast_path=false").steps("mac-mini") == steps
    looked_at_and_done(fleet, mini, steps)
    assert awake(mini) == AWAKE
    assert record(mini) == {**BEFORE, "womp": {"AC Power": 0}}


def test_what_is_no_longer_asked_for_is_given_back(fleet, mini):
    fewer = ("-e", json.dumps({"power_settings": {"autorestart": 1, "disksleep": 0, "sleep": 0}}))
    looked_at_and_done(fleet, mini, [("set", "womp"), FORGET], *fewer)
    assert awake(mini) == {**AWAKE, "womp": 0}
    assert record(mini) == BEFORE
    mini.run(PMSET, "-a", "womp", "1", user="root")
    assert servers(fleet).changed("mac-mini") == 0


def test_a_laptop_that_is_asked_to_stay_awake_does_so_on_mains_alone(fleet):
    pro, only = fleet.mac("macbook-pro"), ("--limit", "macbook-pro")
    battery = settings(pro, "Battery Power")
    asked = ("-e", json.dumps({"power_managed": True, "power_settings": {"autorestart": 1, "sleep": 0}}))
    run = servers(fleet, *asked, only=only)
    assert run.steps("macbook-pro") == [REMEMBER, ("set", "sleep")]
    assert (settings(pro)["sleep"], settings(pro, "Battery Power")) == (0, battery)
    told(fleet.screen(PLAYBOOK, *only, *asked), "autorestart: this Mac cannot do it", "with its lid closed")
    back = servers(fleet, "-e", '{"power_managed": false}', only=only)
    assert back.steps("macbook-pro") == [("set", "sleep"), FORGET]
    assert (settings(pro)["sleep"], settings(pro, "Battery Power")) == (1, battery)


def test_a_virtual_machine_is_told_of_what_it_lacks_and_is_not_changed_for_ever(fleet, mini):
    """pmset would take both in silence and show neither."""
    mini.run(PMSET, "-a", "autorestart", "0", user="root")
    with fleet.trouble("mac-mini", "pmset-lacks"):
        run = fleet.screen(PLAYBOOK, *ONLY, "--check")
        told(run, "autorestart, womp: this Mac cannot do it", "after a power cut somebody must switch it on")
        first = servers(fleet)
        assert first.steps("mac-mini") == [FORGET]
        assert servers(fleet).changed("mac-mini") == 0
    assert ("set", "autorestart") in servers(fleet).steps("mac-mini")
    assert awake(mini) == AWAKE


def test_updates_that_restart_the_mac_are_told(fleet, mini):
    content = plistlib.dumps({"AutomaticallyInstallMacOSUpdates": True}).decode()
    fleet.lab("exec", "mac-mini", "--user", "root", "--", "tee", UPDATES, text=content)
    try:
        told(fleet.screen(PLAYBOOK, *ONLY), "macOS installs its updates by itself", "the service waits for a login")
    finally:
        mini.run("rm", UPDATES, user="root")
    assert "installs its updates" not in fleet.screen(PLAYBOOK, *ONLY).screen


def test_a_limit_of_the_gpu_is_in_the_budget_and_one_that_leaves_too_little_is_refused(fleet):
    def budget(*words):
        run = fleet.screen("playbooks/preflight.yml", *ONLY, *words)
        assert run.rc == 0, run.screen
        return re.search(r"GPU limit ([\d.]+)", run.screen)[1]

    assert (budget(), budget(*LIMITED)) == ("10.4", "11.5")  # with 1 GiB kept free by the server
    run = fleet.play("playbooks/preflight.yml", *ONLY, "-e", "power_gpu_wired_limit_mib=15000")
    assert run.rc != 0
    for words in ("power_gpu_wired_limit_mib", "found 15000", "at most 12569", "ram_budget_reserve_gb"):
        assert words in run.messages("mac-mini")


def test_a_limit_holds_now_and_after_a_restart_and_goes_with_its_job(fleet, mini):
    looked_at_and_done(fleet, mini, [SET_LIMIT, WRITE, BOOTSTRAP], *LIMITED)
    assert limit(mini) == NUMBER
    pid = mini.pid()
    mini.run(SYSCTL, f"{LIMIT}=0", user="root")
    assert servers(fleet, *LIMITED).steps("mac-mini") == [SET_LIMIT]
    looked_at_and_done(fleet, mini, [SET_LIMIT, WRITE, ("reload", JOB)], "-e", "power_gpu_wired_limit_mib=11000")
    assert limit(mini) == 11000
    assert mini.pid() == pid, "a healthy service was restarted"

    fleet.lab("reboot", "mac-mini")
    mini.wait(lambda: limit(mini) == 11000)
    assert awake(mini) == AWAKE
    fleet.lab("login", "mac-mini")
    mini.wait(mini.answers)
    assert servers(fleet, "-e", "power_gpu_wired_limit_mib=11000").steps("mac-mini") == []

    looked_at_and_done(fleet, mini, [("bootout", JOB), ("remove", JOB_FILE), SET_LIMIT])
    assert limit(mini) == 0
    fleet.lab("reboot", "mac-mini", "--login")
    mini.wait(mini.answers)
    assert limit(mini) == 0


def test_a_teardown_gives_everything_back(fleet, mini):
    servers(fleet, *LIMITED)
    look = fleet.play("playbooks/teardown.yml", *ONLY, "--check")
    run = fleet.play("playbooks/teardown.yml", *ONLY, "-e", "teardown_confirm=mac-mini")
    assert run.rc == 0, run.screen
    ours = [step for step in run.steps("mac-mini") if step[1] in (*AWAKE, RECORD, JOB, JOB_FILE, LIMIT)]
    assert ours == [
        ("set", "autorestart"), ("set", "disksleep"), ("set", "sleep"), FORGET, ("bootout", JOB), ("remove", JOB_FILE), SET_LIMIT,
    ]  # fmt: skip
    assert look.steps("mac-mini") == run.steps("mac-mini")
    assert awake(mini) == {"autorestart": 0, "disksleep": 10, "sleep": 1, "womp": 1}
    assert limit(mini) == 0
    assert "No such file" in mini.run_all("ls", FOLDER)
    assert servers(fleet).rc == 0
    assert record(mini) == BEFORE
