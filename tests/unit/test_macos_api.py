"""The way to the server and to its store: every form of an error ends in one exception with the server's own words."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import threading
import urllib.error
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.fleet.models import Installed
from ansible.module_utils.fleet.vocabulary import Unknown
from ansible.module_utils.macos import ollama_api, pull
from ansible.module_utils.macos.ollama_api import Api, ApiError, is_refused, read_store, registry_digest
from ansible.module_utils.macos.pull import Puller, PullFailed

PULLED = [
    {"status": "pulling manifest"},
    {"status": "pulling aa", "digest": "sha256:aa", "total": 100},
    {"status": "pulling aa", "digest": "sha256:aa", "total": 100, "completed": 90},
    {"status": "verifying sha256 digest"},
    {"status": "success"},
]


class Handler(BaseHTTPRequestHandler):
    """Answers from a list; the last answer is repeated."""

    def _answer(self):
        server = self.server
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        server.requests.append((self.command, self.path, body))
        status, content, claimed = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  the names http.server looks for

    def log_message(self, *_words):
        """Keep quiet."""


@contextmanager
def serving(*answers):
    """Serve these answers on loopback; each is bytes, a value for JSON, or (status, bytes, claimed length)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    server.answers = [full(answer) for answer in answers]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server, Api(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def full(answer):
    if isinstance(answer, tuple):
        return (*answer, None)[:3]
    return (200, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), None)


def lines(*objects):
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        pytest.param((500, b'{"error":"llama runner process has terminated"}'), 500, "llama runner process", id="500 with words"),
        pytest.param((404, b"""{"error":"model 'x' not found"}"""), 404, "model 'x' not found", id="404 with words"),
        pytest.param((404, b"404 page not found"), 404, "404 page not found", id="plain text"),
        pytest.param((403, b""), 403, "HTTP 403", id="no words"),
        pytest.param((500, b'["error"]'), 500, "error", id="JSON of another shape"),
        pytest.param((502, b"<html>Bad Gateway</html>"), 502, "Bad Gateway", id="HTML"),
        pytest.param(b"Ollama is running", None, "not JSON", id="200 and no JSON"),
        pytest.param((200, b'{"version": "0.', 50), None, "", id="cut in the middle"),
    ],
)
def test_everything_but_a_good_answer_is_one_exception(answer, status, says):
    with serving(answer) as (_, api), pytest.raises(ApiError) as caught:
        api.call("GET", "/api/version", timeout=2)
    assert caught.value.status == status
    assert says in str(caught.value)


def test_a_server_that_is_not_there_is_refused_and_not_silent():
    with pytest.raises(ApiError) as caught:
        Api(f"http://127.0.0.1:{free_port()}").version()
    assert caught.value.status is None
    assert is_refused(caught.value)


def test_a_server_that_accepts_and_stays_silent_is_not_taken_for_absent():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ApiError) as caught:
        Api(f"http://127.0.0.1:{silent.getsockname()[1]}").version(timeout=0.2)
    assert not is_refused(caught.value)
    assert "timed out" in str(caught.value)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\x01\x02", b""], ids=["ssh", "bytes", "hangs up"])
def test_a_stranger_that_speaks_no_http_is_one_exception(greeting):
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def greet():
            client, _ = stranger.accept()
            with client:
                client.recv(1000)
                client.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ApiError) as caught:
            Api(f"http://127.0.0.1:{stranger.getsockname()[1]}").version(timeout=2)
        thread.join()
    assert not is_refused(caught.value)


@pytest.mark.parametrize("answer", [{}, [], None, "0.32", {"versions": 1}, b""], ids=repr)
def test_a_version_that_is_none_is_one_exception(answer):
    with serving(answer) as (_, api), pytest.raises(ApiError):
        api.version()


@pytest.mark.parametrize("answer", [[], None, "x", b"", {"models": [{}]}, {"models": [{"name": "a:1"}]}, {"models": 1}], ids=repr)
@pytest.mark.parametrize("what", ["installed", "loaded"])
def test_a_list_that_is_none_is_one_exception(what, answer):
    with serving(answer) as (_, api), pytest.raises(ApiError):
        getattr(api, what)()


def test_the_installed_models_are_read():
    model = {"name": "qwen3:8b", "model": "qwen3:8b", "digest": "500a", "size": 5225388164, "details": {"family": "qwen3"}}
    with serving({"models": [model]}) as (server, api):
        assert api.installed() == (Installed("qwen3:8b", "500a", 5225388164),)
    assert server.requests == [("GET", "/api/tags", None)]


@pytest.mark.parametrize("answer", [{"models": []}, {"models": None}])
def test_no_models_are_no_models(answer):
    with serving(answer) as (_, api):
        assert api.installed() == ()
        assert api.loaded() == ()


def test_the_loaded_models_are_read():
    model = {"name": "qwen3:8b", "digest": "500a", "size": 6, "size_vram": 5, "context_length": 4096}
    with serving(
        {"models": [{**model, "expires_at": "2319-03-04T16:15:39.9Z"}, {**model, "expires_at": "2026-08-21T12:05:00.123456789Z"}]}
    ) as (_, api):
        pinned, passing = api.loaded()
    assert (pinned.name, pinned.size, pinned.size_vram, pinned.context_length) == ("qwen3:8b", 6, 5, 4096)
    assert (pinned.pinned, passing.pinned) == (True, False)


def test_an_older_server_without_a_context_length_is_read():
    with serving({"models": [{"name": "a:1", "digest": "d", "size": 1, "size_vram": 1}]}) as (_, api):
        assert api.loaded()[0].context_length == 0


def test_proxies_of_the_environment_are_not_asked_about_this_machine(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with serving({"version": "0.32.15"}) as (_, api):
        assert api.version() == "0.32.15"


# Streams and pulls. -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(
            lines({"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}),
            "file does not exist",
            id="200 and an error line",
        ),
        pytest.param((400, b'{"error":"invalid model name"}'), "invalid model name", id="400"),
        pytest.param(b'{"status":"pulling manifest"}\nnot json\n', "broke off", id="a line that is no JSON"),
        pytest.param(b'{"status":"pulling manifest"}\n{"sta', "broke off", id="a line that is cut"),
        pytest.param(b"null\n", "", id="a line that is no object"),
        pytest.param(b"5\n", "", id="a line that is a number"),
    ],
)
def test_a_stream_that_fails_is_one_exception(answer, says):
    with serving(answer) as (_, api), pytest.raises(ApiError) as caught:
        list(api.stream("/api/pull", {"model": "x"}, 2))
    assert says in str(caught.value)


def test_blank_lines_in_a_stream_mean_nothing():
    with serving(b'{"status":"a"}\n\n \n{"status":"b"}') as (_, api):
        assert [line["status"] for line in api.stream("/api/pull", {}, 2)] == ["a", "b"]


@pytest.fixture
def pauses(monkeypatch):
    """Record the pauses of the puller instead of making them."""
    made = []
    monkeypatch.setattr(pull.time, "sleep", made.append)
    return made


def test_a_pull_is_done_when_its_last_line_says_so(pauses):
    with serving(lines(*PULLED)) as (server, api):
        Puller(api, 4, 2).pull("qwen3:8b")
    assert server.requests == [("POST", "/api/pull", {"model": "qwen3:8b", "stream": True})]
    assert pauses == []


def test_a_pull_that_breaks_is_tried_again_with_growing_pauses(pauses):
    with serving((200, lines(*PULLED[:3]), 9999), (500, b'{"error":"busy"}'), lines(*PULLED[:2]), lines(*PULLED)) as (
        server,
        api,
    ):
        Puller(api, 4, 2).pull("qwen3:8b")
    assert len(server.requests) == 4
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_a_pull_that_never_succeeds_ends_with_what_was_said_last(pauses):
    with serving(lines({"error": "pull model manifest: Get: dial tcp: lookup registry: no such host"})) as (server, api):
        with pytest.raises(PullFailed, match=r"no such host \(the registry cannot be reached"):
            Puller(api, 3, 2).pull("qwen3:8b")
        assert len(server.requests) == 3
    assert len(pauses) == 2


def test_a_stream_that_ends_without_success_is_no_success(pauses):
    with serving(lines(*PULLED[:-1])) as (_, api), pytest.raises(PullFailed, match="without success"):
        Puller(api, 2, 2).pull("qwen3:8b")
    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("pull model manifest: file does not exist", "correct its name"),
        ("write /x: no space left on device", "free space"),
        ("invalid model name", ""),
        ("unauthorized", ""),
        ("this model requires a newer version of Ollama", ""),
    ],
)
def test_what_another_try_would_only_repeat_is_not_repeated(words, remedy, pauses):
    with serving(lines({"error": words})) as (server, api):
        with pytest.raises(PullFailed) as caught:
            Puller(api, 4, 2).pull("qwen3:8b")
        assert len(server.requests) == 1
    assert words in str(caught.value)
    assert remedy in str(caught.value)
    assert pauses == []


def test_progress_is_left_in_a_file_and_its_last_word_is_success(tmp_path, pauses):
    path = tmp_path / "progress.json"
    with serving(lines(*PULLED)) as (_, api):
        Puller(api, 1, 2, str(path)).pull("qwen3:8b")
    left = json.loads(path.read_text())
    assert left["model"] == "qwen3:8b"
    assert left["line"].startswith("qwen3:8b: 90 %")
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]
    assert pauses == []


# The store on disk. -----------------------------------------------------------------------------------------------------


def put(root, path, content):
    file = root / "manifests" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def manifest(*sizes):
    layers = [{"digest": f"sha256:{size}", "size": size} for size in sizes[1:]]
    return json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:c", "size": sizes[0]}, "layers": layers}).encode()


def test_the_store_is_read_as_the_server_would_list_it(tmp_path):
    qwen = put(tmp_path, "registry.ollama.ai/library/qwen3/8b", manifest(487, 5_225_374_944, 1723))
    mine = put(tmp_path, "registry.ollama.ai/me/mine/latest", manifest(1, 2))
    other = put(tmp_path, "hf.co/org/model/Q4_K_M", manifest(3))
    assert set(read_store(tmp_path)) == {
        Installed("qwen3:8b", qwen, 487 + 5_225_374_944 + 1723),
        Installed("me/mine:latest", mine, 3),
        Installed("hf.co/org/model:Q4_K_M", other, 3),
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"\xff\xfe", b"[]", b"{}", b'"text"', b"null", b'{"config": {}, "layers": []}',
     b'{"config": {"size": 1}, "layers": null}', b'{"config": {"size": "many"}, "layers": []}'],
)  # fmt: skip
def test_a_manifest_that_is_none_is_left_out(tmp_path, content):
    put(tmp_path, "registry.ollama.ai/library/broken/1", content)
    put(tmp_path, "registry.ollama.ai/library/qwen3/8b", manifest(1))
    assert [model.name for model in read_store(tmp_path)] == ["qwen3:8b"]


def test_what_finder_leaves_behind_is_no_model(tmp_path):
    put(tmp_path, "registry.ollama.ai/library/qwen3/.DS_Store", b"\0\0\0\1Bud1")
    put(tmp_path, ".DS_Store", b"\0\0\0\1Bud1")
    (tmp_path / "manifests/registry.ollama.ai/library/qwen3/dangling").symlink_to("nowhere")
    assert read_store(tmp_path) == ()


def test_no_store_has_no_models(tmp_path):
    assert read_store(tmp_path / "nothing") == ()


# The registry. ----------------------------------------------------------------------------------------------------------


def test_the_digest_of_a_name_is_the_hash_of_its_manifest(monkeypatch):
    asked = []

    class Answer(io.BytesIO):
        """A body that closes."""

    def urlopen(request, timeout):
        asked.append((request.full_url, request.get_header("Accept"), timeout))
        return Answer(b"manifest")

    monkeypatch.setattr(ollama_api.urllib.request, "urlopen", urlopen)
    assert registry_digest("qwen3:8b") == hashlib.sha256(b"manifest").hexdigest()
    assert registry_digest("hf.co/org/model:Q4") == hashlib.sha256(b"manifest").hexdigest()
    assert [url for url, _, _ in asked] == [
        "https://registry.ollama.ai/v2/library/qwen3/manifests/8b",
        "https://hf.co/v2/org/model/manifests/Q4",
    ]
    assert all("manifest.v2+json" in accept and timeout for _, accept, timeout in asked)


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (urllib.error.HTTPError("u", 404, "x", {}, io.BytesIO(b"")), "404"),
        (urllib.error.HTTPError("u", 503, "x", {}, io.BytesIO(b"")), "503"),
        (urllib.error.URLError(OSError("no route to host")), "no route to host"),
        (TimeoutError("timed out"), "timed out"),
        (ValueError("odd"), "odd"),
        (ollama_api.urllib.request.http.client.IncompleteRead(b"x", 9), "registry.ollama.ai"),
        (ollama_api.urllib.request.http.client.BadStatusLine("SSH"), "registry.ollama.ai"),
    ],
    ids=["404", "503", "no route", "timeout", "value", "cut", "no HTTP"],
)
def test_a_registry_that_does_not_answer_is_unknown_with_its_reason(monkeypatch, problem, says):
    def urlopen(*_words, **_options):
        raise problem

    monkeypatch.setattr(ollama_api.urllib.request, "urlopen", urlopen)
    answer = registry_digest("qwen3:8b")
    assert isinstance(answer, Unknown)
    assert "registry.ollama.ai" in answer.reason
    assert says in answer.reason
