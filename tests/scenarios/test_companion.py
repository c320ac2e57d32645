"""What a Mac does by itself between two runs of Ansible: residents come back, and logs do not fill the disk."""

from __future__ import annotations

import json
import re

import pytest

RESIDENT = "qwen3:8b"
PLACE = "/Users/felipe/Library/Application Support/ollama-fleet"
LOGS = "/Users/felipe/Library/Logs/Ollama"
JOBS = {verb: f"gui/501/com.user.ollama.{verb}" for verb in ("residents", "logs")}
INTERVAL = 10
"""launchd starts a job no oftener than every ten seconds; a test need not wait a minute."""


@pytest.fixture(scope="module")
def mac(fleet):
    """Return the Mac that is always on, its residents looked after every ten seconds."""
    run = fleet.play("playbooks/servers.yml", "--limit", "mac-mini", "-e", f"ollama_residents_interval={INTERVAL}")
    assert run.rc == 0, run.screen
    assert run.steps("mac-mini") == [
        ("write", "/Users/felipe/Library/LaunchAgents/com.user.ollama.residents.plist"),
        ("reload", JOBS["residents"]),
    ]
    yield fleet.mac("mac-mini")
    assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0


def loaded(mac):
    """Return what is in memory, each with whether it is pinned."""
    if not mac.answers():
        return {}
    return {model["name"]: int(model["expires_at"][:4]) > 2200 for model in mac.api("GET", "/api/ps")["models"]}


def state(mac, verb="residents"):
    return json.loads(mac.run("cat", f"{PLACE}/state/{verb}.json"))


def next_look(mac):
    """Wait until the job has looked once more, from its start to its end; return what it left."""
    runs = runs_of(mac)
    mac.wait(lambda: runs_of(mac) > runs, 3 * INTERVAL)
    mac.wait(lambda: "\tpid = " not in mac.run_all("/bin/launchctl", "print", JOBS["residents"]))
    return state(mac)


def runs_of(mac):
    return int(re.search(r"\truns = (\d+)", mac.run_all("/bin/launchctl", "print", JOBS["residents"]))[1])


def in_place(mac):
    mac.wait(lambda: loaded(mac) == {RESIDENT: True}, 4 * INTERVAL)


def test_a_look_at_a_mac_on_which_all_is_well_leaves_no_line(mac):
    in_place(mac)
    next_look(mac)
    before = mac.run("stat", "-f", "%z", f"{LOGS}/ollama-fleet.residents.log")
    seen = next_look(mac)
    assert (seen["loaded"], seen["waits"]) == ([], [])
    assert mac.run("stat", "-f", "%z", f"{LOGS}/ollama-fleet.residents.log") == before


def test_a_client_that_takes_the_pin_away_does_so_for_a_moment(mac):
    in_place(mac)
    mac.api("POST", "/api/generate", {"model": RESIDENT, "keep_alive": "5m"})
    assert loaded(mac) == {RESIDENT: False}
    in_place(mac)
    assert "it was loaded for a while" in mac.run("cat", f"{LOGS}/ollama-fleet.residents.log")


def test_a_server_that_was_killed_has_its_residents_again(mac):
    before = mac.pid()
    mac.run("kill", "-9", str(before))
    mac.wait(lambda: mac.pid() not in (None, before) and mac.answers(), 40)
    in_place(mac)
    assert mac.pid() != before


def test_residents_are_back_after_a_reboot_without_ansible(fleet, mac):
    fleet.lab("reboot", "mac-mini", "--login")
    mac.wait(mac.answers, 60)
    in_place(mac)


def test_nothing_is_loaded_under_memory_pressure(fleet, mac):
    in_place(mac)
    with fleet.trouble("mac-mini", "memory-pressure", "2"):
        mac.api("POST", "/api/generate", {"model": RESIDENT, "keep_alive": 0})
        next_look(mac)
        seen = next_look(mac)
        assert loaded(mac) == {}
        assert seen["waits"] == [f"{RESIDENT} is not loaded: macOS reports memory pressure"]
    in_place(mac)
    # Said once, however often it looked.
    log = mac.run("cat", f"{LOGS}/ollama-fleet.residents.log")
    assert log.count("macOS reports memory pressure") == 1


def test_a_model_loaded_by_hand_is_not_pushed_out_by_the_resident(mac):
    in_place(mac)
    mac.api("POST", "/api/generate", {"model": RESIDENT, "keep_alive": 0})
    mac.api("POST", "/api/generate", {"model": "gpt-oss:20b", "keep_alive": "5m"})
    mac.wait(lambda: "gpt-oss:20b" in loaded(mac))
    next_look(mac)
    seen = next_look(mac)
    assert loaded(mac) == {"gpt-oss:20b": False}
    assert seen["waits"] == [f"{RESIDENT} waits until gpt-oss:20b has left, which it would push out"]
    mac.api("POST", "/api/generate", {"model": "gpt-oss:20b", "keep_alive": 0})
    in_place(mac)


WRITER = """\
import os, time
number = 0
while True:
    os.write(1, b"%08d %s\\n" % (number, b"x" * 2000))
    number += 1
    time.sleep(0.01)
"""


def test_a_log_that_launchd_holds_open_is_rotated_and_loses_no_line(fleet, mac):
    log, script, plist = "/Users/felipe/writer.log", "/Users/felipe/writer.py", "/Users/felipe/com.test.writer.plist"
    fleet.lab("exec", "mac-mini", "--user", "felipe", "--", "tee", script, text=WRITER)
    definition = {
        "Label": "com.test.writer", "ProgramArguments": ["/usr/bin/python3", script], "RunAtLoad": True, "StandardOutPath": log,
    }  # fmt: skip
    mac.write(plist, definition)
    wish = {"log_rotation_files": [log], "log_rotation_size_mib": 1, "log_rotation_keep": 99, "log_rotation_compress": False}
    changed = ["-e", json.dumps(wish), "-e", f"ollama_residents_interval={INTERVAL}"]
    run = fleet.play("playbooks/servers.yml", "--limit", "mac-mini", *changed)
    # Each run reads its settings anew, so launchd need not be told.
    assert run.steps("mac-mini") == [("write", f"{PLACE}/logs.json")], run.screen
    mac.run("/bin/launchctl", "bootstrap", "gui/501", plist)
    try:
        for turn in range(1, 4):
            mac.wait(lambda: int(mac.run("stat", "-f", "%z", log)) > 1 << 20, 60)
            mac.run("/bin/launchctl", "kickstart", JOBS["logs"])
            mac.wait(lambda turn=turn: f"{log}.{turn}\n" in mac.run_all("sh", "-c", f"ls {log}*"), 60)
    finally:
        mac.boot_out("gui/501/com.test.writer")
    old = sorted(mac.run("sh", "-c", f"ls {log}.*").split(), key=lambda path: -int(path.rpartition(".")[2]))
    numbers = [int(line.split()[0]) for path in [*old, log] for line in mac.run("cat", path).splitlines()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 1000
    assert len(old) >= 3
    mac.run("sh", "-c", f"rm {log}* {script} {plist}")


def test_settings_that_somebody_broke_are_a_line_and_drift(fleet, mac):
    fleet.lab("exec", "mac-mini", "--user", "felipe", "--", "tee", f"{PLACE}/logs.json", text="{")
    mac.run("/bin/launchctl", "kickstart", JOBS["logs"])
    mac.wait(lambda: "last exit code = 65" in mac.run_all("/bin/launchctl", "print", JOBS["logs"]), 30)
    said = mac.run("cat", f"{LOGS}/ollama-fleet.logs.log")
    assert "are not sound" in said
    assert "Traceback" not in said
    run = fleet.play("playbooks/servers.yml", "--limit", "mac-mini", "-e", f"ollama_residents_interval={INTERVAL}")
    assert run.steps("mac-mini") == [("write", f"{PLACE}/logs.json")]


def test_a_mac_whose_last_resident_goes_has_no_job_for_residents_and_gets_it_back(fleet, mac):
    models = [{"name": RESIDENT, "size_gb": 5.2}, {"name": "gpt-oss:20b", "size_gb": 13.8, "swap_risk": "accepted"}]
    words = ["playbooks/servers.yml", "--limit", "mac-mini", "-e", f"ollama_residents_interval={INTERVAL}"]
    run = fleet.play(*words, "-e", json.dumps({"ollama_models_installed": models}))
    assert run.steps("mac-mini") == [
        ("bootout", JOBS["residents"]),
        ("remove", "/Users/felipe/Library/LaunchAgents/com.user.ollama.residents.plist"),
        ("remove", f"{PLACE}/residents.json"),
        ("write", f"{PLACE}/desired-state.json"),
    ], run.screen
    assert "Could not find service" in mac.run_all("/bin/launchctl", "print", JOBS["residents"])
    assert fleet.play(*words, "-e", json.dumps({"ollama_models_installed": models})).changed("mac-mini") == 0
    run = fleet.play(*words)
    assert ("bootstrap", JOBS["residents"]) in run.steps("mac-mini"), run.screen
    in_place(mac)


def test_program_and_jobs_move_with_the_service_to_the_start_of_the_machine_and_back(fleet, mac):
    daemon = {"ollama_service_domain": "system"}
    words = ["playbooks/servers.yml", "--limit", "mac-mini", "-e", f"ollama_residents_interval={INTERVAL}"]
    run = fleet.play(*words, "-e", json.dumps(daemon))
    assert run.rc == 0, run.screen
    again = fleet.play(*words, "-e", json.dumps(daemon))
    assert (again.rc, again.changed("mac-mini")) == (0, 0), again.screen
    assert "No such file or directory" in mac.run_all("ls", f"{PLACE}/ollama-fleet")
    listing = mac.run("sh", "-c", 'cd "/Library/Application Support/ollama-fleet" && stat -f "%N %Su %OLp" . d* logs.json o* r*')
    assert listing.splitlines() == [
        ". root 755", "desired-state.json root 644", "logs.json root 644", "ollama-fleet root 755", "residents.json root 644",
    ]  # fmt: skip
    fleet.lab("reboot", "mac-mini")
    mac.wait(mac.answers, 60)
    in_place(mac)
    # Back again it needs somebody at the screen, as every agent does.
    fleet.lab("login", "mac-mini")
    back = fleet.play(*words)
    assert back.rc == 0, back.screen
    assert fleet.play(*words).changed("mac-mini") == 0
    assert "No such file or directory" in mac.run_all("ls", "/Library/Application Support/ollama-fleet/ollama-fleet")
    in_place(mac)
