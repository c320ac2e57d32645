"""Does a model really call tools? A task in two steps that cannot be guessed, and what each way of failing it is called.

The first tool gives out a random code, the second takes that code and gives out a random word, and the word has to come back in
the answer. So a model passes only when it calls, reads the result, passes it on, and reads again: what an agent does all day.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Union

from .shown import harmless

Verdict = Literal[
    "ok",
    "no_call",
    "text_instead",
    "wrong_arguments",
    "unknown_tool",
    "one_step_only",
    "wrong_answer",
    "loop",
    "broken",
]

VERDICTS: tuple[Verdict, ...] = (
    "ok",
    "no_call",
    "text_instead",
    "wrong_arguments",
    "unknown_tool",
    "one_step_only",
    "wrong_answer",
    "loop",
    "broken",
)
"""`one_step_only` stops after the first result, `wrong_answer` has called both and does not say what came back, `loop` asks for
the same again, `broken` is an answer that is not Ollama's, or none."""

FIRST = "look_up_code"
SECOND = "open_box"
PERSON = "Nadia Okafor"

MOST_TURNS = 5
"""Two calls and an answer are three turns; more is a model that does not come to an end."""

LONGEST_DETAIL = 120


def _tool(name: str, purpose: str, argument: str, what: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": purpose,
            "parameters": {
                "type": "object",
                "properties": {argument: {"type": "string", "description": what}},
                "required": [argument],
            },
        },
    }


TOOLS: tuple[Mapping[str, Any], ...] = (
    _tool(FIRST, "Return the code of the box that belongs to a person.", "person", "Full name of the person."),
    _tool(SECOND, "Open a box with its code and return the word that lies in it.", "code", "The code of the box."),
)
"""What a request of `/api/chat` has as `tools`."""

QUESTION = (
    f"Which word lies in the box of '{PERSON}'? Call {FIRST} for the code of the box, then call {SECOND} with that code."
    " Answer with the word alone."
)


@dataclass(frozen=True)
class Outcome:
    """How a try ended; `detail` says what the model did, harmless and short."""

    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class Try:
    """A conversation under way. `code` and `word` are the two results, `done` the tools that were called rightly."""

    code: str
    word: str
    messages: tuple[Mapping[str, Any], ...]
    done: tuple[str, ...] = ()
    turns: int = 0


def begin(code: str, word: str) -> Try:
    """Begin with two random texts."""
    return Try(code, word, ({"role": "user", "content": QUESTION},))


def after(state: Try, answer: Any) -> Union[Try, Outcome]:
    """Return where the conversation stands after one answer of `/api/chat` without streaming, or how it ended."""
    message = answer.get("message") if isinstance(answer, Mapping) else None
    if not isinstance(message, Mapping):
        return Outcome("broken", "the answer has no message")
    calls = message.get("tool_calls") or []
    content = message.get("content") or ""
    if not isinstance(calls, Sequence) or isinstance(calls, (str, bytes)) or not isinstance(content, str):
        return Outcome("broken", "tool_calls is no list, or content no text")
    if not calls:
        return _said(state, content, str(answer.get("done_reason") or ""))
    if state.turns + 1 >= MOST_TURNS:
        return Outcome("loop", f"{state.turns + 1} turns and no answer")
    spoken: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": list(calls)}
    following = replace(state, messages=(*state.messages, spoken), turns=state.turns + 1)
    for call in calls:
        found = _called(following, call)
        if isinstance(found, Outcome):
            return found
        following = found
    return following


def _called(state: Try, call: Any) -> Union[Try, Outcome]:
    """Judge one call and give its result."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        return Outcome("broken", "a call without a function's name")
    name, arguments = function["name"], function.get("arguments")
    if name not in (FIRST, SECOND):
        return Outcome("unknown_tool", short(name))
    if not isinstance(arguments, Mapping):
        # Ollama's own API gives an object; a text is OpenAI's form (Ollama 0.32, api/types.go).
        return Outcome("broken", f"the arguments of {name} are no object")
    expected = PERSON if name == FIRST else state.code
    key = "person" if name == FIRST else "code"
    given = arguments.get(key)
    if name == SECOND and FIRST not in state.done:
        return Outcome("wrong_arguments", f"{SECOND} was called before the code was known")
    if not isinstance(given, str) or _bare(given) != _bare(expected):
        return Outcome("wrong_arguments", f"{name}({key}={short(given)})")
    if name in state.done:
        return Outcome("loop", f"{name} was called twice with the same argument")
    result = {"code": state.code} if name == FIRST else {"word": state.word}
    told = {"role": "tool", "tool_name": name, "content": json.dumps(result)}
    return replace(state, messages=(*state.messages, told), done=(*state.done, name))


def _said(state: Try, content: str, reason: str) -> Outcome:
    """Judge an answer without calls, which ends the try."""
    cut = ", cut off at num_predict" if reason == "length" else ""
    if SECOND in state.done:
        if state.word.lower() in content.lower():
            return Outcome("ok")
        return Outcome("wrong_answer", f"{short(content)}{cut}")
    if is_call_as_text(content):
        return Outcome("text_instead", short(content))
    return Outcome("one_step_only" if state.done else "no_call", f"{short(content)}{cut}")


def is_call_as_text(content: str) -> bool:
    """Tell whether a text holds a call: JSON with the tool's name, a tag of a template, or the call as code."""
    name = f"(?:{FIRST}|{SECOND})"
    return bool(
        re.search(rf'"(?:name|function|tool|tool_name)"\s*:\s*"{name}"', content)
        or re.search(rf"<(?:tool_call|function)\b[^>]{{0,40}}>?.{{0,200}}{name}", content, re.DOTALL)
        or re.search(r"\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_call\|>", content)
        or re.search(rf"\b{name}\s*\(", content)
    )


def _bare(text: str) -> str:
    return " ".join(text.split()).strip("'\"").lower()


def short(value: Any) -> str:
    """Return what a model gave for a sentence: a reading aid, not a record."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return harmless(" ".join(text[: 4 * LONGEST_DETAIL].split()) or "nothing", LONGEST_DETAIL)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return `passed`, `of`, and `failures`: how often each verdict but `ok`, and one detail of it."""
    failures: dict[str, dict[str, Any]] = {}
    for one in outcomes:
        if one.verdict != "ok":
            known = failures.setdefault(one.verdict, {"count": 0, "detail": one.detail})
            known["count"] += 1
    return {"passed": sum(one.verdict == "ok" for one in outcomes), "of": len(outcomes), "failures": failures}


def words(tools: Any) -> str:
    """Say the result in a cell: `3 of 3`, `0 of 3, text_instead`, or why nobody asked."""
    if not isinstance(tools, Mapping):
        return "-"
    if tools.get("why"):
        return str(tools["why"])
    kinds = ", ".join(sorted(tools["failures"]))
    return f"{tools['passed']} of {tools['of']}" + (f", {kinds}" if kinds else "")
