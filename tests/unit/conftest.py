"""Give the judgements the one name they have everywhere: `ansible.module_utils.fleet`."""

from __future__ import annotations

import os
from pathlib import Path

import ansible.module_utils
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[2]

# One name for one class: what a test makes is what a filter and a module make.
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

# No deadline: a shared machine is slow now and then, and that is no defect of a pure function.
settings.register_profile("quick", max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", parent=settings.get_profile("quick"), max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
