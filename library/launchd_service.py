"""Bring one launchd service from what runs to what is wanted, and put the old one back if the new one does not answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: launchd_service
short_description: Run one service under launchd with exactly this definition
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Compares the property list on disk and the definition that launchd holds in memory with the one wanted, in every domain,
    and carries out the steps in between. launchd reads a file only while it loads the job, so a changed definition is booted
    out, waited for, and bootstrapped again.
  - Jobs and files of retired labels and of the same label in another domain go, after the new file is in its place and before
    the new job starts.
  - A service that runs with the wanted definition is not restarted, whatever its previous exit status was. One that runs
    another version than its program's keg is.
  - When the new service does not answer in time, or cannot load its residents, the old property list and job are restored and
    the module fails with the last exit status and the end of the log. What was there is kept on disk until the change is proved,
    so a run after a power cut knows it too.
  - Two runs on one Mac wait for each other.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows for each step what was found and what is wanted.
    support: full
options:
  label:
    description: Label of the service; the property list is named after it.
    type: str
    required: true
  domain:
    description: C(gui) starts at login, C(system) at boot, C(user) only while some session of the user exists.
    type: str
    choices: [gui, user, system]
    default: gui
  plist:
    description: The whole property list as XML.
    type: str
    required: true
  retired_labels:
    description: Labels that this service takes over from.
    type: list
    elements: str
    default: []
  muted_labels:
    description: Labels whose job is booted out and disabled, and whose files are left alone.
    type: list
    elements: str
    default: []
  user:
    description: Whose C(gui) or C(user) domain and home folder; needed when the module runs as root.
    type: str
  url:
    description:
      - Where the service answers on the Mac itself once it is up. C(/api/version) is asked.
      - Empty for a job that is no server; then launchd's own word is enough.
    type: str
    default: http://127.0.0.1:11434
  port:
    description: The port that the service must hold itself.
    type: int
    default: 11434
  timeout:
    description: Seconds that a start may take until the first answer.
    type: int
    default: 60
  residents:
    description: Models that must be in memory again before a change has succeeded; those that are not installed are left out.
    type: list
    elements: str
    default: []
  load_timeout:
    description: Seconds that loading one of them may take.
    type: int
    default: 600
  models_path:
    description: The store of models, read while the server is not up. Empty for C(~/.ollama/models).
    type: str
    default: ""
  restart_reason:
    description: Why the service should start anew although nothing else calls for it. Empty for no such wish.
    type: str
    default: ""
  background_accepted:
    description: Whether C(ProcessType) may be C(Background).
    type: bool
    default: false
  lock_timeout:
    description: Seconds to wait for another run on the same Mac.
    type: int
    default: 900
"""

EXAMPLES = r"""
- name: Run Ollama for this Mac
  launchd_service:
    label: com.user.ollama
    plist: "{{ lookup('ansible.builtin.template', 'service.plist.j2') }}"
    retired_labels: [com.ollama.serve, homebrew.mxcl.ollama]
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
  description: How long the processes that went took to end, None when none did.
  returned: always
  type: float
restored:
  description: Whether the service as it was before answers again.
  returned: when a change failed
  type: bool
"""

import os
import pwd
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet import models
    from fleet.definition import definition_problems
    from fleet.homebrew import cellar_version
    from fleet.plan import service_steps, wanted_service
    from fleet.service import Found, Wanted
    from fleet.service_findings import findings
    from fleet.vocabulary import Step, differences, plain
    from macos import change_record, launchctl
    from macos.launchd_change import Change, ChangeFailed, Outcome
    from macos.ollama_api import Api, ApiError, read_store
    from macos.one_at_a_time import one_at_a_time, to_the_end
    from macos.service_gate import Gate, ServerGate
else:
    from ansible.module_utils.fleet import models
    from ansible.module_utils.fleet.definition import definition_problems
    from ansible.module_utils.fleet.homebrew import cellar_version
    from ansible.module_utils.fleet.plan import service_steps, wanted_service
    from ansible.module_utils.fleet.service_findings import findings
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos import change_record, launchctl
    from ansible.module_utils.macos.launchd_change import Change, ChangeFailed, Outcome
    from ansible.module_utils.macos.ollama_api import Api, ApiError, read_store
    from ansible.module_utils.macos.one_at_a_time import one_at_a_time, to_the_end
    from ansible.module_utils.macos.service_gate import Gate, ServerGate


def gather(account: pwd.struct_passwd, wanted: Wanted, asked: Mapping[str, Any]) -> Found:
    """Read what launchd and its folders hold of the labels in question, and which version runs."""
    labels = {wanted.label, *wanted.retired, *wanted.muted}
    found = launchctl.observe(account.pw_uid, account.pw_dir, labels)
    found = replace(found, unfinished=change_record.find_record(account, wanted.label))
    if not asked["url"]:
        return found
    try:
        running = Api(asked["url"]).version()
    except ApiError:
        running = ""
    program = os.path.realpath(wanted.definition["ProgramArguments"][0])
    return replace(found, running_version=running, program_version=cellar_version(program))


def gather_models(account: pwd.struct_passwd, asked: Mapping[str, Any]) -> tuple[models.Found, models.Wanted] | None:
    """Read which of the residents are installed; None for a job without any."""
    if not asked["residents"]:
        return None
    try:
        installed = Api(asked["url"]).installed()
    except ApiError:
        installed = read_store(Path(asked["models_path"] or f"{account.pw_dir}/.ollama/models"))
    return models.Found(installed), models.Wanted(tuple(models.Model(name, resident=True) for name in asked["residents"]))


def refuse(module: AnsibleModule, found: Found, wanted: Wanted) -> None:
    """End with one sentence before anything is touched when the change cannot succeed."""
    problems = definition_problems(
        wanted.label, wanted.domain, wanted.definition, background_accepted=module.params["background_accepted"]
    )
    if problems:
        module.fail_json(msg=f"The definition of {wanted.label} is not sound: {'; '.join(problems)}.")
    for finding in findings("this Mac", found, wanted):
        if finding.severity == "error":
            module.fail_json(msg=finding.sentence())


def apply(steps: tuple[Step, ...], found: Found, wanted: Wanted, account: pwd.struct_passwd, asked: Mapping[str, Any]) -> Outcome:
    """Carry the steps out; ChangeFailed when the service is not up afterwards."""
    gate = ServerGate(asked["url"], asked["port"], asked["load_timeout"]) if asked["url"] else Gate()
    with to_the_end():
        return Change(found, wanted, account, gate, asked["timeout"]).carry_out(steps)


def main() -> None:
    """Gather, plan, apply."""
    module = AnsibleModule(
        argument_spec={
            "label": {"type": "str", "required": True},
            "domain": {"type": "str", "default": "gui", "choices": ["gui", "user", "system"]},
            "plist": {"type": "str", "required": True},
            "retired_labels": {"type": "list", "elements": "str", "default": []},
            "muted_labels": {"type": "list", "elements": "str", "default": []},
            "user": {"type": "str"},
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "port": {"type": "int", "default": 11434},
            "timeout": {"type": "int", "default": 60},
            "residents": {"type": "list", "elements": "str", "default": []},
            "load_timeout": {"type": "int", "default": 600},
            "models_path": {"type": "str", "default": ""},
            "restart_reason": {"type": "str", "default": ""},
            "background_accepted": {"type": "bool", "default": False},
            "lock_timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    asked: Mapping[str, Any] = module.params
    outcome = Outcome()
    with ExitStack() as stack:
        try:
            account = pwd.getpwnam(asked["user"]) if asked["user"] else pwd.getpwuid(os.getuid())
            wanted = wanted_service(asked)
            if not module.check_mode:
                stack.enter_context(one_at_a_time(Path(account.pw_dir), asked["lock_timeout"]))
            found = gather(account, wanted, asked)
            sets = gather_models(account, asked)
        except (OSError, ValueError, KeyError) as problem:
            module.fail_json(msg=f"Cannot read the service {asked['label']}: {problem}.")
        steps = service_steps(found, wanted, sets, "load", asked["restart_reason"])
        if steps and not module.check_mode:
            refuse(module, found, wanted)
            try:
                outcome = apply(steps, found, wanted, account, asked)
            except ChangeFailed as failure:
                module.fail_json(msg=str(failure), steps=plain(steps), restored=failure.restored)
    module.exit_json(changed=bool(steps), steps=plain(steps), diff=differences(steps), **plain(outcome))


if __name__ == "__main__":
    main()
