"""A disk in memory for the judgement of client files: it is looked at and changed as the machine's half does it."""

from __future__ import annotations

import json
import posixpath
from typing import Any

from ansible.module_utils.fleet.client_asked import WantedFile
from ansible.module_utils.fleet.client_files import judge
from ansible.module_utils.fleet.client_record import recorded_paths
from ansible.module_utils.fleet.client_seen import Document, Plan, Seen, SeenFile, digest

HOME = "/home/felipe"
RECORD = f"{HOME}/.config/ollama-fleet/clients.json"
MAIN = f"{HOME}/.openclaw/openclaw.json"


def read_json(content: bytes) -> Document:
    """Read JSON, and JSON with lines of comments as a stand-in for JSON5."""
    lines = content.decode().splitlines(keepends=True)
    code = [line for line in lines if not line.lstrip().startswith("//")]
    value = json.loads("".join(code))
    if not isinstance(value, dict):
        message = "line 1, column 1: it is no mapping"
        raise ValueError(message)
    return Document(value, strict=len(code) == len(lines))


def wanted_file(managed: Any, path: str = MAIN, **changes: Any) -> WantedFile:
    """Return a file as asked for."""
    return WantedFile(path, changes.pop("format", "json"), managed, "openclaw", **changes)


class Disk:
    """Files by path with content and mode, and the folders that are there."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {path: (content, 0o600) for path, content in (files or {}).items()}
        self.folders = {HOME}
        for path in self.files:
            self._make_folders(path)

    def _make_folders(self, path: str) -> None:
        folder = posixpath.dirname(path)
        while folder not in self.folders and folder != "/":
            self.folders.add(folder)
            folder = posixpath.dirname(folder)

    def state(self) -> tuple[Any, ...]:
        """Return everything there is."""
        return self.files.copy(), self.folders.copy()

    def value(self, path: str = MAIN) -> Any:
        """Return what a file says."""
        return read_json(self.files[path][0]).value

    def edit(self, value: Any, path: str = MAIN) -> None:
        """Write as somebody else would."""
        self._make_folders(path)
        self.files[path] = (json.dumps(value).encode(), self.files.get(path, (b"", 0o600))[1])

    def look(self, wanted: list[WantedFile]) -> Seen:
        """Return what the machine would say."""
        record = self.files.get(RECORD, (b"", 0))[0]
        files, beside = recorded_paths(record.decode(errors="replace"))
        asked = [path for file in wanted for path in (file.path, *file.part_paths())]
        return Seen({path: self._see(path) for path in (RECORD, *asked, *files, *beside)}, {path: path for path in asked}, RECORD)

    def _see(self, path: str) -> SeenFile:
        beside = {
            posixpath.basename(other): digest(content)
            for other, (content, _) in self.files.items()
            if other.startswith(path) and other != path
        }
        missing, folder = [], posixpath.dirname(path)
        while folder not in self.folders and folder != "/":
            missing.append(folder)
            folder = posixpath.dirname(folder)
        if path not in self.files:
            return SeenFile(path, missing=tuple(reversed(missing)), beside=beside)
        content, mode = self.files[path]
        return SeenFile(path, "file", content, digest(content), mode, beside=beside)

    def acts(self, plan: Plan) -> list[Any]:
        """Return the acts of a plan in their order, each of which a power cut may be the last."""
        acts: list[Any] = []
        if plan.between:
            acts.append(lambda: (self._make_folders(RECORD), self.files.update({RECORD: (plan.between, 0o600)})))
        acts += [lambda folder=folder: self.folders.add(folder) for folder, _ in plan.folders]
        acts += [lambda keep=keep: self.files.update({keep[1]: (self.files[keep[0]][0], 0o600)}) for keep in plan.keeps]
        for write in plan.writes:
            mode = self.files.get(write.path, (b"", 0o600))[1] if write.mode is None else write.mode
            acts.append(lambda write=write, mode=mode: self.files.update({write.path: (write.content, mode)}))
        acts += [lambda act=act: self.files.update({act[0]: (self.files[act[0]][0], act[1])}) for act in plan.modes]
        acts += [lambda path=path: self.files.pop(path, None) for path in (*plan.removes, *plan.cleared)]
        acts.append(lambda: self._rmdir(tuple(folder for folder in plan.emptied if not RECORD.startswith(f"{folder}/"))))
        if plan.record is None:
            acts.append(lambda: self.files.pop(RECORD, None))
        else:
            acts.append(lambda: self.files.update({RECORD: (plan.record, 0o600)}))
        return [*acts, lambda: self._rmdir(plan.emptied)]

    def _rmdir(self, folders: tuple[str, ...]) -> None:
        for folder in folders:
            inside = [other for other in (*self.files, *self.folders) if other.startswith(f"{folder}/")]
            if not inside:
                self.folders.discard(folder)

    def run(self, *wanted: WantedFile, cut_after: int | None = None) -> Plan:
        """Look, judge and act, all of it or the first acts only."""
        plan = judge(wanted, self.look(list(wanted)), read_json)
        if plan.steps:
            for act in self.acts(plan)[:cut_after]:
                act()
        return plan
