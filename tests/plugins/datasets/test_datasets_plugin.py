"""The declaration of the plugin: its components resolve, its configs keep the rules, and declaring imports neither torch nor numpy."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from twm_core.config import check_config_class
from twm_core.kinds.dataset import DatasetConfig
from twm_datasets.plugin import twm_components


@pytest.mark.parametrize("component", twm_components(), ids=lambda c: c.name)
def test_a_component_resolves_and_describes_what_it_gives(component):
    module, name = component.config.split(":")
    config = check_config_class(getattr(importlib.import_module(module), name), DatasetConfig, component.name)
    seen, action = config().observations()
    assert action is None
    assert seen.protocol.startswith(component.name)
    module, name = component.build.split(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_protocols_are_named_after_their_windows():
    names = [c.config.split(":")[1] for c in twm_components()]
    config = importlib.import_module("twm_datasets.config")
    commonroad, ethucy = (getattr(config, n) for n in names)
    assert commonroad().observations()[0].protocol == "commonroad@1s+3s"
    assert ethucy().observations()[0].protocol == "ethucy-eth@sgan"
    assert (ethucy().observations()[0].context, ethucy().observations()[0].horizon) == (8, 12)
    assert ethucy(predicted_seconds=2.0, convention="all").observations()[0].protocol == "ethucy-eth@all/8+5"


def test_declaring_imports_neither_torch_nor_numpy():
    code = (
        "import sys, twm_datasets.plugin, twm_datasets.config as c; c.CommonRoadConfig().observations(); c.EthUcyConfig().observations();"
        "print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
