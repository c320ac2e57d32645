"""Rules by program path: what is printed, what is stale, what is missing, and what no rule can mend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.fleet.application_firewall import (
    BLOCK_ALL,
    OFF,
    ON,
    SWITCHES,
    Firewall,
    Settings,
    command,
    dropped,
    findings,
    firewall_from_json,
    is_managed_refusal,
    parse_identifier,
    parse_rules,
    parse_state,
    parse_switches,
    plan,
    settings_from_json,
    stale,
)
from ansible.module_utils.fleet.vocabulary import Step, Unknown, plain
from hypothesis import given
from hypothesis import strategies as st

PROGRAM = "/opt/homebrew/Cellar/ollama/0.32.15/libexec/ollama"
OLD = "/opt/homebrew/Cellar/ollama/0.32.3/libexec/ollama"
OTHER = "/usr/libexec/sshd-session"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Firewall is enabled. (State = 1)\n", ON),
        ("Firewall is enabled. (State = 1) \n", ON),
        ("Firewall is disabled. (State = 0)\n", OFF),
        ("Firewall is enabled. (State = 2)\n", BLOCK_ALL),
        ("Firewall is blocking all non-essential incoming connections. (State = 2)\n", BLOCK_ALL),
    ],
)
def test_every_wording_of_the_state(text, state):
    assert parse_state(text) == state


@pytest.mark.parametrize(
    "text",
    ["", "Firewall settings cannot be modified from command line on managed Mac computers.\n", "(State = 7)", "State = 1"],
)
def test_a_state_that_cannot_be_read_is_unknown_with_what_was_said(text):
    state = parse_state(text)
    assert isinstance(state, Unknown)
    assert text.strip()[:60] in state.reason


NEW_FORM = f"""\
Total number of apps = 2
1 : {OTHER}
             (Block incoming connections)
2 : {PROGRAM}
             (Allow incoming connections)
"""
# macOS 14 leaves a blank at the end of each line.
OLD_FORM = (
    "ALF: total number of apps = 2 \n"
    f"1 :  {OTHER} \n \t ( Block incoming connections ) \n\n"
    f"2 :  {PROGRAM} \n \t ( Allow incoming connections ) \n\n"
)


@pytest.mark.parametrize("text", [NEW_FORM, OLD_FORM], ids=["macOS 15 and later", "macOS 14"])
def test_both_forms_of_the_list(text):
    assert parse_rules(text) == {OTHER: "block", PROGRAM: "allow"}


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("Total number of apps = 0\n", {}),
        ("", {}),
        (f"1 : {PROGRAM}\n", {}),
        ("             (Allow incoming connections)\n", {}),
        (
            "1 : /Applications/My App (2).app \n             (Allow incoming connections)\n",
            {"/Applications/My App (2).app": "allow"},
        ),
        ("1 : /a\n2 : /b\n             (Block incoming connections)\n", {"/b": "block"}),
        ("10 : /a : b\n             (Allow incoming connections)\n", {"/a : b": "allow"}),
    ],
    ids=["none", "empty", "no verdict", "no path", "blanks and brackets", "verdict belongs to the last", "colon in the path"],
)
def test_odd_lists(text, rules):
    assert parse_rules(text) == rules


PATHS = st.from_regex(r"/[A-Za-z0-9._ /-]{0,20}[A-Za-z0-9]", fullmatch=True)
RULES = st.dictionaries(PATHS, st.sampled_from(["allow", "block"]), max_size=5)


@given(RULES, st.booleans())
def test_rules_survive_being_printed(rules, old):
    def row(number, path, verdict):
        words = f"{verdict.capitalize()} incoming connections"
        return f"{number} :  {path} \n \t ( {words} ) \n\n" if old else f"{number} : {path}\n{' ' * 13}({words})\n"

    text = f"Total number of apps = {len(rules)}\n" + "".join(
        row(number, path, verdict) for number, (path, verdict) in enumerate(rules.items(), 1)
    )
    assert parse_rules(text) == rules


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        pytest.param(PROGRAM, False, id="the program itself"),
        pytest.param(OLD, True, id="another version"),
        pytest.param("/opt/homebrew/Cellar/ollama/0.32.3/bin/ollama", True, id="link in another version"),
        pytest.param("/opt/homebrew/Cellar/ollama-extra/1.0/bin/ollama", False, id="another keg with a like name"),
        pytest.param("/usr/local/Cellar/ollama/0.32.3/bin/ollama", False, id="another prefix"),
        pytest.param("/Applications/Ollama.app", False, id="the app"),
        pytest.param("/opt/homebrew/bin/ollama", False, id="link outside the Cellar"),
    ],
)
def test_stale_is_another_version_of_the_same_keg(rule, answer):
    assert stale(rule, PROGRAM) is answer


def test_a_program_outside_the_cellar_makes_nothing_stale():
    assert not stale(OLD, "/usr/local/bin/ollama")


@pytest.mark.parametrize(
    ("state", "rules", "steps"),
    [
        pytest.param(ON, {PROGRAM: "allow"}, [], id="converged"),
        pytest.param(ON, {}, [("allow", PROGRAM, "no rule")], id="no rule"),
        pytest.param(ON, {PROGRAM: "block"}, [("allow", PROGRAM, "block")], id="blocked"),
        pytest.param(ON, {OLD: "allow"}, [("remove", OLD, "allow"), ("allow", PROGRAM, "no rule")], id="after an upgrade"),
        pytest.param(ON, {OLD: "block", PROGRAM: "allow"}, [("remove", OLD, "block")], id="old rule left over"),
        pytest.param(ON, {OTHER: "block"}, [("allow", PROGRAM, "no rule")], id="rules of others stay"),
        pytest.param(OFF, {OLD: "allow", PROGRAM: "block"}, [], id="off: rules mean nothing"),
        pytest.param(BLOCK_ALL, {PROGRAM: "allow"}, [], id="block all, rule is there"),
        pytest.param(BLOCK_ALL, {}, [("allow", PROGRAM, "no rule")], id="block all, rule is missing"),
        pytest.param(Unknown("no answer"), {}, [], id="unknown: nothing is guessed"),
    ],
)
def test_plan(state, rules, steps):
    assert [(step.action, step.item, step.found) for step in plan(Firewall(state, rules), [PROGRAM])] == steps


def test_several_programs_of_one_keg_do_not_drive_each_other_out():
    second = "/opt/homebrew/Cellar/ollama/0.32.15/libexec/llama-server"
    assert plan(Firewall(ON, {PROGRAM: "allow", second: "allow"}), [PROGRAM, second]) == ()


KEG_PATHS = st.builds(
    "/opt/homebrew/Cellar/{}/{}/libexec/{}".format,
    st.sampled_from(["ollama", "other"]),
    st.sampled_from(["0.32.3", "0.32.15"]),
    st.sampled_from(["ollama", "llama-server"]),
)


def apply(found: Firewall, step) -> Firewall:
    """Do what --remove, --add and --unblockapp do; macOS 15.3.1 drops a rule while another version of the keg has one."""
    rules = dict(found.rules)
    if step.action == "remove":
        del rules[step.item]
    else:
        assert not any(stale(rule, step.item) and "0.32.15" not in rule for rule in rules), "dropped in silence"
        rules[step.item] = "allow"
    return replace(found, rules=rules)


@given(
    st.sampled_from([OFF, ON, BLOCK_ALL]),
    st.dictionaries(KEG_PATHS | PATHS, st.sampled_from(["allow", "block"]), max_size=5),
    st.lists(KEG_PATHS.filter(lambda path: "0.32.15" in path) | PATHS, min_size=1, max_size=2, unique=True),
)
def test_what_was_carried_out_leaves_nothing_to_do(state, rules, programs):
    found = Firewall(state, rules)
    for step in plan(found, programs):
        found = apply(found, step)
    assert plan(found, programs) == ()
    if state != OFF:
        assert {found.rules[program] for program in programs} == {"allow"}
    kept = {rule for rule in rules if not any(stale(rule, program) for program in programs)}
    assert kept <= set(found.rules)


@pytest.mark.parametrize(
    ("state", "said"),
    [(ON, []), (OFF, ["note"]), (BLOCK_ALL, ["warning"]), (Unknown("socketfilterfw did not answer"), ["warning"])],
    ids=["on", "off", "block all", "unknown"],
)
def test_what_no_rule_can_mend_is_said(state, said):
    found = findings("mac-mini", Firewall(state))
    assert [finding.severity for finding in found] == said
    assert all(finding.host == "mac-mini" and finding.why for finding in found)


def test_device_management_is_known_by_its_sentence():
    assert is_managed_refusal("Firewall settings cannot be modified from command line on managed Mac computers.\n")
    assert not is_managed_refusal("Must be root to change settings.\n")


# The switches of the whole. ---------------------------------------------------------------------------------------------

# Captures of macOS 26 and 27 (--getglobalstate --getblockall ... in one call), and the texts of macOS 14 and older.
TOLD = {
    "macOS 15 and later": (
        "Firewall has block all state set to disabled.\nFirewall stealth mode is on\n"
        "Automatically allow built-in signed software ENABLED.\nAutomatically allow downloaded signed software DISABLED.\n",
        {"block_all": False, "stealth": True, "allow_signed": True, "allow_signed_downloads": False},
    ),
    "macOS 14": (
        "Block all ENABLED! \nStealth mode disabled\nAutomatically allow signed built-in software DISABLED.\n"
        "Automatically allow downloaded signed software ENABLED. \n",
        {"block_all": True, "stealth": False, "allow_signed": False, "allow_signed_downloads": True},
    ),
}


@pytest.mark.parametrize("version", TOLD)
def test_every_wording_of_the_switches(version):
    text, switches = TOLD[version]
    assert parse_switches(text) == switches


def test_a_switch_that_was_not_told_is_unknown():
    switches = parse_switches("Automatically allow signed built-in software ENABLED.\n")
    assert switches.pop("allow_signed") is True
    assert [type(value) for value in switches.values()] == [Unknown, Unknown, Unknown]


DEFAULT = {"stealth": False, "allow_signed": True, "allow_signed_downloads": True, "block_all": False}


@pytest.mark.parametrize(
    ("state", "switches", "wanted", "steps"),
    [
        pytest.param(ON, DEFAULT, {}, [], id="nothing asked"),
        pytest.param(ON, DEFAULT, {"state": None, "stealth": None}, [], id="none is not ours"),
        pytest.param(ON, DEFAULT, {"state": "enabled"}, [], id="on as asked"),
        pytest.param(BLOCK_ALL, DEFAULT, {"state": "enabled"}, [], id="block all is on, too"),
        pytest.param(ON, DEFAULT, {"state": "disabled"}, ["state enabled disabled"], id="off is asked"),
        pytest.param(ON, DEFAULT, {"state": "disabled", "stealth": True}, ["state enabled disabled"], id="off: no switch"),
        pytest.param(OFF, DEFAULT, {"stealth": True}, [], id="off and not ours: no switch"),
        pytest.param(ON, DEFAULT, {"stealth": True}, ["stealth off on"], id="stealth"),
        pytest.param(ON, {**DEFAULT, "stealth": True}, {"stealth": False}, ["stealth on off"], id="no stealth"),
        pytest.param(ON, DEFAULT, {"allow_signed": False}, ["allow_signed on off"], id="signed"),
        pytest.param(ON, DEFAULT, {"allow_signed_downloads": False}, ["allow_signed_downloads on off"], id="downloads"),
        pytest.param(BLOCK_ALL, {**DEFAULT, "block_all": True}, {"block_all": False}, ["block_all on off"], id="unblock"),
        pytest.param(BLOCK_ALL, {**DEFAULT, "block_all": True}, {}, [], id="block all is not ours"),
        pytest.param(ON, {**DEFAULT, "stealth": Unknown("x")}, {"stealth": True}, [], id="unknown: nothing is guessed"),
    ],
)
def test_the_whole_is_changed_only_where_that_is_asked(state, switches, wanted, steps):
    found = Firewall(state, {PROGRAM: "allow"}, switches)
    planned = plan(found, [PROGRAM], settings_from_json(wanted))
    assert [f"{step.item} {step.found} {step.wanted}" for step in planned] == steps
    assert {step.action for step in planned} <= {"set"}


def test_the_rules_are_there_before_the_firewall_comes_on():
    asked = Settings("enabled", {"block_all": True, "stealth": True})
    steps = plan(Firewall(OFF, {OLD: "allow"}, DEFAULT), [PROGRAM], asked)
    assert [step.item for step in steps] == [OLD, PROGRAM, "stealth", "state", "block_all"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step("allow", PROGRAM, "block", "allow"), [["--add", PROGRAM], ["--unblockapp", PROGRAM]]),
        (Step("remove", OLD, "allow", "absent"), [["--remove", OLD]]),
        (Step("set", "state", "enabled", "disabled"), [["--setglobalstate", "off"]]),
        (Step("set", "state", "disabled", "enabled"), [["--setglobalstate", "on"]]),
        (Step("set", "stealth", "off", "on"), [["--setstealthmode", "on"]]),
        (Step("set", "allow_signed_downloads", "on", "off"), [["--setallowsignedapp", "off"]]),
    ],
    ids=lambda value: value.item if isinstance(value, Step) else "",
)
def test_what_the_tool_is_told(step, words):
    assert command(step) == words


def carried_out(found: Firewall, step: Step) -> Firewall:
    if step.action != "set":
        return apply(found, step)
    if step.item == "state":
        return replace(found, state=ON if step.wanted == "enabled" else OFF)
    on = step.wanted == "on"
    state = found.state if step.item != "block_all" else BLOCK_ALL if on else ON
    return replace(found, state=state, switches={**found.switches, step.item: on})


@given(
    st.sampled_from([OFF, ON, BLOCK_ALL]),
    st.dictionaries(KEG_PATHS, st.sampled_from(["allow", "block"]), max_size=3),
    st.fixed_dictionaries({name: st.booleans() for name in SWITCHES}),
    st.builds(
        Settings, st.sampled_from([None, "enabled", "disabled"]), st.dictionaries(st.sampled_from([*SWITCHES]), st.booleans())
    ),
)
def test_settings_that_were_carried_out_leave_nothing_to_do(state, rules, switches, wanted):
    found = Firewall(state, rules, {**switches, "block_all": state == BLOCK_ALL})
    for step in plan(found, [PROGRAM], wanted):
        found = carried_out(found, step)
    assert plan(found, [PROGRAM], wanted) == ()
    untouched = set(SWITCHES) - set(wanted.switches) - {"block_all"}
    assert {found.switches[name] for name in untouched} == {switches[name] for name in untouched} or not untouched


@given(
    st.builds(
        Firewall,
        st.sampled_from([0, 1, 2]) | st.builds(Unknown, st.text(max_size=5)),
        RULES,
        st.dictionaries(st.sampled_from([*SWITCHES]), st.booleans() | st.builds(Unknown, st.text(max_size=5))),
        st.booleans(),
    )
)
def test_a_firewall_survives_the_way_through_json(found):
    assert firewall_from_json(plain(found)) == found


# What only somebody else can change. ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "rules", "severity", "words"),
    [
        pytest.param(ON, {PROGRAM: "allow"}, "note", ["lets through"], id="allowed"),
        pytest.param(ON, {}, "warning", [PROGRAM, "no rule", "nothing was changed"], id="no rule"),
        pytest.param(ON, {PROGRAM: "block"}, "warning", [PROGRAM, "block"], id="blocked"),
        pytest.param(OFF, {}, "note", ["lets through"], id="off"),
        pytest.param(BLOCK_ALL, {PROGRAM: "allow"}, "warning", ["blocks all"], id="block all"),
        pytest.param(Unknown("refused"), {}, "warning", ["does not even tell"], id="mute"),
    ],
)
def test_a_managed_firewall_is_neither_changed_nor_called_a_failure(state, rules, severity, words):
    found = Firewall(state, rules, DEFAULT, managed=True)
    assert plan(found, [PROGRAM], Settings("enabled", {"stealth": True})) == ()
    (finding,) = findings("mac-mini", found, [PROGRAM])
    assert (finding.severity, finding.found) == (severity, "managed")
    assert all(word in finding.sentence() for word in words)
    assert severity == "note" or PROGRAM in finding.remedy


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        (Firewall(OFF), Settings("enabled"), []),
        (Firewall(OFF), Settings("disabled"), ["note"]),
        (Firewall(BLOCK_ALL), Settings(None, {"block_all": False}), []),
        (Firewall(BLOCK_ALL), Settings(None, {"block_all": True}), []),
        (Firewall(BLOCK_ALL), Settings("enabled"), ["warning"]),
        (Firewall(ON, {}, {"stealth": Unknown("odd")}), Settings(None, {"stealth": True}), ["warning"]),
        (Firewall(ON, {}, {"stealth": Unknown("odd")}), Settings(), []),
    ],
)
def test_what_is_asked_for_is_not_also_complained_of(found, wanted, said):
    assert [finding.severity for finding in findings("mac-mini", found, [], wanted)] == said


OTHER_GO = "/opt/homebrew/Cellar/gopls/0.20.0/bin/gopls"


@pytest.mark.parametrize(
    ("identifiers", "words"),
    [
        ({PROGRAM: "a.out", OTHER_GO: "a.out", OTHER: "com.apple.x"}, [OTHER_GO, "'a.out'", f"--remove {OTHER_GO}"]),
        ({PROGRAM: "a.out", OTHER: "com.apple.x"}, ["'a.out'", "codesign -dv"]),
        ({}, ["codesign -dv"]),
    ],
    ids=["a rival", "none found", "nothing known"],
)
def test_a_rule_that_was_dropped_in_silence_is_told_with_its_rival(identifiers, words):
    said = dropped(Step("allow", PROGRAM, "no rule", "allow"), identifiers)
    assert all(word in said for word in [PROGRAM, *words])
    assert OTHER not in said


def test_another_change_that_did_not_show_is_no_clash():
    assert "code identifier" not in dropped(Step("set", "stealth", "off", "on"), {})
    assert "code identifier" not in dropped(Step("allow", PROGRAM, "block", "allow"), {PROGRAM: "a.out"})


def test_the_identifier_is_read_from_what_codesign_says():
    said = f"Executable={PROGRAM}\nIdentifier=a.out\nFormat=Mach-O thin (arm64)\nSignature=adhoc\n"
    assert parse_identifier(said) == "a.out"
    assert parse_identifier(f"{PROGRAM}: code object is not signed at all\n") == ""
