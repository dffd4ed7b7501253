"""What the protocols of vehicles fix: recorded and simulated ones. Torch-free.

Windows, splits and numbers of futures are those of the published tables where there is one (see the README of this plugin); where the
files are is never fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from twm_core.kinds.protocol import ProtocolConfig
from twm_protocols.scores import DRIVING, JOINT, MARGINAL, SPREAD, Fields


class VehiclesProtocolConfig(ProtocolConfig):
    """Base of the protocols of vehicles."""

    def futures(self) -> int:
        """Six."""
        return 6

    def metrics(self) -> Mapping[str, Fields]:
        """Distances of vehicles and of whole windows, existence, and how well futures represent what happened."""
        return {**MARGINAL, **JOINT, **SPREAD}

    def baselines(self) -> Mapping[str, Fields]:
        """Those of vehicles."""
        return DRIVING


class NgsimConfig(VehiclesProtocolConfig):
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


class VehiclesConfig(VehiclesProtocolConfig):
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


class MotorwayConfig(VehiclesProtocolConfig):
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


class SumoConfig(VehiclesProtocolConfig):
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
