"""The stand-in Ollama's judgements, one by one: names, settings, durations, JSON, memory, errors."""

from __future__ import annotations

import hashlib
import json
import plistlib
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama import (
    api,
    cli,
    completion,
    envconfig,
    gguf,
    golang,
    keg,
    logs,
    memory,
    names,
    pull,
    runner,
    scheduler,
    server,
    sparse,
)
from ollama.envconfig import Settings
from ollama.faults import FAULTS
from ollama.store import Store
from ollama.transport import _target, failure_text, proxy_for
from ollama.versions import Release
from registry import catalogue

# names

PART = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
NAMESPACE = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("qwen3", "qwen3:latest"),
        ("qwen3:8b", "qwen3:8b"),
        ("library/qwen3:8b", "qwen3:8b"),
        ("registry.ollama.ai/library/qwen3:8b", "qwen3:8b"),
        ("felipe/x", "felipe/x:latest"),
        ("hf.co/unsloth/Qwen3-14B-GGUF:Q3_K_M", "hf.co/unsloth/Qwen3-14B-GGUF:Q3_K_M"),
        ("http://127.0.0.1:5000/library/m:t", "127.0.0.1:5000/library/m:t"),
    ],
)
def test_a_name_is_shown_in_its_shortest_form_with_the_tag(text: str, short: str) -> None:
    assert names.parse(text).short == short


@pytest.mark.parametrize("text", ["", "bad name", "a:b:c", "-x", "qwen3:", "a.b/c", "x" * 81, "/x", "a//b"])
def test_a_malformed_name_is_not_valid(text: str) -> None:
    assert not names.parse(text).valid


@given(namespace=NAMESPACE, model=PART, tag=PART)
def test_normalising_a_name_twice_changes_nothing(namespace: str, model: str, tag: str) -> None:
    once = names.parse(f"{namespace}/{model}:{tag}")
    assert names.parse(once.short)[:4] == (once.host, "library" if namespace.lower() == "library" else namespace, model, tag)


@given(model=PART, tag=PART)
def test_an_installed_name_is_found_in_any_case(model: str, tag: str) -> None:
    installed = names.parse(f"{model}:{tag}")
    assert names.existing(names.parse(f"{model.upper()}:{tag.upper()}"), [installed])[:4] == installed[:4]


# settings

HOSTS = [
    ("", "http://127.0.0.1:11434"),
    ("0.0.0.0", "http://0.0.0.0:11434"),
    (":1234", "http://:1234"),
    ("10.0.0.5:1234", "http://10.0.0.5:1234"),
    ("[::1]:1234", "http://[::1]:1234"),
    ("::1", "http://[::1]:11434"),
    ("http://10.0.0.5", "http://10.0.0.5:80"),
    ("https://x", "https://x:443"),
    ("host:99999", "http://host:11434"),
    ("host:abc", "http://host:11434"),
    (' "127.0.0.1" ', "http://127.0.0.1:11434"),
    ("example.com/path", "http://example.com:11434/path"),
]


@pytest.mark.parametrize(("text", "url"), HOSTS)
def test_ollama_host_is_read_as_ollama_does(text: str, url: str) -> None:
    assert Settings({"OLLAMA_HOST": text, "HOME": "/Users/felipe"}).host.url == url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "5m0s"),
        ("24h", "24h0m0s"),
        ("-1", "2562047h47m16.854775807s"),
        ("-1m", "2562047h47m16.854775807s"),
        ("0", "0s"),
        ("90", "1m30s"),
        ("banana", "5m0s"),
        ("1d", "5m0s"),
        ("forever", "5m0s"),
    ],
)
def test_keep_alive_is_a_duration_or_seconds_and_else_five_minutes(text: str, shown: str) -> None:
    assert golang.format_duration(envconfig.parse_keep_alive(text)) == shown


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("1", True), ("0", False), ("true", True), ("F", False), ("maybe", True), ("no", True), ("off", True)],
)
def test_what_is_no_boolean_counts_as_true(text: str, value: bool | None) -> None:
    assert Settings({"OLLAMA_FLASH_ATTENTION": text, "HOME": "/x"}).flash_attention is value


def test_bad_numbers_warn_in_the_observed_order_and_fall_back() -> None:
    environ = {"OLLAMA_MAX_LOADED_MODELS": "-3", "OLLAMA_NUM_PARALLEL": "x", "OLLAMA_CONTEXT_LENGTH": "12k", "HOME": "/x"}
    found = Settings(environ)
    assert [(warning.fields["key"], warning.fields["default"]) for warning in found.warnings] == [
        ("OLLAMA_MAX_LOADED_MODELS", 0),
        ("OLLAMA_NUM_PARALLEL", 1),
        ("OLLAMA_CONTEXT_LENGTH", 0),
    ]


def test_the_config_line_shows_every_setting_of_a_mac_sorted() -> None:
    environ = {"HOME": "/Users/felipe", "OLLAMA_HOST": "0.0.0.0", "OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "1"}
    line = Settings(environ).log_line()
    keys = [word.split(":")[0] for word in line[4:-1].split(" ") if word.split(":")[0].isupper() or "_proxy" in word]
    assert keys == sorted(keys)
    for shown in ("OLLAMA_HOST:http://0.0.0.0:11434 ", "OLLAMA_KV_CACHE_TYPE:q8_0 ", "OLLAMA_FLASH_ATTENTION:true "):
        assert shown in line
    assert "CUDA_VISIBLE_DEVICES" not in line


def test_without_home_and_models_ollama_panics() -> None:
    with pytest.raises(envconfig.Panic, match=r"\$HOME is not defined"):
        Settings({})


def test_an_origin_without_scheme_panics() -> None:
    with pytest.raises(envconfig.Panic, match=r"bad origin: origins must contain '\*' or include http://,https://,"):
        envconfig.check_origins(Settings({"HOME": "/x", "OLLAMA_ORIGINS": "example.com"}).origins)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("app://obsidian.md", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
    ],
)
def test_origins_are_matched_with_one_star(origin: str, allowed: bool) -> None:
    assert envconfig.origin_allowed(origin, Settings({"HOME": "/x"}).origins) is allowed


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:11434", True),
        ("127.0.0.1:11434", True),
        ("[::1]:11434", True),
        ("192.168.1.20:11434", True),
        ("10.1.2.3", True),
        ("mini.local", True),
        ("llm.internal", True),
        ("foo.localhost", True),
        (socket.gethostname(), True),
        ("evil.example", False),
        ("llm.lan", False),
        ("203.0.113.66", False),
        ("100.115.10.14:11434", False),  # Tailscale's range is not private in Go
        ("mini.tailnet.ts.net", False),
    ],
)
def test_the_host_header_is_checked_as_on_a_loopback_bind(host: str, allowed: bool) -> None:
    assert server.host_allowed(host) is allowed


# Go's texts


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("abc", 'time: invalid duration "abc"'),
        ("", 'time: invalid duration ""'),
        ("10", 'time: missing unit in duration "10"'),
        ("-1", 'time: missing unit in duration "-1"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
    ],
)
def test_bad_durations_have_gos_words(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=r".") as found:
        golang.parse_duration(text)
    assert str(found.value) == error


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_a_duration_survives_being_written_and_read(nanoseconds: int) -> None:
    assert golang.parse_duration(golang.format_duration(nanoseconds)) == nanoseconds


@given(st.integers(min_value=0, max_value=10**19))
def test_a_moment_survives_being_written_and_read(nanoseconds: int) -> None:
    assert golang.parse_rfc3339(golang.rfc3339(nanoseconds, utc=True)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"model":', "unexpected EOF"),
        ('{"model": qwen}', "invalid character 'q' looking for beginning of value"),
        ("{model: 1}", "invalid character 'm' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 2}', "invalid character '2' after object key:value pair"),
        ('{"a":[1 2]}', "invalid character '2' after array element"),
        ('{"a":"x', "unexpected EOF"),
    ],
)
def test_broken_json_has_the_words_of_gos_decoder(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=r".") as found:
        golang.loads(text)
    assert str(found.value) == error


@pytest.mark.parametrize(
    ("value", "text"),
    [("</s>&", '"\\u003c/s\\u003e\\u0026"'), (1e-05, "0.00001"), (10000.0, "10000"), (1e-07, "1e-7"), (0.6, "0.6"), ("ä", '"ä"')],
)
def test_json_is_written_as_go_writes_it(value: Any, text: str) -> None:
    assert golang.dumps(value) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_written_reads_back_as_json(value: Any) -> None:
    assert json.loads(golang.dumps(value)) == value


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (5225388164, "5.2 GB"),
        (13793441244, "13 GB"),
        (851974, "851 KB"),
        (21736496, "21 MB"),
        (7140801, "7.1 MB"),
        (12, "12 B"),
        (10**9, "1 GB"),
    ],
)
def test_sizes_are_decimal_and_floored_from_ten_on(size: int, text: str) -> None:
    assert golang.human_bytes(size) == text


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (299 * golang.SECOND, "4 minutes from now"),
        (golang.MAX_DURATION, "Forever"),
        (-golang.MILLISECOND, "Less than a second ago"),
        (-61 * golang.SECOND, "About a minute ago"),
        (-49 * golang.HOUR, "2 days ago"),
        (3599 * golang.SECOND, "59 minutes from now"),
    ],
)
def test_times_are_told_as_the_command_tells_them(ahead: int, text: str) -> None:
    assert golang.human_time(ahead, 0) == text


def test_a_log_value_with_blanks_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.info("routes.go:2008", "Listening on [::]:11434 (version 0.32.15)", id=0, name="Apple M4")
    line = capsys.readouterr().err
    assert line.endswith(
        'level=INFO source=routes.go:2008 msg="Listening on [::]:11434 (version 0.32.15)" id=0 name="Apple M4"\n'
    )


# network errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (socket.gaierror(-2, "x"), "dial tcp: lookup 127.0.0.1: no such host"),
        (ConnectionRefusedError(111, "x"), "dial tcp 127.0.0.1:443: connect: connection refused"),
        (OSError(113, "x"), "dial tcp 127.0.0.1:443: connect: no route to host"),
        (TimeoutError("timed out"), "dial tcp 127.0.0.1:443: i/o timeout"),
        (OSError("Tunnel connection failed: 502 Bad Gateway"), "Bad Gateway"),
    ],
)
def test_network_errors_have_gos_words(error: Exception, text: str) -> None:
    assert failure_text(_target("https://127.0.0.1/v2/"), error) == text


@pytest.mark.parametrize(
    ("host", "no_proxy", "wanted"),
    [
        ("registry.ollama.ai", "", "http://p:1"),
        ("127.0.0.1", "", None),
        ("localhost", "", None),
        ("registry.ollama.ai", "ollama.ai", None),
        ("registry.ollama.ai", "*", None),
    ],
)
def test_the_proxy_is_chosen_as_net_http_does(host: str, no_proxy: str, wanted: str | None) -> None:
    assert proxy_for("https", host, {"HTTPS_PROXY": "p:1", "NO_PROXY": no_proxy}) == wanted


# memory: the worked table, measured with llama.cpp b10488 on files of the real dimensions

TABLE = [
    ("qwen3:8b", 4096, 512, "f16", 576, 108, 5.59, 6.2),
    ("qwen3:8b", 4096, 512, "q8_0", 306, 100, 5.30, 6.0),
    ("qwen3:8b", 8192, 1024, "f16", 1152, 224, 6.32, 7.0),
    ("qwen3:8b", 8192, 1024, "q8_0", 612, 208, 5.74, 6.4),
    ("qwen3:8b", 32768, 1024, "f16", 4608, 272, 9.99, 10.6),
    ("qwen3:8b", 32768, 1024, "q8_0", 2448, 256, 7.71, 8.4),
    ("gpt-oss:20b", 4096, 512, "f16", 114, 97, 12.86, 14.3),
    ("gpt-oss:20b", 4096, 512, "q8_0", 61, 97, 12.80, 14.3),
    ("gpt-oss:20b", 8192, 1024, "f16", 222, 203, 13.08, 14.5),
    ("gpt-oss:20b", 8192, 1024, "q8_0", 118, 203, 12.97, 14.4),
    ("gpt-oss:20b", 32768, 1024, "f16", 798, 251, 13.74, 15.2),
    ("gpt-oss:20b", 32768, 1024, "q8_0", 424, 251, 13.34, 14.8),
    ("devstral-small-2:24b", 4096, 512, "f16", 640, 234, 15.72, 16.4),
    ("devstral-small-2:24b", 4096, 512, "q8_0", 340, 242, 15.41, 16.1),
    ("devstral-small-2:24b", 8192, 1024, "f16", 1280, 476, 16.64, 17.3),
    ("devstral-small-2:24b", 8192, 1024, "q8_0", 680, 492, 16.03, 16.7),
    ("devstral-small-2:24b", 32768, 1024, "f16", 5120, 524, 20.72, 21.4),
    ("devstral-small-2:24b", 32768, 1024, "q8_0", 2720, 540, 18.22, 18.9),
]


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, gguf.Header]:
    """Give the headers of the catalogue's models, read from sparse files of the real size."""
    folder = tmp_path_factory.mktemp("headers")
    found = {}
    for model in catalogue.source()["models"]:
        _, blob = catalogue.make_weights(model)
        file = folder / hashlib.sha256(model["name"].encode()).hexdigest()
        with file.open("wb") as stream:
            stream.write(blob.lead)
            stream.truncate(blob.size)
        found[model["name"]] = gguf.read(file)
        file.unlink()
    return found


@pytest.mark.parametrize(("name", "context", "batch", "kind", "kv", "compute", "ps", "budget"), TABLE)
def test_memory_is_within_one_percent_of_what_was_measured(
    headers: dict[str, gguf.Header],
    name: str,
    context: int,
    batch: int,
    kind: str,
    kv: int,
    compute: int,
    ps: float,
    budget: float,
) -> None:
    needs = memory.needs(headers[name], context, batch=batch, kind=kind)
    assert needs.kv / memory.MIB == pytest.approx(kv, abs=1)
    assert needs.compute / memory.MIB == pytest.approx(compute, rel=0.09)
    assert needs.total / 1e9 == pytest.approx(ps, rel=0.01)
    assert needs.ram / 1e9 == pytest.approx(budget, rel=0.015)


@pytest.mark.parametrize(
    ("name", "context", "measured"),
    [
        *[("qwen3:8b", context, mib) for context, mib in ((4096, 308), (8192, 572), (32768, 2156))],
        *[("gpt-oss:20b", context, mib) for context, mib in ((4096, 558), (8192, 1078), (32768, 4198))],
    ],
)
def test_without_flash_attention_the_scores_are_held(
    headers: dict[str, gguf.Header], name: str, context: int, measured: int
) -> None:
    assert memory.compute_bytes(headers[name], context, flash=False) / memory.MIB == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize(
    ("gigabytes", "major", "limit"),
    [(16, 15, 11453.25), (16, 26, 12713.12), (48, 15, 38654.71), (48, 26, 38654.71)],
)
def test_the_gpu_limit_is_the_one_seen_in_logs(gigabytes: int, major: int, limit: float) -> None:
    assert memory.working_set(gigabytes * memory.GIB, major) / 1e6 == pytest.approx(limit, abs=0.02)


@pytest.mark.parametrize(
    ("gibibytes", "context"), [(10.67, 4096), (22.9, 4096), (23, 32768), (36, 32768), (47, 262144), (48, 262144)]
)
def test_the_default_context_goes_by_gpu_memory(gibibytes: float, context: int) -> None:
    assert memory.default_context(int(gibibytes * memory.GIB)) == context


def test_the_largest_first_fits_three_models_on_48_gb_and_the_smallest_first_does_not(headers: dict[str, gguf.Header]) -> None:
    total = memory.working_set(48 * memory.GIB, 15)

    def room(*loaded: str) -> int:
        return total - sum(memory.needs(headers[name], 8192, batch=1024, kind="q8_0").total for name in loaded)

    def fits(name: str, available: int) -> bool:
        prediction = memory.predicted(headers[name], 8192)
        batch = memory.generation_batch(8192, prediction, available)
        return prediction + memory.surcharge(batch) <= available * 80 // 100

    assert fits("qwen3:8b", room("gpt-oss:20b", "devstral-small-2:24b"))
    assert not fits("gpt-oss:20b", room("qwen3:8b", "devstral-small-2:24b"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--cache-type-v", "q8_0", "--flash-attn", "on"], ""),
        (["--cache-type-v", "q8_0", "--flash-attn", "auto"], ""),
        (["--cache-type-v", "banana"], "error: Unsupported cache type: banana"),
        (
            ["--cache-type-v", "q8_0", "--flash-attn", "off"],
            "llama_init_from_model: quantized V cache requires flash_attn to be enabled",
        ),
    ],
)
def test_the_runner_refuses_what_llama_server_refuses(arguments: list[str], problem: str) -> None:
    assert runner.refusal(runner.options(arguments)) == problem


# pulls


@pytest.mark.parametrize(
    ("total", "count", "first"),
    [
        (52, 1, 52),
        (100_000_000, 1, 100_000_000),
        (5_225_374_496, 16, 326_585_906),
        (21_159_310_657, 22, 1_000_000_000),
        (0, 0, 0),
    ],
)
def test_a_blob_is_cut_into_parts_of_100_to_1000_mb(total: int, count: int, first: int) -> None:
    parts = pull.split(total)
    assert len(parts) in (count, count + 1)
    assert sum(size for _, size in parts) == total
    assert not parts or parts[0] == (0, first)


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=5), st.binary(max_size=300))
def test_equal_content_has_one_fingerprint_however_it_lies_on_disk(before: bytes, blocks: int, after: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        dense, holed = Path(folder) / "dense", Path(folder) / "holed"
        zeros = blocks * sparse.BLOCK
        dense.write_bytes(before + bytes(zeros) + after)
        with holed.open("wb") as stream:
            stream.write(before)
            stream.seek(zeros, 1)
            stream.write(after)
            stream.truncate(len(before) + zeros + len(after))
        assert sparse.fingerprint(dense) == sparse.fingerprint(holed)
        flipped = bytearray(before + bytes(zeros) + after)
        if flipped:
            flipped[len(flipped) // 2] ^= 1
            dense.write_bytes(bytes(flipped))
            assert sparse.fingerprint(dense) != sparse.fingerprint(holed)


def test_a_manifest_keeps_its_bytes_and_so_its_digest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create()
    data = catalogue.load().entries["library/qwen3:8b"].manifest + b" \n"
    name = names.parse("qwen3:8b")
    store.write_manifest(name, data)
    assert store.read_manifest(name).digest == hashlib.sha256(data).hexdigest()


def test_parameters_of_a_derived_model_have_the_digest_that_a_real_ollama_gave_them() -> None:
    text = golang.dumps({"num_ctx": 256, "stop": ["</s>"], "temperature": 0.1}) + "\n"
    assert (
        hashlib.sha256(text.encode()).hexdigest().startswith("96fe36764bcd8c3afd60a83c76cc57508e11ba50b65a7cb8e03f1c24920a70cf")
    )


# keg and versions


@pytest.mark.parametrize(
    ("version", "runs", "capabilities"),
    [
        ("0.24.0", False, False),
        ("0.30.0", False, True),
        ("0.30.4", False, True),
        ("0.30.5", True, True),
        ("0.32.15", True, True),
        ("0.32.3_1", True, True),
    ],
)
def test_a_keg_has_a_runner_from_0_30_on_but_for_the_broken_bottles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, runs: bool, capabilities: bool
) -> None:
    monkeypatch.setenv("VIRTUAL_MAC_ROOT", str(tmp_path))
    keg.write_keg(tmp_path / "Cellar", version)
    found = tmp_path / "Cellar/ollama" / version
    assert (found / "libexec/lib/ollama/llama-server").exists() is runs
    assert (found / "bin/ollama").readlink() == Path("../libexec/ollama")
    assert Release(version).tags_capabilities is capabilities


def test_the_service_file_is_the_formulas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_MAC_ROOT", str(tmp_path))
    keg.write_keg(tmp_path / "Cellar", "0.32.15")
    file = tmp_path / "Cellar/ollama/0.32.15/homebrew.mxcl.ollama.plist"
    content = plistlib.loads(file.read_bytes())
    assert content["EnvironmentVariables"] == {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"}
    assert content["ProgramArguments"] == [f"{tmp_path}/opt/ollama/bin/ollama", "serve"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_real_ollama_can_take_the_stand_ins_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_MAC_ROOT", str(tmp_path))
    real = tmp_path / "real"
    (real / "lib/ollama").mkdir(parents=True)
    (real / "ollama").write_text("the real one")
    keg.write_keg(tmp_path / "Cellar", "0.32.15", payload=real)
    assert (tmp_path / "Cellar/ollama/0.32.15/bin/ollama").read_text() == "the real one"


def test_the_runner_is_looked_for_beside_the_resolved_program() -> None:
    places = scheduler.candidates(Path("/opt/homebrew/Cellar/ollama/0.32.15/libexec/ollama"))
    assert places[1] == Path("/opt/homebrew/Cellar/ollama/0.32.15/libexec/lib/ollama/llama-server")


# the command's texts


@pytest.mark.parametrize(
    ("size", "on_gpu", "text"),
    [(100, 100, "100% GPU"), (100, 0, "100% CPU"), (100, 59, "41%/59% CPU/GPU"), (100, 101, "Unknown")],
)
def test_where_a_model_runs_is_told_in_percent(size: int, on_gpu: int, text: str) -> None:
    assert cli.processor(size, on_gpu) == text


def test_tables_have_the_recorded_blanks() -> None:
    rows = [["qwen3:8b", "47aee0020a30", "21 MB", "2 minutes ago"], ["tiny:latest", "c1e7193b445d", "851 KB", "2 minutes ago"]]
    assert cli.table(["NAME", "ID", "SIZE", "MODIFIED"], rows) == (
        "NAME           ID              SIZE      MODIFIED      \n"
        "qwen3:8b       47aee0020a30    21 MB     2 minutes ago    \n"
        "tiny:latest    c1e7193b445d    851 KB    2 minutes ago    \n"
    )


def test_a_modelfile_becomes_a_create_request() -> None:
    text = '# c\nFROM tiny\nPARAMETER num_ctx 256\nPARAMETER stop "</s>"\nSYSTEM """one\ntwo"""\n'
    wanted = {"from": "tiny", "parameters": {"num_ctx": 256, "stop": ["</s>"]}, "system": "one\ntwo"}
    assert cli.modelfile(text) == wanted


@pytest.mark.parametrize(("limit", "reason"), [(3, "length"), (-1, "stop"), (1000, "stop")])
def test_an_answer_is_cut_by_num_predict(limit: int, reason: str) -> None:
    assert completion.answer("hello there", {"num_predict": limit}).reason == reason


@pytest.mark.parametrize(
    ("value", "duration"),
    [
        (None, None),
        (0, 0),
        (-1, golang.MAX_DURATION),
        (-1.0, golang.MAX_DURATION),
        (1.5, 1_500_000_000),
        ("10m", 600 * golang.SECOND),
        ("-1m", golang.MAX_DURATION),
    ],
)
def test_keep_alive_of_a_request_is_seconds_or_a_duration(value: Any, duration: int | None) -> None:
    assert api.keep_alive(value) == duration


def test_every_fault_is_explained() -> None:
    assert all(text and not text.endswith(".") for text in FAULTS.values())


def test_a_call_as_text_is_json_and_a_tools_result_need_not_be() -> None:
    tools = [{"function": {"name": "find", "parameters": {"properties": {"code": {}}}}}]
    asked: list[Any] = [{"role": "user", "content": "use find"}]
    (call,) = completion.call_tool(asked, tools)
    assert json.loads(completion.as_text((call,))) == {"name": "find", "arguments": {"code": ""}}
    assert completion.given("", "the code is k7") == "k7"
    assert completion.given("of 'Nadia'", "") == "Nadia"
    assert completion.token_nanoseconds(40) == 40_000_000
