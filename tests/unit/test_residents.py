"""Which resident is loaded now, in which order, and why one must wait."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.companion import residents as verb
from ansible.module_utils.companion import state
from ansible.module_utils.fleet.companion_settings import Residents, to_text
from ansible.module_utils.fleet.models import Found, Installed, Loaded
from ansible.module_utils.fleet.residents import Memory, Past, Resident, judge, learn, parse_memory, residents_of
from ansible.module_utils.fleet.vocabulary import Unknown
from ansible.module_utils.macos.commands import Answer
from ansible.module_utils.macos.ollama_api import ApiError
from hypothesis import given
from hypothesis import strategies as st

GIB = 1 << 30
CALM = Memory(1, 0, 48 * GIB)
SMALL = Memory(1, 0, 16 * GIB)
QWEN = Installed("qwen3:8b", "500a", 5_200_000_000)
OSS = Installed("gpt-oss:20b", "17ee", 13_800_000_000)
TINY = Installed("tiny:latest", "c1e7", 7_000_000)
ALIAS = Installed("alias:latest", "c1e7", 7_000_000)
STORE = (QWEN, OSS, TINY, ALIAS)
GROWTH = 512 << 20


def loaded(model, *, context=4096, pinned=True):
    return Loaded(model.name, model.digest, model.size, model.size, context, pinned)


def loads(found, *residents, memory=CALM, past=Past()):  # noqa: B008  frozen
    return [step.item for step in judge(found, residents, memory, past, GROWTH).loads]


def waits(found, *residents, memory=CALM, past=Past()):  # noqa: B008  frozen
    return " / ".join(judge(found, residents, memory, past, GROWTH).waits)


@pytest.mark.parametrize(
    ("in_memory", "residents", "wanted"),
    [
        ((), [Resident("qwen3:8b")], ["qwen3:8b"]),
        ((loaded(QWEN),), [Resident("qwen3:8b")], []),
        ((loaded(QWEN, pinned=False),), [Resident("qwen3:8b")], ["qwen3:8b"]),
        ((), [Resident("tiny"), Resident("gpt-oss:20b"), Resident("qwen3:8b")], ["gpt-oss:20b", "qwen3:8b", "tiny:latest"]),
        ((loaded(QWEN),), [Resident("QWEN3:8B")], []),
        ((loaded(QWEN),), [Resident("qwen3:8b", 4096)], []),
        ((loaded(QWEN),), [Resident("qwen3:8b", 8192)], ["qwen3:8b"]),
        ((loaded(QWEN, pinned=False),), [Resident("qwen3:8b", 4096)], ["qwen3:8b"]),
        # Two names of one digest share a runner, which is listed under the name that was loaded first.
        ((loaded(TINY),), [Resident("alias")], []),
        ((), [Resident("alias"), Resident("tiny")], ["alias:latest"]),
        # The name means another version by now; the old one is no help.
        ((Loaded("qwen3:8b", "0ld", 1, 1, 4096, pinned=True),), [Resident("qwen3:8b")], ["qwen3:8b"]),
        ((), [], []),
    ],
    ids=[
        "missing", "in place", "unpinned", "largest first", "other case", "its context", "another context",
        "its context unpinned", "two names", "two names, one load", "another version", "no residents",
    ],
)  # fmt: skip
def test_what_is_due(in_memory, residents, wanted):
    assert loads(Found(STORE, in_memory), *residents) == wanted


@pytest.mark.parametrize(
    ("memory", "past", "reason"),
    [
        (CALM, Past(), None),
        (Memory(2, 0, 48 * GIB), Past(), "reports memory pressure"),
        (Memory(4, 0, 48 * GIB), Past(), "reports memory pressure"),
        (Memory(Unknown("no sysctl"), 0, 48 * GIB), Past(), "could not be read (no sysctl)"),
        (Memory(1, 9 * GIB, 48 * GIB), Past(), None),
        (Memory(1, 9 * GIB, 48 * GIB), Past(9 * GIB), None),
        (Memory(1, 9 * GIB, 48 * GIB), Past(9 * GIB - GROWTH), None),
        (Memory(1, 9 * GIB, 48 * GIB), Past(9 * GIB - GROWTH - 1), "swap is growing"),
        (Memory(1, 1 * GIB, 48 * GIB), Past(9 * GIB), None),
        (Memory(1, Unknown("odd"), 48 * GIB), Past(9 * GIB), None),
    ],
)
def test_nothing_is_loaded_into_trouble(memory, past, reason):
    found = Found(STORE, ())
    assert loads(found, Resident("qwen3:8b"), memory=memory, past=past) == ([] if reason else ["qwen3:8b"])
    assert (reason or "") in waits(found, Resident("qwen3:8b"), memory=memory, past=past)
    # Without anything due there is nothing to say, whatever the memory does.
    assert waits(Found(STORE, (loaded(QWEN),)), Resident("qwen3:8b"), memory=memory, past=past) == ""


def test_a_model_that_somebody_else_uses_is_not_pushed_out():
    found = Found(STORE, (loaded(OSS, pinned=False),))
    assert loads(found, Resident("qwen3:8b"), memory=SMALL) == []
    assert "qwen3:8b waits until gpt-oss:20b has left" in waits(found, Resident("qwen3:8b"), memory=SMALL)
    assert loads(found, Resident("qwen3:8b"), memory=CALM) == ["qwen3:8b"]
    assert loads(found, Resident("qwen3:8b"), memory=Memory(1, 0, Unknown("odd"))) == []


def test_a_pin_takes_no_memory_and_pushes_nobody_out():
    found = Found(STORE, (loaded(OSS, pinned=False), loaded(QWEN, pinned=False)))
    assert loads(found, Resident("qwen3:8b"), memory=SMALL) == ["qwen3:8b"]


def test_another_resident_is_no_rival():
    found = Found(STORE, (loaded(OSS),))
    assert loads(found, Resident("gpt-oss:20b"), Resident("qwen3:8b"), memory=SMALL) == ["qwen3:8b"]


def test_what_is_not_installed_is_said_and_left_to_the_next_run_of_ansible():
    assert loads(Found((), ()), Resident("qwen3:8b")) == []
    assert "qwen3:8b is not installed" in waits(Found((), ()), Resident("qwen3:8b"))


def test_what_could_not_be_read_loads_nothing():
    found = Found(STORE, Unknown("no answer"))
    assert loads(found, Resident("qwen3:8b")) == []
    assert "no answer" in waits(found, Resident("qwen3:8b"))


def test_a_context_that_ollama_does_not_give_is_asked_for_once():
    tiny = Found(STORE, (loaded(TINY, context=2048),))
    wanted = (Resident("tiny", 8192),)
    assert loads(tiny, *wanted) == ["tiny:latest"]
    past = Past(None, learn(tiny, wanted, Past(), {"c1e7": 8192}))
    assert loads(tiny, *wanted, past=past) == []
    # Another wish, or another answer than then, is a new question.
    assert loads(tiny, Resident("tiny", 4096), past=past) == ["tiny:latest"]
    assert loads(Found(STORE, (loaded(TINY, context=1024),)), *wanted, past=past) == ["tiny:latest"]


def test_a_client_that_chose_its_own_context_keeps_it_until_it_has_gone():
    wanted = (Resident("qwen3:8b"),)
    past = Past(None, learn(Found(STORE, (loaded(QWEN),)), wanted, Past(), {}))
    in_use = Found(STORE, (loaded(QWEN, context=32768, pinned=False),))
    assert loads(in_use, *wanted, past=past) == []
    assert "context of 32768" in waits(in_use, *wanted, past=past)
    assert loads(Found(STORE, (loaded(QWEN, pinned=False),)), *wanted, past=past) == ["qwen3:8b"]
    assert loads(Found(STORE, ()), *wanted, past=past) == ["qwen3:8b"]


def test_contexts_of_models_that_are_gone_are_forgotten():
    past = Past(None, {("gone", 0): 4096, ("500a", 0): 4096})
    assert learn(Found(STORE, ()), (Resident("qwen3:8b"),), past, {}) == {("500a", 0): 4096}


@given(
    in_memory=st.lists(st.sampled_from(STORE), unique_by=lambda model: model.digest),
    pins=st.lists(st.booleans(), min_size=4, max_size=4),
    wanted=st.lists(st.sampled_from(STORE), unique_by=lambda model: model.name),
    contexts=st.lists(st.sampled_from([0, 2048, 4096]), min_size=4, max_size=4),
    pressure=st.sampled_from([1, 2, 4]),
)
def test_loading_what_is_due_leaves_nothing_due(in_memory, pins, wanted, contexts, pressure):
    found = Found(STORE, tuple(loaded(model, pinned=pin) for model, pin in zip(in_memory, pins, strict=False)))
    residents = [Resident(model.name, context) for model, context in zip(wanted, contexts, strict=False)]
    verdict = judge(found, residents, Memory(pressure, 0, 1 << 40), Past(), GROWTH)
    sizes = {model.name: model.size for model in STORE}
    assert pressure == 1 or not verdict.loads
    assert [sizes[step.item] for step in verdict.loads] == sorted((sizes[step.item] for step in verdict.loads), reverse=True)
    assert {step.item for step in verdict.loads} <= {model.name for model in wanted}
    digests = {model.name: model.digest for model in STORE}
    done = {digests[step.item]: step.item for step in verdict.loads}
    asked = {one.name: one.context_length for one in residents}
    after = [one for one in found.loaded if one.digest not in done]
    after += [Loaded(name, digest, 1, 1, asked[name] or 4096, pinned=True) for digest, name in done.items()]
    past = Past(0, learn(Found(STORE, tuple(after)), residents, Past(), {digest: asked[name] for digest, name in done.items()}))
    again = judge(Found(STORE, tuple(after)), residents, Memory(pressure, 0, 1 << 40), past, GROWTH)
    twice = len({digests[model.name] for model in wanted}) < len(wanted)
    assert pressure > 1 or twice or not again.loads


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("1\ntotal = 2048.00M  used = 1023.50M  free = 1024.50M  (encrypted)\n17179869184\n", Memory(1, 1073217536, 17179869184)),
        ("4\ntotal = 0.00M  used = 0.00M  free = 0.00M\n51539607552\n", Memory(4, 0, 51539607552)),
    ],
)
def test_figures_are_read_as_sysctl_prints_them(text, memory):
    assert parse_memory(text) == memory


@given(st.text())
def test_other_figures_are_unknown_and_never_an_error(text):
    memory = parse_memory(text)
    assert isinstance(memory.pressure, (int, Unknown))


def test_residents_are_those_that_the_inventory_calls_so():
    listed = [{"name": "a"}, {"name": "B:1", "residency": "resident"}, {"name": "c", "residency": "on_demand"},
              {"name": "d", "residency": "resident", "context_length": 8192}]  # fmt: skip
    assert residents_of(listed) == (Resident("B:1"), Resident("d:latest", 8192))


# One run of the verb, with a server and a sysctl made of answers. ---------------------------------------------------------


class Server:
    """An API over a store and a memory; loads as Ollama does, or fails."""

    def __init__(self, *in_memory, silent=0, broken=()):
        self.in_memory = {one.digest: one for one in in_memory}
        self.silent = silent
        self.broken = broken
        self.bodies = []

    def installed(self, _timeout=0):
        if self.silent:
            self.silent -= 1
            raise ApiError("[Errno 61] Connection refused")
        return STORE

    def loaded(self, _timeout=0):
        return tuple(self.in_memory.values())

    def call(self, method, path, body, timeout):
        assert (method, path) == ("POST", "/api/generate")
        assert timeout
        self.bodies.append(body)
        if body["model"] in self.broken:
            raise ApiError("llama-server process has terminated", 500)
        model = next(model for model in STORE if model.name == body["model"])
        context = min(body.get("options", {}).get("num_ctx", 4096), 8192)
        self.in_memory[model.digest] = loaded(model, context=context)


class Stage:
    """One Mac's verb, run again and again."""

    def __init__(self, place, monkeypatch, capsys):
        self.place, self.capsys = place, capsys
        self.figures = "1\nused = 0.00M\n51539607552\n"
        self.slept = []
        monkeypatch.setattr(verb, "run_command", lambda _argv, timeout: Answer(0, self.figures, ""))
        monkeypatch.setattr(verb.time, "sleep", self.slept.append)
        self.monkeypatch = monkeypatch

    def run(self, server, *residents, patience=0):
        self.monkeypatch.setattr(verb, "Api", lambda _url: server)
        verb.run(
            to_text(Residents("http://127.0.0.1:11434", residents or (Resident("qwen3:8b"),), patience=patience)), self.place
        )
        return self.capsys.readouterr().err

    @property
    def state(self):
        return json.loads((self.place / "residents.json").read_text())


@pytest.fixture
def stage(tmp_path, monkeypatch, capsys):
    return Stage(tmp_path, monkeypatch, capsys)


def test_a_run_loads_pins_says_so_and_is_silent_from_then_on(stage):
    server = Server()
    assert "qwen3:8b is loaded for good" in stage.run(server)
    assert server.bodies == [{"model": "qwen3:8b", "keep_alive": -1}]
    assert stage.run(server) == ""
    assert len(server.bodies) == 1
    assert stage.state["waits"] == []
    assert set(stage.state) == {"schema", "verb", "at", "contexts", "loaded", "seconds", "swap_used", "waits"}
    assert (stage.place / "residents.json").stat().st_mode & 0o777 == 0o644


def test_a_context_is_sent_only_where_the_inventory_gives_one(stage):
    server = Server()
    stage.run(server, Resident("tiny"), Resident("qwen3:8b", 16384))
    assert server.bodies == [
        {"model": "qwen3:8b", "keep_alive": -1, "options": {"num_ctx": 16384}},
        {"model": "tiny:latest", "keep_alive": -1},
    ]
    # It got 8192, and asking every minute would only throw the cache away.
    assert stage.run(server, Resident("tiny"), Resident("qwen3:8b", 16384)) == ""
    assert len(server.bodies) == 2


def test_one_model_that_cannot_be_loaded_keeps_no_other_out_and_is_said_once(stage):
    server = Server(broken=("gpt-oss:20b",))
    both = (Resident("gpt-oss:20b"), Resident("qwen3:8b"))
    said = stage.run(server, *both)
    assert "gpt-oss:20b could not be loaded: llama-server process has terminated" in said
    assert "qwen3:8b is loaded for good" in said
    assert stage.run(server, *both) == ""
    assert [body["model"] for body in server.bodies] == ["gpt-oss:20b", "qwen3:8b", "gpt-oss:20b"]


def test_a_server_that_starts_is_waited_for(stage):
    server = Server(silent=3)
    assert "loaded for good" in stage.run(server, patience=60)
    assert stage.slept == [1, 1, 1]


def test_a_server_that_stays_away_is_said_once_and_again_after_it_was_there(stage):
    assert "does not answer" in stage.run(Server(silent=99))
    assert stage.run(Server(silent=99)) == ""
    stage.run(Server(loaded(QWEN)))
    assert "does not answer" in stage.run(Server(silent=99))


def test_pressure_holds_a_load_back_and_its_end_lets_it_go(stage):
    server = Server()
    stage.figures = "2\nused = 0.00M\n51539607552\n"
    assert "memory pressure" in stage.run(server)
    assert stage.run(server) == ""
    assert server.bodies == []
    stage.figures = "1\nused = 0.00M\n51539607552\n"
    assert "loaded for good" in stage.run(server)


def test_a_second_run_at_the_same_time_does_nothing(stage):
    server = Server()
    with state.alone(stage.place, "residents") as mine:
        assert mine
        assert stage.run(server) == ""
    assert server.bodies == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema": 2}', '{"schema": 1, "contexts": 5, "swap_used": "x", "waits": {}}',
     '{"schema": 1, "contexts": [["a"], [1, 2, 3], ["a", 1, true]], "swap_used": true, "waits": [1]}'],
)  # fmt: skip
def test_a_state_that_is_not_ours_is_forgotten(stage, text):
    (stage.place / "residents.json").write_text(text)
    assert "loaded for good" in stage.run(Server())
