"""Run the module `ollama_bench` in the background and show how far it is; it ends when nobody looks any more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ansible.module_utils

if TYPE_CHECKING:
    from controller.background import BackgroundAction
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.controller.background import BackgroundAction


class ActionModule(BackgroundAction):
    """A measurement that nobody waits for any more must not keep a Mac busy."""

    module = "ollama_bench"
    watched = True
