"""Write what is ours of each file as a text; documented in client_texts.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.client_programs import text_of
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.client_programs import text_of


def client_texts(contents: Mapping[str, Any]) -> dict[str, str]:
    """Pass a mapping or a text for each path in, a text for each path out."""
    return {path: text_of(content) for path, content in contents.items()}


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"client_texts": client_texts}
