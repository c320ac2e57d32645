"""The Mac of the examples: one service as it should be, what launchd and the disk hold of it, one observation as JSON."""

from __future__ import annotations

import copy
import plistlib
from dataclasses import replace
from typing import Any

from ansible.module_utils.fleet import packet_filter, power
from ansible.module_utils.fleet.companion import Found as Places
from ansible.module_utils.fleet.companion import definition as job_definition
from ansible.module_utils.fleet.companion import job_from_json, settings_path, settings_text
from ansible.module_utils.fleet.launchctl_output import Job
from ansible.module_utils.fleet.service import File, Found, Wanted
from ansible.module_utils.fleet.vocabulary import plain

UID = 501
HOME = "/Users/felipe"
LABEL = "com.user.ollama"
PROGRAM = "/opt/homebrew/opt/ollama/bin/ollama"
KEG_PROGRAM = "/opt/homebrew/Cellar/ollama/0.32.15/libexec/ollama"
PATH = f"{HOME}/Library/LaunchAgents/{LABEL}.plist"
DAEMON_PATH = f"/Library/LaunchDaemons/{LABEL}.plist"
TARGET = f"gui/{UID}/{LABEL}"
RETIRED = ("com.ollama.serve", "homebrew.mxcl.ollama")
SHA256 = "5e38d298c2fe" + "0" * 52
APPLICATION_SUPPORT = f"{HOME}/Library/Application Support/ollama-fleet"
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
        run_interval=content.get("StartInterval"),
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
EXPOSURE = {"managed": True, "scope": "lan", "networks": ["192.168.1.0/24"], "port": 11434, "roaming": False}


def guarded(wanted: packet_filter.Wanted) -> packet_filter.Found:
    """Return a Mac whose packet filter is as wanted."""
    job = packet_filter.definition()
    path, rules, program = packet_filter.JOB_PATH, packet_filter.RULES_PATH, packet_filter.PROGRAM_PATH
    texts = packet_filter.contents(wanted)
    return packet_filter.Found(
        launchd=Found(
            0,
            "/var/empty",
            (file_of(job, path),),
            (job_of(job, "system", path, state="not running", pid=None, last_exit="last exit code = 0"),),
            (("system", frozenset()),),
        ),
        files=(
            packet_filter.File(packet_filter.FOLDER, 0, 0o755),
            packet_filter.File(rules, 0, 0o644, texts[rules]),
            packet_filter.File(program, 0, 0o755, texts[program]),
        ),
        state=packet_filter.State(True, True, (packet_filter.label(wanted),), tuple(map(str, wanted.sources))),
        reaches={str(network): str(network.network_address) for network in wanted.networks},
    )


POWER = {"autorestart": 1, "sleep": 0}


def powered(limit: int = 12000) -> power.Found:
    """Return a Mac mini that stays awake, whose owner had it otherwise before, and whose GPU may wire this many MiB."""
    job, path = power.definition(limit), power.JOB_PATH
    return power.Found(
        settings={
            power.AC: {"autorestart": 1, "disksleep": 10, "displaysleep": 10, "sleep": 0, "womp": 1},
            power.SYSTEM: {"disablesleep": 0},
        },
        capabilities=frozenset({"autorestart", "disksleep", "displaysleep", "sleep", "womp"}),
        limit=limit,
        record={"autorestart": {power.AC: 0}, "sleep": {power.AC: 1}},
        os_updates=False,
        launchd=Found(
            0,
            "/var/empty",
            (file_of(job, path),),
            (job_of(job, "system", path, state="not running", pid=None, last_exit="last exit code = 0"),),
            (("system", frozenset()),),
        ),
    )


BARE = replace(CONVERGED, files=(), jobs=())


def jobs(**residents: Any) -> dict[str, Any]:
    """Return what the inventory says of the jobs beside the service."""
    common = {"managed": True, "label": LABEL, "domain": "gui", "user": "felipe", "retired_labels": ["com.ollama.serve"]}
    return {
        "companion": {"wanted": True, "domain": "gui", "user": "felipe", "sha256": SHA256},
        "ollama_residents": {
            **common,
            "interval": 60,
            "settings": {
                "url": "http://127.0.0.1:11434",
                "installed": [{"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"}],
                "load_timeout": 600,
                "patience": 45,
                "swap_growth_mib": 512,
                **residents,
            },
        },
        "log_rotation": {
            **common,
            "interval": 3600,
            "settings": {"files": ["/tmp/ollama.err.log"], "size_mib": 10, "keep": 5, "compress": True},  # noqa: S108
        },
        "healer": {**common, "interval": 60, "webhook_sha256": None, "settings": healer_settings()},
    }


def healer_settings(**changes: Any) -> dict[str, Any]:
    """Return what the inventory says of the healer."""
    return {
        "enabled": True,
        "host": "mac-mini",
        "url": "http://127.0.0.1:11434",
        "installed": [{"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"}],
        "residents_managed": True,
        "limits": {"swap_warn_gb": 8.0, "swap_critical_gb": 12.0, "max_loaded_model_gb": 6.0},
        "models": [{"name": "gpt-oss:20b", "policy": "strict", "reason": "It once drove this Mac into swap"}],
        "healer": {
            "dry_run": False, "acts_per_hour": 6, "cool_down": 180, "swap_growth_mib": 512, "large_model_seconds": 900,
            "unload_residents": False, "resident_grace": 300, "restart": True, "restarts_per_day": 4, "start_grace": 120,
            "summary_interval": 3600,
        },
        "alerts": {"form": "json", "notify": True, "repeat_seconds": 21600, "telegram_chat": ""},
        **changes,
    }  # fmt: skip


def converged_jobs() -> tuple[dict[str, Any], list[File], list[Job]]:
    """Return the `companion` part, the property lists and the jobs of a Mac on which all of `jobs` is in place."""
    entries: dict[str, Any] = {
        path: {"kind": "folder", "mode": 0o755, "uid": UID, "sha256": "", "text": ""}
        for path in (APPLICATION_SUPPORT, f"{HOME}/Library/Logs/Ollama")
    }
    entries[f"{APPLICATION_SUPPORT}/ollama-fleet"] = {"kind": "file", "mode": 0o755, "uid": UID, "sha256": SHA256, "text": ""}
    files, held = [], []
    for concern, verb in (("ollama_residents", "residents"), ("log_rotation", "logs"), ("healer", "heal")):
        job = job_from_json(verb, jobs()[concern], HOME, UID)
        text = settings_text(Places(UID, HOME), job)
        entries[settings_path("gui", HOME, verb)] = {"kind": "file", "mode": 0o644, "uid": UID, "sha256": "", "text": text}
        content = job_definition(job, HOME)
        path = f"{HOME}/Library/LaunchAgents/{job.own_label}.plist"
        files.append(file_of(content, path))
        held.append(job_of(content, path=path, pid=None, state="not running", last_exit="last exit code = 0"))
    return {"uid": UID, "home": HOME, "entries": entries}, files, held


def desired(**models: Any) -> dict[str, Any]:
    """Return what the inventory wants, in the shape that the plan reads."""
    return {
        "homebrew": {"formula": "ollama", "policy": "present", "version": "", "keep_old": True, "versions": {"bad": []}},
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
        "exposure": dict(EXPOSURE),
        "firewall": {"managed": True, "programs": [PROGRAM]},
        "tailscale_serve": {"address": "100.115.10.14", "tcp": [], "removed": [], "host_setting": "0.0.0.0"},
        "ollama_models": {
            "installed": [{"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident"}],
            "removed": [],
            "unlisted": "remove",
            "policy": "latest",
            **models,
        },
        **jobs(),
        "shell_env": {"managed": True, "variables": {"OLLAMA_HOST": "127.0.0.1:11434"}, "aliases": {}},
        "power": {
            "managed": True,
            "settings": dict(POWER),
            "gpu_wired_limit_mib": 12000,
            "budget_limit_mib": 12000,
            "domain": "gui",
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
    companion, files, held = converged_jobs()
    everything: dict[str, Any] = {
        "homebrew": {"brew": True, "installed": ["0.32.15"], "linked": "0.32.15", "program": KEG_PROGRAM, "pinned": False},
        "available": {"unknown": "not asked"},
        "launchd": {
            "uid": UID, "home": HOME, "files": [file, *plain(files)], "jobs": [job, *plain(held)],
            "disabled": [[f"gui/{UID}", []], [f"user/{UID}", []], ["system", []]], "gui_session": True,
        },
        "companion": companion,
        "packet_filter": plain(guarded(packet_filter.wanted_from_json(EXPOSURE))),
        "firewall": {"state": 1, "rules": {KEG_PROGRAM: "allow"}},
        "permissions": {f"{HOME}/Library/LaunchAgents": {"mode": 0o755, "uid": UID, "gid": 20}},
        "listener": {"addresses": ["*"], "pids": [3438], "commands": ["ollama"], "open": True},
        "server": {"version": "0.32.15"},
        "surroundings": {"app": "", "app_runs": False, "brew_environment": [], "file_vault": False, "auto_login": "felipe"},
        "tailscale": {
            "variant": "daemon", "program": "/usr/local/bin/tailscale", "socket": "", "version": "1.96.2", "state": "Running",
            "tunnel": True, "addresses": ["100.115.10.14", "fd7a:115c:a1e0::e"], "served": {},
        },
        "addresses": {"lan": ["192.168.1.20"]},
        "models": {
            "installed": [{"name": "qwen3:8b", "digest": DIGEST, "size": 5225388164}],
            "loaded": [
                {"name": "qwen3:8b", "digest": DIGEST, "size": 5593000000, "size_vram": 5593000000,
                 "context_length": 4096, "pinned": True}
            ],
            "registry": {"qwen3:8b": DIGEST},
        },
        "machine": {"macos_version": "15.6", "memory_bytes": 17179869184, "swap_used_bytes": 0, "disk_free_bytes": 10**11},
        "shell_block": {
            "path": f"{HOME}/.zshrc", "exists": True, "block": ["export OLLAMA_HOST='127.0.0.1:11434'"], "alone": False,
            "problem": "", "later": [],
        },
        "power": plain(powered()),
    }  # fmt: skip
    return {**everything, **parts}
