"""Errors of open-loop forecasts of images, vectors, rewards and ends, beside two forecasts that need no learning.

The model observes the first steps of a window and rolls forward with the true actions. For each decoded key (those of agents apart, see
`twm_core.evaluation.evaluate`) and each predicted step h, with the S futures of a window weighing alike:

    numbers   squared error of the mean future, mean over the elements     `mse`; images count in 0..1, `continue` as 0 or 1
    classes   whether the class of the largest mean probability is wrong    `error_rate`
    both      -log (1/S sum_s p_s(truth)), nats, summed over the elements   `nll`; only where p is a density can it be compared

Baselines: `last_value` repeats what was last observed, `training_mean` says the mean (or the most frequent class) of training windows
at every step. Steps after the end of an episode are not scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twm_core.data.dataset import Batch, Windows, to_device
from twm_core.data.windows.loader import evenly_spaced
from twm_core.errors import DataError
from twm_core.nn.batches import same_episode
from twm_core.nn.distributions import Distribution
from twm_core.nn.targets import target
from twm_core.nn.world_model import WorldModel
from twm_core.reporting import Reporter
from twm_core.specs import ObservationSpec, OutputSpec

BASELINES = ("last_value", "training_mean")
_MOST_ROWS = 32
_MOST_NUMBERS = 2**23
"""Numbers of one decoded key that are held at a time, because futures of images are large."""
_TRAINING_WINDOWS = 64
_AGENTS = "agents."


def scored_keys(output: OutputSpec) -> list[str]:
    """The decoded keys that are scored here: all but those of agents."""
    return [k.key for k in output.keys if not k.key.startswith(_AGENTS)]


def forecast_errors(
    model: WorldModel,
    windows: Windows,
    indices: Sequence[int],
    *,
    keys: Sequence[str],
    training: Windows,
    samples: int,
    seed: int,
    device: torch.device | str = "cpu",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Score the forecasts of some windows; the numbers are defined in the module's description.

    Args:
        model: The world model, in evaluation mode.
        windows: Where to forecast.
        indices: Which windows.
        keys: Decoded keys to score.
        training: Training windows, for the baseline `training_mean`.
        samples: `S`, futures for each window.
        seed: Seed of the futures.
        device: Where to compute.
        reporter: Hears about progress.

    Returns:
        JSON-able, by key: `measure` (`mse` or `error_rate`), `model`, `baselines` (by name), `skill` (1 - model / baseline, by name),
        `nll` of the model, `steps` (how many were scored) and `by_horizon` (`seconds`, `steps`, `model` and the baselines, each step).

    Raises:
        DataError: A forecast is not a finite number; leaving it out would flatter the model.
    """
    obs_spec = model.obs_spec
    classes = {k: obs_spec.get(k).classes if obs_spec.has(k) else None for k in keys}
    means = {k: _training_mean(training, k, classes[k]) for k in keys}
    sums = {k: _Sums(obs_spec.horizon) for k in keys}
    rows = _rows(windows, indices, keys, samples * obs_spec.horizon)
    generator = torch.Generator(device=device).manual_seed(seed)
    for at in range(0, len(indices), rows):
        batch = to_device(windows.batch(indices[at : at + rows]), device)
        actions = batch["action"][:, obs_spec.context - 1 : -1] if "action" in batch else None
        decoded = model.forecast(batch, samples=samples, actions=actions, generator=generator)
        for key in keys:
            _add(sums[key], decoded[key], batch, obs_spec, key, classes[key], means[key])
        if reporter is not None:
            reporter.progress(min(at + rows, len(indices)), len(indices), {})
    if reporter is not None:
        reporter.finish()
    return {k: sums[k].summary("mse" if classes[k] is None else "error_rate", obs_spec.dt) for k in keys}


class _Sums:
    """Sums over windows of the errors at each step, `[H]`, float64."""

    def __init__(self, steps: int) -> None:
        self.count: NDArray[np.float64] = np.zeros(steps)
        self.of: dict[str, NDArray[np.float64]] = {n: np.zeros(steps) for n in ("model", *BASELINES, "nll")}

    def add(self, name: str, error: Tensor, alive: Tensor) -> None:
        """Add the errors `[B,H]` of the steps that are alive, bool `[B,H]`."""
        if not bool(error[alive].isfinite().all()):
            raise DataError(
                "the model's forecast is not a finite number at some steps",
                "it has diverged: use an earlier checkpoint, or train with a lower training.lr",
            )
        self.of[name] += torch.where(alive, error.double(), 0.0).sum(dim=0).cpu().numpy()

    def summary(self, measure: str, dt: float) -> dict[str, Any]:
        """See `forecast_errors`."""
        total = self.count.sum()
        average = {n: float(v.sum() / total) if total else math.nan for n, v in self.of.items()}
        with np.errstate(invalid="ignore"):
            each = {n: self.of[n] / self.count for n in ("model", *BASELINES)}  # NaN where no window has such a step
        return {
            "measure": measure,
            "model": average["model"],
            "baselines": {n: average[n] for n in BASELINES},
            "skill": {n: 1 - average["model"] / average[n] if average[n] > 0 else math.nan for n in BASELINES},
            "nll": average["nll"],
            "steps": int(total),
            "by_horizon": [
                {"seconds": (h + 1) * dt, "steps": int(self.count[h]), **{n: float(v[h]) for n, v in each.items()}}
                for h in range(len(self.count))
            ],
        }


def _add(sums: _Sums, decoded: Distribution, batch: Batch, obs_spec: ObservationSpec, key: str, classes: int | None, mean: Tensor) -> None:
    truth = target(batch, key)
    now, future = truth[:, obs_spec.context - 1 : obs_spec.context], truth[:, obs_spec.context :]  # [B,1,...], [B,H,...]
    alive = same_episode(batch["is_first"], obs_spec.context)
    probability = decoded.log_prob(_for_each_future(future, decoded))  # [B,S,H]
    sums.count += alive.sum(dim=0).cpu().numpy()
    sums.add("nll", math.log(probability.shape[1]) - probability.double().logsumexp(dim=1), alive)
    mean = mean.to(future.device)
    if classes is None:
        guesses = {"model": decoded.mean.double().mean(dim=1), "last_value": _numbers(now), "training_mean": mean}
        for name, guess in guesses.items():
            sums.add(name, _per_step((guess - _numbers(future)).square()), alive)
    else:
        likely = torch.stack([decoded.log_prob(_for_each_future(torch.full_like(future, c), decoded)) for c in range(classes)], -1)
        guesses = {"model": likely.double().exp().mean(dim=1).argmax(dim=-1), "last_value": now, "training_mean": mean}
        for name, guess in guesses.items():
            sums.add(name, _per_step((guess != future).double()), alive)


def _for_each_future(value: Tensor, decoded: Distribution) -> Tensor:
    """`[B,H,...]` to `[B,S,H,...]`."""
    samples = decoded.mean.shape[1]
    return value.unsqueeze(1).expand(-1, samples, *value.shape[1:])


def _numbers(value: Tensor) -> Tensor:
    """As decoders count: float64, images in 0..1."""
    return value.double() / 255 if value.dtype == torch.uint8 else value.double()


def _per_step(error: Tensor) -> Tensor:
    """Mean over the elements of a value: `[B,H,...]` to `[B,H]`."""
    return error.flatten(2).mean(dim=2) if error.dim() > 2 else error


def _training_mean(training: Windows, key: str, classes: int | None) -> Tensor:
    """The mean over the steps of some training windows, or the most frequent class."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for index in evenly_spaced(training, _TRAINING_WINDOWS):
        value = target(training.batch([index]), key)
        numbers = _numbers(value) if classes is None else torch.nn.functional.one_hot(value, classes).double()
        total = total + numbers.sum(dim=(0, 1))
        count += value.shape[0] * value.shape[1]
    return total / count if classes is None else total.argmax(dim=-1)


def _rows(windows: Windows, indices: Sequence[int], keys: Sequence[str], steps: int) -> int:
    """How many windows are forecast at a time, of `steps` decoded steps each."""
    first = windows.batch(indices[:1])
    largest = max(target(first, k)[0, 0].numel() for k in keys)
    return max(1, min(_MOST_ROWS, _MOST_NUMBERS // max(1, largest * steps)))
