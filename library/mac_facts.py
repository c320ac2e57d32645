"""Observe a Mac once, whole: everything the judgements of the fleet need, in one module run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mac_facts
short_description: Read what the fleet's judgements need from a Mac
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Reads Homebrew's links, launchd in every domain, the property lists on disk, the application firewall, the packet filter's
    files and what its job last told, the listener on Ollama's port, the installed and loaded models, the registry's digests,
    Tailscale, the addresses in the LAN, who may write where it matters, the fleet's own program, power settings and the machine
    itself. With O(details) also the processes around the server, the ends of logs and the heartbeats of the fleet's jobs.
  - Changes nothing. Each part is read on its own and bounded in time. A part that cannot be read comes back as
    C(unknown) with the reason, never as an empty value.
attributes:
  check_mode:
    description: Reads only, the same with and without it.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
options:
  labels:
    description: launchd labels to look for, in C(gui), C(user) and C(system).
    type: list
    elements: str
    required: true
  labels_on_disk:
    description: Further labels, looked for only where a property list of that name exists.
    type: list
    elements: str
    default: []
  prefix:
    description: Homebrew's prefix.
    type: path
    default: /opt/homebrew
  formula:
    description: The formula whose keg is read.
    type: str
    default: ollama
  policy:
    description: >-
      Which version of the formula is wanted, as in M(ollama_version). Homebrew is asked which one it has for C(latest), and for
      C(pinned) when O(version) is not there.
    type: str
    choices: [present, latest, pinned]
    default: present
  version:
    description: The version for C(pinned).
    type: str
    default: ""
  program:
    description: The program the service starts; resolved through all symbolic links.
    type: path
    required: true
  programs:
    description: Further programs whose path behind all symbolic links is asked for, as the firewall sees them.
    type: list
    elements: path
    default: []
  guarded:
    description: Folders and files of which it matters who may write there, the folders above them included.
    type: list
    elements: str
    default: []
  own:
    description: Folders of this fleet alone, of whose whole contents it matters.
    type: list
    elements: str
    default: []
  url:
    description: Where the server answers on the Mac itself.
    type: str
    default: http://127.0.0.1:11434
  port:
    description: The port the server should hold.
    type: int
    default: 11434
  models_path:
    description: The store of models, read when the server is not up. Empty for C(~/.ollama/models).
    type: str
    default: ""
  tailscale_socket:
    description: Socket of Tailscale's daemon. Empty for the known places.
    type: str
    default: ""
  registry_names:
    description: Models whose present digest is asked from their registry.
    type: list
    elements: str
    default: []
  registry_installed:
    description: Whether the registries are asked for every installed model, too.
    type: bool
    default: false
  networks:
    description: Networks towards which the Mac's own address is asked for; nothing is sent.
    type: list
    elements: str
    default: []
  shell_file:
    description: A shell's start file that is looked through for our block, C(~) being the connecting user's home. Empty for none.
    type: str
    default: ""
  own_files:
    description: Files and folders of ours that are looked for; C(~) is the connecting user's home.
    type: list
    elements: str
    default: []
  power:
    description: Whether power settings and the GPU's limit are read also where nothing of them was changed by this fleet.
    type: bool
    default: false
  details:
    description: >-
      Whether to read as well what no step depends on: C(processes) that name Ollama or hold its port, with those that started
      them; C(logs), the last lines of O(logs); C(heartbeats), when each job of the fleet last ran; C(job_logs), what they wrote;
      C(supervisors), which launchd job each process is; C(damage), files of models whose size is not what their manifest says;
      C(closed), what of the models' store the connecting user may not read or replace.
    type: bool
    default: false
  logs:
    description: Logs whose ends are read with O(details), at most 64 KiB and 200 lines of each.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Observe the Mac
  mac_facts:
    labels: [com.user.ollama, homebrew.mxcl.ollama]
    program: /opt/homebrew/opt/ollama/bin/ollama
  register: __observation
"""

RETURN = r"""
mac:
  description: One key per part. A part that could not be read is a map with the single key C(unknown).
  returned: always
  type: dict
  sample:
    homebrew: {brew: true, installed: [0.32.15], linked: 0.32.15, pinned: false,
               program: /opt/homebrew/Cellar/ollama/0.32.15/libexec/ollama}
    firewall: {unknown: socketfilterfw did not answer within 10 s}
"""

import os
import pwd
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet import homebrew
    from fleet.models import Installed
    from fleet.vocabulary import Unknown, plain
    from macos import companion_files, details, launchctl, packet_filter, power, shell_file, system, tailscale
    from macos.brew import Brew
    from macos.ollama_api import Api, ApiError, is_refused, read_store, registry_digest
    from macos.surroundings import read_surroundings
else:
    from ansible.module_utils.fleet import homebrew
    from ansible.module_utils.fleet.vocabulary import Unknown, plain
    from ansible.module_utils.macos import (
        companion_files,
        details,
        launchctl,
        packet_filter,
        power,
        shell_file,
        system,
        tailscale,
    )
    from ansible.module_utils.macos.brew import Brew
    from ansible.module_utils.macos.ollama_api import Api, ApiError, is_refused, read_store, registry_digest
    from ansible.module_utils.macos.surroundings import read_surroundings


BREW_SECONDS = 60
"""Homebrew's list of all versions is some 15 MB; where it does not come in this time the answer is unknown."""


def probe(read: Callable[[], Any]) -> Any:
    """Return what was read as plain data, or why it could not be read; one broken part spoils no other."""
    try:
        return plain(read())
    except Exception as problem:  # whatever one part does, the others must come back
        return plain(Unknown(f"{type(problem).__name__}: {problem}"))


def observe_models(parameters: dict[str, Any], home: str) -> dict[str, Any]:
    """Return installed and loaded models and what the registry has; from disk where the server is surely not up."""
    api = Api(parameters["url"])
    with ThreadPoolExecutor(max_workers=4) as pool:
        registry = {name: pool.submit(registry_digest, name) for name in parameters["registry_names"]}
        said: dict[str, Any] = {}
        try:
            installed = api.installed()
            loaded: Any = api.loaded()
            said = shown(api, installed)
        except ApiError as problem:
            installed = read_store(Path(parameters["models_path"] or f"{home}/.ollama/models"))
            loaded = () if is_refused(problem) else Unknown(str(problem))
        more = [model.name for model in installed if model.name not in registry] if parameters["registry_installed"] else []
        registry.update({name: pool.submit(registry_digest, name) for name in more})
        return {
            "installed": installed,
            "loaded": loaded,
            "shown": said,
            "registry": {name: answer.result() for name, answer in registry.items()},
        }


def shown(api: Api, installed: tuple[Installed, ...]) -> dict[str, Any]:
    """Return what the server says each model is made of, without texts and vocabulary; nothing for what it cannot show."""
    answers = {}
    for model in installed:
        try:
            answer = api.call("POST", "/api/show", {"model": model.name})
        except ApiError:
            continue
        if not isinstance(answer, dict):
            continue
        info = {key: value for key, value in (answer.get("model_info") or {}).items() if not key.startswith("tokenizer.")}
        answers[model.name] = {key: answer[key] for key in ("details", "projector_info", "capabilities") if key in answer}
        answers[model.name]["model_info"] = info
    return answers


def observe_available(parameters: dict[str, Any]) -> str | Unknown:
    """Return the version that Homebrew would install, where that decides something; the one part that may start `brew`."""
    found = system.read_keg(parameters["prefix"], parameters["formula"], parameters["program"])
    wanted = homebrew.Wanted(parameters["formula"], parameters["policy"], parameters["version"])
    if not found.brew or not homebrew.must_ask(found, wanted):
        return homebrew.NOT_ASKED
    brew = Brew(parameters["prefix"], pwd.getpwuid(os.getuid()))
    return brew.available(wanted.formula, found.installed, BREW_SECONDS)


def observe_server(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the version of the running server, None when nothing listens."""
    try:
        return {"version": Api(parameters["url"]).version()}
    except ApiError as problem:
        if is_refused(problem):
            return {"version": None}
        raise


def main() -> None:
    """Read every part at once and return them."""
    module = AnsibleModule(
        argument_spec={
            "labels": {"type": "list", "elements": "str", "required": True},
            "labels_on_disk": {"type": "list", "elements": "str", "default": []},
            "prefix": {"type": "path", "default": "/opt/homebrew"},
            "formula": {"type": "str", "default": "ollama"},
            "policy": {"type": "str", "default": "present", "choices": ["present", "latest", "pinned"]},
            "version": {"type": "str", "default": ""},
            "program": {"type": "path", "required": True},
            "programs": {"type": "list", "elements": "path", "default": []},
            "guarded": {"type": "list", "elements": "str", "default": []},
            "own": {"type": "list", "elements": "str", "default": []},
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "port": {"type": "int", "default": 11434},
            "models_path": {"type": "str", "default": ""},
            "tailscale_socket": {"type": "str", "default": ""},
            "registry_names": {"type": "list", "elements": "str", "default": []},
            "registry_installed": {"type": "bool", "default": False},
            "shell_file": {"type": "str", "default": ""},
            "own_files": {"type": "list", "elements": "str", "default": []},
            "networks": {"type": "list", "elements": "str", "default": []},
            "power": {"type": "bool", "default": False},
            "details": {"type": "bool", "default": False},
            "logs": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    uid = os.getuid()
    home = pwd.getpwuid(uid).pw_dir
    parts: dict[str, Callable[[], Any]] = {
        "homebrew": lambda: system.read_keg(wanted["prefix"], wanted["formula"], wanted["program"]),
        "available": lambda: observe_available(wanted),
        "launchd": lambda: launchctl.observe(
            uid, home, [*wanted["labels"], *companion_files.with_plist(home, wanted["labels_on_disk"])]
        ),
        "companion": lambda: companion_files.observe(uid, home),
        "surroundings": lambda: read_surroundings(home),
        "firewall": system.read_firewall,
        "packet_filter": lambda: packet_filter.observe(wanted["networks"]),
        "programs": lambda: {program: os.path.realpath(program) for program in wanted["programs"]},
        "permissions": lambda: {
            **system.read_places([*wanted["guarded"], *wanted["own"]]),
            **system.read_inside(wanted["own"]),
        },
        "listener": lambda: system.read_listener(wanted["port"]),
        "server": lambda: observe_server(wanted),
        "models": lambda: observe_models(wanted, home),
        "tailscale": lambda: tailscale.observe(home, wanted["tailscale_socket"]),
        "addresses": lambda: system.read_addresses(wanted["networks"]),
        "machine": lambda: system.read_machine(Path(wanted["models_path"] or home)),
        "shell_block": lambda: shell_file.observe(wanted["shell_file"]) if wanted["shell_file"] else None,
        "power": lambda: power.observe(asked=wanted["power"]),
        "own_files": lambda: system.read_kinds(wanted["own_files"]),
    }
    if wanted["details"]:
        store = Path(wanted["models_path"] or f"{home}/.ollama/models")
        parts.update(
            processes=lambda: details.read_processes(wanted["port"]),
            logs=lambda: details.read_logs(wanted["logs"]),
            heartbeats=lambda: details.read_heartbeats(home),
            supervisors=lambda: details.read_supervisors(uid),
            job_logs=lambda: details.read_job_logs(home),
            damage=lambda: details.read_damage(store),
            closed=lambda: details.read_closed(store),
        )
    with ThreadPoolExecutor(max_workers=len(parts)) as pool:
        answers = {name: pool.submit(probe, read) for name, read in parts.items()}
        module.exit_json(changed=False, mac={name: answer.result() for name, answer in answers.items()})


if __name__ == "__main__":
    main()
