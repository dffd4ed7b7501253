"""What a check reads off a component: named tensors with axis letters and a mask, and how two readings are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from twm_core.nn.distributions import Distribution
from twm_core.testing.failure import broken
from twm_core.testing.tolerance import rounding


@dataclass(frozen=True)
class Reading:
    """A tensor, the letters of its leading axes (the others follow unnamed), and which entries count."""

    value: Tensor
    axes: str
    mask: Tensor | None = None

    def take(self, axis: str, index: Tensor) -> Reading:
        """Entries `index` of an axis; without it, unchanged."""
        if axis not in self.axes:
            return self
        at = self.axes.index(axis)
        mask = self.mask if self.mask is None or self.mask.shape[at] == 1 else self.mask.index_select(at, index)
        return Reading(self.value.index_select(at, index), self.axes, mask)

    def counted(self, fill: float = 0.0) -> Tensor:
        """The value with `fill` where the mask is false."""
        return self.value if self.mask is None else torch.where(_like(self.mask, self.value), self.value, torch.full_like(self.value, fill))


Readings = dict[str, Reading]


def take(readings: Readings, axis: str, index: Tensor | Iterable[int]) -> Readings:
    """Entries `index` of an axis, in every reading that has it."""
    at = index if isinstance(index, Tensor) else torch.tensor(list(index))
    return {k: r.take(axis, at) for k, r in readings.items()}


def same(
    got: Readings, wanted: Readings, what: str, hint: str | None = None, *, summands: int | None = None, within: float | None = None
) -> None:
    """Fail unless both readings agree wherever the mask of `wanted` is true; NaN never agrees.

    They may differ by the rounding of `summands` numbers of their type, or by `within`, relative to 1 + size; one of the two is given.
    """
    if set(got) != set(wanted):
        broken(f"{what}: results {sorted(got)} instead of {sorted(wanted)}", hint)
    for name, reading in wanted.items():
        a, b = got[name].value, reading.value
        if a.shape != b.shape:
            broken(f"{what}: {name} has shape {list(a.shape)} instead of {list(b.shape)}", hint)
        worst = distance(a, b, reading.mask)
        if not worst <= _allowed(b, summands, within):
            broken(f"{what}: {name} differs by {worst:.3g}", hint)


def distance(a: Tensor, b: Tensor, mask: Tensor | None = None) -> float:
    """Largest difference relative to 1 + |b|, where the mask is true; infinite where one is not a number."""
    x, y = a.detach().double(), b.detach().double()
    worst = ((x - y).abs() / (1 + y.abs())).nan_to_num(nan=torch.inf)
    if mask is not None:
        worst = torch.where(_like(mask, worst), worst, torch.zeros_like(worst))
    return float(worst.max()) if worst.numel() else 0.0


def _allowed(values: Tensor, summands: int | None, within: float | None) -> float:
    if within is not None:
        return within
    if summands is None:
        raise ValueError("same() needs summands or within")
    return rounding(values.dtype, summands)


def largest(values: Tensor, mask: Tensor | None = None) -> float:
    """Largest size of a number, where the mask is true."""
    return distance(values, torch.zeros_like(values), mask)


def finite(readings: Readings, what: str, hint: str | None = None) -> None:
    """Fail unless every entry that counts is a finite number."""
    for name, reading in readings.items():
        if not bool(torch.isfinite(reading.counted().detach().double()).all()):
            broken(f"{what}: {name} is not finite", hint)


def tensors_of(distribution: Distribution) -> list[Tensor]:
    """The tensors that a distribution is made of, as its `map` shows them."""
    found: list[Tensor] = []

    def note(x: Tensor) -> Tensor:
        found.append(x)
        return x

    distribution.map(note)
    return found


def gradients(module: nn.Module, readings: Readings) -> dict[str, Tensor | None]:
    """Gradient of a fixed random mixture of all entries that count, for every trainable parameter; None where none arrives."""
    generator = torch.Generator().manual_seed(11)
    total = torch.zeros(())
    for reading in readings.values():
        if reading.value.requires_grad:
            value = reading.counted()
            total = total + (value * torch.randn(value.shape, generator=generator)).sum()
    named = [(k, p) for k, p in module.named_parameters() if p.requires_grad]
    if not total.requires_grad:
        return {k: None for k, _ in named}
    found = torch.autograd.grad(total, [p for _, p in named], allow_unused=True)
    return {k: g for (k, _), g in zip(named, found, strict=True)}


def shapes(readings: Mapping[str, Reading]) -> dict[str, list[int]]:
    """Shape of every reading."""
    return {k: list(r.value.shape) for k, r in readings.items()}


def _like(mask: Tensor, value: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *(1,) * (value.dim() - mask.dim())).expand_as(value)
