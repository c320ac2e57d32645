"""Keep our keys in the files of client programs, and every other value of them as it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: client_files
short_description: Merge what is ours into the files of client programs, and take it out again
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Merges the mapping O(files[].managed) into a JSON file. Mappings recurse, every other value is a leaf that is ours as a whole,
    lists too; an empty mapping means that a mapping must be there. Every other value in the file stays, and so does the order
    of its keys.
  - A record on the machine remembers what stood there before. What is ours no longer, in a file or as a whole, goes back to that,
    unless somebody changed it since. What is in a file and not in the record is never taken out.
  - Files may be JSON5, with comments. They are written as strict JSON; then the result warns once and says where the file is kept
    as it was. C(state=absent) puts it back to the byte where nobody else wrote since, else it takes out our values only.
  - A scalar of the person gives way to a mapping of ours and comes back with it; a list in its place is refused.
  - All files change or none does. Where one is malformed, no regular file, has a key twice, is read-only, or is found invalid by
    the client's own command, the run ends with a sentence and has touched nothing. A change that was cut short is taken up by
    the next run.
  - The action plugin of the same name reads and judges on the controller, for which it needs the Python package C(json5) there.
    Without steps this is one module run for all files, with steps it is two. The machine may be a Mac or Linux, with Python 3.9.
  - Contents are never in a result, a diff or a log, also not with C(-vvv). Steps name our leaves; a found value that is not ours
    is shown only where it is a number or a text that looks like no secret, and no text below a name such as C(apiKey) is.
attributes:
  check_mode:
    description:
      - Returns the same steps and the same diff as a real run. The client's own check of a candidate needs a file in the folder,
        so it runs in a real run only and may then refuse.
    support: full
  diff_mode:
    description: Shows our leaves only, never what the person wrote.
    support: full
options:
  state:
    description:
      - C(present) brings each listed file to what is managed and gives back every recorded file that is not listed.
      - C(absent) gives back everything that the record knows; O(files) does not count then.
    type: str
    choices: [present, absent]
    default: present
  record:
    description: Where the machine remembers what is ours, with mode 0600. C(~) is the home of the connecting user.
    type: str
    default: ~/.config/ollama-fleet/clients.json
  files:
    description: All files of this record.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file, absolute or below C(~).
        type: str
        required: true
      program:
        description: The program that reads it, for sentences.
        type: str
        default: ""
      format:
        description:
          - C(json) is read as JSON5 and written as strict JSON.
          - C(text) is a file that is ours as a whole; its first line must contain C(ollama-fleet).
        type: str
        choices: [json, text]
        default: json
      managed:
        description: What is ours, a mapping or, for C(text), a text. A file of which nothing is managed is given back.
        type: raw
      mode:
        description: The file's mode. Empty leaves modes alone, as on Windows drives; a new file gets 0600.
        type: str
        default: "0600"
      folder_mode:
        description: The mode of folders that are made for it; one that is there keeps its own.
        type: str
        default: "0700"
      include:
        description:
          - Parts of C(json) that lie in files of their own. The file itself gets C({"$include"}) there, beside what the person
            has at that place. With and without it, the file means the same.
        type: list
        elements: dict
        default: []
        suboptions:
          at:
            description: Keys that lead to the part; C(*) stands for every key.
            type: list
            elements: str
            required: true
          file:
            description: Its file, relative to the folder; C({0}) is the key for which the first C(*) stands.
            type: str
            required: true
      validate:
        description:
          - The client's own check, run before anything changes where its program is found, on the PATH, in C(/opt/homebrew/bin),
            C(/usr/local/bin), C(~/.local/bin) or C(~/.npm-global/bin). It gets an environment of its own.
        type: dict
        suboptions:
          command:
            description: Program and arguments. Any exit code but 0 is a refusal.
            type: list
            elements: str
            required: true
          path_variable:
            description: The environment variable that gets the path of the candidate, which lies in the folder of the file.
            type: str
            default: ""
          environment:
            description: More variables; C({home}) in a value is the temporary home, which is HOME as well.
            type: dict
            default: {}
          timeout:
            description: Seconds after which it is ended and counts as a refusal.
            type: int
            default: 60
  lock_timeout:
    description: Seconds to wait for another run that changes files.
    type: int
    default: 60
  work:
    description: What to do. Set by the action plugin.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Let OpenClaw find the fleet
  client_files:
    files:
      - program: openclaw
        path: ~/.openclaw/openclaw.json
        managed:
          models:
            providers:
              ollama: {baseUrl: "http://localhost:11434", apiKey: ollama, api: ollama}
        include:
          - at: [models, providers, "*"]
            file: fleet/{0}.json
        validate:
          command: [openclaw, config, validate, --json]
          path_variable: OPENCLAW_CONFIG_PATH
          environment: {OPENCLAW_STATE_DIR: "{home}/state"}

- name: Leave no trace
  client_files:
    state: absent
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
validated:
  description: For each file that was to be checked by its client, a sentence with what came of it. Empty in check mode.
  returned: always
  type: list
  elements: str
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fleet.client_seen import opened, sealed
    from macos.client_files import act, look
else:
    from ansible.module_utils.fleet.client_seen import opened, sealed
    from ansible.module_utils.macos.client_files import act, look


def main() -> None:
    """Look, or act on what the controller has judged; the answer is for the action plugin alone."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "record": {"type": "str", "default": "~/.config/ollama-fleet/clients.json"},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "program": {"type": "str", "default": ""},
                    "format": {"type": "str", "default": "json", "choices": ["json", "text"]},
                    "managed": {"type": "raw"},
                    "mode": {"type": "str", "default": "0600"},
                    "folder_mode": {"type": "str", "default": "0700"},
                    "include": {
                        "type": "list",
                        "elements": "dict",
                        "default": [],
                        "options": {
                            "at": {"type": "list", "elements": "str", "required": True},
                            "file": {"type": "str", "required": True},
                        },
                    },
                    "validate": {
                        "type": "dict",
                        "options": {
                            "command": {"type": "list", "elements": "str", "required": True},
                            "path_variable": {"type": "str", "default": ""},
                            "environment": {"type": "dict", "default": {}},
                            "timeout": {"type": "int", "default": 60},
                        },
                    },
                },
            },
            "lock_timeout": {"type": "int", "default": 60},
            # Whole files are in it: it must be in no log of the machine.
            "work": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    asked = module.params
    try:
        if asked["work"] and not module.check_mode:
            module.exit_json(changed=True, answer=sealed(act(opened(asked["work"]), asked["lock_timeout"])))
        module.exit_json(changed=False, answer=sealed(look([file["path"] for file in asked["files"]], asked["record"])))
    except ValueError as problem:
        module.fail_json(msg=f"{problem}. Nothing was changed.")


if __name__ == "__main__":
    main()
