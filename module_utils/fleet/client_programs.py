"""The programs that ask the servers: which files they read, which chains they take, and after what they go on to the next hop.

One program more is one row here and one template in roles/clients/templates. Versions that the rows were seen on: Clawdbot
2026.1.24-3, OpenClaw 2026.9.6, LiteLLM 1.106.2, opencode 1.18.33.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

PURPOSES = ("main", "subagents", "heartbeat", "coding")
"""What a chain can be for."""

AGENT_PURPOSES = ("main", "subagents", "coding")
"""Those for which a program lets the model call tools; a heartbeat is a sentence."""

FAILURES = (
    "refused",
    "unresolved",
    "reset",
    "no_route",
    "timed_out",
    "hung",
    "http_401",
    "http_404",
    "http_429",
    "http_500",
    "broken",
)
"""How a hop can fail: the words of `fleet_reach`, the status of an HTTP answer, and `hung` for a server that takes the connection
and stays silent."""


@dataclass(frozen=True)
class ManagedFile:
    """A file of a program, below the home folder of whoever runs it.

    `format` is `json` (merged into what is there, JSON5 is read) or `text` (the whole file is ours). `include` lists the parts
    that may stand in a file of their own; `check` is the command that the program itself has for a candidate.
    """

    path: str
    template: str
    format: str = "json"
    include: tuple[Mapping[str, Any], ...] = ()
    check: Optional[Mapping[str, Any]] = None


@dataclass(frozen=True)
class Program:
    """What is known of a program.

    `purposes` are the chains that it can be told, `chained` those of which it takes more than the first hop. `gives_up_on` are
    failures after which it does not go on to the next hop. `least_context` is the smallest context it works with; `sends_context`
    tells that it asks for one itself (`num_ctx`). `has_timeout` tells that a server's silence can be bounded. `markers` are keys
    that it takes for a sign of its own where the server is not local. `externals` tells that it can ask others than our servers.
    """

    title: str
    purposes: tuple[str, ...]
    chained: tuple[str, ...]
    files: tuple[ManagedFile, ...]
    least_context: int = 0
    sends_context: bool = False
    has_timeout: bool = False
    markers: tuple[str, ...] = ()
    externals: bool = True
    gives_up_on: frozenset[str] = field(default_factory=frozenset)
    instead: str = ""


_INCLUDES: tuple[Mapping[str, Any], ...] = (
    {"at": ["models", "providers", "*"], "file": "fleet/{0}.json"},
    {"at": ["agents", "defaults", "model"], "file": "fleet/chain.json"},
    {"at": ["agents", "defaults", "subagents", "model"], "file": "fleet/subagents.json"},
    {"at": ["agents", "defaults", "models"], "file": "fleet/models.json"},
)
"""A layout that both generations accept (tried with both): what a wizard of the program changes then shows in our own files."""

PROGRAMS: Mapping[str, Program] = {
    "openclaw": Program(
        "OpenClaw",
        purposes=("main", "subagents", "heartbeat"),
        chained=("main", "subagents"),
        # It refuses less than 4000, but a bare question with its tools is some 10,300 tokens, and num_ctx of the model's params
        # goes out with every request.
        least_context=16000,
        sends_context=True,
        has_timeout=True,
        # Honoured for loopback, RFC 1918, .local and bare names only (isLocalOllamaBaseUrl); elsewhere the candidate dies with
        # "No API key found", and `config validate` does not notice.
        markers=("ollama-local",),
        files=(
            ManagedFile(
                ".openclaw/openclaw.json",
                "openclaw.yml.j2",
                include=_INCLUDES,
                check={
                    "command": ["openclaw", "config", "validate", "--json"],
                    "path_variable": "OPENCLAW_CONFIG_PATH",
                },
            ),
            # Not a key of openclaw.json. Without it a refused connection is retried for 86 s before the next hop is asked.
            ManagedFile(".openclaw/agents/main/agent/settings.json", "openclaw_settings.yml.j2"),
        ),
    ),
    "clawdbot": Program(
        "Clawdbot 2026.1",
        purposes=("main", "subagents", "heartbeat"),
        # Of subagents.model only the primary is read; the child then goes on with the main chain.
        chained=("main",),
        least_context=16000,
        gives_up_on=frozenset({"refused", "unresolved", "reset", "no_route", "http_404", "http_500", "broken"}),
        instead="OpenClaw goes on, and so does a LiteLLM proxy in front of it",
        files=(
            ManagedFile(
                ".clawdbot/clawdbot.json",
                "clawdbot.yml.j2",
                include=_INCLUDES,
                # There is no validate command; every `config get` reads the whole file first.
                check={
                    "command": ["clawdbot", "config", "get", "models.providers", "--json"],
                    "path_variable": "CLAWDBOT_CONFIG_PATH",
                },
            ),
        ),
    ),
    "litellm": Program(
        "LiteLLM",
        purposes=PURPOSES,
        chained=PURPOSES,
        has_timeout=True,
        files=(ManagedFile(".config/ollama-fleet/litellm.yaml", "litellm.yaml.j2", format="text"),),
    ),
    "opencode": Program(
        "opencode",
        purposes=("main", "coding", "heartbeat"),
        chained=(),
        gives_up_on=frozenset(FAILURES),
        instead="a LiteLLM proxy in front of it goes on",
        files=(
            ManagedFile(
                ".config/opencode/opencode.json",
                "opencode.yml.j2",
                check={"command": ["opencode", "debug", "config"], "path_variable": "OPENCODE_CONFIG"},
            ),
        ),
    ),
    "openai_env": Program(
        "the environment file",
        purposes=("main",),
        chained=(),
        externals=False,
        gives_up_on=frozenset(FAILURES),
        instead="a LiteLLM proxy in front of it goes on",
        files=(ManagedFile(".config/ollama-fleet/openai.env", "openai.env.j2", format="text"),),
    ),
}


def text_of(content: Any) -> str:
    """Return a file that holds nothing but what is ours: JSON with sorted keys for a mapping, a text as it is."""
    return content if isinstance(content, str) else json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def managed_files(
    rows: Iterable[Mapping[str, Any]], contents: Mapping[str, Any], home: str, *, modes: bool = True, included: bool = False
) -> list[dict[str, Any]]:
    """Return what `client_files` is told.

    `rows` are files as `ManagedFile` has them, with `program`; `contents` has a mapping or a text for the path of each. Without
    `modes` nothing is said about them, since a Windows drive keeps none.
    """
    return [
        {
            "program": row["program"],
            "path": f"{home}/{row['path']}",
            "format": row["format"],
            "managed": contents[row["path"]],
            "mode": "0600" if modes else "",
            "folder_mode": "0700" if modes else "",
            "include": list(row["include"]) if included else [],
            **({"validate": dict(row["check"])} if row["check"] else {}),
        }
        for row in rows
    ]
