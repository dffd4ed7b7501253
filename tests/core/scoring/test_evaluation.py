"""Evaluation: the same for the same seed, the same agents for all rivals, and a model that keeps the velocity has no skill."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from twm_core.data.dataset import Batch, Windows
from twm_core.errors import DataError, UsageError
from twm_core.evaluation.evaluate import Request, engine, evaluate
from twm_core.evaluation.protocol import Protocol
from twm_core.evaluation.result import Evaluation
from twm_core.evaluation.selection import candidate, choose_metrics
from twm_core.evaluation.world_model_forecaster import WorldModelForecaster
from twm_core.nn.build import build_dataset, build_world_model
from twm_core.nn.world_model import WorldModel
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.recipe.chosen import choose
from twm_core.specs import BaselineSpecs

CONSTANT_VELOCITY = {"decoder.agents.prior": "constant-velocity"}


def built(plan: Plan, split: str = "test") -> tuple[WorldModel, Windows]:
    windows = build_dataset(plan).windows(split)
    model = build_world_model(plan, seed=3)
    model.collect_statistics(windows.batch(range(len(windows))))
    return model.eval(), windows


METRICS = ("displacement", "joint-displacement", "existence")
BASELINES = ("constant-velocity", "zero-velocity", "sampled-constant-velocity")


@pytest.fixture
def score(registry: Registry) -> Callable[..., dict[str, Any]]:
    """The summary of a model and some baselines on some windows."""

    def run(model: WorldModel, windows: Windows, indices: Sequence[int], *, samples: int, seed: int, **how: Any) -> dict[str, Any]:
        obs_spec, metrics = model.obs_spec, choose_metrics(registry, METRICS, {})
        candidates = [candidate("model", "the model", WorldModelForecaster(model), metrics, obs_spec, samples, model=True)]
        for name in BASELINES:
            built = choose(registry, "baseline", name).build(BaselineSpecs(obs_spec=obs_spec))
            candidates.append(candidate(name, name, built, metrics, obs_spec, samples))
        scored = engine.run(candidates, windows, indices, obs_spec=obs_spec, samples=samples, seed=seed, **how)
        protocol = Protocol("p", "d", {}, "test", samples, {}, {})
        return Evaluation(candidates, scored, metrics, protocol, obs_spec, seed).summary()

    return run


@pytest.fixture
def still(tiny: Callable[..., Plan]) -> tuple[WorldModel, Windows]:
    """A model whose decoder adds nothing to its constant-velocity prior."""
    model, windows = built(tiny(CONSTANT_VELOCITY))
    decoder: Any = model.decoders["agents"]
    torch.nn.init.zeros_(decoder.head.weight)
    torch.nn.init.zeros_(decoder.head.bias)
    decoder.scale.mean.zero_()
    return model, windows


def scores(result: dict[str, Any], name: str = "model") -> dict[str, float]:
    return result["forecasters"][name]["scores"]


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return json.dumps(one) == json.dumps(two)


def test_a_model_that_keeps_the_velocity_has_the_errors_of_constant_velocity_and_no_skill(still, score) -> None:
    model, windows = still
    result = score(model, windows, range(len(windows)), samples=3, seed=0)
    theirs = scores(result, "constant-velocity")
    assert theirs["ade"] > 0.01
    for name in ("ade", "fde", "minade", "minfde", "minjointade"):
        assert scores(result)[name] == pytest.approx(theirs[name], rel=1e-3)
        found = result["forecasters"]["model"]["skill"][name]
        low, high = found["interval"]
        assert found["value"] == pytest.approx(0, abs=1e-3)
        assert -1e-3 < low <= high < 1e-3


def test_errors_equal_a_loop_over_windows_agents_and_steps(still, score) -> None:
    model, windows = still
    result = score(model, windows, range(len(windows)), samples=1, seed=0)
    obs_spec, now = model.obs_spec, model.obs_spec.context - 1
    at = {n: obs_spec.get("agents.state").index(n) for n in ("x", "y", "vx", "vy")}
    errors: list[float] = []
    last: list[float] = []
    for i in range(len(windows)):
        batch = windows.batch([i])
        state, here = batch["agents.state"][0].double().numpy(), batch["agents.exists"][0].numpy()
        for a in np.flatnonzero(batch["agents.scored"][0].numpy()):
            steps = [h for h in range(obs_spec.horizon) if here[now + 1 + h, a]]
            start, t = {n: state[now, a, c] for n, c in at.items()}, [obs_spec.dt * (h + 1) for h in range(obs_spec.horizon)]
            away = [
                float(
                    np.hypot(
                        start["x"] + start["vx"] * t[h] - state[now + 1 + h, a, at["x"]],
                        start["y"] + start["vy"] * t[h] - state[now + 1 + h, a, at["y"]],
                    )
                )
                for h in steps
            ]
            errors += [float(np.mean(away))] if away else []
            last += [away[-1]] if obs_spec.horizon - 1 in steps else []
    baseline = scores(result, "constant-velocity")
    assert baseline["ade"] == pytest.approx(np.mean(errors), rel=1e-4)  # positions are float32
    assert baseline["fde"] == pytest.approx(np.mean(last), rel=1e-4)
    assert result["agents"] >= len(errors)
    assert result["windows"] == len(windows)


def test_scoring_twice_gives_the_same_and_another_seed_other_futures(tiny, score) -> None:
    model, windows = built(tiny())
    first, again, other = (score(model, windows, [0, 1], samples=2, seed=s) for s in (0, 0, 1))
    assert same(first, again)
    assert scores(first) != scores(other)
    assert scores(first, "constant-velocity") == scores(other, "constant-velocity")


@pytest.mark.parametrize("distribution", ["gaussian", "mixture"])
def test_futures_are_drawn_where_the_decoder_says_how_far_off_it_may_be(tiny, score, distribution: str) -> None:
    model, windows = built(tiny({"decoder.agents.distribution": distribution}, gru=True))  # the latent has one future only
    one, six, again = (scores(score(model, windows, [0, 1], samples=s, seed=0)) for s in (1, 6, 6))
    assert six == again
    # The mean is known without drawing; each drawn future is another one.
    assert six["ade"] == pytest.approx(one["ade"], rel=1e-5)
    assert one["minade"] == one["ade"]
    assert six["minade"] != pytest.approx(one["minade"], rel=1e-3)


def test_the_global_generator_does_not_matter_and_is_left_alone(tiny, score) -> None:
    model, windows = built(tiny())
    torch.manual_seed(1)
    first = score(model, windows, [0], samples=2, seed=0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert same(score(model, windows, [0], samples=2, seed=0), first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("gru", [False, True])
def test_no_number_depends_on_the_size_of_a_batch(tiny, score, gru: bool) -> None:
    model, windows = built(tiny({"decoder.agents.distribution": "gaussian"}, gru=gru))
    every = range(len(windows))
    one, two, all_ = (score(model, windows, every, samples=3, seed=0, batch=b) for b in (1, 2, len(windows)))
    assert same(one, all_)
    assert same(two, all_)


def test_whole_batches_with_one_generator_are_another_stream(tiny, score) -> None:
    model, windows = built(tiny({"decoder.agents.distribution": "gaussian"}))
    alone, together = (score(model, windows, [0, 1, 2], samples=3, seed=0, together=t) for t in (False, True))
    assert scores(alone)["minade"] != scores(together)["minade"]
    assert scores(alone, "constant-velocity") == scores(together, "constant-velocity")


def test_the_windows_of_a_part_have_the_numbers_that_they_have_in_the_whole(tiny, registry) -> None:
    model, windows = built(tiny({"decoder.agents.distribution": "gaussian"}))
    metrics = choose_metrics(registry, METRICS, {})
    who = [candidate("model", "the model", WorldModelForecaster(model), metrics, model.obs_spec, 4, model=True)]

    def sums(indices: Sequence[int]) -> engine.Scored:
        return engine.run(who, windows, indices, obs_spec=model.obs_spec, samples=4, seed=0)

    whole, parts = sums(range(len(windows))), [sums([i]) for i in range(len(windows))]
    for metric in METRICS:
        np.testing.assert_array_equal(whole.sums["model"][metric], np.concatenate([p.sums["model"][metric] for p in parts]))
    np.testing.assert_array_equal(whole.vehicle, np.concatenate([p.vehicle for p in parts]))
    assert len({p.digest for p in (whole, *parts)}) == 1 + len(parts)


def test_forecasters_draw_from_the_same_stream_in_the_same_window(tiny, registry) -> None:
    """The same sampled baseline twice in one field: equal futures, so that pairs differ by what forecasters do and not by luck."""
    model, windows = built(tiny())
    metrics = choose_metrics(registry, METRICS, {})
    name = "sampled-constant-velocity"
    two = [choose(registry, "baseline", name, {"straight": False}).build(BaselineSpecs(obs_spec=model.obs_spec)) for _ in range(2)]
    candidates = [candidate(n, n, who, metrics, model.obs_spec, 3) for n, who in zip("ab", two, strict=True)]
    found = engine.run(candidates, windows, range(len(windows)), obs_spec=model.obs_spec, samples=3, seed=0)
    np.testing.assert_array_equal(found.sums["a"]["displacement"], found.sums["b"]["displacement"])


def test_a_forecast_that_is_not_finite_is_an_error_and_not_left_out(tiny, score) -> None:
    model, windows = built(tiny(gru=True))
    decoder: Any = model.decoders["agents"]
    torch.nn.init.constant_(decoder.head.bias, float("nan"))
    with pytest.raises(DataError, match=r"the model's forecast of \d+ agents is not a finite number\n.*diverged"):
        score(model, windows, [0], samples=1, seed=0)


@pytest.mark.parametrize("samples", [1, 3])
def test_latents_that_are_no_numbers_are_an_error(tiny: Callable[..., Plan], score: Callable[..., Any], samples: int) -> None:
    model, windows = built(tiny())
    dynamics: Any = model.dynamics
    torch.nn.init.constant_(dynamics.prior.logits.weight, float("nan"))
    with pytest.raises(DataError, match=r"the model's forecast of \d+ agents is not a finite number"):
        score(model, windows, [0], samples=samples, seed=0)


def test_a_run_is_evaluated_the_same_twice(trained: Path, registry: Registry) -> None:
    first, again = (evaluate(Request(target=trained, samples=2, windows=3), registry=registry) for _ in range(2))
    assert same(first, again)
    assert first["step"] in (10, 12)
    assert first["checkpoint"] == str(trained / "checkpoints" / f"step-{first['step']}")
    assert (first["windows"], first["samples"], first["split"]) == (3, 2, "test")
    assert list(first["forecasters"])[:2] == ["model", "constant-velocity"]
    assert {"zero-velocity", "kalman", "constant-turn-rate"} <= set(first["forecasters"])


def test_only_the_steps_of_the_observed_episode_are_scored(tiny, score) -> None:
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
    whole, cut = (score(model, w, [0, 1], samples=1, seed=0) for w in (windows, Cut(windows, model.obs_spec.context + 1)))
    assert np.isnan(scores(cut)["error@1s"])
    assert scores(whole)["error@1s"] > 0
    assert 0 < scores(cut)["ade"] < scores(whole)["ade"]  # of the first predicted step alone


def test_bad_requests_are_user_errors(trained: Path, registry: Registry) -> None:
    def ask(**request: Any) -> None:
        evaluate(Request(target=trained, **request), registry=registry)

    with pytest.raises(UsageError, match="samples = 0"):
        ask(samples=0)
    with pytest.raises(UsageError, match=r"--set loss\.components: an evaluation builds no loss"):
        ask(overrides={"loss.components": ["huber", "nll"]})
    with pytest.raises(UsageError, match="windows have no predicted steps"):
        ask(overrides={"dataset.predicted_seconds": 0.0})
    with pytest.raises(DataError, match="there is no split 'tset'"):
        ask(split="tset")
    with pytest.raises(UsageError, match=r"--futures modes: the model decodes .*agents.state.* is not in it"):
        ask(futures="modes")
    with pytest.raises(UsageError, match="baseline 'kalmn' is not used; did you mean 'kalman'"):
        ask(overrides={"baseline.kalmn.model": "velocity"})
    with pytest.raises(UsageError, match="has no field 'modell'; did you mean 'model'"):
        ask(overrides={"baseline.kalman.modell": "velocity"})
    with pytest.raises(UsageError, match="options of a baseline carry its name"):
        ask(overrides={"baseline.model": "velocity"})
    with pytest.raises(UsageError, match="there is nothing to evaluate"):
        evaluate(Request(), registry=registry)
    with pytest.raises(UsageError, match="baselines need data"):
        evaluate(Request(baselines=("kalman",)), registry=registry)
