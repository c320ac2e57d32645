"""`client_files` as a playbook runs it: the action here, the module on this machine, a client that judges."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLD_PYTHONS = sorted(Path("~/.pyenv/versions").expanduser().glob("3.9*/bin/python"))
SECRET = "s3cr3t-0123456789"
THEIRS = f"// by hand\n{{channels: {{telegram: {{botToken: '{SECRET}'}}}}, agents: {{defaults: {{model: 'openai/gpt-5.4'}}}}}}\n"

CLIENT = """#!/bin/sh
grep -q '"bad"' "$OPENCLAW_CONFIG_PATH" || exit 0
echo "Invalid config: $(cat "$OPENCLAW_CONFIG_PATH")" >&2
exit 1
"""

MANAGED = {
    "models": {
        "providers": {"ollama": {"baseUrl": "http://localhost:11434", "apiKey": "ollama", "models": [{"id": "qwen3:8b"}]}}
    },
    "agents": {"defaults": {"model": {"primary": "ollama/qwen3:8b", "fallbacks": []}, "models": {"ollama/qwen3:8b": {}}}},
}
OPENCLAW = {
    "program": "openclaw",
    "path": "~/.openclaw/openclaw.json",
    "managed": MANAGED,
    "include": [{"at": ["models", "providers", "*"], "file": "fleet/{0}.json"}],
    "validate": {"command": ["openclaw", "config", "validate", "--json"], "path_variable": "OPENCLAW_CONFIG_PATH"},
}
ENVIRONMENT = {
    "program": "openai",
    "path": "~/.config/ollama-fleet/openai.env",
    "format": "text",
    "managed": "# ollama-fleet wrote this\nOPENAI_BASE_URL=http://localhost:4000/v1\nOPENAI_API_KEY=ollama\n",
}


@pytest.fixture
def home(tmp_path):
    """Return a home with a client in it, a file of the person, and another one of the person that is ours to read only."""
    made = tmp_path / "home"
    (made / ".openclaw").mkdir(parents=True)
    (made / ".openclaw/openclaw.json").write_text(THEIRS)
    (made / ".local/bin").mkdir(parents=True)
    (made / ".local/bin/openclaw").write_text(CLIENT)
    (made / ".local/bin/openclaw").chmod(0o755)
    return made


def play(home, *words, files=(OPENCLAW, ENVIRONMENT), python=sys.executable, **options):
    """Run the task once and return (exit code, result, everything that was printed)."""
    book, told = home.parent / "play.yml", home.parent / "kept.json"
    told.unlink(missing_ok=True)
    keep = {"name": "Keep the files", "client_files": {"files": list(files), **options}, "register": "kept"}
    tell = {"name": "Tell", "copy": {"content": "{{ kept | to_json }}", "dest": str(told), "mode": "0600"}, "check_mode": False}
    book.write_text(json.dumps([{"name": "Files", "hosts": "machine", "gather_facts": False, "tasks": [keep, tell]}]))
    inventory = home.parent / "hosts.yml"
    inventory.write_text(
        json.dumps({"all": {"hosts": {"machine": {"ansible_connection": "local", "ansible_python_interpreter": str(python)}}}})
    )
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    surroundings.update(
        {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "HOME": str(home), "LC_ALL": "C.UTF-8"}
    )
    surroundings.update({"ANSIBLE_HOME": str(home.parent / "ansible"), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"})
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(book), *words],
        cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    printed = done.stdout + done.stderr
    return done.returncode, json.loads(told.read_text()) if told.exists() else None, printed


def tree(folder):
    return {
        str(path.relative_to(folder)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def module_runs(printed):
    return len(re.findall(r"Using module file .*/client_files\.py", printed))


def test_a_whole_life(home):
    before = tree(home)
    code, checked, said = play(home, "--check", "--diff", "-vvv")
    assert code == 0, said
    assert module_runs(said) == 1
    assert tree(home) == before
    printed = said

    code, done, said = play(home, "--diff", "-vvv", python=OLD_PYTHONS[-1] if OLD_PYTHONS else sys.executable)
    assert code == 0, said
    assert module_runs(said) == 2
    printed += said
    assert done["changed"]
    assert (done["steps"], done["diff"]) == (checked["steps"], checked["diff"])
    assert done["validated"] == [f"{home}/.openclaw/openclaw.json: openclaw finds it valid"]
    (warning,) = done["warnings"]
    assert "openclaw.json.before-ollama-fleet" in warning
    assert set(done) <= {"changed", "steps", "diff", "validated", "warnings", "failed", "ansible_facts"}
    main = json.loads((home / ".openclaw/openclaw.json").read_bytes())
    assert main["channels"] == {"telegram": {"botToken": SECRET}}
    assert main["models"]["providers"]["ollama"] == {"$include": "./fleet/ollama.json"}
    assert main["agents"]["defaults"] == MANAGED["agents"]["defaults"]

    after = tree(home)
    code, again, said = play(home, "-vvv")
    assert (code, again["changed"], again["steps"], again["validated"]) == (0, False, [], [])
    assert module_runs(said) == 1
    assert tree(home) == after
    printed += said

    (home / ".openclaw/fleet/ollama.json").write_text('{"baseUrl": "http://elsewhere", "apiKey": "theirs-now"}')
    code, drift, said = play(home, "--check", "--diff", "-vvv")
    assert [(step["action"], step["item"].split(": ")[1], step["found"]) for step in drift["steps"]] == [
        ("set", "models.providers.ollama.baseUrl", "http://elsewhere"),
        ("set", "models.providers.ollama.apiKey", "not shown"),
        ("set", "models.providers.ollama.models", "absent"),
    ]
    printed += said
    code, mended, said = play(home, "-vvv")
    assert mended["steps"] == drift["steps"]
    assert {**tree(home), **after} == {**after, **{path: one for path, one in tree(home).items() if path not in after}}
    printed += said

    code, gone, said = play(home, "-vvv", "--diff", files=(), state="absent")
    assert (code, gone["changed"]) == (0, True)
    assert {path: one for path, one in tree(home).items() if not path.startswith(".ansible")} == before
    assert module_runs(said) == 2
    printed += said
    code, nothing, said = play(home, "-vvv", files=(), state="absent")
    assert (code, nothing["changed"], module_runs(said)) == (0, False, 1)
    printed += said

    # With -vvv, nothing of the person's was printed, as it is or packed.
    assert SECRET not in printed
    assert "theirs-now" not in printed
    assert not re.search(r"[A-Za-z0-9+/=]{120}", printed)


INVALID = "would be invalid for openclaw: Invalid config"
TROUBLE = {
    "malformed": ("{channels: {token: '" + SECRET + "'},\n nonsense", ["line 2, column", "Nothing was changed"]),
    "refused by the client": (THEIRS.replace("channels:", "x: 'bad', channels:"), [INVALID, "config validate"]),
    "a list in the way": ("{agents: [1]}", ["agents is a list of 1", "Move the list away"]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), TROUBLE.values(), ids=TROUBLE)
def test_trouble_is_one_sentence_and_touches_nothing(home, content, words):
    (home / ".openclaw/openclaw.json").write_text(content)
    before = tree(home)
    code, _, said = play(home, "-vvv")
    assert code == 2
    assert all(word in said for word in ["machine: ", *words]), said
    assert "Traceback" not in said
    assert SECRET not in said
    assert {path: one for path, one in tree(home).items() if not path.startswith(".ansible")} == before


def test_what_is_asked_wrongly_is_said(home):
    code, _, said = play(home, files=[{**OPENCLAW, "mode": "0666"}])
    assert code == 2
    assert "machine: ~/.openclaw/openclaw.json: mode: found '0666', allowed is a mode" in said
    code, _, said = play(home, files=[], state="gone")
    assert "allowed is present or absent" in said
    code, _, said = play(home, files=[OPENCLAW], recrd="x")
    assert "recrd" in said


def test_a_client_that_is_not_installed_is_told(home):
    (home / ".local/bin/openclaw").unlink()
    code, done, said = play(home, files=[{**OPENCLAW, "mode": ""}])
    assert code == 0, said
    assert done["validated"] == [f"{home}/.openclaw/openclaw.json: not validated: openclaw is not installed there"]


def test_two_runs_at_once_end_as_one(home):
    book = home.parent / "both.yml"
    play(home, "--check")
    plays = json.loads((home.parent / "play.yml").read_text())
    book.write_text(json.dumps([{**plays[0], "hosts": "one:two", "tasks": plays[0]["tasks"][:1]}]))
    hosts = {name: {"ansible_connection": "local", "ansible_python_interpreter": sys.executable} for name in ("one", "two")}
    (home.parent / "both-hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
    surroundings = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "HOME": str(home), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(home.parent / "both-hosts.yml"), str(book)],
        cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert play(home)[1]["steps"] == []
    assert json.loads((home / ".openclaw/openclaw.json").read_bytes())["channels"] == {"telegram": {"botToken": SECRET}}
    assert (home / ".openclaw/openclaw.json.before-ollama-fleet").read_text() == THEIRS
