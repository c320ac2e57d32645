"""Pick what each Mac says of its models out of the observations; documented in observed_models.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from preflight.judgement import models_on_macs
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight.judgement import models_on_macs


def observed_models(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Pass host -> variables in, the C(macs) of M(model_figures) out."""
    return models_on_macs(hosts)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"observed_models": observed_models}
