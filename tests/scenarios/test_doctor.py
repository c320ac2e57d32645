"""The doctor names what is wrong with each Mac, and nothing else; two faults are looked at in one run, one on each."""

from __future__ import annotations

import contextlib
import json

import pytest

from tests.support.faults import pairs

MACS = ("mac-mini", "macbook-pro")
PLAY = "playbooks/doctor.yml"
ROUNDS = pairs()
FIRST = 4
"""So many rounds are looked at at each change: what the owner's troubleshooting names."""


@pytest.fixture
def doctor(fleet, tmp_path):
    """Return a function that examines the fleet, and gives the run and each Mac's entry in the report."""

    def examine(*words, variables=None):
        given = json.dumps({"doctor_reports_path": str(tmp_path), **(variables or {})})
        run = fleet.screen(PLAY, "-e", given, *words)
        report = tmp_path / "doctor.json"
        assert report.exists(), run.screen
        return run, {host["host"]: host for host in json.loads(report.read_text())["hosts"]}

    return examine


def ids(entry):
    """Return the ids of a Mac's diagnoses, each once."""
    return sorted({one["id"] for one in entry["diagnoses"]})


def look_at(fleet, doctor, faults):
    """Make one fault on each Mac, examine the fleet, and hold what is said of each against its fault."""
    with contextlib.ExitStack() as troubles:
        for name, fault in zip(MACS, faults, strict=False):
            troubles.enter_context(fault.trouble(fleet.mac(name)))
        run, hosts = doctor()
    for name, fault in zip(MACS, faults, strict=False):
        assert ids(hosts[name]) == sorted(fault.ids), f"{name}, {fault}:\n{run.screen}"
        text = json.dumps(hosts[name]["diagnoses"])
        assert all(word in text for word in fault.words), f"{name}, {fault}: {text}"
    worst = {one["severity"] for host in hosts.values() for one in host["diagnoses"]}
    assert (run.rc == 0) == (worst <= {"note"}), run.screen


def test_a_healthy_fleet_is_called_so_with_what_was_checked(doctor):
    run, hosts = doctor()
    assert run.rc == 0, run.screen
    for name in MACS:
        assert hosts[name]["verdict"] == "healthy"
        assert hosts[name]["diagnoses"] == []
        assert {check["state"] for check in hosts[name]["checks"]} == {"ok"}, hosts[name]["checks"]


@pytest.mark.parametrize("faults", ROUNDS[:FIRST], ids=lambda faults: ", ".join(map(str, faults)))
def test_what_goes_wrong_most_is_named_and_nothing_else(fleet, doctor, faults):
    look_at(fleet, doctor, faults)


@pytest.mark.parametrize("faults", ROUNDS[FIRST:], ids=lambda faults: ", ".join(map(str, faults)))
def test_each_other_fault_is_named_and_nothing_else(fleet, doctor, faults):
    look_at(fleet, doctor, faults)


def test_a_fleet_that_is_away_is_told_and_half_of_it_too(fleet, doctor):
    fleet.lab("sleep", "macbook-pro")
    try:
        run, hosts = doctor()
        assert run.rc == 0, run.screen
        assert ids(hosts["macbook-pro"]) == ["reach.asleep"]
        assert hosts["mac-mini"]["verdict"] == "healthy"
        with fleet.trouble("mac-mini", "unreachable"):
            run, hosts = doctor()
        assert run.rc != 0
        assert ids(hosts["mac-mini"]) == ["host.unreachable"]
    finally:
        fleet.lab("wake", "macbook-pro")


def test_what_was_not_asked_is_said_where_a_run_is_limited(fleet, doctor):
    run, hosts = doctor("--limit", "mac-mini")
    assert run.rc == 0, run.screen
    assert list(hosts) == ["mac-mini"]
    states = {check["name"]: check for check in hosts["mac-mini"]["checks"]}
    assert states["reached by others"]["state"] == "not_checked"
    assert "no other machine is part of this run" in states["reached by others"]["why"]


def test_a_fleet_without_servers_is_a_sentence(fleet, tmp_path):
    given = {"doctor_reports_path": str(tmp_path), "doctor_servers": []}
    run = fleet.screen(PLAY, "-e", json.dumps(given))
    assert run.rc == 4, run.screen
    assert json.loads((tmp_path / "doctor.json").read_text())["status"] == "not_asked"
    assert "no server is part of this run" in " ".join(run.screen.split())


def test_a_rule_for_another_network_and_another_address_are_named(fleet, doctor):
    """What the inventory says is not what the Mac was set up with."""
    servers = ("playbooks/servers.yml", "--limit", "mac-mini")
    assert fleet.screen(*servers, "-e", json.dumps({"exposure_networks": ["10.9.0.0/16"]})).rc == 0
    try:
        _, hosts = doctor()
        assert ids(hosts["mac-mini"]) == ["reach.packet_filter_blocks"]
        assert ids(hosts["macbook-pro"]) == []
        run, hosts = doctor(variables={"exposure_networks": ["10.9.0.0/16"]})
        assert "reach.packet_filter_blocks" in ids(hosts["mac-mini"]), run.screen
    finally:
        assert fleet.screen(*servers).rc == 0
    run, hosts = doctor("--limit", "mac-mini,windows-msi", variables={"fleet_tailnet_ip": "100.99.99.99"})
    assert ids(hosts["mac-mini"]) == ["reach.tailnet_address"], run.screen


def test_one_machine_that_fails_alone_is_not_the_servers_fault(fleet, doctor):
    fleet.on("windows-msi", "ip", "route", "add", "blackhole", "100.115.10.14", user="root")
    try:
        _, hosts = doctor()
    finally:
        fleet.on("windows-msi", "ip", "route", "del", "blackhole", "100.115.10.14", user="root")
    (one,) = hosts["mac-mini"]["diagnoses"]
    assert (one["id"], one["item"]) == ("reach.one_machine", "windows-msi")
    assert hosts["macbook-pro"]["diagnoses"] == []


def test_a_machine_that_is_kept_out_as_declared_is_a_note(fleet, doctor):
    """Bound to itself by the inventory: nobody else is to be served, and to them that looks like a fault."""
    environment = fleet.mac("mac-mini").definition()["EnvironmentVariables"]
    given = {"ollama_service_environment": {**environment, "OLLAMA_HOST": "127.0.0.1"}}
    servers = ("playbooks/servers.yml", "--limit", "mac-mini")
    assert fleet.screen(*servers, "-e", json.dumps(given)).rc == 0
    try:
        run, hosts = doctor("--limit", "mac-mini,windows-msi", variables=given)
    finally:
        assert fleet.screen(*servers).rc == 0
    assert run.rc == 0, run.screen
    assert ids(hosts["mac-mini"]) == ["reach.not_exposed"]
