"""What a property list may hold: each refusal by name, and each domain's own rules."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.definition import KEYS, definition_problems
from hypothesis import given
from hypothesis import strategies as st

from .examples import DEFINITION, LABEL, PROGRAM, definition

DAEMON = {"UserName": "felipe", "EnvironmentVariables": {"HOME": "/Users/felipe"}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({}, "", id="sound"),
        pytest.param({"ThrottleInterval": 30, "WorkingDirectory": "/opt"}, "", id="further keys"),
        pytest.param({"ProcessType": "Interactive", "ExitTimeOut": 20}, "", id="what a server wants"),
        pytest.param({"KeepAlive": {"SuccessfulExit": False, "Crashed": True}}, "", id="a condition"),
        pytest.param({"SoftResourceLimits": {"NumberOfFiles": 4096}}, "", id="a limit"),
        pytest.param({"LimitLoadToSessionType": ["Aqua", "Background"]}, "", id="two session types"),
        pytest.param({"Label": "other"}, "Label inside is 'other'", id="another label inside"),
        pytest.param({"Label": None}, "Label inside is None", id="no label"),
        pytest.param({"ProgramArguments": None}, "ProgramArguments", id="no program"),
        pytest.param({"ProgramArguments": []}, "ProgramArguments", id="empty program"),
        pytest.param({"ProgramArguments": "ollama serve"}, "ProgramArguments", id="program as text"),
        pytest.param({"ProgramArguments": ["/x", 1]}, "ProgramArguments", id="number among the arguments"),
        pytest.param({"ProgramArguments": ["ollama", "serve"]}, "absolute path", id="relative program"),
        pytest.param({"ProgramArguments": ["~/ollama", "serve"]}, "absolute path", id="program below ~"),
        pytest.param(
            {"ProgramArguments": ["/opt/homebrew/Cellar/ollama/0.32.15/bin/ollama"]}, "Cellar", id="program in the Cellar"
        ),
        pytest.param({"EnvironmentVariables": {"OLLAMA_DEBUG": 1}}, "text for every value", id="number in the environment"),
        pytest.param({"EnvironmentVariables": {"OLLAMA_DEBUG": True}}, "text for every value", id="boolean in the environment"),
        pytest.param({"EnvironmentVariables": ["A=1"]}, "text for every value", id="environment as list"),
        pytest.param({"EnvironmentVariables": {"A": "\x1b[31m"}}, "EnvironmentVariables.A holds", id="what XML cannot hold"),
        pytest.param({"StandardErrorPath": "~/x.log"}, "StandardErrorPath is '~/x.log'", id="log below ~"),
        pytest.param({"StandardOutPath": "$HOME/x.log"}, "StandardOutPath", id="log below $HOME"),
        pytest.param({"StandardOutPath": "/Users/felipe/../x.log"}, "StandardOutPath", id="a way up in a path"),
        pytest.param({"WorkingDirectory": 1}, "WorkingDirectory is 1", id="working directory as number"),
        pytest.param({"ThrottleInterval": 0}, "launchd ignores 0", id="a throttle of 0"),
        pytest.param({"ThrottleInterval": "10"}, "ThrottleInterval", id="a throttle as text"),
        pytest.param({"ExitTimeOut": 0}, "wait for ever", id="an end that is never enforced"),
        pytest.param({"ExitTimeOut": True}, "ExitTimeOut", id="true for a number"),
        pytest.param({"KeepAlive": "yes"}, "KeepAlive", id="a word for a boolean"),
        pytest.param({"KeepAlive": {}}, "KeepAlive", id="no condition"),
        pytest.param({"KeepAlive": {"NetworkState": True}}, "KeepAlive", id="a condition that is a no-op"),
        pytest.param({"RunAtLoad": 1}, "RunAtLoad", id="a number for a boolean"),
        pytest.param({"ProcessType": "interactive"}, "ProcessType is", id="a process type in small letters"),
        pytest.param({"ProcessType": "Background"}, "eight times slower", id="slow on purpose is not assumed"),
        pytest.param({"SoftResourceLimits": {"Files": 1}}, "SoftResourceLimits", id="a limit nobody knows"),
        pytest.param({"SoftResourceLimits": {"NumberOfFiles": "1"}}, "SoftResourceLimits", id="a limit as text"),
        pytest.param({"LimitLoadToSessionType": "Background"}, "must name Aqua", id="not for the screen"),
        pytest.param({"LimitLoadToSessionType": "Desktop"}, "LimitLoadToSessionType is", id="no session type"),
        pytest.param({"UserName": "felipe"}, "system domain only", id="a user in an agent"),
        pytest.param({"KeepAlife": True}, "did you mean KeepAlive", id="a misspelt key"),
    ],
)
def test_a_definition_that_launchd_would_refuse_or_trim_is_named(changes, says):
    problems = definition_problems(LABEL, "gui", definition(**changes))
    assert bool(problems) is bool(says), problems
    assert all(says in problem or "must name Aqua" in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("domain", "changes", "says"),
    [
        ("system", DAEMON, ""),
        ("system", {**DAEMON, "UserName": None}, "UserName is missing"),
        ("system", {"UserName": "felipe"}, "HOME is missing"),
        ("system", {**DAEMON, "LimitLoadToSessionType": "Aqua"}, "out of the system domain"),
        ("user", {}, "must name Background"),
        ("user", {"LimitLoadToSessionType": "Background"}, ""),
        ("user", {"LimitLoadToSessionType": ["Aqua", "Background"]}, ""),
    ],
)
def test_each_domain_has_its_own_rules(domain, changes, says):
    problems = definition_problems(LABEL, domain, definition(**changes))
    assert [says in problem for problem in problems] == [True] * bool(says)


def test_a_process_type_that_is_slow_passes_for_who_means_it():
    assert definition_problems(LABEL, "gui", definition(ProcessType="Background"), background_accepted=True) == ()


@pytest.mark.parametrize(
    ("label", "domain", "says"),
    [
        ("com user", "gui", "letters, digits"),
        ("../x", "gui", "letters, digits"),
        ("$(id)", "gui", "letters, digits"),
        (".x", "gui", "letters, digits"),
        (LABEL + "\n", "gui", "letters, digits"),
        (LABEL, "aqua", "none of gui, user, system"),
        (LABEL, "", "none of gui, user, system"),
    ],
)
def test_a_label_or_domain_that_is_none_is_named(label, domain, says):
    (problem,) = definition_problems(label, domain, definition(Label=label))
    assert says in problem


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "Nonsense"]), VALUES, max_size=4), st.sampled_from(["gui", "user", "system"]))
def test_whatever_a_definition_holds_is_judged_in_words(changes, domain):
    for problem in definition_problems(LABEL, domain, {**DEFINITION, **changes}):
        assert isinstance(problem, str)
        assert problem


def test_the_example_is_sound_and_names_its_program():
    assert definition_problems(LABEL, "gui", DEFINITION) == ()
    assert DEFINITION["ProgramArguments"][0] == PROGRAM
