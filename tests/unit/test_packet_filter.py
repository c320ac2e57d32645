"""Who may reach the port: what is refused, what the rules say, and the steps from what was found to what is wanted."""

from __future__ import annotations

import ipaddress
import itertools
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.fleet import packet_filter as pf
from ansible.module_utils.fleet.vocabulary import Unknown, plain
from ansible.module_utils.macos import packet_filter as on_mac
from ansible.module_utils.macos.commands import Answer
from hypothesis import given
from hypothesis import strategies as st
from mac.commands.pf.grammar import parse

from .examples import EXPOSURE, file_of, guarded

LAN = pf.wanted_from_json(EXPOSURE)
GUARDED = guarded(LAN)
BARE = replace(GUARDED, launchd=replace(GUARDED.launchd, files=(), jobs=()), files=(), state=None)
JOB = f"system/{pf.LABEL}"

# What is refused. -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.168.1.20/24", "192.168.1.0/24"),
        ("fd00:1::7/64", "fd00:1::/64"),
        ("0.0.0.0/0", "internet"),
        ("::/0", "internet"),
        ('10.0.0.0/8" label "x', "a network"),
        ("10.0.0.0/8 }\npass quick all\n#", "a network"),
        ("10.0.0.0/8\n", "a network"),
        ("$(reboot)", "a network"),
        ("`reboot`", "a network"),
        ("${HOME}", "a network"),
        ("../../etc/pf.conf", "a network"),
        ("fe80::%en0/10", "a network"),
        ("fe80::%' /10", "a network"),
        ("<ollama_fleet>", "a network"),
        ("any", "a network"),
        ("en0", "a network"),
        ("10.0.0.0/255.0.0.0", "a network"),
        ("10.0.0.0/33", "a network"),
        ("10.0.0", "a network"),
        ("\u0661\u0660.0.0.0/8", "a network"),
        ("", "a network"),
        (10, "a network"),
        (None, "a network"),
        (["10.0.0.0/8"], "a network"),
    ],
)
def test_what_is_no_network_is_refused_by_its_place(text, words):
    (problem,) = pf.problems("lan", ["10.0.0.0/8", text], 11434)
    assert problem[:2] == ("exposure_networks[1]", text)
    assert words in problem[2]
    with pytest.raises(ValueError, match=r"exposure_networks\[1\]: found .*, allowed is "):
        pf.wanted_from_json({"scope": "lan", "networks": ["10.0.0.0/8", text], "port": 11434})


@pytest.mark.parametrize(
    ("scope", "networks", "port", "variable"),
    [
        ("LAN", [], 11434, "exposure_scope"),
        (None, [], 11434, "exposure_scope"),
        ("tailnet", "10.0.0.0/8", 11434, "exposure_networks"),
        ("tailnet", None, 11434, "exposure_networks"),
        *[
            ("tailnet", [], port, "exposure_port")
            for port in (0, -1, 65536, "0", "1e3", "11434 ", "11434\n", "", True, None, 1.5, "²", "80 }")
        ],
    ],
)
def test_what_is_no_scope_list_or_port_is_refused_by_name(scope, networks, port, variable):
    assert [problem[0] for problem in pf.problems(scope, networks, port)] == [variable]


@given(st.one_of(st.text(), st.text(alphabet="0123456789abcdef.:/% \n\"'${}<>!")))
def test_only_the_digits_of_an_address_get_through(text):
    if not pf.refusal(text):
        assert set(text) <= set("0123456789abcdefABCDEF.:/")
        assert str(ipaddress.ip_network(text)) == str(pf.parse_network(text))


def test_what_is_accepted_is_accepted():
    assert pf.problems("lan", ["192.168.1.0/24", "10.0.0.7", "fe80::/10", "fd00:1::/64", "::1"], "11434") == ()


# What the rules say. ----------------------------------------------------------------------------------------------------

FOUR = st.builds(lambda a, p: ipaddress.IPv4Network((a, p), strict=False), st.integers(0, 2**32 - 1), st.integers(1, 32))
SIX = st.builds(lambda a, p: ipaddress.IPv6Network((a, p), strict=False), st.integers(0, 2**128 - 1), st.integers(1, 128))
LISTS = st.lists(st.one_of(FOUR, SIX), max_size=8)
WANTED = st.builds(
    pf.Wanted, scope=st.sampled_from(pf.SCOPES), networks=LISTS.map(tuple), port=st.integers(1, 65535)
)  # fmt: skip
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(WANTED)
def test_any_list_gives_rules_that_pf_reads(wanted):
    ruleset = parse(pf.rules(wanted))
    (rule,) = ruleset.rules
    assert rule.startswith("block return in quick on ! lo0 proto tcp from ")
    assert rule.endswith(f'to any port = {wanted.port} label "{pf.label(wanted)}"')
    assert bool(ruleset.tables) == bool(wanted.sources)
    assert ruleset.lines() == [*(table.text() for table in ruleset.tables), rule]


@given(WANTED, st.randoms())
def test_the_order_in_which_networks_are_written_does_not_matter(wanted, random):
    other = list(wanted.networks) * 2
    random.shuffle(other)
    assert pf.rules(replace(wanted, networks=tuple(other))) == pf.rules(wanted)


@given(WANTED, ADDRESSES)
def test_an_address_gets_in_exactly_where_a_network_holds_it(wanted, address):
    tables = parse(pf.rules(wanted)).tables
    let_in = any(address in ipaddress.ip_network(text) for table in tables for text in table.networks)
    networks = {"loopback": (), "tailnet": pf.TAILNET, "lan": (*pf.TAILNET, *wanted.networks)}[wanted.scope]
    assert let_in == any(address in network for network in networks)


@given(WANTED, WANTED)
def test_the_label_tells_rules_apart(one, other):
    assert (pf.label(one) == pf.label(other)) == (pf.rules(one) == pf.rules(other))


def test_the_rules_of_a_lan():
    assert pf.rules(LAN).splitlines()[1:] == [
        "table <ollama_fleet> const {",
        "  100.64.0.0/10",
        "  192.168.1.0/24",
        "  fd7a:115c:a1e0::/48",
        "}",
        f'block return in quick on ! lo0 proto tcp from ! <ollama_fleet> to any port 11434 label "{pf.label(LAN)}"',
    ]


@pytest.mark.parametrize("scope", ["loopback", "tailnet"])
def test_the_lan_counts_for_its_own_scope_alone(scope):
    assert pf.rules(replace(LAN, scope=scope)) == pf.rules(pf.Wanted(scope))


def test_without_networks_nobody_gets_in():
    assert pf.rules(pf.Wanted("loopback")).splitlines()[1:] == [
        f'block return in quick on ! lo0 proto tcp from any to any port 11434 label "{pf.label(pf.Wanted("loopback"))}"'
    ]


@pytest.mark.parametrize("shell", [shell for shell in ("sh", "dash", "bash", "zsh") if shutil.which(shell)])
def test_the_program_is_a_plain_shell_program_without_a_value_of_the_inventory(shell):
    done = subprocess.run([shutil.which(shell), "-n"], input=pf.PROGRAM, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "11434" not in pf.PROGRAM
    assert " -d" not in pf.PROGRAM
    assert " -F" not in pf.PROGRAM


# What is read. ----------------------------------------------------------------------------------------------------------

STATE = f"""\
== info
Status: Enabled for 0 days 00:01:01           Debug: Urgent

== main
scrub-anchor "com.apple/*" all fragment reassemble
anchor "com.apple/*" all
== rules
block return in quick on ! lo0 proto tcp from ! <ollama_fleet> to any port = 11434 label "{pf.label(LAN)}"
== table
   100.64.0.0/10
   192.168.1.0/24
   fd7a:115c:a1e0::/48
== mended
mended 2026-11-25T22:31:00Z
== end
"""


def test_the_jobs_account_is_read():
    assert pf.parse_state(STATE) == replace(GUARDED.state, mended=("2026-11-25T22:31:00Z",))


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("Status: Enabled", "Status: Disabled", {"enabled": False}),
        ('anchor "com.apple/*" all\n== rules', "== rules", {"asked": False}),
        (STATE.partition("== rules\n")[2].partition("== table")[0], "", {"labels": ()}),
        ("   192.168.1.0/24\n", "", {"networks": ("100.64.0.0/10", "fd7a:115c:a1e0::/48")}),
        ("mended 2026-11-25T22:31:00Z\n", "", {"mended": ()}),
    ],
    ids=["off", "not asked", "flushed", "another table", "never mended"],
)
def test_the_account_tells_what_is_wrong(before, after, change):
    assert before in STATE
    read = pf.parse_state(STATE.replace(before, after))
    assert read == replace(pf.parse_state(STATE), **change)


@pytest.mark.parametrize("text", ["", "== info\n", STATE.replace("== end\n", ""), STATE.replace("   100.64.0.0/10", "   x")])
def test_what_is_no_account_is_unknown(text):
    assert isinstance(pf.parse_state(text), Unknown)


@pytest.mark.parametrize("state", [GUARDED.state, None, Unknown("x")], ids=["known", "absent", "unknown"])
@pytest.mark.parametrize("pf_conf", [True, False, Unknown("y")], ids=str)
def test_an_observation_survives_json(state, pf_conf):
    found = replace(GUARDED, state=state, pf_conf=pf_conf)
    assert pf.found_from_json(json.loads(json.dumps(plain(found)))) == found


# The steps. -------------------------------------------------------------------------------------------------------------


def steps_of(found, wanted=LAN):
    return [(step.action, step.item) for step in pf.plan(found, wanted)]


def with_file(path, **changes):
    files = tuple(replace(file, **changes) if file.path == path else file for file in GUARDED.files)
    return replace(GUARDED, files=files)


def with_state(**changes):
    return replace(GUARDED, state=replace(GUARDED.state, **changes))


def with_job(**changes):
    (job,) = GUARDED.launchd.jobs
    return replace(GUARDED, launchd=replace(GUARDED.launchd, jobs=(replace(job, **changes),)))


def with_job_file(**keys):
    files = (file_of({**pf.definition(), **keys}, pf.JOB_PATH),)
    return replace(GUARDED, launchd=replace(GUARDED.launchd, files=files))


LOAD = ("load", pf.ANCHOR)
WRITE_RULES, WRITE_PROGRAM, WRITE_JOB = (("write", path) for path in (pf.RULES_PATH, pf.PROGRAM_PATH, pf.JOB_PATH))


@given(WANTED)
def test_what_is_as_wanted_has_no_steps(wanted):
    assert pf.plan(guarded(wanted), wanted) == ()


def test_a_bare_mac_gets_files_then_rules_then_the_job():
    assert steps_of(BARE) == [WRITE_RULES, WRITE_PROGRAM, LOAD, WRITE_JOB, ("bootstrap", JOB)]


@given(WANTED, WANTED)
def test_other_networks_are_a_new_file_and_a_load(before, after):
    steps = steps_of(guarded(before), after)
    assert steps == ([] if pf.rules(before) == pf.rules(after) else [WRITE_RULES, LOAD])


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (with_file(pf.RULES_PATH, text="pass in quick\n"), [WRITE_RULES, LOAD]),
        (with_file(pf.RULES_PATH, mode=0o666), [WRITE_RULES, LOAD]),
        (with_file(pf.RULES_PATH, uid=501), [WRITE_RULES, LOAD]),
        (with_file(pf.RULES_PATH, text=None, plain=False), [WRITE_RULES, LOAD]),
        (with_file(pf.PROGRAM_PATH, text="#!/bin/sh\n"), [WRITE_PROGRAM, LOAD]),
        (with_file(pf.PROGRAM_PATH, mode=0o775), [WRITE_PROGRAM, LOAD]),
        (with_file(pf.PROGRAM_PATH, mode=0o644), [WRITE_PROGRAM, LOAD]),
        (with_file(pf.FOLDER, mode=0o777), [("protect", pf.FOLDER), LOAD]),
        (with_file(pf.FOLDER, uid=501), [("protect", pf.FOLDER), LOAD]),
        (with_file(pf.FOLDER, plain=False), [("protect", pf.FOLDER), WRITE_RULES, WRITE_PROGRAM, LOAD]),
        (with_state(enabled=False), [LOAD]),
        (with_state(labels=()), [LOAD]),
        (with_state(labels=(pf.label(LAN), "another")), [LOAD]),
        (with_state(labels=(pf.label(pf.Wanted()),)), [LOAD]),
        (with_state(networks=("10.0.0.0/8",)), [LOAD]),
        (replace(GUARDED, state=None), [LOAD]),
        (replace(GUARDED, state=Unknown("not root's own")), [LOAD]),
        (with_state(mended=("2026-11-25T22:31:00Z",)), []),
        (with_job(last_exit="last exit code = 1"), [LOAD]),
        (with_job(last_exit="last exit code = 78: EX_CONFIG"), [LOAD]),
        (with_job(last_exit="last exit code = 1", pid=7, state="running"), []),
        (with_job(last_exit="last exit code = (never exited)"), []),
        (with_job(arguments=("/bin/true",)), [("reload", JOB)]),
        (replace(GUARDED, launchd=replace(GUARDED.launchd, jobs=())), [LOAD, ("bootstrap", JOB)]),
        (
            replace(GUARDED, launchd=replace(GUARDED.launchd, jobs=(), disabled=(("system", frozenset({pf.LABEL})),))),
            [LOAD, ("enable", JOB), ("bootstrap", JOB)],
        ),
        (with_job_file(StartInterval=9), [WRITE_JOB]),
        (with_job_file(Nice=9), [WRITE_JOB, ("reload", JOB)]),
        (replace(GUARDED, pf_conf=False), []),
    ],
)  # fmt: skip
def test_each_drift_has_its_steps_and_no_more(found, steps):
    assert steps_of(found) == steps


def test_what_is_taken_away_is_everything_and_the_job_goes_first():
    assert [(step.action, step.item) for step in pf.removal(GUARDED)] == [
        ("bootout", JOB),
        ("remove", pf.JOB_PATH),
        ("flush", pf.ANCHOR),
        ("remove", pf.STATE_PATH),
        ("remove", pf.RULES_PATH),
        ("remove", pf.PROGRAM_PATH),
    ]
    assert pf.removal(BARE) == ()


# What no step mends. ----------------------------------------------------------------------------------------------------


def said(found, wanted=LAN, *, roaming=False):
    return [(finding.severity, finding.sentence()) for finding in pf.findings("mac-mini", found, wanted, roaming=roaming)]


@pytest.mark.parametrize(
    ("found", "wanted", "roaming", "severity", "words"),
    [
        (with_state(asked=False), LAN, False, "error", ["main rules in force", "port 11434 is open", "pfctl -f /etc/pf.conf"]),
        (replace(GUARDED, pf_conf=False), LAN, False, "warning", ["/etc/pf.conf", "next boot"]),
        (with_state(mended=("a", "b")), LAN, False, "warning", ["2 times", "last at b"]),
        (GUARDED, LAN, True, "warning", ["192.168.1.0/24", "cafe", "exposure_scope: tailnet in host_vars/mac-mini"]),
        (replace(GUARDED, reaches={"192.168.1.0/24": "10.0.0.5"}), LAN, False, "warning", ["none of 192.168.1.0/24", "10.0.0.5"]),
        (replace(GUARDED, reaches={"192.168.1.0/24": ""}), LAN, False, "warning", ["uses no address"]),
        (GUARDED, pf.Wanted("lan"), False, "warning", ["names no network"]),
    ],
)  # fmt: skip
def test_what_a_person_should_know(found, wanted, roaming, severity, words):
    ((level, sentence),) = said(found, wanted, roaming=roaming)
    assert level == severity
    assert sentence.startswith("mac-mini: ")
    assert [word for word in words if word not in sentence] == []


@pytest.mark.parametrize("scope", ["loopback", "tailnet"])
def test_a_laptop_that_opens_no_lan_is_fine_anywhere(scope):
    away = replace(GUARDED, reaches={"192.168.1.0/24": "10.0.0.5"})
    assert said(away, replace(LAN, scope=scope), roaming=True) == []


def test_one_of_the_networks_is_enough():
    wanted = replace(LAN, networks=tuple(map(ipaddress.ip_network, ("192.168.1.0/24", "fd00:1::/64", "fe80::/10"))))
    reaches = {"192.168.1.0/24": "", "fd00:1::/64": "fd00:1::20", "fe80::/10": "fe80::1"}
    assert said(replace(GUARDED, reaches=reaches), wanted) == []


# On the Mac. ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Put the files of the packet filter below a folder of the test."""
    moved = {
        "FOLDER": tmp_path / "ours",
        "RULES_PATH": tmp_path / "ours" / "exposure.pf",
        "PROGRAM_PATH": tmp_path / "ours" / "exposure",
        "JOB_PATH": tmp_path / "job.plist",
        "STATE_PATH": tmp_path / "state",
        "PF_CONF": tmp_path / "pf.conf",
    }
    for name, path in moved.items():
        monkeypatch.setattr(on_mac, name, str(path))
    monkeypatch.setattr(on_mac, "FILES", {str(moved["RULES_PATH"]): 0o644, str(moved["PROGRAM_PATH"]): 0o755})
    monkeypatch.setattr(on_mac.os, "chown", lambda *_: None)
    return {name: Path(path) for name, path in moved.items()}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('anchor "com.apple/*"\n', True),
        ('  anchor   "com.apple/*" # all\n', True),
        ('# anchor "com.apple/*"\n', False),
        ('scrub-anchor "com.apple/*"\n', False),
        ("", False),
        (None, False),
    ],
)
def test_the_rules_of_the_next_boot_are_told(folders, text, told):
    if text is not None:
        folders["PF_CONF"].write_text(text)
    assert on_mac.read_pf_conf() is told


def test_a_state_that_others_may_write_is_not_believed(folders, monkeypatch):
    assert on_mac.read_state() is None
    folders["STATE_PATH"].write_text(STATE)
    folders["STATE_PATH"].chmod(0o666)
    assert isinstance(on_mac.read_state(), Unknown)
    folders["STATE_PATH"].chmod(0o644)
    owner = folders["STATE_PATH"].stat().st_uid
    assert isinstance(on_mac.read_state(), Unknown) == (owner != 0)


def test_a_link_in_the_place_of_a_file_is_not_followed(folders):
    folders["FOLDER"].mkdir()
    folders["RULES_PATH"].symlink_to(folders["PF_CONF"])
    folders["PF_CONF"].write_text("secret")
    assert on_mac.read_file(str(folders["RULES_PATH"])) == pf.File(str(folders["RULES_PATH"]), 0, 0o777, None, plain=False)


def test_the_way_to_a_network_is_asked_without_sending_anything():
    assert on_mac.address_towards("127.0.0.0/8") == "127.0.0.1"
    assert on_mac.address_towards("$(reboot)") == ""


NOISE = (
    "pfctl: Use of -f option, could result in flushing of rules\npresent in the main ruleset added by the system at startup.\n"
    "See /etc/pf.conf for further details.\n\nNo ALTQ support in kernel\nALTQ related functions disabled\n"
)


def test_of_what_pfctl_says_the_complaint_is_left():
    assert on_mac.complaint(Answer(1, "", NOISE + "rules:2: syntax error\n")) == "rules:2: syntax error"


def test_rules_that_pf_does_not_take_change_nothing(folders, monkeypatch):
    monkeypatch.setattr(on_mac, "run", lambda _argv, **_: Answer(1, "", NOISE + "rules:2: syntax error\n"))
    with pytest.raises(on_mac.FilterFailed, match=r"syntax error.*Nothing was changed"):
        on_mac.check(LAN)
    assert not folders["FOLDER"].exists()


class PretendMac:
    """Runs nothing: notes what was asked for, and lets the program leave one account after the other."""

    def __init__(self, folders, *accounts):
        self.folders, self.accounts, self.asked = folders, list(accounts), []

    def run(self, argv, **_options):
        """Note it."""
        self.asked.append(argv[1:] if argv[0].endswith("pfctl") else "program")
        if self.asked[-1] == "program" and self.accounts:
            self.folders["STATE_PATH"].write_text(self.accounts.pop(0))
        return Answer(0, "", "")


OFF = STATE.replace("Status: Enabled", "Status: Disabled")


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (OFF, "pf did not take the rules: packet filter 'off'"),
        (STATE.replace('anchor "com.apple/*" all\n== rules', "== rules"), "no line `anchor"),
        ("rubbish", "did not tell what pf holds"),
    ],
    ids=["off", "not asked", "no account"],
)
@pytest.mark.parametrize("before", [True, False], ids=["rules before", "none before"])
def test_a_change_that_does_not_take_is_taken_back(folders, monkeypatch, account, words, before):
    pretend = PretendMac(folders, account, STATE)
    monkeypatch.setattr(on_mac, "run", pretend.run)
    monkeypatch.setattr(on_mac.launchctl, "read_job", lambda *_: "the job of before")
    monkeypatch.setattr(on_mac, "read_state", lambda: pf.parse_state(folders["STATE_PATH"].read_text()))
    texts = dict(
        zip((on_mac.RULES_PATH, on_mac.PROGRAM_PATH, on_mac.JOB_PATH), pf.contents(LAN).values(), strict=True)
    )  # fmt: skip
    monkeypatch.setattr(on_mac, "contents", lambda _wanted: texts)
    if before:
        folders["FOLDER"].mkdir()
        for path in texts:
            Path(path).write_text("of before\n")
    steps = [step for step in pf.plan(BARE, LAN) if step.action in ("write", "load")]
    moved = dict(zip(pf.contents(LAN), texts, strict=True))
    steps = [replace(step, item=moved.get(step.item, step.item)) for step in steps]
    with pytest.raises(on_mac.FilterFailed) as caught:
        on_mac.Change(LAN).carry_out(steps)
    assert words in str(caught.value)
    left = {path: Path(path).read_text() for path in texts if Path(path).exists()}
    if before:
        assert left == dict.fromkeys(texts, "of before\n")
        assert pretend.asked == ["program", "program"]
        assert "The rules of before are in force again" in str(caught.value)
    else:
        assert left == {}
        assert pretend.asked == ["program", ["-a", pf.ANCHOR, "-F", "all"]]
        assert "none are left" in str(caught.value)


def test_files_are_replaced_whole_and_leave_no_draft(folders):
    for path, text in itertools.product((on_mac.RULES_PATH, on_mac.PROGRAM_PATH), ("one\n", "two\n")):
        on_mac.write(path, text.encode(), on_mac.FILES[path])
        assert (Path(path).read_text(), Path(path).stat().st_mode & 0o7777) == (text, on_mac.FILES[path])
    assert sorted(path.name for path in folders["FOLDER"].iterdir()) == ["exposure", "exposure.pf"]
    on_mac.remove(on_mac.RULES_PATH)
    assert folders["FOLDER"].exists()
    on_mac.remove(on_mac.PROGRAM_PATH)
    assert not folders["FOLDER"].exists()
