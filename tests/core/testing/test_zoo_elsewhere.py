"""Checks about other devices, older layouts and a trait of scenes, each with a specimen that breaks it.

There may be no GPU here, so the CPU stands for one: the check moves the component and its input, and compares.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from twm_core.component import Component
from twm_core.plugin.discovery import Plugin
from twm_core.plugin.registry import Registered
from twm_core.testing.case import make_cases
from twm_core.testing.checks import loss, module
from twm_core.testing.runner import Result, Run


def upgrade(tensors: dict[str, Tensor], from_version: int) -> dict[str, Tensor]:
    """A function that can be called as `upgrade`."""
    return tensors


def takes_one(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A function that cannot."""
    return tensors


def result(kind: str, check: str, fault: str = "", **more: Any) -> Result:
    plugin = Plugin(name="zoo", distribution="acme-zoo", version="1.0", value="zoo", status="loaded")
    names = {"config": f"zoo_configs:Zoo{kind.capitalize()}", "build": f"zoo_{kind}:build"}
    component = Component(kind=kind, name="specimen", summary="One of the zoo.", **names, **more)
    run = Run(make_cases([Registered(component=component, plugin=plugin)], {f"{kind}/specimen": [{"fault": fault}]}))
    return run.result(f"{kind}/specimen/{check}")


@pytest.fixture
def second_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (module, loss):
        monkeypatch.setattr(where, "accelerator", lambda: torch.device("cpu"))


@pytest.mark.parametrize("kind", ["encoder", "dynamics", "decoder", "loss"])
def test_a_healthy_component_computes_the_same_elsewhere(kind: str, second_cpu: None) -> None:
    assert result(kind, "another_device_agrees").status == "passed"


@pytest.mark.parametrize("kind", ["encoder", "loss"])
def test_one_that_computes_otherwise_elsewhere_is_caught(kind: str, second_cpu: None) -> None:
    found = result(kind, "another_device_agrees", "computes otherwise elsewhere")
    assert found.status == "failed"
    assert "on cpu" in found.reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_check_is_skipped_and_says_so() -> None:
    found = result("encoder", "another_device_agrees")
    assert (found.status, found.reason) == ("skipped", "this machine has no GPU")


def test_a_second_layout_with_an_upgrade_passes() -> None:
    assert result("encoder", "older_layouts_can_be_upgraded", layout_version=2, upgrade=f"{__name__}:upgrade").status == "passed"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "layout_version is 2 and there is no upgrade"),
        ({"upgrade": f"{__name__}:takes_one"}, "upgrade cannot be called as upgrade"),
        ({"upgrade": f"{__name__}:absent"}, "has no 'absent'"),
    ],
)
def test_a_second_layout_without_a_usable_upgrade_is_caught(more: dict[str, str], reason: str) -> None:
    found = result("encoder", "older_layouts_can_be_upgraded", layout_version=2, **more)
    assert found.status == "failed"
    assert reason in found.reason


def test_one_latent_for_the_scene_cannot_be_that_of_independent_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    from twm_core.plugin.registry import discover
    from twm_recurrent.model import GRU

    gru = discover(environ={}).find("dynamics", "gru")
    for layout, status in (("agents", "passed"), ("scene", "skipped")):
        run = Run(make_cases([gru], {"dynamics/gru": [{"hidden": 4, "layout": layout}]}))
        assert run.result("dynamics/gru/independent_agents_influence_nobody").status == status
    monkeypatch.setattr(GRU, "independent", property(lambda self: True, lambda self, value: None))
    run = Run(make_cases([gru], {"dynamics/gru": [{"hidden": 4, "layout": "scene"}]}))
    found = run.result("dynamics/gru/independent_agents_influence_nobody")
    assert found.status == "failed"
    assert "`independent` is true with one latent for the scene" in found.reason
