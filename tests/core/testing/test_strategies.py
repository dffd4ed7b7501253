"""The strategies that authors use give batches as datasets do: every key of the spec, with its type and axes, and zeros where nobody is."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from twm_core.specs import ActionSpec, ObservationSpec
from twm_core.testing import strategies


@given(st.data(), strategies.specs(), strategies.actions())
def test_a_batch_has_every_key_of_its_spec_with_its_type_and_axes(
    data: st.DataObject, obs_spec: ObservationSpec, action: ActionSpec | None
) -> None:
    batch = data.draw(strategies.batches(obs_spec, action))
    assert set(batch) == {k.key for k in obs_spec.keys} | ({"action"} if action else set())
    for key in obs_spec.keys:
        value = batch[key.key]
        assert str(value.dtype) == f"torch.{key.dtype}"
        assert value.dim() == len(key.axes.split())
        if key.dtype == "float32":
            assert bool(torch.isfinite(value).all())
    if action is not None:
        assert batch["action"].shape[-1] == action.width


@given(strategies.batches(strategies.traffic(every_feature=True), batch=2, agents=3))
def test_nothing_stands_where_nobody_is(batch: dict[str, torch.Tensor]) -> None:
    assert not batch["agents.state"][~batch["agents.exists"]].any()
    windows, steps, agents = batch["agents.exists"].shape
    assert windows <= 2
    assert steps <= 5
    assert agents <= 3


@given(strategies.batches(strategies.traffic(), rubbish=True))
def test_rubbish_stands_only_where_nobody_is(batch: dict[str, torch.Tensor]) -> None:
    here = batch["agents.exists"]
    state = batch["agents.state"]
    assert bool(torch.isfinite(state[here]).all())
    assert not bool((state[~here].nan_to_num(1e6, 1e6, -1e6).abs() < 1e5).any())


def test_presences_reach_from_nobody_to_everybody() -> None:
    found: set[str] = set()

    @given(strategies.presences())
    def collect(exists: torch.Tensor) -> None:
        found.add("nobody" if not exists.any() else "everybody" if exists.all() else "some")

    collect()
    assert found >= {"nobody", "some"}
