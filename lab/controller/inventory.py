"""The lab as an Ansible inventory: how to reach each host, and nothing about what it should be."""

from __future__ import annotations

import json
import sys
from typing import Any

from controller.accounts import PASSWORD
from controller.hosts import Host, fleet
from controller.state import Folder, LabError, lab_name


def connection(host: Host, folder: Folder) -> dict[str, Any]:
    """Give a host's connection variables."""
    found: dict[str, Any] = {
        "ansible_user": host.user,
        "ansible_ssh_private_key_file": str(folder.identity),
        "ansible_ssh_common_args": f"-F {folder.ssh_config}",
        "ansible_control_path_dir": str(folder.control_paths),
    }
    # The fleet's hosts have an interpreter in group_vars and host_vars, a stranger has none.
    own = {"ansible_become_password": PASSWORD} if host.in_fleet else {"ansible_python_interpreter": "/usr/bin/python3"}
    return {**found, **own}


def extra(host: Host) -> dict[str, Any]:
    """Give what an extra Mac needs to be a member of the fleet, which no inventory of a person names."""
    return {
        "ansible_host": f"{host.local_host_name}.local",
        "fleet_local_name": f"{host.local_host_name}.local",
        "fleet_tailnet_ip": host.tailnet4,
        "ram_budget_memory_gib": host.memory_gib,
    }


def inventory(hosts: tuple[Host, ...], folder: Folder) -> dict[str, Any]:
    """Build what Ansible's script plugin reads (`--list`)."""
    variables = {host.name: connection(host, folder) | (extra(host) if host.extra else {}) for host in hosts}
    groups: dict[str, Any] = {"_meta": {"hostvars": variables}}
    outsiders = [host.name for host in hosts if not host.in_fleet]
    extras = [host.name for host in hosts if host.extra]
    groups["ungrouped"] = {"hosts": [host.name for host in hosts if host.in_fleet and not host.extra]}
    if outsiders:
        groups["outsiders"] = {"hosts": outsiders}
    if extras:
        # The extra Macs of `up --macs N` exist in the lab alone, so their membership is here.
        groups["ollama_servers"] = {"hosts": extras}
        groups["always_on"] = {"hosts": extras}
    return groups


def main(arguments: list[str]) -> int:
    """Answer --list and --host."""
    try:
        folder = Folder(lab_name(None))
        record = folder.require()
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    hosts = tuple(host for host in fleet(record.extra_macs) if host.name in record.hosts)
    answer = {} if arguments[:1] == ["--host"] else inventory(hosts, folder)
    print(json.dumps(answer, indent=1, sort_keys=True))
    return 0
