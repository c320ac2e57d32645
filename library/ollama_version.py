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
  muted_labels:
    description: Labels whose job is booted out and disabled, and whose files are left alone.
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
  residents:
    description: Models that must be in memory again, each with a sentence completed. Without any the smallest model speaks.
    type: list
    elements: str
    default: []
  models_path:
    description: The store of models, read while the server is not up. Empty for C(~/.ollama/models).
    type: str
    default: ""
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
  lock_timeout:
    description: Seconds to wait for another run on the same Mac.
    type: int
    default: 900
  progress_path:
    description: File for the progress, one line, replaced as a whole. Set by the action plugin.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Follow Homebrew
  ollama_version:
    policy: latest
    label: com.user.ollama
    plist: "{{ lookup('ansible.builtin.template', 'service.plist.j2') }}"
    residents: [qwen3:8b]
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in order; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
gap_seconds:
  description: How long nobody held the port, None when nothing was interrupted.
  returned: always
  type: float
drain_seconds:
  description: How long the old process took to end, None when none did.
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
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet import homebrew, models, service, versions
    from fleet.plan import VersionSteps, version_steps, wanted_service
    from fleet.service_findings import findings
    from fleet.vocabulary import Unknown, differences, plain
    from macos import launchctl, system
    from macos.brew import Brew
    from macos.homebrew_change import Formula
    from macos.launchd_change import Change
    from macos.ollama_api import Api, ApiError, read_store
    from macos.one_at_a_time import one_at_a_time, to_the_end
    from macos.progress_file import ProgressFile
    from macos.proof import VersionGate
    from macos.version_change import VersionFailed, carry_out
else:
    from ansible.module_utils.fleet import homebrew, models, versions
    from ansible.module_utils.fleet.plan import version_steps, wanted_service
    from ansible.module_utils.fleet.service_findings import findings
    from ansible.module_utils.fleet.vocabulary import Unknown, differences, plain
    from ansible.module_utils.macos import launchctl, system
    from ansible.module_utils.macos.brew import Brew
    from ansible.module_utils.macos.homebrew_change import Formula
    from ansible.module_utils.macos.launchd_change import Change
    from ansible.module_utils.macos.ollama_api import Api, ApiError, read_store
    from ansible.module_utils.macos.one_at_a_time import one_at_a_time, to_the_end
    from ansible.module_utils.macos.progress_file import ProgressFile
    from ansible.module_utils.macos.proof import VersionGate
    from ansible.module_utils.macos.version_change import VersionFailed, carry_out


class Seen(NamedTuple):
    """What a Mac has of the formula, of the service that runs from it, and of models; and what Homebrew would install."""

    keg: homebrew.Keg
    available: str | Unknown
    services: service.Found
    models: models.Found
    running: str


def gather(account: pwd.struct_passwd, wanted: homebrew.Wanted, own: service.Wanted, asked: Mapping[str, Any]) -> Seen:
    """Read it all; `brew` is asked where its answer decides something."""
    keg = system.read_keg(asked["prefix"], asked["formula"], own.definition["ProgramArguments"][0])
    available: str | Unknown = homebrew.NOT_ASKED
    if keg.brew and homebrew.must_ask(keg, wanted):
        available = Brew(asked["prefix"], account).available(asked["formula"], keg.installed, asked["ask_timeout"])
    services = launchctl.observe(account.pw_uid, account.pw_dir, {own.label, *own.retired, *own.muted})
    api = Api(asked["url"])
    try:
        running, installed = api.version(), api.installed()
    except ApiError:
        running, installed = "", read_store(Path(asked["models_path"] or f"{account.pw_dir}/.ollama/models"))
    services = replace(services, running_version=running, program_version=homebrew.cellar_version(keg.program))
    return Seen(keg, available, services, models.Found(installed), running)


def refuse(module: AnsibleModule, seen: Seen, wanted: homebrew.Wanted, own: service.Wanted, steps: VersionSteps) -> None:
    """End with one sentence before anything is touched when the version must not run or cannot be had."""
    known = versions.knowledge_from_json(module.params["versions"])
    told = (
        *homebrew.findings("this Mac", seen.keg, wanted, seen.available, known),
        *(findings("this Mac", seen.services, own) if steps.restart else ()),
    )
    for finding in told:
        if finding.severity == "error":
            module.fail_json(msg=f"{finding.sentence()} Nothing was changed.")


def apply(
    steps: VersionSteps, seen: Seen, own: service.Wanted, account: pwd.struct_passwd, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Carry the steps out; VersionFailed when the version is not there or did not prove itself."""
    goal = next((step.wanted for step in steps.before if step.action in homebrew.SWITCHES), "")
    back = homebrew.way_back(seen.keg, seen.running, goal)
    formula = Formula(Brew(asked["prefix"], account), asked["formula"], seen.keg, back)
    progress = ProgressFile(asked["progress_path"])
    gate = VersionGate(asked["url"], asked["port"], asked["load_timeout"], tell=progress.at_once)
    with to_the_end():
        outcome = carry_out(
            steps,
            formula,
            gate,
            lambda undo: Change(seen.services, own, account, gate, asked["timeout"], undo),
            progress.at_once,
        )
    return {**plain(outcome), "proved_by": gate.speaker, "now": formula.linked}


def main() -> None:
    """Gather, plan, apply, report."""
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
            "muted_labels": {"type": "list", "elements": "str", "default": []},
            "user": {"type": "str"},
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "port": {"type": "int", "default": 11434},
            "residents": {"type": "list", "elements": "str", "default": []},
            "models_path": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 60},
            "load_timeout": {"type": "int", "default": 600},
            "ask_timeout": {"type": "int", "default": 60},
            "lock_timeout": {"type": "int", "default": 900},
            "progress_path": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    asked: Mapping[str, Any] = module.params
    done: dict[str, Any] = {"gap_seconds": None, "drain_seconds": None, "proved_by": ""}
    with ExitStack() as stack:
        try:
            account = pwd.getpwnam(asked["user"]) if asked["user"] else pwd.getpwuid(os.getuid())
            wanted, own = homebrew.wanted_from_json(asked), wanted_service(asked)
            if not module.check_mode:
                stack.enter_context(one_at_a_time(Path(account.pw_dir), asked["lock_timeout"]))
            seen = gather(account, wanted, own, asked)
        except (OSError, ValueError, KeyError) as problem:
            module.fail_json(msg=f"Cannot read what runs {asked['formula']}: {problem}.")
        residents = models.Wanted(tuple(models.Model(name, resident=True) for name in asked["residents"]))
        steps = version_steps(seen.keg, wanted, seen.available, seen.services, own, (seen.models, residents), seen.running)
        refuse(module, seen, wanted, own, steps)
        before = {"linked": seen.keg.linked, "running": seen.running, "available": plain(seen.available)}
        done["now"] = seen.keg.linked
        if steps.all and not module.check_mode:
            try:
                done = apply(steps, seen, own, account, asked)
            except VersionFailed as failure:
                module.fail_json(msg=str(failure), steps=plain(steps.all), versions=before)
    module.exit_json(
        changed=bool(steps.all),
        steps=plain(steps.all),
        diff=differences(steps.all),
        versions={**before, "now": done.pop("now")},
        **done,
    )


if __name__ == "__main__":
    main()
