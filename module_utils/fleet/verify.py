"""Is a Mac what it says? Judged from an observation, never from the plan; what others reach of it is judged in matrix.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import environment, models, service
from .names import normalise
from .plan import wanted_service
from .vocabulary import Finding, Unknown, unknown_in


def _error(host: str, item: str, found: Any, wanted: Any, why: str, remedy: str = "") -> Finding:
    return Finding(host, "verify", item, found, wanted, "error", why, remedy)


def judge_server(host: str, desired: Mapping[str, Any], observed: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Judge one Mac from inside: bound as declared, the running environment, models present, residents loaded."""
    findings = []
    for part in ("launchd", "listener", "models"):
        unread = unknown_in(observed.get(part, {"unknown": "not observed"}))
        if unread is not None:
            findings.append(_error(host, part, "unknown", "readable", unread.reason))
    if findings:
        return tuple(findings)
    found = service.found_from_json(observed["launchd"])
    wanted = wanted_service(desired["ollama_service"])
    findings += _judge_job(host, found, wanted)
    findings += _judge_listener(host, wanted, found, observed["listener"])
    findings += _judge_models(host, desired["ollama_models"], models.found_from_json(observed["models"]))
    return tuple(findings)


def _judge_job(host: str, found: service.Found, wanted: service.Wanted) -> list[Finding]:
    target = f"{wanted.target_domain(found.uid)}/{wanted.label}"
    job = found.job(wanted.target_domain(found.uid), wanted.label)
    if job is None or job.pid is None:
        state = "not loaded" if job is None else f"{job.state}, {job.last_exit}"
        return [
            _error(host, target, state, "running", f"the service is {state}",
                   f"read {wanted.definition.get('StandardErrorPath', 'its log')} on {host}")
        ]  # fmt: skip
    stale = service.live_differences(job, wanted.definition, wanted.path(found.home))
    return [
        _error(host, f"{target} {key}", pair[0], pair[1], f"the running job has {key} {pair[0]!r}, wanted is {pair[1]!r}",
               "run site.yml again")
        for key, pair in stale.items()
    ]  # fmt: skip


def _judge_listener(host: str, wanted: service.Wanted, found: service.Found, listener: Mapping[str, Any]) -> list[Finding]:
    bind = environment.parse_host(wanted.definition.get("EnvironmentVariables", {}).get("OLLAMA_HOST", ""))
    addresses = sorted({_any(address) for address in listener["addresses"]})
    declared = [["127.0.0.1"], ["::1"], ["127.0.0.1", "::1"]] if bind.address == "localhost" else [[bind.address]]
    if addresses not in declared:
        return [
            _error(host, f"port {bind.port}", addresses or "nobody listens", bind.address,
                   f"it should be bound to {bind.address}, found {', '.join(addresses) or 'nobody listening'}",
                   "look at OLLAMA_HOST in ollama_service_environment")
        ]  # fmt: skip
    job = found.job(wanted.target_domain(found.uid), wanted.label)
    pids = listener["pids"]
    if job and pids and job.pid not in pids:
        return [
            _error(host, f"port {bind.port}", pids, job.pid,
                   f"process {pids[0]} holds the port, the service is process {job.pid}",
                   f"find out what process {pids[0]} is and stop it through whatever started it")
        ]  # fmt: skip
    return []


def _any(address: str) -> str:
    return "*" if address in ("*", "0.0.0.0", "::", "[::]") else address.strip("[]")  # noqa: S104  compared, not bound


def _judge_models(host: str, desired: Mapping[str, Any], found: models.Found) -> list[Finding]:
    have = {model.name.lower(): model for model in found.installed}
    findings = []
    for model in desired["installed"]:
        name = normalise(model["name"])
        if name.lower() not in have:
            findings.append(_error(host, name, "absent", "installed", "the model is not installed", "run site.yml again"))
    if isinstance(found.loaded, Unknown):
        return [*findings, _error(host, "/api/ps", "unknown", "readable", found.loaded.reason)]
    for model in desired["installed"]:
        if model.get("residency") != "resident":
            continue
        name = normalise(model["name"])
        digest = have[name.lower()].digest if name.lower() in have else ""
        # By digest: two names of one model share a runner, and an older model may still run under the same name.
        loaded = next(
            (one for one in found.loaded if (one.digest == digest if digest else one.name.lower() == name.lower())), None
        )
        if loaded is None:
            findings.append(_error(host, name, "not loaded", "loaded", "it should stay in memory and is not there"))
        elif loaded.size_vram < loaded.size:
            # The weights that do not fit the GPU become anonymous memory, which is what swaps (Ollama >= 0.30 on Metal).
            findings.append(
                Finding(host, "verify", name, loaded.size_vram, loaded.size, "warning",
                        f"only {loaded.size_vram} of its {loaded.size} bytes are on the GPU, the rest will swap",
                        "use a smaller model or a shorter context")
            )  # fmt: skip
    return findings


def summary(observed: Mapping[str, Any]) -> str:
    """Say in one line what a Mac serves."""
    version = (observed.get("server") or {}).get("version") or "unknown"
    found = models.found_from_json(observed["models"])
    loaded = () if isinstance(found.loaded, Unknown) else found.loaded
    names = ", ".join(sorted(model.name for model in found.installed)) or "no model"
    inside = ", ".join(f"{one.name} ({one.size / 10**9:.1f} GB)" for one in loaded) or "nothing"
    addresses = ", ".join(sorted({_any(address) for address in observed["listener"]["addresses"]})) or "nobody"
    return f"Ollama {version} listens on {addresses}; installed: {names}; in memory: {inside}"
