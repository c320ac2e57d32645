"""Which faults there are, and how the controller's own are brought about."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from mac.commands.faults import FAULTS as COMMAND_FAULTS
from mac.commands.faults import applied
from mac.launchd.faults import FAULTS as LAUNCHD_FAULTS
from ollama.faults import FAULTS as OLLAMA_FAULTS
from registry.faults import FAULTS as REGISTRY_FAULTS

from controller.enter import FAULTS as FAULTS_FILE
from controller.enter import faults as known_faults
from controller.image import DEVELOPER_TOOLS, HOMEBREW
from controller.state import LabError

REGISTRY = "registry"
_ANY_HOST = {
    "disk-full": "the disk has no room left; a number is the bytes that stay free",
    "lan-down": "its cable in the LAN is pulled: no packet, its .local name is gone, ssh to it there gets no answer",
    "offline": "no way to the internet (here: the registry) and to other networks; LAN and tailnet stay",
    "ssh-cut": "an event: ends every ssh connection to the host this moment; the next one works",
    "tailnet-down": "the tailnet is lost to it: no packet, ssh to its address there gets no answer",
    "unreachable": "ssh to the host times out; its network stays",
}
_ANY_MAC = {
    "no-clt": "the Command Line Tools are not installed: python3 only asks for them",
    "no-homebrew": "Homebrew is not installed",
}
_MOVED_ASIDE = {"no-clt": Path(DEVELOPER_TOOLS), "no-homebrew": Path(HOMEBREW)}


def catalogue() -> dict[str, dict[str, str]]:
    """List every fault by the part that brings it about."""
    return {
        "any host": _ANY_HOST,
        "a Mac": _ANY_MAC,
        "launchd": LAUNCHD_FAULTS,
        "commands": COMMAND_FAULTS,
        "ollama": OLLAMA_FAULTS,
        REGISTRY: REGISTRY_FAULTS,
    }


def names_for(host: str, *, mac: bool) -> set[str]:
    """List the faults that one host can have."""
    if host == REGISTRY:
        return set(REGISTRY_FAULTS)
    parts = ["any host", "a Mac", "launchd", "commands", "ollama"] if mac else ["any host"]
    return {name for part in parts for name in catalogue()[part]}


def check(name: str, host: str, *, mac: bool) -> None:
    """Refuse a fault that the host cannot have."""
    if name not in names_for(host, mac=mac):
        raise LabError(f"{host} has no fault {name!r}: `lab/lab fault --list` names them all.")


def parse_value(text: str) -> object:
    """Read on, off or a JSON value."""
    if text in ("on", "off"):
        return text == "on"
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise LabError(f"{text!r} is neither on, off nor a JSON value.") from error


def free_bytes(value: object) -> int | None:
    """Give what `disk-full` leaves free; None: the whole disk."""
    if value is False:
        return None
    return 0 if value is True or not isinstance(value, int) else value


def with_fault(known: dict[str, object], name: str, value: object) -> dict[str, object]:
    """Give the set faults after one was switched; off means not there."""
    rest = {key: old for key, old in known.items() if key != name}
    return rest if value is False or value is None else {**rest, name: value}


def write(file: Path, name: str, value: object) -> None:
    """Switch a fault in a faults.json, in one step for its readers."""
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    draft = file.with_name(".faults.draft")
    draft.write_text(json.dumps(with_fault(known, name, value), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(file)


def switch_inside(name: str, value: object) -> int:
    """Bring a fault about, inside the host."""
    on = value is not False and value is not None
    if name == "ssh-cut":
        if on:
            cut_ssh()
        return 0
    if name in _MOVED_ASIDE and on != bool(known_faults().get(name)):
        place = _MOVED_ASIDE[name]
        aside = place.with_name(f".{place.name}.aside")
        (place if on else aside).rename(aside if on else place)
    write(FAULTS_FILE, name, value)
    if name in ("unreachable", "lan-down", "tailnet-down") and on:
        # A host that has gone away takes the connections with it that were open before.
        cut_ssh()
    applied(name, on)
    return 0


def switch_registry(file: Path, name: str, value: object) -> int:
    """Bring a fault of the registry about, inside the lab."""
    write(file, name, value)
    return 0


def cut_ssh() -> None:
    """Kill every sshd of this host, as a network that goes away would end it."""
    for entry in os.listdir("/proc"):  # noqa: PTH208  names are wanted, not paths
        if not entry.isdigit():
            continue
        try:
            if Path(f"/proc/{entry}/comm").read_text().startswith("sshd"):
                os.kill(int(entry), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue
