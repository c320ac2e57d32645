"""Bring the model set of a Mac to what is wanted: pull, delete, load."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_models
short_description: Install, remove and load the models of one Ollama server
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Pulls what is missing, deletes what is unwanted, loads the resident models largest first. One run for the whole set.
  - A pull is judged by its last line and by the digest afterwards, not by the HTTP status, which is 200 for failures too.
  - A broken pull resumes where it stopped. A model is unloaded before it is deleted, because the server cannot unload it after.
  - While it runs, the action plugin of the same name shows model, percent, bytes, speed and time left at least every ten seconds.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows for each model what was found and what is wanted.
    support: full
options:
  url:
    description: Where the server answers on the Mac itself.
    type: str
    default: http://127.0.0.1:11434
  installed:
    description: The models that should be there, and how. Further keys of the inventory are accepted and not used here.
    type: list
    elements: dict
    required: true
  removed:
    description: Models that should not be there.
    type: list
    elements: str
    default: []
  unlisted:
    description: What happens to installed models that are in neither list.
    type: str
    choices: [keep, remove]
    default: keep
  policy:
    description: C(latest) pulls again when the registry has another digest for a name, C(present) only when it is missing.
    type: str
    choices: [present, latest]
    default: present
  models_path:
    description: The store, read in check mode while the server is not up. Empty for C(~/.ollama/models).
    type: str
    default: ""
  idle_timeout:
    description: Seconds without a byte after which a pull is tried again. There is no limit on the whole.
    type: int
    default: 300
  attempts:
    description: How often a pull is tried; each try resumes.
    type: int
    default: 4
  load_timeout:
    description: Seconds that loading one model may take.
    type: int
    default: 600
  assume_unloaded:
    description: In check mode, judge as if nothing were loaded, because the service starts anew in the same run.
    type: bool
    default: false
  assume_loaded:
    description: In check mode, the models that a change of the service in the same run loads by itself.
    type: list
    elements: str
    default: []
  progress_path:
    description: File for the progress of a pull, one line, replaced as a whole. Set by the action plugin.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Install the models of this Mac
  ollama_models:
    installed:
      - name: qwen3:8b
        residency: resident
      - name: gpt-oss:20b
    removed: [qwen3-fast:8b]
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet.models import Found, Wanted, after_restart, plan, wanted_from_json, with_loaded
    from fleet.vocabulary import Step, Unknown, differences, plain
    from macos.ollama_api import Api, ApiError, is_refused, read_store, registry_digest
    from macos.pull import Puller, PullFailed
else:
    from ansible.module_utils.fleet.models import Found, after_restart, plan, wanted_from_json, with_loaded
    from ansible.module_utils.fleet.vocabulary import Unknown, differences, plain
    from ansible.module_utils.macos.ollama_api import Api, ApiError, is_refused, read_store, registry_digest
    from ansible.module_utils.macos.pull import Puller, PullFailed


def observe(api: Api, wanted: Wanted, asked: Mapping[str, Any], *, offline: bool) -> Found:
    """Read the set as it is; from disk where the server is surely not up and `offline` allows it."""
    names = [model.name for model in wanted.models if model.policy == "latest" and not model.digest]
    registry = {name: registry_digest(name) for name in names}
    try:
        return Found(api.installed(), api.loaded(), registry)
    except ApiError as problem:
        if not offline:
            raise
        store = Path(asked["models_path"] or Path("~/.ollama/models").expanduser())
        return Found(read_store(store), () if is_refused(problem) else Unknown(str(problem)), registry)


PREVIOUS = "ollama-fleet-previous:latest"
"""A second name for a model that is being renewed, so that its old runner can still be told to go."""


def unload(api: Api, name: str, digest: str, timeout: float) -> None:
    """Tell the model to go and wait until it is gone; by digest, since a runner is listed under the name loaded first."""
    api.call("POST", "/api/generate", {"model": name, "keep_alive": 0}, timeout=timeout)
    deadline = time.monotonic() + timeout
    while any(model.digest == digest for model in api.loaded()):
        if time.monotonic() > deadline:
            message = f"{name} was told to leave memory and is still there after {timeout:g} s"
            raise ApiError(message)
        time.sleep(0.1)


def digest_of(api: Api, name: str) -> str:
    """Return the digest under which a name is installed, "" when it is not."""
    return next((model.digest for model in api.installed() if model.name.lower() == name.lower()), "")


def renew(name: str, api: Api, puller: Puller) -> None:
    """Pull a model whose old version may be in memory and serve until the new one is there.

    Once the name means the new version, nothing can unload the old runner any more (Ollama 0.32.15, observed), so the old version
    keeps a second name for that long.
    """
    old = digest_of(api, name)
    if not old or not any(model.digest == old for model in api.loaded()):
        puller.pull(name)
        return
    api.call("POST", "/api/copy", {"source": name, "destination": PREVIOUS})
    try:
        puller.pull(name)
        if digest_of(api, name) != old:
            unload(api, PREVIOUS, old, 60)
    finally:
        api.call("DELETE", "/api/delete", {"model": PREVIOUS}, timeout=60)


def act(step: Step, api: Api, puller: Puller, asked: Mapping[str, Any]) -> None:
    """Carry out one step."""
    if step.action == "pull":
        renew(step.item, api, puller)
    elif step.action == "delete":
        unload(api, step.item, digest_of(api, step.item), 60)
        api.call("DELETE", "/api/delete", {"model": step.item}, timeout=60)
    else:
        api.call("POST", "/api/generate", {"model": step.item, "keep_alive": -1}, timeout=asked["load_timeout"])


def main() -> None:
    """Observe, decide, act, and look again at what the pulls brought."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "installed": {"type": "list", "elements": "dict", "required": True},
            "removed": {"type": "list", "elements": "str", "default": []},
            "unlisted": {"type": "str", "default": "keep", "choices": ["keep", "remove"]},
            "policy": {"type": "str", "default": "present", "choices": ["present", "latest"]},
            "models_path": {"type": "str", "default": ""},
            "idle_timeout": {"type": "int", "default": 300},
            "attempts": {"type": "int", "default": 4},
            "load_timeout": {"type": "int", "default": 600},
            "assume_unloaded": {"type": "bool", "default": False},
            "assume_loaded": {"type": "list", "elements": "str", "default": []},
            "progress_path": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    asked = module.params
    api = Api(asked["url"])
    try:
        wanted = wanted_from_json(asked["installed"], asked["removed"], asked["unlisted"], asked["policy"])
        found = observe(api, wanted, asked, offline=module.check_mode)
    except (ApiError, ValueError, KeyError) as problem:
        module.fail_json(msg=f"The models cannot be read from {asked['url']}: {problem}. Is the service up?")
    if module.check_mode:
        found = with_loaded(after_restart(found) if asked["assume_unloaded"] else found, asked["assume_loaded"])
    steps = plan(found, wanted)
    result: dict[str, Any] = {"changed": bool(steps), "steps": plain(steps), "diff": differences(steps)}
    if module.check_mode or not steps:
        module.exit_json(**result)
    puller = Puller(api, asked["attempts"], asked["idle_timeout"], asked["progress_path"])
    done: list[str] = []
    # Loads wait until everything is pulled: the order largest first needs the true sizes.
    for step in (step for step in steps if step.action != "load"):
        carry_out(module, step, api, puller, done)
    try:
        found = observe(api, wanted, asked, offline=False)
    except ApiError as problem:
        module.fail_json(
            msg=f"The server went away after {', '.join(done) or 'nothing'}: {problem}.",
            steps=result["steps"],
        )
    renewed = {step.item for step in steps if step.action == "pull"}
    left = plan(found, wanted)
    loads = [step for step in left if step.action == "load"]
    loads += [step for step in steps if step.action == "load" and step.item in renewed - {load.item for load in loads}]
    for step in loads:
        carry_out(module, step, api, puller, done)
    unmet = [step for step in left if step.action in ("pull", "delete") and step.item not in found.registry]
    if unmet:
        module.fail_json(
            msg=f"{unmet[0].item} is {unmet[0].found!r} after it was brought up to date, wanted is {unmet[0].wanted!r}:"
            f" {unmet[0].why or 'the registry serves something else'}.",
            steps=result["steps"],
        )
    module.exit_json(**result)


def carry_out(module: AnsibleModule, step: Step, api: Api, puller: Puller, done: list[str]) -> None:
    """Do one step, or end with a sentence that says what was done before and what to do next."""
    try:
        act(step, api, puller, module.params)
    except (ApiError, PullFailed, OSError) as problem:
        before = f" Done before: {', '.join(done)}." if done else ""
        module.fail_json(
            msg=f"Could not {step.action} {step.item}: {problem}.{before} The next run takes up where this one stopped.",
            changed=bool(done),
        )
    done.append(f"{step.action} {step.item}")


if __name__ == "__main__":
    main()
