"""Tests of one group run in one process, so that what is expensive to set up is set up once."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("groups")
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_groups_are_obeyed(request: pytest.FixtureRequest) -> None:
    """pytest-xdist adds the group to the id of a test; with a pytest that ignores this, all groups are silently ignored."""
    assert request.node.nodeid.endswith("@groups")
