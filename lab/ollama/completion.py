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


def call_tool(prompt: str, tools: list[Any]) -> tuple[dict[str, Any], ...]:
    """Call the tool whose name the prompt mentions, with an empty or first-property argument."""
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
