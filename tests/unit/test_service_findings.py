"""What a person hears of a service although no step mends it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.fleet.service import Wanted
from ansible.module_utils.fleet.service_findings import (
    Surroundings,
    findings,
    inventory_findings,
    surroundings_from_json,
)
from ansible.module_utils.fleet.vocabulary import Unknown, plain

from .examples import BARE, CONVERGED, DEFINITION, LABEL, RETIRED, TARGET, UID, WANTED, definition, job_of

DAEMON = Wanted(LABEL, "system", definition(UserName="felipe"), RETIRED)
GUI = f"gui/{UID}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({}, [], id="healthy"),
        pytest.param({"gui_session": False}, [("error", GUI)], id="nobody logged in"),
        pytest.param({"gui_session": Unknown("not permitted")}, [("error", GUI)], id="cannot tell"),
        pytest.param(
            {"jobs": (job_of(DEFINITION, last_exit="last exit code = 1"),)}, [("note", TARGET)], id="an earlier run failed"
        ),
        pytest.param(
            {"jobs": (job_of(DEFINITION, last_exit="last exit code = 1", successive_crashes=3),)},
            [("warning", TARGET)],
            id="it crashes again and again",
        ),
        pytest.param({"jobs": (job_of(DEFINITION, last_exit="last exit code = 0"),)}, [], id="an earlier run ended well"),
        pytest.param({"jobs": (job_of(DEFINITION, last_exit=""),)}, [], id="nothing known of earlier runs"),
        pytest.param({"jobs": ()}, [], id="not loaded is for the plan to say"),
        pytest.param(
            {"jobs": (job_of(DEFINITION, inherited={"OLLAMA_HOST": "127.0.0.1"}),)},
            [("note", f"{GUI} OLLAMA_HOST")],
            id="a leftover of setenv that the property list overrides",
        ),
        pytest.param(
            {"jobs": (job_of(DEFINITION, inherited={"OLLAMA_MODELS": "/x", "SSH_AUTH_SOCK": "/y"}),)},
            [("warning", f"{GUI} OLLAMA_MODELS")],
            id="a leftover of setenv that counts",
        ),
    ],
)
def test_findings_for_an_agent(changes, said):
    found = replace(CONVERGED, **changes)
    assert [(finding.severity, finding.item) for finding in findings("mac-mini", found, WANTED)] == said


def test_a_daemon_needs_nobody_at_the_screen():
    assert findings("mac-mini", replace(BARE, gui_session=False), DAEMON) == ()


@pytest.mark.parametrize(
    ("around", "wanted", "items"),
    [
        (Surroundings(), WANTED, [GUI]),
        (Surroundings(auto_login="felipe"), WANTED, []),
        (Surroundings(auto_login=Unknown("not readable")), WANTED, []),
        (Surroundings(file_vault=True), WANTED, [GUI, "FileVault"]),
        (Surroundings(file_vault=True), DAEMON, ["FileVault"]),
        (Surroundings(file_vault=Unknown("no answer"), auto_login=Unknown("x")), WANTED, []),
        (Surroundings(), DAEMON, []),
    ],
)
def test_what_keeps_a_mac_that_is_always_on_from_answering_after_a_reboot(around, wanted, items):
    assert [one.item for one in findings("mac-mini", CONVERGED, wanted, around, always_on=True)] == items
    assert findings("mac-mini", CONVERGED, wanted, around, always_on=False) == ()


@pytest.mark.parametrize(
    ("around", "severity", "words"),
    [
        (Surroundings(app="/Applications/Ollama.app"), "warning", "Ollama.app is installed"),
        (Surroundings(app="/Applications/Ollama.app", app_runs=True), "warning", "Ollama.app runs"),
        (Surroundings(brew_environment=("OLLAMA_HOST",)), "warning", "it sets OLLAMA_HOST"),
    ],
)
def test_rivals_are_told(around, severity, words):
    (finding,) = findings("mac-mini", CONVERGED, WANTED, around)
    assert (finding.severity, words in finding.sentence()) == (severity, True)


@pytest.mark.parametrize(
    "around",
    [
        Surroundings(),
        Surroundings(
            "/Applications/Ollama.app", app_runs=True, brew_environment=("A", "B"), file_vault=True, auto_login="felipe"
        ),
        Surroundings(file_vault=Unknown("one"), auto_login=Unknown("other")),
    ],
)
def test_surroundings_travel_as_json(around):
    assert surroundings_from_json(plain(around)) == around


@pytest.mark.parametrize(
    ("domain", "changes", "always_on", "items"),
    [
        ("gui", {}, False, ["StandardErrorPath", "StandardOutPath"]),
        ("gui", {"StandardErrorPath": "/Users/x/y", "StandardOutPath": None}, False, []),
        ("gui", {"StandardErrorPath": "/Users/x/y", "StandardOutPath": None}, True, ["ollama_service_domain"]),
        ("system", {"StandardErrorPath": "/Users/x/y", "StandardOutPath": None}, True, []),
        (
            "system",
            {"StandardErrorPath": None, "StandardOutPath": None, "SoftResourceLimits": {"NumberOfFiles": 1}},
            True,
            ["NumberOfFiles"],
        ),
    ],
)
def test_what_the_inventory_alone_tells(domain, changes, always_on, items):
    wanted = Wanted(LABEL, domain, definition(**changes), RETIRED)
    found = inventory_findings("mac-mini", wanted, always_on=always_on)
    assert [finding.item for finding in found] == items
    assert {finding.severity for finding in found} <= {"warning"}
