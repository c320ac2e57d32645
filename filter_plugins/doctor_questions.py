"""List what one machine asks the servers that are examined; documented in doctor_questions.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.doctor_reach import questions, servers_of
    from fleet.reach import Server
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.doctor_reach import questions, servers_of
    from ansible.module_utils.fleet.reach import Server


def doctor_questions(
    machines: Sequence[Mapping[str, Any]], servers: Sequence[str], host: str, networks: Sequence[str]
) -> list[dict[str, Any]]:
    """Pass the variables of every machine in, the names of the servers, who asks, and the networks that it uses."""
    by_name = {str(one["inventory_hostname"]): one for one in machines}
    known = [Server(**entry) for entry in servers_of(by_name[name] for name in servers)]
    return questions(host, known, networks, by_name[host].get("fleet_plan_look"))


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"doctor_questions": doctor_questions}
