"""What a launchctl command line asks for, read before anything is looked up."""

from __future__ import annotations

from dataclasses import dataclass

from mac.launchd import decisions, domains, errors

# verb -> options that stand alone, options that take a value
_OPTIONS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "bootout": (frozenset(("--wait",)), frozenset()),
    "kickstart": (frozenset("kps"), frozenset()),
    "load": (frozenset("wF"), frozenset("DS")),
    "unload": (frozenset("wF"), frozenset("DS")),
}
_WITH_TARGET = frozenset(("blame", "bootout", "bootstrap", "disable", "enable", "kickstart", "kill", "print", "print-disabled"))
# verb -> fewest and most operands
_OPERANDS: dict[str, tuple[int, int]] = {
    "asuser": (2, 10_000),
    "blame": (1, 1),
    "bootout": (1, 10_000),
    "bootstrap": (1, 10_000),
    "disable": (1, 1),
    "enable": (1, 1),
    "error": (1, 2),
    "getenv": (1, 1),
    "kickstart": (1, 1),
    "kill": (2, 2),
    "list": (0, 1),
    "load": (1, 10_000),
    "managername": (0, 0),
    "managerpid": (0, 0),
    "manageruid": (0, 0),
    "print": (1, 1),
    "print-disabled": (1, 1),
    "remove": (1, 1),
    "setenv": (2, 10_000),
    "start": (1, 1),
    "stop": (1, 1),
    "unload": (1, 10_000),
    "unsetenv": (1, 10_000),
}


@dataclass(frozen=True)
class Call:
    """A command line that makes sense: the verb, its options, its target and what follows."""

    verb: str
    options: frozenset[str] = frozenset()
    target: domains.Target | None = None
    words: tuple[str, ...] = ()


class UsageError(Exception):
    """A command line that makes none."""

    def __init__(self, outcome: decisions.Outcome) -> None:
        super().__init__(outcome.errors[0])
        self.outcome = outcome


def _unknown(verb: str) -> UsageError:
    lines = (f"Unrecognized subcommand: {verb}", "Usage: launchctl <subcommand> ... | help [subcommand]")
    return UsageError(decisions.Outcome("38", "b", errors.EX_USAGE, lines))


def _split(verb: str, arguments: list[str]) -> tuple[frozenset[str], list[str]]:
    """Part options from operands the way getopt(3) does: options first, `--` ends them."""
    alone, valued = _OPTIONS.get(verb, (frozenset(), frozenset()))
    found: set[str] = set()
    rest = list(arguments)
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        word = rest.pop(0)
        if word == "--":
            break
        if word in alone:
            found.add(word)
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in valued:
                if not letters:
                    rest = rest[1:]
                break
            if letter not in alone:
                raise UsageError(decisions.usage(verb))
            found.add(letter)
    return frozenset(found), rest


def parse(argv: list[str]) -> Call:
    """Read launchctl's arguments."""
    if not argv:
        raise _unknown("")
    verb, arguments = argv[0], list(argv[1:])
    if verb not in _OPERANDS:
        raise _unknown(verb)
    if verb in ("asuser", "setenv", "error"):  # what follows may begin with a dash and is not ours
        options, operands = frozenset[str](), arguments
    else:
        options, operands = _split(verb, arguments)
    fewest, most = _OPERANDS[verb]
    if not fewest <= len(operands) <= most:
        raise UsageError(decisions.usage(verb))
    if verb not in _WITH_TARGET:
        return Call(verb, options, None, tuple(operands))
    if verb == "kill":
        operands = [operands[1], operands[0]]
    target = domains.parse(operands[0])
    wants_domain = verb in ("bootstrap", "print-disabled") or (verb == "bootout" and len(operands) > 1)
    if target is None or (wants_domain and target.label):
        raise UsageError(decisions.usage(verb))
    return Call(verb, options, target, tuple(operands[1:]))
