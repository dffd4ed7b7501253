"""A world model as a forecaster: futures from sampled rollouts of its latents, or from the modes that it decodes at once.

    latent    S rollouts; each decoded to a future, drawn from what is decoded where that has a spread, else its mean
    modes     the K trajectories of the key `agents.futures` with their probabilities; of fewer than K futures the most probable
              of each agent, their probabilities scaled to add up to 1

The mean position is the answer where one is asked for: the mean over rollouts of decoded means, or the `mean` of the decoded futures
(a trajectory that may be trained to be just that), however many futures are asked for. No noise of drawing reaches it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.schema import MOTION
from twm_core.errors import UsageError
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.nn.distributions import Distribution
from twm_core.nn.world_model import WorldModel
from twm_core.specs import ForecastSpec, OutputSpec

FUTURES = "agents.futures"
"""The decoded key that holds whole futures: `states [B,K,H,A,5]`, `logits [B,K,A]`, `mean [B,1,H,A,5]`, `log_prob`."""

FuturesMode = Literal["auto", "latent", "modes"]
_POSITION = ("x", "y")


def scores_agents(output: OutputSpec) -> bool:
    """Whether positions of agents are decoded, without which a model is no forecaster."""
    return output.has("agents.state") and set(_POSITION) <= set(output.get("agents.state").features)


class WorldModelForecaster(Forecaster):
    """A world model that decodes positions of agents.

    Args:
        model: The model, in evaluation mode.
        futures: Where futures come from; `auto` takes the modes where the model has them.

    Attributes:
        futures: `latent` or `modes`.

    Raises:
        UsageError: No positions of agents are decoded, or modes are asked for and the model has none.
    """

    def __init__(self, model: WorldModel, *, futures: FuturesMode = "auto") -> None:
        if not scores_agents(model.output):
            raise UsageError(f"the model decodes {model.output}, so it forecasts no agents", "train with --decoder agents")
        has = model.output.has(FUTURES)
        if futures == "modes" and not has:
            raise UsageError(
                f"--futures modes: the model decodes {model.output}, and {FUTURES} is not in it",
                "use --futures latent, or train with a decoder of modes",
            )
        self.model = model
        self.futures: Literal["latent", "modes"] = "modes" if futures == "modes" or (futures == "auto" and has) else "latent"
        decoded = MOTION if self.futures == "modes" else model.output.get("agents.state").features
        names = (*_POSITION, *(n for n in MOTION if n in decoded and n not in _POSITION))
        self._columns = [decoded.index(n) for n in names]
        self.gives = ForecastSpec(states=names, exists=model.output.has("agents.exists"), several=True, density=self.futures == "modes")

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator, actions: Tensor | None = None) -> Forecast:
        """As in `Forecaster`.

        Args:
            observed: As there.
            steps: As there.
            samples: As there.
            generator: As there.
            actions: What is done from the last observed step on, `[B,H,...]`, for models with actions: the forecast is conditional on it.
        """
        rolled = samples if self.futures == "latent" else 1
        decoded = self.model.forecast(
            observed, context=observed["is_first"].shape[1], steps=steps, samples=rolled, actions=actions, generator=generator
        )
        exists = decoded["agents.exists"].mean if "agents.exists" in decoded else None
        if self.futures == "modes":
            return self._modes(decoded[FUTURES], samples, exists)
        return self._latent(decoded["agents.state"], samples, exists, generator)

    def _latent(self, future: Distribution, samples: int, exists: Tensor | None, generator: torch.Generator) -> Forecast:
        mean = future.mean[..., self._columns]
        # Where the decoder says how far off it may be, several futures differ by that too, not only by the latent's samples.
        drawn = future.sample(generator)[..., self._columns] if samples > 1 and future.stochastic else mean
        return Forecast(states=drawn, expected=mean[..., :2].double().mean(dim=1), exists=exists)

    def _modes(self, modes: Any, samples: int, exists: Tensor | None) -> Forecast:
        states, weights = modes.states[..., self._columns], modes.logits.softmax(dim=1)  # [B,K,H,A,F], [B,K,A]
        expected = modes.mean[:, 0, ..., :2]  # the trajectory that is trained to be the one forecast
        if samples < states.shape[1]:
            # The most probable ones, in the decoder's order: it may say which futures of agents go together.
            best = weights.topk(samples, dim=1).indices.sort(dim=1).values
            weights = weights.gather(1, best)
            weights = weights / weights.sum(dim=1, keepdim=True)
            states = states.gather(1, best[:, :, None, :, None].expand(-1, -1, states.shape[2], -1, states.shape[4]))
        if exists is not None:
            exists = exists.mean(dim=1, keepdim=True).expand(-1, states.shape[1], -1, -1)
        return Forecast(states=states, weights=weights, expected=expected, exists=exists, log_density=position_density(modes))


def position_density(modes: Any) -> Callable[[Tensor], Tensor]:
    """The log-density of positions `[B,H,A,2]` under decoded modes, `[B,H,A]`. Their `log_prob` reads the positions of a state only."""

    def density(positions: Tensor) -> Tensor:
        rest = positions.new_zeros((*positions.shape[:-1], len(MOTION) - 2))
        value: Tensor = modes.log_prob(torch.cat([positions, rest], dim=-1)[:, None])
        return value[:, 0]

    return density
