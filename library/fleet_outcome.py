"""Give a host of a report its end; carried out on the controller by the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_outcome
short_description: End a report for a host as fine, wrong, not asked or an error
version_added: 0.2.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - The last task of a playbook that reports. What is wrong makes the host fail (exit code 2), what could not be asked makes it
    unreachable (exit code 4). Nothing runs on the host.
  - An error, and any other failure after C(begun), ends the run with 1 instead of 2 where the callback P(fleet_summary#callback)
    is loaded, as it is by the ansible.cfg of this repository.
attributes:
  check_mode:
    description: The same with and without it.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
options:
  state:
    description: >-
      How it ends. C(begun) says at the beginning that exit codes are those of a report from here on.
    type: str
    choices: [begun, ok, wrong, not_asked, error]
    required: true
  said:
    description: The sentence about it.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: End as the report says
  fleet_outcome:
    state: wrong
    said: "mac-mini is not as the inventory says: firewall allow /opt/homebrew/opt/ollama/bin/ollama."
"""

RETURN = r"""
fleet_outcome:
  description: The state.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Describe what is taken; the action does not come here."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["begun", "ok", "wrong", "not_asked", "error"], "required": True},
            "said": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    module.fail_json(
        msg="fleet_outcome is carried out on the controller, where its action is: set action_plugins in ansible.cfg."
    )


if __name__ == "__main__":
    main()
