"""The screen of a run: what a failure means in one place, and which steps a role took."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult

DOCUMENTATION = """
    name: fleet
    type: stdout
    short_description: The default screen output, with plain sentences and the steps of the fleet's modules
    version_added: 0.1.0
    description:
        - A failure whose message is a sentence is printed as that sentence, once, instead of as a data structure.
        - The success of checks on the controller is not printed.
        - A changed result that carries steps is followed by one line for each of them.
        - A result with C(recap), such as that of a host which is away, is said once more at the end of the run.
        - With C(-v) everything is printed as the default callback does.
    extends_documentation_fragment:
      - default_callback
      - result_format_callback
"""


QUIET = frozenset({"validate_argument_spec", "assert", "set_fact", "fleet_address", "fleet_outcome"})
"""Actions on the controller whose success says nothing to a person; their failures are printed like all others."""


def step_line(step: dict[str, Any]) -> str:
    """Return one step as a line for a person."""
    why = f" ({step['why']})" if step.get("why") else ""
    return f"    {step['action']} {step['item']}: {_short(step['found'])} -> {_short(step['wanted'])}{why}"


def gap_line(data: dict[str, Any]) -> str:
    """Return what clients noticed of a restart."""
    return f"    nobody held the port for {data['gap_seconds']:.2f} s; the old process took {data['drain_seconds']:.2f} s to end"


_WRAPPING = re.compile(r"^Task failed: (?s:.*?)The filter plugin '[^']+' failed: ")


def plain_message(message: str) -> str:
    """Return what a filter said without the layers that ansible-core 2.19 and later put around it."""
    return _WRAPPING.sub("", message)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(inner)}" for key, inner in value.items()) + "}"
    text = str(value)
    return text if len(text) <= 100 else text[:97] + "..."


class CallbackModule(DefaultCallback):
    """What Ansible looks for in this folder."""

    CALLBACK_NAME = "fleet"

    def __init__(self) -> None:
        super().__init__()
        self._recap: dict[str, str] = {}

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Print the message alone where there is one, and where nobody asked for more."""
        data = result.result
        message = data.get("msg")
        if self._display.verbosity or ignore_errors or not isinstance(message, str) or (result.task.loop and "results" in data):
            super().v2_runner_on_failed(result, ignore_errors)
            return
        if self._last_task_banner != result.task._uuid:
            self._print_task_banner(result.task)
        self._handle_warnings(data)
        details = "".join(
            f"\n{data[key].rstrip()}"
            for key in ("module_stderr", "stderr")
            if isinstance(data.get(key), str) and data[key].strip()
        )
        self._display.display(
            f"fatal: [{self.host_label(result)}]: {plain_message(message)}{details}",
            color=constants.COLOR_ERROR,
            stderr=self.get_option("display_failed_stderr"),
        )

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Print the sentence about a host that could not be asked."""
        message = result.result.get("msg")
        if self._display.verbosity or not isinstance(message, str) or "fleet_outcome" not in result.result:
            super().v2_runner_on_unreachable(result)
            return
        if self._last_task_banner != result.task._uuid:
            self._print_task_banner(result.task)
        self._display.display(
            f"unreachable: [{self.host_label(result)}]: {message}",
            color=constants.COLOR_UNREACHABLE,
            stderr=self.get_option("display_failed_stderr"),
        )

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Print plain lines of a debug task as lines, and steps below a change."""
        data = result.result
        lines = data.get("msg")
        if isinstance(data.get("recap"), str):
            self._recap[self.host_label(result)] = data["recap"]
        if result.task.action.rpartition(".")[2] in QUIET and not self._display.verbosity:
            return
        if (
            result.task.action in ("debug", "ansible.builtin.debug")
            and not self._display.verbosity
            and isinstance(lines, (str, list))
        ):
            if self._last_task_banner != result.task._uuid:
                self._print_task_banner(result.task)
            text = lines if isinstance(lines, str) else "\n".join(map(str, lines))
            between = "\n" if "\n" in text else " "
            self._display.display(f"note: [{self.host_label(result)}]:{between}{text}", color=constants.COLOR_WARN)
            return
        super().v2_runner_on_ok(result)
        if data.get("changed"):
            for step in data.get("steps") or ():
                self._display.display(step_line(step), color=constants.COLOR_CHANGED)
            if data.get("gap_seconds") is not None:
                self._display.display(gap_line(data), color=constants.COLOR_CHANGED)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print what must not be lost among the lines of a long run, then the figures."""
        for host, sentence in sorted(self._recap.items()):
            self._display.display(f"note: [{host}]: {sentence}", color=constants.COLOR_WARN)
        super().v2_playbook_on_stats(stats)
