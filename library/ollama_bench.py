"""Measure how fast the models of one Ollama server are, and whether they call tools; leave memory as it was found."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_bench
short_description: Measure the models of one Ollama server
version_added: 0.4.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Runs every model some times, one model after the other, and returns what the API itself measured (tokens and durations), the
    time to the first token, the time of a load, what is in memory, swap and pressure.
  - Asks models that say they can for calls of tools in two steps, the second of which needs the result of the first.
  - What was loaded before is loaded again with the C(keep_alive) it had, residents for good, whatever comes of the measurement.
    SIGTERM, SIGINT and SIGHUP end it so, too, and so does a controller that has gone away. Nothing is pulled.
  - While it runs, the action plugin of the same name shows model, run, tokens per second and time left every ten seconds or so.
attributes:
  check_mode:
    description: Says which models would be measured and loads none.
    support: full
  diff_mode:
    description: There is nothing to differ, since what was loaded is loaded again.
    support: none
options:
  url:
    description: Where the server answers on the Mac itself.
    type: str
    default: http://127.0.0.1:11434
  models:
    description: The models, in the order in which they are measured.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name and tag.
        type: str
        required: true
      context:
        description: Context to ask for; 0 for the server's own.
        type: int
        default: 0
      refused:
        description: Why it must not be loaded on this Mac. Empty when it may.
        type: str
        default: ""
  runs:
    description: How often each model is run.
    type: int
    default: 3
  warmups:
    description: Runs before those, which do not count. The first of them loads the model.
    type: int
    default: 1
  num_predict:
    description: Tokens to generate in each run.
    type: int
    default: 128
  prompt_words:
    description: Words of the prompt, about as many tokens.
    type: int
    default: 400
  seed:
    description: Seed of the sampling; the temperature is 0.
    type: int
    default: 1
  cold_load:
    description: Whether a model that nobody uses is unloaded first, so that its load can be timed.
    type: bool
    default: true
  quiet_seconds:
    description: How long it is watched beforehand which models somebody uses.
    type: int
    default: 3
  swap_growth_mib:
    description: Swap may grow by this many MiB (2**20 bytes) while a model is measured; then it is stopped and unloaded.
    type: int
    default: 1024
  load_timeout:
    description: Seconds that loading one model may take.
    type: int
    default: 600
  answer_timeout:
    description: Seconds without a word after which an answer is given up.
    type: int
    default: 300
  tools:
    description: Whether calls of tools are tried.
    type: bool
    default: true
  tool_tries:
    description: How often.
    type: int
    default: 3
  tool_num_predict:
    description: Tokens that each answer of such a try may have.
    type: int
    default: 512
  progress_path:
    description: File for the progress, one line, replaced as a whole. Set by the action plugin.
    type: str
    default: ""
  watched_path:
    description: File that the controller touches while it waits. Set by the action plugin.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Measure one model
  ollama_bench:
    models: [{name: qwen3:8b}]
"""

RETURN = r"""
bench:
  description: What was measured.
  returned: always
  type: dict
  contains:
    ollama_version:
      description: Version of the server.
      type: str
    load_average:
      description: The Mac's load of the last minute before anything was loaded, null where it cannot be read.
      type: float
    busy:
      description: Models that somebody used when it began.
      type: list
      elements: str
    models:
      description: >-
        One entry per model with C(outcome) (C(measured), C(planned), C(absent), C(refused), C(stopped) or C(failed)), C(why),
        C(runs), C(load), C(memory) and C(tools).
      type: list
      elements: dict
    not_restored:
      description: A sentence for each model that is not as it was before.
      type: list
      elements: str
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet.units import MIB
    from macos.bench import Bench, Interrupted, Settings, Wish, carry_out
    from macos.ollama_api import Api, ApiError
    from macos.progress_file import ProgressFile
else:
    from ansible.module_utils.fleet.units import MIB
    from ansible.module_utils.macos.bench import Bench, Interrupted, Settings, Wish, carry_out
    from ansible.module_utils.macos.ollama_api import Api, ApiError
    from ansible.module_utils.macos.progress_file import ProgressFile


WATCH_SECONDS = 60
"""How long nobody may have looked before it is taken that nobody waits any more. The action looks every second."""


def watcher(path: str) -> Callable[[], None]:
    """Return a function that raises Interrupted when nobody has touched the file for a while; without a path nobody has to."""
    began = time.time()

    def watch() -> None:
        if not path:
            return
        try:
            seen = Path(path).stat().st_mtime
        except OSError:
            seen = began
        if time.time() - max(seen, began) > WATCH_SECONDS:
            message = f"nobody has waited for it for {WATCH_SECONDS} s"
            raise Interrupted(message)

    return watch


def settings_of(asked: dict[str, Any]) -> Settings:
    """Read how to measure."""
    return Settings(
        runs=asked["runs"],
        warmups=asked["warmups"],
        num_predict=asked["num_predict"],
        prompt_words=asked["prompt_words"],
        seed=asked["seed"],
        cold_load=asked["cold_load"],
        quiet_seconds=asked["quiet_seconds"],
        swap_growth=asked["swap_growth_mib"] * MIB,
        load_timeout=asked["load_timeout"],
        answer_timeout=asked["answer_timeout"],
        tools=asked["tools"],
        tool_tries=asked["tool_tries"],
        tool_num_predict=asked["tool_num_predict"],
    )


def load_average() -> float | None:
    """Return the load of the last minute, None where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def planned(wishes: list[Wish], installed: set[str]) -> list[dict[str, Any]]:
    """Return what a run would do with each model."""
    return [
        {"name": wish.name, "outcome": "refused", "why": wish.refused}
        if wish.refused
        else {"name": wish.name, "outcome": "planned", "why": ""}
        if wish.name.lower() in installed
        else {"name": wish.name, "outcome": "absent", "why": "it is not installed on this Mac"}
        for wish in wishes
    ]


def main() -> None:
    """Measure, give back, report."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "models": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "context": {"type": "int", "default": 0},
                    "refused": {"type": "str", "default": ""},
                },
            },
            "runs": {"type": "int", "default": 3},
            "warmups": {"type": "int", "default": 1},
            "num_predict": {"type": "int", "default": 128},
            "prompt_words": {"type": "int", "default": 400},
            "seed": {"type": "int", "default": 1},
            "cold_load": {"type": "bool", "default": True},
            "quiet_seconds": {"type": "int", "default": 3},
            "swap_growth_mib": {"type": "int", "default": 1024},
            "load_timeout": {"type": "int", "default": 600},
            "answer_timeout": {"type": "int", "default": 300},
            "tools": {"type": "bool", "default": True},
            "tool_tries": {"type": "int", "default": 3},
            "tool_num_predict": {"type": "int", "default": 512},
            "progress_path": {"type": "str", "default": ""},
            "watched_path": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    asked = module.params
    wishes = [Wish(one["name"], one["context"], one["refused"]) for one in asked["models"]]
    api = Api(asked["url"])
    found: dict[str, Any] = {"load_average": load_average(), "busy": [], "models": [], "not_restored": []}
    try:
        found["ollama_version"] = api.version()
        installed = {one.name.lower() for one in api.installed()}
    except ApiError as problem:
        module.fail_json(msg=f"The server at {asked['url']} does not answer: {problem}. Nothing was measured.", bench=found)
    if module.check_mode:
        module.exit_json(changed=False, bench={**found, "models": planned(wishes, installed)})
    progress = ProgressFile(asked["progress_path"])
    bench = Bench(
        api, settings_of(asked), lambda line: progress.say(line, at_once=True, pid=os.getpid()), watcher(asked["watched_path"])
    )
    ended, found["not_restored"] = carry_out(bench, lambda: bench.go(wishes))
    found.update(models=bench.results, busy=sorted(one.name for one in bench.before if one.digest in bench.busy))
    if ended:
        left = "; ".join(found["not_restored"]) or "what was loaded before is loaded again"
        module.fail_json(msg=f"{ended}; {left}.", bench=found)
    module.exit_json(changed=False, bench=found)


if __name__ == "__main__":
    main()
