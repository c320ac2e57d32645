"""What is wrong with a set of models on a Mac, before anything is downloaded: one rule, one name, one sentence with figures.

`Finding.item` is the name of the rule and stays as it is. An error means that the Mac would swap, refuse, or not hold what it was
asked to hold; a warning means that somebody should know. The order of the models changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Union

from .architecture import Architecture, from_declared
from .memory_model import (
    ADMISSION_PERCENT,
    QUANTISED_KV_TYPES,
    Budget,
    Forecast,
    Mac,
    Plan,
    Settings,
    admissions,
    available_bytes,
    budget,
    fits_together,
    forecast_on,
    largest_context,
    load_order,
    mac_from_figures,
    need_bytes,
    settings_from_environment,
    with_kv_type,
)
from .names import normalise
from .units import GB, GIB, MIB, bytes_of_gb, gb_text, gib_text, shown, whole_number
from .vocabulary import Finding, Severity, Unknown

CONCERN = "ram_budget"

RULES = (
    "resident-set-over-budget",
    "resident-over-limit",
    "residents-over-max-loaded",
    "residents-not-admitted",
    "never-fits-gpu",
    "on-demand-would-swap",
    "fallback-would-drown",
    "context-default-breaks-set",
    "quantised-kv-without-flash-attention",
    "prompt-cache-uncapped",
    "duplicate-digest",
    "unknown-in-registry",
    "size-mismatch",
    "estimate-only",
    "disk",
    "unreadable",
)
"""Every name `Finding.item` can have here."""

SMALL_MAC_BYTES = 24 * GIB
"""Up to here a single uncapped prompt cache of 8 GiB is a third of the memory and more."""

DISK_FACTOR_PERCENT = 110
"""Room for what is downloaded, and a tenth for parts and the system."""

SWAP_DEATH = (
    "Ollama then turns memory mapping off and leaves layers to the CPU: the weights become ordinary memory, which macOS must"
    " write to swap instead of dropping it"
)


def judge(mac: Mac, settings: Settings, plans: Sequence[Plan], fallbacks: Iterable[str] = ()) -> tuple[Finding, ...]:
    """Return every finding about these models on this Mac, errors first, then in the order of `RULES`, then by sentence.

    `fallbacks` are names that automatic chains may load here, in addition to models that say so themselves.
    """
    return _judged(mac, settings, plans, fallbacks)[0]


def _judged(
    mac: Mac, settings: Settings, plans: Sequence[Plan], fallbacks: Iterable[str]
) -> tuple[tuple[Finding, ...], Budget]:  # fmt: skip
    automatic = {normalise(name).lower() for name in fallbacks}
    ordered = sorted(plans, key=lambda plan: plan.name)
    case = _Case(mac, settings, ordered, automatic)
    findings = [
        *_resident_set(case),
        *_resident_limits(case),
        *_admission(case),
        *_gpu_and_on_demand(case),
        *_context_default(case),
        *_flash_attention(case),
        *_prompt_cache(case),
        *_identity(case),
    ]
    severities = ("error", "warning", "note")
    findings.sort(key=lambda one: (severities.index(one.severity), RULES.index(one.item), one.why))
    return tuple(findings), case.budget


class _Case:
    """A Mac with everything computed once."""

    def __init__(self, mac: Mac, settings: Settings, plans: Sequence[Plan], automatic: set[str]) -> None:
        self.mac = mac
        self.settings = settings
        self.plans = plans
        self.automatic = automatic
        self.budget: Budget = budget(mac, settings, plans)
        self.residents = [plan for plan in plans if plan.resident]
        self.by_name = {one.name: one for one in self.budget.models}
        self.held = [self.by_name[plan.name] for plan in self.residents]
        self.gpu_left = self.budget.gpu_budget_bytes - sum(one.gpu_bytes for one in self.held)
        self.ram_left = self.budget.ram_budget_bytes - sum(need_bytes(one, settings) for one in self.held)

    def is_automatic(self, plan: Plan) -> bool:
        return plan.automatic_fallback or plan.name.lower() in self.automatic

    def finding(
        self, rule: str, severity: Severity, found: str, wanted: str, why: str, remedy: str
    ) -> Finding:  # fmt: skip
        return Finding(self.mac.name, CONCERN, rule, found, wanted, severity, why, remedy)

    def context_remedy(self, plans: Sequence[Plan]) -> str:
        """Name the context with which these models would stay loaded together, or say that there is none."""
        context = largest_context(self.mac, self.settings, plans)
        if context and context < max(self.by_name[plan.name].context for plan in plans):
            return f"set OLLAMA_CONTEXT_LENGTH to {context}"
        return ""


def _resident_set(case: _Case) -> list[Finding]:
    if case.gpu_left >= 0 and case.ram_left >= 0:
        return []
    on_gpu = case.gpu_left < 0
    sizes = {one.name: one.gpu_bytes if on_gpu else need_bytes(one, case.settings) for one in case.held}
    need = sum(sizes.values())
    limit = case.budget.gpu_budget_bytes if on_gpu else case.budget.ram_budget_bytes
    names = ", ".join(f"{name} {gb_text(size)}" for name, size in sizes.items())
    whole = gib_text(case.mac.memory_bytes)
    what = f"of its {whole} to the GPU" if on_gpu else f"of its {whole}, {gb_text(case.mac.reserve_bytes)} are for macOS"
    bare = sum(one.bare_bytes for one in case.held)
    if not on_gpu and bare <= case.budget.ram_budget_bytes:
        cap = _cap_mib(case.budget.ram_budget_bytes - bare, len(case.held))
        remedy = f"set LLAMA_ARG_CACHE_RAM to {cap}: the prompt caches are what is too much"
    else:
        remedy = case.context_remedy(case.residents)
        other = "set residency of one of them to on_demand"
        remedy = f"{remedy}, or {other}" if remedy else other
    return [
        case.finding(
            "resident-set-over-budget", "error", gb_text(need), gb_text(limit),
            f"the models that stay loaded need {gb_text(need)} together ({names}), {case.mac.name} can give {gb_text(limit)}"
            f" {what}",
            remedy,
        )
    ]  # fmt: skip


def _resident_limits(case: _Case) -> list[Finding]:
    findings = []
    limit = case.mac.max_loaded_model_bytes
    for one in case.held:
        if not limit or max(one.weights_bytes, one.expected_ps_bytes) <= limit:
            continue
        heavy = one.weights_bytes > limit
        size = one.weights_bytes if heavy else one.expected_ps_bytes
        cause = (
            f"{one.name} has {gb_text(size)} of weights and stays loaded"
            if heavy
            else f"{one.name} has {gb_text(one.weights_bytes)} of weights but takes {gb_text(size)} at a context of {one.context}"
            f" with {one.kv_type}"
        )
        findings.append(
            case.finding(
                "resident-over-limit", "error" if heavy else "warning", gb_text(size), gb_text(limit),
                f"{cause}, ram_budget_max_loaded_model_gb allows {gb_text(limit)}",
                f"set residency of {one.name} to on_demand, or raise ram_budget_max_loaded_model_gb"
                + ("" if heavy else ", or lower its context"),
            )
        )  # fmt: skip
    most = case.settings.most_loaded
    if len(case.held) > most:
        findings.append(
            case.finding(
                "residents-over-max-loaded", "error", f"{len(case.held)} models", f"{most} models",
                f"{len(case.held)} models are to stay loaded, Ollama keeps {most} (OLLAMA_MAX_LOADED_MODELS, else 3)",
                f"set OLLAMA_MAX_LOADED_MODELS to {len(case.held)}, or set residency of some to on_demand",
            )
        )  # fmt: skip
    return findings


def _admission(case: _Case) -> list[Finding]:
    if len(case.residents) < 2 or len(case.residents) > case.settings.most_loaded or case.budget.all_admitted:
        return []
    order, _ = load_order(case.mac, case.settings, case.residents)
    steps = admissions(case.mac, case.settings, order)
    refused = next(step for step in steps if not step.admitted)
    names = ", ".join(step.name for step in steps)
    remedy = case.context_remedy(case.residents)
    context = largest_context(case.mac, case.settings, case.residents)
    if remedy:
        best, _ = load_order(case.mac, case.settings, case.residents, context=context)
        remedy = f"{remedy} and load them in the order {', '.join(plan.name for plan in best)}"
    return [
        case.finding(
            "residents-not-admitted", "error", gb_text(refused.predicted_bytes), gb_text(refused.allowed_bytes),
            f"loading {names} in this order, Ollama predicts {gb_text(refused.predicted_bytes)} for {refused.name} and allows"
            f" {gb_text(refused.allowed_bytes)} ({ADMISSION_PERCENT} % of what is free): it would unload another, in any order",
            remedy or "set residency of one of them to on_demand",
        )
    ]  # fmt: skip


def judge_load_order(mac: Mac, settings: Settings, plans: Sequence[Plan]) -> tuple[Finding, ...]:
    """Judge one given order of loading; the finding names the order that would work, when there is one."""
    steps = admissions(mac, settings, plans)
    refused = next((step for step in steps if not step.admitted), None)
    if refused is None:
        return ()
    order, works = load_order(mac, settings, plans)
    names = ", ".join(plan.name for plan in order)
    context = largest_context(mac, settings, plans)
    remedy = f"load them in the order {names}" if works else f"set OLLAMA_CONTEXT_LENGTH to {context}" if context else ""
    found, allowed = gb_text(refused.predicted_bytes), gb_text(refused.allowed_bytes)
    return (
        Finding(
            mac.name, CONCERN, "residents-not-admitted", found, allowed, "error",
            f"in the order {', '.join(step.name for step in steps)}, Ollama predicts {found} for {refused.name} and allows"
            f" {allowed} ({ADMISSION_PERCENT} % of what is free): it would unload another one",
            remedy or "keep fewer of them loaded",
        ),
    )  # fmt: skip


def _gpu_and_on_demand(case: _Case) -> list[Finding]:
    findings = []
    limit = case.budget.gpu_budget_bytes
    for plan in case.plans:
        one = case.by_name[plan.name]
        tolerated: Severity = "warning" if plan.swap_risk_accepted and not plan.resident else "error"
        if one.gpu_bytes > limit:
            findings.append(
                case.finding(
                    "never-fits-gpu", tolerated, gb_text(one.gpu_bytes), gb_text(limit),
                    f"{one.name} needs {gb_text(one.gpu_bytes)} of GPU memory at a context of {one.context}, {case.mac.name} has"
                    f" {gb_text(limit)} ({case.budget.working_set_source}). {SWAP_DEATH}",
                    _smaller(case, plan) or f"keep {one.name} off {case.mac.name}, or choose a smaller model",
                )
            )  # fmt: skip
        if plan.resident:
            continue
        cause = _crowding(case, plan, one)
        if not cause:
            continue
        found, wanted, sentence = cause
        if case.is_automatic(plan):
            findings.append(
                case.finding(
                    "fallback-would-drown", "error", found, wanted,
                    f"{sentence}, and an automatic fallback chain may load it without anybody looking",
                    f"take {one.name} out of the chains of {case.mac.name} and set its automatic_fallback to false",
                )
            )  # fmt: skip
        else:
            findings.append(
                case.finding(
                    "on-demand-would-swap", tolerated, found, wanted,
                    f"{sentence}: whoever loads it pushes the residents out or the Mac into swap",
                    "" if plan.swap_risk_accepted
                    else f"set swap_risk of {one.name} to accepted in host_vars/{case.mac.name} if that is meant, or remove it",
                )
            )  # fmt: skip
    return findings


def _smaller(case: _Case, plan: Plan) -> str:
    """Return settings with which one model alone would be on the GPU."""
    for kind in dict.fromkeys((case.settings.kv_type, "q8_0", "q4_0")):
        context = largest_context(case.mac, with_kv_type(case.settings, kind), [plan])
        if context:
            return f"give it a context of {context} with OLLAMA_KV_CACHE_TYPE {kind}"
    return ""


def _crowding(case: _Case, plan: Plan, one: Forecast) -> tuple[str, str, str] | None:
    """Return found, wanted and a sentence when an on-demand model has no place beside the residents."""
    beside = "beside the residents " if case.held else ""
    for size, left, where in (
        (one.gpu_bytes, case.gpu_left, "GPU memory"),
        (need_bytes(one, case.settings), case.ram_left, "memory"),
    ):
        if size > left:
            room = gb_text(max(left, 0))
            return gb_text(size), room, f"{one.name} needs {gb_text(size)} of {where}, {beside}{room} are left on {case.mac.name}"
    if not case.held:
        return None
    after = forecast_on(case.mac, case.settings, plan, loaded=case.held)
    allowed = available_bytes(case.mac, case.held) * ADMISSION_PERCENT // 100
    if after.predicted_bytes > allowed:
        return (
            gb_text(after.predicted_bytes), gb_text(allowed),
            f"Ollama predicts {gb_text(after.predicted_bytes)} for {one.name} and allows {gb_text(allowed)} {beside}on"
            f" {case.mac.name} ({ADMISSION_PERCENT} % of what is free)",
        )  # fmt: skip
    return None


def _context_default(case: _Case) -> list[Finding]:
    """Judge the context Ollama chooses by GPU size where nobody set one: 4096 on a small Mac, 32768 from 23 GiB on."""
    if case.settings.context_length:
        return []
    free = [plan for plan in case.plans if not plan.context_length]
    wanted = [plan for plan in case.plans if plan.resident]
    together = wanted + sorted(
        (plan for plan in case.plans if not plan.resident and case.is_automatic(plan)),
        key=lambda plan: (-case.by_name[plan.name].gpu_bytes, plan.name),
    )
    together = together[: max(len(wanted), case.settings.most_loaded)]
    for plans, severity, who in (
        (wanted, "error", "stay loaded"),
        (together, "warning", "stay loaded or are automatic fallbacks"),
    ):
        if not plans or not any(plan in free for plan in plans) or fits_together(case.mac, case.settings, plans):
            continue
        context = largest_context(case.mac, case.settings, plans)
        default = max(case.by_name[plan.name].context for plan in plans if plan in free)
        if not context or context >= default:
            continue
        names = ", ".join(plan.name for plan in plans)
        level: Severity = "error" if severity == "error" else "warning"
        return [
            case.finding(
                "context-default-breaks-set", level, str(default), str(context),
                f"OLLAMA_CONTEXT_LENGTH is not set: {case.mac.name} has {gib_text(case.budget.working_set_bytes)} for the GPU, so"
                f" Ollama takes {default}, and the models that {who} ({names}) do not fit together; with {context} they do",
                f"set OLLAMA_CONTEXT_LENGTH to {context} in ollama_service_environment of {case.mac.name}",
            )
        ]  # fmt: skip
    return []


def _flash_attention(case: _Case) -> list[Finding]:
    if case.settings.kv_type not in QUANTISED_KV_TYPES or case.settings.flash:
        return []
    return [
        case.finding(
            "quantised-kv-without-flash-attention", "error", f"{case.settings.kv_type} with OLLAMA_FLASH_ATTENTION 0",
            "OLLAMA_FLASH_ATTENTION 1 or not set",
            f"OLLAMA_KV_CACHE_TYPE is {case.settings.kv_type} and OLLAMA_FLASH_ATTENTION is 0: the server starts and every"
            " load of a model fails",
            "set OLLAMA_FLASH_ATTENTION to 1, or OLLAMA_KV_CACHE_TYPE to f16",
        )
    ]  # fmt: skip


def _cap_mib(room_bytes: int, runners: int) -> int:
    """Return a cap in MiB for each of so many prompt caches: a multiple of 256, 2048 at most."""
    return max(0, min(2048, room_bytes // max(1, runners) // (256 * MIB) * 256))


def _prompt_cache(case: _Case) -> list[Finding]:
    settings, runners = case.settings, min(len(case.plans), case.settings.most_loaded)
    if settings.cache_capped or not runners or not any(one.prompt_cache_bytes for one in case.budget.models):
        return []
    grown, limit = case.budget.residents_ram_bytes, case.budget.ram_budget_bytes
    unlimited = settings.cache_ram_mib is not None
    if grown <= limit and case.mac.memory_bytes > SMALL_MAC_BYTES and not unlimited:
        return []
    bare = sum(one.bare_bytes for one in case.held)
    others = sorted((one.bare_bytes for one in case.budget.models if one not in case.held), reverse=True)
    cap = _cap_mib(limit - bare, runners)
    if others and limit - bare - others[0] > 0:
        cap = min(cap, _cap_mib(limit - bare - others[0], runners))
    cap = cap or 512
    each = "has no limit" if unlimited else "grows to 8 GiB"
    over = f" (the residents alone to {gb_text(grown)} of {gb_text(limit)})" if grown > limit else ""
    return [
        case.finding(
            "prompt-cache-uncapped", "warning", "no limit" if unlimited else "8192 MiB per model", f"{cap} MiB per model",
            f"the prompt cache of each of up to {runners} loaded models {each} in ordinary memory, which `ollama ps` does not"
            f" show{over}",
            f"set LLAMA_ARG_CACHE_RAM to {cap} in ollama_service_environment of {case.mac.name}",
        )
    ]  # fmt: skip


def _identity(case: _Case) -> list[Finding]:
    findings = []
    names_of: dict[str, list[str]] = defaultdict(list)
    for plan in case.plans:
        if plan.digest:
            names_of[plan.digest.lower().rpartition(":")[2]].append(plan.name)
        if plan.in_registry is False:
            findings.append(
                case.finding(
                    "unknown-in-registry", "error", plan.name, "a name the registry knows",
                    f"{plan.name} does not exist in its registry: a pull would fail",
                    f"correct the name in host_vars/{case.mac.name}/ollama_models.yml",
                )
            )  # fmt: skip
        findings.extend(_size(case, plan))
    for digest, names in names_of.items():
        if len(names) > 1:
            findings.append(
                case.finding(
                    "duplicate-digest", "warning", ", ".join(names), "each model once",
                    f"{' and '.join(names)} are one model ({digest[:12]}) under {len(names)} names: Ollama would load it"
                    f" {len(names)} times",
                    "keep one of the names",
                )
            )  # fmt: skip
    return findings


def _size(case: _Case, plan: Plan) -> list[Finding]:
    """Compare what somebody wrote with what was read; figures are rounded, so a tenth of a GB or 2 % is no difference."""
    true, written = plan.model.file_bytes, plan.declared_bytes
    if plan.model.source == "declared":
        return [
            case.finding(
                "estimate-only", "note", gb_text(true), "figures of the model itself",
                f"of {plan.name} only the declared size of {gb_text(true)} is known: cache and compute buffer are an upper bound",
                f"let {plan.name} be looked up in the registry, or add it to the catalogue",
            )
        ]  # fmt: skip
    if not written or abs(true - written) <= max(GB // 10, true // 50):
        return []
    return [
        case.finding(
            "size-mismatch", "warning", gb_text(written), gb_text(true),
            f"size_gb of {plan.name} says {gb_text(written)}, {_SOURCE_WORDS[plan.model.source]} says {gb_text(true)}",
            f"set size_gb of {plan.name} to {true / GB:.1f}",
        )
    ]  # fmt: skip


_SOURCE_WORDS = {"show": "the Mac that has it", "gguf": "the registry", "catalogue": "the catalogue"}


def judge_disk(
    host: str, missing: Mapping[str, int], free_bytes: Union[int, Unknown], volume: str
) -> tuple[Finding, ...]:  # fmt: skip
    """Judge whether what is still to be downloaded (name -> bytes) fits on the volume of OLLAMA_MODELS, with a tenth to spare."""
    total = sum(missing.values())
    if not total:
        return ()
    need = total * DISK_FACTOR_PERCENT // 100
    names = ", ".join(f"{name} {gb_text(size)}" for name, size in sorted(missing.items()))
    if isinstance(free_bytes, Unknown):
        return (
            Finding(
                host, CONCERN, "disk", "unknown", gb_text(need), "warning",
                f"the free space of {volume} could not be read ({free_bytes.reason}), {gb_text(need)} are needed for {names}",
                f"look at it before pulling on {host}",
            ),
        )  # fmt: skip
    if need <= free_bytes:
        return ()
    return (
        Finding(
            host, CONCERN, "disk", gb_text(free_bytes), gb_text(need), "error",
            f"{names} are to be downloaded, {total / GB:.1f} GB and a tenth to spare make {gb_text(need)}; {volume} has"
            f" {gb_text(free_bytes)} free. Ollama does not look first and would stop half-way",
            f"free {gb_text(need - free_bytes)} on {host}, or set OLLAMA_MODELS to a larger volume",
        ),
    )  # fmt: skip


def plans_from_inventory(
    entries: Any,
    architectures: Mapping[str, Architecture],
    where: str = "ollama_models_installed",
    states: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Plan, ...]:
    """Read a list of models of a host; ValueError names the entry.

    `architectures` maps a normalised name to what was found out about it; a model without one is bounded by its `size_gb`.
    `states` maps a name to `digest` and `in_registry`, as far as somebody asked.
    """
    if entries is None:
        return ()
    if not isinstance(entries, (list, tuple)):
        message = f"{where} is {shown(entries)}, it must be a list"
        raise ValueError(message)
    return tuple(_plan(entry, f"{where}[{at}]", architectures, states or {}) for at, entry in enumerate(entries))


def _plan(
    entry: Any, where: str, architectures: Mapping[str, Architecture], states: Mapping[str, Mapping[str, Any]]
) -> Plan:  # fmt: skip
    if not isinstance(entry, Mapping):
        message = f"{where} is {shown(entry)}, it must be a map with name and size_gb"
        raise ValueError(message)
    try:
        name = normalise(entry.get("name"))
    except ValueError as problem:
        message = f"{where}.name: {problem}"
        raise ValueError(message) from None
    declared = entry.get("size_gb")
    declared_bytes = 0 if declared is None else bytes_of_gb(declared, f"{where}.size_gb")
    model = architectures.get(name)
    if model is None:
        if not declared_bytes:
            message = f"{where}.size_gb is {shown(declared)}, it must be a number of GB: nothing else is known of {name}"
            raise ValueError(message)
        model = from_declared(name, declared_bytes)
    residency = _choice(entry, "residency", ("resident", "on_demand"), "on_demand", where)
    risk = _choice(entry, "swap_risk", ("accepted", "refused"), "refused", where)
    fallback = entry.get("automatic_fallback", False)
    if not isinstance(fallback, bool):
        message = f"{where}.automatic_fallback is {shown(fallback)}, it must be true or false"
        raise ValueError(message)
    context = entry.get("context_length")
    state = states.get(name, {})
    known = state.get("in_registry")
    return Plan(
        model=model,
        resident=residency == "resident",
        automatic_fallback=fallback,
        swap_risk_accepted=risk == "accepted",
        context_length=0 if context is None else whole_number(context, f"{where}.context_length", 1, 10**9),
        declared_bytes=declared_bytes,
        digest=str(state.get("digest") or ""),
        in_registry=known if isinstance(known, bool) else None,
    )


def _choice(entry: Mapping[str, Any], key: str, allowed: Sequence[str], default: str, where: str) -> str:
    value = entry.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or value not in allowed:
        message = f"{where}.{key} is {shown(value)}, it must be {' or '.join(allowed)}"
        raise ValueError(message)
    return str(value)


def judge_inventory(
    host: str,
    variables: Any,
    architectures: Mapping[str, Architecture],
    states: Mapping[str, Mapping[str, Any]] | None = None,
    fallbacks: Iterable[str] = (),
) -> tuple[tuple[Finding, ...], Budget | None]:
    """Judge a host by its variables as the inventory holds them: what cannot be read is a finding, never an exception.

    Reads `ram_budget_memory_gib`, `_macos_major`, `_reserve_gb`, `_max_loaded_model_gb`, `_wired_limit_mib`,
    `_working_set_bytes`, `ollama_service_environment` and `ollama_models_installed`. The budget is None when a figure it rests
    on is unreadable.
    """
    unreadable: list[Finding] = []

    def read(reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except ValueError as problem:
            sentence = str(problem)
            unreadable.append(
                Finding(host, CONCERN, "unreadable", sentence.partition(" ")[0], "a figure", "error", sentence,
                        f"correct it in host_vars/{host} or group_vars")
            )  # fmt: skip
            return None

    if not isinstance(variables, Mapping):
        read(lambda: _refuse(f"the variables of {host} are {shown(variables)}, they must be a map"))
        return tuple(unreadable), None
    keys = ("macos_major", "reserve_gb", "max_loaded_model_gb", "wired_limit_mib", "working_set_bytes")
    given = {key: variables[f"ram_budget_{key}"] for key in keys if variables.get(f"ram_budget_{key}") is not None}
    mac = read(lambda: mac_from_figures(host, variables.get("ram_budget_memory_gib"), **given))
    settings = read(lambda: settings_from_environment(variables.get("ollama_service_environment")))
    plans = read(lambda: _unique(plans_from_inventory(variables.get("ollama_models_installed"), architectures, states=states)))
    chains = read(lambda: tuple(normalise(name) for name in fallbacks))
    if unreadable:
        return tuple(unreadable), None
    return _judged(mac, settings, plans, chains)


def _refuse(message: str) -> None:
    raise ValueError(message)


def _unique(plans: tuple[Plan, ...]) -> tuple[Plan, ...]:
    seen: set[str] = set()
    for plan in plans:
        if plan.name.lower() in seen:
            _refuse(f"ollama_models_installed has {plan.name} twice, each model must be there once")
        seen.add(plan.name.lower())
    return plans
