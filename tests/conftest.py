"""How properties are tried, in every folder of tests alike."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: a shared machine is slow now and then, and that is no defect of a pure function.
settings.register_profile("quick", max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", parent=settings.get_profile("quick"), max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
