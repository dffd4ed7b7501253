"""Does a forecast know what happens next? Replace everything after the observation by noise and look whether anything moves.

    from twm_core.testing.leaks import leaks
    assert not leaks(dataset.windows("test"), noisy.windows("test"), seen, {"mine": forecaster})

`noisy` is the same dataset from data whose values after the observed steps are others: from files that were rewritten there, from
scenarios (`with_noise`), or, where neither is at hand, from batches (`Scrambled`). Everything that a forecaster may see, and everything
that it then says, must be the same bit by bit. The earlier the noise is put in, the more of the path from a file to a forecast is tested:
noise in batches does not see a velocity that was made from later positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twm_core.data.dataset import Batch, Windows
from twm_core.data.scenario import OCCLUDED, Scenario
from twm_core.evaluation.engine import window_seed
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.evaluation.world_model_forecaster import WorldModelForecaster
from twm_core.nn.batches import slice_time
from twm_core.specs import ObservationSpec

_SEED = 17


def leaks(
    known: Windows,
    noisy: Windows,
    obs_spec: ObservationSpec,
    forecasters: Mapping[str, Forecaster] | None = None,
    *,
    windows: Sequence[int] = (0,),
    samples: int = 3,
) -> list[str]:
    """What differs between windows whose recordings differ only after the last observed step; empty where nothing leaks.

    Args:
        known: The windows of a split.
        noisy: The same windows, from data with another future.
        obs_spec: Their spec.
        forecasters: Forecasters by name, fitted or trained, each with seeded futures.
        windows: Numbers of the windows that are compared, the same in both.
        samples: Futures that are asked for.

    Returns:
        A sentence for each input and each part of a forecast that changes.
    """
    found: list[str] = []
    for number in windows:
        one, other = known.batch([number]), noisy.batch([number])
        past, changed = slice_time(one, obs_spec, 0, obs_spec.context), slice_time(other, obs_spec, 0, obs_spec.context)
        if not any(_apart(_future(one, k, obs_spec), _future(other, k, obs_spec)) for k in _with_time(obs_spec)):
            found.append(f"window {number}: the future is the same in both, so nothing was tested")
        found += [f"window {number}: input {key} {how}" for key in past if (how := _apart(past[key], changed[key]))]
        for name, who in (forecasters or {}).items():
            # What will be done may be asked about; the same is asked in both.
            done = one["action"][:, obs_spec.context - 1 : -1] if "action" in one else None
            before, after = (_asked(who, batch, number, obs_spec, samples, done) for batch in (past, changed))
            found += [f"window {number}: {part} of {name} {how}" for part in before if (how := _apart(before[part], after[part]))]
    return found


def _with_time(obs_spec: ObservationSpec) -> list[str]:
    return [spec.key for spec in obs_spec.keys if "T" in spec.axes.split()]


def _future(batch: Batch, key: str, obs_spec: ObservationSpec) -> Tensor:
    return batch[key][:, obs_spec.context :]


def _asked(
    who: Forecaster, observed: Batch, number: int, obs_spec: ObservationSpec, samples: int, actions: Tensor | None
) -> dict[str, Tensor]:
    """The parts of a forecast that are there, by name."""
    generator = torch.Generator().manual_seed(window_seed(0, number))
    options = {"actions": actions} if isinstance(who, WorldModelForecaster) and who.model.action is not None else {}
    with torch.no_grad():
        made: Forecast = who.forecast(observed, steps=obs_spec.horizon, samples=samples, generator=generator, **options)
    parts = {name: getattr(made, name) for name in ("states", "weights", "expected", "exists")}
    if made.log_density is not None:
        parts["log_density"] = made.log_density(made.mean())
    return {name: value for name, value in parts.items() if value is not None}


def _apart(one: Tensor, other: Tensor) -> str:
    """How two tensors differ; empty where they are the same bit by bit, NaN included."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"is {one.dtype} {list(one.shape)} or {other.dtype} {list(other.shape)}"
    same = (one == other) | ((one != one) & (other != other))
    return "" if bool(same.all()) else f"differs in {int((~same).sum())} of {one.numel()} values"


class Scrambled(Windows):
    """Windows whose batches hold other values after the observed steps: noise, other classes, others who are there.

    Args:
        windows: The windows.
        obs_spec: Their spec.
    """

    def __init__(self, windows: Windows, obs_spec: ObservationSpec) -> None:
        self.inner, self.obs_spec = windows, obs_spec

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, indices: Sequence[int]) -> Batch:
        generator = torch.Generator().manual_seed(_SEED)
        made = dict(self.inner.batch(indices))
        for key in _with_time(self.obs_spec):
            spec, value = self.obs_spec.get(key), made[key].clone()
            late = value[:, self.obs_spec.context :]
            made[key] = value
            if value.is_floating_point():
                late.copy_(100 * torch.randn(late.shape, generator=generator))
            elif spec.classes is not None:
                late.copy_(torch.randint(spec.classes, late.shape, generator=generator))
            else:
                late.copy_(torch.randint(2, late.shape, generator=generator))
        return made

    def report(self) -> dict[str, int]:
        return self.inner.report()


def with_noise(scenario: Scenario, begin: int, *, hide: float = 0.3) -> Scenario:
    """The scenario with other states, lanes and actions at every step from `begin` on, and with some of its agents hidden there.

    Args:
        scenario: The scenario.
        begin: First step that is changed.
        hide: Share of the later rows at which an agent is hidden.
    """
    random = np.random.default_rng(_SEED)
    late = steps_of(scenario) >= begin
    state, code = scenario.state.copy(), scenario.code.copy()
    state[late] = random.normal(size=state[late].shape).astype(np.float32) * 100 * math.pi
    code[late & (random.random(len(code)) < hide)] = OCCLUDED
    changed = replace(scenario, state=state, code=code, check_values=False)
    if scenario.lane is not None:
        shuffled = random.permutation(scenario.lane)
        changed = replace(changed, lane=np.where(late, shuffled, scenario.lane), check_values=False)
    if scenario.action is not None:
        other = random.normal(size=scenario.action.shape)
        changed = replace(changed, action=np.where(late[:, None], other, scenario.action).astype(np.float32), check_values=False)
    return changed


def steps_of(scenario: Scenario) -> NDArray[np.int64]:
    """The step of each row of a scenario, `[R]`."""
    return np.repeat(scenario.first - scenario.offset, scenario.length) + np.arange(len(scenario.state))
