"""Write the files of a report on the controller, each as a whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report_files
short_description: Write several files into one folder
version_added: 0.2.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - One module run for a whole report. Each file is replaced in one rename, so a reader never meets half of one.
  - A report says what was judged, not what was done, so it is written in check mode too and never counts as a change.
attributes:
  check_mode:
    description: Writes as well, since a report changes nothing of what it is about.
    support: full
  diff_mode:
    description: Reports are not compared.
    support: none
options:
  path:
    description: The folder; it is made when it is missing.
    type: path
    required: true
  files:
    description: File names to their content.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the report
  report_files:
    path: reports
    files: {preflight.json: "{}"}
  delegate_to: localhost
  check_mode: false
"""

RETURN = r"""
written:
  description: The paths, in the order of their names.
  returned: always
  type: list
  elements: str
"""

import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def write(path: Path, content: str) -> None:
    """Write a temporary file beside the target and rename it."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


def main() -> None:
    """Write every file."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "files": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    folder = Path(module.params["path"])
    written = []
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, content in sorted(module.params["files"].items()):
            if Path(name).name != name:
                module.fail_json(msg=f"{name!r} is no name of a file in {folder}.")
            write(folder / name, content)
            written.append(str(folder / name))
    except OSError as problem:
        module.fail_json(msg=f"The report cannot be written into {folder}: {problem}. Set another folder or its rights.")
    module.exit_json(changed=False, written=written)


if __name__ == "__main__":
    main()
