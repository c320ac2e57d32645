"""Take jobs and their property lists away from launchd, in every domain."""

from __future__ import annotations

DOCUMENTATION = r"""
module: launchd_absent
short_description: Make sure that launchd runs none of these labels, now and after the next login
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Boots out every job of these labels in C(gui), C(user) and C(system), waits until launchd has forgotten it, and removes the
    property lists with these labels from C(~/Library/LaunchAgents), C(/Library/LaunchAgents) and C(/Library/LaunchDaemons).
  - Persistent overrides (C(launchctl disable)) are not changed.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows each job and file that goes.
    support: full
options:
  labels:
    description: Labels in the order in which they go.
    type: list
    elements: str
    required: true
  user:
    description: Whose domains and home folder; needed when the module runs as root.
    type: str
  lock_timeout:
    description: Seconds to wait for another run on the same Mac.
    type: int
    default: 900
"""

EXAMPLES = r"""
- name: Take the service away
  launchd_absent:
    labels: [com.user.ollama.residents, com.user.ollama]
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
"""

import os
import pwd
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.removal import jobs_plan
    from fleet.vocabulary import differences, plain
    from macos import launchctl
    from macos.launchd_removal import carry_out
    from macos.one_at_a_time import one_at_a_time
else:
    from ansible.module_utils.fleet.removal import jobs_plan
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos import launchctl
    from ansible.module_utils.macos.launchd_removal import carry_out
    from ansible.module_utils.macos.one_at_a_time import one_at_a_time


def main() -> None:
    """Observe, decide, act, report."""
    module = AnsibleModule(
        argument_spec={
            "labels": {"type": "list", "elements": "str", "required": True},
            "user": {"type": "str"},
            "lock_timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    asked = module.params
    done: list[str] = []
    with ExitStack() as stack:
        try:
            account = pwd.getpwnam(asked["user"]) if asked["user"] else pwd.getpwuid(os.getuid())
            if not module.check_mode:
                stack.enter_context(one_at_a_time(Path(account.pw_dir), asked["lock_timeout"]))
            found = launchctl.observe(account.pw_uid, account.pw_dir, asked["labels"])
        except (OSError, KeyError) as problem:
            names = ", ".join(asked["labels"])
            module.fail_json(msg=f"Cannot read what launchd holds of {names}: {problem}. Nothing was changed.")
        steps = jobs_plan(found, asked["labels"])
        for step in () if module.check_mode else steps:
            try:
                carry_out(step, found)
            except OSError as problem:
                before = f" Done before: {', '.join(done)}." if done else ""
                module.fail_json(msg=f"Could not {step.action} {step.item}: {problem}.{before}", changed=bool(done))
            done.append(f"{step.action} {step.item}")
    module.exit_json(changed=bool(steps), steps=plain(steps), diff=differences(steps))


if __name__ == "__main__":
    main()
