"""Write the files of a report on the controller, each as a whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report_files
short_description: Write several files below one folder
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
    description: File names to their content. A name may have folders before it, which are made.
    type: dict
    required: true
  mode:
    description: Mode of each file, in octal digits. Folders made for it are as open to others as the files are.
    type: str
    default: "0644"
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


def write(path: Path, content: str, mode: int) -> None:
    """Write a temporary file beside the target and rename it."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    Path(temporary).chmod(mode)
    Path(temporary).replace(path)


def make_folders(folder: Path, mode: int) -> None:
    """Make a folder and what is missing above it, each with this mode."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir()
        made.chmod(mode)


def main() -> None:
    """Write every file."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "mode": {"type": "str", "default": "0644"},
        },
        supports_check_mode=True,
    )
    folder, mode = Path(module.params["path"]), int(module.params["mode"], 8)
    # Who may read a file may enter its folder.
    folder_mode = 0o700 | mode | (mode & 0o044) >> 2
    written = []
    try:
        make_folders(folder, folder_mode)
        for name, content in sorted(module.params["files"].items()):
            target = folder / name
            if Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).name:
                module.fail_json(msg=f"{name!r} is no name of a file in {folder}.")
            make_folders(target.parent, folder_mode)
            write(target, content, mode)
            written.append(str(target))
    except OSError as problem:
        module.fail_json(msg=f"The report cannot be written into {folder}: {problem}. Set another folder or its rights.")
    module.exit_json(changed=False, written=written)


if __name__ == "__main__":
    main()
