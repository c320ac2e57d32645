"""The Mac of the examples: one service as it should be, what launchd and the disk hold of it, one observation as JSON."""

from __future__ import annotations

import copy
import plistlib
from dataclasses import replace
from typing import Any

from ansible.module_utils.fleet.launchctl_output import Job
from ansible.module_utils.fleet.service import File, Found, Wanted

UID = 501
HOME = "/Users/felipe"
LABEL = "com.user.ollama"
PROGRAM = "/opt/homebrew/opt/ollama/bin/ollama"
KEG_PROGRAM = "/opt/homebrew/Cellar/ollama/0.32.15/libexec/ollama"
PATH = f"{HOME}/Library/LaunchAgents/{LABEL}.plist"
DAEMON_PATH = f"/Library/LaunchDaemons/{LABEL}.plist"
TARGET = f"gui/{UID}/{LABEL}"
RETIRED = ("com.ollama.serve", "homebrew.mxcl.ollama")
DIGEST = "500a1f067a9f782620b40bee6f7b0c89e17ae61f686b92c24933e4ca4b2b8b41"

DEFINITION: dict[str, Any] = {
    "EnvironmentVariables": {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_HOST": "0.0.0.0", "OLLAMA_KV_CACHE_TYPE": "q8_0"},
    "KeepAlive": True,
    "Label": LABEL,
    "ProgramArguments": [PROGRAM, "serve"],
    "RunAtLoad": True,
    "StandardErrorPath": "/tmp/ollama.err.log",  # noqa: S108  the path of the owner's documentation
    "StandardOutPath": "/tmp/ollama.out.log",  # noqa: S108
}

WANTED = Wanted(LABEL, "gui", DEFINITION, RETIRED)


def definition(**changes: Any) -> dict[str, Any]:
    """Return the definition of the example with these keys instead; None takes a key out."""
    made = {**copy.deepcopy(DEFINITION), **changes}
    return {key: value for key, value in made.items() if value is not None}


def job_of(content: dict[str, Any], domain: str = f"gui/{UID}", path: str = PATH, **changes: Any) -> Job:
    """Return the job that launchd makes of a property list, running and healthy unless said otherwise."""
    words = {word for key, word in (("RunAtLoad", "runatload"), ("KeepAlive", "keepalive")) if content.get(key) is True}
    made = Job(
        domain=domain,
        label=content["Label"],
        path=path,
        state="running",
        program=content["ProgramArguments"][0],
        arguments=tuple(content["ProgramArguments"]),
        environment={
            **content.get("EnvironmentVariables", {}),
            "XPC_SERVICE_NAME": content["Label"],
            "OSLogRateLimit": "64",
        },
        stdout_path=content.get("StandardOutPath", ""),
        stderr_path=content.get("StandardErrorPath", ""),
        working_directory=content.get("WorkingDirectory", ""),
        username=content.get("UserName", ""),
        minimum_runtime=content.get("ThrottleInterval", 10),
        exit_timeout=content.get("ExitTimeOut", 5),
        runs=1,
        pid=3438,
        last_exit="last exit code = (never exited)",
        properties=frozenset({*words, "inferred program"}),
    )
    return replace(made, **changes)


def file_of(content: dict[str, Any] | None, path: str = PATH, **changes: Any) -> File:
    """Return a sound file with this content."""
    label = path.rpartition("/")[2].removesuffix(".plist") if content is None else content["Label"]
    return replace(File(path, label, content, 0o644, 0 if path.startswith("/Library/") else UID), **changes)


CONVERGED = Found(
    uid=UID,
    home=HOME,
    files=(file_of(DEFINITION),),
    jobs=(job_of(DEFINITION),),
    disabled=((f"gui/{UID}", frozenset()), (f"user/{UID}", frozenset()), ("system", frozenset())),
    gui_session=True,
)
BARE = replace(CONVERGED, files=(), jobs=())


def desired(**models: Any) -> dict[str, Any]:
    """Return what the inventory wants, in the shape that the plan reads."""
    return {
        "homebrew": {"formula": "ollama"},
        "ollama_service": {
            "label": LABEL,
            "domain": "gui",
            "program": PROGRAM,
            "plist": plistlib.dumps(DEFINITION, sort_keys=True).decode(),
            "retired_labels": list(RETIRED),
            "muted_labels": [],
            "always_on": False,
            "gate": "load",
        },
        "firewall": {"managed": True, "programs": [PROGRAM]},
        "ollama_models": {
            "installed": [{"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"}],
            "removed": [],
            "unlisted": "remove",
            "policy": "latest",
            **models,
        },
    }


def observed(**parts: Any) -> dict[str, Any]:
    """Return the observation of a Mac on which nothing is missing, as JSON, with these parts instead."""
    job = {
        "domain": f"gui/{UID}", "label": LABEL, "path": PATH, "state": "running", "program": PROGRAM,
        "arguments": [PROGRAM, "serve"], "environment": dict(DEFINITION["EnvironmentVariables"]), "inherited": {},
        "stdout_path": "/tmp/ollama.out.log", "stderr_path": "/tmp/ollama.err.log", "working_directory": "",  # noqa: S108
        "username": "", "minimum_runtime": 10, "exit_timeout": 5, "runs": 1, "pid": 3438,
        "last_exit": "last exit code = (never exited)", "properties": ["inferred program", "keepalive", "runatload"],
    }  # fmt: skip
    file = {"path": PATH, "label": LABEL, "definition": definition(), "mode": 0o644, "uid": UID, "symlink": False}
    everything: dict[str, Any] = {
        "homebrew": {"brew": True, "installed": ["0.32.15"], "linked": "0.32.15", "program": KEG_PROGRAM, "pinned": False},
        "launchd": {
            "uid": UID, "home": HOME, "files": [file], "jobs": [job],
            "disabled": [[f"gui/{UID}", []], [f"user/{UID}", []], ["system", []]], "gui_session": True,
        },
        "firewall": {"state": 1, "rules": {KEG_PROGRAM: "allow"}},
        "permissions": {f"{HOME}/Library/LaunchAgents": {"mode": 0o755, "uid": UID, "gid": 20}},
        "listener": {"addresses": ["*"], "pids": [3438], "commands": ["ollama"], "open": True},
        "server": {"version": "0.32.15"},
        "surroundings": {"app": "", "app_runs": False, "brew_environment": [], "file_vault": False, "auto_login": "felipe"},
        "models": {
            "installed": [{"name": "qwen3:8b", "digest": DIGEST, "size": 5225388164}],
            "loaded": [
                {"name": "qwen3:8b", "digest": DIGEST, "size": 5593000000, "size_vram": 5593000000,
                 "context_length": 4096, "pinned": True}
            ],
            "registry": {"qwen3:8b": DIGEST},
        },
        "machine": {"macos_version": "15.6", "memory_bytes": 17179869184, "swap_used_bytes": 0, "disk_free_bytes": 10**11},
    }  # fmt: skip
    return {**everything, **parts}
