"""The files of Homebrew: kegs, the links that lead to them, pins and receipts."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mac.commands.brew.plan import Tree, newest_last

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mac.commands.brew.formulae import Formula


class LinkConflict(Exception):
    """A file that is not Homebrew's stands where a link should be."""

    def __init__(self, target: Path) -> None:
        super().__init__(str(target))
        self.target = target


class Size(NamedTuple):
    """How much a keg holds."""

    files: int
    bytes: int

    def text(self) -> str:
        """Print the size as brew abbreviates it."""
        value, power = float(self.bytes), 0
        while value >= 1000 and power < 3:
            value, power = value / 1000, power + 1
        number = f"{value:.1f}" if power >= 2 and value < 100 else f"{value:.0f}.0"
        return f"{self.files} files, {number[:-2] if number.endswith('.0') else number}{('B', 'KB', 'MB', 'GB')[power]}"


class Cellar:
    """One Homebrew prefix."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.cellar = prefix / "Cellar"

    def keg(self, name: str, version: str) -> Path:
        """Give a keg's folder."""
        return self.cellar / name / version

    def names(self) -> list[str]:
        """Name every formula with a keg."""
        return sorted(entry.name for entry in self.cellar.iterdir() if entry.is_dir() and self.versions(entry.name))

    def versions(self, name: str) -> list[str]:
        """Give the installed versions, oldest first."""
        folder = self.cellar / name
        return newest_last([entry.name for entry in folder.iterdir() if entry.is_dir()]) if folder.is_dir() else []

    def _record(self, place: str, name: str) -> str:
        link = self.prefix / place / name
        return os.path.basename(os.readlink(link)) if link.is_symlink() else ""  # noqa: PTH115, PTH119  the link as it stands

    def tree(self, name: str) -> Tree:
        """Describe what there is of a formula."""
        return Tree(
            tuple(self.versions(name)),
            self._record("opt", name),
            self._record("var/homebrew/linked", name),
            self._record("var/homebrew/pinned", name),
        )

    def receipt(self, name: str, version: str) -> dict[str, Any]:
        """Read a keg's receipt; a keg without one counts as built by hand."""
        file = self.keg(name, version) / "INSTALL_RECEIPT.json"
        if not file.exists():
            return {}
        receipt: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return receipt

    def size(self, name: str, version: str) -> Size:
        """Count a keg's files and bytes."""
        sizes = [file.lstat().st_size for file in self.keg(name, version).rglob("*") if not file.is_dir()]
        return Size(len(sizes), sum(sizes))

    def pour(self, formula: Formula, version: str, *, whole: bool = True) -> None:
        """Unpack a bottle: written beside the Cellar and moved in whole; one of Ollama that is not whole has no llama-server."""
        from ollama import keg as ollama_keg

        keg = self.keg(formula.name, version)
        if keg.exists():
            shutil.rmtree(keg)
        if formula.name == "ollama":
            ollama_keg.write_keg(self.cellar, version, runner=whole)
            return
        program = keg / "bin" / formula.name
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho {formula.name}-{version}\n", encoding="utf-8")
        program.chmod(0o755)
        receipt = {
            "homebrew_version": "6.0.18",
            "used_options": [],
            "built_as_bottle": True,
            "poured_from_bottle": True,
            "installed_on_request": True,
            "time": int(time.time()),
            "runtime_dependencies": [],
            "source": {"spec": "stable", "tap": "homebrew/core"},
        }
        (keg / "INSTALL_RECEIPT.json").write_text(json.dumps(receipt), encoding="utf-8")

    def _link_pairs(self, name: str, version: str) -> Iterator[tuple[Path, Path]]:
        for folder in ("bin", "sbin"):
            source = self.keg(name, version) / folder
            if source.is_dir():
                for program in sorted(source.iterdir()):
                    yield self.prefix / folder / program.name, program

    def _belongs(self, link: Path, name: str) -> bool:
        return link.is_symlink() and str(link.readlink()).startswith(f"../Cellar/{name}/")

    def opt_link(self, name: str, version: str) -> None:
        """Point `opt/NAME` at a keg."""
        _relink(self.prefix / "opt" / name, f"../Cellar/{name}/{version}")

    def link(self, name: str, version: str, overwrite: bool = False) -> int:
        """Point `opt` and `bin` at a keg; give the number of links made.

        The link of `opt` comes first (keg.rb): a conflict in `bin` leaves a keg that is installed, not linked.
        """
        self.unlink(name)
        self.opt_link(name, version)
        pairs = list(self._link_pairs(name, version))
        for link, _ in pairs:
            if (link.is_symlink() or link.exists()) and not self._belongs(link, name):
                if not overwrite:
                    raise LinkConflict(link)
                link.unlink()
        for link, program in pairs:
            _relink(link, os.path.relpath(program, link.parent))
        _relink(self.prefix / "var/homebrew/linked" / name, f"../../../Cellar/{name}/{version}")
        return len(pairs)

    def unlink(self, name: str) -> int:
        """Take the links in `bin` away; `opt` stays, as brew leaves it."""
        links = [link for folder in ("bin", "sbin") for link in self._links_in(folder) if self._belongs(link, name)]
        for link in links:
            link.unlink()
        record = self.prefix / "var/homebrew/linked" / name
        if record.is_symlink():
            record.unlink()
        return len(links)

    def _links_in(self, folder: str) -> list[Path]:
        place = self.prefix / folder
        return sorted(place.iterdir()) if place.is_dir() else []

    def pin(self, name: str, version: str) -> None:
        """Pin a formula at a version."""
        _relink(self.prefix / "var/homebrew/pinned" / name, f"../../../Cellar/{name}/{version}")

    def unpin(self, name: str) -> None:
        """Take the pin away."""
        link = self.prefix / "var/homebrew/pinned" / name
        if link.is_symlink():
            link.unlink()

    def remove(self, name: str, version: str) -> None:
        """Delete a keg, and everything that led to it once it was the last."""
        tree = self.tree(name)
        shutil.rmtree(self.keg(name, version))
        if tree.linked == version:
            self.unlink(name)
        if tree.opt == version:
            (self.prefix / "opt" / name).unlink()
        if not self.versions(name):
            self.unlink(name)
            self.unpin(name)
            opt = self.prefix / "opt" / name
            if opt.is_symlink():
                opt.unlink()
            (self.cellar / name).rmdir()

    def keg_service(self, name: str) -> Path | None:
        """Give the service file that the formula brought, seen through `opt`."""
        file = self.prefix / "opt" / name / (f"homebrew.mxcl.{name}.plist")
        return file if file.is_file() else None


def _relink(link: Path, target: str) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() or link.exists():
        link.unlink()
    link.symlink_to(target)
