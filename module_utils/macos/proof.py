"""Prove that a server does its work: residents in memory for good, and a sentence completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .ollama_api import Api, ApiError

if TYPE_CHECKING:
    from fleet.models import Found, Wanted, plan
else:
    from ansible.module_utils.fleet.models import Found, plan


def prove(api: Api, wanted: Wanted, timeout: float) -> str:
    """Load the residents, complete a sentence, and return by which model; ApiError with the reason.

    A version was seen to answer every cheap request and fail every load (Ollama 0.30.0 to 0.30.4 from Homebrew), so nothing less
    than a completion is a proof. Without residents the smallest model speaks and goes again; "" when there is no model at all.
    """
    installed = api.installed()
    there = {model.name for model in installed}
    loads = [step.item for step in plan(Found(installed, api.loaded()), wanted) if step.action == "load" and step.item in there]
    for name in loads:
        _ask(api, {"model": name, "keep_alive": -1}, timeout)
    residents = [model.name for model in wanted.models if model.resident and model.name in there]
    if residents:
        # The lifetime is said again: a request without one gives the model the default of five minutes.
        return _complete(api, residents[0], -1, timeout)
    for model in sorted(installed, key=lambda one: one.size):
        try:
            return _complete(api, model.name, 0, timeout)
        except ApiError as problem:
            # 400: a model that embeds and does not generate.
            if problem.status != 400:
                raise
    return ""


def _complete(api: Api, name: str, keep_alive: int, timeout: float) -> str:
    options = {"num_predict": 8}
    body = {"model": name, "prompt": "Say ready.", "stream": False, "keep_alive": keep_alive, "options": options}
    answer = _ask(api, body, timeout)
    if not answer.get("done") or not (answer.get("eval_count") or answer.get("response")):
        message = f"{name} completed nothing"
        raise ApiError(message)
    return name


def _ask(api: Api, body: dict[str, Any], timeout: float) -> dict[str, Any]:
    try:
        answer = api.call("POST", "/api/generate", body, timeout=timeout)
    except ApiError as problem:
        message = f"{body['model']}: {problem}"
        raise ApiError(message, problem.status) from problem
    if not isinstance(answer, dict):
        message = f"{body['model']}: the answer is not Ollama's"
        raise ApiError(message)
    return answer
