"""Leave out the networks that a machine cannot dial; documented in reach_networks.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.reach import usable
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.reach import usable


def reach_networks(networks: Sequence[str], observed: Mapping[str, Any]) -> list[str]:
    """Pass the networks of the inventory and the observation of the machine in."""
    return usable(networks, observed)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"reach_networks": reach_networks}
