"""For every test: one thread for torch, and the hypothesis profiles `dev` (20 examples) and `ci` (50, derandomised).

`TWM_TEST_THREADS=2` and `TWM_TEST_MKLDNN=0` run the same tests with more threads and without oneDNN, where sums are taken in another order.
"""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

torch.set_num_threads(int(os.environ.get("TWM_TEST_THREADS") or 1))
if os.environ.get("TWM_TEST_MKLDNN") == "0":
    torch.backends.mkldnn.set_flags(False)

settings.register_profile("dev", max_examples=20, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# The modules whose functions carry jaxtyping shapes: in tests every call is checked against them.
# (Not those with methods that return `Self`, which beartype understands on decorated classes only; their tests wrap the functions.)
install_import_hook(["twm_multiagent.attention", "twm_multiagent.features", "twm_roadmap.crops"], "beartype.beartype")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All conformance checks of one component run in one process: it builds the component once, and a check that others need runs once."""
    for item in items:
        if isinstance(item, pytest.Function) and item.originalname == "test_conformance":
            kind, name, _ = item.callspec.params["name"].split("/")
            item.add_marker(pytest.mark.xdist_group(f"{kind}/{name}"))
