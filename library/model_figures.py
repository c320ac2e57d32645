"""Find out what models are made of, without downloading them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_figures
short_description: Collect sizes and architecture of models from the best source there is
version_added: 0.2.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Runs on the controller. Sources in their order are what a Mac says of a model it has, the registry (its manifest,
    and the first megabytes of the file for the header), the catalogue, and the declared size. Each answer says which it was.
  - What a registry said is kept by digest in the user's cache folder. Without a network it fails once, quickly, and goes on.
attributes:
  check_mode:
    description: Reads only, the same with and without it.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
options:
  models:
    description: Names to declared sizes in GB, or to nothing where none is declared.
    type: dict
    required: true
  catalogue:
    description: Content of C(catalogue/models.yml).
    type: dict
    default: {}
  macs:
    description: Host names to maps with C(tags), the list of C(/api/tags), and C(show), names to answers of C(/api/show).
    type: dict
    default: {}
  offline:
    description: Whether no registry is asked.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Find out what the models are made of
  model_figures:
    models: {"qwen3:8b": 5.2}
    catalogue: "{{ lookup('ansible.builtin.file', 'catalogue/models.yml') | from_yaml }}"
  delegate_to: localhost
  run_once: true
  register: __figures
"""

RETURN = r"""
figures:
  description: For each name its C(source), C(digest), C(sizes), C(architecture), C(exists) and C(problems).
  returned: always
  type: dict
"""

import os
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.units import bytes_of_gb
    from preflight.cache import Cache, cache_folder
    from preflight.registry import Registry
    from preflight.sources import Sources, collect, on_macs
    from preflight.web import Web
else:
    from ansible.module_utils.fleet.units import bytes_of_gb
    from ansible.module_utils.preflight.cache import Cache, cache_folder
    from ansible.module_utils.preflight.registry import Registry
    from ansible.module_utils.preflight.sources import Sources, collect, on_macs
    from ansible.module_utils.preflight.web import Web


def declared_bytes(value: Any, name: str) -> int | None:
    """Return a declared size in bytes; a size nobody can mean is left to the judgement, which names its variable."""
    if value is None:
        return None
    try:
        return bytes_of_gb(value, name)
    except ValueError:
        return None


def main() -> None:
    """Collect and return."""
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "dict", "required": True},
            "catalogue": {"type": "dict", "default": {}},
            "macs": {"type": "dict", "default": {}},
            "offline": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    asked = module.params
    sources = Sources(
        registry=None if asked["offline"] else Registry(Web()),
        cache=Cache(cache_folder(os.environ)),
        catalogue=asked["catalogue"],
        macs=on_macs(asked["macs"]),
    )
    wanted = {name: declared_bytes(size, name) for name, size in asked["models"].items()}
    module.exit_json(changed=False, figures=collect(wanted, sources))


if __name__ == "__main__":
    main()
