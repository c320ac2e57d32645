"""Ask Ollama servers from this machine: do they answer, and does one of them complete a sentence."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_reach
short_description: Ask Ollama servers by each of their addresses, as a client would
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Asks every target at once and returns one answer for each. Never fails by itself; the answers are judged elsewhere.
  - Tells a refused connection from one that times out, is reset, has no route or no name, and says from which of its addresses
    this machine asked.
  - C(version) asks C(/api/version). C(foreign_host) and C(foreign_origin) ask the same with a header that a browser sends for a
    web page of somebody else. C(completion) asks for a few tokens, which proves that a model can be loaded and run; a
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
        description: What is asked.
        type: str
        choices: [version, completion, foreign_host, foreign_origin]
        default: version
      network:
        description: By which network, for the reader of the answers.
        type: str
        default: ""
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
  connect_timeout:
    description: Seconds for a connection. A packet that is lost is sent again after one.
    type: int
    default: 3
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
  description: >-
    One for each target, in order, with C(server), C(url), C(network), C(kind), C(what), C(found), C(status), C(source), C(peer),
    C(error) and C(seconds). C(found) is C(reached) when an HTTP answer came, whatever its status, else C(refused),
    C(timed_out), C(reset), C(no_route), C(unresolved) or C(broken).
  returned: always
  type: list
  elements: dict
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet.reach import STRANGER
    from macos.ollama_api import Api, ApiError, complete
    from macos.reach import Dialled, ask_with_header, dial, outcome
else:
    from ansible.module_utils.fleet.reach import STRANGER
    from ansible.module_utils.macos.ollama_api import Api, ApiError, complete
    from ansible.module_utils.macos.reach import Dialled, ask_with_header, dial, outcome

HEADERS = {"foreign_host": ("Host", STRANGER), "foreign_origin": ("Origin", f"http://{STRANGER}")}
WHAT = {"version": "its version", "foreign_host": "a foreign Host", "foreign_origin": "a foreign Origin"}


def ask(target: Mapping[str, Any], timeout: int, completion_timeout: int, connect_timeout: int = 3) -> dict[str, Any]:
    """Return one answer; `status` is None when no sound HTTP answer came."""
    began = time.monotonic()
    kind = target["what"]
    place = urlsplit(target["url"])
    status: int | None = None
    # Of itself a server is asked without a first call: there is no way between that could be closed.
    reached = Dialled("reached") if kind == "completion" else dial(str(place.hostname), place.port or 80, connect_timeout)
    found, error = reached.found, reached.error
    if found == "reached":
        try:
            if kind == "version":
                Api(target["url"]).version(timeout=timeout)
                status = 200
            elif kind == "completion":
                error = complete(Api(target["url"]), target["model"], target.get("keep_alive"), completion_timeout)
                status = None if error else 200
            else:
                status = ask_with_header(target["url"], *HEADERS[kind], timeout)
        except ApiError as problem:
            status, error = problem.status, str(problem)
            inner = getattr(problem.__cause__, "reason", problem.__cause__)
            if status is None:
                found = outcome(inner) if isinstance(inner, OSError) else "broken"
        except OSError as problem:
            found, error = outcome(problem), str(problem)
        except (KeyError, TypeError, AttributeError, ValueError) as problem:
            found, error = "broken", f"the answer is not Ollama's ({type(problem).__name__}: {problem})"
    return {
        "server": target["server"],
        "url": target["url"],
        "network": target.get("network") or "",
        "kind": kind,
        "what": f"a completion by {target['model']}" if kind == "completion" else WHAT[kind],
        "found": found,
        "status": status,
        "source": reached.source,
        "peer": reached.peer,
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
                    "what": {
                        "type": "str",
                        "default": "version",
                        "choices": ["version", "completion", "foreign_host", "foreign_origin"],
                    },
                    "network": {"type": "str", "default": ""},
                    "model": {"type": "str"},
                    "keep_alive": {"type": "str"},
                },
            },
            "timeout": {"type": "int", "default": 5},
            "connect_timeout": {"type": "int", "default": 3},
            "completion_timeout": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    targets = module.params["targets"]
    limits = (module.params["timeout"], module.params["completion_timeout"], module.params["connect_timeout"])
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(targets)))) as pool:
        answers = list(pool.map(lambda target: ask(target, *limits), targets))
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
