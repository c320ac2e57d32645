"""What leaves memory: everything but residents, or what was named; by what a name means, not by how it is listed."""

from __future__ import annotations

import pytest
from ansible.module_utils.fleet.models import Installed, Loaded
from ansible.module_utils.fleet.unloading import Plan, Wanted, plan, sentence, wanted_from_json
from hypothesis import given
from hypothesis import strategies as st


def installed(*pairs):
    return tuple(Installed(name, digest, 1) for name, digest in pairs)


def loaded(*triples):
    return tuple(Loaded(name, digest, size, size, 4096, pinned=False) for name, digest, size in triples)


HERE = installed(("qwen3:8b", "q8"), ("gpt-oss:20b", "oss"), ("tiny:latest", "tiny"), ("alias:latest", "q8"))
ALL = loaded(("qwen3:8b", "q8", 5), ("tiny:latest", "tiny", 1), ("gpt-oss:20b", "oss", 13))


def items(planned):
    return [step.item for step in planned.steps]


def test_every_model_that_is_no_resident_leaves_largest_first():
    planned = plan(HERE, ALL, Wanted(("qwen3:8b",)))
    assert items(planned) == ["gpt-oss:20b", "tiny:latest"]
    assert planned.freed_bytes == 14
    assert sentence(planned).startswith("frees 0.0 GB (14 bytes): gpt-oss:20b")


@pytest.mark.parametrize(
    ("wanted", "leave", "refused", "absent"),
    [
        (Wanted(("qwen3:8b",), ("gpt-oss:20b",)), ["gpt-oss:20b"], (), ()),
        (Wanted(("qwen3:8b",), ("qwen3:8b", "tiny:latest")), ["tiny:latest"], ("qwen3:8b",), ()),
        (Wanted(("qwen3:8b",), ("alias:latest",)), [], ("qwen3:8b",), ()),
        (Wanted(("QWEN3:8B",), ()), ["gpt-oss:20b", "tiny:latest"], (), ()),
        (Wanted(("alias:latest",), ()), ["gpt-oss:20b", "tiny:latest"], (), ()),
        (Wanted(("qwen3:8b",), ("qwen3:8b",), residents_too=True), ["qwen3:8b"], (), ()),
        (Wanted(("qwen3:8b",), (), residents_too=True), ["gpt-oss:20b", "qwen3:8b", "tiny:latest"], (), ()),
        (Wanted((), ("other:1b",)), [], (), ("other:1b",)),
        (Wanted((), ("tiny:latest", "other:1b")), ["tiny:latest"], (), ("other:1b",)),
        (Wanted(), ["gpt-oss:20b", "qwen3:8b", "tiny:latest"], (), ()),
    ],
    ids=[
        "one named", "a resident among them", "another name of a resident", "case", "a resident by another name",
        "a resident as asked", "all", "not loaded", "one of two", "nobody stays",
    ],
)  # fmt: skip
def test_who_leaves(wanted, leave, refused, absent):
    planned = plan(HERE, ALL, wanted)
    assert (items(planned), planned.refused, planned.absent, planned.stuck) == (leave, refused, absent, ())


def test_a_model_is_told_to_go_by_a_name_that_still_means_it():
    moved = installed(("gpt-oss:20b", "new"), ("kept:latest", "old"))
    planned = plan(moved, loaded(("gpt-oss:20b", "old", 13)), Wanted())
    assert items(planned) == ["kept:latest"]


def test_what_no_name_means_any_more_cannot_be_told_to_go():
    planned = plan(installed(("gpt-oss:20b", "new")), loaded(("gpt-oss:20b", "old", 13)), Wanted())
    assert planned == Plan(stuck=("gpt-oss:20b",))


def test_the_old_version_of_a_resident_cannot_be_told_to_go_either():
    moved = installed(("qwen3:8b", "new"))
    assert plan(moved, loaded(("qwen3:8b", "old", 5)), Wanted(("qwen3:8b",))).refused == ()
    assert plan(moved, loaded(("qwen3:8b", "old", 5)), Wanted(("qwen3:8b",))).stuck == ("qwen3:8b",)


def test_a_name_that_ollama_refuses_is_said():
    with pytest.raises(ValueError, match="bad name"):
        wanted_from_json([], ["bad name"], residents_too=False)
    assert wanted_from_json(["tiny"], ["b"], residents_too=True) == Wanted(("tiny:latest",), ("b:latest",), residents_too=True)


@given(
    loads=st.lists(st.sampled_from(ALL), unique=True),
    residents=st.lists(st.sampled_from(["qwen3:8b", "alias:latest", "tiny:latest"])),
    named=st.lists(st.sampled_from(["qwen3:8b", "alias:latest", "gpt-oss:20b", "none:latest"])),
)
def test_no_resident_leaves_unless_that_was_asked_for(loads, residents, named):
    planned = plan(HERE, tuple(loads), Wanted(tuple(residents), tuple(named)))
    digests = {model.name: model.digest for model in HERE}
    gone = {digests[item] for item in items(planned)}
    assert not gone & {digests[name] for name in residents}
    assert planned.freed_bytes == sum(model.size for model in loads if model.digest in gone)
    left = tuple(model for model in loads if model.digest not in gone)
    assert plan(HERE, left, Wanted(tuple(residents), tuple(named))).steps == ()


def test_nothing_to_do_is_said():
    assert sentence(plan((), (), Wanted((), ("a:1",)))) == "nothing to unload; not loaded: a:1"
