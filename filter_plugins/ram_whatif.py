"""Answer on which Macs a model would fit, and with what settings; documented in ram_whatif.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from preflight.judgement import ask_what_if
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight.judgement import ask_what_if


def ram_whatif(
    hosts: Mapping[str, Mapping[str, Any]], figures: Mapping[str, Mapping[str, Any]], question: Mapping[str, Any]
) -> dict[str, str]:
    """Pass host -> variables, collected figures and the question in, the texts of the files out."""
    return ask_what_if(hosts, figures, question)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"ram_whatif": ram_whatif}
