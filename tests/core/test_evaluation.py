"""Evaluation: the same for the same seed, the same agents for all rivals, and a model that keeps the velocity has no skill."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from twm_core.assembly import Plan
from twm_core.baselines import constant_velocity
from twm_core.data.dataset import Batch, Windows
from twm_core.errors import DataError, TwmError, UsageError
from twm_core.evaluation import evaluate, score
from twm_core.nn.build import build_dataset, build_world_model
from twm_core.nn.world_model import WorldModel
from twm_core.registry import Registry

CONSTANT_VELOCITY = {"decoder.agents.prior": "constant-velocity"}


def built(plan: Plan, split: str = "test") -> tuple[WorldModel, Windows]:
    windows = build_dataset(plan).windows(split)
    model = build_world_model(plan, seed=3)
    model.collect_statistics(windows.batch(range(len(windows))))
    return model.eval(), windows


@pytest.fixture
def still(tiny: Callable[..., Plan]) -> tuple[WorldModel, Windows]:
    """A model whose decoder adds nothing to its constant-velocity prior."""
    model, windows = built(tiny(CONSTANT_VELOCITY))
    decoder: Any = model.decoders["agents"]
    torch.nn.init.zeros_(decoder.head.weight)
    torch.nn.init.zeros_(decoder.head.bias)
    decoder.scale.mean.zero_()
    return model, windows


def test_a_model_that_keeps_the_velocity_has_the_errors_of_constant_velocity_and_no_skill(still: tuple[WorldModel, Windows]) -> None:
    model, windows = still
    result = score(model, windows, range(len(windows)), samples=3, seed=0)
    theirs = result["baselines"]["constant_velocity"]
    assert theirs["ade"] > 0.01
    for name in ("ade", "fde", "minade", "minfde"):
        assert result["model"][name] == pytest.approx(theirs[name], rel=1e-3)
    assert result["skill"] == pytest.approx(0, abs=1e-3)
    assert result["skill_minade"] == pytest.approx(0, abs=1e-3)
    low, high = result["intervals"]["skill"]
    assert -1e-3 < low <= high < 1e-3


def test_errors_equal_a_loop_over_windows_agents_and_steps(still: tuple[WorldModel, Windows]) -> None:
    model, windows = still
    result = score(model, windows, range(len(windows)), samples=1, seed=0)
    seen, now = model.seen, model.seen.context - 1
    xy = [seen.get("agents.state").index(n) for n in ("x", "y")]
    errors: list[float] = []
    last: list[float] = []
    for i in range(len(windows)):
        batch = windows.batch([i])
        guess = constant_velocity(batch, seen, now, seen.horizon)[0, 0].double().numpy()
        truth, here = batch["agents.state"][0].double().numpy(), batch["agents.exists"][0].numpy()
        for a in np.flatnonzero(batch["agents.scored"][0].numpy()):
            steps = [h for h in range(seen.horizon) if here[now + 1 + h, a]]
            away = [float(np.hypot(*(guess[h, a] - truth[now + 1 + h, a, xy]))) for h in steps]
            errors += [float(np.mean(away))] if away else []
            last += [away[-1]] if seen.horizon - 1 in steps else []
    baseline = result["baselines"]["constant_velocity"]
    assert baseline["ade"] == pytest.approx(np.mean(errors), rel=1e-9)
    assert baseline["fde"] == pytest.approx(np.mean(last), rel=1e-9)
    assert result["agents"] >= len(errors)
    assert result["windows"] == len(windows)


def test_scoring_twice_gives_the_same_and_another_seed_other_futures(tiny: Callable[..., Plan]) -> None:
    model, windows = built(tiny())
    first, again, other = (score(model, windows, [0, 1], samples=2, seed=s) for s in (0, 0, 1))
    assert json.dumps(first) == json.dumps(again)
    assert first["model"] != other["model"]
    assert first["baselines"] == other["baselines"]


@pytest.mark.parametrize("distribution", ["gaussian", "mixture"])
def test_futures_are_drawn_where_the_decoder_says_how_far_off_it_may_be(tiny: Callable[..., Plan], distribution: str) -> None:
    model, windows = built(tiny({"decoder.agents.distribution": distribution}, gru=True))  # the latent has one future only
    one, six, again = (score(model, windows, [0, 1], samples=s, seed=0)["model"] for s in (1, 6, 6))
    assert six == again
    # The mean is known without drawing; each drawn future is another one.
    assert six["ade"] == pytest.approx(one["ade"], rel=1e-5)
    assert one["minade"] == one["ade"]
    assert six["minade"] != pytest.approx(one["minade"], rel=1e-3)


def test_the_global_generator_does_not_matter_and_is_left_alone(tiny: Callable[..., Plan]) -> None:
    model, windows = built(tiny())
    torch.manual_seed(1)
    first = score(model, windows, [0], samples=2, seed=0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert json.dumps(score(model, windows, [0], samples=2, seed=0)) == json.dumps(first)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_windows_of_a_part_have_the_errors_that_they_have_in_the_whole(tiny: Callable[..., Plan]) -> None:
    model, windows = built(tiny(gru=True))
    whole = score(model, windows, range(len(windows)), samples=1, seed=0)
    parts = [score(model, windows, [i], samples=1, seed=0) for i in range(len(windows))]
    assert whole["agents"] == sum(p["agents"] for p in parts)

    def total(result: dict[str, Any]) -> float:
        at = result["model"]["by_horizon"][-1]
        return at["error"] * at["agents"] if at["agents"] else 0.0

    assert total(whole) == pytest.approx(sum(total(p) for p in parts), rel=1e-4)


def test_model_and_baselines_are_scored_on_the_same_agents_at_every_horizon(tiny: Callable[..., Plan]) -> None:
    model, windows = built(tiny())
    result = score(model, windows, range(len(windows)), samples=2, seed=0)
    counts = {name: [row["agents"] for row in r["by_horizon"]] for name, r in {"model": result["model"], **result["baselines"]}.items()}
    assert len(counts) >= 3
    assert len({tuple(c) for c in counts.values()}) == 1


def test_a_forecast_that_is_not_finite_is_an_error_and_not_left_out(tiny: Callable[..., Plan]) -> None:
    model, windows = built(tiny(gru=True))
    decoder: Any = model.decoders["agents"]
    torch.nn.init.constant_(decoder.head.bias, float("nan"))
    with pytest.raises(DataError, match=r"the model's forecast of \d+ agents is not a finite number\n.*diverged"):
        score(model, windows, [0], samples=1, seed=0)


def test_a_run_is_evaluated_the_same_twice(trained: Path, registry: Registry) -> None:
    first, again = (evaluate(trained, registry=registry, samples=2, windows=3) for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
    assert first["step"] in (10, 12)
    assert first["checkpoint"] == str(trained / "checkpoints" / f"step-{first['step']}")
    assert (first["windows"], first["samples"], first["split"]) == (3, 2, "test")


def test_a_run_is_evaluated_with_other_losses(trained: Path, registry: Registry) -> None:
    usual = evaluate(trained, registry=registry, samples=2, windows=1)
    fewer = evaluate(trained, registry=registry, samples=2, windows=1, overrides={"loss.components": ["huber", "nll"]})
    assert json.dumps(fewer) == json.dumps(usual)


def test_only_the_steps_of_the_observed_episode_are_scored(tiny: Callable[..., Plan]) -> None:
    class Cut(Windows):
        """The same windows, in which another episode begins at the second predicted step."""

        def __init__(self, inner: Windows, begin: int) -> None:
            self.inner, self.begin = inner, begin

        def __len__(self) -> int:
            return len(self.inner)

        def report(self) -> dict[str, int]:
            return self.inner.report()

        def batch(self, indices: Sequence[int]) -> Batch:
            found = self.inner.batch(indices)
            found["is_first"] = found["is_first"].clone()
            found["is_first"][:, self.begin] = True
            return found

    model, windows = built(tiny())
    whole, cut = (score(model, w, [0, 1], samples=1, seed=0) for w in (windows, Cut(windows, model.seen.context + 1)))
    last, wanted = cut["model"]["by_horizon"][-1], whole["model"]["by_horizon"][-1]
    assert (last["agents"], last["error"]) == (0, None)
    assert wanted["agents"] > 0
    assert 0 < cut["model"]["ade"] < whole["model"]["ade"]  # of the first predicted step alone


def test_bad_requests_are_user_errors(trained: Path, registry: Registry) -> None:
    with pytest.raises(UsageError, match="samples = 0"):
        evaluate(trained, registry=registry, samples=0)
    with pytest.raises(TwmError, match="needs windows with predicted steps"):  # says the loss `rollout`
        evaluate(trained, registry=registry, overrides={"dataset.predicted_seconds": 0.0})
    with pytest.raises(DataError, match="there is no split 'tset'"):
        evaluate(trained, registry=registry, split="tset")
