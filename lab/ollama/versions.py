"""What changed between Ollama's releases, as far as a client or an operator notices."""

from __future__ import annotations

import re


def key(version: str) -> tuple[int, ...]:
    """Give a version as numbers to compare: 0.30.0 from `0.30.0-rc1_1`."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else (0,)


class Release:
    """The traits of one release."""

    def __init__(self, version: str) -> None:
        self.version = version.partition("_")[0]  # Homebrew's revision is no part of Ollama's own version
        number = key(version)
        self.llama_server = number >= (0, 30)  # commit 9db4bdbad: one llama-server process per model
        self.tags_capabilities = number >= (0, 30)  # commit 4b2d52996
        self.kv_type_checked = number < (0, 30)  # older: a wrong OLLAMA_KV_CACHE_TYPE is f16 with a warning
        self.ps_context = number >= (0, 10)
        self.vram_tiers = number >= (0, 15, 5)
        self.default_context = 2048 if number <= (0, 6, 6) else 4096
        self.prune_grace = 3600 if number >= (0, 21) else 0  # commit 2bb7ea00d
        # Homebrew's bottles 0.30.0 to 0.30.4 lacked llama-server (ollama #16430, #16535, #16417).
        self.broken_bottle = (0, 30) <= number <= (0, 30, 4)
