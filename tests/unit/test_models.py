"""The steps from the models a Mac has to those it should have: table, time stamps, law on a simulated server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from ansible.module_utils.fleet.models import (
    Found,
    Installed,
    Loaded,
    Model,
    Wanted,
    after_restart,
    is_pinned,
    parse_time,
    plan,
    registry_names,
    wanted_from_json,
)
from ansible.module_utils.fleet.vocabulary import Unknown
from hypothesis import given
from hypothesis import strategies as st

QWEN, OSS, DEV = "qwen3:8b", "gpt-oss:20b", "devstral-small-2:24b"
SIZES = {QWEN: 5_225_388_164, OSS: 13_793_441_244, DEV: 15_177_384_384}
NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)


def digest_of(name: str, version: int = 1) -> str:
    return f"{version}{name.encode().hex()}".ljust(64, "0")


def have(*names: str) -> tuple[Installed, ...]:
    return tuple(Installed(name, digest_of(name), SIZES.get(name, 10**9)) for name in names)


def loaded(name: str, *, pinned: bool = True, digest: str = "") -> Loaded:
    return Loaded(name, digest or digest_of(name), 6 * 10**9, 6 * 10**9, 4096, pinned)


def want(*models: Model, **options) -> Wanted:
    return Wanted(tuple(models), **options)


PULL, LOAD = f"pull {QWEN}", f"load {QWEN}"


@pytest.mark.parametrize(
    ("found", "wanted", "steps"),
    [
        pytest.param(Found(have(QWEN)), want(Model(QWEN)), [], id="there"),
        pytest.param(Found(()), want(Model(QWEN)), [PULL], id="missing"),
        pytest.param(Found(()), want(Model(QWEN, resident=True)), [PULL, LOAD], id="missing resident"),
        pytest.param(Found(have("QWEN3:8B")), want(Model(QWEN)), [], id="installed in another case"),
        pytest.param(Found(have("qwen3:latest")), want(Model("qwen3")), [], id="tag left out"),
        pytest.param(Found(have(QWEN, "extra:1b")), want(Model(QWEN)), [], id="unlisted is kept"),
        pytest.param(
            Found(have(QWEN, "extra:1b")), want(Model(QWEN), unlisted="remove"), ["delete extra:1b"], id="unlisted is removed"
        ),
        pytest.param(
            Found(have(QWEN, "qwen3-fast:8b")),
            want(Model(QWEN), removed=("qwen3-fast:8b",)),
            ["delete qwen3-fast:8b"],
            id="removed",
        ),
        pytest.param(Found(have(QWEN)), want(Model(QWEN), removed=("qwen3-fast:8b",)), [], id="removed and not there"),
        pytest.param(Found(have(QWEN)), want(Model(QWEN), removed=(QWEN,)), [], id="listed wins over removed"),
        pytest.param(Found(have(QWEN)), want(Model(QWEN, digest=digest_of(QWEN)[:12])), [], id="pinned digest is there"),
        pytest.param(Found(have(QWEN)), want(Model(QWEN, digest="0123456789ab")), [PULL], id="another digest is pinned"),
        pytest.param(
            Found(have(QWEN), registry={QWEN: digest_of(QWEN, 2)}),
            want(Model(QWEN, policy="latest")),
            [PULL],
            id="registry moved",
        ),
        pytest.param(
            Found(have(QWEN), registry={QWEN: digest_of(QWEN, 2)}), want(Model(QWEN)), [], id="registry moved, present is enough"
        ),
        pytest.param(
            Found(have(QWEN), registry={QWEN: digest_of(QWEN)}),
            want(Model(QWEN, policy="latest")),
            [],
            id="registry has the same",
        ),
        pytest.param(
            Found(have(QWEN), registry={QWEN: Unknown("no route")}), want(Model(QWEN, policy="latest")), [], id="registry unknown"
        ),
        pytest.param(Found(have(QWEN)), want(Model(QWEN, policy="latest")), [], id="registry not asked"),
        pytest.param(
            Found(have(QWEN), registry={QWEN: digest_of(QWEN, 2)}),
            want(Model(QWEN, policy="latest", digest=digest_of(QWEN)[:12])),
            [],
            id="a pinned digest does not follow the registry",
        ),
        pytest.param(Found(have(QWEN), (loaded(QWEN),)), want(Model(QWEN, resident=True)), [], id="resident is loaded"),
        pytest.param(Found(have(QWEN)), want(Model(QWEN, resident=True)), [LOAD], id="resident is not loaded"),
        pytest.param(
            Found(have(QWEN), (loaded(QWEN, pinned=False),)), want(Model(QWEN, resident=True)), [LOAD], id="resident would leave"
        ),
        pytest.param(
            Found(have(QWEN), Unknown("no answer")),
            want(Model(QWEN, resident=True)),
            [LOAD],
            id="whether it is loaded is unknown",
        ),
        pytest.param(
            Found(have(QWEN), (loaded("alias:1", digest=digest_of(QWEN)),)),
            want(Model(QWEN, resident=True)),
            [],
            id="loaded under another name of the same digest",
        ),
        pytest.param(Found(have(QWEN, OSS), (loaded(OSS),)), want(Model(QWEN)), [], id="loaded by hand is nobody's business"),
        pytest.param(
            Found(have(QWEN), (loaded(QWEN, digest=digest_of(QWEN, 2)),)),
            want(Model(QWEN, resident=True)),
            [LOAD],
            id="what is loaded is an older version of the name",
        ),
        pytest.param(
            Found(have(QWEN), (loaded(QWEN),), {QWEN: digest_of(QWEN, 2)}),
            want(Model(QWEN, resident=True, policy="latest")),
            [PULL, LOAD],
            id="a renewed resident is loaded anew",
        ),
        pytest.param(
            Found(have(QWEN, DEV, OSS)),
            want(*(Model(name, resident=True) for name in (QWEN, OSS, DEV))),
            [f"load {DEV}", f"load {OSS}", LOAD],
            id="largest first",
        ),
        pytest.param(
            Found(have(OSS, "extra:1b")),
            want(Model(QWEN), Model(OSS, resident=True), unlisted="remove"),
            [PULL, "delete extra:1b", f"load {OSS}"],
            id="pull, delete, load",
        ),
    ],
)
def test_plan(found, wanted, steps):
    assert [f"{step.action} {step.item}" for step in plan(found, wanted)] == steps


def test_a_duplicate_that_goes_takes_the_shared_runner_with_it():
    # Two names of one digest share a runner, and unloading one of them unloads both.
    double = Installed("qwen3-fast:8b", digest_of(QWEN), SIZES[QWEN])
    found = Found((*have(QWEN), double), (loaded(QWEN),))
    steps = plan(found, want(Model(QWEN, resident=True), removed=("qwen3-fast:8b",)))
    assert [f"{step.action} {step.item}" for step in steps] == ["delete qwen3-fast:8b", LOAD]


def test_a_restarted_server_has_nothing_loaded():
    found = Found(have(QWEN), (loaded(QWEN),), {QWEN: "x"})
    assert after_restart(found) == replace(found, loaded=())


# The law, on a server made of values. ---------------------------------------------------------------------------------


@dataclass
class SimulatedServer:
    """Installed and loaded models, and a registry; runners are shared by digest as Ollama shares them."""

    found: Found
    upstream: dict[str, str]
    log: list[str] = field(default_factory=list)

    def apply(self, step) -> None:
        """Carry out one step as the API would."""
        self.log.append(step.action)
        getattr(self, f"_{step.action}")(step.item)

    def _pull(self, name: str) -> None:
        rest = tuple(model for model in self.found.installed if model.name.lower() != name.lower())
        self.found = replace(self.found, installed=(*rest, Installed(name, self.upstream[name], len(name))))

    def _delete(self, name: str) -> None:
        (gone,) = (model for model in self.found.installed if model.name == name)
        # The API cannot unload what is no longer installed, so it is unloaded first, and its runner may have other names.
        stay = tuple(one for one in self.found.loaded if one.digest != gone.digest)
        self.found = replace(self.found, loaded=stay, installed=tuple(m for m in self.found.installed if m.name != name))

    def _load(self, name: str) -> None:
        (model,) = (model for model in self.found.installed if model.name.lower() == name.lower())
        held = () if isinstance(self.found.loaded, Unknown) else self.found.loaded
        rest = tuple(one for one in held if one.digest != model.digest)
        shown = next((one.name for one in held if one.digest == model.digest), name)
        self.found = replace(self.found, loaded=(*rest, Loaded(shown, model.digest, 1, 1, 4096, pinned=True)))


NAMES = ("a:1", "b:1", "c:1")
DIGESTS = ("1" * 64, "2" * 64)


@st.composite
def situations(draw):
    upstream = {name: draw(st.sampled_from(DIGESTS)) for name in NAMES}
    installed = tuple(
        Installed(name, draw(st.sampled_from([upstream[name], *DIGESTS])), draw(st.integers(1, 9)))
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
    )
    running = draw(st.lists(st.sampled_from(installed), unique_by=lambda model: model.digest)) if installed else []
    held = tuple(Loaded(model.name, model.digest, 1, 1, 4096, draw(st.booleans())) for model in running)
    models = tuple(
        Model(
            name, draw(st.booleans()), draw(st.sampled_from(["present", "latest"])), draw(st.sampled_from(["", upstream[name]]))
        )
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
    )
    registry = {name: draw(st.sampled_from([upstream[name], Unknown("no answer")])) for name in NAMES}
    wanted = Wanted(models, tuple(draw(st.lists(st.sampled_from(NAMES), unique=True))), draw(st.sampled_from(["keep", "remove"])))
    return Found(installed, held, registry), wanted, upstream


@given(situations())
def test_what_was_carried_out_leaves_nothing_to_do(situation):
    found, wanted, upstream = situation
    server = SimulatedServer(found, upstream)
    for step in plan(found, wanted):
        server.apply(step)
    assert plan(server.found, wanted) == ()


@given(situations())
def test_the_order_is_pull_delete_load(situation):
    found, wanted, _ = situation
    actions = [step.action for step in plan(found, wanted)]
    assert actions == sorted(actions, key=["pull", "delete", "load"].index)


@given(situations())
def test_nothing_that_is_wanted_is_ever_deleted(situation):
    found, wanted, _ = situation
    deleted = {step.item for step in plan(found, wanted) if step.action == "delete"}
    assert not deleted & {model.name for model in wanted.models}


# Times. -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("2318-11-24T12:00:00.123456789-03:00", True),
        ("2319-03-04T16:15:39.9Z", True),
        ("2026-08-21T12:05:00.1-03:00", False),
        ("2027-08-21T12:00:00Z", False),
        ("2046-08-20T12:00:00Z", True),
        ("0001-01-01T00:00:00Z", False),
        ("9999-12-31T23:59:59.999999999Z", True),
        ("2318-11-24", True),
        ("", False),
        ("soon", False),
    ],
)
def test_what_stays_until_told_otherwise(text, pinned):
    assert is_pinned(text, NOW) is pinned


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-08-01T10:11:12.123456789-03:00", datetime(2026, 8, 1, 13, 11, 12, 123456, UTC)),
        ("2026-08-01T10:11:12.1Z", datetime(2026, 8, 1, 10, 11, 12, 100000, UTC)),
        ("2026-08-01T10:11:12Z", datetime(2026, 8, 1, 10, 11, 12, 0, UTC)),
        ("2026-08-01T10:11:12+05:30", datetime(2026, 8, 1, 4, 41, 12, 0, UTC)),
        ("2026-08-01T10:11:12", datetime(2026, 8, 1, 10, 11, 12, 0, UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_as_go_writes_them(text, moment):
    assert parse_time(text) == moment


@given(st.datetimes(datetime(2000, 1, 1), datetime(2400, 1, 1)), st.integers(1, 9))
def test_any_number_of_digits_after_the_second(moment, digits):
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}000"[:digits] + "Z"
    read = parse_time(text).replace(tzinfo=None)
    assert abs(read - moment) < timedelta(seconds=10 ** -min(digits, 6))


# From the inventory. ----------------------------------------------------------------------------------------------------


def test_the_set_is_read_from_the_inventory():
    wanted = wanted_from_json(
        [
            {"name": "qwen3", "size_gb": 5.2, "residency": "resident"},
            {"name": OSS, "policy": "present", "digest": "sha256:0123456789ab"},
        ],
        ["qwen3-fast:8b"],
        "remove",
        "latest",
    )
    assert wanted == Wanted(
        (Model("qwen3:latest", True, "latest"), Model(OSS, False, "present", "0123456789ab")), ("qwen3-fast:8b",), "remove"
    )


def test_a_bad_name_is_refused_in_words():
    with pytest.raises(ValueError, match="'bad name' is not a model name"):
        wanted_from_json([{"name": "bad name"}], [], "keep", "present")


@pytest.mark.parametrize(
    ("models", "policy", "names"),
    [
        ([{"name": "qwen3"}], "latest", ["qwen3:latest"]),
        ([{"name": QWEN}], "present", []),
        ([{"name": QWEN, "policy": "latest"}, {"name": OSS}], "present", [QWEN]),
        ([{"name": QWEN, "digest": "ab"}, {"name": OSS, "policy": "present"}], "latest", []),
    ],
)
def test_the_registry_is_asked_only_about_names_that_follow_it(models, policy, names):
    assert registry_names(models, policy) == names
