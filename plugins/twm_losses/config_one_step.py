"""What the options of losses on single steps have in common: a factor on the reconstruction, and one on the prediction. Torch-free."""

from __future__ import annotations

from pydantic import Field

from twm_core import LossConfig
from twm_core.kinds.loss import Branch


class OneStepConfig(LossConfig):
    """A loss on the present step as it is reconstructed, and as it was predicted from the step before."""

    reconstruction: float = Field(1.0, ge=0, description="Factor on the reconstruction of the present step; 0 leaves it out.")
    prediction: float = Field(1.0, ge=0, description="Factor on the prediction one step ahead; 0 leaves it out.")

    def branches(self) -> frozenset[Branch]:
        """Those with a factor above 0."""
        return frozenset(b for b, f in (("reconstruction", self.reconstruction), ("prediction", self.prediction)) if f > 0)
