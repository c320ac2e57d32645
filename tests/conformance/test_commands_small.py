"""The small commands of macOS, as a playbook meets them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Mac


@pytest.mark.parametrize(
    ("argv", "code", "out"),
    [
        (["/usr/bin/sw_vers", "-productVersion"], 0, r"\d+\.\d+(\.\d+)?\n"),
        (["/usr/bin/sw_vers", "--productName"], 0, r"macOS\n"),
        (["/usr/bin/uname", "-s"], 0, r"Darwin\n"),
        (["/usr/sbin/scutil", "--get", "LocalHostName"], 0, r"[A-Za-z0-9-]+\n"),
        (["/usr/sbin/sysctl", "-n", "hw.memsize"], 0, r"\d+\n"),
        (["/usr/sbin/sysctl", "hw.memsize"], 0, r"hw\.memsize: \d+\n"),
        (
            ["/usr/sbin/sysctl", "vm.swapusage"],
            0,
            r"vm\.swapusage: total = \d+\.\d\dM  used = \d+\.\d\dM  free = \d+\.\d\dM(  \(encrypted\))?\s*\n",
        ),
        (["/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level"], 0, r"[124]\n"),
        (["/usr/sbin/sysctl", "-i", "no.such"], 0, r""),
        (["/usr/bin/pmset", "-g"], 0, r"System-wide power settings:\n(.*\n)*Currently in use:\n( .*\n)+"),
        (["/usr/bin/pmset", "-g", "custom"], 0, r"(.*\n)*AC Power:\n( .*\n)+(.*\n)*"),
        (["/usr/bin/pmset", "-a", "sleep", "0"], 1, r"'.*pmset' must be run as root...\n"),
        (["/usr/bin/pmset", "-g", "cap"], 0, r"Capabilities for AC Power:\n( \S+\n)+"),
        (["/usr/bin/fdesetup", "status"], 0, r"FileVault is (On|Off)\.\n(.*\n)*"),
        (["/usr/bin/dscl", ".", "-read", "/Users/root", "NFSHomeDirectory"], 0, r"NFSHomeDirectory: /var/root\n"),
        (["/usr/sbin/lsof", "-nP", "-iTCP:1", "-sTCP:LISTEN"], 1, r""),
        (["/usr/bin/memory_pressure", "-Q"], 0, r"(.*\n)*System-wide memory free percentage: \d+%\n(.*\n)*"),
    ],
    ids=lambda value: " ".join(value).split("/")[-1] if isinstance(value, list) else "",
)
def test_answer(mac: Mac, argv: list[str], code: int, out: str) -> None:
    answer = mac.run(argv)
    assert answer.rc == code
    assert re.fullmatch(out, answer.stdout)


@pytest.mark.parametrize(
    ("argv", "code", "err"),
    [
        (["/usr/sbin/sysctl", "no.such"], 1, r"sysctl: unknown oid 'no\.such'"),
        (["/usr/bin/dscl", ".", "-read", "/Users/none", "UniqueID"], 56, r"DS Error: -14136 \(eDSRecordNotFound\)"),
        (["/usr/bin/defaults", "read", "com.x.none", "K"], 1, r"domain/default pair of \(com.x.none, K\) does not exist"),
    ],
    ids=["sysctl", "dscl", "defaults"],
)  # fmt: skip
def test_refusal(mac: Mac, argv: list[str], code: int, err: str) -> None:
    answer = mac.run(argv)
    assert answer.rc == code
    assert re.search(err, answer.stderr)


def test_vm_stat_counts_pages_of_16_kib(mac: Mac) -> None:
    lines = mac.succeed(["/usr/bin/vm_stat"]).splitlines()
    assert re.fullmatch(r"Mach Virtual Memory Statistics: \(page size of \d+ bytes\)", lines[0])
    assert all(re.fullmatch(r'"?[A-Za-z][A-Za-z -]*"?:\s+\d+\.', line) for line in lines[1:])
    assert {"Pages free", "Pages wired down", "Pages occupied by compressor"} <= {line.split(":")[0] for line in lines}


def test_plutil_says_ok(mac: Mac) -> None:
    file = "/System/Library/LaunchDaemons/com.apple.pfctl.plist"
    assert mac.succeed(["/usr/bin/plutil", "-lint", file]) == f"{file}: OK\n"
    assert mac.succeed(["/usr/bin/plutil", "-extract", "Label", "raw", "-o", "-", file]) == "com.apple.pfctl\n"


@pytest.mark.virtual
def test_a_setting_that_the_hardware_lacks_is_accepted_and_never_shown(mac: Mac) -> None:
    mac.succeed(["/usr/bin/pmset", "-c", "lidwake", "1", "sleep", "0"], user="root")
    assert "lidwake" not in mac.succeed(["/usr/bin/pmset", "-g"])
    assert "lidwake" in mac.succeed(["/usr/bin/pmset", "-g", "custom"])


@pytest.mark.virtual
def test_only_root_sets_a_kernel_variable(mac: Mac) -> None:
    name = "iogpu.wired_limit_mb"
    refused = mac.run(["/usr/sbin/sysctl", f"{name}=9000"])
    assert (refused.rc, refused.stdout) == (1, f"{name}: 0\n")
    assert mac.succeed(["/usr/sbin/sysctl", f"{name}=9000"], user="root") == f"{name}: 0 -> 9000\n"
    mac.succeed(["/usr/sbin/sysctl", f"{name}=0"], user="root")


@pytest.mark.virtual
def test_memory_is_what_the_faults_say(mac: Mac) -> None:
    with mac.fault("swap-used-mb", 1024.5), mac.fault("memory-pressure", 4):
        assert "used = 1024.50M" in mac.succeed(["/usr/sbin/sysctl", "vm.swapusage"])
        assert mac.succeed(["/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level"]) == "4\n"


@pytest.mark.virtual
@pytest.mark.parametrize(("fault", "tunnel"), [("", True), ("tailscale-userspace", False)], ids=["tunnel", "userspace"])
def test_tailscale_tells_its_mode(mac: Mac, fault: str, tunnel: bool) -> None:
    tool = ["/usr/local/bin/tailscale"]
    if not fault:
        assert json.loads(mac.succeed([*tool, "status", "--json"]))["TUN"] is tunnel
        return
    with mac.fault(fault):
        assert mac.run([*tool, "status", "--json"]).rc == 1
        own = f"--socket={mac.home}/.tailscale/tailscaled.sock"
        assert json.loads(mac.succeed([*tool, own, "status", "--json"]))["TUN"] is tunnel


@pytest.mark.virtual
def test_a_plain_user_sees_only_own_sockets(mac: Mac) -> None:
    listen = "import socket, time; s = socket.create_server(('127.0.0.1', 7099)); print('up', flush=True); time.sleep(60)"
    look = "/usr/sbin/lsof -nP -iTCP:7099 -sTCP:LISTEN -Fn; echo $?"
    script = f"""coproc SERVER {{ exec /Library/Developer/CommandLineTools/usr/bin/python3 -c "{listen}"; }}
    read -r up <&"${{SERVER[0]}}"
    sudo -u felipe /bin/sh -c '{look}'
    {look}
    kill "$SERVER_PID"
    """
    lines = mac.succeed(["/bin/bash", "-c", script], user="root").splitlines()
    assert lines[0] == "1"
    assert lines[-2:] == ["n127.0.0.1:7099", "0"]
