"""The causal Transformer as a function of rows: inputs and their positions to outputs, for a sequence or a single step.

An input at position `p` (its number since its row's start) attends to itself and to the `min(p, window - 1)` inputs before it, so that a
start cuts attention without anything else being told of it. Position 0 is always the start itself: the initial state, consumed.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from twm_transformer.block import Block
from twm_transformer.cache import Cache
from twm_transformer.config import TransformerConfig
from twm_transformer.positions import LearnedPositions, SinusoidalPositions


class Network(nn.Module):
    """Positions, layers and final norm.

    Args:
        config: Sizes.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.window = config.window
        sinusoidal = config.positions == "sinusoidal"
        self.positions = SinusoidalPositions(config.width) if sinusoidal else LearnedPositions(config.width, config.max_steps)
        self.blocks = nn.ModuleList(
            Block(config.width, heads=config.heads, feedforward=config.feedforward * config.width) for _ in range(config.n_layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, inputs: Tensor, position: Tensor, cache: Cache, dropped: Tensor | None) -> Tensor:
        """Run over `T` inputs of each row.

        Args:
            inputs: `[R,T,W]`, without positions.
            position: Their positions, int64 `[R,T]`.
            cache: What was consumed before; it grows by these inputs.
            dropped: Dropout factors `[R,T,layers,2,W]`; None where nothing is dropped.

        Returns:
            Outputs `[R,T,W]`.
        """
        steps, cached = inputs.shape[1], cache.reach()
        device = inputs.device
        distance = torch.arange(steps, device=device).unsqueeze(1) - torch.arange(-cached, steps, device=device)  # [T,n+T]
        reach = position.clamp(0, self.window - 1).unsqueeze(-1)
        mask = ((distance >= 0) & (distance <= reach)).unsqueeze(1)
        x = inputs + self.positions(position)
        for i, block in enumerate(self.blocks):
            x = block(x, partial(cache.extend, i), mask, None if dropped is None else dropped[:, :, i])
        return self.norm(x)
