"""The server as a process: start, readiness, signals, runners, memory, settings that break it, versions, faults."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ollama_support import Mac, Registry, answers, launched, running_registry, serving, until

MINI: dict[str, Any] = {"memory_bytes": 16 << 30, "os_version": "15.6.1"}
BOOK: dict[str, Any] = {"memory_bytes": 48 << 30, "os_version": "15.6.1"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


# start and end


def test_the_port_is_bound_before_http_answers(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    mac.fault(ollama_start_delay=30)
    with launched(mac) as server:
        until(lambda: "Listening on" in server.log)
        with socket.create_connection(("127.0.0.1", mac.port), timeout=1) as connection:
            connection.settimeout(0.2)
            connection.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(1)
        assert server.stop() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGHUP, -signal.SIGHUP)])
def test_signals_end_it_with_the_recorded_status(tmp_path: Path, number: int, status: int) -> None:
    # Under nohup the signal is ignored, and so it is by whoever is started here; Go's programs keep to that.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with serving(Mac(tmp_path)) as server:
            assert server.stop(number) == status
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_taken_port_is_an_error_and_status_1(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    with serving(mac):
        second = mac.run("serve")
    text = f"Error: listen tcp 127.0.0.1:{mac.port}: bind: address already in use\n"
    assert (second.returncode, second.stderr) == (1, text)


def test_an_address_the_mac_does_not_have_cannot_be_bound(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    done = mac.run("serve", env=mac.environment(OLLAMA_HOST="203.0.113.9:1234"))
    assert done.stderr.endswith("Error: listen tcp 203.0.113.9:1234: bind: can't assign requested address\n")


def test_bound_to_all_addresses_it_says_so_and_does_not_check_the_host(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    with serving(mac, OLLAMA_HOST=f"0.0.0.0:{mac.port}") as server:
        assert f'msg="Listening on [::]:{mac.port} (version 0.32.15)"' in server.log
        assert server.ask("GET", "/api/version", headers={"Host": "evil.example"}).status == 200
        assert server.ask("GET", "/api/version", headers={"Origin": "https://evil.example"}).status == 403


def test_the_first_start_makes_the_key(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    with serving(mac):
        key = mac.home / ".ollama/id_ed25519"
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.with_suffix(".pub").read_text().startswith("ssh-ed25519 AAAA")


@pytest.mark.parametrize(
    ("environment", "status", "text"),
    [
        ({"HOME": ""}, 2, "panic: $HOME is not defined"),
        ({"HOME": "", "OLLAMA_MODELS": "/tmp/x"}, 1, "Error: $HOME is not defined"),  # noqa: S108
        ({"OLLAMA_ORIGINS": "example.com"}, 2, "panic: bad origin: origins must contain '*' or include http://"),
        ({"OLLAMA_MODELS": "/proc/nope"}, 1, "Error: mkdir /proc/nope: no such file or directory: ensure path elements"),
    ],
    ids=["no home", "no home but models", "bad origin", "models"],
)
def test_settings_that_break_the_server(tmp_path: Path, environment: dict[str, str], status: int, text: str) -> None:
    mac = Mac(tmp_path)
    done = mac.run("serve", env=mac.environment(**environment))
    assert (done.returncode, text in done.stderr) == (status, True), done.stderr


def test_settings_come_from_the_process_alone(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    (mac.home / ".zshrc").write_text("export OLLAMA_KEEP_ALIVE=24h\n")
    with serving(mac, OLLAMA_CONTEXT_LENGTH="8192") as server:
        assert "OLLAMA_KEEP_ALIVE:5m0s" in server.log
        assert "OLLAMA_CONTEXT_LENGTH:8192" in server.log


@pytest.mark.parametrize(
    ("identity", "version", "context"),
    [(MINI, "0.32.15", "4096"), (BOOK, "0.32.15", "32768"), (BOOK, "0.15.4", "4096"), (MINI, "0.6.6", "2048")],
)
def test_the_default_context_goes_by_memory_and_version(
    tmp_path: Path, identity: dict[str, Any], version: str, context: str
) -> None:
    with serving(Mac(tmp_path, version, **identity)) as server:
        assert f"default_num_ctx={context}" in server.log


# runners


def test_a_loaded_model_is_a_process_that_ends_with_it(tmp_path: Path, registry: Registry) -> None:
    with serving(Mac(tmp_path)) as server:
        server.install(registry, "tiny")
        server.load("tiny", keep_alive=-1)
        (runner,) = server.runners()
        assert Path(f"/proc/{runner}/comm").read_text().strip() == "llama-server"
        assert Path(f"/proc/{server.process.pid}/comm").read_text().strip() == "ollama"
        assert os.getpgid(runner) == os.getpgid(server.process.pid)
        server.load("tiny", keep_alive=0)
        assert server.ps() == []
        assert not alive(runner)


def test_sigterm_ends_the_runners(tmp_path: Path, registry: Registry) -> None:
    with serving(Mac(tmp_path)) as server:
        server.install(registry, "tiny")
        server.load("tiny", keep_alive=-1)
        (runner,) = server.runners()
        assert server.stop() == 0
        until(lambda: not alive(runner))
        assert server.runners() == []


def test_kill_9_leaves_the_runner_behind_with_its_memory(tmp_path: Path, registry: Registry) -> None:
    mac = Mac(tmp_path)
    with serving(mac) as server:
        server.install(registry, "tiny")
        server.load("tiny", keep_alive=-1)
        (runner,) = server.runners()
        server.stop(signal.SIGKILL)
    try:
        assert alive(runner)
        with serving(mac) as second:
            assert second.ps() == []
            assert alive(runner)
            assert second.runners() == [runner]
    finally:
        os.kill(runner, signal.SIGKILL)


def test_a_runner_that_died_stays_listed_until_it_is_asked_for(tmp_path: Path, registry: Registry) -> None:
    with serving(Mac(tmp_path)) as server:
        server.install(registry, "tiny")
        server.load("tiny", keep_alive=-1)
        (runner,) = server.runners()
        os.kill(runner, signal.SIGKILL)
        assert [model["name"] for model in server.ps()] == ["tiny:latest"]
        assert server.load("tiny").status == 200
        assert server.runners() != [runner]


def test_a_model_goes_when_its_time_is_over(tmp_path: Path, registry: Registry) -> None:
    with serving(Mac(tmp_path)) as server:
        server.install(registry, "tiny")
        server.load("tiny", keep_alive="300ms")
        assert len(server.ps()) == 1
        until(lambda: server.ps() == [])


def test_a_request_without_keep_alive_keeps_the_time_a_model_was_loaded_with(tmp_path: Path, registry: Registry) -> None:
    with serving(Mac(tmp_path)) as server:
        server.install(registry, "tiny")
        server.load("tiny", keep_alive=-1)
        server.ask("POST", "/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]})
        assert server.ps()[0]["expires_at"].startswith(("2318", "2319"))
        server.load("tiny", keep_alive="5m")
        assert not server.ps()[0]["expires_at"].startswith("23")


def test_one_loaded_model_at_most_evicts_the_other(tmp_path: Path, registry: Registry) -> None:
    with serving(Mac(tmp_path), OLLAMA_MAX_LOADED_MODELS="1") as server:
        for name in ("tiny", "tiny2"):
            server.install(registry, name)
            assert server.load(name, keep_alive="24h").status == 200
        assert [model["name"] for model in server.ps()] == ["tiny2:latest"]
        assert len(server.runners()) == 1


# memory


def loaded(tmp_path: Path, registry: Registry, identity: dict[str, Any], names: list[str], **env: str) -> list[dict[str, Any]]:
    with serving(Mac(tmp_path, **identity), **env) as server:
        for name in names:
            server.install(registry, name)
            assert server.load(name, keep_alive=-1).status == 200
        return server.ps()


def test_the_mini_holds_qwen3_8b_on_the_gpu(tmp_path: Path, registry: Registry) -> None:
    (model,) = loaded(tmp_path, registry, MINI, ["qwen3:8b"])
    assert model["size"] == model["size_vram"]
    assert model["size"] / 1e9 == pytest.approx(5.59, rel=0.01)


def test_the_mini_cannot_hold_gpt_oss_on_the_gpu_and_evicts_for_it(tmp_path: Path, registry: Registry) -> None:
    (model,) = loaded(tmp_path, registry, MINI, ["qwen3:8b", "gpt-oss:20b"])
    assert model["name"] == "gpt-oss:20b"
    assert model["size_vram"] < model["size"]


@pytest.mark.parametrize(
    ("order", "resident"),
    [
        (["gpt-oss:20b", "devstral-small-2:24b", "qwen3:8b"], 3),
        (["qwen3:8b", "devstral-small-2:24b", "gpt-oss:20b"], 2),
    ],
    ids=["largest first", "smallest first"],
)
def test_on_48_gb_the_order_of_loading_decides(tmp_path: Path, registry: Registry, order: list[str], resident: int) -> None:
    environment = {"OLLAMA_CONTEXT_LENGTH": "8192", "OLLAMA_KV_CACHE_TYPE": "q8_0"}
    assert len(loaded(tmp_path, registry, BOOK, order, **environment)) == resident


def test_another_num_ctx_loads_anew_and_q8_0_halves_the_cache(tmp_path: Path, registry: Registry) -> None:
    sizes = {}
    for kind in ("f16", "q8_0"):
        with serving(Mac(tmp_path / kind, **BOOK), OLLAMA_KV_CACHE_TYPE=kind) as server:
            server.install(registry, "qwen3:8b")
            for context in (4096, 8192):
                before = server.runners()
                server.load("qwen3:8b", options={"num_ctx": context})
                assert server.runners() != before
                sizes[kind, context] = server.ps()[0]["size"]
                assert server.ps()[0]["context_length"] == context
    assert sizes["f16", 4096] < sizes["f16", 8192]
    assert sizes["q8_0", 8192] < sizes["f16", 8192]


def test_the_memory_of_a_runner_is_noted_for_the_lab(tmp_path: Path, registry: Registry) -> None:
    mac = Mac(tmp_path)
    with serving(mac) as server:
        server.install(registry, "qwen3:8b")
        server.load("qwen3:8b")
        (runner,) = server.runners()
        note = json.loads((mac.state / f"usage/{runner}.json").read_text())
    assert note["ram_bytes"] / 1e9 == pytest.approx(6.2, rel=0.015)


# what cannot load


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        (
            {"OLLAMA_KV_CACHE_TYPE": "banana"},
            "llama-server process has terminated: exit status 1: error: Unsupported cache type: banana",
        ),
        (
            {"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "0"},
            "llama-server process has terminated: exit status 1: llama_init_from_model: quantized V cache requires flash_attn",
        ),
    ],
    ids=["unknown type", "quantised without flash attention"],
)
def test_a_bad_cache_type_fails_every_load_and_nothing_else(
    tmp_path: Path, registry: Registry, environment: dict[str, str], text: str
) -> None:
    with serving(Mac(tmp_path), **environment) as server:
        server.install(registry, "tiny")
        answer = server.load("tiny")
        assert (answer.status, answer.json["error"].startswith(text)) == (500, True), answer.json
        assert server.ask("GET", "/api/tags").status == 200


def test_before_0_30_a_bad_cache_type_is_f16_and_tags_have_no_capabilities(tmp_path: Path, registry: Registry) -> None:
    with serving(Mac(tmp_path, "0.24.0"), OLLAMA_KV_CACHE_TYPE="banana") as server:
        server.install(registry, "tiny")
        assert server.load("tiny").status == 200
        assert "unsupported OLLAMA_KV_CACHE_TYPE" in server.log
        (model,) = server.ask("GET", "/api/tags").json["models"]
        assert "capabilities" not in model
        assert "context_length" not in model["details"]


@pytest.mark.parametrize("how", ["bottle", "fault"])
def test_without_a_runner_the_server_is_healthy_and_cannot_load(tmp_path: Path, registry: Registry, how: str) -> None:
    mac = Mac(tmp_path, "0.30.2" if how == "bottle" else "0.32.15")
    if how == "fault":
        mac.fault(ollama_load_fails=True)
    with serving(mac) as server:
        server.install(registry, "tiny")
        answer = server.load("tiny")
        assert answer.status == 500
        assert answer.json["error"].startswith("error starting llama-server: llama-server binary not found (checked: ")
        assert server.load("tiny", keep_alive=0).json["done_reason"] == "unload"


def test_an_upgrade_that_removed_the_old_keg_breaks_loading_until_the_restart(tmp_path: Path, registry: Registry) -> None:
    mac = Mac(tmp_path, "0.32.3")
    with serving(mac) as server:
        server.install(registry, "tiny")
        (tmp_path / "Cellar/ollama/0.32.3/libexec/lib/ollama/llama-server").unlink()
        mac.program = mac.install("0.32.15")
        assert server.load("tiny").status == 500
        wanted = "ollama version is 0.32.3\nWarning: client version is 0.32.15\n"
        assert mac.run("-v").stdout == wanted


# faults


def test_a_server_told_to_exit_does(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    mac.fault(ollama_exits=True)
    done = mac.run("serve")
    assert (done.returncode, done.stderr) == (1, "Error: fault ollama-exits is set\n")


def test_a_server_that_hangs_accepts_and_does_not_answer_until_the_fault_is_off(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    with serving(mac):
        mac.fault(ollama_hang=True)
        with socket.create_connection(("127.0.0.1", mac.port), timeout=1) as connection:
            connection.settimeout(0.3)
            connection.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(1)
            mac.fault()
            connection.settimeout(5)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_slow_load_holds_the_request(tmp_path: Path, registry: Registry) -> None:
    mac = Mac(tmp_path)
    with serving(mac) as server:
        server.install(registry, "tiny")
        mac.fault(ollama_load_delay=0.5)
        assert server.load("tiny", prompt="hi", stream=False).json["load_duration"] > 500_000_000


def test_a_model_being_unloaded_stays_listed_in_the_past(tmp_path: Path, registry: Registry) -> None:
    mac = Mac(tmp_path)
    with serving(mac) as server:
        server.install(registry, "tiny")
        server.load("tiny", keep_alive=-1)
        mac.fault(ollama_unload_lag=1)
        server.load("tiny", keep_alive=0)
        assert "Stopping..." in mac.run("ps").stdout
        until(lambda: server.ps() == [])


def test_it_starts_and_answers_quickly(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    with launched(mac):
        until(lambda: answers(mac.port), seconds=2)
