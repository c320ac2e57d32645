"""The block in a shell's start file: what the shell makes of it, and that nothing else of the file changes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import asdict

import pytest
from ansible.module_utils.fleet.case import Case
from ansible.module_utils.fleet.shell_block import (
    BEGIN,
    END,
    ENDED_LINE,
    HINT,
    MADE_FILE,
    RESERVED,
    Found,
    Wanted,
    findings,
    found_from_json,
    judge,
    look,
    plan,
    problems,
    with_block,
    without_block,
)
from ansible.module_utils.fleet.vocabulary import plain
from ansible.module_utils.macos import shell_file
from hypothesis import given
from hypothesis import strategies as st

from .examples import desired, observed

SHELLS = [shell for shell in ("sh", "bash", "zsh") if shutil.which(shell)]
LINES = ("export OLLAMA_HOST='127.0.0.1:11434'",)
OTHER = ("export OLLAMA_HOST='127.0.0.1:11500'", "alias ollamas='ollama ls'")


def block(*lines, memory=""):
    return "".join(f"{line}\n" for line in (BEGIN + HINT + memory, *lines, END)).encode()


FILES = {
    "empty": b"",
    "plain": b"export A=1\n",
    "no newline at the end": b"export A=1",
    "only a newline": b"\n",
    "carriage returns": b"export A=1\r\nalias b=c\r\n",
    "a carriage return at the end": b"export A=1\r",
    "not UTF-8": b"export A=\xe9\xff\x80\n",
    "byte order mark": b"\xef\xbb\xbfexport A=1\n",
    "byte order mark alone": b"\xef\xbb\xbf",
    "nul": b"a\0b",
    "the same line of the person": b"export OLLAMA_HOST='127.0.0.1:11434'\n",
    "words like a marker": b"# BEGIN ollama-fleets\n  # BEGIN ollama-fleet\necho '# END ollama-fleet'\n",
    "odd line ends": b"a\x0bb\x0cc\x1cd\xc2\x85e\xe2\x80\xa8f\n",
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_every_byte_of_the_person_stays_and_comes_back(data):
    made = with_block(data, LINES)
    assert made.startswith(data)
    assert look("f", made).block == LINES
    assert with_block(made, LINES) == made
    assert with_block(with_block(data, OTHER), LINES) == made
    assert without_block(made) == data
    assert without_block(data) == data


@given(
    data=st.binary(max_size=60) | st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\xff", b"#", b"\\"]), max_size=8).map(b"".join)
)
def test_every_byte_of_any_person_stays_and_comes_back(data):
    made = with_block(data, LINES)
    assert made.startswith(data)
    assert without_block(made) == data
    assert with_block(with_block(data, OTHER), LINES) == made


def test_a_file_that_was_not_there_is_made_and_goes_again():
    made = with_block(None, LINES)
    assert made == block(*LINES, memory=MADE_FILE)
    assert look("f", made).alone
    assert without_block(made) is None
    assert without_block(None) is None


def test_a_file_that_was_made_stays_once_somebody_wrote_into_it():
    made = with_block(None, LINES)
    assert without_block(made + b"export A=1\n") == b"export A=1\n"
    assert without_block(b"export A=1\n" + made) == b"export A=1\n"
    assert not look("f", made + b"\n").alone


def test_a_file_that_was_there_and_empty_stays():
    assert without_block(with_block(b"", LINES)) == b""


def test_what_was_written_below_the_block_is_not_glued_to_the_line_above_it():
    made = with_block(b"export A=1", LINES) + b"export B=2\n"
    assert without_block(made) == b"export A=1\nexport B=2\n"


def test_a_block_is_changed_at_its_place():
    made = with_block(b"a\n", LINES) + b"b\n"
    assert with_block(made, OTHER) == b"a\n" + block(*OTHER) + b"b\n"
    assert with_block(with_block(b"a", LINES), OTHER) == b"a\n" + block(*OTHER, memory=ENDED_LINE)


def test_an_editor_that_turned_the_line_ends_is_mended():
    turned = with_block(b"a\n", LINES).replace(b"\n", b"\r\n")
    assert look("f", turned).block == tuple(f"{line}\r" for line in LINES)
    assert with_block(turned, LINES) == b"a\r\n" + block(*LINES)


ONE = block(*LINES)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ONE + b"a\n" + ONE, ["line 5", "second block", "line 1"]),
        (b"a\n" + ONE[: -len(END) - 1], ["line 2 begins", "no line below ends"]),
        (b"a\n" + f"{END}\n".encode(), ["line 2 ends", "no line above begins"]),
        (f"{END}\n".encode() + ONE, ["line 1 ends"]),
        (f"{BEGIN}\n".encode() + ONE, ["line 2", "second block", "line 1"]),
        (ONE + f"{END}\n".encode(), ["line 4 ends"]),
    ],
    ids=["two", "no end", "no begin", "end first", "begin twice", "end twice"],
)
def test_markers_that_are_no_pair_are_refused_with_the_line(data, words):
    found = look("/Users/felipe/.zshrc", data)
    assert all(word in found.problem for word in words), found.problem
    assert plan(found, LINES) == ()
    (finding,) = findings("mac-mini", found, wanted=True)
    assert finding.severity == "error"
    assert "/Users/felipe/.zshrc was left alone" in finding.sentence()
    assert findings("mac-mini", found, wanted=False)[0].severity == "warning"
    for change in (lambda: with_block(data, LINES), lambda: without_block(data)):
        with pytest.raises(ValueError, match="block of ours"):
            change()


def test_a_file_that_no_shell_reads_is_left_alone():
    assert "UTF-16" in look("f", "export A=1\n".encode("utf-16")).problem


@pytest.mark.parametrize("data", [None, b"", b"a", ONE, ONE + b"a", with_block(None, LINES), block(*OTHER)])
@pytest.mark.parametrize("lines", [(), LINES, OTHER])
def test_the_plan_is_empty_once_carried_out_and_only_then(data, lines):
    after = with_block(data, lines) if lines else without_block(data)
    assert plan(look("f", after), lines) == ()
    assert bool(plan(look("f", data), lines)) == (after != data)


def test_the_steps_say_the_lines_and_nothing_of_the_person():
    (step,) = plan(look("/f", b"secret\n" + ONE + b"secret\n"), OTHER)
    assert (step.action, step.item, step.found, step.wanted) == ("write", "/f", list(LINES), list(OTHER))
    (step,) = plan(look("/f", with_block(None, LINES)), ())
    assert (step.action, step.wanted) == ("remove", "no file")
    assert "secret" not in str(asdict(look("/f", b"secret\n" + ONE + b"SECRET=secret\n")))


def test_a_line_below_that_undoes_the_block_is_named():
    found = look("/f", b"export OLLAMA_HOST=0.0.0.0\n" + ONE + b"x\n  export OLLAMA_HOST=0.0.0.0\nOLLAMA_HOSTS=1\n")
    assert found.later == (("OLLAMA_HOST", 6),)
    (finding,) = findings("mac-mini", found, wanted=True)
    assert finding.severity == "warning"
    assert "line 6 of /f sets OLLAMA_HOST again" in finding.sentence()
    assert findings("mac-mini", found, wanted=False) == ()


# What the shell makes of it. --------------------------------------------------------------------------------------------

HOSTILE = [
    "$(touch canary)", "`touch canary`", "'; touch canary; '", '"; touch canary; "', "$HOME", "a'b''c", "'", "''", "'''",
    "\\", "\\'", "!!", "a b  c", "*", "?", "[a-z]", "{a,b}", "a#b", "# c", "&", "| touch canary", "> canary", "=ls", "é🙂",
    "%n", "$'\\n'", "${(e):-`touch canary`}", "-n", "--", "^a^b",
]  # fmt: skip
TEXT = (st.sampled_from(HOSTILE) | st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)).filter(
    lambda text: not text.startswith("~") and "=~" not in text
)


def told_by(shell, folder, script):
    """Run a shell over the file as it is, with the options of zsh that read quotes and words otherwise."""
    options = "setopt rcquotes extendedglob magicequalsubst ksharrays; " if shell == "zsh" else ""
    bare = ["-f"] if shell == "zsh" else []
    more = ["--norc"] if shell == "bash" else []
    done = subprocess.run(
        [shell, *bare, *more, "-c", options + ". ./rc; " + script],
        cwd=folder, capture_output=True, check=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.stderr == b""
    assert not (folder / "canary").exists()
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@given(value=TEXT)
def test_a_variable_is_what_the_inventory_says_and_nothing_runs(tmp_path_factory, shell, value):
    folder = tmp_path_factory.mktemp("shell")
    assert problems({"FLEET_TEXT": value}, {}) == ()
    (folder / "rc").write_bytes(with_block(b"", Wanted({"FLEET_TEXT": value}, {}).lines))
    assert told_by(shell, folder, "env -0").find(b"FLEET_TEXT=" + value.encode() + b"\0") >= 0


@pytest.mark.parametrize("shell", SHELLS)
@given(words=st.lists(TEXT, max_size=3))
def test_an_alias_runs_exactly_its_words(tmp_path_factory, shell, words):
    folder = tmp_path_factory.mktemp("shell")
    aliases = {"fleet-words": ["/usr/bin/printf", "%s\\0", "first", *words]}
    assert problems({}, aliases) == ()
    (folder / "rc").write_bytes(with_block(b"", Wanted({}, aliases).lines))
    expand = "shopt -s expand_aliases\n" if shell == "bash" else ""
    said = told_by(shell, folder, f"{expand}eval fleet-words last")
    assert said == b"".join(word.encode() + b"\0" for word in ["first", *words, "last"])


@pytest.mark.parametrize("shell", SHELLS)
def test_every_hostile_text_at_once(tmp_path, shell):
    variables = {f"FLEET_{number}": text for number, text in enumerate(HOSTILE)}
    (tmp_path / "rc").write_bytes(with_block(b"# theirs", Wanted(variables, {}).lines))
    said = told_by(shell, tmp_path, "env -0").split(b"\0")
    assert {f"FLEET_{number}={text}".encode() for number, text in enumerate(HOSTILE)} <= set(said)


@pytest.mark.skipif("zsh" not in SHELLS, reason="no zsh here")
def test_every_name_that_zsh_uses_itself_is_refused(tmp_path):
    (tmp_path / "rc").write_text("zmodload zsh/parameter\n")
    listing = 'for k in ${(k)parameters[@]}; do [[ ${parameters[$k]} == *(special|readonly)* ]] && echo "$k"; done; true'
    names = {name for name in told_by("zsh", tmp_path, listing).decode().split() if name.isidentifier()} - {"LANG", "LC_ALL"}
    assert len(names) > 90
    assert not [name for name in names if not problems({name: "x"}, {})]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OLLAMA_HOST": "0.0.0.0"}, ["shell_env_variables.OLLAMA_HOST", "address to connect to", "127.0.0.1:11434"]),
        ({"OLLAMA_HOST": ":11434"}, ["address to connect to"]),
        ({"OLLAMA_HOST": "[::]:11434"}, ["address to connect to"]),
        ({"OLLAMA_HOST": "a:b"}, ["with or without port"]),
        ({"OLLAMA_FLASH_ATTENTION": "1"}, ["OLLAMA_FLASH_ATTENTION", "ollama_service_environment", "OLLAMA_HOST"]),
        ({"OLLAMA_KV_CACHE_TYPE": "q8_0"}, ["ollama_service_environment"]),
        ({"OLLAMA_HOTS": "x"}, ["unknown to Ollama"]),
        ({"PATH": "/bin"}, ["shell itself does not use"]),
        ({"PS1": "$(date)"}, ["shell itself does not use"]),
        ({"A B": "x"}, ["letters, digits and underscores"]),
        ({"1A": "x"}, ["letters, digits and underscores"]),
        ({"": "x"}, ["letters, digits and underscores"]),
        ({"A": "~/x"}, ["absolute path"]),
        ({"A": "--socket=~/x"}, ["absolute path"]),
        ({"A": "a\nb"}, ["one line"]),
        ({"A": "a\0b"}, ["one line"]),
        ({"A": "a\rb"}, ["one line"]),
        ({"A": "\ud800"}, ["UTF-8"]),
        ({"A": 1}, ["text in quotes"]),
        ({"A": None}, ["text in quotes"]),
        ("A=1", ["shell_env_variables", "a map"]),
    ],
)
def test_a_variable_that_would_not_do_what_is_meant_is_refused(variables, words):
    (problem,) = problems(variables, {})
    said = f"{problem[0]} {problem[2]}"
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        ({"a": "ollama ls"}, ["as a list"]),
        ({"a": []}, ["as a list"]),
        ({"a": [""]}, ["first word is a program"]),
        ({"a": ["A=1", "x"]}, ["first word is a program"]),
        ({"a": ["tailscale", "--socket=~/.tailscale/tailscaled.sock"]}, ["absolute path"]),
        ({"a b": ["x"]}, ["name of letters"]),
        ({"-g": ["x"]}, ["name of letters"]),
        ({"if": ["x"]}, ["no word of the shell's grammar"]),
        ({"a": ["x", 1]}, ["text in quotes"]),
    ],
)
def test_an_alias_that_would_not_do_what_is_meant_is_refused(aliases, words):
    (problem,) = problems({}, aliases)
    assert all(word in problem[2] for word in words), problem


def test_the_owners_wish_is_what_is_written():
    wanted = Wanted(
        {"OLLAMA_HOST": "127.0.0.1:11434"},
        {"tailscale": ["tailscale", "--socket=/Users/felipe/.tailscale/tailscaled.sock"]},
    )
    assert wanted.lines == (
        "export OLLAMA_HOST='127.0.0.1:11434'",
        "alias tailscale='tailscale '\\''--socket=/Users/felipe/.tailscale/tailscaled.sock'\\'''",
    )


@given(word=st.sampled_from(sorted(RESERVED)))
def test_a_word_of_the_grammar_is_no_grammar_in_an_alias(word):
    assert Wanted({}, {"a": [word]}).lines == (f"alias a=''\\''{word}'\\'''",)


# The judge. -------------------------------------------------------------------------------------------------------------


def judged(shell_env, **parts):
    wanted = {**desired(), "shell_env": {**desired()["shell_env"], **shell_env}}
    return judge(Case("mac-mini", wanted, observed(**parts)))


def test_left_out_it_is_not_ours():
    answer = judged({"managed": None}, shell_block={"unknown": "x"})
    assert (answer.steps, answer.findings, answer.unknown) == ((), (), None)


def test_switched_off_the_block_goes():
    assert [step.action for step in judged({"managed": False}).steps] == ["remove"]
    assert judged({"managed": False}, shell_block={**observed()["shell_block"], "block": None}).steps == ()


def test_what_cannot_be_read_is_unknown():
    assert judged({}, shell_block={"unknown": "OSError: no"}).unknown.reason == "OSError: no"


def test_what_must_not_be_written_stops_the_run():
    (finding,) = judged({"variables": {"OLLAMA_HOST": "0.0.0.0"}}).findings
    assert finding.severity == "error"
    assert "found '0.0.0.0', allowed is an address to connect to" in finding.sentence()


@pytest.mark.parametrize("data", [None, b"a", ONE, ONE + ONE, ONE + b"export OLLAMA_HOST=1\n"])
def test_an_observation_survives_json(data):
    found = look("/f", data)
    assert found_from_json(plain(found)) == found
    assert isinstance(found, Found)


# The file. --------------------------------------------------------------------------------------------------------------


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_readable_by_all_and_writable_by_its_owner(tmp_path):
    path = tmp_path / ".zshrc"
    old = os.umask(0o077)
    try:
        shell_file.replace(str(path), b"x\n")
    finally:
        os.umask(old)
    assert (path.read_bytes(), mode(path)) == (b"x\n", 0o644)
    assert [entry.name for entry in tmp_path.iterdir()] == [".zshrc"]


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o444, 0o755])
def test_the_mode_stays(tmp_path, bits):
    path = tmp_path / ".zshrc"
    path.write_bytes(b"a")
    path.chmod(bits)
    shell_file.replace(str(path), b"b")
    assert (path.read_bytes(), mode(path)) == (b"b", bits)


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "dotfiles").mkdir()
    target, path = tmp_path / "dotfiles" / "zshrc", tmp_path / ".zshrc"
    target.write_bytes(b"a\n")
    target.chmod(0o600)
    path.symlink_to("dotfiles/zshrc")
    shell_file.replace(str(path), b"b\n")
    assert path.is_symlink()
    assert (str(path.readlink()), target.read_bytes(), mode(target)) == ("dotfiles/zshrc", b"b\n", 0o600)


def test_a_link_to_nothing_stays_after_the_file_has_come_and_gone(tmp_path):
    path = tmp_path / ".zshrc"
    path.symlink_to("elsewhere")
    assert shell_file.read(str(path)) is None
    shell_file.replace(str(path), with_block(None, LINES))
    assert (tmp_path / "elsewhere").is_file()
    shell_file.replace(str(path), without_block(shell_file.read(str(path))))
    assert path.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_with_two_names_stays_one_file(tmp_path):
    path, other = tmp_path / ".zshrc", tmp_path / "other"
    path.write_bytes(b"a long line\n")
    os.link(path, other)
    shell_file.replace(str(path), b"short\n")
    assert other.read_bytes() == b"short\n"
    assert path.samefile(other)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(tmp_path):
    path = tmp_path / ".zshrc"
    path.write_bytes(b"a")
    os.chown(path, 501, 20)
    shell_file.replace(str(path), b"b")
    assert (path.stat().st_uid, path.stat().st_gid) == (501, 20)


def test_what_is_no_file_is_said(tmp_path):
    with pytest.raises(OSError, match="is no file"):
        shell_file.read(str(tmp_path))


def test_a_path_is_below_the_home_or_absolute(monkeypatch):
    monkeypatch.setenv("HOME", "/Users/felipe")
    assert shell_file.expanded("~/.zshrc") == "/Users/felipe/.zshrc"
    assert shell_file.expanded("/etc/zshrc") == "/etc/zshrc"
    with pytest.raises(ValueError, match="neither absolute"):
        shell_file.expanded(".zshrc")


def test_words_of_the_grammar_are_no_names_of_aliases():
    assert all(problems({}, {word: ["x"]}) for word in RESERVED)
