"""Windows against a plain Python loop, and the promises that keep the future out of the inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.scenario import INTERPOLATED, LEFT, NOT_ENTERED, OBSERVED, OCCLUDED, PADDING, Scenario
from twm_core.data.schema import MOTION, agent_actions, traffic_observations
from twm_core.data.windows.protocol import Counts, Part, WindowProtocol
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.data.windows.scenario_windows import ScenarioWindows
from twm_core.errors import DataError

FEATURES = (*MOTION, "ax", "ay", "yaw_rate", "fresh")


def make(spans: list[tuple[int, int]], steps: int, *, seed: int = 0, holes: float = 0.0, name: str = "s", **fields: Any) -> Scenario:
    """Tracks that cover `(first, length)`, filled with noise; a share of the inner rows is occluded (with NaN) or interpolated."""
    rng = np.random.default_rng(seed)
    rows = sum(n for _, n in spans)
    state = rng.normal(size=(rows, len(FEATURES))).astype(np.float32)
    code = np.full(rows, OBSERVED, dtype=np.uint8)
    starts = np.cumsum([0, *[n for _, n in spans]])
    inner = np.ones(rows, dtype=bool)
    inner[starts[:-1]] = inner[starts[1:] - 1] = False
    code[inner & (rng.random(rows) < holes)] = OCCLUDED
    code[inner & (code == OBSERVED) & (rng.random(rows) < holes)] = INTERPOLATED
    state[code == OCCLUDED] = np.nan
    return Scenario(
        id=name,
        site="here",
        dt=0.5,
        steps=steps,
        features=FEATURES,
        state=state,
        code=code,
        first=np.array([f for f, _ in spans], dtype=np.int64),
        length=np.array([n for _, n in spans], dtype=np.int64),
        track=tuple(f"t{i}" for i in range(len(spans))),
        type=rng.integers(1, 5, len(spans)),
        lane=rng.integers(1, 9, rows),
        action=rng.normal(size=(rows, 2)).astype(np.float32),
        site_token=3,
        **fields,
    )


@st.composite
def ragged(draw: st.DrawFn, steps: int = 9) -> Scenario:
    firsts = draw(st.lists(st.integers(0, steps - 1), min_size=1, max_size=6))
    spans = [(f, draw(st.integers(1, steps - f))) for f in firsts]
    eligible = draw(st.none() | st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)).map(np.array))
    return make(spans, steps, seed=draw(st.integers(0, 99)), holes=draw(st.sampled_from([0.0, 0.3])), eligible=eligible)


PROTOCOLS = st.builds(
    WindowProtocol,
    context=st.integers(1, 4),
    horizon=st.integers(0, 4),
    stride=st.integers(1, 3),
    full=st.booleans(),
    entering=st.booleans(),
    min_scored=st.integers(1, 2),
)


def code_at(scenario: Scenario, track: int, t: int) -> int:
    first, length = int(scenario.first[track]), int(scenario.length[track])
    if t < first:
        return NOT_ENTERED
    return LEFT if t >= first + length else int(scenario.code[int(scenario.offset[track]) + t - first])


def plain_windows(scenario: Scenario, protocol: WindowProtocol) -> dict[int, dict[int, dict[str, Any]]]:
    """start -> slot -> what the batch must hold, one agent and one step at a time."""
    found = {}
    for t0 in range(0, scenario.steps - protocol.context - protocol.horizon + 1, protocol.stride):
        times = range(t0, t0 + protocol.context + protocol.horizon)
        reach = times if protocol.entering else range(t0, t0 + protocol.context)
        early, late = [], []
        for i in range(len(scenario.track)):
            if any(code_at(scenario, i, t) not in (NOT_ENTERED, LEFT) for t in reach):
                (late if scenario.first[i] >= t0 + protocol.context else early).append(i)
        slots: dict[int, dict[str, Any]] = {}
        for slot, i in enumerate(early + late):
            codes = [code_at(scenario, i, t) for t in times]
            exists = [c in (OBSERVED, INTERPOLATED) for c in codes]
            rows = [int(scenario.offset[i]) + t - int(scenario.first[i]) for t in times]
            must = exists if protocol.full else exists[: protocol.context]
            slots[slot] = {
                "track": i,
                "codes": codes,
                "exists": exists,
                "state": [scenario.state[r] if e else np.zeros(len(FEATURES)) for r, e in zip(rows, exists, strict=True)],
                "lane": [int(scenario.lane[r]) if e and scenario.lane is not None else 0 for r, e in zip(rows, exists, strict=True)],
                "action": [
                    scenario.action[r] if e and scenario.action is not None else np.zeros(2) for r, e in zip(rows, exists, strict=True)
                ],
                "scored": all(must) and (scenario.eligible is None or bool(scenario.eligible[i])),
            }
        if sum(s["scored"] for s in slots.values()) >= protocol.min_scored:
            found[t0] = slots
    return found


@given(ragged(), PROTOCOLS)
def test_a_window_holds_what_a_plain_loop_finds(scenario: Scenario, protocol: WindowProtocol) -> None:
    expected = plain_windows(scenario, protocol)
    if not expected:
        with pytest.raises(DataError, match="split 'val' has no window"):
            ScenarioWindows([scenario], protocol, "val")
        return
    windows = ScenarioWindows([scenario], protocol, "val")
    assert windows.index.tolist() == [[0, t0] for t0 in expected]
    assert windows.report()["agents"] == sum(s["scored"] for slots in expected.values() for s in slots.values())
    batch = windows.batch(range(len(windows)))
    most = max(map(len, expected.values()))
    assert batch["agents.exists"].shape == (len(expected), protocol.steps, most)
    for b, slots in enumerate(expected.values()):
        for a in range(most):
            here = {k: v[b, ..., a, :] if v.dim() == 4 else v[b, ..., a] for k, v in batch.items() if v.dim() > 1 and k != "is_first"}
            if a not in slots:
                assert (here["agents.track"], here["agents.scored"]) == (-1, False)
                assert here["agents.code"].eq(PADDING).all()
                assert not any(here[k].any() for k in ("agents.state", "agents.exists", "agents.lane", "agents.type", "action"))
                continue
            want = slots[a]
            assert int(here["agents.track"]) == want["track"]
            assert int(here["agents.type"]) == scenario.type[want["track"]]
            assert bool(here["agents.scored"]) == want["scored"]
            assert here["agents.code"].tolist() == want["codes"]
            assert here["agents.exists"].tolist() == want["exists"]
            assert here["agents.lane"].tolist() == want["lane"]
            np.testing.assert_array_equal(here["agents.state"].numpy(), np.stack(want["state"]).astype(np.float32))
            np.testing.assert_array_equal(here["action"].numpy(), np.stack(want["action"]).astype(np.float32))


@given(ragged(), PROTOCOLS)
def test_windows_are_the_same_alone_and_in_a_batch(scenario: Scenario, protocol: WindowProtocol) -> None:
    assume(plain_windows(scenario, protocol))
    windows = ScenarioWindows([scenario], protocol, "val")
    together = windows.batch(range(len(windows)))
    for i in range(len(windows)):
        for key, alone in windows.batch([i]).items():
            row = together[key][i]
            axis = {"agents.state": 1, "agents.exists": 1, "agents.code": 1, "agents.lane": 1, "action": 1}.get(key, 0)
            torch.testing.assert_close(
                row.narrow(axis, 0, alone.shape[axis + 1]) if alone.dim() > axis + 1 else row, alone[0], rtol=0, atol=0
            )


PROTOCOL = WindowProtocol(context=3, horizon=3, stride=1)


def only(scenario: Scenario, **changes: Any) -> Batch:
    """The window of a scenario that starts at 0."""
    return ScenarioWindows([scenario], replace(PROTOCOL, **changes), "val").batch([0])


def test_codes_say_why_an_agent_is_not_there() -> None:
    batch = only(make([(0, 6), (0, 4), (4, 2)], 6))
    assert batch["agents.code"][0].T.tolist() == [
        [OBSERVED] * 6,
        [OBSERVED] * 4 + [LEFT] * 2,
        [NOT_ENTERED] * 4 + [OBSERVED] * 2,
    ]


def test_agents_that_enter_later_stand_behind_those_that_were_seen() -> None:
    batch = only(make([(4, 2), (0, 6), (3, 3), (1, 5)], 6))
    assert batch["agents.track"].tolist() == [[1, 3, 0, 2]]


def test_agents_that_enter_later_can_be_left_out() -> None:
    batch = only(make([(4, 2), (0, 6), (3, 3), (1, 5)], 6), entering=False)
    assert batch["agents.track"].tolist() == [[1, 3]]


def test_full_scores_those_who_stay_and_partial_those_who_were_seen() -> None:
    scenario = make([(0, 6), (0, 4), (1, 5), (4, 2)], 6)
    assert only(scenario)["agents.scored"].tolist() == [[True, True, False, False]]
    assert only(scenario, full=True)["agents.scored"].tolist() == [[True, False, False, False]]


def test_tracks_of_another_split_are_context_only() -> None:
    scenario = make([(0, 6), (0, 6)], 6, eligible=np.array([False, True]))
    batch = only(scenario)
    assert batch["agents.scored"].tolist() == [[False, True]]
    assert batch["agents.exists"].all()


def straight(columns: list[float], spans: list[tuple[int, int]], steps: int = 6) -> Scenario:
    """Tracks that stand still at the given x."""
    scenario = make(spans, steps)
    state = scenario.state.copy()
    state[:, 0] = np.repeat(columns, [n for _, n in spans])
    state[:, 1] = 0
    return replace(scenario, state=state)


def test_the_farthest_from_the_median_are_dropped_and_counted() -> None:
    scenario = straight([0, 100, 1, 2, -50], [(0, 6)] * 5)
    windows = ScenarioWindows([scenario], replace(PROTOCOL, max_agents=3), "val")
    # The median of 0, 100, 1, 2, -50 is 1: the nearest three are 0, 1 and 2.
    assert windows.batch([0])["agents.track"].tolist() == [[0, 2, 3]]
    assert windows.report()["agents dropped over max_agents"] == 2


def test_a_newcomer_never_takes_the_slot_of_one_who_was_seen() -> None:
    scenario = straight([0, 500, 0, 0], [(0, 6), (0, 6), (3, 3), (4, 2)])
    assert only(scenario, max_agents=2)["agents.track"].tolist() == [[0, 1]]
    assert only(scenario, max_agents=3)["agents.track"].tolist() == [[0, 1, 2]]


@given(ragged(), st.integers(1, 4), st.integers(0, 2**16))
def test_noise_after_the_context_changes_no_slot_and_no_observed_input(scenario: Scenario, most: int, seed: int) -> None:
    protocol = replace(PROTOCOL, max_agents=most, min_scored=0)
    windows = ScenarioWindows([scenario], protocol, "val")
    rng = np.random.default_rng(seed)
    later = np.concatenate([np.arange(f, f + n) for f, n in zip(scenario.first, scenario.length, strict=True)]) >= PROTOCOL.context
    state, lane = scenario.state.copy(), np.array(scenario.lane)
    state[later] = rng.normal(scale=1e3, size=(int(later.sum()), len(FEATURES)))
    lane[later] = rng.integers(1, 9, int(later.sum()))
    noisy = ScenarioWindows([replace(scenario, state=state, lane=lane)], protocol, "val")
    before, after = windows.batch([0]), noisy.batch([0])
    assert torch.equal(before["agents.track"], after["agents.track"])
    for key in ("agents.state", "agents.exists", "agents.code", "agents.lane", "action"):
        assert torch.equal(before[key][:, : PROTOCOL.context], after[key][:, : PROTOCOL.context]), key


@given(ragged(), st.integers(1, 4))
def test_cutting_the_future_off_moves_no_agent_to_another_slot(scenario: Scenario, most: int) -> None:
    """Whoever is seen in the context keeps its slot when nobody enters later and everybody leaves at once."""
    early = [i for i in range(len(scenario.track)) if scenario.first[i] < PROTOCOL.context]
    assume(early)
    protocol = replace(PROTOCOL, max_agents=most, min_scored=0)
    windows = ScenarioWindows([scenario], protocol, "val")
    keep = np.concatenate([np.arange(f, f + n) < PROTOCOL.context for f, n in zip(scenario.first, scenario.length, strict=True)])
    cut = Scenario(
        id="cut",
        site="here",
        dt=scenario.dt,
        steps=scenario.steps,
        features=FEATURES,
        state=scenario.state[keep],
        code=scenario.code[keep],
        first=scenario.first[early],
        length=np.minimum(scenario.length[early], PROTOCOL.context - scenario.first[early]),
        track=tuple(scenario.track[i] for i in early),
        type=scenario.type[early],
        lane=None if scenario.lane is None else scenario.lane[keep],
        action=None if scenario.action is None else scenario.action[keep],
        eligible=None if scenario.eligible is None else scenario.eligible[early],
    )
    now = ScenarioWindows([cut], protocol, "val").batch([0])
    full = windows.batch([0])
    names = [scenario.track[i] for i in full["agents.track"][0].tolist() if i in early]
    assert [cut.track[i] for i in now["agents.track"][0].tolist()] == names
    context = full["agents.state"][:, : PROTOCOL.context, : len(names)]
    assert torch.equal(context, now["agents.state"][:, : PROTOCOL.context])


def test_batches_of_windows_with_different_numbers_of_agents_are_padded() -> None:
    few, many = make([(0, 6)], 6, name="few"), make([(0, 6)] * 3, 6, name="many")
    batch = ScenarioWindows([few, many], PROTOCOL, "val").batch([1, 0])
    assert batch["agents.track"].tolist() == [[0, 1, 2], [0, -1, -1]]
    assert batch["scenario"].tolist() == [1, 0]
    assert batch["agents.code"][1, :, 1:].eq(PADDING).all()
    assert batch["site"].tolist() == [3, 3]
    assert batch["dt"].tolist() == [0.5, 0.5]
    assert batch["is_first"].tolist() == [[True] + [False] * 5] * 2


def test_scenarios_that_are_too_short_and_windows_without_anybody_are_counted() -> None:
    windows = ScenarioWindows([make([(0, 5)], 5), make([(0, 3), (5, 3)], 8)], PROTOCOL, "val")
    assert windows.report() == {
        "scenarios": 2,
        "windows": 1,
        "agents": 1,
        "scenarios shorter than a window": 1,
        "windows without enough agents to score": 2,
        "agents dropped over max_agents": 0,
    }


def test_a_split_without_windows_is_refused_with_its_counts() -> None:
    with pytest.raises(
        DataError, match=r"split 'test' has no window of 6 steps with 1 agent\(s\) to score: .*shorter than a window': 1"
    ) as e:
        ScenarioWindows([make([(0, 5)], 5)], PROTOCOL, "test")
    assert e.value.hint == "use shorter windows, another split or more data"


def test_a_split_without_windows_names_the_cause_and_its_remedy() -> None:
    scenario = make([(0, 9)], 9)
    with pytest.raises(DataError) as e:
        ScenarioWindows([replace(scenario, eligible=np.array([False]))], PROTOCOL, "test")
    assert "no track that may be scored" in (e.value.hint or "")
    with pytest.raises(DataError) as e:
        ScenarioWindows([replace(scenario, anchors=np.zeros(9, dtype=bool))], PROTOCOL, "test")
    assert "--reader.trust_interpolation" in (e.value.hint or "")


def column(batch: Batch, name: str) -> Tensor:
    return batch["agents.state"][0, :, :, FEATURES.index(name)]


def test_a_self_contained_window_forgets_what_came_from_before_it() -> None:
    scenario = make([(0, 9)], 9)
    raw = ScenarioWindows([scenario], PROTOCOL, "val").batch([2])
    own = ScenarioWindows([scenario], replace(PROTOCOL, self_contained=True), "val").batch([2])
    # A velocity is a difference with the step before; an acceleration and a yaw rate are differences of those.
    for name, forgotten in {"vx": 1, "vy": 1, "ax": 2, "ay": 2, "yaw_rate": 2, "x": 0, "heading": 0}.items():
        assert not column(own, name)[:forgotten].any(), name
        assert torch.equal(column(own, name)[forgotten:], column(raw, name)[forgotten:]), name
    assert column(own, "fresh")[0].eq(1).all()
    assert torch.equal(column(own, "fresh")[1:], column(raw, "fresh")[1:])


def test_a_self_contained_window_does_not_depend_on_the_steps_before_it() -> None:
    scenario = make([(0, 9)], 9)
    state = scenario.state.copy()
    state[:2] += 10
    for name in ("vx", "vy", "ax", "ay", "yaw_rate"):
        state[2, FEATURES.index(name)] += 10
    for name in ("ax", "ay", "yaw_rate"):
        state[3, FEATURES.index(name)] += 10
    protocol = replace(PROTOCOL, self_contained=True)
    one, other = (ScenarioWindows([replace(scenario, state=s)], protocol, "val").batch([2]) for s in (scenario.state, state))
    assert torch.equal(one["agents.state"], other["agents.state"])


def test_a_heading_carried_into_a_self_contained_window_is_forgotten_until_the_agent_moves() -> None:
    scenario = make([(0, 6)], 6)
    state = scenario.state.copy()
    speed, heading = [0.0, 0.0, 0.0, 2.0, 0.0, 2.0], [1.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    state[:, FEATURES.index("vx")], state[:, FEATURES.index("vy")] = speed, 0
    state[:, FEATURES.index("heading")] = heading
    state[:, FEATURES.index("yaw_rate")] = [0, 0, 0, 2, 0, 2]
    batch = only(replace(scenario, state=state), self_contained=True, still_speed=0.5)
    assert column(batch, "heading")[:, 0].tolist() == [0, 0, 0, 2, 2, 3]
    # The turn at step 3 is a difference with the forgotten heading, that at step 5 is not.
    assert column(batch, "yaw_rate")[:, 0].tolist() == [0, 0, 0, 0, 0, 2]


def test_what_does_not_exist_stays_zero_in_a_self_contained_window() -> None:
    batch = only(make([(0, 6), (2, 3)], 6, holes=0.0), self_contained=True)
    assert not batch["agents.state"][~batch["agents.exists"]].any()


OBS_SPEC = traffic_observations(features=FEATURES, dt=0.5, context=3, horizon=3, protocol="p", lanes=9)


def dataset(**changes: Any) -> ScenarioDataset:
    splits = {"train": [make([(0, 9), (0, 4)], 9, name="a")], "val": [make([(0, 9), (0, 4)], 9, name="b", seed=1)]}
    fields: dict[str, Any] = {"obs_spec": OBS_SPEC, "action": None, "splits": splits, "protocol": replace(PROTOCOL, full=True, stride=3)}
    return ScenarioDataset(**{**fields, **changes})


def test_a_batch_of_a_dataset_holds_exactly_the_keys_of_its_spec() -> None:
    assert set(dataset().windows("val").batch([0])) == set(OBS_SPEC.names)
    assert set(dataset(action=agent_actions(("a", ""), ("b", ""))).windows("val").batch([0])) == {*OBS_SPEC.names, "action"}


def test_training_has_its_own_stride_and_learns_from_agents_that_leave() -> None:
    made = dataset(train_stride=1)
    assert (len(made.windows("train")), len(made.windows("val"))) == (4, 2)
    assert made.windows("train").batch([0])["agents.scored"].tolist() == [[True, True]]
    assert made.windows("val").batch([0])["agents.scored"].tolist() == [[True, False]]


def test_an_unknown_split_is_refused_with_those_there_are() -> None:
    with pytest.raises(DataError, match="there is no split 'dev'") as caught:
        dataset().windows("dev")
    assert caught.value.hint == "splits are train, val"


def test_the_notes_of_a_split_stand_in_its_report() -> None:
    made = dataset(notes={"val": {"rows repaired": 3}})
    assert made.windows("val").report()["rows repaired"] == 3
    assert "rows repaired" not in made.windows("train").report()


def test_the_fingerprint_changes_with_every_value_and_with_the_protocol() -> None:
    prints = {dataset().fingerprint(), dataset(train_stride=2).fingerprint(), dataset(protocol=PROTOCOL).fingerprint()}
    base = make([(0, 9), (0, 4)], 9, name="a")
    for field in ("state", "code", "lane", "type", "action"):
        array = np.array(getattr(base, field))
        array.flat[0] += 1
        prints.add(dataset(splits={"train": [replace(base, **{field: array})]}).fingerprint())
    assert len(prints) == 8
    assert dataset().fingerprint() == dataset().fingerprint()


def test_contexts_end_at_anchors_only_and_windows_without_one_are_counted() -> None:
    anchors = np.zeros(20, dtype=bool)
    anchors[[4, 9, 11]] = True
    scenario = replace(make([(0, 20)], 20), anchors=anchors)
    windows = ScenarioWindows([scenario], replace(PROTOCOL, stride=4), "val")
    # Contexts of 3 steps that begin at 0, 4, 8 and 12: moved on to 2, 7 and 9; after 12 no anchor follows.
    assert windows.index.tolist() == [[0, 2], [0, 7], [0, 9]]
    assert windows.report()["windows that would start from interpolated steps"] == 1


def test_a_protocol_that_expects_counts_refuses_others() -> None:
    scenario = make([(0, 6), (0, 6)], 7)
    right = replace(PROTOCOL, expects={"val": Counts(windows=2, agents=4), "test": Counts(windows=9, agents=9)})
    with pytest.raises(DataError, match="split 'test': expected 9 windows with 9 scored agents, found 1 with 2") as caught:
        ScenarioWindows([make([(0, 6), (0, 6)], 6)], right, "test")
    assert "switch the check" in str(caught.value.hint)
    with pytest.raises(DataError, match="split 'val': expected 2 windows with 4 scored agents, found 2 with 3"):
        ScenarioWindows([make([(0, 7), (0, 3)], 7)], right, "val")
    assert len(ScenarioWindows([scenario], right, "val")) == 2


def test_a_part_of_a_scenario_scores_its_own_tracks_only() -> None:
    scenario = make([(0, 9), (0, 9)], 9)
    part = Part(1, 8, np.array([True, False]))
    shown = ScenarioWindows([scenario], PROTOCOL, "val", parts=[part])
    assert shown.index[:, 1].tolist() == [1, 2]
    assert shown.batch([0])["agents.scored"].tolist() == [[True, False]]
    hidden = ScenarioWindows([scenario], replace(PROTOCOL, show_others=False), "train", parts=[part])
    assert hidden.batch([0])["agents.track"].tolist() == [[0]]
    assert hidden.report()["tracks of other splits left out"] == 1


def test_scenarios_with_other_features_share_a_batch() -> None:
    one, two = make([(0, 6)], 6), make([(0, 6)], 6, seed=1, name="b")
    order = ("y", "x", *FEATURES[2:5])
    two = replace(two, features=order, state=two.state[:, [FEATURES.index(n) for n in order]])
    batch = ScenarioWindows([one, two], PROTOCOL, "val", features=("x", "y", "ax")).batch([0, 1])
    np.testing.assert_array_equal(batch["agents.state"][0, :, 0].numpy(), one.state[:, [0, 1, FEATURES.index("ax")]])
    np.testing.assert_array_equal(batch["agents.state"][1, :, 0, :2].numpy(), two.state[:, [1, 0]])
    assert not batch["agents.state"][1, :, :, 2].any()


def test_lanes_become_the_tokens_of_their_names() -> None:
    one, two = make([(0, 6), (0, 3)], 6), make([(0, 6)], 6, name="b", seed=2)
    tokens = np.arange(9) * 11
    raw = ScenarioWindows([one, two], PROTOCOL, "val").batch([0, 1])["agents.lane"]
    named = ScenarioWindows([one, two], PROTOCOL, "val", lane_tokens=[tokens, None]).batch([0, 1])["agents.lane"]
    assert torch.equal(named[0], raw[0] * 11)
    assert torch.equal(named[1], raw[1])


def crowd(seed: int, steps: int = 12) -> Scenario:
    rng = np.random.default_rng(seed)
    firsts = rng.integers(0, steps, 9).tolist()
    return make([(f, int(rng.integers(1, steps - f + 1))) for f in firsts], steps, seed=seed, holes=0.2, name=f"c{seed}")


def plain_choice(scenario: Scenario, protocol: WindowProtocol, t0: int) -> list[int]:
    """Slots of a window by the words of the protocol, one track at a time."""
    now = t0 + protocol.context - 1
    last = t0 + (protocol.steps if protocol.entering else protocol.context)
    there = [i for i in range(len(scenario.track)) if scenario.first[i] < last and scenario.first[i] + scenario.length[i] > t0]
    early, late = [i for i in there if scenario.first[i] <= now], [i for i in there if scenario.first[i] > now]
    if len(there) <= protocol.max_agents:
        return early + late
    row = {i: int(scenario.offset[i]) + now - int(scenario.first[i]) for i in early}
    seen = [i for i in early if code_at(scenario, i, now) in (OBSERVED, INTERPOLATED)]
    at = {i: scenario.state[row[i], :2] for i in seen}
    centre = np.zeros(2, dtype=np.float32)
    if seen:
        positions = np.stack([at[i] for i in seen])
        centre = positions[t0 * 7_919 % len(seen)] if protocol.around_agent else np.median(positions, axis=0)
    distance = {i: float(np.hypot(*(at[i] - centre))) if i in at else np.inf for i in there}
    kept = sorted(there, key=lambda i: (i in late, distance[i], i))[: protocol.max_agents]
    return [i for i in early if i in kept] + [i for i in late if i in kept]


@given(st.integers(0, 99), st.integers(1, 8), st.booleans(), st.booleans())
def test_the_nearest_are_chosen_as_one_by_one_now_and_the_next_time(seed: int, most: int, around: bool, entering: bool) -> None:
    protocol = WindowProtocol(context=3, horizon=2, stride=1, max_agents=most, around_agent=around, entering=entering, min_scored=0)
    scenarios = [crowd(seed), crowd(seed + 1), crowd(seed + 2, steps=20)]
    windows = ScenarioWindows(scenarios, protocol, "val")
    expected = [plain_choice(scenarios[n], protocol, t0) for n, t0 in windows.index.tolist()]
    rng = np.random.default_rng(seed)
    for _ in range(2):
        picked = rng.permutation(len(windows))[:6].tolist()
        tracks = windows.batch(picked)["agents.track"].tolist()
        assert [[t for t in row if t >= 0] for row in tracks] == [expected[i] for i in picked]


@given(st.integers(0, 99), st.booleans())
def test_agents_that_are_not_kept_are_chosen_again_for_each_batch(seed: int, entering: bool) -> None:
    protocol = WindowProtocol(context=3, horizon=2, stride=1, max_agents=4, entering=entering, min_scored=1)
    scenarios = [crowd(seed), crowd(seed + 1)]
    with pytest.MonkeyPatch.context() as patch:
        kept = ScenarioWindows(scenarios, protocol, "val")
        patch.setattr("twm_core.data.windows.scenario_windows._KEPT", 0)
        chosen = ScenarioWindows(scenarios, protocol, "val")
    one, other = kept.batch(range(len(kept))), chosen.batch(range(len(kept)))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_values_have_the_dtypes_of_the_contract() -> None:
    batch = ScenarioWindows([make([(0, 6), (1, 4)], 6, holes=0.3)], PROTOCOL, "val").batch([0])
    kinds = {"agents.state": torch.float32, "agents.exists": torch.bool, "agents.code": torch.uint8, "agents.scored": torch.bool}
    kinds |= dict.fromkeys(("agents.type", "agents.lane", "agents.track", "site", "scenario"), torch.int64)
    kinds |= {"dt": torch.float32, "is_first": torch.bool, "action": torch.float32}
    assert {k: v.dtype for k, v in batch.items()} == kinds
