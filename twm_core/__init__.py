"""twm: world models of traffic made of interchangeable parts.

This module is the plugin author's API and imports no torch: declare components with `Component` and `hookimpl`, derive configs from
the config base of their kind, and describe what flows with specs. The torch-side interfaces stand in `twm_core.nn.interfaces`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twm_core.component import Component
    from twm_core.config import ComponentConfig
    from twm_core.errors import (
        AmbiguousComponentError,
        AssemblyError,
        CheckpointError,
        DataError,
        Mismatch,
        PluginError,
        TwmError,
        UnknownComponentError,
        UsageError,
    )
    from twm_core.hooks import hookimpl
    from twm_core.kinds import KINDS, Kind
    from twm_core.kinds.baseline import BaselineConfig
    from twm_core.kinds.dataset import DatasetConfig
    from twm_core.kinds.decoder import DecoderConfig
    from twm_core.kinds.dynamics import DynamicsConfig
    from twm_core.kinds.encoder import EncoderConfig
    from twm_core.kinds.loss import LossConfig
    from twm_core.kinds.metric import MetricConfig
    from twm_core.kinds.optimizer import OptimizerConfig
    from twm_core.kinds.protocol import ProtocolConfig
    from twm_core.kinds.reader import ReaderConfig
    from twm_core.kinds.renderer import RendererConfig
    from twm_core.kinds.simulator import SimulatorConfig
    from twm_core.specs import (
        ActionSpec,
        BaselineSpecs,
        DatasetSpecs,
        DecoderSpecs,
        DynamicsSpecs,
        EmbeddingSpec,
        EncoderSpecs,
        Feature,
        ForecastSpec,
        KeySpec,
        LatentSpec,
        LossSpecs,
        MetricSpecs,
        ObservationSpec,
        OptimizerSpecs,
        OutputKey,
        OutputSpec,
        Score,
    )

__version__ = "0.2.0"

_HOMES = {
    "twm_core.component": ("Component",),
    "twm_core.config": ("ComponentConfig",),
    "twm_core.errors": (
        "AmbiguousComponentError",
        "AssemblyError",
        "CheckpointError",
        "DataError",
        "Mismatch",
        "PluginError",
        "TwmError",
        "UnknownComponentError",
        "UsageError",
    ),
    "twm_core.hooks": ("hookimpl",),
    "twm_core.kinds": (
        "KINDS",
        "Kind",
    ),
    "twm_core.kinds.baseline": ("BaselineConfig",),
    "twm_core.kinds.dataset": ("DatasetConfig",),
    "twm_core.kinds.decoder": ("DecoderConfig",),
    "twm_core.kinds.dynamics": ("DynamicsConfig",),
    "twm_core.kinds.encoder": ("EncoderConfig",),
    "twm_core.kinds.loss": ("LossConfig",),
    "twm_core.kinds.metric": ("MetricConfig",),
    "twm_core.kinds.optimizer": ("OptimizerConfig",),
    "twm_core.kinds.protocol": ("ProtocolConfig",),
    "twm_core.kinds.reader": ("ReaderConfig",),
    "twm_core.kinds.renderer": ("RendererConfig",),
    "twm_core.kinds.simulator": ("SimulatorConfig",),
    "twm_core.specs": (
        "ActionSpec",
        "BaselineSpecs",
        "DatasetSpecs",
        "DecoderSpecs",
        "DynamicsSpecs",
        "EmbeddingSpec",
        "EncoderSpecs",
        "Feature",
        "ForecastSpec",
        "KeySpec",
        "LatentSpec",
        "LossSpecs",
        "MetricSpecs",
        "ObservationSpec",
        "OptimizerSpecs",
        "OutputKey",
        "OutputSpec",
        "Score",
    ),
}
__all__ = [
    "KINDS",
    "ActionSpec",
    "AmbiguousComponentError",
    "AssemblyError",
    "BaselineConfig",
    "BaselineSpecs",
    "CheckpointError",
    "Component",
    "ComponentConfig",
    "DataError",
    "DatasetConfig",
    "DatasetSpecs",
    "DecoderConfig",
    "DecoderSpecs",
    "DynamicsConfig",
    "DynamicsSpecs",
    "EmbeddingSpec",
    "EncoderConfig",
    "EncoderSpecs",
    "Feature",
    "ForecastSpec",
    "KeySpec",
    "Kind",
    "LatentSpec",
    "LossConfig",
    "LossSpecs",
    "MetricConfig",
    "MetricSpecs",
    "Mismatch",
    "ObservationSpec",
    "OptimizerConfig",
    "OptimizerSpecs",
    "OutputKey",
    "OutputSpec",
    "PluginError",
    "ProtocolConfig",
    "ReaderConfig",
    "RendererConfig",
    "Score",
    "SimulatorConfig",
    "TwmError",
    "UnknownComponentError",
    "UsageError",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    """Import a name of this module when it is first used: a plugin that only declares needs neither pydantic nor the specs."""
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
