"""The lab's plan: hosts, addresses, cables, accounts, keys."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from pathlib import Path

import pytest
from controller import accounts, enter, keys, network
from controller.hosts import (
    LAN4,
    LAN6,
    MAC_MINI,
    MACBOOK_PRO,
    OUTSIDE4,
    OUTSIDE6,
    OUTSIDER,
    REGISTRY4,
    ROUTER_LAN4,
    ROUTER_LAN6,
    ROUTER_OUTSIDE4,
    ROUTER_OUTSIDE6,
    TAILNET4,
    TAILNET6,
    WINDOWS_MSI,
    Host,
    etc_hosts,
    extra_mac,
    fleet,
    mac_address,
    machine_json,
)

EVERYONE = fleet(200)
NETWORKS = {
    "lan4": LAN4, "lan6": LAN6, "tailnet4": TAILNET4, "tailnet6": TAILNET6, "outside4": OUTSIDE4, "outside6": OUTSIDE6,
}  # fmt: skip


@pytest.mark.parametrize("field", NETWORKS)
def test_every_address_is_in_its_network(field: str) -> None:
    whole = ipaddress.ip_network(NETWORKS[field])
    assert [
        host.name for host in EVERYONE if getattr(host, field) and ipaddress.ip_address(getattr(host, field)) not in whole
    ] == []


def test_no_address_and_no_name_is_given_twice() -> None:
    counted = Counter(name for host in EVERYONE for name in host.names)
    assert [name for name, times in counted.items() if times > 1] == []


def test_no_host_has_an_address_of_the_router() -> None:
    taken = {ROUTER_LAN4, ROUTER_LAN6, ROUTER_OUTSIDE4, ROUTER_OUTSIDE6, REGISTRY4}
    assert taken & {name for host in EVERYONE for name in host.names} == set()


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        (MAC_MINI, ("felipes-mac-mini", "192.168.1.20", "100.115.10.14", 16)),
        (MACBOOK_PRO, ("felipes-macbook-pro-2", "192.168.1.21", "100.125.165.107", 48)),
        (extra_mac(3), ("mac-03", "192.168.1.40", "100.116.0.3", 16)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_mac_is_the_one_the_fleet_names(host: Host, wanted: tuple[str, str, str, int]) -> None:
    assert (host.local_host_name, host.lan4, host.tailnet4, host.memory_gib) == wanted


@pytest.mark.parametrize("number", [-1, 201])
def test_more_macs_than_addresses_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="0 to 200"):
        fleet(number)


def test_machine_json_is_the_identity_the_stand_ins_read() -> None:
    from mac.machine import Machine

    identity = json.loads(machine_json(MAC_MINI, 15, ""))
    assert set(identity) == set(Machine._fields) - {"ollama_payload"}
    assert Machine(**identity) == Machine()


def test_a_payload_is_named_only_when_there_is_one() -> None:
    assert json.loads(machine_json(MAC_MINI, 15, "/opt/x"))["ollama_payload"] == "/opt/x"


def test_local_names_have_both_address_families() -> None:
    lines = etc_hosts(MAC_MINI, fleet())
    assert [line for line in lines.splitlines() if "felipes-macbook-pro-2.local" in line] == [
        "192.168.1.21 felipes-macbook-pro-2.local",
        "fd00:1::21 felipes-macbook-pro-2.local",
    ]


def test_the_outsider_knows_no_name_of_the_lan() -> None:
    assert "mac" not in etc_hosts(OUTSIDER, fleet())


def test_an_interface_name_fits_into_the_kernel() -> None:
    assert max(len(network.port(host.name, cable)) for host in EVERYONE for cable in network.networks(host)) <= 15


def test_a_name_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        network.port("a-very-long-name", "lan")


@pytest.mark.parametrize(
    ("host", "cables"), [(MAC_MINI, ("lan", "tailnet")), (WINDOWS_MSI, ("lan", "tailnet")), (OUTSIDER, ("outside",))],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_each_host_has_its_cables(host: Host, cables: tuple[str, ...]) -> None:
    assert network.networks(host) == cables


def test_the_router_has_no_foot_in_the_tailnet() -> None:
    assert [line for line in network.router_batch() if line.startswith("address") and "tailnet" in line] == []


def test_hardware_addresses_are_stable_local_and_distinct() -> None:
    made = [mac_address(host.name, cable) for host in EVERYONE for cable in network.networks(host)]
    assert (mac_address("mac-mini", "lan"), len(set(made))) == (mac_address("mac-mini", "lan"), len(made))
    assert {address[:2] for address in made} == {"02"}


@pytest.mark.parametrize(
    ("host", "line"),
    [
        (MAC_MINI, "felipe:x:501:20:felipe:/Users/felipe:"),
        (WINDOWS_MSI, "felipe:x:1000:1000:felipe:/home/felipe:"),
        (OUTSIDER, "guest:x:1000:1000:guest:/home/guest:"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_passwd_has_the_login_user(host: Host, line: str) -> None:
    assert [row.rsplit(":", 1)[0] + ":" for row in accounts.passwd(host).splitlines()][-1] == line


@pytest.mark.parametrize("host", [MAC_MINI, OUTSIDER], ids=lambda host: host.name)
def test_accounts_and_passwords_name_the_same_users(host: Host) -> None:
    assert [row.split(":")[0] for row in accounts.shadow(host).splitlines()] == [
        row.split(":")[0] for row in accounts.passwd(host).splitlines()
    ]


def test_only_the_login_user_of_the_fleet_has_a_password() -> None:
    with_password = [row.split(":")[0] for row in accounts.shadow(MAC_MINI).splitlines() if row.split(":")[1].startswith("$")]
    assert (with_password, "$" in accounts.shadow(OUTSIDER)) == (["felipe"], False)


@pytest.mark.parametrize(
    ("name", "gid", "members"), [("staff", "20", "root"), ("admin", "80", "root,felipe"), ("wheel", "0", "root")]
)
def test_groups_are_those_of_macos(name: str, gid: str, members: str) -> None:
    assert f"{name}:x:{gid}:{members}" in accounts.group(MAC_MINI).splitlines()


def test_known_hosts_has_every_name_of_a_host() -> None:
    line = keys.known_hosts({MAC_MINI: "ssh-ed25519 AAAA comment\n"})
    assert line == f"{','.join(MAC_MINI.names)} ssh-ed25519 AAAA\n"


def test_ssh_config_quotes_a_folder_with_a_space() -> None:
    text = keys.ssh_config((MAC_MINI,), Path("/run/x/ssh"), ["/a b/python", "/lab"])
    assert '    ProxyCommand "/a b/python" /lab proxy mac-mini --user %r --address %h' in text.splitlines()


def test_an_address_that_nobody_has_leads_nowhere() -> None:
    text = keys.ssh_config((MAC_MINI,), Path("/run/x/ssh"), ["lab"])
    assert text.rstrip().splitlines()[-1] == "    ProxyCommand lab proxy nowhere --address %h"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (MAC_MINI.lan4, "lan"),
        (MAC_MINI.lan6, "lan"),
        ("felipes-mac-mini.local", "lan"),
        (MAC_MINI.tailnet4, "tailnet"),
        (MAC_MINI.tailnet6, "tailnet"),
        ("mac-mini", ""),
        ("", ""),
    ],
)
def test_an_address_belongs_to_a_network(address: str, network: str) -> None:
    assert MAC_MINI.network_of(address) == network


@pytest.mark.parametrize(
    ("asked", "network", "fault", "met"),
    [
        ("mac-mini", "", "lan-down", ""),
        ("192.168.1.20", "lan", "lan-down", "silence"),
        ("felipes-mac-mini.local", "lan", "lan-down", "Could not resolve hostname felipes-mac-mini.local"),
        ("felipes-mac-mini.local", "lan", "tailnet-down", ""),
        ("100.115.10.14", "tailnet", "lan-down", ""),
        ("100.115.10.14", "tailnet", "tailnet-down", "silence"),
        ("100.115.10.14", "tailnet", "tailscale-down", "silence"),
        ("100.115.10.14", "tailnet", "tailscale-stopped", "silence"),
        ("100.115.10.14", "tailnet", "tailscale-userspace", ""),
        ("mac-mini", "", "unreachable", "timed out"),
    ],
)
def test_an_address_is_as_dead_as_its_network(asked: str, network: str, fault: str, met: str) -> None:
    found = enter.way_to(asked, network, {fault: True})
    assert met in found
    assert bool(found) == bool(met)


def test_a_cable_is_pulled_out_of_one_network() -> None:
    assert network.link_batch(MAC_MINI, up=False, only="tailnet") == ["link set ts-mac-mini down"]
    assert len(network.link_batch(MAC_MINI, up=True)) == 2


def test_ssh_config_checks_host_keys() -> None:
    assert "StrictHostKeyChecking yes" in keys.ssh_config((MAC_MINI,), Path("/run/x/ssh"), ["lab"])
