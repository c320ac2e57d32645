"""Which models each Mac has, lacks, and has in an old version, and what a person may do about it by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from .models import Found, Installed, Loaded, found_from_json
from .names import normalise
from .shown import columns, harmless
from .units import gb_text
from .vocabulary import Finding, Severity, Unknown, plain

SCHEMA = "ollama-fleet/models"
SCHEMA_VERSION = 1
CONCERN = "models"

ACTIONS = ("list", "pull", "update", "remove", "pin")

STATES = ("installed", "missing", "unlisted")

FRESHNESS = ("current", "outdated", "pinned", "pinned_moved", "pin_differs", "unknown", "none")
"""`pinned_moved` is as pinned while the registry has gone on, `pin_differs` is installed with another digest than the pinned one,
`none` is not installed."""


@dataclass(frozen=True)
class Entry:
    """One model on one Mac. `pin` is the beginning of the only digest allowed, `why` says why the registry's is not known."""

    name: str
    state: str
    freshness: str
    digest: Optional[str] = None
    registry_digest: Optional[str] = None
    why: str = ""
    size_bytes: Optional[int] = None
    modified_at: Optional[str] = None
    resident: bool = False
    loaded: Optional[bool] = False
    pinned_in_memory: Optional[bool] = False
    pin: Optional[str] = None


@dataclass(frozen=True)
class Host:
    """One Mac: its models, and its inventory's words about others. `why` says why nothing is known of it."""

    name: str
    outcome: str
    why: str = ""
    entries: tuple[Entry, ...] = ()
    policy: str = "keep"
    disk_free_bytes: Optional[int] = None
    disk_total_bytes: Optional[int] = None
    listed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def entry(self, name: str) -> Optional[Entry]:
        """Return the model of this name."""
        return next((one for one in self.entries if one.name.lower() == name.lower()), None)


def host_from_variables(name: str, variables: Mapping[str, Any]) -> Host:
    """Read what P(fleet_plan#role) left: an observation with the registry's digests of all models, and what is wanted."""
    look = variables.get("fleet_plan_look") or {}
    outcome, why = str(look.get("outcome") or "error"), harmless(look.get("why") or "")
    if outcome != "asked":
        return Host(name, outcome, why)
    desired = look["desired"]["ollama_models"]
    listed = {normalise(one["name"]): one for one in desired["installed"]}
    seen = look["observation"].get("models") or {"unknown": "nothing was observed"}
    if "unknown" in seen:
        return Host(name, "error", harmless(f"its models could not be read: {seen['unknown']}"), listed=listed)
    machine = look["observation"].get("machine") or {}
    free, total = machine.get("disk_free_bytes"), machine.get("disk_total_bytes")
    return Host(
        name,
        outcome,
        why,
        entries(found_from_json(seen), listed),
        str(desired["unlisted"]),
        free if isinstance(free, int) else None,
        total if isinstance(total, int) else None,
        listed,
    )


def entries(found: Found, listed: Mapping[str, Mapping[str, Any]]) -> tuple[Entry, ...]:
    """Return every model that is installed or wanted, by name."""
    here = {model.name.lower(): model for model in found.installed}
    names = {name.lower(): name for name in listed}
    everyone = {**{key: model.name for key, model in here.items()}, **names}
    return tuple(_entry(everyone[key], here.get(key), found, listed.get(names.get(key, ""))) for key in sorted(everyone))


def _entry(name: str, have: Optional[Installed], found: Found, wanted: Optional[Mapping[str, Any]]) -> Entry:
    pin = str((wanted or {}).get("digest") or "").replace("sha256:", "") or None
    registry = dict(found.registry or {}).get(name, Unknown("the registry was not asked"))
    current = None if isinstance(registry, Unknown) else registry
    why = harmless(registry.reason) if isinstance(registry, Unknown) else ""
    resident = (wanted or {}).get("residency") == "resident"
    if have is None:
        return Entry(harmless(name), "missing", "none", None, current, why, resident=resident, pin=pin)
    memory = None if isinstance(found.loaded, Unknown) else _in_memory(have, found.loaded)
    return Entry(
        name=harmless(name),
        state="unlisted" if wanted is None else "installed",
        freshness=freshness(have.digest, current, pin),
        digest=harmless(have.digest),
        registry_digest=current,
        why=why,
        size_bytes=have.size,
        modified_at=harmless(have.modified_at) or None,
        resident=resident,
        loaded=None if memory is None else bool(memory),
        pinned_in_memory=None if memory is None else any(one.pinned for one in memory),
        pin=pin,
    )


def _in_memory(have: Installed, loaded: Iterable[Loaded]) -> list[Loaded]:
    """Return the runner of a model; two names of one digest share it (Ollama 0.32.15, observed)."""
    return [one for one in loaded if one.digest == have.digest]


def freshness(digest: str, registry: Optional[str], pin: Optional[str]) -> str:
    """Say how what is installed stands to what is allowed and to what the registry has now."""
    if pin:
        if not digest.startswith(pin):
            return "pin_differs"
        return "pinned" if registry in (None, digest) else "pinned_moved"
    if registry is None:
        return "unknown"
    return "current" if registry == digest else "outdated"


# By hand. ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """What `ollama_models` is told for one Mac, what was refused and why, and what somebody should know before."""

    installed: tuple[Mapping[str, Any], ...] = ()
    removed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def decide(host: Host, action: str, asked: Sequence[str], too_large: Optional[Mapping[str, str]] = None) -> Decision:
    """Return what an action comes to on one Mac. `too_large` maps names to why this Mac cannot hold them."""
    if host.outcome != "asked" or action == "list":
        return Decision()
    names, wrong = [], []
    for name in asked:
        try:
            names.append(normalise(name))
        except ValueError as problem:
            wrong.append(f"{host.name}: models_names: {problem}")
    if wrong:
        return Decision(refused=tuple(wrong))
    if not names and action in ("pull", "remove"):
        return Decision(refused=(f"{host.name}: models_names is empty, models_action={action} needs the names of models",))
    decisions = {"pull": _pull, "update": _update, "remove": _remove, "pin": _pin}
    return decisions[action](host, list(dict.fromkeys(names)), too_large or {})


def _pull(host: Host, names: Sequence[str], too_large: Mapping[str, str]) -> Decision:
    installed, refused, said = [], [], []
    for name in names:
        have, wanted = host.entry(name), host.listed.get(name)
        if have is not None and have.state != "missing":
            said.append(f"{host.name}: {name} is installed already; models_action=update brings it up to date")
        elif wanted is not None:
            installed.append(wanted)
            said.append(f"{host.name}: {name} is in its list and missing; site.yml would install it too")
        elif name in too_large:
            reason = harmless(too_large[name])
            refused.append(f"{host.name}: {name} is not pulled: {reason}; playbooks/whatif.yml says what would fit")
        else:
            installed.append({"name": name})
            fate = "removes it again" if host.policy == "remove" else "leaves it as it is"
            said.append(
                f"{host.name}: {name} is in nobody's list here, so the next site.yml {fate} (ollama_models_unlisted:"
                f" {host.policy}); to keep it, add it to ollama_models_installed in host_vars/{host.name}"
            )
    return Decision(tuple(installed), (), tuple(refused), tuple(said))


def _update(host: Host, names: Sequence[str], _too_large: Mapping[str, str]) -> Decision:
    installed, said = [], []
    keys = {name.lower() for name in names}
    for one in host.entries:
        if keys and one.name.lower() not in keys:
            continue
        if one.freshness == "outdated":
            wanted = {key: value for key, value in host.listed.get(one.name, {"name": one.name}).items() if key != "digest"}
            installed.append({**wanted, "policy": "latest"})
        elif one.freshness in ("pinned_moved", "pin_differs"):
            said.append(_pin_words(host.name, one))
        elif one.freshness == "unknown":
            said.append(f"{host.name}: {one.name} stays as it is, what its registry has is not known: {one.why}")
        elif names and one.state == "missing":
            said.append(f"{host.name}: {one.name} is not installed; site.yml or models_action=pull installs it")
        elif names:
            said.append(f"{host.name}: {one.name} is up to date ({(one.digest or '')[:12]})")
    said += [f"{host.name}: {name} is not installed" for name in names if host.entry(name) is None]
    if not installed and not said:
        said.append(f"{host.name}: nothing is behind its registry")
    return Decision(tuple(installed), (), (), tuple(said))


def _pin_words(host: str, one: Entry) -> str:
    pin, digest, moved = (one.pin or "")[:12], (one.digest or "")[:12], (one.registry_digest or "")[:12]
    if one.freshness == "pin_differs":
        return (
            f"{host}: {one.name} is {digest}, its inventory allows {pin} alone; site.yml pulls it again, which helps only while"
            " the registry has that digest"
        )
    return (
        f"{host}: {one.name} is pinned to {pin} and stays so, its registry has {moved} now; to follow, change digest in"
        f" host_vars/{host}"
    )


def _remove(host: Host, names: Sequence[str], _too_large: Mapping[str, str]) -> Decision:
    removed, refused, said = [], [], []
    for name in names:
        have = host.entry(name)
        if name in host.listed:
            refused.append(
                f"{host.name}: {name} is in ollama_models_installed, so site.yml would pull it again; take it out of"
                f" host_vars/{host.name} first, or put it into ollama_models_removed"
            )
        elif have is None:
            said.append(f"{host.name}: {name} is not installed")
        else:
            removed.append(have.name)
    return Decision((), tuple(removed), tuple(refused), tuple(said))


def _pin(host: Host, names: Sequence[str], _too_large: Mapping[str, str]) -> Decision:
    lines = [f"# host_vars/{host.name}/ollama_models.yml, ollama_models_installed:"]
    keys = {name.lower() for name in names}
    for one in host.entries:
        if one.digest and one.state == "installed" and (not keys or one.name.lower() in keys):
            lines += [f"  - name: {one.name}", f"    digest: {one.digest}"]
    missing = [name for name in names if (known := host.entry(name)) is None or known.state != "installed"]
    lines += [f"# {name} is not installed, or not in the list of {host.name}: there is nothing to pin" for name in missing]
    return Decision(said=tuple(lines if len(lines) > 1 else [f"{host.name}: nothing of its list is installed"]))


# The report. ------------------------------------------------------------------------------------------------------------


def findings(host: Host) -> list[Finding]:
    """Return what somebody should know of one Mac."""
    found = []
    for one in host.entries:
        if one.state == "missing":
            found.append(_about(host, one, "missing", "warning", f"{one.name} is in its list and not installed",
                                "run site.yml, or playbooks/models.yml -e models_action=pull"))  # fmt: skip
        elif one.state == "unlisted":
            fate = "the next site.yml removes it" if host.policy == "remove" else "it stays"
            found.append(_about(host, one, "unlisted", "note", f"{one.name} is installed and in no list; {fate}"))
        if one.freshness == "outdated":
            moved = f"{one.name} is {(one.digest or '')[:12]}, its registry has {(one.registry_digest or '')[:12]}"
            found.append(_about(host, one, "outdated", "warning", moved,
                                "run site.yml where ollama_models_policy is latest, or playbooks/models.yml -e"
                                " models_action=update"))  # fmt: skip
        elif one.freshness in ("pinned_moved", "pin_differs"):
            severity: Severity = "note" if one.freshness == "pinned_moved" else "warning"
            found.append(_about(host, one, one.freshness, severity, _pin_words(host.name, one).partition(": ")[2]))
    silent: dict[str, list[str]] = {}
    for one in host.entries:
        if one.why:
            silent.setdefault(one.why, []).append(one.name)
    for why, names in sorted(silent.items()):
        are = "is" if len(names) == 1 else "are"
        found.append(Finding(host.name, CONCERN, "registry", "not asked", "its digest", "note",
                             f"whether {', '.join(names)} {are} up to date is not known: {why}"))  # fmt: skip
    if host.outcome in ("not_asked", "error"):
        found.append(Finding(host.name, CONCERN, "not-asked", host.outcome, "asked", "warning", host.why or "it was not asked"))
    return found


def _about(host: Host, one: Entry, item: str, severity: Severity, why: str, remedy: str = "") -> Finding:
    found = one.freshness if item in FRESHNESS else one.state
    return Finding(host.name, CONCERN, item, found, "installed and current", severity, why, remedy)


def report(hosts: Sequence[Host], made_at: str, *, strict: bool = False) -> dict[str, Any]:
    """Return the report as plain data, as schemas/models.schema.json describes it."""
    ordered = sorted(hosts, key=lambda host: host.name)
    found = [finding for host in ordered for finding in findings(host)]
    severities = {finding.severity for finding in found}
    asked = any(host.outcome == "asked" for host in ordered)
    warned = "warning" in severities
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made_at": made_at,
        "status": "errors" if warned and strict else "not_asked" if not asked else "warnings" if warned else "ok",
        "hosts": [
            {
                "host": host.name,
                "outcome": host.outcome,
                "why": host.why,
                "unlisted_policy": host.policy if host.outcome == "asked" else None,
                "models_bytes": sum(one.size_bytes or 0 for one in host.entries) if host.outcome == "asked" else None,
                "disk_free_bytes": host.disk_free_bytes,
                "disk_total_bytes": host.disk_total_bytes,
                "models": [asdict(one) for one in host.entries],
            }
            for host in ordered
        ],
        "findings": plain(found),
    }


def table(made: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table by model, and a line for each Mac with its sum."""
    rows: list[tuple[str, ...]] = [("model", "host", "state", "size", "digest", "memory", "registry", "modified")]
    everyone = [(one["name"], host["host"], one) for host in made["hosts"] for one in host["models"]]
    for name, where, one in sorted(everyone, key=lambda row: row[:2]):
        size = gb_text(one["size_bytes"]) if one["size_bytes"] is not None else "-"
        state = f"{one['state']}, resident" if one["resident"] else one["state"]
        digest, modified = (one["digest"] or "-")[:12], (one["modified_at"] or "-")[:10]
        rows.append((name, where, state, size, digest, _memory(one), _registry(one), modified))
    return [*columns(rows, right=(3,)), *map(_sum, made["hosts"])]


def _memory(one: Mapping[str, Any]) -> str:
    if one["loaded"] is None:
        return "unknown"
    return "-" if not one["loaded"] else "loaded for good" if one["pinned_in_memory"] else "loaded"


def _registry(one: Mapping[str, Any]) -> str:
    words = {
        "current": "current", "outdated": f"has {(one['registry_digest'] or '')[:12]}", "pinned": "pinned",
        "pinned_moved": f"pinned, has {(one['registry_digest'] or '')[:12]}", "pin_differs": "another digest is pinned",
        "unknown": "not asked", "none": "-",
    }  # fmt: skip
    return words[one["freshness"]]


def _sum(host: Mapping[str, Any]) -> str:
    if host["outcome"] != "asked":
        return f"{host['host']}: {host['outcome'].replace('_', ' ')}: {host['why']}"
    count = sum(one["size_bytes"] is not None for one in host["models"])
    text = f"{host['host']}: {count} model{'' if count == 1 else 's'}, {gb_text(host['models_bytes'])}"
    if host["disk_free_bytes"] is None or host["disk_total_bytes"] is None:
        return text
    return f"{text}; {gb_text(host['disk_free_bytes'])} of {gb_text(host['disk_total_bytes'])} of the disk are free"


def outcomes(made: Mapping[str, Any], *, strict: bool = False) -> dict[str, dict[str, str]]:
    """Return for each host how its part ended: `ok`, `wrong`, `not_asked` or `error`, and a sentence."""
    told: dict[str, list[str]] = {}
    for finding in made["findings"]:
        if strict and finding["severity"] == "warning" and finding["item"] != "not-asked":
            told.setdefault(finding["host"], []).append(finding["why"])
    found = {}
    for host in made["hosts"]:
        name = host["host"]
        state = {"asked": "ok", "away": "ok"}.get(host["outcome"], host["outcome"])
        said = host["why"]
        if state == "ok" and name in told:
            state, said = "wrong", "; ".join(told[name])
        found[name] = {"state": state, "said": f"{name}: {said}" if said else ""}
    return found
