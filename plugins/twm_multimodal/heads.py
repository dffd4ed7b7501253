"""The decoders `reward` and `continue`: features of the scene to one number at each step.

    h = MLP(features)          reward: two-hot over W h + b, or squared error          continue: sigmoid(w h + b)

`[...,D] -> [...]`. The output layer of a two-hot reward starts at zero, so that a fresh model expects no reward anywhere instead of
rewards as large as the outer bins. Hafner et al., "Mastering diverse domains through world models", 2023.
"""

from __future__ import annotations

from torch import Tensor, nn

from twm_core.nn.distributions import MSE, Continue, Distribution, TwoHot, symexp_bins, symlog_bins
from twm_core.nn.interfaces import Anchor, Decoder, Features
from twm_core.nn.linear import dense
from twm_core.specs import DecoderSpecs
from twm_multimodal.config_heads import CONTINUE, REWARD, ContinueConfig, RewardConfig
from twm_multimodal.mlp import MLP


class RewardDecoder(Decoder):
    """See the module.

    Args:
        config: Sizes and options.
        width: Width of the features of the scene.
    """

    bins: Tensor

    def __init__(self, *, config: RewardConfig, width: int) -> None:
        super().__init__()
        self.mlp = MLP(width, config.units, config.layers, eps=config.eps, norm=config.norm)
        self.twohot = config.distribution != "mse"
        self.in_symlog = config.distribution == "symlog-twohot"
        self.head = dense(self.mlp.width, config.bins if self.twohot else 1)
        if self.twohot:
            nn.init.zeros_(self.head.weight)
            # The bins follow from the config, so checkpoints need not hold them.
            self.register_buffer("bins", (symlog_bins if self.in_symlog else symexp_bins)(config.bins), persistent=False)

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        assert features.scene is not None
        out = self.head(self.mlp(features.scene)).float()
        return {REWARD: TwoHot(out, self.bins, in_symlog=self.in_symlog) if self.twohot else MSE(out.squeeze(-1), event=0)}


class ContinueDecoder(Decoder):
    """See the module.

    Args:
        config: Sizes and the horizon.
        width: Width of the features of the scene.
    """

    def __init__(self, *, config: ContinueConfig, width: int) -> None:
        super().__init__()
        self.mlp = MLP(width, config.units, config.layers, eps=config.eps, norm=config.norm)
        self.head = dense(self.mlp.width, 1)
        self.discount = 1 - 1 / config.horizon

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        assert features.scene is not None
        return {CONTINUE: Continue(self.head(self.mlp(features.scene)).float().squeeze(-1), self.discount)}


def build_reward(config: RewardConfig, specs: DecoderSpecs) -> RewardDecoder:
    """Build the decoder `reward`."""
    assert specs.latent.scene is not None
    return RewardDecoder(config=config, width=specs.latent.scene)


def build_continue(config: ContinueConfig, specs: DecoderSpecs) -> ContinueDecoder:
    """Build the decoder `continue`."""
    assert specs.latent.scene is not None
    return ContinueDecoder(config=config, width=specs.latent.scene)
