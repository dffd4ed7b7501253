"""Declares the components of `twm_sumo`."""

from __future__ import annotations

from collections.abc import Sequence

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> Sequence[Component]:
    """Return the components of this plugin."""
    return []
