"""What a Mac does by itself about memory that runs out and a server that is silent, and whom it tells."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess

import pytest

RESIDENT, HEAVY = "qwen3:8b", "gpt-oss:20b"
HOME = "/Users/felipe"
PLACE = f"{HOME}/Library/Application Support/ollama-fleet"
LOG = f"{HOME}/Library/Logs/Ollama/ollama-fleet.heal.log"
JOB, RESIDENTS = "gui/501/com.user.ollama.heal", "gui/501/com.user.ollama.residents"
TOKEN = "T0KEN-of-nobody"
HOOK = f"http://100.101.102.103:8099/{TOKEN}"
INTERVAL = 10
"""launchd starts a job no oftener than every ten seconds; a test need not wait a minute."""

WISH = {
    "healer_acts_per_hour": 60,
    "healer_cool_down": 30,
    "healer_interval": INTERVAL,
    "healer_resident_grace": 30,
    "healer_start_grace": 20,
    "healer_webhook_url": HOOK,
    # The small model that comes and goes here is in no list.
    "ollama_models_unlisted": "keep",
    # So that it is the healer who notices.
    "ollama_residents_interval": 3600,
}

RECEIVER = """\
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/home/felipe/received", "ab") as file:
            file.write(self.path.encode() + b" " + body + b"\\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

server = http.server.HTTPServer(("0.0.0.0", 8099), Handler)
print("ready", flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def receiver(fleet):
    """Have the machine beside the Macs take what is posted; return a function that reads it."""
    fleet.lab("exec", "windows-msi", "--user", "felipe", "--", "tee", "/home/felipe/receiver.py", text=RECEIVER)
    process = subprocess.Popen(
        fleet.lab_command("exec", "windows-msi", "--user", "felipe", "--", "python3", "/home/felipe/receiver.py"),
        stdout=subprocess.PIPE, text=True, env=fleet.environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def received():
        text = fleet.on("windows-msi", "cat", "/home/felipe/received", check=False)
        assert all(line.startswith(f"/{TOKEN} ") for line in text.splitlines())
        return [json.loads(line.partition(" ")[2]) for line in text.splitlines()]

    yield received
    process.kill()
    process.wait(30)


def play(fleet, *words, **wish):
    return fleet.play("playbooks/servers.yml", "--limit", "mac-mini", "-e", json.dumps({**WISH, **wish}), *words)


@pytest.fixture(scope="module")
def mac(fleet, receiver):
    """Return the Mac that is always on, watched every ten seconds."""
    run = play(fleet, "--diff", "-vvv")
    assert run.rc == 0, run.screen
    assert run.steps("mac-mini") == [
        ("write", f"{HOME}/Library/LaunchAgents/com.user.ollama.residents.plist"),
        ("reload", RESIDENTS),
        ("write", f"{PLACE}/desired-state.json"),
        ("write", f"{PLACE}/heal.webhook"),
        ("write", f"{HOME}/Library/LaunchAgents/com.user.ollama.heal.plist"),
        ("reload", JOB),
    ]
    assert TOKEN not in run.screen
    one = fleet.mac("mac-mini")
    one.api("POST", "/api/pull", {"model": "tiny", "stream": False})
    yield one
    one.api("DELETE", "/api/delete", {"model": "tiny"})
    one.run("rm", "-f", f"{PLACE}/heal.webhook")
    assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0


def loaded(mac):
    """Return what is in memory, each with whether it is pinned."""
    if not mac.answers():
        return {}
    return {model["name"]: int(model["expires_at"][:4]) > 2200 for model in mac.api("GET", "/api/ps")["models"]}


def state(mac):
    return json.loads(mac.run("cat", f"{PLACE}/state/heal.json"))


def log(mac):
    return [json.loads(line) for line in mac.run("cat", LOG).splitlines()]


def runs_of(mac):
    return int(re.search(r"\truns = (\d+)", mac.run_all("/bin/launchctl", "print", JOB))[1])


def next_look(mac):
    """Wait until the job has looked once more, from its start to its end; return what it left."""
    runs = runs_of(mac)
    mac.wait(lambda: runs_of(mac) > runs, 6 * INTERVAL)
    mac.wait(lambda: "\tpid = " not in mac.run_all("/bin/launchctl", "print", JOB), 40)
    return state(mac)


def in_place(mac):
    mac.wait(lambda: loaded(mac) == {RESIDENT: True}, 180)


def settled(mac):
    """Wait until nothing is wrong and no act could still be held back by the one before."""
    in_place(mac)
    mac.wait(lambda: state(mac)["history"]["over"] == [] and not state(mac)["alerts"]["queue"], 120)
    clock = state(mac)["history"]["clock"]
    mac.wait(lambda: state(mac)["history"]["clock"] > clock + WISH["healer_cool_down"], 180)


def test_the_address_is_in_one_file_that_nobody_else_reads(mac):
    assert mac.run("grep", "-rl", TOKEN, HOME, user="root", check=False).splitlines() == [f"{PLACE}/heal.webhook"]
    assert mac.run("stat", "-f", "%Su %OLp", f"{PLACE}/heal.webhook") == "felipe 600\n"


def test_a_run_that_has_nothing_to_change_changes_nothing_and_a_persons_keys_stay(fleet, mac):
    script = (
        f"import json; p = {f'{PLACE}/desired-state.json'!r}; d = json.load(open(p)); d['mine'] = 1; json.dump(d, open(p, 'w'))"
    )
    mac.run("/usr/bin/python3", "-c", script)
    run = play(fleet)
    assert (run.rc, run.changed("mac-mini")) == (0, 0), run.screen
    assert "healer" not in " ".join(run.module_runs("mac-mini"))
    run = play(fleet, healer_swap_growth_mib=500)
    assert run.steps("mac-mini") == [("write", f"{PLACE}/desired-state.json")]
    assert json.loads(mac.run("cat", f"{PLACE}/desired-state.json"))["mine"] == 1
    assert play(fleet).steps("mac-mini") == [("write", f"{PLACE}/desired-state.json")]


def test_the_story_of_gpt_oss_ends_with_the_resident_in_memory(fleet, mac, receiver):
    """Kept loaded it once drove this Mac 15.6 GB into swap."""
    in_place(mac)
    pid = mac.pid()
    with fleet.trouble("mac-mini", "memory-follows-models", "9216"):
        next_look(mac)
        mac.api("POST", "/api/generate", {"model": HEAVY, "keep_alive": -1})
        mac.wait(lambda: HEAVY not in loaded(mac), 120)
        mac.wait(lambda: any(one.get("item") == HEAVY for one in log(mac)), 30)
        (act,) = [one for one in log(mac) if one.get("item") == HEAVY]
        assert (act["act"], act["cause"]) == ("unload", "memory")
        assert "swap grows by" in act["said"] or "memory pressure" in act["said"]
    in_place(mac)
    assert mac.pid() == pid
    mac.wait(lambda: f"unload {HEAVY}" in {one["cause"] for one in receiver()}, 60)
    (told,) = [one for one in receiver() if one["cause"] == f"unload {HEAVY}"]
    assert (told["host"], told["level"], told["state"]) == ("mac-mini", "warning", "told")
    banners = mac.run("cat", "/var/db/virtual-mac/journal/notifications.log")
    assert f"mac-mini: warning: unload {HEAVY}" in banners


def test_swap_over_the_limit_unloads_what_is_no_resident(fleet, mac):
    settled(mac)
    mac.api("POST", "/api/generate", {"model": "tiny", "keep_alive": -1})
    with fleet.trouble("mac-mini", "swap-used-mb", "9000"):
        in_place(mac)
        assert "swap is 9.4 GB, the limit 8.0 GB" in mac.run("cat", LOG)
        assert state(mac)["history"]["over"] == ["swap"]


def test_over_the_critical_limit_somebody_is_told_and_told_again_when_it_is_over(fleet, mac, receiver):
    settled(mac)
    with fleet.trouble("mac-mini", "swap-used-mb", "13000"):
        mac.wait(lambda: ("swap-critical", "raised") in {(one["cause"], one["state"]) for one in receiver()}, 90)
        assert loaded(mac) == {RESIDENT: True}
    mac.wait(lambda: ("swap-critical", "recovered") in {(one["cause"], one["state"]) for one in receiver()}, 90)


def test_residents_go_only_where_somebody_has_said_so_and_stay_away_until_it_is_over(fleet, mac):
    settled(mac)
    assert play(fleet, healer_unload_residents=True).steps("mac-mini") == [("write", f"{PLACE}/desired-state.json")]
    with fleet.trouble("mac-mini", "swap-used-mb", "13000"):
        mac.wait(lambda: loaded(mac) == {}, 120)
        # Not even by their own job.
        mac.run("/bin/launchctl", "kickstart", RESIDENTS)
        mac.wait(lambda: "residents wait: the healer" in mac.run("cat", f"{PLACE}/state/residents.json"), 60)
        assert loaded(mac) == {}
    in_place(mac)
    assert play(fleet).steps("mac-mini") == [("write", f"{PLACE}/desired-state.json")]


def test_the_playbook_says_what_it_would_do_and_then_does_it(fleet, mac):
    settled(mac)
    mac.boot_out(JOB)
    words = ["playbooks/heal.yml", "--limit", "mac-mini"]
    try:
        mac.api("POST", "/api/generate", {"model": "tiny", "keep_alive": -1})
        with fleet.trouble("mac-mini", "memory-pressure", "4"):
            look = fleet.screen(*words, "--check")
            assert look.rc == 0, look.screen
            assert "would unload tiny:latest" in look.screen
            assert loaded(mac) == {RESIDENT: True, "tiny:latest": True}
            run = fleet.play(*words)
            assert (run.rc, run.changed("mac-mini")) == (0, 1), run.screen
            assert run.module_runs("mac-mini") == ["command"]
            assert "did unload tiny:latest" in run.screen
            assert loaded(mac) == {RESIDENT: True}
    finally:
        mac.run("/bin/launchctl", "bootstrap", "gui/501", f"{HOME}/Library/LaunchAgents/com.user.ollama.heal.plist")
    quiet = fleet.screen(*words, "--check")
    assert "nothing to do" in quiet.screen


def restarts(mac):
    return [one for one in log(mac) if one.get("act") == "restart"]


def test_a_server_that_somebody_took_down_stays_down(mac):
    in_place(mac)
    before = len(restarts(mac))
    mac.boot_out()
    for _ in range(5):
        next_look(mac)
    assert "Could not find service" in mac.run_all("/bin/launchctl", "print", mac.target)
    assert len(restarts(mac)) == before
    assert sum("not loaded in launchd" in one["said"] for one in log(mac)) == 1
    mac.run("/bin/launchctl", "bootstrap", "gui/501", mac.plist)
    in_place(mac)


def test_a_server_that_was_killed_is_launchds_business(mac):
    in_place(mac)
    before, pid = len(restarts(mac)), mac.pid()
    mac.run("kill", "-9", str(pid))
    mac.wait(lambda: mac.pid() not in (None, pid) and mac.answers(), 60)
    in_place(mac)
    assert len(restarts(mac)) == before


def test_a_server_that_hangs_is_started_anew_once(fleet, mac, receiver):
    in_place(mac)
    pid = mac.pid()
    with fleet.trouble("mac-mini", "ollama-hang"):
        mac.wait(lambda: mac.pid() not in (None, pid), 240)
    mac.wait(mac.answers, 60)
    in_place(mac)
    assert len(restarts(mac)) == 1
    mac.wait(lambda: ("server", "recovered") in {(one["cause"], one["state"]) for one in receiver()}, 90)


def test_it_goes_on_after_a_reboot_without_ansible(fleet, mac):
    before = state(mac)["at"]
    fleet.lab("reboot", "mac-mini", "--login")
    mac.wait(mac.answers, 90)
    mac.wait(lambda: state(mac)["at"] > before, 90)
    in_place(mac)


AHEAD = {
    "schema": 1,
    "verb": "heal",
    "at": "2099-01-01T00:00:00Z",
    "history": {
        "clock": 9e8, "uptime": 9e9, "swap": 0, "summary": 9e9, "silent": 2, "silent_since": 9e9, "pid_since": 9e9,
        "acts": [{"clock": 9e9, "kind": "unload", "item": "x", "cause": "memory"}], "seen": {"x": 9e9},
    },
    "alerts": {"standing": {"memory": {"since": 9e9, "sent": 9e9, "level": "note", "text": "x", "event": False}}, "queue": []},
}  # fmt: skip


def test_a_state_from_the_future_and_one_that_is_broken_keep_it_from_nothing(fleet, mac):
    in_place(mac)
    for text in (json.dumps(AHEAD), "{"):
        fleet.lab("exec", "mac-mini", "--user", "felipe", "--", "tee", f"{PLACE}/state/heal.json", text=text)
        seen = next_look(mac)
        assert seen["at"] < "2099"
        assert seen["history"]["silent"] == 0
    assert mac.run("cat", f"{PLACE}/state/heal.json.corrupt") == "{"
    assert any("is set aside as heal.json.corrupt" in one["said"] for one in log(mac))
    mac.api("POST", "/api/generate", {"model": "tiny", "keep_alive": -1})
    with fleet.trouble("mac-mini", "memory-pressure", "4"):
        in_place(mac)


@contextlib.contextmanager
def held(mac):
    """Hold the healer's lock, as a run does that is not at its end."""
    holder = subprocess.Popen(
        mac.fleet.lab_command("exec", mac.name, "--user", "felipe", "--", "flock", f"{PLACE}/state/heal.lock", "sh", "-c",
                              "echo held; read end"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=mac.fleet.environment,
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        yield
    finally:
        holder.stdin.close()
        holder.wait(30)


def test_of_two_at_once_the_second_ends_quietly(mac):
    in_place(mac)
    next_look(mac)
    with held(mac):
        before, lines = state(mac), mac.run("cat", LOG)
        assert next_look(mac) == before
        assert "last exit code = 0" in mac.run_all("/bin/launchctl", "print", JOB)
        assert mac.run("cat", LOG) == lines
    assert next_look(mac) != before


def test_a_full_disk_keeps_it_from_nothing(fleet, mac):
    settled(mac)
    with contextlib.ExitStack() as trouble:
        # In this order, and with the healer held: the lab keeps its faults on the disk that is to be full.
        trouble.enter_context(fleet.trouble("mac-mini", "memory-pressure", "4"))
        with held(mac):
            mac.api("POST", "/api/generate", {"model": "tiny", "keep_alive": -1})
            trouble.enter_context(fleet.trouble("mac-mini", "disk-full"))
            assert "tiny:latest" in loaded(mac)
        in_place(mac)
    in_place(mac)


def test_broken_settings_are_told_with_the_line_and_the_last_good_ones_count(fleet, mac, receiver):
    settled(mac)
    broken = f"{PLACE}/desired-state.json"
    fleet.lab("exec", "mac-mini", "--user", "felipe", "--", "tee", broken, text='{\n "schema": 1,\n}')
    mac.api("POST", "/api/generate", {"model": "tiny", "keep_alive": -1})
    with fleet.trouble("mac-mini", "memory-pressure", "4"):
        in_place(mac)
    mac.wait(lambda: any(one["cause"] == "settings" for one in receiver()), 60)
    (told,) = [one for one in receiver() if one["cause"] == "settings" and one["state"] == "raised"]
    assert told["text"].startswith("desired-state.json line 3: it is not JSON")
    assert play(fleet).steps("mac-mini") == [("write", broken)]
