"""Judge the names and the texts of a host's variables; documented in variable_findings.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fleet.inventory import unknown_variables, value_findings
    from fleet.vocabulary import plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.inventory import unknown_variables, value_findings
    from ansible.module_utils.fleet.vocabulary import plain


def variable_findings(
    values: Mapping[str, Any], host: str, names: Iterable[str], options: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Pass values, the names of all variables and the roles' options in; what no role reads and no variable may hold out."""
    known = {role: list(given) for role, given in options.items()}
    read: list[dict[str, Any]] = plain([*unknown_variables(host, names, known), *value_findings(host, options, values)])
    return read


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"variable_findings": variable_findings}
