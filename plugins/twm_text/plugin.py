"""Declares the readers `trajnet`, `sdd` and `apolloscape`."""

from __future__ import annotations

from collections.abc import Sequence

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> Sequence[Component]:
    """The readers of this plugin."""
    return [
        Component(
            kind="reader",
            name="trajnet",
            summary="Pedestrians from TrajNet (2018) text files and TrajNet++ ndjson files.",
            config="twm_text.config:TrajNetConfig",
            build="twm_text.trajnet:build",
        ),
        Component(
            kind="reader",
            name="sdd",
            summary="Road users of the Stanford Drone Dataset, from boxes in pixels to metres.",
            config="twm_text.config:SddConfig",
            build="twm_text.sdd:build",
        ),
        Component(
            kind="reader",
            name="apolloscape",
            summary="Road users around a moving car from ApolloScape trajectory files.",
            config="twm_text.config:ApolloScapeConfig",
            build="twm_text.apolloscape:build",
        ),
    ]
