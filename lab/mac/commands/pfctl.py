"""pfctl: load rules into pf, look at them, switch it on and off (pfctl(8), macOS 14 to 26)."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import subprocess
import sys
import time
from typing import NamedTuple

from mac.commands.pf import filter as packets
from mac.commands.pf import grammar, store
from mac.commands.pf.store import Pf, Token
from mac.machine import path, root

# On every call, also when all is well (reported on 26.5.1).
ALTQ = "No ALTQ support in kernel\nALTQ related functions disabled"
# Written by every -f, with or without an anchor.
FLUSH_WARNING = (
    "pfctl: Use of -f option, could result in flushing of rules\n"
    "present in the main ruleset added by the system at startup.\n"
    "See /etc/pf.conf for further details.\n"
)
USAGE = (
    "usage: pfctl [-AdeghmNnOqRrvz] [-a anchor] [-D macro=value] [-F modifier]\n"
    "\t[-f file] [-i interface] [-K host | network]\n"
    "\t[-k host | network] [-o [level]] [-p device]\n"
    "\t[-s modifier] [-t table -T command [address ...]] [-x level]"
)
_WITH_VALUE = "aDFfiKkopstTxX"
_SWITCHES = "AdeEghmNnOqRrvz"
_SHOW = (
    "nat",
    "rules",
    "Anchors",
    "states",
    "Sources",
    "info",
    "References",
    "labels",
    "timeouts",
    "memory",
    "Tables",
    "osfp",
    "Interfaces",
    "all",
    "queue",
    "dummynet",
)
_FLUSH = ("nat", "rules", "states", "Sources", "info", "Tables", "osfp", "all", "queue", "dummynet")


class Failure(Exception):
    """What pfctl gives up with; exit 1."""


class Usage(Exception):
    """Words pfctl does not understand."""


class Call(NamedTuple):
    """The command line."""

    switches: str
    values: dict[str, str]
    words: list[str]

    @property
    def anchor(self) -> str:
        """Give the anchor named by -a, the main ruleset without one."""
        return self.values.get("a", "").strip("/")


def parse(argv: list[str]) -> Call:
    """Read the options as getopt does: letters may be glued together and to the last one's value."""
    switches, values = "", {}
    rest = list(argv)
    words: list[str] = []
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            words = [word, *rest]
            break
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _SWITCHES:
                switches += letter
            elif letter in _WITH_VALUE and (letters or rest):
                values[letter] = letters or rest.pop(0)
                letters = ""
            else:
                raise Usage
    if not switches and not values:
        raise Usage
    return Call(switches, values, words)


def modifier(given: str, known: tuple[str, ...]) -> str:
    """Complete an abbreviated modifier: the first that begins with it, capitals telling apart."""
    for name in known:
        if name.startswith(given):
            return name
    raise Usage


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from error


def read_ruleset(name: str) -> grammar.Ruleset:
    """Read a file of rules; a mistake is told with its place."""
    try:
        return grammar.parse(_read(name))
    except grammar.SyntaxFailure as mistake:
        shown = "stdin" if name == "-" else name
        print(f"{shown}:{mistake.line}: {mistake.reason}", file=sys.stderr)
        raise Failure("Syntax error in config file: pf rules not loaded") from mistake


def with_file(pf: Pf, anchor: str, name: str, verbose: bool = False) -> Pf:
    """Load a file into an anchor, and the files it names into theirs: all of them or none."""
    ruleset = read_ruleset(name)
    if verbose and ruleset.lines():
        print("\n".join(ruleset.lines()))
    pf = pf.with_ruleset(anchor, ruleset)
    for item in ruleset.loads:
        below = f"{anchor}/{item.anchor}" if anchor else item.anchor
        pf = with_file(pf, below, item.file, verbose)
    return pf


def apply(pf: Pf) -> None:
    """Keep the state and hand the filter to the kernel."""
    if root() == "/":
        script = packets.ruleset(pf)
        done = subprocess.run(["/usr/sbin/nft", "-f", "-"], input=script.encode(), check=False, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Failure("DIOCXCOMMIT: " + done.stderr.decode("utf-8", "replace").strip())
    store.store(pf)


def _rules(pf: Pf, anchor: str, depth: int = 0) -> list[str]:
    """Give the rules of an anchor and of all below it, as `-a '*' -sr` prints them."""
    pad = "  " * depth
    lines: list[str] = []
    for text in pf.rules(anchor):
        if not text.startswith("anchor "):
            lines.append(pad + text)
            continue
        name = text.split('"')[1]
        full = f"{anchor}/{name}" if anchor else name
        below = pf.children(full[:-2]) if full.endswith("/*") else [full]
        lines.append(pad + text + " {")
        for child in below:
            if full.endswith("/*"):
                lines.append('{}  anchor "{}" all {{'.format(pad, child.rsplit("/", 1)[-1]))
                lines += [*_rules(pf, child, depth + 2), pad + "  }"]
            else:
                lines += _rules(pf, child, depth + 1)
        lines.append(pad + "}")
    return lines


def show(pf: Pf, what: str, anchor: str) -> list[str]:
    """Give the lines of `pfctl -s MODIFIER`."""
    recursive = anchor == "*" or anchor.endswith("/*")
    plain = anchor[:-1].rstrip("/") if recursive else anchor
    if what == "info":
        status = "Enabled" if pf.enabled else "Disabled"
        since = " for " + pf.uptime() if pf.since else ""
        return [
            (f"Status: {status}{since}").ljust(46) + "Debug: Urgent",
            "",
            "State Table                          Total             Rate",
            "  current entries                        0               ",
        ]
    if what == "rules":
        # Normalization is listed before the filter rules.
        scrub = [line for line in pf.translation(plain) if line.startswith("scrub-anchor")]
        return scrub + (_rules(pf, plain) if recursive else pf.rules(plain))
    if what == "nat":
        return [line for line in pf.translation(plain) if line.split("-")[0] in ("nat", "rdr", "binat")]
    if what == "dummynet":
        return [line for line in pf.translation(plain) if line.startswith("dummynet")]
    if what == "Anchors":
        return ["  " + name for name in pf.children(plain)]
    if what == "Tables":
        return sorted(pf.anchors.get(plain, {}).get("tables", {}))
    if what == "References":
        lines = ["TOKENS:", f"{'PID':<8} {'Process Name':<28} {'TOKEN':<24} {'TIMESTAMP'}"] if pf.tokens else []
        for token in pf.tokens:
            since = pf._replace(since=token.time).uptime()
            lines.append(f"{token.pid:<8} {token.name:<28} {token.token:<24} {since}")
        return lines
    if what == "all":
        parts = (("TRANSLATION RULES:", "nat"), ("FILTER RULES:", "rules"), ("INFO:", "info"), ("TABLES:", "Tables"))
        return [line for title, part in parts for line in (title, *show(pf, part, anchor), "")]
    return []


def flush(pf: Pf, what: str, anchor: str) -> tuple[Pf, list[str]]:
    """Give the state after `pfctl -F MODIFIER` and what is said about it."""
    said = {"rules": "rules cleared", "nat": "nat cleared", "states": "0 states cleared", "info": "pf: statistics cleared"}
    if what == "all":
        tables = len(pf.anchors.get(anchor, {}).get("tables", {}))
        words = ["rules cleared", "nat cleared", "dummynet cleared", f"{tables} tables deleted."]
        if not anchor:
            words += ["0 states cleared", "source tracking entries cleared", "pf: statistics cleared"]
        return pf.without(anchor, "rules", "anchors", "tables", "const", "skip"), words
    if what == "Tables":
        tables = len(pf.anchors.get(anchor, {}).get("tables", {}))
        return pf.without(anchor, "tables", "const"), [f"{tables} tables deleted."]
    parts = {"rules": ("rules",), "nat": ("anchors",)}.get(what, ())
    return pf.without(anchor, *parts) if parts else pf, [said.get(what, what + " cleared")]


def table_command(pf: Pf, call: Call) -> tuple[Pf, list[str], list[str]]:
    """Carry out `-t TABLE -T COMMAND [ADDRESS ...]`; give state, standard output and standard error."""
    name, command = call.values["t"], call.values["T"]
    networks = pf.table(call.anchor, name)
    if networks is None and command not in ("add", "replace"):
        raise Failure("Table does not exist.")
    before = list(networks or [])
    if command in ("add", "delete", "replace", "flush") and name in pf.anchors.get(call.anchor, {}).get("const", ()):
        raise Failure("Operation not permitted.")  # EPERM of a const table (xnu, bsd/net/pf_table.c)
    try:
        given = [str(ipaddress.ip_network(word, strict=False)) for word in call.words]
    except ValueError as error:
        raise Failure(f"cannot parse address: {error}") from error
    if command == "show":
        return pf, ["   " + grammar.Host("net", item).text() for item in before], []
    if command == "test":
        inside = [item for item in given if item in before]
        if len(inside) < len(given):
            raise Failure(f"{len(inside)}/{len(given)} addresses match.")
        return pf, [], [f"{len(inside)}/{len(given)} addresses match."]
    if command in ("add", "replace"):
        after = sorted(set(given) | (set(before) if command == "add" else set()))
        said = f"{len(set(after) - set(before))}/{len(given)} addresses added."
    elif command == "delete":
        after = [item for item in before if item not in given]
        said = f"{len(before) - len(after)}/{len(given)} addresses deleted."
    elif command == "flush":
        after, said = [], f"{len(before)} addresses deleted."
    elif command == "kill":
        kept = {key: value for key, value in pf.anchors.get(call.anchor, {}).get("tables", {}).items() if key != name}
        entry = {**pf.anchors.get(call.anchor, {}), "tables": kept}
        return pf._replace(anchors={**pf.anchors, call.anchor: entry}), [], ["1 table deleted."]
    else:
        raise Usage
    return pf.with_table(call.anchor, name, after), [], [said]


def release(pf: Pf, text: str, now: float) -> tuple[Pf, str]:
    """Give a token back; pf goes off with the last reference."""
    if not pf.enabled:
        raise Failure("pf not enabled")
    left = [token for token in pf.tokens if str(token.token) != text]
    if len(left) == len(pf.tokens):
        raise Failure("token invalid")
    count = len(left) + int(pf.plain)
    said = f"disable request successful. {count} more pf enable reference(s) remaining"
    after = pf._replace(tokens=left) if count else pf.switched_off(now)
    return after, said + (", pf still enabled." if count else ", pf disabled.")


def _tell(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _act(call: Call) -> None:
    """Do what the options say, in pfctl's order: off, show, flush, load, on."""
    now = time.time()
    dry = "n" in call.switches
    before = pf = Pf() if dry else store.load()
    if "d" in call.switches and not dry:
        if not pf.enabled:
            raise Failure("pf not enabled")
        pf = pf.switched_off(now)
        _tell("pf disabled")
    if "X" in call.values and not dry:
        pf, said = release(pf, call.values["X"], now)
        _tell(said)
    if "s" in call.values and not dry:
        for line in show(pf, modifier(call.values["s"], _SHOW), call.anchor):
            print(line)
    if "F" in call.values and not dry:
        pf, words = flush(pf, modifier(call.values["F"], _FLUSH), call.anchor)
        _tell(*words)
    if "T" in call.values and not dry:
        if "t" not in call.values:
            raise Usage
        pf, out, words = table_command(pf, call)
        for line in out:
            print(line)
        _tell(*words)
    if "f" in call.values:
        pf = _load(call, pf)
    if "e" in call.switches and not dry:
        if pf.enabled:
            _commit(before, pf._replace(plain=True))
            raise Failure("pf already enabled")
        pf = pf.switched_on(now)._replace(plain=True)
        _tell("pf enabled")
    if "E" in call.switches and not dry:
        token = Token(os.getpid(), "pfctl", random.getrandbits(64), now)
        pf = pf.switched_on(now)._replace(tokens=[*pf.tokens, token])
        _tell("pf enabled", f"Token : {token.token}")
    _commit(before, pf)


def _load(call: Call, pf: Pf) -> Pf:
    """Load a file of rules, or with -n only read it; -v prints the rules as pf understood them."""
    verbose, dry = "v" in call.switches, "n" in call.switches
    loaded = with_file(pf, call.anchor, call.values["f"], verbose)
    return pf if dry else loaded


def _commit(before: Pf, after: Pf) -> None:
    if after != before:
        apply(after)


def _device() -> str | None:
    """Say why /dev/pf cannot be opened, if it cannot."""
    return None if os.getuid() == 0 else "/dev/pf: Permission denied"


def main(argv: list[str]) -> int:
    """Run pfctl; everything but the asked-for lines goes to standard error."""
    try:
        call = parse(argv)
        if "s" in call.values:
            modifier(call.values["s"], _SHOW)
        if "F" in call.values:
            modifier(call.values["F"], _FLUSH)
    except Usage:
        _tell(USAGE)
        return 1
    refused = _device()
    try:
        if refused and "n" not in call.switches:
            raise Failure(refused)
        if "f" in call.values:
            _tell(FLUSH_WARNING)
        _tell(ALTQ)
        with contextlib.nullcontext() if "n" in call.switches else store.one_at_a_time():
            _act(call)
    except Failure as reason:
        _tell(f"pfctl: {reason}")
        return 1
    except Usage:
        _tell(USAGE)
        return 1
    finally:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
    return 0
