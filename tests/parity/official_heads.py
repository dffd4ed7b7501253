"""From the official names of decoder and head parameters to those of twm's decoders `vector`, `reward` and `continue`.

The official implementation keeps kernels as [in, out] and feeds its vector decoder with [stoch, deter]; twm keeps weights as [out, in] and
features as [deter, stoch]. Each function takes the tensors under their official names (`dec/mlp/linear0/kernel`, without `param/`) and
returns a state dict. The same maps hold for gradients.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def vector_decoder_parameters(params: Mapping[str, Tensor], *, deter: int, keys: Mapping[str, str]) -> dict[str, Tensor]:
    """State dict of the decoder `vector`.

    Args:
        params: Tensors by official name.
        deter: Width of the deterministic state.
        keys: Our key for each official one: `{"vector": "vector.vector", "kind": "vector.kind"}`.
    """
    mapped = _trunk(params, "dec/mlp")
    first = mapped["mlp.linears.0.weight"]
    stoch = first.shape[1] - deter
    mapped["mlp.linears.0.weight"] = torch.cat((first[:, stoch:], first[:, :stoch]), dim=1)
    for official, ours in keys.items():
        part = "logits" if f"dec/vec/{official}/logits/kernel" in params else "pred"
        mapped |= _linear(params, f"dec/vec/{official}/{part}", f"heads.{ours.replace('.', '/')}.{part}")
    return mapped


def reward_parameters(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of the decoder `reward`."""
    return _trunk(params, "rew/mlp") | _linear(params, "rew/head/logits", "head")


def continue_parameters(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of the decoder `continue`."""
    return _trunk(params, "con/mlp") | _linear(params, "con/head/logit", "head")


def _linear(params: Mapping[str, Tensor], official: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": params[f"{official}/kernel"].T.contiguous(), f"{ours}.bias": params[f"{official}/bias"]}


def _trunk(params: Mapping[str, Tensor], official: str) -> dict[str, Tensor]:
    mapped: dict[str, Tensor] = {}
    layer = 0
    while f"{official}/linear{layer}/kernel" in params:
        mapped |= _linear(params, f"{official}/linear{layer}", f"mlp.linears.{layer}")
        mapped[f"mlp.norms.{layer}.scale"] = params[f"{official}/norm{layer}/scale"]
        layer += 1
    return mapped
