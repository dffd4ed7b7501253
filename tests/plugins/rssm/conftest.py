"""A small RSSM, and a plain reference: one scene, one agent, one block at a time, with nothing hoisted, split or hand-differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core import ActionSpec, DynamicsSpecs, EmbeddingSpec, Feature
from twm_rssm.config import RSSMCatConfig, RSSMGaussConfig
from twm_rssm.model import RSSM, build

SMALL = {"deter": 16, "hidden": 8, "blocks": 4, "heads": 2}
FAMILIES: dict[str, tuple[type[RSSMCatConfig | RSSMGaussConfig], dict[str, int]]] = {
    "cat": (RSSMCatConfig, {"groups": 3, "classes": 4}),
    "gauss": (RSSMGaussConfig, {"stoch": 5}),
}


def make_rssm(
    *, family: str = "cat", scene: int | None = None, agents: int | None = None, action: str | None = None, seed: int = 0, **options: Any
) -> RSSM:
    kind, sizes = FAMILIES[family]
    config = kind(**{**SMALL, **sizes, **options})
    embedding = EmbeddingSpec(scene=scene, agents=agents)
    spec = None if action is None else ActionSpec(layout=action, features=(Feature(name="a"), Feature(name="b")))  # type: ignore[arg-type]
    torch.manual_seed(seed)
    model = build(config, DynamicsSpecs(embedding=embedding, action=spec, latent=config.latent(embedding, spec)))
    with torch.no_grad():
        for parameter in model.parameters():  # off the initial values, so that no scale is 1 and no bias 0
            parameter += 0.1 * torch.randn_like(parameter)
    return model


class PlainTrace(NamedTuple):
    deter: Tensor
    logits: Tensor
    stoch: Tensor
    prior_deter: Tensor
    prior_logits: Tensor
    prior_stoch: Tensor


def norm_silu(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    return F.silu(x / (x.square().mean() + eps).sqrt() * scale)


def step(model: RSSM, deter: Tensor, stoch: Tensor, action: Tensor | None, message: Tensor | None) -> Tensor:
    """The next deter of one row `[D]`, with the inputs repeated for each block."""
    cell, eps = model.cell, model.config.eps
    inputs = [
        norm_silu(cell.deter_in(deter), cell.deter_norm.scale, eps),
        norm_silu(cell.stoch_in(stoch), cell.stoch_norm.scale, eps),
    ]
    if action is not None:
        bounded = action / action.abs().clamp_min(1)
        inputs.append(norm_silu(cell.action_in(bounded), cell.action_norm.scale, eps))
    if message is not None:
        inputs.append(message)
    blocks = len(cell.mix.kernel)
    slices = deter.chunk(blocks)
    hidden = [torch.cat((own, *inputs)) @ cell.mix.kernel[g] for g, own in enumerate(slices)]
    h = norm_silu(torch.cat(hidden) + cell.mix.bias, cell.norm.scale, eps)
    for layer, norm in zip(cell.more, cell.more_norms, strict=True):
        h = norm_silu(torch.cat([x @ layer.kernel[g] for g, x in enumerate(h.chunk(blocks))]) + layer.bias, norm.scale, eps)
    new = []
    for g, (x, own) in enumerate(zip(h.chunk(blocks), slices, strict=True)):
        reset, candidate, update = (x @ cell.gates.kernel[g] + cell.gates.bias.chunk(blocks)[g]).chunk(3)
        update = torch.sigmoid(update - 1)
        new.append(update * torch.tanh(torch.sigmoid(reset) * candidate) + (1 - update) * own)
    return torch.cat(new)


def messages(model: RSSM, deter: list[Tensor], heard: list[bool]) -> list[Tensor | None]:
    """What each agent of one scene hears from those that may be heard."""
    layer = model.interaction
    if layer is None:
        return [None] * len(deter)
    offered = [norm_silu(model.cell.deter_in(d), model.cell.deter_norm.scale, model.config.eps) for d in deter]
    parts = [layer.project(x).view(layer.heads, -1).split((layer.key, layer.key, layer.value), dim=-1) for x in offered]
    out: list[Tensor | None] = []
    for i in range(len(deter)):
        heads = []
        for h in range(layer.heads):
            total, weighed = torch.ones(()), torch.zeros(layer.value)
            for j in range(len(deter)):
                if j != i and heard[j]:
                    weight = (parts[i][0][h] @ parts[j][1][h] / layer.key**0.5).exp()
                    total, weighed = total + weight, weighed + weight * parts[j][2][h]
            heads.append(weighed / total)
        out.append(torch.cat(heads))
    return out


def draw(model: RSSM, logits: Tensor, uniform: Tensor) -> Tensor:
    """One-hot + p - stop_gradient(p) of one row `[G,C]`."""
    unimix = model.config.unimix
    p = (1 - unimix) * logits.softmax(-1) + unimix / logits.shape[-1]
    index = [next((c for c in range(p.shape[1] - 1) if u < p[g, : c + 1].sum()), p.shape[1] - 1) for g, u in enumerate(uniform)]
    return F.one_hot(torch.tensor(index), p.shape[1]) + p - p.detach()


def plain_observe(model: RSSM, tokens: Tensor, actions: Tensor | None, is_first: Tensor, exists: Tensor, uniform: Tensor) -> PlainTrace:
    """Tokens `[B,T,A,E]` (for a scene latent A = 1); actions `[B,T,A,U]`; exists `[B,T,A]`; uniform `[B,T,A,G]`."""
    batch, steps, agents, _ = tokens.shape
    shape, eps = model.shape, model.config.eps
    columns: list[list[list[Tensor]]] = [[] for _ in range(6)]
    for b in range(batch):
        deter = [torch.zeros(model.config.deter) for _ in range(agents)]
        stoch = [torch.zeros(*shape) for _ in range(agents)]
        seen, there = [False] * agents, [False] * agents
        scene: list[list[Tensor]] = [[] for _ in range(6)]
        for t in range(steps):
            action = [
                None if actions is None else (actions[b, t - 1, a] if t and there[a] else torch.zeros(actions.shape[-1]))
                for a in range(agents)
            ]
            if is_first[b, t]:
                deter, stoch = [torch.zeros_like(d) for d in deter], [torch.zeros_like(s) for s in stoch]
                action = [None if x is None else torch.zeros_like(x) for x in action]
                seen, there = [False] * agents, [False] * agents
            heard = messages(model, deter, there)
            row: list[list[Tensor]] = [[] for _ in range(6)]
            for a in range(agents):
                new = step(model, deter[a], stoch[a].flatten(), action[a], heard[a])
                x = new
                for layer, norm in zip(model.prior.layers, model.prior.norms, strict=True):
                    x = norm_silu(layer(x), norm.scale, eps)
                prior = model.prior.logits(x).view(shape)
                post = model.posterior
                x = norm_silu(post.first(torch.cat((new, tokens[b, t, a]))), post.norm.scale, eps)
                for layer, norm in zip(post.more, post.more_norms, strict=True):
                    x = norm_silu(layer(x), norm.scale, eps)
                logits = post.logits(x).view(shape)
                here = bool(exists[b, t, a])
                if not here:
                    logits = prior
                hot = draw(model, logits, uniform[b, t, a])
                row[3].append(new)
                row[4].append(prior)
                row[5].append(draw(model, prior, uniform[b, t, a]))
                seen[a] = seen[a] or here
                if not seen[a]:
                    new, logits, hot = torch.zeros_like(new), torch.zeros_like(logits), torch.zeros_like(hot)
                deter[a], stoch[a], there[a] = new, hot, here
                row[0].append(new)
                row[1].append(logits)
                row[2].append(hot)
            for column, entry in zip(scene, row, strict=True):
                column.append(torch.stack(entry))
        for column, entry in zip(columns, scene, strict=True):
            column.append(entry)
    return PlainTrace(*(torch.stack([torch.stack(s) for s in column]) for column in columns))


@pytest.fixture
def make() -> Callable[..., RSSM]:
    return make_rssm


@pytest.fixture
def plain() -> Callable[..., PlainTrace]:
    return plain_observe


@pytest.fixture
def plain_step() -> Callable[..., Tensor]:
    return step
