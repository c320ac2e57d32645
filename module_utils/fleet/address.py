"""By which of its addresses a host answers: what ssh's words mean, and what to say when none does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Cause = Literal["answered", "name", "silent", "refused", "route", "closed", "key_changed", "key_unknown", "denied", "other"]

# OpenSSH 9 and 10. The first that matches counts: a changed key is followed by the words of an unknown one.
_WORDS: tuple[tuple[Cause, str], ...] = (
    ("key_changed", r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for \S+ has changed"),
    ("key_unknown", r"No \S+ host key is known|Host key verification failed|authenticity of host"),
    ("denied", r"Permission denied|Too many authentication failures|Invalid/incorrect"),
    ("name", r"Could not resolve hostname|Name or service not known|nodename nor servname"),
    ("refused", r"Connection refused"),
    ("route", r"No route to host|Network is unreachable|Host is down"),
    ("silent", r"timed out|Timeout"),
    ("closed", r"Connection (closed|reset)|kex_exchange_identification|banner"),
)

_CLAUSES: dict[Cause, str] = {
    "name": "the name does not resolve here",
    "silent": "no answer in time",
    "refused": "the connection is refused",
    "route": "there is no way to it from here",
    "closed": "the connection was closed before ssh said who it is",
    "key_changed": "a machine with another host key answers there",
    "key_unknown": "its host key is not known here",
    "denied": "it refuses the login",
}

_ANSWERS: frozenset[Cause] = frozenset({"key_changed", "key_unknown", "denied"})
"""Somebody is there, and going on would be wrong: never taken for a host that is asleep."""

_MAC = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Attempt:
    """One address and what became of it; `words` are ssh's own where it said something nobody foresaw."""

    address: str
    cause: Cause
    words: str = ""

    def clause(self) -> str:
        """Say why it failed."""
        return _CLAUSES.get(self.cause) or self.words or "ssh failed without a word"


def candidates(addresses: Iterable[object]) -> tuple[str, ...]:
    """Return the addresses to try, each once, in order; what is not set is left out."""
    return tuple(dict.fromkeys(str(address) for address in addresses if address))


def attempt(address: str, failure: str | None) -> Attempt:
    """Read what ssh said about an address; None: it worked."""
    if failure is None:
        return Attempt(address, "answered")
    cause: Cause = next((cause for cause, pattern in _WORDS if re.search(pattern, failure)), "other")
    lines = [line.strip() for line in failure.replace("Failed to connect to the host via ssh:", "").splitlines()]
    return Attempt(address, cause, next((line for line in reversed(lines) if line), ""))


def is_away(attempts: Sequence[Attempt]) -> bool:
    """Tell a host of which nothing is heard from one that answers and must not be talked to."""
    return all(one.cause != "answered" and one.cause not in _ANSWERS for one in attempts)


def tried(host: str, attempts: Sequence[Attempt]) -> str:
    """Return `HOST does not answer at A (why), nor at B (why)`."""
    return f"{host} does not answer at " + ", nor at ".join(f"{one.address} ({one.clause()})" for one in attempts)


def away_sentence(host: str, attempts: Sequence[Attempt], waited: float = 0) -> str:
    """Say that a host which may be away is left out."""
    woken = f" It was sent a wake-up packet and stayed silent for {waited:.0f} s." if waited else ""
    return f"{tried(host, attempts)} and may be asleep or away; nothing was done there.{woken}"


def error_sentence(host: str, user: str, attempts: Sequence[Attempt], waited: float = 0) -> str:
    """Say why the run cannot go on for this host, and what to do."""
    login = f"{user}@" if user else ""
    for one in attempts:
        where = f"{login}{one.address}"
        meet = (
            f"At its own screen, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows the fingerprint; compare it with the"
            f" one that `ssh -o HostKeyAlias={host} {where}` shows, and say yes only if they are the same."
        )
        if one.cause == "key_changed":
            return (
                f"{host}: the machine at {one.address} has another host key than the one known for {host}. It is another"
                f" machine, or {host} was installed anew. In the latter case forget the old key with `ssh-keygen -R {host}` and"
                f" meet it again. {meet} Nothing was done there."
            )
        if one.cause == "key_unknown":
            return (
                f"{host}: the host key of {one.address} is not known here under the name {host}. {meet} Nothing was done there."
            )
        if one.cause == "denied":
            return (
                f"{host} answers at {one.address} and refuses the login: {one.words}. Look at ansible_user, and whether this"
                f" machine's key is in ~/.ssh/authorized_keys there: `ssh -o HostKeyAlias={host} {where}`."
            )
    first = attempts[0].address if attempts else host
    woken = f" It was sent a wake-up packet and stayed silent for {waited:.0f} s." if waited else ""
    return (
        f"{tried(host, attempts)}.{woken} It is not one that may be away (fleet_plan_optional), so this is an error. Look whether"
        f" it has power and network, whether Remote Login is on, and whether `ssh -o HostKeyAlias={host} {login}{first}` works"
        " from here."
    )


def answer_sentence(host: str, address: str, attempts: Sequence[Attempt], *, woken: bool = False) -> str:
    """Say by which address the host is reached, and what is wrong with those before it."""
    others = ", ".join(f"{one.address}: {one.clause()}" for one in attempts if one.cause != "answered")
    return f"{host} {'woke up and ' if woken else ''}answers at {address}" + (f" ({others})" if others else "")


def magic_packet(address: str) -> bytes:
    """Build the packet that wakes the network card with this hardware address: six times 0xFF, sixteen times the address."""
    digits = re.sub(r"[:.\-]", "", address.strip().lower())
    if not _MAC.fullmatch(digits):
        message = f"{address!r} is no hardware address; write it as `ifconfig en0` prints it, such as 3c:22:fb:0a:1b:2c"
        raise ValueError(message)
    return b"\xff" * 6 + bytes.fromhex(digits) * 16
