"""What was reached, held against what is declared: by scope, by network, by who asks."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import jsonschema
import pytest
from ansible.module_utils.fleet.matrix import Asker, asker, cells, declared, findings, may_reach, report, table
from ansible.module_utils.fleet.reach import Server, targets
from hypothesis import given
from hypothesis import strategies as st

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "reach.schema.json").read_text())
LAN, TAILNET, STRANGE = "192.168.1.30", "100.101.102.103", "203.0.113.66"
SCOPES = ["open", "", "loopback", "tailnet", "lan"]


@pytest.mark.parametrize(
    ("scope", "networks", "let_in"),
    [
        ("open", [], [LAN, TAILNET, STRANGE, "fd00:1::30", "fd7a:115c:a1e0::67", "127.0.0.1", ""]),
        ("", [], [LAN, TAILNET, STRANGE, "fd00:1::30", "fd7a:115c:a1e0::67", "127.0.0.1", ""]),
        ("loopback", [], ["127.0.0.1"]),
        ("tailnet", [], [TAILNET, "fd7a:115c:a1e0::67", "127.0.0.1"]),
        ("tailnet", ["192.168.1.0/24"], [TAILNET, "fd7a:115c:a1e0::67", "127.0.0.1"]),
        ("lan", [], [TAILNET, "fd7a:115c:a1e0::67", "127.0.0.1"]),
        ("lan", ["192.168.1.0/24"], [LAN, TAILNET, "fd7a:115c:a1e0::67", "127.0.0.1"]),
        ("lan", ["192.168.2.0/24"], [TAILNET, "fd7a:115c:a1e0::67", "127.0.0.1"]),
        ("nonsense", [], ["127.0.0.1"]),
    ],
)
def test_who_may_reach_a_server(scope, networks, let_in):
    everybody = [LAN, TAILNET, STRANGE, "fd00:1::30", "fd7a:115c:a1e0::67", "127.0.0.1", ""]
    assert [address for address in everybody if may_reach(scope, networks, address)] == let_in


@given(st.ip_addresses().map(str))
def test_each_scope_lets_in_what_the_narrower_one_does(address):
    lets_in = [may_reach(scope, [], address) for scope in ("loopback", "tailnet", "lan", "open")]
    assert lets_in == sorted(lets_in)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_both_spellings(address):
    mapped = f"::ffff:{address}"
    assert [may_reach(scope, [], mapped) for scope in SCOPES] == [may_reach(scope, [], str(address)) for scope in SCOPES]


def test_link_local_addresses_carry_their_interface():
    assert may_reach("lan", ["fe80::/10"], "fe80::1%en0")


def server(**changes):
    made = {
        "name": "mac-mini",
        "addresses": [["local", "felipes-mac-mini.local"], ["tailnet", "100.115.10.14"]],
        "host_setting": "0.0.0.0",
    }
    return Server(**{**made, **changes})


def answer(network="local", found="reached", **changes):
    url = {"local": "http://felipes-mac-mini.local:11434", "tailnet": "http://100.115.10.14:11434"}.get(network, "http://x:1")
    made = {
        "server": "mac-mini", "url": url, "network": network, "kind": "version", "what": "its version", "found": found,
        "status": 200 if found == "reached" else None, "source": {"local": LAN, "tailnet": TAILNET}.get(network, ""),
        "peer": {"local": "192.168.1.20", "tailnet": "100.115.10.14"}.get(network, ""),
        "error": "" if found == "reached" else f"it was {found}", "seconds": 0.01,
    }  # fmt: skip
    return {**made, **changes}


WINDOWS = Asker("windows-msi", tailnet_address=TAILNET)
OUTSIDER = Asker("outsider", stranger=True)


@pytest.mark.parametrize(
    ("changes", "local", "tailnet"),
    [
        pytest.param({}, True, True, id="everywhere"),
        pytest.param({"host_setting": ""}, False, False, id="loopback"),
        pytest.param({"host_setting": "127.0.0.1", "served": [11434]}, False, True, id="loopback, served in the tailnet"),
        pytest.param({"host_setting": "127.0.0.1", "served": [80]}, False, False, id="loopback, another port is served"),
        pytest.param({"host_setting": "127.0.0.1", "userspace": True}, False, True, id="loopback, userspace mode"),
        pytest.param({"host_setting": "192.168.1.20", "userspace": True}, True, False, id="one address, userspace mode"),
        pytest.param({"host_setting": "100.115.10.14"}, False, True, id="the tailnet's address"),
        pytest.param({"host_setting": "192.168.1.20"}, True, False, id="the LAN's address"),
        pytest.param({"scope": "tailnet"}, False, True, id="scope tailnet"),
        pytest.param({"scope": "lan"}, False, True, id="scope lan, which LAN is not said"),
        pytest.param({"scope": "lan", "networks": ["192.168.1.0/24"]}, True, True, id="scope lan"),
        pytest.param({"scope": "lan", "networks": ["10.0.0.0/8"]}, False, True, id="scope lan, another LAN"),
        pytest.param({"scope": "loopback"}, False, False, id="scope loopback"),
        pytest.param({"scope": "loopback", "userspace": True}, False, False, id="scope loopback, userspace mode"),
        pytest.param({"scope": "loopback", "served": [11434]}, False, True, id="scope loopback, served in the tailnet"),
    ],
)
def test_what_is_declared_follows_from_bind_scope_and_tailscale(changes, local, tailnet):
    asked = server(**changes)
    assert (declared(asked, WINDOWS, answer("local")), declared(asked, WINDOWS, answer("tailnet"))) == (local, tailnet)
    assert not declared(asked, OUTSIDER, answer("local", source=STRANGE))
    assert not declared(asked, OUTSIDER, answer("tailnet", source=STRANGE))


def test_without_a_source_the_declared_tailnet_address_counts():
    assert declared(server(scope="tailnet"), WINDOWS, answer("tailnet", "timed_out", source=""))
    assert not declared(server(scope="tailnet"), WINDOWS, answer("local", "unresolved", source=""))


def judged(asking, answers, **changes):
    return findings([Asker(asking.name, asking.stranger, "", answers, asking.tailnet_address)], [server(**changes)])


@pytest.mark.parametrize("found", ["refused", "timed_out", "reset", "no_route", "unresolved"])
def test_every_way_to_be_kept_out_is_good_where_that_is_declared(found):
    assert judged(WINDOWS, [answer("local", found), answer("tailnet", found)], scope="loopback") == ()
    assert judged(OUTSIDER, [answer("local", found, source=STRANGE)]) == ()


@pytest.mark.parametrize(
    ("found", "changes", "words"),
    [
        ("refused", {}, "bound to more than loopback"),
        ("timed_out", {}, "firewall"),
        ("no_route", {}, "awake"),
        ("reset", {}, "gave it up"),
        ("unresolved", {}, "resolves"),
        ("broken", {}, "log"),
        ("reached", {"status": 500, "error": "llama runner process has terminated"}, "log"),
        ("reached", {"status": 403, "error": ""}, "Host header"),
    ],
)
def test_what_was_not_reached_names_asker_server_cause_and_remedy(found, changes, words):
    (finding,) = judged(WINDOWS, [answer("tailnet"), answer("local", found, **changes)])
    assert (finding.severity, finding.host, finding.item) == ("error", "windows-msi", "http://felipes-mac-mini.local:11434")
    assert "windows-msi asked mac-mini for its version" in finding.why
    assert finding.found
    assert finding.found in finding.why
    assert words in finding.remedy


@pytest.mark.parametrize("found", ["reached", "broken"])
def test_one_that_should_be_kept_out_and_is_not_is_an_error(found):
    (finding,) = judged(WINDOWS, [answer("local", found), answer("tailnet", found)], scope="loopback")
    assert finding.severity == "error"
    assert finding.item == "http://felipes-mac-mini.local:11434, http://100.115.10.14:11434"
    assert f"windows-msi reached mac-mini from {LAN}, {TAILNET}, and exposure_scope is loopback" in finding.why


@pytest.mark.parametrize(("scope", "severity"), [("open", "warning"), ("lan", "error"), ("loopback", "error")])
def test_a_stranger_is_a_warning_only_where_nothing_is_managed(scope, severity):
    (finding,) = judged(OUTSIDER, [answer("local", source=STRANGE)], scope=scope)
    assert (finding.severity, "outsider, a stranger, reached mac-mini from 203.0.113.66" in finding.why) == (severity, True)


def own(kind, status, **changes):
    return answer("own", kind=kind, what=f"a {kind}", status=status, url="http://127.0.0.1:11434", **changes)


@pytest.mark.parametrize(
    ("kind", "status", "changes", "said"),
    [
        ("foreign_host", 403, {"host_setting": "127.0.0.1"}, []),
        ("foreign_host", 200, {"host_setting": "127.0.0.1"}, [("error", "Host header")]),
        ("foreign_host", 200, {}, [("note", "Host header")]),
        ("foreign_host", None, {}, []),
        ("foreign_origin", 403, {}, []),
        ("foreign_origin", 200, {}, [("error", "Origin header")]),
        ("foreign_origin", 200, {"origins": "http://a.example, *"}, [("note", "Origin header")]),
        ("foreign_origin", 200, {"origins": "http://a.example"}, [("error", "Origin header")]),
        ("completion", 200, {}, []),
        ("completion", 500, {}, [("error", "http://127.0.0.1:11434")]),
        ("completion", None, {}, [("error", "http://127.0.0.1:11434")]),
    ],
)
def test_what_a_server_would_do_for_a_web_page(kind, status, changes, said):
    result = judged(Asker("mac-mini"), [own(kind, status)], **changes)
    assert [(finding.severity, finding.item) for finding in result] == said
    assert all(finding.host == "mac-mini" for finding in result)


# The table and the report. ------------------------------------------------------------------------------------------------

AWAY = Asker("macbook-pro", away="macbook-pro does not answer")


def test_the_table_says_who_reached_whom_and_who_was_away():
    asked = [
        Asker("mac-mini", answers=[own("completion", 200, seconds=1.24)]),
        AWAY,
        Asker("windows-msi", answers=[answer("local", "timed_out"), answer("tailnet")], tailnet_address=TAILNET),
        Asker("outsider", stranger=True, answers=[answer("local", source=STRANGE), answer("tailnet", "no_route")]),
        Asker("idle"),
    ]
    assert table(asked, [server()]) == [
        "from         mac-mini",
        "mac-mini     itself in 1.2 s",
        "macbook-pro  away, asked nobody",
        "windows-msi  tailnet, local timed out!",
        "outsider     local!, tailnet no route",
        "idle         not asked",
        "! is not as declared",
    ]


def test_many_servers_get_a_line_for_each_machine():
    names = [f"mac-{number:02}" for number in range(10)]
    servers = [server(name=name, addresses=[["local", f"{name}.local"]]) for name in names]
    answers = [
        answer("local", "refused" if name == "mac-03" else "reached", server=name, url=f"http://{name}.local:11434")
        for name in names
    ]
    assert table([Asker("windows-msi", answers=answers)], servers) == [
        "from         10 servers",
        "windows-msi  reached 9 of 10 addresses; mac-03: local refused!",
        "! is not as declared",
    ]


def test_nobody_and_nothing_make_a_table_too():
    assert table([], []) == ["from"]


FOUND = st.sampled_from(["reached", "refused", "timed_out", "reset", "no_route", "unresolved", "broken"])
NAMES = ["mac-mini", "macbook-pro", "windows-msi", "outsider"]


@st.composite
def fleets(draw):
    """Draw servers, and machines whose answers belong to the questions they would put."""
    settings = st.sampled_from(["", "0.0.0.0", "127.0.0.1", "192.168.1.20:8080", "[::1]:1", ":80"])
    servers = [
        Server(
            name, [["local", f"{name}.local"], ["tailnet", "100.64.0.1"], ["lan", "fd00::1"]][: draw(st.integers(0, 3))],
            draw(settings), [{"name": "m", "size_gb": 1}][: draw(st.integers(0, 1))], draw(st.sampled_from(SCOPES)),
            [], draw(st.lists(st.sampled_from([80, 11434]), max_size=1)), draw(st.booleans()), draw(st.sampled_from(["", "*"])),
        )
        for name in draw(st.lists(st.sampled_from(NAMES[:2]), unique=True))
    ]  # fmt: skip
    machines = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        if draw(st.booleans()):
            machines.append(Asker(name, name == "outsider", "it sleeps"))
            continue
        answers = []
        for target in targets(name, servers):
            found = draw(FOUND)
            status = draw(st.sampled_from([200, 403, 500])) if found == "reached" else None
            answers.append(
                {
                    "server": target["server"], "url": target["url"], "network": target["network"], "kind": target["what"],
                    "what": "x", "found": found, "status": status, "error": draw(st.text()), "seconds": 0.1,
                    "source": draw(st.one_of(st.just(""), st.ip_addresses().map(str))), "peer": "192.168.1.20",
                }
            )  # fmt: skip
        machines.append(Asker(name, name == "outsider", "", answers, TAILNET))
    return machines, servers


@given(fleets())
def test_any_fleet_holds_to_the_schema_and_every_wrong_answer_is_found(fleet):
    machines, servers = fleet
    content = json.loads(json.dumps(report(machines, servers, "2026-01-01T00:00:00Z")))
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    found = " ".join(finding["item"] for finding in content["findings"])
    assert all(question["as_declared"] or question["url"] in found for question in content["questions"])
    assert (content["result"] == "ok") == (not {"error", "warning"} & {one["severity"] for one in content["findings"]})
    assert len(content["questions"]) == len(cells(machines, servers))
    lines = table(machines, servers)
    assert all(any(line.startswith(machine.name) for line in lines) for machine in machines)
    assert (lines[-1] == "! is not as declared") == any(not question["as_declared"] for question in content["questions"])
    assert not any(question["declared"] == "reachable" for question in content["questions"] if question["from"] == "outsider")


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("variables", "made"),
    [
        (
            {"__fleet_verify_reach": {"answers": [answer()]}, "fleet_tailnet_ip": TAILNET},
            Asker("x", False, "", (answer(),), TAILNET),
        ),
        ({"fleet_address_away": "x does not answer"}, Asker("x", False, "x does not answer")),
        ({"__fleet_verify_reach": {"unreachable": True, "msg": "gone"}}, Asker("x", False, "x does not answer any more: gone")),
        ({"__fleet_verify_reach": {"skipped": True}}, Asker("x")),
        ({}, Asker("x", False, "x was not asked, since the run ended for it before")),
    ],
    ids=["asked", "away", "went away", "had nobody to ask", "failed before"],
)
def test_a_machine_is_described_by_what_became_of_it(variables, made):
    assert asker({"inventory_hostname": "x", **variables}) == made


def test_a_stranger_is_known_by_name():
    assert asker({"inventory_hostname": "x", "__fleet_verify_reach": {"answers": []}}, ["x"]).stranger


def test_documentation_addresses_are_no_lan():
    """Python's `is_private` counts them in, and others with them."""
    assert ipaddress.ip_address(STRANGE).is_private
    assert not may_reach("lan", [], STRANGE)
