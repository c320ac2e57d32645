"""Open to the fleet, closed to everyone else: asked by real connections from every place, whatever happens to pf."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.drifts import SOCKETFILTERFW
from tests.support.fleet import BIN, ROOT

PLAYBOOK = "playbooks/servers.yml"
ONLY = ("--limit", "mac-mini")
ANCHOR = "com.apple/100.ollama-fleet"
LABEL = "ollama-fleet.exposure"
FOLDER = "/Library/Application Support/ollama-fleet"
RULES, PROGRAM, JOB_FILE = f"{FOLDER}/exposure.pf", f"{FOLDER}/exposure", f"/Library/LaunchDaemons/{LABEL}.plist"
STATE = "/var/run/ollama-fleet.exposure"
LOAD, BOOTSTRAP = ("load", ANCHOR), ("bootstrap", f"system/{LABEL}")
# The job runs once a minute.
A_RUN_OF_THE_JOB = 100

ADDRESSES = {
    "lan": "192.168.1.20",
    "lan six": "[fd00:1::20]",
    "link-local": "",  # known only to the running Mac
    "tailnet": "100.115.10.14",
    "tailnet six": "[fd7a:115c:a1e0::e]",
}
LAN, TAILNET = {"lan", "lan six", "link-local"}, {"tailnet", "tailnet six"}


def as_root(mini, *argv, check=True):
    return mini.run(*argv, user="root", check=check)


def pfctl(mini, *argv, check=True):
    return as_root(mini, "/sbin/pfctl", *argv, check=check)


def link_local(mini):
    shown = as_root(mini, "ip", "-6", "-o", "address", "show", "dev", "en0", "scope", "link")
    return f"[{shown.split('inet6 ')[1].split('/')[0]}%25en0]"


def gets_in(fleet, host, address, user="felipe"):
    """Tell whether a connection from a host is answered; blocked ones are refused at once, so nothing waits long."""
    words = ["curl", "-sS", "--globoff", "-o", "/dev/null", "--max-time", "5", f"http://{address}:11434/"]
    return fleet.lab("exec", host, "--user", user, "--", *words, check=False).returncode == 0


def ways_in(fleet, mini, host):
    addresses = {**ADDRESSES, "link-local": link_local(mini)}
    return {name for name, address in addresses.items() if gets_in(fleet, host, address)}


def a_stranger_gets_in(fleet):
    return [address for address in ("192.168.1.20", "[fd00:1::20]") if gets_in(fleet, "outsider", address, user="guest")]


def closed(fleet):
    """Assert that the port is served, and closed to a stranger: the one without the other proves nothing."""
    assert gets_in(fleet, "windows-msi", ADDRESSES["tailnet"])
    assert a_stranger_gets_in(fleet) == []


def module(fleet, *words):
    """Run the module by itself on the Mac."""
    done = subprocess.run(
        [str(BIN / "ansible"), "-i", "inventory", "-i", "lab/inventory", "mac-mini", "-b", "-m", "packet_filter", *words],
        capture_output=True, text=True, env=fleet.environment, cwd=ROOT, check=False, stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def servers(fleet, *words):
    run = fleet.play(PLAYBOOK, *ONLY, *words)
    assert run.rc == 0, run.screen
    return run


def exposure_steps(run):
    return [step for step in run.steps("mac-mini") if "ollama-fleet" in step[1]]


def traces(mini):
    """Return everything that a look must not change."""
    files = 'for f in "$@"; do stat -f "%N %OLp %u" "$f"; test -f "$f" && cat "$f"; done; true'
    return (
        as_root(mini, "sh", "-c", files, "sh", FOLDER, RULES, PROGRAM, JOB_FILE, "/etc/pf.conf"),
        pfctl(mini, "-a", "*", "-sr"),
        pfctl(mini, "-s", "References"),
        mini.run_all("/bin/launchctl", "print-disabled", "system"),
    )


def the_job_runs(mini):
    """Let launchd start the job now, and wait until it has told."""
    told = as_root(mini, "stat", "-f", "%i", STATE)
    as_root(mini, "/bin/launchctl", "kickstart", f"system/{LABEL}", check=False)  # it may be running
    mini.wait(lambda: as_root(mini, "stat", "-f", "%i", STATE) != told)


@pytest.fixture(autouse=True)
def _guarded_again(request, fleet):
    """Leave the Mac guarded, so that one failure does not spoil the tests after it."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        fleet.play(PLAYBOOK, *ONLY)


def test_the_fleet_gets_in_by_every_address_and_a_stranger_by_none(fleet, mini):
    for host in ("mac-mini", "macbook-pro", "windows-msi"):
        assert ways_in(fleet, mini, host) == LAN | TAILNET, host
    closed(fleet)


SLOW_CLIENT = """\
import os, socket, time
line = socket.create_connection(("192.168.1.20", 11434))
line.sendall(b"GET /api/version HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n")
open("/home/felipe/half", "w").close()
while not os.path.exists("/home/felipe/go"):
    time.sleep(0.05)
line.settimeout(10)
line.sendall(b"\\r\\n")
print(line.recv(4096).decode())
"""


def test_it_can_be_taken_away_and_comes_back_without_cutting_a_connection(fleet, mini):
    before = pfctl(mini, "-sr"), as_root(mini, "cat", "/etc/pf.conf")
    module(fleet, "-a", "state=absent")
    assert a_stranger_gets_in(fleet) == ["192.168.1.20", "[fd00:1::20]"]
    # The folder holds what others of the fleet keep there.
    for path in (RULES, PROGRAM, JOB_FILE, STATE):
        assert "No such file" in mini.run_all("ls", path)
    assert pfctl(mini, "-a", ANCHOR, "-sr") == ""
    assert "changed: false" in module(fleet, "-a", "state=absent")

    command = 'rm -f /home/felipe/half /home/felipe/go; nohup /usr/bin/python3 -c "$1" >/home/felipe/answer 2>&1 </dev/null &'
    fleet.on("windows-msi", "sh", "-c", command, "sh", SLOW_CLIENT)
    mini.wait(lambda: fleet.lab("exec", "windows-msi", "--", "test", "-e", "/home/felipe/half", check=False).returncode == 0)
    steps = [("write", RULES), ("write", PROGRAM), LOAD, ("write", JOB_FILE), BOOTSTRAP]
    assert exposure_steps(servers(fleet, "--check", "--diff")) == steps
    assert exposure_steps(servers(fleet)) == steps
    fleet.on("windows-msi", "touch", "/home/felipe/go")
    mini.wait(lambda: "version" in fleet.on("windows-msi", "cat", "/home/felipe/answer"))
    closed(fleet)
    assert (pfctl(mini, "-sr"), as_root(mini, "cat", "/etc/pf.conf")) == before


@pytest.mark.parametrize(("scope", "open_to_windows"), [("tailnet", TAILNET), ("loopback", set()), ("lan", LAN | TAILNET)])
def test_a_scope_lets_in_what_it_says(fleet, mini, scope, open_to_windows):
    """A neighbour on the same wire stays out of the tailnet's scope; the Mac itself gets in by each of its addresses."""
    steps = [("write", RULES), LOAD]
    before = traces(mini)
    wanted = ("-e", f"exposure_scope={scope}")
    assert exposure_steps(servers(fleet, "--check", "--diff", *wanted)) == steps
    assert traces(mini) == before, "check mode touched something"
    assert exposure_steps(servers(fleet, *wanted)) == steps
    assert ways_in(fleet, mini, "windows-msi") == open_to_windows
    assert ways_in(fleet, mini, "mac-mini") == LAN | TAILNET
    assert a_stranger_gets_in(fleet) == []


def test_runs_leak_no_reference_and_touch_nobody_elses(fleet, mini):
    pfctl(mini, "-a", "com.apple/200.another", "-f", "/etc/pf.anchors/com.apple")
    said = fleet.lab("exec", "mac-mini", "--user", "root", "--", "/sbin/pfctl", "-E").stderr
    token = said.split("Token : ")[1].split()[0]
    before = pfctl(mini, "-a", "com.apple/200.another", "-sr"), pfctl(mini, "-s", "References").count("pfctl")
    for _ in range(3):
        as_root(mini, PROGRAM)
    assert (pfctl(mini, "-a", "com.apple/200.another", "-sr"), pfctl(mini, "-s", "References").count("pfctl")) == before
    pfctl(mini, "-X", token)
    closed(fleet)
    pfctl(mini, "-a", "com.apple/200.another", "-F", "all")


def test_rules_that_were_flushed_are_back_within_a_minute_without_ansible(fleet, mini):
    pfctl(mini, "-a", ANCHOR, "-F", "all")
    assert a_stranger_gets_in(fleet)
    mini.wait(lambda: not a_stranger_gets_in(fleet), A_RUN_OF_THE_JOB)
    closed(fleet)


@pytest.mark.parametrize("harm", [("-d",), ("-a", ANCHOR, "-F", "Tables")], ids=["off", "no table"])
def test_the_job_puts_right_whatever_else_was_done_to_pf(fleet, mini, harm):
    pfctl(mini, *harm)
    assert a_stranger_gets_in(fleet) if harm == ("-d",) else not gets_in(fleet, "windows-msi", ADDRESSES["tailnet"])
    the_job_runs(mini)
    closed(fleet)


def test_afterwards_somebody_is_told_and_nothing_is_left_to_do(fleet):
    run = servers(fleet)
    assert exposure_steps(run) == []
    assert "its rules were gone or it was off" in run.screen


def test_drift_of_files_and_job_is_named_and_mended(fleet, mini):
    harm = f"""
    echo 'pass in quick' >> '{RULES}'; chmod 0777 '{FOLDER}'; chown felipe '{PROGRAM}'
    launchctl bootout system/{LABEL}; launchctl disable system/{LABEL}; rm '{JOB_FILE}'
    """
    as_root(mini, "sh", "-c", harm)
    mini.wait(lambda: "Could not find service" in mini.run_all("/bin/launchctl", "print", f"system/{LABEL}"))
    pfctl(mini, "-a", ANCHOR, "-F", "all")
    before = traces(mini)
    steps = [
        ("protect", FOLDER), ("write", RULES), ("write", PROGRAM), LOAD,
        ("enable", f"system/{LABEL}"), ("write", JOB_FILE), BOOTSTRAP,
    ]  # fmt: skip
    assert exposure_steps(servers(fleet, "--check", "--diff")) == steps
    assert exposure_steps(servers(fleet, "--check", "--diff", "-e", "fleet_fast_path=false")) == steps
    assert traces(mini) == before, "check mode touched something"
    assert exposure_steps(servers(fleet)) == steps
    assert exposure_steps(servers(fleet, "-e", "fleet_fast_path=false")) == []
    closed(fleet)


def test_the_application_firewall_is_another_gate(fleet, mini):
    try:
        as_root(mini, SOCKETFILTERFW, "--setglobalstate", "off")
        closed(fleet)
        as_root(mini, SOCKETFILTERFW, "--setglobalstate", "on")
        as_root(mini, SOCKETFILTERFW, "--setblockall", "on")
        mini.wait(lambda: not gets_in(fleet, "windows-msi", ADDRESSES["tailnet"]))
        assert a_stranger_gets_in(fleet) == []
    finally:
        as_root(mini, SOCKETFILTERFW, "--setblockall", "off")
    mini.wait(lambda: gets_in(fleet, "windows-msi", ADDRESSES["tailnet"]))


def test_an_update_that_writes_pf_conf_anew_changes_nothing(fleet, mini):
    """Apple's file, written and loaded again as a system update does."""
    text = as_root(mini, "cat", "/etc/pf.conf")
    fleet.lab("exec", "mac-mini", "--user", "root", "--", "tee", "/etc/pf.conf", text=text + "# of the update\n")
    pfctl(mini, "-f", "/etc/pf.conf")
    closed(fleet)
    assert exposure_steps(servers(fleet)) == []


def test_main_rules_that_lead_nowhere_are_an_error_in_words(fleet, mini):
    pfctl(mini, "-F", "all")
    assert a_stranger_gets_in(fleet)
    the_job_runs(mini)
    run = fleet.screen(PLAYBOOK, *ONLY)
    assert run.rc != 0
    said = " ".join(run.screen.split())
    for words in ("mac-mini: packet filter:", "port 11434 is open", "sudo pfctl -f /etc/pf.conf", "Nothing was changed"):
        assert words in said
    pfctl(mini, "-f", "/etc/pf.conf")
    closed(fleet)
    the_job_runs(mini)
    assert exposure_steps(servers(fleet)) == []


def test_after_a_restart_it_is_closed_before_anybody_logs_in(fleet, mini):
    """Nobody is at the screen, so Ollama does not run; something else holds its port, and the application firewall is off."""
    as_root(mini, SOCKETFILTERFW, "--setglobalstate", "off")
    try:
        fleet.lab("reboot", "mac-mini")
        assert not mini.answers()
        serve = "nohup /usr/bin/python3 -m http.server 11434 --bind :: >/dev/null 2>&1 </dev/null & echo $!"
        process = mini.run("sh", "-c", serve).strip()
        mini.wait(lambda: gets_in(fleet, "windows-msi", ADDRESSES["tailnet six"]))
        mini.wait(lambda: "== end" in mini.run_all("cat", STATE))
        assert gets_in(fleet, "windows-msi", ADDRESSES["lan"])
        assert a_stranger_gets_in(fleet) == []
        assert "mended 2" not in as_root(mini, "cat", STATE)
        mini.run("kill", process)
    finally:
        as_root(mini, SOCKETFILTERFW, "--setglobalstate", "on")
        fleet.lab("login", "mac-mini")
    mini.wait(mini.answers)
    closed(fleet)
    assert exposure_steps(servers(fleet)) == []
