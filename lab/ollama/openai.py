"""The routes under `/v1`, in OpenAI's shapes (openai/openai.go)."""

from __future__ import annotations

import time
from typing import Any

from ollama import completion, golang
from ollama.api import ANY, FLAG, LIST, PULL_FIRST, TEXT, Api, Field, Refusal, decode
from ollama.wire import EVENTS, PLAIN_JSON, Reply

_NUMBER = Field((int, float), "int")


def error_type(status: int) -> str:
    """Name the kind of an error."""
    return {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")


def send(reply: Reply, status: int, value: Any) -> None:
    """Send JSON with the newline that these routes end with."""
    reply.body(status, PLAIN_JSON, (golang.dumps(value) + "\n").encode("utf-8"))


def send_error(reply: Reply, status: int, text: str) -> None:
    """Send an error in OpenAI's form."""
    send(reply, status, {"error": {"message": text, "type": error_type(status), "param": None, "code": None}})


def _entry(model: Any) -> dict[str, Any]:
    created = model.manifest.modified // golang.SECOND
    owner = model.manifest.name.namespace
    return {"id": model.short, "object": "model", "created": created, "owned_by": owner}


def models(api: Api, reply: Reply) -> None:
    """GET /v1/models; without a model `data` is null, as Go writes an empty slice."""
    send(reply, 200, {"object": "list", "data": [_entry(model) for model in api.store.models()] or None})


def model(api: Api, reply: Reply, sent: str) -> None:
    """GET /v1/models/:model."""
    found = api.load_model(sent)
    send(reply, 200, {**_entry(found), "id": sent})


def _options(asked: dict[str, Any]) -> dict[str, Any]:
    limit = asked.get("max_completion_tokens", asked.get("max_tokens"))
    return {} if limit is None else {"num_predict": limit}


_RUN = {
    "model": TEXT,
    "stream": FLAG,
    "max_tokens": _NUMBER,
    "max_completion_tokens": _NUMBER,
    "stream_options": ANY,
}


def _usage(said: completion.Completion) -> dict[str, int]:
    count = max(1, len(said.tokens))
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": count,
        "total_tokens": said.prompt_tokens + count,
    }


def chat(api: Api, reply: Reply) -> None:
    """POST /v1/chat/completions; it cannot send a keep_alive, so the server's own applies."""
    fields = {**_RUN, "messages": LIST, "tools": LIST}
    asked = decode(reply.request, "ChatCompletionRequest", fields)
    messages = asked.get("messages", [])
    if not messages:
        raise Refusal(400, "[] is too short - 'messages'")
    found = api.load_model(asked.get("model", ""))
    prompt = "\n".join(map(completion.text, messages))
    with api.holding(reply, found, {}, None) as loaded:
        said = completion.answer(prompt, _options(asked))
        calls = completion.call_tool(messages, asked.get("tools", []))
        if calls:
            said = said._replace(tokens=(), tool_calls=calls)
        api.scheduler.note_tokens(loaded, said.prompt_tokens + len(said.tokens))
        reason = "tool_calls" if calls else said.reason
        base = _base("chatcmpl-%d", "chat.completion", asked["model"])
        if not asked.get("stream"):
            message: dict[str, Any] = {"role": "assistant", "content": said.text}
            if calls:
                message["tool_calls"] = _calls(said)
            choice = {"index": 0, "message": message, "finish_reason": reason}
            send(reply, 200, {**base, "choices": [choice], "usage": _usage(said)})
            return
        base["object"] = "chat.completion.chunk"
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": token} for token in said.tokens]
        if calls:
            deltas.append({"role": "assistant", "content": "", "tool_calls": _calls(said)})
        reply.start(EVENTS)
        for delta in deltas:
            _event(reply, {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        _event(reply, {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        _finish(reply, asked, base, said)


def completions(api: Api, reply: Reply) -> None:
    """POST /v1/completions."""
    asked = decode(reply.request, "CompletionRequest", {**_RUN, "prompt": TEXT})
    found = api.load_model(asked.get("model", ""))
    with api.holding(reply, found, {}, None) as loaded:
        said = completion.answer(asked.get("prompt", ""), _options(asked))
        api.scheduler.note_tokens(loaded, said.prompt_tokens + len(said.tokens))
        base = _base("cmpl-%d", "text_completion", asked["model"])
        if not asked.get("stream"):
            choice = {"text": said.text, "index": 0, "finish_reason": said.reason}
            send(reply, 200, {**base, "choices": [choice], "usage": _usage(said)})
            return
        reply.start(EVENTS)
        for token in said.tokens:
            _event(reply, {**base, "choices": [{"text": token, "index": 0, "finish_reason": None}]})
        _event(reply, {**base, "choices": [{"text": "", "index": 0, "finish_reason": said.reason}]})
        _finish(reply, asked, base, said)


def embeddings(api: Api, reply: Reply) -> None:
    """POST /v1/embeddings."""
    asked = decode(reply.request, "EmbedRequest", {"model": TEXT, "input": ANY})
    sent = asked.get("input")
    texts = [sent] if isinstance(sent, str) else sent or []
    if not texts:
        raise Refusal(400, "invalid input")
    found = api.load_model(asked.get("model", ""), PULL_FIRST)
    with api.holding(reply, found, {}, None):
        length = found.header.number("embedding_length") if found.header else completion.EMBEDDING
        data = [
            {"object": "embedding", "embedding": completion.embedding(str(text), length), "index": index}
            for index, text in enumerate(texts)
        ]
        count = sum(completion.count_tokens(str(text)) for text in texts)
        usage = {"prompt_tokens": count, "total_tokens": count}
        send(reply, 200, {"object": "list", "data": data, "model": asked["model"], "usage": usage})


def _base(ident: str, kind: str, name: str) -> dict[str, Any]:
    created = int(time.time())
    return {
        "id": ident % (time.time_ns() // 1000 % 1000),
        "object": kind,
        "created": created,
        "model": name,
        "system_fingerprint": "fp_ollama",
    }


def _calls(said: completion.Completion) -> list[dict[str, Any]]:
    return [
        {
            "id": call["id"],
            "index": index,
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": golang.dumps(call["function"]["arguments"]),
            },
        }
        for index, call in enumerate(said.tool_calls)
    ]


def _event(reply: Reply, value: Any) -> None:
    reply.chunk(f"data: {golang.dumps(value)}\n\n")


def _finish(reply: Reply, asked: dict[str, Any], base: dict[str, Any], said: completion.Completion) -> None:
    if (asked.get("stream_options") or {}).get("include_usage"):
        _event(reply, {**base, "choices": [], "usage": _usage(said)})
    reply.chunk("data: [DONE]\n\n")
    reply.end()
