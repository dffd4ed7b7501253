"""The schema of traffic batches: which keys and features they hold. Torch-free and numpy-free, for configs.

agents.state   float32 [B,T,A,F]   the features below, SI units, world frame with a local origin
agents.exists  bool    [B,T,A]     observed (or interpolated) at this step
agents.code    uint8   [B,T,A]     target: why not, see `EXISTENCE_CODES` (it knows who will enter)
agents.type    int64   [B,A]       index into `twm_core.specs.AGENT_TYPES`
agents.lane    int64   [B,T,A]     lane token, 0 unknown
agents.scored  bool    [B,A]       target: scored by the protocol (may depend on the future, so no encoder may read it)
site           int64   [B]         site token, 0 unknown
dt             float32 [B]         seconds between steps
is_first       bool    [B,T]       true at the first step of the window
agents.track   int64   [B,A]       target: number of the track within its scenario, -1 for padding
scenario       int64   [B]         target: number of the scenario; with the track, what bootstraps resample
map.raster     uint8   [B,C,H,W]   optional: the road map around the scene, channels `RASTER_CHANNELS`; row 0 at the largest y of its frame
map.pose       float32 [B,4]       with it: `POSE`, where the raster lies in the frame of `agents.state`
"""

from __future__ import annotations

from pydantic import Field

from twm_core.errors import UsageError
from twm_core.kinds.dataset import DatasetConfig
from twm_core.specs import AGENT_TYPES, ActionSpec, Feature, KeySpec, ObservationSpec

EXISTENCE_CODES = ("padding", "observed", "interpolated", "occluded", "not_entered", "left")
"""Values of `agents.code`, in order; an agent exists where it is `observed` or `interpolated`."""

_WORLD = {"x": "m", "y": "m", "vx": "m/s", "vy": "m/s", "ax": "m/s^2", "ay": "m/s^2"}
_OWN = {
    "yaw_rate": ("rad/s", "backward difference of the heading"),
    "length": ("m", ""),
    "width": ("m", ""),
    "lane_offset": ("m", "signed distance from the lane's centre line, positive to the left"),
    "lane_turn_20": ("rad", "how much the lane turns over the next 20 m"),
    "lane_turn_50": ("rad", "how much the lane turns over the next 50 m"),
    "lane_end": ("m", "distance to the end of the lane, at most 100"),
    "speed_limit": ("m/s", "0 where unknown"),
    "leader_gap": ("m", "distance to the agent in front, along the heading; 0 where there is none"),
    "leader_speed": ("m/s", "its speed along the heading minus the own; 0 where there is none"),
    "leader_offset": ("m", "how far the agent in front is to the left of the heading; 0 where there is none"),
    "leader_drift": ("m/s", "its speed to the left minus the own; 0 where there is none"),
    "follower_gap": ("m", "distance to the agent behind, against the heading; 0 where there is none"),
    "follower_speed": ("m/s", "its speed along the heading minus the own; 0 where there is none"),
    "follower_offset": ("m", "how far the agent behind is to the left of the heading; 0 where there is none"),
    "follower_drift": ("m/s", "its speed to the left minus the own; 0 where there is none"),
    "time_headway": ("s", "time at the own speed from the own front to the leader's front, at most `LONGEST_HEADWAY`, also without leader"),
    "time_to_collision": (
        "s",
        "space to the leader over the speed of closing in, at most `LONGEST_COLLISION`, also where it does not shrink",
    ),
}
_FLAGS = ("lane_known", "lane_left", "lane_right", "leader_known", "follower_known", "fresh")

LONGEST_HEADWAY = 10.0
"""Seconds, the largest `time_headway`: who is farther behind is not following."""

LONGEST_COLLISION = 20.0
"""Seconds, the largest `time_to_collision`."""

LEADER_FEATURES = (
    *(f"{side}_{what}" for side in ("leader", "follower") for what in ("gap", "speed", "offset", "drift", "known")),
    "time_headway",
    "time_to_collision",
)
"""The features that tell of the agents in front and behind (see `twm_core.data.features.leaders`)."""

TRAFFIC_FEATURES: dict[str, Feature] = {
    **{n: Feature(name=n, unit=u, frame="world") for n, u in _WORLD.items()},
    "heading": Feature(name="heading", unit="rad", kind="angle", frame="world"),
    "velocity_direction": Feature(name="velocity_direction", unit="rad", kind="angle", frame="world"),
    "lane_angle": Feature(name="lane_angle", unit="rad", kind="angle"),
    **{n: Feature(name=n, unit=u) for n, (u, _) in _OWN.items()},
    **{n: Feature(name=n, kind="flag") for n in _FLAGS},
}
"""Every feature that a traffic dataset may put into `agents.state`, by name.

`lane_angle` is heading minus lane direction, `velocity_direction` the direction of `vx`, `vy`, kept while the agent stands. The flags tell
whether a lane is known, whether there is a lane of the same direction to the left or right, whether there is an agent in front or behind
(see `twm_core.data.features.leaders`), and (`fresh`) that derivatives are unknown because the track has just begun: they are 0 then.
"""

RASTER_CHANNELS = ("drivable", "boundary", "centre")
"""Channels of `map.raster`, in order: the area of all lanes, boundaries of lanes and edges of the road, centre lines of lanes."""

POSE = (
    Feature(name="x", unit="m", frame="world"),
    Feature(name="y", unit="m", frame="world"),
    Feature(name="heading", unit="rad", kind="angle", frame="world"),
    Feature(name="metres_per_pixel", unit="m"),
)
"""Features of `map.pose`: the raster's centre, the direction of its columns (its x axis), and its scale."""

MOTION = ("x", "y", "heading", "vx", "vy")
"""The features every traffic dataset has and every state decoder predicts."""


class TrafficConfig(DatasetConfig):
    """Fields that every dataset of traffic windows has. Seconds must be whole numbers of steps of the dataset's `dt`."""

    observed_seconds: float = Field(1.0, gt=0, description="Seconds observed before the prediction starts.")
    predicted_seconds: float = Field(3.0, ge=0, description="Seconds predicted after the observed ones.")
    stride_seconds: float = Field(0.5, gt=0, description="Seconds between the starts of two training windows.")
    max_agents: int = Field(64, ge=1, description="Most agents in a window; more are dropped, farthest first, and counted.")
    train_agents: int = Field(
        24, ge=1, description="Most agents in a training window, those nearest to one of them; val and test keep up to max_agents."
    )
    mirror: float = Field(0.0, ge=0, le=1, description="Probability that a training window is mirrored; not used with actions.")
    scale: float = Field(0.0, ge=0, description="Largest enlargement of a training window (0.25: 1/1.25 to 1.25); not used with actions.")

    def steps(self, name: str, dt: float) -> int:
        """The field `name` (in seconds) as a number of steps of `dt` seconds.

        Raises:
            UsageError: It is not a whole number of steps.
        """
        seconds = getattr(self, name)
        steps = round(seconds / dt)
        if abs(steps * dt - seconds) > 1e-6 * max(1.0, seconds) or (steps == 0 and seconds > 0):
            raise UsageError(
                f"dataset field {name} = {seconds:g} s is not a whole number of steps of {dt:g} s", f"use a multiple of {dt:g}"
            )
        return steps


class MappedTrafficConfig(TrafficConfig):
    """Fields of traffic datasets that have road maps, beside those of all traffic datasets."""

    raster: bool = Field(False, description="Give the road map around each scene as a raster (map.raster, map.pose).")
    raster_size: int = Field(128, ge=8, le=1024, description="Pixels along each side of the map raster; used with raster.")
    metres_per_pixel: float = Field(1.5, gt=0, description="Metres to one pixel of the map raster; used with raster.")


def traffic_observations(
    *,
    features: tuple[str, ...],
    dt: float,
    context: int,
    horizon: int,
    protocol: str,
    lanes: int = 0,
    sites: int = 0,
    raster_size: int = 0,
) -> ObservationSpec:
    """The observation spec of a traffic dataset.

    Args:
        features: Names out of `TRAFFIC_FEATURES`; must include `MOTION`.
        dt: Seconds between steps.
        context: Observed steps.
        horizon: Predicted steps.
        protocol: Name of the protocol that owns windows and metrics.
        lanes: Number of lane tokens including 0 for unknown; 0 where the dataset has no lanes.
        sites: Number of site tokens including 0 for unknown; 0 where the dataset names no site.
        raster_size: Pixels along each side of `map.raster`; 0 where the dataset gives none.
    """
    missing = [n for n in MOTION if n not in features]
    if missing:
        raise UsageError(f"traffic features lack {', '.join(missing)}", f"every traffic dataset has {', '.join(MOTION)}")
    named = tuple(TRAFFIC_FEATURES[n] for n in features)
    keys = [
        KeySpec(key="agents.state", axes="B T A F", shape=(len(named),), features=named),
        KeySpec(key="agents.exists", axes="B T A", dtype="bool"),
        KeySpec(key="agents.type", axes="B A", dtype="int64", classes=len(AGENT_TYPES)),
        KeySpec(key="dt", axes="B"),
        KeySpec(key="is_first", axes="B T", dtype="bool"),
        KeySpec(key="agents.code", axes="B T A", dtype="uint8", classes=len(EXISTENCE_CODES), role="target"),
        KeySpec(key="agents.scored", axes="B A", dtype="bool", role="target"),
        KeySpec(key="agents.track", axes="B A", dtype="int64", role="target"),
        KeySpec(key="scenario", axes="B", dtype="int64", role="target"),
    ]
    if lanes:
        keys.append(KeySpec(key="agents.lane", axes="B T A", dtype="int64", classes=lanes))
    if sites:
        keys.append(KeySpec(key="site", axes="B", dtype="int64", classes=sites))
    if raster_size:
        shape = (len(RASTER_CHANNELS), raster_size, raster_size)
        keys.append(KeySpec(key="map.raster", axes="B C H W", dtype="uint8", shape=shape))
        keys.append(KeySpec(key="map.pose", axes="B D", shape=(len(POSE),), features=POSE))
    return ObservationSpec(keys=tuple(keys), dt=dt, context=context, horizon=horizon, protocol=protocol)


def agent_actions(*names_units: tuple[str, str] | Feature) -> ActionSpec:
    """An action spec of one action per agent; give features, or (name, unit) pairs for continuous ones."""
    return ActionSpec(layout="agents", features=tuple(f if isinstance(f, Feature) else Feature(name=f[0], unit=f[1]) for f in names_units))
