"""The small commands of macOS: what each prints and how it ends."""

from __future__ import annotations

import bz2
import json
import os
import plistlib
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from commands_support import Box
from mac import entry, machine
from mac.commands import lsof, memory, sockets, software, tailscale
from mac.commands.faults import FAULTS
from mac.commands.newsyslog import Entry, is_due, parse_line

ROOT = 0
USER = 501


def test_the_power_of_the_gpu_is_for_root_alone_and_in_milliwatts(box: Box) -> None:
    argv = ["powermetrics", "--samplers", "gpu_power", "-i", "10", "-n", "3"]
    refused = box.run(*argv, uid=USER)
    assert (refused.rc, refused.out, refused.err) == (1, "", "powermetrics must be invoked as the superuser\n")
    box.faults(gpu_milliwatts=9462)
    said = box.run(*argv, uid=ROOT)
    assert said.rc == 0
    assert [line for line in said.lines if line.startswith("GPU Power:")] == ["GPU Power: 9462 mW"] * 3
    assert box.run("powermetrics", "--samplers", "nonsense", uid=ROOT).rc == 64


@pytest.mark.parametrize(
    ("argv", "uid", "code", "out", "err"),
    [
        (["sw_vers", "-productVersion"], USER, 0, "15.6.1\n", ""),
        (["sw_vers", "--buildVersion"], USER, 0, "24G90\n", ""),
        (["uname"], USER, 0, "Darwin\n", ""),
        (["uname", "-sm"], USER, 0, "Darwin arm64\n", ""),
        (["uname", "-r"], USER, 0, "24.6.0\n", ""),
        (["scutil", "--get", "LocalHostName"], USER, 0, "felipes-mac-mini\n", ""),
        (["scutil", "--get", "HostName"], USER, 1, "", "HostName: not set\n"),
        (["dscl", ".", "-read", "/Users/felipe", "NFSHomeDirectory"], USER, 0, "NFSHomeDirectory: /Users/felipe\n", ""),
        (["dscl", ".", "-read", "/Users/felipe", "RealName"], USER, 0, "RealName:\n Felipe F\n", ""),
        (["dscl", ".", "-read", "/Users/felipe", "Nope"], USER, 0, "No such key: Nope\n", ""),
        (["dscl", ".", "-read", "/Users/x", "UniqueID"], USER, 56, "", "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)\n"),
        (["sysctl", "-n", "hw.memsize"], USER, 0, "17179869184\n", ""),
        (["sysctl", "hw.pagesize"], USER, 0, "hw.pagesize: 16384\n", ""),
        (["sysctl", "-n", "kern.memorystatus_vm_pressure_level"], USER, 0, "1\n", ""),
        (["sysctl", "nosuch"], USER, 1, "", "sysctl: unknown oid 'nosuch'\n"),
        (["sysctl", "no1", "no2"], USER, 2, "", "sysctl: unknown oid 'no1'\nsysctl: unknown oid 'no2'\n"),
        (["sysctl", "-i", "nosuch"], USER, 0, "", ""),
        (["sysctl", "-q", "nosuch"], USER, 1, "", ""),
        (["sysctl", "hw.memsize=1"], ROOT, 1, "", "sysctl: oid 'hw.memsize' is read only\n"),
        (["sysctl", "iogpu.wired_limit_mb=9000"], ROOT, 0, "iogpu.wired_limit_mb: 0 -> 9000\n", ""),
        (
            ["sysctl", "iogpu.wired_limit_mb=9000"],
            USER,
            1,
            "iogpu.wired_limit_mb: 0\n",
            "sysctl: iogpu.wired_limit_mb=9000: Operation not permitted\n",
        ),
        (["pmset", "-a", "sleep", "0"], USER, 1, "'pmset' must be run as root...\n", ""),
        (["pmset", "-a", "disablesleep", "1"], USER, 0, "'pmset' must be run as root...\n", ""),
        (["pmset", "-a", "sleep", "0"], ROOT, 0, "", ""),
        (["pmset", "-a", "nosuch", "1"], ROOT, 1, "Usage: pmset <options>\n", ""),
        (["pmset", "-a", "hibernatemode", "4"], ROOT, 1, "Usage: pmset <options>\n", ""),
        (["pmset", "-a", "powermode", "1"], ROOT, 1, "powermode not supported on AC Power\nUsage: pmset <options>\n", ""),
        (["fdesetup", "status"], USER, 0, "FileVault is Off.\n", ""),
        (["log", "show", "--last", "10m"], USER, 0, "", ""),
        (["xcode-select", "-p"], USER, 0, "/Library/Developer/CommandLineTools\n", ""),
        (["pkgutil", "--pkg-info=com.apple.pkg.None"], USER, 1, "", "No receipt for 'com.apple.pkg.None' found at '/'.\n"),
        (["newsyslog", "-nv"], USER, 1, "", "newsyslog: must have root privs\n"),
        (["lsof", "-nP", "-iTCP:1", "-sTCP:LISTEN"], USER, 1, "", ""),
        (["tailscale", "ip", "-4"], USER, 0, "100.115.10.14\n", ""),
        (["tailscale", "ip", "--assert=100.115.10.14"], USER, 0, "", ""),
        (["tailscale", "serve", "status", "--json"], USER, 0, "{}\n", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command(box: Box, argv: list[str], uid: int, code: int, out: str, err: str) -> None:
    box.write(
        "/etc/passwd", "root:x:0:0:System Administrator:/var/root:/bin/sh\nfelipe:x:501:20:Felipe F:/Users/felipe:/bin/zsh\n"
    )
    box.at("/Library/Developer/CommandLineTools/usr/bin").mkdir(parents=True)
    assert box.run(*argv, uid=uid) == (code, out, err)


@pytest.mark.parametrize(
    ("used", "text"),
    [
        (0, "total = 0.00M  used = 0.00M  free = 0.00M  (encrypted)"),
        (1024.5, "total = 2048.00M  used = 1024.50M  free = 1023.50M  (encrypted)"),
        (15974.4, "total = 16384.00M  used = 15974.40M  free = 409.60M  (encrypted)"),
    ],
)
def test_swap_is_in_mebibytes_with_two_decimals(box: Box, used: float, text: str) -> None:
    box.faults(swap_used_mb=used)
    assert box.run("sysctl", "-n", "vm.swapusage").out == text + "\n"


def runner(box: Box, pid: int, gib: float) -> None:
    box.write(f"/var/db/virtual-mac/usage/{pid}.json", json.dumps({"pid": pid, "ram_bytes": int(gib * 2**30)}))


def swap_and_pressure(box: Box) -> tuple[float, int]:
    lines = box.run("sysctl", "-n", "vm.swapusage", "kern.memorystatus_vm_pressure_level").lines
    return float(lines[0].split("used = ")[1].split("M")[0]), int(lines[1])


def test_memory_follows_the_models_that_live(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(memory.time, "time", lambda: now)
    runner(box, os.getpid(), 16)
    assert swap_and_pressure(box) == (0, 1)
    box.faults(memory_follows_models=8192)
    assert swap_and_pressure(box) == (0, 4)
    now += 45
    assert swap_and_pressure(box) == (4500, 2)
    now += 600
    assert swap_and_pressure(box) == (8192, 1)
    # The runner has gone: memory is there at once, and swap stays long.
    runner(box, os.getpid(), 0)
    now += 60
    swap, pressure = swap_and_pressure(box)
    assert (round(swap), pressure) == (7373, 1)
    now += 3600
    assert swap_and_pressure(box)[0] < 20
    # A clock that was set back neither fills nor empties it, and what no process holds takes nothing.
    now -= 5000
    runner(box, 4_000_000, 64)
    assert swap_and_pressure(box) < (20, 2)


def test_a_fault_that_names_a_figure_wins(box: Box) -> None:
    box.faults(memory_follows_models=True, swap_used_mb=9000, memory_pressure=2)
    assert swap_and_pressure(box) == (9000, 2)


def test_vm_stat_has_a_header_and_22_lines_with_full_stops(box: Box) -> None:
    lines = box.run("vm_stat").lines
    assert lines[0] == "Mach Virtual Memory Statistics: (page size of 16384 bytes)"
    assert len(lines) == 23
    assert all(line.endswith(".") for line in lines[1:])


def test_free_memory_is_what_the_fault_says(box: Box) -> None:
    box.faults(free_memory_mb=1700)
    pages = dict(line.rstrip(".").split(":") for line in box.run("vm_stat").lines[1:])
    assert (int(pages["Pages free"]) + int(pages["Pages speculative"])) * 16384 == 1700 * 2**20
    assert box.run("memory_pressure").lines[-1] == "System-wide memory free percentage: 10%"


def test_pressure_is_hidden_from_the_whole_list(box: Box) -> None:
    listed = box.run("sysctl", "-a").out
    assert "kern.memorystatus_level" in listed
    assert "kern.memorystatus_vm_pressure_level" not in listed


def test_a_wired_limit_is_lost_with_var_run(box: Box) -> None:
    box.run("sysctl", "iogpu.wired_limit_mb=9000", uid=ROOT)
    assert box.run("sysctl", "-n", "iogpu.wired_limit_mb").out == "9000\n"
    for file in box.at("/var/run").iterdir():
        file.unlink()
    assert box.run("sysctl", "-n", "iogpu.wired_limit_mb").out == "0\n"


def test_pmset_shows_what_the_hardware_has_and_custom_what_was_set(box: Box) -> None:
    box.run("pmset", "-c", "lidwake", "7", "sleep", "0", uid=ROOT)
    live = box.run("pmset", "-g").lines
    assert live[:2] == ["System-wide power settings:", "Currently in use:"]
    assert " sleep                0 (sleep prevented by powerd)" in live
    assert not any("lidwake" in line for line in live)
    assert " lidwake              1" in box.run("pmset", "-g", "custom").lines


@pytest.mark.parametrize("what", ["live", "custom"])
def test_pmset_shows_the_same_in_another_order_each_time(box: Box, what: str) -> None:
    answers = [box.run("pmset", "-g", what).lines for _ in range(8)]
    assert len({tuple(sorted(lines)) for lines in answers}) == 1
    assert len({tuple(lines) for lines in answers}) > 1


def test_hardware_may_lack_what_pmset_takes_all_the_same(box: Box) -> None:
    assert " autorestart" in box.run("pmset", "-g", "cap").lines
    box.faults(pmset_lacks=True)
    assert not {" autorestart", " womp"} & set(box.run("pmset", "-g", "cap").lines)
    assert box.run("pmset", "-a", "autorestart", "1", "sleep", "0", uid=ROOT) == (0, "", "")
    assert not any("autorestart" in line for line in box.run("pmset", "-g").lines)
    assert " autorestart          1" in box.run("pmset", "-g", "custom").lines
    box.faults(pmset_lacks=["sleep"])
    assert " sleep" not in box.run("pmset", "-g", "cap").lines


def test_power_settings_outlive_a_boot(box: Box) -> None:
    box.run("pmset", "-a", "sleep", "0", "disablesleep", "1", uid=ROOT)
    for file in box.at("/var/run").iterdir():
        file.unlink()
    assert " sleep                0" in box.run("pmset", "-g", "custom").lines
    assert " SleepDisabled\t\t1" in box.run("pmset", "-g").lines


def test_a_laptop_has_two_sources(box: Box) -> None:
    box.identity(kind="laptop")
    box.run("pmset", "-c", "sleep", "0", uid=ROOT)
    lines = box.run("pmset", "-g", "custom").lines
    battery, mains = lines[: lines.index("AC Power:")], lines[lines.index("AC Power:") :]
    assert " sleep                1" in battery
    assert " sleep                0" in mains


def test_disablesleep_shows_among_the_system_settings(box: Box) -> None:
    box.run("pmset", "-a", "disablesleep", "1", uid=ROOT)
    assert box.run("pmset", "-g").out.splitlines()[1] == " SleepDisabled\t\t1"


@pytest.mark.parametrize("verb", [["--list"], ["-l"]], ids=["long", "short"])
def test_tools_are_offered_only_on_demand(box: Box, verb: list[str]) -> None:
    assert box.run("softwareupdate", *verb).err == "No new software available.\n"
    box.write(software.ON_DEMAND, "")
    assert "* Label: Command Line Tools for Xcode-16.4" in box.run("softwareupdate", *verb).lines


def test_installing_the_tools_brings_them_back(box: Box) -> None:
    box.at("/Library/Developer/.CommandLineTools.aside/usr/bin").mkdir(parents=True)
    box.write(software.ON_DEMAND, "")
    assert box.run("xcode-select", "-p").rc == 2
    assert box.run("softwareupdate", "-i", "Command Line Tools for Xcode-16.4").rc == 1
    assert box.run("softwareupdate", "-i", "Command Line Tools for Xcode-16.4", uid=ROOT).rc == 0
    assert box.run("xcode-select", "-p").out == "/Library/Developer/CommandLineTools\n"
    assert box.run("pkgutil", "--pkg-info", "com.apple.pkg.CLTools_Executables").rc == 0


PLIST = {"Label": "com.x", "KeepAlive": True, "ProgramArguments": ["/bin/a", "b"], "N": 3}


@pytest.mark.parametrize(
    ("argv", "code", "out"),
    [
        (["-lint", "/x.plist"], 0, "/x.plist: OK\n"),
        (["-lint", "-s", "/x.plist"], 0, ""),
        (["-extract", "Label", "raw", "/x.plist"], 0, "com.x\n"),
        (["-extract", "KeepAlive", "raw", "-o", "-", "/x.plist"], 0, "true\n"),
        (["-extract", "ProgramArguments", "raw", "/x.plist"], 0, "2\n"),
        (["-extract", "ProgramArguments.1", "raw", "/x.plist"], 0, "b\n"),
        (["-extract", "ProgramArguments", "json", "-o", "-", "/x.plist"], 0, '["\\/bin\\/a","b"]'),
        (["-extract", "Nope", "raw", "/x.plist"], 1, ""),
        (["-lint", "/bad.plist"], 1, None),
        (["-lint", "/missing.plist"], 1, None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_plutil(box: Box, argv: list[str], code: int, out: str | None) -> None:
    box.at("/x.plist").write_bytes(plistlib.dumps(PLIST))
    box.write("/bad.plist", "<plist><dict>")
    answer = box.run("plutil", *argv)
    assert answer.rc == code
    assert out is None or answer.out == out


def test_plutil_converts_in_place_and_aside(box: Box) -> None:
    box.at("/x.plist").write_bytes(plistlib.dumps(PLIST, fmt=plistlib.FMT_BINARY))
    box.run("plutil", "-convert", "json", "-o", "/x.json", "/x.plist")
    assert json.loads(box.at("/x.json").read_text()) == PLIST
    box.run("plutil", "-convert", "xml1", "/x.plist")
    assert box.at("/x.plist").read_text().startswith("<?xml")


def test_notifications_are_noted(box: Box) -> None:
    assert box.run("osascript", "-e", 'display notification "swap is \\"full\\"" with title "Healer"').rc == 0
    noted = box.journal("notifications")
    assert [(note["text"], note["title"]) for note in noted] == [('swap is "full"', "Healer")]


def test_what_a_script_is_given_as_arguments_is_text_and_never_script(box: Box) -> None:
    banner = ["-e", "on run argv", "-e", "display notification (item 1 of argv) with title (item 2 of argv)", "-e", "end run"]
    hostile = 'a "b" \\ display notification "c"'
    assert box.run("osascript", *banner, hostile, "Ollama: x").rc == 0
    assert [(note["text"], note["title"]) for note in box.journal("notifications")] == [(hostile, "Ollama: x")]


def test_defaults_read(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/Users/felipe")
    box.at("/Users/felipe/Library/Preferences").mkdir(parents=True)
    box.at("/Users/felipe/Library/Preferences/com.x.plist").write_bytes(plistlib.dumps({"On": True, "Name": "a b"}))
    assert box.run("defaults", "read", "com.x", "On").out == "1\n"
    assert box.run("defaults", "read", "com.x").out == '{\n    Name = "a b";\n    On = 1;\n}\n'
    missing = box.run("defaults", "read", "com.x", "Nope")
    assert (missing.rc, missing.err.splitlines()[1]) == (1, "The domain/default pair of (com.x, Nope) does not exist")


@pytest.mark.parametrize(
    ("line", "size", "age", "due"),
    [
        ("/l 640 5 10 * J", 10 * 1024, None, True),
        ("/l 640 5 10 * J", 10 * 1024 - 1, None, False),
        ("/l felipe:staff 640 5 * 24 NJ", 1, 25.0, True),
        ("/l felipe:staff 640 5 * 24 NJ", 1, 23.0, False),
        ("/l 640 5 * @T07 J", 1, 30.0, True),
        ("/l 640 5 * * J", 1 << 30, 999.0, False),
    ],
)
def test_a_log_is_due_by_size_age_or_hour(line: str, size: int, age: float | None, due: bool) -> None:
    entry_ = parse_line(line)
    assert isinstance(entry_, Entry)
    assert is_due(entry_, size, age, 7) is due


def test_newsyslog_renames_and_the_writer_goes_on_in_the_old_file(box: Box) -> None:
    log = box.at("/serve.log")
    me = f"{os.getuid()}:{os.getgid()}"
    box.write("/etc/newsyslog.conf", f"/serve.log {me} 640 2 1 * N\n")
    with log.open("a") as writer:
        writer.write("x" * 2000)
        writer.flush()
        assert box.run("newsyslog", "-nv", uid=ROOT).lines[0] == "/serve.log <2N>: size (Kb): 2 [1] --> trimming log...."
        assert not Path(f"{log}.0").exists()
        assert box.run("newsyslog", uid=ROOT).rc == 0
        writer.write("late")
    assert Path(f"{log}.0").read_text().endswith("late")
    assert "logfile turned over" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o640


def test_newsyslog_keeps_as_many_as_it_is_told_and_compresses(box: Box) -> None:
    log = box.at("/serve.log")
    box.write("/etc/newsyslog.conf", f"/serve.log {os.getuid()}:{os.getgid()} 644 1 * * JB\n")
    for text in ("one", "two", "three"):
        log.write_text(text)
        box.run("newsyslog", "-F", uid=ROOT)
    found = {name.name: bz2.decompress(name.read_bytes()) for name in box.root.glob("serve.log.*")}
    assert found == {"serve.log.0.bz2": b"three", "serve.log.1.bz2": b"two"}


def test_lsof_shows_a_listener_as_a_table_and_as_fields(box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        shown = box.run("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", uid=ROOT)
        head, row = shown.lines
        assert head == "COMMAND   PID   USER   FD   TYPE             DEVICE SIZE/OFF NODE NAME"[: len(head)] or "COMMAND" in head
        assert row.endswith(f" TCP 127.0.0.1:{port} (LISTEN)")
        fields = box.run("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpcn", uid=ROOT).lines
        assert fields[0] == f"p{os.getpid()}"
        assert fields[2:] == [f"f{server.fileno()}", f"n127.0.0.1:{port}"]
        assert box.run("lsof", "-t", "-i", f":{port}", uid=ROOT).out == f"{os.getpid()}\n"
        assert box.run("lsof", "-nP", f"-iTCP:{port}", uid=4711).rc == 1


def test_lsof_table_has_the_columns_of_macos() -> None:
    row = lsof.Row("ollama", 1234, "felipe", "3", "u", "IPv6", "0x" + "a" * 16, "0t0", "TCP", "*:11434 (LISTEN)")
    assert lsof.table_text([row]) == [
        "COMMAND   PID   USER   FD   TYPE             DEVICE SIZE/OFF NODE NAME",
        "ollama   1234 felipe    3u  IPv6 0xaaaaaaaaaaaaaaaa      0t0  TCP *:11434 (LISTEN)",
    ]


@pytest.mark.parametrize(
    ("wanted", "selected"),
    [
        ("TCP:80", True),
        (":80", True),
        ("tcp:79-81", True),
        ("TCP@10.0.0.1:80", True),
        ("", True),
        ("4", True),
        ("TCP:81", False),
        ("6TCP:80", False),
        ("UDP:80", False),
        ("TCP@10.0.0.9:80", False),
        (":8080", True),
    ],
)
def test_lsof_selects_either_end(wanted: str, selected: bool) -> None:
    found = sockets.Socket(4, "10.0.0.1", 80, "10.0.0.2", 8080, sockets.LISTEN, 0, 1)
    assert lsof.selects(wanted, found) is selected


def test_kernel_tables_are_read_in_both_families() -> None:
    four = "   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   501        0 204495 1 0"
    six = "   0: 00000000000000000000000000000000:2CAA 00000000000000000000000000000000:0000 0A 0:0 0:0 0 501 0 7 1 0"
    assert next(sockets.parse([four], 4))[1:3] == ("127.0.0.1", 11434)
    assert next(sockets.parse([six], 6))[1:3] == ("::", 11434)


@pytest.mark.parametrize(
    ("faults", "argv", "code", "out", "err"),
    [
        ({}, ["status", "--json"], 0, '"TUN": true', ""),
        ({"tailscale_stopped": True}, ["status", "--json"], 0, '"BackendState": "Stopped"', ""),
        ({"tailscale_stopped": True}, ["status"], 1, "Tailscale is stopped.", ""),
        ({"tailscale_stopped": True}, ["ip", "-4"], 1, "", "no current Tailscale IPs; state: Stopped"),
        ({"tailscale_down": True}, ["status", "--json"], 1, "", tailscale.NOT_RUNNING),
        ({"tailscale_userspace": True}, ["status", "--json"], 1, "", tailscale.NOT_RUNNING),
        (
            {"tailscale_userspace": True},
            ["--socket=/Users/felipe/.tailscale/tailscaled.sock", "status", "--json"],
            0,
            '"TUN": false',
            "",
        ),
        ({}, ["ip", "--assert=100.1.1.1"], 1, "", "assertion failed"),
        ({}, ["serve", "--bg", "--tcp", "11434", "tcp://127.0.0.1:11434"], 1, "", "Access denied"),
    ],
)
def test_tailscale(box: Box, faults: dict[str, object], argv: list[str], code: int, out: str, err: str) -> None:
    box.faults(**faults)
    answer = box.run("tailscale", *argv)
    assert answer.rc == code
    assert out in answer.out
    assert err in answer.err


def test_serve_is_kept_until_it_is_reset(box: Box) -> None:
    box.run("tailscale", "serve", "--bg", "--yes", "--tcp=11434", "localhost:11434", uid=ROOT)
    kept = json.loads(box.run("tailscale", "serve", "status", "--json").out)
    assert kept == {"TCP": {"11434": {"TCPForward": "127.0.0.1:11434"}}}
    box.run("tailscale", "serve", "reset", uid=ROOT)
    assert box.run("tailscale", "serve", "status", "--json").out == "{}\n"


def test_caffeinate_becomes_its_utility(box: Box) -> None:
    command = [sys.executable, entry.__file__, "caffeinate", "-s", "/bin/sh", "-c", "echo $$; exit 7"]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    out, _ = done.communicate(timeout=20)
    assert (done.returncode, int(out)) == (7, done.pid)
    assert box.journal("caffeinate")[0]["argv"] == ["-s", "/bin/sh", "-c", "echo $$; exit 7"]


def test_every_call_is_noted_with_its_end(box: Box) -> None:
    box.run("sysctl", "nosuch")
    noted = box.journal("sysctl")
    assert [(note["uid"], note["argv"], note["rc"]) for note in noted] == [(USER, ["nosuch"], 1)]


def test_a_reader_that_goes_away_is_no_traceback(box: Box) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, entry.__file__, "sysctl", "-a"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=20)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
    assert box.journal("sysctl")[0]["rc"] == 141


@pytest.mark.parametrize("name", sorted(entry.PROGRAMS))
def test_every_program_can_be_imported(name: str) -> None:
    assert callable(entry.program(name))


def test_every_path_leads_to_a_program() -> None:
    assert set(entry.COMMANDS.values()) <= set(entry.PROGRAMS)


def test_faults_are_documented_in_one_line() -> None:
    assert all(text and "\n" not in text for text in FAULTS.values())


@pytest.mark.parametrize(("value", "expected"), [(True, True), (0, 0), (3, 3), (None, "d"), (False, "d")])
def test_a_fault_that_is_off_gives_the_default(box: Box, value: object, expected: object) -> None:
    box.faults(x=value)
    assert machine.fault("x", "d") == expected


def test_state_is_replaced_whole_with_its_mode(box: Box) -> None:
    machine.write_state("a", {"b": 1})
    assert machine.read_state("a", None) == {"b": 1}
    file = box.at("/var/db/virtual-mac/state/a.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [entry_.name for entry_ in file.parent.iterdir()] == ["a.json"]
