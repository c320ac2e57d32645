"""What the healer does about a Mac: days of a small Mac, single looks, and laws that hold for every one."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace

import pytest
from ansible.module_utils.fleet.healing import (
    DAY,
    HOUR,
    PAUSES,
    RISE,
    Act,
    Done,
    History,
    Job,
    Limits,
    Policy,
    Rules,
    Sample,
    Settings,
    decide,
    from_json,
    passed,
    to_json,
)
from ansible.module_utils.fleet.models import Installed, Loaded
from ansible.module_utils.fleet.units import GB, MIB
from ansible.module_utils.fleet.vocabulary import Unknown
from hypothesis import given, settings
from hypothesis import strategies as st

QWEN = Installed("qwen3:8b", "500a", 5_200_000_000)
OSS = Installed("gpt-oss:20b", "17ee", 13_800_000_000)
TINY = Installed("tiny:latest", "c1e7", 900_000_000)
ALIAS = Installed("alias:latest", "c1e7", 900_000_000)
STORE = (QWEN, OSS, TINY, ALIAS)
MINI = Settings(Limits(8 * GB, 12 * GB, 6 * GB), ("qwen3:8b",))
LIMITLESS = Settings(Limits(), ("qwen3:8b",))


def loaded(model, *, pinned=False):
    return Loaded(model.name, model.digest, model.size, model.size, 4096, pinned)


def rules(base=MINI, **changes):
    return replace(base, rules=replace(base.rules, **changes))


@dataclass
class SmallMac:
    """16 GB, of which macOS and programs take 4: what does not fit goes to swap, fast; what left memory stays in swap, long."""

    memory: float = 16.0
    others: float = 4.0
    swap: float = 0.0
    uptime: float = 100.0
    models: dict = field(default_factory=lambda: {"500a": loaded(QWEN, pinned=True)})
    serves: str = "ok"
    job: object = Job(held=True, pid=77)

    def minute(self, seconds=60.0):
        """Let a minute pass: swap is written at up to 2 GB a minute, and a tenth of what is no longer needed comes back."""
        self.uptime += seconds
        need = self.others + sum(one.size for one in self.models.values()) / GB - self.memory
        if need > self.swap:
            self.swap = min(need, self.swap + 2.0 * seconds / 60)
        else:
            self.swap = max(need, self.swap * 0.9, 0.0)

    @property
    def pressure(self):
        short = self.others + sum(one.size for one in self.models.values()) / GB - self.memory - self.swap
        return 4 if short > 4 else 2 if short > 0 else 1

    def sample(self):
        up = self.serves == "ok"
        return Sample(
            uptime=self.uptime,
            swap=round(self.swap * GB),
            pressure=self.pressure,
            answer=self.serves,
            said="" if up else "[Errno 61] Connection refused",
            loaded=tuple(self.models.values()) if up else Unknown("no server"),
            installed=STORE if up else Unknown("no server"),
            job=Unknown("not asked") if up else self.job,
        )

    def obey(self, act):
        names = {model.name: model for model in STORE}
        if act.kind == "unload":
            self.models.pop(names[act.item].digest)
        elif act.kind == "load":
            for name in act.item.split(", "):
                self.models[names[name].digest] = loaded(names[name], pinned=True)
        else:
            self.models.clear()
            self.serves, self.job = "ok", Job(held=True, pid=self.job.pid + 1 if self.job.pid else 78)


def day(mac, wanted=MINI, minutes=1440, events=None, history=History()):  # noqa: B008  frozen
    """Run a day minute by minute; return the acts as (minute, kind, item), the alerts, the lines and the last history."""
    acts, alerts, lines = [], set(), []
    for minute in range(minutes):
        for event in (events or {}).get(minute, ()):
            event(mac)
        mac.minute()
        made = decide(mac.sample(), wanted, history)
        history = from_json(json.loads(json.dumps(to_json(made.history))))
        assert history == made.history
        lines += [line.said for line in made.lines]
        alerts |= {one.cause for one in made.alerts}
        for act in made.acts:
            acts.append((minute, act.kind, act.item))
            mac.obey(act)
    return acts, alerts, lines, history


def load(model, pinned=False):
    return lambda mac: mac.models.__setitem__(model.digest, loaded(model, pinned=pinned))


# Days. --------------------------------------------------------------------------------------------------------------------


def test_a_day_without_trouble_has_no_act_no_alert_and_a_line_an_hour():
    acts, alerts, lines, _ = day(SmallMac())
    assert (acts, alerts) == ([], set())
    assert len(lines) == 24
    assert all("in memory: qwen3:8b (5.2 GB)" in line for line in lines)


def test_the_story_of_gpt_oss_ends_with_the_resident_in_memory_and_swap_falling():
    """Kept loaded beside the resident it once drove this Mac 15.6 GB into swap."""
    mac = SmallMac(others=9.0)
    acts, alerts, lines, _ = day(mac, events={30: [load(OSS, pinned=True)]}, minutes=120)
    assert [act[1:] for act in acts] == [("unload", "gpt-oss:20b")]
    # It grows by 2 GB a minute under pressure: nobody waits for 8 GB.
    assert acts[0][0] <= 32
    assert list(mac.models) == ["500a"]
    assert mac.swap < 1
    assert "unload gpt-oss:20b" in alerts
    assert not alerts & {"swap-critical", "residents", "server"}
    assert any("memory is short" in line for line in lines)


def test_without_a_sign_of_growth_the_level_is_enough():
    # Slow: 0.2 GB a minute, and macOS reports no pressure.
    mac, history, acts = SmallMac(models={"500a": loaded(QWEN), "17ee": loaded(OSS)}), History(), []
    for minute in range(60):
        sample = replace(mac.sample(), swap=round(minute * 0.2 * GB), pressure=1, uptime=100.0 + minute * 60)
        made = decide(sample, rules(stay=DAY), history)
        history = made.history
        acts += [(minute, act) for act in made.acts]
        if made.acts:
            break
    ((minute, act),) = acts
    assert (minute, act.item) == (40, "gpt-oss:20b")
    assert act.why == "swap is 8.0 GB, the limit 8.0 GB"


def test_swap_that_stays_high_after_its_cause_has_gone_is_no_reason_for_more():
    """Swap is sticky. A small model that somebody uses meanwhile is left alone."""
    sticky = History(clock=5000, uptime=100, swap=9 * GB, over=("swap",), low=9 * GB,
                     acts=(Done(4000, "unload", "gpt-oss:20b", "memory"),), summary=5000)  # fmt: skip
    flat = Sample(160, 9 * GB, 1, "ok", "", (loaded(QWEN), loaded(TINY)), STORE)
    for look in range(60):
        made = decide(replace(flat, uptime=160 + look * 60), MINI, sticky)
        assert made.acts == ()
        sticky = made.history
    rising = decide(replace(flat, uptime=4000, swap=9 * GB + 2 * RISE), MINI, sticky)
    assert [act.item for act in rising.acts] == ["tiny:latest"]
    pressed = decide(replace(flat, uptime=4000, pressure=2), MINI, sticky)
    assert [act.item for act in pressed.acts] == ["tiny:latest"]
    falling = decide(replace(flat, uptime=4000, pressure=2, swap=8 * GB + 1), MINI, sticky)
    assert falling.acts == ()


def test_one_at_a_time_heaviest_first_and_residents_never():
    mac = SmallMac(others=18.0, models={one.digest: loaded(one) for one in (QWEN, OSS, TINY)})
    acts, alerts, _, _ = day(mac, minutes=60)
    assert [act[1:] for act in acts] == [("unload", "gpt-oss:20b"), ("unload", "tiny:latest")]
    assert acts[1][0] - acts[0][0] >= MINI.rules.cool_down / 60
    assert list(mac.models) == ["500a"]
    assert alerts == {"unload gpt-oss:20b", "unload tiny:latest"}


def test_over_critical_somebody_is_told_and_residents_stay():
    mac = SmallMac(others=26.0)
    acts, alerts, _, _ = day(mac, minutes=120)
    assert acts == []
    assert {"swap-critical", "memory"} <= alerts


def test_over_critical_residents_go_only_where_somebody_has_said_so_and_come_back_afterwards():
    mac = SmallMac(others=26.0)
    acts, _, _, history = day(mac, rules(unload_residents=True), minutes=120)
    assert [act[1:] for act in acts] == [("unload", "qwen3:8b")]
    assert history.hold
    mac.others, mac.swap = 4.0, 0.0
    acts, _, _, history = day(mac, rules(unload_residents=True), minutes=60, history=history)
    assert [act[1:] for act in acts] == [("load", "qwen3:8b")]
    assert not history.hold


def test_a_large_model_may_stay_a_quarter_of_an_hour():
    mac = SmallMac(memory=64.0)
    acts, _, _, _ = day(mac, events={10: [load(OSS)]}, minutes=60)
    assert acts == [(25, "unload", "gpt-oss:20b")]
    assert day(SmallMac(memory=64.0), rules(stay=5 * HOUR), events={10: [load(OSS)]}, minutes=60)[0] == []
    # A Mac without that limit has none, and a small model none anywhere.
    assert day(SmallMac(memory=64.0), LIMITLESS, events={10: [load(OSS)]}, minutes=60)[0] == []
    assert day(SmallMac(memory=64.0), events={10: [load(TINY)]}, minutes=60)[0] == []


@pytest.mark.parametrize(("word", "unloads", "tells"), [("strict", 1, False), ("warn", 0, True), ("off", 0, False)])
def test_a_policy_spares_a_model_with_a_reason(word, unloads, tells):
    wanted = replace(MINI, policies={"GPT-OSS:20b": Policy(word, "demo on Friday")})
    sample = Sample(1000, 0, 1, "ok", "", (loaded(QWEN), loaded(OSS)), STORE)
    made = decide(sample, wanted, History(uptime=50, seen={"17ee": 0}))
    assert len(made.acts) == unloads
    told = [one.text for one in made.alerts if one.cause == "heavy"]
    assert any("demo on Friday" in text for text in told) == tells


def test_a_policy_is_the_digests_whatever_the_name():
    wanted = replace(LIMITLESS, policies={"alias": Policy("off", "mine")})
    sample = Sample(1000, 0, 4, "ok", "", (loaded(QWEN), loaded(TINY)), STORE)
    assert decide(sample, wanted, History()).acts == ()


def test_residents_that_stay_away_are_loaded_when_memory_is_calm():
    mac = SmallMac()
    acts, alerts, _, _ = day(mac, events={10: [lambda mac: mac.models.clear()]}, minutes=60)
    assert acts == [(15, "load", "qwen3:8b")]
    assert "residents" not in alerts
    for trouble in ({"pressure": 2}, {"swap": 9 * GB}, {"swap": Unknown("odd")}, {"pressure": Unknown("odd")}):
        sample = replace(SmallMac(models={}).sample(), uptime=1000, **trouble)
        made = decide(sample, MINI, History(uptime=60, missing={"qwen3:8b": 0}))
        assert made.acts == ()
        assert "residents" in {one.cause for one in made.alerts}


def test_a_resident_that_is_not_installed_is_for_a_person():
    sample = replace(SmallMac(models={}).sample(), uptime=1000, installed=())
    made = decide(sample, MINI, History(uptime=60, missing={"qwen3:8b": 0}))
    assert made.acts == ()
    assert any("not installed: qwen3:8b" in one.text for one in made.alerts)


# The server. --------------------------------------------------------------------------------------------------------------


def restarts(acts):
    return [minute for minute, kind, _ in acts if kind == "restart"]


class Stubborn(SmallMac):
    """A server that no restart brings back."""

    def obey(self, act):
        if act.kind != "restart":
            super().obey(act)
        else:
            self.job = Job(held=True, pid=self.job.pid + 1)


@pytest.mark.parametrize("answer", ["refused", "silent"])
def test_a_server_that_is_gone_is_started_once_and_that_is_enough(answer):
    mac = SmallMac()
    acts, alerts, _, _ = day(mac, events={10: [lambda mac: setattr(mac, "serves", answer)]}, minutes=60)
    assert acts[0] == (12, "restart", "the server")
    assert [act[1:] for act in acts[1:]] == [("load", "qwen3:8b")]
    assert "server" in alerts


def test_a_server_that_stays_away_is_started_ever_more_seldom_and_then_left_to_a_person():
    acts, alerts, _, _ = day(Stubborn(serves="refused"), minutes=1430)
    times = restarts(acts)
    assert len(times) == MINI.rules.restarts_per_day
    gaps = [(later - earlier) * 60 for earlier, later in itertools.pairwise(times)]
    assert all(gap >= pause for gap, pause in zip(gaps, (PAUSES[1], PAUSES[2], PAUSES[2]), strict=True))
    assert "server" in alerts


def test_any_answer_is_an_answer():
    """A queue that is full is a 503, and a Mac that swaps answers late; none of it is a reason to lose every model."""
    acts, alerts, _, _ = day(SmallMac(serves="odd"), minutes=600)
    assert acts == []
    assert "server" not in alerts


def test_a_server_that_somebody_took_down_stays_down():
    mac = SmallMac(serves="refused", job=Job(held=False))
    acts, alerts, lines, history = day(mac, minutes=300)
    assert acts == []
    assert alerts == {"server-down"}
    assert sum("not loaded in launchd" in line for line in lines) == 1
    # And once it is back it may start in peace.
    mac.job = Job(held=True, pid=9)
    assert restarts(day(mac, minutes=2, history=history)[0]) == []


def test_a_server_that_launchd_starts_again_and_again_is_left_to_launchd():
    mac, history, acts = SmallMac(serves="refused"), History(), []
    for minute in range(120):
        mac.job = Job(held=True, pid=100 + minute)
        mac.minute()
        made = decide(mac.sample(), MINI, history)
        history, acts = made.history, [*acts, *made.acts]
    assert acts == []
    assert any(one.cause == "server" for one in made.alerts)


def test_what_launchd_says_must_be_known():
    acts, alerts, _, _ = day(SmallMac(serves="silent", job=Unknown("no launchctl")), minutes=100)
    assert (acts, alerts) == ([], {"server"})


def test_restarts_can_be_switched_off():
    acts, alerts, _, _ = day(SmallMac(serves="silent"), rules(restart=False), minutes=100)
    assert (acts, alerts) == ([], {"server"})


# Time, and what is kept. --------------------------------------------------------------------------------------------------


def test_only_what_has_surely_passed_counts():
    sample = Sample(500, 0, 1, "ok")
    assert passed(sample, History()) == 0
    assert passed(sample, History(uptime=440)) == 60
    # Started anew half a second ago, whatever the calendar says.
    assert passed(replace(sample, uptime=0.5), History(uptime=9000)) == 0.5


def test_a_state_whose_times_lie_ahead_delays_and_never_hurries():
    ahead = History(clock=100, uptime=50, acts=(Done(9e9, "unload", "x", "memory"),), summary=9e9, silent_since=9e9,
                    pid_since=9e9, seen={"17ee": 9e9}, missing={"qwen3:8b": 9e9})  # fmt: skip
    sample = Sample(110, 9 * GB, 4, "ok", "", (loaded(QWEN), loaded(OSS)), STORE)
    first = decide(sample, MINI, ahead)
    assert first.acts == ()
    later = decide(replace(sample, uptime=110 + MINI.rules.cool_down), MINI, first.history)
    assert [act.item for act in later.acts] == ["gpt-oss:20b"]


@pytest.mark.parametrize("data", [None, [], "x", {}, {"clock": "x"}, {"acts": [1, {"clock": True}]}, {"seen": {"a": None}},
                                  {"uptime": float("nan")}, {"notes": "abc"}, {"low": -1}, {"over": ["everything"]}])  # fmt: skip
def test_a_history_that_is_not_ours_is_forgotten(data):
    assert from_json(data) == History()


def test_unknown_figures_are_said_once():
    sample = replace(SmallMac().sample(), swap=Unknown("no sysctl"), pressure=Unknown("no sysctl"))
    first = decide(sample, MINI, History())
    assert sum("could not be read" in line.said for line in first.lines) == 2
    again = decide(replace(sample, uptime=sample.uptime + 60), MINI, first.history)
    assert again.lines == ()


# Laws. --------------------------------------------------------------------------------------------------------------------

FIGURES = st.one_of(st.integers(0, 40 * GB), st.just(Unknown("odd")))
LEVELS = st.one_of(st.sampled_from([1, 2, 4]), st.just(Unknown("odd")))
IN_MEMORY = st.lists(st.sampled_from([QWEN, OSS, TINY]), unique=True).map(lambda models: tuple(loaded(one) for one in models))
LOOKS = st.lists(
    st.builds(
        lambda **parts: parts,
        step=st.floats(-10_000, 5000, allow_nan=False),
        swap=FIGURES,
        pressure=LEVELS,
        answer=st.sampled_from(["ok", "ok", "ok", "refused", "silent", "odd"]),
        loaded=st.one_of(IN_MEMORY, st.just(Unknown("odd"))),
        installed=st.one_of(st.just(STORE), st.just(Unknown("odd"))),
        job=st.sampled_from([Job(held=True, pid=7), Job(held=True, pid=8), Job(held=True), Job(held=False), Unknown("odd")]),
    ),
    min_size=1, max_size=60,
)  # fmt: skip
WISHES = st.builds(
    lambda unload_residents, dry_run, limits, acts: Settings(
        limits, ("qwen3:8b",),
        rules=Rules(unload_residents=unload_residents, dry_run=dry_run, acts_per_hour=acts, start_grace=60),
    ),
    st.booleans(), st.sampled_from([False, False, True]), st.sampled_from([MINI.limits, Limits()]), st.integers(1, 6),
)  # fmt: skip


def walk(looks, wanted):
    """Yield every look with its history before, its sample and its decision; the same acts are done as were decided."""
    history, uptime = History(), 1000.0
    for parts in looks:
        # Below nothing it is a start of the Mac.
        uptime = uptime + parts["step"] if uptime + parts["step"] >= 0 else abs(parts["step"]) % 300
        sample = Sample(uptime, said="no", **{key: value for key, value in parts.items() if key != "step"})
        made = decide(sample, wanted, history)
        yield history, sample, made
        history = made.history


@settings(max_examples=150, deadline=None)
@given(looks=LOOKS, wanted=WISHES)
def test_laws_of_every_walk(looks, wanted):
    done = []
    for before, sample, made in walk(looks, wanted):
        assert len(made.acts) <= 1
        clock = made.history.clock
        assert clock >= before.clock
        assert from_json(to_json(made.history)) == made.history
        if wanted.rules.dry_run:
            assert made.acts == ()
        for act in made.acts:
            lately = [one for one in done if clock - one[0] < HOUR]
            assert len(lately) < wanted.rules.acts_per_hour
            same = [when for when, one in done if one.cause == act.cause]
            assert not same or clock - max(same) >= min(wanted.rules.cool_down, PAUSES[1])
            check(act, sample, wanted, [one for one in done if one[1].kind == "restart"], clock)
            done.append((clock, act))


def check(act, sample, wanted, before, clock):
    """Hold one act against what it may rest on."""
    if act.kind == "restart":
        assert sample.answer in ("refused", "silent")
        assert not isinstance(sample.job, Unknown)
        assert sample.job.held
        assert len([when for when, _ in before if clock - when < DAY]) < wanted.rules.restarts_per_day
        assert not before or clock - before[-1][0] >= PAUSES[min(len(before), 2)] or len(before) > 2
        return
    assert sample.answer == "ok"
    assert not isinstance(sample.loaded, Unknown)
    assert not isinstance(sample.installed, Unknown)
    if act.kind == "load":
        assert sample.pressure == 1
        assert not isinstance(sample.swap, Unknown)
        return
    assert act.item in {one.name for one in sample.loaded}
    if act.item == "qwen3:8b":
        assert wanted.rules.unload_residents
        assert not isinstance(sample.swap, Unknown)
        assert sample.swap >= wanted.limits.swap_critical
        assert {one.name for one in sample.loaded} == {"qwen3:8b"}
    if act.cause == "memory":
        assert not isinstance(sample.swap, Unknown) or sample.pressure == 4


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(to_json(History()))), inner),
                    max_leaves=20))  # fmt: skip
def test_any_history_is_read_and_gone_on_with(data):
    history = from_json(data)
    made = decide(Sample(500, 9 * GB, 4, "ok", "", (loaded(QWEN), loaded(OSS)), STORE), MINI, history)
    assert len(made.acts) <= 1
    json.dumps(to_json(made.history), allow_nan=False)


@given(act=st.builds(Act, st.sampled_from(["unload", "load", "restart"]), st.text(max_size=20), st.text(), st.text(max_size=30)))
def test_every_act_is_a_sentence(act):
    assert ", because " in act.sentence()


def test_the_growth_that_counts_is_a_rate():
    calm = History(clock=1000, uptime=1000, swap=1 * GB, summary=1000)
    busy = Sample(1060, 1 * GB + 600 * MIB, 2, "ok", "", (loaded(QWEN), loaded(TINY)), STORE)
    assert [act.item for act in decide(busy, MINI, calm).acts] == ["tiny:latest"]
    # The same within ten minutes, without pressure, or over a start of the Mac, is nothing.
    for change in ({"uptime": 1600}, {"pressure": 1}, {"pressure": Unknown("odd")}, {"uptime": 60}):
        assert decide(replace(busy, **change), MINI, calm).acts == ()
