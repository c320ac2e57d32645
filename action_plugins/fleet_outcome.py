"""Give a host of a report its end: fine, wrong, not asked, or an error. Nothing runs on the host."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Ansible's own ends of a task, so that its exit codes and its recap say what the report says."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a result that is ok, failed or unreachable; the callback `fleet_summary` knows an error by `fleet_exit_code`."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["begun", "ok", "wrong", "not_asked", "error"], "required": True},
                "said": {"type": "str", "default": ""},
            }
        )
        state = str(arguments["state"])
        result.update(changed=False, msg=arguments["said"], fleet_outcome=state)
        if state == "not_asked":
            result["unreachable"] = True
        elif state in ("wrong", "error"):
            result["failed"] = True
        return result
