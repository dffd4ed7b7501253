"""Configs of the readers `commonroad` and `ethucy`. Torch-free and numpy-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core.kinds.reader import ReaderConfig


class CommonRoadReaderConfig(ReaderConfig):
    """CommonRoad XML files (2018b, 2020a)."""


class EthUcyReaderConfig(ReaderConfig):
    """Text files of BIWI ETH and UCY."""

    scenario_seconds: float = Field(
        0.0, ge=0, description="Cut longer recordings into scenarios of so many seconds; 0 never cuts, so that no window is lost."
    )
    eth_time: Literal["sgan", "true"] = Field(
        "sgan", description="Seconds per step of the eth recording: 0.4 as in Social-GAN, or its true 10 frames of 15 fps, 0.667."
    )
    pieces: bool = Field(
        False,
        description="Read the train and val files as well: they repeat the rows of the whole recordings (all_data), cut once in time.",
    )
