"""The errors twm raises on purpose: one hierarchy, each with a message and a hint.

A message says what is wrong, whose it is and what was given; the hint says what to do. The command line prints both and exits
with status 2, without a traceback. Anything that is not a `TwmError` is a defect of twm or of a plugin and keeps its traceback.
"""

from __future__ import annotations

from typing import Any


class TwmError(Exception):
    """An error that a user can act on.

    Args:
        message: What is wrong, whose it is (component, distribution, file, row) and what was given.
        hint: What to do about it; printed on a line of its own.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class UsageError(TwmError):
    """A word on the command line, in a file or in the environment cannot be understood."""


class UnknownComponentError(TwmError):
    """A component was named that no loaded plugin provides."""


class AmbiguousComponentError(TwmError):
    """A bare component name is provided by more than one distribution."""


class PluginError(TwmError):
    """A plugin breaks the rules of declaration; the message names plugin, distribution and version."""


class AssemblyError(TwmError):
    """The components of a recipe do not fit one another; the message names both sides and a remedy."""


class CheckpointError(TwmError):
    """A checkpoint is missing, truncated, tampered with, or belongs to components that are not installed."""


class DataError(TwmError):
    """A data source is missing, empty, malformed or holds impossible values; the message names file and row or track."""


class BusyError(TwmError):
    """Another process is writing the same store or run."""


class Mismatch(TwmError):
    """Raised (or returned) by a component's config when what flows in does not suit it.

    The assembly turns it into an `AssemblyError` that names both components, their distributions and versions.

    Args:
        needs: What the component needs, in words ("per-agent embeddings").
        got: The spec (or words) that was given instead.
        remedy: A change that would make it fit; the assembly adds installed alternatives that do.
    """

    def __init__(self, needs: str, got: Any, remedy: str | None = None) -> None:
        super().__init__(f"needs {needs}, got {got}", remedy)
        self.needs = needs
        self.got = got
        self.remedy = remedy
