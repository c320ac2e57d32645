"""Running a program inside a host: as its user, in its namespaces, with this terminal."""

from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from controller import linux

if TYPE_CHECKING:
    from collections.abc import Callable

# Where things lie in a host; image.py writes them there. Repeated here because entering must start fast.
PYTHON = "/opt/virtual-mac/python"
SESSION = "/opt/virtual-mac/lib/mac/launchd/session.py"
FAULTS = Path("/var/db/virtual-mac/faults.json")
MAC_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
LINUX_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("TERM", "COLORTERM", "LANG", "LC_ALL")


@dataclass(frozen=True)
class Command:
    """A program to run inside a host."""

    argv: list[str]
    user: str = "root"
    touch: str = ""  # the user whose launchd domain a login through ssh would make first
    environment: dict[str, str] = field(default_factory=dict)
    asked: str = ""  # how ssh called this host: an address is as dead as the network it belongs to
    network: str = ""  # that network


def wait_status(status: int) -> int:
    """Turn a wait status into an exit status, as a shell does."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def become(descriptor: int, action: Callable[[], int]) -> int:
    """Run an action inside the namespaces of the process behind a pidfd; give its exit status.

    Two processes: a PID namespace takes only children, and this one must hold no reference to the host's
    mounts, or they would outlive the host for as long as it runs.
    """
    linux.setns(descriptor, linux.CLONE_NEWPID)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            linux.die_with_parent(signal.SIGKILL)
            linux.setns(descriptor, linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET)
            code = action()
            sys.stdout.flush()
        except OSError as error:
            print(f"lab: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # the terminal sends them to the child as well, whose turn it is
    return wait_status(os.waitpid(child, 0)[1])


def _touched(user: str) -> Path:
    return Path(f"/var/run/virtual-mac.touched.{user}")


def _tell_launchd(verb: str, user: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            os.execve(PYTHON, [PYTHON, SESSION, verb, user], {"PATH": MAC_PATH})
        finally:
            os._exit(127)
    return wait_status(os.waitpid(child, 0)[1])


def _touch(user: str) -> None:
    """Make launchd's domain of a user, once per boot: /var/run is empty again after the next."""
    if not _touched(user).exists() and _tell_launchd("touch", user) == 0:
        _touched(user).touch()


def console(verb: str, user: str) -> int:
    """Log a user in at the console (`login`), or out (`logout`), inside the Mac. The console then is theirs."""
    code = _tell_launchd(verb, user)
    if code == 0:
        account = pwd.getpwnam(user if verb == "login" else "root")
        os.chown("/dev/console", account.pw_uid, account.pw_gid)
    return code


def environment_of(account: pwd.struct_passwd, base: str, extra: dict[str, str]) -> dict[str, str]:
    """Give a session's environment, as sshd would set it."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    own = {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name, "SHELL": account.pw_shell}
    return {**kept, **own, "PATH": base, **extra}


def is_mac() -> bool:
    """Tell, inside a host, whether it is a Mac."""
    return Path("/var/db/virtual-mac/machine.json").exists()


def faults() -> dict[str, object]:
    """Read, inside a host, which faults are set."""
    known: dict[str, object] = json.loads(FAULTS.read_text(encoding="utf-8"))
    return known


def way_to(asked: str, network: str, set_faults: dict[str, object]) -> str:
    """Say what ssh meets on its way to an address: nothing, `silence`, or words of its own."""
    if set_faults.get("unreachable"):
        return "ssh: connect to host port 22: Operation timed out"
    dead = {"lan": ("lan-down",), "tailnet": ("tailnet-down", "tailscale-down", "tailscale-stopped")}.get(network, ())
    if not any(set_faults.get(fault) for fault in dead):
        return ""
    if asked.endswith(".local"):
        # Nobody announces the name any more.
        return f"ssh: Could not resolve hostname {asked}: nodename nor servname provided, or not known"
    return "silence"


def turn_away(trouble: str) -> int:
    """Be what ssh finds at a dead address: silent until it gives up, or words at once."""
    if trouble == "silence":
        while os.read(0, 4096):
            pass
    else:
        print(trouble, file=sys.stderr)
    return 255


def execute(command: Command) -> int:
    """Replace this process, already inside the host, by the command; a status is given only if that fails."""
    if command.asked:
        trouble = way_to(command.asked, command.network, faults())
        if trouble:
            return turn_away(trouble)
    mac = is_mac()
    if mac and command.touch and command.touch != "root":
        _touch(command.touch)
    try:
        account = pwd.getpwnam(command.user)
    except KeyError:
        print(f"lab: this host has no user {command.user!r}.", file=sys.stderr)
        return 1
    return _replace_by(command, account, mac=mac)


def _replace_by(command: Command, account: pwd.struct_passwd, *, mac: bool) -> int:
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    environment = environment_of(account, MAC_PATH if mac else LINUX_PATH, command.environment)
    os.setgroups(groups)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    linux.die_with_parent(signal.SIGKILL)  # changing the user cleared it (prctl(2))
    os.chdir(account.pw_dir if Path(account.pw_dir).is_dir() else "/")
    os.environ["PATH"] = environment["PATH"]
    trouble = OSError()
    try:
        os.execvpe(command.argv[0], command.argv, environment)
    except OSError as error:
        trouble = error
    print(f"lab: {command.argv[0]}: {trouble.strerror}", file=sys.stderr)
    return 127 if isinstance(trouble, FileNotFoundError) else 126


# The name services are read once here, outside: inside a host their libraries need not match.
grp.getgrgid(0)
