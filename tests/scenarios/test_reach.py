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


# Who reaches whom. --------------------------------------------------------------------------------------------------------

VERIFY = "playbooks/verify.yml"


@pytest.fixture
def verify(fleet, tmp_path):
    """Return a function that verifies the fleet, and gives the run and its report."""

    def verified(*words, variables=None):
        given = json.dumps({"fleet_verify_reports_path": str(tmp_path), **(variables or {})})
        run = fleet.screen(VERIFY, "-e", given, *words)
        report = tmp_path / "reach.json"
        return run, json.loads(report.read_text()) if report.exists() else None

    return verified


def asked(report, start, server):
    """Return network -> (declared, found) of one machine about one server; several numbers of a LAN must agree."""
    found = {}
    for question in report["questions"]:
        if (question["from"], question["to"]) == (start, server):
            found.setdefault(question["network"], set()).add((question["declared"], question["found"]))
    return {network: outcomes.pop() for network, outcomes in found.items() if len(outcomes) == 1}


YES, STRANGER_IN = ("reachable", "reached"), ("kept_out", "reached")


def test_the_table_and_the_report_say_who_reached_whom(verify):
    run, report = verify()
    assert run.rc == 0, run.screen
    assert report["result"] == "ok"
    for start, server in (("mac-mini", "macbook-pro"), ("macbook-pro", "mac-mini")):
        assert asked(report, start, server) == {"local": YES, "tailnet": YES}
    assert asked(report, "windows-msi", "mac-mini") == {"tailnet": YES}
    assert asked(report, "outsider", "mac-mini") == {
        "local": ("kept_out", "unresolved"),
        "tailnet": ("kept_out", "no_route"),
        "lan": ("kept_out", "refused"),
    }
    assert "windows-msi tailnet tailnet" in said(run)
    assert {one["kind"]: one["http_status"] for one in report["own"]} == {
        "completion": 200,
        "foreign_host": 200,
        "foreign_origin": 403,
    }


@pytest.fixture
def unguarded(fleet, mini):
    """Take the packet filter's rules away from one Mac, and give them back."""
    mini.run("/bin/launchctl", "bootout", "system/ollama-fleet.exposure", user="root")
    mini.run("/sbin/pfctl", "-a", "com.apple/100.ollama-fleet", "-F", "all", user="root")
    yield
    assert fleet.screen("playbooks/servers.yml", "--limit", "mac-mini").rc == 0


def test_where_exposure_is_declared_a_stranger_is_an_error_and_else_a_warning(verify, unguarded):
    run, report = verify()
    told(run, "outsider, a stranger, reached mac-mini from 203.0.113.66", "exposure_scope is lan")
    assert asked(report, "outsider", "mac-mini")["lan"] == STRANGER_IN
    run, report = verify(variables={"exposure_managed": False})
    assert run.rc == 0, run.screen
    assert report["result"] == "warnings"
    assert "outsider, a stranger, reached mac-mini from 203.0.113.66" in said(run)


def test_a_machine_that_is_away_has_a_row_that_says_so(verify, asleep):
    run, report = verify()
    assert run.rc == 0, run.screen
    assert "macbook-pro away, asked nobody" in said(run)
    away = {machine["name"]: machine["away"] for machine in report["machines"]}
    assert f"macbook-pro does not answer at {LOCAL}" in away["macbook-pro"]
    assert away["mac-mini"] is None


def test_in_userspace_mode_the_others_are_asked_over_the_lan(fleet, verify):
    with fleet.trouble("macbook-pro", "tailscale-userspace"):
        run, report = verify()
    assert run.rc == 0, run.screen
    assert asked(report, "macbook-pro", "mac-mini") == {"local": YES}
    assert asked(report, "windows-msi", "macbook-pro") == {"tailnet": YES}
    assert next(server for server in report["servers"] if server["name"] == "macbook-pro")["userspace"] is True


def test_a_mac_that_left_the_tailnet_is_said_and_found_out_from_outside(fleet, verify):
    with fleet.trouble("macbook-pro", "tailscale-stopped"):
        run, report = verify()
    told(run, f"http://{TAILNET}:11434: windows-msi asked macbook-pro for its version")
    assert "is in the state Stopped, so nobody reaches it at 100.125.165.107" in said(run)
    assert asked(report, "windows-msi", "macbook-pro") == {"tailnet": ("reachable", "timed_out")}


def test_another_address_than_the_inventory_says_is_named(verify):
    run, _ = verify("--limit", "mac-mini", variables={"fleet_tailnet_ip": "100.99.99.99"})
    assert "the inventory says 100.99.99.99, the Mac has 100.115.10.14" in said(run)


# Published in the tailnet alone. ------------------------------------------------------------------------------------------

SERVED = {
    "tailscale_serve_tcp": [{"port": 11434, "target": "127.0.0.1:11434"}],
    "ollama_service_environment": {"OLLAMA_HOST": "127.0.0.1", "OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"},
}
SERVE = ("playbooks/servers.yml", "--limit", "mac-mini")


def test_a_loopback_server_is_published_in_the_tailnet_and_nowhere_else(fleet, mini, verify):
    look = fleet.play(*SERVE, "--check", "-e", json.dumps(SERVED))
    run = fleet.play(*SERVE, "-e", json.dumps(SERVED))
    assert run.rc == 0, run.screen
    assert look.steps("mac-mini") == run.steps("mac-mini")
    assert ("serve", "tcp/11434") in run.steps("mac-mini")
    again = fleet.play(*SERVE, "-e", json.dumps(SERVED))
    assert again.changed("mac-mini") == 0
    # The variables of one Mac only: extra variables would be the other one's too.
    run, report = verify("--limit", "mac-mini,windows-msi,outsider", variables=SERVED)
    assert run.rc == 0, run.screen
    assert report["result"] == "ok"
    assert asked(report, "windows-msi", "mac-mini") == {"tailnet": YES}
    assert asked(report, "outsider", "mac-mini")["lan"] == ("kept_out", "refused")
    assert {one["kind"]: one["http_status"] for one in report["own"]}["foreign_host"] == 403
    name = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: felipes-mac-mini.tail5c0de.ts.net:11434"]
    assert fleet.on("windows-msi", *name, "http://100.115.10.14:11434/api/version") == "403"
    back = fleet.play(*SERVE, "-e", '{"tailscale_serve_removed": [11434]}')
    assert back.rc == 0, back.screen
    assert ("unserve", "tcp/11434") in back.steps("mac-mini")
    assert mini.run("/usr/local/bin/tailscale", "serve", "status", "--json") == "{}\n"
    assert fleet.play(*SERVE, "-e", '{"tailscale_serve_removed": [11434]}').changed("mac-mini") == 0
