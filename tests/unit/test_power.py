"""What pmset prints in every form that is known, what is set and given back for it, and what a person alone can mend."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.fleet import power
from ansible.module_utils.fleet.case import Case
from ansible.module_utils.fleet.power import AC, BATTERY, KEYS, LIMIT, RECORD_PATH, SYSTEM, UPS, Found, Wanted
from ansible.module_utils.fleet.vocabulary import Unknown, plain
from ansible.module_utils.macos import power as on_mac
from ansible.module_utils.macos import system_job
from ansible.module_utils.macos.commands import Answer
from hypothesis import given
from hypothesis import strategies as st

from .examples import desired, observed, powered

JOB = f"system/{power.LABEL}"
AROUND = {"domain": "gui", "budget_limit_mib": None}
READ = Unknown("pmset did not answer within 10 s")

# Reading. ---------------------------------------------------------------------------------------------------------------

CUSTOM = """\
Battery Power:
 lidwake              1
 lowpowermode         0
 standby              1
 womp                 0
 hibernatefile        /var/vm/sleepimage
 sleep                1 (sleep prevented by sharingd, powerd, bluetoothd)
AC Power:
 Sleep On Power Button 1
 disksleep            10
 networkoversleep     0
 sleep                0 (sleep prevented by powerd, caffeinate)
 womp                 1
"""


def test_sections_are_read_by_name_whatever_their_order_and_remarks():
    assert power.parse_settings(CUSTOM) == {
        BATTERY: {"lidwake": 1, "sleep": 1, "standby": 1, "womp": 0},
        AC: {"disksleep": 10, "sleep": 0, "womp": 1},
    }


@given(st.permutations(CUSTOM.splitlines()[1:7]), st.permutations(CUSTOM.splitlines()[8:]))
def test_the_order_of_lines_decides_nothing(battery, mains):
    text = "\n".join(["AC Power:", *mains, "Battery Power:", *battery])
    assert power.parse_settings(text) == power.parse_settings(CUSTOM)


@pytest.mark.parametrize("text", ["", "Usage: pmset <options>\n", "Battery Power:\n sleep 1\n"])
def test_what_is_no_list_of_settings_is_unknown(text):
    assert isinstance(power.parse_settings(text), Unknown)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Capabilities for AC Power:\n displaysleep\n sleep\n", (AC, frozenset({"displaysleep", "sleep"}))),
        ("Capabilities for Battery Power: \n sleep \n", (BATTERY, frozenset({"sleep"}))),
        ("Capabilities for AC Power:\n", (AC, frozenset())),
    ],
)
def test_capabilities_are_those_of_a_source(text, read):
    assert power.parse_capabilities(text) == read


@pytest.mark.parametrize("text", ["", "Usage: pmset <options>\n", "\n sleep\n"])
def test_what_is_no_list_of_capabilities_is_unknown(text):
    assert isinstance(power.parse_capabilities(text), Unknown)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("System-wide power settings:\n SleepDisabled\t\t1\nCurrently in use:\n sleep 0\n", True),
        ("System-wide power settings:\n SleepDisabled\t\t0\nCurrently in use:\n", False),
        ("System-wide power settings:\nCurrently in use:\n sleep 0\n SleepDisabled          1\n", True),
        ("System-wide power settings:\nCurrently in use:\n sleep 0\n", False),
        ("Usage: pmset <options>\n", None),
    ],
)
def test_whether_sleep_is_off_altogether_is_read_in_either_place(text, read):
    found = power.parse_sleep_disabled(text)
    assert isinstance(found, Unknown) if read is None else found is read


@pytest.mark.parametrize(("text", "read"), [("0\n", 0), ("12000\n", 12000), ("", None), ("-1", None), ("12 -> 13", None)])
def test_the_limit_is_a_number_or_unknown(text, read):
    found = power.parse_limit(text)
    assert isinstance(found, Unknown) if read is None else found == read


VALUES = st.dictionaries(st.sampled_from([AC, BATTERY, UPS]), st.integers(0, 1), max_size=3)
RECORDS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)


@given(RECORDS)
def test_what_was_written_down_is_read_back(record):
    assert power.parse_record(power.record_text(record)) == record


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "null", "[" * 100_000, '{"schema": 2, "before": {}}', '{"schema": 1}',
        '{"schema": 1, "before": {"sleep": 1}}',
        '{"schema": 1, "before": {"sleep": {"AC Power": "1; reboot"}}}',
        '{"schema": 1, "before": {"sleep": {"Mains": 1}}}',
        '{"schema": 1, "before": {"womp": {"AC Power": 7}}}',
        '{"schema": 1, "before": {"hibernatefile": {"AC Power": 1}}}',
        '{"schema": 1, "before": {"reboot": {}}}',
    ],
)  # fmt: skip
def test_a_record_that_was_not_written_here_is_unknown(text):
    assert isinstance(power.parse_record(text), Unknown)


# What the inventory says. -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("managed", "settings", "limit", "wrong"),
    [
        (True, {"sleep": 0, "womp": 1, "disablesleep": 1}, None, []),
        (None, {}, 0, []),
        (False, {"displaysleep": 10000}, "12000", []),
        ("yes", {}, None, ["power_managed"]),
        (True, [], None, ["power_settings"]),
        (True, {"slep": 0}, None, ["power_settings"]),
        (True, {"hibernatefile": "/etc/passwd"}, None, ["power_settings"]),
        (True, {"sleep": -1}, None, ["power_settings.sleep"]),
        (True, {"sleep": True}, None, ["power_settings.sleep"]),
        (True, {"sleep": "0"}, None, ["power_settings.sleep"]),
        (True, {"womp": 2}, None, ["power_settings.womp"]),
        (True, {"autorestart": 1.0}, None, ["power_settings.autorestart"]),
        (True, {}, -1, ["power_gpu_wired_limit_mib"]),
        (True, {}, True, ["power_gpu_wired_limit_mib"]),
        (True, {}, 12000.5, ["power_gpu_wired_limit_mib"]),
        (True, {}, "12000; reboot", ["power_gpu_wired_limit_mib"]),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(managed, settings, limit, wrong):
    assert [variable for variable, _, _ in power.problems(managed, settings, limit)] == wrong
    declared = {"managed": managed, "settings": settings, "gpu_wired_limit_mib": limit}
    found = power.inventory_findings("mini", declared, {})
    assert [(one.item, one.severity) for one in found] == [(variable, "error") for variable in wrong]
    if wrong:
        with pytest.raises(ValueError, match=r"found .*, allowed is "):
            power.wanted_from_json(declared)
    else:
        assert power.wanted_from_json(declared).managed is managed


BUDGET = {"memory_gib": 16, "reserve_gb": 4, "wired_limit_mib": None, "working_set_bytes": None}


def about_limit(limit, **budget):
    declared = {"managed": None, "settings": {}, "gpu_wired_limit_mib": limit}
    found = power.inventory_findings("mini", declared, {**BUDGET, **budget})
    return [(one.item, one.severity) for one in found]


@pytest.mark.parametrize(
    ("limit", "budget", "told"),
    [
        (12569, {}, []),  # 17.18 GB less 4 GB
        (12570, {}, [("power_gpu_wired_limit_mib", "error")]),
        (12570, {"reserve_gb": 3}, []),
        (1, {"reserve_gb": 20}, [("power_gpu_wired_limit_mib", "error")]),
        (0, {"reserve_gb": 20}, []),
        (99999, {"memory_gib": None}, []),
        (12000, {"wired_limit_mib": 12000}, []),
        (12000, {"wired_limit_mib": "12000"}, []),
        (12000, {"wired_limit_mib": 9000}, [("ram_budget_wired_limit_mib", "error")]),
        (None, {"wired_limit_mib": 9000}, []),
        (12000, {"working_set_bytes": 1}, [("ram_budget_working_set_bytes", "warning")]),
    ],
)
def test_a_limit_leaves_macos_its_reserve_and_is_one_with_the_budget(limit, budget, told):
    assert about_limit(limit, **budget) == told


def test_a_mac_that_should_always_answer_and_is_to_sleep_is_warned_of():
    declared = {"managed": True, "settings": {"sleep": 15}, "gpu_wired_limit_mib": None, "always_on": True}
    (finding,) = power.inventory_findings("mini", declared, {})
    assert (finding.severity, finding.item) == ("warning", "power_settings.sleep")
    assert power.inventory_findings("mini", {**declared, "always_on": False}, {}) == ()


# Settings. --------------------------------------------------------------------------------------------------------------

DESKTOP = Found(
    settings={AC: {"autorestart": 0, "disksleep": 10, "displaysleep": 10, "sleep": 1, "womp": 1}, SYSTEM: {"disablesleep": 0}},
    capabilities=frozenset({"autorestart", "disksleep", "displaysleep", "sleep", "womp"}),
    limit=0,
    os_updates=False,
)
LAPTOP = replace(
    DESKTOP,
    settings={BATTERY: {"sleep": 1, "womp": 0}, AC: {"sleep": 1, "womp": 1}, SYSTEM: {"disablesleep": 0}},
    capabilities=frozenset({"sleep", "womp"}),
)
BACKED = replace(DESKTOP, settings={**DESKTOP.settings, UPS: {"sleep": 1, "womp": 1}})
VIRTUAL = replace(DESKTOP, capabilities=frozenset({"disksleep", "displaysleep", "sleep"}))
MACS = {"desktop": DESKTOP, "laptop": LAPTOP, "with an UPS": BACKED, "virtual": VIRTUAL}


def keep(**settings):
    return Wanted(True, settings)


def steps_of(found, wanted):
    return [(step.action, step.item, step.found, step.wanted) for step in power.plan(found, wanted)]


def after(found, steps):
    """Return what a Mac says when these steps were done, by the commands that are given to pmset."""
    settings = {source: dict(values) for source, values in found.settings.items()}
    record = found.record
    for step in steps:
        if step.action in ("remember", "forget"):
            record = step.wanted if isinstance(step.wanted, dict) else {}
            continue
        for flag, key, value in power.command(step, found):
            sources = [one for one, own in power.FLAGS.items() if own == flag and one != SYSTEM]
            if flag == "-a":
                assert key == "disablesleep"
                sources = [SYSTEM]
            for source in sources:
                settings[source][key] = int(value)
    return replace(found, settings=settings, record=record)


SETTINGS = st.dictionaries(
    st.sampled_from(["autorestart", "disablesleep", "disksleep", "displaysleep", "sleep", "womp"]), st.integers(0, 1), max_size=6
)
ANY_MAC = st.sampled_from(list(MACS.values()))


@given(ANY_MAC, SETTINGS)
def test_what_was_set_needs_nothing_more(found, settings):
    wanted = keep(**settings)
    then = after(found, power.plan(found, wanted))
    assert power.plan(then, wanted) == ()
    assert power.lacking(then, wanted) is None


@given(ANY_MAC, st.lists(SETTINGS, min_size=1, max_size=4))
def test_whatever_was_asked_for_in_turn_all_is_given_back_in_the_end(found, turns):
    then = found
    for settings in turns:
        then = after(then, power.plan(then, keep(**settings)))
    then = after(then, power.plan(then, power.GIVEN_BACK))
    assert (then.settings, then.record) == (found.settings, {})


@given(ANY_MAC, SETTINGS, st.data())
def test_a_cut_anywhere_loses_no_value_of_before(found, settings, data):
    steps = power.plan(found, keep(**settings))
    cut = after(found, steps[: data.draw(st.integers(0, len(steps)))])
    then = after(cut, power.plan(cut, power.GIVEN_BACK))
    assert then.settings == found.settings


@given(ANY_MAC, SETTINGS)
def test_what_the_hardware_lacks_is_never_set(found, settings):
    able = {*found.capabilities, "disablesleep"}
    assert {step.item for step in power.plan(found, keep(**settings)) if step.action == "set"} <= able


def test_a_desktop_is_set_as_a_whole_and_what_it_was_is_written_down_first():
    assert steps_of(DESKTOP, keep(sleep=0, womp=1, autorestart=1)) == [
        ("remember", RECORD_PATH, "absent", {"autorestart": {AC: 0}, "sleep": {AC: 1}}),
        ("set", "autorestart", 0, 1),
        ("set", "sleep", 1, 0),
    ]


def test_only_the_mains_of_a_laptop_are_ours():
    steps = power.plan(LAPTOP, keep(sleep=0, womp=1))
    assert steps[0].wanted == {"sleep": {AC: 1}}
    assert power.command(steps[1], LAPTOP) == [["-c", "sleep", "0"]]
    assert after(LAPTOP, steps).settings[BATTERY] == LAPTOP.settings[BATTERY]


def test_another_source_of_a_desktop_is_held_to_the_same():
    drifted = replace(BACKED, settings={**BACKED.settings, AC: {"sleep": 0}, UPS: {"sleep": 5}})
    (remember, step) = power.plan(drifted, keep(sleep=0))
    assert (step.found, step.wanted) == ({AC: 0, UPS: 5}, 0)
    assert power.command(step, drifted) == [["-c", "sleep", "0"], ["-u", "sleep", "0"]]
    (back, forget) = power.plan(after(drifted, (remember, step)), power.GIVEN_BACK)
    assert power.command(back, drifted) == [["-c", "sleep", "0"], ["-u", "sleep", "5"]]
    assert (forget.action, forget.wanted) == ("forget", "absent")


def test_sleep_as_a_whole_is_no_setting_of_a_source():
    steps = power.plan(LAPTOP, keep(disablesleep=1))
    assert steps[0].wanted == {"disablesleep": {SYSTEM: 0}}
    assert power.command(steps[1], LAPTOP) == [["-a", "disablesleep", "1"]]


def test_what_was_found_before_the_first_change_stays_written_down():
    kept = after(DESKTOP, power.plan(DESKTOP, keep(sleep=0)))
    drifted = replace(kept, settings={**kept.settings, AC: {**kept.settings[AC], "sleep": 7}})
    assert steps_of(drifted, keep(sleep=0)) == [("set", "sleep", 7, 0)]


def test_what_is_no_longer_asked_for_is_given_back_and_the_rest_kept():
    kept = after(DESKTOP, power.plan(DESKTOP, keep(sleep=0, autorestart=1)))
    assert steps_of(kept, keep(autorestart=1)) == [
        ("set", "sleep", 0, 1),
        ("forget", RECORD_PATH, {"autorestart": {AC: 0}, "sleep": {AC: 1}}, {"autorestart": {AC: 0}}),
    ]


@pytest.mark.parametrize("found", MACS.values(), ids=MACS)
def test_what_is_not_ours_is_left_alone(found):
    elsewhere = replace(found, record={"sleep": {AC: 9}})
    assert power.plan(elsewhere, Wanted()) == ()
    assert power.findings("mini", elsewhere, Wanted(), AROUND) == ()


@pytest.mark.parametrize(
    ("changes", "wanted", "is_unknown"),
    [
        ({"settings": READ}, keep(sleep=0), True),
        ({"capabilities": READ}, keep(sleep=0), True),
        ({"record": READ}, keep(sleep=0), True),
        ({"record": READ}, power.GIVEN_BACK, True),
        ({"settings": READ}, power.GIVEN_BACK, False),
        ({"settings": READ}, Wanted(limit=1), False),
        ({"limit": READ}, Wanted(limit=1), True),
        ({"limit": READ}, keep(sleep=0), False),
        ({"os_updates": READ}, keep(sleep=0), False),
    ],
)
def test_what_must_be_known_and_is_not_has_no_steps(changes, wanted, is_unknown):
    found = replace(DESKTOP, **changes)
    assert (power.lacking(found, wanted) is not None) == is_unknown
    if is_unknown:
        assert power.plan(found, wanted) == ()
    power.findings("mini", found, wanted, AROUND)


# The limit of the GPU. --------------------------------------------------------------------------------------------------


def limited(**changes):
    return replace(powered(), record={}, **changes)


def with_job(**changes):
    (job,) = powered().launchd.jobs
    return limited(launchd=replace(powered().launchd, jobs=(replace(job, **changes),)))


BARE = limited(limit=0, launchd=replace(powered().launchd, files=(), jobs=()))
SET, WRITE, BOOTSTRAP, RELOAD = ("set", LIMIT), ("write", power.JOB_PATH), ("bootstrap", JOB), ("reload", JOB)
BOOTOUT, REMOVE = ("bootout", JOB), ("remove", power.JOB_PATH)


@pytest.mark.parametrize(
    ("found", "limit", "steps"),
    [
        pytest.param(limited(), 12000, [], id="as asked"),
        pytest.param(BARE, 12000, [SET, WRITE, BOOTSTRAP], id="bare"),
        pytest.param(limited(limit=0), 12000, [SET], id="set back by hand"),
        pytest.param(limited(), 11000, [SET, WRITE, RELOAD], id="another one"),
        pytest.param(with_job(last_exit="last exit code = 1"), 12000, [RELOAD], id="its last run failed"),
        pytest.param(with_job(last_exit="last exit code = 1", pid=7), 12000, [], id="runs again"),
        pytest.param(with_job(last_exit="last exit code = (never exited)"), 12000, [], id="not run yet"),
        pytest.param(limited(launchd=replace(powered().launchd, jobs=())), 12000, [BOOTSTRAP], id="booted out"),
        pytest.param(limited(), 0, [BOOTOUT, REMOVE, SET], id="macOS's own"),
        pytest.param(limited(), None, [BOOTOUT, REMOVE, SET], id="not asked for any more"),
        pytest.param(replace(BARE, limit=9000), 0, [SET], id="somebody else's, and macOS's own is asked for"),
        pytest.param(replace(BARE, limit=9000), None, [], id="somebody else's"),
        pytest.param(BARE, 0, [], id="nothing to do"),
        pytest.param(replace(BARE, limit=None), 12000, [], id="no such variable"),
        pytest.param(replace(BARE, limit=None), None, [], id="no such variable, not asked for"),
    ],
)
def test_the_limit_holds_now_and_after_each_boot(found, limit, steps):
    assert [(step.action, step.item) for step in power.plan(found, Wanted(limit=limit))] == steps


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_one_limit_after_another(before, wanted):
    found = replace(powered(before), record={})
    assert power.plan(found, Wanted(limit=before)) == ()
    assert bool(power.plan(found, Wanted(limit=wanted))) == (before != wanted)


def test_the_job_runs_no_shell_and_again_until_it_succeeds():
    made = power.definition(12000)
    assert made["ProgramArguments"] == ["/usr/sbin/sysctl", "iogpu.wired_limit_mb=12000"]
    assert (made["RunAtLoad"], made["KeepAlive"]) == (True, {"SuccessfulExit": False})


# What no step mends. ----------------------------------------------------------------------------------------------------

CALM = keep(autorestart=1, sleep=0)


def mains(**settings):
    return replace(DESKTOP, settings={**DESKTOP.settings, AC: {**DESKTOP.settings[AC], **settings}})


@pytest.mark.parametrize(
    ("found", "wanted", "severity", "words"),
    [
        (VIRTUAL, CALM, "warning", ["autorestart", "cannot do it", "after a power cut somebody must switch it on"]),
        (VIRTUAL, keep(sleep=0, womp=1), "warning", ["womp", "pmset -g cap", "AC Power", "host_vars/mini"]),
        (DESKTOP, keep(sleep=0), "warning", ["after a power cut it stays off", "Add autorestart: 1"]),
        (DESKTOP, keep(autorestart=1), "warning", ["sleeps after 1 idle minutes", "Add sleep: 0"]),
        (LAPTOP, keep(sleep=0), "warning", ["lid closed", "disablesleep: 1"]),
        (replace(DESKTOP, os_updates=True), CALM, "warning", ["installs its updates by itself", "waits for a login"]),
        (replace(BARE, limit=9000), Wanted(limit=None), "warning", ["it is 9000 on this Mac", "judged without it"]),
        (replace(BARE, limit=None), Wanted(limit=9000), "error", ["does not know it", "power_gpu_wired_limit_mib"]),
    ],
)
def test_what_a_person_should_know(found, wanted, severity, words):
    (finding,) = power.findings("mini", found, wanted, AROUND)
    assert finding.severity == severity
    assert [word for word in words if word not in finding.sentence()] == []


@pytest.mark.parametrize(
    ("found", "wanted", "around"),
    [
        (DESKTOP, CALM, AROUND),
        (mains(autorestart=1), keep(sleep=0), AROUND),
        (mains(sleep=0), keep(autorestart=1), AROUND),
        (replace(DESKTOP, settings={**DESKTOP.settings, SYSTEM: {"disablesleep": 1}}), keep(autorestart=1), AROUND),
        (LAPTOP, keep(sleep=0, disablesleep=1), AROUND),
        (replace(DESKTOP, os_updates=True), Wanted(), AROUND),
        (replace(DESKTOP, os_updates=None), CALM, AROUND),
        (replace(BARE, limit=9000), Wanted(), {"budget_limit_mib": 9000}),
        (replace(BARE, limit=9000), Wanted(), {"budget_limit_mib": "9000"}),
        (limited(), Wanted(limit=12000), AROUND),
    ],
)
def test_what_nobody_needs_to_hear_is_not_said(found, wanted, around):
    assert power.findings("mini", found, wanted, around) == ()


def test_updates_of_a_daemons_mac_wait_for_nobody():
    (finding,) = power.findings("mini", replace(DESKTOP, os_updates=True), CALM, {"domain": "system"})
    assert "login" not in finding.why


def test_what_cannot_be_read_is_asked_for_only_where_something_is_wanted():
    unread = {"unknown": "no answer"}
    case = Case("mini", desired(), observed(power=unread))
    assert power.judge(case).unknown == Unknown("no answer")
    nothing = {**desired()["power"], "managed": None, "gpu_wired_limit_mib": None}
    assert power.judge(Case("mini", {**desired(), "power": nothing}, observed(power=unread))).unknown is None


@pytest.mark.parametrize("found", [*MACS.values(), powered(), Found(), replace(DESKTOP, settings=READ, record=READ, limit=None)])
def test_an_observation_is_read_back_from_json(found):
    assert power.found_from_json(json.loads(json.dumps(plain(found)))) == found


# On the Mac. ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Put what is read and written below a folder of the test; commands are answered by a table that the test fills."""
    answers = {}

    def run(argv, **_):
        answer = answers.get(" ".join(argv[1:]), Answer(1, "", "no such answer"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(on_mac, "FOLDER", str(tmp_path / "ours"))
    monkeypatch.setattr(on_mac, "RECORD_PATH", str(tmp_path / "ours" / "power.json"))
    monkeypatch.setattr(on_mac, "JOB_PATH", str(tmp_path / "job.plist"))
    monkeypatch.setattr(on_mac, "UPDATES", (str(tmp_path / "managed.plist"), str(tmp_path / "own.plist")))
    monkeypatch.setattr(on_mac, "run", run)
    monkeypatch.setattr(on_mac.system_job, "observe", lambda _: DESKTOP.launchd)
    return tmp_path, answers


def test_nothing_is_started_where_nothing_is_asked_for(places):
    assert on_mac.observe(asked=False) == Found()


def test_each_part_is_unknown_on_its_own(places):
    folder, answers = places
    answers["-g custom"] = Answer(0, "AC Power:\n sleep 1\n", "")
    answers["-g live"] = Answer(0, "Currently in use:\n", "")
    answers["-g cap"] = OSError("pmset did not answer within 10 s")
    answers[f"-n {LIMIT}"] = Answer(1, "", f"sysctl: unknown oid '{LIMIT}'\n")
    (folder / "own.plist").write_bytes(b"no property list")
    found = on_mac.observe()
    assert found.settings == {AC: {"sleep": 1}, SYSTEM: {"disablesleep": 0}}
    assert found.capabilities == Unknown("pmset did not answer within 10 s")
    assert found.limit is None
    assert isinstance(found.os_updates, Unknown)


@pytest.mark.parametrize(
    ("managed", "own", "told"),
    [(None, None, None), (None, True, True), (None, 0, False), (False, True, False), (True, None, True), (None, "x", None)],
)
def test_a_profile_decides_before_the_person(places, managed, own, told):
    import plistlib

    for name, value in (("managed", managed), ("own", own)):
        if value is not None:
            (places[0] / f"{name}.plist").write_bytes(plistlib.dumps({on_mac.INSTALLS_MACOS: value}))
    assert on_mac.read_updates() is told


def test_a_record_of_somebody_else_is_not_believed(places, monkeypatch):
    folder = places[0] / "ours"
    assert on_mac.read_record() == {}
    folder.mkdir()
    path = folder / "power.json"
    path.symlink_to("/etc/passwd")
    assert isinstance(on_mac.read_record(), Unknown)
    path.unlink()
    path.write_text(power.record_text({"sleep": {AC: 1}}))
    path.chmod(0o666)
    assert isinstance(on_mac.read_record(), Unknown)
    path.chmod(0o644)
    assert isinstance(on_mac.read_record(), Unknown) == (path.stat().st_uid != 0)


def test_what_pmset_refuses_is_told_in_its_words(places):
    places[1]["-c sleep 0"] = Answer(1, "'pmset' must be run as root...\n", "")
    (_, step) = power.plan(DESKTOP, keep(sleep=0))
    with pytest.raises(OSError, match=r"pmset -c sleep 0: 'pmset' must be run as root"):
        on_mac.act(step, DESKTOP, keep(sleep=0))


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        ([{"last_exit": "last exit code = (never exited)"}, {"pid": 7}, {"last_exit": "last exit code = 0"}], ""),
        ([{"last_exit": "last exit code = 1"}], "last exit code = 1"),
        ([{"last_exit": "last exit code = (never exited)"}, {"last_exit": "last terminating signal = Killed: 9"}], "Killed"),
    ],
    ids=["ends well", "fails", "is killed"],
)
def test_a_job_has_succeeded_when_it_has_ended_well(monkeypatch, seen, problem):
    (job,) = powered().launchd.jobs
    answers = iter([replace(job, **one) for one in seen])
    monkeypatch.setattr(system_job.launchctl, "read_job", lambda *_: next(answers))
    monkeypatch.setattr(system_job, "POLL_SECONDS", 0)
    if problem:
        with pytest.raises(OSError, match=f"did not do its work .*{problem}"):
            system_job.wait_for_its_end(JOB)
    else:
        system_job.wait_for_its_end(JOB)
    assert list(answers) == []


def test_the_folder_goes_with_the_last_file_in_it(places):
    folder = places[0] / "ours"
    folder.mkdir()
    (folder / "power.json").write_text("x")
    (folder / "another").write_text("x")
    on_mac._write_record("absent")
    assert [one.name for one in Path(folder).iterdir()] == ["another"]
    (folder / "another").unlink()
    on_mac._write_record("absent")
    assert not folder.exists()
