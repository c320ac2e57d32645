"""List the files of a machine's programs as `client_files` takes them; documented in client_file_list.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fleet.client_programs import managed_files
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.client_programs import managed_files


def client_file_list(
    rows: Iterable[Mapping[str, Any]], contents: Mapping[str, Any], home: str, modes: bool, included: bool
) -> list[dict[str, Any]]:
    """Pass the rows of P(client_routing#filter) and the content of each path in."""
    return managed_files(rows, contents, home, modes=modes, included=included)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"client_file_list": client_file_list}
