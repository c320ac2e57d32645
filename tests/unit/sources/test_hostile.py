"""Whatever a registry does: one sentence, a bounded time, few bytes."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.module_utils.preflight.cache import Cache
from ansible.module_utils.preflight.sources import HEADER_BYTES, collect
from ansible.module_utils.preflight.web import Limits

from .hostile import HOST, QUICK, File, Handler, Reply, gguf, normal, served, sources

FILE = gguf()
NAME = "m:1"


def with_rules(**changed: Reply) -> dict[str, Reply]:
    """Return the rules of a sound registry with some replaced: manifests, direct (the ranges), blobs."""
    texts = {"manifests": "/manifests/", "direct": "?direct", "blobs": "/blobs/"}
    return {text: changed.get(name, normal(FILE)[text]) for name, text in texts.items()}


def drip(handler: Handler) -> None:
    """Send a header byte now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"a")
        threading.Event().wait(0.05)


def drip_body(handler: Handler) -> None:
    """Promise much and send a byte now and then."""
    start, end = handler.span(FILE.size)
    handler.send(206, b"", content_length=str(end - start), content_range=f"bytes {start}-{end - 1}/{FILE.size}")
    for position in range(start, end):
        handler.wfile.write(FILE.lead[position : position + 1])
        threading.Event().wait(0.05)


def silent(_: Handler) -> None:
    """Accept and say nothing."""
    threading.Event().wait(5)


def endless(handler: Handler) -> None:
    """Send without end what was no answer to a range."""
    handler.send(200, b"", content_length=str(10**12))
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(bytes(1 << 16))
            handler.server.sent += 1 << 16


def claims(lead: bytes) -> Reply:
    """Serve a file of a terabyte that begins so."""
    return File(lead, FILE.size).range


def says(status: int, body: bytes = b"", **headers: str) -> Reply:
    """Answer always the same."""
    return lambda handler: handler.send(status, body, **headers)


HUGE_TEXT = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", 9) + b"general.a" + struct.pack("<IQ", 8, 60_000_000)
HUGE_COUNT = b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60)
HUGE_LIST = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", 9) + b"general.a" + struct.pack("<IIQ", 9, 8, 1_900_000)
LOOP = says(302, location="?direct=1")
MANIFEST = json.loads(FILE.manifest())

FAULTS: dict[str, tuple[dict[str, Reply], list[str]]] = {
    "not-found": (with_rules(manifests=says(404, b"{}")), ["knows no m:1"]),
    "server-error": (with_rules(manifests=says(503, b'{"errors":[{"message":"be back\\nsoon"}]}')), ["503", "be back soon"]),
    "too-many": (with_rules(manifests=says(429)), ["429"]),
    "closed": (with_rules(manifests=says(401)), ["signed in"]),
    "token-elsewhere": (
        with_rules(manifests=says(401, www_authenticate='Bearer realm="http://evil.example/t",service="x",scope="y"')),
        ["evil.example", "refused"],
    ),
    "web-page": (
        with_rules(manifests=says(200, b"<html>Sign in to this WiFi</html>", content_type="text/html")),
        ["not JSON", "text/html"],
    ),
    "no-layers": (with_rules(manifests=says(200, b"[]")), ["no layers"]),
    "deep": (with_rules(manifests=says(200, b"[" * 100_000)), ["not JSON"]),
    "negative-size": (with_rules(manifests=says(200, FILE.manifest(size=-5))), ["size", "-5"]),
    "size-as-text": (with_rules(manifests=says(200, FILE.manifest(size="9"))), ["size", "9"]),
    "bad-digest": (with_rules(manifests=says(200, FILE.manifest(digest="sha256:../../x"))), ["digest", "../../x"]),
    "endless-manifest": (with_rules(manifests=endless), ["more than 1048576 bytes"]),
    "silent": (with_rules(manifests=silent), ["does not answer"]),
    "dripping-header": (with_rules(manifests=drip), ["does not answer"]),
    "cut-header": (with_rules(manifests=lambda handler: handler.wfile.write(b"HTTP/1.1 200")), ["not JSON", "no type"]),
    "cut-manifest": (with_rules(manifests=says(200, b'{"la', content_length="900")), ["broke off after 4 bytes"]),
    "redirect-loop": (with_rules(direct=LOOP), ["redirects more than 5 times"]),
    "redirect-nowhere": (with_rules(blobs=says(307)), ["without saying where"]),
    "redirect-to-file": (with_rules(blobs=says(307, location="file:///etc/passwd")), ["no http address"]),
    "redirect-to-nonsense": (with_rules(blobs=says(307, location="http://[::1")), ["no address"]),
    "blob-not-found": (with_rules(blobs=says(404)), ["404", "file of m:1"]),
    "range-error": (with_rules(direct=says(500)), ["500", "range"]),
    "nothing-comes": (with_rules(direct=says(200)), ["sent nothing"]),
    "packed": (with_rules(direct=says(206, b"x" * 9, content_encoding="gzip")), ["gzip", "not asked for"]),
    "other-range": (with_rules(direct=says(206, b"x" * 9, content_range="bytes 5-13/99")), ["asked for bytes from 0", "5-13"]),
    "other-size": (
        with_rules(direct=says(206, b"x" * 9, content_range="bytes 0-8/99")),
        ["99 bytes there", f"manifest says {FILE.size}"],
    ),
    "dripping-body": (with_rules(direct=drip_body), ["not complete after 1 s"]),
    "no-gguf": (with_rules(direct=claims(b"<html>" * 99)), ["no GGUF"]),
    "huge-text": (with_rules(direct=claims(HUGE_TEXT)), ["beyond 16 MiB"]),
    "huge-count": (with_rules(direct=claims(HUGE_COUNT)), ["claims 1152921504606846976"]),
    "endless-file": (with_rules(direct=endless), ["no GGUF"]),
}


def ask(rules: dict[str, Reply], limits: Limits = QUICK) -> tuple[dict[str, object], str, float, int]:
    """Return the result, its problems as one text, the seconds it took, the bytes that were read."""
    with served(rules) as server:
        asked = sources(server.url, limits)
        started = time.monotonic()
        found = collect({NAME: None}, asked)[NAME]
        assert asked.registry
        return found, " ".join(found["problems"]), time.monotonic() - started, asked.registry.web.read_bytes


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_sentence_and_costs_little(fault: str) -> None:
    rules, words = FAULTS[fault]
    found, said, seconds, read = ask(rules)
    assert [word for word in words if word not in said] == []
    assert said.startswith(f"{NAME}: ")
    assert said.isprintable()
    assert said.endswith(".")
    assert seconds < QUICK.total_seconds + 2
    assert read < 3_000_000
    assert found["architecture"] is None or found["architecture"]["exact"] is False


def test_only_not_found_says_that_there_is_no_such_name() -> None:
    assert ask(FAULTS["not-found"][0])[0]["exists"] is False
    for fault in ("server-error", "closed", "web-page", "silent"):
        assert ask(FAULTS[fault][0])[0]["exists"] is None, fault


def test_a_name_whose_file_cannot_be_read_exists_and_has_its_true_size() -> None:
    found, _, _, _ = ask(FAULTS["range-error"][0])
    assert (found["exists"], found["source"]) == (True, "registry")
    assert found["sizes"] == {"total_bytes": FILE.size + 400, "weights_bytes": FILE.size, "projector_bytes": 0}
    assert found["architecture"]["exact"] is False  # type: ignore[index]


def test_a_list_without_end_is_read_up_to_the_limit_and_no_further() -> None:
    lead = HUGE_LIST + struct.pack("<Q", 60) * 1
    body = (lead + (bytes(60) + struct.pack("<Q", 60)) * 400_000)[: HEADER_BYTES + 5_000_000]
    file = File(body, 10**9)
    _, said, _, read = ask({**normal(file), "?direct": file.range}, Limits(1, 8, 20))
    assert "beyond 16 MiB" in said
    assert read <= HEADER_BYTES + 10_000


def test_a_range_that_breaks_off_is_taken_up_where_it_ended() -> None:
    file = gguf(40_000)
    starts = []

    def cut(handler: Handler) -> None:
        start, end = handler.span(file.size)
        starts.append(start)
        body = file.lead.ljust(file.size, b"\0")[start : min(end, start + 90_000)]
        handler.send(206, body, content_length=str(end - start), content_range=f"bytes {start}-{end - 1}/{file.size}")

    found, said, _, read = ask({**normal(file), "?direct": cut})
    assert said == ""
    assert found["architecture"]["vocabulary"] == 40_000  # type: ignore[index]
    assert starts == sorted(set(starts))
    assert read < 2 * len(file.lead) + 10_000


def test_a_header_that_came_whole_before_the_answer_broke_off_is_enough() -> None:
    def cut(handler: Handler) -> None:
        start, end = handler.span(FILE.size)
        body = FILE.lead[start : min(end, len(FILE.lead))]
        handler.send(206, body, content_length=str(end - start), content_range=f"bytes {start}-{end - 1}/{FILE.size}")

    found, said, _, _ = ask({**normal(FILE), "?direct": cut})
    assert (said, found["source"]) == ("", "registry")


def test_a_server_without_ranges_is_read_from_the_start() -> None:
    file = gguf(40_000)
    whole = says(200, file.lead.ljust(file.size, b"\0"))
    found, said, _, _ = ask({**normal(file), "?direct": whole})
    assert (said, found["architecture"]["vocabulary"]) == ("", 40_000)  # type: ignore[index]


def test_a_redirect_to_another_host_gets_the_range_and_no_token() -> None:
    with served({"/": FILE.range}) as store:
        elsewhere = store.url.replace("127.0.0.1", "localhost")

        def manifest(handler: Handler) -> None:
            if handler.headers.get("Authorization") == "Bearer t":
                handler.send(200, FILE.manifest())
            else:
                realm = f"http://{handler.headers['Host']}/token"
                handler.send(401, www_authenticate=f'Bearer realm="{realm}",service="s",scope="repository:library/m:pull"')

        rules: dict[str, Reply] = {
            "/manifests/": manifest,
            "/token": says(200, b'{"token":"t"}'),
            "/blobs/": says(307, location=f"{elsewhere}/file"),
        }
        found, said, _, _ = ask(rules)
        assert (said, found["source"]) == ("", "registry")
        ((path, headers),) = store.asked
        assert (path, headers["Range"]) == ("/file", "bytes=0-131071")
        assert "Authorization" not in headers


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_no_network_is_one_failure_and_no_more_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    connect = socket.create_connection

    def counted(address: tuple[str, int], *rest: object, **more: object) -> socket.socket:
        tries.append(address)
        return connect(address, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", counted)
    asked = sources(f"http://127.0.0.1:{closed_port()}")
    started = time.monotonic()
    found = collect({f"m{number}:1": 5_000_000_000 for number in range(20)}, asked)
    assert time.monotonic() - started < 2
    assert len(tries) == 1
    for name, one in found.items():
        assert (one["exists"], one["source"]) == (None, "declared")
        assert [word for word in (name, "cannot be reached", "refused") if word not in one["problems"][0]] == []


def test_a_name_that_does_not_resolve_is_a_sentence() -> None:
    found = collect({"registry.invalid/library/m:1": None}, sources("http://127.0.0.1:1"))
    assert "registry.invalid cannot be reached" in found["registry.invalid/library/m:1"]["problems"][0]


def test_a_silent_host_is_waited_for_once() -> None:
    with served(with_rules(manifests=silent)) as server:
        started = time.monotonic()
        found = collect({f"m{number}:1": None for number in range(12)}, sources(server.url))
        assert time.monotonic() - started < 2.5
        assert len(server.asked) == 1
        assert all("does not answer" in one["problems"][0] for one in found.values())


def test_the_whole_of_it_ends_in_time_when_every_answer_is_slow() -> None:
    def slow(handler: Handler) -> None:
        threading.Event().wait(0.6)
        handler.send(200, FILE.manifest())

    with served(with_rules(manifests=slow)) as server:
        started = time.monotonic()
        asked = sources(server.url, Limits(1, 1, 1.5))
        found = collect({f"m{number}:1": 10**9 for number in range(40)}, asked, workers=2)
        assert time.monotonic() - started < 3
        kinds = {one["source"] for one in found.values()}
        assert kinds <= {"registry", "declared"}
        assert "declared" in kinds


def test_models_are_asked_for_at_the_same_time_but_not_all_at_once() -> None:
    now, most = itertools.count(), [0]
    running: list[int] = []

    def counted(handler: Handler) -> None:
        one = next(now)
        running.append(one)
        most[0] = max(most[0], len(running))
        threading.Event().wait(0.05)
        running.remove(one)
        handler.send(200, FILE.manifest())

    with served(with_rules(manifests=counted)) as server:
        collect({f"m{number}:1": None for number in range(24)}, sources(server.url, Limits(1, 5, 20)))
    assert 2 <= most[0] <= 6


# The cache. ---------------------------------------------------------------------------------------------------------------


def corrupted(path: Path, change: Callable[[bytes], bytes]) -> None:
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(change(file.read_bytes()))


def test_a_known_digest_is_not_read_again(tmp_path: Path) -> None:
    with served(normal(FILE)) as server:
        first = collect({NAME: None}, sources(server.url, cache=Cache(tmp_path)))
        server.asked.clear()
        second = collect({NAME: None}, sources(server.url, cache=Cache(tmp_path)))
        assert first == second
        assert [path for path, _ in server.asked] == ["/v2/library/m/manifests/1"]


@pytest.mark.parametrize(
    "change", [lambda _: b"", lambda _: b"{}", lambda data: data[:-9], lambda data: data[::-1], lambda _: b"\xff"]
)
def test_a_corrupt_cache_is_no_cache(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    with served(normal(FILE)) as server:
        first = collect({NAME: None}, sources(server.url, cache=Cache(tmp_path)))
        corrupted(tmp_path, change)
        assert collect({NAME: None}, sources(server.url, cache=Cache(tmp_path))) == first
    assert not list(tmp_path.rglob(".*"))


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with served(normal(FILE)) as server:
        found = collect({NAME: None}, sources(server.url, cache=Cache(tmp_path / "file")))
    assert (found[NAME]["source"], found[NAME]["problems"]) == ("registry", [])


def test_what_broke_off_is_taken_up_by_the_next_run(tmp_path: Path) -> None:
    file = gguf(60_000)

    def short(handler: Handler) -> None:
        start, end = handler.span(file.size)
        if start:
            handler.send(500)
        else:
            handler.send(206, file.lead[:120_000], content_length=str(end), content_range=f"bytes 0-{end - 1}/{file.size}")

    with served({**normal(file), "?direct": short}) as server:
        first = collect({NAME: None}, sources(server.url, cache=Cache(tmp_path)))[NAME]
    assert "500" in first["problems"][0]
    with served(normal(file)) as server:
        second = collect({NAME: None}, sources(server.url, cache=Cache(tmp_path)))[NAME]
        assert second["architecture"]["vocabulary"] == 60_000
        assert next(headers["Range"][:13] for _, headers in server.asked if "Range" in headers) == "bytes=120000-"
    assert list((tmp_path / "beginnings").iterdir()) == []


def test_without_network_the_last_known_figures_are_used_and_dated(tmp_path: Path) -> None:
    with served(normal(FILE)) as server:
        first = collect({NAME: None}, sources(server.url, cache=Cache(tmp_path)))[NAME]
    offline = collect({NAME: None}, sources(f"http://127.0.0.1:{closed_port()}", cache=Cache(tmp_path)))[NAME]
    assert (offline["architecture"], offline["source"], offline["exists"]) == (first["architecture"], "registry", None)
    assert "when its registry was last reached" in offline["problems"][1]
    assert HOST not in str(first["problems"])
