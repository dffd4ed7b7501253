"""Older layouts of the parameters of the decoder.

1 to 2: the logits of the futures lost their bias, on which a softmax over the futures does not depend.
"""

from __future__ import annotations

from torch import Tensor


def upgrade(tensors: dict[str, Tensor], from_version: int) -> dict[str, Tensor]:
    """Parameters and buffers of the present layout, from those of an older one."""
    return {k: v for k, v in tensors.items() if k != "weight.bias"}
