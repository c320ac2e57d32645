"""The budget page in a headless Chromium: quiet, self-contained, legible on a phone, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils.preflight.page import page
from ansible.module_utils.preflight.report import preflight_report

from tests.page.browser import DARK, MISSING, Browse, Site, browsing, console, measured, served
from tests.unit.report.samples import FINDINGS, GB, GIB, macbook, mini, model, unknown

if MISSING:
    pytest.skip("no Chromium on this machine; CI has one", allow_module_level=True)

# Measures the page in a frame of the width that the address asks for, and leaves the result as the text of its own body.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body style="margin:0"><script>
const width = Number(location.search.slice(1));
const frame = document.createElement("iframe");
frame.style.cssText = `border:0;width:${width}px;height:900px`;
frame.onload = () => {
  const inner = frame.contentWindow, doc = frame.contentDocument, outside = [], overlaps = [];
  const walk = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  const visible = (element) => !element.closest("title, desc, thead") && inner.getComputedStyle(element).display !== "none"
    && element.getClientRects().length;
  while (walk.nextNode()) {
    const node = walk.currentNode;
    if (!node.data.trim() || !visible(node.parentElement)) continue;
    const range = doc.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      texts += 1;
      if (box.left < -0.5 || box.right > width + 0.5) outside.push([node.data.slice(0, 60), box.left, box.right]);
    }
  }
  for (const picture of doc.querySelectorAll("svg.bar, svg.axis")) {
    const own = [...picture.querySelectorAll("text")].filter(visible).map((one) => [one, one.getBoundingClientRect()]);
    for (const [first, a] of own) for (const [second, b] of own)
      if (first !== second && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
        overlaps.push([first.textContent, second.textContent]);
    const frameBox = picture.getBoundingClientRect();
    for (const rect of picture.querySelectorAll("rect, line, circle")) {
      const box = rect.getBoundingClientRect();
      if (box.left < frameBox.left - 2 || box.right > frameBox.right + 2) outside.push([rect.outerHTML, box.left, box.right]);
    }
  }
  const bars = [...doc.querySelectorAll("svg.bar g > rect:not(.hatch)")].map((one) => one.getBoundingClientRect().width);
  document.body.textContent = "MEASURED" + JSON.stringify({
    texts, outside, overlaps, bars, scroll: doc.documentElement.scrollWidth,
    resources: inner.performance.getEntriesByType("resource").map((one) => one.name).filter((one) => !one.startsWith("data:")),
    ground: inner.getComputedStyle(doc.body).backgroundColor, ink: inner.getComputedStyle(doc.body).color,
    fills: ["weights", "process"].map((one) => inner.getComputedStyle(doc.querySelector(".bar ." + one)).fill),
    badges: [...doc.querySelectorAll(".label")].filter(visible).length,
  }) + "END";
};
frame.src = "budget.html";
document.body.append(frame);
</script>"""


def fleet() -> str:
    """Return the page of the owner's fleet, with a Mac on which everything is too long, too large or too small."""
    extreme = {
        **mini(),
        "host": "a-mac-with-a-name-that-does-not-know-when-it-is-time-to-stop.example.internal",
        "worst_case_models": ["b" * 90],
        "models": [
            model("hf.co/" + "somebody-with-a-long-name/" + "x" * 120 + ":Q4_K_M", "resident", (3 * GB, 5, GB, GB, GB), 4 * GB),
            *(model(f"small{number}:1b", "resident", (GB // 3, GB // 9, 10**7, 10**7, 10**7), GB // 2) for number in range(6)),
            model("b" * 90, "on_demand", (400 * GB, 90 * GB, GB, GB, 8 * GIB), 490 * GB, vision=GIB, notes=["w" * 200]),
        ],
    }
    loud = {**FINDINGS[0], "host": extreme["host"], "severity": "error", "why": "z" * 300}
    made = preflight_report([mini(), macbook(), unknown(), extreme], [*FINDINGS, loud], "2026-08-24T09:00:00Z")
    return page(made)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Serve the page, the frame that measures it, and a page with faults."""
    faulty = "<!DOCTYPE html><title>x</title><script>console.error('seen')</script><img src=missing.png>"
    with served({"/budget.html": fleet(), "/frame.html": FRAME, "/faulty.html": faulty}) as made:
        yield made


@pytest.fixture
def browse(site: Site, tmp_path: Path) -> Browse:
    return browsing(site, tmp_path)


def test_the_page_says_nothing_on_the_console_and_asks_for_nothing(browse: Browse) -> None:
    done, asked = browse("budget.html", "--dump-dom")
    assert "Memory budgets of the fleet" in done.stdout
    assert console(done) == []
    assert asked == ["/budget.html"]


def test_a_page_with_faults_would_be_noticed(browse: Browse) -> None:
    done, asked = browse("faulty.html", "--dump-dom")
    assert any("seen" in line for line in console(done))
    assert "/missing.png" in asked


@pytest.mark.parametrize("width", [320, 360, 412, 759, 760, 1024, 1400])
def test_no_text_is_cut_off_or_written_over_another(browse: Browse, width: int) -> None:
    done, asked = browse(f"frame.html?{width}", "--dump-dom", "--window-size=1500,1000")
    found = measured(done)
    assert found["texts"] > 250
    assert found["outside"] == []
    assert found["overlaps"] == []
    assert found["scroll"] <= width
    assert found["resources"] == []
    assert set(asked) == {"/frame.html", "/budget.html"}
    assert all(bar >= 0 for bar in found["bars"])
    assert found["badges"] >= 4


def test_light_and_dark_differ(browse: Browse) -> None:
    light, dark = (measured(browse("frame.html?1024", "--dump-dom", *flags)[0]) for flags in ((), (DARK,)))
    assert light["ground"] == "rgb(244, 245, 247)"
    for part in ("ground", "ink", "fills"):
        assert light[part] != dark[part]


def test_it_is_painted(browse: Browse, tmp_path: Path) -> None:
    sizes = []
    for number, flags in enumerate(((), (DARK,))):
        file = tmp_path / f"{number}.png"
        browse("budget.html", f"--screenshot={file}", "--window-size=1180,1800", *flags)
        sizes.append(file.read_bytes())
    assert all(len(content) > 60_000 for content in sizes)
    assert sizes[0] != sizes[1]
