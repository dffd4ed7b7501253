"""Objects named by strings: `package.module:attribute`."""

from __future__ import annotations

import importlib
from typing import Any


def load_reference(reference: str) -> Any:
    """Import the module and return the attribute.

    Raises:
        ImportError: The module cannot be imported.
        AttributeError: It has no such attribute.
    """
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)
