"""The end of a run: what changed, why and how long; and the exit codes of reports, from real runs of ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ansible.module_utils.fleet.run_summary import Change, HostRun, Run, content, lines

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "run.schema.json").read_text())
STEP = {"action": "write", "item": "/a", "found": {"mode": "0666"}, "wanted": {"mode": "0644"}, "why": "edited by hand"}
HOSTILE = "\x1b[31m<script>" + "x" * 10**6


def run_of(*hosts, check_mode=False):
    return Run("site.yml", check_mode, "2026-11-26T03:00:00Z", "2026-11-26T03:01:05Z", 65.04, hosts)


def test_a_run_that_changed_nothing_is_one_line():
    run = run_of(HostRun("mac-mini", "ok", "", 3.0), HostRun("macbook-pro", "away", "asleep", 1.0))
    assert lines(run) == ["site.yml changed nothing on 2 hosts in 1 min 5 s"]
    assert run.status == "ok"


@pytest.mark.parametrize(("check_mode", "words"), [(False, "changed"), (True, "would change")])
def test_what_changed_is_said_with_the_reason_and_how_long_it_took(check_mode, words):
    host = HostRun(
        "mac-mini", "ok", "", 9.0, (Change("ollama_service", "Run it", 8.4, (STEP,)), Change("homebrew", "Install it", 0.6))
    )
    assert lines(run_of(host, HostRun("macbook-pro", "ok", "", 1.0), check_mode=check_mode)) == [
        f"site.yml {words} 2 things on 1 of 2 hosts in 1 min 5 s",
        "mac-mini",
        "  ollama_service (8 s)",
        '    write /a: {"mode": "0666"} -> {"mode": "0644"}, because edited by hand',
        "  homebrew (1 s)",
        "    Install it",
    ]


@pytest.mark.parametrize(("number", "shown", "more"), [(4, 4, 0), (5, 5, 0), (6, 4, 2), (40, 4, 36)])
def test_many_steps_are_counted(number, shown, more):
    said = lines(run_of(HostRun("a", "ok", "", 1.0, (Change("clients", "t", 1.0, (STEP,) * number),))))
    assert sum(line.startswith("    write") for line in said) == shown
    assert (f"    and {more} more" in said) == (more > 0)
    assert (
        len(
            content(run_of(HostRun("a", "ok", "", 1.0, (Change("c", "t", 1.0, (STEP,) * number),))))["hosts"][0]["changes"][0][
                "steps"
            ]
        )
        == number
    )


@pytest.mark.parametrize(
    ("statuses", "status"),
    [(["ok", "away"], "ok"), (["ok", "unreachable"], "unreachable"), (["failed", "unreachable"], "failed"), ([], "ok")],
)
def test_a_run_is_what_the_worst_of_its_hosts_is(statuses, status):
    run = run_of(*(HostRun(str(number), one, "why", 0.0) for number, one in enumerate(statuses)))
    assert run.status == status
    jsonschema.Draft202012Validator(SCHEMA).validate(content(run))


def test_words_of_a_mac_are_harmless_and_short():
    step = dict.fromkeys(STEP, HOSTILE)
    said = lines(run_of(HostRun(HOSTILE, "failed", HOSTILE, 0.0, (Change("c", "t", 0.0, (step,)),))))
    assert not any("\x1b" in line for line in said)
    assert all(len(line) < 3000 for line in said)


PLAY = """\
- name: Report
  hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Begin
      fleet_outcome: {state: begun}
      run_once: true
    - name: Rescue what may fail
      block:
        - name: Fail
          ansible.builtin.fail: {msg: rescued}
      rescue:
        - name: Go on
          ansible.builtin.set_fact: {rescued: true}
    - name: Break
      ansible.builtin.fail: {msg: broken}
      when: broken[inventory_hostname] is defined
    - name: End
      fleet_outcome: "{{ {'state': states[inventory_hostname], 'said': 'about ' ~ inventory_hostname} }}"
- name: Change
  hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Say more
      ansible.builtin.debug: {msg: after}
"""


def play(path, text, variables, *words, **environment):
    path.write_text(text)
    surroundings = {
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACKS_ENABLED": "fleet_summary",
        **environment,
    }  # fmt: skip
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "a,b,", "-e", json.dumps(
            {"ansible_python_interpreter": sys.executable, **variables}), str(path), *words],
        cwd=path.parent, env=surroundings, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("states", "broken", "code"),
    [
        (("ok", "ok"), (), 0),
        (("ok", "wrong"), (), 2),
        (("not_asked", "ok"), (), 4),
        # Ansible's own order: who could not be asked comes before what is wrong.
        (("not_asked", "wrong"), (), 4),
        (("error", "ok"), (), 1),
        (("error", "not_asked"), (), 1),
        (("wrong", "ok"), ("b",), 1),
    ],
)
def test_a_report_ends_with_the_code_of_what_it_found(tmp_path, states, broken, code):
    variables = {"states": dict(zip("ab", states, strict=True)), "broken": dict.fromkeys(broken, True)}
    done = play(tmp_path / "report.yml", PLAY, variables, FLEET_SUMMARY_REPORT=str(tmp_path / "run.json"))
    assert done.returncode == code, done.stdout + done.stderr
    assert "SUMMARY" not in done.stdout
    assert not (tmp_path / "run.json").exists()
    for host, state in zip("ab", states, strict=True):
        if state in ("wrong", "not_asked", "error") and host not in broken:
            assert f"[{host}]: about {host}" in done.stdout + done.stderr


CHANGES = """\
- name: Change
  hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Write a file
      ansible.builtin.copy: {content: x, dest: "{{ folder }}/{{ inventory_hostname }}", mode: "0600"}
      when: inventory_hostname == 'a'
    - name: Keep a secret
      ansible.builtin.copy: {content: secret-word, dest: "{{ folder }}/secret", mode: "0600"}
      no_log: true
      when: inventory_hostname == 'a'
    - name: Fail
      ansible.builtin.fail: {msg: it is broken}
      when: inventory_hostname == 'b'
"""


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_run_says_at_its_end_what_it_changed_and_leaves_it_as_json(tmp_path, check):
    done = play(
        tmp_path / "site.yml", CHANGES, {"folder": str(tmp_path)}, *check, FLEET_SUMMARY_REPORT=str(tmp_path / "r" / "run.json")
    )
    assert done.returncode == 2
    would = "would change" if check else "changed"
    assert f"site.yml {would} 2 things on 1 of 2 hosts in" in done.stdout
    assert "b failed: it is broken" in done.stdout
    text = (tmp_path / "r" / "run.json").read_text()
    written = json.loads(text)
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
    assert (written["status"], written["check_mode"], written["playbook"]) == ("failed", bool(check), "site.yml")
    assert [change["task"] for change in written["hosts"][0]["changes"]] == ["Write a file", "Keep a secret"]
    assert "secret-word" not in text


def test_a_report_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    done = play(
        tmp_path / "x.yml",
        CHANGES,
        {"folder": str(tmp_path)},
        "--limit",
        "a",
        FLEET_SUMMARY_REPORT=str(tmp_path / "file" / "run.json"),
    )
    assert done.returncode == 0
    assert "cannot be written" in done.stdout + done.stderr


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
