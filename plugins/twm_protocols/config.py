"""What the protocols fix. Imports neither torch nor numpy.

Windows, splits and numbers of futures are those of the published tables where there is one (see the README of this plugin); where the
files are is never fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from twm_core.kinds.protocol import ProtocolConfig

Fields = Mapping[str, Any]

MARGINAL: Mapping[str, Fields] = {"displacement": {}}
JOINT: Mapping[str, Fields] = {"joint-displacement": {}, "existence": {}, "presence": {}}
SPREAD: Mapping[str, Fields] = {n: {} for n in ("miss-rate", "nll", "energy-score", "crps", "calibration", "collision")}
WALKING: Mapping[str, Fields] = {
    n: {} for n in ("zero-velocity", "constant-velocity", "sampled-constant-velocity", "least-squares", "constant-turn-rate", "kalman")
}
DRIVING: Mapping[str, Fields] = {n: {} for n in ("zero-velocity", "constant-velocity", "constant-turn-rate", "kalman", "idm")}


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


class NgsimConfig(ProtocolConfig):
    """NGSIM at 5 Hz, split by vehicle 70 / 10 / 20; a store imported from the full files of US-101 and I-80."""

    may_differ: ClassVar[frozenset[str]] = frozenset({"eval_stride_seconds", "predicted_seconds", "max_agents"})

    def dataset(self) -> tuple[str, Fields]:
        """The dataset `store`."""
        return "store", {
            "dt": 0.2,
            "observed_seconds": 3.0,
            "predicted_seconds": 5.0,
            "eval_stride_seconds": 0.2,
            "split": "vehicle",
            "val_share": 0.1,
            "test_share": 0.2,
            "max_agents": 400,
        }

    def futures(self) -> int:
        """One."""
        return 1

    def metrics(self) -> Mapping[str, Fields]:
        """Distances and RMSE at each second."""
        return {**MARGINAL, "rmse": {}}

    def baselines(self) -> Mapping[str, Fields]:
        """Those of vehicles."""
        return DRIVING


class VehiclesConfig(ProtocolConfig):
    """Vehicles in CommonRoad files; no vehicle and no moment of a test file is trained on."""

    may_differ: ClassVar[frozenset[str]] = frozenset({"eval_stride_seconds", "predicted_seconds", "max_agents"})

    def dataset(self) -> tuple[str, Fields]:
        """The dataset `commonroad`."""
        return "commonroad", {
            "dt": 0.1,
            "observed_seconds": 1.0,
            "predicted_seconds": 3.0,
            "eval_stride_seconds": 1.0,
            "max_agents": 64,
        }

    def futures(self) -> int:
        """Six."""
        return 6

    def metrics(self) -> Mapping[str, Fields]:
        """Distances of vehicles and of whole windows, existence, and how well futures represent what happened."""
        return {**MARGINAL, **JOINT, **SPREAD}

    def baselines(self) -> Mapping[str, Fields]:
        """Those of vehicles."""
        return DRIVING


class MotorwayConfig(ProtocolConfig):
    """Simulated motorways; the three test sites are held out."""

    may_differ: ClassVar[frozenset[str]] = frozenset(
        {"evaluation_stride_seconds", "evaluation_runs", "run_seconds", "warm_up_seconds", "predicted_seconds", "max_agents"}
    )

    def dataset(self) -> tuple[str, Fields]:
        """The dataset `highway`."""
        return "highway", {
            "dt": 0.2,
            "observed_seconds": 1.0,
            "predicted_seconds": 5.0,
            "evaluation_stride_seconds": 3.0,
            "max_agents": 64,
            "seed": 0,
            "evaluation_runs": 2,
            "run_seconds": 60.0,
            "warm_up_seconds": 45.0,
            "test_sites": ["interchange-3", "waves-bend-2", "fork-4"],
        }

    def futures(self) -> int:
        """Six."""
        return 6

    def metrics(self) -> Mapping[str, Fields]:
        """Distances of vehicles and of whole windows, existence, and how well futures represent what happened."""
        return {**MARGINAL, **JOINT, **SPREAD}

    def baselines(self) -> Mapping[str, Fields]:
        """Those of vehicles."""
        return DRIVING


class SumoConfig(ProtocolConfig):
    """A store of SUMO recordings (`twm data simulate`), split by site."""

    may_differ: ClassVar[frozenset[str]] = frozenset({"eval_stride_seconds", "predicted_seconds", "max_agents"})

    split_by: Literal["site", "stored"] = Field("site", description="Hold out whole sites, or what twm data split has decided.")

    def dataset(self) -> tuple[str, Fields]:
        """The dataset `store`."""
        return "store", {
            "dt": 0.1,
            "observed_seconds": 1.0,
            "predicted_seconds": 3.0,
            "eval_stride_seconds": 1.0,
            "split": self.split_by,
            "val_share": 0.15,
            "test_share": 0.15,
            "max_agents": 64,
        }

    def futures(self) -> int:
        """Six."""
        return 6

    def metrics(self) -> Mapping[str, Fields]:
        """Distances of vehicles and of whole windows, existence, and how well futures represent what happened."""
        return {**MARGINAL, **JOINT, **SPREAD}

    def baselines(self) -> Mapping[str, Fields]:
        """Those of vehicles."""
        return DRIVING
