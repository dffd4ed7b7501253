"""The image decoder of DreamerV3: a block layer spreads the deterministic state over a small map, an MLP adds the stochastic state, and
the map is doubled by nearest neighbours and convolved until it is the image.

    map = BlockLinear(deter) as (block, h, w, c) -> h, w, (block c)    +    Linear(silu(norm(Linear(stoch)))) as (h, w, c)
    x = silu(norm(map));   x = silu(norm(conv(double(x)))), once for each stage but the last;   image = conv(double(x))

Source: Hafner et al., "Mastering diverse domains through world models", 2023, as published in `danijar/dreamerv3`.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from twm_core.nn.linear import BlockLinear, dense, to_blocks
from twm_multimodal.mlp import MLP, NormKind, norm_act
from twm_multimodal.upsampling import UpConv


class BlockSpatialCNN(nn.Module):
    """The decoder.

    Args:
        deter: Width of the deterministic state, which stands first in the features.
        stoch: Width of the stochastic state, which follows.
        size: Height and width of the small map.
        channels: Channels before each doubling; `blocks` divides the first.
        outputs: Channels of the images.
        kernel: Side of the kernels, odd.
        blocks: Blocks of the layer that reads the deterministic state.
        units: Half the width of the layer that reads the stochastic state.
        norm: Kind of the norms.
        eps: Added to the mean square in the norms.
    """

    def __init__(
        self,
        *,
        deter: int,
        stoch: int,
        size: tuple[int, int],
        channels: tuple[int, ...],
        outputs: int,
        kernel: int,
        blocks: int,
        units: int,
        norm: NormKind,
        eps: float,
    ) -> None:
        super().__init__()
        area = size[0] * size[1] * channels[0]
        self.deter, self.blocks, self.size = deter, blocks, size
        self.from_deter = BlockLinear(deter, area, blocks=blocks)
        self.hidden = MLP(stoch, 2 * units, 1, eps=eps, norm=norm)
        self.from_stoch = dense(2 * units, area)
        self.norm = norm_act(norm, channels[0], eps=eps)
        pairs = list(zip(channels, (*channels[1:], outputs), strict=True))
        self.doublings = nn.ModuleList([UpConv(i, o, kernel=kernel, bias=norm == "rms") for i, o in pairs[:-1]])
        self.norms = nn.ModuleList([norm_act(norm, o, eps=eps) for _, o in pairs[:-1]])
        self.last = UpConv(*pairs[-1], kernel=kernel, bias=True)

    def small_map(self, features: Tensor) -> Tensor:
        """Features `[N,D]` to the small map `[N,h,w,C]`."""
        deter, stoch = features[:, : self.deter], features[:, self.deter :]
        blocks = self.from_deter(to_blocks(deter, self.blocks)).unflatten(-1, (*self.size, -1))
        spatial = blocks.permute(1, 2, 3, 0, 4).flatten(3)
        return self.norm(spatial + self.from_stoch(self.hidden(stoch)).view_as(spatial))

    def forward(self, features: Tensor) -> Tensor:
        """Features `[N,D]` to images `[N,C,H,W]`, before the last squashing."""
        x = self.small_map(features)
        for double, norm in zip(self.doublings, self.norms, strict=True):
            x = double(x, norm)
        return self.last(x).permute(0, 3, 1, 2)

    def plain(self, features: Tensor) -> Tensor:
        """The same with every map doubled before it is convolved."""
        x = self.small_map(features)
        for double, norm in zip(self.doublings, self.norms, strict=True):
            x = cast(UpConv, double).plain(x, norm)
        return self.last.plain(x).permute(0, 3, 1, 2)
