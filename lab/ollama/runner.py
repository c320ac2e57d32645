"""The `llama-server` beside Ollama: one process per loaded model, which answers /health and waits.

It refuses what the real one (llama.cpp b10488) refuses: an unknown cache type, a quantised V cache without flash
attention, a model file cut short.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

from ollama import gguf, memory
from ollama.process import set_name

HEALTHY = b'{"status":"ok"}'
LOADING = b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}'


def options(argv: list[str]) -> dict[str, str]:
    """Read `--name value` and `-n value`; flags without a value are empty."""
    found: dict[str, str] = {}
    for index, word in enumerate(argv):
        if word.startswith("-") and not word[1:2].isdigit():
            following = argv[index + 1] if index + 1 < len(argv) else "-"
            found[word] = "" if following.startswith("-") else following
    return found


def refusal(given: dict[str, str]) -> str:
    """Say why these arguments cannot work; empty when they can."""
    kind = given.get("--cache-type-v", "f16")
    if kind not in memory.KV_TYPES:
        return "error: Unsupported cache type: " + kind
    if memory.KV_TYPES[kind] < 2 and given.get("--flash-attn") == "off":
        return "llama_init_from_model: quantized V cache requires flash_attn to be enabled"
    return ""


def main(argv: list[str]) -> int:
    """Be a llama-server until killed."""
    set_name("llama-server")
    given = options(argv)
    problem = refusal(given)
    if problem:
        print(problem, file=sys.stderr, flush=True)
        return 1
    ready = time.monotonic() + float(given.get("--load-delay") or 0)
    gguf.read(Path(given["--model"]))
    with socket.create_server((given["--host"], int(given["--port"]))) as listener:
        print("main: server is listening on http://{}:{}".format(given["--host"], given["--port"]), flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(1)
                try:
                    connection.recv(4096)
                    up = time.monotonic() >= ready
                    body = HEALTHY if up else LOADING
                    status = "200 OK" if up else "503 Service Unavailable"
                    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                    connection.sendall(head.encode("ascii") + body)
                except OSError:
                    continue
