"""Pulls: manifest, blobs in parts, verification, manifest written (server/images.go, server/download.go)."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional
from urllib.parse import urlencode, urlsplit

from ollama import golang, logs, sparse
from ollama.names import Name
from ollama.store import MANIFEST_TYPE, Layer, Manifest, Store, parse_manifest
from ollama.transport import Client, Failure, Response

TICK = 0.06  # a progress line per 60 ms (server/download.go `Wait`)
PARTS = 16
SMALLEST_PART = 100_000_000
LARGEST_PART = 1_000_000_000
TRIES = 6
STALL = 30.0  # a part without a byte for so long starts again and does not count as a try
_CHUNK = 1 << 20

Progress = Callable[[dict[str, Any]], None]
Cancelled = Callable[[], bool]


class PullError(Exception):
    """The pull failed; the text goes to the client."""


class Canceled(PullError):
    """Nobody waits for the pull any more."""

    def __init__(self) -> None:
        super().__init__("context canceled")


def manifest_url(name: Name, insecure: bool) -> str:
    """Give a manifest's address; `insecure` chooses http for a name without a scheme."""
    scheme = "http" if insecure and name.scheme != "http" else name.scheme
    return f"{scheme}://{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"


def blob_url(name: Name, insecure: bool, digest: str) -> str:
    """Give a blob's address."""
    return manifest_url(name, insecure).rsplit("/manifests/", 1)[0] + "/blobs/" + digest


def split(total: int) -> list[tuple[int, int]]:
    """Cut a blob into parts: up to sixteen, each of 100 MB to 1000 MB, as (offset, size)."""
    size = min(max(total // PARTS, SMALLEST_PART), LARGEST_PART)
    return [(offset, min(size, total - offset)) for offset in range(0, total, size)]


class Part:
    """One stretch of a blob under way; its state is a JSON file beside the partial one."""

    def __init__(self, file: Path, number: int, offset: int, size: int, completed: int = 0) -> None:
        self.file = file
        self.number = number
        self.offset = offset
        self.size = size
        self.completed = completed

    @classmethod
    def load(cls, file: Path) -> Part:
        """Read a part's state; an empty file is an EOF, as after a full disk (ollama #1731)."""
        text = file.read_text(encoding="utf-8")
        if not text.strip():
            raise PullError("EOF")
        state = golang.loads(text)
        return cls(file, state["N"], state["Offset"], state["Size"], state["Completed"])

    def save(self) -> None:
        """Write the part's state, in Go's key order."""
        state = {"N": self.number, "Offset": self.offset, "Size": self.size, "Completed": self.completed}
        self.file.write_text(golang.dumps(state), encoding="utf-8")


class Registry:
    """Talks to one registry on behalf of a pull."""

    def __init__(self, client: Client, key: Path) -> None:
        self.client = client
        self.key = key
        self.token = ""

    def request(self, method: str, url: str, headers: Optional[Mapping[str, str]] = None) -> Response:
        """Ask; a 401 leads to the token endpoint once, a 404 is `file does not exist`."""
        for attempt in range(2):
            sent = dict(headers or {})
            if self.token:
                sent["Authorization"] = "Bearer " + self.token
            answer = self.client.request(method, url, sent)
            if answer.status == 401 and attempt == 0:
                answer.close()
                self.token = self._authorize(url, answer.headers.get("www-authenticate", ""))
                continue
            if answer.status == 404:
                answer.close()
                raise PullError("file does not exist")
            if answer.status >= 400:
                text = answer.body().decode("utf-8", "replace")
                raise PullError(f"{answer.status}: {text}")
            return answer
        raise PullError("401: unauthorized")

    def _authorize(self, url: str, challenge: str) -> str:
        """Fetch a token; since 0.14.3 the realm must be on the registry's own host (CVE-2025-51471).

        Ollama signs the request with its key. Here only the public half is sent: the standard library has no
        ed25519, and the lab's registry accepts any.
        """
        words = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = words.get("realm", "")
        if urlsplit(realm).hostname != urlsplit(url).hostname:
            raise PullError(f"realm host {golang.quote(realm)} does not match original host")
        query = urlencode(
            {
                "service": words.get("service", ""),
                "scope": words.get("scope", ""),
                "ts": str(int(time.time())),
                "nonce": os.urandom(16).hex(),
            }
        )
        public = self.key.with_suffix(".pub").read_text(encoding="utf-8").split()[1]
        answer = self.client.request("GET", realm + "?" + query, {"Authorization": public + ":unsigned"})
        if answer.status >= 400:
            raise PullError(f"{answer.status}: {answer.body().decode('utf-8', 'replace')}")
        return str(json.loads(answer.body()).get("token", ""))


class Download:
    """One blob under way, shared by all pulls that want it."""

    def __init__(self, store: Store, digest: str, disk_full: Callable[[], Optional[int]]) -> None:
        self.digest = digest
        self.place = store.blob(digest)
        self.partial = self.place.with_name(self.place.name + "-partial")
        self.total = 0
        self.completed = 0
        self.fingerprint = ""
        self.error: Optional[Exception] = None
        self.parts: list[Part] = []
        self.done = threading.Event()
        self.cancel = threading.Event()
        self.waiting = 0
        self._lock = threading.Lock()
        self._disk_full = disk_full
        self._open: set[Response] = set()

    def prepare(self, registry: Registry, url: str) -> None:
        """Find the parts of an earlier try, or ask for the length and make new ones."""
        files = [file for file in self.place.parent.glob(self.partial.name + "-*") if file.name.rpartition("-")[2].isdigit()]
        self.parts = sorted((Part.load(file) for file in files), key=lambda part: part.number)
        head = registry.request("HEAD", url)
        head.close()
        self.fingerprint = head.headers.get(sparse.FINGERPRINT, "")
        if not self.parts:
            for number, (offset, size) in enumerate(split(int(head.headers.get("Content-Length") or 0))):
                part = Part(self.place.with_name(f"{self.partial.name}-{number}"), number, offset, size)
                part.save()
                self.parts.append(part)
        self.total = sum(part.size for part in self.parts)
        self.completed = sum(part.completed for part in self.parts)
        if self.parts:
            short, each = self.digest[7:19], golang.human_bytes(self.parts[0].size)
            logs.info("download.go:183", f"downloading {short} in {len(self.parts)} {each} part(s)")

    def run(self, registry: Registry, url: str) -> None:
        """Fetch all parts and put the blob in its place."""
        try:
            with self.partial.open("ab"):
                os.truncate(self.partial, self.total)
            answer = registry.request("GET", url)
            answer.close()
            if answer.status not in (200, 307):
                raise PullError(f"unexpected status code {answer.status}")
            direct = answer.location()
            todo = [part for part in self.parts if part.completed < part.size]
            threads = [threading.Thread(target=self._part, args=(registry.client, direct, part), daemon=True) for part in todo]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if self.error is None and not self.cancel.is_set():
                for part in self.parts:
                    part.file.unlink()
                self.partial.rename(self.place)
        except (OSError, PullError, Failure) as error:
            self.error = self.error or error
        if self.cancel.is_set() and self.error is None:
            self.error = Canceled()

    def stop(self) -> None:
        """Break off: the parts save how far they came."""
        self.cancel.set()
        with self._lock:
            for answer in self._open:
                answer.close()

    def _part(self, client: Client, url: str, part: Part) -> None:
        attempt = 0
        while not self.cancel.is_set():
            try:
                self._chunk(client, url, part)
                return
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self._fail(OSError(f"write {self.partial}: no space left on device"))
                    return
                reason: Exception = error
                if isinstance(error, TimeoutError) or str(error) == "timed out":
                    logs.info("download.go:441", f"{self.digest[7:19]} part {part.number} stalled; retrying.")
                    continue
            except (Failure, EOFError) as error:
                reason = error
            finally:
                part.save()
            pause = 2**attempt
            text = "%s part %d attempt %d failed: %s, retrying in %ds"
            logs.info("download.go:361", text % (self.digest[7:19], part.number, attempt, reason, pause))
            attempt += 1
            if attempt == TRIES:
                self._fail(PullError(f"max retries exceeded: {reason}"))
                return
            self.cancel.wait(pause)

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error
        self.stop()

    def _chunk(self, client: Client, url: str, part: Part) -> None:
        """Fetch what is missing of a part; progress is kept whatever happens."""
        begin = part.offset + part.completed
        wanted = part.size - part.completed
        headers = {
            "Range": f"bytes={begin}-{part.offset + part.size - 1}",
            "Accept-Encoding": sparse.ENCODING,
        }
        answer = client.request("GET", url, headers, timeout=STALL)
        with self._lock:
            self._open.add(answer)
        try:
            with self.partial.open("r+b") as out:
                out.seek(begin)
                try:
                    if answer.headers.get("Content-Encoding") == sparse.ENCODING:
                        wanted = self._frames(answer, out, part, wanted)
                    else:
                        wanted = self._plain(answer, out, part, wanted)
                except (ValueError, AttributeError) as error:  # the response was closed by stop()
                    raise EOFError("unexpected EOF") from error
            if wanted and not self.cancel.is_set():
                raise EOFError("unexpected EOF")
        finally:
            with self._lock:
                self._open.discard(answer)
            answer.close()

    def _count(self, part: Part, length: int) -> None:
        limit = self._disk_full()
        with self._lock:
            if limit is not None and self.completed + length > limit:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            part.completed += length
            self.completed += length

    def _plain(self, answer: Response, out: Any, part: Part, wanted: int) -> int:
        while wanted and not self.cancel.is_set():
            data = answer.raw.read1(min(_CHUNK, wanted))
            if not data:
                break
            self._count(part, len(data))
            out.write(data)
            wanted -= len(data)
        return wanted

    def _frames(self, answer: Response, out: Any, part: Part, wanted: int) -> int:
        for is_data, length in sparse.read_frames(answer.raw):
            length = min(length, wanted)
            if is_data:
                wanted -= length - self._plain(answer, out, part, length)
            else:
                self._count(part, length)
                out.seek(length, os.SEEK_CUR)
                wanted -= length
            if not wanted or self.cancel.is_set():
                break
        return wanted


class Puller:
    """Does the pulls of one server."""

    def __init__(self, store: Store, client: Client, key: Path, *, prune: bool, disk_full: Callable[[], Optional[int]]) -> None:
        self.store = store
        self.client = client
        self.key = key
        self.prune = prune
        self.disk_full = disk_full
        self._lock = threading.Lock()
        self._running: dict[str, Download] = {}

    def stop(self) -> None:
        """Break off everything, at the server's end."""
        with self._lock:
            for download in self._running.values():
                download.stop()

    def pull(self, name: Name, *, insecure: bool, progress: Progress, cancelled: Cancelled) -> None:
        """Pull a model; a PullError's text is what the client is told."""
        try:
            self._pull(name, insecure, progress, cancelled)
        except (OSError, Failure, ValueError) as error:
            raise PullError(str(error)) from error

    def fetch_manifest(self, registry: Registry, name: Name, insecure: bool) -> tuple[bytes, Manifest]:
        """Fetch a manifest's bytes."""
        try:
            url = manifest_url(name, insecure)
            data = registry.request("GET", url, {"Accept": MANIFEST_TYPE}).body()
            return data, parse_manifest(name, data, 0)
        except (PullError, Failure, ValueError, OSError) as error:
            raise PullError(f"pull model manifest: {error}") from error

    def _pull(self, name: Name, insecure: bool, progress: Progress, cancelled: Cancelled) -> None:
        unused: set[str] = set()
        try:
            unused = {layer.digest for layer in self.store.read_manifest(name).everything}
        except FileNotFoundError:
            pass
        except ValueError as error:
            message = "pulling model with bad existing manifest"
            logs.warn("images.go:1012", message, name=name.short, error=error)
        progress({"status": "pulling manifest"})
        registry = Registry(self.client, self.key)
        data, manifest = self.fetch_manifest(registry, name, insecure)
        fresh: dict[str, str] = {}
        for layer in manifest.everything:
            fingerprint = self._blob(registry, name, insecure, layer, progress, cancelled)
            if fingerprint is not None:
                fresh[layer.digest] = fingerprint
        progress({"status": "verifying sha256 digest"})
        for digest, fingerprint in fresh.items():
            self._verify(digest, fingerprint)
        progress({"status": "writing manifest"})
        self.store.write_manifest(name, data)
        unused -= {layer.digest for layer in manifest.everything}
        if self.prune and unused:
            progress({"status": "removing unused layers"})
            self.store.delete_unused(unused)
        progress({"status": "success"})

    def _blob(
        self,
        registry: Registry,
        name: Name,
        insecure: bool,
        layer: Layer,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Optional[str]:
        """Make sure of one blob; gives None when it was there, else the registry's fingerprint or ''."""
        place = self.store.blob(layer.digest)
        status = "pulling " + layer.digest[7:19]
        download, fresh = self._join(layer.digest, place)
        if download is None:
            size = place.stat().st_size
            progress({"status": status, "digest": layer.digest, "total": size, "completed": size})
            return None
        if fresh:
            threading.Thread(
                target=self._run, args=(download, registry, blob_url(name, insecure, layer.digest)), daemon=True
            ).start()
        try:
            while not download.done.wait(TICK):
                if cancelled():
                    raise Canceled
                line = {"status": status, "digest": layer.digest, "total": download.total}
                if download.completed:
                    line["completed"] = download.completed
                if download.total:
                    progress(line)
        finally:
            with self._lock:
                download.waiting -= 1
                if not download.waiting:
                    download.stop()
            if download.waiting == 0:
                download.done.wait()
        if download.error is not None:
            raise PullError(str(download.error)) from download.error
        return download.fingerprint

    def _join(self, digest: str, place: Path) -> tuple[Optional[Download], bool]:
        """Take part in a download that runs, or set up one; None when the blob is there already."""
        while True:
            with self._lock:
                download = self._running.get(digest)
                if download is None and place.exists():
                    return None, False
                if download is None:
                    download = self._running[digest] = Download(self.store, digest, self.disk_full)
                    download.waiting = 1
                    return download, True
                if not download.cancel.is_set():
                    download.waiting += 1
                    return download, False
            download.done.wait()  # broken off by others: let it save its parts, then resume

    def _run(self, download: Download, registry: Registry, url: str) -> None:
        try:
            download.prepare(registry, url)
        except (OSError, PullError, Failure, ValueError) as error:
            download.error = error
        else:
            download.run(registry, url)
        finally:
            with self._lock:
                self._running.pop(download.digest, None)
            download.done.set()

    def _verify(self, digest: str, fingerprint: str) -> None:
        """Compare content and digest; a blob that differs is removed.

        The fingerprint that the lab's registry publishes for a digest covers every byte, so equality proves what
        hashing gigabytes of zeros would; anything else is hashed in full.
        """
        place = self.store.blob(digest)
        if fingerprint and sparse.fingerprint(place) == fingerprint:
            return
        found = sparse.sha256(place)
        if found != digest:
            place.unlink()
            text = "digest mismatch, file must be downloaded again: want %s, got %s"
            raise PullError(text % (digest, found))
