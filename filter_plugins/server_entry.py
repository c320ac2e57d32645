"""Describe a server as other machines reach it; documented in server_entry.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.reach import entry
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.reach import entry


def server_entry(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Pass the variables of a server in."""
    return entry(variables)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"server_entry": server_entry}
