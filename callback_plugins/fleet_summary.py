"""The end of a run: what changed, why, how long; and for reports the exit code that a playbook cannot choose."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils
from ansible import constants, context
from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult
    from fleet import run_summary
    from fleet.shown import as_json
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet import run_summary
    from ansible.module_utils.fleet.shown import as_json

DOCUMENTATION = """
    name: fleet_summary
    type: aggregate
    short_description: What a run changed, why and how long, and exit code 1 for a report that broke
    version_added: 0.2.0
    description:
        - Says at the end of a run what changed on each host, step by step with the reason, and how long it took; in check mode
          what would. Writes the same as JSON.
        - Playbooks that report (they use the module C(fleet_outcome)) have no summary. A task of theirs that fails although it is
          not the outcome of a host is an error of the run, which then ends with 1; Ansible's own code for it, 2, is that of what
          the report found wrong.
    options:
        report_path:
            description: Where the JSON goes. Empty for nowhere.
            type: path
            default: ''
            env: [{name: FLEET_SUMMARY_REPORT}]
            ini: [{section: callback_fleet_summary, key: report_path}]
"""

ERROR = 1
"""What Ansible itself ends with for an error that is none of a host's."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class CallbackModule(CallbackBase):
    """What Ansible looks for in this folder."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "fleet_summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._playbook = ""
        self._began_at, self._began = _now(), time.monotonic()
        self._starts: dict[tuple[str, str], float] = {}
        self._seconds: dict[str, float] = {}
        self._changes: dict[str, list[run_summary.Change]] = {}
        self._why: dict[str, str] = {}
        self._away: dict[str, str] = {}
        self._outcomes: dict[str, str] = {}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Remember the name."""
        self._playbook = Path(str(playbook._file_name)).name

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Start the clock of one task on one host."""
        self._starts[(host.get_name(), task._uuid)] = time.monotonic()

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Remember what changed."""
        data, host = result.result, result.host.get_name()
        seconds = self._took(result)
        self._outcome(result)
        if isinstance(data.get("recap"), str):
            self._away[host] = data["recap"]
        if not data.get("changed"):
            return
        role = result.task._role
        steps = data.get("steps")
        self._changes.setdefault(host, []).append(
            run_summary.Change(
                concern=role.get_name() if role else result.task.get_name(),
                task=result.task.get_name(),
                seconds=seconds,
                steps=tuple(steps) if isinstance(steps, list) else (),
            )
        )

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Remember why; whether it counts is known at the end."""
        self._took(result)
        self._outcome(result)
        if not ignore_errors:
            self._why[result.host.get_name()] = str(result.result.get("msg", "it failed without a word"))

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Remember why."""
        self._took(result)
        self._outcome(result)
        self._why[result.host.get_name()] = str(result.result.get("msg", "it does not answer"))

    def _took(self, result: CallbackTaskResult) -> float:
        host = result.host.get_name()
        began = self._starts.pop((host, result.task._uuid), None)
        seconds = time.monotonic() - began if began is not None else 0.0
        self._seconds[host] = self._seconds.get(host, 0.0) + seconds
        return seconds

    def _outcome(self, result: CallbackTaskResult) -> None:
        state = result.result.get("fleet_outcome")
        if isinstance(state, str):
            self._outcomes[result.host.get_name()] = state

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Say and write it; end the process where the code must be another one than Ansible's."""
        if self._outcomes:
            broken = [host for host, number in stats.failures.items() if number and self._outcomes.get(host) != "wrong"]
            if broken:
                # Ansible catches exceptions here and only prints them (ansible-core 2.19 to 2.21). Its clean-up still runs.
                raise SystemExit(ERROR)
            return
        run = run_summary.Run(
            playbook=self._playbook,
            check_mode=bool(context.CLIARGS.get("check")),
            began_at=self._began_at,
            ended_at=_now(),
            seconds=time.monotonic() - self._began,
            hosts=run_summary.ordered([self._host(host, stats) for host in stats.processed]),
        )
        if not run.hosts:
            return
        color = {"ok": constants.COLOR_OK, "changed": constants.COLOR_CHANGED}.get(run.status, constants.COLOR_ERROR)
        self._display.banner("SUMMARY")
        for line in run_summary.lines(run):
            self._display.display(line, color=color)
        self._write(as_json(run_summary.content(run)))

    def _host(self, host: str, stats: Any) -> run_summary.HostRun:
        # What was rescued stays in these tables with 0.
        status = "failed" if stats.failures.get(host) else "unreachable" if stats.dark.get(host) else "ok"
        why = self._why.get(host, "") if status != "ok" else ""
        if status == "ok" and host in self._away:
            status, why = "away", self._away[host]
        return run_summary.HostRun(host, status, why, self._seconds.get(host, 0.0), tuple(self._changes.get(host, ())))

    def _write(self, text: str) -> None:
        place = self.get_option("report_path")
        if not place:
            return
        path = Path(place)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
            Path(temporary).replace(path)
        except OSError as problem:
            self._display.warning(f"The report of this run cannot be written to {path}: {problem}.")
