"""Promises of every network (encoder, dynamics, decoder), whatever it computes.

Each check feeds the same synthetic input in two ways between which a correct component cannot tell the difference, and compares what
comes out.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from twm_core.devices import accelerator
from twm_core.testing.batches import AGENTS, BATCH, EXISTS, Fed
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.readings import Reading, distance, finite, gradients, same, shapes, take
from twm_core.testing.subjects import ModuleSubject
from twm_core.testing.tolerance import rounding, rounding_of_products

FILLS = {"not a number": float("nan"), "infinity": float("inf"), "a million": 1e6}


def _with_agents(subject: ModuleSubject) -> Fed:
    if EXISTS not in subject.fed.values:
        raise NotApplicable("no agents are seen")
    return subject.fed


def shapes_match_the_spec(subject: ModuleSubject) -> None:
    """Everything that comes out has the parts and the shapes that the component's own spec promised."""
    promised, found = subject.expected(), shapes(subject.usual)
    for name, shape in promised.items():
        if name not in found:
            broken(f"{name} was promised and is missing", "return every part that the spec names")
        if found[name] != shape:
            broken(f"{name} has shape {found[name]}, the spec promises {shape}", "compute widths in the spec as in the model")
    tokens = {k for k in found if k.endswith("features") or k in ("scene", "agents")}
    if tokens - set(promised):
        broken(f"{', '.join(sorted(tokens - set(promised)))} is returned, but the spec does not name it", "name it in the spec")


def runs_without_data(subject: ModuleSubject) -> None:
    """Built and run on the meta device it gives the same shapes: no value is read back to decide what to do.

    Dynamics are asked for the features of their initial state only.
    """
    with torch.device("meta"):
        module = subject.build().eval()
    with torch.no_grad():
        found, usual = shapes(subject.read_without_data(module)), shapes(subject.read_without_data(subject.instance))
    if found != usual:
        broken(f"shapes on the meta device are {found}, else {usual}", "create tensors on the device of the input")


def results_are_finite(subject: ModuleSubject) -> None:
    """Values and gradients are finite in every scene: nobody there at all, one agent, every slot taken, agents that come and go."""
    for pattern in ("ragged", "none", "one", "all"):
        if pattern != "ragged" and EXISTS not in subject.fed.values:
            continue
        readings = subject.read(subject.instance, subject.feed(pattern=pattern))
        finite(readings, f"agents: {pattern}", "a mean or softmax over nobody needs a defined value")
        for name, gradient in gradients(subject.instance, readings).items():
            if gradient is not None and not bool(torch.isfinite(gradient).all()):
                broken(
                    f"agents: {pattern}: the gradient of {name} is not finite",
                    "mask the input of a division, root or softmax, not only its result",
                )


def absent_agents_change_nothing(subject: ModuleSubject) -> None:
    """What stands in the input where an agent does not exist, NaN and infinity included, changes no result for those that exist."""
    fed = _with_agents(subject)
    for what, fill in FILLS.items():
        with torch.no_grad():
            spoiled = subject.read(subject.instance, fed.spoiled(fill))
        same(
            spoiled,
            subject.usual,
            f"with {what} where agents do not exist",
            "replace what is masked with torch.where before using it",
            summands=subject.summands,
        )


def absent_agents_leave_gradients_alone(subject: ModuleSubject) -> None:
    """What stands in the input where an agent does not exist changes no gradient of a parameter either."""
    fed = _with_agents(subject)
    clean = gradients(subject.instance, subject.read(subject.instance, fed))
    for what, fill in FILLS.items():
        spoiled = gradients(subject.instance, subject.read(subject.instance, fed.spoiled(fill)))
        for name, gradient in clean.items():
            other = spoiled[name]
            if gradient is None or other is None:
                continue
            worst = distance(other, gradient)
            if not worst <= rounding(gradient.dtype, subject.summands):
                hint = "0 x NaN is NaN: clean the input with torch.where before the first layer, not the output after it"
                broken(f"with {what} where agents do not exist the gradient of {name} differs by {worst:.3g}", hint)


def agents_have_no_order(subject: ModuleSubject) -> None:
    """Permuting the agents permutes what is said of each of them and leaves the rest as it is.

    A decoder whose slots have an order says so by a config field `queries` with the value `slots`, and is left alone.
    """
    _with_agents(subject)
    if getattr(subject.config, "queries", "") == "slots":
        raise NotApplicable("slots have an order")
    given = getattr(subject.specs, "latent", None)
    if given is not None and given.layout == "scene" and not hasattr(subject.specs, "embedding"):
        raise NotApplicable("a pooled latent is decoded into slots")
    order = torch.tensor([3, 6, 0, 5, 1, 4, 2])
    assert sorted(order.tolist()) == list(range(AGENTS))
    with torch.no_grad():
        straight = subject.read_quietly(subject.instance, subject.quiet_fed)
        permuted = subject.read_quietly(subject.instance, subject.quiet_fed.take("A", order))
    same(
        permuted,
        take(straight, "A", order),
        "with agents in another order",
        "use no position of a slot; pool with sums, means or maxima",
        summands=subject.summands,
    )


def batch_rows_are_independent(subject: ModuleSubject) -> None:
    """A row of the batch gives the same alone as in company, in evaluation and, unless training is random, in training."""
    for training in (False, True):
        module = subject.build().train(training)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            together = subject.read_quietly(module, subject.quiet_fed)
            torch.manual_seed(2)
            if training and any(
                distance(r.value, together[k].value, r.mask) > 0 for k, r in subject.read_quietly(module, subject.quiet_fed).items()
            ):
                return  # dropout: rows cannot be compared
            for row in range(BATCH):
                index = torch.tensor([row])
                alone = subject.read_quietly(module, subject.quiet_fed.take("B", index))
                mode = "training" if training else "evaluation"
                same(
                    alone,
                    take(together, "B", index),
                    f"row {row} alone, in {mode}",
                    "normalize over features, never over the batch",
                    summands=subject.summands,
                )


def gradients_reach_every_parameter(subject: ModuleSubject) -> None:
    """Every trainable parameter receives a gradient that is not zero (weights are first moved off their initial values)."""
    module = subject.build()
    _shake(module)
    for name, gradient in gradients(module, subject.read(module, subject.fed)).items():
        if gradient is None:
            broken(f"no gradient reaches {name}", "leave out what nothing uses, or make it a buffer")
        if not bool((gradient != 0).any()):
            broken(f"the gradient of {name} is zero throughout", "look for a detached or dead branch")


def state_dict_is_complete(subject: ModuleSubject) -> None:
    """Another instance that loads the state dict gives the same results, statistics of the training data included."""
    one, other = subject.build(seed=0).eval(), subject.build(seed=1).eval()
    subject.collect(one)
    other.load_state_dict(one.state_dict(), strict=True)
    with torch.no_grad():
        same(
            subject.read(other, subject.fed),
            subject.read(one, subject.fed),
            "after loading the state dict",
            "register buffers as persistent",
            summands=subject.summands,
        )


def same_seed_same_result(subject: ModuleSubject) -> None:
    """Two instances built after seeding alike, and one instance asked twice, give the same results."""
    with torch.no_grad():
        again = subject.read(subject.instance, subject.fed)
        same(again, subject.usual, "asked twice", "keep no state between calls", summands=subject.summands)
        twin = subject.read(subject.build().eval(), subject.fed)
    same(twin, subject.usual, "built twice after the same seed", "initialise from torch's generator only", summands=subject.summands)


def draws_nothing_unasked(subject: ModuleSubject) -> None:
    """In evaluation nothing is drawn from torch's global generator: randomness comes from the generator that is passed in."""
    before = torch.get_rng_state()
    with torch.no_grad():
        subject.read(subject.instance, subject.fed)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    if not torch.equal(before, after):
        broken("torch's global generator was used", "pass `generator` on to every torch.rand, randn or multinomial")


def input_stays_as_it_is(subject: ModuleSubject) -> None:
    """The tensors that are passed in are not changed."""
    fed = subject.feed()
    if EXISTS in fed.values:
        fed = fed.spoiled(5.0)  # datasets write zeros there, which a component may well write again
    before = {k: v.clone() for k, v in fed.values.items()}
    with torch.no_grad():
        subject.read(subject.instance, fed)
    for key, value in fed.values.items():
        if not _equal(value, before[key]):
            broken(f"{key} was changed in place", "use torch.where or a copy instead of assigning into the input")


def half_precision_is_survived(subject: ModuleSubject) -> None:
    """Under autocast to bfloat16, which `training.precision = "bf16-mixed"` trains in, it runs without an error or a warning, and what it
    gives is finite and near to what it gives in full precision."""
    fed = subject.quiet_fed
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = subject.read_quietly(subject.instance, fed)
        usual = subject.read_quietly(subject.instance, fed)
    finite(found, "under autocast", "compute what needs digits in float32: sums over time, roots, positions in metres")
    widened = {k: Reading(r.value.to(usual[k].value.dtype), r.axes, r.mask) for k, r in found.items()}
    hint = "torch.autocast(..., enabled=False) around what loses too many digits"
    same(widened, usual, "under autocast to bfloat16", hint, within=rounding_of_products(subject.layers, torch.finfo(torch.bfloat16).eps))


def another_device_agrees(subject: ModuleSubject) -> None:
    """Moved to a GPU it gives there what it gives on the CPU, but for rounding. Skipped where there is no GPU."""
    device = accelerator()
    if device is None:
        raise NotApplicable("this machine has no GPU")
    module = subject.build().eval().to(device)
    with torch.no_grad():
        found = subject.read_quietly(module, subject.quiet_fed.to(str(device)))
        usual = subject.read_quietly(subject.instance, subject.quiet_fed)
    moved = {k: Reading(r.value.cpu(), r.axes, None if r.mask is None else r.mask.cpu()) for k, r in found.items()}
    same(
        moved,
        usual,
        f"on {device}",
        "create tensors on the device of the input, and register constants as buffers",
        within=rounding_of_products(subject.layers),
    )


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(), b.nan_to_num()) if a.is_floating_point() else torch.equal(a, b)


def _shake(module: nn.Module) -> None:
    """Move parameters a little, so that zero-initialised layers let gradients through."""
    source = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=source, dtype=parameter.dtype))


MODULE = (
    Check(shapes_match_the_spec, needs=("builds_its_kind", "specs_are_pure")),
    Check(runs_without_data, needs=("builds_its_kind",)),
    Check(input_stays_as_it_is, needs=("builds_its_kind",)),
    Check(draws_nothing_unasked, needs=("builds_its_kind",)),
    Check(results_are_finite, needs=("builds_its_kind",)),
    Check(same_seed_same_result, needs=("results_are_finite", "draws_nothing_unasked", "input_stays_as_it_is")),
    Check(absent_agents_change_nothing, needs=("same_seed_same_result",)),
    Check(absent_agents_leave_gradients_alone, needs=("same_seed_same_result", "results_are_finite", "absent_agents_change_nothing")),
    Check(agents_have_no_order, needs=("same_seed_same_result", "absent_agents_change_nothing")),
    Check(batch_rows_are_independent, needs=("same_seed_same_result",)),
    Check(gradients_reach_every_parameter, needs=("same_seed_same_result",)),
    Check(state_dict_is_complete, needs=("same_seed_same_result",)),
    Check(half_precision_is_survived, needs=("same_seed_same_result",)),
    Check(another_device_agrees, needs=("same_seed_same_result", "runs_without_data")),
)
