"""Who asks whom for what: resolved from the inventory, and refused with one sentence each where it cannot hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.fleet.client_programs import FAILURES, PROGRAMS, PURPOSES, managed_files
from ansible.module_utils.fleet.environment import parse_host
from ansible.module_utils.fleet.routing import (
    Client,
    External,
    Hop,
    Provider,
    ServedModel,
    Serving,
    client_from_variables,
    routes,
    serving_from_variables,
)
from ansible.module_utils.fleet.routing_findings import RULES, judge
from ansible.module_utils.fleet.tool_proof import Proof, Proofs
from hypothesis import given
from hypothesis import strategies as st

GB = 10**9
QWEN, GPT = "qwen3:8b", "gpt-oss:20b"
ADDRESSES = {
    "mac-mini": {"local": "felipes-mac-mini.local", "tailnet": "100.115.10.14"},
    "macbook-pro": {"local": "felipes-macbook-pro-2.local", "tailnet": "100.125.165.107"},
}


def serving(name, *models, **changes):
    """Build a server that everybody of the tailnet and the LAN reaches."""
    return replace(
        Serving(
            name,
            ADDRESSES[name],
            parse_host("0.0.0.0"),
            {model.name: model for model in models},
            scope="lan",
            networks=("192.168.1.0/24",),
        ),
        **changes,
    )


MINI = serving(
    "mac-mini", ServedModel(QWEN, 32768, 40960, True, 5 * GB), ServedModel(GPT, 32768, 131072, False, 14 * GB), limit_bytes=6 * GB
)
BOOK = serving(
    "macbook-pro",
    ServedModel(QWEN, 32768, 40960, True, 5 * GB),
    ServedModel(GPT, 32768, 131072, True, 14 * GB),
    on_demand=True,
)
SERVERS = {"mac-mini": MINI, "macbook-pro": BOOK}
SONNET = External(
    "sonnet", "anthropic", {name: f"{name}-sonnet" for name in PROGRAMS}, "Claude Sonnet", "sonnet", "ANTHROPIC_API_KEY"
)
HERE, THERE, OUTSIDE = Hop("mac-mini", QWEN), Hop("macbook-pro", QWEN), Hop(external="sonnet")
CLIENT = Client(
    "windows-msi",
    programs=("openclaw",),
    providers=(Provider("ollama-macmini", "mac-mini"), Provider("ollama-macbookpro", "macbook-pro")),
    chains={"main": (HERE, THERE, OUTSIDE), "heartbeat": (HERE,)},
    platform="wsl",
    networks=("tailnet",),
    tailnet_address="100.101.102.103",
    externals={"sonnet": SONNET},
    timeout_seconds=180,
)


def test_a_sound_client_has_no_findings():
    assert judge(CLIENT, SERVERS) == ()


def changed(**changes):
    return replace(CLIENT, **changes)


def with_digest(server):
    return {name: replace(model, digest="b" * 12) for name, model in SERVERS[server].models.items()}


def main(*hops):
    return changed(chains={"main": hops})


@pytest.mark.parametrize(
    ("client", "servers", "rule", "severity", "words"),
    [
        pytest.param(changed(programs=("openclow",)), {}, "program-unknown", "error", "'openclow'", id="program"),
        pytest.param(
            changed(providers=(*CLIENT.providers, Provider("x", "mac-nini"))),
            {},
            "provider-unknown-host",
            "error",
            "'mac-nini'",
            id="provider of no server",
        ),
        pytest.param(
            changed(providers=(*CLIENT.providers, Provider("ollama-macmini", "macbook-pro"))),
            {},
            "provider-twice",
            "error",
            "for mac-mini and for macbook-pro",
            id="name twice",
        ),
        pytest.param(
            changed(providers=(*CLIENT.providers, Provider("again", "mac-mini"))),
            {},
            "provider-twice",
            "error",
            "names mac-mini twice",
            id="server twice",
        ),
        pytest.param(
            changed(providers=(Provider("anthropic", "mac-mini"), CLIENT.providers[1])),
            {},
            "provider-name-taken",
            "error",
            "'anthropic'",
            id="name of somebody else",
        ),
        pytest.param(main(HERE, OUTSIDE), {}, "provider-unused", "warning", "macbook-pro", id="provider without a chain"),
        pytest.param(
            changed(providers=CLIENT.providers[:1]), {}, "provider-missing", "error", "names macbook-pro", id="chain without name"
        ),
        pytest.param(
            CLIENT,
            {"macbook-pro": {"addresses": {"local": "felipes-macbook-pro-2.local"}}},
            "provider-without-address",
            "error",
            "fleet_tailnet_ip",
            id="no address in the client's networks",
        ),
        pytest.param(
            changed(networks=("local",)), {}, "local-name-on-windows", "error", "felipes-mac-mini.local", id="Windows and .local"
        ),
        pytest.param(
            changed(networks=("local", "tailnet"), platform="macos"),
            {},
            "local-name-for-agent",
            "warning",
            "felipes-mac-mini.local",
            id="an agent and .local",
        ),
        pytest.param(CLIENT, {"mac-mini": {"scope": "loopback"}}, "provider-shut-out", "error", "exposure_scope", id="closed"),
        pytest.param(
            changed(networks=("local",), platform="linux"),
            {"mac-mini": {"scope": "tailnet"}},
            "provider-shut-out",
            "error",
            "exposure_scope is tailnet",
            id="tailnet only, asked by the LAN",
        ),
        pytest.param(
            CLIENT,
            {"mac-mini": {"bind": parse_host("127.0.0.1")}},
            "provider-shut-out",
            "error",
            "127.0.0.1 only",
            id="bound to loopback",
        ),
        pytest.param(
            changed(tailnet_address="203.0.113.9"),
            {"mac-mini": {"scope": "tailnet"}},
            "provider-shut-out",
            "error",
            "203.0.113.9",
            id="an address that is let in nowhere",
        ),
        pytest.param(
            main(Hop("mac-mini", QWEN, "sonnet"), THERE), {}, "hop-unreadable", "error", "main[0]", id="both host and external"
        ),
        pytest.param(main(Hop("mac-mini"), THERE), {}, "hop-unreadable", "error", "main[0]", id="host without a model"),
        pytest.param(main(HERE, THERE, HERE), {}, "hop-twice", "error", "at 0 and 2", id="a circle"),
        pytest.param(main(HERE, Hop("mac-pro", QWEN)), {}, "provider-unknown-host", "error", "'mac-pro'", id="hop to no server"),
        pytest.param(
            main(HERE, Hop("macbook-pro", "qwen3:14b")), {}, "model-not-installed", "error", "qwen3:14b", id="model not there"
        ),
        pytest.param(main(Hop("mac-mini", GPT), THERE), {}, "model-not-automatic", "error", GPT, id="by hand only"),
        pytest.param(main(Hop("mac-mini", GPT), THERE), {}, "model-over-limit", "error", "14.0 GB", id="over the limit"),
        pytest.param(main(), {}, "chain-empty", "error", "clients_chains.main", id="empty"),
        pytest.param(
            main(THERE, Hop("macbook-pro", GPT)), {}, "chain-one-machine", "error", "is on macbook-pro", id="one machine"
        ),
        pytest.param(main(OUTSIDE), {}, "chain-one-machine", "error", "somebody else", id="nobody of ours"),
        pytest.param(
            changed(chains={**CLIENT.chains, "coding": (HERE, THERE)}), {}, "chain-unused", "warning", "OpenClaw", id="no program"
        ),
        pytest.param(
            changed(programs=("openai_env",), chains={"main": (OUTSIDE,)}),
            {},
            "chain-without-server",
            "error",
            "environment file",
            id="nothing for a file that names one server",
        ),
        pytest.param(
            changed(programs=("clawdbot",)), {}, "chain-not-followed", "warning", "OpenClaw goes on", id="Clawdbot does not go on"
        ),
        pytest.param(
            changed(programs=("clawdbot",), chains={**CLIENT.chains, "subagents": (THERE, HERE)}),
            {},
            "chain-cut",
            "warning",
            "main chain",
            id="Clawdbot's sub-agents",
        ),
        pytest.param(
            changed(programs=("opencode",)), {}, "chain-cut", "warning", "only the first hop of main", id="opencode has no chain"
        ),
        pytest.param(
            changed(externals={}), {}, "external-unknown", "error", "clients_external_models", id="external that nobody knows"
        ),
        pytest.param(
            changed(externals={"sonnet": replace(SONNET, credentials_variable="")}),
            {},
            "external-without-credentials",
            "error",
            "credentials_variable",
            id="no key named",
        ),
        pytest.param(
            changed(externals={"sonnet": replace(SONNET, credentials_variable="sk-ant-123")}),
            {},
            "external-without-credentials",
            "error",
            "names none",
            id="a key in the place of its name",
        ),
        pytest.param(
            changed(externals={"sonnet": replace(SONNET, ids={})}),
            {},
            "external-without-id",
            "error",
            "what OpenClaw calls it",
            id="no name for this program",
        ),
        pytest.param(changed(api_key="ollama-local"), {}, "key-is-marker", "error", "no request at all", id="a marker"),
        pytest.param(
            CLIENT,
            {"mac-mini": {"models": {QWEN: ServedModel(QWEN, 4096, 40960, True)}}},
            "context-too-small",
            "error",
            "has 4096 on mac-mini",
            id="context of a small Mac",
        ),
        pytest.param(
            changed(models={QWEN: {"context": 40000}}), {}, "context-over-budget", "error", "judged with 32768", id="more context"
        ),
        pytest.param(
            changed(timeout_seconds=300, chains={"main": (THERE, HERE)}),
            {},
            "silence-costs-minutes",
            "warning",
            "300 s",
            id="a long wait for a laptop",
        ),
        pytest.param(
            changed(retries=1, chains={"main": (THERE, HERE)}),
            {},
            "silence-costs-minutes",
            "warning",
            "360 s",
            id="waiting twice for a laptop",
        ),
        *(
            pytest.param(
                changed(tool_proof="require", proofs=proofs), {name: {"models": with_digest(name)} for name in SERVERS},
                rule, severity, words, id=rule,
            )
            for proofs, rule, severity, words in (
                (Proofs({}, "it cannot be read"), "tools-unreadable", "error", "it cannot be read"),
                (Proofs({}), "tools-unproved", "error", "nobody has proved"),
                (Proofs({("mac-mini", QWEN): Proof(1, 3)}), "tools-failed", "error", "1 of 3 tries"),
                (Proofs({("mac-mini", QWEN): Proof(3, 3, "a" * 12)}), "tools-proof-old", "warning", "another version"),
            )
        ),
    ],
)  # fmt: skip
def test_each_mistake_is_one_sentence(client, servers, rule, severity, words):
    fleet = {name: replace(server, **servers.get(name, {})) for name, server in SERVERS.items()}
    found = [finding for finding in judge(client, fleet) if finding.item == rule]
    assert found, [finding.item for finding in judge(client, fleet)]
    assert {finding.severity for finding in found} == {severity}
    assert any(words in finding.sentence() for finding in found), [finding.sentence() for finding in found]
    assert all(finding.host == "windows-msi" for finding in found)


def test_every_rule_has_a_row_above():
    rows = test_each_mistake_is_one_sentence.pytestmark[0].args[1]
    assert {row.values[2] for row in rows} == set(RULES)


@pytest.mark.parametrize(
    ("client", "servers"),
    [
        pytest.param(changed(api_key="ollama-local", networks=("local",), platform="linux"), {}, id="a marker for .local names"),
        pytest.param(changed(timeout_seconds=300, chains={"main": (HERE, THERE)}), {}, id="the laptop comes last"),
        pytest.param(
            CLIENT, {"mac-mini": {"bind": parse_host("127.0.0.1"), "served_ports": (11434,)}}, id="Tailscale serves it"
        ),
        pytest.param(CLIENT, {"mac-mini": {"scope": "open"}}, id="exposure is not managed"),
        pytest.param(changed(tailnet_address=""), {"mac-mini": {"scope": "tailnet"}}, id="the client's address is not known"),
        pytest.param(changed(models={QWEN: {"context": 16000}}), {}, id="less context than the server's"),
        pytest.param(changed(programs=("litellm",), chains={"main": (HERE, THERE)}), {}, id="LiteLLM"),
    ],
)  # fmt: skip
def test_what_is_allowed(client, servers):
    fleet = {name: replace(server, **servers.get(name, {})) for name, server in SERVERS.items()}
    assert [finding.sentence() for finding in judge(client, fleet)] == []


def test_a_fleet_of_one_server_is_told_not_refused():
    client = changed(providers=CLIENT.providers[:1], chains={"main": (HERE, Hop("mac-mini", "b:1"))})
    mini = replace(MINI, models={**MINI.models, "b:1": ServedModel("b:1", 32768, 32768, True)})
    assert [(one.item, one.severity) for one in judge(client, {"mac-mini": mini})] == [("chain-one-machine", "warning")]


def test_a_server_asks_itself_at_localhost_and_others_by_the_first_network_they_have():
    client = changed(name="mac-mini", platform="macos", networks=("tailnet", "local"))
    (route,) = routes(client, {**SERVERS, "macbook-pro": replace(BOOK, addresses={"local": "book.local"})})
    assert [(one["id"], one["network"], one["url"]) for one in route["providers"]] == [
        ("ollama-macmini", "own", "http://localhost:11434"),
        ("ollama-macbookpro", "local", "http://book.local:11434"),
    ]


def test_a_provider_may_name_its_network():
    client = changed(providers=(replace(CLIENT.providers[0], network="local"), CLIENT.providers[1]), platform="linux")
    (route,) = routes(client, SERVERS)
    assert [one["url"] for one in route["providers"]] == ["http://felipes-mac-mini.local:11434", "http://100.125.165.107:11434"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("0.0.0.0:8080", "http://localhost:8080"),
        ("192.168.1.20", "http://192.168.1.20:11434"),
        ("[::1]", "http://localhost:11434"),
        ("[fd00::1]:1", "http://[fd00::1]:1"),
    ],
)
def test_its_own_address_follows_what_it_listens_on(setting, expected):
    assert replace(MINI, bind=parse_host(setting)).own_url == expected


def test_a_model_for_use_by_hand_is_not_offered_to_programs():
    (route,) = routes(CLIENT, SERVERS)
    assert [[model["id"] for model in one["models"]] for one in route["providers"]] == [[QWEN], [QWEN, GPT]]


def test_each_program_has_its_own_names_for_the_models_of_others():
    found = routes(changed(programs=("openclaw", "clawdbot")), SERVERS)
    assert [route["chains"]["main"][-1]["ref"] for route in found] == ["anthropic/openclaw-sonnet", "anthropic/clawdbot-sonnet"]
    assert [hop["ref"] for hop in found[0]["references"]] == [
        "ollama-macmini/qwen3:8b",
        "ollama-macbookpro/qwen3:8b",
        "anthropic/openclaw-sonnet",
    ]


HOPS = st.sampled_from([HERE, THERE, OUTSIDE, Hop("macbook-pro", GPT)])


@given(
    chains=st.dictionaries(st.sampled_from(PURPOSES), st.lists(HOPS, min_size=1, unique=True).map(tuple), min_size=1),
    program=st.sampled_from(sorted(PROGRAMS)),
)
def test_nothing_is_dropped_in_silence(chains, program):
    """Each hop of each chain is told to the program, or a finding says why not."""
    client = changed(programs=(program,), chains=chains)
    findings = judge(client, SERVERS)
    if any(one.severity == "error" for one in findings):
        return
    (route,) = routes(client, SERVERS)
    said = " ".join(one.why for one in findings)
    for purpose, hops in chains.items():
        if purpose not in PROGRAMS[program].purposes:
            assert purpose in said
            continue
        told = route["chains"][purpose]
        left_out = [hop for hop in hops if hop.external and not PROGRAMS[program].externals]
        assert len(told) == len(hops) - len(left_out)
        assert (
            len(hops) == 1
            or purpose in PROGRAMS[program].chained
            or f"only the first hop of {purpose}" in said
            or purpose in said
        )
        known = {provider["id"]: {model["id"] for model in provider["models"]} for provider in route["providers"]}
        assert all(hop["external"] or hop["model"] in known[hop["provider"]] for hop in told)


def test_contexts_come_from_the_server():
    variables = {
        "ram_budget_memory_gib": 16,
        "ollama_service_environment": {"OLLAMA_HOST": "0.0.0.0"},
        "ollama_models_installed": [
            {"name": "qwen3:8b", "size_gb": 5.2},
            {"name": "a", "size_gb": 1, "context_length": 20000},
        ],
    }
    small = serving_from_variables("mac-mini", variables, {"qwen3:8b": 40960})
    assert {name: (one.context, one.window) for name, one in small.models.items()} == {
        "qwen3:8b": (4096, 40960),
        "a:latest": (20000, 20000),
    }
    variables["ollama_service_environment"]["OLLAMA_CONTEXT_LENGTH"] = "65536"
    large = serving_from_variables("mac-mini", variables, {"qwen3:8b": 40960})
    assert large.models["qwen3:8b"].context == 40960
    assert small.scope == ""


def test_a_client_is_read_from_its_variables():
    client = client_from_variables(
        "x",
        {
            "clients_programs": ["openclaw"],
            "clients_providers": [{"id": "a", "host": "mac-mini", "network": None}],
            "clients_chains": {"main": [{"host": "mac-mini", "model": "qwen3:8b"}, {"external": "s"}], "coding": None},
            "clients_models": [{"name": "Qwen3", "title": "Q"}],
            "clients_retries": 0,
        },
    )
    assert client.chains == {"main": (Hop("mac-mini", "qwen3:8b"), Hop(external="s"))}
    assert client.providers == (Provider("a", "mac-mini"),)
    assert client.models.keys() == {"Qwen3:latest"}
    assert (client.platform, client.retries, client.timeout_seconds) == ("macos", 0, 180)


def test_rows_of_the_table_speak_the_same_words():
    for name, program in PROGRAMS.items():
        assert set(program.purposes) <= set(PURPOSES), name
        assert set(program.chained) <= set(program.purposes), name
        assert program.gives_up_on <= set(FAILURES), name
        assert not program.gives_up_on or program.instead, name
        assert len({file.path for file in program.files}) == len(program.files) > 0, name


def test_files_are_told_where_they_lie():
    rows = [
        {"program": "openclaw", "path": ".a/b.json", "format": "json", "include": ({"at": ["x"], "file": "y"},), "check": None}
    ]
    (plain,) = managed_files(rows, {".a/b.json": {"k": 1}}, "/mnt/c/Users/felipe", modes=False)
    assert (plain["path"], plain["mode"], plain["include"], "validate" in plain) == (
        "/mnt/c/Users/felipe/.a/b.json",
        "",
        [],
        False,
    )
    (own,) = managed_files([{**rows[0], "check": {"command": ["a"]}}], {".a/b.json": {}}, "~", included=True)
    assert (own["path"], own["mode"], own["include"], own["validate"]) == (
        "~/.a/b.json",
        "0600",
        [{"at": ["x"], "file": "y"}],
        {"command": ["a"]},
    )
