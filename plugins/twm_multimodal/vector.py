"""The decoder `vector`: features of the scene to vectors and labels.

    h = MLP(features)                                                  (Linear, norm, SiLU) x layers
    symlog-mse   pred = W h + b, an estimate of symlog(value)          log p = -sum (pred - symlog(value))^2
    mse          pred = centre + scale * (W h + b)                     log p = -sum (pred - value)^2
    normal       loc as pred of mse, std = scale * lo (hi/lo)^sigmoid(V h + c)
    labels       logits = W h + b                                      log p = log softmax(logits)[value]

with one linear head for each key, `[...,D] -> [...]`. `centre` and `scale` are mean and deviation of the training data, so that a value
in any unit is within reach of a fresh network; `lo` and `hi` are the bounds `min_std` and `max_std`. Symlog-mse and labels are DreamerV3's
(Hafner et al., "Mastering diverse domains through world models", 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.nn.distributions import MSE, Classes, Distribution, Normal, SymlogMSE
from twm_core.nn.interfaces import Anchor, Decoder, Features
from twm_core.nn.linear import dense
from twm_core.nn.normalizer import Normalizer
from twm_core.specs import DecoderSpecs, KeySpec
from twm_multimodal.config_heads import VectorConfig
from twm_multimodal.keys import is_label
from twm_multimodal.mlp import MLP


class SymlogHead(nn.Module):
    """Estimates symlog(value)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.pred = dense(inputs, width)

    def forward(self, x: Tensor) -> Distribution:
        """`[...,inputs]` to a distribution over `[...,width]`."""
        return SymlogMSE(self.pred(x).float())


class MSEHead(nn.Module):
    """Estimates the value."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.pred = dense(inputs, width)
        self.scale = Normalizer(width)

    def forward(self, x: Tensor) -> Distribution:
        """`[...,inputs]` to a distribution over `[...,width]`."""
        return MSE(self.scale.centre + self.scale.std * self.pred(x).float())


class NormalHead(nn.Module):
    """Estimates the value and, between two bounds, its standard deviation; midway between them (as ratios) at first."""

    def __init__(self, inputs: int, width: int, least: float, most: float) -> None:
        super().__init__()
        self.pred = dense(inputs, width)
        self.spread = dense(inputs, width)
        self.scale = Normalizer(width)
        self.least, self.most = least, most

    def forward(self, x: Tensor) -> Distribution:
        """`[...,inputs]` to a distribution over `[...,width]`."""
        std = self.least * (self.most / self.least) ** self.spread(x).float().sigmoid()
        return Normal(self.scale.centre + self.scale.std * self.pred(x).float(), self.scale.std * std)


class LabelHead(nn.Module):
    """Estimates which class it is."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.logits = dense(inputs, classes)

    def forward(self, x: Tensor) -> Distribution:
        """`[...,inputs]` to a distribution over classes `[...]`."""
        return Classes(self.logits(x).float())


class VectorDecoder(Decoder):
    """See the module.

    Args:
        config: Sizes and options.
        keys: Specs of the keys to decode.
        width: Width of the features of the scene.
    """

    def __init__(self, *, config: VectorConfig, keys: tuple[KeySpec, ...], width: int) -> None:
        super().__init__()
        self.mlp = MLP(width, config.units, config.layers, eps=config.eps, norm=config.norm)
        self.keys = tuple(k.key for k in keys)
        self.heads = nn.ModuleDict({module_name(k.key): _head(config, k, self.mlp.width) for k in keys})

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        assert features.scene is not None
        hidden = self.mlp(features.scene)
        return {key: self.heads[module_name(key)](hidden) for key in self.keys}

    def collect_statistics(self, batch: Batch) -> None:
        for key in self.keys:
            head = self.heads[module_name(key)]
            if isinstance(head, (MSEHead, NormalHead)):
                rows = batch[key].flatten(0, -2)
                # A vector with -inf in it is missing; it is no part of the training data.
                head.scale.update(rows[torch.isfinite(rows).all(dim=-1)])


def module_name(key: str) -> str:
    """A key as the name of a module, which may have no dots in it."""
    return key.replace(".", "/")


def _head(config: VectorConfig, key: KeySpec, inputs: int) -> nn.Module:
    if is_label(key):
        assert key.classes is not None
        return LabelHead(inputs, key.classes)
    (width,) = key.shape
    if config.distribution == "normal":
        return NormalHead(inputs, width, config.min_std, config.max_std)
    return SymlogHead(inputs, width) if config.distribution == "symlog-mse" else MSEHead(inputs, width)


def build(config: VectorConfig, specs: DecoderSpecs) -> VectorDecoder:
    """Build the decoder for the chosen keys."""
    assert specs.latent.scene is not None
    return VectorDecoder(config=config, keys=config.decoded(specs.obs_spec), width=specs.latent.scene)
