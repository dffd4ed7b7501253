"""Declares the dataset components `commonroad` and `ethucy`."""

from __future__ import annotations

from collections.abc import Sequence

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> Sequence[Component]:
    """The datasets of this plugin."""
    return [
        Component(
            kind="dataset",
            name="commonroad",
            summary="Vehicles on mapped roads from a folder of CommonRoad XML files (such as NGSIM), split by time and vehicle.",
            config="twm_datasets.config:CommonRoadConfig",
            build="twm_datasets.commonroad:build",
        ),
        Component(
            kind="dataset",
            name="ethucy",
            summary="Pedestrians of the ETH/UCY recordings, leave-one-out folds, 8 observed + 12 predicted steps.",
            config="twm_datasets.config:EthUcyConfig",
            build="twm_datasets.ethucy:build",
        ),
    ]
