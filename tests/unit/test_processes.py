"""Processes as ps lists them, and the few that bear on a server."""

from __future__ import annotations

import getpass
import json
import os

import pytest
from ansible.module_utils.fleet.launchctl_output import parse_services
from ansible.module_utils.fleet.processes import COLUMNS, Process, parse, relevant
from ansible.module_utils.macos import details, system
from ansible.module_utils.macos.commands import run
from hypothesis import given
from hypothesis import strategies as st

LISTING = """\
    1     0   9000 root             Thu Nov 26 04:00:00 2026     /sbin/launchd
  501     1  12345 felipe           Thu Nov  6 04:05:22 2026     /opt/homebrew/opt/ollama/bin/ollama serve
  502   501  99999 felipe           Thu Nov 26 04:05:23 2026     /opt/homebrew/bin/llama-server --model x
  600     1    100 root             Thu Nov 26 04:05:24 2026     /usr/sbin/cron -f
  601   600    200 _www             Thu Nov 26 04:05:25 2026     python3 -m http.server 11434
nonsense
"""


def test_a_listing_is_read_with_days_of_one_digit_and_commands_with_spaces():
    found = {process.pid: process for process in parse(LISTING)}
    assert found[501] == Process(
        501, 1, "felipe", 12345 * 1024, "2026-11-06T04:05:22Z", "/opt/homebrew/opt/ollama/bin/ollama serve"
    )
    assert set(found) == {1, 501, 502, 600, 601}


def test_a_long_command_is_cut_and_control_characters_stay_for_the_report_to_show():
    line = f"  7 1 1 x Thu Nov 26 04:05:22 2026 \x1b[31mollama{'a' * 10**6}"
    assert len(parse(line)[0].command) == 300


def test_those_that_bear_on_a_server_come_with_whoever_started_them():
    assert [one.pid for one in relevant(parse(LISTING), [601])] == [1, 501, 600, 601]
    assert [one.pid for one in relevant(parse(LISTING), [])] == [1, 501]
    assert [one.pid for one in relevant(parse(LISTING), [4711])] == [1, 501]


def test_parents_that_are_each_others_parents_end():
    ring = (Process(2, 3, "x", 0, "", "ollama"), Process(3, 2, "x", 0, "", "other"))
    assert [one.pid for one in relevant(ring, [])] == [2, 3]


def test_the_ps_of_this_machine_is_read():
    listed = run(["/bin/ps", "-axo", COLUMNS], environment={"TZ": "UTC"})
    own = next(one for one in parse(listed.out) if one.pid == os.getpid())
    assert own.parent == os.getppid()
    assert own.started.endswith("Z")


def test_a_log_is_read_at_its_end_and_bounded_whatever_it_holds(tmp_path):
    log = tmp_path / "err.log"
    log.write_bytes(b"first\n" + b"x" * 10**6 + b"\n" + b"bad \xff byte\n" + b"<script>\x1b[31m\n" + b"y" * 1000 + b"\nlast")
    read = details.read_logs([str(log), str(tmp_path / "absent"), str(tmp_path)])
    assert read[str(log)]["size_bytes"] == log.stat().st_size
    assert read[str(log)]["tail"] == ["bad \ufffd byte", "<script>\x1b[31m", "y" * 500, "last"]
    assert read[str(tmp_path / "absent")] is None
    assert "directory" in read[str(tmp_path)].reason


def test_heartbeats_are_when_each_job_ran_last(tmp_path):
    folder = tmp_path / "Library/Application Support/ollama-fleet/state"
    folder.mkdir(parents=True)
    (folder / "heal.json").write_text('{"at": "2026-11-26T04:00:00Z"}')
    (folder / "logs.json").write_text("{")
    read = details.read_heartbeats(str(tmp_path))
    assert read["heal"] == "2026-11-26T04:00:00Z"
    assert read["residents"] is None
    assert "logs.json" in read["logs"].reason


SERVICES = """\
gui/501 = {
\ttype = login
\tservices = {
\t\t     152      - \tcom.user.ollama
\t\t       0      0 \tcom.user.ollama.heal
\t\t       -     78 \tcom.example.broken
\t\t     777    (pe) \tapplication.com.electron.ollama.1.2
\t}

\tdisabled services = {
\t\t     999      - \tnot.a.service
\t}
}
"""


def test_what_runs_in_a_domain_is_read_by_its_process():
    assert parse_services(SERVICES) == {152: "com.user.ollama", 777: "application.com.electron.ollama.1.2"}
    assert parse_services("Could not find domain") == {}


@given(st.text())
def test_no_print_breaks_the_reader(text):
    assert isinstance(parse_services(text), dict)


def test_files_of_models_are_held_against_their_manifest_by_size(tmp_path):
    blobs, manifests = tmp_path / "blobs", tmp_path / "manifests" / "registry.ollama.ai" / "library" / "qwen3"
    blobs.mkdir()
    manifests.mkdir(parents=True)
    layers = [{"digest": f"sha256:{name}", "size": 5} for name in ("good", "short", "absent")]
    (manifests / "8b").write_text(json.dumps({"config": {"digest": "sha256:config", "size": 2}, "layers": layers}))
    (manifests / "broken").write_text("{")
    for name, content in (("config", "{}"), ("good", "12345"), ("short", "1234")):
        (blobs / f"sha256-{name}").write_text(content)
    assert details.read_damage(tmp_path) == [
        {"model": "qwen3:8b", "digest": "sha256:short", "found": 4, "wanted": 5},
        {"model": "qwen3:8b", "digest": "sha256:absent", "found": None, "wanted": 5},
    ]
    assert details.read_damage(tmp_path / "nowhere") == []


def test_a_log_says_whether_it_may_be_written(tmp_path, monkeypatch):
    log = tmp_path / "err.log"
    log.write_text("x")
    assert details.read_logs([str(log)])[str(log)]["writable"] is True
    # Whoever runs this may be root, who may write everything.
    monkeypatch.setattr(details.os, "access", lambda path, mode: mode != os.W_OK)
    assert details.read_logs([str(log)])[str(log)]["writable"] is False


@pytest.mark.parametrize(
    ("version", "place", "there"),
    [
        ("0.32.15", "libexec/lib/ollama", True),
        ("0.32.15", "libexec", True),
        ("0.32.15", "lib/ollama", True),
        ("0.32.15", "bin", False),
        ("0.24.0", "bin", None),
    ],
)
def test_llama_server_is_looked_for_where_ollama_looks(tmp_path, version, place, there):
    keg = tmp_path / "Cellar" / "ollama" / version
    for path in (keg / "libexec" / "ollama", keg / place / "llama-server"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / "ollama").symlink_to(keg)
    assert system.read_keg(str(tmp_path), "ollama", str(tmp_path / "opt" / "ollama" / "libexec" / "ollama")).runner is there
    assert system.read_keg(str(tmp_path), "ollama", str(tmp_path / "nowhere")).runner is None


def test_what_the_user_may_not_read_or_replace_in_the_store_is_named(tmp_path, monkeypatch):
    store = tmp_path / "models"
    (store / "blobs").mkdir(parents=True)
    (store / "blobs" / "sha256-aa").write_text("x")
    (store / "blobs" / "sha256-bb").write_text("x")
    (store / "blobs" / "sha256-bb").chmod(0o600)
    (store / "manifests").mkdir()
    (store / "blobs" / "sha256-cc").symlink_to("/Volumes/Models/sha256-cc")
    assert details.read_closed(store)["paths"] == []
    assert details.read_closed(tmp_path / "nowhere" / "models") == {
        "store": str(tmp_path / "nowhere" / "models"), "user": getpass.getuser(), "paths": []
    }  # fmt: skip
    # Whoever runs this may be root, who may do everything.
    refused = {"sha256-bb": os.R_OK, "manifests": os.W_OK}
    monkeypatch.setattr(details.os, "access", lambda path, needed: path.exists() and not refused.get(path.name, 0) & needed)
    owner = getpass.getuser()
    assert details.read_closed(store)["paths"] == [
        {"path": str(store / "manifests"), "owner": owner, "mode": "0755"},
        {"path": str(store / "blobs" / "sha256-bb"), "owner": owner, "mode": "0600"},
    ]
    monkeypatch.setattr(details.os, "access", lambda path, needed: not needed or path != tmp_path)
    assert [entry["path"] for entry in details.read_closed(store)["paths"]] == [str(tmp_path)]
