"""The declaration of the plugin: its components resolve, its configs keep the rules, and declaring imports neither torch nor numpy."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from twm_core.config import check_config_class
from twm_core.kinds.dataset import DatasetConfig
from twm_core.kinds.reader import ReaderConfig
from twm_datasets.plugin import twm_components

DATASETS = [c for c in twm_components() if c.kind == "dataset"]
READERS = [c for c in twm_components() if c.kind == "reader"]


@pytest.mark.parametrize("component", READERS, ids=lambda c: c.name)
def test_a_reader_resolves(component):
    module, name = component.config.split(":")
    config = check_config_class(getattr(importlib.import_module(module), name), ReaderConfig, component.name)
    module, name = component.build.split(":")
    assert getattr(importlib.import_module(module), name)(config()).credits.dataset


def test_readers_do_without_torch():
    modules = ", ".join(c.build.split(":")[0] for c in READERS)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("component", DATASETS, ids=lambda c: c.name)
def test_a_component_resolves_and_describes_what_it_gives(component):
    module, name = component.config.split(":")
    config = check_config_class(getattr(importlib.import_module(module), name), DatasetConfig, component.name)
    seen, action = config().observations()
    assert action is None
    assert seen.protocol.startswith(component.name)
    module, name = component.build.split(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_protocols_are_named_after_their_windows():
    config = importlib.import_module("twm_datasets.config")
    commonroad, ethucy = config.CommonRoadConfig, config.EthUcyConfig
    assert commonroad().observations()[0].protocol == "commonroad@1s+3s"
    assert ethucy().observations()[0].protocol == "ethucy-eth@sgan"
    assert (ethucy().observations()[0].context, ethucy().observations()[0].horizon) == (8, 12)
    assert ethucy(predicted_seconds=2.0, convention="all").observations()[0].protocol == "ethucy-eth@all/8+5"


def test_declaring_imports_neither_torch_nor_numpy():
    code = (
        "import sys, twm_datasets.plugin, twm_datasets.config_readers, twm_datasets.config as c;"
        "c.CommonRoadConfig().observations(); c.EthUcyConfig().observations();"
        "print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
