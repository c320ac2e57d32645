"""The process's own name: `ollama` or `llama-server` in process lists, not the interpreter's."""

from __future__ import annotations

from pathlib import Path


def set_name(name: str) -> None:
    """Set the name that ps, pgrep and lsof show."""
    comm = Path("/proc/self/comm")
    if comm.exists():
        comm.write_text(name, encoding="ascii")
