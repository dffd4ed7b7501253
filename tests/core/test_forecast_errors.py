"""Errors of forecasts that are not of agents, against plain loops: means over futures, baselines, likelihoods, ends of episodes."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core.data.dataset import Batch, Windows
from twm_core.errors import DataError
from twm_core.evaluation.forecast_errors import forecast_errors, scored_keys
from twm_core.nn.distributions import MSE, Classes, Continue, Distribution, Normal
from twm_core.specs import KeySpec, ObservationSpec, OutputKey, OutputSpec

CONTEXT, HORIZON, SAMPLES, CLASSES = 3, 5, 4, 3
KEYS = ("image.eye", "vector.state", "vector.gear", "reward", "continue")


class Images(Normal):
    """Gaussian pixels in 0..1, whose values are uint8 as they stand in batches."""

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value.float() / 255).sum(dim=(-2, -1))


class MadeUp(Windows):
    """Random numbers; an episode ends terminally at the fifth step of every other window, and another one begins."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        steps = CONTEXT + HORIZON
        odd = torch.arange(count)[:, None] % 2 == 1
        place = torch.arange(steps)[None]
        self.arrays: Batch = {
            "image.eye": torch.randint(256, (count, steps, 2, 3, 3), generator=generator, dtype=torch.uint8),
            "vector.state": torch.randn(count, steps, 2, generator=generator),
            "vector.gear": torch.randint(CLASSES, (count, steps), generator=generator),
            "reward": torch.randn(count, steps, generator=generator),
            "is_first": (place == 0) | (odd & (place == 5)),
            "is_last": odd & (place == 4),
            "is_terminal": odd & (place == 4),
            "action": torch.randn(count, steps, 2, generator=generator),
        }

    def __len__(self) -> int:
        return len(self.arrays["reward"])

    def batch(self, indices: Sequence[int]) -> Batch:
        return {k: v[list(indices)] for k, v in self.arrays.items()}

    def report(self) -> dict[str, int]:
        return {"windows": len(self)}


OBS_SPEC = ObservationSpec(
    keys=(
        KeySpec(key="image.eye", axes="B T C H W", dtype="uint8", shape=(2, 3, 3)),
        KeySpec(key="vector.state", axes="B T D", shape=(2,)),
        KeySpec(key="vector.gear", axes="B T", dtype="int64", classes=CLASSES),
        KeySpec(key="reward", axes="B T"),
        *(KeySpec(key=k, axes="B T", dtype="bool") for k in ("is_first", "is_last", "is_terminal")),
    ),
    dt=0.5,
    context=CONTEXT,
    horizon=HORIZON,
)


class Foreseer:
    """Forecasts noise that depends on the window alone, so that batches of any size agree."""

    obs_spec = OBS_SPEC

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.actions: list[Tensor] = []

    def parameters_of(self, batch: Batch, name: str, *shape: int) -> Tensor:
        rows = [
            torch.randn(SAMPLES, HORIZON, *shape, generator=torch.Generator().manual_seed(zlib.crc32(f"{name} {float(x):.6f}".encode())))
            for x in batch["reward"][:, 0]
        ]
        return torch.stack(rows)

    def forecast(self, batch: Batch, *, samples: int, actions: Tensor, generator: torch.Generator) -> dict[str, Distribution]:
        assert samples == SAMPLES
        self.actions.append(actions)
        reward = self.parameters_of(batch, "reward")
        return {
            "image.eye": Images(self.parameters_of(batch, "image", 2, 3, 3), torch.tensor(0.7)),
            "vector.state": Normal(self.parameters_of(batch, "state", 2), torch.tensor(0.5)),
            "vector.gear": Classes(self.parameters_of(batch, "gear", CLASSES)),
            "reward": MSE(reward / 0 if self.broken else reward, event=0),
            "continue": Continue(self.parameters_of(batch, "continue")),
        }


def errors(windows: Windows, *, keys: Sequence[str] = KEYS, model: Foreseer | None = None, indices: Sequence[int] | None = None) -> Any:
    chosen = range(len(windows)) if indices is None else indices
    forecaster: Any = model or Foreseer()
    return forecast_errors(forecaster, windows, chosen, keys=keys, training=MadeUp(8, seed=1), samples=SAMPLES, seed=0)


def steps_that_count(windows: MadeUp) -> list[tuple[int, int]]:
    """(window, predicted step): in every other window the fifth step is the last that counts, the second predicted one."""
    return [(n, h) for n in range(len(windows)) for h in range(HORIZON if n % 2 == 0 else 2)]


def numpy_truth(windows: MadeUp, key: str) -> np.ndarray:
    if key == "continue":
        return 1.0 - windows.arrays["is_terminal"].double().numpy()
    value = windows.arrays[key]
    return value.double().numpy() / (255 if value.dtype == torch.uint8 else 1)


@pytest.mark.parametrize("key", ["image.eye", "vector.state", "reward", "continue"])
def test_squared_errors_equal_a_loop_over_windows_and_steps(key: str) -> None:
    windows, model = MadeUp(6, seed=0), Foreseer()
    found = errors(windows)[key]
    decoded = model.forecast(windows.batch(range(6)), samples=SAMPLES, actions=torch.zeros(0), generator=torch.Generator())
    guess, truth = decoded[key].mean.double().numpy().mean(axis=1), numpy_truth(windows, key)
    constant = numpy_truth(MadeUp(8, seed=1), key).mean(axis=(0, 1))
    mine, last, mean = [], [], []
    for n, h in steps_that_count(windows):
        now = truth[n, CONTEXT + h]
        mine.append(((guess[n, h] - now) ** 2).mean())
        last.append(((truth[n, CONTEXT - 1] - now) ** 2).mean())
        mean.append(((constant - now) ** 2).mean())
    assert found["measure"] == "mse"
    assert found["steps"] == len(mine)
    assert found["model"] == pytest.approx(np.mean(mine), rel=1e-6)
    assert found["baselines"]["last_value"] == pytest.approx(np.mean(last), rel=1e-6)
    assert found["baselines"]["training_mean"] == pytest.approx(np.mean(mean), rel=1e-6)
    assert found["skill"]["training_mean"] == pytest.approx(1 - np.mean(mine) / np.mean(mean), rel=1e-6)


def test_classes_are_judged_by_the_largest_mean_probability() -> None:
    windows, model = MadeUp(6, seed=0), Foreseer()
    found = errors(windows)["vector.gear"]
    logits = model.parameters_of(windows.batch(range(6)), "gear", CLASSES).double().numpy()
    p = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).mean(axis=1)
    truth = windows.arrays["vector.gear"].numpy()
    common = np.bincount(MadeUp(8, seed=1).arrays["vector.gear"].flatten().numpy()).argmax()
    rows = [(n, h, truth[n, CONTEXT + h]) for n, h in steps_that_count(windows)]
    assert found["measure"] == "error_rate"
    assert found["model"] == pytest.approx(np.mean([p[n, h].argmax() != c for n, h, c in rows]))
    assert found["nll"] == pytest.approx(-np.mean([math.log(p[n, h, c]) for n, h, c in rows]), rel=1e-5)
    assert found["baselines"]["last_value"] == pytest.approx(np.mean([truth[n, CONTEXT - 1] != c for n, _, c in rows]))
    assert found["baselines"]["training_mean"] == pytest.approx(np.mean([common != c for _, _, c in rows]))


def test_the_likelihood_is_that_of_the_mixture_of_futures() -> None:
    windows, model = MadeUp(6, seed=0), Foreseer()
    mean = model.parameters_of(windows.batch(range(6)), "state", 2).double()
    logs = []
    for n, h in steps_that_count(windows):
        truth = windows.arrays["vector.state"][n, CONTEXT + h].double()
        each = torch.distributions.Normal(mean[n, :, h], 0.5).log_prob(truth).sum(-1)
        logs.append(float(each.exp().mean().log()))
    assert errors(windows)["vector.state"]["nll"] == pytest.approx(-np.mean(logs), rel=1e-5)


def test_errors_by_horizon_average_to_the_whole() -> None:
    found = errors(MadeUp(6, seed=0))["reward"]
    rows = found["by_horizon"]
    assert [r["seconds"] for r in rows] == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert [r["steps"] for r in rows] == [6, 6, 3, 3, 3]
    assert sum(r["model"] * r["steps"] for r in rows) / found["steps"] == pytest.approx(found["model"])
    json.dumps(found, allow_nan=False)


def test_steps_that_no_window_has_are_not_a_number_and_the_rest_is() -> None:
    found = errors(MadeUp(6, seed=0), keys=("reward",), indices=[1, 3])["reward"]
    assert [r["steps"] for r in found["by_horizon"]] == [2, 2, 0, 0, 0]
    assert math.isnan(found["by_horizon"][-1]["model"])
    assert math.isfinite(found["model"])


def test_the_number_of_windows_held_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = MadeUp(6, seed=0)
    whole = errors(windows)
    monkeypatch.setattr("twm_core.evaluation.forecast_errors._MOST_NUMBERS", 2 * SAMPLES * HORIZON * 18)
    model = Foreseer()
    parts = errors(windows, model=model)
    assert [len(a) for a in model.actions] == [2, 2, 2]
    for key in KEYS:
        assert parts[key]["model"] == pytest.approx(whole[key]["model"], rel=1e-12)


def test_the_actions_are_the_true_ones_from_the_last_observed_step_on() -> None:
    windows, model = MadeUp(2, seed=0), Foreseer()
    errors(windows, model=model)
    torch.testing.assert_close(model.actions[0], windows.arrays["action"][:, CONTEXT - 1 : -1])


def test_a_forecast_that_is_not_finite_is_an_error_not_a_gap() -> None:
    with pytest.raises(DataError, match="not a finite number"):
        errors(MadeUp(2, seed=0), keys=("reward",), model=Foreseer(broken=True))


def test_keys_of_agents_are_left_to_the_metrics_of_traffic() -> None:
    output = OutputSpec(keys=tuple(OutputKey(key=k, distribution="mse") for k in ("agents.state", "reward", "agents.exists", "image.a")))
    assert scored_keys(output) == ["reward", "image.a"]
