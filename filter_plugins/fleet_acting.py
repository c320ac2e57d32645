"""Say which hosts have something to do in a play; documented in fleet_acting.yml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


NOBODY = "!all"
"""The host pattern that matches nobody; an empty list of hosts would be an error of the playbook."""


def fleet_acting(variables: Mapping[str, Mapping[str, Any]], hosts: Iterable[str], concerns: Iterable[str]) -> list[str] | str:
    """Return those of the hosts whose plan has one of these concerns, as a host pattern.

    Without variables, as in a syntax check, nobody has something to do.
    """
    wanted = set(concerns)
    known = [host for host in hosts if host in variables]
    return [host for host in known if wanted & set(variables[host].get("fleet_plan_concerns", ()))] or NOBODY


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"fleet_acting": fleet_acting}
