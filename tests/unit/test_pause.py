"""A pause of the service: when it may begin, and that whatever ends it brings the service back."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible.module_utils.fleet.pause import (
    FINAL,
    Pause,
    limit_problem,
    pause_from_json,
    steps_down,
    steps_up,
    wanted_of,
    why_not,
)
from ansible.module_utils.fleet.vocabulary import plain
from ansible.module_utils.macos import one_at_a_time
from ansible.module_utils.macos import pause as pauses
from ansible.module_utils.macos.launchd_change import ChangeFailed
from ansible.module_utils.macos.pause import Keeper, Place, bring_back, detach, is_kept, keep, only_keeper, resident_names
from ansible.module_utils.macos.service_gate import NotUp
from hypothesis import given
from hypothesis import strategies as st

from .examples import CONVERGED, DAEMON_PATH, DEFINITION, LABEL, PATH, TARGET, UID, definition, file_of, job_of

# Whether it may begin. ----------------------------------------------------------------------------------------------------

STALE = definition(EnvironmentVariables={"OLLAMA_HOST": "127.0.0.1"})
STOPPED = {"pid": None, "state": "not running", "last_exit": "last exit code = 1"}


@pytest.mark.parametrize(
    ("found", "problem", "why"),
    [
        pytest.param(CONVERGED, "", "", id="as it should be"),
        pytest.param(replace(CONVERGED, jobs=()), "", "is not loaded, so it is not healthy before", id="not loaded"),
        pytest.param(CONVERGED, "no answer: timed out", "not healthy before: no answer: timed out", id="no answer"),
        pytest.param(
            replace(CONVERGED, jobs=(job_of(DEFINITION, **STOPPED),)), "", "no process (not running, last exit", id="ended"
        ),
        pytest.param(replace(CONVERGED, files=()), "", "no property list that could bring it back", id="no file"),
        pytest.param(replace(CONVERGED, files=(file_of(None),)), "", "no property list that could", id="no property list"),
        pytest.param(replace(CONVERGED, files=(file_of(DEFINITION, symlink=True),)), "", "no property list", id="a link"),
        pytest.param(
            replace(CONVERGED, disabled=((f"gui/{UID}", frozenset({LABEL})),)), "", "launchd would not start it", id="disabled"
        ),
        pytest.param(replace(CONVERGED, unfinished=frozenset({LABEL})), "", "was cut short", id="a change was cut"),
        pytest.param(
            replace(CONVERGED, files=(file_of(STALE),)), "", "differs from what runs in EnvironmentVariables.OLLAMA_", id="stale"
        ),
        pytest.param(
            replace(CONVERGED, running_version="0.32.3", program_version="0.32.15"), "", "would bring 0.32.15 into", id="outdated"
        ),
        pytest.param(replace(CONVERGED, running_version="0.32.3"), "", "", id="the keg is not known"),
        pytest.param(
            replace(CONVERGED, jobs=(job_of(DEFINITION, "system", DAEMON_PATH),)), "", "gui/501/com.user.ollama is not loaded",
            id="in another domain",
        ),
    ],
)  # fmt: skip
def test_only_what_is_healthy_and_comes_back_as_it_was_is_taken_down(found, problem, why):
    said = why_not(found, LABEL, "gui", problem)
    assert why in said
    assert bool(why) == bool(said)


def test_a_service_of_the_system_domain_is_judged_by_its_own_file():
    content = definition(UserName="felipe")
    job, disabled = job_of(content, "system", DAEMON_PATH), (("system", frozenset()),)
    found = replace(CONVERGED, files=(file_of(content, DAEMON_PATH),), jobs=(job,), disabled=disabled)
    assert why_not(found, LABEL, "system", "") == ""
    assert wanted_of(found, LABEL, "system").definition == content
    assert "is not loaded" in why_not(found, LABEL, "gui", "")


@pytest.mark.parametrize(("seconds", "good"), [(4, False), (5, True), (120, True), (600, True), (601, False), (-1, False)])
def test_a_pause_has_an_end_that_is_near(seconds, good):
    assert (limit_problem(seconds) == "") is good


PAUSE = Pause("abc", TARGET, 30, residents=("qwen3:8b",))


def test_the_steps_say_what_will_be():
    (down,) = steps_down(TARGET, 30)
    assert (down.action, down.item, down.wanted) == ("pause", TARGET, "down for at most 30 s")
    assert [step.action for step in steps_up(replace(PAUSE, phase="down"), ["qwen3:8b"])] == ["resume", "load"]
    assert [steps_up(replace(PAUSE, phase=phase), ["qwen3:8b"]) for phase in FINAL] == [(), ()]


@given(st.builds(Pause, st.text(), st.text(), st.integers(), residents=st.lists(st.text()).map(tuple)))
def test_a_record_reads_back_as_it_was(pause):
    assert pause_from_json(json.loads(json.dumps(plain(pause)))) == pause


@pytest.mark.parametrize(
    ("pinned", "wanted", "installed", "again"),
    [
        (["a"], ["b"], ["a", "b"], ("a", "b")),
        (["a"], ["a"], ["a"], ("a",)),
        ([], ["b"], ["a"], ()),
        ([], ["B"], ["b"], ("B",)),
    ],
)
def test_what_was_there_for_good_and_what_should_be_is_loaded_again(pinned, wanted, installed, again):
    assert resident_names(pinned, wanted, installed) == again


# That it ends. ------------------------------------------------------------------------------------------------------------


class Service:
    """A service made of values, in the place of a change: each knob is something that may go wrong."""

    def __init__(self, home):
        self.path = home / "com.user.ollama.plist"
        self.path.write_text("")
        self.domain, self.wanted = f"gui/{UID}", SimpleNamespace(label=LABEL)
        self.gate = self
        self.up, self.bound_by_others = True, False
        self.stop_problem, self.start_problems, self.load_problem = None, [], None
        self.did = []

    def stop(self):
        """Go down."""
        self.did.append("stop")
        if self.stop_problem:
            raise self.stop_problem
        self.up = False

    def start(self):
        """Come up, or not yet."""
        self.did.append("start")
        if self.start_problems:
            raise self.start_problems.pop(0)
        self.up = True

    def load(self, name):
        """Load a resident."""
        self.did.append(f"load {name}")
        if self.load_problem:
            raise self.load_problem

    def is_bound(self):
        """Tell whether anybody has the port."""
        return self.up or self.bound_by_others

    def holder(self, _pids):
        """Name a stranger."""
        return "Ollama (process 7)"


class Clock:
    """Two clocks that only waiting moves; `asleep` seconds are missed by the monotonic one."""

    def __init__(self):
        self.now, self.asleep, self.at = 0.0, 0.0, {}

    def monotonic(self):
        """Return what passed while awake."""
        return self.now

    def time(self):
        """Return what passed."""
        return 1e9 + self.now + self.asleep

    def sleep(self, seconds):
        """Let time pass, and what is to happen at its moment happen."""
        self.now += seconds
        for moment in [moment for moment in self.at if moment <= self.now]:
            self.at.pop(moment)()


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(pauses, "time", made)
    return made


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "Library" / "Application Support" / "ollama-fleet" / "pause")
    made.folder.mkdir(parents=True)
    return made


@pytest.fixture
def service(tmp_path, monkeypatch):
    made = Service(tmp_path)
    monkeypatch.setattr(pauses, "read_job", lambda _domain, _label: job_of(DEFINITION) if made.up else None)
    return made


@pytest.fixture
def keeper(place, service, tmp_path, clock):
    return Keeper(place, PAUSE, service, tmp_path, 11434)


def test_the_run_ends_it(keeper, place, service, clock):
    clock.at[7] = lambda: place.release.write_text("abc")
    keeper.run()
    ended = place.read()
    assert service.did == ["stop", "start", "load qwen3:8b"]
    assert (ended.phase, ended.ended, ended.error) == ("up", "released", "")
    assert 7 <= ended.absent_seconds <= 7.3


def test_without_anybody_it_ends_by_itself(keeper, place, service, clock):
    clock.at[7] = lambda: place.release.write_text("of another pause")
    keeper.run()
    assert service.up
    assert (place.read().ended, place.read().absent_seconds) == ("limit", pytest.approx(30, abs=0.5))


def test_a_mac_that_slept_through_its_end_ends_it_when_it_wakes(keeper, place, service, clock):
    clock.at[3] = lambda: setattr(clock, "asleep", 3600)
    keeper.run()
    assert service.up
    assert (place.read().ended, clock.now < 4) == ("limit", True)


def test_somebody_elses_start_ends_it(keeper, place, service, clock):
    clock.at[5] = lambda: setattr(service, "up", True)
    keeper.run()
    assert place.read().ended == "started"
    assert clock.now < 8


def test_a_mac_that_shuts_down_ends_it(keeper, place, service, clock):
    clock.at[2] = lambda: setattr(keeper, "told", True)
    keeper.run()
    assert (service.up, place.read().ended) == (True, "told")


@pytest.mark.parametrize(
    ("problem", "error"),
    [(ChangeFailed("its process does not end"), "its process does not end"), (ValueError(), "ValueError"), (OSError("x"), "x")],
)
def test_what_cannot_be_taken_down_is_brought_back(keeper, place, service, problem, error):
    service.stop_problem = problem
    keeper.run()
    ended = place.read()
    assert service.did == ["stop", "start", "load qwen3:8b"]
    assert (ended.phase, ended.ended, ended.error) == ("up", "failed", error)


def test_a_stranger_at_the_port_ends_it_before_it_begins(keeper, place, service):
    service.bound_by_others = True
    keeper.run()
    ended = place.read()
    assert service.up
    assert (ended.ended, "port 11434 is held by Ollama (process 7)" in ended.error) == ("failed", True)


@pytest.mark.parametrize("number", [1, 3, len(pauses.START_PAUSES) - 1])
def test_a_start_that_fails_is_tried_again(keeper, place, service, clock, number):
    clock.at[1] = lambda: place.release.write_text("abc")
    service.start_problems = [ChangeFailed("Bootstrap failed: 5"), NotUp("no answer"), OSError("slow")] * 2
    del service.start_problems[number:]
    keeper.run()
    assert (service.up, place.read().phase, place.read().error) == (True, "up", "")


def test_what_never_comes_up_is_said(keeper, place, service, clock):
    service.start_problems = [ChangeFailed("no answer")] * 99
    keeper.run()
    assert (place.read().phase, place.read().error) == ("failed", "no answer")


def test_a_resident_that_cannot_be_loaded_is_said_and_the_service_is_up(keeper, place, service):
    service.load_problem = NotUp("it answers and cannot load qwen3:8b")
    keeper.run()
    assert (place.read().phase, place.read().error) == ("up", "it answers and cannot load qwen3:8b")


def test_a_teardown_meanwhile_leaves_nothing_to_start(keeper, place, service, clock):
    def teardown():
        service.path.unlink()
        place.forget()
        clock.at[2] = lambda: setattr(keeper, "told", True)

    clock.at[1] = teardown
    keeper.run()
    assert "start" not in service.did
    assert "is gone" in keeper.pause.error


def test_a_full_disk_keeps_nothing_down(keeper, place, service, clock, monkeypatch):
    def full(*_):
        message = "No space left on device"
        raise OSError(message)

    monkeypatch.setattr(pauses, "replace_file", full)
    keeper.run()
    assert service.up


def test_another_change_that_hangs_keeps_nothing_down(keeper, service, clock, tmp_path, monkeypatch):
    monkeypatch.setattr(one_at_a_time, "time", clock)
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        keeper.run()
    finally:
        os.close(other)
    assert service.up


def test_while_it_is_down_no_change_of_others_waits(keeper, service, clock, tmp_path, place):
    free = []

    def look():
        handle = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free.append(service.up)
        os.close(handle)

    clock.at[4] = look
    keeper.run()
    assert free == [False]


# Records and locks. -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 2, "pause": {}}', '{"schema": 1, "pause": {"a": 1}}']
)
def test_what_is_no_record_is_none(place, text):
    place.record.write_text(text)
    place.record.chmod(0o600)
    assert place.read() is None


def test_a_record_that_others_may_write_is_not_believed(place):
    place.write(PAUSE)
    assert place.read() == PAUSE
    place.record.chmod(0o666)
    assert place.read() is None


def test_nothing_is_left_behind(place):
    place.write(PAUSE)
    place.release.write_text("abc")
    place.forget()
    assert not place.folder.parent.exists()
    place.forget()


def test_there_is_one_keeper(place):
    assert not is_kept(place)
    with only_keeper(place) as first:
        assert first is not None
        assert is_kept(place)
        with only_keeper(place) as second:
            assert second is None
    assert not is_kept(place)
    place.folder.rmdir()
    assert not is_kept(place)


def wait(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_detached_process_has_a_session_of_its_own_and_no_descriptor_but_one(tmp_path):
    said = tmp_path / "said"
    reader, writer = os.pipe()

    def run():
        ends = [number for number in range(3, 200) if _is_open(number)]
        temporary = tmp_path / "said.new"
        temporary.write_text(json.dumps({"session": os.getsid(0), "parent": os.getppid(), "open": ends}))
        temporary.rename(said)

    kept = os.open(tmp_path, os.O_RDONLY)
    detach(run, kept)
    os.close(writer)
    assert os.read(reader, 1) == b"", "the pipe's other end is still open somewhere"
    os.close(reader)
    wait(said.exists)
    found = json.loads(said.read_text())
    assert found["open"] == [kept]
    assert found["session"] != os.getsid(0)
    os.close(kept)


def _is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_the_keeper_outlives_who_began_it_and_has_the_lock(place, service, tmp_path, monkeypatch):
    """With real processes and the real clock; SIGHUP and SIGINT mean nothing to it, SIGTERM ends the pause."""
    pid = tmp_path / "pid"
    stop = service.stop

    def note_and_stop():
        pid.write_text(str(os.getpid()))
        stop()

    monkeypatch.setattr(service, "stop", note_and_stop)
    with only_keeper(place) as lock:
        keep(Keeper(place, PAUSE, service, tmp_path, 11434), lock)
    down = pauses.wait_until_down(place, "abc", 20)
    assert (down.phase, is_kept(place)) == ("down", True)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(int(pid.read_text()), number)
    wait(lambda: not is_kept(place))
    assert (place.read().phase, place.read().ended) == ("up", "told")


def test_the_run_ends_it_by_a_file(place, service, tmp_path):
    with only_keeper(place) as lock:
        keep(Keeper(place, PAUSE, service, tmp_path, 11434), lock)
    down = pauses.wait_until_down(place, "abc", 20)
    up = pauses.wait_until_up(place, down, 20)
    assert (up.phase, up.ended) == ("up", "released")


def test_a_keeper_that_was_killed_is_made_good(place, service, tmp_path, clock):
    place.write(replace(PAUSE, phase="down"))
    service.up = False
    left = pauses.wait_until_up(place, PAUSE, 20)
    assert (left.phase, service.did) == ("down", [])
    ended = pauses.start_orphan(service, left, tmp_path)
    assert (ended.phase, ended.ended, ended.absent_seconds) == ("up", "orphaned", None)
    assert service.up


def test_bring_back_counts_from_the_free_port(service, tmp_path, clock):
    clock.now = 12.5
    assert bring_back(service, PAUSE, tmp_path, 2.5).absent_seconds == 10


def test_roots_record_lies_where_users_cannot_write(monkeypatch):
    account = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(pauses.os, "geteuid", lambda: 0)
    assert str(pauses.place_of(account).folder).startswith("/Library/")
    monkeypatch.setattr(pauses.os, "geteuid", lambda: 501)
    assert str(pauses.place_of(account).folder).startswith(account.pw_dir)


def test_the_path_of_the_example_is_the_services():
    assert Place(pauses.Path("/x")).record.name == "pause.json"
    assert wanted_of(CONVERGED, LABEL, "gui").path(CONVERGED.home) == PATH
