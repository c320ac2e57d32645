"""Bring the version of Ollama that runs to the one wanted, and go back to the one before if it does not prove itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_version
short_description: Run one version of Ollama, and keep the one before until it has proved itself
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Upgrades the formula with C(brew), or links another keg that is still in the Cellar, and restarts the service by a full
    bootout and bootstrap, since launchd pins the code it started.
  - The new version is accepted when the server answers as that version, has the residents in memory and has completed a sentence.
    Otherwise the version before is linked again, the service runs it, and the module fails with the cause. The keg that failed
    keeps a note, so that C(policy=latest) does not interrupt the service for it again.
  - C(brew) is started for C(latest), for a pinned version that is not in the Cellar, and for an upgrade; never as root.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run. C(brew) may be asked which version it has.
    support: full
  diff_mode:
    description: Shows for each step what was found and what is wanted.
    support: full
options:
  prefix:
    description: Homebrew's prefix.
    type: path
    default: /opt/homebrew
  formula:
    description: The formula.
    type: str
    default: ollama
  policy:
    description: >-
      C(present) leaves the version alone, C(latest) follows Homebrew, C(pinned) is the one of O(version), also against
      C(brew upgrade) by hand.
    type: str
    choices: [present, latest, pinned]
    default: present
  version:
    description: The version for C(pinned).
    type: str
    default: ""
  keep_old:
    description: Whether the version before stays in the Cellar after a successful upgrade. Older ones go.
    type: bool
    default: true
  versions:
    description: What is known about versions, as in C(catalogue/ollama_versions.yml).
    type: dict
    default: {bad: []}
  label:
    description: Label of the service that runs from the formula.
    type: str
    required: true
  domain:
    description: The launchd domain of the service.
    type: str
    choices: [gui, user, system]
    default: gui
  plist:
    description: The whole property list of the service as XML.
    type: str
    required: true
  retired_labels:
    description: Labels that the service takes over from.
    type: list
    elements: str
    default: []
  user:
    description: To whom Homebrew and the C(gui) domain belong; needed when the module runs as root.
    type: str
  url:
    description: Where the server answers on the Mac itself.
    type: str
    default: http://127.0.0.1:11434
  port:
    description: The port that the service must hold itself.
    type: int
    default: 11434
  models:
    description: The models of this Mac as in M(ollama_models); the residents among them are loaded and asked for a sentence.
    type: list
    elements: dict
    default: []
  timeout:
    description: Seconds that a start may take until the first answer.
    type: int
    default: 60
  load_timeout:
    description: Seconds that loading one model, or completing a sentence, may take.
    type: int
    default: 600
  ask_timeout:
    description: Seconds that C(brew) may take to say which version it has.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Follow Homebrew
  ollama_version:
    policy: latest
    label: com.user.ollama
    plist: "{{ lookup('ansible.builtin.template', 'service.plist.j2') }}"
    models: "{{ ollama_models_installed }}"
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in order; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
gap_seconds:
  description: How long nothing answered on the port, None when nothing was interrupted.
  returned: always
  type: float
proved_by:
  description: The model that completed a sentence with the new version, empty when there is none.
  returned: always
  type: str
versions:
  description: The version that was C(linked), C(running) and C(available) before, and the one linked C(now).
  returned: always
  type: dict
  sample: {linked: 0.32.3, running: 0.32.3, available: 0.32.15, now: 0.32.15}
"""

import os
import pwd
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet import homebrew, models, versions
    from fleet.plan import wanted_service
    from fleet.vocabulary import Step, Unknown, differences, plain
    from macos import launchctl, system
    from macos.brew import Brew
    from macos.homebrew_change import Formula, HomebrewFailed
    from macos.ollama_api import Api, ApiError
    from macos.version_change import Service, VersionFailed, carry_out
else:
    from ansible.module_utils.fleet import homebrew, models, versions
    from ansible.module_utils.fleet.plan import wanted_service
    from ansible.module_utils.fleet.vocabulary import Unknown, differences, plain
    from ansible.module_utils.macos import launchctl, system
    from ansible.module_utils.macos.brew import Brew
    from ansible.module_utils.macos.homebrew_change import Formula, HomebrewFailed
    from ansible.module_utils.macos.ollama_api import Api, ApiError
    from ansible.module_utils.macos.version_change import Service, VersionFailed, carry_out


def running_version(api: Api) -> str | None:
    """Return the version of the server that answers, None when none does."""
    try:
        return api.version()
    except ApiError:
        return None


def main() -> None:
    """Observe, decide, act, report."""
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "default": "/opt/homebrew"},
            "formula": {"type": "str", "default": "ollama"},
            "policy": {"type": "str", "default": "present", "choices": ["present", "latest", "pinned"]},
            "version": {"type": "str", "default": ""},
            "keep_old": {"type": "bool", "default": True},
            "versions": {"type": "dict", "default": {"bad": []}},
            "label": {"type": "str", "required": True},
            "domain": {"type": "str", "default": "gui", "choices": ["gui", "user", "system"]},
            "plist": {"type": "str", "required": True},
            "retired_labels": {"type": "list", "elements": "str", "default": []},
            "user": {"type": "str"},
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "port": {"type": "int", "default": 11434},
            "models": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "int", "default": 60},
            "load_timeout": {"type": "int", "default": 600},
            "ask_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    asked: Mapping[str, Any] = module.params
    try:
        account = pwd.getpwnam(asked["user"]) if asked["user"] else pwd.getpwuid(os.getuid())
        wanted = homebrew.wanted_from_json(asked)
        own = wanted_service(asked)
        brew = Brew(asked["prefix"], account)
        found = system.read_keg(asked["prefix"], asked["formula"], own.definition["ProgramArguments"][0])
        services = launchctl.observe(account.pw_uid, account.pw_dir, {own.label, *own.retired})
        known = versions.knowledge_from_json(asked["versions"])
        residents = models.wanted_from_json(asked["models"], (), "keep", "present")
    except (OSError, ValueError, KeyError) as problem:
        module.fail_json(msg=f"Cannot read what runs {asked['formula']}: {problem}.")
    available: str | Unknown = homebrew.NOT_ASKED
    if found.brew and homebrew.must_ask(found, wanted):
        available = brew.available(asked["formula"], found.installed, asked["ask_timeout"])
    running = running_version(Api(asked["url"]))
    job = services.job(own.target_domain(services.uid), own.label)
    steps = homebrew.restart(found, homebrew.plan(found, wanted, available), job.target if job else "", running)
    steps = tuple(step for step in steps if step.action not in homebrew.INSTALLS)
    for finding in homebrew.findings("this Mac", found, wanted, available, known):
        if finding.severity == "error":
            module.fail_json(msg=f"{finding.sentence()} Nothing was changed.")
    result: dict[str, Any] = {
        "changed": bool(steps),
        "steps": plain(steps),
        "diff": differences(steps),
        "gap_seconds": None,
        "proved_by": "",
        "versions": {"linked": found.linked, "running": running, "available": plain(available), "now": found.linked},
    }
    if not steps or module.check_mode:
        module.exit_json(**result)
    formula = Formula(brew, asked["formula"], found, previous(found, steps, running))
    service = Service(own, account, asked["url"], asked["port"], asked["timeout"], residents, asked["load_timeout"])
    try:
        result["gap_seconds"], result["proved_by"] = carry_out(steps, formula, service)
    except (HomebrewFailed, VersionFailed) as failure:
        module.fail_json(msg=str(failure), steps=result["steps"], versions={**result["versions"], "now": formula.linked})
    result["versions"]["now"] = formula.linked
    module.exit_json(**result)


def previous(found: homebrew.Keg, steps: tuple[Step, ...], running: str | None) -> str:
    """Return the version to go back to: the linked one, or the running one where an earlier run stopped before the restart."""
    if any(step.action in homebrew.SWITCHES for step in steps) or running is None:
        return found.linked
    return versions.newest(keg for keg in found.installed if versions.same_release(keg, running)) or found.linked


if __name__ == "__main__":
    main()
