"""The status of a fleet that is well, in trouble, half there, not there at all, and of one without a Mac."""

from __future__ import annotations

import json
import os
import subprocess

import jsonschema
import pytest

from tests.scenarios.conftest import Story
from tests.support.fleet import BIN, ROOT, Fleet

PLAYBOOK = "playbooks/status.yml"
SCHEMA = json.loads((ROOT / "schemas" / "status.schema.json").read_text())


def read(folder):
    """Return the report of a folder by host, once it was held against the schema."""
    report = json.loads((folder / "status.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    return report, {host["host"]: host for host in report["hosts"]}


@pytest.fixture
def status(fleet, tmp_path):
    """Return a function that asks for the status, and gives the run, the report and its hosts by name."""

    def asked(*words, **variables):
        run = fleet.play(PLAYBOOK, "-e", json.dumps({"status_reports_path": str(tmp_path), **variables}), *words)
        assert all(run.changed(host) == 0 for host in run.stats)
        return run, *read(tmp_path)

    return asked


def table(run):
    """Return the lines that the run printed."""
    (shown,) = [
        result["msg"]
        for results in run.results.values()
        for result in results
        if result.get("action", "").endswith("debug") and isinstance(result.get("msg"), list)
    ]
    return shown


def rules(host):
    return {reason["rule"] for reason in host["reasons"]}


@pytest.fixture
def asleep(fleet):
    """Return a function that puts Macs to sleep for one test."""
    sleeping = []

    def sleep(*names):
        for name in names:
            fleet.lab("sleep", name)
            sleeping.append(name)

    yield sleep
    for name in sleeping:
        fleet.lab("wake", name)


def test_a_fleet_that_is_well_takes_one_look_at_each_mac(status, tmp_path):
    run, report, hosts = status()
    assert run.rc == 0, run.screen
    assert report["status"] == "ok"
    assert [host["health"] for host in report["hosts"]] == ["ok", "ok"]
    for name in ("mac-mini", "macbook-pro"):
        assert run.module_runs(name) == ["mac_facts"]
        host = hosts[name]
        assert host["unknown"] == []
        assert host["drift"]["steps"] == 0
        assert host["ollama"]["answers"] is True
        assert host["ollama"]["bound"] == ["*"]
        assert [(model["name"], model["stays"]) for model in host["models"]["loaded"]] == [("qwen3:8b", True)]
        assert host["memory"]["ram_budget_bytes"] == host["memory"]["memory_bytes"] - 4 * 10**9
        assert host["exposure"]["in_force"] is True
        assert host["firewall"]["rule"] == "allow"
        assert {beat["state"] for beat in host["heartbeats"]} == {"on_time"}
    assert "2 Macs: 2 ok" in "\n".join(table(run))
    page = (tmp_path / "status.html").read_text()
    assert "Loaded now" in page
    assert "GPU limit" in page


def test_what_drifted_and_what_swaps_is_named_and_strict_runs_end_otherwise(fleet, mini, status):
    mini.run("/bin/launchctl", "bootout", f"gui/501/{mini.label}.logs")
    try:
        with fleet.trouble("mac-mini", "swap-used-mb", "14000"), fleet.trouble("mac-mini", "memory-pressure", "4"):
            run, report, hosts = status()
            strict, _, _ = status(status_strict=True)
    finally:
        assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0
    assert run.rc == 0, run.screen
    assert report["status"] == "attention"
    assert hosts["mac-mini"]["health"] == "attention"
    assert {"pressure", "swap", "drift"} <= rules(hosts["mac-mini"])
    assert hosts["mac-mini"]["drift"]["concerns"] == [
        {"concern": "log_rotation", "steps": [f"bootstrap gui/501/{mini.label}.logs"]}
    ]
    assert hosts["macbook-pro"]["health"] == "ok"
    assert strict.rc == 2
    assert "memory pressure is critical" in strict.messages("mac-mini")
    assert strict.messages("macbook-pro") == ""


def test_half_a_fleet_is_told_of_with_what_is_known_of_the_other_half(fleet, mini, status, asleep):
    _, _, before = status()
    asleep("macbook-pro")
    mini.boot_out()
    try:
        run, report, hosts = status()
    finally:
        assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0
    assert run.rc == 0, run.screen
    assert report["status"] == "down"
    assert hosts["mac-mini"]["health"] == "down"
    assert "launchd has no job com.user.ollama" in hosts["mac-mini"]["reasons"][0]["sentence"]
    assert run.module_runs("mac-mini") == ["mac_facts"]
    assert hosts["macbook-pro"]["health"] == "away"
    assert hosts["macbook-pro"]["seen_at"] == before["macbook-pro"]["observed_at"]
    assert run.module_runs("macbook-pro") == []


def test_a_fleet_that_does_not_answer_at_all_is_told_of_and_is_a_failure(status, asleep):
    asleep("mac-mini", "macbook-pro")
    run, report, hosts = status()
    assert run.rc == 4
    assert (hosts["mac-mini"]["health"], hosts["macbook-pro"]["health"]) == ("not_asked", "away")
    assert "felipes-mac-mini.local" in hosts["mac-mini"]["reasons"][0]["sentence"]
    assert report["status"] == "not_asked"
    assert "2 Macs: 1 not asked, 1 away" in "\n".join(table(run))


def test_a_fleet_without_a_mac_says_so(tmp_path):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"children": {"ollama_servers": {"hosts": {}}}}}))
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), "-i", str(inventory), PLAYBOOK, "-e", f"status_reports_path={tmp_path}"],
        capture_output=True, text=True, cwd=ROOT, env=Fleet("nobody").environment, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr
    assert "No Mac was looked at: the group ollama_servers is empty" in done.stdout
    report, hosts = read(tmp_path)
    assert (report["status"], hosts) == ("empty", {})
    assert "No Mac was looked at" in (tmp_path / "status.html").read_text()


def test_twenty_macs_are_looked_at_at_once(tmp_path):
    story = Story(f"status-{os.getpid()}")
    story.lab("up", "--macs", "18")
    try:
        # Twenty Macs on one machine are slow to pick up.
        given = {"status_reports_path": str(tmp_path), "fleet_address_timeout_seconds": 30}
        run = story.play(PLAYBOOK, "-e", json.dumps(given))
    finally:
        story.lab("down")
    assert run.rc == 0, run.screen
    report, hosts = read(tmp_path)
    assert len(hosts) == 20
    for name, host in hosts.items():
        assert host["outcome"] == "asked", host["reasons"]
        assert run.module_runs(name) == ["mac_facts"]
        # Nobody has set them up yet.
        assert host["health"] == "down"
        assert host["drift"]["steps"] > 0
    assert report["status"] == "down"
    assert len(table(run)) > 20
