"""Run the module `ollama_models` in the background and show how far its pulls are, at least every ten seconds."""

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
    """A pull may take its days and goes on without whoever asked for it: the next run finds it further on."""

    module = "ollama_models"
