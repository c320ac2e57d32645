"""The steps from what launchd holds to what it should: table, laws on a simulated Mac, refusals."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ansible.module_utils.fleet.service import (
    HOMEBREW_LABEL,
    MODE,
    File,
    Found,
    Wanted,
    definition_of,
    file_differences,
    live_differences,
    needs_root,
    plan,
    restart,
    restarts,
)
from ansible.module_utils.fleet.vocabulary import Step
from hypothesis import given
from hypothesis import strategies as st

from .examples import (
    BARE,
    CONVERGED,
    DAEMON_PATH,
    DEFINITION,
    HOME,
    LABEL,
    PATH,
    PROGRAM,
    RETIRED,
    TARGET,
    UID,
    WANTED,
    definition,
    file_of,
    job_of,
)

BREW = {
    "EnvironmentVariables": {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"},
    "KeepAlive": True,
    "Label": HOMEBREW_LABEL,
    "ProgramArguments": [PROGRAM, "serve"],
    "RunAtLoad": True,
}
BREW_AGENT = f"{HOME}/Library/LaunchAgents/{HOMEBREW_LABEL}.plist"
BREW_DAEMON = f"/Library/LaunchDaemons/{HOMEBREW_LABEL}.plist"
OLDER = definition(Label="com.ollama.serve")
OLDER_PATH = f"{HOME}/Library/LaunchAgents/com.ollama.serve.plist"
DAEMON = Wanted(LABEL, "system", definition(UserName="felipe"), RETIRED)
LOOPBACK = definition(EnvironmentVariables={"OLLAMA_HOST": "127.0.0.1"})


def acts(steps):
    return [(step.action, step.item) for step in steps]


def with_jobs(*jobs, files=CONVERGED.files):
    return replace(CONVERGED, jobs=jobs, files=files)


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        pytest.param(CONVERGED, [], id="converged"),
        pytest.param(BARE, [("write", PATH), ("bootstrap", TARGET)], id="bare"),
        pytest.param(replace(CONVERGED, files=()), [("write", PATH)], id="file gone while the job runs"),
        pytest.param(replace(CONVERGED, jobs=()), [("bootstrap", TARGET)], id="booted out"),
        pytest.param(replace(CONVERGED, files=(file_of(LOOPBACK),)), [("write", PATH)], id="file alone edited"),
        pytest.param(
            replace(CONVERGED, files=(file_of(definition(RunAtLoad=False)),)), [("write", PATH)], id="RunAtLoad flipped"
        ),
        pytest.param(replace(CONVERGED, files=(file_of(None),)), [("write", PATH)], id="file is no property list"),
        pytest.param(with_jobs(job_of(LOOPBACK)), [("reload", TARGET)], id="right file, stale definition in memory"),
        pytest.param(
            with_jobs(job_of(LOOPBACK), files=(file_of(LOOPBACK),)), [("write", PATH), ("reload", TARGET)], id="both stale"
        ),
        pytest.param(
            with_jobs(job_of(definition(KeepAlive=False)), files=(file_of(definition(KeepAlive=False)),)),
            [("write", PATH), ("reload", TARGET)],
            id="KeepAlive off",
        ),
        pytest.param(with_jobs(job_of(DEFINITION, path="/elsewhere.plist")), [("reload", TARGET)], id="loaded from another file"),
        pytest.param(
            replace(CONVERGED, files=(file_of(definition(Umask=63)),)),
            [("write", PATH), ("reload", TARGET)],
            id="a key changed that launchd does not show",
        ),
        pytest.param(
            replace(BARE, files=CONVERGED.files, disabled=((f"gui/{UID}", frozenset({LABEL})),)),
            [("enable", TARGET), ("bootstrap", TARGET)],
            id="disabled and not loaded",
        ),
        pytest.param(
            replace(CONVERGED, disabled=((f"gui/{UID}", frozenset({LABEL})),)), [("enable", TARGET)], id="disabled, still running"
        ),
        pytest.param(
            replace(CONVERGED, disabled=((f"gui/{UID}", frozenset({"com.apple.Siri"})),)), [], id="another label is disabled"
        ),
        pytest.param(
            with_jobs(job_of(DEFINITION, domain=f"user/{UID}")),
            [("bootout", f"user/{UID}/{LABEL}"), ("bootstrap", TARGET)],
            id="job in the user domain",
        ),
        pytest.param(
            with_jobs(job_of(DEFINITION, domain="system", path=DAEMON_PATH), files=(file_of(DEFINITION, DAEMON_PATH),)),
            [("write", PATH), ("bootout", f"system/{LABEL}"), ("remove", DAEMON_PATH), ("bootstrap", TARGET)],
            id="daemon that should be an agent",
        ),
        pytest.param(
            replace(BARE, jobs=(job_of(BREW, path=BREW_AGENT),), files=(file_of(BREW, BREW_AGENT),)),
            [("write", PATH), ("bootout", f"gui/{UID}/{HOMEBREW_LABEL}"), ("remove", BREW_AGENT), ("bootstrap", TARGET)],
            id="brew services, started by the user",
        ),
        pytest.param(
            replace(BARE, jobs=(job_of(BREW, f"user/{UID}", BREW_AGENT),), files=(file_of(BREW, BREW_AGENT),)),
            [("write", PATH), ("bootout", f"user/{UID}/{HOMEBREW_LABEL}"), ("remove", BREW_AGENT), ("bootstrap", TARGET)],
            id="brew services, started over ssh",
        ),
        pytest.param(
            replace(BARE, jobs=(job_of(BREW, "system", BREW_DAEMON),), files=(file_of(BREW, BREW_DAEMON),)),
            [("write", PATH), ("bootout", f"system/{HOMEBREW_LABEL}"), ("remove", BREW_DAEMON), ("bootstrap", TARGET)],
            id="brew services, started with sudo",
        ),
        pytest.param(
            replace(CONVERGED, files=(*CONVERGED.files, file_of(BREW, BREW_AGENT))),
            [("remove", BREW_AGENT)],
            id="file of brew services without its job",
        ),
        pytest.param(
            replace(BARE, jobs=(job_of(OLDER, path=OLDER_PATH),), files=(file_of(OLDER, OLDER_PATH),)),
            [("write", PATH), ("bootout", f"gui/{UID}/com.ollama.serve"), ("remove", OLDER_PATH), ("bootstrap", TARGET)],
            id="older label",
        ),
        pytest.param(
            replace(CONVERGED, files=(*CONVERGED.files, file_of(DEFINITION, f"{HOME}/Library/LaunchAgents/copy.plist"))),
            [("remove", f"{HOME}/Library/LaunchAgents/copy.plist")],
            id="a copy of the file under another name",
        ),
        pytest.param(replace(CONVERGED, files=(file_of(DEFINITION, mode=0o664),)), [("protect", PATH)], id="others may write it"),
        pytest.param(replace(CONVERGED, files=(file_of(DEFINITION, symlink=True),)), [("write", PATH)], id="symbolic link"),
        pytest.param(
            with_jobs(job_of(DEFINITION, state="not running", pid=None)), [("kickstart", TARGET)], id="loaded and never started"
        ),
        pytest.param(
            with_jobs(job_of(DEFINITION, state="spawn scheduled", pid=None, last_exit="last exit code = 1")),
            [("reload", TARGET)],
            id="launchd waits before the next try",
        ),
        pytest.param(
            with_jobs(job_of(DEFINITION, runs=7, last_exit="last terminating signal = Killed: 9")),
            [],
            id="an earlier run ended badly, the present one is healthy",
        ),
        pytest.param(replace(CONVERGED, jobs=(*CONVERGED.jobs, job_of(definition(Label="com.other")))), [], id="jobs of others"),
        pytest.param(
            replace(CONVERGED, files=(file_of(definition(ThrottleInterval=99)),)),
            [("write", PATH), ("reload", TARGET)],
            id="a key taken out whose default launchd does not tell apart",
        ),
        pytest.param(with_jobs(job_of(DEFINITION, spawn_type="interactive")), [("reload", TARGET)], id="another process type"),
        pytest.param(with_jobs(job_of(DEFINITION, spawn_type="background")), [], id="a process type nobody has seen printed"),
        pytest.param(
            replace(CONVERGED, running_version="0.32.14", program_version="0.32.15"),
            [("reload", TARGET)],
            id="the running server is older than the installed one",
        ),
        pytest.param(replace(CONVERGED, running_version="0.32.15", program_version="0.32.15"), [], id="the same version"),
        pytest.param(replace(CONVERGED, running_version="", program_version="0.32.15"), [], id="what runs is not known"),
        pytest.param(replace(CONVERGED, running_version="0.32.15", program_version=""), [], id="a program outside the Cellar"),
        pytest.param(replace(CONVERGED, unfinished="/x"), [("finish", TARGET)], id="a change that was cut short"),
        pytest.param(
            replace(BARE, unfinished="/x"), [("write", PATH), ("bootstrap", TARGET)], id="cut short, and the plan goes on anyway"
        ),
        pytest.param(
            replace(CONVERGED, unfinished="/x", files=()),
            [("write", PATH), ("finish", TARGET)],
            id="cut short, and the file alone is missing",
        ),
    ],
)
def test_plan(found, steps):
    assert acts(plan(found, WANTED)) == steps


APP = job_of(definition(Label="com.ollama.ollama"), path="(submitted by smd.12)")


@pytest.mark.parametrize(
    ("muted", "disabled", "steps"),
    [
        ((), frozenset(), []),
        (("com.ollama.ollama",), frozenset(), [("bootout", APP.target), ("disable", APP.target)]),
        (("com.ollama.ollama",), frozenset({"com.ollama.ollama"}), [("bootout", APP.target)]),
    ],
    ids=["left alone", "taken out of the way", "disabled already"],
)
def test_the_login_item_of_an_application_is_muted_only_where_that_is_wanted(muted, disabled, steps):
    found = replace(CONVERGED, jobs=(*CONVERGED.jobs, APP), disabled=((f"gui/{UID}", disabled),))
    assert acts(plan(found, replace(WANTED, muted=muted))) == steps


def test_a_timed_job_is_as_it_should_be_without_a_process():
    timed = definition(KeepAlive=None, StartInterval=60)
    wanted = Wanted(LABEL, "gui", timed)
    idle = job_of(timed, state="not running", pid=None, last_exit="last exit code = 0", run_interval=60)
    assert plan(with_jobs(idle, files=(file_of(timed),)), wanted) == ()
    assert acts(plan(with_jobs(replace(idle, run_interval=30), files=(file_of(timed),)), wanted)) == [("reload", TARGET)]
    assert acts(plan(with_jobs(idle, files=(file_of(timed),)), WANTED)) == [("write", PATH), ("reload", TARGET)]


def test_a_job_that_was_switched_off_says_so_where_that_can_be_told():
    (step,) = plan(replace(CONVERGED, jobs=()), WANTED)
    assert "Login Items" in step.found
    (*_, step) = plan(BARE, WANTED)
    assert step.found == "not loaded"


def test_the_environment_of_a_service_that_goes_is_written_down_in_its_step():
    found = replace(BARE, jobs=(job_of(BREW, path=BREW_AGENT),), files=(file_of(BREW, BREW_AGENT),))
    (gone,) = (step for step in plan(found, WANTED) if step.action == "bootout")
    assert gone.found["environment"] == BREW["EnvironmentVariables"]


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (CONVERGED, [("reload", TARGET)]),
        (replace(CONVERGED, unfinished="/x"), [("reload", TARGET)]),
        (BARE, [("write", PATH), ("bootstrap", TARGET)]),
    ],
    ids=["healthy", "after a cut", "starts anyway"],
)
def test_a_restart_that_is_asked_for_is_one_full_stop_and_start(found, steps):
    assert acts(restart(found, WANTED, "because")) == steps


@pytest.mark.parametrize("domain", ["gui", "user", "system"])
def test_what_launchd_holds_is_written_down_as_it_runs(domain):
    extra = {"UserName": "felipe"} if domain == "system" else {}
    session = {"LimitLoadToSessionType": "Background"} if domain == "user" else {}
    content = definition(ThrottleInterval=30, ExitTimeOut=20, WorkingDirectory="/opt", **extra, **session)
    job = job_of(content, {"gui": f"gui/{UID}", "user": f"user/{UID}"}.get(domain, "system"))
    assert definition_of(job) == content


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(CONVERGED, WANTED), (BARE, WANTED), (replace(CONVERGED, files=(file_of(LOOPBACK),)), WANTED), (CONVERGED, DAEMON)],
    ids=["converged", "bare", "stale file", "agent to daemon"],
)
def test_every_step_says_what_was_found_and_what_is_wanted(found, wanted):
    for step in plan(found, wanted):
        assert step.found != step.wanted
        assert step.found not in ("", None)


def test_a_changed_variable_is_named_with_both_values():
    (step,) = plan(with_jobs(job_of(LOOPBACK)), WANTED)
    assert step.found["EnvironmentVariables.OLLAMA_HOST"] == "127.0.0.1"
    assert step.wanted["EnvironmentVariables.OLLAMA_HOST"] == "0.0.0.0"
    assert "EnvironmentVariables.XPC_SERVICE_NAME" not in step.found


def test_a_file_of_another_owner_needs_no_right_that_its_owner_lacks():
    steps = plan(replace(CONVERGED, files=(file_of(DEFINITION, uid=0),)), WANTED)
    assert steps
    # Only root may give a file away; whoever owns the folder may put a new file in its place.
    assert needs_root(steps) or [step.action for step in steps] == ["write"]
    assert not restarts(steps)


@pytest.mark.parametrize(
    ("domain", "path", "owner", "target"),
    [
        ("gui", PATH, UID, f"gui/{UID}"),
        ("user", PATH, UID, f"user/{UID}"),
        ("system", DAEMON_PATH, 0, "system"),
    ],
)
def test_where_a_service_belongs(domain, path, owner, target):
    wanted = Wanted(LABEL, domain, DEFINITION)
    assert (wanted.path(HOME), wanted.owner(UID), wanted.target_domain(UID)) == (path, owner, target)


# The laws, on a Mac made of values. -----------------------------------------------------------------------------------


@dataclass
class SimulatedMac:
    """Files, jobs and overrides; `apply` does what the verb does on a Mac, and refuses what launchd refuses."""

    found: Found
    wanted: Wanted
    touched: list[str] = field(default_factory=list)

    def apply(self, step: Step) -> None:
        """Carry out one step."""
        getattr(self, f"_{step.action}")(step.item)

    def _bootout(self, target: str) -> None:
        assert any(job.target == target for job in self.found.jobs), f"{target} is not loaded"
        self.touched.append(target)
        self.found = replace(self.found, jobs=tuple(job for job in self.found.jobs if job.target != target))

    def _remove(self, path: str) -> None:
        assert any(file.path == path for file in self.found.files), f"{path} is not there"
        self.found = replace(self.found, files=tuple(file for file in self.found.files if file.path != path))

    def _enable(self, target: str) -> None:
        domain, _, label = target.rpartition("/")
        self.found = replace(
            self.found,
            disabled=tuple((where, labels - {label} if where == domain else labels) for where, labels in self.found.disabled),
        )

    def _write(self, path: str) -> None:
        files = [file for file in self.found.files if file.path != path]
        made = File(path, self.wanted.label, self.wanted.definition, MODE, self.wanted.owner(UID))
        self.found = replace(self.found, files=(*files, made))

    def _protect(self, path: str) -> None:
        self.found = replace(
            self.found, files=tuple(replace(file, mode=MODE) if file.path == path else file for file in self.found.files)
        )

    def _bootstrap(self, target: str) -> None:
        domain = target.rpartition("/")[0]
        assert not any(job.target == target for job in self.found.jobs), f"5: {target} is loaded already"
        rivals = [job.target for job in self.found.jobs if job.pid]
        assert not rivals, f"the port is held by {rivals}"
        assert not self.found.is_disabled(domain, self.wanted.label), f"119: {target} is disabled"
        (file,) = (file for file in self.found.files if file.path == self.wanted.path(HOME))
        assert file.definition is not None
        assert not file.symlink
        assert (file.mode & 0o022, file.uid) == (0, self.wanted.owner(UID)), "122: bad ownership or permissions"
        self.touched.append(target)
        self.found = replace(self.found, jobs=(*self.found.jobs, job_of(dict(file.definition), domain, file.path)))

    def _reload(self, target: str) -> None:
        self._bootout(target)
        self._bootstrap(target)

    def _disable(self, target: str) -> None:
        domain, _, label = target.rpartition("/")
        self.found = replace(
            self.found,
            disabled=tuple((where, labels | {label} if where == domain else labels) for where, labels in self.found.disabled),
        )

    def _finish(self, _target: str) -> None:
        self.found = replace(self.found, unfinished="")

    def starts_at_boot(self) -> bool:
        """Tell whether a file lies in launchd's folders that would start a server, whatever else happens."""
        return any(file.definition is not None for file in self.found.files)

    def power_cut(self) -> None:
        """Forget what is in memory, and load what the files say, as boot and login do."""
        domains = {"/Library/LaunchDaemons": "system"}
        jobs = {}
        for file in self.found.files:
            folder = file.path.rpartition("/")[0]
            domain = domains.get(folder, f"gui/{UID}")
            sound = file.definition is not None and file.mode & 0o022 == 0 and not file.symlink
            if sound and file.definition and file.definition.get("RunAtLoad") and not self.found.is_disabled(domain, file.label):
                content = {**file.definition, "Label": file.label}
                jobs.setdefault((domain, file.label), job_of(content, domain, file.path))
        self.found = replace(self.found, jobs=tuple(jobs.values()), unfinished="/record")

    def _kickstart(self, target: str) -> None:
        (job,) = (job for job in self.found.jobs if job.target == target)
        assert job.pid is None
        self.touched.append(target)
        jobs = tuple(replace(job, state="running", pid=77) if job.target == target else job for job in self.found.jobs)
        self.found = replace(self.found, jobs=jobs)


CONTENTS = st.builds(
    definition,
    EnvironmentVariables=st.dictionaries(
        st.sampled_from(["OLLAMA_HOST", "OLLAMA_MODELS", "HOME"]), st.sampled_from(["", "0.0.0.0", "/x"]), max_size=3
    ),
    RunAtLoad=st.booleans(),
    KeepAlive=st.booleans(),
    ThrottleInterval=st.none() | st.integers(5, 30),
    Umask=st.none() | st.integers(0, 63),
    WorkingDirectory=st.none() | st.just("/opt/homebrew/var"),
    ProgramArguments=st.sampled_from([[PROGRAM, "serve"], ["/opt/homebrew/bin/ollama", "serve"]]),
)
LABELS = (LABEL, "com.ollama.serve", HOMEBREW_LABEL)
DOMAINS = (f"gui/{UID}", f"user/{UID}", "system")
FOLDERS = (f"{HOME}/Library/LaunchAgents", "/Library/LaunchAgents", "/Library/LaunchDaemons")
PATHS = tuple(f"{folder}/{label}.plist" for folder in FOLDERS for label in (*LABELS, "copy"))


@st.composite
def states(draw: Any) -> Found:
    """Draw any mixture of jobs and files of our labels; the true definition is among what is drawn."""
    files, jobs = [], []
    contents = st.just(DEFINITION) | CONTENTS
    for path in draw(st.lists(st.sampled_from(PATHS), unique=True, max_size=4)):
        stem = path.rpartition("/")[2].removesuffix(".plist")
        label = LABEL if stem == "copy" else stem
        content = draw(st.none() | contents)
        files.append(
            File(
                path,
                label,
                None if content is None else {**content, "Label": label},
                draw(st.sampled_from([MODE, 0o664, 0o600])),
                draw(st.sampled_from([0, UID])),
                draw(st.booleans()),
            )
        )
    for domain, label in draw(st.lists(st.tuples(st.sampled_from(DOMAINS), st.sampled_from(LABELS)), unique=True, max_size=4)):
        state, pid = draw(st.sampled_from([("running", 5), ("not running", None), ("spawn scheduled", None)]))
        content = {**draw(contents), "Label": label}
        jobs.append(job_of(content, domain, draw(st.sampled_from([PATH, *PATHS])), state=state, pid=pid))
    disabled = tuple((domain, draw(st.frozensets(st.sampled_from(LABELS), max_size=3))) for domain in DOMAINS)
    return Found(UID, HOME, tuple(files), tuple(jobs), disabled, gui_session=True)


WANTEDS = st.builds(
    lambda domain, content: Wanted(LABEL, domain, content, RETIRED),
    st.sampled_from(["gui", "user", "system"]),
    st.just(DEFINITION) | CONTENTS,
)


@given(states(), WANTEDS)
def test_what_was_carried_out_leaves_nothing_to_do(found, wanted):
    mac = SimulatedMac(found, wanted)
    for step in plan(found, wanted):
        mac.apply(step)
    assert plan(mac.found, wanted) == ()
    assert [job.target for job in mac.found.jobs] == [f"{wanted.target_domain(UID)}/{LABEL}"]
    assert [file.path for file in mac.found.files] == [wanted.path(HOME)]


@given(states(), WANTEDS, st.data())
def test_a_power_cut_between_any_two_steps_loses_nothing(found, wanted, data):
    """After each prefix of the plan and a boot, a server starts if one would have before, and the next plan ends the same."""
    steps = plan(found, wanted)
    mac = SimulatedMac(found, wanted)
    started = mac.starts_at_boot()
    for step in steps[: data.draw(st.integers(0, len(steps)), label="steps before the cut")]:
        mac.apply(step)
    assert mac.starts_at_boot() or not started
    mac.power_cut()
    for step in plan(mac.found, wanted):
        mac.apply(step)
    assert plan(replace(mac.found, unfinished=""), wanted) == ()
    assert [job.target for job in mac.found.jobs] == [f"{wanted.target_domain(UID)}/{LABEL}"]
    assert [file.path for file in mac.found.files] == [wanted.path(HOME)]


@given(states(), WANTEDS)
def test_a_plan_without_a_restart_never_touches_the_job(found, wanted):
    steps = plan(found, wanted)
    mac = SimulatedMac(found, wanted)
    for step in steps:
        mac.apply(step)
    own = f"{wanted.target_domain(UID)}/{LABEL}"
    assert restarts(steps) == (own in mac.touched)
    if not restarts(steps):
        assert mac.found.job(wanted.target_domain(UID), LABEL) == found.job(wanted.target_domain(UID), LABEL)


@given(states(), WANTEDS)
def test_a_healthy_service_with_the_right_definition_is_never_restarted(found, wanted):
    own = job_of(dict(wanted.definition), wanted.target_domain(UID), wanted.path(HOME), last_exit="last exit code = 1", runs=9)
    others = tuple(job for job in found.jobs if job.target != own.target)
    right = file_of(dict(wanted.definition), wanted.path(HOME))
    files = tuple(file for file in found.files if file.path != right.path)
    assert not restarts(plan(replace(found, jobs=(own, *others), files=(right, *files)), wanted))


@given(states(), WANTEDS)
def test_steps_that_touch_what_is_roots_say_so(found, wanted):
    steps = plan(found, wanted)
    roots = {file.path for file in found.files if file.path.startswith("/Library/")}
    touches = any(step.item in roots or step.item.startswith(("system/", "/Library/")) for step in steps)
    assert needs_root(steps) is touches
    assert touches or wanted.domain != "system" or not steps


# What launchd shows of a job. --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["path", "arguments", "stdout_path", "stderr_path", "working_directory"])
def test_each_visible_part_of_a_running_job_is_compared(key):
    changed = replace(job_of(DEFINITION), **{key: ("x",) if key == "arguments" else "/x"})
    assert len(live_differences(changed, DEFINITION, PATH)) == 1
    assert live_differences(job_of(DEFINITION), DEFINITION, PATH) == {}


@pytest.mark.parametrize(
    ("content", "changes", "differs"),
    [
        ({"ThrottleInterval": 30}, {"minimum_runtime": 10}, ["ThrottleInterval"]),
        ({"ExitTimeOut": 20}, {"exit_timeout": 5}, ["ExitTimeOut"]),
        ({"UserName": "felipe"}, {"username": ""}, ["UserName"]),
        ({"KeepAlive": {"SuccessfulExit": False}}, {"properties": frozenset({"runatload"})}, []),
        ({}, {"minimum_runtime": 99}, []),
    ],
    ids=["throttle", "exit timeout", "user", "a condition cannot be seen", "a default is not compared"],
)
def test_keys_that_launchd_shows_only_in_part(content, changes, differs):
    made = definition(**content)
    assert list(live_differences(replace(job_of(made), **changes), made, PATH)) == differs


@given(CONTENTS, CONTENTS)
def test_two_definitions_differ_exactly_where_they_do(one, other):
    assert bool(file_differences(file_of(one), other)) == (one != other)
    assert file_differences(file_of(one), one) == {}
    assert live_differences(job_of(one), one, PATH) == {}
