"""Say which servers a proof of the chains takes down; documented in failover_plan.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.failover import chains_of, chosen, plan_lines
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.failover import chains_of, chosen, plan_lines


def failover_plan(
    routes: Sequence[Mapping[str, Any]], take_down: str | Sequence[str], servers: Sequence[str], limit_seconds: int
) -> dict[str, Any]:
    """Pass the routes and what a person named in, and the servers in order out."""
    chains = chains_of(routes)
    down, problem = chosen(take_down, chains, servers)
    return {
        "down": list(down),
        "problem": problem,
        "chains": len(chains),
        "lines": plan_lines(chains, down, int(limit_seconds)),
    }


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"failover_plan": failover_plan}
