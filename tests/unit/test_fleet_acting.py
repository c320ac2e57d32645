"""Which hosts a play sees."""

from __future__ import annotations

import pytest

from filter_plugins.fleet_acting import NOBODY, fleet_acting


@pytest.mark.parametrize(
    ("concerns", "acting"),
    [
        ({"a": ["firewall"], "b": []}, ["a"]),
        ({"a": ["ollama_models"], "b": ["ollama_models", "ollama_service"]}, ["b"]),
        ({"a": ["firewall"], "b": ["ollama_service"]}, ["a", "b"]),
        ({"a": ["ollama_models"], "b": None}, NOBODY),
        ({}, NOBODY),
    ],
)
def test_only_hosts_with_work_are_seen_and_nobody_is_a_pattern(concerns, acting):
    variables = {host: {} if names is None else {"fleet_plan_concerns": names} for host, names in concerns.items()}
    assert fleet_acting(variables, [*concerns, "never heard of"], ["ollama_service", "firewall"]) == acting
