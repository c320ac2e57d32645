"""A model passes by calling, reading and passing on, and by nothing else."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.fleet.tool_probe import (
    FIRST,
    MOST_TURNS,
    PERSON,
    SECOND,
    TOOLS,
    VERDICTS,
    Outcome,
    Try,
    after,
    begin,
    is_call_as_text,
    summary,
    words,
)
from hypothesis import given
from hypothesis import strategies as st

CODE, WORD = "k7q2xw", "zv9thm"


def says(content="", *calls, reason="stop"):
    message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = list(calls)
    return {"model": "m", "message": message, "done": True, "done_reason": reason}


def call(name, /, **arguments):
    return {"function": {"index": 0, "name": name, "arguments": arguments}}


ONE = says("", call(FIRST, person=PERSON))
TWO = says("", call(SECOND, code=CODE))


def told(*answers):
    """Let a model give these answers, one after the other, and return where that ends."""
    state = begin(CODE, WORD)
    for answer in answers:
        assert isinstance(state, Try), f"it was over before {answer}"
        state = after(state, answer)
    return state


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        pytest.param([ONE, TWO, says(WORD)], "ok", id="as it should be"),
        pytest.param([ONE, TWO, says(f"The word is **{WORD.upper()}**.")], "ok", id="in a sentence"),
        pytest.param([says("I will look.", call(FIRST, person=f" {PERSON.lower()} ")), TWO, says(WORD)], "ok", id="text beside"),
        pytest.param([says("I cannot know that.")], "no_call", id="no call"),
        pytest.param([says("")], "no_call", id="nothing"),
        pytest.param([says("", reason="length")], "no_call", id="thought until it was cut"),
        pytest.param([says(json.dumps({"name": FIRST, "arguments": {"person": PERSON}}))], "text_instead", id="JSON"),
        pytest.param([says(f'<tool_call>\n{{"name": "{FIRST}"}}\n</tool_call>')], "text_instead", id="a tag"),
        pytest.param([says(f"<function={FIRST}>")], "text_instead", id="an older tag"),
        pytest.param([says('[TOOL_CALLS][{"name":"x"}]')], "text_instead", id="Mistral's"),
        pytest.param([says(f"```python\n{FIRST}('{PERSON}')\n```")], "text_instead", id="code"),
        pytest.param([ONE, says(json.dumps({"name": SECOND, "arguments": {"code": CODE}}))], "text_instead", id="later"),
        pytest.param([says("", call(FIRST, person="Bob"))], "wrong_arguments", id="another person"),
        pytest.param([says("", call(FIRST))], "wrong_arguments", id="no argument"),
        pytest.param([says("", call(FIRST, name=PERSON))], "wrong_arguments", id="another key"),
        pytest.param([says("", call(FIRST, person=[PERSON]))], "wrong_arguments", id="a list"),
        pytest.param([says("", call(SECOND, code="1234"))], "wrong_arguments", id="a guess first"),
        pytest.param([says("", call(FIRST, person=PERSON), call(SECOND, code="?"))], "wrong_arguments", id="both at once"),
        pytest.param([ONE, says("", call(SECOND, code="k7q2x"))], "wrong_arguments", id="copied wrongly"),
        pytest.param([says("", call("search", query="box"))], "unknown_tool", id="a tool of its own"),
        pytest.param([ONE, says(f"The code is {CODE}.")], "one_step_only", id="stops half-way"),
        pytest.param([ONE, TWO, says("The box is open.")], "wrong_answer", id="does not read the result"),
        pytest.param([ONE, TWO, says("", reason="length")], "wrong_answer", id="cut before the answer"),
        pytest.param([ONE, ONE], "loop", id="again"),
        pytest.param([ONE, TWO, TWO], "loop", id="the second again"),
        pytest.param([None], "broken", id="null"),
        pytest.param([[]], "broken", id="a list for an answer"),
        pytest.param([{"error": "boom"}], "broken", id="an error"),
        pytest.param([{"message": "text"}], "broken", id="a text for a message"),
        pytest.param([{"message": {"content": 7}}], "broken", id="a number for a content"),
        pytest.param([{"message": {"tool_calls": "x"}}], "broken", id="a text for calls"),
        pytest.param([says("", "x")], "broken", id="a text for a call"),
        pytest.param([says("", {"function": {"name": 7}})], "broken", id="a number for a name"),
        pytest.param([says("", {"function": {"name": FIRST, "arguments": "{}"}})], "broken", id="OpenAI's arguments"),
    ],
)
def test_each_way_of_failing_has_its_name(answers, verdict):
    outcome = told(*answers)
    assert isinstance(outcome, Outcome)
    assert outcome.verdict == verdict
    assert verdict in VERDICTS


def test_the_conversation_carries_calls_and_results_as_the_api_wants_them():
    state = told(ONE, TWO)
    assert [message["role"] for message in state.messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert state.messages[1]["tool_calls"] == ONE["message"]["tool_calls"]
    assert state.messages[2] == {"role": "tool", "tool_name": FIRST, "content": json.dumps({"code": CODE})}
    assert json.loads(state.messages[4]["content"]) == {"word": WORD}
    json.dumps([state.messages, TOOLS])


def test_neither_result_is_given_away_before_it_was_asked_for():
    asked = json.dumps([begin(CODE, WORD).messages, TOOLS])
    assert CODE not in asked
    assert WORD not in asked
    assert WORD not in json.dumps(told(ONE).messages)


def test_a_cut_answer_says_so():
    assert "num_predict" in told(says("Let me", reason="length")).detail


@given(st.lists(st.sampled_from([ONE, TWO, says("", call(FIRST, person=PERSON), call(FIRST, person=PERSON))]), min_size=9))
def test_it_always_comes_to_an_end(answers):
    state = begin(CODE, WORD)
    for turn, answer in enumerate(answers):
        state = after(state, answer)
        if isinstance(state, Outcome):
            assert turn < MOST_TURNS
            return
    pytest.fail("it did not")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["message", "content", "tool_calls", "function", "name", "arguments", "a"]), inner, max_size=4),  # noqa: E501
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_whatever_comes_is_judged_and_never_passes_by_chance(answer):
    for state in (begin(CODE, WORD), told(ONE)):
        found = after(state, answer)
        if isinstance(found, Outcome):
            assert found.verdict in VERDICTS
            assert found.verdict != "ok"


HOSTILE = ["\x1b]0;owned\x07", "<script>alert(1)</script>", "\u202egpj.exe", "x" * 1_000_000, "\ud800", "a\nb"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_a_model_says_is_harmless_and_short(text):
    for outcome in (told(says(text)), told(says("", call(text, person=text))), told(says("", call(FIRST, person=text)))):
        assert len(outcome.detail) <= 200
        assert outcome.detail.isprintable()


@pytest.mark.parametrize("text", ["a function look_up_code exists", "open box", "", "tool_call", "{}"])
def test_talking_about_a_tool_is_no_call(text):
    assert not is_call_as_text(text)


def test_the_summary_counts_each_failure():
    found = summary([Outcome("ok"), Outcome("no_call", "first"), Outcome("no_call", "second"), Outcome("loop", "x")])
    assert found == {
        "passed": 1,
        "of": 4,
        "failures": {"no_call": {"count": 2, "detail": "first"}, "loop": {"count": 1, "detail": "x"}},
    }
    assert words(found) == "1 of 4, loop, no_call"
    assert words(summary([Outcome("ok")] * 3)) == "3 of 3"
    assert words({"why": "no tools"}) == "no tools"
    assert words(None) == "-"
