"""The tailnet as a Mac has it: mode, addresses, what is published, and what follows from each."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.fleet.case import Case
from ansible.module_utils.fleet.plan import judge as judge_plan
from ansible.module_utils.fleet.tailnet import (
    Forward,
    Tailnet,
    in_tailnet,
    judge,
    normal_target,
    parse_serve,
    parse_status,
    plan,
    tailnet_from_json,
)
from ansible.module_utils.fleet.vocabulary import Unknown, plain
from ansible.module_utils.macos import tailscale
from ansible.module_utils.macos.commands import Answer
from hypothesis import given
from hypothesis import strategies as st

from .examples import desired, observed

ADDRESS = "100.115.10.14"
OLLAMA = {"port": 11434, "target": "127.0.0.1:11434"}
RUNNING = observed()["tailscale"]
USERSPACE = {**RUNNING, "tunnel": False, "socket": "/Users/felipe/.tailscale/tailscaled.sock"}


def judged(tailscale=RUNNING, **wanted):
    given_ = {"address": ADDRESS, "tcp": [], "removed": [], "host_setting": "0.0.0.0", **wanted}
    return judge(Case("mac-mini", {"tailscale_serve": given_}, observed(tailscale=tailscale)))


def severities(result):
    return [(finding.severity, finding.item) for finding in result.findings]


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("100.64.0.0", True),
        ("100.127.255.255", True),
        ("100.63.255.255", False),
        ("100.128.0.0", False),
        ("fd7a:115c:a1e0::e", True),
        ("fd7a:115c:a1e1::e", False),
        ("192.168.1.20", False),
        ("felipes-mac-mini.local", False),
        ("", False),
    ],
)
def test_an_address_is_the_tailnets_or_not(address, inside):
    assert in_tailnet(address) is inside


STATUS = {"Version": "1.96.2-tabc-g1", "TUN": False, "BackendState": "Running", "TailscaleIPs": [ADDRESS, "fd7a:115c:a1e0::e"]}


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({}, ("1.96.2", "Running", False, (ADDRESS, "fd7a:115c:a1e0::e"))),
        ({"BackendState": "Stopped", "TailscaleIPs": None, "TUN": True}, ("1.96.2", "Stopped", True, ())),
        ({"BackendState": "NeedsLogin", "TailscaleIPs": []}, ("1.96.2", "NeedsLogin", False, ())),
    ],
)
def test_a_status_is_read(changes, read):
    assert tuple(parse_status({**STATUS, **changes}).values()) == read


@pytest.mark.parametrize(
    ("config", "served"),
    [
        ({}, {}),
        (None, {}),
        ({"TCP": None}, {}),
        ({"TCP": {"11434": {"TCPForward": "127.0.0.1:11434"}}}, {11434: "127.0.0.1:11434"}),
        ({"TCP": {"443": {"HTTPS": True}}, "Web": {"x.ts.net:443": {}}}, {443: "web"}),
        ({"TCP": {"5": {"TCPForward": "127.0.0.1:6", "TerminateTLS": "x.ts.net"}}}, {5: "tls 127.0.0.1:6"}),
    ],
)
def test_what_is_served_is_read(config, served):
    assert parse_serve(config) == served


@pytest.mark.parametrize(
    "text", ["127.0.0.1:11434", "tcp://127.0.0.1:11434", "localhost:11434", "tcp://localhost:11434", "11434"]
)
def test_a_target_has_one_spelling(text):
    assert normal_target(text) == "127.0.0.1:11434"


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "a:b", "x:\u0662"])
def test_what_is_no_target_is_refused_in_words(text):
    with pytest.raises(ValueError, match="is no target; write HOST:PORT"):
        normal_target(text)


PORTS = st.integers(1, 5)
TARGETS = st.sampled_from(["127.0.0.1:1", "127.0.0.1:2"])
SERVED = st.dictionaries(PORTS, TARGETS)
WANTED = st.dictionaries(PORTS, TARGETS).map(lambda one: tuple(Forward(*pair) for pair in one.items()))


@given(SERVED, WANTED, st.sets(PORTS))
def test_the_steps_lead_to_what_is_wanted_and_touch_nothing_else(served, wanted, removed):
    after = dict(served)
    for step in plan(served, wanted, removed):
        port = int(step.item.rpartition("/")[2])
        assert step.found == after.get(port, "not served")
        if step.action == "unserve":
            del after[port]
        else:
            after[port] = step.wanted
    kept = {forward.port: forward.target for forward in wanted}
    assert {port: after.get(port) for port in kept} == kept
    assert not (removed - set(kept)) & set(after)
    assert {port: after.get(port) for port in served if port not in kept and port not in removed} == {
        port: target for port, target in served.items() if port not in kept and port not in removed
    }
    assert plan(after, wanted, removed) == ()


def test_an_observation_survives_json():
    found = Tailnet("daemon", "/usr/local/bin/tailscale", "", "1.96.2", "Running", True, (ADDRESS,), {11434: "127.0.0.1:11434"})
    assert tailnet_from_json(json.loads(json.dumps(plain(found)))) == found
    silent = Tailnet("daemon", served=Unknown("no"))
    assert tailnet_from_json(json.loads(json.dumps(plain(silent)))) == silent


@pytest.mark.parametrize(
    ("tailscale_", "said"),
    [
        pytest.param(RUNNING, [], id="as declared"),
        pytest.param(USERSPACE, [("note", "tailscale")], id="userspace"),
        pytest.param({**RUNNING, "addresses": ["100.1.1.1"]}, [("warning", "fleet_tailnet_ip")], id="another address"),
        pytest.param({**RUNNING, "state": "Stopped", "addresses": []}, [("warning", "tailscale")], id="stopped"),
        pytest.param({**RUNNING, "state": "NeedsLogin"}, [("warning", "tailscale")], id="logged out"),
        pytest.param(plain(Tailnet()), [("warning", "fleet_tailnet_ip")], id="not installed"),
        pytest.param({"unknown": "failed to connect"}, [("warning", "tailscale")], id="does not answer"),
    ],
)
def test_a_mac_is_on_the_tailnet_as_declared(tailscale_, said):
    result = judged(tailscale_)
    assert severities(result) == said
    assert (result.steps, result.unknown) == ((), None)
    assert all(finding.remedy and finding.host == "mac-mini" for finding in result.findings)


@pytest.mark.parametrize(
    "tailscale_", [{"unknown": "failed to connect"}, plain(Tailnet()), USERSPACE], ids=["silent", "none", "user"]
)
def test_where_nothing_is_declared_tailscale_is_not_ours(tailscale_):
    assert judged(tailscale_, address="") == judge(Case("mac-mini", {}, {}))


def test_a_port_is_published_and_taken_away():
    assert [(step.action, step.item) for step in judged(tcp=[OLLAMA]).steps] == [("serve", "tcp/11434")]
    served = {**RUNNING, "served": {"11434": "127.0.0.1:11434", "80": "web"}}
    assert judged(served, tcp=[OLLAMA]).steps == ()
    assert [(step.action, step.item) for step in judged(served, removed=[11434]).steps] == [("unserve", "tcp/11434")]
    assert judged(served).steps == ()


@pytest.mark.parametrize(
    ("tailscale_", "changes", "said"),
    [
        pytest.param(plain(Tailnet()), {}, ("error", "tailscale"), id="not installed"),
        pytest.param({**RUNNING, "served": {"11434": "web"}}, {}, ("error", "tcp/11434"), id="a web handler is there"),
        pytest.param(RUNNING, {"host_setting": "127.0.0.1"}, ("note", "tcp/11434"), id="loopback with a tunnel"),
        pytest.param(USERSPACE, {"host_setting": ""}, ("warning", "tcp/11434"), id="loopback in userspace mode"),
        pytest.param(RUNNING, {"tcp": [{"port": 1, "target": "x"}]}, ("error", "tailscale_serve_tcp"), id="no target"),
    ],
)
def test_what_stands_against_publishing_is_said(tailscale_, changes, said):
    assert severities(judged(tailscale_, address="", **{"tcp": [OLLAMA], **changes}))[-1] == said


def test_in_userspace_mode_the_address_is_turned_away_too():
    (finding,) = judged({**USERSPACE}, address="", tcp=[OLLAMA], host_setting="127.0.0.1").findings[-1:]
    assert "by its tailnet address and by its MagicDNS name get 403" in finding.why


def test_what_cannot_be_read_lets_the_role_run_only_where_it_has_something_to_do():
    wanted = {**desired(), "tailscale_serve": {**desired()["tailscale_serve"], "tcp": [OLLAMA]}}
    silent = observed(tailscale={"unknown": "failed to connect"})
    assert judge_plan("mac-mini", wanted, silent)["concerns"] == ["tailscale_serve"]
    assert judge_plan("mac-mini", desired(), silent)["concerns"] == []
    half = observed(tailscale={**RUNNING, "served": {"unknown": "denied"}})
    assert judge_plan("mac-mini", wanted, half)["unknown"] == {"tailscale_serve": "denied"}


# Reading. -----------------------------------------------------------------------------------------------------------------

SILENT = Answer(1, "", "failed to connect to local Tailscale service; is Tailscale running?")
USER = "--socket=/Users/felipe/.tailscale/tailscaled.sock"


@pytest.fixture
def mac(monkeypatch, tmp_path):
    """Return a function that gives this machine the commands of a Mac and their answers, and records what was asked."""

    def made(answers, programs=("usr/local/bin/tailscale",), files=()):
        asked = []
        for name in (*programs, *files):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setattr(tailscale, "APP", str(tmp_path / "Applications/Tailscale.app"))
        monkeypatch.setattr(tailscale, "APP_PROGRAM", str(tmp_path / "Applications/Tailscale.app/Contents/MacOS/Tailscale"))
        monkeypatch.setattr(tailscale, "DAEMON_SOCKET", str(tmp_path / "var/run/tailscaled.socket"))
        names = ("usr/local/bin/tailscale", "opt/homebrew/bin/tailscale")
        monkeypatch.setattr(tailscale, "PROGRAMS", (*(str(tmp_path / name) for name in names), tailscale.APP_PROGRAM))

        def run(argv, **_options):
            line = " ".join(argv).removeprefix(f"{tmp_path}/")
            asked.append(line)
            return next((answer for words, answer in answers.items() if words in line), SILENT)

        monkeypatch.setattr(tailscale, "run", run)
        return asked

    return made


OWN = Answer(0, json.dumps({**STATUS, "TUN": True}), "")
SERVES = Answer(0, json.dumps({"TCP": {"11434": {"TCPForward": "127.0.0.1:11434"}}}), "")
APP = "Applications/Tailscale.app/Contents/MacOS/Tailscale"


def test_the_daemon_is_asked_at_its_own_socket_first(mac):
    asked = mac({"serve": SERVES, "status": OWN}, files=("var/run/tailscaled.socket",))
    found = tailscale.observe("/Users/felipe")
    assert (found.variant, found.socket, found.tunnel, found.served) == ("daemon", "", True, {11434: "127.0.0.1:11434"})
    assert asked == ["usr/local/bin/tailscale status --json", "usr/local/bin/tailscale serve status --json"]


def test_a_daemon_of_the_user_is_found_in_the_home_folder(mac):
    asked = mac({f"{USER} serve": Answer(0, "{}", ""), f"{USER} status": Answer(0, json.dumps(STATUS), "")})
    found = tailscale.observe("/Users/felipe")
    assert (found.variant, found.tunnel, found.userspace) == ("daemon", False, True)
    assert found.socket == "/Users/felipe/.tailscale/tailscaled.sock"
    assert len(asked) == 3


def test_a_socket_that_is_given_is_the_only_one(mac):
    asked = mac({})
    with pytest.raises(OSError, match="failed to connect to local Tailscale service"):
        tailscale.observe("/Users/felipe", "/tmp/own.sock")  # noqa: S108
    assert asked == ["usr/local/bin/tailscale --socket=/tmp/own.sock status --json"]


@pytest.mark.parametrize(
    ("programs", "files", "variant"),
    [
        ((APP,), (), "standalone"),
        ((APP,), ("Applications/Tailscale.app/Contents/_MASReceipt/receipt",), "app_store"),
        ((APP, "opt/homebrew/bin/tailscale"), (), "standalone"),
        ((APP, "opt/homebrew/bin/tailscale"), ("var/run/tailscaled.socket",), "daemon"),
        (("opt/homebrew/bin/tailscale",), (), "daemon"),
    ],
)
def test_the_builds_are_told_apart(mac, programs, files, variant):
    mac({"serve": SERVES, "status": OWN}, programs, files)
    assert tailscale.observe("/Users/felipe").variant == variant


def test_a_mac_without_tailscale_has_none_and_nothing_is_asked(mac):
    asked = mac({}, programs=())
    assert tailscale.observe("/Users/felipe") == Tailnet()
    assert asked == []


@pytest.mark.parametrize("said", ["The Tailscale GUI failed to start", "{", "[]"])
def test_what_answers_something_else_is_unknown(mac, said):
    mac({"status": Answer(0 if said != "The Tailscale GUI failed to start" else 1, said, "")})
    with pytest.raises(OSError, match=r"\S"):
        tailscale.observe("/Users/felipe")


def test_what_is_served_may_be_unknown_on_its_own(mac):
    mac({"serve": Answer(1, "", "Access denied"), "status": OWN})
    assert tailscale.observe("/Users/felipe").served == Unknown("tailscale serve status: Access denied")
