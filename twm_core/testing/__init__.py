"""The conformance kit: what every component promises, tested in the same way for everybody's plugins, ours included.

    from twm_core.testing import conformance
    test_conformance = conformance("acme-worlds")

That is a plugin author's whole test file. Outside of pytest `run_checks` does the same. The promises are the docstrings in
`twm_core.testing.checks`. Importing this package imports torch, but not pytest.
"""

from __future__ import annotations

from twm_core.testing.conformance import conformance
from twm_core.testing.failure import ConformanceFailure
from twm_core.testing.runner import Result, run_checks

__all__ = ["ConformanceFailure", "Result", "conformance", "run_checks"]
