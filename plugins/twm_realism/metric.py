"""The metric `realism`: likelihoods of the log under histograms of simulated futures, and plain statistics of both.

For each scored agent, features of all futures make one histogram each; the logged feature has a likelihood in it at every step. A window's
likelihood of a feature is exp(mean over agents and steps of the log-likelihood), that of collision and off-road exp(mean over agents), and
the score of a data set is the mean over windows: the challenge's way (Montali et al., NeurIPS 2023), in which a scenario is one unit, so
units are windows here too. `realism` is the mean of the likelihoods weighted with the challenge's weights, divided by the weights of the
features that could be computed (`weight_counted` tells their sum): data without a map has no road edges.

Everything is computed for futures and log at once (`scene.Scene`), window by window, in blocks of bounded size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from twm_core.data.features.derive import ASSUMED_SIZE
from twm_core.data.scenario import RoadMap
from twm_core.evaluation.boxes import nearest_distance
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import AGENT_TYPES, MetricSpecs
from twm_realism import distance
from twm_realism.config import BINS, FEATURES, INDICATIONS, RealismConfig
from twm_realism.following import following
from twm_realism.kinematics import both_sides, motion
from twm_realism.likelihood import log_likelihood
from twm_realism.road import Road
from twm_realism.scene import Scene, scenes

AXES = {"speed": distance.Axis(60.0, 0.25), "time_gap": distance.Axis(10.0, 0.05), "space_gap": distance.Axis(200.0, 1.0)}
"""Bins of the plain distributions."""

SLOWEST_FOLLOWER = 1.0
"""Speed in m/s below which a time gap means nothing."""

_MAPS_KEPT = 16


def build(config: RealismConfig, specs: MetricSpecs) -> Metric:
    """The metric of a config."""
    return Realism(config, specs)


@dataclass(frozen=True)
class Measured:
    """Features of one scene: values `[R, H, M]` and where they count `[H, M]`; the last of `R` is the log."""

    values: dict[str, Tensor]
    counted: dict[str, Tensor]
    space: Tensor


class Realism(Metric):
    """See the module."""

    def __init__(self, config: RealismConfig, specs: MetricSpecs) -> None:
        self.config = config
        self.states = specs.forecast.states
        self.samples = specs.samples
        self.sizes = {**ASSUMED_SIZE, **config.sizes}
        self.bins = BINS[config.challenge]
        self.on_road = torch.tensor([t in config.road_types for t in AGENT_TYPES])
        # Distances of a map are a pure function of it; the map is kept beside them so that its identity stays its own.
        self._roads: dict[int, tuple[RoadMap, Road]] = {}
        names = [f"{n}.{what}" for n in FEATURES for what in ("likelihood", "windows")]
        names += [f"{n}.{what}" for n in INDICATIONS for what in ("futures", "asked", "log", "agents")]
        names += [f"following.{what}" for what in ("futures", "asked", "log", "steps")] + ["minade.sum", "minade.agents"]
        self._column = {n: i for i, n in enumerate(names)}
        self._spans: dict[str, slice] = {}
        at = len(names)
        for name, axis in AXES.items():
            for side in ("", "_log"):
                self._spans[name + side] = slice(at, at + axis.bins + 1)
                at += axis.bins + 1
        self.width = at

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        found = scenes(forecast, truth, states=self.states, samples=self.samples, sizes=self.sizes)
        rows = np.zeros((len(found), self.width))
        for row, scene in zip(rows, found, strict=True):
            if scene is not None:
                self._fill(row, scene)
        return rows

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        scores: dict[str, Floats] = {}
        weighted, weights = np.zeros(totals.shape[:-1]), np.zeros(totals.shape[:-1])
        for name in FEATURES:
            value = self._ratio(totals, f"{name}.likelihood", f"{name}.windows")
            counts, weight = ~np.isnan(value), self.bins[name].weight
            weighted = weighted + np.where(counts, weight * value, 0.0)
            weights = weights + weight * counts
            scores[f"{name}_likelihood"] = value
        scores = {"realism": np.where(weights > 0, weighted / np.where(weights > 0, weights, 1.0), np.nan), **scores}
        scores["weight_counted"] = np.where(weights > 0, weights, np.nan)
        for name in INDICATIONS:
            scores[f"{name}_rate"] = self._ratio(totals, f"{name}.futures", f"{name}.asked")
            scores[f"{name}_rate_log"] = self._ratio(totals, f"{name}.log", f"{name}.agents")
        for name, axis in AXES.items():
            ours, log = totals[..., self._spans[name]], totals[..., self._spans[f"{name}_log"]]
            scores[f"{name}_mean"], scores[f"{name}_mean_log"] = distance.mean(ours), distance.mean(log)
            scores[f"{name}_distance"] = distance.wasserstein(ours, log, axis)
        scores["following"] = self._ratio(totals, "following.futures", "following.asked")
        scores["following_log"] = self._ratio(totals, "following.log", "following.steps")
        scores["minade"] = self._ratio(totals, "minade.sum", "minade.agents")
        return scores

    def _ratio(self, totals: Floats, above: str, below: str) -> Floats:
        number = totals[..., self._column[below]]
        return np.where(number > 0, totals[..., self._column[above]] / np.where(number > 0, number, 1.0), np.nan)

    def _fill(self, row: Floats, scene: Scene) -> None:
        """The sums of one window."""
        measured = self._measure(scene)
        for name in FEATURES:
            if name in measured.values:
                counted = measured.counted[name]
                if bool(counted.any()):
                    row[self._column[f"{name}.likelihood"]] = self._likelihood(name, measured, scene)
                    row[self._column[f"{name}.windows"]] = 1.0
        for name in INDICATIONS:
            if name in measured.values:
                counted, values = measured.counted[name][0], measured.values[name][:, 0]
                weight = scene.weight * counted
                self._put(row, name, ("futures", (values[:-1] * weight).sum()), ("asked", weight.sum()))
                self._put(row, name, ("log", (values[-1] * counted).sum()), ("agents", counted.sum()))
        self._distributions(row, scene, measured)
        here = scene.here[scene.observed :, scene.mine]
        xy = scene.pose[:, scene.observed :, scene.mine, :2]
        error = ((xy[:-1] - xy[-1:]).norm(dim=-1) * here).sum(dim=1) / here.sum(dim=0).clamp_min(1)
        seen = here.any(dim=0)
        self._put(row, "minade", ("sum", (error.amin(dim=0) * seen).sum()), ("agents", seen.sum()))

    def _put(self, row: Floats, name: str, *parts: tuple[str, Tensor]) -> None:
        for what, value in parts:
            row[self._column[f"{name}.{what}"]] = float(value)

    def _likelihood(self, name: str, measured: Measured, scene: Scene) -> float:
        values, counted = measured.values[name], measured.counted[name]
        pseudocount = self.config.indication_pseudocount if name in INDICATIONS else self.config.histogram_pseudocount
        each = log_likelihood(
            values[-1],
            values[:-1],
            counted,
            scene.weight,
            self.bins[name],
            pseudocount=pseudocount,
            per_step=self.config.per_step,
        )
        return float(each[counted].mean().exp())

    def _distributions(self, row: Floats, scene: Scene, measured: Measured) -> None:
        speed, moving = measured.values["linear_speed"], measured.counted["linear_speed"]
        steps = moving.expand_as(speed).double()
        weight = torch.cat([scene.weight, torch.ones_like(scene.weight[:1])])[:, None] * steps
        follows = weight * (measured.space <= self.config.longest_gap)
        timed = follows * (speed.nan_to_num() >= SLOWEST_FOLLOWER)
        gap = measured.space / speed.clamp_min(SLOWEST_FOLLOWER)
        for name, values, share in (("speed", speed, weight), ("time_gap", gap, timed), ("space_gap", measured.space, follows)):
            row[self._spans[name]] = distance.counts(values[:-1], share[:-1], AXES[name])
            row[self._spans[f"{name}_log"]] = distance.counts(values[-1], share[-1], AXES[name])
        self._put(row, "following", ("futures", follows[:-1].sum()), ("asked", weight[:-1].sum()))
        self._put(row, "following", ("log", follows[-1].sum()), ("steps", weight[-1].sum()))

    def _measure(self, scene: Scene) -> Measured:
        begin, mine = scene.observed, scene.mine
        pose, here = scene.pose, scene.here
        moved = motion(pose[..., :2], pose[..., 2], scene.dt)
        fast = both_sides(here)
        sped = both_sides(fast)
        # A derivative belongs to a step at which the agent itself is there too.
        fast, sped = fast & here, sped & here
        values = {n: v[:, begin:, mine] for n, v in moved._asdict().items()}
        counted = {n: (fast if n.endswith("speed") else sped)[begin:, mine] for n in values}
        runs, steps = len(pose), pose.shape[1] - begin
        flat = pose[:, begin:].reshape(runs * steps, -1, 3).float()
        there = here[begin:].expand(runs, -1, -1).reshape(runs * steps, -1)
        size = scene.size.float()
        apart = nearest_distance(flat, size, there, mine, self.config.corner_rounding).reshape(runs, steps, -1).double()
        speed = moved.linear_speed[:, begin:].reshape(runs * steps, -1)
        ahead = following(flat, speed.float(), size, there & fast[begin:].repeat(runs, 1), mine)
        known = here[begin:, mine]
        values["object_distance"], counted["object_distance"] = apart, known
        values["time_to_collision"] = ahead.time_to_collision(speed[:, mine].float()).reshape(runs, steps, -1).double()
        counted["time_to_collision"] = fast[begin:, mine]
        values["collision"] = ((apart < 0) & known).any(dim=1, keepdim=True).double()
        counted["collision"] = known.any(dim=0, keepdim=True)
        if scene.road is not None:
            edge = self._edge_distance(scene, self._road(scene.road))
            driven = known & self.on_road[scene.kind[mine].cpu()].to(known.device)
            values["road_edge_distance"], counted["road_edge_distance"] = edge, driven
            values["offroad"] = ((edge > 0) & driven).any(dim=1, keepdim=True).double()
            counted["offroad"] = driven.any(dim=0, keepdim=True)
        return Measured(values, counted, ahead.space.reshape(runs, steps, -1).double())

    def _road(self, road: RoadMap) -> Road:
        held = self._roads.get(id(road))
        if held is None:
            if len(self._roads) >= _MAPS_KEPT:
                self._roads.pop(next(iter(self._roads)))
            held = self._roads[id(road)] = (road, Road(road))
        return held[1]

    @staticmethod
    def _edge_distance(scene: Scene, road: Road) -> Tensor:
        """Signed distance of the corner that is farthest out, `[R, H, M]`; negative: all on the road."""
        pose = scene.pose[:, scene.observed :, scene.mine]
        here = scene.here[scene.observed :, scene.mine].expand(len(pose), -1, -1)
        signs = pose.new_tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) / 2
        own = signs * scene.size[scene.mine, None]  # [M, 4, 2]
        cos, sin = pose[..., 2, None].cos(), pose[..., 2, None].sin()
        x = pose[..., 0, None] + cos * own[..., 0] - sin * own[..., 1]
        y = pose[..., 1, None] + sin * own[..., 0] + cos * own[..., 1]
        corners = (torch.stack([x, y], dim=-1) + scene.middle)[here]
        away = torch.from_numpy(road.signed_distance(corners.reshape(-1, 2).cpu().numpy())).reshape(-1, 4).amax(dim=-1)
        found = pose.new_zeros(here.shape)
        found[here] = away.to(found.device)
        return found
