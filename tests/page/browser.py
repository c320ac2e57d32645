"""A headless Chromium, and a site on this machine that notes what is asked of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=8000",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
MISSING = CHROMIUM is None and not os.environ.get("CI")
"""Whether there is none and nobody insists: CI has one."""

Done = subprocess.CompletedProcess[str]
Browse = Callable[..., tuple[Done, Sequence[str]]]


class Site(ThreadingHTTPServer):
    """Serves pages by their paths, and notes what is asked for."""

    daemon_threads = True

    def __init__(self, pages: dict[str, str]) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002  the base class names it
                return

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                site.asked.append(path)
                body = pages.get(path, "").encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(("127.0.0.1", 0), Handler)


@contextmanager
def served(pages: dict[str, str]) -> Iterator[Site]:
    """Serve pages for the length of a block."""
    made = Site(pages)
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()


def browsing(site: Site, folder: Path) -> Browse:
    """Return a function that opens an address of the site and gives the process and what was asked for."""

    def opened(address: str, *flags: str) -> tuple[Done, Sequence[str]]:
        assert CHROMIUM, "Chromium is not installed, and this is CI"
        site.asked.clear()
        profile = folder / f"profile-{len(list(folder.iterdir()))}"
        url = f"http://127.0.0.1:{site.server_address[1]}/{address}"
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        return done, list(site.asked)

    return opened


def measured(done: Done) -> dict[str, Any]:
    """Return what a frame left as the text of its body, between MEASURED and END."""
    found = re.search(r"MEASURED(.*)END", done.stdout, re.DOTALL)
    assert found, done.stdout[:500] + done.stderr[-2000:]
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    content: dict[str, Any] = json.loads(text)
    return content


def console(done: Done) -> list[str]:
    """Return what the page said on the console."""
    return [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
