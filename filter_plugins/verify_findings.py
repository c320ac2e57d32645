"""Judge one Mac from inside, by a fresh observation; documented in verify_findings.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.verify import judge_server
    from fleet.vocabulary import plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.verify import judge_server
    from ansible.module_utils.fleet.vocabulary import plain


def verify_findings(observed: Mapping[str, Any], desired: Mapping[str, Any], host: str) -> list[dict[str, Any]]:
    """Pass plain values in, and plain values out."""
    findings: list[dict[str, Any]] = plain(judge_server(host, desired, observed))
    return findings


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"verify_findings": verify_findings}
