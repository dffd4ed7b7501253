"""Promises of encoders: each step is seen on its own, and nothing that may know the future is read."""

from __future__ import annotations

from typing import cast

import torch

from twm_core.kinds.encoder import EncoderConfig
from twm_core.testing.batches import STEPS
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import broken
from twm_core.testing.readings import same, take
from twm_core.testing.subjects import EncoderSubject


def future_changes_nothing(subject: EncoderSubject) -> None:
    """The tokens of a step do not depend on what is seen after it."""
    with torch.no_grad():
        for now in (0, 2):
            changed = subject.read(subject.instance, subject.fed.splice(subject.feed(seed=1), now + 1))
            upto = range(now + 1)
            same(
                take(changed, "T", upto),
                take(subject.usual, "T", upto),
                f"tokens up to step {now} with another future",
                "use no later step",
                summands=subject.summands,
            )


def steps_are_seen_alone(subject: EncoderSubject) -> None:
    """A step encoded by itself (or with as many steps before it as the config declares as `memory`) gives the tokens of the sequence."""
    memory = cast(EncoderConfig, subject.config).memory()
    with torch.no_grad():
        for t in range(STEPS):
            index = torch.arange(max(0, t - memory), t + 1)
            alone = subject.read(subject.instance, subject.fed.take("T", index))
            hint = "memory of earlier steps belongs into the dynamics, or into what the config declares as memory"
            same(take(alone, "T", [len(index) - 1]), take(subject.usual, "T", [t]), f"step {t} alone", hint, summands=subject.summands)


def targets_are_not_read(subject: EncoderSubject) -> None:
    """A batch without the keys whose role is `target` gives the same tokens."""
    targets = [k.key for k in subject.specs.obs_spec.keys if k.role == "target"]
    with torch.no_grad():
        try:
            blind = subject.read(subject.instance, subject.fed.without(targets))
        except KeyError as error:
            broken(f"the target key {error} is read", "encoders may read keys with role `input` only")
    same(blind, subject.usual, f"without {', '.join(targets)}", "encoders may read keys with role `input` only", summands=subject.summands)


ENCODER = (
    Check(targets_are_not_read, needs=("same_seed_same_result",)),
    Check(future_changes_nothing, needs=("same_seed_same_result",)),
    Check(steps_are_seen_alone, needs=("same_seed_same_result", "future_changes_nothing", "batch_rows_are_independent")),
)
