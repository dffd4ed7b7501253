"""The kinds of component. Adding one is one file here and its name in `KINDS`."""

from __future__ import annotations

from twm_core.kinds import dataset, decoder, dynamics, encoder, loss
from twm_core.kinds.base import Kind

KINDS: dict[str, Kind] = {k.name: k for k in (dataset.KIND, encoder.KIND, dynamics.KIND, decoder.KIND, loss.KIND)}

__all__ = ["KINDS", "Kind"]
