"""What must hold of the repository as a whole: variables, documentation, templates, syntax of the target, refusals."""

from __future__ import annotations

import ast
import functools
import glob
import importlib.util
import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
MODULES = sorted((ROOT / "library").glob("*.py"))
FILTERS = sorted((ROOT / "filter_plugins").glob("*.py"))
ON_TARGET = sorted([*MODULES, *(ROOT / "module_utils").rglob("*.py")])
TASKS = sorted(
    [*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "roles").glob("*/handlers/*.yml"), *(ROOT / "playbooks").glob("*.yml")]
)


def load(path):
    return yaml.safe_load(path.read_text())


def ansible(command, *words, cwd=ROOT, **environment):
    """Run an Ansible command as a person would, with this repository's settings and no colours."""
    surroundings = {
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "COLUMNS": "200",
        "LC_ALL": "C.UTF-8",
        **environment,
    }
    return subprocess.run(
        [str(BIN / command), *map(str, words)],
        cwd=cwd,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@functools.lru_cache(maxsize=1)
def inventory():
    """Return the variables of each host, as the inventory gives them."""
    listed = ansible("ansible-inventory", "--list")
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)["_meta"]["hostvars"]


@functools.lru_cache(maxsize=1)
def tracked():
    """Return the files that git knows of or would take up."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# Variables. -------------------------------------------------------------------------------------------------------------

SEEN = """\
- name: Show one variable of each kind
  hosts: mac-mini:macbook-pro:windows-msi
  gather_facts: false
  connection: local
  tasks:
    - name: Show them
      ansible.builtin.debug:
        msg: >-
          {{ {'host': inventory_hostname, 'all': fleet_fast_path is defined, 'group': ollama_models_policy | default('absent'),
              'optional': fleet_plan_optional | default('absent'), 'mine': fleet_tailnet_ip | default('absent')} | to_json }}
"""


@functools.lru_cache(maxsize=2)
def variables_seen_from(folder):
    path = ROOT / folder / f"unit_test_{os.getpid()}.yml"
    path.write_text(SEEN)
    try:
        done = ansible("ansible-playbook", path)
    finally:
        path.unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [json.loads(match) for match in re.findall(r'\{"host".*?\}', done.stdout.replace('\\"', '"'))]
    return {one["host"]: one for one in shown}


@pytest.mark.parametrize("folder", [".", "playbooks"])
def test_plays_see_the_variables_of_every_kind(folder):
    seen = variables_seen_from(folder)
    given = inventory()
    assert set(seen) == {"mac-mini", "macbook-pro", "windows-msi"}
    for host, variables in seen.items():
        assert variables["all"] is True
        assert variables["mine"] == given[host]["fleet_tailnet_ip"]
        assert variables["optional"] == (host != "mac-mini")
    assert seen["mac-mini"]["group"] == given["mac-mini"]["ollama_models_policy"]
    assert seen["windows-msi"]["group"] == "absent"


def test_both_folders_see_the_same():
    assert variables_seen_from(".") == variables_seen_from("playbooks")


def test_the_links_beside_the_inventory_are_relative_and_lead_to_the_real_folders():
    for name in ("group_vars", "host_vars"):
        link = ROOT / "inventory" / name
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{name}"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_role_has_a_contract_and_its_defaults_agree_with_it(role):
    main = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]
    defaults = load(role / "defaults" / "main.yml") or {}
    options = main["options"]
    assert main["short_description"]
    assert main["description"]
    declared = {name: option["default"] for name, option in options.items() if "default" in option}
    assert declared == {name: defaults.get(name, "not in defaults") for name in declared}
    assert set(defaults) <= set(options)
    assert not [name for name, option in options.items() if option.get("required") and name in defaults]


def described(options, where):
    """Yield each option without a description or a type, nested ones included."""
    for name, option in options.items():
        if not option.get("description") or not option.get("type"):
            yield f"{where}.{name}"
        yield from described(option.get("options", option.get("suboptions", {})), f"{where}.{name}")


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_option_of_a_role_is_described(role):
    options = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    assert list(described(options, role.name)) == []


def test_every_variable_of_a_person_is_read_by_a_role():
    known = {name for role in ROLES for name in load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]}
    set_by_people = {
        name for path in [*ROOT.glob("group_vars/*/*.yml"), *ROOT.glob("host_vars/*/*.yml")] for name in load(path) or {}
    }
    addresses = {"fleet_local_name", "fleet_tailnet_ip"}
    switches = {"fleet_fast_path", "fleet_serial"}  # read by a variable of a role and by playbooks/servers.yml
    assert {name for name in set_by_people if not name.startswith("ansible_")} - known - addresses - switches == set()


# Documentation. ---------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def documentation(kind):
    files = MODULES if kind == "module" else FILTERS
    done = ansible("ansible-doc", "-j", "-t", kind, *(path.stem for path in files))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_module_is_documented(path):
    page = documentation("module")[path.stem]
    assert page["doc"]["description"]
    assert page["examples"]
    assert page["return"]
    assert {"check_mode", "diff_mode"} <= set(page["doc"]["attributes"])
    assert list(described(page["doc"]["options"], path.stem)) == []


@pytest.mark.parametrize("path", FILTERS, ids=lambda path: path.stem)
def test_every_filter_is_documented(path):
    page = documentation("filter")[path.stem]
    assert page["doc"]["description"]
    assert page["examples"]
    assert page["return"]["_value"]["description"]


class Asked(Exception):
    """The argument specification that a module handed over."""


@functools.lru_cache(maxsize=32)
def argument_spec(path):
    spec = importlib.util.spec_from_file_location(f"library_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def hand_over(**options):
        raise Asked(options)

    module.AnsibleModule = hand_over
    with pytest.raises(Asked) as caught:
        module.main()
    return caught.value.args[0]


def compared(spec, nested):
    """Reduce an argument specification, or the options of a documentation, to what both say."""
    return {
        name: {
            "type": option.get("type", "str"),
            "elements": option.get("elements"),
            "required": option.get("required", False),
            "default": option.get("default"),
            "choices": option.get("choices"),
            "nested": compared(option[nested], nested) if nested in option else None,
        }
        for name, option in spec.items()
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_what_a_module_takes_is_what_its_documentation_says(path):
    given = argument_spec(path)
    assert given["supports_check_mode"] is True
    documented = documentation("module")[path.stem]["doc"]["options"]
    assert compared(given["argument_spec"], "options") == compared(documented, "suboptions")


@pytest.mark.parametrize("path", FILTERS, ids=lambda path: path.stem)
def test_a_filter_takes_what_its_documentation_says(path):
    spec = importlib.util.spec_from_file_location(f"filter_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    filters = module.FilterModule().filters()
    assert list(filters) == [path.stem]
    function = filters[path.stem]
    names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
    page = documentation("filter")[path.stem]["doc"]
    positional = page.get("positional") or []
    positional = [word.strip() for word in positional.split(",")] if isinstance(positional, str) else positional
    variadic = bool(function.__code__.co_flags & 0x04)
    assert variadic or list(names) == list(positional)
    assert variadic or {"_input", *names} == set(page["options"])


@pytest.mark.parametrize("path", sorted((ROOT / "action_plugins").glob("*.py")), ids=lambda path: path.stem)
def test_an_action_stands_in_front_of_a_module_of_its_name(path):
    assert (ROOT / "library" / path.name).is_file()


# The property lists. ----------------------------------------------------------------------------------------------------

# The owner's three, and the context that his programs need (docs/differences.md, "Clients").
OWNERS_ENVIRONMENT = {
    "OLLAMA_HOST": "0.0.0.0",
    "OLLAMA_FLASH_ATTENTION": "1",
    "OLLAMA_KV_CACHE_TYPE": "q8_0",
    "OLLAMA_CONTEXT_LENGTH": "32768",
}
OWNERS = {
    "macbook-pro": {
        "Label": "com.ollama.serve",
        "ProgramArguments": ["/opt/homebrew/bin/ollama", "serve"],
        "EnvironmentVariables": OWNERS_ENVIRONMENT,
        "RunAtLoad": True,
        "KeepAlive": True,
        "StandardOutPath": "/tmp/ollama.out.log",  # noqa: S108  the owner's own documentation
        "StandardErrorPath": "/tmp/ollama.err.log",  # noqa: S108
    },
    "mac-mini": {
        "Label": "com.user.ollama",
        "ProgramArguments": ["/opt/homebrew/opt/ollama/bin/ollama", "serve"],
        "EnvironmentVariables": OWNERS_ENVIRONMENT,
        "RunAtLoad": True,
        "KeepAlive": True,
        "StandardErrorPath": "/tmp/ollama.err.log",  # noqa: S108
        "StandardOutPath": "/tmp/ollama.out.log",  # noqa: S108
    },
}

RENDER = """\
- name: Render the property list
  hosts: mac-mini:macbook-pro
  gather_facts: false
  connection: local
  tasks:
    - name: Know the defaults
      ansible.builtin.import_role:
        name: ollama_service
        tasks_from: defaults

    - name: Write it
      ansible.builtin.copy:
        content: "{{ lookup('ansible.builtin.template', 'ROOT/roles/ollama_service/templates/service.plist.j2') }}"
        dest: "{{ unit_test_folder }}/{{ inventory_hostname }}.plist"
        mode: "0644"
      vars:
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


@pytest.fixture(scope="module")
def render(tmp_path_factory):
    """Return a function that renders both property lists with Ansible itself, as bytes."""

    def rendered(**variables):
        folder = tmp_path_factory.mktemp("plists")
        play = folder / "render.yml"
        play.write_text(RENDER.replace("ROOT", str(ROOT)))
        extra = {"unit_test_folder": str(folder), **variables}
        done = ansible("ansible-playbook", play, "-e", json.dumps(extra))
        assert done.returncode == 0, done.stdout + done.stderr
        return {host: (folder / f"{host}.plist").read_bytes() for host in OWNERS}

    return rendered


@pytest.fixture(scope="module")
def plists(render):
    return render()


@pytest.mark.parametrize("host", OWNERS)
def test_the_property_list_is_the_owners_key_for_key(plists, host):
    assert plistlib.loads(plists[host]) == OWNERS[host]


@pytest.mark.parametrize("host", OWNERS)
def test_the_property_list_has_sorted_keys_and_nothing_that_varies(plists, host):
    text = plists[host].decode()
    keys = re.findall(r"^\t<key>(.*)</key>$", text, re.MULTILINE)
    assert keys == sorted(OWNERS[host])
    assert re.findall(r"^\t\t<key>(.*)</key>$", text, re.MULTILINE) == sorted(OWNERS[host]["EnvironmentVariables"])
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN"')
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)


def test_the_same_variables_give_the_same_bytes_in_any_order(plists, render):
    environment = OWNERS["mac-mini"]["EnvironmentVariables"]
    assert render(ollama_service_environment=dict(reversed(environment.items()))) == plists


HOSTILE = {
    "OLLAMA_ORIGINS": "http://a.example/?x=1&y=<b>\"c\"'d'",
    "OLLAMA_EDITOR": "]]> &amp; é ü 🙂 $(id) `id` ; ../",
    "HTTPS_PROXY": "",
}


def test_every_text_survives_the_template(render):
    made = render(
        ollama_service_environment=HOSTILE,
        ollama_service_keep_alive=False,
        ollama_service_options={
            "ThrottleInterval": 30,
            "Nice": -5,
            "LowPriorityIO": False,
            "SoftResourceLimits": {"NumberOfFiles": 65536},
            "WatchPaths": ["/a & b", "/c"],
            "Label <&>": "x",
        },
    )
    for host, raw in made.items():
        assert plistlib.loads(raw) == {
            **OWNERS[host],
            "EnvironmentVariables": HOSTILE,
            "KeepAlive": False,
            "ThrottleInterval": 30,
            "Nice": -5,
            "LowPriorityIO": False,
            "SoftResourceLimits": {"NumberOfFiles": 65536},
            "WatchPaths": ["/a & b", "/c"],
            "Label <&>": "x",
        }


# Syntax and habits. -----------------------------------------------------------------------------------------------------

OLD_PYTHONS = sorted(glob.glob(str(Path("~/.pyenv/versions/3.9*/bin/python").expanduser())))  # noqa: PTH207  a home, not a tree


@pytest.mark.parametrize("path", ON_TARGET, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_runs_on_a_mac_is_python_3_9(path):
    text = path.read_text()
    tree = ast.parse(text, feature_version=(3, 9))
    assert text.count("from __future__ import annotations") == 1 or not tree.body[1:]
    assert not [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and {"slots", "kw_only"} & {k.arg for k in node.keywords}
    ]


@pytest.mark.skipif(not OLD_PYTHONS, reason="no Python 3.9 here")
def test_what_runs_on_a_mac_compiles_and_its_judgements_load_on_python_3_9():
    code = (
        "import sys, types\n"
        "for path in sys.argv[2:]: compile(open(path, encoding='utf-8').read(), path, 'exec')\n"
        "package = types.ModuleType('ansible.module_utils'); package.__path__ = [sys.argv[1]]\n"
        "sys.modules.update({'ansible': types.ModuleType('ansible'), 'ansible.module_utils': package})\n"
        "import importlib, pkgutil\n"
        "for name in ('fleet', 'macos'):\n"
        "    folder = importlib.import_module('ansible.module_utils.' + name)\n"
        "    for found in pkgutil.iter_modules(folder.__path__):\n"
        "        importlib.import_module(folder.__name__ + '.' + found.name)\n"
    )
    done = subprocess.run(
        [OLD_PYTHONS[-1], "-B", "-W", "error", "-c", code, str(ROOT / "module_utils"), *map(str, ON_TARGET)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", sorted((ROOT / "module_utils" / "fleet").glob("*.py")), ids=lambda path: path.stem)
def test_the_judgements_know_neither_ansible_nor_the_machine(path):
    forbidden = {"ansible", "os", "subprocess", "socket", "urllib", "pathlib", "time", "shutil", "tempfile", "http"}
    assert {name.partition(".")[0] for name in imported(path)} & forbidden == set()


@pytest.mark.parametrize("path", ON_TARGET, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_runs_on_a_mac_needs_the_standard_library_alone(path):
    names = {name.partition(".")[0] for name in imported(path)}
    assert names - {"ansible", "fleet", "macos", "preflight"} <= set(sys.stdlib_module_names)


def test_site_only_imports():
    plays = load(ROOT / "site.yml")
    assert plays
    assert all(set(play) <= {"name", "import_playbook", "tags"} for play in plays)
    assert all((ROOT / play["import_playbook"]).is_file() for play in plays)


def tasks_in(nodes):
    for node in nodes or []:
        if isinstance(node, dict):
            yield node
            for key in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
                yield from tasks_in(node.get(key))


@pytest.mark.parametrize("path", TASKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_task_hides_a_failure_or_asks_a_shell(path):
    for task in tasks_in(load(path)):
        name = task.get("name")
        assert not {"shell", "ansible.builtin.shell", "raw", "ansible.builtin.raw", "script"} & set(task), name
        assert "ignore_errors" not in task, name
        if task.get("failed_when") is False:
            # Judged by the task after it, which says more: the one place.
            assert "ansible.builtin.validate_argument_spec" in task, name


def test_the_search_paths_are_named():
    settings = (ROOT / "ansible.cfg").read_text()
    for name in ("inventory", "roles_path", "library", "module_utils", "filter_plugins", "action_plugins", "collections_path"):
        assert re.search(rf"^{name} = \S", settings, re.MULTILINE), name
    assert re.search(r"^host_key_checking = true$", settings, re.MULTILINE)


def own_places():
    """Return what only this machine has: the home folder, the checkout, the package index; none of it is written in here."""
    yield re.compile(rf"(?<![\w}}]){re.escape(str(Path.home()))}/")
    yield re.compile(rf"{re.escape(str(ROOT))}\b")
    for name, value in os.environ.items():
        host = urlsplit(value).hostname if name.endswith(("INDEX_URL", "_PROXY", "_MIRROR")) and "://" in value else None
        if host and host not in ("localhost", "127.0.0.1"):
            yield re.compile(re.escape(host))


def test_no_tracked_file_names_this_machine():
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for place in own_places() for match in place.finditer(text)]
    assert found == []


def test_the_lock_file_names_no_index():
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", (ROOT / "requirements.lock").read_text())


# Preflight. -------------------------------------------------------------------------------------------------------------

SOUND = {
    "ansible_host": "192.0.2.1",
    "ansible_user": "felipe",
    "ram_budget_memory_gib": 16,
    "ollama_models_installed": [{"name": "qwen3:8b", "size_gb": 5.2, "residency": "resident", "automatic_fallback": True}],
}
ENVIRONMENT = {"OLLAMA_HOST": "0.0.0.0"}
PWNED = f"/tmp/ollama-fleet-{os.getpid()}"  # noqa: S108  must never be there
ONE = {"name": "a:1", "size_gb": 1}
OSS = {"name": "gpt-oss:20b", "size_gb": 13.8}

# What each mistake changes, and the words that must be said about it. Mistakes of one stage are refused in one run.
SHAPES = {
    "unknown-key": ({"ollama_models_installed": [{**ONE, "residencey": "resident"}]}, ["residencey", "residency"]),
    "no-choice": ({"ollama_models_installed": [{**ONE, "residency": "always"}]}, ["residency", "always", "on_demand"]),
    "no-size": ({"ollama_models_installed": [{"name": "a:1"}]}, ["size_gb", "required"]),
    "no-number": ({"ram_budget_memory_gib": "sixteen"}, ["ram_budget_memory_gib", "float"]),
    "no-memory": ({"ram_budget_memory_gib": None}, ["ram_budget_memory_gib"]),
    "text-for-a-list": ({"ollama_models_installed": "qwen3:8b"}, ["ollama_models_installed", "str"]),
    "text-for-a-map": ({"ollama_service_environment": "OLLAMA_HOST"}, ["ollama_service_environment", "dict"]),
    "no-scope": ({"exposure_scope": "world"}, ["exposure_scope", "world", "loopback, tailnet, lan"]),
    "no-port": ({"exposure_port": "11434; pass"}, ["exposure_port", "11434; pass"]),
    "no-map": ({"power_settings": "sleep"}, ["power_settings", "str"]),
    "no-domain": ({"ollama_service_domain": "aqua"}, ["ollama_service_domain", "aqua", "gui, user, system"]),
}
MEANINGS = {
    "bad-name": ({"ollama_models_installed": [{**ONE, "name": "bad name"}]}, ["ollama_models_installed[0].name", "bad name"]),
    "twice": ({"ollama_models_installed": [ONE, ONE]}, ["ollama_models_installed[1].name", "a:1", "Keep one"]),
    "also-removed": ({"ollama_models_removed": ["qwen3:8b"]}, ["ollama_models_removed[0]", "qwen3:8b"]),
    "brews-label": ({"ollama_service_label": "homebrew.mxcl.ollama"}, ["ollama_service_label", "homebrew.mxcl.ollama"]),
    "bad-label": ({"ollama_service_label": "com user"}, ["com user", "letters, digits"]),
    "two-labels": ({"ollama_service_options": {"Label": "com.other"}}, ["com.other"]),
    "cellar": ({"ollama_service_program": "/opt/homebrew/Cellar/ollama/0.32.15/bin/ollama"}, ["Cellar"]),
    "unknown-variable": (
        {"ollama_service_environment": {**ENVIRONMENT, "OLLAMA_FLASH_ATTENTON": "1"}},
        ["OLLAMA_FLASH_ATTENTON", "did you mean OLLAMA_FLASH_ATTENTION"],
    ),
    "cache-typo": (
        {"ollama_service_environment": {**ENVIRONMENT, "OLLAMA_KV_CACHE_TYPE": "q8"}},
        ["OLLAMA_KV_CACHE_TYPE", "q8", "q8_0"],
    ),
    "boolean-no": (
        {"ollama_service_environment": {**ENVIRONMENT, "OLLAMA_FLASH_ATTENTION": False}},
        ["OLLAMA_FLASH_ATTENTION", "False", "quotes"],
    ),
    "bare-number": (
        {"ollama_service_environment": {**ENVIRONMENT, "OLLAMA_KEEP_ALIVE": -1}},
        ["OLLAMA_KEEP_ALIVE", "-1", "quotes"],
    ),
    "host-bits": ({"exposure_networks": ["192.168.1.20/24"]}, ["exposure_networks[0]", "192.168.1.20/24", "192.168.1.0/24"]),
    "whole-internet": ({"exposure_networks": ["fe80::/10", "0.0.0.0/0"]}, ["exposure_networks[1]", "0.0.0.0/0", "internet"]),
    "rule-for-a-network": (
        {"exposure_networks": ["10.0.0.0/8 }\npass quick all #"]},
        ["exposure_networks[0]", "pass quick all", "a network such as"],
    ),
    "command-for-a-network": ({"exposure_networks": ["$(reboot)"]}, ["exposure_networks[0]", "$(reboot)", "a network such as"]),
    "zone-for-a-network": ({"exposure_networks": ["fe80::%en0/10"]}, ["exposure_networks[0]", "%en0", "a network such as"]),
    "path-for-a-network": ({"exposure_networks": ["../../etc/pf.conf"]}, ["exposure_networks[0]", "../../etc/pf.conf"]),
    "port-too-high": ({"exposure_port": 65536}, ["exposure_port", "65536", "1 to 65535"]),
    "hostile": (
        {
            "homebrew_formula": "--eval=system('id')",
            "ollama_service_label": f"com.user$(touch {PWNED})",
            "ollama_service_user": "felipe\nroot",
            "ollama_service_url": f"http://127.0.0.1:11434/;touch {PWNED}",
            "ollama_service_working_directory": "/Users/felipe/../../etc",
            "ollama_service_retired_labels": [f"`touch {PWNED}`"],
            "firewall_programs": [f"/opt/homebrew/bin/'; touch {PWNED} #"],
            "ollama_models_candidates": [{"name": f"a|touch {PWNED}"}],
        },
        [
            "homebrew_formula",
            "ollama_service_label",
            "ollama_service_user",
            "ollama_service_url",
            "ollama_service_working_directory",
            "ollama_service_retired_labels[0]",
            "firewall_programs[0]",
            "ollama_models_candidates[0].name",
        ],
    ),
    "firewall-contradiction": ({"firewall_block_all": True}, ["firewall_block_all", "firewall_programs"]),
    "no-setting": ({"power_settings": {"slep": 0}}, ["power_settings", "slep", "disksleep"]),
    "no-minutes": ({"power_settings": {"sleep": -1}}, ["power_settings.sleep", "-1", "0 for never"]),
    "greedy-gpu": (
        {"power_gpu_wired_limit_mib": 15000},
        ["power_gpu_wired_limit_mib", "15000", "at most", "ram_budget_reserve_gb"],
    ),
    "misspelt": ({"ollama_models_instaled": []}, ["ollama_models_instaled", "ollama_models_installed"]),
}
BUDGETS = {
    "too-big": ({"ollama_models_installed": [{**OSS, "residency": "resident"}]}, ["gpt-oss:20b", "10.4 GB", "on_demand"]),
    "would-drown": (
        {"ollama_models_installed": [*SOUND["ollama_models_installed"], {**OSS, "automatic_fallback": True}]},
        ["gpt-oss:20b", "fallback", "automatic_fallback"],
    ),
    "over-limit": ({"ram_budget_max_loaded_model_gb": 5}, ["qwen3:8b", "ram_budget_max_loaded_model_gb", "5.0 GB"]),
    "below-zero": ({"ram_budget_memory_gib": -16}, ["ram_budget_memory_gib", "-16", "above 0"]),
}
STAGES = {"shapes": SHAPES, "meanings": MEANINGS, "budgets": BUDGETS}


def preflight(*words):
    done = ansible("ansible-playbook", "playbooks/preflight.yml", *words)
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert "Traceback" not in said
    return done.returncode, said


def an_inventory(folder, hosts):
    """Write an inventory with these hosts and the variables of the fleet's own groups."""
    folder.mkdir()
    (folder / "group_vars").symlink_to(ROOT / "group_vars")
    names = dict.fromkeys(hosts)
    groups = {name: {"hosts": names} for name in ("ollama_servers", "ollama_clients", "always_on")}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    for host, variables in hosts.items():
        (folder / "host_vars" / host).mkdir(parents=True)
        (folder / "host_vars" / host / "all.yml").write_text(yaml.safe_dump(variables))
    return folder


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """Return a function from a stage to what was said about each of its hosts, one of them without any mistake."""

    @functools.cache
    def refused(stage):
        hosts = {host: {**SOUND, **changes} for host, (changes, _) in STAGES[stage].items()}
        folder = an_inventory(tmp_path_factory.mktemp("preflight") / "inventory", {**hosts, "sound": SOUND})
        status, said = preflight("-i", folder)
        assert status != 0
        pieces = re.split(r"(?:fatal|failed): \[", said.partition("PLAY RECAP")[0])[1:]
        return {host: " ".join(piece for piece in pieces if piece.startswith(f"{host}]")) for host in [*hosts, "sound"]}

    return refused


@pytest.mark.parametrize(("stage", "host"), [(stage, host) for stage, mistakes in STAGES.items() for host in mistakes])
def test_preflight_refuses_in_words(refusals, stage, host):
    said = refusals(stage)[host]
    assert said, "nothing was said about it"
    assert host in said.partition("]")[2]
    assert [word for word in STAGES[stage][host][1] if word not in said] == []


@pytest.mark.parametrize("stage", STAGES)
def test_preflight_says_nothing_of_a_host_without_mistakes(refusals, stage):
    assert refusals(stage)["sound"] == ""


def test_preflight_refuses_two_hosts_with_one_address(tmp_path):
    hosts = {host: {**SOUND, "fleet_tailnet_ip": "100.64.0.1"} for host in ("first", "second")}
    status, said = preflight("-i", an_inventory(tmp_path / "inventory", hosts))
    assert status != 0
    for word in ("second", "fleet_tailnet_ip", "100.64.0.1", "first has it", "Correct one of the two"):
        assert word in said


def test_nothing_of_a_hostile_inventory_was_executed(refusals):
    assert refusals("meanings")["hostile"]
    assert not Path(PWNED).exists()


def test_preflight_refuses_an_address_that_ssh_would_take_for_an_option(tmp_path):
    hosts = {"first": SOUND, "second": {**SOUND, "ansible_host": f"-oProxyCommand=touch {PWNED}"}}
    status, said = preflight("-i", an_inventory(tmp_path / "inventory", hosts))
    assert status != 0
    for word in ("second: ansible_host", "-oProxyCommand", "a host name or an IP address"):
        assert word in said
    assert not Path(PWNED).exists()


def test_preflight_refuses_what_is_given_on_the_command_line():
    status, said = preflight("-e", json.dumps({"ollama_models_removed": ["qwen3:8b"]}))
    assert status != 0
    assert "mac-mini: ollama_models_removed[0]" in said
    assert "macbook-pro: ollama_models_removed[0]" in said


def test_preflight_accepts_the_fleet_as_it_is_and_asks_no_mac():
    status, said = preflight()
    assert status == 0, said
    assert "gpt-oss:20b" in said  # the warning about what fits only with care
    assert "unreachable=1" not in said


def test_every_story_that_runs_at_each_change_exists():
    spec = importlib.util.spec_from_file_location("core", ROOT / "tests/support/core.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, functions in module.CORE.items():
        defined = {
            node.name for node in ast.parse((ROOT / f"tests/scenarios/{name}.py").read_text()).body if hasattr(node, "name")
        }
        assert set(functions) <= defined, name
