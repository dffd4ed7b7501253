"""Parameters of the official DreamerV3 implementation in our layout.

The official layout (danijar/dreamerv3, 2026): `Linear` kernels are `[in,out]`, `BlockLinear` kernels `[blocks,in/blocks,out/blocks]`. The
first block layer `dynhid0` has in each block the rows of deter's slice, then those of the inputs from deter, stoch and action. Ours
holds the same numbers with deter's rows as `own` and the others as dense matrices whose columns run over the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def from_official(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of an `RSSM` (layout `scene`) from official parameters.

    Args:
        params: Tensors by their name inside the module `dyn`, for example `dynin0/kernel`.

    Returns:
        The same numbers by our names, for `load_state_dict`.
    """
    layers = [sum(f"{name}{i}/kernel" in params for i in range(99)) for name in ("dynhid", "obs", "prior")]
    blocks, _, size = params["dynhid0/kernel"].shape
    hidden = params["dynin0/kernel"].shape[1]
    deter = blocks * size
    has_action = "dynin2/kernel" in params
    # blocks, rows, size -> rows of the inputs, then columns that run over the blocks.
    own, *groups = params["dynhid0/kernel"].split([size] + [hidden] * (2 + has_action), dim=1)
    shared = [g.permute(1, 0, 2).reshape(hidden, deter).t() for g in groups]
    out = {
        "cell.own": own,
        "cell.shared_state.weight": torch.cat(shared[:2], dim=1),
        "cell.shared_state.bias": params["dynhid0/bias"],
        "cell.norm.scale": params["dynhid0norm/scale"],
        "cell.state_norm.scale": torch.stack((params["dynin0norm/scale"], params["dynin1norm/scale"])),
        "cell.gates.kernel": params["dyngru/kernel"],
        "cell.gates.bias": params["dyngru/bias"],
        "posterior.from_deter.weight": params["obs0/kernel"][:deter].t(),
        "posterior.from_embedding.weight": params["obs0/kernel"][deter:].t(),
        "posterior.from_embedding.bias": params["obs0/bias"],
        "posterior.norm.scale": params["obs0norm/scale"],
        **_linear(params, "dynin0", "cell.deter_in"),
        **_linear(params, "dynin1", "cell.stoch_in"),
        **_linear(params, "obslogit", "posterior.logits"),
        **_linear(params, "priorlogit", "prior.logits"),
    }
    if has_action:
        out |= _linear(params, "dynin2", "cell.action_in")
        out |= {"cell.shared_action.weight": shared[2], "cell.action_norm.scale": params["dynin2norm/scale"]}
    for i in range(1, layers[0]):
        out |= {f"cell.more.{i - 1}.{part}": params[f"dynhid{i}/{part}"] for part in ("kernel", "bias")}
        out[f"cell.more_norms.{i - 1}.scale"] = params[f"dynhid{i}norm/scale"]
    for i in range(1, layers[1]):
        out |= _linear(params, f"obs{i}", f"posterior.more.{i - 1}")
        out[f"posterior.more_norms.{i - 1}.scale"] = params[f"obs{i}norm/scale"]
    for i in range(layers[2]):
        out |= _linear(params, f"prior{i}", f"prior.layers.{i}")
        out[f"prior.norms.{i}.scale"] = params[f"prior{i}norm/scale"]
    return {name: tensor.contiguous() for name, tensor in out.items()}


def _linear(params: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": params[f"{theirs}/kernel"].t(), f"{ours}.bias": params[f"{theirs}/bias"]}
