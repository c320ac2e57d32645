"""A measurement leaves memory as it was, whatever ends it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible.module_utils.fleet.models import Installed, Loaded
from ansible.module_utils.fleet.residents import Memory
from ansible.module_utils.macos import bench as run
from ansible.module_utils.macos.bench import Bench, Interrupted, Settings, Wish, carry_out
from ansible.module_utils.macos.ollama_api import ApiError
from ansible.module_utils.macos.progress_file import ProgressFile

FOREVER = "2319-03-04T16:15:39.9Z"
GIB = 2**30


class Ollama:
    """A server: what is installed, what is loaded and until when, and what goes wrong at which question."""

    def __init__(self, loaded=(), capabilities=("completion", "tools")):
        self.digests = {"qwen3:8b": "q", "big:1": "b", "embed:1": "e"}
        self.can = {name: list(capabilities) for name in self.digests} | {"embed:1": ["embedding"]}
        self.memory = dict(loaded)
        self.asked = []
        self.answers = 0
        self.clock = 0
        self.trouble = None
        self.room = 9

    def installed(self):
        """Answer /api/tags."""
        return tuple(Installed(name, digest, 5) for name, digest in self.digests.items())

    def loaded(self):
        """Answer /api/ps."""
        return tuple(
            Loaded(
                name, self.digests[name], 5, 5, 32768, pinned=expires == FOREVER or expires.startswith("2319"), expires_at=expires
            )
            for name, expires in self.memory.items()
        )

    def use(self, name, keep_alive):
        """Load a model, pushing out another where there is no room; every use moves the expiry."""
        self.clock += 1
        self.memory.pop(name, None)
        while len(self.memory) >= self.room:
            self.memory.pop(next(iter(self.memory)))
        if keep_alive < 0:
            self.memory[name] = f"2319-03-04T16:15:{self.clock % 60:02}Z"
        else:
            self.memory[name] = (datetime.now(UTC) + timedelta(seconds=keep_alive, microseconds=self.clock)).isoformat()

    def call(self, method, path, body=None, timeout=10):
        """Answer one question."""
        assert method
        assert timeout
        self.asked.append((path, body))
        if path == "/api/show":
            return {"capabilities": self.can[body["model"]]}
        if path == "/api/chat":
            self.use(body["model"], body["keep_alive"])
            return self.chat(body)
        if body["keep_alive"] == 0:
            self.memory.pop(body["model"], None)
        else:
            self.use(body["model"], body["keep_alive"])
        return {"done": True}

    def chat(self, body):
        """Call the tools as asked."""
        results = [json.loads(one["content"]) for one in body["messages"] if one["role"] == "tool"]
        if not results:
            call = {"name": "look_up_code", "arguments": {"person": "Nadia Okafor"}}
        elif len(results) == 1:
            call = {"name": "open_box", "arguments": {"code": results[0]["code"]}}
        else:
            return {"message": {"role": "assistant", "content": results[1]["word"]}, "done": True}
        return {"message": {"role": "assistant", "content": "", "tool_calls": [{"function": call}]}, "done": True}

    def stream(self, path, body, idle_timeout):
        """Stream one answer, in the middle of which the trouble comes."""
        assert idle_timeout
        self.asked.append((path, body))
        cold = body["model"] not in self.memory
        self.use(body["model"], body["keep_alive"])
        self.answers += 1
        yield {"response": "", "done": False}
        if self.trouble:
            self.trouble(self.answers)
        yield {"response": "x", "done": False}
        yield {
            "done": True, "prompt_eval_count": 400, "prompt_eval_duration": 10**9, "eval_count": 100, "eval_duration": 2 * 10**9,
            "load_duration": 3 * 10**9 if cold else 10**6, "total_duration": 4 * 10**9,
        }  # fmt: skip


SETTINGS = Settings(
    runs=3, warmups=1, num_predict=128, prompt_words=50, seed=1, cold_load=True, quiet_seconds=0, swap_growth=GIB,
    load_timeout=5, answer_timeout=5, tools=True, tool_tries=2, tool_num_predict=64,
)  # fmt: skip
RESIDENT = {"qwen3:8b": FOREVER}


@pytest.fixture
def calm(monkeypatch):
    """Give a Mac whose memory is fine, and a list to change that."""
    figures = [Memory(1, 0, 16 * GIB)]
    monkeypatch.setattr(run, "read_memory", lambda: figures[-1])
    monkeypatch.setattr(run, "POLL_SECONDS", 0)
    monkeypatch.setattr(run, "LOOK_SECONDS", 0)
    return figures


@pytest.fixture
def signals():
    """Give the signals back that a measurement takes."""
    before = {one: signal.getsignal(one) for one in run.SIGNALS}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def pinned(server):
    return {name: expires.startswith("2319") for name, expires in server.memory.items()}


def bench(server, lines=None, settings=SETTINGS, watch=lambda: None):
    return Bench(server, settings, (lines if lines is not None else []).append, watch)


def test_a_model_is_measured_cold_and_leaves_afterwards(calm):
    server, lines = Ollama(RESIDENT), []
    one = bench(server, lines)
    one.go([Wish("BIG:1")])
    (result,) = one.results
    assert (result["outcome"], result["name"], result["load"]) == ("measured", "big:1", {"cold": True, "why": "", "seconds": 3.0})
    assert len(result["runs"]) == 3
    assert result["tools"]["passed"] == 2
    assert (result["size"], result["context_length"]) == (5, 32768)
    assert one.give_back() == []
    assert pinned(server) == {"qwen3:8b": True}
    prompts = [body["prompt"] for path, body in server.asked if path == "/api/generate" and "prompt" in body]
    assert len({text[:12] for text in prompts}) == 4
    options = [body["options"] for path, body in server.asked if "options" in (body or {})]
    assert all(one["temperature"] == 0 and "num_ctx" not in one for one in options)
    assert any("run 2 of 3, 50.0 tokens/s" in line for line in lines)


def test_a_resident_is_pinned_in_every_request(calm):
    server = Ollama(RESIDENT)
    one = bench(server)
    one.go([Wish("qwen3:8b")])
    used = [body["keep_alive"] for path, body in server.asked if path in ("/api/generate", "/api/chat")]
    assert used[0] == 0
    assert set(used[1:]) == {-1}
    one.give_back()
    assert pinned(server) == {"qwen3:8b": True}


def test_a_resident_that_was_pushed_out_comes_back(calm):
    server = Ollama(RESIDENT)
    server.room = 1
    one = bench(server)
    one.go([Wish("big:1")])
    assert pinned(server) == {}
    assert one.give_back() == []
    assert pinned(server) == {"qwen3:8b": True}


def test_one_loaded_by_hand_has_the_time_that_it_had(calm):
    expires = (datetime.now(UTC) + timedelta(minutes=3)).isoformat()
    server = Ollama({"qwen3:8b": expires})
    one = bench(server)
    one.go([Wish("qwen3:8b")])
    one.give_back()
    left = datetime.fromisoformat(server.memory["qwen3:8b"]) - datetime.now(UTC)
    assert 170 < left.total_seconds() < 181


def test_what_must_not_be_loaded_is_not(calm):
    server = Ollama(RESIDENT)
    one = bench(server)
    one.go([Wish("big:1", refused="does not fit"), Wish("embed:1"), Wish("absent:1")])
    assert [result["outcome"] for result in one.results] == ["refused", "refused", "absent"]
    assert {path for path, _ in server.asked} == {"/api/show"}


@pytest.mark.parametrize("number", [1, 3])
def test_swap_that_grows_stops_a_model_and_goes_on_with_the_next(calm, number):
    server = Ollama(RESIDENT)

    def trouble(answer):
        calm.append(Memory(1, 2 * GIB if answer == number else 0, 16 * GIB))

    server.trouble = trouble
    one = bench(server)
    one.go([Wish("big:1"), Wish("qwen3:8b")])
    assert [result["outcome"] for result in one.results] == ["stopped", "measured"]
    assert "swap has grown" in one.results[0]["why"]
    assert "big:1" not in server.memory
    one.give_back()
    assert pinned(server) == {"qwen3:8b": True}


def test_somebody_who_uses_a_model_is_not_interrupted(calm, monkeypatch):
    server = Ollama(RESIDENT)
    looks = iter(range(9))
    honest = server.loaded

    def used():
        if next(looks, 9) == 1:
            server.use("qwen3:8b", -1)
        return honest()

    server.loaded = used
    one = bench(server, settings=Settings(**{**SETTINGS.__dict__, "quiet_seconds": 0.05}))
    one.go([Wish("qwen3:8b")])
    assert one.results[0]["load"] == {"cold": False, "why": "somebody uses it", "seconds": None}
    assert 0 not in [body["keep_alive"] for path, body in server.asked if path == "/api/generate"]


def test_use_by_others_in_between_marks_the_run(calm):
    server = Ollama(RESIDENT)
    server.trouble = lambda answer: answer == 2 and server.use("qwen3:8b", -1)
    one = bench(server)
    one.go([Wish("big:1")])
    assert ["somebody used qwen3:8b" in each["disturbed"] for each in one.results[0]["runs"]] == [True, False, False]


@pytest.mark.parametrize("problem", [ApiError("boom", 500), ValueError("odd")])
def test_a_failure_of_one_model_is_no_failure_of_the_next(calm, problem):
    server = Ollama(RESIDENT)

    def trouble(answer):
        if answer == 1:
            raise problem

    server.trouble = trouble
    one = bench(server)
    one.go([Wish("big:1"), Wish("qwen3:8b")])
    assert [result["outcome"] for result in one.results] == ["failed", "measured"]
    assert one.give_back() == []
    assert pinned(server) == {"qwen3:8b": True}


@pytest.mark.parametrize("number", run.SIGNALS)
def test_a_signal_ends_it_and_a_second_one_does_not_keep_it_from_giving_back(calm, signals, number):
    server = Ollama(RESIDENT)
    server.room = 1
    server.trouble = lambda answer: answer == 2 and os.kill(os.getpid(), number)
    one = bench(server)
    honest = server.installed

    def installed():
        if server.answers >= 2:
            os.kill(os.getpid(), number)
        return honest()

    server.installed = installed
    ended, left = carry_out(one, lambda: one.go([Wish("big:1"), Wish("qwen3:8b")]))
    assert number.name in ended
    assert left == []
    assert pinned(server) == {"qwen3:8b": True}
    assert [result["outcome"] for result in one.results] == ["failed"]


def test_a_server_that_does_not_come_back_is_said(calm, signals, monkeypatch):
    server = Ollama(RESIDENT)
    monkeypatch.setattr(run, "BACK_SECONDS", 0.05)

    def gone(answer):
        def refuse():
            raise ApiError("refused")

        server.loaded = server.installed = refuse
        raise ApiError("refused")

    server.trouble = gone
    one = bench(server)
    _, left = carry_out(one, lambda: one.go([Wish("big:1")]))
    assert left == ["the server does not answer, so qwen3:8b is not loaded"]


def test_a_model_that_cannot_be_loaded_again_is_said(calm):
    server = Ollama(RESIDENT)
    server.room = 1
    one = bench(server)
    one.go([Wish("big:1")])
    honest = server.call

    def call(method, path, body=None, timeout=10):
        if body.get("keep_alive") == -1:
            raise ApiError("out of memory", 500)
        return honest(method, path, body, timeout)

    server.call = call
    assert one.give_back() == ["qwen3:8b is not as it was before: out of memory"]


def test_tools_are_asked_of_those_that_have_them(calm):
    server = Ollama(capabilities=("completion",))
    one = bench(server)
    one.go([Wish("big:1")])
    assert one.results[0]["tools"] == {"passed": 0, "of": 0, "failures": {}, "why": "no tools"}


def test_a_model_that_thinks_is_told_not_to(calm):
    server = Ollama(capabilities=("completion", "tools", "thinking"))
    one = bench(server)
    one.go([Wish("big:1", context=4096)])
    chats = [body for path, body in server.asked if path == "/api/chat"]
    assert {body["think"] for body in chats} == {False}
    assert {body["options"]["num_ctx"] for body in chats} == {4096}


def test_a_refused_conversation_is_an_outcome(calm):
    server = Ollama()

    def chat(body):
        raise ApiError("\x1b[31mno\n", 400)

    server.chat = chat
    one = bench(server)
    one.go([Wish("big:1")])
    assert one.results[0]["outcome"] == "measured"
    (detail,) = [each["detail"] for each in one.results[0]["tools"]["failures"].values()]
    assert detail.isprintable()


# The module. ------------------------------------------------------------------------------------------------------------


def library():
    path = Path(__file__).resolve().parents[2] / "library" / "ollama_bench.py"
    spec = importlib.util.spec_from_file_location("library_under_test_ollama_bench", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_ends_when_nobody_waits_any_more(tmp_path, monkeypatch):
    module = library()
    watched = tmp_path / "watched"
    watched.touch()
    watch = module.watcher(str(watched))
    watch()
    monkeypatch.setattr(module, "WATCH_SECONDS", -1)
    with pytest.raises(Interrupted, match="nobody has waited"):
        watch()
    module.watcher("")()


def test_check_mode_says_what_would_be_measured():
    wishes = [Wish("a:1"), Wish("b:1"), Wish("c:1", refused="too large")]
    outcomes = [(one["outcome"], one["why"]) for one in library().planned(wishes, {"a:1", "c:1"})]
    assert outcomes == [("planned", ""), ("absent", "it is not installed on this Mac"), ("refused", "too large")]


def test_progress_is_one_object_and_not_written_too_often(tmp_path):
    path = tmp_path / "progress.json"
    file = ProgressFile(str(path))
    file.say("one", pid=7)
    file.say("two")
    assert json.loads(path.read_text()) == {"line": "one", "pid": 7}
    file.say("three", at_once=True)
    assert json.loads(path.read_text()) == {"line": "three", "pid": os.getpid()}
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]
    ProgressFile().say("nowhere")
