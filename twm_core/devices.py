"""Which device to compute on."""

from __future__ import annotations

import torch

from twm_core.errors import UsageError


def accelerator() -> torch.device | None:
    """The first GPU, or None where there is none."""
    return torch.device("cuda") if torch.cuda.is_available() else None


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes the first GPU if there is one.

    Raises:
        UsageError: There is no such device.
    """
    if name == "auto":
        return accelerator() or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"training.device = {name!r} is not a device", "use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"training.device = {name!r} is not supported", "use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"training.device = {name!r}, but this torch sees no GPU", "use --training.device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"training.device = {name!r}, but there are {torch.cuda.device_count()} GPUs, counted from 0", "use a lower number"
        )
    return device
