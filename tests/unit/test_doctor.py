"""What is wrong with a Mac, and why: each diagnosis by the least change that gives it, causes instead of consequences."""

from __future__ import annotations

import copy
import json
import re
import time
from fnmatch import fnmatchcase
from pathlib import Path

import jsonschema
import pytest
from ansible.module_utils.fleet import doctor
from ansible.module_utils.fleet.doctor import absent, causes, explains, report, texts
from ansible.module_utils.fleet.doctor_kinds import CHECKS, KINDS
from ansible.module_utils.fleet.doctor_logs import PATTERNS, fresh, last, supported
from ansible.module_utils.fleet.doctor_models import ALONE
from ansible.module_utils.fleet.doctor_patient import Diagnosis, Reach
from ansible.module_utils.fleet.doctor_reach import questions
from ansible.module_utils.fleet.matrix import Asker
from ansible.module_utils.fleet.models import parse_time
from ansible.module_utils.fleet.plan import judge
from ansible.module_utils.fleet.shown import without_controls
from ansible.module_utils.fleet.vocabulary import plain
from ansible.module_utils.macos.commands import run
from hypothesis import given, settings
from hypothesis import strategies as st

from . import examples, patients
from .examples import HOME, KEG_PROGRAM, LABEL, UID
from .patients import (
    ERR,
    HOST,
    LAUNCHD,
    NOW,
    PID,
    SERVE,
    STORE,
    answer,
    changed,
    examined,
    ids,
    job,
    log,
    observed,
    own,
    process,
    reach,
    stopped,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "doctor.schema.json").read_text())
ABOVE = f"{HOME}/.ollama"
CLOSED = {"store": STORE, "user": "felipe", "paths": []}
OF_ROOT = {"path": f"{STORE}/blobs/sha256-aa", "owner": "root", "mode": "0600"}
LATE = "OSError: {} did not answer within 10 s"
RECENT = "2026-11-26T11:59:50Z"


def test_a_healthy_mac_has_nothing():
    assert examined() == ()


# The least change for each. -----------------------------------------------------------------------------------------------


def launchd(**values):
    return {**observed()["launchd"], **values}


def with_file(**values):
    first, *others = observed()["launchd"]["files"]
    return launchd(files=[{**first, **values}, *others])


def without_job(**values):
    return {**stopped(), "launchd": launchd(jobs=observed()["launchd"]["jobs"][1:], **values)}


def beside(label, domain=f"gui/{UID}", **values):
    """Add a job of another label, or of the same in another domain."""
    first = observed()["launchd"]["jobs"][0]
    other = {**first, "label": label, "domain": domain, "pid": None, "state": "spawn scheduled", **values}
    return launchd(jobs=[*observed()["launchd"]["jobs"], other])


def held_by(*processes, ours=None, labels=None):
    """Return a Mac on which the first of these processes holds the port."""
    first = processes[0]
    return observed(
        **{
            **stopped(state="spawn scheduled", runs=5, last_exit="last exit code = 1"),
            "listener": {"addresses": ["*"], "pids": [first["pid"]], "commands": ["python3"], "open": True},
            "processes": [LAUNCHD, *processes, *([ours] if ours else [])],
            "supervisors": labels or {},
            "server": {"unknown": "ApiError: HTTP 404"},
        }
    )


def models(**values):
    return observed(models={**observed()["models"], **values})


def loaded(**values):
    (first,) = observed()["models"]["loaded"]
    return [{**first, **values}]


def said(line, **values):
    """Return a Mac whose log has one line more, written a moment ago."""
    return observed(logs={ERR: log(f"time=2026-11-26T11:59:00.000Z level=ERROR {line}")}, **values)


def exposed(**values):
    """Return the `packet_filter` part with other rules in force."""
    part = copy.deepcopy(observed()["packet_filter"])
    part["state"].update(values)
    return part


SILENT = {"server": {"unknown": "ApiError: timed out"}, "models": {**observed()["models"], "loaded": {"unknown": "timed out"}}}
PORT_FAILED = "Error: listen tcp 0.0.0.0:11434: bind: address already in use"
STRANGER = process(777, 1, "python3 -m http.server 11434")
APP = process(778, 779, "/Applications/Ollama.app/Contents/Resources/ollama serve")
APP_PARENT = process(779, 1, "/Applications/Ollama.app/Contents/MacOS/Ollama")
CLIENT = Asker("windows-msi", answers=(answer("tailnet", source="100.101.102.103"),))
NO_WAY = Asker("windows-msi", answers=(answer("tailnet", "timed_out", source="100.101.102.103"),))

LEAST = {
    "host.slow": (
        observed(firewall={"unknown": LATE.format("/usr/bin/osascript")}, tailscale={"unknown": LATE.format("tailscale")}),
        reach(answer())),
    "host.unread": (observed(homebrew={"unknown": "OSError: no such folder"}), None),
    "service.nobody_logged_in": (observed(**without_job(gui_session=False)), None),
    "service.disabled": (observed(**without_job(disabled=[[f"gui/{UID}", [LABEL]], ["system", []]])), None),
    "service.bad_definition": (observed(launchd=with_file(mode=0o666)), None),
    "service.program_missing": (
        observed(**{**stopped(state="spawn scheduled", runs=9, last_exit="last exit code = 78: EX_CONFIG"),
                    "homebrew": {**observed()["homebrew"], "program": "", "linked": "", "runner": None}}), None),
    "service.wrong_domain": (
        observed(**{**without_job(), "launchd": launchd(jobs=[
            {**observed()["launchd"]["jobs"][0], "domain": f"user/{UID}"}, *observed()["launchd"]["jobs"][1:]])}), None),
    "service.rival": (observed(launchd=beside("com.ollama.serve")), None),
    "service.stale_definition": (
        observed(launchd=job(environment={"OLLAMA_HOST": "0.0.0.0", "OLLAMA_KV_CACHE_TYPE": "f16"})), None),
    "service.not_loaded": (observed(**without_job()), None),
    "service.not_running": (observed(**stopped(state="not running", last_exit="last exit code = 0")), None),
    "service.crash_loop": (observed(**stopped(state="spawn scheduled", runs=4, last_exit="last exit code = 1")), None),
    "port.held_by_other": (held_by(STRANGER), None),
    "port.held_by_app": (held_by(APP, APP_PARENT), None),
    "app.installed": (changed("surroundings", app="/Applications/Ollama.app"), None),
    "server.address_missing": (
        observed(**{**stopped(state="spawn scheduled", runs=4, last_exit="last exit code = 1"),
                    "logs": {ERR: log("Error: listen tcp 10.1.1.1:11434: bind: cannot assign requested address")}}), None),
    "server.store_unwritable": (
        observed(**{**stopped(state="spawn scheduled", runs=4, last_exit="last exit code = 1"),
                    "logs": {ERR: log("Error: mkdir /x: permission denied: ensure path elements are traversable")}}), None),
    "server.no_home": (
        observed(**{**stopped(state="spawn scheduled", runs=4, last_exit="last exit code = 2"),
                    "logs": {ERR: log("panic: $HOME is not defined")}}), None),
    "server.starting": (observed(**SILENT, processes=[LAUNCHD, {**SERVE, "started": RECENT}]), None),
    "server.hangs": (observed(**SILENT), None),
    "server.wrong_bind": (
        observed(launchd=job(environment={**examples.DEFINITION["EnvironmentVariables"], "OLLAMA_HOST": "127.0.0.1"}),
                 listener={"addresses": ["127.0.0.1"], "pids": [PID], "commands": ["ollama"], "open": True}),
        reach(answer(found="refused"), answer("tailnet", "refused"))),
    "server.foreign_environment": (observed(launchd=job(inherited={"OLLAMA_MODELS": "/nowhere"})), None),
    "server.setting_ignored": (said('msg="invalid environment variable, using default" key=OLLAMA_NUM_PARALLEL value=x'), None),
    "server.stale_binary": (changed("server", version="0.32.3"), None),
    "server.busy": (
        observed(), reach(completion=own(status=503, error="server busy, please try again.  maximum pending requests"))),
    "runner.missing": (changed("homebrew", runner=False), None),
    "runner.killed": (said('msg="llama-server process has terminated: signal: killed"'), None),
    "runner.crashed": (
        observed(), reach(completion=own(status=500, error="llama-server process has terminated: exit status 1"))),
    "model.not_installed": (models(installed=[], loaded=[]), None),
    "model.corrupt": (
        observed(damage=[{"model": "qwen3:8b", "digest": "sha256:aabb", "found": 5, "wanted": 5225388164}],
                 models={**observed()["models"], "loaded": []}),
        reach(completion=own(status=500, error="unexpected EOF"))),
    "model.not_loaded": (models(loaded=[]), None),
    "model.not_pinned": (models(loaded=loaded(pinned=False)), None),
    "model.does_not_fit": (
        observed(machine={**observed()["machine"], "swap_used_bytes": 9 * 10**9},
                 models={**observed()["models"], "loaded": [*loaded(), {**loaded()[0], "name": "gpt-oss:20b", "digest": "41",
                                                                        "size": 13 * 10**9, "size_vram": 10**9}]}), None),
    "memory.pressure": (changed("machine", pressure_level=4), None),
    "memory.swap": (changed("machine", swap_used_bytes=9 * 10**9), None),
    "memory.model_spills": (models(loaded=loaded(size_vram=10**9)), None),
    "disk.full": (changed("machine", disk_free_bytes=10**6), None),
    "model.store_closed": (
        observed(closed={**CLOSED, "paths": [OF_ROOT]}, models={**observed()["models"], "loaded": []}),
        reach(completion=own(status=500, error="open /x: permission denied"))),
    "log.missing": (observed(logs={ERR: None}), None),
    "log.unwritable": (observed(logs={ERR: log(writable=False)}), None),
    "log.growing": (observed(logs={ERR: log(size_bytes=10**8)}), None),
    "jobs.silent": (changed("heartbeats", heal="2026-11-26T11:00:00Z"), None),
    "registry.unreachable": (models(registry={"qwen3:8b": {"unknown": "registry.ollama.ai: refused"}}), None),
    "reach.firewall_blocks": (
        observed(firewall={"state": 1, "rules": {}}), reach(answer(found="timed_out"), answer("tailnet", "timed_out"))),
    "reach.packet_filter_blocks": (
        observed(packet_filter=exposed(networks=["10.0.0.0/8"], labels=["ollama-fleet old"])),
        reach(answer(found="refused"), answer("tailnet"))),
    "reach.tailnet_down": (changed("tailscale", state="Stopped", addresses=[]), reach(answer(), answer("tailnet", "timed_out"))),
    "reach.tailnet_address": (changed("tailscale", addresses=["100.99.99.99"]), reach(answer(), answer("tailnet", "timed_out"))),
    "reach.lan_down": (observed(addresses={"lan": []}), reach(answer(found="unresolved"), answer("tailnet"))),
    "reach.one_machine": (observed(), reach(more=(NO_WAY,))),
    "reach.local_network_privacy": (
        observed(job_logs={"heal.log": log(
            '{"time": "2026-11-26T11:58:00Z", "level": "warning", "said": "the webhook could not be reached: [Errno 65]"}'
        )}), None),
    "reach.not_exposed": (observed(), reach(answer(found="refused", source="203.0.113.66"), answer("tailnet"))),
    "exposure.not_enforced": (observed(packet_filter=exposed(enabled=False)), None),
    "drift.pending": (
        observed(shell_block={**observed()["shell_block"], "block": ["export OLLAMA_HOST='127.0.0.1:1'"]}), None),
    "unexplained.server": (observed(server={"unknown": "ApiError: HTTP 500"}), None),
    "unexplained.completion": (observed(), reach(completion=own(status=500, error="the moon is wrong"))),
    "unexplained.listener": (
        observed(listener={"addresses": ["10.0.0.1"], "pids": [], "commands": [], "open": False}), None),
    "unexplained.reach": (observed(), reach(answer(found="reset"), answer("tailnet"))),
    "unexplained.headers": (
        observed(), reach(completion=own(kind="foreign_origin", what="a foreign Origin"))),
}  # fmt: skip
"""id -> the observation, and what others found."""

ELSEWHERE = {"reach.asleep", "host.unreachable", "host.no_tools", "host.fault"}
"""Found where a Mac was not asked, and tested below."""

ONLY_AS_INVARIANT = {"unexplained.service", "unexplained.model", "unexplained.unread"}
"""Every way to them that is known has a diagnosis; they stand for those that are not."""


@pytest.mark.parametrize("name", LEAST)
def test_the_least_change_gives_one_diagnosis(name):
    parts, found = LEAST[name]
    diagnoses = examined(parts, None, found)
    assert [one.id for one in diagnoses if one.id != "unexplained.listener"] == [name] or [one.id for one in diagnoses] == [
        name
    ], [(one.id, one.item, one.evidence) for one in diagnoses]
    (one,) = [one for one in diagnoses if one.id == name]
    assert one.evidence
    assert one.remedy
    assert one.title == KINDS[name].title


def test_every_id_has_its_least_change():
    assert set(LEAST) | ELSEWHERE | ONLY_AS_INVARIANT == set(KINDS)


# What follows from what. --------------------------------------------------------------------------------------------------


def followers(name):
    return {other for other in KINDS for pattern in KINDS[name].explains if fnmatchcase(other, pattern.partition("/")[0])} - {
        name
    }


def test_every_pattern_of_the_table_names_something():
    for name, kind in KINDS.items():
        for pattern in kind.explains:
            assert [other for other in KINDS if fnmatchcase(other, pattern.partition("/")[0])], (name, pattern)


def test_nothing_explains_itself_in_a_circle():
    done = set()

    def walk(name, path):
        assert name not in path, [*path, name]
        if name not in done:
            for other in followers(name):
                walk(other, (*path, name))
            done.add(name)

    for name in KINDS:
        walk(name, ())


def diagnosis(name, item="", severity="error"):
    return Diagnosis(HOST, name, KINDS[name].title, ("x",), "y", severity, "sure", KINDS[name].concern, item)


@given(st.sets(st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(["", "a:1", "b:2"])), min_size=1))
def test_whatever_is_wrong_a_cause_is_left_and_everything_has_one(found):
    everything = [diagnosis(*one) for one in sorted(found)]
    left = causes(everything)
    assert left
    kept = {(one.id, one.item) for one in left}
    for one in everything:
        assert (one.id, one.item) in kept or any(explains(other, one) for other in everything)
    assert not [(one, other) for one in left for other in left if explains(one, other)]


def test_one_model_does_not_explain_another():
    found = [diagnosis("model.not_installed", "a:1"), diagnosis("model.not_loaded", "a:1"), diagnosis("model.not_loaded", "b:2")]
    assert [(one.id, one.item) for one in causes(found)] == [("model.not_installed", "a:1"), ("model.not_loaded", "b:2")]


def test_a_cause_is_as_bad_as_what_follows_from_it():
    (one,) = causes([diagnosis("memory.pressure", severity="warning"), diagnosis("model.not_loaded", "a:1")])
    assert (one.severity, one.consequences) == ("error", ("model.not_loaded",))


BROKEN = st.fixed_dictionaries(
    {},
    optional={
        "launchd": st.sampled_from([job(pid=None), job(pid=None, state="not running"), launchd(jobs=[]),
                                    with_file(definition=None), job(arguments=["/bin/x"]), job(path="/elsewhere"),
                                    {"unknown": "x"}]),
        "listener": st.sampled_from([{"addresses": [], "pids": [], "commands": [], "open": False}, {"unknown": "x"},
                                     {"addresses": ["*"], "pids": [4], "commands": ["nc"], "open": True},
                                     {"addresses": ["10.0.0.1"], "pids": [PID], "commands": ["x"], "open": True}]),
        "server": st.sampled_from([{"version": None}, {"version": "0.1.2"}, {"unknown": "HTTP 500"}, {"unknown": "timed out"}]),
        "models": st.sampled_from([{**observed()["models"], "installed": []}, {**observed()["models"], "loaded": []},
                                   {"unknown": "x"}, {**observed()["models"], "loaded": {"unknown": "x"}}]),
        "homebrew": st.sampled_from([{"unknown": "x"}, {"brew": False, "installed": [], "linked": "", "program": "",
                                                        "pinned": False}]),
        "machine": st.sampled_from([{"unknown": "x"}, {**observed()["machine"], "pressure_level": 4},
                                    {**observed()["machine"], "disk_free_bytes": 0}]),
        "processes": st.sampled_from([[], {"unknown": "x"}]),
        "logs": st.sampled_from([{}, {ERR: None}, {ERR: {"unknown": "Permission denied"}}, {"unknown": "x"}]),
        "heartbeats": st.sampled_from([{"unknown": "x"}, {"residents": None, "logs": None, "heal": {"unknown": "x"}}]),
        "damage": st.sampled_from([{"unknown": "x"}]),
        "closed": st.sampled_from([{"unknown": "x"}, {**CLOSED, "paths": [OF_ROOT]}]),
        "tailscale": st.sampled_from([{"unknown": "x"}]),
        "surroundings": st.sampled_from([{"unknown": "x"}]),
    },
)  # fmt: skip
"""One broken part for each key, in the ways in which it breaks."""


@settings(max_examples=60)
@given(BROKEN)
def test_nothing_that_is_broken_goes_unsaid(parts):
    found = ids(observed(**parts))
    # A process list or a log that is empty is no fault.
    assert found or set(parts) <= {"processes", "logs"}, parts


@pytest.mark.parametrize(
    "completion",
    [
        own(status=500, error="x"),
        own(status=None, error="timed out", found="timed_out"),
        own(status=404, error="model not found"),
    ],
)
def test_a_sentence_that_did_not_come_is_said(completion):
    assert ids(None, None, reach(completion=completion)) == ["unexplained.completion"]


@pytest.mark.parametrize("found", ["refused", "timed_out", "reset", "no_route", "broken"])
@pytest.mark.parametrize("network", ["local", "tailnet"])
def test_every_way_in_which_others_fail_is_said(found, network):
    other = "tailnet" if network == "local" else "local"
    assert ids(None, None, reach(answer(network, found), answer(other)))


# Single rules. ------------------------------------------------------------------------------------------------------------


def evidence(diagnoses, name):
    return " | ".join(text for one in diagnoses if one.id == name for text in (*one.evidence, one.remedy))


def test_whoever_holds_the_port_is_named_with_what_started_it():
    shell, login = process(776, 775, "-zsh"), process(775, 1, "/usr/bin/login -fp felipe")
    by_launchd = examined(held_by(STRANGER, labels={"777": "gui/501/com.example.squatter"}))
    text = evidence(by_launchd, "port.held_by_other")
    assert "process 777 of felipe since 2026-11-25T12:00:00Z: python3 -m http.server 11434" in text
    assert "launchd runs it as gui/501/com.example.squatter" in text
    assert "stop it with `launchctl bootout gui/501/com.example.squatter`" in text
    by_hand = evidence(examined(held_by({**STRANGER, "parent": 776}, shell, login)), "port.held_by_other")
    assert "started by -zsh (776) < /usr/bin/login -fp felipe (775)" in by_hand
    assert "Ctrl-C" in by_hand
    orphan = evidence(examined(held_by(STRANGER)), "port.held_by_other")
    assert "whatever started it has ended" in orphan
    assert "`kill 777` asks it to end in order" in orphan


@pytest.mark.parametrize(
    ("label", "command"),
    [
        ("system/com.example.x", "`sudo launchctl bootout system/com.example.x`"),
        ("gui/501/homebrew.mxcl.ollama", "`brew services stop ollama`"),
        ("user/501/x", "`launchctl bootout user/501/x`"),
    ],
)
def test_the_remedy_is_to_stop_it_where_it_was_started(label, command):
    assert command in evidence(examined(held_by(STRANGER, labels={"777": label})), "port.held_by_other")


def test_no_remedy_kills():
    for parts, found in LEAST.values():
        for one in examined(parts, None, found):
            assert not re.search(r"kill -9|pkill|killall", one.remedy)


def test_a_port_that_somebody_else_holds_unseen_is_said_with_the_command_to_ask():
    parts = observed(
        **{**stopped(state="spawn scheduled", last_exit="last exit code = 1"),
           "listener": {"addresses": [], "pids": [], "commands": [], "open": True},
           "processes": [LAUNCHD, process(55, 1, "/usr/local/bin/ollama serve", user="root")]}
    )  # fmt: skip
    text = evidence(examined(parts), "port.held_by_other")
    assert "it is another user's" in text
    assert "it may be process 55 of root" in text
    assert "`sudo lsof -nP -iTCP:11434 -sTCP:LISTEN`" in text


def test_the_log_lends_its_lines_three_different_ones_at_most():
    lines = [PORT_FAILED] * 50
    parts = held_by(STRANGER)
    parts["logs"] = {ERR: log(*lines)}
    (one,) = examined(parts)
    assert [text for text in one.evidence if text.startswith("log:")] == [f"log: {PORT_FAILED}"]


def test_a_crash_that_is_over_is_a_note_for_an_hour_and_then_nothing():
    young = {**SERVE, "started": "2026-11-26T11:50:00Z"}
    over = job(successive_crashes=4, runs=5, last_exit="last exit code = 1")
    (one,) = examined(observed(launchd=over, processes=[LAUNCHD, young]))
    assert (one.id, one.severity) == ("service.crash_loop", "note")
    assert examined(observed(launchd=over)) == ()


def test_a_process_that_is_seconds_old_in_a_job_of_many_runs_is_a_loop():
    parts = stopped(state="running", runs=7, last_exit="last exit code = 1")
    parts["launchd"] = job(pid=PID, runs=7, last_exit="last exit code = 1")
    (one,) = examined(observed(**{**parts, "processes": [LAUNCHD, {**SERVE, "started": "2026-11-26T11:59:57Z"}]}))
    assert (one.id, one.certainty) == ("service.crash_loop", "likely")


def test_a_service_that_is_off_and_runs_is_a_warning():
    (one,) = examined(observed(launchd=launchd(disabled=[[f"gui/{UID}", [LABEL]]])))
    assert (one.id, one.severity) == ("service.disabled", "warning")


def test_a_server_of_a_keg_that_is_gone_is_stale_whatever_it_answers():
    serve = {**SERVE, "command": KEG_PROGRAM.replace("0.32.15", "0.24.0") + " serve"}
    (one,) = examined(observed(processes=[LAUNCHD, serve], homebrew={**observed()["homebrew"], "runner": False}))
    assert one.id == "server.stale_binary"
    assert "runner.missing" in one.consequences


def test_an_application_that_holds_the_port_explains_that_it_is_there():
    parts = held_by(APP, APP_PARENT)
    parts["surroundings"] = {**observed()["surroundings"], "app": "/Applications/Ollama.app", "app_runs": True}
    (one,) = examined(parts)
    assert one.id == "port.held_by_app"
    assert "quit Ollama.app" in one.remedy


def test_swap_without_pressure_is_a_warning_that_says_so():
    (one,) = examined(changed("machine", swap_used_bytes=13 * 10**9))
    assert (one.id, one.severity) == ("memory.swap", "warning")
    assert "no pressure" in " ".join(one.evidence)


def test_without_limits_swap_is_nobodys_business():
    desired = examples.desired()
    desired["healer"]["settings"]["limits"] = {"swap_warn_gb": None, "swap_critical_gb": None, "max_loaded_model_gb": None}
    assert ids(changed("machine", swap_used_bytes=99 * 10**9), desired) == ["drift.pending"]


def test_a_firewall_that_keeps_nobody_out_is_drift_and_one_that_nobody_tried_is_likely():
    lacking = observed(firewall={"state": 1, "rules": {}})
    assert ids(lacking) == ["drift.pending"]
    (one,) = examined(lacking, None, Reach())
    assert (one.id, one.certainty) == ("reach.firewall_blocks", "likely")
    assert ids(observed(firewall={"state": 2, "rules": {KEG_PROGRAM: "allow"}}), None, reach(answer(found="timed_out"))) == [
        "reach.firewall_blocks"
    ]


def test_a_job_that_launchd_does_not_hold_is_said_as_that():
    gone = [one for one in observed()["launchd"]["jobs"] if not one["label"].endswith(".heal")]
    (one,) = examined(observed(launchd=launchd(jobs=gone)))
    assert one.id == "jobs.silent"
    assert f"{LABEL}.heal" in " ".join(one.evidence)


def test_a_mac_that_has_just_booted_is_given_time():
    late = {"residents": "2026-11-26T08:00:00Z", "logs": None, "heal": "2026-11-26T08:00:00Z"}
    parts = observed(heartbeats=late, machine={**observed()["machine"], "booted_at": "2026-11-26T11:58:00Z"})
    assert examined(parts) == ()


def test_an_asker_that_is_off_the_tailnet_proves_nothing():
    askers = (Asker(HOST, answers=(own(),)), Asker("macbook-pro", answers=(answer(), answer("tailnet", "no_route"))))
    looks = {"macbook-pro": {"observation": changed("tailscale", state="Stopped", addresses=[])}}
    found = doctor.doctor_reach.reaches(askers, [patients.SERVER], looks)[HOST]
    assert examined(None, None, found) == ()


def test_a_server_that_the_mac_itself_cannot_reach_is_not_called_silent():
    parts = observed(**SILENT, listener={"addresses": ["*"], "pids": [PID], "commands": ["ollama"], "open": False})
    assert ids(parts) == ["unexplained.server"]


@pytest.mark.parametrize(
    ("paths", "remedy"),
    [
        ([OF_ROOT], f"`sudo chown -R felipe {STORE} && chmod -R u+rwX {STORE}` on mac-mini; "),
        ([{**OF_ROOT, "path": ABOVE}], f"`sudo chown -R felipe {ABOVE} && chmod -R u+rwX {ABOVE}` on mac-mini; "),
        ([{**OF_ROOT, "owner": "felipe", "mode": "0000"}], f"`chmod -R u+rwX {STORE}` on mac-mini"),
    ],
)
def test_a_closed_store_is_one_cause_and_its_files_are_no_damage(paths, remedy):
    unread = {"unknown": f"PermissionError: [Errno 13] Permission denied: '{STORE}/manifests'"}
    damage = [{"model": "qwen3:8b", "digest": "sha256:aa", "found": {"unknown": "x may not be read"}, "wanted": 5}]
    closed = {**CLOSED, "paths": paths}
    for parts in ({"models": unread, "damage": unread}, {"damage": damage}):
        (one,) = examined(observed(closed=closed, **parts), None, reach(completion=own(status=500, error="HTTP 500")))
        assert one.id == "model.store_closed"
        assert one.remedy.startswith(remedy)


def test_an_address_is_told_with_what_else_is_not_declared():
    """Somebody misspelt OLLAMA_HOST: two variables are wrong, and both are told."""
    environment = {**examples.DEFINITION["EnvironmentVariables"], "OLLAMA_HOTS": "0.0.0.0"}
    del environment["OLLAMA_HOST"]
    listener = {"addresses": ["127.0.0.1"], "pids": [PID], "commands": ["ollama"], "open": True}
    (one,) = examined(observed(launchd=job(environment=environment), listener=listener), None, None)
    assert one.id == "service.stale_definition"
    assert one.evidence == (
        "EnvironmentVariables.OLLAMA_HOST: launchd has none, the inventory 0.0.0.0",
        "EnvironmentVariables.OLLAMA_HOTS: launchd has 0.0.0.0, the inventory none",
    )


def test_a_mac_that_grinds_is_one_cause_and_pressure_is_the_cause_of_that():
    """Seen on a machine with forty processes waiting for two processors: six parts unread, and Tailscale called down."""
    late = {"unknown": LATE.format("/usr/sbin/lsof")}
    parts = {"listener": late, "processes": late, "tailscale": {"unknown": LATE.format("/usr/local/bin/tailscale")}}
    (one,) = examined(observed(**parts), None, reach(answer(), answer("tailnet", "timed_out")))
    assert (one.id, one.severity) == ("host.slow", "error")
    assert ids(observed(listener=late, processes=late)) == ["host.unread", "host.unread"]
    assert ids(observed(**parts, machine={**observed()["machine"], "pressure_level": 4})) == ["memory.pressure"]


def test_a_command_that_takes_too_long_says_what_is_looked_for():
    with pytest.raises(OSError, match="/bin/sleep") as problem:
        run(["/bin/sleep", "5"], timeout=0.05)
    assert doctor.TOO_LATE in str(problem.value)


def test_who_is_reached_over_the_tailnet_is_on_it():
    silent = observed(tailscale={"unknown": LATE.format("/usr/local/bin/tailscale")})
    assert ids(silent) == ["host.unread"]
    assert ids(silent, None, reach(answer(), answer("tailnet", "timed_out"))) == ["reach.tailnet_down"]


def test_who_is_reached_in_the_lan_has_a_lan():
    """A LAN without a router, which exposure_networks does not name: no address is found towards anywhere."""
    parts = observed(addresses={"lan": []})
    assert ids(parts) == []
    assert ids(parts, None, reach(answer("tailnet"))) == ["reach.lan_down"]


def test_where_launchd_tells_nothing_nobody_is_a_stranger():
    assert set(ids(observed(launchd={"unknown": "Operation not permitted"}))) == {"host.unread"}


def test_a_mac_without_a_lan_is_told_though_nobody_asked_there():
    parts = observed(addresses={"lan": []}, models={**observed()["models"], "registry": {"qwen3:8b": {"unknown": "no route"}}})
    (one,) = examined(parts, None, reach(answer("tailnet")))
    assert (one.id, one.consequences) == ("reach.lan_down", ("registry.unreachable",))


def test_an_asker_without_a_way_off_its_wire_proves_nothing_but_what_it_reaches():
    askers = (Asker(HOST, answers=(own(),)), Asker("macbook-pro", answers=(answer(found="timed_out"), answer("tailnet"))))
    registry = {"qwen3:8b": {"unknown": "registry.ollama.ai: [Errno 65] No route to host"}}
    looks = {"macbook-pro": {"observation": observed(models={**observed()["models"], "registry": registry})}}
    assert examined(None, None, doctor.doctor_reach.reaches(askers, [patients.SERVER], looks)[HOST]) == ()
    (one,) = examined(None, None, doctor.doctor_reach.reaches(askers, [patients.SERVER], {})[HOST])
    assert (one.id, one.certainty) == ("reach.lan_down", "likely")


def test_a_model_that_is_resident_and_swaps_is_not_too_large_for_the_limit_of_the_others():
    parts = observed(
        machine={**observed()["machine"], "swap_used_bytes": 9 * 10**9},
        models={**observed()["models"], "loaded": loaded(size=7 * 10**9, size_vram=7 * 10**9)},
    )
    assert ids(parts) == ["memory.swap"]


# Logs. --------------------------------------------------------------------------------------------------------------------

SINCE = parse_time("2026-11-26T11:00:00Z")
OLD, NEW = "time=2026-11-26T10:00:00.1Z level=INFO msg=a", "time=2026-11-26T11:30:00.1+00:00 level=INFO msg=b"


@pytest.mark.parametrize(
    ("lines", "modified", "kept"),
    [
        ([OLD, NEW], NOW, [NEW]),
        ([OLD, "Error: x", NEW, "Error: y"], NOW, [NEW, "Error: y"]),
        ([OLD, "Error: x"], NOW, ["Error: x"]),
        ([OLD, "Error: x"], "2026-11-26T10:30:00Z", []),
        (["Error: x"], NOW, ["Error: x"]),
        (["Error: x", NEW], NOW, [NEW]),
        (["time=nonsense level=INFO", NEW], NOW, [NEW]),
        ([OLD], "nonsense", []),
        (["Error: x"], "nonsense", []),
    ],
)
def test_only_fresh_lines_count(lines, modified, kept):
    assert fresh(lines, modified, SINCE) == kept


@given(st.lists(st.text(max_size=60), max_size=20), st.text(max_size=30))
def test_no_log_breaks_the_reader(lines, modified):
    assert set(fresh(lines, modified, SINCE)) <= set(lines)
    assert len(last(lines)) <= 3


def test_a_line_of_before_the_start_says_nothing_of_this_server():
    line = 'time=2026-11-26T11:40:00Z level=ERROR msg="llama-server process has terminated: signal: killed"'
    young = {**SERVE, "started": "2026-11-26T11:45:00Z"}
    assert ids(observed(logs={ERR: log(line)})) == ["runner.killed"]
    assert ids(observed(logs={ERR: log(line, NEW.replace("11:30", "11:50"))}, processes=[LAUNCHD, young])) == []


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (PORT_FAILED, {"port.held_by_other", "port.held_by_app", "service.crash_loop"}),
        ("llama-server process has terminated: signal: killed", {"runner.killed"}),
        ("llama-server process has terminated: exit status 1", {"runner.crashed"}),
        ("error starting llama-server: llama-server binary not found (checked: x)", {"runner.missing"}),
        ("Error: unable to load model: /x/sha256-aa", {"model.corrupt"}),
        ("model requires more system memory (37.8 GiB) than is available (35.5 GiB)", {"model.does_not_fit"}),
        ("pull model manifest: 412: newer", {"server.stale_binary", "model.not_installed"}),
        ("write /x: no space left on device", {"disk.full"}),
        ('msg="Listening on [::]:11434"', set()),
    ],
)
def test_what_a_line_means(line, names):
    assert {pattern.supports for pattern in supported(line)} == names


def test_every_pattern_supports_something_and_has_a_remedy_where_it_stands_alone():
    for pattern in PATTERNS:
        assert pattern.supports in KINDS
        assert not pattern.alone or ALONE[pattern.supports]


# What is asked. -----------------------------------------------------------------------------------------------------------


def look(parts=None, desired=None, outcome="asked", why=""):
    seen, wanted = parts or observed(), desired or examples.desired()
    if outcome != "asked":
        return {"outcome": outcome, "why": why}
    return {"outcome": "asked", "why": "", "observation": seen, "desired": wanted, "judgement": judge(HOST, wanted, seen)}


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        (observed(), ["completion", "foreign_host", "foreign_origin"]),
        (observed(server={"version": None}), []),
        (observed(server={"unknown": "timed out"}), []),
        (changed("machine", pressure_level=2), ["foreign_host", "foreign_origin"]),
        (changed("machine", swap_used_bytes=13 * 10**9), ["foreign_host", "foreign_origin"]),
    ],
)
def test_a_mac_is_asked_for_a_sentence_only_where_that_harms_nothing(parts, kinds):
    assert [one["what"] for one in questions(HOST, [patients.SERVER], ["local", "tailnet"], look(parts))] == kinds


def test_a_model_that_is_on_demand_is_not_loaded_by_looking():
    desired = examples.desired(installed=[{"name": "qwen3:8b", "size_gb": 5.2, "residency": "on_demand"}])
    server = patients.dataclasses.replace(patients.SERVER, models=desired["ollama_models"]["installed"])
    there, away = look(None, desired), look(models(loaded=[]), desired)
    assert "completion" in {one["what"] for one in questions(HOST, [server], ["local"], there)}
    assert "completion" not in {one["what"] for one in questions(HOST, [server], ["local"], away)}


def test_a_client_asks_by_every_address():
    asked = questions("windows-msi", [patients.SERVER], ["local", "tailnet"], None)
    assert [one["network"] for one in asked] == ["local", "tailnet"]


# The report. --------------------------------------------------------------------------------------------------------------


def machine(name, **values):
    return {"inventory_hostname": name, "fleet_tailnet_ip": "100.1.1.1", **values}


def entry():
    return {**patients.dataclasses.asdict(patients.SERVER)}


def whole(looks, answers=None):
    machines = [machine(name, doctor_reach={"answers": list((answers or {}).get(name, []))} if name in (answers or {}) else {})
                for name in (*looks, "windows-msi")]  # fmt: skip
    content = report(looks, machines, [{**entry(), "name": name} for name in looks], NOW)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(texts(content)["json"]))
    return content


GOOD = {HOST: [own()], "windows-msi": [answer("tailnet", source="100.101.102.103")]}


def test_a_healthy_fleet_says_what_was_checked():
    content = whole({HOST: look()}, GOOD)
    (host,) = content["hosts"]
    assert (content["status"], host["verdict"], host["diagnoses"]) == ("ok", "healthy", [])
    assert {check["name"]: check["state"] for check in host["checks"]} == dict.fromkeys((check.name for check in CHECKS), "ok")
    assert texts(content)["table"][0] == "mac-mini: healthy"
    assert "reached by others" in texts(content)["table"][1]
    assert texts(content)["outcomes"] == {HOST: {"state": "ok", "said": "mac-mini: healthy"}}


def test_what_was_not_looked_at_is_no_health():
    content = whole({HOST: look(observed(firewall={"unknown": "it did not answer"}))})
    states = {check["name"]: check for check in content["hosts"][0]["checks"]}
    assert states["application firewall"]["state"] == "not_checked"
    assert "it did not answer" in states["application firewall"]["why"]
    assert states["reached by others"]["state"] == "not_checked"
    assert "windows-msi was not asked" in states["reached by others"]["why"]
    assert states["completion"]["state"] == "not_checked"
    assert [line for line in texts(content)["table"] if "not checked: application firewall" in line]


def test_what_follows_from_a_cause_is_not_called_healthy():
    content = whole({HOST: look(held_by(STRANGER))})
    states = {check["name"]: check for check in content["hosts"][0]["checks"]}
    assert states["port"] == {"name": "port", "state": "wrong", "why": "port.held_by_other"}
    assert states["service"] == {"name": "service", "state": "wrong", "why": "follows from port.held_by_other"}
    assert content["status"] == "wrong"


@pytest.mark.parametrize(
    ("outcome", "why", "name", "status"),
    [
        ("away", "macbook-pro does not answer", "reach.asleep", "ok"),
        ("not_asked", "it does not answer at x", "host.unreachable", "not_asked"),
        ("not_asked", "xcode-select: note: No developer tools were found", "host.no_tools", "not_asked"),
        ("error", "x is undefined", "host.fault", "error"),
    ],
)
def test_a_mac_that_was_not_asked_is_named_with_the_reason(outcome, why, name, status):
    assert [one.id for one in absent(HOST, look(outcome=outcome, why=why))] == [name]
    content = whole({HOST: look(outcome=outcome, why=why)})
    assert content["status"] == status
    assert why in " ".join(texts(content)["table"])
    assert texts(content)["outcomes"][HOST]["state"] == ("ok" if outcome == "away" else outcome)
    assert {check["state"] for check in content["hosts"][0]["checks"][1:]} == {"not_checked"}


def test_an_empty_fleet_is_a_sentence():
    content = report({}, [], [], NOW)
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    assert texts(content)["table"] == ["no server is part of this run, so there is nothing to examine"]
    assert content["status"] == "not_asked"
    assert texts(content)["asker"]["state"] == "not_asked"
    assert texts(whole({HOST: look()}))["asker"] == {"state": "ok"}


def test_every_id_belongs_to_one_check():
    for name in KINDS:
        assert len([check for check in CHECKS if any(fnmatchcase(name, pattern) for pattern in check.ids)]) == 1, name


HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\x00\x07" + "x" * 10**6


def test_hostile_texts_come_out_harmless():
    parts = held_by({**STRANGER, "command": HOSTILE, "user": HOSTILE}, labels={"777": HOSTILE})
    parts["logs"] = {
        ERR: log(HOSTILE, f"Error: {HOSTILE}", f"time=2026-11-26T11:59:00Z level=ERROR {HOSTILE} no space left on device")
    }
    parts["damage"] = [{"model": HOSTILE, "digest": HOSTILE, "found": {"unknown": HOSTILE}, "wanted": 1}]
    parts["closed"] = {"store": HOSTILE, "user": HOSTILE, "paths": [{"path": HOSTILE, "owner": HOSTILE, "mode": HOSTILE}] * 5}
    parts["firewall"] = {"unknown": HOSTILE}
    content = whole({HOST: look(parts), "mac-2": look(outcome="not_asked", why=HOSTILE)})
    for text in (*texts(content)["table"], texts(content)["json"].replace("\n", "")):
        assert not re.search(r"[\x00-\x1f\u202e\x7f]", text), text[:200]
    assert all(len(line) < 2000 for line in texts(content)["table"])


@settings(max_examples=40)
@given(st.text(min_size=1))
def test_no_text_of_a_mac_steers_a_terminal(text):
    parts = observed(
        models={**observed()["models"], "loaded": []}, damage=[{"model": text, "digest": text, "found": None, "wanted": 1}]
    )
    content = {**whole({HOST: look(parts)})}
    assert all(line == without_controls(line) for line in texts(content)["table"])


def test_two_hundred_macs_take_seconds():
    sick, well = look(held_by(STRANGER)), look()
    looks = {f"mac-{number:03}": sick if number % 2 else well for number in range(200)}
    answers = {name: [own(server=name)] + [answer("tailnet", server=other) for other in looks] for name in list(looks)[:20]}
    began = time.monotonic()
    content = whole(looks, answers)
    assert time.monotonic() - began < 60
    assert [host["host"] for host in content["hosts"]] == sorted(looks)


def test_the_page_describes_every_id():
    rows = re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(KINDS)


def test_the_schema_has_the_words_of_the_code():
    diagnosis_schema = SCHEMA["$defs"]["diagnosis"]["properties"]
    assert sorted(diagnosis_schema["id"]["enum"]) == sorted(KINDS)
    assert sorted(SCHEMA["$defs"]["check"]["properties"]["name"]["enum"]) == sorted(check.name for check in CHECKS)


def test_a_diagnosis_is_plain_data():
    assert json.loads(json.dumps(plain(examined(held_by(STRANGER))[0])))["id"] == "port.held_by_other"
