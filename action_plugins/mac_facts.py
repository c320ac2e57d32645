"""Run the module `mac_facts`; where the Mac cannot even run a module, say why in words."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

NO_TOOLS = ("No developer tools were found", "invalid active developer path", "xcrun: error")
"""What /usr/bin/python3 says on a Mac without Command Line Tools, and after a system upgrade that removed them."""

NO_PYTHON = ("interpreter", "No such file or directory", "command not found")


class ActionModule(ActionBase):
    """The first thing that runs on a Mac meets what is wrong with it."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once; no further connection is opened for the diagnosis."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        answer = self._execute_module(module_name="mac_facts", module_args=self._task.args, task_vars=task_vars)
        result.update(answer)
        if not result.get("failed") or "mac" in result:
            return result
        said = " ".join(str(result.get(key, "")) for key in ("msg", "module_stderr", "module_stdout", "exception"))
        host = (task_vars or {}).get("inventory_hostname", "this Mac")
        if any(word in said for word in NO_TOOLS):
            return {
                "failed": True,
                "msg": f"{host} has no Command Line Tools, so its /usr/bin/python3 is only a stub."
                f" Install them on {host} with `xcode-select --install`, or as root with `softwareupdate --install` and the"
                " label that `softwareupdate --list` prints.",
            }
        if all(word in said for word in NO_PYTHON[:1]) and any(word in said for word in NO_PYTHON[1:]):
            return {
                "failed": True,
                "msg": f"{host} has no Python at ansible_python_interpreter. On a Mac it is /usr/bin/python3 and comes with the"
                " Command Line Tools (`xcode-select --install`).",
            }
        return result
