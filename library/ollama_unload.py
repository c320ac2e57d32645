"""Free the memory of loaded models without restarting the server and without losing the residents."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_unload
short_description: Unload models of one Ollama server
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Tells loaded models to leave with C(keep_alive) 0 and waits until they are gone from C(/api/ps), by digest.
  - Without names every loaded model leaves that is no resident. Nothing is loaded, deleted or restarted.
  - A server that is not there holds nothing in memory, so nothing is done.
attributes:
  check_mode:
    description: Returns the same steps, the same diff and the same bytes as a real run.
    support: full
  diff_mode:
    description: Shows each model with its size in memory.
    support: full
options:
  url:
    description: Where the server answers on the Mac itself.
    type: str
    default: http://127.0.0.1:11434
  residents:
    description: Models that stay loaded.
    type: list
    elements: str
    default: []
  models:
    description: Models that leave, and no others. One that is not loaded is passed over; a resident among them is refused.
    type: list
    elements: str
    default: []
  residents_too:
    description: Whether residents may leave as well.
    type: bool
    default: false
  timeout:
    description: Seconds that one model may take to leave.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Free what is not meant to stay
  ollama_unload:
    residents: [qwen3:8b]

- name: Free one model
  ollama_unload:
    residents: [qwen3:8b]
    models: [gpt-oss:20b]
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
freed_bytes:
  description: The memory that the models took, as C(/api/ps) gave it.
  returned: always
  type: int
said:
  description: One line for a person; what leaves, the bytes it frees, and which named models were not loaded.
  returned: always
  type: str
  sample: "frees 12.8 GB (12803456789 bytes): gpt-oss:20b (12.8 GB)"
"""

import time
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.unloading import plan, sentence, wanted_from_json
    from fleet.vocabulary import differences, plain
    from macos.ollama_api import Api, ApiError, is_refused
else:
    from ansible.module_utils.fleet.unloading import plan, sentence, wanted_from_json
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos.ollama_api import Api, ApiError, is_refused


POLL_SECONDS = 0.1


def unload(api: Api, name: str, timeout: float) -> None:
    """Tell one model to go and wait until its runner is gone: the answer comes while it is still in memory."""
    digest = next((model.digest for model in api.installed() if model.name == name), "")
    api.call("POST", "/api/generate", {"model": name, "keep_alive": 0}, timeout=timeout)
    deadline = time.monotonic() + timeout
    while any(model.digest == digest for model in api.loaded()):
        if time.monotonic() > deadline:
            message = f"it was told to leave and is still there after {timeout:g} s; a request that it answers holds it"
            raise ApiError(message)
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Observe, decide, act, report."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "residents": {"type": "list", "elements": "str", "default": []},
            "models": {"type": "list", "elements": "str", "default": []},
            "residents_too": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    asked = module.params
    api = Api(asked["url"])
    try:
        wanted = wanted_from_json(asked["residents"], asked["models"], residents_too=asked["residents_too"])
        planned = plan(api.installed(), api.loaded(), wanted)
    except ValueError as problem:
        module.fail_json(msg=f"{problem}. Write the name as `ollama ps` prints it. Nothing was changed.")
    except ApiError as problem:
        if not is_refused(problem):
            module.fail_json(msg=f"What is loaded cannot be read from {asked['url']}: {problem}. Nothing was changed.")
        planned = plan((), (), wanted)
    if planned.refused:
        module.fail_json(
            msg=f"{', '.join(planned.refused)} should stay loaded on this Mac by the inventory (residency: resident). To unload"
            " it all the same, until the next run of site.yml or the next restart, add -e unload_residents=true. Nothing was"
            " changed."
        )
    result: dict[str, Any] = {
        "changed": bool(planned.steps),
        "steps": plain(planned.steps),
        "diff": differences(planned.steps),
        "freed_bytes": planned.freed_bytes,
        "said": sentence(planned),
    }
    done: list[str] = []
    for step in () if module.check_mode else planned.steps:
        try:
            unload(api, step.item, asked["timeout"])
        except ApiError as problem:
            before = f" Unloaded before: {', '.join(done)}." if done else ""
            module.fail_json(msg=f"Could not unload {step.item}: {problem}.{before}", changed=bool(done))
        done.append(step.item)
    if planned.stuck:
        module.fail_json(
            msg=f"{', '.join(planned.stuck)} is in memory and no installed model has its digest any more, so the server cannot"
            " unload it; playbooks/restart.yml frees it.",
            changed=bool(planned.steps),
            steps=result["steps"],
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
