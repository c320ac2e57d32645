"""The names launchd gives its domains and services, and who may act in them.

Three domains matter to a server: `system`, `user/UID` (made by any first login, SSH too, and kept until the
next boot) and `gui/UID` (exists only while that user is at the screen). The last two keep separate lists of
services.
"""

from __future__ import annotations

from dataclasses import dataclass

SYSTEM_KIND = "system"
USER_KIND = "user"
GUI_KIND = "gui"


@dataclass(frozen=True)
class Domain:
    """One of launchd's domains; `uid` is 0 for the system's."""

    kind: str
    uid: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == SYSTEM_KIND else f"{self.kind}/{self.uid}"

    @property
    def in_words(self) -> str:
        """Name the domain as launchctl's messages do (print.c, ProcursusTeam/launchctl)."""
        if self.kind == SYSTEM_KIND:
            return "system"
        return f"uid: {self.uid}" if self.kind == USER_KIND else f"user gui: {self.uid}"

    @property
    def job_type(self) -> str:
        """Say what `print` calls a job of this domain."""
        return "LaunchDaemon" if self.kind == SYSTEM_KIND else "LaunchAgent"

    @property
    def store(self) -> str:
        """Name the file of enabled/disabled overrides: gui/UID and user/UID share one (macOS 26.5.1)."""
        folder = "/var/db/com.apple.xpc.launchd/"
        return folder + ("disabled.plist" if self.kind == SYSTEM_KIND else f"disabled.{self.uid}.plist")

    def admits(self, uid: int) -> bool:
        """Say whether this caller may change things here: the domain's owner, or root."""
        return uid == 0 or (self.kind != SYSTEM_KIND and self.uid == uid)


SYSTEM = Domain(SYSTEM_KIND)


@dataclass(frozen=True)
class Target:
    """What a verb is pointed at: a domain, or a service in it."""

    domain: Domain
    label: str = ""

    def __str__(self) -> str:
        return f"{self.domain}/{self.label}" if self.label else str(self.domain)


def gui(uid: int) -> Domain:
    """Name the domain of a user at the screen."""
    return Domain(GUI_KIND, uid)


def user(uid: int) -> Domain:
    """Name the domain of a user wherever the login came from."""
    return Domain(USER_KIND, uid)


def parse(text: str) -> Target | None:
    """Read a target specifier such as `gui/501/com.user.ollama`; None if it is none."""
    kind, _, rest = text.partition("/")
    if kind == SYSTEM_KIND:
        return Target(SYSTEM, rest)
    if kind not in (USER_KIND, GUI_KIND):
        return None
    uid, _, label = rest.partition("/")
    if not (uid.isascii() and uid.isdigit() and len(uid) < 10):
        return None
    return Target(Domain(kind, int(uid)), label)
