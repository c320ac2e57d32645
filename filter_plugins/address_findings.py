"""Find addresses that are none, and those that two hosts claim; documented in address_findings.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.inventory import address_findings as judge
    from fleet.vocabulary import plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.inventory import address_findings as judge
    from ansible.module_utils.fleet.vocabulary import plain


def address_findings(addresses: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Pass host -> {variable: address} in, and findings out."""
    findings: list[dict[str, Any]] = plain(judge(addresses))
    return findings


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"address_findings": address_findings}
