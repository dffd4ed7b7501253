"""For every test: one thread for torch, and the hypothesis profiles `dev` (20 examples) and `ci` (50, derandomised)."""

from __future__ import annotations

import os

import torch
from hypothesis import settings
from jaxtyping import install_import_hook

torch.set_num_threads(1)

settings.register_profile("dev", max_examples=20, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# The modules whose functions carry jaxtyping shapes: in tests every call is checked against them.
# (Not those with methods that return `Self`, which beartype understands on decorated classes only; their tests wrap the functions.)
install_import_hook(["twm_multiagent.attention", "twm_multiagent.features", "twm_roadmap.crops"], "beartype.beartype")
