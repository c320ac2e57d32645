"""Lead a formula to another version in a way that can be taken back: by brew where it can, by its own links where it cannot."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .brew import Brew, told
from .system import REFUSED, UNPROVED

if TYPE_CHECKING:
    from fleet.homebrew import Keg
    from fleet.vocabulary import Step
else:
    from ansible.module_utils.fleet.homebrew import Keg
    from ansible.module_utils.fleet.vocabulary import Step


UPGRADE_SECONDS = 3600
"""A bottle of Ollama is about 60 MB, its dependencies more: a slow line may take its time, a dead one ends by curl's limits."""

LINKED_FOLDERS = ("etc", "bin", "sbin", "include", "share", "lib", "Frameworks")
"""What Keg#link links, in its order (keg.rb at 6.0.18)."""

LOCK_SECONDS = 60
POLL_SECONDS = 0.2


class HomebrewFailed(Exception):
    """The formula did not become what was wanted."""


class Formula:
    """One formula of one prefix, and what is done to it; `previous` is the version to go back to."""

    def __init__(self, brew: Brew, name: str, found: Keg, previous: str = "") -> None:
        self.brew = brew
        self.name = name
        self.found = found
        self.previous = previous or found.linked
        self.prefix = Path(brew.prefix)
        self.rack = self.prefix / "Cellar" / name
        self.opt = self.prefix / "opt" / name
        self.record = self.prefix / "var" / "homebrew" / "linked" / name
        self.pin_record = self.prefix / "var" / "homebrew" / "pinned" / name
        # A name in bin/ that belongs to somebody else was so before and is not ours to mend.
        self.was_linked = self.record.is_symlink()

    @property
    def linked(self) -> str:
        """Return the version that `opt/` leads to now."""
        return self.opt.resolve().name if self.opt.is_dir() else ""

    def do(self, step: Step) -> None:
        """Carry out one step of the plan; HomebrewFailed with what brew said."""
        if step.action == "upgrade":
            self.upgrade(step.wanted)
            self._note(step.wanted, UNPROVED, self.previous)
        elif step.action == "relink":
            self._note(step.wanted, UNPROVED, self.previous)
            self.switch(step.wanted)
        elif step.action == "pin":
            self.pin(step.wanted)
        elif step.action == "unpin":
            self.pin("")
        elif step.action == "remove":
            self.remove(step.item.rpartition(" ")[2])

    def upgrade(self, version: str) -> None:
        """Let brew pour and link the version that it named before; the old keg stays."""
        answer = self.brew("upgrade", "--formula", self.name, timeout=UPGRADE_SECONDS)
        if self.linked == version and (answer.rc == 0 or not self.was_linked):
            return
        said = told(answer) if answer.rc != 0 else f"it ended well and {self.linked or 'nothing'} is linked, not {version}"
        message = f"brew upgrade {self.name} did not bring {version}: {said}"
        raise HomebrewFailed(message)

    def switch(self, version: str) -> None:
        """Link a keg that is in the Cellar, whichever it is.

        brew cannot: `brew link` takes the newest keg and nothing else, and `brew switch` is gone since 2.6. So this does what
        `switch` did, Keg#unlink of every version and Keg#link of the one (keg.rb at 6.0.18), under brew's own lock. `opt/` comes
        first, in one rename: whatever starts meanwhile finds the old version or the new one.
        """
        keg = self.rack / version
        if not keg.is_dir():
            message = f"{keg} is gone, so {self.name} {version} cannot be linked"
            raise HomebrewFailed(message)
        with self._lock():
            self._point(self.opt, keg)
            for other in sorted(self.rack.iterdir()):
                if other.is_dir() and other != keg:
                    self._unlink(other)
            conflicts = self._link(keg)
            if not conflicts:
                self._point(self.record, keg)
                return
            self.record.unlink(missing_ok=True)
            if self.was_linked:
                message = f"{self.name} {version} cannot be linked: {conflicts[0]} belongs to somebody else"
                raise HomebrewFailed(message)

    def pin(self, version: str) -> None:
        """Pin one version or, with "", none, as FormulaPin#pin_at does; `brew pin` itself takes the newest keg there is."""
        with self._lock():
            if version:
                self._point(self.pin_record, self.rack / version)
            else:
                self.pin_record.unlink(missing_ok=True)

    def remove(self, version: str) -> None:
        """Delete a keg that nothing leads to; `brew cleanup` would take the one that is kept as well."""
        if version == self.linked:
            message = f"{self.name} {version} is linked and was not removed"
            raise HomebrewFailed(message)
        with self._lock():
            shutil.rmtree(self.rack / version)

    def proved(self) -> None:
        """Take every note away from the linked keg: it has proved itself."""
        for name in (UNPROVED, REFUSED):
            self._note(self.linked, name, "")

    def refuse(self, version: str, why: str) -> None:
        """Leave a note in a keg that failed, so that it is not tried again for nothing."""
        if version != self.previous:
            self._note(version, REFUSED, why)
        self._note(version, UNPROVED, "")

    def put_back(self) -> None:
        """Lead everything to the version there was."""
        if self.previous and (self.linked != self.previous or self.record.is_symlink() != self.was_linked):
            self.switch(self.previous)
        if self.found.pin and not self.pin_record.is_symlink():
            self.pin(self.found.pin)

    def _note(self, version: str, name: str, text: str) -> None:
        """Write a note into a keg, or with "" take it away."""
        note = self.rack / version / name
        if text and note.parent.is_dir():
            note.write_text(f"{text}\n")
            self._own(note)
        elif not text:
            note.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the lock that brew itself takes (lock_file.rb); wait a while for a brew that is at work."""
        path = self.prefix / "var" / "homebrew" / "locks" / f"{self.name}.formula.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            self._own(path)
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as problem:
                    if time.monotonic() > deadline:
                        message = f"another brew has held {path} for {LOCK_SECONDS} s"
                        raise HomebrewFailed(message) from problem
                    time.sleep(POLL_SECONDS)
            yield

    def _own(self, path: Path) -> None:
        if os.getuid() == 0:
            os.chown(path, self.brew.account.pw_uid, -1, follow_symlinks=False)

    def _point(self, link: Path, target: Path) -> None:
        """Make a relative link in one rename."""
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary = link.with_name(f".{link.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(target, link.parent))
        self._own(temporary)
        temporary.replace(link)

    def _unlink(self, keg: Path) -> None:
        """Take away every link into a keg, and the folders that become empty by it."""
        for folder in LINKED_FOLDERS:
            emptied = []
            for source in _everything(keg / folder):
                place = self.prefix / source.relative_to(keg)
                if place.is_symlink():
                    if _leads_to(place) == source:
                        place.unlink()
                elif place.is_dir():
                    emptied.append(place)
            for place in reversed(emptied):
                if place != self.prefix / folder:
                    with contextlib.suppress(OSError):
                        place.rmdir()

    def _link(self, keg: Path) -> list[Path]:
        """Link every file of a keg; return the places that belong to somebody else.

        Folders are made, never linked: Keg#link links a whole folder that nobody else has, and resolves that into single links as
        soon as somebody does; Keg#unlink takes either away.
        """
        conflicts: list[Path] = []
        for folder in LINKED_FOLDERS:
            for source in _everything(keg / folder):
                relative = source.relative_to(keg)
                place = self.prefix / relative
                if any(conflict in place.parents for conflict in conflicts):
                    continue
                if source.is_dir() and not source.is_symlink():
                    if place.is_symlink():
                        conflicts.append(place)
                    elif folder not in ("bin", "sbin"):
                        place.mkdir(parents=True, exist_ok=True)
                elif folder in ("bin", "sbin") and len(relative.parts) > 2:
                    continue
                elif place.is_symlink() and (_leads_to(place) == source or not place.exists()):
                    self._point(place, source)
                elif place.is_symlink() or place.exists():
                    conflicts.append(place)
                else:
                    self._point(place, source)
        if conflicts:
            # As Keg#link does: linked as a whole or not at all; `opt/` stays.
            self._unlink(keg)
        return conflicts


def _everything(folder: Path) -> list[Path]:
    """Return all that is in a folder, each folder before what is in it; nothing is followed."""
    found = []
    for place, folders, files in os.walk(folder):
        found += [Path(place) / name for name in sorted((*folders, *files))]
    return sorted(found)


def _leads_to(link: Path) -> Path:
    """Return where a link points, one step and no further."""
    return Path(os.path.normpath(link.parent / link.readlink()))
