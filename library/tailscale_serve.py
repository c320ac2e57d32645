"""Publish ports of this Mac in its tailnet by `tailscale serve`, exactly those that are listed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tailscale_serve
short_description: Forward TCP ports of the tailnet to ports of this Mac
version_added: 0.2.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Compares C(tailscale serve status --json) with what is wanted and runs C(tailscale serve --bg --tcp) for the difference.
  - Ports in neither list are left alone. Nothing is installed and nobody is logged in.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows for each port what was found and what is wanted.
    support: full
options:
  tcp:
    description: What to publish.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: Port of the tailnet.
        type: int
        required: true
      target:
        description: Where it leads on this Mac, C(HOST:PORT).
        type: str
        required: true
  removed:
    description: Ports that must not be published.
    type: list
    elements: int
    default: []
  socket:
    description: Socket of the daemon. Empty for the known places.
    type: str
    default: ""
  user:
    description: Whose home folder is searched for a daemon's socket; needed when the module runs as root.
    type: str
"""

EXAMPLES = r"""
- name: Publish Ollama in the tailnet
  tailscale_serve:
    tcp:
      - port: 11434
        target: 127.0.0.1:11434
  become: true
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in order.
  returned: always
  type: list
  elements: dict
"""

import os
import pwd
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet.tailnet import Tailnet, plan, wanted_forwards
    from fleet.vocabulary import Step, Unknown, differences, plain
    from macos import tailscale
    from macos.commands import Answer, run
else:
    from ansible.module_utils.fleet.tailnet import plan, wanted_forwards
    from ansible.module_utils.fleet.vocabulary import Unknown, differences, plain
    from ansible.module_utils.macos import tailscale
    from ansible.module_utils.macos.commands import run


def act(step: Step, found: Tailnet) -> Answer:
    """Carry out one step. Without `--bg` the forward would end with the command (cmd/tailscale/cli/serve_v2.go)."""
    port = step.item.partition("/")[2]
    words = [f"--tcp={port}", "off"] if step.action == "unserve" else ["--bg", "--yes", f"--tcp={port}", f"tcp://{step.wanted}"]
    return run(tailscale.command(found.program, found.socket, "serve", *words), timeout=30)


def main() -> None:
    """Observe, decide, act, read again."""
    module = AnsibleModule(
        argument_spec={
            "tcp": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"port": {"type": "int", "required": True}, "target": {"type": "str", "required": True}},
            },
            "removed": {"type": "list", "elements": "int", "default": []},
            "socket": {"type": "str", "default": ""},
            "user": {"type": "str"},
        },
        supports_check_mode=True,
    )
    asked = module.params

    def observe() -> tuple[Tailnet, Mapping[int, str]]:
        account = pwd.getpwnam(asked["user"]) if asked["user"] else pwd.getpwuid(os.getuid())
        found = tailscale.observe(account.pw_dir, asked["socket"])
        if not found.variant:
            module.fail_json(msg="No Tailscale is installed here: install it and log in, or empty tailscale_serve_tcp.")
        if isinstance(found.served, Unknown):
            message = f"`serve status` says {found.served.reason}"
            raise OSError(message)
        return found, found.served

    try:
        wanted = wanted_forwards(asked["tcp"])
        found, served = observe()
        steps = plan(served, wanted, asked["removed"])
        result: dict[str, Any] = {"changed": bool(steps), "steps": plain(steps), "diff": differences(steps)}
        if not steps or module.check_mode:
            module.exit_json(**result)
        for step in steps:
            answer = act(step, found)
            if answer.rc != 0:
                module.fail_json(
                    msg=f"`tailscale serve` refused to {step.action} {step.item}: {answer.said}. Serving needs root, or the user"
                    " whose daemon it is (tailscale_serve_become), and HTTPS or serve may be switched off for the tailnet.",
                    steps=result["steps"],
                )
        left = plan(observe()[1], wanted, asked["removed"])
    except (OSError, ValueError, KeyError) as problem:
        module.fail_json(msg=f"Tailscale cannot be set to serve: {problem}.")
    if left:
        module.fail_json(
            msg=f"Tailscale did not take the change: {left[0].item} is still {left[0].found!r}, wanted is {left[0].wanted!r}.",
            steps=result["steps"],
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
