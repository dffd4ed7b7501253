"""Promises of optimizers: they move every parameter downhill, at the rate they are told, and can be stopped and resumed."""

from __future__ import annotations

import json

import torch
from torch import nn

from twm_core.testing.checks.check import Check
from twm_core.testing.failure import broken
from twm_core.testing.subjects.optimizer import Built, OptimizerSubject, values
from twm_core.training.optimizer_state import optimizer_state, restore_optimizer

DESCENT = 200


def every_parameter_moves(subject: OptimizerSubject) -> None:
    """After three updates with gradients every parameter has moved and is finite."""
    built = subject.made()
    before = values(built)
    subject.run(built, range(3))
    for name, value in values(built).items():
        if not bool(torch.isfinite(value).all()):
            broken(f"{name} is not finite after three updates", "bound the step: divide by no root that may be 0")
        if torch.equal(value, before[name]):
            broken(f"{name} has not moved after three updates", "hand every parameter of `specs.parameters` to the base class")


def the_learning_rate_is_obeyed(subject: OptimizerSubject) -> None:
    """Every group has `lr`, which the training loop sets before each step; at a rate of 0 nothing moves."""
    built = subject.made()
    if any("lr" not in group for group in built.optimizer.param_groups):
        broken("a parameter group has no 'lr'", "pass lr to the base class of torch")
    subject.run(built, range(2))
    before = values(built)
    subject.run(built, range(2, 5), lr=0.0)
    for name, value in values(built).items():
        if not torch.equal(value, before[name]):
            broken(f'{name} moved although group["lr"] was 0', 'read group["lr"] at every step')


def parameters_without_gradient_stay(subject: OptimizerSubject) -> None:
    """A parameter whose gradient is None keeps its value: its component took no part in the step."""
    built = subject.made()
    before = values(built)
    subject.run(built, range(3), without="matrix")
    if not torch.equal(built.parameters["matrix"].detach(), before["matrix"]):
        broken("a parameter without a gradient moved", "skip parameters whose grad is None")


def it_descends(subject: OptimizerSubject) -> None:
    """On a plain quadratic, 200 updates at least halve the distance to the minimum."""
    built = subject.made()
    goal = values(subject.made(seed=1))

    def distance() -> torch.Tensor:
        return torch.stack([(p - goal[n]).square().sum() for n, p in built.parameters.items()]).sum()

    start = float(distance().detach())
    for _ in range(DESCENT):
        built.optimizer.zero_grad(set_to_none=True)
        distance().backward()
        built.optimizer.step()
    end = float(distance().detach())
    if not end <= start / 4:  # squared distance
        broken(f"the squared distance to the minimum of a quadratic went from {start:.3g} to {end:.3g}", "look at the sign of the step")


def updates_can_be_resumed(subject: OptimizerSubject) -> None:
    """Everything that later updates depend on is in the optimizer's state, parameter groups or `state_dict()`: saved after three updates
    and loaded into a fresh instance, the next three are the same, bit for bit."""
    whole = subject.made()
    subject.run(whole, range(3))
    fresh = subject.made(seed=2)
    with torch.no_grad():
        for name, value in values(whole).items():
            fresh.parameters[name].copy_(value)
    tensors, kept = optimizer_state(_module(whole), whole.optimizer)
    restore_optimizer(_module(fresh), fresh.optimizer, {k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(kept)))
    for built in (whole, fresh):
        subject.run(built, range(3, 6))
    for name, value in values(whole).items():
        if not torch.equal(values(fresh)[name], value):
            broken(
                f"{name} goes another way after saving and loading",
                "keep what changes in self.state[parameter], in self.param_groups or in state_dict()",
            )


def _module(built: Built) -> nn.Module:
    """The parameters as a module, which is what checkpoints save optimizers of."""
    module = nn.Module()
    for name, parameter in built.parameters.items():
        module.register_parameter(name, parameter)
    return module


def same_gradients_same_updates(subject: OptimizerSubject) -> None:
    """Two instances that are given the same gradients do the same, and nothing is drawn from torch's global generator."""
    one, two = subject.made(), subject.made()
    before = torch.get_rng_state()
    subject.run(one, range(3))
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    if not torch.equal(before, after):
        broken("torch's global generator was used", "an optimizer has no randomness")
    subject.run(two, range(3))
    for name, value in values(one).items():
        if not torch.equal(values(two)[name], value):
            broken(f"two instances moved {name} differently", "keep no state outside of the instance")


OPTIMIZER = (
    Check(every_parameter_moves, needs=("builds_its_kind",)),
    Check(same_gradients_same_updates, needs=("builds_its_kind", "every_parameter_moves")),
    Check(the_learning_rate_is_obeyed, needs=("builds_its_kind", "every_parameter_moves")),
    Check(parameters_without_gradient_stay, needs=("builds_its_kind",)),
    Check(it_descends, needs=("every_parameter_moves", "same_gradients_same_updates")),
    Check(updates_can_be_resumed, needs=("every_parameter_moves", "same_gradients_same_updates")),
)
