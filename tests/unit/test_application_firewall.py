"""Rules by program path: what is printed, what is stale, what is missing, and what no rule can mend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.fleet.application_firewall import (
    BLOCK_ALL,
    OFF,
    ON,
    Firewall,
    findings,
    is_managed_refusal,
    parse_rules,
    parse_state,
    plan,
    stale,
)
from ansible.module_utils.fleet.vocabulary import Unknown
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
