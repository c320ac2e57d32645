"""Leading a formula to another version and back, on a real tree, held against what the lab's brew makes of the same."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
from pathlib import Path

import pytest
from ansible.module_utils.fleet.homebrew import Keg
from ansible.module_utils.fleet.vocabulary import Step, Unknown
from ansible.module_utils.macos import brew as brew_module
from ansible.module_utils.macos import homebrew_change
from ansible.module_utils.macos.brew import FRESH, QUIET, Brew, told
from ansible.module_utils.macos.commands import Answer
from ansible.module_utils.macos.homebrew_change import Formula, HomebrewFailed
from ansible.module_utils.macos.system import REFUSED, read_keg
from mac.commands.brew import layout
from mac.commands.brew.cellar import Cellar

ACCOUNT = pwd.getpwuid(os.getuid())
OLD, NEW = "0.32.3", "0.32.15"
PLACES = ("bin", "etc", "share", "opt", "var/homebrew/linked", "var/homebrew/pinned")


class Calls:
    """A brew made of functions; remembers what it was asked."""

    def __init__(self, prefix, *answers):
        self.prefix = str(prefix)
        self.account = ACCOUNT
        self.answers = list(answers)
        self.asked = []

    def __call__(self, *words, timeout):
        """Answer the next one."""
        assert timeout
        self.asked.append(words)
        answer = self.answers.pop(0)
        return answer() if callable(answer) else answer


def pour(prefix, version, *completions):
    """Write a keg with a program, and files that are linked in folders others share."""
    keg = prefix / "Cellar/ollama" / version
    for name, text in (("libexec/ollama", version), *((name, version) for name in completions)):
        (keg / name).parent.mkdir(parents=True, exist_ok=True)
        (keg / name).write_text(text)
        (keg / name).chmod(0o755)
    (keg / "bin").mkdir()
    (keg / "bin/ollama").symlink_to("../libexec/ollama")
    return keg


@pytest.fixture
def prefix(tmp_path):
    """Make a Homebrew with two versions, the newer one linked by the lab's brew."""
    layout(tmp_path)
    pour(tmp_path, OLD)
    pour(tmp_path, NEW)
    Cellar(tmp_path).link("ollama", NEW)
    return tmp_path


def links(prefix):
    """Return every link of the prefix outside the Cellar."""
    return {
        str(place.relative_to(prefix)): str(place.readlink())
        for folder in PLACES
        for place in (prefix / folder).rglob("*")
        if place.is_symlink()
    }


def found(prefix):
    return read_keg(str(prefix), "ollama", str(prefix / "opt/ollama/bin/ollama"))


def formula(prefix, *answers, previous=""):
    return Formula(Calls(prefix, *answers), "ollama", found(prefix), previous)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_switch_leaves_what_brew_itself_would_link(prefix, version):
    formula(prefix).switch(version)
    ours = links(prefix)
    Cellar(prefix).link("ollama", version)
    assert ours == links(prefix)
    assert (prefix / "bin/ollama").resolve().read_text() == version
    assert found(prefix).linked == version


def test_a_switch_and_back_changes_nothing(prefix):
    before = links(prefix)
    one = formula(prefix)
    one.switch(OLD)
    assert links(prefix) != before
    one.switch(NEW)
    assert links(prefix) == before


def test_what_only_one_version_brings_comes_and_goes(prefix):
    zsh = "share/zsh/site-functions/_ollama"
    pour(prefix, "0.33.0", zsh, "etc/ollama.conf")
    (prefix / "share/zsh/site-functions").mkdir(parents=True)
    (prefix / "share/zsh/site-functions/_other").write_text("somebody else's")
    one = formula(prefix)
    one.switch("0.33.0")
    assert (prefix / zsh).read_text() == "0.33.0"
    assert (prefix / "etc/ollama.conf").read_text() == "0.33.0"
    one.switch(NEW)
    assert not (prefix / zsh).is_symlink()
    assert (prefix / "share/zsh/site-functions/_other").exists()
    assert not (prefix / "etc/ollama.conf").is_symlink()


def test_a_keg_that_is_gone_is_not_linked_and_nothing_moves(prefix):
    before = links(prefix)
    with pytest.raises(HomebrewFailed, match=r"0\.24\.0 is gone"):
        formula(prefix).switch("0.24.0")
    assert links(prefix) == before


def test_a_place_of_somebody_else_is_left_alone_and_named(prefix):
    one = formula(prefix)
    (prefix / "bin/ollama").unlink()
    (prefix / "bin/ollama").write_text("by hand")
    with pytest.raises(HomebrewFailed, match=r"bin/ollama belongs to somebody else"):
        one.switch(OLD)
    assert (prefix / "bin/ollama").read_text() == "by hand"
    # As after brew's own: `opt` leads to the version, the formula is not linked.
    assert (prefix / "opt/ollama").readlink() == Path(f"../Cellar/ollama/{OLD}")
    assert not (prefix / "var/homebrew/linked/ollama").is_symlink()


def test_a_place_that_was_somebody_elses_before_is_no_reason_to_fail(prefix):
    Cellar(prefix).unlink("ollama")
    (prefix / "bin/ollama").write_text("Ollama.app's")
    formula(prefix).switch(OLD)
    assert found(prefix).linked == OLD
    assert (prefix / "bin/ollama").read_text() == "Ollama.app's"


def test_a_folder_that_is_a_link_is_not_written_through(prefix):
    other = prefix / "Cellar/other/1.0/share/zsh"
    other.mkdir(parents=True)
    (prefix / "share/zsh").symlink_to("../Cellar/other/1.0/share/zsh")
    pour(prefix, "0.33.0", "share/zsh/site-functions/_ollama")
    with pytest.raises(HomebrewFailed, match="share/zsh belongs"):
        formula(prefix).switch("0.33.0")
    assert list(other.iterdir()) == []


def test_a_brew_at_work_is_waited_for_and_then_named(prefix, monkeypatch):
    monkeypatch.setattr(homebrew_change, "LOCK_SECONDS", 0)
    monkeypatch.setattr(homebrew_change, "POLL_SECONDS", 0)
    before = links(prefix)
    with (prefix / "var/homebrew/locks/ollama.formula.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(HomebrewFailed, match="another brew has held"):
            formula(prefix).switch(OLD)
    assert links(prefix) == before
    formula(prefix).switch(OLD)


def test_a_pin_is_set_moved_and_taken_off(prefix):
    one = formula(prefix)
    one.do(Step("pin", "ollama", "not pinned", OLD))
    assert (found(prefix).pinned, found(prefix).pin) == (True, OLD)
    assert links(prefix)["var/homebrew/pinned/ollama"] == f"../../../Cellar/ollama/{OLD}"
    one.do(Step("pin", "ollama", "pinned", NEW))
    assert found(prefix).pin == NEW
    one.do(Step("unpin", "ollama", "pinned", "not pinned"))
    assert found(prefix).pinned is False
    one.do(Step("unpin", "ollama", "pinned", "not pinned"))


def test_an_old_keg_goes_and_the_linked_one_does_not(prefix):
    formula(prefix).do(Step("remove", f"ollama {OLD}", "in the Cellar", "absent"))
    assert found(prefix).installed == (NEW,)
    with pytest.raises(HomebrewFailed, match="is linked"):
        formula(prefix).do(Step("remove", f"ollama {NEW}", "in the Cellar", "absent"))
    assert found(prefix).usable


def poured(prefix, version, rc=0, err=""):
    """Let a brew pour and link a version."""

    def upgrade():
        pour(prefix, version)
        Cellar(prefix).link("ollama", version)
        return Answer(rc, "", err)

    return upgrade


def test_an_upgrade_is_brews_and_is_looked_at_afterwards(prefix):
    one = formula(prefix, poured(prefix, "0.33.0"))
    one.do(Step("upgrade", "ollama", NEW, "0.33.0"))
    assert one.brew.asked == [("upgrade", "--formula", "ollama")]
    assert found(prefix).linked == "0.33.0"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            Answer(1, "==> Fetching", "curl: (6) Could not resolve host: ghcr.io\nError: ollama: no way"),
            "ghcr.io; ollama: no way",
        ),
        (Answer(0, "", "Warning: ollama 0.32.15 already installed"), "it ended well and 0.32.15 is linked, not 0.33.0"),
        (Answer(1, "", ""), "exit status 1"),
    ],
)
def test_an_upgrade_that_brings_something_else_has_failed(prefix, answer, said):
    with pytest.raises(HomebrewFailed, match=r"did not bring 0\.33\.0") as failure:
        formula(prefix, answer).upgrade("0.33.0")
    assert said in str(failure.value)


NOT_LINKED = "Error: The `brew link` step did not complete successfully"


def test_an_upgrade_that_could_not_be_linked_has_failed_unless_it_was_so_before(prefix):
    with pytest.raises(HomebrewFailed, match="brew link"):
        formula(prefix, poured(prefix, "0.33.0", 1, NOT_LINKED)).upgrade("0.33.0")
    formula(prefix).switch(NEW)
    Cellar(prefix).unlink("ollama")
    formula(prefix, poured(prefix, "0.34.0", 1, NOT_LINKED)).upgrade("0.34.0")


def test_everything_is_put_back_and_the_keg_that_failed_says_why(prefix):
    one = formula(prefix)
    one.pin(NEW)
    one = formula(prefix)
    before = links(prefix)
    one.do(Step("unpin", "ollama", "pinned", "not pinned"))
    one.brew.answers = [poured(prefix, "0.33.0")]
    one.do(Step("upgrade", "ollama", NEW, "0.33.0"))
    assert found(prefix).unproved == NEW
    one.put_back()
    one.refuse("0.33.0", "it loads nothing")
    assert links(prefix) == before
    assert (found(prefix).unproved, found(prefix).refused) == ("", (("0.33.0", "it loads nothing"),))
    one.do(Step("relink", "ollama", NEW, "0.33.0"))
    assert found(prefix).unproved == NEW
    one.proved()
    assert (found(prefix).unproved, found(prefix).refused) == ("", ())


def test_what_stands_as_before_is_not_touched(prefix):
    before = {place: (prefix / place).lstat().st_ino for place in links(prefix)}
    formula(prefix).put_back()
    formula(prefix).refuse(NEW, "it failed")
    assert {place: (prefix / place).lstat().st_ino for place in links(prefix)} == before
    assert not (prefix / "Cellar/ollama" / NEW / REFUSED).exists()


def test_the_way_back_may_be_another_version_than_the_linked_one(prefix):
    one = formula(prefix, previous=OLD)
    one.put_back()
    one.refuse(NEW, "it failed")
    assert (found(prefix).linked, found(prefix).refused) == (OLD, ((NEW, "it failed"),))


# Asking brew. -----------------------------------------------------------------------------------------------------------


def asked(monkeypatch, answer):
    """Let `run` answer, and remember how it was called."""
    calls = []

    def fake(argv, timeout, environment, account):
        calls.append((argv, timeout, environment, account))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(brew_module, "run", fake)
    return calls


def outdated(*rows):
    return json.dumps({"formulae": list(rows), "casks": []})


@pytest.mark.parametrize(
    ("installed", "answer", "available"),
    [
        (("0.32.3",), Answer(1, outdated({"name": "ollama", "current_version": "0.33.0"}), ""), "0.33.0"),
        (("0.32.3", "0.32.15"), Answer(0, outdated(), ""), "0.32.15"),
        ((), Answer(0, outdated({"versions": {"stable": "0.33.0"}, "revision": 0}), ""), "0.33.0"),
        ((), Answer(0, outdated({"versions": {"stable": "0.33.0"}, "revision": 2}), ""), "0.33.0_2"),
        (("0.32.3",), Answer(1, "", "Error: something"), Unknown("brew outdated: something")),
        (("0.32.3",), Answer(0, "[]", ""), Unknown("brew outdated: []")),
        (("0.32.3",), OSError("brew did not answer within 60 s"), Unknown("brew did not answer within 60 s")),
    ],
)
def test_what_brew_would_install(monkeypatch, installed, answer, available):
    calls = asked(monkeypatch, answer)
    assert Brew("/opt/homebrew", ACCOUNT).available("ollama", installed, 60) == available
    ((argv, timeout, environment, account),) = calls
    assert argv[:2] == ["/opt/homebrew/bin/brew", "outdated" if installed else "info"]
    assert (timeout, account) == (60, ACCOUNT)
    assert environment.items() >= {**QUIET, **FRESH}.items()


def test_a_list_that_could_not_be_fetched_is_no_answer(monkeypatch):
    warning = "Warning: packages.arm64_tahoe.jws.json: update failed, falling back to cached version."
    asked(monkeypatch, Answer(0, outdated(), warning))
    available = Brew("/opt/homebrew", ACCOUNT).available("ollama", ("0.32.3",), 60)
    assert isinstance(available, Unknown)
    assert "update failed" in available.reason


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(1, "out", "Warning: a\nError: b\nError: c\nlast"), "b; c"),
        (Answer(1, "out", "Warning: a\nlast\n"), "last"),
        (Answer(1, "first\nsecond", ""), "first"),
        (Answer(3, "", ""), "exit status 3"),
    ],
)
def test_what_brew_said(answer, words):
    assert told(answer) == words


def test_nothing_installed_has_nothing_to_put_back(tmp_path):
    layout(tmp_path)
    Formula(Calls(tmp_path), "ollama", Keg(True)).put_back()
    assert links(tmp_path) == {}
