"""Bring one launchd service from what runs to what is wanted, and put the old one back if the new one does not answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: launchd_service
short_description: Run one service under launchd with exactly this definition
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Compares the property list on disk and the definition that launchd holds in memory with the one wanted, in every domain,
    and carries out the steps in between. launchd reads a file only while it loads the job, so a changed definition is booted
    out, waited for, and bootstrapped again.
  - Jobs and files of retired labels and of the same label in another domain go first.
  - A service that runs with the wanted definition is not restarted, whatever its previous exit status was.
  - When the new service does not answer in time, the old property list and job are restored and the module fails with the last
    exit status and the end of the log.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows for each step what was found and what is wanted.
    support: full
options:
  label:
    description: Label of the service; the property list is named after it.
    type: str
    required: true
  domain:
    description: C(gui) starts at login, C(system) at boot, C(user) only while some session of the user exists.
    type: str
    choices: [gui, user, system]
    default: gui
  plist:
    description: The whole property list as XML.
    type: str
    required: true
  retired_labels:
    description: Labels that this service takes over from.
    type: list
    elements: str
    default: []
  user:
    description: Whose C(gui) or C(user) domain and home folder; needed when the module runs as root.
    type: str
  url:
    description: Where the service answers on the Mac itself once it is up. C(/api/version) is asked.
    type: str
    default: http://127.0.0.1:11434
  port:
    description: The port that the service must hold itself.
    type: int
    default: 11434
  timeout:
    description: Seconds that a start may take until the first answer.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Run Ollama for this Mac
  launchd_service:
    label: com.user.ollama
    plist: "{{ lookup('ansible.builtin.template', 'service.plist.j2') }}"
    retired_labels: [com.ollama.serve, homebrew.mxcl.ollama]
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in order; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
gap_seconds:
  description: How long nothing answered on the port, None when nothing was interrupted.
  returned: always
  type: float
"""

import os
import pwd
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet.plan import wanted_service
    from fleet.service import Found, Wanted, definition_problems, findings, plan
    from fleet.vocabulary import differences, plain
    from macos import launchctl
    from macos.launchd_change import Change, ChangeFailed
else:
    from ansible.module_utils.fleet.plan import wanted_service
    from ansible.module_utils.fleet.service import definition_problems, findings, plan
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos import launchctl
    from ansible.module_utils.macos.launchd_change import Change, ChangeFailed


def observe(account: pwd.struct_passwd, wanted: Wanted) -> Found:
    """Read what launchd and its folders hold of the labels in question."""
    return launchctl.observe(account.pw_uid, account.pw_dir, {wanted.label, *wanted.retired})


def refuse(module: AnsibleModule, found: Found, wanted: Wanted) -> None:
    """End with one sentence before anything is touched when the change cannot succeed."""
    problems = definition_problems(wanted.label, wanted.domain, wanted.definition)
    if problems:
        module.fail_json(msg=f"The definition of {wanted.label} is not sound: {'; '.join(problems)}.")
    for finding in findings("this Mac", found, wanted):
        if finding.severity == "error":
            module.fail_json(msg=finding.sentence())


def main() -> None:
    """Observe, decide, act, report."""
    module = AnsibleModule(
        argument_spec={
            "label": {"type": "str", "required": True},
            "domain": {"type": "str", "default": "gui", "choices": ["gui", "user", "system"]},
            "plist": {"type": "str", "required": True},
            "retired_labels": {"type": "list", "elements": "str", "default": []},
            "user": {"type": "str"},
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "port": {"type": "int", "default": 11434},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    asked: Mapping[str, Any] = module.params
    try:
        account = pwd.getpwnam(asked["user"]) if asked["user"] else pwd.getpwuid(os.getuid())
        wanted = wanted_service(asked)
        found = observe(account, wanted)
    except (OSError, ValueError, KeyError) as problem:
        module.fail_json(msg=f"Cannot read the service {asked['label']}: {problem}.")
    steps = plan(found, wanted)
    gap: float | None = None
    if steps and not module.check_mode:
        refuse(module, found, wanted)
        try:
            gap = Change(found, wanted, account, asked["url"], asked["port"], asked["timeout"]).carry_out(steps)
        except ChangeFailed as failure:
            module.fail_json(msg=str(failure), steps=plain(steps), restored=failure.restored)
    module.exit_json(changed=bool(steps), steps=plain(steps), diff=differences(steps), gap_seconds=gap)


if __name__ == "__main__":
    main()
