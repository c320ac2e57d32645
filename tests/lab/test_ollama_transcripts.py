"""Replays what a real Ollama 0.32.15 was asked, and compares what it answered, request by request.

The transcripts in `transcripts/ollama` were recorded from the unmodified 0.32.15 on Linux, on the CPU, with small
models. Masked before comparing: dates, digests, sizes, counts and durations. To hold a real server against the same
tables, start it with an empty store and OLLAMA_UNDER_TEST=http://127.0.0.1:PORT for transcript 01; the others need
the registry's address, CA and proxy in its environment, which the skip message prints.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.lab.ollama_support import UNDER_TEST, Answer, Mac, Registry, ask, free_port, proxy, running_registry, serving

FOLDER = Path(__file__).parent / "transcripts/ollama"


class Exchange(NamedTuple):
    """One request and its recorded answer."""

    title: str
    method: str
    path: str
    body: str | None
    headers: dict[str, str]
    status: int
    answer_headers: dict[str, str]
    answer: str


def parse(text: str) -> Iterator[Exchange]:
    """Read a transcript."""
    for block in re.split(r"(?m)^--- ", text)[1:]:
        lines = block.split("\n##### ")[0].splitlines()
        asked = [line[2:] for line in lines if line.startswith("> ")]
        got = [line[2:] for line in lines if line.startswith("< ")]
        first = re.match(r"(\S+) (\S+)(?:\s+\[curl -H ([\w-]+): (.*)\])?", asked[0])
        assert first, asked[0]
        end = got.index("") if "" in got else len(got)
        headers = dict(line.split(": ", 1) for line in got[1:end])
        yield Exchange(
            lines[0],
            first.group(1),
            first.group(2),
            asked[1] if len(asked) > 1 else None,
            {first.group(3): first.group(4)} if first.group(3) else {},
            int(got[0].split()[1]),
            headers,
            "\n".join(got[end + 1 :]),
        )


def exchanges(number: str) -> list[Exchange]:
    """Read one of the transcripts."""
    return list(parse((FOLDER / f"{number}.txt").read_text(encoding="utf-8")))


TIMES = ("modified_at", "created_at", "expires_at")
# `size` says what is on disk or in memory: other models, other numbers; the rest depends on the words spoken.
MASKED = (
    *("size", "size_vram", "digest", "created", "id", "context", "response", "content", "parameter_size", "embedding_length"),
    *("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration", "usage"),
    *("completed", "total", "capabilities", "license", "context_window"),
)


def masked(value: Any, key: str = "") -> Any:
    """Replace what may differ by its type; names, codes and the order of keys stay."""
    if key in TIMES:
        return "year " + ("2319" if value.startswith(("2318", "2319")) else "now")
    if key in MASKED:
        return type(value).__name__
    if isinstance(value, dict):
        return [(name, masked(item, name)) for name, item in value.items()]
    if isinstance(value, list):
        items = [masked(item) for item in value]
        return sorted(items, key=str) if key == "models" else items
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f]{64}\b|(?<=pulling |pushing )[0-9a-f]{12}", "H", value)
    return value


def comparable(exchange_headers: dict[str, str], body: str, plain_body: bool) -> Any:
    """Give what of an answer is compared."""
    headers = {name: value for name, value in exchange_headers.items() if name != "Date"}
    length = headers.pop("Content-Length", None)
    coding = headers.pop("Transfer-Encoding", None)
    kind = headers.get("Content-Type", "")
    if kind.startswith("text/event-stream"):
        return headers, coding, "stream"
    if kind == "application/x-ndjson":
        lines = [json.loads(line) for line in body.splitlines() if line]
        if lines and "status" in lines[0]:
            # Progress comes by the clock: how many lines a layer gets is not compared.
            steady = [line for line in lines if "digest" not in line]
            return headers, coding, [masked(line) for line in steady]
        return headers, coding, masked(lines[-1])
    if "json" in kind:
        return headers, masked(json.loads(body)) if body.strip() else None
    return headers, length, body if plain_body else None


class Stage(NamedTuple):
    """What the requests of a transcript are sent to."""

    port: int
    words: dict[str, str]


def replay(stage: Stage, exchange: Exchange) -> tuple[Any, Any]:
    """Send a request; gives what was recorded and what came, ready to compare."""

    def local(text: str) -> str:
        for old, new in stage.words.items():
            text = text.replace(old, new)
        return text

    body = None if exchange.body is None else local(exchange.body)
    headers = {name: local(value) for name, value in exchange.headers.items()}
    got: Answer = ask(stage.port, exchange.method, exchange.path, body, headers)
    plain = exchange.method != "HEAD"
    wanted = exchange.status, comparable(exchange.answer_headers, local(exchange.answer), plain)
    return wanted, (got.status, comparable(got.headers, got.body.decode(), plain))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Stage]:
    """Run a server with an empty store that does not trust the registry's CA."""
    words = {
        "127.0.0.1:5000": f"127.0.0.1:{registry.plain}",
        "127.0.0.1:5443": f"127.0.0.1:{registry.secure}",
        "127.0.0.1:5999": f"127.0.0.1:{free_port()}",
        "Host: vm": "Host: " + socket.gethostname(),
    }
    if UNDER_TEST:
        yield Stage(urlsplit(UNDER_TEST).port or 80, words)
        return
    mac = Mac(tmp_path_factory.mktemp("empty"))
    with serving(mac, OLLAMA_NO_CLOUD="1"):
        yield Stage(mac.port, {**words, "$OLLAMA_MODELS": str(mac.models)})


# A name that the DNS does not know cannot be asked for here: a test must never reach the network. The error's text is
# tested in test_ollama_units.py.
NETWORK = ("create from missing", "pull, DNS cannot resolve", "pull of a :cloud name")


def own_host(exchange: Exchange) -> Exchange:
    """Let `vm`, the name of the machine that was recorded, be this machine's."""
    if exchange.headers.get("Host") == "vm":
        return exchange._replace(headers={"Host": socket.gethostname()})
    return exchange


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(exchange, id=f"{index}-{exchange.title}")
        for index, exchange in enumerate(exchanges("01"))
        if not exchange.title.startswith(NETWORK)
    ],
)
def test_an_empty_server_answers_as_recorded(empty: Stage, exchange: Exchange) -> None:
    wanted, got = replay(empty, own_host(exchange))
    assert got == wanted


@pytest.fixture
def stage(tmp_path: Path, registry: Registry) -> Iterator[Stage]:
    """Run a server that pulls plain names through a proxy from the lab's registry."""
    if UNDER_TEST:
        pytest.skip(f"start it with SSL_CERT_FILE={registry.ca} and a proxy to 127.0.0.1:{registry.secure}")
    mac = Mac(tmp_path)
    with proxy(registry.secure) as port:
        environment = {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": str(registry.ca)}
        with serving(mac, OLLAMA_CONTEXT_LENGTH="4096", **environment):
            yield Stage(
                mac.port,
                {
                    "127.0.0.1:5000": f"127.0.0.1:{registry.plain}",
                    "127.0.0.1:5443": f"127.0.0.1:{registry.secure}",
                    "mini2:1b": "tiny2:latest",
                    "mini2": "tiny2",
                    "$OLLAMA_MODELS": str(mac.models),
                },
            )


# The registry of the lab takes no uploads; other weights, so another `show`.
SKIPPED_02 = ("push", "show qwen3:8b", "copy for pushing", "delete a name of another registry")


def test_pulling_listing_copying_and_deleting_go_as_recorded(stage: Stage) -> None:
    for exchange in exchanges("02"):
        if exchange.title.startswith(SKIPPED_02):
            continue
        if len(exchange.answer) and not exchange.answer.rstrip().endswith(("}", "<EMPTY>")):
            continue  # cut short in the recording
        wanted, got = replay(stage, exchange)
        assert got == wanted, exchange.title


def test_a_pull_of_what_is_there_gives_one_full_line_per_layer(stage: Stage) -> None:
    again = next(exchange for exchange in exchanges("02") if exchange.title.startswith("pull again, everything"))
    ask(stage.port, "POST", "/api/pull", again.body)
    got = ask(stage.port, "POST", "/api/pull", again.body).lines
    recorded = [json.loads(line) for line in again.answer.splitlines()]
    assert [masked(line) for line in got] == [masked(line) for line in recorded]


def gpu_instead_of_cpu(value: Any) -> Any:
    """Forget where models run: the recording machine had no GPU, a Mac has one."""
    if isinstance(value, list):
        return [gpu_instead_of_cpu(item) for item in value if not (isinstance(item, tuple) and item[0] == "size_vram")]
    return (value[0], gpu_instead_of_cpu(value[1])) if isinstance(value, tuple) and len(value) == 2 else value


def prepared(stage: Stage, **copies: str) -> None:
    for name in ("tiny", "qwen3:8b"):
        assert ask(stage.port, "POST", "/api/pull", {"model": name, "stream": False}).status == 200
    for destination, source in copies.items():
        body = {"source": source, "destination": destination.replace("_", "-")}
        assert ask(stage.port, "POST", "/api/copy", body).status == 200


def test_loading_and_unloading_go_as_recorded(stage: Stage) -> None:
    prepared(stage, tiny_x="tiny")
    # What follows the first 32 came after commands; expiry is tested in test_ollama_process.py.
    for index, exchange in enumerate(exchanges("07")[:32]):
        wanted, got = replay(stage, exchange)
        assert gpu_instead_of_cpu(got) == gpu_instead_of_cpu(wanted), (index, exchange.title)


def test_aliases_and_deleted_models_go_as_recorded(stage: Stage) -> None:
    prepared(stage, alias="tiny")
    for index, exchange in enumerate(exchanges("09")[:15]):
        wanted, got = replay(stage, exchange)
        assert gpu_instead_of_cpu(got) == gpu_instead_of_cpu(wanted), (index, exchange.title)


def manifest(stage: Stage, name: str) -> Path:
    return Path(stage.words["$OLLAMA_MODELS"]) / "manifests/registry.ollama.ai/library" / name / "latest"


def blob(stage: Stage, name: str, kind: str) -> Path:
    layers = json.loads(manifest(stage, name).read_text())["layers"]
    digest: str = next(layer["digest"] for layer in layers if layer["mediaType"].endswith(kind))
    return Path(stage.words["$OLLAMA_MODELS"]) / "blobs" / digest.replace(":", "-")


def replayed(stage: Stage, first: str, count: int) -> None:
    found = exchanges("09")
    start = next(index for index, exchange in enumerate(found) if exchange.title == first)
    for exchange in found[start : start + count]:
        wanted, got = replay(stage, exchange)
        assert got == wanted, exchange.title


def test_a_model_without_its_weights_is_listed_but_of_no_use(stage: Stage) -> None:
    prepared(stage, hole="tiny")
    other = ask(stage.port, "POST", "/api/pull", {"model": "tiny2", "stream": False})
    assert other.status == 200
    hole = manifest(stage, "hole")
    data = json.loads(hole.read_text())
    data["layers"][0]["digest"] = "sha256:" + "e" * 64
    hole.write_text(json.dumps(data))
    ask(stage.port, "DELETE", "/api/delete", {"model": "tiny2"})
    ask(stage.port, "DELETE", "/api/delete", {"model": "qwen3:8b"})
    found = exchanges("09")
    start = next(index for index, exchange in enumerate(found) if "blob file" in exchange.title or exchange.title == "show")
    for exchange in found[start - 1 : start + 3]:
        wanted, got = replay(stage, exchange)
        assert got == wanted, exchange.title


def test_a_manifest_that_is_no_json_is_hidden_and_cannot_be_deleted(stage: Stage) -> None:
    prepared(stage, bad="tiny")
    ask(stage.port, "DELETE", "/api/delete", {"model": "qwen3:8b"})
    manifest(stage, "bad").write_text("{")
    found = exchanges("09")
    last = [exchange for exchange in found if '"bad"' in (exchange.body or "")]
    assert len(last) == 2
    for exchange in [found[found.index(last[0]) - 1], *last]:
        wanted, got = replay(stage, exchange)
        assert got == wanted, exchange.title


def test_weights_cut_short_are_named_when_they_are_loaded(stage: Stage) -> None:
    prepared(stage, cut="tiny")
    weights = blob(stage, "tiny", "model")
    with weights.open("r+b") as stream:
        stream.truncate(400000)
    got = ask(stage.port, "POST", "/api/generate", {"model": "cut"})
    pattern = r'tensor "blk\.0\.ffn_\w+\.weight" offset\+size \(\d+\) exceeds file size \(400000\)'
    assert re.fullmatch(pattern, got.json["error"])
