"""The files of the three machines, as the inventory makes them: any change of a template or of the routing shows here.

To take a change over:
`ansible-playbook playbooks/clients.yml -e clients_render_only=$PWD/tests/golden/clients -e '{"clients_programs": [...]}'`.
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.fleet.client_programs import PROGRAMS

from .test_repository import ROOT, ansible

GOLDEN = ROOT / "tests/golden/clients"
HOSTS = ("mac-mini", "macbook-pro", "windows-msi")
FILES = sorted(file.path for program in PROGRAMS.values() for file in program.files)


@functools.lru_cache(maxsize=1)
def rendered():
    """Write every file of every program for every machine, and ask none of them."""
    with tempfile.TemporaryDirectory() as folder:
        programs = json.dumps({"clients_programs": sorted(PROGRAMS), "clients_render_only": folder})
        done = ansible("ansible-playbook", "playbooks/clients.yml", "-e", programs)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "unreachable=0" in done.stdout
        return {str(path.relative_to(folder)): path.read_text() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_there_is_a_file_for_each_machine_and_program_and_no_other():
    expected = {f"{host}/{path}" for host in HOSTS for path in FILES}
    assert set(rendered()) == expected
    assert {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()} == expected


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", FILES)
def test_it_is_as_it_was_looked_at(host, path):
    assert rendered()[f"{host}/{path}"] == (GOLDEN / host / path).read_text()


@pytest.mark.parametrize("host", HOSTS)
def test_the_dangerous_model_is_in_no_chain_of_the_small_mac(host):
    for path in FILES:
        text = (GOLDEN / host / path).read_text()
        if path.endswith(("openclaw.json", "clawdbot.json")):
            document = json.loads(text)
            small = "ollama-macmini" if host == "windows-msi" else "ollama"
            assert [model["id"] for model in document["models"]["providers"][small]["models"]] == ["qwen3:8b"]
            assert f"{small}/gpt-oss:20b" not in text
        if path.endswith("litellm.yaml"):
            mini = "http://localhost:11434" if host == "mac-mini" else "http://100.115.10.14:11434"
            asked = [one["litellm_params"] for one in yaml.safe_load(text)["model_list"]]
            assert {one["model"] for one in asked if one.get("api_base") == mini} == {"ollama_chat/qwen3:8b"}


@pytest.mark.parametrize("host", HOSTS)
def test_no_key_and_no_local_name_is_in_any_file(host):
    for path in FILES:
        text = (GOLDEN / host / path).read_text()
        assert "sk-" not in text
        assert ".local:" not in text
        assert "ollama-local" not in text
