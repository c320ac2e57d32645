"""Every rendered file, read by the program it is for, without a network; and a broken one of each, which must be refused."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients import programs, servers
from tests.clients.programs import HOSTS
from tests.clients.world import Result, World, run

LIMIT = 240
"""Seconds; two to five on an idle machine."""


def ask(program: str, host: str, place: Path, *words: str, **files: str) -> Result:
    """Run a program with a machine's rendered files, or with others in their place."""
    given = programs.rendered(host, program)
    first = next(iter(given))
    given[first] = files.get("instead", given[first])
    home = place / "home"
    put = {f"home/{path}": text for path, text in given.items()}
    world = World(str(place), programs.command(program, *words), programs.environment(program, home), LIMIT, files=put)
    return run(world)


def changed(program: str, host: str, change: Callable[[Any], object]) -> str:
    """Give a rendered file with something broken in it."""
    content = copy.deepcopy(programs.document(next(iter(programs.rendered(host, program).values()))))
    change(content)
    return json.dumps(content)


def listed(done: Result) -> dict[str, dict[str, Any]]:
    """Read `models list --json`."""
    assert done.status == 0, done.stderr[-2000:]
    return {model["key"]: model for model in json.loads(done.stdout)["models"]}


def first_model(content: Any) -> Any:
    """Give the first model of the first provider."""
    return next(iter(content["models"]["providers"].values()))["models"][0]


# OpenClaw


@pytest.mark.parametrize("host", HOSTS)
def test_openclaw_accepts_the_file(host: str, place: Path) -> None:
    done = ask("openclaw", host, place, "config", "validate", "--json")
    assert done.status == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert (said["valid"], said["warnings"]) == (True, [])


@pytest.mark.parametrize("host", HOSTS)
def test_openclaw_has_every_model_of_the_chains(host: str, place: Path) -> None:
    wanted = programs.agents(next(iter(programs.rendered(host, "openclaw").values())))
    models = listed(ask("openclaw", host, place, "models", "list", "--json"))
    assert wanted.ours
    assert {ref for ref in wanted.ours if models.get(ref, {}).get("available") is not True} == set()


def test_openclaw_refuses_an_unknown_key(place: Path) -> None:
    broken = changed("openclaw", "mac-mini", lambda content: content["agents"]["defaults"]["model"].update(fallback=[]))
    done = ask("openclaw", "mac-mini", place, "config", "validate", "--json", instead=broken)
    assert done.status == 1
    assert 'Unrecognized key: "fallback"' in done.stdout


def test_openclaw_does_not_have_a_model_that_no_provider_lists(place: Path) -> None:
    """`config validate` does not notice, so only the list can."""

    def drop(content: Any) -> None:
        provider = content["agents"]["defaults"]["model"]["primary"].partition("/")[0]
        content["models"]["providers"][provider]["models"][0]["id"] = "qwen3:9b"

    broken = changed("openclaw", "windows-msi", drop)
    primary = programs.agents(broken).chains["main"][0]
    models = listed(ask("openclaw", "windows-msi", place, "models", "list", "--json", instead=broken))
    assert models.get(primary, {}).get("available") is not True


def test_openclaw_does_not_use_a_marker_as_a_key_for_an_address_of_the_tailnet(place: Path) -> None:
    """`ollama-local` counts as a key for private addresses only, and 100.64.0.0/10 is none to OpenClaw (2026.9.6)."""

    def mark(content: Any) -> None:
        for provider in content["models"]["providers"].values():
            provider["apiKey"] = "ollama-local"

    broken = changed("openclaw", "windows-msi", mark)
    ours = programs.agents(broken).ours
    models = listed(ask("openclaw", "windows-msi", place, "models", "list", "--json", instead=broken))
    assert {ref for ref in ours if models.get(ref, {}).get("available") is True} == set()


# Clawdbot


@pytest.mark.parametrize("host", HOSTS)
def test_clawdbot_accepts_the_file(host: str, place: Path) -> None:
    done = ask("clawdbot", host, place, "config", "get", "models.providers", "--json")
    assert done.status == 0, done.stderr[-2000:]
    wanted = programs.document(next(iter(programs.rendered(host, "clawdbot").values())))
    assert set(json.loads(done.stdout)) == set(wanted["models"]["providers"])


@pytest.mark.parametrize("host", HOSTS)
def test_clawdbot_has_every_model_of_the_chains(host: str, place: Path) -> None:
    """It drops a fallback that is no key of `agents.defaults.models` without a word, so the tags are looked at too."""
    text = next(iter(programs.rendered(host, "clawdbot").values()))
    wanted = programs.agents(text)
    assert wanted.refs <= set(programs.document(text)["agents"]["defaults"]["models"])
    models = listed(ask("clawdbot", host, place, "models", "list", "--json"))
    assert wanted.ours
    assert {ref for ref in wanted.ours if models.get(ref, {}).get("available") is not True} == set()
    assert {ref for ref in wanted.refs if models.get(ref, {"missing": True})["missing"]} == set()
    tags = {tag: ref for ref, model in models.items() for tag in model["tags"] if re.fullmatch(r"default|fallback#\d+", tag)}
    main = wanted.chains["main"]
    assert tags == {"default": main[0], **{f"fallback#{place}": ref for place, ref in enumerate(main[1:], 1)}}


def test_clawdbot_refuses_openclaws_file(place: Path) -> None:
    broken = next(iter(programs.rendered("mac-mini", "openclaw").values()))
    done = ask("clawdbot", "mac-mini", place, "config", "get", "models.providers", "--json", instead=broken)
    assert done.status == 1
    assert "Invalid config" in done.stderr


def test_clawdbot_misses_a_model_that_no_provider_lists(place: Path) -> None:
    def misspell(content: Any) -> None:
        content["agents"]["defaults"]["models"]["ollama-nobody/qwen3:8b"] = {}
        content["agents"]["defaults"]["model"]["primary"] = "ollama-nobody/qwen3:8b"

    broken = changed("clawdbot", "windows-msi", misspell)
    models = listed(ask("clawdbot", "windows-msi", place, "models", "list", "--json", instead=broken))
    assert models["ollama-nobody/qwen3:8b"]["missing"] is True


# opencode


@pytest.mark.parametrize("host", HOSTS)
def test_opencode_accepts_the_file(host: str, place: Path) -> None:
    wanted = programs.document(next(iter(programs.rendered(host, "opencode").values())))
    done = ask("opencode", host, place, "debug", "config")
    assert done.status == 0, done.stderr[-2000:]
    resolved = json.loads(done.stdout)
    assert {name: resolved["provider"][name]["options"] for name in wanted["provider"]} == {
        name: entry["options"] for name, entry in wanted["provider"].items()
    }


@pytest.mark.parametrize("host", HOSTS)
def test_opencode_has_every_model(host: str, place: Path) -> None:
    """`debug config` lets a model pass that there is not."""
    wanted = programs.document(next(iter(programs.rendered(host, "opencode").values())))
    refs = {f"{name}/{model}" for name, entry in wanted["provider"].items() for model in entry["models"]}
    done = ask("opencode", host, place, "models")
    assert done.status == 0, done.stderr[-2000:]
    assert {*refs, wanted["model"], wanted["small_model"]} <= set(done.stdout.split())


def test_opencode_refuses_half_a_limit(place: Path) -> None:
    def halve(content: Any) -> None:
        for provider in content["provider"].values():
            for model in provider["models"].values():
                del model["limit"]["output"]

    done = ask("opencode", "mac-mini", place, "debug", "config", instead=changed("opencode", "mac-mini", halve))
    assert done.status == 1
    assert "limit.output" in done.stdout + done.stderr


# LiteLLM


def litellm_problems(content: Any) -> list[str]:
    """Name what LiteLLM's Router lets pass (1.106.2) and a turn would stumble over."""
    groups = {entry["model_name"] for entry in content["model_list"]}
    problems = []
    for rule in content["router_settings"]["fallbacks"]:
        for group, others in rule.items():
            if isinstance(others, str):
                problems.append(f"the fallback of {group} is a text")
                continue
            problems += [f"{name} is no group" for name in [group, *others] if name not in groups]
    for entry in content["model_list"]:
        parameters = entry["litellm_params"]
        if parameters["model"].startswith("ollama") and not re.fullmatch(r"http://[^/]+:\d+", parameters.get("api_base", "")):
            problems.append(f"{entry['model_name']} has no api_base")
    return problems


def make_router(host: str, place: Path, text: str | None = None) -> Result:
    """Let LiteLLM make its Router of a file."""
    files = programs.rendered(host, "litellm")
    path = next(iter(files))
    words = (str(Path(__file__).parent / "litellm_turn.py"), str(place / "home" / path))
    environment = programs.environment("python", place / "home")
    put = {f"home/{path}": text or files[path]}
    return run(World(str(place), programs.command("python", *words), environment, LIMIT, files=put))


@pytest.mark.parametrize("host", HOSTS)
def test_litellm_accepts_the_file(host: str, place: Path) -> None:
    content = programs.document(next(iter(programs.rendered(host, "litellm").values())))
    done = make_router(host, place)
    assert done.status == 0, done.stderr[-2000:]
    assert set(json.loads(done.stdout)["groups"]) == {entry["model_name"] for entry in content["model_list"]}
    assert litellm_problems(content) == []


def no_provider(content: Any) -> None:
    content["model_list"][0]["litellm_params"]["model"] = "qwen3:8b"


def unknown_setting(content: Any) -> None:
    content["router_settings"]["retries"] = 1


@pytest.mark.parametrize("change", [no_provider, unknown_setting])
def test_litellm_refuses_what_it_checks(change: Callable[[Any], None], place: Path) -> None:
    assert make_router("mac-mini", place, changed("litellm", "mac-mini", change)).status == 1


def nobody(content: Any) -> None:
    next(iter(content["router_settings"]["fallbacks"][0].values())).append("fleet-nobody")


def as_text(content: Any) -> None:
    rule = content["router_settings"]["fallbacks"][0]
    rule[next(iter(rule))] = "fleet-main-2"


def misspelt(content: Any) -> None:
    parameters = content["model_list"][0]["litellm_params"]
    parameters["api_bas"] = parameters.pop("api_base")


@pytest.mark.parametrize(
    ("change", "problem"),
    [(nobody, "fleet-nobody is no group"), (as_text, "is a text"), (misspelt, "has no api_base")],
)
def test_what_litellm_lets_pass_is_found_here(change: Callable[[Any], None], problem: str) -> None:
    content = programs.document(changed("litellm", "mac-mini", change))
    assert any(problem in text for text in litellm_problems(content))


# The environment file


@pytest.mark.parametrize("host", HOSTS)
def test_openais_client_asks_with_the_environment_file(host: str, place: Path, store: servers.Store) -> None:
    """As its first line says: `. THIS_FILE`, then any program that speaks OpenAI's protocol."""
    path, text = next(iter(programs.rendered(host, "openai").items()))
    known = servers.environment_file(text)
    where = servers.address(known["OPENAI_BASE_URL"].removeprefix("http://").partition(":")[0])
    server, files = store.server(servers.machine(host, where), where, "well", place)
    file = place / "home" / path
    script = 'set -a; . "$1"; set +a; shift; exec "$@"'
    client = programs.command("python", str(Path(__file__).parent / "proxy_turn.py"), known["OPENAI_MODEL"], "Say pong.")
    command = ["/bin/sh", "-c", script, "sh", str(file), *client]
    environment = programs.environment("python", place / "home")
    awake = [where] if where != "127.0.0.1" else []
    put = {f"home/{path}": text, **files}
    done = run(World(str(place), command, environment, LIMIT, files=put, addresses=awake, servers=[server]))
    assert done.status == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["text"].endswith("Say pong.")
    assert servers.answers(done.logs[server.name]) == [200]
