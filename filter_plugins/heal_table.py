"""Show what the healers of all Macs printed as one table; documented in heal_table.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.heal_report import table
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.heal_report import table


def heal_table(answers: Mapping[str, str], look: bool) -> list[str]:
    """Pass the answers in, and lines out."""
    return table(answers, look=look)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"heal_table": heal_table}
