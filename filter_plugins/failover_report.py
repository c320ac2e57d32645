"""Judge what became of the chains; documented in failover_report.yml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.failover import proof_of, report, table
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.failover import proof_of, report, table


def failover_report(
    routes: Sequence[Mapping[str, Any]], variables: Mapping[str, Mapping[str, Any]], take_down: Sequence[str], made_at: str
) -> dict[str, Any]:
    """Pass the routes and the variables of every host in, and the table, the report's text and the findings out."""
    proof = proof_of(routes, variables, take_down)
    content = report(proof, made_at)
    return {
        "table": table(proof),
        "json": json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        "findings": content["findings"],
    }


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"failover_report": failover_report}
