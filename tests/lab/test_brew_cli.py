"""brew on a real tree: links, texts, exit codes, JSON, faults."""

from __future__ import annotations

import fcntl
import json
import plistlib
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mac.commands import faults
from mac.commands.brew import layout, services

if TYPE_CHECKING:
    from commands_support import Answer, Box

PREFIX = "/opt/homebrew"


@pytest.fixture
def homebrew(box: Box, monkeypatch: pytest.MonkeyPatch) -> Box:
    """Give a Mac with an empty Homebrew and an environment without its variables."""
    for name in (
        "SSH_TTY",
        "SUDO_USER",
        "HOMEBREW_NO_INSTALL_CLEANUP",
        "HOMEBREW_NO_AUTO_UPDATE",
        "OLLAMA_PAYLOAD",
        "XDG_CONFIG_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/Users/felipe")
    layout(box.at(PREFIX))
    return box


def brew(box: Box, *argv: str, uid: int = 501) -> Answer:
    """Run brew."""
    return box.run("brew", *argv, uid=uid)


def links(box: Box) -> dict[str, str]:
    """Give where Homebrew's links to ollama point."""
    places = ("bin/ollama", "opt/ollama", "var/homebrew/linked/ollama", "var/homebrew/pinned/ollama")
    found = {place: box.at(f"{PREFIX}/{place}") for place in places}
    return {place: str(link.readlink()) for place, link in found.items() if link.is_symlink()}


def installed(box: Box, version: str) -> None:
    """Install a version of ollama, the stable one of its day."""
    box.faults(brew_stable=version)
    brew(box, "update")
    assert brew(box, "install", "ollama").rc == 0
    box.faults()


@pytest.mark.parametrize(
    ("argv", "code", "out"),
    [
        pytest.param(argv, code, out, id=" ".join(argv))
        for argv, code, out in [
            (["--prefix"], 0, "/opt/homebrew\n"),
            (["--prefix", "ollama"], 0, "/opt/homebrew/opt/ollama\n"),
            (["--prefix", "nosuch"], 1, ""),
            (["--cellar"], 0, "/opt/homebrew/Cellar\n"),
            (["--cellar", "ollama"], 0, "/opt/homebrew/Cellar/ollama\n"),
            (["--version"], 0, "Homebrew 6.0.18\n"),
            (["list"], 0, ""),
            (["list", "--versions", "ollama"], 1, ""),
            (["list", "--versions"], 0, ""),
            (["outdated", "--json=v2"], 0, '{\n  "formulae": [],\n  "casks": []\n}\n'),
            (["doctor"], 0, "Your system is ready to brew.\n"),
            (["nosuch"], 1, ""),
        ]
    ],
)
def test_question_on_an_empty_cellar(homebrew: Box, argv: list[str], code: int, out: str) -> None:
    assert brew(homebrew, *argv)[:2] == (code, out)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nosuch"], "Error: Unknown command: brew nosuch"),
        (["info", "--json=v2", "nosuch"], 'Error: No available formula with the name "nosuch".'),
        (["install", "nosuch"], 'Error: No available formula with the name "nosuch".'),
        (["upgrade", "ollama"], "Error: ollama not installed"),
        (["uninstall", "ollama"], "Error: No such keg: /opt/homebrew/Cellar/ollama"),
        (["pin", "ollama"], "Error: ollama not installed"),
        (["services", "start", "ollama"], "Error: Formula `ollama` is not installed."),
    ],
)
def test_error(homebrew: Box, argv: list[str], message: str) -> None:
    answer = brew(homebrew, *argv)
    assert (answer.rc, answer.err.splitlines()[0]) == (1, message)


@pytest.mark.parametrize("verb", ["list", "install", "info", "outdated", "--version", "upgrade"])
def test_root_is_refused(homebrew: Box, verb: str) -> None:
    answer = brew(homebrew, verb, "ollama", uid=0)
    assert (answer.rc, answer.err.splitlines()[0]) == (
        1,
        "Error: Running Homebrew as root is extremely dangerous and no longer supported.",
    )


def test_root_may_ask_for_the_prefix(homebrew: Box) -> None:
    assert brew(homebrew, "--prefix", uid=0).rc == 0


def test_the_other_prefix(homebrew: Box) -> None:
    homebrew.identity(prefix="/usr/local")
    layout(homebrew.at("/usr/local"))
    assert brew(homebrew, "install", "ollama").rc == 0
    assert brew(homebrew, "--prefix").out == "/usr/local\n"
    assert homebrew.at("/usr/local/opt/ollama/bin/ollama").exists()


def test_layout_may_be_written_twice(homebrew: Box) -> None:
    installed(homebrew, "0.24.0")
    layout(homebrew.at(PREFIX))
    assert brew(homebrew, "list", "--versions", "ollama").out == "ollama 0.24.0\n"
    assert stat.S_IMODE(homebrew.at(f"{PREFIX}/bin/brew").stat().st_mode) == 0o755


def test_install_leaves_the_tree_of_homebrew(homebrew: Box) -> None:
    assert brew(homebrew, "install", "ollama").rc == 0
    assert links(homebrew) == {
        "bin/ollama": "../Cellar/ollama/0.32.15/bin/ollama",
        "opt/ollama": "../Cellar/ollama/0.32.15",
        "var/homebrew/linked/ollama": "../../../Cellar/ollama/0.32.15",
    }
    program = homebrew.at(f"{PREFIX}/bin/ollama").resolve()
    assert program == homebrew.at(f"{PREFIX}/Cellar/ollama/0.32.15/libexec/ollama").resolve()
    assert homebrew.at(f"{PREFIX}/opt/ollama/homebrew.mxcl.ollama.plist").is_file()


def test_install_again_says_so_and_changes_nothing(homebrew: Box) -> None:
    brew(homebrew, "install", "ollama")
    before = homebrew.at(f"{PREFIX}/Cellar/ollama/0.32.15").stat().st_mtime_ns
    answer = brew(homebrew, "install", "ollama")
    assert answer.rc == 0
    assert answer.err.splitlines() == [
        "Warning: ollama 0.32.15 is already installed and up-to-date.",
        "To reinstall 0.32.15, run:",
        "  brew reinstall ollama",
    ]
    assert homebrew.at(f"{PREFIX}/Cellar/ollama/0.32.15").stat().st_mtime_ns == before


def test_an_upgrade_replaces_the_keg(homebrew: Box) -> None:
    installed(homebrew, "0.24.0")
    brew(homebrew, "update")
    answer = brew(homebrew, "upgrade", "ollama")
    assert answer.lines[:2] == ["==> Upgrading 1 outdated package:", "ollama 0.24.0 -> 0.32.15"]
    assert brew(homebrew, "list", "--versions", "ollama").out == "ollama 0.32.15\n"


def test_without_cleanup_the_old_keg_stays(homebrew: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(homebrew, "0.24.0")
    monkeypatch.setenv("HOMEBREW_NO_INSTALL_CLEANUP", "1")
    brew(homebrew, "upgrade")
    assert brew(homebrew, "list", "--versions", "ollama").out == "ollama 0.24.0 0.32.15\n"
    assert links(homebrew)["opt/ollama"] == "../Cellar/ollama/0.32.15"
    brew(homebrew, "cleanup", "ollama")
    assert brew(homebrew, "list", "--versions", "ollama").out == "ollama 0.32.15\n"


def test_the_tap_is_as_old_as_the_last_update(homebrew: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(homebrew, "0.24.0")
    monkeypatch.setenv("HOMEBREW_NO_AUTO_UPDATE", "1")
    assert brew(homebrew, "outdated", "--json=v2", "ollama").rc == 0
    brew(homebrew, "update")
    answer = brew(homebrew, "outdated", "--json=v2", "ollama")
    assert answer.rc == 1
    assert json.loads(answer.out)["formulae"] == [
        {
            "name": "ollama",
            "installed_versions": ["0.24.0"],
            "current_version": "0.32.15",
            "pinned": False,
            "pinned_version": None,
        }
    ]
    assert brew(homebrew, "outdated", "--json=v2").rc == 0


def test_a_pin_stops_a_named_upgrade(homebrew: Box) -> None:
    installed(homebrew, "0.24.0")
    brew(homebrew, "pin", "ollama")
    assert links(homebrew)["var/homebrew/pinned/ollama"] == "../../../Cellar/ollama/0.24.0"
    assert brew(homebrew, "upgrade", "ollama").rc == 1
    assert brew(homebrew, "upgrade").rc == 0
    brew(homebrew, "unpin", "ollama")
    assert brew(homebrew, "upgrade", "ollama").rc == 0


def test_info_says_what_a_module_needs(homebrew: Box) -> None:
    installed(homebrew, "0.24.0")
    brew(homebrew, "update")
    (described,) = json.loads(brew(homebrew, "info", "--json=v2", "ollama").out)["formulae"]
    keys = ("name", "linked_keg", "pinned", "outdated")
    assert {key: described[key] for key in keys} == {"name": "ollama", "linked_keg": "0.24.0", "pinned": False, "outdated": True}
    assert described["versions"]["stable"] == "0.32.15"
    assert [item["version"] for item in described["installed"]] == ["0.24.0"]


def test_uninstall_takes_everything_away(homebrew: Box) -> None:
    brew(homebrew, "install", "ollama")
    brew(homebrew, "pin", "ollama")
    assert brew(homebrew, "uninstall", "ollama").rc == 0
    assert links(homebrew) == {}
    assert not homebrew.at(f"{PREFIX}/Cellar/ollama").exists()


def test_unlink_and_link(homebrew: Box) -> None:
    brew(homebrew, "install", "ollama")
    assert brew(homebrew, "unlink", "ollama").lines[0].endswith("0.32.15... 1 symlinks removed.")
    assert set(links(homebrew)) == {"opt/ollama"}
    assert brew(homebrew, "link", "ollama").lines[0].endswith("0.32.15... 1 symlinks created.")
    assert brew(homebrew, "link", "ollama").err.startswith("Warning: Already linked")


def test_offline(homebrew: Box) -> None:
    homebrew.faults(brew_offline=True)
    answer = brew(homebrew, "install", "ollama")
    assert answer.rc == 1
    assert answer.err.splitlines()[0] == "curl: (6) Could not resolve host: ghcr.io"
    assert links(homebrew) == {}
    assert brew(homebrew, "update").rc == 1


def test_a_broken_link_leaves_a_keg_that_is_installed_but_not_linked(homebrew: Box) -> None:
    homebrew.faults(brew_broken_link=True)
    answer = brew(homebrew, "install", "ollama")
    assert answer.rc == 1
    assert "Error: The `brew link` step did not complete successfully" in answer.err
    assert set(links(homebrew)) == {"opt/ollama"}
    assert brew(homebrew, "link", "ollama").rc == 1
    assert brew(homebrew, "link", "--overwrite", "ollama").rc == 0
    assert "bin/ollama" in links(homebrew)


def test_the_app_takes_the_place_of_the_link(homebrew: Box) -> None:
    faults.applied("ollama-app", on=True)
    answer = brew(homebrew, "install", "ollama")
    assert answer.rc == 1
    assert "Target /opt/homebrew/bin/ollama" in answer.err
    faults.applied("ollama-app", on=False)
    assert not homebrew.at("/Applications/Ollama.app").exists()
    assert brew(homebrew, "link", "ollama").rc == 0


def test_a_second_brew_gives_up(homebrew: Box) -> None:
    brew(homebrew, "install", "jq")
    with homebrew.at(f"{PREFIX}/var/homebrew/locks/jq.formula.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = brew(homebrew, "reinstall", "jq")
    assert answer.rc == 1
    assert "has already locked" in answer.err


@pytest.mark.parametrize(("verb", "share"), [("--prefix", 1 / 15), ("info", 1.0)], ids=["bash", "ruby"])
def test_a_call_takes_its_time(homebrew: Box, verb: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    homebrew.faults(brew_delay=3)
    brew(homebrew, verb)
    assert waits == [pytest.approx(3 * share)]


def test_every_call_is_noted(homebrew: Box) -> None:
    brew(homebrew, "list", "--versions", "ollama")
    assert [(note["argv"], note["rc"]) for note in homebrew.journal("brew")] == [(["list", "--versions", "ollama"], 1)]


class Launchd:
    """A launchd of one job, which ends some calls after it was told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.loaded = False
        self.pid = 24901
        self.drain = 0
        self.refuse: dict[str, tuple[int, str]] = {}

    def __call__(self, *words: str) -> tuple[int, str]:
        """Answer launchctl."""
        self.calls.append(words)
        if words[0] in self.refuse:
            return self.refuse[words[0]]
        if words[0] == "bootstrap":
            self.loaded = True
        elif words[0] == "bootout":
            self.drain -= 1
            was, self.loaded = self.loaded, self.loaded and self.drain >= 0
            return (0 if was else 3), ""
        elif words[0] == "print":
            if not self.loaded or not words[1].startswith("gui/"):
                return 113, "Bad request.\n"
            pid = f"\tpid = {self.pid}\n" if self.pid else ""
            return 0, f"\tpath = {AGENT}\n{pid}\tlast exit code = (never exited)\n"
        elif words[0] == "list":
            return 113, ""
        return 0, ""

    @property
    def changes(self) -> list[tuple[str, ...]]:
        """Give the calls that change something."""
        return [call for call in self.calls if call[0] not in ("print", "list")]


@pytest.fixture
def launchd(homebrew: Box, monkeypatch: pytest.MonkeyPatch) -> Launchd:
    """Give a launchd, and a Mac with ollama whose user is logged in."""
    found = Launchd()
    monkeypatch.setattr(services.Services.__init__, "__defaults__", (found,))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    homebrew.write("/var/db/virtual-mac/session.json", json.dumps({"console_user": "felipe"}))
    brew(homebrew, "install", "ollama")
    return found


AGENT = "/Users/felipe/Library/LaunchAgents/homebrew.mxcl.ollama.plist"


def test_start_writes_enables_and_bootstraps(homebrew: Box, launchd: Launchd) -> None:
    answer = brew(homebrew, "services", "start", "ollama")
    assert answer.out == "==> Successfully started `ollama` (label: homebrew.mxcl.ollama)\n"
    assert launchd.changes == [("enable", "gui/501/homebrew.mxcl.ollama"), ("bootstrap", "gui/501", AGENT)]
    definition = plistlib.loads(homebrew.at(AGENT).read_bytes())
    assert definition["EnvironmentVariables"] == {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"}
    assert stat.S_IMODE(homebrew.at(AGENT).stat().st_mode) == 0o644


def test_start_again_says_so(homebrew: Box, launchd: Launchd) -> None:
    brew(homebrew, "services", "start", "ollama")
    launchd.calls.clear()
    answer = brew(homebrew, "services", "start", "ollama")
    assert answer.out == "Service `ollama` already started, use `brew services restart ollama` to restart.\n"
    assert launchd.changes == []


def test_start_fails_with_launchctls_code(homebrew: Box, launchd: Launchd) -> None:
    launchd.refuse["bootstrap"] = (5, "Bootstrap failed: 5: Input/output error\n")
    answer = brew(homebrew, "services", "start", "ollama")
    call = f"/bin/launchctl bootstrap gui/501 {AGENT}"
    assert answer.rc == 1
    assert answer.err.splitlines()[-1] == f"Error: Failure while executing; `{call}` exited with 5."


def test_changes_by_hand_are_lost_and_the_override_file_counts(homebrew: Box, launchd: Launchd) -> None:
    homebrew.write(AGENT, "edited by hand")
    homebrew.write("/Users/felipe/.homebrew/services/ollama.env", "OLLAMA_HOST=0.0.0.0\n")
    brew(homebrew, "services", "start", "ollama")
    assert launchd.loaded
    assert plistlib.loads(homebrew.at(AGENT).read_bytes())["EnvironmentVariables"]["OLLAMA_HOST"] == "0.0.0.0"


def test_an_override_file_that_others_may_write_is_ignored(homebrew: Box, launchd: Launchd) -> None:
    homebrew.write("/Users/felipe/.homebrew/services/ollama.env", "OLLAMA_HOST=0.0.0.0\n")
    homebrew.at("/Users/felipe/.homebrew/services/ollama.env").chmod(0o666)
    assert "Ignoring" in brew(homebrew, "services", "start", "ollama").err
    assert launchd.loaded
    assert "OLLAMA_HOST" not in plistlib.loads(homebrew.at(AGENT).read_bytes())["EnvironmentVariables"]


@pytest.mark.parametrize(("option", "stays"), [([], False), (["--keep"], True)], ids=["plain", "keep"])
def test_stop_sends_bootout_until_the_job_is_gone(homebrew: Box, launchd: Launchd, option: list[str], stays: bool) -> None:
    brew(homebrew, "services", "start", "ollama")
    launchd.drain = 4
    answer = brew(homebrew, "services", "stop", *option, "ollama")
    assert answer.lines == [
        "Stopping `ollama`... (might take a while)",
        "==> Successfully stopped `ollama` (label: homebrew.mxcl.ollama)",
    ]
    assert not launchd.loaded
    assert homebrew.at(AGENT).exists() is stays


def test_stop_of_a_stopped_service_removes_the_file_and_ends_well(homebrew: Box, launchd: Launchd) -> None:
    homebrew.write(AGENT, "left over")
    answer = brew(homebrew, "services", "stop", "ollama")
    assert (answer.rc, answer.err) == (0, "Warning: Service `ollama` is not started.\n")
    assert not homebrew.at(AGENT).exists()
    assert not launchd.loaded


def test_stop_names_the_one_who_has_to(homebrew: Box, launchd: Launchd) -> None:
    homebrew.write("/Library/LaunchDaemons/homebrew.mxcl.ollama.plist", "root's")
    answer = brew(homebrew, "services", "stop", "ollama")
    assert answer.rc == 1
    assert answer.err.startswith("Error: Service `ollama` is started as `root`. Try:")
    assert launchd.changes == []


def test_restart_stops_and_starts(homebrew: Box, launchd: Launchd) -> None:
    brew(homebrew, "services", "start", "ollama")
    launchd.calls.clear()
    assert brew(homebrew, "services", "restart", "ollama").rc == 0
    assert [call[0] for call in launchd.changes] == ["bootout", "bootout", "enable", "bootstrap"]


def test_kill_is_refused_for_a_service_that_is_kept_alive(homebrew: Box, launchd: Launchd) -> None:
    brew(homebrew, "services", "start", "ollama")
    answer = brew(homebrew, "services", "kill", "ollama")
    assert answer.out == "Service `ollama` is set to automatically restart and can't be killed.\n"
    assert launchd.loaded


def test_run_leaves_no_file(homebrew: Box, launchd: Launchd) -> None:
    brew(homebrew, "services", "run", "ollama")
    assert launchd.changes == [("bootstrap", "gui/501", f"{PREFIX}/opt/ollama/homebrew.mxcl.ollama.plist")]
    assert not homebrew.at(AGENT).exists()


def described(box: Box) -> dict[str, Any]:
    """Read `services info --json`."""
    (found,) = json.loads(brew(box, "services", "info", "ollama", "--json").out)
    assert isinstance(found, dict)
    return found


def test_info_of_a_started_service(homebrew: Box, launchd: Launchd) -> None:
    brew(homebrew, "services", "start", "ollama")
    found = described(homebrew)
    assert list(found) == [
        "name", "service_name", "running", "loaded", "schedulable", "pid", "exit_code", "user", "status", "file",
        "registered", "loaded_file", "command", "working_dir", "root_dir", "log_path", "error_log_path", "interval", "cron",
    ]  # fmt: skip
    assert (found["pid"], found["status"], found["user"], found["file"]) == (launchd.pid, "started", "felipe", AGENT)
    assert found["command"] == (
        'OLLAMA_FLASH_ATTENTION="1" OLLAMA_KV_CACHE_TYPE="q8_0" /opt/homebrew/opt/ollama/bin/ollama serve'
    )


@pytest.mark.usefixtures("launchd")
def test_info_of_a_service_that_was_never_started(homebrew: Box) -> None:
    found = described(homebrew)
    keys = ("running", "loaded", "registered", "pid", "exit_code", "user", "loaded_file", "status", "file")
    assert [found[key] for key in keys] == [False] * 3 + [None] * 4 + ["none", f"{PREFIX}/opt/ollama/homebrew.mxcl.ollama.plist"]


def test_list_as_json_has_five_keys(homebrew: Box, launchd: Launchd) -> None:
    brew(homebrew, "services", "start", "ollama")
    launchd.pid = 0
    (row,) = json.loads(brew(homebrew, "services", "list", "--json").out)
    assert row == {"name": "ollama", "status": "other", "user": "felipe", "file": AGENT, "exit_code": None}


def test_a_warning_over_ssh_does_not_spoil_the_json(homebrew: Box, launchd: Launchd, monkeypatch: pytest.MonkeyPatch) -> None:
    homebrew.write("/var/db/virtual-mac/session.json", json.dumps({"console_user": None}))
    monkeypatch.setenv("SSH_TTY", "/dev/ttys001")
    answer = brew(homebrew, "services", "info", "ollama", "--json")
    assert json.loads(answer.out)
    assert answer.err.startswith("Warning: running over SSH without /dev/console ownership, using user/* instead of gui/*")
    brew(homebrew, "services", "start", "ollama")
    assert launchd.changes[-1] == ("bootstrap", "user/501", AGENT)


def test_root_starts_a_daemon(homebrew: Box, launchd: Launchd) -> None:
    brew(homebrew, "services", "start", "ollama", uid=0)
    assert launchd.changes[-1] == ("bootstrap", "system", "/Library/LaunchDaemons/homebrew.mxcl.ollama.plist")


def test_the_keg_of_a_bad_bottle_has_no_runner(homebrew: Box) -> None:
    installed(homebrew, "0.30.2")
    runner = Path("libexec/lib/ollama/llama-server")
    assert not (homebrew.at(f"{PREFIX}/Cellar/ollama/0.30.2") / runner).exists()
    brew(homebrew, "upgrade", "ollama")
    assert (homebrew.at(f"{PREFIX}/Cellar/ollama/0.32.15") / runner).exists()


def outdated(box: Box, **variables: str) -> tuple[list[Any], str]:
    """Ask for what is outdated, with these variables in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        answer = brew(box, "outdated", "--json=v2", "--formula", "ollama")
    return [row["current_version"] for row in json.loads(answer.out)["formulae"]], answer.err


QUIET = {"HOMEBREW_NO_AUTO_UPDATE": "1"}
FRESH = {**QUIET, "HOMEBREW_FORCE_API_AUTO_UPDATE": "1", "HOMEBREW_API_AUTO_UPDATE_SECS": "0"}


def test_outdated_fetches_the_list_when_it_is_too_old(homebrew: Box) -> None:
    installed(homebrew, "0.24.0")
    homebrew.faults(brew_stable="0.33.0")
    assert outdated(homebrew) == ([], ""), "younger than 450 seconds"
    assert outdated(homebrew, **QUIET) == ([], "")
    assert outdated(homebrew, **FRESH) == (["0.33.0"], "")


def test_outdated_without_a_way_out_answers_from_the_list_it_has_and_warns(homebrew: Box) -> None:
    installed(homebrew, "0.24.0")
    homebrew.faults(brew_stable="0.33.0", brew_offline=True)
    rows, said = outdated(homebrew, **FRESH)
    assert rows == []
    assert "update failed, falling back to cached version" in said


def test_a_bottle_that_is_not_whole_has_no_llama_server(homebrew: Box) -> None:
    homebrew.faults(brew_stable="0.33.0", brew_broken_bottle=True)
    assert brew(homebrew, "install", "ollama").rc == 0
    keg = homebrew.at(f"{PREFIX}/Cellar/ollama/0.33.0/libexec")
    assert (keg / "ollama").exists()
    assert not (keg / "lib/ollama/llama-server").exists()


def test_a_keg_that_goes_takes_its_links_and_leaves_the_other(homebrew: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(homebrew, "0.24.0")
    monkeypatch.setenv("HOMEBREW_NO_INSTALL_CLEANUP", "1")
    brew(homebrew, "update")
    assert brew(homebrew, "upgrade", "ollama").rc == 0
    assert brew(homebrew, "uninstall", "ollama").rc == 0
    assert links(homebrew) == {}
    assert brew(homebrew, "link", "ollama").rc == 0
    assert links(homebrew)["opt/ollama"] == "../Cellar/ollama/0.24.0"
