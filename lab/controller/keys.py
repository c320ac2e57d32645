"""The ssh keys of a lab and the client's files that lead into its hosts."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from controller.image import Keys

if TYPE_CHECKING:
    from pathlib import Path

    from controller.hosts import Host


def make_pairs(files: list[Path]) -> None:
    """Make an ed25519 key pair per file, all at once: one after the other they would cost a second for twenty."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
    makers = [
        subprocess.Popen(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", file.parent.name, "-f", file]) for file in files
    ]
    codes = [maker.wait() for maker in makers]
    if any(codes):
        raise RuntimeError("ssh-keygen could not make a key.")


def read_pair(file: Path, authorized: str) -> Keys:
    """Read a host's pair, to be put on its disk."""
    return Keys(file.read_text(), file.with_suffix(".pub").read_text(), authorized)


def known_hosts(public: dict[Host, str]) -> str:
    """Write known_hosts: every name and address of a host with its key."""
    return "".join(f"{','.join(host.names)} {' '.join(key.split()[:2])}\n" for host, key in public.items())


def ssh_config(hosts: tuple[Host, ...], folder: Path, proxy: list[str]) -> str:
    """Write the client's configuration: each host is reached through the lab's own `proxy`, no port is opened."""
    command = " ".join(f'"{word}"' if " " in word else word for word in proxy)
    blocks = [
        f"Host {' '.join(host.names)}\n"
        f"    User {host.user}\n"
        f"    ProxyCommand {command} proxy {host.name} --user %r --address %h\n"
        for host in hosts
    ]
    everywhere = (
        "Host *\n"
        f"    IdentityFile {folder}/id_ed25519\n"
        "    IdentitiesOnly yes\n"
        "    IdentityAgent none\n"
        f"    UserKnownHostsFile {folder}/known_hosts\n"
        "    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n"
        "    UpdateHostKeys no\n"
        "    CheckHostIP no\n"
        "    PreferredAuthentications publickey\n"
        # No other address leads anywhere: without this one, ssh would look for it on the networks of this machine.
        f"    ProxyCommand {command} proxy nowhere --address %h\n"
    )
    return "# Written by lab/lab up; gone with the lab.\n" + "".join(blocks) + everywhere
