"""Whose code raised: an exception out of a component gets a note that names the component, its distribution and version.

A defect of a plugin keeps its traceback, as every defect does; the note is the last line that Python prints below it. Errors that a user
can act on (`TwmError`) name whom they concern themselves.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from torch import nn

from twm_core.checkpoint.files import SLOTS, prefix_of
from twm_core.errors import PluginError, TwmError
from twm_core.recipe.assembly import Plan

Owners = Mapping[int, str]
"""Kind, name, distribution and version by the identity of an object."""


def owners(plan: Plan, model: nn.Module, others: Mapping[str, object]) -> Owners:
    """The components behind the modules of a world model, and behind other objects by kind (of slots that take one).

    Args:
        plan: What the model was built from.
        model: The world model.
        others: Objects that are no modules of it, such as the dataset under `dataset`.
    """
    found: dict[int, str] = {}
    for part in (p for kind, parts in plan.parts.items() if kind in SLOTS for p in parts):
        for module in model.get_submodule(prefix_of(part).removesuffix(".")).modules():
            found[id(module)] = part.whose
    for kind, thing in others.items():
        found[id(thing)] = plan.one(kind).whose
    return found


def raised_in(error: BaseException, owned: Owners) -> str | None:
    """The component whose method is innermost in the traceback, None where none is in it."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        whose = owned.get(id(frame.f_locals.get("self")))
        if whose is not None:
            return whose
    return None


@contextmanager
def naming(owned: Owners, remedy: Callable[[], str]) -> Generator[None]:
    """Add the note to whatever the block raises.

    Args:
        owned: See `owners`.
        remedy: What is left to the user, asked when something was raised.

    Raises:
        PluginError: The block called `sys.exit`, which must not end a training as if it were complete.
    """
    try:
        yield
    except TwmError:
        raise
    except SystemExit as error:
        whose = raised_in(error, owned) or "a plugin"
        raise PluginError(f"{whose} called sys.exit({error.code!r}) while training", f"remove that call from it; {remedy()}") from error
    except Exception as error:
        whose = raised_in(error, owned)
        if whose is not None:
            error.add_note(f"raised in {whose}; {remedy()}")
        raise
