"""How much memory a model takes on a Mac, and what Ollama believes it will take.

Formulas: Ollama's `PredictServerVRAM` and batch rules (server/sched.go, llm/llama_server.go, 0.32), llama.cpp's
cache layout, and compute buffers measured with llama.cpp b10488 (the version 0.32.15 pins). All sizes in bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from ollama.gguf import Header

MIB = 1 << 20
GIB = 1 << 30

# Bytes per value; a quantised block of 32 values carries its scale (ggml block layout): q8_0 is 34/32.
KV_TYPES: dict[str, float] = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
PROCESS = 300_000_000  # a llama-server process without its buffers (budget column of the measured table)


class Needs(NamedTuple):
    """What one loaded model takes."""

    weights: int
    kv: int
    compute: int
    embedding: int

    @property
    def total(self) -> int:
        """`size` in /api/ps when all fits: file less the token embedding, which stays mapped on the CPU side."""
        return self.weights - self.embedding + self.kv + self.compute

    @property
    def ram(self) -> int:
        """What the Mac must find for it, prompt cache aside."""
        return self.weights + self.kv + self.compute + PROCESS


def working_set(memory: int, os_major: int) -> int:
    """Give Metal's recommendedMaxWorkingSetSize.

    Seen in published logs: 16 GB 11453.25 MB up to macOS 15 and 12713.12 MB on macOS 26, 48 GB 38654.71 MB.
    Where between 16 and 48 GB the share changes is a guess (36 GB).
    """
    if memory >= 36 * GIB:
        return memory * 3 // 4
    return memory * 74 // 100 if os_major >= 26 else memory * 2 // 3


def default_context(total_vram: int) -> int:
    """Give the default num_ctx by GPU memory, since 0.15.5 (server/routes.go)."""
    if total_vram >= 47 * GIB:
        return 262144
    return 32768 if total_vram >= 23 * GIB else 4096


def _padded(cells: int) -> int:
    return -(-cells // 256) * 256


def _sliding_layers(header: Header) -> int:
    """Count the layers with a sliding window: every second for gpt-oss, five of six for gemma3."""
    layers = header.number("block_count")
    if not header.number("attention.sliding_window"):
        return 0
    if header.architecture in ("gptoss", "gpt-oss"):
        return layers // 2
    return layers * 5 // 6 if header.architecture.startswith("gemma3") else 0


def kv_bytes(header: Header, context: int, *, parallel: int = 1, batch: int = 512, kind: str = "f16") -> int:
    """Give the size of the key/value cache."""
    layers = header.number("block_count")
    heads = header.number("attention.head_count") or 1
    kv_heads = header.number("attention.head_count_kv") or heads
    derived = header.number("embedding_length") // heads
    width = header.number("attention.key_length", derived) + header.number("attention.value_length", derived)
    cells = _padded(context * parallel)
    sliding = _sliding_layers(header)
    window = min(cells, _padded(header.number("attention.sliding_window") * parallel + batch))
    per_cell = kv_heads * width * KV_TYPES[kind]
    return int(per_cell * ((layers - sliding) * cells + sliding * window))


def compute_bytes(header: Header, context: int, *, batch: int = 512, flash: bool = True) -> int:
    """Give the size of the compute buffer.

    With flash attention, per token of the batch: three times the feed-forward width plus four times the embedding
    in 32-bit floats, and the 16-bit attention mask; within 9 % of every figure measured for qwen3, gpt-oss and
    mistral3. Without it the scores of all heads are held as well: measured 308 MiB at 4096 and 2156 at 32768
    for qwen3:8b.
    """
    embedding = header.number("embedding_length")
    if not flash:
        return batch * 4 * (context * (header.number("attention.head_count") + 1) + 6 * embedding)
    wide = header.number("feed_forward_length")
    experts = header.number("expert_used_count")
    if experts:
        wide = header.number("expert_feed_forward_length", wide) * experts
    return batch * (3 * wide + 4 * embedding) * 4 + context * batch * 2


def needs(header: Header, context: int, *, parallel: int = 1, batch: int = 512, kind: str = "f16", flash: bool = True) -> Needs:
    """Give all that one loaded model takes."""
    return Needs(
        header.file_size,
        kv_bytes(header, context, parallel=parallel, batch=batch, kind=kind),
        compute_bytes(header, context * parallel, batch=batch, flash=flash),
        header.tensor_bytes("token_embd.weight"),
    )


def predicted(header: Header, context: int) -> int:
    """Give what Ollama expects before a load: f16, no sliding windows, head size by division (0.32)."""
    heads = header.number("attention.head_count") or 1
    value = header.metadata.get(header.architecture + ".attention.head_count_kv", heads)
    kv_heads = int(min(value) if isinstance(value, list) else value) or 1
    width = header.number("embedding_length") // heads
    return header.file_size + 2 * header.number("block_count") * kv_heads * width * context * 2


def surcharge(batch: int) -> int:
    """Give the memory Ollama adds to a prediction for a large batch."""
    if batch >= 2048:
        return 2 * GIB
    return 768 * MIB if batch >= 1024 else 0


def generation_batch(context: int, prediction: int, available: int) -> int:
    """Choose llama-server's -b and -ub: larger for a long context, as far as there is headroom."""
    batch = 2048 if context > 32768 else 1024 if context > 4096 else 512
    while batch > 512:
        threshold = available * 80 // 100
        headroom = available * (60 if batch >= 2048 else 75) // 100
        if prediction <= min(threshold, headroom) and surcharge(batch) <= threshold - prediction:
            return batch
        batch //= 2
    return batch
