"""A config whose module imports numpy."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from zoo_configs import ZooEncoder


class HeavyEncoder(ZooEncoder):
    scale: float = Field(float(np.sqrt(4.0)), description="Computed with the wrong library.")
