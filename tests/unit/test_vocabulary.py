"""Unknown, Step and Finding say what they are and survive the way through JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.fleet import application_firewall, homebrew, models, service
from ansible.module_utils.fleet.launchctl_output import Job
from ansible.module_utils.fleet.vocabulary import Finding, Step, Unknown, differences, plain, unknown_in
from hypothesis import given
from hypothesis import strategies as st

from .examples import CONVERGED, DEFINITION, file_of, job_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
UNKNOWNS = st.builds(Unknown, TEXT)
JOBS = st.builds(
    Job,
    domain=st.sampled_from(["gui/501", "user/501", "system"]),
    label=TEXT,
    path=TEXT,
    environment=st.dictionaries(TEXT, TEXT, max_size=3),
    inherited=st.dictionaries(TEXT, TEXT, max_size=2),
    arguments=st.lists(TEXT, max_size=3).map(tuple),
    properties=st.frozensets(TEXT, max_size=3),
    pid=st.none() | st.integers(1, 99999),
)
VALUES = st.recursive(
    st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=5
)
FILES = st.builds(
    service.File, TEXT, TEXT, st.none() | st.dictionaries(TEXT, VALUES, max_size=3), st.integers(0, 0o7777), st.integers(0, 600)
)
LAUNCHD = st.builds(
    service.Found,
    uid=st.integers(0, 600),
    home=TEXT,
    files=st.lists(FILES, max_size=2).map(tuple),
    jobs=st.lists(JOBS, max_size=2).map(tuple),
    disabled=st.lists(st.tuples(TEXT, st.frozensets(TEXT, max_size=3)), max_size=3).map(tuple),
    gui_session=st.booleans() | UNKNOWNS,
)
MODELS = st.builds(
    models.Found,
    st.lists(st.builds(models.Installed, TEXT, TEXT, st.integers(0, 10**12)), max_size=3).map(tuple),
    UNKNOWNS
    | st.lists(
        st.builds(models.Loaded, TEXT, TEXT, st.integers(0), st.integers(0), st.integers(0), st.booleans()), max_size=2
    ).map(tuple),
    st.dictionaries(TEXT, TEXT | UNKNOWNS, max_size=3),
)
FIREWALLS = st.builds(
    application_firewall.Firewall,
    st.sampled_from([0, 1, 2]) | UNKNOWNS,
    st.dictionaries(TEXT, st.sampled_from(["allow", "block"]), max_size=3),
)
KEGS = st.builds(homebrew.Keg, st.booleans(), st.lists(TEXT, max_size=3).map(tuple), TEXT, TEXT, st.booleans())


def through_json(value):
    return json.loads(json.dumps(plain(value)))


def test_unknown_is_neither_true_nor_false():
    with pytest.raises(TypeError, match="no answer"):
        bool(Unknown("no answer"))


def test_unknown_is_not_an_empty_value():
    for empty in ("", (), [], {}, None, 0, False):
        assert Unknown("") != empty


@given(UNKNOWNS)
def test_unknown_survives_json(unknown):
    assert unknown_in(through_json(unknown)) == unknown


@pytest.mark.parametrize("value", [None, {}, [], "unknown", {"unknown": "x", "state": 1}, {"state": 1}], ids=repr)
def test_what_was_read_is_not_unknown(value):
    assert unknown_in(value) is None


@given(LAUNCHD)
def test_what_launchd_holds_survives_json(found):
    assert service.found_from_json(through_json(found)) == found


def test_the_example_survives_json_as_launchctl_is_parsed():
    from ansible.module_utils.fleet.launchctl_output import parse_job

    parsed = parse_job("gui/501/x = {\n\tenvironment = {\n\t\tA => 1\n\t}\n\tproperties = keepalive\n}")
    found = replace(CONVERGED, jobs=(parsed,))
    assert service.found_from_json(through_json(found)) == found


@given(MODELS)
def test_model_sets_survive_json(found):
    assert models.found_from_json(through_json(found)) == found


@given(FIREWALLS)
def test_firewalls_survive_json(found):
    assert application_firewall.firewall_from_json(through_json(found)) == found


@given(KEGS)
def test_kegs_survive_json(found):
    assert homebrew.keg_from_json(through_json(found)) == found


def test_an_unknown_deep_in_a_dataclass_stays_unknown():
    assert plain(replace(CONVERGED, gui_session=Unknown("why")))["gui_session"] == {"unknown": "why"}
    assert plain(Step("a", "b", Unknown("why"), None))["found"] == {"unknown": "why"}


def test_sets_come_out_sorted():
    assert plain({"a": frozenset({"c", "b"}), "t": (1, 2)}) == {"a": ["b", "c"], "t": [1, 2]}


@pytest.mark.parametrize("step", service.plan(replace(CONVERGED, files=(), jobs=()), service.Wanted("x", "gui", DEFINITION)))
def test_every_step_is_plain_enough_for_json(step):
    assert set(through_json(step)) == {"action", "item", "found", "wanted", "why"}


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        (
            Finding("mac-mini", "ram_budget", "gpt-oss:20b", 1, 2, "error", "it does not fit", "take it out"),
            "mac-mini: gpt-oss:20b: it does not fit. Take it out.",
        ),
        (Finding("mac-mini", "x", "item", 1, 2, "note", "so it is"), "mac-mini: item: so it is."),
    ],
)
def test_a_finding_is_one_line_for_a_terminal(finding, sentence):
    assert finding.sentence() == sentence


def test_differences_show_each_step_and_lose_none():
    steps = (
        Step("write", "/a", {"KeepAlive": False}, {"KeepAlive": True}),
        Step("reload", "gui/501/a", "old", "new", "launchd runs another definition"),
        Step("remove", "/a", "present", "absent"),
    )
    shown = differences(steps)
    assert list(shown["before"]) == list(shown["after"]) == ["write /a", "reload gui/501/a", "remove /a"]
    assert shown["before"]["write /a"] == {"KeepAlive": False}
    assert shown["after"]["reload gui/501/a"] == {"wanted": "new", "why": "launchd runs another definition"}
    assert differences(()) == {"before": {}, "after": {}}


def test_the_example_is_sound():
    assert CONVERGED.jobs == (job_of(DEFINITION),)
    assert CONVERGED.files == (file_of(DEFINITION),)
