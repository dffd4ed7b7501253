"""Keys and values of all layers, growing as inputs are consumed.

Without gradients the entries are written into one tensor that is allocated once; a step then reads its window in place. With gradients
nothing may be overwritten, so that each step joins what it reads. What was cached before the first input carries no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Cache:
    """The cache of a pass over `steps` inputs of each row.

    Args:
        past: Entries before the first input, `[R,layers,2,N,W]`.
        steps: How many inputs will follow.
        window: How many entries an input may attend to, itself included.
    """

    def __init__(self, past: Tensor, *, steps: int, window: int) -> None:
        self.window = window
        self.before = past.shape[3]
        self.past = past
        self.added: list[list[Tensor]] = [[] for _ in range(past.shape[1])]
        self.counts = [self.before] * past.shape[1]
        self.buffer: Tensor | None = None
        if not torch.is_grad_enabled():
            self.buffer = past.new_empty((*past.shape[:3], self.before + steps, past.shape[4]))
            self.buffer[:, :, :, : self.before] = past

    def reach(self) -> int:
        """How many entries `extend` puts before the new ones."""
        return min(self.counts[0], self.window - 1)

    def extend(self, layer: int, new: Tensor) -> Tensor:
        """Add entries `[R,2,T,W]` to a layer; gives those that they may attend to, themselves last, `[R,2,n+T,W]`."""
        count, steps = self.counts[layer], new.shape[2]
        first = max(count - (self.window - 1), 0)
        self.counts[layer] = count + steps
        if self.buffer is not None:
            self.buffer[:, layer, :, count : count + steps] = new
            return self.buffer[:, layer, :, first : count + steps]
        self.added[layer].append(new)
        if steps == 1 and first >= self.before:
            return torch.cat(self.added[layer][first - self.before :], dim=2)  # entry by entry: one was added at each step
        return torch.cat((self.past[:, layer, :, first:], *self.added[layer]), dim=2)

    def whole(self) -> Tensor:
        """Everything, `[R,layers,2,N+T,W]`, without gradient."""
        if self.buffer is not None:
            return self.buffer
        added = torch.stack([torch.cat(column, dim=2) for column in self.added], dim=1)
        return torch.cat((self.past, added), dim=3).detach()
