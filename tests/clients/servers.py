"""The fleet's Ollama servers for a client's world: the lab's stand-in at the fleet's own addresses, in trouble or not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.clients.programs import HOSTS, ROOT
from tests.clients.world import Server
from tests.lab.ollama_support import Mac, running_registry, serving

MODELS = ("qwen3:8b", "devstral-small-2:24b", "gpt-oss:20b")
MEMORY_GIB = {"mac-mini": 16, "macbook-pro": 48}
LAN = {"mac-mini": "192.168.1.20", "macbook-pro": "192.168.1.21"}
"""As in the lab."""
STATES = {
    "well": "answers",
    "refused": "nobody listens at its port",
    "asleep": "its address leaves a SYN unanswered",
    "failing": "HTTP 500: a load ends with `llama-server process has terminated`",
    "missing": "HTTP 404: the model is not there",
    "silent": "accepts the connection and never answers",
}
_CHAT = re.compile(r'\| (\d{3}) \|.* POST +"(?:/api/chat|/v1/chat/completions)"')


def variables(host: str) -> dict[str, str]:
    """Read who a machine is."""
    found: dict[str, str] = yaml.safe_load((ROOT / "host_vars" / host / "fleet.yml").read_text(encoding="utf-8"))
    return found


def names() -> dict[str, str]:
    """Give the address of each `.local` name."""
    return {variables(host)["fleet_local_name"]: address for host, address in LAN.items()}


def address(where: str) -> str:
    """Give the address a client reaches by a name or address."""
    return {"localhost": "127.0.0.1", **names()}.get(where, where)


def machine(client: str, where: str) -> str:
    """Tell which machine a client means by a name or address."""
    known = {variables(host)["fleet_tailnet_ip"]: host for host in HOSTS}
    known |= {place: host for host, place in LAN.items()} | {"127.0.0.1": client}
    return known[address(where)]


class Store:
    """The stand-in, installed once with all models, and the servers made of it."""

    def __init__(self, folder: Path) -> None:
        self.mac = Mac(folder / "mac")
        self.empty = folder / "empty"
        self.empty.mkdir()
        with running_registry(folder / "registry") as registry, serving(self.mac) as server:
            for model in MODELS:
                server.install(registry, model)

    def server(self, host: str, place: str, state: str, folder: Path) -> tuple[Server, dict[str, str]]:
        """Give a server and its files, which stand below the world's folder."""
        root = folder / host
        below = f"{host}/var/db/virtual-mac"
        identity = {"name": host, "memory_bytes": MEMORY_GIB[host] << 30}
        files = {f"{below}/machine.json": json.dumps(identity), f"{below}/usage/.keep": "", f"{host}/home/.keep": ""}
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(root / "home"),
            "TZ": "UTC",
            "VIRTUAL_MAC_ROOT": str(root),
            "OLLAMA_HOST": f"{place}:11434",
            "OLLAMA_CONTEXT_LENGTH": "32768",
            "OLLAMA_MODELS": str(self.mac.models if state != "missing" else self.empty),
        }
        if state == "failing":
            # llama-server refuses this pair and ends; Ollama tells so with a 500 (0.32.15).
            environment |= {"OLLAMA_FLASH_ATTENTION": "0", "OLLAMA_KV_CACHE_TYPE": "q8_0"}
        if state == "silent":
            files[f"{below}/faults.json"] = json.dumps({"ollama-hang": True})
        ready = "" if state == "silent" else f"http://{place}:11434/api/version"
        return Server(host, [str(self.mac.program), "serve"], environment, ready), files


def answers(log: str) -> list[int]:
    """List the statuses a server gave to chat requests."""
    return [int(status) for status in _CHAT.findall(log)]


def environment_file(text: str) -> dict[str, str]:
    """Read NAME=VALUE lines."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
