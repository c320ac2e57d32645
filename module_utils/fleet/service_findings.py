"""What a person should know about a service although no step mends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .service import Found, Wanted
from .vocabulary import Finding, Severity, Unknown, unknown_in

CONCERN = "ollama_service"

WORLD_WRITABLE = ("/tmp/", "/private/tmp/", "/var/tmp/", "/private/var/tmp/", "/Users/Shared/")  # noqa: S108  named, not used
"""Folders where everybody may put a file of that name first."""

CRASHES = 3
"""Crashes in a row that are told although the job runs at the moment."""


@dataclass(frozen=True)
class Surroundings:
    """What else on a Mac bears on its service.

    `app` is Ollama.app's path ("" when it is not there), `app_runs` whether one of its processes lives, `brew_environment` the
    names in `~/.homebrew/services/ollama.env`. `file_vault` and `auto_login` (the account's name, "" for none) are unknown where
    they cannot be read.
    """

    app: str = ""
    app_runs: bool = False
    brew_environment: tuple[str, ...] = ()
    file_vault: bool | Unknown = False
    auto_login: str | Unknown = ""


def surroundings_from_json(data: Mapping[str, Any]) -> Surroundings:
    """Read the `surroundings` part of an observation back."""

    def read(name: str) -> Any:
        reason = unknown_in(data[name])
        return data[name] if reason is None else reason

    return Surroundings(
        app=data["app"],
        app_runs=data["app_runs"],
        brew_environment=tuple(data["brew_environment"]),
        file_vault=read("file_vault"),
        auto_login=read("auto_login"),
    )


def findings(
    host: str, found: Found, wanted: Wanted, around: Surroundings | None = None, *, always_on: bool = False
) -> tuple[Finding, ...]:
    """Return the findings about one service, errors first."""
    notes = [
        *_session(host, found, wanted),
        *_start(host, found, wanted, around or Surroundings(), always_on=always_on),
        *_job(host, found, wanted),
        *_leftovers(host, found, wanted),
        *_rivals(host, around or Surroundings()),
    ]
    return tuple(sorted(notes, key=lambda finding: ("error", "warning", "note").index(finding.severity)))


def _finding(host: str, item: str, found: Any, wanted: Any, severity: Severity, why: str, remedy: str = "") -> Finding:
    return Finding(host, CONCERN, item, found, wanted, severity, why, remedy)


def _session(host: str, found: Found, wanted: Wanted) -> list[Finding]:
    """Judge whether an agent has somebody at the screen, which a run can see and not change."""
    domain = wanted.target_domain(found.uid)
    if isinstance(found.gui_session, Unknown):
        return [
            _finding(host, domain, "unknown", "a login session", "error",
                     f"cannot tell whether somebody is logged in: {found.gui_session.reason}",
                     "connect as the user who owns the service")
        ]  # fmt: skip
    if wanted.domain == "gui" and found.gui_session is False:
        return [
            _finding(host, domain, "nobody is logged in at the screen", "a login session", "error",
                     "an agent of the gui domain cannot start before somebody logs in at the screen",
                     "log in there, or set ollama_service_domain to system")
        ]  # fmt: skip
    return []


def _start(host: str, found: Found, wanted: Wanted, around: Surroundings, *, always_on: bool) -> list[Finding]:
    """Judge what stands between a power cut and the next answer, on a Mac that should always answer."""
    if not always_on:
        return []
    notes = []
    if wanted.domain != "system" and (around.file_vault is True or around.auto_login == ""):
        after = "somebody logs in at the screen" if wanted.domain == "gui" else "some session of the user exists"
        # Auto-login and FileVault exclude each other (macOS 14 to 26).
        known = (
            "FileVault is on, so nobody is logged in automatically" if around.file_vault is True else "nobody is automatically"
        )
        notes.append(
            _finding(host, wanted.target_domain(found.uid), f"the {wanted.domain} domain", "the system domain", "warning",
                     f"after a reboot it starts only when {after}; {known}, and this Mac should always answer",
                     "set ollama_service_domain to system, which starts at boot")
        )  # fmt: skip
    if around.file_vault is True:
        notes.append(
            _finding(host, "FileVault", "on", "known", "warning",
                     "after a power cut nothing starts before somebody unlocks the disk (from macOS 26 on also over ssh)",
                     "know it, or switch FileVault off on a Mac that stands in a safe place")
        )  # fmt: skip
    return notes


def _job(host: str, found: Found, wanted: Wanted) -> list[Finding]:
    """How the job fares now, and how it fared before."""
    job = found.job(wanted.target_domain(found.uid), wanted.label)
    if job is None or job.pid is None or not job.last_exit or clean(job.last_exit):
        return []
    if job.successive_crashes >= CRASHES:
        return [
            _finding(host, job.target, job.successive_crashes, 0, "warning",
                     f"it runs (pid {job.pid}) and crashed {job.successive_crashes} times in a row before, {job.last_exit}",
                     f"read {wanted.definition.get('StandardErrorPath', 'its log')}")
        ]  # fmt: skip
    return [
        _finding(host, job.target, job.last_exit, "running", "note",
                 f"it runs (pid {job.pid}), an earlier run ended with {job.last_exit}")
    ]  # fmt: skip


def clean(last_exit: str) -> bool:
    """Tell an end that nobody needs to hear of."""
    return last_exit in ("last exit code = (never exited)", "last exit code = 0")


def _leftovers(host: str, found: Found, wanted: Wanted) -> list[Finding]:
    """Name settings that `launchctl setenv` left in the session: they reach every process started there, also this one."""
    notes = []
    own = wanted.definition.get("EnvironmentVariables", {})
    for job in found.jobs:
        if (job.domain, job.label) != (wanted.target_domain(found.uid), wanted.label):
            continue
        for name, value in sorted(job.inherited.items()):
            if not name.startswith(("OLLAMA_", "LLAMA_ARG_")):
                continue
            effect = "is overridden by the property list" if name in own else "changes the server behind the inventory's back"
            notes.append(
                _finding(host, f"{job.domain} {name}", value, "not set", "note" if name in own else "warning",
                         f"`launchctl setenv` left {name}={value} in the login session, it {effect}",
                         f"type `launchctl unsetenv {name}` in a Terminal at that Mac's screen, ssh reaches another session")
            )  # fmt: skip
    return notes


def _rivals(host: str, around: Surroundings) -> list[Finding]:
    """Programs and files that will act on the next occasion."""
    notes = []
    if around.app:
        # Its own server ends every other `ollama serve` once when the port is taken (app/server/server_unix.go, 0.33.0-rc2).
        runs = "runs" if around.app_runs else "is installed"
        notes.append(
            _finding(host, around.app, runs, "absent", "warning",
                     f"Ollama.app {runs}; when it starts its own server it ends this one once and takes the port",
                     "quit it and drag it to the Trash, or set ollama_service_app to disable_login_item")
        )  # fmt: skip
    if around.brew_environment:
        notes.append(
            _finding(host, "~/.homebrew/services/ollama.env", list(around.brew_environment), "absent", "warning",
                     f"it sets {', '.join(around.brew_environment)} for `brew services` (from 6.0.15 on), not used here",
                     "take what is needed into ollama_service_environment and delete the file")
        )  # fmt: skip
    return notes


def inventory_findings(host: str, wanted: Wanted, *, always_on: bool) -> tuple[Finding, ...]:
    """Return what can be told from the inventory alone, before any Mac is asked."""
    notes = []
    if always_on and wanted.domain != "system":
        notes.append(
            _finding(host, "ollama_service_domain", wanted.domain, "system", "warning",
                     f"it should always answer, and a service of the {wanted.domain} domain starts at a login, not at boot",
                     "set ollama_service_domain to system")
        )  # fmt: skip
    for key in ("StandardErrorPath", "StandardOutPath"):
        path = wanted.definition.get(key)
        if isinstance(path, str) and path.startswith(WORLD_WRITABLE):
            # com.apple.tmp_cleaner removes what nobody touched for three days (macOS 14 and later).
            notes.append(
                _finding(host, key, path, "a folder of the user", "warning",
                         f"the log {path} lies where everybody may write: another user can own the name first and the service"
                         " does not start, and macOS removes it after three quiet days while the server writes on",
                         "leave ollama_service_stdout_path and ollama_service_stderr_path out: ~/Library/Logs/Ollama")
            )  # fmt: skip
    limits = [wanted.definition.get(key) or {} for key in ("SoftResourceLimits", "HardResourceLimits")]
    if wanted.domain == "system" and any("NumberOfFiles" in one for one in limits):
        notes.append(
            _finding(host, "NumberOfFiles", "set in a daemon", "left out", "warning",
                     "in the system domain NumberOfFiles also changes kern.maxfiles of the whole Mac (launchd.plist(5))")
        )  # fmt: skip
    return tuple(notes)
