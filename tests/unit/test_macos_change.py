"""A change of the service against a launchd made of values: whatever fails, the Mac keeps the service it had."""

from __future__ import annotations

import contextlib
import errno
import os
import plistlib
import pwd
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.fleet.service import HOMEBREW_LABEL, Found, Wanted, plan
from ansible.module_utils.fleet.vocabulary import Step
from ansible.module_utils.macos import change_record, files, launchctl, launchd_change, service_gate
from ansible.module_utils.macos.commands import Answer
from ansible.module_utils.macos.launchd_change import Change, ChangeFailed
from ansible.module_utils.macos.ollama_api import ApiError

from .examples import LABEL, RETIRED, definition, job_of

ACCOUNT = pwd.getpwuid(os.getuid())
UID = ACCOUNT.pw_uid
GUI = f"gui/{UID}"
TARGET = f"{GUI}/{LABEL}"


class Launchd:
    """Jobs in memory, loaded from real files; each knob is a way in which a real one was seen to behave."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.program = ""
        self.jobs = {}
        self.draining = {}
        self.calls = []
        self.now = 0.0
        self.drain_reads = 2
        self.refusals = []
        self.drops = False
        self.sleepy = False
        self.strangers = []
        self.loads = []
        self.unloadable = ""
        self.immortal = False
        self.breaks = lambda content: content.get("EnvironmentVariables", {}).get("OLLAMA_HOST") == "broken"
        self._pids = iter(range(100, 10**6))

    # What launchd_change calls.
    def launchctl(self, verb, *words, timeout=20):
        """Answer as launchctl does, and remember the call."""
        assert timeout
        self.calls.append((verb, *words))
        return getattr(self, f"_{verb}")(*words)

    def read_job(self, domain, label):
        """Return the job, also while it is draining."""
        target = f"{domain}/{label}"
        if target in self.draining:
            self.draining[target] -= 1
            if self.draining[target] < 0:
                del self.draining[target], self.jobs[target]
        return self.jobs.get(target)

    def version(self, timeout=3):
        """Answer when a process serves."""
        assert timeout
        if not self.serving():
            message = "[Errno 61] Connection refused"
            raise ApiError(message)
        return "0.32.15"

    def call(self, _method, _path, body, timeout=10):
        """Load a model, which a server of this version may not be able to."""
        assert timeout
        self.loads.append(body["model"])
        if self.unloadable:
            raise ApiError(self.unloadable, 500)

    def read_listener(self, _port):
        """Say who holds the port."""
        pids = [*self.strangers, *(job.pid for job in self.serving())]
        return {"pids": pids, "commands": ["other"] * len(self.strangers) + ["ollama"] * len(pids), "open": bool(pids)}

    def sleep(self, seconds):
        """Let the time pass."""
        self.now += seconds

    # What launchd does.
    def serving(self):
        """Return the jobs whose process answers."""
        return [job for target, job in self.jobs.items() if job.pid and target not in self.draining]

    def start(self, content, path, domain=GUI, pid=None):
        """Load and start what a file says."""
        target = f"{domain}/{content['Label']}"
        broken = self.breaks(content)
        state, pid = ("spawn scheduled", None) if broken else ("running", pid or next(self._pids))
        exit_words = "last exit code = 1" if broken else "last exit code = (never exited)"
        if self.sleepy and not broken:
            state, pid = "not running", None
        self.jobs[target] = job_of(content, domain, str(path), state=state, pid=pid, last_exit=exit_words)

    def _bootstrap(self, domain, path):
        content = plistlib.loads(Path(path).read_bytes())
        target = f"{domain}/{content['Label']}"
        if self.refusals:
            return Answer(self.refusals.pop(0), "", "Bootstrap failed: refused")
        if target in self.jobs:
            return Answer(launchctl.IO_ERROR, "", "Bootstrap failed: 5: Input/output error")
        if not self.drops:
            self.start(content, path, domain)
        return Answer(0, "", "")

    def _bootout(self, target):
        if target not in self.jobs:
            return Answer(launchctl.NO_SUCH_PROCESS, "", "Boot-out failed: 3: No such process")
        self.draining[target] = self.drain_reads
        return Answer(0, "", "")

    def _kickstart(self, target):
        job = self.jobs[target]
        self.jobs[target] = replace(job, state="running", pid=next(self._pids))
        return Answer(0, "", "")

    def _kill(self, _signal, target):
        if not self.immortal:
            self.draining[target] = 0
        return Answer(0, "", "")

    def _enable(self, _target):
        return Answer(0, "", "")


def record_of(mac, label=LABEL):
    return mac.home / "records" / f"{label}.json"


@pytest.fixture
def mac(tmp_path, monkeypatch):
    """Put a launchd made of values in the place of the real one, and a clock that only sleeping moves."""
    made = Launchd(tmp_path)
    program = tmp_path / "ollama"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made.program = str(program)
    (tmp_path / "Library" / "LaunchAgents").mkdir(parents=True)
    (tmp_path / "err.log").write_text("starting\nError: listen tcp: bind: address already in use\n")
    monkeypatch.setattr(launchd_change, "launchctl", made.launchctl)
    monkeypatch.setattr(launchd_change, "read_job", made.read_job)
    monkeypatch.setattr(launchd_change, "run", lambda _argv, **_options: Answer(0, "", ""))
    monkeypatch.setattr(service_gate, "read_listener", made.read_listener)
    monkeypatch.setattr(service_gate, "run", lambda _argv, **_options: Answer(0, "ollama version is 0.32.15\n", ""))
    monkeypatch.setattr(service_gate.Api, "version", lambda _api, timeout=3: made.version(timeout))
    monkeypatch.setattr(service_gate.Api, "call", made.call)
    monkeypatch.setattr(service_gate.ServerGate, "is_bound", lambda _gate: bool(made.serving()))
    monkeypatch.setattr(launchd_change, "time", SimpleNamespace(sleep=made.sleep, monotonic=lambda: made.now))
    monkeypatch.setattr(change_record, "record_path", lambda _account, label: record_of(made, label))
    return made


def content_for(mac, host, label=LABEL, **changes):
    return definition(
        Label=label,
        ProgramArguments=[mac.program, "serve"],
        EnvironmentVariables={"OLLAMA_HOST": host},
        StandardErrorPath=str(mac.home / "err.log"),
        StandardOutPath=str(mac.home / "out.log"),
        **changes,
    )


def path_of(mac, label=LABEL):
    return mac.home / "Library" / "LaunchAgents" / f"{label}.plist"


def installed(mac, host="127.0.0.1", label=LABEL):
    """Put a running service there, in bytes that no plistlib would write; return the bytes."""
    content = content_for(mac, host, label)
    raw = plistlib.dumps(content, sort_keys=False).replace(b"<dict>", b"<!-- written by hand --><dict>", 1)
    path_of(mac, label).write_bytes(raw)
    path_of(mac, label).chmod(0o644)
    mac.start(content, path_of(mac, label))
    return raw


def found_on(mac):
    files = tuple(
        launchctl.File(str(path), path.stem, launchctl.read_definition(path), path.stat().st_mode & 0o7777, path.stat().st_uid)
        for path in sorted((mac.home / "Library" / "LaunchAgents").glob("*.plist"))
    )
    unfinished = frozenset({LABEL} if record_of(mac).exists() else ())
    return Found(UID, str(mac.home), files, tuple(mac.jobs.values()), ((GUI, frozenset()),), unfinished=unfinished)


def change(mac, host="0.0.0.0", content=None, *, residents=(), undo=None):
    """Bring the service to this address, as the module does; return the seconds without an answer."""
    wanted = Wanted(LABEL, "gui", content or content_for(mac, host), RETIRED)
    found = found_on(mac)
    steps = (*plan(found, wanted), *(Step("load", name, "not loaded", "loaded for good") for name in residents))
    assert steps
    outcome = Change(found, wanted, ACCOUNT, service_gate.ServerGate("http://127.0.0.1:1", 1), 30, undo).carry_out(steps)
    assert plan(found_on(mac), wanted) == ()
    assert not record_of(mac).exists()
    return outcome.gap_seconds


def verbs(mac):
    return [call[0] for call in mac.calls]


def left_behind(mac):
    return sorted(path.name for path in (mac.home / "Library" / "LaunchAgents").iterdir())


# Changes that succeed. --------------------------------------------------------------------------------------------------


def test_a_first_service_is_written_and_started(mac):
    assert change(mac) is None
    assert verbs(mac) == ["bootstrap"]
    assert plistlib.loads(path_of(mac).read_bytes()) == content_for(mac, "0.0.0.0")
    assert path_of(mac).stat().st_mode & 0o7777 == 0o644
    assert mac.jobs[TARGET].pid


def test_the_file_is_the_same_to_the_byte_whatever_the_order_of_the_keys(mac):
    change(mac)
    first = path_of(mac).read_bytes()
    path_of(mac).write_bytes(b"")
    change(mac, content=dict(reversed(content_for(mac, "0.0.0.0").items())))
    assert path_of(mac).read_bytes() == first


def test_the_folder_is_made_where_there_is_none(mac):
    (mac.home / "Library" / "LaunchAgents").rmdir()
    change(mac)
    assert path_of(mac).parent.stat().st_mode & 0o777 == 0o755


def test_a_new_definition_reaches_the_process_and_the_gap_is_told(mac):
    installed(mac)
    gap = change(mac)
    assert verbs(mac) == ["bootout", "bootstrap"]
    assert gap == pytest.approx(0.2, abs=0.2)
    assert mac.jobs[TARGET].environment["OLLAMA_HOST"] == "0.0.0.0"


def test_a_slow_end_of_the_old_process_is_waited_for(mac):
    installed(mac)
    mac.drain_reads = 150
    assert change(mac) >= 5
    assert verbs(mac) == ["bootout", "bootstrap"]


def test_a_file_mended_beside_a_right_job_touches_no_job(mac):
    content = content_for(mac, "0.0.0.0")
    mac.start(content, path_of(mac))
    before = dict(mac.jobs)
    assert change(mac) is None
    assert mac.calls == []
    assert mac.jobs == before


def test_a_mode_is_mended_without_a_new_file(mac):
    mac.start(content_for(mac, "0.0.0.0"), path_of(mac))
    change(mac)
    inode = path_of(mac).stat().st_ino
    path_of(mac).chmod(0o666)
    change(mac)
    assert (path_of(mac).stat().st_ino, path_of(mac).stat().st_mode & 0o7777) == (inode, 0o644)
    assert mac.calls == []


def test_a_symbolic_link_becomes_a_real_file_and_its_target_keeps_its_content(mac):
    content = content_for(mac, "0.0.0.0")
    elsewhere = mac.home / "dotfiles.plist"
    elsewhere.write_bytes(b"precious")
    path_of(mac).symlink_to(elsewhere)
    mac.start(content, path_of(mac))
    change(mac)
    assert not path_of(mac).is_symlink()
    assert elsewhere.read_bytes() == b"precious"


@pytest.mark.parametrize("codes", [[5], [37], [5, 37, 5]], ids=str)
def test_a_label_that_is_still_draining_is_tried_again(mac, codes):
    mac.refusals = list(codes)
    change(mac)
    assert verbs(mac) == ["bootstrap"] * (len(codes) + 1)


def test_a_job_that_was_loaded_and_never_started_is_started_once(mac):
    mac.sleepy = True
    change(mac)
    assert verbs(mac) == ["bootstrap", "kickstart"]


def test_older_services_go_with_their_files(mac):
    installed(mac, label=HOMEBREW_LABEL)
    gap = change(mac)
    assert verbs(mac) == ["bootout", "bootstrap"]
    assert left_behind(mac) == [f"{LABEL}.plist"]
    assert list(mac.jobs) == [TARGET]
    assert gap is not None


# Changes that fail. -----------------------------------------------------------------------------------------------------


def failure(mac, host="broken", content=None, **options):
    with pytest.raises(ChangeFailed) as caught:
        change(mac, host, content, **options)
    return caught.value


def test_a_service_that_does_not_come_up_is_taken_back_to_the_byte(mac):
    raw = installed(mac)
    path_of(mac).chmod(0o600)
    problem = failure(mac)
    assert path_of(mac).read_bytes() == raw
    assert path_of(mac).stat().st_mode & 0o7777 == 0o600
    assert left_behind(mac) == [f"{LABEL}.plist"]
    assert mac.jobs[TARGET].environment["OLLAMA_HOST"] == "127.0.0.1"
    assert mac.jobs[TARGET].pid
    assert problem.restored is True


def test_a_failure_speaks_of_service_cause_log_and_outcome(mac):
    installed(mac)
    sentence = str(failure(mac))
    for words in (
        TARGET,
        "last exit code = 1",
        str(mac.home / "err.log"),
        "address already in use",
        "as it was before runs again",
    ):
        assert words in sentence


def test_a_first_service_that_does_not_come_up_leaves_nothing_behind(mac):
    problem = failure(mac)
    assert left_behind(mac) == []
    assert mac.jobs == {}
    assert problem.restored is False
    assert "nothing was left behind" in str(problem)


@pytest.mark.parametrize("label", [HOMEBREW_LABEL, "com.ollama.serve"])
def test_an_older_service_comes_back_with_its_file(mac, label):
    raw = installed(mac, label=label)
    problem = failure(mac)
    assert left_behind(mac) == [f"{label}.plist"]
    assert path_of(mac, label).read_bytes() == raw
    assert mac.jobs[f"{GUI}/{label}"].pid
    assert list(mac.jobs) == [f"{GUI}/{label}"]
    assert problem.restored is True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_comes_back_to_its_owner(mac):
    installed(mac, label=HOMEBREW_LABEL)
    os.chown(path_of(mac, HOMEBREW_LABEL), 12345, 54321)
    failure(mac)
    status = path_of(mac, HOMEBREW_LABEL).stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)


@pytest.mark.parametrize("code", [1, 112, 125], ids=["not permitted", "no domain", "nobody logged in"])
def test_a_refusal_that_another_try_would_repeat_is_final(mac, code):
    mac.refusals = [code]
    problem = failure(mac, "0.0.0.0")
    assert verbs(mac).count("bootstrap") == 1
    assert f"answered {code}" in str(problem)


def test_a_launchd_that_never_takes_it_is_given_up_and_the_old_one_comes_back(mac):
    raw = installed(mac)
    mac.refusals = [5] * 7
    problem = failure(mac, "0.0.0.0")
    assert "bootstrap" in str(problem)
    assert path_of(mac).read_bytes() == raw
    assert mac.jobs[TARGET].pid


def test_a_job_that_launchd_drops_again_is_a_failure_that_names_login_items(mac):
    mac.drops = True
    assert "Login Items" in str(failure(mac, "0.0.0.0"))


def test_a_process_that_never_ends_is_a_failure(mac):
    installed(mac)
    mac.drain_reads = 10**6
    mac.immortal = True
    assert "still registered" in str(failure(mac, "0.0.0.0"))


def test_a_process_that_does_not_end_by_itself_is_ended_as_launchd_would(mac):
    installed(mac)
    mac.drain_reads = 10**6
    change(mac)
    assert verbs(mac) == ["bootout", "kill", "bootstrap"]


def test_an_answer_of_somebody_else_is_no_answer(mac, monkeypatch):
    mac.start(content_for(mac, "127.0.0.1"), path_of(mac))
    path_of(mac).write_bytes(plistlib.dumps(content_for(mac, "127.0.0.1")))
    listeners = iter([mac.read_listener(1)])
    stranger = {"pids": [7], "commands": ["Ollama"], "open": True}
    monkeypatch.setattr(service_gate, "read_listener", lambda _port: next(listeners, stranger))
    assert "process 7 answers on port 1" in str(failure(mac, "0.0.0.0"))


def untouched(mac, raw, words, **options):
    before = dict(mac.jobs)
    problem = failure(mac, **options)
    assert [verb for verb in verbs(mac) if verb != "enable"] == []
    assert path_of(mac).read_bytes() == raw
    assert left_behind(mac) == [f"{LABEL}.plist"]
    assert mac.jobs == before
    assert words in str(problem)


def test_a_port_held_by_a_stranger_is_found_before_anything_is_touched(mac):
    raw = installed(mac)
    mac.strangers = [7]
    untouched(mac, raw, "other (process 7)", host="0.0.0.0")


def test_a_port_held_by_another_user_is_found_before_anything_is_touched(mac, monkeypatch):
    raw = plistlib.dumps(content_for(mac, "127.0.0.1"))
    path_of(mac).write_bytes(raw)
    monkeypatch.setattr(service_gate, "read_listener", lambda _port: {"pids": [], "commands": [], "open": True})
    untouched(mac, raw, "a process of another user", host="0.0.0.0")


def test_a_program_that_is_not_there_is_found_before_anything_is_touched(mac):
    raw = installed(mac)
    content = {**content_for(mac, "0.0.0.0"), "ProgramArguments": ["/nowhere/ollama", "serve"]}
    untouched(mac, raw, "/nowhere/ollama does not exist", content=content)


@pytest.mark.parametrize("answer", [Answer(126, "", "bad CPU type"), OSError("it hangs")], ids=["fails", "hangs"])
def test_a_program_that_cannot_run_is_found_before_anything_is_touched(mac, monkeypatch, answer):
    raw = installed(mac)

    def run(_argv, **_options):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(service_gate, "run", run)
    try:
        untouched(mac, raw, "bad CPU type" if isinstance(answer, Answer) else "it hangs", host="0.0.0.0")
    except OSError as problem:
        pytest.fail(f"{problem!r} came through instead of a sentence")


def test_a_log_that_cannot_be_written_is_found_before_anything_is_touched(mac, monkeypatch):
    raw = installed(mac)
    log = mac.home / "err.log"
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != log and allowed(path, mode))
    untouched(mac, raw, str(log), host="0.0.0.0")


# A server that answers and cannot work. -----------------------------------------------------------------------------------


def test_residents_are_back_before_a_change_has_succeeded(mac):
    installed(mac)
    change(mac, residents=["gpt-oss:20b", "qwen3:8b"])
    assert mac.loads == ["gpt-oss:20b", "qwen3:8b"]


def test_a_server_that_cannot_load_is_taken_back(mac):
    raw = installed(mac)
    mac.unloadable = "llama-server binary not found"
    problem = failure(mac, "0.0.0.0", residents=["qwen3:8b"])
    assert "cannot load qwen3:8b: llama-server binary not found" in str(problem)
    assert path_of(mac).read_bytes() == raw
    assert mac.jobs[TARGET].environment["OLLAMA_HOST"] == "127.0.0.1"
    assert problem.restored is True


def test_the_old_service_gets_its_residents_back(mac):
    installed(mac)
    failure(mac, residents=["qwen3:8b"])
    assert mac.loads == ["qwen3:8b"]
    assert mac.jobs[TARGET].environment["OLLAMA_HOST"] == "127.0.0.1"


def test_what_was_changed_outside_launchd_is_taken_back_before_the_old_service_starts(mac):
    installed(mac)
    running = []
    failure(mac, undo=lambda: running.append(mac.serving()))
    assert running == [[]] or all(job.environment["OLLAMA_HOST"] == "broken" for job in running[0])
    assert len(running) == 1


def test_what_cannot_be_taken_back_is_said(mac):
    def undo():
        message = "the old keg is gone"
        raise OSError(message)

    installed(mac)
    assert "The old keg is gone." in str(failure(mac, undo=undo))


# What ran, which is not always what a file says. ----------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["newer", "gone", "rubbish"])
def test_the_definition_that_ran_comes_back_whatever_its_file_says(mac, file):
    installed(mac)
    said = {"newer": plistlib.dumps(content_for(mac, "192.168.1.20")), "gone": None, "rubbish": b"no plist"}[file]
    path_of(mac).unlink() if said is None else path_of(mac).write_bytes(said)
    problem = failure(mac)
    assert problem.restored is True
    assert mac.jobs[TARGET].environment["OLLAMA_HOST"] == "127.0.0.1"
    assert (path_of(mac).read_bytes() if path_of(mac).exists() else None) == said


# Power cuts: every single effect, not a sample. -----------------------------------------------------------------------------


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches the real one."""


EFFECTS = (
    (launchd_change, "launchctl"),
    (launchd_change, "replace_file"),
    (change_record, "replace_file"),
    (change_record, "forget"),
)


def cut_after(monkeypatch, effects):
    """Let the power fail right before the effect after this many; return what was done."""
    done = []

    def counted(name, real):
        def effect(*words, **options):
            if len(done) == effects:
                raise PowerCut
            done.append(name)
            return real(*words, **options)

        return effect

    for module, name in EFFECTS:
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    return done


def boot(mac):
    """Start what lies in the folder, as the next login does."""
    mac.jobs, mac.draining, mac.calls = {}, {}, []
    for path in sorted((mac.home / "Library" / "LaunchAgents").glob("*.plist")):
        mac.start(plistlib.loads(path.read_bytes()), path)


STARTS = {
    "nothing": lambda _mac: None,
    "an older definition": installed,
    "an older label": lambda mac: installed(mac, label="com.ollama.serve"),
    "brew services": lambda mac: installed(mac, label=HOMEBREW_LABEL),
}


@pytest.mark.parametrize("booted", [True, False], ids=["and a boot", "of the run alone"])
@pytest.mark.parametrize("outcome", ["good", "bad"])
@pytest.mark.parametrize("start", STARTS)
def test_a_power_cut_at_any_effect_loses_nothing(mac, start, outcome, booted):
    """After a cut, the same change again ends as if there had been none: done, or with the very service that was there first."""
    host = {"good": "0.0.0.0", "bad": "broken"}[outcome]
    raw = STARTS[start](mac)
    before = {path.name: path.read_bytes() for path in (mac.home / "Library" / "LaunchAgents").iterdir()}
    effects = 0
    while True:
        with pytest.MonkeyPatch.context() as patched:
            done = cut_after(patched, effects)
            with contextlib.suppress(PowerCut, ChangeFailed):
                change(mac, host)
        cut = len(done) == effects
        if raw is not None:
            assert list((mac.home / "Library" / "LaunchAgents").glob("*.plist")), f"no server would start after {done}"
        if booted:
            boot(mac)
        mac.drain_reads = 2
        if outcome == "good":
            if plan(found_on(mac), Wanted(LABEL, "gui", content_for(mac, host), RETIRED)):
                change(mac, host)
            assert [path.name for path in (mac.home / "Library" / "LaunchAgents").glob("*.plist")] == [f"{LABEL}.plist"]
            assert list(mac.jobs) == [TARGET]
            assert mac.jobs[TARGET].environment["OLLAMA_HOST"] == host
        else:
            if plan(found_on(mac), Wanted(LABEL, "gui", content_for(mac, host), RETIRED)):
                failure(mac, host)
            left = {path.name: path.read_bytes() for path in (mac.home / "Library" / "LaunchAgents").glob("*.plist")}
            assert left == before, f"cut after {done}"
            assert {job.environment["OLLAMA_HOST"] for job in mac.serving()} == ({"127.0.0.1"} if raw else set())
        assert not record_of(mac).exists()
        if not cut:
            break
        effects += 1
        for path in (mac.home / "Library" / "LaunchAgents").glob("*"):
            path.unlink()
        mac.jobs, mac.draining, mac.calls = {}, {}, []
        STARTS[start](mac)
    assert effects >= 4


# The write itself. ------------------------------------------------------------------------------------------------------


def test_no_name_in_between_would_be_loaded_by_launchd(mac, monkeypatch):
    names = []
    make = files.tempfile.mkstemp

    def mkstemp(**options):
        handle, name = make(**options)
        names.append(Path(name))
        return handle, name

    monkeypatch.setattr(files.tempfile, "mkstemp", mkstemp)
    change(mac)
    assert names
    assert all(name.suffix != ".plist" and not name.exists() for name in names)
    assert {name.parent for name in names} == {path_of(mac).parent, record_of(mac).parent}
    assert left_behind(mac) == [f"{LABEL}.plist"]


def full_disk(*_words, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["mkstemp", "fsync"])
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"], ids=["new definition", "file alone"])
def test_a_full_disk_leaves_a_healthy_service_running(mac, monkeypatch, where, host):
    raw = installed(mac)
    if host == "127.0.0.1":
        # Only the file differs from what runs.
        raw = plistlib.dumps(content_for(mac, "10.0.0.1"))
        path_of(mac).write_bytes(raw)
    monkeypatch.setattr(files.tempfile if where == "mkstemp" else os, where, full_disk)
    untouched(mac, raw, "No space left on device", host=host)


# Down for a while. ------------------------------------------------------------------------------------------------------


def change_of(mac):
    found = found_on(mac)
    wanted = Wanted(LABEL, "gui", launchctl.read_definition(path_of(mac)))
    return Change(found, wanted, ACCOUNT, service_gate.ServerGate("http://127.0.0.1:1", 1), 30)


def test_a_service_goes_down_and_comes_back_from_the_same_file(mac):
    raw = installed(mac)
    paused = change_of(mac)
    paused.stop()
    assert (mac.serving(), TARGET in mac.jobs) == ([], False)
    paused.start()
    assert verbs(mac) == ["bootout", "bootstrap"]
    assert path_of(mac).read_bytes() == raw
    paused.start()
    assert verbs(mac) == ["bootout", "bootstrap"], "what runs is not started again"


def test_a_service_that_does_not_come_back_stays_loaded(mac):
    installed(mac)
    paused = change_of(mac)
    paused.stop()
    mac.breaks = lambda _content: True
    with pytest.raises(ChangeFailed, match="it ended at once"):
        paused.start()
    assert TARGET in mac.jobs
    assert "bootout" not in verbs(mac)[1:]
