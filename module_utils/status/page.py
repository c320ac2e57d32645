"""The page reports/status.html: the fleet at a glance, then a card for each Mac; no script, no request, for any width."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from .style import STYLE

if TYPE_CHECKING:
    from fleet.models import parse_time
    from fleet.status import WORDS, ago, count, counted, seconds_between
    from fleet.units import GB, GIB
    from preflight.document import document, text
    from preflight.page import LOADED_WORDS, bars, legend
    from preflight.picture import InMemory, numbered, picture
    from preflight.report import preflight_report
    from preflight.style import STYLE as SHARED
else:
    from ansible.module_utils.fleet.models import parse_time
    from ansible.module_utils.fleet.status import WORDS, ago, count, counted, seconds_between
    from ansible.module_utils.fleet.units import GB, GIB
    from ansible.module_utils.preflight.document import document, text
    from ansible.module_utils.preflight.page import LOADED_WORDS, bars, legend
    from ansible.module_utils.preflight.picture import InMemory, numbered, picture
    from ansible.module_utils.preflight.report import preflight_report
    from ansible.module_utils.preflight.style import STYLE as SHARED

KINDS = {"ok": "note", "attention": "warning", "down": "error", "away": "quiet", "not_asked": "quiet", "empty": "quiet"}
"""Health -> the look of its badge; the word in it says the same."""

JOB_WORDS = {"residents": "keep residents loaded", "heal": "healer", "logs": "log rotation"}
BEAT_WORDS = {"on_time": "on time", "late": "late", "never": "never ran", "not_wanted": "not wanted", "unknown": "unknown"}
BEAT_KINDS = {"on_time": "note", "late": "warning", "never": "warning", "not_wanted": "quiet", "unknown": "warning"}
SCOPE_WORDS = {"loopback": "this Mac alone", "tailnet": "the tailnet", "lan": "the tailnet and the LAN"}
UNKNOWN = "unknown"
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z")
"""A time as the reports have it; whatever else a Mac says for one is shown as it is."""

NOBODY = "No Mac was looked at: the group ollama_servers is empty, or the limit of the run left none."


def page(report: Mapping[str, Any], budgets: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page of a report. `budgets` are the Macs as the report of the RAM budget takes them, by name."""
    hosts = report["hosts"]
    cards = "\n".join(_card(host, budgets.get(host["host"]), index) for index, host in enumerate(hosts))
    status = report["status"]
    state = WORDS.get(status, "no Mac")
    body = f"""<header>
<h1 class="titled">Status of the fleet <span class="verdict state {KINDS[status]}">{state}</span></h1>
<p>How each Mac was when it was asked, {moment(report["made_at"])}. This page does not follow what happens later.
GB are 10<sup>9</sup> bytes.</p>
<p>{_totals(report)}</p>
</header>
{_glance(hosts) if hosts else f'<p class="card">{NOBODY}</p>'}
{cards}
{_elsewhere(report["not_looked_at"])}
{_key() if any(host["host"] in budgets for host in hosts) else ""}"""
    return document("Status of the fleet", SHARED + STYLE, body)


def moment(at: Optional[str]) -> str:
    """Return a time for people, with the exact one for programs; what is none is shown as it is."""
    if at is None:
        return UNKNOWN
    shown = f"{at[:10]} {at[11:16]} UTC" if MOMENT.fullmatch(at) else at
    return f'<time datetime="{text(at)}">{text(shown)}</time>'


def _gb(size: Optional[int]) -> str:
    return UNKNOWN if size is None else f"{size / GB:.1f} GB"


def _figure(size: Optional[int]) -> str:
    return "?" if size is None else f"{size / GB:.1f}"


def _known(value: Any) -> str:
    return UNKNOWN if value is None else text(value)


def _words(status: Optional[str]) -> str:
    return _known(status).replace("_", " ")


def _yes(value: Optional[bool]) -> str:
    return UNKNOWN if value is None else "yes" if value else "no"


def _badge(health: str) -> str:
    return f'<span class="verdict {KINDS[health]}">{WORDS[health]}</span>'


def _totals(report: Mapping[str, Any]) -> str:
    last = report["last_drift"]
    drift = "No drift run yet." if last is None else f"Last drift run: {moment(last['made_at'])}, {_words(last['status'])}."
    return f"{counted(report['hosts'])}. {drift}"


# At a glance. -----------------------------------------------------------------------------------------------------------

_COLUMNS = ("Mac", "health", "Ollama", "loaded", "memory, GB", "swap, GB", "pressure", "disk free, GB", "jobs", "drift, steps")

_NOTHING = ' class="nothing"'


def _glance(hosts: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f'<th scope="col" role="columnheader">{words}</th>' for words in _COLUMNS)
    rows = "".join(_line(host, index) for index, host in enumerate(hosts))
    return f"""<section class="card" aria-labelledby="glance">
<h2 id="glance">At a glance</h2>
<table class="glance" role="table"><caption>One line for each Mac; memory is what is loaded, of the RAM budget</caption>
<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>
</section>"""


def _line(host: Mapping[str, Any], index: int) -> str:
    head = f'<th scope="row" role="rowheader"><a href="#host-{index}">{text(host["host"])}</a></th>'
    cells = [_badge(host["health"])]
    if host["ollama"] is None:
        cells += ["-"] * (len(_COLUMNS) - 2)
    else:
        ollama, memory = host["ollama"], host["memory"]
        loaded = host["models"]["loaded"]
        names = UNKNOWN if loaded is None else ", ".join(_short(model["name"]) for model in loaded) or "nothing"
        late = [beat["job"] for beat in host["heartbeats"] if beat["state"] in ("late", "never", "unknown")]
        cells += [
            f"{_short(ollama['running_version'] or 'silent', 12)}{' (stale)' if ollama['stale'] else ''}",
            names,
            f"{_figure(memory['loaded_bytes'])} of {_figure(memory['ram_budget_bytes'])}",
            _figure(memory["swap_used_bytes"]),
            _known(memory["pressure"]),
            _figure(host["disk"]["free_bytes"]),
            f"{', '.join(late)} late" if late else "on time",
            str(host["drift"]["steps"]),
        ]
    data = "".join(
        f'<td role="cell" data-label="{words}"{_NOTHING if cell == "-" else ""}><span>{cell}</span></td>'
        for words, cell in zip(_COLUMNS[1:], cells)
    )
    return f'<tr role="row">{head}{data}</tr>'


def _short(name: str, longest: int = 40) -> str:
    """Return a name for a cell; the card of the Mac has it whole."""
    return text(name if len(name) <= longest else name[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}")


# A Mac. -----------------------------------------------------------------------------------------------------------------


def _card(host: Mapping[str, Any], budget: Optional[Mapping[str, Any]], index: int) -> str:
    asked = host["ollama"] is not None
    inside = _asked(host, budget, index) if asked else ""
    return f"""<section class="card" aria-labelledby="host-{index}">
<div class="head"><h2 id="host-{index}">{text(host["host"])}</h2>
{_badge(host["health"])}
<p>{_subtitle(host)}</p></div>
{_reasons(host)}
{inside}
</section>"""


def _subtitle(host: Mapping[str, Any]) -> str:
    if host["ollama"] is None:
        return f"Nothing is known of it now; {_seen(host)}."
    memory = host["memory"]["memory_bytes"]
    words = [
        "memory unknown" if memory is None else f"{memory / GIB:g} GiB",
        "macOS unknown" if host["macos_version"] is None else f"macOS {text(host['macos_version'])}",
        f"up {ago(host['uptime_seconds'])}",
        f"seen {moment(host['observed_at'])}",
    ]
    return ", ".join(words)


def _seen(host: Mapping[str, Any]) -> str:
    return f"last seen {moment(host['seen_at'])}" if host["seen_at"] else "never seen in a report before"


def _reasons(host: Mapping[str, Any]) -> str:
    lines = [
        (one["rule"].replace("-", " ").replace("gpu", "GPU"), KINDS[one["health"]], one["sentence"]) for one in host["reasons"]
    ]
    lines += [("note", "quiet", sentence) for sentence in host["notes"]]
    if not lines:
        return '<p class="calm">Nothing to look at.</p>'
    shown = "".join(
        f'<li><span class="verdict {kind}">{word}</span> <span>{text(sentence)}</span></li>' for word, kind, sentence in lines
    )
    return f'<ul class="findings reasons" aria-label="Reasons">{shown}</ul>'


def _asked(host: Mapping[str, Any], budget: Optional[Mapping[str, Any]], index: int) -> str:
    drawn, numbers = _bars(host, budget, index)
    return f"""{_statistics(host)}
{drawn}
{_models(host, numbers)}
{_details("Service, power and network", _facts(_service(host)), open_=False)}
{_details("Jobs of the fleet on this Mac", _jobs(host), open_=False)}
{_details("Drift", _drift(host), open_=bool(host["drift"]["steps"]))}"""


def _statistics(host: Mapping[str, Any]) -> str:
    memory, disk = host["memory"], host["disk"]
    shown = [
        ("loaded", _figure(memory["loaded_bytes"]), "GB"),
        ("RAM budget", _figure(memory["ram_budget_bytes"]), "GB"),
        ("swap used", _figure(memory["swap_used_bytes"]), "GB"),
        ("memory pressure", memory["pressure"] or "?", ""),
        ("disk free", _figure(disk["free_bytes"]), f"of {_figure(disk['total_bytes'])} GB"),
    ]
    items = "".join(f"<div><dt>{words}</dt><dd>{figure} <small>{unit}</small></dd></div>" for words, figure, unit in shown)
    return f'<dl class="figures">{items}</dl>'


def _bars(host: Mapping[str, Any], budget: Optional[Mapping[str, Any]], index: int) -> tuple[str, Mapping[str, int]]:
    """Return the bars of the budget page with one more for what is loaded now, and the number of each planned model."""
    if budget is None:
        return "<p>The budget of this Mac could not be judged; playbooks/preflight.yml says why.</p>", {}
    # The Mac's own memory, where it says so: the inventory may be wrong about it.
    memory = host["memory"]["memory_bytes"] or budget["memory_bytes"]
    (planned,) = preflight_report([{**budget, "memory_bytes": memory}], [])["hosts"]
    numbers = {model["name"].lower(): number for number, model in numbered(planned)}
    loaded = [
        InMemory(
            model["name"],
            numbers.get(model["name"].lower(), 0),
            min(model["vram_bytes"], model["size_bytes"]),
            max(0, model["size_bytes"] - model["vram_bytes"]),
        )
        for model in host["models"]["loaded"] or ()
    ]
    drawing = picture(planned, None if host["models"]["loaded"] is None else loaded)
    return ("" if drawing is None else bars(planned, drawing, index)), numbers


def _models(host: Mapping[str, Any], numbers: Mapping[str, int]) -> str:
    installed, loaded = host["models"]["installed"], host["models"]["loaded"]
    if installed is None:
        return "<p>Which models are there could not be read.</p>"
    inside = {model["name"].lower(): model for model in loaded or ()}
    # A model that was deleted while it was loaded is in memory and not on the disk.
    entries = [*installed, *(model for model in loaded or () if model["name"] not in {one["name"] for one in installed})]
    entries.sort(key=lambda model: (numbers.get(model["name"].lower(), len(numbers) + 1), model["name"]))
    if not entries:
        return "<p>There is no model on its disk.</p>"
    titles = ("model", "on disk, GB", "in memory, GB", "on the GPU", "context", "stays", "digest")
    head = "".join(f'<th scope="col" role="columnheader">{words}</th>' for words in titles)
    rows = []
    for model in entries:
        now = inside.get(model["name"].lower())
        number = numbers.get(model["name"].lower())
        badge = "" if number is None else f'<span class="badge" aria-hidden="true">{number}</span>'
        on_disk = _figure(model["size_bytes"]) if "listed" in model else "gone"
        cells = [
            on_disk,
            *(_in_memory(now, host) if now else ["?" if loaded is None else "-", "-", "-", "-"]),
            text(model["digest"]),
        ]
        foreign = "<br><small>not in the inventory</small>" if model.get("listed") is False else ""
        data = "".join(f'<td role="cell" data-label="{words}"><span>{cell}</span></td>' for words, cell in zip(titles[1:], cells))
        rows.append(
            f'<tr role="row"><th scope="row" role="rowheader"><div>{badge}<span>{text(model["name"])}{foreign}</span></div></th>'
            f"{data}</tr>"
        )
    return (
        f'<table class="models" role="table"><caption>Models of {text(host["host"])}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )


def _in_memory(model: Mapping[str, Any], host: Mapping[str, Any]) -> list[str]:
    percent = "?" if model["vram_percent"] is None else f"{model['vram_percent']} %"
    context = "?" if model["context"] is None else f"{model['context']:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return [_figure(model["size_bytes"]), percent, context, _stays(model, host["observed_at"])]


def _stays(model: Mapping[str, Any], now: Optional[str]) -> str:
    if model["stays"]:
        return "stays"
    try:
        gone = parse_time(model["expires_at"]) <= parse_time(str(now))
    except (ValueError, TypeError, AttributeError):
        return UNKNOWN
    return "leaving" if gone else f"leaves in {ago(seconds_between(now, model['expires_at']))}"


def _details(title: str, content: str, *, open_: bool) -> str:
    return f"<details{' open' if open_ else ''}><summary><h3>{title}</h3></summary>\n{content}\n</details>"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return f'<dl class="facts">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)}</dl>'


def _service(host: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    ollama, exposure, tailscale = host["ollama"], host["exposure"], host["tailscale"]
    yield "Ollama", f"{_known(ollama['running_version'])} runs, {_known(ollama['installed_version'])} is installed"
    yield (
        "runs since",
        "unknown" if ollama["started_at"] is None else f"{moment(ollama['started_at'])}, {ago(ollama['uptime_seconds'])}",
    )
    bound = ollama["bound"]
    yield (
        "bound to",
        UNKNOWN if bound is None else ", ".join("every address" if one == "*" else text(one) for one in bound) or "nothing",
    )
    yield "exposed to", _exposed(exposure)
    yield "application firewall", _firewall(host["firewall"])
    yield "Tailscale", _tailnet(tailscale)
    yield from _power(host["power"])


def _exposed(exposure: Mapping[str, Any]) -> str:
    if not exposure["managed"]:
        return "whoever reaches its address: exposure is not managed here"
    networks = f" ({', '.join(map(text, exposure['networks']))})" if exposure["networks"] else ""
    force = {True: "in force", False: "not in force", None: "whether it is in force is unknown"}[exposure["in_force"]]
    return f"{SCOPE_WORDS[exposure['scope']]}{networks}; {force}"


def _firewall(firewall: Mapping[str, Any]) -> str:
    state = {"off": "off", "on": "on", "block_all": "blocks everything", None: UNKNOWN}[firewall["state"]]
    rule = {"allow": "lets Ollama in", "block": "blocks Ollama", "none": "no rule for Ollama", None: "rules unknown"}[
        firewall["rule"]
    ]
    return f"{state}, {rule}"


def _tailnet(tailscale: Mapping[str, Any]) -> str:
    if tailscale["installed"] is None:
        return UNKNOWN
    if not tailscale["installed"]:
        return "not installed"
    mode = ", in userspace mode" if tailscale["userspace"] else ""
    addresses = ", ".join(map(text, tailscale["addresses"] or ())) or "no address"
    return f"{'up' if tailscale['up'] else text(tailscale['state'] or 'down')}{mode}, {addresses}"


def _power(power: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for one in power["sources"] or ():
        minutes = one["sleep_minutes"]
        sleeps = UNKNOWN if minutes is None else "never sleeps" if minutes == 0 else f"sleeps after {minutes} min"
        words = [sleeps]
        for name, said in (("autorestart", "starts after a power cut"), ("womp", "wakes for the network")):
            if one[name] is not None:
                words.append(f"{said}: {_yes(one[name])}")
        yield f"on {text(one['source'])}", ", ".join(words)
    if power["sources"] is None:
        yield "power", UNKNOWN
    if power["sleep_disabled"]:
        yield "sleep", "switched off altogether"
    if power["gpu_wired_limit_mib"]:
        yield "GPU limit", f"{power['gpu_wired_limit_mib']} MiB, set on the Mac"


def _jobs(host: Mapping[str, Any]) -> str:
    shown = []
    for beat in host["heartbeats"]:
        when = "" if beat["age_seconds"] is None else f" ran {ago(beat['age_seconds'])} before it was asked,"
        every = "" if beat["interval_seconds"] is None else f" every {ago(beat['interval_seconds'])} is asked for"
        shown.append(
            f'<li><span class="verdict {BEAT_KINDS[beat["state"]]}">{BEAT_WORDS[beat["state"]]}</span>'
            f" <span>{JOB_WORDS[beat['job']]}:{when}{every}</span></li>"
        )
    return f'<ul class="findings" aria-label="Jobs">{"".join(shown)}</ul>'


def _drift(host: Mapping[str, Any]) -> str:
    drift, last = host["drift"], host["last_drift"]
    steps = "".join(
        f"<li>{text(one['concern'])}: {', '.join(text(step) for step in one['steps'])}</li>" for one in drift["concerns"]
    )
    steps += "".join(f"<li>{text(one['part'])}: unknown, {text(one['reason'])}</li>" for one in drift["unknown"])
    now = f'<ul class="plain">{steps}</ul>' if steps else ""
    if last is None:
        before = "no drift run has told of it"
    else:
        since = f", the oldest since {moment(last['since'])}" if last["since"] else ""
        before = f"{moment(last['made_at'])}, {_words(last['status'])}, {count(last['drifts'], 'drift')}{since}"
    return _facts([("now", f"{count(drift['steps'], 'step')} away from the inventory"), ("last drift run", before)]) + now


# The rest. --------------------------------------------------------------------------------------------------------------


def _elsewhere(others: Sequence[Mapping[str, Any]]) -> str:
    if not others:
        return ""
    lines = "".join(f"<li>{text(one['host'])}: {_seen(one)}</li>" for one in others)
    return f"""<section class="card" aria-labelledby="elsewhere"><h2 id="elsewhere">Not looked at in this run</h2>
<ul class="plain">{lines}</ul></section>"""


def _key() -> str:
    more = "".join(
        f'<li><svg class="swatch" width="22" height="14" aria-hidden="true"><rect class="{part}" width="22" height="14" rx="2"/>'
        f"</svg>{words}</li>"
        for part, words in LOADED_WORDS.items()
    )
    return f"""<section class="card" aria-labelledby="key"><h2 id="key">What the bars show</h2>
<p class="calm">Memory and GPU are what the models of the inventory will take, as on the page of the memory budgets; the last bar
is what was loaded. The numbers are those of the models' tables.</p>
{legend()}
<ul class="legend" aria-label="Legend of what is loaded">{more}</ul></section>"""
