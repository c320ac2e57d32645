"""Names, stale labs, the inventory, layers, faults and the command line of the lab's controller."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from controller import cli, faults, image, inventory, machine, packages, state
from controller.hosts import fleet
from controller.state import Folder, LabError, Record

if TYPE_CHECKING:
    from pathlib import Path

    Monkey = pytest.MonkeyPatch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Monkey) -> Folder:
    """Give a state folder below a temporary place."""
    monkeypatch.setattr(state, "RUN", tmp_path / "run")
    made = Folder("here")
    made.path.mkdir(parents=True)
    return made


def record(**changed: Any) -> Record:
    """Give the record of a lab that this very process would be."""
    begun = state.start_time(os.getpid())
    assert begun is not None
    known = {"name": "here", "pid": os.getpid(), "start_time": begun, "hosts": ("mac-mini",)}
    return Record(**{**known, "extra_macs": 0, "macos": 15, "checkout": "/x", **changed})


@pytest.mark.parametrize("name", ["a", "lab-1", "0x", "a" * 31])
def test_good_names(name: str) -> None:
    assert state.lab_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "../x", "a" * 32, "ä"])
def test_bad_names_are_refused(name: str, monkeypatch: Monkey) -> None:
    monkeypatch.setenv("LAB_NAME", name or "UNFIT")
    with pytest.raises(LabError, match="small letters"):
        state.lab_name(name)


def test_a_name_asked_for_beats_the_environment_and_that_the_checkout(monkeypatch: Monkey) -> None:
    monkeypatch.setenv("LAB_NAME", "from-environment")
    assert (state.lab_name("asked"), state.lab_name(None)) == ("asked", "from-environment")
    monkeypatch.delenv("LAB_NAME")
    assert state.lab_name(None) == state.default_name(state.LAB_FOLDER.parent)


def test_two_checkouts_have_two_names(tmp_path: Path) -> None:
    assert state.default_name(tmp_path / "a") != state.default_name(tmp_path / "b")


def test_a_written_record_is_read_back(folder: Folder) -> None:
    folder.write(record())
    assert (folder.read(), folder.running()) == (record(), record())


@pytest.mark.parametrize("changed", [{"start_time": 1}, {"pid": 2**22 + 1}], ids=["pid taken by another", "process gone"])
def test_a_lab_whose_keeper_is_gone_is_stale(folder: Folder, changed: dict[str, int]) -> None:
    folder.write(record(**changed))
    assert (folder.running(), folder.remove_if_stale(), folder.path.exists()) == (None, True, False)


def test_a_running_lab_is_not_stale(folder: Folder) -> None:
    folder.write(record())
    assert (folder.remove_if_stale(), folder.path.exists()) == (False, True)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"pid": 1, "hosts": []}'])
def test_a_record_that_cannot_be_read_counts_as_none(folder: Folder, text: str) -> None:
    folder.record.write_text(text)
    assert folder.read() is None


def test_a_zombie_does_not_count_as_alive() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    found = state.start_time(child)
    os.waitpid(child, 0)
    assert found is None


def test_the_inventory_has_connection_variables_and_no_other(folder: Folder) -> None:
    hosts = inventory.inventory(fleet(), folder)["_meta"]["hostvars"]
    assert {name for variables in hosts.values() for name in variables if not name.startswith("ansible_")} == set()


def test_the_inventory_names_the_fleet_without_grouping_it(folder: Folder) -> None:
    found = inventory.inventory(fleet(), folder)
    assert found.keys() == {"_meta", "ungrouped", "outsiders"}
    assert found["ungrouped"]["hosts"] == ["mac-mini", "macbook-pro", "windows-msi"]
    assert found["outsiders"]["hosts"] == ["outsider"]


def test_extra_macs_join_the_fleet_in_the_inventory(folder: Folder) -> None:
    found = inventory.inventory(fleet(2), folder)
    assert found["ollama_servers"]["hosts"] == found["always_on"]["hosts"] == ["mac-03", "mac-04"]
    assert found["_meta"]["hostvars"]["mac-03"]["fleet_local_name"] == "mac-03.local"


def test_control_sockets_are_the_labs_own_and_short_enough() -> None:
    longest = Folder("a" * 31).control_paths
    # A unix socket's path has 108 bytes; Ansible adds 10 of hash, and ssh a dot and 16 while it binds.
    assert len(str(longest)) + 1 + 10 + 17 < 108


def test_without_a_lab_the_inventory_says_how_to_get_one(
    folder: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: Monkey
) -> None:
    monkeypatch.setenv("LAB_NAME", folder.name)
    assert inventory.main(["--list"]) == 1
    assert "lab/lab up" in capsys.readouterr().err


def test_a_shim_is_two_lines() -> None:
    assert image.shim("pmset").splitlines() == [
        "#!/bin/sh",
        'exec /opt/virtual-mac/python /opt/virtual-mac/lib/mac/entry.py pmset "$@"',
    ]


MOUNTS = """\
25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
26 25 0:5 / /usr/share/x rw - proc proc rw
27 25 254:1 / /usr rw - ext4 /dev/vdb rw
28 25 254:2 / /home rw - ext4 /dev/vdc rw
29 25 254:3 / /usrlocal rw - ext4 /dev/vdd rw
"""


def test_a_separate_usr_is_seen() -> None:
    assert machine.separate_program_mounts(MOUNTS) == ["/usr"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("on", True), ("off", False), ("3", 3), ('{"a": 1}', {"a": 1}), ('"qwen3:8b"', "qwen3:8b"), ("true", True)],
)
def test_a_fault_has_a_value(text: str, value: object) -> None:
    assert faults.parse_value(text) == value


def test_a_fault_value_that_is_no_json_is_refused() -> None:
    with pytest.raises(LabError, match="neither on, off nor"):
        faults.parse_value("maybe")


@pytest.mark.parametrize(
    ("known", "value", "wanted"),
    [({}, True, {"x": True}), ({"x": True}, False, {}), ({"x": 1, "y": 2}, 3, {"x": 3, "y": 2}), ({"y": 2}, None, {"y": 2})],
)
def test_switching_a_fault_leaves_the_others(known: dict[str, object], value: object, wanted: dict[str, object]) -> None:
    assert faults.with_fault(known, "x", value) == wanted


def test_a_fault_is_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    faults.write(file, "x", 3)
    faults.write(file, "y", True)
    faults.write(file, "x", False)
    assert json.loads(file.read_text()) == {"y": True}


def test_no_fault_is_named_twice() -> None:
    names = [name for part, known in faults.catalogue().items() if part != "registry" for name in known]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("name", "host", "mac"),
    [
        ("no-clt", "windows-msi", False),
        ("down", "mac-mini", True),
        ("offline", "registry", False),
        ("nonsense", "mac-mini", True),
    ],
)
def test_a_fault_the_host_cannot_have_is_refused(name: str, host: str, *, mac: bool) -> None:
    with pytest.raises(LabError, match="fault --list"):
        faults.check(name, host, mac=mac)


@pytest.mark.parametrize(
    ("name", "host", "mac"), [("offline", "outsider", False), ("no-clt", "mac-mini", True), ("down", "registry", False)]
)
def test_a_fault_the_host_can_have_is_taken(name: str, host: str, *, mac: bool) -> None:
    faults.check(name, host, mac=mac)


@pytest.mark.parametrize(("value", "free"), [(True, 0), (False, None), (4096, 4096)])
def test_disk_full_leaves_what_was_asked_for(value: object, free: int | None) -> None:
    assert faults.free_bytes(value) == free


@pytest.mark.parametrize("root", [True, False], ids=["root", "user"])
def test_missing_packages_cost_one_command(*, root: bool) -> None:
    line = packages.install_line(["nftables", "sudo"], root=root)
    assert (line[-2:], line[0] == "sudo") == (["nftables", "sudo"], not root)


def test_packages_that_are_there_are_not_installed_again(monkeypatch: Monkey) -> None:
    monkeypatch.setattr(packages, "missing", list)
    monkeypatch.setattr("subprocess.run", lambda *_a, **_k: pytest.fail("ran a program"))
    assert packages.ensure(lambda _line: None) is False


def test_without_apt_a_sentence_names_the_packages(monkeypatch: Monkey) -> None:
    monkeypatch.setattr(packages, "missing", lambda: ["nftables"])
    monkeypatch.setattr("shutil.which", lambda *_a, **_k: None)
    with pytest.raises(LabError, match="nftables; please install"):
        packages.ensure(lambda _line: None)


def test_without_root_and_sudo_a_sentence_says_so(monkeypatch: Monkey) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match="needs root"):
        cli.with_root(["status"])


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["exec", "mac-mini"], ["fault", "mac-mini"], ["fault", "mac-mini", "offline"], ["reboot"]],
    ids=" ".join,
)
def test_what_is_not_a_command_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [["--name", "absent-lab", "exec", "mac-mini", "--", "ls", "-l"], ["exec", "--name", "absent-lab", "x", "--", "y"]],
)
def test_a_verb_without_a_lab_says_how_to_get_one(
    arguments: list[str], folder: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: Monkey
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert (cli.main(arguments), folder.path.exists()) == (1, True)
    assert capsys.readouterr().err == "Lab absent-lab is not running: start it with `lab/lab up`.\n"
