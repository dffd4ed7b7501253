"""Hypothesis strategies for authors of components: batches of any size and existence, specs and actions that a component may meet.

    from hypothesis import given
    from twm_core.testing import strategies

    @given(strategies.batches(strategies.traffic()))
    def test_tokens_of_absent_agents_are_zero(batch): ...

A batch is what datasets give: plausible vehicles, zeros where an agent does not exist. `rubbish` puts other things there, which no
component may read. The examples shrink towards small batches in which nobody is there.
"""

from __future__ import annotations

from typing import Any

import torch

from twm_core.data.schema import MOTION, TRAFFIC_FEATURES, traffic_observations
from twm_core.extras import need
from twm_core.specs import ActionSpec, ObservationSpec
from twm_core.testing.batches import EXISTS, action_specs, observation_specs, synthetic

st: Any = need("hypothesis.strategies", "dev")

RUBBISH = (float("nan"), float("inf"), -float("inf"), 1e6)
"""What `rubbish` writes where nobody is."""


def traffic(*, every_feature: bool = False) -> ObservationSpec:
    """The spec of traffic that most tests want: motion only, or every feature that twm knows, with lanes and sites.

    Args:
        every_feature: Whether there is everything, or motion alone; motion alone by default.
    """
    rich = every_feature
    features = tuple(TRAFFIC_FEATURES) if rich else MOTION
    return traffic_observations(features=features, dt=0.2, context=3, horizon=2, protocol="synthetic", lanes=6 * rich, sites=4 * rich)


def specs(*, agents: bool | None = None) -> Any:
    """Strategy of `ObservationSpec`: traffic with few or many features, images, vectors, rewards.

    Args:
        agents: Only those with agents (True) or without (False); all by default.
    """
    return st.sampled_from([s for s in observation_specs().values() if agents in (None, s.has(EXISTS))])


def actions() -> Any:
    """Strategy of `ActionSpec | None`: none, one for the scene, one for each agent."""
    return st.sampled_from(list(action_specs().values()))


@st.composite
def presences(draw: Any, *, batch: int = 3, steps: int = 6, agents: int = 6) -> torch.Tensor:
    """Strategy of who is there, bool `[B,T,A]`: any pattern, up to these sizes, scenes with nobody among them."""
    shape = [draw(st.integers(1, most)) for most in (batch, steps, agents)]
    count = shape[0] * shape[1] * shape[2]
    bits = draw(st.integers(0, 2**count - 1))
    return torch.tensor([bits >> i & 1 for i in range(count)], dtype=torch.bool).reshape(shape)


@st.composite
def batches(
    draw: Any,
    spec: ObservationSpec,
    action: ActionSpec | None = None,
    *,
    batch: int = 3,
    steps: int | None = None,
    agents: int = 6,
    rubbish: bool = False,
) -> dict[str, torch.Tensor]:
    """Strategy of batches: a mapping from each key of `spec` (and `action`) to its tensor.

    Args:
        draw: Given by hypothesis.
        spec: What batches hold.
        action: What may be done between two steps; the key `action` holds it.
        batch: Most windows.
        steps: Most steps; those of a window (`context + horizon`) by default.
        agents: Most agents.
        rubbish: Write NaN, infinity or huge numbers where an agent does not exist, instead of zeros.
    """
    exists = draw(presences(batch=batch, steps=spec.context + spec.horizon if steps is None else steps, agents=agents))
    fed = synthetic(spec, seed=draw(st.integers(0, 2**16)), action=action, exists=exists)
    if rubbish and spec.has(EXISTS):
        fed = fed.spoiled(draw(st.sampled_from(RUBBISH)))
    return dict(fed.values)


__all__ = ["RUBBISH", "actions", "batches", "presences", "specs", "traffic"]
