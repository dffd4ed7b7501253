"""Declares the metrics. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="metric",
            name="displacement",
            summary="Distances of the mean and of the best future from the truth, for each agent.",
            config="twm_metrics.config:DisplacementConfig",
            build="twm_metrics.displacement:build",
        ),
        Component(
            kind="metric",
            name="joint-displacement",
            summary="Distances of the best future of a whole window, the same one for all its agents.",
            config="twm_metrics.config:JointDisplacementConfig",
            build="twm_metrics.joint:build",
        ),
        Component(
            kind="metric",
            name="existence",
            summary="How well a forecast knows which agents are there.",
            config="twm_metrics.config:ExistenceConfig",
            build="twm_metrics.existence:build",
        ),
        Component(
            kind="metric",
            name="miss-rate",
            summary="Share of agents none of whose futures ends near the truth.",
            config="twm_metrics.config_motion:MissRateConfig",
            build="twm_metrics.miss_rate:build",
        ),
        Component(
            kind="metric",
            name="rmse",
            summary="Root mean square error of the mean future at each second.",
            config="twm_metrics.config_motion:RMSEConfig",
            build="twm_metrics.rmse:build",
        ),
        Component(
            kind="metric",
            name="moving",
            summary="ADE of the agents that move.",
            config="twm_metrics.config_motion:MovingConfig",
            build="twm_metrics.moving:build",
        ),
        Component(
            kind="metric",
            name="heading",
            summary="Errors of headings and of directions of motion.",
            config="twm_metrics.config_motion:HeadingConfig",
            build="twm_metrics.heading:build",
        ),
        Component(
            kind="metric",
            name="acceleration",
            summary="Error of accelerations, and how large they are.",
            config="twm_metrics.config_motion:AccelerationConfig",
            build="twm_metrics.acceleration:build",
        ),
        Component(
            kind="metric",
            name="nll",
            summary="Negative log-likelihood of the truth under a kernel density of the futures, and under the forecaster's own.",
            config="twm_metrics.config_probabilistic:NLLConfig",
            build="twm_metrics.nll:build",
        ),
        Component(
            kind="metric",
            name="energy-score",
            summary="Energy score of whole trajectories.",
            config="twm_metrics.config_probabilistic:EnergyScoreConfig",
            build="twm_metrics.energy_score:build",
        ),
        Component(
            kind="metric",
            name="crps",
            summary="Continuous ranked probability score along and across the last movement.",
            config="twm_metrics.config_probabilistic:CRPSConfig",
            build="twm_metrics.crps:build",
        ),
        Component(
            kind="metric",
            name="collision",
            summary="Probability that an agent touches another one, in futures and in the log.",
            config="twm_metrics.config_motion:CollisionConfig",
            build="twm_metrics.collision:build",
        ),
        Component(
            kind="metric",
            name="presence",
            summary="How many agents are said to be there, and when they are said to leave.",
            config="twm_metrics.config:PresenceConfig",
            build="twm_metrics.presence:build",
        ),
        Component(
            kind="metric",
            name="calibration",
            summary="Ranks of the truth among the futures, and reliability of the probabilities of futures and of existence.",
            config="twm_metrics.config_probabilistic:CalibrationConfig",
            build="twm_metrics.calibration:build",
        ),
    ]
