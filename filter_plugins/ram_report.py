"""Turn the judgements of all Macs into the texts of a report; documented in ram_report.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from preflight.judgement import preflight
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight.judgement import preflight


def ram_report(judged: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Pass what P(ram_budget#filter) gave for each host in, the texts of the files out."""
    return preflight(judged)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"ram_report": ram_report}
