"""Users and groups of the Mac, read from its own /etc so that a Mac moved by VIRTUAL_MAC_ROOT has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mac import machine

if TYPE_CHECKING:
    from collections.abc import Iterator


class Account(NamedTuple):
    """A line of /etc/passwd, as far as launchd needs it."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def _lines(absolute: str, fields: int) -> Iterator[list[str]]:
    try:
        text = machine.path(absolute).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) >= fields and not line.startswith(("#", "+", "-")):
            yield parts


def _all() -> Iterator[Account]:
    for name, _, uid, gid, _, home, shell, *_ in _lines("/etc/passwd", 7):
        if uid.isdigit() and gid.isdigit():
            yield Account(name, int(uid), int(gid), home, shell)


def by_name(name: str) -> Account | None:
    """Find a user by name."""
    return next((account for account in _all() if account.name == name), None)


def by_uid(uid: int) -> Account | None:
    """Find a user by number."""
    return next((account for account in _all() if account.uid == uid), None)


def group(name: str) -> int | None:
    """Find a group's number."""
    found = (int(parts[2]) for parts in _lines("/etc/group", 3) if parts[0] == name and parts[2].isdigit())
    return next(found, None)


def groups(account: Account) -> list[int]:
    """Give every group a user is in, the first one first."""
    others = {int(parts[2]) for parts in _lines("/etc/group", 4) if parts[2].isdigit() and account.name in parts[3].split(",")}
    return [account.gid, *sorted(others - {account.gid})]
