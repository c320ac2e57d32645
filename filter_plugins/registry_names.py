"""List the models whose present digest the registry should be asked for; documented in registry_names.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.models import registry_names as names
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.models import registry_names as names


def registry_names(models: Mapping[str, Any]) -> list[str]:
    """Pass the model set of a host in, and names out."""
    return names(models["installed"], models["policy"])


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"registry_names": registry_names}
