"""Read and change the packet filter's files, its job and its rules. Reading needs no root: the job tells what pf holds."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import launchctl, system_job
from .commands import Answer, run
from .system import address_towards

if TYPE_CHECKING:
    from fleet.packet_filter import (
        ANCHOR,
        FILES,
        FOLDER,
        JOB_PATH,
        LABEL,
        PF_CONF,
        PROGRAM_PATH,
        RULES_PATH,
        STATE_PATH,
        File,
        Found,
        State,
        Wanted,
        contents,
        lacks,
        parse_state,
        rules,
    )
    from fleet.vocabulary import Step, Unknown
else:
    from ansible.module_utils.fleet.packet_filter import (
        ANCHOR,
        FILES,
        FOLDER,
        JOB_PATH,
        LABEL,
        PF_CONF,
        PROGRAM_PATH,
        RULES_PATH,
        STATE_PATH,
        File,
        Found,
        State,
        Wanted,
        contents,
        lacks,
        parse_state,
        rules,
    )
    from ansible.module_utils.fleet.vocabulary import Step, Unknown


PFCTL = "/sbin/pfctl"
LONGEST_RUN_SECONDS = 60


class FilterFailed(Exception):
    """The change did not succeed; the message is one sentence."""


# Looking. ---------------------------------------------------------------------------------------------------------------


def observe(networks: Iterable[str] = ()) -> Found:
    """Read files, job and the job's account of pf, as any user; OSError when launchd cannot tell."""
    return Found(
        launchd=system_job.observe(LABEL),
        files=tuple(file for file in map(read_file, (FOLDER, *FILES)) if file is not None),
        state=read_state(),
        pf_conf=read_pf_conf(),
        reaches={text: address_towards(text) for text in networks},
    )


def read_file(path: str) -> File | None:
    """Return a file or folder of ours without following a link; None when there is none."""
    try:
        status = Path(path).lstat()
    except FileNotFoundError:
        return None
    mode = status.st_mode & 0o7777
    if stat.S_ISDIR(status.st_mode):
        return File(path, status.st_uid, mode, plain=path == FOLDER)
    if not stat.S_ISREG(status.st_mode):
        return File(path, status.st_uid, mode, plain=False)
    try:
        text = Path(path).read_text(errors="replace")
    except PermissionError:
        text = None
    return File(path, status.st_uid, mode, text, plain=path != FOLDER)


def read_state() -> State | Unknown | None:
    """Return what the job last told; None when it has not run since the boot, for /var/run is empty then."""
    path = Path(STATE_PATH)
    try:
        status = path.lstat()
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as problem:
        return Unknown(str(problem))
    if status.st_uid != 0 or status.st_mode & 0o022 or not stat.S_ISREG(status.st_mode):
        return Unknown(f"{STATE_PATH} is not root's own")
    return parse_state(text)


def read_pf_conf() -> bool | Unknown:
    """Tell whether the rules of the next boot lead to Apple's anchor and so to ours."""
    try:
        lines = Path(PF_CONF).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    except OSError as problem:
        return Unknown(str(problem))
    return any(line.split()[:2] == ["anchor", '"com.apple/*"'] for line in lines)


# Changing, as root. -----------------------------------------------------------------------------------------------------


def check(wanted: Wanted) -> None:
    """Let pf read the rules before anything is touched; FilterFailed with its own words when it does not take them."""
    with tempfile.TemporaryDirectory(prefix="ollama-fleet.") as folder:
        draft = Path(folder) / "rules"
        draft.write_text(rules(wanted))
        answer = run([PFCTL, "-n", "-a", ANCHOR, "-f", str(draft)])
    if answer.rc != 0:
        message = f"pfctl does not take the rules ({complaint(answer)}). Nothing was changed."
        raise FilterFailed(message)


def complaint(answer: Answer) -> str:
    """Return what pfctl complains of, without the lines it writes on every call (seen on macOS 26.5.1)."""
    noise = ("No ALTQ", "ALTQ related", "pfctl: Use of -f option", "present in the main", "See /etc/pf.conf")
    lines = [line for line in answer.err.splitlines() if line.strip() and not line.startswith(noise)]
    return "; ".join(lines) or answer.said


class Change:
    """One change of the filter: everything in place afterwards, or everything as it was."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.texts = contents(wanted)
        self.saved = {path: Path(path).read_bytes() for path in self.texts if Path(path).is_file()}

    def carry_out(self, steps: Sequence[Step]) -> None:
        """Do the steps in their order; FilterFailed with what went wrong, after the old rules are back."""
        try:
            for step in steps:
                act(step, self.texts)
                if step.action == "load":
                    self._look()
        except (OSError, FilterFailed) as problem:
            message = f"{problem}. {self._restore()}"
            raise FilterFailed(message) from problem

    def _look(self) -> None:
        state = read_state()
        if not isinstance(state, State):
            reason = "no file" if state is None else state.reason
            message = f"{PROGRAM_PATH} ran and did not tell what pf holds ({reason})"
            raise FilterFailed(message)
        if not state.asked:
            message = (
                f'the main rules of pf have no line `anchor "com.apple/*"`, so no rule below it is asked; load Apple\'s own'
                f" with `sudo pfctl -f {PF_CONF}`"
            )
            raise FilterFailed(message)
        wrong = lacks(state, self.wanted)
        if wrong:
            said = ", ".join(f"{key} {pair[0]!r} instead of {pair[1]!r}" for key, pair in wrong.items())
            message = f"pf did not take the rules: {said}"
            raise FilterFailed(message)

    def _restore(self) -> str:
        with contextlib.suppress(OSError, FilterFailed):
            for path in self.texts:
                if path in self.saved:
                    write(path, self.saved[path], FILES.get(path, 0o644))
                else:
                    Path(path).unlink(missing_ok=True)
            if PROGRAM_PATH in self.saved and RULES_PATH in self.saved:
                load()
                if JOB_PATH in self.saved and launchctl.read_job("system", LABEL) is None:
                    system_job.bootstrap(JOB_PATH)
                return "The rules of before are in force again."
            flush()
            return "There were no rules before, and none are left."
        return "The rules of before could not be put back."


def act(step: Step, texts: dict[str, str]) -> None:
    """Carry out one step; FilterFailed or OSError when the Mac refuses."""
    acts: dict[str, Callable[[], None]] = {
        "protect": lambda: protect(step.item),
        "write": lambda: write(step.item, texts[step.item].encode(), FILES.get(step.item, 0o644)),
        "load": load,
        "flush": flush,
        "remove": lambda: remove(step.item),
        "bootout": lambda: system_job.boot_out(step.item),
        "enable": lambda: system_job.enable(step.item),
        "bootstrap": lambda: system_job.bootstrap(JOB_PATH),
        "reload": lambda: system_job.start_anew(step.item, JOB_PATH),
    }
    acts[step.action]()


def protect(path: str) -> None:
    """Make a folder or the job's file root's own; what is no plain folder goes."""
    place = Path(path)
    if path == FOLDER and (place.is_symlink() or not place.is_dir()):
        place.unlink()
        make_folder()
        return
    os.chown(path, 0, 0)
    place.chmod(0o755 if path == FOLDER else 0o644)


def make_folder() -> None:
    """Make our folder, in Apple's own which only root may write."""
    if not Path(FOLDER).is_dir():
        Path(FOLDER).mkdir(mode=0o755)
        os.chown(FOLDER, 0, 0)
        Path(FOLDER).chmod(0o755)


def write(path: str, content: bytes, mode: int) -> None:
    """Replace a file in one rename. The name in between must not end in .plist, or launchd would load it at boot."""
    if path in FILES:
        make_folder()
    if Path(path).is_dir() and not Path(path).is_symlink():
        message = f"{path} is a folder; take it away"
        raise FilterFailed(message)
    handle, draft = tempfile.mkstemp(prefix=f".{Path(path).name}.", suffix=".new", dir=Path(path).parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chown(draft, 0, 0)
        Path(draft).chmod(mode)
        Path(draft).replace(path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise


def load() -> None:
    """Run the very program that runs at boot: what works now works then."""
    answer = run([PROGRAM_PATH], timeout=LONGEST_RUN_SECONDS)
    if answer.rc != 0:
        message = f"{PROGRAM_PATH} ended with {answer.rc}: {answer.said}"
        raise FilterFailed(message)


def flush() -> None:
    """Empty our anchor; the main rules and everybody else's stay."""
    answer = run([PFCTL, "-a", ANCHOR, "-F", "all"])
    if answer.rc != 0:
        message = f"pfctl -a {ANCHOR} -F all: {complaint(answer)}"
        raise FilterFailed(message)


def remove(path: str) -> None:
    """Take a file away, and our folder with the last one in it."""
    Path(path).unlink(missing_ok=True)
    if path in FILES:
        with contextlib.suppress(OSError):  # something else is still in it
            Path(FOLDER).rmdir()
