"""Judge whether the models of a Mac fit into its memory; documented in ram_budget.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from preflight.judgement import judge_host
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight.judgement import judge_host


def ram_budget(variables: Mapping[str, Any], host: str, figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Pass the variables of a host and collected figures in, findings and the row of the report out."""
    return judge_host(variables, host, figures)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"ram_budget": ram_budget}
