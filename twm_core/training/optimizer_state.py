"""Everything that an optimizer keeps, as named tensors and plain values, and back.

An optimizer keeps state for each parameter, entries of its parameter groups, and may add entries of its own to `state_dict()`. Tensors are
saved as `optimizer.<parameter>.<entry>` and `optimizer_own.<number>`; numbers, words, lists, tuples and mappings of them as JSON. Anything
else cannot be saved, and is refused with its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from twm_core.errors import CheckpointError

_TENSOR, _TUPLE, _MAP = "tensor", "tuple", "map"

Kept = dict[str, Any]
"""What an optimizer keeps beside its parameters' tensors, as JSON: `state`, `groups`, `own`."""


def group_values(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The entries of the parameter groups, but for the parameters and the learning rate, which training sets at every step."""
    return [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in optimizer.param_groups]


def optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, whose: str = "the optimizer", built: list[dict[str, Any]] | None = None
) -> tuple[dict[str, Tensor], Kept]:
    """What `restore_optimizer` needs.

    Args:
        model: Names the parameters.
        optimizer: Whose state to take.
        whose: Its component, for messages.
        built: `group_values` right after it was built; entries that are still the same are left out.

    Raises:
        CheckpointError: It keeps something that a checkpoint cannot hold.
    """
    writer = _Writer(whose)
    names: dict[Tensor, str] = {p: n for n, p in model.named_parameters()}
    kept: Kept = {"state": {}, "groups": [], "own": {}}
    for parameter, state in cast(dict[Any, dict[str, Any]], optimizer.state).items():
        if parameter not in names:
            raise CheckpointError(f"{whose} keeps state under {parameter!r:.60}, which is no parameter of the model", _ASK)
        for entry, value in state.items():
            if isinstance(value, Tensor):
                writer.tensors[f"optimizer.{names[parameter]}.{entry}"] = value
            else:
                kept["state"].setdefault(names[parameter], {})[entry] = writer.plain(value, f"state[{names[parameter]}][{entry!r}]")
    for number, group in enumerate(group_values(optimizer)):
        former = built[number] if built is not None and number < len(built) else {}
        kept["groups"].append(
            {k: writer.plain(v, f"param_groups[{number}][{k!r}]") for k, v in group.items() if k not in former or not _same(v, former[k])}
        )
    for entry, value in optimizer.state_dict().items():
        if entry not in ("state", "param_groups"):
            kept["own"][entry] = writer.plain(value, f"state_dict()[{entry!r}]")
    return writer.tensors, kept


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], kept: Mapping[str, Any] | None = None
) -> None:
    """Put back what `optimizer_state` gave. Parameters that never had a gradient have no state.

    Args:
        model: Names the parameters.
        optimizer: Freshly built with the same options.
        tensors: The tensors, among others.
        kept: The plain values; None where a checkpoint of an earlier version has none.
    """
    kept = kept or {}
    own = {entry: _read(value, tensors) for entry, value in kept.get("own", {}).items()}
    if own:
        # Its own loading must see its own entries; state and groups are put back exactly below.
        optimizer.load_state_dict({**optimizer.state_dict(), **own})
    for name, parameter in model.named_parameters():
        prefix = f"optimizer.{name}."
        # The step counter of fused AdamW lives on the parameter's device like the moments.
        state = {k.removeprefix(prefix): v.to(parameter.device) for k, v in tensors.items() if k.startswith(prefix)}
        state |= {entry: _read(value, tensors, parameter.device) for entry, value in kept.get("state", {}).get(name, {}).items()}
        if state:
            optimizer.state[parameter] = state
    for group, values in zip(optimizer.param_groups, kept.get("groups", []), strict=False):
        group.update({k: _read(v, tensors, group["params"][0].device) for k, v in values.items()})


def set_mode(optimizer: torch.optim.Optimizer, *, training: bool) -> None:
    """Call `train()` or `eval()` of an optimizer that has both: such optimizers keep other weights for evaluation."""
    if has_modes(optimizer):
        getattr(optimizer, "train" if training else "eval")()


def has_modes(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer has the methods `train` and `eval`."""
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


_ASK = "ask its author to keep tensors, numbers, words, lists or mappings of them, or use another --optimizer"


class _Writer:
    def __init__(self, whose: str) -> None:
        self.whose = whose
        self.tensors: dict[str, Tensor] = {}

    def plain(self, value: Any, where: str) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor):
            name = f"optimizer_own.{sum(n.startswith('optimizer_own.') for n in self.tensors)}"
            self.tensors[name] = value
            return {_TENSOR: name}
        if isinstance(value, list):
            return [self.plain(v, where) for v in value]
        if isinstance(value, tuple):
            return {_TUPLE: [self.plain(v, where) for v in value]}
        if isinstance(value, Mapping):
            return {_MAP: [[self.plain(k, where), self.plain(v, where)] for k, v in value.items()]}
        raise CheckpointError(f"{self.whose} keeps {where} of type {type(value).__name__}, which a checkpoint cannot hold", _ASK)


def _read(value: Any, tensors: Mapping[str, Tensor], device: torch.device | None = None) -> Any:
    if isinstance(value, list):
        return [_read(v, tensors, device) for v in value]
    if not isinstance(value, Mapping):
        return value
    ((shape, content),) = value.items()
    if shape == _TENSOR:
        return tensors[content].clone() if device is None else tensors[content].to(device)
    if shape == _TUPLE:
        return tuple(_read(v, tensors, device) for v in content)
    return {_read(k, tensors, device): _read(v, tensors, device) for k, v in content}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return False  # a tensor may have been changed in place
    return type(a) is type(b) and a == b
