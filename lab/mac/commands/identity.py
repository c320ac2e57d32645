"""sw_vers, uname, scutil and dscl: what the Mac says about itself and its users."""

from __future__ import annotations

import os
import sys

from mac.machine import Machine, console_user, machine, path, read_state, write_state


def sw_vers(argv: list[str]) -> int:
    """Print product, version and build (sw_vers(1)); options may be written with one dash or two."""
    me = machine()
    facts = {"productName": "macOS", "productVersion": me.os_version, "buildVersion": me.build}
    if not argv:
        for name, value in facts.items():
            label = name[0].upper() + name[1:] + ":"
            print(f"{label}\t\t{value}")
        return 0
    wanted = argv[0].lstrip("-")
    if len(argv) != 1 or not argv[0].startswith("-") or wanted not in (*facts, "productVersionExtra"):
        print("Usage: sw_vers [--help|--productName|--productVersion|--productVersionExtra|--buildVersion]")
        return 0 if argv == ["--help"] else 1
    # The extra exists only while a Rapid Security Response is installed.
    print(facts.get(wanted, ""))
    return 0


def uname(argv: list[str]) -> int:
    """Print the kernel's name, host, release and hardware (uname(1)). Darwin 24 is macOS 15, 25 is 26."""
    me = machine()
    version = f"Darwin Kernel Version {me.darwin}: root:xnu/RELEASE_ARM64"
    fields = {
        "s": "Darwin",
        "n": me.local_host_name + ".local",
        "r": me.darwin,
        "v": version,
        "m": "arm64",
        "p": "arm",
    }
    letters = "".join(word[1:] for word in argv if word.startswith("-")) or "s"
    wrong = [letter for letter in letters if letter not in "amnoprsv"]
    if wrong or any(not word.startswith("-") for word in argv):
        if wrong:
            print(f"uname: illegal option -- {wrong[0]}", file=sys.stderr)
        print("usage: uname [-amnoprsv]", file=sys.stderr)
        return 1
    letters = letters.replace("o", "s").replace("a", "mnrsv")
    print(" ".join(fields[letter] for letter in "snrvmp" if letter in letters))
    return 0


_NAMES = ("ComputerName", "LocalHostName", "HostName")


def _names(me: Machine) -> dict[str, str]:
    # HostName is unset on most Macs; the .local name is LocalHostName.
    fresh = {"ComputerName": me.local_host_name, "LocalHostName": me.local_host_name}
    names: dict[str, str] = read_state("scutil", fresh)
    return names


def scutil(argv: list[str]) -> int:
    """Read or set the Mac's names, or show the console user (configd scutil.tproj/prefs.c)."""
    me = machine()
    if argv[:1] == ["--get"] and len(argv) == 2 and argv[1] in _NAMES:
        value = _names(me).get(argv[1])
        if value is None:
            print(f"{argv[1]}: not set", file=sys.stderr)
            return 1
        print(value)
        return 0
    if argv[:1] == ["--set"] and len(argv) in (2, 3) and argv[1] in _NAMES:
        if os.getuid() != 0:
            print("This command must be run as root", file=sys.stderr)
            return 1
        names = _names(me)
        names.pop(argv[1], None)
        if len(argv) == 3:
            names[argv[1]] = argv[2]
        write_state("scutil", names)
        return 0
    if not argv:
        return _scutil_session(me)
    print("usage: scutil\n\tinteractive access to the dynamic store.", file=sys.stderr)
    return 64


def _scutil_session(me: Machine) -> int:
    """Answer `show State:/Users/ConsoleUser`, the one question scripts ask on standard input."""
    user = console_user()
    for line in sys.stdin:
        words = line.split()
        if words[:1] in (["quit"], ["exit"]):
            break
        if words != ["show", "State:/Users/ConsoleUser"]:
            continue
        name, uid, gid = ("loginwindow", 0, 0) if user == "root" else (user, me.uid, 20)
        print(f"<dictionary> {{\n  GID : {gid}\n  Name : {name}\n  UID : {uid}\n}}")
    return 0


def _accounts() -> dict[str, list[str]]:
    rows = [line.split(":") for line in path("/etc/passwd").read_text(encoding="utf-8").splitlines()]
    return {row[0]: row for row in rows if len(row) == 7}


def _attributes(row: list[str]) -> dict[str, str]:
    name, _, uid, gid, gecos, home, shell = row
    return {
        "NFSHomeDirectory": home,
        "PrimaryGroupID": gid,
        "RealName": gecos.split(",")[0] or name,
        "RecordName": name,
        "UniqueID": uid,
        "UserShell": shell,
    }


def dscl(argv: list[str]) -> int:
    """Read users from the local directory node: `dscl . -read /Users/x KEY` and `-list /Users [KEY]`."""
    words = [word for word in argv if word not in ("-q", "-plist", "-raw")]
    verb = words[1].lstrip("-") if len(words) > 1 else ""
    if len(words) < 3 or words[0] not in (".", "/Local/Default", "localhost") or verb not in ("read", "list", "ls"):
        print("Usage: dscl [options] [<datasource> [<command>]]", file=sys.stderr)
        return 64
    accounts = _accounts()
    record, keys = words[2].rstrip("/"), words[3:]
    if verb in ("list", "ls") and record == "/Users":
        for name in sorted(accounts):
            value = _attributes(accounts[name]).get(keys[0]) if keys else None
            print(name if value is None else f"{name:<24} {value}")
        return 0
    name = record[len("/Users/") :] if record.startswith("/Users/") else ""
    if name not in accounts:
        # Exit 56 as captured in public fixtures: 14136 modulo 256.
        print("<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)", file=sys.stderr)
        return 56
    attributes = _attributes(accounts[name])
    for key in keys or sorted(attributes):
        if key not in attributes:
            print("No such key: " + key)
        elif " " in attributes[key]:
            print(f"{key}:\n {attributes[key]}")
        else:
            print(f"{key}: {attributes[key]}")
    return 0
