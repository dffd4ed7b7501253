"""The two branches that losses on single steps read: the reconstruction of the present step, and its prediction from the one before."""

from __future__ import annotations

from collections.abc import Iterator

from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Outputs
from twm_losses.config_one_step import OneStepConfig


def branches(config: OneStepConfig, outputs: Outputs) -> Iterator[tuple[str, float, dict[str, Distribution]]]:
    """Name, factor and what was decoded, for every branch whose factor is above 0; the other is not there to be read."""
    for name, factor, decoded in (
        ("reconstruction", config.reconstruction, outputs.reconstruction),
        ("prediction", config.prediction, outputs.prediction),
    ):
        if factor > 0:
            yield name, factor, decoded
