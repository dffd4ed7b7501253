"""The config of the metric `realism`: ranges, bins and weights of the challenge, and sizes where data has none. Torch-free.

Ranges, bins, pseudocounts and weights are facts of the challenge's published configurations of 2023 and 2024 (Montali et al., "The Waymo
Open Sim Agents Challenge", NeurIPS 2023, and the challenge's metric configurations of both years). The weights add up to 1 in 2024 and to
0.99 in 2023; the realism score divides by the sum of those that count.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from twm_core.errors import Mismatch, UsageError
from twm_core.kinds.metric import MetricConfig
from twm_core.specs import AGENT_TYPES, ForecastSpec, ObservationSpec, Score


class Bins(NamedTuple):
    """A histogram of one feature: its range, the number of its bins, and its weight in the realism score."""

    low: float
    high: float
    count: int
    weight: float


INDICATIONS = ("collision", "offroad")
"""Features that are yes or no for a whole future."""

BINS: dict[str, dict[str, Bins]] = {
    "2023": {
        "linear_speed": Bins(0.0, 35.0, 10, 0.09),
        "linear_acceleration": Bins(-15.0, 15.0, 10, 0.09),
        "angular_speed": Bins(-31.5, 31.5, 10, 0.09),
        "angular_acceleration": Bins(-31.5, 31.5, 10, 0.09),
        "object_distance": Bins(-5.0, 40.0, 10, 0.09),
        "time_to_collision": Bins(0.0, 5.0, 10, 0.09),
        "collision": Bins(-0.5, 1.5, 2, 0.18),
        "road_edge_distance": Bins(-20.0, 40.0, 10, 0.09),
        "offroad": Bins(-0.5, 1.5, 2, 0.18),
    },
    "2024": {
        "linear_speed": Bins(0.0, 25.0, 10, 0.05),
        "linear_acceleration": Bins(-12.0, 12.0, 11, 0.05),
        "angular_speed": Bins(-0.628, 0.628, 11, 0.05),
        "angular_acceleration": Bins(-3.14, 3.14, 11, 0.05),
        "object_distance": Bins(-5.0, 40.0, 10, 0.1),
        "time_to_collision": Bins(0.0, 5.0, 10, 0.1),
        "collision": Bins(-0.5, 1.5, 2, 0.25),
        "road_edge_distance": Bins(-20.0, 40.0, 10, 0.1),
        "offroad": Bins(-0.5, 1.5, 2, 0.25),
    },
}
"""The histograms by year and feature, in the order of the scores."""

FEATURES = tuple(BINS["2024"])


class RealismConfig(MetricConfig):
    """Realism of futures, as the Waymo Open Sim Agents Challenge scores it, on any data."""

    over: ClassVar[Literal["agents", "windows"]] = "windows"

    challenge: Literal["2023", "2024"] = Field("2024", description="Year of the challenge whose bins and weights are used.")
    per_step: bool = Field(False, description="One histogram for each step instead of one over all steps of an agent.")
    histogram_pseudocount: float = Field(0.1, gt=0, description="Added to each bin of a histogram.")
    indication_pseudocount: float = Field(0.001, gt=0, description="Added to yes and to no of collision and off-road.")
    corner_rounding: float = Field(0.7, ge=0, le=1, description="How round the corners of boxes are: 0 rectangles, 1 capsules.")
    sizes: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="Length and width in metres by type of agent, where the data has none and the default does not fit.",
    )
    road_types: tuple[str, ...] = Field(
        ("car", "truck", "bus", "motorcycle"), description="Types of agents that belong on lanes: only they are off the road or not."
    )
    longest_gap: float = Field(100.0, gt=0, description="Metres to the leader up to which a vehicle counts as following.")

    def accepts(self, obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
        """None where there are agents with positions and headings, and at least three predicted steps."""
        self.check()
        if not obs_spec.has("agents.state"):
            return Mismatch(needs="agents (agents.state)", got=obs_spec.describe())
        names = [f.name for f in obs_spec.get("agents.state").features]
        if missing := [n for n in ("x", "y", "heading") if n not in names]:
            return Mismatch(needs=f"the features x, y and heading of agents; {', '.join(missing)} missing", got=names)
        if obs_spec.horizon < 3:
            return Mismatch(needs="at least 3 predicted steps, for accelerations", got=f"{obs_spec.horizon}")
        if tuple(forecast.states[:2]) != ("x", "y"):
            return Mismatch(needs="forecasts that begin with x and y", got=forecast.states)
        return None

    def check(self) -> None:
        """Check names of types and sizes.

        Raises:
            UsageError: An unknown type, or a size that is not positive.
        """
        for field, names in (("sizes", tuple(self.sizes)), ("road_types", self.road_types)):
            if unknown := [n for n in names if n not in AGENT_TYPES]:
                raise UsageError(f"metric realism: {field} names {', '.join(unknown)}", f"types are {', '.join(AGENT_TYPES)}")
        if bad := [n for n, size in self.sizes.items() if min(size) <= 0]:
            raise UsageError(f"metric realism: the size of {', '.join(bad)} is not positive", "give length and width in metres")

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """The realism score, the likelihood of each feature, then the plain statistics of futures and log."""
        return (
            Score(name="realism", better="higher"),
            *(Score(name=f"{n}_likelihood", better="higher") for n in FEATURES),
            Score(name="weight_counted", better="none"),
            *(Score(name=f"{n}_rate{side}", better="none") for n in INDICATIONS for side in ("", "_log")),
            *(
                Score(name=f"{n}_{what}", unit=unit, better="lower" if what == "distance" else "none")
                for n, unit in (("speed", "m/s"), ("time_gap", "s"), ("space_gap", "m"))
                for what in ("mean", "mean_log", "distance")
            ),
            *(Score(name=f"following{side}", better="none") for side in ("", "_log")),
            Score(name="minade", unit="m"),
        )
