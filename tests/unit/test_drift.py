"""Drift as a report: what counts, what does not, since when, and what becomes of hostile words."""

from __future__ import annotations

import json
import os
import plistlib
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
import yaml
from ansible.module_utils.fleet import drift, drift_history, drift_ignores, drift_run, drift_shown
from ansible.module_utils.fleet.drift_history import History, Key
from ansible.module_utils.fleet.drift_ignores import Ignore, ignores_from_inventory
from ansible.module_utils.fleet.plan import CONCERNS, judge
from hypothesis import given
from hypothesis import strategies as st

from .examples import PATH, TARGET, desired, observed

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
MONDAY, TUESDAY, FRIDAY = "2026-11-23T03:00:00Z", "2026-11-24T03:00:00Z", "2026-11-27T03:00:00Z"
HOSTILE = "a<script>alert(1)</script>\x1b[31m\u202e" + "x" * 10**6


def look(wants=None, **parts):
    """Return what `look` leaves of the Mac of the examples with these parts of the observation instead."""
    return {"outcome": "asked", "why": "", "judgement": judge("mac-mini", wants or desired(), observed(**parts))}


def stopped():
    launchd = observed()["launchd"]
    launchd["jobs"] = [job for job in launchd["jobs"] if not TARGET.endswith(job["label"])]
    return look(launchd=launchd)


def asked(now=MONDAY, **changes):
    return {"ignore": [], "accept_away": False, "strict": False, "history": "", "whole": True, "now": now, **changes}


def parsed(report):
    """Read the JUnit file as its users do."""
    return ET.fromstring(report["files"]["drift.xml"])  # noqa: S314  our own


def run(looks, now=MONDAY, clients=None, known=None, **changes):
    """Make the report of these looks and return it with what it wrote, each checked against its schema."""
    seen = {host: {"look": one, "clients": (clients or {}).get(host)} for host, one in looks.items()}
    report = drift_run.report(seen, known or list(seen), asked(now, **changes))
    for name in ("drift", "drift-history"):
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(json.loads(report["files"][f"{name}.json"]))
    parsed(report)
    return report, json.loads(report["files"]["drift.json"])


def concerns(content, host="mac-mini"):
    return {one["concern"]: one["status"] for row in content["hosts"] if row["host"] == host for one in row["concerns"]}


# What counts. -----------------------------------------------------------------------------------------------------------

AWAY = {"outcome": "away", "why": "it may be asleep"}
SILENT = {"outcome": "not_asked", "why": "no answer"}
BROKEN = {"outcome": "error", "why": "a template of ours failed"}


@pytest.mark.parametrize(
    ("looks", "status", "state", "rules"),
    [
        ({"mac-mini": look()}, "in_sync", "ok", {}),
        ({"mac-mini": stopped()}, "drift", "wrong", {}),
        ({"mac-mini": SILENT}, "not_checked", "not_asked", {}),
        ({"mac-mini": AWAY}, "not_checked", "not_asked", {}),
        # Nobody was asked, so nothing is known to be in sync, whatever is accepted.
        ({"mac-mini": AWAY}, "not_checked", "ok", {"accept_away": True}),
        ({"mac-mini": AWAY, "mac-03": look()}, "in_sync", "ok", {"accept_away": True}),
        ({"mac-mini": SILENT, "mac-03": look()}, "not_checked", "not_asked", {"accept_away": True}),
        ({"mac-mini": BROKEN, "mac-03": stopped()}, "error", "error", {}),
        ({"mac-mini": stopped(), "mac-03": SILENT}, "drift", "wrong", {}),
        ({"mac-mini": look(firewall={"unknown": "no answer within 10 s"})}, "not_checked", "not_asked", {}),
    ],
)
def test_a_status_is_never_better_than_what_was_seen(looks, status, state, rules):
    report, content = run(looks, **rules)
    assert (content["status"], report["hosts"]["mac-mini"]["state"]) == (status, state)


@pytest.mark.parametrize(
    ("looks", "complete"),
    [
        ({"mac-mini": look()}, True),
        ({"mac-mini": stopped()}, True),
        ({"mac-mini": stopped(), "mac-03": AWAY}, False),
        ({"mac-mini": look(firewall={"unknown": "no answer within 10 s"})}, False),
    ],
)
def test_complete_is_a_report_in_which_everything_was_asked(looks, complete):
    assert run(looks, accept_away=True)[1]["complete"] is complete


def test_a_fleet_of_nobody_is_not_in_sync():
    report, content = run({})
    assert content["status"] == "not_checked"
    assert report["table"] == ["no host was asked: the group ollama_servers is empty, or --limit leaves none of it"]


def test_equal_not_ours_and_not_checked_are_three_things():
    wants = {**desired(), "firewall": {**desired()["firewall"], "managed": False}}
    _, content = run({"mac-mini": look(wants, shell_block={"unknown": "permission denied"})})
    found = concerns(content)
    assert (found["firewall"], found["shell_env"], found["homebrew"]) == ("not_ours", "not_checked", "in_sync")
    assert set(found) == set(CONCERNS)


@pytest.mark.parametrize(("strict", "status"), [(False, "in_sync"), (True, "not_checked")])
def test_a_question_that_nobody_answered_is_told_and_counts_where_it_is_to(strict, status):
    models = {**observed()["models"], "registry": {"qwen3:8b": {"unknown": "registry.ollama.ai: timed out"}}}
    report, content = run({"mac-mini": look(models=models)}, strict=strict)
    assert content["status"] == status
    assert content["complete"] is False
    assert any("registry.ollama.ai: timed out" in line for line in report["table"])


def test_what_no_step_mends_is_drift_and_what_is_only_told_is_not():
    launchd = {**observed()["launchd"], "gui_session": False}
    _, content = run({"mac-mini": look(launchd=launchd)})
    drifts = [one for one in content["hosts"][0]["drifts"] if one["action"] is None]
    assert [one["item"] for one in drifts] == ["gui/501"]
    assert content["status"] == "drift"
    _, content = run({"mac-mini": look(permissions={"/Library/LaunchDaemons": {"mode": 0o777, "uid": 0, "gid": 0}})})
    assert content["status"] == "in_sync"
    assert [one["item"] for one in content["hosts"][0]["findings"]] == ["/Library/LaunchDaemons"]


def test_a_machine_without_a_server_is_judged_by_the_files_of_its_programs():
    step = {"action": "set", "item": "~/.openclaw/openclaw.json: models.mode", "found": "absent", "wanted": "merge", "why": ""}
    one = {"outcome": "asked", "why": "", "steps": [step]}
    _, content = run({"windows-msi": None}, clients={"windows-msi": one})
    assert concerns(content, "windows-msi") == {"clients": "drift"}
    refused = {"outcome": "asked", "why": "", "steps": [], "refused": "windows-msi is no server, and an Ollama answers there."}
    _, content = run({"windows-msi": None}, clients={"windows-msi": refused})
    assert content["hosts"][0]["drifts"][0]["why"].startswith("windows-msi is no server")


@pytest.mark.parametrize(
    ("clients", "status"),
    [({"unknown": "the file is no JSON5"}, "not_checked"), ({"not_ours": True}, "not_ours"), ({"steps": []}, "in_sync")],
)
def test_what_became_of_the_files_is_a_status_like_any_other(clients, status):
    _, content = run({"mac-mini": look()}, clients={"mac-mini": {"outcome": "asked", "why": "", **clients}})
    assert concerns(content)["clients"] == status


def test_of_a_server_that_is_a_client_too_the_worse_outcome_counts():
    clients = {"mac-mini": {"outcome": "error", "why": "clients_chains: nobody is called nobody"}}
    _, content = run({"mac-mini": look()}, clients=clients)
    assert (content["status"], content["hosts"][0]["why"]) == ("error", "clients_chains: nobody is called nobody")


def test_while_a_run_is_under_way_no_older_answer_stands():
    content = json.loads(drift_run.unfinished(MONDAY)["drift.json"])
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / "drift.schema.json").read_text())).validate(content)
    assert (content["status"], content["complete"]) == ("error", False)


# The plan is the report. ------------------------------------------------------------------------------------------------


def test_the_steps_are_those_of_the_plan_in_its_order():
    one = look(launchd={**observed()["launchd"], "jobs": [], "files": []}, firewall={"state": 1, "rules": {}})
    _, content = run({"mac-mini": one})
    planned = [
        (concern, step["action"], step["item"], step["found"], step["wanted"])
        for concern in CONCERNS
        for step in one["judgement"]["steps"].get(concern, ())
    ]
    drifts = content["hosts"][0]["drifts"]
    assert [(d["concern"], d["action"], d["item"], d["found"], d["wanted"]) for d in drifts if d["action"]] == planned
    assert ("ollama_service", "write", PATH) in [(d["concern"], d["action"], d["item"]) for d in drifts]


# Known and left. --------------------------------------------------------------------------------------------------------


def test_what_is_ignored_is_told_with_the_reason_and_does_not_count():
    ignore = [{"concern": "ollama_service", "reason": "being rebuilt", "host": "mac-*"}]
    report, content = run({"mac-mini": stopped()}, ignore=ignore)
    assert content["status"] == "in_sync"
    assert content["counts"]["ignored"] == 2
    assert concerns(content)["ollama_service"] == "ignored"
    assert any("being rebuilt" in line for line in report["table"])
    assert "being rebuilt" in report["files"]["drift.xml"]


@pytest.mark.parametrize(("until", "status"), [("2026-11-22", "drift"), ("2026-11-23", "in_sync"), ("2026-12-01", "in_sync")])
def test_an_entry_counts_to_its_last_day(until, status):
    ignore = [{"concern": "ollama_service", "reason": "x", "until": until}]
    _, content = run({"mac-mini": stopped()}, ignore=ignore)
    assert content["status"] == status
    assert any("is over" in note for note in content["notes"]) == (status == "drift")


@pytest.mark.parametrize(("whole", "told"), [(True, 1), (False, 0)])
def test_an_entry_that_matches_nothing_is_told_of_a_whole_fleet(whole, told):
    _, content = run({"mac-mini": look()}, ignore=[{"item": "nothing*", "reason": "x"}], whole=whole)
    assert len(content["notes"]) == told


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"concern": "firewall"}, "allowed is a list"),
        ("firewall", "which is no JSON. On the command line write -e"),
        ('[{"concern":', "which is no JSON. On the command line write -e"),
        ('[{"concern":"firewall"}]', "it has no reason"),
        (["firewall"], "entry 1: found 'firewall', allowed is a mapping"),
        ([{"concern": "firewall"}], "it has no reason"),
        ([{"concern": "firewall", "reason": "  "}], "it has no reason"),
        ([{"reason": "x"}], "would ignore everything"),
        ([{"reason": "x", "host": "mac-mini"}], "would ignore everything"),
        ([{"reason": "x", "concern": "firewal"}], "no concern is called 'firewal'; there are homebrew,"),
        ([{"reason": "x", "concern": "firewall", "because": "y"}], "found because, allowed are host,"),
        ([{"reason": "x", "concern": "firewall", "until": "soon"}], "until is 'soon'"),
    ],
)
def test_an_entry_that_nobody_can_mean_is_refused_in_a_sentence(entries, words):
    with pytest.raises(ValueError, match=r"^drift_ignore") as caught:
        ignores_from_inventory(entries, drift.ALL_CONCERNS)
    assert words in str(caught.value)


# Since when. ------------------------------------------------------------------------------------------------------------


def after(report):
    return report["files"]["drift-history.json"]


def test_a_drift_has_the_moment_of_the_first_report_and_the_last_one_without_it():
    monday, _ = run({"mac-mini": look()}, MONDAY)
    tuesday, _ = run({"mac-mini": stopped()}, TUESDAY, history=after(monday))
    friday, content = run({"mac-mini": stopped()}, FRIDAY, history=after(tuesday))
    drifts = content["hosts"][0]["drifts"]
    assert {(one["since"], one["in_sync_before"]) for one in drifts} == {(TUESDAY, MONDAY)}
    assert any("since 2026-11-24 03:00:00 UTC, for 3 days, in sync before at 2026-11-23" in line for line in friday["table"])


def test_what_is_over_is_said_once_and_remembered():
    monday, _ = run({"mac-mini": stopped()}, MONDAY)
    tuesday, content = run({"mac-mini": look()}, TUESDAY, history=after(monday))
    assert {(one["action"], one["since"], one["ended"]) for one in content["ended"]} == {
        ("bootstrap", MONDAY, TUESDAY),
        ("load", MONDAY, TUESDAY),
    }
    _, content = run({"mac-mini": look()}, FRIDAY, history=after(tuesday))
    assert content["ended"] == []
    assert len(json.loads(after(tuesday))["ended"]) == 2


@pytest.mark.parametrize("silent", [SILENT, AWAY, BROKEN, look(launchd={"unknown": "no answer"})])
def test_a_drift_does_not_end_because_nobody_looked(silent):
    monday, _ = run({"mac-mini": stopped()}, MONDAY)
    tuesday, _ = run({"mac-mini": silent}, TUESDAY, history=after(monday))
    _, content = run({"mac-mini": stopped()}, FRIDAY, history=after(tuesday))
    assert {one["since"] for one in content["hosts"][0]["drifts"]} == {MONDAY}


def test_other_hosts_are_left_alone_by_a_limit_and_end_when_they_leave_the_inventory():
    monday, _ = run({"mac-mini": stopped(), "mac-03": stopped()}, MONDAY)
    tuesday, _ = run({"mac-mini": stopped()}, TUESDAY, history=after(monday), known=["mac-mini", "mac-03"])
    assert {one["host"] for one in json.loads(after(tuesday))["open"]} == {"mac-mini", "mac-03"}
    friday, _ = run({"mac-mini": stopped()}, FRIDAY, history=after(tuesday), known=["mac-mini"])
    assert {one["host"] for one in json.loads(after(friday))["open"]} == {"mac-mini"}
    assert {one["host"] for one in json.loads(after(friday))["ended"]} == {"mac-03"}


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", '{"schema": "ollama-fleet/drift"}', "[" * 10**5,
     '{"schema": "ollama-fleet/drift-history", "schema_version": 1, "open": 3, "in_sync": {}, "ended": []}',
     '{"schema": "ollama-fleet/drift-history", "schema_version": 1, "open": [{}], "in_sync": {}, "ended": []}'],
)  # fmt: skip
def test_a_broken_history_is_set_aside_and_said(text):
    report, content = run({"mac-mini": stopped()}, history=text)
    assert content["status"] == "drift"
    assert "drift-history.broken.json" in content["notes"][0]
    assert report["files"]["drift-history.broken.json"] == text


KEYS = st.builds(
    Key, st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.sampled_from(["do", ""]), st.sampled_from("12")
)
STATUS = st.sampled_from(["in_sync", "drift", "ignored", "not_checked", "not_ours"])


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.dictionaries(st.sampled_from(["x", "y"]), STATUS), st.sets(KEYS)), max_size=8
    )
)
def test_a_history_knows_each_drift_once_and_never_dates_it_later(reports):
    history, first = History(), {}
    for number, (host, seen, keys) in enumerate(reports):
        now = f"2026-11-{number + 1:02}T00:00:00Z"
        own = {key for key in keys if key.host == host and seen.get(key.concern) in ("drift", "ignored")}
        history = drift_history.advance(history, host, seen, own, now)
        checked = {concern for concern, status in seen.items() if status != "not_checked"}
        first = {key: at for key, at in first.items() if key.host != host or key.concern not in checked or key in own}
        first.update({key: now for key in own if key not in first})
        assert history.open == first
        assert drift_history.read(json.dumps(drift_history.as_plain(history))) == history


# Shown. -----------------------------------------------------------------------------------------------------------------


def test_words_of_a_mac_are_harmless_wherever_they_are_shown():
    models = {**observed()["models"], "installed": [{"name": HOSTILE, "digest": "0" * 64, "size": 1}]}
    report, content = run({"mac-mini": look(models=models), "mac-03": {"outcome": "not_asked", "why": HOSTILE}})
    for text in (*report["table"], *(one["said"] for one in report["hosts"].values()), report["files"]["drift.xml"]):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert all(len(line) < 3000 for line in report["table"])
    cases = parsed(report)
    assert "<script>" in "".join(cases.itertext())
    assert any(HOSTILE.strip() in one["item"] for one in content["hosts"][1]["drifts"])


def test_junit_counts_what_it_holds():
    looks = {"mac-mini": stopped(), "mac-03": SILENT, "mac-04": look()}
    report, _ = run(looks, ignore=[{"action": "load", "reason": "x"}])
    root = parsed(report)
    assert (root.get("failures"), root.get("errors")) == ("1", "1")
    assert int(root.get("tests")) == len(root.findall(".//testcase")) == 2 * len(CONCERNS) + 1
    assert root.find(".//testcase[@name='ollama_service']/failure").get("message") == "2 to mend"


def test_a_line_about_a_host_names_what_is_wrong():
    report, _ = run({"mac-mini": stopped()})
    assert report["hosts"]["mac-mini"]["said"] == (
        f"mac-mini is not as the inventory says: ollama_service bootstrap {TARGET}; ollama_service load qwen3:8b."
    )


@pytest.mark.parametrize(
    ("since", "now", "words"),
    [
        (MONDAY, MONDAY, ""),
        (MONDAY, "2026-11-23T03:00:30Z", ", for less than a minute"),
        (MONDAY, "2026-11-23T04:00:00Z", ", for 1 hour"),
        (MONDAY, TUESDAY, ", for 1 day"),
        (TUESDAY, MONDAY, ""),
        ("soon", MONDAY, ""),
        ("2026-11-23T03:00:00", TUESDAY, ""),
    ],
)
def test_ages(since, now, words):
    assert drift_shown._age(since, now) == words


def test_a_fleet_of_hundreds_is_judged_in_seconds():
    one = stopped()
    began = time.process_time()
    _, content = run({f"mac-{number:03}": one for number in range(300)})
    assert content["counts"]["drifts"] == 600
    assert time.process_time() - began < 20


def test_an_ignore_says_what_it_is_about():
    assert Ignore("being rebuilt", concern="firewall", until="2026-12-31").sentence() == (
        "concern firewall (being rebuilt, until 2026-12-31)"
    )
    assert drift_ignores.over(Ignore("x", until=""), "2026-11-23") is False


def test_the_examples_start_what_is_there():
    examples = Path(__file__).resolve().parents[2] / "docs" / "examples"
    (program,) = plistlib.loads((examples / "com.example.ollama-fleet.drift.plist").read_bytes())["ProgramArguments"]
    script = examples / program.rpartition("/docs/examples/")[2]
    assert os.access(script, os.X_OK)
    workflow = yaml.safe_load((examples / "github-drift.yml").read_text())
    for text in (script.read_text(), json.dumps(workflow)):
        assert "playbooks/drift.yml -e drift_accept_away=true" in text
