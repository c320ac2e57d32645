"""Run the module `ollama_version` in the background and show how far it is: a download and the proof take their minutes."""

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
    """A change of version that has begun is brought to its end, whoever still looks."""

    module = "ollama_version"
