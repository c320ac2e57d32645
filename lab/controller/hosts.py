"""Who is in the lab and under which addresses: the address plan, and nothing that touches the machine."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from ipaddress import IPv6Address

GIB = 1024**3

LAN4 = "192.168.1.0/24"
LAN6 = "fd00:1::/64"
TAILNET4 = "100.64.0.0/10"
TAILNET6 = "fd7a:115c:a1e0::/48"
OUTSIDE4 = "203.0.113.0/24"
OUTSIDE6 = "2001:db8:113::/64"
ROUTER_LAN4, ROUTER_LAN6 = "192.168.1.1", "fd00:1::1"
ROUTER_OUTSIDE4, ROUTER_OUTSIDE6 = "203.0.113.1", "2001:db8:113::1"
REGISTRY4 = "198.51.100.10"
REGISTRY_NAMES = ("registry.ollama.ai", "hf.co", "huggingface.co")

# macOS major -> version, build, Darwin. 15.6.1 is what the fleet runs; the others let roles meet their neighbours.
MACOS = {
    14: ("14.7.8", "23H730", "23.6.0"),
    15: ("15.6.1", "24G90", "24.6.0"),
    26: ("26.5.1", "25F80", "25.5.0"),
}


@dataclass(frozen=True)
class Host:
    """One machine of the lab. An address that is empty means: not on that network."""

    name: str
    kind: str  # desktop, laptop: a Mac; linux: anything else
    local_host_name: str
    user: str
    uid: int
    lan4: str = ""
    lan6: str = ""
    tailnet4: str = ""
    tailnet6: str = ""
    outside4: str = ""
    outside6: str = ""
    memory_gib: int = 16
    cpus: int = 10
    model: str = ""
    chip: str = ""
    in_fleet: bool = True
    extra: bool = False

    @property
    def is_mac(self) -> bool:
        """Tell a Mac from a Linux host."""
        return self.kind != "linux"

    @property
    def host_name(self) -> str:
        """Give the name the kernel knows: a Mac without a set HostName calls itself LocalHostName.local."""
        return f"{self.local_host_name}.local" if self.is_mac else self.local_host_name

    @property
    def home(self) -> str:
        """Give the login user's home folder."""
        return f"/Users/{self.user}" if self.is_mac else f"/home/{self.user}"

    @property
    def gid(self) -> int:
        """Give the login user's primary group: staff on a Mac."""
        return 20 if self.is_mac else self.uid

    @property
    def names(self) -> tuple[str, ...]:
        """List every name and address by which a client may call this host."""
        names = (self.name, self.host_name, f"{self.local_host_name}.local")
        addresses = (self.lan4, self.lan6, self.tailnet4, self.tailnet6, self.outside4, self.outside6)
        return tuple(dict.fromkeys(name for name in (*names, *addresses) if name))

    def network_of(self, address: str) -> str:
        """Tell over which network a client asks for this host: lan, tailnet, outside; empty for its name in the lab."""
        for network, addresses in (
            ("lan", (self.lan4, self.lan6)),
            ("tailnet", (self.tailnet4, self.tailnet6)),
            ("outside", (self.outside4, self.outside6)),
        ):
            if address and address in addresses:
                return network
        return "lan" if address == f"{self.local_host_name}.local" else ""


MAC_MINI = Host(
    name="mac-mini", kind="desktop", local_host_name="felipes-mac-mini", user="felipe", uid=501,
    lan4="192.168.1.20", lan6="fd00:1::20", tailnet4="100.115.10.14", tailnet6="fd7a:115c:a1e0::e",
    memory_gib=16, cpus=10, model="Mac16,10", chip="Apple M4",
)  # fmt: skip
MACBOOK_PRO = Host(
    name="macbook-pro", kind="laptop", local_host_name="felipes-macbook-pro-2", user="felipe", uid=501,
    lan4="192.168.1.21", lan6="fd00:1::21", tailnet4="100.125.165.107", tailnet6="fd7a:115c:a1e0::6b",
    memory_gib=48, cpus=14, model="Mac16,8", chip="Apple M4 Pro",
)  # fmt: skip
WINDOWS_MSI = Host(
    name="windows-msi", kind="linux", local_host_name="windows-msi", user="felipe", uid=1000,
    lan4="192.168.1.30", lan6="fd00:1::30", tailnet4="100.101.102.103", tailnet6="fd7a:115c:a1e0::67",
)  # fmt: skip
OUTSIDER = Host(
    name="outsider", kind="linux", local_host_name="outsider", user="guest", uid=1000,
    outside4="203.0.113.66", outside6="2001:db8:113::66", in_fleet=False,
)  # fmt: skip
FIRST_EXTRA = 3
MOST_EXTRA = 200


def extra_mac(number: int) -> Host:
    """Give the Mac mac-NN, NN counted from 03: a 16 GB desktop behind the two that the fleet names."""
    offset = number - FIRST_EXTRA
    lan6 = str(IPv6Address("fd00:1::1:0") + number)
    return Host(
        name=f"mac-{number:02}", kind="desktop", local_host_name=f"mac-{number:02}", user="felipe", uid=501,
        lan4=f"192.168.1.{40 + offset}", lan6=lan6,
        tailnet4=f"100.116.0.{number}", tailnet6=f"fd7a:115c:a1e0::1:{number:x}",
        memory_gib=16, cpus=10, model="Mac16,10", chip="Apple M4", extra=True,
    )  # fmt: skip


def fleet(extra_macs: int = 0) -> tuple[Host, ...]:
    """List the lab's hosts: the fleet of three, an outsider, and as many further Macs as asked for."""
    if not 0 <= extra_macs <= MOST_EXTRA:
        raise ValueError(f"{extra_macs} extra Macs: the lab's LAN has addresses for 0 to {MOST_EXTRA}.")
    extras = tuple(extra_mac(number) for number in range(FIRST_EXTRA, FIRST_EXTRA + extra_macs))
    return (MAC_MINI, MACBOOK_PRO, WINDOWS_MSI, OUTSIDER, *extras)


def machine_json(host: Host, macos: int, ollama_payload: str) -> str:
    """Write a Mac's identity, which the stand-ins read and nothing inside the Mac can change."""
    version, build, darwin = MACOS[macos]
    identity = {
        "name": host.name,
        "kind": host.kind,
        "os_version": version,
        "build": build,
        "darwin": darwin,
        "memory_bytes": host.memory_gib * GIB,
        "cpus": host.cpus,
        "model": host.model,
        "chip": host.chip,
        "local_host_name": host.local_host_name,
        "user": host.user,
        "uid": host.uid,
        "tailscale_ipv4": host.tailnet4,
        "tailscale_ipv6": host.tailnet6,
        "lan_ipv4": host.lan4,
        "prefix": "/opt/homebrew",
        "scale": 1,
    }
    if ollama_payload:
        identity["ollama_payload"] = ollama_payload
    return json.dumps(identity, indent=1, sort_keys=True) + "\n"


def etc_hosts(host: Host, everyone: tuple[Host, ...]) -> str:
    """Write /etc/hosts, which stands for mDNS on the LAN: both address families, as a Mac announces them."""
    lines = [f"127.0.0.1 localhost {host.host_name}" if not host.is_mac else "127.0.0.1 localhost"]
    lines += ["255.255.255.255 broadcasthost", "::1 localhost"]
    for other in everyone:
        if not (host.lan4 and other.lan4):
            continue
        names = " ".join(dict.fromkeys((f"{other.local_host_name}.local", other.host_name)))
        lines += [f"{address} {names}" for address in (other.lan4, other.lan6)]
    if not host.lan4:
        lines.append(f"{host.outside4} {host.host_name}")
    lines.append(f"{REGISTRY4} {' '.join(REGISTRY_NAMES)}")
    return "\n".join(lines) + "\n"


def mac_address(host: str, network: str) -> str:
    """Derive a stable hardware address, so that a host keeps it over a reboot."""
    number = zlib.crc32(f"{host}/{network}".encode())
    return "02:1a:" + ":".join(f"{number >> shift & 0xFF:02x}" for shift in (24, 16, 8, 0))
