"""Declares the baselines. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="baseline",
            name="zero-velocity",
            summary="Everybody stays where they were last seen.",
            config="twm_baselines.config:ZeroVelocityConfig",
            build="twm_baselines.constant:build_zero_velocity",
        ),
        Component(
            kind="baseline",
            name="constant-velocity",
            summary="Everybody keeps the last observed velocity, or the mean of the observed ones.",
            config="twm_baselines.config:ConstantVelocityConfig",
            build="twm_baselines.constant:build_constant_velocity",
        ),
        Component(
            kind="baseline",
            name="sampled-constant-velocity",
            summary="Futures at constant velocity in directions drawn around the last one.",
            config="twm_baselines.config:SampledConstantVelocityConfig",
            build="twm_baselines.sampled:build",
        ),
        Component(
            kind="baseline",
            name="least-squares",
            summary="Everybody goes on along the line that fits their observed positions best.",
            config="twm_baselines.config:LeastSquaresConfig",
            build="twm_baselines.least_squares:build",
        ),
        Component(
            kind="baseline",
            name="constant-turn-rate",
            summary="Everybody keeps speed and yaw rate, and so drives an arc; needs yaw rates.",
            config="twm_baselines.config:ConstantTurnRateConfig",
            build="twm_baselines.constant:build_constant_turn_rate",
        ),
        Component(
            kind="baseline",
            name="kalman",
            summary="Kalman filter of constant velocity or acceleration, noises by maximum likelihood; gives futures and densities.",
            config="twm_baselines.config:KalmanConfig",
            build="twm_baselines.kalman:build",
        ),
        Component(
            kind="baseline",
            name="idm",
            summary="Vehicles follow leader and lane by the intelligent driver model, fitted on training windows; others keep velocity.",
            config="twm_baselines.config_idm:IDMConfig",
            build="twm_baselines.idm:build",
        ),
    ]
