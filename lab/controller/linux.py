"""The few Linux system calls the lab needs and Python 3.11 has no name for."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_ALL = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2
PR_SET_PDEATHSIG = 1

# pivot_root has no wrapper in the C library; the number differs per architecture (asm/unistd.h).
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: {what}")


def _bytes(text: str | Path | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def unshare(flags: int) -> None:
    """Move this process (for a PID namespace: its future children) into fresh namespaces."""
    _call("unshare", _libc.unshare(flags))


def setns(descriptor: int, flags: int) -> None:
    """Enter the namespaces of the process behind a pidfd (Linux 5.8 and later)."""
    _call("setns", _libc.setns(descriptor, flags))


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system."""
    done = _libc.mount(_bytes(source), _bytes(target), _bytes(kind) or None, ctypes.c_ulong(flags), _bytes(data) or None)
    _call(f"mount {kind or 'bind'} on {target}", done)


def bind(source: str | Path, target: str | Path, *, read_only: bool = False) -> None:
    """Show a folder or file at a second place; read-only takes a second call (mount(2), MS_BIND)."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def unmount(target: str | Path) -> None:
    """Take a mount away, even while a dying process still holds a file on it."""
    _call(f"umount {target}", _libc.umount2(_bytes(target), MNT_DETACH))


def become_root_of(folder: Path) -> None:
    """Make a mount the root of this mount namespace and let go of everything that was there before.

    pivot_root(".", ".") stacks the old root on the new one, so no folder for it is needed (pivot_root(2)).
    """
    os.chdir(folder)
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _call("pivot_root", _libc.syscall(number, b".", b"."))
    unmount(".")
    os.chdir("/")


def set_host_name(name: str) -> None:
    """Name this UTS namespace."""
    socket.sethostname(name)


def die_with_parent(number: int) -> None:
    """Ask for a signal when the process that started this one ends."""
    _call("prctl", _libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0))
