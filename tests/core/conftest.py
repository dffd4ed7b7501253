"""The tiny recipe of `tests/tiny.toml`, assembled with changes, and trained in a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import Layer, file_layer, option_layer, resolve

TINY = Path(__file__).parents[1] / "tiny.toml"
GRU: Mapping[str, Any] = {
    "dynamics": {"component": "gru", "hidden": 16, "n_layers": 2, "dropout": 0.2},
    "loss": {"components": ["huber", "existence", "rollout"]},
}


@pytest.fixture(scope="session")
def registry() -> Registry:
    return discover(environ={})


@pytest.fixture(scope="session")
def tiny(registry: Registry) -> Callable[..., Plan]:
    """The plan of the tiny recipe; `changes` by dotted path, `gru` for the other family of dynamics."""

    def plan(changes: Mapping[str, Any] | None = None, *, gru: bool = False) -> Plan:
        layers = [file_layer(TINY), *([Layer("gru", GRU)] if gru else [])]
        layers += [option_layer(path, value, "test") for path, value in (changes or {}).items()]
        return assemble(resolve(layers), registry)

    return plan


@pytest.fixture(scope="session")
def trained(tiny: Callable[..., Plan], registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny recipe. Copy it before changing anything."""
    from twm_core.training.run import train

    run = tmp_path_factory.mktemp("trained") / "run"
    train(tiny(), registry, run)
    return run
