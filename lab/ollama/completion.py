"""What the stand-in's models say: short, the same every time, of a length that num_predict can cut."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

TOKEN_NANOSECONDS = 20_000_000  # 50 tokens a second, what an M4 does with an 8B model (order of magnitude)
EMBEDDING = 16  # values of an embedding vector when the model's own length is not known


class Completion(NamedTuple):
    """A finished answer."""

    tokens: tuple[str, ...]
    reason: str
    prompt_tokens: int
    tool_calls: tuple[dict[str, Any], ...] = ()
    thinking: str = ""

    @property
    def text(self) -> str:
        """The answer as one text."""
        return "".join(self.tokens)


def token_nanoseconds(told: Any) -> int:
    """Give what one token takes by the figures of an answer; nobody waits for it."""
    return TOKEN_NANOSECONDS if told is None else int(float(told) * 1_000_000)


def count_tokens(text: str) -> int:
    """Count words, as a stand-in for tokens; never less than one."""
    return max(1, len(text.split()))


def tokens(text: str) -> list[str]:
    """Cut a text into words that carry their leading blank."""
    words = text.split(" ")
    return words[:1] + [" " + word for word in words[1:]]


def answer(prompt: str, options: dict[str, Any], *, think: bool = False) -> Completion:
    """Answer a prompt."""
    words = " ".join(prompt.split()[-12:])
    said = tokens("This is a virtual Mac; you said: " + words)
    limit = options.get("num_predict", -1)
    cut = isinstance(limit, (int, float)) and 0 <= limit < len(said)
    if cut:
        said = said[: int(limit)]
    thinking = f"The user said {count_tokens(prompt)} words." if think else ""
    return Completion(tuple(said), "length" if cut else "stop", count_tokens(prompt), (), thinking)


def text(message: Any) -> str:
    """Give the text of a message, whose content is a string or OpenAI's list of parts."""
    content = message.get("content", "") if isinstance(message, dict) else ""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def question(messages: list[Any]) -> str:
    """Give what the user asked since the model spoke last; empty once a tool has answered, which is told without a tool.

    A system prompt describes every tool by its name, and agents (OpenClaw 2026.9.6) put a note of their own behind a tool's
    result: a model that took either for a request would call tools for ever.
    """
    since: list[Any] = []
    for message in reversed(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role == "assistant":
            break
        if role == "tool":
            return ""
        since += [message] if role == "user" else []
    return "\n".join(text(message) for message in reversed(since))


def exchange(messages: list[Any]) -> tuple[str, list[str], str]:
    """Give what was asked, the tools that were called for it, and the last result; a new question begins anew."""
    asked = question(messages)
    if asked:
        return asked, [], ""
    spoken = [message for message in messages if isinstance(message, dict)]
    ends = [at for at, one in enumerate(spoken) if one.get("role") == "assistant" and not one.get("tool_calls")]
    since = spoken[ends[-1] + 1 :] if ends else spoken
    first = next((at for at, one in enumerate(since) if one.get("role") == "assistant"), len(since))
    asked = "\n".join(text(one) for one in since[:first] if one.get("role") == "user")
    called = [
        str(call.get("function", {}).get("name"))
        for one in since
        for call in one.get("tool_calls") or []
        if isinstance(call, dict)
    ]
    results = [text(one) for one in since if one.get("role") == "tool"]
    return asked, called, results[-1] if results else ""


def call_tool(messages: list[Any], tools: list[Any]) -> tuple[dict[str, Any], ...]:
    """Call the next tool that the question names, in the order in which it names them, as a model that follows it does.

    The first property is what the last result gave, else what the question has in quotes, else empty.
    """
    asked, called, result = exchange(messages)
    named = []
    for index, tool in enumerate(tools):
        function = tool.get("function", {}) if isinstance(tool, dict) else {}
        name = str(function.get("name", ""))
        if name and name in asked and name not in called:
            named.append((asked.index(name), index, name, function))
    for _, index, name, function in sorted(named, key=lambda one: one[:2])[:1]:
        properties = function.get("parameters", {}).get("properties", {})
        arguments = dict.fromkeys(list(properties)[:1], given(asked, result))
        call = {"index": index, "name": name, "arguments": arguments}
        return ({"id": f"call_{index + 1:08d}", "function": call},)
    return ()


def given(asked: str, result: str) -> str:
    """Give the argument of a call."""
    try:
        values = list(json.loads(result).values())
    except (ValueError, AttributeError):
        values = result.split()[-1:]
    quoted = re.search(r"'([^']+)'", asked)
    return str(values[-1]) if values else quoted[1] if quoted else ""


def as_text(calls: tuple[dict[str, Any], ...]) -> str:
    """Give a call as models write it that were never taught the template's form: as JSON, in the answer itself."""
    return "\n".join(json.dumps({"name": call["function"]["name"], "arguments": call["function"]["arguments"]}) for call in calls)


def embedding(text: str, length: int) -> list[float]:
    """Give a unit vector that depends on the text."""
    import hashlib
    import math

    raw = hashlib.sha256(text.encode("utf-8")).digest()
    values = [(raw[index % 32] - 127.5) * (1 + index // 32) for index in range(length)]
    norm = math.sqrt(sum(value * value for value in values)) or 1.0
    return [round(value / norm, 6) for value in values]
