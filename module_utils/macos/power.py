"""Read and change when a Mac sleeps and what its GPU may wire. Reading needs no root."""

from __future__ import annotations

import contextlib
import plistlib
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from . import system_job
from .commands import run
from .files import replace_file

if TYPE_CHECKING:
    from fleet.power import (
        AC,
        DISABLE_SLEEP,
        FOLDER,
        JOB_PATH,
        LABEL,
        LIMIT,
        RECORD_PATH,
        SYSCTL,
        SYSTEM,
        Found,
        Values,
        Wanted,
        command,
        job_text,
        parse_capabilities,
        parse_limit,
        parse_record,
        parse_settings,
        parse_sleep_disabled,
        record_text,
    )
    from fleet.vocabulary import Step, Unknown
else:
    from ansible.module_utils.fleet.power import (
        AC,
        DISABLE_SLEEP,
        FOLDER,
        JOB_PATH,
        LABEL,
        LIMIT,
        RECORD_PATH,
        SYSCTL,
        SYSTEM,
        Found,
        Values,
        Wanted,
        command,
        job_text,
        parse_capabilities,
        parse_limit,
        parse_record,
        parse_settings,
        parse_sleep_disabled,
        record_text,
    )
    from ansible.module_utils.fleet.vocabulary import Step, Unknown


PMSET = "/usr/bin/pmset"
FILE_MODE, FOLDER_MODE = 0o644, 0o755

UPDATES = ("/Library/Managed Preferences/com.apple.SoftwareUpdate.plist", "/Library/Preferences/com.apple.SoftwareUpdate.plist")
"""A profile's word comes before the person's own. Both may be read by everybody."""
INSTALLS_MACOS = "AutomaticallyInstallMacOSUpdates"


# Looking. ---------------------------------------------------------------------------------------------------------------


def observe(*, asked: bool = True) -> Found:
    """Read settings, capabilities, limit, record and job; OSError when launchd cannot tell.

    On a Mac where nothing is asked for and nothing of ours lies, no command is started.
    """
    record = read_record()
    if not asked and not isinstance(record, Unknown) and not record and not Path(JOB_PATH).exists():
        return Found()
    with ThreadPoolExecutor(max_workers=4) as pool:
        system = pool.submit(_probe, lambda: parse_sleep_disabled(_pmset("live")))
        custom = pool.submit(_probe, lambda: parse_settings(_pmset("custom")))
        abilities = pool.submit(_probe, lambda: parse_capabilities(_pmset("cap")))
        limit = pool.submit(_probe, read_limit)
        launchd = system_job.observe(LABEL)
        able = abilities.result()
        return Found(
            settings=_together(custom.result(), system.result()),
            capabilities=able if isinstance(able, Unknown) else able[1],
            told_for=AC if isinstance(able, Unknown) else able[0],
            limit=limit.result(),
            record=record,
            os_updates=read_updates(),
            launchd=launchd,
        )


def _probe(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except OSError as problem:
        return Unknown(str(problem))


def _pmset(what: str) -> str:
    answer = run([PMSET, "-g", what])
    if answer.rc != 0:
        message = f"pmset -g {what}: {answer.said}"
        raise OSError(message)
    return answer.out


def _together(custom: dict[str, dict[str, int]] | Unknown, asleep: bool | Unknown) -> dict[str, Values] | Unknown:
    """Put the sources and the one setting of the whole Mac together; what is not known of one is not known of all."""
    if isinstance(custom, Unknown):
        return custom
    return asleep if isinstance(asleep, Unknown) else {**custom, SYSTEM: {DISABLE_SLEEP: int(asleep)}}


def read_limit() -> int | Unknown | None:
    """Return what Metal may wire, None where the kernel has no such variable."""
    answer = run([SYSCTL, "-n", LIMIT])
    if answer.rc != 0:
        return None if "unknown oid" in answer.err else Unknown(f"sysctl -n {LIMIT}: {answer.said}")
    return parse_limit(answer.out)


def read_record() -> dict[str, dict[str, int]] | Unknown:
    """Return what was found before the first change, nothing where nothing was changed; only root's own file is believed."""
    path = Path(RECORD_PATH)
    try:
        status = path.lstat()
        text = path.read_text(encoding="utf-8", errors="replace") if stat.S_ISREG(status.st_mode) else ""
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as problem:
        return Unknown(str(problem))
    if status.st_uid != 0 or status.st_mode & 0o022 or not stat.S_ISREG(status.st_mode):
        return Unknown(f"{RECORD_PATH} is not root's own; look what it says and delete it")
    return parse_record(text)


def read_updates() -> bool | Unknown | None:
    """Tell whether macOS installs its own updates and restarts for them; None where nobody has said."""
    for path in UPDATES:
        try:
            settings = plistlib.loads(Path(path).read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError, ExpatError, plistlib.InvalidFileException) as problem:
            return Unknown(f"{path}: {problem}")
        if isinstance(settings, dict) and isinstance(settings.get(INSTALLS_MACOS), (bool, int)):
            return bool(settings[INSTALLS_MACOS])
    return None


# Changing, as root. -----------------------------------------------------------------------------------------------------


def act(step: Step, found: Found, wanted: Wanted) -> None:
    """Carry out one step; OSError with a sentence when the Mac refuses."""
    if step.action in ("remember", "forget"):
        _write_record(step.wanted)
    elif step.action == "set" and step.item == LIMIT:
        answer = run([SYSCTL, f"{LIMIT}={step.wanted}"])
        if answer.rc != 0:
            message = f"sysctl {LIMIT}={step.wanted}: {answer.said}"
            raise OSError(message)
    elif step.action == "set":
        for words in command(step, found):
            answer = run([PMSET, *words])
            if answer.rc != 0:
                message = f"pmset {' '.join(words)}: {answer.said}"
                raise OSError(message)
    else:
        _handle_job(step, wanted)


def _handle_job(step: Step, wanted: Wanted) -> None:
    if step.action in ("write", "protect"):
        replace_file(Path(JOB_PATH), job_text(wanted.limit or 0).encode(), FILE_MODE, (0, 0))
    elif step.action == "remove":
        Path(step.item).unlink(missing_ok=True)
    elif step.action == "enable":
        system_job.enable(step.item)
    elif step.action == "bootout":
        system_job.boot_out(step.item)
    elif step.action == "bootstrap":
        system_job.bootstrap(JOB_PATH)
        # What works now works at boot.
        system_job.wait_for_its_end(f"system/{LABEL}")
    else:
        system_job.start_anew(step.item, JOB_PATH)
        system_job.wait_for_its_end(step.item)


def _write_record(record: Any) -> None:
    """Write the record, or take it and our folder with the last file away."""
    path, folder = Path(RECORD_PATH), Path(FOLDER)
    if not isinstance(record, dict):
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is still in it
            folder.rmdir()
        return
    if not folder.exists():
        folder.mkdir(mode=FOLDER_MODE)
        folder.chmod(FOLDER_MODE)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        message = f"{FOLDER} is not a folder of root alone; take it away or give it back to root (chown 0, chmod 755)"
        raise OSError(message)
    replace_file(path, record_text(record).encode(), FILE_MODE, (0, 0))
