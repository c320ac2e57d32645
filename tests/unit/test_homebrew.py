"""One step at most, and brew is not started for it."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.homebrew import Keg, plan

PROGRAM = "/opt/homebrew/Cellar/ollama/0.32.15/libexec/ollama"


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        pytest.param(Keg(True, ("0.32.15",), "0.32.15", PROGRAM), [], id="installed and linked"),
        pytest.param(Keg(True, ("0.32.3", "0.32.15"), "0.32.3", PROGRAM), [], id="an older version is linked: no upgrade"),
        pytest.param(Keg(True, ("0.32.15",), "0.32.15", PROGRAM, pinned=True), [], id="pinned"),
        pytest.param(Keg(True), [("install", "absent")], id="absent"),
        pytest.param(Keg(False), [("install", "absent")], id="no brew at all"),
        pytest.param(Keg(True, ("0.32.3", "0.32.15")), [("link", "0.32.15 in the Cellar, not linked")], id="not linked"),
        pytest.param(
            Keg(True, ("0.32.15",), "0.32.15", ""), [("link", "0.32.15 in the Cellar, not linked")], id="links lead nowhere"
        ),
    ],
)
def test_plan(found, steps):
    assert [(step.action, step.found) for step in plan(found, "ollama")] == steps
    assert all(step.item == "ollama" for step in plan(found, "ollama"))
