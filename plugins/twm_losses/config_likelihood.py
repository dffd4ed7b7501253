"""Configs of the losses `nll` and `mse`, which apply to any decoded key. Torch-free."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from twm_core import LatentSpec, Mismatch, ObservationSpec, OutputSpec
from twm_core.selection import KeyPattern, chosen
from twm_losses.config_one_step import OneStepConfig

_NO_SCALES: dict[str, float] = {}


class KeyedConfig(OneStepConfig):
    """A loss with one term for each chosen key and branch."""

    called: ClassVar[str]
    """Its name, for remedies."""

    keys: KeyPattern = Field(".*", description="Regular expression that chooses the decoded keys.")
    prediction: float = Field(0.0, ge=0, description="Factor on the prediction one step ahead; 0 leaves it out.")
    scales: dict[str, float] = Field(
        _NO_SCALES, description="Factors on single keys, by regular expression; the first that matches counts, 1 where none does."
    )

    @field_validator("scales")
    @classmethod
    def _scales_are_patterns(cls, scales: dict[str, float]) -> dict[str, float]:
        for pattern, factor in scales.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
            if factor < 0:
                raise ValueError(f"the factor {factor} of {pattern!r} is below 0")
        return scales

    @model_validator(mode="after")
    def _some_branch_counts(self) -> KeyedConfig:
        if self.reconstruction == 0 and self.prediction == 0:
            raise ValueError("reconstruction and prediction are both 0, so that no term is left")
        return self

    def selected(self, output: OutputSpec) -> tuple[str, ...]:
        """The decoded keys that count; whole futures, decoded ahead, have losses of their own."""
        return chosen(self.keys, (k.key for k in output.keys if not k.ahead))

    def scale(self, key: str) -> float:
        """The factor on a key."""
        return next((factor for pattern, factor in self.scales.items() if re.match(pattern, key)), 1.0)

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoded key that `keys` matches, and one for every pattern in `scales`."""
        if not any(not k.ahead for k in output.keys):
            return Mismatch(needs="decoded keys", got=str(output), remedy="add a decoder, such as --decoder agents")
        selected = self.selected(output)
        if not selected:
            return Mismatch(
                needs=f"a decoded key that matches {self.keys!r}", got=str(output), remedy=f"set loss.{self.called}.keys to '.*'"
            )
        for pattern in self.scales:
            if not chosen(pattern, selected):
                return Mismatch(
                    needs=f"a key that matches {pattern!r} of scales",
                    got=f"the chosen keys {', '.join(selected)}",
                    remedy=f"leave {pattern!r} out of loss.{self.called}.scales",
                )
        return None


class NLLConfig(KeyedConfig):
    """Options of `nll`."""

    called = "nll"


class MSEConfig(KeyedConfig):
    """Options of `mse`."""

    called = "mse"
