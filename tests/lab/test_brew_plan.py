"""What brew decides to do, from the state of the Cellar alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mac.commands.brew import plan
from mac.commands.brew.plan import Settings, Step, Tree
from mac.commands.brew.services import Caller, Job, domain, parse_environment, parse_job

NONE = Tree()
OLD = Tree(("0.24.0",), "0.24.0", "0.24.0")
NEW = Tree(("0.32.15",), "0.32.15", "0.32.15")
BOTH = Tree(("0.24.0", "0.32.15"), "0.32.15", "0.32.15")
BACK = Tree(("0.24.0", "0.32.15"), "0.24.0", "0.24.0")
LOOSE = Tree(("0.32.15",), "0.32.15")
PINNED = Tree(("0.24.0",), "0.24.0", "0.24.0", "0.24.0")
KEEP = Settings(cleanup=False)
HOLD = Settings(upgrade_on_install=False)


def steps(*words: str) -> tuple[Step, ...]:
    """Write steps as `verb version`."""
    return tuple(Step(*word.split()) for word in words)


@pytest.mark.parametrize(
    ("tree", "settings", "expected", "err", "code"),
    [
        (NONE, Settings(), steps("pour 0.32.15", "link 0.32.15"), "", 0),
        (NEW, Settings(), (), "Warning: ollama 0.32.15 is already installed and up-to-date.", 0),
        (LOOSE, Settings(), (), "Warning: ollama 0.32.15 is already installed, it's just not linked.", 0),
        (OLD, Settings(), steps("pour 0.32.15", "link 0.32.15", "remove 0.24.0"), "", 0),
        (OLD, KEEP, steps("pour 0.32.15", "link 0.32.15"), "", 0),
        (OLD, HOLD, (), "Warning: ollama 0.24.0 is already installed", 0),
        (PINNED, Settings(), (), "Warning: ollama 0.24.0 is already installed and pinned.", 0),
    ],
    ids=["bare", "current", "not-linked", "outdated", "no-cleanup", "no-upgrade", "pinned"],
)
def test_install(tree: Tree, settings: Settings, expected: tuple[Step, ...], err: str, code: int) -> None:
    decided = plan.install("ollama", tree, "0.32.15", settings)
    assert (decided.steps, "".join(decided.err[:1]), decided.code) == (expected, err, code)


@pytest.mark.parametrize(
    ("tree", "named", "expected", "err", "code"),
    [
        (NONE, True, (), "Error: ollama not installed", 1),
        (NEW, True, (), "Warning: ollama 0.32.15 already installed", 0),
        (NEW, False, (), "", 0),
        (OLD, True, steps("pour 0.32.15", "link 0.32.15", "remove 0.24.0"), "", 0),
        (PINNED, True, (), "Error: Not upgrading 1 pinned package:", 1),
        (PINNED, False, (), "Warning: Not upgrading 1 pinned package:", 0),
    ],
    ids=["bare", "current", "current-unnamed", "outdated", "pinned", "pinned-unnamed"],
)
def test_upgrade(tree: Tree, named: bool, expected: tuple[Step, ...], err: str, code: int) -> None:
    decided = plan.upgrade("ollama", tree, "0.32.15", Settings(), named=named)
    assert (decided.steps, "".join(decided.err[:1]), decided.code) == (expected, err, code)


@pytest.mark.parametrize(
    ("decided", "expected", "err", "code"),
    [
        (plan.pin("ollama", OLD), steps("pin 0.24.0"), "", 0),
        (plan.pin("ollama", PINNED), (), "Warning: ollama already pinned", 0),
        (plan.pin("ollama", NONE), (), "Error: ollama not installed", 1),
        (plan.unpin("ollama", PINNED), steps("unpin"), "", 0),
        (plan.unpin("ollama", OLD), (), "Warning: ollama not pinned", 0),
        (plan.link("ollama", LOOSE, "/C", False), steps("link 0.32.15"), "", 0),
        (plan.link("ollama", LOOSE, "/C", True), steps("overwrite 0.32.15"), "", 0),
        (plan.link("ollama", NEW, "/C", False), (), "Warning: Already linked: /C/ollama/0.32.15", 0),
        (plan.link("ollama", NONE, "/C", False), (), "Error: No such keg: /C/ollama", 1),
        (plan.uninstall("ollama", NONE, "/C", False), (), "Error: No such keg: /C/ollama", 1),
        (plan.uninstall("ollama", BOTH, "/C", False), steps("remove 0.32.15"), "", 0),
        (plan.uninstall("ollama", BOTH, "/C", True), steps("remove 0.24.0", "remove 0.32.15"), "", 0),
        (plan.pin("ollama", BACK), steps("pin 0.32.15"), "", 0),
        (plan.link("ollama", BACK, "/C", False), (), "Error: Cannot link ollama", 1),
        (plan.link("ollama", BACK, "/C", True), (), "Error: Cannot link ollama", 1),
        (plan.link("ollama", BACK._replace(linked=""), "/C", False), steps("link 0.32.15"), "", 0),
        (plan.uninstall("ollama", BACK, "/C", False), steps("remove 0.24.0"), "", 0),
        (plan.cleanup("ollama", BOTH, "0.32.15"), steps("remove 0.24.0"), "", 0),
        (plan.cleanup("ollama", BOTH._replace(pinned="0.24.0"), "0.32.15"), (), "", 0),
        (plan.cleanup("ollama", BACK, "0.32.15"), (), "", 0),
        (
            plan.cleanup("ollama", BOTH, "0.33.0"),
            (),
            "Warning: Skipping ollama: most recent version 0.33.0 not installed",
            0,
        ),
        (plan.cleanup("ollama", PINNED, "0.33.0"), (), "", 0),
        (plan.reinstall("ollama", OLD), steps("pour 0.24.0", "link 0.24.0"), "", 0),
    ],
)
def test_other_verbs(decided: plan.Plan, expected: tuple[Step, ...], err: str, code: int) -> None:
    assert (decided.steps, "".join(decided.err[:1]), decided.code) == (expected, err, code)


@pytest.mark.parametrize(
    ("older", "newer"),
    [("0.9.0", "0.32.3"), ("0.32.3", "0.32.15"), ("0.32.15", "0.32.15_1"), ("0.32.15_1", "0.32.16"), ("0.33.0-rc2", "0.33.0")],
)
def test_versions_are_numbers(older: str, newer: str) -> None:
    assert plan.newest_last([newer, older]) == [older, newer]


@pytest.mark.parametrize(
    ("tree", "stable", "expected"),
    [
        (NONE, "0.32.15", False),
        (NEW, "0.32.15", False),
        (NEW, "0.32.3", False),
        (OLD, "0.32.15", True),
        (LOOSE, "0.32.15", False),  # behind `opt`
        (LOOSE._replace(opt=""), "0.32.15", True),
        (BACK, "0.32.15", True),  # the newest is there, and in use by nobody
        (BACK._replace(pinned="0.24.0"), "0.32.15", False),
        (PINNED, "0.32.15", True),
    ],
)
def test_outdated_is_what_is_not_in_use_as_new_as_stable(tree: Tree, stable: str, expected: bool) -> None:
    assert plan.outdated(tree, stable) is expected


VERSIONS = st.builds("{}.{}.{}".format, st.integers(0, 2), st.integers(0, 40), st.integers(0, 20))


@given(st.sets(VERSIONS, min_size=1, max_size=3), VERSIONS)
def test_after_an_upgrade_nothing_is_outdated(installed: set[str], stable: str) -> None:
    kegs = tuple(plan.newest_last(sorted(installed)))
    tree = Tree(kegs, kegs[-1], kegs[-1])
    decided = plan.upgrade("x", tree, stable, Settings())
    assert bool(decided.steps) == plan.outdated(tree, stable)
    if decided.steps:
        assert not plan.outdated(Tree((stable,), stable, stable), stable)
        assert {step.version for step in decided.steps if step.verb == "remove"} == set(kegs)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (Caller(0, 0, 501, {"SUDO_USER": "felipe"}), ("system", "")),
        (Caller(501, 501, 501, {}), ("gui/501", "")),
        (Caller(501, 501, 0, {}), ("gui/501", "")),
        (Caller(501, 501, 501, {"SSH_TTY": "/dev/ttys1"}), ("gui/501", "")),
        (Caller(501, 501, 0, {"SSH_TTY": "/dev/ttys1"}), ("user/501", "running over SSH without /dev/console ownership")),
        (Caller(501, 501, 501, {"SUDO_USER": "admin"}), ("user/501", "running through sudo")),
        (Caller(502, 501, 501, {}), ("user/501", "uid and euid do not match")),
    ],
    ids=["root", "console", "ssh-pipelined-headless", "ssh-tty-console", "ssh-tty-headless", "sudo", "euid"],
)
def test_the_domain_of_services(caller: Caller, expected: tuple[str, str]) -> None:
    assert domain(caller) == expected


@pytest.mark.parametrize(
    ("text", "job", "status"),
    [
        (
            "x = {\n\tpath = /a/b.plist\n\tpid = 7\n\tlast exit code = (never exited)\n",
            Job(True, 7, None, "/a/b.plist"),
            "started",
        ),
        ("\tlast exit code = 1\n", Job(True, None, 1, None), "error"),
        ("\tlast exit code = 0\n", Job(True, None, 0, None), "stopped"),
        ("\tlast exit code = (never exited)\n", Job(True, None, None, None), "other"),
        ('{\n\t"PID" = 12;\n\t"LastExitStatus" = 0;\n};', Job(True, 12, 0, None), "started"),
    ],
    ids=["running", "failed", "ended", "never", "legacy"],
)
def test_what_launchd_says_is_read(text: str, job: Job, status: str) -> None:
    assert parse_job(text) == job
    assert job.status == status


def test_a_job_that_is_not_loaded_has_no_status() -> None:
    assert Job().status == "none"


def test_override_files_are_lines_of_assignments() -> None:
    text = '# note\nOLLAMA_HOST=0.0.0.0\n\nOLLAMA_ORIGINS="*"\nnonsense\nA=b=c\n'
    assert parse_environment(text) == {"OLLAMA_HOST": "0.0.0.0", "OLLAMA_ORIGINS": "*", "A": "b=c"}
