"""Take the service of a Mac down for a while, and see to it that it comes back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_pause
short_description: Take the service down for a bounded time and bring it back
version_added: 0.3.0
author: The maintainers of ollama-fleet (@ollama-fleet)
description:
  - C(down) boots the job out of launchd and returns when its port is free. A process of the Mac's own keeps it down until the run
    says C(up) or its time is over, whichever is first, then loads the same property list again, waits for the answer and loads
    the residents. It needs no connection for that, so the service comes back when the controller dies or ssh is cut.
  - The property list is never moved, so a boot or a login brings the service back as well. Should the process be killed,
    C(up) does its work.
  - Taken down is only what is healthy, and what a start brings back as it was. A service that is ill, whose property list differs
    from what runs, or that runs another version than the installed one, is refused with a sentence and left as it is.
  - One pause at a time for each account. A second C(down) is refused while one is on.
  - No lock is held while the service is down. A run that starts the service meanwhile is right; that ends the pause, and
    RV(ended) says so.
attributes:
  check_mode:
    description: Refuses what a real run would refuse, and returns the same steps.
    support: full
  diff_mode:
    description: Shows for each step what was found and what is wanted.
    support: full
options:
  state:
    description:
      - C(down) takes the service down, C(up) ends a pause and waits until the server answers and has its residents again.
      - C(up) without a pause changes nothing.
    type: str
    choices: [down, up]
    required: true
  token:
    description:
      - Tells one pause from another. Given with C(up), only the pause that was begun with it is ended; others are left alone.
      - Empty with C(up) ends whichever is on; with C(down) a name is made.
    type: str
    default: ""
  limit:
    description: Seconds after which the Mac brings the service back by itself, 5 to 600.
    type: int
    default: 120
  label:
    description: Label of the service.
    type: str
    required: true
  domain:
    description: Where it is loaded. C(system) needs root.
    type: str
    choices: [gui, user, system]
    default: gui
  user:
    description: Whose C(gui) or C(user) domain and home folder; needed when the module runs as root.
    type: str
  url:
    description: Where the service answers on the Mac itself.
    type: str
    default: http://127.0.0.1:11434
  port:
    description: The port that must be free.
    type: int
    default: 11434
  timeout:
    description: Seconds that a start may take until the first answer.
    type: int
    default: 60
  residents:
    description: >-
      Models that must be in memory again afterwards, besides those that were there for good before; those that are not installed
      are left out.
    type: list
    elements: str
    default: []
  load_timeout:
    description: Seconds that loading one of them may take.
    type: int
    default: 600
  lock_timeout:
    description: Seconds to wait for another run that changes the services of this Mac.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Take it down for a minute at most
  service_pause:
    state: down
    label: com.user.ollama
    limit: 60
    residents: [qwen3:8b]
  register: pause

- name: Bring it back
  service_pause:
    state: up
    label: com.user.ollama
    token: "{{ pause.token }}"
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in order; each with C(action), C(item), C(found), C(wanted), C(why).
  returned: always
  type: list
  elements: dict
token:
  description: The name of the pause; empty where C(up) found none.
  returned: always
  type: str
down:
  description: Whether this has taken the service down; false in check mode.
  returned: always
  type: bool
ended:
  description: >-
    With C(up), what ended the pause; C(released) when this did, C(limit) when its time was over before, C(started) when somebody
    else had started the service, C(orphaned) when its keeper was gone. Empty where there was none.
  returned: always
  type: str
absent_seconds:
  description: With C(up), seconds from the free port to the first answer, None where there was no pause or its keeper was gone.
  returned: always
  type: float
ready_seconds:
  description: With C(up), the same to the last resident in memory.
  returned: always
  type: float
residents:
  description: What is loaded again.
  returned: always
  type: list
  elements: str
said:
  description: One line for a person.
  returned: always
  type: str
"""

import os
import pwd
import secrets
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet.homebrew import cellar_version
    from fleet.pause import ENDED, Pause, limit_problem, steps_down, steps_up, wanted_of, why_not
    from fleet.service import Found, Wanted
    from fleet.vocabulary import Step, differences, plain
    from macos import launchctl
    from macos import pause as pauses
    from macos.files import make_folder
    from macos.launchd_change import DRAIN_SECONDS, LAST_DRAIN_SECONDS, Change
    from macos.ollama_api import ApiError
    from macos.one_at_a_time import one_at_a_time
    from macos.service_gate import ServerGate
else:
    from ansible.module_utils.fleet.homebrew import cellar_version
    from ansible.module_utils.fleet.pause import ENDED, Pause, limit_problem, steps_down, steps_up, wanted_of, why_not
    from ansible.module_utils.fleet.service import Found, Wanted
    from ansible.module_utils.fleet.vocabulary import differences, plain
    from ansible.module_utils.macos import launchctl
    from ansible.module_utils.macos import pause as pauses
    from ansible.module_utils.macos.files import make_folder
    from ansible.module_utils.macos.launchd_change import DRAIN_SECONDS, LAST_DRAIN_SECONDS, Change
    from ansible.module_utils.macos.ollama_api import ApiError
    from ansible.module_utils.macos.one_at_a_time import one_at_a_time
    from ansible.module_utils.macos.service_gate import ServerGate

LONGEST_EXIT_SECONDS = 300
"""What ollama_service_exit_timeout may be at most; a server that finishes its answers first takes that long to go."""


class Refused(Exception):
    """Why nothing was done, as a clause."""


def observe(account: pwd.struct_passwd, asked: Mapping[str, Any], gate: ServerGate) -> tuple[Found, str]:
    """Read what launchd holds of the label, which version runs, and why the job does not serve, "" when it does."""
    found = launchctl.observe(account.pw_uid, account.pw_dir, [asked["label"]])
    wanted = wanted_of(found, asked["label"], asked["domain"])
    job = found.job(Wanted(asked["label"], asked["domain"], {}).target_domain(found.uid), asked["label"])
    problem = gate.problem(job) if job is not None and job.pid is not None else ""
    if wanted is not None and not problem:
        try:
            running = gate.api.version()
        except ApiError:
            running = ""
        arguments = wanted.definition.get("ProgramArguments") or [""]
        found = replace(found, running_version=running, program_version=cellar_version(os.path.realpath(arguments[0])))
    return found, problem


def change_of(found: Found, account: pwd.struct_passwd, asked: Mapping[str, Any], gate: ServerGate) -> Change:
    """Return the change that stops and starts the service as its own property list says."""
    wanted = wanted_of(found, asked["label"], asked["domain"])
    if wanted is None:
        message = f"there is no property list of {asked['label']} that could be loaded"
        raise Refused(message)
    return Change(found, wanted, account, gate, asked["timeout"])


def judged(account: pwd.struct_passwd, asked: Mapping[str, Any], gate: ServerGate, token: str) -> tuple[Change, Pause]:
    """Return how to stop and start the service, and the pause that may begin; Refused when it may not."""
    found, problem = observe(account, asked, gate)
    why = why_not(found, asked["label"], asked["domain"], problem)
    if why:
        raise Refused(why)
    try:
        pinned = [model.name for model in gate.api.loaded() if model.pinned]
        installed = [model.name for model in gate.api.installed()]
    except ApiError as unread:
        message = f"what it has in memory cannot be read: {unread}"
        raise Refused(message) from unread
    change = change_of(found, account, asked, gate)
    residents = pauses.resident_names(pinned, asked["residents"], installed)
    return change, Pause(token, change.target, asked["limit"], residents=residents)


def take_down(account: pwd.struct_passwd, asked: Mapping[str, Any], *, check: bool) -> tuple[tuple[Step, ...], Pause]:
    """Take the service down and return when its port is free; Refused when it is left as it is."""
    place, home = pauses.place_of(account), Path(account.pw_dir)
    gate = ServerGate(asked["url"], asked["port"], asked["load_timeout"])
    token = asked["token"] or secrets.token_hex(8)
    with ExitStack() as stack:
        lock: int | None = None
        if check:
            busy = pauses.is_kept(place)
        else:
            stack.enter_context(one_at_a_time(home, asked["lock_timeout"]))
            make_folder(place.folder)
            lock = stack.enter_context(pauses.only_keeper(place))
            busy = lock is None
        if busy:
            message = "a pause of this Mac's service is on already; `state: up` ends it, and so does its time"
            raise Refused(message)
        try:
            change, pause = judged(account, asked, gate, token)
        except Refused:
            if lock is not None:
                place.forget()
            raise
        steps = steps_down(change.target, asked["limit"])
        if lock is None:
            return steps, pause
        pauses.keep(pauses.Keeper(place, pause, change, home, asked["port"]), lock)
        # The keeper has the lock of the home folder through this process until the service is down.
        patience = LONGEST_EXIT_SECONDS + DRAIN_SECONDS + LAST_DRAIN_SECONDS + pauses.PORT_SECONDS
        down = pauses.wait_until_down(place, token, patience)
    if down.phase != "down":
        place.forget()
        message = f"it could not be held down: {down.error}; it was brought back"
        raise Refused(message)
    return steps, down


def bring_up(account: pwd.struct_passwd, asked: Mapping[str, Any], *, check: bool) -> tuple[tuple[Step, ...], Pause | None]:
    """End the pause that is on, if any, and return when the service has its residents again."""
    place = pauses.place_of(account)
    pause = place.read()
    if pause is None:
        return (), None
    if asked["token"] and pause.token != asked["token"]:
        return (), None
    steps = steps_up(pause, pause.residents)
    if check:
        return steps, pause
    patience = asked["timeout"] * 2 + asked["load_timeout"] * max(1, len(pause.residents))
    ended = pauses.wait_until_up(place, pause, patience)
    if not ended.is_over:
        gate = ServerGate(asked["url"], asked["port"], asked["load_timeout"])
        found, _ = observe(account, asked, gate)
        ended = pauses.start_orphan(change_of(found, account, asked, gate), ended, Path(account.pw_dir))
    place.forget()
    return steps, ended


def sentence(state: str, pause: Pause | None, *, check: bool) -> str:
    """Return what was done as one line."""
    if pause is None:
        return "no such pause was on; nothing was changed"
    if state == "down":
        return f"{pause.target} {'would go' if check else 'is'} down, for at most {pause.limit_seconds} s"
    if check:
        return f"the pause of {pause.target} would end"
    words = f"{pause.target} answers again; {ENDED.get(pause.ended, pause.ended)}"
    return words if pause.absent_seconds is None else f"{words}; nobody answered for {pause.absent_seconds:.1f} s"


def main() -> None:
    """Observe, decide, act, report."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["down", "up"]},
            "token": {"type": "str", "default": ""},
            "limit": {"type": "int", "default": 120},
            "label": {"type": "str", "required": True},
            "domain": {"type": "str", "default": "gui", "choices": ["gui", "user", "system"]},
            "user": {"type": "str"},
            "url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "port": {"type": "int", "default": 11434},
            "timeout": {"type": "int", "default": 60},
            "residents": {"type": "list", "elements": "str", "default": []},
            "load_timeout": {"type": "int", "default": 600},
            "lock_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    asked: Mapping[str, Any] = module.params
    down, check = asked["state"] == "down", bool(module.check_mode)
    wrong = limit_problem(asked["limit"])
    if wrong:
        module.fail_json(msg=f"limit: {wrong}. Nothing was changed.")
    pause: Pause | None = None
    steps: tuple[Step, ...] = ()
    try:
        account = pwd.getpwnam(asked["user"]) if asked["user"] else pwd.getpwuid(os.getuid())
        act = take_down if down else bring_up
        steps, pause = act(account, asked, check=check)
    except Refused as why:
        verb = "taken down" if down else "brought up"
        module.fail_json(msg=f"{asked['label']} was not {verb}: {why}.", reason=str(why))
    except (OSError, KeyError) as problem:
        verb = "take" if down else "bring"
        module.fail_json(msg=f"Cannot {verb} {asked['label']} {asked['state']}: {problem}.", reason=str(problem))
    if pause is not None and not down and not check and (pause.phase != "up" or pause.error):
        state = "does not answer again" if pause.phase != "up" else "answers again, with a fault on the way"
        module.fail_json(
            msg=f"{pause.target} {state}: {pause.error}.", steps=plain(steps), reason=pause.error, answers=pause.phase == "up"
        )
    module.exit_json(
        changed=bool(steps),
        steps=plain(steps),
        diff=differences(steps),
        token=pause.token if pause else "",
        down=pause is not None and down and not check,
        ended=pause.ended if pause and not down else "",
        absent_seconds=pause.absent_seconds if pause else None,
        ready_seconds=pause.ready_seconds if pause else None,
        residents=list(pause.residents) if pause else [],
        said=sentence(asked["state"], pause, check=check),
    )


if __name__ == "__main__":
    main()
