"""Ours in a document of somebody else: what is merged, what is left alone, and what comes back."""

from __future__ import annotations

import copy

import pytest
from ansible.module_utils.fleet.merging import (
    ABSENT,
    INCLUDE,
    InTheWayError,
    Ours,
    Written,
    expanded,
    included,
    leaves,
    look_up,
    matches,
    merge,
    overlaid,
    path_text,
    put,
    same,
    split,
    without,
)
from hypothesis import given
from hypothesis import strategies as st

NOTHING = Ours()
KEYS = st.sampled_from(["a", "b", "c", "ollama/qwen3:8b"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0]) | st.sampled_from(["", "x", "y"])
LISTS = st.lists(SCALARS | st.dictionaries(KEYS, SCALARS, max_size=1), max_size=2)


def mappings(leaf):
    return st.dictionaries(
        KEYS, st.recursive(leaf, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8), max_size=4
    )


DOCUMENTS = mappings(SCALARS | LISTS)


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, ABSENT, False),
        (ABSENT, ABSENT, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ([1, 2], [2, 1], False),
        ([1], (1,), True),
        ({}, [], False),
        ("1", 1, False),
        ("é", "é", True),
    ],
)
def test_the_same_in_json_is_the_same(one, other, answer):
    assert same(one, other) is answer
    assert same(other, one) is answer


def test_paths_are_keys_and_read_well():
    assert list(leaves({"a": {"b.c": 1, "d": {}}, "e": []})) == [(("a", "b.c"), 1), (("a", "d"), {}), (("e",), [])]
    assert path_text(("models", "ollama/qwen3:8b", "b.c", "")) == 'models.ollama/qwen3:8b."b.c".""'


TABLE = {
    "into nothing": ({}, {"a": {"b": 1}}, {"a": {"b": 1}}, ["set a.b: absent -> 1"]),
    "beside others": ({"a": {"x": 1}}, {"a": {"b": 1}}, {"a": {"x": 1, "b": 1}}, ["set a.b: absent -> 1"]),
    "a leaf of the person": ({"a": 1}, {"a": 2}, {"a": 2}, ["set a: 1 -> 2"]),
    "a list as a whole": ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}, ["set a: [1, 2] -> [1]"]),
    "a mapping by a leaf": ({"a": {"x": 1}}, {"a": []}, {"a": []}, ["set a: {'x': 1} -> []"]),
    "a text by a mapping": ({"a": "m"}, {"a": {"b": 1}}, {"a": {"b": 1}}, ["set a: m -> {}", "set a.b: absent -> 1"]),
    "null by a mapping": ({"a": None}, {"a": {"b": {}}}, {"a": {"b": {}}}, ["set a: None -> {}", "set a.b: absent -> {}"]),
    "a mapping must be there": ({}, {"a": {}}, {"a": {}}, ["set a: absent -> {}"]),
    "and it is": ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}, []),
    "right already": ({"a": {"b": 1.0}}, {"a": {"b": 1}}, {"a": {"b": 1.0}}, []),
    "true is not 1": ({"a": 1}, {"a": True}, {"a": True}, ["set a: 1 -> True"]),
    "a key with a dot": ({"a.b": 1}, {"a": {"b": 2}}, {"a.b": 1, "a": {"b": 2}}, ["set a.b: absent -> 2"]),
    "nothing": ({"a": 1}, {}, {"a": 1}, []),
}


def lines(changes):
    return [f"{change.action} {path_text(change.path)}: {change.found} -> {change.wanted}" for change in changes]


@pytest.mark.parametrize(("document", "managed", "wanted", "said"), TABLE.values(), ids=TABLE)
def test_what_is_merged(document, managed, wanted, said):
    before = copy.deepcopy(document)
    done = merge(document, managed, NOTHING)
    assert (done.document, lines(done.changes)) == (wanted, said)
    assert document == before
    assert list(done.document)[: len(document)] == list(document)
    again = merge(done.document, managed, done.ours)
    assert (again.document, again.changes, again.ours) == (wanted, (), done.ours)
    back = merge(done.document, {}, done.ours)
    assert (back.document, back.ours) == (document, NOTHING)


@pytest.mark.parametrize("path", [("a",), ("a", "b")])
def test_a_list_does_not_give_way_to_a_mapping(path):
    document, managed = {}, {"c": 1}
    for key in reversed(path):
        document, managed = {key: document or [1]}, {key: managed}
    with pytest.raises(InTheWayError) as caught:
        merge(document, managed, NOTHING)
    assert caught.value.path == path


LATER = {
    "a leaf of ours is somebody's now": ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}),
    "a leaf of ours is gone": ({"a": 1}, {"a": 2}, {}, {}),
    "something is beside ours": ({}, {"a": {"b": 1}}, {"a": {"b": 1, "x": 1}}, {"a": {"x": 1}}),
    "something is below ours": ({}, {"a": {"b": {}}}, {"a": {"b": {"x": 1}}}, {"a": {"b": {"x": 1}}}),
    "a mapping of ours is a text now": ({}, {"a": {"b": 1}}, {"a": "x"}, {"a": "x"}),
    "a text that gave way and more": ({"a": "m"}, {"a": {"b": 1}}, {"a": {"b": 1, "x": 1}}, {"a": {"x": 1}}),
    "elsewhere": ({"z": 1}, {"a": 2}, {"z": 2, "a": 2}, {"z": 2}),
}


@pytest.mark.parametrize(("document", "managed", "edited", "left"), LATER.values(), ids=LATER)
def test_what_somebody_changed_since_stays(document, managed, edited, left):
    done = merge(document, managed, NOTHING)
    assert merge(edited, {}, done.ours).document == left


def test_drift_is_set_back_and_what_was_before_us_still_comes_back():
    done = merge({"a": "theirs"}, {"a": "ours"}, NOTHING)
    drifted = merge({"a": "drift"}, {"a": "ours"}, done.ours)
    assert lines(drifted.changes) == ["set a: drift -> ours"]
    assert merge(drifted.document, {}, drifted.ours).document == {"a": "theirs"}


def test_what_is_released_is_said_once():
    done = merge({"b": "theirs", "e": "m"}, {"a": {"x": {"y": 1}}, "b": 2, "c": {}, "e": {"f": 1}}, NOTHING)
    gone = merge(done.document, {}, done.ours)
    assert sorted(lines(gone.changes)) == ["drop a.x.y: 1 -> absent", "drop c: {} -> absent", "drop e.f: 1 -> absent",
                                           "set b: 2 -> theirs", "set e: {'f': 1} -> m"]  # fmt: skip


def test_what_is_released_below_a_mapping_that_stays_is_said():
    done = merge({}, {"a": {"b": 1}}, NOTHING)
    assert lines(merge(done.document, {"a": {}}, done.ours).changes) == ["drop a.b: 1 -> absent"]


# Laws. ------------------------------------------------------------------------------------------------------------------


def try_merge(document, managed, ours=NOTHING):
    try:
        return merge(document, managed, ours)
    except InTheWayError:
        return None


def related(path, others):
    return any(path[: len(other)] == other or other[: len(path)] == path for other in others)


@given(DOCUMENTS, DOCUMENTS)
def test_ours_is_right_and_nothing_else_is_touched(document, managed):
    done = try_merge(document, managed)
    if done is None:
        return
    ours = dict(leaves(managed))
    for path, value in ours.items():
        found = look_up(done.document, path)
        assert isinstance(found, dict) if value == {} else same(found, value)
    for path, value in leaves(document):
        if not related(path, ours):
            assert same(look_up(done.document, path), value)
    for path, value in leaves(done.document):
        assert related(path, ours) or same(look_up(document, path), value)


@given(DOCUMENTS, DOCUMENTS)
def test_a_second_time_nothing_changes_and_removal_restores(document, managed):
    done = try_merge(document, managed)
    if done is None:
        return
    assert bool(done.changes) == (not same(done.document, document))
    again = merge(done.document, managed, done.ours)
    assert again.changes == ()
    assert again.ours == done.ours
    back = merge(done.document, {}, done.ours)
    assert same(back.document, document)
    assert back.ours == NOTHING
    assert bool(back.changes) == (not same(done.document, document))


@given(DOCUMENTS, st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_only_the_last_of_many_counts(document, sequence):
    done = merge(document, {}, NOTHING)
    for managed in sequence:
        following = try_merge(done.document, managed, done.ours)
        direct = try_merge(document, managed)
        assert (following is None) == (direct is None)
        if direct is None:
            continue
        assert bool(following.changes) == (not same(following.document, done.document))
        assert same(following.document, direct.document)
        assert following.ours == direct.ours
        done = following


@given(DOCUMENTS, DOCUMENTS, KEYS, KEYS, SCALARS)
def test_what_somebody_edits_meanwhile_survives_removal(document, managed, first, second, value):
    done = try_merge(document, managed)
    if done is None:
        return
    edited = copy.deepcopy(done.document)
    path = (first, second) if isinstance(edited.get(first), dict) else (first,)
    put(edited, path, value)
    back = merge(edited, {}, done.ours)
    ours = dict(leaves(managed))
    if same(look_up(done.document, path), value):
        assert same(back.document, document)
        return
    assert same(look_up(back.document, path), value)
    for other, found in leaves(document):
        if not related(other, [path, *ours]):
            assert same(look_up(back.document, other), found)


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS, st.booleans(), st.booleans())
def test_a_change_that_was_cut_short_is_taken_up(document, first, second, reached, onward):
    """The record says both; the file is as before or as after the change that was cut."""
    done, direct = try_merge(document, first), try_merge(document, second)
    if done is None or direct is None:
        return
    following = merge(done.document, second, done.ours)
    both = following.ours.with_older(done.ours)
    on_disk = following.document if reached else done.document
    ends = merge(on_disk, second if onward else {}, both)
    assert same(ends.document, direct.document if onward else document)
    assert ends.ours == (direct.ours if onward else NOTHING)


# Files of their own. ----------------------------------------------------------------------------------------------------


def test_a_pattern_names_its_keys():
    managed = {"models": {"providers": {"ollama": {"x": 1}, "other": {}}}, "n": 1}
    assert list(matches(managed, ("models", "providers", "*"))) == [
        (("models", "providers", "ollama"), ("ollama",)),
        (("models", "providers", "other"), ("other",)),
    ]
    assert list(matches(managed, ("models", "missing"))) == []
    assert list(matches(managed, ("n", "*"))) == []


def test_what_the_person_has_there_stays_beside_the_reference():
    made = split({"p": {"a": {"b": 1, "mine": 2}, "c": 3}, "q": 4}, {("p",): ("fleet/p.json", {"a": {"b": 1}, "c": 3})})
    assert made == {"p": {INCLUDE: "./fleet/p.json", "a": {"mine": 2}}, "q": 4}
    assert included(made, ("p",)) == "fleet/p.json"
    assert included(made, ("q",)) is None
    assert included({"p": {INCLUDE: ["./a"]}}, ("p",)) is None
    assert expanded(made, {("p",): {"a": {"b": 1}, "c": 3}}) == {"p": {"a": {"b": 1, "mine": 2}, "c": 3}, "q": 4}


@given(DOCUMENTS, DOCUMENTS)
def test_parts_in_files_mean_the_same(document, managed):
    done = try_merge(document, managed)
    if done is None:
        return
    parts = {(key,): (f"{key[0]}.json", value) for key, value in managed.items() if isinstance(value, dict)}
    main = split(done.document, parts)
    for path, (name, part) in parts.items():
        assert included(main, path) == name
        assert related(path, [path])
        beside = {key: value for key, value in main[path[0]].items() if key != INCLUDE}
        for leaf, value in leaves(part):
            assert value == {} or look_up(beside, leaf) is ABSENT
    assert same(expanded(main, {path: part for path, (_, part) in parts.items()}), done.document)


def test_overlaid_and_without():
    assert overlaid({"a": {"b": 1}, "c": 1}, {"a": {"d": 2}, "c": {"e": 1}}) == {"a": {"b": 1, "d": 2}, "c": {"e": 1}}
    assert without({"a": {"b": 1, "c": {}}, "d": {}}, {"a": {"b": 1, "c": {}}}) == {"d": {}}
    assert Written(1).is_at(ABSENT) is False
