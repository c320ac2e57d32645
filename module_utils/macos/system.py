"""Read the machine itself: Homebrew's links, the firewall's lists, who listens, memory and version."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import time
from datetime import datetime, timezone
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .commands import Answer, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet.application_firewall import (
        GETTERS,
        Firewall,
        is_managed_refusal,
        parse_identifier,
        parse_rules,
        parse_state,
        parse_switches,
    )
    from fleet.homebrew import Keg
    from fleet.permissions import Place
    from fleet.tailnet import in_tailnet
    from fleet.versions import is_older, order
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet.application_firewall import (
        GETTERS,
        Firewall,
        is_managed_refusal,
        parse_identifier,
        parse_rules,
        parse_state,
        parse_switches,
    )
    from ansible.module_utils.fleet.homebrew import Keg
    from ansible.module_utils.fleet.permissions import Place
    from ansible.module_utils.fleet.tailnet import in_tailnet
    from ansible.module_utils.fleet.versions import is_older, order
    from ansible.module_utils.fleet.vocabulary import Unknown


REFUSED = ".ollama-fleet-refused"
"""A file in a keg that was tried and taken back, with the reason; it goes with the keg."""

UNPROVED = ".ollama-fleet-unproved"
"""A file in a keg that was linked and has not proved itself yet, with the version to go back to."""

PRESSURE_LEVEL = "kern.memorystatus_vm_pressure_level"
"""Readable by everybody and left out of `sysctl -a` (xnu, bsd/kern/kern_memorystatus_notify.c)."""

SOMEWHERE = ("192.0.2.0/24", "2001:db8::/32")
"""Networks of nobody (RFC 5737, RFC 3849): the way to them is the way to the internet."""

SOCKETFILTERFW = "/usr/libexec/ApplicationFirewall/socketfilterfw"


def read_keg(prefix: str, formula: str, program: str) -> Keg:
    """Read Homebrew's links: `opt/FORMULA` names the linked keg, the Cellar holds the versions. brew is not started."""
    root = Path(prefix)
    cellar = root / "Cellar" / formula
    kegs = [path for path in cellar.iterdir() if path.is_dir()] if cellar.is_dir() else []
    opt = root / "opt" / formula
    linked = opt.resolve().name if opt.is_dir() else ""
    resolved = os.path.realpath(program)
    pin = root / "var" / "homebrew" / "pinned" / formula
    return Keg(
        brew=os.access(root / "bin" / "brew", os.X_OK),
        installed=tuple(sorted((keg.name for keg in kegs), key=order)),
        linked=linked,
        program=resolved if os.access(resolved, os.X_OK) else "",
        pinned=pin.is_symlink(),
        pin=pin.resolve().name if pin.is_dir() else "",
        runner=_has_runner(Path(resolved), linked) if os.access(resolved, os.X_OK) else None,
        unproved=_note(cellar / linked / UNPROVED) if linked else "",
        refused=tuple((keg.name, _note(keg / REFUSED)) for keg in sorted(kegs) if (keg / REFUSED).is_file()),
    )


RUNNER_SINCE = "0.30"
"""From this version on a model is loaded by a llama-server beside the program; before, `ollama runner` was the runner."""


def _has_runner(program: Path, version: str) -> bool | None:
    """Tell whether llama-server lies where Ollama looks for it, from its resolved program (llm/llama_binary.go, 0.32)."""
    if not version or is_older(version, RUNNER_SINCE):
        return None
    places = (program.parent, program.parent / "lib" / "ollama", program.parent.parent / "lib" / "ollama")
    return any(os.access(place / "llama-server", os.X_OK) for place in places)


def _note(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""


MANAGED_SCRIPT = "$.NSUserDefaults.alloc.initWithSuiteName('com.apple.security.firewall').objectIsForcedForKey('EnableFirewall')"
"""What the macOS Security Compliance Project asks in JavaScript (osascript -l) before it sets anything."""


def read_firewall() -> Firewall:
    """Read state, switches and rules of the application firewall; readers need no root (macOS 15 to 27).

    `--getappblocked` is not asked: it calls a program without a rule permitted. One call asks everything; where it does not
    answer everything (no capture is older than macOS 26), each question is put alone.
    """
    answer = run([SOCKETFILTERFW, *GETTERS])
    said = answer.out
    if answer.rc != 0 or isinstance(parse_state(said), Unknown):
        answers = {getter: run([SOCKETFILTERFW, getter]) for getter in GETTERS}
        said = "\n".join(one.out for one in answers.values())
        listing = answers["--listapps"]
        if listing.rc != 0:
            return Firewall(Unknown(f"socketfilterfw --listapps: {listing.said}"))
    # On some versions a managed Mac answers the readers, too, with its refusal.
    managed = is_managed_refusal(said) or is_forced(run(["/usr/bin/osascript", "-l", "JavaScript", "-e", MANAGED_SCRIPT]))
    return Firewall(parse_state(said), parse_rules(said), parse_switches(said), managed)


def is_forced(answer: Answer) -> bool:
    """Tell a firewall that a profile decides; no answer counts as no, for then the tool itself will refuse."""
    return answer.rc == 0 and answer.out.strip() == "true"


def read_identifiers(programs: Iterable[str]) -> dict[str, str]:
    """Return the code identifier of each program that has one; `codesign -dv` writes to stderr."""
    identifiers = {program: parse_identifier(run(["/usr/bin/codesign", "-dv", program]).err) for program in programs}
    return {program: identifier for program, identifier in identifiers.items() if identifier}


def read_places(paths: Iterable[str]) -> dict[str, Place]:
    """Return mode and owner of each path, of the folders above it, and of what lies directly in it; what is absent is left out.

    A folder is as safe as the one above it: who may write there may put another in its place.
    """
    wanted: dict[str, None] = {}
    for path in paths:
        own = Path(os.path.realpath(path))
        wanted.update(dict.fromkeys(str(place) for place in (own, *own.parents)))
    return {path: place for path in wanted for place in _place(path)}


def read_inside(folders: Iterable[str], limit: int = 200) -> dict[str, Place]:
    """Return mode and owner of what lies in these folders at any depth, at most `limit` entries each; links are left out."""
    found: dict[str, Place] = {}
    for folder in folders:
        entries = (path for path in sorted(Path(os.path.realpath(folder)).rglob("*")) if not path.is_symlink())
        for path in list(entries)[:limit]:
            found.update({str(path): place for place in _place(str(path))})
    return found


def _place(path: str) -> list[Place]:
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return [Place(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)]


def read_listener(port: int) -> dict[str, Any]:
    """Return who listens on a TCP port: `addresses`, `pids`, `commands`, and whether a connection is accepted at all.

    A plain user's lsof shows own processes only, so `open` without `pids` means: a process of somebody else.
    """
    answer = run(["/usr/sbin/lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpcn"])
    pids, commands, addresses = [], [], []
    for line in answer.out.splitlines():
        kind, value = line[:1], line[1:]
        if kind == "p":
            pids.append(int(value))
        elif kind == "c":
            commands.append(value)
        elif kind == "n":
            addresses.append(value.rpartition(":")[0])
    return {"addresses": addresses, "pids": pids, "commands": commands, "open": _accepts(port)}


def _accepts(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as client:
                client.settimeout(1)
                client.connect((address, port))
                return True
        except OSError:
            continue
    return False


def read_addresses(networks: Iterable[str] = ()) -> dict[str, Any]:
    """Return `lan`: this Mac's own addresses on the way to the internet and to these networks, without the tailnet's.

    A Mac whose router is gone has no way to the internet and still an address in its LAN. No command is run, whose output would
    have to be read.
    """
    found = dict.fromkeys(address_towards(text) for text in (*SOMEWHERE, *networks))
    return {"lan": [text for text in found if text and not in_tailnet(text) and not ip_address(text).is_loopback]}


def address_towards(text: str) -> str:
    """Return the Mac's own address on the way to a network, "" when there is none; nothing is sent."""
    try:
        network = ip_network(text)
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as question:
            question.connect((str(network.network_address + 1), 9))
            return str(question.getsockname()[0]).partition("%")[0]
    except (OSError, ValueError):
        return ""


def read_machine(store: Path) -> dict[str, Any]:
    """Return name, macOS version, memory, its pressure, swap, start, present time, and the disk where models are stored.

    Sizes are bytes, times ISO 8601, the pressure is 1 (normal), 2 (warning) or 4 (critical).
    """
    while not store.exists() and store != store.parent:
        store = store.parent
    said = run(["/usr/sbin/sysctl", "hw.memsize", "vm.swapusage", PRESSURE_LEVEL, "kern.boottime"]).out
    values = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    swap, pressure, boot = (values.get(name, "nothing") for name in ("vm.swapusage", PRESSURE_LEVEL, "kern.boottime"))
    used = re.search(r"used = ([\d.]+)M", swap)
    began = re.search(r"sec = (\d+)", boot)
    disk = shutil.disk_usage(store)
    return {
        "name": socket.gethostname(),
        "macos_version": run(["/usr/bin/sw_vers", "-productVersion"]).out.strip(),
        "memory_bytes": int(values.get("hw.memsize", 0)),
        "swap_used_bytes": round(float(used[1]) * 2**20) if used else {"unknown": f"vm.swapusage says {swap!r}"},
        "pressure_level": int(pressure) if pressure.isdigit() else {"unknown": f"{PRESSURE_LEVEL} says {pressure!r}"},
        "booted_at": _iso(int(began[1])) if began else {"unknown": f"kern.boottime says {boot!r}"},
        "observed_at": _iso(time.time()),
        "disk_free_bytes": disk.free,
        "disk_total_bytes": disk.total,
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_kinds(paths: Iterable[str]) -> dict[str, str]:
    """Return what lies at each path that is there, `file`, `folder`, `link` or `other`; OSError where that cannot be told."""
    kinds = {}
    for path in paths:
        place = Path(path).expanduser()
        try:
            mode = place.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        tests = (("link", stat.S_ISLNK), ("folder", stat.S_ISDIR), ("file", stat.S_ISREG))
        kinds[str(place)] = next((kind for kind, is_one in tests if is_one(mode)), "other")
    return kinds
