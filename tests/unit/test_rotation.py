"""Logs are moved without losing a line: names, refusals, a writer at work, a disk that is full."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.companion import logs
from ansible.module_utils.fleet.companion_settings import Logs, to_text
from ansible.module_utils.fleet.rotation import shift
from hypothesis import given
from hypothesis import strategies as st

SMALL = Logs((), size=100, keep=3, compress=False)


@pytest.mark.parametrize(
    ("beside", "renames", "removals"),
    [
        ([], (), ()),
        (["x.log", "y.log.1", "x.log.old", "x.log.01", "x.log.0", "xxlog.1"], (), ()),
        (["x.log.1"], (("x.log.1", "x.log.2"),), ()),
        (["x.log.1.gz", "x.log.2.gz"], (("x.log.2.gz", "x.log.3.gz"), ("x.log.1.gz", "x.log.2.gz")), ()),
        (
            ["x.log.1", "x.log.2", "x.log.3", "x.log.9"],
            (("x.log.2", "x.log.3"), ("x.log.1", "x.log.2")),
            ("x.log.9", "x.log.3"),
        ),
        (["x.log.2"], (), ()),
        (["x.log.1", "x.log.1.gz"], (("x.log.1", "x.log.2"),), ("x.log.1.gz",)),
    ],
    ids=["none", "other names", "one", "packed", "the oldest goes", "a gap is room", "a packing was cut off"],
)
def test_old_logs_move_up(beside, renames, removals):
    assert (shift("x.log", beside, 3).renames, shift("x.log", beside, 3).removals) == (renames, removals)


@given(
    numbers=st.sets(st.integers(1, 12)),
    packed=st.sets(st.integers(1, 12)),
    keep=st.integers(1, 12),
)
def test_no_old_log_is_overwritten_and_none_is_kept_too_long(numbers, packed, keep):
    there = {f"x.log.{number}": number for number in numbers} | {f"x.log.{number}.gz": number for number in packed}
    plan = shift("x.log", there, keep)
    disk = dict(there)
    for name in plan.removals:
        del disk[name]
    for old, new in plan.renames:
        assert new not in disk
        disk[new] = disk.pop(old)
    assert "x.log.1" not in disk
    assert "x.log.1.gz" not in disk
    by_number = [int(name.split(".")[2]) for name in disk]
    assert len(by_number) == len(set(by_number))
    assert max(by_number, default=1) <= max(keep, 1)
    # Only what is too old goes, and the shadow of a packing.
    assert {there[name] for name in there} - set(disk.values()) <= {number for number in there.values() if number >= keep}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "x.log"
    path.write_text("line\n" * 100)
    return path


def test_a_large_log_is_moved_and_emptied_in_place(log):
    writer = log.open("a")
    inode = log.stat().st_ino
    log.chmod(0o640)
    assert logs.rotate(log, SMALL) == logs.Rotated(500, 0)
    writer.write("next\n")
    writer.flush()
    assert (log.read_text(), log.stat().st_ino) == ("next\n", inode)
    assert log.with_name("x.log.1").read_text() == "line\n" * 100
    assert log.with_name("x.log.1").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in log.parent.iterdir()) == ["x.log", "x.log.1"]


def test_a_small_log_and_one_that_is_not_there_are_left(log):
    log.write_text("x" * 100)
    assert logs.rotate(log, SMALL) is None
    assert logs.rotate(log.with_name("none"), SMALL) is None
    assert [path.name for path in log.parent.iterdir()] == ["x.log"]


def test_old_logs_are_packed_and_only_so_many_kept(log):
    for turn in range(5):
        log.write_text(f"{turn}\n" * 100)
        logs.rotate(log, Logs((), size=100, keep=3, compress=True))
    names = sorted(path.name for path in log.parent.iterdir())
    assert names == ["x.log", "x.log.1.gz", "x.log.2.gz", "x.log.3.gz"]
    assert gzip.decompress(log.with_name("x.log.3.gz").read_bytes()) == b"2\n" * 100


def test_a_link_a_pipe_a_folder_and_a_second_name_are_refused(log, tmp_path):
    link = tmp_path / "link.log"
    link.symlink_to(log)
    with pytest.raises(logs.Refused, match="symbolic link"):
        logs.rotate(link, SMALL)
    pipe = tmp_path / "pipe.log"
    os.mkfifo(pipe)
    with pytest.raises(logs.Refused, match="no regular file"):
        logs.rotate(pipe, SMALL)
    with pytest.raises(OSError, match="directory"):
        logs.rotate(tmp_path, SMALL)
    os.link(log, tmp_path / "second.log")
    with pytest.raises(logs.Refused, match="2 names"):
        logs.rotate(log, SMALL)
    assert log.read_text() == "line\n" * 100


def test_a_log_of_somebody_else_is_refused(log, monkeypatch):
    monkeypatch.setattr(logs.os, "getuid", lambda: log.stat().st_uid + 1)
    with pytest.raises(logs.Refused, match="belongs to user"):
        logs.rotate(log, SMALL)


def test_a_trap_in_the_place_of_an_old_log_or_of_the_copy_harms_no_other_file(log, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "x.log.1").symlink_to(victim)
    (tmp_path / ".x.log.rotating").symlink_to(victim)
    logs.rotate(log, SMALL)
    assert victim.read_text() == "mine"
    assert (tmp_path / "x.log.1").read_text() == "line\n" * 100


def test_a_disk_without_room_is_named_before_anything_is_copied(log, monkeypatch):
    monkeypatch.setattr(logs.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 10})())
    with pytest.raises(logs.Refused, match="10 bytes left"):
        logs.rotate(log, SMALL)
    assert [path.name for path in log.parent.iterdir()] == ["x.log"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_disk_that_fills_up_on_the_way_loses_nothing(log, monkeypatch, after):
    """The copy fails at its first, second or last write."""
    monkeypatch.setattr(logs, "CHUNK", 200)
    real, count = os.write, []

    def write(descriptor, data):
        count.append(1)
        if len(count) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(logs.os, "write", write)
    with pytest.raises(OSError, match="No space"):
        logs.rotate(log, SMALL)
    assert log.read_text() == "line\n" * 100
    assert [path.name for path in log.parent.iterdir()] == ["x.log"]


def test_a_disk_that_fills_up_at_the_very_end_leaves_lines_twice_and_never_nowhere(log, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        real(descriptor)
        with log.open("a") as writer:
            writer.write("meanwhile\n")
        monkeypatch.setattr(logs.os, "write", full)

    def full(_descriptor, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(logs.os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        logs.rotate(log, SMALL)
    assert log.read_text() == "line\n" * 100 + "meanwhile\n"
    assert log.with_name("x.log.1").read_text() == "line\n" * 100


def test_what_comes_too_fast_is_counted_and_the_rotation_ends(log, monkeypatch):
    monkeypatch.setattr(logs, "SURPLUS_BYTES", 1000)
    monkeypatch.setattr(logs, "CHUNK", 100)
    real = os.pread

    def pread(descriptor, size, offset):
        with log.open("a") as writer:
            writer.write("more\n" * 40)
        return real(descriptor, size, offset)

    monkeypatch.setattr(logs.os, "pread", pread)
    done = logs.rotate(log, SMALL)
    assert done.moved == 1500
    assert done.lost > 0
    assert log.stat().st_size == 0
    assert log.with_name("x.log.1").stat().st_size == 1500


@pytest.mark.parametrize("step", ["pread", "write", "fsync", "fchmod", "fstat"])
@pytest.mark.parametrize("lines", [1, 2, 5])
def test_no_line_is_lost_that_comes_before_the_last_look(log, monkeypatch, step, lines):
    """Lines come right before the first calls of one step, rotation after rotation; the writer pauses before each cut."""
    real, left, written = getattr(os, step), [0], []

    def write() -> None:
        with log.open("ab") as file:
            file.write(b"%08d a line of the server\n" % len(written))
        written.append(1)

    def meanwhile(*arguments):
        if left[0]:
            left[0] -= 1
            write()
        return real(*arguments)

    monkeypatch.setattr(logs.os, step, meanwhile)
    log.write_text("")
    keeper = Logs((), size=500, keep=1000, compress=False)
    for _ in range(12):
        while log.stat().st_size <= keeper.size:
            write()
        left[0] = lines
        done = logs.rotate(log, keeper)
        assert done.lost == 0
        left[0] = 0
    old = sorted(log.parent.glob("x.log.*"), key=lambda path: -int(path.suffix[1:]))
    found = "".join(path.read_text() for path in [*old, log]).splitlines()
    assert [int(line.split()[0]) for line in found] == list(range(len(written)))


WRITER = """\
import signal, sys, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
written = 0
with open(sys.argv[1], "ab", buffering=0) as file:
    while not stop:
        file.write(b"%08d a line of the server\\n" % written)
        written += 1
        time.sleep(0.02)
print(written)
"""


def test_no_line_is_lost_under_a_writer_that_pauses_as_a_server_does(log):
    """The writer is a process, as a server is, and its pauses are longer than a rotation: one line in a thousandth of a second
    met the moment before the cut in every fourth run."""
    log.write_text("")
    with subprocess.Popen([sys.executable, "-c", WRITER, str(log)], stdout=subprocess.PIPE, text=True) as writer:
        keeper = Logs((), size=100, keep=1000, compress=False)
        rotations = 0
        while rotations < 12:
            rotations += logs.rotate(log, keeper) is not None
        writer.terminate()
        written = int(writer.communicate()[0])
    old = sorted(log.parent.glob("x.log.*"), key=lambda path: -int(path.suffix[1:]))
    lines = "".join(path.read_text() for path in [*old, log]).splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(written))


def run(place, capsys, *files, **changes):
    logs.run(to_text(Logs(tuple(map(str, files)), **{"size": 100, "keep": 3, "compress": False, **changes})), place / "state")
    return capsys.readouterr().err


def test_a_run_says_what_it_did_and_a_complaint_once(log, tmp_path, capsys):
    link = tmp_path / "link.log"
    link.symlink_to(log)
    said = run(tmp_path, capsys, log, link)
    assert f"{log} is rotated, 500 bytes" in said
    assert f"{link} is left alone: it is a symbolic link" in said
    assert run(tmp_path, capsys, log, link) == ""


def test_one_log_that_cannot_be_rotated_keeps_no_other_from_it(log, tmp_path, capsys):
    said = run(tmp_path, capsys, tmp_path, log)
    assert "could not be rotated" in said
    assert "nothing of it is lost" in said
    assert Path(f"{log}.1").exists()
