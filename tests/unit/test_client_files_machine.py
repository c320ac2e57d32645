"""The machine's half of client files: real files, real modes, real trouble."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils.fleet.client_asked import Validation, WantedFile
from ansible.module_utils.fleet.client_document import KEPT
from ansible.module_utils.fleet.client_files import judge
from ansible.module_utils.fleet.client_seen import BACKUP, opened, sealed, seen_from_json, work_to_json
from ansible.module_utils.macos import client_files
from ansible.module_utils.macos.one_at_a_time import one_at_a_time

from ..support.client_disk import read_json, wanted_file

RECORD = "~/.config/ollama-fleet/clients.json"
MAIN = "~/.openclaw/openclaw.json"
ENV = "~/.config/ollama-fleet/openai.env"
TEXT = "# ollama-fleet wrote this\nA=1\n"
OURS = {"models": {"providers": {"ollama": {"baseUrl": "http://localhost:11434"}}}}
PARTS = {("models", "providers", "ollama"): "fleet/ollama.json"}
THEIRS = b'// by hand\n{"channels": {"token": "s3cr3t"}}\n'


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return tmp_path


def look(*wanted):
    paths = [path for file in wanted for path in (file.path, *file.part_paths())]
    return seen_from_json(opened(sealed(client_files.look(paths, RECORD))))


def work(*wanted):
    seen = look(*wanted)
    plan = judge(wanted, seen, read_json)
    return plan, opened(sealed(work_to_json(plan, seen.record)))


def run(*wanted):
    plan, asked = work(*wanted)
    return plan, client_files.act(asked, 5) if plan.steps else {}


def main(managed=OURS, **changes):
    return wanted_file(managed, MAIN, **changes)


def text():
    return WantedFile(ENV, "text", TEXT)


def tree(folder):
    """Return everything below a folder with its mode."""
    return {
        str(path.relative_to(folder)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def contents(folder):
    return {path: content for path, (_, content) in tree(folder).items() if content is not None}


def place(home, path):
    made = home / path.removeprefix("~/")
    made.parent.mkdir(parents=True, exist_ok=True)
    return made


def test_from_nothing_and_back_to_nothing(home):
    (home / ".config").mkdir(mode=0o755)
    before = tree(home)
    _, answer = run(main(parts=PARTS), text())
    assert answer == {"validated": []}
    made = tree(home)
    assert {path: mode for path, (mode, _) in made.items()} == {
        ".config": 0o755,
        ".config/ollama-fleet": 0o700,
        ".config/ollama-fleet/clients.json": 0o600,
        ".config/ollama-fleet/openai.env": 0o600,
        ".openclaw": 0o700,
        ".openclaw/openclaw.json": 0o600,
        ".openclaw/fleet": 0o700,
        ".openclaw/fleet/ollama.json": 0o600,
    }
    assert run(main(parts=PARTS), text())[0].steps == ()
    run()
    assert tree(home) == before


def test_a_persons_file_comes_back_with_its_mode(home):
    path = place(home, MAIN)
    path.write_bytes(THEIRS)
    path.chmod(0o640)
    before = tree(home)
    run(main())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = path.with_name(path.name + KEPT)
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (THEIRS, 0o600)
    run(main({**OURS, "more": 1}))
    assert json.loads(path.with_name(path.name + BACKUP).read_bytes()) == {"channels": {"token": "s3cr3t"}, **OURS}
    run()
    assert tree(home) == before


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o777])
def test_a_mode_that_is_not_asked_for_stays(home, mode):
    path = place(home, MAIN)
    path.write_bytes(b"{}")
    path.chmod(mode)
    run(main(mode=None))
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays_and_what_is_made_is_the_folders(home):
    path = place(home, MAIN)
    path.write_bytes(b"{}")
    for one in (home, path.parent, path):
        os.chown(one, 501, 20)
    run(main(parts=PARTS), text())
    assert {(one.lstat().st_uid, one.lstat().st_gid) for one in (home, *home.rglob("*"))} == {(501, 20)}


def test_what_is_there_is_told(home):
    path = place(home, MAIN)
    path.symlink_to("elsewhere")
    seen = look(main()).file(str(path))
    assert (seen.kind, seen.problem, seen.sha256) == ("link", str(path.parent / "elsewhere"), "link")
    path.unlink()
    path.mkdir()
    assert look(main()).file(str(path)).kind == "other"
    path.rmdir()
    os.mkfifo(path)
    assert look(main()).file(str(path)).kind == "other"
    path.unlink()
    path.write_bytes(b" " * (5 * 1024 * 1024 + 1))
    assert look(main()).file(str(path)).kind == "large"
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("")
    seen = look(main()).file(str(path))
    assert (seen.kind, seen.writable, seen.problem) == ("absent", False, f"{path.parent} is no folder")


def test_a_windows_drive_is_a_path_like_others(home):
    drive = home / "mnt/c/Users/felipe/.openclaw"
    drive.mkdir(parents=True)
    (drive / "openclaw.json").write_bytes(b'{"a": 1}\r\n')
    (drive / "openclaw.json").chmod(0o777)
    run(wanted_file(OURS, str(drive / "openclaw.json"), mode=None))
    assert json.loads((drive / "openclaw.json").read_bytes()) == {"a": 1, **OURS}
    assert stat.S_IMODE((drive / "openclaw.json").stat().st_mode) == 0o777
    run()
    assert (drive / "openclaw.json").read_bytes() == b'{"a": 1}\r\n'


# What happens meanwhile. ------------------------------------------------------------------------------------------------


def test_what_moved_since_it_was_judged_is_not_written(home):
    path = place(home, MAIN)
    path.write_bytes(b"{}")
    _, asked = work(main(), text())
    path.write_bytes(b'{"new": 1}')
    before = tree(home)
    assert client_files.act(asked, 5) == {"moved": [str(path)]}
    assert tree(home) == before
    _, asked = work(main())
    path.unlink()
    path.symlink_to("elsewhere")
    assert client_files.act(asked, 5) == {"moved": [str(path)]}


def test_another_run_is_waited_for(home):
    _, asked = work(main())
    with one_at_a_time(home, 1, "x"):
        answer = client_files.act(asked, 0.01)
    assert answer["began"] is False
    assert "another run has been changing the files of client programs" in answer["problem"]
    assert client_files.act(asked, 5) == {"validated": []}


def test_of_two_runs_that_judged_the_same_one_acts_and_one_looks_again(home):
    _, asked = work(main())
    assert client_files.act(asked, 5) == {"validated": []}
    after = tree(home)
    assert client_files.act(asked, 5) == {"moved": sorted(path for path in asked["expect"])}
    assert tree(home) == after


class PowerCutError(BaseException):
    """Nothing after it happens."""


EFFECTS = ("mkdir", "replace", "unlink", "chmod", "rmdir")


def cut_at(monkeypatch, number):
    """Let the file system be gone at the effect of this number, for good."""
    left = [number]
    for name in EFFECTS:
        real = getattr(Path, name)

        def effect(*words, _real=real, **more):
            left[0] -= 1
            if left[0] < 0:
                raise PowerCutError
            return _real(*words, **more)

        monkeypatch.setattr(Path, name, effect)


@pytest.mark.parametrize("onward", [True, False], ids=["taken up", "taken back"])
@pytest.mark.parametrize("begun", ["bare", "there"])
def test_a_power_cut_before_each_effect_is_taken_up_or_back(home, monkeypatch, begun, onward):
    path = place(home, MAIN)
    wanted = (main({**OURS, "b": 1}, parts=PARTS), text())
    cuts = 0
    while True:
        for one in sorted(home.rglob("*"), reverse=True):
            one.rmdir() if one.is_dir() and not one.is_symlink() else one.unlink()
        place(home, MAIN).write_bytes(THEIRS)
        place(home, MAIN).parent.chmod(0o700)
        before = tree(home)
        if begun == "there":
            run(main({"b": 2, "c": 3}))
        with monkeypatch.context() as patched:
            cut_at(patched, cuts)
            try:
                run(*wanted)
                break
            except PowerCutError:
                cuts += 1
        if onward:
            run(*wanted)
            assert json.loads(path.read_bytes())["b"] == 1
            assert run(*wanted)[0].steps == ()
            assert not [one for one in tree(home) if one.endswith(".new")]
        run()
        # The folder of the record alone may stay, empty, where the cut came before the record.
        assert {name: one for name, one in tree(home).items() if not name.startswith(".config")} == before, cuts
        assert not [name for name in contents(home) if name.startswith(".config")]
    assert cuts > 15


SMALL = """
import sys, pathlib, subprocess, json
sys.path.insert(0, {root!r}); sys.path.insert(0, {root!r} + "/tests/unit")
import conftest
from tests.unit import test_client_files_machine as tests
from ansible.module_utils.macos import client_files
home = pathlib.Path({home!r})
subprocess.run(["mount", "-t", "tmpfs", "-o", {options!r}, "tmpfs", str(home)], check=True)
"""

FULL = """
path = tests.place(home, tests.MAIN)
path.write_bytes(tests.THEIRS)
before = tests.tree(home)
_, asked = tests.work(tests.main(), tests.text())
(home / "full").write_bytes(b"")
with (home / "full").open("wb", buffering=0) as file:
    try:
        while True: file.write(b"x" * 4096)
    except OSError: pass
answer = client_files.act(asked, 5)
(home / "full").unlink()
assert tests.tree(home) == before, tests.tree(home)
print(json.dumps(answer))
"""

READ_ONLY = """
seen = tests.look(tests.main()).file(str(home / ".openclaw/openclaw.json"))
print(json.dumps([seen.kind, seen.writable, seen.problem]))
"""


def in_a_small_home(home, options, code):
    """Run code in a mount namespace in which the home is a small disk of its own."""
    root = Path(__file__).resolve().parents[2]
    program = SMALL.format(root=str(root), home=str(home), options=options) + code
    done = subprocess.run(
        [shutil.which("unshare"), "--mount", "--map-root-user", sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=root, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_full_disk_leaves_everything_as_it_was(home):
    answer = in_a_small_home(home, "size=64k", FULL)
    assert answer["began"] is False
    assert "No space left on device" in answer["problem"]
    assert str(home) in answer["problem"]


def test_a_read_only_disk_is_told_before_anything_is_written(home):
    kind, writable, problem = in_a_small_home(home, "size=64k,ro", READ_ONLY)
    assert (kind, writable) == ("absent", False)
    assert f"{home} takes none from" in problem


# The client's own check. ------------------------------------------------------------------------------------------------

CLIENT = """#!/bin/sh
echo "$@" > "{said}"
env | sort >> "{said}"
ls "$(dirname "$CONFIG")" >> "{said}"
cat "$CONFIG" >> "{said}"
echo x > "$HOME/migrated"
{rest}
"""


def client(home, rest):
    folder = home / ".local/bin"
    folder.mkdir(parents=True)
    program = folder / "openclaw"
    program.write_text(CLIENT.format(said=home / "said", rest=rest))
    program.chmod(0o755)
    return home / "said"


HOW = Validation(("openclaw", "config", "validate"), "CONFIG", {"STATE": "{home}/state"}, 10)


def test_a_client_judges_the_whole_beside_the_file_and_sees_nothing_of_the_person(home, monkeypatch):
    monkeypatch.setenv("A_TOKEN", "s3cr3t")
    path = place(home, MAIN)
    path.write_bytes(b'{"channels": {"token": "${A_TOKEN}", "x": "${lower}"}, "$include": "./mine.json"}')
    path.with_name("mine.json").write_text("{}")
    said = client(home, "exit 0")
    _, answer = run(main(parts=PARTS, validate=HOW))
    assert [(one["result"], one["program"]) for one in answer["validated"]] == [("valid", "openclaw")]
    lines = said.read_text().splitlines()
    assert lines[0] == "config validate"
    assert {"A_TOKEN=ollama-fleet-dummy", "lower=ollama-fleet-dummy", "mine.json"} <= set(lines)
    (private,) = [line.removeprefix("HOME=") for line in lines if line.startswith("HOME=")]
    assert private != str(home)
    assert not Path(private).exists()
    assert f"STATE={private}/state" in lines
    assert "s3cr3t" not in said.read_text()
    content = said.read_text()[said.read_text().index("{\n") :]
    assert json.loads(content)["models"] == OURS["models"]
    assert sorted(one.name for one in path.parent.iterdir()) == ["fleet", "mine.json", "openclaw.json", "openclaw.json" + KEPT]


def test_what_a_client_refuses_touches_nothing(home):
    client(home, "echo 'Invalid: models' >&2; exit 1")
    (home / "said").touch()
    before = tree(home)
    _, answer = run(main(validate=HOW), text())
    (refused,) = answer["refused"]
    assert refused["words"] == "Invalid: models\n"
    (home / "said").write_text("")
    assert tree(home) == before


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_client_that_does_not_end_is_ended_with_its_children(home):
    said = client(home, 'sleep 1000 & echo $! > "$STATE.pid"; cat "$STATE.pid"; sleep 1000')
    how = Validation(HOW.command, HOW.path_variable, HOW.environment, 1)
    _, answer = run(main(validate=how))
    words = answer["refused"][0]["words"].split()
    assert " ".join(words[:7]) == "it did not end within 1 s"
    assert said.exists()
    deadline = time.monotonic() + 10
    while is_running(int(words[7])):
        assert time.monotonic() < deadline


def test_a_client_that_prints_without_end_is_cut(home):
    client(home, "head -c 2000000 /dev/zero | tr '\\0' x; exit 1")
    assert len(run(main(validate=HOW))[1]["refused"][0]["words"]) == client_files.WORDS_BYTES


def test_a_client_that_is_not_there_is_told(home):
    _, answer = run(main(validate=HOW))
    assert answer["validated"][0]["result"] == "missing"
    assert json.loads((home / ".openclaw/openclaw.json").read_bytes()) == OURS
