"""brew services: start and stop formulae as launchd jobs (Homebrew 6.0.18, services/system.rb and cli.rb)."""

from __future__ import annotations

import json
import os
import plistlib
import re
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from mac.commands.brew.formulae import FORMULAE
from mac.machine import console_user, machine, path, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mac.commands.brew.cellar import Cellar
    from mac.commands.brew.environment import Context

LAUNCHCTL = "/bin/launchctl"
Launchctl = Callable[..., "tuple[int, str]"]


class ServiceError(Exception):
    """What `brew services` ends with; exit 1."""


def launchctl(*words: str) -> tuple[int, str]:
    """Call launchctl; give its exit code and everything it said."""
    done = subprocess.run([LAUNCHCTL, *words], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Caller(NamedTuple):
    """Who calls, as far as the choice of the domain depends on it."""

    uid: int
    euid: int
    console_uid: int
    variables: Mapping[str, str]


def domain(caller: Caller) -> tuple[str, str]:
    """Choose the launchd domain; give it and the reason for `user/*`, if it is that one (system.rb)."""
    if caller.euid == 0:
        return "system", ""
    if caller.variables.get("SSH_TTY") and caller.console_uid != caller.euid:
        return f"user/{caller.euid}", "running over SSH without /dev/console ownership"
    if caller.variables.get("SUDO_USER"):
        return f"user/{caller.euid}", "running through sudo"
    if caller.uid != caller.euid:
        return f"user/{caller.euid}", "uid and euid do not match"
    return f"gui/{caller.euid}", ""


def parse_environment(text: str) -> dict[str, str]:
    """Read `KEY=value` lines of an override file; `#` begins a comment line."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, assigned, value = line.strip().partition("=")
        if assigned and not key.startswith("#") and key.strip():
            found[key.strip()] = value.strip().strip("\"'")
    return found


class Job(NamedTuple):
    """What launchd says about a service."""

    loaded: bool = False
    pid: int | None = None
    exit_code: int | None = None
    file: str | None = None

    @property
    def status(self) -> str:
        """Name the state as `brew services list` does (formula_wrapper.rb)."""
        if not self.loaded:
            return "none"
        if self.pid:
            return "started"
        if self.exit_code is None:
            return "other"
        return "error" if self.exit_code else "stopped"


def parse_job(text: str) -> Job:
    """Read `launchctl print` (tabs, `pid = N`) or `launchctl list LABEL` (`"PID" = N;`)."""

    def number(*patterns: str) -> int | None:
        for pattern in patterns:
            match = re.search(pattern, text, re.MULTILINE)
            if match:
                return int(match.group(1))
        return None

    file = re.search(r"^\s*path = (/.*)$", text, re.MULTILINE)
    # `last exit code = (never exited)` has no digits and stays unknown.
    exit_code = number(r"last exit code = (\d+)", r'"LastExitStatus" = (\d+);')
    return Job(True, number(r"^\s*pid = (\d+)", r'"PID" = (\d+);'), exit_code, file.group(1) if file else None)


class Services:
    """One call of `brew services`."""

    def __init__(self, context: Context, cellar: Cellar, run: Launchctl = launchctl) -> None:
        self.context = context
        self.cellar = cellar
        self._launchctl = run
        console = console_user()
        me = machine()
        console_uid = me.uid if console == me.user else 0
        self.domain, self._reason = domain(Caller(os.getuid(), context.uid, console_uid, context.variables))

    @staticmethod
    def label(name: str) -> str:
        """Give the launchd label of a formula's service."""
        return "homebrew.mxcl." + name

    def _is_root(self) -> bool:
        return self.context.uid == 0

    def _folder(self, root: bool) -> str:
        if root:
            return "/Library/LaunchDaemons"
        return self.context.variables.get("HOME", machine().home) + "/Library/LaunchAgents"

    def file(self, name: str, root: bool | None = None) -> str:
        """Give where the service's file goes: the caller's folder, or the one that was asked for."""
        return f"{self._folder(self._is_root() if root is None else root)}/{self.label(name)}.plist"

    def _keg_file(self, name: str) -> str:
        return f"{self.context.shown}/opt/{name}/{self.label(name)}.plist"

    def _domains(self) -> list[str]:
        candidates = [self.domain]
        if not self._is_root():
            candidates += [f"user/{self.context.uid}", f"gui/{self.context.uid}"]
        return list(dict.fromkeys(candidates))

    def job(self, name: str) -> Job:
        """Ask launchd in every domain the service may be in (since 6.0.16), then the caller's own."""
        for place in self._domains():
            code, text = self._launchctl("print", f"{place}/{self.label(name)}")
            if code == 0:
                return parse_job(text)
        code, text = self._launchctl("list", self.label(name))
        return parse_job(text) if code == 0 else Job()

    # The definition

    def _overrides(self, name: str) -> dict[str, str]:
        """Read the user's override file (6.0.15); not for root, and not if others may write it."""
        if self._is_root():
            return {}
        variables = self.context.variables
        base = variables.get("XDG_CONFIG_HOME")
        folder = base + "/homebrew" if base else variables.get("HOME", machine().home) + "/.homebrew"
        file = path(f"{folder}/services/{name}.env")
        if not file.is_file():
            return {}
        if file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            print(f"Warning: Ignoring {file} because it is group or world-writable.", file=sys.stderr)
            return {}
        return parse_environment(file.read_text(encoding="utf-8"))

    def definition(self, name: str) -> bytes:
        """Write the service's property list anew from the formula; changes by hand are lost."""
        from ollama.keg import service

        definition: dict[str, Any] = plistlib.loads(service(self.context.shown))
        overrides = self._overrides(name)
        if overrides:
            definition["EnvironmentVariables"] = {**definition["EnvironmentVariables"], **overrides}
        return plistlib.dumps(definition, sort_keys=True)

    # Verbs

    def run(self, options: list[str], words: list[str]) -> int:
        """Carry out a verb."""
        verb, names = (words[0], words[1:]) if words else ("list", [])
        verb = {
            "ls": "list",
            "i": "info",
            "launch": "start",
            "load": "start",
            "unload": "stop",
            "terminate": "stop",
            "term": "stop",
            "t": "stop",
            "s": "start",
            "l": "start",
            "u": "stop",
            "r": "restart",
            "relaunch": "restart",
            "reload": "restart",
            "k": "kill",
        }.get(verb, verb)
        verbs: dict[str, Callable[[str, list[str]], None]] = {
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "run": self._run,
            "kill": self._kill,
        }
        self._warn()
        try:
            if verb == "list":
                return self._list(options)
            if verb == "cleanup":
                print(f"All {'root ' if self._is_root() else ''}user-space services OK, nothing cleaned...")
                return 0
            if verb not in (*verbs, "info"):
                raise ServiceError(f"Invalid usage: unknown subcommand: {verb}")
            if "--all" in options:
                names = [name for name in self.cellar.names() if self._has_service(name)]
            if not names:
                raise ServiceError("Invalid usage: Formula(e) missing, please provide a formula name or use `--all`.")
            for name in names:
                self._check(name)
            if verb == "info":
                return self._info(names, "--json" in options)
            for name in names:
                verbs[verb](name, options)
        except ServiceError as reason:
            sys.stdout.flush()
            print(f"Error: {reason}", file=sys.stderr)
            return 1
        return 0

    def _warn(self) -> None:
        variables = self.context.variables
        if not self._reason or variables.get("HOMEBREW_SERVICES_NO_DOMAIN_WARNING"):
            return
        print(f"Warning: {self._reason}, using user/* instead of gui/* domain!", file=sys.stderr)
        if self.context.hints:
            # On stderr since 5.1.2; before, these two lines broke every reader of --json.
            print("Hide this warning by setting `HOMEBREW_SERVICES_NO_DOMAIN_WARNING=1`.", file=sys.stderr)
            print("Hide these hints with `HOMEBREW_NO_ENV_HINTS=1` (see `man brew`).", file=sys.stderr)

    @staticmethod
    def _has_service(name: str) -> bool:
        return name in FORMULAE and FORMULAE[name].has_service

    def _check(self, name: str) -> None:
        if name not in FORMULAE:
            raise ServiceError(f'No available formula with the name "{name}".')
        if not self.cellar.versions(name):
            raise ServiceError(f"Formula `{name}` is not installed.")
        if not self._has_service(name):
            raise ServiceError(f"Formula `{name}` has not implemented #plist, #service or provided a locatable service file.")

    def _bootstrap(self, file: str, label: str, *, enable: bool) -> None:
        calls: list[tuple[str, ...]] = [("bootstrap", self.domain, file)]
        if enable:
            calls.insert(0, ("enable", f"{self.domain}/{label}"))
        for call in calls:
            code, text = self._launchctl(*call)
            if code != 0:
                # launchctl's own words come first, then those of the Ruby exception.
                print(text, end="", file=sys.stderr)
                raise ServiceError(f"Failure while executing; `{LAUNCHCTL} {' '.join(call)}` exited with {code}.")

    def _start(self, name: str, options: list[str]) -> None:
        if self.job(name).pid:
            print(f"Service `{name}` already started, use `brew services restart {name}` to restart.")
            return
        target = self.file(name)
        custom = next((option[len("--file=") :] for option in options if option.startswith("--file=")), None)
        data = path(custom).read_bytes() if custom else self.definition(name)
        folder = path(target).parent
        if not folder.is_dir():
            folder.mkdir(parents=True, mode=0o755)
        write_atomically(path(target), data)
        self._bootstrap(target, self.label(name), enable=True)
        print(f"==> Successfully started `{name}` (label: {self.label(name)})")

    def _run(self, name: str, _: list[str]) -> None:
        if self.job(name).pid:
            print(f"Service `{name}` already running, use `brew services restart {name}` to restart.")
            return
        self._bootstrap(self._keg_file(name), self.label(name), enable=False)
        print(f"==> Successfully ran `{name}` (label: {self.label(name)})")

    def _stop(self, name: str, options: list[str]) -> None:
        limit = next((option.partition("=")[2] for option in options if option.startswith("--max-wait=")), "60")
        self._end(name, keep="--keep" in options, seconds=float(limit))

    def _end(self, name: str, *, keep: bool, seconds: float) -> None:
        label, file = self.label(name), path(self.file(name))
        if not self.job(name).loaded:
            # The file goes although nothing was loaded.
            if file.is_file():
                file.unlink()
            other = path(self.file(name, not self._is_root()))
            if other.is_file():
                user = machine().user if self._is_root() else "root"
                how = "brew" if self._is_root() else "sudo brew"
                words = f"Service `{name}` is started as `{user}`. Try:\n  {how} services stop {name}"
                raise ServiceError(words)
            code, _ = self._launchctl("bootout", f"{self.domain}/{label}")
            if code == 0:
                print(f"==> Successfully stopped `{name}` (label: {label})")
            else:
                print(f"Warning: Service `{name}` is not started.", file=sys.stderr)
            return
        print(f"Stopping `{name}`... (might take a while)")
        sys.stdout.flush()
        stopped = self._bootout(name, seconds)
        if not keep and file.is_file():
            file.unlink()
        if stopped:
            print(f"==> Successfully stopped `{name}` (label: {label})")
        else:
            print(f"Warning: Unable to stop `{name}` (label: {label})", file=sys.stderr)

    def _bootout(self, name: str, seconds: float) -> bool:
        """Send bootout to every domain, again each second until the job is gone; 0 seconds wait for ever."""
        deadline = time.monotonic() + seconds
        while True:
            for place in self._domains():
                # 3: no such process, 125: no such domain. Both mean there is nothing to wait for here.
                self._launchctl("bootout", f"{place}/{self.label(name)}")
            if not self.job(name).loaded:
                return True
            if seconds and time.monotonic() >= deadline:
                return False
            time.sleep(1)

    def _restart(self, name: str, options: list[str]) -> None:
        if self.job(name).loaded:
            self._end(name, keep=False, seconds=0)
        self._start(name, options)

    def _kill(self, name: str, _: list[str]) -> None:
        job = self.job(name)
        if not job.pid:
            print(f"Service `{name}` is not started.")
            return
        # Every service here has keep_alive.
        print(f"Service `{name}` is set to automatically restart and can't be killed.")

    # Answers

    def described(self, name: str) -> dict[str, Any]:
        """Describe a service with the keys, and in the order, of `info --json` (formula_wrapper.rb)."""
        job = self.job(name)
        own = self.file(name)
        registered = path(own).is_file()
        loaded_file = job.file if job.loaded else None
        source = own if registered else self._keg_file(name)
        definition = plistlib.loads(path(source).read_bytes())
        environment = definition.get("EnvironmentVariables", {})
        words = ['{}="{}"'.format(*item) for item in sorted(environment.items())] + definition["ProgramArguments"]
        return {
            "name": name,
            "service_name": self.label(name),
            "running": bool(job.pid),
            "loaded": job.loaded,
            "schedulable": False,
            "pid": job.pid,
            "exit_code": job.exit_code,
            "user": self._owner(name, job),
            "status": job.status,
            "file": source,
            "registered": registered,
            "loaded_file": loaded_file,
            "command": " ".join(words),
            "working_dir": definition.get("WorkingDirectory"),
            "root_dir": None,
            "log_path": definition.get("StandardOutPath"),
            "error_log_path": definition.get("StandardErrorPath"),
            "interval": None,
            "cron": None,
        }

    def _owner(self, name: str, job: Job) -> str | None:
        if path(self.file(name, True)).is_file() and not path(self.file(name, False)).is_file():
            return "root"
        return machine().user if job.loaded or path(self.file(name, False)).is_file() else None

    def _info(self, names: list[str], as_json: bool) -> int:
        described = [self.described(name) for name in names]
        if as_json:
            print(json.dumps(described, indent=2))
            return 0
        for item in described:
            print("{} ({})".format(item["name"], item["service_name"]))
            for key in ("running", "loaded", "schedulable"):
                print(f"{key.capitalize()}: {str(item[key]).lower()}")
            if item["user"]:
                print("User: " + item["user"])
            if item["pid"]:
                print(f"PID: {item['pid']}")
        return 0

    def _list(self, options: list[str]) -> int:
        rows = [self.described(name) for name in self.cellar.names() if self._has_service(name)]
        keys = ("name", "status", "user", "file", "exit_code")
        if "--json" in options:
            print(json.dumps([{key: row[key] for key in keys} for row in rows], indent=2))
            return 0
        if not rows:
            print("Warning: No services available to control with `brew services`", file=sys.stderr)
            return 0
        home = self.context.variables.get("HOME", machine().home)
        width = max(len("Name"), *(len(row["name"]) for row in rows))
        print(f"{'Name':<{width}} {'Status':<7} {'User':<6} {'File'}")
        for row in rows:
            status = row["status"] + (f" {row['exit_code']}" if row["status"] == "error" else "")
            file = row["file"].replace(home, "~", 1) if row["status"] != "none" else ""
            print((f"{row['name']:<{width}} {status:<7} {row['user'] or '':<6} {file}").rstrip())
        return 0
