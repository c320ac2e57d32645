"""Every answer of launchctl, row by row of the decision table; a row's number is the test's name."""

from __future__ import annotations

import datetime
import os
import plistlib
import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mac.launchd import calls, decisions, domains, errors, faults, job, printing
from mac.launchd.decisions import HINT, Case, Effect, File, Presence, State, decide

GUI = domains.gui(501)
SERVICE = domains.Target(GUI, "com.user.ollama")
DAEMON = domains.Target(domains.SYSTEM, "com.user.ollama")
LOADED = (State.IDLE, State.RUNNING, State.THROTTLED)

UNSUPPORTED = "125: Domain does not support specified action"
NOT_FOUND = 'Could not find service "com.user.ollama" in domain for user gui: 501'
FLAT = ("Bootstrap failed: 5: Input/output error", HINT)


def case(verb: str, target: domains.Target = SERVICE, **more: Any) -> Case:
    return Case(verb=verb, target=target, **more)


def row(name: str, asked: Case, code: int, lines: tuple[str, ...] = (), effect: Effect = Effect.NOTHING) -> Any:
    return pytest.param(asked, code, lines, effect, id=f"row {name}")


def root_refusal(name: str, number: int, text: str, **more: Any) -> Any:
    return row(name, case("bootstrap", root=True, **more), number, (f"Bootstrap failed: {number}: {text}",))


def usage(verb: str, shape: str) -> tuple[str, ...]:
    return (
        "Unrecognized target specifier.",
        f"Usage: launchctl {verb} {shape}",
        "<service-target> takes a form of <domain-target>/<service-id>.",
        "Please refer to `man launchctl` for explanation of the <domain-target> specifiers.",
    )


BOOTOUT_USAGE = usage("bootout", "<domain-target> [service-path1, service-path2, ...] | <service-target>")

ROWS = [
    row("1", case("bootstrap"), 0, (), Effect.REGISTER),
    row("1 as root", case("bootstrap", root=True), 0, (), Effect.REGISTER),
    row("1 after a domain's own business", case("bootstrap", presence=Presence.TEARING_DOWN), 124,
        ("Bootstrap failed: 124: Domain is tearing down",)),
    *(row(f"2 {state.value}", case("bootstrap", state=state), 5, FLAT) for state in LOADED),
    *(root_refusal(f"3 {state.value}", 37, "Operation already in progress", state=state) for state in LOADED),
    row("4", case("bootstrap", state=State.DRAINING), 5, FLAT),
    root_refusal("4 as root", 5, "Input/output error", state=State.DRAINING),
    row("5", case("bootstrap", disabled=True), 5, FLAT),
    root_refusal("5 as root", 119, "Service is disabled", disabled=True),
    row("6", case("bootstrap", file=File.BAD_OWNERSHIP), 5, FLAT),
    root_refusal("6 as root", 122, "Path had bad ownership/permissions", file=File.BAD_OWNERSHIP),
    row("7", case("bootstrap", file=File.MALFORMED), 5, FLAT),
    root_refusal("7 as root", 109, "Invalid property list", file=File.MALFORMED),
    root_refusal("7 no program", 111, "Invalid or missing Program/ProgramArguments", file=File.NO_PROGRAM),
    root_refusal("7 no user", 114, "The specified username does not exist", file=File.NO_USER),
    row("8 (c)", case("bootstrap", file=File.MISSING), 5, FLAT),
    root_refusal("8 (c) as root", 2, "No such file or directory", file=File.MISSING),
    row("9", case("bootstrap", file=File.WRONG_SESSION), 5, FLAT),
    root_refusal("9 as root", 134, "Service cannot load in requested session", file=File.WRONG_SESSION),
    *(
        row(f"10 {verb} {presence.value}", case(verb, presence=presence), 125, (f"{prefix}: {UNSUPPORTED}",))
        for presence in (Presence.ABSENT, Presence.ONLY_USER)
        for verb, prefix in (
            ("bootstrap", "Bootstrap failed"),
            ("bootout", "Boot-out failed"),
            ("kickstart", 'Could not kickstart service "com.user.ollama"'),
            ("enable", "Could not enable service"),
            ("disable", "Could not disable service"),
        )
    ),
    row("10 another user's", case("bootout", permitted=False, state=State.RUNNING), 125,
        (f"Boot-out failed: {UNSUPPORTED}",)),
    row("10 user/UID before any login", case("bootstrap", domains.Target(domains.user(501)), root=True,
        presence=Presence.ABSENT), 5, ("Bootstrap failed: 5: Input/output error",)),
    row("11 (c)", case("bootstrap", DAEMON, permitted=False), 5, FLAT),
    *(row(f"12 {state.value}", case("bootout", state=state), 0, (), Effect.REMOVE) for state in LOADED),
    row("12 by path", case("bootout", domains.Target(GUI), path="/x.plist", state=State.RUNNING), 0, (),
        Effect.REMOVE),
    row("12 a whole domain (c)", case("bootout", domains.Target(GUI)), 0, (), Effect.TEAR_DOWN),
    row("13", case("bootout"), 3, ("Boot-out failed: 3: No such process",)),
    row("14", case("bootout", domains.Target(GUI), path="/x.plist"), 5,
        ("Boot-out failed: 5: Input/output error", HINT)),
    row("14 as root", case("bootout", domains.Target(GUI), path="/x.plist", root=True), 5,
        ("Boot-out failed: 5: Input/output error",)),
    row("15 (c)", case("bootout", state=State.DRAINING), 0),
    *(row(f"16 macOS {major}", case("bootout", state=State.RUNNING, wait=True, os_major=major), 64,
          BOOTOUT_USAGE)
      for major in (14, 15)),
    row("17", case("bootout", state=State.RUNNING, wait=True, os_major=26), 0, (), Effect.REMOVE_AND_WAIT),
    row("17 draining", case("bootout", state=State.DRAINING, wait=True, os_major=26), 0, (),
        Effect.REMOVE_AND_WAIT),
    row("17 not loaded", case("bootout", wait=True, os_major=26), 3,
        ("Boot-out failed: 3: No such process",)),
    row("18", case("bootout", DAEMON, permitted=False, state=State.RUNNING), 1,
        ("Boot-out failed: 1: Operation not permitted",)),
    row("19", case("kickstart", state=State.IDLE), 0, (), Effect.START),
    row("20", case("kickstart", state=State.RUNNING), 37),
    row("21", case("kickstart", state=State.RUNNING, kill=True), 0, (), Effect.RESTART),
    row("21 idle", case("kickstart", state=State.IDLE, kill=True), 0, (), Effect.START),
    row("22", case("kickstart"), 113, (NOT_FOUND,)),
    row("22 system", case("kickstart", DAEMON, root=True), 113,
        ('Could not find service "com.user.ollama" in domain for system',)),
    row("22 not permitted", case("kickstart", DAEMON, permitted=False, state=State.IDLE), 1,
        ('Could not kickstart service "com.user.ollama": 1: Operation not permitted',)),
    row("23 (c)", case("kickstart", state=State.THROTTLED), 0),
    *(row(f"24 {state.value}", case("print", state=state), 0, (), Effect.SHOW)
      for state in (*LOADED, State.DRAINING)),
    row("25", case("print"), 113, ("Bad request.", NOT_FOUND)),
    row("25 user/UID", case("print", domains.Target(domains.user(501), "x")), 113,
        ("Bad request.", 'Could not find service "x" in domain for uid: 501')),
    row("26 no user domain", case("print", presence=Presence.ABSENT), 112,
        ("Bad request.", "Could not find domain for user gui: 501")),
    row("26 user domain present", case("print", domains.Target(GUI), presence=Presence.ONLY_USER), 125,
        (f"Could not print domain: {UNSUPPORTED}",)),
    row("26 nobody's", case("print", domains.Target(GUI), presence=Presence.ABSENT, permitted=False), 112,
        ("Bad request.", "Could not find domain for user gui: 501")),
    row("27", case("print", domains.Target(GUI), permitted=False), 1,
        ("Could not print domain: 1: Operation not permitted",)),
    row("27 fault print-denied", case("print", print_denied=True, state=State.RUNNING), 1,
        ("Could not print service: 1: Operation not permitted",)),
    row("27 fault spares root", case("print", print_denied=True, root=True, state=State.RUNNING), 0, (),
        Effect.SHOW),
    row("28", case("print-disabled", domains.Target(GUI)), 0, (), Effect.SHOW),
    row("29 enable", case("enable"), 0, (), Effect.ENABLE),
    row("29 disable", case("disable", state=State.RUNNING), 0, (), Effect.DISABLE),
    row("30", case("list", domains.Target(GUI)), 0, (), Effect.SHOW),
    row("31", case("list", state=State.IDLE), 0, (), Effect.SHOW),
    row("31 not loaded", case("list"), 113, ('Could not find service "com.user.ollama" in domain for port',)),
    *(
        row(f"32 {name}", case("load", path="/x.plist", **more), 0,
            ("Load failed: 5: Input/output error",
             "Try running `launchctl bootstrap` as root for richer errors."))
        for name, more in (
            ("loaded", {"state": State.RUNNING}),
            ("disabled", {"disabled": True}),
            ("malformed", {"file": File.MALFORMED}),
            ("wrong session", {"file": File.WRONG_SESSION}),
            ("no gui", {"presence": Presence.ABSENT}),
        )
    ),
    row("32 as root", case("load", DAEMON, root=True, path="/x.plist", file=File.BAD_OWNERSHIP), 0,
        ("/x.plist: Path had bad ownership/permissions",)),
    row("33 load", case("load", path="/x.plist"), 0, (), Effect.REGISTER),
    row("33 unload", case("unload", path="/x.plist", state=State.RUNNING), 0, (), Effect.REMOVE),
    row("33 unload of what is not loaded", case("unload", path="/x.plist"), 0,
        ("Unload failed: 5: Input/output error",
         "Try running `launchctl bootout` as root for richer errors.")),
    row("34", case("stop", state=State.RUNNING), 0, (), Effect.STOP),
    row("34 start", case("start", state=State.IDLE), 0, (), Effect.START),
    row("34 start a running one", case("start", state=State.RUNNING), 0),
    row("35 (c) start", case("start"), 3),
    row("35 (c) stop", case("stop"), 3),
    row("37", case("asuser", domains.Target(GUI), session_id=100005), 1,
        ("Could not switch to audit session 0x186a5: 1: Operation not permitted",)),
    *(row(f"38 {verb} without a label", case(verb, domains.Target(GUI)), 64,
          usage(verb, decisions.USAGES[verb]))
      for verb in ("kickstart", "enable", "disable", "blame", "kill")),
    row("fault bootstrap-fails", case("bootstrap", fails_once=True), 5, FLAT),
    row("fault bootstrap-stays-idle", case("bootstrap", stays_idle=True), 0, (), Effect.REGISTER_IDLE),
    row("fault bootstrap-vanishes", case("bootstrap", vanishes=True), 0, (), Effect.VANISH),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "code", "lines", "effect"), ROWS)
def test_answer(asked: Case, code: int, lines: tuple[str, ...], effect: Effect) -> None:
    outcome = decide(asked)
    assert (outcome.code, outcome.errors, outcome.effect) == (code, lines, effect)


def test_a_refusal_never_says_what_is_not_so() -> None:
    """For each combination: whoever is refused hears a reason, whoever is served hears nothing."""
    for verb in ("bootstrap", "bootout", "enable", "kickstart", "print"):
        for state in State:
            for file in File:
                for root in (False, True):
                    outcome = decide(case(verb, state=state, file=file, root=root))
                    silent_refusal = outcome.code == errors.EALREADY and verb == "kickstart"
                    assert bool(outcome.errors) == (outcome.code != 0) or silent_refusal


@pytest.mark.parametrize(
    ("argv", "first_line"),
    [
        pytest.param(["print", "com.user.ollama"], "Unrecognized target specifier.", id="row 38 no slash"),
        pytest.param(["kickstart", "-z", "gui/501/x"], "Unrecognized target specifier.", id="row 38 option"),
        pytest.param(["bootout", "gui/abc/x"], "Unrecognized target specifier.", id="row 38 uid"),
        pytest.param(["bootstrap", "gui/501/x", "/x"], "Unrecognized target specifier.", id="row 38 service"),
        pytest.param(["frobnicate"], "Unrecognized subcommand: frobnicate", id="row 38 verb"),
    ],
)
def test_a_command_line_that_makes_no_sense(argv: list[str], first_line: str) -> None:
    with pytest.raises(calls.UsageError) as caught:
        calls.parse(argv)
    assert (caught.value.outcome.code, caught.value.outcome.errors[0]) == (64, first_line)


@pytest.mark.parametrize(
    ("argv", "call"),
    [
        (
            ["kickstart", "-kp", "gui/501/x"],
            calls.Call("kickstart", frozenset("kp"), domains.Target(GUI, "x")),
        ),
        (
            ["bootstrap", "system", "/x"],
            calls.Call("bootstrap", frozenset(), domains.Target(domains.SYSTEM), ("/x",)),
        ),
        (["kill", "TERM", "gui/501/x"], calls.Call("kill", frozenset(), domains.Target(GUI, "x"), ("TERM",))),
        (["load", "-S", "Aqua", "-w", "/x"], calls.Call("load", frozenset("w"), None, ("/x",))),
        (["asuser", "501", "ls", "-l"], calls.Call("asuser", frozenset(), None, ("501", "ls", "-l"))),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_line_is_read(argv: list[str], call: calls.Call) -> None:
    assert calls.parse(argv) == call


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3, "3: No such process"),
        (37, "37: Operation already in progress"),
        (112, "112: Could not find specified domain"),
        (99, "99: Unknown error: 99"),
    ],
)
def test_error_numbers_are_darwins(number: int, text: str) -> None:
    assert errors.numbered(number) == text


# What is read from a plist


def definition(**plist: Any) -> job.Definition:
    return job.define({"Label": "x", "ProgramArguments": ["/bin/sleep", "9"], **plist})


@pytest.mark.parametrize(
    ("plist", "field", "value"),
    [
        ({"EnvironmentVariables": {"A": "1", "B": 1, "C": True}}, "environment", {"A": "1"}),
        ({"ThrottleInterval": 0}, "throttle_interval", 10),
        ({"ThrottleInterval": 30}, "throttle_interval", 30),
        ({}, "exit_timeout", 5),
        ({"ExitTimeOut": 0}, "exit_timeout", 0),
        ({"KeepAlive": True}, "starts_at_load", True),
        ({"KeepAlive": {"SuccessfulExit": False}}, "starts_at_load", True),
        ({"KeepAlive": {"Crashed": True}}, "starts_at_load", False),
        ({"KeepAlive": False, "RunAtLoad": True}, "starts_at_load", True),
        ({}, "inferred_program", True),
        ({"Program": "/bin/cat"}, "program", "/bin/cat"),
        ({"Umask": 63}, "umask", 0o077),
        ({"Umask": "027"}, "umask", 0o027),
        ({"Umask": "x"}, "umask", None),
        ({"SoftResourceLimits": {"NumberOfFiles": 4096}}, "soft_files", 4096),
        ({"LimitLoadToSessionType": "Background"}, "sessions", ("Background",)),
    ],
    ids=str,
)
def test_a_key_is_read(plist: dict[str, Any], field: str, value: object) -> None:
    assert getattr(definition(**plist), field) == value


@pytest.mark.parametrize(
    ("data", "number"),
    [
        pytest.param(b"", 109, id="empty"),
        pytest.param(b"<plist><dict><key>Label</key></dict></plist>", 109, id="key without value"),
        pytest.param(plistlib.dumps(["x"]), 109, id="not a dictionary"),
        pytest.param(plistlib.dumps({"Program": "/bin/cat"}), 109, id="no Label"),
        pytest.param(plistlib.dumps({"Label": "x"}), 111, id="no program"),
        pytest.param(plistlib.dumps({"Label": "x", "ProgramArguments": []}), 111, id="no arguments"),
    ],
)
def test_a_plist_is_rejected(data: bytes, number: int) -> None:
    with pytest.raises(job.RejectedError) as caught:
        job.parse(data)
    assert caught.value.number == number


@pytest.mark.parametrize(
    ("sessions", "domain", "loads"),
    [
        ((), GUI, True),
        ((), domains.user(501), False),
        ((), domains.SYSTEM, True),
        (("Aqua",), domains.SYSTEM, False),
        (("Background",), GUI, False),
        (("Background",), domains.user(501), True),
        (("Aqua", "Background", "LoginWindow", "StandardIO", "System"), GUI, True),
        (("Aqua", "Background", "LoginWindow", "StandardIO", "System"), domains.SYSTEM, True),
    ],
    ids=str,
)
def test_session_types_choose_domains(sessions: tuple[str, ...], domain: domains.Domain, loads: bool) -> None:
    assert definition(LimitLoadToSessionType=list(sessions)).loads_in(domain) is loads


EXITED_0, EXITED_1 = 0, 1 << 8
SEGFAULT, TERMINATED = int(signal.SIGSEGV), int(signal.SIGTERM)


@pytest.mark.parametrize(
    ("keep_alive", "status", "again"),
    [
        (True, EXITED_0, True),
        (False, EXITED_1, False),
        ({"SuccessfulExit": False}, EXITED_0, False),
        ({"SuccessfulExit": False}, EXITED_1, True),
        ({"SuccessfulExit": False}, TERMINATED, True),
        ({"SuccessfulExit": True}, EXITED_0, True),
        ({"Crashed": True}, SEGFAULT, True),
        ({"Crashed": True}, TERMINATED, False),
        ({"Crashed": True}, EXITED_1, False),
        ({"Crashed": True, "SuccessfulExit": True}, EXITED_0, True),
        ({"NetworkState": True}, EXITED_1, False),
    ],
    ids=str,
)
def test_keep_alive_judges_an_exit(keep_alive: object, status: int, again: bool) -> None:
    assert definition(KeepAlive=keep_alive).keep_alive.wants(status) is again


@pytest.mark.parametrize(
    ("entry", "moment"),
    [
        ({"Minute": 30}, "2026-08-22 10:30"),
        ({"Hour": 3, "Minute": 5}, "2026-08-23 03:05"),
        ({"Weekday": 0, "Hour": 0, "Minute": 0}, "2026-08-23 00:00"),
        ({"Weekday": 7, "Hour": 0, "Minute": 0}, "2026-08-23 00:00"),
        ({"Day": 1, "Weekday": 1, "Hour": 0, "Minute": 0}, "2026-08-24 00:00"),
        ({"Month": 2, "Day": 29, "Hour": 0, "Minute": 0}, "2028-02-29 00:00"),
        ({}, "2026-08-22 10:01"),
    ],
    ids=str,
)
def test_calendar_intervals(entry: dict[str, int], moment: str) -> None:
    after = datetime.datetime(2026, 8, 22, 10, 0, 30)  # a Saturday
    found = job.next_calendar_start(definition(StartCalendarInterval=entry).start_calendar, after)
    assert str(found)[:16] == moment


def test_an_impossible_calendar_interval_never_comes() -> None:
    after = datetime.datetime(2026, 8, 22)
    assert job.next_calendar_start(({"Month": 2, "Day": 30},), after) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [
        "EnvironmentVariables",
        "ExitTimeOut",
        "HardResourceLimits",
        "KeepAlive",
        "LimitLoadToSessionType",
        "Nice",
        "ProgramArguments",
        "RunAtLoad",
        "SoftResourceLimits",
        "StandardOutPath",
        "StartCalendarInterval",
        "StartInterval",
        "ThrottleInterval",
        "Umask",
        "UserName",
        "WorkingDirectory",
    ]
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_no_value_of_any_key_upsets_the_reader(plist: dict[str, Any]) -> None:
    found = job.define({**plist, "Label": "x", "Program": "/bin/cat"})
    printing.service(printing.Snapshot(GUI, "/x.plist", found))
    job.next_calendar_start(found.start_calendar, datetime.datetime(2026, 8, 22))
    assert found.exit_timeout >= 0


# Names


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("system", domains.Target(domains.SYSTEM)),
        ("system/x", domains.Target(domains.SYSTEM, "x")),
        ("gui/501", domains.Target(GUI)),
        ("gui/501/", domains.Target(GUI)),
        ("user/501/a.b/c", domains.Target(domains.user(501), "a.b/c")),
        ("gui", None),
        ("gui/", None),
        ("gui/-1/x", None),
        ("gui/x/y", None),
        ("gui/\u0665\u0660\u0661/y", None),
        ("com.user.ollama", None),
        ("", None),
    ],
)
def test_a_target_is_read(text: str, target: domains.Target | None) -> None:
    assert domains.parse(text) == target


@given(st.text())
def test_reading_a_target_never_fails(text: str) -> None:
    target = domains.parse(text)
    assert target is None or domains.parse(str(target)) == target


@given(st.lists(st.text(max_size=12), max_size=5))
def test_reading_a_command_line_ends_in_a_call_or_in_usage(argv: list[str]) -> None:
    try:
        call = calls.parse(argv)
    except calls.UsageError as error:
        assert error.outcome.code == 64  # noqa: PT017  both ends are right, this is what one must look like
    else:
        assert call.verb == argv[0]


def test_both_domains_of_a_user_share_the_store_of_overrides() -> None:
    assert domains.gui(501).store == domains.user(501).store != domains.SYSTEM.store


# What is printed


def snapshot(domain: domains.Domain = GUI, **more: Any) -> printing.Snapshot:
    plist = more.pop("plist", {})
    return printing.Snapshot(domain, "/Users/felipe/x.plist", definition(**plist), **more)


def top_level(text: str) -> dict[str, str]:
    """Read `print` as its careful readers do: the lines with exactly one TAB."""
    lines = [line[1:] for line in text.splitlines() if line.startswith("\t") and not line.startswith("\t\t")]
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def block(text: str, name: str, arrow: str = " => ") -> dict[str, str]:
    """Read one block of `print`."""
    inside = text.partition(f"\n\t{name} = {{\n")[2].partition("\n\t}")[0]
    return dict(line[2:].split(arrow, 1) for line in inside.split("\n") if line)


@pytest.mark.parametrize(
    ("shown", "field", "value"),
    [
        (snapshot(), "state", "not running"),
        (snapshot(state="running", pid=77), "pid", "77"),
        (snapshot(), "type", "LaunchAgent"),
        (snapshot(domains.SYSTEM), "type", "LaunchDaemon"),
        (snapshot(session_id=100005), "domain", "gui/501 [100005]"),
        (snapshot(domains.SYSTEM), "domain", "system"),
        (snapshot(domains.SYSTEM, plist={"UserName": "felipe"}), "username", "felipe"),
        (snapshot(), "last exit code", "(never exited)"),
        (snapshot(last_status=0), "last exit code", "0"),
        (snapshot(last_status=1 << 8), "last exit code", "1"),
        (snapshot(last_status=78 << 8), "last exit code", "78: EX_CONFIG"),
        (snapshot(last_status=15), "last terminating signal", "Terminated: 15"),
        (snapshot(last_status=9), "last terminating signal", "Killed: 9"),
        (snapshot(last_status=int(signal.SIGBUS)), "last terminating signal", "Bus error: 10"),
        (snapshot(), "minimum runtime", "10"),
        (snapshot(plist={"ExitTimeOut": 20}), "exit timeout", "20"),
        (snapshot(plist={"ProcessType": "Interactive"}), "spawn type", "interactive (4)"),
        (snapshot(), "spawn type", "daemon (3)"),
        (snapshot(plist={"KeepAlive": True, "RunAtLoad": True}), "properties",
         "keepalive | runatload | inferred program"),
        (snapshot(plist={"StandardOutPath": "/a.log"}), "stdout path", "/a.log"),
        (snapshot(plist={"WorkingDirectory": "/opt"}), "working directory", "/opt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_row_24_print_shows(shown: printing.Snapshot, field: str, value: str) -> None:
    assert top_level(printing.service(shown))[field] == value


def test_row_24_a_job_without_process_shows_no_pid() -> None:
    assert "pid" not in top_level(printing.service(snapshot()))


def test_print_never_says_disabled() -> None:
    assert "disabled" not in printing.service(snapshot(plist={"Disabled": True}))


def test_the_first_line_names_the_target() -> None:
    assert printing.service(snapshot()).startswith("gui/501/x = {\n\tactive count = 0\n\tpath = ")


PRINTABLE = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)


@given(st.dictionaries(NAMES, PRINTABLE, max_size=6))
def test_the_environment_parses_back_from_print(values: dict[str, str]) -> None:
    values.pop("XPC_SERVICE_NAME", None)
    shown = block(printing.service(snapshot(plist={"EnvironmentVariables": values})), "environment")
    shown.pop("XPC_SERVICE_NAME")
    assert shown == {"OSLogRateLimit": "64", **values}


@given(
    label=NAMES,
    arguments=st.lists(PRINTABLE, min_size=1, max_size=5),
    environment=st.dictionaries(NAMES, PRINTABLE, max_size=5),
    throttle=st.integers(min_value=1, max_value=10**6),
    form=st.sampled_from([plistlib.FMT_XML, plistlib.FMT_BINARY]),
)
def test_a_definition_survives_its_plist(
    label: str,
    arguments: list[str],
    environment: dict[str, str],
    throttle: int,
    form: plistlib.PlistFormat,
) -> None:
    plist = {
        "Label": label,
        "ProgramArguments": arguments,
        "EnvironmentVariables": environment,
        "ThrottleInterval": throttle,
    }
    read = job.parse(plistlib.dumps(plist, fmt=form))
    assert (read.label, list(read.arguments), read.environment, read.throttle_interval) == (
        label,
        arguments,
        environment,
        throttle,
    )


@given(st.binary(max_size=200))
def test_any_file_is_read_or_rejected(data: bytes) -> None:
    try:
        job.parse(b"<plist>" + data)
    except job.RejectedError as error:
        assert error.number in (errors.BAD_PLIST, errors.NO_PROGRAM)  # noqa: PT017  reading is right as well


@pytest.mark.parametrize(
    ("os_major", "words"),
    [(12, ("true", "false")), (13, ("disabled", "enabled")), (26, ("disabled", "enabled"))],
)
def test_row_28_print_disabled_words(os_major: int, words: tuple[str, str]) -> None:
    text = printing.disabled({"a": True, "b": False}, os_major)
    assert f'\t\t"a" => {words[0]}\n\t\t"b" => {words[1]}\n\t}}\n' in text


def test_row_30_list_is_a_table_with_tabs() -> None:
    jobs = [
        snapshot(pid=7, plist={"Label": "b"}),
        snapshot(last_status=78 << 8, plist={"Label": "a"}),
        snapshot(last_status=15, plist={"Label": "c"}),
    ]
    assert printing.table(jobs) == "PID\tStatus\tLabel\n-\t78\ta\n7\t0\tb\n-\t-15\tc\n"


def test_row_31_list_label_gives_the_raw_wait_status() -> None:
    assert '\t"LastExitStatus" = 19200;\n' in printing.entry(snapshot(last_status=75 << 8))


@pytest.mark.parametrize(("pid", "shown"), [(7, True), (None, False)])
def test_row_31_list_label_has_a_pid_only_with_a_process(pid: int | None, shown: bool) -> None:
    assert ('"PID" = 7;' in printing.entry(snapshot(pid=pid))) is shown


@pytest.mark.parametrize(("domain", "kind"), [(GUI, "login"), (domains.user(501), "user"), (domains.SYSTEM, "system")], ids=str)
def test_a_domain_names_its_type(domain: domains.Domain, kind: str) -> None:
    assert top_level(printing.domain(domain, 100005, {}, [], {}, 15))["type"] == kind


@pytest.mark.parametrize("number", [number for number in range(1, 65) if number != 32], ids=str)
def test_every_signal_has_words(number: int) -> None:
    assert os.WIFSIGNALED(number)
    assert printing.last_exit(number).startswith("last terminating signal = ")


# Faults


@pytest.mark.parametrize(
    ("value", "struck"),
    [(True, True), (False, False), ("x", True), ("y", False), (["y", "x"], True), ([], False), (0, False)],
    ids=str,
)
def test_a_fault_chooses_its_jobs(value: object, struck: bool) -> None:
    assert faults.strikes(value, "x") is struck


@pytest.mark.parametrize(("value", "left"), [(True, 1), (3, 3), (0, 0), (-1, 0), ("x", 0), (None, 0)], ids=str)
def test_a_count_down_reads_its_value(value: object, left: int) -> None:
    assert faults.remaining(value) == left
