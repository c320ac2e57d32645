"""Read what `powermetrics --samplers gpu_power` prints: the power of the GPU, sample by sample.

The text form, since the others differ between releases. A line of each sample reads `GPU Power: 9462 mW` (macOS 13 to 26 on
Apple silicon, as people publish it; nobody ran it for this project on a Mac).
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Optional

from .bench import figure

_POWER = re.compile(r"^GPU Power:\s+([0-9]{1,7})\s+mW\s*$", re.MULTILINE)

FEWEST_SAMPLES = 2


def watts(text: str) -> list[float]:
    """Return the power of each sample in watts."""
    return [int(found) / 1000 for found in _POWER.findall(text)]


def summary(text: str) -> Optional[dict[str, Any]]:
    """Return median, spread and number of the samples, None where there are too few.

    The first sample begins before the model answers, so it does not count.
    """
    samples = watts(text)[1:]
    if len(samples) < FEWEST_SAMPLES:
        return None
    found = figure(samples)
    return None if found is None else asdict(found)
