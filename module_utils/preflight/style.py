"""How the budget page looks. Every part of a bar has a colour and a pattern, so that neither is needed to tell them apart.

Colours are chosen for 4.5:1 of text and 3:1 of shapes against their ground, in light and in dark.
"""

from __future__ import annotations

STYLE = """
:root {
  --ground: #f4f5f7; --card: #ffffff; --ink: #1b1f24; --soft: #57606a; --edge: #d5dae0; --track: #e6e9ed;
  --reserve: #8b949e; --reserve-mark: #6a737d; --weights: #1f5fae; --kv: #c05c00; --kv-mark: #ffd9ad;
  --compute: #0a7f5c; --compute-mark: #c9f2e3; --vision: #00707f; --vision-mark: #b8ecf2;
  --process: #6b4f8f; --cache: #a5307f; --cache-mark: #ffd3ef;
  --hatch: #ffffff; --limit: #1b1f24; --gpu: #b4000f; --over: #c62828; --over-mark: #ffd9d9;
  --on-part: #ffffff; --badge: #ffffff; --on-badge: #143f75;
  --good: #0b6b34; --good-ground: #e1f5e8; --care: #7a4b00; --care-ground: #fff0cf; --bad: #a40e16; --bad-ground: #ffe3e3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e1116; --card: #171b22; --ink: #e8ecf1; --soft: #a3adb8; --edge: #303842; --track: #272e37;
    --reserve: #5d6773; --reserve-mark: #8b96a3; --weights: #2f70c5; --kv: #e08a2e; --kv-mark: #5c2f00;
    --compute: #2fae85; --compute-mark: #06402d; --vision: #2ba9ba; --vision-mark: #04363d;
  --process: #a88bd0; --cache: #d66bb3; --cache-mark: #571443;
    --hatch: #171b22; --limit: #f2f5f8; --gpu: #ff8a8a; --over: #ff7b7b; --over-mark: #4a1f24;
    --on-part: #ffffff; --badge: #e8ecf1; --on-badge: #143f75;
    --good: #7ee2a8; --good-ground: #12351f; --care: #ffd27a; --care-ground: #3d2c06; --bad: #ffb0b0; --bad-ground: #4a1519;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
  -webkit-text-size-adjust: 100%; font-variant-numeric: tabular-nums; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0; }
p { margin: 0; }
h2, tbody th, .findings li > span + span { overflow-wrap: anywhere; min-width: 0; }
time { white-space: nowrap; }
small { font-size: 0.8125rem; color: var(--soft); }
header p { color: var(--soft); max-width: 46em; }
.defs { position: absolute; width: 0; height: 0; overflow: hidden; }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: 12px; padding: 22px 24px; margin-top: 22px; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 6px 20px; margin: 16px 0 0; padding: 0; font-size: 0.875rem; }
.legend li { display: flex; align-items: center; gap: 8px; }
.swatch { flex: none; }
.head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 12px; }
.head p { flex-basis: 100%; color: var(--soft); }
.verdict { font-size: 0.8125rem; font-weight: 600; border-radius: 999px; padding: 1px 10px; white-space: nowrap; }
.note { color: var(--good); background: var(--good-ground); }
.warning { color: var(--care); background: var(--care-ground); }
.error { color: var(--bad); background: var(--bad-ground); }
.figures { display: flex; flex-wrap: wrap; gap: 10px 40px; margin: 14px 0 18px; }
.figures dt { font-size: 0.8125rem; color: var(--soft); }
.figures dd { margin: 0; font-size: 1.375rem; font-weight: 600; line-height: 1.2; }
figure { margin: 0 0 18px; }
.lane { font-size: 0.875rem; color: var(--soft); margin-top: 10px; }
.excess { color: var(--bad); }
.lane b { color: var(--ink); margin-right: 6px; }
.bar, .axis { display: block; overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); }
.bar text.limit { font-weight: 600; fill: var(--ink); }
.track { fill: var(--track); }
.bar rect { shape-rendering: crispEdges; }
.bar .weights, .bar .kv, .bar .compute, .bar .vision, .bar .process, .bar .prompt_cache {
  stroke: var(--card); stroke-width: 0.75px; }
.reserve { fill: url(#reserve); }
.weights { fill: var(--weights); }
.kv { fill: url(#kv); }
.compute { fill: url(#compute); }
.vision { fill: url(#vision); }
.process { fill: var(--process); }
.prompt_cache { fill: url(#prompt_cache); }
.hatch { fill: url(#hatch); }
.over { fill: url(#over); }
line.limit { stroke: var(--limit); stroke-width: 2.5px; }
line.limit.gpu { stroke: var(--gpu); stroke-dasharray: 5 3; }
.tick { stroke: var(--soft); stroke-width: 1px; }
.label circle { fill: var(--badge); }
.label .number { fill: var(--on-badge); font-weight: 700; }
.label .figure { fill: var(--on-part); font-weight: 600; paint-order: stroke; stroke: var(--weights); stroke-width: 3px; }
.wide { display: none; }
table { width: 100%; border-collapse: collapse; font-size: 0.875rem; }
caption { text-align: left; color: var(--soft); padding-bottom: 4px; }
th, td { padding: 7px 0 7px 12px; text-align: right; vertical-align: baseline; border-top: 1px solid var(--edge); }
thead th { font-weight: 500; color: var(--soft); border-top: 0; font-size: 0.8125rem; vertical-align: bottom; }
th:first-child, tbody th { text-align: left; padding-left: 0; }
td:last-child, thead th:last-child { text-align: left; }
td { white-space: nowrap; }
td:last-child { white-space: normal; }
tbody th { font-weight: 600; width: 30%; }
tbody th div { display: flex; gap: 8px; align-items: baseline; }
tbody th small { font-weight: 400; }
.badge { flex: none; width: 20px; height: 20px; border-radius: 50%; background: var(--weights); color: #ffffff;
  font-size: 0.75rem; font-weight: 700; line-height: 20px; text-align: center; }
.candidate .badge { background: none; color: var(--soft); box-shadow: inset 0 0 0 1px var(--soft); }
.findings { list-style: none; margin: 16px 0 0; padding: 0; font-size: 0.9375rem; }
.findings li { display: flex; gap: 10px; align-items: baseline; padding: 8px 0; border-top: 1px solid var(--edge); }
@media (min-width: 760px) { .wide { display: inline; } }
@media (max-width: 759px) {
  main { padding: 22px 12px 32px; }
  .card { padding: 16px 14px; border-radius: 10px; }
  .figures { display: grid; grid-template-columns: 1fr 1fr; }
  table, tbody, caption { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: grid; grid-template-columns: 1fr 1fr; column-gap: 20px; padding: 10px 0;
    border-top: 1px solid var(--edge); }
  tbody th { grid-column: 1 / -1; border: 0; padding: 0 0 4px; width: auto; }
  tbody td, tbody td:last-child { border: 0; padding: 1px 0; text-align: right; display: flex; justify-content: space-between;
    gap: 8px; align-items: baseline; }
  tbody td::before { content: attr(data-label); color: var(--soft); font-size: 0.8125rem; }
  .findings li { flex-direction: column; gap: 4px; }
}
@media print { body { background: none; } .card { break-inside: avoid; } }
"""

DEFINITIONS = """<svg class="defs" aria-hidden="true" focusable="false"><defs>
<pattern id="reserve" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="var(--reserve)"/>
<path d="M0 0L6 6M6 0L0 6" stroke="var(--reserve-mark)" stroke-width="1"/></pattern>
<pattern id="kv" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="6" height="6" fill="var(--kv)"/><rect width="1.6" height="6" fill="var(--kv-mark)"/></pattern>
<pattern id="compute" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="var(--compute)"/>
<circle cx="3" cy="3" r="1.2" fill="var(--compute-mark)"/></pattern>
<pattern id="vision" width="7" height="7" patternUnits="userSpaceOnUse"><rect width="7" height="7" fill="var(--vision)"/>
<rect x="2" y="2" width="3" height="3" fill="none" stroke="var(--vision-mark)"/></pattern>
<pattern id="prompt_cache" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="var(--cache)"/>
<rect width="6" height="1.5" fill="var(--cache-mark)"/></pattern>
<pattern id="hatch" width="10" height="10" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">
<rect width="4.5" height="10" fill="var(--hatch)" fill-opacity="0.62"/></pattern>
<pattern id="over" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="8" height="8" fill="var(--over)"/><rect width="1.5" height="8" fill="var(--over-mark)"/></pattern>
</defs></svg>"""
