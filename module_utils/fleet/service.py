"""A launchd service: what it should be, what was found, and the steps between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .launchctl_output import ADDED_BY_LAUNCHD, Job
from .vocabulary import Step, Unknown

Domain = Literal["gui", "user", "system"]

HOMEBREW_LABEL = "homebrew.mxcl.ollama"
"""The label under which `brew services` runs the formula; the role `ollama_service` always retires it, it would take the port."""

MODE = 0o644
"""launchd refuses a plist that group or world may write (launchd.plist(5)); 0644 is what Apple's own have."""


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
    muted: tuple[str, ...] = ()
    """Labels whose login item is switched off and whose files are left alone, such as Ollama.app's."""
    once: bool = False
    """A job that does its work at boot and ends; it is as it should be without a process."""

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
    """What launchd holds and what lies on disk, for the labels in question, in every domain.

    `unfinished` are the labels whose last change was cut short, as the records that it left tell. `running_version` is what the
    server says it is, `program_version` the version of the keg its program lies in; "" where either is not known.
    """

    uid: int
    home: str
    files: tuple[File, ...] = ()
    jobs: tuple[Job, ...] = ()
    disabled: tuple[tuple[str, frozenset[str]], ...] = ()
    gui_session: bool | Unknown = True
    unfinished: frozenset[str] = frozenset()
    running_version: str = ""
    program_version: str = ""

    @property
    def is_outdated(self) -> bool:
        """Tell a server that still runs the program of another keg, as after `brew upgrade` without a restart."""
        known = self.running_version and self.program_version
        return bool(known) and self.running_version != self.program_version

    def job(self, domain: str, label: str) -> Job | None:
        """Return the loaded job of that label in that domain."""
        return next((job for job in self.jobs if (job.domain, job.label) == (domain, label)), None)

    def is_disabled(self, domain: str, label: str) -> bool:
        """Tell the persistent override; `gui/UID` and `user/UID` share one store (measured on macOS 26.5.1)."""
        return any(label in labels for where, labels in self.disabled if where == domain)


SPAWN_TYPES = {"Standard": "daemon", "Interactive": "interactive", "Adaptive": "adaptive"}
"""ProcessType as `print` words it (macOS 13 to 26.5); how it words Background was never captured, so that is not compared."""


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
    seconds_of = {
        "ThrottleInterval": job.minimum_runtime,
        "ExitTimeOut": job.exit_timeout,
    }
    if job.run_interval is not None:
        # Not every release was seen to print it.
        seconds_of["StartInterval"] = job.run_interval
    for key, seconds in seconds_of.items():
        if key in definition:
            compare(key, seconds, definition[key])
    if "UserName" in definition:
        compare("UserName", job.username, definition["UserName"])
    if job.spawn_type in SPAWN_TYPES.values():
        compare("ProcessType", job.spawn_type, SPAWN_TYPES.get(definition.get("ProcessType") or "Standard"))
    return found


def definition_of(job: Job) -> dict[str, Any]:
    """Return the property list that launchd would hold as this job: what ran, where its file is gone or says something else."""
    made: dict[str, Any] = {
        "Label": job.label,
        "ProgramArguments": list(job.arguments) or [job.program],
        "RunAtLoad": "runatload" in job.properties,
        "KeepAlive": "keepalive" in job.properties,
    }
    environment = {key: value for key, value in job.environment.items() if key not in ADDED_BY_LAUNCHD}
    optional = {
        "EnvironmentVariables": environment,
        "StandardOutPath": job.stdout_path,
        "StandardErrorPath": job.stderr_path,
        "WorkingDirectory": job.working_directory,
        "UserName": job.username if job.domain == "system" else "",
        "ThrottleInterval": job.minimum_runtime,
        "ExitTimeOut": job.exit_timeout,
        "LimitLoadToSessionType": "Background" if job.domain.startswith("user/") else "",
    }
    return {**made, **{key: value for key, value in optional.items() if value}}


_VISIBLE = frozenset(
    {
        "Label", "Program", "ProgramArguments", "EnvironmentVariables", "StandardOutPath", "StandardErrorPath",
        "WorkingDirectory", "RunAtLoad", "KeepAlive",
    }
)  # fmt: skip


def _is_visible(key: str, definition: Mapping[str, Any], job: Job) -> bool:
    """Tell whether `launchctl print` would show that a job runs with another value of this key."""
    if key in ("RunAtLoad", "KeepAlive"):
        return isinstance(definition.get(key), bool)
    if key == "StartInterval":
        return key in definition and job.run_interval is not None
    if key in ("ThrottleInterval", "ExitTimeOut", "UserName"):
        return key in definition
    return key in _VISIBLE


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

    The new file is written before the old service goes, and the old file goes before the new service comes: whenever the power
    fails in between, a file that starts a server lies in launchd's folders. A job whose running definition is right is not
    restarted, whatever its file says and however its last run ended.
    """
    domain, path = wanted.target_domain(found.uid), wanted.path(found.home)
    target = f"{domain}/{wanted.label}"
    steps: list[Step] = []
    if found.is_disabled(domain, wanted.label):
        steps.append(Step("enable", target, "disabled", "enabled", "a disabled job does not start"))
    changed, step = _file_step(found, wanted, path)
    steps += [step] if step else []
    steps += _rivals(found, wanted, domain, path)
    step = _job_step(found, wanted, target, changed)
    steps += [step] if step else []
    if wanted.label in found.unfinished and not restarts(steps):
        steps.append(
            Step("finish", target, "a change that was cut short", "proved to work", "the change before this one did not end")
        )
    return tuple(steps)


def _file_step(found: Found, wanted: Wanted, path: str) -> tuple[dict[str, tuple[Any, Any]], Step | None]:
    """Return what differs in the property list, and the step that mends it."""
    own = next((file for file in found.files if file.path == path), None)
    changed = file_differences(own, wanted.definition)
    owner = wanted.owner(found.uid)
    if changed:
        return changed, Step("write", path, _side(changed, 0), _side(changed, 1))
    if own and own.uid != owner:
        # Not a chown, which only root may: the folder is ours, so a new file takes the place of the foreign one.
        return changed, Step("write", path, f"owner {own.uid}", f"owner {owner}", "launchd refuses what belongs to somebody else")
    if own and own.mode != MODE:
        return changed, Step(
            "protect", path, f"mode {own.mode:04o}", f"mode {MODE:04o}", "launchd refuses a file that others may write"
        )
    return changed, None


def _rivals(found: Found, wanted: Wanted, domain: str, path: str) -> list[Step]:
    """Return the steps against what would fight for the port, now or at the next login or boot."""
    labels = {wanted.label, *wanted.retired}
    steps = [
        Step("bootout", job.target, _told(job), "absent", _why_retired(job.label, wanted))
        for job in found.jobs
        if job.label in labels and (job.domain, job.label) != (domain, wanted.label)
    ]
    steps += [
        Step("remove", file.path, "present", "absent", "it would start a second server at the next login or boot")
        for file in found.files
        if file.label in labels and file.path != path
    ]
    for job in found.jobs:
        if job.label in wanted.muted:
            steps.append(Step("bootout", job.target, "loaded", "absent", "it would take the port at the next login"))
            if not found.is_disabled(job.domain, job.label):
                steps.append(
                    Step("disable", job.target, "enabled", "disabled", "its login item is not wanted beside this server")
                )
    return steps


def _told(job: Job) -> dict[str, Any]:
    """Say what is known of a job that goes: its environment may be the only place where a setting was written down."""
    own = {key: value for key, value in job.environment.items() if key not in ADDED_BY_LAUNCHD}
    return {"loaded": job.path or job.state or "without a file", **({"environment": own} if own else {})}


def _job_step(found: Found, wanted: Wanted, target: str, changed: Mapping[str, Any]) -> Step | None:
    """Return the one step that the job itself needs: by what launchd holds in memory, not by its file."""
    job = found.job(wanted.target_domain(found.uid), wanted.label)
    if job is None:
        return Step("bootstrap", target, _why_absent(found, wanted), "running")
    stale = live_differences(job, wanted.definition, wanted.path(found.home))
    if stale:
        return Step("reload", target, _side(stale, 0), _side(stale, 1), "launchd runs another definition")
    unseen = {key for key in changed if key != "file" and not _is_visible(key, wanted.definition, job)}
    if unseen:
        return Step("reload", target, "unknown", "as in the file", f"launchd does not show {', '.join(sorted(unseen))}")
    if job.pid is None and not (wanted.periodic or wanted.once):
        if job.state == "not running":
            return Step("kickstart", target, job.last_exit or "not running", "running")
        return Step("reload", target, f"{job.state}, {job.last_exit}", "running", "a fresh start ends launchd's back-off")
    if found.is_outdated:
        return Step(
            "reload", target, f"Ollama {found.running_version}", f"Ollama {found.program_version}",
            "the running server is another version than the installed one",
        )  # fmt: skip
    return None


def _why_absent(found: Found, wanted: Wanted) -> str:
    """Say what is known of a job that launchd does not hold (113 has several causes, `print` tells none of them)."""
    path = wanted.path(found.home)
    own = next((file for file in found.files if file.path == path), None)
    if own is None or own.definition is None or any(job.label == wanted.label for job in found.jobs):
        return "not loaded"
    if found.is_disabled(wanted.target_domain(found.uid), wanted.label):
        return "not loaded, disabled"
    return "not loaded although its file is there and enabled: booted out, or switched off in Login Items"


def restart(found: Found, wanted: Wanted, reason: str) -> tuple[Step, ...]:
    """Return the plan with a full stop and start of the job in it, also where nothing else calls for one."""
    steps = plan(found, wanted)
    if restarts(steps):
        return steps
    target = f"{wanted.target_domain(found.uid)}/{wanted.label}"
    return (*(step for step in steps if step.action != "finish"), Step("reload", target, "running", "started anew", reason))


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
    """Tell whether the job itself starts anew; a server loses what it has loaded by that. A rival that goes is no restart."""
    return any(step.action in ("bootstrap", "reload", "kickstart") for step in steps)


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
        unfinished=frozenset(data.get("unfinished", ())),
        running_version=data.get("running_version", ""),
        program_version=data.get("program_version", ""),
    )


def job_from_json(data: Mapping[str, Any]) -> Job:
    """Read one job back."""
    fields = dict(data)
    fields["arguments"] = tuple(fields["arguments"])
    fields["properties"] = frozenset(fields["properties"])
    return Job(**fields)
