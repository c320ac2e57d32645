"""How much memory a model takes once Ollama has loaded it, and how much a Mac has to give. Bytes throughout.

What is added up, for Ollama since 0.30 (one llama-server process per model, everything on the GPU):

- weights: the file. All of it but the embedding table on the CPU is in what `ollama ps` calls SIZE.
- cache (KV): exact. Per layer kv heads * (key + value length) * cells * bytes per value. Every parallel conversation has cells of
  its own (Ollama passes `-np` and no `--kv-unified`): its context rounded up to 256, in a sliding layer `window + batch` at most.
- compute buffer: a formula fitted to measured figures, see `compute_bytes`.
- the process itself, and its prompt cache in ordinary memory (`--cache-ram`, 8192 MiB unless LLAMA_ARG_CACHE_RAM says
  otherwise). Neither is in SIZE, both are in the memory to budget.
- for a model that sees, the gibibyte that Ollama itself sets aside for the projector's buffers (`mmprojOffloadHeadroom`).

SIZE = weights - embedding table + cache + compute buffer. Memory to budget = weights + cache + compute buffer + projector's
buffers + process + prompt cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Optional

from .architecture import WITHOUT_CACHE, Architecture
from .units import GB, GIB, MIB, bytes_of_gb, bytes_of_gib, finite_number, shown, whole_number

KV_TYPES: Mapping[str, tuple[int, int]] = {
    "f32": (4, 1), "f16": (2, 1), "bf16": (2, 1), "q8_0": (34, 32), "q5_1": (24, 32), "q5_0": (22, 32), "q4_1": (20, 32),
    "q4_0": (18, 32), "iq4_nl": (18, 32),
}  # fmt: skip
"""Cache type -> bytes for so many values (block layout of ggml). llama-server accepts these nine and no others."""

QUANTISED_KV_TYPES = tuple(kind for kind, (_, values) in KV_TYPES.items() if values > 1)

CELL_ROUNDING = 256
PROCESS_BYTES = 300_000_000
"""A llama-server beside its buffers, measured on Linux: about 0.3 GB."""

VISION_HEADROOM_BYTES = GIB
DEFAULT_CACHE_RAM_MIB = 8192
DEFAULT_MAX_LOADED = 3
DEFAULT_FIT_TARGET_MIB = 1024
SMALLEST_CONTEXT = 4096
CONTEXTS = (4096, 8192, 16384, 32768, 65536, 131072)
"""What `largest_context` tries: powers of two, as people set them."""

SINGLE_PARALLEL = frozenset(
    {
        "lfm2", "lfm2moe", "mllama", "nemotron_h", "nemotron_h_moe", "qwen35", "qwen35moe", "qwen3next", "qwen3vl", "qwen3vlmoe",
    }
)  # fmt: skip
"""Families for which Ollama forces OLLAMA_NUM_PARALLEL to 1 (with their mixture-of-experts forms)."""

_TIERS = ((47 * GIB, 262_144), (23 * GIB, 32_768), (0, 4096))
"""Since 0.15.5: total GPU memory -> context where none is set (server/routes.go)."""

_BATCHES = ((2048, 32_768, 60, 2 * GIB), (1024, 4096, 75, 768 * MIB))
"""Batch, the context above which it is tried, percent of free memory the prediction may take, surcharge; server/sched.go."""

ADMISSION_PERCENT = 80


@dataclass(frozen=True)
class Settings:
    """What the environment of `ollama serve` decides about memory.

    0 for `context_length` and `max_loaded_models` and None for the others mean "not set". `flash_attention` None is Ollama's
    own choice, which is on for Metal. `cache_ram_mib` is LLAMA_ARG_CACHE_RAM: 0 none, -1 no limit.
    """

    context_length: int = 0
    parallel: int = 1
    kv_type: str = "f16"
    flash_attention: Optional[bool] = None
    cache_ram_mib: Optional[int] = None
    max_loaded_models: int = 0
    fit_target_mib: int = DEFAULT_FIT_TARGET_MIB
    gpu_overhead_bytes: int = 0

    @property
    def flash(self) -> bool:
        """Return whether flash attention is used."""
        return self.flash_attention is not False

    @property
    def most_loaded(self) -> int:
        """Return how many models Ollama keeps loaded at once; 3 on a Mac where nothing is set."""
        return self.max_loaded_models or DEFAULT_MAX_LOADED

    @property
    def cache_capped(self) -> bool:
        """Tell a prompt cache somebody set a limit for (0 is one)."""
        return self.cache_ram_mib is not None and self.cache_ram_mib >= 0

    @property
    def prompt_cache_bytes(self) -> int:
        """Return what the prompt cache of one runner may grow to; without any limit at least the default is counted."""
        cached = self.cache_ram_mib
        return (DEFAULT_CACHE_RAM_MIB if cached is None or cached < 0 else cached) * MIB


@dataclass(frozen=True)
class Mac:
    """A Mac as the budget sees it. Limits and overrides are 0 where nobody set one."""

    name: str
    memory_bytes: int
    macos_major: int = 15
    reserve_bytes: int = 4 * GB
    wired_limit_mib: int = 0
    working_set_bytes: int = 0
    max_loaded_model_bytes: int = 0

    @property
    def gpu(self) -> WorkingSet:
        """Return Metal's working set and where the figure comes from."""
        if self.working_set_bytes:
            return WorkingSet(self.working_set_bytes, "measured on this Mac")
        return working_set(self.memory_bytes, self.macos_major, self.wired_limit_mib)

    @property
    def ram_budget_bytes(self) -> int:
        """Return what models may take of all memory: the rest is the reserve for macOS."""
        return max(0, self.memory_bytes - self.reserve_bytes)


@dataclass(frozen=True)
class WorkingSet:
    """Metal's recommendedMaxWorkingSetSize, and how sure the figure is."""

    size_bytes: int
    source: str


@dataclass(frozen=True)
class Plan:
    """A model somebody wants on a Mac, with what the inventory says about its use. 0 and "" mean "not said"."""

    model: Architecture
    resident: bool = False
    automatic_fallback: bool = False
    swap_risk_accepted: bool = False
    context_length: int = 0
    declared_bytes: int = 0
    digest: str = ""
    in_registry: Optional[bool] = None

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self.model.name


@dataclass(frozen=True)
class Forecast:
    """One loaded model, in bytes. `weights_bytes` include the projector; `cpu_bytes` are a part of them, not an addition.

    `batch_reserve_bytes` is what the batch of an empty Mac would take more than the one Ollama chooses when room is short. It is
    in no size and no budget; only what is asked of the GPU counts it, so that no model fits because of a smaller batch.
    """

    name: str
    context: int
    parallel: int
    kv_type: str
    batch: int
    weights_bytes: int
    cpu_bytes: int
    kv_bytes: int
    compute_bytes: int
    vision_bytes: int
    process_bytes: int
    prompt_cache_bytes: int
    batch_reserve_bytes: int
    predicted_bytes: int
    source: str
    exact: bool
    notes: tuple[str, ...] = ()

    @property
    def expected_ps_bytes(self) -> int:
        """Return what `ollama ps` and `/api/ps` will call its size."""
        return self.weights_bytes - self.cpu_bytes + self.kv_bytes + self.compute_bytes

    @property
    def gpu_bytes(self) -> int:
        """Return what to reckon with of Metal's working set: the projector's buffers and the reserve for the batch included."""
        return self.expected_ps_bytes + self.vision_bytes + self.batch_reserve_bytes

    @property
    def bare_bytes(self) -> int:
        """Return the memory to budget without the prompt cache."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.vision_bytes + self.process_bytes

    @property
    def budget_bytes(self) -> int:
        """Return the memory to budget."""
        return self.bare_bytes + self.prompt_cache_bytes

    def to_plain(self) -> dict[str, Any]:
        """Return the figures under the names of the reports."""
        return {
            "name": self.name,
            "context": self.context,
            "parallel": self.parallel,
            "kv_type": self.kv_type,
            "batch": self.batch,
            "weights_bytes": self.weights_bytes,
            "cpu_bytes": self.cpu_bytes,
            "kv_bytes": self.kv_bytes,
            "compute_bytes": self.compute_bytes,
            "vision_bytes": self.vision_bytes,
            "process_bytes": self.process_bytes,
            "prompt_cache_bytes": self.prompt_cache_bytes,
            "batch_reserve_bytes": self.batch_reserve_bytes,
            "expected_ps_bytes": self.expected_ps_bytes,
            "budget_bytes": self.budget_bytes,
            "predicted_bytes": self.predicted_bytes,
            "source": self.source,
            "exact": self.exact,
            "notes": list(self.notes),
        }


def kv_type(text: Any, name: str = "OLLAMA_KV_CACHE_TYPE") -> str:
    """Read a cache type as Ollama does, lower-cased, empty for f16; ValueError for one that makes every load fail."""
    found = "f16" if text is None or text == "" else text.lower() if isinstance(text, str) else None
    if found is None or found not in KV_TYPES:
        message = f"{name} is {shown(text)}, it must be one of {', '.join(KV_TYPES)}"
        raise ValueError(message)
    return found


def default_context(working_set_bytes: int, gpu_overhead_bytes: int = 0) -> int:
    """Return the context of a model for which nobody set one, before its training context caps it.

    OLLAMA_GPU_OVERHEAD is subtracted without a sign in Ollama: larger than the working set, it selects the largest tier.
    """
    total = working_set_bytes - gpu_overhead_bytes
    if total < 0:
        return _TIERS[0][1]
    return next(context for size, context in _TIERS if total >= size)


def effective_context(model: Architecture, settings: Settings, default: int = SMALLEST_CONTEXT, own: int = 0) -> int:
    """Return a conversation's context: the model's own (`num_ctx`), else the server's, else the default; never above training."""
    context = own or settings.context_length or default
    return min(context, model.train_context) if model.train_context else context


def effective_parallel(model: Architecture, settings: Settings) -> int:
    """Return how many conversations share the cache."""
    return 1 if model.architecture in SINGLE_PARALLEL else max(1, settings.parallel)


def cells(context: int, parallel: int = 1) -> int:
    """Return the cells of a layer that sees everything: whole blocks of 256 for each conversation."""
    return -(-context // CELL_ROUNDING) * CELL_ROUNDING * parallel


def sliding_cells(context: int, parallel: int, batch: int, window: int) -> int:
    """Return the cells of a layer that sees a window: never more than the others have."""
    return min(cells(context), cells(window + batch)) * parallel


@lru_cache(maxsize=8192)
def _values_per_cell(model: Architecture) -> tuple[int, int]:
    """Return cache values per cell over all layers: of those that see everything, and of those that slide."""
    if not model.kv_heads:
        return model.bound_kv_values_per_token, 0
    everywhere = sliding = 0
    width = model.key_length + model.value_length
    narrow = (model.sliding_key_length or model.key_length) + (model.sliding_value_length or model.value_length)
    for heads, slides in zip(model.kv_heads, model.sliding_layers or (False,) * len(model.kv_heads)):
        if slides:
            sliding += heads * narrow
        else:
            everywhere += heads * width
    return everywhere, sliding


def kv_bytes(model: Architecture, context: int, parallel: int, kind: str, batch: int) -> int:
    """Return the cache with the fixed state of a hybrid model, exact to the byte (bound where the model is one)."""
    everywhere, sliding = _values_per_cell(model)
    values = everywhere * cells(context, parallel)
    if sliding:
        values += sliding * sliding_cells(context, parallel, batch, model.sliding_window)
    size, block = KV_TYPES[kind]
    return -(-values * size // block) + model.recurrent_bytes * parallel


def compute_bytes(
    model: Architecture, context: int, batch: int, *, flash: bool, quantised: bool = False, outputs: int = 0
) -> int:  # fmt: skip
    """Return the compute buffer: what one batch of tokens needs while it passes through one layer, in 32-bit floats.

    With flash attention: batch * (3 * (inner + width) + queries) floats, and the mask in 16 bits per cell of one conversation
    (those of full and of sliding layers). `inner` is the feed-forward width, for a mixture of experts that of the experts used
    together, where batch * (inner + 2 * experts used * width + 3 * width) can be more. With a quantised cache the allocator
    places the tensors otherwise: `queries` counts twice where it is smaller than the width, not at all where they are equal.

    Without flash attention: the scores of all heads against all cells in 32 bits, the mask in 32 bits, and
    batch * (3 * width + 2 * queries + 2 * keys) floats; or the feed-forward part above, whichever is more.

    Fitted to figures measured with llama.cpp on its CPU backend (b10488 and a version of the same autumn, weights not allocated,
    one output per conversation as llama-server asks for): qwen3 4B to 32B and 30B-A3B, llama 3B to 70B, qwen2.5 32B, devstral
    24B, gpt-oss 20B, gemma3 4B to 27B; contexts of 4096 to 131072, batches of 512 to 2048, f16 and q8_0, one to four
    conversations. No residual above 0.6 MiB with flash attention; without it, up to 16 MiB too little for gemma3 and 4 MiB for
    gpt-oss, none above 0.1 MiB for the others. Not fitted: state-space layers, multi-head latent attention, Metal itself.

    `outputs` counts tokens whose logits are kept. llama-server keeps one per conversation, llama.cpp before it learned that
    kept a whole batch, which makes at least outputs * (vocabulary + 2 * width) floats (312.75 MiB for qwen3:8b at 512, as
    published logs have it).
    """
    everything = cells(context)
    sliding = sliding_cells(context, 1, batch, model.sliding_window) if any(model.sliding_layers) else 0
    logits = 4 * outputs * (model.vocabulary + 2 * model.embedding_length)
    if model.bound_compute_values_per_token:
        floats, heads, plain_floats = model.bound_compute_values_per_token, 128, 0
    else:
        width, heads = model.embedding_length, model.head_count
        queries = heads * model.key_length
        keys = max(model.kv_heads, default=0) * model.key_length
        used = model.experts_used
        inner = used * (model.expert_feed_forward_length or model.feed_forward_length) or model.feed_forward_length
        times = (2 if width > queries else 1 if width < queries else 0) if quantised and flash else 1
        floats = max(3 * (inner + width) + times * queries, (inner + (2 * used + 3) * width) if used else 0)
        plain_floats = 3 * width + 2 * queries + 2 * keys
    if model.architecture in WITHOUT_CACHE:
        # An encoder has no cache to look back on: a batch attends to itself.
        everything = batch
    if flash:
        return max(batch * (4 * floats + 2 * (everything + sliding)), logits)
    mask = 4 * (everything + sliding)
    return max(batch * (4 * floats + mask), batch * (4 * heads * everything + 4 * plain_floats + mask), logits)


@lru_cache(maxsize=8192)
def _predicted_per_token(model: Architecture) -> int:
    if not model.kv_heads:
        return 2 * model.bound_kv_values_per_token
    head_size = model.embedding_length // model.head_count if model.head_count else 0
    return 2 * model.block_count * max(1, min(model.kv_heads)) * head_size * 2


def predicted_bytes(model: Architecture, context: int, parallel: int) -> int:
    """Return Ollama's own guess, on which it evicts others (`PredictServerVRAM`), without the surcharge for the batch.

    It takes width / heads for the head size, which is wrong for several models (160 for 128 in devstral, 45 for 64 in gpt-oss),
    the fewest kv heads of any layer, and f16 whatever the cache type; sliding windows do not count. Repeated here as it is.
    """
    return model.file_bytes + _predicted_per_token(model) * context * parallel


def batch_size(context: int, parallel: int, predicted: int, available_bytes: Optional[int]) -> int:
    """Return the batch Ollama gives llama-server: larger for long contexts, if its prediction leaves room for it.

    `available_bytes` None means plenty.
    """
    for batch, above, percent, surcharge in _BATCHES:
        if context * parallel <= above:
            continue
        if available_bytes is None:
            return batch
        threshold = available_bytes * ADMISSION_PERCENT // 100
        if predicted <= available_bytes * percent // 100 and predicted + surcharge <= threshold:
            return batch
    return 512


def forecast(
    model: Architecture,
    settings: Settings,
    *,
    default: int = SMALLEST_CONTEXT,
    own_context: int = 0,
    available_bytes: Optional[int] = None,
    batch: Optional[int] = None,
) -> Forecast:
    """Return what the model will take. `default` is the context of the Mac's tier, `own_context` the model's `num_ctx`.

    `available_bytes` (GPU memory still free when it is loaded) decides the batch, unless `batch` is given.
    """
    context = effective_context(model, settings, default, own_context)
    parallel = effective_parallel(model, settings)
    predicted = predicted_bytes(model, context, parallel)
    used = batch or batch_size(context, parallel, predicted, available_bytes)

    def buffers(size: int) -> tuple[int, int]:
        cache = kv_bytes(model, context, parallel, settings.kv_type, size)
        quantised = settings.kv_type in QUANTISED_KV_TYPES
        return cache, compute_bytes(model, context, size, flash=settings.flash, quantised=quantised)

    cache, compute = buffers(used)
    wanted = used if batch else batch_size(context, parallel, predicted, None)
    return Forecast(
        name=model.name,
        context=context,
        parallel=parallel,
        kv_type=settings.kv_type,
        batch=used,
        weights_bytes=model.file_bytes,
        cpu_bytes=min(model.cpu_bytes, model.file_bytes),
        kv_bytes=cache,
        compute_bytes=compute,
        vision_bytes=VISION_HEADROOM_BYTES if model.vision else 0,
        process_bytes=PROCESS_BYTES,
        prompt_cache_bytes=0 if model.architecture in WITHOUT_CACHE else settings.prompt_cache_bytes,
        batch_reserve_bytes=0 if wanted == used else sum(buffers(wanted)) - cache - compute,
        predicted_bytes=predicted,
        source=model.source,
        exact=model.exact,
        notes=model.notes,
    )


_SHARES_26 = (
    (16, 12_124 / 16_384), (18, 13_640 / 18_432), (24, 18_186 / 24_576), (32, 25_559 / 32_768), (36, 28_754 / 36_864),
    (48, 38_338 / 49_152), (64, 53_084 / 65_536), (128, 110_100 / 131_072),
)  # fmt: skip
"""macOS 26: GiB of memory -> share for the GPU, from start-up logs of llama.cpp (24 inferred)."""


def working_set(memory_bytes: int, macos_major: int, wired_limit_mib: int = 0) -> WorkingSet:
    """Return Metal's recommendedMaxWorkingSetSize.

    `iogpu.wired_limit_mb` above 0 is reported by Metal exactly as set. Else, up to macOS 15, two thirds of memory up to 32 GiB
    and three quarters from 36 GiB on. Since macOS 26 between 74 and 84 %: as logged for 16 to 128 GiB, on a straight line
    between two logged sizes, the nearest logged share outside; 8 GiB is not logged and gets the older two thirds.
    """
    if wired_limit_mib:
        return WorkingSet(wired_limit_mib * MIB, "iogpu.wired_limit_mb")
    gib = memory_bytes / GIB
    if macos_major < 26:
        small = gib < 36
        share = "2/3" if small else "3/4"
        return WorkingSet(memory_bytes * 2 // 3 if small else memory_bytes * 3 // 4, f"{share} of memory, macOS 15 and older")
    if gib < _SHARES_26[0][0]:
        return WorkingSet(memory_bytes * 2 // 3, "2/3 of memory, not logged for this size on macOS 26")
    for size, share_26 in _SHARES_26:
        if gib == size:
            return WorkingSet(int(memory_bytes * share_26), "logged for this size, macOS 26")
    for (low, low_share), (high, high_share) in zip(_SHARES_26, _SHARES_26[1:]):
        if low < gib < high:
            between = low_share + (high_share - low_share) * (gib - low) / (high - low)
            return WorkingSet(int(memory_bytes * between), f"between those logged for {low} and {high} GiB, macOS 26")
    return WorkingSet(int(memory_bytes * _SHARES_26[-1][1]), "share logged for 128 GiB, macOS 26")


def gpu_budget_bytes(mac: Mac, settings: Settings) -> int:
    """Return what fits on the GPU together: the working set less what llama-server keeps free of it (LLAMA_ARG_FIT_TARGET)."""
    return max(0, mac.gpu.size_bytes - settings.fit_target_mib * MIB)


def forecast_on(
    mac: Mac, settings: Settings, plan: Plan, *, loaded: Sequence[Forecast] = (), context: int = 0
) -> Forecast:  # fmt: skip
    """Return what the model will take on this Mac beside what is `loaded`; `context` overrides every other setting of it."""
    return forecast(
        plan.model,
        settings,
        default=default_context(mac.gpu.size_bytes, settings.gpu_overhead_bytes),
        own_context=context or plan.context_length,
        available_bytes=available_bytes(mac, loaded),
    )


def available_bytes(mac: Mac, loaded: Iterable[Forecast] = ()) -> int:
    """Return what Ollama takes for free: the smaller of GPU and system memory, less its own runners.

    It sees no other program's GPU memory. The system's share is not knowable from outside: memory less the reserve stands for it.
    """
    gpu, ram = mac.gpu.size_bytes, mac.ram_budget_bytes
    for one in loaded:
        gpu -= one.expected_ps_bytes
        ram -= one.expected_ps_bytes + one.process_bytes
    return max(0, min(gpu, ram))


@dataclass(frozen=True)
class Admission:
    """One step of loading models one after the other: what Ollama predicts, what it allows, and whether others stay loaded."""

    name: str
    predicted_bytes: int
    allowed_bytes: int
    admitted: bool


def admissions(mac: Mac, settings: Settings, plans: Sequence[Plan], *, context: int = 0) -> tuple[Admission, ...]:
    """Load in the order given, as Ollama's scheduler would. The first is always loaded, whatever its size."""
    loaded: list[Forecast] = []
    steps = []
    for plan in plans:
        one = forecast_on(mac, settings, plan, loaded=loaded, context=context)
        allowed = available_bytes(mac, loaded) * ADMISSION_PERCENT // 100
        admitted = not loaded or (len(loaded) < settings.most_loaded and one.predicted_bytes <= allowed)
        steps.append(Admission(one.name, one.predicted_bytes, allowed, admitted))
        loaded.append(one)
    return tuple(steps)


def load_order(
    mac: Mac, settings: Settings, plans: Sequence[Plan], *, context: int = 0
) -> tuple[tuple[Plan, ...], bool]:  # fmt: skip
    """Return the order in which to load, and whether all stay loaded then: largest first.

    Where that is not enough, by what a model is predicted beyond 80 % of what it takes, most first: if any order admits all, this
    one does (exchanging two neighbours that are the other way round never helps).
    """
    whole = {plan.name: forecast_on(mac, settings, plan, context=context) for plan in plans}
    largest = tuple(sorted(plans, key=lambda plan: (-whole[plan.name].gpu_bytes, plan.name)))
    if all(step.admitted for step in admissions(mac, settings, largest, context=context)):
        return largest, True

    def beyond(plan: Plan) -> int:
        one = whole[plan.name]
        return 100 * one.predicted_bytes - ADMISSION_PERCENT * one.expected_ps_bytes

    other = tuple(sorted(plans, key=lambda plan: (-beyond(plan), plan.name)))
    if all(step.admitted for step in admissions(mac, settings, other, context=context)):
        return other, True
    return largest, False


@dataclass(frozen=True)
class Budget:
    """A Mac's memory and what its models take of it. Bytes; head room may be negative, nothing else."""

    mac: str
    memory_bytes: int
    reserve_bytes: int
    working_set_bytes: int
    working_set_source: str
    gpu_budget_bytes: int
    ram_budget_bytes: int
    residents_gpu_bytes: int
    residents_ram_bytes: int
    residents_prompt_cache_bytes: int
    worst_on_demand: str
    worst_on_demand_bytes: int
    gpu_headroom_bytes: int
    ram_headroom_bytes: int
    order: tuple[str, ...]
    all_admitted: bool
    models: tuple[Forecast, ...]
    resident_names: tuple[str, ...]

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for reports."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in self.__dict__.items()}
        residents = set(self.resident_names)
        values["models"] = [{**one.to_plain(), "resident": one.name in residents} for one in self.models]
        return values


def budget(mac: Mac, settings: Settings, plans: Sequence[Plan]) -> Budget:
    """Add up a Mac. Every model is counted as if it were loaded first (the largest batch), so no order makes it more."""
    ordered = sorted(plans, key=lambda plan: plan.name)
    forecasts = {plan.name: forecast_on(mac, settings, plan) for plan in ordered}
    residents = [plan for plan in ordered if plan.resident]
    held = [forecasts[plan.name] for plan in residents]
    gpu, ram = gpu_budget_bytes(mac, settings), mac.ram_budget_bytes
    caches = sum(one.prompt_cache_bytes for one in held)
    gpu_sum, ram_sum = sum(one.gpu_bytes for one in held), sum(one.budget_bytes for one in held)
    on_demand = [forecasts[plan.name] for plan in ordered if not plan.resident]
    worst = max(on_demand, key=lambda one: one.budget_bytes, default=None)
    order, admitted = load_order(mac, settings, residents)
    return Budget(
        mac=mac.name,
        memory_bytes=mac.memory_bytes,
        reserve_bytes=mac.reserve_bytes,
        working_set_bytes=mac.gpu.size_bytes,
        working_set_source=mac.gpu.source,
        gpu_budget_bytes=gpu,
        ram_budget_bytes=ram,
        residents_gpu_bytes=gpu_sum,
        residents_ram_bytes=ram_sum,
        residents_prompt_cache_bytes=caches,
        worst_on_demand=worst.name if worst else "",
        worst_on_demand_bytes=worst.budget_bytes if worst else 0,
        gpu_headroom_bytes=gpu - gpu_sum,
        ram_headroom_bytes=ram - ram_sum,
        order=tuple(plan.name for plan in order),
        all_admitted=admitted,
        models=tuple(forecasts.values()),
        resident_names=tuple(plan.name for plan in residents),
    )


def need_bytes(one: Forecast, settings: Settings) -> int:
    """Return the memory a verdict rests on: with the prompt cache only if somebody capped it.

    An uncapped cache grows with use, up to 8 GiB per runner; it has a rule of its own and does not decide what a model needs.
    """
    return (one.budget_bytes if settings.cache_capped else one.bare_bytes) + one.batch_reserve_bytes


def fits_together(mac: Mac, settings: Settings, plans: Sequence[Plan], *, context: int = 0) -> bool:
    """Tell whether all of them can stay loaded: GPU, memory, and Ollama's own rule in some order."""
    held = [forecast_on(mac, settings, plan, context=context) for plan in plans]
    if sum(one.gpu_bytes for one in held) > gpu_budget_bytes(mac, settings):
        return False
    if sum(need_bytes(one, settings) for one in held) > mac.ram_budget_bytes:
        return False
    return load_order(mac, settings, plans, context=context)[1]


def largest_context(mac: Mac, settings: Settings, plans: Sequence[Plan]) -> int:
    """Return the largest of `CONTEXTS` with which all of them stay loaded, 0 when none does."""
    trained = max((plan.model.train_context or CONTEXTS[-1] for plan in plans), default=CONTEXTS[-1])
    for context in reversed(CONTEXTS):
        if context <= max(trained, CONTEXTS[0]) and fits_together(mac, settings, plans, context=context):
            return context
    return 0


def with_kv_type(settings: Settings, kind: str) -> Settings:
    """Return the same settings with another cache type; a quantised one brings flash attention, which it needs."""
    if kind in QUANTISED_KV_TYPES and settings.flash_attention is False:
        return replace(settings, kv_type=kind, flash_attention=None)
    return replace(settings, kv_type=kind)


def settings_from_environment(environment: Any, where: str = "ollama_service_environment") -> Settings:
    """Read the server's environment (texts, as launchd passes them); ValueError names the variable."""
    if environment is None:
        environment = {}
    if not isinstance(environment, Mapping):
        message = f"{where} is {shown(environment)}, it must be a map of names to texts"
        raise ValueError(message)

    def count(name: str, default: int, low: int = 0, high: int = 10**9) -> int:
        value = environment.get(name)
        return default if value is None or value == "" else whole_number(value, f"{where}.{name}", low, high)

    flash = environment.get("OLLAMA_FLASH_ATTENTION")
    if flash is not None and str(flash) not in ("", "0", "1"):
        message = f"{where}.OLLAMA_FLASH_ATTENTION is {shown(flash)}, it must be 0 or 1"
        raise ValueError(message)
    cached = environment.get("LLAMA_ARG_CACHE_RAM")
    return Settings(
        context_length=count("OLLAMA_CONTEXT_LENGTH", 0),
        parallel=max(1, count("OLLAMA_NUM_PARALLEL", 1, high=4096)),
        kv_type=kv_type(environment.get("OLLAMA_KV_CACHE_TYPE"), f"{where}.OLLAMA_KV_CACHE_TYPE"),
        flash_attention=None if flash is None or flash == "" else str(flash) == "1",
        cache_ram_mib=None if cached is None or cached == "" else count("LLAMA_ARG_CACHE_RAM", 0, low=-1),
        max_loaded_models=count("OLLAMA_MAX_LOADED_MODELS", 0, high=10_000),
        fit_target_mib=count("LLAMA_ARG_FIT_TARGET", DEFAULT_FIT_TARGET_MIB),
        gpu_overhead_bytes=count("OLLAMA_GPU_OVERHEAD", 0, high=10**15),
    )


def mac_from_figures(
    name: str,
    memory_gib: Any,
    macos_major: Any = 15,
    reserve_gb: Any = 4,
    max_loaded_model_gb: Any = None,
    wired_limit_mib: Any = None,
    working_set_bytes: Any = None,
) -> Mac:
    """Read the `ram_budget_*` variables of a Mac; None means "not set"; ValueError names the variable."""
    memory = bytes_of_gib(memory_gib, "ram_budget_memory_gib")
    wired = 0 if wired_limit_mib is None else whole_number(wired_limit_mib, "ram_budget_wired_limit_mib", 0, memory // MIB)
    measured = 0
    if working_set_bytes is not None:
        measured = whole_number(working_set_bytes, "ram_budget_working_set_bytes", 1, memory, "a number of bytes")
    limit = max_loaded_model_gb
    return Mac(
        name=name,
        memory_bytes=memory,
        macos_major=int(finite_number(macos_major, "ram_budget_macos_major", "a version of macOS such as 15", 11, 99)),
        reserve_bytes=bytes_of_gb(reserve_gb, "ram_budget_reserve_gb", zero=True),
        wired_limit_mib=wired,
        working_set_bytes=measured,
        max_loaded_model_bytes=0 if limit is None else bytes_of_gb(limit, "ram_budget_max_loaded_model_gb"),
    )
