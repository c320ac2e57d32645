"""List every model that the hosts name, with its declared size; documented in ram_models.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from preflight.judgement import wanted_models
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight.judgement import wanted_models


def ram_models(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Pass host -> variables in, model -> declared size in GB out."""
    return wanted_models(hosts)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"ram_models": ram_models}
