"""How a run trains: the `training` table of a recipe. Torch-free; the loop that reads it stands in `training.py`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core.config import ComponentConfig


class TrainingConfig(ComponentConfig):
    """Fields of the table `training`. Times are counted in optimizer steps."""

    steps: int = Field(300, ge=1, description="Optimizer steps of the whole run.")
    batch: int = Field(8, ge=1, description="Windows in a batch.")
    seed: int = Field(0, ge=0, description="Seed of parameters, window order and samples.")
    lr: float = Field(2e-3, gt=0, description="Highest learning rate.")
    warmup: int = Field(30, ge=0, description="Steps of linear warm-up of the learning rate.")
    lr_end: float = Field(0.05, ge=0, le=1, description="Learning rate at the end of the cosine, as a fraction of the highest.")
    clip: float = Field(5.0, ge=0, description="Largest norm of the gradient; 0 switches clipping off.")
    scheduled_sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of observed steps that are kept from the dynamics in training, which then go on from their own prediction. "
        "0 is teacher forcing.",
    )
    scheduled_sampling_ramp: int = Field(0, ge=0, description="Steps over which that share grows from 0; 0 takes the whole run.")
    ema: float = Field(0.0, ge=0, lt=1, description="Decay of the moving average of the weights that is validated and evaluated; 0 is off.")
    validate_every: int = Field(150, ge=1, description="Steps between two validations.")
    validate_windows: int = Field(48, ge=1, description="Windows of `val` in a validation, evenly spaced.")
    validate_samples: int = Field(6, ge=1, description="Futures for each window in a validation.")
    checkpoint_every: int = Field(100, ge=1, description="Steps between two checkpoints.")
    keep: int = Field(2, ge=1, description="Latest checkpoints to keep beside the best one.")
    log_every: int = Field(10, ge=1, description="Steps between two lines of metrics.jsonl.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="Arithmetic of the training step.")
    workers: int = Field(0, ge=0, description="Processes that read batches ahead; 0 reads them in the training process. Same results.")
    prefetch: int = Field(2, ge=1, description="Batches that each of these processes reads ahead.")
    threads: int = Field(0, ge=0, description="CPU threads of torch; 0 takes 1, or 2 for a large model, on every machine.")
