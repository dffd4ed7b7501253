"""A check: a promise with a name, the function that tests it, and the checks without which it means nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twm_core.errors import TwmError
from twm_core.testing.failure import Broken, ConformanceFailure, NotApplicable


@dataclass(frozen=True)
class Check:
    """Called as `check(subject)`; raises `ConformanceFailure` if the promise is broken and `NotApplicable` if it is not made.

    Attributes:
        function: Tests the promise; its docstring says what is promised.
        needs: Names of checks that must hold before this one says anything.
        of: `subject` is called once for each situation, `case` once for each component.
    """

    function: Callable[[Any], None]
    needs: tuple[str, ...] = ()
    of: str = "subject"

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__name__

    @property
    def promise(self) -> str:
        """What is promised: the function's docstring."""
        return inspect.getdoc(self.function) or ""

    def __call__(self, subject: Any) -> None:
        try:
            self.function(subject)
        except NotApplicable:
            raise
        except Broken as error:
            raise ConformanceFailure(self.name, subject.whose, error.message, error.hint) from None
        except Exception as error:
            text = error.message if isinstance(error, TwmError) else str(error)
            raise ConformanceFailure(
                self.name, subject.whose, f"raised {type(error).__name__}: {text}", f"the promise: {self.promise.splitlines()[0]}"
            ) from error
