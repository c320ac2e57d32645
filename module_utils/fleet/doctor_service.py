"""What can be wrong with the service, its port and its server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import service, versions
from .doctor_patient import Diagnosis, Patient
from .environment import parse_host
from .homebrew import cellar_version
from .launchctl_output import Job
from .processes import Process
from .service_findings import CRASHES, clean
from .shown import harmless
from .units import MIB
from .vocabulary import Severity, Unknown

YOUNG = 120
"""Seconds in which a server may not answer yet: Ollama looks for its GPU for up to 30 (discover/runner.go, 0.32), and tells the
log what it found, `inference compute`, before it answers. The healer waits as long (`healer_start_grace`)."""

RESPAWNED = 15
"""A process younger than this, of a job that launchd started several times, is one of a loop (ThrottleInterval is 10 s)."""

LATELY = 3600
"""Seconds for which a service that has recovered is still told of."""

LARGE_LOG = 1024 * MIB
"""From here on a log that nobody rotates is told of."""

APP = "Ollama.app/Contents/"
SHELLS = ("sh", "bash", "zsh", "fish", "tmux", "screen", "login")


def rules(one: Patient) -> Iterator[Diagnosis]:
    """Yield what is wrong, each on its own; what follows from what is judged elsewhere."""
    if not isinstance(one.launchd, Unknown):
        yield from _session(one, one.launchd)
        yield from _definition(one, one.launchd)
        yield from _others(one, one.launchd)
        yield from _job(one, one.launchd)
    yield from _program(one)
    yield from _logs(one)
    yield from _port(one)
    yield from _server(one)


def _run(one: Patient) -> str:
    return f"run `ansible-playbook site.yml --limit {one.host}`"


def _session(one: Patient, found: service.Found) -> Iterator[Diagnosis]:
    if one.wanted.domain != "gui" or found.gui_session is not False:
        return
    said = one.findings("ollama_service", one.wanted.target_domain(found.uid))
    evidence = [str(finding["why"]) for finding in said if finding["severity"] == "error"]
    domain = one.wanted.target_domain(found.uid)
    yield one.finds(
        "service.nobody_logged_in",
        [f"launchd has no {domain}", *evidence],
        "log in at the Mac's screen, or set ollama_service_domain to system, which starts at boot",
    )


def _definition(one: Patient, found: service.Found) -> Iterator[Diagnosis]:
    path = one.wanted.path(found.home)
    own = next((file for file in found.files if file.path == path), None)
    lacks = service.file_differences(own, one.wanted.definition).get("file")
    problem = ""
    if lacks:
        problem = f"{path} is {lacks[0]}"
    elif own and own.uid != one.wanted.owner(found.uid):
        problem = f"{path} belongs to user {own.uid}, launchd takes it from user {one.wanted.owner(found.uid)} alone"
    elif own and own.mode & 0o022:
        problem = f"{path} has the mode {own.mode:04o}, launchd refuses what others may write"
    if problem:
        runs = one.pid is not None
        evidence = [problem, *([f"it still runs (pid {one.pid}), and does not start the next time"] if runs else [])]
        yield one.finds("service.bad_definition", evidence, f"{_run(one)}, which writes it anew", severity=_lesser(one))


def _lesser(one: Patient) -> Severity:
    """Say how bad it is that something would not start: a server that runs has time until the next start."""
    return "error" if one.pid is None else "warning"


def _others(one: Patient, found: service.Found) -> Iterator[Diagnosis]:
    domain = one.wanted.target_domain(found.uid)
    for job in found.jobs:
        runs = f"runs as process {job.pid}" if job.pid else f"is loaded there ({job.state or 'no state'})"
        if job.label == one.wanted.label and job.domain != domain:
            yield one.finds(
                "service.wrong_domain", [f"{job.target} {runs}; the inventory wants it in {domain}"],
                f"{_run(one)}, which takes it out of {job.domain}",
            )  # fmt: skip
        elif job.label in one.wanted.retired:
            yield one.finds(
                "service.rival", [f"{job.target} {runs}, started from {job.path or 'no file'}"],
                f"{_run(one)}, which takes it out; {_stop(job.target)} does it by hand", job.target,
            )  # fmt: skip


def _job(one: Patient, found: service.Found) -> Iterator[Diagnosis]:
    job, domain, target = one.job, one.wanted.target_domain(found.uid), one.target
    off = found.is_disabled(domain, one.wanted.label)
    if off:
        now = f"it runs (pid {one.pid}), and does not start the next time" if one.pid else "it is not loaded"
        yield one.finds(
            "service.disabled", [f"launchctl print-disabled {domain} names {one.wanted.label}", now],
            f"{_run(one)}; `launchctl enable {target}` does it by hand", severity=_lesser(one),
        )  # fmt: skip
    if job is None:
        why = [str(step["found"]) for step in one.steps("ollama_service") if step["action"] == "bootstrap"]
        yield one.finds(
            "service.not_loaded", [f"launchctl print {target} knows no such service", *why[:1]],
            f"{_run(one)}; if it is gone again at once, look at System Settings > General > Login Items",
        )  # fmt: skip
        return
    yield from _stale(one, job, found)
    history = f"{target}: {job.state}, started {job.runs} times, {job.last_exit or 'no exit known'}"
    log = f"read {harmless(one.wanted.definition.get('StandardErrorPath', 'its log'))} on {one.host}"
    if job.pid is None and job.state == "not running" and (clean(job.last_exit) or not job.last_exit):
        yield one.finds("service.not_running", [history], f"{_run(one)}; `launchctl kickstart {target}` does it by hand")
    elif job.pid is None:
        hint = ["78 is EX_CONFIG: launchd could not open its log, or found no program"] if "78" in job.last_exit else []
        yield one.finds("service.crash_loop", [history, *hint, *one.complaints()], log)
    elif not one.serves and _respawns(one):
        age = one.age(job.pid)
        since = f"its process {job.pid} is {age:.0f} s old" if age is not None else f"its process is {job.pid}"
        yield one.finds("service.crash_loop", [history, since, *one.complaints()], log, certainty="likely")
    elif job.successive_crashes >= CRASHES and (one.age(job.pid) or 0) < LATELY:
        said = f"{history}; it crashed {job.successive_crashes} times in a row before and runs now (pid {job.pid})"
        yield one.finds("service.crash_loop", [said, *one.complaints()], log, severity="note")


def _respawns(one: Patient) -> bool:
    job, age = one.job, one.age(one.pid)
    if job is None:
        return False
    # How often it crashed in a row launchd tells also of a job that has run for days since.
    return age is not None and age < RESPAWNED and max(job.runs, job.successive_crashes) >= CRASHES


def _stale(one: Patient, job: Job, found: service.Found) -> Iterator[Diagnosis]:
    wrong = service.live_differences(job, one.wanted.definition, one.wanted.path(found.home))
    # Alone, an address is told by its effect, which is what somebody looks for.
    if wrong and not (_bound_elsewhere(one) and set(wrong) == {"EnvironmentVariables.OLLAMA_HOST"}):
        yield one.finds(
            "service.stale_definition",
            [f"{key}: launchd has {_value(pair[0])}, the inventory {_value(pair[1])}" for key, pair in wrong.items()],
            f"{_run(one)}; a new file alone changes nothing, launchd reads it only while it loads the job",
        )


def _value(value: Any) -> str:
    return "none" if value in (None, "") else harmless(value)


def _program(one: Patient) -> Iterator[Diagnosis]:
    if isinstance(one.keg, Unknown) or one.keg.program:
        return
    program = one.desired["ollama_service"]["program"]
    formula = one.desired["homebrew"]["formula"]
    if not one.keg.brew:
        state, remedy = "Homebrew is not installed", f"install Homebrew (https://brew.sh), then {_run(one)}"
    elif not one.keg.installed:
        state, remedy = f"the formula {formula} is not installed", _run(one)
    else:
        linked = f"linked is {one.keg.linked}" if one.keg.linked else "none is linked"
        have = f"{formula} {', '.join(one.keg.installed)} is in the Cellar, {linked}"
        state, remedy = have, f"`brew reinstall {formula}` on {one.host}, then {_run(one)}"
    runs = [f"the old process still runs (pid {one.pid})"] if one.pid else []
    yield one.finds("service.program_missing", [f"{program} leads to no program that can be run", state, *runs], remedy)


def _logs(one: Patient) -> Iterator[Diagnosis]:
    logs = one.part("logs")
    if isinstance(logs, Unknown):
        return
    rotation = one.desired.get("log_rotation") or {}
    limit = 2 * int(rotation["settings"]["size_mib"]) * MIB if rotation.get("managed") else LARGE_LOG
    for path, log in sorted(logs.items()):
        if log is None:
            if one.pid is not None:
                yield one.finds(
                    "log.missing", [f"process {one.pid} runs, and {path}, which launchd opened for it, is not there"],
                    f"run `ansible-playbook playbooks/restart.yml --limit {one.host}`; a file made by hand is another",
                    path,
                )  # fmt: skip
            continue
        reason = log.get("unknown") if isinstance(log, Mapping) else None
        if reason is not None or log.get("writable") is False:
            said = reason or f"{path} may not be written by the user of the service"
            yield one.finds(
                "log.unwritable", [f"{path}: {said}" if reason else said, "launchd ends such a job with 78 (EX_CONFIG)"],
                f"take {path} away as its owner or root, or set ollama_service_stderr_path and ollama_service_stdout_path to"
                " a folder of the user", path, _lesser(one),
            )  # fmt: skip
        elif int(log["size_bytes"]) > limit:
            yield one.finds(
                "log.growing", [f"{path} has {log['size_bytes'] // MIB} MiB, rotation begins at {limit // 2 // MIB} MiB"],
                f"look whether {one.target}.logs runs; {_run(one)}", path,
            )  # fmt: skip


# The port. ----------------------------------------------------------------------------------------------------------------


def _port(one: Patient) -> Iterator[Diagnosis]:
    port = _bind(one).port
    for pid in one.strangers[:1]:
        process = one.processes.get(pid)
        name = "port.held_by_app" if _of_app(one, pid) else "port.held_by_other"
        who = _who(pid, process, one.listener)
        evidence = [f"port {port} is held by {who}", *_origin(one, pid)]
        evidence.append(f"the service is process {one.pid}" if one.pid else "the service has no process")
        yield one.finds(name, evidence, f"{_release(one, pid)}; the service takes the port again by itself within 10 s")
    if one.unseen_holder:
        others = [
            process for process in one.processes.values() if "serve" in process.command and process.pid != one.pid
        ]  # fmt: skip
        evidence = [
            f"port {port} takes connections, and no process of this user holds it: it is another user's",
            *_likely(others),
        ]
        yield one.finds(
            "port.held_by_other", evidence,
            f"ask who it is on {one.host}: `sudo lsof -nP -iTCP:{port} -sTCP:LISTEN`, and stop it through whatever started it",
        )  # fmt: skip
    around = one.part("surroundings")
    if not isinstance(around, Unknown) and around["app"]:
        said = one.findings("ollama_service", around["app"])
        yield one.finds(
            "app.installed", [str(finding["why"]) for finding in said] or [f"{around['app']} is there"],
            str(said[0]["remedy"]) if said else "quit it and drag it to the Trash",
        )  # fmt: skip


def _bind(one: Patient) -> Any:
    return parse_host(one.wanted.definition.get("EnvironmentVariables", {}).get("OLLAMA_HOST", ""))


def _likely(others: list[Process]) -> list[str]:
    return [f"it may be {_described(process)}" for process in others[:2]]


def _described(process: Process) -> str:
    since = f" since {process.started}" if process.started else ""
    return f"process {process.pid} of {harmless(process.user)}{since}: {harmless(process.command, 120)}"


def _who(pid: int, process: Process | None, listener: Any) -> str:
    if process is not None:
        return _described(process)
    at = list(listener["pids"]).index(pid)
    command = listener["commands"][at] if at < len(listener["commands"]) else "a command that lsof does not name"
    return f"process {pid} ({harmless(command)})"


def _chain(one: Patient, pid: int) -> list[Process]:
    """Return a process and those that started it, up to launchd, which is left out."""
    chain: list[Process] = []
    process = one.processes.get(pid)
    while process is not None and process.pid > 1 and process not in chain:
        chain.append(process)
        process = one.processes.get(process.parent)
    return chain


def _of_app(one: Patient, pid: int) -> bool:
    return any(APP in process.command for process in _chain(one, pid))


def _label(one: Patient, pid: int) -> str:
    """Return the launchd job that a process or one of those that started it is, "" where launchd knows none of them."""
    return next((one.supervisors[str(each)] for each in _pids(one, pid) if str(each) in one.supervisors), "")


def _pids(one: Patient, pid: int) -> list[int]:
    return [pid, *(process.pid for process in _chain(one, pid)[1:])]


def _origin(one: Patient, pid: int) -> list[str]:
    label = _label(one, pid)
    if label:
        return [f"launchd runs it as {label}"]
    parents = _chain(one, pid)[1:]
    if parents:
        return [f"it was started by {' < '.join(f'{harmless(one.command, 60)} ({one.pid})' for one in parents[:3])}"]
    return ["whatever started it has ended"] if pid in one.processes else []


def _release(one: Patient, pid: int) -> str:
    """Say how to end a process by whatever started it: killed, a supervisor starts it again, and Ollama's runner stays behind."""
    if _of_app(one, pid):
        return "quit Ollama.app by its icon in the menu bar, and take it out of System Settings > General > Login Items"
    label = _label(one, pid)
    if label:
        return f"stop it with {_stop(label)}"
    if any(process.command.split("/")[-1].split(" ")[0].lstrip("-") in SHELLS for process in _chain(one, pid)[1:]):
        return "end it with Ctrl-C in the terminal in which it was started"
    return f"end it as whatever started it would; `kill {pid}` asks it to end in order, -9 would leave its runner behind"


def _stop(target: str) -> str:
    if target.rpartition("/")[2] == service.HOMEBREW_LABEL:
        return "`brew services stop ollama`"
    return f"`{'sudo ' if target.startswith('system/') else ''}launchctl bootout {target}`"


# The server. --------------------------------------------------------------------------------------------------------------


def _bound_elsewhere(one: Patient) -> bool:
    """Tell a service that holds its port at another address than declared, by the judgement of verify."""
    item = f"port {_bind(one).port}"
    return one.holds_port and any(finding.item == item for finding in one.invariants)


def _server(one: Patient) -> Iterator[Diagnosis]:
    yield from _foreign(one)
    if _bound_elsewhere(one) and one.job is not None and not isinstance(one.listener, Unknown):
        addresses, running = ", ".join(one.listener["addresses"]) or "no address", one.job.environment.get("OLLAMA_HOST")
        yield one.finds(
            "server.wrong_bind",
            [f"it listens at {addresses}, declared is {_bind(one).address}",
             f"the running process has OLLAMA_HOST {harmless(running)}" if running else "the running process has no OLLAMA_HOST"],
            f"{_run(one)}; a change of OLLAMA_HOST in a shell or with `launchctl setenv` does not reach the service",
        )  # fmt: skip
    # A connection that does not even come is not the server's silence: something filters what the Mac asks itself.
    takes = not isinstance(one.listener, Unknown) and bool(one.listener["open"])
    if one.holds_port and takes and isinstance(one.version, Unknown) and "timed out" in one.version.reason:
        yield _silent(one)
    elif one.version is None and one.pid is not None and not one.strangers and not _respawns(one):
        age = one.age(one.pid)
        if age is not None and age < YOUNG:
            evidence = [f"process {one.pid} was started {age:.0f} s ago and does not listen yet"]
            yield one.finds("server.starting", evidence, "wait a moment and look again", certainty="likely")
    yield from _outdated(one)


def _silent(one: Patient) -> Diagnosis:
    age = one.age(one.pid)
    said = f"process {one.pid} holds the port and does not answer GET /api/version"
    found_gpu = any('msg="inference compute"' in line for line in one.lines)
    if age is not None and age < YOUNG and not found_gpu:
        evidence = [said, f"it was started {age:.0f} s ago and looks for its GPU"]
        return one.finds("server.starting", evidence, "wait a moment and look again", certainty="likely")
    since = f"it has run for {age:.0f} s" if age is not None else "how long it has run is not known"
    return one.finds(
        "server.hangs", [said, since],
        f"run `ansible-playbook playbooks/restart.yml --limit {one.host}`; the healer does so after three minutes of silence",
    )  # fmt: skip


def _outdated(one: Patient) -> Iterator[Diagnosis]:
    if isinstance(one.launchd, Unknown) or isinstance(one.keg, Unknown) or one.pid is None:
        return
    process = one.processes.get(one.pid)
    keg = cellar_version(process.command) if process else ""
    gone = bool(keg) and bool(one.keg.program) and not any(versions.same_release(keg, there) for there in one.keg.installed)
    if not (one.serves and one.launchd.is_outdated) and not gone:
        return
    running = one.launchd.running_version or keg
    evidence = [f"the process answers as {running}, the program on disk is {one.launchd.program_version or one.keg.linked}"]
    if not any(versions.same_release(running, there) for there in one.keg.installed):
        evidence.append(f"the Cellar has no {running} any more, so this process finds no llama-server for the next model")
    yield one.finds(
        "server.stale_binary", evidence,
        f"{_run(one)}, which restarts it; `brew upgrade` by itself restarts nothing, playbooks/upgrade.yml does",
    )  # fmt: skip


def _foreign(one: Patient) -> Iterator[Diagnosis]:
    if one.job is None:
        return
    for finding in one.findings("ollama_service"):
        domain, _, name = str(finding["item"]).partition(" ")
        if finding["severity"] == "warning" and domain == one.job.domain and name in one.job.inherited:
            yield one.finds("server.foreign_environment", [str(finding["why"])], str(finding["remedy"]), name)
