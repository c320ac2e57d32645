"""A version is accepted for a sentence, not for an answer; whatever fails, the one before is linked and said to be."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.module_utils.fleet.plan import VersionSteps
from ansible.module_utils.fleet.vocabulary import Step
from ansible.module_utils.macos.homebrew_change import HomebrewFailed
from ansible.module_utils.macos.launchd_change import ChangeFailed, Outcome
from ansible.module_utils.macos.ollama_api import ApiError
from ansible.module_utils.macos.proof import ANY_MODEL, CAUSE_CHARACTERS, Mute, VersionGate, short
from ansible.module_utils.macos.service_gate import NotUp, ServerGate
from ansible.module_utils.macos.version_change import VersionFailed, carry_out

from .examples import DEFINITION, TARGET, job_of

OLD, NEW = "0.32.3", "0.32.15"
SPOKEN = {"done": True, "eval_count": 8, "response": "ready"}


class Server:
    """An API by model name: what each says when it is asked for a sentence."""

    def __init__(self, running=NEW, sizes=(), **sentences):
        self.running = running
        self.sizes = dict(sizes)
        self.sentences = sentences
        self.asked = []

    def version(self, timeout=3):
        """Return the version, or refuse."""
        assert timeout
        if not self.running:
            message = "connection refused"
            raise ApiError(message)
        return self.running

    def installed(self):
        """Return the models by size."""
        return tuple(SimpleNamespace(name=name, size=size) for name, size in self.sizes.items())

    def call(self, _method, _path, body, timeout):
        """Load, or complete a sentence."""
        assert timeout
        self.asked.append((body["model"], body["keep_alive"], "prompt" in body))
        answer = self.sentences.get(body["model"].partition(":")[0], SPOKEN)
        if isinstance(answer, Exception):
            raise answer
        return answer if "prompt" in body else {"done": True}


def gate_to(server, expected=NEW):
    gate = VersionGate("http://127.0.0.1:11434", 11434, 600, expected=expected)
    gate.api = server
    return gate


@pytest.mark.parametrize(
    ("running", "expected", "problem"),
    [
        (NEW, NEW, ""),
        (NEW, f"{NEW}_1", ""),
        (NEW, "", ""),
        (OLD, NEW, f"{OLD} answers, not {NEW}"),
        ("", NEW, "no answer: connection refused"),
    ],
)
def test_only_the_version_that_is_meant_is_up(monkeypatch, running, expected, problem):
    monkeypatch.setattr(ServerGate, "problem", lambda self, job: "")
    assert gate_to(Server(running), expected).problem(job_of(DEFINITION)) == problem


def test_what_is_not_up_at_all_is_not_asked_for_its_version(monkeypatch):
    monkeypatch.setattr(ServerGate, "problem", lambda self, job: "no answer: refused")
    assert gate_to(Server(OLD)).problem(job_of(DEFINITION)) == "no answer: refused"


def test_a_resident_is_loaded_for_good_and_speaks():
    server = Server()
    gate = gate_to(server)
    gate.load("qwen3:8b")
    gate.load(ANY_MODEL)
    assert server.asked == [("qwen3:8b", -1, False), ("qwen3:8b", -1, True)]
    assert gate.speaker == "qwen3:8b"


def test_without_residents_the_smallest_model_that_can_speaks_and_goes():
    mute = ApiError('"nomic:v1" does not support generate', 400)
    server = Server(sizes={"big:1": 9, "nomic:v1": 1, "small:1": 2}, nomic=mute)
    gate = gate_to(server)
    gate.load(ANY_MODEL)
    assert server.asked == [("nomic:v1", 0, True), ("small:1", 0, True)]
    assert gate.speaker == "small:1"


def test_without_any_model_nothing_can_be_proved():
    gate = gate_to(Server())
    gate.load(ANY_MODEL)
    assert gate.speaker == ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ApiError("llama-server binary not found", 500), "cannot load qwen3:8b: llama-server binary not found"),
        ({"done": False}, "qwen3:8b completes nothing"),
        ({"done": True, "response": "", "eval_count": 0}, "qwen3:8b completes nothing"),
        (["no", "object"], "qwen3:8b completes nothing"),
    ],
)
def test_a_model_that_does_not_speak_proves_nothing(answer, said):
    with pytest.raises(NotUp, match=said):
        gate_to(Server(qwen3=answer)).load("qwen3:8b")
    with pytest.raises(NotUp, match="qwen3:8b"):
        gate_to(Server(sizes={"qwen3:8b": 5}, qwen3=answer)).load(ANY_MODEL)


def test_a_cause_is_one_line_of_a_bearable_length():
    assert short("a\n  b.") == "a b"
    assert len(short("x" * 5000)) == CAUSE_CHARACTERS + 4
    assert issubclass(Mute, NotUp)


class Formula:
    """A formula of values; remembers what was done to it."""

    name = "ollama"

    def __init__(self, failing=()):
        self.linked, self.previous, self.failing, self.did = OLD, OLD, failing, []

    def do(self, step):
        """Link what is wanted, or fail."""
        self.did.append(step.action)
        if step.action in self.failing:
            message = f"brew said no to {step.action}"
            raise HomebrewFailed(message)
        if step.action in ("upgrade", "relink"):
            self.linked = step.wanted

    def put_back(self):
        """Link what was linked."""
        self.did.append("put back")
        if "put back" in self.failing:
            message = "the keg is gone"
            raise HomebrewFailed(message)
        self.linked = self.previous

    def proved(self):
        """Note it."""
        self.did.append("proved")

    def refuse(self, version, why):
        """Note it."""
        self.did.append(f"refused {version}: {why}")


UPGRADE = Step("upgrade", "ollama", OLD, NEW)
RELOAD = Step("reload", TARGET, "running", "started anew", "x")
LOAD = Step("load", "qwen3:8b", "not loaded", "loaded for good")
PIN = Step("pin", "ollama", "not pinned", NEW)
STEPS = VersionSteps((UPGRADE,), (RELOAD, LOAD), (PIN,))


def changing(failure=None, asked=None):
    """Make changes that do as lead: on a failure the way back is taken before the old service comes."""

    def change_with(undo):
        def carry(steps):
            if asked is not None:
                asked.extend(steps)
            if failure is None:
                return Outcome(1.5, 0.2)
            try:
                undo()
            except OSError as problem:
                raise ChangeFailed(f"{failure} {problem}") from failure
            raise ChangeFailed(str(failure), restored=failure.restored) from failure

        return SimpleNamespace(carry_out=carry)

    return change_with


class Failure(NotUp):
    """A cause, and whether the old service came back."""

    restored = True


def test_a_version_that_proves_itself_is_kept_and_what_waited_is_done():
    formula, gate, asked = Formula(), gate_to(Server(), ""), []
    assert carry_out(STEPS, formula, gate, changing(asked=asked)) == Outcome(1.5, 0.2)
    assert formula.did == ["upgrade", "proved", "pin"]
    assert gate.expected == NEW
    assert [(step.action, step.item) for step in asked] == [("reload", TARGET), ("load", "qwen3:8b"), ("load", ANY_MODEL)]


def test_a_version_that_does_not_is_taken_back_noted_and_the_residents_come_back():
    formula, server = Formula(), Server(OLD)
    gate = gate_to(server, "")
    with pytest.raises(VersionFailed) as failed:
        carry_out(STEPS, formula, gate, changing(Failure("it cannot load")))
    assert formula.did == ["upgrade", "put back", f"refused {NEW}: it cannot load"]
    assert (formula.linked, gate.expected) == (OLD, OLD)
    assert server.asked[0] == ("qwen3:8b", -1, False)
    assert str(failed.value).startswith(f"ollama {NEW} did not prove itself.")
    assert str(failed.value).endswith(f"It is {OLD}, with qwen3:8b in memory.")


def test_a_version_before_that_does_not_come_back_either_is_said():
    failure = Failure("it cannot load")
    failure.restored = False
    formula, server = Formula(failing=("put back",)), Server(OLD)
    with pytest.raises(VersionFailed, match="the keg is gone"):
        carry_out(STEPS, formula, gate_to(server, ""), changing(failure))
    assert server.asked == []


def test_residents_that_do_not_come_back_are_said():
    gate = gate_to(Server(OLD, qwen3=ApiError("no room", 500)), "")
    with pytest.raises(VersionFailed, match="no room"):
        carry_out(STEPS, Formula(), gate, changing(Failure("it cannot load")))


@pytest.mark.parametrize(
    ("failing", "did", "said"),
    [
        (("upgrade",), ["upgrade", "put back"], f"{OLD} is linked as before, and the service was not touched"),
        (("upgrade", "put back"), ["upgrade", "put back"], f"{OLD} could not be linked again: the keg is gone"),
    ],
)
def test_what_homebrew_does_not_bring_leaves_the_service_alone(failing, did, said):
    formula, asked = Formula(failing), []
    with pytest.raises(VersionFailed, match=said):
        carry_out(STEPS, formula, gate_to(Server()), changing(asked=asked))
    assert (formula.did, asked) == (did, [])


def test_what_follows_the_proof_is_no_reason_to_go_back():
    formula = Formula(("pin",))
    with pytest.raises(VersionFailed, match=f"ollama {NEW} runs, but pin ollama failed"):
        carry_out(STEPS, formula, gate_to(Server()), changing())
    assert formula.did == ["upgrade", "proved", "pin"]


def test_a_pin_alone_touches_no_service():
    formula, asked = Formula(), []
    assert carry_out(VersionSteps((), (), (PIN,)), formula, gate_to(Server()), changing(asked=asked)) == Outcome()
    assert (formula.did, asked) == (["pin"], [])
