"""The status page in a headless Chromium: quiet, self-contained, legible at any width, in light and dark, by ear and keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page.browser import DARK, MISSING, Browse, Site, browsing, console, measured, served
from tests.unit.status_samples import FLEETS

if MISSING:
    pytest.skip("no Chromium on this machine; CI has one", allow_module_level=True)

# Opens what is folded, looks through the page in a frame of the width that the address asks for, and leaves the result as text.
FRAME = r"""<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><meta name="color-scheme" content="light dark">
<body style="margin:0"><script>
const [name, wide] = location.search.slice(1).split(",");
const width = Number(wide);
const frame = document.createElement("iframe");
frame.style.cssText = `border:0;width:${width}px;height:900px`;
frame.onload = () => {
  const inner = frame.contentWindow, doc = frame.contentDocument, problems = [], outside = [], overlaps = [];
  const folded = doc.querySelectorAll("details:not([open])").length;
  for (const one of doc.querySelectorAll("details")) one.open = true;
  const style = (element) => inner.getComputedStyle(element);
  const visible = (element) => element.getClientRects().length && style(element).visibility !== "hidden"
    && !element.closest("title, desc, svg.defs") && style(element).display !== "none";
  const clipped = (element) => element.closest("thead") && style(element.closest("thead")).position === "absolute";

  // Colours. Texts that are written over the bars have a badge or an outline of their own.
  const parse = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const over = (top, under) => {
    const alpha = top[3] === undefined ? 1 : top[3];
    return [0, 1, 2].map((index) => top[index] * alpha + under[index] * (1 - alpha));
  };
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(style(one).backgroundColor);
      if (colour.length && colour[3] !== 0) { layers.push(colour); if (colour[3] === undefined) break; }
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((value) => value / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };

  let texts = 0, lowest = 21;
  const walk = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, holder = node.parentElement;
    if (!node.data.trim() || !visible(holder)) continue;
    const range = doc.createRange();
    range.selectNodeContents(node);
    const card = holder.closest(".card"), cardBox = card && card.getBoundingClientRect();
    for (const box of clipped(holder) ? [] : range.getClientRects()) {
      texts += 1;
      const right = card ? cardBox.right : width, left = card ? cardBox.left : 0;
      if (box.left < left - 0.5 || box.right > right + 0.5) outside.push([node.data.slice(0, 60), box.left, box.right]);
    }
    if (holder.closest(".label")) continue;
    const ink = parse(holder.closest("svg") ? style(holder).fill : style(holder).color), behind = ground(holder);
    const found = contrast(over(ink, behind), behind);
    lowest = Math.min(lowest, found);
    if (found < 4.5) problems.push(`contrast ${found.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
  }
  for (const one of doc.querySelectorAll(".label .number")) {
    const found = contrast(parse(style(one).fill), parse(style(one.closest(".label").querySelector("circle")).fill));
    if (found < 4.5) problems.push(`contrast ${found.toFixed(2)}: number ${one.textContent}`);
  }
  for (const picture of doc.querySelectorAll("svg.bar, svg.axis")) {
    const own = [...picture.querySelectorAll("text")].filter(visible).map((one) => [one, one.getBoundingClientRect()]);
    for (const [first, a] of own) for (const [second, b] of own)
      if (first !== second && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
        overlaps.push([first.textContent, second.textContent]);
  }
  // Cells of a line beside each other.
  for (const line of doc.querySelectorAll("tbody tr")) {
    const own = [...line.querySelectorAll("th, td")].filter(visible).map((one) => one.getBoundingClientRect());
    for (const a of own) for (const b of own)
      if (a !== b && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        overlaps.push([line.textContent.slice(0, 40), a.left, b.left]);
  }

  // What a reader of the screen and a keyboard need.
  if (!doc.documentElement.lang) problems.push("no lang");
  if (!doc.title.trim()) problems.push("no title");
  if (doc.querySelectorAll("main").length !== 1) problems.push("not one main");
  const headings = [...doc.querySelectorAll("h1, h2, h3, h4, h5, h6")];
  const levels = headings.map((one) => [Number(one.tagName[1]), one.textContent.trim()]);
  if (levels.filter(([level]) => level === 1).length !== 1) problems.push("not one h1");
  levels.forEach(([level, words], index) => {
    if (!words) problems.push("an empty heading");
    if (level > (index ? levels[index - 1][0] : 0) + 1) problems.push(`heading order: ${words}`);
  });
  const ids = [...doc.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids.filter((one, index) => ids.indexOf(one) !== index))) problems.push(`duplicate id ${id}`);
  const named = (element) => (element.getAttribute("aria-label") || "").trim()
    || (element.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean)
        .map((id) => (doc.getElementById(id) || {}).textContent || "").join(" ").trim();
  for (const one of doc.querySelectorAll("section, nav, aside, svg[role=img], [role=region]"))
    if (!named(one)) problems.push(`no name: ${one.outerHTML.slice(0, 60)}`);
  for (const one of doc.querySelectorAll("[aria-labelledby]"))
    for (const id of one.getAttribute("aria-labelledby").split(" "))
      if (!doc.getElementById(id)) problems.push(`no element ${id}`);
  for (const one of doc.querySelectorAll("svg"))
    if (!one.closest("[aria-hidden=true], [role=img]")) problems.push(`a picture without a role: ${one.outerHTML.slice(0, 60)}`);
  for (const one of doc.querySelectorAll("img")) if (!one.alt) problems.push("an image without a name");
  for (const table of doc.querySelectorAll("table")) {
    if (!table.querySelector("caption")) problems.push("a table without a caption");
    for (const one of table.querySelectorAll("th")) if (!one.scope) problems.push(`a header without scope: ${one.textContent}`);
    for (const one of table.querySelectorAll("thead th")) if (!one.textContent.trim()) problems.push("an empty header");
    for (const one of table.querySelectorAll("tbody td")) if (!one.dataset.label) problems.push("a cell without a label");
  }
  for (const one of doc.querySelectorAll("a")) {
    if (!one.textContent.trim()) problems.push("an empty link");
    const end = doc.getElementById((one.getAttribute("href") || "").slice(1));
    if (!end) problems.push(`a link that leads nowhere: ${one.outerHTML}`);
  }
  for (const one of doc.querySelectorAll("a, summary")) if (one.tabIndex !== 0) problems.push("not in the order of the keyboard");
  for (const one of doc.querySelectorAll("details")) if (!one.querySelector("summary")) problems.push("details without summary");
  if (doc.querySelector("script, [onclick], [onload], iframe, object, form")) problems.push("something active");
  for (const one of doc.querySelectorAll("[src], [href]")) {
    const to = one.getAttribute("src") || one.getAttribute("href");
    if (!to.startsWith("#") && !to.startsWith("data:")) problems.push(`leads outside: ${to}`);
  }
  // A badge says with a word what its colour says.
  for (const one of doc.querySelectorAll(".verdict")) if (!one.textContent.trim()) problems.push("a badge without a word");

  document.body.textContent = "MEASURED" + JSON.stringify({
    texts, outside, overlaps, problems: [...new Set(problems)], lowest, folded, scroll: doc.documentElement.scrollWidth,
    bars: doc.querySelectorAll("svg.bar").length,
    resources: inner.performance.getEntriesByType("resource").map((one) => one.name).filter((one) => !one.startsWith("data:")),
    ground: style(doc.body).backgroundColor, ink: style(doc.body).color,
    header: doc.querySelector("thead") && style(doc.querySelector("thead")).position,
  }).replaceAll("<", "(") + "END";
};
frame.src = name + ".html";
document.body.append(frame);
</script>"""

FAULTY = """<!DOCTYPE html><style>p { color: #999; background: #fff }</style>
<main><h1>One</h1><h3 id="a">Three</h3><h2 id="a"></h2><p>pale</p><section><p>no name</p></section>
<svg role="img" width="9" height="9" aria-labelledby="nothing"></svg><svg width="9" height="9"></svg><img>
<table><thead><tr><th></th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>
<a href="#nowhere">x</a><span class="verdict"></span><p style="width: 3000px; text-align: right">far away</p></main>"""
FOUND_FAULTS = (
    "no lang", "no title", "heading order: Three", "an empty heading", "duplicate id a", "contrast 2.85: pale", "no name: ",
    "no element nothing", "a picture without a role", "an image without a name", "a table without a caption",
    "a header without scope", "an empty header", "a cell without a label", "a link that leads nowhere", "a badge without a word",
)  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    pages = {f"/{name}.html": made()["html"] for name, made in FLEETS.items()}
    with served({**pages, "/frame.html": FRAME, "/faulty.html": FAULTY}) as made:
        yield made


@pytest.fixture
def browse(site: Site, tmp_path: Path) -> Browse:
    return browsing(site, tmp_path)


@pytest.mark.parametrize("fleet", ["drifted", "hostile", "empty"])
def test_the_page_says_nothing_on_the_console_and_asks_for_nothing(browse: Browse, fleet: str) -> None:
    done, asked = browse(f"{fleet}.html", "--dump-dom")
    assert "Status of the fleet" in done.stdout
    assert console(done) == []
    assert asked == [f"/{fleet}.html"]


def test_faults_are_found(browse: Browse) -> None:
    found = measured(browse("frame.html?faulty,800", "--dump-dom", "--window-size=1500,1000")[0])
    missing = [fault for fault in FOUND_FAULTS if not any(one.startswith(fault) for one in found["problems"])]
    assert missing == []
    assert found["outside"]
    assert found["scroll"] > 800


@pytest.mark.parametrize(
    ("fleet", "width"),
    [
        *(("drifted", width) for width in (320, 360, 759, 760, 1001, 1400)),
        *(("hostile", width) for width in (320, 760, 1001)),
        ("half", 360),
        ("twenty", 760),
    ],
)
def test_it_can_be_read_at_every_width(browse: Browse, fleet: str, width: int) -> None:
    done, asked = browse(f"frame.html?{fleet},{width}", "--dump-dom", "--window-size=1500,1000")
    found = measured(done)
    assert found["texts"] > 60
    assert found["outside"] == []
    assert found["overlaps"] == []
    assert found["problems"] == []
    assert found["scroll"] <= width
    assert found["resources"] == []
    assert set(asked) == {"/frame.html", f"/{fleet}.html"}
    # On a phone the lines of the tables are cards, and their headers are there for the ear alone.
    assert found["header"] == ("absolute" if width < 760 else "static")


@pytest.mark.parametrize("fleet", ["drifted", "hostile", "half", "dead", "empty"])
def test_it_can_be_read_in_light_and_dark(browse: Browse, fleet: str) -> None:
    light, dark = (measured(browse(f"frame.html?{fleet},1024", "--dump-dom", *flags)[0]) for flags in ((), (DARK,)))
    assert light["problems"] == dark["problems"] == []
    assert light["outside"] == dark["outside"] == []
    assert light["ground"] != dark["ground"]
    assert light["ink"] != dark["ink"]
    assert 4.5 <= min(light["lowest"], dark["lowest"]) < 21


def test_there_is_a_bar_of_what_is_loaded_for_each_mac_that_was_asked(browse: Browse) -> None:
    found = measured(browse("frame.html?half,1024", "--dump-dom")[0])
    assert found["bars"] == 3
    assert found["folded"] == 3


def test_it_is_painted(browse: Browse, tmp_path: Path) -> None:
    sizes = []
    for number, flags in enumerate(((), (DARK,))):
        file = tmp_path / f"{number}.png"
        browse("drifted.html", f"--screenshot={file}", "--window-size=1180,1800", *flags)
        sizes.append(file.read_bytes())
    assert all(len(content) > 60_000 for content in sizes)
    assert sizes[0] != sizes[1]
