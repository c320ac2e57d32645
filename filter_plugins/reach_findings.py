"""Judge what one machine of the fleet reached; documented in reach_findings.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.verify import judge_reach
    from fleet.vocabulary import plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.verify import judge_reach
    from ansible.module_utils.fleet.vocabulary import plain


def reach_findings(answers: Sequence[Mapping[str, Any]], host: str) -> list[dict[str, Any]]:
    """Pass the answers of C(fleet_reach) in, and findings out."""
    findings: list[dict[str, Any]] = plain(judge_reach(host, answers))
    return findings


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"reach_findings": reach_findings}
