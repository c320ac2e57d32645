"""How far a pull is, as a person reads it."""

from __future__ import annotations

import re

import pytest
from ansible.module_utils.fleet.progress import Progress, duration
from hypothesis import given
from hypothesis import strategies as st

GB = 10**9
LINES = st.fixed_dictionaries(
    {"status": st.text("abc", max_size=8)},
    optional={
        "digest": st.sampled_from(["sha256:aa", "sha256:bb", ""]),
        "total": st.integers(0, 10**11),
        "completed": st.integers(0, 10**11),
    },
)


def after(*lines, at=0.0, step=1.0):
    progress = Progress("qwen3:8b")
    for number, line in enumerate(lines):
        progress = progress.after(line, at + number * step)
    return progress


def layer(completed, total, digest="sha256:aa"):
    line = {"status": f"pulling {digest[7:]}", "digest": digest, "total": total}
    return line if completed is None else {**line, "completed": completed}


@pytest.mark.parametrize(
    ("progress", "now", "line"),
    [
        (Progress("qwen3:8b"), 0, "qwen3:8b: waiting for the registry"),
        (after({"status": "pulling manifest"}), 0, "qwen3:8b: pulling manifest"),
        (after(layer(None, 5 * GB)), 0, "qwen3:8b: 0 %, 0.00 of 5.00 GB, pulling aa"),
        (after(layer(None, 5 * GB)), 9, "qwen3:8b: 0 %, 0.00 of 5.00 GB, pulling aa"),
        (after(layer(None, 4 * GB), layer(GB, 4 * GB)), 10, "qwen3:8b: 25 %, 1.00 of 4.00 GB, 100.0 MB/s, 30 s left"),
        (after(layer(2 * GB, 4 * GB), layer(3 * GB, 4 * GB)), 10, "qwen3:8b: 75 %, 3.00 of 4.00 GB, 100.0 MB/s, 10 s left"),
        (
            after(layer(None, 4 * GB), layer(GB, 4 * GB), layer(GB, GB, "sha256:bb")),
            20,
            "qwen3:8b: 40 %, 2.00 of 5.00 GB, 100.0 MB/s, 30 s left",
        ),
        (
            after(layer(4 * GB, 4 * GB), {"status": "verifying sha256 digest"}),
            5,
            "qwen3:8b: 100 %, 4.00 of 4.00 GB, verifying sha256 digest",
        ),
    ],
    ids=[
        "nothing yet",
        "manifest",
        "completed left out",
        "no byte yet",
        "under way",
        "resumed",
        "two layers",
        "all there before",
    ],
)
def test_the_line(progress, now, line):
    assert progress.line(now) == line


@given(st.lists(LINES, max_size=8), st.floats(0, 10**6))
def test_no_stream_shows_more_than_everything_or_less_than_nothing(lines, now):
    text = after(*lines).line(now)
    assert text.startswith("qwen3:8b: ")
    percent = re.search(r"(-?\d+) %", text)
    assert percent is None or 0 <= int(percent[1]) <= 100
    assert " -" not in text


@given(st.lists(st.integers(0, GB), min_size=2, max_size=8).map(sorted))
def test_a_layer_that_grows_is_shown_to_grow(counts):
    shown = [int(re.search(r"(\d+) %", after(layer(count, GB)).line(0))[1]) for count in counts]
    assert shown == sorted(shown)
    progress = after(*(layer(count, GB) for count in counts))
    assert (progress.completed, progress.total) == (counts[-1], GB)


@given(st.integers(1, GB), st.integers(1, GB))
def test_what_a_resumed_pull_had_before_says_nothing_about_its_speed(before, more):
    total = before + more
    progress = Progress("m").after(layer(before, total), 100.0).after(layer(total, total), 101.0)
    assert f"{more / 10**6:.1f} MB/s" in progress.line(101.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.4, "0 s"), (8, "8 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_a_time_as_a_person_says_it(seconds, text):
    assert duration(seconds) == text
