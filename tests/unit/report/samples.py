"""The owner's fleet as the judgements yield it, and a Mac of figures chosen at random."""

from __future__ import annotations

from typing import Any

GB = 10**9
GIB = 2**30


def model(name: str, role: str, figures: tuple[int, ...], ps: int, vision: int = 0, **more: Any) -> dict[str, Any]:
    """Return a model; `figures` are weights, KV, compute, process and prompt cache in bytes."""
    weights, kv, compute, process, cache = figures
    return {
        "name": name,
        "role": role,
        "context": 4096,
        "kv_type": "q8_0",
        "weights_bytes": weights,
        "kv_bytes": kv,
        "compute_bytes": compute,
        "vision_bytes": vision,
        "process_bytes": process,
        "prompt_cache_bytes": cache,
        "expected_ps_bytes": ps,
        "budget_bytes": sum(figures) + vision,
        "source": "registry",
        "digest": "500a1f067a9f",
        "notes": [],
        **more,
    }


def mini() -> dict[str, Any]:
    """Return the 16 GiB Mac: one resident, one model that is far too large for it."""
    return {
        "host": "mac-mini",
        "macos_major": 15,
        "memory_bytes": 16 * GIB,
        "reserve_bytes": 4 * GB,
        "ram_budget_bytes": 16 * GIB - 4 * GB,
        "gpu_budget_bytes": 10_379_508_394,
        "resident_bytes": 6_488_124_100,
        "worst_case_bytes": 21_193_800_000,
        "worst_case_models": ["gpt-oss:20b"],
        "load_order": ["qwen3:8b"],
        "models": [
            model("qwen3:8b", "resident", (5_225_388_164, 320_864_256, 104_857_600, 300_000_000, 536_870_912), 5_300_000_000),
            model(
                "gpt-oss:20b", "on_demand", (13_793_441_244, 63_963_136, 101_711_872, 300_000_000, 536_870_912), 12_800_000_000
            ),
            model("qwen3:14b", "candidate", (9_276_198_565, 356_515_840, 125_829_120, 300_000_000, 536_870_912), 9_320_967_845),
        ],
    }


def macbook() -> dict[str, Any]:
    """Return the 48 GiB Mac: everything fits, largest first."""
    cache = 2 * GIB
    return {
        "host": "macbook-pro",
        "macos_major": 15,
        "memory_bytes": 48 * GIB,
        "reserve_bytes": 4 * GB,
        "ram_budget_bytes": 48 * GIB - 4 * GB,
        "gpu_budget_bytes": 37_580_963_840,
        "resident_bytes": 8_513_000_000,
        "worst_case_bytes": 43_000_000_000,
        "worst_case_models": ["devstral-small-2:24b", "gpt-oss:20b"],
        "load_order": ["devstral-small-2:24b", "gpt-oss:20b", "qwen3:8b"],
        "models": [
            model(
                "qwen3:8b", "resident", (5_225_388_164, 641_728_512, 218_103_808, 300_000_000, cache), 5_740_000_000, context=8192
            ),
            model(
                "devstral-small-2:24b",
                "on_demand",
                (15_177_374_099, 713_031_680, 515_899_392, 300_000_000, cache),
                16_030_000_000,
                vision=GIB,
                context=8192,
            ),
            model(
                "gpt-oss:20b",
                "on_demand",
                (13_793_441_244, 123_731_968, 212_860_928, 300_000_000, cache),
                12_970_000_000,
                context=8192,
                source="catalogue",
            ),
            model(
                "qwen2.5vl:32b",
                "candidate",
                (21_159_310_657, 1_140_850_688, 419_430_400, 300_000_000, cache),
                22_281_647_425,
                context=8192,
                source="declared",
                notes=["declared as 21.2 GB; the vision part is not in the figures"],
            ),
        ],
    }


def unknown() -> dict[str, Any]:
    """Return a Mac of which nothing is known but its name and one model's."""
    return {"host": "new-mac", "models": [{"name": "somebody/secret:latest", "role": "resident", "source": "unknown"}]}


FINDINGS = [
    {
        "host": "mac-mini",
        "concern": "ram_budget",
        "item": "on-demand-would-swap",
        "found": 14_795_987_164,
        "wanted": 6_691_745_084,
        "severity": "warning",
        "why": "gpt-oss:20b needs 14.8 GB, beside the residents 6.7 GB of 13.2 GB are left: whoever loads it by hand pushes the"
        " residents out or the Mac into swap",
        "remedy": "set swap_risk: accepted for it in ollama_models_installed, or keep it off this Mac",
    },
    {
        "host": "new-mac",
        "concern": "ram_budget",
        "item": "memory-unknown",
        "found": None,
        "wanted": "a figure",
        "severity": "error",
        "why": "ram_budget_memory_gib is not set for it",
        "remedy": "set it in host_vars/new-mac/ram_budget.yml",
    },
]
