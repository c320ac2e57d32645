"""pmset and caffeinate: when the Mac sleeps, and what keeps it awake."""

from __future__ import annotations

import os
import random
import sys
from typing import NamedTuple

from mac.machine import fault, journal, locked, machine, read_state, write_state

Settings = dict[str, dict[str, int]]

# System-wide, not per power source.
_SYSTEM_KEYS = {"disablesleep": "SleepDisabled"}
_NUMBERS = ("sleep", "disksleep", "displaysleep", "standbydelaylow", "standbydelayhigh", "highstandbythreshold")
_SWITCHES = (
    "acwake",
    "autopoweroff",
    "autorestart",
    "gpuswitch",
    "halfdim",
    "lessbright",
    "lidwake",
    "networkoversleep",
    "powernap",
    "proximitywake",
    "ring",
    "standby",
    "tcpkeepalive",
    "ttyskeepawake",
    "womp",
)
_MODES = ("powermode", "lowpowermode", "highpowermode")
_SOURCES = {"-c": ["AC Power"], "-b": ["Battery Power"], "-u": ["UPS Power"], "-a": ["Battery Power", "AC Power"]}
USAGE = "Usage: pmset <options>"


class Kind(NamedTuple):
    """What a sort of Mac can do, and how it comes out of the box."""

    sources: list[str]
    capabilities: list[str]
    defaults: dict[str, int]


# Mac mini: the sample of a mini on macOS 14 (ezone.co.uk); a MacBook adds the lid, standby and low power mode.
DESKTOP = Kind(
    ["AC Power"],
    [
        "displaysleep",
        "disksleep",
        "sleep",
        "womp",
        "autorestart",
        "powernap",
        "standby",
        "ttyskeepawake",
        "networkoversleep",
        "tcpkeepalive",
    ],
    {
        "autorestart": 0,
        "disksleep": 10,
        "displaysleep": 10,
        "networkoversleep": 0,
        "powernap": 1,
        "sleep": 1,
        "standby": 0,
        "tcpkeepalive": 1,
        "ttyskeepawake": 1,
        "womp": 1,
    },
)
LAPTOP = Kind(
    ["Battery Power", "AC Power"],
    [
        "displaysleep",
        "disksleep",
        "sleep",
        "womp",
        "powernap",
        "standby",
        "ttyskeepawake",
        "networkoversleep",
        "tcpkeepalive",
        "lidwake",
        "lessbright",
        "hibernatemode",
        "lowpowermode",
    ],
    {
        "disksleep": 10,
        "displaysleep": 2,
        "hibernatemode": 3,
        "lessbright": 1,
        "lidwake": 1,
        "lowpowermode": 0,
        "networkoversleep": 0,
        "powernap": 1,
        "sleep": 1,
        "standby": 1,
        "tcpkeepalive": 1,
        "ttyskeepawake": 1,
        "womp": 1,
    },
)


# What a VM on macOS 15.6.1 did not have.
VIRTUAL_LACKS = ["autorestart", "lidwake", "lowpowermode", "womp"]


def _kind() -> Kind:
    kind = LAPTOP if machine().kind == "laptop" else DESKTOP
    lacks = fault("pmset-lacks", [])
    lacking = VIRTUAL_LACKS if lacks is True else lacks
    return kind._replace(capabilities=[name for name in kind.capabilities if name not in lacking])


def _shuffled(names: list[str]) -> list[str]:
    """Give names as pmset does: in the order of a hash table, another one each time, so that no reader comes to trust it."""
    return random.sample(names, len(names))


def _settings(kind: Kind) -> Settings:
    fresh: Settings = {source: dict(kind.defaults) for source in kind.sources}
    kept: Settings = read_state("pmset", fresh)
    return kept


def live(kind: Kind, settings: Settings) -> list[str]:
    """Give `pmset -g`: what this hardware has, in the order of a hash table, which is none to rely on."""
    lines = ["System-wide power settings:"]
    system = settings.get("System", {})
    lines += [f" {name}\t\t{value}" for name, value in sorted(system.items())]
    lines.append("Currently in use:")
    inuse = {key: value for key, value in settings["AC Power"].items() if key in kind.capabilities}
    shown: dict[str, str] = {key: str(value) for key, value in inuse.items()}
    shown["Sleep On Power Button"] = "1"
    if inuse.get("hibernatemode"):
        shown["hibernatefile"] = "/var/vm/sleepimage"
    if inuse.get("sleep") == 0:
        shown["sleep"] += " (sleep prevented by powerd)"
    lines += [f" {key:<20} {shown[key]}" for key in _shuffled(list(shown))]
    return lines


def custom(kind: Kind, settings: Settings) -> list[str]:
    """Give `pmset -g custom`: the preferences of every source, with keys that the hardware lacks."""
    lines: list[str] = []
    for source in kind.sources:
        lines.append(source + ":")
        lines += [f" {key:<20} {settings[source][key]}" for key in _shuffled(list(settings[source]))]
    return lines


def _get(words: list[str], kind: Kind) -> int:
    what = words[0] if words else "live"
    settings = _settings(kind)
    if what == "live":
        print("\n".join(live(kind, settings)))
    elif what in ("custom", "disk"):
        print("\n".join(custom(kind, settings)))
    elif what == "cap":
        print("Capabilities for AC Power:")
        for name in kind.capabilities:
            print(" " + name)
    elif what in ("ps", "batt"):
        print("Now drawing from 'AC Power'")
        if "Battery Power" in kind.sources:
            print(" -InternalBattery-0 (id=22151267)\t100%; charged; 0:00 remaining present: true")
    elif what == "assertions":
        print("Assertion status system-wide:")
        for name in ("BackgroundTask", "PreventUserIdleSystemSleep", "PreventSystemSleep"):
            print(f"   {name:<30} 0")
        print("Listed by owning process:")
    elif what in ("log", "sched", "therm", "history"):
        pass
    else:
        print(USAGE)
        return 1
    return 0


class _UsageError(Exception):
    """Words that pmset does not understand."""


def change(settings: Settings, kind: Kind, argv: list[str]) -> Settings:
    """Apply `[-a|-b|-c|-u] KEY VALUE ...` to the settings.

    A key that the hardware lacks is stored without a word (pmset.m makes no check for numeric keys): it shows
    in `-g custom`, never in `-g`. The modes of power are the exception.
    """
    changed = {source: dict(values) for source, values in settings.items()}
    sources = kind.sources
    words = list(argv)
    if not words:
        raise _UsageError
    while words:
        word = words.pop(0)
        if word in _SOURCES:
            sources = [source for source in _SOURCES[word] if source in kind.sources]
            continue
        if not words or not words[0].isdigit():
            raise _UsageError
        value = int(words.pop(0))
        if word in _SYSTEM_KEYS:
            changed.setdefault("System", {})[_SYSTEM_KEYS[word]] = int(value != 0)
        elif word in _NUMBERS:
            for source in sources:
                changed[source][word] = value
        elif word in _SWITCHES:
            for source in sources:
                changed[source][word] = int(value != 0)
        elif (word == "hibernatemode" and value in (0, 3, 25)) or (word in _MODES and word in kind.capabilities):
            for source in sources:
                changed[source][word] = value
        elif word in _MODES:
            raise _UsageError("{} not supported on {}".format(word, sources[0] if sources else "AC Power"))
        else:
            raise _UsageError
    return changed


def warnings(settings: Settings) -> list[str]:
    """Give the two lines pmset writes when the display or the disk would stay awake longer than the Mac."""
    for values in (value for source, value in settings.items() if source != "System"):
        sleep, display, disk = (values.get(name, 0) for name in ("sleep", "displaysleep", "disksleep"))
        if sleep > 0 and (display > sleep or display == 0 or disk == 0):
            return [
                'Warning: Idle sleep timings for "AC Power" may not behave as expected.',
                "- Display sleep should have a lower timeout than system sleep.",
            ]
    return []


def pmset(argv: list[str]) -> int:
    """Show or change the power settings (PowerManagement pmset.m). Success says nothing, changed or not."""
    kind = _kind()
    if argv[:1] == ["-g"]:
        return _get(argv[1:], kind)
    if os.getuid() != 0:
        return _refused(argv, kind)
    try:
        with locked("pmset"):
            settings = change(_settings(kind), kind, argv)
            write_state("pmset", settings)
    except _UsageError as reason:
        return _usage(reason)
    if any(values.get("tcpkeepalive") == 0 for values in settings.values()) and "tcpkeepalive" in argv:
        print("Warning: This option disables TCP Keep Alive mechanism when system is sleeping.")
    for line in warnings(settings):
        print(line, file=sys.stderr)
    return 0


def _usage(reason: _UsageError) -> int:
    if str(reason):
        print(reason)
    print(USAGE)
    return 1


def _refused(argv: list[str], kind: Kind) -> int:
    """Answer somebody who is not root, after the words have been read."""
    try:
        change(_settings(kind), kind, argv)
    except _UsageError as reason:
        return _usage(reason)
    print("'pmset' must be run as root...")
    # disablesleep takes another path through pmset.m and says success all the same.
    return 0 if any(word in _SYSTEM_KEYS for word in argv) else 1


def caffeinate(argv: list[str]) -> int:
    """Hold the Mac awake while something runs: the caller's process becomes the utility (caffeinate.c)."""
    words = list(argv)
    seconds = None
    watched = None
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in ("-t", "-w"):
            if not words or not words[0].isdigit():
                print("usage: caffeinate [-disu] [-t timeout] [-w Process ID] [command arguments...]", file=sys.stderr)
                return 1
            number = int(words.pop(0))
            seconds, watched = (number, watched) if word == "-t" else (seconds, number)
        elif not set(word[1:]) <= set("disum"):
            print("usage: caffeinate [-disu] [-t timeout] [-w Process ID] [command arguments...]", file=sys.stderr)
            return 1
    if words:
        journal("caffeinate", argv=argv, rc=None)
        try:
            os.execvp(words[0], words)
        except OSError as error:
            print(f"caffeinate: {words[0]}: {error.strerror}", file=sys.stderr)
            return 127 if isinstance(error, FileNotFoundError) else 126
    _hold(seconds, watched)
    return 0


def _hold(seconds: object, watched: object) -> None:
    """Wait for the time to pass or the watched process to end; with neither, for a signal."""
    import signal
    import time

    deadline = time.monotonic() + seconds if isinstance(seconds, int) else None
    while deadline is None or time.monotonic() < deadline:
        if isinstance(watched, int):
            try:
                os.kill(watched, 0)
            except ProcessLookupError:
                return
            except PermissionError:
                pass
        elif deadline is None:
            signal.pause()
        time.sleep(0.1)
