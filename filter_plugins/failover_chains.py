"""List the chains that one client should walk; documented in failover_chains.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.failover import chains_of, questions
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.failover import chains_of, questions


def failover_chains(
    routes: Sequence[Mapping[str, Any]], client: str, server: str, models: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Build what C(client) walks while C(server) is down."""
    return questions(chains_of(routes), client, server, models)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"failover_chains": failover_chains}
