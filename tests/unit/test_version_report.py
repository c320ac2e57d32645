"""The table of versions says what was and what is, also for a Mac that says nothing."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.version_report import Row, lines

from .examples import observed

CHANGE = {
    "gap_seconds": 3.14,
    "proved_by": "qwen3:8b",
    "versions": {"linked": "0.32.3", "running": "0.32.3", "available": "0.32.15", "now": "0.32.15"},
}


@pytest.mark.parametrize(
    ("seen", "change", "words"),
    [
        (None, None, ["?", "not looked at"]),
        (observed(), None, ["0.32.15", "0.32.15", "not asked", "0.32.15"]),
        (observed(available="0.33.0"), None, ["0.32.15", "0.32.15", "0.33.0", "0.32.15"]),
        (observed(available={"unknown": "curl"}), None, ["no answer"]),
        (observed(available="0.33.0"), CHANGE, ["0.33.0", "0.32.15", "nobody held the port for 3.1 s; qwen3:8b completed"]),
        (observed(), {**CHANGE, "gap_seconds": None, "proved_by": ""}, ["0.32.15"]),
        (observed(server={"version": None}), None, ["none"]),
        (observed(server={"unknown": "x"}, homebrew={"unknown": "x"}), None, ["?", "?"]),
        (observed(), {"failed": True, "msg": "x"}, ["0.32.15"]),
        ({}, {}, ["none", "?"]),
    ],
)
def test_rows(seen, change, words):
    heading, line = lines([Row.of("mac-mini", seen, change)])
    assert heading.startswith("host")
    rest = line
    for word in ["mac-mini", *words]:
        assert word in rest, line
        rest = rest.partition(word)[2]


def test_columns_are_straight():
    table = lines([Row("a", "0.32.3"), Row("a-longer-name", "0.32.15_1")])
    assert len({line.index(word) for line, word in zip(table, ["installed", "0.32.3", "0.32.15_1"], strict=True)}) == 1
