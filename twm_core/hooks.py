"""The hooks of twm, called through pluggy. They declare or observe; none of them rewrites a value.

A plugin is a module (or object) whose functions carry `@hookimpl` and the name of a hook. A hook name that does not exist here is
an error at discovery, never silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from twm_core.component import Component

GROUP = "twm"
"""The entry-point group in which distributions register plugins, and the name of the pluggy project."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class HookSpecs:
    """Every hook with its signature. An implementation may leave out arguments that it does not use."""

    @hookspec
    def twm_components(self) -> Sequence[Component]:
        """Return the components that this plugin provides. Must not import torch."""
        raise NotImplementedError

    @hookspec
    def twm_commands(self) -> Mapping[str, str]:
        """Return extra commands of `twm`: name to `module:function` (a typer-compatible function, imported when used).

        A name that begins with `data ` is a command of the group `twm data`.
        """
        raise NotImplementedError

    @hookspec
    def twm_run_started(self, run: str, recipe: Mapping[str, Any]) -> None:
        """Called once when training starts or resumes, with the run folder and the resolved recipe."""

    @hookspec
    def twm_step_finished(self, run: str, step: int, metrics: Mapping[str, float]) -> None:
        """Called after every logged training step with the metrics that were written."""

    @hookspec
    def twm_checkpoint_saved(self, run: str, step: int, path: str) -> None:
        """Called after a checkpoint is complete on disk."""

    @hookspec
    def twm_run_finished(self, run: str, step: int, reason: str) -> None:
        """Called once when training ends; `reason` is `completed` or `interrupted`."""
