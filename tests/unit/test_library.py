"""What the modules do themselves: the few lines between observing and acting."""

from __future__ import annotations

import http.client
import importlib.util
from pathlib import Path

import pytest
from ansible.module_utils.fleet.models import Installed, Loaded
from ansible.module_utils.fleet.vocabulary import Step, Unknown
from ansible.module_utils.macos.commands import Answer
from ansible.module_utils.macos.ollama_api import ApiError

from .examples import CONVERGED

LIBRARY = Path(__file__).resolve().parents[2] / "library"


def library(name):
    spec = importlib.util.spec_from_file_location(f"library_under_test_{name}", LIBRARY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Server:
    """An API made of a list of answers; remembers what was asked."""

    def __init__(self, *answers):
        self.asked = []
        self.answers = list(answers)
        self.in_memory = []

    def call(self, method, path, body=None, timeout=10):
        """Answer the next one."""
        assert timeout
        self.asked.append((method, path, body))
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer

    def version(self, timeout=3):
        """Ask like the real one."""
        return self.call("GET", "/api/version", timeout=timeout)["version"]

    def loaded(self):
        """Return what is still in memory."""
        return self.in_memory.pop(0) if self.in_memory else ()

    def installed(self):
        """Answer the next one."""
        return self.call("GET", "/api/tags")


PROBLEMS = [
    OSError("it did not answer"),
    ValueError("odd"),
    KeyError("models"),
    TypeError("none"),
    ApiError("refused"),
    AttributeError("get"),
    OverflowError("inf"),
    http.client.IncompleteRead(b""),
    http.client.BadStatusLine("SSH"),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_a_part_that_breaks_spoils_no_other(problem):
    def read():
        raise problem

    answer = library("mac_facts").probe(read)
    assert list(answer) == ["unknown"]
    assert type(problem).__name__ in answer["unknown"]


def test_a_part_that_was_read_is_plain():
    assert library("mac_facts").probe(lambda: CONVERGED)["gui_session"] is True


REFUSED = ApiError("[Errno 61] Connection refused")


@pytest.mark.parametrize(
    ("problem", "loaded"),
    [(REFUSED, ()), (ApiError("timed out"), Unknown("timed out")), (ApiError("broken", 500), Unknown("broken"))],
    ids=["not there", "silent", "ill"],
)
def test_models_are_read_from_disk_where_the_server_does_not_say(monkeypatch, problem, loaded):
    module = library("mac_facts")
    stored = (Installed("qwen3:8b", "500a", 1),)
    folders = []
    monkeypatch.setattr(module, "Api", lambda _url: Server(problem))
    monkeypatch.setattr(module, "read_store", lambda folder: folders.append(folder) or stored)
    monkeypatch.setattr(module, "registry_digest", lambda name: f"digest of {name}")
    asked = {"url": "u", "models_path": "", "registry_names": ["qwen3:8b"], "registry_installed": False}
    seen = module.observe_models(asked, "/Users/felipe")
    assert seen == {"installed": stored, "loaded": loaded, "shown": {}, "registry": {"qwen3:8b": "digest of qwen3:8b"}}
    module.observe_models({**asked, "models_path": "/Volumes/Models"}, "/Users/felipe")
    assert folders == [Path("/Users/felipe/.ollama/models"), Path("/Volumes/Models")]


def test_the_registries_are_asked_for_everything_that_is_installed_where_that_is_wanted(monkeypatch):
    module = library("mac_facts")
    server = Server((Installed("tiny:latest", "c1e7", 1), Installed("qwen3:8b", "500a", 1)))
    monkeypatch.setattr(module, "Api", lambda _url: server)
    monkeypatch.setattr(module, "shown", lambda _api, _installed: {})
    monkeypatch.setattr(module, "registry_digest", lambda name: f"digest of {name}")
    asked = {"url": "u", "models_path": "", "registry_names": ["qwen3:8b"], "registry_installed": True}
    seen = module.observe_models(asked, "/Users/felipe")
    assert seen["registry"] == {"qwen3:8b": "digest of qwen3:8b", "tiny:latest": "digest of tiny:latest"}


@pytest.mark.parametrize(
    ("problem", "version"), [(REFUSED, {"version": None}), (ApiError("timed out"), None)], ids=["absent", "silent"]
)
def test_a_server_is_absent_only_where_that_is_sure(monkeypatch, problem, version):
    module = library("mac_facts")
    monkeypatch.setattr(module, "Api", lambda _url: Server(problem))
    if version is None:
        with pytest.raises(ApiError):
            module.observe_server({"url": "u"})
    else:
        assert module.observe_server({"url": "u"}) == version


def test_a_model_is_out_of_memory_before_it_is_deleted(monkeypatch):
    module = library("ollama_models")
    server = Server((Installed("qwen3:8b", "500a", 1),))
    one = Loaded("qwen3:8b", "500a", 1, 1, 4096, pinned=True)
    server.in_memory = [(one,), (one,), ()]
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: server.asked.append("waits"))
    module.act(Step("delete", "qwen3:8b", "present", "absent"), server, None, {})
    assert [question for question in server.asked if question[1] != "/api/tags"] == [
        ("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": 0}),
        "waits",
        "waits",
        ("DELETE", "/api/delete", {"model": "qwen3:8b"}),
    ]


def test_a_resident_is_loaded_for_good():
    server = Server()
    library("ollama_models").act(Step("load", "qwen3:8b", "not loaded", "loaded"), server, None, {"load_timeout": 9})
    assert server.asked == [("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": -1})]


COMPLETION = {
    "server": "mac-mini",
    "url": "http://127.0.0.1:11434",
    "what": "completion",
    "model": "qwen3:8b",
    "keep_alive": None,
}


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        ({"done": True, "eval_count": 8, "response": "ready"}, 200, ""),
        ({"done": True, "eval_count": 8, "response": ""}, 200, ""),
        ({"done": True, "response": ""}, None, "completed nothing"),
        ({"done": False, "response": "re"}, None, "completed nothing"),
        ({}, None, "completed nothing"),
        (None, None, "not Ollama's"),
        ([], None, "not Ollama's"),
        (ApiError("llama runner process has terminated", 500), 500, "llama runner"),
        (REFUSED, None, "refused"),
    ],
    ids=["tokens", "a thinking model", "no token", "not done", "empty", "null", "list", "no runner", "absent"],
)
def test_a_completion_proves_the_runner(monkeypatch, answer, status, error):
    module = library("fleet_reach")
    monkeypatch.setattr(module, "Api", lambda _url: Server(answer))
    said = module.ask(COMPLETION, 5, 180)
    assert said["status"] == status
    assert error in said["error"]
    assert bool(said["error"]) == bool(error)


def test_a_resident_stays_resident_through_its_completion(monkeypatch):
    module = library("fleet_reach")
    server = Server({"done": True, "eval_count": 1})
    monkeypatch.setattr(module, "Api", lambda _url: server)
    module.ask({**COMPLETION, "keep_alive": "-1"}, 5, 180)
    assert server.asked[0][2]["keep_alive"] == -1


def test_a_program_is_added_and_then_unblocked(monkeypatch):
    module = library("app_firewall")
    asked = []

    def run(argv):
        asked.append(argv[1:])
        return Answer(0, "", "")

    monkeypatch.setattr(module, "run", run)
    module.act(Step("allow", "/a", "block", "allow"))
    module.act(Step("remove", "/b", "allow", "absent"))
    assert asked == [["--add", "/a"], ["--unblockapp", "/a"], ["--remove", "/b"]]


class Store:
    """A server with names, digests and runners: a runner is reached through a name of its digest only."""

    def __init__(self, loaded):
        self.names = {"qwen3:8b": "old"}
        self.runners = {"old"} if loaded else set()

    def installed(self):
        """List what is installed."""
        return tuple(Installed(name, digest, 1) for name, digest in self.names.items())

    def loaded(self):
        """List what is in memory."""
        return tuple(Loaded("qwen3:8b", digest, 1, 1, 4096, pinned=True) for digest in self.runners)

    def call(self, _method, path, body, timeout=10):
        """Copy, unload or delete."""
        assert timeout
        if path == "/api/copy":
            self.names[body["destination"]] = self.names[body["source"]]
        elif path == "/api/generate":
            self.runners.discard(self.names[body["model"]])
        else:
            del self.names[body["model"]]


class Renewing:
    """A puller that brings a new digest, or fails."""

    def __init__(self, store, problem=None):
        self.store, self.problem = store, problem

    def pull(self, name):
        """Pull."""
        if self.problem:
            raise self.problem
        self.store.names[name] = "new"


@pytest.mark.parametrize("loaded", [True, False])
def test_a_renewed_model_leaves_no_runner_of_the_old_one(loaded):
    store = Store(loaded)
    library("ollama_models").renew("qwen3:8b", store, Renewing(store))
    assert (store.names, store.runners) == ({"qwen3:8b": "new"}, set())


def test_a_renewal_that_fails_keeps_the_old_one_in_memory_and_no_second_name():
    store = Store(loaded=True)
    with pytest.raises(ApiError):
        library("ollama_models").renew("qwen3:8b", store, Renewing(store, ApiError("cut")))
    assert (store.names, store.runners) == ({"qwen3:8b": "old"}, {"old"})
