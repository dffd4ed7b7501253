"""The config of the dataset `highway`: which sites, how long, how the windows are cut. Imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from twm_core.data.schema import MappedTrafficConfig, agent_actions, traffic_observations
from twm_core.errors import UsageError
from twm_core.specs import ActionSpec, Feature, ObservationSpec
from twm_highway.sites import LANE_TOKENS, SITE_NAMES, SITES, site_named

FEATURES = (
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
)
"""The features of `agents.state`; derivatives are always known, so there is no `fresh`."""

SIMULATION_TENTHS = 1
"""Length of a simulation step in tenths of a second."""


class HighwayConfig(MappedTrafficConfig):
    """Simulated motorway traffic: training sites, and held-out sites for the test split."""

    dt: float = Field(0.2, gt=0, description="Seconds between recorded steps, a multiple of the simulation's 0.1 s.")
    observed_seconds: float = Field(1.0, gt=0, description="Seconds observed before the prediction starts.")
    predicted_seconds: float = Field(5.0, ge=0, description="Seconds predicted after the observed ones.")
    stride_seconds: float = Field(1.0, gt=0, description="Seconds between the starts of two training windows.")
    evaluation_stride_seconds: float = Field(3.0, gt=0, description="Seconds between the starts of two windows of val and test.")
    max_agents: int = Field(64, ge=1, description="Most agents in a window; more are dropped, farthest first, and counted.")
    seed: int = Field(0, ge=0, description="Seed of all simulations; every site, split and run has a stream of its own.")
    runs: int = Field(6, ge=1, description="Training runs of each training site.")
    evaluation_runs: int = Field(
        2, ge=1, description="Validation runs of each training site; twice as many test runs of each held-out site."
    )
    run_seconds: float = Field(60.0, gt=0, description="Recorded seconds of a run.")
    warm_up_seconds: float = Field(45.0, ge=0, description="Seconds simulated before recording starts, because the road begins empty.")
    straight_metres: float = Field(
        0.0, ge=0, le=5000, description="Metres of straight road added behind each site, so that vehicles stay for long windows."
    )
    train_sites: tuple[str, ...] = Field(SITE_NAMES[:7], min_length=1, description="Sites of the splits train and val.")
    test_sites: tuple[str, ...] = Field(SITE_NAMES[7:], min_length=1, description="Sites of the split test, held out from training.")
    actions: bool = Field(False, description="Give each driver's acceleration and lane intent as actions.")

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        """What a batch holds: all features, lane and site tokens, and the drivers' actions and the map raster if asked for.

        Raises:
            UsageError: Seconds that are no whole number of steps, a run shorter than a window, an unknown, repeated or shared site.
        """
        self._check()
        obs_spec = traffic_observations(
            features=FEATURES,
            dt=self.dt,
            context=self.steps("observed_seconds", self.dt),
            horizon=self.steps("predicted_seconds", self.dt),
            protocol=f"highway@{self.observed_seconds:g}s+{self.predicted_seconds:g}s" + ("+actions" if self.actions else ""),
            lanes=LANE_TOKENS,
            sites=len(SITES) + 1,
            raster_size=self.raster_size if self.raster else 0,
        )
        if not self.actions:
            return obs_spec, None
        return obs_spec, agent_actions(("acceleration", "m/s^2"), Feature(name="lane_intent", kind="categorical", size=3))

    def _check(self) -> None:
        tenths = round(self.dt * 10)
        if tenths < SIMULATION_TENTHS or abs(self.dt * 10 - tenths) > 1e-6:
            raise UsageError(f"dataset highway simulates steps of 0.1 s, so dt = {self.dt:g} s is not possible", "use a multiple of 0.1")
        for name in ("stride_seconds", "evaluation_stride_seconds", "run_seconds"):
            self.steps(name, self.dt)
        if self.observed_seconds + self.predicted_seconds > self.run_seconds:
            raise UsageError(
                f"dataset highway: a run of {self.run_seconds:g} s is shorter than a window of"
                f" {self.observed_seconds:g} + {self.predicted_seconds:g} s",
                "raise run_seconds or shorten the window",
            )
        for field in ("train_sites", "test_sites"):
            names = getattr(self, field)
            for name in names:
                site_named(name)
            if len(set(names)) < len(names):
                raise UsageError(f"dataset highway: {field} names a site twice: {', '.join(names)}", "name each site once")
        if shared := sorted(set(self.train_sites) & set(self.test_sites)):
            raise UsageError(f"dataset highway: {', '.join(shared)} is both a training and a test site", "hold the test sites out")
