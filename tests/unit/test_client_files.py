"""Ours in the files of client programs: steps, the record, what is refused, and laws over whole sequences of runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.fleet.client_asked import RefusedError, wanted_from_json
from ansible.module_utils.fleet.client_document import KEPT
from ansible.module_utils.fleet.client_files import judge
from ansible.module_utils.fleet.client_record import Entry, Record, record_from_text, record_to_text, recorded_paths
from ansible.module_utils.fleet.client_seen import BACKUP, Validation, read_json, to_text
from ansible.module_utils.fleet.client_shown import HIDDEN, shown, shown_line, their_texts, told
from ansible.module_utils.fleet.merging import ABSENT, Ours, Written, expanded, same
from hypothesis import given
from hypothesis import strategies as st

from ..support import client_disk
from ..support.client_disk import HOME, MAIN, RECORD, Disk, wanted_file
from .test_merging import DOCUMENTS, KEYS, SCALARS

OURS = {"models": {"mode": "merge", "providers": {"ollama": {"baseUrl": "http://localhost:11434", "apiKey": "ollama"}}}}
THEIRS = {"channels": {"token": "s3cr3t-of-felipe"}, "models": {"mode": "replace"}}
PARTS = {("models", "providers", "ollama"): "fleet/ollama.json"}
PART = f"{HOME}/.openclaw/fleet/ollama.json"
ENV = f"{HOME}/.config/ollama-fleet/openai.env"
TEXT = "# ollama-fleet wrote this\nOPENAI_API_KEY=ollama\nOPENAI_BASE_URL=http://localhost:4000/v1\n"
COMMENTED = b'// by hand\n{"models": {"mode": "replace"},\n// mine\n "channels": {"token": "s3cr3t-of-felipe"}}\n'


def said(plan):
    return [f"{step.action} {step.item}: {step.found} -> {step.wanted}" for step in plan.steps]


def entry(disk, path=MAIN):
    return record_from_text(disk.files[RECORD][0].decode()).entries[path]


# One file. --------------------------------------------------------------------------------------------------------------


def test_a_new_file_is_made_with_its_folders_and_goes_again():
    disk = Disk()
    bare = disk.state()
    plan = disk.run(wanted_file(OURS))
    assert said(plan) == [
        f"write {MAIN}: no file -> a file with mode 0600",
        f"set {MAIN}: models.mode: absent -> merge",
        f"set {MAIN}: models.providers.ollama.baseUrl: absent -> http://localhost:11434",
        f"set {MAIN}: models.providers.ollama.apiKey: absent -> not shown",
    ]
    assert disk.files[MAIN] == (json.dumps(OURS, indent=2).encode() + b"\n", 0o600)
    assert disk.run(wanted_file(OURS)).steps == ()
    gone = disk.run()
    assert said(gone)[-2:] == [
        f"remove {MAIN}: a file that was made for ours -> no file",
        f"remove {RECORD}: the record of what is ours -> no file",
    ]
    assert disk.state() == bare
    assert disk.run().steps == ()


def test_a_persons_file_keeps_what_is_theirs_and_comes_back_to_the_byte():
    disk = Disk({MAIN: COMMENTED})
    before = disk.state()
    plan = disk.run(wanted_file(OURS))
    assert disk.value() == {**THEIRS, **OURS}
    assert list(disk.value()) == ["models", "channels"]
    assert disk.files[MAIN + KEPT] == (COMMENTED, 0o600)
    (warning,) = plan.warnings
    assert MAIN + KEPT in warning
    assert "comments" in warning
    again = disk.run(wanted_file(OURS))
    assert (again.steps, again.warnings) == ((), ())
    gone = disk.run()
    assert "set" in {step.action for step in gone.steps}
    assert disk.state() == (before[0], {*before[1]})


def test_what_others_wrote_since_stays_and_so_does_what_only_the_original_holds():
    disk = Disk({MAIN: COMMENTED})
    disk.run(wanted_file(OURS))
    disk.edit({**disk.value(), "meta": {"lastTouchedVersion": "2026.9.6"}})
    (warning,) = disk.run().warnings
    assert disk.value() == {**THEIRS, "meta": {"lastTouchedVersion": "2026.9.6"}}
    assert MAIN + KEPT in warning
    assert disk.files[MAIN + KEPT][0] == COMMENTED
    assert RECORD not in disk.files
    # A later run keeps this one beside it and overwrites nothing.
    disk.run(wanted_file(OURS))
    assert disk.files[MAIN + KEPT][0] == COMMENTED
    assert MAIN + KEPT + ".2" in disk.files


def test_an_edit_between_two_writes_of_ours_is_not_undone():
    disk = Disk({MAIN: b'{"a": 1}'})
    disk.run(wanted_file({"x": 1}))
    disk.edit({**disk.value(), "mine": True})
    disk.run(wanted_file({"x": 2}))
    assert disk.files[MAIN + BACKUP][0] == json.dumps({"a": 1, "x": 1, "mine": True}).encode()
    disk.run()
    assert disk.value() == {"a": 1, "mine": True}
    assert set(disk.files) == {MAIN}


def test_the_mode_is_ours_where_it_is_asked_for_and_comes_back():
    disk = Disk({MAIN: b'{"x": 1}'})
    disk.files[MAIN] = (disk.files[MAIN][0], 0o644)
    assert disk.run(wanted_file({"x": 1}, mode=None)).steps == ()
    assert said(disk.run(wanted_file({"x": 1}))) == [f"mode {MAIN}: 0644 -> 0600"]
    assert disk.run(wanted_file({"x": 1})).steps == ()
    assert said(disk.run())[0] == f"mode {MAIN}: 0600 -> 0644"
    assert disk.files == {MAIN: (b'{"x": 1}', 0o644)}


def test_a_file_without_a_wish_for_its_mode_keeps_it():
    disk = Disk({MAIN: b"{}"})
    disk.files[MAIN] = (b"{}", 0o777)
    disk.run(wanted_file(OURS, mode=None))
    assert disk.files[MAIN][1] == 0o777


def test_what_is_no_longer_listed_is_given_back():
    other = f"{HOME}/.clawdbot/clawdbot.json"
    disk = Disk({MAIN: b'{"a": 1}', other: b'{"b": 1}'})
    before = disk.state()
    disk.run(wanted_file(OURS), wanted_file(OURS, other))
    disk.run(wanted_file(OURS, other))
    assert disk.files[MAIN] == before[0][MAIN]
    assert disk.value(other) == {"b": 1, **OURS}
    disk.run(wanted_file({}, other))
    assert disk.files[other] == before[0][other]
    assert set(disk.files) == {MAIN, other}


def test_a_file_that_somebody_deleted_is_made_anew_and_then_ours():
    disk = Disk({MAIN: b'{"models": {"mode": "replace"}}'})
    disk.run(wanted_file(OURS))
    del disk.files[MAIN]
    assert said(disk.run(wanted_file(OURS)))[0].startswith("write")
    assert disk.value() == OURS
    disk.run()
    assert disk.files == {}


def test_a_file_that_somebody_deleted_is_forgotten():
    disk = Disk({MAIN: b'{"a": 1}'})
    disk.run(wanted_file(OURS))
    del disk.files[MAIN]
    assert said(disk.run())[0] == f"forget {MAIN}: in the record -> not in the record"
    assert disk.files == {}


def test_without_the_record_nothing_is_taken_out():
    disk = Disk({MAIN: b'{"a": 1}'})
    disk.run(wanted_file(OURS))
    del disk.files[RECORD]
    assert disk.run(wanted_file(OURS)).steps == ()
    assert disk.run().steps == ()
    assert disk.value() == {"a": 1, **OURS}


# What is shown. ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "ours", "answer"),
    [
        (("a", "baseUrl"), "http://localhost:11434", False, "http://localhost:11434"),
        (("a", "apiKey"), "sk-1", False, HIDDEN),
        (("a", "apiKey"), "ollama", True, HIDDEN),
        (("channels", "botToken", "x"), "1234", False, HIDDEN),
        (("a", "maxTokens"), 8192, False, 8192),
        (("a", "maxTokensField"), "max_tokens", True, "max_tokens"),
        (("a", "headers"), {"X": "y"}, False, "a mapping"),
        (("a", "headers"), {"X": "y"}, True, {"X": HIDDEN}),
        (("a", "model"), "openai/gpt-5.4", False, "openai/gpt-5.4"),
        (("a", "model"), "sk-proj-0123", False, HIDDEN),
        (("a", "url"), "https://felipe:pw@host/", False, HIDDEN),
        (("a", "url"), "https://host/?key=1", False, HIDDEN),
        (("a", "b"), "0123456789abcdef0123456789abcdef", False, HIDDEN),
        (("a", "b"), "0123456789abcdef0123456789abcdef", True, "0123456789abcdef0123456789abcdef"),
        (("a", "fallbacks"), ["x/y", "sk-proj-0123"], False, ["x/y", HIDDEN]),
        (("a", "models"), [{"id": "x"}], False, "a list of 1"),
        (("a", "models"), [{"id": "x", "apiKey": "k"}], True, [{"id": "x", "apiKey": HIDDEN}]),
        (("a",), ABSENT, False, "absent"),
        (("a",), None, False, None),
        (("a",), {}, False, {}),
    ],
)
def test_what_may_be_shown(path, value, ours, answer):
    assert shown(path, value, ours=ours) == answer


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("OPENAI_API_KEY=ollama", f"OPENAI_API_KEY={HIDDEN}"),
        ('  "master_key": "sk-1",', f'  "master_key": {HIDDEN}'),
        ("export A_TOKEN='x'", f"export A_TOKEN={HIDDEN}"),
        ("api_base: http://localhost:11434", "api_base: http://localhost:11434"),
        ("# ollama-fleet", "# ollama-fleet"),
        ("", ""),
    ],
)
def test_which_lines_may_be_shown(line, answer):
    assert shown_line(line) == answer


def test_a_step_tells_nothing_that_is_the_persons():
    theirs = {"models": {"mode": "s3cr3t-" + "x" * 30, "providers": {"ollama": {"apiKey": "s3cr3t"}}}}
    disk = Disk({MAIN: json.dumps(theirs).encode()})
    plans = [disk.run(wanted_file(OURS))]
    disk.edit({**disk.value(), "models": {"mode": "s3cr3t-" + "y" * 30, "providers": {"ollama": {"apiKey": "s3cr3t-2"}}}})
    plans += [disk.run(wanted_file(OURS)), disk.run()]
    assert all(plan.steps for plan in plans)
    assert "s3cr3t" not in str([(plan.steps, plan.warnings) for plan in plans])


def test_what_a_client_says_is_told_without_the_persons_texts():
    document = {"models": {"mode": "merge"}, "channels": {"token": 's3cr3t"1', "n": ["pässwort", "abc"]}}
    secrets = their_texts(document, {"models": {"mode": "merge"}})
    assert set(secrets) == {'s3cr3t"1', "pässwort"}
    words = '\x1b[31mInvalid\x1b[0m: got s3cr3t\\"1\n\n  or s3cr3t"1\nmerge p\\u00e4sswort pässwort' + " x" * 1000
    answer = told(words, secrets)
    assert answer.startswith("Invalid: got *** / or *** / merge *** ***")
    assert len(answer) < 620


# Refusals. --------------------------------------------------------------------------------------------------------------

REFUSED = {
    "malformed": (b'{"a": 1', {}, ["openclaw.json", "Correct the file"]),
    "no mapping": (b"[1]", {}, ["line 1, column 1"]),
    "a list in the way": (b'{"models": [1, 2]}', {}, ["models is a list of 2", "allowed is a mapping", "Move the list"]),
    "a link": (b"", {"kind": "link", "problem": "/elsewhere"}, ["symbolic link to /elsewhere", "Name /elsewhere"]),
    "large": (b"", {"kind": "large"}, ["larger than 5 MiB"]),
    "unreadable": (b"", {"kind": "unreadable", "problem": "Permission denied"}, ["cannot be read: Permission denied"]),
    "a folder": (b"", {"kind": "other"}, ["no regular file"]),
    "a read-only folder": (b"{}", {"writable": False, "problem": "it is read-only"}, ["cannot be written", "it is read-only"]),
    "infinity": (b'{"a": Infinity}', {}, ["Infinity or NaN"]),
}


@pytest.mark.parametrize(("content", "changes", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_why(content, changes, words):
    disk = Disk({MAIN: content})
    files = [wanted_file(TEXT, ENV, format="text"), wanted_file(OURS)]
    seen = disk.look(files)
    seen = replace(seen, files={**seen.files, MAIN: replace(seen.files[MAIN], **changes)})
    with pytest.raises(RefusedError) as caught:
        judge(files, seen, client_disk.read_json)
    assert MAIN in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_every_reason_is_told_at_once():
    disk = Disk({MAIN: b"[", ENV: b"theirs\n"})
    with pytest.raises(RefusedError) as caught:
        disk.run(wanted_file(OURS), wanted_file(TEXT, ENV, format="text"))
    assert MAIN in str(caught.value)
    assert ENV in str(caught.value)


def test_a_record_that_is_none_is_no_reason_to_begin_anew():
    for content in (
        b"{",
        b'{"schema": 2}',
        b'{"schema": 1}',
        b'{"schema": 1, "cut": false, "folders": [], "files": {"a": {}}}',
        b"\xff",
    ):
        with pytest.raises(RefusedError, match="record of what is ours"):
            Disk({RECORD: content}).run(wanted_file(OURS))


def test_a_file_is_listed_once():
    with pytest.raises(RefusedError, match="listed twice"):
        Disk().run(wanted_file(OURS), wanted_file(OURS))
    with pytest.raises(RefusedError, match="record"):
        Disk().run(wanted_file(OURS, RECORD))
    with pytest.raises(RefusedError, match="another name"):
        Disk().run(wanted_file(OURS, parts=PARTS), wanted_file(OURS, PART))


ASKED = {"program": "openclaw", "path": "~/.openclaw/openclaw.json", "format": "json", "managed": OURS, "mode": "0600"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "openclaw.json"}, ["files[0].path", "absolute"]),
        ({"path": "~/../x"}, ["without . or .."]),
        ({"path": None}, ["files[0].path"]),
        ({"pth": "x"}, ["files[0]", "pth", "managed, mode"]),
        ({"format": "yaml"}, ["json or text"]),
        ({"managed": [1]}, ["a mapping"]),
        ({"managed": {"a": {8: 1}}}, ["key that is text"]),
        ({"managed": {"a": object}}, [": a:", "text"]),
        ({"managed": {"a": float("inf")}}, ["finite"]),
        ({"mode": "0666"}, ["nobody but the owner"]),
        ({"mode": 384}, ["in quotes"]),
        ({"include": [{"at": "models", "file": "x"}]}, ["at, a list of keys"]),
        ({"include": [{"at": ["models"], "file": "../x"}]}, ["relative name"]),
        ({"include": [{"at": ["models"], "file": "/x"}]}, ["relative name"]),
        ({"include": [{"at": ["models", "mode"], "file": "x"}]}, ["no mapping"]),
        ({"include": [{"at": ["models"], "file": "x"}, {"at": ["models", "providers"], "file": "y"}]}, ["beside each other"]),
        ({"managed": {"p": {"a/b": {}}}, "include": [{"at": ["p", "*"], "file": "{0}.json"}]}, ["?a/b?.json", "relative name"]),
        ({"managed": {"p": {"a": {}, "b": {}}}, "include": [{"at": ["p", "*"], "file": "x"}]}, ["of its own for each"]),
        ({"validate": {"command": "openclaw config validate"}}, ["as a list"]),
        ({"format": "text", "managed": "A=1\n"}, ["first line", "ollama-fleet"]),
        ({"format": "text", "managed": ""}, ["text of the file"]),
    ],
)
def test_what_would_not_do_what_is_meant_is_refused(changes, words):
    with pytest.raises(RefusedError) as caught:
        wanted_from_json([{**ASKED, **changes}])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_is_asked_is_read():
    (file,) = wanted_from_json(
        [
            {
                **ASKED,
                "mode": "",
                "folder_mode": "0755",
                "include": [{"at": ["models", "providers", "*"], "file": "fleet/{0}.json"}, {"at": ["agents"], "file": "a"}],
                "validate": {"command": ["openclaw", "config", "validate"], "path_variable": "P", "environment": {"A": 1}},
            }
        ]
    )
    assert (file.mode, file.folder_mode, file.parts) == (None, 0o755, PARTS)
    assert file.validate == Validation(("openclaw", "config", "validate"), "P", {"A": "1"}, 60)
    assert file.part_paths() == ("~/.openclaw/fleet/ollama.json",)
    (text,) = wanted_from_json([{**ASKED, "format": "text", "managed": TEXT.rstrip()}])
    assert text.managed == TEXT


# Text. ------------------------------------------------------------------------------------------------------------------


def test_a_text_is_ours_as_a_whole():
    disk = Disk()
    bare = disk.state()
    file = wanted_file(TEXT, ENV, format="text")
    plan = disk.run(file)
    assert said(plan) == [f"write {ENV}: no file -> {[shown_line(line) for line in TEXT.splitlines()]}"]
    assert disk.files[ENV] == (TEXT.encode(), 0o600)
    assert disk.run(file).steps == ()
    disk.files[ENV] = (b"A_TOKEN=theirs\n", 0o600)
    assert said(disk.run(file))[0].startswith(f"write {ENV}: changed since it was written -> ")
    assert disk.files[ENV + BACKUP][0] == b"A_TOKEN=theirs\n"
    disk.run()
    assert disk.state() == bare


def test_a_text_of_somebody_else_is_refused_and_a_marked_one_is_ours():
    with pytest.raises(RefusedError, match="not ours"):
        Disk({ENV: b"A=1\n"}).run(wanted_file(TEXT, ENV, format="text"))
    disk = Disk({ENV: TEXT.encode() + b"B=1\n"})
    disk.run(wanted_file(TEXT, ENV, format="text"))
    assert disk.files[ENV][0] == TEXT.encode()
    disk = Disk({ENV: TEXT.encode()})
    assert said(disk.run(wanted_file(TEXT, ENV, format="text"))) == [f"record {ENV}: not in the record -> ours"]
    disk.run()
    assert disk.files == {}


def test_a_text_that_somebody_changed_stays():
    disk = Disk()
    disk.run(wanted_file(TEXT, ENV, format="text"))
    disk.files[ENV] = (b"theirs\n", 0o600)
    plan = disk.run()
    assert "stays" in plan.warnings[0]
    assert disk.files == {ENV: (b"theirs\n", 0o600)}


def test_a_file_does_not_change_its_kind():
    disk = Disk()
    disk.run(wanted_file(TEXT, ENV, format="text"))
    with pytest.raises(RefusedError, match="Take it back first"):
        disk.run(wanted_file(OURS, ENV))


# Files of their own. ----------------------------------------------------------------------------------------------------


def whole(disk, path=MAIN):
    """Return what a file means with everything it takes in, as the clients read it."""

    def inner(value):
        if not isinstance(value, dict):
            return value
        made = {key: inner(one) for key, one in value.items() if key != "$include"}
        if "$include" not in value:
            return made
        part = disk.value(f"{path.rpartition('/')[0]}/{value['$include'][2:]}")
        return expanded({"x": {"$include": "", **made}}, {("x",): part})["x"]

    return inner(disk.value(path))


def test_a_part_lies_in_a_file_of_its_own():
    disk = Disk({MAIN: b'{"models": {"providers": {"ollama": {"headers": {"X": "theirs"}}}}}'})
    before = disk.state()
    plan = disk.run(wanted_file(OURS, parts=PARTS))
    assert f"set {MAIN}: models.providers.ollama.$include: absent -> ./fleet/ollama.json" in said(plan)
    assert f"write {PART}: no file -> what is ours below models.providers.ollama" in said(plan)
    assert disk.value() == {
        "models": {
            "mode": "merge",
            "providers": {"ollama": {"$include": "./fleet/ollama.json", "headers": {"X": "theirs"}}},
        }
    }
    assert disk.value(PART) == OURS["models"]["providers"]["ollama"]
    assert disk.run(wanted_file(OURS, parts=PARTS)).steps == ()
    disk.run()
    assert disk.state() == before


def test_what_a_client_writes_through_into_a_part_is_drift_and_theirs_stays():
    disk = Disk()
    disk.run(wanted_file(OURS, parts=PARTS))
    disk.edit({**disk.value(PART), "baseUrl": "http://other", "timeoutSeconds": 5}, PART)
    assert said(disk.run(wanted_file(OURS, parts=PARTS))) == [
        f"set {MAIN}: models.providers.ollama.baseUrl: http://other -> http://localhost:11434"
    ]
    assert disk.value(PART) == OURS["models"]["providers"]["ollama"]
    assert whole(disk)["models"]["providers"]["ollama"]["timeoutSeconds"] == 5
    disk.run(wanted_file(OURS))
    assert disk.value()["models"]["providers"]["ollama"]["timeoutSeconds"] == 5
    assert PART not in disk.files


def test_a_flattened_file_is_parted_again():
    disk = Disk()
    disk.run(wanted_file(OURS, parts=PARTS))
    disk.edit(OURS)
    assert said(disk.run(wanted_file(OURS, parts=PARTS))) == [
        f"set {MAIN}: models.providers.ollama.$include: absent -> ./fleet/ollama.json"
    ]
    assert whole(disk) == OURS


def test_a_part_that_is_gone_is_made_again():
    disk = Disk()
    disk.run(wanted_file(OURS, parts=PARTS))
    del disk.files[PART]
    assert f"write {PART}: no file -> what is ours below models.providers.ollama" in said(
        disk.run(wanted_file(OURS, parts=PARTS))
    )
    assert whole(disk) == OURS


def test_a_value_that_moves_between_file_and_part_is_in_one_of_them_at_any_time():
    parts = {("a",): "fleet/a.json"}
    for cut in range(12):
        disk = Disk({MAIN: b'{"a": {"mine": 1}}'})
        disk.run(wanted_file({"a": {"mine": 1}}, parts=parts))
        disk.run(wanted_file({"a": {}, "b": 2}, parts=parts), cut_after=cut)
        assert whole(disk)["a"] == {"mine": 1}, cut


def test_parts_of_somebody_else_are_refused():
    with pytest.raises(RefusedError, match="takes in another file already"):
        Disk({MAIN: b'{"models": {"providers": {"ollama": {"$include": "./mine.json"}}}}'}).run(wanted_file(OURS, parts=PARTS))
    with pytest.raises(RefusedError, match="is there and not ours"):
        Disk({MAIN: b"{}", PART: b'{"a": 1}'}).run(wanted_file(OURS, parts=PARTS))


def test_a_part_keeps_its_file():
    disk = Disk()
    disk.run(wanted_file(OURS, parts=PARTS))
    with pytest.raises(RefusedError, match="another name"):
        disk.run(wanted_file({"other": {}}, parts={("other",): "fleet/ollama.json"}))


def test_a_file_that_takes_in_others_above_ours_is_told():
    disk = Disk({MAIN: b'{"$include": "./base.json", "models": {"$include": ["./a.json"]}}'})
    plan = disk.run(wanted_file(OURS))
    assert [warning.split(": ", 1)[1].split(" takes")[0] for warning in plan.warnings] == ["its top", "models"]
    assert disk.run(wanted_file(OURS)).warnings == ()


def test_the_candidate_is_the_whole():
    how = Validation(("openclaw",))
    disk = Disk({MAIN: b'{"channels": {"token": "s3cr3t"}}'})
    (candidate,) = disk.run(wanted_file(OURS, parts=PARTS, validate=how)).candidates
    assert json.loads(candidate.content) == {"channels": {"token": "s3cr3t"}, **OURS}
    assert candidate.secrets == ("s3cr3t",)
    assert disk.run(wanted_file(OURS, parts=PARTS, validate=how)).candidates == ()


# The record. ------------------------------------------------------------------------------------------------------------


def test_a_record_survives_its_file():
    ours = Ours({("a", "b.c"): Written([1], None, ("x",)), ("d",): Written("é\ud83d")}, {("a",): ABSENT, ("e",): "theirs"})
    parts = {("a",): ("f/a.json",)}
    main = Entry("json", "openclaw", False, "openclaw.json" + KEPT, ("0", "1"), (0o644, 0o600), ours, parts)
    record = Record({MAIN: main, ENV: Entry("text", "", True, "", ("2",))}, (HOME,), cut=True)
    text = record_to_text(record)
    assert record_from_text(text) == record
    assert record_to_text(record_from_text(text)) == text
    files, beside = recorded_paths(text)
    assert set(files) == {MAIN, ENV}
    assert beside == (f"{HOME}/.openclaw/openclaw.json{KEPT}", f"{HOME}/.openclaw/f/a.json")
    assert recorded_paths("") == ((), ())


def test_half_a_pair_of_surrogates_is_an_escape():
    assert to_text("f", {"a": "é\ud83d"}) == '{\n  "a": "é\\ud83d"\n}\n'.encode()


def test_an_absent_file_is_an_empty_document():
    seen = Disk().look([wanted_file(OURS)])
    assert read_json(seen.files[MAIN], "x", client_disk.read_json).value == {}


# Laws over runs. --------------------------------------------------------------------------------------------------------

MODES = st.booleans()


def asked(managed, apart, path=MAIN):
    inner = [key for key, value in managed.items() if isinstance(value, dict)]
    parts = {(key,): f"fleet/{key[:1]}.json" for key in inner}
    return wanted_file(managed, path, parts=parts if apart else {})


def run(disk, *wanted, **options):
    try:
        return disk.run(*wanted, **options)
    except RefusedError:
        return None


def start(document, comment):
    if document is None:
        return Disk()
    return Disk({MAIN: (b"// theirs\n" if comment else b"") + json.dumps(document).encode()})


STARTS = st.none() | DOCUMENTS


@given(STARTS, DOCUMENTS, MODES, MODES)
def test_ours_is_in_a_second_run_is_silent_and_removal_is_to_the_byte(document, managed, apart, comment):
    disk = start(document, comment)
    before = disk.state()
    plan = run(disk, asked(managed, apart))
    if plan is None:
        return
    assert bool(plan.steps) == (disk.state() != before)
    assert run(disk, asked(managed, apart)).steps == ()
    gone = run(disk)
    assert bool(gone.steps) == bool(plan.steps)
    assert disk.state() == before


@given(STARTS, st.lists(st.tuples(DOCUMENTS, MODES), min_size=1, max_size=3), MODES)
def test_only_the_last_run_counts_however_it_lies(document, sequence, comment):
    disk = start(document, comment)
    before = disk.state()
    done = False
    for managed, apart in sequence:
        direct = start(document, comment)
        wished = run(direct, asked(managed, apart))
        plan = run(disk, asked(managed, apart))
        assert (plan is None) == (wished is None)
        if plan is None:
            continue
        done = True
        assert (MAIN in disk.files) == (MAIN in direct.files)
        if MAIN in disk.files:
            assert same(whole(disk), whole(direct))
            assert same(disk.value(), direct.value())
        assert {path for path in disk.files if "/fleet/" in path and not path.endswith(BACKUP)} == {
            path for path in direct.files if "/fleet/" in path
        }
    if done:
        run(disk)
        assert disk.state() == before


@given(STARTS, DOCUMENTS, DOCUMENTS, MODES, MODES, st.integers(0, 14), MODES)
def test_a_run_that_was_cut_anywhere_is_taken_up(document, first, second, apart, later, cut, onward):
    disk = start(document, comment=False)
    before = disk.state()
    direct = start(document, comment=False)
    if run(disk, asked(first, apart)) is None or run(direct, asked(second, later)) is None:
        return
    run(disk, asked(second, later), cut_after=cut)
    run(disk, *([asked(second, later)] if onward else []))
    if onward:
        assert (MAIN in disk.files) == (MAIN in direct.files)
        assert MAIN not in disk.files or same(whole(disk), whole(direct))
        assert run(disk, asked(second, later)).steps == ()
        run(disk)
    assert set(disk.files) == set(before[0])
    assert disk.folders <= {*before[1], f"{HOME}/.config", f"{HOME}/.config/ollama-fleet"}
    assert document is None or same(disk.value(), document)


@given(STARTS, DOCUMENTS, MODES, KEYS, SCALARS)
def test_what_others_write_meanwhile_survives(document, managed, apart, key, value):
    disk = start(document, comment=False)
    if run(disk, asked(managed, apart)) is None or MAIN not in disk.files:
        return
    disk.edit({**disk.value(), f"their {key}": value})
    again = run(disk, asked(managed, apart))
    assert again.steps == ()
    run(disk)
    assert same(disk.value(), {**(document or {}), f"their {key}": value})
