"""The stack of selective layers as a function of rows: inputs to outputs, for a sequence or a single step.

    outputs = norm(block_L(... block_1(inputs)))

Rows R are independent; sequences are time-major, `[T,R,W]`. A state holds the memory of all layers as one pair of tensors; inside a loop
each layer has its own, so that nothing is copied between steps.
Embeddings, actions and predictions are not its business.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from twm_plugin_demo.block import Block, Memory
from twm_plugin_demo.config import SelectiveSSMConfig


class Network(nn.Module):
    """Layers and final norm.

    Args:
        config: Sizes.
    """

    def __init__(self, config: SelectiveSSMConfig) -> None:
        super().__init__()
        channels = config.expand * config.width
        self.hidden_shape = (config.n_layers, config.states, channels)
        self.recent_shape = (config.n_layers, config.conv - 1, channels)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.width, eps=1e-5)

    def forward(self, x: Tensor, keep: Tensor | None, memory: Sequence[Memory]) -> tuple[Tensor, list[Memory]]:
        """Run over `T` inputs of each row.

        Args:
            x: Inputs, `[T,R,W]`.
            keep: 1 where the step before counts, 0 where a row starts anew, `[T,R,1]`; None keeps everything.
            memory: What each layer carried before the first input, `[R,...]`.

        Returns:
            Outputs `[T,R,W]`, and the memory of each layer after every input, `[T,R,...]`.
        """
        x = x.float()  # the residual stream, under mixed precision too
        after: list[Memory] = []
        for block, before in zip(self.blocks, memory, strict=True):
            x, carried = block(x, keep, before)
            after.append(carried)
        return self.norm(x), after

    def step(self, x: Tensor, keep: Tensor | None, memory: Sequence[Memory]) -> tuple[Tensor, list[Memory]]:
        """The same for one input `[R,W]`, `keep` `[R,1]`: output `[R,W]` and memory `[R,...]`."""
        out, after = self(x.unsqueeze(0), None if keep is None else keep.unsqueeze(0), memory)
        return out.squeeze(0), [Memory(*(part.squeeze(0) for part in layer)) for layer in after]


def split_layers(hidden: Tensor, recent: Tensor) -> list[Memory]:
    """Memory of all layers, `[R,layers,...]`, as that of each layer."""
    return [Memory(*parts) for parts in zip(hidden.unbind(1), recent.unbind(1), strict=True)]


def join_layers(memory: Sequence[Memory], dim: int) -> tuple[Tensor, Tensor]:
    """The opposite: `hidden` and `recent` with an axis of layers at `dim`."""
    hidden, recent = zip(*memory, strict=True)
    return torch.stack(hidden, dim), torch.stack(recent, dim)
