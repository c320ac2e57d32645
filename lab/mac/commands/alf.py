"""The application firewall: its rules, what they mean for a listening program, and their packet filter.

The judgement is made of pure functions; the agent (alfd) and the tool (socketfilterfw) do the reading and
the writing.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mac.machine import STATE, fault, machine, path, read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Iterable

# Kept in a folder of its own: before macOS 15.6 any user may change the rules, so anyone may write there then.
RULES = "alf/rules"
RULES_FILE = STATE + "/alf/rules.json"

OFF, ON, BLOCK_ALL = 0, 1, 2

# What a fresh VM lists (nix-darwin pull request 1705): sshd-session as Block even with Remote Login on.
APPLE_APPS = (
    ("/usr/libexec/remoted", "Allow"),
    ("/usr/libexec/sharingd", "Allow"),
    ("/usr/libexec/sshd-keygen-wrapper", "Allow"),
    ("/usr/libexec/sshd-session", "Block"),
    ("/usr/sbin/cupsd", "Allow"),
    ("/usr/sbin/smbd", "Allow"),
)

# Connections that tailscaled took over before the host's sockets (see tailscaled.py) carry this mark.
TAILSCALE_MARK = 0x80000


class Rules(NamedTuple):
    """The firewall's settings.

    macOS ships with the firewall off. The lab's Macs start with it on: the fleet's owner opens it for Ollama,
    so his are on.
    """

    state: int = ON
    stealth: bool = False
    builtin_signed: bool = True
    downloaded_signed: bool = True
    logging: bool = True
    apps: tuple[tuple[str, str], ...] = APPLE_APPS

    def verdict_of(self, program: str) -> str | None:
        """Give Allow or Block for a listed program, nothing for one that is not listed."""
        return dict(self.apps).get(program)

    def with_app(self, program: str, verdict: str) -> Rules:
        """List a program with a verdict, in its old place if it had one."""
        if self.verdict_of(program) is None:
            return self._replace(apps=(*self.apps, (program, verdict)))
        return self._replace(apps=tuple((app, verdict if app == program else old) for app, old in self.apps))

    def without_app(self, program: str) -> Rules:
        """Take a program off the list."""
        return self._replace(apps=tuple(entry for entry in self.apps if entry[0] != program))


def resolve(name: str) -> str:
    """Follow a program's links to the file that runs, as the kernel would name it."""
    real = os.path.realpath(path(name))
    base = os.path.realpath(path("/"))
    return real if base == "/" else "/" + os.path.relpath(real, base)


def is_apple(program: str) -> bool:
    """Say whether a program is part of macOS. Homebrew's bottles are signed ad hoc, which counts for nothing."""
    if program.startswith("/usr/local/"):
        return False
    return program.startswith(("/usr/", "/bin/", "/sbin/", "/System/", "/Library/Apple/"))


def is_developer_signed(program: str) -> bool:
    """Say whether a program has a Developer ID: here, everything in /Applications (Ollama.app is notarized)."""
    return program.startswith("/Applications/")


def identifier(program: str) -> str:
    """Give a program's code identifier: Go's linker signs every program as `a.out`."""
    if is_apple(program):
        return "com.apple." + program.rsplit("/", 1)[-1]
    if program.startswith(("/opt/homebrew/", "/usr/local/")):
        return "a.out"
    return program.rsplit("/", 1)[-1]


def admits(rules: Rules, program: str) -> bool:
    """Decide whether a program may accept connections from outside.

    The rule has to name the file that runs: whether macOS follows links when it compares is not documented
    (guess: it does not).
    """
    if rules.state == OFF:
        return True
    if rules.state == BLOCK_ALL:
        return False
    verdict = rules.verdict_of(program)
    if verdict is not None:
        return verdict == "Allow"
    if is_apple(program):
        return rules.builtin_signed
    return is_developer_signed(program) and rules.downloaded_signed


def open_ports(rules: Rules, listeners: Iterable[tuple[int, str]]) -> tuple[list[int], list[int]]:
    """Split the listening ports into open and closed ones; a port with two programs needs both admitted."""
    closed = {port for port, program in listeners if not admits(rules, program)}
    opened = {port for port, _ in listeners} - closed
    return sorted(opened), sorted(closed)


def ruleset(rules: Rules, listeners: Iterable[tuple[int, str]]) -> str:
    """Write the packet filter: one nft script that replaces the table in a single step.

    Only the first packet of a connection is judged, loopback never (the Mac's own LAN address comes by lo
    too, which is why local health checks lie). A closed port is dropped, a port nobody listens on is refused
    as without firewall. A program that started to listen within the last tick counts as not listening yet.
    """
    clear = "table inet alf\ndelete table inet alf\n"
    if rules.state == OFF:
        return clear
    opened, closed = open_ports(rules, list(listeners))
    lines = [
        "type filter hook input priority 0; policy accept;",
        'iifname "lo" accept',
        "meta l4proto != tcp accept",
        "tcp flags & (fin | syn | rst | ack) != syn accept",
        f"meta mark & 0x{TAILSCALE_MARK:x} != 0 accept",
    ]
    for ports, verdict in ((opened, "accept"), (closed, "drop")):
        if ports:
            lines.append("tcp dport {{ {} }} {}".format(", ".join(str(port) for port in ports), verdict))
    lines.append("drop" if rules.stealth else "reject with tcp reset")
    return clear + "table inet alf {{\n chain input {{\n  {}\n }}\n}}\n".format("\n  ".join(lines))


def _pack(rules: Rules) -> dict[str, Any]:
    return {**rules._asdict(), "apps": [list(entry) for entry in rules.apps]}


def _unpack(kept: dict[str, Any]) -> Rules:
    return Rules(**{**kept, "apps": tuple((app, verdict) for app, verdict in kept["apps"])})


class Kept(NamedTuple):
    """The rules on disk: what was last set, and until when the ones before are still shown and in force."""

    current: Rules
    previous: Rules
    visible_at: float

    def visible(self, now: float) -> Rules:
        """Give the rules in force."""
        return self.current if now >= self.visible_at else self.previous


def load() -> Kept:
    """Read the rules; a fresh Mac has the default ones."""
    kept = read_state(RULES, None)
    if kept is None:
        return Kept(Rules(), Rules(), 0.0)
    return Kept(_unpack(kept["current"]), _unpack(kept["previous"]), kept["visible_at"])


def store(rules: Rules) -> None:
    """Keep changed rules. The daemon persists late on macOS 15.3.1; the fault `alf-delay` says how late."""
    now = time.time()
    delay = float(fault("alf-delay", 0))
    previous = load().visible(now)
    write_state(RULES, {"current": _pack(rules), "previous": _pack(previous), "visible_at": now + delay if delay else 0.0})


def prepare() -> None:
    """Make the folder of the rules, open to everybody where the tool does not ask for root (before 15.6)."""
    folder = path(STATE + "/alf")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755 if needs_root(machine().os_release) else 0o777)


def needs_root(release: tuple[int, ...]) -> bool:
    """Say whether changes need root: field notes have 15.3.1 without and 26.5.2 with; 15.6 is inferred."""
    return release >= (15, 6)
