"""A world model of vectors, rewards and ends: trained for two steps on `shapes` and scored key by key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from twm_core.errors import UsageError
from twm_core.evaluation.evaluate import Request, evaluate
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import Layer, resolve
from twm_core.training.run import train

KEYS = ["continue", "reward", "vector.phase", "vector.state"]
RECIPE: dict[str, Any] = {
    "dataset": {"component": "shapes", "images": False, "actions": "discrete", "episodes": 6, "evaluation_episodes": 4, "horizon": 6},
    "encoder": {"components": ["multimodal"]},
    "dynamics": {"component": "rssm-cat", "deter": 16, "hidden": 8, "groups": 3, "classes": 4},
    "decoder": {"components": ["vector", "reward", "continue"]},
    "loss": {"components": ["nll", "kl"]},
    "training": {"steps": 2, "batch": 2, "validate_windows": 2, "log_every": 1, "device": "cpu"},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return discover(environ={})


@pytest.fixture(scope="module")
def run(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shapes") / "run"
    train(assemble(resolve([Layer("test", RECIPE)]), registry), registry, path)
    return path


@pytest.fixture(scope="module")
def result(run: Path, registry: Registry) -> dict[str, Any]:
    return evaluate(Request(target=run, split="val", samples=2, checkpoint="latest"), registry=registry)


def test_every_decoded_key_is_scored_beside_both_baselines(result: dict[str, Any]) -> None:
    assert sorted(result["keys"]) == KEYS
    for found in result["keys"].values():
        assert set(found["baselines"]) == {"last_value", "training_mean"}
        assert math.isfinite(found["model"])
        assert math.isfinite(found["nll"])
        assert [r["steps"] for r in found["by_horizon"]] == [result["windows"]] * 6
    assert "forecasters" not in result  # no agents, no metres


def test_what_is_there_is_not_reported_as_left_out(result: dict[str, Any]) -> None:
    assert all(k in ("data: episodes shorter than a window", "data: steps in no window") for k in result["report"])


def test_windows_without_predicted_steps_cannot_be_scored(run: Path, registry: Registry) -> None:
    with pytest.raises(UsageError, match="have no predicted steps"):
        evaluate(Request(target=run, overrides={"dataset.horizon": 0}), registry=registry)
