"""Make the drift report of what was seen; documented in drift_report.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.drift_run import report
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.drift_run import report


def drift_report(variables: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Pass the variables of every host in, and the table, the files and what to say of each host out."""
    looks = {
        host: {"look": variables[host].get("fleet_plan_look"), "clients": variables[host].get("drift_client_files")}
        for host in hosts
    }
    return report(looks, list(variables), asked)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"drift_report": drift_report}
