"""What a model is made of, as far as memory depends on it, and where each figure was read.

Four sources, best first: `/api/show` of a Mac that has the model, the GGUF header, a catalogue entry, and a size somebody
declared. The last one, and every architecture this file does not know, gives an upper bound that says so: `exact` is false and
`notes` hold the assumptions as sentences. All sizes are in bytes.

Rules by architecture follow llama.cpp (src/llama-model.cpp, `set_swa_pattern`): which layers look only at a window, which have
no cache at all. GGUF names the architecture `gptoss` in Ollama's library and `gpt-oss` in conversions from Hugging Face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from . import gguf
from .gguf import Header, Skipped, Tensor
from .units import GB, shown, whole_number

SOURCES = ("show", "gguf", "catalogue", "declared")

SLIDING_PERIODS: Mapping[str, int] = {
    "gptoss": 2, "gpt-oss": 2, "gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4,
}  # fmt: skip
"""Of so many layers the last one sees everything, the others a window. Others have no window unless their metadata says so."""

KNOWN = frozenset(
    {
        *SLIDING_PERIODS, "command-r", "deepseek2", "falcon-h1", "gemma", "glm4", "glm4moe", "granite", "granitehybrid",
        "granitemoe", "internlm2", "lfm2", "lfm2moe", "llama", "llama4", "minicpm", "mistral3", "nemotron", "nemotron_h",
        "nemotron_h_moe", "olmo2", "phi2", "phi3", "qwen2", "qwen25vl", "qwen2moe", "qwen2vl", "qwen3", "qwen35", "qwen35moe",
        "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe", "seed_oss", "smollm3", "stablelm", "starcoder2", "bert",
        "gemma-embedding", "nomic-bert", "nomic-bert-moe",
    }
)  # fmt: skip
"""Architectures whose cache follows from their metadata by the formula used here."""

WITHOUT_CACHE = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "modern-bert", "jina-bert-v2", "gemma-embedding"})
"""Encoders: they answer a whole text at once and keep nothing."""

ONE_TABLE = frozenset({"gemma", "gemma2", "gemma3", "gemma3n", "gemma-embedding", "command-r", "cohere2"})
"""Architectures whose output layer always is the embedding table."""

VOCABULARY_BY_TOKENIZER: Mapping[str, int] = {
    "qwen2": 151_936, "llama-bpe": 128_256, "tekken": 131_072, "gpt-4o": 201_088, "gemma3": 262_144, "gemma": 256_000,
}  # fmt: skip
"""`tokenizer.ggml.pre` -> words, for answers of `/api/show` that leave the vocabulary out."""

EMBEDDING_BITS: Mapping[str, float] = {
    "F32": 32, "F16": 16, "BF16": 16, "MXFP4": 16, "Q8_0": 8.5, "Q6_K": 6.5625, "Q5_K": 5.5, "Q5_0": 5.5, "Q5_1": 6.0,
    "Q4_K": 4.5, "Q4_0": 4.5, "Q4_1": 5.0, "IQ4_XS": 4.25, "IQ4_NL": 4.5, "Q3_K": 3.4375, "Q2_K": 2.625,
}  # fmt: skip
"""Bits per value of `token_embd` by the quantisation Ollama prints (the part before `_M`, `_S`, `_L`).

Confirmed by listings of qwen3:8b, qwen3:14b, devstral-small-2 and qwen2.5vl:32b (Q4_K_M: 4.5) and gpt-oss:20b (MXFP4: BF16).
"""


@dataclass(frozen=True)
class Architecture:
    """A model as memory sees it.

    `weights_bytes` are all its layers but a separate projector; `cpu_bytes` the part of them that stays in ordinary memory (the
    embedding table, unless it is also the output layer). `kv_heads` has one number per layer, 0 where a layer keeps no cache;
    `sliding_layers` is true where a layer looks back `sliding_window` tokens only. `recurrent_bytes` is the fixed state of a
    hybrid model per conversation. `train_context`, `vocabulary` and the `bound_` figures are 0 where there is none; the bounds
    stand in for all dimensions when only a size is known.
    """

    name: str
    architecture: str
    weights_bytes: int
    source: str
    exact: bool
    cpu_bytes: int = 0
    projector_bytes: int = 0
    block_count: int = 0
    kv_heads: tuple[int, ...] = ()
    key_length: int = 0
    value_length: int = 0
    sliding_key_length: int = 0
    sliding_value_length: int = 0
    sliding_window: int = 0
    sliding_layers: tuple[bool, ...] = ()
    recurrent_bytes: int = 0
    train_context: int = 0
    embedding_length: int = 0
    head_count: int = 0
    feed_forward_length: int = 0
    experts_used: int = 0
    expert_feed_forward_length: int = 0
    vocabulary: int = 0
    vision: bool = False
    bound_kv_values_per_token: int = 0
    bound_compute_values_per_token: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def hybrid(self) -> bool:
        """Tell a model of which some layers keep a cache and some do not."""
        return any(heads == 0 for heads in self.kv_heads) and any(self.kv_heads)

    @property
    def file_bytes(self) -> int:
        """Return what is on disk and, mapped, in memory: weights and projector."""
        return self.weights_bytes + self.projector_bytes

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON holds; `from_plain` reads it back to an equal object."""
        return {
            part.name: list(value) if isinstance(value, tuple) else value
            for part, value in ((part, getattr(self, part.name)) for part in fields(self))
        }


_LIMITS: Mapping[str, int] = {
    "weights_bytes": 10**15, "cpu_bytes": 10**15, "projector_bytes": 10**15, "block_count": 10_000, "key_length": 10**6,
    "value_length": 10**6, "sliding_key_length": 10**6, "sliding_value_length": 10**6, "sliding_window": 10**9,
    "recurrent_bytes": 10**12, "train_context": 10**9, "embedding_length": 10**6, "head_count": 10**5,
    "feed_forward_length": 10**7, "experts_used": 10**5, "expert_feed_forward_length": 10**7, "vocabulary": 10**8,
    "bound_kv_values_per_token": 10**9, "bound_compute_values_per_token": 10**9,
}  # fmt: skip


def from_plain(value: Any, where: str = "architecture") -> Architecture:
    """Read what `to_plain` wrote, or a person wrote in the same words; ValueError names the field.

    `kv_heads` may be one number for all layers; `sliding_layers` may be left out where the architecture fixes them;
    `key_length` and `value_length` follow from `embedding_length / head_count` where they are left out.
    """
    entry = _mapping(value, where)
    known = {part.name for part in fields(Architecture)}
    strange = sorted(str(key) for key in entry if key not in known)
    if strange:
        message = f"{where}.{strange[0][:60]} is not a figure of a model, known are {', '.join(sorted(known))}"
        raise ValueError(message)
    figures: dict[str, Any] = {
        key: whole_number(entry[key], f"{where}.{key}", 0, most) for key, most in _LIMITS.items() if entry.get(key) is not None
    }
    for key in ("name", "architecture", "source"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            message = f"{where}.{key} is {shown(entry.get(key))}, it must be text"
            raise ValueError(message)
    if entry["source"] not in SOURCES:
        message = f"{where}.source is {shown(entry['source'])}, it must be one of {', '.join(SOURCES)}"
        raise ValueError(message)
    for key in ("exact", "vision"):
        if not isinstance(entry.get(key, False), bool):
            message = f"{where}.{key} is {shown(entry[key])}, it must be true or false"
            raise ValueError(message)
    if not figures.get("weights_bytes"):
        message = f"{where}.weights_bytes is {shown(entry.get('weights_bytes'))}, it must be a number of bytes above 0"
        raise ValueError(message)
    notes = entry.get("notes", ())
    if not isinstance(notes, (list, tuple)) or not all(isinstance(note, str) for note in notes):
        message = f"{where}.notes is {shown(notes)}, it must be a list of sentences"
        raise ValueError(message)
    blocks = figures.get("block_count", 0)
    figures["kv_heads"] = _per_layer(entry.get("kv_heads", ()), blocks, f"{where}.kv_heads")
    figures.update(_head_lengths(figures))
    if entry.get("sliding_layers"):
        figures["sliding_layers"] = _flags(entry["sliding_layers"], blocks, f"{where}.sliding_layers")
    else:
        figures["sliding_layers"] = sliding_layers(entry["architecture"], figures.get("sliding_window", 0), blocks, None)
    made = Architecture(
        name=entry["name"],
        architecture=entry["architecture"],
        source=entry["source"],
        exact=entry.get("exact", False),
        vision=entry.get("vision", False),
        notes=tuple(notes),
        **figures,
    )
    if not made.kv_heads and made.architecture not in WITHOUT_CACHE and not made.bound_kv_values_per_token:
        return _bounded(made, f"{where} has no block_count and kv_heads")
    return made


def from_catalogue(name: str, entry: Any, where: str = "catalogue") -> Architecture:
    """Read an entry of a catalogue: the fields of `Architecture`, those left out that follow from others."""
    figures = _mapping(entry, f"{where}.{name}")
    return from_plain({"exact": True, **figures, "name": name, "source": "catalogue"}, f"{where}.{name}")


def from_declared(name: str, size_bytes: int) -> Architecture:
    """Return the upper bound for a model of which only the size is known."""
    if size_bytes <= 0:
        message = f"the declared size of {name} is {size_bytes} bytes, it must be above 0"
        raise ValueError(message)
    bare = Architecture(name=name, architecture="unknown", weights_bytes=size_bytes, source="declared", exact=False)
    return _bounded(bare, "only its declared size is known")


def _bounded(model: Architecture, cause: str) -> Architecture:
    """Give upper bounds for cache and compute buffer from the size alone.

    For S in GB a token takes at most 150,000 * S**0.62 cache values and 60,000 * S**0.35 floats of compute buffer. The exponents
    were chosen so that the curves lie above models without grouped heads at 4 bits per weight (phi3 3.8B, llama2 7B and 13B,
    olmo2 13B, qwen1.5 72B: 197,000 to 1,310,000 values) and with the widest feed-forward layers (gemma 7B, devstral 24B,
    llama 405B). Nearly every model since 2024 groups its heads and needs a third of it or less.
    """
    size = model.weights_bytes / GB
    values = {part.name: getattr(model, part.name) for part in fields(model)}
    values.update(
        exact=False,
        kv_heads=(),
        sliding_layers=(),
        bound_kv_values_per_token=round(150_000 * size**0.62),
        bound_compute_values_per_token=round(60_000 * size**0.35),
        notes=(*model.notes, f"{cause}: cache and compute buffer are an upper bound from the size"),
    )
    return Architecture(**values)


def from_gguf(name: str, header: Header, weights_bytes: int = 0, projector_bytes: int = 0) -> Architecture:
    """Build from a GGUF header: exact.

    `weights_bytes` is the size of the file, or of all layers of the model as `/api/tags` prints it; 0 takes the header and the
    sum of its tensors. `projector_bytes` is a projector in a file of its own.
    """
    tensors = {tensor.name: tensor for tensor in header.tensors}
    size = weights_bytes or header.header_bytes + header.tensor_bytes
    return _from_metadata(name, header.metadata, "gguf", size, projector_bytes, tensors)


def from_show(name: str, answer: Any, weights_bytes: int) -> Architecture:
    """Build from the answer of `/api/show` and the size that `/api/tags` prints (all layers of the model).

    Without `verbose` the answer names no tensors and empties long lists: then the embedding table is estimated from vocabulary,
    width and quantisation, and `notes` say so.
    """
    shown_model = _mapping(answer, f"the answer of /api/show for {name}")
    metadata = dict(_mapping(shown_model.get("model_info"), f"model_info of {name}"))
    details = shown_model.get("details")
    if isinstance(details, Mapping) and isinstance(details.get("quantization_level"), str):
        metadata["details.quantization_level"] = details["quantization_level"]
    listed = shown_model.get("tensors")
    tensors: Optional[dict[str, Tensor]] = None
    if isinstance(listed, (list, tuple)) and listed:
        tensors = {tensor.name: tensor for tensor in map(_shown_tensor, listed) if tensor is not None}
    capabilities = shown_model.get("capabilities")
    made = _from_metadata(name, metadata, "show", weights_bytes, 0, tensors)
    sees = isinstance(capabilities, (list, tuple)) and "vision" in capabilities
    if (sees or shown_model.get("projector_info")) and not made.vision:
        return from_plain({**made.to_plain(), "vision": True}, name)
    return made


def _shown_tensor(entry: Any) -> Optional[Tensor]:
    if (
        not isinstance(entry, Mapping)
        or not isinstance(entry.get("name"), str)
        or not isinstance(entry.get("shape"), (list, tuple))
    ):
        return None
    block = next((block for block in gguf.BLOCKS.values() if block[0] == entry.get("type")), None)
    if block is None or not 1 <= len(entry["shape"]) <= 4:
        return None
    dims = tuple(whole_number(size, f"the shape of {entry['name'][:60]}", 0, 10**12) for size in entry["shape"])
    rows = 1
    for size in dims[1:]:
        rows *= size
    return Tensor(entry["name"], dims, block[0], 0, rows * -(-dims[0] // block[1]) * block[2])


def _from_metadata(
    name: str,
    metadata: Mapping[str, Any],
    source: str,
    weights_bytes: int,
    projector_bytes: int,
    tensors: Optional[Mapping[str, Tensor]],
) -> Architecture:
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        message = f"{name}: general.architecture is {shown(architecture)}, it must be text"
        raise ValueError(message)
    if architecture == "clip":
        message = f"{name} is a projector (architecture clip), not a model"
        raise ValueError(message)
    read = _Metadata(name, architecture, metadata)
    figures: dict[str, Any] = {
        "block_count": read.whole("block_count", 10_000),
        "head_count": read.largest("attention.head_count", 10**5),
        "embedding_length": read.whole("embedding_length", 10**6),
        "train_context": read.whole("context_length", 10**9),
        "feed_forward_length": read.largest("feed_forward_length", 10**7),
        "experts_used": read.whole("expert_used_count", 10**5),
        "expert_feed_forward_length": read.largest("expert_feed_forward_length", 10**7),
        "key_length": read.whole("attention.key_length", 10**6),
        "value_length": read.whole("attention.value_length", 10**6),
        "sliding_key_length": read.whole("attention.key_length_swa", 10**6),
        "sliding_value_length": read.whole("attention.value_length_swa", 10**6),
        "sliding_window": read.whole("attention.sliding_window", 10**9),
    }
    figures.update(_head_lengths(figures))
    blocks = figures["block_count"]
    notes: list[str] = []
    exact = True
    heads, certain = _kv_heads(read, architecture, figures["head_count"], blocks)
    if not certain:
        exact = False
        notes.append("the answer does not say which layers have a cache: every layer is counted in full, an upper bound")
    if architecture not in KNOWN:
        exact = False
        notes.append(f"the architecture {architecture[:60]} is not known here: every layer is counted in full, an upper bound")
    figures["kv_heads"] = heads
    figures["sliding_layers"] = sliding_layers(
        architecture, figures["sliding_window"], blocks, metadata.get(f"{architecture}.attention.sliding_window_pattern")
    )
    figures["recurrent_bytes"] = _recurrent_bytes(read, heads, blocks, figures["embedding_length"])
    figures["vocabulary"] = _vocabulary(read, metadata, tensors)
    figures["cpu_bytes"], note = _cpu_bytes(metadata, figures, tensors, read)
    if note:
        notes.append(note)
    vision = bool(projector_bytes) or any(
        key.startswith((f"{architecture}.vision.", "clip.")) for key in metadata
    ) or any(tensor.startswith(("v.", "mm.")) for tensor in tensors or ())  # fmt: skip
    made = Architecture(
        name=name,
        architecture=architecture,
        weights_bytes=whole_number(weights_bytes, f"the size of {name}", 1, 10**15, "a number of bytes"),
        projector_bytes=whole_number(projector_bytes, f"the projector of {name}", 0, 10**15, "a number of bytes"),
        source=source,
        exact=exact,
        vision=vision,
        notes=tuple(notes),
        **figures,
    )
    if architecture in WITHOUT_CACHE:
        return made
    if not blocks or not any((made.key_length, made.value_length, made.recurrent_bytes)):
        return _bounded(made, f"its metadata has no {architecture}.block_count and head lengths")
    return made


class _Metadata:
    """Figures of one architecture out of metadata nobody vouches for."""

    def __init__(self, name: str, architecture: str, metadata: Mapping[str, Any]) -> None:
        self.name = name
        self.architecture = architecture
        self.metadata = metadata

    def get(self, key: str) -> Any:
        return self.metadata.get(f"{self.architecture}.{key}")

    def whole(self, key: str, most: int) -> int:
        value = self.get(key)
        return 0 if value is None else whole_number(value, f"{self.architecture}.{key} of {self.name}", 0, most)

    def largest(self, key: str, most: int) -> int:
        """Read a number that may be given per layer."""
        value = self.get(key)
        if isinstance(value, Skipped):
            return 0
        if isinstance(value, (list, tuple)):
            return max((whole_number(item, f"{self.architecture}.{key} of {self.name}", 0, most) for item in value), default=0)
        return self.whole(key, most)


def _head_lengths(figures: Mapping[str, Any]) -> dict[str, int]:
    """Fill in key and value length as llama.cpp does: width divided by heads."""
    heads = figures.get("head_count", 0)
    derived = figures.get("embedding_length", 0) // heads if heads else 0
    return {
        "key_length": figures.get("key_length") or derived,
        "value_length": figures.get("value_length") or figures.get("key_length") or derived,
    }


def _kv_heads(read: _Metadata, architecture: str, head_count: int, blocks: int) -> tuple[tuple[int, ...], bool]:
    """Return the heads per layer, and whether that is certain."""
    if architecture in WITHOUT_CACHE:
        return (), True
    value = read.get("attention.head_count_kv")
    certain = True
    if value is None:
        heads: tuple[int, ...] = (head_count,) * blocks
    elif isinstance(value, Skipped) or (isinstance(value, (list, tuple)) and not value):
        heads, certain = (head_count,) * blocks, False
    else:
        heads = _per_layer(value, blocks, f"{architecture}.attention.head_count_kv of {read.name}")
    interval = read.whole("full_attention_interval", 10_000)
    if interval > 1 and 0 not in heads:
        heads = tuple(count if (layer + 1) % interval == 0 else 0 for layer, count in enumerate(heads))
    shared = min(read.whole("attention.shared_kv_layers", 10_000), blocks)
    if shared:
        heads = heads[: blocks - shared] + (0,) * shared
    return heads, certain


def _per_layer(value: Any, blocks: int, where: str) -> tuple[int, ...]:
    if isinstance(value, (list, tuple)):
        if len(value) != blocks:
            message = f"{where} has {len(value)} numbers, the model has {blocks} layers"
            raise ValueError(message)
        return tuple(whole_number(item, f"{where}[{layer}]", 0, 10**5) for layer, item in enumerate(value))
    return (whole_number(value, where, 0, 10**5),) * blocks


def _flags(value: Any, blocks: int, where: str) -> tuple[bool, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != blocks or not all(item in (0, 1) for item in value):
        message = f"{where} is {shown(value)}, it must be true or false for each of {blocks} layers"
        raise ValueError(message)
    return tuple(bool(item) for item in value)


def sliding_layers(architecture: str, window: int, blocks: int, pattern: Any) -> tuple[bool, ...]:
    """Return for each layer whether it looks back only `window` tokens.

    `pattern` is what the metadata says: a flag per layer, or a period of which the last layer sees everything. Without it the
    period of the architecture holds, and an architecture that has none looks back all the way, whatever its window.
    """
    if not window:
        return (False,) * blocks
    if isinstance(pattern, (list, tuple)) and pattern:
        return _flags(pattern, blocks, f"{architecture}.attention.sliding_window_pattern")
    period = SLIDING_PERIODS.get(architecture, 1)
    if isinstance(pattern, (int, float)) and not isinstance(pattern, bool):
        period = whole_number(pattern, f"{architecture}.attention.sliding_window_pattern", 0, 10_000)
    if period == 0:
        return (True,) * blocks
    return tuple(layer % period < period - 1 for layer in range(blocks))


def _recurrent_bytes(read: _Metadata, heads: Sequence[int], blocks: int, width: int) -> int:
    """Return the state (32-bit floats) that state-space and short-convolution layers keep per conversation.

    As llama.cpp sizes it (`n_embd_r`, `n_embd_s`): convolution (kernel - 1) * (inner + 2 * groups * state), state inner * state.
    """
    layers = sum(1 for count in heads if count == 0) or blocks
    kernel, inner, state = (read.whole(f"ssm.{key}", 10**6) for key in ("conv_kernel", "inner_size", "state_size"))
    if inner and state:
        convolution = max(kernel - 1, 0) * (inner + 2 * read.whole("ssm.group_count", 10**6) * state)
        return 4 * layers * (convolution + inner * state)
    short = read.whole("shortconv.l_cache", 10**6)
    return 4 * layers * width * max(short - 1, 0) if short else 0


def _vocabulary(read: _Metadata, metadata: Mapping[str, Any], tensors: Optional[Mapping[str, Tensor]]) -> int:
    table = (tensors or {}).get("token_embd.weight")
    if table is not None and len(table.dims) == 2:
        return table.dims[1]
    words = metadata.get("tokenizer.ggml.tokens")
    if isinstance(words, Skipped):
        return words.length
    if isinstance(words, (list, tuple)) and words:
        return len(words)
    by_tokenizer = VOCABULARY_BY_TOKENIZER.get(str(metadata.get("tokenizer.ggml.pre")), 0)
    return read.whole("vocab_size", 10**8) or by_tokenizer


def _cpu_bytes(
    metadata: Mapping[str, Any], figures: Mapping[str, Any], tensors: Optional[Mapping[str, Tensor]], read: _Metadata
) -> tuple[int, str]:
    """Return the bytes of the embedding table if it stays on the CPU, and the assumption, if one was made.

    llama.cpp maps `token_embd` on the CPU. A model without `output.weight` uses the same table as its output layer, which goes
    to the GPU with the rest: then nothing may be subtracted.
    """
    if tensors is not None and "token_embd.weight" in tensors:
        per_layer = tensors.get("per_layer_token_embd.weight")
        extra = per_layer.size_bytes if per_layer is not None else 0
        return extra + (tensors["token_embd.weight"].size_bytes if "output.weight" in tensors else 0), ""
    vocabulary, width = figures["vocabulary"], figures["embedding_length"]
    level = str(metadata.get("details.quantization_level", ""))
    bits = EMBEDDING_BITS.get(level, EMBEDDING_BITS.get(level.rpartition("_")[0], 0.0))
    if not vocabulary or not width or not bits:
        return 0, "the embedding table is unknown and counted as if it were on the GPU"
    size = int(vocabulary * width * bits / 8)
    if read.architecture in ONE_TABLE or _tied(metadata, figures, read):
        return (
            0,
            "by its architecture or number of parameters the embedding table is also the output layer, and counted on the GPU",
        )
    return size, f"the embedding table on the CPU is estimated: {vocabulary} words x {width} at {bits} bits"


def _tied(metadata: Mapping[str, Any], figures: Mapping[str, Any], read: _Metadata) -> bool:
    """Tell by the number of parameters whether output layer and embedding table are one.

    The sum for a plain transformer is exact to a few parts in a thousand; a table is several times that.
    """
    count = metadata.get("general.parameter_count")
    if not isinstance(count, (int, float)) or isinstance(count, bool) or not figures["feed_forward_length"]:
        return False
    width, table = figures["embedding_length"], figures["vocabulary"] * figures["embedding_length"]
    experts = read.whole("expert_count", 10**5)
    inner = figures["expert_feed_forward_length"] or figures["feed_forward_length"]
    body = 0
    for heads in figures["kv_heads"]:
        attention = figures["head_count"] * (figures["key_length"] + figures["value_length"])
        attention += heads * (figures["key_length"] + figures["value_length"])
        body += width * (attention + 3 * (inner * experts if experts else figures["feed_forward_length"]))
    return bool(abs(count - body - table) < abs(count - body - 2 * table))


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        message = f"{where} is {shown(value)}, it must be a map"
        raise ValueError(message)
    return value
