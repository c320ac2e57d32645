"""Have launchd start one verb of the fleet's program now and then, beside the service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: companion_job
short_description: Run a verb of the fleet's program under launchd
version_added: 0.1.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - Writes what the verb is told, one JSON file beside the program, and the property list of its job, and has launchd hold it.
  - Each run of the job reads its settings anew, so other settings alone do not load the job again.
  - A Mac that does not need the verb, such as one without residents, has neither job nor settings.
  - Jobs of retired services and of the same service in another domain go.
attributes:
  check_mode:
    description: Returns the same steps and the same diff as a real run.
    support: full
  diff_mode:
    description: Shows for each step what was found and what is wanted.
    support: full
options:
  verb:
    description: >-
      C(residents) loads the models that stay in memory, C(logs) rotates logs, C(heal) watches swap, memory pressure and the
      server.
    type: str
    choices: [heal, logs, residents]
    required: true
  label:
    description: Label of the service; the job's is this one with the verb behind it.
    type: str
    required: true
  domain:
    description: launchd domain of the service.
    type: str
    choices: [gui, user, system]
    default: gui
  user:
    description: Whose domain and home folder, and whom a job of the system domain runs as.
    type: str
    required: true
  interval:
    description: Seconds between two runs.
    type: int
    required: true
  retired_labels:
    description: Labels of services that this one takes over from.
    type: list
    elements: str
    default: []
  settings:
    description: >-
      What the verb is told. For C(residents) C(url), C(installed), C(load_timeout), C(patience) and C(swap_growth_mib); for
      C(logs) C(files), C(size_mib), C(keep) and C(compress); for C(heal) what C(desired-state.json) is made of.
    type: dict
    required: true
  webhook_url:
    description:
      - For C(heal), the address that messages are sent to. It is written into a file of mode 0600 beside the settings, and into
        nothing else; an empty text removes that file. Left out, the file is not ours.
    type: str
  timeout:
    description: Seconds until launchd must have started the job.
    type: int
    default: 30
  lock_timeout:
    description: Seconds to wait for another run on the same Mac.
    type: int
    default: 900
"""

EXAMPLES = r"""
- name: Rotate the logs once an hour
  companion_job:
    verb: logs
    label: com.user.ollama
    user: felipe
    interval: 3600
    settings:
      files: [/tmp/ollama.err.log]
      size_mib: 10
      keep: 5
      compress: true
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in order; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
"""

import hashlib
import pwd
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet.companion import (
        SECRET_MODE,
        SETTINGS_MODE,
        Found,
        Job,
        job_from_json,
        plan_job,
        secret_path,
        settings_path,
        settings_text,
        wanted_service,
    )
    from fleet.service import Found as Launchd
    from fleet.vocabulary import Step, differences, plain
    from macos import companion_files, launchctl
    from macos.files import replace_file
    from macos.launchd_change import Change, ChangeFailed
    from macos.one_at_a_time import one_at_a_time, to_the_end
    from macos.service_gate import Gate
else:
    from ansible.module_utils.fleet.companion import (
        SECRET_MODE,
        SETTINGS_MODE,
        job_from_json,
        plan_job,
        secret_path,
        settings_path,
        settings_text,
        wanted_service,
    )
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos import companion_files, launchctl
    from ansible.module_utils.macos.files import replace_file
    from ansible.module_utils.macos.launchd_change import Change, ChangeFailed
    from ansible.module_utils.macos.one_at_a_time import one_at_a_time, to_the_end
    from ansible.module_utils.macos.service_gate import Gate


def act(
    steps: Sequence[Step], job: Job, found: Found, launchd: Launchd, account: pwd.struct_passwd, timeout: int, webhook: str
) -> None:  # fmt: skip
    """Carry the steps out: settings first, so that the first run of the job finds them."""
    settings = {settings_path(domain, account.pw_dir, job.verb) for domain in ("gui", "system")}
    secrets = {secret_path(domain, account.pw_dir) for domain in ("gui", "system")} if job.verb == "heal" else set()
    for step in steps:
        if step.item in settings:
            _settle(step, settings_text(found, job), SETTINGS_MODE, account)
        elif step.item in secrets:
            _settle(step, f"{webhook}\n", SECRET_MODE, account, owned=True)
    of_the_job = [step for step in steps if step.item not in settings | secrets]
    if job.settings is not None and of_the_job:
        with to_the_end():
            Change(launchd, wanted_service(job, account.pw_dir), account, Gate(), timeout).carry_out(of_the_job)
        return
    for step in of_the_job:
        if step.action == "bootout":
            companion_files.boot_out(step.item, timeout)
        else:
            Path(step.item).unlink(missing_ok=True)


def _settle(step: Step, text: str, mode: int, account: pwd.struct_passwd, *, owned: bool = False) -> None:
    if step.action == "remove":
        Path(step.item).unlink(missing_ok=True)
        return
    inside = owned or step.item.startswith(f"{account.pw_dir}/")
    uid, gid = (account.pw_uid, account.pw_gid) if inside else (0, 0)
    replace_file(Path(step.item), text.encode(), mode, (uid, gid))


def main() -> None:
    """Observe, decide, act, report."""
    module = AnsibleModule(
        argument_spec={
            "verb": {"type": "str", "required": True, "choices": ["heal", "logs", "residents"]},
            "label": {"type": "str", "required": True},
            "domain": {"type": "str", "default": "gui", "choices": ["gui", "user", "system"]},
            "user": {"type": "str", "required": True},
            "interval": {"type": "int", "required": True},
            "retired_labels": {"type": "list", "elements": "str", "default": []},
            "settings": {"type": "dict", "required": True},
            "webhook_url": {"type": "str", "no_log": True},
            "timeout": {"type": "int", "default": 30},
            "lock_timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    asked: dict[str, Any] = module.params
    with ExitStack() as stack:
        try:
            account = pwd.getpwnam(asked["user"])
            webhook = asked["webhook_url"]
            asked["webhook_sha256"] = webhook and hashlib.sha256(f"{webhook}\n".encode()).hexdigest()
            job = job_from_json(asked["verb"], asked, account.pw_dir, account.pw_uid)
            if not module.check_mode:
                stack.enter_context(one_at_a_time(Path(account.pw_dir), asked["lock_timeout"]))
            launchd = launchctl.observe(account.pw_uid, account.pw_dir, job.labels)
            found = companion_files.observe(account.pw_uid, account.pw_dir)
        except (OSError, ValueError, KeyError) as problem:
            module.fail_json(msg=f"Cannot judge the job {asked['label']}.{asked['verb']}: {problem}.")
        steps = plan_job(found, launchd, job)
        if steps and not module.check_mode:
            try:
                act(steps, job, found, launchd, account, asked["timeout"], webhook or "")
            except (OSError, ChangeFailed) as problem:
                module.fail_json(msg=f"The job {job.own_label} is not as it should be: {problem}", steps=plain(steps))
    module.exit_json(changed=bool(steps), steps=plain(steps), diff=differences(steps))


if __name__ == "__main__":
    main()
