"""What the status page looks like beside what it shares with the page of the RAM budget."""

from __future__ import annotations

STYLE = """
.quiet { color: var(--ink); background: var(--track); }
.titled { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px; }
.state { font-size: 1rem; letter-spacing: 0; }
h3 { font-size: 1rem; line-height: 1.4; margin: 0; display: inline; }
h2 a, th a { color: inherit; text-decoration-thickness: 1px; text-underline-offset: 3px; }
.glance { margin-top: 12px; }
.glance tbody th { width: auto; min-width: 6em; max-width: 16em; }
.models td, .glance td:nth-child(4) { overflow-wrap: anywhere; }
.glance td { white-space: normal; }
.glance td:nth-child(3) { min-width: 5em; overflow-wrap: anywhere; }
.glance td:nth-child(4) { min-width: 7em; }
.glance td:nth-child(-n + 4), .glance th:nth-child(-n + 4), .glance td:nth-child(n + 9), .glance th:nth-child(n + 9) {
  text-align: left; }
.figures small, .models td:last-child { white-space: nowrap; }
.glance td:nth-child(2) { white-space: nowrap; }
.models tbody th { width: 40%; }
.reasons { margin-top: 12px; }
.calm { margin-top: 12px; color: var(--soft); }
.bar .loaded, .swatch .loaded { fill: var(--weights); stroke: var(--card); stroke-width: 0.75px; }
.bar .spilled, .swatch .spilled { fill: url(#over); stroke: var(--card); stroke-width: 0.75px; }
details { border-top: 1px solid var(--edge); padding: 10px 0 2px; margin-top: 12px; }
details + details { margin-top: 8px; }
summary { cursor: pointer; }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--gpu); outline-offset: 3px; border-radius: 3px; }
.facts { display: grid; grid-template-columns: minmax(9em, max-content) 1fr; gap: 6px 20px; margin: 12px 0 6px;
  font-size: 0.9375rem; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.plain { margin: 12px 0 6px; padding-left: 20px; font-size: 0.9375rem; overflow-wrap: anywhere; }
@media (min-width: 760px) and (max-width: 1000px) {
  .glance { font-size: 0.8125rem; }
  .glance th + th, .glance td { padding-left: 8px; }
  .glance tbody th { min-width: 5em; }
}
@media (max-width: 759px) {
  .glance tbody tr { grid-template-columns: 1fr; }
  .glance .nothing { display: none; }
  .glance tbody td::before { flex: none; }
  .glance tbody td, .models tbody td { white-space: normal; }
  .models tbody td:last-child { grid-column: 1 / -1; }
  .glance tbody td:nth-child(2) { justify-content: flex-start; padding-bottom: 4px; }
  .glance tbody td:nth-child(2)::before { content: none; }
  .glance tbody th { max-width: none; }
  .glance td > span, .models td > span { text-align: right; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 8px; }
}
"""
