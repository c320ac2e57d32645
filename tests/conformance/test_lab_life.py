"""The lab itself: how it comes, what its hosts can do to each other, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import TOUCHED, lab, run_lab
from controller import state
from controller.hosts import LAN4, MAC_MINI, MACBOOK_PRO, OUTSIDER, WINDOWS_MSI, Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

pytestmark = pytest.mark.virtual

FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
EVERYONE = (MAC_MINI, MACBOOK_PRO, WINDOWS_MSI, OUTSIDER)
# A server on every address of a host: the first byte it says is its own name's.
SERVER = "import socket,sys;s=socket.create_server(('::',9000),family=socket.AF_INET6,dualstack_ipv6=True,backlog=64)\n"
SERVER += "print('up',flush=True)\nwhile True:\n c=s.accept()[0];c.sendall(sys.argv[1].encode());c.close()\n"
CLIENT = "import json,socket,sys\nfound={}\nfor a in sys.argv[1:]:\n try:\n  c=socket.create_connection((a,9000),2)\n"
CLIENT += "  found[a]=c.recv(99).decode()\n except OSError as e: found[a]=type(e).__name__\nprint(json.dumps(found))\n"


def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.02)


def processes_of(name: str) -> dict[int, str]:
    """List the processes of one lab: by their mounts, or by their command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
                mounts = entry.joinpath("mountinfo").read_text()
            except OSError:
                continue
            if f"/{name}/" in mounts or f'"{name}"' in line or f"--name {name} " in line:
                found[int(entry.name)] = line
    return found


def traces(name: str) -> dict[str, list[str]]:
    """List what is on this machine of one lab: processes, mounts, files, and cables outside of namespaces."""
    links = [entry.name for entry in Path("/sys/class/net").iterdir()]
    return {
        "processes": list(processes_of(name).values()),
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/{name}/" in line],
        "files": [str(path) for path in state.RUN.glob(f"{name}*")],
        "links": [link for link in links if link.startswith(("br-lan", "lan-", "ts-", "br-tail"))],
    }


def namespaces(processes: Iterable[int]) -> set[str]:
    """List the namespaces that some processes are in."""
    found = set()
    for process in processes:
        for kind in ("net", "mnt", "pid", "uts", "ipc"):
            with contextlib.suppress(OSError):
                found.add(str(Path(f"/proc/{process}/ns/{kind}").readlink()))
    return found


def all_processes() -> list[int]:
    """List every process of this machine; a zombie only waits for this machine's first process to take note."""
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [process for process in found if state.start_time(process) is not None]


NOTHING: dict[str, list[str]] = {"processes": [], "mounts": [], "files": [], "links": []}


@pytest.fixture(scope="module")
def fleet() -> Iterator[str]:
    """Give the name of a lab with all four hosts, the Macs' application firewalls off and a server on each host."""
    name = f"fleet-{os.getpid()}"
    lab(name, "up", "--end-with", str(os.getpid()))
    servers = []
    try:
        for host in EVERYONE:
            if host.is_mac:
                inside(name, host, [FIREWALL, "--setglobalstate", "off"], user="root")
            place = ["/usr/bin/python3", "-u", "-c", SERVER, host.name]
            command = [str(state.LAB_FOLDER / "lab"), "--name", name, "exec", host.name, "--", *place]
            server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            servers.append(server)
            assert server.stdout is not None
            assert server.stdout.readline() == "up\n"
        yield name
    finally:
        for server in servers:
            server.kill()
            server.communicate()
        lab(name, "down")


def inside(name: str, host: Host, argv: list[str], user: str = "") -> str:
    """Run a command in a host, which must succeed; give its output."""
    TOUCHED.append(argv[0])
    return lab(name, "exec", host.name, *(["--user", user] if user else []), "--", *argv)


def ssh(name: str, host: str, command: str, *options: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command by ssh, as Ansible would reach the host."""
    TOUCHED.append("ssh")
    line = ["ssh", "-F", str(state.Folder(name).ssh_config), *options, host, command]
    return subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=30, check=False)


def reach(name: str, start: Host, addresses: list[str]) -> dict[str, Any]:
    """Ask, in a host, who answers under some addresses."""
    answer: dict[str, Any] = json.loads(inside(name, start, ["python3", "-c", CLIENT, *addresses]))
    return answer


@pytest.mark.parametrize("start", EVERYONE[:3], ids=lambda host: host.name)
@pytest.mark.parametrize("network", ["lan4", "lan6", "tailnet4", "tailnet6"])
def test_every_host_of_the_fleet_reaches_every_other(fleet: str, start: Host, network: str) -> None:
    wanted = {getattr(host, network): host.name for host in EVERYONE[:3]}
    assert reach(fleet, start, list(wanted)) == wanted


def test_a_local_name_leads_to_its_host(fleet: str) -> None:
    names = {f"{host.local_host_name}.local": host.name for host in EVERYONE[:3]}
    assert reach(fleet, WINDOWS_MSI, list(names)) == names


def test_the_outsider_reaches_an_open_mac_on_the_lan(fleet: str) -> None:
    wanted = {MAC_MINI.lan4: "mac-mini", MAC_MINI.lan6: "mac-mini"}
    assert reach(fleet, OUTSIDER, list(wanted)) == wanted


def test_the_outsider_does_not_reach_the_tailnet(fleet: str) -> None:
    found = reach(fleet, OUTSIDER, [MAC_MINI.tailnet4, MAC_MINI.tailnet6])
    assert not {"mac-mini", "macbook-pro"} & set(found.values())


def test_a_firewall_that_blocks_all_is_felt_by_the_neighbours(fleet: str) -> None:
    for setting in ("--setglobalstate", "--setblockall"):
        inside(fleet, MACBOOK_PRO, [FIREWALL, setting, "on"], user="root")
    try:
        until(lambda: reach(fleet, MAC_MINI, [MACBOOK_PRO.lan4])[MACBOOK_PRO.lan4] != "macbook-pro", "a refusal")
    finally:
        for setting in ("--setblockall", "--setglobalstate"):
            inside(fleet, MACBOOK_PRO, [FIREWALL, setting, "off"], user="root")
    until(lambda: reach(fleet, MAC_MINI, [MACBOOK_PRO.lan4])[MACBOOK_PRO.lan4] == "macbook-pro", "an open firewall")


@pytest.mark.parametrize("host", EVERYONE, ids=lambda host: host.name)
def test_nothing_leads_out_of_the_lab(fleet: str, host: Host) -> None:
    script = "import socket\nfor a in ('1.1.1.1','2606:4700::1111'):\n try: socket.create_connection((a,443),2)\n"
    script += " except OSError as e: print(e.errno)\n else: print('OUT')\n"
    assert "OUT" not in inside(fleet, host, ["python3", "-c", script])


def test_the_registry_answers_with_a_certificate_the_mac_trusts(fleet: str) -> None:
    assert (
        inside(fleet, MAC_MINI, ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "https://registry.ollama.ai/v2/"])
        == "200"
    )


def test_ssh_takes_every_name_of_a_host(fleet: str) -> None:
    names = [MAC_MINI.name, "felipes-mac-mini.local", MAC_MINI.lan4, MAC_MINI.tailnet4, MAC_MINI.tailnet6]
    assert {ssh(fleet, name, "hostname").stdout for name in names} == {"felipes-mac-mini.local\n"}


def test_ssh_refuses_a_host_with_another_key(fleet: str, tmp_path: Path) -> None:
    theirs = Path(state.Folder(fleet).ssh / "known_hosts").read_text().splitlines()
    keys = [line.split() for line in theirs]
    swapped = tmp_path / "known_hosts"
    swapped.write_text(f"mac-mini {keys[1][1]} {keys[1][2]}\n")
    done = ssh(fleet, "mac-mini", "true", "-o", f"UserKnownHostsFile={swapped}")
    assert (done.returncode, "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr) == (255, True)


def test_a_command_by_ssh_has_the_path_of_macos(fleet: str) -> None:
    assert ssh(fleet, "mac-mini", "echo $PATH").stdout == "/usr/bin:/bin:/usr/sbin:/sbin\n"


def test_ssh_gives_a_terminal(fleet: str) -> None:
    assert "/dev/pts/" in ssh(fleet, "mac-mini", "tty", "-tt").stdout


def test_files_travel_by_sftp(fleet: str, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a letter")
    batch = f"put {tmp_path}/here there\nget there {tmp_path}/back\n"
    line = ["sftp", "-q", "-b", "-", "-F", str(state.Folder(fleet).ssh_config), "mac-mini"]
    subprocess.run(line, input=batch, text=True, capture_output=True, check=True)
    assert (tmp_path / "back").read_text() == "a letter"


def test_connections_are_shared_and_end_with_ssh_cut(fleet: str) -> None:
    options = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", f"ControlPath={state.Folder(fleet).control_paths}/t"]
    first = ssh(fleet, "mac-mini", "echo $PPID", *options).stdout
    assert ssh(fleet, "mac-mini", "echo $PPID", *options).stdout == first
    lab(fleet, "fault", "mac-mini", "ssh-cut", "on")
    assert ssh(fleet, "mac-mini", "echo $PPID", *options).stdout not in ("", first)


@pytest.mark.parametrize(("password", "code", "said"), [("felipe", 0, "0\n"), ("wrong", 1, "")], ids=["right", "wrong"])
@pytest.mark.parametrize("host", ["mac-mini", "windows-msi"])
def test_sudo_asks_for_the_password(fleet: str, host: str, password: str, code: int, said: str) -> None:
    done = ssh(fleet, host, "sudo -k -S -p '' id -u", stdin=f"{password}\n")
    assert (done.returncode, done.stdout) == (code, said)


def test_root_without_password_is_refused(fleet: str) -> None:
    assert "a password is required" in ssh(fleet, "mac-mini", "sudo -k -n id").stderr


def test_an_unreachable_host_times_out(fleet: str) -> None:
    lab(fleet, "fault", "windows-msi", "unreachable", "on")
    done = ssh(fleet, "windows-msi", "true")
    lab(fleet, "fault", "windows-msi", "unreachable", "off")
    assert (done.returncode, "timed out" in done.stderr) == (255, True)
    assert ssh(fleet, "windows-msi", "true").returncode == 0


@pytest.mark.parametrize(
    ("fault", "dead", "words", "alive"),
    [
        ("lan-down", WINDOWS_MSI.lan4, "timed out", WINDOWS_MSI.tailnet4),
        ("lan-down", "windows-msi.local", "Could not resolve hostname", WINDOWS_MSI.tailnet4),
        ("tailnet-down", WINDOWS_MSI.tailnet4, "timed out", WINDOWS_MSI.lan4),
    ],
)
def test_an_address_is_as_dead_as_its_network(fleet: str, fault: str, dead: str, words: str, alive: str) -> None:
    lab(fleet, "fault", "windows-msi", fault, "on")
    try:
        done = ssh(fleet, dead, "true", "-o", "ConnectTimeout=1")
        assert (done.returncode, words in done.stderr) == (255, True), done.stderr
        assert ssh(fleet, alive, "true").returncode == 0
        assert reach(fleet, MAC_MINI, [alive]) == {alive: "windows-msi"}
    finally:
        lab(fleet, "fault", "windows-msi", fault, "off")
    until(lambda: ssh(fleet, dead, "true", "-o", "ConnectTimeout=5").returncode == 0, "an answer when the cable is in again")


def test_an_address_of_nobody_leads_nowhere(fleet: str) -> None:
    assert "Could not resolve hostname 192.0.2.1" in ssh(fleet, "192.0.2.1", "true").stderr


def test_a_sleeping_host_answers_nobody_and_wakes_as_it_was(fleet: str) -> None:
    lab(fleet, "sleep", "macbook-pro")
    assert reach(fleet, MAC_MINI, [MACBOOK_PRO.lan4, MACBOOK_PRO.tailnet4]).keys() == {MACBOOK_PRO.lan4, MACBOOK_PRO.tailnet4}
    assert "macbook-pro" not in reach(fleet, MAC_MINI, [MACBOOK_PRO.lan4, MACBOOK_PRO.tailnet4]).values()
    assert run_lab(fleet, "exec", "macbook-pro", "--", "true").rc == 1
    lab(fleet, "wake", "macbook-pro")
    until(lambda: reach(fleet, MAC_MINI, [MACBOOK_PRO.lan4])[MACBOOK_PRO.lan4] == "macbook-pro", "an answer after sleep")


def test_an_offline_host_loses_the_registry_and_keeps_its_neighbours(fleet: str) -> None:
    lab(fleet, "fault", "mac-mini", "offline", "on")
    try:
        assert run_lab(fleet, "exec", "mac-mini", "--", "curl", "-sS", "-m2", "https://registry.ollama.ai/v2/").rc == 7
        assert reach(fleet, MAC_MINI, [WINDOWS_MSI.lan4]) == {WINDOWS_MSI.lan4: "windows-msi"}
    finally:
        lab(fleet, "fault", "mac-mini", "offline", "off")
    assert run_lab(fleet, "exec", "mac-mini", "--", "curl", "-sS", "-m2", "https://registry.ollama.ai/v2/").rc == 0


def test_a_full_disk_takes_no_byte_until_there_is_room_again(fleet: str) -> None:
    write = ["sh", "-c", "echo something > ~/letter"]
    lab(fleet, "fault", "windows-msi", "disk-full", "on")
    refused = run_lab(fleet, "exec", "windows-msi", "--", *write)
    lab(fleet, "fault", "windows-msi", "disk-full", "off")
    assert refused.rc != 0
    assert run_lab(fleet, "exec", "windows-msi", "--", *write).rc == 0


@pytest.mark.parametrize(
    ("name", "command", "without"),
    [
        ("no-clt", "python3 -V", "xcode-select: note: No developer tools were found"),
        ("no-homebrew", "/opt/homebrew/bin/brew --version", "no such file"),
    ],
)
def test_a_mac_without_a_tool_and_with_it_again(fleet: str, name: str, command: str, without: str) -> None:
    lab(fleet, "fault", "mac-mini", name, "on")
    bare = ssh(fleet, "mac-mini", command)
    lab(fleet, "fault", "mac-mini", name, "off")
    assert (bare.returncode != 0, without.lower() in bare.stderr.lower()) == (True, True)
    assert ssh(fleet, "mac-mini", command).returncode == 0


def test_a_reboot_keeps_the_disk_clears_tmp_and_logs_nobody_in(fleet: str) -> None:
    inside(fleet, MACBOOK_PRO, ["sh", "-c", "echo kept > ~/kept; echo gone > /tmp/gone"])
    lab(fleet, "reboot", "macbook-pro")
    assert inside(fleet, MACBOOK_PRO, ["sh", "-c", "cat ~/kept; ls /tmp"]) == "kept\n"
    assert inside(fleet, MACBOOK_PRO, ["stat", "-f", "%Su", "/dev/console"]) == "root\n"
    lab(fleet, "login", "macbook-pro")
    assert inside(fleet, MACBOOK_PRO, ["stat", "-f", "%Su", "/dev/console"]) == "felipe\n"


def test_a_reset_gives_an_empty_disk_and_keeps_the_key(fleet: str) -> None:
    inside(fleet, MACBOOK_PRO, ["sh", "-c", "echo kept > ~/kept"])
    lab(fleet, "reset", "macbook-pro")
    assert ssh(fleet, "macbook-pro", "ls").stdout.split() == ["Desktop", "Documents", "Downloads", "Library"]


def test_the_secrets_of_this_machine_do_not_show(fleet: str) -> None:
    places = f"/root /home /srv {state.LAB_FOLDER.parent}"
    assert inside(fleet, MAC_MINI, ["sh", "-c", f"ls {places} 2>/dev/null; true"], user="root") == ""


def test_ansible_reaches_the_fleet_and_becomes_root(fleet: str, tmp_path: Path) -> None:
    ansible = state.LAB_FOLDER.parent / ".venv/bin/ansible"
    command = [
        str(ansible),
        "mac-mini:windows-msi:outsider",
        "-i",
        str(state.LAB_FOLDER / "inventory"),
        "-m",
        "raw",
        "-a",
        "id -u",
    ]
    (tmp_path / "ansible.cfg").write_text("[defaults]\nhost_key_checking = true\nstdout_callback = default\n")
    settings = {**os.environ, "LAB_NAME": fleet, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    TOUCHED.append("ansible")
    plain = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert (plain.returncode, plain.stdout.count("CHANGED | rc=0")) == (0, 3), plain.stdout + plain.stderr
    command[1] = "mac-mini:windows-msi"
    root = subprocess.run([*command, "--become"], env=settings, capture_output=True, text=True, check=False)
    assert [line for line in root.stdout.splitlines() if line.isdigit()] == ["0", "0"], root.stdout + root.stderr


def test_up_is_quick_and_a_second_up_says_so(fleet: str) -> None:
    assert lab(fleet, "up").startswith(f"Lab {fleet} is up already")
    name = f"quick-{os.getpid()}"
    begun = time.monotonic()
    lab(name, "up", "--end-with", str(os.getpid()))
    taken = time.monotonic() - begun
    lab(name, "down")
    assert taken < 15


def test_two_labs_do_not_meet(fleet: str) -> None:
    name = f"second-{os.getpid()}"
    lab(name, "up", "--only", "mac-mini", "--end-with", str(os.getpid()))
    try:
        inside(name, MAC_MINI, ["sh", "-c", "echo second > ~/which"])
        assert inside(fleet, MAC_MINI, ["sh", "-c", "ls ~/which 2>&1 || true"]).endswith("No such file or directory\n")
        assert reach(name, MAC_MINI, [WINDOWS_MSI.lan4])[WINDOWS_MSI.lan4] != "windows-msi"
    finally:
        lab(name, "down")


def end_by_down(name: str) -> None:
    """End a lab as a person does."""
    lab(name, "down")


def end_by_kill(name: str) -> None:
    """End a lab as a crash does, and tidy up as the next command would."""
    record = state.Folder(name).require()
    descriptor = os.pidfd_open(record.pid)
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    until(lambda: not record.alive, "the keeper's end")
    os.close(descriptor)
    assert run_lab(name, "status").rc == 1


@pytest.mark.parametrize("end", [end_by_down, end_by_kill], ids=["down", "kill -9"])
def test_nothing_of_a_lab_stays(end: Callable[[str], None]) -> None:
    name = f"gone-{os.getpid()}"
    lab(name, "up", "--end-with", str(os.getpid()))
    during, own = traces(name), namespaces(processes_of(name)) - namespaces([os.getpid()])
    assert (bool(during["processes"]), bool(during["files"]), len(own)) == (True, True, 25)  # keeper and four hosts
    visitor = subprocess.Popen(
        ["/usr/bin/ssh", "-F", str(state.Folder(name).ssh_config), "mac-mini", "sleep 600"], stderr=subprocess.DEVNULL
    )
    until(lambda: "sleep 600" in inside(name, MAC_MINI, ["ps", "axo", "args"]), "the visitor's command")
    end(name)
    assert visitor.wait(10) == 255
    until(lambda: traces(name) == NOTHING, f"nothing left, but: {shlex.quote(str(traces(name)))}")
    assert namespaces(all_processes()) & own == set()


def test_a_lab_ends_with_the_process_it_was_tied_to() -> None:
    name = f"tied-{os.getpid()}"
    owner = subprocess.Popen(["/bin/sleep", "600"])
    lab(name, "up", "--only", "outsider", "--end-with", str(owner.pid))
    record = state.Folder(name).require()
    owner.kill()
    owner.wait()
    until(lambda: not record.alive, "the keeper's end")
    assert state.Folder(name).remove_if_stale()


def test_the_plan_is_what_the_hosts_have(fleet: str) -> None:
    addresses = inside(fleet, MAC_MINI, ["ip", "-brief", "address"])
    assert [f"{MAC_MINI.lan4}/{LAN4.split('/')[1]}" in addresses, f"{MAC_MINI.tailnet4}/10" in addresses] == [True, True]
