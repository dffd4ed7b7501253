"""The RSSM in NumPy float64: one scene, one agent, one step, one block at a time, for every core, norm, family and initial state."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_rssm.config import RSSMCatConfig, RSSMGaussConfig
from twm_rssm.model import RSSM

Array = NDArray[np.float64]
FIELDS = ("deter", "stoch", "stats", "prior_deter", "prior_stoch", "prior_stats")


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def weights_of(model: RSSM) -> dict[str, Array]:
    return {k: v.detach().double().numpy() for k, v in model.named_parameters()}


class Plain:
    """An RSSM with these weights and this config."""

    def __init__(self, config: RSSMCatConfig | RSSMGaussConfig, weights: dict[str, Array]) -> None:
        self.config, self.w = config, weights

    def has(self, name: str) -> bool:
        return any(k.startswith(name) for k in self.w)

    def linear(self, x: Array, name: str) -> Array:
        y = self.w[f"{name}.weight"] @ x
        return y + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else y

    def norm(self, x: Array, scale: Array, offset: Array | None) -> Array:
        if self.config.norm == "rms":
            return x / np.sqrt((x**2).mean() + self.config.eps) * scale
        assert offset is not None
        return (x - x.mean()) / np.sqrt(x.var() + self.config.eps) * scale + offset

    def act(self, x: Array, name: str) -> Array:
        """Norm and SiLU."""
        x = self.norm(x, self.w[f"{name}.scale"], self.w.get(f"{name}.offset"))
        return x * sigmoid(x)

    def gated(self, gates: Array, deter: Array) -> Array:
        reset, candidate, update = np.split(gates, 3)
        update = sigmoid(update - 1)
        return update * np.tanh(sigmoid(reset) * candidate) + (1 - update) * deter

    def block_step(self, deter: Array, stoch: Array, action: Array | None, message: Array | None) -> Array:
        w, blocks = self.w, self.config.blocks
        inputs = [
            self.act(self.linear(deter, "cell.deter_in"), "cell.deter_norm"),
            self.act(self.linear(stoch, "cell.stoch_in"), "cell.stoch_norm"),
        ]
        if action is not None:
            inputs.append(self.act(self.linear(action, "cell.action_in"), "cell.action_norm"))
        if message is not None:
            inputs.append(message)
        own = np.split(deter, blocks)
        columns = [np.concatenate((own[g], *inputs)) @ w["cell.mix.kernel"][g] for g in range(blocks)]
        h = self.act(np.concatenate(columns) + w["cell.mix.bias"], "cell.norm")
        for i in range(self.config.dynlayers - 1):
            kernel = w[f"cell.more.{i}.kernel"]
            h = np.concatenate([x @ kernel[g] for g, x in enumerate(np.split(h, blocks))]) + w[f"cell.more.{i}.bias"]
            h = self.act(h, f"cell.more_norms.{i}")
        bias = np.split(w["cell.gates.bias"], blocks)
        parts = [self.gated(x @ w["cell.gates.kernel"][g] + bias[g], own[g]) for g, x in enumerate(np.split(h, blocks))]
        return np.concatenate(parts)

    def gru_step(self, deter: Array, stoch: Array, action: Array | None, message: Array | None) -> Array:
        rows, columns = [stoch], [self.w["cell.stoch_in.weight"]]
        if action is not None:
            rows.append(action)
            columns.append(self.w["cell.action_in.weight"])
        if message is not None:
            rows.append(message)
            columns.append(self.w["cell.message_in.weight"])
        x = np.concatenate(columns, axis=1) @ np.concatenate(rows) + self.w.get("cell.stoch_in.bias", 0.0)
        x = self.act(x, "cell.norm")
        for i in range(self.config.dynlayers - 1):
            x = self.act(self.linear(x, f"cell.more.{i}"), f"cell.more_norms.{i}")
        gates = self.linear(np.concatenate((deter, x)), "cell.gates")
        return self.gated(self.norm(gates, self.w["cell.gates_norm.weight"], self.w.get("cell.gates_norm.bias")), deter)

    def step(self, deter: Array, stoch: Array, action: Array | None, message: Array | None) -> Array:
        if action is not None:
            action = action / np.maximum(1, np.abs(action))
        cell = self.block_step if self.config.core == "block-gru" else self.gru_step
        return cell(deter, stoch.reshape(-1), action, message)

    def messages(self, deter: list[Array], heard: list[bool]) -> list[Array | None]:
        if not self.has("interaction"):
            return [None] * len(deter)
        offered = [self.act(self.linear(d, "cell.deter_in"), "cell.deter_norm") for d in deter]
        heads = self.config.heads
        value = self.config.hidden // heads
        key = max(1, value // 2)
        parts = [(self.w["interaction.project.weight"] @ x).reshape(heads, -1) for x in offered]
        out: list[Array | None] = []
        for i in range(len(deter)):
            told = []
            for h in range(heads):
                others = [j for j in range(len(deter)) if j != i and heard[j]]
                scores = [np.exp(parts[i][h, :key] @ parts[j][h, key : 2 * key] / key**0.5) for j in others]
                weighed = sum((s * parts[j][h, 2 * key :] for s, j in zip(scores, others, strict=True)), np.zeros(value))
                told.append(weighed / (1 + sum(scores)))
            out.append(np.concatenate(told))
        return out

    def stats(self, raw: Array) -> Array:
        c = self.config
        if isinstance(c, RSSMGaussConfig):
            return raw.reshape(2, c.stoch)
        logits = raw.reshape(c.groups, c.classes)
        return np.log((1 - c.unimix) * softmax(logits) + c.unimix / c.classes) if c.unimix_stored else logits

    def mean_std(self, stats: Array) -> tuple[Array, Array]:
        c = self.config
        assert isinstance(c, RSSMGaussConfig)
        std = 2 * sigmoid(stats[1] / 2) if c.std == "sigmoid2" else np.log1p(np.exp(stats[1]))
        return stats[0], std + c.min_std

    def probs(self, stats: Array) -> Array:
        c = self.config
        assert isinstance(c, RSSMCatConfig)
        return softmax(stats) if c.unimix_stored else (1 - c.unimix) * softmax(stats) + c.unimix / c.classes

    def draw(self, stats: Array, noise: Array) -> Array:
        if isinstance(self.config, RSSMGaussConfig):
            mean, std = self.mean_std(stats)
            return mean + std * noise
        probs = self.probs(stats)
        index = np.minimum((probs.cumsum(-1) <= noise[:, None]).sum(-1), probs.shape[-1] - 1)
        return np.eye(probs.shape[-1])[index]

    def prior(self, deter: Array) -> Array:
        x = deter
        for i in range(self.config.imglayers):
            x = self.act(self.linear(x, f"prior.layers.{i}"), f"prior.norms.{i}")
        return self.stats(self.linear(x, "prior.logits"))

    def posterior(self, deter: Array, token: Array) -> Array:
        x = self.act(self.linear(np.concatenate((deter, token)), "posterior.first"), "posterior.norm")
        for i in range(self.config.obslayers - 1):
            x = self.act(self.linear(x, f"posterior.more.{i}"), f"posterior.more_norms.{i}")
        return self.stats(self.linear(x, "posterior.logits"))

    def start(self) -> tuple[Array, Array]:
        c = self.config
        if c.initial == "zero":
            return np.zeros(c.deter), np.zeros((c.stoch,) if isinstance(c, RSSMGaussConfig) else (c.groups, c.classes))
        deter = np.tanh(self.w["start"])
        stats = self.prior(deter)
        return deter, stats[0] if isinstance(c, RSSMGaussConfig) else np.eye(stats.shape[-1])[stats.argmax(-1)]

    def observe(
        self,
        tokens: Array,
        actions: Array | None,
        first: NDArray[np.bool_],
        exists: NDArray[np.bool_],
        noise: Array,
        withheld: NDArray[np.bool_] | None = None,
    ) -> dict[str, Array]:
        """Tokens `[B,T,A,E]` (for a scene latent A = 1), actions `[B,T,A,U]`, exists and withheld `[B,T,A]`, noise `[B,T,A,V]`."""
        batch, steps, agents, _ = tokens.shape
        out: dict[str, Any] = {k: [[[None] * agents for _ in range(steps)] for _ in range(batch)] for k in FIELDS}
        start_deter, start_stoch = self.start()
        for b in range(batch):
            deter, stoch = [start_deter] * agents, [start_stoch] * agents
            seen, there = [False] * agents, [False] * agents
            for t in range(steps):
                if first[b, t]:
                    deter, stoch = [start_deter] * agents, [start_stoch] * agents
                    seen, there = [False] * agents, [False] * agents
                heard = self.messages(deter, there)
                old_deter, old_stoch, old_there = list(deter), list(stoch), list(there)
                for a in range(agents):
                    action = None
                    if actions is not None:
                        action = actions[b, t - 1, a] if t and old_there[a] and not first[b, t] else np.zeros(actions.shape[-1])
                    new = self.step(old_deter[a], old_stoch[a], action, heard[a])
                    prior = self.prior(new)
                    corrected = exists[b, t, a] and not (withheld is not None and withheld[b, t, a])
                    stats = self.posterior(new, tokens[b, t, a]) if corrected else prior
                    seen[a], there[a] = seen[a] or bool(corrected), bool(exists[b, t, a])
                    posterior = (new, self.draw(stats, noise[b, t, a]), stats) if seen[a] else (start_deter, start_stoch, 0 * stats)
                    deter[a], stoch[a] = posterior[:2]
                    row = (*posterior, new, self.draw(prior, noise[b, t, a]), prior)
                    for name, value in zip(FIELDS, row, strict=True):
                        out[name][b][t][a] = value
        return {k: np.array(v) for k, v in out.items()}
