"""What becomes of the schedules of a run when it is resumed with more steps or another learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twm_core.recipe.training_config import TrainingConfig
from twm_core.training.optimizer import learning_rate
from twm_core.training.scheduled_sampling import share_at


def schedule_notes(recorded: Mapping[str, Any], now: TrainingConfig, step: int) -> list[str]:
    """Notes for the user: schedules are functions of `training.steps`, so a longer run stretches them.

    Args:
        recorded: The training options in the manifest of the checkpoint.
        now: The training options.
        step: Steps done.
    """
    before = now.model_copy(update={k: v for k, v in recorded.items() if k in type(now).model_fields})
    notes = []
    if (before.steps, before.lr) != (now.steps, now.lr):
        last, following = learning_rate(before, max(step - 1, 0)), learning_rate(now, step)
        notes.append(
            f"the cosine of the learning rate is stretched from {before.steps} to {now.steps} steps: it was {last:.4g} at step {step} "
            f"and goes on at {following:.4g}"
            if before.steps != now.steps
            else f"the learning rate was {last:.4g} at step {step} and goes on at {following:.4g}: training.lr is {now.lr:g} now, "
            f"{before.lr:g} before"
        )
    if now.scheduled_sampling and not now.scheduled_sampling_ramp and before.steps != now.steps:
        notes.append(
            "training.scheduled_sampling_ramp is 0, which is the whole run: the share of withheld observations was "
            f"{share_at(before, max(step - 1, 0)):.4g} and goes on at {share_at(now, step):.4g}"
        )
    return notes
