"""Pulls from the lab's registry: progress, sharing, resuming, and what each fault of the registry leads to."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ollama_support import Answer, Mac, Registry, Server, proxy, running_registry, serving, until


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def registry(started: Registry) -> Iterator[Registry]:
    yield started
    started.fault(rate=40_000_000_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(Mac(tmp_path)) as found:
        yield found


class Pull:
    """A streaming pull that can be left."""

    def __init__(self, server: Server, name: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.mac.port, timeout=30)
        self.connection.request("POST", "/api/pull", json.dumps({"model": name, "insecure": True}))
        self.stream = self.connection.getresponse()

    def next(self) -> dict[str, Any]:
        """Read the next line."""
        line: dict[str, Any] = json.loads(self.stream.readline())
        return line

    def until_progress(self, beyond: int = 0) -> dict[str, Any]:
        """Read on to a line that shows progress."""
        while True:
            line = self.next()
            assert "error" not in line
            if line.get("completed", 0) > beyond:
                return line

    def leave(self) -> None:
        """Hang up."""
        self.stream.close()
        self.connection.close()


def partials(server: Server) -> list[Path]:
    return sorted((server.mac.models / "blobs").glob("*-partial*"))


def test_a_large_model_arrives_with_its_true_size_and_little_disk(server: Server, registry: Registry) -> None:
    registry.fault()
    answer = server.pull(registry.name("gpt-oss:20b"))
    assert answer.lines[-1] == {"status": "success"}
    model = server.ask("GET", "/api/tags").json["models"][0]
    assert model["size"] == 13793441244
    blobs = list((server.mac.models / "blobs").iterdir())
    assert sum(file.stat().st_blocks for file in blobs) * 512 < 10_000_000


def test_progress_rises_by_the_clock_and_need_not_reach_the_total(server: Server, registry: Registry) -> None:
    registry.fault(rate=10_000_000_000)
    lines = [line for line in server.pull(registry.name("qwen3:8b")).lines if line.get("total", 0) > 1e9]
    done = [line.get("completed", 0) for line in lines]
    assert done == sorted(done)
    assert len(done) > 4
    assert 0 < done[len(done) // 2] < lines[-1]["total"]


def test_a_client_that_leaves_stops_the_pull_and_the_next_one_resumes(server: Server, registry: Registry) -> None:
    registry.fault(slow=1_000_000_000)
    pull = Pull(server, registry.name("qwen3:8b"))
    reached = pull.until_progress(200_000_000)["completed"]
    pull.leave()
    parts = until(lambda: [json.loads(file.read_text()) for file in partials(server) if not file.name.endswith("partial")])
    until(
        lambda: (
            sum(json.loads(file.read_text())["Completed"] for file in partials(server) if not file.name.endswith("partial"))
            >= reached
        )
    )
    assert set(parts[0]) == {"N", "Offset", "Size", "Completed"}
    assert server.ask("GET", "/api/tags").json == {"models": []}
    registry.fault(rate=40_000_000_000)
    again = Pull(server, registry.name("qwen3:8b"))
    assert again.until_progress()["completed"] >= reached
    assert json.loads(again.stream.read().splitlines()[-1]) == {"status": "success"}
    again.leave()
    assert partials(server) == []


def test_two_clients_share_one_download(server: Server, registry: Registry) -> None:
    registry.fault(slow=2_000_000_000)
    first = Pull(server, registry.name("qwen3:8b"))
    reached = first.until_progress(300_000_000)["completed"]
    second = Pull(server, registry.name("qwen3:8b"))
    assert second.until_progress()["completed"] >= reached
    registry.fault(rate=40_000_000_000)
    ends = [json.loads(pull.stream.read().splitlines()[-1]) for pull in (first, second)]
    assert ends == [{"status": "success"}] * 2
    assert server.log.count("downloading 465158bbb495") == 1
    for pull in (first, second):
        pull.leave()


def test_one_of_two_clients_may_leave(server: Server, registry: Registry) -> None:
    registry.fault(slow=2_000_000_000)
    first, second = (Pull(server, registry.name("qwen3:8b")) for _ in range(2))
    first.until_progress()
    first.leave()
    registry.fault(rate=40_000_000_000)
    assert json.loads(second.stream.read().splitlines()[-1]) == {"status": "success"}
    second.leave()


def test_show_and_delete_do_not_see_a_model_under_way(server: Server, registry: Registry) -> None:
    registry.fault(slow=1_000_000_000)
    name = registry.name("qwen3:8b")
    pull = Pull(server, name)
    pull.until_progress()
    assert server.ask("POST", "/api/show", {"model": name}).status == 404
    assert server.ask("DELETE", "/api/delete", {"model": name}).status == 404
    pull.leave()


def failed(server: Server, name: str) -> str:
    answer = server.pull(name)
    assert answer.status == 200
    assert "status" not in answer.lines[-1]
    error: str = answer.lines[-1]["error"]
    assert server.pull(name, stream=False).status == 500
    return error


def test_a_lying_registry_is_found_out_and_the_blob_removed(server: Server, registry: Registry) -> None:
    registry.fault(corrupt="tiny:latest")
    error = failed(server, registry.name("tiny"))
    want = next(word for word in error.split() if word.startswith("sha256:")).strip(",")
    assert error.startswith("digest mismatch, file must be downloaded again: want sha256:")
    assert not (server.mac.models / "blobs" / want.replace(":", "-")).exists()
    registry.fault()
    assert server.pull(registry.name("tiny")).lines[-1] == {"status": "success"}


def test_a_lie_in_a_large_model_is_found_out_too(server: Server, registry: Registry) -> None:
    registry.fault(corrupt="qwen3:8b", rate=40_000_000_000)
    answer = server.pull(registry.name("qwen3:8b"), stream=False)
    assert answer.json["error"].startswith("digest mismatch, file must be downloaded again: want sha256:465158bb")


def refused(registry: Registry) -> bool:
    """Tell whether the registry's port is closed."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", registry.plain)) != 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503}, "pull model manifest: 503: "),
        ({"not_found": "tiny:latest"}, "pull model manifest: file does not exist"),
        ({"down": True}, "connect: connection refused"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_failing_registry_is_told_in_ollamas_words(
    server: Server, registry: Registry, fault: dict[str, Any], error: str
) -> None:
    registry.fault(**fault)
    until(lambda: refused(registry) == ("down" in fault))
    found = failed(server, registry.name("tiny"))
    assert (found.startswith("pull model manifest: "), error in found) == (True, True), found
    registry.fault()
    until(lambda: not refused(registry))
    assert server.pull(registry.name("tiny")).lines[-1] == {"status": "success"}


def test_a_cut_connection_is_taken_up_where_it_broke(server: Server, registry: Registry) -> None:
    registry.fault(cut=600_000)
    assert server.pull(registry.name("tiny"), stream=False).json == {"status": "success"}
    assert "part 0 attempt 0 failed: unexpected EOF, retrying in 1s" in server.log


def test_a_moved_tag_replaces_the_manifest_and_removes_what_is_unused(server: Server, registry: Registry) -> None:
    name = registry.name("tiny")
    server.pull(name)
    before = server.ask("GET", "/api/tags").json["models"][0]["digest"]
    registry.fault(tag_moved="tiny:latest")
    statuses = [line["status"] for line in server.pull(name).lines]
    assert statuses[-3:] == ["writing manifest", "removing unused layers", "success"]
    assert server.ask("GET", "/api/tags").json["models"][0]["digest"] != before


def test_pulling_again_moves_the_time_but_not_the_digest(server: Server, registry: Registry) -> None:
    def seen() -> tuple[str, str]:
        model = server.ask("GET", "/api/tags").json["models"][0]
        return model["digest"], model["modified_at"]

    server.pull(registry.name("tiny"))
    first = seen()
    server.pull(registry.name("tiny"))
    assert (seen()[0] == first[0], seen()[1] == first[1]) == (True, False)


def test_a_token_is_fetched_when_the_registry_asks_for_one(server: Server, registry: Registry) -> None:
    registry.fault(token=True)
    assert server.pull(registry.name("tiny"), stream=False).json == {"status": "success"}


def test_a_full_disk_ends_the_pull_at_once(server: Server, registry: Registry) -> None:
    server.mac.fault(ollama_disk_full=1_000_000_000)
    answer = server.pull(registry.name("qwen3:8b"))
    assert answer.lines[-1]["error"].endswith("no space left on device")


def test_a_proxy_that_refuses_is_told_by_its_status_alone(tmp_path: Path) -> None:
    with proxy(1, "502 Bad Gateway") as port, serving(Mac(tmp_path), HTTPS_PROXY=f"http://127.0.0.1:{port}") as server:
        answer = server.ask("POST", "/api/pull", {"model": "qwen3:8b", "stream": False})
    wanted = 'pull model manifest: Get "https://registry.ollama.ai/v2/library/qwen3/manifests/8b": Bad Gateway'
    assert (answer.status, answer.json) == (500, {"error": wanted})


def test_a_model_of_hugging_face_keeps_its_long_name(tmp_path: Path, registry: Registry) -> None:
    registry.fault(rate=40_000_000_000)
    name = "hf.co/unsloth/Qwen3-14B-GGUF:Q3_K_M"
    with proxy(registry.secure) as port:
        environment = {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": str(registry.ca)}
        with serving(Mac(tmp_path), **environment) as server:
            assert server.ask("POST", "/api/pull", {"model": name, "stream": False}).json == {"status": "success"}
            assert [model["name"] for model in server.ask("GET", "/api/tags").json["models"]] == [name]


def test_pulls_and_listings_at_once_do_not_disturb_each_other(server: Server, registry: Registry) -> None:
    registry.fault(rate=20_000_000_000)
    found: list[Answer] = []
    names = ["qwen3:8b", "qwen3-fast:8b", "tiny", "tiny2"]
    threads = [threading.Thread(target=lambda name=name: found.append(server.pull(registry.name(name)))) for name in names]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert server.ask("GET", "/api/tags").status == 200
    assert [answer.lines[-1] for answer in found] == [{"status": "success"}] * 4
    assert len(server.ask("GET", "/api/tags").json["models"]) == 4


def test_old_partial_files_go_at_the_next_start_and_young_ones_stay(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    blobs = mac.models / "blobs"
    blobs.mkdir(parents=True)
    names = {letter: f"sha256-{letter * 64}" for letter in "abcd"}
    for name in (names["a"], names["b"], names["c"] + "-partial", names["d"] + "-partial"):
        (blobs / name).write_text("x")
    for name in (names["a"], names["c"] + "-partial"):
        os.utime(blobs / name, (0, 0))
    with serving(mac) as server:
        log = server.log
    assert sorted(file.name for file in blobs.iterdir()) == [names["b"], names["d"] + "-partial"]
    assert 'msg="total blobs: 1"' in log
    assert 'msg="total unused blobs removed: 1"' in log


def test_nothing_is_pruned_beside_a_stray_file(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    old = mac.models / "blobs" / ("sha256-" + "a" * 64)
    stray = mac.models / "manifests/registry.ollama.ai/library/qwen3/.DS_Store"
    for file in (old, stray):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        os.utime(file, (0, 0))
    with serving(mac) as server:
        assert "corrupt manifests detected, skipping prune operation" in server.log
    assert old.exists()
