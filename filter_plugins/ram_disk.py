"""Judge whether models that will be pulled fit on the disk; documented in ram_disk.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from preflight.judgement import judge_free_disk
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight.judgement import judge_free_disk


def ram_disk(
    pulls: Sequence[str], host: str, free: Any, figures: Mapping[str, Mapping[str, Any]], models: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Pass the names to pull, the free bytes and what is known of the models in, findings out."""
    return judge_free_disk(host, pulls, free, figures, models)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"ram_disk": ram_disk}
