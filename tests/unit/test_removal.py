"""What goes in a teardown: what is ours, in the order in which it can go, and not a thing more."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet import packet_filter, power
from ansible.module_utils.fleet.application_firewall import Firewall, removal
from ansible.module_utils.fleet.removal import REMOVALS, jobs_plan, judge, needs_root
from ansible.module_utils.fleet.vocabulary import Step, plain
from ansible.module_utils.macos.system import read_kinds

from .examples import (
    BARE,
    CONVERGED,
    DEFINITION,
    HOME,
    KEG_PROGRAM,
    LABEL,
    PATH,
    TARGET,
    UID,
    definition,
    desired,
    file_of,
    job_of,
    observed,
)

LABELS = [f"{LABEL}.residents", f"{LABEL}.logs", LABEL, "com.ollama.serve"]
FOLDER = f"{HOME}/Library/Application Support/ollama-fleet"


def asked(**changes):
    teardown = {"labels": LABELS, "prefix": "/opt/homebrew", "logs": [], "models": False, "formula": False, **changes}
    return {**desired(), "teardown": teardown}


def seen(**parts):
    return observed(own_files={FOLDER: "folder"}, **parts)


NOTHING = {
    "launchd": {**observed()["launchd"], "files": [], "jobs": []},
    "firewall": {"state": 1, "rules": {"/Applications/Other.app": "allow"}},
    "shell_block": {**observed()["shell_block"], "block": None},
    "packet_filter": {
        "launchd": {**observed()["launchd"], "uid": 0, "files": [], "jobs": []},
        "files": [],
        "state": None,
        "pf_conf": True,
        "reaches": None,
    },
    "own_files": {},
    "power": plain(power.Found()),
}


def test_what_was_made_goes_and_models_formula_and_logs_stay():
    plan = judge("mac-mini", asked(), seen())
    assert plan["listing"] == [
        f"ollama_service: bootout {TARGET}.residents",
        f"ollama_service: remove {PATH[:-6]}.residents.plist",
        f"ollama_service: bootout {TARGET}.logs",
        f"ollama_service: remove {PATH[:-6]}.logs.plist",
        f"ollama_service: bootout {TARGET}",
        f"ollama_service: remove {PATH}",
        f"firewall: remove {KEG_PROGRAM}",
        f"exposure: bootout system/{packet_filter.LABEL}",
        f"exposure: remove {packet_filter.JOB_PATH}",
        f"exposure: flush {packet_filter.ANCHOR}",
        f"exposure: remove {packet_filter.STATE_PATH}",
        *(f"exposure: remove {path}" for path in packet_filter.FILES),
        "power: set autorestart",
        "power: set sleep",
        f"power: forget {power.RECORD_PATH}",
        f"power: bootout system/{power.LABEL}",
        f"power: remove {power.JOB_PATH}",
        f"power: set {power.LIMIT}",
        f"shell_env: remove the block in {HOME}/.zshrc",
        f"teardown: delete {FOLDER}",
    ]
    assert plan["concerns"] == ["ollama_service", "firewall", "exposure", "power", "shell_env", "teardown"]
    assert plan["root"] == ["firewall", "exposure", "power"]
    assert (plan["unknown"], plan["findings"]) == ({}, [])


def test_what_is_asked_for_goes_too_and_models_before_the_server():
    logs = ["/tmp/ollama.err.log"]  # noqa: S108
    found = seen()
    found["own_files"][logs[0]] = "file"
    plan = judge("mac-mini", asked(models=True, formula=True, logs=logs), found)
    assert plan["concerns"] == list(REMOVALS)
    assert plan["listing"][0] == "ollama_models: delete qwen3:8b"
    assert "homebrew: uninstall ollama" in plan["listing"]
    assert f"teardown: delete {logs[0]}" in plan["listing"]


@pytest.mark.parametrize("more", [{}, {"models": True, "formula": True}], ids=["as it is", "all of it"])
def test_a_mac_without_anything_of_ours_has_no_steps(more):
    gone = {
        "models": {"installed": [{"name": "mine:1b", "digest": "a", "size": 1}], "loaded": [], "registry": {}},
        "homebrew": {**observed()["homebrew"], "installed": [], "linked": "", "program": ""},
    }
    plan = judge("mac-mini", asked(**more), observed(**NOTHING, **gone))
    assert (plan["steps"], plan["concerns"], plan["listing"], plan["findings"]) == ({}, [], [], [])


def test_only_models_that_the_inventory_names_are_deleted():
    store = observed()["models"]
    store["installed"].append({"name": "mine:1b", "digest": "a", "size": 1})
    plan = judge("mac-mini", asked(models=True), seen(models=store))
    assert [step["item"] for step in plan["steps"]["ollama_models"]] == ["qwen3:8b"]


@pytest.mark.parametrize("server", [{"version": None}, {"unknown": "timed out"}])
def test_models_need_a_server_and_that_is_said(server):
    plan = judge("mac-mini", asked(models=True), seen(server=server))
    (finding,) = plan["findings"]
    assert finding["severity"] == "error"
    assert "only while the server answers" in finding["why"]
    assert "ollama_models" not in plan["concerns"]
    assert judge("mac-mini", asked(), seen(server=server))["findings"] == []


@pytest.mark.parametrize(
    ("part", "concern"),
    [
        ("launchd", "ollama_service"),
        ("firewall", "firewall"),
        ("shell_block", "shell_env"),
        ("packet_filter", "exposure"),
        ("own_files", "teardown"),
        ("power", "power"),
        ("homebrew", "homebrew"),
        ("models", "ollama_models"),
    ],
)
def test_what_cannot_be_read_is_said_for_its_concern(part, concern):
    plan = judge("mac-mini", asked(models=True, formula=True), {**seen(), part: {"unknown": "no answer"}})
    assert plan["unknown"] == {concern: "no answer"}


def test_what_is_not_ours_is_not_looked_at():
    wanted = asked()
    wanted["firewall"]["managed"] = False
    wanted["shell_env"]["managed"] = None
    wanted["exposure"]["managed"] = False
    wanted["power"].update(managed=None, gpu_wired_limit_mib=None)
    unread = {"unknown": "x"}
    plan = judge("mac-mini", wanted, seen(firewall=unread, shell_block=unread, packet_filter=unread, power=unread))
    assert plan["unknown"] == {}
    assert plan["concerns"] == ["ollama_service", "teardown"]


@pytest.mark.parametrize("kind", ["other", "link", "folder"])
def test_a_log_that_is_no_plain_file_stays(kind):
    plan = judge("mac-mini", asked(logs=["/dev/null"]), {**seen(), "own_files": {"/dev/null": kind}})
    assert "teardown" not in plan["concerns"]


def test_a_link_in_the_place_of_our_folder_stays():
    assert "teardown" not in judge("mac-mini", asked(), {**seen(), "own_files": {FOLDER: "link"}})["concerns"]


# Jobs and rules. --------------------------------------------------------------------------------------------------------


def test_companions_go_before_the_service_and_jobs_before_their_files():
    companion = definition(Label=f"{LABEL}.residents")
    path = PATH.replace(LABEL, f"{LABEL}.residents")
    found = CONVERGED.__class__(
        UID, HOME, (file_of(DEFINITION), file_of(companion, path)), (job_of(DEFINITION), job_of(companion, path=path))
    )
    steps = [(step.action, step.item) for step in jobs_plan(found, LABELS)]
    assert steps == [("bootout", f"{TARGET}.residents"), ("remove", path), ("bootout", TARGET), ("remove", PATH)]


def test_a_label_goes_from_every_domain_and_folder():
    daemon = f"/Library/LaunchDaemons/{LABEL}.plist"
    found = CONVERGED.__class__(
        UID, HOME, (file_of(DEFINITION, daemon),), (job_of(DEFINITION, "system", daemon), job_of(DEFINITION, f"user/{UID}"))
    )
    steps = jobs_plan(found, LABELS)
    assert {step.item for step in steps} == {f"system/{LABEL}", f"user/{UID}/{LABEL}", daemon}
    assert needs_root("ollama_service", steps)


def test_other_labels_stay():
    assert jobs_plan(CONVERGED, ["com.user.ollamas", "com.user"]) == ()
    assert jobs_plan(BARE, LABELS) == ()


@pytest.mark.parametrize("state", [0, 1, 2])
def test_rules_of_our_keg_go_whatever_the_firewall_does_and_others_stay(state):
    old = "/opt/homebrew/Cellar/ollama/0.24.0/libexec/ollama"
    other = "/opt/homebrew/Cellar/ollama-other/1.0/bin/ollama"
    found = Firewall(state, {KEG_PROGRAM: "allow", old: "block", other: "allow", "/Applications/A.app": "allow"})
    assert [step.item for step in removal(found, [KEG_PROGRAM], "")] == [old, KEG_PROGRAM]
    assert [step.item for step in removal(found, [], "/opt/homebrew/Cellar/ollama/")] == [old, KEG_PROGRAM]
    assert removal(Firewall(state, {other: "allow"}), [KEG_PROGRAM], "/opt/homebrew/Cellar/ollama/") == ()


@pytest.mark.parametrize(
    ("concern", "item", "root"),
    [
        ("firewall", "/opt/x", True),
        ("shell_env", "/Users/felipe/.zshrc", False),
        ("ollama_service", "gui/501/a", False),
        ("ollama_service", "system/a", True),
        ("teardown", "/Library/Application Support/ollama-fleet", True),
        ("teardown", FOLDER, False),
    ],
)
def test_root_is_asked_for_only_where_it_is_needed(concern, item, root):
    assert needs_root(concern, [Step("remove", item, "present", "absent")]) is root


def test_every_kind_of_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    paths = ["~/folder", "~/file", "~/link", "~/absent", "~/file/below", "/dev/null"]
    assert read_kinds(paths) == {
        f"{tmp_path}/folder": "folder", f"{tmp_path}/file": "file", f"{tmp_path}/link": "link", "/dev/null": "other",
    }  # fmt: skip


def test_every_concern_has_a_role_that_takes_it_away():
    from .test_repository import ROOT

    for concern in REMOVALS:
        assert (ROOT / "roles" / concern / "tasks" / "absent.yml").is_file(), concern
