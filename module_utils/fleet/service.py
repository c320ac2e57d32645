"""A launchd service: what it should be, what was found, and the steps between."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .launchctl_output import ADDED_BY_LAUNCHD, Job
from .vocabulary import Finding, Step, Unknown

Domain = Literal["gui", "user", "system"]

HOMEBREW_LABEL = "homebrew.mxcl.ollama"
"""The label under which `brew services` runs the formula; the role `ollama_service` always retires it, it would take the port."""

MODE = 0o644
"""launchd refuses a plist that group or world may write (launchd.plist(5)); 0644 is what Apple's own have."""

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class File:
    """A property list in one of launchd's folders. `definition` is None when it is no property list."""

    path: str
    label: str
    definition: Mapping[str, Any] | None
    mode: int
    uid: int
    symlink: bool = False


@dataclass(frozen=True)
class Wanted:
    """The one job that should run, and the labels that it takes over from."""

    label: str
    domain: Domain
    definition: Mapping[str, Any]
    retired: tuple[str, ...] = ()

    @property
    def periodic(self) -> bool:
        """Tell a job that launchd starts now and then; it is as it should be without a process."""
        timed = "StartInterval" in self.definition or "StartCalendarInterval" in self.definition
        return timed and not self.definition.get("KeepAlive")

    def target_domain(self, uid: int) -> str:
        """Return `gui/501`, `user/501` or `system`."""
        return "system" if self.domain == "system" else f"{self.domain}/{uid}"

    def path(self, home: str) -> str:
        """Return where the property list belongs: file name = label (launchd.plist(5))."""
        folder = "/Library/LaunchDaemons" if self.domain == "system" else f"{home}/Library/LaunchAgents"
        return f"{folder}/{self.label}.plist"

    def owner(self, uid: int) -> int:
        """Return who must own the property list: the loading user, or root for the system domain."""
        return 0 if self.domain == "system" else uid


@dataclass(frozen=True)
class Found:
    """What launchd holds and what lies on disk, for the labels in question, in every domain."""

    uid: int
    home: str
    files: tuple[File, ...] = ()
    jobs: tuple[Job, ...] = ()
    disabled: tuple[tuple[str, frozenset[str]], ...] = ()
    gui_session: bool | Unknown = True

    def job(self, domain: str, label: str) -> Job | None:
        """Return the loaded job of that label in that domain."""
        return next((job for job in self.jobs if (job.domain, job.label) == (domain, label)), None)

    def is_disabled(self, domain: str, label: str) -> bool:
        """Tell the persistent override; `gui/UID` and `user/UID` share one store (measured on macOS 26.5.1)."""
        return any(label in labels for where, labels in self.disabled if where == domain)


def live_differences(job: Job, definition: Mapping[str, Any], path: str) -> dict[str, tuple[Any, Any]]:
    """Compare the definition a job runs with and the one it should: key -> (found, wanted).

    launchd reads a file only while it loads the job, so a correct file says nothing about the process. Keys that
    `launchctl print` does not show are not compared.
    """
    found: dict[str, tuple[Any, Any]] = {}

    def compare(key: str, is_now: Any, should_be: Any) -> None:
        if is_now != should_be:
            found[key] = (is_now, should_be)

    compare("path", job.path, path)
    arguments = tuple(definition.get("ProgramArguments") or (definition.get("Program", ""),))
    compare("ProgramArguments", list(job.arguments), list(arguments))
    environment = {key: value for key, value in job.environment.items() if key not in ADDED_BY_LAUNCHD}
    wanted = definition.get("EnvironmentVariables", {})
    for key in sorted({*environment, *wanted}):
        compare(f"EnvironmentVariables.{key}", environment.get(key), wanted.get(key))
    compare("StandardOutPath", job.stdout_path, definition.get("StandardOutPath", ""))
    compare("StandardErrorPath", job.stderr_path, definition.get("StandardErrorPath", ""))
    compare("WorkingDirectory", job.working_directory, definition.get("WorkingDirectory", ""))
    for key, word in (("RunAtLoad", "runatload"), ("KeepAlive", "keepalive")):
        if isinstance(definition.get(key), bool):
            compare(key, word in job.properties, definition[key])
    for key, seconds in (("ThrottleInterval", job.minimum_runtime), ("ExitTimeOut", job.exit_timeout)):
        if key in definition:
            compare(key, seconds, definition[key])
    if "UserName" in definition:
        compare("UserName", job.username, definition["UserName"])
    return found


_VISIBLE = frozenset(
    {
        "Label", "Program", "ProgramArguments", "EnvironmentVariables", "StandardOutPath", "StandardErrorPath",
        "WorkingDirectory", "RunAtLoad", "KeepAlive", "ThrottleInterval", "ExitTimeOut", "UserName",
    }
)  # fmt: skip


def file_differences(file: File | None, definition: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compare a property list with the one wanted: key -> (found, wanted); one key `file` when there is none to read."""
    if file is None:
        return {"file": ("absent", "present")}
    if file.definition is None:
        return {"file": ("not a property list", "present")}
    if file.symlink:
        # A symlinked agent is reported ignored at login since macOS 14.
        return {"file": ("a symbolic link", "a real file")}
    keys = sorted({*file.definition, *definition})
    return {
        key: (file.definition.get(key), definition.get(key)) for key in keys if file.definition.get(key) != definition.get(key)
    }


def plan(found: Found, wanted: Wanted) -> tuple[Step, ...]:
    """List the steps from found to wanted, in the order they must run.

    Everything that would fight for the port goes first, with its file, or it would be back at the next login. A job whose
    running definition is right is not restarted, whatever its file says and however its last run ended.
    """
    domain, path = wanted.target_domain(found.uid), wanted.path(found.home)
    labels = {wanted.label, *wanted.retired}
    steps = [
        Step("bootout", job.target, "loaded", "absent", _why_retired(job.label, wanted))
        for job in found.jobs
        if job.label in labels and (job.domain, job.label) != (domain, wanted.label)
    ]
    steps += [
        Step(
            "remove",
            file.path,
            "present",
            "absent",
            "it would start a second server at the next login or boot",
        )
        for file in found.files
        if file.label in labels and file.path != path
    ]
    if found.is_disabled(domain, wanted.label):
        steps.append(Step("enable", f"{domain}/{wanted.label}", "disabled", "enabled", "a disabled job does not start"))

    own = next((file for file in found.files if file.path == path), None)
    changed = file_differences(own, wanted.definition)
    owner = wanted.owner(found.uid)
    if changed:
        steps.append(Step("write", path, _side(changed, 0), _side(changed, 1)))
    elif own and own.uid != owner:
        # Not a chown, which only root may: the folder is ours, so a new file takes the place of the foreign one.
        steps.append(Step("write", path, f"owner {own.uid}", f"owner {owner}", "launchd refuses what belongs to somebody else"))
    elif own and own.mode != MODE:
        steps.append(
            Step("protect", path, f"mode {own.mode:04o}", f"mode {MODE:04o}", "launchd refuses a file that others may write")
        )

    target = f"{domain}/{wanted.label}"
    job = found.job(domain, wanted.label)
    if job is None:
        return (*steps, Step("bootstrap", target, "not loaded", "running"))
    stale = live_differences(job, wanted.definition, path)
    unseen = {key for key in changed if key not in _VISIBLE and key != "file"}
    if stale:
        steps.append(Step("reload", target, _side(stale, 0), _side(stale, 1), "launchd runs another definition"))
    elif unseen:
        steps.append(
            Step(
                "reload",
                target,
                "unknown",
                "as in the file",
                f"launchd does not show {', '.join(sorted(unseen))}",
            )
        )
    elif wanted.periodic:
        pass
    elif job.pid is None and job.state == "not running":
        steps.append(Step("kickstart", target, job.last_exit or "not running", "running"))
    elif job.pid is None:
        steps.append(
            Step(
                "reload",
                target,
                f"{job.state}, {job.last_exit}",
                "running",
                "a fresh start ends launchd's back-off",
            )
        )
    return tuple(steps)


def _why_retired(label: str, wanted: Wanted) -> str:
    if label == wanted.label:
        return "the service belongs into another domain"
    if label == HOMEBREW_LABEL:
        return "brew services would hold the port with its own environment"
    return f"{wanted.label} replaces it"


def _side(pairs: Mapping[str, tuple[Any, Any]], index: int) -> dict[str, Any]:
    return {key: pair[index] for key, pair in pairs.items()}


def needs_root(steps: Sequence[Step]) -> bool:
    """Tell whether a step touches what only root may: the system domain and the folders of /Library."""
    return any(step.item.startswith(("system/", "/Library/")) for step in steps)


def restarts(steps: Sequence[Step]) -> bool:
    """Tell whether the server itself starts anew and so loses what it has loaded; a rival that goes is no restart."""
    return any(step.action in ("bootstrap", "reload", "kickstart") for step in steps)


def definition_problems(label: str, domain: str, definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what launchd would refuse or drop in silence, one clause each; nothing when the definition is sound."""
    problems = []
    if not LABEL.fullmatch(label):
        problems.append(f"the label {label!r} may hold letters, digits, dots, underscores and dashes only")
    if definition.get("Label") != label:
        problems.append(f"the Label inside is {definition.get('Label')!r}, not {label!r}")
    if domain not in ("gui", "user", "system"):
        problems.append(f"the domain {domain!r} is none of gui, user, system")
    arguments = definition.get("ProgramArguments")
    if not isinstance(arguments, list) or not arguments or not all(isinstance(word, str) for word in arguments):
        problems.append("ProgramArguments must be a list of texts")
    elif not arguments[0].startswith("/"):
        problems.append(f"the program {arguments[0]!r} must be an absolute path")
    elif "/Cellar/" in arguments[0]:
        problems.append(f"the program {arguments[0]!r} lies in the Cellar and vanishes with the next brew upgrade")
    environment = definition.get("EnvironmentVariables", {})
    if not isinstance(environment, Mapping) or not all(isinstance(value, str) for value in environment.values()):
        problems.append("every value of EnvironmentVariables must be text, launchd drops others in silence")
    for key in ("StandardOutPath", "StandardErrorPath", "WorkingDirectory"):
        value = definition.get(key)
        if value is not None and not (isinstance(value, str) and value.startswith("/")):
            problems.append(f"{key} {value!r} must be an absolute path, launchd expands neither ~ nor $HOME")
    return tuple(problems)


def findings(host: str, found: Found, wanted: Wanted) -> tuple[Finding, ...]:
    """Return what a person should know although no step mends it."""
    notes = []
    domain = wanted.target_domain(found.uid)
    if wanted.domain == "gui" and found.gui_session is False:
        notes.append(
            Finding(
                host, "ollama_service", domain, "nobody is logged in at the screen", "a login session", "error",
                "an agent of the gui domain cannot start before somebody logs in at the screen",
                "log in there, or set ollama_service_domain to system",
            )
        )  # fmt: skip
    if isinstance(found.gui_session, Unknown):
        notes.append(
            Finding(
                host, "ollama_service", domain, "unknown", "a login session", "error",
                f"cannot tell whether somebody is logged in: {found.gui_session.reason}",
                "connect as the user who owns the service",
            )
        )  # fmt: skip
    job = found.job(domain, wanted.label)
    if job and job.pid is not None and job.last_exit and not _clean(job.last_exit):
        notes.append(
            Finding(
                host, "ollama_service", job.target, job.last_exit, "running", "note",
                f"it runs (pid {job.pid}), an earlier run ended with {job.last_exit}",
            )
        )  # fmt: skip
    return tuple(notes)


def _clean(last_exit: str) -> bool:
    return last_exit in ("last exit code = (never exited)", "last exit code = 0")


def found_from_json(data: Mapping[str, Any]) -> Found:
    """Read the `launchd` part of an observation back into `Found`; the inverse of `vocabulary.plain`."""
    session = data["gui_session"]
    return Found(
        uid=data["uid"],
        home=data["home"],
        files=tuple(File(**{**file, "definition": file["definition"]}) for file in data["files"]),
        jobs=tuple(job_from_json(job) for job in data["jobs"]),
        disabled=tuple((domain, frozenset(labels)) for domain, labels in data["disabled"]),
        gui_session=session if isinstance(session, bool) else Unknown(session["unknown"]),
    )


def job_from_json(data: Mapping[str, Any]) -> Job:
    """Read one job back."""
    fields = dict(data)
    fields["arguments"] = tuple(fields["arguments"])
    fields["properties"] = frozenset(fields["properties"])
    return Job(**fields)
