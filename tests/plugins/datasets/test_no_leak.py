"""The future is replaced by noise, in files where there are some: no input, no baseline and no model may move by a bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import pytest
import torch
import worlds_with_two_futures as worlds

from twm_core.data.dataset import Windows
from twm_core.evaluation.interfaces import Forecaster
from twm_core.evaluation.selection import choose_baselines
from twm_core.evaluation.world_model_forecaster import WorldModelForecaster, scores_agents
from twm_core.nn.build import build_dataset, build_world_model
from twm_core.recipe.presets import preset_names
from twm_core.specs import BaselineSpecs, ObservationSpec
from twm_core.testing.leaks import Scrambled, leaks

FITS = {"ethucy": 13, "store": 16, "commonroad": 16, "highway": 16, "highway with a map": 16}
"""How many baselines and ways to forecast of presets there are: a test that asked nobody would pass, too."""


@pytest.fixture(scope="module")
def pairs(
    tmp_path_factory: pytest.TempPathFactory, commonroad: Callable[..., str], drive: Callable[..., Any]
) -> Callable[[str], worlds.Pair]:
    """A function that gives the pair of datasets of a name, made once."""

    @cache
    def find(name: str) -> worlds.Pair:
        folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
        if name == "highway":
            return worlds.highway()
        if name == "highway with a map":
            return worlds.highway(raster=True, raster_size=32, metres_per_pixel=4.0)
        writers = {"ethucy": worlds.write_ethucy, "store": worlds.write_store, "commonroad": worlds.write_commonroad(commonroad, drive)}
        return worlds.from_files(folder, writers[name])

    return find


def baselines(train: Windows, obs_spec: ObservationSpec) -> dict[str, Forecaster]:
    """Every baseline that fits, fitted."""
    found = {n: c.build(BaselineSpecs(obs_spec=obs_spec)) for n, c in choose_baselines(worlds.registry(), obs_spec, None, {})[0].items()}
    for each in found.values():
        each.fit(train)
    return cast("dict[str, Forecaster]", found)


def models(pair: worlds.Pair) -> dict[str, Forecaster]:
    """Every preset that fits, both ways to forecast, with the statistics of the training data and weights off their initial values."""
    found: dict[str, Forecaster] = {}
    train = pair.known.windows("train")
    for preset in preset_names():
        plan = worlds.plan_of(pair.options, preset)
        if plan is None or not scores_agents(plan.output):
            continue
        model = build_world_model(plan, seed=0)
        model.collect_statistics(build_dataset(plan).windows("train").batch(range(min(4, len(train)))))
        for parameter in model.parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
        for futures in ("latent", "modes") if plan.output.has("agents.futures") else ("latent",):
            found[f"{preset} {futures}"] = WorldModelForecaster(model.eval(), futures=futures)
    return found


@pytest.mark.parametrize("name", FITS)
def test_no_input_no_baseline_and_no_model_knows_the_future(name: str, pairs: Callable[[str], worlds.Pair]) -> None:
    pair = pairs(name)
    obs_spec = pair.known.obs_spec
    forecasters = {**baselines(pair.known.windows("train"), obs_spec), **models(pair)}
    assert len(forecasters) == FITS[name], sorted(forecasters)
    assert leaks(pair.known.windows(worlds.SPLIT), pair.noisy.windows(worlds.SPLIT), obs_spec, forecasters) == []


@pytest.mark.parametrize("name", FITS)
def test_other_batches_after_the_observation_change_no_forecast_either(name: str, pairs: Callable[[str], worlds.Pair]) -> None:
    pair = pairs(name)
    known = pair.known.windows(worlds.SPLIT)
    numbers = range(min(3, len(known)))
    forecasters = baselines(pair.known.windows("train"), pair.known.obs_spec)
    assert leaks(known, Scrambled(known, pair.known.obs_spec), pair.known.obs_spec, forecasters, windows=numbers) == []


def test_that_nothing_was_changed_is_said(pairs: Callable[[str], worlds.Pair]) -> None:
    known = pairs("ethucy").known
    assert leaks(known.windows("test"), known.windows("test"), known.obs_spec) == [
        "window 0: the future is the same in both, so nothing was tested"
    ]
