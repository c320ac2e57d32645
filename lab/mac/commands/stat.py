"""`stat` of BSD (stat(1) of macOS): formats by -f, links followed with -L only. GNU's -c does not exist there."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat as modes
import sys
from typing import Callable

USAGE = "usage: stat [-FLnq] [-f format | -l | -r | -s | -x] [-t timefmt] [file ...]"


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"({uid})"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"({gid})"


_VALUES: dict[str, Callable[[os.stat_result], str]] = {
    "Su": lambda found: _owner(found.st_uid),
    "u": lambda found: str(found.st_uid),
    "Sg": lambda found: _group(found.st_gid),
    "g": lambda found: str(found.st_gid),
    "p": lambda found: f"{found.st_mode:o}",
    "Lp": lambda found: f"{found.st_mode & 0o777:o}",
    "OLp": lambda found: f"{found.st_mode & 0o777:o}",
    "Mp": lambda found: f"{found.st_mode >> 9 & 0o7:o}",
    "Sp": lambda found: modes.filemode(found.st_mode),
    "z": lambda found: str(found.st_size),
    "m": lambda found: str(int(found.st_mtime)),
    "a": lambda found: str(int(found.st_atime)),
    "c": lambda found: str(int(found.st_ctime)),
    "i": lambda found: str(found.st_ino),
    "l": lambda found: str(found.st_nlink),
    "HT": lambda found: _kind(found.st_mode),
}


def _kind(mode: int) -> str:
    tests = (
        (modes.S_ISDIR, "Directory"),
        (modes.S_ISLNK, "Symbolic Link"),
        (modes.S_ISREG, "Regular File"),
        (modes.S_ISSOCK, "Socket"),
        (modes.S_ISFIFO, "Fifo File"),
        (modes.S_ISCHR, "Character Device"),
    )
    return next((name for test, name in tests if test(mode)), "Block Device")


_TOKEN = re.compile(r"%(?:n|t|%|N|Y|" + "|".join(sorted(_VALUES, key=len, reverse=True)) + ")")


def render(template: str, file: str, found: os.stat_result, target: str) -> str:
    """Fill a format; unknown letters stay as they are."""
    fixed = {"%n": "\n", "%t": "\t", "%%": "%", "%N": file, "%Y": target}

    def value(match: re.Match[str]) -> str:
        token = match.group()
        return fixed[token] if token in fixed else _VALUES[token[1:]](found)

    return _TOKEN.sub(value, template)


def main(argv: list[str]) -> int:
    """Print one line a file."""
    files: list[str] = []
    template, follow, newline = "", False, True
    words = iter(argv)
    for word in words:
        if word == "-f":
            template = next(words, "")
        elif word.startswith("-f"):
            template = word[2:]
        elif word in ("-L", "-n", "-q", "-F"):
            follow, newline = follow or word == "-L", newline and word != "-n"
        elif word == "--":
            files.extend(words)
        elif word.startswith("-") and len(word) > 1:
            print(f"stat: illegal option -- {word[1]}\n{USAGE}", file=sys.stderr)
            return 1
        else:
            files.append(word)
    template = template or "%i %Sp %l %Su %Sg %z %m %N"
    failed = 0
    for file in files:
        try:
            found = os.stat(file) if follow else os.lstat(file)  # noqa: PTH116  names stay as they were typed
        except OSError as error:
            print(f"stat: {file}: stat: {os.strerror(error.errno or 0)}", file=sys.stderr)
            failed = 1
            continue
        target = os.readlink(file) if modes.S_ISLNK(found.st_mode) else ""  # noqa: PTH115
        sys.stdout.write(render(template, file, found, target) + ("\n" if newline else ""))
    return failed
