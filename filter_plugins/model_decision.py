"""Say what an action with models comes to on one Mac; documented in model_decision.yml."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.model_list import decide, host_from_variables
    from fleet.vocabulary import plain
    from preflight.judgement import refusals
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.model_list import decide, host_from_variables
    from ansible.module_utils.fleet.vocabulary import plain
    from ansible.module_utils.preflight.judgement import refusals


def model_decision(
    variables: Mapping[str, Any], host: str, action: str, names: Sequence[str], figures: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Pass plain values in, and what M(ollama_models) is told out."""
    known = [name for name in names if isinstance(name, str) and figures.get(name)]
    too_large = refusals(variables, host, figures, {}, known) if action == "pull" else {}
    found: dict[str, Any] = plain(asdict(decide(host_from_variables(host, variables), action, names, too_large)))
    return found


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"model_decision": model_decision}
