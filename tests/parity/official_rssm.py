"""Parameters of the official DreamerV3 implementation in the layout of our `rssm-cat`.

The official layout (danijar/dreamerv3, 2026): `Linear` kernels are `[in,out]`, `BlockLinear` kernels `[blocks,in/blocks,out/blocks]`. Ours
has the same tensors one by one, dense ones transposed, so that what an optimizer does tensor by tensor is the same too.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def from_official(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of an `RSSM` (layout `scene`) from official parameters.

    Args:
        params: Tensors by their name inside the module `dyn`, for example `dynin0/kernel`.

    Returns:
        The same numbers by our names, for `load_state_dict`.
    """
    layers = [sum(f"{name}{i}/kernel" in params for i in range(99)) for name in ("dynhid", "obs", "prior")]
    out = {
        **_block(params, "dynhid0", "cell.mix"),
        **_block(params, "dyngru", "cell.gates"),
        **_linear(params, "obs0", "posterior.first"),
        **_linear(params, "obslogit", "posterior.logits"),
        **_linear(params, "priorlogit", "prior.logits"),
        "cell.norm.scale": params["dynhid0norm/scale"],
        "posterior.norm.scale": params["obs0norm/scale"],
    }
    for i, ours in enumerate(("deter", "stoch", "action")):
        if f"dynin{i}/kernel" in params:
            out |= _linear(params, f"dynin{i}", f"cell.{ours}_in") | {f"cell.{ours}_norm.scale": params[f"dynin{i}norm/scale"]}
    for i in range(1, layers[0]):
        out |= _block(params, f"dynhid{i}", f"cell.more.{i - 1}") | {f"cell.more_norms.{i - 1}.scale": params[f"dynhid{i}norm/scale"]}
    for i in range(1, layers[1]):
        out |= _linear(params, f"obs{i}", f"posterior.more.{i - 1}")
        out[f"posterior.more_norms.{i - 1}.scale"] = params[f"obs{i}norm/scale"]
    for i in range(layers[2]):
        out |= _linear(params, f"prior{i}", f"prior.layers.{i}")
        out[f"prior.norms.{i}.scale"] = params[f"prior{i}norm/scale"]
    return {name: tensor.contiguous() for name, tensor in out.items()}


def _block(params: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.{part}": params[f"{theirs}/{part}"] for part in ("kernel", "bias")}


def _linear(params: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": params[f"{theirs}/kernel"].t(), f"{ours}.bias": params[f"{theirs}/bias"]}
