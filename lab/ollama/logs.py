"""The server's log on stderr, in the forms of Go's slog, of its older log package and of GIN."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from ollama import golang

_lock = threading.Lock()
DEBUG = False


def _value(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    plain = text and all(char.isprintable() and char not in ' ="' for char in text)
    return text if plain else golang.quote(text)


def write(text: str) -> None:
    """Write to stderr in one piece; a log that is gone must not end the server."""
    with _lock:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            return


def line(level: str, source: str, message: str, **fields: Any) -> None:
    """Write a line as slog's text handler does: time=... level=... source=... msg=... key=value."""
    now = time.time_ns()
    stamp = golang.rfc3339(now // 10**9 * 10**9)
    cut = 19  # 2026-11-22T16:24:22
    stamp = f"{stamp[:cut]}.{now // 10**6 % 1000:03d}{stamp[cut:]}"
    rest = "".join(f" {key}={_value(value)}" for key, value in fields.items())
    write(f"time={stamp} level={level} source={source} msg={_value(message)}{rest}\n")


def info(source: str, message: str, **fields: Any) -> None:
    """Log at INFO."""
    line("INFO", source, message, **fields)


def warn(source: str, message: str, **fields: Any) -> None:
    """Log at WARN."""
    line("WARN", source, message, **fields)


def error(source: str, message: str, **fields: Any) -> None:
    """Log at ERROR."""
    line("ERROR", source, message, **fields)


def debug(source: str, message: str, **fields: Any) -> None:
    """Log at DEBUG, when OLLAMA_DEBUG asks for it."""
    if DEBUG:
        line("DEBUG", source, message, **fields)


def early_warn(source: str, message: str, **fields: Any) -> None:
    """Warn in the form used before the server sets up its log: 2026/11/22 16:24:22 config.go:263: WARN ..."""
    rest = "".join(f" {key}={_value(value)}" for key, value in fields.items())
    write(f"{time.strftime('%Y/%m/%d %H:%M:%S')} {source}: WARN {message}{rest}\n")


def access(status: int, nanoseconds: int, client: str, method: str, path: str) -> None:
    """Write GIN's access line."""
    stamp = time.strftime("%Y/%m/%d - %H:%M:%S")
    took = golang.format_duration(nanoseconds)
    write(f"[GIN] {stamp} | {status:3d} | {took:>13} | {client:>15} | {method:<7}  {golang.quote(path)}\n")
