"""Fixtures for the tests of the lab's parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands_support import Box

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Box:
    """Give a fresh Mac."""
    return Box(tmp_path, monkeypatch, capsys)
