"""Look at the files of client programs, judge here, and act only where something is missing.

JSON5 is read on the controller, so that the machines need nothing but their Python. Each half of the work is one module run;
what they say to each other holds whole files of a person and is shown nowhere.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

if TYPE_CHECKING:
    from fleet.client_asked import DEEPEST, RefusedError, WantedFile, wanted_from_json
    from fleet.client_files import judge
    from fleet.client_seen import Document, Plan, Seen, opened, sealed, seen_from_json, work_to_json
    from fleet.client_shown import told
    from fleet.vocabulary import differences, plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.client_asked import DEEPEST, RefusedError, wanted_from_json
    from ansible.module_utils.fleet.client_files import judge
    from ansible.module_utils.fleet.client_seen import Document, opened, sealed, seen_from_json, work_to_json
    from ansible.module_utils.fleet.client_shown import told
    from ansible.module_utils.fleet.vocabulary import differences, plain

JSON5_BYTES = 256 * 1024
"""What is read of JSON that needs JSON5: json5 0.17 takes some seconds for it, and a minute for a megabyte."""

FRAMES = 20_000
"""Calls within each other that json5 0.17 may make: about 25 for each level of the document."""


def read_json(content: bytes) -> Document:
    """Read JSON5; ValueError with line and column where it is none, and with nothing of its content but names."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        message = f"line {line} is not UTF-8, allowed is UTF-8"
        raise ValueError(message) from None
    try:
        value, strict = json.loads(text, object_pairs_hook=_mapping, parse_constant=_no_constant), True
    except (ValueError, RecursionError):
        value, strict = _read_json5(text), False
    if not isinstance(value, dict):
        message = "line 1, column 1: at the top is no mapping, allowed is a mapping"
        raise ValueError(message)
    return Document(_sound(value, 0), strict and not content.startswith(b"\xef\xbb\xbf"))


def _read_json5(text: str) -> Any:
    try:
        import json5  # here, so that files of strict JSON are read without it too
    except ImportError:
        message = "it is no strict JSON, and the Python package json5 is not on the controller: run `make setup`"
        raise ValueError(message) from None
    if len(text) > JSON5_BYTES:
        message = f"it is JSON5 of more than {JSON5_BYTES // 1024} KiB, allowed is less, or strict JSON"
        raise ValueError(message)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, FRAMES))
    try:
        return json5.loads(text, object_pairs_hook=_mapping)
    except RecursionError:
        message = f"it nests deeper than {DEEPEST} levels"
        raise ValueError(message) from None
    except ValueError as problem:
        raise ValueError(_place(str(problem), text)) from None
    finally:
        sys.setrecursionlimit(limit)


def _place(said: str, text: str) -> str:
    """Return where json5 found the mistake; of its words only those that hold nothing of the content."""
    if said.startswith("key "):
        return said
    match = re.search(r":(\d+) (Unexpected (?:end of input|\".\")) at column (\d+)", said, re.DOTALL)
    if match:
        return f"line {match[1]}, column {match[3]}: {match[2][0].lower()}{match[2][1:]}, allowed is JSON or JSON5"
    return "line 1, column 1: it is empty, allowed is at least {}" if not text.strip() else "it is neither JSON nor JSON5"


def _mapping(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            message = f"key {key!r} is there twice in one mapping, allowed is once"
            raise ValueError(message)
        made[key] = value
    return made


def _no_constant(name: str) -> Any:
    message = f"{name} is no strict JSON"
    raise ValueError(message)


def _sound(value: Any, depth: int) -> Any:
    """Return a value with whole characters: json5 0.17 leaves the two halves that an escape may come in."""
    if depth > DEEPEST:
        message = f"it nests deeper than {DEEPEST} levels"
        raise ValueError(message)
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, list):
        return [_sound(inner, depth + 1) for inner in value]
    if isinstance(value, dict):
        return {_sound(key, depth): _sound(inner, depth + 1) for key, inner in value.items()}
    return value


class ActionModule(ActionBase):
    """Between a look and an act stands the judgement; where the files moved meanwhile, it is made once more."""

    _supports_check_mode = True
    _VALID_ARGS = frozenset(("state", "record", "files", "lock_timeout"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return steps, diff and what the clients said, and nothing of what is in the files."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._host = str((task_vars or {}).get("inventory_hostname", "this machine"))
        self._task_vars = task_vars
        self._passed: dict[str, Any] = {}
        try:
            answer = self._bring()
        except RefusedError as problem:
            answer = {"failed": True, "msg": f"{self._host}: {problem} Nothing was changed."}
        warnings = [*self._passed.pop("warnings", []), *answer.pop("warnings", [])]
        return {**result, **self._passed, **answer, **({"warnings": warnings} if warnings else {})}

    def _bring(self) -> dict[str, Any]:
        asked = self._task.args
        state = asked.get("state", "present")
        if state not in ("present", "absent"):
            message = f"state: found {state!r}, allowed is present or absent. Correct the task."
            raise RefusedError(message)
        wanted = wanted_from_json(asked.get("files") or ()) if state == "present" else ()
        moved: list[str] = []
        for _ in range(2):
            seen = self._look(wanted)
            plan = judge(wanted, seen, read_json)
            if not plan.steps or self._task.check_mode:
                return self._result(plan, [])
            answer = self._ask({"files": [], "work": sealed(work_to_json(plan, seen.record))})
            moved = answer.get("moved", [])
            if not moved:
                return self._acted(plan, answer)
        message = (
            f"{', '.join(moved)} changed again and again while this run was about to write. Stop what writes there, and run anew."
        )
        raise RefusedError(message)

    def _look(self, wanted: Sequence[WantedFile]) -> Seen:
        paths = dict.fromkeys(path for file in wanted for path in (file.path, *file.part_paths()))
        return seen_from_json(self._ask({"files": [{"path": path} for path in paths]}))

    def _acted(self, plan: Plan, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Say what came of it, or why nothing did."""
        candidates = {one.path: one for one in plan.candidates}
        if "refused" in answer:
            sentences = [
                f"{one['path']} would be invalid for {one['program']}: {told(one['words'], candidates[one['path']].secrets)}."
                f" `{' '.join(candidates[one['path']].how.command)}` must find it good."
                for one in answer["refused"]
            ]
            raise RefusedError(" ".join(sentences))
        if "problem" in answer:
            if not answer["began"]:
                message = f"{answer['problem']}. Give it what it lacks and run anew."
                raise RefusedError(message)
            said = f"{self._host}: {answer['problem']}. Some files are written, some are not; the next run takes it up."
            return {"failed": True, "changed": True, "msg": said, "steps": plain(plan.steps)}
        words = {
            "valid": "{path}: {program} finds it valid",
            "missing": "{path}: not validated: {program} is not installed there",
        }
        return self._result(plan, [words[one["result"]].format(**one) for one in answer["validated"]])

    def _result(self, plan: Plan, validated: list[str]) -> dict[str, Any]:
        return {
            "changed": bool(plan.steps),
            "steps": plain(plan.steps),
            "diff": differences(plan.steps),
            "validated": validated,
            "warnings": list(plan.warnings),
        }

    def _ask(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run the module, of whose answer nothing is kept but what it was asked for."""
        for name in ("record", "lock_timeout"):
            if name in self._task.args:
                arguments[name] = self._task.args[name]
        with self._unseen():
            said = self._execute_module(module_name="client_files", module_args=arguments, task_vars=self._task_vars)
        for name in ("ansible_facts", "warnings", "deprecations"):
            if said.get(name):
                self._passed[name] = said[name]
        if "answer" not in said:
            # Its output may hold what was read; its message is for people.
            message = str(said.get("msg") or "The module gave no answer.")
            raise AnsibleError(message)
        answer: dict[str, Any] = opened(said["answer"])
        return answer

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """Keep what goes to the machine and comes back off the screen and out of both logs.

        With -vvv, the ssh connection of ansible-core 2.19 prints a command's output unless `no_log` is set where it looks; the
        machine's own log is told by the task's.
        """
        places = [self._task, self._play_context, getattr(self._connection, "_play_context", self._play_context)]
        before = [place.no_log for place in places]
        for place in places:
            place.no_log = True
        try:
            yield
        finally:
            for place, value in zip(places, before, strict=True):
                place.no_log = value
