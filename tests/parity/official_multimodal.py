"""Official DreamerV3 parameter names and layouts, as state dicts of our encoder `multimodal` and decoder `image`.

The parameters are those of `../shared/data/dreamerv3_parity` without the prefix `param/`: dense kernels `[in,out]`, convolutions
`[kh,kw,in,out]`, block kernels `[blocks,in/blocks,out/blocks]`. Axes are permuted, nothing else; the same maps fit gradients.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Parameters = Mapping[str, Tensor]


def _dense(params: Parameters, theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": params[f"{theirs}/kernel"].T.contiguous(), f"{ours}.bias": params[f"{theirs}/bias"]}


def _convolution(params: Parameters, theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": params[f"{theirs}/kernel"].permute(3, 2, 0, 1).contiguous(), f"{ours}.bias": params[f"{theirs}/bias"]}


def _scale(params: Parameters, theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.scale": params[f"{theirs}/scale"]}


def _count(params: Parameters, pattern: str) -> int:
    """How many consecutive layers `pattern.format(i)` there are, from 0."""
    i = 0
    while pattern.format(i) in params:
        i += 1
    return i


def encoder_parameters(params: Parameters) -> dict[str, Tensor]:
    """The state dict of `twm_multimodal.encoder.Multimodal` made of the official `enc/*`; parts that are not there are left out."""
    ours: dict[str, Tensor] = {}
    for i in range(_count(params, "enc/mlp{}/kernel")):
        ours |= _dense(params, f"enc/mlp{i}", f"trunk.linears.{i}") | _scale(params, f"enc/mlp{i}norm", f"trunk.norms.{i}")
    for i in range(_count(params, "enc/cnn{}/kernel")):
        ours |= _convolution(params, f"enc/cnn{i}", f"cnn.convolutions.{i}") | _scale(params, f"enc/cnn{i}norm", f"cnn.norms.{i}")
    return ours


def image_decoder_parameters(params: Parameters) -> dict[str, Tensor]:
    """The state dict of `twm_multimodal.image_decoder.Image` (block-spatial) made of the official `dec/sp*`, `dec/conv*`, `dec/imgout`."""
    ours = {"cnn.from_deter.kernel": params["dec/sp0/kernel"], "cnn.from_deter.bias": params["dec/sp0/bias"]}
    ours |= _dense(params, "dec/sp1", "cnn.hidden.linears.0") | _scale(params, "dec/sp1norm", "cnn.hidden.norms.0")
    ours |= _dense(params, "dec/sp2", "cnn.from_stoch") | _scale(params, "dec/spnorm", "cnn.norm")
    count = _count(params, "dec/conv{}/kernel")
    for i in range(count):
        theirs = f"dec/conv{count - 1 - i}"
        ours |= _convolution(params, theirs, f"cnn.doublings.{i}") | _scale(params, f"{theirs}norm", f"cnn.norms.{i}")
    return ours | _convolution(params, "dec/imgout", "cnn.last")
