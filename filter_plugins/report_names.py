"""Name the files of a report; documented in report_names.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from preflight.judgement import file_names
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight.judgement import file_names


def report_names(texts: Mapping[str, str], name: str) -> dict[str, str]:
    """Pass the texts of P(ram_report#filter) and the report's name in, file names to contents out."""
    return file_names(texts, name)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"report_names": report_names}
