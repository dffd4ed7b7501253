"""Futures of agents that were decoded one by one, put together into futures of the scene.

Which future of one agent goes with which of another is not known to a head that decodes each agent by itself. Two things that traffic does
are added where futures are to be joint ones:

* `by_progress` orders each agent's futures from the slowest to the fastest. Future s is then the one in which all are equally slow or fast
  for their circumstances, as in a stream; in any other order a follower goes on where its leader brakes.
* `twm_core.nn.collision_avoidance` keeps everybody's path and slows down whoever would run into another one.

Neither changes what a single agent's distribution over paths is.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def by_progress(states: Float[Tensor, "B K H A F"]) -> Int[Tensor, "B K A"]:
    """Which future of an agent is its slowest, second slowest, and so on: progress along the way to its mean end."""
    end, start = states[:, :, -1, :, :2], states[:, :, 0, :, :2].mean(dim=1, keepdim=True)
    way = end - start
    along = way.mean(dim=1, keepdim=True)
    return (way * along).sum(dim=-1).argsort(dim=1, stable=True)
