"""Figures are what the API measured, memory comes back as it was, and nothing hostile leaves a report."""

from __future__ import annotations

import csv
import io
import json
import time
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from ansible.module_utils.fleet import bench_report as made
from ansible.module_utils.fleet.bench import (
    Back,
    Course,
    Run,
    compare,
    figure,
    figures,
    is_late,
    moved,
    prompt,
    restoring,
    run_from_answer,
    why_stop,
)
from ansible.module_utils.fleet.bench_picture import picture
from ansible.module_utils.fleet.gpu_power import summary, watts
from ansible.module_utils.fleet.models import Found, Installed, Loaded
from ansible.module_utils.fleet.residents import Memory
from ansible.module_utils.fleet.shown import as_json
from ansible.module_utils.fleet.units import MIB
from ansible.module_utils.fleet.vocabulary import Unknown
from hypothesis import given
from hypothesis import strategies as st

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "bench.schema.json").read_text())
NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
MADE = "2026-11-26T09:00:00Z"
FOREVER = "2319-03-04T16:15:39.9Z"
SOON = (NOW + timedelta(minutes=4)).isoformat()


# One run. ---------------------------------------------------------------------------------------------------------------

LAST = {
    "done": True, "total_duration": 8_177_240, "load_duration": 908_266, "prompt_eval_count": 3,
    "prompt_eval_duration": 3_276_000, "eval_count": 3, "eval_duration": 330_000,
}  # fmt: skip


def test_speeds_are_the_apis_own():
    run = run_from_answer({**LAST, "prompt_eval_count": 400, "prompt_eval_duration": 10**9, "total_duration": 0}, 0.25)
    assert run.prompt == 400
    assert run.generation == pytest.approx(3 / 0.00033)
    assert run.first_token_seconds == 0.25
    assert run.disturbed == ""


@pytest.mark.parametrize(
    ("changed", "prompt_speed", "generation_speed"),
    [
        pytest.param({}, False, True, id="recorded: a short prompt says nothing"),
        pytest.param({"prompt_eval_count": 400, "prompt_eval_duration": 0}, False, True, id="from the cache"),
        pytest.param({"eval_count": 1}, False, False, id="one token"),
        pytest.param({"eval_duration": 0}, False, False, id="no time"),
    ],
)
def test_a_figure_that_says_nothing_is_none(changed, prompt_speed, generation_speed):
    run = run_from_answer({**LAST, **changed}, None)
    assert (run.prompt is not None, run.generation is not None) == (prompt_speed, generation_speed)


@pytest.mark.parametrize(
    "last",
    [{}, {"done": False}, *({**LAST, "eval_count": value} for value in ("3", -1, True, 2**70))],
    ids=["nothing", "cut", "text", "negative", "true", "huge"],
)
def test_an_answer_without_figures_is_refused(last):
    with pytest.raises(ValueError, match=r"broke off|whole number"):
        run_from_answer(last, None)


def test_a_run_that_others_disturbed_says_so():
    assert "waited 2.0 s" in run_from_answer({**LAST, "total_duration": 2_004_514_266}, None).disturbed
    assert "somebody used a:1" in run_from_answer(LAST, None, ["a:1"]).disturbed


def test_no_prompt_begins_like_another():
    texts = [prompt(salt, 400) for salt in ("0a", "0b")]
    assert texts[0][:8] != texts[1][:8]
    assert [350 < len(text.split()) < 450 for text in texts] == [True, True]


def loaded(name, digest="d", expires=FOREVER, context=32768, size=7):
    return Loaded(name, digest, size, size, context, pinned=expires == FOREVER, expires_at=expires)


def test_use_by_others_shows_in_the_expiry():
    one, other = loaded("a:1", "a"), loaded("b:1", "b", SOON)
    assert moved([one, other], [one, other]) == ()
    assert moved([one], [one, other]) == ("b:1",)
    used = replace(one, expires_at="2319-03-04T16:15:40.1Z")
    assert moved([one], [used]) == ("a:1",)
    assert moved([one], [used], ["a"]) == ()
    assert not is_late(other, NOW)
    assert is_late(other, NOW + timedelta(hours=1))
    assert not is_late(loaded("a:1", expires="no time"), NOW)


@pytest.mark.parametrize(
    ("before", "now", "word"),
    [
        ((1, 0), (1, 0), ""),
        ((1, 0), (2, 100), ""),
        ((1, 0), (4, 0), "critical"),
        ((4, 0), (4, 0), "critical"),
        ((1, 5 * 2**30), (1, 5 * 2**30 + 1025 * MIB), "swap has grown"),
        ((1, 5 * 2**30), (1, 0), ""),
        ((1, Unknown("?")), (1, 0), ""),
        ((Unknown("?"), 0), (Unknown("?"), 2 * 2**30), "swap has grown"),
    ],
)
def test_memory_decides_when_to_stop(before, now, word):
    said = why_stop(Memory(*before, 16 * 2**30), Memory(*now, 16 * 2**30), 1024 * MIB)
    assert word in said
    assert bool(said) == bool(word)


# Memory comes back. -----------------------------------------------------------------------------------------------------

RESIDENT, HAND, GUEST = loaded("qwen3:8b", "q"), loaded("gpt-oss:20b", "g", SOON, size=13), loaded("x:1", "x", SOON, size=9)
SMALL = replace(RESIDENT, context_length=4096)
INSTALLED = tuple(Installed(one.name, one.digest, one.size) for one in (RESIDENT, HAND, GUEST))


@pytest.mark.parametrize(
    ("before", "now", "touched", "steps"),
    [
        pytest.param([RESIDENT], [RESIDENT], {"q"}, [], id="all is as it was"),
        pytest.param([RESIDENT], [], {"q"}, [Back("qwen3:8b", "q", -1)], id="a resident is gone"),
        pytest.param([RESIDENT], [], {"x"}, [Back("qwen3:8b", "q", -1)], id="a resident was pushed out"),
        pytest.param([RESIDENT], [replace(RESIDENT, pinned=False)], {"q"}, [Back("qwen3:8b", "q", -1)], id="unpinned"),
        pytest.param([RESIDENT], [RESIDENT, GUEST], {"x"}, [Back("x:1", "x", 0)], id="what was measured leaves"),
        pytest.param([RESIDENT], [RESIDENT, GUEST], {"q"}, [], id="what others loaded stays"),
        pytest.param([RESIDENT], [SMALL], {"q"}, [Back("qwen3:8b", "q", -1, 32768)], id="context"),
        pytest.param([HAND], [], {"g"}, [Back("gpt-oss:20b", "g", 240)], id="for as long as it had"),
        pytest.param([RESIDENT, HAND], [], {"g"}, [Back("gpt-oss:20b", "g", 240), Back("qwen3:8b", "q", -1)], id="largest first"),
        pytest.param([loaded("old:1", "gone")], [], {"q"}, [], id="no name left"),
        pytest.param([loaded("alias:1", "q")], [], {"q"}, [Back("qwen3:8b", "q", -1)], id="another name of it"),
        pytest.param([], [], {"q"}, [], id="nothing was there"),
    ],
)  # fmt: skip
def test_what_must_be_asked(before, now, touched, steps):
    assert list(restoring(before, Found(INSTALLED, tuple(now), {}), touched, NOW)) == steps


def test_a_model_whose_time_is_over_is_not_loaded_again():
    late = NOW + timedelta(minutes=10)
    assert restoring([HAND], Found(INSTALLED, (), {}), {"g"}, late) == ()
    assert restoring([HAND], Found(INSTALLED, (HAND,), {}), {"g"}, late) == (Back("gpt-oss:20b", "g", 0),)


STATES = st.lists(st.sampled_from([RESIDENT, HAND, GUEST]), unique_by=lambda one: one.digest)


@given(STATES, STATES, st.sets(st.sampled_from("qgx")))
def test_once_asked_nothing_is_left_to_ask(before, now, touched):
    steps = restoring(before, Found(INSTALLED, tuple(now), {}), touched, NOW)
    after = {one.digest: one for one in now}
    for step in steps:
        if step.keep_alive == 0:
            del after[step.digest]
        else:
            expires = FOREVER if step.keep_alive < 0 else (NOW + timedelta(seconds=step.keep_alive)).isoformat()
            after[step.digest] = loaded(step.name, step.digest, expires)
    assert restoring(before, Found(INSTALLED, tuple(after.values()), {}), touched, NOW) == ()
    assert {one.digest for one in before} <= set(after)
    assert {one.digest for one in now if one.digest not in touched} <= set(after)


def test_what_is_loaded_and_unknown_is_left_alone():
    assert restoring([RESIDENT], Found(INSTALLED, Unknown("silent"), {}), {"q"}, NOW) == ()


# Figures and comparison. ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=9))
def test_a_figure_lies_within_its_spread(values):
    one = figure(values)
    assert one.minimum <= one.median <= one.maximum
    assert 0 <= one.mad <= one.maximum - one.minimum + 1e-3
    assert one.runs == len(values)


def test_no_values_are_no_figure():
    assert figure([]) is None
    assert figure([None, None]) is None
    assert figure([None, 2.0]).runs == 1


def speed(rate, disturbed=""):
    return Run(400, 10**9, 100, int(100 * 10**9 / rate), 0, 0, 0.2, disturbed)


def test_a_disturbed_run_counts_only_where_there_is_no_other():
    sound = figures([speed(50), speed(10, "others"), speed(52)], None)["generation_tokens_per_second"]
    assert (sound["median"], sound["runs"]) == (51, 2)
    assert figures([speed(10, "others")], None)["generation_tokens_per_second"]["median"] == 10


SETTINGS = {"num_predict": 128, "prompt_words": 400, "seed": 1, "server": {}}


def result(rates, first=0.2, load=2.0, **changes):
    measured = figures([replace(speed(rate), first_token_seconds=first) for rate in rates], load)
    return {
        "made_at": MADE, "digest": "500a", "ollama_version": "0.32.15", "context_length": 32768, "settings": SETTINGS,
        **measured, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("now", "last", "worse"),
    [
        pytest.param(result([50]), result([50]), [], id="the same"),
        pytest.param(result([40, 41, 42]), result([50, 51, 52]), ["generation_tokens_per_second"], id="slower"),
        pytest.param(result([60]), result([50]), [], id="faster"),
        pytest.param(result([46]), result([50]), [], id="eight percent"),
        pytest.param(result([30, 44, 60]), result([40, 50, 55]), [], id="within the spread"),
        pytest.param(result([50], first=0.4), result([50], first=0.2), ["first_token_seconds"], id="later"),
        pytest.param(result([50], first=0.002), result([50], first=0.001), [], id="a millisecond is nothing"),
        pytest.param(result([50], load=9), result([50], load=3), ["load_seconds"], id="loads slowly"),
        pytest.param(result([50], load=None), result([50]), [], id="no load this time"),
    ],
)
def test_worse_is_beyond_ten_percent_and_the_spread(now, last, worse):
    assert compare(now, last)["worse"] == worse


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "other"},
        {"ollama_version": "0.33.0"},
        {"context_length": 4096},
        {"settings": {**SETTINGS, "num_predict": 64}},
        {"settings": {**SETTINGS, "server": {"OLLAMA_KV_CACHE_TYPE": "f16"}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_not_the_same_is_not_compared(changes):
    found = compare(result([10], **changes), result([50]))
    assert len(found["not_comparable"]) == 1
    assert found["worse"] == []
    assert set(found["ratios"].values()) == {None}


def test_the_first_time_there_is_nothing_to_compare():
    assert compare(result([1]), None) is None


def test_a_line_says_how_far_it_is():
    course = Course(12)
    assert course.line("qwen3:8b", "warming up") == "qwen3:8b: warming up"
    course = course.after(10).after(20)
    assert course.line("qwen3:8b", "run 1 of 3", 48.123) == "qwen3:8b: run 1 of 3, 48.1 tokens/s, 2 min 30 s left"
    assert course.after(1, 99).done == 12


# The power of the GPU. --------------------------------------------------------------------------------------------------

SAMPLE = (
    "*** Sampled system activity ***\n\n**** GPU usage ****\n\n"
    "GPU HW active frequency: 1380 MHz\nGPU idle residency:   2.79%\nGPU Power: {} mW\n"
)


def test_power_is_read_from_the_text_and_its_first_sample_is_left_out():
    text = "".join(SAMPLE.format(power) for power in (30, 12000, 12500, 13000))
    assert watts(text) == [0.03, 12.0, 12.5, 13.0]
    assert summary(text) == {"median": 12.5, "minimum": 12.0, "maximum": 13.0, "mad": 0.5, "runs": 3}


@pytest.mark.parametrize(
    "text", ["", "powermetrics must be invoked as the superuser\n", SAMPLE.format(1) * 2, "GPU Power: x mW\n" * 9]
)
def test_too_little_is_no_power(text):
    assert summary(text) is None


# The report. ------------------------------------------------------------------------------------------------------------


def measured_model(name="qwen3:8b", rate=50.0, **changes):
    run = speed(rate).__dict__
    return {
        "name": name, "digest": "500a" * 16, "outcome": "measured", "why": "", "size": 7_600_000_000, "size_vram": 7_600_000_000,
        "context_length": 32768, "load": {"cold": True, "why": "", "seconds": 2.5}, "runs": [run, run, run],
        "memory": {"before": {"swap_used_bytes": 0, "pressure": 1}, "after": {"swap_used_bytes": 0, "pressure": 1}},
        "tools": {"passed": 3, "of": 3, "failures": {}, "why": ""}, **changes,
    }  # fmt: skip


def host(*models, outcome="asked", why="", **changes):
    variables = {
        "fleet_plan_look": {"outcome": outcome, "why": why},
        "ollama_service_environment": {"OLLAMA_KV_CACHE_TYPE": "q8_0", "HTTPS_PROXY": "http://me:secret@proxy"},
        "bench_settings": {"num_predict": 128, "prompt_words": 400, "seed": 1},
        **changes,
    }
    if models:
        variables["bench_measured"] = {
            "bench": {"ollama_version": "0.32.15", "load_average": 1.5, "busy": [], "models": list(models), "not_restored": []}
        }
    return variables


def reported(variables, last="", strict=False, known=None):
    rows = made.rows_from_variables(variables, list(variables))
    content = made.report(rows, last, known or set(variables), MADE, strict=strict)
    jsonschema.validate(content, SCHEMA)
    return content


def test_a_sound_fleet_has_a_table_and_no_finding():
    content = reported({"mac-mini": host(measured_model())})
    assert content["status"] == "ok"
    assert content["findings"] == []
    _, line = made.table(content)
    assert "50.0" in line
    assert "3 of 3" in line
    assert "first time" in line
    assert made.outcomes(content) == {"mac-mini": {"state": "ok", "said": ""}}


def test_nothing_of_the_environment_but_what_makes_it_fast_is_written_down():
    text = as_json(reported({"mac-mini": host(measured_model())}))
    assert "secret" not in text
    assert "OLLAMA_KV_CACHE_TYPE" in text


def test_the_history_grows_is_bounded_and_is_kept_for_who_was_not_asked():
    text = as_json(reported({"mac-mini": host(measured_model()), "macbook-pro": host(measured_model(rate=70))}))
    for rate in range(30, 55):
        text = as_json(reported({"mac-mini": host(measured_model(rate=float(rate)))}, text, known={"mac-mini", "macbook-pro"}))
    history = {(one["host"], one["model"]): one["results"] for one in json.loads(text)["history"]}
    assert len(history["mac-mini", "qwen3:8b"]) == made.KEPT
    assert history["mac-mini", "qwen3:8b"][-1]["generation_tokens_per_second"]["median"] == 54
    assert len(history["macbook-pro", "qwen3:8b"]) == 1
    gone = json.loads(as_json(reported({"mac-mini": host(measured_model())}, text, known={"mac-mini"})))
    assert {one["host"] for one in gone["history"]} == {"mac-mini"}


def test_a_slower_model_is_a_warning_and_an_error_where_that_was_asked_for():
    last = as_json(reported({"mac-mini": host(measured_model())}))
    for strict, state, status in ((False, "ok", "warnings"), (True, "wrong", "errors")):
        content = reported({"mac-mini": host(measured_model(rate=25.0))}, last, strict)
        assert [one["item"] for one in content["findings"]] == ["slower"]
        assert "at 50% of" in content["findings"][0]["why"]
        assert (content["status"], made.outcomes(content, strict=strict)["mac-mini"]["state"]) == (status, state)


@pytest.mark.parametrize(
    "last",
    ["{", "[]", "null", '{"schema": "x"}', '{"schema": "ollama-fleet/bench", "schema_version": 9}', "[" * 100_000,
     '{"schema": "ollama-fleet/bench", "schema_version": 1, "history": 7}'],
    ids=range(7),
)  # fmt: skip
def test_a_last_report_that_cannot_be_read_is_said(last):
    content = reported({"mac-mini": host(measured_model())}, last)
    assert [one["item"] for one in content["findings"]] == ["last-report"]
    assert content["status"] == "warnings"


@pytest.mark.parametrize(
    "results", [[7], [{}], [{"settings": {}, "load_seconds": 3}], [{"settings": {}, "load_seconds": {"median": "x"}}]]
)
def test_a_result_that_somebody_broke_is_forgotten(results):
    last = {
        "schema": made.SCHEMA,
        "schema_version": 1,
        "history": [{"host": "mac-mini", "model": "qwen3:8b", "results": results}],
    }
    content = reported({"mac-mini": host(measured_model())}, json.dumps(last))
    assert len(content["history"][0]["results"]) <= 2


FAILED = {"failures": {"no_call": {"count": 3, "detail": "I cannot"}}, "passed": 0, "of": 3, "why": ""}


@pytest.mark.parametrize(
    ("model", "item", "severity"),
    [
        ({"outcome": "refused", "why": "does not fit", "runs": []}, "refused", "note"),
        ({"outcome": "absent", "why": "not there", "runs": []}, "absent", "note"),
        ({"outcome": "stopped", "why": "swap has grown"}, "stopped", "error"),
        ({"outcome": "failed", "why": "boom", "runs": []}, "failed", "error"),
        ({"size_vram": 1}, "partly-on-cpu", "warning"),
        ({"tools": FAILED}, "tools", "warning"),
        ({"runs": [speed(1, "others").__dict__]}, "disturbed", "warning"),
    ],
)
def test_what_somebody_should_know_is_a_finding(model, item, severity):
    content = reported({"mac-mini": host(measured_model(**model))})
    assert [(one["item"], one["severity"]) for one in content["findings"]] == [(item, severity)]
    assert made.outcomes(content)["mac-mini"]["state"] == ("wrong" if severity == "error" else "ok")


def test_where_nobody_was_asked_nothing_is_well():
    away = {"away": host(outcome="away", why="asleep")}
    assert reported(away)["status"] == "not_asked"
    dead = {**away, "dead": host(outcome="not_asked", why="no route")}
    assert (reported(dead)["status"], reported(dead, strict=True)["status"]) == ("not_asked", "errors")


def test_who_was_not_measured_is_told_with_the_reason():
    variables = {
        "away": host(outcome="away", why="asleep"),
        "dead": host(outcome="not_asked", why="no route"),
        "broken": host(outcome="error", why="a fault"),
        "lost": {**host(), "bench_measured": {"unreachable": True, "msg": "cut"}},
        "unmeasured": host(),
        "ended": {
            **host(measured_model()),
            "bench_measured": {"failed": True, "msg": "It was ended (signal SIGTERM)", "bench": {}},
        },
    }
    content = reported(variables)
    states = {name: one["state"] for name, one in made.outcomes(content).items()}
    assert states == {
        "away": "ok", "dead": "not_asked", "broken": "error", "lost": "not_asked", "unmeasured": "error", "ended": "wrong",
    }  # fmt: skip
    said = {line.split()[0]: " ".join(line.split()[2:]) for line in made.table(content)[1:]}
    assert (said["away"], said["dead"], said["broken"]) == ("away", "not asked", "error")
    assert "Nothing was measured" in picture(content)


def test_an_empty_fleet_has_a_report():
    content = reported({})
    assert made.table(content)
    assert content["hosts"] == []
    parsed(picture(content))


def test_check_mode_writes_nothing():
    plan = {"name": "qwen3:8b", "outcome": "planned", "why": ""}
    assert made.is_plan(reported({"mac-mini": host(plan)}))
    assert not made.is_plan(reported({"mac-mini": host(measured_model())}))


def parsed(text):
    return ElementTree.fromstring(text)  # noqa: S314  our own text


HOSTILE = [
    "=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1", '"quoted", with\r\nlines', "</svg><script>alert(1)</script>",
    "\x1b[2J\x1b]0;x\x07", "\u202egpj", "\ud800\udfff\ufffe", "x" * 1_000_000, "{{ 1 }}",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_words_are_harmless_everywhere(text):
    tools = {"passed": 0, "of": 1, "why": "", "failures": {"no_call": {"count": 1, "detail": text}}}
    run = speed(5, text).__dict__
    content = reported({"mac-mini": host(measured_model(text, why=text, digest=text, tools=tools, runs=[run]))})
    again = as_json(content)
    again.encode("utf-8")
    assert json.loads(again) == content
    for line in made.table(content):
        assert not {unicodedata.category(one) for one in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert len(line) < 3000
    sheet = made.csv_text(content)
    rows = list(csv.reader(io.StringIO(sheet, newline="")))
    assert len(rows) == 2
    assert {len(row) for row in rows} == {len(made.CSV_COLUMNS)}
    assert not [cell for cell in rows[1] if cell[:1] in tuple("=+-@\t\r")]
    assert sheet.count("\r\n") == 2
    drawn = picture(content)
    root = parsed(drawn)
    assert root.tag.endswith("svg")
    assert "<script" not in drawn
    assert len(drawn) < 10_000
    assert not {"href", "src"} & {key for one in root.iter() for key in one.attrib}


def test_numbers_stay_numbers_in_a_spreadsheet():
    assert made.cell(-1.5) == "-1.5"
    assert made.cell(None) == ""
    assert made.cell("-1") == "'-1"


def test_the_picture_says_in_words_what_it_shows():
    content = reported({"mac-mini": host(measured_model()), "macbook-pro": host(measured_model(rate=70.0))})
    root = parsed(picture(content))
    space = {"s": "http://www.w3.org/2000/svg"}
    assert root.get("role") == "img"
    assert root.find("s:title", space).text
    assert "qwen3:8b on macbook-pro 70.0" in root.find("s:desc", space).text
    assert len(root.findall("s:rect[@class='bar']", space)) == 2
    assert "prefers-color-scheme: dark" in root.find("s:style", space).text


def test_two_hundred_macs_take_no_time():
    def took(count):
        variables = {f"mac-{number:03}": host(*(measured_model(f"m{k}:1") for k in range(5))) for number in range(count)}
        began = time.perf_counter()
        content = reported(variables)
        content = made.report(made.rows_from_variables(variables, list(variables)), as_json(content), set(variables), MADE)
        made.table(content)
        made.csv_text(content)
        picture(content)
        return time.perf_counter() - began

    took(10)
    assert took(200) < 20
