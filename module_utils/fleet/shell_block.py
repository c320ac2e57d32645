"""One marked block in a shell's start file: variables and aliases of a client, and not a byte of the person's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import environment
from .case import NOT_OURS, Case, Judged
from .vocabulary import Finding, Step, Unknown

CONCERN = "shell_env"

BEGIN = "# BEGIN ollama-fleet"
END = "# END ollama-fleet"
HINT = ": written by ansible-playbook, change the inventory instead"
MADE_FILE = " (made this file)"
ENDED_LINE = " (ended the line above)"
"""What was done to the rest of the file to make room for the block; undone with it, so the marker has to remember it."""

MODE = 0o644
BOM = b"\xef\xbb\xbf"

CLIENT_VARIABLES = ("OLLAMA_HOST", "OLLAMA_NOHISTORY", "OLLAMA_EDITOR")
"""The `OLLAMA_*` names that the command line reads as a client; every other one is read by the server (Ollama 0.33)."""

SHELLS_OWN = frozenset(
    {
        "ARGC", "BASHOPTS", "BASH_ENV", "CDPATH", "COLUMNS", "DIRSTACK", "EGID", "ENV", "ERRNO", "EUID", "FCEDIT", "FIGNORE",
        "FPATH", "FUNCNAME", "FUNCNEST", "GID", "GROUPS", "HISTCHARS", "HISTCMD", "HISTFILE", "HISTSIZE", "HOME", "IFS",
        "KEYBOARD_HACK", "LINENO", "LINES", "LOGNAME", "MAILCHECK", "MAILPATH", "MANPATH", "MODULE_PATH", "NULLCMD", "OLDPWD",
        "OPTARG", "OPTERR", "OPTIND", "PATH", "PIPESTATUS", "POSIXLY_CORRECT", "POSTEDIT", "PPID", "PROMPT", "PROMPT2",
        "PROMPT3", "PROMPT4", "PROMPT_COMMAND", "PS0", "PS1", "PS2", "PS3", "PS4", "PSVAR", "PWD", "RANDOM", "READNULLCMD",
        "REPLY", "RPROMPT", "RPROMPT2", "RPS1", "RPS2", "SAVEHIST", "SECONDS", "SHELLOPTS", "SHLVL", "SPROMPT", "STTY",
        "TERM", "TMOUT", "TTYIDLE", "UID", "USER", "USERNAME", "WATCH", "WORDCHARS", "ZDOTDIR", "_", "aliases", "argv",
        "builtins", "cdpath", "chpwd", "commands", "dirstack", "fignore", "fpath", "functions", "functions_source",
        "functrace", "galiases", "histchars", "history", "historywords", "jobdirs", "jobstates", "jobtexts", "keymaps",
        "mailpath", "manpath", "module_path", "modules", "nameddirs", "options", "parameters", "patchars", "path",
        "pipestatus", "prompt", "psvar", "reswords", "saliases", "status", "termcap", "terminfo", "userdirs", "usergroups",
        "watch", "widgets",
    }
)  # fmt: skip
"""Names that mean something to the shell itself: `USERNAME` changes the user, prompts may be expanded, `UID` is read-only.

As zsh 5.9 lists them (zsh/parameter: special or readonly), and those of bash 5.2 and sh. `LANG` is for everybody.
"""

SHELLS_OWN_BEGINNINGS = ("BASH_", "TRY_BLOCK_", "ZSH_", "zsh_", "dis_", "funcfile", "funcsource", "funcstack")

RESERVED = frozenset(
    {
        "!", "[[", "]]", "{", "}", "case", "coproc", "declare", "do", "done", "elif", "else", "end", "esac", "export", "fi",
        "float", "for", "foreach", "function", "if", "in", "integer", "local", "nocorrect", "readonly", "repeat", "select",
        "then", "time", "typeset", "until", "while", "alias", "unalias", "eval", "exec", "exit", "return", "set", "source",
        "builtin", "command", "noglob",
    }
)  # fmt: skip
"""Words that the shell takes for its grammar, or on which every line of a start file rests."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_BEGIN_LINE = re.compile(re.escape(BEGIN.encode()) + rb"(?:(?: |:).*)?")
_SETS = re.compile(rb"\s*(?:(?:export|typeset|declare)\s+(?:-[A-Za-z]+\s+)*|alias\s+)?([A-Za-z_][A-Za-z0-9_.-]*)=")


@dataclass(frozen=True)
class Wanted:
    """What should stand in the block: texts of variables, and the words of each alias's command."""

    variables: Mapping[str, str]
    aliases: Mapping[str, Sequence[str]]

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the lines between the markers, in an order that does not vary."""
        exports = [f"export {name}={quoted(self.variables[name])}" for name in sorted(self.variables)]
        aliases = [f"alias {name}={quoted(command(self.aliases[name]))}" for name in sorted(self.aliases)]
        return (*exports, *aliases)


@dataclass(frozen=True)
class Found:
    """What a start file holds of us. `block` is None without one, `alone` tells that the file was made for it and holds no more.

    `problem` says why the block cannot be told from the rest. `later` are names that the block sets and that the person sets
    again below it, with the line.
    """

    path: str
    exists: bool = False
    block: tuple[str, ...] | None = None
    alone: bool = False
    problem: str = ""
    later: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class _Place:
    """Where the block stands: its bytes, from the first marker to the end of the last, and what the first remembers."""

    start: int
    end: int
    memory: str
    lines: tuple[str, ...]
    last_line: int


def quoted(text: str) -> str:
    """Return text as one word that sh, bash and zsh take literally.

    Two quotes never follow each other inside, which zsh's option RC_QUOTES would read as one.
    """
    return "'" + text.replace("'", "'\\''") + "'"


def command(words: Sequence[str]) -> str:
    """Return the words of a command so that the shell takes each literally; an alias is read as shell code when it is used."""
    plain = [word if _PLAIN.fullmatch(word) else quoted(word) for word in words]
    if words and words[0] in RESERVED:
        plain[0] = quoted(words[0])
    return " ".join(plain)


def _text_problem(text: Any) -> str:
    """Return what is allowed where this text is not, "" where it is."""
    if not isinstance(text, str):
        return "text in quotes"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        return "one line of text without control characters"
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        return "text that can be written as UTF-8"
    if text.startswith("~") or "=~" in text:
        return "an absolute path: ~ is not expanded inside quotes, nor after = (zsh, bash)"
    return ""


def _variable_problem(name: str, value: Any) -> str:
    if not _NAME.fullmatch(name):
        return "a name of letters, digits and underscores"
    if name in SHELLS_OWN or name.startswith(SHELLS_OWN_BEGINNINGS):
        return "a name that the shell itself does not use"
    if name.startswith("OLLAMA_") and name not in CLIENT_VARIABLES:
        servers = "the server's and belongs into ollama_service_environment"
        what = servers if name in environment.VARIABLES else "unknown to Ollama"
        return f"a name that Ollama's command line reads: {', '.join(CLIENT_VARIABLES)}; this one is {what}"
    problem = _text_problem(value)
    if problem or name not in environment.VARIABLES:
        return problem
    kind = environment.VARIABLES[name]
    if not kind.accepts(value):
        return kind.allowed
    if name == "OLLAMA_HOST" and environment.parse_host(value).address == "*":
        return (
            "an address to connect to, such as 127.0.0.1:11434: Ollama's own command line turns 0.0.0.0 into 127.0.0.1, other"
            " clients do not, and a server started by hand would listen to everybody"
        )
    return ""


def _alias_problem(name: str, words: Any) -> str:
    if not _ALIAS.fullmatch(name) or name in RESERVED:
        return "a name of letters, digits, dots, underscores and dashes that is no word of the shell's grammar"
    if not isinstance(words, (list, tuple)) or not words:
        return "the words of a command as a list"
    if any(_text_problem(word) for word in words):
        return next(_text_problem(word) for word in words if _text_problem(word))
    return "" if words[0] and "=" not in words[0] else "a list whose first word is a program"


def problems(variables: Any, aliases: Any) -> tuple[tuple[str, Any, str], ...]:
    """Return (variable of the inventory, found, allowed) for everything that would not do what its author meant."""
    found: list[tuple[str, Any, str]] = []
    for option, values, judged in (
        ("shell_env_variables", variables, _variable_problem),
        ("shell_env_aliases", aliases, _alias_problem),
    ):
        if not isinstance(values, Mapping):
            found.append((option, values, "a map"))
            continue
        for name in sorted(values, key=str):
            allowed = judged(str(name), values[name])
            if allowed:
                found.append((f"{option}.{name}", values[name], allowed))
    return tuple(found)


def refusals(host: str, concern: str, refused: Sequence[tuple[str, Any, str]]) -> tuple[Finding, ...]:
    """Return what `problems` found as findings about a host."""
    return tuple(
        Finding(host, concern, option, value, allowed, "error", f"found {value!r}, allowed is {allowed}",
                f"correct it in host_vars/{host} or group_vars")
        for option, value, allowed in refused
    )  # fmt: skip


def _locate(data: bytes) -> _Place | None:
    """Return where the block stands, None without one; ValueError with the line where the markers do not make a pair."""
    start, begun_in, memory = -1, 0, ""
    lines: list[str] = []
    place: _Place | None = None
    offset = len(BOM) if data.startswith(BOM) else 0
    for number, line in enumerate(_lines(data[offset:]), 1):
        text = line.rstrip(b"\r\n")
        if _BEGIN_LINE.fullmatch(text):
            if start >= 0 or place is not None:
                message = f"line {number} begins a second block of ours, the first begins in line {begun_in}"
                raise ValueError(message)
            start, begun_in = offset, number
            said = text.decode(errors="replace")
            memory = next((mark for mark in (MADE_FILE, ENDED_LINE) if said.endswith(mark)), "")
        elif text == END.encode():
            if start < 0:
                message = f"line {number} ends a block of ours that no line above begins"
                raise ValueError(message)
            place = _Place(start, offset + len(line), memory, tuple(lines), number)
            start = -1
        elif start >= 0:
            lines.append(line[:-1].decode(errors="backslashreplace") if line.endswith(b"\n") else "")
        offset += len(line)
    if start >= 0:
        message = f"line {begun_in} begins a block of ours that no line below ends"
        raise ValueError(message)
    return place


def _lines(data: bytes) -> list[bytes]:
    """Split after each newline and nowhere else; a carriage return alone ends no line of a shell."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _render(lines: Sequence[str], memory: str) -> bytes:
    return "".join(f"{line}\n" for line in (BEGIN + HINT + memory, *lines, END)).encode()


def with_block(data: bytes | None, lines: Sequence[str]) -> bytes:
    """Return the file with the block, at its place or at the end; ValueError where the markers are not a pair.

    The lines end with a newline whatever the rest of the file has, since the shell takes a carriage return for a letter.
    """
    if data is None:
        return _render(lines, MADE_FILE)
    place = _locate(data)
    if place is not None:
        return data[: place.start] + _render(lines, place.memory) + data[place.end :]
    if data and not data.endswith(b"\n"):
        return data + b"\n" + _render(lines, ENDED_LINE)
    return data + _render(lines, "")


def without_block(data: bytes | None) -> bytes | None:
    """Return the file as it was before the block; None when it was made for it and holds nothing else."""
    place = None if data is None else _locate(data)
    if data is None or place is None:
        return data
    before, after = data[: place.start], data[place.end :]
    if place.memory == ENDED_LINE and not after and before.endswith(b"\n"):
        before = before[:-1]
    if place.memory == MADE_FILE and not before and not after:
        return None
    return before + after


def look(path: str, data: bytes | None) -> Found:
    """Read what the judgement needs out of a file, and nothing of what is the person's own but names that we set as well."""
    if data is None:
        return Found(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Found(path, exists=True, problem="it is UTF-16, which no shell reads")
    try:
        place = _locate(data)
    except ValueError as problem:
        return Found(path, exists=True, problem=str(problem))
    if place is None:
        return Found(path, exists=True)
    ours = {match[1] for match in map(_SETS.match, (line.encode() for line in place.lines)) if match}
    later = []
    for number, line in enumerate(_lines(data[place.end :]), place.last_line + 1):
        match = _SETS.match(line)
        if match and match[1] in ours:
            later.append((match[1].decode(), number))
    return Found(path, exists=True, block=place.lines, alone=without_block(data) is None, later=tuple(later))


def plan(found: Found, lines: Sequence[str] | None) -> tuple[Step, ...]:
    """List the one step that is missing: `write` the block, or take it out (`remove`); None or no lines want no block."""
    if found.problem:
        return ()
    if lines:
        if found.block == tuple(lines):
            return ()
        return (Step("write", found.path, list(found.block or ()) or "no block", list(lines)),)
    if found.block is None:
        return ()
    if found.alone:
        why = "the file was made for the block and holds nothing else"
        return (Step("remove", found.path, list(found.block), "no file", why),)
    return (Step("remove", f"the block in {found.path}", list(found.block), "no block"),)


def findings(host: str, found: Found, *, wanted: bool) -> tuple[Finding, ...]:
    """Return what no step mends: markers that are no pair, and lines below the block that undo it."""
    if found.problem:
        return (
            Finding(host, CONCERN, found.path, "a file we cannot change", "one block or none", "error" if wanted else "warning",
                    f"{found.path} was left alone: {found.problem}",
                    f"delete the lines {BEGIN!r} and {END!r} with what is between them, the next run writes them anew"),
        )  # fmt: skip
    return tuple(
        Finding(host, CONCERN, f"{found.path}:{line}", "set again", "set once", "warning",
                f"line {line} of {found.path} sets {name} again, below what the inventory wants, and wins", "delete that line")
        for name, line in (found.later if wanted else ())
    )  # fmt: skip


def judge(case: Case) -> Judged:
    """Judge the block of the login user's shell."""
    wanted = case.desired[CONCERN]
    if wanted["managed"] is None:
        return NOT_OURS
    refused = problems(wanted["variables"], wanted["aliases"]) if wanted["managed"] else ()
    if refused:
        return Judged(findings=refusals(case.host, CONCERN, refused))
    part = case.part("shell_block")
    if isinstance(part, Unknown):
        return Judged(unknown=part)
    found = found_from_json(part)
    lines = Wanted(wanted["variables"], wanted["aliases"]).lines if wanted["managed"] else ()
    return Judged(plan(found, lines), findings(case.host, found, wanted=bool(lines)))


def found_from_json(data: Mapping[str, Any]) -> Found:
    """Read an observation back."""
    block = data["block"]
    return Found(
        path=data["path"],
        exists=data["exists"],
        block=None if block is None else tuple(block),
        alone=data["alone"],
        problem=data["problem"],
        later=tuple((name, line) for name, line in data["later"]),
    )
