"""Pick the variables by which one host is reached; documented in host_addresses.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.inventory import CONNECTION_VARIABLES
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.inventory import CONNECTION_VARIABLES


def host_addresses(variables: Mapping[str, Any]) -> dict[str, str]:
    """Return variable -> value for those that are set."""
    return {name: str(variables[name]) for name in CONNECTION_VARIABLES if variables.get(name)}


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"host_addresses": host_addresses}
