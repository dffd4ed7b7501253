"""Declares the datasets and readers `commonroad` and `ethucy`."""

from __future__ import annotations

from collections.abc import Sequence

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> Sequence[Component]:
    """The datasets and readers of this plugin."""
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
        Component(
            kind="dataset",
            name="store",
            summary="Scenarios from one or several stores (twm data import), split by site, time or vehicle.",
            config="twm_datasets.config:StoreConfig",
            build="twm_datasets.store:build",
        ),
        Component(
            kind="reader",
            name="commonroad",
            summary="Obstacles with trajectories and lanelet maps from CommonRoad XML files (2018b, 2020a).",
            config="twm_datasets.config_readers:CommonRoadReaderConfig",
            build="twm_datasets.commonroad_reader:build",
        ),
        Component(
            kind="reader",
            name="ethucy",
            summary="Pedestrians of the ETH/UCY text files, whole recordings.",
            config="twm_datasets.config_readers:EthUcyReaderConfig",
            build="twm_datasets.ethucy_reader:build",
        ),
    ]
