"""What is ours in the files of client programs: what is asked for, what the record remembers, and the steps between the two.

The files hold a person's tokens and channels too. So nothing of theirs leaves this judgement but the new content of their own
file: steps name our leaves, and what stands there is shown only where it is surely no secret.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from .client_asked import RefusedError, WantedFile, need
from .client_document import judge_json, mode_steps, part_path
from .client_record import NOTHING, Entry, Record, record_from_text, record_to_text
from .client_seen import BACKUP, NEW, Candidate, Outcome, Plan, Reader, Seen, SeenFile, Write, digest, usable, what
from .client_shown import shown_line
from .vocabulary import Step


def judge(wanted: Iterable[WantedFile], seen: Seen, read: Reader) -> Plan:
    """Return the steps from what was seen to what is wanted; `RefusedError` with every reason not to touch anything.

    A file that the record knows and that is not wanted is given back, so nothing wanted takes everything back. What is in a file
    and not in the record is never taken out: it may have been the person's before.
    """
    record = _read_record(seen)
    listed: dict[str, WantedFile] = {}
    for file in wanted:
        path = seen.paths[file.path]
        need(path not in listed, file.path, "a file that is listed twice", "each file once")
        listed[path] = file
    for file in listed.values():
        for name in file.part_paths():
            need(seen.paths[name] not in (*listed, seen.record), name, "a file that is listed", "another name in `include`")
        need(seen.paths[file.path] != seen.record, file.path, "the record of what is ours", "another file")
    outcomes, problems = [], []
    for path in dict.fromkeys((*listed, *record.entries)):
        try:
            outcomes.append(_judge_file(path, listed.get(path), record.entries.get(path, NOTHING), seen, read))
        except RefusedError as problem:
            problems.append(str(problem))
    if problems:
        raise RefusedError(" ".join(problems))
    return _assemble(outcomes, record, seen)


def _judge_file(path: str, file: Optional[WantedFile], entry: Entry, seen: Seen, read: Reader) -> Outcome:
    kind = file.format if file else entry.format
    if entry != NOTHING and entry.format != kind:
        message = f"{path} is {entry.format} in the record, and {kind} is asked for. Take it back first, with state: absent."
        raise RefusedError(message)
    outcome = _judge_text(path, file, entry, seen) if kind == "text" else judge_json(path, file, entry, seen, read)
    for place in (*(write.path for write in outcome.writes), *outcome.removes):
        look = seen.file(place)
        if not look.writable:
            message = (
                f"{place} cannot be written, allowed is a folder that takes files: {look.problem}. Give its owner the right."
            )
            raise RefusedError(message)
    return outcome


def _read_record(seen: Seen) -> Record:
    look = seen.file(seen.record)
    if look.kind == "absent":
        return Record()
    usable(look, "the record of what is ours")
    try:
        return record_from_text(look.content.decode())
    except ValueError as problem:
        message = (
            f"{seen.record}, the record of what is ours, cannot be read: {problem}. Put back a copy, or delete it: what is in"
            " the files then counts as the person's own."
        )
        raise RefusedError(message) from problem


def _judge_text(path: str, file: Optional[WantedFile], entry: Entry, seen: Seen) -> Outcome:
    """Judge a file that is ours as a whole."""
    look = seen.file(path)
    usable(look, what(file.program if file else entry.program))
    if file is None:
        return _give_back_text(path, entry, look)
    content = file.managed.encode()
    modes = mode_steps(path, file.mode, look)
    steps: list[Step] = []
    if not look.exists or look.content != content:
        _need_ours(path, file, entry, look)
        steps.append(Step("write", path, _text_found(entry, look), [shown_line(line) for line in file.managed.splitlines()]))
    elif not entry.sha256:
        steps.append(Step("record", path, "not in the record", "ours", "its first line says so"))
    write = not look.exists or look.content != content
    return Outcome(
        path,
        (*steps, *(step for step, _ in modes)),
        Entry("text", file.program, created=True, sha256=(digest(content),)),
        (),
        (Write(path, content, file.mode),) if write else (),
        tuple(act for _, act in modes),
        (),
        (),
        ((path, path + BACKUP),) if write and look.exists else (),
        Candidate(path, file.program, content, file.validate) if write and file.validate else None,
        file.folder_mode,
    )


def _need_ours(path: str, file: WantedFile, entry: Entry, look: SeenFile) -> None:
    """Refuse a file that neither the record nor its first line calls ours."""
    first = look.content.partition(b"\n")[0].decode(errors="replace")
    if not look.exists or entry.sha256 or first.strip() == file.managed.partition("\n")[0].strip():
        return
    message = (
        f"{path}, {what(file.program)}, is there and is not ours, allowed is no file or one whose first line is ours."
        " Move it away, the next run writes it."
    )
    raise RefusedError(message)


def _text_found(entry: Entry, look: SeenFile) -> Any:
    if not look.exists:
        return "no file"
    if look.sha256 in entry.sha256:
        return [shown_line(line) for line in look.content.decode(errors="replace").splitlines()]
    return "changed since it was written"


def _give_back_text(path: str, entry: Entry, look: SeenFile) -> Outcome:
    """Remove what is as we wrote it; what somebody changed is theirs now."""
    backup = path + BACKUP
    cleared = (backup,) if posixpath.basename(backup) in look.beside else ()
    if look.exists and look.sha256 in entry.sha256:
        return Outcome(path, (Step("remove", path, "a file of ours", "no file"),), removes=(path,), cleared=cleared)
    why = "it was changed since it was written" if look.exists else "it is gone"
    step = Step("forget", path, "in the record", "not in the record", why)
    said = (f"{path} was changed since it was written, so it stays. Delete it if it is not wanted.",) if look.exists else ()
    return Outcome(path, (step,), None, said, cleared=cleared)


# All files. -------------------------------------------------------------------------------------------------------------


def _assemble(outcomes: Sequence[Outcome], record: Record, seen: Seen) -> Plan:
    """Put the outcomes of all files together, with the record while the change goes on and the one after it."""
    entries = {outcome.path: outcome.entry for outcome in outcomes if outcome.entry is not None}
    steps = [step for outcome in outcomes for step in outcome.steps]
    if not entries and seen.file(seen.record).exists:
        steps.append(Step("remove", seen.record, "the record of what is ours", "no file"))
    elif record.cut and not steps:
        steps.append(Step("write", seen.record, "a change that was cut short", "what is ours"))
    if not steps:
        left = [name for name in seen.file(seen.record).beside if name.endswith(NEW)]
        steps += [Step("remove", part_path(seen.record, name), "left by a run that was cut short", "no file") for name in left]
    if not steps:
        return Plan()
    folders: dict[str, int] = {}
    for outcome in outcomes:
        for write in outcome.writes:
            folders.update({folder: outcome.folder_mode for folder in seen.file(write.path).missing if folder not in folders})
    folders.update({folder: 0o700 for folder in seen.file(seen.record).missing if entries and folder not in folders})
    made = tuple(dict.fromkeys((*record.folders, *folders)))
    alive = [seen.record, *entries] if entries else []
    alive += [part_path(path, name) for path, entry in entries.items() for names in entry.parts.values() for name in names]
    needed = tuple(folder for folder in made if any(path.startswith(f"{folder}/") for path in alive))
    both = {path: entry.with_older(record.entries[path]) if path in record.entries else entry for path, entry in entries.items()}
    between = Record({**record.entries, **both}, made, cut=True)
    return Plan(
        tuple(steps),
        tuple(warning for outcome in outcomes for warning in outcome.warnings),
        {path: look.sha256 for path, look in seen.files.items()},
        tuple(write for outcome in outcomes for write in outcome.writes),
        tuple(act for outcome in outcomes for act in outcome.modes),
        tuple(path for outcome in outcomes for path in outcome.removes),
        tuple(path for outcome in outcomes for path in outcome.cleared),
        tuple(keep for outcome in outcomes for keep in outcome.keeps),
        tuple(outcome.candidate for outcome in outcomes if outcome.candidate),
        tuple(folders.items()),
        tuple(sorted((folder for folder in made if folder not in needed), key=len, reverse=True)),
        record_to_text(between).encode() if between.entries else b"",
        record_to_text(Record(entries, needed)).encode() if entries else None,
    )
