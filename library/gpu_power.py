"""Sample the power of the GPU while each model answers; leave memory as it was found."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_power
short_description: Sample what the GPU draws while models answer
version_added: 0.4.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Lets one model after the other answer for some seconds while C(powermetrics --samplers gpu_power) runs, which needs root.
  - Nothing but C(powermetrics) is started. What was loaded before is loaded again, as in M(ollama_bench).
attributes:
  check_mode:
    description: Samples nothing.
    support: full
  diff_mode:
    description: There is nothing to differ, since nothing is changed.
    support: none
options:
  url:
    description: Where the server answers on the Mac itself.
    type: str
    default: http://127.0.0.1:11434
  models:
    description: The models. What M(ollama_bench) refuses is passed over here.
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
  seconds:
    description: For how long each model is sampled, one sample a second.
    type: int
    default: 10
  swap_growth_mib:
    description: Swap may grow by this many MiB (2**20 bytes); then it ends.
    type: int
    default: 1024
  load_timeout:
    description: Seconds that loading one model may take.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Sample the GPU
  gpu_power:
    models: [{name: qwen3:8b}]
  become: true
"""

RETURN = r"""
power:
  description: For each model C(median), C(minimum), C(maximum), C(mad) in watts and the number of samples as C(runs).
  returned: always
  type: dict
  sample:
    qwen3:8b: {median: 12.1, minimum: 11.8, maximum: 12.6, mad: 0.2, runs: 9}
"""

import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.gpu_power import summary
    from fleet.units import MIB
    from macos.bench import Bench, Settings, Stopped, Wish, carry_out
    from macos.commands import SYSTEM_PATH
    from macos.ollama_api import Api, ApiError
else:
    from ansible.module_utils.fleet.gpu_power import summary
    from ansible.module_utils.fleet.units import MIB
    from ansible.module_utils.macos.bench import Bench, Settings, Stopped, Wish, carry_out
    from ansible.module_utils.macos.commands import SYSTEM_PATH
    from ansible.module_utils.macos.ollama_api import Api, ApiError


POWERMETRICS = "/usr/bin/powermetrics"
TOKENS = 256
PROMPT_WORDS = 60


def sample(bench: Bench, wish: Wish, seconds: int) -> tuple[dict[str, Any] | None, str]:
    """Sample while one model answers; return the figures, and what went wrong."""
    argv = [POWERMETRICS, "--samplers", "gpu_power", "-i", "1000", "-n", str(seconds)]
    said: list[bytes] = []
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        env={"PATH": SYSTEM_PATH, "LC_ALL": "C"},
    ) as process:  # fmt: skip
        reader = threading.Thread(target=lambda: said.append(process.stdout.read() if process.stdout else b""))
        reader.start()
        try:
            there = bench.keep_answering(wish, lambda: process.poll() is None)
        except (ApiError, ValueError, Stopped) as problem:
            return None, f"{wish.name}: {problem}"
        finally:
            if process.poll() is None:
                process.terminate()
            reader.join()
    text = b"".join(said).decode(errors="replace")
    found = summary(text) if there else None
    if there and found is None:
        words = text.strip().splitlines()
        return None, f"powermetrics gave no power of the GPU: {words[0][:200] if words else 'it said nothing'}"
    return found, ""


def main() -> None:
    """Sample model after model."""
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
            "seconds": {"type": "int", "default": 10},
            "swap_growth_mib": {"type": "int", "default": 1024},
            "load_timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    asked = module.params
    power: dict[str, Any] = {}
    if module.check_mode:
        module.exit_json(changed=False, power=power)
    if os.geteuid() != 0:
        module.fail_json(msg=f"{POWERMETRICS} wants root; run this with become.", power=power)
    if not Path(POWERMETRICS).exists():
        module.fail_json(msg=f"{POWERMETRICS} is not there.", power=power)
    settings = Settings(
        runs=1, warmups=0, num_predict=TOKENS, prompt_words=PROMPT_WORDS, seed=1, cold_load=False, quiet_seconds=0,
        swap_growth=asked["swap_growth_mib"] * MIB, load_timeout=asked["load_timeout"], answer_timeout=300, tools=False,
        tool_tries=0, tool_num_predict=0,
    )  # fmt: skip
    bench = Bench(Api(asked["url"]), settings, lambda _line: None, lambda: None)
    problems: list[str] = []

    def work() -> None:
        bench.before = bench.api.loaded()
        for one in asked["models"]:
            if one["refused"]:
                continue
            power[one["name"]], problem = sample(bench, Wish(one["name"], one["context"]), asked["seconds"])
            if problem:
                problems.append(problem)

    ended, left = carry_out(bench, work)
    problems += [text for text in (ended, *left) if text]
    if problems:
        module.fail_json(msg=f"{'; '.join(problems)}.", power=power)
    module.exit_json(changed=False, power=power)


if __name__ == "__main__":
    main()
