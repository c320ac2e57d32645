"""Client files over a real ssh connection: on a Mac and on a client that is none, with nothing of the person's on the screen."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.fleet import BIN, ROOT, Fleet

SECRET = "s3cr3t-0123456789"
FILES = [
    {
        "program": "openclaw",
        "path": "~/.openclaw/openclaw.json",
        "managed": {"models": {"providers": {"ollama": {"baseUrl": "http://localhost:11434"}}}},
        "include": [{"at": ["models", "providers", "*"], "file": "fleet/{0}.json"}],
        "validate": {"command": ["openclaw", "config", "validate"], "path_variable": "OPENCLAW_CONFIG_PATH"},
    }
]
BEGIN = f"""
import pathlib
folder = pathlib.Path("~/.openclaw").expanduser()
folder.mkdir()
(folder / "openclaw.json").write_text("// mine\\n{{channels: {{token: '{SECRET}'}}}}\\n" + "// " + "x" * 3000 + "\\n")
"""
SHOW = """
import json, pathlib
home = pathlib.Path.home()
found = [path for name in (".openclaw", ".config") for path in (home / name).rglob("*")]
print(json.dumps({str(path.relative_to(home)): path.read_text() for path in found if path.is_file()}))
"""


@pytest.fixture(scope="module")
def bare() -> Iterator[Fleet]:
    """Bring up machines on which nothing was done yet."""
    fleet = Fleet(f"client-files-{os.getpid()}")
    fleet.lab("up")
    try:
        yield fleet
    finally:
        fleet.lab("down")


def ad_hoc(fleet, host, *words, **options):
    """Run the task once, with all that is printed for somebody who asks for much."""
    done = subprocess.run(
        [BIN / "ansible", "-i", "inventory", "-i", "lab/inventory", host, "-m", "client_files", "-a", json.dumps(options),
         "-vvv", "--diff", *words],
        capture_output=True, text=True, env=fleet.environment, cwd=ROOT, check=False, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def module_runs(said):
    return len(re.findall(r"Using module file .*/client_files\.py", said))


@pytest.mark.parametrize("host", ["mac-mini", "windows-msi"])
def test_a_life_over_ssh(bare, host):
    python = "/usr/bin/python3"
    bare.on(host, python, "-c", BEGIN)
    before = json.loads(bare.on(host, python, "-c", SHOW))
    checked = ad_hoc(bare, host, "--check", files=FILES)
    assert json.loads(bare.on(host, python, "-c", SHOW)) == before
    done = ad_hoc(bare, host, files=FILES)
    made = json.loads(bare.on(host, python, "-c", SHOW))
    assert json.loads(made[".openclaw/openclaw.json"])["channels"] == {"token": SECRET}
    assert made[".openclaw/openclaw.json.before-ollama-fleet"] == before[".openclaw/openclaw.json"]
    assert "openclaw is not installed" in re.sub(r"\s+", " ", done)
    again = ad_hoc(bare, host, files=FILES)
    assert "changed: false" in again
    assert json.loads(bare.on(host, python, "-c", SHOW)) == made
    gone = ad_hoc(bare, host, state="absent")
    assert json.loads(bare.on(host, python, "-c", SHOW)) == before
    assert [module_runs(said) for said in (checked, done, again, gone)] == [1, 2, 1, 2]
    for said in (checked, done, again, gone):
        assert SECRET not in said
        # Neither is what the two halves say to each other, packed: the connection would print the module's whole answer.
        assert not re.search(r"[A-Za-z0-9+/=]{120}", said)
        assert said.count("censored due to no log") >= module_runs(said)
