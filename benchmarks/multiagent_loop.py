"""The multi-agent RSSM beside the seed's sketch of it, in which a Python loop over agents runs inside the loop over time.

    python benchmarks/multiagent_loop.py --check        about half a minute

Both are the same maths: one categorical RSSM with the sizes of the preset `multiagent-rssm`, its weights shared by all agents, without
interaction (`heads = 0`, because the sketch has none). The yardstick is written as one would write it: plain torch modules, called for one
agent and one step at a time on `[B,D]`; like twm it returns states, both logits and a sample of each. First the two must agree, with the
same weights and the same posterior samples: states, logits and gradients within 1e-5 of the largest value. Then forward and backward over
a sequence are timed in turns, CPU time of one thread, medians over rounds; twm also carries its masks of who exists, which the yardstick
does without, and no loss is timed. Bar: a step of twm takes at most 1/10 of the
yardstick's, at every batch size. For information, twm with attention between agents is timed too. `--check`: exit status 1 on a miss.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.nn.interfaces import Dynamics, Embedding
from twm_core.plugin.registry import discover
from twm_core.specs import DynamicsSpecs, EmbeddingSpec

BAR, TOLERANCE, TOKEN = 0.1, 1e-5, 128
Result = dict[str, Tensor]


def multiagent_rssm(heads: int) -> Dynamics:
    """twm's: one latent for each agent."""
    registered = discover(environ={}).find("dynamics", "rssm-cat")
    config: Any = registered.load_config().model_validate({"layout": "agents", "heads": heads})
    embedding = EmbeddingSpec(agents=TOKEN)
    specs = DynamicsSpecs(embedding=embedding, action=None, latent=config.latent(embedding, None))
    torch.manual_seed(0)
    return registered.load_build()(config, specs)


class LoopRSSM(nn.Module):
    """The sketch: a cell for one agent, and two loops.

    Args:
        ours: Where sizes and weights come from.
    """

    def __init__(self, ours: Dynamics) -> None:
        super().__init__()
        weights = dict(ours.named_parameters())
        config: Any = ours.config
        self.blocks, self.groups, self.classes, self.unimix = config.blocks, config.groups, config.classes, config.unimix
        self.deter, self.eps = config.deter, config.eps

        def linear(name: str) -> nn.Linear:
            weight, bias = weights.pop(f"{name}.weight"), weights.pop(f"{name}.bias")
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": bias})
            return layer

        def norm(name: str) -> nn.RMSNorm:
            scale = weights.pop(f"{name}.scale")
            layer = nn.RMSNorm(scale.shape[0], eps=self.eps)
            layer.load_state_dict({"weight": scale})
            return layer

        def tensor(name: str) -> nn.Parameter:
            return nn.Parameter(weights.pop(name).detach().clone())

        self.deter_in, self.deter_norm = linear("cell.deter_in"), norm("cell.deter_norm")
        self.stoch_in, self.stoch_norm = linear("cell.stoch_in"), norm("cell.stoch_norm")
        self.mix, self.mix_bias, self.mix_norm = tensor("cell.mix.kernel"), tensor("cell.mix.bias"), norm("cell.norm")
        self.gates, self.gates_bias = tensor("cell.gates.kernel"), tensor("cell.gates.bias")
        self.posterior = nn.Sequential(linear("posterior.first"), norm("posterior.norm"), nn.SiLU(), linear("posterior.logits"))
        layers: list[nn.Module] = []
        for i in range(config.imglayers):
            layers += [linear(f"prior.layers.{i}"), norm(f"prior.norms.{i}"), nn.SiLU()]
        self.prior = nn.Sequential(*layers, linear("prior.logits"))
        if weights:
            raise SystemExit(f"the yardstick has no counterpart of {', '.join(weights)}")

    def step(self, deter: Tensor, stoch: Tensor) -> Tensor:
        """The next deter `[B,D]` of one agent."""
        x = F.silu(self.deter_norm(self.deter_in(deter)))
        y = F.silu(self.stoch_norm(self.stoch_in(stoch)))
        own = deter.unflatten(-1, (self.blocks, -1))
        shared = torch.cat((x, y), dim=-1).unsqueeze(1).expand(-1, self.blocks, -1)
        h = torch.einsum("bgi,gio->bgo", torch.cat((own, shared), dim=-1), self.mix).flatten(1) + self.mix_bias
        h = F.silu(self.mix_norm(h)).unflatten(-1, (self.blocks, -1))
        gates = torch.einsum("bgi,gio->bgo", h, self.gates) + self.gates_bias.view(self.blocks, -1)
        reset, candidate, update = gates.chunk(3, dim=-1)
        update = torch.sigmoid(update - 1)
        return (update * torch.tanh(torch.sigmoid(reset) * candidate) + (1 - update) * own).flatten(1)

    def sample(self, logits: Tensor, forced: Tensor | None) -> Tensor:
        """A straight-through sample `[B,G,C]`."""
        probs = (1 - self.unimix) * logits.softmax(-1) + self.unimix / self.classes
        if forced is None:
            forced = F.one_hot(torch.multinomial(probs.detach().flatten(0, 1), 1).view(probs.shape[:-1]), self.classes).float()
        return forced + probs - probs.detach()

    def forward(self, tokens: Tensor, forced: Tensor | None) -> Result:
        """Tokens `[B,T,A,E]` (and samples `[B,T,A,G,C]`) to what is compared."""
        batch, steps, agents, _ = tokens.shape
        deter = [tokens.new_zeros(batch, self.deter) for _ in range(agents)]
        stoch = [tokens.new_zeros(batch, self.groups * self.classes) for _ in range(agents)]
        out: dict[str, list[Tensor]] = {}
        for t in range(steps):
            row: dict[str, list[Tensor]] = {}
            for a in range(agents):
                deter[a] = self.step(deter[a], stoch[a])
                prior = self.prior(deter[a]).unflatten(-1, (self.groups, self.classes))
                logits = self.posterior(torch.cat((deter[a], tokens[:, t, a]), dim=-1)).unflatten(-1, (self.groups, self.classes))
                drawn = self.sample(logits, None if forced is None else forced[:, t, a])
                stoch[a] = drawn.flatten(1)
                found = {"deter": deter[a], "posterior": logits, "prior": prior, "stoch": drawn}
                if forced is None:
                    found["prior_stoch"] = self.sample(prior, None)
                for name, value in found.items():
                    row.setdefault(name, []).append(value)
            for name, values in row.items():
                out.setdefault(name, []).append(torch.stack(values, dim=1))
        return {name: torch.stack(values, dim=1) for name, values in out.items()}


def observe(ours: Dynamics, tokens: Tensor, forced: Tensor | None) -> Result:
    """The same from twm, whose masks say that everybody exists."""
    batch, steps, agents, _ = tokens.shape
    first = torch.zeros(batch, steps, dtype=torch.bool)
    first[:, 0] = True
    extra: Any = {} if forced is None else {"forced": forced}
    trace: Any = ours.observe(Embedding(None, tokens), None, first, torch.ones(batch, steps, agents, dtype=torch.bool), **extra)
    found = {
        "deter": trace.posterior.deter,
        "posterior": trace.posterior.stats,
        "prior": trace.prior.stats,
        "stoch": trace.posterior.stoch,
    }
    return found if forced is not None else {**found, "prior_stoch": trace.prior.stoch}


def weights_like(result: Result) -> Result:
    """The gradient of some loss with respect to everything that is returned: fixed numbers, so that no loss is timed."""
    source = torch.Generator().manual_seed(2)
    return {name: torch.randn(value.shape, generator=source) / value.numel() for name, value in sorted(result.items())}


def backward(result: Result, weights: Result) -> None:
    """All gradients of the sum of `result` times `weights`."""
    torch.autograd.backward(list(result.values()), [weights[name] for name in result])


def gradients(module: nn.Module, tokens: Tensor, result: Result) -> Result:
    """Of the tokens, and the norm of those of all parameters together."""
    backward(result, weights_like(result))
    norms = [p.grad.double().square().sum() for p in module.parameters() if p.grad is not None]
    assert tokens.grad is not None
    return {"gradient of tokens": tokens.grad, "gradient of weights, norm": torch.stack(norms).sum().sqrt()}


def agreement(ours: Dynamics, loop: LoopRSSM, agents: int) -> bool:
    """Print a line for each quantity; whether all agree."""
    source = torch.Generator().manual_seed(1)
    tokens = torch.randn(3, 7, agents, TOKEN, generator=source)
    forced = F.one_hot(torch.randint(loop.classes, (3, 7, agents, loop.groups), generator=source), loop.classes).float()
    found = []
    modules: tuple[Dynamics | LoopRSSM, ...] = (ours, loop)
    for module in modules:
        given = tokens.clone().requires_grad_()
        result = module(given, forced) if isinstance(module, LoopRSSM) else observe(module, given, forced)
        found.append({n: v.detach() for n, v in {**result, **gradients(module, given, result)}.items()})
    held = True
    for name, theirs in found[1].items():
        error = float((found[0][name] - theirs).abs().max() / theirs.abs().max())
        held &= error <= TOLERANCE
        print(f"  {name:27} {error:.1e}  {'agrees' if error <= TOLERANCE else 'DIFFERS'}")
    return held


def cpu_time(module: nn.Module, run: Callable[[Tensor], Result], tokens: Tensor, weights: Result) -> float:
    """CPU seconds of one forward and backward pass."""
    module.zero_grad(set_to_none=True)
    started = time.process_time()
    backward(run(tokens), weights)
    return time.process_time() - started


def main() -> int:
    """Compare, time, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8, help="steps of the sequence")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which each is timed once")
    parser.add_argument("--check", action="store_true", help="exit with 1 if they differ or the bar is missed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours, attending = multiagent_rssm(0), multiagent_rssm(4)
    loop = LoopRSSM(ours)
    print(f"largest difference between the two, relative to the largest value ({options.agents} agents)")
    held = agreement(ours, loop, options.agents)
    print(f"CPU milliseconds of a step, forward and backward, {options.agents} agents, {options.steps} steps, {options.rounds} rounds")
    print("  batch   loop over agents        twm      ratio (least to most)   twm with attention")
    for batch in options.batch:
        tokens = torch.randn(batch, options.steps, options.agents, TOKEN, generator=torch.Generator().manual_seed(batch))
        runs: dict[str, tuple[nn.Module, Callable[[Tensor], Result]]] = {
            "loop": (loop, lambda x: loop(x, None)),
            "twm": (ours, lambda x: observe(ours, x, None)),
            "attending": (attending, lambda x: observe(attending, x, None)),
        }
        weights = weights_like(observe(ours, tokens, None))
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(options.rounds + 1):
            for name, (module, run) in runs.items():
                seconds = cpu_time(module, run, tokens, weights)
                if turn:  # the first is a warm-up
                    taken[name].append(1000 * seconds / options.steps)
        middle = {name: statistics.median(times) for name, times in taken.items()}
        ratios = [a / b for a, b in zip(taken["twm"], taken["loop"], strict=True)]
        ratio = middle["twm"] / middle["loop"]
        held &= ratio <= BAR
        print(
            f"  {batch:5} {middle['loop']:18.2f} {middle['twm']:10.2f}   {ratio:8.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
            f"   {middle['attending']:18.2f}   {'held' if ratio <= BAR else 'MISSED'}"
        )
    print(f"bar {BAR:g}: {'held' if held else 'MISSED'}")
    return int(options.check and not held)


if __name__ == "__main__":
    raise SystemExit(main())
