"""Ask Ollama servers from this machine: do they answer, and does one of them complete a sentence."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_reach
short_description: Ask Ollama servers by each of their addresses, as a client would
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Asks every target at once and returns one answer for each. Never fails by itself; the answers are judged elsewhere.
  - C(version) asks C(/api/version). C(completion) asks for a few tokens, which proves that a model can be loaded and run; a
    server without its runner answers everything else (Homebrew's 0.30.0 to 0.30.4 bottles did).
attributes:
  check_mode:
    description: Reads only, the same with and without it. A completion loads the model if it was not loaded.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
options:
  targets:
    description: What to ask.
    type: list
    elements: dict
    required: true
    suboptions:
      server:
        description: Inventory name of the server asked.
        type: str
        required: true
      url:
        description: Address without a path.
        type: str
        required: true
      what:
        description: C(version) or C(completion).
        type: str
        choices: [version, completion]
        default: version
      model:
        description: The model that completes.
        type: str
      keep_alive:
        description: Passed on with the completion, so that a resident model stays resident.
        type: str
  timeout:
    description: Seconds for one answer of C(version).
    type: int
    default: 5
  completion_timeout:
    description: Seconds for one answer of C(completion), loading included.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Ask the other Mac
  fleet_reach:
    targets:
      - server: macbook-pro
        url: http://felipes-macbook-pro-2.local:11434
"""

RETURN = r"""
answers:
  description: One for each target, in order, with C(server), C(url), C(what), C(status), C(error) and C(seconds).
  returned: always
  type: list
  elements: dict
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from macos.ollama_api import Api, ApiError
else:
    from ansible.module_utils.macos.ollama_api import Api, ApiError


def ask(target: Mapping[str, Any], timeout: int, completion_timeout: int) -> dict[str, Any]:
    """Return one answer; `status` is None when no HTTP answer came."""
    began = time.monotonic()
    api = Api(target["url"])
    status: int | None = 200
    error = ""
    try:
        if target["what"] == "version":
            api.version(timeout=timeout)
        else:
            body: dict[str, Any] = {
                "model": target["model"],
                "prompt": "Say ready.",
                "stream": False,
                "options": {"num_predict": 8},
            }
            if target.get("keep_alive"):
                # As a number: a text without a unit is refused (Ollama 0.32.15, observed).
                body["keep_alive"] = int(target["keep_alive"])
            answer = api.call("POST", "/api/generate", body, timeout=completion_timeout)
            if not answer.get("done") or not (answer.get("eval_count") or answer.get("response")):
                error, status = f"{target['model']} completed nothing", None
    except ApiError as problem:
        status, error = problem.status, str(problem)
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        status, error = None, f"the answer is not Ollama's ({type(problem).__name__}: {problem})"
    return {
        "server": target["server"],
        "url": target["url"],
        "what": f"a completion by {target['model']}" if target["what"] == "completion" else "its version",
        "status": status,
        "error": error,
        "seconds": round(time.monotonic() - began, 3),
    }


def main() -> None:
    """Ask every target at once."""
    module = AnsibleModule(
        argument_spec={
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "server": {"type": "str", "required": True},
                    "url": {"type": "str", "required": True},
                    "what": {"type": "str", "default": "version", "choices": ["version", "completion"]},
                    "model": {"type": "str"},
                    "keep_alive": {"type": "str"},
                },
            },
            "timeout": {"type": "int", "default": 5},
            "completion_timeout": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    targets = module.params["targets"]
    limits = (module.params["timeout"], module.params["completion_timeout"])
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(targets)))) as pool:
        answers = list(pool.map(lambda target: ask(target, *limits), targets))
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
