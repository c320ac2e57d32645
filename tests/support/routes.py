"""The routes of the owner's fleet: what each machine's program asks, in the shape that the failover proof reads."""

from __future__ import annotations

from typing import Any

SONNET, OPUS = "anthropic/claude-sonnet-4-6", "anthropic/claude-opus-4-6"
SEEN_FROM = {
    "mac-mini": {"mac-mini": ("own", "http://localhost:11434"), "macbook-pro": ("tailnet", "http://100.125.165.107:11434")},
    "macbook-pro": {"mac-mini": ("tailnet", "http://100.115.10.14:11434"), "macbook-pro": ("own", "http://localhost:11434")},
    "windows-msi": {
        "mac-mini": ("tailnet", "http://100.115.10.14:11434"),
        "macbook-pro": ("tailnet", "http://100.125.165.107:11434"),
    },
}
PROVIDERS = {"mac-mini": "ollama", "macbook-pro": "ollama-macbook"}
QWEN, OTHER_QWEN = ("mac-mini", "qwen3:8b"), ("macbook-pro", "qwen3:8b")
DEVSTRAL, GPT = ("macbook-pro", "devstral-small-2:24b"), ("macbook-pro", "gpt-oss:20b")
SMALL_FIRST = [QWEN, OTHER_QWEN, DEVSTRAL, GPT, SONNET, OPUS]

CHAINS: dict[str, dict[str, list[Any]]] = {
    "mac-mini": {"main": SMALL_FIRST, "subagents": SMALL_FIRST, "heartbeat": [QWEN]},
    "macbook-pro": {
        "main": [OPUS, SONNET, DEVSTRAL, GPT, OTHER_QWEN],
        "subagents": [OTHER_QWEN, QWEN, DEVSTRAL, GPT, SONNET, OPUS],
        "heartbeat": [QWEN],
    },
    "windows-msi": {"main": SMALL_FIRST, "subagents": SMALL_FIRST, "heartbeat": [QWEN]},
}


def hop(client: str, place: Any) -> dict[str, Any]:
    """Return one hop as a route has it: a server and its model, or the name of an external one."""
    if isinstance(place, str):
        provider, _, model = place.partition("/")
        return {"ref": place, "provider": provider, "model": model, "external": True}
    host, model = place
    network, url = SEEN_FROM[client][host]
    provider = PROVIDERS[host]
    return {
        "ref": f"{provider}/{model}", "provider": provider, "host": host, "model": model, "url": url, "network": network,
        "external": False,
    }  # fmt: skip


def route(client: str, program: str = "openclaw", timeout_seconds: int = 180, **chains: list[Any]) -> dict[str, Any]:
    """Return the route of one client's program; the owner's chains unless others are given."""
    return {
        "client": client,
        "program": program,
        "providers": [
            {
                "id": PROVIDERS[host],
                "host": host,
                "network": network,
                "url": url,
                "timeout_seconds": timeout_seconds,
                "models": [],
            }
            for host, (network, url) in SEEN_FROM[client].items()
        ],
        "chains": {purpose: [hop(client, place) for place in places] for purpose, places in (chains or CHAINS[client]).items()},
    }


def fleet(program: str = "openclaw") -> list[dict[str, Any]]:
    """Return the routes of all three machines."""
    return [route(client, program) for client in CHAINS]
