"""The converged fleet as an operator would find it: on the Macs, and from the machines beside them."""

import json
import os
import plistlib
from pathlib import Path

import pytest
from testinfra.utils.ansible_runner import AnsibleRunner

from tests.support.drifts import Mac
from tests.support.fleet import Fleet

FLEET = Fleet(os.environ["LAB_NAME"])
RUNNER = AnsibleRunner(str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent))
# By the lab's own ssh settings: testinfra does not render the templates in a host's connection variables.
SETTINGS = RUNNER.get_variables("mac-mini")["ansible_ssh_common_args"].removeprefix("-F ")
testinfra_hosts = [f"ssh://{host}?ssh_config={SETTINGS}" for host in RUNNER.get_hosts("ollama_servers")]


@pytest.fixture
def mac(host):
    """Return the Mac that testinfra is connected to."""
    return Mac(FLEET, host.backend.get_hostname())


def test_the_property_list_belongs_to_the_user_and_to_nobody_else(host, mac):
    file = host.file(mac.plist)
    assert (file.user, file.mode, file.is_symlink) == ("felipe", 0o644, False)


def test_the_process_runs_with_the_environment_of_the_property_list(host, mac):
    wanted = plistlib.loads(host.file(mac.plist).content)["EnvironmentVariables"]
    environment = host.file(f"/proc/{mac.pid()}/environ").content.decode().split("\0")
    assert {f"{key}={value}" for key, value in wanted.items()} <= set(environment)


def test_the_server_listens_on_every_interface(host, mac):
    assert host.run("/usr/sbin/lsof -nP -iTCP:11434 -sTCP:LISTEN -Fn").stdout.splitlines()[-1] == "n*:11434"


def test_the_firewall_lets_the_resolved_program_in(host, mac):
    listing = host.run("/usr/libexec/ApplicationFirewall/socketfilterfw --listapps").stdout
    following = listing.partition(mac.program())[2].splitlines()[1]
    assert "Allow incoming connections" in following


def test_the_models_are_those_of_host_vars(mac):
    wanted = {
        "mac-mini": {"qwen3:8b", "gpt-oss:20b"},
        "macbook-pro": {"qwen3:8b", "devstral-small-2:24b", "gpt-oss:20b"},
    }
    assert {model["name"] for model in mac.api("GET", "/api/tags")["models"]} == wanted[mac.name]


def test_only_the_resident_model_is_loaded_and_for_good(mac):
    loaded = mac.api("GET", "/api/ps")["models"]
    assert [(model["name"], int(model["expires_at"][:4]) > 2200) for model in loaded] == [("qwen3:8b", True)]


@pytest.mark.parametrize("address", ["felipes-mac-mini.local", "100.115.10.14"])
def test_the_other_mac_reaches_the_mini(address):
    answer = FLEET.on("macbook-pro", "curl", "-sS", "--max-time", "5", f"http://{address}:11434/api/version")
    assert "version" in json.loads(answer)


@pytest.mark.parametrize("address", ["100.115.10.14", "100.125.165.107"])
def test_windows_reaches_both_macs_over_the_tailnet(address):
    answer = FLEET.on("windows-msi", "curl", "-sS", "--max-time", "5", f"http://{address}:11434/api/version")
    assert "version" in json.loads(answer)


def test_a_run_without_changes_makes_few_module_runs_and_never_starts_brew():
    before = FLEET.on("mac-mini", "cat", "/var/db/virtual-mac/journal/brew.log", user="root")
    run = FLEET.play("site.yml")
    assert run.rc == 0, run.screen
    for mac in ("mac-mini", "macbook-pro"):
        assert run.changed(mac) == 0
        assert len(run.module_runs(mac)) <= 3, run.module_runs(mac)
    assert FLEET.on("mac-mini", "cat", "/var/db/virtual-mac/journal/brew.log", user="root") == before


def test_check_mode_on_the_converged_fleet_reports_nothing():
    run = FLEET.play("site.yml", "--check", "--diff")
    assert run.rc == 0, run.screen
    assert {host: run.changed(host) for host in run.stats} == dict.fromkeys(run.stats, 0)


def test_after_a_reboot_and_login_the_service_answers_from_outside_without_ansible():
    for name in ("mac-mini", "macbook-pro"):
        FLEET.lab("reboot", name, "--login")
    outside = Mac(FLEET, "windows-msi")
    for address in ("100.115.10.14", "100.125.165.107"):
        question = ["curl", "-sS", "--max-time", "2", f"http://{address}:11434/api/version"]
        outside.wait(lambda words=question: "version" in outside.run_all(*words))


def test_and_its_resident_is_in_memory_again_for_good():
    for name in ("mac-mini", "macbook-pro"):
        mac = Mac(FLEET, name)
        mac.wait(lambda mac=mac: [model["name"] for model in mac.api("GET", "/api/ps")["models"]] == ["qwen3:8b"], 90)
        assert int(mac.api("GET", "/api/ps")["models"][0]["expires_at"][:4]) > 2200
