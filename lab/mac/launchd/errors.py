"""The numbers launchd answers with, and their texts, as `launchctl error N` tells them.

107-158 agree in three independent tables (sLaunchctl Error.swift, Darling's xpc error table, and an
enumeration with `launchctl error` on macOS 26.5.1); below that they are Darwin's errno, which is not
Linux's: 36 is EINPROGRESS.
"""

from __future__ import annotations

EPERM = 1
ENOENT = 2
ESRCH = 3
EIO = 5
EINPROGRESS = 36
EALREADY = 37
EX_USAGE = 64
BAD_PLIST = 109
NO_PROGRAM = 111
NO_DOMAIN = 112
NO_SERVICE = 113
NO_USER = 114
NO_GROUP = 115
DISABLED = 119
BAD_OWNERSHIP = 122
TEARING_DOWN = 124
UNSUPPORTED = 125
MULTIPLE = 133
WRONG_SESSION = 134

_TEXTS: dict[int, str] = {
    0: "no error",
    1: "Operation not permitted",
    2: "No such file or directory",
    3: "No such process",
    4: "Interrupted system call",
    5: "Input/output error",
    9: "Bad file descriptor",
    12: "Cannot allocate memory",
    13: "Permission denied",
    17: "File exists",
    20: "Not a directory",
    21: "Is a directory",
    22: "Invalid argument",
    36: "Operation now in progress",
    37: "Operation already in progress",
    78: "Function not implemented",
    107: "Malformed bundle",
    108: "Invalid path",
    109: "Invalid property list",
    110: "Invalid or missing service identifier",
    111: "Invalid or missing Program/ProgramArguments",
    112: "Could not find specified domain",
    113: "Could not find specified service",
    114: "The specified username does not exist",
    115: "The specified group does not exist",
    119: "Service is disabled",
    122: "Path had bad ownership/permissions",
    124: "Domain is tearing down",
    125: "Domain does not support specified action",
    133: "Multiple errors were returned; see stderr",
    134: "Service cannot load in requested session",
    138: "Service cannot be loaded on this hardware",
    139: "Service cannot presently execute",
    150: "Operation not permitted while System Integrity Protection is engaged",
    152: "Service cannot be loaded in current boot environment",
    155: "Refusing to execute/trust quarantined program/file",
    158: "Service cannot be loaded on current os variant",
}

# sysexits(3), which is how `print` words a job's exit code from 64 to 78.
SYSEXITS: dict[int, str] = {
    64: "EX_USAGE",
    65: "EX_DATAERR",
    66: "EX_NOINPUT",
    67: "EX_NOUSER",
    68: "EX_NOHOST",
    69: "EX_UNAVAILABLE",
    70: "EX_SOFTWARE",
    71: "EX_OSERR",
    72: "EX_OSFILE",
    73: "EX_CANTCREAT",
    74: "EX_IOERR",
    75: "EX_TEMPFAIL",
    76: "EX_PROTOCOL",
    77: "EX_NOPERM",
    78: "EX_CONFIG",
}


def text(number: int) -> str:
    """Give the text of a number; launchd calls those it has no words for unknown."""
    return _TEXTS.get(number, f"Unknown error: {number}")


def numbered(number: int) -> str:
    """Give number and text the way every message carries them."""
    return f"{number}: {text(number)}"
