"""Figures: read exactly or refused by the name of their variable; GB and GiB never one for the other."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.units import (
    GB,
    GIB,
    MIB,
    bytes_of_gb,
    bytes_of_gib,
    bytes_of_mib,
    gb_text,
    gib_text,
    mib_text,
    shown,
    whole_number,
)
from hypothesis import given
from hypothesis import strategies as st

HOSTILE = [
    "five", "", "5,2", "nan", "inf",
    True, False, float("nan"), float("inf"), float("-inf"), -1, -0.1, 1e30, 10**30, 10**5000, [5], {},
    {"a": 1}, None, b"5", object,
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: shown(value)[:20])
@pytest.mark.parametrize("reader", [bytes_of_gb, bytes_of_gib, bytes_of_mib, whole_number], ids=lambda reader: reader.__name__)
def test_what_is_no_figure_is_refused_in_one_sentence_that_names_the_variable(reader, value):
    with pytest.raises(ValueError, match=r"^ram_budget_x is .{1,80}, it must be a (whole )?number") as refused:
        reader(value, "ram_budget_x")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("reader", "value", "count"),
    [
        (bytes_of_gb, 5.2, 5_200_000_000), (bytes_of_gb, "5.2", 5_200_000_000), (bytes_of_gb, 10**6, 10**15),
        (bytes_of_gib, 16, 17_179_869_184), (bytes_of_gib, "16", 17_179_869_184), (bytes_of_gib, 0.5, 2**29),
        (bytes_of_mib, 1024, 2**30), (whole_number, 10**15, 10**15), (whole_number, "4096", 4096), (whole_number, 36.0, 36),
        (whole_number, 5_225_388_164_123, 5_225_388_164_123),
    ],
)  # fmt: skip
def test_figures(reader, value, count):
    assert reader(value, "x") == count


def test_zero_has_a_meaning_only_where_it_is_allowed():
    assert bytes_of_gb(0, "x", zero=True) == 0
    with pytest.raises(ValueError, match="above 0"):
        bytes_of_gb(0, "x")


def test_a_whole_number_is_whole():
    with pytest.raises(ValueError, match=r"x is 1\.5"):
        whole_number(1.5, "x")
    with pytest.raises(ValueError, match=r"x is '1\.5'"):
        whole_number("1.5", "x")


@given(st.floats(0.001, 10**5))
def test_a_gib_is_more_than_a_gb_by_7_percent_and_never_the_same(value):
    assert bytes_of_gib(value, "x") / bytes_of_gb(value, "x") == pytest.approx(GIB / GB, rel=1e-5)
    assert GIB > GB > MIB


def test_texts_name_their_unit():
    assert (gb_text(5_225_388_164), gib_text(16 * GIB), gib_text(GIB * 3 // 2), mib_text(576 * MIB)) == (
        "5.2 GB",
        "16 GiB",
        "1.5 GiB",
        "576 MiB",
    )


def test_a_list_that_holds_itself_can_be_shown():
    endless: list = []
    endless.append(endless)
    assert shown(endless)
    assert len(shown("x" * 10**6)) <= 60
