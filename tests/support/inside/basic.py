"""In the place of `ansible.module_utils.basic` while a module runs inside a Mac without Ansible around it."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

REQUEST: dict[str, Any] = {}
EFFECTS: list[str] = []
"""What the module did to the Mac so far; filled by `__main__`."""


class AnsibleModule:
    """Arguments in, one JSON object out, as Ansible's own gives them to a module."""

    def __init__(self, argument_spec: dict[str, dict[str, Any]], **_options: Any) -> None:
        """Take the arguments of the request, and the defaults of the specification."""
        self.params = {name: spec.get("default") for name, spec in argument_spec.items()}
        self.params.update(REQUEST["arguments"])
        self.check_mode = bool(REQUEST.get("check"))

    def exit_json(self, **result: Any) -> NoReturn:
        """End well."""
        print(json.dumps({**result, "effects": EFFECTS}))
        sys.exit(0)

    def fail_json(self, **result: Any) -> NoReturn:
        """End with a failure, which is a result too."""
        print(json.dumps({**result, "failed": True, "effects": EFFECTS}))
        sys.exit(0)
