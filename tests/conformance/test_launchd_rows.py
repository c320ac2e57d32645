"""launchctl's answers on a Mac, virtual or real, by rows of the decision table.

Every job here carries a scratch label `org.ollama-fleet.conformance.*`, runs /bin/sleep or a line of shell, and is
removed afterwards. A row whose answer nobody has reported, so that it was chosen, says "chosen" in its name: on a
real Mac such a test is a question, not a claim. What needs a logout, a reboot or a fault is marked `virtual`.
"""

from __future__ import annotations

import itertools
import plistlib
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PREFIX = "org.ollama-fleet.conformance."
HINT = "Try re-running the command as root for richer errors."
FLAT = f"Bootstrap failed: 5: Input/output error\n{HINT}\n"
SLEEP = ["/bin/sleep", "600"]
NUMBERS = itertools.count(1)
PRIVATE = {"OSLogRateLimit", "MallocSpaceEfficient", "XPC_SERVICE_NAME"}
ABSENT_DOMAIN = 9999


class Answer(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Wait for a condition and give its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.1)


class Scratch:
    """A label of our own on a Mac, with a plist in a folder of our own."""

    def __init__(self, mac: Any, folder: str) -> None:
        self.mac = mac
        self.folder = folder
        self.label = f"{PREFIX}{next(NUMBERS)}"
        self.path = f"{folder}/{self.label}.plist"
        self.log = f"{folder}/{self.label}.log"
        self.gui = f"gui/{mac.uid}"
        self.user = f"user/{mac.uid}"
        self.target = f"{self.gui}/{self.label}"

    def run(self, *argv: str, root: bool = False, where: str = "Aqua", text: str | None = None) -> Answer:
        """Run a command as the login user, or as root."""
        asked: dict[str, Any] = {"session": where}
        if root:
            asked["user"] = "root"
        if text is not None:
            asked["input"] = text
        done = self.mac.run(list(argv), **asked)
        return Answer(done.rc, done.stdout, done.stderr)

    def launchctl(self, *argv: str, root: bool = False, where: str = "Aqua") -> Answer:
        """Run launchctl."""
        return self.run("/bin/launchctl", *argv, root=root, where=where)

    def write(self, path: str = "", mode: str = "644", **plist: Any) -> str:
        """Write a plist as the login user; it runs /bin/sleep unless told otherwise."""
        content = {"Label": self.label, "ProgramArguments": SLEEP, **plist}
        target = path or self.path
        text = plistlib.dumps(content).decode()
        done = self.run("/bin/sh", "-c", 'cat > "$0" && chmod "$1" "$0"', target, mode, text=text)
        assert done.code == 0, done.err
        return target

    def bootstrap(self, **plist: Any) -> None:
        """Load a job."""
        done = self.launchctl("bootstrap", self.gui, self.write(**plist))
        assert done == Answer(0, "", "")

    def field(self, name: str, target: str = "") -> str:
        """Read one field of print, careful of nested blocks; empty if it is not there."""
        shown = self.launchctl("print", target or self.target).out
        found = re.search(rf"^\t{re.escape(name)} = (.*)$", shown, re.MULTILINE)
        return found[1] if found else ""

    def running(self, target: str = "") -> str:
        """Wait for the job to run, and give its process number."""
        until(lambda: self.field("state", target) == "running", "the job runs")
        return self.field("pid", target)

    def gone(self, target: str = "") -> None:
        """Wait for the label to be free."""
        until(lambda: self.launchctl("print", target or self.target).code != 0, "the label is free")

    def read_log(self) -> str:
        """Read what the job wrote."""
        return self.run("/bin/cat", self.log).out

    def clean(self) -> None:
        """Leave nothing behind but the override, which no verb can delete."""
        done = self.run("/bin/sh", "-c", CLEAN, self.label, str(self.mac.uid), self.folder)
        assert done.code == 0, done.err


# One command each, because each costs a connection to the Mac.
PREPARE = 'launchctl print "gui/$0" > /dev/null 2>&1 && echo there; mktemp -d /tmp/conformance.XXXXXX'
CLEAN = """
for domain in "gui/$1" "user/$1"; do
    launchctl bootout "$domain/$0" 2> /dev/null || continue
    while launchctl print "$domain/$0" > /dev/null 2>&1; do sleep 0.1; done
done
if launchctl print-disabled "user/$1" | grep -q "\\"$0\\""; then launchctl enable "user/$1/$0"; fi
rm -rf "$2"
"""


@pytest.fixture
def job(mac: Any) -> Iterator[Scratch]:
    """Give a scratch label, with somebody at the screen."""
    made = mac.run(["/bin/sh", "-c", PREPARE, str(mac.uid)])
    assert made.rc == 0, made.stderr
    if "there" not in made.stdout.split():
        mac.login()
    scratch = Scratch(mac, made.stdout.split()[-1])
    try:
        yield scratch
    finally:
        scratch.clean()


def stubborn(job: Scratch, **plist: Any) -> None:
    """Load a job that does not end when asked to, and wait until it is ready not to."""
    script = "trap '' TERM; echo ready; while :; do /bin/sleep 1; done"
    arguments = ["/bin/sh", "-c", script]
    job.bootstrap(ProgramArguments=arguments, RunAtLoad=True, ExitTimeOut=4, StandardOutPath=job.log, **plist)
    until(lambda: "ready" in job.read_log(), "the job is ready")


# bootstrap


@pytest.mark.parametrize(
    ("plist", "runs"),
    [
        pytest.param({"RunAtLoad": True}, True, id="row 1 RunAtLoad"),
        pytest.param({"KeepAlive": True}, True, id="row 1 KeepAlive"),
        pytest.param({}, False, id="row 1 neither"),
    ],
)
def test_bootstrap_loads(job: Scratch, plist: dict[str, Any], runs: bool) -> None:
    job.bootstrap(**plist)
    if runs:
        job.running()
        assert job.field("runs") == "1"
    else:
        assert job.field("state") == "not running"


def test_row_2_bootstrap_of_a_loaded_label_is_5_and_keeps_the_definition(job: Scratch) -> None:
    job.bootstrap(EnvironmentVariables={"WHICH": "old"})
    job.write(EnvironmentVariables={"WHICH": "new"})
    assert job.launchctl("bootstrap", job.gui, job.path) == Answer(5, "", FLAT)
    assert "\t\tWHICH => old\n" in job.launchctl("print", job.target).out


def test_row_3_bootstrap_of_a_loaded_label_as_root_is_37(job: Scratch) -> None:
    job.bootstrap()
    done = job.launchctl("bootstrap", job.gui, job.path, root=True)
    assert done == Answer(37, "", "Bootstrap failed: 37: Operation already in progress\n")


def test_row_4_bootstrap_of_a_draining_label_is_5(job: Scratch) -> None:
    stubborn(job)
    assert job.launchctl("bootout", job.target) == Answer(0, "", "")
    assert job.launchctl("bootstrap", job.gui, job.path) == Answer(5, "", FLAT)
    job.gone()
    assert job.launchctl("bootstrap", job.gui, job.path) == Answer(0, "", "")


@pytest.mark.parametrize(
    ("root", "answer"),
    [
        pytest.param(False, Answer(5, "", FLAT), id="row 5"),
        pytest.param(True, Answer(119, "", "Bootstrap failed: 119: Service is disabled\n"), id="row 5 as root"),
    ],
)
def test_bootstrap_of_a_disabled_label(job: Scratch, root: bool, answer: Answer) -> None:
    job.launchctl("disable", job.target)
    assert job.launchctl("bootstrap", job.gui, job.write(), root=root) == answer


@pytest.mark.parametrize("mode", ["664", "646", "666"])
@pytest.mark.parametrize(
    ("root", "answer"),
    [
        pytest.param(False, Answer(5, "", FLAT), id="row 6"),
        pytest.param(True, Answer(122, "", "Bootstrap failed: 122: Path had bad ownership/permissions\n"), id="row 6 as root"),
    ],
)
def test_bootstrap_of_a_file_others_may_write(job: Scratch, root: bool, answer: Answer, mode: str) -> None:
    assert job.launchctl("bootstrap", job.gui, job.write(mode=mode), root=root) == answer


def test_row_6_a_file_only_its_owner_may_read_is_fine(job: Scratch) -> None:
    assert job.launchctl("bootstrap", job.gui, job.write(mode="600")) == Answer(0, "", "")


@pytest.mark.parametrize("plist", [{"Label": ""}, {"ProgramArguments": []}], ids=["no label", "no program"])
def test_row_7_bootstrap_of_an_incomplete_plist_is_5(job: Scratch, plist: dict[str, Any]) -> None:
    assert job.launchctl("bootstrap", job.gui, job.write(**plist)) == Answer(5, "", FLAT)


def test_row_7_bootstrap_of_what_is_no_plist_is_5(job: Scratch) -> None:
    job.run("/bin/sh", "-c", 'echo nonsense > "$0"', job.path)
    assert job.launchctl("bootstrap", job.gui, job.path) == Answer(5, "", FLAT)


@pytest.mark.parametrize(
    ("root", "answer"),
    [
        pytest.param(False, Answer(5, "", FLAT), id="row 8 chosen"),
        pytest.param(True, Answer(2, "", "Bootstrap failed: 2: No such file or directory\n"), id="row 8 chosen root"),
    ],
)
def test_bootstrap_of_a_missing_file(job: Scratch, root: bool, answer: Answer) -> None:
    assert job.launchctl("bootstrap", job.gui, job.path, root=root) == answer


@pytest.mark.parametrize(
    ("domain", "sessions", "code"),
    [
        pytest.param("gui", "Aqua", 0, id="row 9 Aqua into gui"),
        pytest.param("gui", "Background", 5, id="row 9 Background into gui"),
        pytest.param("gui", ["Aqua", "Background"], 0, id="row 9 both into gui"),
        pytest.param("user", None, 5, id="row 9 default into user"),
        pytest.param("user", "Background", 0, id="row 9 Background into user"),
        pytest.param("user", ["Aqua", "Background"], 0, id="row 9 both into user"),
    ],
)
def test_session_types(job: Scratch, domain: str, sessions: Any, code: int) -> None:
    plist = {} if sessions is None else {"LimitLoadToSessionType": sessions}
    done = job.launchctl("bootstrap", getattr(job, domain), job.write(**plist), where="Background")
    assert done == Answer(code, "", FLAT if code else "")


UNSUPPORTED = "125: Domain does not support specified action\n"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        pytest.param(["bootstrap", "{gui}", "{path}"], f"Bootstrap failed: {UNSUPPORTED}", id="row 10 bootstrap"),
        pytest.param(["bootout", "{target}"], f"Boot-out failed: {UNSUPPORTED}", id="row 10 bootout"),
        pytest.param(["kickstart", "{target}"], f'Could not kickstart service "{{label}}": {UNSUPPORTED}', id="row 10 kickstart"),
        pytest.param(["enable", "{target}"], f"Could not enable service: {UNSUPPORTED}", id="row 10 enable"),
    ],
)
@pytest.mark.virtual
def test_without_anybody_at_the_screen(job: Scratch, argv: list[str], text: str) -> None:
    job.write()
    job.mac.logout()
    try:
        names = {"gui": job.gui, "path": job.path, "target": job.target, "label": job.label}
        done = job.launchctl(*(word.format(**names) for word in argv), where="Background")
        assert done == Answer(125, "", text.format(**names))
    finally:
        job.mac.login()


def test_row_11_chosen_bootstrap_into_system_as_a_user_is_5(job: Scratch) -> None:
    assert job.launchctl("bootstrap", "system", job.write()) == Answer(5, "", FLAT)


# bootout


def test_row_12_bootout_does_not_wait(job: Scratch) -> None:
    stubborn(job)
    pid = job.field("pid")
    assert job.launchctl("bootout", job.target) == Answer(0, "", "")
    assert (job.field("state"), job.field("pid")) == ("SIGTERMed", pid)
    job.gone()
    assert job.run("/bin/ps", "-p", pid).code == 1


def test_row_12_bootout_leaves_the_file_and_the_override(job: Scratch) -> None:
    job.bootstrap()
    job.launchctl("bootout", job.target)
    job.gone()
    assert job.run("/bin/test", "-e", job.path).code == 0
    assert f'"{job.label}" => disabled' not in job.launchctl("print-disabled", job.gui).out


def test_row_12_bootout_by_path(job: Scratch) -> None:
    job.bootstrap()
    assert job.launchctl("bootout", job.gui, job.path).code == 0
    job.gone()


def test_row_13_bootout_of_an_unknown_label_is_3(job: Scratch) -> None:
    assert job.launchctl("bootout", job.target) == Answer(3, "", "Boot-out failed: 3: No such process\n")


def test_row_14_bootout_of_an_unknown_path_is_5(job: Scratch) -> None:
    done = job.launchctl("bootout", job.gui, job.write())
    assert (done.code, done.err.splitlines()[0]) == (5, "Boot-out failed: 5: Input/output error")


def test_row_15_chosen_a_second_bootout_while_draining_is_0(job: Scratch) -> None:
    stubborn(job)
    job.launchctl("bootout", job.target)
    assert job.launchctl("bootout", job.target) == Answer(0, "", "")


def test_rows_16_and_17_bootout_wait(job: Scratch) -> None:
    job.bootstrap(RunAtLoad=True)
    pid = job.running()
    done = job.launchctl("bootout", "--wait", job.target)
    if job.mac.os_major >= 26:
        assert done.code == 0
        assert job.launchctl("print", job.target).code == 113
    else:
        assert done.code == 64
        assert done.err.startswith("Unrecognized target specifier.\nUsage: launchctl bootout <domain-target> [")
        assert job.running() == pid


@pytest.mark.virtual
def test_row_18_bootout_in_system_as_a_user_is_1(job: Scratch) -> None:
    assert job.launchctl("bootout", f"system/{job.label}") == Answer(1, "", "Boot-out failed: 1: Operation not permitted\n")


# kickstart


def test_row_19_kickstart_starts(job: Scratch) -> None:
    job.bootstrap()
    assert job.launchctl("kickstart", job.target) == Answer(0, "", "")
    job.running()


def test_row_19_kickstart_p_prints_the_pid(job: Scratch) -> None:
    job.bootstrap()
    done = job.launchctl("kickstart", "-p", job.target)
    assert (done.code, done.out.strip()) == (0, job.running())


def test_row_20_kickstart_of_a_running_job_is_37(job: Scratch) -> None:
    job.bootstrap(RunAtLoad=True)
    pid = job.running()
    assert job.launchctl("kickstart", job.target) == Answer(37, "", "")
    assert job.launchctl("kickstart", "-p", job.target).out.strip() == pid
    assert job.running() == pid


def test_row_21_kickstart_k_gives_a_new_process_with_the_old_definition(job: Scratch) -> None:
    job.bootstrap(KeepAlive=True, ThrottleInterval=1, EnvironmentVariables={"WHICH": "old"})
    pid = job.running()
    job.write(KeepAlive=True, ThrottleInterval=1, EnvironmentVariables={"WHICH": "new"})
    assert job.launchctl("kickstart", "-k", job.target) == Answer(0, "", "")
    until(lambda: job.field("runs") == "2", "it was started again")
    assert job.running() != pid
    assert "\t\tWHICH => old\n" in job.launchctl("print", job.target).out


def test_row_22_kickstart_of_an_unknown_label_is_113(job: Scratch) -> None:
    words = f'Could not find service "{job.label}" in domain for user gui: {job.mac.uid}\n'
    assert job.launchctl("kickstart", job.target) == Answer(113, "", words)


def test_row_23_chosen_kickstart_does_not_bypass_the_throttle(job: Scratch) -> None:
    job.bootstrap(KeepAlive=True, ProgramArguments=["/bin/sh", "-c", "exit 1"])
    until(lambda: job.field("state") == "spawn scheduled", "it is throttled")
    runs = job.field("runs")
    assert job.launchctl("kickstart", job.target) == Answer(0, "", "")
    assert (job.field("state"), job.field("runs")) == ("spawn scheduled", runs)


# print


def test_row_24_print_shows_what_automation_reads(job: Scratch) -> None:
    environment = {"OLLAMA_HOST": "0.0.0.0", "ODD": "a b=c 'd'"}
    job.bootstrap(RunAtLoad=True, EnvironmentVariables=environment, ExitTimeOut=7, StandardOutPath=job.log)
    pid = job.running()
    shown = job.launchctl("print", job.target).out
    assert shown.startswith(f"{job.target} = {{\n")
    assert job.field("path") == job.path
    assert job.field("program") == SLEEP[0]
    assert "\targuments = {\n\t\t/bin/sleep\n\t\t600\n\t}\n" in shown
    assert job.field("type") == "LaunchAgent"
    assert job.field("last exit code") == "(never exited)"
    assert job.field("exit timeout") == "7"
    assert job.field("minimum runtime") == "10"
    assert job.field("stdout path") == job.log
    assert job.run("/bin/ps", "-p", pid, "-o", "pid=").out.strip() == pid
    inside = shown.partition("\n\tenvironment = {\n")[2].partition("\n\t}")[0]
    values = dict(line.strip().split(" => ", 1) for line in inside.splitlines())
    assert {name: value for name, value in values.items() if name not in PRIVATE} == environment
    assert values["XPC_SERVICE_NAME"] == job.label


def test_row_24_print_drops_values_that_are_no_strings(job: Scratch) -> None:
    job.bootstrap(EnvironmentVariables={"TEXT": "1", "NUMBER": 1})
    shown = job.launchctl("print", job.target).out
    assert "\t\tTEXT => 1\n" in shown
    assert "NUMBER" not in shown


@pytest.mark.parametrize("domain", ["gui", "user", "system"])
def test_row_25_print_of_an_unknown_label_is_113(job: Scratch, domain: str) -> None:
    place, words = {
        "gui": (job.gui, f"user gui: {job.mac.uid}"),
        "user": (job.user, f"uid: {job.mac.uid}"),
        "system": ("system", "system"),
    }[domain]
    text = f'Bad request.\nCould not find service "{job.label}" in domain for {words}\n'
    assert job.launchctl("print", f"{place}/{job.label}") == Answer(113, "", text)


def test_row_26_print_of_nobodys_domain_is_112(job: Scratch) -> None:
    text = f"Bad request.\nCould not find domain for user gui: {ABSENT_DOMAIN}\n"
    assert job.launchctl("print", f"gui/{ABSENT_DOMAIN}") == Answer(112, "", text)


@pytest.mark.virtual
def test_row_26_print_of_gui_without_anybody_at_the_screen_is_125(job: Scratch) -> None:
    job.mac.logout()
    try:
        done = job.launchctl("print", job.gui, where="Background")
        assert done.code == 125
        assert "Domain does not support specified action" in done.err
    finally:
        job.mac.login()


def test_print_of_gui_says_login(job: Scratch) -> None:
    shown = job.launchctl("print", job.gui)
    assert shown.code == 0
    assert "\n\ttype = login\n" in shown.out


# enable, disable, list


@pytest.mark.parametrize("domain", ["gui", "user"])
def test_rows_28_and_29_both_domains_share_one_store(job: Scratch, domain: str) -> None:
    place = getattr(job, domain)
    assert job.launchctl("disable", f"{place}/{job.label}") == Answer(0, "", "")
    off = "disabled" if job.mac.os_major >= 13 else "true"
    for shown in (job.gui, job.user):
        assert re.search(rf'^\t\t"{job.label}" => {off}$', job.launchctl("print-disabled", shown).out, re.MULTILINE)
    assert job.launchctl("enable", f"{place}/{job.label}") == Answer(0, "", "")
    on = "enabled" if job.mac.os_major >= 13 else "false"
    assert f'"{job.label}" => {on}\n' in job.launchctl("print-disabled", job.gui).out


def test_row_29_disable_does_not_stop_a_running_job(job: Scratch) -> None:
    job.bootstrap(RunAtLoad=True)
    pid = job.running()
    job.launchctl("disable", job.target)
    assert job.running() == pid
    assert "disabled" not in job.launchctl("print", job.target).out


def test_row_30_list_shows_the_callers_own_domain(job: Scratch) -> None:
    job.bootstrap(RunAtLoad=True)
    pid = job.running()
    shown = job.launchctl("list")
    assert shown.out.startswith("PID\tStatus\tLabel\n")
    assert f"\n{pid}\t0\t{job.label}\n" in shown.out


@pytest.mark.virtual
def test_row_30_a_gui_job_is_not_listed_over_ssh(job: Scratch) -> None:
    job.bootstrap(RunAtLoad=True)
    assert job.label not in job.launchctl("list", where="Background").out


def test_row_31_list_of_a_label(job: Scratch) -> None:
    job.bootstrap(RunAtLoad=True)
    pid = job.running()
    shown = job.launchctl("list", job.label)
    assert shown.code == 0
    assert f'\t"PID" = {pid};\n' in shown.out


def test_row_31_list_of_an_unknown_label_is_113(job: Scratch) -> None:
    words = f'Could not find service "{job.label}" in domain for port\n'
    assert job.launchctl("list", job.label) == Answer(113, "", words)


# Legacy verbs


def test_row_32_load_ends_with_0_whatever_happens(job: Scratch) -> None:
    job.bootstrap()
    done = job.launchctl("load", job.path)
    assert done == Answer(
        0,
        "",
        "Load failed: 5: Input/output error\nTry running `launchctl bootstrap` as root for richer errors.\n",
    )


def test_row_33_load_and_unload_with_w_set_the_override(job: Scratch) -> None:
    job.launchctl("disable", job.target)
    assert job.launchctl("load", "-w", job.write(RunAtLoad=True)).code == 0
    job.running()
    assert job.launchctl("unload", "-w", job.path).code == 0
    job.gone()
    off = "disabled" if job.mac.os_major >= 13 else "true"
    assert f'"{job.label}" => {off}\n' in job.launchctl("print-disabled", job.gui).out


def test_row_34_stop_only_restarts_what_keeps_alive(job: Scratch) -> None:
    job.bootstrap(KeepAlive=True, ThrottleInterval=1)
    pid = job.running()
    assert job.launchctl("stop", job.label) == Answer(0, "", "")
    until(lambda: job.field("runs") == "2", "it was started again")
    assert job.running() != pid


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_row_35_chosen_start_and_stop_of_an_unknown_label_are_3(job: Scratch, verb: str) -> None:
    assert job.launchctl(verb, job.label).code == 3


@pytest.mark.virtual
@pytest.mark.parametrize(("where", "root", "name"), [("Aqua", False, "Aqua"), ("Background", False, "Background")])
def test_row_36_managername(job: Scratch, where: str, root: bool, name: str) -> None:
    assert job.launchctl("managername", where=where, root=root) == Answer(0, f"{name}\n", "")


def test_row_37_asuser_needs_root(job: Scratch) -> None:
    done = job.launchctl("asuser", str(job.mac.uid), "/usr/bin/true")
    assert done.code != 0
    assert re.match(r"Could not switch to audit session 0x[0-9a-f]+: 1: Operation not permitted", done.err)


@pytest.mark.virtual
def test_row_37_asuser_as_root_reaches_the_session_at_the_screen(job: Scratch) -> None:
    done = job.launchctl("asuser", str(job.mac.uid), "/bin/launchctl", "managername", root=True)
    assert done == Answer(0, "Aqua\n", "")


@pytest.mark.parametrize("argv", [["print", "com.user.ollama"], ["kickstart", "-z", "gui/501/x"]], ids=" ".join)
def test_row_38_what_makes_no_sense_is_64(job: Scratch, argv: list[str]) -> None:
    assert job.launchctl(*argv).code == 64


def test_error_decodes_numbers(job: Scratch) -> None:
    assert job.launchctl("error", "113") == Answer(0, "113: Could not find specified service\n", "")


# Jobs


def test_row_39_a_job_that_dies_early_is_throttled(job: Scratch) -> None:
    job.bootstrap(KeepAlive=True, ProgramArguments=["/bin/sh", "-c", "exit 3"])
    until(lambda: job.field("state") == "spawn scheduled", "it is throttled")
    assert (job.field("last exit code"), job.field("pid")) == ("3", "")


@pytest.mark.parametrize(
    ("keep_alive", "script", "state"),
    [
        pytest.param({"SuccessfulExit": False}, "exit 0", "not running", id="row 39 success is no reason"),
        pytest.param({"SuccessfulExit": False}, "exit 1", "spawn scheduled", id="row 39 failure is one"),
        pytest.param(False, "exit 1", "not running", id="row 39 no KeepAlive"),
    ],
)
def test_keep_alive_conditions(job: Scratch, keep_alive: Any, script: str, state: str) -> None:
    job.bootstrap(KeepAlive=keep_alive, RunAtLoad=True, ProgramArguments=["/bin/sh", "-c", script])
    until(lambda: job.field("last exit code") in ("0", "1"), "it ended")
    assert job.field("state") == state


@pytest.mark.parametrize(
    "plist",
    [
        pytest.param({"StandardOutPath": "/dev/null/x.log"}, id="row 41 log path"),
        pytest.param({"ProgramArguments": ["/nowhere/ollama"]}, id="row 41 program"),
    ],
)
def test_what_cannot_be_set_up_ends_with_78(job: Scratch, plist: dict[str, Any]) -> None:
    job.bootstrap(KeepAlive=True, **plist)
    until(lambda: job.field("last exit code") == "78: EX_CONFIG", "it failed")


def test_a_log_is_continued(job: Scratch) -> None:
    job.run("/bin/sh", "-c", 'echo before > "$0"', job.log)
    job.bootstrap(RunAtLoad=True, ProgramArguments=["/bin/echo", "after"], StandardOutPath=job.log)
    assert until(lambda: "after" in job.read_log() and job.read_log(), "it wrote") == "before\nafter\n"


def test_a_jobs_environment_has_no_part_of_the_shells(job: Scratch) -> None:
    job.bootstrap(
        RunAtLoad=True,
        ProgramArguments=["/usr/bin/env"],
        StandardOutPath=job.log,
        EnvironmentVariables={"OLLAMA_HOST": "0.0.0.0"},
    )
    until(lambda: job.field("last exit code") == "0", "it ran")
    values = dict(line.split("=", 1) for line in job.read_log().splitlines() if "=" in line)
    assert values["PATH"] == "/usr/bin:/bin:/usr/sbin:/sbin"
    assert (values["OLLAMA_HOST"], values["XPC_SERVICE_NAME"]) == ("0.0.0.0", job.label)
    assert values["HOME"].startswith("/Users/")


def test_a_setenv_is_inherited_by_later_jobs_of_the_session(job: Scratch) -> None:
    name = "FLEET_CONFORMANCE"
    assert job.launchctl("setenv", name, "1").code == 0
    try:
        assert job.launchctl("getenv", name).out == "1\n"
        job.bootstrap()
        shown = job.launchctl("print", job.target).out
        inherited = shown.partition("\n\tinherited environment = {\n")[2].partition("\n\t}")[0]
        assert f"\t\t{name} => 1" in inherited.splitlines()
    finally:
        job.launchctl("unsetenv", name)


# What only a virtual Mac can be made to do


@pytest.mark.virtual
def test_a_drain_holds_the_label(job: Scratch) -> None:
    with job.mac.fault("drain-seconds", 4):
        job.bootstrap(RunAtLoad=True)
        job.running()
        job.launchctl("bootout", job.target)
        assert job.launchctl("bootstrap", job.gui, job.path) == Answer(5, "", FLAT)
        job.gone()
    assert job.launchctl("bootstrap", job.gui, job.path) == Answer(0, "", "")


@pytest.mark.virtual
def test_the_next_bootstraps_may_fail(job: Scratch) -> None:
    job.write()
    with job.mac.fault("bootstrap-fails", 2):
        codes = [job.launchctl("bootstrap", job.gui, job.path).code for _ in range(3)]
    assert codes == [5, 5, 0]


@pytest.mark.virtual
def test_a_job_may_stay_idle(job: Scratch) -> None:
    with job.mac.fault("bootstrap-stays-idle", True):
        job.bootstrap(KeepAlive=True)
        assert (job.field("state"), job.field("last exit code")) == ("not running", "(never exited)")
        assert job.launchctl("kickstart", job.target).code == 0
        job.running()


@pytest.mark.virtual
def test_a_job_may_vanish(job: Scratch) -> None:
    with job.mac.fault("bootstrap-vanishes", True):
        job.bootstrap(KeepAlive=True)
        assert job.launchctl("print", job.target).code == 113


@pytest.mark.virtual
def test_print_may_be_denied(job: Scratch) -> None:
    with job.mac.fault("print-denied", True):
        assert job.launchctl("print", job.gui) == Answer(1, "", "Could not print domain: 1: Operation not permitted\n")


# Login and reboot


@pytest.mark.virtual
def test_an_agent_returns_with_login_after_a_reboot_and_a_bootstrapped_job_does_not(job: Scratch) -> None:
    agent = f"/Users/{job.mac.run(['/usr/bin/id', '-un']).stdout.strip()}/Library/LaunchAgents/{job.label}.plist"
    job.run("/bin/mkdir", "-p", agent.rpartition("/")[0])
    job.write(agent, KeepAlive=True)
    other = Scratch(job.mac, job.folder)
    other.bootstrap(KeepAlive=True)
    try:
        job.mac.reboot(login=False)
        assert job.launchctl("print", job.target, where="Background").code == 125
        job.mac.login()
        job.running()
        assert other.launchctl("print", other.target).code == 113
    finally:
        job.run("/bin/rm", "-f", agent)


@pytest.mark.virtual
def test_a_job_of_the_user_domain_survives_logout(job: Scratch) -> None:
    target = f"{job.user}/{job.label}"
    job.write(KeepAlive=True, LimitLoadToSessionType="Background")
    assert job.launchctl("bootstrap", job.user, job.path, where="Background").code == 0
    pid = job.running(target)
    job.mac.logout()
    try:
        assert job.running(target) == pid
    finally:
        job.mac.login()
