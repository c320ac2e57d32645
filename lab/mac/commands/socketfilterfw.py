"""socketfilterfw: the application firewall's command, in the words of macOS 14 and of macOS 15 and later."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Callable

from mac.commands import alf
from mac.machine import fault, locked, machine, path

if TYPE_CHECKING:
    from mac.commands.alf import Rules

MANAGED = "Firewall settings cannot be modified from command line on managed Mac computers."
USAGE = "Usage: socketfilterfw [-c] [-w] [-d] [-l] [-T] [-U] [-B] [-L] [-a] [-p pid] [--getglobalstate]"


def _state(rules: Rules, old: bool) -> str:
    del old
    word = "disabled" if rules.state == alf.OFF else "enabled"
    if rules.state == alf.BLOCK_ALL:
        return "Firewall is blocking all non-essential incoming connections. (State = 2)"
    return f"Firewall is {word}. (State = {rules.state})"


def _block_all(rules: Rules, old: bool) -> str:
    on = rules.state == alf.BLOCK_ALL
    if old:
        return f"Block all {'ENABLED' if on else 'DISABLED'}! "
    return f"Firewall has block all state set to {'enabled' if on else 'disabled'}."


def _stealth(rules: Rules, old: bool) -> str:
    if old:
        return f"Stealth mode {'enabled' if rules.stealth else 'disabled'}"
    return f"Firewall stealth mode is {'on' if rules.stealth else 'off'}"


def _signed(rules: Rules, old: bool) -> str:
    words = ("signed built-in", "downloaded signed") if old else ("built-in signed", "downloaded signed")
    lines = []
    for word, on in zip(words, (rules.builtin_signed, rules.downloaded_signed)):
        lines.append("Automatically allow {} software {}.".format(word, "ENABLED" if on else "DISABLED"))
    return "\n".join(lines)


def _logging(rules: Rules, old: bool) -> str:
    del old
    return f"Log mode is {'on' if rules.logging else 'off'}"


def list_apps(rules: Rules, old: bool) -> str:
    """Give the list of programs: the only text from which absent, Allow and Block can be told apart."""
    if old:
        records = [
            f"{number} :  {app} \n \t ( {verdict} incoming connections ) \n"
            for number, (app, verdict) in enumerate(rules.apps, 1)
        ]
        return "\n".join([f"ALF: total number of apps = {len(rules.apps)} \n", *records]).rstrip("\n")
    lines = [f"Total number of apps = {len(rules.apps)}"]
    for number, (app, verdict) in enumerate(rules.apps, 1):
        lines += [f"{number} : {app} ", "{}({} incoming connections)".format(" " * 13, verdict)]
    return "\n".join(lines)


def _app_blocked(rules: Rules, old: bool, program: str) -> str:
    verdict = rules.verdict_of(program)
    if old:
        if verdict is None:
            return "The application is not part of the firewall"
        return f"Incoming connection to the application is {'permitted' if verdict == 'Allow' else 'blocked'}"
    # A program that is not listed is called permitted, too (measured on Darwin 27): no answer to build on.
    return "Incoming connection to {} is {}.".format(program, "blocked" if verdict == "Block" else "permitted")


_GETTERS: dict[str, Callable[[Rules, bool], str]] = {
    "--getglobalstate": _state,
    "--getblockall": _block_all,
    "--getstealthmode": _stealth,
    "--getallowsigned": _signed,
    "--listapps": list_apps,
}
_APP_VERBS = ("--add", "--remove", "--blockapp", "--unblockapp")
_SETTERS = ("--setglobalstate", "--setblockall", "--setstealthmode", "--setallowsigned", "--setallowsignedapp")
# Gone from the manual of macOS 15 (socketfilterfw(8), March 13, 2024).
_OLD_GETTERS: dict[str, Callable[[Rules, bool], str]] = {"--getloggingmode": _logging}
_OLD_SETTERS = ("--setloggingmode",)


def _switch(rules: Rules, option: str, on: bool) -> Rules:
    if option == "--setglobalstate":
        return rules._replace(state=alf.ON if on else alf.OFF)
    if option == "--setblockall":
        return rules._replace(state=alf.BLOCK_ALL if on else min(rules.state, alf.ON))
    if option == "--setstealthmode":
        return rules._replace(stealth=on)
    if option == "--setallowsigned":
        return rules._replace(builtin_signed=on)
    if option == "--setloggingmode":
        return rules._replace(logging=on)
    return rules._replace(downloaded_signed=on)


def change_app(rules: Rules, verb: str, program: str, clash: bool) -> tuple[Rules, str]:
    """Apply a verb to a program; give the new rules and what is said (texts of macOS 15 and later: guesses)."""
    listed = rules.verdict_of(program) is not None
    if verb == "--add":
        if listed:
            # An entry that blocks goes on blocking.
            return rules, "The application is already a part of the firewall"
        taken = {alf.identifier(app) for app, _ in rules.apps}
        said = f"Application at path ( {program} ) added to firewall"
        if clash and alf.identifier(program) in taken:
            # Measured on 15.3.1: exit 0, and nothing is stored.
            return rules, said
        return rules.with_app(program, "Allow"), said
    if not listed:
        return rules, "The application is not part of the firewall"
    if verb == "--remove":
        return rules.without_app(program), f"Application at path ( {program} ) removed from firewall"
    blocked = verb == "--blockapp"
    said = f"Incoming connection to the application is {'blocked' if blocked else 'permitted'} "
    return rules.with_app(program, "Block" if blocked else "Allow"), said


def _answer_after(option: str, rules: Rules, old: bool) -> str:
    getter = {
        "--setglobalstate": _state,
        "--setblockall": _block_all,
        "--setstealthmode": _stealth,
        "--setloggingmode": _logging,
    }.get(option, _signed)
    return getter(rules, old)


def _mutate(option: str, value: str, old: bool) -> int:
    """Carry out one change. Every outcome but a missing right ends with 0."""
    me = machine()
    if os.getuid() != 0 and alf.needs_root(me.os_release):
        print("Must be root to change settings.")
        return 255
    if fault("mdm-managed"):
        print(MANAGED)
        return 0
    if os.getuid() == 0:
        alf.prepare()
    with locked(alf.RULES):
        rules = alf.load().current
        if option in _APP_VERBS:
            if option == "--add" and not path(value).exists():
                print("The file path you specified does not exist")
                return 0
            changed, said = change_app(rules, option, value, bool(fault("alf-identifier-clash")))
        else:
            changed = _switch(rules, option, value == "on")
            said = _answer_after(option, changed, old)
        if changed != rules:
            alf.store(changed)
    print(said)
    return 0


def main(argv: list[str]) -> int:
    """Answer any number of questions, or make changes, in the order given."""
    old = machine().os_major <= 14
    getters = {**_GETTERS, **(_OLD_GETTERS if old else {})}
    setters = (*_SETTERS, *(_OLD_SETTERS if old else ()))
    words = list(argv)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    while words:
        word = words.pop(0)
        if word in getters and fault("mdm-managed") == "mute":
            print(MANAGED)
        elif word in getters:
            print(getters[word](alf.load().visible(time.time()), old))
        elif word == "--getappblocked" and words:
            print(_app_blocked(alf.load().visible(time.time()), old, words.pop(0)))
        elif (word in _APP_VERBS and words) or (word in setters and words[:1] in (["on"], ["off"])):
            code = _mutate(word, words.pop(0), old)
            if code != 0:
                return code
        else:
            # What an unknown option ends with is not documented (guess).
            print(USAGE, file=sys.stderr)
            return 1
    return 0
