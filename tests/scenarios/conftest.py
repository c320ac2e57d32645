"""A virtual fleet, converged once, for stories that end badly or go on after trouble."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.core import CORE
from tests.support.drifts import Mac
from tests.support.fleet import Fleet


class Story(Fleet):
    """A fleet, and the trouble that can be made for it."""

    @contextmanager
    def trouble(self, host: str, name: str, value: str = "on") -> Iterator[None]:
        """Make a fault for the length of a block."""
        self.lab("fault", host, name, value)
        try:
            yield
        finally:
            self.lab("fault", host, name, "off")

    def mac(self, name: str) -> Mac:
        """Return one Mac."""
        return Mac(self, name)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Story]:
    """Bring a fleet up and converge it."""
    story = Story(f"scenarios-{os.getpid()}")
    story.lab("up")
    try:
        run = story.screen("site.yml")
        assert run.rc == 0, run.screen
        yield story
    finally:
        story.lab("down")


@pytest.fixture
def mini(fleet: Story) -> Mac:
    """Return the Mac that is always on."""
    return fleet.mac("mac-mini")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the stories that run once a week."""
    for item in items:
        if getattr(item, "originalname", "") not in CORE.get(item.path.stem, ()):
            item.add_marker(pytest.mark.long)
