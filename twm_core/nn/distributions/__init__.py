"""Distributions that decoders and dynamics return: mean, mode, sample, log_prob; for latents also entropy and KL."""

from __future__ import annotations

from twm_core.nn.distributions.base import Distribution, HasFutures, HasModes
from twm_core.nn.distributions.bernoulli import Bernoulli
from twm_core.nn.distributions.categorical import Categorical
from twm_core.nn.distributions.classes import Classes
from twm_core.nn.distributions.continuation import Continue
from twm_core.nn.distributions.drawing import certain, draw_class, likeliest, require_finite
from twm_core.nn.distributions.normal import Normal
from twm_core.nn.distributions.squared import MSE, SymlogMSE
from twm_core.nn.distributions.twohot import TwoHot, symexp_bins, symlog_bins

__all__ = [
    "MSE",
    "Bernoulli",
    "Categorical",
    "Classes",
    "Continue",
    "Distribution",
    "HasFutures",
    "HasModes",
    "Normal",
    "SymlogMSE",
    "TwoHot",
    "certain",
    "draw_class",
    "likeliest",
    "require_finite",
    "symexp_bins",
    "symlog_bins",
]
