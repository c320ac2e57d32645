"""Say in one line what a Mac serves; documented in server_summary.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.verify import summary
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.verify import summary


def server_summary(observed: Mapping[str, Any]) -> str:
    """Pass the C(mac) of an observation in."""
    return summary(observed)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"server_summary": server_summary}
