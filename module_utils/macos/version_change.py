"""Change the version that a service runs, with the way back kept open until the new one has proved itself."""

from __future__ import annotations

import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import launchctl
from .homebrew_change import Formula, HomebrewFailed
from .launchd_change import Change, ChangeFailed
from .ollama_api import Api, ApiError
from .proof import prove

if TYPE_CHECKING:
    from fleet import models, service, versions
    from fleet.homebrew import SWITCHES
    from fleet.vocabulary import Step
else:
    from ansible.module_utils.fleet import models, service, versions
    from ansible.module_utils.fleet.homebrew import SWITCHES
    from ansible.module_utils.fleet.vocabulary import Step


CAUSE_CHARACTERS = 400


class VersionFailed(Exception):
    """The new version did not prove itself; the sentence says what runs now."""


@dataclass(frozen=True)
class Service:
    """The service that runs from the formula, and what its server must show."""

    wanted: service.Wanted
    account: pwd.struct_passwd
    url: str
    port: int
    timeout: int
    models: models.Wanted
    load_timeout: int

    def restart(self, step: Step) -> tuple[float | None, str]:
        """Boot the job out and in and let it prove that it is the wanted version and works; the gap and the model that spoke."""
        labels = {self.wanted.label, *self.wanted.retired}
        found = launchctl.observe(self.account.pw_uid, self.account.pw_dir, labels)
        gap = Change(found, self.wanted, self.account, self.url, self.port, self.timeout).carry_out([step])
        api = Api(self.url)
        running = api.version()
        if not versions.same_release(running, str(step.wanted)):
            message = f"the server that answers is {running}, not {step.wanted}"
            raise ApiError(message)
        return gap, prove(api, self.models, self.load_timeout)


def carry_out(steps: Sequence[Step], formula: Formula, running: Service) -> tuple[float | None, str]:
    """Do the steps; return how long nothing answered and by which model the version proved itself.

    What follows the proof, such as removing a keg, is never a reason to go back.
    """
    turning = [index for index, step in enumerate(steps) if step.action in (*SWITCHES, "reload")]
    until_proved = list(steps[: turning[-1] + 1]) if turning else []
    gap: float | None = None
    speaker = ""
    for step in until_proved:
        try:
            if step.action == "reload":
                gap, speaker = running.restart(step)
            else:
                formula.do(step)
        except (HomebrewFailed, ChangeFailed, ApiError, OSError) as problem:
            raise VersionFailed(_take_back(step, _short(str(problem)), formula, running)) from problem
    if turning:
        formula.mark(formula.linked, "")
    for step in steps[len(until_proved) :]:
        formula.do(step)
    return gap, speaker


def _short(cause: str) -> str:
    """Return a cause as one line; Ollama names every place where it looked for its runner."""
    line = " ".join(cause.split()).rstrip(".")
    return line if len(line) <= CAUSE_CHARACTERS else f"{line[:CAUSE_CHARACTERS]} ..."


def _take_back(step: Step, cause: str, formula: Formula, running: Service) -> str:
    """Link the version before and run it; return the sentence that says what failed and how it stands now."""
    old = formula.previous
    failed = f"{formula.name} {step.wanted} did not prove itself: {cause}."
    try:
        formula.put_back(str(step.wanted) if step.action == "reload" else "", cause)
    except (HomebrewFailed, OSError) as problem:
        return f"{failed} The version before, {old}, could not be linked again: {problem}."
    if step.action != "reload":
        return f"Could not {step.action} {formula.name}: {cause}. {old} is linked as before, and the service was not touched."
    try:
        running.restart(Step("reload", step.item, step.wanted, old))
    except (ChangeFailed, ApiError, OSError) as problem:
        return f"{failed} {old} is linked again, and the service does not run it: {problem}"
    return f"{failed} {old} is linked again and runs with its models."
