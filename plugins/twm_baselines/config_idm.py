"""Config of the baseline `idm`. Imports neither torch nor numpy."""

from __future__ import annotations

from pydantic import Field

from twm_baselines.config import MotionConfig, lacking
from twm_core.data.schema import MOTION
from twm_core.errors import Mismatch
from twm_core.specs import ObservationSpec

LEADER = ("leader_gap", "leader_speed", "leader_known")
LANE = ("lane_angle", "lane_known", "lane_turn_20", "lane_turn_50")


class IDMConfig(MotionConfig):
    """The intelligent driver model; parameters that are left out are fitted on training windows."""

    desired_speed: float | None = Field(None, gt=0, description="v0 where no speed limit is known, m/s; none: fitted.")
    compliance: float | None = Field(None, gt=0, description="v0 as a multiple of the speed limit, where one is known; none: fitted.")
    headway: float | None = Field(None, gt=0, description="Time gap T to the leader, s; none: fitted.")
    standstill: float | None = Field(None, gt=0, description="Gap s0 to a leader that stands, m; none: fitted.")
    acceleration: float | None = Field(None, gt=0, description="Maximum acceleration a, m/s^2; none: fitted.")
    braking: float | None = Field(None, gt=0, description="Comfortable braking b, m/s^2; none: fitted.")
    fit_windows: int = Field(128, ge=1, description="Most training windows to fit to, evenly spaced.")

    def accepts(self, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs lengths, and leaders or lanes."""
        refused = lacking(obs_spec, (*MOTION, "length"))
        if refused is None and lacking(obs_spec, LEADER) is not None and lacking(obs_spec, LANE) is not None:
            known = ", ".join(f.name for f in obs_spec.get("agents.state").features)
            return Mismatch(needs=f"features of leaders ({', '.join(LEADER)}) or of lanes ({', '.join(LANE)})", got=f"features {known}")
        return refused
