"""Every drift of tests/support/drifts.py on both Macs at once: reported, named, not touched, mended, and nothing else done.

The report, check mode and a real run are three answers to one question, held against each other.
"""

import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.drifts import Drift, Mac, rounds
from tests.support.fleet import Fleet

FLEET = Fleet(os.environ["LAB_NAME"])
MACS = (Mac(FLEET, "mac-mini"), Mac(FLEET, "macbook-pro"))
PLAYBOOK = "playbooks/servers.yml"


def on_both(act):
    """Do something on both Macs at once and return the answers in their order."""
    with ThreadPoolExecutor(max_workers=len(MACS)) as pool:
        return list(pool.map(act, MACS))


@pytest.fixture(autouse=True, scope="module")
def _alone():
    """Keep the Macs from loading their residents by themselves, which would mend some drifts before they are seen."""
    with contextlib.ExitStack() as held:
        for mac in MACS:
            held.enter_context(mac.residents_held())
        yield


@pytest.fixture(autouse=True)
def _mended(request):
    """Leave the fleet converged, so that one failure does not spoil the tests after it."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        FLEET.play(PLAYBOOK)


@pytest.mark.parametrize("together", rounds(), ids=lambda drifts: " + ".join(map(str, drifts)))
def test_drift_is_named_and_mended_and_nothing_else(together: tuple[Drift, ...], tmp_path: Path) -> None:
    expected = {mac.name: steps for mac, steps in zip(MACS, on_both(lambda mac: wanted_steps(together, mac)), strict=True)}
    for drift in together:
        on_both(drift.make)
    before = on_both(lambda mac: mac.state())
    pids = on_both(lambda mac: mac.pid())

    report = FLEET.play("playbooks/drift.yml", "--limit", "ollama_servers", "-e", f"drift_reports_path={tmp_path}")
    assert report.rc == (2 if any(expected.values()) else 0), report.screen
    assert reported(tmp_path) == expected

    check = FLEET.play(PLAYBOOK, "--check", "--diff")
    assert check.rc == 0, check.screen
    assert {mac.name: check.steps(mac.name) for mac in MACS} == expected
    assert on_both(lambda mac: mac.state()) == before, "a look touched something"

    run = FLEET.play(PLAYBOOK)
    assert run.rc == 0, run.screen
    assert {mac.name: run.steps(mac.name) for mac in MACS} == expected
    if not any(drift.restarts for drift in together):
        assert on_both(lambda mac: mac.pid()) == pids, "a healthy service was restarted"


def reported(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the drifts of a report, as (action, item), in order."""
    content = json.loads((folder / "drift.json").read_text())
    return {host["host"]: [(one["action"], one["item"]) for one in host["drifts"]] for host in content["hosts"]}


def wanted_steps(together: tuple[Drift, ...], mac: Mac) -> list[tuple[str, str]]:
    """Return the steps of all drifts of a round, in the order of the concerns."""
    steps = {drift.concern: drift.steps(mac) for drift in together}
    # A change of the service loads its residents again itself: without them it has not succeeded.
    return [step for concern in ("service", "firewall", "models", "jobs") for step in steps.get(concern, [])]


def test_afterwards_nothing_is_left_to_do() -> None:
    run = FLEET.play("site.yml")
    assert run.rc == 0, run.screen
    assert {mac.name: run.steps(mac.name) for mac in MACS} == {mac.name: [] for mac in MACS}


def test_without_the_fast_path_the_result_is_the_same() -> None:
    on_both(lambda mac: mac.edit(RunAtLoad=False))
    on_both(lambda mac: mac.api("DELETE", "/api/delete", {"model": "gpt-oss:20b"}))
    fast = FLEET.play(PLAYBOOK, "--check", "--diff")
    slow = FLEET.play(PLAYBOOK, "--check", "--diff", "-e", "fleet_fast_path=false")
    assert {mac.name: slow.steps(mac.name) for mac in MACS} == {mac.name: fast.steps(mac.name) for mac in MACS}
    run = FLEET.play(PLAYBOOK, "-e", "fleet_fast_path=false")
    assert {mac.name: run.steps(mac.name) for mac in MACS} == {mac.name: fast.steps(mac.name) for mac in MACS}
    again = FLEET.play(PLAYBOOK, "-e", "fleet_fast_path=false")
    assert [again.changed(mac.name) for mac in MACS] == [0, 0]
