"""Make the files that stand while a drift report is under way; documented in drift_unfinished.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet.drift_run import unfinished
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.drift_run import unfinished


def drift_unfinished(now: str) -> dict[str, str]:
    """Pass the moment in, and names and texts of the files out."""
    return unfinished(now)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"drift_unfinished": drift_unfinished}
