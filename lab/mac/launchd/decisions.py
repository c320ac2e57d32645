"""How launchd answers: every exit code, message and transition, in one place and without I/O.

`decide` takes a Case (who asks for what, and how the world stands) and gives an Outcome (what launchctl
prints and exits with, and what launchd does). Each outcome names its row in the decision table the
conformance tests go by, and how sure it is:

    a  measured, or reported repeatedly
    b  read in source code, or one report
    c  chosen: nobody has told

Two patterns explain most rows. For a caller that is not root every refusal of a service (already loaded,
draining, disabled, bad plist, bad mode, wrong session) is flattened to 5 with a hint to try as root; only
refusals of a domain (112, 125) keep their number. And success is silent.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from mac.launchd import errors
from mac.launchd.domains import GUI_KIND, SYSTEM, SYSTEM_KIND, Target

HINT = "Try re-running the command as root for richer errors."
BAD_REQUEST = "Bad request."
UNRECOGNIZED = "Unrecognized target specifier."

# launchctl(1) of macOS 15 and help of 26.5.1 where they were captured; the rest follows their pattern.
USAGES: dict[str, str] = {
    "asuser": "<UID> <program> [...]",
    "blame": "<service-target>",
    "bootout": "<domain-target> [service-path1, service-path2, ...] | <service-target>",
    "bootstrap": "<domain-target> [service-path1, service-path2, ...]",
    "disable": "<service-target>",
    "enable": "<service-target>",
    "error": "<code>",
    "getenv": "<key>",
    "kickstart": "[-k] [-p] [-s] <service-target>",
    "kill": "<signal-number|signal-name> <service-target>",
    "list": "[service-name]",
    "load": "[-wF] [-D <user|local|system>] [-S <session>] <service-path> [service-path2, ...]",
    "managername": "",
    "managerpid": "",
    "manageruid": "",
    "print": "<domain-target> | <service-target>",
    "print-disabled": "<domain-target>",
    "remove": "<service-name>",
    "setenv": "<key> <value> [...]",
    "start": "<service-name>",
    "stop": "<service-name>",
    "unload": "[-wF] [-D <user|local|system>] [-S <session>] <service-path> [service-path2, ...]",
    "unsetenv": "<key> [...]",
}

# The first macOS whose bootout knows --wait; on 14 and 15 it is a usage error that stops nothing.
FIRST_WITH_WAIT = 26


class State(enum.Enum):
    """How a label stands in a domain."""

    UNLOADED = "U"
    IDLE = "L"
    RUNNING = "R"
    THROTTLED = "T"
    DRAINING = "Dr"


class Presence(enum.Enum):
    """How a domain stands; a missing gui domain is told apart by whether user/UID is there."""

    THERE = "there"
    ABSENT = "absent"
    ONLY_USER = "gui absent, user present"
    TEARING_DOWN = "tearing down"


class File(enum.Enum):
    """What launchd thinks of a plist, with the number root gets; 0 is a good one."""

    GOOD = 0
    MISSING = errors.ENOENT
    MALFORMED = errors.BAD_PLIST
    NO_PROGRAM = errors.NO_PROGRAM
    NO_USER = errors.NO_USER
    NO_GROUP = errors.NO_GROUP
    BAD_OWNERSHIP = errors.BAD_OWNERSHIP
    WRONG_SESSION = errors.WRONG_SESSION


class Effect(enum.Enum):
    """What launchd does besides answering."""

    NOTHING = "nothing"
    REGISTER = "register and start if the definition says so"
    REGISTER_IDLE = "register, start nothing"
    VANISH = "answer well, register nothing"
    REMOVE = "signal, then forget"
    REMOVE_AND_WAIT = "signal, forget, answer then"
    TEAR_DOWN = "remove the whole domain"
    START = "start"
    RESTART = "signal, then start again with the same definition"
    STOP = "signal"
    SIGNAL = "send the given signal"
    ENABLE = "note as enabled"
    DISABLE = "note as disabled"
    SHOW = "print what was asked for"


SYSTEM_ITSELF = Target(SYSTEM)


@dataclass(frozen=True)
class Case:
    """A request and everything its answer depends on."""

    verb: str
    target: Target = SYSTEM_ITSELF
    root: bool = False
    permitted: bool = True
    os_major: int = 15
    presence: Presence = Presence.THERE
    state: State = State.UNLOADED
    disabled: bool = False
    file: File = File.GOOD
    path: str = ""
    kill: bool = False
    wait: bool = False
    fails_once: bool = False
    stays_idle: bool = False
    vanishes: bool = False
    print_denied: bool = False
    session_id: int = 0


@dataclass(frozen=True)
class Outcome:
    """What launchctl shows and exits with, what launchd does, and which row of the table that is."""

    row: str
    confidence: str
    code: int = 0
    errors: tuple[str, ...] = ()
    effect: Effect = Effect.NOTHING


def usage(verb: str) -> Outcome:
    """Answer a target or an option launchctl cannot read: the message, and three lines of usage."""
    return Outcome(
        "38",
        "a",
        errors.EX_USAGE,
        (
            UNRECOGNIZED,
            ("Usage: launchctl {} {}".format(verb, USAGES.get(verb, ""))).rstrip(),
            "<service-target> takes a form of <domain-target>/<service-id>.",
            "Please refer to `man launchctl` for explanation of the <domain-target> specifiers.",
        ),
    )


def _failed(prefix: str, number: int) -> str:
    return f"{prefix} failed: {errors.numbered(number)}"


def _refusal(row: str, confidence: str, prefix: str, number: int, root: bool) -> Outcome:
    """Refuse because of the service: root hears why, everyone else hears 5."""
    if root:
        return Outcome(row, confidence, number, (_failed(prefix, number),))
    return Outcome(row, confidence, errors.EIO, (_failed(prefix, errors.EIO), HINT))


def not_found(target: Target) -> str:
    """Word a label that its domain does not know."""
    return f'Could not find service "{target.label}" in domain for {target.domain.in_words}'


def _absent(case: Case) -> bool:
    return case.presence in (Presence.ABSENT, Presence.ONLY_USER)


def _bootstrap_service(case: Case) -> Outcome:
    """Judge a bootstrap into a domain that is there, as root would hear it."""
    file_rows = {
        File.MISSING: ("8", "c"),
        File.BAD_OWNERSHIP: ("6", "b"),
        File.MALFORMED: ("7", "c"),
        File.NO_PROGRAM: ("7", "c"),
        File.NO_USER: ("7", "c"),
        File.NO_GROUP: ("7", "c"),
    }
    if case.file in file_rows:
        row, confidence = file_rows[case.file]
        return Outcome(row, confidence, case.file.value)
    if case.state is State.DRAINING:
        # 37 inside, but 5 is what even root gets: fleet retries 30 times (orbit, macos_templates.go).
        return Outcome("4", "a", errors.EIO)
    if case.state is not State.UNLOADED:
        # 37 as root was reported on 13.4, plain 5 elsewhere: unsettled. The old definition stays in force.
        return Outcome("3" if case.root else "2", "b" if case.root else "a", errors.EALREADY)
    if case.file is File.WRONG_SESSION:
        return Outcome("9", "b", errors.WRONG_SESSION)
    if case.disabled:
        return Outcome("5", "b" if case.root else "a", errors.DISABLED)
    if case.fails_once:
        return Outcome("1 fails-once", "b", errors.EIO)
    effect = Effect.REGISTER
    if case.vanishes:
        effect = Effect.VANISH
    elif case.stays_idle:
        effect = Effect.REGISTER_IDLE
    return Outcome("1", "a", effect=effect)


def _domain_refusal(case: Case, prefix: str) -> Outcome | None:
    """Judge whether a domain takes a change at all; a service's answer comes only after that."""
    system = case.target.domain.kind == SYSTEM_KIND
    if system and not case.permitted:
        return Outcome("18", "b", errors.EPERM, (f"{prefix}: {errors.numbered(errors.EPERM)}",))
    if _absent(case) or not case.permitted:
        # 125 for a missing gui domain and for another user's (many reports).
        return Outcome("10", "a", errors.UNSUPPORTED, (f"{prefix}: {errors.numbered(errors.UNSUPPORTED)}",))
    if case.presence is Presence.TEARING_DOWN:
        return Outcome("10 logout", "b", errors.TEARING_DOWN, (f"{prefix}: {errors.numbered(124)}",))
    return None


def _bootstrap(case: Case) -> Outcome:
    domain = case.target.domain
    if domain.kind == SYSTEM_KIND and not case.permitted:
        return _refusal("11", "c", "Bootstrap", errors.EIO, case.root)
    if domain.kind != GUI_KIND and _absent(case) and case.permitted:
        # A boot-time root job that bootstrapped into user/501 before any login kept failing with 5
        # (joelclaw ADR-0240).
        return _refusal("10 user", "b", "Bootstrap", errors.EIO, case.root)
    refused = _domain_refusal(case, "Bootstrap failed")
    if refused is not None:
        return refused
    verdict = _bootstrap_service(case)
    if verdict.code == 0:
        return verdict
    return _refusal(verdict.row, verdict.confidence, "Bootstrap", verdict.code, case.root)


def _bootout(case: Case) -> Outcome:
    if case.wait and (case.os_major < FIRST_WITH_WAIT or not case.target.label):
        rejected = usage("bootout")
        return Outcome("16", "a", rejected.code, rejected.errors)
    refused = _domain_refusal(case, "Boot-out failed")
    if refused is not None:
        return refused
    if not case.target.label and not case.path:
        if case.target.domain.kind == SYSTEM_KIND:
            return Outcome("12 domain", "c", errors.EPERM, (_failed("Boot-out", errors.EPERM),))
        return Outcome("12 domain", "c", effect=Effect.TEAR_DOWN)
    if case.state is State.UNLOADED:
        if case.path:
            return _refusal("14", "b", "Boot-out", errors.EIO, case.root)
        return Outcome("13", "a", errors.ESRCH, (_failed("Boot-out", errors.ESRCH),))
    if case.wait:
        return Outcome("17", "b", effect=Effect.REMOVE_AND_WAIT)
    if case.state is State.DRAINING:
        return Outcome("15", "c")
    # Exit 0 at once: since macOS 12 launchctl sends `no-einprogress`, before it was 36 (bootstrap.c,
    # ProcursusTeam/launchctl).
    return Outcome("12", "a", effect=Effect.REMOVE)


def _kickstart(case: Case) -> Outcome:
    refused = _domain_refusal(case, f'Could not kickstart service "{case.target.label}"')
    if refused is not None:
        return refused
    if case.state is State.UNLOADED:
        return Outcome("22", "a", errors.NO_SERVICE, (not_found(case.target),))
    if case.state is State.DRAINING:
        return Outcome("22 draining", "c", errors.EALREADY)
    if case.state is State.RUNNING:
        if case.kill:
            return Outcome("21", "b", effect=Effect.RESTART)
        # EALREADY without a word (kickstart.c of ProcursusTeam/launchctl; measured on "macOS 27").
        return Outcome("20", "b", errors.EALREADY)
    if case.state is State.THROTTLED:
        # Sources disagree whether kickstart bypasses the throttle; here it does not.
        return Outcome("23", "c")
    return Outcome("19", "a", effect=Effect.START)


def _override(case: Case) -> Outcome:
    refused = _domain_refusal(case, f"Could not {case.verb} service")
    if refused is not None:
        return refused
    return Outcome("29", "a", effect=Effect.ENABLE if case.verb == "enable" else Effect.DISABLE)


def _not_readable(case: Case, noun: str) -> Outcome | None:
    if case.presence is Presence.ABSENT:
        # Comes before the question of rights: gui/9999 is 112 to anyone (macOS 26.5.1).
        words = f"Could not find domain for {case.target.domain.in_words}"
        return Outcome("26", "a", errors.NO_DOMAIN, (BAD_REQUEST, words))
    if not case.permitted or (case.print_denied and not case.root):
        text = f"Could not print {noun}: {errors.numbered(errors.EPERM)}"
        return Outcome("27", "b", errors.EPERM, (text,))
    if case.presence is Presence.ONLY_USER:
        # Which of 112 and 125 a headless Mac gives is unsettled; 125 was seen where user/UID existed
        # (duh17/oppi#38).
        text = f"Could not print {noun}: {errors.numbered(errors.UNSUPPORTED)}"
        return Outcome("26", "b", errors.UNSUPPORTED, (text,))
    return None


def _print(case: Case) -> Outcome:
    refused = _not_readable(case, "service" if case.target.label else "domain")
    if refused is not None:
        return refused
    if case.target.label and case.state is State.UNLOADED:
        return Outcome("25", "a", errors.NO_SERVICE, (BAD_REQUEST, not_found(case.target)))
    return Outcome("24", "a", effect=Effect.SHOW)


def _print_disabled(case: Case) -> Outcome:
    return _not_readable(case, "disabled services") or Outcome("28", "a", effect=Effect.SHOW)


def _blame(case: Case) -> Outcome:
    refused = _not_readable(case, "service")
    if refused is not None:
        return refused
    if case.state is State.UNLOADED:
        return Outcome("25 blame", "c", errors.NO_SERVICE, (not_found(case.target),))
    if case.state in (State.IDLE, State.THROTTLED):
        return Outcome("24 blame", "b", errors.ESRCH, ("No process to signal.",))
    return Outcome("24 blame", "b", effect=Effect.SHOW)


def _kill(case: Case) -> Outcome:
    refused = _domain_refusal(case, f'Could not signal service "{case.target.label}"')
    if refused is not None:
        return refused
    if case.state is State.UNLOADED:
        return Outcome("22 kill", "c", errors.NO_SERVICE, (not_found(case.target),))
    if case.state in (State.IDLE, State.THROTTLED):
        return Outcome("24 kill", "c", errors.ESRCH, ("No process to signal.",))
    return Outcome("24 kill", "c", effect=Effect.SIGNAL)


def _load(case: Case) -> Outcome:
    """Judge legacy `load`: it ends with 0 whatever happened, and only its text tells (launchctl(1))."""
    verdict = _domain_refusal(case, "") or _bootstrap_service(case)
    if verdict.code == 0:
        return verdict
    if not case.root:
        lines: tuple[str, ...] = (
            _failed("Load", errors.EIO),
            "Try running `launchctl bootstrap` as root for richer errors.",
        )
    elif case.file in (File.MALFORMED, File.BAD_OWNERSHIP, File.MISSING) or verdict.code == errors.DISABLED:
        lines = (f"{case.path}: {errors.text(verdict.code)}",)
    else:
        lines = (_failed("Load", verdict.code),)
    return Outcome("32", "a", 0, lines)


def _unload(case: Case) -> Outcome:
    if case.presence is not Presence.THERE or case.state is State.UNLOADED:
        lines: tuple[str, ...] = (_failed("Unload", errors.EIO),)
        if not case.root:
            lines += ("Try running `launchctl bootout` as root for richer errors.",)
        return Outcome("33 unload", "b", 0, lines)
    return Outcome("33", "a", effect=Effect.NOTHING if case.state is State.DRAINING else Effect.REMOVE)


def _start(case: Case) -> Outcome:
    if case.state is State.UNLOADED:
        return Outcome("35", "c", errors.ESRCH)
    return Outcome("34 start", "b", effect=Effect.START if case.state is State.IDLE else Effect.NOTHING)


def _stop(case: Case) -> Outcome:
    if case.state is State.UNLOADED:
        return Outcome("35", "c", errors.ESRCH)
    # With KeepAlive the job "may immediately restart" (launchctl(1)): stop says nothing against that.
    return Outcome("34", "a", effect=Effect.STOP if case.state is State.RUNNING else Effect.NOTHING)


def _remove(case: Case) -> Outcome:
    if case.state in (State.UNLOADED, State.DRAINING):
        return Outcome("35 remove", "b")
    return Outcome("35 remove", "b", effect=Effect.REMOVE)


def _list(case: Case) -> Outcome:
    if case.target.label and case.state is State.UNLOADED:
        words = f'Could not find service "{case.target.label}" in domain for port'
        return Outcome("31", "a", errors.NO_SERVICE, (words,))
    return Outcome("31" if case.target.label else "30", "a", effect=Effect.SHOW)


def _asuser(case: Case) -> Outcome:
    prefix = f"Could not switch to audit session 0x{case.session_id:x}"
    if not case.root:
        return Outcome("37", "b", errors.EPERM, (f"{prefix}: {errors.numbered(errors.EPERM)}",))
    if case.presence is Presence.ABSENT:
        return Outcome("37 nobody", "c", errors.ESRCH, (f"{prefix}: {errors.numbered(errors.ESRCH)}",))
    return Outcome("37 root", "a")


_RULES = {
    "asuser": _asuser,
    "blame": _blame,
    "bootout": _bootout,
    "bootstrap": _bootstrap,
    "disable": _override,
    "enable": _override,
    "kickstart": _kickstart,
    "kill": _kill,
    "list": _list,
    "load": _load,
    "print": _print,
    "print-disabled": _print_disabled,
    "remove": _remove,
    "start": _start,
    "stop": _stop,
    "unload": _unload,
}

_NEED_LABEL = frozenset(("blame", "disable", "enable", "kickstart", "kill"))


def decide(case: Case) -> Outcome:
    """Answer a request."""
    if case.verb in _NEED_LABEL and not case.target.label:
        return usage(case.verb)
    return _RULES[case.verb](case)
