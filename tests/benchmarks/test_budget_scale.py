"""How long a thousand Macs with twenty models each take to judge, how that grows, and what the same sum costs in Jinja2.

Run with `pytest tests/benchmarks -s`; the figures are printed.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path

import ansible.module_utils
import jinja2

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.fleet.budget_rules import judge_inventory, plans_from_inventory  # noqa: E402
from ansible.module_utils.fleet.memory_model import (  # noqa: E402
    KV_TYPES,
    PROCESS_BYTES,
    budget,
    forecast,
    mac_from_figures,
    settings_from_environment,
)

from tests.unit.budget.examples import DEVSTRAL_TEXT, MODELS, OSS, QWEN8, QWEN14  # noqa: E402

MACS = 1000
KINDS = (QWEN8, QWEN14, OSS, DEVSTRAL_TEXT, MODELS["qwen2.5vl:32b"])
ARCHITECTURES = {
    f"model{number}:1": replace(
        KINDS[number % 5], name=f"model{number}:1", weights_bytes=KINDS[number % 5].weights_bytes + number
    )
    for number in range(20)
}
SIZES = (16, 24, 36, 48, 64, 96, 128)


def host(number):
    """Return the variables of one Mac: three of its twenty models stay loaded."""
    return {
        "ram_budget_memory_gib": SIZES[number % len(SIZES)],
        "ram_budget_macos_major": 15 + 11 * (number % 2),
        "ram_budget_reserve_gb": 4,
        "ollama_service_environment": {
            "OLLAMA_KV_CACHE_TYPE": ("q8_0", "f16")[number % 2],
            "OLLAMA_CONTEXT_LENGTH": ("4096", "8192", "")[number % 3],
            "LLAMA_ARG_CACHE_RAM": "512",
        },
        "ollama_models_installed": [
            {
                "name": name,
                "size_gb": round(ARCHITECTURES[name].file_bytes / 1e9, 1),
                "residency": "resident" if at % 20 in {number % 20, (number + 5) % 20, (number + 11) % 20} else "on_demand",
                "automatic_fallback": at % 4 == 0,
            }
            for at, name in enumerate(ARCHITECTURES)
        ],
    }


def judged(hosts):
    start = time.perf_counter()
    findings = sum(len(judge_inventory(f"mac{number}", variables, ARCHITECTURES)[0]) for number, variables in hosts)
    return time.perf_counter() - start, findings


def test_a_thousand_macs_with_twenty_models():
    hosts = [(number, host(number)) for number in range(MACS)]
    judged(hosts[:50])
    medians = {}
    for count in (250, 500, 1000):
        medians[count] = statistics.median(judged(hosts[:count])[0] for _ in range(3))
    total, findings = judged(hosts)
    print(
        f"\n{MACS} Macs x {len(ARCHITECTURES)} models: {total:.2f} s, {total / MACS * 1000:.2f} ms per Mac, {findings} findings"
    )
    print("medians: " + ", ".join(f"{count} Macs {seconds:.2f} s" for count, seconds in medians.items()))
    assert findings
    # No worse than linear; a fifth is left for a machine that does other things as well.
    assert medians[500] <= 2 * medians[250] * 1.2
    assert medians[1000] <= 4 * medians[250] * 1.2


LOOP = """
{%- set sum = namespace(bytes=0) -%}
{%- for model in models if model.resident -%}
  {%- set sliding = namespace(cells=0) -%}
  {%- set whole = ((context + 255) // 256) * 256 -%}
  {%- set narrow = [whole, ((model.sliding_window + batch + 255) // 256) * 256] | min -%}
  {%- set cache = namespace(values=0) -%}
  {%- for heads in model.kv_heads -%}
    {%- set slides = model.sliding_layers[loop.index0] -%}
    {%- if slides -%}{%- set sliding.cells = narrow -%}{%- endif -%}
    {%- set cache.values = cache.values + heads * (model.key_length + model.value_length) * (narrow if slides else whole) -%}
  {%- endfor -%}
  {%- set inner = model.feed_forward_length * (model.experts_used or 1) -%}
  {%- set queries = model.head_count * model.key_length -%}
  {%- set width = model.embedding_length -%}
  {%- set times = (2 if width > queries else 1 if width < queries else 0) if block > 1 else 1 -%}
  {%- set floats = 3 * (inner + width) + times * queries -%}
  {%- if model.experts_used -%}
    {%- set floats = [floats, inner + (2 * model.experts_used + 3) * width] | max -%}
  {%- endif -%}
  {%- set compute = batch * (4 * floats + 2 * (whole + sliding.cells)) -%}
  {%- set sum.bytes = sum.bytes + model.weights_bytes + cache.values * size // block + compute + process
      + (1073741824 if model.vision else 0) + cache_bytes -%}
{%- endfor -%}
{{ sum.bytes }}
"""


def test_the_same_sum_as_a_loop_in_jinja2():
    template = jinja2.Environment(autoescape=True).from_string(LOOP)
    cases = []
    for number in range(100):
        # One batch for both, so that the loop need not repeat Ollama's rule for it.
        variables = {**host(number), "ram_budget_memory_gib": 512}
        variables["ollama_service_environment"] = {**variables["ollama_service_environment"], "OLLAMA_CONTEXT_LENGTH": "8192"}
        chosen = settings_from_environment(variables["ollama_service_environment"])
        plans = plans_from_inventory(variables["ollama_models_installed"], ARCHITECTURES)
        cases.append((mac_from_figures(f"mac{number}", 512), chosen, plans))
    start = time.perf_counter()
    core = [budget(mac, chosen, plans).residents_ram_bytes for mac, chosen, plans in cases]
    core_whole = time.perf_counter() - start
    start = time.perf_counter()
    core_sum = [
        sum(forecast(plan.model, chosen).budget_bytes for plan in plans if plan.resident) for _, chosen, plans in cases
    ]  # fmt: skip
    core_seconds = time.perf_counter() - start
    described = [[{**plan.model.to_plain(), "resident": plan.resident} for plan in plans] for _, _, plans in cases]
    start = time.perf_counter()
    loop = [
        int(
            template.render(
                models=models, context=8192, batch=1024, process=PROCESS_BYTES, cache_bytes=chosen.prompt_cache_bytes,
                size=KV_TYPES[chosen.kv_type][0], block=KV_TYPES[chosen.kv_type][1],
            )
        )
        for models, (_, chosen, _) in zip(described, cases, strict=True)
    ]  # fmt: skip
    loop_seconds = time.perf_counter() - start
    print(
        f"\nsum of three residents of 20 models, per Mac: Python {core_seconds * 10:.3f} ms, Jinja2 loop {loop_seconds * 10:.3f}"
        f" ms; the whole budget of the Mac (20 models, order, admission) in Python {core_whole * 10:.3f} ms"
    )
    assert core == core_sum == loop
