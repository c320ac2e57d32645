"""What is read from a Mac, from recorded outputs of its commands."""

from __future__ import annotations

import os
import plistlib
import pwd
import socket
import sys
from pathlib import Path

import pytest
from ansible.module_utils.fleet.application_firewall import GETTERS
from ansible.module_utils.fleet.vocabulary import Unknown
from ansible.module_utils.macos import commands, launchctl, system
from ansible.module_utils.macos.commands import Answer, run

from .examples import DEFINITION, LABEL, UID

PRINT = (
    f"gui/{UID}/{LABEL} = {{\n\tactive count = 1\n\tpath = /Users/felipe/Library/LaunchAgents/{LABEL}.plist\n"
    "\tstate = running\n\n\tpid = 3438\n\tproperties = keepalive | runatload\n}\n"
)
NO_SERVICE = Answer(113, "", f'Bad request.\nCould not find service "{LABEL}" in domain for user gui: {UID}\n')
NO_DOMAIN = Answer(112, "", f"Bad request.\nCould not find domain for user gui: {UID}\n")
NO_ACTION = Answer(125, "", "Could not print domain: 125: Domain does not support specified action\n")
NOT_PERMITTED = Answer(1, "", "Could not print domain: 1: Operation not permitted\n")


def answering(monkeypatch, module, answers):
    """Let `run` of this module answer by the first words that match; record what was asked."""
    asked = []

    def fake(argv, **_options):
        line = " ".join(argv)
        asked.append(line)
        for words, answer in answers.items():
            if words in line:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        message = f"nobody expected {line}"
        raise AssertionError(message)

    monkeypatch.setattr(module, "run", fake)
    return asked


# Commands. --------------------------------------------------------------------------------------------------------------


def test_a_command_runs_in_the_c_locale_with_the_path_of_macos_and_without_input():
    code = "import os, sys; print(os.environ['LC_ALL'], os.environ['PATH'], repr(sys.stdin.read()), os.environ.get('MORE'))"
    answer = run([sys.executable, "-c", code], environment={"MORE": "1"})
    assert (answer.rc, answer.out.strip()) == (0, f"C {commands.SYSTEM_PATH} '' 1")


def test_an_exit_status_is_an_answer_and_not_an_exception():
    answer = run([sys.executable, "-c", "import sys; sys.stderr.write('first\\nsecond'); sys.exit(113)"])
    assert (answer.rc, answer.said) == (113, "first")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_root_runs_a_command_as_the_user_it_is_for():
    nobody = pwd.getpwnam("nobody")
    code = "import os; print(os.getuid(), os.getgid(), os.getgroups(), os.environ['HOME'], os.environ['USER'], os.getcwd())"
    answer = run(["/usr/bin/env", "python3", "-c", code], environment={"PATH": os.environ["PATH"]}, account=nobody)
    assert answer.out.split() == [
        str(nobody.pw_uid), str(nobody.pw_gid), f"[{nobody.pw_gid}]", nobody.pw_dir, "nobody", "/",
    ], answer  # fmt: skip


def test_bytes_that_are_no_text_do_not_stop_the_reading():
    assert run([sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'a\xffb')"]).out == "a\ufffdb"


def test_a_command_that_hangs_is_ended_and_named():
    with pytest.raises(OSError, match=r"did not answer within 0\.2 s"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2)


def test_a_command_that_is_not_there_is_an_os_error():
    with pytest.raises(OSError, match="no-such-command"):
        run(["/no-such-command"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Answer(1, "out", "err\nmore"), "err"), (Answer(1, "out\n", " \n"), "out"), (Answer(9, "", ""), "exit status 9")],
)
def test_the_words_for_a_person(answer, said):
    assert answer.said == said


# launchctl. -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "pid"),
    [(Answer(0, PRINT, ""), 3438), (NO_SERVICE, None), (NO_DOMAIN, None), (NO_ACTION, None)],
    ids=["loaded", "not loaded", "no domain", "nobody logged in"],
)
def test_a_job_is_read_or_is_not_there(monkeypatch, answer, pid):
    asked = answering(monkeypatch, launchctl, {"print": answer})
    job = launchctl.read_job(f"gui/{UID}", LABEL)
    assert (job and job.pid) == pid
    assert asked == [f"/bin/launchctl print gui/{UID}/{LABEL}"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (NOT_PERMITTED, "not permitted"),
        (Answer(0, "rubbish", ""), "not the print of a service"),
        (OSError("it hangs"), "it hangs"),
    ],
    ids=["not permitted", "rubbish", "hangs"],
)
def test_a_job_that_cannot_be_told_is_an_os_error(monkeypatch, answer, says):
    answering(monkeypatch, launchctl, {"print": answer})
    with pytest.raises(OSError, match=says):
        launchctl.read_job(f"gui/{UID}", LABEL)


@pytest.mark.parametrize(
    ("answer", "session"),
    [
        (Answer(0, f"gui/{UID} = {{\n\ttype = login\n\thandle = 100020\n}}\n", ""), True),
        (Answer(0, f"gui/{UID} = {{\n\ttype = user\n}}\n", ""), False),
        (NO_DOMAIN, False),
        (NO_ACTION, False),
        (NOT_PERMITTED, Unknown("Could not print domain: 1: Operation not permitted")),
    ],
    ids=["login", "another type", "no domain", "nobody logged in", "not permitted"],
)
def test_whether_somebody_is_at_the_screen(monkeypatch, answer, session):
    answering(monkeypatch, launchctl, {"print": answer})
    assert launchctl.read_session(UID) == session


def test_everything_about_the_labels_is_observed_in_every_domain(monkeypatch, tmp_path):
    disabled = Answer(0, f'\tdisabled services = {{\n\t\t"{LABEL}" => disabled\n\t\t"com.apple.Siri" => disabled\n\t}}\n', "")
    asked = answering(
        monkeypatch,
        launchctl,
        {
            f"print gui/{UID}/{LABEL}": Answer(0, PRINT, ""),
            f"print gui/{UID}/": NO_SERVICE,
            f"print user/{UID}/": NO_DOMAIN,
            "print system/": NO_SERVICE,
            f"print-disabled user/{UID}": NO_DOMAIN,
            "print-disabled": disabled,
            f"print gui/{UID}": Answer(0, "gui = {\n\ttype = login\n}", ""),
        },
    )
    found = launchctl.observe(UID, str(tmp_path), [LABEL, "com.ollama.serve"])
    assert [job.target for job in found.jobs] == [f"gui/{UID}/{LABEL}"]
    assert dict(found.disabled) == {f"gui/{UID}": {LABEL}, f"user/{UID}": frozenset(), "system": {LABEL}}
    assert found.gui_session is True
    assert sum("print " in line for line in asked) == 7


def test_a_domain_whose_overrides_cannot_be_read_is_an_os_error(monkeypatch, tmp_path):
    answering(monkeypatch, launchctl, {"print-disabled": NOT_PERMITTED, "print": NO_SERVICE})
    with pytest.raises(OSError, match="print-disabled"):
        launchctl.observe(UID, str(tmp_path), [LABEL])


@pytest.fixture
def agents(tmp_path):
    """Make the folder of launch agents."""
    folder = tmp_path / "Library" / "LaunchAgents"
    folder.mkdir(parents=True)
    return folder


def read(agents):
    ours = launchctl.read_files(str(agents.parents[1]), frozenset({LABEL, "com.ollama.serve"}))
    return {Path(file.path).name: file for file in ours if file.path.startswith(str(agents))}


def test_property_lists_are_found_by_name_and_by_label(agents):
    (agents / f"{LABEL}.plist").write_bytes(plistlib.dumps(DEFINITION))
    (agents / "copy.plist").write_bytes(plistlib.dumps(DEFINITION, fmt=plistlib.FMT_BINARY))
    (agents / "com.ollama.serve.plist").write_bytes(b"not a property list")
    (agents / "com.other.plist").write_bytes(plistlib.dumps({"Label": "com.other"}))
    (agents / f"{LABEL}.plist.bak").write_bytes(plistlib.dumps(DEFINITION))
    found = read(agents)
    assert sorted(found) == ["com.ollama.serve.plist", f"{LABEL}.plist", "copy.plist"]
    assert found[f"{LABEL}.plist"].definition == found["copy.plist"].definition == DEFINITION
    assert found["copy.plist"].label == LABEL
    assert found["com.ollama.serve.plist"].definition is None
    assert found["com.ollama.serve.plist"].label == "com.ollama.serve"


def test_mode_and_links_are_seen(agents):
    file = agents / f"{LABEL}.plist"
    file.write_bytes(plistlib.dumps(DEFINITION))
    file.chmod(0o664)
    (agents / "com.ollama.serve.plist").symlink_to(file)
    found = read(agents)
    assert (found[file.name].mode, found[file.name].symlink) == (0o664, False)
    assert found["com.ollama.serve.plist"].symlink is True


@pytest.mark.parametrize(
    "content",
    [b"", b"<plist>", b"bplist00", b"\xff\xfe", plistlib.dumps(["a"]), plistlib.dumps("x"), b"<?xml version='1.0'?><a/>"],
)
def test_what_is_no_property_list_is_none(tmp_path, content):
    path = tmp_path / "x.plist"
    path.write_bytes(content)
    assert launchctl.read_definition(path) is None
    assert launchctl.read_definition(tmp_path / "absent.plist") is None


# The machine. -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def prefix(tmp_path):
    """Make a Homebrew with two versions, the newer one linked as the formula links it."""
    for version in ("0.9.9", "0.32.3", "0.32.15"):
        keg = tmp_path / "Cellar" / "ollama" / version
        (keg / "bin").mkdir(parents=True)
        (keg / "libexec").mkdir()
        program = keg / "libexec" / "ollama"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        (keg / "bin" / "ollama").symlink_to("../libexec/ollama")
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / "ollama").symlink_to("../Cellar/ollama/0.32.15")
    (tmp_path / "bin").mkdir()
    brew = tmp_path / "bin" / "brew"
    brew.write_text("#!/bin/sh\n")
    brew.chmod(0o755)
    return tmp_path


def keg_of(prefix):
    return system.read_keg(str(prefix), "ollama", str(prefix / "opt/ollama/bin/ollama"))


def test_the_keg_is_read_from_its_links(prefix):
    keg = keg_of(prefix)
    assert (keg.brew, keg.installed, keg.linked, keg.pinned) == (True, ("0.9.9", "0.32.3", "0.32.15"), "0.32.15", False)
    assert keg.program == str(prefix.resolve() / "Cellar/ollama/0.32.15/libexec/ollama")


def test_links_that_lead_nowhere_are_no_program(prefix):
    (prefix / "opt" / "ollama").unlink()
    (prefix / "opt" / "ollama").symlink_to("../Cellar/ollama/9.9.9")
    keg = keg_of(prefix)
    assert (keg.linked, keg.program) == ("", "")


def test_a_pin_is_seen(prefix):
    pins = prefix / "var" / "homebrew" / "pinned"
    pins.mkdir(parents=True)
    (pins / "ollama").symlink_to("../../../Cellar/ollama/0.32.15")
    assert (keg_of(prefix).pinned, keg_of(prefix).pin) == (True, "0.32.15")
    (pins / "ollama").unlink()
    (pins / "ollama").symlink_to("../../../Cellar/ollama/9.9.9")
    assert (keg_of(prefix).pinned, keg_of(prefix).pin) == (True, "")


def test_nothing_at_all_is_nothing(tmp_path):
    keg = keg_of(tmp_path / "nowhere")
    assert (keg.brew, keg.installed, keg.linked, keg.program, keg.pinned) == (False, (), "", "", False)


def test_a_keg_that_was_taken_back_says_why(prefix):
    (prefix / "Cellar/ollama/0.32.3" / system.REFUSED).write_text("every load ended with 500\n")
    (prefix / "Cellar/ollama/.DS_Store").write_text("")
    keg = keg_of(prefix)
    assert keg.refused == (("0.32.3", "every load ended with 500"),)
    assert keg.installed == ("0.9.9", "0.32.3", "0.32.15")


@pytest.mark.parametrize(
    ("state", "listing", "said"),
    [
        (
            Answer(0, "Firewall is enabled. (State = 1)\n", ""),
            Answer(0, "1 : /x\n   (Allow incoming connections)\n", ""),
            (1, {"/x": "allow"}),
        ),
        (Answer(0, "Firewall is disabled. (State = 0)\n", ""), Answer(0, "Total number of apps = 0\n", ""), (0, {})),
    ],
)
def test_the_firewall_is_read(monkeypatch, state, listing, said):
    whole = Answer(0, state.out + "Firewall stealth mode is on\n" + listing.out, "")
    asked = answering(monkeypatch, system, {" ".join(GETTERS): whole, "osascript": Answer(0, "false\n", "")})
    found = system.read_firewall()
    assert (found.state, found.rules, found.switches["stealth"], found.managed) == (*said, True, False)
    assert len(asked) == 2


def test_a_tool_that_answers_the_first_question_only_is_asked_one_by_one(monkeypatch):
    alone = {getter: Answer(0, f"Block all ENABLED! {getter}\n", "") for getter in GETTERS}
    alone["--getglobalstate"] = Answer(0, "Firewall is enabled. (State = 2)\n", "")
    answers = {" ".join(GETTERS): Answer(1, "", "usage"), **alone, "osascript": Answer(0, "false\n", "")}
    asked = answering(monkeypatch, system, answers)
    found = system.read_firewall()
    assert (found.state, found.switches["block_all"]) == (2, True)
    assert len(asked) == 2 + len(GETTERS)


@pytest.mark.parametrize(
    "forced", [Answer(0, "true\n", ""), Answer(0, "false\n", ""), Answer(1, "", "no")], ids=["yes", "no", "?"]
)
def test_a_profile_is_known_before_anything_is_written(monkeypatch, forced):
    state = Answer(0, "Firewall is enabled. (State = 1)\n", "")
    answering(monkeypatch, system, {"--getglobalstate": state, "osascript": forced})
    assert system.read_firewall().managed is (forced.out == "true\n")


@pytest.mark.parametrize(
    ("said", "listing", "managed"),
    [
        ("Firewall settings cannot be modified from command line on managed Mac computers.\n", Answer(0, "", ""), True),
        ("", Answer(255, "", "Must be root to change settings.\n"), False),
        ("what?\n", Answer(0, "", ""), False),
    ],
    ids=["managed", "no list", "no state"],
)
def test_a_firewall_that_cannot_be_read_is_unknown(monkeypatch, said, listing, managed):
    answers = {" ".join(GETTERS): Answer(0, said, ""), "--listapps": listing, "socketfilterfw": Answer(0, said, "")}
    answering(monkeypatch, system, {**answers, "osascript": Answer(0, "false\n", "")})
    found = system.read_firewall()
    assert isinstance(found.state, Unknown)
    assert found.managed is managed


def test_identifiers_are_read_where_there_are_some(monkeypatch):
    answers = {"-dv /a": Answer(0, "", "Executable=/a\nIdentifier=a.out\n"), "-dv /b": Answer(1, "", "/b: No such file\n")}
    answering(monkeypatch, system, answers)
    assert system.read_identifiers(["/a", "/b"]) == {"/a": "a.out"}


@pytest.mark.parametrize(
    ("out", "listener"),
    [
        ("p3438\ncollama\nf3\nn*:11434\n", (["*"], [3438], ["ollama"])),
        ("p3438\ncollama\nf3\nn127.0.0.1:11434\nf4\nn[::1]:11434\n", (["127.0.0.1", "[::1]"], [3438], ["ollama"])),
        ("p1\nca\nf3\nn127.0.0.1:11434\np2\ncb\nf3\nn*:11434\n", (["127.0.0.1", "*"], [1, 2], ["a", "b"])),
        ("", ([], [], [])),
    ],
    ids=["every interface", "both loopbacks", "two programs", "nobody"],
)
def test_who_listens(monkeypatch, out, listener):
    answering(monkeypatch, system, {"lsof": Answer(0 if out else 1, out, "")})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    read_now = system.read_listener(port)
    assert (read_now["addresses"], read_now["pids"], read_now["commands"]) == listener
    assert read_now["open"] is False


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def test_a_port_of_somebody_else_is_seen_to_be_open(monkeypatch, family, address):
    answering(monkeypatch, system, {"lsof": Answer(1, "", "")})
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"{address} is not to be had here")
    with server:
        assert system.read_listener(server.getsockname()[1])["open"] is True


def test_the_machine(monkeypatch, tmp_path):
    answering(
        monkeypatch,
        system,
        {
            "vm.swapusage": Answer(
                0,
                "hw.memsize: 17179869184\nvm.swapusage: total = 2048.00M  used = 1130.75M  free = 917.25M  (encrypted)\n"
                "kern.memorystatus_vm_pressure_level: 2\n"
                "kern.boottime: { sec = 1764130000, usec = 0 } Wed Nov 26 04:06:40 2025\n",
                "",
            ),
            "sw_vers": Answer(0, "15.6.1\n", ""),
        },
    )
    machine = system.read_machine(tmp_path)
    assert machine["macos_version"] == "15.6.1"
    assert machine["memory_bytes"] == 17179869184
    assert machine["swap_used_bytes"] == round(1130.75 * 2**20)
    assert machine["pressure_level"] == 2
    assert machine["booted_at"] == "2025-11-26T04:06:40Z"
    assert 0 < machine["disk_free_bytes"] <= machine["disk_total_bytes"]


def test_swap_that_cannot_be_read_is_unknown_and_not_none(monkeypatch, tmp_path):
    answering(
        monkeypatch,
        system,
        {
            "vm.swapusage": Answer(1, "hw.memsize: 1\n", "sysctl: unknown oid"),
            "sw_vers": Answer(0, "15\n", ""),
        },
    )
    machine = system.read_machine(tmp_path)
    assert machine["memory_bytes"] == 1
    assert all(set(machine[name]) == {"unknown"} for name in ("swap_used_bytes", "pressure_level", "booted_at"))
