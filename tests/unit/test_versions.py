"""Versions order as their makers mean them, and what is known to be bad is said with its source."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.fleet.versions import (
    Version,
    findings,
    floor,
    is_older,
    knowledge_from_json,
    newest,
    order,
    parse,
    same_release,
)
from hypothesis import given
from hypothesis import strategies as st

CATALOGUE = Path(__file__).resolve().parents[2] / "catalogue" / "ollama_versions.yml"
KNOWN = knowledge_from_json(yaml.safe_load(CATALOGUE.read_text()))

# Written by hand, oldest first; each is older than all that follow.
IN_ORDER = (
    "0.0.0", "0.9.6", "0.10.0", "0.17.0", "0.17.1", "0.30.0-rc1", "0.30.0-rc2", "0.30.0-rc10", "0.30.0", "0.30.0_1", "0.30.4",
    "0.32.3", "0.32.15", "0.32.15_1", "0.32.15_2", "0.33.0-rc2", "0.33.0", "1.0.0",
)  # fmt: skip


def test_the_table_is_in_order():
    assert sorted(sorted(IN_ORDER), key=order) == list(IN_ORDER)
    for older, newer in pairwise(IN_ORDER):
        assert is_older(older, newer), (older, newer)
        assert not is_older(newer, older)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.32.15", Version((0, 32, 15))),
        ("v0.32.15", Version((0, 32, 15))),
        (" 0.32.15\n", Version((0, 32, 15))),
        ("0.32.15_1", Version((0, 32, 15), None, 1)),
        ("0.33.0-rc2", Version((0, 33), 2)),
        ("0.33.0-rc.2", Version((0, 33), 2)),
        ("0.33", Version((0, 33))),
        ("0.0.0", Version((0,))),
        ("HEAD-0123abc", None),
        ("0.33.0-dirty", None),
        ("", None),
        ("latest", None),
        ("0.32.", None),
        ("0.32.15_", None),
    ],
)
def test_parse(text, version):
    assert parse(text) == version


VERSIONS = st.builds(
    Version,
    st.lists(st.integers(0, 40), min_size=1, max_size=4).map(tuple).filter(lambda numbers: len(numbers) == 1 or numbers[-1] != 0),
    st.none() | st.integers(0, 20),
    st.integers(0, 3),
)


@given(VERSIONS)
def test_what_is_written_is_read_back(version):
    assert parse(str(version)) == version
    assert parse(f"v{version}") == version
    assert same_release(str(version), str(version.base))


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_total_and_transitive(one, two, three):
    assert (one < two) + (two < one) + (one == two) == 1
    if one < two < three:
        assert one < three
    assert is_older(str(one), str(two)) == (one < two)


@given(st.lists(st.sampled_from([*IN_ORDER, "HEAD-0123abc"]), max_size=6))
def test_the_newest_is_one_of_them_and_none_is_newer(texts):
    best = newest(texts)
    assert best in texts or (best == "" and not texts)
    assert not any(is_older(best, text) for text in texts)


@pytest.mark.parametrize(
    ("version", "installed", "said"),
    [
        pytest.param("0.17.0", "0.17.0", ["error"], id="below the floor, where it is"),
        pytest.param("0.16.2", "", ["error"], id="below the floor, anew"),
        pytest.param("0.17.1", "0.17.1", [], id="the floor itself"),
        pytest.param("0.17.1-rc1", "0.17.1-rc1", [], id="a candidate after the range"),
        pytest.param("0.30.2", "0.30.2", ["warning"], id="known bad, where it is"),
        pytest.param("0.30.2_1", "0.30.2", ["warning"], id="a revision is no other release"),
        pytest.param("0.30.2", "0.24.0", ["error"], id="known bad, anew"),
        pytest.param("0.30.4", "0.24.0", ["error"], id="last of its range"),
        pytest.param("0.30.10", "0.30.10", ["warning"], id="last of the next range"),
        pytest.param("0.30.11", "0.24.0", [], id="after the ranges"),
        pytest.param("0.32.15", "0.32.3", [], id="good"),
        pytest.param("0.0.0", "0.0.0", [], id="a build from source says nothing"),
        pytest.param("HEAD-0123abc", "", [], id="no version"),
    ],
)
def test_findings(version, installed, said):
    found = findings("mac-mini", version, KNOWN, installed=installed)
    assert [finding.severity for finding in found] == said
    for finding in found:
        assert version in finding.item
        assert "source: " in finding.sentence()
        assert finding.remedy


def test_the_floor_is_the_last_refused_version():
    assert floor(KNOWN) == parse("0.17.0")
    assert floor([row for row in KNOWN if row.severity == "warning"]) is None


@pytest.mark.parametrize(
    "row",
    [
        {"to": "soon", "severity": "error", "why": "x", "source": "y"},
        {"from": "0.3", "to": "0.2", "severity": "error", "why": "x", "source": "y"},
        {"from": "x", "to": "0.2", "severity": "error", "why": "x", "source": "y"},
        {"to": "0.2", "severity": "note", "why": "x", "source": "y"},
        {"to": "0.2", "severity": "error", "why": "x", "source": ""},
    ],
)
def test_a_row_that_nobody_can_mean_is_refused(row):
    with pytest.raises(ValueError, match="ollama_versions"):
        knowledge_from_json({"bad": [row]})
