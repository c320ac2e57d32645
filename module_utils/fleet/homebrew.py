"""The formula on disk: read from Homebrew's own links, so that a no-op never starts `brew` (0.5 to 1.5 s a call)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from . import versions
from .vocabulary import Finding, Step, Unknown

Policy = Literal["present", "latest", "pinned"]

CONCERN = "ollama_version"

INSTALLS = ("install", "link")
"""What the role `homebrew` does, on all Macs at once: nothing runs from a formula that is not there or not linked."""

SWITCHES = ("upgrade", "relink")
"""What leads `opt/FORMULA` to another version, and so what runs from it must start anew."""

NOT_ASKED = Unknown("not asked")


@dataclass(frozen=True)
class Keg:
    """The formula as its links tell it.

    `installed` are the versions in the Cellar, oldest first, `linked` is the one that `opt/FORMULA` points to, `program` is the
    resolved path of the executable ("" when the links lead nowhere). `pin` is the version that `brew pin` holds, "" when it leads
    nowhere. `unproved` is the version that was linked before the present one, until that has proved itself. `refused` are those
    that were tried on this Mac and taken back, with the reason. `runner` tells whether llama-server is where Ollama looks for
    it, None where the version brings none or there is no program.
    """

    brew: bool
    installed: tuple[str, ...] = ()
    linked: str = ""
    program: str = ""
    pinned: bool = False
    pin: str = ""
    unproved: str = ""
    refused: tuple[tuple[str, str], ...] = ()
    runner: bool | None = None

    @property
    def usable(self) -> bool:
        """Tell whether the links lead to a program."""
        return bool(self.linked and self.program)


_CELLAR = re.compile(r"/Cellar/[^/]+/(?P<version>[0-9]+(?:\.[0-9]+)+)(?:_[0-9]+)?/")


def cellar_version(program: str) -> str:
    """Return the version of the keg that a resolved program lies in, without Homebrew's revision; "" when it lies in none."""
    found = _CELLAR.search(program)
    return found["version"] if found else ""


@dataclass(frozen=True)
class Wanted:
    """Which version should be there. `version` counts for the policy `pinned` alone; `keep_old` keeps the one before the last."""

    formula: str
    policy: Policy = "present"
    version: str = ""
    keep_old: bool = True


def pinned_keg(found: Keg, version: str) -> str:
    """Return the keg that a pinned version means: the one of exactly that name, else Homebrew's last revision of it."""
    if version in found.installed:
        return version
    return versions.newest(keg for keg in found.installed if versions.same_release(keg, version) and "_" not in version)


def target(found: Keg, wanted: Wanted, available: str | Unknown = NOT_ASKED) -> str:
    """Return the version that should be linked, "" when it cannot be told or cannot be had.

    `available` is what Homebrew would install today. The policy `latest` follows it only when it was told, and never to a version
    that this Mac has tried and taken back: a healthy service is not interrupted for the same failure again.
    """
    known = available if isinstance(available, str) else ""
    if wanted.policy == "pinned":
        have = pinned_keg(found, wanted.version)
        return have or (known if known and versions.same_release(known, wanted.version) else "")
    if wanted.policy == "latest" and known:
        refused = {version for version, _ in found.refused}
        best = versions.newest(version for version in {known, *found.installed} if version not in refused)
        return found.linked if versions.is_older(best, found.linked) else best
    return found.linked if found.usable else versions.newest(found.installed)


def plan(found: Keg, wanted: Wanted, available: str | Unknown = NOT_ASKED) -> tuple[Step, ...]:
    """List the steps to the wanted version, in order: those of INSTALLS first, `pin` last, when everything else went well.

    Homebrew itself links the newest keg only (`brew link` resolves to it, cmd/link.rb at 6.0.18), so any other one is relinked. A
    pinned version is pinned in Homebrew too, or the next `brew upgrade` by hand would move it.
    """
    formula, goal = wanted.formula, target(found, wanted, available)
    if not found.installed:
        install = Step("install", formula, "absent", "present")
        return (install, *_pin(found, wanted, goal)) if goal or wanted.policy != "pinned" else ()
    if not goal:
        return ()
    steps: list[Step] = []
    now = found
    if found.pinned and (wanted.policy == "latest" or goal not in found.installed):
        why = "ollama_version_policy latest follows Homebrew" if wanted.policy == "latest" else "nothing pinned is upgraded"
        steps.append(Step("unpin", formula, "pinned", "not pinned", why))
        now = replace(found, pinned=False, pin="")
    if goal not in found.installed:
        steps.append(Step("upgrade", formula, found.linked or found.installed[-1], goal))
        steps += _removals(found, wanted)
    elif not found.usable and goal == versions.newest(found.installed):
        steps.append(Step("link", formula, f"{goal} in the Cellar, not linked", f"{goal} linked"))
    elif goal != found.linked or not found.usable:
        why = "ollama_version names it" if wanted.policy == "pinned" else "it is the newest one there"
        steps.append(Step("relink", formula, found.linked or "not linked", goal, why))
    return (*steps, *_pin(now, wanted, goal))


def _pin(found: Keg, wanted: Wanted, goal: str) -> list[Step]:
    if wanted.policy != "pinned" or (found.pinned and found.pin == goal):
        return []
    before = f"pinned at {found.pin or 'a version that is gone'}" if found.pinned else "not pinned"
    return [Step("pin", wanted.formula, before, goal, "brew upgrade by hand would move it")]


def _removals(found: Keg, wanted: Wanted) -> list[Step]:
    """Name the kegs that an upgrade leaves behind: all before the present one, and that one too unless one is kept."""
    gone = [keg for keg in found.installed if keg not in (found.linked, found.pin) and versions.is_older(keg, found.linked)]
    if not wanted.keep_old and found.linked and found.linked != found.pin:
        gone.append(found.linked)
    return [Step("remove", f"{wanted.formula} {keg}", "in the Cellar", "absent", "a newer one has proved itself") for keg in gone]


def why_restart(found: Keg, steps: Sequence[Step], running: str) -> str:
    """Return why the service must start anew and prove its version, "" when it need not.

    `running` is the version of the server that answers, "" when none does. A server that runs another version than the linked one
    is this concern's only while the keg of its version is still there: then the change can be taken back like any other.
    """
    switch = next((step for step in steps if step.action in SWITCHES), None)
    if switch is not None:
        return f"it must run {switch.wanted} and prove it"
    if not found.usable:
        return ""
    if found.unproved:
        return f"{found.linked} was linked and has not proved itself yet"
    if running and not versions.same_release(running, found.linked) and way_back(found, running):
        return f"it still runs {running}, and {found.linked} must prove itself"
    return ""


def way_back(found: Keg, running: str = "", goal: str = "") -> str:
    """Return the version to go back to: what an earlier run noted, what still runs, or else the linked one."""
    if found.unproved in found.installed and found.unproved != goal:
        return found.unproved
    if goal and goal != found.linked:
        return found.linked
    same = (keg for keg in found.installed if keg != found.linked and running and versions.same_release(keg, running))
    return versions.newest(same)


def findings(
    host: str,
    found: Keg,
    wanted: Wanted,
    available: str | Unknown = NOT_ASKED,
    knowledge: Sequence[versions.Bad] = (),
) -> tuple[Finding, ...]:
    """Return what no step mends: a version that cannot be had, one that must not run, one that was taken back."""
    goal = target(found, wanted, available)
    notes = []
    if wanted.policy == "pinned" and versions.parse(wanted.version) is None:
        return (
            Finding(
                host, CONCERN, "ollama_version", wanted.version or "nothing", "a version such as 0.32.15", "error",
                f"ollama_version_policy is pinned and ollama_version is {wanted.version!r}, which is no version",
                "name one such as 0.32.15, or set ollama_version_policy to present or latest",
            ),
        )  # fmt: skip
    if wanted.policy == "pinned" and not goal:
        notes.append(_unobtainable(host, found, wanted, available))
    if wanted.policy == "latest" and isinstance(available, Unknown):
        notes.append(
            Finding(host, CONCERN, "ollama_version_policy", "unknown", "the newest version", "note",
                    f"whether Homebrew has a newer version than {found.linked or 'none'} could not be asked: {available.reason}")
        )  # fmt: skip
    if wanted.policy == "latest":
        notes += [
            Finding(
                host, CONCERN, f"{wanted.formula} {version}", "tried and taken back", "running", "warning",
                f"it is newer than {found.linked} and was taken back on this Mac, so it is left alone: {why}",
                f"run playbooks/upgrade.yml -e ollama_version={version} to try it again",
            )
            for version, why in found.refused
            if versions.is_older(goal, version)
        ]  # fmt: skip
    return (*notes, *versions.findings(host, goal, knowledge, installed=found.linked))


def _unobtainable(host: str, found: Keg, wanted: Wanted, available: str | Unknown) -> Finding:
    have = ", ".join(found.installed) or "none"
    if isinstance(available, Unknown):
        return Finding(
            host, CONCERN, "ollama_version", have, wanted.version, "error" if not found.installed else "warning",
            f"{wanted.version} is not in the Cellar (there: {have}), and whether Homebrew has it could not be asked:"
            f" {available.reason}",
            f"run again when {host} reaches the internet",
        )  # fmt: skip
    return Finding(
        host, CONCERN, "ollama_version", have, wanted.version, "error",
        f"{wanted.version} is not in the Cellar (there: {have}), and Homebrew has {available}; it keeps no bottles of others",
        f"set ollama_version to one of {', '.join(dict.fromkeys((*found.installed, available)))}, or copy the folder"
        f" Cellar/{wanted.formula}/{wanted.version} from a Mac that has it",
    )  # fmt: skip


def must_ask(found: Keg, wanted: Wanted) -> bool:
    """Tell whether Homebrew must be asked for the version it would install: `brew` is started for nothing else."""
    return wanted.policy == "latest" or (wanted.policy == "pinned" and not pinned_keg(found, wanted.version))


def keg_from_json(data: Mapping[str, Any]) -> Keg:
    """Read an observation back."""
    refused = tuple((version, why) for version, why in data.get("refused", ()))
    return Keg(**{**data, "installed": tuple(data["installed"]), "refused": refused})


def wanted_from_json(data: Mapping[str, Any]) -> Wanted:
    """Read what the inventory wants; a version may have been written as a number."""
    return Wanted(data["formula"], data["policy"], str(data["version"] or ""), bool(data["keep_old"]))
