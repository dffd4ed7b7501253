"""Encoder `multimodal`: images through a CNN, vectors and labels through an MLP, side by side in one scene token.

    vectors:  one-hot of labels, symlog(x) = sign(x) log(1 + |x|) of floats, joined in the order of their keys -> MLP -> `[B,T,units]`
    images:   joined on channels in the order of their keys, x / 255 - 1/2 -> CNN -> `[B,T,h*w*c]`
    token = [vectors, images]

A vector with an entry of -inf, and a label that is not one of its classes (-1), is missing: its whole part is zero before the MLP.
Source: Hafner et al., "Mastering diverse domains through world models", 2023, as published in `danijar/dreamerv3`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.nn.interfaces import Embedding, Encoder
from twm_core.nn.symlog import symlog
from twm_core.specs import EncoderSpecs, KeySpec
from twm_multimodal.cnn import PlainCNN
from twm_multimodal.config import MultimodalConfig
from twm_multimodal.mlp import MLP
from twm_multimodal.resnet import ResidualCNN


def vector_width(key: KeySpec) -> int:
    """Numbers that a vector or label gives to the MLP."""
    return key.classes if key.classes is not None else key.shape[0]


class Multimodal(Encoder):
    """The encoder; `trunk` or `cnn` is None where there is nothing for it."""

    def __init__(self, *, config: MultimodalConfig, images: list[KeySpec], vectors: list[KeySpec]) -> None:
        super().__init__()
        self.symlog = config.symlog
        self.images = [k.key for k in images]
        self.vectors = {k.key: k.classes if k.dtype == "int64" else None for k in vectors}
        inputs = sum(vector_width(k) for k in vectors)
        self.trunk = MLP(inputs, config.units, config.layers, eps=config.eps, norm=config.norm) if vectors else None
        self.cnn = _cnn(config, images) if images else None

    def forward(self, batch: Batch) -> Embedding:
        parts = []
        if self.trunk is not None:
            joined = torch.cat([self._vector(batch[key], classes) for key, classes in self.vectors.items()], dim=-1)
            parts.append(self.trunk(joined))
        if self.cnn is not None:
            pictures = torch.cat([batch[key] for key in self.images], dim=-3)
            tokens = self.cnn(pictures.flatten(0, -4).float() / 255 - 0.5)
            parts.append(tokens.unflatten(0, pictures.shape[:-3]))
        return Embedding(scene=torch.cat(parts, dim=-1), agents=None)

    def _vector(self, x: Tensor, classes: int | None) -> Tensor:
        """One key as numbers `[B,T,width]`, zero where it is missing."""
        if classes is not None:
            return (x.unsqueeze(-1) == torch.arange(classes, device=x.device)).float()
        x = torch.where((x == -torch.inf).any(dim=-1, keepdim=True), 0.0, x)
        return symlog(x) if self.symlog else x


def _cnn(config: MultimodalConfig, images: list[KeySpec]) -> nn.Module:
    inputs = sum(k.shape[0] for k in images)
    channels = config.channels(*images[0].shape[1:])
    if config.cnn == "plain":
        return PlainCNN(inputs=inputs, channels=channels, kernel=config.kernel, norm=config.norm, eps=config.eps)
    return ResidualCNN(inputs=inputs, channels=channels, blocks=config.blocks, norm=config.norm, eps=config.eps)


def build(config: MultimodalConfig, specs: EncoderSpecs) -> Multimodal:
    """Build the encoder for the keys that its patterns choose."""
    return Multimodal(config=config, images=config.images(specs.obs_spec), vectors=config.vectors(specs.obs_spec))
