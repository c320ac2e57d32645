"""What can be made to go wrong with Ollama inside a virtual Mac."""

from __future__ import annotations

FAULTS: dict[str, str] = {
    "ollama-start-delay": "seconds between the bound port and the first HTTP answer of `ollama serve`",
    "ollama-exits": "`ollama serve` ends with status 1 at once, after a line on stderr",
    "ollama-hang": "the server accepts connections and never answers",
    "ollama-load-fails": "every cheap request works, every load is a 500: a bottle without llama-server",
    "ollama-load-delay": "seconds a model takes to load",
    "ollama-token-milliseconds": "what one token takes by the durations of an answer (default 20); a prompt's takes a tenth",
    "ollama-tools-as-text": "a model (on: every one) writes its calls of tools as JSON into the text instead of calling",
    "ollama-unload-lag": "seconds a model that is being unloaded stays in /api/ps",
    "ollama-disk-full": "true, or the bytes still free on the models' volume: writes beyond them are ENOSPC",
}
