"""How long a step lasts, from the timestamps of all steps."""

from __future__ import annotations

import numpy as np

from twm_core.errors import DataError
from twm_driving.values import Floats

NOMINAL = 0.1
"""Seconds between steps of most driving datasets."""


def step_seconds(times: Floats, what: str, where: str) -> float:
    """Seconds between steps: 0.1 where the mean is within 5 % of it, since sweeps come some milliseconds early or late, else the mean.

    Args:
        times: `[T]`, in seconds.
        what: Name of the field, for messages.
        where: Whose it is, for messages.

    Raises:
        DataError: A step lasts less than half or more than one and a half times the mean, or an impossible time.
    """
    if len(times) < 2:
        return NOMINAL
    with np.errstate(over="ignore", invalid="ignore"):
        away = np.diff(times)
        mean = float((times[-1] - times[0]) / (len(times) - 1))
        wrong = ~(np.abs(away - mean) <= 0.5 * mean)
    if wrong.any():
        # Around an outlier the mean is off too, so that the first wrong step need not be the worst.
        at = int(np.argmax(np.nan_to_num(np.abs(away - np.median(away)), nan=np.inf)))
        raise DataError(
            f"{where}: {what} goes from {times[at]:g} to {times[at + 1]:g} s at step {at + 1}, but steps last {np.median(away):g} s",
            f"repair {what}, or split the recording there",
        )
    if not 1e-3 <= mean <= 60:
        raise DataError(f"{where}: steps last {mean:g} s after {what}", f"repair {what}")
    return NOMINAL if abs(mean - NOMINAL) <= 0.05 * NOMINAL else round(mean, 4)
