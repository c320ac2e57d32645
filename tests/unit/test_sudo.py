"""What asks for root in the roles is what docs/sudo.md lists, and its example says what Ansible really runs."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
import yaml

from tests.support.sudo import example, logged, rows

ROOT = Path(__file__).resolve().parents[2]
REAL = "/bin/sh -c echo BECOME-SUCCESS-qjxwcsdmuhhpkwpgmzgvrgwqlyqgfmkz ; /usr/bin/python3"


def tasks_in(nodes):
    for node in nodes or []:
        if isinstance(node, dict):
            yield node
            for key in ("tasks", "block", "rescue", "always"):
                yield from tasks_in(node.get(key))


def asking_for_root():
    for path in sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")]):
        for task in tasks_in(yaml.safe_load(path.read_text())):
            if task.get("become"):
                (module,) = [key for key in task if "." in key or (ROOT / "library" / f"{key}.py").is_file()]
                yield path.relative_to(ROOT / "roles").parts[0], module


def test_every_task_that_asks_for_root_is_listed_with_its_reason():
    assert set(rows()) == set(asking_for_root())


def test_no_play_and_no_group_asks_for_root_as_a_whole():
    for path in [
        *ROOT.glob("playbooks/*.yml"),
        *ROOT.glob("group_vars/*/*.yml"),
        *ROOT.glob("host_vars/*/*.yml"),
        ROOT / "site.yml",
    ]:
        assert not re.search(r"^\s*(-\s+)?(ansible_)?become\b", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        pytest.param(REAL, True, id="as Ansible runs it"),
        pytest.param("/bin/ls /var/root", False, id="another command"),
        pytest.param("/bin/sh", False, id="a shell"),
        pytest.param("/usr/bin/python3", False, id="Python alone"),
        pytest.param(REAL.replace(" ;", " ; id ;"), False, id="one more command"),
        pytest.param("/bin/sh -c echo BECOME-SUCCESS-; id ; /usr/bin/python3", False, id="no letters"),
        pytest.param(REAL.replace("q", " ", 1), False, id="a blank for a letter"),
        pytest.param(REAL + " -c 1", False, id="an argument more"),
    ],
)
def test_the_example_lets_one_command_through(command, allowed):
    pattern = re.search(r"^Cmnd_Alias OLLAMA_FLEET = (.+)$", example(), re.MULTILINE)[1]
    # sudo compares arguments as fnmatch(3) does.
    assert fnmatch.fnmatchcase(command, pattern) is allowed


def test_the_page_shows_the_line_of_sudos_log():
    (pattern,) = logged()
    assert re.fullmatch(pattern, REAL.replace("echo", "'echo") + "'")
    assert not re.fullmatch(pattern, REAL.replace("echo", "'echo") + " -c 1'")
