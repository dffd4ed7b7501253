"""`twm check`: do the parts of a recipe fit? Assembles without importing torch and prints what flows between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twm_cli.options.fields import option
from twm_cli.options.recipe import RecipeOptions
from twm_cli.options.session import Session
from twm_cli.planning import plan, show_plan, with_options


def command(session: Session) -> Callable[..., None]:
    """The command function, with the options of the components that the words choose."""
    options = RecipeOptions(session, {"--json": False})

    def check(**given: Any) -> None:
        """Check that the parts of a recipe fit, without training. The exit status is 2 if they do not."""
        _, planned = plan(session, options, given)
        show_plan(planned, as_json=given["as_json"])

    return with_options(check, [option("as_json", bool, False, "--json", help="Print one JSON object.")], options)
