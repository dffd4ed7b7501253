"""Compare our world model with a file of the official DreamerV3's numbers, quantity by quantity.

    python tests/parity/check.py FILE [FILE ...]

One line for each quantity: its name, the largest difference relative to the largest value, the limit, and `ok` or `MISS`. Exit status
1 if anything misses its limit, 2 if a file cannot be read. `official_set.py` tells how parameters, inputs and samples are mapped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import torch
from official_set import OfficialSet
from safetensors import SafetensorError
from torch import Tensor

from twm_core.nn.distributions import TwoHot, symexp_bins
from twm_core.nn.interfaces import Embedding, Features
from twm_core.nn.symlog import symexp, symlog
from twm_core.nn.targets import target
from twm_optimizers.laprop import LaProp

TIGHT, PIXEL, IMAGE, GRADIENT, PARAMETER = 1e-5, 3e-5, 1e-4, 1e-4, 1e-6
"""Limits: values; values of pixels, which lie behind a chain of convolutions (with torch's kernels for processors without AVX2 and without
oneDNN they differ by 1.3e-5); losses summed over pixels and expected rewards; gradients and updates; updated parameters."""


class Row(NamedTuple):
    """A quantity, ours beside theirs."""

    name: str
    ours: Tensor
    theirs: Tensor
    limit: float

    @property
    def error(self) -> float:
        """max |ours - theirs| / max |theirs|; infinite where shapes differ or a value is not finite."""
        if self.ours.shape != self.theirs.shape:
            return float("inf")
        ours, theirs = self.ours.detach().double(), self.theirs.double()
        error = (ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)
        return float(error) if bool(torch.isfinite(error)) else float("inf")


def rows(official: OfficialSet) -> Iterator[Row]:
    """Every quantity of a file."""
    yield from _functions(official)
    yield from _forward(official)
    yield from _imagination(official)
    yield from _optimizer(official)


def _functions(official: OfficialSet) -> Iterator[Row]:
    if official.has("fn/x"):
        yield Row("fn/symlog", symlog(official["fn/x"]), official["fn/symlog"], TIGHT)
        yield Row("fn/symexp", symexp(official["fn/y"]), official["fn/symexp"], TIGHT)
    yield Row("out/rew/bins", symexp_bins(official.sizes["bins"]), official["out/rew/bins"], TIGHT)
    if official.has("fn/twohot/logits"):
        logits = official["fn/twohot/logits"].clone().requires_grad_()
        found = TwoHot(logits, symexp_bins(logits.shape[-1]))
        cost = -found.log_prob(official["fn/twohot/target"])
        yield Row("fn/twohot/loss", cost, official["fn/twohot/loss"], TIGHT)
        yield Row("fn/twohot/pred", found.mean, official["fn/twohot/pred"], TIGHT)
        cost.sum().backward()
        assert logits.grad is not None
        yield Row("fn/twohot/loss_grad", logits.grad, official["fn/twohot/loss_grad"], TIGHT)


def _forward(official: OfficialSet) -> Iterator[Row]:
    model, batch = official.model, official.batch
    tokens = model.embed(batch)
    assert tokens.scene is not None
    yield Row("out/tokens", tokens.scene, official["out/tokens"], TIGHT)
    if official.has("missing/tokens"):
        absent = official.under("missing/")
        lacking = batch | {k: absent[n] if absent[n].is_floating_point() else absent[n].long() for n, k in official.names.items()}
        found = model.embed(lacking).scene
        assert found is not None
        yield Row("missing/tokens", found, official["missing/tokens"], TIGHT)

    trace = official.observe(Embedding(tokens.scene, None))
    posterior, prior = model.belief(trace.posterior), model.belief(trace.prior)
    after, before = posterior.distribution, prior.distribution
    assert after is not None
    assert before is not None
    yield Row("out/deter", trace.posterior.deter, official["out/deter"], TIGHT)
    yield Row("out/stoch", trace.posterior.stoch, official["out/stoch"], TIGHT)
    yield Row("out/post_logit", after.logits, official["out/post_logit"], TIGHT)
    yield Row("out/prior_logit", before.logits, official["out/prior_logit"], TIGHT)
    yield Row("out/post_logprob_mixed", after.log_probs, official["out/post_logprob_mixed"], TIGHT)
    yield Row("out/prior_logprob_mixed", before.log_probs, official["out/prior_logprob_mixed"], TIGHT)
    yield Row("out/post_entropy", after.entropy(), official["out/post_entropy"], TIGHT)
    yield Row("out/prior_entropy", before.entropy(), official["out/prior_entropy"], TIGHT)
    divergence = after.kl(before)
    free = official.sizes["free_nats"]
    yield Row("out/kl_raw", divergence, official["out/kl_raw"], TIGHT)
    yield Row("out/loss/dyn", after.detach().kl(before).clamp_min(free), official["out/loss/dyn"], TIGHT)
    yield Row("out/loss/rep", after.kl(before.detach()).clamp_min(free), official["out/loss/rep"], TIGHT)

    decoded = model.decode(posterior.features, None)
    for theirs, ours in official.names.items():
        distribution, image = decoded[ours], ours.startswith("image.")
        if official.has(f"out/dec/{theirs}/logits"):
            yield Row(f"out/dec/{theirs}/logits", distribution.logits, official[f"out/dec/{theirs}/logits"], TIGHT)
            yield Row(f"out/dec/{theirs}/pred", distribution.mode, official[f"out/dec/{theirs}/pred"], TIGHT)
        elif image:
            yield Row(f"out/dec/{theirs}/pred", distribution.mean.permute(0, 1, 3, 4, 2), official[f"out/dec/{theirs}/pred"], PIXEL)
        else:  # the mean is in plain units, the file holds it in symlog space
            yield Row(f"out/dec/{theirs}/pred", symlog(distribution.mean), official[f"out/dec/{theirs}/pred"], TIGHT)
        cost = -distribution.log_prob(target(batch, ours))
        yield Row(f"out/loss/{theirs}", cost, official[f"out/loss/{theirs}"], IMAGE if image else TIGHT)
    yield from _heads(official, decoded, "out/", batch)

    total, _ = _loss(official)
    yield Row("out/loss_total", total, official["out/loss_total"], TIGHT)
    model.zero_grad()
    total.backward()
    wanted = official.ours(official.under("grad/"))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} got no gradient"
        yield Row(f"grad/{name}", parameter.grad, wanted[name], GRADIENT)


def _heads(official: OfficialSet, decoded: dict, prefix: str, batch: dict[str, Tensor]) -> Iterator[Row]:
    reward, goes_on = decoded["reward"], decoded["continue"]
    yield Row(f"{prefix}rew/logits", reward.logits, official[f"{prefix}rew/logits"], TIGHT)
    yield Row(f"{prefix}rew/pred", reward.mean, official[f"{prefix}rew/pred"], IMAGE)
    yield Row(f"{prefix}loss/rew", -reward.log_prob(batch["reward"]), official[f"{prefix}loss/rew"], TIGHT)
    yield Row(f"{prefix}con/logit", goes_on.logit, official[f"{prefix}con/logit"], TIGHT)
    yield Row(f"{prefix}con/prob", goes_on.mean, official[f"{prefix}con/prob"], TIGHT)
    yield Row(f"{prefix}con/target", target(batch, "continue") * goes_on.discount, official[f"{prefix}con/target"], TIGHT)
    yield Row(f"{prefix}loss/con", -goes_on.log_prob(target(batch, "continue")), official[f"{prefix}loss/con"], TIGHT)


def _loss(official: OfficialSet) -> tuple[Tensor, dict[str, Tensor]]:
    """The world model's own total, as in training, with the dynamics told which samples to take."""
    dynamics = official.model.dynamics
    usual = dynamics.observe
    dynamics.observe = lambda embedding, *_, **__: _observing(official, usual, embedding)  # type: ignore[method-assign]
    try:
        return official.model.loss(official.batch)
    finally:
        del dynamics.observe


def _observing(official: OfficialSet, usual: object, embedding: Embedding) -> object:
    official.model.dynamics.observe = usual  # type: ignore[method-assign, assignment]
    return official.observe(embedding)


@torch.no_grad()
def _imagination(official: OfficialSet) -> Iterator[Row]:
    model, actions = official.model, official.imagined_actions

    def step(deter: Tensor, stoch: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        state = model.imagine(official.carry(deter, stoch), 1, action.unsqueeze(1), generator=torch.Generator().manual_seed(0))
        found = model.dynamics.distribution(state)
        assert found is not None
        return state.deter[:, 0, 0], found.logits[:, 0, 0]

    deter, stoch = official["out/deter"][:, -1], official["out/stoch"][:, -1]
    one, logits = step(deter, stoch, actions[:, 0])
    yield Row("out/imagine1/deter", one, official["out/imagine1/deter"], TIGHT)
    yield Row("out/imagine1/logit", logits, official["out/imagine1/logit"], TIGHT)
    deters, logit = [], []
    for h in range(actions.shape[1]):  # free-running in deter, with the official samples
        deter, found = step(deter, stoch, actions[:, h])
        stoch = official["out/imagine/stoch"][:, h]
        deters.append(deter)
        logit.append(found)
    imagined = torch.stack(deters, dim=1)
    yield Row("out/imagine/deter", imagined, official["out/imagine/deter"], TIGHT)
    yield Row("out/imagine/logit", torch.stack(logit, dim=1), official["out/imagine/logit"], TIGHT)
    decoded = model.decode(Features(torch.cat((imagined, official["out/imagine/stoch"].flatten(2)), dim=-1), None), None)
    yield Row("out/imagine/rew_pred", decoded["reward"].mean, official["out/imagine/rew_pred"], IMAGE)
    yield Row("out/imagine/con_prob", decoded["continue"].mean, official["out/imagine/con_prob"], TIGHT)


def _optimizer(official: OfficialSet) -> Iterator[Row]:
    """Three updates of LaProp with adaptive clipping, tensor by tensor as the official one does."""
    options = official.sizes["opt"]
    names = list(official.under("opt/param1/"))
    # In float32 the step, 1e-4 of a parameter, carries that parameter's rounding; so steps are compared in float64.
    single, double = ({n: torch.nn.Parameter(official[f"param/{n}"].to(t)) for n in names} for t in (torch.float32, torch.float64))
    optimizers = [
        LaProp(p.values(), lr=options["lr"], betas=(options["beta1"], options["beta2"]), eps=options["eps"], agc=options["agc"])
        for p in (single, double)
    ]
    for t, source in ((1, "grad/"), (2, "opt/grad2/"), (3, "opt/grad3/")):
        before = {n: p.detach().clone() for n, p in double.items()}
        for name in names:
            single[name].grad, double[name].grad = official[source + name].clone(), official[source + name].double()
        for optimizer in optimizers:
            optimizer.step()
        if t == 2:
            continue  # the file has the first and the third
        for name in names:
            yield Row(f"opt/param{t}/{name}", single[name], official[f"opt/param{t}/{name}"], PARAMETER)
            yield Row(f"opt/update{t}/{name}", double[name] - before[name], official[f"opt/update{t}/{name}"], GRADIENT)


def main(words: list[str]) -> int:
    """Print the lines for every file."""
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    missed = 0
    for word in words:
        try:
            official = OfficialSet(Path(word))
        except (OSError, SafetensorError, KeyError) as error:
            print(f"error: {word} is not a file of official numbers: {error}", file=sys.stderr)
            return 2
        print(f"{word}: {sum(p.numel() for p in official.model.parameters()):,} parameters")
        count = 0
        for row in rows(official):
            ok = row.error <= row.limit
            missed += not ok
            count += 1
            print(f"{'ok  ' if ok else 'MISS'}  {row.error:8.1e}  limit {row.limit:.0e}  {row.name}")
        print(f"{count} quantities")
    print(f"{missed} missed" if missed else "all within their limits")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
