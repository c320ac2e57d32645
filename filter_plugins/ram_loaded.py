"""Compare what is in memory with what was predicted; documented in ram_loaded.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from preflight.judgement import judge_loaded
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight.judgement import judge_loaded


def ram_loaded(loaded: Any, host: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pass the loaded models of an observation and the row of P(ram_budget#filter) in, findings out."""
    return judge_loaded(host, row, loaded)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"ram_loaded": ram_loaded}
