"""The registry's models: manifests and blobs made from catalogue.yml.

A blob is its leading bytes and a length; what follows the leading bytes is zeros. The sha256 of gigabytes of zeros
is not computed at every start: digests.json holds it with the sha256 of the leading bytes it belongs to.
`python -m registry.catalogue` computes them all (some 40 s).
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from ollama import sparse

from registry.gguf_writer import TensorInfo, header

HERE = Path(__file__).parent
SMALL = 1 << 24  # blobs up to this size are hashed on the spot


class Blob(NamedTuple):
    """Content: some bytes, then zeros up to the size."""

    lead: bytes
    size: int

    def hashed(self) -> str:
        """Compute the true sha256 of the whole content."""
        total = hashlib.sha256(self.lead)
        zeros = bytes(1 << 20)
        left = self.size - len(self.lead)
        while left:
            step = min(left, len(zeros))
            total.update(zeros[:step])
            left -= step
        return "sha256:" + total.hexdigest()

    def fingerprint(self) -> str:
        """Give the fingerprint of `ollama.sparse`, from the leading bytes alone."""
        total = hashlib.sha256(b"%d\n" % self.size)
        for start in range(0, len(self.lead), sparse.BLOCK):
            length = min(sparse.BLOCK, self.size - start)
            content = self.lead[start : start + length].ljust(length, b"\0")
            if content.count(0) != len(content):
                total.update(b"%d:%d\n" % (start // sparse.BLOCK, len(content)))
                total.update(content)
        return "sha256:" + total.hexdigest()


class Entry(NamedTuple):
    """A model as the registry serves it."""

    name: str
    manifest: bytes
    digest: str
    weights: str


class Catalogue(NamedTuple):
    """All models and blobs, by name (`namespace/model:tag`) and digest."""

    entries: Mapping[str, Entry]
    blobs: Mapping[str, Blob]


def compact(value: Any) -> bytes:
    """Write JSON as Ollama's Go does, so that digests are the same on every machine."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


@functools.cache
def source() -> dict[str, Any]:
    """Read catalogue.yml."""
    content: dict[str, Any] = yaml.safe_load((HERE / "catalogue.yml").read_text(encoding="utf-8"))
    return content


@functools.cache
def known_digests() -> dict[str, dict[str, Any]]:
    """Read digests.json."""
    content: dict[str, dict[str, Any]] = json.loads((HERE / "digests.json").read_text(encoding="utf-8"))
    return content


def metadata(model: Mapping[str, Any]) -> dict[str, Any]:
    """Give the metadata of a model's file, in llama.cpp's key names."""
    arch, size = model["architecture"], model["dimensions"]
    heads = {"attention.head_count": size["heads"], "attention.head_count_kv": size["kv_heads"]}
    if "head_length" in size:
        heads |= {"attention.key_length": size["head_length"], "attention.value_length": size["head_length"]}
    own: dict[str, Any] = {
        **heads,
        "attention.layer_norm_rms_epsilon": 1e-05 if arch in ("llama", "gptoss", "mistral3") else 1e-06,
        "block_count": size["layers"],
        "context_length": size["context"],
        "embedding_length": size["embedding"],
        "feed_forward_length": size["feed_forward"],
        "rope.freq_base": 10000.0 if arch == "llama" else 1000000.0,
        "vocab_size": size["vocabulary"],
    }
    if arch == "llama":
        own["rope.dimension_count"] = size["embedding"] // size["heads"]
    if "experts" in size:
        own["expert_count"] = size["experts"]
        own["expert_used_count"] = size["experts_used"]
        own["expert_feed_forward_length"] = size["feed_forward"]
    if "sliding_window" in size:
        own["attention.sliding_window"] = size["sliding_window"]
    for key, value in model.get("vision", {}).items():
        names = {"layers": "block_count", "heads": "attention.head_count", "embedding": "embedding_length"}
        names |= {"feed_forward": "feed_forward_length", "image": "image_size", "patch": "patch_size"}
        own["vision." + names[key]] = value
    tokens = ["<unk>", "<s>", "</s>", "a", "b", "c"]
    return {
        "general.architecture": arch,
        "general.basename": model["basename"],
        "general.file_type": model["file_type"],
        "general.license": model["license"],
        "general.name": model["basename"],
        "general.size_label": model.get("size_label", model["config"]["parameters"]),
        **{f"{arch}.{key}": value for key, value in sorted(own.items())},
        "tokenizer.ggml.add_bos_token": arch == "llama",
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.model": "llama" if arch == "llama" else "gpt2",
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": [1] * len(tokens),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def tensors(model: Mapping[str, Any]) -> Iterator[TensorInfo]:
    """List a model's tensors."""
    size, types, arch = model["dimensions"], model["types"], model["architecture"]
    wide, feed = size["embedding"], size["feed_forward"]
    length = size.get("head_length", wide // size["heads"])
    query, value = size["heads"] * length, size["kv_heads"] * length
    yield TensorInfo("token_embd.weight", (wide, size["vocabulary"]), types["embedding"])
    yield TensorInfo("output.weight", (wide, size["vocabulary"]), types["output"])
    yield TensorInfo("output_norm.weight", (wide,), "F32")
    for layer in range(size["layers"]):
        start = f"blk.{layer}."
        better = types["better"] if layer % 2 else types["most"]
        yield TensorInfo(start + "attn_norm.weight", (wide,), "F32")
        yield TensorInfo(start + "ffn_norm.weight", (wide,), "F32")
        yield TensorInfo(start + "attn_q.weight", (wide, query), types["most"])
        yield TensorInfo(start + "attn_k.weight", (wide, value), types["most"])
        yield TensorInfo(start + "attn_v.weight", (wide, value), better)
        yield TensorInfo(start + "attn_output.weight", (query, wide), types["most"])
        if arch == "qwen3":
            yield TensorInfo(start + "attn_q_norm.weight", (length,), "F32")
            yield TensorInfo(start + "attn_k_norm.weight", (length,), "F32")
        if "experts" in size:
            count = size["experts"]
            yield TensorInfo(start + "ffn_gate_inp.weight", (wide, count), "F32")
            for part in ("gate", "up", "down"):
                yield TensorInfo(start + f"ffn_{part}_exps.weight", (wide, feed, count), types["experts"])
        else:
            yield TensorInfo(start + "ffn_gate.weight", (wide, feed), types["most"])
            yield TensorInfo(start + "ffn_up.weight", (wide, feed), types["most"])
            yield TensorInfo(start + "ffn_down.weight", (feed, wide), better)
    vision = model.get("vision")
    if vision:
        across, inner = vision["embedding"], vision["feed_forward"]
        for layer in range(vision["layers"]):
            for part in ("q", "k", "v", "out"):
                yield TensorInfo(f"v.blk.{layer}.attn_{part}.weight", (across, across), "F16")
            for part in ("gate", "up", "down"):
                yield TensorInfo(f"v.blk.{layer}.ffn_{part}.weight", (across, inner), "F16")


def noise(length: int) -> bytes:
    """Give bytes that look random and are the same everywhere."""
    return b"".join(hashlib.sha256(b"%d" % index).digest() for index in range(-(-length // 32)))[:length]


def weights(model: Mapping[str, Any], others: int) -> Blob:
    """Make a model's file; `others` is what the small layers take of the listed size."""
    lead, complete = header(metadata(model), list(tensors(model)))
    if model.get("weights") == "noise":
        return Blob(lead + noise(complete - len(lead)), complete)
    size = model["size"] - others
    if complete > size:
        raise ValueError(f"{model['name']}: the tensors need {complete} bytes, the file has {size}")
    return Blob(lead, size)


def full_name(name: str) -> str:
    """Give `namespace/model:tag` of a catalogue name."""
    parts = name.split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 else "library/" + name


def digest_of(name: str, blob: Blob) -> str:
    """Give a blob's sha256, from digests.json when it is large."""
    if blob.size <= SMALL:
        return blob.hashed()
    known = known_digests().get(name)
    lead = hashlib.sha256(blob.lead).hexdigest()
    if known is None or known["lead_sha256"] != lead or known["size"] != blob.size:
        raise ValueError(f"digests.json does not fit {name}: run python -m registry.catalogue")
    return str(known["digest"])


def _small_layers(model: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    kinds = {
        "template": source()["templates"][model["template"]].encode("utf-8"),
        "license": source()["licenses"][model["license"]].encode("utf-8"),
        "params": compact(model["params"]),
    }
    return [("application/vnd.ollama.image." + kind, data) for kind, data in kinds.items()]


def _config(model: Mapping[str, Any], digests: list[str]) -> bytes:
    shown = model["config"]
    return compact(
        {
            "model_format": "gguf",
            "model_family": shown["family"],
            "model_families": [shown["family"]],
            "model_type": shown["parameters"],
            "file_type": shown["quantization"],
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
    )


def _named(name: str) -> Mapping[str, Any]:
    return next(model for model in source()["models"] if model["name"] == name)


def make_weights(model: Mapping[str, Any]) -> tuple[str, Blob]:
    """Give the name under which a model's weights are known, and the weights."""
    if "same_weights_as" in model:
        return make_weights(_named(model["same_weights_as"]))
    small = _small_layers(model)
    placeholder = ["sha256:" + "0" * 64] * (len(small) + 1)
    others = sum(len(data) for _, data in small) + len(_config(model, placeholder))
    return model["name"], weights(model, others)


def make_entry(model: Mapping[str, Any], digest: str, blob: Blob, *, moved: bool = False) -> tuple[Entry, dict[str, Blob]]:
    """Make a model's manifest and small blobs; a moved tag has other parameters and so another digest."""
    changed = {**model, "params": {**model["params"], "seed": 1}} if moved else model
    layers = [("application/vnd.ollama.image.model", digest, blob.size)]
    blobs = {digest: blob}
    for media_type, data in _small_layers(changed):
        small = Blob(data, len(data))
        layers.append((media_type, small.hashed(), small.size))
        blobs[small.hashed()] = small
    data = _config(changed, [layer[1] for layer in layers])
    config = Blob(data, len(data))
    blobs[config.hashed()] = config
    manifest = compact(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": config.hashed(),
                "size": config.size,
            },
            "layers": [{"mediaType": kind, "digest": name, "size": size} for kind, name, size in layers],
        }
    )
    entry = Entry(model["name"], manifest, "sha256:" + hashlib.sha256(manifest).hexdigest(), digest)
    return entry, blobs


@functools.cache
def load(*, moved: bool = False) -> Catalogue:
    """Make the whole catalogue, as it is or with every tag moved."""
    entries: dict[str, Entry] = {}
    blobs: dict[str, Blob] = {}
    for model in source()["models"]:
        name, blob = make_weights(model)
        entry, made = make_entry(model, digest_of(name, blob), blob, moved=moved)
        entries[full_name(model["name"])] = entry
        blobs |= made
    return Catalogue(entries, blobs)


def main() -> int:
    """Compute digests.json."""
    found = {}
    for model in source()["models"]:
        name, blob = make_weights(model)
        if name not in found and blob.size > SMALL:
            lead = hashlib.sha256(blob.lead).hexdigest()
            found[name] = {"digest": blob.hashed(), "lead_sha256": lead, "size": blob.size}
            print(name, blob.size, len(blob.lead), found[name]["digest"], flush=True)
    (HERE / "digests.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
