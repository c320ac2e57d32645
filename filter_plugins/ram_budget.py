"""Judge whether a set of models fits into the memory of a Mac; documented in ram_budget.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet.memory import GIB, Mac, bytes_of_gb, judge, models_from_inventory
    from fleet.vocabulary import plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.memory import GIB, Mac, bytes_of_gb, judge, models_from_inventory
    from ansible.module_utils.fleet.vocabulary import plain


def ram_budget(
    models: Sequence[Mapping[str, Any]],
    host: str,
    memory_gib: float,
    macos_major: int = 15,
    reserve_gb: float = 4,
    max_loaded_model_gb: float | None = None,
) -> list[dict[str, Any]]:
    """Read the inventory's figures, with the variable's name in every complaint, and judge."""
    try:
        return _judged(models, host, memory_gib, macos_major, reserve_gb, max_loaded_model_gb)
    except ValueError as problem:
        message = f"{host}: {problem}. Correct it in host_vars/{host} or group_vars."
        raise ValueError(message) from problem


def _judged(
    models: Sequence[Mapping[str, Any]],
    host: str,
    memory_gib: float,
    macos_major: int,
    reserve_gb: float,
    limit: float | None,
) -> list[dict[str, Any]]:
    mac = Mac(
        name=host,
        memory_bytes=bytes_of_gb(memory_gib, "ram_budget_memory_gib") // 10**9 * GIB,
        macos_major=bytes_of_gb(macos_major, "ram_budget_macos_major") // 10**9,
        reserve_bytes=bytes_of_gb(reserve_gb, "ram_budget_reserve_gb", zero=True),
        max_loaded_bytes=None if limit is None else bytes_of_gb(limit, "ram_budget_max_loaded_model_gb"),
    )
    findings: list[dict[str, Any]] = plain(judge(mac, models_from_inventory(models)))
    return findings


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"ram_budget": ram_budget}
