"""Say how every Mac is; documented in status_report.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from status import report
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.status import report


def status_report(
    hosts: Sequence[str],
    variables: Mapping[str, Mapping[str, Any]],
    servers: Sequence[str],
    figures: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Any],
    made_at: str,
    strict: bool = False,
) -> dict[str, Any]:
    """Pass the looks at all Macs in, and the texts of the report and how the run ends for each host out."""
    return report.status_report(variables, hosts, servers, figures, files, made_at, strict=bool(strict))


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"status_report": status_report}
