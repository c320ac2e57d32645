"""When a Mac sleeps and what its GPU may wire: what should be, what was there before, and the steps between.

pmset keeps no history, so what was found before the first change is written down, key by key and source by source. What is no
longer asked for is given back from there. `iogpu.wired_limit_mb` is lost with the power, so a job of launchd sets it at boot.
"""

from __future__ import annotations

import json
import plistlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from . import service
from .case import NOT_OURS, Case, Judged
from .units import GIB, MIB, bytes_of_gb, bytes_of_gib, gb_text
from .vocabulary import Finding, Step, Unknown, plain, unknown_in

CONCERN = "power"

AC, BATTERY, UPS, SYSTEM = "AC Power", "Battery Power", "UPS Power", "system"
FLAGS: Mapping[str, str] = {AC: "-c", BATTERY: "-b", UPS: "-u", SYSTEM: "-a"}
"""The sections of `pmset -g custom` and what sets each. `system` is what belongs to none of them."""

MINUTES = ("disksleep", "displaysleep", "sleep")
SWITCHES = (
    "acwake", "autopoweroff", "autorestart", "disablesleep", "lidwake", "powernap", "proximitywake", "standby", "tcpkeepalive",
    "ttyskeepawake", "womp",
)  # fmt: skip
KEYS = tuple(sorted((*MINUTES, *SWITCHES)))
"""What may be asked for. Not the modes of power: machines show them under other names than they take (pmset.m, `powermode`)."""

DISABLE_SLEEP = "disablesleep"
"""The one that is no setting of a source: `pmset -g` shows it as SleepDisabled, and pmset exits 0 when it refuses it."""

MOST_MINUTES = 10_000

SYSCTL = "/usr/sbin/sysctl"
LIMIT = "iogpu.wired_limit_mb"
"""MiB that Metal may wire; 0 leaves it to macOS. Takes effect at once (reports from macOS 14 and 15; unknown on Intel)."""

LABEL = "ollama-fleet.gpu-limit"
JOB_PATH = f"/Library/LaunchDaemons/{LABEL}.plist"
FOLDER = "/Library/Application Support/ollama-fleet"
RECORD_PATH = f"{FOLDER}/power.json"
SCHEMA = 1

NOT_ASKED = Unknown("not asked")
ENDED_WELL = ("", "last exit code = (never exited)", "last exit code = 0")

Values = Mapping[str, int]
"""Source -> value."""


@dataclass(frozen=True)
class Wanted:
    """What the inventory asks for. `managed` is None where the settings are not ours, False where they are given back.

    `limit` is in MiB; 0 is macOS's own, None is not ours.
    """

    managed: bool | None = None
    settings: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    limit: int | None = None

    @property
    def asked(self) -> bool:
        """Tell whether anything on the Mac is to be looked at."""
        return self.managed is not None or self.limit is not None


GIVEN_BACK = Wanted(managed=False)
"""Nothing is asked for any more."""


@dataclass(frozen=True)
class Found:
    """What a Mac says.

    `settings` maps each source that the Mac has to its settings, `system` among them. `capabilities` are the keys that the
    hardware has, on the source `told_for`. `limit` is None where the kernel has no such variable. `record` maps each key that was
    changed here to what was found before. `os_updates` tells whether macOS installs its own updates, None where nobody set it.
    """

    settings: Mapping[str, Values] | Unknown = NOT_ASKED
    capabilities: frozenset[str] | Unknown = NOT_ASKED
    told_for: str = AC
    limit: int | Unknown | None = NOT_ASKED
    record: Mapping[str, Values] | Unknown = field(default_factory=lambda: MappingProxyType({}))
    os_updates: bool | Unknown | None = NOT_ASKED
    launchd: service.Found = field(default_factory=lambda: service.Found(0, "/var/empty"))

    @property
    def laptop(self) -> bool:
        """Tell a Mac with a battery: only its settings on mains are ours."""
        return not isinstance(self.settings, Unknown) and BATTERY in self.settings

    def values(self, key: str) -> dict[str, int]:
        """Return what a key is now, in each section that is ours and shows it."""
        shown: Mapping[str, Values] = {} if isinstance(self.settings, Unknown) else self.settings
        ours = (SYSTEM,) if key == DISABLE_SLEEP else (AC,) if self.laptop else (AC, UPS)
        return {source: shown[source][key] for source in ours if key in shown.get(source, {})}

    def has(self, key: str) -> bool:
        """Tell whether the hardware has what a key steers; pmset takes and stores it in silence where it has not."""
        return key == DISABLE_SLEEP or (not isinstance(self.capabilities, Unknown) and key in self.capabilities)


# What the inventory says. ----------------------------------------------------------------------------------------------


def refusal(key: Any, value: Any) -> str:
    """Return what is allowed for a setting, "" when it is."""
    if key not in KEYS:
        return f"one of {', '.join(KEYS)}"
    if isinstance(value, bool) or not isinstance(value, int):
        return "a whole number: minutes, 0 for never" if key in MINUTES else "0 or 1"
    if key in MINUTES:
        return "" if 0 <= value <= MOST_MINUTES else f"minutes from 1 to {MOST_MINUTES}, or 0 for never"
    return "" if value in (0, 1) else "0 or 1"


def problems(managed: Any, settings: Any, limit: Any) -> tuple[tuple[str, Any, str], ...]:
    """Return (variable, found, allowed) for everything that cannot be meant."""
    wrong: list[tuple[str, Any, str]] = []
    if managed is not None and not isinstance(managed, bool):
        wrong.append(("power_managed", managed, "true, false or left out"))
    if not isinstance(settings, Mapping):
        wrong.append(("power_settings", settings, "a map of settings to numbers"))
    else:
        wrong += [
            (f"power_settings.{key}" if key in KEYS else "power_settings", value if key in KEYS else key, refusal(key, value))
            for key, value in sorted(settings.items(), key=str)
            if refusal(key, value)
        ]
    if limit is not None and _mib(limit) is None:
        wrong.append(("power_gpu_wired_limit_mib", limit, "a whole number of MiB, 0 for macOS's own, or left out"))
    return tuple(wrong)


def _mib(value: Any) -> int | None:
    """Read a whole number; a text of digits counts, because `-e name=12000` on a command line gives text."""
    if isinstance(value, bool) or not re.fullmatch(r"0|[1-9][0-9]{0,8}", str(value), re.ASCII):
        return None
    return int(value)


def wanted_from_json(data: Mapping[str, Any]) -> Wanted:
    """Build what is wanted from `managed`, `settings` and `gpu_wired_limit_mib`; ValueError names the variable."""
    managed, settings, limit = data["managed"], data["settings"], data["gpu_wired_limit_mib"]
    wrong = problems(managed, settings, limit)
    if wrong:
        raise ValueError("; ".join(f"{variable}: found {found!r}, allowed is {allowed}" for variable, found, allowed in wrong))
    return Wanted(managed, {str(key): int(value) for key, value in settings.items()}, None if limit is None else int(limit))


def inventory_findings(host: str, declared: Mapping[str, Any], budget: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Judge the variables before any Mac is asked.

    `budget` holds `memory_gib`, `reserve_gb`, `wired_limit_mib` and `working_set_bytes`, by which models are judged: a limit on
    the Mac and another one in the budget would be two truths.
    """
    remedy = f"correct it in host_vars/{host} or group_vars"
    wrong = problems(declared["managed"], declared["settings"], declared["gpu_wired_limit_mib"])
    notes = [
        Finding(host, "inventory", name, found, allowed, "error", f"found {found!r}, allowed is {allowed}", remedy)
        for name, found, allowed in wrong
    ]
    if wrong:
        return tuple(notes)
    wanted = wanted_from_json(declared)
    if wanted.managed and wanted.settings.get("sleep") and declared.get("always_on"):
        minutes = wanted.settings["sleep"]
        notes.append(
            Finding(host, "inventory", "power_settings.sleep", minutes, 0, "warning",
                    f"it is to sleep after {minutes} idle minutes, and this Mac should always answer", "set it to 0")
        )  # fmt: skip
    return (*notes, *_limit_findings(host, wanted.limit, budget))


def _limit_findings(host: str, limit: int | None, budget: Mapping[str, Any]) -> list[Finding]:
    """Hold the limit of the GPU against memory and reserve; figures that cannot be read are refused elsewhere."""
    name = "power_gpu_wired_limit_mib"
    if limit is None:
        return []
    notes = []
    judged = budget.get("wired_limit_mib")
    if judged is not None and _mib(judged) != limit:
        notes.append(
            Finding(host, "inventory", "ram_budget_wired_limit_mib", judged, limit, "error",
                    f"found {judged!r}, allowed is {limit} or nothing: {name} sets that on the Mac", "take one of the two out")
        )  # fmt: skip
    if limit and budget.get("working_set_bytes") is not None:
        notes.append(
            Finding(host, "inventory", "ram_budget_working_set_bytes", budget["working_set_bytes"], "left out", "warning",
                    f"it was read in a log, and models are judged by it; {name} sets another limit", "take it out")
        )  # fmt: skip
    try:
        memory = bytes_of_gib(budget.get("memory_gib"), "")
        reserve = bytes_of_gb(budget.get("reserve_gb"), "", zero=True)
    except ValueError:
        return notes
    most = max(0, memory - reserve) // MIB
    if limit > most:
        notes.append(
            Finding(host, "inventory", name, limit, most, "error",
                    f"found {limit}, allowed is at most {most}: of {memory / GIB:g} GiB macOS keeps {gb_text(reserve)}"
                    " (ram_budget_reserve_gb)", f"lower it in host_vars/{host}")
        )  # fmt: skip
    return notes


# What a Mac says. -------------------------------------------------------------------------------------------------------

_SECTION = re.compile(r"^(\S.*):\s*$")
_SETTING = re.compile(r"^\s+([A-Za-z]+)\s+(\d+)(?:\s+\(.*\))?\s*$")
_CAPABILITIES = re.compile(r"^Capabilities for (.+):\s*$")
_SLEEP_DISABLED = re.compile(r"^\s*SleepDisabled\s+(\d+)\s*$", re.MULTILINE)


def parse_settings(text: str) -> dict[str, dict[str, int]] | Unknown:
    """Read `pmset -g custom`: sections of names and numbers, in the order of a hash table, some with a remark in brackets."""
    found: dict[str, dict[str, int]] = {}
    section: dict[str, int] = {}
    for line in text.splitlines():
        head, setting = _SECTION.match(line), _SETTING.match(line)
        if head:
            section = found.setdefault(head[1], {})
        elif setting and setting[1] in KEYS:
            section[setting[1]] = int(setting[2])
    if AC not in found:
        return Unknown(f"pmset -g custom shows no section {AC}: {text.strip()[:80]!r}")
    return {source: values for source, values in found.items() if source in FLAGS}


def parse_capabilities(text: str) -> tuple[str, frozenset[str]] | Unknown:
    """Read `pmset -g cap`: the source that the Mac draws from, and the names of what it can do there."""
    lines = text.splitlines()
    head = _CAPABILITIES.match(lines[0]) if lines else None
    if head is None:
        return Unknown(f"pmset -g cap said {text.strip()[:80]!r}")
    return head[1], frozenset(line.strip() for line in lines[1:] if line.strip())


def parse_sleep_disabled(text: str) -> bool | Unknown:
    """Read SleepDisabled out of `pmset -g`, in either of its places; it is off where it is not shown."""
    found = _SLEEP_DISABLED.search(text)
    if found:
        return found[1] != "0"
    return False if "Currently in use:" in text else Unknown(f"pmset -g said {text.strip()[:80]!r}")


def parse_limit(text: str) -> int | Unknown:
    """Read the value of the kernel's variable."""
    return int(text) if re.fullmatch(r"\s*[0-9]+\s*", text, re.ASCII) else Unknown(f"{LIMIT} is {text.strip()[:60]!r}")


def record_text(record: Mapping[str, Values]) -> str:
    """Write down what was found before, as the record's file holds it."""
    return json.dumps({"schema": SCHEMA, "before": plain(record)}, indent=1, sort_keys=True) + "\n"


def parse_record(text: str) -> dict[str, dict[str, int]] | Unknown:
    """Read the record back; nothing that pmset would not be given anyway gets through."""
    try:
        data = json.loads(text)
        before = data["before"]
        whole = data["schema"] == SCHEMA and all(
            source in FLAGS and not refusal(key, value) for key, values in before.items() for source, value in values.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole or not set(before) <= set(KEYS):
        return Unknown(f"{RECORD_PATH} does not hold what was written there")
    return {key: dict(values) for key, values in before.items()}


# Judgement. -------------------------------------------------------------------------------------------------------------


def definition(limit: int) -> dict[str, Any]:
    """Return the job that sets the limit at boot, and again until it succeeds: the variable is that of a kernel extension."""
    return {
        "KeepAlive": {"SuccessfulExit": False},
        "Label": LABEL,
        "ProgramArguments": [SYSCTL, f"{LIMIT}={limit}"],
        "RunAtLoad": True,
    }


def job(limit: int) -> service.Wanted:
    """Return the job as the judgement of services reads it."""
    return service.Wanted(LABEL, "system", definition(limit), once=True)


def job_text(limit: int) -> str:
    """Return the property list of the job."""
    return plistlib.dumps(definition(limit), sort_keys=True).decode()


def plan(found: Found, wanted: Wanted) -> tuple[Step, ...]:
    """List the steps from found to wanted; what could not be read has none, `lacking` says so."""
    steps: tuple[Step, ...] = ()
    if wanted.managed is not None and not lacking_settings(found, wanted):
        steps = _settings_steps(found, wanted.settings if wanted.managed else {})
    return (*steps, *_limit_steps(found, wanted.limit))


def lacking_settings(found: Found, wanted: Wanted) -> tuple[Unknown, ...]:
    """Return what would have to be known for the settings and is not."""
    if wanted.managed is None:
        return ()
    if isinstance(found.record, Unknown):
        return (found.record,)
    needed = (wanted.managed and wanted.settings) or found.record
    parts = (found.settings, found.capabilities) if needed else ()
    return tuple(part for part in parts if isinstance(part, Unknown))


def lacking(found: Found, wanted: Wanted) -> Unknown | None:
    """Return why nothing can be said, where that is so."""
    limit = (found.limit,) if wanted.limit is not None or _is_there(found) else ()
    unknown = [*lacking_settings(found, wanted), *(part for part in limit if isinstance(part, Unknown))]
    return unknown[0] if unknown else None


def _settings_steps(found: Found, asked: Mapping[str, int]) -> tuple[Step, ...]:
    """List what is written down, set and given back, in the order in which a cut anywhere loses no value of before."""
    before: Mapping[str, Values] = {} if isinstance(found.record, Unknown) else found.record
    wanted = {key: value for key, value in asked.items() if found.has(key)}
    steps, added = [], {}
    for key, value in sorted(wanted.items()):
        now = found.values(key)
        if not now or any(one != value for one in now.values()):
            steps.append(Step("set", key, _shown(now), value, _why(key, found)))
            if key not in before:
                added[key] = now
    for key in sorted(set(before) - set(wanted)):
        now = found.values(key) if found.has(key) else {}
        back = {source: value for source, value in before[key].items() if source in now}
        if any(now[source] != value for source, value in back.items()):
            aim = _shown(back) if set(back) == set(now) else back
            steps.append(Step("set", key, _shown(now), aim, "as it was found before the first change"))
    first = {**before, **added}
    last = {key: values for key, values in first.items() if key in wanted}
    if added:
        steps.insert(0, Step("remember", RECORD_PATH, plain(before) or "absent", plain(first), "pmset keeps no history"))
    if last != first:
        steps.append(Step("forget", RECORD_PATH, plain(first), plain(last) or "absent", "given back"))
    return tuple(steps)


def _shown(values: Values) -> Any:
    """Show one number where all sources have the same."""
    numbers = set(values.values())
    if not numbers:
        return "not set"
    return numbers.pop() if len(numbers) == 1 else dict(values)


def _why(key: str, found: Found) -> str:
    where = " on mains" if found.laptop and key != DISABLE_SLEEP else ""
    return f"the inventory asks for it{where}"


def command(step: Step, found: Found) -> list[list[str]]:
    """Return the arguments of pmset for a step, one list a call.

    Not `-a` for all sources: it would also set those that do not show the key, and could not be taken back.
    """
    if isinstance(step.wanted, Mapping):
        return [[FLAGS[source], step.item, str(value)] for source, value in sorted(step.wanted.items())]
    sources = sorted(found.values(step.item)) or [SYSTEM if step.item == DISABLE_SLEEP else AC]
    return [[FLAGS[source], step.item, str(step.wanted)] for source in sources]


def _is_there(found: Found) -> bool:
    """Tell whether something of ours sets the limit at boot."""
    return LABEL in {*(job.label for job in found.launchd.jobs), *(file.label for file in found.launchd.files)}


def _limit_steps(found: Found, limit: int | None) -> tuple[Step, ...]:
    """List the steps to a limit that holds now and after each boot, or to macOS's own.

    Where none is asked for, only what our job has set is taken back: what somebody else has set is theirs.
    """
    if limit:
        return () if found.limit is None or isinstance(found.limit, Unknown) else tuple(_limit_kept(found, limit))
    if limit is None and not _is_there(found):
        return ()
    steps = [Step("bootout", one.target, "loaded", "absent") for one in found.launchd.jobs if one.label == LABEL]
    steps += [Step("remove", file.path, "present", "absent") for file in found.launchd.files if file.label == LABEL]
    if found.limit and not isinstance(found.limit, Unknown):
        steps.append(Step("set", LIMIT, found.limit, 0, "0 leaves it to macOS"))
    return tuple(steps)


def _limit_kept(found: Found, limit: int) -> Iterable[Step]:
    if found.limit != limit:
        yield Step("set", LIMIT, found.limit, limit, "models are judged by it")
    steps = service.plan(found.launchd, job(limit))
    yield from steps
    loaded = found.launchd.job("system", LABEL)
    if loaded and loaded.pid is None and loaded.last_exit not in ENDED_WELL and not service.restarts(steps):
        yield Step("reload", loaded.target, loaded.last_exit, "last exit code = 0", "it failed, and so it will at the next boot")


def findings(host: str, found: Found, wanted: Wanted, around: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return what no step mends.

    `around` holds `domain`, that of the service, and `budget_limit_mib`, the limit by which models were judged. What FileVault
    and automatic login mean for a restart is told with the service.
    """
    notes = []
    if wanted.limit and found.limit is None:
        notes.append(
            Finding(host, CONCERN, LIMIT, "no such variable", wanted.limit, "error",
                    "this Mac's kernel does not know it, so no limit can be set (Intel, or macOS before 14)",
                    "take power_gpu_wired_limit_mib out of its host_vars")
        )  # fmt: skip
    alone = wanted.limit is None and not _is_there(found) and isinstance(found.limit, int) and found.limit
    if alone and found.limit != _mib(around.get("budget_limit_mib")):
        notes.append(
            Finding(host, CONCERN, LIMIT, found.limit, "known", "warning",
                    f"it is {found.limit} on this Mac, and models were judged without it",
                    "set power_gpu_wired_limit_mib, or restart the Mac to be without it")
        )  # fmt: skip
    if wanted.managed and not lacking_settings(found, wanted):
        notes += _settings_findings(host, found, wanted.settings)
    if wanted.managed and found.os_updates is True:
        after = "" if around.get("domain") == "system" else ", and the service waits for a login after it"
        notes.append(
            Finding(host, CONCERN, "AutomaticallyInstallMacOSUpdates", "on", "off", "warning",
                    f"macOS installs its updates by itself and restarts for them{after}",
                    "System Settings > General > Software Update > Automatic Updates: install macOS updates yourself")
        )  # fmt: skip
    return tuple(notes)


def _settings_findings(host: str, found: Found, asked: Mapping[str, int]) -> list[Finding]:
    if isinstance(found.settings, Unknown) or isinstance(found.capabilities, Unknown):
        return []
    notes = []
    absent = [key for key in sorted(asked) if not found.has(key)]
    if absent:
        cut = "; after a power cut somebody must switch it on" if "autorestart" in absent else ""
        notes.append(
            Finding(host, CONCERN, ", ".join(absent), "not there", "there", "warning",
                    f"this Mac cannot do it (`pmset -g cap`, {found.told_for}), so it was left as it is{cut}",
                    f"take it out of power_settings in host_vars/{host} if that is known")
        )  # fmt: skip
    now = {key: value for key in KEYS for value in found.values(key).values()}
    disabled = asked.get(DISABLE_SLEEP, now.get(DISABLE_SLEEP))
    if "autorestart" not in asked and found.has("autorestart") and now.get("autorestart") == 0:
        notes.append(
            Finding(host, CONCERN, "autorestart", 0, 1, "warning", "after a power cut it stays off",
                    "add autorestart: 1 to power_settings")
        )  # fmt: skip
    if "sleep" not in asked and now.get("sleep") and not disabled:
        notes.append(
            Finding(host, CONCERN, "sleep", now["sleep"], 0, "warning", f"it sleeps after {now['sleep']} idle minutes",
                    "add sleep: 0 to power_settings")
        )  # fmt: skip
    if found.laptop and asked.get("sleep") == 0 and not disabled:
        notes.append(
            Finding(host, CONCERN, "lid", "sleeps when closed", "awake", "warning",
                    "with its lid closed and no display connected it sleeps all the same",
                    "leave it open, or add disablesleep: 1 to power_settings")
        )  # fmt: skip
    return notes


def judge(case: Case) -> Judged:
    """Judge sleep, restart after a power cut, and the limit of the GPU."""
    desired = case.desired[CONCERN]
    wanted, part = wanted_from_json(desired), case.part(CONCERN)
    if isinstance(part, Unknown):
        return Judged(unknown=part) if wanted.asked else NOT_OURS
    found = found_from_json(part)
    steps = plan(found, wanted)
    # What was set before is still given back where nothing is asked for any more.
    ours = wanted.asked or bool(steps)
    return Judged(steps, findings(case.host, found, wanted, desired), lacking(found, wanted), ours)


def found_from_json(data: Mapping[str, Any]) -> Found:
    """Read the `power` part of an observation back."""

    def read(name: str) -> Any:
        reason = unknown_in(data[name])
        return data[name] if reason is None else reason

    capabilities = read("capabilities")
    return Found(
        settings=read("settings"),
        capabilities=capabilities if isinstance(capabilities, Unknown) else frozenset(capabilities),
        told_for=data["told_for"],
        limit=read("limit"),
        record=read("record"),
        os_updates=read("os_updates"),
        launchd=service.found_from_json(data["launchd"]),
    )
