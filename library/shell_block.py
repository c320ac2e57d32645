"""Keep one marked block in a shell's start file, and every other byte of it as it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: shell_block
short_description: Set variables and aliases of a client shell in one marked block
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Writes one block between C(# BEGIN ollama-fleet) and C(# END ollama-fleet), at its place or at the end of the file. Every
    other byte stays, whatever it is, and so do owner, mode and a symbolic link, whose target is written.
  - Values and words are quoted so that sh, bash and zsh take them literally; nothing in them is expanded or run.
  - Without variables and aliases the block goes, and the file is byte for byte as it was before, also without a newline at its
    end. A file that was made for the block and holds nothing else goes with it.
  - Two blocks, or a marker without the other one, are refused with the line.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows the lines of the block only, never what the person wrote.
    support: full
options:
  path:
    description: The start file; C(~) is the home of the connecting user.
    type: str
    default: ~/.zshrc
  variables:
    description: Variables to export, each a text. Of the names C(OLLAMA_*) only those that Ollama's command line reads.
    type: dict
    default: {}
  aliases:
    description: Commands by alias, each as a list of words.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Let the command line find its server
  shell_block:
    path: ~/.zshrc
    variables:
      OLLAMA_HOST: 127.0.0.1:11434
    aliases:
      tailscale: [tailscale, --socket=/Users/felipe/.tailscale/tailscaled.sock]

- name: Leave no trace
  shell_block:
    path: ~/.zshrc
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.shell_block import Wanted, findings, look, plan, problems, with_block, without_block
    from fleet.vocabulary import differences, plain
    from macos.shell_file import expanded, read, replace
else:
    from ansible.module_utils.fleet.shell_block import Wanted, findings, look, plan, problems, with_block, without_block
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos.shell_file import expanded, read, replace


def main() -> None:
    """Observe, decide, act, report."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "str", "default": "~/.zshrc"},
            "variables": {"type": "dict", "default": {}},
            "aliases": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    asked = module.params
    refused = problems(asked["variables"], asked["aliases"])
    if refused:
        module.fail_json(msg=" ".join(f"{option}: found {value!r}, allowed is {allowed}." for option, value, allowed in refused))
    lines = Wanted(asked["variables"], asked["aliases"]).lines
    try:
        path = expanded(asked["path"])
        data = read(path)
    except (OSError, ValueError) as problem:
        module.fail_json(msg=f"The start file {asked['path']} cannot be read: {problem}. Nothing was changed.")
    found = look(path, data)
    for finding in findings("this host", found, wanted=bool(lines)):
        if finding.severity == "error":
            module.fail_json(msg=f"{finding.why}. {finding.remedy}.")
    steps = plan(found, lines)
    result: dict[str, Any] = {"changed": bool(steps), "steps": plain(steps), "diff": differences(steps)}
    if steps and not module.check_mode:
        try:
            replace(path, with_block(data, lines) if lines else without_block(data))
        except OSError as problem:
            module.fail_json(msg=f"The start file {path} cannot be written: {problem}. It is as it was before.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
