"""Say in one line what a machine reached; documented in reach_summary.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.verify import reach_summary as judge
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.verify import reach_summary as judge


def reach_summary(answers: Sequence[Mapping[str, Any]]) -> str:
    """Pass the answers of C(fleet_reach) in."""
    return judge(answers)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"reach_summary": reach_summary}
