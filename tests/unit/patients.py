"""The Mac of the examples before the doctor: healthy, looked at with details, and asked by two other machines."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from ansible.module_utils.fleet.doctor import diagnose
from ansible.module_utils.fleet.doctor_patient import Diagnosis, Reach
from ansible.module_utils.fleet.doctor_reach import reaches
from ansible.module_utils.fleet.matrix import Asker
from ansible.module_utils.fleet.plan import judge
from ansible.module_utils.fleet.reach import Server

from . import examples
from .examples import HOME, KEG_PROGRAM

HOST = "mac-mini"
NOW = "2026-11-26T12:00:00Z"
ERR = "/tmp/ollama.err.log"  # noqa: S108  the path of the owner's documentation
PID = 3438
STORE = f"{HOME}/.ollama/models"


def process(pid: int, parent: int, command: str, **changes: Any) -> dict[str, Any]:
    """Return a process that started a day ago."""
    made = {"pid": pid, "parent": parent, "user": "felipe", "resident_bytes": 10**8, "started": "2026-11-25T12:00:00Z"}
    return {**made, "command": command, **changes}


def log(*lines: str, **changes: Any) -> dict[str, Any]:
    """Return the end of a log."""
    return {"size_bytes": 1000, "modified_at": NOW, "writable": True, "tail": list(lines), **changes}


LAUNCHD = process(1, 0, "/sbin/launchd", user="root")
SERVE = process(PID, 1, f"{KEG_PROGRAM} serve")


def observed(**parts: Any) -> dict[str, Any]:
    """Return a whole observation with details, with these parts instead; a value of None takes a part out."""
    made = {
        "processes": [LAUNCHD, SERVE],
        "supervisors": {str(PID): examples.TARGET},
        "logs": {ERR: log('time=2026-11-26T11:30:00.000Z level=INFO msg="Listening on [::]:11434 (version 0.32.15)"')},
        "job_logs": {f"{HOME}/Library/Logs/Ollama/ollama-fleet.heal.log": log()},
        "heartbeats": {"residents": "2026-11-26T11:59:30Z", "logs": "2026-11-26T11:30:00Z", "heal": "2026-11-26T11:59:40Z"},
        "damage": [],
        "closed": {"store": STORE, "user": "felipe", "paths": []},
        "machine": {
            "name": "felipes-mac-mini.local", "macos_version": "15.6", "memory_bytes": 17179869184, "swap_used_bytes": 0,
            "pressure_level": 1, "booted_at": "2026-11-20T12:00:00Z", "observed_at": NOW, "disk_free_bytes": 10**11,
            "disk_total_bytes": 10**12,
        },
    }  # fmt: skip
    whole = examples.observed(**made)
    whole["homebrew"] = {**whole["homebrew"], "runner": True}
    return {name: part for name, part in {**copy.deepcopy(whole), **parts}.items() if part is not None}


def changed(part: str, **values: Any) -> dict[str, Any]:
    """Return an observation in which some values of one part are others."""
    return observed(**{part: {**observed()[part], **values}})


def job(**values: Any) -> dict[str, Any]:
    """Return the `launchd` part in which the job of the service is otherwise."""
    launchd = observed()["launchd"]
    first, *others = launchd["jobs"]
    return {**launchd, "jobs": [{**first, **values}, *others]}


def stopped(**values: Any) -> dict[str, Any]:
    """Return the parts of a Mac whose service has no process, and so serves nothing."""
    return {
        "launchd": job(pid=None, **values),
        "listener": {"addresses": [], "pids": [], "commands": [], "open": False},
        "server": {"version": None},
        "models": {**observed()["models"], "loaded": []},
        "processes": [LAUNCHD],
    }


def answer(network: str = "local", found: str = "reached", **changes: Any) -> dict[str, Any]:
    """Return what a machine was answered by the Mac of the examples."""
    url, source = {
        "local": ("http://felipes-mac-mini.local:11434", "192.168.1.21"),
        "tailnet": ("http://100.115.10.14:11434", "100.125.165.107"),
    }[network]
    made = {
        "server": HOST, "url": url, "network": network, "kind": "version", "what": "its version", "found": found,
        "status": 200 if found == "reached" else None, "source": source, "peer": "192.168.1.20",
        "error": "" if found == "reached" else found, "seconds": 0.1,
    }  # fmt: skip
    return {**made, **changes}


def own(**changes: Any) -> dict[str, Any]:
    """Return what the Mac answered itself when asked for a sentence."""
    made = {
        "server": HOST, "url": "http://127.0.0.1:11434", "network": "own", "kind": "completion", "found": "reached",
        "status": 200, "what": "a completion by qwen3:8b", "source": "", "peer": "", "error": "", "seconds": 0.5,
    }  # fmt: skip
    return {**made, **changes}


SERVER = Server(
    HOST, [["local", "felipes-mac-mini.local"], ["tailnet", "100.115.10.14"]], "0.0.0.0",
    [{"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"}], "lan", ["192.168.1.0/24"],
)  # fmt: skip


def reach(*answers: dict[str, Any], completion: dict[str, Any] | None = None, more: tuple[Asker, ...] = (), **look: Any) -> Reach:
    """Return what the MacBook found, and a client after it, by default that all is well."""
    asked = answers or (answer(), answer("tailnet"))
    askers = (Asker(HOST, answers=(completion or own(),)), Asker("macbook-pro", answers=asked), *more)
    server = dataclasses.replace(SERVER, **look)
    return reaches(askers, [server], {HOST: {"observation": observed()}})[HOST]


def examined(
    parts: dict[str, Any] | None = None, desired: dict[str, Any] | None = None, found: Reach | None = None
) -> tuple[Diagnosis, ...]:
    """Return what the doctor says of an observation."""
    seen, wanted = observed() if parts is None else parts, examples.desired() if desired is None else desired
    return diagnose(HOST, wanted, seen, judge(HOST, wanted, seen), reach() if found is None else found)


def ids(*arguments: Any, **named: Any) -> list[str]:
    """Return the ids alone."""
    return [one.id for one in examined(*arguments, **named)]
