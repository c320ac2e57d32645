"""Say what of ours is left on a Mac when nothing of it is wanted; documented in fleet_removal.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.removal import judge
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.removal import judge


def fleet_removal(observed: Mapping[str, Any], desired: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Pass plain values in, and plain values out."""
    return judge(host, desired, observed)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"fleet_removal": fleet_removal}
