"""A long module is followed, its lines are shown, and its result is its own."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.module_utils.controller import background
from ansible.module_utils.controller.background import BackgroundAction


class Shell:
    """The shell of a Mac."""

    @staticmethod
    def quote(text):
        """Quote as a shell does."""
        return f"'{text}'"

    @staticmethod
    def join_path(*parts):
        """Join."""
        return "/".join(parts)


class Action(BackgroundAction):
    """An action whose Mac is a list of answers to `cat`."""

    module = "ollama_bench"

    def __init__(self, answers, watched=True, check_mode=False):
        self._task = SimpleNamespace(args={"models": []}, check_mode=check_mode, async_val=0, become=False)
        self._connection = SimpleNamespace(_shell=Shell())
        self.watched = watched
        self.answers = list(answers)
        self.commands = []
        self.modules = []
        self.alive = True

    def _make_tmp_path(self):
        return "/tmp/here"  # noqa: S108  of a Mac that is not there

    def _execute_module(self, module_name, module_args, task_vars=None, wrap_async=False):
        assert task_vars is not None
        self.modules.append((module_name, dict(module_args), wrap_async))
        return {"results_file": "/results"} if wrap_async else {"changed": False}

    def _low_level_execute_command(self, command, sudoable=False):
        assert not sudoable
        self.commands.append(command)
        if "kill -0" in command:
            return {"stdout": "" if self.alive else "gone\n"}
        text = self.answers.pop(0) if "cat" in command and self.answers else ""
        return {"stdout": text}


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(background, "Display", lambda: SimpleNamespace(display=lines.append))
    monkeypatch.setattr(background.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(background.ActionBase, "run", lambda *_: {})
    return lines


def result(**values):
    return json.dumps({"ansible_job_id": "1", "started": 1, "finished": 1, **values})


def test_lines_are_shown_and_the_result_is_the_modules(shown):
    action = Action(["{}", json.dumps({"line": "run 1 of 3"}), result(changed=False, bench={"models": []})])
    answer = action.run(None, {"inventory_hostname": "mac-mini"})
    assert shown == ["  mac-mini: run 1 of 3"]
    assert answer["bench"] == {"models": []}
    assert "ansible_job_id" not in answer
    (_, arguments, in_background), *_ = action.modules
    assert in_background
    assert arguments["progress_path"] == "/tmp/here/progress.json"  # noqa: S108
    assert arguments["watched_path"] == "/tmp/here/watched"  # noqa: S108
    assert action.commands[-1] == "rm -f '/results'"
    assert action._task.async_val == 0


def test_a_module_that_is_watched_sees_that_somebody_looks(shown):
    for watched in (True, False):
        action = Action(["{}", "{}", result(changed=False)], watched)
        action.run(None, {})
        assert any("touch '/tmp/here/watched'" in command for command in action.commands) is watched
        assert ("watched_path" in action.modules[0][1]) is watched


def test_a_module_that_was_killed_is_not_waited_for(shown):
    progress = json.dumps({"line": "", "pid": 4711})
    action = Action(["{}", progress] * 9)
    action.alive = False
    answer = action.run(None, {"inventory_hostname": "mac-mini"})
    assert answer["msg"] == "mac-mini: ollama_bench ended there without a word, as if it was killed. Run it again."
    assert sum("kill -0 4711" in command for command in action.commands) == background.LOOKS


def test_a_module_that_works_in_silence_is_waited_for(shown):
    progress = json.dumps({"line": "", "pid": 4711})
    action = Action([*["{}", progress] * 9, result(changed=True)])
    assert action.run(None, {})["changed"] is True


@pytest.mark.parametrize("text", ["not JSON", "[]", "", "\x00"])
def test_a_file_that_is_half_written_is_read_again(shown, text):
    action = Action([text, text, result(failed=True, msg="no")])
    assert action.run(None, {})["msg"] == "no"


def test_check_mode_runs_it_at_once(shown):
    action = Action([], check_mode=True)
    assert action.run(None, {}) == {"changed": False}
    assert action.modules == [("ollama_bench", {"models": []}, False)]
