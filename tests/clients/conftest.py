"""The real client programs, and the turns that run beside the other tests because they mostly wait."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import programs, servers, turns

WORKERS = 4
"""Turns at a time: on two cores, since half of them wait for a server that does not answer."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the page be written anew."""
    parser.addoption("--record", action="store_true", help="write docs/clients-failover.md from this run")


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """End with a sentence where a program is missing: a run without them proves nothing."""
    try:
        programs.folders()
    except programs.Missing as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def store(_installed: None, tmp_path_factory: pytest.TempPathFactory) -> servers.Store:
    """Give the servers' models."""
    return servers.Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session", autouse=True)
def started(
    request: pytest.FixtureRequest, _installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[turns.Case, concurrent.futures.Future[turns.Turn]]]:
    """Start the turns of all selected tests, first those that fill the programs' caches, then those that wait longest."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    cases = {call.params["case"] for call in calls if call and "case" in call.params}
    if not cases:
        yield {}
        return
    ready: servers.Store = request.getfixturevalue("store")
    order = ["well", "silent", "asleep"]
    queue = sorted(cases, key=lambda case: (order.index(case.state) if case.state in order else len(order), str(case)))
    pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
    yield {case: pool.submit(turns.take, case, ready, tmp_path_factory.mktemp("world")) for case in queue}
    pool.shutdown(cancel_futures=True)


@pytest.fixture
def turn(case: turns.Case, started: dict[turns.Case, concurrent.futures.Future[turns.Turn]]) -> turns.Turn:
    """Give what came of a case."""
    return started[case].result()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give an empty folder for a world."""
    folder = tmp_path / "world"
    folder.mkdir()
    return folder
