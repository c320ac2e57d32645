"""The registry's protocol, as any client sees it, and its faults."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ollama import sparse
from registry import authority, catalogue

from tests.lab.ollama_support import Answer, Registry, ask, running_registry, until

TINY = catalogue.load().entries["library/tiny:latest"]
QWEN = catalogue.load().entries["library/qwen3:8b"]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def registry(started: Registry) -> Iterator[Registry]:
    started.fault()
    yield started
    started.fault()


def get(registry: Registry, path: str, method: str = "GET", **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(registry.plain, method, "/v2/library/" + path, None, sent)


def test_a_manifest_has_the_digest_it_says(registry: Registry) -> None:
    answer = get(registry, "qwen3/manifests/8b")
    assert "sha256:" + hashlib.sha256(answer.body).hexdigest() == QWEN.digest == answer.headers["Docker-Content-Digest"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("nosuch/manifests/latest", 404), ("qwen3/manifests/999b", 404), ("qwen3/blobs/sha256:" + "0" * 64, 404), ("qwen3", 404)],
)
def test_what_is_not_there_is_a_404(registry: Registry, path: str, status: int) -> None:
    assert get(registry, path).status == status


def test_head_tells_the_length_of_a_blob(registry: Registry) -> None:
    answer = get(registry, f"qwen3/blobs/{QWEN.weights}", "HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(catalogue.load().blobs[QWEN.weights].size))


def test_a_large_blob_without_a_range_only_says_where_it_is(registry: Registry) -> None:
    answer = get(registry, f"qwen3/blobs/{QWEN.weights}")
    assert (answer.status, answer.headers["Location"], answer.body) == (200, "?direct=1", b"")


def test_a_small_blob_comes_whole_to_a_plain_client(registry: Registry) -> None:
    answer = get(registry, f"tiny/blobs/{TINY.weights}")
    assert "sha256:" + hashlib.sha256(answer.body).hexdigest() == TINY.weights


def test_ranges_are_plain_bytes_unless_frames_are_asked_for(registry: Registry) -> None:
    path = f"qwen3/blobs/{QWEN.weights}?direct=1"
    plain = get(registry, path, Range="bytes=20000-200000")
    assert (plain.status, len(plain.body)) == (206, 180001)
    framed = get(registry, path, Range="bytes=20000-200000", Accept_Encoding="x-lab-sparse")
    out, rest = b"", framed.body
    while rest:
        kind, length = sparse.FRAME.unpack(rest[: sparse.FRAME.size])
        rest = rest[sparse.FRAME.size :]
        if kind == b"D":
            out, rest = out + rest[:length], rest[length:]
        else:
            out += bytes(length)
    assert out == plain.body
    assert len(framed.body) < 10_000


def test_a_model_of_hugging_face_is_not_found_at_ollamas_host(registry: Registry) -> None:
    path = "/v2/unsloth/Qwen3-14B-GGUF/manifests/Q3_K_M"
    found = {host: ask(registry.plain, "GET", path, None, {"Host": host}).status for host in ("hf.co", "registry.ollama.ai")}
    assert found == {"hf.co": 200, "registry.ollama.ai": 404}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_certificate_is_the_authoritys(registry: Registry, host: str) -> None:
    context = ssl.create_default_context(cafile=str(registry.ca))
    with urllib.request.urlopen(f"https://{host}:{registry.secure}/v2/", context=context) as answer:
        assert answer.status == 200
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"https://{host}:{registry.secure}/v2/", context=ssl.create_default_context())


def test_the_authority_is_made_once(tmp_path: Path) -> None:
    first = authority.ensure(tmp_path).read_bytes()
    assert authority.ensure(tmp_path).read_bytes() == first
    assert authority.chain(tmp_path).stat().st_mode & 0o777 == 0o600


# faults


def test_down_refuses_and_up_answers_again(registry: Registry) -> None:
    def refused() -> bool:
        try:
            get(registry, "qwen3/manifests/8b")
        except OSError:
            return True
        return False

    registry.fault(down=True)
    until(refused)
    registry.fault()
    until(lambda: not refused())


@pytest.mark.parametrize(
    ("faults", "path", "status"),
    [
        ({"status": 429}, "qwen3/manifests/8b", 429),
        ({"status": True}, "qwen3/manifests/8b", 503),
        ({"not_found": True}, "tiny/manifests/latest", 404),
        ({"not_found": "qwen3:8b"}, "qwen3/manifests/8b", 404),
        ({"not_found": "qwen3:8b"}, "tiny/manifests/latest", 200),
        ({"not_found": ["tiny:latest", "qwen3:8b"]}, "tiny/manifests/latest", 404),
        ({"token": True}, "tiny/manifests/latest", 401),
    ],
)
def test_faults_change_the_status(registry: Registry, faults: dict[str, Any], path: str, status: int) -> None:
    registry.fault(**faults)
    assert get(registry, path).status == status


def test_a_corrupt_blob_differs_in_its_first_byte(registry: Registry) -> None:
    path = f"tiny/blobs/{TINY.weights}?direct=1"
    true = get(registry, path, Range="bytes=0-99").body
    registry.fault(corrupt="tiny:latest")
    lie = get(registry, path, Range="bytes=0-99").body
    assert (lie[0] != true[0], lie[1:]) == (True, true[1:])


def test_a_cut_range_is_shorter_than_it_says(registry: Registry) -> None:
    registry.fault(cut=1000)
    with pytest.raises(http.client.IncompleteRead) as found:
        get(registry, f"tiny/blobs/{TINY.weights}?direct=1", Range="bytes=0-99999")
    assert len(found.value.partial) == 1000


def test_a_moved_tag_has_a_new_manifest(registry: Registry) -> None:
    registry.fault(tag_moved="qwen3:8b")
    answer = get(registry, "qwen3/manifests/8b")
    assert "sha256:" + hashlib.sha256(answer.body).hexdigest() != QWEN.digest
    params = next(layer for layer in json.loads(answer.body)["layers"] if layer["mediaType"].endswith("params"))
    assert get(registry, f"qwen3/blobs/{params['digest']}").status == 200


def test_the_rate_is_kept_by_all_transfers_together(registry: Registry) -> None:
    registry.fault(slow=1_000_000)
    begun = time.monotonic()
    get(registry, f"tiny/blobs/{TINY.weights}?direct=1", Range="bytes=0-299999")
    assert 0.25 < time.monotonic() - begun < 3


def test_a_token_opens_what_was_closed(registry: Registry) -> None:
    registry.fault(token=True)
    realm = get(registry, "tiny/manifests/latest").headers["WWW-Authenticate"]
    assert f'realm="http://127.0.0.1:{registry.plain}/token"' in realm
    token = ask(registry.plain, "GET", "/token?service=registry", None, {"Authorization": "key"}).json["token"]
    assert get(registry, "tiny/manifests/latest", Authorization="Bearer " + token).status == 200
