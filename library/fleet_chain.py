"""Walk fallback chains from this machine as a client would: the first hop that answers ends the walk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_chain
short_description: Ask the hops of fallback chains one after the other until one answers
version_added: 0.3.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - For each hop a connection, then a few tokens of its model. The first sound answer ends the walk, as a client's turn would end.
    Never fails by itself; the walks are judged elsewhere.
  - External hops are never called. They are noted and passed over.
  - Chains with equal hops are walked once and have the same answers.
attributes:
  check_mode:
    description: Reads only, the same with and without it. A completion loads the model if it was not loaded.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
options:
  chains:
    description: What to walk.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Tells the chain from others.
        type: str
        required: true
      hops:
        description: The hops, first choice first.
        type: list
        elements: dict
        required: true
        suboptions:
          ref:
            description: The hop as its client calls it, such as C(ollama/qwen3:8b).
            type: str
            required: true
          external:
            description: Whether it is a service outside the fleet.
            type: bool
            default: false
          host:
            description: Inventory name of the server.
            type: str
            default: ""
          model:
            description: The model that completes.
            type: str
            default: ""
          url:
            description: Address without a path.
            type: str
            default: ""
          network:
            description: By which network, for the reader of the walk.
            type: str
            default: ""
          keep_alive:
            description: Passed on with the completion, so that a resident model stays resident.
            type: str
  down:
    description: Names of the servers that are taken down meanwhile, for the record.
    type: list
    elements: str
    default: []
  connect_timeout:
    description: Seconds for a connection.
    type: int
    default: 3
  completion_timeout:
    description: Seconds for one answer, loading included.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Walk one chain
  fleet_chain:
    chains:
      - id: openclaw/main
        hops:
          - {ref: "ollama/qwen3:8b", host: mac-mini, model: "qwen3:8b", url: "http://localhost:11434"}
          - {ref: "anthropic/claude-sonnet-4-6", external: true}
"""

RETURN = r"""
walks:
  description: >-
    One for each chain, in order, with C(id), C(answered), the number of the hop that answered, None when none did, C(seconds)
    until then, and C(attempts). An attempt has C(ref), C(host), C(model), C(url), C(network), C(external), C(found), C(status),
    C(error) and C(seconds). C(found) is C(answered), C(not_asked) for an external hop, C(http) when an HTTP status other than
    200 came, C(silent) when a connection came and no answer, or C(broken); without a connection C(refused), C(timed_out),
    C(reset), C(no_route) or C(unresolved).
  returned: always
  type: list
  elements: dict
down:
  description: What was said to be down.
  returned: always
  type: list
  elements: str
"""

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from macos.ollama_api import Api, ApiError, complete
    from macos.reach import dial, outcome
else:
    from ansible.module_utils.macos.ollama_api import Api, ApiError, complete
    from ansible.module_utils.macos.reach import dial, outcome

SHOWN = ("ref", "host", "model", "url", "network", "external")


def attempt(hop: Mapping[str, Any], connect_timeout: int, completion_timeout: int) -> dict[str, Any]:
    """Ask one hop; how it went, how long that took, and what was said."""
    about = {key: hop[key] for key in SHOWN}
    if hop["external"]:
        return {**about, "found": "not_asked", "status": None, "error": "", "seconds": 0.0}
    began = time.monotonic()
    found, status, error = ask(hop, connect_timeout, completion_timeout)
    return {**about, "found": found, "status": status, "error": error, "seconds": round(time.monotonic() - began, 3)}


def ask(hop: Mapping[str, Any], connect_timeout: int, completion_timeout: int) -> tuple[str, int | None, str]:
    """Connect and complete; what was found, the HTTP status, and the error."""
    try:
        place = urlsplit(hop["url"])
        reached = dial(str(place.hostname), place.port or 80, connect_timeout)
        if reached.found != "reached":
            return reached.found, None, reached.error
        error = complete(Api(hop["url"]), hop["model"], hop["keep_alive"], completion_timeout)
        return ("broken", 200, error) if error else ("answered", 200, "")
    except ApiError as problem:
        if problem.status is not None:
            return "http", problem.status, str(problem)
        inner = getattr(problem.__cause__, "reason", problem.__cause__)
        found = outcome(inner) if isinstance(inner, OSError) else "broken"
        # There was a connection before, so this is no Mac that sleeps.
        return "silent" if found == "timed_out" else found, None, str(problem)
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        return "broken", None, f"the answer is not Ollama's ({type(problem).__name__}: {problem})"


def walk(hops: Sequence[Mapping[str, Any]], connect_timeout: int, completion_timeout: int) -> dict[str, Any]:
    """Ask one hop after the other; the walk ends with the first answer."""
    attempts: list[dict[str, Any]] = []
    began = time.monotonic()
    for number, hop in enumerate(hops):
        attempts.append(attempt(hop, connect_timeout, completion_timeout))
        if attempts[-1]["found"] == "answered":
            return {"attempts": attempts, "answered": number, "seconds": round(time.monotonic() - began, 3)}
    return {"attempts": attempts, "answered": None, "seconds": round(time.monotonic() - began, 3)}


def main() -> None:
    """Walk every chain, one after the other: two walks at once would wait for each other at the servers."""
    hop_options = {
        "ref": {"type": "str", "required": True},
        "external": {"type": "bool", "default": False},
        "host": {"type": "str", "default": ""},
        "model": {"type": "str", "default": ""},
        "url": {"type": "str", "default": ""},
        "network": {"type": "str", "default": ""},
        "keep_alive": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "chains": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "id": {"type": "str", "required": True},
                    "hops": {"type": "list", "elements": "dict", "required": True, "options": hop_options},
                },
            },
            "down": {"type": "list", "elements": "str", "default": []},
            "connect_timeout": {"type": "int", "default": 3},
            "completion_timeout": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    limits = (module.params["connect_timeout"], module.params["completion_timeout"])
    walked: dict[tuple[Any, ...], dict[str, Any]] = {}
    walks = []
    for chain in module.params["chains"]:
        key = tuple(tuple(sorted((name, str(value)) for name, value in hop.items())) for hop in chain["hops"])
        if key not in walked:
            walked[key] = walk(chain["hops"], *limits)
        walks.append({"id": chain["id"], **walked[key]})
    module.exit_json(changed=False, walks=walks, down=module.params["down"])


if __name__ == "__main__":
    main()
