"""One JSON file of a client program: ours goes into it, some of it through files of its own, and comes out again."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from .client_asked import RefusedError, WantedFile
from .client_record import NOTHING, Entry
from .client_seen import BACKUP, Candidate, Document, Outcome, Reader, Seen, SeenFile, Write, digest, read_json, to_text, what
from .client_shown import shown, their_texts
from .merging import INCLUDE, Change, InTheWayError, Keys, Merged, expanded, included, look_up, merge, path_text, same, split
from .vocabulary import Step

KEPT = ".before-ollama-fleet"
"""Ends the name of a file as it was before our first write."""


@dataclass(frozen=True)
class _Layout:
    """A JSON file as it lies on the disk: `main` itself, the parts of ours that it takes in, and the whole that they mean."""

    path: str
    main: Document
    parts: Mapping[Keys, Document]
    whole: dict[str, Any]


def part_path(path: str, name: str) -> str:
    """Return where a part of the file at `path` lies."""
    return posixpath.join(posixpath.dirname(path), name)


def judge_json(path: str, file: Optional[WantedFile], entry: Entry, seen: Seen, read: Reader) -> Outcome:
    """Judge one file; None, or nothing managed, gives it back."""
    look = seen.file(path)
    if file is None or not file.managed:
        return _give_back(path, entry, look, seen, read)
    entry = replace(entry, program=file.program, format="json")
    if entry.original not in look.beside:
        # A change that was cut short had announced the copy and not made it yet.
        entry = replace(entry, original="")
    if not look.exists:
        # Whoever deleted the file gave up what was in it, so there is nothing to come back but the file's absence.
        entry = replace(entry, created=True, mode=None, ours=NOTHING.ours)
    layout = _look_at(path, file.parts, file.managed, entry, seen, read)
    merged = _merged(layout, file.managed, entry)
    parts = {at: (name, look_up(file.managed, at)) for at, name in file.parts.items()}
    main = split(merged.document, parts)
    content = [*_value_steps(path, merged.changes, entry), *_part_steps(layout, file.parts, entry, seen)]
    if content and not look.exists:
        content.insert(0, Step("write", path, "no file", "a file" if file.mode is None else f"a file with mode {file.mode:04o}"))
    writes = _writes(layout, merged.document, main, parts, file.mode, seen, read) if content else []
    modes = [one for place in (path, *(part_path(path, name) for name, _ in parts.values()))
             for one in mode_steps(place, file.mode, seen.file(place))]  # fmt: skip
    keeps, warnings = _kept(layout, entry, look, writes, seen)
    obsolete = _obsolete(path, file.parts, entry, seen)
    return Outcome(
        path,
        (*content, *(step for step, _ in modes)),
        _entry_after(path, file, entry, look, merged, writes),
        (*warnings, *_foreign_includes(layout, merged.changes, file.parts)),
        tuple(writes),
        tuple(act for _, act in modes),
        obsolete,
        tuple(place + BACKUP for place in obsolete),
        keeps,
        _candidate(path, file, merged) if content and file.validate else None,
        file.folder_mode,
    )


# Reading. ---------------------------------------------------------------------------------------------------------------


def _look_at(path: str, wanted: Mapping[Keys, str], managed: Any, entry: Entry, seen: Seen, read: Reader) -> _Layout:
    """Read a file and the parts of it that are ours; what else it takes in is left as it is."""
    main = read_json(seen.file(path), what(entry.program), read)
    parts: dict[Keys, Document] = {}
    for at in dict.fromkeys((*entry.parts, *wanted)):
        name = included(main.value, at)
        if name is not None and name in (*entry.parts.get(at, ()), wanted.get(at)):
            parts[at] = read_json(seen.file(part_path(path, name)), f"a part of {path}", read)
        elif at in wanted and INCLUDE in _mapping_at(main.value, at):
            message = (
                f"{path}: {path_text(at)} takes in another file already, allowed is what stands there itself. Write that file's"
                " content there, or leave this part out of `include`."
            )
            raise RefusedError(message)
    known = {name for names in entry.parts.values() for name in names}
    for at, name in wanted.items():
        look = seen.file(part_path(path, name))
        if any(name in names for other, names in entry.parts.items() if other != at):
            # A cut between the two files would put one part in the place of the other.
            message = f"{look.path} holds another part by now, allowed is a file for each. Choose another name in `include`."
            raise RefusedError(message)
        if name in known or at in parts or look.kind == "absent":
            continue
        if not same(read_json(look, f"a part of {path}", read).value, look_up(managed, at)):
            message = f"{look.path} is there and not ours, allowed is no file. Move it away, or choose another name in `include`."
            raise RefusedError(message)
    return _Layout(path, main, parts, expanded(main.value, {at: part.value for at, part in parts.items()}))


def _mapping_at(document: Mapping[str, Any], at: Keys) -> Mapping[str, Any]:
    found = look_up(document, at)
    return found if isinstance(found, Mapping) else {}


def _merged(layout: _Layout, managed: Mapping[str, Any], entry: Entry) -> Merged:
    try:
        return merge(layout.whole, managed, entry.ours)
    except InTheWayError as problem:
        message = (
            f"{layout.path}: {path_text(problem.path)} is a list of {len(problem.found)}, allowed is a mapping, since values"
            " of ours go below it. Move the list away, or leave what lies below it out of what is managed."
        )
        raise RefusedError(message) from problem


# Steps. -----------------------------------------------------------------------------------------------------------------


def _value_steps(path: str, changes: Iterable[Change], entry: Entry) -> Iterator[Step]:
    for change in changes:
        known = entry.ours.values.get(change.path)
        found = shown(change.path, change.found, ours=known is not None and known.is_at(change.found))
        # With a reason, what comes is not ours: it is what stood there before us.
        wanted = shown(change.path, change.wanted, ours=not change.reason)
        yield Step(change.action, f"{path}: {path_text(change.path)}", found, wanted, change.reason)


def _part_steps(layout: _Layout, names: Mapping[Keys, str], entry: Entry, seen: Seen) -> Iterator[Step]:
    """List what differs in where the parts lie, not in what they say."""
    path = layout.path
    for at in layout.parts:
        if at not in names:
            yield Step("drop", f"{path}: {path_text((*at, INCLUDE))}", f"./{included(layout.main.value, at)}", "absent")
    for at, name in names.items():
        place, found = part_path(path, name), included(layout.main.value, at) if at in layout.parts else None
        if found != name:
            yield Step("set", f"{path}: {path_text((*at, INCLUDE))}", f"./{found}" if found else "absent", f"./{name}")
        if not seen.file(place).exists:
            yield Step("write", place, "no file", f"what is ours below {path_text(at)}")
    for place in _obsolete(path, names, entry, seen):
        yield Step("remove", place, "a part of ours", "no file")


def _obsolete(path: str, names: Mapping[Keys, str], entry: Entry, seen: Seen) -> tuple[str, ...]:
    """Return the parts of ours that are there and not wanted; what they say is in the whole by now, where it was in effect."""
    known = dict.fromkeys(name for known in entry.parts.values() for name in known)
    places = [part_path(path, name) for name in known if name not in names.values()]
    return tuple(place for place in places if seen.file(place).exists)


def mode_steps(path: str, mode: Optional[int], look: SeenFile) -> list[tuple[Step, tuple[str, int]]]:
    """Return the step that gives a file its mode, with the act; none for None, which leaves modes alone."""
    if mode is None or not look.exists or look.mode == mode:
        return []
    return [(Step("mode", path, f"{look.mode:04o}", f"{mode:04o}"), (path, mode))]


# Acts. ------------------------------------------------------------------------------------------------------------------


def _writes(
    layout: _Layout,
    whole: Mapping[str, Any],
    main: Mapping[str, Any],
    parts: Mapping[Keys, tuple[str, Any]],
    mode: Optional[int],
    seen: Seen,
    read: Reader,
) -> list[Write]:
    """Return what is written anew, the parts before what takes them in. What means the same already keeps its spelling.

    Where a value moves between the file and a part that it takes in, the file is the whole in between: no cut loses it, and
    no client reads half of it.
    """
    made: list[Write] = []
    moves = False
    for at, (name, part) in parts.items():
        look = seen.file(part_path(layout.path, name))
        if not look.exists or not same(read_json(look, f"a part of {layout.path}", read).value, part):
            made.append(Write(look.path, to_text(look.path, part), mode))
            moves = moves or (look.exists and at in layout.parts)
    if not seen.file(layout.path).exists or not same(main, layout.main.value):
        made.append(Write(layout.path, to_text(layout.path, main), mode))
        if moves:
            made.insert(0, Write(layout.path, to_text(layout.path, whole), mode))
    return made


def _entry_after(
    path: str, file: WantedFile, entry: Entry, look: SeenFile, merged: Merged, writes: Sequence[Write]
) -> Optional[Entry]:
    mode = entry.mode
    if mode_steps(path, file.mode, look):
        mode = (entry.mode[0] if entry.mode else look.mode, file.mode or 0)
    written = next((write for write in reversed(writes) if write.path == path), None)
    original = entry.original
    if written and look.exists and not entry.created and not original:
        original = original_name(look)
    after = replace(
        entry,
        original=original,
        sha256=(digest(written.content),) if written else entry.sha256,
        mode=mode,
        ours=merged.ours,
        parts={at: (name,) for at, name in file.parts.items()},
    )
    nothing = replace(NOTHING, program=after.program, sha256=after.sha256, created=not look.exists and not writes)
    return None if after == nothing else after


def original_name(look: SeenFile) -> str:
    """Return the name under which a file is kept as it was before us; what has that name is never overwritten."""
    name = posixpath.basename(look.path) + KEPT
    number = 2
    while look.beside.get(name, look.sha256) != look.sha256:
        name = f"{posixpath.basename(look.path)}{KEPT}.{number}"
        number += 1
    return name


def _kept(
    layout: _Layout, entry: Entry, look: SeenFile, writes: Sequence[Write], seen: Seen
) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Return what to copy before it is written anew (from, to), and what to say where a spelling gets lost."""
    keeps, warnings = [], []
    for path in dict.fromkeys(write.path for write in writes):
        if not seen.file(path).exists:
            continue
        to = path + BACKUP
        if path == look.path:
            if not entry.created and not entry.original:
                to = part_path(look.path, original_name(look))
            if not layout.main.strict:
                warnings.append(_lost(look.path, to))
        if posixpath.basename(to) not in look.beside or to.endswith(BACKUP):
            keeps.append((path, to))
    return tuple(keeps), warnings


def _lost(path: str, to: str) -> str:
    return f"{path} is strict JSON now, without its comments and other spellings of JSON5. As it was before it is kept in {to}."


def _foreign_includes(layout: _Layout, changes: Iterable[Change], names: Mapping[Keys, str]) -> list[str]:
    """Warn where the person takes in a file above a value of ours: a list there is joined with ours instead of replaced."""
    above = {change.path[:length] for change in changes if change.action == "set" for length in range(len(change.path))}
    places = sorted(at for at in above if at not in layout.parts and at not in names)
    return [
        f"{layout.path}: {path_text(at) or 'its top'} takes in another file, whose lists are joined with ours of the same name."
        for at in places
        if INCLUDE in _mapping_at(layout.main.value, at)
    ]


def _candidate(path: str, file: WantedFile, merged: Merged) -> Optional[Candidate]:
    """Return the whole for the client's own check: what we take in is in it, since that lies nowhere yet."""
    if file.validate is None:
        return None
    text = to_text(path, merged.document)
    return Candidate(path, file.program, text, file.validate, their_texts(merged.document, file.managed))


# Giving back. -----------------------------------------------------------------------------------------------------------


def _give_back(path: str, entry: Entry, look: SeenFile, seen: Seen, read: Reader) -> Outcome:
    """Take ours out of a file: to the byte where nobody else wrote it since, else value by value."""
    if entry == NOTHING:
        return Outcome(path)
    layout = _look_at(path, {}, {}, entry, seen, read)
    # Without the file there is nothing left that could be ours.
    merged = _merged(layout, {}, entry) if look.exists else Merged({}, NOTHING.ours, ())
    steps = [*_value_steps(path, merged.changes, entry), *_part_steps(layout, {}, entry, seen)]
    kept = seen.files.get(part_path(path, entry.original)) if entry.original else None
    original = kept if kept and kept.exists else None
    backup = path + BACKUP
    cleared = [place for place in (kept.path if kept else "", backup) if posixpath.basename(place) in look.beside]
    removes = [*_obsolete(path, {}, entry, seen)]
    cleared += [place + BACKUP for place in removes]
    writes: list[Write] = []
    warnings: list[str] = []
    if look.exists and entry.created and not merged.document:
        removes.append(path)
        steps.append(Step("remove", path, "a file that was made for ours", "no file"))
    elif look.exists:
        writes, said = _restored(layout, merged, entry, look, original, read)
        steps += said
        if writes and not layout.main.strict:
            warnings.append(_lost(path, backup))
            cleared = [place for place in cleared if place != backup]
        same_bytes = original is not None and original.content == (writes[0].content if writes else look.content)
        if original and not same_bytes and not read_json(original, "what was kept", read).strict:
            warnings.append(f"{path} was changed by others since, so its comments stay away. They are in {original.path}.")
            cleared = [place for place in cleared if place != original.path]
    modes = mode_steps(path, entry.mode[0], look) if entry.mode and look.mode == entry.mode[1] and path not in removes else []
    steps += [step for step, _ in modes]
    if not steps:
        steps.append(Step("forget", path, "in the record", "not in the record", "nothing of ours is left in it"))
    return Outcome(
        path,
        tuple(steps),
        None,
        tuple(warnings),
        tuple(writes),
        tuple(act for _, act in modes),
        tuple(removes),
        tuple(cleared),
        ((path, backup),) if writes and not layout.main.strict else (),
    )


def _restored(
    layout: _Layout, merged: Merged, entry: Entry, look: SeenFile, original: Optional[SeenFile], read: Reader
) -> tuple[list[Write], list[Step]]:
    """Return the write that gives a file back, and the step where it is more than its values."""
    ours = look.sha256 in entry.sha256
    if original and ours and same(read_json(original, "what was kept", read).value, merged.document):
        if original.content == look.content:
            return [], []
        step = Step("write", look.path, "as it was written last", "as it was before the first write, to the byte")
        return [Write(look.path, original.content, None)], [step]
    if same(merged.document, layout.main.value):
        return [], []
    return [Write(look.path, to_text(look.path, merged.document), None)], []
