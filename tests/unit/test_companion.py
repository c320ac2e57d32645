"""The program of the fleet: how it is built, where it lies, what its jobs are told, and what hostile settings end in."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.companion import entry
from ansible.module_utils.companion.archive import build, sources
from ansible.module_utils.fleet import companion, desired_state, service
from ansible.module_utils.fleet.companion import (
    Entry,
    Found,
    found_from_json,
    job_from_json,
    plan_job,
    plan_program,
    settings_text,
)
from ansible.module_utils.fleet.companion_settings import Logs, Residents, logs_from_text, residents_from_text, to_text
from ansible.module_utils.fleet.definition import definition_problems
from ansible.module_utils.fleet.plan import judge
from ansible.module_utils.fleet.residents import Resident
from ansible.module_utils.fleet.vocabulary import plain
from ansible.module_utils.macos import companion_files
from ansible.module_utils.macos.files import make_folder, replace_file
from hypothesis import given
from hypothesis import strategies as st

from .examples import (
    APPLICATION_SUPPORT,
    HOME,
    LABEL,
    SHA256,
    UID,
    converged_jobs,
    desired,
    healer_settings,
    job_of,
    jobs,
    observed,
)

MODULE_UTILS = Path(__file__).resolve().parents[2] / "module_utils"
SYSTEM = "/Library/Application Support/ollama-fleet"
ENTRIES, FILES, HELD = converged_jobs()
FOUND = found_from_json(ENTRIES)
LAUNCHD = service.Found(UID, HOME, tuple(FILES), tuple(HELD))
NONE = Found(UID, HOME)
EMPTY = service.Found(UID, HOME)


def job(verb="residents", **changes):
    concern = {"residents": "ollama_residents", "logs": "log_rotation", "heal": "healer"}[verb]
    return job_from_json(verb, {**jobs()[concern], **changes}, HOME, UID)


def lines(steps):
    return [f"{step.action} {step.item}" for step in steps]


def with_entry(path, **changes):
    return replace(FOUND, entries={**FOUND.entries, path: replace(FOUND.entries[path], **changes)})


# The archive. -------------------------------------------------------------------------------------------------------------


def test_the_same_sources_give_the_same_bytes(tmp_path):
    for name in ("fleet", "macos", "companion"):
        (tmp_path / name).mkdir()
        for path in sorted((MODULE_UTILS / name).glob("*.py"), reverse=True):
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
            os.utime(tmp_path / name / path.name, (1, 1))
    assert build(tmp_path) == build(MODULE_UTILS)
    (tmp_path / "fleet" / "residents.py").open("a").write("\n")
    assert build(tmp_path).sha256 != build(MODULE_UTILS).sha256


def test_it_holds_what_it_needs_and_nothing_of_ansible():
    names = set(sources(MODULE_UTILS))
    assert {"companion.residents", "companion.logs", "fleet.models", "macos.ollama_api"} <= names
    assert not {"companion.archive", "fleet.plan", "macos.launchctl"} & names


def test_it_starts_with_the_interpreter_of_the_mac(tmp_path):
    path = tmp_path / "ollama-fleet"
    path.write_bytes(build(MODULE_UTILS).content)
    assert path.read_bytes().startswith(b"#!/usr/bin/python3\n")
    with zipfile.ZipFile(path) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())


def test_a_module_that_is_not_there_is_named(tmp_path):
    (tmp_path / "companion").mkdir()
    (tmp_path / "companion" / "entry.py").write_text("from ansible.module_utils.fleet.gone import x\n")
    with pytest.raises(ValueError, match=r"fleet\.gone"):
        build(tmp_path)


PYTHONS = [
    sys.executable,
    *(str(path) for path in sorted(Path("~/.pyenv/versions").expanduser().glob("3.9*/bin/python"))[-1:]),
]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "ollama-fleet"
    path.write_bytes(build(MODULE_UTILS).content)
    path.chmod(0o755)
    return path


def started(python, program, *words):
    """Start it as launchd would: no environment to speak of, and no Ansible on any path."""
    return subprocess.run(
        [python, "-I", "-W", "error", str(program), *words],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("words", "rc", "said"),
    [
        (["--version"], 0, "ollama-fleet 1"),
        ([], 64, "usage"),
        (["nonsense"], 64, "usage"),
        (["logs", "more"], 64, "usage"),
        (["heal", "never"], 64, "usage"),
        (["logs", "now"], 64, "usage"),
    ],
)
def test_it_runs_from_the_standard_library_alone(program, python, words, rc, said):
    done = started(python, program, *words)
    assert done.returncode == rc, done.stderr
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize("verb", ["heal", "logs", "residents"])
@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"schema": 2}', '{"schema": 1}', "\0", "[" * 100000])
def test_settings_that_cannot_be_read_end_in_a_sentence_and_not_in_78(program, verb, text):
    if text is not None:
        program.with_name("desired-state.json" if verb == "heal" else f"{verb}.json").write_text(text)
    done = started(sys.executable, program, verb)
    assert done.returncode == 65, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Run site.yml again" in done.stderr


@pytest.mark.parametrize("python", PYTHONS)
def test_every_verb_is_read_by_every_python(program, python):
    """A verb is imported when it is called, so `--version` proves nothing of it."""
    for verb in companion.VERBS:
        done = started(python, program, verb)
        assert (done.returncode, "are not sound" in done.stderr) == (65, True), done.stderr


def test_settings_of_another_coding_are_named(program):
    program.with_name("logs.json").write_bytes(b"\xff\xfe{")
    assert started(sys.executable, program, "logs").returncode == 65


def test_a_defect_is_a_sentence(monkeypatch, capsys, tmp_path):
    (tmp_path / "logs.json").write_text("{}")

    def defect(_settings, _place, _words):
        raise RuntimeError("odd")

    monkeypatch.setattr(entry, "VERBS", {"logs": defect})
    assert entry.main([str(tmp_path / "ollama-fleet"), "logs"]) == 70
    assert "RuntimeError: odd" in capsys.readouterr().err


# The settings. ------------------------------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
SETTINGS = {
    "residents": Residents("http://127.0.0.1:11434", (Resident("qwen3:8b"), Resident("tiny:latest", 8192))),
    "logs": Logs(("/tmp/ollama.err.log",)),  # noqa: S108
}
READ = {"residents": residents_from_text, "logs": logs_from_text}


@pytest.mark.parametrize("verb", SETTINGS)
def test_what_is_written_is_what_is_read(verb):
    text = to_text(SETTINGS[verb])
    assert READ[verb](text) == SETTINGS[verb]
    assert list(json.loads(text)) == sorted(json.loads(text))


@pytest.mark.parametrize("verb", SETTINGS)
@given(data=st.data())
def test_one_wrong_value_is_one_sentence(verb, data):
    settings = json.loads(to_text(SETTINGS[verb]))
    key = data.draw(st.sampled_from(sorted(settings)))
    settings[key] = data.draw(PLAIN)
    said = ""
    try:
        READ[verb](json.dumps(settings))
    except ValueError as problem:
        said = str(problem)
    assert "\n" not in said
    assert len(said) < 300


@pytest.mark.parametrize(
    ("verb", "change", "word"),
    [
        ("residents", {"url": "file:///etc/passwd"}, "url"),
        ("residents", {"residents": [{"name": "a b", "context_length": 0}]}, "not a model name"),
        ("residents", {"residents": [{"name": "a", "context_length": -1}]}, "context_length"),
        ("residents", {"residents": ["a"]}, "residents"),
        ("residents", {"patience": True}, "patience"),
        ("residents", {"load_timeout": 0}, "load_timeout"),
        ("logs", {"files": ["relative"]}, "absolute"),
        ("logs", {"files": "/var"}, "files"),
        ("logs", {"size": 0}, "size"),
        ("logs", {"keep": 0}, "keep"),
        ("logs", {"compress": 1}, "compress"),
        ("logs", {"schema": True}, "schema"),
    ],
)
def test_what_is_not_allowed_is_named(verb, change, word):
    with pytest.raises(ValueError, match=word):
        READ[verb](json.dumps({**json.loads(to_text(SETTINGS[verb])), **change}))


# The plans. ---------------------------------------------------------------------------------------------------------------


def test_a_bare_mac_gets_folders_program_settings_and_job():
    # The folders come with the program.
    assert lines(plan_program(NONE, "gui", SHA256)) == [f"install {APPLICATION_SUPPORT}/ollama-fleet"]
    without_logs = {path: entry for path, entry in FOUND.entries.items() if not path.endswith("Logs/Ollama")}
    assert lines(plan_program(replace(FOUND, entries=without_logs), "gui", SHA256)) == [f"create {HOME}/Library/Logs/Ollama"]
    assert lines(plan_job(NONE, EMPTY, job())) == [
        f"write {APPLICATION_SUPPORT}/residents.json",
        f"write {HOME}/Library/LaunchAgents/{LABEL}.residents.plist",
        f"bootstrap gui/{UID}/{LABEL}.residents",
    ]


@pytest.mark.parametrize("verb", ["residents", "logs", "heal"])
def test_a_mac_on_which_all_is_in_place_lacks_nothing(verb):
    assert plan_program(FOUND, "gui", SHA256) == ()
    assert plan_job(FOUND, LAUNCHD, job(verb)) == ()


@pytest.mark.parametrize(
    ("path", "change", "action"),
    [
        (f"{APPLICATION_SUPPORT}/ollama-fleet", {"sha256": "f" * 64}, "install"),
        (f"{APPLICATION_SUPPORT}/ollama-fleet", {"mode": 0o777}, "install"),
        (f"{APPLICATION_SUPPORT}/ollama-fleet", {"mode": 0o644}, "install"),
        (f"{APPLICATION_SUPPORT}/ollama-fleet", {"uid": 0}, "install"),
        (f"{APPLICATION_SUPPORT}/ollama-fleet", {"kind": "link"}, "install"),
        (APPLICATION_SUPPORT, {"mode": 0o777}, "protect"),
        (APPLICATION_SUPPORT, {"mode": 0o700}, None),
        (APPLICATION_SUPPORT, {"kind": "link"}, "protect"),
        (f"{HOME}/Library/Logs/Ollama", {"uid": 0}, "protect"),
    ],
)
def test_a_program_that_somebody_else_could_change_is_drift(path, change, action):
    assert lines(plan_program(with_entry(path, **change), "gui", SHA256)) == ([f"{action} {path}"] if action else [])


@pytest.mark.parametrize("change", [{"text": "{"}, {"mode": 0o666}, {"uid": 0}, {"kind": "other"}])
def test_settings_are_mended_and_the_job_is_left_alone(change):
    path = f"{APPLICATION_SUPPORT}/residents.json"
    assert lines(plan_job(with_entry(path, **change), LAUNCHD, job())) == [f"write {path}"]


def test_another_interval_loads_the_job_again_and_other_settings_do_not():
    plist = f"{HOME}/Library/LaunchAgents/{LABEL}.residents.plist"
    assert lines(plan_job(FOUND, LAUNCHD, job(interval=30))) == [f"write {plist}", f"reload gui/{UID}/{LABEL}.residents"]
    settings = {**jobs()["ollama_residents"]["settings"], "patience": 9}
    assert lines(plan_job(FOUND, LAUNCHD, job(settings=settings))) == [f"write {APPLICATION_SUPPORT}/residents.json"]


def test_a_mac_without_residents_has_no_job_for_them():
    settings = {**jobs()["ollama_residents"]["settings"], "installed": []}
    gone = job(settings=settings)
    assert lines(plan_job(FOUND, LAUNCHD, gone)) == [
        f"bootout gui/{UID}/{LABEL}.residents",
        f"remove {HOME}/Library/LaunchAgents/{LABEL}.residents.plist",
        f"remove {APPLICATION_SUPPORT}/residents.json",
    ]
    assert plan_job(NONE, EMPTY, gone) == ()


def test_program_settings_and_job_move_with_the_service():
    system = job(domain="system")
    file = FOUND.entries[f"{APPLICATION_SUPPORT}/ollama-fleet"]
    assert lines(plan_program(FOUND, "system", SHA256)) == [
        f"install {SYSTEM}/ollama-fleet",
        f"remove {APPLICATION_SUPPORT}/ollama-fleet",
    ]
    assert lines(plan_job(FOUND, LAUNCHD, system)) == [
        f"write {SYSTEM}/residents.json",
        f"remove {APPLICATION_SUPPORT}/residents.json",
        f"write /Library/LaunchDaemons/{LABEL}.residents.plist",
        f"bootout gui/{UID}/{LABEL}.residents",
        f"remove {HOME}/Library/LaunchAgents/{LABEL}.residents.plist",
        f"bootstrap system/{LABEL}.residents",
    ]
    assert companion.definition(system, HOME)["UserName"] == "felipe"
    roots = {SYSTEM: Entry("folder", 0o755, 0), f"{SYSTEM}/ollama-fleet": replace(file, uid=0)}
    logs = {f"{HOME}/Library/Logs/Ollama": FOUND.entries[f"{HOME}/Library/Logs/Ollama"]}
    assert plan_program(Found(UID, HOME, {**roots, **logs}), "system", SHA256) == ()
    assert lines(plan_program(Found(UID, HOME, {**roots, **logs, SYSTEM: Entry("folder", 0o755, UID)}), "system", SHA256)) == [
        f"protect {SYSTEM}"
    ]


def test_the_job_of_a_service_that_was_renamed_goes():
    old = job_of({**companion.definition(job(), HOME), "Label": "com.ollama.serve.residents"}, pid=None, state="not running")
    steps = plan_job(FOUND, replace(LAUNCHD, jobs=(*LAUNCHD.jobs, old)), job())
    assert lines(steps) == [f"bootout gui/{UID}/com.ollama.serve.residents"]


def test_every_definition_is_one_that_launchd_takes():
    for verb in ("residents", "logs", "heal"):
        for domain in ("gui", "system"):
            one = job(verb, domain=domain)
            assert definition_problems(one.own_label, domain, companion.definition(one, HOME)) == ()
            assert companion.wanted_service(one, HOME).periodic


def test_what_is_not_managed_is_neither_changed_nor_reported():
    wanted = desired()
    for concern in ("ollama_residents", "log_rotation", "healer"):
        wanted[concern] = {**wanted[concern], "managed": False}
    wanted["companion"] = {**wanted["companion"], "wanted": False}
    nothing = {"uid": UID, "home": HOME, "entries": {}}
    assert judge("mac-mini", wanted, observed(companion=nothing))["concerns"] == []


def test_the_logs_of_our_own_jobs_are_rotated_too_and_a_tilde_is_the_users():
    settings = {**jobs()["log_rotation"]["settings"], "files": ["~/x.log", "/tmp/a.log"]}  # noqa: S108
    assert job("logs", settings=settings).settings.files == (
        "/Users/felipe/Library/Logs/Ollama/ollama-fleet.heal.log",
        "/Users/felipe/Library/Logs/Ollama/ollama-fleet.logs.log",
        "/Users/felipe/Library/Logs/Ollama/ollama-fleet.residents.log",
        "/Users/felipe/x.log",
        "/tmp/a.log",  # noqa: S108
    )


def test_settings_that_nobody_can_mean_are_named():
    with pytest.raises(ValueError, match="keep"):
        job("logs", settings={**jobs()["log_rotation"]["settings"], "keep": 0})


# On the disk. -------------------------------------------------------------------------------------------------------------


def test_what_was_written_is_what_is_observed(tmp_path):
    uid, gid, home = os.getuid(), os.getgid(), str(tmp_path)
    place = companion.folder("gui", home)
    make_folder(Path(place))
    make_folder(Path(home, companion.LOGS))
    built = build(MODULE_UTILS)
    replace_file(Path(place, "ollama-fleet"), built.content, 0o755)
    one = replace(job_from_json("residents", jobs()["ollama_residents"], home))
    replace_file(Path(place, "residents.json"), to_text(one.settings).encode(), 0o644)
    found = companion_files.observe(uid, home)
    assert plan_program(found, "gui", built.sha256) == ()
    assert plan_job(found, service.Found(uid, home), one)[0].item.endswith(".plist")
    assert found_from_json(plain(found)) == found
    Path(place).chmod(0o777)
    assert lines(plan_program(companion_files.observe(uid, home), "gui", built.sha256)) == [f"protect {place}"]
    companion_files.protect_folder(place, uid, gid)
    assert stat.S_IMODE(Path(place).stat().st_mode) == 0o755


def test_a_link_in_the_place_of_the_program_is_replaced_and_its_goal_left_alone(tmp_path):
    goal = tmp_path / "goal"
    goal.write_text("mine")
    (tmp_path / "ollama-fleet").symlink_to(goal)
    assert companion_files.read(str(tmp_path / "ollama-fleet")).kind == "link"
    replace_file(tmp_path / "ollama-fleet", b"new", 0o755)
    assert (goal.read_text(), (tmp_path / "ollama-fleet").is_symlink()) == ("mine", False)


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "place").symlink_to(tmp_path)
    with pytest.raises(OSError, match="is no folder"):
        companion_files.protect_folder(str(tmp_path / "place"), os.getuid(), os.getgid())


# The healer's settings belong to a person, too. ---------------------------------------------------------------------------

STATE_PATH = f"{APPLICATION_SUPPORT}/desired-state.json"
HOOK = f"{APPLICATION_SUPPORT}/heal.webhook"


def with_text(text):
    return with_entry(STATE_PATH, text=text)


def changed(function):
    data = json.loads(FOUND.entries[STATE_PATH].text)
    function(data)
    return json.dumps(data)


def test_the_file_has_the_shape_and_the_names_of_the_owner():
    data = json.loads(FOUND.entries[STATE_PATH].text)
    assert data["resource_limits"] == {
        "macmini_swap_warn_gb": 8, "macmini_swap_critical_gb": 12, "max_loaded_model_gb": 6,
    }  # fmt: skip
    assert '"macmini_swap_warn_gb": 8,' in FOUND.entries[STATE_PATH].text
    assert (data["schema"], data["schema_version"], data["host"]) == ("ollama-fleet/desired-state", 1, "mac-mini")
    assert data["service"]["target"] == f"gui/{UID}/{LABEL}"
    assert data["residents"] == ["qwen3:8b"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(mine={"a": 1}),
        lambda data: data["resource_limits"].update(macbookpro_swap_warn_gb=20),
        lambda data: data["resource_limits"].update(macmini_swap_warn_gb=8.0),
    ],
    ids=["a key at the top", "a further limit", "the same number"],
)
def test_what_a_person_added_is_no_drift_and_stays(change):
    text = changed(change)
    assert plan_job(with_text(text), LAUNCHD, job("heal")) == ()
    other = job("heal", settings=healer_settings(limits={"swap_warn_gb": 9, "swap_critical_gb": 12, "max_loaded_model_gb": 6}))
    (step,) = plan_job(with_text(text), LAUNCHD, other)
    assert step.item == STATE_PATH
    theirs = {**json.loads(text), **json.loads(FOUND.entries[STATE_PATH].text)}.keys()
    assert set(step.wanted) == set(theirs)
    assert step.wanted["resource_limits"] == {**json.loads(text)["resource_limits"], "macmini_swap_warn_gb": 9}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["resource_limits"].update(macmini_swap_warn_gb=4),
        lambda data: data["resource_limits"].pop("max_loaded_model_gb"),
        lambda data: data.update(residents=[]),
        lambda data: data["healer"].update(dry_run=1),
        lambda data: data["healer"].update(mine=1),
        lambda data: data.pop("service"),
    ],
)
def test_what_is_ours_is_drift(change):
    text = changed(change)
    assert lines(plan_job(with_text(text), LAUNCHD, job("heal"))) == [f"write {STATE_PATH}"]
    mended = settings_text(with_text(text), job("heal"))
    assert json.loads(mended) == json.loads(FOUND.entries[STATE_PATH].text)


def test_a_limit_that_is_not_set_is_not_in_the_file():
    bare = job(
        "heal", settings=healer_settings(limits=dict.fromkeys(["swap_warn_gb", "swap_critical_gb", "max_loaded_model_gb"]))
    )
    assert json.loads(settings_text(NONE, bare))["resource_limits"] == {}
    assert json.loads(settings_text(FOUND, bare))["resource_limits"] == {}


def test_the_address_of_the_webhook_is_compared_by_its_hash_and_is_nobody_elses_business():
    wanted = job("heal", webhook_sha256="a" * 64)
    (step,) = plan_job(FOUND, LAUNCHD, wanted)
    assert (step.action, step.item, step.found, step.wanted) == ("write", HOOK, "absent", {"sha256": "a" * 12})
    entry_of = Entry("file", 0o600, UID, "a" * 64)
    there = replace(FOUND, entries={**FOUND.entries, HOOK: entry_of})
    assert plan_job(there, LAUNCHD, wanted) == ()
    for change in ({"mode": 0o644}, {"uid": 0}, {"sha256": "b" * 64}):
        other = replace(FOUND, entries={**FOUND.entries, HOOK: replace(entry_of, **change)})
        assert lines(plan_job(other, LAUNCHD, wanted)) == [f"write {HOOK}"]
    # Not said: not ours. Said to be none: it goes.
    assert plan_job(there, LAUNCHD, job("heal")) == ()
    assert lines(plan_job(there, LAUNCHD, job("heal", webhook_sha256=""))) == [f"remove {HOOK}"]


def test_a_healer_that_is_not_wanted_leaves_a_persons_keys():
    gone = job("heal", settings=healer_settings(enabled=False))
    assert f"remove {STATE_PATH}" in lines(plan_job(FOUND, LAUNCHD, gone))
    kept = plan_job(with_text(changed(lambda data: data.update(mine=1))), LAUNCHD, gone)
    assert lines(kept) == [f"bootout gui/{UID}/{LABEL}.heal", f"remove {HOME}/Library/LaunchAgents/{LABEL}.heal.plist"]
    assert plan_job(NONE, EMPTY, gone) == ()


def test_the_healers_settings_move_with_the_service():
    system = job("heal", domain="system", webhook_sha256="a" * 64)
    steps = lines(plan_job(with_text(changed(lambda data: data.update(mine=1))), LAUNCHD, system))
    assert steps[:3] == [f"write {SYSTEM}/desired-state.json", f"write {SYSTEM}/heal.webhook", f"remove {STATE_PATH}"]
    moved = json.loads(settings_text(with_text(changed(lambda data: data.update(mine=1))), system))
    assert (moved["mine"], moved["service"]["target"]) == (1, f"system/{LABEL}")


def refuse(change):
    data = json.loads(FOUND.entries[STATE_PATH].text)
    change(data)
    with pytest.raises(ValueError, match=r".") as refused:
        desired_state.read(json.dumps(data, indent=2))
    return str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data["resource_limits"].update(macmini_swap_warn_gb="eight"), ["macmini_swap_warn_gb is 'eight'", "line "]),
        (lambda data: data["resource_limits"].update(macmini_swap_warn_gb=13), ["no less than macmini_swap_warn_gb"]),
        (lambda data: data["resource_limits"].update(macmini_swap_warn_gb=-1), ["above 0"]),
        (lambda data: data["resource_limits"].update(macmini_swap_warn_gb=None), ["above 0"]),
        (lambda data: data.update(schema="x"), ["schema is 'x'"]),
        (lambda data: data.update(schema_version=2), ["schema_version is 2"]),
        (lambda data: data.update(host="a b"), ["host is 'a b'"]),
        (lambda data: data.update(residents="qwen3:8b"), ["residents is"]),
        (lambda data: data["models"].update({"x:1": {"policy": "never", "reason": "x"}}), ["x:1 is", "strict, warn, off"]),
        (lambda data: data["models"].update({"x:1": {"policy": "off", "reason": " "}}), ["with a reason"]),
        (lambda data: data["service"].update(url="https://elsewhere/"), ["url is"]),
        (lambda data: data["service"].update(target="gui/501/../x"), ["target is"]),
        (lambda data: data["healer"].update(dry_run="no"), ["dry_run is 'no'", "true or false"]),
        (lambda data: data["healer"].update(acts_per_hour=1000), ["acts_per_hour is 1000", "from 0 to 60"]),
        (lambda data: data["healer"].pop("cool_down"), ["cool_down is None"]),
        (lambda data: data["alerts"].update(form="pigeon"), ["form is 'pigeon'"]),
        (lambda data: data["alerts"].update(form="telegram"), ["telegram_chat is ''"]),
        (lambda data: data.pop("alerts"), ["alerts is None"]),
    ],
)
def test_settings_that_somebody_broke_are_named(change, words):
    said = refuse(change)
    assert "\n" not in said
    assert all(word in said for word in words), said


def test_the_line_is_the_one_that_a_person_must_mend():
    text = FOUND.entries[STATE_PATH].text
    line = 1 + text[: text.index('"macmini_swap_warn_gb"')].count("\n")
    with pytest.raises(desired_state.Malformed) as refused:
        desired_state.read(text.replace('"macmini_swap_warn_gb": 8', '"macmini_swap_warn_gb": "8"'))
    assert refused.value.line == line
    with pytest.raises(desired_state.Malformed, match=f"line {line}: it is not JSON"):
        desired_state.read(text.replace('"macmini_swap_warn_gb": 8', '"macmini_swap_warn_gb": 8 8'))


@given(data=st.data())
def test_any_wrong_value_of_the_file_is_one_sentence(data):
    settings = json.loads(FOUND.entries[STATE_PATH].text)
    inside = data.draw(st.sampled_from([settings, settings["healer"], settings["alerts"], settings["service"],
                                        settings["resource_limits"]]))  # fmt: skip
    inside[data.draw(st.sampled_from(sorted(inside)))] = data.draw(PLAIN)
    said = ""
    try:
        desired_state.read(json.dumps(settings))
    except ValueError as problem:
        said = str(problem)
    assert "\n" not in said
    assert len(said) < 400
