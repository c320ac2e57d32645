"""Run the module `ollama_models` in the background and show how far its pulls are, at least every ten seconds."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

POLL_SECONDS = 1
SHOW_SECONDS = 8
LIMIT_SECONDS = 7 * 24 * 3600
"""A bound only so that nothing stays for ever; a slow line may take its days, the module itself gives up on a dead one."""


class ActionModule(ActionBase):
    """A module cannot print while it runs, so it leaves its progress in a file that is read over the same connection."""

    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; in check mode directly, since nothing is pulled."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if self._task.check_mode or self._task.async_val:
            result.update(self._execute_module(module_name="ollama_models", module_args=arguments, task_vars=task_vars))
            return result
        host = (task_vars or {}).get("inventory_hostname", "")
        self._task.async_val = LIMIT_SECONDS
        try:
            folder = self._make_tmp_path()
            progress = self._connection._shell.join_path(folder, "progress.json")
            arguments["progress_path"] = progress
            started = self._execute_module(
                module_name="ollama_models", module_args=arguments, task_vars=task_vars, wrap_async=True
            )
            if started.get("failed") or "results_file" not in started:
                result.update(started)
                return result
            result.update(self._wait(host, started["results_file"], progress))
        finally:
            self._task.async_val = 0
        return result

    def _wait(self, host: str, results_file: str, progress: str) -> dict[str, Any]:
        """Look at both files until the module has left its result."""
        shown, shown_at = "", 0.0
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            finished = self._read(results_file)
            if finished.get("finished") or "changed" in finished or "failed" in finished:
                self._low_level_execute_command(
                    f"rm -f {self._connection._shell.quote(results_file)}",
                    sudoable=False,
                )
                return {key: value for key, value in finished.items() if key not in ("ansible_job_id", "started")}
            line = str(self._read(progress).get("line", ""))
            if line and line != shown and time.monotonic() - shown_at >= SHOW_SECONDS:
                Display().display(f"  {host}: {line}")
                shown, shown_at = line, time.monotonic()
            time.sleep(POLL_SECONDS)
        return {"failed": True, "msg": f"{host}: the models were not ready after {LIMIT_SECONDS} s."}

    def _read(self, path: str) -> dict[str, Any]:
        """Return the JSON object in a file of the Mac, an empty one while there is none."""
        quoted = self._connection._shell.quote(path)
        answer = self._low_level_execute_command(f"cat {quoted} 2>/dev/null || true", sudoable=False)
        try:
            data = json.loads(answer.get("stdout", "") or "{}")
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}
