"""How a run finds its way to each machine, and what each machine reaches of the others."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from tests.scenarios.test_trouble import told

LOCAL, TAILNET = "felipes-macbook-pro-2.local", "100.125.165.107"
LOOK = ("playbooks/servers.yml", "--limit", "macbook-pro")


def said(run):
    """Return the screen as one line, since long sentences are wrapped."""
    return " ".join(run.screen.split())


def recap(run):
    """Return what is said after the last play."""
    return said(run).rpartition("PLAY [")[2]


@pytest.fixture
def asleep(fleet):
    """Put the MacBook to sleep for one test."""
    fleet.lab("sleep", "macbook-pro")
    yield
    fleet.lab("wake", "macbook-pro")


# The way to a machine. ----------------------------------------------------------------------------------------------------


def test_the_first_address_is_used_and_said(fleet):
    run = fleet.screen(*LOOK)
    assert run.rc == 0, run.screen
    assert f"macbook-pro answers at {LOCAL}" in run.screen


def test_without_its_lan_a_mac_is_reached_over_the_tailnet(fleet):
    with fleet.trouble("macbook-pro", "lan-down"):
        run = fleet.screen(*LOOK)
    assert run.rc == 0, run.screen
    assert f"macbook-pro answers at {TAILNET} ({LOCAL}: " in said(run)


def test_one_connection_is_opened_and_all_tasks_use_it(fleet):
    def logins():
        return fleet.on("macbook-pro", "cat", "/var/db/virtual-mac/sshd.log", user="root").count("Accepted publickey")

    fleet.lab("fault", "macbook-pro", "ssh-cut", "on")
    before = logins()
    run = fleet.play(*LOOK)
    assert run.rc == 0, run.screen
    assert run.module_runs("macbook-pro") == ["mac_facts"]
    assert logins() - before == 1


def test_a_mac_that_must_answer_and_does_not_is_an_error_with_every_address(fleet):
    with fleet.trouble("mac-mini", "lan-down"), fleet.trouble("mac-mini", "tailnet-down"):
        run = fleet.screen("playbooks/servers.yml", "--limit", "mac-mini")
    told(run, "mac-mini does not answer at felipes-mac-mini.local (", "nor at 100.115.10.14 (no answer in time)", "Remote Login")


def test_a_mac_that_is_asleep_is_left_out_and_named_at_the_end(fleet, asleep):
    run = fleet.screen("playbooks/servers.yml")
    assert run.rc == 0, run.screen
    assert f"macbook-pro does not answer at {LOCAL} (no answer in time), nor at {TAILNET} (no answer in time)" in recap(run)
    assert "may be asleep or away" in recap(run)
    assert "mac-mini does not" not in said(run)


@pytest.fixture
def wakes_on_packet(fleet, asleep):
    """Wake the MacBook when its packet comes, as its network card would; return variables and the packets."""
    packets = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.bind(("127.0.0.1", 0))

        def listen():
            while True:
                packet = card.recv(1024)
                if packet == b"end":
                    return
                packets.append(packet)
                fleet.lab("wake", "macbook-pro")

        listener = threading.Thread(target=listen)
        listener.start()
        port = card.getsockname()[1]
        yield (
            {
                "fleet_address_wake_mac": "3c:22:fb:0a:1b:2c",
                "fleet_address_wake_broadcast": "127.0.0.1",
                "fleet_address_wake_port": port,
            },
            packets,
        )
        card.sendto(b"end", ("127.0.0.1", port))
        listener.join()


def test_a_mac_that_can_be_woken_is_woken_and_goes_on(fleet, wakes_on_packet):
    variables, packets = wakes_on_packet
    run = fleet.screen(*LOOK, "-e", json.dumps(variables))
    assert run.rc == 0, run.screen
    assert f"macbook-pro woke up and answers at {LOCAL}" in said(run)
    assert set(packets) == {b"\xff" * 6 + bytes.fromhex("3c22fb0a1b2c") * 16}


def test_a_look_wakes_nobody(fleet, wakes_on_packet):
    variables, packets = wakes_on_packet
    run = fleet.screen(*LOOK, "--check", "-e", json.dumps(variables))
    assert run.rc == 0, run.screen
    assert "may be asleep or away" in recap(run)
    assert packets == []


def test_what_is_no_hardware_address_is_said(fleet, asleep):
    run = fleet.screen(*LOOK, "-e", "fleet_address_wake_mac=macbook")
    told(run, "fleet_address_wake_mac: 'macbook' is no hardware address", "ifconfig en0")


def test_another_machine_in_the_place_of_a_mac_is_refused(fleet):
    """Also for a Mac that may be away: somebody answers, and it is not this Mac."""
    key = "/etc/ssh/ssh_host_ed25519_key"
    change = f"cp -p {key} {key}.own && rm {key} && ssh-keygen -q -t ed25519 -N '' -f {key}"
    fleet.on("macbook-pro", "sh", "-c", change, user="root")
    fleet.lab("fault", "macbook-pro", "ssh-cut", "on")
    try:
        run = fleet.screen(*LOOK)
    finally:
        fleet.on("macbook-pro", "sh", "-c", f"mv {key}.own {key} && ssh-keygen -y -f {key} > {key}.pub", user="root")
    told(run, "another host key than the one known for macbook-pro", "ssh-keygen -R macbook-pro", "Nothing was done there")
    again = fleet.screen(*LOOK)
    assert again.rc == 0, again.screen
