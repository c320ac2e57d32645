"""List what one machine should ask of the servers; documented in reach_targets.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.reach import Server, targets
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.reach import Server, targets


def reach_targets(servers: Sequence[Mapping[str, Any]], host: str, networks: Sequence[str]) -> list[dict[str, Any]]:
    """Build the questions of C(host) to every server: each address of the others, and what it asks itself."""
    return targets(host, [Server(**server) for server in servers], networks)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"reach_targets": reach_targets}
