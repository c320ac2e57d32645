"""Build the program that launchd starts for the fleet on a Mac; documented in companion_archive.yml."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import TYPE_CHECKING

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion.archive import build
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.companion.archive import build


@functools.lru_cache(maxsize=2)
def _built(folder: str) -> tuple[str, str]:
    made = build(Path(folder))
    return base64.b64encode(made.content).decode(), made.sha256


def companion_archive(folder: str) -> dict[str, str]:
    """Build once per process; every host has the same program."""
    content, sha256 = _built(str(folder))
    return {"content": content, "sha256": sha256}


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        """Map the name in templates to the function."""
        return {"companion_archive": companion_archive}
