"""Models, Macs and measured figures that several tests use.

Dimensions are from published model configurations, sizes from registry manifests. Buffers were measured with llama.cpp b10488
(the version Ollama 0.32.15 pins) on a CPU without weights, flash attention on, one sequence.
"""

from __future__ import annotations

from dataclasses import replace

from ansible.module_utils.fleet.architecture import from_catalogue
from ansible.module_utils.fleet.memory_model import Mac, Plan, settings_from_environment
from ansible.module_utils.fleet.units import GB, GIB

QWEN8 = from_catalogue(
    "qwen3:8b",
    {
        "architecture": "qwen3", "weights_bytes": 5_225_388_164, "cpu_bytes": 350_060_544, "block_count": 36, "kv_heads": 8,
        "key_length": 128, "value_length": 128, "embedding_length": 4096, "head_count": 32, "feed_forward_length": 12288,
        "vocabulary": 151_936, "train_context": 40_960,
    },
)  # fmt: skip
QWEN14 = from_catalogue(
    "qwen3:14b",
    {
        "architecture": "qwen3", "weights_bytes": 9_276_198_565, "cpu_bytes": 437_575_680, "block_count": 40, "kv_heads": 8,
        "key_length": 128, "value_length": 128, "embedding_length": 5120, "head_count": 40, "feed_forward_length": 17408,
        "vocabulary": 151_936, "train_context": 40_960,
    },
)  # fmt: skip
OSS = from_catalogue(
    "gpt-oss:20b",
    {
        "architecture": "gptoss", "weights_bytes": 13_793_441_244, "cpu_bytes": 1_158_266_880, "block_count": 24, "kv_heads": 8,
        "key_length": 64, "value_length": 64, "embedding_length": 2880, "head_count": 64, "feed_forward_length": 2880,
        "experts_used": 4, "expert_feed_forward_length": 2880, "sliding_window": 128, "vocabulary": 201_088,
        "train_context": 131_072,
    },
)  # fmt: skip
DEVSTRAL_TEXT = from_catalogue(
    "devstral-small-2:24b",
    {
        "architecture": "mistral3", "weights_bytes": 15_177_374_099, "cpu_bytes": 377_487_360, "block_count": 40, "kv_heads": 8,
        "key_length": 128, "value_length": 128, "embedding_length": 5120, "head_count": 32, "feed_forward_length": 32768,
        "vocabulary": 131_072, "train_context": 393_216,
    },
)  # fmt: skip
DEVSTRAL = replace(DEVSTRAL_TEXT, vision=True)
QWEN_VISION = from_catalogue(
    "qwen2.5vl:32b",
    {
        "architecture": "qwen25vl", "weights_bytes": 21_159_310_657, "cpu_bytes": 437_944_320, "block_count": 64, "kv_heads": 8,
        "embedding_length": 5120, "head_count": 40, "feed_forward_length": 27648, "vocabulary": 152_064, "train_context": 128_000,
        "vision": True,
    },
)  # fmt: skip
MODELS = {one.name: one for one in (QWEN8, QWEN14, OSS, DEVSTRAL_TEXT, QWEN_VISION)}

MEASURED = [
    # model, context, cache type: cache MiB, compute MiB, `ps` GB, budget GB without prompt cache
    ("qwen3:8b", 4096, "f16", 576, 108, 5.59, 6.2),
    ("qwen3:8b", 4096, "q8_0", 306, 100, 5.30, 6.0),
    ("qwen3:8b", 8192, "f16", 1152, 224, 6.32, 7.0),
    ("qwen3:8b", 8192, "q8_0", 612, 208, 5.74, 6.4),
    ("qwen3:8b", 32768, "f16", 4608, 272, 9.99, 10.6),
    ("qwen3:8b", 32768, "q8_0", 2448, 256, 7.71, 8.4),
    ("gpt-oss:20b", 4096, "f16", 114, 97, 12.86, 14.3),
    ("gpt-oss:20b", 4096, "q8_0", 61, 97, 12.80, 14.3),
    ("gpt-oss:20b", 8192, "f16", 222, 203, 13.08, 14.5),
    ("gpt-oss:20b", 8192, "q8_0", 118, 203, 12.97, 14.4),
    ("gpt-oss:20b", 32768, "f16", 798, 251, 13.74, 15.2),
    ("gpt-oss:20b", 32768, "q8_0", 424, 251, 13.34, 14.8),
    ("devstral-small-2:24b", 4096, "f16", 640, 234, 15.72, 16.4),
    ("devstral-small-2:24b", 4096, "q8_0", 340, 242, 15.41, 16.1),
    ("devstral-small-2:24b", 8192, "f16", 1280, 476, 16.64, 17.3),
    ("devstral-small-2:24b", 8192, "q8_0", 680, 492, 16.03, 16.7),
    ("devstral-small-2:24b", 32768, "f16", 5120, 524, 20.72, 21.4),
    ("devstral-small-2:24b", 32768, "q8_0", 2720, 540, 18.22, 18.9),
]

MINI = Mac("mac-mini", 16 * GIB, 15, 4 * GB, max_loaded_model_bytes=6 * GB)
MACBOOK = Mac("macbook-pro", 48 * GIB, 15, 4 * GB)

OWNERS = {"OLLAMA_HOST": "0.0.0.0", "OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"}
"""The environment of the owner's document."""


def settings(**more):
    """Return the owner's settings with more variables."""
    return settings_from_environment({**OWNERS, **more})


def resident(model, **more):
    return Plan(model, resident=True, **more)


def said(findings):
    return [(finding.item, finding.severity) for finding in findings]
