"""The official Python client (package `ollama`) against the stand-in: each call that roles and clients make."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ollama_support import LAB, Mac, Registry, Server, free_port, running_registry, serving


@pytest.fixture(scope="module")
def library() -> Any:
    """Import the client's package, which has the name that the stand-in has in `lab/`."""
    own = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "ollama"}
    path = list(sys.path)
    for name in own:
        del sys.modules[name]
    sys.path[:] = [entry for entry in path if Path(entry).resolve() != LAB]
    try:
        found = importlib.import_module("ollama")
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] == "ollama"]:
            del sys.modules[name]
        sys.modules.update(own)
    assert "site-packages" in str(found.__file__)
    return found


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def server(tmp_path: Path, registry: Registry) -> Iterator[Server]:
    with serving(Mac(tmp_path)) as found:
        found.install(registry, "tiny")
        yield found


@pytest.fixture
def client(library: Any, server: Server) -> Any:
    return library.Client(host=f"http://127.0.0.1:{server.mac.port}")


def test_list_gives_models_with_their_details(client: Any) -> None:
    (model,) = client.list().models
    assert (model.model, model.details.family, len(model.digest)) == ("tiny:latest", "llama", 64)
    assert model.size > 800_000
    assert model.modified_at.year > 2000


def test_ps_gives_a_pinned_model_as_a_datetime_far_ahead(client: Any) -> None:
    assert client.ps().models == []
    client.generate("tiny", keep_alive=-1)
    (model,) = client.ps().models
    assert model.expires_at.year in (2318, 2319)
    assert (model.context_length, model.size_vram) == (2048, model.size)


def test_show_gives_the_architecture(client: Any) -> None:
    assert client.show("tiny").modelinfo["general.architecture"] == "llama"


def test_show_of_a_missing_model_is_a_404(library: Any, client: Any) -> None:
    with pytest.raises(library.ResponseError) as found:
        client.show("nosuch")
    assert (found.value.status_code, found.value.error) == (404, "model 'nosuch:latest' not found")


def test_pull_without_a_stream_ends_in_success(client: Any, registry: Registry) -> None:
    assert client.pull(registry.name("tiny2"), insecure=True).status == "success"


def test_pull_as_a_stream_gives_progress(client: Any, registry: Registry) -> None:
    statuses = [line.status for line in client.pull(registry.name("tiny2"), insecure=True, stream=True)]
    assert (statuses[0], statuses[-1]) == ("pulling manifest", "success")


def test_an_error_in_a_stream_has_status_minus_one(library: Any, client: Any, registry: Registry) -> None:
    with pytest.raises(library.ResponseError) as found:
        list(client.pull(registry.name("nosuch"), insecure=True, stream=True))
    assert found.value.status_code == -1


def test_a_failed_pull_without_a_stream_is_a_500(library: Any, client: Any, registry: Registry) -> None:
    with pytest.raises(library.ResponseError) as found:
        client.pull(registry.name("nosuch"), insecure=True, stream=False)
    assert found.value.status_code == 500


def test_a_bad_name_is_a_400_in_a_stream_too(library: Any, client: Any) -> None:
    with pytest.raises(library.ResponseError) as found:
        list(client.pull("bad name", stream=True))
    assert found.value.status_code == 400


def test_delete_and_copy_are_successes_without_a_body(library: Any, client: Any) -> None:
    assert client.copy("tiny", "other").status == "success"
    assert client.delete("other").status == "success"
    with pytest.raises(library.ResponseError) as found:
        client.delete("other")
    assert found.value.status_code == 404


@pytest.mark.parametrize(("keep_alive", "reason"), [(-1, "load"), ("24h", "load"), (0, "unload")])
def test_generate_without_a_prompt_loads_or_unloads(client: Any, keep_alive: Any, reason: str) -> None:
    assert client.generate("tiny", keep_alive=keep_alive).done_reason == reason


def test_the_load_object_is_a_stream_of_one(client: Any) -> None:
    assert [line.done_reason for line in client.generate("tiny", stream=True)] == ["load"]


def test_chat_without_messages_loads(client: Any) -> None:
    answer = client.chat("tiny", messages=[])
    assert (answer.message.content, answer.done_reason) == ("", "load")


def test_a_streamed_answer_is_the_whole_answer_in_pieces(client: Any) -> None:
    whole = client.generate("tiny", prompt="one two").response
    parts = [line.response for line in client.generate("tiny", prompt="one two", stream=True)]
    assert "".join(parts) == whole != ""


def test_a_few_tokens_are_counted_and_timed(client: Any) -> None:
    answer = client.chat("tiny", messages=[{"role": "user", "content": "hi"}], options={"num_predict": 3})
    assert (answer.done_reason, answer.eval_count) == ("length", 3)
    assert answer.eval_duration > 0


def test_a_tool_that_is_named_is_called(library: Any, client: Any, server: Server, registry: Registry) -> None:
    server.install(registry, "qwen3:8b")
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"properties": {"city": {"type": "string"}}}}}
    messages = [{"role": "user", "content": "use get_weather"}]
    answer = client.chat("qwen3:8b", messages=messages, tools=[tool])
    assert answer.message.tool_calls[0].function.name == "get_weather"
    with pytest.raises(library.ResponseError, match="does not support tools"):
        client.chat("tiny", messages=messages, tools=[tool])


def test_tools_are_called_one_after_the_other_with_what_the_last_one_gave(
    client: Any, server: Server, registry: Registry
) -> None:
    """As a model that follows a task does: each tool that the question names once, in its order, then the answer."""
    server.install(registry, "qwen3:8b")
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"properties": {key: {"type": "string"}}}}}
        for name, key in (("open_box", "code"), ("look_up_code", "person"))
    ]
    messages: list[Any] = [{"role": "user", "content": "Call look_up_code for 'Nadia Okafor', then open_box."}]
    called = []
    for result in ('{"code": "k7q2"}', '{"word": "zv9t"}'):
        message = client.chat("qwen3:8b", messages=messages, tools=tools).message
        (call,) = message.tool_calls
        called.append((call.function.name, dict(call.function.arguments)))
        messages += [message, {"role": "tool", "tool_name": call.function.name, "content": result}]
    assert called == [("look_up_code", {"person": "Nadia Okafor"}), ("open_box", {"code": "k7q2"})]
    answer = client.chat("qwen3:8b", messages=messages, tools=tools).message
    assert (answer.tool_calls, "zv9t" in answer.content) == (None, True)


def test_a_tools_result_is_answered_with_words(client: Any, server: Server, registry: Registry) -> None:
    """An agent's system prompt names every tool, and OpenClaw (2026.9.6) puts a note of its own behind the result."""
    server.install(registry, "qwen3:8b")
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"properties": {"city": {"type": "string"}}}}}
    system = {"role": "system", "content": "You have get_weather."}
    asked = [system, {"role": "user", "content": "hello"}]
    assert not client.chat("qwen3:8b", messages=asked, tools=[tool]).message.tool_calls
    asked += [{"role": "user", "content": "note: get_weather is idle"}]
    called = client.chat("qwen3:8b", messages=asked, tools=[tool]).message
    assert called.tool_calls
    asked += [called, {"role": "tool", "content": "sunny"}, {"role": "user", "content": "note: get_weather is idle"}]
    answer = client.chat("qwen3:8b", messages=asked, tools=[tool]).message
    assert (answer.tool_calls, bool(answer.content)) == (None, True)
    asked += [answer, {"role": "user", "content": "get_weather again"}]
    assert client.chat("qwen3:8b", messages=asked, tools=[tool]).message.tool_calls


def test_thinking_is_for_models_that_can(library: Any, client: Any, server: Server, registry: Registry) -> None:
    server.install(registry, "qwen3:8b")
    messages = [{"role": "user", "content": "hi"}]
    assert client.chat("qwen3:8b", messages=messages, think=True).message.thinking
    with pytest.raises(library.ResponseError, match="does not support thinking"):
        client.chat("tiny", messages=messages, think=True)


def test_embeddings_are_vectors_of_the_models_length(client: Any) -> None:
    assert [len(vector) for vector in client.embed("tiny", input=["a", "b"]).embeddings] == [128, 128]


def test_create_from_a_model_succeeds(client: Any) -> None:
    assert client.create("derived", from_="tiny", parameters={"num_ctx": 256}).status == "success"
    client.generate("derived")
    assert client.ps().models[0].context_length == 256


def test_no_server_is_a_connection_error(library: Any) -> None:
    with pytest.raises(ConnectionError, match="Failed to connect to Ollama"):
        library.Client(host=f"http://127.0.0.1:{free_port()}").list()


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, "choices"),
        ("/v1/completions", {"prompt": "hi"}, "choices"),
        ("/v1/embeddings", {"input": "hi"}, "data"),
    ],
)
def test_openai_routes_answer_in_their_shape(server: Server, path: str, body: dict[str, Any], key: str) -> None:
    answer = server.ask("POST", path, {"model": "tiny", **body})
    assert (answer.status, len(answer.json[key])) == (200, 1)
    assert answer.json["usage"]["total_tokens"] > 0


def test_an_openai_stream_ends_with_done(server: Server) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    answer = server.ask("POST", "/v1/chat/completions", body)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/audio/transcriptions"])
def test_routes_the_stand_in_does_not_play_are_unknown(server: Server, path: str) -> None:
    assert server.ask("POST", path, {"model": "tiny"}).status == 404
