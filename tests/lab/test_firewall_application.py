"""The application firewall: its texts in every macOS version, its traps, and what it lets through."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from firewall_support import cable, needs_root
from hypothesis import given
from hypothesis import strategies as st
from mac import entry
from mac.commands import alf, alfd, sockets, tailnet
from mac.commands.alf import Rules

if TYPE_CHECKING:
    from pathlib import Path

    from commands_support import Answer, Box

ROOT = 0
TOOL = "socketfilterfw"
PROGRAM = "/opt/homebrew/Cellar/ollama/0.32.15/libexec/ollama"
VERSIONS = ["14.7", "15.3", "15.6.1", "26.5.2"]
RULES = Rules(apps=(("/usr/libexec/sshd-session", "Block"), ("/usr/bin/python3", "Allow")))

NEW_LIST = (
    "Total number of apps = 2\n"
    "1 : /usr/libexec/sshd-session\n"
    "             (Block incoming connections)\n"
    "2 : /usr/bin/python3\n"
    "             (Allow incoming connections)"
)
OLD_LIST = (
    "ALF: total number of apps = 2\n\n"
    "1 :  /usr/libexec/sshd-session\n"
    " \t ( Block incoming connections )\n\n"
    "2 :  /usr/bin/python3\n"
    " \t ( Allow incoming connections )"
)


@pytest.fixture
def fresh(box: Box) -> Box:
    """Give a Mac with the program on its disk and two known rules."""
    box.write(PROGRAM, "")
    alf.store(RULES)
    return box


def shown(box: Box, *argv: str) -> str:
    """Give what a question is answered, without trailing spaces."""
    answer = box.run(TOOL, *argv)
    assert answer.rc == 0
    return "\n".join(answer.lines).rstrip()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("option", "changes", "old", "new"),
    [
        ("--getglobalstate", {}, "Firewall is enabled. (State = 1)", "Firewall is enabled. (State = 1)"),
        ("--getglobalstate", {"state": 0}, "Firewall is disabled. (State = 0)", "Firewall is disabled. (State = 0)"),
        (
            "--getglobalstate",
            {"state": 2},
            "Firewall is blocking all non-essential incoming connections. (State = 2)",
            "Firewall is blocking all non-essential incoming connections. (State = 2)",
        ),
        ("--getblockall", {}, "Block all DISABLED!", "Firewall has block all state set to disabled."),
        ("--getblockall", {"state": 2}, "Block all ENABLED!", "Firewall has block all state set to enabled."),
        ("--getstealthmode", {}, "Stealth mode disabled", "Firewall stealth mode is off"),
        ("--getstealthmode", {"stealth": True}, "Stealth mode enabled", "Firewall stealth mode is on"),
        (
            "--getallowsigned",
            {"downloaded_signed": False},
            "Automatically allow signed built-in software ENABLED.\nAutomatically allow downloaded signed software DISABLED.",
            "Automatically allow built-in signed software ENABLED.\nAutomatically allow downloaded signed software DISABLED.",
        ),
        ("--listapps", {}, OLD_LIST, NEW_LIST),
    ],
)
def test_question(fresh: Box, version: str, option: str, changes: dict[str, int], old: str, new: str) -> None:
    fresh.identity(os_version=version)
    alf.store(RULES._replace(**changes))  # type: ignore[arg-type]
    assert shown(fresh, option) == (old if version.startswith("14") else new)


@pytest.mark.parametrize("version", ["14.7", "15.6.1"])
@pytest.mark.parametrize(
    ("program", "old", "new"),
    [
        (
            "/usr/bin/python3",
            "Incoming connection to the application is permitted",
            "Incoming connection to /usr/bin/python3 is permitted.",
        ),
        (
            "/usr/libexec/sshd-session",
            "Incoming connection to the application is blocked",
            "Incoming connection to /usr/libexec/sshd-session is blocked.",
        ),
        (PROGRAM, "The application is not part of the firewall", f"Incoming connection to {PROGRAM} is permitted."),
    ],
    ids=["allowed", "blocked", "not-listed"],
)
def test_getappblocked_calls_an_unlisted_program_permitted(fresh: Box, version: str, program: str, old: str, new: str) -> None:
    fresh.identity(os_version=version)
    assert shown(fresh, "--getappblocked", program) == (old if version.startswith("14") else new)


def test_several_questions_in_one_call(fresh: Box) -> None:
    assert shown(fresh, "--getglobalstate", "--getstealthmode").count("\n") == 1


@pytest.mark.parametrize(
    ("version", "code", "listed"),
    [("14.7", 0, True), ("15.3", 0, True), ("15.6.1", 255, False), ("26.5.2", 255, False)],
)
def test_a_plain_user_may_change_rules_only_before_15_6(fresh: Box, version: str, code: int, listed: bool) -> None:
    fresh.identity(os_version=version)
    answer = fresh.run(TOOL, "--add", PROGRAM)
    assert answer.rc == code
    assert ("Must be root to change settings." in answer.out) == (not listed)
    assert (PROGRAM in shown(fresh, "--listapps")) is listed


@pytest.mark.parametrize(("version", "mode"), [("15.3", 0o777), ("15.6.1", 0o755)])
def test_the_rules_folder_is_open_where_the_tool_asks_for_no_root(fresh: Box, version: str, mode: int) -> None:
    fresh.identity(os_version=version)
    alf.prepare()
    assert stat.S_IMODE(fresh.at("/var/db/virtual-mac/state/alf").stat().st_mode) == mode


def run_as_root(box: Box, *argv: str) -> Answer:
    """Run the tool as root."""
    return box.run(TOOL, *argv, uid=ROOT)


def test_a_managed_mac_refuses_changes_and_answers_questions(fresh: Box) -> None:
    fresh.faults(mdm_managed=True)
    answer = run_as_root(fresh, "--add", PROGRAM)
    assert answer.rc == 0
    assert answer.lines == ["Firewall settings cannot be modified from command line on managed Mac computers."]
    assert shown(fresh, "--listapps") == NEW_LIST


def test_a_managed_mac_of_some_versions_refuses_to_answer_too(fresh: Box) -> None:
    fresh.faults(mdm_managed="mute")
    for option in ("--listapps", "--getglobalstate"):
        assert shown(fresh, option) == "Firewall settings cannot be modified from command line on managed Mac computers."


SCRIPT = "$.NSUserDefaults.alloc.initWithSuiteName('com.apple.security.firewall').objectIsForcedForKey('EnableFirewall')"


@pytest.mark.parametrize(("value", "answer"), [(False, "false"), (True, "true"), ("mute", "true"), ("unseen", "false")])
def test_a_profile_shows_in_the_forced_preferences(fresh: Box, value: object, answer: str) -> None:
    fresh.faults(mdm_managed=value)
    assert fresh.run("osascript", "-l", "JavaScript", "-e", SCRIPT).lines == [answer]


def test_add_leaves_a_block_and_unblock_lifts_it(fresh: Box) -> None:
    run_as_root(fresh, "--add", PROGRAM)
    run_as_root(fresh, "--blockapp", PROGRAM)
    run_as_root(fresh, "--add", PROGRAM)
    assert alf.load().current.verdict_of(PROGRAM) == "Block"
    run_as_root(fresh, "--unblockapp", PROGRAM)
    assert alf.load().current.verdict_of(PROGRAM) == "Allow"


@pytest.mark.parametrize("verb", ["--unblockapp", "--blockapp", "--remove"])
def test_a_verb_for_an_unlisted_program_fails_in_words_alone(fresh: Box, verb: str) -> None:
    answer = run_as_root(fresh, verb, PROGRAM)
    assert (answer.rc, answer.lines) == (0, ["The application is not part of the firewall"])


def test_the_path_is_kept_as_it_was_given(fresh: Box) -> None:
    fresh.at("/opt/homebrew/bin").mkdir(parents=True)
    fresh.at("/opt/homebrew/bin/ollama").symlink_to("../Cellar/ollama/0.32.15/libexec/ollama")
    run_as_root(fresh, "--add", "/opt/homebrew/bin/ollama")
    assert "3 : /opt/homebrew/bin/ollama" in shown(fresh, "--listapps")


def test_a_path_that_does_not_exist_is_not_listed(fresh: Box) -> None:
    run_as_root(fresh, "--add", "/opt/nothing")
    assert shown(fresh, "--listapps") == NEW_LIST


def test_an_identifier_clash_drops_the_rule_without_a_word(fresh: Box) -> None:
    new = PROGRAM.replace("0.32.15", "0.33.0")
    fresh.write(new, "")
    run_as_root(fresh, "--add", PROGRAM)
    fresh.faults(alf_identifier_clash=True)
    answer = run_as_root(fresh, "--add", new)
    assert answer.rc == 0
    assert new not in shown(fresh, "--listapps")
    run_as_root(fresh, "--remove", PROGRAM)
    run_as_root(fresh, "--add", new)
    assert new in shown(fresh, "--listapps")


def test_a_change_shows_late_and_changes_add_up_meanwhile(fresh: Box) -> None:
    fresh.faults(alf_delay=3600)
    run_as_root(fresh, "--add", PROGRAM)
    run_as_root(fresh, "--blockapp", PROGRAM)
    assert shown(fresh, "--listapps") == NEW_LIST
    kept = alf.load()
    assert kept.visible(time.time() + 3601).verdict_of(PROGRAM) == "Block"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--setglobalstate", "off"], 0),
        (["--setglobalstate", "on"], 1),
        (["--setblockall", "on"], 2),
        (["--setblockall", "on", "--setblockall", "off"], 1),
        (["--setglobalstate", "off", "--setblockall", "off"], 0),
    ],
    ids=["off", "on", "block-all", "block-all-and-back", "stays-off"],
)
def test_global_state(fresh: Box, argv: list[str], expected: int) -> None:
    assert run_as_root(fresh, *argv).rc == 0
    assert alf.load().current.state == expected


@pytest.mark.parametrize(("version", "code"), [("14.7", 0), ("15.6.1", 1)])
def test_logging_options_are_gone_in_15(fresh: Box, version: str, code: int) -> None:
    fresh.identity(os_version=version)
    assert fresh.run(TOOL, "--getloggingmode").rc == code


PATHS = st.sampled_from([PROGRAM, "/usr/sbin/sshd", "/usr/local/bin/x", "/Applications/Ollama.app/ollama", "?"])
ALL_RULES = st.builds(
    Rules,
    state=st.sampled_from([0, 1, 2]),
    builtin_signed=st.booleans(),
    downloaded_signed=st.booleans(),
    stealth=st.booleans(),
    apps=st.dictionaries(PATHS, st.sampled_from(["Allow", "Block"])).map(lambda apps: tuple(apps.items())),
)


@given(ALL_RULES, PATHS)
def test_off_admits_all_and_block_all_none(rules: Rules, program: str) -> None:
    assert alf.admits(rules._replace(state=0), program)
    assert not alf.admits(rules._replace(state=2), program)


@given(ALL_RULES, PATHS)
def test_a_listed_program_follows_its_entry(rules: Rules, program: str) -> None:
    for verdict in ("Allow", "Block"):
        assert alf.admits(rules.with_app(program, verdict)._replace(state=1), program) == (verdict == "Allow")


@given(ALL_RULES, PATHS)
def test_unlisted_homebrew_programs_are_never_admitted(rules: Rules, program: str) -> None:
    admitted = alf.admits(rules.without_app(program)._replace(state=1), program)
    signed = {"/usr/sbin/sshd": rules.builtin_signed, "/Applications/Ollama.app/ollama": rules.downloaded_signed}
    assert admitted == signed.get(program, False)


@given(ALL_RULES, st.lists(st.tuples(st.integers(1, 9), PATHS)))
def test_every_listening_port_is_open_or_closed(rules: Rules, listeners: list[tuple[int, str]]) -> None:
    opened, closed = alf.open_ports(rules, listeners)
    assert set(opened) | set(closed) == {port for port, _ in listeners}
    assert all(alf.admits(rules, program) for port, program in listeners if port in opened)
    assert not set(opened) & set(closed)


@pytest.mark.parametrize(
    ("executable", "arguments", "program"),
    [
        (
            "/opt/x/bin/python3.11",
            ["python3.11", "-I", "-S", "-B", "/opt/homebrew/bin/ollama", "serve"],
            "/opt/homebrew/bin/ollama",
        ),
        ("/opt/x/bin/python3", ["python3", "-X", "dev", "/srv/a.py"], "/srv/a.py"),
        ("/opt/x/bin/python3", ["python3", "-m", "http.server"], "/opt/x/bin/python3"),
        ("/opt/homebrew/Cellar/ollama/1/libexec/ollama", ["ollama", "serve"], "/opt/homebrew/Cellar/ollama/1/libexec/ollama"),
        ("/opt/virtual-mac/apple-python/bin/python3.9", ["python3", "/Users/felipe/serve.py"], "/usr/bin/python3"),
        ("/usr/bin/dash", ["sh", "/opt/homebrew/bin/x"], "/opt/homebrew/bin/x"),
    ],
    ids=["stand-in", "option-with-word", "module", "binary", "apple-python", "shell"],
)
def test_the_program_of_a_process(executable: str, arguments: list[str], program: str) -> None:
    assert alfd.program_of(executable, arguments) == program


def test_a_program_keeps_its_name_when_its_link_moves_on() -> None:
    names = iter(["/v1/ollama", "/v2/ollama"])
    watcher = alfd.Watcher(lambda _: next(names))
    held = {7: [sockets.Holder(1, 3)]}
    assert watcher.listeners([(11434, 7)], held) == [(11434, "/v1/ollama")]
    assert watcher.listeners([(11434, 7)], held) == [(11434, "/v1/ollama")]
    assert watcher.listeners([], {}) == []
    assert watcher.listeners([(11434, 7)], held) == [(11434, "/v2/ollama")]


@needs_root
@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(state=0), {"own": "open", "other": "open", "none": "refused"}),
        (Rules(apps=(("/own", "Allow"),)), {"own": "open", "other": "dropped", "none": "refused"}),
        (Rules(apps=(("/own", "Block"),)), {"own": "dropped", "other": "dropped", "none": "refused"}),
        (Rules(stealth=True, apps=(("/own", "Allow"),)), {"own": "open", "other": "dropped", "none": "dropped"}),
        (Rules(state=2, apps=(("/own", "Allow"),)), {"own": "dropped", "other": "dropped", "none": "refused"}),
    ],
    ids=["off", "allow", "block", "stealth", "block-all"],
)
def test_packets(rules: Rules, expected: dict[str, str]) -> None:
    ports = {"own": 7001, "other": 7002, "none": 7003}
    with cable() as wire, wire.listening(7001, 7002):
        wire.load(alf.ruleset(rules, [(7001, "/own"), (7002, "/other")]))
        assert {name: wire.probe(port) for name, port in ports.items()} == expected
        assert wire.probe(7001, "fd09::1") == expected["own"]
        # The Mac reaches its own address by loopback: a check from the Mac itself proves nothing.
        assert wire.probe(7002, from_mac=True) == "open"


@needs_root
def test_the_agent_follows_rules_and_listeners(box: Box, tmp_path: Path) -> None:
    program = tmp_path / "server"
    program.write_text(
        "import socket, sys\nserver = socket.create_server(('0.0.0.0', 7001))\nprint('ready', flush=True)\nsys.stdin.read()\n"
    )
    with cable() as wire:
        agent = subprocess.Popen(wire.on_mac(sys.executable, entry.__file__, "alfd"))
        server = subprocess.Popen(
            wire.on_mac(sys.executable, str(program)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            server.stdout.readline()

            def settles(wanted: str) -> bool:
                deadline = time.monotonic() + 10
                while time.monotonic() < deadline:
                    if wire.probe(7001) == wanted:
                        return True
                return False

            assert settles("dropped")
            # Without a Mac's root the agent names the script where it lies on this machine.
            alf.store(Rules(apps=((os.path.realpath(program), "Allow"),)))
            assert settles("open")
            alf.store(Rules(apps=()))
            assert settles("dropped")
        finally:
            for process in (agent, server):
                process.kill()
                process.communicate()
    assert box.at("/var/db/virtual-mac/state/alf").is_dir()


@needs_root
def test_served_ports_pass_by_the_firewall() -> None:
    state = tailnet.Tailnet(down=False, stopped=False, userspace=False, served={7001: "127.0.0.1:7001"})
    script = tailnet.ruleset(state).replace('"utun4"', '"en0"')
    with cable() as wire, wire.listening(tailnet.RELAY_PORT):
        wire.load(alf.ruleset(Rules(state=2), [(tailnet.RELAY_PORT, "/x")]))
        wire.load(script)
        assert (wire.probe(7001), wire.probe(tailnet.RELAY_PORT)) == ("open", "dropped")
