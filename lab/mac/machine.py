"""Who this virtual Mac is, which faults are set, and where the stand-ins keep their state.

Everything that knows a path under `/var/db/virtual-mac` goes through here. `VIRTUAL_MAC_ROOT` moves the
whole tree, so that the stand-ins can be tried outside a Mac.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = "/var/db/virtual-mac"
MACHINE = HOME + "/machine.json"
FAULTS = HOME + "/faults.json"
SESSION = HOME + "/session.json"
STATE = HOME + "/state"
JOURNAL = HOME + "/journal"


class Machine(NamedTuple):
    """The identity of a Mac, which nothing inside it can change; defaults describe the fleet's mini."""

    name: str = "mac-mini"
    kind: str = "desktop"
    os_version: str = "15.6.1"
    build: str = "24G90"
    darwin: str = "24.6.0"
    memory_bytes: int = 17179869184
    cpus: int = 10
    model: str = "Mac16,10"
    chip: str = "Apple M4"
    local_host_name: str = "felipes-mac-mini"
    user: str = "felipe"
    uid: int = 501
    tailscale_ipv4: str = "100.115.10.14"
    tailscale_ipv6: str = "fd7a:115c:a1e0::e"
    lan_ipv4: str = "192.168.1.20"
    prefix: str = "/opt/homebrew"
    scale: float = 1
    ollama_payload: str = ""

    @property
    def os_release(self) -> tuple[int, ...]:
        """Give the macOS version as numbers: releases jump from 15 to 26, so texts must never be compared."""
        return tuple(int(part) for part in self.os_version.split("."))

    @property
    def os_major(self) -> int:
        """Give the first number of the macOS version."""
        return self.os_release[0]

    @property
    def home(self) -> str:
        """Give the login user's home folder."""
        return "/Users/" + self.user


def root() -> str:
    """Give the folder that stands for `/`."""
    return os.environ.get("VIRTUAL_MAC_ROOT", "/")


def path(absolute: str) -> Path:
    """Give the file that stands for an absolute path on the Mac."""
    return Path(root()) / absolute.lstrip("/")


def read_json(absolute: str, default: Any) -> Any:
    """Read a JSON file of the Mac; a file that is missing counts as the default."""
    try:
        text = path(absolute).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return default
    return json.loads(text)


def machine() -> Machine:
    """Read the Mac's identity; keys that a later lab adds are passed over."""
    known = read_json(MACHINE, {})
    return Machine(**{key: value for key, value in known.items() if key in Machine._fields})


def fault(name: str, default: Any = None) -> Any:
    """Give the value of a fault, or the default while it is off. Read afresh on every call."""
    value = read_json(FAULTS, {}).get(name, default)
    return default if value is False or value is None else value


def console_user() -> str:
    """Name the user at the screen; `root` at the login window, as the owner of /dev/console."""
    return read_json(SESSION, {}).get("console_user") or "root"


def read_state(name: str, default: Any) -> Any:
    """Read a stand-in's own state."""
    return read_json(f"{STATE}/{name}.json", default)


def write_atomically(target: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file in one step: a reader sees the old bytes or the new ones, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            os.fchmod(descriptor, mode)
        draft.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def write_state(name: str, value: Any) -> None:
    """Keep a stand-in's own state; it survives a reboot as the disk does."""
    text = json.dumps(value, indent=1, sort_keys=True) + "\n"
    write_atomically(path(f"{STATE}/{name}.json"), text.encode("utf-8"))


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time change a state: two runs of a tool must not lose each other's rule."""
    import fcntl

    lock = path(f"{STATE}/{name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _append(file: Path, data: bytes) -> None:
    """Append a line to a file that any user may append to.

    Opened without O_CREAT first: Linux refuses O_CREAT on another user's file in a sticky folder
    (fs.protected_regular).
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags)
    except FileNotFoundError:
        descriptor = os.open(file, flags | os.O_CREAT, 0o666)
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, 0o666)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def journal(name: str, **record: Any) -> None:
    """Note what a stand-in was asked, one JSON line each, so that a test can prove what was not started.

    A journal that cannot be written is no reason for a command to fail.
    """
    line = json.dumps({"time": round(time.time(), 3), "uid": os.getuid(), **record}) + "\n"
    with contextlib.suppress(OSError):
        _append(path(f"{JOURNAL}/{name}.log"), line.encode("utf-8"))
