"""Say who reaches the server's port, by the packet filter, and keep it so over restarts and flushes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packet_filter
short_description: Let only these networks reach a TCP port
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Blocks a TCP port, IPv4 and IPv6, for every address outside of the networks given; the Mac itself always reaches it. Other
    ports and other software's rules stay as they are, and so does C(/etc/pf.conf).
  - The rules stand in an anchor below C(com.apple), which Apple's own main rules ask. A job of launchd loads them at boot and
    once a minute, switches pf on with one reference, and tells in a file that everybody may read what is in force. The plan is
    made from that file, so it is the same with and without root.
  - The rules are checked with C(pfctl -n) before anything is touched. When they are not in force afterwards, the files and rules
    of before are put back and the module fails.
  - Needs root for changes.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows rules, files and job as found and as wanted.
    support: full
options:
  state:
    description: >-
      C(absent) takes job, files and rules away. pf itself stays on until the next boot, since others may use it.
    type: str
    choices: [present, absent]
    default: present
  scope:
    description: C(loopback) lets nobody else in, C(tailnet) the addresses of Tailscale, C(lan) those and O(networks).
    type: str
    choices: [loopback, tailnet, lan]
    default: tailnet
  networks:
    description: Networks of the LAN, such as C(192.168.1.0/24), C(fd00:1::/64) and C(fe80::/10).
    type: list
    elements: str
    default: []
  port:
    description: The TCP port.
    type: int
    default: 11434
"""

EXAMPLES = r"""
- name: Let the tailnet in and nobody else
  become: true
  packet_filter:
    scope: tailnet

- name: Leave nothing behind
  become: true
  packet_filter:
    state: absent
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
"""

import os
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet.packet_filter import Wanted, plan, removal, wanted_from_json
    from fleet.vocabulary import Step, differences, plain
    from macos import packet_filter
else:
    from ansible.module_utils.fleet.packet_filter import Wanted, plan, removal, wanted_from_json
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos import packet_filter


def carry_out(steps: Sequence[Step], wanted: Wanted, *, absent: bool) -> None:
    """Do the steps: a removal one by one, a change as a whole or not at all."""
    if absent:
        for step in steps:
            packet_filter.act(step, {})
        return
    packet_filter.check(wanted)
    packet_filter.Change(wanted).carry_out(steps)


def main() -> None:
    """Observe, decide, act."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "scope": {"type": "str", "default": "tailnet", "choices": ["loopback", "tailnet", "lan"]},
            "networks": {"type": "list", "elements": "str", "default": []},
            "port": {"type": "int", "default": 11434},
        },
        supports_check_mode=True,
    )
    absent = module.params["state"] == "absent"
    try:
        wanted = wanted_from_json(module.params)
        found = packet_filter.observe()
    except (OSError, ValueError) as problem:
        module.fail_json(msg=f"Cannot judge the packet filter: {problem}.")
    steps = removal(found) if absent else plan(found, wanted)
    result = {"changed": bool(steps), "steps": plain(steps), "diff": differences(steps)}
    if not steps or module.check_mode:
        module.exit_json(**result)
    if os.getuid() != 0:
        module.fail_json(msg="Only root may change the packet filter; run the task with become.", steps=result["steps"])
    try:
        carry_out(steps, wanted, absent=absent)
    except (OSError, packet_filter.FilterFailed) as problem:
        module.fail_json(msg=f"The packet filter could not be changed: {problem}", steps=result["steps"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
