"""Which version should be linked, by which steps, and what no step brings."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet import versions
from ansible.module_utils.fleet.homebrew import (
    INSTALLS,
    SWITCHES,
    Keg,
    Wanted,
    findings,
    keg_from_json,
    must_ask,
    plan,
    target,
    way_back,
    why_restart,
)
from ansible.module_utils.fleet.vocabulary import Step, Unknown, plain
from hypothesis import given
from hypothesis import strategies as st

PROGRAM = "/opt/homebrew/Cellar/ollama/0.32.15/libexec/ollama"
PRESENT, LATEST = Wanted("ollama"), Wanted("ollama", "latest")
OFFLINE = Unknown("no way to the internet")
GOOD = Keg(True, ("0.32.15",), "0.32.15", PROGRAM)
TWO = Keg(True, ("0.32.3", "0.32.15"), "0.32.15", PROGRAM)
OLD = Keg(True, ("0.24.0", "0.32.3"), "0.32.3", PROGRAM)


def pinned(version):
    return Wanted("ollama", "pinned", version)


def words(steps):
    return [f"{step.action} {step.item}: {step.found} -> {step.wanted}" for step in steps]


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        pytest.param(GOOD, [], id="installed and linked"),
        pytest.param(Keg(True, ("0.32.3", "0.32.15"), "0.32.3", PROGRAM), [], id="an older version is linked: no upgrade"),
        pytest.param(Keg(True, ("0.32.15",), "0.32.15", PROGRAM, pinned=True), [], id="pinned by somebody"),
        pytest.param(Keg(True), [("install", "absent")], id="absent"),
        pytest.param(Keg(False), [("install", "absent")], id="no brew at all"),
        pytest.param(Keg(True, ("0.32.3", "0.32.15")), [("link", "0.32.15 in the Cellar, not linked")], id="not linked"),
        pytest.param(
            Keg(True, ("0.32.15",), "0.32.15", ""), [("link", "0.32.15 in the Cellar, not linked")], id="links lead nowhere"
        ),
    ],
)
def test_present_installs_and_links_and_nothing_else(found, steps):
    for available in ("0.40.0", OFFLINE):
        assert [(step.action, step.found) for step in plan(found, PRESENT, available)] == steps
    assert all(step.item == "ollama" for step in plan(found, PRESENT))


@pytest.mark.parametrize(
    ("found", "wanted", "available", "steps"),
    [
        pytest.param(GOOD, LATEST, "0.32.15", [], id="latest, and there is nothing newer"),
        pytest.param(GOOD, LATEST, "0.33.0", ["upgrade ollama: 0.32.15 -> 0.33.0"], id="latest, and there is"),
        pytest.param(GOOD, LATEST, "0.32.3", [], id="the tap went back"),
        pytest.param(GOOD, LATEST, "0.32.15_1", ["upgrade ollama: 0.32.15 -> 0.32.15_1"], id="a revision of the formula"),
        pytest.param(GOOD, LATEST, OFFLINE, [], id="latest, offline"),
        pytest.param(
            OLD, LATEST, "0.33.0",
            ["upgrade ollama: 0.32.3 -> 0.33.0", "remove ollama 0.24.0: in the Cellar -> absent"],
            id="the one before the last goes",
        ),
        pytest.param(
            OLD, Wanted("ollama", "latest", "", keep_old=False), "0.33.0",
            ["upgrade ollama: 0.32.3 -> 0.33.0", "remove ollama 0.24.0: in the Cellar -> absent",
             "remove ollama 0.32.3: in the Cellar -> absent"],
            id="none is kept",
        ),
        pytest.param(
            Keg(True, ("0.32.3",), "0.32.3", PROGRAM, pinned=True, pin="0.32.3"), LATEST, "0.33.0",
            ["unpin ollama: pinned -> not pinned", "upgrade ollama: 0.32.3 -> 0.33.0"],
            id="latest takes the pin off",
        ),
        pytest.param(
            Keg(True, ("0.32.15",), "0.32.15", PROGRAM, pinned=True, pin="0.32.15"), LATEST, "0.32.15",
            ["unpin ollama: pinned -> not pinned"], id="latest and pinned by an earlier policy",
        ),
        pytest.param(
            Keg(True, ("0.32.3", "0.32.15"), "0.32.3", PROGRAM), LATEST, "0.32.15",
            ["relink ollama: 0.32.3 -> 0.32.15"], id="the newest is there and not linked",
        ),
        pytest.param(
            Keg(True, ("0.32.3", "0.32.15"), "0.32.3", PROGRAM, refused=(("0.32.15", "x"),)), LATEST, "0.32.15",
            [], id="the newest was taken back",
        ),
        pytest.param(
            Keg(True, ("0.32.3", "0.32.15"), "0.32.3", PROGRAM, refused=(("0.32.15", "x"),)), LATEST, "0.33.0",
            ["upgrade ollama: 0.32.3 -> 0.33.0"], id="and now there is another one",
        ),
        pytest.param(
            Keg(True, ("0.32.15",), "0.32.15", PROGRAM, pinned=True, pin="0.32.15"), pinned("0.32.15"), OFFLINE,
            [], id="pinned as wanted",
        ),
        pytest.param(GOOD, pinned("0.32.15"), OFFLINE, ["pin ollama: not pinned -> 0.32.15"], id="Homebrew does not know of it"),
        pytest.param(GOOD, pinned("v0.32.15"), OFFLINE, ["pin ollama: not pinned -> 0.32.15"], id="with a v"),
        pytest.param(
            Keg(True, ("0.32.3", "0.32.15"), "0.32.15", PROGRAM, pinned=True, pin="0.32.3"), pinned("0.32.15"), OFFLINE,
            ["pin ollama: pinned at 0.32.3 -> 0.32.15"], id="pinned at another",
        ),
        pytest.param(
            Keg(True, ("0.32.15",), "0.32.15", PROGRAM, pinned=True), pinned("0.32.15"), OFFLINE,
            ["pin ollama: pinned at a version that is gone -> 0.32.15"], id="a pin that leads nowhere",
        ),
        pytest.param(
            TWO, pinned("0.32.3"), OFFLINE,
            ["relink ollama: 0.32.15 -> 0.32.3", "pin ollama: not pinned -> 0.32.3"], id="back to the keg before",
        ),
        pytest.param(
            Keg(True, ("0.32.3", "0.32.15"), "0.32.3", PROGRAM, refused=(("0.32.15", "x"),)), pinned("0.32.15"), OFFLINE,
            ["relink ollama: 0.32.3 -> 0.32.15", "pin ollama: not pinned -> 0.32.15"], id="named, though it was taken back",
        ),
        pytest.param(
            Keg(True, ("0.32.3", "0.32.15")), pinned("0.32.3"), OFFLINE,
            ["relink ollama: not linked -> 0.32.3", "pin ollama: not pinned -> 0.32.3"],
            id="nothing linked, and not the newest is meant",
        ),
        pytest.param(
            Keg(True, ("0.32.3", "0.32.15")), pinned("0.32.15"), OFFLINE,
            ["link ollama: 0.32.15 in the Cellar, not linked -> 0.32.15 linked", "pin ollama: not pinned -> 0.32.15"],
            id="nothing linked, and the newest is meant",
        ),
        pytest.param(
            OLD, pinned("0.33.0"), "0.33.0",
            ["upgrade ollama: 0.32.3 -> 0.33.0", "remove ollama 0.24.0: in the Cellar -> absent",
             "pin ollama: not pinned -> 0.33.0"],
            id="Homebrew has the one",
        ),
        pytest.param(
            Keg(True, ("0.32.3",), "0.32.3", PROGRAM, pinned=True, pin="0.32.3"), pinned("0.33.0"), "0.33.0",
            ["unpin ollama: pinned -> not pinned", "upgrade ollama: 0.32.3 -> 0.33.0", "pin ollama: not pinned -> 0.33.0"],
            id="from one pin to the next",
        ),
        pytest.param(OLD, pinned("0.31.0"), "0.33.0", [], id="nobody has it"),
        pytest.param(OLD, pinned("0.31.0"), OFFLINE, [], id="nobody can say"),
        pytest.param(Keg(True), pinned("0.33.0"), "0.33.0",
                     ["install ollama: absent -> present", "pin ollama: not pinned -> 0.33.0"], id="bare, and Homebrew has it"),
        pytest.param(Keg(True), pinned("0.31.0"), "0.33.0", [], id="bare, and Homebrew has another"),
        pytest.param(
            Keg(True, ("0.32.15", "0.32.15_1"), "0.32.15", PROGRAM), pinned("0.32.15"), OFFLINE,
            ["pin ollama: not pinned -> 0.32.15"], id="a keg of exactly that name",
        ),
        pytest.param(
            Keg(True, ("0.32.15_1", "0.32.15_2"), "0.32.15_1", PROGRAM), pinned("0.32.15"), OFFLINE,
            ["relink ollama: 0.32.15_1 -> 0.32.15_2", "pin ollama: not pinned -> 0.32.15_2"], id="the last revision of it",
        ),
    ],
)  # fmt: skip
def test_latest_and_pinned(found, wanted, available, steps):
    assert words(plan(found, wanted, available)) == steps


VERSIONS = st.sampled_from(["0.24.0", "0.32.3", "0.32.15", "0.32.15_1", "0.33.0", "HEAD-0123abc"])


@st.composite
def kegs(draw):
    installed = tuple(sorted(draw(st.sets(VERSIONS)), key=versions.order))
    linked = draw(st.sampled_from(["", *installed]))
    pin = draw(st.sampled_from(["", *installed]))
    refused = tuple((version, "x") for version in sorted(draw(st.sets(st.sampled_from(["", *installed])))) if version)
    unproved = draw(st.sampled_from(["", *installed])) if linked else ""
    return Keg(True, installed, linked, PROGRAM if linked else "", bool(pin), pin, unproved, refused)


def after(found, steps):
    """Carry steps out on values."""
    installed, linked, pinned_now, pin = set(found.installed), found.linked, found.pinned, found.pin
    for step in steps:
        if step.action in ("upgrade", "relink"):
            installed, linked = installed | {step.wanted}, step.wanted
        elif step.action == "link":
            linked = versions.newest(installed)
        elif step.action == "pin":
            pinned_now, pin = True, step.wanted
        elif step.action == "unpin":
            pinned_now, pin = False, ""
        elif step.action == "remove":
            installed -= {step.item.rpartition(" ")[2]}
    return Keg(True, tuple(sorted(installed, key=versions.order)), linked, PROGRAM, pinned_now, pin, refused=found.refused)


@given(
    kegs(),
    st.sampled_from(["present", "latest", "pinned"]),
    VERSIONS,
    VERSIONS | st.just(OFFLINE),
    st.booleans(),
)
def test_what_was_planned_leaves_nothing_to_do(found, policy, version, available, keep):
    wanted = Wanted("ollama", policy, version, keep)
    steps = plan(found, wanted, available)
    if any(step.action == "install" for step in steps) or not found.installed:
        return
    done = after(found, steps)
    assert plan(done, wanted, available) == ()
    # What is linked, pinned or the way back never goes.
    assert done.linked in done.installed or done.linked == ""
    assert not any(step.action == "remove" and step.item.endswith(f" {found.pin}") for step in steps if found.pin)
    if steps and keep and found.linked and any(step.action == "upgrade" for step in steps):
        assert found.linked in done.installed
    if policy == "latest" and found.linked:
        assert not versions.is_older(target(found, wanted, available), found.linked)


UNPROVED = Keg(True, ("0.24.0", "0.32.3"), "0.32.3", PROGRAM, unproved="0.24.0")


@pytest.mark.parametrize(
    ("found", "steps", "running", "why", "back"),
    [
        pytest.param(OLD, (Step("upgrade", "ollama", "0.32.3", "0.33.0"),), "0.32.3", "must run 0.33.0", "0.32.3", id="upgrade"),
        pytest.param(OLD, (Step("relink", "ollama", "0.32.3", "0.24.0"),), "", "must run 0.24.0", "0.32.3", id="relink"),
        pytest.param(OLD, (Step("pin", "ollama", "not pinned", "0.32.3"),), "0.32.3", "", "", id="a pin alone"),
        pytest.param(OLD, (), "0.32.3", "", "", id="as it should be"),
        pytest.param(OLD, (), "", "", "", id="nothing answers: the service's own concern"),
        pytest.param(OLD, (), "0.24.0", "it still runs 0.24.0", "0.24.0", id="the version before still runs"),
        pytest.param(OLD, (), "0.20.0", "", "", id="what runs is no longer there to go back to"),
        pytest.param(OLD, (), "0.0.0", "", "", id="a build from source"),
        pytest.param(UNPROVED, (), "", "has not proved itself yet", "0.24.0", id="an earlier run was cut short"),
        pytest.param(UNPROVED, (), "0.32.3", "has not proved itself yet", "0.24.0", id="and before the proof"),
        pytest.param(UNPROVED, (Step("upgrade", "ollama", "0.32.3", "0.33.0"),), "0.24.0", "must run 0.33.0", "0.24.0",
                     id="what has not proved itself is nothing to go back to"),
        pytest.param(UNPROVED, (Step("relink", "ollama", "0.32.3", "0.24.0"),), "0.32.3", "must run 0.24.0", "0.32.3",
                     id="unless it is wanted"),
        pytest.param(Keg(True, ("0.32.15", "0.32.15_1"), "0.32.15_1", PROGRAM), (), "0.32.15", "", "0.32.15",
                     id="a revision shows not"),
    ],
)  # fmt: skip
def test_a_switch_restarts_the_service_and_knows_the_way_back(found, steps, running, why, back):
    said = why_restart(found, steps, running)
    assert (why in said) if why else said == ""
    goal = next((step.wanted for step in steps if step.action in SWITCHES), "")
    assert way_back(found, running, goal) == back


KNOWN = versions.knowledge_from_json({"bad": [{"to": "0.17.0", "severity": "error", "why": "it leaks", "source": "CVE"}]})


@pytest.mark.parametrize(
    ("found", "wanted", "available", "severity", "said"),
    [
        pytest.param(OLD, pinned("0.31.0"), "0.33.0", "error",
                     ["0.31.0 is not in the Cellar (there: 0.24.0, 0.32.3)", "Homebrew has 0.33.0",
                      "one of 0.24.0, 0.32.3, 0.33.0"],
                     id="nobody has it"),
        pytest.param(OLD, pinned("0.31.0"), OFFLINE, "warning", ["0.31.0 is not in the Cellar", "no way to the internet"],
                     id="nobody can say"),
        pytest.param(Keg(True), pinned("0.31.0"), OFFLINE, "error", ["there: none"], id="bare and nobody can say"),
        pytest.param(GOOD, pinned(""), OFFLINE, "error", ["ollama_version is ''"], id="pinned to nothing"),
        pytest.param(GOOD, pinned("newest"), OFFLINE, "error", ["ollama_version is 'newest'"], id="pinned to a word"),
        pytest.param(GOOD, LATEST, OFFLINE, "note", ["newer version than 0.32.15 could not be asked"], id="offline"),
        pytest.param(
            Keg(True, ("0.32.3", "0.32.15"), "0.32.3", PROGRAM, refused=(("0.32.15", "every load ended with 500"),)), LATEST,
            "0.32.15", "warning", ["every load ended with 500", "-e ollama_version=0.32.15"], id="taken back",
        ),
        pytest.param(Keg(True, ("0.16.0",), "0.16.0", PROGRAM), PRESENT, OFFLINE, "error", ["it leaks", "source: CVE"],
                     id="floor"),
    ],
)  # fmt: skip
def test_findings(found, wanted, available, severity, said):
    (finding,) = findings("mac-mini", found, wanted, available, KNOWN)
    assert finding.severity == severity
    sentence = finding.sentence()
    assert sentence.startswith("mac-mini: ")
    assert all(word in sentence for word in said), sentence


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(GOOD, PRESENT), (GOOD, LATEST), (TWO, pinned("0.32.3")), (Keg(True, ("0.32.3",), "0.32.3", PROGRAM), LATEST)],
)
def test_nothing_is_said_where_nothing_is_wrong(found, wanted):
    assert findings("mac-mini", found, wanted, "0.32.15", KNOWN) == ()


@pytest.mark.parametrize(
    ("found", "wanted", "asked"),
    [(GOOD, PRESENT, False), (Keg(True), PRESENT, False), (GOOD, LATEST, True), (GOOD, pinned("0.32.15"), False),
     (TWO, pinned("v0.32.3"), False), (GOOD, pinned("0.33.0"), True)],
)  # fmt: skip
def test_brew_is_asked_only_where_the_answer_decides(found, wanted, asked):
    assert must_ask(found, wanted) is asked


@given(kegs())
def test_an_observation_is_read_back(found):
    assert keg_from_json(plain(found)) == found


def test_the_two_kinds_of_steps_are_apart():
    assert not set(INSTALLS) & set(SWITCHES)
