"""Keep a Mac awake and let its GPU wire as much memory as models were judged with."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mac_power
short_description: Say when a Mac sleeps and how much memory its GPU may wire
version_added: 0.3.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Sets keys of C(pmset), on mains only where the Mac has a battery. A key that the hardware lacks by C(pmset -g cap) is left
    alone, since C(pmset) takes and stores it in silence.
  - Writes down what each key was before the first change, in C(/Library/Application Support/ollama-fleet/power.json), and gives
    back from there what is no longer asked for.
  - Sets C(iogpu.wired_limit_mb) now, and at each boot by a job of launchd, which is proved by running it.
  - Reads again afterwards, and fails with one sentence where something is not as asked. Needs root for changes.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows each setting, the record, the limit and its job as found and as wanted.
    support: full
options:
  managed:
    description: C(true) keeps O(settings), C(false) gives back whatever was changed here. Left out, settings are not looked at.
    type: bool
  settings:
    description: Keys of C(pmset) and their numbers, minutes for the C(*sleep) ones, 0 or 1 for the others.
    type: dict
    default: {}
  gpu_wired_limit_mib:
    description: >-
      C(iogpu.wired_limit_mb) in MiB; 0 for macOS's own. Left out, only what the job of this module has set is taken back.
    type: int
  timeout:
    description: Seconds until what was set must be seen.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Stay awake, and come back after a power cut
  become: true
  mac_power:
    managed: true
    settings:
      autorestart: 1
      sleep: 0
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
"""

import os
import time
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.power import Found, Wanted, findings, lacking, plan, wanted_from_json
    from fleet.vocabulary import Step, differences, plain
    from macos import power
    from macos.one_at_a_time import to_the_end
else:
    from ansible.module_utils.fleet.power import findings, lacking, plan, wanted_from_json
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos import power
    from ansible.module_utils.macos.one_at_a_time import to_the_end


def carry_out(steps: tuple[Step, ...], found: Found, wanted: Wanted) -> None:
    """Do the steps in their order; OSError tells what was done before."""
    done: list[str] = []
    for step in steps:
        try:
            power.act(step, found, wanted)
        except OSError as problem:
            before = f" Done before: {', '.join(done)}." if done else " Nothing was changed."
            message = f"Could not {step.action} {step.item}: {problem}.{before}"
            raise OSError(message) from problem
        done.append(f"{step.action} {step.item}")


def left_after(wanted: Wanted, timeout: float) -> tuple[Step, ...]:
    """Read again until nothing is left to do or the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        left = plan(power.observe(), wanted)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def main() -> None:
    """Observe, decide, act, read again."""
    module = AnsibleModule(
        argument_spec={
            "managed": {"type": "bool"},
            "settings": {"type": "dict", "default": {}},
            "gpu_wired_limit_mib": {"type": "int"},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        wanted = wanted_from_json(module.params)
        found = power.observe()
    except (OSError, ValueError) as problem:
        module.fail_json(msg=f"Cannot judge the power settings: {problem}.")
    unknown = lacking(found, wanted)
    if unknown is not None:
        module.fail_json(msg=f"Cannot judge the power settings: {unknown.reason}. Nothing was changed.")
    for finding in findings("this Mac", found, wanted, {}):
        if finding.severity == "error":
            module.fail_json(msg=f"{finding.sentence()} Nothing was changed.")
    steps = plan(found, wanted)
    result = {"changed": bool(steps), "steps": plain(steps), "diff": differences(steps)}
    if not steps or module.check_mode:
        module.exit_json(**result)
    if os.getuid() != 0:
        module.fail_json(msg="Only root may change power settings; run the task with become.", steps=result["steps"])
    try:
        with to_the_end():
            carry_out(steps, found, wanted)
        left = left_after(wanted, module.params["timeout"])
    except OSError as problem:
        module.fail_json(msg=str(problem), steps=result["steps"])
    if left:
        first = left[0]
        module.fail_json(
            msg=f"{first.item} was set and is {first.found!r}, wanted is {first.wanted!r}. Look whether a profile decides it, in"
            " System Settings > General > Device Management, and whether another program sets it.",
            steps=result["steps"],
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
