"""Give the judgements the one name they have everywhere: `ansible.module_utils.fleet`."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[2]

# One name for one class: what a test makes is what a filter and a module make.
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
