"""Older layouts of the parameters.

1 to 2: the scores of neighbours lost their bias, which a softmax over the neighbours does not notice.
"""

from __future__ import annotations

from torch import Tensor


def upgrade(tensors: dict[str, Tensor], from_version: int) -> dict[str, Tensor]:
    """Parameters and buffers of the present layout, from those of an older one."""
    return {k: v for k, v in tensors.items() if k != "message.score.bias"}
