"""Who is told what, how often, in which form, and what becomes of a message that does not arrive."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.fleet.alerts import (
    FORMS,
    MOST_ATTEMPTS,
    QUEUE,
    Condition,
    Desk,
    Message,
    delivered,
    due,
    failed,
    from_json,
    headline,
    judge,
    request,
    to_json,
)
from hypothesis import given
from hypothesis import strategies as st

REPEAT = 6 * 3600
SWAP = Condition("swap-critical", "critical", "swap is over 12.0 GB")
UNLOAD = Condition("unload gpt-oss:20b", "warning", "unload gpt-oss:20b", event=True)


def walk(*looks):
    """Judge looks of (clock, conditions) one after the other; return the messages of each as (cause, state), and the desk."""
    desk, told = Desk(), []
    for clock, conditions in looks:
        desk, fresh = judge(conditions, desk, clock, REPEAT)
        told.append([(one.cause, one.state) for one in fresh])
        assert from_json(json.loads(json.dumps(to_json(desk)))) == desk
    return told, desk


def test_a_cause_is_told_once_again_after_hours_and_when_it_is_over():
    times = (0, 60, REPEAT - 1, REPEAT, REPEAT + 60)
    told, desk = walk(*((clock, [SWAP]) for clock in times), (REPEAT + 120, []))
    assert told == [
        [("swap-critical", "raised")], [], [], [("swap-critical", "repeated")], [], [("swap-critical", "recovered")],
    ]  # fmt: skip
    assert dict(desk.standing) == {}


def test_an_event_has_no_end_and_is_not_told_again_at_once():
    told, _ = walk((0, [UNLOAD]), (60, []), (120, [UNLOAD]), (REPEAT, [UNLOAD]), (2 * REPEAT, []), (2 * REPEAT + 1, [UNLOAD]))
    assert told == [
        [(UNLOAD.cause, "told")], [], [], [(UNLOAD.cause, "told")], [], [(UNLOAD.cause, "told")],
    ]  # fmt: skip


def test_causes_do_not_hide_each_other():
    told, _ = walk((0, [SWAP]), (60, [SWAP, UNLOAD]), (120, [UNLOAD]))
    assert told == [[("swap-critical", "raised")], [(UNLOAD.cause, "told")], [("swap-critical", "recovered")]]


def test_a_time_that_lies_ahead_silences_nothing():
    _, desk = walk((9_000_000, [SWAP, UNLOAD]))
    _, fresh = judge([SWAP, UNLOAD], desk, 60, REPEAT)
    assert {(one.cause, one.state) for one in fresh} == {("swap-critical", "repeated"), (UNLOAD.cause, "told")}


def test_a_message_that_does_not_arrive_is_tried_ever_later_and_then_given_up():
    _, desk = walk((0, [SWAP]))
    clock, tries = 0.0, []
    for _ in range(200):
        for message in due(desk, clock):
            tries.append(clock)
            desk, lost = failed(desk, message, clock)
            assert lost == (len(tries) == MOST_ATTEMPTS)
        clock += 30
    assert tries == [0, 60, 180, 420, 900, 1860]
    assert desk.queue == ()


def test_one_that_arrives_is_gone_and_others_wait():
    _, desk = walk((0, [SWAP, UNLOAD]))
    first, second = due(desk, 0)
    desk, _ = failed(delivered(desk, first), second, 0)
    assert due(desk, 0) == ()
    assert [one.cause for one in due(desk, 60)] == [second.cause]


def test_the_queue_is_bounded_and_keeps_the_newest():
    many = [Condition(f"cause {number}", "note", "x") for number in range(3 * QUEUE)]
    _, desk = walk((0, many))
    assert [one.cause for one in desk.queue] == [one.cause for one in many[-QUEUE:]]


HOSTILE = Message("x", "critical", "raised", 'a <b> & "c"\n\'; rm -rf $HOME\x1b[31m ü', "2026-11-26T03:00:00Z")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_one_post_that_no_text_breaks_out_of(form):
    made = request(form, HOSTILE, "mac-mini", "-100")
    for name, value in made.headers.items():
        assert value.isascii()
        assert value.isprintable(), name
    text = made.body.decode()
    assert "\n" not in text
    assert "\x1b" not in text
    if form != "ntfy":
        assert isinstance(json.loads(text), dict)


def test_the_forms_are_those_of_the_services():
    assert json.loads(request("json", HOSTILE, "mac-mini").body) == {
        "at": "2026-11-26T03:00:00Z", "cause": "x", "host": "mac-mini", "level": "critical", "state": "raised",
        "text": "a <b> & \"c\" '; rm -rf $HOME [31m ü",
    }  # fmt: skip
    assert json.loads(request("slack", HOSTILE, "mac-mini").body)["text"].startswith("mac-mini: critical: a &lt;b&gt; &amp; ")
    telegram = json.loads(request("telegram", HOSTILE, "mac-mini", "-100").body)
    assert (telegram["chat_id"], telegram["text"]) == ("-100", headline(HOSTILE, "mac-mini"))
    ntfy = request("ntfy", HOSTILE, "mac-mini")
    assert (ntfy.headers["Priority"], ntfy.headers["Title"]) == ("5", "mac-mini: x")
    assert ntfy.body.decode() == headline(HOSTILE, "mac-mini")


@pytest.mark.parametrize(
    ("level", "state", "words"),
    [
        ("critical", "raised", "mac-mini: critical: x"),
        ("critical", "repeated", "mac-mini: still critical: x"),
        ("note", "recovered", "mac-mini: recovered: x"),
        ("warning", "told", "mac-mini: warning: x"),
    ],
)
def test_a_headline_says_where_and_how_bad(level, state, words):
    assert headline(Message("c", level, state, "x"), "mac-mini") == words


KEYS = st.sampled_from(["standing", "queue", "cause", "due", "sent"])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(JUNK)
def test_a_desk_that_is_not_ours_is_forgotten(data):
    desk, _ = judge([SWAP], from_json(data), 60, REPEAT)
    assert from_json(json.loads(json.dumps(to_json(desk)))) == desk


SERVER = Condition("server", "critical", "no answer")
CONDITIONS = st.lists(st.sampled_from([SWAP, UNLOAD, SERVER]), unique=True)


@given(st.lists(st.tuples(st.integers(0, 4 * 3600), CONDITIONS), min_size=1, max_size=40))
def test_no_cause_is_told_oftener_than_it_may(looks):
    clock, desk, last = 0.0, Desk(), {}
    for step, conditions in looks:
        clock += step
        desk, fresh = judge(conditions, desk, clock, REPEAT)
        assert len(desk.queue) <= QUEUE
        for one in fresh:
            if one.state in ("repeated", "told") and one.cause in last:
                assert clock - last[one.cause] >= REPEAT
            last[one.cause] = clock
        standing = {cause for cause, one in desk.standing.items() if not one.event}
        assert standing == {one.cause for one in conditions if not one.event}
