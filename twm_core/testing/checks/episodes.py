"""Promises about episodes and actions: beginnings and ends are marked where they are, and actions have the values that their spec names."""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.subjects import DatasetSubject

_MARKS = ("is_first", "is_last", "is_terminal")


def episodes_are_marked(subject: DatasetSubject) -> None:
    """A window begins with `is_first`; `is_terminal` implies `is_last`; the step after `is_last`, and no other, has `is_first`.

    Where the spec has no `is_last`, a window lies within one episode: nothing but its first step has `is_first`.
    """
    obs_spec = subject.specs.obs_spec
    for name in _MARKS:
        if obs_spec.has(name) and obs_spec.get(name).axes != "B T":
            broken(f"the axes of {name} are {obs_spec.get(name).axes}", "marks of episodes belong to the scene: B T")
    if not obs_spec.has("is_first"):
        broken("there is no key is_first", "name it in observations(); dynamics are reset by it")
    if obs_spec.has("is_terminal") and not obs_spec.has("is_last"):
        broken("there is is_terminal without is_last", "name is_last too: a terminal step is the last one of its episode")
    for split, batch in subject.batches.items():
        _check_marks(split, batch)


def _check_marks(split: str, batch: Batch) -> None:
    first = batch["is_first"]
    last = batch.get("is_last", torch.zeros_like(first))
    if not bool(first[:, 0].all()):
        broken(f"{split}: is_first is not true at the first step of {_count(~first[:, 0])} window(s)", "a window knows nothing from before")
    if bool(begun := _count(first[:, 1:] & ~last[:, :-1])):
        broken(f"{split}: is_first follows {begun} step(s) without is_last", "mark the last step of every episode")
    if bool(ended := _count(last[:, :-1] & ~first[:, 1:])):
        broken(f"{split}: {ended} step(s) after is_last have no is_first", "mark the first step of every episode, also within a window")
    if "is_terminal" in batch and bool(loose := _count(batch["is_terminal"] & ~last)):
        broken(f"{split}: {loose} step(s) have is_terminal without is_last", "an episode ends where it comes to a terminal state")


def _count(which: Tensor) -> int:
    return int(which.sum())


def categorical_actions_are_one_hot(subject: DatasetSubject) -> None:
    """Where the action spec names a categorical feature, each action holds a single 1 there (or only zeros, where an agent is absent)."""
    action = subject.specs.action
    if action is None or all(f.kind != "categorical" for f in action.features):
        raise NotApplicable("it has no categorical actions")
    for split, batch in subject.batches.items():
        at = 0
        for feature in action.features:
            part = batch["action"][..., at : at + feature.width]
            at += feature.width
            if feature.kind != "categorical":
                continue
            total = part.sum(dim=-1)
            empty = ~batch["agents.exists"] if action.layout == "agents" else torch.zeros_like(total, dtype=torch.bool)
            if not bool(((part == 0) | (part == 1)).all()) or not bool(((total == 1) | (empty & (total == 0))).all()):
                broken(f"{split}: the action's {feature.name} is not one-hot over {feature.width} classes", "write one 1 among zeros")


EPISODES = (
    Check(episodes_are_marked, needs=("batches_match_the_spec",)),
    Check(categorical_actions_are_one_hot, needs=("batches_match_the_spec",)),
)
