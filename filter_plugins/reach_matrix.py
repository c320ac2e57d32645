"""Judge what every machine reached of every server; documented in reach_matrix.yml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.matrix import asker, report, table
    from fleet.reach import Server
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.matrix import asker, report, table
    from ansible.module_utils.fleet.reach import Server


def reach_matrix(
    machines: Sequence[Mapping[str, Any]], servers: Sequence[Mapping[str, Any]], strangers: Sequence[str], made_at: str
) -> dict[str, Any]:
    """Pass the variables of every machine in, and the table, the report's text and the findings out."""
    askers = [asker(variables, strangers) for variables in machines]
    known = [Server(**server) for server in servers]
    content = report(askers, known, made_at)
    return {
        "table": table(askers, known),
        "json": json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        "findings": content["findings"],
    }


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"reach_matrix": reach_matrix}
