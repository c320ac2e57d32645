"""What can be made to go wrong with the registry."""

from __future__ import annotations

FAULTS: dict[str, str] = {
    "rate": "bytes a second of all transfers together (default 4e9: gpt-oss:20b takes about 3.5 s)",
    "slow": "as rate, and stronger than it: a thin line, in bytes a second (true: 1e6)",
    "down": "nothing listens: connections are refused, those under way are reset",
    "status": "every request is answered with this HTTP status (true: 503)",
    "not-found": "true, or a name or list of names (`qwen3:8b`) that the registry does not know",
    "corrupt": "true, or a name or digest: the first byte of that model's weights is wrong",
    "cut": "the connection breaks after so many bytes of a range (true: 1e6)",
    "tag-moved": "true, or a name or list of names whose tag now points at a new manifest (same weights)",
    "token": "requests without a bearer token are answered 401 with a challenge",
}
