"""Carrying out what launchctl asks: look at the world, let `decisions` judge, act, word the answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from mac import machine
from mac.launchd import (
    accounts,
    calls,
    decisions,
    domains,
    errors,
    faults,
    overrides,
    plists,
    printing,
    spawn,
)
from mac.launchd.decisions import Case, Effect, File, Outcome, Presence, State
from mac.launchd.domains import GUI_KIND, SYSTEM, SYSTEM_KIND, USER_KIND, Domain, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mac.launchd.job import Definition
    from mac.launchd.supervisor import Place, Service, Supervisor

AUTOLOGIN = machine.HOME + "/autologin"
DAEMON_FOLDERS = ("/System/Library/LaunchDaemons", "/Library/LaunchDaemons")
AGENT_FOLDERS = ("/System/Library/LaunchAgents", "/Library/LaunchAgents")


@dataclass(frozen=True)
class Caller:
    """Who asks: the kernel vouches for `uid`, the rest is what the caller's process told."""

    uid: int
    session: str
    domain: Domain
    cwd: str = "/"
    terminal: bool = False
    pid: int = 0

    @property
    def root(self) -> bool:
        """Say whether root asks."""
        return self.uid == 0


@dataclass(frozen=True)
class Reply:
    """What launchctl is to print and to exit with; `program` is what `asuser` goes on to run."""

    code: int = 0
    out: str = ""
    err: str = ""
    program: tuple[str, ...] = ()


Answer = Callable[[Reply], None]


def reply_of(outcome: Outcome, out: str = "") -> Reply:
    """Turn a judgement into what launchctl shows."""
    return Reply(outcome.code, out, "".join(line + "\n" for line in outcome.errors))


def signal_of(text: str) -> int | None:
    """Read a signal as `launchctl kill` takes it: Darwin's number, or a name with or without SIG."""
    if text.isascii() and text.isdigit():
        wanted = int(text)
        return next((number for number in signal.Signals if printing.signal_number(number) == wanted), None)
    name = text.upper() if text.upper().startswith("SIG") else "SIG" + text.upper()
    return signal.Signals[name] if name in signal.Signals.__members__ else None


class Control:
    """launchd's side of launchctl, and of the login window."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.log = supervisor.host.log
        # pid -> (its start time, domain): the processes `asuser` moved into another session.
        self.moved: dict[int, tuple[str, Domain]] = {}

    # Boot, login, logout

    def boot(self) -> None:
        """Load the daemons, and log in whoever is set to be logged in without being asked."""
        self._note_console(None)
        for folder in DAEMON_FOLDERS:
            self._load_folder(SYSTEM, machine.path(folder))
        with contextlib.suppress(OSError):
            name = machine.path(AUTOLOGIN).read_text(encoding="utf-8").strip()
            problem = self.login(name)
            if problem:
                self.log("loginwindow", f"automatic login: {problem}")

    def touch(self, name: str) -> str:
        """Make user/UID, as pam_launchd does at a first login of any kind; it stays until the next boot."""
        account = accounts.by_name(name)
        if account is None:
            return f"no such user: {name}"
        domain = domains.user(account.uid)
        if domain not in self.supervisor.places:
            self._make_temporary_folder(account)
            self.supervisor.open(domain)
            self._load_agents(domain, account)
        return ""

    def login(self, name: str) -> str:
        """Let a user log in at the screen; says what is wrong, or nothing."""
        problem = self.touch(name)
        account = accounts.by_name(name)
        if problem or account is None:
            return problem
        for place in self.supervisor.places.values():
            if place.domain.kind == GUI_KIND:
                if place.tearing_down:
                    return "a logout is in progress"
                return "" if place.domain.uid == account.uid else "somebody else is at the screen"
        place = self.supervisor.open(domains.gui(account.uid))
        # The ssh-agent's socket, which every job of a GUI session inherits (captured agents show it).
        token = os.urandom(5).hex()
        place.environment["SSH_AUTH_SOCK"] = f"/private/tmp/com.apple.launchd.{token}/Listeners"
        self._note_console(account)
        self._load_agents(place.domain, account)
        return ""

    def logout(self, name: str, then: Callable[[str], None]) -> None:
        """End a user's session at the screen; user/UID stays, and with it what was loaded there."""
        account = accounts.by_name(name)
        if account is None:
            then(f"no such user: {name}")
            return

        def finished() -> None:
            self._note_console(None)
            then("")

        if domains.gui(account.uid) in self.supervisor.places:
            self.supervisor.close(domains.gui(account.uid), finished)
        else:
            then("")

    def shut_down(self, then: Callable[[], None]) -> None:
        """End all jobs in an orderly way: the sessions first, then the daemons."""
        sessions = [domain for domain in self.supervisor.places if domain != SYSTEM]
        waiting = set(sessions)

        def one_gone(domain: Domain) -> None:
            waiting.discard(domain)
            if not waiting:
                self.supervisor.close(SYSTEM, then)

        for domain in sessions:
            self.supervisor.close(domain, partial(one_gone, domain))
        if not sessions:
            self.supervisor.close(SYSTEM, then)

    def _note_console(self, account: accounts.Account | None) -> None:
        """Say who is at the screen, the way tools look it up: the owner of /dev/console."""
        text = json.dumps({"console_user": account.name if account else None}) + "\n"
        machine.write_atomically(machine.path(machine.SESSION), text.encode("utf-8"))
        owner = (account.uid, account.gid) if account else (0, 0)
        with contextlib.suppress(OSError):
            os.chown(machine.path("/dev/console"), *owner)

    def _make_temporary_folder(self, account: accounts.Account) -> None:
        folder = Path(spawn.temporary_folder(account))
        with contextlib.suppress(OSError):
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, account.uid, account.gid)

    def _load_agents(self, domain: Domain, account: accounts.Account) -> None:
        for folder in AGENT_FOLDERS:
            self._load_folder(domain, machine.path(folder))
        self._load_folder(domain, Path(account.home) / "Library/LaunchAgents")

    def _load_folder(self, domain: Domain, folder: Path) -> None:
        """Load what a folder offers to a domain; of two files with the same label the first wins (chosen)."""
        for path in plists.in_folder(folder, follow_links=domain.kind == SYSTEM_KIND):
            file, definition = plists.examine(path, domain)
            if file is File.WRONG_SESSION:
                continue
            if definition is None or file is not File.GOOD:
                self.log(str(domain), f"{path}: {errors.text(file.value)}")
                continue
            target = f"{domain}/{definition.label}"
            if self.supervisor.find(domain, definition.label) is not None:
                self.log(target, f"service already loaded, ignoring {path}")
            elif overrides.read(domain).get(definition.label, definition.disabled):
                self.log(target, "Service is disabled")
            elif faults.strikes(machine.fault("bootstrap-vanishes", False), definition.label):
                self.log(target, "Untrusted service was denied launch by BTM. Removing.")
            else:
                self.supervisor.register(domain, definition, path)

    # launchctl

    def answer(self, argv: list[str], caller: Caller, answer: Answer) -> None:
        """Answer a command line; some verbs answer later."""
        try:
            call = calls.parse(argv)
        except calls.UsageError as error:
            answer(reply_of(error.outcome))
            return
        if call.verb in _SESSION_VERBS:
            answer(_SESSION_VERBS[call.verb](self, call, caller))
        elif call.verb in ("load", "unload"):
            answer(self._legacy_files(call, caller))
        elif call.verb == "bootstrap":
            answer(self._bootstrap(call, caller))
        elif call.verb == "bootout" and call.words:
            answer(self._bootout_files(call, caller))
        elif call.target is not None:
            self._one(call, call.target, caller, answer)
        else:
            self._one(call, Target(caller.domain, call.words[0] if call.words else ""), caller, answer)

    def case(self, verb: str, target: Target, caller: Caller) -> Case:
        """Gather what an answer depends on, but for files and options."""
        domain = target.domain
        service = self.supervisor.find(domain, target.label) if target.label else None
        place = self.supervisor.places.get(domain)
        return Case(
            verb=verb,
            target=target,
            root=caller.root,
            permitted=_permitted(verb, domain, caller),
            os_major=machine.machine().os_major,
            presence=self._presence(domain),
            state=service.state if service else State.UNLOADED,
            print_denied=bool(machine.fault("print-denied", False)),
            session_id=place.session_id if place else 0,
        )

    def _presence(self, domain: Domain) -> Presence:
        place = self.supervisor.places.get(domain)
        if place is not None:
            return Presence.TEARING_DOWN if place.tearing_down else Presence.THERE
        if domain.kind == GUI_KIND and domains.user(domain.uid) in self.supervisor.places:
            return Presence.ONLY_USER
        return Presence.ABSENT

    # Verbs about files

    def _file_case(self, case: Case, path: str) -> tuple[Case, Definition | None]:
        """Add what a plist says to a case."""
        domain = case.target.domain
        file, definition = plists.examine(path, domain)
        case = replace(case, file=file, path=path)
        if definition is None:
            return case, None
        label = definition.label
        service = self.supervisor.find(domain, label)
        return (
            replace(
                case,
                target=Target(domain, label),
                state=service.state if service else State.UNLOADED,
                disabled=overrides.read(domain).get(label, definition.disabled),
                vanishes=faults.strikes(machine.fault("bootstrap-vanishes", False), label),
                stays_idle=faults.strikes(machine.fault("bootstrap-stays-idle", False), label),
            ),
            definition,
        )

    def _take_in(self, case: Case, definition: Definition | None) -> Outcome:
        """Judge a bootstrap, legacy or not, and carry it out."""
        outcome = decisions.decide(case)
        if definition is None or outcome.effect not in (Effect.REGISTER, Effect.REGISTER_IDLE, Effect.VANISH):
            return outcome
        if faults.count_down("bootstrap-fails"):
            return decisions.decide(replace(case, fails_once=True))
        if outcome.effect is Effect.VANISH:
            self.log(str(case.target), "Untrusted service was denied launch by BTM. Removing.")
        else:
            idle = outcome.effect is Effect.REGISTER_IDLE
            self.supervisor.register(case.target.domain, definition, case.path, idle)
        return outcome

    def _bootstrap(self, call: calls.Call, caller: Caller) -> Reply:
        domain = call.target.domain if call.target else SYSTEM
        case = self.case("bootstrap", Target(domain), caller)
        paths = plists.expand(call.words, caller.cwd)
        if not paths:
            # A domain without a path asks for the domain itself, which only a login can make: chosen.
            state = State.RUNNING if case.presence is Presence.THERE else State.UNLOADED
            return reply_of(decisions.decide(replace(case, state=state, file=File.GOOD)))
        outcomes = [self._take_in(*self._file_case(case, path)) for path in paths]
        bad = [(path, outcome) for path, outcome in zip(paths, outcomes) if outcome.code]
        if len(paths) == 1 or not bad:
            return reply_of(outcomes[0] if len(paths) == 1 else Outcome("1", "a"))
        if len({outcome.code for _, outcome in bad}) == 1 and bad[0][1].code == errors.UNSUPPORTED:
            return reply_of(bad[0][1])
        lines = [f"{path}: {errors.text(outcome.code)}" for path, outcome in bad]
        lines.append("Bootstrap failed: " + errors.numbered(errors.MULTIPLE))
        return Reply(errors.MULTIPLE, "", "\n".join(lines) + "\n")

    def _bootout_files(self, call: calls.Call, caller: Caller) -> Reply:
        domain = call.target.domain if call.target else SYSTEM
        reply = Reply()
        for path in plists.expand(call.words, caller.cwd):
            case, _ = self._file_case(self.case("bootout", Target(domain), caller), path)
            outcome = decisions.decide(replace(case, target=Target(domain), wait="--wait" in call.options))
            service = self.supervisor.find(domain, case.target.label)
            if outcome.effect is Effect.REMOVE and service is not None:
                self._remove(service)
            if outcome.code:
                reply = reply_of(outcome)
        return reply

    def _legacy_files(self, call: calls.Call, caller: Caller) -> Reply:
        """Do `load` and `unload`: the caller's own domain, and 0 whatever comes of it."""
        lines: list[str] = []
        for path in plists.expand(call.words, caller.cwd):
            if caller.root and "/LaunchAgents/" in path:
                better = "bootstrap" if call.verb == "load" else "bootout"
                lines.append(
                    "Warning: Expecting a LaunchDaemons path since the command was ran as root. Got LaunchAgents instead."
                )
                lines.append(f"`launchctl {better}` is a recommended alternative.")
            case = replace(self.case(call.verb, Target(caller.domain), caller), path=path)
            case, definition = self._file_case(case, path)
            if "w" in call.options and definition is not None:
                overrides.note(caller.domain, definition.label, call.verb == "unload")
                case = replace(case, disabled=False)
            if call.verb == "load":
                outcome = self._take_in(case, definition)
            else:
                outcome = decisions.decide(case)
                service = self.supervisor.find(caller.domain, case.target.label)
                if outcome.effect is Effect.REMOVE and service is not None:
                    self._remove(service)
            lines += outcome.errors
        return Reply(0, "", "".join(line + "\n" for line in lines))

    # Verbs about one domain or service

    def _one(self, call: calls.Call, target: Target, caller: Caller, answer: Answer) -> None:
        case = self.case(call.verb, target, caller)
        case = replace(case, kill="k" in call.options, wait="--wait" in call.options)
        number = 0
        if call.verb == "kill":
            found = signal_of(call.words[0])
            if found is None:
                answer(reply_of(decisions.usage("kill")))
                return
            number = found
        outcome = decisions.decide(case)
        service = self.supervisor.find(target.domain, target.label) if target.label else None
        effect = outcome.effect
        if effect is Effect.REMOVE_AND_WAIT and service is not None:
            self._remove(service, lambda: answer(reply_of(outcome)))
            return
        if effect is Effect.TEAR_DOWN:
            account = accounts.by_uid(target.domain.uid)
            if target.domain.kind == GUI_KIND and account is not None:
                self.logout(account.name, lambda _: None)
            else:
                self.supervisor.close(target.domain, lambda: None)
        elif effect in (Effect.ENABLE, Effect.DISABLE):
            overrides.note(target.domain, target.label, effect is Effect.DISABLE)
        elif effect is Effect.RESTART and service is not None:
            self._restart(service, outcome, "p" in call.options, caller, answer)
            return
        elif service is not None:
            if effect is Effect.REMOVE:
                self._remove(service)
            elif effect is Effect.START:
                self.supervisor.start(service, "non-ipc demand")
            elif effect is Effect.STOP:
                self.supervisor.stop(service)
            elif effect is Effect.SIGNAL:
                self.supervisor.send(service, number)
        out = ""
        if effect is Effect.SHOW:
            out = self._show(call.verb, target, service)
        elif call.verb == "kickstart" and "p" in call.options and service is not None:
            out = spawned_text(service.pid, caller.terminal)
        answer(reply_of(outcome, out))

    def _remove(self, service: Service, then: Callable[[], None] | None = None) -> None:
        self.supervisor.remove(service, faults.seconds(machine.fault("drain-seconds", 0)), then=then)

    def _restart(self, service: Service, outcome: Outcome, show: bool, caller: Caller, answer: Answer) -> None:
        """Answer kickstart -k when the job has its new process, is throttled, or was booted out meanwhile."""

        def settled() -> None:
            if service.removing:
                words = decisions.not_found(Target(service.domain, service.label))
                answer(Reply(errors.NO_SERVICE, "", words + "\n"))
            else:
                answer(reply_of(outcome, spawned_text(service.pid, caller.terminal) if show else ""))

        self.supervisor.restart(service, settled)

    def _show(self, verb: str, target: Target, service: Service | None) -> str:
        os_major = machine.machine().os_major
        if verb == "print-disabled":
            return printing.disabled(overrides.read(target.domain), os_major)
        if service is not None:
            if verb == "blame":
                return service.reason + "\n"
            snapshot = self.supervisor.snapshot(service)
            return printing.entry(snapshot) if verb == "list" else printing.service(snapshot)
        place = self.supervisor.places.get(target.domain)
        jobs = [self.supervisor.snapshot(each) for each in place.services.values()] if place else []
        if verb == "list":
            return printing.table(jobs)
        session, environment = (place.session_id, place.environment) if place else (0, {})
        store = overrides.read(target.domain)
        return printing.domain(target.domain, session, environment, jobs, store, os_major)

    # Verbs about the caller's session

    def _place(self, caller: Caller) -> Place | None:
        return self.supervisor.places.get(caller.domain)

    def _setenv(self, call: calls.Call, caller: Caller) -> Reply:
        """Change what later jobs of this session inherit; over SSH that is not the session at the screen."""
        place = self._place(caller)
        if place is None:
            return Reply(errors.NO_DOMAIN, "", f"Could not set environment: {errors.numbered(112)}\n")
        if call.verb == "unsetenv":
            for name in call.words:
                place.environment.pop(name, None)
            return Reply()
        if len(call.words) % 2:
            return reply_of(decisions.usage("setenv"))
        place.environment.update(zip(call.words[::2], call.words[1::2]))
        return Reply()

    def _getenv(self, call: calls.Call, caller: Caller) -> Reply:
        place = self._place(caller)
        value = place.environment.get(call.words[0]) if place else None
        return Reply(out="" if value is None else value + "\n")

    def _managername(self, call: calls.Call, caller: Caller) -> Reply:
        if call.verb == "managerpid":
            return Reply(out="1\n")
        if call.verb == "manageruid":
            return Reply(out=f"{caller.domain.uid}\n")
        return Reply(out=caller.session + "\n")

    def _error(self, call: calls.Call, _: Caller) -> Reply:
        try:
            number = int(call.words[-1], 0)
        except ValueError:
            return reply_of(decisions.usage("error"))
        return Reply(out=errors.numbered(number) + "\n")

    def _asuser(self, call: calls.Call, caller: Caller) -> Reply:
        """Move the caller's process into a user's session; what it runs there still runs as root."""
        if not (call.words[0].isascii() and call.words[0].isdigit()):
            return reply_of(decisions.usage("asuser"))
        uid = int(call.words[0])
        domain = domains.gui(uid)
        if domain not in self.supervisor.places:
            domain = domains.user(uid)
        outcome = decisions.decide(self.case("asuser", Target(domain), caller))
        if outcome.code:
            return reply_of(outcome)
        self.moved = {pid: known for pid, known in self.moved.items() if start_time(pid) == known[0]}
        if caller.pid:
            self.moved[caller.pid] = (start_time(caller.pid), domain)
        return Reply(program=call.words[1:])

    def session_of(self, pid: int) -> Domain | None:
        """Find the session a process belongs to, if launchd started or moved it or one of its ancestors."""
        for _ in range(64):
            if pid <= 1:
                return None
            service = self.supervisor.by_pid.get(pid)
            if service is not None:
                return service.domain
            known = self.moved.get(pid)
            if known is not None and known[0] == start_time(pid):
                return known[1]
            pid = parent(pid)
        return None


_SESSION_VERBS: Mapping[str, Callable[[Control, calls.Call, Caller], Reply]] = {
    "asuser": Control._asuser,
    "error": Control._error,
    "getenv": Control._getenv,
    "managername": Control._managername,
    "managerpid": Control._managername,
    "manageruid": Control._managername,
    "setenv": Control._setenv,
    "unsetenv": Control._setenv,
}

_READING = frozenset(("blame", "list", "print", "print-disabled"))


def _permitted(verb: str, domain: Domain, caller: Caller) -> bool:
    """Say whether a caller may do this there: all may look at `system`, nobody at another user's domain."""
    if verb in _READING and domain.kind == SYSTEM_KIND:
        return True
    return domain.admits(caller.uid)


def spawned_text(pid: int | None, terminal: bool) -> str:
    """Give what kickstart -p prints: a sentence for people, the bare number for programs (kickstart.c)."""
    if pid is None:
        return ""
    return f"service spawned with pid: {pid}\n" if terminal else f"{pid}\n"


def _stat_fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def parent(pid: int) -> int:
    """Give a process's parent; 0 if it is gone."""
    fields = _stat_fields(pid)
    return int(fields[1]) if len(fields) > 1 else 0


def start_time(pid: int) -> str:
    """Give when a process started, which tells it from a later one with its number; nothing if it is gone."""
    fields = _stat_fields(pid)
    return fields[19] if len(fields) > 19 else ""


def caller_domain(uid: int, session: str) -> Domain:
    """Name the domain legacy verbs mean: root's is the system's, at the screen gui, over SSH user."""
    if uid == 0:
        return SYSTEM
    return domains.gui(uid) if session == "Aqua" else domains.user(uid)


def session_name(domain: Domain) -> str:
    """Name a domain's manager as `managername` does."""
    return {GUI_KIND: "Aqua", USER_KIND: "Background", SYSTEM_KIND: "System"}[domain.kind]
