"""Install the fleet's own program on a Mac, with the folders that its jobs need."""

from __future__ import annotations

DOCUMENTATION = r"""
module: companion
short_description: Install the program that launchd starts for the fleet
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Compares the program on the Mac with the one given, by its sha256, owner and mode, and replaces it in one rename.
  - It lies in the home folder of the service's user, or below C(/Library) for a service of the system domain; a copy in the other
    place goes.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows for each step what was found and what is wanted.
    support: full
options:
  content:
    description: The program, in base64.
    type: str
    required: true
  domain:
    description: launchd domain of the service.
    type: str
    choices: [gui, user, system]
    default: gui
  user:
    description: Whose home folder; needed when the module runs as root.
    type: str
"""

EXAMPLES = r"""
- name: Install the program
  companion:
    content: "{{ archive.content }}"
    user: felipe
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in order; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
"""

import base64
import hashlib
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.companion import LOGS, PROGRAM_MODE, plan_program
    from fleet.vocabulary import Step, differences, plain
    from macos import companion_files
    from macos.files import make_folder, replace_file
else:
    from ansible.module_utils.fleet.companion import LOGS, PROGRAM_MODE, plan_program
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos import companion_files
    from ansible.module_utils.macos.files import make_folder, replace_file


def act(step: Step, content: bytes, account: pwd.struct_passwd) -> None:
    """Carry out one step; OSError with the path when it cannot be done."""
    inside = step.item.startswith(f"{account.pw_dir}/")
    uid, gid = (account.pw_uid, account.pw_gid) if inside else (0, 0)
    if step.action == "create":
        make_folder(Path(step.item), account)
    elif step.action == "protect":
        companion_files.protect_folder(step.item, uid, gid)
    elif step.action == "install":
        make_folder(Path(step.item).parent, account if inside else None)
        make_folder(Path(account.pw_dir, LOGS), account)
        replace_file(Path(step.item), content, PROGRAM_MODE, (uid, gid))
    else:
        Path(step.item).unlink(missing_ok=True)


def main() -> None:
    """Observe, decide, act, report."""
    module = AnsibleModule(
        argument_spec={
            "content": {"type": "str", "required": True},
            "domain": {"type": "str", "default": "gui", "choices": ["gui", "user", "system"]},
            "user": {"type": "str"},
        },
        supports_check_mode=True,
    )
    asked = module.params
    try:
        account = pwd.getpwnam(asked["user"]) if asked["user"] else pwd.getpwuid(os.getuid())
        content = base64.b64decode(asked["content"], validate=True)
        found = companion_files.observe(account.pw_uid, account.pw_dir)
    except (OSError, ValueError, KeyError) as problem:
        module.fail_json(msg=f"Cannot read the places of the program: {problem}.")
    steps = plan_program(found, asked["domain"], hashlib.sha256(content).hexdigest())
    if not module.check_mode:
        for step in steps:
            try:
                act(step, content, account)
            except OSError as problem:
                module.fail_json(msg=f"Could not {step.action} {step.item}: {problem}.", steps=plain(steps))
    module.exit_json(changed=bool(steps), steps=plain(steps), diff=differences(steps))


if __name__ == "__main__":
    main()
