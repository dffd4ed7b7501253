"""Configs of the recorded datasets: where the files are, how windows are cut, and which tokens exist. Torch-free and numpy-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from twm_core.data.schema import TRAFFIC_FEATURES, MappedTrafficConfig, TrafficConfig, traffic_observations
from twm_core.errors import UsageError
from twm_core.specs import ActionSpec, ObservationSpec

COMMONROAD_FEATURES = (
    "x",
    "y",
    "heading",
    "vx",
    "vy",
    "ax",
    "ay",
    "yaw_rate",
    "length",
    "width",
    "lane_offset",
    "lane_angle",
    "lane_turn_20",
    "lane_turn_50",
    "lane_end",
    "speed_limit",
    "lane_known",
    "lane_left",
    "lane_right",
    "leader_gap",
    "leader_speed",
    "leader_known",
    "fresh",
)
"""Features of `commonroad`, in order."""

ETHUCY_FEATURES = ("x", "y", "heading", "vx", "vy", "ax", "ay", "yaw_rate", "fresh")
"""Features of `ethucy`, in order."""

ETHUCY_DT = 0.4
"""Nominal seconds between two annotated steps of the ETH/UCY files."""


class CommonRoadConfig(MappedTrafficConfig):
    """Vehicles and lanes from CommonRoad XML (2018b; 2020a where it uses the same elements)."""

    path: str = Field("", description="Folder of CommonRoad XML files, or one such file.")
    stride_seconds: float = Field(0.2, gt=0, description="Seconds between the starts of two training windows.")
    mirror: float = Field(0.5, ge=0, le=1, description="Probability with which a training window is mirrored.")
    dt: float = Field(0.1, gt=0, description="Seconds between two steps; every file must have this timeStepSize.")
    eval_stride_seconds: float = Field(1.0, gt=0, description="Seconds between the starts of two validation or test windows.")
    lanes: int = Field(4096, ge=2, description="Number of lane tokens including 0 for unknown; lanes are hashed into the others.")
    sites: int = Field(64, ge=2, description="Number of site tokens including 0 for unknown; sites are hashed into the others.")

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        """Motion, size and lane features of every vehicle, lane and site tokens, the map raster if asked for; no actions."""
        for name in ("stride_seconds", "eval_stride_seconds"):
            self.steps(name, self.dt)
        obs_spec = traffic_observations(
            features=COMMONROAD_FEATURES,
            dt=self.dt,
            context=self.steps("observed_seconds", self.dt),
            horizon=self.steps("predicted_seconds", self.dt),
            protocol=f"commonroad@{self.observed_seconds:g}s+{self.predicted_seconds:g}s",
            lanes=self.lanes,
            sites=self.sites,
            raster_size=self.raster_size if self.raster else 0,
        )
        return obs_spec, None


STORE_FEATURES = COMMONROAD_FEATURES
"""Features of `store` by default, in order."""

OPTIONAL_PREFIXES = ("lane_", "leader_", "follower_")
OPTIONAL_FEATURES = ("speed_limit", "time_headway", "time_to_collision")
"""What a store may lack: features of these names, and those that begin so, are 0 then, and their `*_known` flags with them."""


class StoreConfig(MappedTrafficConfig):
    """Scenarios of one or several stores (`twm data import` makes them)."""

    path: str = Field("", description="A store (a folder X.twm), or several, separated by commas.")
    features: tuple[str, ...] = Field(
        STORE_FEATURES, description="Features of agents; lane_*, leader_* and follower_* ones are 0 for stores that lack them."
    )
    dt: float = Field(0.1, gt=0, description="Seconds between two steps; scenarios with other ones are resampled.")
    split: Literal["auto", "stored", "site", "time", "vehicle"] = Field(
        "auto", description="What no two splits share; stored: as twm data split decided; auto: that where it did, else time."
    )
    val_share: float = Field(0.15, ge=0, lt=1, description="Share of the validation split; not used with stored splits.")
    test_share: float = Field(0.15, ge=0, lt=1, description="Share of the test split; not used with stored splits.")
    gap_seconds: float = Field(0.0, ge=0, description="With the split time: seconds left out after each cut.")
    eval_stride_seconds: float = Field(1.0, gt=0, description="Seconds between the starts of two validation or test windows.")
    mirror: float = Field(0.5, ge=0, le=1, description="Probability with which a training window is mirrored.")
    rotate: bool = Field(False, description="Turn every training window by any angle.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability with which an agent is taken out of a training window.")
    lanes: int = Field(4096, ge=2, description="Number of lane tokens including 0 for unknown; lanes are hashed into the others.")
    sites: int = Field(64, ge=2, description="Number of site tokens including 0 for unknown; sites are hashed into the others.")

    @field_validator("path", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value

    @property
    def paths(self) -> tuple[str, ...]:
        """The stores."""
        return tuple(p.strip() for p in self.path.split(",") if p.strip())

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        """The chosen features of every agent, lane and site tokens, the map raster if asked for; no actions."""
        unknown = [n for n in self.features if n not in TRAFFIC_FEATURES]
        if unknown:
            raise UsageError(f"dataset store: there is no feature {', '.join(unknown)}", f"features are {', '.join(TRAFFIC_FEATURES)}")
        if self.val_share + self.test_share >= 1:
            raise UsageError("dataset store: val_share and test_share leave nothing to train on", "lower them")
        for name in ("stride_seconds", "eval_stride_seconds"):
            self.steps(name, self.dt)
        obs_spec = traffic_observations(
            features=self.features,
            dt=self.dt,
            context=self.steps("observed_seconds", self.dt),
            horizon=self.steps("predicted_seconds", self.dt),
            protocol=f"store-{self.split}@{self.observed_seconds:g}s+{self.predicted_seconds:g}s",
            lanes=self.lanes,
            sites=self.sites,
            raster_size=self.raster_size if self.raster else 0,
        )
        return obs_spec, None


class EthUcyConfig(TrafficConfig):
    """One leave-one-out fold of ETH/UCY; the defaults of the window are the standard 8 observed + 12 predicted steps, stride 1."""

    path: str = Field(
        "", description="Folder with raw/all_data, raw/train and raw/val (and folds.json, if the membership is not standard)."
    )
    fold: Literal["eth", "hotel", "univ", "zara1", "zara2"] = Field("eth", description="The recording that is tested and never trained on.")
    convention: Literal["sgan", "all"] = Field(
        "sgan", description="Which windows count: sgan needs two pedestrians present at all steps, all needs one."
    )
    eth_time: Literal["sgan", "true"] = Field(
        "sgan", description="Seconds per step of the eth recording: 0.4 as in Social-GAN, or its true 10 frames of 15 fps, 0.667."
    )
    observed_seconds: float = Field(3.2, gt=0, description="Seconds observed before the prediction starts (0.4 per step).")
    predicted_seconds: float = Field(4.8, ge=0, description="Seconds predicted after the observed ones (0.4 per step).")
    stride_seconds: float = Field(0.4, gt=0, description="Seconds between the starts of two training windows (0.4 per step).")
    max_agents: int = Field(128, ge=1, description="Most agents in a window; more are dropped, farthest first, and counted.")
    assert_counts: bool = Field(
        True,
        description="Refuse standard folds (8 + 12 steps) whose test windows and pedestrians are not the published ones; else report.",
    )

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        """Motion of every pedestrian; no lanes, sites or actions."""
        self.steps("stride_seconds", ETHUCY_DT)
        context, horizon = self.steps("observed_seconds", ETHUCY_DT), self.steps("predicted_seconds", ETHUCY_DT)
        name = f"{self.fold}{'-true' if self.eth_time == 'true' else ''}@{self.convention}"
        window = "" if (context, horizon) == (8, 12) else f"/{context}+{horizon}"
        obs_spec = traffic_observations(
            features=ETHUCY_FEATURES, dt=ETHUCY_DT, context=context, horizon=horizon, protocol=f"ethucy-{name}{window}"
        )
        return obs_spec, None
