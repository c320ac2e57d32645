"""Change the version that a service runs, with the way back kept open until the new one has proved itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .homebrew_change import Formula, HomebrewFailed
from .launchd_change import Change, ChangeFailed, Outcome
from .proof import ANY_MODEL, VersionGate, short
from .service_gate import NotUp

if TYPE_CHECKING:
    from fleet.plan import VersionSteps
    from fleet.vocabulary import Step
else:
    from ansible.module_utils.fleet.vocabulary import Step


class VersionFailed(Exception):
    """The new version is not there or did not prove itself; the sentence says what runs now."""


def carry_out(
    steps: VersionSteps,
    formula: Formula,
    gate: VersionGate,
    change_with: Callable[[Callable[[], None]], Change],
    tell: Callable[[str], None] = lambda _line: None,
) -> Outcome:
    """Do the steps; return what clients noticed. `change_with` makes the change of the service around a way back.

    `tell` is told what begins.

    What waits for the proof, such as removing a keg, is never a reason to go back. Raises VersionFailed.
    """
    for step in steps.before:
        tell(f"{step.action} {step.item}: {step.found or 'nothing'} -> {step.wanted}")
        try:
            formula.do(step)
        except (HomebrewFailed, OSError) as problem:
            raise VersionFailed(_not_reached(step, problem, formula)) from problem
    if steps.restart:
        tell(f"the service starts anew with {formula.name} {formula.linked}")
    outcome = _prove(steps.restart, formula, gate, change_with) if steps.restart else Outcome()
    for step in steps.after:
        tell(f"{step.action} {step.item}")
        try:
            formula.do(step)
        except (HomebrewFailed, OSError) as problem:
            message = f"{formula.name} {formula.linked} runs, but {step.action} {step.item} failed: {short(str(problem))}."
            raise VersionFailed(message) from problem
    return outcome


def _prove(
    steps: Sequence[Step], formula: Formula, gate: VersionGate, change_with: Callable[[Callable[[], None]], Change]
) -> Outcome:
    new, old = formula.linked, formula.previous
    gate.expected = new

    def undo() -> None:
        gate.expected = old
        try:
            formula.put_back()
        except HomebrewFailed as problem:
            raise OSError(str(problem)) from problem

    try:
        outcome = change_with(undo).carry_out((*steps, Step("load", ANY_MODEL, "", "")))
    except ChangeFailed as failure:
        formula.refuse(new, short(str(failure.__cause__ or failure)))
        raise VersionFailed(
            f"{formula.name} {new} did not prove itself. {failure}{_residents(steps, gate, failure)}"
        ) from failure
    formula.proved()
    return outcome


def _residents(steps: Sequence[Step], gate: VersionGate, failure: ChangeFailed) -> str:
    """Load again what the version before had in memory; return a sentence that says what came of it."""
    names = [step.item for step in steps if step.action == "load"]
    if not failure.restored or not names:
        return ""
    try:
        for name in names:
            gate.load(name)
    except NotUp as problem:
        return f" {short(str(problem)).capitalize()}."
    return f" It is {gate.expected}, with {', '.join(names)} in memory."


def _not_reached(step: Step, problem: Exception, formula: Formula) -> str:
    """Put everything back and say how it stands; the service was not touched."""
    failed = f"Could not {step.action} {formula.name}: {short(str(problem))}."
    try:
        formula.put_back()
    except (HomebrewFailed, OSError) as worse:
        return f"{failed} {formula.previous} could not be linked again: {short(str(worse))}."
    return f"{failed} {formula.previous} is linked as before, and the service was not touched."
