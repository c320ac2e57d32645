"""Let programs through the application firewall, by the path macOS really sees."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_firewall
short_description: Allow programs through the application firewall of macOS
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - A rule belongs to the resolved path of a program. Homebrew gives each version a new one, so rules for replaced versions of the
    same keg are removed first, then the present path is added and unblocked, and C(--listapps) is read again until it shows it.
  - The global state of the firewall is never changed. While it is off nothing is done.
  - Needs root for changes (macOS 15.6 and later refuse others).
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows each rule that goes or comes.
    support: full
options:
  programs:
    description: Programs to allow, or whose rules go; symbolic links are resolved on the Mac.
    type: list
    elements: path
    required: true
  later_paths:
    description: >-
      In check mode, where programs will lead once a change before this one is made, such as an upgrade; program to path. A real
      run looks for itself.
    type: dict
    default: {}
  state:
    description: C(absent) removes the rules of these programs and of their kegs' other versions, also while it is off.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: Seconds to wait until C(--listapps) shows a change; the firewall stores it with a delay.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Let other machines reach Ollama
  become: true
  app_firewall:
    programs: [/opt/homebrew/opt/ollama/bin/ollama]
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
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.application_firewall import Firewall, is_managed_refusal, plan, removal
    from fleet.vocabulary import Step, Unknown, differences, plain
    from macos.commands import run
    from macos.system import SOCKETFILTERFW, read_firewall
else:
    from ansible.module_utils.fleet.application_firewall import is_managed_refusal, plan, removal
    from ansible.module_utils.fleet.vocabulary import Unknown, differences, plain
    from ansible.module_utils.macos.commands import run
    from ansible.module_utils.macos.system import SOCKETFILTERFW, read_firewall


def act(step: Step) -> str:
    """Carry out one step; return what the Mac said. Exit status and text of success differ by version and are not judged."""
    if step.action == "remove":
        return run([SOCKETFILTERFW, "--remove", step.item]).said
    # --add leaves an entry that blocks as it is, --unblockapp does nothing for an unlisted one: always both, in this order.
    added = run([SOCKETFILTERFW, "--add", step.item])
    unblocked = run([SOCKETFILTERFW, "--unblockapp", step.item])
    return f"{added.said}; {unblocked.said}"


def missing(found: Firewall, programs: list[str], state: str) -> tuple[Step, ...]:
    """Return what lacks from the state that is asked for."""
    return plan(found, programs) if state == "present" else removal(found, programs, "")


def wait_until_in_place(programs: list[str], state: str, timeout: int) -> tuple[Step, ...]:
    """Read the rules until nothing is left to do or the time is up; return what is left."""
    deadline = time.monotonic() + timeout
    while True:
        left = missing(read_firewall(), programs, state)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def main() -> None:
    """Observe, decide, act, read again."""
    module = AnsibleModule(
        argument_spec={
            "programs": {"type": "list", "elements": "path", "required": True},
            "later_paths": {"type": "dict", "default": {}},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    later = module.params["later_paths"] if module.check_mode else {}
    programs = [later.get(program) or os.path.realpath(program) for program in module.params["programs"]]
    try:
        found = read_firewall()
    except OSError as problem:
        module.fail_json(msg=f"The application firewall cannot be read: {problem}.")
    if isinstance(found.state, Unknown):
        module.fail_json(msg=f"The application firewall cannot be read: {found.state.reason}.")
    state = module.params["state"]
    steps = missing(found, programs, state)
    result: dict[str, Any] = {"changed": bool(steps), "steps": plain(steps), "diff": differences(steps)}
    if not steps or module.check_mode:
        module.exit_json(**result)
    for step in steps:
        said = act(step)
        if is_managed_refusal(said):
            module.fail_json(
                msg=f"This Mac is under device management, which refuses firewall changes ({said})."
                f" Ask its administrator to allow {', '.join(programs)}."
            )
    left = wait_until_in_place(programs, state, module.params["timeout"])
    if left:
        module.fail_json(
            msg=f"The application firewall did not take the change: {left[0].item} is still {left[0].found!r}, wanted is"
            f" {left[0].wanted!r} (it said: {said}). A rule of another program with the same code identifier can be the cause"
            f" (macOS 15.3); look at socketfilterfw --listapps and remove the rule that stands for it.",
            steps=result["steps"],
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
