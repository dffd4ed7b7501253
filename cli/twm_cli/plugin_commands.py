"""From the string by which a plugin declares a command to the function behind it, imported when the command is called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def load_command(name: str, target: str, whose: str) -> Callable[..., Any]:
    """The function of a plugin's command.

    Args:
        name: The command, for messages.
        target: `module:function`.
        whose: Distribution and version, for messages.

    Raises:
        PluginError: It cannot be imported, or is no function.
    """
    from twm_core.errors import PluginError  # what every command imports must be light

    module, _, attribute = target.partition(":")
    try:
        function = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise PluginError(f"command {name!r} of {whose} cannot be loaded from {target!r}: {error}", "mend or remove the plugin") from error
    if not callable(function):
        raise PluginError(f"command {name!r} of {whose}: {target!r} is not a function", "name a function in twm_commands")
    return function
