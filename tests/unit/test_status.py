"""How a Mac is, by tables: each rule alone, what is unknown, Macs that were not asked, and the report of a whole fleet."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import jsonschema
import pytest
from ansible.module_utils.fleet.shown import clean, harmless
from ansible.module_utils.fleet.status import RULES, WORST_FIRST, Look, ago, fleet_status, row, seconds_between
from ansible.module_utils.status import page
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.examples import KEG_PROGRAM, desired, observed
from tests.unit.status_samples import (
    AWAY,
    DRIFT,
    EARLIER,
    FLEETS,
    GB,
    HOSTILE,
    MADE_AT,
    content,
    drifted,
    hostile,
    look,
    machine,
    model,
    models,
    not_seen,
    report,
    seen,
)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "status.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def judged(**parts):
    """Return the row of one Mac that was asked."""
    taken = look(**parts)
    return row(Look("mac-mini", **{key: value for key, value in taken.items() if key != "outcome"}, outcome="asked"))


def packet_filter_without_rules():
    part = seen()["packet_filter"]
    return {**part, "state": {**part["state"], "labels": []}}


def job(**changes):
    part = seen()["launchd"]
    return {**part, "jobs": [{**part["jobs"][0], **changes}, *part["jobs"][1:]]}


def without_job():
    part = seen()["launchd"]
    return {**part, "jobs": part["jobs"][1:]}


NOBODY = {"addresses": [], "pids": [], "commands": [], "open": False}
RESIDENT = "qwen3:8b"

# One Mac. ---------------------------------------------------------------------------------------------------------------


def test_a_mac_on_which_nothing_is_missing_is_ok_without_a_word():
    made = judged()
    assert (made["health"], made["reasons"], made["notes"], made["unknown"]) == ("ok", [], [], [])
    assert made["ollama"] == {
        "installed_version": "0.32.15",
        "running_version": "0.32.15",
        "stale": False,
        "answers": True,
        "bound": ["*"],
        "started_at": "2026-11-25T20:00:00Z",
        "uptime_seconds": 8 * 3600 + 24 * 60,
    }
    assert (
        made["models"]["loaded"][0] | {"name": RESIDENT, "stays": True, "resident": True, "vram_percent": 100}
        == (made["models"]["loaded"][0])
    )
    assert made["models"]["installed"] == [{"name": RESIDENT, "digest": "500a1f067a9f", "size_bytes": 5225388164, "listed": True}]
    assert made["firewall"] == {"managed": True, "state": "on", "rule": "allow"}
    assert made["exposure"] == {"managed": True, "scope": "lan", "networks": ["192.168.1.0/24"], "in_force": True}
    assert made["tailscale"]["up"] is True
    assert [beat["state"] for beat in made["heartbeats"]] == ["on_time", "on_time", "on_time"]
    assert made["power"]["sources"] == [
        {"source": "AC Power", "sleep_minutes": 0, "disksleep_minutes": 10, "autorestart": True, "womp": True}
    ]
    assert made["drift"] == {"steps": 0, "concerns": [], "unknown": []}


SILENT = {"server": {"version": None}, "listener": NOBODY, "models": {**models(), "loaded": []}}

# rule -> what is found on the Mac, the word, and a part of the sentence.
CASES = [
    ("silent", {**SILENT, "launchd": without_job()}, "down", "nobody answers on its port; launchd has no job com.user.ollama"),
    (
        "silent",
        {**SILENT, "launchd": job(pid=None, state="spawn scheduled", last_exit="last exit code = 1")},
        "down",
        "com.user.ollama is spawn scheduled, last exit code = 1",
    ),
    (
        "silent",
        {"server": {"unknown": "no answer within 10 s"}},
        "down",
        "Ollama could not be asked: no answer within 10 s; launchd runs com.user.ollama as process 3438",
    ),
    ("pressure", {"machine": machine(pressure_level=2)}, "attention", "memory pressure is warning"),
    ("pressure", {"machine": machine(pressure_level=4)}, "attention", "memory pressure is critical"),
    ("swap", {"machine": machine(swap_used_bytes=12_500_000_000)}, "attention", "swap is 12.5 GB, the limit is 12.0 GB"),
    (
        "swap",
        {"machine": machine(swap_used_bytes=9 * GB, pressure_level=2)},
        "attention",
        "swap is 9.0 GB, more than 8.0 GB, and memory is under pressure",
    ),
    (
        "not-on-gpu",
        {"models": models(model(RESIDENT, size=7 * GB, size_vram=5 * GB))},
        "attention",
        "qwen3:8b: 2.0 GB of 7.0 GB are not on the GPU",
    ),
    ("exposure", {"packet_filter": packet_filter_without_rules()}, "attention", "does not keep the scope lan"),
    ("serves", {"models": {**models(), "loaded": []}}, "attention", "qwen3:8b: it should stay in memory"),
    ("serves", {"listener": {**seen()["listener"], "addresses": ["127.0.0.1"]}}, "attention", "bound to *, found 127.0.0.1"),
    ("stale", {"server": {"version": "0.31.2"}}, "attention", "Ollama 0.31.2 runs, 0.32.15 is installed"),
    ("finding", {"tailscale": {**seen()["tailscale"], "state": "Stopped"}}, "attention", "the state Stopped"),
    ("disk", {"machine": machine(disk_free_bytes=9 * GB)}, "attention", "9.0 GB are free"),
    (
        "heartbeat",
        {"heartbeats": {**seen()["heartbeats"], "heal": "2026-11-26T04:21:00Z"}},
        "attention",
        "the job heal is late: it last ran 3 min ago, and should every 1 min",
    ),
    ("heartbeat", {"heartbeats": {**seen()["heartbeats"], "residents": None}}, "attention", "residents has never run"),
    (
        "drift",
        {"firewall": {"state": 1, "rules": {}}},
        "attention",
        f"1 step away from the inventory: firewall (allow {KEG_PROGRAM})",
    ),
    ("drift", {"firewall": {"unknown": "no answer"}}, "attention", "whether firewall drifted could not be read: no answer"),
]


@pytest.mark.parametrize(("rule", "parts", "health", "said"), CASES)
def test_each_rule_says_its_word_and_why(rule, parts, health, said):
    made = judged(**parts)
    assert made["health"] == health
    assert [one for one in made["reasons"] if one["rule"] == rule and said in one["sentence"]], made["reasons"]


def test_the_table_has_every_rule_and_begins_with_the_worst():
    covered = {rule for rule, *_ in CASES} | {"not-asked", "away"}
    assert {rule.name for rule in RULES} == covered
    asked = [rule.health for rule in RULES if rule.asked]
    assert asked == sorted(asked, key=WORST_FIRST.index)


def test_every_rule_and_every_field_is_described():
    described = (ROOT / "docs" / "reports.md").read_text()
    fields = SCHEMA["properties"]["hosts"]["items"]["properties"]
    assert [name for name in (*fields, *(rule.name for rule in RULES)) if f"`{name}`" not in described] == []


CALM = [
    ("swap that stays after the pressure", {"machine": machine(swap_used_bytes=9 * GB)}, "it stays until its pages are touched"),
    ("a part that is only shown", {"processes": {"unknown": "ps: not found"}}, "processes could not be read: ps: not found"),
    (
        "one value of a part",
        {"machine": machine(pressure_level={"unknown": "nothing"})},
        "machine.pressure_level could not be read",
    ),
]


@pytest.mark.parametrize(("parts", "said"), [case[1:] for case in CALM], ids=[case[0] for case in CALM])
def test_what_is_no_reason_is_a_note(parts, said):
    made = judged(**parts)
    assert made["health"] == "ok"
    assert [note for note in made["notes"] if said in note]


def test_what_is_unknown_is_none_and_never_nothing():
    unread = {"unknown": "timed out"}
    made = judged(**dict.fromkeys(("machine", "processes", "tailscale", "power", "heartbeats", "packet_filter"), unread))
    assert made["memory"]["swap_used_bytes"] is None
    assert made["memory"]["pressure"] is None
    assert made["disk"] == {"free_bytes": None, "total_bytes": None}
    assert made["tailscale"]["up"] is None
    assert made["power"]["sources"] is None
    assert made["exposure"]["in_force"] is None
    assert {beat["state"] for beat in made["heartbeats"]} == {"unknown"}
    assert made["uptime_seconds"] is None
    assert {one["part"] for one in made["unknown"]} >= {"machine", "tailscale", "power", "heartbeats"}
    loaded = judged(models={**models(), "loaded": unread})
    assert loaded["models"]["loaded"] is None
    assert loaded["memory"]["loaded_bytes"] is None


@pytest.mark.parametrize(
    ("state", "at", "booted"),
    [
        ("on_time", "2026-11-26T04:22:00Z", "2026-11-20T04:00:00Z"),
        ("late", "2026-11-26T04:21:59Z", "2026-11-20T04:00:00Z"),
        # It was off in between: nobody can be late before twice the interval has passed since the start.
        ("on_time", "2026-11-24T04:00:00Z", "2026-11-26T04:23:00Z"),
        ("unknown", "yesterday", "2026-11-20T04:00:00Z"),
        ("never", None, "2026-11-20T04:00:00Z"),
    ],
)
def test_a_job_is_late_after_twice_its_interval(state, at, booted):
    made = judged(heartbeats={**seen()["heartbeats"], "heal": at}, machine=machine(booted_at=booted))
    assert next(beat["state"] for beat in made["heartbeats"] if beat["job"] == "heal") == state


def test_jobs_that_nobody_asked_for_are_not_missed():
    wanted = desired(installed=[{"name": RESIDENT, "size_gb": 5.2, "residency": "on_demand"}])
    wanted["healer"] = {**wanted["healer"], "settings": {**wanted["healer"]["settings"], "enabled": False}}
    wanted["log_rotation"] = {**wanted["log_rotation"], "managed": False}
    made = judged(wanted=wanted, heartbeats={"residents": None, "heal": None, "logs": None})
    assert [beat["state"] for beat in made["heartbeats"]] == ["not_wanted"] * 3


def test_a_revision_of_the_formula_is_the_same_ollama():
    keg = {**seen()["homebrew"], "installed": ["0.32.15_1"], "linked": "0.32.15_1"}
    assert judged(homebrew=keg)["ollama"]["stale"] is False


def test_exposure_that_is_not_managed_is_not_judged():
    wanted = desired()
    wanted["exposure"] = {**wanted["exposure"], "managed": False}
    assert judged(wanted=wanted)["exposure"] == {"managed": False, "scope": None, "networks": [], "in_force": None}


@pytest.mark.parametrize(
    ("outcome", "health", "said"),
    [
        ("away", "away", AWAY),
        ("not_asked", "not_asked", AWAY),
        ("error", "not_asked", f"a fault on this side: {AWAY}"),
    ],
)
def test_a_mac_that_was_not_asked_has_the_reason_and_no_figure(outcome, health, said):
    made = row(Look("mac", outcome, AWAY, seen_at="2026-11-24T18:30:00Z"))
    assert made["health"] == health
    assert [one["sentence"] for one in made["reasons"]] == [said]
    assert made["seen_at"] == "2026-11-24T18:30:00Z"
    assert all(made[part] is None for part in ("ollama", "memory", "models", "disk", "drift", "heartbeats"))


def test_a_strange_observation_is_an_error_of_this_look_alone():
    broken = look()
    broken["observation"]["models"] = {"installed": [{"nome": "x"}], "loaded": []}
    made = content(report({"mac-mini": broken, "macbook-pro": look("macbook-pro")}))
    assert [(host["host"], host["outcome"], host["health"]) for host in made["hosts"]] == [
        ("mac-mini", "error", "not_asked"),
        ("macbook-pro", "asked", "ok"),
    ]
    assert "could not be judged" in made["hosts"][0]["reasons"][0]["sentence"]


@given(
    pressure=st.sampled_from([1, 2, 4, 7, {"unknown": "x"}]),
    swap=st.one_of(st.integers(0, 10**11), st.just({"unknown": "x"})),
    size=st.integers(-(10**20), 10**20),
    vram=st.integers(-(10**20), 10**20),
    version=st.sampled_from([{"version": None}, {"version": "0.32.15"}, {"unknown": "x"}]),
    free=st.integers(0, 10**12),
)
def test_whatever_is_found_the_row_holds_to_the_schema_and_its_word_is_that_of_its_reasons(
    pressure, swap, size, vram, version, free
):
    made = content(
        report(
            {
                "mac-mini": look(
                    machine=machine(pressure_level=pressure, swap_used_bytes=swap, disk_free_bytes=free),
                    models=models(model("other:1b", size=size, size_vram=vram), installed=("other:1b",)),
                    server=version,
                )
            }
        )
    )
    VALIDATOR.validate(made)
    (host,) = made["hosts"]
    words = [one["health"] for one in host["reasons"]]
    assert host["health"] == (min(words, key=WORST_FIRST.index) if words else "ok")


# The fleet. -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fleet", FLEETS)
def test_every_fleet_holds_to_the_schema(fleet):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    made = FLEETS[fleet]()
    VALIDATOR.validate(content(made))
    assert list(made["outcomes"]) == [host["host"] for host in content(made)["hosts"]]
    assert [host["host"] for host in content(made)["hosts"]] == sorted(made["outcomes"])


@pytest.mark.parametrize(
    ("fleet", "status"),
    [
        ("healthy", "ok"), ("drifted", "attention"), ("half", "not_asked"), ("dead", "not_asked"), ("empty", "empty"),
        ("hostile", "not_asked"), ("twenty", "attention"),
    ],
)  # fmt: skip
def test_the_status_is_the_worst_word(fleet, status):
    assert content(FLEETS[fleet]())["status"] == status


def test_the_order_of_words():
    words = [{"health": word} for word in ("ok", "away", "attention", "not_asked", "down")]
    assert [fleet_status(words[: place + 1]) for place in range(5)] == ["ok", "away", "attention", "not_asked", "down"]
    assert fleet_status([]) == "empty"


def states(made):
    return {host: outcome["state"] for host, outcome in made["outcomes"].items()}


def test_a_status_is_an_answer_whatever_it_says_unless_it_is_strict_or_nobody_was_asked():
    looks = {
        "a": look("a"),
        "b": drifted(),
        "c": not_seen("away", AWAY),
        "d": not_seen("not_asked", "silence"),
        "e": not_seen("error", "no such variable"),
    }
    assert set(states(report(looks)).values()) == {"ok"}
    assert states(report(looks, strict=True)) == {"a": "ok", "b": "wrong", "c": "ok", "d": "not_asked", "e": "error"}
    assert states(report({"c": looks["c"], "d": looks["d"]})) == {"c": "not_asked", "d": "not_asked"}
    assert states(report({"c": looks["c"]}, strict=True)) == {"c": "not_asked"}
    assert report({"d": looks["d"]})["outcomes"]["d"]["said"] == "silence"


def test_the_last_drift_run_is_told_for_the_fleet_and_for_each_mac():
    made = content(report({"mac-mini": look(), "new": look("new")}, files={"drift": json.dumps(DRIFT)}))
    assert made["last_drift"] == {"made_at": "2026-11-26T03:00:00Z", "status": "drift"}
    assert made["hosts"][0]["last_drift"] == {
        "made_at": "2026-11-26T03:00:00Z", "status": "drift", "drifts": 1, "since": "2026-11-25T09:00:00Z",
    }  # fmt: skip
    assert made["hosts"][1]["last_drift"] is None


BROKEN = [None, "", "{", "[]", "null", "[" * 100_000, '{"schema": "ollama-fleet/other", "hosts": []}', '{"hosts": 3}', b"\xff"]
ODD = [
    {"hosts": [3, {"host": "mac-mini"}, {"host": ["x"], "seen_at": "2026-11-24T18:30:00Z"}]},
    {"hosts": [{"host": "mac-mini", "seen_at": "<b>", "drifts": [1, {"since": 5}], "status": {"a": 1}}], "made_at": 12},
    {"hosts": [{"host": "mac-mini", "drifts": {"a": 1}, "seen_at": 4}], "not_looked_at": "no"},
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_report_of_before_that_cannot_be_read_counts_as_never_made(text):
    made = content(report({"mac-mini": not_seen("away", AWAY)}, files={"drift": text, "status": text}))
    VALIDATOR.validate(made)
    assert made["last_drift"] is None
    assert made["hosts"][0]["seen_at"] is None


@pytest.mark.parametrize("odd", ODD)
def test_a_report_of_before_of_an_odd_shape_is_taken_as_far_as_it_goes(odd):
    files = {name: json.dumps({**odd, "schema": f"ollama-fleet/{name}"}) for name in ("drift", "status")}
    VALIDATOR.validate(content(report({"mac-mini": look(), "away": not_seen("away", AWAY)}, files=files)))


def test_when_a_mac_was_last_seen_outlives_runs_that_see_nothing_of_it():
    away = {"macbook-pro": not_seen("away", AWAY)}
    first = report(away, files={"status": json.dumps(EARLIER)})
    assert content(first)["hosts"][0]["seen_at"] == "2026-11-24T18:30:00Z"
    second = report({"mac-mini": look()}, servers=["mac-mini", "macbook-pro"], files={"status": first["json"]})
    assert content(second)["not_looked_at"] == [{"host": "macbook-pro", "seen_at": "2026-11-24T18:30:00Z"}]
    third = report(away, files={"status": second["json"]})
    assert content(third)["hosts"][0]["seen_at"] == "2026-11-24T18:30:00Z"
    assert "last seen 2026-11-24T18:30:00Z" in "\n".join(third["table"])


def test_a_host_that_left_the_run_is_in_the_report():
    made = content(report({"mac-mini": look(), "lost": {}}))
    assert made["hosts"][0]["reasons"][0]["sentence"] == "a fault on this side: it left the run before anything was seen of it"


def test_variables_that_cannot_be_read_cost_the_picture_and_nothing_else():
    class Broken(dict):
        def get(self, key, default=None):
            if key.startswith("ram_budget"):
                message = "undefined"
                raise LookupError(message)
            return super().get(key, default)

    from ansible.module_utils.status.report import status_report

    made = status_report({"mac-mini": Broken(fleet_plan_look=look())}, ["mac-mini"], ["mac-mini"], {}, {}, MADE_AT)
    (host,) = content(made)["hosts"]
    assert host["memory"]["ram_budget_bytes"] is None
    assert host["health"] == "ok"
    assert "could not be judged" in made["html"]


# What people read. ------------------------------------------------------------------------------------------------------


def test_the_table_says_at_a_glance_and_then_why():
    lines = FLEETS["half"]()["table"]
    assert lines[0].split() == ["mac", "health", "ollama", "loaded", "GB", "budget", "swap", "pressure", "disk", "free", "drift"]
    assert [line.split()[:2] for line in lines[1:4]] == [["mac-03", "not"], ["mac-mini", "ok"], ["macbook-pro", "away"]]
    assert "3 Macs: 1 ok, 1 not asked, 1 away" in lines[5]
    assert "macbook-pro: away, last seen 2026-11-24T18:30:00Z" in lines


@pytest.mark.parametrize("fleet", FLEETS)
def test_the_table_fits_a_terminal(fleet):
    assert max(len(line) for line in FLEETS[fleet]()["table"]) <= 120


def test_an_empty_fleet_says_so_everywhere():
    made = FLEETS["empty"]()
    assert "No Mac was looked at" in made["table"][0]
    assert "No Mac was looked at" in made["html"]
    assert content(made)["hosts"] == []


def dangerous(text):
    return [character for character in text if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_hostile_texts_come_out_harmless():
    made = report(hostile())
    assert dangerous("".join(made["table"])) == []
    assert dangerous(made["json"].replace("\n", "")) == []
    assert dangerous(made["html"].replace("\n", "")) == []
    assert "<script" not in made["html"]
    assert "onload=" not in made["html"].replace("&quot; onload=&quot;", "")
    assert len(made["json"]) < 200_000
    assert len(made["html"]) < 400_000
    made["json"].encode()
    made["html"].encode()


@given(st.text() | st.sampled_from(HOSTILE))
def test_any_text_is_harmless_and_short(text):
    assert dangerous(harmless(text)) == []
    assert len(harmless(text)) <= 400
    assert clean({text: [text, float("nan"), None, True]}) == {harmless(text): [harmless(text), None, None, True]}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "?"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")],
)
def test_lengths_of_time(seconds, words):
    assert ago(seconds) == words


def test_times_that_are_none_have_no_length():
    assert seconds_between("2026-11-26T04:00:00Z", "2026-11-26T04:00:30.123456789Z") == 30
    assert seconds_between("2026-11-26T05:00:00Z", "2026-11-26T04:00:00Z") == 0
    assert [seconds_between(start, "2026-11-26T04:00:00Z") for start in (None, "", 5, "x")] == [None] * 4


def test_two_hundred_macs_take_seconds():
    looks = {f"mac-{number:03}": look() if number % 2 else drifted() for number in range(200)}
    began = time.process_time()
    made = report(looks)
    assert time.process_time() - began < 3
    assert len(content(made)["hosts"]) == 200


def test_the_example_of_the_other_tests_has_what_is_added_here():
    assert set(observed()) <= set(seen())


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-11-26T05:08:59Z", '<time datetime="2026-11-26T05:08:59Z">2026-11-26 05:08 UTC</time>'),
        ("<b>soon</b>", '<time datetime="&lt;b&gt;soon&lt;/b&gt;">&lt;b&gt;soon&lt;/b&gt;</time>'),
        (None, "unknown"),
    ],
)
def test_a_time_is_for_people_and_for_programs(at, shown):
    assert page.moment(at) == shown
