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
  - The state of the firewall and its switches are changed only where an option asks for it. While it is off, and stays off,
    nothing else is done.
  - A firewall that a profile manages cannot be changed by anybody but its manager. That is no failure and no success either, it
    comes back as C(unmanageable).
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
  rules:
    description: C(absent) removes the rules of these programs and of their kegs' other versions, also while it is off.
    type: str
    choices: [present, absent]
    default: present
  state:
    description: Whether the firewall is on. Left out, it stays as it is.
    type: str
    choices: [enabled, disabled]
  block_all:
    description: Whether all incoming connections are blocked whatever the rules say. Left out, it stays as it is.
    type: bool
  stealth:
    description: Whether the Mac keeps silent towards probes. Left out, it stays as it is.
    type: bool
  allow_signed:
    description: Whether programs that Apple signed accept connections without a rule. Left out, it stays as it is.
    type: bool
  allow_signed_downloads:
    description: Whether programs with a Developer ID accept connections without a rule. Left out, it stays as it is.
    type: bool
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
unmanageable:
  description: Why nothing could be changed here although something should be; empty where that is not so.
  returned: always
  type: str
"""

import os
import time
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.application_firewall import (
        Firewall,
        Settings,
        command,
        dropped,
        findings,
        is_managed_refusal,
        plan,
        removal,
        settings_from_json,
    )
    from fleet.vocabulary import Step, Unknown, differences, plain
    from macos.commands import run
    from macos.system import SOCKETFILTERFW, read_firewall, read_identifiers
else:
    from ansible.module_utils.fleet.application_firewall import (
        command,
        dropped,
        findings,
        is_managed_refusal,
        plan,
        removal,
        settings_from_json,
    )
    from ansible.module_utils.fleet.vocabulary import Unknown, differences, plain
    from ansible.module_utils.macos.commands import run
    from ansible.module_utils.macos.system import SOCKETFILTERFW, read_firewall, read_identifiers


def act(step: Step) -> str:
    """Carry out one step; return what the Mac said. Exit status and text of success differ by version and are not judged."""
    return "; ".join(run([SOCKETFILTERFW, *words]).said for words in command(step))


def missing(found: Firewall, programs: list[str], wanted: Settings, rules: str) -> tuple[Step, ...]:
    """Return what lacks from what is asked for."""
    return plan(found, programs, wanted) if rules == "present" else removal(found, programs, "")


def wait_until_in_place(programs: list[str], wanted: Settings, rules: str, timeout: int) -> Firewall:
    """Read again until nothing is left to do or the time is up: the firewall stores a change after it has answered."""
    deadline = time.monotonic() + timeout
    while True:
        found = read_firewall()
        if not missing(found, programs, wanted, rules) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def main() -> None:
    """Observe, decide, act, read again."""
    switch: dict[str, Any] = {"type": "bool"}
    module = AnsibleModule(
        argument_spec={
            "programs": {"type": "list", "elements": "path", "required": True},
            "later_paths": {"type": "dict", "default": {}},
            "rules": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "state": {"type": "str", "choices": ["enabled", "disabled"]},
            "block_all": switch,
            "stealth": switch,
            "allow_signed": switch,
            "allow_signed_downloads": switch,
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    later = module.params["later_paths"] if module.check_mode else {}
    programs = [later.get(program) or os.path.realpath(program) for program in module.params["programs"]]
    wanted = settings_from_json(module.params)
    try:
        found = read_firewall()
    except OSError as problem:
        module.fail_json(msg=f"The application firewall cannot be read: {problem}.")
    if isinstance(found.state, Unknown) and not found.managed:
        module.fail_json(msg=f"The application firewall cannot be read: {found.state.reason}.")
    rules = module.params["rules"]
    steps = missing(found, programs, wanted, rules)
    result: dict[str, Any] = {"changed": bool(steps), "steps": plain(steps), "diff": differences(steps), "unmanageable": ""}
    if found.managed:
        (note,) = findings("", found, programs, wanted)
        result["unmanageable"] = f"{note.why}; {note.remedy}" if note.remedy else ""
    if not steps or module.check_mode:
        module.exit_json(**result)
    for step in steps:
        said = act(step)
        if is_managed_refusal(said):
            # Known only now: the profile does not force the key that tells of it.
            module.exit_json(
                changed=False,
                steps=[],
                diff=differences([]),
                unmanageable=f"this Mac is under device management, which refuses changes of the firewall ({said});"
                f" ask who manages it to allow {', '.join(programs)}",
            )
    found = wait_until_in_place(programs, wanted, rules, module.params["timeout"])
    left = missing(found, programs, wanted, rules)
    if left:
        asked = [left[0].item, *found.rules] if left[0].action == "allow" else []
        module.fail_json(msg=dropped(left[0], read_identifiers(asked)), steps=result["steps"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
