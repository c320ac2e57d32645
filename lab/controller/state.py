"""What of a lab can be seen from outside: a small folder under /run, and whether its keeper still lives.

Everything else (disks, logs, keys) is on memory mounted in the keeper's own mount namespace and is gone with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB_FOLDER = Path(__file__).resolve().parent.parent
RUN = Path("/run/ollama-fleet-lab")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


class LabError(Exception):
    """Something the person at the keyboard can mend; its text is one sentence with the remedy."""


@dataclass(frozen=True)
class Record:
    """What `up` leaves for the other verbs. A pid alone may be another process by now; its start time tells."""

    name: str
    pid: int
    start_time: int
    hosts: tuple[str, ...]
    extra_macs: int
    macos: int
    checkout: str

    @property
    def alive(self) -> bool:
        """Tell whether the keeper that wrote this is still there."""
        return start_time(self.pid) == self.start_time


def default_name(checkout: Path) -> str:
    """Derive a lab's name from where the checkout is, so that two checkouts have a lab each."""
    return "lab-" + hashlib.sha256(os.fsencode(checkout)).hexdigest()[:8]


def lab_name(asked: str | None) -> str:
    """Choose the lab's name: asked for, else LAB_NAME, else this checkout's own."""
    name = asked or os.environ.get("LAB_NAME") or default_name(LAB_FOLDER.parent)
    if not _NAME.fullmatch(name):
        raise LabError(
            f"{name!r} cannot be a lab's name: use up to 31 small letters, digits and hyphens, a letter or digit first."
        )
    return name


def start_time(pid: int) -> int | None:
    """Read when a process started, in clock ticks since boot; None once it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold spaces and brackets itself; the fields of interest follow the last one.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Folder:
    """The state folder of one lab."""

    name: str

    @property
    def path(self) -> Path:
        """Give the folder itself."""
        return RUN / self.name

    @property
    def record(self) -> Path:
        """Give the file that says which process the lab is."""
        return self.path / "state.json"

    @property
    def socket(self) -> Path:
        """Give the keeper's control socket."""
        return self.path / "control"

    @property
    def mount_point(self) -> Path:
        """Give the empty folder on which the keeper mounts its private memory; it stays empty seen from here."""
        return self.path / "memory"

    @property
    def ssh(self) -> Path:
        """Give the folder with the client's key, the known hosts and ssh_config."""
        return self.path / "ssh"

    @property
    def ssh_config(self) -> Path:
        """Give the client configuration that leads into every host of this lab."""
        return self.ssh / "config"

    @property
    def identity(self) -> Path:
        """Give the client's private key."""
        return self.ssh / "id_ed25519"

    @property
    def control_paths(self) -> Path:
        """Give the folder for Ansible's connection sockets: per lab, or two labs would share connections."""
        return self.ssh / "cp"

    def read(self) -> Record | None:
        """Read the record; None when there is none, or one that another version of the lab wrote."""
        try:
            known = json.loads(self.record.read_text(encoding="utf-8"))
            return Record(**{**known, "hosts": tuple(known["hosts"])})
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, TypeError, KeyError):
            return None

    def write(self, record: Record) -> None:
        """Leave the record, whole or not at all."""
        draft = self.record.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(record), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.chmod(0o644)
        draft.replace(self.record)

    def running(self) -> Record | None:
        """Give the record of a lab that is up."""
        record = self.read()
        return record if record is not None and record.alive else None

    def require(self) -> Record:
        """Give the record, or say how to get a lab."""
        record = self.running()
        if record is None:
            raise LabError(f"Lab {self.name} is not running: start it with `lab/lab up`.")
        return record

    def remove(self) -> bool:
        """Delete the folder, and the folder of all labs with the last of them."""
        existed = self.path.exists()
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            RUN.rmdir()
        return existed

    def remove_if_stale(self) -> bool:
        """Delete what a lab left that ended without `down`."""
        return self.path.exists() and self.running() is None and self.remove()


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one `up` or `down` run at a time on this machine; the lock is on /run itself and leaves no file."""
    descriptor = os.open(RUN.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
