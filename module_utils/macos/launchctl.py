"""Ask launchd and read its folders. Exit numbers as in `launchctl error N`, the same as in the messages."""

from __future__ import annotations

import plistlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers.expat import ExpatError

from .change_record import find_records
from .commands import Answer, run

if TYPE_CHECKING:
    from fleet.launchctl_output import Job, is_login_domain, parse_disabled, parse_job
    from fleet.service import File, Found
    from fleet.vocabulary import Unknown
else:
    from ansible.module_utils.fleet.launchctl_output import Job, is_login_domain, parse_disabled, parse_job
    from ansible.module_utils.fleet.service import File, Found
    from ansible.module_utils.fleet.vocabulary import Unknown


NOT_PERMITTED = 1
NO_SUCH_PROCESS = 3
IO_ERROR = 5
IN_PROGRESS = 36
ALREADY = 37
NO_DOMAIN = 112
NO_SERVICE = 113
NO_ACTION = 125
"""125: the gui domain is missing because nobody is logged in, as seen where `user/UID` exists; 112 where it does not."""

DOMAIN_GONE = (NO_DOMAIN, NO_ACTION)


def launchctl(*words: str, timeout: float = 20) -> Answer:
    """Run launchctl and hand back its exit number; never through a pipe, which would lose it."""
    return run(["/bin/launchctl", *words], timeout=timeout)


def read_job(domain: str, label: str) -> Job | None:
    """Return the job that launchd holds, None when the label or its domain is not there; OSError when it cannot tell."""
    answer = launchctl("print", f"{domain}/{label}")
    if answer.rc == 0:
        try:
            return parse_job(answer.out)
        except ValueError as problem:
            raise OSError(str(problem)) from problem
    if answer.rc in (NO_SERVICE, *DOMAIN_GONE):
        return None
    message = f"launchctl print {domain}/{label}: {answer.said}"
    raise OSError(message)


def read_session(uid: int) -> bool | Unknown:
    """Tell whether somebody is logged in at the screen as this user."""
    answer = launchctl("print", f"gui/{uid}")
    if answer.rc == 0:
        return is_login_domain(answer.out)
    if answer.rc in DOMAIN_GONE:
        return False
    return Unknown(answer.said)


def _read_disabled(domain: str) -> frozenset[str]:
    answer = launchctl("print-disabled", domain)
    if answer.rc == 0:
        return parse_disabled(answer.out)
    if answer.rc in DOMAIN_GONE:
        return frozenset()
    message = f"launchctl print-disabled {domain}: {answer.said}"
    raise OSError(message)


def read_files(home: str, labels: frozenset[str]) -> tuple[File, ...]:
    """Return the property lists in launchd's folders whose Label or file name is one of these.

    A file of another name with the same Label is a second server at the next login, so every file is opened.
    """
    files = []
    for folder in (f"{home}/Library/LaunchAgents", "/Library/LaunchAgents", "/Library/LaunchDaemons"):
        for path in sorted(Path(folder).glob("*.plist")):
            definition = read_definition(path)
            label = str((definition or {}).get("Label", path.stem))
            if not ({label, path.stem} & labels) or not (path.is_symlink() or path.exists()):
                continue
            status = path.lstat()
            files.append(
                File(
                    path=str(path),
                    label=label if label in labels else path.stem,
                    definition=definition,
                    mode=status.st_mode & 0o7777,
                    uid=status.st_uid,
                    symlink=path.is_symlink(),
                )
            )
    return tuple(files)


def read_definition(path: Path) -> dict[str, object] | None:
    """Read a property list, binary or XML; None when it is none or cannot be opened."""
    try:
        definition = plistlib.loads(path.read_bytes())
    except (OSError, ValueError, ExpatError, plistlib.InvalidFileException):
        return None
    return definition if isinstance(definition, dict) else None


def observe(uid: int, home: str, labels: Iterable[str]) -> Found:
    """Read all that launchd knows of these labels, in each domain where a copy could run; OSError when it cannot tell."""
    wanted = frozenset(labels)
    domains = (f"gui/{uid}", f"user/{uid}", "system")
    with ThreadPoolExecutor(max_workers=4) as pool:
        session = pool.submit(read_session, uid)
        disabled = [(domain, pool.submit(_read_disabled, domain)) for domain in domains]
        jobs = [pool.submit(read_job, domain, label) for domain in domains for label in sorted(wanted)]
        files = read_files(home, wanted)
        return Found(
            uid=uid,
            home=home,
            files=files,
            jobs=tuple(job for job in (future.result() for future in jobs) if job is not None),
            disabled=tuple((domain, future.result() & wanted) for domain, future in disabled),
            gui_session=session.result(),
            unfinished=find_records(home, wanted),
        )
