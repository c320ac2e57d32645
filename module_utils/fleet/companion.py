"""The program of the fleet on a Mac, and the jobs that launchd starts from it beside the service: what should be, what lacks.

Program, settings and jobs lie where the service lies: in the home folder of its user, or below /Library where launchd starts the
service at boot. They move with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from . import companion_settings, desired_state, service
from .case import NOT_OURS, Case, Judged
from .residents import residents_of
from .units import MIB
from .vocabulary import Step, Unknown

PROGRAM = "ollama-fleet"
"""Login Items names a job after the file it starts (macOS 13 to 26), so no bare `python3` there."""

VERBS = ("heal", "logs", "residents")
FOLDER = "Library/Application Support/ollama-fleet"
LOGS = "Library/Logs/Ollama"
FOLDER_MODE, PROGRAM_MODE, SETTINGS_MODE, SECRET_MODE = 0o755, 0o755, 0o644, 0o600

Kind = Literal["file", "folder", "link", "other"]


@dataclass(frozen=True)
class Entry:
    """One thing on the disk. `text` is what a small settings file holds."""

    kind: Kind
    mode: int
    uid: int
    sha256: str = ""
    text: str = ""


@dataclass(frozen=True)
class Found:
    """What lies in the places of the program, in both domains; a path that is not there is not in `entries`."""

    uid: int
    home: str
    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Job:
    """A verb that launchd should start every `interval` seconds for a service. `settings` is None when it should not.

    Those of `heal` are plain data, since a person may have keys of their own beside them. `webhook_sha256` is that of the file
    with the address: None where it is not ours, "" where there should be none.
    """

    verb: str
    label: str
    domain: service.Domain
    user: str
    interval: int
    retired: tuple[str, ...]
    settings: companion_settings.Residents | companion_settings.Logs | Mapping[str, Any] | None
    webhook_sha256: str | None = None

    @property
    def own_label(self) -> str:
        """Return the label of the job, the service's with the verb behind it."""
        return label_of(self.label, self.verb)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return every label under which the job may run: of this service and of those it takes over from."""
        return (self.own_label, *(label_of(label, self.verb) for label in self.retired if label != self.label))


def label_of(label: str, verb: str) -> str:
    """Return the label of a verb's job beside a service."""
    return f"{label}.{verb}"


def folder(domain: str, home: str) -> str:
    """Return where program and settings lie."""
    return f"/{FOLDER}" if domain == "system" else f"{home}/{FOLDER}"


def elsewhere(domain: str, home: str) -> str:
    """Return where they lie when the service is in the other kind of domain."""
    return folder("gui" if domain == "system" else "system", home)


def log_path(home: str, verb: str) -> str:
    """Return the log of a verb's job; not in /tmp, which macOS cleans and everybody may write."""
    return f"{home}/{LOGS}/{PROGRAM}.{verb}.log"


def definition(job: Job, home: str) -> dict[str, Any]:
    """Return the property list of a job. Its process lives for a moment, so `ProcessType` is left as it is by default."""
    log = log_path(home, job.verb)
    made = {
        "Label": job.own_label,
        "ProgramArguments": [f"{folder(job.domain, home)}/{PROGRAM}", job.verb],
        "RunAtLoad": True,
        "StartInterval": job.interval,
        "StandardErrorPath": log,
        "StandardOutPath": log,
    }
    if job.domain != "system":
        return made
    # UserName counts in the system domain only (launchd.plist(5)); whether such a job gets HOME is unsettled.
    return {**made, "EnvironmentVariables": {"HOME": home}, "UserName": job.user}


def wanted_service(job: Job, home: str) -> service.Wanted:
    """Return the job as a service that launchd should hold."""
    return service.Wanted(job.own_label, job.domain, definition(job, home), job.labels[1:])


def plan_program(found: Found, domain: str, sha256: str) -> tuple[Step, ...]:
    """List the steps to the program and the folders that its jobs need."""
    place = folder(domain, found.home)
    owner = 0 if domain == "system" else found.uid
    # With the program come its folders, which others may have made before it on the same run.
    new = f"{place}/{PROGRAM}" not in found.entries
    steps = [
        *_folder_steps(found, place, owner, new=new),
        *_folder_steps(found, f"{found.home}/{LOGS}", found.uid, new=new),
        *_file_steps("install", found, f"{place}/{PROGRAM}", owner, PROGRAM_MODE, sha256),
    ]
    other = f"{elsewhere(domain, found.home)}/{PROGRAM}"
    if other in found.entries:
        steps.append(Step("remove", other, "present", "absent", "the service belongs into another domain"))
    return tuple(steps)


def plan_job(found: Found, launchd: service.Found, job: Job) -> tuple[Step, ...]:
    """List the steps to a job and its settings, or to neither."""
    if job.settings is None:
        return plan_absent(found, launchd, job)
    owner = 0 if job.domain == "system" else found.uid
    path = settings_path(job.domain, found.home, job.verb)
    steps = list(_file_steps("write", found, path, owner, SETTINGS_MODE, text=settings_text(found, job)))
    steps += _secret_steps(found, job)
    other = settings_path("gui" if job.domain == "system" else "system", found.home, job.verb)
    if other in found.entries:
        steps.append(Step("remove", other, "present", "absent", "the service belongs into another domain"))
    return (*steps, *service.plan(launchd, wanted_service(job, found.home)))


def settings_text(found: Found, job: Job) -> str:
    """Return what the settings file of a job should hold, with what a person has put there beside it."""
    if job.settings is None:
        return ""
    if not isinstance(job.settings, Mapping):
        return companion_settings.to_text(job.settings)
    # What was elsewhere moves with the service.
    for domain in (job.domain, "gui" if job.domain == "system" else "system"):
        entry = found.entries.get(settings_path(domain, found.home, job.verb))
        if entry is not None and entry.kind == "file" and entry.text:
            return desired_state.text_for(entry.text, job.settings)
    return desired_state.text_for("", job.settings)


def secret_path(domain: str, home: str) -> str:
    """Return where the address of the webhook lies."""
    return f"{folder(domain, home)}/{desired_state.WEBHOOK}"


def _secret_steps(found: Found, job: Job) -> list[Step]:
    """List the steps to the file with the address; nothing of it is shown but the beginning of its hash."""
    if job.verb != "heal" or job.webhook_sha256 is None:
        return []
    own, other = secret_path(job.domain, found.home), secret_path("gui" if job.domain == "system" else "system", found.home)
    steps = []
    if job.webhook_sha256:
        # The job's user reads it, in the system domain as well.
        steps += _file_steps("write", found, own, found.uid, SECRET_MODE, job.webhook_sha256)
    elif own in found.entries:
        steps.append(Step("remove", own, "present", "absent", "no webhook is wanted"))
    if other in found.entries:
        steps.append(Step("remove", other, "present", "absent", "the service belongs into another domain"))
    return steps


def plan_absent(found: Found, launchd: service.Found, job: Job) -> tuple[Step, ...]:
    """List the steps to a Mac without the job: launchd forgets it, then its files go."""
    why = "nothing on this Mac needs it"
    labels = set(job.labels)
    steps = [Step("bootout", one.target, "loaded", "absent", why) for one in launchd.jobs if one.label in labels]
    steps += [Step("remove", file.path, "present", "absent", why) for file in launchd.files if file.label in labels]
    for domain in ("gui", "system"):
        path = settings_path(domain, found.home, job.verb)
        # A file in which a person keeps something stays; without the job nobody acts on it.
        if path in found.entries and (job.verb != "heal" or desired_state.is_only_ours(found.entries[path].text)):
            steps.append(Step("remove", path, "present", "absent", why))
        if job.verb == "heal" and job.webhook_sha256 is not None and secret_path(domain, found.home) in found.entries:
            steps.append(Step("remove", secret_path(domain, found.home), "present", "absent", why))
    return tuple(steps)


def settings_path(domain: str, home: str, verb: str) -> str:
    """Return where the program looks for what a verb is told: beside itself."""
    return f"{folder(domain, home)}/{desired_state.NAME if verb == 'heal' else f'{verb}.json'}"


def _folder_steps(found: Found, path: str, owner: int, *, new: bool) -> list[Step]:
    entry = found.entries.get(path)
    if entry is None:
        return [] if new else [Step("create", path, "absent", "a folder")]
    if entry.kind != "folder" or entry.uid != owner or entry.mode & 0o022:
        return [Step("protect", path, _shown(entry), f"a folder of {owner}, mode {FOLDER_MODE:04o}", "others could write there")]
    return []


def _file_steps(
    action: str, found: Found, path: str, owner: int, mode: int, sha256: str = "", text: str | None = None
) -> list[Step]:  # fmt: skip
    entry = found.entries.get(path)
    wanted = _settings(text) if text is not None else {"sha256": sha256[:12]}
    if entry is None:
        return [Step(action, path, "absent", wanted)]
    same = entry.text == text if text is not None else entry.sha256 == sha256
    if entry.kind == "file" and not same:
        return [Step(action, path, _settings(entry.text) if text is not None else {"sha256": entry.sha256[:12]}, wanted)]
    if entry.kind != "file" or entry.uid != owner or entry.mode != mode:
        # Not a chown, which only root may: a new file takes the place of the foreign one.
        return [
            Step(action, path, _shown(entry), f"a file of {owner}, mode {mode:04o}", "nobody else may write what launchd starts")
        ]
    return []


def _shown(entry: Entry) -> str:
    return f"a {entry.kind} of {entry.uid}, mode {entry.mode:04o}"


def _settings(text: str) -> Any:
    """Return a settings file as data, for the diff."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text[:200]


def found_from_json(data: Mapping[str, Any]) -> Found:
    """Read the `companion` part of an observation back."""
    return Found(data["uid"], data["home"], {path: Entry(**entry) for path, entry in data["entries"].items()})


def job_from_json(verb: str, data: Mapping[str, Any], home: str, uid: int = 0) -> Job:
    """Build the wanted job of a verb from plain values, for a Mac whose user has this home folder; ValueError with one sentence.

    They are `label`, `domain`, `user`, `interval`, `retired_labels` and `settings`, which is what the inventory says. For `heal`
    there is `webhook_sha256` as well.
    """
    if verb == "heal":
        wanted = data["settings"]["enabled"]
        return Job(
            verb=verb,
            label=data["label"],
            domain=data["domain"],
            user=data["user"],
            interval=int(data["interval"]),
            retired=tuple(data["retired_labels"]),
            settings=desired_state.data_from_inventory(data["settings"], data["domain"], data["label"], uid) if wanted else None,
            webhook_sha256=data["webhook_sha256"],
        )
    told = residents_settings(data["settings"]) if verb == "residents" else logs_settings(data["settings"], home)
    text = None if told is None else json.dumps({"schema": companion_settings.SCHEMA, **told})
    read = companion_settings.residents_from_text if verb == "residents" else companion_settings.logs_from_text
    return Job(
        verb=verb,
        label=data["label"],
        domain=data["domain"],
        user=data["user"],
        interval=int(data["interval"]),
        retired=tuple(data["retired_labels"]),
        settings=None if text is None else read(text),
    )


def residents_settings(desired: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what `residents` is told, as plain data; None for a Mac without residents."""
    residents = residents_of(desired["installed"])
    if not residents:
        return None
    return {
        "url": desired["url"],
        "residents": [{"context_length": one.context_length, "name": one.name} for one in residents],
        "load_timeout": int(desired["load_timeout"]),
        "patience": int(desired["patience"]),
        "swap_growth": int(desired["swap_growth_mib"]) * MIB,
    }


def logs_settings(desired: Mapping[str, Any], home: str) -> dict[str, Any]:
    """Return what `logs` is told, as plain data: the service's logs, further ones, and those of our own jobs."""
    own = [log_path(home, verb) for verb in VERBS]
    files = sorted({path.replace("~", home, 1) if path.startswith("~/") else path for path in [*desired["files"], *own]})
    return {
        "files": files,
        "size": int(desired["size_mib"]) * MIB,
        "keep": int(desired["keep"]),
        "compress": bool(desired["compress"]),
    }


def judge_program(case: Case) -> Judged:
    """Judge the program by the hash of what this checkout builds."""
    wanted = case.desired["companion"]
    if not wanted["wanted"]:
        return NOT_OURS
    seen = case.part("companion")
    if isinstance(seen, Unknown):
        return Judged(unknown=seen)
    return Judged(plan_program(found_from_json(seen), wanted["domain"], wanted["sha256"]))


def judge_residents(case: Case) -> Judged:
    """Judge the job that loads residents."""
    return _judge_job(case, "ollama_residents", "residents")


def judge_logs(case: Case) -> Judged:
    """Judge the job that rotates logs."""
    return _judge_job(case, "log_rotation", "logs")


def judge_healer(case: Case) -> Judged:
    """Judge the job that watches memory and server."""
    return _judge_job(case, "healer", "heal")


def _judge_job(case: Case, concern: str, verb: str) -> Judged:
    wanted = case.desired[concern]
    if not wanted["managed"]:
        return NOT_OURS
    seen, launchd = case.part("companion"), case.part("launchd")
    for part in (seen, launchd):
        if isinstance(part, Unknown):
            return Judged(unknown=part)
    found = found_from_json(seen)
    return Judged(plan_job(found, service.found_from_json(launchd), job_from_json(verb, wanted, found.home, found.uid)))
