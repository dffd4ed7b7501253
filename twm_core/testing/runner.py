"""Running checks: each component against the whole battery of its kind, with a result for every check, whatever becomes of it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from twm_core.errors import UsageError
from twm_core.plugin.registry import Registered
from twm_core.suggest import did_you_mean
from twm_core.testing import cost
from twm_core.testing.case import Case, make_cases
from twm_core.testing.checks import CHECKS, Check, battery
from twm_core.testing.failure import ConformanceFailure, NotApplicable

Status = Literal["passed", "failed", "expected", "unexpected", "skipped", "blocked"]
"""`expected` failed as foretold; `unexpected` passed although a failure was foretold; `blocked` needs a check that did not pass."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one check of one component.

    Attributes:
        component: `kind/name`.
        check: Name of the check.
        status: See `Status`.
        subjects: In how many situations it was tested.
        reason: Why it did not pass.
        failure: The failure, where there is one.
    """

    component: str
    check: str
    status: Status
    subjects: int = 0
    reason: str = ""
    failure: ConformanceFailure | None = None

    @property
    def name(self) -> str:
        """`kind/name/check`."""
        return f"{self.component}/{self.check}"


class Run:
    """The checks of some components; a check runs when its result is first asked for, after those that it needs.

    Args:
        cases: The components.
        expected_failures: Reasons by `kind/name/check`.

    Raises:
        UsageError: There is nothing to check, or an expected failure names no check.
    """

    def __init__(self, cases: Sequence[Case], expected_failures: Mapping[str, str] | None = None) -> None:
        self.cases = {c.key: c for c in cases}
        self.checks: dict[str, tuple[Case, Check]] = {}
        for case in cases:
            for check in battery(case.registered.component.kind):
                self.checks[f"{case.key}/{check.name}"] = (case, check)
        if not self.checks:
            raise UsageError("there is no component to check", "name a distribution that provides components, or a file")
        self.foretold = dict(expected_failures or {})
        for name in self.foretold:
            if name not in self.checks:
                raise UsageError(
                    f"expected_failures names {name!r}, which is no check{did_you_mean(name, self.checks)}",
                    "write kind/name/check, or remove it",
                )
        self._results: dict[str, Result] = {}
        self._seconds: dict[str, float] = defaultdict(float)
        self._grown: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.checks)

    def result(self, name: str) -> Result:
        """The result of the check `kind/name/check`."""
        if name not in self._results:
            case, check = self.checks[name]
            for need in check.needs:  # first, so that their time is not counted twice
                self.result(f"{case.key}/{need}")
            start, peak = time.process_time(), cost.peak()
            self._results[name] = self._run(name)
            self._seconds[case.key] += time.process_time() - start
            self._grown[case.key] += cost.peak() - peak
        return self._results[name]

    def results(self) -> list[Result]:
        """All results, in order."""
        return [self.result(name) for name in self.checks]

    def costs(self) -> list[cost.Cost]:
        """What each component costs, measured in its first situation; asks for all results first."""
        self.results()
        found = []
        for key, case in self.cases.items():
            built = self.result(f"{key}/builds_its_kind").status == "passed"
            first = case.subjects[0] if built else None
            found.append(cost.measure(key, first, checks=self._seconds[key], grown=self._grown[key]))
        return found

    def _run(self, name: str) -> Result:
        case, check = self.checks[name]
        for need in check.needs:
            before = self.result(f"{case.key}/{need}")
            if before.status not in ("passed", "skipped"):
                return Result(component=case.key, check=check.name, status="blocked", reason=f"needs {need}, which {before.status}")
        subjects: Sequence[Any] = [case] if check.of == "case" else case.subjects
        passed = 0
        skipped: list[str] = []
        failures: list[ConformanceFailure] = []
        for subject in subjects:
            try:
                check(subject)
            except NotApplicable as reason:
                skipped.append(str(reason))
            except ConformanceFailure as failure:
                failures.append(failure)
            else:
                passed += 1
        return self._judge(name, case, check, passed, skipped, failures)

    def _judge(
        self, name: str, case: Case, check: Check, passed: int, skipped: Sequence[str], failures: Sequence[ConformanceFailure]
    ) -> Result:
        tested = passed + len(failures)
        foretold = self.foretold.get(name)
        if failures:
            reason = failures[0].message + (f" (and in {len(failures) - 1} of {tested - 1} other situations)" if len(failures) > 1 else "")
            status: Status = "failed" if foretold is None else "expected"
            return Result(
                component=case.key, check=check.name, status=status, subjects=tested, reason=foretold or reason, failure=failures[0]
            )
        if foretold is not None:
            return Result(
                component=case.key,
                check=check.name,
                status="unexpected",
                subjects=tested,
                reason=f"expected to fail ({foretold}), but it does not",
            )
        if not passed:
            reason = "; ".join(sorted(set(skipped))) or "there is no situation to test it in"
            return Result(component=case.key, check=check.name, status="skipped", reason=reason)
        return Result(component=case.key, check=check.name, status="passed", subjects=passed)


def run_checks(
    registered: Iterable[Registered],
    *,
    options: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> list[Result]:
    """Run every check on every component.

    Args:
        registered: The components.
        options: Variants by `kind/name`: each mapping of options is one more config to check; the defaults otherwise.
        expected_failures: Reasons by `kind/name/check`; such a check must fail.
        say: Where lines of the report go: one for each check that did not pass, and the counts.

    Returns:
        A result for each check, in order.

    Raises:
        UsageError: There is nothing to check, or a name in `options` or `expected_failures` is unknown.
    """
    run = Run(make_cases(registered, options), expected_failures)
    results = run.results()
    for line in report(run):
        say(line)
    return results


def report(run: Run) -> list[str]:
    """A line for each check that neither passed nor was skipped, and the counts.

    The counts are always there, so that a run of no checks cannot look like one that passed.
    """
    results = run.results()
    lines = [f"{r.status:10} {r.name}: {r.reason}" for r in results if r.status not in ("passed", "skipped")]
    counts = Counter(r.status for r in results)
    one = "" if len(run.cases) == 1 else "s"
    return [
        *lines,
        f"{len(results)} checks of {len(run.cases)} component{one}: " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items())),
    ]


__all__ = ["CHECKS", "Result", "Run", "Status", "report", "run_checks"]
