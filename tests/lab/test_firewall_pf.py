"""pf: its language, the normal form pfctl prints, its exit codes, and the packets it stops."""

from __future__ import annotations

import ipaddress
import threading
from typing import TYPE_CHECKING

import pytest
from firewall_support import cable, needs_root
from hypothesis import given
from hypothesis import strategies as st
from mac.commands.pf import filter as packets
from mac.commands.pf import store
from mac.commands.pf.grammar import Host, Ports, Rule, SyntaxFailure, parse, parse_rule
from mac.commands.pf.store import Pf

if TYPE_CHECKING:
    from commands_support import Box

ROOT = 0
ALTQ = ["No ALTQ support in kernel", "ALTQ related functions disabled"]
WARNING = [
    "pfctl: Use of -f option, could result in flushing of rules",
    "present in the main ruleset added by the system at startup.",
    "See /etc/pf.conf for further details.",
    "",
]
APPLE = """\
scrub-anchor "com.apple/*"
nat-anchor "com.apple/*"
rdr-anchor "com.apple/*"
dummynet-anchor "com.apple/*"
anchor "com.apple/*"
load anchor "com.apple" from "/etc/pf.anchors/com.apple"
"""


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("block", ["block drop all"]),
        ("pass", ["pass all flags S/SA keep state"]),
        ("block return in on en0", ["block return in on en0 all"]),
        ("pass quick on lo0", ["pass quick on lo0 all flags S/SA keep state"]),
        ("pass out proto udp", ["pass out proto udp all keep state"]),
        ("pass in no state", ["pass in all no state"]),
        (
            "block in quick inet proto tcp to port 445",
            ["block drop in quick inet proto tcp from any to any port = 445"],
        ),
        (
            "block in quick proto tcp from any to any port 11434",
            ["block drop in quick proto tcp from any to any port = 11434"],
        ),
        (
            "pass in quick proto tcp from 100.64.0.0/10 to any port 11434",
            ["pass in quick inet proto tcp from 100.64.0.0/10 to any port = 11434 flags S/SA keep state"],
        ),
        (
            "pass in proto tcp from fd7a:115c:a1e0::/48 to port { 22, 80 }",
            [
                "pass in inet6 proto tcp from fd7a:115c:a1e0::/48 to any port = 22 flags S/SA keep state",
                "pass in inet6 proto tcp from fd7a:115c:a1e0::/48 to any port = 80 flags S/SA keep state",
            ],
        ),
        (
            "block in proto { tcp, udp } from { 10/8 192.168.1.7/24 } to any port 1000:2000",
            [
                "block drop in inet proto tcp from 10.0.0.0/8 to any port 1000:2000",
                "block drop in inet proto tcp from 192.168.1.0/24 to any port 1000:2000",
                "block drop in inet proto udp from 10.0.0.0/8 to any port 1000:2000",
                "block drop in inet proto udp from 192.168.1.0/24 to any port 1000:2000",
            ],
        ),
        ("block from ! 10.0.0.1 to <bad>", ["block drop inet from ! 10.0.0.1 to <bad>"]),
        ("block from 10.0.0.1 to fd00::1\nblock", SyntaxFailure),
        ("block from { 10.0.0.1 fd00::1 } to fd00::2", ["block drop inet6 from fd00::1 to fd00::2"]),
        ("block inet from 0.0.0.0/0 to any", ["block drop inet all"]),
        ('pass label "x y"', ['pass all flags S/SA keep state label "x y"']),
        ("set block-policy return\nblock", ["block return all"]),
        ('lan = "192.168.1.0/24"\nblock from $lan', ["block drop inet from 192.168.1.0/24 to any"]),
        (
            'p = "{ 1 2 }"\nblock proto tcp to port $p',
            ["block drop proto tcp from any to any port = 1", "block drop proto tcp from any to any port = 2"],
        ),
        ("block \\\n  in", ["block drop in all"]),
        ("block in proto { tcp,\n udp }", ["block drop in proto tcp all", "block drop in proto udp all"]),
        ("# nothing\n\nblock # all", ["block drop all"]),
        ("block proto tcp to port 1 >< 9", ["block drop proto tcp from any to any port 1 >< 9"]),
        ("block proto tcp to port != 9", ["block drop proto tcp from any to any port != 9"]),
        ("block proto tcp from port ssh", ["block drop proto tcp from any port = 22 to any"]),
        ('anchor "com.apple/*"', ['anchor "com.apple/*" all']),
    ],
)  # fmt: skip
def test_rules_are_normalised(text: str, normal: list[str] | type[Exception]) -> None:
    if isinstance(normal, list):
        assert list(parse(text + "\n").rules) == normal
    else:
        with pytest.raises(normal):
            parse(text + "\n")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("pass in\nblok all\n", 2, "syntax error"),
        ("block in proto tcp to port\n", 1, "syntax error"),
        ("block from nowhere.example\n", 1, "could not parse host specification"),
        ("block to port 80\n", 1, "port only applies to tcp/udp"),
        ("block proto foo\n", 1, "unknown protocol foo"),
        ("block from $x\n", 1, "macro 'x' not defined"),
        ("pass\nset skip on lo0\n", 2, "Rules must be in order: options, normalization, queueing, translation, filtering"),
        ("pass\nnat-anchor \"x\"\n", 2, "Rules must be in order: options, normalization, queueing, translation, filtering"),
        ("block proto tcp to port 70000\n", 1, "illegal port value 70000"),
        ("pass flags X/Y\n", 1, "unknown flag"),
        ("block in {\n", 2, "syntax error"),
        ('block label "x\n', 1, "syntax error"),
        ("pass", 1, "syntax error"),
        ("pass\nblock", 2, "syntax error"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(SyntaxFailure) as caught:
        parse(text)
    assert (caught.value.line, caught.value.reason) == (line, reason)


NETWORKS = st.one_of(
    st.builds(lambda a, p: ipaddress.IPv4Network((a, p), strict=False), st.integers(0, 2**32 - 1), st.integers(1, 32)),
    st.builds(lambda a, p: ipaddress.IPv6Network((a, p), strict=False), st.integers(0, 2**128 - 1), st.integers(1, 128)),
).map(str)
HOSTS = st.one_of(
    st.just("any"),
    st.builds(lambda sign, network: sign + network, st.sampled_from(["", "! "]), NETWORKS),
    st.sampled_from(["<fleet>", "! <fleet>"]),
    st.lists(NETWORKS, min_size=1, max_size=3).map(lambda items: "{ " + ", ".join(items) + " }"),
)
PORTS = st.one_of(
    st.just(""),
    st.builds(" port {}".format, st.integers(0, 65535)),
    st.builds(" port {}:{}".format, st.integers(0, 99), st.integers(100, 65535)),
    st.builds(" port {} >< {}".format, st.integers(0, 99), st.integers(100, 65535)),
    st.lists(st.integers(1, 65535), min_size=1, max_size=3).map(lambda ports: " port { " + " ".join(map(str, ports)) + " }"),
)


@st.composite
def statements(draw: st.DrawFn) -> str:
    """Write one statement in any of the forms that people write."""
    words = [draw(st.sampled_from(["pass", "block", "block drop", "block return"]))]
    choices = (["", "in", "out"], ["", "log"], ["", "quick"], ["", "on en0", "on { lo0 utun4 }", "on ! en0"])
    words += [draw(st.sampled_from(choice)) for choice in choices]
    source, target = draw(st.tuples(PORTS, PORTS))
    protocols = ["proto tcp", "proto { tcp udp }"] if source or target else ["", "proto tcp", "proto icmp"]
    words += [draw(st.sampled_from(protocols)), f"from {draw(HOSTS)}{source}", f"to {draw(HOSTS)}{target}"]
    words.append(draw(st.sampled_from(["", "no state", "keep state", "flags any", "flags S/SA keep state", 'label "a b"'])))
    return " ".join(words) + "\n"


@given(st.lists(statements(), max_size=4))
def test_the_normal_form_is_a_fixed_point(texts: list[str]) -> None:
    table = "table <fleet> persist { 10.0.0.1 10.1.0.0/16 }\n"
    try:
        first = parse(table + "".join(texts))
    except SyntaxFailure:
        return  # a combination of families that cannot be
    second = parse("\n".join(first.lines()) + "\n")
    assert second.lines() == first.lines()


@given(statements())
def test_a_printed_rule_reads_back_as_itself(text: str) -> None:
    try:
        printed = parse(text).rules
    except SyntaxFailure:
        return
    assert [parse_rule(rule).text() for rule in printed] == list(printed)


# A small judge of pf's own order, to hold the translation's order against.
RULE = st.builds(
    Rule,
    action=st.sampled_from(["pass", "block drop"]),
    direction=st.just("in"),
    log=st.just(False),
    quick=st.booleans(),
    interface=st.just(""),
    family=st.just(0),
    protocol=st.just("tcp"),
    source=st.just(Host()),
    source_ports=st.none(),
    target=st.just(Host()),
    target_ports=st.builds(Ports, st.sampled_from(["=", "<", ">"]), st.integers(1, 4)),
    flags=st.just("any"),
    state=st.just("no"),
    label=st.just(""),
)


def matches(rule: Rule, port: int) -> bool:
    """Say whether a rule's port condition holds."""
    assert rule.target_ports
    number = rule.target_ports.first
    return {"=": port == number, "<": port < number, ">": port > number}[rule.target_ports.operator]


def judged_by_pf(rules: list[Rule], port: int) -> str:
    """Judge as pf.conf(5) says: the last match wins, a quick one ends the search."""
    verdict = "pass"
    for rule in rules:
        if matches(rule, port):
            verdict = rule.action
            if rule.quick:
                break
    return verdict


@given(st.lists(RULE, max_size=6), st.integers(1, 4))
def test_the_order_of_translation_is_pfs(rules: list[Rule], port: int) -> None:
    pf = Pf(enabled=True).with_ruleset("", parse("".join(rule.text() + "\n" for rule in rules)))
    script = packets.ruleset(pf)
    chain = script.split("chain input {")[1].split("}\n chain")[0].splitlines()
    for line in chain:
        words = line.split()
        if "dport" not in words:
            continue
        condition = words[words.index("dport") + 1 :]
        number = int(condition[-2])
        holds = {"<": port < number, ">": port > number}.get(condition[0], port == number)
        if holds:
            assert ("pass" if words[-1] == "accept" else "block drop") == judged_by_pf(rules, port)
            return
    assert judged_by_pf(rules, port) == "pass"


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this machine's packets alone: the tree of a test is no Mac's root."""
    monkeypatch.setattr("mac.commands.pfctl.root", lambda: "/somewhere-else")


@pytest.fixture
def fresh(box: Box, kernel: None) -> Box:
    """Give a Mac with Apple's own rules."""
    box.write("/etc/pf.conf", APPLE)
    box.write("/etc/pf.anchors/com.apple", 'anchor "200.AirDrop/*"\nanchor "250.ApplicationFirewall/*"\n')
    box.write("/x.conf", "block in proto tcp to port 11434\n")
    box.write("/bad.conf", "pass in\nblok\n")
    return box


def pfctl(box: Box, *argv: str, uid: int = ROOT) -> tuple[int, list[str], list[str]]:
    """Run pfctl; give exit code, output and what standard error says beyond the two ALTQ lines."""
    answer = box.run("pfctl", *argv, uid=uid)
    said = answer.err.splitlines()
    if "/dev/pf" not in answer.err and "usage" not in answer.err:
        assert [line for line in said if "ALTQ" in line] == ALTQ
    return answer.rc, answer.lines, [line for line in said if line not in (*ALTQ, *WARNING)]


def test_every_file_brings_the_warning(fresh: Box) -> None:
    assert fresh.run("pfctl", "-a", "x", "-f", "/x.conf", uid=ROOT).err.splitlines() == [*WARNING, *ALTQ]


@pytest.mark.parametrize(
    ("before", "argv", "code", "said"),
    [
        ([], ["-e"], 0, ["pf enabled"]),
        ([["-e"]], ["-e"], 1, ["pfctl: pf already enabled"]),
        ([], ["-d"], 1, ["pfctl: pf not enabled"]),
        ([["-e"]], ["-d"], 0, ["pf disabled"]),
        ([], ["-X", "7"], 1, ["pfctl: pf not enabled"]),
        ([["-E"]], ["-X", "7"], 1, ["pfctl: token invalid"]),
        ([], ["-f", "/missing"], 1, ["pfctl: /missing: No such file or directory"]),
        ([], ["-nf", "/x.conf"], 0, []),
        ([], ["-nf", "/bad.conf"], 1, ["/bad.conf:2: syntax error", "pfctl: Syntax error in config file: pf rules not loaded"]),
        ([], ["-a", "x", "-F", "rules"], 0, ["rules cleared"]),
        ([], ["-t", "x", "-T", "show"], 1, ["pfctl: Table does not exist."]),
    ],
    ids=["e", "e-twice", "d-while-off", "d", "X-while-off", "X-unknown", "no-file", "check", "check-bad", "flush", "no-table"],
)  # fmt: skip
def test_exit_codes(fresh: Box, before: list[list[str]], argv: list[str], code: int, said: list[str]) -> None:
    for call in before:
        pfctl(fresh, *call)
    assert pfctl(fresh, *argv)[::2] == (code, said)


def test_a_plain_user_cannot_open_the_device(fresh: Box) -> None:
    assert pfctl(fresh, "-s", "info", uid=501) == (1, [], ["pfctl: /dev/pf: Permission denied"])


def test_a_plain_user_may_check_a_file(fresh: Box) -> None:
    assert pfctl(fresh, "-vnf", "/x.conf", uid=501)[:2] == (
        0, ["block drop in proto tcp from any to any port = 11434"],
    )  # fmt: skip


def test_an_unknown_option_shows_the_usage(fresh: Box) -> None:
    answer = fresh.run("pfctl", "-Z", uid=ROOT)
    assert (answer.rc, answer.err.split()[0]) == (1, "usage:")


def test_info_says_whether_pf_is_on(fresh: Box) -> None:
    assert pfctl(fresh, "-s", "info")[1][0].startswith("Status: Disabled")
    pfctl(fresh, "-e")
    assert pfctl(fresh, "-s", "info")[1][0].startswith("Status: Enabled for 0 days 00:00:0")


def test_tokens_are_references_and_the_last_one_ends_pf(fresh: Box) -> None:
    tokens = [pfctl(fresh, "-E")[2][1].removeprefix("Token : ") for _ in range(2)]
    assert [line.split()[2] for line in pfctl(fresh, "-s", "References")[1][2:]] == tokens
    assert pfctl(fresh, "-X", tokens[0])[2][0].endswith("1 more pf enable reference(s) remaining, pf still enabled.")
    assert pfctl(fresh, "-X", tokens[1])[2][0].endswith("0 more pf enable reference(s) remaining, pf disabled.")
    assert not store.load().enabled


def test_d_ends_pf_whatever_tokens_there_are(fresh: Box) -> None:
    pfctl(fresh, "-E")
    pfctl(fresh, "-d")
    assert (store.load().enabled, store.load().tokens) == (False, [])


def test_the_file_at_boot_loads_rules_and_enables_nothing(fresh: Box) -> None:
    assert pfctl(fresh, "-f", "/etc/pf.conf") == (0, [], [])
    assert pfctl(fresh, "-sr")[1] == ['scrub-anchor "com.apple/*" all fragment reassemble', 'anchor "com.apple/*" all']
    assert pfctl(fresh, "-sn")[1] == ['nat-anchor "com.apple/*" all', 'rdr-anchor "com.apple/*" all']
    assert pfctl(fresh, "-a", "com.apple", "-s", "rules")[1] == [
        'anchor "200.AirDrop/*" all',
        'anchor "250.ApplicationFirewall/*" all',
    ]
    assert not store.load().enabled


def test_loading_an_anchor_replaces_it_and_keeps_the_main_rules(fresh: Box) -> None:
    pfctl(fresh, "-f", "/etc/pf.conf")
    main = pfctl(fresh, "-sr")[1]
    for _ in range(2):
        pfctl(fresh, "-a", "com.apple/fleet", "-f", "/x.conf")
    assert pfctl(fresh, "-a", "com.apple/fleet", "-sr")[1] == ["block drop in proto tcp from any to any port = 11434"]
    assert pfctl(fresh, "-sr")[1] == main
    assert pfctl(fresh, "-a", "com.apple", "-s", "Anchors")[1] == ["  com.apple/fleet"]
    pfctl(fresh, "-a", "com.apple/fleet", "-F", "all")
    assert pfctl(fresh, "-a", "com.apple/fleet", "-sr")[1] == []


def test_a_broken_file_leaves_the_old_rules(fresh: Box) -> None:
    pfctl(fresh, "-a", "x", "-f", "/x.conf")
    assert pfctl(fresh, "-a", "x", "-f", "/bad.conf")[0] == 1
    assert pfctl(fresh, "-a", "x", "-sr")[1] == ["block drop in proto tcp from any to any port = 11434"]


def test_all_rules_are_shown_with_the_star(fresh: Box) -> None:
    pfctl(fresh, "-f", "/etc/pf.conf")
    pfctl(fresh, "-a", "com.apple/fleet", "-f", "/x.conf")
    assert pfctl(fresh, "-a", "*", "-sr")[1] == [
        'scrub-anchor "com.apple/*" all fragment reassemble',
        'anchor "com.apple/*" all {',
        '  anchor "fleet" all {',
        "    block drop in proto tcp from any to any port = 11434",
        "  }",
        "}",
    ]


def test_table_commands(fresh: Box) -> None:
    fresh.write("/t.conf", "table <fleet> persist { 10.0.0.1 }\nblock from <fleet>\n")
    pfctl(fresh, "-a", "x", "-f", "/t.conf")
    assert pfctl(fresh, "-a", "x", "-t", "fleet", "-T", "add", "10.0.0.1", "10.2.0.0/16")[2] == ["1/2 addresses added."]
    assert pfctl(fresh, "-a", "x", "-t", "fleet", "-T", "show")[1] == ["   10.0.0.1", "   10.2.0.0/16"]
    assert pfctl(fresh, "-a", "x", "-t", "fleet", "-T", "delete", "10.0.0.1")[2] == ["1/1 addresses deleted."]


@pytest.mark.parametrize("words", [["add", "10.3.0.0/16"], ["delete", "10.0.0.1"], ["replace", "10.3.0.0/16"], ["flush"]])
def test_a_constant_table_is_changed_by_loading_its_file_alone(fresh: Box, words: list[str]) -> None:
    fresh.write("/t.conf", "table <fleet> const { 10.0.0.1 }\nblock from <fleet>\n")
    for _ in range(2):
        assert pfctl(fresh, "-a", "x", "-f", "/t.conf")[0] == 0
        assert pfctl(fresh, "-a", "x", "-t", "fleet", "-T", *words)[::2] == (1, ["pfctl: Operation not permitted."])
    assert pfctl(fresh, "-a", "x", "-t", "fleet", "-T", "show")[1] == ["   10.0.0.1"]


def test_calls_at_the_same_time_lose_nothing(fresh: Box) -> None:
    """Two calls at boot, Apple's and somebody else's, each load their own rules; both must be there afterwards."""
    with store.one_at_a_time():
        waiting = threading.Thread(target=lambda: took_turns.append(turn()))
        took_turns: list[bool] = []

        def turn() -> bool:
            with store.one_at_a_time():
                return True

        waiting.start()
        waiting.join(0.2)
        assert not took_turns
    waiting.join(10)
    assert took_turns


def test_everything_is_lost_with_var_run(fresh: Box) -> None:
    pfctl(fresh, "-E", "-f", "/x.conf")
    for file in fresh.at("/var/run").iterdir():
        file.unlink()
    assert store.load() == Pf()


def enabled(text: str, anchor: str = "", main: str = "") -> Pf:
    """Give pf with a main ruleset and perhaps an anchor, switched on."""
    pf = Pf(enabled=True).with_ruleset("", parse(text if not anchor else main))
    return pf.with_ruleset(anchor, parse(text)) if anchor else pf


FLEET = """\
pass quick on lo0
pass in quick proto tcp from 10.9.0.2 to port 7001
block in quick proto tcp to port 7001
"""


@needs_root
@pytest.mark.parametrize(
    ("pf", "four", "six"),
    [
        (enabled("block in proto tcp to port 7001\n")._replace(enabled=False), "open", "open"),
        (enabled("block in proto tcp to port 7001\n"), "dropped", "dropped"),
        (enabled("block return in proto tcp to port 7001\n"), "refused", "refused"),
        (enabled("block in inet proto tcp to port 7001\n"), "dropped", "open"),
        (enabled("block in\npass in proto tcp to port 7001\n"), "open", "open"),
        (enabled("block in quick proto tcp to port 7001\npass in\n"), "dropped", "dropped"),
        (enabled("pass in quick proto tcp to port 7001\nblock in proto tcp\n"), "open", "open"),
        (enabled(FLEET), "open", "dropped"),
        (enabled("block in on en0 proto tcp to port 7001\n"), "dropped", "dropped"),
        (enabled("block in on en proto tcp to port 7001\n"), "open", "open"),
        (enabled("block in on ! en0 proto tcp to port 7001\n"), "open", "open"),
        (enabled("table <bad> { 10.9.0.0/30 }\nblock in from <bad>\n"), "dropped", "open"),
        (enabled("table <bad> persist\nblock in from <bad>\n"), "open", "open"),
        (enabled("block in proto tcp from ! 10.9.0.2 to port 7001\n"), "open", "open"),
        (enabled("set skip on en0\nblock\n"), "open", "open"),
        (enabled(FLEET, "com.apple/fleet", APPLE.split("load")[0]), "open", "dropped"),
        (enabled(FLEET, "fleet", APPLE.split("load")[0]), "open", "open"),
        (enabled(FLEET, "com.apple/fleet"), "open", "open"),
    ],
    ids=[
        "disabled", "drop", "return", "inet-alone", "last-match", "quick-block", "quick-pass", "by-address", "interface",
        "group-never-matches", "other-interfaces", "table", "empty-table", "negated", "skip", "anchor-under-apple",
        "anchor-not-referred-to", "anchor-without-main-rules",
    ],
)  # fmt: skip
def test_packets(pf: Pf, four: str, six: str) -> None:
    with cable() as wire, wire.listening(7001):
        # The neighbour's address is known before the filter stops neighbour discovery as well.
        wire.probe(7001, "fd09::1")
        wire.load(packets.ruleset(pf))
        assert (wire.probe(7001), wire.probe(7001, "fd09::1")) == (four, six)


@needs_root
def test_a_connection_that_pf_let_through_goes_on_and_a_reply_needs_a_state() -> None:
    with cable() as wire, wire.listening(7001):
        wire.load(packets.ruleset(enabled("block in\n")))
        assert wire.probe(7001, "10.9.0.2", from_mac=True) == "dropped"
        wire.load(packets.ruleset(enabled("block in\npass out keep state\n")))
        assert wire.probe(7001, "10.9.0.2", from_mac=True) == "refused"
