"""The page reports/budget.html: one file without a script, without a request, for any width, in light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .document import document, text
from .picture import Lane, Line, Picture, Segment, numbered, picture
from .report import GB, ROLE_WORDS, SOURCE_WORDS, gb, memory_words
from .style import STYLE

PART_WORDS = {
    "reserve": "macOS and other programs",
    "weights": "weights",
    "kv": "KV cache",
    "compute": "compute buffers",
    "vision": "vision buffers",
    "process": "process",
    "prompt_cache": "prompt cache",
}
LOADED_WORDS = {"loaded": "loaded, on the GPU", "spilled": "loaded, not on the GPU"}
LINE_WORDS = {"budget": "RAM budget", "gpu": "GPU limit"}
VERDICTS = {"error": "has to change", "warning": "fits with care", "note": "fits", "": "fits"}

# Percent of the width that a text in a bar needs: on a phone (a bar of 300 px), on a wide page (700 px).
_BADGE, _BADGE_WIDE = 8.0, 3.4
_FIGURE, _FIGURE_WIDE = 19.0, 8.2


def page(report: Mapping[str, Any]) -> str:
    """Return the page of a report (`preflight_report`, `whatif_report`)."""
    hosts = "\n".join(_host(host, report["findings"], index) for index, host in enumerate(report["hosts"]))
    made = f" Made <time>{text(report['made_at'])}</time>." if report.get("made_at") else ""
    known = {host["host"] for host in report["hosts"]}
    others = _findings([finding for finding in report["findings"] if finding["host"] not in known])
    rest = f'<section class="card" aria-label="Other findings">{others}</section>' if others else ""
    body = f"""<header>
<h1>Memory budgets of the fleet</h1>
<p>What each Mac has to hold when its models are loaded, and what it can give.{made}
All figures are GB of 10<sup>9</sup> bytes; memory is sold in GiB of 2<sup>30</sup>.</p>
{legend()}
</header>
{hosts or '<p class="card">No Mac in this report.</p>'}
{rest}"""
    return document("Memory budgets of the fleet", STYLE, body)


def legend() -> str:
    """Return what the colours, patterns and lines of the bars mean."""
    parts = "".join(
        f'<li><svg class="swatch" width="22" height="14" aria-hidden="true"><rect class="{part}" width="22" height="14" rx="2"/>'
        f"</svg>{words}</li>"
        for part, words in PART_WORDS.items()
    )
    hatched = (
        '<li><svg class="swatch" width="22" height="14" aria-hidden="true"><rect class="weights" width="22" height="14" rx="2"/>'
        '<rect class="hatch" width="22" height="14" rx="2"/></svg>on demand, worst case</li>'
    )
    lines = "".join(
        f'<li><svg class="swatch" width="22" height="14" aria-hidden="true"><line class="limit {kind}" x1="11" x2="11" y2="14"/>'
        f"</svg>{words}</li>"
        for kind, words in LINE_WORDS.items()
    )
    over = (
        '<li><svg class="swatch" width="22" height="14" aria-hidden="true"><rect class="over" y="4" width="22" height="7"/>'
        "</svg>too much</li>"
    )
    return f'<ul class="legend" aria-label="Legend">{parts}{hatched}{lines}{over}</ul>'


def _host(host: Mapping[str, Any], findings: Sequence[Mapping[str, Any]], index: int) -> str:
    own = [finding for finding in findings if finding["host"] == host["host"]]
    severity = next((name for name in ("error", "warning", "note") if any(one["severity"] == name for one in own)), "")
    system = "" if host["macos_major"] is None else f", macOS {host['macos_major']}"
    drawing = picture(host)
    drawn = bars(host, drawing, index) if drawing else "<p>The memory of this Mac is unknown, so there is nothing to draw.</p>"
    return f"""<section class="card" aria-labelledby="host-{index}">
<div class="head"><h2 id="host-{index}">{text(host["host"])}</h2>
<span class="verdict {severity or "note"}">{VERDICTS[severity]}</span>
<p>{text(memory_words(host))}{system}</p></div>
{_statistics(host)}
{drawn}
{_table(host)}
{_answers(host)}
{_findings(own)}
</section>"""


def _statistics(host: Mapping[str, Any]) -> str:
    head = host["headroom_bytes"]
    room = "?" if head is None else f"{head / GB:.1f}"
    shown = [
        ("residents", gb(host["resident_bytes"])),
        ("RAM budget", gb(host["ram_budget_bytes"])),
        ("left of it", room),
        ("GPU limit", gb(host["gpu_budget_bytes"])),
    ]
    items = "".join(f"<div><dt>{words}</dt><dd>{figure} <small>GB</small></dd></div>" for words, figure in shown)
    return f'<dl class="figures">{items}</dl>'


def bars(host: Mapping[str, Any], drawing: Picture, index: int) -> str:
    """Return the bars of a Mac, one below the other on one scale; `index` tells its names from those of other Macs."""
    models = dict(numbered(host))
    lanes = "\n".join(_lane(host, lane, drawing, models, index) for lane in drawing.lanes)
    axis = "".join(
        f'<line class="tick" x1="{x:.4f}%" x2="{x:.4f}%" y2="5"/>'
        f'<text x="{x:.4f}%" y="18" text-anchor="{"start" if x < 3 else "end" if x > 92 else "middle"}">'
        f"{size // GB}{' GB' if not size else ''}</text>"
        for size, x in drawing.ticks
    )
    return f"""<figure>
{lanes}
<svg class="axis" width="100%" height="22" aria-hidden="true"><line class="tick" x1="0" x2="100%" y1="0.5" y2="0.5"/>{axis}</svg>
</figure>"""


def _lane(host: Mapping[str, Any], lane: Lane, drawing: Picture, models: Mapping[int, Mapping[str, Any]], index: int) -> str:
    """Draw a bar. Places are percents and heights are pixels, so that texts keep their size on every width."""
    name = f"{lane.kind}-{index}"
    # Above the bar of what is loaded there is no limit to name.
    top, height = 4 if lane.kind == "loaded" else 20, 42 if lane.kind == "memory" else 30
    end = lane.lines[0].x if lane.kind == "gpu" and lane.lines else drawing.memory_x
    parts = [f'<rect class="track" x="0" y="{top}" width="{end:.4f}%" height="{height}" rx="3"/>']
    if lane.end > end:
        parts.append(f'<rect class="over" x="{end:.4f}%" y="{top + height + 2}" width="{lane.end - end:.4f}%" height="7"/>')
    parts += [_segment(segment, models, top, height) for segment in lane.segments]
    for line in lane.lines:
        side, shift = ("end", -5) if line.x > 55 else ("start", 5)
        parts.append(
            f'<line class="limit {line.kind}" x1="{line.x:.4f}%" x2="{line.x:.4f}%" y1="2" y2="{top + height + 9}"/>'
            f'<text class="limit" x="{line.x:.4f}%" dx="{shift}" y="13" text-anchor="{side}">'
            f"{LINE_WORDS[line.kind]} {gb(_limit(host, line.kind))} GB</text>"
        )
    # Last, so that no line runs through a number.
    parts += [_label(one, top + height // 2, lane.lines) for one in lane.segments if one.first and one.number]
    title = {"memory": "Memory", "gpu": "GPU", "loaded": "Loaded now"}[lane.kind]
    sentence, excess = _lane_sentence(host, lane)
    loud = f' <strong class="excess">{excess}</strong>' if excess else ""
    return f"""<p class="lane"><b>{title}</b> {sentence}{loud}</p>
<svg class="bar" width="100%" height="{top + height + 10}" role="img" aria-labelledby="{name}-title {name}-desc">
<title id="{name}-title">{title} of {text(host["host"])}</title>
<desc id="{name}-desc">{sentence} {excess} {_described(lane, models)}</desc>
{"".join(parts)}
</svg>"""


def _limit(host: Mapping[str, Any], kind: str) -> Optional[int]:
    size: Optional[int] = host["ram_budget_bytes" if kind == "budget" else "gpu_budget_bytes"]
    return size


def _segment(segment: Segment, models: Mapping[int, Mapping[str, Any]], top: int, height: int) -> str:
    words = LOADED_WORDS.get(segment.part) or PART_WORDS[segment.part]
    if segment.name:
        words = f"{segment.name}: {words}"
    elif segment.number:
        words = f"{segment.number}. {models[segment.number]['name']}: {words}{', on demand' if segment.on_demand else ''}"
    place = f'x="{segment.x:.4f}%" y="{top}" width="{segment.width:.4f}%" height="{height}"'
    shapes = f'<rect class="{segment.part}" {place}/>'
    if segment.on_demand:
        shapes += f'<rect class="hatch" {place}/>'
    return f"<g><title>{text(words)}, {_exact(segment.bytes)} GB</title>{shapes}</g>"


def _label(segment: Segment, middle: int, lines: Sequence[Line]) -> str:
    """Write the model's number, and the size of its weights, where there is room for them."""
    if segment.width < _BADGE_WIDE:
        return ""
    badge = "" if segment.width >= _BADGE else " wide"
    near = min((line.x - segment.x for line in lines if line.x > segment.x), default=100.0)
    room = min(segment.width, near)
    figure = "" if room >= _FIGURE else " wide" if room >= _FIGURE_WIDE else " none"
    return (
        f'<svg class="label{badge}" x="{segment.x:.4f}%" overflow="visible"><circle cx="13" cy="{middle}" r="8.5"/>'
        f'<text class="number" x="13" y="{middle + 4}" text-anchor="middle">{segment.number}</text>'
        + (f'<text class="figure{figure}" x="27" y="{middle + 4}">{gb(segment.bytes)}</text>' if figure != " none" else "")
        + "</svg>"
    )


def _exact(size: int) -> str:
    return f"{size / GB:.2f}"


def _lane_sentence(host: Mapping[str, Any], lane: Lane) -> tuple[str, str]:
    """Say in words what the bar shows, and by how much it is too long."""
    if lane.kind == "loaded":
        spilled = sum(segment.bytes for segment in lane.segments if segment.part == "spilled")
        total = sum(segment.bytes for segment in lane.segments)
        where = f"; {gb(spilled)} not on the GPU" if spilled else ""
        return f"{gb(total)} of {gb(host['memory_bytes'])} GB of memory{where}.", ""
    resident = sum(segment.bytes for segment in lane.segments if segment.number and not segment.on_demand)
    on_demand = sum(segment.bytes for segment in lane.segments if segment.on_demand)
    terms = [f"{gb(host['reserve_bytes'])} for macOS"] if lane.kind == "memory" else []
    terms.append(f"{gb(resident)} resident")
    if on_demand:
        terms.append(f"{gb(on_demand)} on demand at worst")
    total = sum(segment.bytes for segment in lane.segments)
    limit = host["memory_bytes"] if lane.kind == "memory" else host["gpu_budget_bytes"]
    of = {"memory": "of memory", "gpu": "for the GPU"}[lane.kind]
    sentence = f"{' + '.join(terms)}{f' = {gb(total)}' if len(terms) > 1 else ''} of {gb(limit)} GB {of}."
    over = 0 if limit is None else total - limit
    return sentence, f"{gb(over)} GB too much." if over >= GB // 20 else ""


def _described(lane: Lane, models: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the bar for whoever hears it: each segment in its order."""
    said = []
    for segment in lane.segments:
        words = LOADED_WORDS.get(segment.part) or PART_WORDS[segment.part]
        name = segment.name or (models[segment.number]["name"] if segment.number else "")
        owner = f"{text(name)} " if name else ""
        said.append(f"{owner}{words} {_exact(segment.bytes)} GB")
    return f"From the left: {'; '.join(said)}." if said else "The bar is empty."


_FIGURES = (
    ("weights_bytes", "weights"),
    ("kv_bytes", "KV cache"),
    ("compute_bytes", "compute"),
    ("vision_bytes", "vision"),
    ("process_bytes", "process"),
    ("prompt_cache_bytes", "prompt cache"),
    ("budget_bytes", "to budget"),
    ("expected_ps_bytes", "in ollama ps"),
)


def _table(host: Mapping[str, Any]) -> str:
    if not host["models"]:
        return "<p>No models are listed for this Mac.</p>"
    titles = ("model", "context", *(words for _, words in _FIGURES), "source")
    head = "".join(f'<th scope="col" role="columnheader">{words}</th>' for words in titles)
    rows = "".join(_row(number, model) for number, model in numbered(host))
    return (
        f'<table role="table"><caption>Models of {text(host["host"])}, GB</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>'
    )


def _row(number: int, model: Mapping[str, Any]) -> str:
    context = "?" if model["context"] is None else f"{model['context']:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    cells = [("context", f"{context}<small> {text(model['kv_type'] or '?')}</small>")]
    cells += [
        (words, f"<b>{gb(model[name])}</b>" if name == "budget_bytes" else (_exact_or_unknown(model[name])))
        for name, words in _FIGURES
    ]
    cells.append(("source", f"<small>{SOURCE_WORDS[model['source']]}</small>"))
    data = "".join(f'<td role="cell" data-label="{words}">{shown}</td>' for words, shown in cells)
    notes = "".join(f"<br><small>{text(note)}</small>" for note in model["notes"])
    return (
        f'<tr role="row" class="{model["role"]}"><th scope="row" role="rowheader"><div><span class="badge">{number}</span>'
        f"<span>{text(model['name'])}<br><small>{ROLE_WORDS[model['role']]}</small>{notes}</span></div></th>{data}</tr>"
    )


def _exact_or_unknown(size: Optional[int]) -> str:
    return "?" if size is None else _exact(size)


def _answers(host: Mapping[str, Any]) -> str:
    shown = []
    for answer in host.get("answers") or ():
        verdict = {True: "fits", False: "does not fit"}.get(answer["fits"], "cannot be judged")
        ways = "".join(f"<br><small>{text(way['sentence'])}</small>" for way in answer["would_fit"])
        why = f": {text(answer['why'])}" if answer["why"] else ""
        kind = {True: "note", False: "error"}.get(answer["fits"], "warning")
        name = text(answer["model"]["name"])
        shown.append(f'<li><span class="verdict {kind}">{verdict}</span> <span><b>{name}</b>{why}{ways}</span></li>')
    return f'<ul class="findings" aria-label="Answers">{"".join(shown)}</ul>' if shown else ""


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    shown = []
    for finding in findings:
        remedy = f"<br><small>{text(finding['remedy'])}</small>" if finding["remedy"] else ""
        shown.append(
            f'<li><span class="verdict {finding["severity"]}">{finding["severity"]}</span>'
            f" <span><b>{text(finding['item'])}</b>: {text(finding['why'])}{remedy}</span></li>"
        )
    return f'<ul class="findings" aria-label="Findings">{"".join(shown)}</ul>' if shown else ""
