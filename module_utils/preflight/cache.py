"""What was learnt from registries, kept by digest in the user's cache folder.

A file that cannot be read, written or understood counts as absent: a cache is never the reason for a failure. Files are
replaced in one step, so that two runs at a time do no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

FORMAT = 1
"""Raise it when what is kept changes its meaning; older files are then absent."""

PART_BYTES = 1 << 24
_LARGEST = 1 << 26


def cache_folder(environment: Mapping[str, str]) -> Optional[Path]:
    """Return the folder: below XDG_CACHE_HOME, which counts only when absolute (XDG base directories), else ~/.cache."""
    base, home = environment.get("XDG_CACHE_HOME", ""), environment.get("HOME", "")
    if base.startswith("/"):
        return Path(base) / "ollama-fleet"
    return Path(home) / ".cache/ollama-fleet" if home.startswith("/") else None


class Cache:
    """Three shelves: manifests by name, architectures by the digest of the file, beginnings of files not yet understood."""

    def __init__(self, folder: Optional[Path]) -> None:
        self._folder = folder

    def architecture(self, digest: str) -> Any:
        """Return the architecture (as JSON) of the file with this digest, None when it is not known."""
        kept = self._read_json("architectures", digest)
        return kept.get("architecture") if kept.get("digest") == digest else None

    def keep_architecture(self, digest: str, architecture: Any) -> None:
        """Keep it; the beginning of the file has served its purpose."""
        self._write_json("architectures", digest, {"digest": digest, "architecture": architecture})
        self._drop("beginnings", digest)

    def beginning(self, digest: str) -> bytes:
        """Return the first bytes of a file as far as an earlier run got."""
        data = self._read("beginnings", digest)
        mark, body = data[:32], data[32:]
        return body if mark == hashlib.sha256(body).digest() else b""

    def keep_beginning(self, digest: str, data: bytes) -> None:
        """Keep what came, for the next run to go on from."""
        if data and len(data) <= PART_BYTES:
            self._write("beginnings", digest, hashlib.sha256(data).digest() + data)

    def forget_beginning(self, digest: str) -> None:
        """Drop bytes that turned out to be wrong."""
        self._drop("beginnings", digest)

    def manifest(self, name: str) -> tuple[bytes, str]:
        """Return the manifest a name had when it was last asked for, and that day; empty when it never was."""
        kept = self._read_json("manifests", name)
        body, day = kept.get("body"), kept.get("day")
        if kept.get("name") != name or not isinstance(body, str) or not isinstance(day, str):
            return b"", ""
        return body.encode(), day

    def keep_manifest(self, name: str, body: bytes, day: str) -> None:
        """Keep a manifest, byte for byte."""
        with contextlib.suppress(UnicodeDecodeError):
            self._write_json("manifests", name, {"name": name, "body": body.decode("utf-8"), "day": day})

    def forget_manifest(self, name: str) -> None:
        """Drop the manifest of a name that is no longer there."""
        self._drop("manifests", name)

    def _path(self, shelf: str, key: str) -> Optional[Path]:
        if self._folder is None:
            return None
        plain = re.fullmatch(r"(?:sha256:)?([0-9a-f]{64})", key)
        return self._folder / shelf / (plain[1] if plain else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest())

    def _read(self, shelf: str, key: str) -> bytes:
        path = self._path(shelf, key)
        if path is None:
            return b""
        try:
            if path.stat().st_size > _LARGEST:
                return b""
            return path.read_bytes()
        except OSError:
            return b""

    def _read_json(self, shelf: str, key: str) -> Mapping[str, Any]:
        try:
            kept = json.loads(self._read(shelf, key) or b"{}")
        except (ValueError, RecursionError):
            return {}
        return kept if isinstance(kept, dict) and kept.get("format") == FORMAT else {}

    def _write_json(self, shelf: str, key: str, value: Mapping[str, Any]) -> None:
        self._write(shelf, key, json.dumps({"format": FORMAT, **value}, sort_keys=True).encode())

    def _write(self, shelf: str, key: str, data: bytes) -> None:
        path = self._path(shelf, key)
        if path is None:
            return
        draft = ""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
            with os.fdopen(number, "wb") as file:
                file.write(data)
            Path(draft).replace(path)
        except OSError:
            if draft:
                with contextlib.suppress(OSError):
                    Path(draft).unlink()

    def _drop(self, shelf: str, key: str) -> None:
        path = self._path(shelf, key)
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()
