"""One window as the metric sees it: every future and, behind them, the log, in the same tensors.

Who takes part are the agents that exist at the last observed step: who enters later is in no future, so the log is looked at without
them too, as in the challenge. When an agent is there is taken from the log for futures and log alike, so that both are compared at the
same steps.

Shapes: `R = S + 1` futures and log, `T` = observed steps (at most two) + `H`, `A` agents of the window, `M` scored ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from twm_core.data.scenario import RoadMap
from twm_core.errors import DataError
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.headings import headings_of
from twm_core.specs import AGENT_TYPES

_OBSERVED = 2
"""Steps before the first predicted one that accelerations there look at."""


@dataclass(frozen=True)
class Scene:
    """One window.

    Attributes:
        pose: `[R, T, A, 3]` float64: x, y (metres from the middle of the scene) and heading.
        here: bool `[T, A]`.
        observed: How many of the `T` steps are observed ones.
        size: `[A, 2]` length and width.
        kind: int64 `[A]`, type of agent.
        mine: int64 `[M]`, the scored agents.
        weight: `[S, M]`, how many of `samples` copies a future stands for.
        middle: `[2]`, what was subtracted from positions.
        dt: Seconds of a step.
        road: The road map, or None.
    """

    pose: Tensor
    here: Tensor
    observed: int
    size: Tensor
    kind: Tensor
    mine: Tensor
    weight: Tensor
    middle: Tensor
    dt: float
    road: RoadMap | None


def scenes(
    forecast: Forecast, truth: Truth, *, states: tuple[str, ...], samples: int, sizes: dict[str, tuple[float, float]]
) -> list[Scene | None]:
    """The scenes of a batch, None for windows that score nobody.

    Args:
        forecast: Futures; one future counts as `samples` copies.
        truth: What happened.
        states: Names of the features of `forecast.states`.
        samples: Futures that were asked for.
        sizes: Length and width by type, for agents whose data has none.

    Raises:
        DataError: The forecast of an agent is not a finite number.
    """
    return [_scene(b, forecast, truth, states, samples, sizes) for b in range(len(truth.scored))]


def _scene(
    b: int, forecast: Forecast, truth: Truth, states: tuple[str, ...], samples: int, sizes: dict[str, tuple[float, float]]
) -> Scene | None:
    if truth.states.shape[1] != forecast.states.shape[2]:
        raise DataError(f"forecasts of {forecast.states.shape[2]} steps do not fit what happened in {truth.states.shape[1]}")
    present = truth.past_exists[b, -1] | truth.scored[b]
    who = present.nonzero()[:, 0]
    mine = truth.scored[b, who].nonzero()[:, 0]
    if not len(mine):
        return None
    pick = [truth.index(n) for n in ("x", "y", "heading")]
    past = truth.past[b, -_OBSERVED:, who][..., pick].double()
    log = truth.states[b][:, who][..., pick].double()
    here = torch.cat([truth.past_exists[b, -_OBSERVED:, who], truth.here[b][:, who]])
    future = forecast.states[b][:, :, who].double()
    xy = future[..., :2]
    if "heading" in states:
        heading = future[..., states.index("heading")]
    else:
        before = torch.where(truth.past_exists[b, -len(past), who, None], past[0, :, :2], past[-1, :, :2])
        heading = headings_of(xy, past[-1, :, :2], before, past[-1, :, 2], truth.dt)
    guess = torch.cat([xy, heading[..., None]], dim=-1)
    bad = (~guess.isfinite().all(dim=-1) & here[-guess.shape[1] :]).any(dim=1).any(dim=0)
    if bool(bad.any()):
        raise DataError(
            f"window {int(truth.window[b])}: the forecast of {int(bad.sum())} agents is not a finite number",
            "the forecaster has diverged: use an earlier checkpoint, or shorten the predicted seconds",
        )
    pose = torch.cat([guess, log[None]])
    pose = torch.cat([past.expand(len(pose), -1, -1, -1), pose], dim=1)
    # What stands where an agent is not there means nothing; zeros keep sums finite, `here` keeps them out.
    pose = torch.where(here[None, ..., None], pose, 0.0)
    middle = past[-1, mine, :2].mean(dim=0)
    pose[..., :2] -= middle
    equal = future.new_full((len(future), len(mine)), samples / len(future))
    weight = equal if forecast.weights is None else forecast.weights[b][:, who[mine]].double() * samples
    kind = truth.batch["agents.type"][b, who] if "agents.type" in truth.batch else torch.zeros_like(who)
    road = truth.maps[b] if len(truth.maps) else None
    size = _sizes(truth, b, who, kind, sizes)
    return Scene(pose, here, len(past), size, kind, mine, weight, middle, truth.dt, road if road is not None and road.lanes else None)


def _sizes(truth: Truth, b: int, who: Tensor, kind: Tensor, sizes: dict[str, tuple[float, float]]) -> Tensor:
    """Length and width `[A, 2]` at the last observed step, those of the type where the data has none or zeros."""
    size = torch.tensor([sizes[t] for t in AGENT_TYPES], dtype=torch.float64, device=who.device)[kind]
    if {"length", "width"} <= set(truth.features):
        known = truth.past[b, -1, who][:, [truth.index("length"), truth.index("width")]].double()
        size = torch.where((known > 0).all(dim=-1, keepdim=True) & truth.past_exists[b, -1, who, None], known, size)
    return size
