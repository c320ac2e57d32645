"""Run a long module in the background and show how far it is.

A module cannot print while it runs, so it leaves its progress in a file of the Mac that is read over the same connection. An
action of a long module is a class of two lines that names it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

POLL_SECONDS = 1
SHOW_SECONDS = 8
LOOKS = 3
"""So many looks in a row must find the module's process gone before its result is given up."""

LIMIT_SECONDS = 7 * 24 * 3600
"""A bound only so that nothing stays for ever; a slow line may take its days, the module itself gives up on a dead one."""


class BackgroundAction(ActionBase):
    """Runs `module` with `progress_path`; a line of it is shown when it has changed, at least every ten seconds.

    A task with `become` is run directly and shows nothing.

    With `watched` the module is also given `watched_path`, a file that is touched at each look: a module that must not outlive
    whoever asked for it ends when nobody has looked for a while.
    """

    module = ""
    watched = False

    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; in check mode directly, since nothing that takes long is done."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        # Of a job of root the login user could not read how far it is.
        if self._task.check_mode or self._task.async_val or self._task.become:
            result.update(self._execute_module(module_name=self.module, module_args=arguments, task_vars=task_vars))
            return result
        host = (task_vars or {}).get("inventory_hostname", "")
        self._task.async_val = LIMIT_SECONDS
        try:
            folder = self._make_tmp_path()
            join = self._connection._shell.join_path
            arguments["progress_path"] = join(folder, "progress.json")
            if self.watched:
                arguments["watched_path"] = join(folder, "watched")
            started = self._execute_module(module_name=self.module, module_args=arguments, task_vars=task_vars, wrap_async=True)
            if started.get("failed") or "results_file" not in started:
                result.update(started)
                return result
            result.update(
                self._wait(host, started["results_file"], arguments["progress_path"], arguments.get("watched_path", ""))
            )
        finally:
            self._task.async_val = 0
        return result

    def _wait(self, host: str, results_file: str, progress: str, watched: str) -> dict[str, Any]:
        """Look at the files until the module has left its result."""
        shown, shown_at, gone = "", 0.0, 0
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            finished = self._read(results_file, watched)
            if finished.get("finished") or "changed" in finished or "failed" in finished:
                self._low_level_execute_command(
                    f"rm -f {self._connection._shell.quote(results_file)}",
                    sudoable=False,
                )
                return {key: value for key, value in finished.items() if key not in ("ansible_job_id", "started")}
            said = self._read(progress)
            line = str(said.get("line", ""))
            # A module that was killed with the job around it leaves no result; one that has just ended leaves it in a moment.
            gone = gone + 1 if self._is_gone(said.get("pid")) else 0
            if gone >= LOOKS:
                return {
                    "failed": True,
                    "msg": f"{host}: {self.module} ended there without a word, as if it was killed. Run it again.",
                }
            if line and line != shown and time.monotonic() - shown_at >= SHOW_SECONDS:
                Display().display(f"  {host}: {line}")
                shown, shown_at = line, time.monotonic()
            time.sleep(POLL_SECONDS)
        return {"failed": True, "msg": f"{host}: {self.module} was not ready after {LIMIT_SECONDS} s."}

    def _is_gone(self, pid: Any) -> bool:
        """Tell a process that is surely not there; of nobody's process nothing is known."""
        if not isinstance(pid, int) or pid < 2:
            return False
        answer = self._low_level_execute_command(f"kill -0 {pid} 2>/dev/null || echo gone", sudoable=False)
        return str(answer.get("stdout", "")).strip() == "gone"

    def _read(self, path: str, touched: str = "") -> dict[str, Any]:
        """Return the JSON object in a file of the Mac, an empty one while there is none."""
        quote = self._connection._shell.quote
        touch = f"touch {quote(touched)}; " if touched else ""
        answer = self._low_level_execute_command(f"{touch}cat {quote(path)} 2>/dev/null || true", sudoable=False)
        try:
            data = json.loads(answer.get("stdout", "") or "{}")
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}
