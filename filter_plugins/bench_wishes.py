"""Say which models are measured on a Mac, and which must not be; documented in bench_wishes.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from preflight import judgement
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.preflight import judgement


def bench_wishes(
    asked: Sequence[str],
    host: str,
    variables: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, Any]],
    observation: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Pass plain values in, and the option `models` of the module `ollama_bench` out."""
    return judgement.bench_wishes(asked, host, variables, figures, observation)


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"bench_wishes": bench_wishes}
