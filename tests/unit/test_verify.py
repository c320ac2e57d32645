"""A Mac is what the inventory says, judged from inside."""

from __future__ import annotations

import plistlib

import pytest
from ansible.module_utils.fleet.verify import judge_server

from .examples import DIGEST, TARGET, definition, desired, observed


def bound_to(host):
    wanted = desired()
    wanted["ollama_service"]["plist"] = plistlib.dumps(definition(EnvironmentVariables={"OLLAMA_HOST": host})).decode()
    seen = observed()
    seen["launchd"]["jobs"][0]["environment"] = {"OLLAMA_HOST": host}
    return wanted, seen


def with_job(**changes):
    launchd = observed()["launchd"]
    launchd["jobs"][0].update(changes)
    return {"launchd": launchd}


def with_models(**changes):
    return {"models": {**observed()["models"], **changes}}


LISTENER = observed()["listener"]
LOADED = observed()["models"]["loaded"][0]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param({}, [], id="as declared"),
        pytest.param({"server": {"version": "0.32.15"}, "firewall": {"unknown": "x"}}, [], id="the rest may be unknown"),
        pytest.param({"launchd": {**observed()["launchd"], "jobs": []}}, [("error", TARGET)], id="not loaded"),
        pytest.param(
            with_job(environment={"OLLAMA_HOST": "0.0.0.0", "OLLAMA_KV_CACHE_TYPE": "q8_0"}),
            [("error", f"{TARGET} EnvironmentVariables.OLLAMA_FLASH_ATTENTION")],
            id="the running job lacks a variable",
        ),
        pytest.param({"listener": {**LISTENER, "addresses": ["127.0.0.1"]}}, [("error", "port 11434")], id="bound to loopback"),
        pytest.param({"listener": {**LISTENER, "addresses": [], "pids": []}}, [("error", "port 11434")], id="nobody listens"),
        pytest.param({"listener": {**LISTENER, "pids": [99]}}, [("error", "port 11434")], id="a stranger holds the port"),
        pytest.param({"listener": {**LISTENER, "addresses": ["[::]"]}}, [], id="every interface as IPv6"),
        pytest.param({"listener": {**LISTENER, "addresses": ["0.0.0.0"]}}, [], id="every interface as IPv4"),
        pytest.param({"listener": {**LISTENER, "addresses": ["0.0.0.0", "::"]}}, [], id="every interface twice"),
        pytest.param(with_models(installed=[]), [("error", "qwen3:8b")], id="not installed, still loaded"),
        pytest.param(with_models(loaded=[]), [("error", "qwen3:8b")], id="resident not loaded"),
        pytest.param(with_models(loaded={"unknown": "timed out"}), [("error", "/api/ps")], id="what is loaded is unknown"),
        pytest.param(with_models(loaded=[{**LOADED, "name": "alias:1"}]), [], id="loaded under another name of the same digest"),
        pytest.param(with_models(loaded=[{**LOADED, "name": "QWEN3:8B"}]), [], id="loaded in another case"),
        pytest.param(with_models(loaded=[{**LOADED, "size_vram": 1}]), [("warning", "qwen3:8b")], id="partly outside the GPU"),
        *(
            pytest.param({part: {"unknown": "it did not answer"}}, [("error", part)], id=f"{part} unknown")
            for part in ("launchd", "listener", "models")
        ),
    ],
)
def test_a_mac_from_inside(parts, said):
    findings = judge_server("mac-mini", desired(), observed(**parts))
    assert [(finding.severity, finding.item) for finding in findings] == said
    assert all(finding.host == "mac-mini" and "mac-mini" in finding.sentence() for finding in findings)


def test_a_service_that_waits_for_its_next_start_is_named_first():
    seen = observed(**with_job(pid=None, state="spawn scheduled", last_exit="last exit code = 1"))
    first = judge_server("mac-mini", desired(), {**seen, "listener": {**LISTENER, "addresses": [], "pids": []}})[0]
    assert (first.severity, first.item) == ("error", TARGET)
    assert "spawn scheduled, last exit code = 1" in first.why


@pytest.mark.parametrize("part", ["launchd", "listener", "models"])
def test_a_part_that_was_not_observed_is_an_error_and_no_traceback(part):
    seen = observed()
    del seen[part]
    assert [finding.severity for finding in judge_server("mac-mini", desired(), seen)] == ["error"]


@pytest.mark.parametrize(
    ("host", "addresses", "right"),
    [
        ("127.0.0.1", ["127.0.0.1"], True),
        ("127.0.0.1", ["*"], False),
        ("100.115.10.14", ["100.115.10.14"], True),
        ("[::1]:11434", ["[::1]"], True),
        ("localhost", ["127.0.0.1"], True),
        ("localhost", ["[::1]"], True),
        ("localhost", ["*"], False),
        (":11434", ["*"], True),
    ],
)
def test_the_bind_address_is_the_one_declared(host, addresses, right):
    wanted, seen = bound_to(host)
    seen["listener"]["addresses"] = addresses
    assert (judge_server("mac-mini", wanted, seen) == ()) is right


def test_the_example_is_the_digest_of_the_list():
    assert observed()["models"]["installed"][0]["digest"] == DIGEST
