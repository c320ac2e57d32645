"""A Mac's file tree in a folder, and the command stand-ins run in this process against it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest
from mac import entry


class Answer(NamedTuple):
    """What a command ended with."""

    rc: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Give the lines of standard output without trailing spaces."""
        return [line.rstrip() for line in self.out.splitlines()]


class Box:
    """One Mac without namespaces: state, faults and identity in a folder."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("VIRTUAL_MAC_ROOT", str(root))
        for folder in ("var/db/virtual-mac/state", "var/db/virtual-mac/journal", "var/run", "etc", "Applications"):
            self.at(folder).mkdir(parents=True)
        self.identity()
        self.faults()

    def at(self, path: str) -> Path:
        """Give where a path of the Mac lies."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str) -> None:
        """Write a file and the folders above it."""
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text, encoding="utf-8")

    def identity(self, **facts: object) -> None:
        """Be another Mac."""
        self.write("/var/db/virtual-mac/machine.json", json.dumps(facts))

    def faults(self, **values: object) -> None:
        """Set the faults; names with underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in values.items()}
        self.write("/var/db/virtual-mac/faults.json", json.dumps({"brew-delay": 0, **named}))

    def run(self, *argv: str, uid: int = 501) -> Answer:
        """Run a stand-in as a user."""
        self._monkeypatch.setattr(os, "getuid", lambda: uid)
        self._monkeypatch.setattr(os, "geteuid", lambda: uid)
        self._capsys.readouterr()
        code = entry.main(list(argv))
        said = self._capsys.readouterr()
        return Answer(code, said.out, said.err)

    def journal(self, name: str) -> list[dict[str, object]]:
        """Read what a stand-in was asked."""
        file = self.at(f"/var/db/virtual-mac/journal/{name}.log")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
