"""The packet filter: which networks reach the server's port, the files that keep it so, and the steps to get there.

The rules only ever block, and only the one port. What pf would have let through or stopped otherwise stays as it is, and a
connection that is allowed is not cut when the rules come: no state is made and none is asked for.
"""

from __future__ import annotations

import hashlib
import plistlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_interface, ip_network
from typing import Any, Literal, Union

from . import service
from .vocabulary import Finding, Step, Unknown

Network = Union[IPv4Network, IPv6Network]
Scope = Literal["loopback", "tailnet", "lan"]
SCOPES = ("loopback", "tailnet", "lan")

TAILNET: tuple[Network, ...] = (IPv4Network("100.64.0.0/10"), IPv6Network("fd7a:115c:a1e0::/48"))
"""Every address that Tailscale gives (net/tsaddr/tsaddr.go). By address, since pf on macOS knows no interface groups: `utun`
never matches utun4 (xnu, bsd/net/pf_if.c), and the number of the tunnel changes."""

ANCHOR = "com.apple/100.ollama-fleet"
"""Apple's own `anchor "com.apple/*"` asks everything below it, in the order of the names: 100 comes before Apple's 200.AirDrop
and 250.ApplicationFirewall. So /etc/pf.conf, which system updates write anew, needs no line of ours."""

TABLE = "ollama_fleet"
MARK = "ollama-fleet"
LABEL = "ollama-fleet.exposure"
FOLDER = "/Library/Application Support/ollama-fleet"
RULES_PATH = f"{FOLDER}/exposure.pf"
PROGRAM_PATH = f"{FOLDER}/exposure"
JOB_PATH = f"/Library/LaunchDaemons/{LABEL}.plist"
STATE_PATH = "/var/run/ollama-fleet.exposure"
PF_CONF = "/etc/pf.conf"
INTERVAL_SECONDS = 60

FILES = {RULES_PATH: 0o644, PROGRAM_PATH: 0o755}
"""What root runs and reads at boot, with its mode; all of it belongs to root."""

PROGRAM = f"""\
#!/bin/sh
# Keeps the rules of ollama-fleet in the packet filter, and the packet filter on. launchd starts it at boot and every
# {INTERVAL_SECONDS} seconds. What it finds afterwards stands in {STATE_PATH}, for everybody to read.
# -e adds one reference and no second one, however often it is asked (xnu, DIOCSTART), so nothing is leaked.
PATH=/usr/bin:/bin:/usr/sbin:/sbin
export PATH
umask 022

# What it mended since the boot, the last twenty times.
mended=$(sed -n 's/^mended //p' '{STATE_PATH}' 2>/dev/null | tail -n 20)
if [ -e '{STATE_PATH}' ]; then
  pfctl -s info 2>/dev/null | grep -q '^Status: Enabled' &&
    pfctl -a '{ANCHOR}' -s rules 2>/dev/null | grep -q '"{MARK} ' ||
    mended="$mended
$(date -u +%Y-%m-%dT%H:%M:%SZ)"
fi

pfctl -a '{ANCHOR}' -f '{RULES_PATH}' 2>/dev/null
pfctl -e 2>/dev/null

# At boot Apple's own job may still be loading the main rules, which lead to ours.
for _ in 1 2 3 4 5 6 7 8 9 10; do
  main=$(pfctl -s rules 2>/dev/null)
  case $main in *'com.apple/*'*) break ;; esac
  sleep 1
done

draft=$(mktemp '{STATE_PATH}.XXXXXX') || exit 1
{{
  echo '== info'
  pfctl -s info
  echo '== main'
  echo "$main"
  echo '== rules'
  pfctl -a '{ANCHOR}' -s rules
  echo '== table'
  pfctl -a '{ANCHOR}' -t '{TABLE}' -T show
  echo '== mended'
  for moment in $mended; do echo "mended $moment"; done
  echo '== end'
}} >"$draft" 2>/dev/null
chmod 644 "$draft" && mv -f "$draft" '{STATE_PATH}'
"""


@dataclass(frozen=True)
class Wanted:
    """Who may reach the port: `networks` are those of the LAN and count for the scope `lan` alone."""

    scope: Scope = "tailnet"
    networks: tuple[Network, ...] = ()
    port: int = 11434

    @property
    def sources(self) -> tuple[Network, ...]:
        """Return the networks that are let in: each address once, in order. None means: the Mac itself and nobody else."""
        return in_order({"loopback": (), "tailnet": TAILNET, "lan": (*TAILNET, *self.networks)}[self.scope])


@dataclass(frozen=True)
class File:
    """A file or folder of ours. `text` is None for a folder; `plain` is False for a symbolic link and everything odd."""

    path: str
    uid: int
    mode: int
    text: str | None = None
    plain: bool = True


@dataclass(frozen=True)
class State:
    """What pf itself answered, root asking, when the job ran last.

    `asked`: the main rules lead to our anchor. `labels` and `networks` are the anchor's. `mended` are the moments since the boot
    at which the job found rules gone or pf off, the last twenty.
    """

    enabled: bool
    asked: bool
    labels: tuple[str, ...]
    networks: tuple[str, ...]
    mended: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What is on the Mac. `state` is None when the job has not run since the boot.

    `reaches` maps each network asked for to the address by which the Mac would speak to it.
    """

    launchd: service.Found
    files: tuple[File, ...] = ()
    state: State | Unknown | None = None
    pf_conf: bool | Unknown = True
    reaches: Mapping[str, str] | None = None

    def file(self, path: str) -> File | None:
        """Return a file of ours."""
        return next((file for file in self.files if file.path == path), None)


# What the inventory says. ----------------------------------------------------------------------------------------------


def in_order(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Collapse and sort: the same set of addresses gives the same text, in whatever order it was written."""
    given = list(networks)
    four = collapse_addresses(network for network in given if isinstance(network, IPv4Network))
    six = collapse_addresses(network for network in given if isinstance(network, IPv6Network))
    return (*sorted(four), *sorted(six))


NETWORK = "a network such as 192.168.1.0/24, fd00:1::/64 or fe80::/10"
_NUMBERS = re.compile(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", re.ASCII)


def refusal(text: Any) -> str:
    """Return what is allowed where a network is expected, "" when this one is. Nothing but digits of an address gets through.

    Python's own reader would take a zone, `fe80::%anything`, and print it again.
    """
    if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
        return NETWORK
    try:
        network = ip_interface(text).network
    except ValueError:
        return NETWORK
    if ip_interface(text).ip != network.network_address:
        return f"the network itself, {network}, not an address inside of it with a length"
    return "" if network.prefixlen else "a network of the fleet, not the whole internet"


def parse_network(text: str) -> Network:
    """Read one network as people write it; ValueError with what is allowed."""
    allowed = refusal(text)
    if allowed:
        message = f"found {text!r}, allowed is {allowed}"
        raise ValueError(message)
    return ip_network(text)


def problems(scope: Any, networks: Any, port: Any) -> tuple[tuple[str, Any, str], ...]:
    """Return (variable, found, allowed) for everything that cannot be meant; nothing of it ever reaches a rule."""
    wrong: list[tuple[str, Any, str]] = []
    if scope not in SCOPES:
        wrong.append(("exposure_scope", scope, f"one of {', '.join(SCOPES)}"))
    if isinstance(port, bool) or not re.fullmatch(r"[1-9][0-9]{0,4}", str(port), re.ASCII) or int(port) > 65535:
        wrong.append(("exposure_port", port, "a whole number from 1 to 65535"))
    if not isinstance(networks, (list, tuple)):
        return (*wrong, ("exposure_networks", networks, "a list of networks"))
    wrong += [(f"exposure_networks[{position}]", text, refusal(text)) for position, text in enumerate(networks) if refusal(text)]
    return tuple(wrong)


def wanted_from_json(data: Mapping[str, Any]) -> Wanted:
    """Build what is wanted from the inventory's values; ValueError with a sentence that names the variable."""
    wrong = problems(data["scope"], data["networks"], data["port"])
    if wrong:
        raise ValueError("; ".join(f"{variable}: found {found!r}, allowed is {allowed}" for variable, found, allowed in wrong))
    return Wanted(data["scope"], in_order(parse_network(text) for text in data["networks"]), int(data["port"]))


# What root gets to read. ------------------------------------------------------------------------------------------------


def label(wanted: Wanted) -> str:
    """Return the label of the rule. pf prints it as it was given, so what is loaded can be told without pf's normal form."""
    said = " ".join([str(wanted.port), *map(str, wanted.sources)])
    return f"{MARK} {hashlib.sha256(said.encode()).hexdigest()[:16]}"


def rules(wanted: Wanted) -> str:
    """Write the anchor's file.

    A blocked client is refused at once instead of being left to wait, since the fleet's own try several addresses. `on ! lo0`:
    a Mac that asks itself by one of its own addresses comes over lo0, with that address as its source.
    """
    end = f'to any port {wanted.port} label "{label(wanted)}"'
    head = "# Who reaches the server's port. Written by ollama-fleet from exposure_scope and exposure_networks.\n"
    if not wanted.sources:
        return f"{head}block return in quick on ! lo0 proto tcp from any {end}\n"
    members = "".join(f"  {network}\n" for network in wanted.sources)
    # const: nobody adds an address by hand (pf.conf(5)); loading the file again is the one way.
    return (
        f"{head}table <{TABLE}> const {{\n{members}}}\n"
        f"block return in quick on ! lo0 proto tcp from ! <{TABLE}> {end}\n"
    )  # fmt: skip


def definition() -> dict[str, Any]:
    """Return the job of launchd."""
    return {
        "Label": LABEL,
        "ProgramArguments": [PROGRAM_PATH],
        "RunAtLoad": True,
        "StartInterval": INTERVAL_SECONDS,
    }


def job() -> service.Wanted:
    """Return the job as the judgement of services reads it."""
    return service.Wanted(LABEL, "system", definition())


def contents(wanted: Wanted) -> dict[str, str]:
    """Return what each file should hold."""
    return {
        RULES_PATH: rules(wanted),
        PROGRAM_PATH: PROGRAM,
        JOB_PATH: plistlib.dumps(definition(), sort_keys=True).decode(),
    }


def parse_state(text: str) -> State | Unknown:
    """Read what the job wrote."""
    parts: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("== "):
            name = line[3:]
            parts[name] = []
        elif name:
            parts[name].append(line.strip())
    if list(parts) != ["info", "main", "rules", "table", "mended", "end"]:
        return Unknown(f"{STATE_PATH} does not hold what the job writes")
    networks = []
    for line in filter(None, parts["table"]):
        try:
            networks.append(ip_network(line, strict=False))
        except ValueError:
            return Unknown(f"pfctl printed {line[:60]!r} for an address of the table")
    return State(
        enabled=any(line.startswith("Status: Enabled") for line in parts["info"]),
        asked=any(line.startswith('anchor "com.apple/*"') for line in parts["main"]),
        labels=tuple(line.partition('label "')[2].partition('"')[0] for line in parts["rules"] if line),
        networks=tuple(map(str, in_order(networks))),
        mended=tuple(line.partition("mended ")[2] for line in parts["mended"] if line),
    )


# Judgement. -------------------------------------------------------------------------------------------------------------


def lacks(state: State | None, wanted: Wanted) -> dict[str, tuple[Any, Any]]:
    """Compare what pf holds with what it should: what -> (found, wanted)."""
    if state is None:
        return {"rules": ("not loaded since the boot", "loaded")}
    found: dict[str, tuple[Any, Any]] = {}
    if not state.enabled:
        found["packet filter"] = ("off", "on")
    if state.labels != (label(wanted),):
        found["rules"] = (list(state.labels) or "none", [label(wanted)])
    elif state.networks != tuple(map(str, wanted.sources)):
        found["networks"] = (list(state.networks), list(map(str, wanted.sources)))
    return found


def plan(found: Found, wanted: Wanted) -> tuple[Step, ...]:
    """List the steps from found to wanted: files, then the rules themselves, then the job that keeps them.

    While the job runs well, what pf lost is its business: it mends that within a minute, also when nobody runs anything.
    """
    steps = list(_protect_folder(found))
    texts = contents(wanted)
    folder = found.file(FOLDER)
    # What lies behind a link in the folder's place goes with the link.
    ours = folder is not None and folder.plain
    for path, mode in FILES.items():
        file = found.file(path) if ours else None
        if file is None or not file.plain:
            steps.append(Step("write", path, "absent" if file is None else "not a plain file", "present"))
        elif file.text != texts[path]:
            steps.append(Step("write", path, _shown(file), _shown(File(path, 0, mode, texts[path]))))
        elif (file.uid, file.mode) != (0, mode):
            steps.append(
                Step("write", path, f"owner {file.uid}, mode {file.mode:04o}", f"owner 0, mode {mode:04o}",
                     "root runs it, so nobody else may own or write it")
            )  # fmt: skip
    wrong = _in_force(found, wanted)
    if steps or wrong:
        steps.append(
            Step("load", ANCHOR, {key: pair[0] for key, pair in wrong.items()} or "the rules of before",
                 {key: pair[1] for key, pair in wrong.items()} or f"the rules of {RULES_PATH}")
        )  # fmt: skip
    return (*steps, *service.plan(found.launchd, job()))


def _protect_folder(found: Found) -> Iterable[Step]:
    folder = found.file(FOLDER)
    if folder is not None and (not folder.plain or folder.uid != 0 or folder.mode & 0o022):
        seen = f"owner {folder.uid}, mode {folder.mode:04o}" if folder.plain else "not a plain folder"
        yield Step("protect", FOLDER, seen, "owner 0, mode 0755", "who may write here becomes root at the next boot")


def _shown(file: File) -> Any:
    """Show rules line by line for the diff, and of the program only which one it is."""
    if file.path == RULES_PATH:
        return (file.text or "").splitlines()
    return f"sha256 {hashlib.sha256((file.text or '').encode()).hexdigest()[:16]}"


def _in_force(found: Found, wanted: Wanted) -> dict[str, tuple[Any, Any]]:
    """Return what pf lacks by the job's account, which is believed only while the job runs and ends well."""
    if isinstance(found.state, Unknown):
        return {"rules": (f"unknown ({found.state.reason})", "loaded")}
    wrong = lacks(found.state, wanted)
    loaded = found.launchd.job("system", LABEL)
    if loaded is None:
        return wrong or {"rules": ("unknown (the job that tells does not run)", "loaded")}
    ended_well = loaded.last_exit in ("", "last exit code = (never exited)", "last exit code = 0")
    if loaded.pid is None and not ended_well:
        wrong["job"] = (loaded.last_exit, "last exit code = 0")
    return wrong


def removal(found: Found) -> tuple[Step, ...]:
    """List the steps that take everything of ours away: first the job, which would bring it all back.

    pf stays on until the next boot: a Mac starts with it off, and -d would take it from others who use it.
    """
    steps = [
        Step("bootout", one.target, "loaded", "absent") for one in found.launchd.jobs if one.label == LABEL
    ] + [
        Step("remove", file.path, "present", "absent") for file in found.launchd.files if file.label == LABEL
    ]  # fmt: skip
    if found.state is not None:
        steps.append(Step("flush", ANCHOR, "rules of ollama-fleet", "no rules"))
        steps.append(Step("remove", STATE_PATH, "present", "absent"))
    steps += [Step("remove", path, "present", "absent") for path in FILES if found.file(path)]
    return tuple(steps)


def findings(host: str, found: Found, wanted: Wanted, *, roaming: bool = False) -> tuple[Finding, ...]:
    """Return what no step mends: rules that pf never asks, a LAN that may be somebody else's, a Mac outside of it."""
    notes = []
    lost = isinstance(found.state, State) and not found.state.asked
    if lost or found.pf_conf is False:
        where = "the main rules in force" if lost else PF_CONF
        what = f"no rule below it is asked and port {wanted.port} is open" if lost else "rules below it end with the next boot"
        notes.append(
            Finding(host, "exposure", "packet filter", f"{where}: no com.apple/*", 'anchor "com.apple/*"',
                    "error" if lost else "warning", f"{where} has no line `anchor \"com.apple/*\"`, so {what}",
                    f"put the lines of Apple's {PF_CONF} back, and load them with `sudo pfctl -f {PF_CONF}` or by a restart")
        )  # fmt: skip
    if isinstance(found.state, State) and found.state.mended:
        often, last = len(found.state.mended), found.state.mended[-1]
        notes.append(
            Finding(host, "exposure", "packet filter", f"mended {often} times", "left alone", "warning",
                    f"its rules were gone or it was off {often} times since the boot, last at {last}, for up to"
                    f" {INTERVAL_SECONDS} s; {LABEL} put it right", "look for what else on this Mac handles pf")
        )  # fmt: skip
    if wanted.scope == "lan" and roaming:
        notes.append(
            Finding(host, "exposure", "exposure_scope", "lan", "tailnet", "warning",
                    f"port {wanted.port} is open to {', '.join(map(str, wanted.networks)) or 'no LAN'} wherever this Mac is, and"
                    " a cafe or hotel may use the same private addresses",
                    f"set exposure_scope: tailnet in host_vars/{host}, its tailnet address works everywhere")
        )  # fmt: skip
    if wanted.scope == "lan" and found.reaches is not None:
        notes += _outside(host, found.reaches, wanted)
    return tuple(notes)


def _outside(host: str, reaches: Mapping[str, str], wanted: Wanted) -> Iterable[Finding]:
    """Tell a LAN scope that cannot work: the Mac has no address in any network that is let in."""
    asked = [network for network in wanted.networks if not network.is_link_local]
    if not asked:
        yield Finding(host, "exposure", "exposure_networks", "no network", "the networks of the LAN", "warning",
                      "exposure_scope is lan, but exposure_networks names no network, so only the tailnet gets in",
                      "list the LAN's networks in group_vars/all/exposure.yml")  # fmt: skip
        return
    own = {text: address for text, address in reaches.items() if address}
    if any(_inside(own.get(str(network)), network) for network in asked):
        return
    used, lan = ", ".join(sorted(set(own.values()))) or "no address", ", ".join(map(str, asked))
    yield Finding(host, "exposure", "exposure_networks", used, lan, "warning",
                  f"the Mac is in none of {lan}, towards them it uses {used}: nobody on its present LAN gets in",
                  "correct exposure_networks in group_vars/all/exposure.yml, unless it is elsewhere today")  # fmt: skip


def _inside(address: str | None, network: Network) -> bool:
    try:
        return bool(address) and ip_interface(str(address)).ip in network
    except ValueError:
        return False


def found_from_json(data: Mapping[str, Any]) -> Found:
    """Read the `packet_filter` part of an observation back."""
    state, pf_conf = data["state"], data["pf_conf"]
    if isinstance(state, Mapping):
        state = Unknown(state["unknown"]) if "unknown" in state else state_from_json(state)
    return Found(
        launchd=service.found_from_json(data["launchd"]),
        files=tuple(File(**file) for file in data["files"]),
        state=state,
        pf_conf=pf_conf if isinstance(pf_conf, bool) else Unknown(pf_conf["unknown"]),
        reaches=data.get("reaches"),
    )


def state_from_json(data: Mapping[str, Any]) -> State:
    """Read a state back."""
    return State(data["enabled"], data["asked"], tuple(data["labels"]), tuple(data["networks"]), tuple(data["mended"]))
