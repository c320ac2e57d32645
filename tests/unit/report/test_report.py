"""The reports hold to their schema, the table and the page to what they were given, whatever that is."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible.module_utils.fleet.architecture import from_catalogue, from_declared
from ansible.module_utils.fleet.memory_model import Mac, Plan, Settings, budget
from ansible.module_utils.fleet.shown import as_json
from ansible.module_utils.fleet.whatif import Place, what_if
from ansible.module_utils.preflight.page import page
from ansible.module_utils.preflight.picture import picture, ticks
from ansible.module_utils.preflight.report import (
    PARTS,
    host_of_budget,
    preflight_report,
    table,
    whatif_report,
)
from ansible.module_utils.preflight.style import STYLE
from hypothesis import given
from hypothesis import strategies as st

from .samples import FINDINGS, GB, GIB, macbook, mini, model, unknown

ROOT = Path(__file__).resolve().parents[3]
MADE = "2026-08-24T09:00:00Z"
HOSTILE = "</title><script>alert(1)</script>\x1b[2J\u202e\" onload='x' &amp; ]]> {{ x }}\n"

BYTES = st.none() | st.integers(0, 10**16) | st.sampled_from([1, GB, 16 * GIB, 10**12])
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just([]) | st.just({})
NAMES = st.text(max_size=30) | st.sampled_from(["qwen3:8b", HOSTILE])


def schema(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / f"schemas/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    return content


def valid(report: dict[str, Any], name: str = "preflight") -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(json.loads(as_json(report)))


def fleet() -> dict[str, Any]:
    return preflight_report([mini(), macbook(), unknown()], FINDINGS, MADE)


@st.composite
def hosts(draw: st.DrawFn, figures: st.SearchStrategy[Any] = BYTES) -> dict[str, Any]:
    """Draw a Mac of any figures."""
    keys = ("memory_bytes", "reserve_bytes", "ram_budget_bytes", "gpu_budget_bytes", "resident_bytes", "worst_case_bytes")
    names = draw(st.lists(NAMES, max_size=5))
    models = [
        {
            "name": name,
            "role": draw(st.sampled_from(["resident", "on_demand", "candidate", "other"])),
            "source": draw(NAMES),
            **{part: draw(figures) for part in (*PARTS, "expected_ps_bytes", "budget_bytes", "context")},
        }
        for name in names
    ]
    worst = draw(st.lists(st.sampled_from(names), max_size=2)) if names else []
    return {"host": draw(NAMES), "models": models, "worst_case_models": worst, **{key: draw(figures) for key in keys}}


# Data. --------------------------------------------------------------------------------------------------------------------


def test_the_fleet_holds_to_the_schema() -> None:
    report = fleet()
    valid(report)
    assert report["result"] == "errors"
    assert report["hosts"][0]["headroom_bytes"] == mini()["ram_budget_bytes"] - mini()["resident_bytes"]


@given(st.lists(hosts(), max_size=3), st.lists(st.fixed_dictionaries(dict.fromkeys(FINDINGS[0], ANYTHING)), max_size=3))
def test_any_figures_hold_to_the_schema(macs: list[dict[str, Any]], findings: list[dict[str, Any]]) -> None:
    valid(preflight_report(macs, findings))


@given(hosts(ANYTHING))
def test_what_is_no_figure_is_unknown_and_breaks_nothing(mac: dict[str, Any]) -> None:
    report = preflight_report([mac], [])
    valid(report)
    assert page(report)
    assert table(report)


def test_what_the_judgements_yield_is_what_the_report_takes() -> None:
    mac, settings = Mac("mini", 16 * GIB), Settings(kv_type="q8_0", cache_ram_mib=512)
    figures = {"weights_bytes": 5_225_388_164, "cpu_bytes": 350_060_544, "architecture": "qwen3", "block_count": 36}
    figures |= {"kv_heads": 8, "key_length": 128, "embedding_length": 4096, "head_count": 32, "feed_forward_length": 12288}
    plans = (Plan(from_catalogue("qwen3:8b", figures), resident=True), Plan(from_declared("big:1", 20 * GB)))
    made = budget(mac, settings, plans)
    collected = {"qwen3:8b": {"source": "registry", "digest": "500a", "problems": ["one."]}}
    host = host_of_budget(made.to_plain(), collected, macos_major=15)
    report = preflight_report([host], [])
    valid(report)
    (first,) = report["hosts"]
    assert (first["resident_bytes"], first["gpu_budget_bytes"]) == (made.residents_ram_bytes, made.gpu_budget_bytes)
    assert first["worst_case_models"] == ["big:1"]
    by_name = {one["name"]: one for one in first["models"]}
    assert (by_name["qwen3:8b"]["source"], by_name["qwen3:8b"]["digest"], by_name["big:1"]["source"]) == (
        "registry", "500a", "declared",
    )  # fmt: skip
    assert by_name["qwen3:8b"]["notes"] == ["one."]
    for one in first["models"]:
        assert sum(one[part] for part in PARTS) == one["budget_bytes"]
    (said,) = what_if(from_catalogue("qwen3:8b", figures), [Place(mac, settings, plans)], 8192)
    way = {"context": 4096, "kv_type": "q8_0", "sentence": "with q8_0 up to a context of 4096 it fits alone"}
    answer = {"model": {**said, "role": "candidate"}, "fits": said["fits_resident"], "why": said["verdict"], "would_fit": [way]}
    asked = whatif_report({"models": ["qwen3:8b"], "context": 8192}, [{**host, "answers": [answer]}], [], MADE)
    valid(asked, "whatif")
    assert "\n  qwen3:8b fits and can stay loaded" in table(asked)
    assert way["sentence"] in page(asked)


def test_two_runs_over_the_same_fleet_write_the_same_bytes() -> None:
    assert as_json(fleet()) == as_json(fleet())
    assert page(fleet()) == page(fleet())


# The table. ---------------------------------------------------------------------------------------------------------------


def test_the_table_names_every_model_its_figures_and_its_source() -> None:
    said = table(fleet())
    for word in ("mac-mini: 16 GiB = 17.2 GB", "budget 13.2", "GPU limit 10.4", "catalogue", "declared size", "14.8", "WARNING"):
        assert word in said
    rows = [line for line in said.splitlines() if re.match(r"  (qwen|gpt|dev|some)", line)]
    assert len(rows) == 8
    block = said.split("\n\n")[0].splitlines()[1:]
    assert len({line.index("registry") for line in block if "registry" in line}) == 1


@given(hosts())
def test_the_table_cannot_steer_a_terminal(mac: dict[str, Any]) -> None:
    said = table(preflight_report([mac], [{**FINDINGS[0], "why": HOSTILE}]))
    assert not [character for character in said if character != "\n" and ord(character) < 32]
    assert "\u202e" not in said


# The picture. -------------------------------------------------------------------------------------------------------------


@given(hosts())
def test_bars_and_lines_lie_within_the_picture(mac: dict[str, Any]) -> None:
    drawn = picture(preflight_report([mac], [])["hosts"][0])
    if drawn is None:
        assert not mac["memory_bytes"]
        return
    for lane in drawn.lanes:
        at = 0.0
        for segment in lane.segments:
            assert segment.width > 0
            assert segment.bytes > 0
            assert segment.x == pytest.approx(at)
            at = segment.x + segment.width
        assert at <= 100
        assert all(0 <= line.x <= 100 for line in lane.lines)
    assert 0 <= drawn.memory_x <= 100
    assert 1 <= len(drawn.ticks) <= 6
    assert all(0 <= x <= 100 for _, x in drawn.ticks)


def test_widths_add_up_to_what_the_models_take() -> None:
    for host in fleet()["hosts"][:2]:
        drawn = picture(host)
        assert drawn
        memory, gpu = drawn.lanes
        shown = [one for one in host["models"] if one["role"] == "resident" or one["name"] in host["worst_case_models"]]
        total = host["reserve_bytes"] + sum(one["budget_bytes"] for one in shown)
        assert sum(segment.bytes for segment in memory.segments) == total
        assert sum(segment.width for segment in memory.segments) == pytest.approx(total * drawn.memory_x / host["memory_bytes"])
        assert sum(segment.bytes for segment in gpu.segments) == sum(
            one["expected_ps_bytes"] + one["vision_bytes"] for one in shown
        )
        assert {segment.number for segment in memory.segments if segment.on_demand}.isdisjoint(
            {segment.number for segment in memory.segments if not segment.on_demand}
        )


@given(st.floats(GB, 1e18))
def test_ticks_are_few_round_and_rising(scale: float) -> None:
    places = [x for _, x in ticks(scale)]
    assert places == sorted(places)
    assert 2 <= len(places) <= 6


# The page. ----------------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects tags, and checks that they nest."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@given(st.lists(hosts(), max_size=2))
def test_the_page_is_well_formed_and_holds_no_script_and_no_address(macs: list[dict[str, Any]]) -> None:
    reader = read(page(preflight_report(macs, [{**FINDINGS[0], "why": HOSTILE, "host": HOSTILE}])))
    assert {tag for tag, _ in reader.tags} <= {
        "html", "head", "meta", "link", "title", "style", "body", "svg", "defs", "pattern", "rect", "path", "circle", "main",
        "header", "h1", "h2", "p", "sup", "ul", "li", "line", "section", "div", "span", "dl", "dt", "dd", "small", "figure", "b",
        "desc", "g", "text", "table", "caption", "thead", "tbody", "tr", "th", "td", "br", "strong", "time",
    }  # fmt: skip
    for tag, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style")], (tag, attributes)
        assert attributes.get("href", "data:,") == "data:,"
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_hostile_name_is_shown_and_does_nothing() -> None:
    host = mini()
    host["host"] = HOSTILE
    host["models"] = [model(HOSTILE, "resident", (GB, GB, GB, GB, GB), 3 * GB, notes=[HOSTILE])]
    text = page(preflight_report([host], [{**FINDINGS[0], "host": HOSTILE, "item": HOSTILE, "why": HOSTILE, "remedy": HOSTILE}]))
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<script>alert(1)</script>" in "".join(read(text).text)


def test_every_picture_has_a_title_and_a_description() -> None:
    reader = read(page(fleet()))
    ids = {attributes["id"] for _, attributes in reader.tags if attributes.get("id")}
    pictures = [attributes for tag, attributes in reader.tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(pictures) == 4
    for attributes in pictures:
        assert set(str(attributes["aria-labelledby"]).split()) <= ids
    hidden = [one for tag, one in reader.tags if tag == "svg" and one.get("class") in ("swatch", "defs", "axis")]
    assert all(one.get("aria-hidden") == "true" for one in hidden)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


LIGHT, DARK = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", part)) for part in STYLE.split("prefers-color-scheme: dark", 1))
TEXTS = [("ink", "ground"), ("ink", "card"), ("soft", "ground"), ("soft", "card"), ("bad", "card"), ("on-part", "weights")]
TEXTS += [("good", "good-ground"), ("care", "care-ground"), ("bad", "bad-ground"), ("on-badge", "badge")]
SHAPES = [(part, "card") for part in ("weights", "kv", "compute", "vision", "process", "cache", "limit", "gpu", "over")]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_have_enough_contrast(colours: dict[str, str]) -> None:
    assert set(LIGHT) == set(DARK)
    for one, other in TEXTS:
        assert contrast(colours[one], colours[other]) >= 4.5, (one, other)
    for one, other in SHAPES:
        assert contrast(colours[one], colours[other]) >= 3, (one, other)
