"""GGUF headers as the package `gguf` writes them, without data, of models with the dimensions of real ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type


def make(architecture, keys=None, tensors=(), *, tokens=1000, pre="", alignment=0):
    """Return the bytes of a header. `keys` stand below the architecture, tensors are (name, shape, type)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        if alignment:
            writer.add_custom_alignment(alignment)
        for key, value in (keys or {}).items():
            name = f"{architecture}.{key}"
            if isinstance(value, bool):
                writer.add_bool(name, value)
            elif isinstance(value, int):
                writer.add_uint32(name, value)
            elif isinstance(value, str):
                writer.add_string(name, value)
            else:
                writer.add_array(name, value)
        writer.add_float32("general.some_float", 0.5)
        writer.add_chat_template("{{ long }}" * 1000)
        if pre:
            writer.add_string("tokenizer.ggml.pre", pre)
        if tokens:
            writer.add_array("tokenizer.ggml.tokens", [f"word{number}" for number in range(tokens)])
            writer.add_array("tokenizer.ggml.scores", [float(number) for number in range(tokens)])
            writer.add_array("tokenizer.ggml.token_type", list(range(tokens)))
        for name, shape, kind in tensors:
            block, size = gguf.GGML_QUANT_SIZES[kind]
            stored = (*shape[:-1], shape[-1] // block * size)
            # The writer takes the shape in bytes of what is quantised, and the shape in values of what is not.
            if kind == Type.F32:
                writer.add_tensor_info(name, shape, np.dtype(np.float32), int(np.prod(shape)) * 4)
            else:
                writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        return path.read_bytes()


def plain_keys(blocks, width, heads, kv_heads, inner, context, **more):
    """Return the keys every transformer has."""
    return {
        "block_count": blocks,
        "embedding_length": width,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "feed_forward_length": inner,
        "context_length": context,
        **more,
    }


def tables(vocabulary, width, kind=Type.Q4_K, *, output=True):
    """Return the embedding table, one layer's norm, and the output layer unless both are one."""
    made = [("token_embd.weight", (vocabulary, width), kind), ("blk.0.attn_norm.weight", (width,), Type.F32)]
    return [*made, ("output.weight", (vocabulary, width), Type.Q6_K)] if output else made


LENGTHS = {"attention.key_length": 128, "attention.value_length": 128}

HYBRID_HEADS = [0, 0, 0, 2] * 12

HEADERS = {
    "qwen3": lambda: make(
        "qwen3", plain_keys(36, 4096, 32, 8, 12288, 40960, **LENGTHS), tables(151_936, 4096), pre="qwen2"
    ),
    "llama": lambda: make("llama", plain_keys(32, 4096, 32, 8, 14336, 131_072), tables(128_256, 4096), pre="llama-bpe"),
    "mistral3": lambda: make(
        "mistral3",
        plain_keys(40, 5120, 32, 8, 32768, 393_216, **LENGTHS),
        [*tables(131_072, 5120), ("v.patch_embd.weight", (1024, 64), Type.F32)],
    ),
    "gptoss": lambda: make(
        "gptoss",
        plain_keys(
            24, 2880, 64, 8, 2880, 131_072, expert_count=32, expert_used_count=4, expert_feed_forward_length=2880,
            **{"attention.key_length": 64, "attention.value_length": 64, "attention.sliding_window": 128},
        ),
        [*tables(201_088, 2880, Type.BF16), ("blk.0.ffn_gate_exps.weight", (32, 2880, 2880), Type.MXFP4)],
    ),
    "gemma3": lambda: make(
        "gemma3",
        plain_keys(
            34, 2560, 8, 4, 10240, 131_072,
            **{"attention.key_length": 256, "attention.value_length": 256, "attention.sliding_window": 1024},
        ),
        tables(262_144, 2560, Type.F16, output=False),
    ),
    "qwen25vl": lambda: make(
        "qwen25vl",
        plain_keys(64, 5120, 40, 8, 27648, 128_000, **{"vision.block_count": 32}),
        tables(152_064, 5120),
    ),
    "hybrid": lambda: make(
        "qwen3next",
        plain_keys(
            48, 2048, 16, HYBRID_HEADS, 5120, 262_144, expert_count=512, expert_used_count=10, expert_feed_forward_length=512,
            **{
                "attention.key_length": 256, "attention.value_length": 256, "ssm.conv_kernel": 4, "ssm.inner_size": 4096,
                "ssm.state_size": 128, "ssm.group_count": 16,
            },
        ),
        tables(151_936, 2048),
    ),
    "unknown": lambda: make("zebra9", plain_keys(20, 2048, 16, 4, 8192, 32768), tables(50_000, 2048)),
    "nothing": lambda: make("zebra9", {}, tables(50_000, 2048)),
}  # fmt: skip
