"""Find the causes of what is wrong with the fleet; documented in doctor_report.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.doctor import NO_LOOK, report, texts
    from fleet.doctor_reach import servers_of
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.doctor import NO_LOOK, report, texts
    from ansible.module_utils.fleet.doctor_reach import servers_of


def doctor_report(machines: Sequence[Mapping[str, Any]], servers: Sequence[str], made_at: str) -> dict[str, Any]:
    """Pass the variables of every machine in, and the table, the report's text and how it should end for each server out."""
    by_name = {str(one["inventory_hostname"]): one for one in machines}
    looks = {name: by_name[name].get("fleet_plan_look") or NO_LOOK for name in servers}
    return texts(report(looks, machines, servers_of(by_name[name] for name in servers), made_at))


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"doctor_report": doctor_report}
