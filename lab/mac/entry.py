"""The door to every stand-in command: `entry.py NAME ARGUMENT...`.

Each command is a two-line shell file at its true path which starts this file. Only the asked command's
module is imported: a stand-in has to start in a few hundredths of a second, as the real ones do.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Callable

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  pathlib costs 5 ms
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)

PYTHON = "/opt/virtual-mac/python"
ENTRY = "/opt/virtual-mac/lib/mac/entry.py"

# Absolute path on the Mac -> name. brew is not here: Homebrew brings its own `bin/brew` (commands.brew.layout).
COMMANDS: dict[str, str] = {
    "/bin/launchctl": "launchctl",
    "/sbin/pfctl": "pfctl",
    "/usr/bin/caffeinate": "caffeinate",
    "/usr/bin/codesign": "codesign",
    "/usr/bin/defaults": "defaults",
    "/usr/bin/dscl": "dscl",
    "/usr/bin/fdesetup": "fdesetup",
    "/usr/bin/log": "log",
    "/usr/bin/memory_pressure": "memory_pressure",
    "/usr/bin/osascript": "osascript",
    "/usr/bin/plutil": "plutil",
    "/usr/bin/pmset": "pmset",
    "/usr/bin/powermetrics": "powermetrics",
    "/usr/bin/stat": "stat",
    "/usr/bin/sw_vers": "sw_vers",
    "/usr/bin/uname": "uname",
    "/usr/bin/vm_stat": "vm_stat",
    "/usr/bin/xcode-select": "xcode-select",
    "/usr/libexec/ApplicationFirewall/socketfilterfw": "socketfilterfw",
    "/usr/local/bin/tailscale": "tailscale",
    "/usr/sbin/lsof": "lsof",
    "/usr/sbin/newsyslog": "newsyslog",
    "/usr/sbin/pkgutil": "pkgutil",
    "/usr/sbin/scutil": "scutil",
    "/usr/sbin/softwareupdate": "softwareupdate",
    "/usr/sbin/sysctl": "sysctl",
}

# Name -> module and function.
PROGRAMS: dict[str, tuple[str, str]] = {
    "alfd": ("mac.commands.alfd", "main"),
    "brew": ("mac.commands.brew.cli", "main"),
    "caffeinate": ("mac.commands.power", "caffeinate"),
    "codesign": ("mac.commands.software", "codesign"),
    "defaults": ("mac.commands.session", "defaults"),
    "dscl": ("mac.commands.identity", "dscl"),
    "fdesetup": ("mac.commands.session", "fdesetup"),
    "launchctl": ("mac.launchd.launchctl", "main"),
    "log": ("mac.commands.session", "log"),
    "lsof": ("mac.commands.lsof", "main"),
    "memory_pressure": ("mac.commands.memory", "memory_pressure"),
    "newsyslog": ("mac.commands.newsyslog", "main"),
    "osascript": ("mac.commands.session", "osascript"),
    "pfctl": ("mac.commands.pfctl", "main"),
    "pkgutil": ("mac.commands.software", "pkgutil"),
    "plutil": ("mac.commands.plutil", "main"),
    "pmset": ("mac.commands.power", "pmset"),
    "powermetrics": ("mac.commands.powermetrics", "main"),
    "scutil": ("mac.commands.identity", "scutil"),
    "socketfilterfw": ("mac.commands.socketfilterfw", "main"),
    "softwareupdate": ("mac.commands.software", "softwareupdate"),
    "stat": ("mac.commands.stat", "main"),
    "sw_vers": ("mac.commands.identity", "sw_vers"),
    "sysctl": ("mac.commands.memory", "sysctl"),
    "tailscale": ("mac.commands.tailscale", "main"),
    "tailscaled": ("mac.commands.tailscaled", "main"),
    "uname": ("mac.commands.identity", "uname"),
    "vm_stat": ("mac.commands.memory", "vm_stat"),
    "xcode-select": ("mac.commands.software", "xcode_select"),
}

# What a Mac's own /System/Library/LaunchDaemons starts at boot: label -> arguments.
SYSTEM_JOBS: dict[str, list[str]] = {
    "com.apple.alf": [PYTHON, ENTRY, "alfd"],
    # Loads the rules, does not enable the filter (com.apple.pfctl.plist, macOS 10.10 and later).
    "com.apple.pfctl": ["/sbin/pfctl", "-f", "/etc/pf.conf"],
    "com.tailscale.tailscaled": [PYTHON, ENTRY, "tailscaled"],
}
_RUNS_ONCE = {"com.apple.pfctl"}


def system_job(label: str) -> dict[str, object]:
    """Give the property list of a boot job."""
    return {
        "Label": label,
        "ProgramArguments": SYSTEM_JOBS[label],
        "RunAtLoad": True,
        "KeepAlive": label not in _RUNS_ONCE,
    }


def program(name: str) -> Callable[[list[str]], int]:
    """Import the one command that was asked for."""
    module, function = PROGRAMS[name]
    found: Callable[[list[str]], int] = getattr(__import__(module, fromlist=[function]), function)
    return found


def _note(name: str, argv: list[str], code: int, started: float) -> None:
    from mac.machine import journal

    journal(name, argv=argv, rc=code, seconds=round(time.monotonic() - started, 3))


def main(argv: list[str]) -> int:
    """Run a command and note its call in the journal."""
    if not argv or argv[0] not in PROGRAMS:
        print("usage: entry.py NAME [ARGUMENT ...]; names: " + " ".join(sorted(PROGRAMS)), file=sys.stderr)
        return 64
    name, arguments = argv[0], argv[1:]
    started = time.monotonic()
    code = 1
    try:
        code = program(name)(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (`| head -1`); what remains must not be flushed at exit. 141 = 128 + SIGPIPE.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        raise
    finally:
        _note(name, arguments, code, started)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
