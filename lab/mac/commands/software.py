"""softwareupdate, xcode-select, pkgutil and codesign: the Command Line Tools, and who signed what."""

from __future__ import annotations

import os
import sys
import time

from mac.commands import alf
from mac.machine import fault, machine, path

TOOLS = "/Library/Developer/CommandLineTools"
# Where the lab keeps the tools while a Mac is without them.
TOOLS_ASIDE = "/Library/Developer/.CommandLineTools.aside"
# softwareupdate offers the tools only while this file exists: the trick of Homebrew's install.sh.
ON_DEMAND = "/tmp/.com.apple.dt.CommandLineTools.installondemand.in-progress"  # noqa: S108  Apple's name
TOOLS_VERSION = "16.4"
TOOLS_LABEL = "Command Line Tools for Xcode-" + TOOLS_VERSION
TOOLS_PACKAGE = "com.apple.pkg.CLTools_Executables"


def has_tools() -> bool:
    """Say whether the Command Line Tools are installed."""
    return path(TOOLS + "/usr/bin").is_dir()


def offered() -> list[str]:
    """Give the rows that softwareupdate lists, two lines each."""
    rows: list[str] = []
    if not has_tools() and path(ON_DEMAND).exists():
        rows.append("* Label: " + TOOLS_LABEL)
        title = f"Command Line Tools for Xcode, Version: {TOOLS_VERSION}, Size: 894832KiB"
        rows.append(f"\tTitle: {title}, Recommended: YES, ")
    if fault("updates-available"):
        me = machine()
        version = f"{me.os_major}.{me.os_release[1] + 1 if len(me.os_release) > 1 else 1}"
        rows.append(f"* Label: macOS {version}-{me.build}")
        rows.append(f"\tTitle: macOS, Version: {version}, Size: 6504032KiB, Recommended: YES, Action: restart, ")
    return rows


def softwareupdate(argv: list[str]) -> int:
    """List and install updates (softwareupdate(8)); here the only one that can be installed are the tools."""
    words = [word for word in argv if word not in ("--verbose", "--agree-to-license", "--no-scan")]
    verb = words[0] if words else ""
    if verb in ("-l", "--list"):
        print("Software Update Tool\n\nFinding available software")
        rows = offered()
        if rows:
            print("Software Update found the following new or updated software:")
            print("\n".join(rows))
        else:
            sys.stdout.flush()
            print("No new software available.", file=sys.stderr)
        return 0
    if verb in ("-i", "--install"):
        return _install(words[1:])
    if verb == "--schedule":
        print("Automatic checking for updates is turned on")
        return 0
    print("usage: softwareupdate <cmd> [<args> ...]", file=sys.stderr)
    return 1


def _install(labels: list[str]) -> int:
    if os.getuid() != 0:
        print("softwareupdate: Must be run as root.", file=sys.stderr)
        return 1
    print("Software Update Tool\n\nFinding available software")
    wanted = [label for label in labels if not label.startswith("-")]
    rows = offered()
    everything = any(label in ("-a", "--all", "-r", "--recommended") for label in labels)
    for label in wanted:
        if "* Label: " + label not in rows:
            print(f"{label}: No such update", file=sys.stderr)
            print("No updates are available.")
            return 0
    if "* Label: " + TOOLS_LABEL in rows and (everything or TOOLS_LABEL in wanted):
        print("\nDownloading Command Line Tools for Xcode")
        if path(TOOLS_ASIDE).is_dir():
            path(TOOLS_ASIDE).rename(path(TOOLS))
        print("Downloaded Command Line Tools for Xcode\nInstalling Command Line Tools for Xcode")
        print("Done with Command Line Tools for Xcode\nDone.")
    return 0


def xcode_select(argv: list[str]) -> int:
    """Tell where the developer tools are. `--install` only asks for a dialog on the Mac's own screen."""
    word = argv[0] if argv else ""
    if word in ("-p", "--print-path"):
        if has_tools():
            print(TOOLS)
            return 0
        hint = "Use `sudo xcode-select --switch path/to/Xcode.app` to set one (or see `man xcode-select`)"
        print("xcode-select: error: Unable to get active developer directory. " + hint, file=sys.stderr)
        return 2
    if word == "--install":
        if has_tools():
            note = 'error: command line tools are already installed, use "Software Update" to install updates'
            print("xcode-select: " + note, file=sys.stderr)
            return 1
        print("xcode-select: note: install requested for command line developer tools", file=sys.stderr)
        return 0
    if word in ("-s", "--switch", "-r", "--reset"):
        if os.getuid() != 0:
            print("xcode-select: error: tool 'xcode-select' requires root", file=sys.stderr)
            return 1
        if word in ("-s", "--switch") and not (len(argv) == 2 and path(argv[1]).is_dir()):
            print("xcode-select: error: invalid developer directory '{}'".format("".join(argv[1:2])), file=sys.stderr)
            return 1
        return 0
    if word in ("-v", "--version"):
        print("xcode-select version 2410.")
        return 0
    print("xcode-select: error: no command option given", file=sys.stderr)
    return 1


def pkgutil(argv: list[str]) -> int:
    """Show an installer receipt; the tools' package is the one that scripts ask about."""
    words = " ".join(argv).replace("=", " ").split()
    if words[:1] == ["--pkgs"]:
        if has_tools():
            print(TOOLS_PACKAGE)
        return 0
    if words[:1] != ["--pkg-info"] or len(words) != 2:
        print("Usage: pkgutil [OPTIONS] [COMMANDS] ...", file=sys.stderr)
        return 1
    if words[1] != TOOLS_PACKAGE or not has_tools():
        print(f"No receipt for '{words[1]}' found at '/'.", file=sys.stderr)
        return 1
    installed = int(path(TOOLS).stat().st_mtime)
    print(f"package-id: {TOOLS_PACKAGE}\nversion: {TOOLS_VERSION}.0.0.1.1747106510\nvolume: /\nlocation: /")
    print(f"install-time: {min(installed, int(time.time()))}")
    return 0


def codesign(argv: list[str]) -> int:
    """Describe a signature: Homebrew's programs are signed ad hoc, Go's linker calls each of them `a.out`."""
    files = [word for word in argv if not word.startswith("-")]
    letters = "".join(word[1:] for word in argv if word.startswith("-") and not word.startswith("--"))
    if not files or not set(letters) & set("dvh") or ("d" not in letters and "v" not in letters):
        print("Usage: codesign -d [options] path ...", file=sys.stderr)
        return 2
    failures = 0
    for name in files:
        target = path(name)
        if not target.exists():
            print(f"{name}: No such file or directory", file=sys.stderr)
            failures = 1
        elif "d" in letters:
            resolved = alf.resolve(name)
            print(f"Executable={resolved}\nIdentifier={alf.identifier(resolved)}", file=sys.stderr)
            print("Format=Mach-O thin (arm64)", file=sys.stderr)
            if alf.is_apple(resolved):
                print("Authority=Software Signing\nTeamIdentifier=not set", file=sys.stderr)
            else:
                print("Signature=adhoc\nInfo.plist=not bound\nTeamIdentifier=not set", file=sys.stderr)
    return failures
