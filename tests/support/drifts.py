"""Drifts made by hand: how each is made on a Mac, and the steps that must be named and taken for it, no more and no fewer."""

from __future__ import annotations

import contextlib
import json
import plistlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.fleet import Fleet

HOME = "/Users/felipe"
AGENTS = f"{HOME}/Library/LaunchAgents"
UID = 501
PLACE = f"{HOME}/Library/Application Support/ollama-fleet"
CELLAR = "/opt/homebrew/Cellar/ollama"
SOCKETFILTERFW = "/usr/libexec/ApplicationFirewall/socketfilterfw"
OLD_PROGRAM = f"{CELLAR}/0.24.0/libexec/ollama"
API = "http://127.0.0.1:11434"

Steps = list[tuple[str, str]]


@dataclass(frozen=True)
class Mac:
    """One Mac of the fleet, and what a hand does to it."""

    fleet: Fleet
    name: str

    @property
    def label(self) -> str:
        """Return the label of its service."""
        return {"mac-mini": "com.user.ollama", "macbook-pro": "com.ollama.serve"}[self.name]

    @property
    def other_label(self) -> str:
        """Return the label that the other Mac uses and this one has retired."""
        return {"mac-mini": "com.ollama.serve", "macbook-pro": "com.user.ollama"}[self.name]

    @property
    def target(self) -> str:
        """Return the service target."""
        return f"gui/{UID}/{self.label}"

    @property
    def plist(self) -> str:
        """Return the path of the property list."""
        return f"{AGENTS}/{self.label}.plist"

    def run(self, *argv: str, user: str = "felipe", check: bool = True) -> str:
        """Run a command as the login user, as somebody at the Mac would."""
        return self.fleet.on(self.name, *argv, user=user, check=check)

    def definition(self) -> dict[str, Any]:
        """Read the property list."""
        return dict(plistlib.loads(self.run("cat", self.plist).encode()))

    def write(self, path: str, definition: dict[str, Any], *, user: str = "felipe") -> None:
        """Write a property list as an editor would."""
        self.fleet.lab(
            "exec", self.name, "--user", user, "--", "tee", path, text=plistlib.dumps(definition, sort_keys=True).decode()
        )
        self.run("chmod", "0644", path, user=user)

    def edit(self, **changes: Any) -> None:
        """Change keys of the property list in place."""
        self.write(self.plist, {**self.definition(), **changes})

    def environment_with(self, **variables: str) -> dict[str, str]:
        """Return the environment of the property list with some variables changed."""
        return {**self.definition()["EnvironmentVariables"], **variables}

    @contextlib.contextmanager
    def residents_held(self) -> Iterator[None]:
        """Keep the job that loads residents from doing so for a block: it finds its lock taken and goes away in silence.

        A test that counts the loads of a run must not race with it.
        """
        lock = f"{PLACE}/state/residents.lock"
        # A Mac that was never converged has no state yet.
        self.run("mkdir", "-p", f"{PLACE}/state")
        holder = subprocess.Popen(
            self.fleet.lab_command("exec", self.name, "--user", "felipe", "--", "flock", lock, "sh", "-c", "echo held; read end"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.fleet.environment,
        )  # fmt: skip
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            yield
        finally:
            holder.stdin.close()
            holder.wait(30)

    def boot_out(self, target: str = "") -> None:
        """Boot the service out and wait until launchd has forgotten it."""
        where = target or self.target
        self.run("/bin/launchctl", "bootout", where)
        self.wait(lambda: "Could not find service" in self.run_all("/bin/launchctl", "print", where))

    def run_all(self, *argv: str) -> str:
        """Run and return everything that was printed, whatever the exit status."""
        done = self.fleet.lab("exec", self.name, "--user", "felipe", "--", *argv, check=False)
        return done.stdout + done.stderr

    def wait(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for a condition on the Mac."""
        import time

        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                message = f"{self.name}: the condition did not come true within {seconds} s"
                raise AssertionError(message)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the server on the Mac itself."""
        words = ["curl", "-sS", "--max-time", "60", "-X", method, API + path]
        if body is not None:
            words += ["-d", json.dumps(body)]
        text = self.run(*words)
        return json.loads(text.splitlines()[-1]) if text.strip() else None

    def answers(self) -> bool:
        """Tell whether the server answers."""
        return "version" in self.run_all("curl", "-sS", "--max-time", "2", f"{API}/api/version")

    def pid(self) -> int | None:
        """Return the process of the service."""
        for line in self.run_all("/bin/launchctl", "print", self.target).splitlines():
            if line.startswith("\tpid = "):
                return int(line.rpartition(" ")[2])
        return None

    def program(self) -> str:
        """Return the resolved program that the firewall sees."""
        return self.run("readlink", "-f", self.definition()["ProgramArguments"][0]).strip()

    def state(self) -> dict[str, Any]:
        """Return everything that a look must not change."""
        listing = self.run(
            "sh", "-c", f'cd {AGENTS} && for f in *; do stat -f \'%N %OLp %u %m\' "$f"; cat "$f"; done 2>&1 || true'
        )
        return {
            "agents": listing,
            "job": [
                line
                for line in self.run_all("/bin/launchctl", "print", self.target).splitlines()
                if line.startswith(("\tpid = ", "\truns = ", "\tpath = ", "\tstate = "))
            ],
            "disabled": self.run_all("/bin/launchctl", "print-disabled", f"gui/{UID}"),
            "firewall": self.run(SOCKETFILTERFW, "--listapps"),
            "manifests": self.run("sh", "-c", f"cd {HOME}/.ollama/models/manifests && find . -type f | sort | xargs cat"),
            "loaded": sorted(
                (model["name"], model["expires_at"][:4])
                for model in (self.api("GET", "/api/ps") if self.answers() else {"models": []})["models"]
            ),
        }


@dataclass(frozen=True)
class Drift:
    """A drift: its name, how it is made, and the steps it must give."""

    name: str
    make: Callable[[Mac], None]
    steps: Callable[[Mac], Steps]
    restarts: bool = False
    concern: str = "service"

    def __str__(self) -> str:
        """Return the name, for the test's id."""
        return self.name


def _stale_in_memory(mac: Mac) -> None:
    good = mac.definition()
    mac.edit(EnvironmentVariables=mac.environment_with(OLLAMA_HOST="127.0.0.1"))
    mac.boot_out()
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", mac.plist)
    mac.wait(mac.answers)
    mac.write(mac.plist, good)


def _wrong_domain(mac: Mac) -> None:
    copy = f"{HOME}/{mac.label}.plist"
    mac.write(copy, {**mac.definition(), "LimitLoadToSessionType": "Background"})
    mac.boot_out()
    mac.run("/bin/launchctl", "bootstrap", f"user/{UID}", copy)
    mac.wait(mac.answers)


def _disabled_and_gone(mac: Mac) -> None:
    mac.boot_out()
    mac.run("/bin/launchctl", "disable", mac.target)


def _digest_moved(mac: Mac) -> None:
    mac.api("POST", "/api/pull", {"model": "tiny", "stream": False})
    mac.api("DELETE", "/api/delete", {"model": "gpt-oss:20b"})
    mac.api("POST", "/api/copy", {"source": "tiny", "destination": "gpt-oss:20b"})
    mac.api("DELETE", "/api/delete", {"model": "tiny"})


def _old_rule(mac: Mac) -> None:
    mac.run("mkdir", "-p", OLD_PROGRAM.rpartition("/")[0])
    mac.run("cp", "/bin/sh", OLD_PROGRAM)
    mac.run(SOCKETFILTERFW, "--add", OLD_PROGRAM, user="root")
    mac.run("rm", "-r", f"{CELLAR}/0.24.0")
    mac.run(SOCKETFILTERFW, "--remove", mac.program(), user="root")


def _healer_of_somebody_else(mac: Mac) -> None:
    mac.boot_out(f"{mac.target}.heal")
    mac.run("sed", "-i", 's/"acts_per_hour": 6/"acts_per_hour": 60/', f"{PLACE}/desired-state.json")


def _crashed_once(mac: Mac) -> None:
    before = mac.pid()
    mac.run("kill", "-9", str(before))
    mac.wait(lambda: mac.pid() not in (None, before) and mac.answers(), 40)
    mac.api("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": -1})


def _rival(mac: Mac) -> None:
    path = f"{AGENTS}/{mac.other_label}.plist"
    mac.write(path, {**mac.definition(), "Label": mac.other_label})
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", path)


def _job_of_old_label(mac: Mac) -> None:
    label = f"{mac.other_label}.residents"
    own = plistlib.loads(mac.run("cat", f"{AGENTS}/{mac.label}.residents.plist").encode())
    mac.write(f"{AGENTS}/{label}.plist", {**own, "Label": label})
    mac.run("/bin/launchctl", "bootstrap", f"gui/{UID}", f"{AGENTS}/{label}.plist")


def _symlink(mac: Mac) -> None:
    mac.run("mv", mac.plist, f"{HOME}/moved.plist")
    mac.run("ln", "-s", f"{HOME}/moved.plist", mac.plist)


def _load(mac: Mac) -> Steps:
    return [("load", "qwen3:8b")]


DRIFTS = (
    Drift(
        "a variable edited in the property list",
        lambda mac: mac.edit(EnvironmentVariables=mac.environment_with(OLLAMA_HOST="127.0.0.1")),
        lambda mac: [("write", mac.plist)],
    ),
    Drift("a stale definition in memory", _stale_in_memory, lambda mac: [("reload", mac.target), *_load(mac)], restarts=True),
    Drift("booted out", lambda mac: mac.boot_out(), lambda mac: [("bootstrap", mac.target), *_load(mac)], restarts=True),
    Drift(
        "disabled while it runs",
        lambda mac: mac.run("/bin/launchctl", "disable", mac.target) and None,
        lambda mac: [("enable", mac.target)],
    ),
    Drift(
        "disabled and booted out",
        _disabled_and_gone,
        lambda mac: [("enable", mac.target), ("bootstrap", mac.target), *_load(mac)],
        restarts=True,
    ),
    Drift(
        "the job in another domain",
        _wrong_domain,
        lambda mac: [("bootout", f"user/{UID}/{mac.label}"), ("bootstrap", mac.target), *_load(mac)],
        restarts=True,
    ),
    Drift(
        "a model that nobody asked for",
        lambda mac: mac.api("POST", "/api/pull", {"model": "tiny", "stream": False}) and None,
        lambda mac: [("delete", "tiny:latest")],
        concern="models",
    ),
    Drift(
        "a missing model",
        lambda mac: mac.api("DELETE", "/api/delete", {"model": "gpt-oss:20b"}),
        lambda mac: [("pull", "gpt-oss:20b")],
        concern="models",
    ),
    Drift("another digest under the same name", _digest_moved, lambda mac: [("pull", "gpt-oss:20b")], concern="models"),
    Drift(
        "the firewall rule gone",
        lambda mac: mac.run(SOCKETFILTERFW, "--remove", mac.program(), user="root") and None,
        lambda mac: [("allow", mac.program())],
        concern="firewall",
    ),
    Drift(
        "a firewall rule of an old version",
        _old_rule,
        lambda mac: [("remove", OLD_PROGRAM), ("allow", mac.program())],
        concern="firewall",
    ),
    Drift(
        "brew services started again",
        lambda mac: mac.run("/opt/homebrew/bin/brew", "services", "start", "ollama", check=False) and None,
        lambda mac: [
            ("bootout", f"gui/{UID}/homebrew.mxcl.ollama"),
            ("remove", f"{AGENTS}/homebrew.mxcl.ollama.plist"),
        ],
    ),
    Drift("RunAtLoad flipped", lambda mac: mac.edit(RunAtLoad=False), lambda mac: [("write", mac.plist)]),
    Drift(
        "a property list that everybody may write",
        lambda mac: mac.run("chmod", "0666", mac.plist) and None,
        lambda mac: [("protect", mac.plist)],
    ),
    Drift(
        "a property list of another owner",
        lambda mac: mac.run("chown", "root:wheel", mac.plist, user="root") and None,
        lambda mac: [("write", mac.plist)],
    ),
    Drift("the property list deleted", lambda mac: mac.run("rm", mac.plist) and None, lambda mac: [("write", mac.plist)]),
    Drift("the property list a symbolic link", _symlink, lambda mac: [("write", mac.plist)]),
    Drift(
        "the resident model unloaded",
        lambda mac: mac.api("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": 0}) and None,
        _load,
        concern="models",
    ),
    Drift(
        "the resident model about to leave",
        lambda mac: mac.api("POST", "/api/generate", {"model": "qwen3:8b", "keep_alive": "5m"}) and None,
        _load,
        concern="models",
    ),
    Drift(
        "an older label beside it",
        _rival,
        lambda mac: [("bootout", f"gui/{UID}/{mac.other_label}"), ("remove", f"{AGENTS}/{mac.other_label}.plist")],
    ),
    Drift(
        "a second property list with the same label",
        lambda mac: mac.write(f"{AGENTS}/copy.plist", mac.definition()),
        lambda mac: [("remove", f"{AGENTS}/copy.plist")],
    ),
    Drift(
        "the program of the fleet changed",
        lambda mac: mac.run("sh", "-c", f"echo >> '{PLACE}/ollama-fleet'") and None,
        lambda mac: [("install", f"{PLACE}/ollama-fleet")],
        concern="jobs",
    ),
    Drift(
        "a job beside the service booted out",
        lambda mac: mac.boot_out(f"{mac.target}.residents"),
        lambda mac: [("bootstrap", f"{mac.target}.residents")],
        concern="jobs",
    ),
    Drift(
        "settings of a job edited and its property list gone",
        lambda mac: mac.run("sh", "-c", f"echo '{{}}' > '{PLACE}/logs.json'; rm {AGENTS}/{mac.label}.logs.plist") and None,
        lambda mac: [("write", f"{PLACE}/logs.json"), ("write", f"{AGENTS}/{mac.label}.logs.plist")],
        concern="jobs",
    ),
    Drift(
        "a rule of the healer edited and its job booted out",
        _healer_of_somebody_else,
        lambda mac: [("write", f"{PLACE}/desired-state.json"), ("bootstrap", f"{mac.target}.heal")],
        concern="healer",
    ),
    Drift(
        "a job of a label that was retired",
        _job_of_old_label,
        lambda mac: [
            ("bootout", f"gui/{UID}/{mac.other_label}.residents"),
            ("remove", f"{AGENTS}/{mac.other_label}.residents.plist"),
        ],
        concern="jobs",
    ),
    Drift("crashed once and healthy since: not drift", _crashed_once, lambda mac: []),
)


def rounds() -> list[tuple[Drift, ...]]:
    """Put drifts of different concerns together, since they do not touch each other and a run costs seconds.

    A drift whose mending restarts the server stays alone with the firewall's, for the restart also loads models again.
    """
    by_concern = {
        name: [drift for drift in DRIFTS if drift.concern == name] for name in ("service", "firewall", "models", "jobs")
    }
    firewall, models, jobs = iter(by_concern["firewall"]), iter(by_concern["models"]), iter(by_concern["jobs"])
    together = []
    for drift in by_concern["service"]:
        others = [next(firewall, None), *([] if drift.restarts else [next(models, None)]), next(jobs, None)]
        together.append((drift, *(other for other in others if other is not None)))
    return [*together, *((drift,) for drift in (*firewall, *models, *jobs))]
