"""Declares the readers `argoverse2`, `argoverse2-sensor`, `scenarionet`, `waymo` and `waymo-json`."""

from __future__ import annotations

from collections.abc import Sequence

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> Sequence[Component]:
    """The readers of this plugin."""
    return [
        Component(
            kind="reader",
            name="argoverse2",
            summary="Argoverse 2 motion forecasting: scenario parquet files with their map archives.",
            config="twm_driving.config:Argoverse2Config",
            build="twm_driving.argoverse2.reader:build",
        ),
        Component(
            kind="reader",
            name="argoverse2-sensor",
            summary="Argoverse 2 sensor logs: annotated boxes in the ego frame, ego poses and vector maps.",
            config="twm_driving.config:Argoverse2SensorConfig",
            build="twm_driving.argoverse2.sensor_reader:build",
        ),
        Component(
            kind="reader",
            name="scenarionet",
            summary="ScenarioNet and MetaDrive scenario pickles (nuScenes, nuPlan, Waymo, ...), read without executing anything.",
            config="twm_driving.config:ScenarioNetConfig",
            build="twm_driving.scenarionet.reader:build",
        ),
        Component(
            kind="reader",
            name="waymo",
            summary="Waymo Open Motion Dataset: TFRecord files of Scenario protos, read without TensorFlow.",
            config="twm_driving.config:WaymoConfig",
            build="twm_driving.waymo.reader:build",
        ),
        Component(
            kind="reader",
            name="waymo-json",
            summary="Waymo scenarios as JSON files, as Nocturne and GPUDrive write them.",
            config="twm_driving.config:WaymoJsonConfig",
            build="twm_driving.waymo.json_reader:build",
        ),
    ]
