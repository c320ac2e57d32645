"""List the models of all Macs; documented in model_list.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet import model_list as made
    from fleet.shown import as_json
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet import model_list as made
    from ansible.module_utils.fleet.shown import as_json


def model_list(variables: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], made_at: str, strict: bool) -> dict[str, Any]:
    """Pass the variables of every host in, and the table, the report's text, the findings and each host's outcome out."""
    content = made.report([made.host_from_variables(name, variables[name]) for name in hosts], made_at, strict=strict)
    return {
        "table": made.table(content),
        "json": as_json(content),
        "findings": content["findings"],
        "outcomes": made.outcomes(content, strict=strict),
    }


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"model_list": model_list}
