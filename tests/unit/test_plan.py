"""One observation, one judgement: which concerns have steps, which must run although nothing is known, what a restart costs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.fleet import power
from ansible.module_utils.fleet.plan import CONCERNS, judge, parse_definition, wanted_service
from ansible.module_utils.fleet.vocabulary import plain
from hypothesis import given
from hypothesis import strategies as st

from .examples import DIGEST, KEG_PROGRAM, LABEL, PATH, PROGRAM, RETIRED, TARGET, UID, definition, desired, observed, powered

NO_KEG = {"brew": True, "installed": [], "linked": "", "program": "", "pinned": False}
EMPTY = {"installed": [], "loaded": [], "registry": {"qwen3:8b": DIGEST}}
NOTHING = {"uid": UID, "home": "/Users/felipe", "files": [], "jobs": [], "disabled": [], "gui_session": True}
NOTHING_OF_OURS = {"uid": UID, "home": "/Users/felipe", "entries": {}}
NO_BLOCK = {**observed()["shell_block"], "block": None}
UNGUARDED = {"launchd": {**NOTHING, "uid": 0}, "files": [], "state": None, "pf_conf": True, "reaches": None}
OWNERS = plain(
    replace(
        powered(),
        settings={power.AC: {"autorestart": 0, "sleep": 1}, power.SYSTEM: {"disablesleep": 0}},
        limit=0,
        record={},
        launchd=replace(powered().launchd, files=(), jobs=()),
    )
)
BARE = {
    "companion": NOTHING_OF_OURS,
    "homebrew": NO_KEG,
    "packet_filter": UNGUARDED,
    "launchd": NOTHING,
    "models": EMPTY,
    "firewall": {"state": 1, "rules": {}},
    "shell_block": NO_BLOCK,
    "power": OWNERS,
}


def steps_of(plan):
    return {concern: [f"{step['action']} {step['item']}" for step in steps] for concern, steps in plan["steps"].items()}


def with_job(**changes):
    launchd = observed()["launchd"]
    launchd["jobs"][0].update(changes)
    return observed(launchd=launchd)


def test_a_converged_mac_has_no_steps_and_no_concerns():
    plan = judge("mac-mini", desired(), observed())
    assert plan == {
        "steps": {},
        "findings": [],
        "unknown": {},
        "not_ours": [],
        "concerns": [],
        "all": list(CONCERNS),
        "paths": {},
        "restarts": False,
        "reloaded": [],
        "needs_root": False,
    }


def test_a_bare_mac_has_every_concern_in_order():
    plan = judge("mac-mini", desired(), observed(**BARE))
    # What version it gets is Homebrew's to say; nothing is published that nobody listed; what only a person mends has no steps.
    assert plan["concerns"] == [
        concern for concern in CONCERNS if concern not in ("ollama_version", "tailscale_serve", "permissions")
    ]
    steps = steps_of(plan)
    assert steps["homebrew"] == ["install ollama"]
    assert steps["ollama_service"] == [f"write {PATH}", f"bootstrap {TARGET}"]
    assert steps["ollama_models"] == ["pull qwen3:8b", "load qwen3:8b"]
    assert plan["restarts"] is True
    assert plan["needs_root"] is False


@pytest.mark.parametrize(
    ("concern", "left_alone"),
    [
        ("exposure", {"managed": False}),
        ("firewall", {"managed": False}),
        ("tailscale_serve", {"address": "", "tcp": [], "removed": []}),
        ("companion", {"wanted": False}),
        ("ollama_residents", {"managed": False}),
        ("log_rotation", {"managed": False}),
        ("healer", {"managed": False}),
        ("shell_env", {"managed": None}),
        ("power", {"managed": None, "gpu_wired_limit_mib": None}),
    ],
)
def test_what_the_inventory_leaves_alone_is_said_to_be_so(concern, left_alone):
    wants = desired()
    wants[concern] = {**wants[concern], **left_alone}
    plan = judge("mac-mini", wants, observed())
    assert concern in plan["not_ours"] or concern in plan["steps"]
    assert not set(plan["not_ours"]) & (set(plan["steps"]) | set(plan["unknown"]))


CONCERNS_OF = {
    "launchd": {"ollama_service", "ollama_residents", "log_rotation", "healer"},
    "models": {"ollama_models"},
    "packet_filter": {"exposure"},
    "shell_block": {"shell_env"},
    "companion": {"companion", "ollama_residents", "log_rotation", "healer"},
}


@pytest.mark.parametrize(
    "part", ["homebrew", "launchd", "firewall", "models", "companion", "shell_block", "packet_filter", "power"]
)
@pytest.mark.parametrize("how", ["unknown", "missing"])
def test_what_could_not_be_read_runs_its_concern(part, how):
    seen = observed(**{part: {"unknown": "OSError: it did not answer within 10 s"}})
    if how == "missing":
        del seen[part]
    concerns = CONCERNS_OF.get(part, {part})
    plan = judge("mac-mini", desired(), seen)
    # Where the formula is cannot be told from nothing, so the firewall may have to look for itself; so does the version.
    others = {"firewall", *(["ollama_version"] if part in ("homebrew", "launchd") else [])}
    assert set(plan["concerns"]) - others == concerns - others
    assert ("ollama_version" in plan["concerns"]) == (part in ("homebrew", "launchd"))
    assert concerns <= set(plan["unknown"])
    assert plan["steps"] == {}
    assert how == "missing" or {plan["unknown"][concern] for concern in concerns} == {"OSError: it did not answer within 10 s"}


@pytest.mark.parametrize("part", ["server", "machine", "listener", "surroundings", "permissions"])
def test_what_no_concern_needs_is_not_missed(part):
    assert judge("mac-mini", desired(), observed(**{part: {"unknown": "x"}}))["concerns"] == []


def test_a_folder_that_everybody_may_write_is_told_and_is_no_drift():
    places = {"/Library/LaunchDaemons": {"mode": 0o777, "uid": 0, "gid": 0}}
    plan = judge("mac-mini", desired(), observed(permissions=places))
    assert (plan["concerns"], [finding["item"] for finding in plan["findings"]]) == ([], ["/Library/LaunchDaemons"])


def test_a_restart_means_that_the_residents_are_loaded_again():
    plan = judge("mac-mini", desired(), with_job(environment={"OLLAMA_HOST": "127.0.0.1"}))
    # By the change of the service itself: it has succeeded only when they are back.
    assert steps_of(plan) == {"ollama_service": [f"reload {TARGET}", "load qwen3:8b"]}
    assert plan["concerns"] == ["ollama_service"]
    assert (plan["restarts"], plan["reloaded"]) == (True, ["qwen3:8b"])


def test_a_change_that_is_done_when_the_server_answers_leaves_loading_to_the_models():
    wanted = desired()
    wanted["ollama_service"]["gate"] = "answer"
    plan = judge("mac-mini", wanted, with_job(environment={"OLLAMA_HOST": "127.0.0.1"}))
    assert steps_of(plan) == {"ollama_service": [f"reload {TARGET}"], "ollama_models": ["load qwen3:8b"]}


def test_a_server_of_another_version_than_its_keg_is_started_anew():
    plan = judge("mac-mini", desired(), observed(server={"version": "0.32.14"}))
    assert steps_of(plan) == {"ollama_service": [f"reload {TARGET}", "load qwen3:8b"]}


def test_a_change_that_was_cut_short_is_brought_to_an_end():
    launchd = {**observed()["launchd"], "unfinished": [LABEL]}
    assert steps_of(judge("mac-mini", desired(), observed(launchd=launchd))) == {
        "ollama_service": [f"finish {TARGET}", "load qwen3:8b"]
    }


def test_a_file_that_is_mended_restarts_nothing():
    launchd = observed()["launchd"]
    launchd["files"][0]["definition"] = definition(KeepAlive=False)
    plan = judge("mac-mini", desired(), observed(launchd=launchd))
    assert steps_of(plan) == {"ollama_service": [f"write {PATH}"]}
    assert plan["restarts"] is False


@pytest.mark.parametrize("keg", [NO_KEG, {**NO_KEG, "installed": ["0.32.15"]}], ids=["install", "link"])
def test_a_homebrew_step_makes_the_firewall_run_since_the_path_is_not_known_before(keg):
    plan = judge("mac-mini", desired(), observed(homebrew=keg))
    assert plan["concerns"] == ["homebrew", "firewall"]


def test_the_firewall_is_judged_by_the_path_behind_the_links():
    plan = judge("mac-mini", desired(), observed(firewall={"state": 1, "rules": {PROGRAM: "allow"}}))
    assert steps_of(plan) == {"firewall": [f"allow {KEG_PROGRAM}"]}


@pytest.mark.parametrize(
    "parts",
    [
        {"firewall": {"state": 1, "rules": {}}},
        {"firewall": {"state": 0, "rules": {}}},
        {"firewall": {"unknown": "no answer"}},
        {"homebrew": NO_KEG},
    ],
    ids=["no rule", "off", "unknown", "nothing installed"],
)
def test_a_firewall_that_is_not_ours_is_neither_changed_nor_reported(parts):
    wanted = {**desired(), "firewall": {**desired()["firewall"], "managed": False}}
    plan = judge("mac-mini", wanted, observed(**parts))
    assert "firewall" not in plan["steps"]
    assert "firewall" not in plan["concerns"]
    assert not [finding for finding in plan["findings"] if finding["concern"] == "firewall"]


def test_a_registry_that_does_not_answer_is_a_note_and_no_drift():
    models = {**observed()["models"], "registry": {"qwen3:8b": {"unknown": "no route to host"}}}
    plan = judge("mac-mini", desired(), observed(models=models))
    assert plan["concerns"] == []
    (finding,) = plan["findings"]
    assert (finding["severity"], finding["item"]) == ("note", "qwen3:8b")
    assert "no route to host" in finding["why"]


def test_what_is_loaded_may_be_unknown_on_its_own():
    models = {**observed()["models"], "loaded": {"unknown": "timed out"}}
    assert steps_of(judge("mac-mini", desired(), observed(models=models))) == {"ollama_models": ["load qwen3:8b"]}


@pytest.mark.parametrize(
    ("launchd", "root"),
    [
        ({"domain": "system", "path": f"/Library/LaunchDaemons/{LABEL}.plist"}, True),
        ({"domain": f"user/{UID}"}, False),
        ({"label": "com.ollama.serve"}, False),
        ({"domain": "system", "label": "homebrew.mxcl.ollama"}, True),
    ],
    ids=["daemon", "user domain", "older label", "brew as root"],
)
def test_root_is_asked_for_only_where_it_is_needed(launchd, root):
    plan = judge("mac-mini", desired(), with_job(**launchd))
    assert plan["steps"]["ollama_service"][0]["action"] == "bootout"
    assert plan["needs_root"] is root


def test_nobody_at_the_screen_is_found_before_anything_is_done():
    launchd = {**NOTHING, "gui_session": False}
    plan = judge("mac-mini", desired(), observed(launchd=launchd))
    assert [finding["severity"] for finding in plan["findings"]] == ["error"]


PARTS = {
    "homebrew": [NO_KEG, {"unknown": "x"}],
    "packet_filter": [UNGUARDED, {"unknown": "x"}, {**UNGUARDED, "state": {"unknown": "x"}}],
    "launchd": [NOTHING, {"unknown": "x"}, {**NOTHING, "gui_session": {"unknown": "x"}}],
    "firewall": [
        {"state": 0, "rules": {}},
        {"state": {"unknown": "x"}, "rules": {}},
        {"state": 1, "rules": {}},
        {"unknown": "x"},
    ],
    "models": [EMPTY, {"unknown": "x"}, {**EMPTY, "loaded": {"unknown": "x"}, "registry": {"qwen3:8b": {"unknown": "y"}}}],
}


@given(st.fixed_dictionaries({}, optional={part: st.sampled_from(values) for part, values in PARTS.items()}))
def test_every_plan_is_plain_json_and_its_concerns_are_in_order(parts):
    plan = judge("mac-mini", desired(), observed(**parts))
    assert json.loads(json.dumps(plan)) == plan
    assert plan["concerns"] == [concern for concern in CONCERNS if concern in plan["concerns"]]
    assert set(plan["steps"]) | set(plan["unknown"]) == set(plan["concerns"])
    assert all(plan["steps"].values())


@pytest.mark.parametrize("text", ["", "<plist>", "not xml", "<plist version='1.0'><array/></plist>", "bplist00rubbish"])
def test_a_template_that_is_no_property_list_is_refused_by_its_label(text):
    assert parse_definition(text) is None
    wanted = {**desired()["ollama_service"], "plist": text}
    with pytest.raises(ValueError, match=LABEL):
        wanted_service(wanted)


def test_the_wanted_service_is_what_the_template_says():
    wanted = wanted_service(desired()["ollama_service"])
    assert (wanted.label, wanted.domain, wanted.retired) == (LABEL, "gui", RETIRED)
    assert wanted.definition == definition()


def test_an_exposure_that_is_not_ours_is_neither_changed_nor_reported():
    wanted = {**desired(), "exposure": {**desired()["exposure"], "managed": False, "roaming": True}}
    for part in (UNGUARDED, {"unknown": "x"}):
        plan = judge("mac-mini", wanted, observed(packet_filter=part))
        assert (plan["concerns"], plan["findings"]) == ([], [])


OTHER = "/opt/homebrew/bin/other"
BEHIND = "/opt/homebrew/Cellar/other/1.0/bin/other"


@pytest.mark.parametrize(
    ("programs", "rules", "steps"),
    [
        pytest.param([PROGRAM, OTHER], {KEG_PROGRAM: "allow"}, [f"allow {BEHIND}"], id="one more program"),
        pytest.param([PROGRAM, OTHER], {KEG_PROGRAM: "allow", BEHIND: "allow"}, [], id="both in place"),
        pytest.param([], {}, [], id="none wanted"),
    ],
)
def test_every_program_of_the_firewall_is_planned_for(programs, rules, steps):
    wanted = {**desired(), "firewall": {"managed": True, "programs": programs}}
    found = observed(firewall={"state": 1, "rules": rules}, programs={PROGRAM: KEG_PROGRAM, OTHER: BEHIND})
    assert steps_of(judge("mac-mini", wanted, found)).get("firewall", []) == steps


OLD_PROGRAM = KEG_PROGRAM.replace("0.32.15", "0.32.3")
KEGS = {"brew": True, "installed": ["0.24.0", "0.32.3"], "linked": "0.32.3", "program": OLD_PROGRAM, "pinned": False}
BAD = {"bad": [{"to": "0.17.0", "severity": "error", "why": "it leaks", "source": "CVE"},
               {"from": "0.30.0", "to": "0.30.4", "severity": "warning", "why": "it loads nothing",
                "source": "ollama#1"}]}  # fmt: skip


def wanting(**formula):
    return {**desired(), "homebrew": {**desired()["homebrew"], "versions": BAD, **formula}}


@pytest.mark.parametrize(
    ("formula", "seen", "steps"),
    [
        pytest.param(
            {"policy": "latest"}, {"homebrew": KEGS, "available": "0.32.15", "server": {"version": "0.32.3"}},
            ["upgrade ollama", f"reload {TARGET}", "load qwen3:8b", "remove ollama 0.24.0"], id="Homebrew has a newer one",
        ),
        pytest.param(
            {"policy": "latest"}, {"homebrew": KEGS, "available": "0.32.3", "server": {"version": "0.32.3"}},
            [], id="Homebrew has the same",
        ),
        pytest.param(
            {"policy": "latest"}, {"homebrew": KEGS, "available": {"unknown": "offline"}, "server": {"version": "0.32.3"}},
            [], id="Homebrew could not be asked",
        ),
        pytest.param(
            {"policy": "pinned", "version": "0.24.0"}, {"homebrew": KEGS, "server": {"version": "0.32.3"}},
            ["relink ollama", f"reload {TARGET}", "load qwen3:8b", "pin ollama"], id="pinned to the one before",
        ),
        pytest.param(
            {"policy": "present"}, {"homebrew": KEGS, "server": {"version": "0.24.0"}},
            [f"reload {TARGET}", "load qwen3:8b"], id="an earlier run stopped before the restart",
        ),
        pytest.param(
            {"policy": "latest"},
            {"homebrew": KEGS, "available": "0.32.15",
             "launchd": {**observed()["launchd"], "jobs": observed()["launchd"]["jobs"][1:]},
             "server": {"version": None}},
            ["upgrade ollama", f"bootstrap {TARGET}", "load qwen3:8b", "remove ollama 0.24.0"], id="no job yet",
        ),
    ],
)  # fmt: skip
def test_the_version_is_planned_with_its_restart(formula, seen, steps):
    plan = judge("mac-mini", wanting(**formula), observed(**seen))
    assert steps_of(plan).get("ollama_version", []) == steps
    assert "homebrew" not in plan["steps"]
    # The version's restart is the only one, and brings the residents back itself.
    assert plan["restarts"] is bool(steps)
    assert set(plan["steps"]) <= {"ollama_version", "firewall"}


@pytest.mark.parametrize(
    ("keg", "available", "severities"),
    [
        pytest.param("0.17.0", {"unknown": "not asked"}, ["error"], id="below the floor"),
        pytest.param("0.30.2", {"unknown": "not asked"}, ["warning"], id="known bad and there"),
        pytest.param("0.32.3", {"unknown": "not asked"}, [], id="good"),
    ],
)
def test_a_version_that_must_not_run_is_found_before_anything_is_done(keg, available, severities):
    kegs = {**KEGS, "installed": [keg], "linked": keg}
    plan = judge("mac-mini", wanting(), observed(homebrew=kegs, available=available, server={"version": keg}))
    assert [finding["severity"] for finding in plan["findings"]] == severities


def test_an_upgrade_away_from_a_refused_version_is_not_refused():
    kegs = {**KEGS, "installed": ["0.17.0"], "linked": "0.17.0"}
    seen = observed(homebrew=kegs, available="0.32.15", server={"version": "0.17.0"})
    assert judge("mac-mini", wanting(policy="latest"), seen)["findings"] == []
    seen["available"] = "0.30.2"
    (finding,) = judge("mac-mini", wanting(policy="latest"), seen)["findings"]
    assert (finding["severity"], finding["item"]) == ("error", "Ollama 0.30.2")


def test_the_firewall_follows_the_version_in_the_same_plan():
    rules = {"state": 1, "rules": {OLD_PROGRAM: "allow"}}
    seen = observed(homebrew=KEGS, available="0.32.15", programs={PROGRAM: OLD_PROGRAM}, firewall=rules)
    plan = judge("mac-mini", wanting(policy="latest"), seen)
    assert steps_of(plan)["firewall"] == [f"remove {OLD_PROGRAM}", f"allow {KEG_PROGRAM}"]
    assert plan["paths"] == {PROGRAM: KEG_PROGRAM}
