"""How launchctl and launchd talk: one line of JSON each way over launchd's socket.

Nothing heavy is imported here, because every launchctl pays for it.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from mac import machine

SOCKET = "/var/run/launchd.sock"
LONGEST = 1 << 20


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """Send launchd a request and wait for its answer, as long as it takes; OSError if nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(str(machine.path(SOCKET)))
        line.sendall(json.dumps(request).encode("utf-8") + b"\n")
        parts = []
        while True:
            part = line.recv(65536)
            if not part:
                break
            parts.append(part)
    if not parts:
        raise ConnectionError("launchd closed the connection")
    answer: dict[str, Any] = json.loads(b"".join(parts))
    return answer
