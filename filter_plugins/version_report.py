"""Say which version of Ollama each Mac had and has; documented in version_report.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fleet.version_report import Row, lines
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.version_report import Row, lines


def version_report(variables: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> list[str]:
    """Pass the facts of each host in, and lines out."""
    known = [(host, variables[host]) for host in hosts if host in variables]
    return lines(Row.of(host, mine.get("fleet_plan_observation"), mine.get("ollama_version_change")) for host, mine in known)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"version_report": version_report}
