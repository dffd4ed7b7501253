"""What the protocols of pedestrians fix: the folds of ETH/UCY. Torch-free.

Windows, splits and numbers of futures are those of the published tables where there is one (see the README of this plugin); where the
files are is never fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from twm_core.kinds.protocol import ProtocolConfig
from twm_protocols.scores import JOINT, MARGINAL, SPREAD, WALKING, Fields


class EthUcyConfig(ProtocolConfig):
    """One fold of ETH/UCY: 8 observed and 12 predicted steps of 0.4 s, stride 1, best of 20."""

    may_differ: ClassVar[frozenset[str]] = frozenset({"convention", "assert_counts", "max_agents"})

    fold: Literal["eth", "hotel", "univ", "zara1", "zara2"] = Field("eth", description="The recording that is tested and never trained on.")
    eth_time: Literal["sgan", "true"] = Field(
        "sgan", description="Seconds per step of the eth recording: 0.4 as in Social-GAN, or its true 10 frames of 15 fps, 0.667."
    )
    counts: bool = Field(True, description="Refuse files whose test windows and pedestrians are not as many as the published ones.")

    convention: ClassVar[str]

    def dataset(self) -> tuple[str, Fields]:
        """The dataset `ethucy`; test windows and pedestrians must be as many as published, unless `counts` is off."""
        return "ethucy", {
            "fold": self.fold,
            "convention": self.convention,
            "eth_time": self.eth_time,
            "observed_seconds": 3.2,
            "predicted_seconds": 4.8,
            "max_agents": 128,
            "assert_counts": self.counts,
        }

    def futures(self) -> int:
        """Twenty."""
        return 20

    def metrics(self) -> Mapping[str, Fields]:
        """Distances, those of pedestrians each by themselves and those of whole windows, and how well futures represent what happened."""
        return {**MARGINAL, **JOINT, **SPREAD}

    def baselines(self) -> Mapping[str, Fields]:
        """Those that need no road."""
        return WALKING


class EthUcySganConfig(EthUcyConfig):
    """Windows with at least two pedestrians who are there at all steps, as in Social-GAN's loader."""

    convention: ClassVar[str] = "sgan"


class EthUcyAllConfig(EthUcyConfig):
    """Every window."""

    convention: ClassVar[str] = "all"
