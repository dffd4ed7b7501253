"""Packages that only some features need: imported when used, and missed with the line that installs them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from twm_core.errors import UsageError


def need(module: str, extra: str) -> ModuleType:
    """Import a package of an extra.

    Args:
        module: What to import, as in `pyarrow.csv`.
        extra: The extra of twm that brings it.

    Raises:
        UsageError: It is not installed; the hint is the line that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        raise UsageError(f"this needs the package {error.name}, which is not installed", f'pip install "twm[{extra}]"') from error
