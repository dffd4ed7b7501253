"""The same scene in a world that is turned and shifted: what depends on no frame follows, what depends on one shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_core.specs import Feature, ObservationSpec
from twm_core.testing.batches import Fed

TURN, SHIFT = 0.7, (3.0, -5.0)
_PAIRS = (("x", "y"), ("vx", "vy"), ("ax", "ay"))


def moved(values: Tensor, features: Sequence[Feature]) -> Tensor:
    """`[...,F]` in a world that is turned by `TURN` and shifted by `SHIFT`; features of the frame `own` stay as they are."""
    columns = {f.name: c for f, c in zip(features, values.unbind(dim=-1), strict=True)}
    cos, sin = math.cos(TURN), math.sin(TURN)
    for a, b in _PAIRS:
        if a in columns and b in columns:
            x, y = columns[a], columns[b]
            columns[a], columns[b] = x * cos - y * sin, x * sin + y * cos
    for feature in features:
        if feature.kind == "angle" and feature.frame == "world":
            columns[feature.name] = columns[feature.name] + TURN
    for name, by in zip(("x", "y"), SHIFT, strict=True):
        if name in columns:
            columns[name] = columns[name] + by
    return torch.stack([columns[f.name] for f in features], dim=-1)


def moved_batch(fed: Fed, obs_spec: ObservationSpec) -> Fed:
    """A batch in that world: every key whose features have a frame."""
    keys = {k.key: k.features for k in obs_spec.keys if k.key in fed.values and any(f.frame == "world" for f in k.features)}
    return fed.put(**{key: moved(fed.values[key], features) for key, features in keys.items()})


def turn_apart(got: Tensor, wanted: Tensor, features: Sequence[Feature]) -> Tensor:
    """`got - wanted`, angles by the shorter way."""
    difference = got - wanted
    angle = torch.tensor([f.kind == "angle" for f in features])
    return torch.where(angle, wrap_tensor(difference), difference)
