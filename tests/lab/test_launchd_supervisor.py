"""The life of a job, second by second, with a made-up clock and made-up processes."""

from __future__ import annotations

import datetime
import signal
from typing import Any

import pytest
from mac.launchd import domains, job
from mac.launchd.decisions import State
from mac.launchd.supervisor import Service, Supervisor

GUI = domains.gui(501)
SUCCESS, FAILURE, CONFIG = 0, 1 << 8, 78 << 8


class FakeHost:
    """A world in which nothing happens unless the test says so."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.sent: list[tuple[int, int]] = []
        self.group_sent: list[tuple[int, int]] = []
        self.lines: list[str] = []
        self.spawned = 0

    def now(self) -> float:
        """Give the made-up time."""
        return self.clock

    def today(self) -> datetime.datetime:
        """Give the made-up day, a Saturday at ten."""
        return datetime.datetime(2026, 8, 22, 10, 0) + datetime.timedelta(seconds=self.clock - 1000)

    def spawn(self, _: Service) -> int:
        """Hand out the next process number."""
        self.spawned += 1
        return 100 + self.spawned

    def signal(self, pid: int, number: int) -> None:
        """Remember a signal."""
        self.sent.append((pid, number))

    def signal_group(self, pid: int, number: int) -> None:
        """Remember a signal to a group."""
        self.group_sent.append((pid, number))

    def log(self, _: str, message: str) -> None:
        """Remember a line."""
        self.lines.append(message)


class Story:
    """One supervised job and the means to let time pass."""

    def __init__(self, **plist: Any) -> None:
        self.host = FakeHost()
        self.supervisor = Supervisor(self.host)
        self.supervisor.open(GUI)
        definition = job.define({"Label": "x", "ProgramArguments": ["/bin/x"], **plist})
        self.job = self.supervisor.register(GUI, definition, "/x.plist")
        self.supervisor.tick()

    def wait(self, seconds: float) -> None:
        """Let time pass the way the event loop does: from deadline to deadline."""
        end = self.host.clock + seconds
        while True:
            deadline = self.supervisor.next_deadline()
            if deadline is None or deadline > end:
                break
            self.host.clock = max(self.host.clock, deadline)
            self.supervisor.tick()
        self.host.clock = end

    def exits(self, status: int) -> None:
        """Let the process end."""
        assert self.job.pid is not None
        self.supervisor.exited(self.job.pid, status)
        self.supervisor.tick()

    @property
    def registered(self) -> bool:
        """Say whether the label is taken."""
        return self.supervisor.find(GUI, "x") is not None


@pytest.mark.parametrize(
    ("plist", "state", "runs"),
    [
        pytest.param({"RunAtLoad": True}, State.RUNNING, 1, id="row 1 RunAtLoad"),
        pytest.param({"KeepAlive": True}, State.RUNNING, 1, id="row 1 KeepAlive"),
        pytest.param({}, State.IDLE, 0, id="row 1 neither"),
        pytest.param({"StartInterval": 60}, State.IDLE, 0, id="row 1 StartInterval"),
    ],
)
def test_loading_starts_what_asks_for_it(plist: dict[str, Any], state: State, runs: int) -> None:
    story = Story(**plist)
    assert (story.job.state, story.job.runs) == (state, runs)


def test_row_39_a_short_lived_job_is_throttled() -> None:
    story = Story(KeepAlive=True)
    story.wait(3)
    story.exits(FAILURE)
    assert (story.job.state, story.job.state_words, story.job.pid) == (
        State.THROTTLED,
        "spawn scheduled",
        None,
    )


@pytest.mark.parametrize(("seconds", "runs"), [(6.9, 1), (7.1, 2)], ids=["before", "after"])
def test_row_39_the_throttle_counts_from_the_last_spawn(seconds: float, runs: int) -> None:
    story = Story(KeepAlive=True)
    story.wait(3)
    story.exits(FAILURE)
    story.wait(seconds)
    assert story.job.runs == runs


def test_row_39_a_job_that_lived_long_enough_returns_at_once() -> None:
    story = Story(KeepAlive=True, ThrottleInterval=5)
    story.wait(5)
    story.exits(SUCCESS)
    assert (story.job.state, story.job.runs) == (State.RUNNING, 2)


def test_row_39_the_log_says_how_long_it_is_pushed_out() -> None:
    story = Story(KeepAlive=True)
    story.wait(2)
    story.exits(FAILURE)
    assert "Service only ran for 2 seconds. Pushing respawn out by 8 seconds." in story.host.lines


def test_row_41_a_job_that_cannot_be_set_up_keeps_trying() -> None:
    story = Story(KeepAlive=True)
    for _ in range(3):
        story.exits(CONFIG)
        story.wait(10)
    assert (story.job.runs, story.job.last_status, story.job.successive_crashes) == (4, CONFIG, 3)


def test_row_34_stop_lets_keepalive_start_it_again() -> None:
    story = Story(KeepAlive=True)
    story.wait(60)
    first = story.job.pid
    story.supervisor.stop(story.job)
    story.exits(SUCCESS)
    assert story.job.state is State.RUNNING
    assert story.job.pid != first


def test_row_34_stop_without_keepalive_leaves_it_loaded() -> None:
    story = Story(RunAtLoad=True)
    story.supervisor.stop(story.job)
    story.exits(SUCCESS)
    assert story.job.state is State.IDLE


def test_row_12_bootout_asks_first() -> None:
    story = Story(KeepAlive=True)
    pid = story.job.pid
    story.supervisor.remove(story.job)
    assert story.host.sent == [(pid, signal.SIGTERM)]
    assert (story.job.state, story.job.state_words, story.job.pid) == (State.DRAINING, "SIGTERMed", pid)


@pytest.mark.parametrize(
    ("plist", "seconds", "signals"),
    [
        pytest.param({}, 4.9, [signal.SIGTERM], id="before the default of 5 s"),
        pytest.param({}, 5.1, [signal.SIGTERM, signal.SIGKILL], id="after it"),
        pytest.param({"ExitTimeOut": 20}, 19, [signal.SIGTERM], id="ExitTimeOut 20"),
        pytest.param({"ExitTimeOut": 0}, 3600, [signal.SIGTERM], id="0 is infinite"),
    ],
)
def test_row_12_sigkill_comes_after_exit_timeout(plist: dict[str, Any], seconds: float, signals: list[int]) -> None:
    story = Story(KeepAlive=True, **plist)
    story.supervisor.remove(story.job)
    story.wait(seconds)
    assert [number for _, number in story.host.sent] == signals


def test_row_12_the_label_is_free_once_the_process_is_dead() -> None:
    story = Story(KeepAlive=True)
    story.supervisor.remove(story.job)
    story.exits(SUCCESS)
    assert not story.registered


@pytest.mark.parametrize(("seconds", "registered"), [(1.9, True), (2.1, False)], ids=["within", "after"])
@pytest.mark.parametrize("plist", [{"KeepAlive": True}, {}], ids=["running", "idle"])
def test_row_12_a_drain_holds_the_label(plist: dict[str, Any], seconds: float, registered: bool) -> None:
    story = Story(**plist)
    story.supervisor.remove(story.job, minimum=2.0)
    if story.job.alive:
        story.exits(SUCCESS)
    story.wait(seconds)
    assert story.registered is registered


def test_row_12_a_throttled_job_goes_at_once() -> None:
    story = Story(KeepAlive=True)
    story.exits(FAILURE)
    story.supervisor.remove(story.job)
    assert not story.registered


def test_row_17_whoever_waits_is_told_when_it_is_gone() -> None:
    story = Story(KeepAlive=True)
    told: list[bool] = []
    story.supervisor.remove(story.job, then=lambda: told.append(story.registered))
    assert told == []
    story.exits(SUCCESS)
    assert told == [False]


def test_row_21_kickstart_k_gives_a_new_process_and_keeps_the_definition() -> None:
    story = Story(KeepAlive=True)
    before, definition = story.job.pid, story.job.definition
    story.wait(60)
    story.supervisor.restart(story.job, lambda: None)
    story.exits(SUCCESS)
    assert story.job.pid != before
    assert (story.job.runs, story.job.definition) == (2, definition)


def test_row_21_kickstart_k_waits_out_the_throttle() -> None:
    story = Story(KeepAlive=True)
    story.supervisor.restart(story.job, lambda: None)
    story.exits(SUCCESS)
    assert story.job.state is State.THROTTLED


def test_row_21_kickstart_k_restarts_a_job_that_does_not_keep_alive() -> None:
    story = Story(RunAtLoad=True)
    story.wait(60)
    story.supervisor.restart(story.job, lambda: None)
    story.exits(SUCCESS)
    assert story.job.state is State.RUNNING


def test_a_bootout_ends_a_kickstart_that_waits() -> None:
    story = Story(KeepAlive=True)
    told: list[State] = []
    story.supervisor.restart(story.job, lambda: told.append(story.job.state))
    story.supervisor.remove(story.job)
    assert told == [State.DRAINING]


@pytest.mark.parametrize(
    ("plist", "group_signalled"),
    [
        pytest.param({}, True, id="by default"),
        pytest.param({"AbandonProcessGroup": True}, False, id="AbandonProcessGroup"),
    ],
)
def test_what_is_left_of_the_group_is_signalled(plist: dict[str, Any], group_signalled: bool) -> None:
    story = Story(RunAtLoad=True, **plist)
    story.exits(SUCCESS)
    assert bool(story.host.group_sent) is group_signalled


@pytest.mark.parametrize(("seconds", "runs"), [(59, 0), (61, 1), (121, 2)])
def test_an_interval_starts_again_and_again(seconds: float, runs: int) -> None:
    story = Story(StartInterval=60)
    for _ in range(int(seconds)):
        story.wait(1)
        if story.job.alive:
            story.exits(SUCCESS)
    assert story.job.runs == runs


def test_an_interval_does_not_start_a_second_process() -> None:
    story = Story(StartInterval=60)
    story.wait(200)
    assert story.host.spawned == 1


def test_a_calendar_interval_starts_at_its_minute() -> None:
    story = Story(StartCalendarInterval={"Minute": 5})
    story.wait(299)
    assert story.job.runs == 0
    story.wait(2)
    assert story.job.runs == 1


def test_an_unknown_child_is_only_reaped() -> None:
    story = Story(KeepAlive=True)
    story.supervisor.exited(99999, SUCCESS)
    assert story.job.state is State.RUNNING


def test_success_ends_a_row_of_crashes() -> None:
    story = Story(KeepAlive=True, ThrottleInterval=1)
    for status in (int(signal.SIGSEGV), FAILURE, SUCCESS):
        story.exits(status)
        story.wait(1)
    assert story.job.successive_crashes == 0


def test_closing_a_domain_waits_for_its_last_job() -> None:
    story = Story(KeepAlive=True)
    told: list[str] = []
    story.supervisor.close(GUI, lambda: told.append("gone"))
    assert story.supervisor.places[GUI].tearing_down
    story.exits(SUCCESS)
    assert (told, GUI in story.supervisor.places) == (["gone"], False)


def test_closing_a_domain_does_not_wait_for_ever() -> None:
    story = Story(KeepAlive=True, ExitTimeOut=0)
    story.supervisor.close(GUI, lambda: None)
    story.wait(21)
    assert story.host.sent[-1][1] == signal.SIGKILL


def test_a_fork_that_fails_is_tried_again() -> None:
    story = Story()

    def no_memory(_: Service) -> int:
        raise OSError("no memory")

    works, story.host.spawn = story.host.spawn, no_memory  # type: ignore[method-assign]
    story.supervisor.start(story.job, "test")
    assert story.host.spawned == 0
    story.host.spawn = works  # type: ignore[method-assign]
    story.wait(11)
    assert (story.host.spawned, story.job.state) == (1, State.RUNNING)
