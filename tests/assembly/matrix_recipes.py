"""The recipes of the matrix test: every encoder x dynamics x layout x decoder on three worlds, as small as the configs allow.

A `Choice` names the parts; the sizes that keep a part small belong to the part, so that a choice in which one part was replaced by
another is small too. Losses are those of the lowest layer and yield where they do not fit, as `twm train`'s own do.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

from twm_core.errors import AssemblyError, TwmError, UsageError
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import DEFAULT, Layer, option_layer, resolve

Options = tuple[tuple[str, Any], ...]

HIGHWAY: dict[str, Any] = {
    "runs": 1,
    "evaluation_runs": 1,
    "run_seconds": 4.0,
    "warm_up_seconds": 5.0,
    "observed_seconds": 0.6,
    "predicted_seconds": 0.4,
    "max_agents": 4,
    "train_agents": 4,
    "train_sites": ["straight-3"],
    "test_sites": ["waves-3"],
    "raster": True,
    "raster_size": 16,
    "metres_per_pixel": 8.0,
}
SHAPES: dict[str, Any] = {
    "image_size": 16,
    "shapes": 2,
    "episodes": 3,
    "evaluation_episodes": 1,
    "episode_steps": 12,
    "context": 3,
    "horizon": 2,
    "actions": "discrete",
}
RSSM: dict[str, Any] = {"deter": 16, "hidden": 8, "blocks": 2, "heads": 2}
ONE_OF: dict[str, dict[str, dict[str, Any]]] = {
    "dataset": {"highway": HIGHWAY, "shapes": SHAPES},
    "dynamics": {
        "gru": {"hidden": 16},
        "lstm": {"hidden": 16},
        "transformer": {"width": 8, "n_layers": 1, "heads": 2, "window": 8},
        "stochastic-gru": {"deter": 16, "stoch": 4},
        "rssm-gauss": {**RSSM, "stoch": 4},
        "rssm-cat": {**RSSM, "groups": 2, "classes": 4},
    },
}
SEVERAL: dict[str, dict[str, Any]] = {
    "encoder": {
        "multiagent": {"width": 16, "heads": 2, "pair_width": 8, "neighbours": 2},
        "multimodal": {"depth": 2, "units": 16, "layers": 1},
        "roadmap": {"width": 16, "channels": 4, "layers": 2, "crop_pixels": 4, "pool": 2},
    },
    "decoder": {
        "agents": {"width": 16},
        "modes": {"width": 16, "modes": 3},
        "image": {"depth": 4, "units": 8},
        "vector": {"units": 8, "layers": 1},
        "reward": {"units": 8, "bins": 15},
        "continue": {"units": 8},
    },
    # A deterministic latent is trained by its predictions alone; without free nats the prior is trained from the first step.
    "loss": {
        "components": ["huber", "existence", "kl", "rollout", "modes", "nll"],
        "kl": {"free_nats": 0.0},
        "nll": {"keys": "(?!agents)", "prediction": 1.0},
    },
}


@dataclass(frozen=True)
class Choice:
    """Named parts, and options by dotted path."""

    dataset: str
    encoders: tuple[str, ...]
    dynamics: str
    decoders: tuple[str, ...]
    options: Options = ()

    def __str__(self) -> str:
        options = ", ".join(f"{k}={v}" for k, v in self.options)
        return f"{self.dataset} > {'+'.join(self.encoders)} > {self.dynamics} > {'+'.join(self.decoders)} ({options})"


WORLDS: dict[str, tuple[str, Options]] = {
    "highway": ("highway", ()),
    "highway-actions": ("highway", (("dataset.actions", True),)),
    "shapes": ("shapes", ()),
}
ENCODERS: dict[str, tuple[tuple[str, ...], Options]] = {
    "multiagent": (("multiagent",), ()),
    "multiagent-tokens": (("multiagent",), (("encoder.multiagent.pooling", "none"),)),
    "multiagent-pooled": (("multiagent",), (("encoder.multiagent.agent_tokens", False), ("encoder.multiagent.pooling", "mean"))),
    "multimodal": (("multimodal",), ()),
    "roadmap": (("roadmap",), ()),
    "roadmap-scene": (("roadmap",), (("encoder.roadmap.tokens", "scene"),)),
    "multiagent+roadmap": (("multiagent", "roadmap"), ()),
    "multiagent+roadmap-add": (("multiagent", "roadmap"), (("fusion.mode", "add"),)),
    "multiagent+roadmap-attention": (("multiagent", "roadmap"), (("fusion.mode", "cross-attention"), ("fusion.heads", 2))),
}
DYNAMICS = tuple(ONE_OF["dynamics"])
LAYOUTS = ("auto", "scene", "agents")
DECODERS = (
    ("agents",),
    ("agents", "modes"),
    ("vector",),
    ("image",),
    ("reward",),
    ("continue",),
    ("image", "vector", "reward", "continue"),
)


def row(world: str, encoder: str, dynamics: str) -> list[Choice]:
    """The choices of one row of the matrix: every layout with every decoder."""
    (dataset, of_world), (encoders, of_encoder) = WORLDS[world], ENCODERS[encoder]
    return [
        Choice(dataset, encoders, dynamics, decoders, (*of_world, *of_encoder, ("dynamics.layout", layout)))
        for layout, decoders in itertools.product(LAYOUTS, DECODERS)
    ]


ROWS = list(itertools.product(WORLDS, ENCODERS, DYNAMICS))


@cache
def registry() -> Registry:
    """What is installed."""
    return discover(environ={})


def plan_of(choice: Choice) -> Plan:
    """The assembled choice.

    Raises:
        AssemblyError: Its parts do not fit.
    """
    parts = {
        "dataset": {"component": choice.dataset, **ONE_OF["dataset"][choice.dataset]},
        "dynamics": {"component": choice.dynamics, **ONE_OF["dynamics"][choice.dynamics]},
        **SEVERAL,
        "encoder": {**SEVERAL["encoder"], "components": list(choice.encoders)},
        "decoder": {**SEVERAL["decoder"], "components": list(choice.decoders)},
    }
    layers = [Layer(DEFAULT, parts), *(option_layer(k, v, DEFAULT) for k, v in choice.options)]
    return assemble(resolve(layers), registry())


@cache
def outcome(choice: Choice) -> TwmError | None:
    """Why the choice cannot be assembled; None where it can."""
    try:
        plan_of(choice)
    except (AssemblyError, UsageError) as error:
        return error
    return None


def refusal(choice: Choice) -> AssemblyError | None:
    """Why the choice is refused; None where it is accepted.

    Raises:
        UsageError: An option of the choice does not exist or has a bad value: that is no recipe.
    """
    error = outcome(choice)
    if error is not None and not isinstance(error, AssemblyError):
        raise error
    return error
