"""Read what `ollama-fleet heal now` printed on each Mac, and show it as one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def read(text: str) -> dict[str, Any]:
    """Return the answer of one Mac; ValueError with one sentence for anything else."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    texts = ("acts", "alerts", "dry")
    whole = isinstance(data, dict) and isinstance(data.get("figures"), str)
    if not whole or not all(isinstance(data.get(key), list) and all(isinstance(one, str) for one in data[key]) for key in texts):
        message = f"it answered {text.strip()[:80]!r}" if text.strip() else "it answered nothing"
        raise ValueError(message)
    return dict(data)


def table(answers: Mapping[str, str], *, look: bool) -> list[str]:
    """Return the lines: one for each Mac, and one below it for each act and each alert; a Mac that cannot be read says so."""
    width = max((len(host) for host in answers), default=0)
    lines = []
    for host, text in answers.items():
        try:
            one = read(text)
        except ValueError as problem:
            lines.append(f"{host:<{width}}  {problem}")
            continue
        lines.append(f"{host:<{width}}  {one['figures']}")
        acts = [f"{'would' if look else 'did'} {act}" for act in one["acts"]]
        alerts = [f"alert: {alert}" for alert in one["alerts"]]
        lines += [f"{'':<{width}}  {words}" for words in [*(acts or one["dry"] or ["nothing to do"]), *alerts]]
    return lines
