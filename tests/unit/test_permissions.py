"""Who else may write: each place that lets others in is named once, with the command that mends it and nothing more."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from ansible.module_utils.fleet.permissions import Place, findings, places_from_json
from ansible.module_utils.fleet.vocabulary import plain
from ansible.module_utils.macos import system
from hypothesis import given
from hypothesis import strategies as st

from .examples import UID

STAFF, ADMIN, WHEEL = 20, 80, 0
AGENTS = "/Users/felipe/Library/LaunchAgents"
DAEMONS = "/Library/LaunchDaemons"


@pytest.mark.parametrize(
    ("path", "place", "remedy"),
    [
        pytest.param(AGENTS, Place(0o755, UID, STAFF), None, id="as macOS makes it"),
        pytest.param(AGENTS, Place(0o700, UID, STAFF), None, id="private"),
        pytest.param(DAEMONS, Place(0o755, 0, WHEEL), None, id="Apple's"),
        pytest.param("/Library/Application Support", Place(0o775, 0, ADMIN), None, id="administrators may"),
        pytest.param("/private/tmp", Place(0o1777, 0, WHEEL), None, id="sticky"),
        pytest.param(AGENTS, Place(0o775, UID, STAFF), f"chmod g-w {AGENTS}", id="every person of this Mac"),
        pytest.param(AGENTS, Place(0o777, UID, STAFF), f"chmod go-w {AGENTS}", id="everybody"),
        pytest.param(AGENTS, Place(0o757, UID, STAFF), f"chmod o-w {AGENTS}", id="others but not the group"),
        pytest.param(DAEMONS, Place(0o777, 0, ADMIN), f"sudo chmod o-w {DAEMONS}", id="administrators stay"),
        pytest.param(AGENTS, Place(0o755, 502, STAFF), f"sudo chown {UID} {AGENTS}", id="another person's"),
        pytest.param(DAEMONS, Place(0o755, 502, WHEEL), f"sudo chown 0 {DAEMONS}", id="a system folder of a person"),
        pytest.param("/a b", Place(0o757, UID, STAFF), "chmod o-w '/a b'", id="a blank"),
        pytest.param(
            "/a'; id #", Place(0o757, UID, STAFF), f"chmod o-w {shlex.quote(chr(47) + 'a' + chr(39) + '; id #')}", id="hostile"
        ),
    ],
)
def test_what_others_may_change(path, place, remedy):
    found = findings("mac-mini", {path: place}, UID)
    assert [finding.remedy for finding in found] == ([] if remedy is None else [f"on mac-mini: {remedy}"])
    assert all((finding.item, finding.severity) == (path, "warning") for finding in found)


def test_a_foreign_owner_and_an_open_mode_are_two_findings():
    assert len(findings("mac-mini", {AGENTS: Place(0o777, 502, STAFF)}, UID)) == 2


PLACES = st.builds(Place, st.integers(0, 0o7777), st.sampled_from([0, UID, 502]), st.sampled_from([STAFF, ADMIN, WHEEL]))


@given(PLACES)
def test_what_was_mended_is_told_no_more(place):
    for finding in findings("mac-mini", {AGENTS: place}, UID):
        if finding.wanted.startswith("mode"):
            place = Place(int(finding.wanted.split()[1], 8), place.uid, place.gid)
        else:
            place = Place(place.mode, int(finding.wanted.split()[1]), place.gid)
    assert findings("mac-mini", {AGENTS: place}, UID) == ()


@given(st.dictionaries(st.text(max_size=5), PLACES, max_size=3))
def test_places_survive_the_way_through_json(places):
    assert places_from_json(plain(places)) == places


def test_places_are_read_with_the_folders_above_them(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    folder.chmod(0o751)
    read_now = system.read_places([str(tmp_path / "link"), str(tmp_path / "absent")])
    assert {str(tmp_path), str(folder.parent), str(folder), "/"} <= set(read_now)
    assert read_now[str(folder)].mode == 0o751
    assert str(tmp_path / "absent") not in read_now


def test_what_lies_inside_is_read_and_links_are_not_followed(tmp_path):
    own = tmp_path / "own"
    (own / "changes").mkdir(parents=True)
    (own / "changes" / "record.json").write_text("{}")
    (own / "changes" / "record.json").chmod(0o666)
    (own / "out").symlink_to(Path("/"))
    read_now = system.read_inside([str(own), str(tmp_path / "absent")])
    assert {path: place.mode for path, place in read_now.items() if path.endswith(".json")} == {
        str(own / "changes" / "record.json"): 0o666
    }
    assert set(read_now) == {str(own / "changes"), str(own / "changes" / "record.json")}
    assert len(system.read_inside([str(own)], limit=1)) == 1
