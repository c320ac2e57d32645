"""Find the address by which a host answers; carried out on the controller by the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_address
short_description: Find the first address of a host at which ssh works
version_added: 0.2.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Runs on the controller and opens the ssh connection itself, with all connection variables of the host, so that what is found
    is what the following tasks use. Where connections persist, it is the very same connection.
  - Takes the addresses in order. The next one is begun as soon as the one before it has failed or has been silent for
    O(timeout) seconds; the first that answers is taken. A name that does not resolve is a failed address like any other.
  - An address counts when a command ran there, so the host key was checked and the login worked.
  - Fails for a host that answers nowhere, unless O(optional). A host key that is unknown or has changed, and a refused login,
    fail for an optional host too, unless another address is in order.
attributes:
  check_mode:
    description: The same with and without it, but nobody is woken up.
    support: partial
  diff_mode:
    description: There is nothing to differ.
    support: none
options:
  addresses:
    description: Names and numbers to try. Empty ones are left out, doubles too.
    type: list
    elements: str
    required: true
  optional:
    description: Whether the host may be away.
    type: bool
    default: false
  absent:
    description: >-
      C(refuse) fails for a host that answers nowhere and must; C(tell) returns the sentence in RV(away) instead.
    type: str
    choices: [refuse, tell]
    default: refuse
  timeout:
    description: Seconds that an address may be silent before the next one is begun.
    type: int
    default: 2
  wake_mac:
    description: Hardware address to wake when nothing answers. Left out, nobody is woken up.
    type: str
  wake_broadcast:
    description: Where the wake-up packet goes, the broadcast address of the host's network.
    type: str
    default: 255.255.255.255
  wake_port:
    description: UDP port of the packet.
    type: int
    default: 9
  wake_seconds:
    description: How long to wait for the host after the first packet.
    type: int
    default: 40
"""

EXAMPLES = r"""
- name: Find an address that answers
  fleet_address:
    addresses: [felipes-mac-mini.local, 100.115.10.14]
  register: __found
"""

RETURN = r"""
address:
  description: The address that answered, empty when none did.
  returned: always
  type: str
away:
  description: Why a host that answers nowhere is left out, empty otherwise.
  returned: success
  type: str
expected:
  description: Whether the host answers nowhere and may be away.
  returned: always
  type: bool
tried:
  description: What became of each address, with C(address), C(cause) and C(words).
  returned: always
  type: list
  elements: dict
said:
  description: One sentence about the address that is used.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Describe what is taken; a host that the action does not stand in front of has nothing to find."""
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "optional": {"type": "bool", "default": False},
            "absent": {"type": "str", "choices": ["refuse", "tell"], "default": "refuse"},
            "timeout": {"type": "int", "default": 2},
            "wake_mac": {"type": "str"},
            "wake_broadcast": {"type": "str", "default": "255.255.255.255"},
            "wake_port": {"type": "int", "default": 9},
            "wake_seconds": {"type": "int", "default": 40},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="fleet_address runs on the controller: set action_plugins in ansible.cfg.")


if __name__ == "__main__":
    main()
