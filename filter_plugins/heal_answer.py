"""Read what the healer of one Mac printed; documented in heal_answer.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet.heal_report import read
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.heal_report import read


def heal_answer(text: str) -> dict[str, Any]:
    """Pass the text in, and whether something was done and what is wrong out."""
    try:
        answer = read(text)
    except ValueError as problem:
        return {"changed": False, "problem": str(problem)}
    return {"changed": bool(answer["acts"]), "problem": ""}


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"heal_answer": heal_answer}
