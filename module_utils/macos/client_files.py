"""Read the files of client programs and replace them, all or none; on a Mac, on Linux and on a Windows drive below /mnt."""

from __future__ import annotations

import base64
import contextlib
import getpass
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from .files import sync_folder
from .one_at_a_time import one_at_a_time, to_the_end
from .shell_file import expanded

if TYPE_CHECKING:
    from fleet.client_document import KEPT
    from fleet.client_record import recorded_paths
    from fleet.client_seen import BACKUP, LARGEST_BYTES, NEW, digest
else:
    from ansible.module_utils.fleet.client_document import KEPT
    from ansible.module_utils.fleet.client_record import recorded_paths
    from ansible.module_utils.fleet.client_seen import BACKUP, LARGEST_BYTES, NEW, digest

PLACES = ("/opt/homebrew/bin", "/usr/local/bin", "~/.local/bin", "~/.npm-global/bin")
"""Where programs of a person lie that the PATH of an ssh command lacks."""

CANDIDATE = ".ollama-fleet-candidate"
DUMMY = "ollama-fleet-dummy"
WORDS_BYTES = 8192
"""What is read of a program's words: Clawdbot 2026.1.24 prints a megabyte for one missing variable."""

_REFERENCE = re.compile(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)")


# Looking. ---------------------------------------------------------------------------------------------------------------


def look(asked: Sequence[str], record: str) -> dict[str, Any]:
    """Return what there is at these paths and at those that the record knows; `content` is base64."""
    record_path = expanded(record)
    paths = {path: expanded(path) for path in asked}
    seen = {record_path: see(record_path)}
    text = base64.b64decode(seen[record_path]["content"]).decode(errors="replace")
    files, beside = recorded_paths(text)
    for path in (*paths.values(), *files, *beside):
        seen.setdefault(path, {})
    return {"record": record_path, "paths": paths, "files": {path: known or see(path) for path, known in seen.items()}}


def see(path: str) -> dict[str, Any]:
    """Return what there is at one path; nothing here raises because of what it is."""
    found = _content(path)
    missing, folder = [], Path(path).parent
    while not _is_there(folder) and folder != folder.parent:
        missing.append(str(folder))
        folder = folder.parent
    found["missing"] = list(reversed(missing))
    found["writable"] = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    if not found["writable"] and not found["problem"]:
        found["problem"] = f"{folder} takes none from {getpass.getuser()}" if folder.is_dir() else f"{folder} is no folder"
    found["beside"] = _beside(Path(path))
    return found


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _content(path: str) -> dict[str, Any]:
    """Return kind, content, sha256, mode and problem. Without a file, sha256 is the kind, and "" for nothing at all."""
    found: dict[str, Any] = {"path": path, "kind": "absent", "content": "", "sha256": "", "mode": 0, "problem": ""}
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return found
    except OSError as problem:
        return {**found, "kind": "unreadable", "sha256": "unreadable", "problem": _reason(problem)}
    found["mode"] = stat.S_IMODE(status.st_mode)
    kind = "link" if stat.S_ISLNK(status.st_mode) else "other"
    if not stat.S_ISREG(status.st_mode):
        return {**found, "kind": kind, "sha256": kind, "problem": os.path.realpath(path) if kind == "link" else ""}
    if status.st_size > LARGEST_BYTES:
        return {**found, "kind": "large", "sha256": "large"}
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as problem:
        return {**found, "kind": "unreadable", "sha256": "unreadable", "problem": _reason(problem)}
    return {**found, "kind": "file", "content": base64.b64encode(content).decode(), "sha256": digest(content)}


def _reason(problem: OSError) -> str:
    return problem.strerror or str(problem)


def _beside(path: Path) -> dict[str, str]:
    """Return the copies that we keep of a file and what a cut left of one, by name, with the sha256 of those that are files."""
    try:
        names = sorted(other.name for other in path.parent.iterdir())
    except OSError:
        return {}
    begun = f".{path.name}"
    names = [
        name
        for name in names
        if name.startswith((path.name + KEPT, path.name + BACKUP)) or (name.startswith(begun) and name.endswith(NEW))
    ]
    return {name: str(_content(str(path.parent / name))["sha256"]) or "?" for name in names}


# Acting. ----------------------------------------------------------------------------------------------------------------


def act(work: Mapping[str, Any], lock_timeout: float) -> dict[str, Any]:
    """Carry out a plan, or nothing of it.

    The answer has `moved`, paths that are not as they were judged, or `refused`, what a client said of its candidate, or
    `problem`, a sentence without the full stop, with `began` where some of it was done; and `validated` for each candidate.
    """
    try:
        with one_at_a_time(Path("~").expanduser(), lock_timeout, "the files of client programs"), to_the_end():
            return _act(work)
    except OSError as problem:
        return {"problem": f"{problem.filename}: {_reason(problem)}" if problem.filename else _reason(problem), "began": False}


def _act(work: Mapping[str, Any]) -> dict[str, Any]:
    moved = sorted(path for path, sha256 in work["expect"].items() if _content(path)["sha256"] != sha256)
    if moved:
        return {"moved": moved}
    _sweep(work)
    undo = contextlib.ExitStack()
    try:
        _announce(work, undo)
        validated = [_validate(candidate) for candidate in work["candidates"]]
        refused = [one for one in validated if one["result"] == "invalid"]
        if refused:
            undo.close()
            return {"refused": refused}
        staged = _stage(work)
    except OSError:
        _sweep(work)
        undo.close()
        raise
    undo.pop_all()
    try:
        _commit(work, staged)
    except OSError as problem:
        return {"problem": f"{problem.filename or ''}: {_reason(problem)}", "began": True, "validated": validated}
    return {"validated": validated}


def _announce(work: Mapping[str, Any], undo: contextlib.ExitStack) -> None:
    """Make folders, and have the record say first what is going to be ours, so that whatever a power cut leaves is known.

    `undo` gets what takes it back without needing space on the disk. The record's own folder alone is made before anybody knows.
    """
    record = Path(work["record_path"])
    above = [folder for folder, _ in work["folders"] if record.is_relative_to(folder)]
    for folder, mode in work["folders"]:
        if folder in above:
            _make_folder(Path(folder), mode, undo)
    if work["between"]:
        old = _temporary(f"{record}.old")
        if _is_there(record):
            _write(old, record.read_bytes(), record, None)
            undo.callback(old.replace, record)
        else:
            undo.callback(record.unlink, missing_ok=True)
        new = _temporary(str(record))
        _write(new, base64.b64decode(work["between"]), record, 0o600)
        new.replace(record)
        sync_folder(record.parent)
    for folder, mode in work["folders"]:
        if folder not in above:
            _make_folder(Path(folder), mode, undo)


def _make_folder(folder: Path, mode: int, undo: contextlib.ExitStack) -> None:
    folder.mkdir(mode=mode)
    undo.callback(_remove_folder, folder)
    _give(folder, folder.parent.stat())
    with contextlib.suppress(PermissionError):
        folder.chmod(mode)


def _remove_folder(folder: Path) -> None:
    """Remove a folder where nothing is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _sweep(work: Mapping[str, Any]) -> None:
    """Remove what is complete on the disk and did not get its name, of this run or of one that was cut short."""
    for path in map(Path, (*work["expect"], *(write["path"] for write in work["writes"]))):
        with contextlib.suppress(OSError):
            names = [one for one in path.parent.iterdir() if one.name.startswith(f".{path.stem}")]
            for left in names:
                ours = left.name.startswith(f".{path.name}") and left.name.endswith(NEW)
                if ours or left == _candidate_path(str(path)):
                    left.unlink()


def _temporary(path: str) -> Path:
    place = Path(path)
    return place.parent / f".{place.name}{NEW}"


def _candidate_path(path: str) -> Path:
    """Return a name in the same folder, where relative references work, with the same ending."""
    place = Path(path)
    return place.parent / f".{place.stem}{CANDIDATE}{place.suffix}"


def _give(path: Path, status: os.stat_result) -> None:
    """Give a new file or folder to an owner, where it is not theirs already."""
    made = path.lstat()
    if os.geteuid() == 0 and (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
        os.lchown(path, status.st_uid, status.st_gid)


def _write(path: Path, content: bytes, like: Path, mode: Optional[int]) -> None:
    """Write a new file to the disk, with the owner of `like` or of its folder; `mode` None is that of `like`, else 0600."""
    path.unlink(missing_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            known = like.stat() if _is_there(like) else None
            _give(path, known or path.parent.stat())
            wanted = mode if mode is not None else stat.S_IMODE(known.st_mode) if known else 0o600
            # A Windows drive may refuse modes, and is asked for none where none was asked for.
            with contextlib.suppress(PermissionError) if mode is None else contextlib.nullcontext():
                os.fchmod(file.fileno(), wanted)
            os.fsync(file.fileno())
    except OSError as problem:
        # A write to a full disk does not know the name of its file.
        raise OSError(problem.errno, _reason(problem), str(like)) from problem


Staged = list[tuple[Path, Path]]
"""New files that lie complete on the disk, each with the name it is to get."""


def _stage(work: Mapping[str, Any]) -> Staged:
    """Write everything beside its place, so that a full disk is met before anything changes; return it in its order.

    Copies come first, the record last; `_commit` puts what goes before the record.
    """
    staged: Staged = []
    for path, to in work["keeps"]:
        _write(_temporary(to), Path(path).read_bytes(), Path(path), 0o600)
        staged.append((_temporary(to), Path(to)))
    for number, write in enumerate(work["writes"]):
        # A file may be written twice in one change.
        path, new = Path(write["path"]), _temporary(f"{write['path']}.{number}")
        _write(new, base64.b64decode(write["content"]), path, write["mode"])
        staged.append((new, path))
    record = Path(work["record_path"])
    if work["record"] is not None:
        _write(_temporary(str(record)), base64.b64decode(work["record"]), record, 0o600)
        staged.append((_temporary(str(record)), record))
    return staged


def _commit(work: Mapping[str, Any], staged: Staged) -> None:
    """Put everything in its place, in an order in which a power cut loses nothing."""
    record = Path(work["record_path"])
    for temporary, path in (one for one in staged if one[1] != record):
        temporary.replace(path)
        sync_folder(path.parent)
    for path, mode in work["modes"]:
        Path(path).chmod(mode)
    for path in work["removes"]:
        Path(path).unlink(missing_ok=True)
        sync_folder(Path(path).parent)
    above = [folder for folder in work["emptied"] if record.is_relative_to(folder)]
    for folder in work["emptied"]:
        if folder not in above:
            _remove_folder(Path(folder))
    if work["record"] is None:
        record.unlink(missing_ok=True)
    for temporary, path in (one for one in staged if one[1] == record):
        temporary.replace(path)
    _temporary(f"{record}.old").unlink(missing_ok=True)
    sync_folder(record.parent)
    for folder in above:
        _remove_folder(Path(folder))


# The client's own check. ------------------------------------------------------------------------------------------------


def _validate(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Let the client judge a candidate; `result` is valid, invalid or missing, `words` is what it said.

    It gets an environment of its own, with a home that is gone afterwards, so that it neither reads nor moves what is the
    person's, and a dummy for each variable that the candidate refers to.
    """
    command = candidate["command"]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *(str(Path(place).expanduser()) for place in PLACES)])
    program = shutil.which(command[0], path=path)
    answer = {"path": candidate["path"], "program": command[0], "result": "missing", "words": ""}
    if program is None:
        return answer
    content = base64.b64decode(candidate["content"])
    place = _candidate_path(candidate["path"])
    with _private_home() as home:
        surroundings = {name.decode(): DUMMY for name in _REFERENCE.findall(content)}
        surroundings.update({"PATH": path, "HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"})
        surroundings.update({name: value.replace("{home}", home) for name, value in candidate["environment"].items()})
        if candidate["path_variable"]:
            surroundings[candidate["path_variable"]] = str(place)
        try:
            _write(place, content, Path(candidate["path"]), 0o600)
            code, words = _run([program, *command[1:]], surroundings, home, candidate["timeout"])
        finally:
            place.unlink(missing_ok=True)
    words = words.replace(str(place), candidate["path"]).replace(place.name, Path(candidate["path"]).name)
    return {**answer, "result": "invalid" if code else "valid", "words": words}


@contextlib.contextmanager
def _private_home() -> Iterator[str]:
    """Have a folder that only this user reads, and that goes whatever is in it."""
    home = tempfile.mkdtemp(prefix="ollama-fleet-")
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(command: Sequence[str], surroundings: Mapping[str, str], home: str, timeout: float) -> tuple[int, str]:
    """Return exit code and words of a command; one that does not end is killed with all it started."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(surroundings),
            cwd=home,
            start_new_session=True,
        )
        late = ""
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code, late = 1, f"it did not end within {timeout} s\n"
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        out.seek(0)
        return code, late + out.read(WORDS_BYTES).decode(errors="replace")
