"""The Mac under test: a virtual one of a private lab or, with `--mac=local`, the very machine this runs on."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LAB = Path(__file__).resolve().parents[2] / "lab/lab"
# What ran on the Mac in this run. A conformance run that never reached one proves nothing and must fail.
TOUCHED: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose the Mac."""
    parser.addoption(
        "--mac", choices=["virtual", "local"], default="virtual", help="where the tests run: a virtual Mac, or this Mac"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a real Mac, leave out what only a virtual one can do; pytest's summary counts it."""
    if config.getoption("--mac") == "local":
        reason = pytest.mark.skip(reason="needs a fault or a control that only a virtual Mac has")
        for item in items:
            if item.get_closest_marker("virtual"):
                item.add_marker(reason)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that ended well without having touched a Mac."""
    here = Path(__file__).parent
    ours = [item for item in session.items if here in item.path.parents]
    if exitstatus == 0 and ours and not TOUCHED and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nNo test reached a Mac: this run proves nothing.", file=sys.stderr)


@dataclass(frozen=True)
class Result:
    """What a command ended with."""

    rc: int
    stdout: str
    stderr: str


def run_lab(name: str, *arguments: str, timeout: float = 60) -> Result:
    """Run lab/lab."""
    command = [sys.executable, str(LAB), "--name", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def lab(name: str, *arguments: str) -> str:
    """Run lab/lab, which must succeed; give what it printed."""
    done = run_lab(name, *arguments)
    if done.rc != 0:
        raise RuntimeError(f"lab/lab {' '.join(arguments)}: exit {done.rc}\n{done.stdout}{done.stderr}")
    return done.stdout


class Mac:
    """A Mac as the tests see it. The virtual and the real one differ in how a command gets there, no more."""

    virtual: bool
    uid: int
    user: str
    home: str

    def command(self, argv: Sequence[str], user: str, session: str) -> list[str]:
        """Give the command that runs `argv` on the Mac as a user, in a launchd session."""
        raise NotImplementedError

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str | None = "felipe",
        input: str | None = None,  # noqa: A002  subprocess' own name for it
        env: dict[str, str] | None = None,
        session: str = "Background",
        timeout: float = 30,
    ) -> Result:
        """Run a command; `felipe` stands for the Mac's login user, whatever the name is there."""
        TOUCHED.append(argv[0])
        settings = [f"{name}={value}" for name, value in (env or {}).items()]
        inner = ["/usr/bin/env", *settings, *argv] if settings else list(argv)
        account = self.user if user in (None, "felipe") else str(user)
        done = subprocess.run(
            self.command(inner, account, session),
            input="" if input is None else input, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def succeed(self, argv: Sequence[str], **options: Any) -> str:
        """Run a command that must succeed; give its output."""
        done = self.run(argv, **options)
        assert done.rc == 0, f"{argv}: exit {done.rc}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str, owner: str = "felipe", mode: int = 0o644) -> None:
        """Write a file as its owner would, with exactly this mode."""
        script = 'cat > "$1" && chmod "$2" "$1"'
        self.succeed(["/bin/sh", "-c", script, "sh", path, f"{mode:o}"], user=owner, input=text)

    def read(self, path: str) -> str:
        """Read a file."""
        return self.succeed(["/bin/cat", path], user="root")

    @property
    def os_major(self) -> int:
        """Give the first number of the macOS version."""
        return int(self.succeed(["/usr/bin/sw_vers", "-productVersion"]).split(".")[0])

    @contextlib.contextmanager
    def fault(self, name: str, value: object = True) -> Iterator[None]:
        """Switch a fault for the length of a block."""
        raise NotImplementedError

    def reboot(self, *, login: bool = True) -> None:
        """Turn the Mac off and on."""
        raise NotImplementedError

    def login(self) -> None:
        """Log the user in at the console."""
        raise NotImplementedError

    def logout(self) -> None:
        """Log the user out."""
        raise NotImplementedError


class VirtualMac(Mac):
    """The mac-mini of a private lab."""

    virtual = True
    uid = 501
    user = "felipe"
    home = "/Users/felipe"

    def __init__(self, name: str, host: str) -> None:
        self.name = name
        self.host = host

    def command(self, argv: Sequence[str], user: str, session: str) -> list[str]:
        """Go through `lab/lab exec`; root's session is the system's, as for a daemon."""
        place = [] if user == "root" and session == "Background" else ["--session", session]
        return [sys.executable, str(LAB), "--name", self.name, "exec", self.host, "--user", user, *place, "--", *argv]

    @contextlib.contextmanager
    def fault(self, name: str, value: object = True) -> Iterator[None]:
        """Switch a fault for the length of a block."""
        lab(self.name, "fault", self.host, name, json.dumps(value))
        try:
            yield
        finally:
            lab(self.name, "fault", self.host, name, "off")

    def reboot(self, *, login: bool = True) -> None:
        """Turn the Mac off and on."""
        lab(self.name, "reboot", self.host, *(["--login"] if login else []))

    def login(self) -> None:
        """Log the user in at the console."""
        lab(self.name, "login", self.host)

    def logout(self) -> None:
        """Log the user out."""
        lab(self.name, "logout", self.host)


class LocalMac(Mac):
    """The machine this runs on. Faults, reboots and logouts it has not: tests that need them are marked `virtual`."""

    virtual = False

    def __init__(self) -> None:
        account = pwd.getpwuid(os.getuid())
        self.uid, self.user, self.home = account.pw_uid, account.pw_name, account.pw_dir

    def command(self, argv: Sequence[str], user: str, session: str) -> list[str]:
        """Run it here; as another user, or in the screen's session, through sudo without a password."""
        if session == "Aqua" and user == self.user:
            return ["sudo", "-n", "launchctl", "asuser", str(self.uid), "sudo", "-n", "-u", user, *argv]
        return list(argv) if user == self.user else ["sudo", "-n", "-u", user, *argv]


@pytest.fixture(scope="session")
def mac(request: pytest.FixtureRequest) -> Iterator[Mac]:
    """Give the Mac under test: bare, as after its owner installed Homebrew, with its user logged in."""
    if request.config.getoption("--mac") == "local":
        if sys.platform != "darwin":
            pytest.exit("--mac=local needs a Mac to run on.", returncode=2)
        yield LocalMac()
        return
    name = f"conformance-{os.getpid()}"
    # --end-with: the lab ends with this process, also when it is killed.
    lab(name, "up", "--only", "mac-mini", "--end-with", str(os.getpid()))
    try:
        yield VirtualMac(name, "mac-mini")
    finally:
        lab(name, "down")
