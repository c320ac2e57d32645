"""Turn findings into lines for a person; documented in sentences.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.vocabulary import Finding
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.vocabulary import Finding


def sentences(findings: Sequence[Mapping[str, Any]], *severities: str) -> list[str]:
    """Return one sentence for each finding of these severities, all when none is named."""
    wanted = severities or ("error", "warning", "note")
    return [Finding(**finding).sentence() for finding in findings if finding["severity"] in wanted]


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"sentences": sentences}
