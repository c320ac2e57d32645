"""The registry's models: true headers and sizes, stable manifests, digests that hold."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from ollama import gguf, sparse
from registry import catalogue
from registry.faults import FAULTS

MODELS: list[dict[str, Any]] = catalogue.source()["models"]
OWN = [model for model in MODELS if "same_weights_as" not in model]


def named(models: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(model, id=model["name"]) for model in models]


@pytest.mark.parametrize("model", named(OWN))
def test_the_official_reader_reads_the_header(model: dict[str, Any], tmp_path: Path) -> None:
    _, blob = catalogue.make_weights(model)
    file = tmp_path / "model.gguf"
    with file.open("wb") as stream:
        stream.write(blob.lead)
        stream.truncate(blob.size)
    reader = GGUFReader(file)
    arch = model["architecture"]
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == arch
    assert fields[f"{arch}.block_count"] == model["dimensions"]["layers"]
    embedding = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    assert tuple(embedding.shape) == (model["dimensions"]["embedding"], model["dimensions"]["vocabulary"])
    assert embedding.n_bytes == gguf.read(file).tensor_bytes("token_embd.weight")


EMBEDDINGS = {
    "qwen3:8b": 350_060_544,
    "qwen3:14b": 437_575_680,
    "gpt-oss:20b": 1_158_266_880,
    "devstral-small-2:24b": 377_487_360,
    "qwen2.5vl:32b": 437_944_320,
}


@pytest.mark.parametrize(("name", "size"), EMBEDDINGS.items())
def test_the_token_embedding_has_the_published_size(name: str, size: int) -> None:
    model = next(model for model in MODELS if model["name"] == name)
    assert next(catalogue.tensors(model)).size == size


@pytest.mark.parametrize("model", named([model for model in OWN if "size" in model]))
def test_the_layers_add_up_to_the_listed_size(model: dict[str, Any]) -> None:
    manifest = json.loads(catalogue.load().entries[catalogue.full_name(model["name"])].manifest)
    assert sum(layer["size"] for layer in [*manifest["layers"], manifest["config"]]) == model["size"]


@pytest.mark.parametrize("model", named(OWN))
def test_the_parameters_are_as_many_as_the_name_says(model: dict[str, Any]) -> None:
    count = 0
    for tensor in catalogue.tensors(model):
        sides = 1
        for side in tensor.shape:
            sides *= side
        count += sides
    said = model["config"]["parameters"]
    assert count == pytest.approx(float(said[:-1]) * {"B": 1e9, "M": 1e6}[said[-1]], rel=0.06)


def test_the_removed_duplicate_shares_its_weights() -> None:
    entries = catalogue.load().entries
    assert entries["library/qwen3-fast:8b"].weights == entries["library/qwen3:8b"].weights
    assert entries["library/qwen3-fast:8b"].digest != entries["library/qwen3:8b"].digest


def test_manifests_are_the_same_on_every_machine() -> None:
    digests = "".join(entry.digest for entry in catalogue.load().entries.values())
    assert hashlib.sha256(digests.encode()).hexdigest()[:16] == "b4da9cd0bd734ff7"


def test_a_moved_tag_has_another_digest_and_the_same_weights() -> None:
    for name, entry in catalogue.load().entries.items():
        moved = catalogue.load(moved=True).entries[name]
        assert (moved.digest != entry.digest, moved.weights) == (True, entry.weights)


@pytest.mark.parametrize("name", ["tiny:latest", "tiny2:latest"])
def test_small_digests_and_fingerprints_are_true(name: str, tmp_path: Path) -> None:
    _, blob = catalogue.make_weights(next(model for model in MODELS if model["name"] == name))
    file = tmp_path / "blob"
    file.write_bytes(blob.lead)
    assert file.stat().st_size == blob.size > 100_000
    assert (sparse.sha256(file), sparse.fingerprint(file)) == (blob.hashed(), blob.fingerprint())


@pytest.mark.parametrize("model", named([model for model in OWN if "size" in model]))
def test_the_listed_digests_belong_to_these_headers(model: dict[str, Any]) -> None:
    known = catalogue.known_digests()[model["name"]]
    _, blob = catalogue.make_weights(model)
    assert (known["lead_sha256"], known["size"]) == (hashlib.sha256(blob.lead).hexdigest(), blob.size)


@pytest.mark.slow
@pytest.mark.parametrize("model", named([model for model in OWN if "size" in model]))
def test_the_listed_digests_are_true(model: dict[str, Any]) -> None:
    _, blob = catalogue.make_weights(model)
    assert blob.hashed() == catalogue.known_digests()[model["name"]]["digest"]


def test_every_fault_is_explained() -> None:
    assert all(text and not text.endswith(".") for text in FAULTS.values())
