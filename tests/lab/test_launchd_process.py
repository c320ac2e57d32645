"""launchd with real processes: PID 1 of a PID namespace, over a Mac that is a folder.

What needs no process is in test_launchd_supervisor.py; what a whole virtual Mac shows is in tests/conformance.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import plistlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from mac.launchd import launchctl, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAUNCHD = Path(session.__file__).with_name("daemon.py")
UNSHARE = ["unshare", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child"]
UID, GID = 501, 20
LABEL = "org.ollama-fleet.test"
GUI = f"gui/{UID}"
TARGET = f"{GUI}/{LABEL}"
# A program that ends in its own time when asked to: what a server with open requests does.
STUBBORN = "trap 'echo asked' TERM; echo started; while :; do sleep 60 & wait $!; done"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace of its own needs root")


class Answer(NamedTuple):
    """What a launchctl said."""

    code: int
    out: str
    err: str


def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """Wait for a condition and give its value; the deadline is far beyond what any step here takes."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.01)


class Mac:
    """A folder that stands for a Mac, and the launchd that runs over it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "Users/felipe"
        self.agents = self.home / "Library/LaunchAgents"
        self.daemons = root / "Library/LaunchDaemons"
        for folder in (self.agents, self.daemons, root / "Library/LaunchAgents", root / "etc", root / "var/db"):
            folder.mkdir(parents=True)
        shells = f"root:x:0:0::/root:/bin/sh\nfelipe:x:{UID}:{GID}::{self.home}:/bin/sh\n"
        (root / "etc/passwd").write_text(shells)
        (root / "etc/group").write_text(f"wheel:x:0:\nstaff:x:{GID}:\nadmin:x:80:felipe\n")
        for path in (self.home, self.home / "Library", self.agents):
            os.chown(path, UID, GID)
        self.identity(os_version="15.6.1")
        self.unshare: subprocess.Popen[bytes] | None = None

    # Power

    def boot(self) -> None:
        """Switch on and wait until launchd answers."""
        socket = self.root / "var/run/launchd.sock"
        socket.unlink(missing_ok=True)
        self.unshare = subprocess.Popen([*UNSHARE, sys.executable, str(LAUNCHD)])
        until(socket.exists, "launchd listens")

    @property
    def launchd(self) -> int:
        """Give launchd's process number, as seen from here."""
        assert self.unshare is not None
        pid = self.unshare.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def shut_down(self) -> int:
        """Switch off in an orderly way."""
        assert self.unshare is not None
        os.kill(self.launchd, signal.SIGTERM)
        return self.unshare.wait(timeout=20)

    def power_off(self) -> None:
        """Pull the plug."""
        if self.unshare is not None and self.unshare.poll() is None:
            self.unshare.kill()
            self.unshare.wait(timeout=20)

    # What is on its disk

    def identity(self, **values: Any) -> None:
        """Set what the Mac is."""
        folder = self.root / "var/db/virtual-mac"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "machine.json").write_text(json.dumps(values))

    def fault(self, **values: Any) -> None:
        """Set the faults."""
        named = {name.replace("_", "-"): value for name, value in values.items()}
        (self.root / "var/db/virtual-mac/faults.json").write_text(json.dumps(named))

    def plist(self, script: str, folder: Path | None = None, label: str = LABEL, **more: Any) -> Path:
        """Write a job that runs a shell script."""
        path = (folder or self.agents) / f"{label}.plist"
        content = {"Label": label, "ProgramArguments": ["/bin/sh", "-c", script], **more}
        path.write_bytes(plistlib.dumps(content))
        if folder is None or folder == self.agents:
            os.chown(path, UID, GID)
        return path

    @property
    def out(self) -> Path:
        """Name the log that jobs here write to."""
        return self.home / "out.log"

    def log(self) -> str:
        """Read launchd's own log."""
        return (self.root / "var/log/launchd.log").read_text()

    # Talking to launchd

    def launchctl(self, *argv: str | Path, uid: int = UID, where: str = "Aqua") -> Answer:
        """Run launchctl as a user: the kernel tells launchd the effective uid of who connects."""
        out, err = io.StringIO(), io.StringIO()
        previous = os.environ.get("VIRTUAL_MAC_SESSION")
        os.environ["VIRTUAL_MAC_SESSION"] = where if uid else ""
        os.seteuid(uid)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = launchctl.main([str(word) for word in argv])
        finally:
            os.seteuid(0)
            os.environ.pop("VIRTUAL_MAC_SESSION")
            if previous is not None:
                os.environ["VIRTUAL_MAC_SESSION"] = previous
        return Answer(code, out.getvalue(), err.getvalue())

    def session(self, *argv: str) -> int:
        """Log in or out at the screen."""
        return session.main(list(argv))

    def field(self, name: str, target: str = TARGET) -> str:
        """Read one field of print; empty if there is none."""
        for line in self.launchctl("print", target, uid=0).out.splitlines():
            if line.startswith(f"\t{name} = "):
                return line.partition(" = ")[2]
        return ""

    def running(self, target: str = TARGET) -> int:
        """Wait for a job to run, and give its process number in the Mac."""
        until(lambda: self.field("state", target) == "running", f"{target} runs")
        return int(self.field("pid", target))

    def gone(self, target: str = TARGET) -> None:
        """Wait for a label to be free."""
        until(lambda: self.launchctl("print", target, uid=0).code == 113, f"{target} is gone")

    def processes(self) -> list[str]:
        """List the command lines of all processes of the Mac but launchd, zombies too."""
        folder = Path(f"/proc/{self.launchd}/root/proc")
        found = []
        for each in folder.glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if each.name != "1":
                    found.append((each / "cmdline").read_text().replace("\0", " ").strip() or "zombie")
        return found


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mac]:
    """Give a Mac that is switched off. Not below tmp_path: its user could not reach that."""
    root = Path(tempfile.mkdtemp(prefix="mac-"))
    root.chmod(0o755)
    monkeypatch.setenv("VIRTUAL_MAC_ROOT", str(root))
    mac = Mac(root)
    try:
        yield mac
    finally:
        mac.power_off()
        shutil.rmtree(root)


@pytest.fixture
def mac(off: Mac) -> Mac:
    """Give a Mac with felipe at the screen."""
    off.boot()
    assert off.session("login", "felipe") == 0
    return off


# Bootout takes time


def test_row_12_bootout_answers_before_the_process_is_dead(mac: Mac) -> None:
    path = mac.plist(STUBBORN, RunAtLoad=True, ExitTimeOut=2, StandardOutPath=str(mac.out))
    mac.launchctl("bootstrap", GUI, path)
    until(lambda: mac.out.exists() and "started" in mac.out.read_text(), "the script has set its trap")
    assert mac.launchctl("bootout", TARGET) == Answer(0, "", "")
    assert mac.field("state") == "SIGTERMed"
    assert mac.launchctl("bootstrap", GUI, path).code == 5
    mac.gone()
    assert "asked" in mac.out.read_text()
    assert mac.launchctl("bootstrap", GUI, path).code == 0


def test_row_12_a_drain_holds_the_label_of_a_dead_process(mac: Mac) -> None:
    mac.fault(drain_seconds=30)
    path = mac.plist("exec sleep 600", RunAtLoad=True)
    mac.launchctl("bootstrap", GUI, path)
    mac.running()
    mac.launchctl("bootout", TARGET)
    until(lambda: mac.processes() == [], "the process is dead")
    assert mac.launchctl("print", TARGET).code == 0
    assert mac.launchctl("bootstrap", GUI, path).code == 5


def test_row_17_bootout_wait_waits(mac: Mac) -> None:
    mac.identity(os_version="26.0")
    path = mac.plist(STUBBORN, RunAtLoad=True, ExitTimeOut=1, StandardOutPath=str(mac.out))
    mac.launchctl("bootstrap", GUI, path)
    until(lambda: mac.out.exists() and "started" in mac.out.read_text(), "the script has set its trap")
    assert mac.launchctl("bootout", "--wait", TARGET).code == 0
    assert mac.launchctl("print", TARGET).code == 113


def test_row_16_bootout_wait_on_15_stops_nothing(mac: Mac) -> None:
    mac.launchctl("bootstrap", GUI, mac.plist("exec sleep 600", RunAtLoad=True))
    pid = mac.running()
    assert mac.launchctl("bootout", "--wait", TARGET).code == 64
    assert mac.running() == pid


# Supervision


def test_row_39_keepalive_respawns_after_the_throttle(mac: Mac) -> None:
    path = mac.plist("exit 3", KeepAlive=True, ThrottleInterval=1)
    mac.launchctl("bootstrap", GUI, path)
    until(lambda: int(mac.field("runs") or 0) >= 2, "it was started again")
    assert mac.field("last exit code") == "3"
    assert "Pushing respawn out by 1 seconds." in mac.log()


def test_a_killed_job_returns(mac: Mac) -> None:
    mac.launchctl("bootstrap", GUI, mac.plist("exec sleep 600", KeepAlive=True, ThrottleInterval=1))
    first = mac.running()
    assert mac.launchctl("kill", "KILL", TARGET).code == 0
    until(lambda: mac.field("runs") == "2", "it was started again")
    assert mac.field("last terminating signal") == "Killed: 9"
    assert mac.running() != first


def test_row_21_kickstart_k_keeps_the_old_definition(mac: Mac) -> None:
    more: dict[str, Any] = {"KeepAlive": True, "ThrottleInterval": 1, "StandardOutPath": str(mac.out)}
    path = mac.plist('echo "$WHICH"; exec sleep 600', EnvironmentVariables={"WHICH": "old"}, **more)
    mac.launchctl("bootstrap", GUI, path)
    # Running means spawned: without this wait a busy machine kills the shell before it has said a word.
    until(lambda: mac.out.exists() and mac.out.read_text() == "old\n", "the first start has written its line")
    mac.plist('echo "$WHICH"; exec sleep 600', EnvironmentVariables={"WHICH": "new"}, **more)
    assert mac.launchctl("kickstart", "-k", TARGET).code == 0
    until(lambda: mac.out.read_text().count("\n") == 2, "it was started again")
    assert mac.out.read_text() == "old\nold\n"
    mac.launchctl("bootout", TARGET)
    mac.gone()
    mac.launchctl("bootstrap", GUI, path)
    until(lambda: mac.out.read_text() == "old\nold\nnew\n", "bootout and bootstrap bring the file in")


def test_a_job_takes_its_whole_group_with_it(mac: Mac) -> None:
    mac.launchctl("bootstrap", GUI, mac.plist("sleep 601 & sleep 602 & exec sleep 600", RunAtLoad=True))
    mac.running()
    until(lambda: len(mac.processes()) == 3, "all three run")
    mac.launchctl("kill", "KILL", TARGET)
    until(lambda: mac.processes() == [], "nothing is left")


def test_abandon_process_group_leaves_it(mac: Mac) -> None:
    path = mac.plist("sleep 601 & exec sleep 600", RunAtLoad=True, AbandonProcessGroup=True)
    mac.launchctl("bootstrap", GUI, path)
    mac.running()
    until(lambda: len(mac.processes()) == 2, "both run")
    mac.launchctl("bootout", TARGET)
    mac.gone()
    assert mac.processes() == ["sleep 601"]


def test_orphans_are_reaped(mac: Mac) -> None:
    """A grandchild with a session of its own belongs to nobody once its parents are gone."""
    there, end = mac.home / "there", mac.home / "end"
    orphan = f"touch {there}; while [ ! -e {end} ]; do sleep 0.05; done"
    script = f'setsid sh -c "{orphan}" & while [ ! -e {there} ]; do sleep 0.05; done'
    mac.launchctl("bootstrap", GUI, mac.plist(script, RunAtLoad=True))
    until(lambda: mac.field("last exit code") == "0", "the parent is gone")
    assert any("touch" in line for line in mac.processes())
    end.touch()
    until(lambda: mac.processes() == [], "the orphan was reaped")


def test_an_interval_starts_the_job(mac: Mac) -> None:
    mac.launchctl("bootstrap", GUI, mac.plist("exit 0", StartInterval=1, ThrottleInterval=1))
    assert mac.field("runs") == "0"
    until(lambda: int(mac.field("runs")) >= 2, "it was started twice")


# What a process gets


def test_a_log_is_continued_not_truncated(mac: Mac) -> None:
    mac.out.write_text("before\n")
    os.chown(mac.out, UID, GID)
    mac.launchctl("bootstrap", GUI, mac.plist("echo after", RunAtLoad=True, StandardOutPath=str(mac.out)))
    until(lambda: "after" in mac.out.read_text(), "the job wrote")
    assert mac.out.read_text() == "before\nafter\n"


def test_the_environment_is_the_plists_and_the_sessions(mac: Mac) -> None:
    mac.launchctl("setenv", "FROM_SESSION", "yes")
    environment = {"OLLAMA_HOST": "0.0.0.0", "NUMBER": 1, "ODD": 'a "b" $c\n\té='}
    path = mac.plist("exec env -0", RunAtLoad=True, EnvironmentVariables=environment, StandardOutPath=str(mac.out))
    mac.launchctl("bootstrap", GUI, path)
    until(lambda: mac.field("last exit code") == "0", "it ran")
    values = dict(item.split("=", 1) for item in mac.out.read_text().split("\0") if item)
    assert values.pop("SSH_AUTH_SOCK").endswith("/Listeners")
    assert Path(values.pop("TMPDIR")).stat().st_uid == UID
    assert values == {
        "FROM_SESSION": "yes",
        "HOME": str(mac.home),
        "LOGNAME": "felipe",
        "ODD": 'a "b" $c\n\té=',
        "OLLAMA_HOST": "0.0.0.0",
        "OSLogRateLimit": "64",
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "PWD": "/",
        "SHELL": "/bin/sh",
        "USER": "felipe",
        "XPC_SERVICE_NAME": LABEL,
    }


def test_a_daemon_with_username_runs_as_that_user_and_has_no_home(off: Mac) -> None:
    out = off.home / "daemon.log"
    script = 'id -u; id -G; echo "home:$HOME"; umask; ulimit -Sn; pwd'
    more: dict[str, Any] = {"UserName": "felipe", "GroupName": "staff", "Umask": 0o077, "WorkingDirectory": str(off.home)}
    limits: dict[str, Any] = {"SoftResourceLimits": {"NumberOfFiles": 333}}
    off.plist(script, off.daemons, RunAtLoad=True, StandardOutPath=str(out), **more, **limits)
    off.boot()
    until(lambda: off.field("last exit code", f"system/{LABEL}") == "0", "it ran")
    assert out.read_text() == f"501\n20 80\nhome:\n0077\n333\n{off.home}\n"
    assert out.stat().st_uid == UID


def test_the_log_folder_of_a_username_daemon_ends_up_roots(off: Mac) -> None:
    out = off.root / "logs/deep/daemon.log"
    off.plist("true", off.daemons, UserName="felipe", RunAtLoad=True, StandardOutPath=str(out))
    off.boot()
    until(lambda: off.field("last exit code", f"system/{LABEL}"), "it was tried")
    assert off.field("last exit code", f"system/{LABEL}") == "78: EX_CONFIG"
    assert out.parent.stat().st_uid == 0


@pytest.mark.parametrize(
    "plist",
    [
        pytest.param({"StandardOutPath": "/proc/nowhere/x.log"}, id="log path"),
        pytest.param({"Program": "/nowhere/ollama"}, id="program"),
        pytest.param({"WorkingDirectory": "/nowhere"}, id="working directory"),
    ],
)
def test_row_41_what_cannot_be_set_up_ends_with_78(mac: Mac, plist: dict[str, Any]) -> None:
    mac.launchctl("bootstrap", GUI, mac.plist("exec sleep 600", KeepAlive=True, **plist))
    until(lambda: mac.field("last exit code") == "78: EX_CONFIG", "it failed")
    assert mac.field("state") == "spawn scheduled"


# Boot, login, logout


def test_nobody_at_the_screen_means_no_gui_domain(off: Mac) -> None:
    off.boot()
    assert off.launchctl("print", GUI).code == 112
    assert off.session("touch", "felipe") == 0
    assert off.launchctl("print", GUI).code == 125
    assert off.launchctl("bootstrap", GUI, off.plist("exec sleep 600")).code == 125
    assert off.session("login", "felipe") == 0
    assert "\n\ttype = login\n" in off.launchctl("print", GUI).out


def test_login_loads_agents_and_logout_ends_them(off: Mac) -> None:
    off.plist("exec sleep 600", KeepAlive=True)
    off.plist("exec sleep 601", off.root / "Library/LaunchAgents", "org.example.everyone", RunAtLoad=True)
    off.boot()
    off.session("login", "felipe")
    off.running()
    off.running(f"{GUI}/org.example.everyone")
    assert off.session("logout", "felipe") == 0
    assert off.processes() == []
    assert off.launchctl("print", GUI).code == 125
    assert off.launchctl("print", f"user/{UID}").code == 0
    assert json.loads((off.root / "var/db/virtual-mac/session.json").read_text()) == {"console_user": None}


def test_logout_kills_what_does_not_listen(mac: Mac) -> None:
    path = mac.plist(STUBBORN, RunAtLoad=True, ExitTimeOut=1, StandardOutPath=str(mac.out))
    mac.launchctl("bootstrap", GUI, path)
    until(lambda: mac.out.exists() and "started" in mac.out.read_text(), "the script has set its trap")
    mac.session("logout", "felipe")
    until(lambda: mac.processes() == [], "the script and what it started are dead")


def test_a_disabled_agent_is_not_loaded_at_login(mac: Mac) -> None:
    mac.plist("exec sleep 600", KeepAlive=True)
    mac.launchctl("disable", TARGET)
    mac.session("logout", "felipe")
    mac.session("login", "felipe")
    assert mac.launchctl("print", TARGET).code == 113
    assert "Service is disabled" in mac.log()


def test_of_two_files_with_one_label_the_first_is_loaded(off: Mac) -> None:
    off.plist("exec sleep 600", KeepAlive=True)
    second = off.agents / "zzz.plist"
    shutil.copy(off.agents / f"{LABEL}.plist", second)
    os.chown(second, UID, GID)
    off.boot()
    off.session("login", "felipe")
    assert off.field("path") == str(off.agents / f"{LABEL}.plist")
    assert f"service already loaded, ignoring {second}" in off.log()


def test_a_link_is_ignored_at_login(off: Mac) -> None:
    real = off.plist("exec sleep 600", off.home, KeepAlive=True)
    (off.agents / real.name).symlink_to(real)
    off.boot()
    off.session("login", "felipe")
    assert off.launchctl("print", TARGET).code == 113


def test_a_plist_others_may_write_is_refused_at_boot(off: Mac) -> None:
    path = off.plist("exec sleep 600", off.daemons, KeepAlive=True)
    path.chmod(0o664)
    off.boot()
    assert off.launchctl("print", f"system/{LABEL}", uid=0).code == 113
    assert f"{path}: Path had bad ownership/permissions" in off.log()


def test_a_reboot_forgets_what_was_bootstrapped_from_elsewhere(mac: Mac) -> None:
    domain = f"user/{UID}"
    path = mac.plist("exec sleep 600", mac.home, RunAtLoad=True, LimitLoadToSessionType="Background")
    os.chown(path, UID, GID)
    mac.launchctl("setenv", "LOST", "1")
    assert mac.launchctl("bootstrap", domain, path).code == 0
    mac.running(f"{domain}/{LABEL}")
    assert mac.shut_down() == 0
    mac.boot()
    mac.session("login", "felipe")
    assert mac.launchctl("print", f"{domain}/{LABEL}").code == 113
    assert mac.launchctl("getenv", "LOST").out == ""


def test_a_reboot_keeps_overrides(mac: Mac) -> None:
    mac.launchctl("disable", f"user/{UID}/{LABEL}")
    mac.power_off()
    mac.boot()
    mac.session("login", "felipe")
    assert f'\t\t"{LABEL}" => disabled\n' in mac.launchctl("print-disabled", GUI).out


def test_autologin(off: Mac) -> None:
    (off.root / "var/db/virtual-mac/autologin").write_text("felipe\n")
    off.boot()
    assert off.launchctl("print", GUI).code == 0


def test_shutdown_lets_jobs_end(mac: Mac) -> None:
    script = f"trap 'echo bye >> {mac.out}; exit 0' TERM; echo started >> {mac.out}; while :; do sleep 60 & wait; done"
    mac.launchctl("bootstrap", GUI, mac.plist(script, KeepAlive=True))
    until(lambda: mac.out.exists() and mac.out.read_text() == "started\n", "the script has set its trap")
    assert mac.shut_down() == 0
    assert mac.out.read_text() == "started\nbye\n"


# Safety


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["bootout", f"system/{LABEL}"], id="bootout"),
        pytest.param(["kickstart", "-k", f"system/{LABEL}"], id="kickstart"),
        pytest.param(["kill", "KILL", f"system/{LABEL}"], id="kill"),
        pytest.param(["disable", f"system/{LABEL}"], id="disable"),
    ],
)
def test_a_user_cannot_touch_the_system(off: Mac, argv: list[str]) -> None:
    off.plist("exec sleep 600", off.daemons, KeepAlive=True)
    off.boot()
    off.session("login", "felipe")
    pid = off.running(f"system/{LABEL}")
    assert off.launchctl(*argv).code == 1
    assert off.running(f"system/{LABEL}") == pid


def test_a_user_cannot_touch_another_user(mac: Mac) -> None:
    mac.launchctl("bootstrap", GUI, mac.plist("exec sleep 600", KeepAlive=True))
    pid = mac.running()
    assert mac.launchctl("bootout", TARGET, uid=502).code == 125
    assert mac.launchctl("print", TARGET, uid=502).code == 1
    assert mac.running() == pid


def test_only_root_speaks_for_the_login_window(mac: Mac) -> None:
    os.seteuid(UID)
    try:
        assert mac.session("logout", "felipe") == 1
    finally:
        os.seteuid(0)
    assert mac.launchctl("print", GUI).code == 0


@pytest.mark.parametrize(
    "request_line",
    [b"\n", b"{}\n", b"[1]\n", b'{"argv": 7}\n', b'{"argv": ["print"], "cwd": 1}\n', b"\xff\xfe\n", b"no end"],
    ids=repr,
)
def test_nonsense_on_the_socket_does_no_harm(mac: Mac, request_line: bytes) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(mac.root / "var/run/launchd.sock"))
        line.sendall(request_line)
        line.shutdown(socket.SHUT_WR)
        line.settimeout(10)
        line.recv(65536)
    assert mac.launchctl("managername") == Answer(0, "Aqua\n", "")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE, signal.SIGQUIT], ids=str)
def test_a_stray_signal_does_not_end_launchd(mac: Mac, number: signal.Signals) -> None:
    os.kill(mac.launchd, number)
    assert mac.launchctl("managername").code == 0


# Faults


def test_the_next_bootstraps_fail_and_then_work(mac: Mac) -> None:
    mac.fault(bootstrap_fails=2)
    path = mac.plist("exec sleep 600", KeepAlive=True)
    assert [mac.launchctl("bootstrap", GUI, path).code for _ in range(4)] == [5, 5, 0, 5]


def test_a_job_may_stay_idle_after_bootstrap(mac: Mac) -> None:
    mac.fault(bootstrap_stays_idle=LABEL)
    mac.launchctl("bootstrap", GUI, mac.plist("exec sleep 600", KeepAlive=True))
    assert (mac.field("state"), mac.field("last exit code")) == ("not running", "(never exited)")
    assert mac.launchctl("kickstart", TARGET).code == 0
    mac.running()


def test_a_job_may_vanish_after_bootstrap(mac: Mac) -> None:
    mac.fault(bootstrap_vanishes=True)
    assert mac.launchctl("bootstrap", GUI, mac.plist("exec sleep 600", KeepAlive=True)).code == 0
    assert mac.launchctl("print", TARGET).code == 113
    assert mac.processes() == []
