"""What the stand-in's models say: short, the same every time, of a length that num_predict can cut."""

from __future__ import annotations

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


def call_tool(prompt: str, tools: list[Any]) -> tuple[dict[str, Any], ...]:
    """Call the tool whose name the question mentions, with an empty or first-property argument."""
    for index, tool in enumerate(tools):
        function = tool.get("function", {}) if isinstance(tool, dict) else {}
        name = str(function.get("name", ""))
        if name and name in prompt:
            properties = function.get("parameters", {}).get("properties", {})
            arguments = dict.fromkeys(list(properties)[:1], "")
            call = {"index": index, "name": name, "arguments": arguments}
            return ({"id": f"call_{index + 1:08d}", "function": call},)
    return ()


def embedding(text: str, length: int) -> list[float]:
    """Give a unit vector that depends on the text."""
    import hashlib
    import math

    raw = hashlib.sha256(text.encode("utf-8")).digest()
    values = [(raw[index % 32] - 127.5) * (1 + index // 32) for index in range(length)]
    norm = math.sqrt(sum(value * value for value in values)) or 1.0
    return [round(value / norm, 6) for value in values]
