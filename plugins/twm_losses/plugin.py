"""Declares the losses. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="loss",
            name="huber",
            summary="Huber loss on reconstructed states and on states predicted one step ahead.",
            config="twm_losses.config:HuberConfig",
            build="twm_losses.huber:build",
        ),
        Component(
            kind="loss",
            name="existence",
            summary="Binary cross-entropy on whether an agent that has been seen is still there.",
            config="twm_losses.config:ExistenceConfig",
            build="twm_losses.existence:build",
        ),
        Component(
            kind="loss",
            name="kl",
            summary="KL between posterior and prior latents, split or balanced, with free nats.",
            config="twm_losses.config:KLConfig",
            build="twm_losses.kl:build",
        ),
        Component(
            kind="loss",
            name="rollout",
            summary="Huber loss on positions of open-loop rollouts, on all sampled futures and on the best one, with latent overshooting.",
            config="twm_losses.config:RolloutConfig",
            build="twm_losses.rollout:build",
        ),
        Component(
            kind="loss",
            name="angle",
            summary="Angular distance of decoded headings.",
            config="twm_losses.motion.config:AngleConfig",
            build="twm_losses.motion.angle:build",
        ),
        Component(
            kind="loss",
            name="velocity-direction",
            summary="Direction of decoded velocities, for agents that move.",
            config="twm_losses.motion.config:VelocityDirectionConfig",
            build="twm_losses.motion.velocity_direction:build",
        ),
        Component(
            kind="loss",
            name="kinematic",
            summary="Consistency of decoded positions with decoded velocities, and limits of acceleration and yaw rate.",
            config="twm_losses.motion.config:KinematicConfig",
            build="twm_losses.motion.kinematic:build",
        ),
        Component(
            kind="loss",
            name="boundary",
            summary="Soft penalty on positions outside a box or off the drivable part of a map.",
            config="twm_losses.motion.config:BoundaryConfig",
            build="twm_losses.motion.boundary:build",
        ),
        Component(
            kind="loss",
            name="wta",
            summary="Winner takes all over the modes of decoded futures.",
            config="twm_losses.motion.config:WTAConfig",
            build="twm_losses.wta:build",
        ),
        Component(
            kind="loss",
            name="nll",
            summary="Negative log-likelihood of any decoded keys, chosen by regular expression.",
            config="twm_losses.config_likelihood:NLLConfig",
            build="twm_losses.nll:build",
        ),
        Component(
            kind="loss",
            name="mse",
            summary="Mean squared error of any decoded keys, chosen by regular expression.",
            config="twm_losses.config_likelihood:MSEConfig",
            build="twm_losses.mse:build",
        ),
    ]
